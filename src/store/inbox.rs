//! The door of the writer: bounded lines, verdicts before everything else, memos behind it, and the answers that come back.
//!
//! In: operations from any task.  Out: groups of operations to the one writer thread.
//! Always: bounded in entries and octets, the sender waits (asynchronously) for room; verdicts are taken first; alone they
//! wait at most 20 ms for company, as memos do; nothing else ever waits for company. Once closed, nothing is taken.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use crate::clock::Clock;

/// Entries waiting in one line: enough to fill several commits; beyond it the senders wait.
const ENTRIES_MAX: usize = 4096;
/// Octets of bodies waiting: a few commits' worth.
const OCTETS_MAX: usize = 64 * 1024 * 1024;
/// Most that one commit takes: keeps a commit short even on a slow disk.
const GROUP_WEIGHT_MAX: usize = 1024;
/// Octets of bodies that one commit takes.
const GROUP_OCTETS_MAX: usize = 16 * 1024 * 1024;
/// Octets of memos waiting; beyond it their writers wait.
const MEMO_OCTETS_WAITING_MAX: usize = 16 * 1024 * 1024;
/// Verdicts alone wait this long for company: a commit writes tens of kilobytes and costs two syncs.
pub(super) const COMPANY_WAIT: Duration = Duration::from_millis(20);
/// This many verdicts are company enough.
const COMPANY_ENOUGH: usize = 32;

/// What the inbox must know of an operation.
pub(super) trait Weigh {
    /// Rows it touches, roughly: messages, recipients, changes.
    fn weight(&self) -> usize;
    /// Octets of body that it brings.
    fn octets(&self) -> usize;
}

/// Which line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// Verdicts.
    Verdicts,
    /// Submissions and all else.
    Others,
    /// Memos, and what else has time: they go with the next commit, behind all others; one operation of each commit at least.
    Memos,
    /// Questions that are answered at once, ahead of both lines (ping, stop).
    Urgent,
}

/// What the writer took.
pub(super) struct Group<T> {
    /// Operations in the order they are done.
    pub operations: Vec<T>,
    /// The inbox is closed and empty.
    pub closed: bool,
}

/// The lines.
pub(super) struct Inbox<T> {
    state: Mutex<State<T>>,
    bell: Condvar,
    real: Clock,
    company_wait: Duration,
}

struct State<T> {
    urgent: VecDeque<(Instant, T)>,
    verdicts: VecDeque<(Instant, T)>,
    others: VecDeque<(Instant, T)>,
    memos: VecDeque<(Instant, T)>,
    memo_octets: usize,
    verdict_weight: usize,
    octets: usize,
    waiting: Vec<Waker>,
    /// The oldest operation of the group in work.
    working_since: Option<Instant>,
    writer_sleeps: bool,
    closed: bool,
}

