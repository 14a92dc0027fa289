//! A web host for MTA-STS policies: TLS, one answer a connection, and a switch to take it away.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::ServerConfig;

use crate::support::{until, wire::Wire};

/// Lines of a request's head that are read.
const HEAD_LINES_MAX: usize = 64;

struct Shared {
    tls: Arc<ServerConfig>,
    /// Answers as they go out, head included, by the host asked for.
    answers: Mutex<BTreeMap<String, String>>,
    asked: AtomicUsize,
    stop: AtomicBool,
}

/// The host, until it is dropped.
pub struct PolicyHost {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl PolicyHost {
    /// Starts it.
    pub fn start(address: SocketAddr, tls: Arc<ServerConfig>) -> Self {
        let listener = until("the policy host's address", || TcpListener::bind(address).ok());
        let shared = Arc::new(Shared {
            tls,
            answers: Mutex::default(),
            asked: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let there = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if there.stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let there = there.clone();
                // A client that does not like our certificate hangs up: that is its right.
                thread::spawn(move || serve(stream, &there).unwrap_or_default());
            }
        });
        PolicyHost { address, shared }
    }

    /// What is answered to whoever asks for `mta-sts.<domain>`: a policy …
    pub fn policy(&self, domain: &str, policy: &str) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", policy.len());
        self.answer(domain, head + policy);
    }

    /// … or anything.
    pub fn answer(&self, domain: &str, answer: String) {
        self.shared.answers.lock().expect("no thread panics").insert(format!("mta-sts.{domain}"), answer);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for PolicyHost {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which then closes the listener.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut wire = Wire::new(stream)?;
    wire.accept_tls(shared.tls.clone())?;
    let request = String::from_utf8_lossy(&wire.line()?).into_owned();
    let mut host = String::new();
    for _ in 0..HEAD_LINES_MAX {
        let line = String::from_utf8_lossy(&wire.line()?).trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("host")
        {
            value.trim().clone_into(&mut host);
        }
    }
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let known = shared.answers.lock().expect("no thread panics").get(&host).cloned();
    let answer = known.filter(|_| request.starts_with("GET /.well-known/mta-sts.txt ")).unwrap_or_else(|| {
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n".to_owned()
    });
    wire.send(answer.as_bytes())
}
