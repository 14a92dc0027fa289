//! Keys through months.

use super::*;
use crate::{
    clock::Clock,
    dkim::key::SigningKey,
    signing::{
        witness::{Role, SILENCE_HOLDS, Says, Witness},
        words::{self, Around},
    },
};

const START: Timestamp = Timestamp::from_millis(1_795_910_400_000); // 2026-11-29T00:00:00Z

fn public() -> PublicKey {
    SigningKey::generate(Algorithm::Ed25519Sha256, 0).expect("a key").0.public().clone()
}

fn made(selector: &str, hurry: bool) -> Life {
    Life::made("example.jp", selector, public(), hurry, START)
}

fn configured(selector: &str) -> Configured {
    Configured { domain: "example.jp".into(), selector: selector.into(), public: public() }
}

/// Two servers of the zone and one resolver.
fn look(says: [Says; 2], resolver: Option<Says>, ttl: u64) -> Look {
    let witness = |role, server: &str, says| Witness {
        role,
        server: server.into(),
        address: None,
        says,
        ttl: Duration::from_secs(ttl),
    };
    let [a, b] = says;
    let mut witnesses = vec![witness(Role::Own, "a", a), witness(Role::Own, "b", b)];
    witnesses.extend(resolver.map(|says| witness(Role::Resolver, "r", says)));
    Look { seen: Seen { witnesses, ..Seen::default() }, resolvers: 1, mail_waits: false }
}

fn right(ttl: u64) -> Look {
    look([Says::Right, Says::Right], Some(Says::Right), ttl)
}

fn absent(ttl: u64) -> Look {
    look([Says::Absent, Says::Absent], None, ttl)
}

fn silent() -> Says {
    Says::Silent("no answer in time".into())
}

fn whats(told: &[Told]) -> Vec<String> {
    told.iter().map(|t| format!("{} {}", t.selector, words::act(&t.what))).collect()
}

fn stages(family: &[Life]) -> Vec<(&str, Stage)> {
    family.iter().map(|life| (life.selector.as_str(), life.stage)).collect()
}

#[test]
fn a_rotation_from_a_key_of_the_config_through_four_months() {
    let clock = Clock::manual(START);
    let old = configured("h2026a");
    let mut family = Vec::new();
    assert_eq!(whats(&follow_config(&mut family, std::slice::from_ref(&old), clock.now())), ["h2026a appeared"]);
    assert_eq!(stages(&family), [("h2026a", Stage::Active)]);
    clock.advance(90 * DAY);
    assert_eq!(family[0].age(clock.now()), Some(90 * DAY));

    let mut new = made("e20261129", false);
    (new.since, new.made) = (clock.now(), clock.now());
    family.push(new);
    // Not there for two hours; its absence may be kept for one.
    for _ in 0..2 {
        assert_eq!(looked(&mut family, 1, &absent(3600), clock.now()), []);
        clock.advance(HOUR);
    }
    // One server has it, then the other, then the resolver.
    for partly in [
        look([Says::Right, Says::Absent], None, 300),
        look([Says::Right, Says::Right], Some(Says::Absent), 300),
        look([Says::Right, Says::Right], Some(Says::Wrong("has another key there".into())), 300),
        look([Says::Right, Says::Right], None, 300),
    ] {
        assert_eq!(looked(&mut family, 1, &partly, clock.now()), []);
        clock.advance(MINUTE);
    }
    assert_eq!(whats(&looked(&mut family, 1, &right(300), clock.now())), ["e20261129 published"]);
    assert_eq!(stages(&family), [("h2026a", Stage::Active), ("e20261129", Stage::Published)]);
    assert_eq!(family[1].hold(), HOUR, "as long as the absence may be remembered");
    clock.advance(HOUR - MINUTE);
    assert_eq!(looked(&mut family, 1, &right(300), clock.now()), []);
    clock.advance(MINUTE);
    let told = looked(&mut family, 1, &right(300), clock.now());
    assert_eq!(whats(&told), ["e20261129 active", "h2026a retiring"]);
    assert_eq!(stages(&family), [("h2026a", Stage::Retiring), ("e20261129", Stage::Active)]);
    assert_eq!(family[1].age(clock.now()), Some(Duration::ZERO), "the age counts from when it signs");

    // Mail of the old key waits for four days, then its record stays for a week and its TTL.
    let waits = Look { mail_waits: true, ..right(300) };
    for _ in 0..4 {
        clock.advance(DAY);
        assert_eq!(looked(&mut family, 0, &waits, clock.now()), []);
    }
    assert_eq!(whats(&looked(&mut family, 0, &right(300), clock.now())), ["h2026a drained"]);
    clock.advance(RECORD_STAYS);
    // Mail that waits later has nothing to do with it.
    assert_eq!(looked(&mut family, 0, &waits, clock.now()), []);
    clock.advance(Duration::from_secs(300));
    assert_eq!(whats(&looked(&mut family, 0, &right(300), clock.now())), ["h2026a retired"]);
    // The operator takes their time.
    clock.advance(DAY);
    assert_eq!(looked(&mut family, 0, &right(300), clock.now()), []);
    clock.advance(DAY);
    assert_eq!(whats(&looked(&mut family, 0, &absent(300), clock.now())), ["h2026a gone"]);
    assert_eq!(family[0].next_look(clock.now()), None);
    assert!(!family[0].is_done(clock.now()));
    clock.advance(LISTED_WHEN_GONE);
    assert!(family[0].is_done(clock.now()));
    assert_eq!(looked(&mut family, 1, &right(300), clock.now()), []);
}

