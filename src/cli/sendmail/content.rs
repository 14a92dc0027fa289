//! The mail that `sendmail` reads: line ends, recipients in the header, Bcc, a missing From.
//!
//! In: what the program wrote.  Out: [`Content`], ready to be sent.
//! Always: nothing is changed but the line ends (LF becomes CRLF), the mbox line and the Bcc fields (taken out), and a
//! missing From or header (put in): a program that calls `sendmail` expects a mail to come of it.
//! Sources: RFC 5322 §2.2, §3.4 and §4.4; RFC 6409 §8.

use std::io::{self, BufRead};

/// A mail as it will be sent, without dot-stuffing.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The octets; every line ends with CRLF.
    pub octets: Vec<u8>,
    /// Addresses in To, Cc and Bcc, as written.
    pub recipients: Vec<String>,
}

/// Reads a mail up to its end, or a dot alone on a line unless `dot_is_text`; `None`: it is longer than `max` octets.
pub(super) fn read(input: &mut dyn BufRead, dot_is_text: bool, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let left = max.saturating_sub(out.len() as u64) + 1;
        if io::Read::take(&mut *input, left).read_until(b'\n', &mut line)? == 0 {
            return Ok(Some(out));
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text == b"." && !dot_is_text {
            return Ok(Some(out));
        }
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
        if out.len() as u64 > max {
            return Ok(None);
        }
    }
}

/// Makes a mail of what was read. `from`: the address of a From field where there is none; `take_recipients`: `-t`.
pub(super) fn prepare(mail: &[u8], from: &str, take_recipients: bool) -> Content {
    let mut lines = Lines(mail);
    let mut content = Content { octets: Vec::with_capacity(mail.len() + 80), recipients: Vec::new() };
    let mut has_from = false;
    let mut has_fields = false;
    let mut body = mail;
    if mail.starts_with(b"From ") {
        lines.next();
        body = lines.0;
    }
    while let Some(field) = lines.field() {
        has_fields = true;
        let name = field_name(field).unwrap_or_default().to_ascii_lowercase();
        has_from |= name == "from";
        let names_recipients = matches!(name.as_str(), "to" | "cc" | "bcc");
        if take_recipients && names_recipients {
            let value = &field[field.iter().position(|b| *b == b':').map_or(0, |at| at + 1)..];
            content.recipients.extend(addresses(&String::from_utf8_lossy(value)));
        }
        if !(take_recipients && name == "bcc") {
            content.octets.extend_from_slice(field);
        }
        body = lines.0;
    }
    if !has_from {
        content.octets.splice(0..0, format!("From: {from}\r\n").into_bytes());
    }
    if !has_fields && !body.starts_with(b"\r\n") {
        content.octets.extend_from_slice(b"\r\n");
    }
    content.octets.extend_from_slice(body);
    content
}

/// The rest of a mail, line by line.
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    /// The next header field with its continuation lines; `None` at the end of the header.
    fn field(&mut self) -> Option<&'a [u8]> {
        let start = self.0;
        field_name(start)?;
        let mut len = self.next()?.len();
        while matches!(self.0.first(), Some(b' ' | b'\t')) {
            len += self.next()?.len();
        }
        Some(&start[..len])
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    /// The next line with its line end.
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let len = self.0.iter().position(|b| *b == b'\n').map_or(self.0.len(), |at| at + 1);
        let (line, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(line)
    }
}

