//! A list that somebody brings along, as a file: tried first, then taken over.
//!
//! Always: nothing is taken over that was not shown before; the file is kept in RAM for a while, for whoever tried it.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::{
    by_person, tabs,
    words::{cause, class, counted, dialect},
    work,
};
use crate::{
    http::console::{
        Answer, Args, Right, Section, Told, Visit,
        parts::{self, check_box, clean, clip, foreign, number, panel, select},
    },
    suppress::{
        dialect::Dialect,
        import::{ImportReport, NoteKind, Upload},
        works::{UPLOAD_MAX, What, Work},
    },
};

/// Letters of a file's name that are kept.
const NAME_MAX: usize = 120;
/// How long a small file may keep its visitor waiting.
pub(super) const PATIENCE: Duration = Duration::from_millis(700);

/// `/suppression/import`.
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let title = visit.say("Import a list", "リストの取り込み");
    let mut dialects = vec![("", visit.say("known by its first line", "1行目から自動判別"))];
    dialects.extend(Dialect::ALL.map(|d| (d.word(), dialect(visit.lang, d))));
    let size = visit.say(
        "CSV in UTF-8 or Shift_JIS, at most 8 MiB. For longer lists: hikyaku suppress import FILE.",
        "CSV（UTF-8 または Shift_JIS）、最大 8 MiB。それ以上は hikyaku suppress import FILE を使います。",
    );
    let fields = html! {
        div class="fields" {
            label class="field wide" {
                span { (visit.say("File", "ファイル")) }
                input type="file" name="file" accept=".csv,.txt,text/csv,text/plain" required aria-describedby="hint-file";
                small id="hint-file" { (size) }
            }
            (select("dialect", visit.say("What it is", "形式"), &dialects, ""))
        }
        p { (check_box("all", "1", visit.say(
            "Also bounces that are no trouble of the recipient (SendGrid's blocks)",
            "受信者側の原因ではないバウンスも取り込む（SendGrid のブロックなど）",
        ), false)) }
        div class="actions" { button { (visit.say("Look at it first", "内容を確認する")) } }
        p class="hint" { (visit.say("Nothing changes yet: the next page shows what would.", "この時点では何も変更しません。次の画面で結果を確認できます。")) }
    };
    let content = html! {
        (parts::heading(title, visit.say(
            "Lists of other services, CMC's, our own export, or a column of addresses.",
            "他サービスや CMC のリスト、Hikyaku のエクスポート、メールアドレスの一覧を取り込めます。",
        )))
        (tabs(visit, "/suppression/import"))
        section { (visit.post_file("/suppression/import", "", &fields)) }
        (recent(visit))
    };
    visit.page(Section::Suppression, title, &content)
}

/// Works that are still kept: so that nobody loses sight of one.
fn recent(visit: &Visit<'_>) -> Markup {
    let works = visit.daemon.suppressions().works();
    html! {
        @if !works.is_empty() {
            (panel(visit.say("Lately", "最近の処理"), "", &html! {
                ul class="notes" {
                    @for one in &works {
                        li {
                            a href=(visit.href(&format!("/suppression/work/{}", one.id))) { (work::name(visit, one)) }
                            " · " (visit.when(one.started)) " · " (foreign(&one.actor.who, 80))
                            @if one.outcome().is_none() { " · " (visit.say("runs", "実行中")) }
                        }
                    }
                }
            }))
        }
    }
}

