//! A daemon of made-up rows: what pages, control routes and the command line are tested against and looked at with.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use crate::{
    account::{Accounts, fake::Shelf},
    clock::{Clock, Timestamp},
    config::{Config, Mode},
    deliver::counted::{RuleUse, WarmUpState},
    deliver::lately::Lately,
    dmarc::{self, monitor::Monitor},
    event::{AttemptDetail, Class, ErrorClass, Event, EventKind, Phase, Trouble, WaitReason},
    http::{
        api::{caller::Calls, transaction::paging::PageMarks},
        daemon::{LaneActivity, Unready},
        day_sums::DaySums,
        fake_domains_tests::FakeFindings,
        fake_lists_tests::Lists,
        owner_links::{OwnerLinks, fake::RamLinks},
        queue_acts::ActView,
        resources::Resources,
        views::Views,
        when::of_rfc3339,
    },
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    metrics::Metrics,
    net::dns::Validation,
    sandbox::SandboxMail,
    schedule::trouble::SiteTrouble,
    secret::Secret,
    smtp::{
        address::Mailbox,
        params::{MailParams, RcptParams},
    },
    store::{
        Account, AccountKind, AuditEntry, BodyPlace, Lane, LaneRow, LogRow, Message, Origin, Pause, Person,
        QuarterCounts, QueueAct, Recipient, RecipientState, Rights, StoreError, Story, Totals,
    },
    tls_report::{fake::RamMemos, receive::Receiver},
};

/// A subject that tries everything.
pub(crate) const HOSTILE: &str =
    "</title><script>alert(1)</script><img src=x onerror=alert(2)>\" onload=\"x' \u{202e}evil\u{7}\u{1b}[31mred";

/// The key of every API user of a [`Fake`].
pub(crate) const KEY: &str = "Passw0rd9";

pub(crate) struct Fake {
    pub mode: Mode,
    pub unready: Vec<Unready>,
    pub broken: bool,
    pub metrics: Arc<Metrics>,
    pub lanes: Vec<LaneRow>,
    pub activity: Vec<LaneActivity>,
    pub stories: Vec<Story>,
    pub mails: Vec<(SandboxMail, Vec<u8>)>,
    pub totals: Totals,
    pub quiet: bool,
    pub acts: Mutex<Vec<QueueAct>>,
    pub audits: Mutex<Vec<AuditEntry>>,
    pub shelf: Shelf,
    /// Over what the shelf holds when somebody first asks.
    pub accounts: OnceLock<Accounts>,
    /// Counts by quarter and user, oldest first.
    pub counts: Vec<QuarterCounts>,
    /// What keeps rows from being archived.
    pub archive_trouble: Option<String>,
    pub more: Mutex<Vec<LogRow>>,
    pub backup: Result<Vec<u8>, Vec<u8>>,
    pub validation: Option<Validation>,
    pub oldest: [Option<Timestamp>; 3],
    pub pauses: Mutex<Vec<Pause>>,
    pub warm_ups: Vec<WarmUpState>,
    pub rule_uses: Vec<RuleUse>,
    pub tls_reports: Receiver<RamMemos>,
    pub dmarc: Monitor<RamMemos>,
    pub domain_checks: FakeFindings,
    pub lists: Lists,
    pub calls: Calls,
    pub page_marks: PageMarks,
    /// As it is in force.
    pub config: Arc<Config>,
    /// Who asked for a mail to set a password anew.
    pub resets: Mutex<Vec<String>>,
    /// Acts that go on by themselves.
    pub running: Vec<ActView>,
    pub views: Views,
    pub troubles: Vec<SiteTrouble>,
    pub lately: Vec<Lately>,
    pub resources: Resources,
    pub owner_links: OwnerLinks,
    pub day_sums: DaySums,
}

pub(crate) fn at(text: &str) -> Timestamp {
    of_rfc3339(text).expect("a time")
}

pub(crate) fn now() -> Timestamp {
    at("2026-11-24T13:35:10.250Z")
}

pub(crate) fn id(n: u64) -> MessageId {
    MessageId::from_u64((91_467_310_250 << 20) + n)
}

