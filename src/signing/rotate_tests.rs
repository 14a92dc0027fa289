//! Rotations in a daemon that is restarted, cut off, and misled.

use std::sync::atomic::Ordering;

use super::*;
use crate::{
    config::{Config, DkimKey, Domain},
    signing::{
        fake::{RamShelf, Script},
        life::RECORD_STAYS,
        witness::Says,
    },
};

const DAY: Duration = Duration::from_secs(86_400);
const NEW: &str = "e20261129._domainkey.example.jp";
const OLD: &str = "h2026a._domainkey.example.jp";

/// Everything that outlives a process, and the process.
struct Rig {
    shelf: RamShelf,
    script: Script,
    clock: Clock,
    config: InForce,
    ring: Keyring,
    metrics: Arc<Metrics>,
    rotation: Rotation,
}

fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(Algorithm::Ed25519Sha256, 0).expect("a key").0)
}

fn config_of(keys: &[(&str, Arc<SigningKey>)]) -> Config {
    let dkim = keys.iter().map(|(selector, key)| DkimKey {
        selector: (*selector).into(),
        key: Some(key.clone()),
        ..DkimKey::default()
    });
    let mut config = Config::default();
    config.delivery.mode = Mode::Internet;
    config.domains.push(Domain { name: "Example.jp".into(), dkim: dkim.collect(), ..Domain::default() });
    config
}

impl Rig {
    fn new(config: Config) -> Self {
        let clock = Clock::manual(Timestamp::from_rfc3339("2026-11-29T12:00:00Z").expect("a time"));
        Self::start(RamShelf::default(), Script::default(), clock, config)
    }

    fn start(shelf: RamShelf, script: Script, clock: Clock, config: Config) -> Self {
        let ring = Keyring::new(&config);
        let config = InForce::new(config);
        let metrics = Arc::new(Metrics::default());
        let parts = Parts {
            shelf: Arc::new(shelf.clone()),
            clock: clock.clone(),
            metrics: metrics.clone(),
            config: config.clone(),
            ring: ring.clone(),
            eyes: Arc::new(script.clone()),
        };
        let rotation = smol::block_on(Rotation::open(parts)).expect("it opens");
        Rig { shelf, script, clock, config, ring, metrics, rotation }
    }

    /// The process dies and starts again, with this config.
    fn restart(&self, config: Config) -> Self {
        Self::start(self.shelf.clone(), self.script.clone(), self.clock.clone(), config)
    }

    fn reload(&self, config: Config) {
        self.ring.reload(&config);
        self.config.swap(config);
        smol::block_on(self.rotation.follow_config()).expect("it follows");
    }

    fn wish(&self, hurry: bool) -> Result<Life, Refusal> {
        smol::block_on(self.rotation.begin(&Wish {
            domain: "EXAMPLE.jp.".into(),
            algorithm: Algorithm::Ed25519Sha256,
            bits: 2048,
            selector: String::new(),
            hurry,
        }))
    }

    fn round(&self) -> Duration {
        smol::block_on(self.rotation.round())
    }

    /// Time passes, and the task looks whenever it is time.
    fn live(&self, span: Duration) {
        let end = self.clock.now().plus(span);
        for _ in 0..100_000 {
            let rest = self.round();
            let left = end.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            self.clock.advance(rest.min(left));
        }
        panic!("the task does not rest");
    }

    #[track_caller]
    fn signs(&self, selectors: &[&str]) {
        let found = self.ring.for_from("example.jp");
        let found: Vec<String> = found.iter().flat_map(|f| f.iter()).map(|i| i.selector.clone()).collect();
        assert_eq!(found, selectors);
    }

