//! What whoever has a link sees: one API user's numbers, its errors in plain words, how the large providers take mail.
//!
//! Always: nothing here comes from a mail but counts; a wrong, revoked or ended link and a page that does not exist look alike; the
//! error mix is of the newest errors, looked at for [`ERRORS_WITHIN`] at most, and says how far it looked.

use std::{collections::BTreeMap, time::Duration};

use maud::{Markup, html};

use super::{
    super::{
        Answer, Args, Frame, Missing, Visit,
        overview::{
            graph::{self, Graph},
            providers::{self, Health},
            span::{Asked, Span, preset_words},
            statistics,
        },
        parts::{empty, foreign, heading, meter, number, pill},
    },
    classes,
};
use crate::{
    event::ErrorClass,
    http::{owner_links::OwnerLink, when::Zone},
    store::{Account, LogQuery, Page, StoreError},
};

/// Times that are one click away.
const RANGES: [&str; 4] = ["24h", "7d", "30d", "13m"];
/// Errors that are looked at.
const ERRORS_MAX: usize = 1_000;
/// … and how long.
const ERRORS_WITHIN: Duration = Duration::from_millis(60);
/// Events that are passed on the way at most.
const ERRORS_SCAN_MAX: usize = 100_000;
/// Seconds between two looks of the page by itself.
const REFRESH_SECONDS: u32 = 60;

pub(super) fn page(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    match shown(visit, args.get("token")) {
        Err(Missing::Trouble(why)) => {
            // The path is a secret: it stands in no log, and what failed inside is not a stranger's to know.
            log::error!("http=page path=\"/owner\" error={why:?}");
            visit.refuse(503, visit.say(
                "The numbers cannot be read now. Try again in a few minutes, or tell the administrator of this server.",
                "現在、数値を読み込めません。数分後に再度お試しいただくか、このサーバーの管理者にご連絡ください。",
            ))
        }
        other => other,
    }
}

fn shown(visit: &Visit<'_>, token: &str) -> Answer {
    let link = visit.daemon.owner_links().of_token(token)?.ok_or(Missing::Nothing)?;
    // With its API user, a link ends.
    let account = visit.daemon.users().get(&link.user).filter(|account| link.is_of(account));
    let account = account.ok_or(Missing::Nothing)?;
    let Some(_turn) = visit.daemon.owner_links().turn() else {
        return visit.refuse(
            503,
            visit.say(
                "Others are reading these numbers just now. Load the page again in a moment.",
                "現在アクセスが集中しています。少し待ってから再読み込みしてください。",
            ),
        );
    };
    let zone = zone_of(visit, &account);
    let user = Some(link.user.as_str());
    let asked = Asked { range: visit.request.param("range"), ..Asked::default() };
    let minutes_from = graph::minutes_from(visit.daemon, user)?;
    let span = Span::of(asked, RANGES[0], &zone, visit.now, minutes_from);
    let graph = Graph::of(visit.daemon, &span, &zone, user)?;
    let errors = Errors::of(visit, &link.user, &span)?;
    let title = if visit.lang.japanese {
        format!("{} のメール配信状況", link.user)
    } else {
        format!("Mail of {}", link.user)
    };
    let content = html! {
        div class="owner" {
            (heading(&title, visit.say(
                "What became of this application's mail. Counted in recipients.",
                "このアプリケーションから送信されたメールの配信結果です（宛先数）。",
            )))
            section {
                (ranges(visit, &span))
                (statistics::numbers(visit, &graph))
                @if graph.is_empty() {
                    (empty(visit.say("No mail in this time.", "この期間のメールはありません。"),
                        visit.say("Choose a longer one.", "期間を広げてみてください。")))
                } @else {
                    (graph.chart(visit, &span))
                }
            }
            (error_mix(visit, &errors))
            (provider_health(visit))
            (small_print(visit, &link, &zone))
        }
    };
    let frame = Frame { section: None, title: &title, refresh_seconds: if span.is_live { REFRESH_SECONDS } else { 0 } };
    Ok(visit.page_with(200, &frame, &content).with("X-Robots-Tag", "noindex, nofollow"))
}

/// The API user's own zone, else the reader's.
fn zone_of(visit: &Visit<'_>, account: &Account) -> Zone {
    let own = &account.rights.time_zone;
    if own.is_empty() { visit.about.zone.clone() } else { Zone::named(own) }
}

fn ranges(visit: &Visit<'_>, span: &Span) -> Markup {
    html! {
        nav class="tabs" aria-label=(visit.say("Time", "期間")) {
            @for range in RANGES {
                a href=(visit.link_with(&[("range", range)])) aria-current=[(span.preset == Some(range)).then_some("page")] {
                    (preset_words(visit, range))
                }
            }
        }
    }
}

