//! Settings: each with its line, no secret, and nothing that could be changed here.

use std::{path::Path, sync::Arc};

use super::super::rig::{Who, check_document, get, page};
use crate::{
    config::{self, Config, Files, Surroundings, lines::note_waiting},
    http::fake::Fake,
};

fn read(file: &Path, text: &str) -> Config {
    let around = Surroundings::of_this_machine(Files::Ignored);
    config::read_str(file, text, &around).unwrap_or_else(|e| panic!("{e}")).config
}

fn with(text: &str) -> Fake {
    let mut fake = Fake::busy();
    fake.config = Arc::new(read(Path::new("/nowhere/hikyaku.toml"), text));
    fake
}

const TEXT: &str = "\
[server]
hostname = \"relay.example.jp\"
threads = 2

[relay]
recipients_max = 500

[accounts.allowed_ips]
console = [\"192.0.2.0/24\"]
api = [\"198.51.100.7\"]

[[webhook]]
name = \"crm <script>\"
url = \"https://crm.example.jp/hook?token=hush\"
signing_key = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"
";

#[test]
fn each_value_has_the_line_that_says_it_and_no_secret_is_shown() {
    let fake = with(TEXT);
    for lang in ["en", "ja"] {
        let shown = page(&fake, Who::User, &format!("/settings?lang={lang}"));
        check_document(lang, &shown);
        assert!(!shown.contains("hush") && !shown.contains("MfKQ"), "{shown}");
        assert!(!shown.contains("<script>\""), "a name is text");
        // It is far away from the start: the pages go on.
        let next = shown.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
        if let Some(next) = next {
            let more = page(&fake, Who::User, &next.replace("&amp;", "&"));
            check_document(next, &more);
            assert!(!more.contains("hush") && !more.contains("MfKQ"), "{more}");
        }
    }
    let row_of = |who: Who, query: &str, key: &str| {
        let shown = page(&fake, who, &format!("/settings?lang=en&q={query}"));
        let from = shown.find(&format!(">{key}</td>")).unwrap_or_else(|| panic!("no {key}: {shown}"));
        shown[from..from + shown[from..].find("</tr>").expect("its end")].to_owned()
    };
    let row = |query: &str, key: &str| row_of(Who::User, query, key);
    let set = row("relay.recipients_max", "recipients_max");
    assert!(set.contains(">500<") && set.contains("line 6") && set.contains("default <bdi>1000"), "{set}");
    let usual = row("relay.sessions_max", "sessions_max");
    assert!(usual.contains(">default</span>") && !usual.contains("line "), "{usual}");
    assert!(row("webhook.signing_key", "signing_key").contains("(hidden)"));
    // Who has the URL of a chat service may post there: its path is for the group administrator, its query for nobody.
    let (user, admin) = (row("webhook.url", "url"), row_of(Who::Admin, "webhook.url", "url"));
    assert!(user.contains("https://crm.example.jp/…") && !user.contains("hook?"), "{user}");
    assert!(admin.contains("https://crm.example.jp/hook?…") && !admin.contains("hush"), "{admin}");
    let guessed = page(&fake, Who::User, "/settings?lang=en&q=example.jp/hook");
    assert!(!guessed.contains(">url</td>"), "what is not shown is not searched");
    let given = page(&fake, Who::User, "/settings?lang=en&given=1");
    assert!(given.contains("line 2") && given.contains("[[webhook]]") && !given.contains(">sessions_max<"));
    assert!(page(&fake, Who::User, "/settings?lang=ja&q=nothinglikethis").contains("該当する設定はありません。"));
}

#[test]
fn a_long_config_is_a_page_at_a_time() {
    let rules: String = (0..150)
        .map(|n| {
            format!("[[delivery.rule]]\nname = \"rule {n}\"\nrecipients = ['@d{n}\\.example$']\nconnections_max = 3\n")
        })
        .collect();
    let fake = with(&rules);
    let (mut target, mut pages, mut rows) = ("/settings?lang=en".to_owned(), 0, 0);
    loop {
        let shown = page(&fake, Who::User, &target);
        check_document(&target, &shown);
        (pages, rows) = (pages + 1, rows + shown.matches("<td class=\"mono wide\">").count() / 2);
        let next = shown.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
        let Some(next) = next else { break };
        target = next.replace("&amp;", "&");
        assert!(pages < 50);
    }
    let all: usize = config::lines::settings(&fake.config, true).iter().map(|table| table.settings.len()).sum();
    assert_eq!((rows, pages), (all, all.div_ceil(super::ROWS)));
    // A number that nobody gave begins anew, or ends.
    assert_eq!(get(&fake, Who::User, "/settings?cursor=x").status, 200);
    for far in ["999999999", "18446744073709551615", "18446744073709551616"] {
        assert_eq!(get(&fake, Who::User, &format!("/settings?cursor={far}")).status, 200, "{far}");
    }
}

#[test]
fn what_the_file_says_by_now_and_what_waits_is_told() {
    let dir = std::env::temp_dir().join(format!("hikyaku-console-settings-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let file = dir.join("hikyaku.toml");
    std::fs::write(&file, TEXT).expect("a file");
    let mut fake = Fake::busy();
    fake.config = Arc::new(read(&file, TEXT));
    assert!(page(&fake, Who::User, "/settings?lang=en").contains("It says what is in force."));
    std::fs::write(&file, TEXT.replace("500", "400")).expect("a file");
    let edited = page(&fake, Who::User, "/settings?lang=en");
    assert!(edited.contains("It was edited since") && edited.contains("hikyaku check &amp;&amp; systemctl reload"));
    assert!(page(&fake, Who::User, "/settings?lang=ja").contains("読み込み後に編集されています"));
    std::fs::remove_dir_all(&dir).expect("it goes");
    assert!(page(&fake, Who::User, "/settings?lang=en").contains("cannot be read any more"));

    let as_read = read(&file, &TEXT.replace("threads = 2", "threads = 4"));
    let mut in_force = read(&file, TEXT);
    note_waiting(&mut in_force, &as_read);
    fake.config = Arc::new(in_force);
    let shown = page(&fake, Who::User, "/settings?lang=en");
    assert!(shown.contains("Takes effect at the next start") && shown.contains("after a restart"), "{shown}");
    let demo = page(&Fake::demo(), Who::User, "/settings?lang=en");
    assert!(demo.contains("this is the demo"), "{demo}");
}

#[test]
fn who_may_come_from_where_is_for_the_group_administrator() {
    let fake = with(TEXT);
    for lang in ["en", "ja"] {
        check_document(lang, &page(&fake, Who::Admin, &format!("/settings/access?lang={lang}")));
    }
    let shown = page(&fake, Who::Admin, "/settings/access?lang=en");
    let door = |key: &str| {
        let from = shown.find(&format!("accounts.allowed_ips.{key}")).unwrap_or_else(|| panic!("no {key}"));
        let begin = shown[..from].rfind("<section>").expect("its card");
        shown[begin..begin + shown[begin..].find("</section>").expect("its end")].to_owned()
    };
    assert!(door("console").contains("you are in") && door("console").contains("line 9"), "{}", door("console"));
    assert!(door("api").contains("you are not in") && door("api").contains("198.51.100.7/32"));
    assert!(door("submit").contains("everybody") && door("submit").contains("default"));
    assert!(shown.contains("192.0.2.77"), "the visitor's own address");
    assert_eq!(get(&fake, Who::User, "/settings/access").status, 403);
    assert!(!page(&fake, Who::User, "/settings").contains("/settings/access"), "no link for who may not");
    assert_eq!(get(&fake, Who::Viewer, "/settings").status, 403);
}
