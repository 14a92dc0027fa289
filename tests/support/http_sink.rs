//! A host that takes POSTs over plain HTTP on loopback, with connections that are kept, and answers as the test says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::wait;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Which connection it came over, from 1.
    pub connection: usize,
    /// Path and query.
    pub path: String,
    /// Header fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// With which status it was answered.
    pub status: u16,
}

impl Posted {
    /// The value of a field; empty: it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// The fields of a form.
    pub fn form(&self) -> Vec<(String, String)> {
        let text = String::from_utf8(self.body.clone()).expect("a form is ASCII");
        text.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (decoded(n), decoded(v))).collect()
    }

    /// The rows of an event: those of `deliveries`, `bounces` or `blocks`.
    #[track_caller]
    pub fn rows(&self) -> Vec<Value> {
        let json = self.json();
        let kind = json["event_type"].as_str().expect("an event_type").to_owned();
        json["event"][&kind].as_array().expect("rows of the kind").clone()
    }
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut octets = text.bytes();
    while let Some(b) = octets.next() {
        match b {
            b'+' => out.push(b' '),
            b'%' => {
                let hex: Vec<u8> = octets.by_ref().take(2).collect();
                out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            }
            b => out.push(b),
        }
    }
    String::from_utf8(out).expect("UTF-8")
}

/// What it answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Lines of the head besides, each with its CRLF.
    pub lines: String,
    /// Before it.
    pub delay: Duration,
}

impl Reply {
    /// Only a status.
    pub fn status(status: u16) -> Self {
        Reply { status, lines: String::new(), delay: Duration::ZERO }
    }
}

type Script = Arc<Mutex<Box<dyn FnMut(&Posted) -> Reply + Send>>>;

/// The host.
pub struct HttpSink {
    address: SocketAddr,
    posts: Arc<Mutex<Vec<Posted>>>,
    script: Script,
}

impl HttpSink {
    /// One that answers 200.
    pub fn willing() -> Self {
        HttpSink::new(|_| Reply::status(200))
    }

    /// One that answers by a script.
    pub fn new(script: impl FnMut(&Posted) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let posts: Arc<Mutex<Vec<Posted>>> = Arc::default();
        let script: Script = Arc::new(Mutex::new(Box::new(script)));
        let sink = HttpSink { address, posts: posts.clone(), script: script.clone() };
        thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                let (posts, script) = (posts.clone(), script.clone());
                if let Ok(stream) = stream {
                    thread::spawn(move || serve(stream, n + 1, &posts, &script));
                }
            }
        });
        sink
    }

    /// From now on it answers so.
    pub fn answer(&self, script: impl FnMut(&Posted) -> Reply + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// Its URL with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that came, in order of its arrival.
    pub fn posts(&self) -> Vec<Posted> {
        self.posts.lock().unwrap().clone()
    }

    /// What was answered 2xx.
    pub fn taken(&self) -> Vec<Posted> {
        self.posts().into_iter().filter(|p| (200..300).contains(&p.status)).collect()
    }

    /// The rows of all posts that were answered 2xx, of this kind.
    pub fn rows(&self, kind: &str) -> Vec<Value> {
        self.taken().iter().filter(|p| p.json()["event_type"] == kind).flat_map(Posted::rows).collect()
    }

    /// Waits until the rows of this kind fulfil this.
    #[track_caller]
    pub fn wait_rows(&self, what: &str, kind: &str, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        wait::until(what, || {
            let rows = self.rows(kind);
            if done(&rows) {
                return Some(rows);
            }
            thread::sleep(Duration::from_millis(20));
            None
        })
    }
}

fn serve(stream: TcpStream, connection: usize, posts: &Mutex<Vec<Posted>>, script: &Script) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let _ = stream.set_nodelay(true);
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some(mut posted) = read(&mut reader, connection) {
        let reply = (script.lock().unwrap())(&posted);
        posted.status = reply.status;
        posts.lock().unwrap().push(posted);
        thread::sleep(reply.delay);
        let answer = format!("HTTP/1.1 {} x\r\n{}Content-Length: 2\r\n\r\nok", reply.status, reply.lines);
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<Posted> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        Some(line.trim_end().to_owned())
    };
    let request = line()?;
    let path = request.split(' ').nth(1)?.to_owned();
    assert!(request.starts_with("POST "), "{request}");
    let mut fields = Vec::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        fields.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let len = fields.iter().find(|(n, _)| n == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some(Posted { connection, path, fields, body, status: 0 })
}
