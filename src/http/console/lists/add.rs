//! Addresses that somebody puts on the list by hand: one a line.
//!
//! Always: every line is checked before the first address is added.

use std::time::Duration;

use maud::html;
use smol::future::block_on;

use super::{by_person, list::api_users, tabs, words::counted};
use crate::{
    http::console::{
        Answer, Args, Section, Told, Visit,
        parts::{self, Field, clean, clip, select, text_area},
    },
    smtp::address::Mailbox,
    suppress::acts::NewEntry,
};

/// Addresses that one form adds; longer lists are imported.
const ADDRESSES_MAX: usize = 200;
/// Letters of the reason.
const REASON_MAX: u32 = 200;
/// How long an address may stay, in days; 0: until it is lifted.
const DAYS: [u64; 6] = [0, 7, 30, 90, 180, 365];

/// `/suppression/add`.
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    form(visit, visit.request.param("address"), "")
}

fn form(visit: &Visit<'_>, addresses: &str, trouble: &str) -> Answer {
    let title = visit.say("Put addresses on the list", "停止リストに追加");
    let names = api_users(visit);
    let mut users = vec![("", visit.say("everybody's mail", "全ユーザー共通"))];
    users.extend(names.iter().map(|name| (name.as_str(), name.as_str())));
    let codes = DAYS.map(|days| days.to_string());
    let words = DAYS.map(|days| match days {
        0 => visit.say("until it is lifted", "解除するまで").to_owned(),
        days => counted(visit.lang, days, "1 day", "{} days", "{} 日間"),
    });
    let stays: Vec<(&str, &str)> =
        codes.iter().zip(&words).map(|(code, words)| (code.as_str(), words.as_str())).collect();
    let reason = Field {
        name: "reason",
        label: visit.say("Why (kept with the address)", "理由（宛先とともに記録）"),
        value: visit.form.text("reason"),
        max: REASON_MAX,
        ..Field::default()
    };
    let fields = html! {
        @if !trouble.is_empty() { p class="note bad" role="alert" { (trouble) } }
        div class="fields" {
            (text_area("addresses", visit.say("Addresses, one a line", "宛先（1行に1件）"), addresses, 6, visit.say(
                "At most 200; import a file for more.", "最大200件。それ以上はファイルで取り込んでください。",
            )))
            (select("days", visit.say("For how long", "期間"), &stays, visit.form.text("days")))
            @if !names.is_empty() { (select("user", visit.say("For whose mail", "APIユーザー"), &users, visit.form.text("user"))) }
            (reason.show())
        }
        div class="actions" {
            button { (visit.say("Put them on the list", "追加する")) }
            a class="button plain" href=(visit.href("/suppression")) { (visit.say("Cancel", "キャンセル")) }
        }
    };
    let content = html! {
        (parts::heading(title, visit.say(
            "Mail to them is not sent from now on. An exemption of such an address ends.",
            "以後これらの宛先へは送信しません。停止対象から除外していた場合、その除外は終了します。",
        )))
        (tabs(visit, ""))
        section { (visit.post("/suppression/add", "", &fields)) }
    };
    visit.page(Section::Suppression, title, &content)
}

/// `/suppression/add`: every line, or none.
pub(super) fn act(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let text = visit.form.text("addresses");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return form(visit, text, visit.say("Write at least one address.", "宛先を入力してください。"));
    }
    if lines.len() > ADDRESSES_MAX {
        let words = visit.say(
            "These are more than 200: import them as a file.",
            "200件を超えています。ファイルで取り込んでください。",
        );
        return form(visit, text, words);
    }
    if let Some(bad) = lines.iter().find(|line| Mailbox::parse(line).is_err()) {
        let bad = clean(&clip(bad, 120));
        let words = match visit.lang.japanese {
            true => format!("「{bad}」はメールアドレスではありません。追加は行いませんでした。"),
            false => format!("\u{201c}{bad}\u{201d} is no mail address. Nothing was added."),
        };
        return form(visit, text, &words);
    }
    let user = visit.form.text("user");
    if !user.is_empty() && !api_users(visit).iter().any(|name| name == user) {
        return form(visit, text, visit.say("There is no such API user any more.", "そのAPIユーザーは存在しません。"));
    }
    let days = visit.form.text("days").parse().ok().filter(|days| DAYS.contains(days) && *days > 0);
    let until = days.map(|days: u64| visit.now.plus(Duration::from_secs(days * 86_400)));
    let reason: String = clean(&clip(visit.form.text("reason"), REASON_MAX as usize));
    let new = |address: &&str| NewEntry {
        address: (*address).to_owned(),
        user: user.to_owned(),
        until,
        reason: reason.clone(),
    };
    let added = block_on(visit.daemon.suppressions().add_many(&by_person(visit), lines.iter().map(new).collect()))?;
    let known = lines.len() as u64 - added;
    let mut words = counted(
        visit.lang,
        added,
        "1 address is on the list now.",
        "{} addresses are on the list now.",
        "{} 件を追加しました。",
    );
    if known > 0 {
        words += &counted(
            visit.lang,
            known,
            " 1 was there already.",
            " {} were there already.",
            "{} 件はすでに停止中です。",
        );
    }
    visit.done("/suppression", &Told::good(words))
}
