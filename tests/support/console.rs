//! The console over HTTP, as a browser uses it: cookies, forms with their token, redirects.
//!
//! Always: the administrator is made by the command line; every form that is sent is one that was on a page before.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::{Relay, cli, daemon::Answer};

/// The group administrator that [`Browser::administrator`] makes.
pub const ADMIN: &str = "admin@console.test";
/// Its password, and that of everybody whom [`add_person`] adds.
pub const PASSWORD: &str = "correct horse battery";
/// How long an answer may take: a wrong password is answered late.
const ANSWER_LIMIT: Duration = Duration::from_secs(40);
/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;

/// Makes a console user with [`PASSWORD`]. `role`: `group-administrator`, `user`, `report-viewer`.
#[track_caller]
pub fn add_person(relay: &Relay, name: &str, role: &str) {
    let config = relay.config_path();
    let config = config.to_str().expect("the place's path is text");
    let words = ["user", "add", name, "--console", "--role", role, "--password-file", "-", "--config", config];
    cli::run(&words, relay.place.dir(), PASSWORD.as_bytes()).expect_done();
}

/// A browser with a cookie jar.
#[derive(Clone, Debug)]
pub struct Browser {
    at: SocketAddr,
    cookies: BTreeMap<String, String>,
    /// Sent as `Accept-Language`.
    pub languages: String,
    /// The body of the last page: forms are looked for here.
    pub page: String,
}

impl Browser {
    /// Nobody is signed in.
    pub fn new(at: SocketAddr) -> Self {
        Browser { at, cookies: BTreeMap::new(), languages: "en".to_owned(), page: String::new() }
    }

    /// Makes [`ADMIN`] the group administrator and signs it in.
    #[track_caller]
    pub fn administrator(relay: &Relay) -> Self {
        add_person(relay, ADMIN, "group-administrator");
        Browser::signed_in(relay.http(), ADMIN)
    }

    /// The same, who may download as well.
    pub fn downloader(relay: &Relay) -> Self {
        let browser = Browser::administrator(relay);
        relay.cli(&["user", "set", ADMIN, "--permissions", "view,download"]).expect_done();
        browser
    }

    /// Signs somebody in who has [`PASSWORD`].
    #[track_caller]
    pub fn signed_in(at: SocketAddr, name: &str) -> Self {
        let mut browser = Browser::new(at);
        browser.sign_in(name, PASSWORD);
        assert!(browser.get("/me").body.contains(name), "{name} is not signed in: {}", browser.page);
        browser
    }

    /// Fills the sign-in form.
    #[track_caller]
    pub fn sign_in(&mut self, name: &str, password: &str) -> Answer {
        self.get("/sign-in");
        self.post("/sign-in", &[("name", name), ("password", password)])
    }

    /// A cookie's value; empty when there is none.
    pub fn cookie(&self, name: &str) -> &str {
        self.cookies.get(name).map_or("", String::as_str)
    }

    /// Puts a cookie into the jar.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// Where the console is.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// Asks for something long and answers its status when the first octets of its body are there; the rest is left.
    #[track_caller]
    pub fn first_octets(&mut self, path: &str) -> u16 {
        let jar: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nUser-Agent: Firefox/140.0 (test; Linux)\r\nCookie: {}\r\n\r\n",
            self.at,
            jar.join("; ")
        );
        let mut stream = TcpStream::connect_timeout(&self.at, Duration::from_secs(5)).expect("the console listens");
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a limit");
        stream.write_all(head.as_bytes()).expect("it reads");
        let (mut bytes, mut block) = (Vec::new(), [0; 4096]);
        let end = |bytes: &[u8]| bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        while end(&bytes).is_none_or(|end| bytes.len() <= end) {
            match stream.read(&mut block).expect("it answers") {
                0 => break,
                n => bytes.extend_from_slice(&block[..n]),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("GET {path}: {text}"))
    }

    /// Loads a page, following redirects.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        let answer = self.ask("GET", path, "", "");
        self.follow(answer)
    }

    /// The same, without following redirects, and without keeping the page.
    #[track_caller]
    pub fn look(&mut self, path: &str) -> Answer {
        self.ask("GET", path, "", "")
    }

    /// Sends a form of the page that was loaded last, with its token, and follows where it leads.
    #[track_caller]
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let answer = self.send(path, fields);
        self.follow(answer)
    }

    /// The same, without following.
    #[track_caller]
    pub fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.field("form-token");
        let mut all = vec![("form-token", token.as_str())];
        all.extend(fields);
        self.send_bare(path, &all)
    }

    /// Sends fields as they are, without a token, and without following.
    #[track_caller]
    pub fn send_bare(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> = fields.iter().map(|(n, v)| format!("{}={}", escaped(n), escaped(v))).collect();
        self.ask("POST", path, &body.join("&"), "")
    }

    /// Sends a file as the field `file` of a form of the page that was loaded last, with its token, and follows where it leads.
    #[track_caller]
    pub fn post_file(&mut self, path: &str, name: &str, text: &str) -> Answer {
        let token = self.field("form-token");
        let body = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"form-token\"\r\n\r\n{token}\r\n--edge\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/csv\r\n\r\n{text}\r\n--edge--\r\n"
        );
        let answer = self.ask("POST", path, &body, "Content-Type: multipart/form-data; boundary=edge\r\n");
        self.follow(answer)
    }

    /// The value of the first field of this name on the last page; empty when there is none.
    pub fn field(&self, name: &str) -> String {
        let sign = format!("name=\"{name}\" value=\"");
        let found = self.page.split_once(&sign).and_then(|(_, rest)| rest.split_once('"'));
        found.map_or_else(String::new, |(value, _)| value.replace("&amp;", "&"))
    }

    #[track_caller]
    fn follow(&mut self, mut answer: Answer) -> Answer {
        for _ in 0..REDIRECTS_MAX {
            let Some(to) = header(&answer, "location").filter(|_| answer.status == 303) else { break };
            answer = self.ask("GET", &to, "", "");
        }
        self.page.clone_from(&answer.body);
        answer
    }

    /// One request; keeps what it sets. `more`: header lines beside ours.
    #[track_caller]
    pub fn ask(&mut self, method: &str, path: &str, body: &str, more: &str) -> Answer {
        let jar: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie = if jar.is_empty() { String::new() } else { format!("Cookie: {}\r\n", jar.join("; ")) };
        let form = match method {
            "POST" if more.contains("Content-Type: ") => format!("Content-Length: {}\r\n", body.len()),
            "POST" => {
                format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", body.len())
            }
            _ => String::new(),
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept-Language: {}\r\nUser-Agent: Firefox/140.0 (test; Linux)\r\n{cookie}{form}{more}\r\n{body}",
            self.at, self.languages
        );
        let mut stream = TcpStream::connect_timeout(&self.at, Duration::from_secs(5)).expect("the console listens");
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a limit");
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {text}"));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
        for line in answer.head.lines() {
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("set-cookie")
                && let Some((name, value)) = value.split(';').next().unwrap_or_default().split_once('=')
            {
                if line.contains("Max-Age=0") {
                    self.cookies.remove(name);
                } else {
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        answer
    }
}

/// The first value of a header.
pub fn header(answer: &Answer, name: &str) -> Option<String> {
    answer.head.lines().find_map(|line| {
        let (n, value) = line.split_once(": ")?;
        n.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(char::from(b)),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}
