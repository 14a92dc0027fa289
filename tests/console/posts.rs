//! Pages that no address leads to: what only a press of a button brings, in both languages, on a desk and on a telephone, by day and
//! by night, held to what every other page is held to. And every act that brings none leads elsewhere, as it says here.
//!
//! Always: the form that is sent is one that the page has; each act of the table is pressed, so that a new one cannot be forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use hikyaku::http::console::{Verb, places};
use serde_json::json;

use crate::{
    axe::Axe,
    browser::Browser,
    look::{Looked, alike, arrived, look, report, shots},
    scene::Scene,
    tab::Tab,
};

/// What a press brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Brings {
    /// The answer is the page, with this status.
    Page(u64),
    /// It leads to a page that shows what came of it, and is looked at as well.
    Sight,
    /// It leads to a page that says that it was done, and is known otherwise.
    Elsewhere,
    /// The same, where what was found may be bad.
    Verdict,
}

/// A button to press.
pub struct Press<'p> {
    /// The act, as the table has it.
    pub act: &'static str,
    /// The page that has the form; empty: the page that is shown, which the press before brought.
    pub at: &'p str,
    /// Script that fills the form as a person would.
    pub fill: &'p str,
    /// The button.
    pub button: &'p str,
    /// What comes.
    pub brings: Brings,
}

const fn press(
    act: &'static str,
    at: &'static str,
    fill: &'static str,
    button: &'static str,
    brings: Brings,
) -> Press<'static> {
    Press { act, at, fill, button, brings }
}

use Brings::{Elsewhere, Page, Sight, Verdict};

