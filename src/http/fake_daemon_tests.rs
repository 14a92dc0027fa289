//! The made-up daemon's answers: what [`Fake`] says to the routes.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use super::fake::{Fake, HOSTILE, KEY, now};
use crate::{
    account::{self, Accounts, Actor, Login, LoginRefusal},
    clock::{Clock, Timestamp},
    config::{Config, Suppression},
    deliver::counted::{RuleUse, WarmUpState},
    event::WaitReason,
    fact::Fact,
    http::{
        api::{caller::Calls, transaction::paging::PageMarks},
        daemon::{About, Daemon, ExplainQuery, LaneActivity, Logs, Unready},
        day_sums::DaySums,
        exchange::Stream,
        owner_links::OwnerLinks,
        queue_acts::{ActEnd, ActView},
        resources::Resources,
        views::Views,
        when::Zone,
    },
    ids::MessageId,
    language::Language,
    metrics::Metrics,
    net::dns::Validation,
    sandbox::SandboxMail,
    schedule::trouble::SiteTrouble,
    secret::Secret,
    signing::rotate::Rotation,
    smtp::{address::Mailbox, conversation::Conversation},
    store::{
        Account, AuditEntry, AuditPage, AuditQuery, Found, FoundPage, Glance, GlanceAsk, LaneRow, LogPage, LogQuery,
        LogRow, MemoKind, Message, MinuteCounts, Page, Pause, QuarterCounts, QueueAct, QueueCount, QueueFilter,
        QueuePage, QueueRow, QueueSums, Recipient, RecipientState, RetentionPeriods, StoreError, Story, Totals,
    },
    suppress::Suppressions,
    unsubscribe::list::Unsubscribes,
    webhook::Webhooks,
};

