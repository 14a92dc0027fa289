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
fn nobody_writes_the_operation_log_by_their_own_name() {
    smol::block_on(async {
        let house = peopled().await;
        let name = "Boss; role user → group-administrator; networks 192.0.2.0/24 → none";
        let own = OwnChanges { display_name: Some(name.into()), ..OwnChanges::default() };
        house.accounts.change_own(USER, ip(HERE), own).await.unwrap();
        assert_eq!(house.audit("user.set"), [format!("{USER} {HERE} {USER} name none → {name:?}")]);
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
        assert!(accounts.session(&tokens[0], ip(HERE), AskedBy::Person).is_some());
        let login = set(PASSWORD, "a new long pass").await.unwrap();
        assert!(tokens.iter().all(|token| accounts.session(token, ip(HERE), AskedBy::Person).is_none()));
        assert!(house.shelf.session_rows().is_empty());
        let token = accounts.open_session(&login, ip(HERE), "x").await.unwrap();
        assert_eq!(accounts.session(&token, ip(HERE), AskedBy::Person).unwrap().name, USER);
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
        assert!(accounts.session(&token, ip(HERE), AskedBy::Person).is_some());
        let told = accounts.totp_off(USER, ip(HERE), &secret("a wrong guess")).await;
        assert!(matches!(told, Err(OwnRefusal::Password(ConsoleRefusal::Wrong { .. }))), "{told:?}");
        assert!(accounts.get(USER).unwrap().person.locked_at.is_some());
        assert!(accounts.session(&token, ip(HERE), AskedBy::Person).is_none());
        accounts.flush().await;
        assert!(house.audit("console").contains(&format!("{USER} {HERE} console wrong")));
    });
}

#[test]
fn who_locks_an_account_at_the_sign_in_signs_nobody_out() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        let login = accounts.log_in(ip(HERE), ADMIN, &secret(PASSWORD)).await.unwrap();
        let token = accounts.open_session(&login, ip(HERE), "x").await.unwrap();
        guess(&house, ADMIN, 10, 0).await;
        let new = || secret("a new long pass");
        // Right or wrong, it is not looked at: by a stolen session nobody guesses on.
        for old in [PASSWORD, "a wrong guess"] {
            let told = accounts.set_own_password(ADMIN, ip(HERE), &secret(old), new()).await;
            assert!(matches!(told, Err(OwnRefusal::Locked)), "{told:?}");
            assert!(matches!(accounts.totp_off(ADMIN, ip(HERE), &secret(old)).await, Err(OwnRefusal::Locked)));
        }
        assert!(accounts.session(&token, ip(HERE), AskedBy::Person).is_some(), "the session goes on");
        accounts.unlock(&operator(), ADMIN).await.unwrap();
        accounts.set_own_password(ADMIN, ip(HERE), &secret(PASSWORD), new()).await.unwrap();
    });
}

#[test]
fn a_second_factor_is_on_after_a_right_code_and_off_by_the_password() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        let offer = accounts.totp_offer(USER, &secret("a session")).unwrap();
        assert_eq!(
            accounts.totp_offer(USER, &secret("a session")).unwrap().secret,
            offer.secret,
            "a page may be loaded again"
        );
        assert_ne!(accounts.totp_offer(ADMIN, &secret("another session")).unwrap().secret, offer.secret);
        assert!(offer.link.reveal().contains(&format!("secret={}&", offer.secret.reveal())));
        assert!(accounts.get(USER).unwrap().person.totp.is_none(), "shown is not on");
        let code = |steps: u64| {
            let held = accounts.0.offers_for_tests(USER);
            totp::code_at(&held, house.clock.now().as_seconds() / 30 + steps, 6)
        };
        let on = async |password: &str, code: &str| {
            accounts.totp_on(USER, &secret("a session"), ip(HERE), &secret(password), code).await
        };
        assert!(matches!(on("a wrong guess", &code(0)).await, Err(OwnRefusal::Password(_))));
        assert!(matches!(on(PASSWORD, "000000").await, Err(OwnRefusal::Code)));
        assert!(accounts.get(USER).unwrap().person.totp.is_none());
        let used = code(0);
        let next = code(1);
        on(PASSWORD, &used).await.unwrap();
        assert!(accounts.totp_offer(USER, &secret("a session")).is_err(), "a secret that is on is not shown again");
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(&used)).await, "code wrong", "it counted already");
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(&next)).await, "in");
        assert!(accounts.totp_off(USER, ip(HERE), &secret("a wrong guess")).await.is_err());
        assert!(accounts.get(USER).unwrap().person.totp.is_some());
        accounts.totp_off(USER, ip(HERE), &secret(PASSWORD)).await.unwrap();
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, None).await, "in");
        assert_ne!(
            accounts.totp_offer(USER, &secret("a session")).unwrap().secret,
            offer.secret,
            "a new one each time"
        );
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
fn a_secret_that_a_thief_of_a_session_was_shown_is_never_the_owners() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        let (thief, owner) = (secret("the thief's session"), secret("the owner's session"));
        let shown = accounts.totp_offer(USER, &thief).unwrap().secret;
        assert_ne!(accounts.totp_offer(USER, &owner).unwrap().secret, shown, "each session has its own");
        // In the very session that the thief shares, another password makes another secret, and the old one is none any more.
        let held = accounts.0.offers.find_for_tests(&accounts.session_id(&thief));
        let code = totp::code_at(&held, house.clock.now().as_seconds() / 30, 6);
        let new = secret("a new long pass");
        accounts.set_own_password(USER, ip(HERE), &secret(PASSWORD), new.clone()).await.unwrap();
        for session in [&thief, &owner] {
            let told = accounts.totp_on(USER, session, ip(HERE), &new, &code).await;
            assert!(matches!(told, Err(OwnRefusal::Act(_))), "{told:?}");
        }
        assert_ne!(accounts.totp_offer(USER, &thief).unwrap().secret, shown);
        assert_eq!(accounts.0.offers.count_for_tests(), 1, "those of the old password are forgotten");
    });
}

