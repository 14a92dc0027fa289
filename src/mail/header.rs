//! What the log and the policies need to know of a message's header, read once while it arrives.
//!
//! In: the header section, as it came, and which further fields somebody wants to see.  Out: [`Facts`], [`Watched`].
//! Always: one pass over the lines; only the few fields that matter are decoded; every text is bounded and single-line;
//! nothing here changes the message (R8) or panics, whatever the bytes are.
//! Sources: RFC 5322 §2.2 and §3.6, RFC 2047, RFC 6532, RFC 1468 (raw ISO-2022-JP of legacy programs), RFC 8689 §5.

use std::{borrow::Cow, ops::Range};

use mail_parser::{HeaderValue, decoders::charsets::map::charset_decoder, parsers::MessageStream};

use super::watched::{VALUE_MAX, Watch, Watched};
use crate::event::Class;

/// Octets of header looked at; what stands beyond counts as body. Real headers stay below 100 KiB.
pub const HEADER_BYTES_MAX: usize = 256 * 1024;
/// Octets of one field's value that are decoded; a longer one is read as if it ended there.
const VALUE_BYTES_MAX: usize = 8 * 1024;
/// Octets kept of Message-ID.
const MESSAGE_ID_MAX: usize = 512;
/// Octets kept of the From address: the longest path (RFC 5321 §4.5.3.1.3) and some.
const FROM_MAX: usize = 320;
/// Further addresses of From that are kept; who has as many is no honest sender of the few that may be checked.
const FROM_OTHERS_MAX: usize = 16;
/// Octets kept of the subject.
const SUBJECT_MAX: usize = 512;
/// Octets kept of X-Api-Data.
const API_DATA_MAX: usize = 512;
/// The escape that starts JIS X 0208 in raw ISO-2022-JP.
const JIS_ESCAPE: &[u8] = b"\x1b$";

/// Facts of a header. Texts are decoded, single-line and bounded; empty when the header lacks them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Message-ID with its angle brackets, as written; `<>` when the field is there and empty.
    pub message_id: String,
    /// The first address of From, without display name.
    pub from: String,
    /// What else looks like an address in From fields, outside quotes and comments: who may send as some addresses only must be
    /// allowed all of them, since programs that show mail differ in which one they show. Not kept in the log.
    pub from_others: Vec<String>,
    /// Subject, decoded.
    pub subject: String,
    /// X-Api-Data, CMC's correlation header.
    pub api_data: String,
    /// The class that the configured priority header names.
    pub class: Option<Class>,
    /// Number of Received header fields (hops).
    pub received_count: u32,
    /// A Date field is present.
    pub has_date: bool,
    /// The message has a header: its first line is a field.
    pub has_header: bool,
    /// The header has bytes over 127 (RFC 6532, or a legacy program).
    pub header_is_8bit: bool,
    /// `TLS-Required: No` (RFC 8689 §5): delivery counts more than TLS.
    pub tls_optional: bool,
    /// The submitter's own fields let a reader leave with one click (RFC 8058 §3.1): a `List-Unsubscribe` with an HTTPS link, and
    /// `List-Unsubscribe-Post: List-Unsubscribe=One-Click`.
    pub one_click: bool,
}

/// Finds where the header section ends: the offset after the empty line. `from` is where an earlier look at a shorter
/// buffer stopped (its length then), so that a growing buffer is looked at once.
pub fn find_end(buffer: &[u8], from: usize) -> Option<usize> {
    if buffer.starts_with(b"\r\n") {
        return Some(2);
    }
    let start = from.min(buffer.len()).saturating_sub(3);
    let found = buffer.get(start..)?.windows(4).position(|w| w == b"\r\n\r\n");
    found.map(|at| start + at + 4)
}

/// Reads the facts of the header at the start of `head`, which may go on into the body. `priority_header` is the name of
/// the field that names the class; empty: none.
pub fn scan(head: &[u8], priority_header: &str) -> Facts {
    scan_watching(head, priority_header, &Watch::default()).0
}

