//! What the sandbox answers to the scheduler, and what is kept then.

use std::{fs, path::PathBuf};

use super::*;
use crate::{
    budget::Budget,
    clock::Timestamp,
    event::{Class, WaitReason},
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        params::{MailParams, RcptParams},
    },
    store::{BodyPlace, Lane, Origin, RecipientState},
};

const AT: Timestamp = Timestamp::from_millis(1_795_527_310_000);
const BODY: &[u8] = b"Subject: =?utf-8?b?5pel?=\r\n\r\n\xff\x00.\r\nno end";

#[derive(Clone)]
struct Disk;

impl Bodies for Disk {
    fn open_body(&self, message: &Message) -> Result<Box<dyn Read + Send>, StoreError> {
        match message.place {
            BodyPlace::Gone => Err(StoreError::Damaged("segment 3 is damaged".into())),
            BodyPlace::File | BodyPlace::Segment { .. } => Ok(Box::new(BODY)),
        }
    }
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hikyaku-sandbox-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn job(n: u64, locals: &[&str], body: Option<&'static [u8]>) -> Job {
    let id = MessageId::from_u64(n);
    let recipient = |(index, local): (usize, &&str)| Recipient {
        key: RecipientKey { message: id, index: index as u32 },
        address: Mailbox::parse(&format!("{local}@example.org")).expect("an address"),
        params: RcptParams::default(),
        lane: Lane("example.org".into()),
        state: RecipientState::Waiting { due: AT, wait: WaitReason::Fresh },
        attempts: 0,
        last_reply: String::new(),
        possible_duplicate: false,
        delay_noticed: false,
    };
    let recipients: Vec<Recipient> = locals.iter().enumerate().map(recipient).collect();
    let message = Message {
        id,
        accepted_at: AT,
        expires_at: AT.plus(Duration::from_secs(345_600)),
        sender: Mailbox::parse("a@example.jp").ok(),
        params: MailParams::default(),
        recipients: recipients.len() as u32,
        class: Class::Normal,
        facts: Facts { subject: "日".into(), ..Facts::default() },
        user: "shop".into(),
        source_ip: None,
        origin: Origin::Smtp,
        return_path: crate::bounce::envelope_from::ReturnPath::AsIs,
        list: String::new(),
        place: BodyPlace::File,
        len: BODY.len() as u64,
    };
    let lease = Budget::new(1 << 20).take(1).expect("fits");
    let body = body.map(|b| (Bytes::from_static(b), lease));
    let loaded = Arc::new(Loaded { message, recipients: recipients.clone(), body, leads: Default::default() });
    Job { lane: Lane("example.org".into()), loaded, recipients, path: Default::default() }
}

fn deliverer(sandbox: &Arc<Sandbox>) -> SandboxDeliver<Disk> {
    let mut deliverer = SandboxDeliver::new(sandbox.clone(), Disk, Clock::manual(AT), Shutdown::new());
    deliverer.slow = Duration::from_millis(1);
    deliverer
}

#[test]
fn simulator_addresses_answer_as_real_destinations_do() {
    let folder = Folder::new("answers");
    let sandbox = Arc::new(Sandbox::open(&folder.0).expect("opens"));
    let locals = ["hanako", "bounce", "Defer+today", "SLOW", "blocked+x", "bouncer"];
    let outcome = smol::block_on(deliverer(&sandbox).deliver(job(7, &locals, Some(BODY))));
    assert!(!outcome.interrupted && outcome.feedback == SiteFeedback::Healthy);
    let got: Vec<(u32, Verdict, Option<Phase>, Option<u8>)> = outcome
        .results
        .iter()
        .map(|r| (r.index, r.verdict.clone(), r.detail.phase, r.detail.error.map(ErrorClass::code)))
        .collect();
    let delivered = Verdict::Delivered { peer_does_dsn: false, peer_does_by: false };
    assert_eq!(
        got,
        [
            (0, delivered.clone(), Some(Phase::Content), None),
            (1, Verdict::Failed, Some(Phase::Rcpt), Some(2)),
            (2, Verdict::Deferred { site: false, damaged: false }, Some(Phase::Rcpt), Some(7)),
            (3, delivered.clone(), Some(Phase::Content), None),
            (4, Verdict::Failed, Some(Phase::Queue), Some(10)),
            (5, delivered, Some(Phase::Content), None),
        ]
    );
    assert!(outcome.results.iter().all(|r| r.detail.host == "sandbox"));
    let (mail, source) = sandbox.read(MessageId::from_u64(7)).expect("reads").expect("kept");
    assert_eq!(source, BODY, "byte for byte");
    assert_eq!(mail.recipients, ["hanako@example.org", "SLOW@example.org", "bouncer@example.org"]);
    assert_eq!(
        (mail.user.as_str(), mail.sender.as_str(), mail.subject.as_str(), mail.at, mail.len),
        ("shop", "a@example.jp", "日", AT, BODY.len() as u64)
    );
}

#[test]
fn a_mail_on_disk_is_read_from_there_and_a_damaged_one_is_held() {
    let folder = Folder::new("disk");
    let sandbox = Arc::new(Sandbox::open(&folder.0).expect("opens"));
    let deliverer = deliverer(&sandbox);
    smol::block_on(deliverer.deliver(job(1, &["a"], None)));
    smol::block_on(deliverer.deliver(job(1, &["b"], None)));
    let (mail, source) = sandbox.read(MessageId::from_u64(1)).expect("reads").expect("kept");
    assert_eq!(
        (mail.recipients, source),
        (vec!["a@example.org".to_owned(), "b@example.org".to_owned()], BODY.to_vec())
    );
    let mut damaged = job(2, &["c"], None);
    let mut loaded = Loaded {
        message: damaged.loaded.message.clone(),
        recipients: Vec::new(),
        body: None,
        leads: Default::default(),
    };
    loaded.message.place = BodyPlace::Gone;
    damaged.loaded = Arc::new(loaded);
    let outcome = smol::block_on(deliverer.deliver(damaged));
    assert_eq!(outcome.results[0].verdict, Verdict::Deferred { site: false, damaged: true });
    assert!(sandbox.read(MessageId::from_u64(2)).expect("reads").is_none());
    assert!(!sandbox.has(MessageId::from_u64(2)) && sandbox.has(MessageId::from_u64(1)));
}

#[test]
fn a_cut_ends_a_slow_delivery_without_a_trace() {
    let folder = Folder::new("cut");
    let sandbox = Arc::new(Sandbox::open(&folder.0).expect("opens"));
    let shutdown = Shutdown::new();
    let deliverer = SandboxDeliver::new(sandbox.clone(), Disk, Clock::system(), shutdown.clone());
    shutdown.cut();
    let outcome = smol::block_on(deliverer.deliver(job(1, &["slow"], Some(BODY))));
    assert!(outcome.interrupted);
    assert!(sandbox.list(10).expect("lists").is_empty());
}