/// `/suppression/import`: looks at a file.
pub(super) fn check(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let Some(octets) = visit.form.file("file") else {
        let words = visit.say("Choose a file first.", "先にファイルを選択してください。");
        return visit.done("/suppression/import", &Told::bad(words));
    };
    if octets.len() > UPLOAD_MAX {
        let words = visit.say(
            "The file is larger than 8 MiB. Split it, or use the command line: hikyaku suppress import FILE.",
            "ファイルが 8 MiB を超えています。分割するか、コマンド hikyaku suppress import FILE を使ってください。",
        );
        return visit.done("/suppression/import", &Told::bad(words));
    }
    let name = clean(&clip(visit.form.file_name("file"), NAME_MAX));
    let upload = Upload {
        name: if name.is_empty() { "a file".to_owned() } else { name },
        octets: octets.to_vec(),
        dialect: Dialect::from_word(visit.form.text("dialect")),
        all: visit.form.flag("all"),
        zone: TimeZone::get(visit.about.zone.name()).unwrap_or(TimeZone::UTC),
    };
    begin(visit, What::Check(Arc::new(upload)))
}

/// `/suppression/import/go`: takes a file over that was looked at.
pub(super) fn go(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let checked = visit.daemon.suppressions().work(visit.form.text("work")).and_then(|work| work.upload());
    match checked {
        Some(upload) => begin(visit, What::Import(upload)),
        None => {
            let words = visit.say(
                "That file is not kept any more. Choose it again.",
                "そのファイルは保持されていません。もう一度選択してください。",
            );
            visit.done("/suppression/import", &Told::bad(words))
        }
    }
}

/// Begins a work, waits for a short one, and goes to its page.
pub(super) fn begin(visit: &Visit<'_>, what: What) -> Answer {
    let begun = visit.daemon.suppressions().begin(&by_person(visit), what, visit.daemon.unsubscribes());
    match begun {
        Ok(work) => {
            work.wait(PATIENCE);
            Ok(crate::http::exchange::Response::see_other(&visit.href(&format!("/suppression/work/{}", work.id))))
        }
        Err(busy) => {
            let words = visit.say(
                "Something else runs: this is how far it is. Try again when it has ended.",
                "別の処理が実行中です。終了してからもう一度お試しください。",
            );
            visit.done(&format!("/suppression/work/{}", busy.0), &Told::bad(words))
        }
    }
}

/// What became of a file, or would; `is_done`: it was taken over.
pub(super) fn report(visit: &Visit<'_>, work: &Work, report: &ImportReport, is_done: bool) -> Markup {
    let lang = visit.lang;
    if report.dialect.is_none() {
        return html! {
            section {
                p class="note bad" { (foreign(&report.refused, 300)) }
                p { (visit.say("Name a column \u{201c}email\u{201d}, or say what the file is.", "列名を「email」にするか、形式を選択してください。")) }
                p class="onward" { a href=(visit.href("/suppression/import")) { (visit.say("Choose another file", "別のファイルを選択")) " →" } }
            }
        };
    }
    let of_file = report.dialect.map_or("", |of| dialect(lang, of));
    let list = &report.list;
    let rows = [
        (
            list.added,
            if is_done {
                visit.say("came onto the list", "停止リストに追加")
            } else {
                visit.say("would come onto the list", "停止リストに追加される")
            },
        ),
        (
            report.unsubscribed,
            if is_done {
                visit.say("left their list", "配信解除として登録")
            } else {
                visit.say("would leave their list", "配信解除として登録される")
            },
        ),
        (
            report.exempted,
            if is_done {
                visit.say("are exempt now", "停止対象から除外")
            } else {
                visit.say("would be exempt", "停止対象から除外される")
            },
        ),
        (list.known + report.had_left, visit.say("were there already", "すでに登録済み")),
        (list.exempt, visit.say("are exempt here, and stay so", "除外済みのため対象外")),
        (list.refused, visit.say("have a time that is over already", "期限切れのため対象外")),
        (
            report.left_out,
            visit.say(
                "left out: no trouble of the recipient, or off the list",
                "対象外（受信者側の原因ではない、または解除済み）",
            ),
        ),
        (report.bad, visit.say("lines that could not be read", "読み取れなかった行")),
    ];
    let changes = list.added + report.unsubscribed + report.exempted;
    html! {
        section {
            h2 { (foreign(&work_file(work), 120)) small { (of_file) " · " (counted(lang, report.rows, "1 address", "{} addresses", "{} 件")) } }
            table {
                tbody {
                    @for (count, words) in rows.iter().filter(|(count, _)| *count > 0) {
                        tr { td class="number big" { (number(*count)) } td { (words) } }
                    }
                }
            }
            @if !is_done {
                @if changes == 0 {
                    p class="note" { (visit.say("Nothing of it is new: there is nothing to take over.", "新しい宛先はありません。取り込みは不要です。")) }
                } @else if visit.may(Right::Act) && work.upload().is_some() {
                    div class="actions" {
                        (visit.button("/suppression/import/go", "", &[("work", &work.id)], &counted(
                            lang, changes, "Take 1 over", "Take {} over", "{} 件を取り込む",
                        )))
                        a class="button plain" href=(visit.href("/suppression/import")) { (visit.say("Cancel", "キャンセル")) }
                    }
                }
            } @else {
                p class="onward" { a href=(visit.href("/suppression?cause=import")) { (visit.say("To the list", "停止リストへ")) " →" } }
            }
        }
        @if !report.sample.is_empty() && !is_done { (sample(visit, report)) }
        @if !report.notes.is_empty() { (notes(visit, report)) }
    }
}