#[test]
fn a_record_that_goes_away_before_its_key_signs_begins_anew() {
    let mut family = vec![made("s", false)];
    let now = START.plus(HOUR);
    looked(&mut family, 0, &right(60), now);
    assert_eq!(family[0].stage, Stage::Published);
    assert_eq!(family[0].hold(), HOLD_MIN);
    // Nobody answers for a moment: neither forth nor back.
    for nothing in
        [look([silent(), silent()], None, 0), Look { seen: Seen::default(), resolvers: 1, mail_waits: false }]
    {
        assert_eq!(looked(&mut family, 0, &nothing, now.plus(HOUR)), []);
        assert_eq!((family[0].stage, family[0].since), (Stage::Published, now));
    }
    let lost = look([Says::Right, Says::Absent], Some(Says::Right), 7200);
    let told = looked(&mut family, 0, &lost, now.plus(HOUR));
    assert_eq!(told[0].what, What::Unpublished(vec!["b has no such record".into()]));
    assert_eq!(family[0].stage, Stage::Pending);
    looked(&mut family, 0, &right(60), now.plus(2 * HOUR));
    assert_eq!((family[0].stage, family[0].hold()), (Stage::Published, 2 * HOUR));
}

#[test]
fn a_silent_server_holds_a_key_back_for_a_day_and_a_wrong_one_for_ever() {
    let mut family = vec![made("s", false)];
    let half = || look([Says::Right, silent()], Some(Says::Right), 60);
    let mut now = START;
    assert_eq!(looked(&mut family, 0, &half(), now), []);
    now = now.plus(SILENCE_HOLDS - MINUTE);
    assert_eq!(looked(&mut family, 0, &half(), now), []);
    // It answers, and not rightly: the day begins anew when it is silent again.
    now = now.plus(2 * MINUTE);
    assert_eq!(looked(&mut family, 0, &look([Says::Right, Says::Absent], None, 60), now), []);
    assert_eq!(looked(&mut family, 0, &half(), now), []);
    now = now.plus(SILENCE_HOLDS);
    assert_eq!(whats(&looked(&mut family, 0, &half(), now)), ["s published"]);
    now = now.plus(HOLD_MIN);
    assert_eq!(whats(&looked(&mut family, 0, &half(), now)), ["s active"]);
    let mut family = vec![made("s", true)];
    for day in 0..400 {
        let wrong = look([Says::Right, Says::Wrong("has another key there".into())], Some(Says::Right), 60);
        assert_eq!(looked(&mut family, 0, &wrong, START.plus(day * DAY)), []);
    }
    assert_eq!(family[0].stage, Stage::Pending);
}

