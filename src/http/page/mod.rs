//! The page for people: health at a glance, a message's story, the sandbox's mail; in English and Japanese.
//!
//! In: requests.  Out: HTML without any script, one stylesheet, one icon.
//! Always: what came with a mail is escaped (maud does it by construction) and isolated for direction; an HTML part is never
//! rendered; every list is bounded.
//! Sources: HTML Living Standard, WCAG 2.2 (contrast, names), CSP Level 3.

mod care;
mod chart;
mod domains;
mod home;
mod message;
mod sandbox;
mod suppression;
mod words;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(in crate::http) use words::Lang;
pub use words::{clean, number, size};

use crate::{
    http::{
        daemon::{About, Daemon},
        exchange::{Door, Request, Response},
    },
    ids::MessageId,
    store::StoreError,
};

const STYLE: &str = include_str!("style.css");
/// Seconds that a browser keeps the stylesheet and the icon; their address changes with the version.
const KEEP_SECONDS: u32 = 86_400;
/// Seconds between two refreshes of the front page.
const REFRESH_SECONDS: u32 = 15;

const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#b93a32"/><path d="M7 11.5h13.5M5 16h10M7 20.5h6" stroke="#fff" stroke-opacity=".65" stroke-width="2" stroke-linecap="round"/><path d="M13.5 9.500h12a1.500 1.500 0 0 1 1.450 1.900l-2.300 9.200a2 2 0 0 1-1.950 1.500h-11.500a1.300 1.300 0 0 1-1.260-1.620l2.350-9.400a1.500 1.500 0 0 1 1.210-1.580z" fill="#fff"/><path d="M12.800 11.200l6.100 5.300 7.700-5.300" fill="none" stroke="#b93a32" stroke-width="1.800" stroke-linejoin="round" stroke-linecap="round"/></svg>"##;

/// True for the paths of this room.
pub(super) fn has(path: &str) -> bool {
    matches!(
        path,
        "/" | "/find"
            | "/sandbox"
            | "/suppression"
            | "/incidents"
            | "/domains"
            | "/style.css"
            | "/icon.svg"
            | "/favicon.ico"
    ) || ["/message/", "/sandbox/", "/domains/"].iter().any(|p| path.starts_with(p))
}

/// Answers a path of this room.
pub(super) fn route(daemon: &dyn Daemon, request: &Request) -> Response {
    let parts: Vec<&str> = request.path.split('/').skip(1).collect();
    let answer = match parts.as_slice() {
        [""] => home::page(daemon, request),
        ["find"] => message::find(daemon, request),
        ["message", id] => with_id(id, |id| message::page(daemon, request, id)),
        ["suppression"] => suppression::page(daemon, request),
        ["incidents"] => suppression::incidents(daemon, request),
        ["domains"] => domains::list(daemon, request),
        ["domains", name] => domains::page(daemon, request, name),
        ["sandbox"] => sandbox::list(daemon, request),
        ["sandbox", file] if file.ends_with(".eml") => {
            with_id(file.trim_end_matches(".eml"), |id| sandbox::download(daemon, id))
        }
        ["sandbox", id] => with_id(id, |id| sandbox::page(daemon, request, id, sandbox::Tab::Text)),
        ["sandbox", id, "headers"] => with_id(id, |id| sandbox::page(daemon, request, id, sandbox::Tab::Headers)),
        ["sandbox", id, "source"] => with_id(id, |id| sandbox::page(daemon, request, id, sandbox::Tab::Source)),
        ["style.css"] => return kept("text/css; charset=utf-8", STYLE),
        ["icon.svg" | "favicon.ico"] => return kept("image/svg+xml", ICON),
        _ => Err(Missing::Nothing),
    };
    match answer {
        Ok(response) => response,
        Err(Missing::Nothing) => not_found(request),
        Err(Missing::Trouble(words)) => {
            log::error!("http=page path={:?} error={words:?}", request.path);
            let lang = Lang::of(request);
            let title = lang.say("This could not be read", "読み込めませんでした");
            Response::html(500, message_only(lang, request, title, &words).into_string())
        }
    }
}

