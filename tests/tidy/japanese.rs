//! Japanese texts have the signs of Japanese text: `（）`, `：`, `、` beside Japanese letters, never their half-width kin; and one
//! name for each thing, as CMC's users know them.
//!
//! In: every string of `src/` that holds a Japanese letter, tests and made-up rows left out.
//! Always: what stands in backticks or in quotation marks is quoted, and stays as it is written elsewhere: commands, records, terms.

use super::{none, rust_files};

/// Strings that hold Japanese and are no text for people, and why: their file, and how they begin.
const NO_TEXTS: &[(&str, &str, &str)] = &[
    ("src/bounce/read/rules.rs", "", "what others' bounces are recognized by"),
    ("src/diagnose/patterns.rs", "", "signs that part words in any mail"),
    ("src/cli/import/cmc.rs", "", "an English text that names the columns of a Japanese file"),
    ("src/suppress/dialect.rs", "", "columns of others' files"),
    ("src/tls_report/mail.rs", "This is a report", "one mail in both languages"),
    ("src/cli/domain/records.rs", "; ", "a comment in a zone file begins so"),
    ("src/http/api/words.rs", "宛先に差し込み文字", "names a merge field as mails write it: ((#key#))"),
];

/// Terms that are written with a colon: SPF mechanisms, URL schemes, keys of a policy.
const TERMS: &[&str] = &["include", "ip4", "ip6", "a", "cid", "mode", "mx", "mailto", "https", "http"];

/// One thing has one name. What it is called in English, in Japanese, and the names that are not used for it beside that; with what
/// may stand where such a word is part of another.
const NAMES: &[(&str, &str, &[&str], &[&str])] = &[
    ("accepted", "受付", &["受理"], &[]),
    ("delivered", "配信済み", &["配送済", "送達"], &[]),
    ("deferred", "再送待ち", &["延期"], &[]),
    ("delivery", "配信", &["配送"], &[]),
    ("bounced", "不達通知", &["不達メール", "配信後の不達"], &[]),
    ("complained", "迷惑メール申告", &["苦情", "迷惑メール報告"], &["SendGrid：迷惑メール報告"]),
    ("suppressed, blocked", "配信停止", &["抑止", "送信抑制"], &[]),
    ("unsubscribed", "配信解除", &["購読", "登録解除", "ワンクリック配信停止"], &[]),
    ("force send", "強制送信", &["強制配信"], &[]),
    ("hold, held", "保留", &["留め置"], &[]),
    ("waiting", "待機中", &["配信待ち", "滞留中"], &[]),
    ("sender", "差出人", &["差出し人"], &[]),
    ("destination", "宛先ドメイン", &["送付先", "届け先"], &[]),
    ("by (who did it)", "実行者", &["操作者"], &[]),
    ("provider", "プロバイダー", &["事業者"], &["携帯電話事業者", "ホスティング事業者", "事業者の 25 番"]),
    ("error class", "エラー分類", &["エラークラス", "エラー種別"], &[]),
    ("priority", "優先度", &["優先順位"], &[]),
    ("API user", "APIユーザー", &["API ユーザー"], &[]),
    ("server", "サーバー", &[], &[]),
];

/// Words that end in a long vowel, and how they would be written without it.
const LONG_VOWELS: &[&str] = &["ユーザ", "サーバ", "ヘッダ", "プロバイダ", "フィルタ", "リスナ"];

#[test]
fn a_thing_has_one_name_in_japanese() {
    let mut wrong = Vec::new();
    each_text(&mut |place, text| {
        for (english, name, others, parts) in NAMES {
            let rest = parts.iter().fold(text.to_owned(), |text, part| text.replace(part, ""));
            for other in others.iter().filter(|other| rest.contains(**other)) {
                wrong.push(format!("{place}: {other} is {name} ({english}): {text}"));
            }
        }
        for short in LONG_VOWELS {
            let is_cut = |rest: &str| !rest.starts_with('ー');
            if text.match_indices(short).any(|(at, _)| is_cut(&text[at + short.len()..])) {
                wrong.push(format!("{place}: {short} without its ー: {text}"));
            }
        }
    });
    none(&wrong);
}

#[test]
fn japanese_texts_have_the_signs_of_japanese() {
    let (mut wrong, mut read) = (Vec::new(), 0);
    each_text(&mut |place, text| {
        read += 1;
        if let Some(sign) = half_width(text) {
            wrong.push(format!("{place}: a half-width {sign} in {text:?}"));
        }
    });
    none(&wrong);
    assert!(read > 1_500, "only {read} Japanese texts were read");
}

