//! The sandbox: HTML speaks in its frame only, and everything that came with a mail is inert.

use super::super::rig::{Who, check_document, get, page};
use crate::{
    http::{
        exchange::Policy,
        fake::{Fake, HOSTILE, id, now},
    },
    sandbox::SandboxMail,
};

const LETTER: &str = "From: a@example.jp\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\
    Content-Type: multipart/related; boundary=r\r\n\r\n--r\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
    <h1>飛脚</h1><script>alert(7)</script><img src=\"cid:logo\"><img src=\"https://track.example/1.gif\">\
    <a href=\"https://shop.example/?a=1&amp;b=2\">go</a><a href=\"javascript:alert(8)\">no</a>\r\n--r\r\n\
    Content-Type: image/png; name=logo.png\r\nContent-ID: <logo>\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--r--\r\n\
    --m\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename=\"=?UTF-8?B?6KuL5rGC5pu4?=.html\"\r\n\r\n\
    <script>alert(9)</script>\r\n--m--\r\n";

fn with(source: &str, subject: &str) -> Fake {
    let mut fake = Fake::demo();
    let mail = SandboxMail {
        message: id(7),
        at: now(),
        user: String::new(),
        sender: String::new(),
        recipients: (0..5).map(|n| format!("r{n}@example.com")).collect(),
        subject: subject.into(),
        len: source.len() as u64,
    };
    fake.mails = vec![(mail, source.as_bytes().to_vec())];
    fake
}

#[test]
fn html_is_shown_in_a_frame_that_may_do_nothing() {
    let fake = with(LETTER, HOSTILE);
    let target = format!("/sandbox/{}", id(7));
    for lang in ["en", "ja"] {
        let shown = page(&fake, Who::User, &format!("{target}?lang={lang}"));
        check_document(lang, &shown);
        assert!(
            shown.contains(&format!(
                "sandbox=\"\" loading=\"lazy\" referrerpolicy=\"no-referrer\" src=\"{target}/frame\""
            ))
        );
        assert!(!shown.contains("alert(7)") && !shown.contains("<h1>飛脚"), "none of it is in our page");
        assert!(shown.contains("href=\"https://shop.example/?a=1&amp;b=2\" rel=\"noreferrer noopener nofollow\""));
    }
    let shown = page(&fake, Who::User, &format!("{target}?lang=en"));
    assert!(shown.contains("1 picture or style from elsewhere is not loaded."), "{shown}");
    let frame = get(&fake, Who::User, &format!("{target}/frame"));
    assert_eq!(frame.response.policy, Policy::Mail);
    assert!(frame.body.contains("<h1>飛脚</h1>") && frame.body.contains("src=\"data:image/png;base64,QUJD\""));
    let headers = frame.response.headers_for_browsers();
    let of = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str()).unwrap_or_default();
    let policy = of("Content-Security-Policy");
    for part in ["sandbox;", "default-src 'none'", "img-src data:", "form-action 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("script-src") && !policy.contains("allow-"), "{policy}");
    assert_eq!(of("X-Frame-Options"), "SAMEORIGIN");
    assert!(frame.response.headers.iter().all(|(name, _)| *name != "Set-Cookie"));
}

#[test]
fn whole_mails_and_attachments_are_for_who_may_download_and_leave_an_entry() {
    let fake = with(LETTER, "x");
    let one = format!("/sandbox/{}", id(7));
    for path in [format!("{one}/mail.eml"), format!("{one}/part/2")] {
        assert!(page(&fake, Who::User, &one).contains(&path), "{path}");
        assert!(!page(&fake, Who::Reader, &one).contains(&path), "no link for who may not: {path}");
        assert_eq!(get(&fake, Who::Reader, &path).status, 403);
        let before = fake.audits.lock().expect("no panic").len();
        assert_eq!(get(&fake, Who::User, &path).status, 200);
        let audits = fake.audits.lock().expect("no panic");
        let [entry] = &audits[before..] else { panic!("one entry: {audits:?}") };
        assert_eq!(
            (entry.act.as_str(), entry.who.as_str(), entry.object.as_str()),
            ("message.download", "user@example.jp", id(7).to_string().as_str())
        );
    }
}

#[test]
fn attachments_are_files_that_no_browser_opens() {
    let fake = with(LETTER, "x");
    let shown = page(&fake, Who::User, &format!("/sandbox/{}?lang=ja", id(7)));
    assert!(shown.contains("添付ファイル") && shown.contains("logo.png") && shown.contains("請求書.html"), "{shown}");
    let file = get(&fake, Who::User, &format!("/sandbox/{}/part/2", id(7)));
    assert_eq!((file.status, file.response.content_type), (200, "application/octet-stream"));
    assert_eq!(file.header("Content-Disposition"), "attachment; filename*=UTF-8''%E8%AB%8B%E6%B1%82%E6%9B%B8.html");
    assert_eq!(file.body, "<script>alert(9)</script>");
    for n in ["0", "3", "x", "-1", "99999999999999999999"] {
        assert_eq!(get(&fake, Who::User, &format!("/sandbox/{}/part/{n}", id(7))).status, 404, "{n}");
    }
}

