//! Users: keys are shown once, what was typed survives a slip, and the group administrator's own account stays the operator's.

use super::super::rig::{Seen, Who, check_document, get, page, post};
use crate::{
    clock::Timestamp,
    http::{
        exchange::percent_encode,
        fake::{Fake, HOSTILE, at, now},
    },
    secret::Secret,
    store::{Account, AccountKind, Person, RateLimit, Rights, Role},
};

fn person(name: &str, role: Role) -> Account {
    Account {
        name: name.into(),
        kind: AccountKind::Console,
        hash: Secret::new("h4sh".into()),
        created_at: at("2026-10-01T00:00:00Z"),
        password_set_at: at("2026-10-02T00:00:00Z"),
        rights: Rights { role, view: true, ..Rights::default() },
        person: Person::default(),
    }
}

/// A house with one of each.
fn house() -> Fake {
    let fake = Fake::busy();
    fake.shelf.put(person("admin@example.jp", Role::GroupAdministrator));
    let mut locked = person("user@example.jp", Role::User);
    locked.person.display_name = format!("{HOSTILE} 花子");
    locked.person.failed_logins = 10;
    locked.person.locked_at = Some(at("2026-11-24T13:00:00Z"));
    locked.person.totp = Some(Secret::new(vec![1; 20]));
    fake.shelf.put(locked);
    fake.shelf.put(person("viewer@example.jp", Role::ReportViewer));
    let mut narrow = fake.shelf.account("shop-app").expect("it is there");
    narrow.name = "narrow".into();
    narrow.rights = Rights {
        smtp: true,
        view: true,
        own_data_only: true,
        networks: vec!["192.0.2.0/24".parse().expect("a network"), "2001:db8::/32".parse().expect("a network")],
        senders: vec!["example.jp".into(), "news@example.com".into()],
        time_zone: "Europe/Berlin".into(),
        rate: Some(RateLimit { recipients: 1000, per: std::time::Duration::from_secs(3600) }),
        expires_at: Some(at("2027-03-31T09:00:42Z")),
        class: Some(crate::event::Class::Low),
        ..Rights::default()
    };
    fake.shelf.put(narrow);
    fake
}

fn path(name: &str) -> String {
    format!("/users/user?name={}", percent_encode(name))
}

fn account(fake: &Fake, name: &str) -> Account {
    fake.shelf.account(name).unwrap_or_else(|| panic!("no {name}"))
}

/// What a browser would send of the first form of a page that posts there, as it stands.
fn filled(page: &str, action: &str) -> Vec<(String, String)> {
    let begin = page.find(&format!("action=\"{action}\"")).unwrap_or_else(|| panic!("no form to {action}"));
    let form = &page[begin..begin + page[begin..].find("</form>").expect("its end")];
    let of = |tag: &str, name: &str| {
        let value = tag.split_once(&format!(" {name}=\""))?.1.split('"').next()?;
        Some(value.replace("&amp;", "&").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">"))
    };
    let mut fields = Vec::new();
    for part in form.split('<') {
        let (tag, text) = part.split_once('>').unwrap_or((part, ""));
        let is_box = tag.contains("type=\"checkbox\"");
        if tag.starts_with("input") && (!is_box || tag.contains(" checked")) {
            fields.extend(of(tag, "name").map(|name| (name, of(tag, "value").unwrap_or_default())));
        } else if tag.starts_with("textarea") {
            fields.extend(of(tag, "name").map(|name| (name, text.to_owned())));
        }
    }
    for select in form.split("<select ").skip(1) {
        let select = format!(" {}", &select[..select.find("</select>").expect("its end")]);
        let chosen = select.split("<option").skip(1).find(|option| option.contains(" selected"));
        let value = chosen.and_then(|option| of(option, "value")).unwrap_or_default();
        fields.extend(of(&select, "name").map(|name| (name, value)));
    }
    fields
}

fn send(fake: &Fake, to: &str, fields: &[(String, String)]) -> Seen {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    post(fake, Who::Admin, to, &fields)
}

