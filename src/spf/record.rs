//! SPF records, read.
//!
//! In: the text of a TXT record.  Out: its [`Record`]: terms in their order, or the first error with what is wrong.
//! Always: a record is read whole before anything of it counts; what the grammar does not know as a modifier is an error.
//! Sources: RFC 7208 §4.5, §4.6, §5, §6, §7.1 and §12.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::macros::{self, MacroString};

/// Octets of a record that are read.
pub const RECORD_OCTETS_MAX: usize = 8 << 10;
/// Terms of a record; one of 512 octets has 120 at most.
pub const TERMS_MAX: usize = 500;

/// What a mechanism that matches means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Qualifier {
    /// `+`, or nothing.
    #[default]
    Pass,
    /// `-`
    Fail,
    /// `~`
    SoftFail,
    /// `?`
    Neutral,
}

/// A mechanism.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// `all`
    All,
    /// `include:`
    Include(MacroString),
    /// `a`: of this name (else the domain itself), addresses cut to these lengths.
    A(Option<MacroString>, u8, u8),
    /// `mx`, likewise.
    Mx(Option<MacroString>, u8, u8),
    /// `ptr`
    Ptr(Option<MacroString>),
    /// `ip4:`
    Ip4(Ipv4Addr, u8),
    /// `ip6:`
    Ip6(Ipv6Addr, u8),
    /// `exists:`
    Exists(MacroString),
}

/// A qualifier and a mechanism.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directive {
    /// What a match means.
    pub qualifier: Qualifier,
    /// What matches.
    pub mechanism: Mechanism,
    /// As written.
    pub text: String,
}

/// A record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// Its directives, in their order.
    pub directives: Vec<Directive>,
    /// `redirect=`
    pub redirect: Option<MacroString>,
    /// `exp=`
    pub exp: Option<MacroString>,
    /// Modifiers that nobody knows, as written.
    pub unknown: Vec<String>,
}

/// Why a record cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordFault {
    /// It does not begin with `v=spf1`.
    #[error("it does not begin with \"v=spf1\" and a blank")]
    NotSpf,
    /// Too long, or too many terms.
    #[error("it is longer than any record")]
    TooLong,
    /// Something that is not ASCII.
    #[error("\"{0}\" is not ASCII")]
    NotAscii(String),
    /// A mechanism that nobody knows.
    #[error("there is no mechanism \"{0}\"")]
    Unknown(String),
    /// A term that is not written as it must be.
    #[error("\"{term}\": {what}")]
    Term {
        /// The term.
        term: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A modifier that may stand once stands twice.
    #[error("\"{0}\" stands there twice")]
    Twice(&'static str),
}

/// The text is an SPF record: it begins with the version, alone or before a blank (RFC 7208 §4.5).
pub fn is_record(text: &str) -> bool {
    body_of(text).is_some()
}

fn body_of(text: &str) -> Option<&str> {
    let (version, rest) = text.split_at_checked(6)?;
    let is_one = version.eq_ignore_ascii_case("v=spf1") && (rest.is_empty() || rest.starts_with(' '));
    is_one.then_some(rest)
}

/// Reads a record.
///
/// # Errors
/// See [`RecordFault`].
pub fn parse(text: &str) -> Result<Record, RecordFault> {
    let body = body_of(text).ok_or(RecordFault::NotSpf)?;
    if text.len() > RECORD_OCTETS_MAX {
        return Err(RecordFault::TooLong);
    }
    let mut record = Record::default();
    for (n, term) in body.split(' ').filter(|term| !term.is_empty()).enumerate() {
        if n >= TERMS_MAX {
            return Err(RecordFault::TooLong);
        }
        if !term.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(RecordFault::NotAscii(term.escape_debug().to_string()));
        }
        match modifier(term) {
            Some((name, value)) => take_modifier(&mut record, term, name, value)?,
            None => record.directives.push(directive(term)?),
        }
    }
    Ok(record)
}

/// `name=value`, if the term is a modifier.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let mut chars = name.chars();
    let is_name = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    is_name.then_some((name, value))
}

fn take_modifier(record: &mut Record, term: &str, name: &str, value: &str) -> Result<(), RecordFault> {
    let place = match name.to_ascii_lowercase().as_str() {
        "redirect" => (&mut record.redirect, "redirect"),
        "exp" => (&mut record.exp, "exp"),
        _ => {
            // Its value must still be a macro-string.
            macros::parse(value).map_err(|what| bad(term, what))?;
            record.unknown.push(term.to_owned());
            return Ok(());
        }
    };
    let value = domain_spec(term, value)?;
    if place.0.is_some() {
        return Err(RecordFault::Twice(place.1));
    }
    *place.0 = Some(value);
    Ok(())
}

