//! Says in our words what Customers Mail Cloud's downloads say: delivery speed filters, and the list of blocked addresses.
//!
//! In: the CSV of filters.  Out: a [`Draft`] with a `[[delivery.rule]]` for each.
//! Always: a column is known by its name, Japanese or English, whatever its case, blanks and units in brackets, since the vendor
//! documents none; a column that is not known is noted, and nothing of it is guessed; the order of the filters is kept.
//! Sources: cmc.md §12.2 (fields and their ranges); the columns of the download itself are not documented.

use super::draft::{Draft, text, texts};
use crate::mail::parts::in_unicode;

/// Filters at most: each mail is compared with all of them.
const FILTERS_MAX: usize = 1_000;
/// Patterns of one filter.
const PATTERNS_MAX: usize = 100;

/// What a column says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    Name,
    Pattern,
    HostName,
    Connections,
    Interval,
    Fixed,
    Addresses,
    Forward,
    /// Known, and nothing we keep.
    Nothing,
}

/// Names of columns, in small letters, without blanks, hyphens, underscores and what stands in brackets.
const NAMES: &[(&str, Column)] = &[
    ("name", Column::Name),
    ("filter", Column::Name),
    ("filtername", Column::Name),
    ("名前", Column::Name),
    ("名称", Column::Name),
    ("フィルタ", Column::Name),
    ("フィルタ名", Column::Name),
    ("フィルター名", Column::Name),
    ("設定名", Column::Name),
    ("pattern", Column::Pattern),
    ("patterns", Column::Pattern),
    ("regex", Column::Pattern),
    ("address", Column::Pattern),
    ("recipient", Column::Pattern),
    ("パターン", Column::Pattern),
    ("正規表現", Column::Pattern),
    ("宛先", Column::Pattern),
    ("宛先パターン", Column::Pattern),
    ("hostname", Column::HostName),
    ("host", Column::HostName),
    ("mxhost", Column::HostName),
    ("ホスト名", Column::HostName),
    ("ホスト", Column::HostName),
    ("maxconnections", Column::Connections),
    ("maxconnection", Column::Connections),
    ("maximumconnections", Column::Connections),
    ("connections", Column::Connections),
    ("最大接続数", Column::Connections),
    ("最大同時接続数", Column::Connections),
    ("同時接続数", Column::Connections),
    ("接続数", Column::Connections),
    ("interval", Column::Interval),
    ("sendinterval", Column::Interval),
    ("deliveryinterval", Column::Interval),
    ("間隔", Column::Interval),
    ("送信間隔", Column::Interval),
    ("配信間隔", Column::Interval),
    ("インターバル", Column::Interval),
    ("fixspeed", Column::Fixed),
    ("fixedspeed", Column::Fixed),
    ("fixed", Column::Fixed),
    ("速度固定", Column::Fixed),
    ("速度を固定", Column::Fixed),
    ("速度を固定する", Column::Fixed),
    ("配信速度固定", Column::Fixed),
    ("配信速度を固定", Column::Fixed),
    ("ipcount", Column::Addresses),
    ("ips", Column::Addresses),
    ("ip数", Column::Addresses),
    ("送信ip数", Column::Addresses),
    ("使用ip数", Column::Addresses),
    ("forward", Column::Forward),
    ("transfer", Column::Forward),
    ("transferserver", Column::Forward),
    ("転送", Column::Forward),
    ("転送先", Column::Forward),
    ("転送サーバ", Column::Forward),
    ("転送先サーバ", Column::Forward),
    ("転送先サーバー", Column::Forward),
    ("id", Column::Nothing),
    ("no", Column::Nothing),
    ("created", Column::Nothing),
    ("updated", Column::Nothing),
    ("登録日時", Column::Nothing),
    ("更新日時", Column::Nothing),
];

/// A column's name, made plain: without what stands in brackets, and without the number of a repeated column.
fn column(name: &str) -> Option<Column> {
    let name = name.trim_start_matches('\u{feff}').split(['(', '（', '[', '［']).next().unwrap_or_default();
    let plain: String = name
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_' | '・' | '.'))
        .flat_map(char::to_lowercase)
        .collect();
    let plain = plain.trim_end_matches(|c: char| c.is_numeric());
    NAMES.iter().find(|(known, _)| *known == plain).map(|(_, column)| *column)
}

