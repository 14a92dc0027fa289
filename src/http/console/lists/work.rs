//! A long look or act: how far it is, and what came of it.

use maud::{Markup, html};

use super::{held, import, tabs, try_out, words::counted};
use crate::{
    clock::Timestamp,
    http::console::{
        Answer, Args, Missing, Right, Section, Told, Visit,
        parts::{self, foreign, number},
    },
    suppress::works::{Kind, Outcome, Work},
};

/// Seconds between two looks at a work that runs.
const LOOK_SECONDS: u32 = 2;
/// Addresses of an undo that its page names.
const NAMED_MAX: usize = 100;

/// What it is, in a few words.
pub(super) fn name(visit: &Visit<'_>, work: &Work) -> String {
    let of = |words: &str, what: &str| format!("{words}{}", parts::clean(&parts::clip(what, 120)));
    match &work.kind {
        Kind::Try(_) => visit.say("A trial of other conditions", "条件の試算").to_owned(),
        Kind::Check(file) => of(visit.say("A look at ", "内容の確認："), file),
        Kind::Import(file) => of(visit.say("Import of ", "取り込み："), file),
        Kind::Count(id) => of(visit.say("Count for the undo of incident ", "取り消し件数の集計："), id),
        Kind::Undo(id) => of(visit.say("Undo of incident ", "インシデントの取り消し："), id),
        Kind::Release(id) => of(visit.say("Release of incident ", "保留エラーの反映："), id),
        Kind::Discard(id) => of(visit.say("Discard of incident ", "保留エラーの破棄："), id),
    }
}

/// `/suppression/work/:id`.
pub(super) fn page(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let Some(work) = visit.daemon.suppressions().work(args.get("id")) else {
        return visit.refuse(
            404,
            visit.say(
                "The results are kept for an hour, and not beyond a restart. What was done is in the operation log.",
                "処理結果は1時間保持され、再起動すると消えます。実行した内容は操作ログで確認できます。",
            ),
        );
    };
    let title = name(visit, &work);
    let Some((ended, outcome)) = work.outcome() else { return running(visit, &work, &title) };
    let content = html! {
        (parts::heading(&title, ""))
        (tabs(visit, tab_of(&work.kind)))
        (result(visit, &work, &outcome)?)
        (told_by(visit, &work, Some(ended)))
    };
    visit.page(Section::Suppression, &title, &content)
}

fn tab_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Try(_) => "/suppression/try",
        Kind::Check(_) | Kind::Import(_) => "/suppression/import",
        Kind::Count(_) | Kind::Undo(_) | Kind::Release(_) | Kind::Discard(_) => "/suppression/held",
    }
}

fn told_by(visit: &Visit<'_>, work: &Work, ended: Option<Timestamp>) -> Markup {
    html! {
        p class="hint" {
            (visit.say("For ", "実行者：")) (foreign(&work.actor.who, 80)) ", " (visit.when(work.started))
            @if let Some(ended) = ended { " – " (visit.when(ended)) }
        }
    }
}

fn running(visit: &Visit<'_>, work: &Work, title: &str) -> Answer {
    let looked = work.looked();
    let unit = match &work.kind {
        Kind::Try(_) => counted(visit.lang, looked, "1 event looked at", "{} events looked at", "{} 件のログを確認"),
        Kind::Check(_) | Kind::Import(_) => counted(visit.lang, looked, "1 line read", "{} lines read", "{} 行を処理"),
        Kind::Count(_) | Kind::Undo(_) | Kind::Release(_) | Kind::Discard(_) => String::new(),
    };
    let content = html! {
        (parts::heading(title, visit.say("This takes a moment.", "少し時間がかかります。")))
        (tabs(visit, tab_of(&work.kind)))
        section {
            p class="note" role="status" { (visit.say("It runs. ", "実行中です。")) (unit) }
            div class="actions" {
                a class="button plain" href=(visit.href(&format!("/suppression/work/{}", work.id))) { (visit.say("Look again", "更新")) }
                @if matches!(work.kind, Kind::Try(_)) {
                    (visit.button(&format!("/suppression/work/{}/stop", work.id), "plain", &[], visit.say("Stop here", "ここで打ち切る")))
                }
            }
            p class="hint" { (visit.say("You may leave this page: it goes on.", "このページを閉じても処理は続きます。")) }
        }
        (told_by(visit, work, None))
    };
    visit.live_page(Section::Suppression, title, LOOK_SECONDS, &content)
}

