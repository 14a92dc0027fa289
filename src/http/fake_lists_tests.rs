//! The made-up daemon's lists of who is not written to, in a store of their own that is opened when it is first asked for.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use smol::future::block_on;

use super::fake::{HOSTILE, at, now};
use crate::{
    clock::Clock,
    config::{self, Config, InForce},
    event::ErrorClass,
    signing::{
        Keyring,
        fake::Script,
        rotate::{self, Rotation},
    },
    smtp::address::Mailbox,
    store::{MemoChange, MemoKind, RetentionPeriods, Store, StoreOptions},
    suppress::{
        Suppressions,
        acts::{Actor, ImportRow, NewEntry},
        row::Cause,
    },
    unsubscribe::{
        list::{Actor as ListActor, Leaver, Unsubscribes},
        row::How,
    },
    webhook::Webhooks,
};

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// The lists, once somebody asked.
pub(crate) struct Lists {
    busy: bool,
    opened: OnceLock<Opened>,
}

/// What is behind them.
pub(crate) struct Opened {
    dir: PathBuf,
    pub store: Store,
    pub suppressions: Suppressions,
    pub unsubscribes: Unsubscribes,
    pub webhooks: Webhooks,
    pub signing_keys: Rotation,
    /// What the DNS says of their records.
    pub dns: Script,
}

impl Drop for Opened {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Lists {
    /// With a day's rows.
    pub(crate) fn busy() -> Self {
        Lists { busy: true, opened: OnceLock::new() }
    }

    /// With none.
    pub(crate) fn empty() -> Self {
        Lists { busy: false, opened: OnceLock::new() }
    }