fn work_file(work: &Work) -> String {
    use crate::suppress::works::Kind;
    match &work.kind {
        Kind::Check(name) | Kind::Import(name) => name.clone(),
        Kind::Try(_) | Kind::Count(_) | Kind::Undo(_) | Kind::Release(_) | Kind::Discard(_) => String::new(),
    }
}

fn sample(visit: &Visit<'_>, report: &ImportReport) -> Markup {
    panel(
        visit.say("The first rows, as they were understood", "先頭の行の読み取り結果"),
        "",
        &html! {
            table class="stack" {
                thead {
                    tr {
                        th { (visit.say("Address", "宛先")) }
                        th { (visit.say("Why", "理由")) }
                        th { (visit.say("Since", "日時")) }
                        th { (visit.say("Words", "応答・メモ")) }
                    }
                }
                tbody {
                    @for row in &report.sample {
                        tr {
                            td class="strong destination" { (foreign(&row.address, 120)) @if !row.user.is_empty() { " " span class="soft" { (foreign(&row.user, 60)) } } }
                            td class="wide" {
                                @if row.exempt { (visit.say("exempt", "除外")) }
                                @else if !row.list.is_empty() { (visit.say("left ", "配信解除：")) (foreign(&row.list, 60)) }
                                @else { (cause(visit.lang, row.cause)) @if let Some(of) = row.class { " · " (class(visit.lang, of)) } }
                            }
                            td class="nowrap" { @if let Some(since) = row.since { (visit.when(since)) } @else { (visit.say("now", "取り込み時")) } }
                            td class="wide reply" { span class="clip" { (foreign(&row.reason, 200)) } }
                        }
                    }
                }
            }
        },
    )
}

fn notes(visit: &Visit<'_>, report: &ImportReport) -> Markup {
    let kind = |kind: NoteKind| match kind {
        NoteKind::Odd => visit.say("taken, but", "取り込み対象（注意）"),
        NoteKind::LeftOut => visit.say("left out", "対象外"),
        NoteKind::Bad => visit.say("not read", "読み取り不可"),
    };
    panel(
        visit.say("Lines to look at", "確認が必要な行"),
        visit.say("the first hundred of each kind", "種類ごとに先頭100件"),
        &html! {
            table class="stack" {
                thead { tr { th class="number" { (visit.say("Line", "行")) } th { (visit.say("What", "結果")) } th { (visit.say("Why", "理由")) } } }
                tbody {
                    @for note in &report.notes {
                        tr {
                            td class="number left" data-label=(visit.say("Line", "行")) { (number(note.line)) }
                            td class="nowrap" { (kind(note.kind)) }
                            td class="wide reply" { (foreign(&note.why, 300)) }
                        }
                    }
                }
            }
        },
    )
}
