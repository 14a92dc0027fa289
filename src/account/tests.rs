//! The accounts' promises, with a store in memory.

use super::{fake::Shelf, login::LINE_PER_SOURCE_MAX, login::lock, *};
use crate::{clock::Timestamp, event::Class};

#[derive(Clone)]
pub(super) struct House {
    pub shelf: Shelf,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub accounts: Accounts,
}

impl House {
    /// The same store after a restart.
    pub fn restarted(self) -> House {
        House::of(self.shelf, self.clock, &config::Accounts::default())
    }

    fn of(shelf: Shelf, clock: Clock, config: &config::Accounts) -> House {
        let metrics = Arc::<Metrics>::default();
        let accounts = Accounts::with_store(Box::new(shelf.clone()), clock.clone(), metrics.clone(), config).unwrap();
        House { shelf, clock, metrics, accounts }
    }

    /// What the audit log has of an act or a door, a line each.
    pub fn audit(&self, act: &str) -> Vec<String> {
        let entries = self.shelf.audit().into_iter().filter(|e| e.act == act || e.object == act);
        entries.map(|e| format!("{} {} {} {}", e.who, e.from, e.object, e.detail)).collect()
    }
}

pub(super) fn house(users_max: usize) -> House {
    let config = config::Accounts { users_max, ..config::Accounts::default() };
    House::of(Shelf::default(), Clock::manual(Timestamp::from_millis(1_764_000_000_000)), &config)
}

pub(super) fn operator() -> Actor {
    Actor::Operator { who: "operator root".into(), from: "control socket".into() }
}

