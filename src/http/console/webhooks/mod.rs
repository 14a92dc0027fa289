//! Webhooks: how each stands, what it posted, and what is done with one.
//!
//! In: the room's views and histories.  Out: a page for all, a page for one; tries, stops, posts again.
//! Always: no key and no query of a URL is shown, and its path, which may be a secret, to the group administrator alone; an act names the webhook, and its entry in the operation log the visitor; how
//! much is posted again is told before it is.
//! Sources: cmc.md §10.1; Standard Webhooks.

mod act;
mod one;

use std::time::Duration;

use maud::{Markup, html};

use super::{
    Answer, Args, Place, Right, Section, Visit,
    parts::{bracketed, clean_lines, copyable, empty, facts, foreign, heading, number, panel, pill},
};
use crate::{
    clock::Timestamp,
    config::{Config, lines::without_path},
    http::exchange::percent_encode,
    webhook::{
        inbound_lane::lane_of,
        place::Parked,
        view::{State, View},
    },
};

pub(super) const PLACES: &[Place] = &[
    Place::read("/webhooks", Right::View, list),
    Place::read("/webhooks/history", Right::View, one::page),
    Place::read("/webhooks/replay", Right::Act, act::replay_preview),
    Place::act("/webhooks/replay", Right::Act, act::replay).waits(),
    Place::act("/webhooks/replay-post", Right::Act, act::replay_post).waits(),
    Place::act("/webhooks/replay-parked", Right::Act, act::replay_parked).waits(),
    Place::act("/webhooks/test", Right::Act, act::test).waits(),
    Place::act("/webhooks/pause", Right::Act, act::pause).waits(),
    Place::act("/webhooks/resume", Right::Act, act::resume).waits(),
];

/// Webhooks on the page; who has more looks at them on the command line.
const ROWS: usize = 100;
/// Ranges that were set aside and are told one by one.
const PARKED_SHOWN: usize = 5;
/// Letters of an error.
const ERROR_MAX: usize = 300;

/// What to write where there is none.
const EXAMPLE: &str = "[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.jp/hikyaku\"\nevents = [\"succeeded\", \"failed\", \"bounced\"]\nsigning_key = \"whsec_…\"";

/// The page of one.
fn path_of(name: &str) -> String {
    format!("/webhooks/history?name={}", percent_encode(name))
}

fn list(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let views = visit.daemon.webhooks().views();
    let config = visit.daemon.config();
    let title = "Webhook";
    let content = html! {
        (heading(visit.say("Webhooks", "Webhook"), visit.say(
            "What happens to mail is posted to these URLs, in order and at least once. They are set up in the config file.",
            "配信状況を登録先のURLへ順番どおりに、少なくとも1回送信します。登録は設定ファイルで行います。")))
        @if views.is_empty() {
            section {
                (empty(visit.say("There is no webhook.", "Webhook は登録されていません。"),
                    visit.say("Write one into the config file and reload (systemctl reload hikyaku):", "設定ファイルに次のように追記し、再読み込みしてください（systemctl reload hikyaku）：")))
                div class="spaced" { (copyable(EXAMPLE)) }
            }
        }
        @for view in views.iter().take(ROWS) { (card(visit, view)) }
        @if views.len() > ROWS { p class="hint" { (visit.say("The first 100 are shown; hikyaku webhook list has all.", "先頭の100件を表示しています。すべては hikyaku webhook list で確認できます。")) } }
        (inbound(visit, &config))
    };
    visit.page(Section::Webhooks, title, &content)
}

/// How it stands, in a coloured oval.
fn state(visit: &Visit<'_>, view: &View) -> Markup {
    match view.state() {
        State::Fine => pill("succeeded", visit.say("works", "正常")),
        State::Failing => pill("failed", visit.say("fails", "失敗中")),
        State::Gone => pill("failed", visit.say("gone (410)", "停止（410）")),
        State::Paused => pill("deferred", visit.say("paused", "一時停止中")),
    }
}

fn card(visit: &Visit<'_>, view: &View) -> Markup {
    html! {
        section {
            h2 {
                a href=(visit.href(&path_of(&view.name))) { (foreign(&view.name, 64)) } " " (state(visit, view))
                a class="more" href=(visit.href(&path_of(&view.name))) { (visit.say("History", "送信履歴")) }
            }
            (standing(visit, view))
            (trouble(visit, view))
            (buttons(visit, view))
        }
    }
}

/// A webhook's URL as this visitor may see it.
fn url_for(visit: &Visit<'_>, url: &str) -> String {
    if visit.may(Right::Administer) { url.to_owned() } else { without_path(url) }
}

/// Where it posts, and how far it has come.
fn standing(visit: &Visit<'_>, view: &View) -> Markup {
    let lag = view.lag(visit.now);
    let behind = match lag {
        Duration::ZERO => visit.say("has everything", "すべて送信済み").to_owned(),
        lag if visit.lang.japanese => format!("最も古い未送信のイベントは {}前", visit.lang.duration(lag)),
        lag => format!("the oldest that it has not got is {} old", visit.lang.duration(lag)),
    };
    facts(&[
        ("URL", html! { span class="mono" { (foreign(&url_for(visit, &view.url), 300)) } }),
        (visit.say("Events", "イベント"), html! { span class="mono" { (view.events.join(", ")) } }),
        (visit.say("Up to date", "送信状況"), html! { (behind) }),
        (
            visit.say("Posts taken", "送信成功"),
            html! {
                (number(view.mark.posts)) (bracketed(visit.lang, &html! { (number(view.mark.events)) (visit.say(" events", " 件のイベント")) }))
                @if let Some(at) = view.posted_at { " · " (visit.say("last ", "最終：")) (visit.ago(at)) }
            },
        ),
    ])
}

