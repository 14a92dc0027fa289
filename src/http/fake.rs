//! A daemon of made-up rows: what pages, control routes and the command line are tested against and looked at with.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    account::AccountError,
    clock::Timestamp,
    config::Mode,
    deliver::sandbox::SandboxMail,
    event::{AttemptDetail, Class, ErrorClass, Event, EventKind, Phase, WaitReason},
    http::{
        daemon::{About, Daemon, LaneActivity, Unready},
        exchange::Stream,
        when::{Zone, of_rfc3339},
    },
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    metrics::Metrics,
    secret::Secret,
    smtp::{
        address::Mailbox,
        params::{MailParams, RcptParams},
    },
    store::{
        Account, AccountKind, AuditEntry, AuditPage, AuditQuery, BodyPlace, Lane, LaneRow, LogPage, LogQuery, LogRow,
        Message, MinuteCounts, Origin, Page, QueueAct, QueueFilter, QueuePage, QueueRow, Recipient, RecipientState,
        RetentionPeriods, StoreError, Story, Totals,
    },
};

/// A subject that tries everything.
pub(crate) const HOSTILE: &str =
    "</title><script>alert(1)</script><img src=x onerror=alert(2)>\" onload=\"x' \u{202e}evil\u{7}\u{1b}[31mred";

