//! What a site's trouble is, from its first sign to its end.

use super::*;

const T0: Timestamp = Timestamp::from_millis(1_795_527_310_000);

fn after(seconds: u64) -> Timestamp {
    T0.plus(Duration::from_secs(seconds))
}

fn reply(text: &str) -> AttemptDetail {
    AttemptDetail { destination: "docomo.example".into(), reply: text.into(), ..AttemptDetail::default() }
}

fn end(feedback: Feedback, delivered: u32, deferred: u32) -> End<'static> {
    End { feedback, said: None, push: None, delivered, deferred }
}

fn seen(connections: usize, dead: Option<Timestamp>) -> Seen<'static> {
    Seen {
        name: "mx.docomo.example",
        destinations: vec!["docomo.example".into()],
        destinations_count: 1,
        dead,
        pause: None,
        connections,
        queued: 7,
    }
}

/// Ten minutes of forty deliveries a minute.
fn busy() -> Temper {
    let mut temper = Temper::default();
    for second in 0..600 {
        if second % 3 == 0 {
            temper.ended(&end(Feedback::Healthy, 2, 0), 20, false, after(second));
        }
    }
    temper
}

#[test]
fn a_server_that_takes_every_third_connection_is_one_trouble() {
    let mut temper = busy();
    let said = reply("421 4.7.0 too many connections");
    // From ten minutes on it refuses two of three, and the window shrinks from 20 to 4.
    for n in 0..200u64 {
        let now = after(600 + n * 3);
        let (feedback, delivered) = if n % 3 == 0 { (Feedback::Healthy, 1) } else { (Feedback::Trouble, 0) };
        let said = (feedback == Feedback::Trouble).then_some(&said);
        temper.ended(
            &End { said, ..end(feedback, delivered, 0) },
            20usize.saturating_sub(n as usize).max(4),
            false,
            now,
        );
    }
    let now = after(1_200);
    let trouble = temper.trouble(seen(4, None), now).expect("a trouble");
    assert_eq!(trouble.standing, Standing::Slowed);
    assert_eq!(trouble.since, after(603), "the first refusal, whatever succeeded since");
    assert_eq!((trouble.connections, trouble.connections_before), (4, 19));
    assert!((32.0..41.0).contains(&trouble.per_minute_before), "{}", trouble.per_minute_before);
    assert!(trouble.said.as_ref().is_some_and(|said| said.reply.starts_with("421")));
    let percent = trouble.percent().expect("slowed");
    assert!((12..35).contains(&percent), "about a fifth of forty a minute: {percent}");
    assert!(temper.trouble(seen(20, None), now.plus(QUIET + Duration::from_secs(5))).is_none(), "over");
}

#[test]
fn one_refusal_or_some_greylisting_is_nobodys_business() {
    let mut temper = busy();
    temper.ended(&end(Feedback::Trouble, 0, 1), 20, false, after(601));
    temper.ended(&end(Feedback::Healthy, 30, 2), 19, false, after(602));
    assert_eq!(temper.trouble(seen(19, None), after(603)), None);
    // Twenty put off, and none taken: that is one.
    let said = reply("450 4.7.1 try again later");
    for n in 0..20 {
        temper.ended(&End { said: Some(&said), ..end(Feedback::Healthy, 0, 1) }, 19, false, after(604 + n));
    }
    let trouble = temper.trouble(seen(19, None), after(630)).expect("a trouble");
    assert_eq!((trouble.standing.clone(), trouble.since, trouble.deferred), (Standing::Deferring, after(601), 23));
}

#[test]
fn a_dead_site_stays_in_trouble_however_quiet_it_is() {
    let mut temper = busy();
    temper.ended(&end(Feedback::Trouble, 0, 3), 20, true, after(600));
    let trouble = temper.trouble(seen(1, Some(after(9_000))), after(8_000)).expect("a trouble");
    assert_eq!(trouble.standing, Standing::Dead { probe_at: after(9_000) });
    assert_eq!((trouble.since, trouble.percent()), (after(600), Some(0)));
    // It answers again: ten quiet minutes end it, and the next trouble is a new one.
    temper.ended(&end(Feedback::Healthy, 1, 0), 5, false, after(9_000));
    assert_eq!(temper.trouble(seen(5, None), after(9_001)), None);
    for n in 0..6 {
        temper.ended(&end(Feedback::Trouble, 0, 1), 5, false, after(9_100 + n));
    }
    assert_eq!(temper.trouble(seen(2, None), after(9_200)).map(|t| t.since), Some(after(9_100)));
}

#[test]
fn a_site_that_is_forgotten_between_two_tries_has_one_trouble_and_memory_is_bounded() {
    let mut old = OldSpells::default();
    let (key, name): (Arc<str>, Arc<str>) = ("key".into(), "mx.docomo.example".into());
    let mut temper = Temper::default();
    let said = reply("no route to host");
    temper.ended(&End { said: Some(&said), ..end(Feedback::Trouble, 0, 1) }, 5, true, T0);
    old.keep(&key, &name, temper, after(1_900));
    let told: Vec<SiteTrouble> = old.troubles(after(2_000)).collect();
    assert_eq!(
        (told.len(), &told[0].standing, told[0].destinations.as_slice()),
        (1, &Standing::Between, &["docomo.example".to_owned()][..])
    );
    assert_eq!(told[0].percent(), None);
    let temper = old.take("key", after(7_200));
    let trouble = temper.trouble(seen(1, Some(after(7_201))), after(7_200)).expect("it goes on");
    assert_eq!(trouble.since, T0);
    assert_eq!(old.troubles(after(7_200)).count(), 0, "it is the site's again");

    for n in 0..OLD_MAX + 100 {
        let mut temper = Temper::default();
        temper.ended(&end(Feedback::Trouble, 0, 1), 5, true, after(n as u64));
        old.keep(&n.to_string().into(), &name, temper, after(n as u64));
    }
    assert_eq!(old.0.len(), OLD_MAX);
    assert_eq!(old.troubles(after(600).plus(OLD_FOR)).count(), 0, "they are told for a while only");
    assert!(old.take("7", after(10).plus(OLD_FOR)).spell.is_none());
}