#[test]
fn every_page_is_whole_in_both_languages_whatever_people_call_themselves() {
    let fake = house();
    let mut targets = vec!["/users".to_owned(), "/users?q=example".into(), "/users?q=%3Cscript%3E".into()];
    targets.extend(["/users/add?kind=api", "/users/add?kind=console"].map(str::to_owned));
    let names = ["shop-app", "narrow", "admin@example.jp", "user@example.jp", "viewer@example.jp"];
    targets.extend(names.map(path));
    for target in &targets {
        for lang in ["en", "ja"] {
            let joint = if target.contains('?') { '&' } else { '?' };
            let target = format!("{target}{joint}lang={lang}");
            check_document(&target, &page(&fake, Who::Admin, &target));
        }
    }
    let list = page(&fake, Who::Admin, "/users?lang=en");
    for words in ["5 of 10 are taken", "locked", "two-factor", "1,000 / 1h", "2 senders", "2 networks", "report viewer"]
    {
        assert!(list.contains(words), "{words}: {list}");
    }
    assert!(list.contains("&lt;script&gt;alert(1)") && !list.contains("h4sh"));
    let list = page(&fake, Who::Admin, "/users?lang=ja");
    for words in ["10 件中 5 件", "ロック中", "二段階認証", "送信元 2 件", "レポート閲覧者", "グループ管理者"]
    {
        assert!(list.contains(words), "{words}: {list}");
    }
    assert_eq!(get(&fake, Who::Admin, "/users/user?name=nobody").status, 404);
}

#[test]
fn a_new_program_gets_a_key_that_is_shown_on_this_page_only() {
    let fake = house();
    let asked = page(&fake, Who::Admin, "/users/add?kind=api&lang=en");
    let mut fields = filled(&asked, "/users/add?lang=en");
    assert!(fields.iter().all(|(name, _)| name != "download"), "off until it is granted (R13)");
    fields.iter_mut().find(|(name, _)| name == "name").expect("the field").1 = "app2@example.jp".into();
    fields.iter_mut().find(|(name, _)| name == "senders").expect("the field").1 =
        "Example.JP\nnews@example.com\n".into();
    let seen = send(&fake, "/users/add?lang=en", &fields);
    assert_eq!(seen.status, 200, "{}", seen.body);
    check_document("the key", &seen.body);
    let key = seen.body.split("class=\"record\"").nth(1).and_then(|rest| rest.split('>').nth(1)).expect("a key");
    let key = key.split('<').next().expect("a key");
    assert_eq!(key.len(), 32, "{key}");
    assert_eq!(seen.response.keep_seconds, 0, "no browser keeps it");
    assert!(seen.response.headers.iter().all(|(_, value)| !value.contains(key)), "nor a cookie");
    let made = account(&fake, "app2@example.jp");
    assert_eq!(made.rights.senders, ["example.jp", "news@example.com"]);
    assert!(made.rights.smtp && made.rights.http && made.rights.view && !made.rights.download);
    assert!(!page(&fake, Who::Admin, &path("app2@example.jp")).contains(key));
    let told = fake.shelf.audit();
    let told = told.last().expect("an entry");
    assert_eq!(
        (told.act.as_str(), told.who.as_str(), told.from.as_str()),
        ("user.add", "admin@example.jp", "192.0.2.77")
    );
    assert!(!told.detail.contains(key));

    // A key that was brought along is on no page at all.
    let seen = post(
        &fake,
        Who::Admin,
        "/users/add",
        &[
            ("kind", "api"),
            ("name", "app3"),
            ("role", "user"),
            ("smtp", "on"),
            ("key", "CustomersKey1"),
            ("imported", "on"),
        ],
    );
    assert_eq!((seen.status, seen.told().as_str()), (303, "app3 was added."));
    assert!(!format!("{:?}", seen.response.headers).contains("CustomersKey1"));
    assert!(account(&fake, "app3").rights.smtp && !account(&fake, "app3").rights.http);
}

