//! What other conditions would have done to the stored log, drawn over its days.
//!
//! Always: nothing is changed, and the page says that a change of the conditions lifts nobody (R7).
//! Sources: cmc.md §12.4; R7.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    days::by_day,
    import::begin,
    tabs,
    words::{class, counted},
    work::figure,
};
use crate::{
    config::Thresholds,
    event::ErrorClass,
    http::{
        chart::{Chart, Series},
        console::{
            Answer, Args, Missing, Section, Visit,
            parts::{self, Field, copyable, foreign, number, panel},
        },
    },
    suppress::{
        what_if::{Answer as Tried, Effect, Side, Told, WhatIf},
        works::What,
    },
};

/// Errors that a condition may ask for at most: more days than a history keeps.
const ERRORS_MAX: u32 = 400;
/// Days that a window or a watch period may have.
const DAYS_MAX: u64 = 3_650;
/// Rows of each side that are shown.
const ROWS: usize = 20;
/// Seconds of a day.
const DAY_SECONDS: u64 = 86_400;

/// A condition: its key in the config, its class, where it is.
type Condition = (&'static str, ErrorClass, fn(&mut Thresholds) -> &mut u32);

/// The conditions, in the order of the config.
const CONDITIONS: [Condition; 10] = [
    ("unknown_host", ErrorClass::UnknownHost, |t| &mut t.unknown_host),
    ("unknown_user", ErrorClass::UnknownUser, |t| &mut t.unknown_user),
    ("bad_address", ErrorClass::BadAddress, |t| &mut t.bad_address),
    ("complaint", ErrorClass::Unsubscribed, |t| &mut t.complaint),
    ("over_capacity", ErrorClass::OverCapacity, |t| &mut t.over_capacity),
    ("resend_timeout", ErrorClass::ResendTimeout, |t| &mut t.resend_timeout),
    ("rejected", ErrorClass::Rejected, |t| &mut t.rejected),
    ("receiving_server_error", ErrorClass::ReceivingServerError, |t| &mut t.receiving_server_error),
    ("too_large", ErrorClass::TooLarge, |t| &mut t.too_large),
    ("other", ErrorClass::Other, |t| &mut t.other),
];

/// The conditions in force, as a question.
fn in_force(visit: &Visit<'_>) -> WhatIf {
    let settings = visit.daemon.suppression();
    WhatIf { thresholds: settings.thresholds, watch: settings.watch, per_user: settings.per_user }
}

fn days(duration: Duration) -> u64 {
    duration.as_secs().div_ceil(DAY_SECONDS)
}

/// `/suppression/try`.
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let title = visit.say("Conditions, and what others would do", "配信停止の条件と試算");
    let content = html! {
        (parts::heading(title, visit.say(
            "How many errors put an address on the list, as the config file says; and what other numbers would have done to the stored log.",
            "設定ファイルの停止条件（エラーの日数）です。数値を変えた場合の結果を、保存されているログで試算できます。",
        )))
        (tabs(visit, "/suppression/try"))
        (form(visit, &in_force(visit)))
    };
    visit.page(Section::Suppression, title, &content)
}

