//! A browser at the door, for tests: real sessions over a made-up daemon, through the console's own router.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use aws_lc_rs::hmac;
use smol::future::block_on;

use crate::{
    account::{Actor, Changes, NewUser},
    http::{
        console,
        daemon::Daemon,
        exchange::{Body, Door, Method, Peer, Request, percent_encode},
        fake::{Fake, now},
    },
    secret::Secret,
    store::{AccountKind, Role},
};

pub(super) const ADMIN: &str = "admin@example.jp";
pub(super) const USER: &str = "user@example.jp";
pub(super) const PASSWORD: &str = "correct horse battery";

pub(super) fn operator() -> Actor {
    Actor::Operator { who: "operator root".into(), from: "control socket".into() }
}

/// A fake with two people.
pub(super) fn peopled() -> Fake {
    let fake = Fake::busy();
    for (name, role) in [(ADMIN, Role::GroupAdministrator), (USER, Role::User)] {
        let changes = Changes { role: Some(role), ..Changes::default() };
        let key = Some(Secret::new(PASSWORD.to_owned()));
        let new = NewUser { kind: AccountKind::Console, key, changes, ..NewUser::api(name) };
        block_on(fake.users().add(&operator(), new)).expect("a person");
    }
    fake
}

/// What came back.
pub(super) struct Got {
    pub status: u16,
    pub body: String,
    pub to: String,
    pub late: Duration,
    pub cookies: Vec<String>,
}

/// A browser with its cookies.
pub(super) struct Browser<'f> {
    pub fake: &'f Fake,
    pub cookies: BTreeMap<String, String>,
    pub source: IpAddr,
    pub site: &'static str,
    pub secure: bool,
    pub agent: &'static str,
    pub looks_again: bool,
    pub page: String,
}

impl<'f> Browser<'f> {
    pub fn new(fake: &'f Fake) -> Self {
        let source = IpAddr::from([192, 0, 2, 77]);
        let agent = "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0";
        Browser {
            fake,
            cookies: BTreeMap::new(),
            source,
            site: "same-origin",
            secure: true,
            agent,
            looks_again: false,
            page: String::new(),
        }
    }

    pub fn signed_in(fake: &'f Fake, name: &str) -> Self {
        let mut browser = Browser::new(fake);
        let got = browser.sign_in(name, PASSWORD);
        assert_eq!((got.status, got.to.as_str()), (303, "/"), "{}", got.body);
        browser
    }

    pub fn ask(&mut self, method: Method, target: &str, fields: &[(&str, &str)]) -> Got {
        let mut request =
            Request::of_target(method, target, Door::Public, Peer::Address(self.source)).expect("a target");
        let jar: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request.browser.cookie = jar.join("; ");
        request.browser.host = "mail.example.jp".into();
        request.browser.is_secure = self.secure;
        request.browser.fetch_site = self.site.into();
        request.browser.user_agent = self.agent.into();
        request.browser.looks_again = self.looks_again;
        request.accept_language = "en".into();
        if method == Method::Post {
            request.content_type = "application/x-www-form-urlencoded".into();
            let pairs: Vec<String> =
                fields.iter().map(|(n, v)| format!("{}={}", percent_encode(n), percent_encode(v))).collect();
            request.body = pairs.join("&").into_bytes();
        }
        let response = console::route(self.fake, &request);
        let value =
            |name: &'static str| response.headers.iter().filter(move |(n, _)| *n == name).map(|(_, v)| v.clone());
        let cookies: Vec<String> = value("Set-Cookie").collect();
        for cookie in &cookies {
            let (name, rest) = cookie.split_once('=').expect("a pair");
            let kept = rest.split(';').next().unwrap_or_default();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), kept.to_owned());
            }
        }
        let to = value("Location").next().unwrap_or_default();
        let Body::Bytes(bytes) = response.body else { panic!("a stream") };
        let body = String::from_utf8(bytes).expect("UTF-8");
        Got { status: response.status, body, to, late: response.late, cookies }
    }

    pub fn get(&mut self, target: &str) -> Got {
        let got = self.ask(Method::Get, target, &[]);
        self.page.clone_from(&got.body);
        got
    }

    /// Sends a form with the token of the last page.
    pub fn post(&mut self, target: &str, fields: &[(&str, &str)]) -> Got {
        let token = self.field("form-token");
        let mut all = vec![("form-token", token.as_str())];
        all.extend(fields);
        let got = self.ask(Method::Post, target, &all);
        if got.status != 303 {
            self.page.clone_from(&got.body);
        }
        got
    }

    /// The same, and what the next page says of it.
    pub fn told(&mut self, target: &str, fields: &[(&str, &str)]) -> String {
        let got = self.post(target, fields);
        assert_eq!(got.status, 303, "{target}: {}", got.body);
        let next = self.get(&got.to);
        next.body
            .split_once("role=\"status\">")
            .and_then(|(_, rest)| rest.split_once('<'))
            .expect("a message")
            .0
            .to_owned()
    }

    pub fn sign_in(&mut self, name: &str, password: &str) -> Got {
        self.get("/sign-in");
        self.post("/sign-in", &[("name", name), ("password", password)])
    }

    pub fn field(&self, name: &str) -> String {
        let sign = format!("name=\"{name}\" value=\"");
        let found = self.page.split_once(&sign).and_then(|(_, rest)| rest.split_once('"'));
        found.map_or_else(String::new, |(value, _)| value.to_owned())
    }

    pub fn session(&self) -> &str {
        self.cookies.get("__Host-hikyaku").map_or("", String::as_str)
    }

    pub fn is_in(&mut self) -> bool {
        self.ask(Method::Get, "/me", &[]).status == 200
    }
}

/// The code of a secret as an app computes it.
pub(super) fn code_of(base32: &str, steps: u64) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bits, mut count, mut key) = (0u64, 0, Vec::new());
    for letter in base32.bytes().filter(|b| *b != b' ') {
        bits = bits << 5 | letters.iter().position(|l| *l == letter).expect("base32") as u64;
        count += 5;
        if count >= 8 {
            count -= 8;
            key.push((bits >> count & 0xff) as u8);
        }
    }
    let step = now().as_seconds() / 30 + steps;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key), &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let word = u32::from_be_bytes(tag[at..at + 4].try_into().expect("four"));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}