    pub(crate) fn get(&self) -> &Opened {
        self.opened.get_or_init(|| {
            let opened = open();
            if self.busy {
                block_on(fill(&opened));
            }
            opened
        })
    }
}

fn open() -> Opened {
    let n = FOLDERS.fetch_add(1, Ordering::SeqCst);
    let dir = std::env::temp_dir().join(format!("hikyaku-lists-{}-{n}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let day = Duration::from_secs(86_400);
    let retention = RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: day };
    let clock = Clock::manual(now());
    let options = StoreOptions { data_dir: dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
    let store = Store::open(options).expect("a store").store;
    let mut config = Config::default();
    config.webhooks.push(config::Webhook {
        name: "crm".into(),
        url: "https://crm.example.jp/hook?key=secret".into(),
        ..config::Webhook::default()
    });
    config.delivery.mode = config::Mode::Internet;
    config.domains.push(config::Domain { name: "example.jp".into(), ..config::Domain::default() });
    let ring = Keyring::new(&config);
    let config = InForce::new(config);
    let dns = Script::default();
    let keys = rotate::Parts {
        shelf: Arc::new(store.clone()),
        clock: clock.clone(),
        metrics: Arc::default(),
        config: config.clone(),
        ring,
        eyes: Arc::new(dns.clone()),
    };
    Opened {
        signing_keys: block_on(Rotation::open(keys)).expect("no keys"),
        dns,
        webhooks: Webhooks::without_tasks(store.clone(), clock.clone(), config.clone()),
        suppressions: Suppressions::without_task(store.clone(), clock.clone(), config.clone()),
        unsubscribes: Unsubscribes::new(store.clone(), clock, config),
        dir,
        store,
    }
}

/// An id of thirteen letters for an incident.
pub(crate) fn incident_id(n: u64) -> String {
    super::fake::id(9_000 + n).to_string()
}

async fn fill(opened: &Opened) {
    let who = Actor { who: "operator root".into(), from: "control socket".into() };
    let row = |address: &str, cause, class, occurred, reason: &str, since: &str| ImportRow {
        address: address.into(),
        user: String::new(),
        cause,
        class,
        occurred,
        reason: reason.into(),
        since: Some(at(since)),
        until: None,
    };
    let unknown = "550 5.1.1 The email account that you tried to reach does not exist";
    let rows = vec![
        row("nobody@example.com", Cause::Errors, Some(ErrorClass::UnknownUser), 1, unknown, "2026-11-24T13:33:56Z"),
        row(
            "old.taro@docomo.example",
            Cause::Errors,
            Some(ErrorClass::UnknownUser),
            1,
            unknown,
            "2026-11-20T01:00:00Z",
        ),
        row(
            "full@gmail.example",
            Cause::Errors,
            Some(ErrorClass::OverCapacity),
            5,
            "452 4.2.2 over quota",
            "2026-11-02T09:30:00Z",
        ),
        row("angry@example.net", Cause::Complaint, None, 1, "abuse", "2026-10-30T03:00:00Z"),
        row("hostile@example.net", Cause::Import, Some(ErrorClass::Other), 0, HOSTILE, "2026-09-01T00:00:00Z"),
        row("left@example.jp", Cause::Unsubscribe, None, 0, "", "2026-08-15T00:00:00Z"),
    ];
    opened.suppressions.import(&who, "list.csv", rows).await.expect("a batch");
    let new =
        NewEntry { address: "partner@example.org".into(), reason: "asked by phone".into(), ..NewEntry::default() };
    opened.suppressions.add(&who, new).await.expect("added");
    opened.suppressions.exempt(&who, "boss@example.jp", "").await.expect("exempt");
    opened.suppressions.lift(&who, "old.taro@docomo.example", "").await.expect("lifted");
    let leaver = |address: &str, list: &str| Leaver {
        address: Mailbox::parse(address).expect("an address"),
        list: list.into(),
        created: Some(at("2026-11-23T23:46:00Z")),
    };
    let by = ListActor { who: who.who, from: who.from };
    let leavers = [leaver("hanako@example.co.jp", "週刊ニュース"), leaver("a@example.org", "newsletter A")];
    opened.unsubscribes.add_many(&leavers, How::Import, &by).await.expect("left");
    incidents(opened).await;
}

/// Held places and troubles, as the follower would store them.
async fn incidents(opened: &Opened) {
    let hold = |n: u64, place: &str, state: &str, ended: Option<u64>, held: u64| {
        let id = incident_id(n);
        let value = serde_json::json!({
            "id": id, "place": place, "since_millis": now().as_millis() - 2_400_000, "opened_millis": now().as_millis() - 1_800_000,
            "ended_millis": ended.map(|ago| now().as_millis() - ago), "state": state,
            "operator": if ended.is_some() { "operator hanako" } else { "" },
            "errors": 41, "results": 64, "rate_percent": 64, "past_permille": 12, "held": held, "lost": 0,
            "example": "550 5.1.1 <taro@docomo.example>: Recipient address rejected: User unknown",
        });
        (format!("b/{id}"), value)
    };
    let trouble = |n: u64, destination: &str, reply: &str, class: &str, trouble: &str, known: bool, count: u64| {
        let id = incident_id(n);
        let value = serde_json::json!({
            "id": id, "destination": destination, "reply": reply, "class": class, "trouble": trouble, "known": known,
            "count": count, "first_millis": now().as_millis() - 90_000_000, "last_millis": now().as_millis() - 240_000,
            "example": reply, "event": 77,
        });
        (format!("t/{id}"), value)
    };
    let rows = [
        hold(1, "docomo.example", "held", None, 41),
        hold(2, "*.mailhost.example", "discarded", Some(86_000_000), 0),
        trouble(
            3,
            "gmail.example",
            "550 5.7.26 unauthenticated email is not accepted",
            "rejected",
            "authentication",
            true,
            212,
        ),
        trouble(4, "ezweb.example", "550 listed at a block list, see <url>", "rejected", "reputation", true, 37),
        trouble(5, "example.net", HOSTILE, "other", "destination", false, 3),
    ];
    let held = serde_json::json!({
        "at": now().as_millis() - 1_900_000, "number": 70, "class": 2, "trouble": "recipient", "hard": true,
        "provider": "", "reply": "550 5.1.1 User unknown",
    });
    let held =
        ["ichiro", "jiro", "saburo"].map(|name| (format!("h/{}/{name}@docomo.example", incident_id(1)), held.clone()));
    let changes = rows.into_iter().chain(held).map(|(key, value)| MemoChange {
        kind: MemoKind::Incidents,
        key,
        value: Some(serde_json::to_vec(&value).expect("JSON")),
    });
    opened.store.put_memos(changes.collect()).await.expect("stored");
}
