//! The DMARC monitor: what reports say of each domain, whose mail they saw, what `p=reject` would do; TLS reports; records written.
//!
//! ```text
//! list ─► page (days, advice) · sources (whose mail) · reports, failures          record (a new one, or a better one)
//!                                                        import (files)             tls (TLS reports)
//! ```
//!
//! In: visits.  Out: pages; reports by file, and looks at the DNS, by forms.
//! Always: what a report says is its sender's word: reports whose sender is not proven are left out and counted, unless they are
//! asked for; nobody waits for a long reading: what is being added up says so and looks again; days are days of UTC.

mod chart;
mod import;
mod list;
mod page;
mod record;
mod reports;
mod sources;
mod tls;

use std::{sync::Arc, time::Duration};

use maud::{Markup, html};

use super::{
    Answer, Args, Missing, Place, Right, Section, Visit,
    parts::{self, foreign},
};
use crate::{
    clock::Timestamp,
    dmarc::{
        board::Overview,
        monitor::{Query, domain_named},
        row::Mark,
        views::{LeftOut, Who},
    },
    http::exchange::percent_encode,
};

pub(super) const PLACES: &[Place] = &[
    Place::read("/dmarc", Right::Reports, list::page),
    Place::read("/dmarc/record", Right::View, record::page),
    Place::act("/dmarc/record", Right::View, record::page).waits(),
    Place::read("/dmarc/import", Right::Administer, import::page),
    Place::act("/dmarc/import", Right::Administer, import::take),
    Place::read("/dmarc/tls", Right::Reports, tls::list),
    Place::read("/dmarc/tls/report", Right::View, tls::show),
    Place::read("/dmarc/:name", Right::Reports, page::page),
    Place::read("/dmarc/:name/sources", Right::Reports, sources::page),
    Place::read("/dmarc/:name/reports", Right::Reports, reports::aggregate),
    Place::read("/dmarc/:name/failures", Right::View, reports::failures),
];

/// Letters of a domain's name at most.
const DOMAIN_CHARS: usize = 253;
/// Rows of a page.
const ROWS_MAX: usize = 100;
/// How long a page waits for the sums; then it says that they are being made.
const WITHIN: Duration = Duration::from_millis(70);
/// Seconds until such a page looks again.
const AGAIN_SECONDS: u32 = 3;
/// Days that may be asked for.
const DAYS: [u32; 4] = [7, 30, 90, 365];
/// … and those when nothing is said.
const DAYS_USUAL: u32 = crate::dmarc::monitor::DAYS;

/// What a visit asks about a domain.
///
/// # Errors
/// The name is no domain's.
fn query_of(visit: &Visit<'_>, args: &Args<'_>) -> Result<Query, Missing> {
    let domain = domain_named(args.get("name")).ok_or(Missing::Nothing)?;
    Ok(Query { domain, days: days_of(visit), all: visit.request.flag("all") })
}

fn days_of(visit: &Visit<'_>) -> u32 {
    let asked = visit.request.param("days").parse().unwrap_or(DAYS_USUAL);
    if DAYS.contains(&asked) { asked } else { DAYS_USUAL }
}

/// A path below a domain's page, with what was asked.
fn path(query: &Query, below: &str) -> String {
    let mut path = format!("/dmarc/{}{below}", percent_encode(&query.domain));
    if query.days != DAYS_USUAL {
        path.push_str(&format!("?days={}", query.days));
    }
    if query.all {
        path.push_str(if path.contains('?') { "&all=1" } else { "?all=1" });
    }
    path
}

/// The views of a domain's reports.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tab {
    Days,
    Sources,
    Reports,
    Failures,
}

/// The title of a domain's page, its tabs, and what is asked.
/// When it was added up: what is made in this moment is no thing to come.
fn made(visit: &Visit<'_>, at: Timestamp) -> Markup {
    visit.ago(at.min(visit.now.minus(Duration::from_millis(1))))
}

/// What a tab of the browser says.
fn title(query: &Query) -> String {
    format!("{}: DMARC", query.domain)
}

fn head(visit: &Visit<'_>, query: &Query, tab: Tab, lead: &Markup) -> Markup {
    let mut tabs = vec![
        (path(query, ""), visit.say("Overview", "概要"), tab == Tab::Days),
        (path(query, "/sources"), visit.say("Sources", "送信元"), tab == Tab::Sources),
        (path(query, "/reports"), visit.say("Reports", "レポート"), tab == Tab::Reports),
    ];
    if visit.may(Right::View) {
        tabs.push((path(query, "/failures"), visit.say("Failed mails", "失敗レポート"), tab == Tab::Failures));
    }
    let tabs: Vec<(&str, &str, bool)> = tabs.iter().map(|(path, name, is)| (path.as_str(), *name, *is)).collect();
    html! {
        (parts::back_to(visit, "/dmarc", visit.say("All domains", "すべてのドメイン")))
        div class="heading" { h1 { (foreign(&query.domain, DOMAIN_CHARS)) } p class="lead" { (lead) } }
        (parts::tabs(visit, visit.say("Views of the reports", "レポートの表示"), &tabs))
    }
}