fn lane(name: &str, count: u64, due: Option<u64>, reply: &str) -> LaneRow {
    LaneRow {
        lane: Lane(name.into()),
        count,
        classes: [0, count, 0],
        earliest_due: due.map_or(Timestamp::MAX, |s| now().plus(Duration::from_secs(s))),
        last_reply: reply.into(),
    }
}

struct Plan<'a> {
    n: u64,
    ago: u64,
    from: &'a str,
    to: &'a [&'a str],
    subject: &'a str,
    user: &'a str,
}

fn message(plan: &Plan<'_>) -> Arc<Message> {
    let accepted_at = now().minus(Duration::from_secs(plan.ago));
    Arc::new(Message {
        id: id(plan.n),
        accepted_at,
        expires_at: accepted_at.plus(Duration::from_secs(4 * 86_400)),
        sender: (!plan.from.is_empty()).then(|| Mailbox::parse(plan.from).expect("an address")),
        params: MailParams::default(),
        recipients: plan.to.len() as u32,
        class: Class::Normal,
        facts: Facts {
            message_id: format!("<{}@app.example.jp>", plan.n),
            from: plan.from.into(),
            subject: plan.subject.into(),
            api_data: format!("order-{}", 8800 + plan.n),
            ..Facts::default()
        },
        user: plan.user.into(),
        source_ip: Some(IpAddr::from([127, 0, 0, 1])),
        origin: if plan.from.is_empty() { Origin::Notice } else { Origin::Smtp },
        return_path: crate::bounce::envelope_from::ReturnPath::AsIs,
        list: String::new(),
        place: BodyPlace::Gone,
        len: 1_240 + plan.n * 811,
    })
}

fn story(plan: &Plan<'_>, fate: &[(EventKind, u64, &str)]) -> Story {
    let message = message(plan);
    let mut events = Vec::new();
    let mut recipients = Vec::new();
    for (index, address) in plan.to.iter().enumerate() {
        let key = RecipientKey { message: message.id, index: index as u32 };
        let domain = address.rsplit('@').next().expect("a domain");
        events.push(Event {
            at: message.accepted_at,
            key,
            kind: EventKind::Queued,
            attempt: 0,
            next_try: None,
            wait: None,
            operator: None,
            detail: None,
        });
        let mut state = RecipientState::Waiting { due: now().plus(Duration::from_secs(240)), wait: WaitReason::Fresh };
        let mut last_reply = String::new();
        for (n, (kind, ago, reply)) in fate.iter().enumerate() {
            let next = now().plus(Duration::from_secs(240));
            let deferred = *kind == EventKind::Deferred;
            events.push(Event {
                at: now().minus(Duration::from_secs(*ago)),
                key,
                kind: *kind,
                attempt: n as u32 + 1,
                next_try: deferred.then_some(next),
                wait: deferred.then_some(WaitReason::Retry),
                operator: None,
                detail: Some(Box::new(AttemptDetail {
                    destination: domain.into(),
                    host: format!("mx1.{domain}"),
                    address: "198.51.100.7:25".parse().ok(),
                    sender_ip: Some(IpAddr::from([192, 0, 2, 10])),
                    tls: "TLSv1.3 TLS13_AES_256_GCM_SHA384 unverified".into(),
                    phase: Some(if *kind == EventKind::Succeeded { Phase::Content } else { Phase::Rcpt }),
                    reply: (*reply).into(),
                    duration: Duration::from_millis(412),
                    error: match kind {
                        EventKind::Failed | EventKind::Bounced => Some(ErrorClass::UnknownUser),
                        EventKind::Deferred => Some(ErrorClass::OverCapacity),
                        _ => None,
                    },
                    possible_duplicate: false,
                    trouble: kind.is_error().then_some(Trouble::Recipient),
                    hard: kind.is_error(),
                })),
            });
            if kind.is_return() {
                continue;
            }
            last_reply = (*reply).into();
            state = if deferred {
                RecipientState::Waiting { due: next, wait: WaitReason::Retry }
            } else {
                RecipientState::Final(*kind)
            };
        }
        recipients.push(Recipient {
            key,
            address: Mailbox::parse(address).expect("an address"),
            params: RcptParams::default(),
            lane: Lane(domain.into()),
            state,
            attempts: fate.len() as u32,
            last_reply,
            possible_duplicate: false,
            delay_noticed: false,
        });
    }
    let numbers = (1..=events.len() as u64).collect();
    Story { message, recipients, events, numbers }
}

