//! Which words a text must hold, so that an expression can match it.
//!
//! In: an expression.  Out: needles, one of which is in every text that it matches.
//! Always: never too few: where it cannot be told, there is no answer, and the expression is always tried.

use regex_syntax::{
    ParserBuilder,
    hir::{Hir, HirKind},
};

/// A needle that is shorter is in nearly every text.
const OCTETS_MIN: usize = 3;

/// The needles of an expression.
pub(super) fn of(expression: &str) -> Option<Vec<String>> {
    let hir = ParserBuilder::new().unicode(false).utf8(false).build().parse(expression).ok()?;
    Some(of_part(&hir)?.into_iter().map(|n| String::from_utf8_lossy(&n).into_owned()).collect())
}

fn of_part(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            (literal.0.len() >= OCTETS_MIN && std::str::from_utf8(&literal.0).is_ok()).then(|| vec![literal.0.to_vec()])
        }
        HirKind::Capture(capture) => of_part(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => of_part(&repetition.sub),
        // The part whose shortest needle is longest is the rarest.
        HirKind::Concat(parts) => {
            parts.iter().filter_map(of_part).max_by_key(|needles| needles.iter().map(Vec::len).min())
        }
        // One of the ways must be taken.
        HirKind::Alternation(parts) => {
            let all: Option<Vec<Vec<Vec<u8>>>> = parts.iter().map(of_part).collect();
            Some(all?.concat())
        }
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matching_text_holds_a_needle() {
        for (expression, want) in [
            ("user (is )?unknown", Some("unknown")),
            ("(mailbox|account) (is )?full", Some("mailbox account")),
            ("over ?quota", Some("quota")),
            (r"\bptr\b", Some("ptr")),
            ("(a|user) [0-9]", None),
            ("(user)?", None),
            (r"\S+", None),
        ] {
            assert_eq!(of(expression).map(|n| n.join(" ")).as_deref(), want, "{expression}");
        }
    }
}
