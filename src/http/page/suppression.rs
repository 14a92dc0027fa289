//! Who is not written to: a calm section of the front page, the search through the list, and the troubles of destinations.
//!
//! Always: pages only tell; what is to be done about it is said as a command line. Lists are bounded, and go on by a link.

use maud::{Markup, html};

use super::{
    Answer, Frame, foreign, layout,
    words::{Lang, number},
};
use crate::{
    clock::Timestamp,
    http::{
        daemon::{About, Daemon},
        exchange::{Request, Response, percent_encode},
        rows_lists::{HoldOut, ListsOut, SuppressionOut, TroubleOut, UnsubscribeOut},
        when::of_rfc3339,
    },
    store::Page,
    suppress::{incidents::TroubleQuery, list::ListQuery},
    unsubscribe::list::Query,
};

/// Rows of a page of the list.
const ROWS: usize = 50;
/// Rows that are looked at for them: a search through millions goes on by a link.
const SCAN_MAX: usize = 200_000;
/// Who left a list, on one page.
const LEFT_ROWS: usize = 50;
/// Rows that are looked at for them.
const LEFT_SCAN_MAX: usize = 50_000;
/// Troubles on their page.
const TROUBLES: usize = 100;

/// The section of the front page.
pub(super) fn section(lang: Lang, lists: &ListsOut, about: &About, now: Timestamp) -> Markup {
    let held: Vec<&HoldOut> = lists.held.iter().filter(|hold| hold.ended.is_none()).collect();
    html! {
        section id="suppression" {
            h2 {
                (lang.say("Suppression", "配信停止"))
                small { (counts(lang, lists, about, now)) }
                a class="more" href=(lang.href("/incidents")) { (lang.say("troubles of destinations", "宛先側の問題")) }
            }
            (search_box(lang, ""))
            @if !held.is_empty() { (holds(lang, &held, about, now)) }
        }
    }
}

fn counts(lang: Lang, lists: &ListsOut, about: &About, now: Timestamp) -> String {
    let mut parts = Vec::new();
    parts.push(match (lists.suppressed, lists.suppressions) {
        (Some(0), _) | (None, 0) => lang.say("no address is suppressed", "停止中の宛先はありません").to_owned(),
        (Some(1), _) if !lang.japanese => "1 address is not written to".to_owned(),
        (Some(n), _) if lang.japanese => format!("停止中の宛先 {} 件", number(n)),
        (Some(n), _) => format!("{} addresses are not written to", number(n)),
        (None, n) if lang.japanese => format!("停止中の宛先 約 {} 件", number(n)),
        (None, n) => format!("about {} addresses are not written to", number(n)),
    });
    match lists.unsubscribes {
        0 => {}
        n if lang.japanese => parts.push(format!("配信解除 {} 件", number(n))),
        1 => parts.push("1 left a list".to_owned()),
        n => parts.push(format!("{} left a list", number(n))),
    }
    if let Some(run) = lists.last_run.as_deref().and_then(of_rfc3339) {
        parts.push(match lang.japanese {
            true => format!("最終実行 {}", about.zone.short(run, now)),
            false => format!("last run {}", about.zone.short(run, now)),
        });
    }
    parts.join(" · ")
}

fn search_box(lang: Lang, key: &str) -> Markup {
    let placeholder = lang.say("Part of an address", "メールアドレスの一部");
    html! {
        form class="find" action="/suppression" method="get" {
            input type="search" name="key" value=(key) maxlength="320" placeholder=(placeholder) aria-label=(placeholder);
            @if !lang.href("/").ends_with('/') { input type="hidden" name="lang" value=(lang.code()); }
            button { (lang.say("Look up", "照会")) }
        }
    }
}

