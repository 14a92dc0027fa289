//! Where is my mail? One box to search with, and a message's page: where it stands, what happened, what was said, what to do.
//!
//! In: a key that somebody pasted; a message's id; acts on one message.  Out: lists, the story, changes.
//! Always: what came from outside is foreign text; a search ends in time and says how far it looked; a page is bounded, and
//! links to what it leaves out; an act is shown to who may do it, and says how many recipients it reached.

mod acts;
mod end;
mod find;
mod page;
mod posts;
mod said;
mod story;
mod summary;
#[cfg(test)]
mod tests;

use maud::{Markup, html};

pub(super) use page::note_download;
pub(super) use story::event_row;

use super::{
    Answer, Args, Missing, Place, Right, Section, Told, Visit,
    parts::{foreign, size},
};
use crate::{
    clock::Timestamp,
    event::{EventKind, WaitReason},
    http::words::Lang,
    language::Language,
    store::{Recipient, RecipientState},
};

pub(super) const PLACES: &[Place] = &[
    Place::read("/find", Right::View, find::find),
    Place::read("/message/:id", Right::View, page::page),
    Place::read("/message/:id/mail.eml", Right::Download, page::download),
    Place::read("/message/:id/end", Right::Act, end::preview),
    Place::act("/message/:id/act", Right::Act, acts::act),
    Place::act("/message/:id/lift", Right::Act, acts::lift),
];

/// Where a recipient stands: the word that is its class and, through [`Lang::event`], its name.
fn standing(recipient: &Recipient) -> &'static str {
    match &recipient.state {
        RecipientState::Waiting { due, .. } if *due == Timestamp::MAX => "held",
        RecipientState::Waiting { wait: WaitReason::Scheduled, .. } => "scheduled",
        RecipientState::Waiting { .. } => "waiting",
        RecipientState::Final(kind) => kind.word(),
    }
}

fn waits(recipient: &Recipient) -> bool {
    matches!(recipient.state, RecipientState::Waiting { .. })
}

fn is_held(recipient: &Recipient) -> bool {
    matches!(recipient.state, RecipientState::Waiting { due, .. } if due == Timestamp::MAX)
}

fn language(lang: Lang) -> Language {
    if lang.japanese { Language::Japanese } else { Language::English }
}

/// The pill of an event.
fn event_pill(lang: Lang, kind: EventKind) -> Markup {
    super::parts::pill(kind.word(), lang.event(kind.word()))
}

/// A subject as a line of a list; a mail without one is told by its size.
fn title_line(lang: Lang, text: &str, len: u64) -> Markup {
    html! {
        @if text.is_empty() {
            span class="soft" { (lang.say("(no subject)", "（件名なし）")) " " (size(len)) }
        } @else {
            (foreign(text, 120))
        }
    }
}