/// Every Japanese text of the source, and its place.
fn each_text(take: &mut dyn FnMut(&str, &str)) {
    let is_ours = |file: &str| !["test", "fake", "rig_"].iter().any(|part| file.contains(part));
    for (file, text) in rust_files(&["src"]).into_iter().filter(|(file, _)| is_ours(file)) {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (line, literal) in literals(code) {
            let is_no_text = NO_TEXTS.iter().any(|(f, begin, _)| *f == file && literal.starts_with(begin));
            if is_no_text || !literal.chars().any(is_japanese) {
                continue;
            }
            take(&format!("{file}:{line}"), &literal);
        }
    }
}

/// Hiragana, katakana, kanji.
fn is_japanese(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '々')
}

/// The first sign that should be full-width.
fn half_width(literal: &str) -> Option<char> {
    let text: Vec<char> = without_quotes(literal).chars().collect();
    for (at, c) in text.iter().copied().enumerate() {
        let before = at.checked_sub(1).map_or(' ', |n| text[n]);
        let after = text.get(at + 1).copied();
        let is_wrong = match c {
            '(' | ')' | ';' => true,
            ':' => !is_term(&text[..at]) && (is_japanese(before) || after.is_none_or(|c| c == ' ' || is_japanese(c))),
            ',' | '!' | '?' => is_japanese(before),
            _ => false,
        };
        if is_wrong {
            return Some(c);
        }
    }
    None
}

fn is_term(before: &[char]) -> bool {
    let word: String = before.iter().rev().take_while(|c| c.is_ascii_alphanumeric()).collect();
    TERMS.contains(&word.chars().rev().collect::<String>().as_str())
}

/// The text without what stands in backticks, in `"…"`, and in `{…}` of a format.
fn without_quotes(literal: &str) -> String {
    let mut out = String::new();
    let mut until = None;
    for c in literal.chars() {
        match until {
            Some(end) if c == end => until = None,
            Some(_) => {}
            None => match c {
                '`' => until = Some('`'),
                '"' => until = Some('"'),
                '{' => until = Some('}'),
                c => out.push(c),
            },
        }
    }
    out
}

/// The strings of a file, unescaped as far as this test needs it, with their lines.
fn literals(code: &str) -> Vec<(usize, String)> {
    let (mut all, mut line) = (Vec::new(), 1);
    let mut rest = code.chars().peekable();
    let mut before = ' ';
    while let Some(c) = rest.next() {
        match c {
            '\n' => line += 1,
            '/' if rest.peek() == Some(&'/') => {
                while rest.peek().is_some_and(|c| *c != '\n') {
                    rest.next();
                }
            }
            // A character, or a lifetime.
            '\'' => {
                let ahead: Vec<char> = rest.clone().take(2).collect();
                if ahead.first() == Some(&'\\') {
                    rest.next();
                    rest.next();
                    while rest.next().is_some_and(|c| c != '\'') {}
                } else if ahead.get(1) == Some(&'\'') {
                    rest.next();
                    rest.next();
                }
            }
            '"' => {
                let is_raw = before == 'r' || before == '#';
                let hashes = if before == '#' { 1 } else { 0 };
                let at = line;
                let mut literal = String::new();
                while let Some(c) = rest.next() {
                    match c {
                        '"' if is_raw && hashes == 1 && rest.peek() != Some(&'#') => literal.push('"'),
                        '"' => break,
                        '\\' if !is_raw => match rest.next() {
                            // A line that goes on.
                            Some('\n') => {
                                line += 1;
                                while rest.peek().is_some_and(|c| c.is_whitespace()) {
                                    line += usize::from(rest.next() == Some('\n'));
                                }
                            }
                            Some('n' | 'r') => literal.push('\n'),
                            Some(c) => literal.push(c),
                            None => {}
                        },
                        '\n' => {
                            line += 1;
                            literal.push('\n');
                        }
                        c => literal.push(c),
                    }
                }
                all.push((at, literal));
            }
            _ => {}
        }
        before = c;
    }
    all
}

#[test]
fn the_reader_of_strings_reads_strings() {
    let code = "let a = \"x\\\"（\"; // \"no\"\nlet b = '\"'; let c = r#\"raw \" 飛\"#; fn f<'a>() {} let d = \"二\\\n   行\";\n";
    let found: Vec<String> = literals(code).into_iter().map(|(_, text)| text).collect();
    assert_eq!(found, ["x\"（", "raw \" 飛", "二行"]);
    for (text, sign) in [
        ("飛脚（急行）：`a(b): c`、「x」", None),
        ("飛脚(急行)", Some('(')),
        ("宛先: {a}", Some(':')),
        ("DKIM: 署名", Some(':')),
        ("12:30 に届く", None),
        ("include: を使う", None),
        ("はい!", Some('!')),
        ("; 飛脚", Some(';')),
    ] {
        assert_eq!(half_width(text), sign, "{text}");
    }
}
