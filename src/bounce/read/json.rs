//! Reads the notices that Amazon's SES sends by its notification service: JSON in a mail's text.
//!
//! In: the text of a mail.  Out: rows, and what names the mail.
//! Always: only a text that begins with such an object is read; what it does not say is left empty.
//! Sources: the SES developer guide, "Notification contents for Amazon SES".

use serde::Deserialize;

use super::{
    Action, Kind, Row,
    address::ADDRESS_MAX,
    arf::Feedback,
    codes,
    dsn::ROWS_MAX,
    head::{Head, one_line},
    row::{self, Found},
};

/// Octets kept of a text.
const TEXT_MAX: usize = 512;

/// What a notice says.
#[derive(Debug)]
pub(super) struct Notice {
    /// What kind of mail it is.
    pub(super) kind: Kind,
    /// Each recipient.
    pub(super) rows: Vec<Row>,
    /// Where the mail's return address is named.
    pub(super) senders: Vec<String>,
    /// The Message-ID of the mail itself.
    pub(super) message_id: String,
    /// Its subject.
    pub(super) subject: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    #[serde(alias = "eventType")]
    notification_type: String,
    bounce: Bounce,
    complaint: Complaint,
    delivery: Delivery,
    mail: Mail,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Bounce {
    bounce_type: String,
    bounced_recipients: Vec<Recipient>,
    #[serde(rename = "reportingMTA")]
    reporting_mta: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Recipient {
    email_address: String,
    action: String,
    status: String,
    diagnostic_code: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Complaint {
    complained_recipients: Vec<Recipient>,
    complaint_feedback_type: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Delivery {
    recipients: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Mail {
    source: String,
    common_headers: CommonHeaders,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct CommonHeaders {
    message_id: String,
    subject: String,
}

/// Reads a notice; `None`: the text is none.
pub(super) fn read(text: &str) -> Option<Notice> {
    let text = text.trim_start();
    if !text.starts_with('{') {
        return None;
    }
    // Words follow the object, and it may be wrapped within.
    let joined: String = text.lines().map(|l| l.strip_suffix('\r').unwrap_or(l)).collect();
    let body: Body = serde_json::Deserializer::from_str(&joined).into_iter().next()?.ok()?;
    let (kind, rows) = match body.notification_type.as_str() {
        "Bounce" => {
            let rows = bounced(body.bounce);
            let failed = rows.iter().any(|r| r.action == Action::Failed);
            (if failed { Kind::Bounce } else { Kind::Delay }, rows)
        }
        "Complaint" => {
            let addresses: String = body
                .complaint
                .complained_recipients
                .iter()
                .take(ROWS_MAX)
                .map(|r| format!("Original-Rcpt-To: {}\n", r.email_address))
                .collect();
            let report = format!("Feedback-Type: {}\n{addresses}", body.complaint.complaint_feedback_type);
            Feedback::of(&report).rows(&Head::default())
        }
        "Delivery" => {
            let row = |recipient: String| Row {
                recipient: one_line(&recipient, ADDRESS_MAX),
                action: Action::Delivered,
                ..Row::default()
            };
            (Kind::Delivered, body.delivery.recipients.into_iter().take(ROWS_MAX).map(row).collect())
        }
        _ => return None,
    };
    Some(Notice {
        kind,
        rows,
        senders: vec![body.mail.source],
        message_id: one_line(&body.mail.common_headers.message_id, TEXT_MAX),
        subject: one_line(&body.mail.common_headers.subject, TEXT_MAX),
    })
}

fn bounced(bounce: Bounce) -> Vec<Row> {
    let is_temporary = bounce.bounce_type == "Transient";
    let host = bounce.reporting_mta.rsplit(';').next().unwrap_or_default().trim().to_owned();
    let rows = bounce.bounced_recipients.into_iter().take(ROWS_MAX).map(|r| {
        let diagnostic = match r.diagnostic_code.split_once(';') {
            Some((kind, rest)) if !kind.contains(' ') => rest.trim().to_owned(),
            _ => r.diagnostic_code,
        };
        row::make(Found {
            recipient: one_line(&r.email_address, ADDRESS_MAX),
            action: Some(if r.action == "delayed" { Action::Delayed } else { Action::Failed }),
            status: codes::status(&r.status),
            diagnostic,
            host: host.clone(),
            is_temporary,
            ..Found::default()
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_read_and_other_json_is_not() {
        let notice = read(
            "{\"notificationType\":\"Bounce\",\"bounce\":{\"bounceType\":\"Permanent\",\"bouncedRecipients\":[{\"emailAddress\":\"a@b.example\",\
             \"action\":\"failed\",\"status\":\"5.1.1\",\"diagnosticCode\":\"smtp; 550 5.1.1 user unknown\"}]},\"mail\":{\"source\":\"s@t.example\",\
             \"commonHeaders\":{\"messageId\":\"<1@t>\"}}}\n--\nIf you wish to stop",
        )
        .expect("a notice");
        assert_eq!((notice.kind, notice.rows[0].recipient.as_str()), (Kind::Bounce, "a@b.example"));
        assert_eq!((notice.rows[0].status.as_str(), notice.message_id.as_str()), ("5.1.1", "<1@t>"));
        let complaint = read(
            "{\"notificationType\":\"Complaint\",\"complaint\":{\"complainedRecipients\":[{\"emailAddress\":\"a@b.example\"}]}}",
        );
        assert_eq!(complaint.map(|c| (c.kind, c.rows.len())), Some((Kind::Complaint, 1)));
        for other in ["{}", "{\"notificationType\":\"Bounce\"", "[1]", "{\"a\": {}}", "Hello"] {
            assert!(read(other).is_none(), "{other}");
        }
    }
}
