//! Whom a mail is about, by every key that a mail can have, and whom it is not about.

use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    bounce::{envelope_from::ReturnPath, read::Original},
    clock::Timestamp,
    config::Domain,
    event::{Class, EventKind},
    mail::header::Facts,
    smtp::params::{MailParams, RcptParams},
    store::{BodyPlace, Lane, RecipientState},
};

/// A message of ours as the store has it, with its recipients.
pub(in crate::bounce) fn sent_message(n: u64, sender: &str, recipients: &[&str]) -> (Message, Vec<Recipient>) {
    let id = MessageId::from_u64(n << 30);
    let mailbox = |text: &str| Mailbox::parse(text).expect("an address");
    let message = Message {
        id,
        accepted_at: Timestamp::from_millis(1_795_527_310_000 + n),
        expires_at: Timestamp::MAX,
        sender: (!sender.is_empty()).then(|| mailbox(sender)),
        params: MailParams::default(),
        recipients: recipients.len() as u32,
        class: Class::Normal,
        facts: Facts { message_id: format!("<m{n}@own.example>"), ..Facts::default() },
        user: String::new(),
        source_ip: None,
        origin: Origin::Smtp,
        return_path: ReturnPath::AsIs,
        list: String::new(),
        place: BodyPlace::Gone,
        len: 1,
    };
    let recipient = |(index, address): (usize, &&str)| Recipient {
        key: RecipientKey { message: id, index: index as u32 },
        address: mailbox(address),
        params: RcptParams::default(),
        lane: Lane(mailbox(address).domain_key().into()),
        state: RecipientState::Final(EventKind::Succeeded),
        attempts: 1,
        last_reply: String::new(),
        possible_duplicate: false,
        delay_noticed: false,
    };
    (message, recipients.iter().enumerate().map(recipient).collect())
}

/// What was sent, and what was written of it.
#[derive(Clone, Default)]
pub(in crate::bounce) struct Memory(pub Arc<Mutex<State>>);

#[derive(Default)]
pub(in crate::bounce) struct State {
    pub sent: Vec<(Message, Vec<Recipient>)>,
    pub written: Vec<Returned>,
    pub broken: bool,
}

impl Memory {
    pub fn with(sent: Vec<(Message, Vec<Recipient>)>) -> Self {
        Memory(Arc::new(Mutex::new(State { sent, ..State::default() })))
    }
    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }
}

