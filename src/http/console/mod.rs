//! The console: see what happens to mail, understand it, act on it; in English and Japanese.
//!
//! ```text
//! request ─► gate: who (cookie → session) ─► place: the table of pages, and who may ─► a page's function ─► layout
//!                └─ acts: the form's token, where it comes from
//! ```
//!
//! In: requests.  Out: HTML, one stylesheet, one small script that no page needs, one icon.
//! Always: a page is seen through its [`place::Right`] only; an act is a POST from a form of ours; what came with a mail is
//! escaped (maud does it by construction) and isolated for direction; every list is bounded.
//! Sources: HTML Living Standard, WCAG 2.2 (contrast, names), CSP Level 3.

mod assets;
pub mod form;
pub mod gate;
pub mod layout;
pub mod parts;
pub mod place;
pub mod visit;

mod audit;
mod dmarc;
mod domains;
mod door;
mod lists;
mod logs;
mod mail;
mod overview;
mod owner;
mod queue;
mod sandbox;
mod settings;
mod users;
mod webhooks;

use maud::html;

pub use self::{
    gate::{Seat, Told},
    layout::{Frame, Section},
    place::{Args, Place, Right, Takes, Verb},
    visit::Visit,
};
use crate::{
    account::SessionEnd,
    http::{
        daemon::Daemon,
        exchange::{Policy, Request, Response, path_for_log, percent_encode},
        words::Lang,
    },
    store::StoreError,
};

/// The rooms of the console, each with its places.
const ROOMS: &[&[Place]] = &[
    door::PLACES,
    overview::PLACES,
    owner::PLACES,
    mail::PLACES,
    logs::PLACES,
    queue::PLACES,
    lists::PLACES,
    domains::PLACES,
    dmarc::PLACES,
    users::PLACES,
    webhooks::PLACES,
    sandbox::PLACES,
    audit::PLACES,
    settings::PLACES,
];

/// Where people sign in.
const SIGN_IN: &str = "/sign-in";
/// Letters of an address to come back to after signing in, at most.
const BACK_TO_MAX: usize = 1_000;

/// Every place of the console.
pub fn places() -> impl Iterator<Item = &'static Place> {
    ROOMS.iter().flat_map(|room| room.iter())
}

/// Why there is no page.
#[derive(Debug)]
pub enum Missing {
    /// Nothing is at this address.
    Nothing,
    /// Something failed inside.
    Trouble(String),
    /// What was sent will not do; the words say what is wrong, and what to do.
    Refused {
        /// 400, 403, 409 …
        status: u16,
        /// In the visitor's language.
        words: String,
    },
}

impl From<StoreError> for Missing {
    fn from(error: StoreError) -> Self {
        Missing::Trouble(error.to_string())
    }
}

impl From<std::io::Error> for Missing {
    fn from(error: std::io::Error) -> Self {
        Missing::Trouble(error.to_string())
    }
}

/// A page, or why there is none.
pub type Answer = Result<Response, Missing>;

/// Pages whose address has a secret: the token of a link.
const SECRET: [&str; 3] = ["/owner/:token", "/set-up", "/reset"];

/// What it takes to answer a request, as the table of places has it: the server chooses a thread by it.
pub(super) fn takes(request: &Request) -> Takes {
    let verb = Verb::of(request.method);
    let place = places().find(|place| Some(place.verb) == verb && place.fits(&request.path).is_some());
    place.map_or(Takes::Moments, |place| place.takes)
}

/// Answers a path of the console, for whoever has this browser.
pub(super) fn route(daemon: &dyn Daemon, request: &Request) -> Response {
    if let Some(file) = assets::file(&request.path) {
        return file;
    }
    if !daemon.users().lets_in_from(request.source()) {
        return not_from_there(daemon, request);
    }
    let seat = gate::seat(daemon, request);
    answer(daemon, request, seat, true)
}

