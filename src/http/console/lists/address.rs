//! One address: whether it is written to, why not, what was before, and what can be done.
//!
//! Sources: cmc.md §6.2 (cancel, delete); R4, R7.

use maud::{Markup, html};
use smol::future::block_on;

use super::{
    by_person, left_by_person, tabs,
    words::{cause, class, counted, how, lifted_by},
};
use crate::{
    http::{
        console::{
            Answer, Args, Missing, Right, Section, Told, Visit,
            parts::{self, facts, foreign, number, panel, pill},
        },
        exchange::percent_encode,
    },
    smtp::address::Mailbox,
    suppress::{
        dossier::{Dossier, Scoped},
        row::Entry,
    },
    unsubscribe::row,
};

fn address_of(visit: &Visit<'_>, text: &str) -> Result<Mailbox, Missing> {
    match Mailbox::parse(text.trim()) {
        Ok(address) => Ok(address),
        Err(_) => visit.refuse(
            400,
            visit.say(
                "That is not a whole mail address. Go back and write it with its domain.",
                "メールアドレスの形式ではありません。ドメインを含めて入力してください。",
            ),
        ),
    }
}

fn link_of(address: &str) -> String {
    format!("/suppression/address?address={}", percent_encode(address))
}

/// `/suppression/address`.
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let address = address_of(visit, visit.request.param("address"))?;
    let dossier = visit.daemon.suppressions().dossier(&address)?;
    let blocks = dossier.left.iter().any(|row| row.applies(visit.now));
    let lead = match (dossier.is_on(), blocks) {
        (true, _) => visit.say("Mail to this address is not sent.", "この宛先へのメールは送信しません。"),
        (false, true) => visit.say(
            "It is written to, but for the lists that it left.",
            "配信解除したリスト以外のメールは通常どおり送信します。",
        ),
        (false, false) => visit.say("It is written to.", "通常どおり送信します。"),
    };
    let everybody = dossier.scopes.iter().find(|scope| scope.user.is_empty());
    let content = html! {
        (parts::heading(&parts::clean(&dossier.address), lead))
        (tabs(visit, ""))
        @for incident in &dossier.held {
            p class="note" {
                (visit.say("Errors of ", "")) (foreign(&incident.place, 120))
                (visit.say(" are held: they suppress nobody until somebody looks.", " のエラーは保留中です。確認されるまで配信停止にはしません。"))
                " " a href=(visit.href(&format!("/suppression/incident/{}", incident.id))) { (visit.say("Look", "確認する")) " →" }
            }
        }
        @if everybody.is_none() {
            (panel(visit.say("Everybody's mail", "全ユーザー共通"), "", &html! {
                p { (visit.say("Nothing is known against it.", "停止もエラーもありません。")) }
                (acts(visit, &dossier, &Scoped::default()))
            }))
        }
        @for scope in &dossier.scopes { (scope_panel(visit, &dossier, scope)) }
        (left_panel(visit, &dossier))
        p class="onward" {
            a href=(visit.href(&format!("/find?key={}", percent_encode(&dossier.address)))) {
                (visit.say("Mail to this address", "この宛先へのメール")) " →"
            }
        }
    };
    let title = parts::clean(&dossier.address);
    visit.page(Section::Suppression, &title, &content)
}

fn scope_panel(visit: &Visit<'_>, dossier: &Dossier, scope: &Scoped) -> Markup {
    let title = match scope.user.as_str() {
        "" => visit.say("Everybody's mail", "全ユーザー共通").to_owned(),
        user => format!("{}{}", visit.say("Mail of ", "APIユーザー："), parts::clean(&parts::clip(user, 80))),
    };
    let content = html! {
        @match (&scope.now, &scope.exempt) {
            (Some(entry), _) => {
                p class="whom" { (pill("failed", visit.say("on the list", "停止中"))) @if scope.exempt.is_some() { " " (pill("succeeded", visit.say("exempt", "除外"))) } }
                (entry_facts(visit, entry))
            }
            (None, Some(exempt)) => {
                p class="whom" { (pill("succeeded", visit.say("exempt", "除外"))) }
                (facts(&[
                    (visit.say("since", "除外日時"), visit.when(exempt.since)),
                    (visit.say("by", "実行者"), foreign(&exempt.operator, 80)),
                ]))
                p class="hint" { (visit.say("Its errors never put it on the list.", "エラーがあっても停止しません。")) }
            }
            (None, None) => p { (visit.say("Not on the list.", "停止中ではありません。")) }
        }
        (acts(visit, dossier, scope))
        @if !scope.errors.is_empty() { (errors(visit, scope)) }
        @if !scope.past.is_empty() { (past(visit, &scope.past)) }
    };
    panel(&title, "", &content)
}

