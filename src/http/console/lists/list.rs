//! The suppression list: searched, filtered, ticked, downloaded.
//!
//! Always: a search ends after [`WITHIN`] and goes on by a link; an act on ticked addresses is shown by name before it is done.
//! Sources: cmc.md §6, §12.4; R4, R7.

use std::time::Duration;

use maud::{Markup, html};
use smol::future::block_on;

use super::{
    address_field, back_to, by_person, day_field, filters_in_words, here, tabs,
    words::{cause, class, counted, lifted_by},
};
use crate::{
    event::ErrorClass,
    http::{
        console::{
            Answer, Args, Missing, Right, Section, Told, Visit,
            logs::csv,
            parts::{self, foreign, number, pill, select, tick_all, tick_row},
        },
        exchange::percent_encode,
        rows_lists::{SUPPRESSION_COLUMNS, SuppressionOut},
    },
    records::Block,
    smtp::address::Mailbox,
    store::{AccountKind, Page},
    suppress::{
        list::{ListQuery, Listed, of_token, token_of},
        many::{MANY_MAX, Whose},
        row::Cause,
    },
    unsubscribe::list::Query,
};

/// The list's own path.
const FRONT: &str = "/suppression";
/// Rows of a page.
const ROWS: usize = 50;
/// How long a page looks for its rows …
const WITHIN: Duration = Duration::from_millis(85);
/// … where a whole address is asked for, which is found by its name: others that have it within theirs are few …
const WITHIN_WHOLE: Duration = Duration::from_millis(30);
/// … and how long for how many there are.
const COUNT_WITHIN: Duration = Duration::from_millis(20);
/// Addresses that are named before an act on them.
const NAMED_MAX: usize = 200;
/// Where a download turns from the list to the exempt addresses: no cursor of the list's.
const EXEMPT_TURN: &str = "exempt";
/// Classes that an address can be on the list for.
const CLASSES: [ErrorClass; 9] = [
    ErrorClass::UnknownHost,
    ErrorClass::UnknownUser,
    ErrorClass::BadAddress,
    ErrorClass::OverCapacity,
    ErrorClass::ResendTimeout,
    ErrorClass::Rejected,
    ErrorClass::ReceivingServerError,
    ErrorClass::TooLarge,
    ErrorClass::Other,
];
/// What the list of users says for rows that are for everybody's mail.
const EVERYBODY: &str = "-";

/// What the filters ask for.
pub(super) fn query_of(visit: &Visit<'_>) -> Result<ListQuery, Missing> {
    let request = visit.request;
    let state = request.param("state");
    let class = request.param("class").parse().ok().and_then(ErrorClass::from_code);
    let user = match request.param("user") {
        "" => None,
        EVERYBODY => Some(String::new()),
        name => Some(name.to_owned()),
    };
    Ok(ListQuery {
        part: request.param("key").trim().to_owned(),
        from: day(visit, "from")?.map(|(start, _)| start),
        to: day(visit, "to")?.map(|(_, end)| end),
        removed: state == "lifted",
        exempt: state == "exempt",
        cause: Cause::from_word(request.param("cause")),
        class,
        user,
        incident: request.param("incident").to_owned(),
    })
}

/// Beginning and end of a day in the visitor's zone.
pub(super) fn day(
    visit: &Visit<'_>,
    name: &str,
) -> Result<Option<(crate::clock::Timestamp, crate::clock::Timestamp)>, Missing> {
    let text = visit.request.param(name).trim();
    if text.is_empty() {
        return Ok(None);
    }
    match visit.about.zone.span_of(text).filter(|_| text.len() == 10) {
        Some(span) => Ok(Some(span)),
        None => visit.refuse(
            400,
            visit.say(
                "A day is written 2026-11-24. Go back and write it so.",
                "日付は 2026-11-24 の形で入力してください。",
            ),
        ),
    }
}

fn is_narrowed(query: &ListQuery) -> bool {
    *query != ListQuery { removed: query.removed, exempt: query.exempt, ..ListQuery::default() }
}

