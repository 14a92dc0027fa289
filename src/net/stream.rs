//! The connecting side of sockets: one stream type for plain TCP and TLS, with deadlines. [`super::server`] accepts.
//!
//! In: an address to connect to.  Out: [`Stream`], which reads and writes as `futures-io` has it.
//! Always: TCP_NODELAY (replies are single writes already); a read or write past its deadline is an
//! [`io::ErrorKind::TimedOut`]; an idle stream owns no read buffer: wait for [`Stream::readable`] first.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_io::{Async, Timer};
use futures_rustls::{TlsConnector, client};
use smol::{
    future::FutureExt,
    io::{AsyncRead, AsyncWrite},
};

use super::{
    deadline::{Deadlines, Watched},
    failure,
    tls::{self, ClientTls},
};

/// A TCP connection, plain or under TLS.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
    deadlines: Deadlines,
}

#[derive(Debug)]
enum Inner {
    Plain(Socket),
    Client(Box<client::TlsStream<Socket>>),
}

/// The socket below, shared with the sweep of deadlines.
#[derive(Debug, Clone)]
struct Socket(Arc<Watched>);

impl Stream {
    /// Connects, from `source` if given, within `within`.
    pub async fn connect(
        to: SocketAddr,
        source: Option<IpAddr>,
        within: Duration,
        deadlines: &Deadlines,
    ) -> io::Result<Self> {
        let connected = async { open(to, source).await };
        let late = async {
            Timer::after(within).await;
            Err(io::Error::from(io::ErrorKind::TimedOut))
        };
        Ok(Self::new(connected.or(late).await?, deadlines))
    }

    fn new(io: Async<TcpStream>, deadlines: &Deadlines) -> Self {
        // Without it the stream is slower, not wrong.
        let _ = io.get_ref().set_nodelay(true);
        Stream { inner: Inner::Plain(Socket(deadlines.watch(io))), deadlines: deadlines.clone() }
    }

    /// Reads and writes from now on fail once this much time has passed; `None`: they wait for ever.
    pub fn set_deadline(&self, within: Option<Duration>) {
        self.deadlines.set(&self.socket().0, within);
    }

    /// The deadline passed, or the sockets were cut.
    pub fn expired(&self) -> bool {
        self.socket().0.expired()
    }

    /// The client's handshake with the named host; the stream is lost when it fails.
    ///
    /// # Errors
    /// The system's or the TLS library's words, the certificate's fault included; [`tls::failure_of`] tells which kind it
    /// is. Words that start with `peer is incompatible: ` say that the peer speaks no TLS that we do.
    pub async fn into_tls_client(self, tls: &ClientTls, host: &str) -> io::Result<Self> {
        let name = tls::server_name(tls, host, self.peer_addr()?.ip()).map_err(io::Error::other)?;
        let Inner::Plain(socket) = self.inner else {
            return Err(io::Error::other("the connection is under TLS already"));
        };
        let watched = socket.0.clone();
        let connector = TlsConnector::from(tls.config.clone());
        let stream = connector.connect(name, socket).await.map_err(|e| failure::in_words(named(e, &watched)))?;
        Ok(Stream { inner: Inner::Client(Box::new(stream)), deadlines: self.deadlines })
    }

    /// Returns when a read would give something, an end or an error included.
    pub async fn readable(&mut self) -> io::Result<()> {
        let decrypted = match &mut self.inner {
            Inner::Plain(_) => 0,
            Inner::Client(s) => s.get_mut().1.process_new_packets().map_or(1, |io| io.plaintext_bytes_to_read()),
        };
        if decrypted > 0 {
            return Ok(());
        }
        self.socket().0.io.readable().await
    }

    /// TLS is on.
    pub fn is_tls(&self) -> bool {
        !matches!(self.inner, Inner::Plain(_))
    }

