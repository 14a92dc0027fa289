//! The audit logs' pages and files.

use crate::{
    http::{
        console::rig::{Who, check_document, get, page},
        fake::{Fake, HOSTILE, now},
    },
    store::AuditEntry,
};

fn told() -> Fake {
    let fake = Fake::busy();
    let entry = |act: &str, object: &str, detail: &str| AuditEntry {
        at: now(),
        who: "user@example.jp".into(),
        from: "192.0.2.77".into(),
        act: act.into(),
        object: object.into(),
        detail: detail.into(),
    };
    fake.audits.lock().unwrap().extend([
        entry("queue.drop", "destination=gmail.example", "recipients=3204"),
        entry("new.act", HOSTILE, HOSTILE),
        entry("login", "console", "success"),
        entry("login", "smtp", "wrong ×12"),
    ]);
    fake
}

#[test]
fn both_logs_are_whole_and_in_words_in_both_languages() {
    for fake in [told(), Fake::empty()] {
        for target in ["/audit", "/audit/logins", "/audit?area=queue.&who=user"] {
            for lang in ["en", "ja"] {
                let joint = if target.contains('?') { '&' } else { '?' };
                let target = format!("{target}{joint}lang={lang}");
                check_document(&target, &page(&fake, Who::Admin, &target));
            }
        }
    }
    let fake = told();
    let operations = page(&fake, Who::Admin, "/audit");
    for text in ["queue.drop", ">drop<", "recipients=3204", "user@example.jp", "new.act", "&lt;script&gt;alert(1)"] {
        assert!(operations.contains(text), "{text}: {operations}");
    }
    assert!(!operations.contains("wrong user or password"), "a login is no operation");
    let logins = page(&fake, Who::Admin, "/audit/logins?lang=ja");
    for text in ["ユーザーまたはパスワードが正しくありません ×12", ">成功<", ">失敗<", "SMTP", "管理画面", "192.0.2.77"]
    {
        assert!(logins.contains(text), "{text}: {logins}");
    }
    assert!(!logins.contains("queue.drop"));
}

#[test]
fn filters_narrow_and_what_is_none_is_refused() {
    let fake = told();
    let of_queue = page(&fake, Who::Admin, "/audit?area=queue.");
    assert!(of_queue.contains("queue.drop") && !of_queue.contains("new.act"));
    let by_text = page(&fake, Who::Admin, "/audit?text=gmail.example");
    assert!(by_text.contains("queue.drop") && !by_text.contains("new.act"));
    let none = page(&fake, Who::Admin, "/audit?who=nobody");
    assert!(none.contains("No entry matches.") && none.contains("90"));
    assert!(page(&Fake::empty(), Who::Admin, "/audit").contains("No entry yet"));
    for query in ["from=x", "from=2026-11-25T00:00&to=2026-11-24T00:00", &format!("who={}", "x".repeat(301))] {
        assert_eq!(get(&fake, Who::Admin, &format!("/audit?{query}")).status, 400, "{query}");
    }
}

#[test]
fn files_are_for_the_administrator_and_leave_an_entry() {
    let fake = told();
    for who in [Who::User, Who::Reader, Who::Viewer] {
        for path in ["/audit", "/audit/logins", "/audit/operations.csv", "/audit/logins.csv"] {
            assert_eq!(get(&fake, who, path).status, 403, "{path} {who:?}");
        }
    }
    let file = |target: &str| {
        let tries = std::iter::repeat_with(|| get(&fake, Who::Admin, target)).take(10_000);
        tries.into_iter().find(|seen| seen.status != 503).unwrap()
    };
    let operations = file("/audit/operations.csv?area=queue.");
    assert!(operations.header("Content-Disposition").starts_with("attachment; filename=\"operations-2026"));
    let lines: Vec<&str> = operations.body.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(lines[0], "\"created\",\"account\",\"name\",\"function\",\"object\",\"detail\",\"ipaddress\"");
    assert!(lines[1..].iter().any(|line| line.contains("\"queue.drop\",\"destination=gmail.example\"")));
    let logins = file("/audit/logins.csv");
    assert!(logins.body.contains("\"0\",\"success\"") && logins.body.contains("×12"), "{}", logins.body);
    let audits = fake.audits.lock().unwrap();
    let taken: Vec<_> = audits.iter().filter(|entry| entry.act == "console.download").collect();
    assert_eq!(taken.len(), 2);
    assert_eq!((taken[0].object.as_str(), taken[0].detail.as_str()), ("operations", "function=queue."));
    assert_eq!((taken[1].object.as_str(), taken[1].who.as_str()), ("logins", "admin@example.jp"));
}