fn form(visit: &Visit<'_>, asked: &WhatIf) -> Markup {
    let now = in_force(visit);
    let (mut of_now, mut of_asked) = (now.thresholds.clone(), asked.thresholds.clone());
    let window = days(asked.thresholds.window).to_string();
    let watch = asked.watch.map_or_else(String::new, |watch| days(watch).to_string());
    let hint = |value: String| format!("{}{value}", visit.say("in force: ", "現在の設定："));
    let window_hint = hint(days(now.thresholds.window).to_string());
    let watch_hint = hint(
        now.watch.map_or_else(|| visit.say("until lifted", "解除するまで").to_owned(), |watch| days(watch).to_string()),
    );
    let fields = html! {
        table class="stack conditions" {
            thead {
                tr {
                    th { (visit.say("Error", "エラー分類")) }
                    th class="number" { (visit.say("In force", "現在の設定")) }
                    th { (visit.say("Try", "試算する値")) }
                }
            }
            tbody {
                @for (name, of, place) in CONDITIONS {
                    @let value = *place(&mut of_now);
                    tr {
                        td class="strong" { (class(visit.lang, of)) }
                        td class="number" data-label=(visit.say("In force", "現在の設定")) {
                            @if value == 0 { span class="soft" { (visit.say("never", "停止しない")) } } @else { (number(u64::from(value))) }
                        }
                        td {
                            input type="number" name=(name) min="0" max=(ERRORS_MAX) value=(*place(&mut of_asked))
                                aria-label={ (class(visit.lang, of)) (visit.lang.colon()) (visit.say("days with errors; 0: never", "エラーのあった日数（0：停止しない）")) };
                        }
                    }
                }
            }
        }
        div class="fields spaced" {
            (Field { name: "window", label: visit.say("An error counts for (days)", "エラーを数える期間（日）"), value: &window, kind: "number", hint: &window_hint, ..Field::default() }.show())
            (Field { name: "watch", label: visit.say("An address stays for (days; empty: until lifted)", "監視期間（日。空欄：解除するまで）"), value: &watch, kind: "number", hint: &watch_hint, ..Field::default() }.show())
        }
        div class="actions" { button { (visit.say("Try it on the log", "ログで試算する")) } }
        p class="hint" { (visit.say(
            "One error a day counts. 0: never. A trial changes nothing.",
            "エラーは1日1件として数えます。0 は「停止しない」です。試算では何も変更しません。",
        )) }
    };
    panel(
        visit.say("Days with errors that put an address on the list", "停止までのエラー日数"),
        "",
        &visit.post("/suppression/try", "", &fields),
    )
}

/// `/suppression/try`: begins a trial.
pub(super) fn act(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let mut asked = in_force(visit);
    for (name, _, place) in CONDITIONS {
        if let Some(n) = number_of(visit, name, u64::from(ERRORS_MAX))? {
            *place(&mut asked.thresholds) = u32::try_from(n).unwrap_or(ERRORS_MAX);
        }
    }
    if let Some(window) = number_of(visit, "window", DAYS_MAX)?.filter(|days| *days > 0) {
        asked.thresholds.window = Duration::from_secs(window * DAY_SECONDS);
    }
    asked.watch = number_of(visit, "watch", DAYS_MAX)?
        .filter(|days| *days > 0)
        .map(|days| Duration::from_secs(days * DAY_SECONDS));
    begin(visit, What::Try(asked))
}

fn number_of(visit: &Visit<'_>, name: &str, max: u64) -> Result<Option<u64>, Missing> {
    match visit.form.text(name) {
        "" => Ok(None),
        text => match text.parse().ok().filter(|n| *n <= max) {
            Some(n) => Ok(Some(n)),
            None => visit.refuse(
                400,
                visit.say(
                    "A number of days is a whole number, at most 400 for errors and 3,650 for a period. Go back and write one.",
                    "日数は整数で入力してください（エラーは最大400、期間は最大3,650）。",
                ),
            ),
        },
    }
}

