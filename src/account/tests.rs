//! The accounts' promises, with a store in memory.

use super::{
    store::{AccountStore, Answer},
    *,
};
use crate::{clock::Timestamp, store::StoreError};

#[derive(Default)]
struct Shelf(Mutex<HashMap<String, Account>>);

impl AccountStore for Arc<Shelf> {
    fn all(&self) -> Result<Vec<Account>, StoreError> {
        Ok(self.0.lock().unwrap().values().cloned().collect())
    }

    fn put(&self, account: Account, replace: bool) -> Answer<'_> {
        Box::pin(async move {
            let mut shelf = self.0.lock().unwrap();
            if !replace && shelf.contains_key(&account.name) {
                return Ok(false);
            }
            shelf.insert(account.name.clone(), account);
            Ok(true)
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> Answer<'a> {
        Box::pin(async move { Ok(self.0.lock().unwrap().remove(name).is_some()) })
    }
}

struct House {
    shelf: Arc<Shelf>,
    clock: Clock,
    metrics: Arc<Metrics>,
    accounts: Accounts,
}

fn house(users_max: usize) -> House {
    let (shelf, clock, metrics) =
        (Arc::<Shelf>::default(), Clock::manual(Timestamp::from_millis(1)), Arc::<Metrics>::default());
    let accounts = Accounts::with_store(Box::new(shelf.clone()), clock.clone(), metrics.clone(), users_max).unwrap();
    House { shelf, clock, metrics, accounts }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.into())
}

async fn smtp(accounts: &Accounts, source: &str, name: &str, key: &Secret<String>) -> Result<Login, LoginRefusal> {
    accounts.check(Door::Smtp, ip(source), name, key).await
}

/// The fastest of a few runs: other work on the machine only makes it slower.
#[test]
fn a_user_logs_in_with_its_key_until_the_key_changes_or_it_is_removed() {
    smol::block_on(async {
        let House { shelf, clock, metrics, accounts } = house(10);
        let key = accounts.add_api("shop@example.jp", None, None).await.unwrap();
        let login = smtp(&accounts, "192.0.2.1", "shop@example.jp", &key).await.unwrap();
        assert_eq!(login, Login { name: "shop@example.jp".into(), class: None });
        assert!(accounts.check(Door::Http, ip("192.0.2.1"), "shop@example.jp", &key).await.is_ok());
        assert!(matches!(
            smtp(&accounts, "192.0.2.1", "shop@example.jp", &secret("wrong")).await,
            Err(LoginRefusal::Wrong { .. })
        ));
        assert!(matches!(smtp(&accounts, "192.0.2.1", "SHOP@example.jp", &key).await, Err(LoginRefusal::Wrong { .. })));
        assert_eq!(metrics.logins_failed.get(), 2);

        // A restart reads the same accounts.
        let again = Accounts::with_store(Box::new(shelf.clone()), clock.clone(), metrics.clone(), 10).unwrap();
        assert!(smtp(&again, "192.0.2.1", "shop@example.jp", &key).await.is_ok());

        let newer = accounts.set_key("shop@example.jp", Some(secret("correct horse battery"))).await.unwrap();
        assert!(smtp(&accounts, "192.0.2.1", "shop@example.jp", &key).await.is_err(), "the old key was cached");
        assert!(smtp(&accounts, "192.0.2.1", "shop@example.jp", &newer).await.is_ok());

        assert!(accounts.remove("shop@example.jp").await.unwrap());
        assert!(!accounts.remove("shop@example.jp").await.unwrap());
        assert!(smtp(&accounts, "192.0.2.1", "shop@example.jp", &newer).await.is_err(), "the key was cached");
        assert!(matches!(accounts.set_key("shop@example.jp", None).await, Err(AccountError::Refused(_))));
        assert!(!format!("{:?}", shelf.0.lock().unwrap()).contains("argon2"));
    });
}

#[test]
fn r16_there_are_users_max_users_and_their_names_are_sound() {
    smol::block_on(async {
        let House { accounts, .. } = house(2);
        let refused = async |name: &str, key: Option<&str>| match accounts.add_api(name, key.map(secret), None).await {
            Err(AccountError::Refused(words)) => words,
            other => panic!("{name}: {:?}", other.map(|_| ())),
        };
        for bad in ["tls-report", "", "a b", "a\n", "飛脚", "-x", "a/b", "a\"b", &"x".repeat(65)] {
            assert!(refused(bad, None).await.contains("cannot be a user's name"), "{bad}");
        }
        assert!(refused("shop", Some("short")).await.contains("at least 12"));
        accounts.add_api("shop", None, None).await.unwrap();
        assert_eq!(refused("Shop", None).await, "there is a user shop already");
        accounts.add_api("crm+news@example.jp", Some(secret("correct horse battery")), None).await.unwrap();
        assert!(refused("third", None).await.contains("users_max in [accounts] is 2"));
        accounts.reconfigure(3);
        accounts.add_api("third", None, None).await.unwrap();
        let names: Vec<String> = accounts.list().into_iter().map(|account| account.name).collect();
        assert_eq!(names, ["crm+news@example.jp", "shop", "third"]);
    });
}

