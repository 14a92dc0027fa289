//! Who is not written to: the suppression list, the destinations whose errors are held, the conditions, and who left a list.
//!
//! In: visits.  Out: pages; acts on addresses and incidents.
//! Always: an act names what it changes and shows how many before it is done; a look that takes longer than a page may is a work
//! of [`crate::suppress::works`].
//! Sources: cmc.md §6, §8, §12.4, §12.6; PRODUCT.md R4, R7.

mod add;
mod address;
mod days;
mod held;
mod import;
mod left;
mod list;
mod overview;
#[cfg(test)]
mod tests;
mod troubles;
mod try_out;
mod words;
mod work;

use maud::{Markup, html};

pub(super) use held::past;
pub(super) use overview::section;

use crate::{
    http::console::{
        Place, Right, Visit,
        parts::{self, Field},
    },
    store::AuditEntry,
    suppress::acts::Actor,
    unsubscribe::list::Actor as LeftActor,
};

/// Octets of a search that an act goes back to, and letters of it in the operation log.
const BACK_MAX: usize = 1_000;

pub(super) const PLACES: &[Place] = &[
    Place::read("/suppression", Right::View, list::page),
    Place::act("/suppression/act", Right::Act, list::act),
    Place::read("/suppression/export", Right::Download, list::export),
    Place::read("/suppression/address", Right::View, address::page),
    Place::act("/suppression/address", Right::Act, address::act),
    Place::read("/suppression/add", Right::Act, add::page),
    Place::act("/suppression/add", Right::Act, add::act),
    Place::read("/suppression/import", Right::Act, import::page),
    Place::act("/suppression/import", Right::Act, import::check),
    Place::act("/suppression/import/go", Right::Act, import::go),
    Place::read("/suppression/try", Right::View, try_out::page),
    Place::act("/suppression/try", Right::View, try_out::act),
    Place::read("/suppression/work/:id", Right::View, work::page),
    Place::act("/suppression/work/:id/stop", Right::View, work::stop),
    Place::read("/suppression/held", Right::View, held::list),
    Place::read("/suppression/incident/:id", Right::View, held::page),
    Place::act("/suppression/incident/:id/:verb", Right::Act, held::act),
    Place::read("/incidents", Right::View, troubles::page),
    Place::read("/unsubscribes", Right::View, left::page),
    Place::act("/unsubscribes/act", Right::Act, left::act),
    Place::read("/unsubscribes/add", Right::Act, left::add_page),
    Place::act("/unsubscribes/add", Right::Act, left::add),
    Place::read("/unsubscribes/export", Right::Download, left::export),
];

/// The pages of the suppression section; `shown`: the path of this one, empty for one that is none of them.
fn tabs(visit: &Visit<'_>, shown: &str) -> Markup {
    let mut all = vec![
        ("/suppression", visit.say("The list", "停止リスト")),
        ("/suppression/held", visit.say("Held destinations", "保留中の宛先ドメイン")),
        ("/incidents", visit.say("Refusals", "宛先ドメイン別の拒否")),
        ("/suppression/try", visit.say("Conditions", "条件と試算")),
    ];
    if visit.may(Right::Act) {
        all.push(("/suppression/import", visit.say("Import", "取り込み")));
    }
    let all: Vec<(&str, &str, bool)> = all.into_iter().map(|(path, name)| (path, name, path == shown)).collect();
    parts::tabs(visit, visit.say("Suppression", "配信停止"), &all)
}

/// A form's memory of the page that it stands on, so that an act comes back to the same search.
fn here(visit: &Visit<'_>) -> Markup {
    html! { input type="hidden" name="back" value=(visit.link_with(&[("lang", ""), ("cursor", "")])); }
}

/// Where an act goes back to: the search that its form stood on, where that is one of `front`; else `front`.
fn back_to(visit: &Visit<'_>, front: &'static str) -> String {
    let back = visit.form.text("back");
    let search = back.strip_prefix(front).filter(|rest| rest.starts_with('?') && back.len() <= BACK_MAX);
    let is_plain = |rest: &str| rest.bytes().all(|b| b.is_ascii_graphic());
    search.filter(|rest| is_plain(rest)).map_or_else(|| front.to_owned(), |_| back.to_owned())
}

/// The filters of a request, for the operation log.
fn filters_in_words(visit: &Visit<'_>) -> String {
    let pairs = visit.request.query.iter().filter(|(name, value)| name != "lang" && !value.is_empty());
    let typed = AuditEntry::typed;
    let words = pairs.map(|(name, value)| format!("{}={}", typed(name), typed(value))).collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control()).take(BACK_MAX).collect()
}

/// The visitor, for acts on the suppression list.
fn by_person(visit: &Visit<'_>) -> Actor {
    Actor { who: visit.who(), from: visit.from() }
}

/// The same for acts on the lists that people left.
fn left_by_person(visit: &Visit<'_>) -> LeftActor {
    LeftActor { who: visit.who(), from: visit.from() }
}

/// The field of an address, or a part of one, that both lists are searched by.
fn address_field(visit: &Visit<'_>, value: &str) -> Markup {
    Field {
        name: "key",
        label: visit.say("Address, or part of it", "宛先（部分一致）"),
        value,
        kind: "search",
        max: 320,
        ..Field::default()
    }
    .show()
}

/// A day that a search begins or ends with.
fn day_field(visit: &Visit<'_>, name: &str, label: &str) -> Markup {
    Field { name, label, value: visit.request.param(name), kind: "date", ..Field::default() }.show()
}
