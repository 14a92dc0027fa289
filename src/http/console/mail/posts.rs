//! What programs were told of a message: the posts of webhooks.

use maud::{Markup, html};

use super::{
    super::parts::{foreign, pill},
    Missing, Visit,
};
use crate::{clock::Timestamp, event::EventKind, store::Glance, webhook::history::KEPT};

/// Posts of one endpoint that are shown.
const POSTS_MAX: usize = 10;

/// The posts that told of what stands on this page; nothing where there is no webhook.
pub(super) fn deliveries(visit: &Visit<'_>, glance: &Glance) -> Result<Markup, Missing> {
    let webhooks = visit.daemon.webhooks();
    if webhooks.views().is_empty() {
        return Ok(html! {});
    }
    let events: Vec<(u64, EventKind)> = glance.entries.iter().map(|row| (row.number, row.event.kind)).collect();
    let told = webhooks.posts_about(&events, POSTS_MAX)?;
    let kind_of = |number: u64| events.iter().find(|(n, _)| *n == number).map(|(_, kind)| *kind);
    Ok(html! {
        section {
            h2 { (visit.say("What webhooks were told", "Webhook の送信")) }
            @if told.is_empty() {
                p class="empty" {
                    (visit.say("No post about this message is remembered: each webhook's last ", "このメールに関する送信記録はありません。記録は Webhook ごとに直近 "))
                    (KEPT)
                    (visit.say(" posts are.", " 件です。"))
                }
            } @else {
                table class="stack" {
                    thead {
                        tr {
                            th { (visit.say("When", "日時")) }
                            th { (visit.say("Webhook", "Webhook")) }
                            th { (visit.say("Answer", "応答")) }
                            th { (visit.say("Told", "通知した内容")) }
                            th class="number" { (visit.say("Took", "所要時間")) }
                        }
                    }
                    tbody {
                        @for endpoint in &told {
                            @for (tried, numbers) in &endpoint.posts {
                                tr {
                                    td class="nowrap" { (visit.when(Timestamp::from_millis(tried.at))) }
                                    td class="strong" { a href=(visit.href("/webhooks")) { (foreign(&endpoint.name, 100)) } }
                                    td class="wide" {
                                        @if tried.error.is_empty() {
                                            (pill("succeeded", visit.say("taken", "受領")))
                                        } @else {
                                            (pill("failed", visit.say("failed", "失敗"))) " " span class="reply" { (foreign(&tried.error, 300)) }
                                        }
                                        @if tried.status > 0 { " " span class="soft" { (tried.status) } }
                                    }
                                    td data-label=(visit.say("Told", "内容")) {
                                        @for (n, number) in numbers.iter().enumerate() {
                                            @if n > 0 { ", " }
                                            a href={ "#e" (number) } { @match kind_of(*number) { Some(kind) => (visit.lang.event(kind.word())), None => (number) } }
                                        }
                                        @if tried.events > numbers.len() as u64 {
                                            span class="soft" { " +" (tried.events - numbers.len() as u64) }
                                        }
                                    }
                                    td class="number left" data-label=(visit.say("Took", "所要時間")) { (tried.took) " ms" }
                                }
                            }
                        }
                    }
                }
            }
        }
    })
}
