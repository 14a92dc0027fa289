//! What a lane holds in RAM of one class: by submitter, and within a submitter by message.
//!
//! In: tickets in the order of their due times.  Out: batches of recipients of one message.
//! Always: a message with more recipients than one batch goes behind the submitter's other messages after each batch.

use std::collections::VecDeque;

use super::lane::Slip;
use crate::ids::UserKey;

/// Messages at the end of a submitter's queue that are searched for one to which a recipient belongs.
const LOOK_BACK: usize = 4;
/// Queues of submitters who have no mail left that are kept for the next mail.
const EMPTY_KEPT: usize = 2;
/// An empty queue with more places than this gives its memory back.
const PLACES_KEPT: usize = 64;

/// Recipients of one message that wait. Most have one, and need no allocation.
#[derive(Debug)]
struct Queued<P> {
    first: Slip<P>,
    rest: VecDeque<Slip<P>>,
}

#[derive(Debug)]
struct OfUser<P> {
    user: UserKey,
    messages: VecDeque<Queued<P>>,
}

/// The tickets of one class.
#[derive(Debug)]
pub(super) struct ClassQueue<P> {
    users: Vec<OfUser<P>>,
    tickets: usize,
}

/// A batch that was taken.
#[derive(Debug)]
pub(super) struct Batch<P> {
    pub(super) slips: Vec<Slip<P>>,
    /// Its submitter has more in this queue.
    pub(super) left: bool,
}

impl<P> Default for ClassQueue<P> {
    fn default() -> Self {
        ClassQueue { users: Vec::new(), tickets: 0 }
    }
}

impl<P> ClassQueue<P> {
    /// Tickets in all.
    pub(super) fn len(&self) -> usize {
        self.tickets
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tickets == 0
    }

    /// Messages of a submitter.
    pub(super) fn messages_of(&self, user: UserKey) -> usize {
        self.users.iter().find(|u| u.user == user).map_or(0, |u| u.messages.len())
    }

    /// The submitters that wait.
    pub(super) fn users(&self) -> impl Iterator<Item = UserKey> {
        self.users.iter().filter(|u| !u.messages.is_empty()).map(|u| u.user)
    }

    /// Adds a ticket; true: its submitter had none before.
    pub(super) fn push(&mut self, slip: Slip<P>) -> bool {
        self.tickets += 1;
        let place = match self.users.iter().position(|u| u.user == slip.user) {
            Some(place) => place,
            None => {
                self.users.reserve_exact(1);
                self.users.push(OfUser { user: slip.user, messages: VecDeque::new() });
                self.users.len() - 1
            }
        };
        let messages = &mut self.users[place].messages;
        let same = |q: &&mut Queued<P>| q.first.key.message == slip.key.message;
        if let Some(queued) = messages.iter_mut().rev().take(LOOK_BACK).find(same) {
            queued.rest.push_back(slip);
            return false;
        }
        messages.push_back(Queued { first: slip, rest: VecDeque::new() });
        messages.len() == 1
    }

    /// The recipients that [`ClassQueue::take`] would take.
    pub(super) fn peek(&self, user: UserKey, recipients_max: usize) -> impl Iterator<Item = &Slip<P>> {
        let next = self.users.iter().find(|u| u.user == user).and_then(|u| u.messages.front());
        next.into_iter().flat_map(|q| std::iter::once(&q.first).chain(&q.rest)).take(recipients_max)
    }

    /// Takes the next batch of a submitter.
    pub(super) fn take(&mut self, user: UserKey, recipients_max: usize) -> Option<Batch<P>> {
        let place = self.users.iter().position(|u| u.user == user)?;
        let of_user = &mut self.users[place];
        let Queued { first, mut rest } = of_user.messages.pop_front()?;
        let slips = if rest.is_empty() {
            vec![first]
        } else {
            let more = rest.len().min(recipients_max.saturating_sub(1));
            let mut slips = Vec::with_capacity(1 + more);
            slips.push(first);
            slips.extend(rest.drain(..more));
            if let Some(first) = rest.pop_front() {
                of_user.messages.push_back(Queued { first, rest });
            }
            slips
        };
        let left = !of_user.messages.is_empty();
        self.tickets -= slips.len();
        if !left {
            if of_user.messages.capacity() > PLACES_KEPT {
                of_user.messages = VecDeque::new();
            }
            if self.users.len() > EMPTY_KEPT {
                self.users.swap_remove(place);
            }
        }
        Some(Batch { slips, left })
    }

    /// Empties it.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Slip<P>> {
        self.tickets = 0;
        let messages = std::mem::take(&mut self.users).into_iter().flat_map(|u| u.messages);
        messages.flat_map(|q| std::iter::once(q.first).chain(q.rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        ids::{MessageId, RecipientKey},
    };

    fn slip(user: u64, message: u64, index: u32) -> Slip<()> {
        let key = RecipientKey { message: MessageId::from_u64(message), index };
        let user = UserKey::from_u64(user);
        Slip { key, user, attempts: 0, expires_at: Timestamp::MAX, payload: None, payload_bytes: 0 }
    }

    #[test]
    fn a_large_message_lets_the_small_ones_go_between_its_batches() {
        let mut queue = ClassQueue::default();
        assert!(queue.push(slip(1, 7, 0)));
        (1..250).for_each(|index| assert!(!queue.push(slip(1, 7, index))));
        (8..10).for_each(|message| assert!(!queue.push(slip(1, message, 0))));
        assert!(queue.push(slip(2, 20, 0)));
        assert_eq!((queue.len(), queue.messages_of(UserKey::from_u64(1))), (253, 3));
        let mut order = Vec::new();
        while let Some(batch) = queue.take(UserKey::from_u64(1), 100) {
            order.push((batch.slips[0].key.message.as_u64(), batch.slips.len(), batch.left));
        }
        assert_eq!(order, [(7, 100, true), (8, 1, true), (9, 1, true), (7, 100, true), (7, 50, false)]);
        assert_eq!((queue.len(), queue.users().count()), (1, 1));
        assert_eq!(queue.drain().count(), 1);
        assert!(queue.is_empty());
    }
}
