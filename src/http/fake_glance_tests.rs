//! The made-up daemon's stories, as a glance at a message has them, and what was said in their attempts.

use super::fake::HOSTILE;
use crate::{
    clock::Timestamp,
    event::Event,
    http::daemon::{About, visible_story},
    smtp::conversation::{CONVERSATION_OCTETS_MAX, Conversation, Said},
    store::{Glance, GlanceAsk, LogRow, RecipientState, Standing, Stood, Story, WAITING_NAMED_MAX},
};

/// What a glance at this story says.
pub(super) fn glance(story: &Story, ask: &GlanceAsk, about: &About, now: Timestamp) -> Glance {
    let story = visible_story(story.clone(), &about.retention, now);
    let mut standing = Standing::default();
    story.recipients.iter().for_each(|r| standing.add(&r.state));
    let of = |index: u32| story.recipients.iter().find(|r| r.key.index == index).cloned();
    let last = |key| story.events.iter().rev().find(|event: &&Event| event.key == key).cloned();
    let mut places: Vec<usize> = (0..story.events.len())
        .filter(|place| ask.only.is_none_or(|index| story.events[*place].key.index == index))
        .filter(|place| ask.before.is_none_or(|before| story.numbers[*place] < before))
        .collect();
    let hidden = places.len().saturating_sub(ask.entries);
    let earlier = (hidden > 0).then(|| story.numbers[places[hidden - 1]] + 1);
    places.drain(..hidden);
    let row = |place: usize| LogRow {
        event: story.events[place].clone(),
        number: story.numbers[place],
        recipient: of(story.events[place].key.index).map_or_else(String::new, |r| r.address.as_str().to_owned()),
        message: story.message.clone(),
        links: story.links(place),
    };
    let shown = story.recipients.iter().skip(ask.from as usize).take(ask.recipients);
    let waits = story.recipients.iter().filter(|r| matches!(r.state, RecipientState::Waiting { .. }));
    Glance {
        message: story.message.clone(),
        standing,
        came_back: story.events.iter().any(|event| event.kind.is_return()),
        recipients: shown.map(|r| Stood { recipient: r.clone(), last: last(r.key) }).collect(),
        waiting: waits.take(WAITING_NAMED_MAX).cloned().collect(),
        only: ask.only.and_then(of),
        entries: places.into_iter().map(row).collect(),
        earlier,
    }
}

/// What was said in every attempt: all kinds of lines, and a peer who tries everything.
pub(super) fn conversation() -> Conversation {
    let hostile = format!("550-5.7.1 {HOSTILE}\n550 5.7.1 <b>you</b>");
    let mut out = Conversation::default();
    for (at, said, text) in [
        (Some(0), Said::Host, "mx1.example.com[198.51.100.7]:25"),
        (None, Said::Reused, "3 42"),
        (Some(21), Said::Peer, "220 mx1.example.com ESMTP"),
        (Some(22), Said::We, "EHLO relay.example.jp"),
        (Some(43), Said::Peer, "250-mx1.example.com\n250-STARTTLS\n250 SIZE 1000"),
        (Some(61), Said::Tls, "TLSv1.3 TLS13_AES_256_GCM_SHA384 unverified"),
        (Some(61), Said::Secret, "AUTH PLAIN"),
        (Some(80), Said::We, "MAIL FROM:<shop@example.jp>"),
        (Some(90), Said::Others, "2"),
        (Some(1_090), Said::Peer, hostile.as_str()),
        (Some(1_100), Said::Content, "20480"),
        (Some(1_200), Said::LeftOut, ""),
        (Some(1_300), Said::Silent, "5m"),
        (Some(1_400), Said::Closed, ""),
    ] {
        out.push(at, said, text, CONVERSATION_OCTETS_MAX);
    }
    out
}