/// Adds an API user with a key that is made.
pub(super) async fn added(accounts: &Accounts, name: &str) -> Secret<String> {
    accounts.add(&operator(), NewUser::api(name)).await.unwrap()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn secret(text: &str) -> Secret<String> {
    Secret::new(text.into())
}

async fn smtp(accounts: &Accounts, source: &str, name: &str, key: &Secret<String>) -> Result<Login, LoginRefusal> {
    accounts.check(Door::Smtp, ip(source), name, key).await
}

/// What a source hears first that has just failed once too often.
const BUSY: LoginRefusal = LoginRefusal::Busy { again_after: Duration::from_secs(1) };

#[test]
fn a_user_logs_in_with_its_key_until_the_key_changes_or_it_is_removed() {
    smol::block_on(async {
        let House { shelf, clock, metrics, accounts } = house(10);
        let key = added(&accounts, "shop@example.jp").await;
        let login = smtp(&accounts, "192.0.2.1", "shop@example.jp", &key).await.unwrap();
        assert_eq!((login.name.as_str(), login.rights.class), ("shop@example.jp", None));
        assert!(accounts.check(Door::Http, ip("192.0.2.1"), "shop@example.jp", &key).await.is_ok());
        assert!(matches!(
            smtp(&accounts, "192.0.2.1", "shop@example.jp", &secret("wrong")).await,
            Err(LoginRefusal::Wrong { .. })
        ));
        assert!(matches!(smtp(&accounts, "192.0.2.1", "SHOP@example.jp", &key).await, Err(LoginRefusal::Wrong { .. })));
        assert_eq!(metrics.logins_failed.get(), 2);

        // A restart reads the same accounts.
        let again = House::of(shelf.clone(), clock, &config::Accounts::default()).accounts;
        assert!(smtp(&again, "192.0.2.1", "shop@example.jp", &key).await.is_ok());

        let newer = accounts
            .set_key(&operator(), "shop@example.jp", Some(secret("correct horse battery")), false)
            .await
            .unwrap();
        assert!(smtp(&accounts, "192.0.2.1", "shop@example.jp", &key).await.is_err(), "the old key was cached");
        assert!(smtp(&accounts, "192.0.2.1", "shop@example.jp", &newer).await.is_ok());

        assert!(accounts.remove(&operator(), "shop@example.jp").await.unwrap());
        assert!(!accounts.remove(&operator(), "shop@example.jp").await.unwrap());
        assert!(smtp(&accounts, "192.0.2.1", "shop@example.jp", &newer).await.is_err(), "the key was cached");
        assert!(matches!(
            accounts.set_key(&operator(), "shop@example.jp", None, false).await,
            Err(AccountError::Unknown(_))
        ));
        assert!(!format!("{:?}", accounts.list()).contains("argon2"));
    });
}

#[test]
fn r16_there_are_users_max_users_and_their_names_are_sound() {
    smol::block_on(async {
        let House { accounts, .. } = house(2);
        let refused = async |name: &str, key: Option<&str>| match accounts
            .add(&operator(), NewUser { key: key.map(secret), ..NewUser::api(name) })
            .await
        {
            Err(AccountError::Refused(words)) => words.to_string(),
            other => panic!("{name}: {:?}", other.map(|_| ())),
        };
        for bad in ["tls-report", "", "a b", "a\n", "飛脚", "-x", "a/b", "a\"b", &"x".repeat(65)] {
            assert!(refused(bad, None).await.contains("cannot be a user's name"), "{bad}");
        }
        assert!(refused("shop", Some("short")).await.contains("at least 12"));
        added(&accounts, "shop").await;
        assert_eq!(refused("Shop", None).await, "there is a user shop already");
        let given = NewUser { key: Some(secret("correct horse battery")), ..NewUser::api("crm+news@example.jp") };
        accounts.add(&operator(), given).await.unwrap();
        assert!(refused("third", None).await.contains("users_max in [accounts] is 2"));
        accounts.reconfigure(&config::Accounts { users_max: 3, ..config::Accounts::default() });
        added(&accounts, "third").await;
        let names: Vec<String> = accounts.list().into_iter().map(|account| account.name).collect();
        assert_eq!(names, ["crm+news@example.jp", "shop", "third"]);
    });
}

#[test]
fn r15_wrong_keys_slow_and_refuse_their_source_and_never_lock_the_user() {
    smol::block_on(async {
        let House { clock, accounts, .. } = house(10);
        let key = added(&accounts, "shop").await;
        assert!(smtp(&accounts, "192.0.2.9", "shop", &key).await.is_ok());
        let mut waits = Vec::new();
        let mut tries = 0;
        while let Err(LoginRefusal::Wrong { after }) = smtp(&accounts, "203.0.113.1", "shop", &secret("guess")).await {
            waits.push(after.as_secs());
            tries += 1;
            assert!(tries < 100, "a source that only fails is refused in the end");
        }
        assert!(waits.is_sorted() && waits[0] == 0 && *waits.last().unwrap() == 15, "{waits:?}");
        assert_eq!(smtp(&accounts, "203.0.113.1", "other", &secret("guess")).await, Err(BUSY));
        assert!(smtp(&accounts, "192.0.2.9", "shop", &key).await.is_ok(), "a cached login of another source");
        assert!(smtp(&accounts, "203.0.113.1", "shop", &key).await.is_ok(), "even from there, while it is cached");
        let uncached = accounts.set_key(&operator(), "shop", None, false).await.unwrap();
        assert_eq!(smtp(&accounts, "203.0.113.1", "shop", &uncached).await, Err(BUSY));
        assert!(smtp(&accounts, "192.0.2.10", "shop", &uncached).await.is_ok(), "the user is not locked");
        clock.advance(Duration::from_secs(3600));
        assert_eq!(
            smtp(&accounts, "203.0.113.1", "shop", &secret("guess")).await,
            Err(LoginRefusal::Wrong { after: Duration::ZERO })
        );
    });
}

#[test]
fn failures_of_programs_shut_no_person_out_of_their_network_and_those_of_people_no_program() {
    smol::block_on(async {
        let House { accounts, .. } = house(10);
        let key = added(&accounts, "shop").await;
        let password = secret("correct horse battery");
        let person = NewUser { kind: AccountKind::Console, ..NewUser::api("user@example.jp") };
        accounts.add(&operator(), NewUser { key: Some(password.clone()), ..person }).await.unwrap();
        let (programs, people) = ("203.0.113.1", "203.0.113.2");
        for _ in 0..30 {
            let _ = smtp(&accounts, programs, "x", &secret("guess")).await;
            let _ = accounts.log_in(ip(people), "nobody@example.jp", &secret("guess")).await;
        }
        assert!(smtp(&accounts, programs, "shop", &key).await.is_err(), "the guesser's address is refused there");
        assert!(accounts.log_in(ip(programs), "user@example.jp", &password).await.is_ok(), "a person behind it is not");
        let refused = accounts.log_in(ip(people), "user@example.jp", &password).await;
        assert!(matches!(refused, Err(ConsoleRefusal::Busy { .. })), "{refused:?}");
        assert!(smtp(&accounts, people, "shop", &key).await.is_ok());
    });
}

#[test]
fn an_unknown_name_costs_a_hash_like_a_wrong_key_and_a_known_login_costs_none() {
    let House { accounts, metrics, .. } = house(10);
    let key = smol::block_on(added(&accounts, "shop"));
    let mut source = 0u32;
    let mut hashes = |name: &str, key: &Secret<String>| {
        source += 1;
        let before = metrics.logins_hashed.get();
        let _ = smol::block_on(accounts.check(Door::Smtp, IpAddr::V4((0x0a00_0000 + source).into()), name, key));
        metrics.logins_hashed.get() - before
    };
    for (name, key, want) in [
        ("shop", secret("wrong"), 1),
        ("nobody", secret("wrong"), 1),
        ("shop", key.clone(), 1),
        ("shop", key.clone(), 0),
        ("shop", secret("wrong"), 1),
        ("shop", key, 0),
    ] {
        assert_eq!(hashes(name, &key), want, "{name}");
    }
}

#[test]
fn a_program_with_many_sessions_is_hashed_about_once_and_the_line_is_bounded() {
    let House { accounts, metrics, .. } = house(10);
    let key = smol::block_on(added(&accounts, "shop"));
    let clock = Clock::system();
    let executor = smol::Executor::new();
    let crowd = |n: usize, source: IpAddr, key: &Secret<String>| -> Vec<_> {
        (0..n)
            .map(|_| {
                let (accounts, key) = (accounts.clone(), key.clone());
                executor.spawn(async move { accounts.check(Door::Smtp, source, "shop", &key).await })
            })
            .collect()
    };
    smol::block_on(executor.run(async {
        let start = clock.instant();
        for task in crowd(100, ip("192.0.2.1"), &key) {
            assert!(task.await.is_ok());
        }
        let took = clock.instant() - start;
        assert!(took < Duration::from_secs(10), "a hundred logins took {took:?}");
        // A hundred different guesses at once: at most the bound is looked at, the rest hears Busy.
        let mut busy = 0;
        for task in crowd(LINE_PER_SOURCE_MAX + 20, ip("192.0.2.2"), &secret("guess")) {
            busy += usize::from(matches!(task.await, Err(LoginRefusal::Busy { .. } | LoginRefusal::TurnedAway { .. })));
        }
        assert!(busy >= 100, "{busy} were refused unheard");
        assert!(metrics.logins_failed.get() <= 25, "{} were looked at", metrics.logins_failed.get());
        assert!(lock(&accounts.0.line).is_empty(), "every place was given back");
        // Whoever gives up leaves the line, too.
        let given_up = crowd(10, ip("192.0.2.3"), &secret("guess"));
        smol::future::yield_now().await;
        drop(given_up);
        for _ in 0..200 {
            if lock(&accounts.0.line).is_empty() {
                return;
            }
            smol::Timer::after(Duration::from_millis(20)).await;
        }
        panic!("places were not given back: {:?}", lock(&accounts.0.line));
    }));
}

#[test]
fn a_login_that_is_known_costs_microseconds() {
    const LOGINS: u32 = 5000;
    let House { accounts, metrics, .. } = house(10);
    smol::block_on(async {
        let key = added(&accounts, "shop").await;
        smtp(&accounts, "192.0.2.1", "shop", &key).await.unwrap();
        let (clock, hashed) = (Clock::system(), metrics.logins_hashed.get());
        let start = clock.instant();
        for _ in 0..LOGINS {
            smtp(&accounts, "192.0.2.1", "shop", &key).await.unwrap();
        }
        let each = (clock.instant() - start) / LOGINS;
        assert_eq!(metrics.logins_hashed.get(), hashed);
        // Without optimization, on a machine that does other things: a hash would take a hundred times as long.
        assert!(each < Duration::from_millis(1), "{each:?}");
    });
}

#[test]
fn accounts_are_used_from_where_they_may_be_and_by_their_doors() {
    smol::block_on(async {
        let House { shelf, accounts, .. } = house(10);
        let key = added(&accounts, "shop").await;
        let submit = vec!["192.0.2.0/24".parse().unwrap()];
        let allowed_ips = AllowedIps { submit, ..AllowedIps::default() };
        accounts.reconfigure(&config::Accounts { allowed_ips, ..config::Accounts::default() });
        assert!(smtp(&accounts, "192.0.2.1", "shop", &key).await.is_ok());
        assert!(smtp(&accounts, "::ffff:192.0.2.1", "shop", &key).await.is_ok());
        assert_eq!(smtp(&accounts, "198.51.100.1", "shop", &key).await, Err(LoginRefusal::NotAllowed));
        assert!(accounts.check(Door::Http, ip("198.51.100.1"), "shop", &key).await.is_ok());
        let wrong = smtp(&accounts, "198.51.100.1", "shop", &secret("wrong")).await;
        assert_eq!(wrong, Err(LoginRefusal::NotAllowed), "the place tells nothing about the key");
        assert_eq!(smtp(&accounts, "198.51.100.1", "nobody", &key).await, Err(LoginRefusal::NotAllowed));

        let set = async |changes: Changes| accounts.change(&operator(), "shop", &changes).await.unwrap();
        set(Changes { class: Some(Some(Class::High)), ..Changes::default() }).await;
        assert_eq!(smtp(&accounts, "192.0.2.1", "shop", &key).await.unwrap().rights.class, Some(Class::High));
        assert_eq!(shelf.account("shop").unwrap().rights.class, Some(Class::High));
        set(Changes { access: Some((false, true)), ..Changes::default() }).await;
        assert_eq!(smtp(&accounts, "192.0.2.1", "shop", &key).await, Err(LoginRefusal::NotAllowed));
        assert!(accounts.check(Door::Http, ip("192.0.2.1"), "shop", &key).await.is_ok());
        let own = vec![rights::network_of("10.0.0.0/8").unwrap()];
        set(Changes { networks: Some(own), ..Changes::default() }).await;
        assert_eq!(http(&accounts, "192.0.2.1", "shop", &key).await, Err(LoginRefusal::NotAllowed));
        assert!(http(&accounts, "10.1.2.3", "shop", &key).await.is_ok());
        let elsewhere = http(&accounts, "192.0.2.1", "shop", &secret("wrong")).await;
        assert!(matches!(elsewhere, Err(LoginRefusal::Wrong { .. })), "who has no key learns nothing: {elsewhere:?}");
    });
}

async fn http(accounts: &Accounts, source: &str, name: &str, key: &Secret<String>) -> Result<Login, LoginRefusal> {
    accounts.check(Door::Http, ip(source), name, key).await
}

#[test]
fn an_account_ends_at_its_time_and_a_login_is_renewed_or_over() {
    smol::block_on(async {
        let House { clock, accounts, .. } = house(10);
        let key = added(&accounts, "shop").await;
        let set = async |changes: Changes| accounts.change(&operator(), "shop", &changes).await.unwrap();
        let ends = clock.now().plus(Duration::from_secs(60));
        set(Changes { expires_at: Some(Some(ends)), ..Changes::default() }).await;
        let login = smtp(&accounts, "192.0.2.1", "shop", &key).await.unwrap();
        assert_eq!(accounts.renew(Door::Smtp, ip("192.0.2.1"), &login).as_ref(), Ok(&login));
        set(Changes { sandbox: Some(true), ..Changes::default() }).await;
        assert!(accounts.renew(Door::Smtp, ip("192.0.2.1"), &login).unwrap().rights.sandbox, "rights are those of now");
        let elsewhere = vec![rights::network_of("10.0.0.0/8").unwrap()];
        set(Changes { networks: Some(elsewhere), ..Changes::default() }).await;
        assert_eq!(accounts.renew(Door::Smtp, ip("192.0.2.1"), &login), Err(LoginRefusal::NotAllowed));
        set(Changes { networks: Some(Vec::new()), ..Changes::default() }).await;
        clock.advance(Duration::from_secs(60));
        assert_eq!(accounts.renew(Door::Smtp, ip("192.0.2.1"), &login), Err(LoginRefusal::Expired));
        assert_eq!(smtp(&accounts, "192.0.2.1", "shop", &key).await, Err(LoginRefusal::Expired));
        assert!(matches!(smtp(&accounts, "192.0.2.1", "shop", &secret("x")).await, Err(LoginRefusal::Wrong { .. })));
        set(Changes { expires_at: Some(None), ..Changes::default() }).await;
        assert!(accounts.renew(Door::Smtp, ip("192.0.2.1"), &login).is_ok());
        accounts.set_key(&operator(), "shop", None, false).await.unwrap();
        assert_eq!(
            accounts.renew(Door::Smtp, ip("192.0.2.1"), &login),
            Err(LoginRefusal::NotAllowed),
            "another key ends it"
        );
        accounts.remove(&operator(), "shop").await.unwrap();
        assert_eq!(accounts.renew(Door::Smtp, ip("192.0.2.1"), &login), Err(LoginRefusal::NotAllowed));
    });
}

#[test]
fn a_source_that_insists_is_turned_away_and_told_when_to_come_again() {
    smol::block_on(async {
        let House { clock, accounts, .. } = house(10);
        added(&accounts, "shop").await;
        let guess = async || smtp(&accounts, "203.0.113.1", "shop", &secret("guess")).await;
        let mut tries = 0;
        while matches!(guess().await, Err(LoginRefusal::Wrong { .. })) {
            tries += 1;
        }
        assert_eq!(tries, 20);
        let again_after = Duration::from_secs(1);
        let heard = [guess().await, guess().await, guess().await];
        assert_eq!(heard[0], Err(LoginRefusal::Busy { again_after }));
        assert_eq!(heard[2], Err(LoginRefusal::TurnedAway { again_after }));
        clock.advance(again_after);
        assert!(matches!(guess().await, Err(LoginRefusal::Wrong { .. })));
    });
}

#[test]
fn what_a_user_submits_is_counted_by_recipients() {
    smol::block_on(async {
        let House { clock, accounts, .. } = house(10);
        added(&accounts, "shop").await;
        assert_eq!(accounts.may_submit("shop", 1_000_000), Ok(()), "no limit unless one is set");
        assert_eq!(accounts.may_submit("nobody", 1), Ok(()));
        let rate = Changes { rate: Some(rights::rate_of("100/1h").unwrap()), ..Changes::default() };
        accounts.change(&operator(), "shop", &rate).await.unwrap();
        assert_eq!((accounts.could_submit("shop", 100), accounts.may_submit("shop", 100)), (Ok(()), Ok(())));
        assert_eq!(accounts.could_submit("shop", 1), Err(RetryAfter(Duration::from_secs(36))));
        assert_eq!(accounts.may_submit("shop", 1).unwrap_err().seconds(), 36);
        clock.advance(Duration::from_secs(36));
        assert_eq!(accounts.may_submit("shop", 1), Ok(()));
    });
}

#[test]
fn logins_of_programs_are_in_the_login_log_together_and_none_is_lost_at_a_stop() {
    smol::block_on(async {
        let house = house(10);
        let (clock, accounts) = (&house.clock, &house.accounts);
        let key = added(accounts, "shop").await;
        for _ in 0..50 {
            smtp(accounts, "192.0.2.1", "shop", &key).await.unwrap();
        }
        http(accounts, "192.0.2.1", "shop", &key).await.unwrap();
        let _ = smtp(accounts, "192.0.2.1", "nobody", &key).await;
        accounts.write_log(false).await;
        assert_eq!(
            house.audit("login"),
            ["shop 192.0.2.1 smtp success", "shop 192.0.2.1 api success", "nobody 192.0.2.1 smtp wrong"]
        );
        house.shelf.break_writes(true);
        clock.advance(Duration::from_secs(60));
        accounts.write_log(false).await;
        house.shelf.break_writes(false);
        accounts.write_log(false).await;
        assert_eq!(house.audit("login").last().unwrap(), "shop 192.0.2.1 smtp success ×49");
        smtp(accounts, "192.0.2.1", "shop", &key).await.unwrap();
        accounts.flush().await;
        assert_eq!(house.audit("login").len(), 5);
        let told = format!("{:?}", house.shelf.audit());
        assert!(!told.contains(key.reveal().as_str()), "no key in the log");
    });
}
