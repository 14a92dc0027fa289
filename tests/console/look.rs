//! Every page, in both languages, on a desk and on a telephone, by day and by night: nothing beyond the edge, nothing that axe-core
//! calls serious, nothing that the browser complains about, nothing from elsewhere, not too heavy, and no word in one language alone.
//!
//! With `HIKYAKU_SHOTS=FOLDER` a picture of each is left there, for people to look at.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    axe::{Axe, is_serious},
    browser::Browser,
    pages::{self, Who},
    scene::Scene,
    support::say,
    tab::{Loaded, SHOWN, Tab},
};

/// Octets of a page with all that it brings, heads included, when nothing is kept.
const WEIGHT_MAX: u64 = 150_000;

pub const LOOK: &str = include_str!("look.js");
pub const SAID: &str = include_str!("said.js");

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
    let shots = shots();
    let (mut wrong, mut minor) = (Vec::new(), BTreeSet::new());
    for page in pages::all(&scene) {
        let tab = &tabs[usize::from(page.who == Who::Guest)];
        let mut said = Vec::new();
        for language in ["en", "ja"] {
            let path = page.in_language(language);
            let loaded = tab.go(&scene.url(&path));
            let expected = match page.path.as_str() {
                "/nothing/here" => 404,
                // Without the link that was mailed.
                "/reset" => 403,
                _ => 200,
            };
            let ours = format!("http://{}/", scene.relay_of(&page.path).0.http());
            let mut found = arrived(&loaded, expected, &ours);
            let looked = look(&axe, tab, language, shots.as_deref().map(|folder| (folder, page.name.as_str())));
            found.extend(looked.wrong);
            wrong.extend(found.into_iter().map(|line| format!("{path}: {line}")));
            minor.extend(looked.minor.into_iter().map(|line| format!("{}: {line}", page.path)));
            say(format_args!("{path}: {} octets in {} parts", loaded.weight(), loaded.parts.len()));
            said.push(looked.said);
        }
        wrong.extend(alike(&said[0], &said[1]).map(|text| format!("{}: in both languages alike: {text:?}", page.path)));
    }
    for line in &minor {
        say(format_args!("no failure: {line}"));
    }
    report(&wrong);
}

/// The folder for pictures; `None`: nobody asked for any.
pub fn shots() -> Option<PathBuf> {
    let folder = std::env::var_os("HIKYAKU_SHOTS").map(PathBuf::from)?;
    fs::create_dir_all(&folder).expect("HIKYAKU_SHOTS is a folder to write to");
    Some(folder)
}

/// What a look at a page found.
pub struct Looked {
    /// What must not be, a line each, with the ways of showing in which it is.
    pub wrong: Vec<String>,
    /// What axe-core calls less than serious.
    pub minor: Vec<String>,
    /// Our own words on it.
    pub said: BTreeSet<String>,
}

/// Looks at the page that is loaded, in all ways of showing. `shots`: where its pictures go, and its name.
pub fn look(axe: &Axe, tab: &Tab<'_>, language: &str, shots: Option<(&Path, &str)>) -> Looked {
    let (mut seen, mut minor) = (Vec::new(), Vec::new());
    axe.enter(tab);
    for shown in SHOWN {
        tab.show(shown);
        let found = tab.evaluate(LOOK);
        let found = found.as_array().expect("a list").iter().filter_map(|l| l.as_str().map(str::to_owned));
        seen.extend(found.map(|line| (line, shown.to_string())));
        let (serious, others): (Vec<_>, Vec<_>) = axe.findings(tab).into_iter().partition(|line| is_serious(line));
        seen.extend(serious.into_iter().map(|line| (line, shown.to_string())));
        minor.extend(others);
        if let Some((folder, name)) = shots {
            let file = folder.join(format!("{name}.{language}.{shown}.png"));
            fs::write(file, tab.picture()).expect("HIKYAKU_SHOTS is a folder to write to");
        }
    }
    tab.show(SHOWN[0]);
    let mut wrong = gather(&seen);
    let said = tab.text_of("document.documentElement.lang");
    wrong.extend((said != language).then(|| format!("its language is {said:?}")));
    Looked { wrong, minor, said: words(tab) }
}

/// What stands in both languages alike, and should not.
pub fn alike<'w>(english: &'w BTreeSet<String>, japanese: &'w BTreeSet<String>) -> impl Iterator<Item = &'w String> {
    english.intersection(japanese).filter(|text| has_words(text))
}

/// What the load itself shows. `ours`: how addresses begin from which something may come.
pub fn arrived(loaded: &Loaded, expected: u64, ours: &str) -> Vec<String> {
    let mut wrong = loaded.complaints.clone();
    if loaded.status != expected {
        wrong.push(format!("status {} instead of {expected}", loaded.status));
    }
    let strangers = loaded.parts.iter().filter(|(u, _)| !u.starts_with(ours) && !u.starts_with("data:"));
    wrong.extend(strangers.map(|(u, _)| format!("from elsewhere: {u}")));
    if loaded.weight() > WEIGHT_MAX {
        wrong.push(format!("{} octets: {:?}", loaded.weight(), loaded.parts));
    }
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

/// Says all that is wrong, and fails if anything is.
#[track_caller]
pub fn report(wrong: &[String]) {
    for line in wrong {
        say(line);
    }
    assert!(wrong.is_empty(), "{} things are wrong, the first: {}", wrong.len(), wrong[0]);
}
