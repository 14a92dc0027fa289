//! The search: whole keys first, by their indexes; then, or when nothing is found, a part of anything.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    super::parts::{empty, foreign, heading, pager, pill},
    Answer, Args, Section, Visit, standing, title_line,
};
use crate::{
    http::exchange::{Response, percent_encode},
    store::{Found, FoundPage, Page},
};

/// Messages of a page.
const ROWS: usize = 50;
/// How long a search by part looks before it shows what it has.
const WITHIN: Duration = Duration::from_millis(125);
/// Rows that it looks at: the time ends it earlier.
const SCAN_MAX: usize = 10_000_000;
/// Letters of a key at most.
const KEY_MAX: u32 = 500;

/// `/find?key=`: goes to the one message that is found, or lists them.
pub(super) fn find(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let key = visit.request.param("key").trim();
    let title = visit.say("Where is my mail?", "メールを探す");
    if key.is_empty() {
        let content = html! { (head(visit, title)) (find_box(visit, key)) (help(visit)) };
        return visit.page(Section::Mail, title, &content);
    }
    let is_part = visit.request.flag("part") || !visit.request.param("cursor").is_empty();
    let whole = if is_part { Vec::new() } else { visit.daemon.find(key, ROWS)? };
    if let [id] = whole.as_slice() {
        return Ok(Response::see_other(&visit.href(&format!("/message/{id}"))));
    }
    let content = if whole.is_empty() {
        let cursor = Some(visit.request.param("cursor")).filter(|cursor| !cursor.is_empty()).map(str::to_owned);
        let page = Page { rows_max: ROWS, cursor, scan_max: SCAN_MAX, within: Some(WITHIN) };
        let found = visit.daemon.search(key, &page)?;
        html! { (head(visit, title)) (find_box(visit, key)) (by_part(visit, key, &found)) }
    } else {
        let found = visit.daemon.found(&whole, key)?;
        html! { (head(visit, title)) (find_box(visit, key)) (by_key(visit, key, &found)) }
    };
    visit.page(Section::Mail, title, &content)
}

fn head(visit: &Visit<'_>, title: &str) -> Markup {
    heading(
        title,
        visit.say(
            "Paste what you have: an address, a Message-ID, a queue id, X-Api-Data, or a part of the subject.",
            "宛先・差出人・Message-ID・キューID・X-Api-Data、または件名の一部を入力してください。",
        ),
    )
}

fn find_box(visit: &Visit<'_>, key: &str) -> Markup {
    let words = visit.say(
        "Address, subject, Message-ID, X-Api-Data or queue id",
        "アドレス・件名・Message-ID・X-Api-Data・キューID",
    );
    let content = html! {
        input type="search" name="key" value=(key) maxlength=(KEY_MAX) required autofocus[key.is_empty()] placeholder=(words) aria-label=(words);
        button { (visit.say("Search", "検索")) }
    };
    html! { section { (visit.ask("/find", "find", &content)) } }
}

fn help(visit: &Visit<'_>) -> Markup {
    let rows = [
        (
            "hanako@example.co.jp",
            visit.say("all mail to or from this address, the newest first", "このアドレス宛・発のメール（新しい順）"),
        ),
        ("<20261129…@example.jp>", visit.say("the mail with this Message-ID", "この Message-ID のメール")),
        (
            "06BHV7Q…",
            visit.say(
                "the message with this queue id, as in our answer 250",
                "このキューID（受付時の応答に記載）のメール",
            ),
        ),
        (
            "order-8801",
            visit
                .say("mail with this X-Api-Data, or with it in the subject", "この X-Api-Data、または件名に含むメール"),
        ),
        (
            visit.say("invoice", "請求書"),
            visit.say("mail with this in the subject or an address", "件名またはアドレスにこの語を含むメール"),
        ),
    ];
    html! {
        section {
            h2 { (visit.say("What can be searched for", "検索できるもの")) }
            dl class="facts" { @for (example, words) in rows { dt class="mono" { (example) } dd { (words) } } }
        }
    }
}

