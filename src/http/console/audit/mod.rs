//! The audit logs: who changed what (操作ログ), and who signed in (ログインログ).
//!
//! In: filters.  Out: entries, newest first; the same as a file.
//! Always: for the group administrator alone, since they tell of everybody; nothing past its period (R13); an act is told in words
//! where we have some, and always by its own name, so that one can search for it.
//! Sources: cmc.md §9 and §13.4; PRODUCT.md R13.

mod words;

use std::collections::HashMap;

use maud::{Markup, html};

use super::{
    Answer, Missing, Place, Right, Section, Visit,
    logs::{
        LOOK_MAX, csv,
        filter::{as_query, period},
    },
    parts::{Field, empty, foreign, heading, pager, pill, select, tabs},
};
use crate::{
    http::login_words::LoginWords,
    language::Language,
    store::{AuditEntry, AuditQuery, Page},
};

/// Entries of a page.
const ROWS: usize = 100;
/// Letters of a filter at most.
const TEXT_MAX: usize = 300;
/// The fields that narrow a log.
const FIELDS: [&str; 6] = ["who", "act", "area", "text", "from", "to"];
/// Letters of an entry's object and detail that a list shows.
const SHOWN_MAX: usize = 600;

/// The columns of the files: CMC's, and after them what the entry says by itself.
const LOGIN_COLUMNS: [&str; 7] = ["created", "account", "ipaddress", "code", "result", "reason", "door"];
const OPERATION_COLUMNS: [&str; 7] = ["created", "account", "name", "function", "object", "detail", "ipaddress"];

pub(super) const PLACES: &[Place] = &[
    Place::read("/audit", Right::Administer, |visit, _| page(visit, Log::Operations)),
    Place::read("/audit/logins", Right::Administer, |visit, _| page(visit, Log::Logins)),
    Place::read("/audit/operations.csv", Right::Administer, |visit, _| file(visit, Log::Operations)),
    Place::read("/audit/logins.csv", Right::Administer, |visit, _| file(visit, Log::Logins)),
];

/// Which log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Log {
    Operations,
    Logins,
}

impl Log {
    fn path(self) -> &'static str {
        match self {
            Log::Operations => "/audit",
            Log::Logins => "/audit/logins",
        }
    }

    fn file(self) -> (&'static str, &'static str) {
        match self {
            Log::Operations => ("/audit/operations.csv", "operations"),
            Log::Logins => ("/audit/logins.csv", "logins"),
        }
    }
}

fn query_of(visit: &Visit<'_>, log: Log) -> Result<AuditQuery, Missing> {
    let (from, to) = period(visit)?;
    let text = |name: &str| visit.request.param(name).trim().to_owned();
    if FIELDS.iter().any(|name| text(name).chars().count() > TEXT_MAX) {
        return visit
            .refuse(400, visit.say("A filter has at most 300 letters.", "検索条件は300文字以内で入力してください。"));
    }
    let act = match (log, text("act")) {
        (Log::Logins, _) => String::new(),
        (Log::Operations, act) if act.is_empty() => text("area"),
        (Log::Operations, act) => act,
    };
    Ok(AuditQuery {
        from,
        to,
        who: text("who"),
        act,
        text: text("text"),
        logins: Some(log == Log::Logins),
        ..AuditQuery::default()
    })
}

fn page(visit: &Visit<'_>, log: Log) -> Answer {
    let lang = visit.lang;
    let query = query_of(visit, log)?;
    let cursor = Some(visit.request.param("cursor")).filter(|c| !c.is_empty()).map(str::to_owned);
    let page = Page { rows_max: ROWS, cursor, within: Some(LOOK_MAX), ..Page::default() };
    let found = visit.daemon.audit_page(&query, &page)?;
    let (title, lead) = match log {
        Log::Operations => (
            lang.say("Operation log", "操作ログ"),
            lang.say(
                "Who changed what, from where, the newest first.",
                "いつ、誰が、どこから、何を変更したかを新しい順に表示します。",
            ),
        ),
        Log::Logins => (
            lang.say("Login log", "ログインログ"),
            lang.say(
                "Who signed in to the console, SMTP and the API, and who was refused.",
                "管理画面・SMTP・APIへのログインとその結果を表示します。",
            ),
        ),
    };
    let is_filtered = !as_query(visit, &FIELDS).is_empty();
    let content = html! {
        (heading(title, lead))
        (tabs(visit, lang.say("Audit logs", "操作ログ・ログインログ"), &[
            ("/audit", lang.say("Operation log", "操作ログ"), log == Log::Operations),
            ("/audit/logins", lang.say("Login log", "ログインログ"), log == Log::Logins),
        ]))
        (form(visit, log))
        section {
            @if found.rows.is_empty() {
                (nothing(visit, is_filtered, found.next.is_some()))
            } @else {
                @match log {
                    Log::Operations => { (operations(visit, &found.rows)?) },
                    Log::Logins => { (logins(visit, &found.rows)) },
                }
            }
            (pager(visit, found.next.as_deref(), found.looked_back_to))
        }
    };
    visit.page(Section::Audit, title, &content)
}

