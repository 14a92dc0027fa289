//! What stands around every page: the brand, the navigation, the footer.
//!
//! Always: a section that the visitor may not see is not in the navigation; who is not signed in learns neither the host's name nor
//! the version.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    Visit, assets,
    gate::{Seat, Told},
    place::{Right, Verb},
};
use crate::http::words::{Lang, clean, clip};

/// The sections, in the order of the navigation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // each is a place in the navigation; `words` has its name
pub enum Section {
    Overview,
    Mail,
    Deliveries,
    Errors,
    Queue,
    Suppression,
    Unsubscribes,
    Domains,
    Dmarc,
    Users,
    Webhooks,
    Sandbox,
    Audit,
    Settings,
    /// The visitor's own account: linked at the top, not in the navigation.
    Me,
}

/// The sections of the navigation, in groups.
const GROUPS: [&[Section]; 5] = [
    &[Section::Overview, Section::Mail],
    &[Section::Deliveries, Section::Errors, Section::Queue],
    &[Section::Suppression, Section::Unsubscribes],
    &[Section::Domains, Section::Dmarc],
    &[Section::Users, Section::Webhooks, Section::Sandbox, Section::Audit, Section::Settings],
];

impl Section {
    /// Its front page.
    pub fn path(self) -> &'static str {
        match self {
            Section::Overview => "/",
            Section::Mail => "/find",
            Section::Deliveries => "/log/deliveries",
            Section::Errors => "/log/errors",
            Section::Queue => "/queue",
            Section::Suppression => "/suppression",
            Section::Unsubscribes => "/unsubscribes",
            Section::Domains => "/domains",
            Section::Dmarc => "/dmarc",
            Section::Users => "/users",
            Section::Webhooks => "/webhooks",
            Section::Sandbox => "/sandbox",
            Section::Audit => "/audit",
            Section::Settings => "/settings",
            Section::Me => "/me",
        }
    }

    /// Its name.
    pub fn words(self, lang: Lang) -> &'static str {
        match self {
            Section::Overview => lang.say("Overview", "概要"),
            Section::Mail => lang.say("Find mail", "メールを探す"),
            Section::Deliveries => lang.say("Delivery log", "配信ログ"),
            Section::Errors => lang.say("Error log", "エラーログ"),
            Section::Queue => lang.say("Queue", "キュー"),
            Section::Suppression => lang.say("Suppression", "配信停止"),
            Section::Unsubscribes => lang.say("Unsubscribes", "配信解除"),
            Section::Domains => lang.say("Sending domains", "送信ドメイン"),
            Section::Dmarc => lang.say("DMARC monitor", "DMARCモニター"),
            Section::Users => lang.say("Users", "ユーザー"),
            Section::Webhooks => lang.say("Webhooks", "Webhook"),
            Section::Sandbox => lang.say("Sandbox", "サンドボックス"),
            Section::Audit => lang.say("Audit logs", "操作ログ・ログインログ"),
            Section::Settings => lang.say("Settings", "設定"),
            Section::Me => lang.say("My account", "マイアカウント"),
        }
    }

    /// Whether the visitor may see it: the table of places says so.
    fn is_open_to(self, visit: &Visit<'_>) -> bool {
        let right = super::places().find(|place| place.verb == Verb::Read && place.path == self.path());
        right.is_some_and(|place| visit.may(place.right))
    }
}

/// What a page says of itself.
pub struct Frame<'a> {
    /// Where it stands in the navigation.
    pub section: Option<Section>,
    /// Its title.
    pub title: &'a str,
    /// How often it looks again by itself; 0: never.
    pub refresh_seconds: u32,
}