/// Yes or no, as people and programs write it; `None`: neither.
fn flag(value: &str) -> Option<bool> {
    Some(match value.trim().to_lowercase().as_str() {
        "true" | "1" | "yes" | "y" | "on" | "enabled" | "有効" | "はい" | "する" | "○" | "〇" | "✓" | "有" => {
            true
        }
        "" | "false" | "0" | "no" | "n" | "off" | "disabled" | "無効" | "いいえ" | "しない" | "×" | "-" | "無" => {
            false
        }
        _ => return None,
    })
}

/// A number, with a unit behind it or without.
fn number(value: &str) -> Option<u64> {
    let digits = value.trim().trim_end_matches(|c: char| c.is_alphabetic() || c.is_whitespace());
    digits.replace(',', "").parse().ok()
}

/// Reads the CSV of filters; it may be in UTF-8 or in Shift_JIS.
///
/// # Errors
/// In words: it is no such file.
pub fn filters(file: &str, octets: &[u8], draft: &mut Draft) -> Result<(), String> {
    let decoded = match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => in_unicode(octets, "shift_jis"),
    };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(decoded.as_bytes());
    let head: Vec<String> = reader.headers().map_err(|e| e.to_string())?.iter().map(str::to_owned).collect();
    let columns: Vec<Option<Column>> = head.iter().map(|name| column(name)).collect();
    let missing = |wanted: Column| !columns.contains(&Some(wanted));
    if missing(Column::Pattern) || (missing(Column::Connections) && missing(Column::Interval)) {
        return Err(format!(
            "this is no list of delivery speed filters: its first line needs a column for the pattern (パターン, pattern) and one \
             for 最大接続数 (max connections) or 送信間隔 (interval); it has: {}",
            head.join(", ")
        ));
    }
    for name in head.iter().zip(&columns).filter(|(_, column)| column.is_none()).map(|(name, _)| name) {
        draft.note(file, 1, name, "this column is not known, and was not read");
    }
    let mut rows = 0;
    for record in reader.records() {
        let record = record.map_err(|e| e.to_string())?;
        let line = record.position().map_or(0, |p| usize::try_from(p.line()).unwrap_or(0));
        let whole = record.iter().collect::<Vec<_>>().join(",");
        rows += 1;
        if rows > FILTERS_MAX {
            draft.note(file, line, &whole, "there are too many filters");
            break;
        }
        row(file, line, &whole, &columns, &record, rows, draft);
    }
    Ok(())
}

