//! The parts of the front page that are there only when there is something to say: the age of what waits, the operator's
//! pauses, addresses that warm up, and what deserves a look.

use std::time::Duration;

use maud::{Markup, html};

use crate::http::console::parts::{class_name, foreign, number};
use crate::{
    clock::Timestamp,
    http::{
        daemon::About,
        rows::{PauseOut, StatusOut, UnusedRuleOut, WarmUpOut, WebhookOut},
        when::of_rfc3339,
        words::Lang,
    },
};

/// Rows of one of these lists at most; the command line shows all.
const ROWS_MAX: usize = 20;

/// The age of the oldest waiting mail of each class, in one line; nothing while nothing waits.
pub(super) fn ages(lang: Lang, status: &StatusOut) -> Markup {
    let ages = status.oldest_seconds.each();
    html! {
        @if ages.iter().any(|(_, age)| age.is_some()) {
            p class="ages" {
                (lang.say("Oldest waiting mail", "最も古い待機メール"))
                @for (class, age) in ages {
                    span {
                        (class_name(lang, class)) " "
                        @match age {
                            Some(age) => span class="strong" { (lang.duration(Duration::from_secs(age))) },
                            None => "–",
                        }
                    }
                }
            }
        }
    }
}

/// Destinations that an operator paused.
pub(super) fn pauses(lang: Lang, status: &StatusOut, about: &About, now: Timestamp) -> Markup {
    html! {
        @if !status.pauses.is_empty() {
            section {
                h2 {
                    (lang.say("Paused by an operator", "一時停止中の宛先"))
                    small { (lang.say("nothing goes there", "配信を止めています")) }
                }
                table class="stack" {
                    thead {
                        tr {
                            th { (lang.say("Destination", "宛先ドメイン")) }
                            th class="number" { (lang.say("Waiting", "待機")) }
                            th { (lang.say("Until", "再開")) }
                            th { (lang.say("By", "実行者")) }
                        }
                    }
                    tbody { @for pause in status.pauses.iter().take(ROWS_MAX) { (pause_row(lang, pause, about, now)) } }
                }
            }
        }
    }
}

fn pause_row(lang: Lang, pause: &PauseOut, about: &About, now: Timestamp) -> Markup {
    let until = pause.until.as_deref().and_then(of_rfc3339);
    html! {
        tr {
            td class="strong destination" { (foreign(&pause.destination, 120)) }
            td class="number big" { @if pause.waiting > 0 { (number(pause.waiting)) } @else { span class="soft" { "–" } } }
            td class="nowrap" data-label=(lang.say("Until", "再開")) {
                @match until {
                    Some(until) => { (about.zone.short(until, now)) " · " span class="soft" { (lang.relative(until, now)) } },
                    None => (lang.say("it is resumed", "手動で再開するまで")),
                }
            }
            td class="wide reply" {
                (foreign(&pause.operator, 80))
                @if !pause.reason.is_empty() { ": " (foreign(&pause.reason, 200)) }
            }
        }
    }
}

/// Source addresses that are warming up.
pub(super) fn warm_ups(lang: Lang, status: &StatusOut) -> Markup {
    html! {
        @if !status.warm_ups.is_empty() {
            section {
                h2 {
                    (lang.say("New addresses, warming up", "ウォームアップ中の送信元アドレス"))
                    small { (lang.say("recipients today", "本日の宛先数")) }
                }
                table class="stack" {
                    thead {
                        tr {
                            th { (lang.say("Address", "送信元")) }
                            th class="nowrap" { (lang.say("Day", "日数")) }
                            th { (lang.say("Provider", "配信先")) }
                            th class="number" { (lang.say("Sent", "送信")) }
                            th class="number" { (lang.say("Allowed", "上限")) }
                            th class="meter" { span class="hidden" { (lang.say("Of what is allowed", "上限に対する割合")) } }
                        }
                    }
                    tbody { @for row in status.warm_ups.iter().take(ROWS_MAX) { (warm_up_row(lang, row)) } }
                }
            }
        }
    }
}

