//! A message's story: what it is, where each recipient stands, and everything that happened, oldest first; and the search.

use maud::{Markup, html};

use super::{
    Answer, Frame, Missing,
    care::class_name,
    foreign,
    home::{find_box, line_of},
    layout, subject,
    words::{Lang, size},
};
use crate::{
    clock::Timestamp,
    event::{Event, EventKind, Trouble, WaitReason},
    http::{
        daemon::{About, Daemon, visible_story},
        exchange::{Request, Response},
        rows::error_word,
    },
    ids::MessageId,
    store::{Linked, LogRow, Message, Origin, Recipient, RecipientState, Story},
};

/// Recipients shown of one message.
const RECIPIENTS_MAX: usize = 200;
/// Events shown of one message.
const EVENTS_MAX: usize = 500;
/// Waiting recipients whose treatment is explained: each may ask the DNS.
const EXPLAINED_MAX: usize = 3;
/// Messages that the search shows.
const FOUND_MAX: usize = 50;

pub(super) fn page(daemon: &dyn Daemon, request: &Request, id: MessageId) -> Answer {
    let lang = Lang::of(request);
    let about = daemon.about();
    let now = daemon.now();
    let story = daemon.message_story(id)?.ok_or(Missing::Nothing)?;
    let story = visible_story(story, &about.retention, now);
    let kept = daemon.sandbox_read(id)?.is_some();
    let title = lang.say("Message", "メッセージ");
    let content = html! {
        p class="back" { a href=(lang.href("/")) { "← " (lang.say("Front page", "トップページ")) } }
        div class="heading" {
            h1 { (subject(lang, &story.message.facts.subject, 300)) }
            @if kept {
                p class="lead" { a href=(lang.href(&format!("/sandbox/{id}"))) { (lang.say("See the mail itself", "メールの内容を見る")) } }
            }
        }
        section { (facts(lang, &story.message, &about)) }
        (recipients(lang, &story, now))
        (reasons(lang, daemon, &story))
        (events(lang, &story, &about, now))
    };
    let frame = Frame { lang, request, about: Some(&about), title, refresh: false };
    Ok(Response::html(200, layout(&frame, &content).into_string()))
}

fn facts(lang: Lang, message: &Message, about: &About) -> Markup {
    let null = lang.say("<> (null sender)", "<>（空の差出人）");
    let origin = match message.origin {
        Origin::Smtp => lang.say("by SMTP", "SMTP"),
        Origin::Api => lang.say("by the HTTP API", "HTTP API"),
        Origin::Notice => lang.say("a notice of our own", "自動生成の通知"),
        Origin::Forward => lang.say("mail that came in, passed on", "受信メールの転送"),
    };
    html! {
        dl class="facts" {
            dt { (lang.say("Queue id", "キューID")) } dd class="mono" { (message.id) }
            dt { (lang.say("Accepted", "受付")) }
            dd {
                (about.zone.full(message.accepted_at)) " · " (origin)
                @if let Some(ip) = message.source_ip { " · " span class="mono" { (ip) } }
                @if !message.user.is_empty() { " · " (lang.say("user ", "ユーザー ")) (foreign(&message.user, 100)) }
            }
            dt { (lang.say("Envelope sender", "エンベロープFrom")) }
            dd { @match &message.sender { Some(sender) => (foreign(sender.as_str(), 320)), None => (null) } }
            @for (name, value) in [
                (lang.say("From", "From"), &message.facts.from),
                (lang.say("Message-ID", "Message-ID"), &message.facts.message_id),
                (lang.say("X-Api-Data", "X-Api-Data"), &message.facts.api_data),
            ] {
                @if !value.is_empty() { dt { (name) } dd { (foreign(value, 1000)) } }
            }
            dt { (lang.say("Size and class", "サイズ・優先度")) } dd { (size(message.len)) " · " (class_name(lang, message.class)) }
        }
    }
}

fn recipients(lang: Lang, story: &Story, now: Timestamp) -> Markup {
    html! {
        section {
            h2 { (lang.say("Recipients", "宛先")) small { (story.recipients.len()) } }
            table class="stack" {
                thead {
                    tr {
                        th { (lang.say("Recipient", "宛先")) }
                        th { (lang.say("State", "状態")) }
                        th class="number" { (lang.say("Tries", "試行")) }
                        th { (lang.say("Next try", "次回の試行")) }
                        th { (lang.say("Last answer", "直近の応答")) }
                    }
                }
                tbody {
                    @for recipient in story.recipients.iter().take(RECIPIENTS_MAX) { (recipient_row(lang, recipient, now)) }
                }
            }
            @if story.recipients.len() > RECIPIENTS_MAX {
                p class="empty" { (lang.say("Only the first 200 are shown: ", "先頭の200件のみ表示しています: ")) code { "hikyaku queue show " (story.message.id) } }
            }
        }
    }
}

