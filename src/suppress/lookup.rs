//! Whether an address is written to: asked once for every recipient, so that it must cost next to nothing.
//!
//! In: an address, its submitter, the list of the mail.  Out: why not, or nothing.
//! Always: an unreadable row blocks nobody and is told in the log; the list is read where it is stored, so that it holds millions;
//! an address costs one to three point reads, and a message's recipients one for all of them while the list is empty; a stay whose watch period is over blocks nobody, housekeeping or not.

use super::row::{Cause, Entry, key_of, read_row};
use crate::{
    clock::Timestamp,
    event::ErrorClass,
    language::Language,
    smtp::{
        address::Mailbox,
        reply::{Enhanced, Reply},
    },
    store::{Blocked, MemoKind, Origin, Store, StoreError},
    unsubscribe::row as unsubscribed,
};

/// Why an address is not written to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// [`ErrorClass::Blocked`] or [`ErrorClass::Unsubscribed`].
    pub class: ErrorClass,
    /// Since when and why, in the words of the log.
    pub words: String,
}

/// Mail of this origin asks the list: what we write ourselves to a sender does not.
pub fn applies_to(origin: Origin) -> bool {
    match origin {
        Origin::Smtp | Origin::Api => true,
        Origin::Notice | Origin::Forward => false,
    }
}

/// Looks an address up. `user`: the submitter, empty for nobody; `list`: the unsubscribe filter of the mail, empty for none. Short.
///
/// # Errors
/// The store's.
pub fn block_of(
    store: &Store,
    address: &Mailbox,
    user: &str,
    list: &str,
    now: Timestamp,
) -> Result<Option<Block>, StoreError> {
    let everybody = key_of(address.as_str(), "");
    if let Some(block) = suppressed(store, &everybody, now)? {
        return Ok(Some(block));
    }
    // Rows of one submitter block him whatever `per_user` says now (R7).
    if !user.is_empty() {
        let own = key_of(address.as_str(), user);
        if own != everybody
            && let Some(block) = suppressed(store, &own, now)?
        {
            return Ok(Some(block));
        }
    }
    if !list.is_empty() {
        let key = unsubscribed::key(address.as_str(), list);
        if let Some(value) = store.memo(MemoKind::Unsubscribes, &key)? {
            match unsubscribed::Row::of_value(&value) {
                Some(row) if row.applies(now) => {
                    return Ok(Some(Block { class: ErrorClass::Unsubscribed, words: row.words() }));
                }
                Some(_) => {}
                None => log::error!("unsubscribe address={key:?} what=\"its row cannot be read; it blocks nobody\""),
            }
        }
    }
    Ok(None)
}

/// Which of a message's recipients are not written to; an error of the store is told in the log and blocks nobody.
pub fn blocked_among<'a>(
    store: &Store,
    recipients: impl ExactSizeIterator<Item = &'a Mailbox>,
    user: &str,
    list: &str,
    now: Timestamp,
) -> Vec<Blocked> {
    let mut blocked = Vec::new();
    // One look for all of them while there is no list at all.
    let is_empty = |kind| matches!(store.memo_count(kind), Ok(0));
    if recipients.len() > 1 && is_empty(MemoKind::Suppressions) && (list.is_empty() || is_empty(MemoKind::Unsubscribes))
    {
        return blocked;
    }
    for (index, address) in recipients.enumerate() {
        match block_of(store, address, user, list, now) {
            Ok(None) => {}
            Ok(Some(Block { class, words })) => {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                blocked.push(Blocked { index, class, reply: words });
            }
            Err(error) => {
                log::error!(
                    "suppression what=\"the list could not be read; the mail is not held up\" error=\"{error}\""
                );
                break;
            }
        }
    }
    blocked
}

/// Whether RCPT is taken: asked where `[suppression] on_submit = "reject"`. The list of a mail is not known at RCPT; who left
/// it fails once the mail is taken. Short.
///
/// # Errors
/// 550 5.7.1 with since when and why.
pub fn may_be_written_to(store: &Store, address: &Mailbox, user: &str, now: Timestamp) -> Result<(), Reply> {
    match block_of(store, address, user, "", now) {
        Ok(None) => Ok(()),
        Ok(Some(block)) => Err(Reply::new(550, Enhanced(5, 7, 1), block.words)),
        Err(error) => {
            log::error!("suppression what=\"the list could not be read; the recipient is taken\" error=\"{error}\"");
            Ok(())
        }
    }
}

fn suppressed(store: &Store, key: &str, now: Timestamp) -> Result<Option<Block>, StoreError> {
    let Some(value) = store.memo(MemoKind::Suppressions, key)? else { return Ok(None) };
    let Some(row) = read_row(&value) else {
        log::error!("suppression address={key:?} what=\"its row cannot be read; it blocks nobody\"");
        return Ok(None);
    };
    let on = row.now.filter(|entry| entry.is_on(now));
    Ok(on.map(|entry| Block { class: entry.blocks_as(), words: words_of(&entry) }))
}

/// `suppressed since 2026-11-20: unknown user (550 5.1.1 …)`.
pub fn words_of(entry: &Entry) -> String {
    let since: String = entry.since.rfc3339().chars().take(10).collect();
    let english = |class| class_words(class, Language::English);
    let why = match entry.cause {
        Cause::Errors => entry.class.map_or("errors", english).to_owned(),
        Cause::Complaint => "its recipient complained".to_owned(),
        Cause::Manual => "by an operator".to_owned(),
        Cause::Import => match entry.class {
            Some(class) => format!("imported, {}", english(class)),
            None => "imported".to_owned(),
        },
        Cause::Unsubscribe => "its recipient unsubscribed".to_owned(),
    };
    let head = format!("suppressed since {since}: {why}");
    if entry.reason.is_empty() { head } else { format!("{head} ({})", entry.reason) }
}

/// CMC's name of a class, as entries of the list have it: what stops an address there as the recipient's will, and is no
/// unsubscription, was a complaint.
pub fn class_words(class: ErrorClass, language: Language) -> &'static str {
    match class {
        ErrorClass::Unsubscribed => language.pick("complaint", "迷惑メール申告"),
        _ => class.said(language),
    }
}