impl<T: Weigh> Inbox<T> {
    /// An empty inbox in which verdicts alone wait `company_wait` for company.
    pub(super) fn new(company_wait: Duration) -> Self {
        Inbox {
            state: Mutex::new(State {
                urgent: VecDeque::new(),
                verdicts: VecDeque::new(),
                others: VecDeque::new(),
                memos: VecDeque::new(),
                memo_octets: 0,
                verdict_weight: 0,
                octets: 0,
                waiting: Vec::new(),
                working_since: None,
                writer_sleeps: false,
                closed: false,
            }),
            bell: Condvar::new(),
            // Waiting is measured on the machine's clock even where a test moves the store's own.
            real: Clock::system(),
            company_wait,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an operation over; waits while the line is full. False when the inbox is closed.
    pub(super) fn put(self: &Arc<Self>, line: Line, operation: T) -> Put<T> {
        Put { inbox: self.clone(), line, operation: Some(operation) }
    }

    fn try_put(&self, line: Line, operation: &mut Option<T>, waker: &Waker) -> Poll<bool> {
        let mut s = self.lock();
        if s.closed {
            return Poll::Ready(false);
        }
        let full = match line {
            Line::Urgent => false,
            Line::Verdicts => s.verdicts.len() >= ENTRIES_MAX,
            Line::Others => s.others.len() >= ENTRIES_MAX || s.octets >= OCTETS_MAX,
            Line::Memos => s.memos.len() >= ENTRIES_MAX || s.memo_octets >= MEMO_OCTETS_WAITING_MAX,
        };
        if full {
            if !s.waiting.iter().any(|w| w.will_wake(waker)) {
                s.waiting.push(waker.clone());
            }
            return Poll::Pending;
        }
        let Some(op) = operation.take() else { return Poll::Ready(true) };
        let now = self.real.instant();
        let news = match line {
            Line::Urgent => {
                s.urgent.push_back((now, op));
                true
            }
            Line::Verdicts => {
                let first = s.verdicts.is_empty();
                s.verdict_weight += op.weight();
                s.verdicts.push_back((now, op));
                // Between the first and enough, the writer sleeps on: waking it for each would cost a switch a verdict.
                first || s.verdict_weight >= COMPANY_ENOUGH
            }
            Line::Others => {
                s.octets += op.octets();
                s.others.push_back((now, op));
                true
            }
            Line::Memos => {
                let first = s.memos.is_empty();
                s.memo_octets += op.octets();
                s.memos.push_back((now, op));
                first
            }
        };
        let ring = news && std::mem::take(&mut s.writer_sleeps);
        drop(s);
        if ring {
            self.bell.notify_one();
        }
        Poll::Ready(true)
    }

    /// Takes the next group; an empty one after `idle` without work.
    pub(super) fn take(&self, idle: Duration) -> Group<T> {
        let started = self.real.instant();
        let mut s = self.lock();
        s.working_since = None;
        loop {
            let now = self.real.instant();
            let waiting = [s.verdicts.front(), s.memos.front()].into_iter().flatten().map(|(since, _)| *since).min();
            let company_due = waiting.map(|since| since + self.company_wait);
            let they_go = company_due.is_some_and(|due| due <= now) || s.verdict_weight >= COMPANY_ENOUGH;
            if !s.urgent.is_empty() || !s.others.is_empty() || they_go {
                return self.group(s);
            }
            if s.closed {
                return if s.verdicts.is_empty() && s.memos.is_empty() {
                    Group { operations: Vec::new(), closed: true }
                } else {
                    self.group(s)
                };
            }
            let wake = company_due.unwrap_or(started + idle).saturating_duration_since(now);
            if wake.is_zero() {
                return Group { operations: Vec::new(), closed: false };
            }
            s.writer_sleeps = true;
            s = self.bell.wait_timeout(s, wake).unwrap_or_else(PoisonError::into_inner).0;
            s.writer_sleeps = false;
        }
    }

    fn group(&self, mut s: MutexGuard<'_, State<T>>) -> Group<T> {
        let oldest =
            [s.urgent.front(), s.verdicts.front(), s.others.front()].into_iter().flatten().map(|(t, _)| *t).min();
        let mut operations = Vec::new();
        let (mut weight, mut octets) = (0, 0);
        operations.extend(s.urgent.drain(..).map(|(_, op)| op));
        while weight < GROUP_WEIGHT_MAX
            && let Some((_, op)) = s.verdicts.pop_front()
        {
            weight += op.weight();
            s.verdict_weight -= op.weight();
            operations.push(op);
        }
        while weight < GROUP_WEIGHT_MAX
            && octets < GROUP_OCTETS_MAX
            && let Some((_, op)) = s.others.pop_front()
        {
            weight += op.weight();
            octets += op.octets();
            operations.push(op);
        }
        s.octets -= octets;
        // At least one, or a busy writer would never come to them.
        let (mut memo_octets, mut memos) = (0, 0);
        while (memos == 0 || weight < GROUP_WEIGHT_MAX && memo_octets < GROUP_OCTETS_MAX)
            && let Some((_, op)) = s.memos.pop_front()
        {
            weight += op.weight();
            memo_octets += op.octets();
            memos += 1;
            operations.push(op);
        }
        s.memo_octets -= memo_octets;
        s.working_since = oldest;
        let waiting = std::mem::take(&mut s.waiting);
        drop(s);
        waiting.into_iter().for_each(Waker::wake);
        Group { operations, closed: false }
    }

    /// How long the oldest operation has waited, the one in work included.
    pub(super) fn behind(&self) -> Duration {
        let s = self.lock();
        let heads = [s.verdicts.front(), s.others.front()].into_iter().flatten().map(|(t, _)| *t);
        let oldest = heads.chain(s.working_since).min();
        oldest.map_or(Duration::ZERO, |t| self.real.instant().saturating_duration_since(t))
    }

    /// Nothing waits: the writer may do housework.
    pub(super) fn is_idle(&self) -> bool {
        let s = self.lock();
        s.urgent.is_empty() && s.verdicts.is_empty() && s.others.is_empty() && s.memos.is_empty()
    }

    /// Takes nothing more; what is inside is still done.
    pub(super) fn close(&self) {
        let mut s = self.lock();
        s.closed = true;
        let waiting = std::mem::take(&mut s.waiting);
        drop(s);
        self.bell.notify_one();
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Waits for room, then hands over.
pub(super) struct Put<T> {
    inbox: Arc<Inbox<T>>,
    line: Line,
    operation: Option<T>,
}

impl<T: Weigh + Unpin> Future for Put<T> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = &mut *self;
        this.inbox.try_put(this.line, &mut this.operation, cx.waker())
    }
}

// ---- answers ----

enum Slot<T> {
    Empty,
    Waited(Waker),
    Full(T),
    Dropped,
}

/// The writer's end of an answer: given once; dropped, the other end hears that nobody answered.
pub(super) struct Answer<T>(Arc<Mutex<Slot<T>>>);

/// The asker's end.
pub(super) struct Waiting<T>(Arc<Mutex<Slot<T>>>);

/// A pair of ends.
pub(super) fn answer<T>() -> (Answer<T>, Waiting<T>) {
    let slot = Arc::new(Mutex::new(Slot::Empty));
    (Answer(slot.clone()), Waiting(slot))
}

impl<T> Answer<T> {
    /// Gives the answer.
    pub(super) fn give(self, value: T) {
        self.settle(Slot::Full(value));
    }

    fn settle(&self, with: Slot<T>) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*slot, Slot::Full(_) | Slot::Dropped) {
            return;
        }
        let before = std::mem::replace(&mut *slot, with);
        drop(slot);
        if let Slot::Waited(waker) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.settle(Slot::Dropped);
    }
}

