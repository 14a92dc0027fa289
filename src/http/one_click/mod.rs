//! The endpoint of one-click unsubscription: a listener, a front and a server of its own.
//!
//! In: `GET /u/TOKEN`, which shows a page with one button, and `POST /u/TOKEN`, which unsubscribes.  Out: pages, and for mail
//! programs a line of text.
//! Always: nothing else is served here, neither console nor API nor metrics; a GET changes nothing, for scanners of mail follow
//! every link; the row is on disk before the 200; a link may be followed again and again; a token that is not ours is "not
//! found", whatever is wrong with it.
//! Sources: RFC 8058 §3.2 (the POST) and §6 (GET must not act); RFC 9110 §15.5.5; cmc.md §12.6.

mod page;

use std::{
    io,
    net::TcpListener,
    path::Path,
    sync::{Arc, LazyLock},
};

use async_io::Async;
use base64::{Engine, engine::general_purpose::STANDARD};
use smol::future::block_on;

use crate::{
    clock::Clock,
    config::{Config, InForce},
    http::{
        exchange::{Method, Policy, Request, Response, percent_decode},
        front::{Front, Limits, Names, TlsAccept},
        server::Server,
        words::Lang,
    },
    metrics::Metrics,
    runtime::{Runtime, Shutdown},
    store::StoreError,
    unsubscribe::{headers::PATH, links::Links, list::Unsubscribes, row::How, token::Leaving},
};
use page::{BUTTON_NAME, BUTTON_VALUE, STYLE};

/// The private socket between its front and its server, in the data directory.
pub const SERVER_SOCKET: &str = "unsubscribe.sock";
/// Octets of a body at most: what mail programs and the button send has some dozens, in a multipart some hundreds.
const BODY_MAX: u64 = 4 * 1024;
/// The one pair that mail programs send (RFC 8058 §3.2).
const PAIR: (&str, &str) = ("List-Unsubscribe", "One-Click");
/// Seconds after which somebody may try again whom the disk could not serve.
const RETRY_SECONDS: u32 = 60;

/// What the endpoint needs of the rest.
pub trait Leave: Send + Sync + 'static {
    /// Whom a token names; `None`: it is not ours.
    fn open(&self, token: &str) -> Option<Leaving>;

    /// He has left already.
    ///
    /// # Errors
    /// The store's.
    fn has_left(&self, leaving: &Leaving) -> Result<bool, StoreError>;

    /// He leaves, or has left; on disk when it returns.
    ///
    /// # Errors
    /// The store's.
    fn leave(&self, leaving: &Leaving, how: How) -> Result<(), StoreError>;

    /// A click takes effect at a daily time, and not at once.
    fn is_daily(&self) -> bool;

    /// The path before ours in the public URL, which a proxy may keep; no slash at its end.
    fn path_before(&self) -> String;
}

/// The links and the list of the running daemon.
pub struct Live {
    /// Reads tokens.
    pub links: Links,
    /// Who has left.
    pub list: Unsubscribes,
    /// The config in force.
    pub config: InForce,
}

impl Leave for Live {
    fn open(&self, token: &str) -> Option<Leaving> {
        self.links.open(token)
    }

    fn has_left(&self, leaving: &Leaving) -> Result<bool, StoreError> {
        Ok(self.list.row_of(leaving.address.as_str(), &leaving.list)?.is_some())
    }

    fn leave(&self, leaving: &Leaving, how: How) -> Result<(), StoreError> {
        block_on(self.list.add(&leaving.address, &leaving.list, how)).map(drop)
    }

    fn is_daily(&self) -> bool {
        self.config.get().unsubscribe.run_at_minute.is_some()
    }

    fn path_before(&self) -> String {
        let config = self.config.get();
        let rest = config.unsubscribe.public_url.split_once("://").map_or("", |(_, rest)| rest);
        rest.split_once('/').map_or_else(String::new, |(_, path)| format!("/{}", path.trim_end_matches('/')))
    }
}

/// What the endpoint runs with.
pub struct Parts {
    /// Its counters: requests are counted with those of the page.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// Executor threads.
    pub runtime: Runtime,
    /// The stop token.
    pub shutdown: Shutdown,
}

/// The running endpoint; dropped, its server stops (its listener ends with the shutdown).
pub struct OneClick {
    front: Front,
    _server: Server,
}

