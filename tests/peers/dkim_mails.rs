//! Odd mails from a seed, for signatures: folds, blanks, octets of every kind, fields that lack or stand twice, bodies with
//! strange ends.
//!
//! Five of six have one Date, a From that is not empty, and no field twice that RFC 5322 §3.6 wants once: OpenDKIM's program
//! judges no others (it says "Syntax error" for them). The sixth is wild.
//!
//! Always: what leaves a relay. Lone CRs and LFs and NULs are refused or mended at its door; a body without a last line's end
//! gets one on the way out. Two kinds of octets are left out of header values, because the verifiers differ from RFC 6376
//! §3.4.2 there, which knows blank and tab alone as blanks: VT and FF, which OpenDKIM and dkimpy take for blanks, too.

use hikyaku::dkim::sign::NotSigned;

use crate::support::Rng;

/// A mail before it is signed.
pub struct Mail {
    /// Its header, with the empty line.
    pub head: Vec<u8>,
    /// What follows.
    pub body: Vec<u8>,
    /// Why nobody should sign it.
    pub unsigned: Option<NotSigned>,
    /// It has the fields that RFC 5322 §3.6 asks for, each once.
    pub regular: bool,
    /// Its From names a domain: somebody may sign for it.
    pub from_has_domain: bool,
}

impl Mail {
    /// The mail with these fields on top, as it goes out.
    pub fn outgoing(&self, fields: &[u8]) -> Vec<u8> {
        let end: &[u8] = if self.body.is_empty() || self.body.ends_with(b"\r\n") { b"" } else { b"\r\n" };
        [fields, &self.head, &self.body, end].concat()
    }
}

