//! What wants a person, first on the front page: destinations in trouble, held errors that wait for a decision, webhooks that
//! fail, domains with errors. Each says what it is, and leads to where something can be done about it.
//!
//! Always: nothing is here while nothing wants anybody; what a destination answered, and whose errors are held, is shown to who may
//! see rows with addresses.

use maud::{Markup, html};

use super::troubles::{self, Incident};
use crate::http::{
    console::{
        Right, Visit,
        lists::past,
        parts::{foreign, number},
    },
    domain_status::DomainStatusOut,
    exchange::percent_encode,
    rows::{StatusOut, WebhookOut},
    rows_lists::HoldOut,
    when::of_rfc3339,
};

/// Rows of one kind at most; each has a page with all.
const ROWS_MAX: usize = 5;

/// The section; nothing where all is well.
pub(super) fn section(visit: &Visit<'_>, all: &[Incident], status: &StatusOut) -> Markup {
    // Where nobody waits, there is nothing for the front page.
    let waiting: Vec<&Incident> = all.iter().filter(|i| i.waiting > 0).take(ROWS_MAX).collect();
    let views = visit.may(Right::View);
    let held: Vec<&HoldOut> = status.lists.held.iter().filter(|hold| views && hold.ended.is_none()).collect();
    let domains: Vec<&DomainStatusOut> = status.domains.iter().filter(|domain| domain.errors > 0).collect();
    let is_calm = waiting.is_empty() && held.is_empty() && status.webhooks.is_empty() && domains.is_empty();
    html! {
        @if !is_calm {
            section id="troubles" {
                h2 {
                    (visit.say("Wants your attention", "対応が必要な項目"))
                    @if all.len() > waiting.len() {
                        a class="more" href=(visit.href("/troubles")) { (visit.say("All delivery incidents", "すべての配信障害")) }
                    }
                }
                ul class="incidents" {
                    @for incident in waiting { (troubles::item(visit, incident)) }
                    @for hold in held.into_iter().take(ROWS_MAX) { (hold_item(visit, hold)) }
                    @for hook in status.webhooks.iter().take(ROWS_MAX) { (webhook_item(visit, hook)) }
                    @if !domains.is_empty() { (domains_item(visit, &domains)) }
                }
            }
        }
    }
}

/// A destination whose unknown users jumped: their errors are held until somebody decides.
fn hold_item(visit: &Visit<'_>, hold: &HoldOut) -> Markup {
    let since = of_rfc3339(&hold.since).map_or_else(String::new, |at| visit.about.zone.short(at, visit.now));
    let past = past(hold.past_permille);
    html! {
        li class="slow" {
            p class="strong" {
                (foreign(&hold.place, 120))
                @if visit.lang.japanese {
                    " で「宛先不明」が急増しています（" (since) " から " (hold.rate_percent) " %、通常 " (past) " %）。保留中のエラー " (number(hold.held)) " 件。"
                } @else {
                    " answers “unknown user” to " (hold.rate_percent) " % since " (since) ", was " (past) " %; "
                    (number(hold.held)) " errors are held."
                }
            }
            @if !hold.example.is_empty() { p class="reply" { span class="clip" { (foreign(&hold.example, 300)) } } }
            p class="onward" {
                (visit.say("Held back: nobody is suppressed for it until you decide. ", "確認されるまで配信停止にはしません。"))
                a href=(visit.href(&format!("/suppression/incident/{}", hold.id))) { (visit.say("Look, and decide", "確認して対応する")) }
            }
        }
    }
}

/// A webhook that does not get through.
fn webhook_item(visit: &Visit<'_>, hook: &WebhookOut) -> Markup {
    let (class, english, japanese) = match hook.state.as_str() {
        "gone" => (
            "down",
            "answered 410 (gone): nothing is posted until it is resumed.",
            "は 410（Gone）を返したため、再開するまで送信を止めています。",
        ),
        "paused" => (
            "paused",
            "is paused: nothing is posted until it is resumed.",
            "への送信は一時停止中です。再開するまで何も送信しません。",
        ),
        "failing" => ("down", "fails", "への送信に失敗しています"),
        _ => (
            "slow",
            "has events that failed for too long and were set aside.",
            "に、再送期間を過ぎて保留されたイベントがあります。",
        ),
    };
    html! {
        li class=(class) {
            p class="strong" {
                @if visit.lang.japanese { "Webhook「" (foreign(&hook.name, 64)) "」" (japanese) } @else { "The webhook “" (foreign(&hook.name, 64)) "” " (english) }
                @if hook.state == "failing" {
                    // What a server answers is for who may see mail.
                    @if visit.may(Right::View) { (visit.lang.colon()) (foreign(&hook.error, 200)) }
                    (visit.say(".", "。"))
                }
            }
            p class="onward" {
                @if hook.state == "failing" {
                    (visit.say("Nothing is lost: its events wait in the log. ", "イベントはログに残っており、失われません。"))
                }
                @if visit.may(Right::View) {
                    a href=(visit.href(&format!("/webhooks/history?name={}", percent_encode(&hook.name)))) { (visit.say("History, test, try now", "履歴・テスト・再送")) }
                }
            }
        }
    }
}

/// Domains whose mail is refused, or will be; the section below has their findings.
fn domains_item(visit: &Visit<'_>, domains: &[&DomainStatusOut]) -> Markup {
    let more = domains.len().saturating_sub(ROWS_MAX);
    html! {
        li class="down" {
            p class="strong" { (visit.say("Mail of these domains is refused or will be:", "送信ドメインの設定に問題があり、メールが拒否されるおそれがあります：")) }
            p class="onward" {
                @for (n, domain) in domains.iter().take(ROWS_MAX).enumerate() {
                    @if n > 0 { " · " }
                    a href=(visit.href(&format!("/domains/{}", percent_encode(&domain.domain)))) { (foreign(&domain.domain, 100)) }
                    " " (errors(visit, domain.errors))
                }
                @if more > 0 { " · " a href=(visit.href("/domains")) { "+" (number(more as u64)) } }
            }
        }
    }
}

fn errors(visit: &Visit<'_>, n: usize) -> String {
    match (n, visit.lang.japanese) {
        (n, true) => format!("（エラー {}）", number(n as u64)),
        (1, false) => "(1 error)".to_owned(),
        (n, false) => format!("({} errors)", number(n as u64)),
    }
}
