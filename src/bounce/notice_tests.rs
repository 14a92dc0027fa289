//! When a notice is written, for whom, and what shares one.

use std::sync::Mutex;

use super::*;
use crate::{
    event::{AttemptDetail, Event, EventKind, WaitReason},
    mail::header::Facts,
    smtp::params::{DeliverBy, MailParams, RcptParams},
    store::{BodyPlace, Lane},
};

const AT: Timestamp = Timestamp::from_millis(1_795_527_310_000);

/// A store of debts, and the door in one.
#[derive(Clone)]
struct Fake(Arc<Mutex<State>>);

struct State {
    owed: Vec<NoticeOwed>,
    messages: Vec<(Message, Vec<Recipient>)>,
    settled: Vec<RecipientKey>,
    sent: Vec<Notice>,
    refuse: bool,
}

impl Fake {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no panic before")
    }
}

impl Debts for Fake {
    fn notices_owed(&self, limit: usize) -> Result<Vec<NoticeOwed>, StoreError> {
        Ok(self.state().owed.iter().take(limit).cloned().collect())
    }
    fn load(&self, id: MessageId, indexes: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError> {
        let state = self.state();
        let found = state.messages.iter().find(|(m, _)| m.id == id);
        Ok(found.map(|(m, r)| (m.clone(), indexes.iter().filter_map(|i| r.get(*i as usize).cloned()).collect())))
    }
    fn open_body(&self, message: &Message) -> Result<Box<dyn Read + Send>, StoreError> {
        match message.place {
            BodyPlace::Gone => Err(StoreError::Damaged("gone".into())),
            BodyPlace::File | BodyPlace::Segment { .. } => {
                Ok(Box::new(std::io::Cursor::new(b"Subject: x\r\nX-Own: y\r\n\r\nthe body\r\n".to_vec())))
            }
        }
    }
    async fn settle_notices(&self, keys: Vec<RecipientKey>) -> Result<(), StoreError> {
        let mut state = self.state();
        state.owed.retain(|o| !keys.contains(&o.key));
        state.settled.extend(keys);
        Ok(())
    }
}

impl Door for Fake {
    async fn submit_notice(&self, notice: Notice) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.refuse {
            return Err(StoreError::Full);
        }
        state.owed.retain(|o| !notice.settles.contains(&o.key));
        state.sent.push(notice);
        Ok(())
    }
}

fn message(n: u64, sender: Option<&str>, recipients: u32) -> (Message, Vec<Recipient>) {
    let id = MessageId::from_u64(n);
    let message = Message {
        id,
        accepted_at: AT,
        expires_at: AT.plus(Duration::from_secs(345_600)),
        sender: sender.map(|s| Mailbox::parse(s).expect("an address")),
        params: MailParams::default(),
        recipients,
        class: crate::event::Class::Normal,
        facts: Facts { subject: "hello".into(), ..Facts::default() },
        user: String::new(),
        source_ip: None,
        origin: Origin::Smtp,
        return_path: crate::bounce::envelope_from::ReturnPath::AsIs,
        list: String::new(),
        place: BodyPlace::File,
        len: 34,
    };
    let recipient = |index| Recipient {
        key: RecipientKey { message: id, index },
        address: Mailbox::parse(&format!("r{index}@example.org")).expect("an address"),
        params: RcptParams::default(),
        lane: Lane("example.org".into()),
        state: RecipientState::Waiting { due: AT, wait: WaitReason::Retry },
        attempts: 1,
        last_reply: String::new(),
        possible_duplicate: false,
        delay_noticed: false,
    };
    (message, (0..recipients).map(recipient).collect())
}

fn debt(n: u64, index: u32, kind: NoticeKind, since: Timestamp) -> NoticeOwed {
    let key = RecipientKey { message: MessageId::from_u64(n), index };
    let detail = AttemptDetail { reply: format!("550 5.1.1 no r{index}"), ..AttemptDetail::default() };
    let event = Event {
        at: since,
        key,
        kind: EventKind::Failed,
        attempt: 1,
        next_try: None,
        wait: None,
        operator: None,
        detail: Some(Box::new(detail)),
    };
    NoticeOwed { key, kind, since, event }
}

fn world(messages: Vec<(Message, Vec<Recipient>)>, owed: Vec<NoticeOwed>) -> (Fake, Arc<Parts<Fake, Fake>>, Clock) {
    let mut messages = messages;
    for debt in owed.iter().filter(|o| o.kind != NoticeKind::Delay) {
        let (_, recipients) = messages.iter_mut().find(|(m, _)| m.id == debt.key.message).expect("there");
        recipients[debt.key.index as usize].state = RecipientState::Final(EventKind::Failed);
    }
    let state = State { owed, messages, settled: Vec::new(), sent: Vec::new(), refuse: false };
    let fake = Fake(Arc::new(Mutex::new(state)));
    let clock = Clock::manual(AT);
    let parts = Parts {
        runtime: Runtime::start(1).expect("threads"),
        store: fake.clone(),
        clock: clock.clone(),
        metrics: Arc::default(),
        shutdown: Shutdown::new(),
        door: Arc::new(fake.clone()),
        hostname: "relay.example.jp".into(),
    };
    (fake, Arc::new(parts), clock)
}

fn one_round(parts: &Arc<Parts<Fake, Fake>>) -> Result<(), StoreError> {
    smol::block_on(round(parts))
}

fn text(notice: &Notice) -> String {
    String::from_utf8_lossy(&notice.bytes).into_owned()
}

