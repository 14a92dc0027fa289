//! Saved views on a page: those that there are, and the form that keeps what the page shows now.
//!
//! Always: a view is its owner's alone; its link is a link to the page, so that it can do nothing that an address cannot.

use maud::{Markup, html};

use crate::{
    http::{
        console::{
            Answer, Args, Missing, Told, Visit,
            parts::{Field, clean, clip},
        },
        views::{NAME_MAX, NotSaved, QUERY_MAX, VIEWS_MAX, View},
    },
    store::Account,
};

/// The pages that have views: the word, and the path.
const PAGES: [(&str, &str); 3] =
    [("deliveries", "/log/deliveries"), ("errors", "/log/errors"), ("queue", "/queue/list")];

/// The visitor's account.
fn owner(visit: &Visit<'_>) -> Option<Account> {
    visit.seat.as_ref().and_then(|seat| visit.daemon.users().get(&seat.name))
}

/// The views of a page, and the form that saves `query`, the filters that it has now.
///
/// # Errors
/// The store's.
pub fn chosen(visit: &Visit<'_>, page: &str, path: &str, query: &str) -> Result<Markup, Missing> {
    let views = match owner(visit) {
        Some(account) => visit.daemon.views().of(&account, page)?,
        None => Vec::new(),
    };
    let is_new = !query.is_empty() && views.iter().all(|view| view.query != query);
    Ok(html! {
        @if !views.is_empty() || is_new {
            div class="views" {
                @if !views.is_empty() {
                    nav aria-label=(visit.say("Saved views", "保存した条件")) {
                        ul { @for view in &views { (item(visit, view, path, query)) } }
                    }
                }
                @if is_new { (save_form(visit, page, query)) }
                @if !views.is_empty() { (manage(visit, page, &views)) }
            }
        }
    })
}

fn item(visit: &Visit<'_>, view: &View, path: &str, query: &str) -> Markup {
    let href = visit.href(&format!("{path}?{}", view.query));
    html! { li { a href=(href) aria-current=[(view.query == query).then_some("true")] { (clean(&clip(&view.name, NAME_MAX))) } } }
}

fn save_form(visit: &Visit<'_>, page: &str, query: &str) -> Markup {
    let name = Field {
        name: "name",
        label: visit.say("Name of the view", "条件の名前"),
        max: 60,
        required: true,
        ..Field::default()
    };
    let content = html! {
        input type="hidden" name="page" value=(page);
        input type="hidden" name="query" value=(query);
        (name.show())
        button class="plain" { (visit.say("Save", "保存")) }
    };
    html! {
        details {
            summary { (visit.say("Save these filters as a view", "この条件を保存")) }
            (visit.post("/views/save", "row-form", &content))
        }
    }
}

fn manage(visit: &Visit<'_>, page: &str, views: &[View]) -> Markup {
    html! {
        details {
            summary { (visit.say("Remove a view", "保存した条件を削除")) }
            ul class="plain-list" {
                @for view in views {
                    li {
                        (clean(&clip(&view.name, NAME_MAX))) " "
                        (visit.button("/views/forget", "quiet", &[("page", page), ("name", &view.name)], visit.say("Remove", "削除")))
                    }
                }
            }
        }
    }
}

/// The page that a form names.
fn page_of<'v>(visit: &'v Visit<'_>) -> Result<(&'v str, &'static str), Missing> {
    let page = visit.form.text("page");
    PAGES.iter().find(|(word, _)| *word == page).map(|(_, path)| (page, *path)).ok_or(Missing::Nothing)
}

/// Saves what the form has.
///
/// # Errors
/// There is no such page, or the store's.
pub fn save(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let (page, path) = page_of(visit)?;
    let (name, query) = (visit.form.text("name"), visit.form.text("query"));
    let to = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let Some(account) = owner(visit) else { return Err(Missing::Nothing) };
    if !query.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'"' | b'<' | b'>' | b'\\')) {
        return visit
            .refuse(400, visit.say("These are no filters of this page.", "この画面の検索条件ではありません。"));
    }
    let accounts = visit.daemon.accounts()?;
    match visit.daemon.views().save(&account, &accounts, page, name, query, visit.now) {
        Ok(()) => visit.done(&to, &Told::good(visit.say("The view is saved.", "条件を保存しました。"))),
        Err(NotSaved::Store(error)) => Err(error.into()),
        Err(why) => {
            let words = match why {
                NotSaved::Name => {
                    visit.lang.say("A name is one line of 1 to 60 letters.", "名前は1〜60文字の1行で入力してください。")
                }
                NotSaved::Query => {
                    visit.lang.say("These filters are too long to be saved.", "条件が長すぎるため保存できません。")
                }
                NotSaved::TooMany | NotSaved::Store(_) => visit.lang.say(
                    "You have 50 views already: remove one first.",
                    "保存できる条件は50件までです。先に1件削除してください。",
                ),
            };
            visit.done(if query.len() > QUERY_MAX { path } else { &to }, &Told::bad(words))
        }
    }
}

/// Forgets the view that the form names.
///
/// # Errors
/// There is no such page, or the store's.
pub fn forget(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let (page, path) = page_of(visit)?;
    let Some(account) = owner(visit) else { return Err(Missing::Nothing) };
    visit.daemon.views().forget(&account, page, visit.form.text("name"))?;
    visit.done(path, &Told::good(visit.say("The view is removed.", "保存した条件を削除しました。")))
}

/// The words above say how many a person keeps.
const _: () = assert!(VIEWS_MAX == 50 && NAME_MAX == 60);
