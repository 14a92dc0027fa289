//! Macros in SPF records: `%{i}`, `%{d2r}` and the like.
//!
//! In: the text of a term.  Out: a [`MacroString`], which expands for one check.
//! Always: what expands is bounded, whatever the letters hold; a domain is cut from the left until a name can have its length.
//! Sources: RFC 7208 §7; RFC 3986 §2.3.

use std::net::IpAddr;

/// Octets of an expanded text.
pub const EXPANDED_OCTETS_MAX: usize = 4 << 10;
/// Octets of an expanded domain (RFC 7208 §7.3).
const DOMAIN_OCTETS_MAX: usize = 253;

/// A text with macros.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MacroString(Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(String),
    Macro { letter: u8, escape: bool, digits: Option<u32>, reverse: bool, delimiters: Vec<u8> },
}

/// What the letters stand for.
#[derive(Clone, Copy, Debug)]
pub struct Letters<'a> {
    /// The local part of the sender.
    pub local: &'a str,
    /// The domain of the sender.
    pub sender_domain: &'a str,
    /// The domain whose record is read.
    pub domain: &'a str,
    /// The host's address.
    pub ip: IpAddr,
    /// The host's validated name, or `unknown`.
    pub validated: &'a str,
    /// HELO.
    pub helo: &'a str,
    /// Who checks.
    pub receiver: &'a str,
    /// Seconds since 1970.
    pub seconds: u64,
}

/// Letters that a domain may use.
const DOMAIN_LETTERS: &[u8] = b"slodiphv";
/// Letters that an explanation may use, too.
const EXPLANATION_LETTERS: &[u8] = b"crt";

/// Reads a macro-string.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<MacroString, &'static str> {
    read(text, false)
}

/// Reads the text of an explanation, in which more may stand: blanks, and three more letters.
///
/// # Errors
/// What is wrong with it.
pub fn explanation(text: &str) -> Result<MacroString, &'static str> {
    read(text, true)
}

/// Reads a domain-spec: a macro-string that ends in a macro, or in a label that is no number.
///
/// # Errors
/// What is wrong with it.
pub fn domain_spec(text: &str) -> Result<MacroString, &'static str> {
    let parsed = parse(text)?;
    let ends_well = match parsed.0.last() {
        Some(Part::Macro { .. }) => true,
        Some(Part::Literal(_)) => ends_in_label(text),
        None => false,
    };
    if ends_well { Ok(parsed) } else { Err("a domain ends in a macro, or in a dot and a label that is no number") }
}

/// `….toplabel` or `….toplabel.`
fn ends_in_label(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let Some((_, label)) = text.rsplit_once('.') else { return false };
    let is_ldh = !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_ldh && !label.starts_with('-') && !label.ends_with('-') && !label.bytes().all(|b| b.is_ascii_digit())
}

fn read(text: &str, explains: bool) -> Result<MacroString, &'static str> {
    let mut parts: Vec<Part> = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '%' {
            let may_stand = c.is_ascii_graphic() || (explains && c == ' ');
            if !may_stand {
                return Err("a character that may not stand there");
            }
            literal.push(c);
            continue;
        }
        match rest.as_bytes().first() {
            Some(b'%') => literal.push('%'),
            Some(b'_') => literal.push(' '),
            Some(b'-') => literal.push_str("%20"),
            Some(b'{') => {
                let end = rest.find('}').ok_or("a macro without its }")?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(one_macro(&rest[1..end], explains)?);
                rest = &rest[end + 1..];
                continue;
            }
            _ => return Err("a % that begins no macro"),
        }
        rest = &rest[1..];
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(MacroString(parts))
}

fn one_macro(text: &str, explains: bool) -> Result<Part, &'static str> {
    let mut bytes = text.bytes().peekable();
    let written = bytes.next().ok_or("an empty macro")?;
    let letter = written.to_ascii_lowercase();
    let is_known = DOMAIN_LETTERS.contains(&letter) || (explains && EXPLANATION_LETTERS.contains(&letter));
    if !is_known {
        return Err("no such macro, or not here");
    }
    let mut digits: Option<u32> = None;
    while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
        digits = Some(digits.unwrap_or(0).saturating_mul(10).saturating_add(u32::from(digit - b'0')));
    }
    if digits == Some(0) {
        return Err("a macro of no parts");
    }
    let reverse = bytes.next_if(|b| b.eq_ignore_ascii_case(&b'r')).is_some();
    let delimiters: Vec<u8> = bytes.collect();
    if !delimiters.iter().all(|b| b".-+,/_=".contains(b)) {
        return Err("something in a macro that may not stand there");
    }
    Ok(Part::Macro { letter, escape: written.is_ascii_uppercase(), digits, reverse, delimiters })
}

