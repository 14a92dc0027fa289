//! Users on the command line: they come and go, and are told what they may do.

use super::*;

/// The first line of an answer, a key among them.
fn first(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[test]
fn users_come_and_go_and_each_act_is_logged_without_the_key() {
    let rig = rig(Fake::busy());
    let target = target(&rig.dir);
    let made = run(&rig, "user add crm --api");
    assert_eq!((made.code, made.out.lines().count(), first(&made.out).len()), (0, 1, 32), "the key alone is on stdout");
    assert!(made.err.contains("shown this once"));
    let given = run_at(&target, "user add erp --api --key-file -", "a given key that is long\n");
    assert_eq!((given.code, given.out.as_str()), (0, "User erp was added.\n"), "{}", given.err);
    assert_eq!(run(&rig, "user add crm --api").code, 1, "taken");
    assert_eq!(run(&rig, "user add crm").code, 2, "--api or --console is needed");
    assert_eq!(run(&rig, "user add crm --api --console").code, 2, "and not both");
    assert_eq!(run_at(&target, "user add x --api --key-file -", "").code, 2, "an empty key");
    assert_eq!(run_at(&target, "user add x --api --key-file -", "abcd1234").code, 1, "a weak key");
    assert_eq!(run_at(&target, "user add x --api --key-file - --imported", "abcd1234").code, 0, "that of CMC");
    assert_eq!(run(&rig, "user add y --api --imported").code, 2, "imported from where?");
    assert_eq!(
        run_at(&target, "user password crm --key-file -", "another long key").out,
        "User crm has another key.\n"
    );
    assert_eq!(run(&rig, "user password nobody").code, 1);
    assert_eq!(run(&rig, "user class crm low").out, "Mail of crm is of class low.\n");
    let list = run(&rig, "user list").out;
    assert!(list.contains("crm       api   smtp http view download  low"), "{list}");
    assert_eq!(run(&rig, "user class crm none").out, "Mail of crm has no class of its own.\n");
    assert_eq!((run(&rig, "user class nobody low").code, run(&rig, "user class crm soon").code), (1, 2));
    assert_eq!(run(&rig, "user add otp --api --class high").code, 0);
    assert!(run(&rig, "user list").out.contains("otp       api   smtp http view download  high"));
    assert_eq!(run(&rig, "user remove crm").out, "User crm was removed.\n");
    let gone = run(&rig, "user remove crm");
    assert_eq!((gone.code, gone.err.as_str()), (1, "hikyaku: there is no user \"crm\"\n"));
    let audit = run(&rig, "log audit --json");
    for words in [
        "user.add",
        "user.password",
        "user.set",
        "class none → low",
        "API user, key made, class high",
        "user.remove",
        "control socket",
        "API user, key given",
        "key imported",
    ] {
        assert!(audit.out.contains(words), "{words}: {}", audit.out);
    }
    for key in ["a given key", "another long", "abcd1234", first(&made.out)] {
        assert!(!audit.out.contains(key));
    }
    assert!(run(&rig, "user list").out.contains("shop-app  api   smtp http view "));
}

#[test]
fn what_a_user_may_do_is_set_and_shown() {
    let rig = rig(Fake::busy());
    let set = run(
        &rig,
        "user set shop-app --role group-administrator --access smtp --permissions view,download --own-data-only on \
         --network 192.0.2.0/24 --network 2001:db8::1 --sender example.jp,news@example.com --time-zone Europe/Paris \
         --class low --rate 1000/1h --expires 90d --sandbox on",
    );
    assert_eq!(set.code, 0, "{}", set.err);
    for line in [
        "role            group-administrator",
        "may             smtp view download",
        "networks        192.0.2.0/24, 2001:db8::1/128",
        "time zone       Europe/Paris",
        "expires         2027-02-22 22:35:10",
        "senders         example.jp, news@example.com",
        "class           low",
        "rate            1000/1h",
        "own data only   on",
        "sandbox         on",
    ] {
        assert!(set.out.contains(line), "{line}: {}", set.out);
    }
    let list = run(&rig, "user list").out;
    assert!(list.contains("until 2027-02-22 22:35:10, sandbox, 1000/1h, "), "{list}");
    let json = run(&rig, "user show shop-app --json").out;
    for words in ["\"senders\":[\"example.jp\",\"news@example.com\"]", "\"rate\":\"1000/1h\"", "\"locked\":false"] {
        assert!(json.contains(words), "{words}: {json}");
    }
    let audit = run(&rig, "log audit --json").out;
    assert!(
        audit.contains("access smtp,http → smtp; permissions view → view,download; own data only off → on"),
        "{audit}"
    );
    let undone = run(
        &rig,
        "user set shop-app --network none --sender none --time-zone none --class none --rate none --expires none \
         --sandbox off --own-data-only off --access none",
    );
    assert_eq!(undone.code, 0, "{}", undone.err);
    let json = run(&rig, "user show shop-app --json").out;
    for words in ["\"senders\":[]", "\"networks\":[]", "\"rate\":null", "\"expires_at\":null", "\"may_smtp\":false"] {
        assert!(json.contains(words), "{words}: {json}");
    }
    for (words, code, told) in [
        ("user set shop-app", 2, "nothing to set"),
        ("user set nobody --sandbox on", 1, "no user"),
        ("user set shop-app --rate fast", 2, "no rate"),
        ("user set shop-app --network everywhere", 2, "no network"),
        ("user set shop-app --sender not@@one", 1, "no sender"),
        ("user set shop-app --access ftp", 2, "not among smtp, http"),
        ("user set shop-app --role boss", 2, "no role"),
        ("user set shop-app --role report-viewer", 1, "console users"),
        ("user set shop-app --expires 2020-01-01", 2, "past"),
        ("user set shop-app --time-zone Mars/Olympus", 1, "IANA"),
        ("user set shop-app --sandbox maybe", 2, "on"),
        ("user show nobody", 1, "no user"),
    ] {
        let ran = run(&rig, words);
        assert_eq!(ran.code, code, "{words}: {}", ran.err);
        assert!(ran.err.contains(told), "{words}: {}", ran.err);
    }
}

#[test]
fn people_have_a_role_a_lock_and_a_second_factor() {
    let rig = rig(Fake::busy());
    let target = target(&rig.dir);
    let made = run(&rig, "user add Admin@example.jp --console --role group-administrator --name Hanako --language ja");
    assert_eq!((made.code, first(&made.out).len()), (0, 32), "{}", made.err);
    assert!(made.err.contains("Its password, shown this once"));
    let given = run_at(&target, "user add taro@example.jp --console --password-file -", "a long password here");
    assert_eq!(given.code, 0, "{}", given.err);
    let second = run(&rig, "user add second@example.jp --console --role group-administrator");
    assert!(second.code == 1 && second.err.contains("admin@example.jp is the group administrator"), "{}", second.err);
    assert!(run(&rig, "user add hanako --console").err.contains("e-mail address"));
    let list = run(&rig, "user list").out;
    assert!(list.contains("admin@example.jp  console  view"), "{list}");
    assert_eq!(
        run(&rig, "user make-admin taro@example.jp").out,
        "User taro@example.jp is the group administrator, after admin@example.jp, who is a user now.\n"
    );
    assert_eq!(run(&rig, "user make-admin shop-app").code, 1);
    assert_eq!(run(&rig, "user unlock taro@example.jp").out, "User taro@example.jp was not locked.\n");
    let on = run(&rig, "user totp taro@example.jp on");
    assert!(on.out.starts_with("otpauth://totp/Hikyaku:taro@example.jp?secret="), "{}", on.out);
    assert!(on.err.contains("shown this once") && run(&rig, "user list").out.contains("two-factor"));
    assert_eq!(run(&rig, "user totp taro@example.jp off").out, "User taro@example.jp is asked for no code any more.\n");
    let show = run(&rig, "user show admin@example.jp").out;
    for line in ["display name    Hanako", "language        ja", "locked          no", "two-factor      off"] {
        assert!(show.contains(line), "{line}: {show}");
    }
    let audit = run(&rig, "log audit --json").out;
    for words in ["user.make-admin", "role group-administrator → user", "user.totp", "two-factor login off → on"] {
        assert!(audit.contains(words), "{words}: {audit}");
    }
    assert!(!audit.contains("otpauth") && !audit.contains("a long password"));
}