/// Why there is no page.
enum Missing {
    Nothing,
    Trouble(String),
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

type Answer = Result<Response, Missing>;

fn with_id(text: &str, page: impl FnOnce(MessageId) -> Answer) -> Answer {
    page(text.parse().map_err(|_| Missing::Nothing)?)
}

fn kept(content_type: &'static str, text: &str) -> Response {
    let mut response = Response::new(200, content_type, text);
    response.keep_seconds = KEEP_SECONDS;
    response
}

/// "There is nothing here", as a page or, behind the control socket, as JSON.
pub(super) fn not_found(request: &Request) -> Response {
    if request.door == Door::Control {
        return Response::error(404, "there is nothing at this path", "");
    }
    let lang = Lang::of(request);
    let title = lang.say("There is nothing here", "ページが見つかりません");
    let words = lang.say(
        "The address may be mistyped, or what it named is past its retention and gone.",
        "アドレスが間違っているか、保存期間を過ぎて削除されました。",
    );
    Response::html(404, message_only(lang, request, title, words).into_string())
}

fn message_only(lang: Lang, request: &Request, title: &str, words: &str) -> Markup {
    layout(
        &Frame { lang, request, about: None, title, refresh: false },
        &html! {
            div class="heading" { h1 { (title) } p class="lead" { (words) } }
            p { a href=(lang.href("/")) { (lang.say("To the front page", "トップページへ")) } }
        },
    )
}

/// What stands around a page's content.
struct Frame<'a> {
    lang: Lang,
    request: &'a Request,
    about: Option<&'a About>,
    title: &'a str,
    refresh: bool,
}

fn layout(frame: &Frame<'_>, content: &Markup) -> Markup {
    let Frame { lang, request, about, title, refresh } = *frame;
    let version = env!("CARGO_PKG_VERSION");
    html! {
        (DOCTYPE)
        html lang=(lang.code()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if refresh { meta http-equiv="refresh" content=(REFRESH_SECONDS); }
                title { (title) " · Hikyaku" }
                link rel="stylesheet" href={ "/style.css?v=" (version) "-" (STYLE.len()) };
                link rel="icon" type="image/svg+xml" href={ "/icon.svg?v=" (version) };
            }
            body {
                div class="page" {
                    header class="top" {
                        a class="brand" href=(lang.href("/")) {
                            (PreEscaped(ICON))
                            span {
                                "Hikyaku"
                                @if let Some(about) = about { small { (about.hostname) } }
                            }
                        }
                        nav {
                            span class="languages" {
                                @for (japanese, name, code) in [(false, "English", "en"), (true, "日本語", "ja")] {
                                    @if japanese == lang.japanese {
                                        span lang=(code) aria-current="true" { (name) }
                                    } @else {
                                        a lang=(code) hreflang=(code) href=(lang.switch(request, japanese)) { (name) }
                                    }
                                }
                            }
                        }
                    }
                    main { (content) }
                    @if let Some(about) = about { (footer(lang, about, refresh)) }
                }
            }
        }
    }
}

fn footer(lang: Lang, about: &About, refresh: bool) -> Markup {
    html! {
        footer {
            span { "Hikyaku " (about.version) }
            span { (lang.say("Times are in ", "時刻: ")) (about.zone.name()) }
            @if refresh {
                span { (lang.say("Refreshes every 15 s", "15秒ごとに更新")) }
            }
            span class="links" {
                a href="/status.json" { "status.json" }
                a href="/metrics" { "metrics" }
                a href="/readyz" { "readyz" }
            }
        }
    }
}

/// Text that came with a mail: escaped, without characters that would reorder it, and never longer than is good for a list.
fn foreign(text: &str, characters: usize) -> Markup {
    html! { bdi { (clean(&words::clip(text, characters))) } }
}

/// The same where lines count: each is cleaned by itself.
fn clean_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(clean).collect();
    lines.join("\n")
}

/// A mail's subject, or our words for none.
fn subject(lang: Lang, text: &str, characters: usize) -> Markup {
    html! {
        @if text.is_empty() {
            span class="soft" { (lang.say("(no subject)", "（件名なし）")) }
        } @else {
            (foreign(text, characters))
        }
    }
}

#[cfg(test)]
mod tests;
