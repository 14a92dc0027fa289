//! The first account, what people change of their own, and their sessions.

use super::{
    console_tests::{ADMIN, HERE, PASSWORD, USER, guess, log_in, peopled},
    tests::{House, added, house, ip, operator, secret},
    *,
};
use crate::language::Language;

fn first(name: &str, password: &str) -> FirstPerson {
    FirstPerson {
        name: name.into(),
        password: secret(password),
        display_name: "飛脚 花子".into(),
        language: "ja".into(),
        time_zone: "Asia/Tokyo".into(),
        download: false,
    }
}

#[test]
fn the_first_account_is_made_once_by_the_link_of_this_start_and_is_the_group_administrator() {
    smol::block_on(async {
        let house = house(3);
        let accounts = &house.accounts;
        added(accounts, "shop").await;
        let old = accounts.set_up_begin().unwrap().unwrap();
        let token = accounts.set_up_begin().unwrap().unwrap();
        assert!(accounts.set_up_waits() && accounts.set_up_fits(&token));
        let finish = async |token: &Secret<String>, name: &str, password: &str| {
            accounts.set_up_finish(token, first(name, password), ip(HERE)).await.map_err(|e| e.to_string())
        };
        let restarted = House { shelf: house.shelf.clone(), ..house.clone() }.restarted();
        assert!(!restarted.accounts.set_up_fits(&token), "a token is of one process");
        for (token, name, password, words) in [
            (&old, ADMIN, PASSWORD, "not valid"),
            (&secret(""), ADMIN, PASSWORD, "not valid"),
            (&secret("x"), ADMIN, PASSWORD, "not valid"),
            (&token, "no address", PASSWORD, "without blanks"),
            (&token, "nobody", PASSWORD, "e-mail address"),
            (&token, "console-mail", PASSWORD, "own mail"),
            (&token, ADMIN, "short", "at least 12"),
        ] {
            let told = finish(token, name, password).await.unwrap_err();
            assert!(told.contains(words), "{name}: {told}");
        }
        assert!(accounts.set_up_fits(&token), "what is refused does not use it up");
        finish(&token, "Admin@Example.JP", PASSWORD).await.unwrap();
        let account = accounts.get(ADMIN).unwrap();
        assert_eq!((account.rights.role, account.rights.view), (Role::GroupAdministrator, true));
        assert!(!account.rights.download, "off until it is granted (R13)");
        assert_eq!((account.person.language.as_str(), account.rights.time_zone.as_str()), ("ja", "Asia/Tokyo"));
        assert_eq!(log_in(&house, HERE, ADMIN, PASSWORD, None).await, "in");
        assert!(!accounts.set_up_waits() && !accounts.set_up_fits(&token));
        assert!(
            finish(&token, "second@example.jp", PASSWORD).await.unwrap_err().contains("not valid"),
            "it counts once"
        );
        assert!(accounts.set_up_begin().unwrap().is_none());
        assert_eq!(
            house.audit("user.set-up"),
            [format!("{ADMIN} {HERE} {ADMIN} first account, role group-administrator, download off")]
        );
    });
}

#[test]
fn a_console_account_of_the_command_line_ends_the_set_up() {
    smol::block_on(async {
        let house = house(10);
        let token = house.accounts.set_up_begin().unwrap().unwrap();
        let new = NewUser { kind: AccountKind::Console, ..NewUser::api(USER) };
        house.accounts.add(&operator(), new).await.unwrap();
        assert!(!house.accounts.set_up_fits(&token));
        let told = house.accounts.set_up_finish(&token, first(ADMIN, PASSWORD), ip(HERE)).await.unwrap_err();
        assert!(told.words(Language::Japanese).contains("無効"), "{told}");
        assert!(house.accounts.get(ADMIN).is_none());
    });
}

#[test]
fn two_who_open_the_link_at_once_make_one_account() {
    let house = house(10);
    let token = house.accounts.set_up_begin().unwrap().unwrap();
    let made = smol::block_on(smol::future::zip(
        house.accounts.set_up_finish(&token, first(ADMIN, PASSWORD), ip(HERE)),
        house.accounts.set_up_finish(&token, first(USER, PASSWORD), ip(HERE)),
    ));
    assert!(made.0.is_ok() != made.1.is_ok(), "{made:?}");
    assert_eq!(house.accounts.list().len(), 1);
}

