//! The gate of the console: who asks, and whether what they send comes from a page of ours.
//!
//! In: requests.  Out: a [`Seat`], or nobody; for acts, also the proof that the form was ours.
//! Always: a session is its cookie and nothing else; over TLS the cookie has the `__Host-` prefix and no other is read; a POST
//! needs the token that only a page of ours for this browser has, and is refused when the browser says that it comes from
//! elsewhere.
//! Sources: RFC 6265bis §4.1.3 (`__Host-`), OWASP on cross-site request forgery, W3C Fetch Metadata.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    account::{AskedBy, Login, SessionEnd},
    http::{
        daemon::Daemon,
        exchange::{Browser, Request},
    },
    secret::{self, Secret, TOKEN_LEN, equal_in_constant_time},
    store::Role,
};

/// The cookie of a session.
const SESSION: &str = "hikyaku";
/// The cookie of a browser that is not signed in: its forms need a token, too.
const VISITOR: &str = "hikyaku-visitor";
/// The cookie of a message that is shown once.
const TOLD: &str = "hikyaku-told";
/// The field of a form that has its token.
pub const TOKEN_FIELD: &str = "form-token";

/// Who is signed in.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The account.
    pub name: String,
    /// What it may change.
    pub role: Role,
    /// It may see rows with addresses.
    pub view: bool,
    /// It may take rows away as a file.
    pub download: bool,
    /// The name that people know it by; empty: none is given.
    pub display_name: String,
    /// Its language: `en`, `ja`; empty: the browser's.
    pub language: String,
    /// Its time zone, an IANA name; empty: the server's.
    pub time_zone: String,
    /// The session's token.
    pub token: Secret<String>,
}

impl Seat {
    /// The seat of a session.
    pub fn new(daemon: &dyn Daemon, login: &Login, token: Secret<String>) -> Option<Self> {
        let account = daemon.users().get(&login.name)?;
        Some(Seat {
            name: account.name,
            role: account.rights.role,
            view: account.rights.view,
            download: account.rights.download,
            display_name: account.person.display_name,
            language: account.person.language,
            time_zone: account.rights.time_zone,
            token,
        })
    }
}

/// Who asks; `None`: nobody is signed in.
pub fn seat(daemon: &dyn Daemon, request: &Request) -> Option<Seat> {
    let token = Secret::new(cookie(&request.browser, SESSION)?.to_owned());
    let by = if request.browser.looks_again { AskedBy::Page } else { AskedBy::Person };
    let login = daemon.users().session(&token, request.source(), by)?;
    Seat::new(daemon, &login, token)
}

/// Why this browser's session has ended by itself. A page that looks again is told nothing: the words are for who reads them.
pub fn ended(daemon: &dyn Daemon, request: &Request) -> Option<SessionEnd> {
    let token = Secret::new(cookie(&request.browser, SESSION).filter(|_| !request.browser.looks_again)?.to_owned());
    daemon.users().session_end(&token)
}

/// The key of this browser's forms: the session, or what the visitor's cookie has, or a new one, which the answer then sets.
pub struct FormKey {
    key: Secret<String>,
    /// A new visitor: its cookie is to be set.
    pub is_new: bool,
}

impl FormKey {
    /// The key for a request.
    pub fn of(request: &Request, seat: Option<&Seat>) -> Self {
        if let Some(seat) = seat {
            return FormKey { key: seat.token.clone(), is_new: false };
        }
        match cookie(&request.browser, VISITOR).filter(|text| text.len() == TOKEN_LEN) {
            Some(known) => FormKey { key: Secret::new(known.to_owned()), is_new: false },
            None => FormKey { key: secret::token().expect("the system gives random bytes"), is_new: true },
        }
    }

    /// The token that a form carries: of no use to find the key.
    pub fn token(&self) -> String {
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        hash.update(b"hikyaku form\0");
        hash.update(self.key.reveal().as_bytes());
        URL_SAFE_NO_PAD.encode(hash.finish())
    }

    /// The header that sets a new visitor's cookie.
    pub fn cookie(&self, browser: &Browser) -> Option<String> {
        self.is_new.then(|| set_cookie(browser, VISITOR, self.key.reveal(), None))
    }
}

/// Why a form is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotOurs {
    /// The browser says that a page of somebody else's sent it.
    Foreign,
    /// The token is absent, or another browser's or session's: a page that was open for long.
    Token,
}

/// Whether a form was sent by a page of ours for this browser.
///
/// # Errors
/// It was not, or that cannot be seen.
pub fn check_form(browser: &Browser, key: &FormKey, token: &str) -> Result<(), NotOurs> {
    if browser.is_foreign() {
        return Err(NotOurs::Foreign);
    }
    let fits = !key.is_new && equal_in_constant_time(token.as_bytes(), key.token().as_bytes());
    if fits { Ok(()) } else { Err(NotOurs::Token) }
}

/// The name of a cookie for this browser: `__Host-` where the browser takes it, which it does over TLS.
fn cookie_name(browser: &Browser, name: &str) -> String {
    if browser.is_secure { format!("__Host-{name}") } else { name.to_owned() }
}

