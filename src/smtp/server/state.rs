//! The states of a session; each owns exactly what is true in it.

use crate::smtp::{
    auth::Exchange,
    content::{Fault, Scanner},
    params::{Envelope, EnvelopeRecipient},
    reply::Reply,
};

use super::limits;

/// Where a session is.
#[derive(Debug)]
pub(super) enum State {
    /// The greeting is not said yet.
    Start,
    /// Nobody said EHLO or HELO.
    Greeted,
    /// No transaction.
    Idle,
    /// 334 was said.
    Login(Exchange),
    /// A login is being checked.
    LoginAsked,
    /// A sender is being decided.
    SenderAsked(Envelope),
    /// A sender was taken, and some recipients.
    Mail(Transaction),
    /// A recipient is being decided.
    RecipientAsked(Transaction, EnvelopeRecipient),
    /// After 354.
    Data(Transfer),
    /// Within a chunk.
    Chunk(Transfer, Chunk),
    /// After a chunk that was not the last.
    BetweenChunks(Transfer),
    /// Within a chunk that nobody wants: then this reply, and on from the state before.
    UnwantedChunk { octets_left: u64, drained: u64, reply: Reply, then: Box<State> },
    /// A message is being stored; for the Received header, whether its transaction had SMTPUTF8.
    MessageAsked { smtputf8: bool },
    /// 220 to STARTTLS was said.
    Handshake,
    /// Over.
    Closed,
}

/// MAIL and RCPT so far.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub envelope: Envelope,
    /// Recipients that were refused, for 554 instead of 503.
    pub recipients_refused: usize,
}

/// A chunk of BDAT.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub octets: u64,
    pub octets_left: u64,
    pub last: bool,
}

/// A message on its way in.
#[derive(Debug)]
pub(super) struct Transfer {
    pub envelope: Envelope,
    pub scanner: Scanner,
    /// The shell cannot take it: what to say at its end.
    pub refused: Option<Reply>,
    drained: u64,
}

impl Transfer {
    pub fn new(envelope: Envelope, scanner: Scanner) -> Self {
        Transfer { envelope, scanner, refused: None, drained: 0 }
    }

    /// What comes in is still wanted.
    pub fn is_wanted(&self) -> bool {
        self.refused.is_none() && self.scanner.fault().is_none()
    }

    /// Counts octets that are thrown away; false when there were too many.
    pub fn may_drain(&mut self, octets: usize) -> bool {
        if !self.is_wanted() {
            self.drained = self.drained.saturating_add(octets as u64);
        }
        self.drained <= limits::DRAIN_OCTETS_MAX
    }

    /// Why the message is not taken, and whether the session ends on it; `None`: it is well.
    pub fn refusal(&mut self, message_size_max: u64) -> Option<(Reply, bool)> {
        // Octets that other servers read otherwise end the session, whatever else is wrong.
        match self.scanner.fault() {
            Some(Fault::BareLf) => Some((Reply::bad_content("a bare LF (line ends are CR LF)"), true)),
            Some(Fault::BareCr) => Some((Reply::bad_content("a bare CR (line ends are CR LF)"), true)),
            Some(Fault::Nul) => Some((Reply::bad_content("a NUL"), true)),
            Some(Fault::TooLarge) => Some((Reply::too_large(message_size_max), false)),
            None => self.refused.take().map(|reply| (reply, false)),
        }
    }
}

/// A state's name, without what it owns: for logs, and the columns of the state × command matrix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum StateName {
    /// The greeting is not said yet.
    Start,
    /// Nobody said EHLO or HELO.
    Greeted,
    /// No transaction.
    Idle,
    /// 334 was said.
    Login,
    /// A login is being checked.
    LoginAsked,
    /// A sender is being decided.
    SenderAsked,
    /// A sender was taken, and some recipients.
    Mail,
    /// A recipient is being decided.
    RecipientAsked,
    /// After 354.
    Data,
    /// Within a chunk.
    Chunk,
    /// After a chunk that was not the last.
    BetweenChunks,
    /// Within a chunk that nobody wants.
    UnwantedChunk,
    /// A message is being stored.
    MessageAsked,
    /// 220 to STARTTLS was said.
    Handshake,
    /// Over.
    Closed,
}

impl StateName {
    /// Every state.
    pub const ALL: [StateName; 15] = [
        StateName::Start,
        StateName::Greeted,
        StateName::Idle,
        StateName::Login,
        StateName::LoginAsked,
        StateName::SenderAsked,
        StateName::Mail,
        StateName::RecipientAsked,
        StateName::Data,
        StateName::Chunk,
        StateName::BetweenChunks,
        StateName::UnwantedChunk,
        StateName::MessageAsked,
        StateName::Handshake,
        StateName::Closed,
    ];
}

impl State {
    pub fn name(&self) -> StateName {
        match self {
            State::Start => StateName::Start,
            State::Greeted => StateName::Greeted,
            State::Idle => StateName::Idle,
            State::Login(_) => StateName::Login,
            State::LoginAsked => StateName::LoginAsked,
            State::SenderAsked(_) => StateName::SenderAsked,
            State::Mail(_) => StateName::Mail,
            State::RecipientAsked(..) => StateName::RecipientAsked,
            State::Data(_) => StateName::Data,
            State::Chunk(..) => StateName::Chunk,
            State::BetweenChunks(_) => StateName::BetweenChunks,
            State::UnwantedChunk { .. } => StateName::UnwantedChunk,
            State::MessageAsked { .. } => StateName::MessageAsked,
            State::Handshake => StateName::Handshake,
            State::Closed => StateName::Closed,
        }
    }

    /// Within a message's octets.
    pub fn is_content(&self) -> bool {
        matches!(self, State::Data(_) | State::Chunk(..) | State::UnwantedChunk { .. })
    }

    /// A message is on its way in, in a chunk or between two.
    pub fn is_message(&self) -> bool {
        self.is_content() || matches!(self, State::BetweenChunks(_))
    }

    /// A chunk whose octets all came, or that has none: it can end without further input.
    pub fn is_ended_chunk(&self) -> bool {
        matches!(self, State::Chunk(_, Chunk { octets_left: 0, .. }) | State::UnwantedChunk { octets_left: 0, .. })
    }

    /// A 421 can be said now without cutting a message or an answer that is owed.
    pub fn is_boundary(&self) -> bool {
        matches!(self, State::Start | State::Greeted | State::Idle | State::Login(_) | State::Mail(_))
    }

    /// The transaction's envelope, while the session holds it.
    pub fn envelope(&self) -> Option<&Envelope> {
        match self {
            State::SenderAsked(envelope) => Some(envelope),
            State::Mail(t) | State::RecipientAsked(t, _) => Some(&t.envelope),
            State::Data(t) | State::Chunk(t, _) | State::BetweenChunks(t) => Some(&t.envelope),
            State::UnwantedChunk { then, .. } => then.envelope(),
            State::Start
            | State::Greeted
            | State::Idle
            | State::Login(_)
            | State::LoginAsked
            | State::MessageAsked { .. }
            | State::Handshake
            | State::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_thrown_away_counts_as_drained() {
        let enough = usize::try_from(limits::DRAIN_OCTETS_MAX).unwrap();
        let mut transfer = Transfer::new(Envelope::default(), Scanner::data(10, false));
        assert!(transfer.may_drain(enough) && transfer.may_drain(enough));
        transfer.scanner.scan(b"more than ten octets", &mut Vec::new());
        assert!(transfer.may_drain(enough));
        assert!(!transfer.may_drain(1));
    }
}
