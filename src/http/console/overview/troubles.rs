//! Delivery incidents: which destinations are in trouble, since when, what they answer, how much they are slowed, how many wait.
//!
//! Always: a sentence first, in the reader's language; what a destination answered is shown to who may see rows with addresses, for
//! answers name some; the list is bounded, the largest first.

use std::collections::HashMap;

use maud::{Markup, html};

use crate::{
    clock::Timestamp,
    http::{
        console::{
            Answer, Args, Right, Section, Visit,
            parts::{empty, foreign, heading, number},
        },
        exchange::percent_encode,
    },
    schedule::trouble::{SiteTrouble, Standing},
    store::StoreError,
};

/// Incidents on their own page.
const PAGE_MAX: usize = 100;
/// Lanes that are looked through for who waits: the largest.
const LANES_MAX: usize = 500;
/// Characters of a name, and of an answer.
const NAME_MAX: usize = 100;
const REPLY_MAX: usize = 400;
/// Seconds between two looks of the page by itself.
const REFRESH_SECONDS: u32 = 15;

/// An incident with the number of those who wait for its end.
pub struct Incident {
    /// The trouble.
    pub trouble: SiteTrouble,
    /// Recipients that wait.
    pub waiting: u64,
}

/// The incidents, the largest first.
///
/// # Errors
/// The store's.
pub fn incidents(visit: &Visit<'_>) -> Result<Vec<Incident>, StoreError> {
    let troubles = visit.daemon.troubles(PAGE_MAX);
    if troubles.is_empty() {
        return Ok(Vec::new());
    }
    let mut waiting: HashMap<String, u64> = HashMap::new();
    for lane in visit.daemon.lanes(LANES_MAX)? {
        *waiting.entry(lane.lane.destination().to_owned()).or_default() += lane.count;
    }
    let mut all: Vec<Incident> = troubles
        .into_iter()
        .map(|trouble| {
            let on_disk: u64 = trouble.destinations.iter().filter_map(|name| waiting.get(name)).sum();
            let waiting = on_disk.max(trouble.queued as u64);
            Incident { trouble, waiting }
        })
        .collect();
    all.sort_by(|a, b| b.waiting.cmp(&a.waiting).then_with(|| a.trouble.since.cmp(&b.trouble.since)));
    Ok(all)
}

/// The page.
pub fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let all = incidents(visit)?;
    let shown: Vec<&Incident> = all.iter().collect();
    let title = visit.say("Delivery incidents", "配信障害");
    let content = html! {
        (heading(title, visit.say(
            "Destinations that are in trouble now, as this server sees them since it started. Each other destination is delivered to as usual.",
            "現在問題が発生している宛先です（サーバー起動後の観測）。ほかの宛先には通常どおり配信しています。",
        )))
        section {
            @if shown.is_empty() {
                (empty(visit.say("No destination is in trouble.", "問題のある宛先はありません。"), visit.say(
                    "If one refuses connections, answers slowly or puts mail off, it appears here with its answer.",
                    "接続拒否・速度制限・一時エラーが続く宛先が、その応答とともにここに表示されます。",
                )))
            } @else {
                (list(visit, &shown))
            }
        }
        (super::providers::section(visit))
    };
    visit.live_page(Section::Overview, title, REFRESH_SECONDS, &content)
}

fn list(visit: &Visit<'_>, all: &[&Incident]) -> Markup {
    html! { ul class="incidents" { @for incident in all { (item(visit, incident)) } } }
}

fn class_of(trouble: &SiteTrouble) -> &'static str {
    match trouble.standing {
        Standing::Dead { .. } | Standing::Between => "down",
        Standing::Paused { .. } => "paused",
        Standing::Slowed | Standing::Deferring => "slow",
    }
}

/// One incident: a sentence, what was answered, and what can be done.
pub(super) fn item(visit: &Visit<'_>, incident: &Incident) -> Markup {
    let trouble = &incident.trouble;
    let reply = trouble.said.as_ref().map_or("", |said| said.reply.as_str());
    html! {
        li class=(class_of(trouble)) {
            p class="strong" { (name_of(visit, trouble)) " " (sentence(visit, incident)) }
            @if visit.may(Right::View) {
                @if !reply.is_empty() { p class="reply" { span class="clip" { (foreign(reply, REPLY_MAX)) } } }
                @if let Some(name) = trouble.destinations.first() { (onward(visit, incident, name)) }
            }
        }
    }
}

/// What waits, and the acts on it: each shows first what it would do.
fn onward(visit: &Visit<'_>, incident: &Incident, destination: &str) -> Markup {
    let named = percent_encode(destination);
    let act = |verb: &str| visit.href(&format!("/queue/preview?verb={verb}&destination={named}"));
    let acts = visit.may(Right::Act);
    html! {
        p class="onward" {
            a href=(visit.href(&format!("/queue/list?destination={named}"))) { (visit.say("What waits for it", "待機中のメール")) }
            @if acts && incident.waiting > 0 {
                " · " a href=(act("flush")) { (visit.say("Force send…", "強制送信…")) }
            }
            @if acts {
                " · " a href=(act("pause")) { (visit.say("Pause…", "一時停止…")) }
            }
        }
    }
}