fn recipient_row(lang: Lang, recipient: &Recipient, now: Timestamp) -> Markup {
    let (class, due) = match &recipient.state {
        RecipientState::Waiting { due, .. } if *due == Timestamp::MAX => ("held", None),
        RecipientState::Waiting { due, wait: WaitReason::Scheduled } => ("scheduled", Some(*due)),
        RecipientState::Waiting { due, .. } => ("waiting", Some(*due)),
        RecipientState::Final(kind) => (kind.word(), None),
    };
    html! {
        tr {
            td class="strong destination" { (foreign(recipient.address.as_str(), 320)) }
            td { span class={ "pill " (class) } { (lang.event(class)) } }
            td class="number left" data-label=(lang.say("Tries", "試行")) { (recipient.attempts) }
            td class="nowrap" data-label=[due.map(|_| lang.say("Next try", "次回"))] { @if let Some(due) = due { (lang.next_try(due, now)) } }
            td class="wide reply" { (foreign(&recipient.last_reply, 1000)) }
        }
    }
}

/// How the first waiting recipients are treated, and why.
fn reasons(lang: Lang, daemon: &dyn Daemon, story: &Story) -> Markup {
    let waiting = story.recipients.iter().filter(|r| matches!(r.state, RecipientState::Waiting { .. }));
    let explained: Vec<_> = waiting
        .take(EXPLAINED_MAX)
        .map(|recipient| (recipient, daemon.facts_of(&story.message, recipient)))
        .filter(|(_, facts)| !facts.is_empty())
        .collect();
    html! {
        @if !explained.is_empty() {
            section {
                h2 { (lang.say("How it goes, and why", "配信方法とその理由")) }
                @for (recipient, facts) in &explained {
                    @if explained.len() > 1 { p class="strong whom" { (foreign(recipient.address.as_str(), 320)) } }
                    dl class="facts" {
                        @for fact in facts {
                            dt { (lang.topic(fact.topic)) }
                            dd { (foreign(&fact.says, 1000)) }
                        }
                    }
                }
            }
        }
    }
}

fn events(lang: Lang, story: &Story, about: &About, now: Timestamp) -> Markup {
    let address =
        |event: &Event| story.recipients.iter().find(|r| r.key == event.key).map_or("", |r| r.address.as_str());
    html! {
        section {
            h2 { (lang.say("What happened", "経過")) }
            @if story.events.is_empty() {
                p class="empty" { (lang.say("The log of this message is past its retention.", "この記録は保存期間を過ぎました。")) }
            }
            ol class="timeline" {
                @for (place, event) in story.events.iter().take(EVENTS_MAX).enumerate() {
                    li class=(event.kind.word()) id=[story.numbers.get(place).map(|n| format!("e{n}"))] {
                        time datetime=(event.at.rfc3339()) { (about.zone.full(event.at)) } " "
                        span class={ "pill " (event.kind.word()) } { (lang.event(event.kind.word())) }
                        p { span class="strong" { (foreign(address(event), 320)) } }
                        (details(lang, event, now))
                        @for link in &story.links(place) {
                            p class="reply" { a href={ "#e" (link.number) } { (link_line(lang, link, about)) } }
                        }
                    }
                }
            }
        }
    }
}

fn details(lang: Lang, event: &Event, now: Timestamp) -> Markup {
    html! {
        @if let Some(detail) = &event.detail {
            @if !detail.reply.is_empty() { p class="reply" { (foreign(&detail.reply, 2000)) } }
            p class="reply" {
                @if event.attempt > 0 { (lang.say("try ", "試行 ")) (event.attempt) " · " }
                @if !detail.host.is_empty() { (foreign(&detail.host, 255)) }
                @if let Some(address) = detail.address { " " span class="mono" { (address) } }
                @if !detail.tls.is_empty() { " · " (foreign(&detail.tls, 200)) }
                @if let Some(phase) = detail.phase { " · " (phase.word()) }
                @if let Some(class) = detail.error {
                    " · " (error_word(class))
                    @if let Some(trouble) = detail.trouble { " · " (trouble_name(lang, trouble)) }
                    " · " (strength(lang, detail.hard))
                }
                @if detail.possible_duplicate { " · " (lang.say("possible duplicate", "重複の可能性あり")) }
                @if !event.kind.is_return() { " · " (detail.duration.as_millis()) " ms" }
            }
        }
        @if let Some(operator) = &event.operator { p class="reply" { (lang.say("by ", "実行者: ")) (foreign(operator, 200)) } }
        @if let Some(next) = event.next_try && next > now {
            p class="reply" { (lang.say("next try ", "次回の試行: ")) (lang.relative(next, now)) }
        }
    }
}

