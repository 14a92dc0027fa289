//! What is asked of a full relay: for each page of the console's table its first page, filters that people use, filters that match
//! nothing, parts of something; and the forms whose answer is a page or a count.
//!
//! Always: a page that the table has and nobody asks for here or in `pages.rs` is asked for as it is; an address that still has an
//! open part is a failure.

use hikyaku::http::console::{Right, Verb, places};

use crate::{fill::Filled, pages::EXAMPLES};

/// Who asks, and how long the answer may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A page.
    Page,
    /// A search by a part of something, or one that finds nothing: it shows what it found so far.
    Search,
    /// A file: it begins at once, and lasts as long as it lasts.
    File,
}

/// Something to ask for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The path with its query.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Nobody is signed in.
    pub guest: bool,
}

/// For a pattern of the table: pages, and searches.
const ASKED: &[(&str, &[&str], &[&str])] = &[
    ("/", &["/", "/?range=24h", "/?range=7d"], &[]),
    (
        "/statistics",
        &[
            "/statistics",
            "/statistics?range=7d",
            "/statistics?range=30d",
            "/statistics?range=13m",
            "/statistics?range=7d&user=shop",
            "/statistics?range=13m&user=shop&step=1d",
        ],
        &[],
    ),
    (
        "/find",
        &["/find", "/find?key={recipient}", "/find?key=members-2026-11", "/find?key=%3Ceverybody@shop.test%3E"],
        &[
            "/find?key=member49@members49.test",
            "/find?key=nobody@nowhere.test",
            "/find?key=発送",
            "/find?key=user7&part=1",
            "/find?key=会員の皆様&part=1",
        ],
    ),
    (
        "/message/:id",
        &[
            "/message/{message}",
            "/message/{waiting}",
            "/message/{large}",
            "/message/{large}?recipients-from=40000",
            "/message/{large}?recipient=41",
        ],
        &[],
    ),
    ("/message/:id/end", &["/message/{waiting}/end", "/message/{large}/end", "/message/{large}/end?index=40"], &[]),
    ("/message/:id/mail.eml", &["/message/{waiting}/mail.eml"], &[]),
    (
        "/log/deliveries",
        &[
            "/log/deliveries",
            "/log/deliveries?recipient={recipient}&exact=1",
            "/log/deliveries?api_data=members-2026-11&exact=1",
            "/log/deliveries?message_id=%3Ceverybody@shop.test%3E&exact=1",
            "/log/deliveries?recipient=nobody@nowhere.test&exact=1",
        ],
        &[
            "/log/deliveries?recipient=nobody@nowhere.test",
            "/log/deliveries?recipient=user7",
            "/log/deliveries?user=shop",
            "/log/deliveries?user=nobody",
            "/log/deliveries?subject=発送&status=failed",
            "/log/deliveries?domain=domain4999.test",
            "/log/deliveries?sender=order@shop.test&status=deferred",
        ],
    ),
    (
        "/log/errors",
        &["/log/errors", "/log/errors?recipient={recipient}&exact=1"],
        &["/log/errors?recipient=nobody@nowhere.test", "/log/errors?class=5", "/log/errors?subject=nothing"],
    ),
    (
        "/queue/list",
        &[
            "/queue/list",
            "/queue/list?destination=company77.test",
            "/queue/list?destination=nowhere.test",
            "/queue/list?class=low",
            "/queue/list?id={waiting}",
            "/queue/list?id={large}",
        ],
        &[
            "/queue/list?user=shop",
            "/queue/list?user=nobody",
            "/queue/list?held=1",
            "/queue/list?wait=scheduled",
            "/queue/list?wait=site&class=high&user=members",
            "/queue/list?recipient=info@company2",
            "/queue/list?recipient=nobody@nowhere.test",
            "/queue/list?reply=421",
            "/queue/list?reply=no+such+answer",
            "/queue/list?id={large}&recipient=nobody",
            "/queue/list?id={large}&wait=site",
        ],
    ),
    (
        "/queue/preview",
        &[
            "/queue/preview?verb=flush&all=1",
            "/queue/preview?verb=hold&destination=domain0.test",
            "/queue/preview?verb=drop&id={large}",
            "/queue/preview?verb=pause&destination=domain0.test",
        ],
        &[
            "/queue/preview?verb=flush&user=shop",
            "/queue/preview?verb=fail&reply=421",
            "/queue/preview?verb=release&held=1",
            "/queue/preview?verb=hold&recipient=info@company2",
            "/queue/preview?verb=hold&wait=site&user=members",
        ],
    ),
    (
        "/suppression",
        &["/suppression", "/suppression?key={listed}"],
        &[
            "/suppression?key=nobody@nowhere.test",
            "/suppression?key=domain7",
            "/suppression?cause=complaint",
            "/suppression?class=9&user=shop",
            "/suppression?state=lifted",
            "/suppression?state=exempt",
            "/suppression?from=2020-01-01&to=2020-01-02",
            "/suppression?incident={released}",
            "/suppression?incident={trouble}",
        ],
    ),
    ("/suppression/address", &["/suppression/address?address={listed}", "/suppression/address?address=x@y.test"], &[]),
    ("/suppression/work/:id", &[], &[]),
    (
        "/suppression/incident/:id",
        &[],
        &["/suppression/incident/{held}", "/suppression/incident/{released}", "/suppression/incident/{trouble}"],
    ),
    ("/incidents", &["/incidents", "/incidents?key=domain7.test", "/incidents?key=nothing"], &[]),
    (
        "/unsubscribes",
        &["/unsubscribes"],
        &[
            "/unsubscribes?key=reader00001",
            "/unsubscribes?key=nobody@nowhere.test",
            "/unsubscribes?list=Members",
            "/unsubscribes?from=2020-01-01&to=2020-01-02",
        ],
    ),
    ("/dmarc", &["/dmarc", "/dmarc?days=365", "/dmarc?days=365&all=1"], &[]),
    (
        "/dmarc/:name",
        &["/dmarc/shop.test", "/dmarc/shop.test?days=365", "/dmarc/brand.test?days=365&all=1", "/dmarc/nobody.test"],
        &[],
    ),
    (
        "/dmarc/:name/sources",
        &[
            "/dmarc/shop.test/sources",
            "/dmarc/shop.test/sources?days=365",
            "/dmarc/shop.test/sources?days=365&q=198.0.9",
            "/dmarc/shop.test/sources?days=365&who=known",
        ],
        &[],
    ),
    ("/dmarc/:name/reports", &["/dmarc/shop.test/reports", "/dmarc/shop.test/reports?days=365"], &[]),
    ("/dmarc/:name/failures", &["/dmarc/shop.test/failures", "/dmarc/brand.test/failures?days=365"], &[]),
    (
        "/dmarc/tls",
        &[
            "/dmarc/tls",
            "/dmarc/tls?days=90",
            "/dmarc/tls?domain=news.shop.test&days=90",
            "/dmarc/tls?domain=no.test&days=90",
        ],
        &[],
    ),
    ("/dmarc/tls/report", &["/dmarc/tls/report?key={tls}"], &[]),
    ("/users/user", &["/users/user?name=shop", "/users/user?name=admin@console.test"], &[]),
    ("/users", &["/users", "/users?q=shop", "/users?q=nobody"], &[]),
    ("/owner/:token", &["/owner/{owner}", "/owner/{owner}?range=30d"], &[]),
    (
        "/webhooks/history",
        &["/webhooks/history?name=crm", "/webhooks/history?name=billing", "/webhooks/history?name=billing&failed=1"],
        &[],
    ),
    ("/webhooks/replay", &["/webhooks/replay?name=crm&from=1h", "/webhooks/replay?name=crm&from=30d"], &[]),
    (
        "/audit",
        &["/audit"],
        &["/audit?who=mari", "/audit?who=nobody", "/audit?area=queue", "/audit?text=user62@domain0.test"],
    ),
    ("/audit/logins", &["/audit/logins"], &["/audit/logins?who=nobody", "/audit/logins?text=192.0.2.77"]),
    ("/sandbox", &["/sandbox", "/sandbox?q=mail", "/sandbox?q=nothing"], &[]),
    ("/settings", &["/settings", "/settings?q=retention"], &[]),
    ("/domains", &["/domains", "/domains?q=shop"], &[]),
    ("/domains/:name", &["/domains/shop.test"], &[]),
    ("/domains/:name/records", &["/domains/shop.test/records"], &[]),
    ("/domains/:name/keys", &["/domains/shop.test/keys"], &[]),
    ("/sandbox/:id/frame", &["/sandbox/{sandboxed}/frame"], &[]),
    ("/sandbox/:id/mail.eml", &["/sandbox/{sandboxed}/mail.eml"], &[]),
    ("/sandbox/:id/part/:n", &["/sandbox/{sandboxed}/part/1"], &[]),
    ("/dmarc/record", &["/dmarc/record"], &[]),
];

