//! The front: every HTTP connection from outside ends here, before `tiny_http` sees a byte.
//!
//! In: a TCP listener (TLS is a closure that the wiring gives), the control socket.  Out: connections under limits, each
//! served by [`super::relay`].
//! Always: connections are bounded in number, in all and of one address; nobody tells us secrets in clear over a network; a peer on the control socket is the daemon's own
//! user or root, told by the kernel; a failing `accept` never ends the listener.
//! Sources: unix(7) for SO_PEERCRED; RFC 9110 §15.6.4.

use std::{
    collections::HashMap,
    future::Future,
    io::{self, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_io::{Async, Timer};
use ipnet::IpNet;
use smol::{
    future::FutureExt,
    io::{AsyncRead, AsyncWrite},
};

use crate::{
    clock::Clock,
    http::{
        bodies::Bodies,
        exchange::{Door, Peer},
        relay::{self, Socket},
        server::Upstream,
    },
    runtime::{Runtime, Shutdown},
};

/// What the front allows; the defaults are the product's, tests shorten the times.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Between two requests of a connection. Default 15 s.
    pub idle: Duration,
    /// From a head's first octet to its last, and a TLS handshake. Default 10 s: a person's browser needs one.
    pub head: Duration,
    /// From the head's last octet to the body's last, and [`Limits::per_octet`] beside. Default 30 s.
    pub request: Duration,
    /// What an octet that came adds to that: a large mail over a slow line takes its time. Default 8 µs, which is 1 Mbit/s.
    pub per_octet: Duration,
    /// Until the answer begins, on the public door. Default 30 s.
    pub answer: Duration,
    /// Until a call that submits mail is answered: what was handed to the disk is waited for, or the client would send it twice.
    /// Also until a download goes on. Default 10 min.
    pub answer_submission: Duration,
    /// Until the answer begins or goes on, on the control socket: a backup of a large store takes its time. Default 10 min.
    pub answer_control: Duration,
    /// For the client to take the next 16 KiB of an answer. Default 30 s.
    pub write: Duration,
    /// What an octet that it took adds to [`Limits::write`] for all of the answer, on the public door. Default 32 µs: whoever reads
    /// less than 250 kbit/s is cut after a while.
    pub write_per_octet: Duration,
    /// Connections at once over TCP. Default 256: the page serves people and probes, not the world.
    pub connections_max: usize,
    /// Of them, from one address; loopback and configured proxies speak for many and are exempt. Default 32.
    pub connections_per_address_max: usize,
    /// Connections at once on the control socket. Default 64.
    pub control_connections_max: usize,
    /// Octets that large request bodies take at once on a door while they come in; one address has at most what is still free.
    /// Default 56 MiB.
    pub bodies_max: usize,
    /// Octets that the server makes of them at once. Default 80 MiB.
    pub bodies_working_max: usize,
    /// Octets of one of them. Default [`relay::BODY_MAX`].
    pub body_max: u64,
    /// Octets of one of them that submits mail. Default [`relay::BODY_API_MAX`].
    pub body_api_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            idle: Duration::from_secs(15),
            head: Duration::from_secs(10),
            request: Duration::from_secs(30),
            per_octet: Duration::from_micros(8),
            answer: Duration::from_secs(30),
            answer_submission: Duration::from_secs(600),
            answer_control: Duration::from_secs(600),
            write: Duration::from_secs(30),
            write_per_octet: Duration::from_micros(32),
            connections_max: 256,
            connections_per_address_max: 32,
            control_connections_max: 64,
            bodies_max: 56 << 20,
            bodies_working_max: 80 << 20,
            body_max: relay::BODY_MAX,
            body_api_max: relay::BODY_API_MAX,
        }
    }
}

/// Pause after a failed `accept` (no file descriptors left): long enough that others can close some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Seconds between two lines of the log about what strangers can cause as often as they like.
const LOG_EVERY_SECONDS: u64 = 10;

/// Any connection: plain, or TLS.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a TLS handshake ends in.
pub type Handshake = Pin<Box<dyn Future<Output = io::Result<Box<dyn Duplex>>> + Send>>;

/// Makes a TLS connection of a TCP one; the front puts [`Limits::head`] on it.
pub type TlsAccept = Arc<dyn Fn(Async<TcpStream>) -> Handshake + Send + Sync>;

/// What may change at a reload.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// `[http].public_url`: its host is a name of ours.
    pub public_url: String,
    /// `[http].proxy_networks`: the only peers whose X-Forwarded-For is believed.
    pub proxy_networks: Vec<IpNet>,
    /// Passwords and keys come this way: without TLS of our own, strangers to this machine come through a proxy of that list, which
    /// ends TLS, or not at all.
    pub has_secrets: bool,
}

/// The front; clones share it.
#[derive(Clone)]
pub struct Front(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) upstream: Upstream,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    /// Of the public door, and of the control socket: the operator gets in whatever comes from outside.
    bodies: [Arc<Bodies>; 2],
    names: RwLock<Names>,
    connections: Mutex<HashMap<Source, usize>>,
    /// The second in which the log last told of what strangers cause.
    last_told: AtomicU64,
}