impl<T> Future for Waiting<T> {
    /// `None`: nobody will answer.
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *slot, Slot::Dropped) {
            Slot::Full(value) => Poll::Ready(Some(value)),
            Slot::Dropped => Poll::Ready(None),
            Slot::Empty => {
                *slot = Slot::Waited(cx.waker().clone());
                Poll::Pending
            }
            Slot::Waited(waker) => {
                let keep = if waker.will_wake(cx.waker()) { waker } else { cx.waker().clone() };
                *slot = Slot::Waited(keep);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Op(usize, usize);

    impl Weigh for Op {
        fn weight(&self) -> usize {
            1
        }
        fn octets(&self) -> usize {
            self.1
        }
    }

    #[test]
    fn verdicts_come_first_and_alone_wait_for_company() {
        let inbox = Arc::new(Inbox::new(COMPANY_WAIT));
        let real = Clock::system();
        smol::block_on(async {
            assert!(inbox.put(Line::Others, Op(1, 10)).await);
            assert!(inbox.put(Line::Verdicts, Op(2, 0)).await);
        });
        let order: Vec<usize> = inbox.take(Duration::ZERO).operations.iter().map(|op| op.0).collect();
        assert_eq!(order, [2, 1]);
        smol::block_on(inbox.put(Line::Verdicts, Op(3, 0)));
        let start = real.instant();
        assert_eq!(inbox.take(Duration::from_secs(9)).operations.len(), 1);
        let waited = real.instant() - start;
        assert!(waited >= COMPANY_WAIT / 2 && waited < Duration::from_secs(5), "{waited:?}");
    }

    #[test]
    fn memos_go_last_and_one_of_each_group_at_least() {
        let inbox = Arc::new(Inbox::new(Duration::ZERO));
        smol::block_on(async {
            assert!(inbox.put(Line::Memos, Op(1, 10)).await);
            assert!(inbox.put(Line::Memos, Op(2, 10)).await);
            assert!(inbox.put(Line::Others, Op(3, GROUP_OCTETS_MAX)).await);
            assert!(inbox.put(Line::Verdicts, Op(4, 0)).await);
        });
        let order: Vec<usize> = inbox.take(Duration::ZERO).operations.iter().map(|op| op.0).collect();
        assert_eq!(order, [4, 3, 1, 2]);
        smol::block_on(async {
            assert!(inbox.put(Line::Memos, Op(0, 0)).await);
            assert!(inbox.put(Line::Memos, Op(0, 0)).await);
            for _ in 0..GROUP_WEIGHT_MAX {
                assert!(inbox.put(Line::Verdicts, Op(7, 0)).await);
            }
        });
        assert_eq!(inbox.take(Duration::ZERO).operations.iter().filter(|op| op.0 == 0).count(), 1);
        assert!(!inbox.is_idle());
    }

    #[test]
    fn a_full_line_makes_the_sender_wait_and_the_group_is_bounded() {
        let inbox = Arc::new(Inbox::new(COMPANY_WAIT));
        let sender = {
            let inbox = inbox.clone();
            std::thread::spawn(move || {
                smol::block_on(async {
                    for n in 0..ENTRIES_MAX + 10 {
                        assert!(inbox.put(Line::Others, Op(n, 1)).await);
                    }
                });
                inbox.close();
            })
        };
        let mut seen = 0;
        loop {
            let group = inbox.take(Duration::from_millis(5));
            assert!(group.operations.len() <= GROUP_WEIGHT_MAX);
            for op in group.operations {
                assert_eq!(op.0, seen);
                seen += 1;
            }
            if group.closed {
                break;
            }
        }
        assert_eq!(seen, ENTRIES_MAX + 10);
        sender.join().unwrap();
        assert!(!smol::block_on(inbox.put(Line::Urgent, Op(0, 0))));
    }

    #[test]
    fn an_answer_that_is_dropped_is_heard() {
        let (a, w) = answer::<u8>();
        a.give(7);
        assert_eq!(smol::block_on(w), Some(7));
        let (a, w) = answer::<u8>();
        drop(a);
        assert_eq!(smol::block_on(w), None);
    }
}
