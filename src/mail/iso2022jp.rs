//! Text in ISO-2022-JP.
//!
//! In: any text.  Out: its octets, or which of its characters this charset cannot carry.
//! Always: only ASCII and rows 1–8 and 16–84 of JIS X 0208 are written, so that every reader since 1993 shows the same; what
//! is written ends in ASCII, and so does each line of it. Half-width kana become full-width (RFC 1468 has none), a voicing
//! mark joins its kana, and characters of which two forms are published for one code (`〜` and `～`) are both written as it.
//! A backslash stays ASCII, a yen sign becomes the full-width one: JIS X 0201 Roman, in which they are one code, is not sent.
//! Sources: RFC 1468, JIS X 0208:1997, the WHATWG Encoding Standard's index jis0208 for the rows named.

use std::{iter::Peekable, str::Chars, sync::LazyLock};

use encoding_rs::EUC_JP;

/// Announces JIS X 0208-1983.
const TO_JIS: &[u8] = b"\x1b$B";
/// Announces ASCII.
const TO_ASCII: &[u8] = b"\x1b(B";
/// Octets of either.
const ESCAPE_OCTETS: usize = 3;
/// Cells of a row.
const CELLS: u8 = 94;
/// The voicing marks that combine, and those that stand behind half-width kana.
const VOICED: [char; 2] = ['\u{3099}', '\u{ff9e}'];
const SEMI_VOICED: [char; 2] = ['\u{309a}', '\u{ff9f}'];

/// A second published form of a character, and the form that the table has.
const PAIRS: &[(char, char)] = &[
    ('\u{301c}', '\u{ff5e}'), // wave dash, full-width tilde
    ('\u{2212}', '\u{ff0d}'), // minus, full-width hyphen-minus
    ('\u{2016}', '\u{2225}'), // double vertical line, parallel to
    ('\u{2014}', '\u{2015}'), // em dash, horizontal bar
    ('\u{a2}', '\u{ffe0}'),   // cent
    ('\u{a3}', '\u{ffe1}'),   // pound
    ('\u{ac}', '\u{ffe2}'),   // not
    ('\u{a5}', '\u{ffe5}'),   // yen
    ('\u{203e}', '\u{ffe3}'), // overline, full-width macron
    ('\u{c5}', '\u{212b}'),   // A with ring, ångström
];

/// U+FF61 to U+FF9F, full-width.
const FULL_WIDTH: [char; 63] = [
    '。', '「', '」', '、', '・', 'ヲ', 'ァ', 'ィ', 'ゥ', 'ェ', 'ォ', 'ャ', 'ュ', 'ョ', 'ッ', 'ー', 'ア', 'イ', 'ウ',
    'エ', 'オ', 'カ', 'キ', 'ク', 'ケ', 'コ', 'サ', 'シ', 'ス', 'セ', 'ソ', 'タ', 'チ', 'ツ', 'テ', 'ト', 'ナ', 'ニ',
    'ヌ', 'ネ', 'ノ', 'ハ', 'ヒ', 'フ', 'ヘ', 'ホ', 'マ', 'ミ', 'ム', 'メ', 'モ', 'ヤ', 'ユ', 'ヨ', 'ラ', 'リ', 'ル',
    'レ', 'ロ', 'ワ', 'ン', '゛', '゜',
];

/// The two octets of each character up to U+FFFF, 0 where there are none.
static TABLE: LazyLock<Box<[u16]>> = LazyLock::new(|| {
    let mut table = vec![0u16; 0x1_0000].into_boxed_slice();
    for row in (1..=8).chain(16..=84) {
        for cell in 1..=CELLS {
            // EUC-JP writes the same rows and cells, with the high bit set.
            let octets = [row + 0xa0, cell + 0xa0];
            let (text, malformed) = EUC_JP.decode_without_bom_handling(&octets);
            if let (false, Some(c)) = (malformed, text.chars().next()) {
                put(&mut table, c, u16::from_be_bytes([row + 0x20, cell + 0x20]));
            }
        }
    }
    for (second, first) in PAIRS {
        let code = table.get(*first as usize).copied().unwrap_or_default();
        put(&mut table, *second, code);
    }
    table
});

fn put(table: &mut [u16], c: char, code: u16) {
    if let Some(slot) = table.get_mut(c as usize) {
        *slot = code;
    }
}

fn code_of(c: char) -> Option<[u8; 2]> {
    TABLE.get(c as usize).copied().filter(|code| *code != 0).map(u16::to_be_bytes)
}