#[test]
fn in_a_hurry_it_signs_as_soon_as_the_record_is_everywhere_and_not_before() {
    let mut family = vec![made("s", true)];
    assert_eq!(looked(&mut family, 0, &absent(3600), START), []);
    assert_eq!(whats(&looked(&mut family, 0, &right(3600), START)), ["s published", "s active"]);
}

#[test]
fn a_record_that_vanishes_while_its_key_signs_is_an_alarm_and_nothing_else() {
    for stage in [Stage::Active, Stage::Retiring] {
        let mut family = vec![made("s", false)];
        family[0].stage = stage;
        family[0].drained = Some(START);
        let at = START.plus(HOUR);
        assert_eq!(whats(&looked(&mut family, 0, &absent(60), at)), ["s record-missing"]);
        assert_eq!(looked(&mut family, 0, &absent(60), at.plus(HOUR)), [], "told once");
        assert_eq!((family[0].stage, family[0].denied_since), (stage, Some(at)));
        assert_eq!(family[0].next_look(at), Some(10 * MINUTE));
        assert_eq!(looked(&mut family, 0, &look([silent(), silent()], None, 0), at), [], "silence says nothing");
        assert_eq!(whats(&looked(&mut family, 0, &right(60), at.plus(DAY))), ["s record-back"]);
        assert_eq!(family[0].denied_since, None);
    }
}

#[test]
fn the_config_may_change_at_any_time() {
    let (a, b) = (configured("a"), configured("b"));
    let mut family = Vec::new();
    let mut now = START;
    let mut follow = |family: &mut Vec<Life>, configured: &[&Configured], days: u32| {
        now = now.plus(days * DAY);
        let configured: Vec<Configured> = configured.iter().map(|c| (*c).clone()).collect();
        whats(&follow_config(family, &configured, now))
    };
    // Several keys of one algorithm may sign.
    assert_eq!(follow(&mut family, &[&a, &b], 0), ["a appeared", "b appeared"]);
    assert_eq!(follow(&mut family, &[&a, &b], 1), Vec::<String>::new());
    // One is taken out: its mail is on its way; and it comes back.
    assert_eq!(follow(&mut family, &[&a], 1), ["b retiring"]);
    assert_eq!(follow(&mut family, &[&a, &b], 1), ["b active"]);
    assert_eq!(family[1].age(START.plus(3 * DAY)), Some(3 * DAY), "its age counts on");
    // The file under a selector holds another key: that is another key.
    let other = configured("a");
    assert_eq!(follow(&mut family, &[&other, &b], 1), ["a appeared", "a retiring"]);
    // A key that we look after comes to sign: those of the config retire, and a new one there does not sign.
    family.push(made("m", true));
    let told = looked(&mut family, 3, &right(60), START.plus(5 * DAY));
    assert_eq!(whats(&told), ["m published", "m active", "b retiring", "a retiring"]);
    let c = configured("c");
    assert_eq!(follow(&mut family, &[&other, &b, &c], 2), ["c appeared"]);
    assert_eq!(family.last().map(|life| (life.stage, life.signs_since)), Some((Stage::Idle, None)));
    // A restart changes nothing; what never signed leaves without a trace; what signed stays until it has retired.
    assert_eq!(follow(&mut family, &[&other, &b, &c], 0), Vec::<String>::new());
    assert_eq!(follow(&mut family, &[], 1), ["c left"]);
    let expected = [("a", Stage::Retiring), ("b", Stage::Retiring), ("a", Stage::Retiring), ("m", Stage::Active)];
    assert_eq!(stages(&family), expected);
}

