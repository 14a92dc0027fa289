//! A message's page, and the download of the mail itself.

use std::{io::Read, time::Duration};

use maud::{Markup, html};

use super::{
    super::parts::{class_name, clean, clip, foreign, number, pill, size, subject},
    Answer, Args, Missing, Right, Section, Visit, acts, is_held, language, posts, standing, story, summary,
};
use crate::{
    fact::topic_words,
    http::exchange::{Response, Stream, percent_encode},
    ids::{CONSOLE_USER, MessageId},
    store::{AuditEntry, BodyPlace, Glance, GlanceAsk, Message, Origin, RecipientState, Stood},
};

/// Recipients of a page.
const RECIPIENTS: usize = 25;
/// Waiting recipients whose treatment is explained: each may ask the DNS.
const EXPLAINED_MAX: usize = 3;
/// How long the page waits for the DNS, for all of them: whoever looks for a mail wants its page now.
const DNS_PATIENCE: Duration = Duration::from_millis(300);
/// Letters of an address in the title.
const TITLE_CHARS: usize = 80;
/// Octets that are read at once.
const BLOCK: usize = 64 * 1024;

pub(super) fn page(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let id = args.id()?;
    let from = visit.request.param("recipients-from").parse().unwrap_or(0);
    let ask = GlanceAsk { from, recipients: RECIPIENTS, ..story::asked(visit) };
    let glance = glance_of(visit, id, &ask)?;
    let is_sandboxed = visit.daemon.sandbox_has(id);
    let title = title(visit, &glance);
    let content = html! {
        div class="heading" {
            h1 { (subject(visit.lang, &glance.message.facts.subject, 300)) }
            p class="lead" { (summary::sentence(visit, &glance)) }
        }
        section class=(summary::tone(&glance)) {
            (facts(visit, &glance.message))
            (acts::buttons(visit, &glance, is_sandboxed))
        }
        (recipients(visit, &glance, from)?)
        (story::timeline(visit, &glance)?)
        (posts::deliveries(visit, &glance)?)
        (reasons(visit, &glance))
    };
    visit.page(Section::Mail, &title, &content)
}

/// To whom it goes: what tells one tab of a browser from another.
fn title(visit: &Visit<'_>, glance: &Glance) -> String {
    let Some(first) = glance.recipients.first() else { return visit.say("Message", "メッセージ").to_owned() };
    let to = clean(&clip(first.recipient.address.as_str(), TITLE_CHARS));
    let more = match glance.standing.all() {
        0 | 1 => String::new(),
        n => format!(" +{}", number(n - 1)),
    };
    if visit.lang.japanese { format!("{to}{more} 宛のメール") } else { format!("Mail to {to}{more}") }
}

/// What is asked of a message, as far as it may be seen.
pub(super) fn glance_of(visit: &Visit<'_>, id: MessageId, ask: &GlanceAsk) -> Result<Glance, Missing> {
    visit.daemon.message_glance(id, ask)?.ok_or(Missing::Nothing)
}

