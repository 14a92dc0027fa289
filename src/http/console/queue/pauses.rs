//! Destinations that are paused: nothing goes there until the pause ends or somebody lifts it.
//!
//! Always: a pause names its destination, its end and its reason, and is in the operation log with the account's name and address.

use std::time::Duration;

use maud::{Markup, html};

use super::list::{COUNT_MAX, count_words};
use crate::{
    http::{
        console::{
            Answer, Args, Missing, Right, Section, Told, Visit,
            parts::{Field, clean, clip, empty, facts, foreign, heading, number, panel, select},
        },
        control::pauses::{REASON_MAX, destination_named},
    },
    store::{Pause, QueueFilter, StoreError},
};

/// The word that leads to the preview of a pause.
pub(super) const VERB: &str = "pause";
/// How long a pause may be chosen to last: the word in the form, in minutes.
const LENGTHS: [(&str, u64); 6] = [("30m", 30), ("1h", 60), ("4h", 240), ("1d", 1_440), ("7d", 10_080), ("", 0)];

fn length_words(visit: &Visit<'_>, word: &str) -> &'static str {
    match word {
        "30m" => visit.say("30 minutes", "30分"),
        "1h" => visit.say("1 hour", "1時間"),
        "4h" => visit.say("4 hours", "4時間"),
        "1d" => visit.say("1 day", "1日"),
        "7d" => visit.say("7 days", "7日"),
        _ => visit.say("until it is lifted", "再開するまで"),
    }
}

/// Pauses that the page shows.
const SHOWN_MAX: usize = 50;

/// The pauses in force, and the form that makes one.
///
/// # Errors
/// The store's.
pub(super) fn section(visit: &Visit<'_>, pauses: &[Pause]) -> Result<Markup, Missing> {
    let lang = visit.lang;
    let mut rows = Vec::with_capacity(pauses.len());
    for pause in pauses.iter().take(SHOWN_MAX) {
        let filter = QueueFilter { destination: pause.destination.clone(), ..QueueFilter::default() };
        rows.push((pause, filter.clone(), visit.daemon.count_waiting(&filter, COUNT_MAX)?));
    }
    let may = visit.may(Right::Act);
    let content = html! {
        @if rows.is_empty() {
            (empty(lang.say("No destination is paused.", "一時停止中の宛先ドメインはありません。"),
                lang.say("Pause one while its operators work on it, and nothing is lost: its mail waits here.", "宛先ドメインのメンテナンス中などに一時停止すると、メールはキューで待機します。")))
        } @else {
            table class="stack" {
                thead {
                    tr {
                        th { (lang.say("Destination", "宛先ドメイン")) }
                        th class="number" { (lang.say("Waiting", "待機中")) }
                        th { (lang.say("Until", "終了")) }
                        th { (lang.say("By", "実行者")) }
                        th { (lang.say("Reason", "理由")) }
                        @if may { th { span class="hidden" { (lang.say("Acts", "操作")) } } }
                    }
                }
                tbody {
                    @for (pause, filter, count) in &rows {
                        tr {
                            td class="strong destination" { a href=(super::list_link(visit, filter)) { (foreign(&pause.destination, 120)) } }
                            td class="number big" { (number(count.recipients)) }
                            td data-label=(lang.say("Until", "終了")) {
                                @match pause.until {
                                    Some(until) => { (visit.when(until)) },
                                    None => { (lang.say("until it is lifted", "再開するまで")) },
                                }
                            }
                            td data-label=(lang.say("By", "実行者")) { (foreign(&pause.operator, 100)) " " span class="soft" { (visit.when_short(pause.since)) } }
                            td class="wide reply" { (foreign(&pause.reason, REASON_MAX)) }
                            @if may {
                                td class="wide acts" {
                                    (visit.button("/queue/resume", "plain", &[("destination", &pause.destination)], lang.say("Resume", "再開")))
                                }
                            }
                        }
                    }
                }
            }
        }
        @if pauses.len() > SHOWN_MAX {
            p class="hint" {
                (number(pauses.len() as u64)) (lang.say(" in all; the others are told by ", " 件中の先頭50件です。すべて表示するには："))
                code { "hikyaku queue pauses" }
            }
        }
        @if may {
            details {
                summary { (lang.say("Pause a destination", "宛先ドメインを一時停止する")) }
                (ask_form(visit))
            }
        }
    };
    Ok(panel(lang.say("Paused destinations", "一時停止中の宛先ドメイン"), "", &content))
}

/// Asks for a destination; the preview asks the rest.
fn ask_form(visit: &Visit<'_>) -> Markup {
    let destination = Field {
        name: "destination",
        label: visit.say("Destination", "宛先ドメイン"),
        placeholder: "example.jp",
        hint: visit.say("A domain, or a smarthost's HOST:PORT", "ドメイン、またはスマートホストの HOST:PORT"),
        required: true,
        max: 255,
        ..Field::default()
    };
    let content = html! {
        input type="hidden" name="verb" value=(VERB);
        (destination.show())
        button class="plain" { (visit.say("Go on", "次へ")) }
    };
    visit.post("/queue/preview", "row-form", &content)
}

/// The destination that a form or a link names.
fn destination_of(visit: &Visit<'_>) -> Result<String, Missing> {
    let asked = visit.form.text("destination");
    let asked = if asked.is_empty() { visit.request.param("destination").trim() } else { asked };
    match destination_named(asked) {
        Some(destination) => Ok(destination),
        None => {
            let named = clean(&clip(asked, 100));
            let words = if visit.lang.japanese {
                format!(
                    "「{named}」は宛先ドメインではありません。example.jp のようなドメイン、またはスマートホストの HOST:PORT を入力してください。"
                )
            } else {
                format!("{named:?} is no destination: write a domain such as example.jp, or a smarthost's HOST:PORT.")
            };
            visit.refuse(400, words)
        }
    }
}

/// What a pause would do, and for how long.
pub(super) fn preview(visit: &Visit<'_>) -> Answer {
    let (lang, destination) = (visit.lang, destination_of(visit)?);
    let filter = QueueFilter { destination: destination.clone(), ..QueueFilter::default() };
    let count = visit.daemon.count_waiting(&filter, COUNT_MAX)?;
    let options = LENGTHS.map(|(word, _)| (word, length_words(visit, word)));
    let reason = Field {
        name: "reason",
        label: lang.say("Reason, for your colleagues", "理由（ほかの担当者への説明）"),
        max: REASON_MAX as u32,
        ..Field::default()
    };
    let form = html! {
        input type="hidden" name="destination" value=(destination);
        div class="fields" { (select("for", lang.say("How long", "期間"), &options, "1h")) (reason.show()) }
        div class="actions" {
            button { (lang.say("Pause", "一時停止")) }
            a class="button plain" href=(visit.href("/queue")) { (lang.say("Cancel", "キャンセル")) }
        }
    };
    let title = lang.say("Pause a destination", "宛先ドメインを一時停止");
    let content = html! {
        (heading(title, lang.say(
            "Nothing goes there until the pause ends. New mail for it is still taken, and waits. Lifetimes go on.",
            "一時停止が終わるまで送信しません。新しいメールの受付は続き、キューで待機します。有効期限は延びません。",
        )))
        section {
            (facts(&[
                (lang.say("Destination", "宛先ドメイン"), html! { (foreign(&destination, 255)) }),
                (lang.say("Waiting now", "待機中"), html! { (count_words(visit, count)) }),
            ]))
            (visit.post("/queue/pause", "confirm", &form))
        }
    };
    visit.page(Section::Queue, title, &content)
}

/// `/queue/pause`.
pub(super) fn pause(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let destination = destination_of(visit)?;
    let word = visit.form.text("for");
    let Some((_, minutes)) = LENGTHS.iter().find(|(known, _)| *known == word) else {
        return visit.refuse(400, visit.say("Choose how long the pause lasts.", "期間を選択してください。"));
    };
    let reason = visit.form.text("reason");
    if reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control) {
        return visit.refuse(
            400,
            visit.say("A reason is one line of at most 200 letters.", "理由は200文字以内の1行で入力してください。"),
        );
    }
    let pause = Pause {
        destination: destination.clone(),
        since: visit.now,
        until: (*minutes > 0).then(|| visit.now.plus(Duration::from_secs(minutes * 60))),
        operator: visit.who(),
        reason: reason.to_owned(),
    };
    let named = clean(&clip(&destination, 100));
    let told = match visit.daemon.pause(pause, &visit.from()) {
        Ok(()) if visit.lang.japanese => {
            Told::good(format!("{named} を一時停止しました（{}）。", length_words(visit, word)))
        }
        Ok(()) => Told::good(format!("{named} is paused: {}.", length_words(visit, word))),
        Err(StoreError::Refused(_)) => Told::bad(visit.say(
            "Too many destinations are paused already: resume one first.",
            "一時停止中の宛先ドメインが多すぎます。先にいずれかを再開してください。",
        )),
        Err(error) => return Err(error.into()),
    };
    visit.done("/queue", &told)
}

/// `/queue/resume`.
pub(super) fn resume(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let destination = destination_of(visit)?;
    let named = clean(&clip(&destination, 100));
    let is_lifted = visit.daemon.unpause(&destination, &visit.who(), &visit.from())?;
    let told = match (is_lifted, visit.lang.japanese) {
        (true, false) => Told::good(format!("Mail goes to {named} again.")),
        (true, true) => Told::good(format!("{named} への送信を再開しました。")),
        (false, false) => Told::bad(format!("{named} is not paused any more.")),
        (false, true) => Told::bad(format!("{named} は一時停止中ではありません。")),
    };
    visit.done("/queue", &told)
}