fn directive(term: &str) -> Result<Directive, RecordFault> {
    let (qualifier, rest) = match term.as_bytes().first() {
        Some(b'+') => (Qualifier::Pass, &term[1..]),
        Some(b'-') => (Qualifier::Fail, &term[1..]),
        Some(b'~') => (Qualifier::SoftFail, &term[1..]),
        Some(b'?') => (Qualifier::Neutral, &term[1..]),
        _ => (Qualifier::Pass, term),
    };
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (name, argument) = rest.split_at(end);
    let mechanism = match name.to_ascii_lowercase().as_str() {
        "all" if argument.is_empty() => Mechanism::All,
        "all" => return Err(bad(term, "all stands alone")),
        "include" => Mechanism::Include(needed(term, argument)?),
        "exists" => Mechanism::Exists(needed(term, argument)?),
        "ptr" => Mechanism::Ptr(optional(term, argument)?),
        "a" => {
            let (argument, four, six) = lengths(term, argument)?;
            Mechanism::A(optional(term, argument)?, four, six)
        }
        "mx" => {
            let (argument, four, six) = lengths(term, argument)?;
            Mechanism::Mx(optional(term, argument)?, four, six)
        }
        "ip4" => {
            let (address, length) = network(term, argument, 32)?;
            Mechanism::Ip4(address.parse().map_err(|_| bad(term, "that is no IPv4 address"))?, length)
        }
        "ip6" => {
            let (address, length) = network(term, argument, 128)?;
            Mechanism::Ip6(address.parse().map_err(|_| bad(term, "that is no IPv6 address"))?, length)
        }
        _ => return Err(RecordFault::Unknown(term.to_owned())),
    };
    Ok(Directive { qualifier, mechanism, text: term.to_owned() })
}

fn bad(term: &str, what: &'static str) -> RecordFault {
    RecordFault::Term { term: term.to_owned(), what }
}

fn domain_spec(term: &str, text: &str) -> Result<MacroString, RecordFault> {
    macros::domain_spec(text).map_err(|what| bad(term, what))
}

fn needed(term: &str, argument: &str) -> Result<MacroString, RecordFault> {
    let text = argument.strip_prefix(':').ok_or_else(|| bad(term, "a domain belongs behind the colon"))?;
    domain_spec(term, text)
}

fn optional(term: &str, argument: &str) -> Result<Option<MacroString>, RecordFault> {
    if argument.is_empty() { Ok(None) } else { needed(term, argument).map(Some) }
}

/// Takes `/24`, `//64` or `/24//64` off the end.
fn lengths<'a>(term: &str, argument: &'a str) -> Result<(&'a str, u8, u8), RecordFault> {
    let (rest, six) = match last_length(argument) {
        Some((rest, digits)) if rest.ends_with('/') => (&rest[..rest.len() - 1], Some(digits)),
        _ => (argument, None),
    };
    let (rest, four) = match last_length(rest) {
        Some((before, digits)) => (before, Some(digits)),
        None => (rest, None),
    };
    let wrong = || bad(term, "that is no prefix length");
    let four = four.map_or(Some(32), |digits| length(digits, 32)).ok_or_else(wrong)?;
    let six = six.map_or(Some(128), |digits| length(digits, 128)).ok_or_else(wrong)?;
    Ok((rest, four, six))
}

/// `rest/digits` → `(rest, digits)`.
fn last_length(text: &str) -> Option<(&str, &str)> {
    let (rest, digits) = text.rsplit_once('/')?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some((rest, digits))
}

/// A prefix length, without leading zeros.
fn length(digits: &str, max: u8) -> Option<u8> {
    let is_plain = !digits.is_empty() && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|length| is_plain && *length <= max)
}

/// `:address` or `:address/length`.
fn network<'a>(term: &str, argument: &'a str, max: u8) -> Result<(&'a str, u8), RecordFault> {
    let text = argument.strip_prefix(':').ok_or_else(|| bad(term, "an address belongs behind the colon"))?;
    match text.split_once('/') {
        None => Ok((text, max)),
        Some((address, digits)) => {
            let is_length = digits.bytes().all(|b| b.is_ascii_digit());
            let length = is_length.then(|| length(digits, max)).flatten();
            Ok((address, length.ok_or_else(|| bad(term, "that is no prefix length"))?))
        }
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_the_grammar_says() {
        for good in [
            "v=spf1",
            "V=SPF1 -all",
            "v=spf1  a mx  -all ",
            "v=spf1 a/24//64 a//64 mx:example.jp/0 mx:%{d}/24 a:x.%{d2r}",
            "v=spf1 ip4:192.0.2.1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ip6:::ffff:1.2.3.4 ?all",
            "v=spf1 ptr ptr:example.jp exists:%{ir}.%{l1r-}._spf.%{d} redirect=_spf.example.jp",
            "v=spf1 moo.cow-far_out=man:dog/cat exp=e.%{d} include:a-b.example.",
            "v=spf1 a:a/b.example.jp",
        ] {
            parse(good).unwrap_or_else(|fault| panic!("{good}: {fault}"));
        }
        for bad in [
            "v=spf10",
            "v=spf1\t-all",
            "v=spf1 all:x",
            "v=spf1 a/33",
            "v=spf1 a//129",
            "v=spf1 a/024",
            "v=spf1 a/",
            "v=spf1 a:",
            "v=spf1 a:example",
            "v=spf1 a:example.1",
            "v=spf1 include",
            "v=spf1 include:",
            "v=spf1 ip4:1.2.3",
            "v=spf1 ip4:1.2.3.4/33",
            "v=spf1 ip4:1.2.3.4/",
            "v=spf1 ip4",
            "v=spf1 ip6:1::2::3",
            "v=spf1 exists:%{c}.example.jp",
            "v=spf1 a:%{d0}.example.jp",
            "v=spf1 a:%{x}.example.jp",
            "v=spf1 a:%d.example.jp",
            "v=spf1 redirect=a.example redirect=a.example",
            "v=spf1 exp=a.example exp=b.example",
            "v=spf1 +redirect=a.example",
            "v=spf1 ipv4:1.2.3.4",
            "v=spf1 -a11",
            "v=spf1 飛脚",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