#[test]
fn a_recovery_code_counts_once_and_a_wrong_one_locks_as_a_wrong_password_does() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        accounts.totp_offer(USER, &secret("a session")).unwrap();
        let held = accounts.0.offers_for_tests(USER);
        let code = |steps: u64| totp::code_at(&held, house.clock.now().as_seconds() / 30 + steps, 6);
        let codes = accounts.totp_on(USER, &secret("a session"), ip(HERE), &secret(PASSWORD), &code(0)).await.unwrap();
        assert_eq!(codes.len(), RECOVERY_CODES);
        let left = || accounts.get(USER).unwrap().person.recovery.len();
        let enter = async |code: &str| log_in(&house, HERE, USER, PASSWORD, Some(code)).await;
        assert_eq!(enter(codes[4].reveal()).await, "in");
        assert_eq!((left(), enter(codes[4].reveal()).await), (9, "code wrong"), "it counts once");
        assert_eq!(accounts.get(USER).unwrap().person.failed_logins, 1);
        assert_eq!(enter(&codes[0].reveal().to_lowercase().replace('-', " ")).await, "in");
        assert_eq!((left(), accounts.get(USER).unwrap().person.failed_logins), (8, 0));
        house.clock.advance(Duration::from_secs(30));
        assert_eq!((enter(&code(0)).await, left()), ("in", 8), "the app's code goes on counting, and uses none up");
        let stored = house.shelf.account(USER).unwrap();
        let kept = format!("{:?}", stored.person.recovery.iter().map(|d| d.reveal().clone()).collect::<Vec<_>>());
        assert!(
            !kept.contains(codes[1].reveal().as_str()) && stored.person.recovery.iter().all(|d| d.reveal().len() == 32)
        );
        assert_eq!(
            house.audit("user.recovery-use"),
            [9, 8].map(|left| format!("{USER} {HERE} {USER} one used, {left} left"))
        );
        // Another account's codes are none.
        accounts.totp_offer(ADMIN, &secret("a session")).unwrap();
        let theirs = accounts.0.offers_for_tests(ADMIN);
        let now = totp::code_at(&theirs, house.clock.now().as_seconds() / 30, 6);
        let others = accounts.totp_on(ADMIN, &secret("a session"), ip(HERE), &secret(PASSWORD), &now).await.unwrap();
        assert_eq!(enter(others[0].reveal()).await, "code wrong");
        // New ones by the password, in the place of the old.
        assert!(accounts.renew_recovery(USER, ip(HERE), &secret("a wrong guess")).await.is_err());
        assert_eq!(left(), 8);
        let new = accounts.renew_recovery(USER, ip(HERE), &secret(PASSWORD)).await.unwrap();
        assert_eq!(left(), RECOVERY_CODES);
        assert_eq!(enter(codes[1].reveal()).await, "code wrong");
        assert_eq!(enter(new[1].reveal()).await, "in");
        assert_eq!(house.audit("user.recovery-codes"), [format!("{USER} {HERE} {USER} 10 new ones; 8 were left")]);
        // After a restart, too.
        let restarted = house.clone().restarted();
        assert_eq!(log_in(&restarted, HERE, USER, PASSWORD, Some(new[2].reveal())).await, "in");
        assert_eq!(log_in(&restarted, HERE, USER, PASSWORD, Some(new[2].reveal())).await, "code wrong");
        // Guessing one locks as guessing a password does, from wherever it comes (R15).
        for n in 0..9 {
            let source = format!("10.0.{n}.1");
            assert_eq!(log_in(&restarted, &source, USER, PASSWORD, Some("AAAA-BBBB-CCCC-DDDD")).await, "code wrong");
        }
        assert!(restarted.accounts.get(USER).unwrap().person.locked_at.is_some());
        assert_eq!(log_in(&restarted, "10.1.0.1", USER, PASSWORD, Some(new[3].reveal())).await, "wrong");
    });
}

