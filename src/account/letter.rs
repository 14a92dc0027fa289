//! Mail of the console to its people, as octets.
//!
//! In: who writes to whom and when, a subject, a text.  Out: a whole message.
//! Always: plain text; `Auto-Submitted`, so that no program answers.
//! Sources: RFC 5322, RFC 3834 §5.

use mail_builder::{
    MessageBuilder,
    headers::{HeaderType, raw::Raw},
};

use crate::{clock::Timestamp, mail::compose as parts, smtp::address::Mailbox};

/// What every mail has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    /// Our name.
    pub hostname: &'a str,
    /// To.
    pub to: &'a Mailbox,
    /// The Message-ID, without brackets.
    pub id: &'a str,
    /// When it is written.
    pub at: Timestamp,
}

/// Composes the mail.
pub(super) fn compose(head: Head<'_>, subject: &str, text: String) -> Vec<u8> {
    let builder = MessageBuilder::new()
        .header("From", raw(format!("Hikyaku <postmaster@{}>", head.hostname)))
        .header("To", raw(format!("<{}>", head.to)))
        .subject(subject)
        .header("Date", raw(parts::date(head.at)))
        .header("Message-ID", raw(format!("<{}>", head.id)))
        .header("Auto-Submitted", raw("auto-generated".to_owned()))
        .text_body(text);
    let mut bytes = Vec::new();
    builder.serialize(&mut bytes);
    bytes
}

fn raw(text: String) -> HeaderType<'static> {
    HeaderType::Raw(Raw::new(text))
}