/// What another event is about, or what came back about it (R11): what, when, and what it says.
fn link_line(lang: Lang, link: &Linked, about: &About) -> Markup {
    let event = &link.event;
    html! {
        @if event.kind.is_return() {
            (lang.say("came back later: ", "その後の返送: "))
        } @else {
            (lang.say("about: ", "対象の配信: "))
        }
        (lang.event(event.kind.word())) " " (about.zone.full(event.at))
        @if let Some(detail) = event.detail.as_ref().filter(|_| event.kind.is_error()) {
            @if let Some(class) = detail.error { " · " (error_word(class)) " · " (strength(lang, detail.hard)) }
            " · " (foreign(&detail.reply, 300))
        }
    }
}

fn strength(lang: Lang, hard: bool) -> &'static str {
    if hard { lang.say("hard", "ハード") } else { lang.say("soft", "ソフト") }
}

/// Whose trouble a failure is.
fn trouble_name(lang: Lang, trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Recipient => lang.say("the recipient's", "宛先の問題"),
        Trouble::Reputation => lang.say("our reputation", "送信元の評価"),
        Trouble::Authentication => lang.say("our authentication", "送信ドメイン認証"),
        Trouble::Content => lang.say("the content", "メールの内容"),
        Trouble::Destination => lang.say("the destination's", "配信先の問題"),
        Trouble::Policy => lang.say("policy", "ポリシー"),
    }
}

/// One event as a line of a list, linked to its message.
pub(super) fn event_row(lang: Lang, row: &LogRow, about: &About, now: Timestamp) -> Markup {
    let kind = row.event.kind;
    let reply = row.event.detail.as_ref().map_or("", |d| d.reply.as_str());
    html! {
        a class="row" href=(lang.href(&format!("/message/{}", row.message.id))) {
            time datetime=(row.event.at.rfc3339()) { (about.zone.short(row.event.at, now)) }
            span { span class={ "pill " (kind.word()) } { (lang.event(kind.word())) } }
            span class="what" {
                span class="strong" { (foreign(&row.recipient, 120)) }
                " " span class="soft" { (line_of(lang, &row.message.facts.subject, row.message.len)) }
                @match kind {
                    EventKind::Deferred | EventKind::Failed | EventKind::Bounced | EventKind::Complained if !reply.is_empty() => {
                        span class="reply clip" { (foreign(reply, 300)) }
                    },
                    EventKind::Queued | EventKind::Deferred | EventKind::Succeeded | EventKind::Failed | EventKind::Dropped => {},
                    EventKind::Bounced | EventKind::Complained => {},
                }
                @if let Some(link) = row.links.last() {
                    span class="reply clip" { (link_line(lang, link, about)) }
                }
            }
        }
    }
}

/// `/find?key=`: goes to the one message that is found, or lists them.
pub(super) fn find(daemon: &dyn Daemon, request: &Request) -> Answer {
    let lang = Lang::of(request);
    let about = daemon.about();
    let now = daemon.now();
    let key = request.param("key").trim();
    let ids = if key.is_empty() { Vec::new() } else { daemon.find(key, FOUND_MAX)? };
    if let [id] = ids.as_slice() {
        return Ok(Response::text(303, "").with("Location", lang.href(&format!("/message/{id}"))));
    }
    let mut found = Vec::new();
    for id in ids {
        found.extend(daemon.message_story(id)?);
    }
    let title = lang.say("Where is my mail?", "メールを探す");
    let content = html! {
        p class="back" { a href=(lang.href("/")) { "← " (lang.say("Front page", "トップページ")) } }
        (find_box(lang, key))
        @if !key.is_empty() {
            section {
                @if found.is_empty() {
                    p class="empty" { (lang.say("No message has this key. Recipients and identifiers are compared whole.",
                        "該当するメッセージはありません。宛先や ID は完全一致で検索します。")) }
                } @else {
                    ul class="rows" { @for story in &found { li { (story_row(lang, story, &about, now)) } } }
                }
            }
        }
    };
    let frame = Frame { lang, request, about: Some(&about), title, refresh: false };
    Ok(Response::html(200, layout(&frame, &content).into_string()))
}

fn story_row(lang: Lang, story: &Story, about: &About, now: Timestamp) -> Markup {
    let first = story.recipients.first();
    let word = match first.map(|r| &r.state) {
        Some(RecipientState::Final(kind)) => kind.word(),
        Some(RecipientState::Waiting { due, .. }) if *due == Timestamp::MAX => "held",
        Some(RecipientState::Waiting { wait: WaitReason::Scheduled, .. }) => "scheduled",
        Some(RecipientState::Waiting { .. }) | None => "waiting",
    };
    html! {
        a class="row" href=(lang.href(&format!("/message/{}", story.message.id))) {
            time datetime=(story.message.accepted_at.rfc3339()) { (about.zone.short(story.message.accepted_at, now)) }
            span { span class={ "pill " (word) } { (lang.event(word)) } }
            span class="what" {
                span class="strong" { (line_of(lang, &story.message.facts.subject, story.message.len)) }
                span class="reply" {
                    @if let Some(first) = first { (foreign(first.address.as_str(), 200)) }
                    @if story.recipients.len() > 1 { " +" (story.recipients.len() - 1) }
                }
            }
        }
    }
}
