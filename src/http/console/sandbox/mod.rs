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
    logs::filter::users,
    mail::note_download,
    parts::{Field, clean, clip, empty, foreign, heading, size, subject, tabs},
};
use crate::{
    clock::Timestamp,
    config::Mode,
    http::{
        daemon::About,
        exchange::{Policy, Response, percent_encode},
        words::Lang,
    },
    ids::MessageId,
    mail::{html_view::html_view, parts::Parts},
    sandbox::{MAILS_MAX, SandboxMail},
};

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
    Place::read("/sandbox/:id", Right::View, |visit, args| page(visit, args.id()?, None)),
    Place::read("/sandbox/:id/text", Right::View, |visit, args| page(visit, args.id()?, Some(Tab::Text))),
    Place::read("/sandbox/:id/headers", Right::View, |visit, args| page(visit, args.id()?, Some(Tab::Headers))),
    Place::read("/sandbox/:id/source", Right::View, |visit, args| page(visit, args.id()?, Some(Tab::Source))),
    Place::read("/sandbox/:id/frame", Right::View, |visit, args| frame(visit, args.id()?)),
    Place::read("/sandbox/:id/mail.eml", Right::Download, |visit, args| download(visit, args.id()?)),
    Place::read("/sandbox/:id/part/:n", Right::Download, |visit, args| {
        part::download(visit, args.id()?, args.get("n"))
    }),
];

fn list(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let title = visit.say("Sandbox mail", "サンドボックスのメール");
    let mails = visit.daemon.sandbox_list(MAILS_MAX)?;
    let (asked, user) = (visit.request.param("q").trim().to_lowercase(), visit.request.param("user"));
    let fits = |mail: &&SandboxMail| {
        let holds = |text: &str| text.to_lowercase().contains(&asked);
        let is_asked = asked.is_empty()
            || holds(&mail.subject)
            || holds(&mail.sender)
            || mail.recipients.iter().any(|to| holds(to));
        is_asked && (user.is_empty() || mail.user == user)
    };
    let found: Vec<&SandboxMail> = mails.iter().filter(fits).collect();
    // The mail that the page begins behind: new ones come in on top, and move nothing.
    let after = visit.request.param("cursor").parse::<MessageId>().ok();
    let behind = found.iter().position(|mail| after.is_some_and(|after| mail.message < after));
    let rest = &found[if after.is_some() { behind.unwrap_or(found.len()) } else { 0 }..];
    let rows = &rest[..rest.len().min(ROWS)];
    let next = rows.last().filter(|_| rest.len() > ROWS).map(|mail| mail.message.to_string());
    let lead = visit.say(
        "Mail that was kept here and sent nowhere: the newest 500, up to 256 MiB, as they were accepted. DKIM signatures and unsubscribe links are added to mail that leaves, not to these.",
        "外部に送信せず、ここに保管したメールです。新しい順に500通（最大 256 MiB）を、受け付けたときの内容で保管します。DKIM署名と配信解除リンクは送信時に付くため、ここには含まれません。",
    );
    let content = html! {
        (heading(title, lead))
        @if !mails.is_empty() { (filters(visit)) }
        section {
            @if mails.is_empty() {
                (nothing(visit))
            } @else if rows.is_empty() {
                (empty(visit.say("No mail fits.", "該当するメールはありません。"), visit.say("Search for less, or for any API user.", "検索語を短くするか、APIユーザーの条件を外してください。")))
            } @else {
                ul class="rows spaced" { @for mail in rows { li { (mail_row(visit.lang, mail, &visit.about, visit.now)) } } }
            }
            (super::parts::pager(visit, next.as_deref(), None))
        }
    };
    visit.page(Section::Sandbox, title, &content)
}

fn filters(visit: &Visit<'_>) -> Markup {
    let words = Field {
        name: "q",
        label: visit.say("Search for", "検索語"),
        placeholder: visit.say("subject, sender, recipient", "件名・差出人・宛先"),
        value: visit.request.param("q"),
        max: 200,
        kind: "search",
        ..Field::default()
    };
    let content = html! {
        div class="fields" {
            (words.show())
            (users(visit, visit.request.param("user")))
        }
        div class="actions" {
            button { (visit.say("Search", "検索")) }
            a class="button plain" href=(visit.href("/sandbox")) { (visit.say("Clear", "条件をクリア")) }
        }
    };
    html! { section class="filters" { (visit.ask("/sandbox", "", &content)) } }
}

/// Nothing is kept: says what comes here, or how anything would.
fn nothing(visit: &Visit<'_>) -> Markup {
    if visit.about.mode == Mode::Sandbox {
        return empty(
            visit.say("No mail yet.", "まだメールはありません。"),
            visit.say(
                "Send one to a relay listener: it appears here, and goes nowhere else.",
                "リレー用のポートへメールを送ると、ここに表示されます。外部へは送信しません。",
            ),
        );
    }
    let is_in_use = visit.daemon.users().list().iter().any(|account| account.rights.sandbox);
    if is_in_use {
        return empty(
            visit.say("No mail yet.", "まだメールはありません。"),
            visit.say(
                "What API users with their sandbox on send appears here, and goes nowhere else. All other mail is delivered.",
                "サンドボックスを有効にした APIユーザーが送ったメールは、ここに表示され、外部へは送信しません。それ以外のメールは通常どおり配信します。",
            ),
        );
    }
    html! {
        (empty(
            visit.say("No sandbox is in use: all mail is delivered.", "サンドボックスは使われていません。メールはすべて配信します。"),
            visit.say(
                "To try a program out, give it an API user with its sandbox on: what it sends is answered and logged as if it were delivered, and kept here instead. To keep all mail here, set mode = \"sandbox\" in [delivery] and restart.",
                "プログラムの動作確認には、サンドボックスを有効にした APIユーザーを使ってください。送ったメールは配信したものとして応答・記録し、配信せずここに保管します。すべてのメールを保管するには、[delivery] の mode を \"sandbox\" にして再起動してください。",
            ),
        ))
        @if visit.may(Right::Administer) {
            p class="actions" { a class="button plain" href=(visit.href("/users")) { (visit.say("API users", "APIユーザー")) } }
        }
    }
}

/// One mail as a line of a list, linked to its page.
pub(super) fn mail_row(lang: Lang, mail: &SandboxMail, about: &About, now: Timestamp) -> Markup {
    html! {
        a class="row mail" href=(lang.href(&format!("/sandbox/{}", mail.message))) {
            span class="what" {
                span class="strong" { (subject(lang, &mail.subject, 160)) }
                span class="reply" { (sender(lang, mail)) " → " (recipients(mail)) @if !mail.user.is_empty() { " · " (user(lang, mail)) } }
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

fn user(lang: Lang, mail: &SandboxMail) -> Markup {
    html! { (lang.say("API user ", "APIユーザー ")) (foreign(&mail.user, 64)) }
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
                @if !mail.user.is_empty() {
                    a href=(lang.href(&format!("/sandbox?user={}", percent_encode(&mail.user)))) { (user(lang, &mail)) } " · "
                }
                (visit.when(mail.at)) " · " (size(mail.len)) " · "
                a href=(lang.href(&format!("/message/{id}"))) { (lang.say("its story", "配信の経過")) }
                @if visit.may(Right::Download) {
                    " · " a href=(path("/mail.eml")) { (lang.say("download", "ダウンロード")) }
                }
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
    note_download(visit, id, source.len() as u64)?;
    Ok(Response::new(200, "message/rfc822", source)
        .with("Content-Disposition", format!("attachment; filename=\"{id}.eml\"")))
}

#[cfg(test)]
mod tests;
