//! The header of a mail that came back, and that of the mail that it is about: the few fields that matter.
//!
//! In: a header section.  Out: a [`Head`].
//! Always: every text is decoded, single-line and bounded; lists are bounded by [`VALUES_MAX`].
//! Sources: RFC 5322, RFC 3834 §5, RFC 5321 §4.4 (Return-Path).

use mail_parser::{HeaderValue, decoders::charsets::map::charset_decoder, parsers::MessageStream};

use super::{address, walk::each_field};

/// Addresses kept of one kind of field.
pub(super) const VALUES_MAX: usize = 50;
/// Octets kept of a text.
const TEXT_MAX: usize = 512;
/// Octets of a value that are read.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// What matters of a header.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// From, as written, encoded words decoded.
    pub(super) from: String,
    /// Subject, decoded.
    pub(super) subject: String,
    /// Message-ID with brackets.
    pub(super) message_id: String,
    /// Return-Path without brackets; `None`: no such field.
    pub(super) return_path: Option<String>,
    /// Addresses of To, and of Cc.
    pub(super) to: Vec<String>,
    /// Addresses of Delivered-To, X-Original-To, Envelope-To.
    pub(super) delivered_to: Vec<String>,
    /// Addresses of X-Failed-Recipients and its like.
    pub(super) failed: Vec<String>,
    /// Addresses of fields in which mailbox providers name who complained.
    pub(super) complained: Vec<String>,
    /// Auto-Submitted, its first word, lower case.
    pub(super) auto_submitted: String,
    /// A field says that a program answered (RFC 3834's elders).
    pub(super) is_auto_answer: bool,
    /// A mail program unsubscribes for its user.
    pub(super) is_unsubscribe: bool,
    /// X-Api-Data, CMC's correlation header.
    pub(super) api_data: String,
}

impl Head {
    /// Reads a header section.
    pub(super) fn of(section: &[u8]) -> Head {
        let mut head = Head::default();
        each_field(section, |name, value| head.field(name, value));
        head
    }

    /// Nothing of use was in it.
    pub(super) fn is_empty(&self) -> bool {
        self.from.is_empty() && self.subject.is_empty() && self.message_id.is_empty() && self.to.is_empty()
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let mut small = [0u8; 32];
        let Some(small) = small.get_mut(..name.len()) else { return };
        small.copy_from_slice(name);
        small.make_ascii_lowercase();
        match &*small {
            b"from" if self.from.is_empty() => self.from = text(value),
            b"subject" if self.subject.is_empty() => self.subject = text(value),
            b"message-id" if self.message_id.is_empty() => self.message_id = text(value),
            b"x-api-data" if self.api_data.is_empty() => self.api_data = text(value),
            b"return-path" if self.return_path.is_none() => {
                self.return_path = Some(text(value).trim_matches(['<', '>']).to_owned());
            }
            b"to" | b"cc" | b"apparently-to" => addresses(value, &mut self.to),
            b"delivered-to" | b"x-original-to" | b"envelope-to" => addresses(value, &mut self.delivered_to),
            b"x-failed-recipients" | b"x-failed-recipient" | b"x-bounced-recipient" => {
                addresses(value, &mut self.failed);
            }
            b"x-hmxmroriginalrecipient" | b"x-complaint-recipient" | b"x-rcpt-to" => {
                addresses(value, &mut self.complained);
            }
            b"auto-submitted" => {
                let word = text(value).to_ascii_lowercase();
                self.auto_submitted = word.split([';', ' ', '(']).next().unwrap_or_default().to_owned();
            }
            b"precedence" | b"x-precedence" => {
                let value = value.trim_ascii();
                self.is_auto_answer |=
                    value.eq_ignore_ascii_case(b"auto_reply") || value.eq_ignore_ascii_case(b"auto-reply");
            }
            b"x-autoreply" | b"x-autorespond" | b"x-autoresponder" | b"x-auto-reply" | b"x-autoreply-from"
            | b"x-mail-autoreply" | b"x-vacation" => {
                self.is_auto_answer |= !value.trim_ascii().eq_ignore_ascii_case(b"no");
            }
            b"x-apple-unsubscribe" => self.is_unsubscribe = value.trim_ascii().eq_ignore_ascii_case(b"true"),
            _ => {}
        }
    }
}

/// A value: decoded, one line, bounded.
pub(super) fn text(value: &[u8]) -> String {
    let value = value[..value.len().min(VALUE_BYTES_MAX)].trim_ascii();
    if value.windows(2).any(|w| w == b"=?") {
        let mut line = value.to_vec();
        line.push(b'\n');
        if let HeaderValue::Text(text) = MessageStream::new(&line).parse_unstructured() {
            return one_line(&text, TEXT_MAX);
        }
    }
    if value.windows(2).any(|w| w == b"\x1b$")
        && let Some(decode) = charset_decoder(b"iso-2022-jp")
    {
        return one_line(&decode(value), TEXT_MAX);
    }
    one_line(&String::from_utf8_lossy(value), TEXT_MAX)
}

/// One line: blanks in a row become one, control characters none, at most `max` octets.
pub(super) fn one_line(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    let mut blank = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            blank = !out.is_empty();
            continue;
        }
        if out.len() + c.len_utf8() + usize::from(blank) > max {
            break;
        }
        if blank {
            out.push(' ');
            blank = false;
        }
        out.push(c);
    }
    out
}

fn addresses(value: &[u8], out: &mut Vec<String>) {
    let value = String::from_utf8_lossy(&value[..value.len().min(VALUE_BYTES_MAX)]);
    for found in address::all(&value) {
        if out.len() < VALUES_MAX && !out.iter().any(|known| known.eq_ignore_ascii_case(found)) {
            out.push(found.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_gives_what_matters() {
        let head = Head::of(
            b"Return-Path: <>\r\nFrom: Mail Delivery <MAILER-DAEMON@x.example>\r\nTo: \"A, B\" <a@b.example>,\r\n c@d.example\r\n\
              broken line\r\nSubject: =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=\r\nX-Failed-Recipients: e@f.example,\r\n  g@h.example\r\n\
              Auto-Submitted: auto-replied (vacation)\r\nMessage-ID: <1@x>\r\n",
        );
        assert_eq!(head.return_path.as_deref(), Some(""));
        assert_eq!(head.to, ["a@b.example", "c@d.example"]);
        assert_eq!(head.failed, ["e@f.example", "g@h.example"]);
        assert_eq!((head.subject.as_str(), head.auto_submitted.as_str()), ("日本", "auto-replied"));
        assert_eq!(head.message_id, "<1@x>");
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(one_line("  a\r\n\t b\0c  ", 100), "a b c");
        assert_eq!(one_line("日本語", 7), "日本");
    }
}