fn nothing(visit: &Visit<'_>, is_filtered: bool, goes_on: bool) -> Markup {
    if goes_on {
        return empty(
            visit.say("Nothing was found so far.", "ここまでの範囲では見つかりませんでした。"),
            visit.say("There is more to look through: go on.", "「続きを見る」でさらに前を検索できます。"),
        );
    }
    let days = visit.about.retention.audit_log.as_secs() / 86_400;
    html! {
        p class="empty" {
            @if is_filtered { (visit.say("No entry matches. ", "一致する記録はありません。")) }
            @else { (visit.say("No entry yet: the first act or login appears here. ", "記録はまだありません。最初の操作またはログインから表示されます。")) }
            (visit.say("Entries are kept ", "保存期間は ")) (days) (visit.say(" days.", " 日です。"))
        }
    }
}

fn form(visit: &Visit<'_>, log: Log) -> Markup {
    let (request, lang) = (visit.request, visit.lang);
    let field = |name: &'static str, label: &'static str, kind: &'static str, placeholder: &'static str| {
        Field { name, label, kind, placeholder, value: request.param(name), max: 300, ..Field::default() }.show()
    };
    let (path, _) = log.file();
    let query = as_query(visit, &FIELDS);
    let file = visit.href(&if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") });
    let content = html! {
        div class="fields" {
            (field("who", lang.say("Account", "アカウント"), "search", lang.say("part of it", "一部")))
            @if log == Log::Operations {
                (select("area", lang.say("What", "操作の種類"), &words::areas(lang), request.param("area")))
                (field("text", lang.say("On what, or from where", "対象・接続元"), "search", lang.say("part of it", "一部")))
            } @else {
                (field("text", lang.say("From where", "接続元"), "search", lang.say("part of the address", "IPアドレスの一部")))
            }
            (field("from", lang.say("From", "開始日時"), "datetime-local", ""))
            (field("to", lang.say("Until", "終了日時"), "datetime-local", ""))
        }
        div class="actions" {
            button { (lang.say("Search", "検索")) }
            @if !query.is_empty() { a class="button plain" href=(visit.href(log.path())) { (lang.say("Clear", "条件をクリア")) } }
            @if visit.may(Right::Download) {
                a class="button plain" download href=(file) { (lang.say("Download CSV", "CSVダウンロード")) }
            }
        }
    };
    html! { section class="filters" { (visit.ask(log.path(), "", &content)) } }
}

/// Names of persons, by account.
fn names(visit: &Visit<'_>) -> Result<HashMap<String, String>, Missing> {
    let accounts = visit.daemon.accounts()?;
    Ok(accounts.into_iter().map(|account| (account.name, account.person.display_name)).collect())
}

fn operations(visit: &Visit<'_>, rows: &[AuditEntry]) -> Result<Markup, Missing> {
    let (lang, names) = (visit.lang, names(visit)?);
    Ok(html! {
        table class="stack log" {
            thead {
                tr {
                    th { (lang.say("Time", "日時")) }
                    th { (lang.say("Who", "アカウント")) }
                    th { (lang.say("What", "操作")) }
                    th { (lang.say("On what, with which result", "対象と結果")) }
                    th { (lang.say("From", "接続元")) }
                }
            }
            tbody {
                @for entry in rows {
                    tr {
                        td class="nowrap" { (visit.when(entry.at)) }
                        td class="strong who" {
                            (foreign(&entry.who, 100))
                            @if let Some(name) = names.get(&entry.who).filter(|name| !name.is_empty()) {
                                br; span class="soft" { (foreign(name, 60)) }
                            }
                        }
                        td class="act-name" {
                            @if let Some(words) = words::act(lang, &entry.act) { (words) br; }
                            span class="mono soft" { (foreign(&entry.act, 60)) }
                        }
                        td class="wide" {
                            (foreign(&entry.object, SHOWN_MAX))
                            @if !entry.detail.is_empty() { br; span class="reply" { (foreign(&entry.detail, SHOWN_MAX)) } }
                        }
                        td class="soft" data-label=(lang.say("From", "接続元")) { (foreign(&entry.from, 60)) }
                    }
                }
            }
        }
    })
}

fn login_words(visit: &Visit<'_>, entry: &AuditEntry) -> LoginWords {
    LoginWords::of(&entry.detail, if visit.lang.japanese { Language::Japanese } else { Language::English })
}

fn logins(visit: &Visit<'_>, rows: &[AuditEntry]) -> Markup {
    let lang = visit.lang;
    html! {
        table class="stack log" {
            thead {
                tr {
                    th { (lang.say("Time", "日時")) }
                    th { (lang.say("Account", "アカウント")) }
                    th { (lang.say("Result", "結果")) }
                    th { (lang.say("Reason", "理由")) }
                    th { (lang.say("By", "接続方法")) }
                    th { (lang.say("From", "接続元")) }
                }
            }
            tbody {
                @for entry in rows {
                    @let words = login_words(visit, entry);
                    tr {
                        td class="nowrap" { (visit.when(entry.at)) }
                        td class="strong" { (foreign(&entry.who, 100)) }
                        td { (pill(if words.is_success { "succeeded" } else { "failed" }, words.result)) }
                        td class="wide" { (foreign(&words.reason, 200)) }
                        td class="soft" data-label=(lang.say("By", "接続方法")) { (words::door(lang, &entry.object)) }
                        td class="soft mono" data-label=(lang.say("From", "接続元")) { (foreign(&entry.from, 60)) }
                    }
                }
            }
        }
    }
}

/// A log as a CSV file.
fn file(visit: &Visit<'_>, log: Log) -> Answer {
    if !visit.may(Right::Download) {
        let words = visit.say(
            "Your account may not download. The operator grants it.",
            "ダウンロードの権限がありません。運用者に付与を依頼してください。",
        );
        return visit.refuse(403, words);
    }
    let query = query_of(visit, log)?;
    let time = |at: Option<crate::clock::Timestamp>| at.map_or_else(String::new, |at| visit.about.zone.full(at));
    let parts = [
        ("from", time(query.from)),
        ("to", time(query.to)),
        ("account", query.who.clone()),
        ("function", query.act.clone()),
        ("text", query.text.clone()),
    ];
    let told = |(name, value): &(&str, String)| match *name {
        "from" | "to" => format!("{name}={value}"),
        _ => format!("{name}={}", AuditEntry::typed(value)),
    };
    let asked = parts.iter().filter(|(_, value)| !value.is_empty()).map(told).collect::<Vec<_>>().join(" ");
    let (logs, zone, names) = (visit.daemon.logs(), visit.about.zone.clone(), names(visit)?);
    let language = if visit.lang.japanese { Language::Japanese } else { Language::English };
    let row = move |entry: &AuditEntry| -> Vec<String> {
        let e = entry.clone();
        match log {
            Log::Operations => {
                let name = names.get(&e.who).cloned().unwrap_or_default();
                vec![zone.full(e.at), e.who, name, e.act, e.object, e.detail, e.from]
            }
            Log::Logins => {
                let LoginWords { code, result, reason, .. } = LoginWords::of(&e.detail, language);
                vec![zone.full(e.at), e.who, e.from, code.to_owned(), result.to_owned(), reason, e.object]
            }
        }
    };
    let read = move |page: &Page| {
        let found = logs.audit_page(&query, page)?;
        Ok((found.rows.iter().map(&row).collect(), found.next))
    };
    let columns = match log {
        Log::Operations => OPERATION_COLUMNS.to_vec(),
        Log::Logins => LOGIN_COLUMNS.to_vec(),
    };
    csv(visit, log.file().1, &asked, columns, Box::new(read))
}

#[cfg(test)]
mod tests;
