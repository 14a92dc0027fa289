//! The filters of the delivery log and the error log: what a page is asked, and the form that asks it.
//!
//! In: the page's query, or its form.  Out: a question to the store, in words, and as a query again.
//! Always: a text matches in part unless whole matches are asked for; what is not understood is said so, never left out in silence.
//! Sources: cmc.md §4, §5 and §15 (the filters of CMC's screens).

use std::time::Duration;

use maud::{Markup, html};

use crate::{
    clock::Timestamp,
    event::{ErrorClass, EventKind},
    http::{
        console::{
            Missing, Right, Visit,
            parts::{Field, check_box, select},
        },
        exchange::percent_encode,
    },
    store::{AccountKind, AuditEntry, LogQuery},
};

/// Which log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Log {
    /// What became of every recipient: 配信ログ.
    Deliveries,
    /// What failed, and what came back: エラーログ.
    Errors,
}

/// The fields that narrow a log, by their names in the query.
const FIELDS: [&str; 12] = [
    "recipient",
    "sender",
    "status",
    "class",
    "from",
    "to",
    "domain",
    "subject",
    "user",
    "api_data",
    "message_id",
    "exact",
];
/// Those that are folded away while nobody uses them.
const SELDOM: [&str; 6] = ["domain", "subject", "user", "api_data", "message_id", "exact"];
/// Letters of a text at most.
const TEXT_MAX: usize = 300;

impl Log {
    /// The word in addresses and saved views.
    pub fn word(self) -> &'static str {
        match self {
            Log::Deliveries => "deliveries",
            Log::Errors => "errors",
        }
    }

    /// Its kinds of events.
    fn kinds(self) -> &'static [EventKind] {
        match self {
            Log::Deliveries => {
                &[EventKind::Queued, EventKind::Succeeded, EventKind::Deferred, EventKind::Failed, EventKind::Dropped]
            }
            Log::Errors => &[EventKind::Failed, EventKind::Bounced, EventKind::Complained],
        }
    }
}

/// A text of the query, within its bound.
fn text(visit: &Visit<'_>, name: &str) -> Result<String, Missing> {
    let value = visit.request.param(name).trim();
    if value.chars().count() > TEXT_MAX {
        return visit
            .refuse(400, visit.say("A filter has at most 300 letters.", "検索条件は300文字以内で入力してください。"));
    }
    Ok(value.to_owned())
}

/// A moment of the query, in the visitor's zone.
pub(in crate::http::console) fn moment(visit: &Visit<'_>, name: &str) -> Result<Option<Timestamp>, Missing> {
    let value = visit.request.param(name).trim();
    if value.is_empty() {
        return Ok(None);
    }
    match visit.about.zone.parse(value, visit.now) {
        Ok(at) => Ok(Some(at)),
        Err(_) => visit.refuse(
            400,
            visit.say(
                "A time is written as 2026-11-24T09:00, in your own time zone.",
                "日時は 2026-11-24T09:00 の形式で、アカウントのタイムゾーンで入力してください。",
            ),
        ),
    }
}

/// `from` and `to` of the query.
pub(in crate::http::console) fn period(visit: &Visit<'_>) -> Result<(Option<Timestamp>, Option<Timestamp>), Missing> {
    let (from, to) = (moment(visit, "from")?, moment(visit, "to")?);
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        let words = visit.say("The beginning must be before the end.", "開始日時は終了日時より前にしてください。");
        return visit.refuse(400, words);
    }
    Ok((from, to))
}

