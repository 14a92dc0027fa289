//! Visits over a made-up daemon, by whoever: for tests of pages.

use super::Seat;
use crate::{
    http::{
        exchange::{Body, Door, Method, Peer, Request, Response, percent_encode},
        fake::Fake,
    },
    secret::Secret,
    store::Role,
};

/// Who visits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// The group administrator, admin@example.jp.
    Admin,
    /// A user, user@example.jp, who may download.
    User,
    /// A user without the right to download.
    Reader,
    /// A report viewer.
    Viewer,
    /// Nobody is signed in.
    Nobody,
}

impl Who {
    pub(crate) const ALL: [Who; 5] = [Who::Admin, Who::User, Who::Reader, Who::Viewer, Who::Nobody];

    /// Its seat.
    pub(crate) fn seat(self) -> Option<Seat> {
        let (name, role, download) = match self {
            Who::Admin => ("admin@example.jp", Role::GroupAdministrator, true),
            Who::User => ("user@example.jp", Role::User, true),
            Who::Reader => ("reader@example.jp", Role::User, false),
            Who::Viewer => ("viewer@example.jp", Role::ReportViewer, false),
            Who::Nobody => return None,
        };
        Some(Seat {
            name: name.into(),
            role,
            view: true,
            download,
            display_name: String::new(),
            language: String::new(),
            time_zone: String::new(),
            token: Secret::new("a token of tests".into()),
        })
    }
}

/// What a visit brought.
pub(crate) struct Seen {
    pub status: u16,
    pub body: String,
    pub response: Response,
}

impl Seen {
    /// A header of the answer.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.response.headers.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    /// What a page says of an act that ended with `visit.done`.
    pub(crate) fn told(&self) -> String {
        let browser = crate::http::exchange::Browser {
            cookie: self.header("Set-Cookie").split(';').next().unwrap_or_default().into(),
            ..Default::default()
        };
        super::Told::of(&browser).map_or_else(String::new, |told| told.words)
    }
}

fn request(method: Method, target: &str) -> Request {
    let peer = Peer::Address([192, 0, 2, 77].into());
    let mut request = Request::of_target(method, target, Door::Public, peer).expect("a target");
    request.browser.host = "mail.example.jp".into();
    request
}

fn seen(mut response: Response) -> Seen {
    let body = match std::mem::replace(&mut response.body, Body::Bytes(Vec::new())) {
        Body::Bytes(bytes) => bytes,
        Body::Stream(stream) => {
            let mut bytes = Vec::new();
            stream(&mut bytes).expect("a stream");
            bytes
        }
    };
    Seen { status: response.status, body: String::from_utf8_lossy(&body).into_owned(), response }
}

/// Reads a page; `?lang=` in the target chooses the language, which is English otherwise.
pub(crate) fn get(fake: &Fake, who: Who, target: &str) -> Seen {
    seen(super::answer(fake, &request(Method::Get, target), who.seat(), false))
}

/// The same in a browser that prefers these languages.
pub(crate) fn get_in(fake: &Fake, who: Who, target: &str, accept_language: &str) -> Seen {
    let mut request = request(Method::Get, target);
    request.accept_language = accept_language.into();
    seen(super::answer(fake, &request, who.seat(), false))
}

/// Sends a form.
pub(crate) fn post(fake: &Fake, who: Who, target: &str, fields: &[(&str, &str)]) -> Seen {
    let mut request = request(Method::Post, target);
    request.content_type = "application/x-www-form-urlencoded".into();
    let pairs: Vec<String> =
        fields.iter().map(|(n, v)| format!("{}={}", percent_encode(n), percent_encode(v))).collect();
    request.body = pairs.join("&").into_bytes();
    seen(super::answer(fake, &request, who.seat(), false))
}

/// Reads a page that is there.
pub(crate) fn page(fake: &Fake, who: Who, target: &str) -> String {
    let seen = get(fake, who, target);
    assert_eq!(seen.status, 200, "{target}: {}", seen.body);
    seen.body
}

/// Tags that are opened as often as closed, no script but ours, no style of its own, nothing that a mail could have said: what every
/// page is held to.
pub(crate) fn check_document(name: &str, page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{name}");
    for tag in
        ["main", "section", "table", "ol", "ul", "dl", "div", "a", "td", "bdi", "svg", "form", "label", "details"]
    {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{name}: <{tag}>");
    }
    assert_eq!(page.matches("<script").count(), 1, "{name}: our script alone");
    assert!(page.contains("<script src=\"/console.js?v="), "{name}");
    for bad in ["<img src=x", "onerror=alert(2)>\"", "<b>you", "javascript:", " style=", "onload=\"x"] {
        assert!(!page.contains(bad), "{name} has {bad}");
    }
    assert!(!page.contains(['\u{202e}', '\u{7}', '\u{1b}']), "{name} reorders or rings");
    assert!(page.contains("name=\"viewport\""), "{name}");
    assert!(page.len() < 120_000, "{name} is {} octets", page.len());
    if page.contains("<html lang=\"ja\"") {
        japanese::check(name, page);
    }
}

#[path = "rig_japanese.rs"]
mod japanese;