fn facts(visit: &Visit<'_>, message: &Message) -> Markup {
    let origin = match message.origin {
        Origin::Smtp => visit.say("by SMTP", "SMTP"),
        Origin::Api => visit.say("by the HTTP API", "HTTP API"),
        Origin::Notice => visit.say("a notice of our own", "自動生成の通知"),
        Origin::Forward => visit.say("mail that came in, passed on", "受信メールの転送"),
    };
    let is_gone = message.place == BodyPlace::Gone;
    html! {
        dl class="facts" {
            dt { (visit.say("Accepted", "受付")) }
            dd {
                (visit.when(message.accepted_at)) " · " (origin)
                @if let Some(ip) = message.source_ip { " · " span class="mono" { (ip) } }
                @if !message.user.is_empty() { " · " (visit.say("user ", "ユーザー ")) (foreign(&message.user, 100)) }
            }
            dt { (visit.say("Envelope sender", "エンベロープFrom")) }
            dd {
                @match &message.sender {
                    Some(sender) => (foreign(sender.as_str(), 320)),
                    None => (visit.say("<> (null sender)", "<>（空の差出人）")),
                }
                @if !message.return_path.domain().is_empty() {
                    " · " (visit.say("goes out at ", "送出時のドメイン：")) (foreign(message.return_path.domain(), 255))
                }
            }
            @for (name, value) in [
                ("From", &message.facts.from),
                ("Message-ID", &message.facts.message_id),
                ("X-Api-Data", &message.facts.api_data),
            ] {
                @if !value.is_empty() { dt { (name) } dd { (foreign(value, 1000)) } }
            }
            dt { (visit.say("Queue id", "キューID")) } dd class="mono" { (message.id) }
            dt { (visit.say("Size and class", "サイズ・優先度")) }
            dd {
                (size(message.len)) " · " (class_name(visit.lang, message.class))
                @if is_gone {
                    " · " (visit.say("the mail itself is no longer kept (", "本文は保存されていません（"))
                    code { "[retention] message_bodies" } (visit.say(")", "）"))
                }
            }
        }
    }
}

fn recipients(visit: &Visit<'_>, glance: &Glance, from: u32) -> Result<Markup, Missing> {
    let all = glance.standing.all();
    let mut rows = Vec::with_capacity(glance.recipients.len());
    for stood in &glance.recipients {
        rows.push(recipient_row(visit, glance, stood)?);
    }
    let from = u64::from(from).min(all);
    let (to, many) = (from + rows.len() as u64, RECIPIENTS as u64);
    let at = |from: u64| visit.link_with(&[("recipients-from", &from.to_string())]);
    Ok(html! {
        section id="recipients" {
            h2 { (visit.say("Recipients", "宛先")) small { (number(all)) } }
            table class="stack" {
                thead {
                    tr {
                        th { (visit.say("Recipient", "宛先")) }
                        th { (visit.say("State", "状態")) }
                        th class="number" { (visit.say("Tries", "試行")) }
                        th { (visit.say("Next try", "次回の試行")) }
                        th { (visit.say("What happened last", "直近の結果")) }
                    }
                }
                tbody { @for row in &rows { (row) } }
            }
            @if all > many {
                p class="onward" {
                    (number((from + 1).min(to))) "–" (number(to)) " / " (number(all))
                    @if from > 0 { " · " a href={ (at(from.saturating_sub(many))) "#recipients" } { "← " (visit.say("Before", "前へ")) } }
                    @if to < all { " · " a href={ (at(to)) "#recipients" } { (visit.say("Next", "次へ")) " →" } }
                }
            }
        }
    })
}

fn recipient_row(visit: &Visit<'_>, glance: &Glance, stood: &Stood) -> Result<Markup, Missing> {
    let recipient = &stood.recipient;
    let word = standing(recipient);
    let due = match &recipient.state {
        RecipientState::Waiting { due, .. } if !is_held(recipient) => Some(*due),
        RecipientState::Waiting { .. } | RecipientState::Final(_) => None,
    };
    let address = recipient.address.as_str();
    let index = recipient.key.index.to_string();
    let meaning = summary::last_meaning(stood);
    let scopes = visit.daemon.suppressions().scopes(address)?;
    let is_suppressed = scopes.iter().any(|scope| scope.is_empty() || *scope == glance.message.user);
    Ok(html! {
        tr {
            td class="strong destination" {
                (foreign(address, 320))
                span class="aside" {
                    @if glance.standing.all() > 1 {
                        a class="soft" href={ (visit.link_with(&[("recipient", &index), ("before", "")])) "#story" } {
                            (visit.say("its story", "経過"))
                        }
                        " · "
                    }
                    a class="soft" href=(visit.href(&format!("/find?key={}", percent_encode(address)))) {
                        (visit.say("all its mail", "この宛先のメール一覧"))
                    }
                }
            }
            td {
                (pill(word, visit.lang.event(word)))
                @if is_suppressed { " " (pill("failed", visit.say("suppressed", "配信停止中"))) }
            }
            td class="number left" data-label=(visit.say("Tries", "試行")) { (recipient.attempts) }
            td class="nowrap" data-label=[due.map(|_| visit.say("Next try", "次回の試行"))] { @if let Some(due) = due { (visit.lang.next_try(due, visit.now)) } }
            td class="wide" {
                @if let Some(plain) = meaning { (plain.says(language(visit.lang))) }
                @if !recipient.last_reply.is_empty() { span class="reply clip" { (foreign(&recipient.last_reply, 600)) } }
                (acts::of_recipient(visit, glance, recipient, is_suppressed))
            }
        }
    })
}

