//! What happened to a message, oldest first: each step in plain words, its answer, and what was said.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    super::parts::{empty, foreign},
    Missing, Visit, event_pill, language, said, title_line,
};
use crate::{
    bounce::plain::plain,
    clock::Timestamp,
    event::{AttemptDetail, Event, EventKind},
    http::{daemon::About, words::Lang},
    smtp::conversation::Conversation,
    store::{Glance, GlanceAsk, Linked, LogRow, Message},
};

/// Events of a page: the newest.
const EVENTS: usize = 30;
/// How long a page looks for them.
const WITHIN: Duration = Duration::from_millis(40);
/// Octets of conversations on one page; what is over is a link away.
const SAID_OCTETS: usize = 8 * 1024;

/// What the visitor asks to see of what happened.
pub(super) fn asked(visit: &Visit<'_>) -> GlanceAsk {
    let number_of = |text: &str| visit.request.param(text).parse::<u64>().ok();
    GlanceAsk {
        only: number_of("recipient").and_then(|index| u32::try_from(index).ok()),
        before: number_of("before"),
        entries: EVENTS,
        within: Some(WITHIN),
        ..GlanceAsk::default()
    }
}

/// What happened: the newest events, of all recipients or of one.
pub(super) fn timeline(visit: &Visit<'_>, glance: &Glance) -> Result<Markup, Missing> {
    let asked = visit.request.param("said").parse::<u64>().ok();
    let said = said_in(visit, &glance.entries, asked)?;
    let newest_said = glance.entries.iter().rposition(|row| row.event.kind != EventKind::Succeeded);
    let is_later = !visit.request.param("before").is_empty();
    let whole = visit.link_with(&[("recipient", ""), ("before", "")]);
    Ok(html! {
        section id="story" {
            h2 {
                (visit.say("What happened", "経過"))
                @if let Some(recipient) = &glance.only {
                    small { (foreign(recipient.address.as_str(), 320)) " · " a href={ (whole) "#story" } { (visit.say("all recipients", "すべての宛先")) } }
                }
            }
            @if glance.entries.is_empty() && glance.earlier.is_some() {
                (empty(visit.say("Nothing of this message was found so far.", "ここまでの範囲では、このメールの記録はありません。"), ""))
            } @else if glance.entries.is_empty() && is_later {
                (empty(visit.say("Nothing is before this.", "これより前の記録はありません。"), ""))
            } @else if glance.entries.is_empty() {
                (empty(visit.say("The log of this message is past its retention.", "この記録は保存期間を過ぎました。"), ""))
            }
            @if let Some(before) = glance.earlier {
                p class="onward" {
                    a href={ (visit.link_with(&[("before", &before.to_string())])) "#story" } { "← " (visit.say("Earlier entries", "以前の記録")) }
                }
            }
            ol class="timeline" {
                @for (at, (row, said)) in glance.entries.iter().zip(&said).enumerate() {
                    @let event = &row.event;
                    li class=(event.kind.word()) id={ "e" (row.number) } {
                        (visit.when(event.at)) " " (event_pill(visit.lang, event.kind))
                        @if event.attempt > 0 { " " span class="soft" { (visit.say("try ", "試行 ")) (event.attempt) } }
                        @if glance.standing.all() > 1 && glance.only.is_none() { p class="strong" { (foreign(&row.recipient, 320)) } }
                        (step(visit, &glance.message, event))
                        (talk(visit, row.number, said, newest_said == Some(at)))
                        @for link in &row.links {
                            p class="reply" { a href={ "#e" (link.number) } { (link_line(visit.lang, link, &visit.about)) } }
                        }
                    }
                }
            }
        }
    })
}

/// What was said in an attempt, as far as this page has room.
enum SaidHere {
    /// It was no attempt, or nothing was said.
    Nothing,
    /// All of it.
    All(Conversation),
    /// There is something, on a page of its own.
    Elsewhere,
}

fn said_in(visit: &Visit<'_>, entries: &[LogRow], asked: Option<u64>) -> Result<Vec<SaidHere>, Missing> {
    let numbers: Vec<u64> = entries.iter().map(|row| row.number).collect();
    let found = visit.daemon.conversations(&numbers)?;
    let mut left = SAID_OCTETS;
    let mut out: Vec<SaidHere> = Vec::with_capacity(found.len());
    // The newest ones have the room; who asks for one sees it.
    for (number, conversation) in numbers.iter().zip(found).rev() {
        out.push(match conversation.filter(|c| !c.is_empty()) {
            None => SaidHere::Nothing,
            Some(c) if asked == Some(*number) => SaidHere::All(c),
            Some(c) if c.octets().len() <= left => {
                left -= c.octets().len();
                SaidHere::All(c)
            }
            Some(_) => {
                left = 0;
                SaidHere::Elsewhere
            }
        });
    }
    out.reverse();
    Ok(out)
}