pub(crate) struct Fake {
    pub mode: Mode,
    pub unready: Vec<Unready>,
    pub broken: bool,
    pub metrics: Arc<Metrics>,
    pub lanes: Vec<LaneRow>,
    pub activity: Vec<LaneActivity>,
    pub stories: Vec<Story>,
    pub mails: Option<Vec<(SandboxMail, Vec<u8>)>>,
    pub totals: Totals,
    pub quiet: bool,
    pub acts: Mutex<Vec<QueueAct>>,
    pub audits: Mutex<Vec<AuditEntry>>,
    pub users: Mutex<Vec<Account>>,
    pub more: Mutex<Vec<LogRow>>,
    pub backup: Result<Vec<u8>, Vec<u8>>,
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
                        EventKind::Failed => Some(ErrorClass::UnknownUser),
                        EventKind::Deferred => Some(ErrorClass::OverCapacity),
                        _ => None,
                    },
                    possible_duplicate: false,
                })),
            });
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
    Story { message, recipients, events }
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
                    1204,
                    Some(0),
                    "421 4.7.0 Too many concurrent connections from your host, try again later",
                ),
                lane("gmail.example", 41, Some(245), full),
                lane("example.com", 22, Some(0), ""),
                lane(
                    "dead.example.org",
                    14,
                    Some(5_400),
                    "connect to mx.dead.example.org[203.0.113.9]:25: timed out after 30 s",
                ),
                lane("partner.example.jp", 3, None, ""),
            ],
            activity: vec![
                LaneActivity { lane: "docomo.example".into(), running: 4, paused_until: None },
                LaneActivity { lane: "example.com".into(), running: 2, paused_until: None },
            ],
            stories,
            mails: None,
            totals: Totals {
                waiting: 1284,
                held: 3,
                body_octets: 18_200_000,
                database_octets: 71_000_000,
                disk_free: 39_000_000_000,
            },
            quiet: false,
            acts: Mutex::default(),
            audits: Mutex::new(vec![AuditEntry {
                at: now().minus(Duration::from_secs(3_000)),
                who: "operator root".into(),
                from: "control socket".into(),
                act: "queue.hold".into(),
                object: "destination=partner.example.jp".into(),
                detail: "3 recipients".into(),
            }]),
            users: Mutex::new(vec![Account {
                name: "shop-app".into(),
                kind: AccountKind::Api,
                hash: Secret::new("$argon2id$secret".into()),
                class: None,
                created_at: now().minus(Duration::from_secs(40 * 86_400)),
                password_set_at: now().minus(Duration::from_secs(86_400)),
                may_smtp: true,
                may_http: true,
                may_view: true,
                may_download: false,
            }]),
            more: Mutex::default(),
            backup: Ok(b"tar".repeat(100_000)),
        }
    }

    /// The demo a minute after the build: the sandbox, three mails.
    pub(crate) fn demo() -> Self {
        let mut fake = Fake::busy();
        fake.mode = Mode::Sandbox;
        fake.lanes.clear();
        fake.activity.clear();
        fake.totals = Totals { disk_free: 39_000_000_000, ..Totals::default() };
        fake.stories.truncate(2);
        let mail = |n: u64, subject: &str, source: &str| {
            let meta = SandboxMail {
                message: id(n),
                at: now().minus(Duration::from_secs(n * 20)),
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
        fake.mails = Some(vec![
            mail(
                1,
                "ご注文ありがとうございます（注文番号 48213）",
                "Received: from app.example.jp by relay.example.jp with ESMTP id 2q8f; Tue, 24 Nov 2026 22:34:50 +0900\r\nFrom: =?UTF-8?B?6aOb6ISa5ZWG5bqX?= <shop@example.jp>\r\nTo: hanako@example.co.jp\r\nSubject: =?UTF-8?B?44GU5rOo5paH44GC44KK44GM44Go44GG44GU44GW44GE44G+44GZ?=\r\nMessage-ID: <1@app.example.jp>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n花子 様\r\n\r\nこの度はご注文いただき、誠にありがとうございます。\r\n\r\n  注文番号  48213\r\n  商品      江戸道中合羽 × 1\r\n  お届け    11月26日（木）\r\n\r\nHello, and thank you. https://example.jp/orders/48213\r\n",
            ),
            mail(2, HOSTILE, &hostile),
            mail(3, "Your receipt", "Subject: Your receipt\r\n\r\nhi\r\n"),
        ]);
        fake
    }

    /// Nothing has happened yet.
    pub(crate) fn empty() -> Self {
        let mut fake = Fake::demo();
        fake.stories.clear();
        fake.mails = Some(Vec::new());
        fake.quiet = true;
        fake.users = Mutex::default();
        fake.audits = Mutex::default();
        fake
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.broken { Err(StoreError::Failed("EIO".into())) } else { Ok(()) }
    }

    pub(crate) fn log_rows(&self) -> Vec<LogRow> {
        let mut rows: Vec<LogRow> = Vec::new();
        for story in &self.stories {
            for event in &story.events {
                let recipient =
                    story.recipients.iter().find(|r| r.key == event.key).expect("its recipient").address.to_string();
                rows.push(LogRow { event: event.clone(), number: 0, recipient, message: story.message.clone() });
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

/// A page out of all rows; the cursor is an offset.
fn paged<T>(rows: Vec<T>, page: &Page) -> (Vec<T>, Option<String>) {
    let from: usize = page.cursor.as_deref().map_or(0, |c| c.parse().expect("our cursor"));
    let more = rows.len() > from + page.rows_max;
    let rows = rows.into_iter().skip(from).take(page.rows_max).collect();
    (rows, more.then(|| (from + page.rows_max).to_string()))
}

impl Daemon for Fake {
    fn now(&self) -> Timestamp {
        now()
    }

    fn about(&self) -> About {
        let days = |n: u64| Duration::from_secs(n * 86_400);
        About {
            hostname: "relay.example.jp".into(),
            version: "0.1.0",
            mode: self.mode,
            smarthost: String::new(),
            zone: Zone::named("Asia/Tokyo"),
            started_at: now().minus(days(3)),
            retention: RetentionPeriods {
                delivery_log: days(40),
                error_log: days(40),
                audit_log: days(90),
                message_bodies: Duration::ZERO,
            },
        }
    }

    fn unready(&self) -> Vec<Unready> {
        self.unready.clone()
    }

    fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    fn panics(&self) -> u64 {
        0
    }

    fn activity(&self) -> Vec<LaneActivity> {
        self.activity.clone()
    }

    fn totals(&self) -> Totals {
        self.totals
    }

    fn lanes(&self, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
        self.check()?;
        Ok(self.lanes.iter().take(limit).cloned().collect())
    }

    fn minutes(&self, from: Timestamp, to: Timestamp) -> Result<Vec<MinuteCounts>, StoreError> {
        self.check()?;
        let minutes = (from.as_millis() / 60_000..to.as_millis() / 60_000).filter(|_| !self.quiet);
        Ok(minutes
            .map(|minute| {
                let wave = ((minute % 60) as f64 / 9.0).sin() * 90.0 + ((minute * 7919) % 53) as f64 + 140.0;
                let queued = wave as u64;
                let late = minute % 60 > 12 && minute % 60 < 24;
                MinuteCounts {
                    minute: Timestamp::from_millis(minute * 60_000),
                    queued,
                    deferred: if late { queued / 4 } else { queued / 30 },
                    succeeded: if late { queued * 7 / 10 } else { queued * 96 / 100 },
                    failed: (minute * 31) % 7,
                }
            })
            .collect())
    }

    fn queue_page(&self, filter: &QueueFilter, page: &Page) -> Result<QueuePage, StoreError> {
        self.check()?;
        let mut rows = Vec::new();
        for story in &self.stories {
            for recipient in &story.recipients {
                let waits = matches!(recipient.state, RecipientState::Waiting { .. });
                if waits
                    && recipient.address.as_str().contains(&filter.recipient)
                    && filter.message.is_none_or(|m| m == story.message.id)
                    && (filter.destination.is_empty() || *recipient.lane.0 == *filter.destination)
                    && !filter.held
                {
                    rows.push(QueueRow { message: story.message.clone(), recipient: recipient.clone() });
                }
            }
        }
        let (rows, next) = paged(rows, page);
        Ok(QueuePage { rows, next })
    }

    fn log_page(&self, query: &LogQuery, page: &Page) -> Result<LogPage, StoreError> {
        self.check()?;
        let mut rows = self.log_rows();
        rows.retain(|r| {
            query.from.is_none_or(|t| r.event.at >= t)
                && query.to.is_none_or(|t| r.event.at < t)
                && r.recipient.contains(&query.recipient)
                && r.message.facts.message_id.contains(&query.message_id)
                && r.message.facts.api_data.contains(&query.api_data)
                && (query.user.is_empty() || r.message.user == query.user)
                && (query.kinds.is_empty() || query.kinds.contains(&r.event.kind))
                && (!query.errors_only || r.event.kind == EventKind::Failed)
        });
        let (rows, next) = paged(rows, page);
        Ok(LogPage { rows, next, looked_back_to: None })
    }

    fn audit_page(&self, query: &AuditQuery, page: &Page) -> Result<AuditPage, StoreError> {
        self.check()?;
        let mut rows = self.audits.lock().expect("no panic").clone();
        rows.retain(|r| r.act.contains(&query.act) && r.who.contains(&query.who));
        rows.reverse();
        let (rows, next) = paged(rows, page);
        Ok(AuditPage { rows, next })
    }

    fn message_story(&self, id: MessageId) -> Result<Option<Story>, StoreError> {
        self.check()?;
        Ok(self.stories.iter().find(|s| s.message.id == id).cloned())
    }

    fn find(&self, key: &str, limit: usize) -> Result<Vec<MessageId>, StoreError> {
        self.check()?;
        let hit = |s: &&Story| {
            s.message.id.to_string() == key
                || s.message.facts.message_id == key
                || s.message.facts.api_data == key
                || s.recipients.iter().any(|r| r.address.as_str() == key)
                || (key == "shop@example.jp" && s.message.user == "shop-app")
        };
        Ok(self.stories.iter().filter(hit).map(|s| s.message.id).take(limit).collect())
    }

    fn backup(&self) -> Option<Stream> {
        let content = self.backup.clone();
        Some(Box::new(move |to| match content {
            Ok(tar) => to.write_all(&tar),
            Err(part) => {
                to.write_all(&part)?;
                Err(io::Error::other("the disk broke"))
            }
        }))
    }

    fn act(&self, act: QueueAct) -> Result<u64, StoreError> {
        self.check()?;
        let n = self.queue_page(&act.filter, &Page::default())?.rows.len() as u64;
        self.acts.lock().expect("no panic").push(act);
        Ok(n)
    }

    fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.audits.lock().expect("no panic").push(entry);
        Ok(())
    }

    fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.check()?;
        Ok(self.users.lock().expect("no panic").clone())
    }

    fn add_api_user(&self, name: &str, key: Option<Secret<String>>) -> Result<Secret<String>, AccountError> {
        let mut users = self.users.lock().expect("no panic");
        if users.iter().any(|u| u.name == name) {
            return Err(AccountError::Refused(format!("there is a user {name:?} already")));
        }
        let mut user = users.first().cloned().expect("a user to copy");
        user.name = name.into();
        users.push(user);
        Ok(key.unwrap_or_else(|| Secret::new("k3y-that-was-made".into())))
    }

    fn set_key(&self, _: &str, key: Option<Secret<String>>) -> Result<Secret<String>, AccountError> {
        Ok(key.unwrap_or_else(|| Secret::new("k3y-that-was-made".into())))
    }

    fn remove_user(&self, name: &str) -> Result<bool, AccountError> {
        let mut users = self.users.lock().expect("no panic");
        let before = users.len();
        users.retain(|u| u.name != name);
        Ok(users.len() < before)
    }

    fn sandbox_list(&self, limit: usize) -> io::Result<Option<Vec<SandboxMail>>> {
        Ok(self.mails.as_ref().map(|all| all.iter().map(|(m, _)| m.clone()).take(limit).collect()))
    }

    fn sandbox_read(&self, id: MessageId) -> io::Result<Option<(SandboxMail, Vec<u8>)>> {
        Ok(self.mails.iter().flatten().find(|(m, _)| m.message == id).cloned())
    }
}
