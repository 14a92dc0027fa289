//! Finds the codes of an SMTP answer in a text, and decides which of several says most.
//!
//! In: a diagnostic, and the Status of a report.  Out: a reply code, an enhanced code, a host.
//! Always: numbers that only look like codes (addresses of hosts, versions, sizes) are none.
//! Sources: RFC 5321 §4.2, RFC 3463 §2, RFC 2034.

use crate::smtp::reply::Enhanced;

/// Enhanced codes looked at in one text.
const CODES_MAX: usize = 8;
/// Words after which three digits are a reply code.
const BEFORE_REPLY: [&str; 13] = [
    "said", "code", "error", "reply", "response", "status", "smtp", "returned", "with", "reason", "esmtp", "answer",
    "was",
];

/// Codes of a text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Codes {
    /// The first reply code.
    pub(super) reply: Option<u16>,
    /// Enhanced codes, in order, each with the reply code that stands right in front of it.
    pub(super) enhanced: Vec<(Option<u16>, Enhanced)>,
}

impl Codes {
    /// The codes of a text.
    pub(super) fn of(text: &str) -> Codes {
        let mut codes = Codes::default();
        let bytes = text.as_bytes();
        let mut at = 0;
        let mut last: Option<(u16, usize)> = None;
        while at < bytes.len() {
            if !bytes[at].is_ascii_digit() {
                at += 1;
                continue;
            }
            let len = bytes[at..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
            let token = text[at..at + len].trim_end_matches('.');
            let after = bytes.get(at + token.len()).copied();
            if let Some(code) = reply(token, text, at, after) {
                codes.reply = codes.reply.or(Some(code));
                last = Some((code, at + token.len()));
            } else if let Some(code) = enhanced_token(token)
                && codes.enhanced.len() < CODES_MAX
                && opens(bytes, at)
                && after.is_none_or(|b| !b.is_ascii_alphanumeric())
            {
                // `550 5.1.1`, `550-5.1.1`, `550: 5.1.1`, `550 #5.1.1`
                let own = last
                    .filter(|(_, end)| text[*end..at].len() <= 3 && !text[*end..at].contains(char::is_alphanumeric));
                codes.enhanced.push((own.map(|(reply, _)| reply), code));
            }
            at += len;
        }
        codes
    }

    /// The reply code and the enhanced code that say most, given the report's own Status.
    ///
    /// What the remote itself answered goes before what the reporter made of it, and a reason before "it expired".
    pub(super) fn best(&self, status: Option<Enhanced>) -> (Option<u16>, Option<Enhanced>) {
        let telling = |e: &Enhanced| says_something(*e) && !is_expiry(*e);
        let own =
            |(reply, e): &&(Option<u16>, Enhanced)| telling(e) && reply.is_some_and(|r| r / 100 == u16::from(e.0));
        let any = |(_, e): &&(Option<u16>, Enhanced)| telling(e);
        let status_tells = status.is_some_and(|s| telling(&s));
        let in_text =
            self.enhanced.iter().find(own).or_else(|| self.enhanced.iter().find(any).filter(|_| !status_tells));
        match in_text {
            Some((reply, code)) => (reply.or(self.reply), Some(*code)),
            None => {
                let first = self.enhanced.first().map(|(_, e)| *e);
                let code = match status {
                    Some(status) if says_something(status) => Some(status),
                    _ => first.filter(|e| says_something(*e)).or(status).or(first),
                };
                (self.reply, code)
            }
        }
    }
}

/// Message expired: what it waited for says more.
fn is_expiry(code: Enhanced) -> bool {
    (code.1, code.2) == (4, 7)
}

/// It is more than "something went wrong".
fn says_something(code: Enhanced) -> bool {
    (code.1, code.2) != (0, 0)
}

/// An enhanced code at the start of a field's value, e.g. `5.1.1 (no such user)`.
pub(super) fn status(value: &str) -> Option<Enhanced> {
    let value = value.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    enhanced(value[..end].trim_end_matches('.'))
}

/// Three numbers, the first of which is 2, 4 or 5.
fn enhanced(token: &str) -> Option<Enhanced> {
    let mut numbers = token.split('.');
    let (class, subject, detail) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let fits = matches!(class, "2" | "4" | "5") && (1..=3).contains(&subject.len()) && (1..=3).contains(&detail.len());
    if !fits || numbers.next().is_some() {
        return None;
    }
    Some(Enhanced(class.parse().ok()?, subject.parse().ok()?, detail.parse().ok()?))
}

/// The same of a failure.
fn enhanced_token(token: &str) -> Option<Enhanced> {
    enhanced(token).filter(|e| e.0 != 2)
}

/// Nothing in front of it makes it a part of a longer word.
fn opens(bytes: &[u8], at: usize) -> bool {
    at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || matches!(bytes[at - 1], b'.' | b'_' | b'@' | b'/'))
}