/// What a trial found.
pub(super) fn answered(visit: &Visit<'_>, asked: &WhatIf, answer: &Tried) -> Markup {
    let lang = visit.lang;
    let Some(from) = answer.from else {
        return html! {
            section { (parts::empty(
                visit.say("The log holds no delivery yet.", "ログに配信の記録がまだありません。"),
                visit.say("Try again when mail was sent.", "メールを送信してからお試しください。"),
            )) }
            (form(visit, asked))
        };
    };
    html! {
        section {
            h2 {
                (visit.say("What it would have meant", "試算結果"))
                small { (counted(lang, answer.events, "1 event", "{} events", "ログ {} 件")) (visit.say(" since ", "、")) (visit.when(from)) (visit.say("", " 以降")) }
            }
            @if answer.stopped { p class="note bad" { (visit.say("It was stopped: this is over a part of the log.", "途中で打ち切ったため、ログの一部に対する結果です。")) } }
            @if answer.left_out > 0 {
                p class="note bad" { (counted(lang, answer.left_out, "1 event was left out", "{} events were left out", "{} 件を対象外としました"))
                (visit.say(": too many addresses have errors.", "（エラーのある宛先が多すぎるため）。")) }
            }
            dl class="figures" {
                (figure("deferred", visit.say("Would come onto the list", "新たに停止"), answer.added.count))
                (figure("delivered", visit.say("Are on it and would not be", "停止不要になる"), answer.spared.count))
                @if answer.effect.lost > 0 { (figure("failed", visit.say("Delivered mails lost", "送信できたはずのメール"), answer.effect.lost)) }
                @if answer.effect.spared > 0 { (figure("delivered", visit.say("Failures spared", "送信せずに済んだ失敗"), answer.effect.spared)) }
                @if answer.effect.sent > 0 { (figure("accepted", visit.say("Blocked mails sent", "停止されずに送信"), answer.effect.sent)) }
            }
            @if answer.spared.count > 0 {
                p class="hint" { (visit.say(
                    "Those on the list stay there: a change of the conditions lifts nobody. Lift them from the list if you want to.",
                    "条件を変えても、すでに停止中の宛先は解除されません。必要に応じてリストから解除してください。",
                )) }
            }
            @if answer.unknown > 0 {
                p class="hint" { (counted(lang, answer.unknown, "1 address is", "{} addresses are", "{} 件は"))
                (visit.say(" on the list for errors older than the log: nothing can be said of them.", "ログより古いエラーで停止しているため、判定できません。")) }
            }
            div { (drawn(visit, answer)) }
        }
        (side(visit, visit.say("Would come onto the list", "新たに停止される宛先"), &answer.added))
        (side(visit, visit.say("Are on the list, and would not be", "停止不要になる宛先"), &answer.spared))
        (to_config(visit, asked))
        (form(visit, asked))
    }
}

/// The effect by day of the visitor's zone.
fn drawn(visit: &Visit<'_>, answer: &Tried) -> Markup {
    let days = by_day(&answer.quarters, &visit.about.zone, visit.now);
    if days.is_empty() {
        return parts::empty(
            visit.say(
                "No address would have come onto the list, by these conditions or by those in force.",
                "どちらの条件でも、停止される宛先はありませんでした。",
            ),
            "",
        );
    }
    let series = |name, class, value: fn(&Effect) -> u64| Series {
        name,
        class,
        values: days.iter().map(|day| value(&day.effect)).collect(),
    };
    let chart = |label, bars, lines| Chart {
        label,
        at: visit.say("Day", "日付"),
        table: visit.say("The numbers as a table", "数値を表で見る"),
        names: days.iter().map(|day| day.name.clone()).collect(),
        ticks: days.iter().map(|day| day.name.clone()).collect(),
        end: visit.say("today", "今日"),
        bars,
        lines,
    };
    let came = chart(
        visit.say("Addresses that come onto the list, by day", "1日ごとの新規停止件数"),
        vec![series(visit.say("as tried", "試算した条件"), "deferred", |effect| effect.would_come)],
        vec![series(visit.say("as in force", "現在の条件"), "accepted", |effect| effect.came)],
    );
    let mails = chart(
        visit.say("Mails that it would have changed, by day", "1日ごとの影響を受けるメール"),
        vec![
            series(visit.say("delivered ones lost", "送信できたはず"), "failed", |effect| effect.lost),
            series(visit.say("failures spared", "送信せずに済んだ失敗"), "delivered", |effect| effect.spared),
            series(visit.say("blocked ones sent", "停止されずに送信"), "four", |effect| effect.sent),
        ],
        Vec::new(),
    );
    let Effect { lost, spared, sent, .. } = answer.effect;
    html! {
        h3 { (came.label) }
        (came.draw())
        @if lost + spared + sent > 0 {
            h3 { (mails.label) }
            (mails.draw())
        }
    }
}