#[test]
fn every_view_is_whole_and_bounded() {
    let long = format!(
        "Subject: x\r\nX-A: {}\r\n{}Content-Type: text/plain\r\n\r\n{}\u{202e}\u{1b}[31m",
        "v".repeat(50_000),
        "X-B: 飛脚 <b>\r\n".repeat(3_000),
        "<script>alert(1)</script> 飛脚\r\n".repeat(20_000)
    );
    let html = format!("Content-Type: text/html\r\n\r\n{}", "<a href=https://x.example/'\"><b>you".repeat(5_000));
    // A source that speaks of scripts is shown as it is, and no page of ours has that word otherwise.
    let letter = LETTER.replace("javascript:", "data:");
    for source in [long.as_str(), &html, &letter, "", "\r\n", "no header"] {
        let fake = with(source, "x");
        for tab in ["", "/text", "/headers", "/source"] {
            for lang in ["en", "ja"] {
                let target = format!("/sandbox/{}{tab}?lang={lang}", id(7));
                let shown = page(&fake, Who::Reader, &target);
                // A page of text is longer than others, and bounded all the same.
                let name = format!("{target} of {} octets", source.len());
                let head = shown.len().min(119_000);
                assert!(shown.len() < 260_000, "{name}: {}", shown.len());
                assert!(
                    !shown.contains("<script>alert") && !shown.contains("<b>you") && !shown.contains('\u{202e}'),
                    "{name}"
                );
                if shown.len() == head {
                    check_document(&name, &shown);
                }
            }
        }
    }
}

#[test]
fn the_list_is_searched_and_goes_on() {
    let mut fake = Fake::demo();
    let mail = |n: u64| {
        let meta = SandboxMail {
            message: id(1_000 - n),
            at: now(),
            user: if n % 50 == 7 { "staging".into() } else { String::new() },
            sender: "shop@example.jp".into(),
            recipients: vec![format!("r{n}@example.com")],
            subject: if n == 130 { "Needle 飛脚".into() } else { format!("Mail no. {n}") },
            len: 10,
        };
        (meta, b"Subject: x\r\n\r\nhi\r\n".to_vec())
    };
    fake.mails = (0..150).map(mail).collect();
    let first = page(&fake, Who::User, "/sandbox?lang=en");
    check_document("the list", &first);
    assert!(first.contains("Mail no. 99<") && !first.contains("Mail no. 100<"));
    let next = first.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a next page");
    let second = page(&fake, Who::User, &next.replace("&amp;", "&"));
    assert!(second.contains("Mail no. 100<") && second.contains("Mail no. 149<") && !second.contains("Mail no. 99<"));
    assert!(!second.contains("rel=\"next\""));
    let found = page(&fake, Who::User, "/sandbox?q=needle&lang=en");
    assert!(found.contains("Needle 飛脚") && !found.contains("Mail no."));
    assert!(page(&fake, Who::User, "/sandbox?q=r149%40&lang=en").contains("Mail no. 149<"));
    assert!(page(&fake, Who::User, "/sandbox?q=nothing&lang=ja").contains("該当するメールはありません。"));
    assert!(page(&Fake::empty(), Who::User, "/sandbox?lang=en").contains("Send one to a relay listener"));
}

#[test]
fn whose_mail_it_is_is_said_and_asked_for() {
    let mut fake = with(LETTER, "Receipt");
    fake.mails[0].0.user = HOSTILE.into();
    let mut other = fake.mails[0].clone();
    (other.0.message, other.0.user, other.0.subject) = (id(8), "staging".into(), "Reminder".into());
    fake.mails.push(other);
    for lang in ["en", "ja"] {
        let all = page(&fake, Who::User, &format!("/sandbox?lang={lang}"));
        check_document(lang, &all);
        assert!(all.contains("Receipt") && all.contains("Reminder"));
        let one = page(&fake, Who::User, &format!("/sandbox?user=staging&lang={lang}"));
        assert!(
            !one.contains("Receipt") && one.contains("Reminder") && one.contains("<option value=\"staging\" selected>")
        );
        let none = page(&fake, Who::User, &format!("/sandbox?user=stag&lang={lang}"));
        assert!(!none.contains("Receipt") && !none.contains("Reminder"), "a user is named whole");
        check_document(lang, &page(&fake, Who::User, &format!("/sandbox/{}?lang={lang}", id(7))));
    }
    assert!(page(&fake, Who::User, &format!("/sandbox/{}?lang=en", id(8))).contains("href=\"/sandbox?user=staging"));
}

#[test]
fn without_a_sandbox_it_says_how_there_would_be_one() {
    let mut fake = Fake::busy();
    for (lang, words) in
        [("en", "set mode = &quot;sandbox&quot; in [delivery]"), ("ja", "サンドボックスは使われていません")]
    {
        let target = format!("/sandbox?lang={lang}");
        let seen = page(&fake, Who::Admin, &target);
        assert!(seen.contains(words) && seen.contains("class=\"button plain\" href=\"/users"), "{seen}");
        check_document(lang, &seen);
        let seen = page(&fake, Who::User, &target);
        assert!(
            seen.contains(words) && !seen.contains("class=\"button plain\" href=\"/users"),
            "no door to a closed room"
        );
    }
    fake.mode = crate::config::Mode::Sandbox;
    assert!(page(&fake, Who::User, "/sandbox?lang=en").contains("Send one to a relay listener"));
}