#[test]
fn recovery_codes_come_and_go_with_the_second_factor() {
    smol::block_on(async {
        let house = peopled().await;
        let accounts = &house.accounts;
        let left = || accounts.get(USER).unwrap().person.recovery.len();
        assert!(
            accounts.renew_recovery(USER, ip(HERE), &secret(PASSWORD)).await.is_err(),
            "there is nothing to recover"
        );
        let turn_on = async || {
            house.clock.advance(Duration::from_secs(60));
            accounts.totp_offer(USER, &secret("a session")).unwrap();
            let held = accounts.0.offers_for_tests(USER);
            let code = totp::code_at(&held, house.clock.now().as_seconds() / 30, 6);
            accounts.totp_on(USER, &secret("a session"), ip(HERE), &secret(PASSWORD), &code).await.unwrap()
        };
        let first = turn_on().await;
        accounts.totp_off(USER, ip(HERE), &secret(PASSWORD)).await.unwrap();
        assert_eq!(left(), 0);
        turn_on().await;
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(first[0].reveal())).await, "code wrong");
        accounts.set_totp(&operator(), USER, true).await.unwrap();
        assert_eq!(left(), 0, "a new secret of the operator's has none");
        accounts.renew_recovery(USER, ip(HERE), &secret(PASSWORD)).await.unwrap();
        accounts.set_totp(&operator(), USER, false).await.unwrap();
        assert_eq!(left(), 0);
        // A disk that takes no writes gives none out, and lets nobody in by one.
        let codes = turn_on().await;
        house.shelf.break_writes(true);
        assert!(accounts.renew_recovery(USER, ip(HERE), &secret(PASSWORD)).await.is_err());
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(codes[0].reveal())).await, "store");
        house.shelf.break_writes(false);
        assert_eq!(left(), RECOVERY_CODES);
        assert_eq!(log_in(&house, HERE, USER, PASSWORD, Some(codes[0].reveal())).await, "in");
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
            assert!(house.accounts.session(&phone, ip("192.0.2.77"), AskedBy::Person).is_some());
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
        assert!(accounts.session(&other, ip(HERE), AskedBy::Person).is_some());
        assert!(accounts.close_one(USER, &list[0].id).await.unwrap());
        assert!(
            accounts.session(&phone, ip(HERE), AskedBy::Person).is_none()
                && accounts.session(&desk, ip(HERE), AskedBy::Person).is_some()
        );
        let third = accounts.open_session(&login, ip(HERE), "").await.unwrap();
        assert_eq!(accounts.close_others(USER, &third).await.unwrap(), 1);
        assert!(
            accounts.session(&third, ip(HERE), AskedBy::Person).is_some()
                && accounts.session(&desk, ip(HERE), AskedBy::Person).is_none()
        );
        assert!(accounts.session(&other, ip(HERE), AskedBy::Person).is_some());
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
        assert_eq!(house.accounts.session(&token, ip(HERE), AskedBy::Person).unwrap().name, USER);
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
        assert!(accounts.session(&token, ip("198.51.100.1"), AskedBy::Person).is_none());
        assert!(accounts.session(&token, ip(HERE), AskedBy::Person).is_some());
        let allowed_ips = AllowedIps { console: vec!["192.0.2.9/32".parse().unwrap()], ..AllowedIps::default() };
        accounts.reconfigure(&config::Accounts { allowed_ips, ..config::Accounts::default() });
        assert!(accounts.session(&token, ip(HERE), AskedBy::Person).is_none());
        assert!(accounts.session(&token, ip("192.0.2.9"), AskedBy::Person).is_some());
    });
}
