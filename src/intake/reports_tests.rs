//! An inbound listener on loopback, with a sink that notes what it was given.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::*;
use crate::{
    account::Accounts,
    clock::Clock,
    config::{InForce, Listener, Role},
    deliver::job::{Deliver, Job, Outcome},
    intake::{
        listener::{self, Entrance},
        submit::Door,
        sweep::Board,
    },
    mail::trace::TraceKey,
    metrics::Metrics,
    runtime::{Runtime, Shutdown},
    schedule::task::{Parts, Scheduler, Settings},
    store::{RetentionPeriods, Store, StoreOptions},
};

/// What came: sender, recipient, content.
type Came = (String, String, String);

/// Takes what holds `report`, asks to wait for what holds `later`, refuses the rest.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<Came>>>);

impl ReportSink for Noting {
    fn take<'a>(
        &'a self,
        from: Option<&'a Mailbox>,
        to: &'a Mailbox,
        body: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>> {
        Box::pin(async move {
            let text = String::from_utf8_lossy(&body).into_owned();
            if text.contains("later") {
                return Err(Refusal::Later("the writer is behind".into()));
            }
            if !text.contains("report") {
                return Err(Refusal::NotTaken("not a report".into()));
            }
            let from = from.map(ToString::to_string).unwrap_or_default();
            self.0.lock().expect("no panic").push((from, to.to_string(), text));
            Ok(())
        })
    }
}

/// Nothing is ever queued here.
struct Nobody;

impl Deliver for Nobody {
    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        panic!("a report was queued: {job:?}")
    }
}

struct House {
    store: Store,
    budget: Budget,
    shutdown: Shutdown,
    address: std::net::SocketAddr,
    data_dir: PathBuf,
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.cut();
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

fn house(name: &str, sink: Option<Noting>) -> House {
    let day = Duration::from_secs(86_400);
    let data_dir = std::env::temp_dir().join(format!("hikyaku-reports-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&data_dir).unwrap();
    let clock = Clock::system();
    let retention = RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: day };
    let options = StoreOptions { data_dir: data_dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
    let store = Store::open(options).unwrap().store;
    let mut config = Config::default();
    config.server.hostname = "relay.test".into();
    config.tls_report.address = "tls@relay.test".into();
    let (runtime, shutdown, metrics) = (Runtime::start(1).unwrap(), Shutdown::new(), Arc::new(Metrics::default()));
    let (budget, settings, live) = (Budget::new(16 << 20), Settings::from(&config), InForce::new(config));
    let parts = Parts {
        runtime: runtime.clone(),
        store: store.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
        deliver: Arc::new(Nobody),
        budget: budget.clone(),
    };
    let scheduler = Scheduler::start(parts, settings);
    let entrance = Arc::new(Entrance {
        door: Door::new(store.clone(), scheduler, clock.clone(), metrics.clone(), live.clone()),
        accounts: Accounts::new(store.clone(), clock.clone(), metrics.clone(), 10).unwrap(),
        runtime,
        shutdown: shutdown.clone(),
        config: live,
        board: Board::new(clock.clone()),
        clock,
        metrics,
        budget: budget.clone(),
        store: store.clone(),
        tls: None,
        trace_key: TraceKey::new(&[7; 32]),
        reports: sink.map(|sink| Arc::new(sink) as Arc<dyn ReportSink>),
    });
    let inbound = Listener { address: ([127, 0, 0, 1], 0).into(), role: Role::Inbound, ..Listener::default() };
    let bound = listener::bind(&[inbound]).unwrap();
    let address = bound[0].1.get_ref().local_addr().unwrap();
    listener::start(&entrance, bound);
    House { store, budget, shutdown, address, data_dir }
}

/// Says lines one by one; answers the code of the last reply to each.
fn converse(house: &House, lines: &[&str]) -> Vec<String> {
    let stream = TcpStream::connect(house.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut reply = move || loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.as_bytes().get(3) != Some(&b'-') {
            return line.get(..9.min(line.len())).unwrap_or_default().trim_end().to_owned();
        }
    };
    assert!(reply().starts_with("220"));
    let mut out = Vec::new();
    for line in lines {
        (&stream).write_all(format!("{line}\r\n").as_bytes()).unwrap();
        out.push(reply());
    }
    out
}

#[test]
fn a_report_is_kept_before_its_250_and_nothing_is_queued() {
    let sink = Noting::default();
    let house = house("kept", Some(sink.clone()));
    let said = converse(
        &house,
        &[
            "EHLO them.test",
            "MAIL FROM:<noreply@them.test>",
            "RCPT TO:<someone@relay.test>",
            "RCPT TO:<postmaster>",
            "RCPT TO:<tls@RELAY.test>",
            "DATA",
            "Subject: a report\r\n\r\nx\r\n.",
            "MAIL FROM:<>",
            "RCPT TO:<tls@relay.test>",
            "DATA",
            "Subject: buy\r\n\r\nx\r\n.",
            "MAIL FROM:<>",
            "RCPT TO:<tls@relay.test>",
            "BDAT 7 LAST\r\nlater",
            "MAIL FROM:<> MT-PRIORITY=3",
            "QUIT",
        ],
    );
    let codes: Vec<&str> = said.iter().map(|s| &s[..3]).collect();
    let expected = [
        "250", "250", "550", "550", "250", "354", "250", "250", "250", "354", "550", "250", "250", "451", "555", "221",
    ];
    assert_eq!(codes, expected, "{said:?}");
    assert_eq!(said[10], "550 5.6.0");
    let kept = sink.0.lock().unwrap().clone();
    let want = ("noreply@them.test".into(), "tls@RELAY.test".into(), "Subject: a report\r\n\r\nx\r\n".into());
    assert_eq!(kept, [want], "as it came, and once");
    assert!(house.store.notices_owed(10).unwrap().is_empty());
    assert_eq!(house.budget.used(), 0, "its memory is given back");
}

#[test]
fn without_a_sink_nobody_is_a_recipient_and_large_mail_is_refused() {
    let alone = house("alone", None);
    let said = converse(&alone, &["EHLO them.test", "MAIL FROM:<>", "RCPT TO:<tls@relay.test>", "DATA", "QUIT"]);
    assert_eq!(said.iter().map(|s| &s[..3]).collect::<Vec<_>>(), ["250", "250", "550", "554", "221"]);
    let house = house("large", Some(Noting::default()));
    let size = REPORT_OCTETS_MAX + 1;
    let said = converse(&house, &["EHLO them.test", &format!("MAIL FROM:<a@them.test> SIZE={size}"), "QUIT"]);
    assert_eq!(said[1], "552 5.3.4");
}
