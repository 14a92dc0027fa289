//! Accounts come, change and go: who may do it, what it leaves in the operation log, and what stays true.

use super::{
    rights::{network_of, rate_of},
    tests::{House, added, house, ip, operator, secret},
    *,
};
use crate::event::Class;

fn person(name: &str, role: Role) -> NewUser {
    let changes = Changes { role: Some(role), display_name: Some("Hanako".into()), ..Changes::default() };
    NewUser { kind: AccountKind::Console, changes, ..NewUser::api(name) }
}

async fn people(house: &House) {
    for (name, role) in [
        ("admin@example.jp", Role::GroupAdministrator),
        ("user@example.jp", Role::User),
        ("viewer@example.jp", Role::ReportViewer),
    ] {
        house.accounts.add(&operator(), person(name, role)).await.unwrap();
    }
}

fn by(name: &str) -> Actor {
    Actor::Person { name: name.into(), from: ip("192.0.2.9") }
}

fn words<T>(result: Result<T, AccountError>) -> String {
    result.err().map_or_else(|| "done".to_owned(), |error| error.to_string())
}

fn role(accounts: &Accounts, name: &str) -> Role {
    accounts.get(name).unwrap().rights.role
}

#[test]
fn what_a_user_may_do_is_changed_with_an_entry_that_says_old_and_new() {
    smol::block_on(async {
        let house = house(10);
        let accounts = &house.accounts;
        let new = NewUser {
            key: Some(secret("correct horse battery")),
            changes: Changes { class: Some(Some(Class::Low)), permissions: Some((true, false)), ..Changes::default() },
            ..NewUser::api("shop")
        };
        accounts.add(&operator(), new).await.unwrap();
        assert_eq!(
            house.audit("user.add"),
            ["operator root control socket shop API user, key given, class low, permissions view"]
        );
        let changes = Changes {
            networks: Some(vec![network_of("192.0.2.0/24").unwrap()]),
            senders: Some(vec!["Example.JP".into()]),
            rate: Some(rate_of("10/1m").unwrap()),
            ..Changes::default()
        };
        let after = accounts.change(&operator(), "shop", &changes).await.unwrap();
        assert_eq!(after, house.shelf.account("shop").unwrap());
        assert_eq!(
            house.audit("user.set"),
            [
                "operator root control socket shop networks none → 192.0.2.0/24; senders none → example.jp; rate none → 10/1m"
            ]
        );
        let writes = house.shelf.writes();
        accounts.change(&operator(), "shop", &changes).await.unwrap();
        assert_eq!((house.shelf.writes(), house.audit("user.set").len()), (writes, 1), "the same again is no act");
        accounts.set_key(&operator(), "shop", None, false).await.unwrap();
        accounts.remove(&operator(), "shop").await.unwrap();
        assert_eq!(house.audit("user.password"), ["operator root control socket shop key made"]);
        assert_eq!(house.audit("user.remove"), ["operator root control socket shop "]);
        assert!(!format!("{:?}", house.shelf.audit()).contains("horse"));
        assert_eq!(words(accounts.change(&operator(), "shop", &changes).await), "there is no user \"shop\"");
        let bad = Changes { senders: Some(vec!["no sender".into()]), ..Changes::default() };
        added(accounts, "crm").await;
        assert!(words(accounts.change(&operator(), "crm", &bad).await).contains("no sender"));
    });
}

#[test]
fn when_the_store_fails_nothing_is_changed_in_ram_either() {
    smol::block_on(async {
        let house = house(10);
        added(&house.accounts, "shop").await;
        house.shelf.break_writes(true);
        let sandbox = Changes { sandbox: Some(true), ..Changes::default() };
        assert!(matches!(house.accounts.change(&operator(), "shop", &sandbox).await, Err(AccountError::Store(_))));
        assert!(matches!(house.accounts.add(&operator(), NewUser::api("crm")).await, Err(AccountError::Store(_))));
        assert!(!house.accounts.get("shop").unwrap().rights.sandbox);
        assert_eq!(house.accounts.list().len(), 1);
    });
}

#[test]
fn keys_of_customers_of_cmc_come_in_only_when_it_is_said_that_they_do() {
    smol::block_on(async {
        let house = house(10);
        let new = |imported: bool, key: &str| NewUser { key: Some(secret(key)), imported, ..NewUser::api("shop") };
        assert!(words(house.accounts.add(&operator(), new(false, "abcd1234")).await).contains("at least 12"));
        assert!(words(house.accounts.add(&operator(), new(true, "abcdefgh")).await).contains("letters and digits"));
        house.accounts.add(&operator(), new(true, "abcd1234")).await.unwrap();
        assert_eq!(house.audit("user.add"), ["operator root control socket shop API user, key imported"]);
        let login = house.accounts.check(Door::Smtp, ip("192.0.2.1"), "shop", &secret("abcd1234")).await;
        assert!(login.is_ok());
    });
}

