//! What every Japanese page keeps to: its own words are Japanese, with the signs of Japanese text.
//!
//! In: a page in Japanese.  Out: a panic that quotes what is wrong.
//! Always: what came from elsewhere is no text of ours: it stands in `bdi`, `pre`, `code`, a `mono` cell, a quotation (`「…」`), or is
//! somebody's name.

/// Elements whose text is not ours.
const QUOTES: &[&str] = &["bdi", "pre", "code", "time", "script", "style", "title", "textarea"];
/// Elements that never end.
const VOID: &[&str] = &["input", "meta", "link", "br", "hr", "img"];
/// English words in a row that nobody says in Japanese.
const WORDS_MAX: usize = 3;

/// Reads the page's own text.
pub(super) fn check(name: &str, page: &str) {
    let wrong: Vec<String> = texts(page).iter().filter_map(|text| fault(text)).collect();
    assert!(wrong.is_empty(), "{name}, in Japanese:\n{}", wrong.join("\n"));
}

/// Our own texts, as they stand between tags; neighbours that only inline tags part are one.
fn texts(page: &str) -> Vec<String> {
    let (mut all, mut open, mut own) = (Vec::new(), Vec::<(String, bool)>::new(), String::new());
    for piece in page.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or((piece, ""));
        let element = tag.trim_start_matches('/').split([' ', '/', '>']).next().unwrap_or_default().to_owned();
        if tag.starts_with('/') {
            if let Some(at) = open.iter().rposition(|(name, _)| *name == element) {
                open.truncate(at);
            }
        } else if !VOID.contains(&element.as_str()) && !tag.starts_with('!') && !tag.ends_with('/') {
            let class = tag.split("class=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            let is_mono = class.split(' ').any(|one| one == "mono") || tag.contains("translate=\"no\"");
            let is_other = tag.contains(" lang=\"en\"");
            open.push((element.clone(), QUOTES.contains(&element.as_str()) || is_mono || is_other));
        }
        let is_inline = ["bdi", "span", "a", "b", "small", "strong", "code", "time"].contains(&element.as_str());
        if !is_inline && !own.is_empty() {
            all.push(std::mem::take(&mut own));
        }
        if open.iter().any(|(_, is_quote)| *is_quote) {
            own.push(QUOTED);
        } else {
            own.push_str(&text.replace("&quot;", "\"").replace("&amp;", "&"));
        }
    }
    all.push(own);
    all
}

/// Stands for what is quoted.
const QUOTED: char = '\u{fffc}';

/// Hiragana, katakana, kanji.
fn is_japanese(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '々')
}

/// What is wrong with a text.
fn fault(text: &str) -> Option<String> {
    let letters: Vec<char> = text.chars().collect();
    for (at, c) in letters.iter().enumerate() {
        let before = letters[..at].iter().rev().find(|c| **c != ' ').copied().unwrap_or(' ');
        let after = letters[at + 1..].iter().find(|c| **c != ' ').copied().unwrap_or(' ');
        let beside = is_japanese(before) || is_japanese(after);
        let is_sign = match c {
            '(' | ')' | ';' => beside,
            ':' => is_japanese(before) || (letters.get(at + 1) == Some(&' ') && is_japanese(after)),
            _ => false,
        };
        if is_sign {
            return Some(format!("a half-width {c}: {text}"));
        }
    }
    let mut in_a_row = 0;
    for word in text.split(' ') {
        let is_english =
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '\'' | ',' | '.'));
        in_a_row = if is_english { in_a_row + 1 } else { 0 };
        if in_a_row > WORDS_MAX && !text.contains("hikyaku ") {
            return Some(format!("English: {text}"));
        }
    }
    None
}
