//! Command lines taken apart: the verb, and the shapes of its arguments.
//!
//! In: one line without its CR LF.  Out: a [`Command`], a path with its parameters, a chunk's size.
//! Always: nothing here decides whether a command is welcome now; that is the session's.
//! Sources: RFC 5321 §4.1, RFC 3030 §2, RFC 3207 §4, RFC 4954 §4.

use super::address::{is_domain, is_literal};

/// Longest EHLO argument, in octets: a domain's 255 (RFC 5321 §4.5.3.1.2).
pub const HELLO_OCTETS_MAX: usize = 255;

/// What a line begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// EHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// BDAT (RFC 3030).
    Bdat,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// VRFY.
    Vrfy,
    /// HELP.
    Help,
    /// QUIT.
    Quit,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// AUTH (RFC 4954).
    Auth,
    /// An SMTP command that is not provided here: EXPN, ETRN, TURN …
    NotImplemented,
    /// The first words of another protocol: HTTP, SSH.
    Foreign,
    /// Anything else.
    Unknown,
}

impl Verb {
    /// Every verb: the rows of the state × command matrix.
    pub const ALL: [Verb; 16] = [
        Verb::Ehlo,
        Verb::Helo,
        Verb::Mail,
        Verb::Rcpt,
        Verb::Data,
        Verb::Bdat,
        Verb::Rset,
        Verb::Noop,
        Verb::Vrfy,
        Verb::Help,
        Verb::Quit,
        Verb::StartTls,
        Verb::Auth,
        Verb::NotImplemented,
        Verb::Foreign,
        Verb::Unknown,
    ];

    fn of(word: &str) -> Self {
        const WORDS: [(&str, Verb); 34] = [
            ("MAIL", Verb::Mail),
            ("RCPT", Verb::Rcpt),
            ("DATA", Verb::Data),
            ("EHLO", Verb::Ehlo),
            ("HELO", Verb::Helo),
            ("QUIT", Verb::Quit),
            ("BDAT", Verb::Bdat),
            ("RSET", Verb::Rset),
            ("NOOP", Verb::Noop),
            ("AUTH", Verb::Auth),
            ("STARTTLS", Verb::StartTls),
            ("VRFY", Verb::Vrfy),
            ("HELP", Verb::Help),
            ("EXPN", Verb::NotImplemented),
            ("ETRN", Verb::NotImplemented),
            ("ATRN", Verb::NotImplemented),
            ("TURN", Verb::NotImplemented),
            ("SEND", Verb::NotImplemented),
            ("SOML", Verb::NotImplemented),
            ("SAML", Verb::NotImplemented),
            ("BURL", Verb::NotImplemented),
            ("VERB", Verb::NotImplemented),
            ("GET", Verb::Foreign),
            ("POST", Verb::Foreign),
            ("HEAD", Verb::Foreign),
            ("PUT", Verb::Foreign),
            ("DELETE", Verb::Foreign),
            ("OPTIONS", Verb::Foreign),
            ("PATCH", Verb::Foreign),
            ("TRACE", Verb::Foreign),
            ("CONNECT", Verb::Foreign),
            ("PRI", Verb::Foreign),
            ("HOST:", Verb::Foreign),
            ("USER-AGENT:", Verb::Foreign),
        ];
        match WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)) {
            Some((_, verb)) => *verb,
            None if word.starts_with("SSH-") || word.starts_with("HTTP/") => Verb::Foreign,
            None => Verb::Unknown,
        }
    }
}

/// One command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command<'a> {
    /// Its verb, in any case of letters.
    pub verb: Verb,
    /// What follows the verb, without blanks at either end (RFC 5321 §4.1.1 asks to bear trailing ones).
    pub arguments: &'a str,
}

impl<'a> Command<'a> {
    /// Takes a line apart.
    pub fn parse(line: &'a str) -> Self {
        let line = line.trim_end_matches([' ', '\t']);
        let (word, arguments) = line.split_once(' ').unwrap_or((line, ""));
        Command { verb: Verb::of(word), arguments: arguments.trim_start_matches(' ') }
    }
}

