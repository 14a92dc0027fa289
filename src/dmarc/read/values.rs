//! Single values of reports, as they are written in the world: numbers, times, addresses, domains, texts.
//!
//! In: a text between two tags, or of a field.  Out: the value, `None` where it is none.
//! Always: texts become one line of at most [`TEXT_MAX`] octets; nothing is guessed that could be read in two ways.
//! Sources: RFC 7489 appendix C, RFC 9990, RFC 3339, RFC 5322 §3.3, RFC 4007 §11 (zones), RFC 5321 §4.1.3 (brackets).

use std::net::IpAddr;

use mail_parser::DateTime;

use crate::dmarc::report::TEXT_MAX;

/// The last second that has a date of four digits.
const SECONDS_MAX: u64 = 253_402_300_799;
/// Times from here on are no seconds: as milliseconds this is 1973-03-03, as seconds the year 5138.
const MILLIS_FROM: u64 = 100_000_000_000;
/// Times from here on are microseconds.
const MICROS_FROM: u64 = 100_000_000_000_000;

/// One line, without blanks around it, of at most [`TEXT_MAX`] octets; and whether something was cut.
pub(super) fn line(text: &str) -> (String, bool) {
    let text = text.trim();
    if text.len() <= TEXT_MAX && !text.chars().any(char::is_control) {
        return (text.to_owned(), false);
    }
    let mut out = String::with_capacity(text.len().min(TEXT_MAX));
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > TEXT_MAX {
            return (out, true);
        }
        out.push(c);
    }
    (out, false)
}

/// A domain: in lower case, without the dot of the root.
pub(super) fn domain(text: &str) -> (String, bool) {
    let (mut line, cut) = line(text);
    if line.ends_with('.') {
        line.pop();
    }
    line.make_ascii_lowercase();
    if !line.is_ascii() {
        line = line.to_lowercase();
        line.truncate(line.floor_char_boundary(TEXT_MAX));
    }
    (line, cut)
}

/// The domain of an address, with or without name and brackets.
pub(super) fn domain_of(address: &str) -> String {
    let Some((_, behind)) = address.rsplit_once('@') else { return String::new() };
    let end = behind.find(|c: char| c == '>' || c.is_whitespace() || c == ',' || c == ')').unwrap_or(behind.len());
    domain(&behind[..end]).0
}

/// An address of a host: with brackets, `IPv6:`, or a zone; IPv4 in IPv6 is IPv4.
pub(super) fn ip(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    let text = text.strip_prefix('[').map_or(text, |inside| inside.split(']').next().unwrap_or_default());
    let text = match text.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => &text[5..],
        _ => text,
    };
    let text = text.split('%').next().unwrap_or_default().trim();
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// A count: digits, with blanks or commas between them, or followed by zeros behind a dot.
pub(super) fn count(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(n) = text.parse::<u64>() {
        return Some(n);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b == b'0') {
        return None;
    }
    let digits: String = whole.chars().filter(|c| !c.is_whitespace() && *c != ',').collect();
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// A moment, in seconds since 1970; and whether it was not written as the schemas ask for.
pub(super) fn time(text: &str) -> Option<(u64, bool)> {
    let text = text.trim();
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    if !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit()) {
        let is_odd = whole.len() != text.len();
        return match whole.parse::<u64>().ok()? {
            n if n >= MICROS_FROM => in_range(n / 1_000_000).map(|n| (n, true)),
            n if n >= MILLIS_FROM => in_range(n / 1_000).map(|n| (n, true)),
            n => Some((n, is_odd)),
        };
    }
    let seconds = if let Ok(at) = text.parse::<jiff::Timestamp>() {
        at.as_second()
    } else if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
        at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second()
    } else {
        return mail_date(text).map(|at| (at, true));
    };
    u64::try_from(seconds).ok().and_then(in_range).map(|at| (at, true))
}

/// A date as mail writes it.
pub(super) fn mail_date(text: &str) -> Option<u64> {
    let at = DateTime::parse_rfc822(text.trim()).filter(DateTime::is_valid)?;
    u64::try_from(at.to_timestamp()).ok().and_then(in_range)
}

fn in_range(seconds: u64) -> Option<u64> {
    (seconds <= SECONDS_MAX).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for (text, expected) in [
            (" 192.0.2.1\n", Some("192.0.2.1")),
            ("[192.0.2.1]", Some("192.0.2.1")),
            ("2001:DB8:0:0::0001", Some("2001:db8::1")),
            ("[2001:db8::1]:25", Some("2001:db8::1")),
            ("[IPv6:2001:db8::1]", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("unknown", None),
            ("", None),
            ("192.0.2", None),
            ("192.0.2.010", None),
        ] {
            assert_eq!(ip(text).map(|ip| ip.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn counts_and_times_are_read_as_they_are_written() {
        for (text, expected) in [
            (" 12 ", Some(12)),
            ("1 234", Some(1234)),
            ("1,234", Some(1234)),
            ("5.0", Some(5)),
            ("5.5", None),
            ("-1", None),
            ("", None),
            (".", None),
            ("many", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
        for (text, expected) in [
            ("1706159544", Some((1_706_159_544, false))),
            ("1706159544.0", Some((1_706_159_544, true))),
            ("1706159544123", Some((1_706_159_544, true))),
            ("1706159544123456", Some((1_706_159_544, true))),
            ("2024-01-25T05:12:24Z", Some((1_706_159_544, true))),
            ("2024-01-25T14:12:24+09:00", Some((1_706_159_544, true))),
            ("2024-01-25 05:12:24", Some((1_706_159_544, true))),
            ("Thu, 25 Jan 2024 05:12:24 +0000", Some((1_706_159_544, true))),
            ("0", Some((0, false))),
            ("yesterday", None),
            ("", None),
            ("99999999999999999999", None),
            ("1969-12-31T00:00:00Z", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!(mail_date("Mon, 01 Oct 2018 11:20:27 +0200 (CEST)"), Some(1_538_385_627));
        assert_eq!(mail_date("x"), None);
    }

    #[test]
    fn texts_are_single_lines_and_bounded() {
        assert_eq!(line(" a\tb\r\nc "), ("a b  c".into(), false));
        assert_eq!(line(&"日".repeat(100)), ("日".repeat(85), true));
        assert_eq!(domain(" Example.ORG. "), ("example.org".into(), false));
        assert_eq!(domain("ÄÖ.example"), ("äö.example".into(), false));
        assert_eq!(domain_of("\"A\" <a@Example.org> (b)"), "example.org");
        assert_eq!(domain_of("a@b"), "b");
        assert_eq!(domain_of("none"), "");
    }
}