/// [`scan`], and the values of the fields that are watched.
pub fn scan_watching(head: &[u8], priority_header: &str, watch: &Watch) -> (Facts, Watched) {
    let head = &head[..head.len().min(HEADER_BYTES_MAX)];
    let (mut facts, mut watched) = (Facts::default(), Watched::default());
    let mut tls_required = TlsRequired::default();
    let (mut has_link, mut has_post) = (false, false);
    for field in Fields::new(head) {
        facts.has_header = true;
        let (name, value) = (&head[field.name.clone()], &head[field.value.clone()]);
        facts.header_is_8bit |= !head[field.name.start..field.value.end].is_ascii();
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"Date") => facts.has_date = true,
            4 if name.eq_ignore_ascii_case(b"From") => {
                if facts.from.is_empty() {
                    facts.from = first_address(value);
                }
                other_addresses(value, &facts.from, &mut facts.from_others);
            }
            7 if facts.subject.is_empty() && name.eq_ignore_ascii_case(b"Subject") => {
                facts.subject = bounded(&text(value), SUBJECT_MAX);
            }
            8 if name.eq_ignore_ascii_case(b"Received") => facts.received_count += 1,
            10 if facts.message_id.is_empty() && name.eq_ignore_ascii_case(b"Message-ID") => {
                facts.message_id = bounded(&text(value), MESSAGE_ID_MAX);
                if facts.message_id.is_empty() {
                    facts.message_id = "<>".to_owned();
                }
            }
            10 if facts.api_data.is_empty() && name.eq_ignore_ascii_case(b"X-Api-Data") => {
                facts.api_data = bounded(&text(value), API_DATA_MAX);
            }
            12 if name.eq_ignore_ascii_case(b"TLS-Required") => tls_required.meet(value),
            16 if name.eq_ignore_ascii_case(b"List-Unsubscribe") => has_link |= has_https_link(value),
            21 if name.eq_ignore_ascii_case(b"List-Unsubscribe-Post") => {
                has_post |= value.trim_ascii().eq_ignore_ascii_case(b"List-Unsubscribe=One-Click");
            }
            _ => {}
        }
        if facts.class.is_none() && name.len() == priority_header.len() {
            facts.class = class_of(name, value, priority_header);
        }
        if !watch.is_empty()
            && let Some(name) = watch.find(name)
            && watched.meet(name)
        {
            watched.keep(name, bounded(&text(value), VALUE_MAX));
        }
    }
    facts.tls_optional = tls_required == TlsRequired::No;
    facts.one_click = has_link && has_post;
    (facts, watched)
}

/// One of the links of a List-Unsubscribe is HTTPS.
fn has_https_link(value: &[u8]) -> bool {
    const BEGIN: &[u8] = b"<https://";
    let value = &value[..value.len().min(VALUE_BYTES_MAX)];
    value.windows(BEGIN.len()).any(|w| w.eq_ignore_ascii_case(BEGIN))
}

/// What TLS-Required fields said so far.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum TlsRequired {
    #[default]
    Nothing,
    /// The one field says `No`.
    No,
    /// Another word, or a second field: it counts for nothing (RFC 8689 §5 knows one field with one word).
    Unclear,
}

impl TlsRequired {
    fn meet(&mut self, value: &[u8]) {
        let is_no = value.trim_ascii().eq_ignore_ascii_case(b"no");
        *self = if is_no && *self == TlsRequired::Nothing { TlsRequired::No } else { TlsRequired::Unclear };
    }
}

fn class_of(name: &[u8], value: &[u8], priority_header: &str) -> Option<Class> {
    if priority_header.is_empty() || !name.eq_ignore_ascii_case(priority_header.as_bytes()) {
        return None;
    }
    let word = value.trim_ascii();
    Class::ALL.into_iter().find(|class| word.eq_ignore_ascii_case(class.word().as_bytes()))
}

/// One header field: where its name and its value are. The value keeps its folding and ends before the last CRLF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// The name, without blanks before the colon.
    pub name: Range<usize>,
    /// What follows the colon.
    pub value: Range<usize>,
    /// The whole field, its last line ending included.
    pub whole: Range<usize>,
}

/// The fields of a header, in order, up to the empty line or the first line that is no field.
#[derive(Debug)]
pub struct Fields<'a> {
    head: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields at the start of `head`.
    pub fn new(head: &'a [u8]) -> Self {
        Fields { head, at: 0 }
    }

    /// The end of the line at `from`: (where its text ends, where the next one starts).
    fn line(&self, from: usize) -> (usize, usize) {
        match self.head[from..].iter().position(|b| *b == b'\n') {
            Some(at) => {
                let end = from + at;
                let text_end = if at > 0 && self.head[end - 1] == b'\r' { end - 1 } else { end };
                (text_end, end + 1)
            }
            None => (self.head.len(), self.head.len()),
        }
    }
}