/// What is wrong with it, and what happens next.
fn trouble(visit: &Visit<'_>, view: &View) -> Markup {
    let mark = &view.mark;
    let since = mark.failing_since.map(Timestamp::from_millis);
    html! {
        @if let Some(paused) = &mark.paused {
            p class="note spaced" {
                (visit.say("Paused since ", "一時停止中：")) (visit.when(Timestamp::from_millis(paused.at))) (bracketed(visit.lang, &foreign(&paused.by, 100))) (visit.say(". ", "。"))
                (visit.say("What happens meanwhile waits in the log, as long as that is kept; nothing gets too old by the pause.",
                    "その間のイベントはログの保存期間内であれば再開後に送信します。"))
            }
        } @else if mark.gone {
            p class="note bad spaced" { (visit.say("It answered 410 (gone): nothing is posted until somebody resumes it, or its URL changes.",
                "410（Gone）が返されたため停止しています。再開するか、URL を変更するまで送信しません。")) }
        } @else if mark.tries > 0 {
            p class="note bad spaced" {
                @if let Some(since) = since { (visit.say("Fails since ", "失敗が続いています（")) (visit.when(since)) (visit.say("", " から）")) }
                (visit.say(", ", "。試行 ")) (number(u64::from(mark.tries))) (visit.say(" tries: ", " 回、直近の結果：")) (foreign(&mark.error, ERROR_MAX)) (visit.say(". ", "。"))
                (visit.say("Next try: ", "次の送信：")) (visit.ago(Timestamp::from_millis(mark.next_try).max(visit.now))) (visit.say(". ", "。"))
                (visit.say("Nothing is lost: the events wait in the log. Look at the receiver, then send a test event or try now.",
                    "イベントはログに残っており、失われません。受信側を確認のうえ、テスト送信または今すぐ再送を行ってください。"))
            }
        }
        @if !mark.again.is_empty() {
            p class="hint" { (number(mark.again.len() as u64)) " " (visit.say("ranges are being posted again.", "件の範囲を再送しています。")) }
        }
        @if !mark.parked.is_empty() {
            h3 { (visit.say("Set aside", "保留されたイベント")) small { (visit.say("failed for as long as retry_for says", "retry_for の期間、失敗が続いたもの")) } }
            ul class="notes" {
                @for parked in mark.parked.iter().take(PARKED_SHOWN) { li { (parked_words(visit, parked)) } }
                @if mark.parked.len() > PARKED_SHOWN { li { "+ " (number((mark.parked.len() - PARKED_SHOWN) as u64)) } }
            }
        }
    }
}

fn parked_words(visit: &Visit<'_>, parked: &Parked) -> Markup {
    let what = if parked.list {
        visit.say("suppression list", "配信停止リスト")
    } else {
        visit.say("mail", "メール")
    };
    html! {
        (what) (visit.lang.colon()) (visit.when(parked.from_time())) " – " (visit.when(parked.to_time()))
        @if !parked.error.is_empty() { " · " (foreign(&parked.error, ERROR_MAX)) }
    }
}

/// What can be done with it, for who may.
fn buttons(visit: &Visit<'_>, view: &View) -> Markup {
    if !visit.may(Right::Act) {
        return html! {};
    }
    let fields = [("name", view.name.as_str())];
    let stands = matches!(view.state(), State::Paused | State::Gone);
    html! {
        div class="actions" {
            (visit.button("/webhooks/test", "plain", &fields, visit.say("Send a test event", "テスト送信")))
            @if stands {
                (visit.button("/webhooks/resume", "", &fields, visit.say("Resume", "再開")))
            } @else {
                (visit.button("/webhooks/pause", "plain", &fields, visit.say("Pause", "一時停止")))
            }
            @if view.state() == State::Failing {
                (visit.button("/webhooks/resume", "plain", &fields, visit.say("Try now", "今すぐ再送")))
            }
            @if !view.mark.parked.is_empty() {
                (visit.button("/webhooks/replay-parked", "plain", &fields, visit.say("Post what was set aside", "保留分を再送")))
            }
        }
    }
}

/// Mail that comes in and is posted: it waits in the queue, in lanes of its own.
fn inbound(visit: &Visit<'_>, config: &Config) -> Markup {
    let hooks = &config.inbound.webhooks;
    if hooks.is_empty() {
        return html! {};
    }
    panel(
        visit.say("Mail that comes in", "受信メールの Webhook"),
        visit.say("it waits in the queue like other mail", "通常のメールと同じくキューで待機します"),
        &html! {
            table class="stack" {
                thead { tr { th { (visit.say("Name", "名前")) } th { (visit.say("Addresses", "宛先")) } th { "URL" } th { (visit.say("Waiting", "待機中")) } } }
                tbody { @for hook in hooks.iter().take(ROWS) {
                    @let lane = lane_of(&hook.name);
                    tr {
                        td class="strong wide" { (foreign(&hook.name, 64)) }
                        td class="wide" { @if hook.addresses.is_empty() { (visit.say("all", "すべて")) } @else { (number(hook.addresses.len() as u64)) " " (visit.say("patterns", "パターン")) } }
                        td class="mono wide" { (clean_lines(&url_for(visit, hook.url_shown()))) }
                        td class="wide" {
                            a href=(visit.href(&format!("/queue/list?destination={}", percent_encode(lane.destination())))) { (visit.say("its queue", "キュー")) }
                        }
                    }
                } }
            }
        },
    )
}

#[cfg(test)]
mod tests;
