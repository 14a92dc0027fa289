//! The real front and server over a made-up daemon, in a folder of its own: for tests with sockets.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_io::Async;

use crate::{
    clock::Clock,
    http::{
        exchange::{Request, Response},
        fake::Fake,
        front::{Front, Limits, Names, TlsAccept, bind_control},
        route::route,
        server::Server,
    },
    metrics::Metrics,
    runtime::{Runtime, Shutdown},
};

static RIGS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Rig {
    pub dir: PathBuf,
    pub addr: SocketAddr,
    pub server: Server,
    pub front: Front,
    pub fake: Arc<Fake>,
    pub metrics: Arc<Metrics>,
    shutdown: Shutdown,
}

/// Limits short enough for tests.
pub(crate) fn quick() -> Limits {
    Limits {
        idle: Duration::from_millis(600),
        head: Duration::from_millis(400),
        request: Duration::from_millis(700),
        answer: Duration::from_secs(2),
        write: Duration::from_millis(700),
        write_per_octet: Duration::from_micros(1),
        ..Limits::default()
    }
}

impl Rig {
    pub(crate) fn new(fake: Fake, limits: Limits) -> Self {
        Self::with(fake, limits, "127.0.0.1:0", None, |_| None)
    }

    /// `more` answers routes of the test's own first.
    pub(crate) fn with(
        fake: Fake,
        limits: Limits,
        address: &str,
        tls: Option<TlsAccept>,
        more: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let n = RIGS.fetch_add(1, Ordering::SeqCst);
        let dir = std::env::temp_dir().join(format!("hikyaku-http-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let (fake, metrics) = (Arc::new(fake), Arc::new(Metrics::default()));
        let daemon = fake.clone();
        let answer = Arc::new(move |request: &Request| more(request).unwrap_or_else(|| route(&*daemon, request)));
        let server = Server::start(&dir.join("http.sock"), answer, metrics.clone(), 4).expect("a server");
        let names = Names {
            public_url: "https://mail.example.jp".into(),
            proxy_networks: vec!["127.0.0.9/32".parse().expect("a network")],
            has_secrets: false,
        };
        let front = Front::new(server.upstream(), limits, names, Clock::system());
        let listener = Async::new(TcpListener::bind(address).expect("a port")).expect("async");
        let addr = listener.get_ref().local_addr().expect("bound");
        let control = bind_control(&dir.join("control.sock")).expect("a socket");
        let (runtime, shutdown) = (Runtime::start(1).expect("threads"), Shutdown::new());
        let (f, r, s) = (front.clone(), runtime.clone(), shutdown.clone());
        runtime.spawn("http-listener", async move { f.serve_tcp(listener, tls, r, s).await });
        let (r, s) = (runtime.clone(), shutdown.clone());
        let f = front.clone();
        runtime.spawn("control-listener", async move { f.serve_control(control, r, s).await });
        Rig { dir, addr, server, front, fake, metrics, shutdown }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("the front listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
        stream
    }

    /// Sends octets, reads until the front closes.
    pub(crate) fn raw(&self, octets: &[u8]) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(octets);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
    }

    pub(crate) fn cut(&self) {
        self.shutdown.cut();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.shutdown.cut();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