/// What is decided about a destination; one of the facts quotes what came from outside.
fn decisions(destination: &str) -> Vec<Fact> {
    vec![
        Fact::new("class", "normal: nothing says otherwise", "通常：指定なし"),
        Fact::told("site", |_| format!("mx1.{destination} (+2), 3 of 8 connections")),
        Fact::told("tls", |l| l.pick("opportunistic, from [delivery] tls; ", "設定; ").to_owned() + HOSTILE),
        Fact::told("rule", |_| "docomo: recipients matches @docomo; 4 connections, 250 ms apart".into()),
        Fact::new("next try", "in 4 min", "4 分後に送信します。"),
    ]
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

    fn validation(&self) -> Option<Validation> {
        self.validation
    }

    fn rule_uses(&self) -> Vec<RuleUse> {
        self.rule_uses.clone()
    }

    fn warm_ups(&self) -> Vec<WarmUpState> {
        self.warm_ups.clone()
    }

    fn explain(&self, query: &ExplainQuery) -> Result<Vec<Fact>, StoreError> {
        self.check()?;
        let from = query.sender.as_ref().map_or("<>", Mailbox::as_str);
        let mut facts = vec![Fact::told("policy", |_| format!("{from} may send, user {:?}", query.user))];
        facts.extend(decisions(query.recipient.domain()));
        Ok(facts)
    }

    fn facts_of(&self, _: &Message, recipient: &Recipient, _: Duration) -> Vec<Fact> {
        decisions(recipient.lane.destination())
    }

    fn totals(&self) -> Totals {
        self.totals
    }

    fn lanes(&self, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
        self.check()?;
        Ok(self.lanes.iter().take(limit).cloned().collect())
    }

    fn oldest(&self) -> Result<[Option<Timestamp>; 3], StoreError> {
        self.check()?;
        Ok(self.oldest)
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
                    blocked: 0,
                }
            })
            .collect())
    }

    fn each_count(
        &self,
        from: Timestamp,
        to: Timestamp,
        user: Option<&str>,
        each: &mut dyn FnMut(QuarterCounts),
    ) -> Result<(), StoreError> {
        self.check()?;
        let wanted = |c: &&QuarterCounts| c.start >= from && c.start < to && user.is_none_or(|user| user == c.user);
        self.counts.iter().filter(wanted).for_each(|c| each(c.clone()));
        Ok(())
    }

    fn troubles(&self, limit: usize) -> Vec<SiteTrouble> {
        self.troubles.iter().take(limit).cloned().collect()
    }

    fn lately(&self) -> Vec<crate::deliver::lately::Lately> {
        self.lately.clone()
    }

    fn resources(&self) -> Resources {
        self.resources
    }

    fn each_minute_count(
        &self,
        from: Timestamp,
        to: Timestamp,
        user: Option<&str>,
        each: &mut dyn FnMut(QuarterCounts),
    ) -> Result<(), StoreError> {
        if !self.counts.is_empty() {
            return self.each_count(from, to, user, each);
        }
        // All of it is one user's.
        const USER: &str = "shop-app";
        if user.is_none_or(|user| user == USER) {
            for minute in self.minutes(from, to)? {
                each(QuarterCounts {
                    start: minute.minute,
                    user: USER.into(),
                    queued: minute.queued,
                    deferred: minute.deferred,
                    succeeded: minute.succeeded,
                    failed: minute.failed,
                    ..QuarterCounts::default()
                });
            }
        }
        Ok(())
    }

    fn minutes_by_user_from(&self) -> Result<Timestamp, StoreError> {
        self.check()?;
        Ok(now().minus(Duration::from_secs(20 * 86_400)))
    }

    fn owner_links(&self) -> &OwnerLinks {
        &self.owner_links
    }

    fn day_sums(&self) -> &DaySums {
        &self.day_sums
    }

    fn archive_trouble(&self) -> Option<String> {
        self.archive_trouble.clone()
    }

    fn queue_page(&self, filter: &QueueFilter, page: &Page) -> Result<QueuePage, StoreError> {
        self.check()?;
        let mut rows = Vec::new();
        for story in &self.stories {
            for recipient in &story.recipients {
                let RecipientState::Waiting { wait, .. } = recipient.state else { continue };
                let is_held = matches!(wait, WaitReason::Held | WaitReason::Damaged);
                if filter.index.is_none_or(|n| n == recipient.key.index)
                    && filter.wait.is_none_or(|wanted| wanted == wait)
                    && filter.class.is_none_or(|class| class == story.message.class)
                    && recipient.last_reply.contains(&filter.reply)
                    && (filter.user.is_empty() || filter.user == story.message.user)
                    && recipient.address.as_str().contains(&filter.recipient)
                    && filter.message.is_none_or(|m| m == story.message.id)
                    && (filter.destination.is_empty() || recipient.lane.destination() == filter.destination)
                    && (!filter.held || is_held)
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
        FakeLogs::of(self).log_page(query, page)
    }

    fn audit_page(&self, query: &AuditQuery, page: &Page) -> Result<AuditPage, StoreError> {
        self.check()?;
        FakeLogs::of(self).audit_page(query, page)
    }

    fn message_story(&self, id: MessageId) -> Result<Option<Story>, StoreError> {
        self.check()?;
        Ok(self.stories.iter().find(|s| s.message.id == id).cloned())
    }

    fn message_glance(&self, id: MessageId, ask: &GlanceAsk) -> Result<Option<Glance>, StoreError> {
        let story = self.message_story(id)?;
        Ok(story.map(|story| super::fake_glance_tests::glance(&story, ask, &self.about(), self.now())))
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

    fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        self.check()?;
        Ok(self.pauses.lock().expect("no panic").clone())
    }

    fn pause(&self, pause: Pause, _: &str) -> Result<(), StoreError> {
        self.check()?;
        self.pauses.lock().expect("no panic").push(pause);
        Ok(())
    }

    fn unpause(&self, destination: &str, _: &str, _: &str) -> Result<bool, StoreError> {
        self.check()?;
        let mut pauses = self.pauses.lock().expect("no panic");
        let before = pauses.len();
        pauses.retain(|p| p.destination != destination);
        Ok(pauses.len() < before)
    }

    fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.audits.lock().expect("no panic").push(entry);
        Ok(())
    }

    fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.check()?;
        Ok(self.users().list())
    }

    fn users(&self) -> &Accounts {
        self.accounts.get_or_init(|| {
            let (clock, config) = (Clock::manual(now()), crate::config::Accounts::default());
            Accounts::with_store(Box::new(self.shelf.clone()), clock, self.metrics.clone(), &config).expect("a shelf")
        })
    }

    fn tls_reports(&self) -> &dyn crate::tls_report::receive::Shelf {
        &self.tls_reports
    }

    fn domain_checks(&self) -> &dyn crate::doctor::round::Findings {
        &self.domain_checks
    }

    fn dmarc(&self) -> &dyn crate::dmarc::monitor::Desk {
        &self.dmarc
    }

    fn diagnose(
        &self,
        question: &crate::diagnose::Question,
    ) -> Result<crate::diagnose::Diagnosis, crate::diagnose::NoDiagnosis> {
        self.check()?;
        crate::http::fake_domains_tests::diagnosis(question, &self.stories)
    }

    fn memo_count(&self, kind: MemoKind) -> Result<u64, StoreError> {
        self.check()?;
        self.lists.get().store.memo_count(kind)
    }

    fn suppressions(&self) -> &Suppressions {
        &self.lists.get().suppressions
    }

    fn suppression(&self) -> Suppression {
        Suppression::default()
    }

    fn unsubscribes(&self) -> &Unsubscribes {
        &self.lists.get().unsubscribes
    }

    fn webhooks(&self) -> &Webhooks {
        &self.lists.get().webhooks
    }

    fn signing_keys(&self) -> &Rotation {
        &self.lists.get().signing_keys
    }

    fn sandbox_list(&self, limit: usize) -> io::Result<Vec<SandboxMail>> {
        Ok(self.mails.iter().map(|(m, _)| m.clone()).take(limit).collect())
    }

    fn sandbox_has(&self, id: MessageId) -> bool {
        self.mails.iter().any(|(m, _)| m.message == id)
    }

    fn sandbox_read(&self, id: MessageId) -> io::Result<Option<(SandboxMail, Vec<u8>)>> {
        Ok(self.mails.iter().find(|(m, _)| m.message == id).cloned())
    }

    fn zone(&self) -> Zone {
        Zone::named("Asia/Tokyo")
    }

    /// Every user's key is [`KEY`].
    fn check_login(
        &self,
        _door: account::Door,
        _source: IpAddr,
        name: &str,
        key: &Secret<String>,
    ) -> Result<Login, LoginRefusal> {
        match self.users().list().iter().find(|user| user.name == name && key.reveal() == KEY) {
            Some(user) => Ok(Login::from(user)),
            None => Err(LoginRefusal::Wrong { after: Duration::ZERO }),
        }
    }

    fn posting(&self) -> Option<&crate::http::api::emails::Posting> {
        None
    }

    fn calls(&self) -> &Calls {
        &self.calls
    }

    fn clock(&self) -> Clock {
        Clock::manual(now())
    }

    fn composition(&self) -> String {
        "main".into()
    }

    fn logs(&self) -> Arc<dyn Logs> {
        Arc::new(FakeLogs::of(self))
    }

    fn page_marks(&self) -> &PageMarks {
        &self.page_marks
    }

    fn mail_reset(&self, name: &str, by: Actor, language: Language) {
        self.resets.lock().expect("no panic").push(format!("{name} {:?} {language:?}", by.words()));
    }

    fn queue_sums(&self) -> Result<QueueSums, StoreError> {
        let all = Page { rows_max: usize::MAX, ..Page::default() };
        let mut sums = QueueSums::default();
        for row in self.queue_page(&QueueFilter::default(), &all)?.rows {
            let RecipientState::Waiting { wait, .. } = row.recipient.state else { continue };
            let place = WaitReason::ALL.iter().position(|known| *known == wait).expect("a reason");
            sums.waits[row.message.class as usize][place] += 1;
            match sums.users.iter_mut().find(|(name, _)| *name == row.message.user) {
                Some((_, count)) => *count += 1,
                None => sums.users.push((row.message.user.clone(), 1)),
            }
        }
        Ok(sums)
    }

    fn count_waiting(&self, filter: &QueueFilter, _: Duration) -> Result<QueueCount, StoreError> {
        let all = Page { rows_max: usize::MAX, ..Page::default() };
        let recipients = self.queue_page(filter, &all)?.rows.len() as u64;
        Ok(QueueCount { recipients, is_whole: true })
    }

    fn act_soon(&self, act: QueueAct, _: Duration) -> Result<ActEnd, StoreError> {
        self.act(act).map(ActEnd::Done)
    }

    fn acts(&self) -> Vec<ActView> {
        self.running.clone()
    }

    fn views(&self) -> &Views {
        &self.views
    }

    fn config(&self) -> Arc<Config> {
        self.config.clone()
    }

    fn search(&self, text: &str, page: &Page) -> Result<FoundPage, StoreError> {
        self.check()?;
        let text = text.to_lowercase();
        let has = |other: &str| other.to_lowercase().contains(&text);
        let mut found: Vec<Found> = Vec::new();
        for story in &self.stories {
            let m = &story.message;
            let hit = story.recipients.iter().find(|r| has(r.address.as_str()));
            let sender = m.sender.as_ref().map_or("", Mailbox::as_str);
            if hit.is_some() || [sender, &m.facts.from, &m.facts.subject, &m.facts.api_data].iter().any(|t| has(t)) {
                let recipient = hit.or(story.recipients.first()).cloned();
                found.push(Found { message: m.clone(), recipient });
            }
        }
        let (messages, next) = paged(found, page);
        Ok(FoundPage { messages, looked_back_to: next.as_ref().map(|_| now()), next })
    }

    fn found(&self, ids: &[MessageId], address: &str) -> Result<Vec<Found>, StoreError> {
        self.check()?;
        let of = |id: &MessageId| self.stories.iter().find(|s| s.message.id == *id);
        let found = ids.iter().filter_map(of).map(|story| Found {
            message: story.message.clone(),
            recipient: story
                .recipients
                .iter()
                .find(|r| r.address.as_str() == address)
                .or(story.recipients.first())
                .cloned(),
        });
        Ok(found.collect())
    }

    fn conversations(&self, numbers: &[u64]) -> Result<Vec<Option<Conversation>>, StoreError> {
        self.check()?;
        Ok(numbers.iter().map(|number| (*number > 1).then(super::fake_glance_tests::conversation)).collect())
    }

    fn open_body(&self, message: &Message) -> Result<Box<dyn io::Read + Send>, StoreError> {
        self.check()?;
        Ok(Box::new(io::Cursor::new(format!("Subject: {}\r\n\r\nhi\r\n", message.facts.subject).into_bytes())))
    }
}