fn entry_facts(visit: &Visit<'_>, entry: &Entry) -> Markup {
    let why = html! {
        (cause(visit.lang, entry.cause))
        @if let Some(of) = entry.class { " · " (class(visit.lang, of)) }
        @if entry.occurred > 0 {
            " · " (counted(visit.lang, u64::from(entry.occurred), "1 day with errors", "{} days with errors", "エラーのあった日数 {}"))
        }
        @if entry.hard { " · " (visit.say("permanent", "恒久的")) }
    };
    let mut rows = vec![
        (visit.say("why", "理由"), why),
        (visit.say("since", "停止日時"), visit.when(entry.since)),
        (
            visit.say("until", "期限"),
            entry
                .until
                .map_or_else(|| html! { (visit.say("it is lifted", "解除するまで")) }, |until| visit.when(until)),
        ),
    ];
    if !entry.reason.is_empty() {
        let label = if entry.operator.is_empty() {
            visit.say("last answer", "直近の応答")
        } else {
            visit.say("words", "メモ・応答")
        };
        rows.push((label, foreign(&entry.reason, 500)));
    }
    if !entry.operator.is_empty() {
        rows.push((visit.say("by", "実行者"), foreign(&entry.operator, 80)));
    }
    if !entry.provider.is_empty() {
        rows.push((visit.say("whose hosts answered", "応答したプロバイダー"), foreign(&entry.provider, 120)));
    }
    if !entry.incident.is_empty() {
        let link = visit.href(&format!("/suppression/incident/{}", percent_encode(&entry.incident)));
        rows.push((
            visit.say("held before by", "保留していたインシデント"),
            html! { a href=(link) { (foreign(&entry.incident, 20)) } },
        ));
    }
    facts(&rows)
}

fn acts(visit: &Visit<'_>, dossier: &Dossier, scope: &Scoped) -> Markup {
    if !visit.may(Right::Act) {
        return html! {};
    }
    let button = |verb: &str, class: &str, words: &str| {
        let fields = [("address", dossier.address.as_str()), ("user", scope.user.as_str()), ("verb", verb)];
        visit.button("/suppression/address", class, &fields, words)
    };
    let is_will = scope.now.as_ref().is_some_and(|entry| entry.cause.is_will());
    html! {
        div class="actions" {
            @if scope.now.is_some() {
                (button("lift", "", visit.say("Lift: write to it again", "解除して送信を再開")))
            } @else if scope.user.is_empty() {
                a class="button plain" href=(visit.href(&format!("/suppression/add?address={}", percent_encode(&dossier.address)))) {
                    (visit.say("Put it on the list …", "停止リストに追加…"))
                }
            }
            @if scope.exempt.is_some() {
                (button("end", "plain", visit.say("End the exemption", "除外を終了")))
            } @else {
                (button("exempt", "plain", visit.say("Never suppress it for errors", "エラーで停止しない")))
            }
        }
        @if is_will {
            p class="hint" { (visit.say(
                "Its owner wants no mail. An exemption does not change that; lift it only if the owner asked for it.",
                "受信者本人の意思による停止です。「エラーで停止しない」にしても解除されません。本人の依頼がある場合のみ解除してください。",
            )) }
        }
    }
}

fn errors(visit: &Visit<'_>, scope: &Scoped) -> Markup {
    html! {
        h3 { (visit.say("Errors that may count", "停止の対象になり得るエラー")) small { (visit.say("one a day counts", "1日1件として数えます")) } }
        table class="stack" {
            thead {
                tr {
                    th { (visit.say("When", "日時")) }
                    th { (visit.say("Error", "エラー分類")) }
                    th class="number" { (visit.say("Days that suppress", "停止までの日数")) }
                }
            }
            tbody {
                @for counted in &scope.errors {
                    tr {
                        td class="nowrap" { (visit.when(counted.error.at)) }
                        td { (class(visit.lang, counted.error.class)) }
                        td class="number" data-label=(visit.say("Days that suppress", "停止までの日数")) {
                            @if counted.threshold == 0 { (visit.say("never", "停止しない")) } @else { (number(u64::from(counted.threshold))) }
                        }
                    }
                }
            }
        }
        @if !scope.reply.is_empty() { p class="hint" { (visit.say("Last answer: ", "直近の応答：")) (foreign(&scope.reply, 500)) } }
    }
}

