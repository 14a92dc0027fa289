//! The settings in force, read-only: each with the line of the file that says it; who may come from where.
//!
//! In: the config in force.  Out: pages.
//! Always: no secret is shown, and the path of a webhook's URL to the group administrator alone; a page has at most [`ROWS`] settings; nothing can be changed here: the file is the operator's.

mod access;

use maud::{Markup, html};

use super::{
    Answer, Args, Place, Right, Section, Visit,
    parts::{check_box, clean, clip, copyable, empty, foreign, heading, number, pager, panel, pill},
};
use crate::config::{
    Config,
    lines::{FileNow, Setting, Table, settings},
};

pub(super) const PLACES: &[Place] =
    &[Place::read("/settings", Right::View, page), Place::read("/settings/access", Right::Administer, access::page)];

/// Settings of a page.
const ROWS: usize = 200;
/// Warnings and changes that are told at most.
const TOLD_MAX: usize = 30;
/// Letters of a value that are shown; a list of a thousand networks is in the file.
const VALUE_MAX: usize = 400;

/// The two pages, as tabs; the second is for who manages accounts.
fn pages(visit: &Visit<'_>, is_access: bool) -> Markup {
    html! {
        @if visit.may(Right::Administer) {
            (super::parts::tabs(visit, visit.say("Settings", "設定"), &[
                ("/settings", visit.say("In force", "有効な設定"), !is_access),
                ("/settings/access", visit.say("IP restrictions", "接続元の制限"), is_access),
            ]))
        }
    }
}

/// What is to be shown of a table.
struct Asked {
    text: String,
    only_given: bool,
}

impl Asked {
    fn fits(&self, table: &Table, setting: &Setting) -> bool {
        let holds = |text: &str| text.to_lowercase().contains(&self.text);
        (!self.only_given || setting.line.is_some())
            && (self.text.is_empty()
                || holds(&format!("{}.{}", table.head.trim_matches(['[', ']']), setting.key))
                || holds(&table.row)
                || setting.value.as_deref().is_some_and(holds))
    }
}

fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let config = visit.daemon.config();
    let asked = Asked { text: visit.request.param("q").trim().to_lowercase(), only_given: visit.request.flag("given") };
    let (shown, next) = cut(
        settings(&config, visit.may(Right::Administer)),
        &asked,
        visit.request.param("cursor").parse().unwrap_or(0),
    );
    let title = visit.say("Settings in force", "有効な設定");
    let words = visit.say("Key or value", "キーまたは値");
    let content = html! {
        (heading(title, visit.say("Read-only: the operator edits the file and reloads. Secrets are hidden.",
            "閲覧のみです。変更は運用者が設定ファイルを編集し、再読み込みして行います。秘密の値は表示しません。")))
        (pages(visit, false))
        // Who searches wants what is found, first.
        @if asked.text.is_empty() { (file(visit, &config)) (warnings(visit, &config)) }
        section {
            (visit.ask("/settings", "find", &html! {
                input type="search" name="q" value=(visit.request.param("q")) maxlength="100" placeholder=(words) aria-label=(words);
                (check_box("given", "1", visit.say("in the file only", "ファイルにあるもののみ"), asked.only_given))
                button class="plain" { (visit.say("Show", "表示")) }
            }))
            @if shown.is_empty() {
                div class="spaced" { (empty(visit.say("No setting fits.", "該当する設定はありません。"), visit.say("Search for less.", "検索語を短くしてください。"))) }
            }
        }
        @for table in &shown { (one_table(visit, table)) }
        (pager(visit, next.map(|next| next.to_string()).as_deref(), None))
    };
    visit.page(Section::Settings, title, &content)
}

/// The settings that fit, from a number on, at most a page of them; and the number to go on from.
fn cut(tables: Vec<Table>, asked: &Asked, from: usize) -> (Vec<Table>, Option<usize>) {
    let (mut seen, mut shown, mut next) = (0, Vec::new(), None);
    let to = from.saturating_add(ROWS);
    for mut table in tables {
        let all = std::mem::take(&mut table.settings);
        for setting in all {
            if !asked.fits(&table, &setting) {
                continue;
            }
            if seen >= to {
                next = Some(to);
                break;
            }
            if seen >= from {
                table.settings.push(setting);
            }
            seen += 1;
        }
        if !table.settings.is_empty() {
            shown.push(table);
        }
        if next.is_some() {
            break;
        }
    }
    (shown, next)
}