/// Makes the `n`th mail of a seed.
pub fn generate(rng: &mut Rng, n: usize) -> Mail {
    let mut fields = Vec::new();
    let unsigned = match n % 40 {
        7 => Some(NotSigned::SeveralFrom),
        23 => Some(NotSigned::NoFrom),
        _ => None,
    };
    let froms = match unsigned {
        Some(NotSigned::NoFrom) => 0,
        Some(_) => 2,
        None => 1,
    };
    let wild = n % 6 == 5;
    for _ in 0..froms {
        fields.push(from(rng, wild));
    }
    let from_has_domain = fields.iter().any(|(_, value)| value.contains(&b'@'));
    for (place, make) in OTHERS.iter().enumerate() {
        // Most mails have most fields, some twice.
        let times = match rng.below(10) {
            _ if place == DATE && !wild => 1,
            0..=3 => 0,
            9 if wild || place >= ONCE => 2,
            _ => 1,
        };
        for _ in 0..times {
            fields.push(make(rng, n));
        }
    }
    // In any order.
    for at in (1..fields.len()).rev() {
        fields.swap(at, rng.below(at + 1));
    }
    let mut head: Vec<u8> = Vec::new();
    for (name, value) in fields {
        head.extend_from_slice(&in_odd_letters(rng, name));
        head.push(b':');
        head.extend_from_slice(&value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Mail { head, body: body(rng), unsigned, regular: !wild, from_has_domain }
}

type Made = (&'static str, Vec<u8>);

/// Where Date is below.
const DATE: usize = 0;
/// The fields before this one stand once in a mail.
const ONCE: usize = 9;
/// The fields besides From.
const OTHERS: &[fn(&mut Rng, usize) -> Made] = &[
    |rng, _| ("Date", blanks(rng, b"Sun, 29 Nov 2026 04:00:00 +0900")),
    |rng, _| ("To", addresses(rng)),
    |rng, _| ("Cc", addresses(rng)),
    |rng, _| ("Reply-To", addresses(rng)),
    |rng, _| ("Subject", words(rng)),
    |rng, n| ("Message-ID", blanks(rng, format!("<{n}.{:x}@dkim.test>", n.wrapping_mul(2_654_435_761)).as_bytes())),
    |rng, _| ("Sender", addresses(rng)),
    |rng, _| ("In-Reply-To", blanks(rng, b"<a@b>\r\n <c@d>")),
    |rng, _| ("References", references(rng)),
    |rng, _| ("MIME-Version", blanks(rng, b"1.0")),
    |rng, _| ("Content-Type", blanks(rng, b"text/plain;\r\n\tcharset=\"utf-8\";\r\n format=flowed")),
    |rng, _| ("Content-Transfer-Encoding", blanks(rng, b"8bit")),
    |rng, _| ("List-Unsubscribe", blanks(rng, b"<mailto:u@dkim.test>,\r\n\t<https://dkim.test/u?t=a;b=c>")),
    |rng, _| ("List-Unsubscribe-Post", blanks(rng, b"List-Unsubscribe=One-Click")),
    |rng, _| ("List-Id", words(rng)),
    |rng, _| ("List-Help", blanks(rng, b"<https://dkim.test/help>")),
    |rng, _| ("Feedback-ID", blanks(rng, b"a:b:c:d")),
    |rng, _| ("Received", blanks(rng, b"from a.test by b.test\r\n\tfor <c@d>; Sun, 29 Nov 2026 04:00:00 +0900")),
    |rng, _| ("X-Odd", words(rng)),
    |rng, _| ("DKIM-Something", words(rng)),
];

fn from(rng: &mut Rng, wild: bool) -> Made {
    let value: &[&[u8]] = &[
        b" a@dkim.test",
        b"a@dkim.test",
        b"\t\"Taro, Yamada\"  <taro@dkim.test>",
        b" =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=\r\n <taro@dkim.test>",
        b" \xe5\xb1\xb1\xe7\x94\xb0 <taro@dkim.test>",
        b" caf\xe9 (in (Latin) one) <c@dkim.test> \t ",
        b" a@dkim.test,\r\n\tb@dkim.test , c@other.test",
        b"\r\n a@dkim.test",
        b" Team: a@dkim.test;",
        b"",
    ];
    // The last is empty.
    ("From", value[rng.below(if wild { value.len() } else { value.len() - 1 })].to_vec())
}

/// A list, at times of hundreds of addresses on many lines.
fn addresses(rng: &mut Rng) -> Vec<u8> {
    let many = match rng.below(12) {
        0 => 0,
        1 => 400,
        _ => 1 + rng.below(4),
    };
    let mut out = Vec::new();
    for n in 0..many {
        let between: &[&[u8]] = &[b", ", b",\r\n ", b",\r\n\t", b" ,\t"];
        out.extend_from_slice(if n == 0 { b" " } else { between[rng.below(between.len())] });
        out.extend_from_slice(format!("\"N {n}\" <n{n}@dst.test>").as_bytes());
        // A physical line stays below 998 octets.
        if n % 20 == 19 {
            out.extend_from_slice(b"\r\n\t");
        }
    }
    out
}

/// Text with blanks, folds, encoded words and octets of every kind.
fn words(rng: &mut Rng) -> Vec<u8> {
    match rng.below(14) {
        0 => return Vec::new(),
        1 => return b" ".to_vec(),
        // One line of 998 octets, its name included (the longest here is Subject or a shorter one).
        2 => return [b" ".to_vec(), vec![b'y'; 998 - 16]].concat(),
        _ => {}
    }
    let mut out = Vec::new();
    for _ in 0..1 + rng.below(10) {
        let piece: &[&[u8]] = &[
            b" word",
            b"  two  blanks",
            b"\ttab",
            b"\r\n folded",
            b"\r\n\t\tfolded deep",
            b" =?UTF-8?Q?=E6=97=A5=E6=9C=AC?=",
            b" =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=",
            b" \x1b$BF|K\\8l\x1b(B",
            b" \xe6\x97\xa5\xe6\x9c\xac",
            b" \xff\xfe\x80",
            b" \x01\x7f\x1c",
            b" a;b=c; h=from",
            b": colon",
        ];
        out.extend_from_slice(piece[rng.below(piece.len())]);
    }
    if rng.below(4) == 0 {
        out.extend_from_slice(b" \t ");
    }
    out
}

fn references(rng: &mut Rng) -> Vec<u8> {
    let many = if rng.below(8) == 0 { 300 } else { 1 + rng.below(4) };
    (0..many).map(|n| format!(" <{n}.abcdefghij@dkim.test>\r\n")).collect::<String>().trim_end().as_bytes().to_vec()
}

/// The value with blanks in front and behind, as programs leave them.
fn blanks(rng: &mut Rng, value: &[u8]) -> Vec<u8> {
    let before: &[&[u8]] = &[b" ", b" ", b"", b"\t", b"  ", b"\r\n "];
    let behind: &[&[u8]] = &[b"", b"", b" ", b" \t"];
    [before[rng.below(before.len())], value, behind[rng.below(behind.len())]].concat()
}

fn in_odd_letters(rng: &mut Rng, name: &str) -> Vec<u8> {
    match rng.below(6) {
        0 => name.to_ascii_uppercase().into_bytes(),
        1 => name.to_ascii_lowercase().into_bytes(),
        _ => name.as_bytes().to_vec(),
    }
}

fn body(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    match rng.below(12) {
        0 => return out,
        1 => return b"\r\n".repeat(1 + rng.below(4)),
        2 => return b" \t\r\n\r\n \r\n".to_vec(),
        _ => {}
    }
    let most = if rng.below(20) == 0 { 400 } else { 12 };
    for _ in 0..1 + rng.below(most) {
        match rng.below(12) {
            0 => {}
            1 => out.extend_from_slice(b"."),
            2 => out.extend_from_slice(b"..dots"),
            3 => out.extend_from_slice(b"blanks at the end \t "),
            4 => out.extend_from_slice(b"\tblanks  in \t between"),
            5 => out.extend(vec![b'z'; 998]),
            6 => out.extend_from_slice(b"From the beginning"),
            7 => out.extend((0..rng.below(120)).map(|_| odd(rng))),
            8 => out.extend_from_slice("おはようございます。".as_bytes()),
            9 => out.extend_from_slice(b"Subject: not a header"),
            _ => out.extend_from_slice(b"Good morning."),
        }
        out.extend_from_slice(b"\r\n");
    }
    match rng.below(6) {
        0 => out.extend_from_slice(&b"\r\n".repeat(1 + rng.below(5))),
        1 => out.extend_from_slice(b" \r\n\t\r\n"),
        2 => out.extend_from_slice(b"no end of line"),
        3 => out.extend_from_slice(b"no end of line \t"),
        _ => {}
    }
    out
}

/// Any octet but NUL, CR and LF.
fn odd(rng: &mut Rng) -> u8 {
    match (rng.next() & 0xff) as u8 {
        0 | b'\r' | b'\n' => b'.',
        octet => octet,
    }
}
