//! Mail that comes in is posted to a program, once for each address: nothing that was answered 250 is lost, whatever the program
//! answers and however the daemon ends; and what is taken is what the program gets, octet for octet.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::support::{Client, Config, Relay, Sink, client::letter, place, until};

/// A program that is posted to, on a port of its own.
struct Program {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Posted>>>,
    asked: Arc<AtomicUsize>,
}

/// A post that was taken.
#[derive(Clone, Debug)]
struct Posted {
    head: String,
    body: Vec<u8>,
}

impl Posted {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    fn field(&self, name: &str) -> String {
        let named = self.head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)));
        named.map_or_else(String::new, |(_, value)| value.to_owned())
    }

    /// The parts of a form: name, file name, octets.
    fn form(&self) -> Vec<(String, String, Vec<u8>)> {
        let boundary = self.field("Content-Type").split_once("boundary=").expect("a form").1.to_owned();
        let line = format!("--{boundary}");
        let mut parts = Vec::new();
        let mut rest = &self.body[..];
        while let Some(at) = find(rest, line.as_bytes()) {
            rest = &rest[at + line.len()..];
            let Some(part) = rest.strip_prefix(b"\r\n") else { break };
            let end = find(part, format!("\r\n{line}").as_bytes()).expect("another boundary");
            let head_end = find(&part[..end], b"\r\n\r\n").expect("a head");
            let head = String::from_utf8(part[..head_end].to_vec()).expect("UTF-8");
            let value = |key: &str| {
                let found = head.split_once(&format!("{key}=\"")).map(|(_, rest)| rest.split('"').next().unwrap());
                found.unwrap_or_default().to_owned()
            };
            parts.push((value("; name"), value("filename"), part[head_end + 4..end].to_vec()));
            rest = &part[end..];
        }
        parts
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

impl Program {
    /// Answers the nth post, counted from 0, with a status; 0: never.
    fn start(answer: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((place::address(), 0)).expect("a port");
        let program =
            Program { address: listener.local_addr().expect("bound"), got: Arc::default(), asked: Arc::default() };
        let (got, asked, answer) = (program.got.clone(), program.asked.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (got, asked, answer) = (got.clone(), asked.clone(), answer.clone());
                thread::spawn(move || serve(&stream, &got, &asked, &*answer));
            }
        });
        program
    }

    fn got(&self) -> Vec<Posted> {
        self.got.lock().unwrap().clone()
    }

    fn wait(&self, n: usize) -> Vec<Posted> {
        until(&format!("{n} posts"), || {
            let got = self.got();
            (got.len() >= n).then_some(got)
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// `[[inbound.webhook]]` that posts here.
    fn hook(&self, name: &str, more: &str) -> String {
        format!("[[inbound.webhook]]\nname = \"{name}\"\nurl = \"http://{}/in?token=hidden\"\n{more}\n", self.address)
    }
}

fn serve(stream: &TcpStream, got: &Mutex<Vec<Posted>>, asked: &AtomicUsize, answer: &dyn Fn(usize) -> u16) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let posted = Posted { head, body: Vec::new() };
        let mut body = vec![0; posted.field("Content-Length").parse().expect("a length")];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let status = answer(asked.fetch_add(1, Ordering::SeqCst));
        if status == 0 {
            thread::sleep(Duration::from_secs(60));
            return;
        }
        if (200..300).contains(&status) {
            got.lock().unwrap().push(Posted { body, ..posted });
        }
        let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 12\r\n\r\nsecret words");
        if (&mut &*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn with_inbound(config: Config) -> (Config, SocketAddr) {
    let inbound = SocketAddr::from((place::address(), 2525));
    let config = config.listener(&format!("address = \"{inbound}\"\nrole = \"inbound\""));
    (config.set("inbound.addresses", "[\"@in.src.test\"]"), inbound)
}

fn come_in(to: SocketAddr, from: &str, recipients: &[&str], mail: &[u8]) {
    let mut client = Client::hello(to);
    client.envelope(from, recipients);
    client.data(mail).expect("250");
    client.write(b"QUIT\r\n");
}

/// A Japanese mail as an office writes it: JIS text, an HTML part, a PDF and a file with a Japanese name.
fn japanese(pdf: &[u8]) -> Vec<u8> {
    let base64 = BASE64_STANDARD.encode(pdf);
    let lines: Vec<&str> = base64.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let mut mail = b"From: =?ISO-2022-JP?B?GyRCSHQ1UxsoQg==?= <taro@them.test>\r\nTo: support@in.src.test\r\n\
        Subject: =?ISO-2022-JP?B?GyRCTGQkJDlnJG8kOxsoQg==?=\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\
        Content-Type: text/plain; charset=ISO-2022-JP\r\n\r\n\x1b$BHt5S\x1b(B\r\nline 2\r\n\r\n--a\r\n\
        Content-Type: text/html; charset=Shift_JIS\r\n\r\n<p>\x94\xf2\x8br</p>\r\n--a--\r\n--m\r\n\
        Content-Type: application/pdf; name=\"=?UTF-8?B?6KuL5rGC5pu4LnBkZg==?=\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        .to_vec();
    mail.extend(lines.join("\r\n").bytes());
    mail.extend(b"\r\n--m\r\nContent-Type: text/csv; name=\"a.csv\"\r\nContent-Disposition: attachment\r\n\r\na,b\r\n1,2\r\n\r\n--m--\r\n");
    mail
}

/// An octet sequence that looks like nothing else.
fn octets(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn json_holds_cmcs_fields_and_every_address_gets_a_post() {
    let (program, all) = (Program::start(|_| 200), Program::start(|_| 204));
    let hooks = format!(
        "{}{}",
        program.hook(
            "Tickets",
            "addresses = ['^support@']\napi_key = \"hook-secret\"\nsigning_key = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\""
        ),
        all.hook("all", "")
    );
    let (config, inbound) = with_inbound(Config::sandbox().text(&hooks).set("server.composition", "\"office\""));
    let relay = Relay::start(config);
    come_in(inbound, "taro@them.test", &["Support@in.src.test", "other@in.src.test"], &japanese(&octets(5_000)));
    let posted = program.wait(1);
    let json = posted[0].json();
    let keys: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut expected = [
        "api_key",
        "server_composition",
        "filter",
        "headers",
        "subject",
        "text",
        "html",
        "envelope-from",
        "envelope-to",
        "attachments",
    ];
    expected.sort_unstable();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    for (key, value) in [
        ("api_key", "hook-secret"),
        ("server_composition", "office"),
        ("filter", "Tickets"),
        ("subject", "問い合わせ"),
        ("text", "飛脚\r\nline 2\r\n"),
        ("html", "<p>飛脚</p>"),
        ("envelope-from", "taro@them.test"),
        ("envelope-to", "Support@in.src.test"),
    ] {
        assert_eq!(json[key], value, "{key}");
    }
    assert_eq!(json["attachments"], 2);
    let headers = json["headers"].as_array().expect("an array");
    let header =
        |name: &str| headers.iter().find(|h| h["name"] == name).map(|h| h["value"].as_str().unwrap().to_owned());
    assert_eq!(header("From").as_deref(), Some("飛脚 <taro@them.test>"));
    assert!(header("Received").expect("ours").contains("client.test"), "{headers:?}");
    assert_eq!(posted[0].field("Content-Type"), "application/json");
    assert!(posted[0].field("webhook-signature").starts_with("v1,"), "{}", posted[0].head);
    assert!(posted[0].head.starts_with("POST /in?token=hidden HTTP/1.1\r\n"));

    let to: Vec<String> = all.wait(2).iter().map(|p| p.json()["envelope-to"].as_str().unwrap().to_owned()).collect();
    assert!(to.contains(&"Support@in.src.test".to_owned()) && to.contains(&"other@in.src.test".to_owned()), "{to:?}");
    assert!(all.got()[0].json().get("api_key").is_none() && all.got()[0].field("webhook-signature").is_empty());
    // The log names the webhook as the destination; the sandbox, which delivers mail here, saw none of it.
    let delivered = relay.wait_events("succeeded", "Support@in.src.test", 2);
    assert!(delivered.iter().any(|e| format!("{e:?}").contains("webhook/tickets")), "{delivered:?}");
    assert_eq!((program.asked(), all.asked()), (1, 2));
    assert!(!relay.log().contains("token=hidden"));
}

#[test]
fn a_form_holds_the_attachments_octet_for_octet_and_large_mail_fits() {
    let program = Program::start(|_| 200);
    let (config, inbound) = with_inbound(Config::sandbox().text(&program.hook("files", "format = \"multipart\"")));
    let relay = Relay::start(config.set("server.memory_limit", "\"256MiB\""));
    for (n, len) in [3_000, 13 << 20].into_iter().enumerate() {
        let pdf = octets(len);
        come_in(inbound, "", &["support@in.src.test"], &japanese(&pdf));
        let posted = program.wait(n + 1)[n].clone();
        let form = posted.form();
        let names: Vec<&str> = form.iter().map(|(name, ..)| name.as_str()).collect();
        let expected = [
            "server_composition",
            "filter",
            "headers",
            "subject",
            "text",
            "html",
            "envelope-from",
            "envelope-to",
            "attachments",
            "attachment1",
            "attachment2",
        ];
        assert_eq!(names, expected);
        let text = |n: usize| String::from_utf8_lossy(&form[n].2).into_owned();
        assert_eq!(
            (text(3), text(4), text(5)),
            ("問い合わせ".into(), "飛脚\r\nline 2\r\n".into(), "<p>飛脚</p>".into())
        );
        assert_eq!((text(6), text(8)), (String::new(), "2".into()));
        let headers: Value = serde_json::from_slice(&form[2].2).expect("JSON text");
        assert!(
            headers.as_array().expect("an array").iter().any(|h| h["name"] == "Subject" && h["value"] == "問い合わせ")
        );
        assert_eq!(form[9].1, "請求書.pdf");
        assert!(form[9].2 == pdf, "the PDF of {len} octets differs");
        assert_eq!((form[10].1.as_str(), form[10].2.as_slice()), ("a.csv", &b"a,b\r\n1,2\r\n"[..]));
    }
    relay.wait_events("succeeded", "support@in.src.test", 2);
}

#[test]
fn what_was_taken_is_posted_after_a_kill_and_after_failures() {
    // Down at first, then in trouble, then well.
    let down = TcpListener::bind((place::address(), 0)).expect("a port");
    let address = down.local_addr().expect("bound");
    drop(down);
    let hook = format!("[[inbound.webhook]]\nname = \"late\"\nurl = \"http://{address}/\"\n");
    let (config, inbound) = with_inbound(Config::sandbox().text(&hook));
    let mut relay = Relay::start(config);
    for n in 0..5 {
        come_in(
            inbound,
            "a@them.test",
            &[&format!("box{n}@in.src.test")],
            letter(&format!("mail {n}"), "x\r\n").as_bytes(),
        );
    }
    relay.kill();
    let program = Program::start(|n| [404, 503, 429, 200][n.min(3)]);
    let moved = program.hook("late", "");
    relay.reconfigure(|config| {
        let mut config = config;
        config = config.set("queue.lifetime", "\"1h\"");
        config.replace(&hook, &moved)
    });
    relay.restart();
    for n in 0..5 {
        let address = format!("box{n}@in.src.test");
        relay.wait_event("succeeded", &address);
    }
    let mut subjects: Vec<String> =
        program.got().iter().map(|p| p.json()["subject"].as_str().unwrap().to_owned()).collect();
    subjects.sort();
    assert_eq!(subjects, ["mail 0", "mail 1", "mail 2", "mail 3", "mail 4"], "each once");
    let deferred = relay.deliveries().into_iter().filter(|e| e.kind() == "deferred").count();
    assert!(deferred >= 3, "{deferred}");
    let told = format!("{:?}", relay.deliveries());
    assert!(told.contains("HTTP 503") && !told.contains("secret words"));
    assert!(relay.log().contains("secret words"), "the journal has the program's words");
}

#[test]
fn mail_that_no_program_takes_goes_back_to_its_sender() {
    let program = Program::start(|n| if n == 0 { 410 } else { 500 });
    let sink = Sink::willing();
    let (config, inbound) = with_inbound(Config::smarthost(sink.address()).text(&program.hook("broken", "")));
    let config = config.set("suppression.thresholds.rejected", "1").set("suppression.thresholds.resend_timeout", "1");
    let relay = Relay::start(config.set("queue.lifetime", "\"3s\""));
    come_in(inbound, "gone@them.test", &["one@in.src.test"], letter("refused", "x\r\n").as_bytes());
    let bounce = sink.wait_for_recipient("gone@them.test");
    assert_eq!(bounce.sender, "");
    assert!(bounce.text().contains("one@in.src.test") && bounce.text().contains("410"), "{}", bounce.text());
    come_in(inbound, "late@them.test", &["two@in.src.test"], letter("expired", "x\r\n").as_bytes());
    come_in(inbound, "", &["three@in.src.test"], letter("from nobody", "x\r\n").as_bytes());
    let bounce = sink.wait_for_recipient("late@them.test").text();
    assert!(bounce.contains("HTTP 500"), "{bounce}");
    for inside in ["secret words", "token=hidden", &program.address.to_string()] {
        assert!(!bounce.contains(inside), "a stranger reads {inside}: {bounce}");
    }
    relay.wait_event("failed", "three@in.src.test");
    assert_eq!(sink.received().len(), 2, "the null sender hears nothing");
    let list = relay.cli(&["suppress", "list", "--json"]);
    assert!(!list.stdout.contains("in.src.test"), "{list:?}");
}

#[test]
fn addresses_without_a_program_are_refused_and_a_slow_one_holds_up_nobody() {
    let (slow, quick) = (Program::start(|_| 0), Program::start(|_| 200));
    let hooks = format!(
        "{}{}",
        slow.hook("slow", "addresses = ['^slow@']\ntimeout = \"30s\""),
        quick.hook("quick", "addresses = ['^quick@']")
    );
    let (config, inbound) = with_inbound(Config::sandbox().text(&hooks));
    let mut relay = Relay::start(config);
    let mail = letter("x", "x\r\n");
    for _ in 0..10 {
        come_in(inbound, "a@them.test", &["slow@in.src.test"], mail.as_bytes());
    }
    until("posts to the slow one", || (slow.asked() > 0).then_some(()));
    for _ in 0..10 {
        come_in(inbound, "a@them.test", &["quick@in.src.test"], mail.as_bytes());
    }
    quick.wait(10);
    assert!(slow.asked() <= 4, "connections_max: {}", slow.asked());
    let mut client = Client::hello(inbound);
    client.say("MAIL FROM:<a@them.test>").expect("250");
    client.say("RCPT TO:<nobody@in.src.test>").expect("550 5.1.1");
    client.say("RCPT TO:<x@elsewhere.test>").expect("550 5.7.1");
    let queue = relay.cli(&["queue", "list", "--destination", "webhook/slow"]);
    assert!(queue.stdout.contains("slow@in.src.test"), "{queue:?}");
    let shown = relay.cli(&["queue", "list", "--json"]);
    assert_eq!(shown.stdout.lines().count(), 10, "{shown:?}");
    // A stop does not wait for the slow one's time-out, and loses nothing.
    relay.stop();
    relay.restart();
    assert_eq!(relay.cli(&["queue", "list", "--json"]).stdout.lines().count(), 10);
}