/// The name of the field that a text begins with.
fn field_name(text: &[u8]) -> Option<&str> {
    let len = text.iter().position(|b| !(33..=126).contains(b) || *b == b':')?;
    let blank = text[len..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let is_field = len > 0 && text.get(len + blank) == Some(&b':');
    std::str::from_utf8(&text[..len]).ok().filter(|_| is_field)
}

/// The addresses of a field's value: display names, comments, groups and routes are left out.
fn addresses(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut plain = String::new();
    let mut angle: Option<String> = None;
    let (mut in_angle, mut in_quotes, mut in_literal, mut comments) = (false, false, false, 0usize);
    let mut letters = value.chars();
    while let Some(c) = letters.next() {
        if comments > 0 {
            match c {
                '\\' => drop(letters.next()),
                '(' => comments += 1,
                ')' => comments -= 1,
                _ => {}
            }
            continue;
        }
        let text = if in_angle { angle.get_or_insert_default() } else { &mut plain };
        if in_quotes {
            text.push(c);
            match c {
                '\\' => text.extend(letters.next()),
                '"' => in_quotes = false,
                _ => {}
            }
            continue;
        }
        match c {
            '(' => comments = 1,
            '<' if !in_angle => {
                in_angle = true;
                angle = Some(String::new());
            }
            '>' if in_angle => in_angle = false,
            // Before it stood a group's name, or a route.
            ':' if !in_literal => text.clear(),
            ',' | ';' if !in_angle && !in_literal => out.extend(finished(&mut plain, &mut angle)),
            '\r' | '\n' => {}
            c => {
                in_quotes = c == '"';
                in_literal = c == '[' || (in_literal && c != ']');
                text.push(c);
            }
        }
    }
    out.extend(finished(&mut plain, &mut angle));
    out
}

fn finished(plain: &mut String, angle: &mut Option<String>) -> Option<String> {
    let plain = std::mem::take(plain);
    let address = angle.take().unwrap_or(plain);
    let address = address.trim();
    (!address.is_empty()).then(|| address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str, dot_is_text: bool) -> Option<String> {
        let octets = read(&mut text.as_bytes(), dot_is_text, 40).unwrap();
        octets.map(|octets| String::from_utf8(octets).unwrap())
    }

    #[test]
    fn line_ends_become_crlf_and_a_lone_dot_ends_the_mail() {
        assert_eq!(read_all("a\nb\r\n\nc", false).unwrap(), "a\r\nb\r\n\r\nc\r\n");
        assert_eq!(read_all("a\n.\nb\n", false).unwrap(), "a\r\n");
        assert_eq!(read_all("a\n.\n..b\n", true).unwrap(), "a\r\n.\r\n..b\r\n");
        assert_eq!(read_all(&"x".repeat(39), true), None, "with its line end it is one too long");
        assert_eq!(read_all(&"x\n".repeat(30), true), None);
    }

    fn check(mail: &str, take: bool, expected: &str, recipients: &[&str]) {
        let content = prepare(mail.replace('\n', "\r\n").as_bytes(), "me@host.example", take);
        assert_eq!(String::from_utf8(content.octets).unwrap(), expected.replace('\n', "\r\n"), "{mail}");
        assert_eq!(content.recipients, recipients, "{mail}");
    }

    #[test]
    fn recipients_come_from_the_header_and_bcc_goes() {
        check(
            "From: a@b.example\nTo: x@y.example,\n \"Z, z\" <z@y.example>\nBcc: secret@y.example\nSubject: s\n\nbody\nBcc: no\n",
            true,
            "From: a@b.example\nTo: x@y.example,\n \"Z, z\" <z@y.example>\nSubject: s\n\nbody\nBcc: no\n",
            &["x@y.example", "z@y.example", "secret@y.example"],
        );
        check(
            "From: a@b.example\nBcc: c@y.example\n\nbody\n",
            false,
            "From: a@b.example\nBcc: c@y.example\n\nbody\n",
            &[],
        );
    }

    #[test]
    fn a_mail_without_from_or_header_gets_one() {
        check("Subject: s\n\nbody\n", true, "From: me@host.example\nSubject: s\n\nbody\n", &[]);
        check("just text\n", false, "From: me@host.example\n\njust text\n", &[]);
        check("\njust text\n", false, "From: me@host.example\n\njust text\n", &[]);
        check("From me Tue Nov 24\nFrom: a@b.example\n\nx\n", false, "From: a@b.example\n\nx\n", &[]);
        check("", false, "From: me@host.example\n\n", &[]);
    }

    #[test]
    fn address_lists_of_every_kind() {
        let cases: &[(&str, &[&str])] = &[
            ("a@b.example", &["a@b.example"]),
            (" A (comment, (nested\\)) ) <a@b.example> , c@d.example ", &["a@b.example", "c@d.example"]),
            ("\"quoted, \\\" name\" <\"odd, local\"@b.example>", &["\"odd, local\"@b.example"]),
            ("friends: a@b.example, B <b@b.example>;, c@d.example", &["a@b.example", "b@b.example", "c@d.example"]),
            ("undisclosed-recipients:;", &[]),
            ("<@route.example,@other.example:a@b.example>", &["a@b.example"]),
            ("a@[IPv6:::1]", &["a@[IPv6:::1]"]),
            ("root, =?utf-8?q?x?= <a@b.example>", &["root", "a@b.example"]),
            ("", &[]),
            ("<", &[]),
            ("(((", &[]),
        ];
        for (value, expected) in cases {
            assert_eq!(addresses(value), *expected, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_mail_stops_it_and_the_body_stays_as_it_was(mail in "[a-zA-Z:<>@,;()\"\\\\ \n\t.\\[\\]飛]{0,200}", take: bool) {
            let crlf = mail.replace('\n', "\r\n");
            let content = prepare(crlf.as_bytes(), "me@host.example", take);
            let text = String::from_utf8(content.octets).unwrap();
            let body = |text: &str| text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
            if let Some(body) = body(&crlf).filter(|_| !crlf.starts_with("From ")) {
                proptest::prop_assert!(text.ends_with(&body), "{text:?} {body:?}");
            }
        }
    }
}