#[test]
fn r15_wrong_keys_slow_and_refuse_their_source_and_never_lock_the_user() {
    smol::block_on(async {
        let House { clock, accounts, .. } = house(10);
        let key = accounts.add_api("shop", None, None).await.unwrap();
        assert!(smtp(&accounts, "192.0.2.9", "shop", &key).await.is_ok());
        let mut waits = Vec::new();
        let mut tries = 0;
        while let Err(LoginRefusal::Wrong { after }) = smtp(&accounts, "203.0.113.1", "shop", &secret("guess")).await {
            waits.push(after.as_secs());
            tries += 1;
            assert!(tries < 100, "a source that only fails is refused in the end");
        }
        assert!(waits.is_sorted() && waits[0] == 0 && *waits.last().unwrap() == 15, "{waits:?}");
        assert_eq!(smtp(&accounts, "203.0.113.1", "other", &secret("guess")).await, Err(LoginRefusal::Busy));
        assert!(smtp(&accounts, "192.0.2.9", "shop", &key).await.is_ok(), "a cached login of another source");
        assert!(smtp(&accounts, "203.0.113.1", "shop", &key).await.is_ok(), "even from there, while it is cached");
        let uncached = accounts.set_key("shop", None).await.unwrap();
        assert_eq!(smtp(&accounts, "203.0.113.1", "shop", &uncached).await, Err(LoginRefusal::Busy));
        assert!(smtp(&accounts, "192.0.2.10", "shop", &uncached).await.is_ok(), "the user is not locked");
        clock.advance(Duration::from_secs(3600));
        assert_eq!(
            smtp(&accounts, "203.0.113.1", "shop", &secret("guess")).await,
            Err(LoginRefusal::Wrong { after: Duration::ZERO })
        );
    });
}

#[test]
fn an_unknown_name_costs_a_hash_like_a_wrong_key_and_a_known_login_costs_none() {
    let House { accounts, metrics, .. } = house(10);
    let key = smol::block_on(accounts.add_api("shop", None, None)).unwrap();
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
    let key = smol::block_on(accounts.add_api("shop", None, None)).unwrap();
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
            busy += usize::from(task.await == Err(LoginRefusal::Busy));
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
fn accounts_are_used_from_where_they_may_be_and_by_their_doors() {
    smol::block_on(async {
        let House { shelf, clock, metrics, accounts } = house(10);
        let key = accounts.add_api("shop", None, None).await.unwrap();
        let submit = vec!["192.0.2.0/24".parse().unwrap()];
        accounts.allow(&AllowedIps { submit, ..AllowedIps::default() });
        assert!(smtp(&accounts, "192.0.2.1", "shop", &key).await.is_ok());
        assert!(smtp(&accounts, "::ffff:192.0.2.1", "shop", &key).await.is_ok());
        assert_eq!(smtp(&accounts, "198.51.100.1", "shop", &key).await, Err(LoginRefusal::NotAllowed));
        assert!(accounts.check(Door::Http, ip("198.51.100.1"), "shop", &key).await.is_ok());
        let wrong = smtp(&accounts, "198.51.100.1", "shop", &secret("wrong")).await;
        assert_eq!(wrong, Err(LoginRefusal::NotAllowed), "the place tells nothing about the key");
        assert_eq!(smtp(&accounts, "198.51.100.1", "nobody", &key).await, Err(LoginRefusal::NotAllowed));

        accounts.set_class("shop", Some(Class::High)).await.unwrap();
        assert_eq!(smtp(&accounts, "192.0.2.1", "shop", &key).await.unwrap().class, Some(Class::High));
        assert_eq!(shelf.0.lock().unwrap()["shop"].class, Some(Class::High));
        accounts.set_class("shop", None).await.unwrap();
        assert_eq!(smtp(&accounts, "192.0.2.1", "shop", &key).await.unwrap().class, None);
        assert!(matches!(accounts.set_class("nobody", None).await, Err(AccountError::Refused(_))));

        if let Some(account) = shelf.0.lock().unwrap().get_mut("shop") {
            account.may_smtp = false;
        }
        let again = Accounts::with_store(Box::new(shelf.clone()), clock, metrics, 10).unwrap();
        assert_eq!(smtp(&again, "192.0.2.1", "shop", &key).await, Err(LoginRefusal::NotAllowed));
        assert!(again.check(Door::Http, ip("192.0.2.1"), "shop", &key).await.is_ok());
    });
}