/// One API user.
fn shelf() -> Shelf {
    let shelf = Shelf::default();
    shelf.put(Account {
        name: "shop-app".into(),
        kind: AccountKind::Api,
        hash: Secret::new("$argon2id$secret".into()),
        created_at: now().minus(Duration::from_secs(40 * 86_400)),
        password_set_at: now().minus(Duration::from_secs(86_400)),
        rights: Rights { smtp: true, http: true, view: true, ..Rights::default() },
        person: Person::default(),
    });
    shelf
}

impl Fake {
    /// A relay in the middle of its day.
    pub(crate) fn busy() -> Self {
        let ok = "250 2.0.0 Ok: queued as 4XyzAb1Q2Rz";
        let full = "452 4.2.2 The recipient's inbox is out of storage space. Please direct the recipient to https://support.example/mail/?p=OverQuotaTemp";
        let unknown = "550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking the recipient's email address for typos";
        let p = |n, ago, to, subject| Plan { n, ago, from: "shop@example.jp", to, subject, user: "shop-app" };
        let stories = vec![
            story(
                &p(1, 12, &["hanako@example.co.jp"], "ご注文ありがとうございます（注文番号 48213）"),
                &[(EventKind::Succeeded, 11, ok)],
            ),
            story(
                &p(2, 22, &["taro.yamada@docomo.example"], "【重要】本人確認コードのお知らせ"),
                &[(
                    EventKind::Deferred,
                    20,
                    "421 4.7.0 Too many concurrent connections from your host, try again later",
                )],
            ),
            story(
                &p(3, 48, &["full@gmail.example", "second@gmail.example"], "Your receipt from Hikyaku Shop"),
                &[(EventKind::Deferred, 400, full), (EventKind::Deferred, 44, full)],
            ),
            story(
                &p(
                    4,
                    75,
                    &["nobody@example.com"],
                    "Weekly newsletter: ten things a courier carried over the Hakone pass",
                ),
                &[(EventKind::Failed, 74, unknown)],
            ),
            story(
                &Plan {
                    n: 5,
                    ago: 73,
                    from: "",
                    to: &["shop@example.jp"],
                    subject: "Undelivered mail: Weekly newsletter",
                    user: "",
                },
                &[(EventKind::Succeeded, 73, ok)],
            ),
            story(
                &p(6, 110, &["keiko@xn--r8jz45g.example"], "請求書（2026年11月分）をお送りします"),
                &[(EventKind::Succeeded, 109, ok)],
            ),
            story(
                &Plan {
                    n: 7,
                    ago: 500,
                    from: "a@example.jp",
                    to: &["hostile@example.net"],
                    subject: HOSTILE,
                    user: "",
                },
                &[(EventKind::Failed, 499, "550 <script>alert(3)</script> \u{1b}]0;owned\u{7} =cmd|' /C calc'!A0")],
            ),
            story(&p(8, 90_000, &["waiting@slow.example"], ""), &[]),
        ];
        let metrics = Metrics::default();
        for (counter, n) in [
            (&metrics.delivered, 14_820),
            (&metrics.deferred, 90),
            (&metrics.failed, 31),
            (&metrics.messages_accepted, 15_911),
        ] {
            counter.add(n);
        }
        metrics.sessions.set(12);
        metrics.connections.set(9);
        Fake {
            mode: Mode::Internet,
            unready: Vec::new(),
            broken: false,
            metrics: Arc::new(metrics),
            lanes: vec![
                lane(
                    "docomo.example",
                    1200,
                    Some(0),
                    "421 4.7.0 Too many concurrent connections from your host, try again later",
                ),
                lane("gmail.example", 41, Some(245), full),
                lane("example.com", 22, Some(0), ""),
                // A rule that looks at the local part has lanes of its own; people see one destination.
                lane("docomo.example#docomo-otp", 4, Some(0), ""),
                lane(
                    "dead.example.org",
                    14,
                    Some(5_400),
                    "connect to mx.dead.example.org[203.0.113.9]:25: timed out after 30 s",
                ),
                lane("partner.example.jp", 3, None, ""),
            ],
            activity: vec![
                LaneActivity { lane: "docomo.example".into(), running: 3, paused_until: None },
                LaneActivity { lane: "docomo.example#docomo-otp".into(), running: 1, paused_until: None },
                LaneActivity { lane: "example.com".into(), running: 2, paused_until: None },
            ],
            stories,
            mails: Vec::new(),
            totals: Totals {
                waiting: 1284,
                held: 3,
                body_octets: 18_200_000,
                leads: 3,
                database_octets: 71_000_000,
                disk_free: 39_000_000_000,
            },
            quiet: false,
            acts: Mutex::default(),
            counts: Vec::new(),
            archive_trouble: None,
            audits: Mutex::new(vec![AuditEntry {
                at: now().minus(Duration::from_secs(3_000)),
                who: "operator root".into(),
                from: "control socket".into(),
                act: "queue.hold".into(),
                object: "destination=partner.example.jp".into(),
                detail: "3 recipients".into(),
            }]),
            shelf: shelf(),
            accounts: OnceLock::new(),
            more: Mutex::default(),
            backup: Ok(b"tar".repeat(100_000)),
            validation: Some(Validation::No),
            oldest: [None, Some(now().minus(Duration::from_secs(90_000))), Some(now().minus(Duration::from_secs(250)))],
            pauses: Mutex::new(vec![
                Pause {
                    destination: "partner.example.jp".into(),
                    since: now().minus(Duration::from_secs(3_000)),
                    until: Some(now().plus(Duration::from_secs(4_200))),
                    operator: "operator root".into(),
                    reason: "their maintenance, ticket 4711".into(),
                },
                Pause {
                    destination: "old.example.org".into(),
                    since: now().minus(Duration::from_secs(300_000)),
                    until: None,
                    operator: "operator hanako".into(),
                    reason: String::new(),
                },
            ]),
            warm_ups: vec![
                WarmUpState {
                    source: IpAddr::from([192, 0, 2, 11]),
                    provider: "aspmx.l.google.com (+4)".into(),
                    day: 3,
                    days: 15,
                    sent: 131,
                    cap: 200,
                },
                WarmUpState {
                    source: IpAddr::from([192, 0, 2, 11]),
                    provider: "mx.docomo.example".into(),
                    day: 3,
                    days: 15,
                    sent: 200,
                    cap: 200,
                },
            ],
            tls_reports: Receiver::new(RamMemos::default(), Clock::manual(now()), Arc::default()),
            dmarc: dmarc::monitor::over(RamMemos::default(), &Clock::manual(now()), Config::default()),
            domain_checks: FakeFindings::busy(),
            lists: Lists::busy(),
            calls: Calls::default(),
            page_marks: PageMarks::default(),
            config: Arc::default(),
            resets: Mutex::default(),
            running: Vec::new(),
            views: Views::new(Arc::new(RamMemos::default())),
            troubles: crate::http::fake_overview::troubles(),
            lately: crate::http::fake_overview::lately(),
            resources: crate::http::fake_overview::resources(),
            day_sums: DaySums::default(),
            owner_links: OwnerLinks::new(Arc::new(RamLinks::default()), Clock::manual(now())),
            rule_uses: vec![
                RuleUse {
                    rule: "docomo".into(),
                    last: Some(now().minus(Duration::from_secs(20))),
                    since: now().minus(Duration::from_secs(90 * 86_400)),
                },
                RuleUse { rule: "kddi".into(), last: None, since: now().minus(Duration::from_secs(34 * 86_400)) },
            ],
        }
    }

