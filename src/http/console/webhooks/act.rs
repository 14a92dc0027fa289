//! What is done with webhooks: tries, stops, posts again.

use maud::html;
use smol::future::block_on;

use super::{
    super::{
        Answer, Args, Missing, Section, Told, Visit,
        parts::{clean, clip, heading, number},
    },
    one::found,
    path_of,
};
use crate::{
    clock::Timestamp,
    store::{AuditEntry, QuarterCounts},
    webhook::{OrderError, place::number_at, view::View},
};

/// Letters of a post's id; ours have fewer than a hundred.
const ID_MAX: usize = 200;
/// Letters of an answer in a message.
const ANSWER_MAX: usize = 200;

fn named(visit: &Visit<'_>) -> Result<View, Missing> {
    found(visit, visit.form.text("name"))
}

/// Whether the order waits behind a post that is on its way.
fn carried_out(ordered: Result<u64, OrderError>, visit: &Visit<'_>) -> Result<Option<u64>, Missing> {
    match ordered {
        Ok(answer) => Ok(Some(answer)),
        Err(OrderError::Later) => Ok(None),
        Err(OrderError::Unknown) => Err(Missing::Nothing),
        Err(OrderError::NoPost) => visit.refuse(
            404,
            visit.say(
                "This post is not among the last 1,000 any more: post everything again since its time instead.",
                "この送信は直近1,000件に含まれていません。時刻を指定して再送してください。",
            ),
        ),
        Err(OrderError::Store(error)) => Err(error.into()),
    }
}

fn note(visit: &Visit<'_>, act: &str, view: &View, detail: impl Into<String>) -> Result<(), Missing> {
    let (act, object) = (format!("webhook.{act}"), view.name.clone());
    let entry = AuditEntry { at: visit.now, who: visit.who(), from: visit.from(), act, object, detail: detail.into() };
    Ok(visit.daemon.audit(entry)?)
}

/// What was done, and where to go on. `now`: it was not left for later.
fn done(visit: &Visit<'_>, view: &View, now: bool, words: &'static str) -> Answer {
    let later = visit
        .say(" A post is on its way: it is done as soon as that has ended.", "送信中のため、終わり次第実行します。");
    visit.done(&path_of(&view.name), &Told::good(format!("{words}{}", if now { "" } else { later })))
}

/// One made-up event, now and once. It waits for the answer, as long as the webhook's time-out says.
pub(super) fn test(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let view = named(visit)?;
    let sent = block_on(visit.daemon.webhooks().test(&view.name)).ok_or(Missing::Nothing)?;
    note(visit, "test", &view, format!("status {}", sent.status))?;
    let millis = number(u64::try_from(sent.took.as_millis()).unwrap_or(u64::MAX));
    let told = match (sent.error, visit.lang.japanese) {
        (None, false) => Told::good(format!("The test event was taken: {} after {millis} ms.", sent.status)),
        (None, true) => Told::good(format!("テストイベントを送信しました。応答 {}（{millis} ミリ秒）。", sent.status)),
        (Some(error), false) => Told::bad(format!(
            "The test event was not taken, after {millis} ms: {}. Look at the receiver's log, its certificate, and [[webhook]] in the config.",
            clean(&clip(&error, ANSWER_MAX))
        )),
        (Some(error), true) => Told::bad(format!(
            "テストイベントを送信できませんでした（{millis} ミリ秒）：{}。受信側のログと証明書、設定の [[webhook]] を確認してください。",
            clean(&clip(&error, ANSWER_MAX))
        )),
    };
    visit.done(&path_of(&view.name), &told)
}

pub(super) fn pause(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let view = named(visit)?;
    let now = carried_out(block_on(visit.daemon.webhooks().pause(&view.name, &visit.who())), visit)?;
    note(visit, "pause", &view, "")?;
    done(
        visit,
        &view,
        now.is_some(),
        visit.say(
            "It is paused: nothing is posted until you resume it.",
            "一時停止しました。再開するまで送信しません。",
        ),
    )
}

pub(super) fn resume(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let view = named(visit)?;
    let now = carried_out(block_on(visit.daemon.webhooks().resume(&view.name)), visit)?;
    note(visit, "resume", &view, "")?;
    done(visit, &view, now.is_some(), visit.say("It is tried now.", "送信を再開しました。"))
}