#[test]
fn the_way_back_is_open_as_long_as_something_else_can_sign() {
    let config = [configured("h")];
    let mut family = Vec::new();
    follow_config(&mut family, &config, START);
    assert_eq!(abort(&mut family, &config, START), Err(CannotAbort::Nothing));
    // Before it signs, a key is just forgotten.
    family.push(made("m1", false));
    assert_eq!(whats(&abort(&mut family, &config, START).expect("under way")), ["m1 aborted"]);
    assert_eq!(stages(&family), [("h", Stage::Active)]);
    // Back to the config.
    family.push(made("m2", true));
    looked(&mut family, 1, &right(60), START);
    let told = abort(&mut family, &config, START.plus(DAY)).expect("the config has a key");
    assert_eq!(whats(&told), ["m2 retiring", "h active"]);
    // Forth again, then to a second one, and back to the first.
    let mut third = made("m3", true);
    third.since = START.plus(DAY);
    family.push(third);
    looked(&mut family, 2, &right(60), START.plus(2 * DAY));
    family.push(made("m4", true));
    let told = looked(&mut family, 3, &right(60), START.plus(3 * DAY));
    assert_eq!(whats(&told), ["m4 published", "m4 active", "m3 retiring"]);
    assert_eq!(
        whats(&abort(&mut family, &config, START.plus(4 * DAY)).expect("m3 is there")),
        ["m3 active", "m4 retiring"]
    );
    assert_eq!(family[2].age(START.plus(4 * DAY)), Some(2 * DAY), "it has signed since the second day");
    // When nothing else is left, it stays.
    let mut alone = vec![made("m", true)];
    looked(&mut alone, 0, &right(60), START);
    assert_eq!(abort(&mut alone, &[], START), Err(CannotAbort::NoOther));
    assert_eq!(stages(&alone), [("m", Stage::Active)]);
}

#[test]
fn a_domain_of_two_algorithms_has_two_families_and_a_third_rotation_retires_the_second_key_alone() {
    let mut family = vec![made("m1", true), made("m2", true), made("m3", true)];
    for n in 0..3 {
        looked(&mut family, n, &right(60), START.plus(DAY));
    }
    let expected = [("m1", Stage::Retiring), ("m2", Stage::Retiring), ("m3", Stage::Active)];
    assert_eq!(stages(&family), expected);
}

#[test]
fn looks_are_many_at_first_and_few_later() {
    let mut life = made("s", false);
    for (after, every) in [(0, 60), (59 * 60, 60), (3600, 600), (86_399, 600), (86_400, 3600), (1_000_000, 3600)] {
        let next = life.next_look(START.plus(Duration::from_secs(after)));
        assert_eq!(next, Some(Duration::from_secs(every)), "{after}");
    }
    life.stage = Stage::Published;
    life.ttl = HOUR;
    assert_eq!(life.next_look(START), Some(10 * MINUTE));
    assert_eq!(life.next_look(START.plus(HOUR - 3 * MINUTE)), Some(3 * MINUTE));
    assert_eq!(life.next_look(START.plus(DAY)), Some(MINUTE));
    life.ttl = Duration::from_secs(u32::MAX.into());
    assert_eq!(life.hold(), HOLD_MAX);
    for (stage, origin, every) in [
        (Stage::Active, Origin::Managed, Some(HOUR)),
        (Stage::Active, Origin::Configured, None),
        (Stage::Idle, Origin::Configured, None),
        (Stage::Retiring, Origin::Configured, Some(6 * HOUR)),
        (Stage::Retired, Origin::Managed, Some(DAY)),
    ] {
        (life.stage, life.origin) = (stage, origin);
        assert_eq!(life.next_look(START), every, "{stage:?}");
    }
}

#[test]
fn selectors_come_once_and_are_names() {
    let taken = ["r20261129", "r20261129b"];
    let at = |date: &str| Timestamp::from_rfc3339(&format!("{date}T23:59:59Z")).expect("a time");
    let pick = |algorithm, date: &str| new_selector(algorithm, at(date), &|s| taken.contains(&s));
    assert_eq!(pick(Algorithm::RsaSha256, "2026-11-29").as_deref(), Some("r20261129c"));
    assert_eq!(pick(Algorithm::RsaSha256, "2026-11-30").as_deref(), Some("r20261130"));
    assert_eq!(pick(Algorithm::Ed25519Sha256, "2026-11-29").as_deref(), Some("e20261129"));
    assert_eq!(new_selector(Algorithm::RsaSha256, at("2026-11-29"), &|_| true), None);
    for good in ["s", "h2026a", "a.b", "x-1", "_s"] {
        assert_eq!(selector_flaw(good, "example.jp"), None, "{good}");
    }
    for bad in ["", ".", "a..b", "-a", "a-", "a b", "ä", "a/b", "../x", &"a".repeat(64)] {
        assert!(selector_flaw(bad, "example.jp").is_some(), "{bad}");
    }
    assert!(selector_flaw("s", &format!("{}jp", "a.".repeat(120))).is_some());
}

