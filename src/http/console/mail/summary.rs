//! Where a message stands, in one sentence, and how its recipients do.

use maud::{Markup, html};

use super::{Visit, is_held, language};
use crate::{
    bounce::plain::{Plain, plain},
    event::EventKind,
    http::words::number,
    store::{Glance, RecipientState, Stood},
};

/// What the last thing that happened to a recipient means.
pub(super) fn last_meaning(stood: &Stood) -> Option<Plain> {
    plain(stood.last.as_ref()?)
}

/// A sentence: where it stands.
pub(super) fn sentence(visit: &Visit<'_>, glance: &Glance) -> Markup {
    if let ([stood], 1) = (glance.recipients.as_slice(), glance.standing.all()) {
        return one(visit, glance, stood);
    }
    let count = &glance.standing;
    let parts = [
        (count.succeeded, visit.say(" delivered", " 件配信済み")),
        (count.waiting, visit.say(" waiting", " 件待機中")),
        (count.held, visit.say(" held", " 件保留")),
        (count.failed, visit.say(" failed", " 件失敗")),
        (count.dropped, visit.say(" dropped", " 件破棄")),
    ];
    let words: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{}{words}", number(*n))).collect();
    let all = number(u64::from(glance.message.recipients));
    html! {
        (visit.say("", "宛先 ")) (all) (visit.say(" recipients: ", " 件：")) (words.join(visit.say(", ", "、")))
    }
}

fn one(visit: &Visit<'_>, glance: &Glance, stood: &Stood) -> Markup {
    let meaning = last_meaning(stood).map(|plain| plain.says(language(visit.lang)));
    let (recipient, at) = (&stood.recipient, stood.last.as_ref().map(|event| event.at));
    html! {
        @match &recipient.state {
            RecipientState::Waiting { .. } if is_held(recipient) => {
                (visit.say("Held: it is not tried until somebody releases it.", "保留中です。解除するまで配信しません。"))
            },
            RecipientState::Waiting { due, .. } => {
                (visit.say("Waiting: the next try is ", "待機中です。次回の試行：")) (visit.lang.next_try(*due, visit.now)) (visit.say(".", "。"))
            },
            RecipientState::Final(kind) => {
                @let words = match kind {
                    EventKind::Succeeded => visit.say("Delivered", "配信済み"),
                    EventKind::Dropped => visit.say("Dropped", "破棄"),
                    _ => visit.say("Not delivered", "配信できませんでした"),
                };
                (words) @if let Some(at) = at { " " (visit.when(at)) } (visit.say(".", "。"))
            },
        }
        @if let Some(meaning) = meaning.filter(|_| !matches!(recipient.state, RecipientState::Final(EventKind::Succeeded)) || glance.came_back) {
            " " (meaning)
        }
    }
}

/// The class of the sentence: it colours the edge of the card.
pub(super) fn tone(glance: &Glance) -> &'static str {
    let count = &glance.standing;
    match () {
        () if count.failed > 0 || glance.came_back => "tone failed",
        () if count.open() > 0 => "tone deferred",
        () if count.succeeded > 0 => "tone delivered",
        () => "tone",
    }
}
