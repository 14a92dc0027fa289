//! A shop's relay on an ordinary morning: mail that went, waits, failed and was complained about; lists, webhooks, reports, users;
//! and among it what strangers sent to see whether somebody runs it.
//!
//! Always: everything on loopback; the same scene each time, but for the times.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

use hikyaku::{clock::Clock, when::day_name};

use crate::support::{
    Act, Client, Config, Dns, HttpSink, Received, Relay, Reply, Sink, Step, console, place, sink::Options, until,
};

/// The port of the destinations.
const PORT: u16 = 2525;
/// The key of the API users.
const KEY: &str = "correct-horse-battery-staple";

/// Subjects of strangers: markup, a change of direction, much of it, and nothing.
pub const HOSTILE: &[&str] = &[
    "<script>document.title='taken'</script><img src=x onerror=document.title='taken'>",
    "\"><svg onload=document.title='taken'>&lt;b&gt;",
    "invoice \u{202e}fdp.exe\u{202c} \u{2066}now\u{2069}",
    "=?UTF-8?B?PGgxPmhhY2tlZDwvaDE+?=",
    "aVeryLongWordThatNeverEndsBecauseNobodyToldItToStopAndNoSpaceEverComesToBreakItWhichPagesHaveToBearWithPatience",
    "",
];

/// The relay with all that belongs to it.
pub struct Scene {
    /// The relay itself.
    pub relay: Relay,
    /// The token of the administrator's session.
    pub session: String,
    /// What stands in addresses of its pages: mails that were `delivered`, are `waiting`, `failed`, were `sandboxed`; an `incident`
    /// of the brake, a `work` on the lists, a `tls` report, an application `owner`'s link.
    pub names: BTreeMap<&'static str, String>,
    /// Where the mail in the sandbox would tell somebody that it was read.
    pub tracker: TcpListener,
    sandbox: (Relay, String),
    parts: (Dns, Vec<Sink>, HttpSink, HttpSink),
}

impl Scene {
    /// Starts everything and waits until the morning's mail has gone where it goes.
    pub fn start() -> Self {
        let sinks = vec![
            sink(|_| Act::Normal),
            sink(|m| match m.step {
                // The first one goes through.
                Step::Mail if m.nth > 0 => Act::reply("421 4.7.0 Too many connections from your host, try again later"),
                _ => Act::Normal,
            }),
            sink(|m| match m.step {
                Step::Rcpt if m.line.contains("full") => Act::reply("452 4.2.2 The mailbox of this user is full"),
                Step::Rcpt if m.line.contains("spam") => {
                    Act::reply("550 5.7.1 <b>Blocked</b>: see https://postmaster.example/<script>alert(1)</script>")
                }
                Step::Rcpt if m.line.contains("here") => Act::Normal,
                Step::Rcpt => Act::reply("550 5.1.1 <nobody>: Recipient address rejected: User unknown"),
                _ => Act::Normal,
            }),
        ];
        let dns = dns(&sinks);
        let crm = HttpSink::willing();
        let billing = HttpSink::new(|_| Reply::status(503));
        let inbound = SocketAddr::from((place::address(), PORT));
        let clicks = SocketAddr::from((place::address(), 8030));
        let config = Config::internet(dns.address(), PORT)
            .set("server.hostname", "\"mail.shop.test\"")
            .set("queue.retry_schedule", "[\"20m\"]")
            .set("bounce.report_address", "\"reports@shop.test\"")
            .set("bounce.complaint_address", "\"fbl@shop.test\"")
            .set("tls_report.address", "\"tls@shop.test\"")
            .set("unsubscribe.address", &format!("\"{clicks}\""))
            .set("unsubscribe.public_url", &format!("\"http://{clicks}\""))
            .set("domain_check.addresses", "[\"192.0.2.10\"]")
            .listener(&format!("address = \"{inbound}\"\nrole = \"inbound\""))
            .text("[[domain]]\nname = \"shop.test\"\n[[domain]]\nname = \"news.test\"\n")
            .text(&hook("crm", &crm.url("/mail")))
            .text(&hook("billing", &billing.url("/mail")))
            .text("[[delivery.rule]]\nname = \"docomo\"\nrecipients = ['@docomo\\.test$']\nconnections_max = 2\ninterval = \"250ms\"\n")
            .text("[[unsubscribe.filter]]\nname = \"News\"\nheader = \"List-Id\"\npattern = \"<news.shop.test>\"\n");
        let relay = Relay::start(config);
        users(&relay);
        let mut names = BTreeMap::from(morning(&relay));
        lists(&relay);
        reports(&relay, inbound);
        let mut admin = console::Browser::administrator(&relay);
        relay.cli(&["user", "set", console::ADMIN, "--permissions", "view,download"]).expect_done();
        names.extend(later(&relay, &mut admin));
        let tracker = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let (sandbox, id) = sandbox(tracker.local_addr().expect("bound"));
        names.insert("sandboxed", id);
        Scene {
            relay,
            session: admin.cookie("hikyaku").to_owned(),
            names,
            tracker,
            sandbox,
            parts: (dns, sinks, crm, billing),
        }
    }

