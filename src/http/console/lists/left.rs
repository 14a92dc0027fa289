//! Who left which list: searched, added, written to again, downloaded.
//!
//! Always: a search ends after [`WITHIN`] and goes on by a link; an act on ticked entries is shown by name before it is done; a
//! file is in CMC's form.
//! Sources: cmc.md §8, §12.6.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use maud::{Markup, html};
use smol::future::block_on;

use super::{
    address::takes_effect,
    address_field, back_to, day_field, filters_in_words, here, left_by_person,
    list::day,
    words::{counted, how},
};
use crate::{
    http::{
        console::{
            Answer, Args, Missing, Right, Section, Told, Visit,
            logs::csv,
            parts::{self, clean, clip, foreign, text_area, tick_all, tick_row},
        },
        exchange::percent_encode,
    },
    smtp::address::Mailbox,
    store::Page,
    unsubscribe::{
        list::{CANCEL_MAX, COLUMNS, Entry, Leaver, Query},
        row::How,
    },
};

/// The list's own path.
const FRONT: &str = "/unsubscribes";
/// Rows of a page.
const ROWS: usize = 50;
/// How long a page looks for its rows …
const WITHIN: Duration = Duration::from_millis(100);
/// … and how long for how many there are.
const COUNT_WITHIN: Duration = Duration::from_millis(20);
/// Letters of a list's name at most (cmc.md §12.6).
const NAME_MAX: usize = 50;
/// Addresses that one form adds.
const ADDRESSES_MAX: usize = 200;
/// What parts the address from the list where both are one value of a form.
const MARK: char = '\n';

fn query_of(visit: &Visit<'_>) -> Result<Query, Missing> {
    Ok(Query {
        address: visit.request.param("key").trim().to_owned(),
        list: visit.request.param("list").trim().to_owned(),
        from: day(visit, "from")?.map(|(start, _)| start),
        to: day(visit, "to")?.map(|(_, end)| end),
    })
}

/// `/unsubscribes`.
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let (query, list) = (query_of(visit)?, visit.daemon.unsubscribes());
    let cursor = Some(visit.request.param("cursor")).filter(|cursor| !cursor.is_empty()).map(str::to_owned);
    let is_first = cursor.is_none();
    let found = match list.page(&query, &Page { rows_max: ROWS, cursor, within: Some(WITHIN), ..Page::default() }) {
        // Somebody changed the address of the page.
        Err(crate::store::StoreError::Refused(_)) => return Err(Missing::Nothing),
        found => found?,
    };
    let size = match found.next {
        None if is_first => counted(visit.lang, found.entries.len() as u64, "1 entry", "{} entries", "{} 件"),
        _ => {
            let (rows, is_whole) = list.count(&query, Some(COUNT_WITHIN))?;
            let (one, many, ja) = match (is_whole, rows) {
                (true, _) => ("1 entry", "{} entries", "{} 件"),
                (false, 0) => ("", "", ""),
                (false, _) => ("more than 1 entry", "more than {} entries", "{} 件以上"),
            };
            counted(visit.lang, rows, one, many, ja)
        }
    };
    let title = visit.say("Unsubscribes", "配信解除");
    let content = html! {
        (parts::heading(title, visit.say(
            "Who left a list gets no mail of that list any more; other mail goes there as ever.",
            "配信解除した宛先には、そのリストのメールを送信しません。ほかのメールは通常どおり送信します。",
        )))
        (filters(visit, &query))
        section {
            h2 {
                (visit.say("Left a list", "配信解除した宛先")) small { (size) }
                span class="more" {
                    @if visit.may(Right::Act) { a href=(visit.href("/unsubscribes/add")) { (visit.say("Add", "追加")) } }
                    @if visit.may(Right::Download) {
                        " · " a href=(export_link(visit)) { (visit.say("Download CSV", "CSVダウンロード")) }
                    }
                }
            }
            @if found.entries.is_empty() {
                (nothing(visit, &query, found.next.is_some(), is_first))
            } @else { (table(visit, &found.entries)) }
            (parts::pager(visit, found.next.as_deref(), None))
        }
    };
    visit.page(Section::Unsubscribes, title, &content)
}

fn filters(visit: &Visit<'_>, query: &Query) -> Markup {
    let fields = html! {
        div class="fields" {
            (address_field(visit, &query.address))
            (list_field(visit, &query.list, visit.say("any", "すべて")))
            (day_field(visit, "from", visit.say("Left since this day", "解除日（開始）")))
            (day_field(visit, "to", visit.say("to this day", "解除日（終了）")))
        }
        div class="actions" {
            button { (visit.say("Search", "検索")) }
            @if *query != Query::default() { a class="button plain" href=(visit.href("/unsubscribes")) { (visit.say("Clear", "条件をクリア")) } }
        }
    };
    html! { section { (visit.ask("/unsubscribes", "filters", &fields)) } }
}

