//! The one `tiny_http`: it sits on a private socket behind the front, reads requests and lets a few threads answer them.
//!
//! In: connections of our own front.  Out: answers of [`super::route`].
//! Always: a request without this process's secret is refused, so that only the front names doors and peers; a panic in a
//! route is one 500; probes and the operator have threads that no page can take, and no thread of a line waits for a reader
//! (`large`); when `tiny_http` stops accepting, it is built anew; an answer whose writer fails has no last chunk.
//! Sources: RFC 9112 §7.1.

use std::{
    io::{self, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use smol::channel::{self, Sender, TrySendError};

use crate::{
    http::{
        api,
        console::{self, place::Takes},
        exchange::{Body, Browser, Door, LATE_MAX, Method, Peer, Request, Response, path_for_log},
        front::bind_private,
        large::{Large, is_large, too_many},
        relay::BODY_API_MAX,
        wire,
    },
    ids::hex,
    metrics::Metrics,
    secret::{Secret, equal_in_constant_time},
};

/// Threads that answer pages: a page costs milliseconds.
const WORKERS: usize = 4;
/// Threads that answer `/livez` and `/readyz`.
const PROBE_WORKERS: usize = 2;
/// Threads that answer the operator.
const CONTROL_WORKERS: usize = 4;
/// Threads that check passwords of people: a wrong one is answered late, and guessers wait among themselves only.
const SIGN_IN_WORKERS: usize = 4;
/// Threads that wait for the DNS on somebody's wish: a look at a domain takes up to half a minute.
const ASKING_WORKERS: usize = 4;
/// Threads that answer the API: most of them wait for the disk, so that many calls share one sync; and a log that is read, or a
/// hash that is computed, keeps nobody from sending. Pages have threads of their own, so that the operator is never locked out.
pub const API_WORKERS: usize = 24;
/// Requests that wait for a thread, in each line; more are refused.
const WAITING_MAX: usize = 512;
/// Pause before `tiny_http` is built anew; doubled up to [`REBUILD_PAUSE_MAX`] while it fails.
const REBUILD_PAUSE: Duration = Duration::from_millis(100);
/// Its bound.
const REBUILD_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Silence after which no request of the old `tiny_http` is expected any more.
const LAST_REQUESTS: Duration = Duration::from_millis(20);
/// Room made for a body before any of it came.
const BODY_ROOM_MAX: usize = 64 * 1024;
/// Octets of a streamed answer's chunk.
const CHUNK: usize = 16 * 1024;

/// How the front reaches the server: the socket, and the secret that proves it is the front.
#[derive(Clone, Debug)]
pub struct Upstream {
    path: PathBuf,
    secret: Secret<String>,
}

impl Upstream {
    /// A server at `path` with a fresh secret.
    pub fn new(path: PathBuf) -> Self {
        let mut random = [0u8; 32];
        aws_lc_rs::rand::fill(&mut random).expect("the system gives random bytes");
        Upstream { path, secret: Secret::new(hex(&random)) }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn secret(&self) -> &str {
        self.secret.reveal()
    }
}

/// What answers requests.
pub type Route = Arc<dyn Fn(&Request) -> Response + Send + Sync>;

/// The running server; dropped, it stops.
pub struct Server {
    upstream: Upstream,
    stop: Arc<AtomicBool>,
    current: Arc<Mutex<Option<Arc<tiny_http::Server>>>>,
}

impl Server {
    /// Binds `socket` (0600; a stale one is removed) and starts the threads. `api_workers`: those of the API alone; 0: it has
    /// none.
    pub fn start(socket: &Path, route: Route, metrics: Arc<Metrics>, api_workers: usize) -> io::Result<Self> {
        let server = Server {
            upstream: Upstream::new(socket.to_owned()),
            stop: Arc::default(),
            current: Arc::new(Mutex::new(Some(Arc::new(build(socket)?)))),
        };
        let large = Arc::new(Large::new());
        let mut to = Lines { waiting: Vec::new() };
        for line in Line::ALL.into_iter().filter(|line| api_workers > 0 || *line == Line::Pages) {
            let (sender, waiting) = channel::bounded::<Job>(WAITING_MAX);
            to.waiting.push((line, sender));
            for n in 0..line.workers(api_workers) {
                let (route, metrics, waiting, large) = (route.clone(), metrics.clone(), waiting.clone(), large.clone());
                thread::Builder::new().name(format!("{}-{n}", line.name())).spawn(move || {
                    while let Ok(job) = waiting.recv_blocking() {
                        metrics.http_requests.one();
                        answer(job, &route, &large);
                    }
                })?;
            }
        }
        let (stop, current, upstream) = (server.stop.clone(), server.current.clone(), server.upstream.clone());
        thread::Builder::new().name("http-accept".into()).spawn(move || accept(&upstream, &stop, &current, &to))?;
        Ok(server)
    }

    /// How the front reaches it.
    pub fn upstream(&self) -> Upstream {
        self.upstream.clone()
    }

    /// Makes `tiny_http` fail as a failed `accept` does.
    #[cfg(test)]
    pub(crate) fn fail(&self) {
        if let Some(server) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            server.unblock();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(server) = self.current.lock().unwrap_or_else(PoisonError::into_inner).take() {
            server.unblock();
        }
    }
}

fn build(socket: &Path) -> io::Result<tiny_http::Server> {
    tiny_http::Server::from_listener(bind_private(socket)?, None).map_err(io::Error::other)
}

/// A request whose head was read, or what is wrong with it; its body still waits in the socket.
struct Job {
    raw: tiny_http::Request,
    request: Result<Request, wire::Refusal>,
}

/// A line of requests with threads of its own: those of one line never wait behind another's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    /// Pages.
    Pages,
    /// What load balancers and supervisors ask.
    Probes,
    /// The operator.
    Control,
    /// The API.
    Api,
    /// Passwords of people.
    SignIn,
    /// Who waits for others: the DNS, a web server.
    Asking,
}

impl Line {
    const ALL: [Line; 6] = [Line::Pages, Line::Probes, Line::Control, Line::Api, Line::SignIn, Line::Asking];

    /// By the decoded path, as the router has it: no spelling of an address leads around a line.
    fn of(request: &Request) -> Self {
        match request.path.as_str() {
            _ if request.door == Door::Control => Line::Control,
            "/livez" | "/readyz" => Line::Probes,
            path if api::has(path) => Line::Api,
            _ => match console::takes(request) {
                Takes::Moments => Line::Pages,
                Takes::Hash => Line::SignIn,
                Takes::Others => Line::Asking,
            },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Line::Pages => "http",
            Line::Probes => "probes",
            Line::Control => "control",
            Line::Api => "api",
            Line::SignIn => "sign-in",
            Line::Asking => "asking",
        }
    }

    fn workers(self, api_workers: usize) -> usize {
        match self {
            Line::Pages => WORKERS,
            Line::Probes => PROBE_WORKERS,
            Line::Control => CONTROL_WORKERS,
            Line::Api => api_workers,
            Line::SignIn => SIGN_IN_WORKERS,
            Line::Asking => ASKING_WORKERS,
        }
    }
}

/// The requests that wait for a thread.
struct Lines {
    /// The first is that of pages, and of all that has no line of its own here.
    waiting: Vec<(Line, Sender<Job>)>,
}

impl Lines {
    /// False: nobody takes requests any more. A line that is full refuses: the others must not wait behind it.
    fn put(&self, raw: tiny_http::Request, upstream: &Upstream) -> bool {
        let request = read_head(&raw, upstream);
        let line = request.as_ref().map_or(Line::Pages, Line::of);
        let own = self.waiting.iter().find(|(l, _)| *l == line).or(self.waiting.first());
        let Some((_, sender)) = own else { return false };
        match sender.try_send(Job { raw, request }) {
            Ok(()) => true,
            Err(TrySendError::Full(job)) => {
                let busy = Response::error(503, "too many requests wait already: try again", "");
                send(job.raw.into_writer(), busy.with("Retry-After", "5"), false);
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

/// Hands requests to the workers; builds `tiny_http` anew whenever it ends.
fn accept(upstream: &Upstream, stop: &AtomicBool, current: &Mutex<Option<Arc<tiny_http::Server>>>, to: &Lines) {
    let mut pause = REBUILD_PAUSE;
    loop {
        let server = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(server) = server {
            let error = loop {
                match server.recv() {
                    Ok(request) => {
                        pause = REBUILD_PAUSE;
                        if !to.put(request, upstream) {
                            return;
                        }
                    }
                    Err(error) => break error,
                }
            };
            if stop.load(Ordering::SeqCst) {
                return;
            }
            log::warn!("http=rebuild error={error:?}");
            // What was accepted before the failure is still answered.
            for _ in 0..WAITING_MAX {
                match server.recv_timeout(LAST_REQUESTS) {
                    Ok(Some(request)) => {
                        if !to.put(request, upstream) {
                            return;
                        }
                    }
                    Err(_) => {}
                    Ok(None) => break,
                }
            }
        }
        // The old one removes its socket when it is dropped: before the new one is bound.
        drop(current.lock().unwrap_or_else(PoisonError::into_inner).take());
        thread::sleep(pause);
        pause = (pause * 2).min(REBUILD_PAUSE_MAX);
        match build(upstream.path()) {
            Ok(server) => {
                *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(server));
            }
            Err(error) => log::error!("http=rebuild error={error:?}"),
        }
        if stop.load(Ordering::SeqCst) {
            current.lock().unwrap_or_else(PoisonError::into_inner).take();
            return;
        }
    }
}

fn answer(job: Job, route: &Route, large: &Large) {
    let Job { mut raw, request } = job;
    let head_only = matches!(raw.method(), tiny_http::Method::Head);
    let request = request.and_then(|request| read_body(&mut raw, request));
    let response = match &request {
        Ok(request) => catch_unwind(AssertUnwindSafe(|| route(request))).unwrap_or_else(|_| {
            let path = path_for_log(&request.path);
            log::error!("http=panic path={path:?}; the daemon goes on. Please report this.");
            Response::error(500, "something went wrong inside; the daemon's log has it", "")
        }),
        Err(refusal) => Response::error(refusal.status, refusal.words, ""),
    };
    match request {
        Ok(request) if !head_only && is_large(&response) => hand_over(raw, response, &request, large),
        Ok(_) | Err(_) => send(raw.into_writer(), response, head_only),
    }
}

/// Lets a thread of its own write an answer for which a reader may take his time.
fn hand_over(raw: tiny_http::Request, response: Response, request: &Request, large: &Large) {
    let Some(place) = large.place(request, &response) else {
        return send(raw.into_writer(), too_many(request), false);
    };
    let writer = raw.into_writer();
    let write = move || {
        send(writer, response, false);
        drop(place);
    };
    // Without a thread the connection ends, and the front says so.
    if let Err(error) = thread::Builder::new().name("large".into()).spawn(write) {
        log::error!("http=write error={error:?}");
    }
}

/// Writes an answer.
fn send(mut writer: Box<dyn Write + Send + 'static>, response: Response, head_only: bool) {
    let write = catch_unwind(AssertUnwindSafe(|| write_response(&mut writer, response, head_only)));
    match write {
        Ok(Ok(())) => {}
        // A client that went away is its own affair; the cut is what the others see.
        Ok(Err(error)) => log::debug!("http=write error={error:?}"),
        Err(_) => log::error!("http=panic while an answer was written; the daemon goes on. Please report this."),
    }
}

fn read_head(raw: &tiny_http::Request, upstream: &Upstream) -> Result<Request, wire::Refusal> {
    let refuse = |status, words| wire::Refusal { status, words };
    let header = |name: &'static str| {
        raw.headers().iter().find(|h| h.field.equiv(name)).map(|h| h.value.as_str().to_owned()).unwrap_or_default()
    };
    if !equal_in_constant_time(header("X-Hikyaku-Secret").as_bytes(), upstream.secret().as_bytes()) {
        return Err(refuse(403, "this socket is the daemon's own"));
    }
    let stranger = refuse(500, "the front sent no door");
    let door = Door::from_word(&header("X-Hikyaku-Door")).ok_or(stranger)?;
    let peer: Peer = header("X-Hikyaku-Peer").parse().map_err(|()| stranger)?;
    let method = Method::of(&raw.method().to_string());
    let mut request = Request::of_target(method, raw.url(), door, peer)
        .ok_or(refuse(400, "the path or query has a broken %-escape"))?;
    request.is_direct = header("X-Hikyaku-Direct") == "yes";
    request.accept_language = header("Accept-Language");
    request.content_type = header("Content-Type");
    request.idempotency_key = header("Idempotency-Key");
    request.browser = Browser {
        host: header("Host"),
        cookie: header("Cookie"),
        origin: header("Origin"),
        fetch_site: header("Sec-Fetch-Site"),
        user_agent: header("User-Agent"),
        looks_again: !header("Hikyaku-Looks-Again").is_empty(),
        is_secure: header("X-Hikyaku-Secure") == "yes",
    };
    Ok(request)
}

/// Read whole, before the route runs: the front has written all of it, and waits for nothing else.
fn read_body(raw: &mut tiny_http::Request, mut request: Request) -> Result<Request, wire::Refusal> {
    let mut body = Vec::with_capacity(raw.body_length().unwrap_or(0).min(BODY_ROOM_MAX));
    let read = raw.as_reader().take(BODY_API_MAX).read_to_end(&mut body);
    read.map_err(|_| wire::Refusal { status: 400, words: "the body was cut" })?;
    request.body = body;
    Ok(request)
}

fn write_response(to: &mut dyn Write, response: Response, head_only: bool) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {} {}\r\n", response.status, wire::reason(response.status));
    for (name, value) in response.headers_for_browsers().iter().chain(&response.headers) {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if !response.late.is_zero() {
        text.push_str(&format!("X-Hikyaku-Late: {}\r\n", response.late.min(LATE_MAX).as_millis()));
    }
    if !response.content_type.is_empty() {
        text.extend(["Content-Type: ", response.content_type, "\r\n"]);
    }
    let no_body = matches!(response.status, 204 | 304);
    match response.body {
        Body::Bytes(bytes) => {
            if !no_body {
                text.push_str(&format!("Content-Length: {}\r\n", bytes.len()));
            }
            text.push_str("\r\n");
            let mut octets = text.into_bytes();
            if !head_only && !no_body {
                octets.extend_from_slice(&bytes);
            }
            to.write_all(&octets)?;
        }
        Body::Stream(stream) => {
            text.push_str("Transfer-Encoding: chunked\r\n\r\n");
            to.write_all(text.as_bytes())?;
            if !head_only {
                let mut chunks = Chunks { to, buffer: Vec::with_capacity(CHUNK) };
                stream(&mut chunks)?;
                chunks.finish()?;
            }
        }
    }
    to.flush()
}

/// Writes chunks; only [`Chunks::finish`] writes the last one.
struct Chunks<'a> {
    to: &'a mut dyn Write,
    buffer: Vec<u8>,
}

impl Chunks<'_> {
    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        write!(self.to, "{:x}\r\n", self.buffer.len())?;
        self.to.write_all(&self.buffer)?;
        self.to.write_all(b"\r\n")?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.send()?;
        self.to.write_all(b"0\r\n\r\n")
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()?;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(method: Method, target: &str) -> Line {
        let peer = Peer::Address([192, 0, 2, 1].into());
        Line::of(&Request::of_target(method, target, Door::Public, peer).expect("a target"))
    }

    #[test]
    fn no_spelling_of_a_path_leads_around_its_line() {
        for (target, own) in [
            ("/sign-in", Line::SignIn),
            ("/sign%2Din?lang=ja", Line::SignIn),
            ("/%72eset", Line::SignIn),
            ("/set%2dup", Line::SignIn),
            ("/domains/example.jp/check", Line::Asking),
            ("/domains%2Fexample.jp/chec%6B", Line::Asking),
            ("/%61pi/v2/emails/send.json", Line::Api),
            ("/transaction%2Fv2/queue/list", Line::Api),
            ("/webhooks/te%73t", Line::Asking),
            ("/livez", Line::Probes),
            ("/%72eadyz", Line::Probes),
            ("/queue/act", Line::Pages),
        ] {
            assert_eq!(line(Method::Post, target), own, "{target}");
        }
        assert_eq!(line(Method::Get, "/sign-in"), Line::Pages, "the page of it costs nothing");
    }
}