    /// A page's whole address: those of the sandbox are at a relay that delivers nothing.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.relay_of(path).0.http())
    }

    /// Whose page it is, and the administrator's session there.
    pub fn relay_of(&self, path: &str) -> (&Relay, &str) {
        if path.starts_with("/sandbox") { (&self.sandbox.0, &self.sandbox.1) } else { (&self.relay, &self.session) }
    }

    /// The mail that this recipient of ours got.
    pub fn received(&self, recipient: &str) -> Received {
        self.parts.1[0].wait_for_recipient(recipient)
    }

    /// What has this name in addresses.
    pub fn name(&self, name: &str) -> &str {
        &self.names[name]
    }
}

fn sink(script: impl Fn(&crate::support::Moment<'_>) -> Act + Send + Sync + 'static) -> Sink {
    Options::default().at(SocketAddr::from((place::address(), PORT))).script(script).start()
}

fn v4(sink: &Sink) -> Ipv4Addr {
    match sink.ip() {
        IpAddr::V4(a) => a,
        IpAddr::V6(a) => panic!("sinks are at 127.0.0.0/8, not {a}"),
    }
}

fn dns(sinks: &[Sink]) -> Dns {
    let mut dns = Dns::start()
        .txt("shop.test", "v=spf1 ip4:192.0.2.10 -all")
        .txt("_dmarc.shop.test", "v=DMARC1; p=none; rua=mailto:reports@shop.test")
        .txt("news.test", "v=spf1 include:_spf.elsewhere.test ?all");
    for (domain, sink) in [
        ("gmail.test", 0),
        ("example.test", 0),
        ("shop.test", 0),
        ("docomo.test", 1),
        ("softbank.test", 2),
        ("yahoo.test", 0),
    ] {
        let host = format!("mx1.{domain}");
        dns = dns.mx(domain, 10, &host).a(&host, v4(&sinks[sink]));
    }
    dns.mx("away.test", 10, "mx.away.test").a("mx.away.test", place::address()).null_mx("never.test")
}

fn hook(name: &str, url: &str) -> String {
    format!(
        "[[webhook]]\nname = \"{name}\"\nurl = \"{url}\"\ninterval = \"50ms\"\n\
         events = [\"queued\", \"succeeded\", \"deferred\", \"failed\", \"bounced\", \"blocked\", \"domain\"]\n"
    )
}

fn users(relay: &Relay) {
    let key = relay.place.write("key", KEY);
    let key = key.to_str().expect("the place's path is text");
    for words in [
        &["shop", "--class", "high", "--permissions", "view,download", "--sender", "shop.test"][..],
        &["campaign", "--class", "low", "--rate", "1000/1h"],
        &["staging", "--sandbox", "on", "--expires", "90d"],
    ] {
        relay.cli(&[&["user", "add", "--api", "--key-file", key], words].concat()).expect_done();
    }
    console::add_person(relay, "kenji@shop.test", "user");
    console::add_person(relay, "board@shop.test", "report-viewer");
}

/// One mail as an API user.
fn send(relay: &Relay, user: &str, to: &[&str], subject: &str, lines: &str, body: &str) -> String {
    let mut client = Client::hello(relay.smtp());
    client.auth_plain(user, KEY).expect("235");
    let sent = Clock::system().now().as_seconds();
    let content = format!(
        "From: =?UTF-8?B?6aOb6ISa44K344On44OD44OX?= <order@shop.test>\r\nTo: {}\r\nSubject: {subject}\r\n\
         Message-ID: <{sent}.{}@shop.test>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0900\r\n{lines}\r\n{body}",
        to.first().unwrap_or(&""),
        subject.len()
    );
    let from = if user == "campaign" { "news@shop.test" } else { "order@shop.test" };
    client.send(from, to, content.as_bytes()).expect("250").queue_id()
}

/// The mail of the morning; answers one that arrived, one that waits, one that failed, and one in the sandbox.
fn morning(relay: &Relay) -> [(&'static str, String); 3] {
    let utf8 = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\nX-Api-Data: order-7731\r\n";
    let words = "ご注文ありがとうございます。\r\n発送までしばらくお待ちください。\r\n";
    let shipped = "=?UTF-8?B?44GU5rOo5paH5ZWG5ZOB44Gu55m66YCB44Gu44GK55+l44KJ44Gb?=";
    let code = "=?UTF-8?B?6KqN6Ki844Kz44O844OJOiA0ODI5MTM=?=";
    let delivered = send(relay, "shop", &["taro@gmail.test", "hanako@docomo.test"], shipped, utf8, words);
    relay.wait_event("succeeded", "hanako@docomo.test");
    let waiting = send(relay, "shop", &["yuki@docomo.test", "ken@docomo.test"], code, utf8, words);
    let failed = send(relay, "shop", &["gone@softbank.test"], shipped, utf8, words);
    for name in ["spam", "full", "nobody"] {
        send(relay, "shop", &[&format!("{name}@softbank.test")], shipped, utf8, words);
    }
    for n in 0..12 {
        let to = format!("member{n}@{}", ["gmail.test", "example.test", "docomo.test", "away.test"][n % 4]);
        let news = format!("Autumn news {n}");
        send(relay, "campaign", &[&to], &news, "List-Id: <news.shop.test>\r\n", "Leaves fall, prices too.\r\n");
    }
    for subject in HOSTILE {
        send(relay, "shop", &["taro@example.test"], subject, "", "x\r\n");
    }
    // A jump of unknown users at one provider: the brake holds them as an incident.
    let many: Vec<String> = (0..40).map(|n| format!("old{n}@softbank.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    send(relay, "campaign", &many, "To everybody", "", "x\r\n");
    send(relay, "staging", &["anyone@gmail.test", "bounce@gmail.test"], "A try from staging", "", "x\r\n");
    relay.wait_event("succeeded", "taro@gmail.test");
    relay.wait_event("deferred", "ken@docomo.test");
    relay.wait_event("failed", "gone@softbank.test");
    relay.wait_event("failed", "old39@softbank.test");
    relay.wait_event("succeeded", "anyone@gmail.test");
    [("delivered", delivered), ("waiting", waiting), ("failed", failed)]
}

/// A relay that delivers nothing, with a mail that has HTML; its administrator's session, and the mail's id.
fn sandbox(tracker: SocketAddr) -> ((Relay, String), String) {
    let relay = Relay::start(Config::sandbox().set("server.hostname", "\"mail.shop.test\""));
    let content = format!(
        "From: <order@shop.test>\r\nTo: anyone@gmail.test\r\nSubject: A try from staging\r\nMIME-Version: 1.0\r\n\
                   Content-Type: multipart/alternative; boundary=b\r\n\r\n\
                   --b\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\nHello from staging.\r\n\
                   --b\r\nContent-Type: text/html; charset=UTF-8\r\n\r\n<html><body style=\"font-family:sans-serif\">\
                   <h1>Hello</h1><p>from <b>staging</b></p><img src=\"http://{tracker}/x.gif\">\
                   <script>top.document.title='taken'</script></body></html>\r\n--b--\r\n"
    );
    let sent = Client::hello(relay.smtp()).send("order@shop.test", &["anyone@gmail.test"], content.as_bytes());
    let id = sent.expect("250").queue_id();
    relay.submit("order@shop.test", &["taro@example.test"], HOSTILE[0]);
    relay.wait_event("succeeded", "anyone@gmail.test");
    let session = console::Browser::administrator(&relay).cookie("hikyaku").to_owned();
    ((relay, session), id)
}

fn lists(relay: &Relay) {
    for words in [
        &["suppress", "add", "ceo@rival.test", "--reason", "asked us by telephone"][..],
        &["suppress", "add", "trial@example.test", "--for", "30d"],
        &["suppress", "exempt", "important@example.test"],
        &["unsubscribe", "add", "--list", "News", "quiet@example.test", "calm@gmail.test"],
        &["queue", "pause", "yahoo.test", "--for", "2h", "--reason", "they answer 421 since nine"],
    ] {
        relay.cli(words).expect_done();
    }
    send(relay, "shop", &["later@yahoo.test"], "A paused one", "", "x\r\n");
}

/// DMARC and TLS reports about the shop's domain.
fn reports(relay: &Relay, inbound: SocketAddr) {
    let today = Clock::system().now().as_seconds() / 86_400;
    std::fs::create_dir_all(relay.place.path("in")).unwrap();
    for ago in 1..14 {
        let begin = (today - ago) * 86_400;
        let record = |ip: &str, count: u64, result: &str| {
            format!(
                "<record><row><source_ip>{ip}</source_ip><count>{count}</count><policy_evaluated><disposition>none\
                 </disposition><dkim>{result}</dkim><spf>{result}</spf></policy_evaluated></row><identifiers><header_from>\
                 shop.test</header_from></identifiers><auth_results><spf><domain>shop.test</domain><result>{result}</result>\
                 </spf></auth_results></record>"
            )
        };
        let report = format!(
            "<?xml version=\"1.0\"?><feedback><report_metadata><org_name>gmail.test</org_name><email>noreply@gmail.test</email>\
             <report_id>day-{ago}</report_id><date_range><begin>{begin}</begin><end>{}</end></date_range></report_metadata>\
             <policy_published><domain>shop.test</domain><p>none</p></policy_published>{}{}</feedback>",
            begin + 86_399,
            record("192.0.2.10", 1200 + 137 * (ago % 5), "pass"),
            record("203.0.113.9", 20 + 31 * (ago % 3), "fail"),
        );
        relay.place.write(&format!("in/{ago}.xml"), report);
    }
    relay.cli(&["dmarc", "import", "in"]).expect_done();
    let day = day_name((today - 1) as u32);
    let report = format!(
        "{{\"organization-name\":\"Example Inc.\",\"date-range\":{{\"start-datetime\":\"{day}T00:00:00Z\",\"end-datetime\":\
         \"{day}T23:59:59Z\"}},\"contact-info\":\"tls@gmail.test\",\"report-id\":\"r-1\",\"policies\":[{{\"policy\":{{\
         \"policy-type\":\"sts\",\"policy-domain\":\"shop.test\"}},\"summary\":{{\"total-successful-session-count\":4120,\
         \"total-failure-session-count\":2}},\"failure-details\":[{{\"result-type\":\"certificate-expired\",\
         \"failed-session-count\":2}}]}}]}}"
    );
    relay.place.write("r-1.json", report);
    relay.cli(&["tls-report", "import", "r-1.json"]).expect_done();
    let complaint = "From: fbl@gmail.test\r\nTo: fbl@shop.test\r\nSubject: complaint\r\n\r\nnothing to read\r\n";
    let _ = Client::hello(inbound).send("fbl@gmail.test", &["fbl@shop.test"], complaint.as_bytes());
    until("the incident of the brake", || {
        relay.cli(&["suppress", "incidents", "--json"]).stdout.contains("softbank.test").then_some(())
    });
}

/// What is made by people of the console: a link for an application's owner, a look at other thresholds, a new key.
fn later(relay: &Relay, admin: &mut console::Browser) -> [(&'static str, String); 4] {
    let first = |words: &[&str], field: &str| relay.events(words).first().map_or_else(String::new, |e| e.text(field));
    admin.get("/owner-links");
    let made = admin.post("/owner-links/add", &[("user", "shop"), ("note", "the shop's team"), ("life", "90")]);
    let token = made.body.split("/owner/").nth(1).and_then(|rest| rest.split(['"', '<', ' ', '\n']).next());
    admin.get("/suppression/try");
    let tried = admin.send("/suppression/try", &[("unknown_user", "3")]);
    let work = console::header(&tried, "location").unwrap_or_default();
    let work = work.rsplit('/').next().and_then(|rest| rest.split('?').next()).unwrap_or_default();
    relay.cli(&["domain", "dkim-rotate", "shop.test"]);
    [
        ("owner", token.unwrap_or_default().to_owned()),
        ("work", work.to_owned()),
        ("incident", first(&["suppress", "incidents", "--json"], "id")),
        ("tls", first(&["tls-report", "list", "--json"], "key")),
    ]
}

/// For people: the scene to look around in, at an address that is printed, for an hour or until the file `stop` is in its folder.
#[test]
#[ignore = "stays up for people; run it by its name"]
fn scene_stays() {
    let scene = Scene::start();
    crate::support::say(format_args!(
        "{} hikyaku={} until {}",
        scene.url("/"),
        scene.session,
        scene.relay.place.path("stop").display()
    ));
    let start = crate::support::now();
    while start.elapsed() < std::time::Duration::from_secs(3600) && !scene.relay.place.path("stop").exists() {
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}
