//! Logins of people: locks that hold, codes that count once, resets, and sessions.

use super::{
    tests::{House, added, house, ip, operator, secret},
    *,
};

pub(super) const PASSWORD: &str = "correct horse battery";
pub(super) const USER: &str = "user@example.jp";
pub(super) const ADMIN: &str = "admin@example.jp";
pub(super) const HERE: &str = "192.0.2.1";

pub(super) async fn peopled() -> House {
    let house = house(10);
    for (name, role) in [(ADMIN, Role::GroupAdministrator), (USER, Role::User)] {
        let changes = Changes { role: Some(role), ..Changes::default() };
        let key = Some(secret(PASSWORD));
        let new = NewUser { kind: AccountKind::Console, key, changes, ..NewUser::api(name) };
        house.accounts.add(&operator(), new).await.unwrap();
    }
    house
}

/// What came of a login, in a word.
pub(super) async fn log_in(
    house: &House,
    source: &str,
    name: &str,
    password: &str,
    code: Option<&str>,
) -> &'static str {
    let mut decided = house.accounts.log_in(ip(source), name, &secret(password)).await;
    if let (Err(ConsoleRefusal::CodeNeeded { ticket }), Some(code)) = (&decided, code) {
        decided = house.accounts.enter_code(ip(source), ticket, code).await.map(|entered| entered.login);
    }
    match decided {
        Ok(login) => {
            assert_eq!(login.name, name.to_lowercase());
            "in"
        }
        Err(ConsoleRefusal::Wrong { .. }) => "wrong",
        Err(ConsoleRefusal::CodeNeeded { .. }) => "code needed",
        Err(ConsoleRefusal::CodeWrong { .. }) => "code wrong",
        Err(ConsoleRefusal::TicketOver) => "ticket over",
        Err(ConsoleRefusal::NotAllowed) => "not allowed",
        Err(ConsoleRefusal::Expired) => "expired",
        Err(ConsoleRefusal::Busy { .. }) => "busy",
        Err(ConsoleRefusal::Store(_)) => "store",
    }
}

/// Guesses so often, each from another address, so that no address is refused.
pub(super) async fn guess(house: &House, name: &str, times: u32, from: u32) {
    for n in 0..times {
        let source = IpAddr::V4((0x0a00_0000 + from + n).into()).to_string();
        assert_eq!(log_in(house, &source, name, "a wrong guess", None).await, "wrong");
    }
}

#[test]
fn r15_ten_wrong_passwords_in_a_row_lock_a_person_and_a_restart_forgets_none() {
    smol::block_on(async {
        let house = peopled().await;
        guess(&house, USER, 9, 0).await;
        assert_eq!(log_in(&house, HERE, "USER@Example.JP", PASSWORD, None).await, "in", "a good one ends the row");
        guess(&house, USER, 6, 100).await;
        let house = house.restarted();
        guess(&house, USER, 3, 200).await;
        assert_eq!(house.accounts.get(USER).unwrap().person.failed_logins, 9);
        guess(&house, USER, 1, 300).await;
        assert!(house.accounts.get(USER).unwrap().person.locked_at.is_some());
        assert_eq!(house.audit("user.lock"), ["(not logged in) 10.0.1.44 user@example.jp 10 wrong passwords in a row"]);
        let house = house.restarted();
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, None).await, "wrong", "locked, over a restart");
        assert_eq!(log_in(&house, HERE, ADMIN, PASSWORD, None).await, "in", "nobody else is");
        // Once locked, guesses cost no transaction any more, and nor do those at names that nobody has.
        let writes = house.shelf.writes();
        guess(&house, USER, 5, 400).await;
        guess(&house, "nobody@example.jp", 12, 500).await;
        assert_eq!(house.shelf.writes(), writes);
        house.accounts.flush().await;
        let log = house.audit("console");
        assert!(log.contains(&format!("{USER} {HERE} console locked")), "{log:?}");
        assert!(log.contains(&format!("{ADMIN} {HERE} console success")), "{log:?}");
        assert!(log.iter().any(|line| line == "nobody@example.jp 10.0.1.255 console wrong"), "{log:?}");
    });
}