/// The whole document.
pub(super) fn document(visit: &Visit<'_>, frame: &Frame<'_>, told: Option<&Told>, content: &Markup) -> Markup {
    let lang = visit.lang;
    let is_in = visit.seat.is_some();
    let refresh = (frame.refresh_seconds > 0).then_some(frame.refresh_seconds);
    html! {
        (DOCTYPE)
        html lang=(lang.code()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) " · Hikyaku" }
                link rel="stylesheet" href=(assets::style_path());
                link rel="icon" type="image/svg+xml" href=(assets::ICON_PATH);
                script src=(assets::script_path()) defer {}
            }
            body class=(if is_in { "seated" } else { "guest" }) {
                a class="skip" href="#main" { (lang.say("Skip to the content", "本文へ移動")) }
                header class="top" {
                    a class="brand" href=(visit.href("/")) {
                        (PreEscaped(assets::ICON))
                        span { "Hikyaku" @if is_in { small { (visit.about.hostname) } } }
                    }
                    @if is_in && visit.may(Right::View) { (quick_search(visit)) }
                    div class="corner" {
                        (languages(visit))
                        @if let Some(seat) = &visit.seat { (own(visit, seat, frame)) }
                    }
                    @if is_in {
                        details class="menu" {
                            summary { (lang.say("Menu", "メニュー")) @if let Some(section) = frame.section { span class="here" { (lang.colon()) (section.words(lang)) } } }
                            nav aria-label=(lang.say("Sections", "メニュー")) {
                                (sections(visit, frame))
                                @if let Some(seat) = &visit.seat { div class="own" { (own(visit, seat, frame)) } }
                            }
                        }
                    }
                }
                div class="page" {
                    @if is_in { nav class="side" aria-label=(lang.say("Sections", "メニュー")) { (sections(visit, frame)) } }
                    main id="main" data-refresh=[refresh] {
                        @if let Some(told) = told {
                            p class=(if told.is_good { "note good" } else { "note bad" }) role="status" { (super::parts::clean(&told.words)) }
                        }
                        (content)
                        @if is_in { (footer(visit)) }
                    }
                }
            }
        }
    }
}

fn quick_search(visit: &Visit<'_>) -> Markup {
    let words =
        visit.say("Recipient, sender, subject, Message-ID, queue id", "宛先・差出人・件名・Message-ID・キューID");
    visit.ask(
        "/find",
        "quick",
        &html! {
            input type="search" name="key" maxlength="500" placeholder=(words) aria-label=(words) data-hotkey="/" aria-keyshortcuts="/"
                title=(visit.say("The key / leads here", "/ キーでここに移動します"));
        },
    )
}

fn languages(visit: &Visit<'_>) -> Markup {
    // The answer to a form has no page of its own to be shown again.
    let can_switch = Verb::of(visit.request.method) == Some(Verb::Read);
    html! {
        @if can_switch {
            span class="languages" {
                @for (code, name) in [("en", "English"), ("ja", "日本語")] {
                    @if code == visit.lang.code() {
                        span lang=(code) aria-current="true" { (name) }
                    } @else {
                        a lang=(code) hreflang=(code) href=(visit.link_with(&[("lang", code)])) { (name) }
                    }
                }
            }
        }
    }
}

/// The visitor's own account and the way out: in the corner, on a telephone in the menu.
fn own(visit: &Visit<'_>, seat: &Seat, frame: &Frame<'_>) -> Markup {
    let name = if seat.display_name.is_empty() { &seat.name } else { &seat.display_name };
    html! {
        a class="me" translate="no" href=(visit.href("/me")) aria-current=[(frame.section == Some(Section::Me)).then_some("page")] {
            (clean(&clip(name, 60)))
        }
        (visit.button("/sign-out", "quiet", &[], visit.say("Sign out", "ログアウト")))
    }
}

fn sections(visit: &Visit<'_>, frame: &Frame<'_>) -> Markup {
    html! {
        @for group in GROUPS {
            @let open: Vec<Section> = group.iter().copied().filter(|section| section.is_open_to(visit)).collect();
            @if !open.is_empty() {
                ul {
                    @for section in open {
                        li {
                            a href=(visit.href(section.path())) aria-current=[(frame.section == Some(section)).then_some("page")] {
                                (section.words(visit.lang))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn footer(visit: &Visit<'_>) -> Markup {
    let lang = visit.lang;
    html! {
        footer {
            span { "Hikyaku " (visit.about.version) }
            span { (lang.say("Times are in ", "時刻：")) (visit.about.zone.name()) }
            span class="links" { a href="/openapi.json" { (lang.say("API description", "API 定義")) } }
        }
    }
}