impl OneClick {
    /// Serves a listener that the caller has bound, in TLS if there is a certificate.
    ///
    /// # Errors
    /// The socket in `data_dir` cannot be made, or no thread.
    pub fn start(
        parts: Parts,
        leave: Arc<dyn Leave>,
        names: Names,
        listener: TcpListener,
        tls: Option<TlsAccept>,
        data_dir: &Path,
    ) -> io::Result<Self> {
        let Parts { metrics, clock, runtime, shutdown } = parts;
        let answer = Arc::new(move |request: &Request| route(&*leave, request));
        let server = Server::start(&data_dir.join(SERVER_SOCKET), answer, metrics, 0)?;
        let limits = Limits { body_max: BODY_MAX, body_api_max: BODY_MAX, ..Limits::default() };
        let front = Front::new(server.upstream(), limits, names, clock);
        let listener = Async::new(listener)?;
        let (serving, tasks) = (front.clone(), runtime.clone());
        runtime.spawn("unsubscribe-listener", async move { serving.serve_tcp(listener, tls, tasks, shutdown).await });
        Ok(OneClick { front, _server: server })
    }

    /// Other names, at a reload.
    pub fn reconfigure(&self, config: &Config) {
        self.front.reconfigure(names(config));
    }
}

/// By which names the endpoint may be asked for.
pub fn names(config: &Config) -> Names {
    let unsubscribe = &config.unsubscribe;
    Names {
        public_url: unsubscribe.public_url.clone(),
        proxy_networks: unsubscribe.proxy_networks.clone(),
        has_secrets: false,
    }
}

/// Answers a request.
pub fn route(leave: &dyn Leave, request: &Request) -> Response {
    let lang = Lang::of(request);
    let path = request.path.strip_prefix(leave.path_before().as_str()).unwrap_or(&request.path);
    let Some(token) = path.strip_prefix(PATH) else { return shown(404, page::nothing(lang)) };
    let Some(leaving) = leave.open(token) else { return shown(404, page::not_ours(lang)) };
    let done = || page::done(lang, &leaving, leave.is_daily());
    let answer = match request.method {
        Method::Get | Method::Head => leave.has_left(&leaving).map(|left| {
            let page = if left { done() } else { page::ask(lang, &leaving) };
            shown(200, page)
        }),
        Method::Post => match how(&request.body) {
            // A body that asks for nothing does nothing: the page has the button that does.
            None => Ok(shown(400, page::ask(lang, &leaving))),
            Some(how) => leave.leave(&leaving, how).map(|()| match how {
                How::Link => safe(Response::text(200, "You are unsubscribed.\n")),
                _ => shown(200, done()),
            }),
        },
        Method::Other => {
            let refusal = Response::error(405, "this link is for GET and POST", "");
            Ok(safe(refusal.with("Allow", "GET, HEAD, POST")))
        }
    };
    answer.unwrap_or_else(|error| {
        log::error!("http=unsubscribe recipient={} error=\"{error}\"", leaving.address.as_str());
        shown(503, page::trouble(lang)).with("Retry-After", RETRY_SECONDS.to_string())
    })
}

fn shown(status: u16, html: String) -> Response {
    let mut response = Response::html(status, html);
    response.policy = Policy::Styles(STYLE_SOURCE.clone());
    safe(response)
}

/// Links are for their recipients, not for search engines.
fn safe(response: Response) -> Response {
    response.with("X-Robots-Tag", "noindex, nofollow")
}

/// The one style of the pages stands in them, so that nothing but links is served; its hash is what the browser lets in.
static STYLE_SOURCE: LazyLock<String> = LazyLock::new(|| {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    format!("'sha256-{}'", STANDARD.encode(hash))
});

/// What a body asks for: a mail program's click, or the button's; `None`: nothing.
fn how(body: &[u8]) -> Option<How> {
    let text = String::from_utf8_lossy(body);
    for pair in text.trim().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is = |wanted: (&str, &str)| {
            percent_decode(name, true).is_some_and(|n| n.trim().eq_ignore_ascii_case(wanted.0))
                && percent_decode(value, true).is_some_and(|v| v.trim().eq_ignore_ascii_case(wanted.1))
        };
        if is(PAIR) {
            return Some(How::Link);
        }
        if is((BUTTON_NAME, BUTTON_VALUE)) {
            return Some(How::Form);
        }
    }
    multipart_pair(&text.to_ascii_lowercase()).then_some(How::Link)
}

/// The pair as a part of multipart/form-data, in lower case (RFC 8058 §3.2 prefers that form; RFC 7578 §4.2).
fn multipart_pair(text: &str) -> bool {
    let (name, value) = (PAIR.0.to_ascii_lowercase(), PAIR.1.to_ascii_lowercase());
    // The first part is the boundary line alone, or nothing.
    let Some(boundary) = text.trim_start().lines().next().filter(|line| line.starts_with("--")) else { return false };
    text.split(boundary.trim_end()).any(|part| {
        let Some((head, content)) = part.split_once("\r\n\r\n").or_else(|| part.split_once("\n\n")) else {
            return false;
        };
        let named = [format!("name=\"{name}\""), format!("name={name}")];
        named.iter().any(|n| head.contains(n)) && content.trim() == value
    })
}

#[cfg(test)]
mod tests;