#[test]
fn r15_the_operator_unlocks_everybody_and_the_group_administrator_the_others() {
    smol::block_on(async {
        let house = peopled().await;
        guess(&house, USER, 10, 0).await;
        guess(&house, ADMIN, 10, 100).await;
        let admin = Actor::Person { name: ADMIN.into(), from: ip(HERE) };
        let told = house.accounts.unlock(&admin, ADMIN).await.unwrap_err().to_string();
        assert!(told.contains("unlocked by the operator"), "{told}");
        assert!(house.accounts.unlock(&admin, USER).await.unwrap());
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, None).await, "in");
        assert_eq!(log_in(&house, HERE, ADMIN, PASSWORD, None).await, "wrong");
        assert!(house.accounts.unlock(&operator(), ADMIN).await.unwrap());
        assert_eq!(log_in(&house, HERE, ADMIN, PASSWORD, None).await, "in");
        assert_eq!(
            house.audit("user.unlock"),
            [
                format!("{ADMIN} {HERE} {USER} locked yes → no, wrong passwords 10 → 0"),
                format!("operator root control socket {ADMIN} locked yes → no, wrong passwords 10 → 0"),
            ]
        );
    });
}

#[test]
fn guesses_at_once_are_counted_one_by_one_and_none_is_looked_at_after_the_lock() {
    let house = smol::block_on(peopled());
    let executor = smol::Executor::new();
    let tasks: Vec<_> = (0..14u32)
        .map(|n| {
            let accounts = house.accounts.clone();
            let guess = secret("a wrong guess");
            executor.spawn(async move { accounts.log_in(IpAddr::V4(n.into()), USER, &guess).await.is_ok() })
        })
        .collect();
    smol::block_on(executor.run(async {
        for task in tasks {
            assert!(!task.await);
        }
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, None).await, "wrong");
    }));
    assert_eq!(house.accounts.get(USER).unwrap().person.failed_logins, 10);
    assert_eq!(house.audit("user.lock").len(), 1);
}

#[test]
fn an_unknown_and_a_locked_name_cost_what_a_wrong_password_costs_and_sound_alike() {
    smol::block_on(async {
        let house = peopled().await;
        added(&house.accounts, "shop").await;
        guess(&house, USER, 10, 0).await;
        for name in [USER, ADMIN, "nobody@example.jp", "shop", ""] {
            let before = house.metrics.logins_hashed.get();
            assert_eq!(log_in(&house, HERE, name, "a wrong guess", None).await, "wrong", "{name}");
            assert_eq!(house.metrics.logins_hashed.get(), before + 1, "{name}");
        }
        // The answers come at the same time, whatever was written meanwhile.
        for name in [ADMIN, "nobody@example.jp"] {
            let refusal = house.accounts.log_in(ip("192.0.2.99"), name, &secret("a wrong guess")).await;
            let Err(ConsoleRefusal::Wrong { after }) = refusal else { panic!("{name}: {refusal:?}") };
            assert_eq!(after, Duration::from_secs(1), "{name}: this clock stands still");
        }
        let key = secret(PASSWORD);
        let by_smtp = house.accounts.check(Door::Smtp, ip("192.0.2.77"), ADMIN, &key).await;
        assert!(matches!(by_smtp, Err(LoginRefusal::Wrong { .. })), "a person is no program: {by_smtp:?}");
        // A source that goes on is refused, whatever it brings; others are not.
        for _ in 0..30 {
            log_in(&house, "203.0.113.1", "nobody@example.jp", "a wrong guess", None).await;
        }
        assert_eq!(log_in(&house, "203.0.113.1", ADMIN, PASSWORD, None).await, "busy");
        assert_eq!(log_in(&house, HERE, ADMIN, PASSWORD, None).await, "in");
    });
}

#[test]
fn people_come_from_where_they_may_and_until_their_time_is_over() {
    smol::block_on(async {
        let house = peopled().await;
        let allowed_ips = AllowedIps { console: vec!["192.0.2.0/24".parse().unwrap()], ..AllowedIps::default() };
        house.accounts.reconfigure(&config::Accounts { allowed_ips, ..config::Accounts::default() });
        assert_eq!(log_in(&house, "198.51.100.1", USER, PASSWORD, None).await, "not allowed");
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, None).await, "in");
        let changes = Changes {
            networks: Some(vec!["192.0.2.128/25".parse().unwrap()]),
            expires_at: Some(Some(house.clock.now().plus(Duration::from_secs(60)))),
            ..Changes::default()
        };
        house.accounts.change(&operator(), USER, &changes).await.unwrap();
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, None).await, "not allowed");
        assert_eq!(log_in(&house, "192.0.2.200", USER, PASSWORD, None).await, "in");
        house.clock.advance(Duration::from_secs(60));
        assert_eq!(log_in(&house, "192.0.2.200", USER, PASSWORD, None).await, "expired");
        assert_eq!(log_in(&house, "192.0.2.200", USER, "a wrong guess", None).await, "wrong");
    });
}

