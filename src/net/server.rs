//! The accepting side of sockets: listeners, and one stream type for clear text and TLS.
//!
//! Always: an idle stream owns no read buffer (the caller reads into a buffer of its thread); listening is prepared for
//! bursts; TCP_NODELAY is on, since replies are small and awaited.

use std::{
    io,
    net::{Shutdown as How, SocketAddr, TcpListener, TcpStream},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_io::Async;
use futures_rustls::server::TlsStream;
use smol::io::{AsyncRead, AsyncWrite};

use super::tls::{self, ReloadableServerConfig};

/// Connections that the kernel holds for us between two accepts.
const BACKLOG: i32 = 1024;

/// Opens a listening socket.
pub fn listen(address: SocketAddr) -> io::Result<Async<TcpListener>> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // `[::]` takes IPv6 alone, so that a listener on 0.0.0.0 can stand beside it.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Async::new(TcpListener::from(socket))
}

/// An accepted connection; clones share it, so that it can be closed from outside its session.
#[derive(Clone, Debug)]
pub struct Socket(Arc<Async<TcpStream>>);

impl Socket {
    /// Takes an accepted connection.
    pub fn new(stream: Async<TcpStream>) -> Self {
        // Without it replies are only slower.
        let _ = stream.get_ref().set_nodelay(true);
        Socket(Arc::new(stream))
    }

    /// Closes the input: the session reads what came and then the end.
    pub fn close_input(&self) {
        let _ = self.0.get_ref().shutdown(How::Read);
    }

    /// Closes both directions: reads and writes of the session end at once.
    pub fn close_both(&self) {
        let _ = self.0.get_ref().shutdown(How::Both);
    }

    /// Writes what the socket takes at once, and forgets the rest.
    pub fn send_now(&self, bytes: &[u8]) {
        use std::io::Write;
        let _ = (&mut self.0.get_ref()).write(bytes);
    }

    /// Our own address on this connection.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self.0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().shutdown(How::Write))
    }
}

/// A session's stream.
pub enum ServerStream {
    /// Clear text.
    Plain(Socket),
    /// TLS.
    Tls(Box<TlsStream<Socket>>),
}

impl ServerStream {
    /// Does the server's side of a handshake on a clear connection. Answers the stream and what was agreed, for Received.
    pub async fn start_tls(socket: Socket, config: &ReloadableServerConfig) -> io::Result<(Self, String)> {
        let stream = config.accept(socket).await?;
        let agreed = tls::protocol(stream.get_ref().1);
        Ok((ServerStream::Tls(Box::new(stream)), agreed))
    }

    /// Reads what has come into `buf`, once. In clear text the socket is asked first whether it is readable: in a dialogue
    /// the peer's next command is rarely here already, and the wasted read would be a system call each time.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        use std::io::Read;
        match self {
            ServerStream::Plain(socket) => loop {
                ready!(socket.0.poll_readable(cx))?;
                match (&mut socket.0.get_ref()).read(buf) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::Interrupted => {}
                    done => return Poll::Ready(done),
                }
            },
            ServerStream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }

    /// Writes all of `bytes`.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        use smol::io::AsyncWriteExt;
        match self {
            ServerStream::Plain(socket) => socket.write_all(bytes).await,
            ServerStream::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Says the end of our output (close_notify under TLS).
    pub async fn close(&mut self) {
        use smol::io::AsyncWriteExt;
        // The peer may be gone already; there is nobody to tell.
        let _ = match self {
            ServerStream::Plain(socket) => socket.close().await,
            ServerStream::Tls(stream) => stream.close().await,
        };
    }
}