fn past(visit: &Visit<'_>, past: &[Entry]) -> Markup {
    html! {
        h3 { (visit.say("Earlier", "以前の停止")) }
        ol class="timeline" {
            @for entry in past {
                li class="dropped" {
                    (visit.when(entry.since)) " – "
                    @if let Some(lifted) = &entry.lifted { (visit.when(lifted.at)) }
                    p {
                        (cause(visit.lang, entry.cause))
                        @if let Some(of) = entry.class { " · " (class(visit.lang, of)) }
                        @if let Some(lifted) = &entry.lifted {
                            " → " (lifted_by(visit.lang, lifted.by))
                            @if !lifted.operator.is_empty() { " " (visit.say("by ", "実行者：")) (foreign(&lifted.operator, 80)) }
                        }
                    }
                    @if !entry.reason.is_empty() { p class="reply" { (foreign(&entry.reason, 300)) } }
                }
            }
        }
    }
}

fn left_panel(visit: &Visit<'_>, dossier: &Dossier) -> Markup {
    if dossier.left.is_empty() {
        return html! {};
    }
    let content = html! {
        table class="stack" {
            thead {
                tr {
                    th { (visit.say("List", "リスト")) }
                    th { (visit.say("When", "解除日時")) }
                    th { (visit.say("How", "方法")) }
                    @if visit.may(Right::Act) { th { } }
                }
            }
            tbody {
                @for row in &dossier.left {
                    tr {
                        td class="strong" { (foreign(&row.list, 80)) }
                        td class="nowrap" { (visit.when(row.created())) (takes_effect(visit, row)) }
                        td class="wide" { (how(visit.lang, row.how)) }
                        @if visit.may(Right::Act) {
                            td {
                                (visit.button(
                                    "/suppression/address",
                                    "plain",
                                    &[("address", &dossier.address), ("list", &row.list), ("verb", "rejoin")],
                                    visit.say("Write to it again", "配信を再開"),
                                ))
                            }
                        }
                    }
                }
            }
        }
    };
    panel(
        visit.say("Lists that it left", "配信解除したリスト"),
        visit.say("mail of these lists is not sent there", "これらのリストのメールは送信しません"),
        &content,
    )
}

/// A click that waits for the daily time says so.
pub(super) fn takes_effect(visit: &Visit<'_>, row: &row::Row) -> Markup {
    html! {
        @if !row.applies(visit.now) {
            " " span class="soft" { (visit.say("takes effect ", "反映：")) (visit.when(row.effective_from())) }
        }
    }
}

/// `/suppression/address`: lift, exempt, end the exemption, write to it again.
pub(super) fn act(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let address = address_of(visit, visit.form.text("address"))?;
    let (list, by) = (visit.daemon.suppressions(), by_person(visit));
    let (name, user) = (address.as_str(), visit.form.text("user"));
    let told = match visit.form.text("verb") {
        "lift" => match block_on(list.lift(&by, name, user))? {
            Some(_) => Told::good(visit.say("Lifted: it is written to again.", "解除しました。以後は送信します。")),
            None => Told::bad(visit.say("It was not on the list any more.", "すでに停止中ではありません。")),
        },
        "exempt" => match block_on(list.exempt(&by, name, user))?.stays {
            None => {
                Told::good(visit.say("Exempt: its errors never suppress it.", "今後エラーがあっても停止しません。"))
            }
            Some(_) => Told::bad(visit.say(
                "Exempt from errors, but it stays on the list: its owner complained or unsubscribed.",
                "エラーでは停止しませんが、受信者本人の申告・配信解除による停止は続きます。",
            )),
        },
        "end" => match block_on(list.end_exemption(&by, name, user))? {
            true => Told::good(visit.say(
                "The exemption has ended: errors from now on count.",
                "除外を終了しました。今後のエラーは停止の対象になります。",
            )),
            false => Told::bad(visit.say("It was not exempt.", "除外されていませんでした。")),
        },
        "rejoin" => {
            let whose = [(name.to_owned(), visit.form.text("list").to_owned())];
            match block_on(visit.daemon.unsubscribes().cancel_each(&whose, &left_by_person(visit)))? {
                0 => Told::bad(visit.say("It had not left that list.", "そのリストを配信解除していませんでした。")),
                _ => Told::good(
                    visit.say("Mail of that list is sent there again.", "そのリストのメールの配信を再開しました。"),
                ),
            }
        }
        _ => return Err(Missing::Nothing),
    };
    visit.done(&link_of(&name.to_lowercase()), &told)
}