#[test]
fn a_code_is_needed_counts_once_and_wrong_ones_lock() {
    smol::block_on(async {
        let house = peopled().await;
        let link = house.accounts.set_totp(&operator(), USER, true).await.unwrap().unwrap();
        assert!(link.reveal().starts_with("otpauth://totp/Hikyaku:user@example.jp?secret="));
        assert_eq!(
            house.audit("user.totp"),
            [format!("operator root control socket {USER} two-factor login off → on, with a new secret")]
        );
        let code = |steps: u64| {
            let secret = house.accounts.get(USER).unwrap().person.totp.unwrap();
            totp::code_at(&secret, house.clock.now().as_seconds() / 30 + steps, 6)
        };
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, None).await, "code needed");
        assert_eq!(log_in(&house, HERE, USER, "a wrong guess", Some(&code(0))).await, "wrong");
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(&code(0))).await, "in");
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(&code(0))).await, "code wrong", "it counts once");
        let house = house.restarted();
        let secret = house.accounts.get(USER).unwrap().person.totp.unwrap();
        let step = house.clock.now().as_seconds() / 30;
        let used = totp::code_at(&secret, step, 6);
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(&used)).await, "code wrong", "over a restart, too");
        let next = totp::code_at(&secret, step + 1, 6);
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(&next)).await, "in", "a clock may be a step wrong");
        // Who has the password and guesses codes is locked like who guesses passwords; asking for a code ends no row.
        for n in 0..10u32 {
            let source = format!("10.0.0.{n}");
            assert_eq!(log_in(&house, &source, USER, PASSWORD, Some("000000")).await, "code wrong");
            if n < 9 {
                assert_eq!(log_in(&house, &source, USER, PASSWORD, None).await, "code needed");
            }
        }
        assert!(house.accounts.get(USER).unwrap().person.locked_at.is_some());
        house.accounts.flush().await;
        assert!(house.audit("console").contains(&format!("{USER} {HERE} console totp")));
        assert!(!format!("{:?}", house.shelf.audit()).contains("secret="));
    });
}

#[test]
fn a_use_of_a_code_that_cannot_be_written_lets_nobody_in() {
    smol::block_on(async {
        let house = peopled().await;
        house.accounts.set_totp(&operator(), USER, true).await.unwrap();
        let secret = house.accounts.get(USER).unwrap().person.totp.unwrap();
        let code = totp::code_at(&secret, house.clock.now().as_seconds() / 30, 6);
        house.shelf.break_writes(true);
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(&code)).await, "store");
        assert_eq!(log_in(&house, HERE, USER, "a wrong guess", None).await, "store");
    });
}