/// Every act of who is signed in, in an order in which each finds what it needs. `{…}` stands for what the scene has; `put` fills a
/// field, `tick` ticks boxes, `file` chooses a file, and `lang` is the page's language.
#[rustfmt::skip]
const PRESSES: &[Press<'static>] = &[
    // The queue.
    press("/queue/preview", "/queue", "", "form:has(input[value=hold]) button", Page(200)),
    press("/queue/preview", "/queue", "", "form:has(input[value=flush]) button", Page(200)),
    press("/queue/preview", "/queue", "put('form.row-form [name=destination]', 'example.test')", "form.row-form:has(input[value=pause]) button", Page(200)),
    press("/queue/preview", "/queue/list?destination=docomo.test", "tick('[name=to]')", "button[value=drop]", Page(200)),
    press("/queue/preview", "/queue/list", "", "button[value=hold]", Page(400)),
    press("/queue/act", "/queue/preview?verb=drop&destination=docomo.test", "document.querySelector('[name=sure]').required = false", "form[action^='/queue/act'] button", Page(400)),
    press("/queue/act", "/queue/preview?verb=hold&destination=docomo.test", "", "form[action^='/queue/act'] button", Elsewhere),
    press("/queue/pause", "/queue/preview?verb=pause&destination=example.test", "", "form[action^='/queue/pause'] button", Elsewhere),
    press("/queue/resume", "/queue", "", "form[action^='/queue/resume'] button", Elsewhere),
    // A mail.
    press("/message/:id/act", "/message/{waiting}", "", "form:has(input[value=release]) button", Elsewhere),
    press("/message/:id/lift", "/message/{blocked}", "", "form[action*='/lift'] button", Elsewhere),
    // The suppression list.
    press("/suppression/act", "/suppression", "tick('[name=row]')", "button[value=lift]", Page(200)),
    press("/suppression/act", "/suppression", "tick('[name=row]')", "button[value=exempt]", Page(200)),
    press("/suppression/act", "", "", "form[action^='/suppression/act'] button", Elsewhere),
    press("/suppression/act", "/suppression?state=exempt", "tick('[name=row]')", "button[value=end]", Page(200)),
    press("/suppression/add", "/suppression/add", "put('[name=addresses]', 'no address')", "form[action^='/suppression/add'] button", Page(200)),
    press("/suppression/add", "/suppression/add", "put('[name=addresses]', 'new@rival.test')", "form[action^='/suppression/add'] button", Elsewhere),
    press("/suppression/address", "/suppression/address?address=new@rival.test", "", "form:has(input[value=lift]) button", Elsewhere),
    press("/suppression/import", "/suppression/import", "file('[name=file]', 'email,reason\\nleft@rival.test,bounce\\nno address,x\\n')", "form[action^='/suppression/import'] button", Sight),
    press("/suppression/import/go", "", "", "form[action^='/suppression/import/go'] button", Sight),
    press("/suppression/import", "/suppression/import", "file('[name=file]', 'what is this\\n')", "form[action^='/suppression/import'] button", Sight),
    press("/suppression/try", "/suppression/try", "put('[name=unknown_user]', '1'); put('[name=watch]', '30')", "form[action^='/suppression/try'] button", Sight),
    press("/suppression/try", "/suppression/try", "put('[name=window]', '99999')", "form[action^='/suppression/try'] button", Page(400)),
    // A work that runs is over before anybody presses; a form for it goes where its button would.
    press("/suppression/work/:id/stop", "/suppression/work/{work}", "form('/sign-out').action = location.pathname + '/stop'", "form[action$='/stop'] button", Elsewhere),
    press("/suppression/incident/:id/:verb", "/suppression/incident/{incident}", "", "form[action*='/discard'] button", Elsewhere),
    press("/unsubscribes/act", "/unsubscribes", "tick('[name=row]')", "form[action^='/unsubscribes/act'] button", Page(200)),
    press("/unsubscribes/act", "", "", "form[action^='/unsubscribes/act'] button", Elsewhere),
    press("/unsubscribes/add", "/unsubscribes/add", "put('[name=addresses]', 'no address'); put('[name=list]', 'News')", "form[action^='/unsubscribes/add'] button", Page(200)),
    press("/unsubscribes/add", "/unsubscribes/add", "put('[name=addresses]', 'a@rival.test'); put('[name=list]', 'News')", "form[action^='/unsubscribes/add'] button", Elsewhere),
    // Domains and reports.
    press("/domains/:name/check", "/domains/shop.test", "", "form[action*='/check'] button", Verdict),
    press("/domains/:name/records", "/domains/shop.test/records", "", "form[action*='/records'] button", Page(200)),
    press("/domains/:name/diagnose", "/domains/shop.test/diagnose", "", "form[action*='/diagnose'] button", Page(200)),
    press("/domains/:name/diagnose", "/domains/shop.test/diagnose", "put('[name=destination]', '<b>')", "form[action*='/diagnose'] button", Page(400)),
    press("/domains/:name/keys/rotate", "/domains/news.test/keys", "", "form[action*='/keys/rotate'] button", Elsewhere),
    press("/domains/:name/keys/look", "/domains/news.test/keys", "", "form[action*='/keys/look'] button", Elsewhere),
    press("/domains/:name/keys/abort", "/domains/news.test/keys", "", "form[action*='/keys/abort'] button", Elsewhere),
    press("/dmarc/record", "/dmarc/record?domain=shop.test", "", "form[method=post][action^='/dmarc/record'] button", Page(200)),
    press("/dmarc/import", "/dmarc/import", "file('[name=report]', 'no report')", "form[action^='/dmarc/import'] button", Page(400)),
    press("/dmarc/import", "/dmarc/import", "file('[name=report]', {report})", "form[action^='/dmarc/import'] button", Elsewhere),
    // Webhooks.
    press("/webhooks/test", "/webhooks/history?name=crm", "", "form[action^='/webhooks/test'] button", Elsewhere),
    press("/webhooks/pause", "/webhooks/history?name=crm", "", "form[action^='/webhooks/pause'] button", Elsewhere),
    press("/webhooks/resume", "/webhooks/history?name=crm", "", "form[action^='/webhooks/resume'] button", Elsewhere),
    press("/webhooks/replay", "/webhooks/replay?name=crm&from=1h", "", "form[action^='/webhooks/replay'] button", Elsewhere),
    press("/webhooks/replay-post", "/webhooks/history?name=crm", "", "form[action^='/webhooks/replay-post'] button", Elsewhere),
    // Nothing is set aside for days; a form for it goes where its button would.
    press("/webhooks/replay-parked", "/webhooks/history?name=billing", "form('/webhooks/test').action = '/webhooks/replay-parked'", "form[action^='/webhooks/replay-parked'] button", Elsewhere),
    // Saved views.
    press("/views/save", "/log/deliveries?recipient=softbank.test", "put('form[action^=\"/views/save\"] [name=name]', 'Softbank')", "form[action^='/views/save'] button", Elsewhere),
    press("/views/forget", "/log/deliveries", "", "form[action^='/views/forget'] button", Elsewhere),
    // Users, and links for owners.
    press("/users/add", "/users/add", "put('[name=name]', 'fax-' + lang)", "form[action^='/users/add'] button", Page(200)),
    press("/users/add", "/users/add", "put('[name=name]', 'shop')", "form[action^='/users/add'] button", Page(409)),
    press("/users/add", "/users/add?kind=console", "put('[name=name]', 'hana-' + lang + '@shop.test')", "form[action^='/users/add'] button", Page(200)),
    press("/users/key", "/users/user?name=campaign", "", "form[action^='/users/key'] button", Page(200)),
    press("/users/key", "/users/user?name=campaign", "put('form[action^=\"/users/key\"] [name=key]', 'short')", "form[action^='/users/key'] button", Page(409)),
    press("/users/set", "/users/user?name=campaign", "put('[name=rate]', 'much')", "form[action^='/users/set'] button", Page(400)),
    press("/users/set", "/users/user?name=campaign", "put('[name=rate]', '2000/1h')", "form[action^='/users/set'] button", Elsewhere),
    press("/users/mail-link", "/users/user?name=kenji@shop.test", "", "form[action^='/users/mail-link'] button", Elsewhere),
    press("/users/sign-out", "/users/user?name=kenji@shop.test", "", "form[action^='/users/sign-out'] button", Elsewhere),
    press("/users/totp-off", "/users/user?name=board@shop.test", "", "form[action^='/users/totp-off'] button", Elsewhere),
    press("/users/unlock", "/users/user?name=kenji@shop.test", "", "form[action^='/users/unlock'] button", Elsewhere),
    press("/users/stop", "/users/user?name=staging", "", "form[action^='/users/stop'] button", Elsewhere),
    press("/users/remove", "/users/user?name=staging", "put('[name=again]', 'campaign')", "form[action^='/users/remove'] button", Page(400)),
    press("/users/remove", "/users/user?name=staging", "put('[name=again]', 'staging')", "form[action^='/users/remove'] button", Elsewhere),
    press("/owner-links/add", "/owner-links", "put('[name=note]', 'the board')", "form[action^='/owner-links/add'] button", Page(200)),
    press("/owner-links/revoke", "/owner-links", "", "form[action^='/owner-links/revoke'] button", Elsewhere),
    // One's own account.
    press("/me/profile", "/me", "put('[name=display-name]', 'Admin')", "form[action^='/me/profile'] button", Elsewhere),
];