/// Errors by class.
struct Errors {
    by_class: Vec<(ErrorClass, u64)>,
    sum: u64,
    /// There are more than were looked at.
    is_part: bool,
}

impl Errors {
    fn of(visit: &Visit<'_>, user: &str, span: &Span) -> Result<Self, StoreError> {
        let floor = visit.now.minus(visit.about.retention.error_log);
        let query = LogQuery {
            from: Some(span.from.max(floor)),
            to: (!span.is_live).then_some(span.to),
            user: user.to_owned(),
            errors_only: true,
            ..LogQuery::default()
        };
        let page =
            Page { rows_max: ERRORS_MAX, scan_max: ERRORS_SCAN_MAX, within: Some(ERRORS_WITHIN), ..Page::default() };
        let found = visit.daemon.log_page(&query, &page)?;
        let mut sums: BTreeMap<u8, (ErrorClass, u64)> = BTreeMap::new();
        let own = found.rows.iter().filter(|row| row.message.user == user && row.event.kind.is_error());
        for row in own {
            let class = row.event.detail.as_ref().and_then(|detail| detail.error).unwrap_or(ErrorClass::Other);
            sums.entry(class.code()).or_insert((class, 0)).1 += 1;
        }
        let mut by_class: Vec<(ErrorClass, u64)> = sums.into_values().collect();
        by_class.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let sum = by_class.iter().map(|(_, n)| n).sum();
        Ok(Errors { by_class, sum, is_part: found.next.is_some() })
    }
}

fn error_mix(visit: &Visit<'_>, errors: &Errors) -> Markup {
    let lang = visit.lang;
    html! {
        section id="errors" {
            h2 {
                (lang.say("Why mail failed", "エラーの内訳"))
                @if errors.sum > 0 {
                    small {
                        @if lang.japanese {
                            @if errors.is_part { "直近 " } (number(errors.sum)) " 件"
                        } @else {
                            @if errors.is_part { "the newest " } (number(errors.sum)) @if errors.sum == 1 { " error" } @else { " errors" }
                        }
                    }
                }
            }
            @if errors.sum == 0 {
                (empty(
                    if errors.is_part { lang.say("No error among the newest events.", "直近の記録にエラーはありません。") }
                    else { lang.say("Nothing failed in this time.", "この期間のエラーはありません。") },
                    "",
                ))
            } @else {
                table class="stack" {
                    thead {
                        tr {
                            th { (lang.say("Reason", "理由")) }
                            th class="number" { (lang.say("Errors", "件数")) }
                            th class="meter" { span class="hidden" { (lang.say("Share", "割合")) } }
                            th { (lang.say("What to do", "対応")) }
                        }
                    }
                    tbody {
                        @for (class, n) in &errors.by_class {
                            @let part = providers::share(*n, errors.sum);
                            tr {
                                td class="strong" { (class.said(lang.language())) }
                                td class="number big" { (number(*n)) }
                                td class="meter wide" { (meter(*n, errors.sum, &part)) }
                                td class="wide reply" { (classes::advice(lang, *class)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How the large providers take mail from this server: shares only, for the counts are everybody's.
fn provider_health(visit: &Visit<'_>) -> Markup {
    let (lang, rows) = (visit.lang, visit.daemon.lately());
    html! {
        section id="providers" {
            h2 {
                (lang.say("Mailbox providers", "主要プロバイダー"))
                small { (lang.say("how they take mail from this server, last hour", "このサーバーからの配信状況（直近1時間）")) }
            }
            @if rows.is_empty() {
                (empty(lang.say("Nothing was sent within the last hour.", "直近1時間の配信はありません。"), ""))
            } @else {
                table class="stack" {
                    thead {
                        tr {
                            th { (lang.say("Provider", "プロバイダー")) }
                            th { (lang.say("State", "状態")) }
                            th class="number" { (lang.say("Taken at once", "即時配信の割合")) }
                        }
                    }
                    tbody {
                        @for row in &rows {
                            @let health = Health::of(row);
                            tr {
                                td class="strong" { (foreign(providers::name(lang, row), 60)) }
                                td { (pill(health.class(), health.words(lang))) }
                                td class="number left" data-label=(lang.say("Taken at once", "即時配信の割合")) {
                                    @if health == Health::Quiet { "–" } @else { (providers::share(row.delivered, row.tries())) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn small_print(visit: &Visit<'_>, link: &OwnerLink, zone: &Zone) -> Markup {
    html! {
        p class="hint" {
            (visit.say("Times are in ", "時刻：")) (zone.name()) " · "
            (visit.say("Whoever has this link sees this page: pass it on with care.", "このリンクを知っている人は誰でも閲覧できます。取り扱いにご注意ください。"))
            @if let Some(end) = link.ends_at {
                " · " (visit.say("The link ends on ", "リンクの有効期限：")) (zone.full(end).get(..10).unwrap_or_default())
            }
        }
    }
}