impl Iterator for Fields<'_> {
    type Item = Field;

    fn next(&mut self) -> Option<Field> {
        let start = self.at;
        let (first_end, mut next) = self.line(start);
        let colon = name_end(&self.head[start..first_end])?;
        let mut value_end = first_end;
        while matches!(self.head.get(next), Some(b' ' | b'\t')) {
            (value_end, next) = self.line(next);
        }
        self.at = next;
        let name = self.head[start..start + colon].trim_ascii_end().len();
        Some(Field { name: start..start + name, value: start + colon + 1..value_end, whole: start..next })
    }
}

/// Where the colon of a field's first line is; `None`: the line is no field. Blanks before the colon are the obsolete
/// syntax of RFC 5322 §4.5.
fn name_end(line: &[u8]) -> Option<usize> {
    let colon = line.iter().position(|b| !matches!(b, 33..=57 | 59..=126))?;
    let blanks = line[colon..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    (colon > 0 && line.get(colon + blanks) == Some(&b':')).then_some(colon + blanks)
}

/// A field's value as text: decoded, unfolded, not yet bounded.
fn text(value: &[u8]) -> Cow<'_, str> {
    whole_text(&value[..value.len().min(VALUE_BYTES_MAX)])
}

/// The same of all of a value, however long it is.
pub(super) fn whole_text(value: &[u8]) -> Cow<'_, str> {
    let value = value.trim_ascii();
    if has_encoded_word(value) {
        let line = ended(value);
        if let HeaderValue::Text(text) = MessageStream::new(&line).parse_unstructured() {
            return Cow::Owned(text.into_owned());
        }
    }
    raw_text(value)
}

/// Text without encoded words: UTF-8, raw ISO-2022-JP, or what can be read of it.
fn raw_text(value: &[u8]) -> Cow<'_, str> {
    if value.windows(JIS_ESCAPE.len()).any(|w| w == JIS_ESCAPE)
        && let Some(decode) = charset_decoder(b"iso-2022-jp")
    {
        return Cow::Owned(decode(value));
    }
    String::from_utf8_lossy(value)
}

/// The first address of an address list, without name, comment and brackets; what stands there when it is none.
fn first_address(value: &[u8]) -> String {
    let value = value[..value.len().min(VALUE_BYTES_MAX)].trim_ascii();
    let is_plain = !value.iter().any(|b| matches!(b, b'"' | b'(' | b'=' | b':' | b';' | b'\\' | 0x1b));
    if is_plain {
        let list = String::from_utf8_lossy(value);
        let first = list.split(',').next().unwrap_or_default();
        let inside = first.split_once('<').map_or(first, |(_, rest)| rest.split('>').next().unwrap_or_default());
        return bounded(inside, FROM_MAX);
    }
    let line = ended(value);
    if let HeaderValue::Address(list) = MessageStream::new(&line).parse_address()
        && let Some(address) = list.first().and_then(|a| a.address())
    {
        return bounded(address, FROM_MAX);
    }
    bounded(&text(value), FROM_MAX)
}

/// Adds what looks like an address, is not `known`, and stands outside quoted texts, comments and encoded words. Of a value
/// that is longer than what is read, the rest counts as one that nobody may use.
fn other_addresses(value: &[u8], known: &str, others: &mut Vec<String>) {
    let (mut quoted, mut comments, mut escaped) = (false, 0u32, false);
    let mut word: Vec<u8> = Vec::new();
    let mut end = |word: &mut Vec<u8>| {
        // What an encoded word holds is a name, whatever it looks like.
        let is_encoded = word.starts_with(b"=?") && word.ends_with(b"?=");
        if word.contains(&b'@') && !is_encoded {
            let text = bounded(&String::from_utf8_lossy(word), FROM_MAX);
            if !text.eq_ignore_ascii_case(known) && others.len() < FROM_OTHERS_MAX && !others.contains(&text) {
                others.push(text);
            }
        }
        word.clear();
    };
    for octet in value.iter().take(VALUE_BYTES_MAX) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted || comments > 0 => escaped = true,
            b'"' if comments == 0 => {
                quoted = !quoted;
                // A quoted local part begins here, and a name ends: what follows is looked at by itself.
                end(&mut word);
            }
            _ if quoted => {}
            b'(' => {
                comments += 1;
                end(&mut word);
            }
            b')' => comments = comments.saturating_sub(1),
            _ if comments > 0 => {}
            b' ' | b'\t' | b'\r' | b'\n' | b'<' | b'>' | b',' | b';' | b':' => end(&mut word),
            octet => word.push(*octet),
        }
    }
    end(&mut word);
    if (value.len() > VALUE_BYTES_MAX || quoted || comments > 0) && others.len() < FROM_OTHERS_MAX {
        others.push(String::new());
    }
}