impl Sent for Memory {
    fn load(&self, id: MessageId, indexes: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError> {
        let state = self.state();
        let found = state.sent.iter().find(|(message, _)| message.id == id);
        Ok(found.map(|(m, r)| (m.clone(), indexes.iter().filter_map(|i| r.get(*i as usize).cloned()).collect())))
    }
    fn sent_as(&self, message_id: &str, _: usize) -> Result<Vec<(Message, Vec<Recipient>)>, StoreError> {
        let state = self.state();
        let mut found: Vec<_> = state.sent.iter().filter(|(m, _)| m.facts.message_id == message_id).cloned().collect();
        found.reverse();
        Ok(found)
    }
    fn find(&self, key: &str, limit: usize) -> Result<Vec<MessageId>, StoreError> {
        let state = self.state();
        let has = |recipients: &[Recipient]| recipients.iter().any(|r| same_address(key, &r.address));
        Ok(state.sent.iter().rev().filter(|(_, r)| has(r)).map(|(m, _)| m.id).take(limit).collect())
    }
    async fn returned(&self, returned: Vec<Returned>) -> Result<Vec<ReturnedAs>, StoreError> {
        let mut state = self.state();
        if state.broken {
            return Err(StoreError::Failed("no disk".into()));
        }
        let mut out = Vec::new();
        for one in returned {
            let same = |known: &Returned| (known.key, known.kind) == (one.key, one.kind) && known.detail == one.detail;
            match state.written.iter().position(same) {
                Some(at) => out.push(ReturnedAs::Known(at as u64)),
                None => {
                    state.written.push(one);
                    out.push(ReturnedAs::Written(state.written.len() as u64));
                }
            }
        }
        Ok(out)
    }
}

/// Tokens of the form `b-MESSAGE-INDEX`; `news` is a sender whose local part was kept.
pub(in crate::bounce) struct Readable;

impl Tokens for Readable {
    fn open(&self, local: &str) -> Opened {
        let parts: Vec<String> = local.to_lowercase().split('-').map(str::to_owned).collect();
        match parts.as_slice() {
            [b, id, index] if b == "b" => match (id.parse(), index.parse()) {
                (Ok(message), Ok(index)) => Opened::Valid(RecipientKey { message, index }),
                _ => Opened::Forged,
            },
            _ => Opened::NotAToken,
        }
    }
    fn is_return_path(&self, address: &Mailbox) -> bool {
        address.local().eq_ignore_ascii_case("news")
    }
}

pub(in crate::bounce) fn token(n: u64, index: u32) -> String {
    format!("b-{}-{index}@bounce.own.example", MessageId::from_u64(n << 30))
}

pub(in crate::bounce) fn config() -> Config {
    let mut config = Config::default();
    config.server.hostname = "relay.own.example".into();
    config.domains.push(Domain { return_domain: "bounce.own.example".into(), ..Domain::default() });
    config.bounce.complaint_address = "fbl@own.example".into();
    config
}

fn sent() -> Memory {
    let mut notice = sent_message(5, "", &["taro@a.example"]);
    notice.0.origin = Origin::Forward;
    Memory::with(vec![
        sent_message(1, "news@own.example", &["taro@a.example", "hanako@b.example"]),
        sent_message(2, "shop@own.example", &["taro@a.example"]),
        sent_message(3, "news@own.example", &["jiro@c.example"]),
        sent_message(4, "news@own.example", &["taro@a.example", "saburo@d.example"]),
        notice,
    ])
}

fn failed(recipient: &str, failed_at: &str) -> Row {
    Row { recipient: recipient.into(), failed_at: failed_at.into(), ..Row::default() }
}

/// Recipients found, as `message:index by row's recipient`.
fn ask(to: &[&str], rows: Vec<Row>, original: Original) -> Vec<String> {
    let config = config();
    let to: Vec<(Mailbox, Inlet)> = to
        .iter()
        .map(|text| {
            let address = Mailbox::parse(text).expect("an address");
            let inlet = crate::intake::inlets::inlet_of(&config, &Readable, &address).expect("it is taken");
            (address, inlet)
        })
        .collect();
    let reading = Reading { rows, original, ..Reading::default() };
    let sent = sent();
    let question = Question { sent: &sent, tokens: &Readable, config: &config, to: &to, reading: &reading };
    let found = question.ask().expect("the store works");
    found
        .iter()
        .map(|f| {
            let row = f.row.as_ref().map_or("-", |row| &row.recipient);
            format!("{}:{} {} {row}", f.message.id.as_u64() >> 30, f.recipient.key.index, f.by.word())
        })
        .collect()
}

fn by_id(n: u64) -> Original {
    Original { message_id: format!("<m{n}@own.example>"), ..Original::default() }
}

#[test]
fn a_token_decides_alone() {
    let (taro, hanako, stranger) =
        (failed("taro@a.example", ""), failed("hanako@b.example", ""), failed("x@y.example", ""));
    for (to, rows, original, expected) in [
        (vec![token(1, 0)], vec![], Original::default(), vec!["1:0 token -"]),
        (vec![token(1, 0).to_uppercase()], vec![taro.clone()], Original::default(), vec!["1:0 token taro@a.example"]),
        // Who holds one token cannot speak of others, by any key.
        (vec![token(1, 0)], vec![hanako.clone()], by_id(3), vec!["1:0 token hanako@b.example"]),
        (vec![token(1, 0)], vec![stranger, taro.clone()], Original::default(), vec!["1:0 token taro@a.example"]),
        (
            vec![token(1, 0), token(1, 1), token(1, 0)],
            vec![hanako, taro],
            Original::default(),
            vec!["1:0 token taro@a.example", "1:1 token hanako@b.example"],
        ),
        (vec![token(1, 7)], vec![], by_id(1), vec![]),
        (vec![token(9, 0)], vec![failed("jiro@c.example", "")], by_id(3), vec![]),
    ] {
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        assert_eq!(ask(&to, rows, original), expected, "{to:?}");
    }
}

#[test]
fn without_a_token_envid_message_id_and_address_name_the_recipient() {
    let news = "news@bounce.own.example";
    let envid = |text: String| Original { envid: text, ..Original::default() };
    let first = MessageId::from_u64(1 << 30);
    let quoted = |path: String| Original { return_paths: vec!["x@elsewhere.example".into(), path], ..by_id(3) };
    for (rows, original, expected) in [
        (vec![failed("hanako@b.example", "")], envid(first.to_string()), vec!["1:1 envid hanako@b.example"]),
        (vec![failed("hanako@b.example", "")], envid(format!("{first}.0")), vec!["1:1 envid hanako@b.example"]),
        (vec![failed("", "TARO@a.example")], by_id(1), vec!["1:0 message-id "]),
        (
            vec![failed("taro@a.example", ""), failed("hanako@b.example", "")],
            by_id(1),
            vec!["1:0 message-id taro@a.example", "1:1 message-id hanako@b.example"],
        ),
        // Of several recipients none is named.
        (vec![failed("", "")], by_id(1), vec![]),
        // One recipient is that one, whatever it is called.
        (vec![], by_id(3), vec!["3:0 message-id -"]),
        (vec![failed("jiro@inside.example", "")], by_id(3), vec!["3:0 message-id jiro@inside.example"]),
        // The newest mail of that sender to the address.
        (vec![failed("taro@a.example", "")], Original::default(), vec!["4:0 address taro@a.example"]),
        (vec![failed("taro@a.example", "")], by_id(8), vec!["4:0 address taro@a.example"]),
        (vec![failed("nobody@a.example", "")], Original::default(), vec![]),
        (vec![], Original::default(), vec![]),
        (vec![failed("x@y.example", "")], quoted(format!("<{}>", token(1, 1))), vec!["1:1 returned-token x@y.example"]),
        (vec![], quoted("b-forged@bounce.own.example".into()), vec!["3:0 message-id -"]),
    ] {
        assert_eq!(ask(&[news], rows.clone(), original.clone()), expected, "{rows:?} {original:?}");
    }
}

#[test]
fn a_return_address_is_about_mail_of_its_own_sender_alone() {
    let news = "news@bounce.own.example";
    assert_eq!(ask(&[news], vec![failed("taro@a.example", "")], by_id(2)), ["4:0 address taro@a.example"]);
    let envid = Original { envid: MessageId::from_u64(2 << 30).to_string(), ..Original::default() };
    assert_eq!(ask(&[news], vec![], envid), Vec::<String>::new());
    // Nothing that we passed on comes back by any key.
    assert_eq!(ask(&["fbl@own.example"], vec![], by_id(5)), Vec::<String>::new());
}

#[test]
fn a_complaint_names_its_recipient_without_a_token() {
    let fbl = "fbl@own.example";
    assert_eq!(ask(&[fbl], vec![failed("taro@a.example", "")], by_id(1)), ["1:0 message-id taro@a.example"]);
    assert_eq!(ask(&[fbl], vec![failed("taro@a.example", "")], Original::default()), ["4:0 address taro@a.example"]);
    let original = Original { return_paths: vec![token(1, 1)], ..Original::default() };
    assert_eq!(ask(&[fbl], vec![], original), ["1:1 returned-token -"]);
}

#[test]
fn a_hostile_report_is_read_within_bounds() {
    let rows: Vec<Row> = (0..100_000).map(|n| failed(&format!("x{n}@y.example"), "")).collect();
    let original =
        Original { return_paths: (0..100_000).map(|n| format!("b-{n}@bounce.own.example")).collect(), ..by_id(1) };
    assert_eq!(ask(&["news@bounce.own.example"], rows, original), Vec::<String>::new());
}