/// How the first waiting recipients are treated, and why.
fn reasons(visit: &Visit<'_>, glance: &Glance) -> Markup {
    let clock = visit.daemon.clock();
    let until = clock.instant() + DNS_PATIENCE;
    let left = || until.saturating_duration_since(clock.instant());
    let explained: Vec<_> = glance
        .waiting
        .iter()
        .take(EXPLAINED_MAX)
        .map(|recipient| (recipient, visit.daemon.facts_of(&glance.message, recipient, left())))
        .filter(|(_, facts)| !facts.is_empty())
        .collect();
    html! {
        @if !explained.is_empty() {
            section {
                h2 { (visit.say("How it goes, and why", "配信方法とその理由")) }
                @for (recipient, facts) in &explained {
                    @if explained.len() > 1 { p class="strong whom" { (foreign(recipient.address.as_str(), 320)) } }
                    dl class="facts" {
                        @for fact in facts {
                            dt { (topic_words(fact.topic, visit.lang.language())) }
                            dd { (foreign(fact.says.words(language(visit.lang)), 1000)) }
                        }
                    }
                }
            }
        }
    }
}

/// The content opens an account of the console: whoever reads it takes the account over, the group administrator's, too.
pub(super) fn is_for_its_recipient_alone(message: &Message) -> bool {
    message.user == CONSOLE_USER
}

/// Whoever takes a whole mail, or a part of it, stands in the operation log.
pub(in crate::http::console) fn note_download(visit: &Visit<'_>, id: MessageId, octets: u64) -> Result<(), Missing> {
    debug_assert!(visit.may(Right::Download), "the table of places asks for it");
    Ok(visit.daemon.audit(AuditEntry {
        at: visit.now,
        who: visit.who(),
        from: visit.from(),
        act: "message.download".to_owned(),
        object: id.to_string(),
        detail: format!("{octets} octets"),
    })?)
}

/// The mail as it is stored.
pub(super) fn download(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let id = args.id()?;
    let message = glance_of(visit, id, &GlanceAsk::default())?.message;
    if message.place == BodyPlace::Gone {
        return visit.refuse(
            404,
            visit.say(
                "The mail itself is no longer kept: [retention] message_bodies says for how long finished mail is.",
                "本文は保存されていません。完了したメールの本文を保存する期間は [retention] message_bodies で設定します。",
            ),
        );
    }
    if is_for_its_recipient_alone(&message) {
        return visit.refuse(
            403,
            visit.say(
                "This mail is for its recipient alone: the link in it opens an account of the console.",
                "このメールは受信者本人だけのものです。管理画面のアカウントを開くリンクが含まれているため、ダウンロードできません。",
            ),
        );
    }
    let mut reader = visit.daemon.open_body(&message)?;
    note_download(visit, id, message.len)?;
    let stream: Stream = Box::new(move |to| {
        let mut block = vec![0; BLOCK];
        loop {
            // A damaged body ends the answer visibly, without its last chunk.
            match reader.read(&mut block)? {
                0 => return Ok(()),
                n => to.write_all(&block[..n])?,
            }
        }
    });
    Ok(Response::stream("message/rfc822", stream)
        .with("Content-Disposition", format!("attachment; filename=\"{id}.eml\"")))
}