fn holds(lang: Lang, held: &[&HoldOut], about: &About, now: Timestamp) -> Markup {
    html! {
        h3 {
            (lang.say("Held back: unknown users jumped there", "保留中: 宛先不明のエラーが急増した宛先"))
            small { (lang.say("nobody is suppressed until you look", "ご確認いただくまで配信停止にはしません")) }
        }
        table class="stack" {
            thead {
                tr {
                    th { (lang.say("Destination", "宛先ドメイン")) }
                    th class="number" { (lang.say("Held", "保留")) }
                    th class="number" { (lang.say("Rate", "割合")) }
                    th { (lang.say("Since", "発生")) }
                    th { (lang.say("Last answer", "直近の応答")) }
                }
            }
            tbody {
                @for hold in held {
                    @let since = of_rfc3339(&hold.since).map_or_else(String::new, |at| about.zone.short(at, now));
                    tr {
                        td class="strong destination" { (foreign(&hold.place, 120)) }
                        td class="number big" { (number(hold.held)) }
                        td class="number left" data-label=(lang.say("Rate", "割合")) {
                            (hold.rate_percent) " %" span class="soft" { (lang.say(", was ", "、通常 ")) (past(hold.past_permille)) " %" }
                        }
                        td class="nowrap" data-label=(lang.say("Since", "発生")) { (since) }
                        td class="wide reply" {
                            span class="clip" { (foreign(&hold.example, 300)) }
                            code class="command" { "hikyaku suppress release|discard " (hold.id) }
                        }
                    }
                }
            }
        }
    }
}

/// Tenths of a percent as people write them.
fn past(permille: u32) -> String {
    format!("{}.{}", permille / 10, permille % 10)
}

/// `/suppression`: the list, searched.
pub(super) fn page(daemon: &dyn Daemon, request: &Request) -> Answer {
    let (lang, about) = (Lang::of(request), daemon.about());
    let key = request.param("key").trim();
    let cursor = request.param("cursor");
    let cursor_of = (!cursor.is_empty()).then(|| cursor.to_owned());
    let page = Page { rows_max: ROWS, scan_max: SCAN_MAX, cursor: cursor_of, ..Page::default() };
    let query = ListQuery { part: key.to_owned(), ..ListQuery::default() };
    let found = daemon.suppressions().list(&query, &page)?;
    let rows: Vec<SuppressionOut> = found.rows.iter().map(SuppressionOut::from).collect();
    let left = match (key, cursor) {
        ("", _) => Vec::new(),
        (key, "") => {
            let asked = Query { address: key.to_owned(), ..Query::default() };
            let page = Page { rows_max: LEFT_ROWS, scan_max: LEFT_SCAN_MAX, ..Page::default() };
            daemon.unsubscribes().page(&asked, &page)?.entries.iter().map(UnsubscribeOut::from).collect()
        }
        (_, _) => Vec::new(),
    };
    let title = lang.say("Suppressed addresses", "配信停止中の宛先");
    let next = found.next.map(|next| {
        let key = percent_encode(key);
        lang.href(&format!("/suppression?key={key}&cursor={}", percent_encode(&next)))
    });
    let content = html! {
        p class="back" { a href=(lang.href("/")) { "← " (lang.say("Front page", "トップページ")) } }
        div class="heading" {
            h1 { (title) }
            p class="lead" { (lang.say(
                "Mail to these addresses is accepted, and fails at once with the reason; or it is refused, as [suppression] says.",
                "これらの宛先へのメールは、受け付けた直後に理由とともに失敗となるか、[suppression] の設定により受付時に拒否されます。",
            )) }
        }
        section {
            (search_box(lang, key))
            @if rows.is_empty() {
                p class="empty found" {
                    @if next.is_some() {
                        (lang.say("Nothing among the first 200,000 rows.", "先頭の20万件には見つかりませんでした。"))
                    } @else if key.is_empty() {
                        (lang.say("No address is suppressed.", "停止中の宛先はありません。"))
                    } @else {
                        (lang.say("No suppressed address has this in it: it is written to.", "該当する停止中の宛先はありません。通常どおり配信されます。"))
                    }
                }
            } @else {
                (table(lang, &rows, &about))
            }
            @if let Some(next) = &next { p class="onward" { a href=(next) { (lang.say("More", "続き")) " →" } } }
        }
        @if !left.is_empty() { (left_table(lang, &left, &about)) }
        p class="hint" {
            (lang.say("Write to one again: ", "停止の解除: ")) code { "hikyaku suppress lift ADDRESS" }
            (lang.say(" · never suppress it for errors: ", " · エラーで停止しない: ")) code { "hikyaku suppress exempt ADDRESS" }
        }
    };
    let frame = Frame { lang, request, about: Some(&about), title, refresh: false };
    Ok(Response::html(200, layout(&frame, &content).into_string()))
}