/// Asks the DNS while it is visited, which takes as long as the DNS does: `/dmarc/record?domain=`.
fn is_file(path: &str) -> bool {
    [".csv", ".eml", "/export"].iter().any(|end| path.ends_with(end)) || path.contains("/part/")
}

/// Everything that is asked for by GET. `names`: what stands in open parts of addresses.
pub fn asks(filled: &Filled, names: &[(&str, &str)]) -> Vec<Ask> {
    let stores = &filled.stores;
    let ours = [
        ("message", filled.message.clone()),
        ("waiting", filled.waiting.clone()),
        ("large", filled.large.clone()),
        ("recipient", filled.recipient.clone()),
        ("held", stores.held.clone()),
        ("released", stores.released.clone()),
        ("trouble", stores.trouble.clone()),
        ("listed", stores.listed.clone()),
        ("tls", stores.tls.replace(' ', "%20")),
    ];
    let whole = |text: &str| {
        let text = ours.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value));
        names.iter().fold(text, |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    };
    let mut all = Vec::new();
    for place in places().filter(|place| place.verb == Verb::Read) {
        let own: &[&str] = &[place.path];
        let examples = EXAMPLES.iter().find(|(pattern, _)| *pattern == place.path).map_or(own, |(_, paths)| *paths);
        let (pages, searches) = ASKED
            .iter()
            .find(|(pattern, ..)| *pattern == place.path)
            .map_or((examples, &[][..]), |(_, pages, searches)| (*pages, *searches));
        let kinds = pages.iter().map(|path| (path, Kind::Page)).chain(searches.iter().map(|path| (path, Kind::Search)));
        for (path, kind) in kinds {
            let path = whole(path);
            assert!(!path.contains("/:") && !path.contains('{'), "{path}: {} needs an example in sizes.rs", place.path);
            let path = encoded(&path);
            let kind = if is_file(place.path) { Kind::File } else { kind };
            all.push(Ask { path, kind, guest: place.right == Right::Anyone });
        }
    }
    all
}

/// Letters beyond ASCII as a browser sends them.
fn encoded(path: &str) -> String {
    path.bytes().map(|b| if b.is_ascii() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
