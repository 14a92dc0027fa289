//! The sandbox's mail: a list, and each mail as HTML, text, headers and source, with its attachments.
//!
//! Always: HTML of a mail is a document of its own, in a frame that may do nothing; everything else that came with it is text;
//! a download is an attachment, so that no browser renders it.
//! Sources: CSP Level 3 (sandbox), HTML Living Standard (iframe sandbox), RFC 6266.

mod part;
mod shown;

use maud::{Markup, html};

use super::{
    Answer, Args, Missing, Place, Right, Section, Visit,
    parts::{clean, clip, empty, foreign, heading, size, subject, tabs},
};
use crate::{
    clock::Timestamp,
    deliver::sandbox::SandboxMail,
    http::{
        daemon::About,
        exchange::{Policy, Response},
        words::Lang,
    },
    ids::MessageId,
    mail::{html_view::html_view, parts::Parts},
};

/// Mails that are looked at: as many as the sandbox keeps.
const MAILS_MAX: usize = 500;
/// Mails of a page.
const ROWS: usize = 100;
/// Recipients named in one line.
const RECIPIENTS_SHOWN: usize = 3;

/// How a mail is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tab {
    Html,
    Text,
    Headers,
    Source,
}

pub(super) const PLACES: &[Place] = &[
    Place::read("/sandbox", Right::View, list),
    Place::read("/sandbox/:id", Right::View, |visit, args| match args.get("id").strip_suffix(".eml") {
        Some(id) => download(visit, id.parse().map_err(|_| Missing::Nothing)?),
        None => page(visit, args.id()?, None),
    }),
    Place::read("/sandbox/:id/text", Right::View, |visit, args| page(visit, args.id()?, Some(Tab::Text))),
    Place::read("/sandbox/:id/headers", Right::View, |visit, args| page(visit, args.id()?, Some(Tab::Headers))),
    Place::read("/sandbox/:id/source", Right::View, |visit, args| page(visit, args.id()?, Some(Tab::Source))),
    Place::read("/sandbox/:id/frame", Right::View, |visit, args| frame(visit, args.id()?)),
    Place::read("/sandbox/:id/part/:n", Right::View, |visit, args| part::download(visit, args.id()?, args.get("n"))),
];

fn list(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let title = visit.say("Sandbox mail", "サンドボックスのメール");
    let Some(mails) = visit.daemon.sandbox_list(MAILS_MAX)? else { return none(visit, title) };
    let asked = visit.request.param("q").trim().to_lowercase();
    let fits = |mail: &&SandboxMail| {
        let holds = |text: &str| text.to_lowercase().contains(&asked);
        asked.is_empty() || holds(&mail.subject) || holds(&mail.sender) || mail.recipients.iter().any(|to| holds(to))
    };
    let found: Vec<&SandboxMail> = mails.iter().filter(fits).collect();
    // The mail that the page begins behind: new ones come in on top, and move nothing.
    let after = visit.request.param("cursor").parse::<MessageId>().ok();
    let behind = found.iter().position(|mail| after.is_some_and(|after| mail.message < after));
    let rest = &found[if after.is_some() { behind.unwrap_or(found.len()) } else { 0 }..];
    let rows = &rest[..rest.len().min(ROWS)];
    let next = rows.last().filter(|_| rest.len() > ROWS).map(|mail| mail.message.to_string());
    let words = visit.say("Subject, sender or recipient", "件名・差出人・宛先");
    let content = html! {
        (heading(title, visit.say("The newest 500 mails, up to 256 MiB, are kept. Nothing was sent.",
            "新しい順に500通（最大 256 MiB）を保管します。外部には送信していません。")))
        section {
            @if !mails.is_empty() {
                (visit.ask("/sandbox", "find", &html! {
                    input type="search" name="q" value=(visit.request.param("q")) maxlength="200" placeholder=(words) aria-label=(words);
                    button class="plain" { (visit.say("Search", "検索")) }
                }))
            }
            @if mails.is_empty() {
                (empty(visit.say("No mail yet.", "まだメールはありません。"),
                    visit.say("Send one to a relay listener: it appears here, and goes nowhere else.", "リレー用のポートへメールを送ると、ここに表示されます。外部へは送信しません。")))
            } @else if rows.is_empty() {
                (empty(visit.say("No mail fits.", "該当するメールはありません。"), visit.say("Search for less.", "検索語を短くしてください。")))
            } @else {
                ul class="rows spaced" { @for mail in rows { li { (mail_row(visit.lang, mail, &visit.about, visit.now)) } } }
            }
            (super::parts::pager(visit, next.as_deref(), None))
        }
    };
    visit.page(Section::Sandbox, title, &content)
}