/// `/suppression`.
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let query = query_of(visit)?;
    let list = visit.daemon.suppressions();
    let cursor = Some(visit.request.param("cursor")).filter(|cursor| !cursor.is_empty()).map(str::to_owned);
    let is_first = cursor.is_none();
    let address = Mailbox::parse(&query.part).ok();
    let within = if address.is_some() { WITHIN_WHOLE } else { WITHIN };
    let page = Page { rows_max: ROWS, cursor, within: Some(within), ..Page::default() };
    let found = list.list(&query, &page)?;
    let size = match found.next {
        None if is_first => counted(visit.lang, found.rows.len() as u64, "1 address", "{} addresses", "{} 件"),
        _ => {
            let count = list.count(&query, Some(COUNT_WITHIN))?;
            let (one, many, ja) = match (count.is_whole, count.rows) {
                (true, _) => ("1 address", "{} addresses", "{} 件"),
                (false, 0) => ("", "", ""),
                (false, _) => ("more than 1 address", "more than {} addresses", "{} 件以上"),
            };
            counted(visit.lang, count.rows, one, many, ja)
        }
    };
    let title = visit.say("Suppressed addresses", "配信停止中の宛先");
    let lead = match visit.daemon.suppression().reject_on_submit {
        true => visit.say(
            "Mail to these addresses is not sent: the recipient is refused (550) when it is submitted.",
            "これらの宛先へのメールは送信しません。受付時に宛先を拒否します（550）。",
        ),
        false => visit.say(
            "Mail to these addresses is not sent: it is taken, and fails at once with the reason.",
            "これらの宛先へのメールは送信しません。受け付けた直後に、理由とともに失敗とします。",
        ),
    };
    let content = html! {
        (parts::heading(title, lead))
        (tabs(visit, "/suppression"))
        (filters(visit, &query))
        @if let Some(address) = &address { (one_address(visit, address)?) }
        @if is_first && !query.part.is_empty() { (left_as_well(visit, &query.part)?) }
        section {
            h2 { (state_words(visit, &query)) small { (size) } (more_links(visit)) }
            @if found.rows.is_empty() {
                (nothing(visit, &query, found.next.is_some(), is_first))
            } @else {
                (table(visit, &query, &found.rows))
            }
            (parts::pager(visit, found.next.as_deref(), None))
        }
    };
    visit.page(Section::Suppression, title, &content)
}

