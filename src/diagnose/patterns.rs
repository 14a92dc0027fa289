//! Subjects without what differs from one mail to the next, so that a campaign of ten thousand mails is one pattern.
//!
//! In: a decoded subject.  Out: its pattern.
//! Always: numbers, ids, dates and names before 様 or さん become placeholders; at most [`CHARS_MAX`] characters; the pattern of a
//! pattern is itself.
//! Sources: PRODUCT.md R10.

/// Characters of a pattern.
pub const CHARS_MAX: usize = 60;
/// A word that mixes letters and digits, and is at least so long, is an id.
const ID_CHARS_MIN: usize = 5;
/// A name in front of an honorific is at most so long.
const NAME_CHARS_MAX: usize = 16;
/// How a customer is spoken to.
const HONORIFICS: [&str; 3] = ["様", "さん", "さま"];
/// What stands for a name.
const NAME: &str = "○○";

/// The pattern of a subject; empty when there is none.
pub fn pattern(subject: &str) -> String {
    let mut out = String::with_capacity(subject.len().min(CHARS_MAX * 4));
    for word in without_name(subject).split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        put_word(word, &mut out);
        if out.chars().nth(CHARS_MAX).is_some() {
            break;
        }
    }
    if let Some((end, _)) = out.char_indices().nth(CHARS_MAX) {
        out.truncate(end);
        out.truncate(out.trim_end().len());
    }
    out
}

/// `山田太郎様、ご注文…` → `○○様、ご注文…`.
fn without_name(subject: &str) -> std::borrow::Cow<'_, str> {
    let found = HONORIFICS.iter().filter_map(|word| subject.find(word)).min();
    let Some(at) = found else { return subject.into() };
    let before = &subject[..at];
    // The name begins behind the last mark, so that `【店名】山田様` keeps its shop.
    let is_mark = |c: char| "】」』)]}、。,:;!?!?:・|/".contains(c);
    let start = before.rfind(is_mark).map_or(0, |mark| mark + before[mark..].chars().next().map_or(0, char::len_utf8));
    let name = before[start..].trim();
    if name.is_empty() || name == NAME || name.chars().count() > NAME_CHARS_MAX {
        return subject.into();
    }
    format!("{}{NAME}{}", &subject[..start], &subject[at..]).into()
}

fn put_word(word: &str, out: &mut String) {
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let is_piece = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') || is_wide_digit(c);
        let end = rest.find(|c: char| !is_piece(c)).unwrap_or(rest.len());
        if end == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        put_piece(&rest[..end], out);
        rest = &rest[end..];
    }
}

fn put_piece(piece: &str, out: &mut String) {
    let digits = piece.chars().filter(|c| c.is_ascii_digit() || is_wide_digit(*c)).count();
    let letters = piece.chars().filter(char::is_ascii_alphabetic).count();
    if digits >= 2 && letters >= 1 && piece.len() >= ID_CHARS_MIN || digits >= 1 && letters == 0 && piece.contains('-')
    {
        out.push('#');
        return;
    }
    let mut in_number = false;
    for c in piece.chars() {
        let is_digit = c.is_ascii_digit() || is_wide_digit(c);
        // `1.234` is one number.
        if is_digit {
            if !in_number {
                out.push('#');
            }
            in_number = true;
        } else if !(in_number && c == '.' && letters == 0) {
            out.push(c);
            in_number = false;
        }
    }
}

/// A digit as wide as a Japanese letter.
fn is_wide_digit(c: char) -> bool {
    ('\u{ff10}'..='\u{ff19}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_one_mail_to_the_next_is_gone() {
        for (subject, want) in [
            ("Your order 12345 has shipped", "Your order # has shipped"),
            ("Order AB-2026-0001: thank you", "Order #: thank you"),
            ("[#8f3a1b2c] Ticket updated", "[##] Ticket updated"),
            ("Sale: 20% off until 2026-11-30!", "Sale: #% off until #!"),
            ("合計 1.234 円", "合計 # 円"),
            ("山田太郎様、ご注文123の確認", "○○様、ご注文#の確認"),
            ("【楽しい店】山田様 セール開始", "【楽しい店】○○様 セール開始"),
            ("お客様へ大切なお知らせ", "○○様へ大切なお知らせ"),
            ("花子さん、おめでとう", "○○さん、おめでとう"),
            ("認証コード 4711", "認証コード #"),
            ("\u{ff11}\u{ff12}月号", "#月号"),
            ("MP3 for you", "MP# for you"),
            ("", ""),
        ] {
            assert_eq!(pattern(subject), want, "{subject}");
            assert_eq!(pattern(want), want, "a pattern stays: {want}");
        }
    }

    #[test]
    fn a_pattern_is_bounded() {
        for subject in ["だ".repeat(500), "a1b2c3 ".repeat(200), "様".repeat(100)] {
            let once = pattern(&subject);
            assert!(once.chars().count() <= CHARS_MAX);
            assert_eq!(pattern(&once), once);
        }
    }
}