fn table(lang: Lang, rows: &[SuppressionOut], about: &About) -> Markup {
    // With the year: a stay may last for many.
    let time = |text: Option<&str>| text.and_then(of_rfc3339).map(|at| about.zone.full(at));
    html! {
        table class="stack spaced" {
            thead {
                tr {
                    th { (lang.say("Address", "宛先")) }
                    th { (lang.say("Since", "停止日時")) }
                    th { (lang.say("Why", "理由")) }
                    th { (lang.say("Last answer", "直近の応答")) }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        td class="strong destination" {
                            (foreign(&row.address, 120))
                            @if !row.user.is_empty() { " " span class="soft" { (foreign(&row.user, 60)) } }
                        }
                        td class="nowrap" {
                            (time(row.since.as_deref()).unwrap_or_default())
                            @if let Some(until) = time(row.until.as_deref()) {
                                " " span class="soft" { (lang.say("until ", "期限 ")) (until) }
                            }
                        }
                        td class="nowrap wide" data-label=(lang.say("Why", "理由")) {
                            (cause(lang, &row.cause))
                            @if let Some(class) = row.class { " · " (class_name(lang, class)) }
                            @if row.occurred > 1 { " × " (row.occurred) }
                        }
                        td class="wide reply" {
                            span class="clip" { (foreign(&row.reason, 300)) }
                            @if !row.operator.is_empty() { span class="nowrap" { (lang.say("by ", "実行者: ")) (foreign(&row.operator, 80)) } }
                        }
                    }
                }
            }
        }
    }
}

fn left_table(lang: Lang, left: &[UnsubscribeOut], about: &About) -> Markup {
    html! {
        section {
            h2 { (lang.say("Left a list", "配信解除")) small { (lang.say("mail of these lists is not sent there", "これらのリストのメールは送信しません")) } }
            table class="stack" {
                thead { tr { th { (lang.say("Address", "宛先")) } th { (lang.say("List", "リスト")) } th { (lang.say("When", "解除日時")) } } }
                tbody {
                    @for row in left {
                        tr {
                            td class="strong destination" { (foreign(&row.address, 120)) }
                            td class="wide" { (foreign(&row.list, 80)) }
                            td class="nowrap" { (of_rfc3339(&row.created).map_or_else(String::new, |at| about.zone.full(at))) }
                        }
                    }
                }
            }
        }
    }
}

fn cause(lang: Lang, word: &str) -> &'static str {
    match word {
        "errors" => lang.say("errors", "エラー"),
        "complaint" => lang.say("complaint", "迷惑メール申告"),
        "manual" => lang.say("by hand", "手動"),
        "import" => lang.say("imported", "取り込み"),
        "unsubscribe" => lang.say("unsubscribed", "配信解除"),
        _ => "",
    }
}