/// The form that chooses days, and which reports count. `more`: fields of the page's own.
fn filters(visit: &Visit<'_>, query: &Query, below: &str, more: &Markup) -> Markup {
    let action = format!("/dmarc/{}{below}", percent_encode(&query.domain));
    visit.ask(&action, "fields narrowed", &html! {
        (days_field(visit, query.days))
        (more)
        (parts::check_box("all", "1", visit.say("Also reports whose sender is not proven", "送信者を確認できないレポートも含める"), query.all))
        div class="actions" { button class="plain" { (visit.say("Show", "表示")) } }
    })
}

fn days_field(visit: &Visit<'_>, chosen: u32) -> Markup {
    let options: Vec<(String, String)> = DAYS
        .iter()
        .map(|days| {
            let words = if visit.lang.japanese { format!("{days}日間") } else { format!("{days} days") };
            (days.to_string(), words)
        })
        .collect();
    let options: Vec<(&str, &str)> = options.iter().map(|(value, words)| (value.as_str(), words.as_str())).collect();
    parts::select("days", visit.say("Period", "期間"), &options, &chosen.to_string())
}

/// The sums of a domain, or a page that says that they are being made.
fn overview(visit: &Visit<'_>, query: &Query, tab: Tab) -> Result<Arc<Overview>, Answer> {
    match visit.daemon.dmarc().overview(query, WITHIN) {
        Ok(Some(overview)) => Ok(overview),
        Ok(None) => Err(still_adding(visit, &query.domain, &head(visit, query, tab, &html! {}))),
        Err(error) => Err(Err(error.into())),
    }
}

/// What is being added up is not there yet.
fn still_adding(visit: &Visit<'_>, title: &str, head: &Markup) -> Answer {
    let content = html! {
        (head)
        section {
            p class="empty" {
                (visit.say("The reports are being added up. This page shows them as soon as that is done. ",
                    "レポートを集計しています。完了すると、このページに表示されます。"))
                a href=(visit.link_with(&[])) { (visit.say("Look again", "再表示")) }
            }
        }
    };
    visit.live_page(Section::Dmarc, title, AGAIN_SECONDS, &content)
}

/// Says what is left out, and how to see it.
fn left_out(visit: &Visit<'_>, left_out: &LeftOut) -> Markup {
    let (reports, mails) = (parts::number(left_out.reports), parts::number(left_out.messages));
    html! {
        @if left_out.reports > 0 {
            p class="note" {
                @if visit.lang.japanese {
                    "送信者を確認できないレポート " (reports) " 件（" (mails) " 通）は集計に含めていません"
                    @if left_out.forged > 0 { "（うち偽装 " (parts::number(left_out.forged)) " 件）" }
                    "。"
                } @else {
                    @if left_out.reports == 1 { "One report of " (mails) " mails is left out, since nobody proves who sent it" }
                    @else { (reports) " reports of " (mails) " mails are left out, since nobody proves who sent them" }
                    @if left_out.forged > 0 { " (forged: " (parts::number(left_out.forged)) ")" }
                    ". "
                }
                a href=(visit.link_with(&[("all", "1"), ("cursor", "")])) { (visit.say("Count them, too", "含めて表示")) }
            }
        }
    }
}

/// Whose address it is.
fn who_pill(visit: &Visit<'_>, who: &Who) -> Markup {
    match who {
        Who::ThisRelay => parts::pill("succeeded", visit.say("this relay", "このリレー")),
        Who::KnownSender(name) => html! { span class="pill queued" { (foreign(name, 60)) } },
        Who::Unknown => parts::pill("", visit.say("unknown", "不明")),
    }
}

/// What a report is worth.
fn mark_pill(visit: &Visit<'_>, mark: Mark) -> Markup {
    let (class, words) = match mark {
        Mark::Verified => ("succeeded", visit.say("verified", "確認済み")),
        Mark::Imported => ("queued", visit.say("imported", "取り込み")),
        Mark::Unknown => ("", visit.say("not known", "不明")),
        Mark::Unverified => ("deferred", visit.say("not proven", "未確認")),
        Mark::Forged => ("failed", visit.say("forged", "偽装")),
    };
    parts::pill(class, words)
}

/// A share as people say it: `12 %`, `0.4 %`.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    let is_exact = part == 0 || part == whole;
    if is_exact || (9.95..99.5).contains(&percent) {
        format!("{percent:.0} %")
    } else {
        // Neither "0 %" nor "100 %" for what is neither.
        format!("{:.1} %", percent.clamp(0.1, 99.9))
    }
}

#[cfg(test)]
mod tests;