/// The question that the query asks.
///
/// # Errors
/// A field cannot be understood.
pub fn query_of(visit: &Visit<'_>, log: Log) -> Result<LogQuery, Missing> {
    let (from, to) = period(visit)?;
    let status = text(visit, "status")?;
    let kinds = match (status.as_str(), EventKind::from_word(&status)) {
        ("", _) => log.kinds().to_vec(),
        (_, Some(kind)) if log.kinds().contains(&kind) => vec![kind],
        _ => {
            return visit.refuse(400, visit.say("This status does not exist in this log.", "このログにない状態です。"));
        }
    };
    let class = text(visit, "class")?;
    let classes = match (class.as_str(), class.parse().ok().and_then(ErrorClass::from_code)) {
        ("", _) => Vec::new(),
        (_, Some(class)) => vec![class],
        _ => return visit.refuse(400, visit.say("This error class does not exist.", "このエラー分類は存在しません。")),
    };
    Ok(LogQuery {
        from,
        to,
        recipient: text(visit, "recipient")?,
        sender: text(visit, "sender")?,
        subject: text(visit, "subject")?,
        message_id: text(visit, "message_id")?,
        api_data: text(visit, "api_data")?,
        user: text(visit, "user")?,
        domain: text(visit, "domain")?.trim_start_matches('@').to_owned(),
        kinds,
        classes,
        exact: visit.request.flag("exact"),
        errors_only: log == Log::Errors,
        ..LogQuery::default()
    })
}

/// The filters of the page as a query: what a saved view keeps, and what a file is asked with.
pub(in crate::http::console) fn as_query(visit: &Visit<'_>, fields: &[&str]) -> String {
    let pairs = visit.request.query.iter().filter(|(name, value)| fields.contains(&name.as_str()) && !value.is_empty());
    pairs
        .map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// [`as_query`] of a log's page.
pub fn query_text(visit: &Visit<'_>) -> String {
    as_query(visit, &FIELDS)
}

/// The form.
pub fn form(visit: &Visit<'_>, log: Log, path: &str) -> Markup {
    let (request, lang) = (visit.request, visit.lang);
    let field = |name: &'static str, label: &'static str, placeholder: &'static str| {
        Field { name, label, placeholder, value: request.param(name), max: 300, kind: "search", ..Field::default() }
            .show()
    };
    let time = |name: &'static str, label: &'static str| {
        Field { name, label, value: request.param(name), kind: "datetime-local", ..Field::default() }.show()
    };
    let any = lang.say("any", "すべて");
    let mut statuses = vec![("", any)];
    statuses.extend(log.kinds().iter().map(|kind| (kind.word(), lang.event(kind.word()))));
    let codes = ErrorClass::ALL
        .map(|class| (class.code().to_string(), format!("{} {}", class.code(), class.said(lang.language()))));
    let mut classes = vec![("", any)];
    classes.extend(codes.iter().map(|(code, words)| (code.as_str(), words.as_str())));
    let is_wide = SELDOM.iter().any(|name| !request.param(name).is_empty());
    let content = html! {
        div class="fields" {
            (field("recipient", lang.say("Recipient", "宛先"), lang.say("part of the address", "アドレスの一部")))
            (field("sender", lang.say("Sender", "差出人"), lang.say("part of the address", "アドレスの一部")))
            (select("status", lang.say("Status", "状態"), &statuses, request.param("status")))
            @if log == Log::Errors {
                (select("class", lang.say("Error class", "エラー分類"), &classes, request.param("class")))
            }
            (time("from", lang.say("From", "開始日時")))
            (time("to", lang.say("Until", "終了日時")))
        }
        (days(visit))
        details class="seldom" open[is_wide] {
            summary { (lang.say("More filters", "詳細な条件")) }
            div class="fields" {
                (field("subject", lang.say("Subject", "件名"), lang.say("part of it", "一部")))
                (field("domain", lang.say("Recipient's domain", "宛先ドメイン"), "example.jp"))
                (users(visit, request.param("user")))
                (field("api_data", "X-Api-Data", lang.say("part of it", "一部")))
                (field("message_id", "Message-ID", lang.say("part of it", "一部")))
                (check_box("exact", "1", lang.say("Texts match whole (quicker)", "完全一致で検索（高速）"), request.flag("exact")))
            }
        }
        div class="actions" {
            button { (lang.say("Search", "検索")) }
            @if !query_text(visit).is_empty() {
                a class="button plain" href=(visit.href(path)) { (lang.say("Clear", "条件をクリア")) }
            }
            @if visit.may(Right::Download) {
                a class="button plain" download href=(file_link(visit, log)) { (lang.say("Download CSV", "CSVダウンロード")) }
            }
        }
    };
    html! { section class="filters" { (visit.ask(path, "", &content)) } }
}