/// A list by its name: those of the config are offered, any other can be written.
fn list_field(visit: &Visit<'_>, value: &str, placeholder: &str) -> Markup {
    let names: BTreeSet<String> = visit.daemon.unsubscribes().lists().into_iter().collect();
    html! {
        label class="field" {
            span { (visit.say("List (the whole name)", "リスト（完全一致）")) }
            input type="text" name="list" value=(value) maxlength=(NAME_MAX) list="lists" autocomplete="off" placeholder=(placeholder);
            datalist id="lists" { @for name in &names { option value=(name) {} } }
        }
    }
}

fn export_link(visit: &Visit<'_>) -> String {
    let mut pairs: Vec<String> = Vec::new();
    for name in ["key", "list", "from", "to"] {
        let value = visit.request.param(name);
        if !value.is_empty() {
            pairs.push(format!("{name}={}", percent_encode(value)));
        }
    }
    visit.href(&format!("/unsubscribes/export?{}", pairs.join("&")))
}

fn nothing(visit: &Visit<'_>, query: &Query, goes_on: bool, is_first: bool) -> Markup {
    if goes_on {
        let words = visit
            .say("Nothing yet among the entries looked through so far.", "ここまでの範囲には見つかりませんでした。");
        return parts::empty(words, visit.say("Go on below.", "下の「続きを見る」で検索を続けます。"));
    }
    if !is_first {
        return parts::empty(visit.say("Nothing more.", "これ以上はありません。"), "");
    }
    if *query != Query::default() {
        return parts::empty(
            visit.say("No entry matches.", "該当する宛先はありません。"),
            visit.say(
                "Take a filter away; a list is searched by its whole name.",
                "条件を減らしてください。リスト名は完全一致で検索します。",
            ),
        );
    }
    let words = visit.say("Nobody left a list.", "配信解除した宛先はありません。");
    let next = match visit.daemon.unsubscribes().lists().is_empty() {
        true => visit.say(
            "No list is configured: [[unsubscribe.filter]] in the config file says which mail gets a one-click link.",
            "リストが設定されていません。設定ファイルの [[unsubscribe.filter]] で、ワンクリック配信解除を付けるメールを指定します。",
        ),
        false => visit.say("Whoever follows the link in a mail comes here by itself.", "メールの配信解除リンクを使った宛先は自動でここに入ります。"),
    };
    parts::empty(words, next)
}

fn table(visit: &Visit<'_>, entries: &[Entry]) -> Markup {
    let can_act = visit.may(Right::Act);
    let body = html! {
        @if can_act { (here(visit)) }
        table class=(if can_act { "stack ticks" } else { "stack" }) {
            thead {
                tr {
                    @if can_act { th class="tick-cell" { (tick_all(visit, "row")) } }
                    th { (visit.say("Address", "宛先")) }
                    th { (visit.say("List", "リスト")) }
                    th { (visit.say("When", "解除日時")) }
                    th { (visit.say("How", "方法")) }
                }
            }
            tbody {
                @for entry in entries {
                    @let link = visit.href(&format!("/suppression/address?address={}", percent_encode(&entry.address)));
                    tr {
                        @if can_act { td class="tick-cell" { (tick_row("row", &token_of(&entry.address, &entry.row.list), &entry.address)) } }
                        td class="strong destination" { a href=(link) { (foreign(&entry.address, 120)) } }
                        td class="wide" data-label=(visit.say("List", "リスト")) { (foreign(&entry.row.list, 80)) }
                        td class="nowrap" { (visit.when(entry.row.created())) (takes_effect(visit, &entry.row)) }
                        td class="wide" { (how(visit.lang, entry.row.how)) }
                    }
                }
            }
        }
        @if can_act {
            div class="actions" { button class="plain" { (visit.say("Write to those ticked again …", "選択した宛先の配信を再開…")) } }
        }
    };
    if can_act { visit.post("/unsubscribes/act", "", &body) } else { body }
}

/// An entry as one value of a form.
fn token_of(address: &str, list: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{address}{MARK}{list}"))
}

fn of_token(token: &str) -> Option<(String, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (address, list) = text.split_once(MARK)?;
    Some((address.to_owned(), list.to_owned()))
}