fn result(visit: &Visit<'_>, work: &Work, outcome: &Outcome) -> Result<Markup, Missing> {
    let gone = || {
        html! { section { p class="note bad" { (visit.say("There is no such incident any more.", "そのインシデントはもうありません。")) } } }
    };
    Ok(match outcome {
        Outcome::Tried(answer) => match &work.kind {
            Kind::Try(asked) => try_out::answered(visit, asked, answer),
            Kind::Check(_) | Kind::Import(_) | Kind::Count(_) | Kind::Undo(_) | Kind::Release(_) | Kind::Discard(_) => {
                gone()
            }
        },
        Outcome::Read(report) => import::report(visit, work, report, matches!(work.kind, Kind::Import(_))),
        Outcome::Counted(None) | Outcome::Undone(None) => gone(),
        Outcome::Counted(Some(preview)) => {
            let id = match &work.kind {
                Kind::Count(id) => id.as_str(),
                Kind::Try(_)
                | Kind::Check(_)
                | Kind::Import(_)
                | Kind::Undo(_)
                | Kind::Release(_)
                | Kind::Discard(_) => "",
            };
            held::undo_panel(visit, id, preview)
        }
        Outcome::Undone(Some(done)) => html! {
            section {
                p class="note good" {
                    (counted(visit.lang, done.lifted, "1 address is lifted.", "{} addresses are lifted.", "{} 件の停止を解除しました。"))
                    @if done.forgotten > 0 {
                        (counted(visit.lang, done.forgotten, " The errors of 1 more no longer count.", " The errors of {} more no longer count.", "ほか {} 件のエラーを数えないようにしました。"))
                    }
                }
                @if !done.addresses.is_empty() {
                    ul class="notes" { @for address in done.addresses.iter().take(NAMED_MAX) { li { (foreign(address, 160)) } } }
                    @if done.lifted > NAMED_MAX as u64 {
                        p class="hint" { (visit.say("The operation log names all of them.", "すべての宛先は操作ログに記録しています。")) }
                    }
                }
            }
        },
        Outcome::Ended(None) => html! {
            section { p class="note bad" { (visit.say("It was not held any more: somebody was faster.", "すでに保留が終了しています。ほかの人が先に処理しました。")) } }
        },
        Outcome::Ended(Some(ended)) => html! {
            section {
                p class="note good" {
                    @if matches!(work.kind, Kind::Release(_)) {
                        (counted(visit.lang, ended.errors, "1 held error counts now; ", "{} held errors count now; ", "保留していたエラー {} 件を反映し、"))
                        (counted(visit.lang, ended.suppressed, "1 address came onto the list.", "{} addresses came onto the list.", "{} 件を停止リストに追加しました。"))
                    } @else {
                        (counted(visit.lang, ended.errors, "1 held error is forgotten.", "{} held errors are forgotten.", "保留していたエラー {} 件を破棄しました。"))
                    }
                }
                p class="onward" { a href=(visit.href("/suppression/held")) { (visit.say("To the held destinations", "保留中の宛先ドメインへ")) " →" } }
            }
        },
        Outcome::Failed(why) => html! {
            section {
                p class="note bad" { (visit.say("It failed: ", "失敗しました：")) (foreign(why, 300)) }
                p { (visit.say(
                    "Steps before that are done. Do it again when the cause is gone: nothing happens twice.",
                    "それまでの分は反映済みです。原因を取り除いてからもう一度実行してください。二重に反映されることはありません。",
                )) }
            }
        },
    })
}

/// `/suppression/work/:id/stop`: a trial answers with what it has.
pub(super) fn stop(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let Some(work) = visit.daemon.suppressions().work(args.get("id")) else { return Err(Missing::Nothing) };
    if !matches!(work.kind, Kind::Try(_)) && !visit.may(Right::Act) {
        return Err(Missing::Nothing);
    }
    work.stop();
    work.wait(import::PATIENCE);
    let words = visit.say(
        "Stopped: this is over the part of the log that was looked at.",
        "打ち切りました。確認済みの範囲の結果です。",
    );
    visit.done(&format!("/suppression/work/{}", work.id), &Told::good(words))
}

/// A number and what it is, as a cell of figures.
pub(super) fn figure(class: &str, name: &str, value: u64) -> Markup {
    html! { div class=(class) { dt { (name) } dd { (number(value)) } } }
}