pub(super) fn replay_post(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let (view, id) = (named(visit)?, clip(visit.form.text("post"), ID_MAX));
    let now = carried_out(block_on(visit.daemon.webhooks().replay_post(&view.name, &id)), visit)?;
    if now == Some(0) {
        return visit.refuse(
            409,
            visit.say(
                "Too much waits to be posted again already: wait until that is done.",
                "再送待ちの範囲が多すぎます。完了してから再度実行してください。",
            ),
        );
    }
    note(visit, "replay", &view, format!("post {id}"))?;
    done(
        visit,
        &view,
        now.is_some(),
        visit.say("What was in that post is posted again.", "この送信の内容を再送します。"),
    )
}

pub(super) fn replay_parked(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let view = named(visit)?;
    let now = carried_out(block_on(visit.daemon.webhooks().replay_parked(&view.name)), visit)?;
    note(visit, "replay", &view, "what was set aside")?;
    done(
        visit,
        &view,
        now.is_some(),
        visit.say("What was set aside is posted again.", "保留されたイベントを再送します。"),
    )
}

/// The moment that a replay begins at.
fn from_of(visit: &Visit<'_>, text: &str) -> Result<Timestamp, Missing> {
    match visit.about.zone.parse(text, visit.now) {
        Ok(from) if from < visit.now => Ok(from),
        Ok(_) | Err(_) => visit.refuse(
            400,
            visit.say(
                "Give a time that is past, such as 2026-11-29T09:00.",
                "2026-11-29T09:00 のように、過去の日時を指定してください。",
            ),
        ),
    }
}

/// About how many events of the log that is: the sums of quarters of an hour, by what the webhook wants.
fn how_many(visit: &Visit<'_>, view: &View, from: Timestamp) -> Result<u64, Missing> {
    let wants = |word: &str| u64::from(view.events.iter().any(|event| event == word));
    let mut sum = 0;
    visit.daemon.each_count(from, visit.now, None, &mut |c: QuarterCounts| {
        sum += wants("queued") * c.queued
            + wants("succeeded") * c.succeeded
            + wants("deferred") * c.deferred
            + wants("failed") * (c.failed + c.blocked)
            + wants("bounced") * c.bounced;
    })?;
    Ok(sum)
}

pub(super) fn replay_preview(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let view = found(visit, visit.request.param("name"))?;
    let text = visit.request.param("from");
    let from = from_of(visit, text)?;
    // Past its retention nothing is there to be posted.
    let kept = visit.about.retention.delivery_log.max(visit.about.retention.error_log);
    let begins = from.max(visit.now.minus(kept));
    let events = number(how_many(visit, &view, begins)?);
    let title = visit.say("Post again", "再送の確認");
    let content = html! {
        p class="back" { a href=(visit.href(&path_of(&view.name))) { "← " (clean(&clip(&view.name, 64))) } }
        (heading(title, ""))
        section {
            p {
                @if visit.lang.japanese {
                    "「" (clean(&clip(&view.name, 64))) "」へ、" (visit.when(begins)) " 以降のイベント" span class="strong" { "約 " (events) " 件" }
                    "（15分単位の概数）と、その間の配信停止リストの変更を再送します。IDは前回と同じです。新しいイベントは再送の後に続きます。"
                } @else {
                    "To “" (clean(&clip(&view.name, 64))) "”, everything since " (visit.when(begins)) " is posted again: "
                    span class="strong" { "about " (events) " events" }
                    " of mail (counted by the quarter of an hour), and the changes of the suppression list of that time. They have the same ids as before. New events come behind them."
                }
            }
            (visit.post("/webhooks/replay", "", &html! {
                input type="hidden" name="name" value=(view.name);
                input type="hidden" name="from" value=(begins.rfc3339());
                p class="actions" {
                    button { (visit.say("Post them again", "再送する")) }
                    a class="button plain" href=(visit.href(&path_of(&view.name))) { (visit.say("Leave it", "中止")) }
                }
            }))
        }
    };
    visit.page(Section::Webhooks, title, &content)
}

pub(super) fn replay(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let view = named(visit)?;
    let from = from_of(visit, visit.form.text("from"))?;
    let number = number_at(from);
    let now = carried_out(block_on(visit.daemon.webhooks().replay_from(&view.name, number)), visit)?;
    note(visit, "replay", &view, format!("from event {number}"))?;
    done(
        visit,
        &view,
        now.is_some(),
        visit.say("Everything since then is posted again.", "指定した時刻以降のイベントを再送します。"),
    )
}