fn one_table(visit: &Visit<'_>, table: &Table) -> Markup {
    html! {
        section {
            h2 {
                span class="mono" { (table.head) }
                @if !table.row.is_empty() { small { (foreign(&table.row, 120)) } }
                @if let Some(line) = table.line { small { (line_words(visit, line)) } }
            }
            table class="stack settings" {
                thead { tr {
                    th { (visit.say("Key", "キー")) } th { (visit.say("Value", "値")) } th { (visit.say("From", "出典")) }
                } }
                tbody { @for setting in &table.settings { (row(visit, setting)) } }
            }
        }
    }
}

/// A line of the file.
fn line_words(visit: &Visit<'_>, line: usize) -> String {
    if visit.lang.japanese { format!("{line}行目") } else { format!("line {line}") }
}

fn row(visit: &Visit<'_>, setting: &Setting) -> Markup {
    html! {
        tr {
            td class="mono wide" { (setting.key) }
            td class="mono wide" {
                @match &setting.value {
                    Some(value) => (foreign(value, VALUE_MAX)),
                    None => span class="soft" { (visit.say("not set", "未設定")) },
                }
                @if let Some(waits) = &setting.waits {
                    " " (pill("deferred", visit.say("after a restart", "再起動後"))) " " (foreign(waits, VALUE_MAX))
                }
            }
            td class="nowrap wide" {
                @match setting.line {
                    Some(line) => {
                        (line_words(visit, line))
                        @if let Some(default) = &setting.default { " " small class="soft" { (visit.say("default ", "既定値 ")) (foreign(default, 60)) } }
                    }
                    None => span class="soft" { (visit.say("default", "既定値")) },
                }
            }
        }
    }
}

/// Which file, and whether it still says what was read of it.
fn file(visit: &Visit<'_>, config: &Config) -> Markup {
    let origin = &config.origin;
    let name = origin.file.as_ref().map(|file| file.display().to_string());
    let waiting = &origin.waiting;
    html! {
        section {
            h2 { (visit.say("Config file", "設定ファイル")) @if let Some(name) = &name { small class="mono" { (foreign(name, 300)) } } }
            @match origin.now() {
                FileNow::None => p { (visit.say("There is none: this is the demo, and everything has its default.", "設定ファイルはありません（デモ）。すべて既定値です。")) },
                FileNow::Same => p { (visit.say("It says what is in force.", "ファイルの内容は有効な設定と同じです。")) },
                FileNow::Changed => {
                    p class="note" { (visit.say("It was edited since it was read: the lines below are those of the file as it was. The operator checks it and reloads:",
                        "読み込み後に編集されています。以下の行番号は読み込んだ時点のものです。運用者が確認して再読み込みしてください：")) }
                    (copyable("hikyaku check && systemctl reload hikyaku"))
                }
                FileNow::Unreadable(why) => p class="note bad" {
                    (visit.say("It cannot be read any more, and a reload would be refused: ", "読み込めなくなっています。再読み込みは失敗します：")) (foreign(&why, 300))
                },
            }
            @if !waiting.is_empty() {
                h3 { (visit.say("Takes effect at the next start", "次回の起動時に有効になる変更")) }
                ul class="notes" {
                    @for diff in waiting.iter().take(TOLD_MAX) {
                        li { span class="mono" { (foreign(&diff.key, 120)) } (visit.lang.colon()) (foreign(&diff.old, 120)) " → " (foreign(&diff.new, 120)) }
                    }
                    @if waiting.len() > TOLD_MAX { li { "+ " (number((waiting.len() - TOLD_MAX) as u64)) } }
                }
                (copyable("systemctl restart hikyaku"))
            }
        }
    }
}

fn warnings(visit: &Visit<'_>, config: &Config) -> Markup {
    let warnings = &config.origin.warnings;
    if warnings.is_empty() {
        return html! {};
    }
    panel(
        visit.say("Worth a look", "確認をおすすめする項目"),
        visit.say("as hikyaku check says", "hikyaku check の警告"),
        &html! {
            ul class="notes" lang="en" {
                @for warning in warnings.iter().take(TOLD_MAX) {
                    li {
                        @if let Some(place) = warning.place { (line_words(visit, place.line)) ": " }
                        span class="mono" { (foreign(&warning.key, 120)) } ": " (clean(&clip(&warning.reason, 300)))
                        @if !warning.fix.is_empty() { "; " (clean(&clip(&warning.fix, 300))) }
                    }
                }
                @if warnings.len() > TOLD_MAX { li { "+ " (number((warnings.len() - TOLD_MAX) as u64)) } }
            }
        },
    )
}

#[cfg(test)]
mod tests;
