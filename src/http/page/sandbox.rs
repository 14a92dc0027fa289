//! The sandbox's mail: a list, and each mail as text, headers and source.
//!
//! Always: an HTML part is shown as text; a download is an attachment of type message/rfc822, so that no browser renders it.

use maud::{Markup, html};

use super::{
    Answer, Frame, Missing, foreign, layout, subject,
    words::{Lang, number, size},
};
use crate::{
    clock::Timestamp,
    deliver::sandbox::SandboxMail,
    http::{
        daemon::{About, Daemon},
        exchange::{Request, Response},
    },
    ids::MessageId,
    mail::mime_walk::{View, cut, view},
};

/// Mails in the list: as many as the sandbox keeps.
const MAILS_MAX: usize = 500;
/// Octets of source shown in the page; the download has all.
const SOURCE_MAX: usize = 256 * 1024;
/// Recipients named in one line.
const RECIPIENTS_SHOWN: usize = 3;

/// How a mail is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Text,
    Headers,
    Source,
}

pub(super) fn list(daemon: &dyn Daemon, request: &Request) -> Answer {
    let lang = Lang::of(request);
    let about = daemon.about();
    let now = daemon.now();
    let mails = daemon.sandbox_list(MAILS_MAX)?.ok_or(Missing::Nothing)?;
    let title = lang.say("Sandbox mail", "サンドボックスのメール");
    let content = html! {
        p class="back" { a href=(lang.href("/")) { "← " (lang.say("Front page", "トップページ")) } }
        div class="heading" {
            h1 { (title) }
            p class="lead" { (lang.say("The newest 500 mails, up to 256 MiB, are kept. Nothing was sent.",
                "新しい順に500通（最大 256 MiB）を保管します。外部には送信していません。")) }
        }
        section {
            @if mails.is_empty() {
                p class="empty" { (lang.say("No mail yet.", "まだメールはありません。")) }
            } @else {
                ul class="rows" { @for mail in &mails { li { (mail_row(lang, mail, &about, now)) } } }
            }
        }
    };
    let frame = Frame { lang, request, about: Some(&about), title, refresh: false };
    Ok(Response::html(200, layout(&frame, &content).into_string()))
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

pub(super) fn page(daemon: &dyn Daemon, request: &Request, id: MessageId, tab: Tab) -> Answer {
    let lang = Lang::of(request);
    let about = daemon.about();
    let (mail, source) = daemon.sandbox_read(id)?.ok_or(Missing::Nothing)?;
    let mut title = lang.say("Mail", "メール").to_owned();
    if !mail.subject.is_empty() {
        title = super::clean(&super::words::clip(&mail.subject, 80));
    }
    let content = html! {
        p class="back" { a href=(lang.href("/sandbox")) { "← " (lang.say("Sandbox mail", "サンドボックスのメール")) } }
        div class="heading" {
            h1 { (subject(lang, &mail.subject, 300)) }
            p class="lead" {
                (sender(lang, &mail)) " → " (recipients(&mail)) br;
                (about.zone.full(mail.at)) " · " (size(mail.len)) " · "
                a href=(lang.href(&format!("/message/{id}"))) { (lang.say("its story", "配信の経過")) }
            }
        }
        section {
            (tabs(lang, id, tab))
            @match tab {
                Tab::Text => (text(lang, &view(&source))),
                Tab::Headers => (headers(&view(&source))),
                Tab::Source => (show_source(lang, &source)),
            }
        }
    };
    let frame = Frame { lang, request, about: Some(&about), title: &title, refresh: false };
    Ok(Response::html(200, layout(&frame, &content).into_string()))
}

fn tabs(lang: Lang, id: MessageId, now_shown: Tab) -> Markup {
    let all = [
        (Tab::Text, lang.say("Text", "本文"), format!("/sandbox/{id}")),
        (Tab::Headers, lang.say("Headers", "ヘッダー"), format!("/sandbox/{id}/headers")),
        (Tab::Source, lang.say("Source", "ソース"), format!("/sandbox/{id}/source")),
    ];
    html! {
        nav class="tabs" {
            @for (tab, name, path) in all {
                a href=(lang.href(&path)) aria-current=[(tab == now_shown).then_some("page")] { (name) }
            }
            a class="download" href={ "/sandbox/" (id) ".eml" } { (lang.say("Download", "ダウンロード")) }
        }
    }
}

fn text(lang: Lang, view: &View) -> Markup {
    html! {
        @if view.text_is_from_html {
            p class="empty" { (lang.say("This mail is HTML; here it is as text.", "HTML メールをテキストにして表示しています。")) }
        }
        @if view.text.trim().is_empty() {
            p class="empty" { (lang.say("This mail has no text.", "本文はありません。")) }
        } @else {
            pre class="letter" dir="auto" { (view.text) }
        }
        @if view.text_is_cut {
            p class="empty" { (lang.say("The rest is left out here: download the mail to see all.", "以下は省略しました。全文はダウンロードしてご覧ください。")) }
        }
        @if view.parts.len() > 1 {
            h2 { (lang.say("Parts", "パート")) }
            ul class="rows" {
                @for part in &view.parts {
                    li { div class="row mail" {
                        span class="what" { span class="mono" { (foreign(&part.content_type, 100)) } " " (foreign(&part.name, 200)) }
                        span class="soft" { (size(part.len as u64)) }
                    } }
                }
            }
        }
    }
}

fn headers(view: &View) -> Markup {
    html! {
        dl class="facts" {
            @for (name, value) in &view.fields {
                dt { (foreign(name, 100)) } dd { (foreign(value, 4000)) }
            }
        }
    }
}

fn show_source(lang: Lang, source: &[u8]) -> Markup {
    let (text, is_cut) = cut(&String::from_utf8_lossy(&source[..source.len().min(SOURCE_MAX)]), SOURCE_MAX);
    html! {
        pre { (text) }
        @if is_cut || source.len() > SOURCE_MAX {
            p class="empty" {
                (lang.say("Shown: the first 256 KiB. Octets in all: ", "先頭の 256 KiB を表示しています。全体のバイト数: ")) (number(source.len() as u64))
            }
        }
    }
}

/// The mail as a file.
pub(super) fn download(daemon: &dyn Daemon, id: MessageId) -> Answer {
    let (_, source) = daemon.sandbox_read(id)?.ok_or(Missing::Nothing)?;
    Ok(Response::new(200, "message/rfc822", source)
        .with("Content-Disposition", format!("attachment; filename=\"{id}.eml\"")))
}