#[test]
fn people_change_their_name_language_and_zone_and_nothing_else() {
    smol::block_on(async {
        let house = peopled().await;
        let own = OwnChanges {
            display_name: Some(" 花子 ".into()),
            language: Some("ja".into()),
            time_zone: Some("Asia/Tokyo".into()),
        };
        let account = house.accounts.change_own(USER, ip(HERE), own).await.unwrap();
        assert_eq!(account.person.display_name, "花子");
        assert_eq!(house.shelf.account(USER).unwrap(), account);
        let detail = "time zone none → Asia/Tokyo; name none → 花子; language none → ja";
        assert_eq!(house.audit("user.set"), [format!("{USER} {HERE} {USER} {detail}")]);
        for bad in [
            OwnChanges { time_zone: Some("Mars/Olympus".into()), ..OwnChanges::default() },
            OwnChanges { language: Some("fr".into()), ..OwnChanges::default() },
            OwnChanges { display_name: Some("a\nb".into()), ..OwnChanges::default() },
        ] {
            assert!(house.accounts.change_own(USER, ip(HERE), bad).await.is_err());
        }
        added(&house.accounts, "shop").await;
        assert!(house.accounts.change_own("shop", ip(HERE), OwnChanges::default()).await.is_err(), "a program");
    });
}

#[test]
fn another_password_takes_the_old_one_and_ends_every_session() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        let login = accounts.log_in(ip(HERE), USER, &secret(PASSWORD)).await.unwrap();
        let tokens = [0; 2].map(|_| smol::block_on(accounts.open_session(&login, ip(HERE), "x")).unwrap());
        let set =
            async |old: &str, new: &str| accounts.set_own_password(USER, ip(HERE), &secret(old), secret(new)).await;
        assert!(matches!(
            set("a wrong guess", "a new long pass").await,
            Err(OwnRefusal::Password(ConsoleRefusal::Wrong { .. }))
        ));
        assert!(matches!(set(PASSWORD, "short").await, Err(OwnRefusal::Act(AccountError::Refused(_)))));
        assert!(matches!(set(PASSWORD, PASSWORD).await, Err(OwnRefusal::Act(AccountError::Refused(_)))));
        assert!(accounts.session(&tokens[0], ip(HERE)).is_some());
        let login = set(PASSWORD, "a new long pass").await.unwrap();
        assert!(tokens.iter().all(|token| accounts.session(token, ip(HERE)).is_none()));
        assert!(house.shelf.session_rows().is_empty());
        let token = accounts.open_session(&login, ip(HERE), "x").await.unwrap();
        assert_eq!(accounts.session(&token, ip(HERE)).unwrap().name, USER);
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, None).await, "wrong");
        assert_eq!(log_in(&house, HERE, USER, "a new long pass", None).await, "in");
        assert_eq!(house.audit("user.password"), [format!("{USER} {HERE} {USER} own password")]);
    });
}

#[test]
fn r15_who_guesses_by_a_stolen_session_locks_the_account_and_loses_the_session() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        let login = accounts.log_in(ip(HERE), USER, &secret(PASSWORD)).await.unwrap();
        let token = accounts.open_session(&login, ip(HERE), "x").await.unwrap();
        // Strangers at the sign-in lock the account; they must not sign its owner out.
        guess(&house, ADMIN, 10, 0).await;
        guess(&house, USER, 9, 100).await;
        assert!(accounts.session(&token, ip(HERE)).is_some());
        let told = accounts.totp_off(USER, ip(HERE), &secret("a wrong guess")).await;
        assert!(matches!(told, Err(OwnRefusal::Password(ConsoleRefusal::Wrong { .. }))), "{told:?}");
        assert!(accounts.get(USER).unwrap().person.locked_at.is_some());
        assert!(accounts.session(&token, ip(HERE)).is_none());
        accounts.flush().await;
        assert!(house.audit("console").contains(&format!("{USER} {HERE} console wrong")));
    });
}