/// The logs of a [`Fake`], as they were when a stream began.
struct FakeLogs {
    broken: bool,
    rows: Vec<LogRow>,
    audits: Vec<AuditEntry>,
}

impl FakeLogs {
    fn of(fake: &Fake) -> Self {
        let mut audits = fake.audits.lock().expect("no panic").clone();
        audits.extend(fake.shelf.audit());
        FakeLogs { broken: fake.broken, rows: fake.log_rows(), audits }
    }
}

impl Logs for FakeLogs {
    fn log_page(&self, query: &LogQuery, page: &Page) -> Result<LogPage, StoreError> {
        if self.broken {
            return Err(StoreError::Failed("EIO".into()));
        }
        let sender = |r: &LogRow| r.message.sender.as_ref().map_or(String::new(), ToString::to_string);
        let mut rows = self.rows.clone();
        rows.retain(|r| {
            query.from.is_none_or(|t| r.event.at >= t)
                && query.to.is_none_or(|t| r.event.at < t)
                && r.recipient.contains(&query.recipient)
                && (sender(r).contains(&query.sender) || r.message.facts.from.contains(&query.sender))
                && r.message.facts.message_id.contains(&query.message_id)
                && r.message.facts.api_data.contains(&query.api_data)
                && r.message.facts.subject.contains(&query.subject)
                && (query.user.is_empty() || r.message.user == query.user)
                && (query.kinds.is_empty() || query.kinds.contains(&r.event.kind))
                && (!query.errors_only || r.event.kind.is_error())
                && (!query.exact || query.recipient.is_empty() || r.recipient == query.recipient)
                && (query.classes.is_empty()
                    || (r.event.kind.is_error() && query.classes.contains(&crate::records::bounce_class(&r.event))))
                && (query.domain.is_empty() || r.recipient.ends_with(&format!("@{}", query.domain)))
        });
        let (rows, next) = paged(rows, page);
        Ok(LogPage { rows, next, looked_back_to: None })
    }

    fn audit_page(&self, query: &AuditQuery, page: &Page) -> Result<AuditPage, StoreError> {
        let mut rows = self.audits.clone();
        rows.retain(|r| {
            r.act.contains(&query.act)
                && r.who.contains(&query.who)
                && query.logins.is_none_or(|logins| logins == (r.act == "login"))
                && [&r.object, &r.detail, &r.from].into_iter().any(|part| part.contains(&query.text))
                && query.from.is_none_or(|t| r.at >= t)
                && query.to.is_none_or(|t| r.at < t)
        });
        rows.reverse();
        let (rows, next) = paged(rows, page);
        let numbers = (1..=rows.len() as u64).rev().collect();
        Ok(AuditPage { rows, numbers, next, looked_back_to: None })
    }
}