/// What the indexes found: the key is whole.
fn by_key(visit: &Visit<'_>, key: &str, found: &[Found]) -> Markup {
    let is_full = found.len() >= ROWS;
    html! {
        section {
            h2 { (visit.say("Found by the whole key", "完全一致")) small { (found.len()) } }
            ul class="rows" { @for one in found { li { (row(visit, one)) } } }
            p class="onward" {
                @if key.contains('@') {
                    a href=(visit.href(&format!("/log/deliveries?recipient={}&exact=1", percent_encode(key)))) {
                        @if is_full { (visit.say("Older ones are in the delivery log", "これより古いものは配信ログで")) }
                        @else { (visit.say("By time and status: in the delivery log", "日時・状態で絞り込む（配信ログ）")) }
                        " →"
                    }
                    " · "
                }
                a href=(visit.link_with(&[("part", "1")])) {
                    (visit.say("Look for it as a part of anything, too", "件名やアドレスの一部としても検索する")) " →"
                }
            }
        }
    }
}

fn by_part(visit: &Visit<'_>, key: &str, found: &FoundPage) -> Markup {
    html! {
        section {
            h2 { (visit.say("In a subject, an address or an id", "件名・アドレス・IDに含むもの")) small { (found.messages.len()) } }
            @if found.messages.is_empty() {
                @if found.next.is_some() {
                    (empty(visit.say("Nothing so far.", "ここまでの範囲では見つかりません。"),
                        visit.say("Go on to look further back.", "「続きを見る」でさらに古いメールを検索します。")))
                } @else {
                    (empty(visit.say("No mail has this in its subject, addresses or ids.", "該当するメールはありません。"), ""))
                    (nothing_found(visit, key))
                }
            } @else {
                ul class="rows" { @for one in &found.messages { li { (row(visit, one)) } } }
            }
            (pager(visit, found.next.as_deref(), found.looked_back_to))
        }
    }
}

/// What to do when nothing was found.
fn nothing_found(visit: &Visit<'_>, key: &str) -> Markup {
    let days = visit.about.retention.delivery_log.as_secs() / 86_400;
    html! {
        ul class="notes spaced" {
            li { (visit.say("Check the spelling, or use a shorter part.", "綴りを確認するか、より短い語で検索してください。")) }
            li {
                (visit.say("Logs are kept for ", "ログの保存期間は ")) (days) (visit.say(" days: what is older is gone.", " 日です。それより古いものは検索できません。"))
            }
            li {
                (visit.say("Was it refused at the door? Then it was never accepted, and the sending program was told: look at its log.",
                    "受付時に拒否されたメールは記録に残りません。送信側プログラムのログを確認してください。"))
            }
            @if key.contains('@') {
                li {
                    a href=(visit.href(&format!("/suppression?key={}", percent_encode(key)))) {
                        (visit.say("See whether the address is on the suppression list", "このアドレスが配信停止中か確認する"))
                    }
                }
            }
        }
    }
}

/// One message as a line of a list.
fn row(visit: &Visit<'_>, found: &Found) -> Markup {
    let (lang, m) = (visit.lang, &found.message);
    html! {
        a class="row" href=(visit.href(&format!("/message/{}", m.id))) {
            (visit.when_short(m.accepted_at))
            span { @if let Some(r) = &found.recipient { @let word = standing(r); (pill(word, lang.event(word))) } }
            span class="what" {
                span class="strong" { (title_line(lang, &m.facts.subject, m.len)) }
                span class="reply" {
                    @if let Some(r) = &found.recipient { (foreign(r.address.as_str(), 200)) }
                    @if m.recipients > 1 { " +" (m.recipients - 1) }
                    @if let Some(sender) = &m.sender { (visit.say(" from ", " ← ")) (foreign(sender.as_str(), 120)) }
                }
            }
        }
    }
}