/// What `fill` may call.
const HANDS: &str = "const lang = document.documentElement.lang; \
    document.querySelectorAll('details').forEach(d => { d.open = true; }); \
    const put = (where, text) => { document.querySelector(where).value = text; }; \
    const tick = where => [...document.querySelectorAll(where)].slice(0, 3).forEach(box => { box.checked = true; }); \
    const form = action => document.querySelector(`form[action^='${action}']`); \
    const file = (where, text) => { const all = new DataTransfer(); all.items.add(new File([text], 'list.csv')); \
      document.querySelector(where).files = all.files; };";

/// Presses buttons, and keeps what was wrong.
pub struct Hand<'h> {
    axe: &'h Axe,
    base: String,
    shots: Option<PathBuf>,
    /// What was wrong, a line each.
    pub wrong: Vec<String>,
    /// Acts that were pressed.
    pub pressed: BTreeSet<&'static str>,
    taken: BTreeMap<String, usize>,
}

impl<'h> Hand<'h> {
    /// For the pages of a relay.
    pub fn new(axe: &'h Axe, base: String) -> Self {
        Hand { axe, base, shots: shots(), wrong: Vec::new(), pressed: BTreeSet::new(), taken: BTreeMap::new() }
    }

    /// The same at another relay.
    pub fn at(&self, base: String) -> Hand<'h> {
        Hand::new(self.axe, base)
    }

    /// Presses in both languages, where that brings a page of its own.
    pub fn press(&mut self, tab: &Tab<'_>, press: &Press<'_>) {
        if press.at.is_empty() {
            let language = tab.text_of("document.documentElement.lang");
            self.press_in(tab, press, &language);
            return;
        }
        let languages = if matches!(press.brings, Page(_) | Sight) { &["en", "ja"][..] } else { &["en"] };
        let said: Vec<BTreeSet<String>> =
            languages.iter().filter_map(|language| self.press_in(tab, press, language)).collect();
        if let [english, japanese] = said.as_slice() {
            let same = alike(english, japanese).map(|text| format!("{}: in both languages alike: {text:?}", press.act));
            self.wrong.extend(same);
        }
    }

    /// Presses in one language; answers our own words on the page, where it was looked at.
    pub fn press_in(&mut self, tab: &Tab<'_>, press: &Press<'_>, language: &str) -> Option<BTreeSet<String>> {
        let Press { act, at, fill, button, brings } = press;
        self.pressed.insert(act);
        let name = format!("{act} {brings:?} in {language}");
        if !at.is_empty() {
            let join = if at.contains('?') { '&' } else { '?' };
            tab.go(&format!("{}{at}{join}lang={language}", self.base));
        }
        // A button that is not there says so, and the next one is tried.
        tab.evaluate(&format!("(() => {{ {HANDS} {fill} }})(); 0"));
        let form = format!("document.querySelector({button:?})?.closest('form')");
        let action = tab.text_of(&format!("{form}?.getAttribute('action')"));
        let path = action.split('?').next().unwrap_or_default().to_owned();
        let is_meant = places().any(|p| p.verb == Verb::Act && p.path == *act && p.fits(&path).is_some());
        if !is_meant || tab.text_of(&format!("{form}?.method")) != "post" {
            self.wrong.push(format!("{name}: no button for it at {}: {action:?}", tab.at()));
            return None;
        }
        let loaded = tab.click(button);
        let led_on = tab.evaluate("performance.getEntriesByType('navigation')[0].redirectCount > 0") == json!(true);
        let expected = if let Page(status) = brings { *status } else { 200 };
        let mut found = arrived(&loaded, expected, &format!("{}/", self.base));
        if led_on == matches!(brings, Page(_)) {
            found.push(format!("it led to {}", tab.at()));
        }
        let is_refused =
            || tab.evaluate("document.querySelector('main > .note.bad[role=status]') !== null") == json!(true);
        if matches!(brings, Sight | Elsewhere) && is_refused() {
            found.push(format!(
                "it was not done: {}",
                tab.text_of("document.querySelector('main > .note.bad').innerText")
            ));
        }
        let mut said = None;
        if matches!(brings, Page(_) | Sight) {
            let nth = self.taken.entry(format!("{act} {language}")).or_default();
            *nth += 1;
            let shot = format!("press-{}.{nth}", act.trim_matches('/').replace(['/', ':'], "-"));
            let looked: Looked = look(self.axe, tab, language, self.shots.as_deref().map(|dir| (dir, shot.as_str())));
            found.extend(looked.wrong);
            said = Some(looked.said);
        }
        self.wrong.extend(found.into_iter().map(|line| format!("{name}: {line}")));
        said
    }
}

