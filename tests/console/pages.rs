//! Which pages there are: the console's own table, with something to stand in each open part of an address.
//!
//! Always: a page that the table has and nobody looks at is a failure, and says where its example belongs.

use hikyaku::http::console::{Right, Verb, places};

use crate::{scene::Scene, support::console::Browser};

/// Who visits a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The group administrator.
    Admin,
    /// Nobody is signed in.
    Guest,
}

/// A page to look at.
#[derive(Clone, Debug)]
pub struct Page {
    /// For the names of pictures.
    pub name: String,
    /// The path with its query.
    pub path: String,
    /// Who looks.
    pub who: Who,
}

/// Something for each pattern that is open, and further addresses of patterns that are not: `{…}` stands for what a scene has.
pub const EXAMPLES: &[(&str, &[&str])] = &[
    ("/message/:id", &["/message/{delivered}", "/message/{waiting}", "/message/{failed}"]),
    ("/find", &["/find", "/find?key=taro@example.test", "/find?key=nobody@nowhere.test"]),
    ("/suppression", &["/suppression", "/suppression?key=old1"]),
    ("/log/deliveries", &["/log/deliveries", "/log/deliveries?recipient=softbank.test"]),
    ("/log/errors", &["/log/errors", "/log/errors?recipient=nobody@nowhere.test"]),
    ("/queue/list", &["/queue/list", "/queue/list?destination=docomo.test"]),
    ("/queue/preview", &["/queue/preview?verb=hold&destination=docomo.test"]),
    ("/suppression/address", &["/suppression/address?address=gone@softbank.test"]),
    ("/suppression/work/:id", &["/suppression/work/{work}"]),
    ("/suppression/incident/:id", &["/suppression/incident/{incident}"]),
    ("/domains/:name", &["/domains/shop.test", "/domains/news.test"]),
    ("/domains/:name/records", &["/domains/shop.test/records"]),
    ("/domains/:name/keys", &["/domains/shop.test/keys", "/domains/news.test/keys"]),
    ("/domains/:name/diagnose", &["/domains/shop.test/diagnose"]),
    ("/dmarc/:name", &["/dmarc/shop.test", "/dmarc/news.test"]),
    ("/dmarc/:name/sources", &["/dmarc/shop.test/sources"]),
    ("/dmarc/:name/reports", &["/dmarc/shop.test/reports"]),
    ("/dmarc/:name/failures", &["/dmarc/shop.test/failures"]),
    ("/dmarc/record", &["/dmarc/record", "/dmarc/record?domain=shop.test"]),
    ("/dmarc/tls/report", &["/dmarc/tls/report?key={tls}"]),
    ("/users/add", &["/users/add", "/users/add?kind=console"]),
    ("/users/user", &["/users/user?name=shop", "/users/user?name=kenji@shop.test"]),
    ("/owner/:token", &["/owner/{owner}"]),
    ("/sandbox/:id", &["/sandbox/{sandboxed}"]),
    ("/message/:id/mail.eml", &["/message/{waiting}/mail.eml"]),
    ("/message/:id/end", &["/message/{waiting}/end"]),
    ("/webhooks/history", &["/webhooks/history?name=crm", "/webhooks/history?name=billing"]),
    ("/webhooks/replay", &["/webhooks/replay?name=crm&from=1h"]),
    ("/sandbox/:id/text", &["/sandbox/{sandboxed}/text"]),
    ("/sandbox/:id/headers", &["/sandbox/{sandboxed}/headers"]),
    ("/sandbox/:id/source", &["/sandbox/{sandboxed}/source"]),
];

/// What is not ours to look at: a mail's own HTML, its parts, and the whole.
const STRANGERS: &[&str] = &["/sandbox/:id/frame", "/sandbox/:id/part/:n", "/sandbox/:id/mail.eml"];

/// Every page of the scene that is a page: what is to be kept as a file is none.
pub fn all(scene: &Scene) -> Vec<Page> {
    let mut pages = listed(&|text| {
        scene.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    });
    pages.push(Page { name: "nothing".into(), path: "/nothing/here".into(), who: Who::Admin });
    pages.retain(|page| {
        let (relay, session) = scene.relay_of(&page.path);
        let mut browser = Browser::new(relay.http());
        if page.who == Who::Admin {
            browser.set_cookie("hikyaku", session);
        }
        browser.get(&page.path).head.contains("text/html")
    });
    if let Ok(only) = std::env::var("HIKYAKU_PAGE") {
        pages.retain(|page| page.path.contains(&only));
    }
    pages
}

/// The table with its examples; one that still has an open part is left out.
fn listed(fill: &dyn Fn(&str) -> String) -> Vec<Page> {
    let mut pages = Vec::new();
    for place in places().filter(|place| place.verb == Verb::Read && !STRANGERS.contains(&place.path)) {
        let own = [place.path];
        let examples = EXAMPLES.iter().find(|(pattern, _)| *pattern == place.path).map_or(&own[..], |(_, e)| *e);
        for (n, example) in examples.iter().enumerate() {
            assert!(!example.contains("/:"), "{example} needs an example in tests/console/pages.rs");
            let path = fill(example);
            let name = place.path.trim_matches('/').replace(['/', ':'], "-");
            let name = if name.is_empty() { "overview".to_owned() } else { name };
            let who = if place.right == Right::Anyone { Who::Guest } else { Who::Admin };
            pages.push(Page { name: format!("{name}.{n}"), path, who });
        }
    }
    pages.retain(|page| !page.path.contains('{'));
    pages
}

impl Page {
    /// The path in a language.
    pub fn in_language(&self, language: &str) -> String {
        let join = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{join}lang={language}", self.path)
    }
}
