//! Every page, in both languages, on a desk and on a telephone, by day and by night: nothing beyond the edge, nothing that axe-core
//! calls serious, nothing that the browser complains about, nothing from elsewhere, not too heavy, and no word in one language alone.
//!
//! With `HIKYAKU_SHOTS=FOLDER` a picture of each is left there, for people to look at.

use std::{collections::BTreeSet, fs, path::PathBuf};

use crate::{
    axe::{Axe, is_serious},
    browser::Browser,
    pages::{self, Page, Who},
    scene::Scene,
    support::say,
    tab::{Loaded, SHOWN, Tab},
};

/// Octets of a page with all that it brings, heads included, when nothing is kept.
const WEIGHT_MAX: u64 = 150_000;

/// Words in small letters that make a sentence.
const SENTENCE_WORDS: usize = 3;

const LOOK: &str = include_str!("look.js");
const SAID: &str = include_str!("said.js");

/// Words that both languages write alike.
const ALIKE: &[&str] = &[
    "Hikyaku",
    "SPF",
    "DKIM",
    "DMARC",
    "MX",
    "PTR",
    "TLS",
    "SMTP",
    "HTTP",
    "API",
    "CSV",
    "HTML",
    "DNS",
    "Message-ID",
    "English",
    "TLS-RPT",
    "MTA-STS",
    "DANE",
    "Webhook",
    "webhook",
    "CIDR",
    "JSON",
    "URL",
    "IP",
    "RSA",
    "TOTP",
    "TXT",
    "TTL",
    "BIMI",
    "KiB",
    "MiB",
    "GiB",
    "From",
    "X-Api-Data",
];

#[test]
fn every_page_is_sound_however_it_is_shown() {
    let (Some(axe), Some(browser)) = (Axe::load(), Browser::start()) else { return };
    let scene = Scene::start();
    let tabs = [browser.tab(), browser.tab()];
    for path in ["/", "/sandbox"] {
        tabs[0].sign_in(&scene.url(path), scene.relay_of(path).1);
    }
    for tab in &tabs {
        tab.without_cache();
    }
    let shots = std::env::var_os("HIKYAKU_SHOTS").map(PathBuf::from);
    if let Some(folder) = &shots {
        fs::create_dir_all(folder).expect("HIKYAKU_SHOTS is a folder to write to");
    }
    let (mut wrong, mut minor) = (Vec::new(), BTreeSet::new());
    for page in pages::all(&scene) {
        let tab = &tabs[usize::from(page.who == Who::Guest)];
        let mut said = Vec::new();
        for language in ["en", "ja"] {
            let path = page.in_language(language);
            let loaded = tab.go(&scene.url(&path));
            let before = wrong.len();
            wrong.extend(arrived(&scene, &page, &loaded));
            wrong.extend((tab.text_of("document.documentElement.lang") != language).then(|| "lang".to_owned()));
            axe.enter(tab);
            let mut seen = Vec::new();
            for shown in SHOWN {
                tab.show(shown);
                let found = tab.evaluate(LOOK);
                let found = found.as_array().expect("a list").iter().filter_map(|l| l.as_str().map(str::to_owned));
                seen.extend(found.map(|line| (line, shown.to_string())));
                for line in axe.findings(tab) {
                    if is_serious(&line) {
                        seen.push((line, shown.to_string()));
                    } else {
                        minor.insert(format!("{}: {line}", page.path));
                    }
                }
                if let Some(folder) = &shots {
                    let file = folder.join(format!("{}.{language}.{shown}.png", page.name));
                    fs::write(file, tab.picture()).expect("HIKYAKU_SHOTS is a folder to write to");
                }
            }
            said.push(words(tab));
            wrong.extend(gather(&seen));
            for line in &mut wrong[before..] {
                *line = format!("{path}: {line}");
            }
        }
        wrong.extend(
            said[0]
                .intersection(&said[1])
                .filter(|t| has_words(t))
                .map(|t| format!("{}: in both languages alike: {t:?}", page.path)),
        );
    }
    for line in &minor {
        say(format_args!("no failure: {line}"));
    }
    report(&wrong);
}

/// What the load itself shows.
fn arrived(scene: &Scene, page: &Page, loaded: &Loaded) -> Vec<String> {
    let mut wrong = loaded.complaints.clone();
    let expected = match page.path.as_str() {
        "/nothing/here" => 404,
        // Without the link that was mailed.
        "/reset" => 403,
        _ => 200,
    };
    if loaded.status != expected {
        wrong.push(format!("status {}", loaded.status));
    }
    let ours = format!("http://{}/", scene.relay_of(&page.path).0.http());
    wrong.extend(
        loaded
            .parts
            .iter()
            .filter(|(u, _)| !u.starts_with(&ours) && !u.starts_with("data:"))
            .map(|(u, _)| format!("from elsewhere: {u}")),
    );
    if loaded.weight() > WEIGHT_MAX {
        wrong.push(format!("{} octets: {:?}", loaded.weight(), loaded.parts));
    }
    say(format_args!("{}: {} octets in {} parts", page.path, loaded.weight(), loaded.parts.len()));
    wrong
}

/// The same thing in several ways of showing is one line.
fn gather(seen: &[(String, String)]) -> Vec<String> {
    let lines: BTreeSet<&str> = seen.iter().map(|(line, _)| line.as_str()).collect();
    let ways = |line: &str| {
        let of: Vec<&str> = seen.iter().filter(|(l, _)| l == line).map(|(_, way)| way.as_str()).collect();
        of.join(" ")
    };
    lines.into_iter().map(|line| format!("{line} [{}]", ways(line))).collect()
}

/// Our own words on the page.
fn words(tab: &Tab<'_>) -> BTreeSet<String> {
    let said = tab.evaluate(SAID);
    said.as_array().expect("a list").iter().filter_map(|t| t.as_str().map(str::to_owned)).collect()
}

/// It holds a word of three letters or more that the languages do not share.
fn has_words(text: &str) -> bool {
    let is_id = text.parse::<hikyaku::ids::MessageId>().is_ok();
    // Names of the scene, of browsers, of webhooks' events, and examples of what can be typed.
    const NAMES: &[&str] = &[
        "Firefox, Linux",
        "06BHV7Q…",
        "order-8801",
        "← crm",
        "deliveries",
        "bounces",
        "blocks",
        "shop",
        "campaign",
        "staging",
    ];
    let is_event = text
        .split(", ")
        .all(|w| hikyaku::event::EventKind::from_word(w).is_some() || matches!(w, "blocked" | "domain"));
    if NAMES.contains(&text) || is_event || text.starts_with('[') {
        return false;
    }
    let is_token = !text.contains(' ') && text.contains(['.', '=']);
    let is_data = is_id || is_token || text.contains(['@', '/']) || text.contains(".test");
    let mut words = text.split(|c: char| !(c.is_ascii_alphabetic() || c == '-')).filter(|w| w.len() >= 3);
    !is_data && words.any(|w| !ALIKE.contains(&w))
}

fn is_japanese(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ff01}'..='\u{ff60}')
}

/// It is a sentence, and none of its words is Japanese.
fn is_english(text: &str) -> bool {
    let is_word = |w: &&str| w.len() >= 2 && w.chars().all(|c| c.is_ascii_lowercase() || matches!(c, ',' | '.' | ':'));
    !text.chars().any(is_japanese) && text.split(' ').filter(is_word).count() >= SENTENCE_WORDS
}

#[track_caller]
fn report(wrong: &[String]) {
    for line in wrong {
        say(line);
    }
    assert!(wrong.is_empty(), "{} things are wrong, the first: {}", wrong.len(), wrong[0]);
}
