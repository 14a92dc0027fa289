//! Writes the post of one mail: CMC's fields, as JSON or as multipart/form-data.
//!
//! In: a mail, its envelope, the webhook's settings.  Out: the body and its media type.
//! Always: the fields are CMC's and no others; JSON counts the attachments and leaves them out, multipart holds them octet for
//! octet; what is written pays for its memory while it grows; nothing of the mail can end a part or begin a field.
//! Sources: cmc.md §10.2; RFC 7578 and the HTML standard (escapes in names); RFC 8259.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    budget::{Budget, Lease},
    intake::sink::Gathering,
    mail::parts::{Part, Parts},
};

/// Octets of one post at most, whatever the mail was: control characters take six octets each in JSON.
const POST_OCTETS_MAX: u64 = 512 << 20;

/// What stands in a post beside the mail.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Sent along; empty: left out.
    pub api_key: String,
    /// `[server] composition`.
    pub composition: String,
    /// The webhook's name.
    pub filter: String,
    /// MAIL FROM; empty: the null sender.
    pub sender: String,
    /// RCPT TO.
    pub recipient: String,
    /// multipart/form-data instead of JSON; the text that parts its fields.
    pub multipart: Option<String>,
}

/// A post, and the lease that pays for it.
#[derive(Debug)]
pub(super) struct Body {
    /// Its media type.
    pub content_type: String,
    /// Its octets.
    pub octets: bytes::Bytes,
    /// Given back when the post is over.
    pub _lease: Lease,
}

/// Writes a post.
///
/// # Errors
/// In words, where memory is used up: it may be better later.
pub(super) fn write(mail: &[u8], about: &About, budget: &Budget) -> Result<Body, String> {
    let used_up = || "no memory is left for this post: see memory_limit in [server]".to_owned();
    let mut out = Paid(Gathering::new(budget, POST_OCTETS_MAX).ok_or_else(used_up)?);
    let parts = Parts::of(mail);
    let content_type = match &about.multipart {
        Some(boundary) => {
            form(&parts, about, boundary, &mut out).map(|()| format!("multipart/form-data; boundary={boundary}"))
        }
        None => json(&parts, about, &mut out).map(|()| "application/json".to_owned()),
    };
    let content_type = content_type.map_err(|_| used_up())?;
    let (octets, lease) = out.0.finish();
    Ok(Body { content_type, octets, _lease: lease })
}

/// What is written pays for its memory.
struct Paid(Gathering);

impl Write for Paid {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.add(octets).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Serialize)]
struct FieldOut<'a> {
    name: &'a str,
    value: &'a str,
}

fn fields<'a>(parts: &'a Parts<'_>) -> Vec<FieldOut<'a>> {
    parts.fields.iter().map(|(name, value)| FieldOut { name, value }).collect()
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    api_key: &'a str,
    server_composition: &'a str,
    filter: &'a str,
    headers: Vec<FieldOut<'a>>,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<String>,
    #[serde(rename = "envelope-from")]
    sender: &'a str,
    #[serde(rename = "envelope-to")]
    recipient: &'a str,
    attachments: usize,
}

fn json(parts: &Parts<'_>, about: &About, out: &mut Paid) -> io::Result<()> {
    let json = Json {
        api_key: &about.api_key,
        server_composition: &about.composition,
        filter: &about.filter,
        headers: fields(parts),
        subject: parts.field("Subject"),
        text: parts.text(),
        html: parts.html(),
        sender: &about.sender,
        recipient: &about.recipient,
        attachments: parts.attachments.len(),
    };
    serde_json::to_writer(out, &json).map_err(io::Error::other)
}

fn form(parts: &Parts<'_>, about: &About, boundary: &str, out: &mut Paid) -> io::Result<()> {
    let mut form = Form { boundary, out };
    if !about.api_key.is_empty() {
        form.field("api_key", &about.api_key)?;
    }
    form.field("server_composition", &about.composition)?;
    form.field("filter", &about.filter)?;
    form.field("headers", &serde_json::to_string(&fields(parts)).map_err(io::Error::other)?)?;
    form.field("subject", parts.field("Subject"))?;
    // One at a time, so that one at a time takes memory.
    if let Some(text) = parts.text() {
        form.field("text", &text)?;
    }
    if let Some(html) = parts.html() {
        form.field("html", &html)?;
    }
    form.field("envelope-from", &about.sender)?;
    form.field("envelope-to", &about.recipient)?;
    form.field("attachments", &parts.attachments.len().to_string())?;
    for (n, attachment) in (1..).zip(&parts.attachments) {
        form.file(n, attachment)?;
    }
    write!(form.out, "--{boundary}--\r\n")
}

struct Form<'a> {
    boundary: &'a str,
    out: &'a mut Paid,
}