/// `/unsubscribes/act`: the ticked entries, first shown, then done.
pub(super) fn act(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let tokens: Vec<&str> = visit.form.all("row").collect();
    let whose: Vec<(String, String)> = tokens.iter().filter_map(|token| of_token(token)).collect();
    if whose.is_empty() {
        let words = visit.say("Tick the entries first.", "先に宛先を選択してください。");
        return visit.done(&back_to(visit, FRONT), &Told::bad(words));
    }
    if whose.len() > CANCEL_MAX || whose.len() < tokens.len() {
        return visit.refuse(400, visit.say("That is no list of entries.", "宛先の指定が正しくありません。"));
    }
    if visit.form.flag("sure") {
        let gone = block_on(visit.daemon.unsubscribes().cancel_each(&whose, &left_by_person(visit)))? as u64;
        let words = counted(
            visit.lang,
            gone,
            "1 entry is gone: that address is written to again.",
            "{} entries are gone: those addresses are written to again.",
            "{} 件の配信解除を取り消しました。配信を再開します。",
        );
        return visit.done(&back_to(visit, FRONT), &Told::good(words));
    }
    let title = counted(
        visit.lang,
        whose.len() as u64,
        "Write to 1 address again?",
        "Write to {} addresses again?",
        "{} 件の配信を再開しますか？",
    );
    let fields = html! {
        input type="hidden" name="sure" value="1";
        input type="hidden" name="back" value=(back_to(visit, FRONT));
        @for (address, list) in &whose { input type="hidden" name="row" value=(token_of(address, list)); }
        div class="actions" {
            button class="danger" { (visit.say("Do it", "実行する")) }
            a class="button plain" href=(visit.href(&back_to(visit, FRONT))) { (visit.say("Cancel", "キャンセル")) }
        }
    };
    let content = html! {
        (parts::heading(&title, visit.say(
            "They left by their own will: write to them again only if they asked for it.",
            "本人の意思による配信解除です。本人の依頼がある場合のみ再開してください。",
        )))
        section {
            ul class="notes" { @for (address, list) in &whose { li { (foreign(address, 120)) " · " (foreign(list, 80)) } } }
            (visit.post("/unsubscribes/act", "", &fields))
        }
    };
    visit.page(Section::Unsubscribes, &title, &content)
}

/// `/unsubscribes/add`.
pub(super) fn add_page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    add_form(visit, "")
}

fn add_form(visit: &Visit<'_>, trouble: &str) -> Answer {
    let title = visit.say("Somebody left a list", "配信解除の追加");
    let fields = html! {
        @if !trouble.is_empty() { p class="note bad" role="alert" { (trouble) } }
        div class="fields" {
            (text_area("addresses", visit.say("Addresses, one a line", "宛先（1行に1件）"), visit.form.text("addresses"), 6, visit.say("At most 200.", "最大200件。")))
            (list_field(visit, visit.form.text("list"), ""))
        }
        div class="actions" {
            button { (visit.say("Send them no mail of this list", "追加する")) }
            a class="button plain" href=(visit.href("/unsubscribes")) { (visit.say("Cancel", "キャンセル")) }
        }
    };
    let content = html! {
        (parts::heading(title, visit.say(
            "For people who asked by phone or mail. It takes effect at once.",
            "電話やメールで依頼を受けた場合に使います。すぐに反映されます。",
        )))
        section { (visit.post("/unsubscribes/add", "", &fields)) }
    };
    visit.page(Section::Unsubscribes, title, &content)
}

/// `/unsubscribes/add`: every line, or none.
pub(super) fn add(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let (text, list) = (visit.form.text("addresses"), visit.form.text("list"));
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return add_form(visit, visit.say("Write at least one address.", "宛先を入力してください。"));
    }
    if lines.len() > ADDRESSES_MAX {
        return add_form(visit, visit.say("These are more than 200.", "200件を超えています。"));
    }
    if list.is_empty() || list.chars().count() > NAME_MAX || list.chars().any(char::is_control) {
        return add_form(
            visit,
            visit.say("Name the list, with 50 letters at most.", "リスト名を50文字以内で入力してください。"),
        );
    }
    let mut leavers = Vec::with_capacity(lines.len());
    for line in &lines {
        let Ok(address) = Mailbox::parse(line) else {
            let bad = clean(&clip(line, 120));
            let words = match visit.lang.japanese {
                true => format!("「{bad}」はメールアドレスではありません。追加は行いませんでした。"),
                false => format!("\u{201c}{bad}\u{201d} is no mail address. Nothing was added."),
            };
            return add_form(visit, &words);
        };
        leavers.push(Leaver { address, list: list.to_owned(), created: None });
    }
    let added = block_on(visit.daemon.unsubscribes().add_many(&leavers, How::Manual, &left_by_person(visit)))? as u64;
    let known = lines.len() as u64 - added.min(lines.len() as u64);
    let mut words = counted(
        visit.lang,
        added,
        "1 address gets no mail of this list any more.",
        "{} addresses get no mail of this list any more.",
        "{} 件を配信解除として登録しました。",
    );
    if known > 0 {
        words +=
            &counted(visit.lang, known, " 1 had left already.", " {} had left already.", "{} 件はすでに解除済みです。");
    }
    visit.done("/unsubscribes", &Told::good(words))
}

/// `/unsubscribes/export`: what the filters find, in CMC's columns.
pub(super) fn export(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let query = query_of(visit)?;
    let (list, zone) = (visit.daemon.unsubscribes().clone(), visit.about.zone.clone());
    let read = move |page: &Page| {
        let found = list.page(&query, page)?;
        let row = |entry: &Entry| vec![zone.full(entry.row.created()), entry.address.clone(), entry.row.list.clone()];
        Ok((found.entries.iter().map(row).collect(), found.next))
    };
    csv(visit, "unsubscribes", &filters_in_words(visit), COLUMNS.to_vec(), Box::new(read))
}