/// There is no sandbox: says how there would be one.
fn none(visit: &Visit<'_>, title: &str) -> Answer {
    let content = html! {
        (heading(title, ""))
        section { (empty(
            visit.say("There is no sandbox: mail is really delivered.", "サンドボックスは使われていません。メールは実際に配信されます。"),
            visit.say("With mode = \"sandbox\" in [delivery] all mail is kept here instead. Mail of an API user whose sandbox is on is answered and logged as if it were delivered, but not kept.",
                "[delivery] の mode を \"sandbox\" にすると、すべてのメールを配信せずここに保管します。サンドボックスを有効にした APIユーザーのメールは、配信したものとして応答・記録しますが、保管はしません。"),
        )) }
    };
    let frame = super::Frame { section: None, title, refresh_seconds: 0 };
    Ok(visit.page_with(404, &frame, &content))
}

/// One mail as a line of a list, linked to its page.
pub(super) fn mail_row(lang: Lang, mail: &SandboxMail, about: &About, now: Timestamp) -> Markup {
    html! {
        a class="row mail" href=(lang.href(&format!("/sandbox/{}", mail.message))) {
            span class="what" {
                span class="strong" { (subject(lang, &mail.subject, 160)) }
                span class="reply" { (sender(lang, mail)) " → " (recipients(mail)) }
            }
            time datetime=(mail.at.rfc3339()) { (about.zone.short(mail.at, now)) " · " (size(mail.len)) }
        }
    }
}

fn sender(lang: Lang, mail: &SandboxMail) -> Markup {
    html! {
        @if mail.sender.is_empty() { (lang.say("null sender", "空の差出人")) } @else { (foreign(&mail.sender, 120)) }
    }
}

fn recipients(mail: &SandboxMail) -> Markup {
    html! {
        @for (i, recipient) in mail.recipients.iter().take(RECIPIENTS_SHOWN).enumerate() {
            @if i > 0 { ", " } (foreign(recipient, 120))
        }
        @if mail.recipients.len() > RECIPIENTS_SHOWN { " +" (mail.recipients.len() - RECIPIENTS_SHOWN) }
    }
}

/// One mail. Without a tab it opens as its reader would see it: as HTML, if it has that.
fn page(visit: &Visit<'_>, id: MessageId, asked: Option<Tab>) -> Answer {
    let (mail, source) = visit.daemon.sandbox_read(id)?.ok_or(Missing::Nothing)?;
    let lang = visit.lang;
    let mut title = lang.say("Mail", "メール").to_owned();
    if !mail.subject.is_empty() {
        title = clean(&clip(&mail.subject, 80));
    }
    let parts = Parts::of(&source);
    let has_html = !parts.htmls.is_empty();
    let tab = match asked {
        Some(tab) => tab,
        None if has_html => Tab::Html,
        None => Tab::Text,
    };
    let path = |end: &str| format!("/sandbox/{id}{end}");
    let paths = [path(""), path("/text"), path("/headers"), path("/source")];
    let mut all = vec![
        (paths[1].as_str(), lang.say("Text", "テキスト"), tab == Tab::Text),
        (paths[2].as_str(), lang.say("Headers", "ヘッダー"), tab == Tab::Headers),
        (paths[3].as_str(), lang.say("Source", "ソース"), tab == Tab::Source),
    ];
    if has_html {
        all.insert(0, (paths[0].as_str(), "HTML", tab == Tab::Html));
    }
    let content = html! {
        p class="back" { a href=(lang.href("/sandbox")) { "← " (lang.say("Sandbox mail", "サンドボックスのメール")) } }
        div class="heading" {
            h1 { (subject(lang, &mail.subject, 300)) }
            p class="lead" {
                (sender(lang, &mail)) " → " (recipients(&mail)) br;
                (visit.when(mail.at)) " · " (size(mail.len)) " · "
                a href=(lang.href(&format!("/message/{id}"))) { (lang.say("its story", "配信の経過")) } " · "
                a href={ "/sandbox/" (id) ".eml" } { (lang.say("download", "ダウンロード")) }
            }
        }
        section {
            (tabs(visit, lang.say("Views of this mail", "表示の切り替え"), &all))
            @match tab {
                Tab::Html => (shown::html(visit, id, &parts)),
                Tab::Text => (shown::text(visit, &source)),
                Tab::Headers => (shown::headers(&source)),
                Tab::Source => (shown::source(visit, &source)),
            }
        }
        @if matches!(tab, Tab::Html | Tab::Text) && !parts.attachments.is_empty() { (part::list(visit, id, &parts)) }
    };
    visit.page(Section::Sandbox, &title, &content)
}

/// The HTML of a mail, for the frame of its page.
fn frame(visit: &Visit<'_>, id: MessageId) -> Answer {
    let (_, source) = visit.daemon.sandbox_read(id)?.ok_or(Missing::Nothing)?;
    let view = html_view(&Parts::of(&source)).ok_or(Missing::Nothing)?;
    let mut response = Response::html(200, view.document);
    response.policy = Policy::Mail;
    Ok(response)
}

/// The mail as a file.
fn download(visit: &Visit<'_>, id: MessageId) -> Answer {
    let (_, source) = visit.daemon.sandbox_read(id)?.ok_or(Missing::Nothing)?;
    Ok(Response::new(200, "message/rfc822", source)
        .with("Content-Disposition", format!("attachment; filename=\"{id}.eml\"")))
}

#[cfg(test)]
mod tests;
