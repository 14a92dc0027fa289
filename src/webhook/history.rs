//! What an endpoint posted lately: a ring of rows, so that a busy one writes over its oldest and nothing has to be forgotten.
//!
//! In: posts with what became of them.  Out: rows of kind WebhookHistory, and a list, newest first.
//! Always: at most [`KEPT`] rows an endpoint; a row holds no mail, no key and no more of the answer than a line. After a hard
//! stop the last rows may be missing: they are written with the place of the next posts.

use serde::{Deserialize, Serialize};

use super::payload::{Feed, Wants};
use crate::{
    config,
    event::EventKind,
    store::{MemoChange, MemoKind, Store, StoreError},
};

/// Posts that are remembered of an endpoint.
pub const KEPT: u64 = 1_000;
/// What parts the name from the number in a key; no name holds it.
const MARK: char = '\0';
/// Octets of an answer's words that are kept.
pub const WORDS_MAX: usize = 200;

/// One post, tried once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tried {
    /// Its number among the endpoint's.
    pub number: u64,
    /// When it began, in milliseconds.
    pub at: u64,
    /// The id of the post.
    pub id: String,
    /// `deliveries`, `bounces` or `blocks`.
    pub event_type: String,
    /// Events in it.
    pub events: u64,
    /// The number of the first …
    pub first: u64,
    /// … and of the last.
    pub last: u64,
    /// The status of the answer; 0: there was none.
    pub status: u16,
    /// How long it took, in milliseconds.
    pub took: u64,
    /// Why it counts as failed; empty: it was answered 2xx.
    pub error: String,
}

impl Tried {
    /// The word of the kind.
    pub fn word(feed: Feed) -> String {
        feed.word().to_owned()
    }
}

fn prefix(name: &str) -> String {
    format!("{name}{MARK}")
}

/// The row of a post.
pub fn row(name: &str, tried: &Tried) -> MemoChange {
    MemoChange {
        kind: MemoKind::WebhookHistory,
        key: format!("{}{:04}", prefix(name), tried.number % KEPT),
        value: Some(serde_json::to_vec(tried).expect("numbers and texts have a form in JSON")),
    }
}

/// The last posts of an endpoint, newest first. Blocking.
///
/// # Errors
/// The store's.
pub fn list(store: &Store, name: &str, limit: usize) -> Result<Vec<Tried>, StoreError> {
    let rows = store.memos(MemoKind::WebhookHistory, &prefix(name), None, KEPT as usize)?;
    let mut all: Vec<Tried> = rows.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect();
    all.sort_by_key(|tried| std::cmp::Reverse(tried.number));
    all.truncate(limit);
    Ok(all)
}

/// The posts of an endpoint that told of these events, newest first, each with the numbers of those that it told.
///
/// # Errors
/// The store's.
pub fn telling(
    store: &Store,
    hook: &config::Webhook,
    events: &[(u64, EventKind)],
    limit: usize,
) -> Result<Vec<(Tried, Vec<u64>)>, StoreError> {
    let wants = Wants::of(hook);
    let told = |tried: &Tried, (number, kind): &(u64, EventKind)| {
        let is_wanted = match tried.event_type.as_str() {
            word if word == Feed::Deliveries.word() => wants.delivery(*kind),
            word if word == Feed::Bounces.word() => wants.bounce(*kind),
            _ => false,
        };
        is_wanted && (tried.first..=tried.last).contains(number)
    };
    let mut out = Vec::new();
    for tried in list(store, &hook.name, KEPT as usize)? {
        let numbers: Vec<u64> = events.iter().filter(|event| told(&tried, event)).map(|(number, _)| *number).collect();
        if !numbers.is_empty() {
            out.push((tried, numbers));
        }
        if out.len() >= limit {
            break;
        }
    }
    Ok(out)
}

/// Forgets everything of an endpoint that is no more. Blocking read, then a write.
///
/// # Errors
/// The store's.
pub async fn forget(store: &Store, name: &str) -> Result<(), StoreError> {
    let (there, prefix) = (store.clone(), prefix(name));
    let rows = smol::unblock(move || there.memos(MemoKind::WebhookHistory, &prefix, None, KEPT as usize)).await?;
    for part in rows.chunks(500) {
        let forgotten =
            |(key, _): &(String, Vec<u8>)| MemoChange { kind: MemoKind::WebhookHistory, key: key.clone(), value: None };
        store.put_memos(part.iter().map(forgotten).collect()).await?;
    }
    Ok(())
}

/// One line, bounded.
pub fn line(text: &str) -> String {
    let mut end = text.len().min(WORDS_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