#[test]
fn a_reset_by_mail_unlocks_a_user_and_never_the_group_administrator() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        let stranger = Actor::Stranger { from: ip(HERE) };
        let begin = async |name: &str| accounts.reset_begin(name, &stranger).await.unwrap();
        let finish = async |name: &str, token: &Secret<String>, password: &str| {
            accounts.reset_finish(name, token, secret(password), ip(HERE)).await.map_err(|e| e.to_string())
        };
        added(accounts, "shop").await;
        assert!(begin("nobody@example.jp").await.is_none() && begin("shop").await.is_none());
        guess(&house, USER, 10, 0).await;
        guess(&house, ADMIN, 10, 100).await;
        let token = begin("User@example.jp").await.unwrap();
        assert!(begin(USER).await.is_none(), "strangers cannot fill a mailbox");
        assert!(!format!("{:?}", house.shelf.account(USER)).contains(token.reveal().as_str()));
        let another = sessions::new_token().unwrap();
        assert!(finish(USER, &another, "a new long pass").await.unwrap_err().contains("not valid"));
        assert!(finish(ADMIN, &token, "a new long pass").await.unwrap_err().contains("not valid"));
        assert!(finish(USER, &token, "short").await.unwrap_err().contains("at least 12"), "and it still counts");
        assert_eq!(finish(USER, &token, "a new long pass").await, Ok(false));
        assert!(finish(USER, &token, "yet a newer pass").await.unwrap_err().contains("not valid"), "it counts once");
        assert_eq!(log_in(&house, HERE, USER, "a new long pass", None).await, "in");

        let token = begin(ADMIN).await.unwrap();
        assert_eq!(finish(ADMIN, &token, "a new long pass").await, Ok(true), "the password is set, the lock stays");
        assert_eq!(log_in(&house, HERE, ADMIN, "a new long pass", None).await, "wrong");
        accounts.unlock(&operator(), ADMIN).await.unwrap();
        assert_eq!(log_in(&house, HERE, ADMIN, "a new long pass", None).await, "in");

        let token = begin(USER).await.unwrap();
        house.clock.advance(Duration::from_secs(3600));
        assert!(finish(USER, &token, "much too late pass").await.unwrap_err().contains("not valid"));
        let token = begin(USER).await.unwrap();
        accounts.set_key(&operator(), USER, Some(secret(PASSWORD)), false).await.unwrap();
        assert!(finish(USER, &token, "set by the link").await.unwrap_err().contains("not valid"), "another password");
        assert_eq!(
            house.audit("user.reset"),
            [
                format!("{USER} {HERE} {USER} by mail; unlocked"),
                format!("{ADMIN} {HERE} {ADMIN} by mail; still locked")
            ]
        );
    });
}

#[test]
fn who_asks_for_links_in_a_stream_voids_none_and_fills_no_mailbox() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        let (stranger, admin) =
            (Actor::Stranger { from: ip(HERE) }, Actor::Person { name: ADMIN.into(), from: ip(HERE) });
        let mine = accounts.reset_begin(USER, &stranger).await.unwrap().unwrap();
        // Somebody asks every minute, for a day.
        let mut mailed = 1;
        for minute in 1..24 * 60 {
            house.clock.advance(Duration::from_secs(60));
            mailed += usize::from(accounts.reset_begin(USER, &stranger).await.unwrap().is_some());
            assert_eq!(accounts.reset_fits(USER, &mine), minute < 60, "it counts for its hour, at {minute} min");
            assert!(accounts.get(USER).unwrap().person.resets.len() <= 5);
        }
        assert!((5..=11).contains(&mailed), "{mailed} mails in a day");
        // The administrator's link is mailed all the same; it works once, and ends the others.
        house.clock.advance(Duration::from_secs(300));
        let theirs = accounts.reset_begin(USER, &admin).await.unwrap().expect("no stranger keeps it away");
        house.clock.advance(Duration::from_secs(300));
        let another = accounts.reset_begin(USER, &admin).await.unwrap().unwrap();
        accounts.reset_finish(USER, &theirs, secret("a new long pass"), ip(HERE)).await.unwrap();
        for over in [&theirs, &another] {
            assert!(!accounts.reset_fits(USER, over));
        }
        let house = house.clone().restarted();
        assert!(!house.accounts.reset_fits(USER, &theirs));
    });
}