fn row(
    file: &str,
    line: usize,
    whole: &str,
    columns: &[Option<Column>],
    record: &csv::StringRecord,
    n: usize,
    draft: &mut Draft,
) {
    let all = |wanted: Column| {
        let cells = columns.iter().zip(record.iter()).filter(move |(column, _)| **column == Some(wanted));
        cells.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    };
    let one = |wanted: Column| all(wanted).next().unwrap_or_default();
    let patterns: Vec<&str> = all(Column::Pattern)
        .flat_map(|cell| cell.split(['\n', '\r', '\t']))
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .take(PATTERNS_MAX)
        .collect();
    if patterns.is_empty() {
        draft.note(file, line, whole, "it has no pattern");
        return;
    }
    let name = one(Column::Name).replace('#', "_").split_whitespace().collect::<Vec<_>>().join(" ");
    let name = if name.is_empty() { format!("filter {n}") } else { name };
    let name = &name[..name.floor_char_boundary(60)];
    let yes = |column: Column, draft: &mut Draft| {
        let value = one(column);
        flag(value).unwrap_or_else(|| {
            draft.note(file, line, value, "this is neither yes nor no: it was taken for no");
            false
        })
    };
    let by_host = yes(Column::HostName, draft);
    let mut settings =
        vec![("name", text(name.trim_end())), (if by_host { "mx_hosts" } else { "recipients" }, texts(&patterns))];
    for (column, key) in [(Column::Connections, "connections_max"), (Column::Interval, "interval")] {
        let value = one(column);
        match number(value) {
            Some(number) if column == Column::Interval => settings.push((key, format!("\"{number}ms\""))),
            Some(number) => settings.push((key, number.to_string())),
            None if value.is_empty() => {}
            None => draft.note(file, line, value, "this is no number"),
        }
    }
    if yes(Column::Fixed, draft) {
        settings.push(("fixed", "true".to_owned()));
    }
    let forward = one(Column::Forward);
    if !forward.is_empty() {
        match super::maps::next_hop(forward) {
            Some(hop) if !by_host => settings.push(("smarthost", text(&hop.host_port))),
            Some(_) | None => {
                draft.note(file, line, forward, "a smarthost is HOST:PORT, and is chosen by the recipient's address")
            }
        }
    }
    if !one(Column::Addresses).is_empty() {
        let why = "how many addresses it uses is set by source_addresses in the rule, which names them";
        draft.note(file, line, one(Column::Addresses), why);
    }
    draft.row("delivery.rule", &settings, &format!("{file}:{line}"));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Files, Rule, Surroundings};

    fn rules(octets: &[u8]) -> (Vec<Rule>, String) {
        let mut draft = Draft::default();
        filters("f.csv", octets, &mut draft).expect("a list");
        let around = Surroundings::of_this_machine(Files::Ignored);
        let (text, _) = draft.finish("x", Path::new("/x.toml"), &around).expect("a config");
        let config =
            config::read_str(Path::new("/x.toml"), &text, &around).unwrap_or_else(|e| panic!("{e}\n{text}")).config;
        (config.delivery.rules, text)
    }

    #[test]
    fn filters_become_rules_in_their_order_whatever_their_columns_are_called() {
        let japanese = "\u{feff}\"フィルタ名\",\"パターン\",\"ホスト名\",\"最大接続数\",\"送信間隔(ms)\",\"速度固定\",\"IP数\"\r\n\
            \"docomo\",\"@docomo\\.ne\\.jp$\n@dwmail\\.jp$\",\"\",\"4\",\"250\",\"○\",\"\"\r\n\
            \"グーグル\",\"\\.google\\.com$\",\"有効\",\"10\",\"100\",\"\",\"2\"\r\n\
            \"\",\"\",\"\",\"1\",\"1\",\"\",\"\"\r\n";
        let english = "Name,Pattern 1,Pattern 2,Host name,Max connections,Interval,Fix speed,Transfer\n\
            docomo,@docomo\\.ne\\.jp$,@dwmail\\.jp$,false,4,250 ms,true,\nグーグル,\\.google\\.com$,,true,10,100,false,\n";
        for file in [japanese, english] {
            let (rules, text) = rules(file.as_bytes());
            let shown: Vec<_> = rules
                .iter()
                .map(|r| {
                    (
                        r.name.as_str(),
                        r.recipients.len(),
                        r.mx_hosts.len(),
                        r.connections_max,
                        r.interval.as_millis(),
                        r.fixed,
                    )
                })
                .collect();
            assert_eq!(
                shown,
                [("docomo", 2, 0, Some(4), 250, true), ("グーグル", 0, 1, Some(10), 100, false)],
                "{text}"
            );
        }
        let (_, text) = rules(japanese.as_bytes());
        assert!(
            text.contains("# f.csv:4: 2: how many addresses") || text.contains("# f.csv:3: 2: how many addresses"),
            "{text}"
        );
        assert!(text.contains("it has no pattern"), "{text}");
    }

    #[test]
    fn shift_jis_is_read_and_what_cannot_be_is_told() {
        // フィルタ名,パターン,最大接続数 in Shift_JIS.
        let mut file =
            b"\x83t\x83B\x83\x8b\x83^\x96\xbc,\x83p\x83^\x81[\x83\x93,\x8d\xc5\x91\xe5\x90\xda\x91\xb1\x90\x94,color\n"
                .to_vec();
        file.extend(b"a,@a$,many,red\nb,(?=x),3,\nc,@c$,5000,\nd,@d$,7,\n");
        let (rules, text) = rules(&file);
        let shown: Vec<_> = rules.iter().map(|r| (r.name.as_str(), r.connections_max)).collect();
        assert_eq!(shown, [("a", None), ("c", None), ("d", Some(7))], "{text}");
        for words in [
            "# f.csv:1: color: this column is not known",
            "many: this is no number",
            "#recipients = [\"(?=x)\"]",
            "#connections_max = 5000",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        for (bad, words) in [("a,b\n1,2\n", "no list of delivery speed filters"), ("", "no list")] {
            assert!(filters("f", bad.as_bytes(), &mut Draft::default()).expect_err(bad).contains(words));
        }
    }

    #[test]
    fn words_for_yes_no_and_numbers() {
        assert_eq!(
            (flag("する"), flag("ON"), flag(""), flag("無効"), flag("perhaps")),
            (Some(true), Some(true), Some(false), Some(false), None)
        );
        assert_eq!(
            (number("1,000"), number("250ms"), number("5 ミリ秒"), number("x"), number("")),
            (Some(1000), Some(250), Some(5), None, None)
        );
    }
}