#[test]
fn a_second_factor_is_on_after_a_right_code_and_off_by_the_password() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        let offer = accounts.totp_offer(USER).unwrap();
        assert_eq!(accounts.totp_offer(USER).unwrap().secret, offer.secret, "a page may be loaded again");
        assert_ne!(accounts.totp_offer(ADMIN).unwrap().secret, offer.secret);
        assert!(offer.link.reveal().contains(&format!("secret={}&", offer.secret.reveal())));
        assert!(accounts.get(USER).unwrap().person.totp.is_none(), "shown is not on");
        let code = |steps: u64| {
            let held = accounts.0.offers_for_tests(USER);
            totp::code_at(&held, house.clock.now().as_seconds() / 30 + steps, 6)
        };
        let on = async |password: &str, code: &str| accounts.totp_on(USER, ip(HERE), &secret(password), code).await;
        assert!(matches!(on("a wrong guess", &code(0)).await, Err(OwnRefusal::Password(_))));
        assert!(matches!(on(PASSWORD, "000000").await, Err(OwnRefusal::Code)));
        assert!(accounts.get(USER).unwrap().person.totp.is_none());
        let used = code(0);
        let next = code(1);
        on(PASSWORD, &used).await.unwrap();
        assert!(accounts.totp_offer(USER).is_err(), "a secret that is on is not shown again");
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(&used)).await, "code wrong", "it counted already");
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(&next)).await, "in");
        assert!(accounts.totp_off(USER, ip(HERE), &secret("a wrong guess")).await.is_err());
        assert!(accounts.get(USER).unwrap().person.totp.is_some());
        accounts.totp_off(USER, ip(HERE), &secret(PASSWORD)).await.unwrap();
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, None).await, "in");
        assert_ne!(accounts.totp_offer(USER).unwrap().secret, offer.secret, "a new one each time");
        house.clock.advance(Duration::from_secs(1800));
        assert!(matches!(on(PASSWORD, "000000").await, Err(OwnRefusal::Act(_))), "shown too long ago");
        assert_eq!(
            house.audit("user.totp"),
            [
                format!("{USER} {HERE} {USER} two-factor login off → on, with a new secret"),
                format!("{USER} {HERE} {USER} two-factor login on → off"),
            ]
        );
    });
}

#[test]
fn a_ticket_stands_for_the_password_for_some_minutes_and_one_entry() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        accounts.set_totp(&operator(), USER, true).await.unwrap();
        let ticket = async || match accounts.log_in(ip(HERE), USER, &secret(PASSWORD)).await {
            Err(ConsoleRefusal::CodeNeeded { ticket }) => ticket,
            other => panic!("{other:?}"),
        };
        let code = || {
            let held = accounts.get(USER).unwrap().person.totp.unwrap();
            totp::code_at(&held, house.clock.now().as_seconds() / 30, 6)
        };
        let enter = async |ticket: &Secret<String>, code: &str| match accounts.enter_code(ip(HERE), ticket, code).await
        {
            Ok(_) => "in",
            Err(ConsoleRefusal::TicketOver) => "over",
            Err(ConsoleRefusal::CodeWrong { .. }) => "wrong",
            other => panic!("{other:?}"),
        };
        let good = ticket().await;
        assert_eq!(enter(&secret("x"), &code()).await, "over");
        assert_eq!(enter(&good, "000000").await, "wrong", "it goes on counting");
        assert_eq!(enter(&good, &code()).await, "in");
        house.clock.advance(Duration::from_secs(60));
        assert_eq!(enter(&good, &code()).await, "over", "one entry");
        let late = ticket().await;
        house.clock.advance(Duration::from_secs(600));
        assert_eq!(enter(&late, &code()).await, "over");
        let before = ticket().await;
        accounts.set_key(&operator(), USER, Some(secret(PASSWORD)), false).await.unwrap();
        assert_eq!(enter(&before, &code()).await, "over", "another password");
    });
}