/// Answers for a seat. `checks_form`: tests that fabricate a seat have no form to prove.
fn answer(daemon: &dyn Daemon, request: &Request, seat: Option<Seat>, checks_form: bool) -> Response {
    let found: Vec<(&Place, Args<'_>)> =
        places().filter_map(|place| place.fits(&request.path).map(|args| (place, args))).collect();
    if found.is_empty() {
        return nothing_here(&Visit::new(daemon, request, seat));
    }
    let verb = Verb::of(request.method);
    let Some((place, args)) = found.iter().find(|(place, _)| Some(place.verb) == verb) else {
        let allowed = if found.iter().any(|(place, _)| place.verb == Verb::Read) { "GET, HEAD" } else { "POST" };
        return Response::error(405, "this path is not for this method", "").with("Allow", allowed);
    };
    let visit = Visit::new(daemon, request, seat);
    if let Some(seat) = &visit.seat {
        request.account.get_or_init(|| seat.name.clone());
    }
    if !visit.may(place.right) {
        return match visit.seat {
            None => sign_in_first(&visit, place.verb),
            Some(_) => forbidden(&visit, place.right),
        };
    }
    if place.verb == Verb::Act
        && checks_form
        && let Err(why) = gate::check_form(&request.browser, &visit.key, visit.form.text(gate::TOKEN_FIELD))
    {
        log::info!("http=form peer={} path={:?} refused={why:?}", request.peer, request.path);
        let title = visit.say("The form was not taken", "送信を受け付けませんでした");
        let words = visit.say(
            "This page was open for too long, or was not one of ours. Go back, load the page again and send it once more.",
            "ページを開いてから時間が経ったか、この管理画面以外から送信されました。前のページを再読み込みして、もう一度送信してください。",
        );
        return shown(&visit, 403, title, words);
    }
    let mut response = match (place.answer)(&visit, args) {
        Ok(response) => response,
        Err(Missing::Nothing) => nothing_here(&visit),
        Err(Missing::Refused { status, words }) => {
            let title = visit.say("This was not done", "実行できませんでした");
            shown(&visit, status, title, &words)
        }
        Err(Missing::Trouble(words)) => {
            log::error!("http=page path={:?} error={words:?}", path_for_log(&request.path));
            shown(&visit, 500, visit.say("This could not be read", "読み込めませんでした"), &words)
        }
    };
    if SECRET.contains(&place.path) && response.policy == Policy::Console {
        response.policy = Policy::Secret;
    }
    response
}

/// Who is not signed in comes back here afterwards; who was, and is not any more, reads why.
fn sign_in_first(visit: &Visit<'_>, verb: Verb) -> Response {
    let (request, mut to) = (visit.request, visit.href(SIGN_IN));
    let back = match request.query.as_slice() {
        _ if verb == Verb::Act => String::new(),
        [] => request.path.clone(),
        query => {
            let pairs: Vec<String> =
                query.iter().map(|(n, v)| format!("{}={}", percent_encode(n), percent_encode(v))).collect();
            format!("{}?{}", request.path, pairs.join("&"))
        }
    };
    if !matches!(back.as_str(), "" | "/") && back.len() <= BACK_TO_MAX {
        to.push(if to.contains('?') { '&' } else { '?' });
        to.extend(["to=", &percent_encode(&back)]);
    }
    let response = Response::see_other(&to);
    let Some(end) = gate::ended(visit.daemon, request) else { return response };
    // Told once: the cookie of the session goes.
    response
        .with("Set-Cookie", Told::bad(end_words(visit.lang, end)).cookie(&request.browser))
        .with("Set-Cookie", gate::no_session_cookie(&request.browser))
}

fn end_words(lang: Lang, end: SessionEnd) -> String {
    match (end, lang.japanese) {
        (SessionEnd::Idle(idle), false) => {
            format!("You were signed out, because the console was not used for {}. Sign in again.", lang.duration(idle))
        }
        (SessionEnd::Idle(idle), true) => {
            format!("{}操作がなかったため、ログアウトしました。もう一度ログインしてください。", lang.duration(idle))
        }
        (SessionEnd::Time(lifetime), false) => {
            format!("You were signed out: a sign-in lasts {} at most. Sign in again.", lang.duration(lifetime))
        }
        (SessionEnd::Time(lifetime), true) => {
            format!(
                "ログインから{}が経過したため、ログアウトしました。もう一度ログインしてください。",
                lang.duration(lifetime)
            )
        }
    }
}

fn forbidden(visit: &Visit<'_>, right: Right) -> Response {
    let words = match right {
        Right::Administer => visit.say(
            "Accounts and their logs are for the group administrator.",
            "アカウントと操作ログは、グループ管理者のみが利用できます。",
        ),
        Right::Download => visit.say(
            "Your account may not download. The group administrator, or the operator, grants it.",
            "ダウンロードの権限がありません。グループ管理者または運用者に付与を依頼してください。",
        ),
        Right::Anyone | Right::SignedIn | Right::Reports | Right::View | Right::Act => visit.say(
            "Your account sees graphs and statistics only. The group administrator can change its role.",
            "このアカウントはグラフと統計のみ閲覧できます。権限の変更はグループ管理者に依頼してください。",
        ),
    };
    shown(visit, 403, visit.say("Not for your account", "権限がありません"), words)
}

fn nothing_here(visit: &Visit<'_>) -> Response {
    let words = visit.say(
        "The address may be mistyped, or what it named is past its retention and gone.",
        "アドレスが間違っているか、保存期間を過ぎて削除されました。",
    );
    shown(visit, 404, visit.say("There is nothing here", "ページが見つかりません"), words)
}

/// The console is closed to this address (`accounts.allowed_ips.console`).
fn not_from_there(daemon: &dyn Daemon, request: &Request) -> Response {
    let visit = Visit::new(daemon, request, None);
    let source = request.source();
    let words = if visit.lang.japanese {
        format!(
            "お使いのIPアドレス（{source}）からは管理画面を利用できません。運用者が設定ファイルの [accounts.allowed_ips] console で許可できます。"
        )
    } else {
        format!(
            "The console is closed to your address ({source}). The operator opens it in the config file: [accounts.allowed_ips] console."
        )
    };
    let title = visit.say("Not from your address", "このアドレスからは利用できません");
    let content = html! { (parts::heading(title, "")) section { p { (words) } } };
    visit.page_with(403, &Frame { section: None, title, refresh_seconds: 0 }, &content)
}

/// A page that says one thing.
fn shown(visit: &Visit<'_>, status: u16, title: &str, words: &str) -> Response {
    let content = html! {
        (parts::heading(title, ""))
        section {
            p { (parts::clean(words)) }
            div class="actions" {
                button type="button" class="plain" data-back hidden { (visit.say("Go back", "前の画面に戻る")) }
                a href=(visit.href("/")) { (visit.say("To the overview", "概要へ")) }
            }
        }
    };
    visit.page_with(status, &Frame { section: None, title, refresh_seconds: 0 }, &content)
}

#[cfg(test)]
pub(crate) mod rig;
#[cfg(test)]
mod tests;