impl Form<'_> {
    fn field(&mut self, name: &str, value: &str) -> io::Result<()> {
        write!(self.out, "--{}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n", self.boundary)?;
        self.out.write_all(value.as_bytes())?;
        self.out.write_all(b"\r\n")
    }

    fn file(&mut self, n: usize, attachment: &Part<'_>) -> io::Result<()> {
        // As browsers write names of files: in UTF-8, a quote as %22; line breaks are none by now.
        let name = attachment.file_name(n).replace('"', "%22");
        write!(
            self.out,
            "--{}\r\nContent-Disposition: form-data; name=\"attachment{n}\"; filename=\"{name}\"\r\nContent-Type: {}\r\n\r\n",
            self.boundary, attachment.content_type
        )?;
        self.out.write_all(&attachment.bytes())?;
        self.out.write_all(b"\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] = b"Received: from x\r\nSubject: =?ISO-2022-JP?B?GyRCSHQ1UxsoQg==?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$BHt5S\x1b(B\r\n\"two\"\r\n\r\n--b\r\nContent-Type: image/png; name=\"a\\\"b.png\"\r\n\
        Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--b--\r\n";

    fn about(multipart: bool) -> About {
        About {
            api_key: "key".into(),
            composition: "main".into(),
            filter: "受信".into(),
            sender: String::new(),
            recipient: "in@example.jp".into(),
            multipart: multipart.then(|| "BOUND".to_owned()),
        }
    }

    fn body(about: &About, mail: &[u8]) -> Body {
        write(mail, about, &Budget::new(64 << 20)).expect("there is memory")
    }

    #[test]
    fn json_has_exactly_cmcs_fields() {
        let written = body(&about(false), MAIL);
        assert_eq!(written.content_type, "application/json");
        let got: serde_json::Value = serde_json::from_slice(&written.octets).expect("JSON");
        let expected = serde_json::json!({
            "api_key": "key",
            "server_composition": "main",
            "filter": "受信",
            "headers": [
                {"name": "Received", "value": "from x"},
                {"name": "Subject", "value": "飛脚"},
                {"name": "Content-Type", "value": "multipart/mixed; boundary=b"},
            ],
            "subject": "飛脚",
            "text": "飛脚\r\n\"two\"\r\n",
            "envelope-from": "",
            "envelope-to": "in@example.jp",
            "attachments": 1,
        });
        assert_eq!(got, expected);
        let bare = body(&About { api_key: String::new(), ..about(false) }, b"Content-Type: text/html\r\n\r\n<p>");
        let got: serde_json::Value = serde_json::from_slice(&bare.octets).expect("JSON");
        assert!(got.get("api_key").is_none() && got.get("text").is_none());
        assert_eq!((&got["html"], &got["subject"], &got["attachments"]), (&"<p>".into(), &"".into(), &0.into()));
    }

    #[test]
    fn a_form_has_the_same_and_the_files() {
        let written = body(&about(true), MAIL);
        assert_eq!(written.content_type, "multipart/form-data; boundary=BOUND");
        let text = String::from_utf8_lossy(&written.octets).into_owned();
        let field = |name: &str, value: &str| {
            format!("--BOUND\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let headers = r#"[{"name":"Received","value":"from x"},{"name":"Subject","value":"飛脚"},{"name":"Content-Type","value":"multipart/mixed; boundary=b"}]"#;
        let expected = [
            field("api_key", "key"),
            field("server_composition", "main"),
            field("filter", "受信"),
            field("headers", headers),
            field("subject", "飛脚"),
            field("text", "飛脚\r\n\"two\"\r\n"),
            field("envelope-from", ""),
            field("envelope-to", "in@example.jp"),
            field("attachments", "1"),
            "--BOUND\r\nContent-Disposition: form-data; name=\"attachment1\"; filename=\"a%22b.png\"\r\n\
             Content-Type: image/png\r\n\r\n"
                .to_owned(),
        ]
        .concat();
        assert!(text.starts_with(&expected), "{text}\n---\n{expected}");
        assert!(written.octets.ends_with(b"\r\n\r\n\x89PNG\r\n\x1a\n\r\n--BOUND--\r\n"));
    }

    #[test]
    fn what_is_written_pays_for_its_memory() {
        let budget = Budget::new(1 << 20);
        let mail = [b"Subject: x\r\n\r\n".to_vec(), vec![1; 400_000]].concat();
        // Each octet takes six in JSON.
        assert!(write(&mail, &about(false), &budget).expect_err("it does not fit").contains("memory_limit"));
        assert_eq!(budget.used(), 0);
        let body = write(&mail, &about(true), &budget).expect("it fits");
        assert!(budget.used() >= body.octets.len());
        drop(body);
        assert_eq!(budget.used(), 0);
    }
}