#[test]
fn r16_people_and_programs_are_counted_together_and_people_have_addresses() {
    smol::block_on(async {
        let house = house(4);
        people(&house).await;
        added(&house.accounts, "shop").await;
        assert!(words(house.accounts.add(&operator(), NewUser::api("crm")).await).contains("users_max"));
        house.accounts.remove(&operator(), "shop").await.unwrap();
        let add = async |name: &str| words(house.accounts.add(&operator(), person(name, Role::User)).await);
        assert!(add("hanako").await.contains("e-mail address"));
        assert!(add("USER@example.jp").await.contains("a user user@example.jp already"));
        assert_eq!(add("Taro@Example.JP").await, "done");
        assert!(house.accounts.get("taro@example.jp").is_some(), "people write their address as they like");
        let rights = house.accounts.get("taro@example.jp").unwrap().rights;
        assert!(rights.view && !rights.download && !rights.smtp && !rights.http, "downloads are off until granted");
    });
}

#[test]
fn r17_the_role_of_the_group_administrator_has_one_holder_and_the_operator_hands_it_over() {
    smol::block_on(async {
        let house = house(10);
        people(&house).await;
        let accounts = &house.accounts;
        added(accounts, "shop").await;
        let second = person("second@example.jp", Role::GroupAdministrator);
        assert!(words(accounts.add(&operator(), second).await).contains("admin@example.jp is the group administrator"));
        let set = async |name: &str, role: Role| {
            words(accounts.change(&operator(), name, &Changes { role: Some(role), ..Changes::default() }).await)
        };
        assert!(set("user@example.jp", Role::GroupAdministrator).await.contains("make-admin"));
        assert!(set("admin@example.jp", Role::User).await.contains("make-admin"));
        assert_eq!(set("user@example.jp", Role::ReportViewer).await, "done");
        assert_eq!(set("shop", Role::GroupAdministrator).await, "done", "API users may be several");

        for (who, name, words_of) in [
            (by("admin@example.jp"), "user@example.jp", "by the operator"),
            (operator(), "shop", "API user"),
            (operator(), "admin@example.jp", "already"),
            (operator(), "nobody@example.jp", "no user"),
        ] {
            let told = words(accounts.make_admin(&who, name).await);
            assert!(told.contains(words_of), "{name}: {told}");
        }
        let writes = house.shelf.writes();
        let before = accounts.make_admin(&operator(), "User@example.jp").await.unwrap();
        assert_eq!(before.as_deref(), Some("admin@example.jp"));
        assert_eq!(house.shelf.writes(), writes + 1, "one transaction: never two holders, never none");
        assert_eq!(role(accounts, "user@example.jp"), Role::GroupAdministrator);
        assert_eq!(role(accounts, "admin@example.jp"), Role::User);
        assert_eq!(
            house.audit("user.make-admin"),
            [
                "operator root control socket user@example.jp role report-viewer → group-administrator",
                "operator root control socket admin@example.jp role group-administrator → user",
            ]
        );
        let house = house.restarted();
        assert_eq!(role(&house.accounts, "user@example.jp"), Role::GroupAdministrator);
        house.accounts.remove(&operator(), "user@example.jp").await.unwrap();
        assert_eq!(house.accounts.make_admin(&operator(), "viewer@example.jp").await.unwrap(), None);
    });
}

#[test]
fn the_group_administrator_manages_others_and_nobody_else_does() {
    smol::block_on(async {
        let house = house(10);
        people(&house).await;
        let accounts = &house.accounts;
        let download = Changes { permissions: Some((true, true)), ..Changes::default() };
        for who in ["user@example.jp", "viewer@example.jp", "nobody@example.jp"] {
            let told = [
                words(accounts.add(&by(who), NewUser::api("x")).await),
                words(accounts.change(&by(who), who, &download).await),
                words(accounts.set_key(&by(who), who, None, false).await),
                words(accounts.remove(&by(who), "viewer@example.jp").await),
                words(accounts.unlock(&by(who), who).await),
                words(accounts.set_totp(&by(who), "viewer@example.jp", false).await),
            ];
            assert!(told.iter().all(|told| told.contains("only the group administrator")), "{who}: {told:?}");
        }
        let admin = by("admin@example.jp");
        accounts.add(&admin, NewUser::api("shop")).await.unwrap();
        accounts.change(&admin, "viewer@example.jp", &download).await.unwrap();
        assert_eq!(
            house.audit("user.set"),
            ["admin@example.jp 192.0.2.9 viewer@example.jp permissions view → view,download"]
        );
        // Its own account is the operator's business.
        let told = [
            words(accounts.change(&admin, "admin@example.jp", &download).await),
            words(accounts.set_key(&admin, "admin@example.jp", None, false).await),
            words(accounts.remove(&admin, "admin@example.jp").await),
            words(accounts.set_totp(&admin, "admin@example.jp", false).await),
        ];
        assert!(told.iter().all(|told| told.contains("by the operator")), "{told:?}");
        assert!(words(accounts.set_totp(&operator(), "shop", true).await).contains("API user"));
        assert!(words(accounts.unlock(&operator(), "shop").await).contains("never locked"));
        assert!(!accounts.unlock(&operator(), "viewer@example.jp").await.unwrap());
    });
}