    /// Protocol and cipher, and whether the peer's certificate was checked; empty in clear. See [`tls::describe`].
    pub fn describe_tls(&self, verified: bool) -> String {
        match &self.inner {
            Inner::Plain(_) => String::new(),
            Inner::Client(s) => tls::describe(s.get_ref().1, verified),
        }
    }

    /// The other side.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket().0.io.get_ref().peer_addr()
    }

    /// Our side.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket().0.io.get_ref().local_addr()
    }

    fn socket(&self) -> &Socket {
        match &self.inner {
            Inner::Plain(s) => s,
            Inner::Client(s) => s.get_ref().0,
        }
    }
}

/// A non-blocking connect from a chosen address.
pub(super) async fn open(to: SocketAddr, source: Option<IpAddr>) -> io::Result<Async<TcpStream>> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if let Some(source) = source {
        bind(&socket, &SocketAddr::new(source, 0))?;
    }
    match connect(&socket, &to) {
        Ok(()) => {}
        Err(rustix::io::Errno::INPROGRESS) => {}
        Err(e) => return Err(e.into()),
    }
    let io = Async::new_nonblocking(TcpStream::from(socket))?;
    io.writable().await?;
    match io.get_ref().take_error()? {
        Some(e) => Err(e),
        None => Ok(io),
    }
}

/// A socket that the sweep shut down fails by its deadline, whatever the system calls it.
fn named(e: io::Error, socket: &Watched) -> io::Error {
    if socket.expired() { io::ErrorKind::TimedOut.into() } else { e }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut &self.0.io).poll_read(cx, buf) {
            Poll::Ready(Ok(0)) if self.0.expired() => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Ready(Err(e)) => Poll::Ready(Err(named(e, &self.0))),
            other => other,
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &self.0.io).poll_write(cx, buf).map_err(|e| named(e, &self.0))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &self.0.io).poll_write_vectored(cx, bufs).map_err(|e| named(e, &self.0))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &self.0.io).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &self.0.io).poll_close(cx)
    }
}

