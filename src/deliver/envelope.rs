//! What is a recipient's own when a message leaves: the sender that goes out, and what stands in front of the stored body.
//!
//! In: a stored message, a recipient, the keys; its lead, from `lead`.  Out: the sender; who may share a transaction.
//! Always: the sender is the same at every try, so that whatever comes back of any of them finds the recipient; a recipient
//! with something of its own has a transaction of its own.
//! Sources: PRODUCT.md R3; algorithms F7; RFC 8058 §3.1.

use std::{borrow::Cow, sync::Arc};

use super::job::RECIPIENTS_PER_JOB_MAX;
use crate::{
    bounce::{
        envelope_from::{ReturnPath, kept_local},
        keys::KeyRing,
    },
    ids::RecipientKey,
    smtp::address::Mailbox,
    store::{Lead, Message, Recipient},
};

/// Header fields of a recipient's own, whole lines, that stand before the stored message and are signed with it; `None`: nothing.
/// Asked before the first try, on the executor: short.
pub type PerRecipient = Arc<dyn Fn(&Message, &Recipient) -> Option<Vec<u8>> + Send + Sync>;

/// The sender that goes out to a recipient of the message; `None`: the null reverse-path.
pub fn return_address<'a>(message: &'a Message, index: u32, ring: &KeyRing) -> Option<Cow<'a, Mailbox>> {
    let sender = message.sender.as_ref()?;
    let of = RecipientKey { message: message.id, index };
    let ours = match &message.return_path {
        ReturnPath::AsIs => return Some(Cow::Borrowed(sender)),
        ReturnPath::Token { domain, epoch } => {
            ring.mint(*epoch, of).and_then(|token| Mailbox::parse(&format!("{token}@{domain}")).ok())
        }
        ReturnPath::KeepLocal { domain } => kept_local(sender, domain),
    };
    if ours.is_none() {
        // Checked when the message was accepted; to lose it now would be worse than to send it as it came.
        log::warn!("message={} its return address cannot be written: it goes out under its own sender", message.id);
    }
    Some(ours.map_or(Cow::Borrowed(sender), Cow::Owned))
}

/// Recipients of one transaction.
pub(super) struct Batch<'a> {
    /// Places in the job's list.
    pub places: Vec<usize>,
    /// The sender.
    pub sender: Option<Cow<'a, Mailbox>>,
    /// What is put before the body.
    pub lead: Lead,
}

impl<'a> Batch<'a> {
    /// The first of `todo`, which is not empty, and those that may share its transaction, `max` at most.
    pub(super) fn of(
        message: &'a Message,
        recipients: &[Recipient],
        todo: &[usize],
        max: usize,
        ring: &KeyRing,
        lead: Lead,
        is_own: impl Fn(&Recipient) -> bool,
    ) -> Self {
        let first = todo.first().copied().unwrap_or_default();
        let token = matches!(message.return_path, ReturnPath::Token { .. }) && message.sender.is_some();
        let max = if token || lead.own { 1 } else { max.clamp(1, RECIPIENTS_PER_JOB_MAX) };
        let shares = |at: &usize| *at == first || !is_own(&recipients[*at]);
        let places = todo.iter().copied().take(max).take_while(shares).collect();
        Batch { places, sender: return_address(message, recipients[first].key.index, ring), lead }
    }
}