/// One step: what it means, what to do, and what the log says.
fn step(visit: &Visit<'_>, message: &Message, event: &Event) -> Markup {
    let meaning = plain(event);
    html! {
        @if event.kind == EventKind::Queued {
            p { (visit.say("Accepted, and safe on disk.", "受け付け、ディスクに保存しました。")) }
            @if let Some(ip) = message.source_ip { p class="reply" { (visit.say("from ", "送信元 ")) span class="mono" { (ip) } } }
        }
        @if let Some(plain) = meaning {
            p class="means" { (plain.says(language(visit.lang))) }
            @if let Some(next) = plain.next(language(visit.lang)).filter(|_| event.kind != EventKind::Succeeded) {
                p class="todo" { (next) }
            }
        }
        @if let Some(detail) = &event.detail { (details(visit, event, detail)) }
        @if let Some(operator) = &event.operator { p class="reply" { (visit.say("by ", "実行者：")) (foreign(operator, 200)) } }
        @if let Some(next) = event.next_try && next > visit.now {
            p class="reply" { (visit.say("next try ", "次回の試行：")) (visit.lang.relative(next, visit.now)) }
        }
    }
}

fn details(visit: &Visit<'_>, event: &Event, detail: &AttemptDetail) -> Markup {
    html! {
        @if !detail.reply.is_empty() { p class="answer mono" { (foreign(&detail.reply, 2000)) } }
        p class="reply" {
            @if !detail.host.is_empty() { (foreign(&detail.host, 255)) }
            @if let Some(address) = detail.address { " " span class="mono" { (address) } }
            @if let Some(ip) = detail.sender_ip { " " (visit.say("from ", "送信元 ")) span class="mono" { (ip) } }
            @if !detail.host.is_empty() && !event.kind.is_return() {
                " · " @if detail.tls.is_empty() { (visit.say("without TLS", "TLSなし")) } @else { (foreign(&detail.tls, 200)) }
            }
            @if let Some(phase) = detail.phase.filter(|_| event.kind != EventKind::Succeeded) { " · " (visit.say("at ", "段階：")) (phase.word()) }
            @if let Some(class) = detail.error {
                " · " (class.said(visit.lang.language()))
                @if let Some(trouble) = detail.trouble { " · " (trouble.said(visit.lang.language())) }
                " · " (strength(visit.lang, detail.hard))
            }
            @if detail.possible_duplicate { " · " (visit.say("possible duplicate", "重複の可能性あり")) }
            @if !event.kind.is_return() { " · " (detail.duration.as_millis()) " ms" }
        }
    }
}

fn talk(visit: &Visit<'_>, number: u64, said: &SaidHere, is_open: bool) -> Markup {
    html! {
        @match said {
            SaidHere::Nothing => {},
            SaidHere::All(conversation) => {
                details class="said" open[is_open || visit.request.param("said") == number.to_string()] {
                    summary { (visit.say("The whole conversation", "通信記録（SMTP）")) }
                    (said::table(visit, conversation))
                }
            },
            SaidHere::Elsewhere => {
                p class="reply" {
                    a href={ (visit.link_with(&[("said", &number.to_string())])) "#e" (number) } { (visit.say("Show the whole conversation", "通信記録（SMTP）を表示")) }
                }
            },
        }
    }
}

/// What another event is about, or what came back about it (R11): what, when, and what it says.
fn link_line(lang: Lang, link: &Linked, about: &About) -> Markup {
    let event = &link.event;
    html! {
        @if event.kind.is_return() {
            (lang.say("came back later: ", "その後の返送："))
        } @else {
            (lang.say("about: ", "対象の配信："))
        }
        (lang.event(event.kind.word())) " " (about.zone.full(event.at))
        @if let Some(detail) = event.detail.as_ref().filter(|_| event.kind.is_error()) {
            @if let Some(class) = detail.error { " · " (class.said(lang.language())) " · " (strength(lang, detail.hard)) }
            " · " (foreign(&detail.reply, 300))
        }
    }
}

fn strength(lang: Lang, hard: bool) -> &'static str {
    if hard { lang.say("hard", "ハード") } else { lang.say("soft", "ソフト") }
}

/// One event as a line of a list, linked to its message.
pub(in crate::http::console) fn event_row(lang: Lang, row: &LogRow, about: &About, now: Timestamp) -> Markup {
    let kind = row.event.kind;
    let reply = row.event.detail.as_ref().map_or("", |d| d.reply.as_str());
    html! {
        a class="row" href=(lang.href(&format!("/message/{}", row.message.id))) {
            time datetime=(row.event.at.rfc3339()) { (about.zone.short(row.event.at, now)) }
            span { (event_pill(lang, kind)) }
            span class="what" {
                span class="strong" { (foreign(&row.recipient, 120)) }
                " " span class="soft" { (title_line(lang, &row.message.facts.subject, row.message.len)) }
                @match kind {
                    EventKind::Deferred | EventKind::Failed | EventKind::Bounced | EventKind::Complained if !reply.is_empty() => {
                        span class="reply clip" { (foreign(reply, 300)) }
                    },
                    EventKind::Queued | EventKind::Deferred | EventKind::Succeeded | EventKind::Failed | EventKind::Dropped => {},
                    EventKind::Bounced | EventKind::Complained => {},
                }
                @if let Some(link) = row.links.last() {
                    span class="reply clip" { (link_line(lang, link, about)) }
                }
            }
        }
    }
}