fn has_encoded_word(value: &[u8]) -> bool {
    value.windows(2).any(|w| w == b"=?")
}

/// The value with a line ending, which the decoder needs to see its end.
fn ended(value: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(value.len() + 1);
    line.extend_from_slice(value);
    line.push(b'\n');
    line
}

/// One line without control characters, blanks at its ends, and at most `bytes_max` octets.
fn bounded(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max));
    for c in text.trim().chars() {
        let c = match c {
            '\t' => ' ',
            c if c.is_control() => continue,
            c => c,
        };
        if out.len() + c.len_utf8() > bytes_max {
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn facts_of_ordinary_and_of_strange_headers() {
        let facts = scan(
            b"Received: from a\r\n\tby b; date\r\nReceived: x\r\nDATE: now\r\nFrom: Taro <taro@example.jp>\r\n\
              Subject: =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?= and\r\n  more\r\nMessage-Id: <1@example.jp>\r\n\
              X-Api-Data: {\"id\":7}\r\nX-Priority-Class: LOW\r\n\r\nReceived: not a header\r\n",
            "x-priority-class",
        );
        let expected = Facts {
            message_id: "<1@example.jp>".into(),
            from: "taro@example.jp".into(),
            from_others: Vec::new(),
            subject: "日本 and more".into(),
            api_data: "{\"id\":7}".into(),
            class: Some(Class::Low),
            received_count: 2,
            has_date: true,
            has_header: true,
            header_is_8bit: false,
            tls_optional: false,
            one_click: false,
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn one_click_needs_both_fields_and_an_https_link() {
        for (head, expected) in [
            (
                "List-Unsubscribe: <mailto:a@b>,\r\n <HTTPS://b/x>\r\nlist-unsubscribe-post:List-Unsubscribe=One-Click\r\n\r\n",
                true,
            ),
            ("List-Unsubscribe: <https://b/x>\r\n\r\n", false),
            ("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\n", false),
            ("List-Unsubscribe: <http://b/x>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\n", false),
            ("List-Unsubscribe: <https://b/x>\r\nList-Unsubscribe-Post: yes\r\n\r\n", false),
            (
                "Subject: x\r\n\r\nList-Unsubscribe: <https://b/x>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
                false,
            ),
        ] {
            assert_eq!(scan(head.as_bytes(), "").one_click, expected, "{head}");
        }
    }

    #[test]
    fn subjects_are_decoded_whatever_wrote_them() {
        for (raw, expected) in [
            (&b"plain"[..], "plain"),
            (b"folded\r\n\tand folded\r\n again", "folded and folded again"),
            ("日本語".as_bytes(), "日本語"),
            (b"\x1b$BF|K\\8l\x1b(B!", "日本語!"),
            (b"=?UTF-8?Q?=E6=97=A5?= =?utf-8?B?5pys?=", "日本"),
            (b"=?unknown?q?a=20b?=", "a b"),
            (b"=?utf-8?b?broken", "=?utf-8?b?broken"),
            (b"bell \x07 and \x7f nul", "bell  and  nul"),
            (b"=?utf-8?q?two=0D=0ABcc:_lines?=", "twoBcc: lines"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"", ""),
        ] {
            let mut head = b"Subject: ".to_vec();
            head.extend_from_slice(raw);
            head.extend_from_slice(b"\r\n\r\n");
            assert_eq!(scan(&head, "").subject, expected, "{:?}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn whatever_else_looks_like_a_from_address_is_found() {
        for (raw, others) in [
            ("From: a@b.example", &[][..]),
            ("From: A <a@b.example>", &[]),
            ("From: \"x@y.example\" (z@y.example) <A@b.example>", &[]),
            ("From: \"quote \\\" x@y.example\" <a@b.example>", &[]),
            ("From: =?utf-8?q?x@y.example?= <a@b.example>", &[]),
            ("From: a@b.example, C <c@d.example>", &["c@d.example"]),
            ("From: x@y.example <a@b.example>", &["x@y.example"]),
            ("From: <a@b.example> <c@d.example>", &["c@d.example"]),
            ("From: a@b.example\r\nFrom: c@d.example", &["c@d.example"]),
            ("From: a@b.example\r\nfrom : c@d.example", &["c@d.example"]),
            ("From: Staff:a@b.example,c@d.example;", &["c@d.example"]),
            ("From: <@relay.example:a@b.example>", &["@relay.example"]),
            ("From: a@b.example, \"q l\"@d.example", &["@d.example"]),
            ("From: a@b.example (never closed c@d.example", &[""]),
            ("From: a@b.example \"never closed c@d.example", &[""]),
        ] {
            let facts = scan(format!("{raw}\r\n\r\n").as_bytes(), "");
            let found: Vec<&str> =
                facts.from_others.iter().map(String::as_str).filter(|text| *text != "a@b.example").collect();
            assert_eq!(found, others, "{raw}: {facts:?}");
        }
        let many: String = (0..100).map(|n| format!("a{n}@b.example,")).collect();
        assert_eq!(scan(format!("From: {many}\r\n\r\n").as_bytes(), "").from_others.len(), FROM_OTHERS_MAX);
        let long = format!("From: a@b.example{}, c@d.example\r\n\r\n", " ".repeat(VALUE_BYTES_MAX));
        assert_eq!(scan(long.as_bytes(), "").from_others, [""], "what was not read is not trusted");
    }

    #[test]
    fn the_first_from_address_is_found() {
        for (raw, expected) in [
            ("a@b.example", "a@b.example"),
            ("<a@b.example>", "a@b.example"),
            ("A <a@b.example>, C <c@d.example>", "a@b.example"),
            ("\"Doe, John <x@y>\" <john@b.example>", "john@b.example"),
            ("=?UTF-8?B?5pel5pys?= <jp@b.example>", "jp@b.example"),
            ("jp@b.example (=?UTF-8?B?5pel5pys?=)", "jp@b.example"),
            ("日本 <用戸@例え.jp>", "用戸@例え.jp"),
            ("undisclosed", "undisclosed"),
            ("", ""),
        ] {
            assert_eq!(scan(format!("From: {raw}\r\n\r\n").as_bytes(), "").from, expected, "{raw}");
        }
    }

    #[test]
    fn a_message_without_a_header_has_none() {
        for body in
            ["", "\r\n", "\r\nSubject: in the body\r\n", "Hello,\r\nSubject: x\r\n", ": nameless\r\n", " folded: x\r\n"]
        {
            assert_eq!(scan(body.as_bytes(), "X"), Facts::default(), "{body:?}");
        }
        assert!(scan(b"Subject : obsolete", "").has_header);
    }

    #[test]
    fn one_field_alone_says_that_tls_is_optional() {
        for (head, expected) in [
            ("TLS-Required: No\r\n\r\n", true),
            ("tls-required:\r\n\tNO \r\nA: b\r\n\r\n", true),
            ("TLS-Required: Yes\r\n\r\n", false),
            ("TLS-Required: No, really\r\n\r\n", false),
            ("TLS-Required:\r\n\r\n", false),
            ("TLS-Required: No\r\nTLS-Required: No\r\n\r\n", false),
            ("TLS-Required: Yes\r\nTLS-Required: No\r\n\r\n", false),
            ("A: b\r\n\r\nTLS-Required: No\r\n", false),
        ] {
            assert_eq!(scan(head.as_bytes(), "").tls_optional, expected, "{head:?}");
        }
    }

    #[test]
    fn texts_are_bounded() {
        let head = format!("Subject: {}\r\nX-Api-Data: {}\r\n\r\n", "日".repeat(4_000), "x".repeat(100_000));
        let facts = scan(head.as_bytes(), "");
        assert!(facts.subject.len() <= SUBJECT_MAX && facts.subject.chars().all(|c| c == '日'));
        assert_eq!(facts.api_data.len(), API_DATA_MAX);
    }

    #[test]
    fn the_end_is_found_in_a_growing_buffer() {
        let whole = b"A: b\r\nC: d\r\n\r\nbody";
        for cut in 0..whole.len() {
            let first = find_end(&whole[..cut], 0);
            let found = first.or_else(|| find_end(whole, cut));
            assert_eq!(found, Some(14), "cut at {cut}");
        }
        assert_eq!(find_end(b"\r\nbody", 0), Some(2));
        assert_eq!(find_end(b"A: b\r\n", 0), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(head in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = scan(&head, "X-Priority-Class");
        }

        #[test]
        fn no_header_like_text_makes_it_panic(
            lines in proptest::collection::vec("(From|Subject|Message-ID|X-Api-Data|Received)?: ?(=\\?(utf-8|iso-2022-jp)\\?[bq]\\?)?[ -~\u{1b}é\"<>()\\\\]{0,40}(\\?=)?", 0..12),
        ) {
            let head = lines.join("\r\n");
            let facts = scan(head.as_bytes(), "");
            for text in [&facts.subject, &facts.from, &facts.message_id, &facts.api_data] {
                prop_assert!(!text.chars().any(char::is_control) && text.len() <= 512);
            }
        }
    }
}