/// What a character is in this charset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Atom {
    /// An octet of ASCII.
    Ascii(u8),
    /// Two octets of JIS X 0208.
    Jis([u8; 2]),
    /// Nothing: the charset lacks it.
    Missing(char),
}

/// The characters of a text, as this charset has them.
#[derive(Clone, Debug)]
pub struct Atoms<'a>(Peekable<Chars<'a>>);

impl<'a> Atoms<'a> {
    /// The characters of `text`.
    pub fn new(text: &'a str) -> Self {
        Atoms(text.chars().peekable())
    }

    /// A mark behind `base` that joins it: the joined character.
    fn joined(&mut self, base: char) -> Option<char> {
        let mark = *self.0.peek()?;
        let is_mark = matches!(mark, '\u{306}' | '\u{308}' | '\u{3099}' | '\u{309a}' | '\u{ff9e}' | '\u{ff9f}');
        let whole = if is_mark { joined(base, mark)? } else { return None };
        self.0.next();
        Some(whole)
    }
}

impl Iterator for Atoms<'_> {
    type Item = Atom;

    fn next(&mut self) -> Option<Atom> {
        let c = self.0.next()?;
        // Escapes and shifts would change what the octets behind them mean.
        if matches!(c, '\u{1b}' | '\u{e}' | '\u{f}') {
            return Some(Atom::Missing(c));
        }
        if let Ok(octet) = u8::try_from(c)
            && octet.is_ascii()
        {
            return Some(Atom::Ascii(octet));
        }
        let base = full_width(c).unwrap_or(c);
        let whole = self.joined(base).unwrap_or(base);
        Some(code_of(whole).map_or(Atom::Missing(whole), Atom::Jis))
    }
}

/// The full-width form of half-width punctuation or kana.
fn full_width(c: char) -> Option<char> {
    let index = (c as usize).checked_sub(0xff61)?;
    FULL_WIDTH.get(index).copied()
}

/// The one character that a base and a mark make. A spacing mark (`ﾞ`) joins only what then can be written; by itself it can
/// be, too.
fn joined(base: char, mark: char) -> Option<char> {
    let hiragana = match base {
        'ァ'..='ヾ' => char::from_u32(base as u32 - 0x60)?,
        _ => base,
    };
    let step = match (mark, hiragana) {
        // Their voiced forms stand right behind them.
        (
            m,
            'か' | 'き' | 'く' | 'け' | 'こ' | 'さ' | 'し' | 'す' | 'せ' | 'そ' | 'た' | 'ち' | 'つ' | 'て' | 'と'
            | 'ゝ',
        )
        | (m, 'は' | 'ひ' | 'ふ' | 'へ' | 'ほ')
            if VOICED.contains(&m) =>
        {
            1
        }
        (m, 'は' | 'ひ' | 'ふ' | 'へ' | 'ほ') if SEMI_VOICED.contains(&m) => 2,
        (m, 'う') if VOICED.contains(&m) => 'ゔ' as u32 - 'う' as u32,
        // The two Cyrillic letters that decomposed text takes apart.
        ('\u{306}', 'и' | 'И') => return Some(if base == 'и' { 'й' } else { 'Й' }),
        ('\u{308}', 'е' | 'Е') => return Some(if base == 'е' { 'ё' } else { 'Ё' }),
        _ => return None,
    };
    let whole = char::from_u32(base as u32 + step)?;
    let combines = matches!(mark, '\u{3099}' | '\u{309a}');
    (combines || code_of(whole).is_some()).then_some(whole)
}

/// The characters of `text` that the charset lacks, each once, in order, at most `max` of them. Empty: it has all.
pub fn missing(text: &str, max: usize) -> String {
    let mut found = String::new();
    if text.is_ascii() && !text.bytes().any(|b| matches!(b, 0x0e | 0x0f | 0x1b)) {
        return found;
    }
    let mut count = 0;
    for atom in Atoms::new(text) {
        if let Atom::Missing(c) = atom
            && !found.contains(c)
        {
            if count == max {
                break;
            }
            found.push(c);
            count += 1;
        }
    }
    found
}

/// Writes characters after each other, changing sets only where needed.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    out: Vec<u8>,
    in_jis: bool,
}

impl Encoder {
    /// What the encoder holds once it is ended.
    pub fn ended_len(&self) -> usize {
        self.out.len() + if self.in_jis { ESCAPE_OCTETS } else { 0 }
    }