#[test]
fn sessions_outlive_a_restart_and_end_with_time_password_and_account() {
    smol::block_on(async {
        let house = peopled().await;
        let enter = async |house: &House, name: &str| {
            let login = house.accounts.log_in(ip(HERE), name, &secret(PASSWORD)).await.unwrap();
            house.accounts.open_session(&login, ip(HERE), "a browser").await.unwrap()
        };
        let is_open = |house: &House, token: &Secret<String>| {
            house.accounts.session(token, ip(HERE), AskedBy::Person).map(|login| login.name)
        };
        let (user, admin) = (enter(&house, USER).await, enter(&house, ADMIN).await);
        assert_eq!((is_open(&house, &user).as_deref(), is_open(&house, &admin).as_deref()), (Some(USER), Some(ADMIN)));
        for bad in ["", "x", &"A".repeat(43), &"A".repeat(100_000)] {
            assert_eq!(is_open(&house, &secret(bad)), None);
        }
        let rows = house.shelf.session_rows();
        let told = rows.iter().map(|(k, v)| format!("{k} {}", String::from_utf8_lossy(v))).collect::<String>();
        assert!(!told.contains(user.reveal().as_str()), "the store holds no token");
        let house = house.restarted();
        assert_eq!(is_open(&house, &user).as_deref(), Some(USER));
        // Its rights are those of now.
        house.accounts.make_admin(&operator(), USER).await.unwrap();
        assert_eq!(
            house.accounts.session(&user, ip(HERE), AskedBy::Person).unwrap().rights.role,
            Role::GroupAdministrator
        );
        house.accounts.close_session(&user).await.unwrap();
        assert_eq!(is_open(&house, &user), None);
        house.accounts.set_key(&operator(), ADMIN, Some(secret(PASSWORD)), false).await.unwrap();
        assert_eq!(is_open(&house, &admin), None, "another password, even the same one again");
        let again = enter(&house, ADMIN).await;
        let hours = |n: u64| Duration::from_secs(n * 3600);
        let times = |lifetime: u64| config::Accounts {
            session_lifetime: hours(lifetime),
            session_idle: hours(24),
            ..config::Accounts::default()
        };
        house.accounts.reconfigure(&times(12));
        house.clock.advance(hours(12) - Duration::from_secs(1));
        assert!(is_open(&house, &again).is_some());
        house.accounts.reconfigure(&times(1));
        assert_eq!(is_open(&house, &again), None, "a shorter lifetime counts for all");
        assert_eq!(house.accounts.session_end(&again), Some(SessionEnd::Time(hours(1))));
        house.accounts.reconfigure(&times(12));
        house.clock.advance(Duration::from_secs(1));
        assert_eq!(is_open(&house, &again), None, "twelve hours are over");
        let last = enter(&house, USER).await;
        assert_eq!(house.shelf.session_rows().len(), 1, "those that are over are swept out");
        house.accounts.remove(&operator(), USER).await.unwrap();
        assert_eq!(is_open(&house, &last), None);
    });
}

#[test]
fn a_session_that_nobody_uses_ends_and_a_page_that_looks_again_is_no_use() {
    smol::block_on(async {
        let house = peopled().await;
        let login = house.accounts.log_in(ip(HERE), USER, &secret(PASSWORD)).await.unwrap();
        let open = async || house.accounts.open_session(&login, ip(HERE), "a browser").await.unwrap();
        let (used, watched) = (open().await, open().await);
        let ask = |house: &House, token: &Secret<String>, by| house.accounts.session(token, ip(HERE), by).is_some();
        let minutes = |n: u64| Duration::from_secs(n * 60);
        for _ in 0..4 {
            house.clock.advance(minutes(59));
            assert!(ask(&house, &used, AskedBy::Person), "each use begins the hour anew");
            house.accounts.session(&watched, ip(HERE), AskedBy::Page);
        }
        assert!(!ask(&house, &watched, AskedBy::Page) && !ask(&house, &watched, AskedBy::Person));
        assert_eq!(house.accounts.session_end(&watched), Some(SessionEnd::Idle(minutes(60))));
        assert_eq!(house.accounts.session_end(&used), None);
        assert_eq!(house.accounts.session_end(&secret(&"A".repeat(43))), None);
        assert_eq!(house.accounts.sessions_of(USER).len(), 1, "what has ended is listed nowhere");
        // What was written of its use counts after a restart, and a shorter time counts at once.
        house.accounts.write_seen(true).await;
        let house = house.clone().restarted();
        assert!(ask(&house, &used, AskedBy::Page));
        house.clock.advance(minutes(30));
        house.accounts.reconfigure(&config::Accounts { session_idle: minutes(30), ..config::Accounts::default() });
        assert!(!ask(&house, &used, AskedBy::Person));
        // The next sign-in sweeps both out.
        let login = house.accounts.log_in(ip(HERE), USER, &secret(PASSWORD)).await.unwrap();
        house.accounts.open_session(&login, ip(HERE), "a browser").await.unwrap();
        assert_eq!(house.shelf.session_rows().len(), 1);
    });
}