fn side(visit: &Visit<'_>, title: &str, side: &Side) -> Markup {
    if side.count == 0 {
        return html! {};
    }
    let size = counted(visit.lang, side.count, "1 address", "{} addresses", "{} 件");
    let shown = side.addresses.len().min(ROWS) as u64;
    let content = html! {
        p class="hint" {
            @for (n, (code, count)) in side.classes.iter().enumerate() {
                @if n > 0 { " · " }
                @match ErrorClass::from_code(*code) { Some(of) => (class(visit.lang, of)), None => (visit.say("no class", "分類なし")) }
                " " (number(*count))
            }
        }
        p class="hint" {
            @for (n, (destination, count)) in side.destinations.iter().take(ROWS / 2).enumerate() {
                @if n > 0 { " · " } (foreign(destination, 80)) " " (number(*count))
            }
        }
        table class="stack" {
            thead {
                tr {
                    th { (visit.say("Address", "宛先")) }
                    th { (visit.say("Error", "エラー分類")) }
                    th class="number" { (visit.say("Days", "日数")) }
                    th { (visit.say("Since", "停止日時")) }
                }
            }
            tbody { @for told in side.addresses.iter().take(ROWS) { (line(visit, told)) } }
        }
        @if side.count > shown {
            p class="hint" { (counted(visit.lang, side.count - shown, "and 1 more", "and {} more", "ほか {} 件")) }
        }
    };
    panel(title, &size, &content)
}

fn line(visit: &Visit<'_>, told: &Told) -> Markup {
    html! {
        tr {
            td class="strong destination" { (foreign(&told.address, 120)) @if !told.user.is_empty() { " " span class="soft" { (foreign(&told.user, 60)) } } }
            td { @if let Some(of) = told.class { (class(visit.lang, of)) } }
            td class="number" data-label=(visit.say("Days", "日数")) { (number(u64::from(told.occurred))) }
            td class="nowrap" { (visit.when(told.since)) }
        }
    }
}

/// How to put it in force: the lines that differ.
fn to_config(visit: &Visit<'_>, asked: &WhatIf) -> Markup {
    let now = in_force(visit);
    let (mut of_now, mut of_asked) = (now.thresholds.clone(), asked.thresholds.clone());
    let mut lines: Vec<String> = Vec::new();
    if now.watch != asked.watch {
        let watch = asked.watch.map_or_else(String::new, |watch| format!("{}d", days(watch)));
        lines.extend(["[suppression]".to_owned(), format!("watch = \"{watch}\"")]);
    }
    let mut changed: Vec<String> = CONDITIONS
        .iter()
        .filter(|(_, _, place)| *place(&mut of_now) != *place(&mut of_asked))
        .map(|(name, _, place)| (name, place))
        .map(|(name, place)| format!("{name} = {}", *place(&mut asked.thresholds.clone())))
        .collect();
    if now.thresholds.window != asked.thresholds.window {
        changed.push(format!("window = \"{}d\"", days(asked.thresholds.window)));
    }
    if !changed.is_empty() {
        lines.push("[suppression.thresholds]".to_owned());
        lines.append(&mut changed);
    }
    if lines.is_empty() {
        return html! {};
    }
    panel(
        visit.say("To put it in force", "この条件を適用するには"),
        "",
        &html! {
            p { (visit.say("Write this in the config file, then: hikyaku check && systemctl reload hikyaku", "設定ファイルに次の内容を記述し、hikyaku check && systemctl reload hikyaku を実行します。")) }
            (copyable(&lines.join("\n")))
        },
    )
}