#[test]
fn sessions_are_listed_with_address_browser_and_last_use_and_close_one_by_one() {
    smol::block_on(async {
        let house = peopled().await;
        let login = house.accounts.log_in(ip(HERE), USER, &secret(PASSWORD)).await.unwrap();
        let admin = house.accounts.log_in(ip(HERE), ADMIN, &secret(PASSWORD)).await.unwrap();
        let hostile = format!("Mozilla/5.0\t\u{0}\r\n<script>{}", "x".repeat(10_000));
        let phone = house.accounts.open_session(&login, ip("::ffff:192.0.2.7"), &hostile).await.unwrap();
        house.clock.advance(Duration::from_secs(60));
        let desk = house.accounts.open_session(&login, ip(HERE), "Firefox").await.unwrap();
        let other = house.accounts.open_session(&admin, ip(HERE), "Safari").await.unwrap();
        house.clock.advance(Duration::from_secs(1200));
        let writes = house.shelf.writes();
        for _ in 0..100 {
            assert!(house.accounts.session(&phone, ip("192.0.2.77")).is_some());
        }
        assert_eq!(house.shelf.writes(), writes, "a page costs no write");
        house.accounts.write_seen(false).await;
        house.accounts.write_seen(false).await;
        assert_eq!(house.shelf.writes(), writes + 1, "that it was used is written seldom");
        // After a crash, it is known from where and when; the row reads as one.
        let house = house.restarted();
        let list = house.accounts.sessions_of(USER);
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].from, list[0].seen_at), (Some(ip("192.0.2.77")), house.clock.now()));
        assert_eq!(list[0].browser.chars().count(), 160);
        assert!(list[0].browser.starts_with("Mozilla/5.0<script>"), "{}", list[0].browser);
        assert_eq!(list[1].browser, "Firefox");
        assert_eq!(house.accounts.session_id(&phone), list[0].id);
        let accounts = &house.accounts;
        let theirs = accounts.session_id(&other);
        assert!(!accounts.close_one(USER, &theirs).await.unwrap(), "somebody else's");
        assert!(accounts.session(&other, ip(HERE)).is_some());
        assert!(accounts.close_one(USER, &list[0].id).await.unwrap());
        assert!(accounts.session(&phone, ip(HERE)).is_none() && accounts.session(&desk, ip(HERE)).is_some());
        let third = accounts.open_session(&login, ip(HERE), "").await.unwrap();
        assert_eq!(accounts.close_others(USER, &third).await.unwrap(), 1);
        assert!(accounts.session(&third, ip(HERE)).is_some() && accounts.session(&desk, ip(HERE)).is_none());
        assert!(accounts.session(&other, ip(HERE)).is_some());
        // What was closed stays closed, whatever was to be written about it.
        house.clock.advance(Duration::from_secs(1200));
        accounts.close_session(&third).await.unwrap();
        accounts.flush().await;
        let house = house.restarted();
        assert!(house.accounts.sessions_of(USER).is_empty());
    });
}

#[test]
fn rows_of_sessions_before_addresses_were_noted_are_read() {
    smol::block_on(async {
        let house = peopled().await;
        let set = house.accounts.get(USER).unwrap().password_set_at.as_millis();
        let (now, token) = (house.clock.now().as_millis(), secret(&"A".repeat(43)));
        let row = format!("1\t{USER}\t{now}\t{}\t{set}", now + 3_600_000);
        house.shelf.put_session(&house.accounts.session_id(&token), row.as_bytes());
        house.shelf.put_session("broken", b"2\tx\t1\t1\t1\tno address\t1\tx");
        let house = house.restarted();
        let list = house.accounts.sessions_of(USER);
        assert_eq!((list.len(), list[0].from, list[0].browser.as_str()), (1, None, ""));
        assert_eq!(house.accounts.session(&token, ip(HERE)).unwrap().name, USER);
        assert_eq!(house.accounts.sessions_of(USER)[0].from, Some(ip(HERE)));
    });
}

#[test]
fn a_token_that_is_carried_elsewhere_opens_nothing_there() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        let login = accounts.log_in(ip(HERE), USER, &secret(PASSWORD)).await.unwrap();
        let token = accounts.open_session(&login, ip(HERE), "x").await.unwrap();
        let own = Changes { networks: Some(vec!["192.0.2.0/24".parse().unwrap()]), ..Changes::default() };
        accounts.change(&operator(), USER, &own).await.unwrap();
        assert!(accounts.session(&token, ip("198.51.100.1")).is_none());
        assert!(accounts.session(&token, ip(HERE)).is_some());
        let allowed_ips = AllowedIps { console: vec!["192.0.2.9/32".parse().unwrap()], ..AllowedIps::default() };
        accounts.reconfigure(&config::Accounts { allowed_ips, ..config::Accounts::default() });
        assert!(accounts.session(&token, ip(HERE)).is_none());
        assert!(accounts.session(&token, ip("192.0.2.9")).is_some());
    });
}
