//! A message's page, and the download of the mail itself.

use std::io::Read;

use maud::{Markup, html};

use super::{
    super::parts::{class_name, foreign, number, pill, size, subject},
    Answer, Args, Missing, Right, Section, Visit, acts, is_held, language, posts, standing, story, summary, waits,
};
use crate::{
    http::{
        daemon::visible_story,
        exchange::{Response, Stream},
    },
    ids::CONSOLE_USER,
    store::{AuditEntry, BodyPlace, Message, Origin, Recipient, RecipientState, Story},
};

/// Recipients of a page.
const RECIPIENTS: usize = 25;
/// Waiting recipients whose treatment is explained: each may ask the DNS.
const EXPLAINED_MAX: usize = 3;
/// Octets that are read at once.
const BLOCK: usize = 64 * 1024;

pub(super) fn page(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let id = args.id()?;
    let story = visit.daemon.message_story(id)?.ok_or(Missing::Nothing)?;
    let story = visible_story(story, &visit.about.retention, visit.now);
    let is_sandboxed = visit.daemon.sandbox_read(id)?.is_some();
    let title = visit.say("Message", "メッセージ");
    let content = html! {
        div class="heading" {
            h1 { (subject(visit.lang, &story.message.facts.subject, 300)) }
            p class="lead" { (summary::sentence(visit, &story)) }
        }
        section class=(summary::tone(&story)) {
            (facts(visit, &story.message))
            (acts::buttons(visit, &story, is_sandboxed))
        }
        (recipients(visit, &story)?)
        (story::timeline(visit, &story)?)
        (posts::deliveries(visit, &story)?)
        (reasons(visit, &story))
    };
    visit.page(Section::Mail, title, &content)
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
                    " · " (visit.say("goes out at ", "送出時のドメイン: ")) (foreign(message.return_path.domain(), 255))
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

fn recipients(visit: &Visit<'_>, story: &Story) -> Result<Markup, Missing> {
    let all = story.recipients.len();
    let from = visit.request.param("recipients-from").parse::<usize>().unwrap_or(0).min(all);
    let shown = story.recipients.get(from..).unwrap_or_default().iter().take(RECIPIENTS);
    let mut rows = Vec::new();
    for recipient in shown {
        rows.push(recipient_row(visit, story, recipient)?);
    }
    let to = from + rows.len();
    let at = |from: usize| visit.link_with(&[("recipients-from", &from.to_string())]);
    Ok(html! {
        section id="recipients" {
            h2 { (visit.say("Recipients", "宛先")) small { (number(all as u64)) } }
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
            @if all > RECIPIENTS {
                p class="onward" {
                    (number(from as u64 + 1)) "–" (number(to as u64)) " / " (number(all as u64))
                    @if from > 0 { " · " a href={ (at(from.saturating_sub(RECIPIENTS))) "#recipients" } { "← " (visit.say("Before", "前へ")) } }
                    @if to < all { " · " a href={ (at(to)) "#recipients" } { (visit.say("Next", "次へ")) " →" } }
                }
            }
        }
    })
}

fn recipient_row(visit: &Visit<'_>, story: &Story, recipient: &Recipient) -> Result<Markup, Missing> {
    let word = standing(recipient);
    let due = match &recipient.state {
        RecipientState::Waiting { due, .. } if !is_held(recipient) => Some(*due),
        RecipientState::Waiting { .. } | RecipientState::Final(_) => None,
    };
    let address = recipient.address.as_str();
    let index = recipient.key.index.to_string();
    let meaning = summary::last_meaning(story, recipient);
    let scopes = visit.daemon.suppressions().scopes(address)?;
    let is_suppressed = scopes.iter().any(|scope| scope.is_empty() || *scope == story.message.user);
    Ok(html! {
        tr {
            td class="strong destination" {
                (foreign(address, 320))
                @if story.recipients.len() > 1 {
                    " " a class="soft" href={ (visit.link_with(&[("recipient", &index), ("before", "")])) "#story" } {
                        (visit.say("its story", "経過"))
                    }
                }
            }
            td {
                (pill(word, visit.lang.event(word)))
                @if is_suppressed { " " (pill("failed", visit.say("suppressed", "配信停止中"))) }
            }
            td class="number left" data-label=(visit.say("Tries", "試行")) { (recipient.attempts) }
            td class="nowrap" data-label=[due.map(|_| visit.say("Next try", "次回"))] { @if let Some(due) = due { (visit.lang.next_try(due, visit.now)) } }
            td class="wide" {
                @if let Some(plain) = meaning { (plain.says(language(visit.lang))) }
                @if !recipient.last_reply.is_empty() { span class="reply clip" { (foreign(&recipient.last_reply, 600)) } }
                (acts::of_recipient(visit, story, recipient, is_suppressed))
            }
        }
    })
}

/// How the first waiting recipients are treated, and why.
fn reasons(visit: &Visit<'_>, story: &Story) -> Markup {
    let waiting = story.recipients.iter().filter(|r| waits(r));
    let explained: Vec<_> = waiting
        .take(EXPLAINED_MAX)
        .map(|recipient| (recipient, visit.daemon.facts_of(&story.message, recipient)))
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
                            dt { (visit.lang.topic(fact.topic)) }
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

/// The mail as it is stored.
pub(super) fn download(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let id = args.id()?;
    let story = visit.daemon.message_story(id)?.ok_or(Missing::Nothing)?;
    let story = visible_story(story, &visit.about.retention, visit.now);
    let message = story.message;
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
                "このメールは受信者本人だけのものです。管理コンソールのアカウントを開くリンクが含まれているため、ダウンロードできません。",
            ),
        );
    }
    debug_assert!(visit.may(Right::Download), "the table of places asks for it");
    let mut reader = visit.daemon.open_body(&message)?;
    visit.daemon.audit(AuditEntry {
        at: visit.now,
        who: visit.who(),
        from: visit.from(),
        act: "message.download".to_owned(),
        object: id.to_string(),
        detail: format!("{} octets", message.len),
    })?;
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