impl MacroString {
    /// `%{p}` stands in it.
    pub fn uses_validated(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Macro { letter: b'p', .. }))
    }

    /// A macro other than `%{d}` and `%{o}` stands in it: not even the domain tells what it names.
    pub fn depends_on_mail(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Macro { letter, .. } if !matches!(letter, b'd' | b'o')))
    }

    /// The text for these letters.
    pub fn expand(&self, letters: &Letters<'_>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Macro { letter, escape, digits, reverse, delimiters } => {
                    let value = value(*letter, letters);
                    let value = transformed(&value, *digits, *reverse, delimiters);
                    if *escape { push_escaped(&mut out, &value) } else { out.push_str(&value) }
                }
            }
            if out.len() > EXPANDED_OCTETS_MAX {
                break;
            }
        }
        out
    }

    /// The domain for these letters: small letters, no last dot, cut from the left to what a name can have.
    pub fn domain(&self, letters: &Letters<'_>) -> String {
        let whole = self.expand(letters).to_ascii_lowercase();
        let mut name = whole.strip_suffix('.').unwrap_or(&whole);
        while name.len() > DOMAIN_OCTETS_MAX {
            let Some((_, rest)) = name.split_once('.') else { break };
            name = rest;
        }
        name.to_owned()
    }
}

fn value(letter: u8, letters: &Letters<'_>) -> String {
    match letter {
        b's' => format!("{}@{}", letters.local, letters.sender_domain),
        b'l' => letters.local.to_owned(),
        b'o' => letters.sender_domain.to_owned(),
        b'd' => letters.domain.to_owned(),
        b'i' => dotted(letters.ip),
        b'c' => letters.ip.to_string(),
        b'p' => letters.validated.to_owned(),
        b'h' => letters.helo.to_owned(),
        b'v' => if letters.ip.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
        b'r' => letters.receiver.to_owned(),
        _ => letters.seconds.to_string(),
    }
}

/// The address as `%{i}` writes it: IPv6 nibble by nibble.
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
            let nibbles: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            nibbles.join(".")
        }
    }
}

fn transformed(value: &str, digits: Option<u32>, reverse: bool, delimiters: &[u8]) -> String {
    if digits.is_none() && !reverse && delimiters.is_empty() {
        return value.to_owned();
    }
    let splits = |c: char| {
        if delimiters.is_empty() { c == '.' } else { u8::try_from(c).is_ok_and(|b| delimiters.contains(&b)) }
    };
    let mut parts: Vec<&str> = value.split(splits).collect();
    if reverse {
        parts.reverse();
    }
    let kept = digits.map_or(parts.len(), |n| usize::try_from(n).unwrap_or(usize::MAX)).min(parts.len());
    parts[parts.len() - kept..].join(".")
}

/// Everything but the unreserved characters of RFC 3986 becomes %XX.
fn push_escaped(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard() {
        let of = |ip: &'static str| Letters {
            local: "strong-bad",
            sender_domain: "email.example.com",
            domain: "email.example.com",
            ip: ip.parse().expect("an address"),
            validated: "mx.example.org",
            helo: "mx.example.org",
            receiver: "here.test",
            seconds: 7,
        };
        let four = of("192.0.2.3");
        for (text, expected) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{o}", "email.example.com"),
            ("%{d}", "email.example.com"),
            ("%{d4}", "email.example.com"),
            ("%{d3}", "email.example.com"),
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l}", "strong-bad"),
            ("%{l-}", "strong.bad"),
            ("%{lr}", "strong-bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
            ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
            ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
            ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
            ("%{S}%%%-%_x", "strong-bad%40email.example.com%%20 x"),
        ] {
            assert_eq!(parse(text).expect("a macro-string").expand(&four), expected, "{text}");
        }
        let six = parse("%{ir}.%{v}._spf.%{d2}").expect("a macro-string").expand(&of("2001:db8::cb01"));
        assert_eq!(six, "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com");
        assert_eq!(
            explanation("%{c} %{r} %{t}").expect("a text").expand(&of("2001:db8::1")),
            "2001:db8::1 here.test 7"
        );
        assert!(parse("%{c}").is_err());
    }

    #[test]
    fn long_domains_lose_labels_from_the_left() {
        let letters = Letters {
            local: &"a.".repeat(200),
            sender_domain: "x",
            domain: "example.jp",
            ip: IpAddr::from([0, 0, 0, 0]),
            validated: "",
            helo: "",
            receiver: "",
            seconds: 0,
        };
        let name = domain_spec("%{l}.%{d}").expect("a domain").domain(&letters);
        assert!(name.len() <= 253 && name.ends_with(".a..example.jp"), "{name}");
    }
}