/// Three digits of a failure where a reply code stands.
fn reply(token: &str, text: &str, at: usize, after: Option<u8>) -> Option<u16> {
    if token.len() != 3 || !matches!(token.as_bytes()[0], b'4' | b'5') || !opens(text.as_bytes(), at) {
        return None;
    }
    let code = token.parse().ok()?;
    if !after.is_none_or(|b| {
        matches!(b, b' ' | b'-' | b':' | b',' | b';' | b'"' | b'\'' | b']' | b')' | b'<' | b'\t' | b'\n' | b'\r' | b'.')
    }) {
        return None;
    }
    let before = text[..at].trim_end_matches(' ');
    let is_after_mark =
        before.is_empty() || before.ends_with([':', ';', '[', '\'', '"', '>', '(', '<', '\n', '|', '=', '#']);
    let is_after_word = || BEFORE_REPLY.iter().any(|w| ends_with_word(before, w));
    let followed_by_code = || {
        let rest = text[at + 3..].trim_start_matches([' ', '-', '#', '(']);
        status_prefix(rest)
    };
    // `550-'Unknown user'`: the dash of a line that goes on.
    let goes_on = after == Some(b'-') && text.as_bytes().get(at + 4).is_some_and(|b| !b.is_ascii_alphanumeric());
    (is_after_mark || is_after_word() || followed_by_code() || goes_on).then_some(code)
}

fn status_prefix(rest: &str) -> bool {
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest.starts_with(['4', '5']) && enhanced(rest[..end].trim_end_matches('.')).is_some()
}

fn ends_with_word(text: &str, word: &str) -> bool {
    text.len() >= word.len()
        && text.is_char_boundary(text.len() - word.len())
        && text[text.len() - word.len()..].eq_ignore_ascii_case(word)
}

/// The host that answered, as the common wordings name it: `host mx.example [192.0.2.1]`, `mx.example[192.0.2.1] said:`.
pub(super) fn host(text: &str) -> Option<&str> {
    let after = |mark: &str| text.find(mark).map(|at| &text[at + mark.len()..]);
    let named = after("host ").or_else(|| after("host: ")).or_else(|| after("talking to "));
    let word = match named {
        Some(rest) => rest.trim_start(),
        None => text.find(" said:").and_then(|end| text[..end].rsplit(' ').next())?,
    };
    let end = word
        .find(|c: char| c.is_whitespace() || matches!(c, '[' | '(' | ',' | ':' | ';' | '<' | '>'))
        .unwrap_or(word.len());
    let host = word[..end].trim_end_matches('.');
    let is_host = host.contains('.')
        && host.len() <= 255
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    is_host.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_and_other_numbers_are_not() {
        for (text, code, all) in [
            ("550 5.1.1 <a@b>... User Unknown", Some(550), vec![Enhanced(5, 1, 1)]),
            ("550-5.7.26 Unauthenticated email 550 5.7.26 more", Some(550), vec![Enhanced(5, 7, 26); 2]),
            (
                "host mx.example[192.0.2.1] said: 421 4.7.0 [TSS04] deferred - 4.16.55.1; see",
                Some(421),
                vec![Enhanced(4, 7, 0)],
            ),
            ("no connection (#5.4.1)", None, vec![Enhanced(5, 4, 1)]),
            ("SMTPSVC(6.0.3790.3959) id 5.5.2657.72", None, vec![]),
            ("larger than 500 kilobytes, tried 450 times", None, vec![]),
            ("ERROR_CODE :550, ERROR_CODE :5.1.1 <a@b>", Some(550), vec![Enhanced(5, 1, 1)]),
            ("smtp;550: User unknown", Some(550), vec![]),
            ("Remote Server returned '550 5.1.10 RESOLVER'", Some(550), vec![Enhanced(5, 1, 10)]),
            ("id 15.0.918.8; v5.1.2", None, vec![]),
            ("552: size", Some(552), vec![]),
        ] {
            let codes = Codes::of(text);
            let enhanced: Vec<Enhanced> = codes.enhanced.iter().map(|(_, e)| *e).collect();
            assert_eq!((codes.reply, enhanced), (code, all), "{text}");
        }
    }

    #[test]
    fn the_code_that_says_most_wins() {
        for (text, own, expected) in [
            ("550 5.1.1 no such user", "5.0.0", (Some(550), Some(Enhanced(5, 1, 1)))),
            ("no such user (#5.1.1)", "5.2.1 (x)", (None, Some(Enhanced(5, 2, 1)))),
            ("", "5.0.0", (None, Some(Enhanced(5, 0, 0)))),
            ("450 4.7.1 no PTR", "4.4.7", (Some(450), Some(Enhanced(4, 7, 1)))),
            ("554 4.4.7 expired <421 4.4.2 timed out>", "4.4.7", (Some(421), Some(Enhanced(4, 4, 2)))),
            ("550 4.4.7 expired", "", (Some(550), Some(Enhanced(4, 4, 7)))),
            ("552 5.2.2 Over quota", "5.1.1", (Some(552), Some(Enhanced(5, 2, 2)))),
        ] {
            assert_eq!(Codes::of(text).best(status(own)), expected, "{text}");
        }
    }

    #[test]
    fn hosts_are_found() {
        for (text, expected) in [
            ("host mx.example [192.0.2.1]: 550 x", Some("mx.example")),
            ("host: mx.example.co.jp", Some("mx.example.co.jp")),
            ("mx.a.example[192.0.2.1] said: 550", Some("mx.a.example")),
            ("while talking to mx.b.example.: ", Some("mx.b.example")),
            ("nothing", None),
        ] {
            assert_eq!(host(text), expected, "{text}");
        }
    }
}