    /// The demo a minute after the build: the sandbox, three mails.
    pub(crate) fn demo() -> Self {
        let mut fake = Fake::busy();
        fake.mode = Mode::Sandbox;
        fake.validation = None;
        fake.oldest = [None; 3];
        fake.pauses = Mutex::default();
        fake.troubles.clear();
        fake.warm_ups.clear();
        fake.domain_checks = FakeFindings::none();
        fake.rule_uses.clear();
        fake.lanes.clear();
        fake.activity.clear();
        fake.totals = Totals { disk_free: 39_000_000_000, ..Totals::default() };
        fake.stories.truncate(2);
        let mail = |n: u64, subject: &str, source: &str| {
            let meta = SandboxMail {
                message: id(n),
                at: now().minus(Duration::from_secs(n * 20)),
                user: if n == 3 { "shop".into() } else { String::new() },
                sender: "shop@example.jp".into(),
                recipients: vec!["hanako@example.co.jp".into(), "taro@example.com".into()],
                subject: subject.into(),
                len: source.len() as u64,
            };
            (meta, source.as_bytes().to_vec())
        };
        let hostile = format!(
            "Subject: {HOSTILE}\r\nX-<b>: <script>alert(4)</script>\r\nContent-Type: text/html\r\n\r\n<p>Hello <b>you</b></p><script>alert(5)</script>&lt;script&gt;alert(6)&lt;/script&gt;\r\n",
            HOSTILE = HOSTILE.replace(['\u{7}', '\u{1b}'], "")
        );
        fake.mails = vec![
            mail(
                1,
                "ご注文ありがとうございます（注文番号 48213）",
                "Received: from app.example.jp by relay.example.jp with ESMTP id 2q8f; Tue, 24 Nov 2026 22:34:50 +0900\r\nFrom: =?UTF-8?B?6aOb6ISa5ZWG5bqX?= <shop@example.jp>\r\nTo: hanako@example.co.jp\r\nSubject: =?UTF-8?B?44GU5rOo5paH44GC44KK44GM44Go44GG44GU44GW44GE44G+44GZ?=\r\nMessage-ID: <1@app.example.jp>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n花子 様\r\n\r\nこの度はご注文いただき、誠にありがとうございます。\r\n\r\n  注文番号  48213\r\n  商品      江戸道中合羽 × 1\r\n  お届け    11月26日（木）\r\n\r\nHello, and thank you. https://example.jp/orders/48213\r\n",
            ),
            mail(2, HOSTILE, &hostile),
            mail(3, "Your receipt", "Subject: Your receipt\r\n\r\nhi\r\n"),
        ];
        fake
    }

