//! One question to the resolvers: over UDP from a fresh socket, over TCP when the answer is cut.
//!
//! In: servers, a name and type.  Out: what the answer says, or that nobody answered.
//! Always: a new random port and id each time; tries, servers and waiting are bounded; what is not the answer to this
//! very question is passed over until the time is up.
//! Sources: RFC 5452 §9, RFC 7766 §5.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use async_io::{Async, Timer};
use aws_lc_rs::rand;
use smol::{
    future::FutureExt,
    io::{AsyncReadExt, AsyncWriteExt},
};

use super::{
    DnsError,
    wire::{self, Reply, Type, Useless},
};
use crate::metrics::Metrics;

/// Datagrams that are not the answer and still waited past, for each query: a flood must not keep us busy.
const STRAY_DATAGRAMS_MAX: usize = 100;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The wait of each round over all servers; as many rounds as entries.
    pub(super) rounds: [Duration; 3],
    /// For a question by TCP, the connection included.
    pub(super) tcp: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { rounds: [2, 3, 5].map(Duration::from_secs), tcp: Duration::from_secs(5) }
    }
}

pub(super) struct Exchange<'a> {
    pub(super) servers: &'a [SocketAddr],
    pub(super) patience: &'a Patience,
    pub(super) metrics: &'a Metrics,
    /// They are resolvers; else servers that tell what they have themselves.
    pub(super) recursive: bool,
}

impl Exchange<'_> {
    /// Asks server after server, round after round, until one answers; says which did.
    pub(super) async fn query(&self, name: &str, kind: Type) -> Result<(Reply, SocketAddr), DnsError> {
        let mut silence = None;
        let mut refusal = None;
        for wait in self.patience.rounds {
            for server in self.servers {
                match self.ask(*server, name, kind, wait).await {
                    Ok(reply) => return Ok((reply, *server)),
                    Err(Trouble::Refused(what)) => refusal = Some(what),
                    Err(Trouble::Silent(what) | Trouble::NoWay(what)) => silence = Some(format!("{server}: {what}")),
                }
            }
            // Every server says that it cannot tell: asking again at once would not change that.
            if silence.is_none() {
                break;
            }
        }
        Err(match (refusal, silence) {
            (Some(what), _) => DnsError::Servfail(what),
            (None, Some(what)) => DnsError::Timeout(what),
            (None, None) => DnsError::Timeout("no resolver is configured".into()),
        })
    }

    /// Asks one server once, and once more by TCP if the answer was cut.
    pub(super) async fn ask(
        &self,
        server: SocketAddr,
        name: &str,
        kind: Type,
        wait: Duration,
    ) -> Result<Reply, Trouble> {
        for edns in [true, false] {
            let id = random_u16()?;
            let Some(query) = wire::query(id, name, kind, edns, self.recursive) else {
                return Err(Trouble::Refused("not a domain name".into()));
            };
            self.metrics.dns_queries.one();
            match within(wait, udp(server, &query, id, name, kind)).await? {
                Ok(answer) => return Ok(answer),
                Err(Useless::NoEdns) if edns => continue,
                Err(Useless::Truncated) => {
                    self.metrics.dns_queries.one();
                    return match within(self.patience.tcp, tcp(server, &query)).await? {
                        Ok(octets) => wire::read(&octets, id, name, kind).map_err(Trouble::from),
                        Err(e) => Err(e.into()),
                    };
                }
                Err(useless) => return Err(useless.into()),
            }
        }
        Err(Trouble::Refused("FORMERR".into()))
    }
}

/// Why one server gave no answer.
pub(super) enum Trouble {
    /// It says that it cannot.
    Refused(String),
    /// Nothing came.
    Silent(String),
    /// This machine has no way there: no address of that family, no route.
    NoWay(String),
}

impl From<Useless> for Trouble {
    fn from(useless: Useless) -> Self {
        match useless {
            Useless::Refused(what) => Trouble::Refused(what),
            Useless::NoEdns => Trouble::Refused("FORMERR".into()),
            Useless::NotOurs => Trouble::Silent("only strangers' answers came".into()),
            Useless::Truncated => Trouble::Silent("a cut answer by TCP".into()),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => Trouble::NoWay(e.to_string()),
            // EAFNOSUPPORT, which has no kind of its own: IPv6 is switched off.
            _ if e.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => {
                Trouble::NoWay(e.to_string())
            }
            _ => Trouble::Silent(e.to_string()),
        }
    }
}

async fn within<T>(wait: Duration, work: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
    let late = async {
        Timer::after(wait).await;
        Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
    };
    work.or(late).await.map_err(Trouble::from)
}

async fn udp(server: SocketAddr, query: &[u8], id: u16, name: &str, kind: Type) -> io::Result<Result<Reply, Useless>> {
    // Port 0 makes the kernel choose one at random, which an off-path forger has to guess beside the id.
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = Async::<UdpSocket>::bind((any, 0))?;
    // A connected socket takes datagrams of that server only.
    socket.get_ref().connect(server)?;
    socket.send(query).await?;
    let mut octets = vec![0; usize::from(wire::UDP_OCTETS_MAX)];
    for _ in 0..STRAY_DATAGRAMS_MAX {
        let n = socket.recv(&mut octets).await?;
        match wire::read(&octets[..n], id, name, kind) {
            Err(Useless::NotOurs) => {}
            answer => return Ok(answer),
        }
    }
    Ok(Err(Useless::NotOurs))
}

async fn tcp(server: SocketAddr, query: &[u8]) -> io::Result<io::Result<Vec<u8>>> {
    let mut stream = Async::<TcpStream>::connect(server).await?;
    let len = u16::try_from(query.len()).map_err(io::Error::other)?;
    let mut framed = len.to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    stream.write_all(&framed).await?;
    let mut len = [0; 2];
    stream.read_exact(&mut len).await?;
    let mut octets = vec![0; usize::from(u16::from_be_bytes(len))];
    Ok(stream.read_exact(&mut octets).await.map(|()| octets))
}

fn random_u16() -> Result<u16, Trouble> {
    let mut octets = [0; 2];
    rand::fill(&mut octets).map_err(|_| Trouble::Silent("the system gives no random numbers".into()))?;
    Ok(u16::from_be_bytes(octets))
}