fn state_words(visit: &Visit<'_>, query: &ListQuery) -> &'static str {
    match (query.removed, query.exempt) {
        (true, _) => visit.say("Came off the list lately", "最近解除された宛先"),
        (false, true) => visit.say("Exempt", "停止対象から除外した宛先"),
        (false, false) => visit.say("On the list", "停止中"),
    }
}

fn more_links(visit: &Visit<'_>) -> Markup {
    html! {
        span class="more" {
            @if visit.may(Right::Act) {
                a href=(visit.href("/suppression/add")) { (visit.say("Add", "追加")) } " · "
                a href=(visit.href("/suppression/import")) { (visit.say("Import", "取り込み")) }
            }
            @if visit.may(Right::Download) {
                " · "
                a href=(export_link(visit, "")) { (visit.say("Download CSV", "CSVダウンロード")) }
                " · "
                a href=(export_link(visit, "cmc")) { (visit.say("in CMC's form", "CMC形式")) }
            }
        }
    }
}

/// The same filters, as a file.
fn export_link(visit: &Visit<'_>, form: &str) -> String {
    let mut pairs: Vec<String> = Vec::new();
    for name in ["key", "cause", "class", "user", "state", "from", "to", "incident"] {
        let value = visit.request.param(name);
        if !value.is_empty() {
            pairs.push(format!("{name}={}", percent_encode(value)));
        }
    }
    if !form.is_empty() {
        pairs.push(format!("form={form}"));
    }
    visit.href(&format!("/suppression/export?{}", pairs.join("&")))
}

/// A whole address was searched: what is true of it.
fn one_address(visit: &Visit<'_>, address: &Mailbox) -> Result<Markup, Missing> {
    let is_on = visit.daemon.suppressions().dossier(address)?.is_on();
    let link = visit.href(&format!("/suppression/address?address={}", percent_encode(address.as_str())));
    Ok(html! {
        p class=(if is_on { "note bad" } else { "note good" }) {
            (foreign(address.as_str(), 120)) " "
            @if is_on { (visit.say("is on the list.", "は配信停止中です。")) }
            @else { (visit.say("is not on the list: it is written to.", "は配信停止中ではありません。通常どおり送信します。")) }
            " " a href=(link) { (visit.say("All about this address", "この宛先の詳細")) " →" }
        }
    })
}

/// Who left a list is kept elsewhere: a search here says when there are such.
fn left_as_well(visit: &Visit<'_>, part: &str) -> Result<Markup, Missing> {
    let asked = Query { address: part.to_owned(), ..Query::default() };
    let page = Page { rows_max: 1, within: Some(COUNT_WITHIN), ..Page::default() };
    let has_some = !visit.daemon.unsubscribes().page(&asked, &page)?.entries.is_empty();
    Ok(html! {
        @if has_some {
            p class="note" {
                (visit.say("Such an address left a list: mail of that list is not sent there. ", "該当する宛先に配信解除があります。そのリストのメールは送信しません。"))
                a href=(visit.href(&format!("/unsubscribes?key={}", percent_encode(part)))) { (visit.say("Unsubscribes", "配信解除を見る")) " →" }
            }
        }
    })
}

fn filters(visit: &Visit<'_>, query: &ListQuery) -> Markup {
    let request = visit.request;
    let mut causes = vec![("", visit.say("any", "すべて"))];
    causes.extend(Cause::ALL.map(|c| (c.word(), cause(visit.lang, c))));
    let codes = CLASSES.map(|c| c.code().to_string());
    let mut classes = vec![("", visit.say("any", "すべて"))];
    classes.extend(codes.iter().zip(CLASSES).map(|(code, c)| (code.as_str(), class(visit.lang, c))));
    let names = api_users(visit);
    let mut users =
        vec![("", visit.say("anybody's mail", "すべて")), (EVERYBODY, visit.say("for everybody", "全ユーザー共通"))];
    users.extend(names.iter().map(|name| (name.as_str(), name.as_str())));
    let states = [
        ("", visit.say("on the list", "停止中")),
        ("lifted", visit.say("came off it lately", "最近の解除")),
        ("exempt", visit.say("exempt", "停止対象から除外")),
    ];
    let fields = html! {
        div class="fields" {
            (address_field(visit, &query.part))
            (select("state", visit.say("Which", "対象"), &states, request.param("state")))
            (select("cause", visit.say("Why", "理由"), &causes, request.param("cause")))
            (select("class", visit.say("Error class", "エラー分類"), &classes, request.param("class")))
            @if !names.is_empty() { (select("user", visit.say("For whose mail", "APIユーザー"), &users, request.param("user"))) }
            (day_field(visit, "from", visit.say("Since this day", "停止日（開始）")))
            (day_field(visit, "to", visit.say("to this day", "停止日（終了）")))
        }
        @if !query.incident.is_empty() { input type="hidden" name="incident" value=(query.incident); }
        div class="actions" {
            button { (visit.say("Search", "検索")) }
            @if is_narrowed(query) || query.removed || query.exempt {
                a class="button plain" href=(visit.href("/suppression")) { (visit.say("Clear", "条件をクリア")) }
            }
        }
    };
    html! { section { (visit.ask("/suppression", "filters", &fields)) } }
}

/// API users by name.
pub(super) fn api_users(visit: &Visit<'_>) -> Vec<String> {
    let all = visit.daemon.users().list();
    all.into_iter().filter(|account| account.kind == AccountKind::Api).map(|account| account.name).collect()
}

fn nothing(visit: &Visit<'_>, query: &ListQuery, goes_on: bool, is_first: bool) -> Markup {
    if goes_on {
        let words = visit
            .say("Nothing yet among the addresses looked through so far.", "ここまでの範囲には見つかりませんでした。");
        return parts::empty(words, visit.say("Go on below.", "下の「続きを見る」で検索を続けます。"));
    }
    if !is_first {
        return parts::empty(visit.say("Nothing more.", "これ以上はありません。"), "");
    }
    match (is_narrowed(query), query.removed, query.exempt) {
        (true, _, _) => parts::empty(
            visit.say("No address matches.", "該当する宛先はありません。"),
            visit.say("Take a filter away, or look up the whole address.", "条件を減らすか、アドレス全体で検索してください。"),
        ),
        (false, true, _) => parts::empty(
            visit.say("No address came off the list lately.", "最近解除された宛先はありません。"),
            "",
        ),
        (false, _, true) => parts::empty(
            visit.say("No address is exempt.", "停止対象から除外した宛先はありません。"),
            visit.say(
                "To exempt one, look it up and choose \u{201c}never suppress for errors\u{201d}.",
                "除外するには、宛先を検索して「エラーで停止しない」を選びます。",
            ),
        ),
        (false, false, false) => parts::empty(
            visit.say("No address is suppressed.", "停止中の宛先はありません。"),
            visit.say(
                "Addresses come here by themselves when their errors reach a threshold; you can also add or import some.",
                "エラーが条件に達した宛先は自動でここに入ります。手動の追加や取り込みもできます。",
            ),
        ),
    }
}

fn table(visit: &Visit<'_>, query: &ListQuery, rows: &[Listed]) -> Markup {
    let can_act = visit.may(Right::Act) && !query.removed;
    let body = html! {
        @if can_act { (here(visit)) }
        table class=(if can_act { "stack ticks" } else { "stack" }) {
            thead {
                tr {
                    @if can_act { th class="tick-cell" { (tick_all(visit, "row")) } }
                    th { (visit.say("Address", "宛先")) }
                    th { (visit.say("Since", "停止日時")) }
                    th { (visit.say("Why", "理由")) }
                    th { (visit.say("Last answer", "直近の応答")) }
                }
            }
            tbody { @for row in rows { (line(visit, row, can_act)) } }
        }
        @if can_act {
            div class="actions" {
                @if !query.exempt {
                    button name="verb" value="lift" class="plain" { (visit.say("Lift those ticked …", "選択した宛先を解除…")) }
                    button name="verb" value="exempt" class="plain" { (visit.say("Never suppress them …", "選択した宛先を停止対象から除外…")) }
                } @else {
                    button name="verb" value="end" class="plain" { (visit.say("End the exemption of those ticked …", "選択した宛先の除外を終了…")) }
                }
            }
        }
    };
    if can_act { visit.post("/suppression/act", "", &body) } else { body }
}

fn line(visit: &Visit<'_>, row: &Listed, can_act: bool) -> Markup {
    let link = visit.href(&format!("/suppression/address?address={}", percent_encode(&row.address)));
    html! {
        tr {
            @if can_act { td class="tick-cell" { (tick_row("row", &token_of(&row.address, &row.user), &row.address)) } }
            td class="strong destination" {
                a href=(link) { (foreign(&row.address, 120)) }
                @if !row.user.is_empty() { " " span class="soft" { (visit.say("mail of ", "対象：")) (foreign(&row.user, 60)) } }
                @if row.exempt.is_some() { " " (pill("succeeded", visit.say("exempt", "除外"))) }
            }
            td class="nowrap" {
                @if let Some(entry) = &row.entry {
                    (visit.when(entry.since))
                    @if let Some(until) = entry.until.filter(|_| entry.lifted.is_none()) {
                        br; span class="soft" { (visit.say("until ", "期限 ")) (visit.when(until)) }
                    }
                } @else if let Some(exempt) = &row.exempt { (visit.when(exempt.since)) }
            }
            td class="wide" data-label=(visit.say("Why", "理由")) {
                @if let Some(entry) = &row.entry {
                    (cause(visit.lang, entry.cause))
                    @if let Some(of) = entry.class { " · " (class(visit.lang, of)) }
                    @if entry.occurred > 1 { " × " (number(u64::from(entry.occurred))) }
                    @if let Some(lifted) = &entry.lifted {
                        br; span class="soft" {
                            (lifted_by(visit.lang, lifted.by)) " " (visit.when(lifted.at))
                            @if !lifted.operator.is_empty() { " " (visit.say("by ", "実行者：")) (foreign(&lifted.operator, 80)) }
                        }
                    }
                } @else {
                    (visit.say("its errors do not count", "エラーで停止しません"))
                }
            }
            td class="wide reply" {
                @if let Some(entry) = &row.entry {
                    span class="clip" { (foreign(&entry.reason, 300)) }
                    @if !entry.operator.is_empty() { span class="nowrap" { (visit.say("by ", "実行者：")) (foreign(&entry.operator, 80)) } }
                } @else if let Some(exempt) = &row.exempt {
                    (visit.say("by ", "実行者：")) (foreign(&exempt.operator, 80))
                }
            }
        }
    }
}

/// `/suppression/act`: the ticked addresses, first shown, then done.
pub(super) fn act(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let tokens: Vec<&str> = visit.form.all("row").collect();
    let whose: Vec<Whose> = tokens.iter().filter_map(|token| of_token(token)).collect();
    if whose.is_empty() {
        let words = visit.say("Tick the addresses first.", "先に宛先を選択してください。");
        return visit.done(&back_to(visit, FRONT), &Told::bad(words));
    }
    if whose.len() > MANY_MAX || whose.len() < tokens.len() {
        return visit.refuse(400, visit.say("That is no list of addresses.", "宛先の指定が正しくありません。"));
    }
    let verb = visit.form.text("verb");
    if !matches!(verb, "lift" | "exempt" | "end") {
        return Err(Missing::Nothing);
    }
    if !visit.form.flag("sure") {
        return preview(visit, verb, &whose);
    }
    let (list, by) = (visit.daemon.suppressions(), by_person(visit));
    let words = match verb {
        "lift" => {
            let lifted = block_on(list.lift_many(&by, &whose))?.len() as u64;
            counted(
                visit.lang,
                lifted,
                "1 address is lifted: it is written to again.",
                "{} addresses are lifted: they are written to again.",
                "{} 件を解除しました。以後は通常どおり送信します。",
            )
        }
        "exempt" => {
            let done = block_on(list.exempt_many(&by, &whose))?;
            let exempted = counted(
                visit.lang,
                done.exempted.len() as u64,
                "1 address is exempt: its errors never suppress it.",
                "{} addresses are exempt: their errors never suppress them.",
                "{} 件を停止対象から除外しました。以後はエラーで停止しません。",
            );
            let stay = counted(
                visit.lang,
                done.stay.len() as u64,
                " 1 stays on the list: its owner complained or unsubscribed.",
                " {} stay on the list: their owners complained or unsubscribed.",
                "迷惑メール申告・配信解除の {} 件は停止のままです。",
            );
            if done.stay.is_empty() { exempted } else { exempted + &stay }
        }
        _ => {
            let ended = block_on(list.end_exemptions(&by, &whose))?.len() as u64;
            counted(
                visit.lang,
                ended,
                "The exemption of 1 address has ended: its errors count from now on.",
                "The exemptions of {} addresses have ended: their errors count from now on.",
                "{} 件の除外を終了しました。今後のエラーは停止の対象になります。",
            )
        }
    };
    visit.done(&back_to(visit, FRONT), &Told::good(words))
}

fn preview(visit: &Visit<'_>, verb: &str, whose: &[Whose]) -> Answer {
    let lang = visit.lang;
    let n = whose.len() as u64;
    let (title, what) = match verb {
        "lift" => (
            counted(lang, n, "Lift 1 address?", "Lift {} addresses?", "{} 件を解除しますか？"),
            visit.say(
                "They are written to again. Later errors may put them on the list again.",
                "以後は送信を再開します。今後のエラーで再び停止することがあります。",
            ),
        ),
        "exempt" => (
            counted(lang, n, "Exempt 1 address?", "Exempt {} addresses?", "{} 件を停止対象から除外しますか？"),
            visit.say(
                "They come off the list, and no error puts them there again. Who complained or unsubscribed stays on it.",
                "停止を解除し、今後エラーがあっても停止しません。迷惑メール申告・配信解除の宛先は停止のままです。",
            ),
        ),
        _ => (
            counted(lang, n, "End 1 exemption?", "End {} exemptions?", "{} 件の除外を終了しますか？"),
            visit.say("Their errors count from now on.", "今後のエラーは停止の対象になります。"),
        ),
    };
    let fields = html! {
        input type="hidden" name="verb" value=(verb);
        input type="hidden" name="sure" value="1";
        input type="hidden" name="back" value=(back_to(visit, FRONT));
        @for (address, user) in whose { input type="hidden" name="row" value=(token_of(address, user)); }
        div class="actions" {
            button class=(if verb == "exempt" { "danger" } else { "" }) { (visit.say("Do it", "実行する")) }
            a class="button plain" href=(visit.href(&back_to(visit, FRONT))) { (visit.say("Cancel", "キャンセル")) }
        }
    };
    let content = html! {
        (parts::heading(&title, what))
        section {
            ul class="notes" {
                @for (address, user) in whose.iter().take(NAMED_MAX) {
                    li { (foreign(address, 120)) @if !user.is_empty() { (parts::bracketed(lang, &foreign(user, 60))) } }
                }
                @if whose.len() > NAMED_MAX {
                    li { (counted(lang, n - NAMED_MAX as u64, "and 1 more", "and {} more", "ほか {} 件")) }
                }
            }
            (visit.post("/suppression/act", "", &fields))
        }
    };
    visit.page(Section::Suppression, &title, &content)
}

/// `/suppression/export`: what the filters find, as CSV.
pub(super) fn export(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let query = query_of(visit)?;
    let asked = filters_in_words(visit);
    let (list, zone) = (visit.daemon.suppressions().clone(), visit.about.zone.clone());
    if visit.request.param("form") == "cmc" {
        let read = move |page: &Page| {
            let found = list.list(&query, page)?;
            let row = |row: &Listed| Some(Block::of(&row.address, row.entry.as_ref()?, &zone).into_values().to_vec());
            Ok((found.rows.iter().filter_map(row).collect(), found.next))
        };
        return csv(visit, "suppression", &asked, Block::KEYS.to_vec(), Box::new(read));
    }
    // A whole list has its exempt addresses, too, behind the others, so that nothing is lost when somebody moves.
    let mut then = (query == ListQuery::default()).then(|| ListQuery { exempt: true, ..ListQuery::default() });
    let mut query = query;
    let read = move |page: &Page| {
        let is_turn = page.cursor.as_deref() == Some(EXEMPT_TURN);
        let cursor = page.cursor.clone().filter(|_| !is_turn);
        let found = list.list(&query, &Page { cursor, ..page.clone() })?;
        let rows = found.rows.iter().map(|row| SuppressionOut::from(row).cells(&zone, query.exempt).to_vec()).collect();
        if let (None, Some(exempt)) = (&found.next, then.take_if(|_| found.next.is_none())) {
            query = exempt;
            return Ok((rows, Some(EXEMPT_TURN.to_owned())));
        }
        Ok((rows, found.next))
    };
    csv(visit, "suppression", &asked, SUPPRESSION_COLUMNS.to_vec(), Box::new(read))
}
