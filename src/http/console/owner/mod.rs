//! The page for application owners, by a link that the group administrator makes, shares and revokes.
//!
//! Always: the page shows sums of one API user's mail and how the large providers take mail, no address, no subject, no answer, no
//! other user's number; a link's token is shown once and is nowhere but in the link; whoever has no such link learns nothing.

use std::time::Duration;

use maud::{Markup, html};
use smol::future::block_on;

use super::{
    Answer, Args, Missing, Place, Right, Section, Told, Visit,
    overview::statistics::users,
    parts::{Field, back_to, copyable, empty, foreign, heading, select},
};
use crate::{
    http::owner_links::{By, LINKS_MAX, LinkError, NOTE_MAX, OwnerLink},
    secret::Secret,
};

mod classes;
mod page;

pub(super) const PLACES: &[Place] = &[
    Place::read("/owner/:token", Right::Anyone, page::page),
    Place::read("/owner-links", Right::Administer, list),
    Place::act("/owner-links/add", Right::Administer, add),
    Place::act("/owner-links/revoke", Right::Administer, revoke),
];

const DAY: Duration = Duration::from_secs(86_400);
/// Lives that may be chosen: value, days; 0 days: no end.
const LIVES: [(&str, u32); 4] = [("30", 30), ("90", 90), ("365", 365), ("0", 0)];
/// What is chosen where nobody chose.
const LIFE: &str = "90";

impl From<LinkError> for Missing {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::TooMany => Missing::Refused { status: 409, words: error.to_string() },
            LinkError::NoRandom | LinkError::Store(_) => Missing::Trouble(error.to_string()),
        }
    }
}

