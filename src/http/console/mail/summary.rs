//! Where a message stands, in one sentence, and how its recipients do.

use maud::{Markup, html};

use super::{Visit, is_held, language, waits};
use crate::{
    bounce::plain::{Plain, plain},
    event::{Event, EventKind},
    http::words::number,
    store::{Recipient, RecipientState, Story},
};

/// How many recipients stand where.
#[derive(Default)]
pub(super) struct Count {
    pub waiting: usize,
    pub held: usize,
    succeeded: usize,
    failed: usize,
    dropped: usize,
}

impl Count {
    pub(super) fn of(recipients: &[Recipient]) -> Self {
        let mut count = Count::default();
        for recipient in recipients {
            match &recipient.state {
                RecipientState::Waiting { .. } if is_held(recipient) => count.held += 1,
                RecipientState::Waiting { .. } => count.waiting += 1,
                RecipientState::Final(EventKind::Succeeded) => count.succeeded += 1,
                RecipientState::Final(EventKind::Dropped) => count.dropped += 1,
                RecipientState::Final(_) => count.failed += 1,
            }
        }
        count
    }

    /// Recipients that are not final.
    pub(super) fn open(&self) -> usize {
        self.waiting + self.held
    }
}

/// The last thing that happened to a recipient.
pub(super) fn last_event<'s>(story: &'s Story, recipient: &Recipient) -> Option<&'s Event> {
    story.events.iter().rev().find(|event| event.key == recipient.key)
}

/// What the last thing that happened to a recipient means.
pub(super) fn last_meaning(story: &Story, recipient: &Recipient) -> Option<Plain> {
    plain(last_event(story, recipient)?)
}

/// A sentence: where it stands.
pub(super) fn sentence(visit: &Visit<'_>, story: &Story) -> Markup {
    if let [recipient] = story.recipients.as_slice() {
        return one(visit, story, recipient);
    }
    let count = Count::of(&story.recipients);
    let parts = [
        (count.succeeded, visit.say(" delivered", " 件配信済み")),
        (count.waiting, visit.say(" waiting", " 件待機中")),
        (count.held, visit.say(" held", " 件保留")),
        (count.failed, visit.say(" failed", " 件失敗")),
        (count.dropped, visit.say(" dropped", " 件破棄")),
    ];
    let words: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{}{words}", number(*n as u64))).collect();
    let all = number(u64::from(story.message.recipients));
    html! {
        (visit.say("", "宛先 ")) (all) (visit.say(" recipients: ", " 件: ")) (words.join(visit.say(", ", "、")))
    }
}

fn one(visit: &Visit<'_>, story: &Story, recipient: &Recipient) -> Markup {
    let meaning = last_meaning(story, recipient).map(|plain| plain.says(language(visit.lang)));
    let at = last_event(story, recipient).map(|event| event.at);
    html! {
        @match &recipient.state {
            RecipientState::Waiting { .. } if is_held(recipient) => {
                (visit.say("Held: it is not tried until somebody releases it.", "保留中です。解除するまで配信しません。"))
            },
            RecipientState::Waiting { due, .. } => {
                (visit.say("Waiting: the next try is ", "待機中です。次回の試行: ")) (visit.lang.next_try(*due, visit.now)) (visit.say(".", "。"))
            },
            RecipientState::Final(kind) => {
                @let words = match kind {
                    EventKind::Succeeded => visit.say("Delivered", "配信済み"),
                    EventKind::Dropped => visit.say("Dropped", "破棄済み"),
                    _ => visit.say("Not delivered", "配信できませんでした"),
                };
                (words) @if let Some(at) = at { " " (visit.when(at)) } (visit.say(".", "。"))
            },
        }
        @if let Some(meaning) = meaning.filter(|_| !matches!(recipient.state, RecipientState::Final(EventKind::Succeeded)) || came_back(story)) {
            " " (meaning)
        }
    }
}

fn came_back(story: &Story) -> bool {
    story.events.iter().any(|event| event.kind.is_return())
}

/// The class of the sentence: it colours the edge of the card.
pub(super) fn tone(story: &Story) -> &'static str {
    let count = Count::of(&story.recipients);
    match () {
        () if count.failed > 0 || came_back(story) => "tone failed",
        () if story.recipients.iter().any(waits) => "tone deferred",
        () if count.succeeded > 0 => "tone delivered",
        () => "tone",
    }
}