#[test]
fn what_is_wrong_is_said_beside_what_was_typed_and_changes_nothing() {
    let fake = house();
    let before = fake.shelf.writes();
    let add = |lang: &str, name: &str, field: &str, value: &str| {
        let fields = [("kind", "api"), ("name", name), ("role", "user"), ("smtp", "on"), (field, value)];
        post(&fake, Who::Admin, &format!("/users/add?lang={lang}"), &fields)
    };
    for (name, field, value, english, japanese) in [
        ("app9", "networks", "192.0.2.0/24\n10.0.0.0/33", "“10.0.0.0/33” is no address", "「10.0.0.0/33」は"),
        ("app9", "rate", "lots", "“lots” is no limit", "「lots」は宛先数の上限"),
        ("app9", "expires", "2020-01-01T00:00", "is no time to come", "未来の日時ではありません"),
        ("app9", "expires", "3 days", "is no time to come", "未来の日時ではありません"),
        ("app9", "time_zone", "Mars/Olympus", "no time zone", "タイムゾーンはありません"),
        ("app9", "senders", "not@a@sender", "no sender", "not@a@sender"),
        ("app9", "role", "chief", "", ""),
        ("shop-app", "rate", "", "there is a user shop-app already", "shop-app"),
        ("a b", "rate", "", "cannot be", "a b"),
        ("app9", "key", "sh0rt", "letters", "文字"),
    ] {
        let seen = add("en", name, field, value);
        assert!(matches!(seen.status, 400 | 409) || english.is_empty(), "{name} {field} {value}: {}", seen.status);
        if english.is_empty() {
            continue;
        }
        assert!(seen.body.contains(english), "{english}: {}", seen.body);
        check_document(english, &seen.body);
        assert!(seen.body.contains(&format!("value=\"{name}\"")), "what was typed is there again");
        assert!(field == "key" || value.lines().all(|line| seen.body.contains(line)), "{value}");
        assert!(field != "key" || !seen.body.contains("sh0rt"), "but no key");
        let seen = add("ja", name, field, value);
        assert!(seen.body.contains(japanese), "{japanese}: {}", seen.body);
    }
    assert_eq!(fake.shelf.writes(), before + 1, "the one whose first role stood");
    // Ten are enough (R16).
    for n in 0.. {
        let seen = add("ja", &format!("more{n}"), "key", "CustomersKey1CustomersKey1");
        if seen.status != 303 {
            assert!(seen.status == 409 && seen.body.contains("users_max"), "{n}: {}", seen.body);
            break;
        }
        assert!(n < 10);
    }
    assert_eq!(fake.shelf.writes(), before + 5);
    assert!(page(&fake, Who::Admin, "/users?lang=en").contains("No more can be added"));
}

#[test]
fn saving_a_form_as_it_stands_changes_nothing() {
    let fake = house();
    let mut plain = account(&fake, "user@example.jp");
    plain.person.display_name = "</title> \"O'Hara\" & <b>花子".into();
    fake.shelf.put(plain);
    for name in ["shop-app", "narrow", "user@example.jp", "viewer@example.jp"] {
        let before = account(&fake, name);
        let shown = page(&fake, Who::Admin, &format!("{}&lang=en", path(name)));
        let seen = send(&fake, "/users/set?lang=en", &filled(&shown, "/users/set?lang=en"));
        assert_eq!((seen.status, seen.told().as_str()), (303, "Nothing was changed."), "{name}: {}", seen.body);
        assert_eq!(account(&fake, name), before, "{name}");
    }
}

#[test]
fn a_change_is_in_force_at_once_and_in_the_operation_log() {
    let fake = house();
    let shown = page(&fake, Who::Admin, &format!("{}&lang=ja", path("narrow")));
    let mut fields = filled(&shown, "/users/set?lang=ja");
    fields.retain(|(name, _)| name != "smtp");
    for (name, value) in [("rate", ""), ("networks", "198.51.100.7"), ("expires", ""), ("class", "high")] {
        fields.iter_mut().find(|(field, _)| field == name).unwrap_or_else(|| panic!("no {name}")).1 = value.into();
    }
    fields.push(("sandbox".into(), "on".into()));
    let seen = send(&fake, "/users/set?lang=ja", &fields);
    assert!(seen.status == 303 && seen.told().contains("直ちに有効"), "{}", seen.body);
    let now = account(&fake, "narrow").rights;
    assert!(!now.smtp && now.sandbox && now.rate.is_none() && now.expires_at.is_none());
    assert_eq!(now.networks, ["198.51.100.7/32".parse().expect("a network")]);
    let told = fake.shelf.audit().last().expect("an entry").detail.clone();
    assert!(told.contains("access smtp → none") && told.contains("rate 1000/1h → none"), "{told}");
}

#[test]
fn the_group_administrators_own_account_is_the_operators() {
    let fake = house();
    let before = account(&fake, "admin@example.jp");
    let shown = page(&fake, Who::Admin, &format!("{}&lang=en", path("admin@example.jp")));
    assert!(shown.contains("hikyaku user make-admin") && !shown.contains("action=\"/users/"), "{shown}");
    let name = ("name", "admin@example.jp");
    for (to, fields) in [
        ("/users/set", vec![name, ("role", "user")]),
        ("/users/key", vec![name]),
        ("/users/mail-link", vec![name]),
        ("/users/stop", vec![name]),
        ("/users/totp-off", vec![name]),
        ("/users/unlock", vec![name]),
        ("/users/sign-out", vec![name]),
        ("/users/remove", vec![name, ("again", "admin@example.jp")]),
    ] {
        assert_eq!(post(&fake, Who::Admin, to, &fields).status, 409, "{to}");
    }
    assert_eq!(account(&fake, "admin@example.jp"), before);
    // Nobody becomes one by a form that was made up, either (R17).
    let seen = post(&fake, Who::Admin, "/users/set", &[("name", "viewer@example.jp"), ("role", "group-administrator")]);
    assert_eq!(seen.status, 303);
    assert_eq!(account(&fake, "viewer@example.jp").rights.role, Role::ReportViewer);
    let seen = post(
        &fake,
        Who::Admin,
        "/users/add",
        &[("kind", "console"), ("name", "new@example.jp"), ("role", "group-administrator")],
    );
    assert_eq!(seen.status, 200);
    assert_eq!(account(&fake, "new@example.jp").rights.role, Role::User);
}