#[test]
fn each_stage_says_what_comes_next_and_what_to_do() {
    let around = Around {
        now: START.plus(DAY),
        age_max: Some(365 * DAY),
        lifetime_max: 5 * DAY,
        domain_is_listed: true,
        is_in_config: false,
        looked: true,
    };
    let mut life = made("s", false);
    let check = |life: &Life, around: Around, next: &str, todo: &str, alarm: &str| {
        let words = words::say(life, &around);
        assert!(words.next.contains(next), "{words:?}");
        assert_eq!(words.todo.is_empty(), todo.is_empty(), "{words:?}");
        assert!(words.todo.contains(todo), "{words:?}");
        assert_eq!(words.alarms.is_empty(), alarm.is_empty(), "{words:?}");
        assert!(words.alarms.join(" ").contains(alarm), "{words:?}");
        // The same in Japanese: as much to do, as many alarms, and no English sentence left.
        let ja = words::japanese::say(life, &around);
        let is_japanese = |text: &String| text.chars().any(|c| ('\u{3040}'..='\u{9fff}').contains(&c));
        assert_eq!((ja.todo.is_empty(), ja.alarms.len()), (words.todo.is_empty(), words.alarms.len()), "{ja:?}");
        let said = ja.alarms.iter().chain([&ja.next, &ja.todo]);
        assert!(said.filter(|text| !text.is_empty()).all(is_japanese) && is_japanese(&ja.next), "{ja:?}");
    };
    check(&life, around, "signs once every server", "publish the TXT record at s._domainkey.example.jp", "");
    life.silent_since = Some(START);
    check(&life, around, "silent ones are left out after a day (since 1d)", "", "");
    (life.stage, life.ttl, life.silent_since) = (Stage::Published, 2 * DAY, None);
    check(&life, around, "signs in 1d", "", "");
    (life.stage, life.signs_since) = (Stage::Active, Some(START));
    check(&life, around, "until another key takes its place", "", "");
    check(&life, Around { domain_is_listed: false, ..around }, "signs again", "", "no [[domain]]");
    check(
        &life,
        Around { age_max: Some(HOUR), ..around },
        "until",
        "dkim-rotate example.jp --algorithm ed25519",
        "has signed for 1d, more than",
    );
    life.denied_since = Some(START);
    check(&life, around, "until", "publish the TXT record at s._domainkey.example.jp again", "missing or wrong for 1d");
    (life.stage, life.denied_since, life.ttl) = (Stage::Retiring, None, HOUR);
    check(&life, around, "retires 7d 1h after the last of it has left, 11d 1h from now", "leave its record", "");
    check(&life, Around { is_in_config: true, ..around }, "mail", "its lines in the config may be removed", "");
    life.drained = Some(START);
    check(&life, around, "retires in 6d 1h", "leave its record", "");
    life.stage = Stage::Retired;
    check(&life, around, "once a day", "set the TXT record at s._domainkey.example.jp to \"v=DKIM1; p=\"", "");
    check(&life, Around { is_in_config: true, ..around }, "once a day", "; remove its lines", "");
    life.gone = Some(START);
    check(&life, around, "its record is gone", "", "");
    life.stage = Stage::Idle;
    check(&life, Around { is_in_config: true, ..around }, "instead", "remove its lines", "");
    // 1024 bits.
    let small = PublicKey::Rsa { n: [vec![0xc1; 127], vec![1]].concat(), e: vec![1, 0, 1] };
    let old = Configured { domain: "example.jp".into(), selector: "old".into(), public: small };
    let mut family = Vec::new();
    follow_config(&mut family, &[old], START);
    check(
        &family[0],
        around,
        "until",
        "dkim-rotate example.jp --algorithm rsa",
        "has 1024 bits: receivers ask for 2048",
    );
}