/// Calls the same method of whichever stream it is.
macro_rules! either {
    ($self:expr, $s:ident => $call:expr) => {
        match &mut $self.get_mut().inner {
            Inner::Plain(s) => {
                let $s = Pin::new(s);
                $call
            }
            Inner::Client(s) => {
                let $s = Pin::new(s.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        either!(self, s => s.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, s => s.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, s => s.poll_write_vectored(cx, bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, s => s.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, s => s.poll_close(cx))
    }
}

/// The error speaks about this machine (file limit, source address, no network), not about the peer.
pub fn is_our_trouble(e: &io::Error) -> bool {
    use rustix::io::Errno;
    const OURS: [Errno; 11] = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
        Errno::ADDRINUSE,
        Errno::ACCESS,
        Errno::PERM,
        Errno::AFNOSUPPORT,
        Errno::NETUNREACH,
        Errno::NETDOWN,
    ];
    e.raw_os_error().is_some_and(|raw| OURS.iter().any(|errno| errno.raw_os_error() == raw))
}

/// The address that this machine would come from towards another; sends nothing.
///
/// # Errors
/// The system's, where there is no route.
pub fn source_towards(to: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use smol::{
        future::zip,
        io::{AsyncReadExt, AsyncWriteExt},
    };

    use super::*;
    use crate::{
        clock::{Clock, Timestamp},
        net::server::{ServerStream, Socket as Accepted},
        runtime::Runtime,
    };

    /// Two ends of a connection over loopback.
    async fn pair(deadlines: &Deadlines) -> (Stream, Accepted) {
        let listener = Async::<std::net::TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a port");
        let to = listener.get_ref().local_addr().expect("bound");
        let (client, server) =
            zip(Stream::connect(to, None, Duration::from_secs(5), deadlines), listener.accept()).await;
        (client.expect("connects"), Accepted::new(server.expect("accepts").0))
    }

    fn deadlines(clock: &Clock) -> Deadlines {
        let runtime = Runtime::start(1).expect("threads");
        Deadlines::start_with_tick(&runtime, clock.clone(), Duration::from_millis(20))
    }

    #[test]
    fn a_silent_peer_is_a_time_out_once_the_deadline_has_passed_and_not_before() {
        let clock = Clock::manual(Timestamp::from_millis(1));
        let deadlines = deadlines(&clock);
        smol::block_on(async {
            let (mut client, mut server) = pair(&deadlines).await;
            client.set_deadline(Some(Duration::from_secs(300)));
            clock.advance(Duration::from_secs(299));
            Timer::after(Duration::from_millis(100)).await;
            server.write_all(b"x").await.expect("written");
            assert_eq!(client.read(&mut [0; 8]).await.expect("in time"), 1);
            client.set_deadline(Some(Duration::from_secs(300)));
            clock.advance(Duration::from_secs(301));
            let late = client.read(&mut [0; 8]).await.map_err(|e| e.kind());
            assert_eq!(late, Err(io::ErrorKind::TimedOut));
            assert!(client.expired());
        });
    }

    #[test]
    fn a_cut_ends_every_wait_at_once_and_those_to_come() {
        let clock = Clock::system();
        let deadlines = deadlines(&clock);
        smol::block_on(async {
            let (mut client, server) = pair(&deadlines).await;
            deadlines.cut();
            assert_eq!(client.read(&mut [0; 8]).await.map_err(|e| e.kind()), Err(io::ErrorKind::TimedOut));
            drop(server);
            let (mut late, _server) = pair(&deadlines).await;
            assert!(late.read(&mut [0; 8]).await.is_err());
        });
    }

    #[test]
    fn both_sides_of_tls_talk_and_what_is_decrypted_counts_as_readable() {
        let made = rcgen::generate_simple_self_signed(["mx.test".to_owned()]).expect("a certificate");
        let dir = std::env::temp_dir().join(format!("hikyaku-stream-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&cert, made.cert.pem()).expect("written");
        fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        let server_config = tls::ReloadableServerConfig::load(&cert, &key).expect("a good pair");
        let _ = fs::remove_dir_all(dir);
        let roots = tls::Trust::Roots(vec![made.cert.der().to_vec()]);
        let clock = Clock::system();
        let deadlines = deadlines(&clock);
        for (trust, host, works) in [
            (tls::Trust::Anybody, "not_a_certificate_name!", true),
            (roots.clone(), "mx.test", true),
            (roots, "other.test", false),
        ] {
            let client_tls = tls::client_config(trust).expect("a configuration");
            smol::block_on(async {
                let (client, server) = pair(&deadlines).await;
                let start = ServerStream::start_tls(server, &server_config);
                let (Ok(mut client), Ok((server, agreed))) =
                    zip(client.into_tls_client(&client_tls, host), start).await
                else {
                    assert!(!works, "{host}");
                    return;
                };
                assert!(works && client.is_tls());
                let word = if client_tls.is_checked() { " verified" } else { " unverified" };
                assert!(client.describe_tls(client_tls.is_checked()).ends_with(word));
                assert!(agreed.starts_with("TLSv1.3 TLS13_"));
                let mut server = server;
                server.send(&[7; 10]).await.expect("sent");
                // One octet at a time: nine stay decrypted, and no more comes over the wire.
                for _ in 0..10 {
                    client.readable().await.expect("readable");
                    assert_eq!(client.read(&mut [0; 1]).await.expect("read"), 1);
                }
                client.write_all(&[7; 10]).await.expect("written");
                client.flush().await.expect("flushed");
                let mut got = [0; 16];
                let n = std::future::poll_fn(|cx| server.poll_receive(cx, &mut got)).await.expect("read");
                assert_eq!(got[..n], [7; 10]);
            });
        }
    }

    #[test]
    fn our_own_trouble_is_told_from_the_peers() {
        for (raw, ours) in [(24, true), (99, true), (101, true), (111, false), (113, false), (104, false)] {
            assert_eq!(is_our_trouble(&io::Error::from_raw_os_error(raw)), ours, "{raw}");
        }
    }
}
