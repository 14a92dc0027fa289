//! The parts of the front page that are there only when there is something to say: the age of what waits, the operator's
//! pauses, addresses that warm up, and what deserves a look.
//!
//! Always: who paused, why, and what a webhook's server said are for who may see mail; a report viewer is told that it is so.

use std::time::Duration;

use maud::{Markup, html};

use crate::http::{
    console::{
        Right, Visit,
        parts::{class_name, foreign, number},
    },
    rows::{PauseOut, StatusOut, UnusedRuleOut, WarmUpOut},
    when::of_rfc3339,
    words::Lang,
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

/// Destinations that an operator paused; who may see mail reads who paused them and why.
pub(super) fn pauses(visit: &Visit<'_>, status: &StatusOut) -> Markup {
    let (sees, may) = (visit.may(Right::View), visit.may(Right::Act));
    html! {
        @if !status.pauses.is_empty() {
            section {
                h2 {
                    (visit.say("Paused destinations", "一時停止中の宛先ドメイン"))
                    small { (visit.say("nothing goes there", "配信を止めています")) }
                }
                table class="stack" {
                    thead {
                        tr {
                            th { (visit.say("Destination", "宛先ドメイン")) }
                            th class="number" { (visit.say("Waiting", "待機中")) }
                            th { (visit.say("Until", "再開")) }
                            @if sees { th { (visit.say("By", "実行者")) } }
                            @if may { th { span class="hidden" { (visit.say("Acts", "操作")) } } }
                        }
                    }
                    tbody { @for pause in status.pauses.iter().take(ROWS_MAX) { (pause_row(visit, pause, sees, may)) } }
                }
            }
        }
    }
}

fn pause_row(visit: &Visit<'_>, pause: &PauseOut, sees: bool, may: bool) -> Markup {
    let until = pause.until.as_deref().and_then(of_rfc3339);
    html! {
        tr {
            td class="strong destination" { (foreign(&pause.destination, 120)) }
            td class="number big" { @if pause.waiting > 0 { (number(pause.waiting)) } @else { span class="soft" { "–" } } }
            td class="nowrap" data-label=(visit.say("Until", "再開")) {
                @match until {
                    Some(until) => { (visit.when_short(until)) " · " span class="soft" { (visit.ago(until)) } },
                    None => (visit.say("it is resumed", "手動で再開するまで")),
                }
            }
            @if sees {
                td class="wide reply" {
                    (foreign(&pause.operator, 80))
                    @if !pause.reason.is_empty() { (visit.lang.colon()) (foreign(&pause.reason, 200)) }
                }
            }
            @if may {
                td class="wide acts" {
                    (visit.button("/queue/resume", "quiet", &[("destination", &pause.destination)], visit.say("Resume", "再開")))
                }
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
                            th { (lang.say("Provider", "プロバイダー")) }
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
        @if dnssec.is_some() || !status.unused_rules.is_empty() {
            section {
                h2 { (lang.say("Worth a look", "確認をおすすめする項目")) }
                ul class="notes" {
                    @if let Some(words) = dnssec { li { (words) } }
                    @for rule in status.unused_rules.iter().take(ROWS_MAX) { li { (unused(lang, rule)) } }
                }
            }
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
