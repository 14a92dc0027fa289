//! The mail around a report.
//!
//! In: [`ReportMail`].  Out: a whole message.
//! Always: multipart/report with a text for people and the gzip file; `TLS-Required: No`, since a report about broken TLS must
//! not wait for that TLS (RFC 8689 §5); ASCII only, lines of at most 998 octets.
//! Sources: RFC 8460 §5.1 and §5.3, RFC 6522, RFC 3834 §5, RFC 8689 §5.

use mail_builder::{
    MessageBuilder,
    headers::{HeaderType, content_type::ContentType, raw::Raw},
    mime::{BodyPart, MimePart},
};

use crate::{clock::Timestamp, mail::compose, smtp::address::Mailbox};

/// Everything that a report's mail says.
#[derive(Clone, Copy, Debug)]
pub struct ReportMail<'a> {
    /// Our name: the submitter.
    pub hostname: &'a str,
    /// From: who answers questions.
    pub contact: &'a Mailbox,
    /// To.
    pub to: &'a Mailbox,
    /// The domain that the report is about, in A-labels.
    pub domain: &'a str,
    /// The report's id, a message id without brackets.
    pub id: &'a str,
    /// When the period begins …
    pub start: Timestamp,
    /// … and ends.
    pub end: Timestamp,
    /// When it is written.
    pub at: Timestamp,
    /// Sessions that met the policies.
    pub successes: u64,
    /// Sessions that did not.
    pub failed: u64,
    /// The report, as gzip.
    pub gzip: &'a [u8],
}

/// The file's name (RFC 8460 §5.1): sender, domain, period in seconds.
pub fn file_name(hostname: &str, domain: &str, start: Timestamp, end: Timestamp) -> String {
    format!("{hostname}!{domain}!{}!{}.json.gz", start.as_seconds(), end.as_seconds())
}

/// Composes the mail.
pub fn compose(mail: &ReportMail<'_>) -> Vec<u8> {
    // The builder writes binary parts in base64.
    let report = MimePart::new(
        ContentType::new("application/tlsrpt+gzip"),
        BodyPart::Binary(std::borrow::Cow::Borrowed(mail.gzip)),
    )
    .attachment(file_name(mail.hostname, mail.domain, mail.start, mail.end));
    let body = MimePart::new(
        ContentType::new("multipart/report").attribute("report-type", "tlsrpt"),
        BodyPart::Multipart(vec![MimePart::new("text/plain", text(mail)), report]),
    );
    let subject = format!("Report Domain: {} Submitter: {} Report-ID: <{}>", mail.domain, mail.hostname, mail.id);
    let builder = MessageBuilder::new()
        .header("From", raw(format!("<{}>", mail.contact)))
        .header("To", raw(format!("<{}>", mail.to)))
        .header("Subject", raw(subject))
        .header("Date", raw(compose::date(mail.at)))
        .header("Message-ID", raw(format!("<{}>", mail.id)))
        .header("TLS-Report-Domain", raw(mail.domain.to_owned()))
        .header("TLS-Report-Submitter", raw(mail.hostname.to_owned()))
        .header("TLS-Required", raw("No".to_owned()))
        .header("Auto-Submitted", raw("auto-generated".to_owned()));
    let mut bytes = Vec::new();
    builder.body(body).serialize(&mut bytes);
    bytes
}

fn raw(text: String) -> HeaderType<'static> {
    HeaderType::Raw(Raw::new(text))
}

fn text(mail: &ReportMail<'_>) -> String {
    format!(
        "This is a report about TLS towards {domain} (RFC 8460), which _smtp._tls.{domain} asks for.\r\n\r\n\
         From {start}\r\nto   {end}\r\n\r\n\
         {successes} sessions met the domain's policy, {failed} did not. The attached file has the details.\r\n\r\n\
         これは {domain} 宛ての配送での TLS の状況の報告です。詳細は添付ファイルをご覧ください。\r\n\r\n\
         {hostname}\r\n",
        domain = mail.domain,
        start = compose::date(mail.start),
        end = compose::date(mail.end),
        successes = mail.successes,
        failed = mail.failed,
        hostname = mail.hostname,
    )
}