/// The times that are asked for most, one click away: the other filters stay.
fn days(visit: &Visit<'_>) -> Markup {
    let (zone, now) = (&visit.about.zone, visit.now);
    let day =
        |ago: u64| zone.full(now.minus(Duration::from_secs(ago * 86_400))).get(..10).map(|day| format!("{day}T00:00"));
    let (Some(today), Some(yesterday), Some(week)) = (day(0), day(1), day(6)) else { return html! {} };
    let choices = [
        (visit.say("Any time", "すべての期間"), String::new(), String::new()),
        (visit.say("Today", "今日"), today.clone(), String::new()),
        (visit.say("Yesterday", "昨日"), yesterday, today),
        (visit.say("7 days", "7日間"), week, String::new()),
    ];
    let (from, to) = (visit.request.param("from"), visit.request.param("to"));
    html! {
        nav class="ranges" aria-label=(visit.say("Time", "期間")) {
            @for (words, begin, end) in &choices {
                a href=(visit.link_with(&[("from", begin), ("to", end), ("cursor", "")])) aria-current=[(from == begin && to == end).then_some("true")] { (words) }
            }
        }
    }
}

fn file_link(visit: &Visit<'_>, log: Log) -> String {
    let (path, query) = (format!("/log/{}.csv", log.word()), query_text(visit));
    visit.href(&if query.is_empty() { path } else { format!("{path}?{query}") })
}

/// A choice of API users.
pub(in crate::http::console) fn users(visit: &Visit<'_>, chosen: &str) -> Markup {
    let accounts = visit.daemon.users().list();
    let mut names: Vec<&str> = accounts
        .iter()
        .filter(|account| account.kind == AccountKind::Api)
        .map(|account| account.name.as_str())
        .collect();
    names.sort_unstable();
    // One that is gone may still have mail.
    if !chosen.is_empty() && !names.contains(&chosen) {
        names.push(chosen);
    }
    let shown: Vec<String> = names.iter().map(|name| crate::http::words::clean(name)).collect();
    let mut options = vec![("", visit.say("any", "すべて"))];
    options.extend(names.iter().zip(&shown).map(|(name, shown)| (*name, shown.as_str())));
    select("user", visit.say("API user", "APIユーザー"), &options, chosen)
}

/// What is asked, for the operation log.
pub fn in_words(visit: &Visit<'_>, query: &LogQuery) -> String {
    let time = |at: Option<Timestamp>| at.map_or_else(String::new, |at| visit.about.zone.full(at));
    let kinds: Vec<&str> = query.kinds.iter().map(|kind| kind.word()).collect();
    let classes: Vec<String> = query.classes.iter().map(|class| class.code().to_string()).collect();
    let parts = [
        ("from", time(query.from)),
        ("to", time(query.to)),
        ("recipient", query.recipient.clone()),
        ("sender", query.sender.clone()),
        ("subject", query.subject.clone()),
        ("domain", query.domain.clone()),
        ("user", query.user.clone()),
        ("api_data", query.api_data.clone()),
        ("message_id", query.message_id.clone()),
        ("status", if visit.request.param("status").is_empty() { String::new() } else { kinds.join(",") }),
        ("class", classes.join(",")),
    ];
    let told = |(name, value): &(&str, String)| match *name {
        "from" | "to" => format!("{name}={value}"),
        _ => format!("{name}={}", AuditEntry::typed(value)),
    };
    parts.iter().filter(|(_, value)| !value.is_empty()).map(told).collect::<Vec<_>>().join(" ")
}
