//! Rows of what was said in an attempt, and of what it means; beside the story of a message.
//!
//! Always: as in `rows`, a name is a contract with other people's programs; what is read is bounded, the newest attempts first.

use serde::{Deserialize, Serialize};

use super::{daemon::Daemon, rows::StoryOut};
use crate::{
    bounce::plain::plain,
    language::Language,
    smtp::conversation::Line,
    store::{StoreError, Story},
};

/// Attempts of one message whose conversations are told; those before are counted.
pub const CONVERSATIONS_MAX: usize = 200;

/// One line of what was said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SaidOut {
    /// Milliseconds since the attempt began; `null`: it was said before the attempt, or together with what stands above it.
    pub after_ms: Option<u32>,
    /// Who or what: `we`, `peer`, `host`, `tls`, `content`, `secret`, `reused`, `others`, `left_out`, `closed`, `silent`, `nonsense`,
    /// `tls_broken`, `stopped`.
    pub said: String,
    /// The text; the lines of an answer are apart by line feeds.
    pub text: String,
}

impl From<Line> for SaidOut {
    fn from(line: Line) -> Self {
        SaidOut { after_ms: line.after_ms, said: line.said.word().to_owned(), text: line.text }
    }
}

/// Adds to a story what was said in its newest attempts, and what each event means; `left` more conversations may be told.
///
/// # Errors
/// The store's.
pub fn tell(
    daemon: &dyn Daemon,
    story: &Story,
    language: Language,
    left: &mut usize,
    out: &mut StoryOut,
) -> Result<(), StoreError> {
    for (event, row) in story.events.iter().zip(&mut out.events) {
        if let Some(plain) = plain(event) {
            plain.says(language).clone_into(&mut row.means);
            plain.next(language).unwrap_or_default().clone_into(&mut row.to_do);
        }
    }
    let tries = story.events.iter().zip(&story.numbers).zip(&mut out.events).rev();
    let newest: Vec<_> = tries.filter(|((event, _), _)| event.detail.is_some()).take(*left).collect();
    *left -= newest.len();
    let numbers: Vec<u64> = newest.iter().map(|((_, number), _)| **number).collect();
    for ((_, row), conversation) in newest.into_iter().zip(daemon.conversations(&numbers)?) {
        row.conversation = conversation.iter().flat_map(|c| c.lines()).map(SaidOut::from).collect();
    }
    Ok(())
}