fn cookie<'b>(browser: &'b Browser, name: &str) -> Option<&'b str> {
    browser.cookie(&cookie_name(browser, name))
}

/// The value of a Set-Cookie header; `seconds`: how long it stays; `None`: as long as the browser runs; 0: it goes.
fn set_cookie(browser: &Browser, name: &str, value: &str, seconds: Option<u64>) -> String {
    let name = cookie_name(browser, name);
    let secure = if browser.is_secure { "; Secure" } else { "" };
    let age = seconds.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}")
}

/// The header that begins a session in this browser, and ends it there with its time.
pub fn session_cookie(browser: &Browser, token: &Secret<String>, seconds: u64) -> String {
    set_cookie(browser, SESSION, token.reveal(), Some(seconds))
}

/// The header that ends a session in this browser.
pub fn no_session_cookie(browser: &Browser) -> String {
    set_cookie(browser, SESSION, "", Some(0))
}

/// A message that is shown once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// It went well.
    pub is_good: bool,
    /// What to say.
    pub words: String,
}

/// Letters of such a message at most: a cookie has 4 KiB.
const TOLD_MAX: usize = 500;
/// Seconds that it waits for the next page.
const TOLD_SECONDS: u64 = 60;

impl Told {
    /// What was done.
    pub fn good(words: impl Into<String>) -> Self {
        Told { is_good: true, words: words.into() }
    }

    /// What was not.
    pub fn bad(words: impl Into<String>) -> Self {
        Told { is_good: false, words: words.into() }
    }

    pub(super) fn cookie(&self, browser: &Browser) -> String {
        let words: String = self.words.chars().take(TOLD_MAX).collect();
        let text = format!("{}{words}", if self.is_good { '+' } else { '-' });
        set_cookie(browser, TOLD, &URL_SAFE_NO_PAD.encode(text), Some(TOLD_SECONDS))
    }

    pub(super) fn of(browser: &Browser) -> Option<Self> {
        let octets = URL_SAFE_NO_PAD.decode(cookie(browser, TOLD)?).ok()?;
        let text = String::from_utf8(octets).ok()?;
        let words = text.get(1..)?.chars().take(TOLD_MAX).collect();
        Some(Told { is_good: text.starts_with('+'), words })
    }

    pub(super) fn shown(browser: &Browser) -> String {
        set_cookie(browser, TOLD, "", Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn browser(is_secure: bool, cookie: &str) -> Browser {
        Browser { host: "mail.example.jp".into(), cookie: cookie.into(), is_secure, ..Browser::default() }
    }

    #[test]
    fn a_cookie_is_read_under_its_own_name_only() {
        assert_eq!(cookie(&browser(false, "a=1; hikyaku=x; hikyaku=y"), SESSION), Some("x"));
        assert_eq!(cookie(&browser(true, "hikyaku=planted"), SESSION), None, "over TLS only the prefixed one counts");
        assert_eq!(cookie(&browser(true, "hikyaku=planted; __Host-hikyaku=x"), SESSION), Some("x"));
        let header = session_cookie(&browser(true, ""), &Secret::new("t".into()), 60);
        assert_eq!(header, "__Host-hikyaku=t; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60");
    }

    #[test]
    fn a_form_is_taken_from_our_own_page_only() {
        let request = |cookie: &str| {
            use crate::http::exchange::{Door, Method, Peer};
            let mut request = Request::of_target(Method::Post, "/", Door::Public, Peer::User(0)).expect("a target");
            request.browser = browser(true, cookie);
            request
        };
        let fresh = FormKey::of(&request(""), None);
        let set = fresh.cookie(&browser(true, "")).expect("a new visitor");
        let pair = set.split(';').next().expect("a pair").to_owned();
        let known = FormKey::of(&request(&pair), None);
        assert!(fresh.is_new && !known.is_new && fresh.token() == known.token());
        let mut here = browser(true, &pair);
        assert_eq!(check_form(&here, &known, &known.token()), Ok(()));
        assert_eq!(check_form(&here, &known, ""), Err(NotOurs::Token));
        assert_eq!(check_form(&here, &fresh, &fresh.token()), Err(NotOurs::Token), "a token that no cookie carries");
        for (origin, site, fits) in [
            ("https://mail.example.jp", "same-origin", true),
            ("https://mail.example.jp", "", true),
            ("http://mail.example.jp", "", false),
            ("https://mail.example.jp:8443", "", false),
            ("https://evil.example", "", false),
            ("null", "", false),
            ("", "cross-site", false),
            ("", "same-site", false),
        ] {
            (here.origin, here.fetch_site) = (origin.into(), site.into());
            assert_eq!(check_form(&here, &known, &known.token()).is_ok(), fits, "{origin} {site}");
        }
    }

    #[test]
    fn a_message_comes_back_once() {
        let told = Told::good("飛脚: 3 recipients are tried now; \r\nSet-Cookie: x");
        let set = told.cookie(&browser(false, ""));
        let pair = set.split(';').next().expect("a pair").to_owned();
        assert_eq!(Told::of(&browser(false, &pair)), Some(told));
        assert_eq!(Told::of(&browser(false, "hikyaku-told=%%%")), None);
    }
}