fn name_of(visit: &Visit<'_>, trouble: &SiteTrouble) -> Markup {
    let name = trouble.destinations.first().map_or(trouble.site.as_str(), String::as_str);
    let more = trouble.destinations_count.saturating_sub(1) as u64;
    html! {
        (foreign(name, NAME_MAX))
        @if more > 0 {
            span class="soft" {
                @if visit.lang.japanese { " ほか " (number(more)) " ドメイン" } @else { " and " (number(more)) " more" }
            }
        }
    }
}

/// The three digits of an SMTP answer; `None`: it was none.
pub(super) fn code_of(reply: &str) -> Option<&str> {
    let code = reply.get(..3).filter(|code| code.bytes().all(|b| b.is_ascii_digit()))?;
    (reply.len() == 3 || reply[3..].starts_with([' ', '-', '\n'])).then_some(code)
}

/// What is wrong, since when, how many wait, how much it is slowed.
fn sentence(visit: &Visit<'_>, incident: &Incident) -> String {
    let trouble = &incident.trouble;
    let since = since(visit, trouble.since);
    let code = trouble.said.as_ref().and_then(|said| code_of(&said.reply));
    let mut parts = vec![if visit.lang.japanese {
        japanese(visit, trouble, code, &since)
    } else {
        english(visit, trouble, code, &since)
    }];
    match (incident.waiting, visit.lang.japanese) {
        (0, _) => {}
        (n, true) => parts.push(format!("待機中 {} 件", number(n))),
        (1, false) => parts.push("1 recipient waits".to_owned()),
        (n, false) => parts.push(format!("{} recipients wait", number(n))),
    }
    parts.extend(speed(visit, trouble));
    if !visit.lang.japanese {
        return parts.join("; ") + ".";
    }
    let more = parts.split_off(1).join("、");
    if more.is_empty() { format!("{}。", parts[0]) } else { format!("{}。{more}。", parts[0]) }
}

fn english(visit: &Visit<'_>, trouble: &SiteTrouble, code: Option<&str>, since: &str) -> String {
    match (&trouble.standing, code) {
        (Standing::Dead { probe_at }, code) => {
            let what =
                code.map_or_else(|| "cannot be reached".to_owned(), |code| format!("answers {code} to everything"));
            format!("{what} since {since}, next probe {}", visit.lang.next_try(*probe_at, visit.now))
        }
        (Standing::Paused { rule, until }, code) => {
            let answer = code.map_or_else(String::new, |code| format!(" because it answered {code}"));
            let rule = crate::http::console::parts::clean(rule);
            format!(
                "is paused by the response rule “{rule}”{answer}, until {}",
                visit.about.zone.short(*until, visit.now)
            )
        }
        (Standing::Between, Some(code)) => format!("answered {code} since {since}; its mail waits for its next try"),
        (Standing::Between, None) => format!("could not be reached since {since}; its mail waits for its next try"),
        (Standing::Slowed | Standing::Deferring, Some(code)) => format!("answers {code} since {since}"),
        (Standing::Slowed, None) => format!("breaks connections off since {since}"),
        (Standing::Deferring, None) => format!("puts recipients off since {since}"),
    }
}

fn japanese(visit: &Visit<'_>, trouble: &SiteTrouble, code: Option<&str>, since: &str) -> String {
    match (&trouble.standing, code) {
        (Standing::Dead { probe_at }, code) => {
            let what = code.map_or_else(
                || "に接続できません".to_owned(),
                |code| format!("がすべての接続に {code} を返しています"),
            );
            format!("{what}（{since} から、次の確認：{}）", visit.lang.next_try(*probe_at, visit.now))
        }
        (Standing::Paused { rule, until }, code) => {
            let answer = code.map_or_else(String::new, |code| format!("（応答 {code}）"));
            let rule = crate::http::console::parts::clean(rule);
            format!(
                "への配信を応答ルール「{rule}」により {} まで停止中{answer}",
                visit.about.zone.short(*until, visit.now)
            )
        }
        (Standing::Between, Some(code)) => format!("は {since} から {code} を返し、メールは次の再送を待っています"),
        (Standing::Between, None) => format!("は {since} から接続できず、メールは次の再送を待っています"),
        (Standing::Slowed | Standing::Deferring, Some(code)) => format!("が {since} から {code} を返しています"),
        (Standing::Slowed, None) => format!("が {since} から接続を切断しています"),
        (Standing::Deferring, None) => format!("が {since} から宛先を一時的に拒否しています"),
    }
}

/// How much of its usual speed is left.
fn speed(visit: &Visit<'_>, trouble: &SiteTrouble) -> Option<String> {
    if matches!(trouble.standing, Standing::Dead { .. } | Standing::Paused { .. }) {
        return None;
    }
    let (english, japanese) = match trouble.percent()? {
        0..8 => ("less than a tenth", "10分の1未満"),
        8..15 => ("a tenth", "約10分の1"),
        15..23 => ("a fifth", "約5分の1"),
        23..29 => ("a quarter", "約4分の1"),
        29..42 => ("a third", "約3分の1"),
        42..59 => ("half", "約半分"),
        59..71 => ("two thirds", "約3分の2"),
        _ => ("three quarters", "約4分の3"),
    };
    Some(if visit.lang.japanese {
        format!("速度は通常の{japanese}")
    } else {
        format!("slowed to {english} of the usual")
    })
}

/// `09:12`, or with its date when that was another day.
fn since(visit: &Visit<'_>, at: Timestamp) -> String {
    let zone = &visit.about.zone;
    if zone.date(at) == zone.date(visit.now) { zone.hour_minute(at) } else { zone.short(at, visit.now) }
}
