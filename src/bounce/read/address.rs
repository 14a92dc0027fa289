//! Finds addresses in text.
//!
//! In: any text.  Out: what looks like an address, without brackets, quotes and the punctuation of a sentence.
//! Always: one pass; nothing longer than [`ADDRESS_MAX`].
//! Sources: RFC 5321 §4.1.2, RFC 6531; addresses of Japanese carriers that break the dot rules (`a..b@`, `a.@`).

/// Octets of an address at most: a path and some (RFC 5321 §4.5.3.1.3).
pub(super) const ADDRESS_MAX: usize = 320;

/// Every address of a text, in order.
pub(super) fn all(text: &str) -> impl Iterator<Item = &str> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(at) = text[from..].find('@').map(|at| from + at) {
            let found = around(text, from, at);
            from = at + 1;
            if let Some((found, end)) = found {
                from = end;
                return Some(found);
            }
        }
        None
    })
}

/// The first address of a text.
pub(super) fn first(text: &str) -> Option<&str> {
    all(text).next()
}

/// The text is one address.
pub(super) fn is_one(text: &str) -> bool {
    text.len() <= ADDRESS_MAX && first(text) == Some(text)
}

/// Two addresses are the same mailbox, as far as case tells.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// The address around the `@` at `at`, and where it ends.
fn around(text: &str, from: usize, at: usize) -> Option<(&str, usize)> {
    let start = local_start(text, from, at)?;
    let domain = &text[at + 1..];
    let len = domain.find(|c: char| !is_domain_char(c)).unwrap_or(domain.len());
    let domain = domain[..len].trim_end_matches(['.', '-']);
    let end = at + 1 + domain.len();
    let is_literal = domain.is_empty() && text[at + 1..].starts_with('[');
    if is_literal {
        let close = text[at..].find(']')? + at + 1;
        return (close - start <= ADDRESS_MAX).then(|| (&text[start..close], close));
    }
    let good = !domain.is_empty() && !domain.starts_with(['.', '-']) && end - start <= ADDRESS_MAX;
    good.then(|| (&text[start..end], end))
}

fn local_start(text: &str, from: usize, at: usize) -> Option<usize> {
    let before = &text[from..at];
    if let Some(quoted) = before.strip_suffix('"') {
        let open = quoted.rfind('"')?;
        return Some(from + open);
    }
    let start = before
        .rfind(|c: char| !is_local_char(c))
        .map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
    let local = &before[start..];
    // An apostrophe opens a quotation far more often than an address.
    let trimmed = local.trim_start_matches(['\'', '`', '=', '*', '|']);
    (!trimmed.is_empty()).then(|| from + start + (local.len() - trimmed.len()))
}

fn is_local_char(c: char) -> bool {
    c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c)
}

fn is_domain_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_found_in_sentences() {
        for (text, expected) in [
            ("to <a@b.example>: no", vec!["a@b.example"]),
            ("'a@b.example' is not, mailto:c@d.example.", vec!["a@b.example", "c@d.example"]),
            ("\"a b\"@c.example said", vec!["\"a b\"@c.example"]),
            ("a..b.@docomo.example", vec!["a..b.@docomo.example"]),
            ("x@[192.0.2.1] and @ alone @", vec!["x@[192.0.2.1]"]),
            ("nyaan%gol.example@q.example", vec!["nyaan%gol.example@q.example"]),
            ("宛先：花子@例え.jp　です", vec!["花子@例え.jp"]),
            ("RCPT TO:<a+b=c@d.example>", vec!["a+b=c@d.example"]),
            ("", vec![]),
        ] {
            assert_eq!(all(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a@\"'<>.\\[\\] 日é-]{0,40}") {
            for found in all(&text) {
                prop_assert!(found.contains('@') && found.len() <= ADDRESS_MAX);
            }
        }
    }
}