fn title(visit: &Visit<'_>) -> &'static str {
    visit.say("Links for application owners", "アプリケーション担当者用リンク")
}

fn list(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let links = visit.daemon.owner_links().all()?;
    let content = html! {
        (back_to(visit, "/users", visit.say("Users", "ユーザー")))
        (heading(title(visit), visit.say(
            "Whoever has such a link sees how one API user's mail fares: its numbers, its errors, the providers. No address, no rights, no login.",
            "リンクを知っている人は、1つのAPIユーザーの配信数・エラー内訳・プロバイダーの状態だけを閲覧できます。宛先や件名は表示されず、ログインも不要です。",
        )))
        section { h2 { (visit.say("Links", "リンク")) } (table(visit, &links)) }
        (form(visit))
    };
    visit.page(Section::Users, title(visit), &content)
}

fn table(visit: &Visit<'_>, links: &[OwnerLink]) -> Markup {
    let [user, whom, made, ends] = [
        visit.say("API user", "APIユーザー"),
        visit.say("For whom", "共有先"),
        visit.say("Made", "作成"),
        visit.say("Ends", "有効期限"),
    ];
    html! {
        @if links.is_empty() {
            (empty(visit.say("There is no link.", "リンクはありません。"), visit.say(
                "Make one below and send it to the people who own the application.",
                "下のフォームで作成し、アプリケーションの担当者に送ってください。",
            )))
        } @else {
            table class="stack" {
                thead { tr { th { (user) } th { (whom) } th { (made) } th { (ends) } th { span class="hidden" { (visit.say("What can be done", "操作")) } } } }
                tbody {
                    @for link in links {
                        tr {
                            td class="strong" { (foreign(&link.user, 100)) }
                            td class="wide" { @if link.note.is_empty() { span class="soft" { "–" } } @else { (foreign(&link.note, NOTE_MAX)) } }
                            td class="wide" data-label=(made) { (visit.when(link.made_at)) " " span class="soft" { (foreign(&link.made_by, 100)) } }
                            td class="wide" data-label=(ends) { (end_words(visit, link)) }
                            td class="wide" {
                                (visit.button("/owner-links/revoke", "grave", &[("id", &link.id)], visit.say("Revoke", "無効にする")))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn end_words(visit: &Visit<'_>, link: &OwnerLink) -> Markup {
    html! {
        @match link.ends_at {
            None => (visit.say("no end", "無期限")),
            Some(end) if end <= visit.now => span class="pill failed" { (visit.say("ended", "期限切れ")) },
            Some(end) => (visit.when(end)),
        }
    }
}

fn form(visit: &Visit<'_>) -> Markup {
    let names = users(visit.daemon.users());
    let options: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let lives = LIVES.map(|(value, days)| (value, life_words(visit, days)));
    let content = html! {
        div class="fields" {
            (select("user", visit.say("API user", "APIユーザー"), &options, visit.request.param("user")))
            (Field {
                name: "note",
                label: visit.say("For whom", "共有先"),
                hint: visit.say("So that you know later whose link it is.", "後で誰のリンクか分かるようにするためのメモです。"),
                max: NOTE_MAX as u32,
                ..Field::default()
            }.show())
            (select("life", visit.say("It ends after", "有効期間"), &lives, LIFE))
        }
        p class="actions" { button { (visit.say("Make a link", "リンクを作成")) } }
    };
    html! {
        section {
            h2 { (visit.say("A new link", "新しいリンク")) }
            @if options.is_empty() {
                (empty(visit.say("There is no API user yet.", "APIユーザーがまだありません。"),
                    visit.say("Add one first; its numbers can be shared then.", "先にAPIユーザーを追加してください。")))
            } @else {
                (visit.post("/owner-links/add", "stack-form", &content))
            }
        }
    }
}

fn life_words(visit: &Visit<'_>, days: u32) -> &'static str {
    match days {
        30 => visit.say("30 days", "30日間"),
        90 => visit.say("90 days", "90日間"),
        365 => visit.say("a year", "1年間"),
        _ => visit.say("never: until it is revoked", "無期限（無効にするまで）"),
    }
}

fn add(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let user = visit.form.text("user");
    if !users(visit.daemon.users()).iter().any(|name| name == user) {
        return visit.refuse(
            400,
            visit.say(
                "There is no API user of this name. Go back and choose one from the list.",
                "その名前のAPIユーザーはありません。前のページに戻り、一覧から選んでください。",
            ),
        );
    }
    let Some((_, days)) = LIVES.into_iter().find(|(value, _)| *value == visit.form.text("life")) else {
        return visit.refuse(400, visit.say("Choose when the link ends.", "有効期間を選んでください。"));
    };
    let (who, from) = (visit.who(), visit.from());
    let life = (days > 0).then(|| DAY * days);
    let links = visit.daemon.owner_links();
    let made = block_on(links.add(user, visit.form.text("note"), life, By { who: &who, from: &from }));
    let (link, token) = match made {
        Err(LinkError::TooMany) => return visit.refuse(409, too_many(visit)),
        other => other?,
    };
    made_page(visit, &link, &token)
}

fn too_many(visit: &Visit<'_>) -> String {
    if visit.lang.japanese {
        format!("リンクは最大 {LINKS_MAX} 件です。使われていないリンクを無効にしてください。")
    } else {
        format!("There are {LINKS_MAX} links already. Revoke one that nobody uses.")
    }
}

/// The one page that shows the link: it is nowhere else, so this is no redirection.
fn made_page(visit: &Visit<'_>, link: &OwnerLink, token: &Secret<String>) -> Answer {
    let browser = &visit.request.browser;
    let scheme = if browser.is_secure { "https" } else { "http" };
    let url = format!("{scheme}://{}/owner/{}", browser.host, token.reveal());
    let title = visit.say("The link is ready", "リンクを作成しました");
    let content = html! {
        (heading(title, visit.say(
            "Copy it now: it is not kept and cannot be shown again.",
            "今すぐコピーしてください。リンクは保存されないため、後から表示できません。",
        )))
        section {
            h2 { (foreign(&link.user, 100)) @if !link.note.is_empty() { small { (foreign(&link.note, NOTE_MAX)) } } }
            (copyable(&url))
            p class="soft" { (visit.say("It ends: ", "有効期限：")) (end_words(visit, link)) }
            p class="onward" { a href=(visit.href("/owner-links")) { (visit.say("All links", "リンク一覧へ")) } }
        }
    };
    visit.page(Section::Users, title, &content)
}

fn revoke(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let (who, from) = (visit.who(), visit.from());
    let revoked = block_on(visit.daemon.owner_links().revoke(visit.form.text("id"), By { who: &who, from: &from }))?;
    let Some(link) = revoked else {
        return visit.done(
            "/owner-links",
            &Told::bad(visit.say("There was no such link any more.", "そのリンクは既にありません。")),
        );
    };
    let words = if visit.lang.japanese {
        format!("「{}」のリンクを無効にしました。", link.user)
    } else {
        format!("The link to the numbers of {} is revoked: it opens nothing any more.", link.user)
    };
    visit.done("/owner-links", &Told::good(words))
}

#[cfg(test)]
mod tests;