/// `FROM:<path> parameters` or `TO:<path> parameters`: what stands in the brackets, and the parameters. A blank after the
/// colon is borne. `None` when the shape is another.
pub fn split_path<'a>(arguments: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (word, rest) = arguments.split_at_checked(keyword.len())?;
    if !word.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let path = rest.trim_start_matches(' ').strip_prefix('<')?;
    let end = end_of_path(path)?;
    let parameters = &path[end + 1..];
    // A parameter needs a blank before it.
    (parameters.is_empty() || parameters.starts_with(' ')).then_some((&path[..end], parameters))
}

/// Index of the `>` that closes a path; one within a quoted local part does not.
fn end_of_path(path: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (i, b) in path.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(i),
            _ => {}
        }
    }
    None
}

/// `size [LAST]` of BDAT.
pub fn parse_bdat(arguments: &str) -> Option<(u64, bool)> {
    let (size, last) = match arguments.split_once(' ') {
        None => (arguments, false),
        Some((size, word)) if word.trim_start_matches(' ').eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return None,
    };
    Some((parse_digits(size)?, last))
}

/// One to twenty digits; a number beyond 64 bits is the largest one.
pub fn parse_digits(digits: &str) -> Option<u64> {
    let well_formed = (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    well_formed.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Whether an EHLO or HELO argument is taken: a domain or an address literal, or, because many programs send their machine's
/// name as it is, any word of visible ASCII that can stand in a Received header.
pub fn is_hello_name(name: &str) -> bool {
    if name.is_empty() || name.len() > HELLO_OCTETS_MAX || !name.is_ascii() {
        return false;
    }
    match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(literal) if is_literal(literal) => true,
        _ => is_domain(name) || name.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;\\\"".contains(&b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_known_in_any_case_and_arguments_are_trimmed() {
        let cases = [
            ("MAIL FROM:<>", Verb::Mail, "FROM:<>"),
            ("mail  FROM:<> \t", Verb::Mail, "FROM:<>"),
            ("StartTLS", Verb::StartTls, ""),
            ("expn list", Verb::NotImplemented, "list"),
            ("GET / HTTP/1.1", Verb::Foreign, "/ HTTP/1.1"),
            ("SSH-2.0-x", Verb::Foreign, ""),
            ("MAILFROM:<>", Verb::Unknown, ""),
            (" NOOP", Verb::Unknown, "NOOP"),
            ("", Verb::Unknown, ""),
        ];
        for (line, verb, arguments) in cases {
            assert_eq!(Command::parse(line), Command { verb, arguments }, "{line:?}");
        }
    }

    #[test]
    fn paths_end_at_their_own_bracket() {
        let cases = [
            ("FROM:<a@b>", Some(("a@b", ""))),
            ("from: <a@b> SIZE=1", Some(("a@b", " SIZE=1"))),
            ("FROM:<>", Some(("", ""))),
            ("FROM:<\"a>\\\"b\"@c> X", Some(("\"a>\\\"b\"@c", " X"))),
            ("FROM:<a@b>SIZE=1", None),
            ("FROM:a@b", None),
            ("FROM:<a@b", None),
            ("FROM:<\"a@b>", None),
            ("FROM <a@b>", None),
            ("TO:<a@b>", None),
            ("FROM", None),
            ("", None),
            ("FRO\u{98db}", None),
        ];
        for (arguments, expected) in cases {
            assert_eq!(split_path(arguments, "FROM:"), expected, "{arguments:?}");
        }
    }

    #[test]
    fn chunk_sizes_are_numbers() {
        let cases = [
            ("0", Some((0, false))),
            ("86 LAST", Some((86, true))),
            ("86  last", Some((86, true))),
            ("99999999999999999999", Some((u64::MAX, false))),
            ("999999999999999999999", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1 FIRST", None),
            ("LAST", None),
        ];
        for (arguments, expected) in cases {
            assert_eq!(parse_bdat(arguments), expected, "{arguments:?}");
        }
    }

    #[test]
    fn hello_names_can_stand_in_a_received_header() {
        let long = "x".repeat(256);
        let cases = [
            ("client.example.jp", true),
            ("[192.0.2.1]", true),
            ("[IPv6:::1]", true),
            ("MY_PC", true),
            ("::1", true),
            ("[localhost]", true),
            ("", false),
            ("a b", false),
            ("a(b)", false),
            ("例え.jp", false),
            (&long, false),
        ];
        for (name, taken) in cases {
            assert_eq!(is_hello_name(name), taken, "{name:?}");
        }
    }
}