    /// How many octets more it holds, ended, with `atom`.
    pub fn cost(&self, atom: Atom) -> usize {
        match (atom, self.in_jis) {
            (Atom::Ascii(_), false) => 1,
            // The escape back to ASCII, which comes before it, was counted.
            (Atom::Ascii(_), true) => 1,
            (Atom::Jis(_), true) => 2,
            (Atom::Jis(_), false) => 2 + 2 * ESCAPE_OCTETS,
            (Atom::Missing(_), _) => 0,
        }
    }

    /// Appends a character; one that is missing is left out, so ask [`missing`] before.
    pub fn push(&mut self, atom: Atom) {
        match atom {
            Atom::Ascii(octet) => {
                self.leave_jis();
                self.out.push(octet);
            }
            Atom::Jis(octets) => {
                if !self.in_jis {
                    self.out.extend_from_slice(TO_JIS);
                    self.in_jis = true;
                }
                self.out.extend_from_slice(&octets);
            }
            Atom::Missing(_) => {}
        }
    }

    fn leave_jis(&mut self) {
        if self.in_jis {
            self.out.extend_from_slice(TO_ASCII);
            self.in_jis = false;
        }
    }

    /// The octets, ended in ASCII; the encoder is empty again.
    pub fn take(&mut self) -> Vec<u8> {
        self.leave_jis();
        std::mem::take(&mut self.out)
    }
}

/// A whole text. Line ends are ASCII, and so each line ends in it.
pub fn encode(text: &str) -> Vec<u8> {
    let mut encoder = Encoder { out: Vec::with_capacity(text.len()), in_jis: false };
    for atom in Atoms::new(text) {
        encoder.push(atom);
    }
    encoder.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_the_octets_of_the_standard() {
        for (text, expected) in [
            ("", &b""[..]),
            ("plain\r\n", b"plain\r\n"),
            ("あ", b"\x1b$B$\"\x1b(B"),
            ("日本\r\n語x", b"\x1b$BF|K\\\x1b(B\r\n\x1b$B8l\x1b(Bx"),
            ("a\\b", b"a\\b"),
            ("ｶﾞｷﾟﾊﾟｱｰ｡", b"\x1b$B%,%-!,%Q%\"!<!#\x1b(B"),
            ("か\u{3099}は\u{309a}ｶ\u{3099}", b"\x1b$B$,$Q%,\x1b(B"),
            ("ｳﾞﾜﾞ", b"\x1b$B%t%o!+\x1b(B"),
            ("〜～−－‖∥¢￠£￡¬￢—―¥￥‾￣", b"\x1b$B!A!A!]!]!B!B!q!q!r!r\"L\"L!=!=!o!o!1!1\x1b(B"),
        ] {
            assert_eq!(missing(text, 9), "", "{text}");
            assert_eq!(encode(text), expected, "{text}: {}", String::from_utf8_lossy(&encode(text)));
        }
    }

    #[test]
    fn what_the_charset_lacks_is_named_once_and_in_order() {
        for (text, expected) in [
            ("①あ㈱髙①", "①㈱髙"),
            ("Ⅲ∑纊ⅰ", "Ⅲ纊ⅰ"),
            ("smile 😀 é", "😀é"),
            ("\u{1b}$B", "\u{1b}"),
            ("う\u{3099}ゔ", "ゔ"),
            ("\u{3099}あ", "\u{3099}"),
            ("\u{a0}", "\u{a0}"),
        ] {
            // `∑` of row 13 is its own character, U+2211; row 2 has none.
            let expected = if text.contains('∑') { "Ⅲ∑纊ⅰ" } else { expected };
            assert_eq!(missing(text, 9), expected, "{text}");
        }
        assert_eq!(missing("①②③④", 2), "①②");
    }

    #[test]
    fn the_table_has_the_rows_that_are_sent_and_no_other() {
        let mut codes: Vec<u16> = TABLE.iter().copied().filter(|c| *c != 0).collect();
        assert_eq!(codes.len(), 6_879 + PAIRS.len());
        codes.sort_unstable();
        codes.dedup();
        // 6,879 characters are in JIS X 0208:1997.
        assert_eq!(codes.len(), 6_879);
        assert!(codes.iter().all(|c| matches!((c >> 8) - 0x20, 1..=8 | 16..=84)));
    }

    #[test]
    fn the_cost_of_a_character_is_what_it_takes() {
        let mut encoder = Encoder::default();
        for atom in Atoms::new("aあいb\u{ff71}cd日") {
            let expected = encoder.ended_len() + encoder.cost(atom);
            encoder.push(atom);
            assert_eq!(encoder.ended_len(), expected, "{atom:?}");
        }
        assert_eq!(encoder.ended_len(), encoder.take().len());
    }
}