#[test]
fn one_address_that_floods_the_sign_in_hides_no_guess_at_an_account() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        // t12: made-up names from one address, until it is refused and far on.
        for n in 0..300 {
            let _ = accounts.log_in(ip("203.0.113.200"), &format!("x{n}@example.jp"), &secret("w")).await;
        }
        for name in ["Admin@Example.jp", "ADMIN@example.jp", "no.such@example.jp"] {
            assert_eq!(log_in(&house, "192.0.2.66", name, "a wrong guess", None).await, "wrong");
        }
        accounts.flush().await;
        let told = house.audit("console");
        assert!(told.contains(&format!("{ADMIN} 192.0.2.66 console wrong")), "{told:?}");
        assert!(told.contains(&"no.such@example.jp 192.0.2.66 console wrong".to_owned()), "{told:?}");
        assert!(told.iter().filter(|line| line.contains("203.0.113.200")).count() <= 14, "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("(many) 203.0.113.200 console busy ×")), "{told:?}");
    });
}

#[test]
fn who_is_stopped_or_may_less_is_signed_out_and_comes_back_by_signing_in_alone() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        let enter = async |from: &str| {
            let login = accounts.log_in(ip(from), USER, &secret(PASSWORD)).await.unwrap();
            accounts.open_session(&login, ip(from), "a browser").await.unwrap()
        };
        let is_open = |token: &Secret<String>| accounts.session(token, ip(HERE), AskedBy::Person).is_some();
        let set = async |changes: Changes| accounts.change(&operator(), USER, &changes).await.unwrap();
        let ends = |at: Option<Timestamp>| Changes { expires_at: Some(at), ..Changes::default() };
        let networks = |list: &[&str]| {
            let networks = list.iter().map(|text| text.parse().unwrap()).collect();
            Changes { networks: Some(networks), ..Changes::default() }
        };
        let role = |role: Role| Changes { role: Some(role), ..Changes::default() };
        let download = |on: bool| Changes { permissions: Some((true, on)), ..Changes::default() };
        set(download(true)).await;
        // What is taken away, and what gives it back: the cookie of before opens nothing.
        for (less, again) in [
            (ends(Some(house.clock.now())), ends(None)),
            (role(Role::ReportViewer), role(Role::User)),
            (download(false), download(true)),
            (networks(&["10.0.0.0/8"]), networks(&[])),
        ] {
            let token = enter(HERE).await;
            assert!(is_open(&token));
            set(less.clone()).await;
            assert!(!is_open(&token), "{less:?}");
            set(again).await;
            assert!(!is_open(&token) && house.shelf.session_rows().is_empty(), "{less:?}");
        }
        // An end that came by itself is no other.
        let token = enter(HERE).await;
        set(ends(Some(house.clock.now().plus(Duration::from_secs(60))))).await;
        assert!(is_open(&token), "it is not yet");
        house.clock.advance(Duration::from_secs(60));
        set(ends(None)).await;
        assert!(!is_open(&token));
        // What takes nothing away leaves them: networks around the session, another zone.
        let token = enter(HERE).await;
        set(networks(&["192.0.2.0/24"])).await;
        set(Changes { time_zone: Some("Asia/Tokyo".into()), ..Changes::default() }).await;
        assert!(is_open(&token));
        // Who hands over the house is a user from now on, and signs in as one.
        let login = accounts.log_in(ip(HERE), ADMIN, &secret(PASSWORD)).await.unwrap();
        let old = accounts.open_session(&login, ip(HERE), "a browser").await.unwrap();
        accounts.make_admin(&operator(), USER).await.unwrap();
        assert!(is_open(&token) && !is_open(&old));
    });
}

#[test]
fn sessions_of_one_are_bounded_and_close_together() {
    smol::block_on(async {
        let house = peopled().await;
        let login = house.accounts.log_in(ip(HERE), USER, &secret(PASSWORD)).await.unwrap();
        let mut tokens = Vec::new();
        for _ in 0..25 {
            house.clock.advance(Duration::from_millis(1));
            tokens.push(house.accounts.open_session(&login, ip(HERE), "a browser").await.unwrap());
        }
        let open: Vec<bool> =
            tokens.iter().map(|token| house.accounts.session(token, ip(HERE), AskedBy::Person).is_some()).collect();
        assert_eq!(open.iter().filter(|open| **open).count(), 20);
        assert!(!open[4] && open[5], "the oldest go");
        assert_eq!(house.shelf.session_rows().len(), 20);
        assert_eq!(house.accounts.close_all(USER).await.unwrap(), 20);
        assert!(house.shelf.session_rows().is_empty());
        house.accounts.set_key(&operator(), USER, None, false).await.unwrap();
        assert!(
            house.accounts.open_session(&login, ip(HERE), "a browser").await.is_err(),
            "a login of the password before"
        );
    });
}
