//! One visit to a page: who came, what they asked, and how they are answered.
//!
//! In: a request, and who is signed in.  Out: what pages need, and whole answers.
//! Always: times are in the visitor's own zone; every form carries its token; a message about an act is shown once.

use maud::{Markup, html};

use super::{
    Answer, Missing,
    form::Form,
    gate::{FormKey, Seat, TOKEN_FIELD, Told},
    layout::{self, Frame, Section},
    place::Right,
};
use crate::{
    account::Actor,
    clock::Timestamp,
    http::{
        daemon::{About, Daemon},
        exchange::{Policy, Request, Response, percent_encode},
        when::Zone,
        words::Lang,
    },
};

/// One visit.
pub struct Visit<'a> {
    /// The daemon.
    pub daemon: &'a dyn Daemon,
    /// What was asked.
    pub request: &'a Request,
    /// Who and what the daemon is; its zone is the visitor's own.
    pub about: About,
    /// The time.
    pub now: Timestamp,
    /// The visitor's language.
    pub lang: Lang,
    /// Who is signed in.
    pub seat: Option<Seat>,
    /// What a form sent.
    pub form: Form,
    /// The key of this browser's forms.
    pub(super) key: FormKey,
}

impl<'a> Visit<'a> {
    /// A visit of whoever has the seat.
    pub fn new(daemon: &'a dyn Daemon, request: &'a Request, seat: Option<Seat>) -> Self {
        let mut about = daemon.about();
        if let Some(seat) = seat.as_ref().filter(|seat| !seat.time_zone.is_empty()) {
            let zone = Zone::named(&seat.time_zone);
            // A zone that this version does not know leaves the server's.
            if zone.name() == seat.time_zone {
                about.zone = zone;
            }
        }
        let lang = Lang::for_reader(request, seat.as_ref().map_or("", |seat| &seat.language));
        let key = FormKey::of(request, seat.as_ref());
        Visit { daemon, request, about, now: daemon.now(), lang, form: Form::of(request), seat, key }
    }

    /// Whether the visitor has this right: show a button only to who may press it.
    pub fn may(&self, right: Right) -> bool {
        match &self.seat {
            Some(seat) => right.is_of(seat.role, seat.view, seat.download),
            None => right == Right::Anyone,
        }
    }

    /// The visitor's account, as acts and the operation log name it; empty: nobody is signed in.
    pub fn who(&self) -> String {
        self.seat.as_ref().map_or_else(String::new, |seat| seat.name.clone())
    }

    /// Where the visitor is, for the operation log.
    pub fn from(&self) -> String {
        self.request.peer.to_string()
    }

    /// The visitor's address: of one who came by a socket of this machine, loopback.
    pub fn source(&self) -> std::net::IpAddr {
        self.request.source()
    }

    /// The visitor, for acts on accounts.
    pub fn actor(&self) -> Actor {
        match &self.seat {
            Some(seat) => Actor::Person { name: seat.name.clone(), from: self.source() },
            None => Actor::Stranger { from: self.source() },
        }
    }