    /// Nothing has happened yet.
    pub(crate) fn empty() -> Self {
        let mut fake = Fake::demo();
        fake.stories.clear();
        fake.mails.clear();
        fake.lately.clear();
        fake.quiet = true;
        fake.shelf = Shelf::default();
        fake.audits = Mutex::default();
        fake.lists = Lists::empty();
        fake
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.broken { Err(StoreError::Failed("EIO".into())) } else { Ok(()) }
    }

    /// A busy one, with a delivery of which a bounce and a complaint came back.
    pub(crate) fn bounced() -> Self {
        let mut fake = Fake::busy();
        let plan = Plan {
            n: 9,
            ago: 9_000,
            from: "shop@example.jp",
            to: &["gone@example.com"],
            subject: "Your parcel is on its way",
            user: "shop-app",
        };
        let fate = [
            (EventKind::Succeeded, 8_990, "250 2.0.0 taken"),
            (EventKind::Bounced, 5_000, "550 5.1.1 <script>alert(1)</script> unknown"),
            (EventKind::Complained, 100, "abuse"),
        ];
        fake.stories.push(story(&plan, &fate));
        fake
    }

    pub(crate) fn log_rows(&self) -> Vec<LogRow> {
        let mut rows: Vec<LogRow> = Vec::new();
        for story in &self.stories {
            for (place, event) in story.events.iter().enumerate() {
                let recipient =
                    story.recipients.iter().find(|r| r.key == event.key).expect("its recipient").address.to_string();
                rows.push(LogRow {
                    event: event.clone(),
                    number: 0,
                    recipient,
                    message: story.message.clone(),
                    links: story.links(place),
                });
            }
        }
        rows.sort_by_key(|r| (r.event.at, r.event.key));
        for (n, row) in rows.iter_mut().enumerate() {
            row.number = n as u64 + 1;
        }
        rows.extend(self.more.lock().expect("no panic").iter().cloned());
        rows.reverse();
        rows
    }
}