/// Whose connections are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    /// All of TCP.
    Tcp,
    /// One address; of IPv6 its /64, which is what one customer has.
    Address(IpAddr),
    /// The control socket.
    Control,
}

/// Where a connection came from, as far as requests are judged by it.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) door: Door,
    pub(super) peer: Peer,
    /// Our end of a TCP connection.
    pub(super) local: Option<SocketAddr>,
    /// It is a TLS connection.
    pub(super) by_tls: bool,
}

impl Front {
    /// A front before the server at `upstream`.
    pub fn new(upstream: Upstream, limits: Limits, names: Names, clock: Clock) -> Self {
        Front(Arc::new(Inner {
            upstream,
            limits,
            clock,
            bodies: [Bodies::new(&limits), Bodies::new(&limits)],
            names: RwLock::new(names),
            connections: Mutex::default(),
            last_told: AtomicU64::new(0),
        }))
    }

    /// Other names, at a reload.
    pub fn reconfigure(&self, names: Names) {
        *self.0.names.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// Serves a TCP listener until sockets are cut. Readiness stays visible during the drain.
    pub async fn serve_tcp(
        &self,
        listener: Async<TcpListener>,
        tls: Option<TlsAccept>,
        runtime: Runtime,
        shutdown: Shutdown,
    ) {
        let accept = async {
            loop {
                match listener.accept().await {
                    Ok((stream, address)) => self.take_tcp(stream, address, tls.clone(), &runtime, &shutdown),
                    Err(error) => {
                        log::warn!("http=accept error={error:?}");
                        Timer::after(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        accept.or(shutdown.cut_now()).await;
    }

    fn take_tcp(
        &self,
        stream: Async<TcpStream>,
        address: SocketAddr,
        tls: Option<TlsAccept>,
        runtime: &Runtime,
        shutdown: &Shutdown,
    ) {
        let ip = address.ip().to_canonical();
        let limits = self.0.limits;
        if tls.is_none() && self.0.must_not_speak_in_clear(ip) {
            if self.0.may_log_now() {
                log::warn!(
                    "http=refused peer={ip} reason=\"it speaks to us in clear, and is no proxy of ours\" \
                     fix=\"let it come through the proxy that ends TLS; or name it in http.proxy_networks, if it is one\""
                );
            }
            let _ = stream.get_ref().write(relay::NOT_IN_CLEAR);
            return;
        }
        let many = ip.is_loopback() || self.0.is_proxy(ip);
        let slots = self.0.slot(Source::Tcp, limits.connections_max).and_then(|all| {
            if many {
                return Some((all, None));
            }
            let own = self.0.slot(Source::Address(network_of(ip)), limits.connections_per_address_max)?;
            Some((all, Some(own)))
        });
        let Some(slots) = slots else {
            if tls.is_none() {
                // A fresh socket's buffer takes these octets at once; whoever cannot read them is not waited for.
                let _ = stream.get_ref().write(relay::TOO_MANY);
            }
            log::debug!("http=refused peer={ip} reason=connections");
            return;
        };
        let _ = stream.get_ref().set_nodelay(true);
        let local = stream.get_ref().local_addr().ok();
        let origin = Origin { door: Door::Public, peer: Peer::Address(ip), local, by_tls: tls.is_some() };
        let (inner, shutdown) = (self.0.clone(), shutdown.clone());
        runtime.spawn("http", async move {
            let _slots = slots;
            let serve = async {
                match tls {
                    None => relay::serve(Socket(stream), origin, &inner, &shutdown).await,
                    Some(accept) => match relay::within(inner.limits.head, accept(stream)).await {
                        Some(Ok(stream)) => relay::serve(stream, origin, &inner, &shutdown).await,
                        Some(Err(error)) => log::debug!("http=tls peer={ip} error={error:?}"),
                        None => log::debug!("http=tls peer={ip} error=\"timed out\""),
                    },
                }
            };
            serve.or(shutdown.cut_now()).await;
        });
    }

    /// Serves the control socket until sockets are cut.
    pub async fn serve_control(&self, listener: Async<UnixListener>, runtime: Runtime, shutdown: Shutdown) {
        let accept = async {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => self.take_control(stream, &runtime, &shutdown),
                    Err(error) => {
                        log::warn!("control=accept error={error:?}");
                        Timer::after(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        accept.or(shutdown.cut_now()).await;
    }

    fn take_control(&self, stream: Async<UnixStream>, runtime: &Runtime, shutdown: &Shutdown) {
        let uid = match rustix::net::sockopt::socket_peercred(stream.get_ref()) {
            Ok(peer) => peer.uid,
            Err(error) => {
                log::warn!("control=refused error={error:?}");
                return;
            }
        };
        let answer = |octets: &[u8]| {
            let _ = stream.get_ref().write(octets);
        };
        if !uid.is_root() && uid != rustix::process::geteuid() {
            log::warn!("control=refused uid={} reason=\"neither root nor the daemon's user\"", uid.as_raw());
            return answer(relay::NOT_YOURS);
        }
        let Some(slot) = self.0.slot(Source::Control, self.0.limits.control_connections_max) else {
            return answer(relay::TOO_MANY);
        };
        let origin = Origin { door: Door::Control, peer: Peer::User(uid.as_raw()), local: None, by_tls: false };
        let (inner, shutdown) = (self.0.clone(), shutdown.clone());
        runtime.spawn("control", async move {
            let _slot = slot;
            relay::serve(Socket(stream), origin, &inner, &shutdown).or(shutdown.cut_now()).await;
        });
    }
}

impl Inner {
    /// The memory for bodies of a door.
    pub(super) fn bodies(&self, door: Door) -> &Arc<Bodies> {
        let [public, control] = &self.bodies;
        match door {
            Door::Public => public,
            Door::Control => control,
        }
    }

    pub(super) fn is_proxy(&self, ip: IpAddr) -> bool {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.proxy_networks.iter().any(|n| n.contains(&ip))
    }

    fn must_not_speak_in_clear(&self, ip: IpAddr) -> bool {
        let has_secrets = self.names.read().unwrap_or_else(PoisonError::into_inner).has_secrets;
        has_secrets && !ip.is_loopback() && !self.is_proxy(ip)
    }

    /// Whether the log may tell now of what strangers can cause as often as they like.
    pub(super) fn may_log_now(&self) -> bool {
        let now = self.clock.now().as_seconds();
        let late = |last: u64| (now >= last.saturating_add(LOG_EVERY_SECONDS)).then_some(now);
        self.last_told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, late).is_ok()
    }

    /// True when a Host names us: the address that was connected to, `localhost`, or `public_url`'s host, at any port (a
    /// tunnel changes it). Any other name is somebody's page that points its own name at us (DNS rebinding).
    pub(super) fn is_our_name(&self, host: &str, local: Option<SocketAddr>) -> bool {
        let Some(name) = host_without_port(host) else { return false };
        if let Ok(ip) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
            return ip.is_loopback() || local.is_some_and(|l| l.ip().to_canonical() == ip.to_canonical());
        }
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        name == "localhost" || url_host(&names.public_url).is_some_and(|ours| ours == name)
    }

    fn slot(self: &Arc<Self>, source: Source, max: usize) -> Option<Slot> {
        let mut connections = self.lock();
        let used = connections.entry(source).or_insert(0);
        if *used >= max {
            return None;
        }
        *used += 1;
        Some(Slot { of: self.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Source, usize>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One counted connection.
struct Slot {
    of: Arc<Inner>,
    source: Source,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut connections = self.of.lock();
        if let Some(used) = connections.get_mut(&self.source) {
            *used -= 1;
            if *used == 0 {
                connections.remove(&self.source);
            }
        }
    }
}

/// An address; of IPv6 its /64, which is what one customer has.
pub(super) fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let s = v6.segments();
            IpAddr::from([s[0], s[1], s[2], s[3], 0, 0, 0, 0])
        }
    }
}

/// The host of `host:port`, in lower case, brackets kept; `None` when the port is no number.
fn host_without_port(host: &str) -> Option<String> {
    let (name, port) = match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => (&host[..at], Some(&host[at + 1..])),
        _ => (host, None),
    };
    let port_is_fine = port.is_none_or(|p| p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()));
    (port_is_fine && !name.is_empty()).then(|| name.trim_end_matches('.').to_ascii_lowercase())
}

/// The host of an `http` or `https` URL.
fn url_host(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    host_without_port(rest.split(['/', '?', '#']).next()?)
}

/// Binds the control socket: 0600, a stale one removed (the caller holds the data directory's lock).
pub fn bind_control(path: &Path) -> io::Result<Async<UnixListener>> {
    Async::new(bind_private(path)?)
}

/// Binds a Unix socket that only its owner may use. The folder is 0700, so that nobody gets in before the mode is set.
pub(super) fn bind_private(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        let names = Names { public_url: "https://Mail.Example.jp:8443/x".into(), ..Names::default() };
        let upstream = Upstream::new("/nowhere".into());
        let front = Front::new(upstream, Limits::default(), names, Clock::system());
        let local = "192.0.2.7:8025".parse().ok();
        for host in [
            "localhost",
            "LOCALHOST:1234",
            "127.0.0.1:8025",
            "127.9.9.9",
            "[::1]:8025",
            "[::1]",
            "192.0.2.7",
            "192.0.2.7:99",
            "mail.example.jp",
            "mail.example.jp.:8443",
        ] {
            assert!(front.0.is_our_name(host, local), "{host}");
        }
        for host in [
            "",
            ":8025",
            "evil.example",
            "evil.example:8025",
            "mail.example.jp.evil.example",
            "192.0.2.8",
            "localhost:x",
            "localhost:123456",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[::2]",
            "a b",
        ] {
            assert!(!front.0.is_our_name(host, local), "{host}");
        }
    }
}