/// CMC's class for people.
fn class_name(lang: Lang, class: u8) -> &'static str {
    match class {
        1 => lang.say("unknown host", "ホスト不明"),
        2 => lang.say("unknown user", "宛先不明"),
        3 => lang.say("resend timeout", "再送期限切れ"),
        4 => lang.say("rejected", "受信拒否"),
        5 => lang.say("over capacity", "容量超過"),
        6 => lang.say("forwarding error", "転送エラー"),
        7 => lang.say("receiving server", "受信サーバーエラー"),
        8 => lang.say("too large", "サイズ超過"),
        9 => lang.say("bad address", "不正なアドレス"),
        11 => lang.say("unsubscribed", "配信解除"),
        _ => lang.say("other", "その他"),
    }
}

/// `/incidents`: troubles that are not the recipients', and answers that no rule knows.
pub(super) fn incidents(daemon: &dyn Daemon, request: &Request) -> Answer {
    let (lang, about, now) = (Lang::of(request), daemon.about(), daemon.now());
    let troubles = daemon.suppressions().troubles(&TroubleQuery::default(), TROUBLES)?;
    let rows: Vec<TroubleOut> = troubles.iter().map(TroubleOut::from).collect();
    let (known, unknown): (Vec<&TroubleOut>, Vec<&TroubleOut>) = rows.iter().partition(|row| row.known);
    let title = lang.say("Troubles of destinations", "宛先側の問題");
    let content = html! {
        p class="back" { a href=(lang.href("/")) { "← " (lang.say("Front page", "トップページ")) } }
        div class="heading" {
            h1 { (title) }
            p class="lead" { (lang.say(
                "Refusals that are not the recipient's doing. They suppress nobody unless [suppression.thresholds] says so.",
                "受信者側の原因ではない拒否です。[suppression.thresholds] で設定しない限り、配信停止にはしません。",
            )) }
        }
        section {
            h2 { (lang.say("Refusals by destination", "宛先別の拒否")) }
            @if known.is_empty() {
                p class="empty" { (lang.say("Nothing of the kind was seen.", "該当する応答はありません。")) }
            } @else {
                (trouble_table(lang, &known, &about, now))
            }
        }
        @if !unknown.is_empty() {
            section {
                h2 { (lang.say("Answers that no rule knows", "分類できなかった応答")) }
                (trouble_table(lang, &unknown, &about, now))
            }
        }
    };
    let frame = Frame { lang, request, about: Some(&about), title, refresh: false };
    Ok(Response::html(200, layout(&frame, &content).into_string()))
}

fn trouble_table(lang: Lang, rows: &[&TroubleOut], about: &About, now: Timestamp) -> Markup {
    let time = |text: &str| of_rfc3339(text).map_or_else(String::new, |at| about.zone.short(at, now));
    html! {
        table class="stack" {
            thead {
                tr {
                    th { (lang.say("Destination", "宛先ドメイン")) }
                    th { (lang.say("Whose trouble", "原因")) }
                    th class="number" { (lang.say("Count", "件数")) }
                    th { (lang.say("First", "初回")) }
                    th { (lang.say("Last", "最終")) }
                    th { (lang.say("Answer", "応答")) }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        td class="strong destination" { (foreign(&row.destination, 120)) }
                        td class="nowrap" { (trouble(lang, &row.trouble)) }
                        td class="number left" data-label=(lang.say("Count", "件数")) { (number(row.count)) }
                        td class="nowrap" data-label=(lang.say("First", "初回")) { (time(&row.first)) }
                        td class="nowrap" data-label=(lang.say("Last", "最終")) { (time(&row.last)) }
                        td class="wide reply" { span class="clip" { (foreign(&row.example, 300)) } }
                    }
                }
            }
        }
    }
}

fn trouble(lang: Lang, word: &str) -> &'static str {
    match word {
        "recipient" => lang.say("recipient", "受信者"),
        "reputation" => lang.say("our reputation", "送信元の評判"),
        "authentication" => lang.say("our authentication", "送信元の認証"),
        "content" => lang.say("content", "内容"),
        "destination" => lang.say("destination", "宛先サーバー"),
        "policy" => lang.say("their policy", "宛先のポリシー"),
        _ => "",
    }
}