#[test]
fn a_single_recipients_failure_is_told_at_once() {
    let (fake, parts, _) = world(vec![message(1, Some("a@b.example"), 1)], vec![debt(1, 0, NoticeKind::Failure, AT)]);
    one_round(&parts).expect("works");
    let state = fake.state();
    assert_eq!(state.sent.len(), 1);
    assert_eq!(state.sent[0].to.as_str(), "a@b.example");
    let text = text(&state.sent[0]);
    assert!(text.contains("Status: 5.1.1") && text.contains("the body") && text.contains("message/rfc822"), "{text}");
    assert_eq!(parts.metrics.notices.get(), 1);
}

#[test]
fn recipients_that_fail_within_a_minute_share_a_notice() {
    let owed =
        vec![debt(1, 0, NoticeKind::Failure, AT), debt(1, 2, NoticeKind::Failure, AT.plus(Duration::from_secs(30)))];
    let (fake, parts, clock) = world(vec![message(1, Some("a@b.example"), 3)], owed);
    clock.advance(Duration::from_secs(59));
    one_round(&parts).expect("works");
    assert!(fake.state().sent.is_empty(), "the third may still join");
    clock.advance(Duration::from_secs(1));
    one_round(&parts).expect("works");
    let state = fake.state();
    assert_eq!(state.sent.len(), 1);
    assert_eq!(state.sent[0].settles.len(), 2);
    assert!(text(&state.sent[0]).contains("r0@example.org") && text(&state.sent[0]).contains("r2@example.org"));
}

#[test]
fn nobody_waits_when_no_recipient_is_left() {
    let owed = vec![debt(1, 1, NoticeKind::Failure, AT)];
    let (mut one, mut recipients) = message(1, Some("a@b.example"), 2);
    recipients[0].state = RecipientState::Final(EventKind::Succeeded);
    one.params.ret = Some(Ret::Headers);
    let (fake, parts, _) = world(vec![(one, recipients)], owed);
    one_round(&parts).expect("works");
    let state = fake.state();
    assert_eq!(state.sent.len(), 1);
    let text = text(&state.sent[0]);
    assert!(text.contains("X-Own: y") && !text.contains("the body"), "RET=HDRS: {text}");
}

#[test]
fn the_notice_of_a_mail_under_requiretls_goes_the_same_way_with_the_header_alone() {
    let (mut secret, recipients) = message(1, Some("a@b.example"), 1);
    secret.params.require_tls = true;
    secret.params.ret = Some(Ret::Full);
    let (fake, parts, _) = world(vec![(secret, recipients)], vec![debt(1, 0, NoticeKind::Failure, AT)]);
    one_round(&parts).expect("works");
    let state = fake.state();
    assert!(state.sent[0].require_tls);
    let text = text(&state.sent[0]);
    assert!(text.contains("X-Own: y") && !text.contains("the body"), "RFC 8689 §5: {text}");
}

#[test]
fn a_notice_says_that_the_deadline_is_over() {
    let (mut late, recipients) = message(1, Some("a@b.example"), 1);
    late.params.by = Some(DeliverBy { seconds: 60, mode: ByMode::Notify, trace: false });
    let owed = vec![debt(1, 0, NoticeKind::Delay, AT.plus(Duration::from_secs(61)))];
    let (fake, parts, _) = world(vec![(late, recipients)], owed);
    one_round(&parts).expect("works");
    let text = text(&fake.state().sent[0]);
    assert!(text.contains("Action: delayed") && text.contains("Status: 4.4.7"), "{text}");
    assert!(text.contains("Deliver-By-Date: Tue, 24 Nov 2026 13:36:10 +0000"), "{text}");
}

#[test]
fn nobody_bounces_a_bounce() {
    let (mut notice, recipients) = message(2, Some("a@b.example"), 1);
    notice.origin = Origin::Notice;
    let messages = vec![message(1, None, 1), (notice, recipients)];
    let owed = (1..=3).map(|n| debt(n.min(2), 0, NoticeKind::Failure, AT)).take(2).collect();
    let (fake, parts, _) = world(messages, owed);
    one_round(&parts).expect("works");
    let state = fake.state();
    assert!(state.sent.is_empty() && state.owed.is_empty());
    assert_eq!(state.settled.len(), 2);
}

#[test]
fn kinds_get_notices_of_their_own_and_a_lost_body_does_not_stop_them() {
    let (mut lost, recipients) = message(1, Some("a@b.example"), 3);
    lost.place = BodyPlace::Gone;
    let owed = vec![
        debt(1, 0, NoticeKind::Failure, AT),
        debt(1, 1, NoticeKind::Relayed, AT),
        debt(1, 2, NoticeKind::Success, AT),
    ];
    let (fake, parts, _) = world(vec![(lost, recipients)], owed);
    one_round(&parts).expect("works");
    let state = fake.state();
    let settles: Vec<usize> = state.sent.iter().map(|n| n.settles.len()).collect();
    assert_eq!(settles, [1, 2]);
    assert!(text(&state.sent[1]).contains("Action: relayed") && text(&state.sent[1]).contains("Action: delivered"));
}

#[test]
fn a_refused_notice_stays_owed() {
    let (fake, parts, _) = world(vec![message(1, Some("a@b.example"), 1)], vec![debt(1, 0, NoticeKind::Delay, AT)]);
    fake.state().refuse = true;
    assert!(one_round(&parts).is_err());
    assert_eq!(fake.state().owed.len(), 1);
    fake.state().refuse = false;
    one_round(&parts).expect("works");
    assert!(text(&fake.state().sent[0]).contains("Action: delayed"));
}