/// A report that is not known yet.
const REPORT: &str = "'<?xml version=\"1.0\"?><feedback><report_metadata><org_name>late.test</org_name><email>x@late.test</email>\
    <report_id>late-1</report_id><date_range><begin>1790000000</begin><end>1790086399</end></date_range></report_metadata>\
    <policy_published><domain>shop.test</domain><p>none</p></policy_published><record><row><source_ip>192.0.2.10</source_ip>\
    <count>3</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row>\
    <identifiers><header_from>shop.test</header_from></identifiers><auth_results><spf><domain>shop.test</domain><result>pass\
    </result></spf></auth_results></record></feedback>'";

#[test]
fn every_page_that_only_a_press_brings_is_sound_however_it_is_shown() {
    let (Some(axe), Some(browser)) = (Axe::load(), Browser::start()) else { return };
    let mut scene = Scene::start();
    let mut hand = Hand::new(&axe, scene.url("").trim_end_matches('/').to_owned());
    let at_the_door = crate::posts_door::press_all(&mut hand, &browser, &mut scene);
    let mut names: BTreeMap<&str, String> = scene.names.clone();
    names.insert("report", REPORT.to_owned());
    names.insert("blocked", scene.relay.submit("order@shop.test", &["ceo@rival.test"], "Once more"));
    scene.relay.wait_event("failed", "ceo@rival.test");
    let filled =
        |text: &str| names.iter().fold(text.to_owned(), |t, (name, value)| t.replace(&format!("{{{name}}}"), value));
    let tab = browser.tab();
    tab.without_cache();
    tab.sign_in(&scene.url("/"), &scene.session);
    for press in PRESSES {
        let (at, fill) = (filled(press.at), filled(press.fill));
        hand.press(&tab, &Press { at: &at, fill: &fill, ..*press });
    }
    let forgotten: Vec<&str> = places()
        .filter(|place| place.verb == Verb::Act && !hand.pressed.contains(place.path))
        .map(|place| place.path)
        .collect();
    assert!(at_the_door > 0 && forgotten.is_empty(), "nobody presses {forgotten:?}: PRESSES in tests/console/posts.rs");
    report(&hand.wrong);
}