fn warm_up_row(lang: Lang, row: &WarmUpOut) -> Markup {
    let label = format!("{} / {}", number(row.sent), number(row.cap));
    html! {
        tr {
            td class="strong nowrap" { (row.source) }
            td class="nowrap" data-label=(lang.say("Day", "日数")) { (row.day) " / " (row.days) }
            td class="wide" { (foreign(&row.provider, 120)) }
            td class="number left" data-label=(lang.say("Sent", "送信")) { (number(row.sent)) }
            td class="number left" data-label=(lang.say("Allowed", "上限")) { (number(row.cap)) }
            td class="meter wide" { meter min="0" max=(row.cap.max(1)) value=(row.sent.min(row.cap)) aria-label=(label) {} }
        }
    }
}

/// What deserves a look, without being in the way of any mail.
pub(super) fn notes(lang: Lang, status: &StatusOut) -> Markup {
    let dnssec = match status.dns_validation.as_deref() {
        Some("no") => Some(lang.say(
            "The DNS resolver does not validate DNSSEC, or may not be believed: DANE has no effect. A validating resolver on this machine, or one named in [dns] trusted, would change that.",
            "DNS リゾルバーが DNSSEC を検証していないか、信頼できる設定になっていないため、DANE は無効です。検証を行うリゾルバーをこのサーバーで動かすか、[dns] trusted に指定してください。",
        )),
        Some("unknown") => Some(lang.say(
            "Whether the DNS resolver validates DNSSEC is not known yet: it has not answered. DANE has no effect until it does.",
            "DNS リゾルバーから応答がなく、DNSSEC の検証状況を確認できていません。確認できるまで DANE は無効です。",
        )),
        Some(_) | None => None,
    };
    html! {
        @if dnssec.is_some() || !status.unused_rules.is_empty() || !status.webhooks.is_empty() {
            section {
                h2 { (lang.say("Worth a look", "確認をおすすめする項目")) }
                ul class="notes" {
                    @if let Some(words) = dnssec { li { (words) } }
                    @for hook in status.webhooks.iter().take(ROWS_MAX) { li { (webhook(lang, hook)) } }
                    @for rule in status.unused_rules.iter().take(ROWS_MAX) { li { (unused(lang, rule)) } }
                }
            }
        }
    }
}

fn webhook(lang: Lang, hook: &WebhookOut) -> Markup {
    let parked = !hook.parked.is_empty();
    html! {
        @if lang.japanese {
            "Webhook「" (foreign(&hook.name, 64)) "」"
            @match hook.state.as_str() {
                "gone" => "は 410 (Gone) を返したため、再開するまで送信を止めています。",
                "paused" => "への送信は一時停止中です。再開するまで何も送信しません。",
                "failing" => { "への送信に失敗しています: " (foreign(&hook.error, 200)) },
                _ => "には、",
            }
            @if parked { "再送期間を過ぎて保留されたイベントがあります（hikyaku webhook list）。" }
        } @else {
            "The webhook “" (foreign(&hook.name, 64)) "” "
            @match hook.state.as_str() {
                "gone" => "answered 410 (gone): nothing is posted until it is resumed.",

                "paused" => "is paused: nothing is posted until it is resumed.",
                "failing" => { "fails: " (foreign(&hook.error, 200)) },
                _ => "works.",
            }
            @if parked { " Events that failed for too long were set aside (hikyaku webhook list)." }
        }
    }
}

fn unused(lang: Lang, rule: &UnusedRuleOut) -> Markup {
    let idle = lang.duration(Duration::from_secs(rule.idle_seconds));
    html! {
        @if lang.japanese {
            "配信速度ルール「" (foreign(&rule.rule, 64)) "」は " (idle) "間、どの宛先にも一致していません。"
        } @else {
            "The delivery-speed rule “" (foreign(&rule.rule, 64)) "” has matched no recipient for " (idle) "."
        }
    }
}