    /// The text of the visitor's language.
    pub fn say(&self, english: &'static str, japanese: &'static str) -> &'static str {
        self.lang.say(english, japanese)
    }

    /// A link to one of our paths, in the language that was chosen.
    pub fn href(&self, path: &str) -> String {
        self.lang.href(path)
    }

    /// This page with other query values; an empty value takes its name away.
    pub fn link_with(&self, values: &[(&str, &str)]) -> String {
        let kept = self.request.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let kept = kept.filter(|(name, _)| values.iter().all(|(other, _)| other != name));
        let path = &self.request.path;
        // A path that a browser would take for another site is none of ours; the front refuses it, too.
        let is_ours = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
        let mut target = if is_ours { path.clone() } else { "/".to_owned() };
        for (i, (name, value)) in kept.chain(values.iter().copied()).filter(|(_, value)| !value.is_empty()).enumerate()
        {
            target.push(if i == 0 { '?' } else { '&' });
            target.extend([percent_encode(name).as_str(), "=", &percent_encode(value)]);
        }
        target
    }

    /// A moment as date and time in the visitor's zone.
    pub fn when(&self, at: Timestamp) -> Markup {
        html! { time datetime=(at.rfc3339()) { (self.about.zone.full(at)) } }
    }

    /// A moment as people say it today, `22:34:59`, and with its date if it was another day.
    pub fn when_short(&self, at: Timestamp) -> Markup {
        html! { time datetime=(at.rfc3339()) title=(self.about.zone.full(at)) { (self.about.zone.short(at, self.now)) } }
    }

    /// A moment from now: `4 min ago`.
    pub fn ago(&self, at: Timestamp) -> Markup {
        html! { time datetime=(at.rfc3339()) title=(self.about.zone.full(at)) { (self.lang.relative(at, self.now)) } }
    }

    /// A form that acts, with its token.
    pub fn post(&self, action: &str, class: &str, content: &Markup) -> Markup {
        html! {
            form method="post" action=(self.href(action)) class=(class) { (self.token()) (content) }
        }
    }

    /// A form that acts and sends a file.
    pub fn post_file(&self, action: &str, class: &str, content: &Markup) -> Markup {
        html! {
            form method="post" action=(self.href(action)) class=(class) enctype="multipart/form-data" {
                (self.token()) (content)
            }
        }
    }

    /// A button of its own, with what it sends beside: for acts that need no other field.
    pub fn button(&self, action: &str, class: &str, fields: &[(&str, &str)], words: &str) -> Markup {
        let content = html! {
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button class=(class) { (words) }
        };
        self.post(action, "inline", &content)
    }

    /// A form that asks: its fields become the query. The language goes with it.
    pub fn ask(&self, action: &str, class: &str, content: &Markup) -> Markup {
        html! {
            form method="get" action=(action) class=(class) {
                @if self.lang.is_chosen() { input type="hidden" name="lang" value=(self.lang.code()); }
                (content)
            }
        }
    }

    fn token(&self) -> Markup {
        html! { input type="hidden" name=(TOKEN_FIELD) value=(self.key.token()); }
    }

    /// A page.
    ///
    /// # Errors
    /// None; pages end with this.
    pub fn page(&self, section: Section, title: &str, content: &Markup) -> Answer {
        Ok(self.page_with(200, &Frame { section: Some(section), title, refresh_seconds: 0 }, content))
    }

    /// A page that looks again by itself.
    ///
    /// # Errors
    /// None.
    pub fn live_page(&self, section: Section, title: &str, refresh_seconds: u32, content: &Markup) -> Answer {
        Ok(self.page_with(200, &Frame { section: Some(section), title, refresh_seconds }, content))
    }

    /// A page with all that can be said of it.
    pub fn page_with(&self, status: u16, frame: &Frame<'_>, content: &Markup) -> Response {
        let browser = &self.request.browser;
        let told = Told::of(browser);
        let page = layout::document(self, frame, told.as_ref(), content);
        let mut response = Response::html(status, page.into_string());
        response.policy = Policy::Console;
        if told.is_some() {
            response = response.with("Set-Cookie", Told::shown(browser));
        }
        if let Some(cookie) = self.key.cookie(browser) {
            response = response.with("Set-Cookie", cookie);
        }
        response
    }

    /// After an act: another page, and what to say there.
    ///
    /// # Errors
    /// None; acts end with this.
    pub fn done(&self, to: &str, told: &Told) -> Answer {
        Ok(Response::see_other(&self.href(to)).with("Set-Cookie", told.cookie(&self.request.browser)))
    }

    /// Something is wrong with what was sent: a page that says what, and what to do.
    ///
    /// # Errors
    /// Always.
    pub fn refuse<T>(&self, status: u16, words: impl Into<String>) -> Result<T, Missing> {
        Err(Missing::Refused { status, words: words.into() })
    }
}