    #[track_caller]
    fn stages(&self, expected: &[(&str, Stage)]) {
        let keys = self.rotation.keys(Some("example.jp"));
        let found: Vec<(&str, Stage)> = keys.iter().map(|v| (v.life.selector.as_str(), v.life.stage)).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_rotation_survives_a_death_at_every_stage() {
    let old = key();
    let with_old = || config_of(&[("h2026a", old.clone())]);
    let mut rig = Rig::new(with_old());
    rig.signs(&["h2026a"]);
    let made = rig.wish(false).expect("a rotation");
    assert_eq!(made.record_name(), NEW);
    assert_eq!(rig.shelf.audited(), [format!("dkim.made {NEW}")]);
    rig.script.set(OLD, Says::Right);
    for _ in 0..2 {
        rig = rig.restart(with_old());
        rig.signs(&["h2026a"]);
        rig.stages(&[("e20261129", Stage::Pending), ("h2026a", Stage::Active)]);
        rig.live(3 * DAY);
    }
    rig.script.set(NEW, Says::Right);
    rig.live(Duration::from_secs(3601));
    rig.stages(&[("e20261129", Stage::Published), ("h2026a", Stage::Active)]);
    assert_eq!(rig.shelf.audited(), [format!("dkim.published {NEW}")]);
    rig = rig.restart(with_old());
    rig.signs(&["h2026a"]);
    rig.shelf.0.mail_waits.store(true, Ordering::SeqCst);
    rig.live(Duration::from_secs(1000));
    rig.stages(&[("e20261129", Stage::Active), ("h2026a", Stage::Retiring)]);
    rig.signs(&["e20261129"]);
    assert_eq!(rig.shelf.audited(), [format!("dkim.active {NEW}"), format!("dkim.retiring {OLD}")]);
    // The config still names the old one: the new one signs all the same, and the operator hears what may go.
    rig = rig.restart(with_old());
    rig.signs(&["e20261129"]);
    let views = rig.rotation.keys(Some("example.jp"));
    assert!(views[0].signs && !views[1].signs);
    assert!(views[1].words.todo.contains("its lines in the config may be removed"), "{:?}", views[1].words);
    rig.live(20 * DAY);
    rig.stages(&[("e20261129", Stage::Active), ("h2026a", Stage::Retiring)]);
    // Now they are gone from the config, and mail still waits.
    rig.reload(config_of(&[]));
    rig.signs(&["e20261129"]);
    rig.shelf.0.mail_waits.store(false, Ordering::SeqCst);
    rig.live(Duration::from_secs(6 * 3600));
    assert_eq!(rig.shelf.audited(), [format!("dkim.drained {OLD}")]);
    rig = rig.restart(config_of(&[]));
    rig.live(RECORD_STAYS + Duration::from_secs(6 * 3600));
    rig.stages(&[("e20261129", Stage::Active), ("h2026a", Stage::Retired)]);
    rig.script.set(OLD, Says::Absent);
    rig.live(2 * DAY);
    assert_eq!(rig.shelf.audited(), [format!("dkim.retired {OLD}"), format!("dkim.gone {OLD}")]);
    rig.live(40 * DAY);
    rig.stages(&[("e20261129", Stage::Active)]);
    assert_eq!(rig.shelf.0.rows.lock().expect("rows").len(), 1);
    // After a year, its age is an alarm.
    rig.live(330 * DAY);
    let views = rig.rotation.keys(None);
    assert!(views[0].words.alarms[0].contains("more than [dkim] key_age_max"), "{:?}", views[0].words);
    assert!(rig.metrics.dkim_key_age_seconds.get() > 365 * 86_400);
    assert_eq!((rig.metrics.dkim_key_alarms.get(), rig.metrics.dkim_rotations.get()), (1, 0));
}

#[test]
fn a_retired_key_is_forgotten_and_never_told() {
    let rig = Rig::new(config_of(&[]));
    rig.wish(true).expect("a rotation");
    rig.script.set(NEW, Says::Right);
    rig.live(Duration::from_secs(120));
    rig.clock.advance(DAY);
    rig.wish(true).expect("another");
    rig.script.set("e20261130._domainkey.example.jp", Says::Right);
    rig.live(Duration::from_secs(120));
    rig.stages(&[("e20261129", Stage::Retiring), ("e20261130", Stage::Active)]);
    let private = |rig: &Rig| {
        let rows = rig.shelf.0.rows.lock().expect("rows");
        rows.values().filter(|row| !String::from_utf8_lossy(row).contains("\"private\":null")).count()
    };
    assert_eq!(private(&rig), 2);
    rig.live(9 * DAY);
    rig.stages(&[("e20261129", Stage::Retired), ("e20261130", Stage::Active)]);
    assert_eq!(private(&rig), 1);
    rig.restart(config_of(&[])).signs(&["e20261130"]);
}

#[test]
fn what_is_not_on_disk_is_not_in_force() {
    let rig = Rig::new(config_of(&[("h2026a", key())]));
    rig.wish(true).expect("a rotation");
    rig.script.set(NEW, Says::Right);
    rig.shelf.0.fails.store(true, Ordering::SeqCst);
    rig.live(Duration::from_secs(300));
    rig.signs(&["h2026a"]);
    rig.stages(&[("e20261129", Stage::Pending), ("h2026a", Stage::Active)]);
    assert!(matches!(rig.wish(false), Err(Refusal::UnderWay(..))));
    rig.shelf.0.fails.store(false, Ordering::SeqCst);
    rig.live(Duration::from_secs(300));
    rig.signs(&["e20261129"]);
}

#[test]
fn wishes_that_cannot_be_granted_change_nothing() {
    let rig = Rig::new(config_of(&[("h2026a", key())]));
    let wish = |domain: &str, selector: &str, bits| {
        let wish = Wish {
            domain: domain.into(),
            algorithm: if bits == 0 { Algorithm::Ed25519Sha256 } else { Algorithm::RsaSha256 },
            bits,
            selector: selector.into(),
            hurry: false,
        };
        smol::block_on(rig.rotation.begin(&wish)).map(|_| ()).map_err(|e| e.to_string())
    };
    for (domain, selector, bits, words) in [
        ("other.jp", "", 0, "the config has no [[domain]] of the name other.jp"),
        ("example.jp", "H2026a", 0, "has a key already"),
        ("example.jp", "a b", 0, "a selector has letters"),
        ("example.jp", "", 1024, "no RSA key of 1024 bits"),
    ] {
        let told = wish(domain, selector, bits).expect_err(words);
        assert!(told.contains(words), "{told}");
    }
    rig.stages(&[("h2026a", Stage::Active)]);
    wish("example.jp", "mine", 0).expect("a rotation");
    let told = wish("example.jp", "", 0).expect_err("one at a time");
    assert!(told.contains("mine is pending"), "{told}");
    // In the sandbox nothing is signed.
    let mut sandbox = config_of(&[]);
    sandbox.delivery.mode = Mode::Sandbox;
    assert!(matches!(rig.restart(sandbox).wish(false), Err(Refusal::Sandbox)));
}

#[test]
fn the_operator_may_hurry_and_turn_back() {
    let rig = Rig::new(config_of(&[("h2026a", key())]));
    let abort = |algorithm| smol::block_on(rig.rotation.abort("example.jp", algorithm)).map(|told| told.len());
    assert!(matches!(abort(None), Err(Refusal::Abort(CannotAbort::Nothing))));
    rig.wish(false).expect("a rotation");
    rig.script.set(NEW, Says::Right);
    rig.live(Duration::from_secs(120));
    rig.stages(&[("e20261129", Stage::Published), ("h2026a", Stage::Active)]);
    let hurried = rig.wish(true).expect("the same one");
    assert_eq!((hurried.selector.as_str(), hurried.hurry), ("e20261129", true));
    rig.live(Duration::from_secs(120));
    rig.signs(&["e20261129"]);
    // Back to the key of the config; the other one's record has to stay.
    assert_eq!(abort(Some(Algorithm::Ed25519Sha256)).expect("back"), 2);
    rig.signs(&["h2026a"]);
    rig.stages(&[("e20261129", Stage::Retiring), ("h2026a", Stage::Active)]);
    rig.restart(config_of(&[])).signs(&[]);
    // A second key of the day has another selector, and may be given up before it signs.
    let second = rig.wish(false).expect("another");
    assert_eq!(second.selector, "e20261129b");
    assert_eq!(abort(None).expect("given up"), 1);
    rig.stages(&[("e20261129", Stage::Retiring), ("h2026a", Stage::Active)]);
}

#[test]
fn a_domain_that_leaves_the_config_is_not_signed_for() {
    let rig = Rig::new(config_of(&[]));
    rig.wish(true).expect("a rotation");
    rig.script.set(NEW, Says::Right);
    rig.live(Duration::from_secs(120));
    rig.signs(&["e20261129"]);
    let mut without = config_of(&[]);
    without.domains.clear();
    rig.reload(without);
    rig.signs(&[]);
    let view = &rig.rotation.keys(None)[0];
    assert!(view.words.alarms[0].contains("no [[domain]] of the name example.jp"), "{:?}", view.words);
    rig.reload(config_of(&[]));
    rig.signs(&["e20261129"]);
}

#[test]
fn a_damaged_row_keeps_nobody_from_starting_and_is_kept() {
    let rig = Rig::new(config_of(&[("h2026a", key())]));
    rig.wish(true).expect("a rotation");
    rig.script.set(NEW, Says::Right);
    rig.live(Duration::from_secs(120));
    let damaged = {
        let mut rows = rig.shelf.0.rows.lock().expect("rows");
        let (key, row) = rows.iter_mut().find(|(key, _)| key.contains("e2026")).expect("its row");
        row.truncate(20);
        (key.clone(), row.clone())
    };
    let again = rig.restart(config_of(&[("h2026a", key())]));
    again.signs(&["h2026a"]);
    again.live(DAY);
    assert_eq!(again.shelf.0.rows.lock().expect("rows").get(&damaged.0), Some(&damaged.1));
}

#[test]
fn looks_are_bounded_and_the_task_rests() {
    let rig = Rig::new(config_of(&[("h2026a", key())]));
    assert_eq!(rig.round(), REST_MAX, "the daily check looks at keys of the config");
    assert_eq!(rig.script.looks(), Vec::<String>::new());
    rig.script.set(OLD, Says::Right);
    rig.wish(false).expect("a rotation");
    rig.live(DAY);
    let looks = rig.script.looks().len();
    assert!((60 + 100..=60 + 160).contains(&looks), "{looks}");
    rig.script.set(NEW, Says::Right);
    rig.live(DAY);
    rig.script.looks();
    rig.live(7 * DAY);
    // One look an hour at the new key, one in six hours at the old.
    let looks = rig.script.looks().len();
    assert!((7 * 24..=7 * 30).contains(&looks), "{looks}");
    smol::block_on(rig.rotation.look_now("example.jp"));
    assert_eq!(rig.script.looks().len(), 2);
}