#[test]
fn a_locked_person_is_unlocked_and_a_program_is_stopped() {
    let fake = house();
    let name = [("name", "user@example.jp")];
    assert!(page(&fake, Who::Admin, &path("user@example.jp")).contains("action=\"/users/unlock\""));
    assert!(post(&fake, Who::Admin, "/users/unlock", &name).told().contains("is unlocked"));
    assert!(account(&fake, "user@example.jp").person.locked_at.is_none());
    assert!(post(&fake, Who::Admin, "/users/unlock", &name).told().contains("was not locked"));
    assert!(post(&fake, Who::Admin, "/users/mail-link?lang=ja", &name).told().contains("リンクを送信します"));
    assert_eq!(
        *fake.resets.lock().expect("no panic"),
        ["user@example.jp (\"admin@example.jp\", \"192.0.2.77\") Japanese"]
    );
    assert_eq!(post(&fake, Who::Admin, "/users/mail-link", &[("name", "shop-app")]).status, 409, "programs get none");
    assert_eq!(post(&fake, Who::Admin, "/users/totp-off", &name).status, 303);
    assert!(account(&fake, "user@example.jp").person.totp.is_none());

    assert!(post(&fake, Who::Admin, "/users/stop", &[("name", "shop-app")]).told().contains("is refused from now on"));
    assert_eq!(account(&fake, "shop-app").rights.expires_at, Some(now()));
    let shown = page(&fake, Who::Admin, &format!("{}&lang=en", path("shop-app")));
    assert!(shown.contains("It is refused.") && !shown.contains("/users/stop"));
    // A time that is over may stay as it is while something else changes.
    let mut fields = filled(&shown, "/users/set?lang=en");
    fields.push(("download".into(), "on".into()));
    assert!(send(&fake, "/users/set?lang=en", &fields).told().contains("is changed"));
    assert_eq!(account(&fake, "shop-app").rights.expires_at, Some(now()));
}

#[test]
fn another_key_is_shown_once_and_a_removal_wants_the_name() {
    let fake = house();
    let set_at = account(&fake, "shop-app").password_set_at;
    let seen = post(&fake, Who::Admin, "/users/key?lang=ja", &[("name", "shop-app")]);
    assert!(seen.status == 200 && seen.body.contains("shop-app のキーを変更しました。"), "{}", seen.body);
    check_document("another key", &seen.body);
    assert!(account(&fake, "shop-app").password_set_at > set_at.max(Timestamp::ZERO));
    let weak = post(&fake, Who::Admin, "/users/key?lang=en", &[("name", "shop-app"), ("key", "short")]);
    assert!(weak.status == 409 && weak.body.contains("at least 12"), "{}", weak.body);

    let wrong = post(&fake, Who::Admin, "/users/remove?lang=en", &[("name", "shop-app"), ("again", "shop")]);
    assert!(wrong.status == 400 && wrong.body.contains("It was not removed"));
    assert!(fake.shelf.account("shop-app").is_some());
    let seen = post(&fake, Who::Admin, "/users/remove?lang=en", &[("name", "shop-app"), ("again", "shop-app")]);
    assert_eq!(
        (seen.status, seen.header("Location"), seen.told().as_str()),
        (303, "/users?lang=en", "shop-app was removed.")
    );
    assert!(fake.shelf.account("shop-app").is_none());
    assert_eq!(post(&fake, Who::Admin, "/users/remove", &[("name", "shop-app"), ("again", "shop-app")]).status, 404);
}

#[test]
fn the_disk_breaking_is_said_and_nothing_is_shown_as_done() {
    let fake = house();
    page(&fake, Who::Admin, "/users");
    fake.shelf.break_writes(true);
    for (to, fields) in [
        ("/users/stop", vec![("name", "shop-app")]),
        ("/users/key", vec![("name", "shop-app")]),
        ("/users/add", vec![("kind", "api"), ("name", "app9"), ("role", "user")]),
    ] {
        let seen = post(&fake, Who::Admin, to, &fields);
        assert!(seen.status == 500 && !seen.body.contains("class=\"record\""), "{to}: {}", seen.status);
    }
}
