//! The octets of a message on their way through the session: DATA, and BDAT chunk by chunk.
//!
//! In: octets.  Out: Content steps, and at the end the Message question or the refusal.
//! Always: what is refused is still read to its true end, within [`limits::DRAIN_OCTETS_MAX`]; a message with a bad line end
//! or a NUL ends the session, because another server may have read commands in it.
//! Sources: RFC 5321 §4.1.1.4; RFC 3030 §2 to §4; RFC 1870 §6.3.

use std::{fmt, mem};

use crate::smtp::{reply::Reply, step::Step};

use super::{
    Flow, Question, Session, Steps, limits,
    state::{Chunk, State, Transfer},
};

impl<R: fmt::Display> Session<R> {
    /// Takes content from the start of `input`; answers how much. `input` is empty only for a chunk that is over.
    pub(super) fn content(&mut self, input: &[u8], steps: &mut Steps) -> (usize, Flow) {
        match &mut self.state {
            State::Data(transfer) => {
                let mut block = Vec::new();
                let scanned = transfer.scanner.scan(input, &mut block);
                let may_go_on = transfer.may_drain(scanned.used);
                hand_over(block, steps);
                let flow = match (scanned.ended, may_go_on) {
                    (true, _) => self.message_ended(),
                    (false, true) => Flow::Go,
                    (false, false) => self.drained_enough(),
                };
                (scanned.used, flow)
            }
            State::Chunk(transfer, chunk) => {
                let used = within(chunk.octets_left, input);
                let mut block = Vec::new();
                transfer.scanner.scan(&input[..used], &mut block);
                chunk.octets_left -= used as u64;
                let is_over = chunk.octets_left == 0;
                if is_over && chunk.last {
                    transfer.scanner.end_of_chunks(&mut block);
                }
                let may_go_on = transfer.may_drain(used);
                hand_over(block, steps);
                let flow = match (is_over, may_go_on) {
                    (true, _) => self.chunk_ended(),
                    (false, true) => Flow::Go,
                    (false, false) => self.drained_enough(),
                };
                (used, flow)
            }
            State::UnwantedChunk { octets_left, drained, .. } => {
                let used = within(*octets_left, input);
                *octets_left -= used as u64;
                *drained += used as u64;
                let (is_over, is_enough) = (*octets_left == 0, *drained > limits::DRAIN_OCTETS_MAX);
                if !is_over && !is_enough {
                    return (used, Flow::Go);
                }
                let State::UnwantedChunk { reply, then, .. } = mem::replace(&mut self.state, State::Closed) else {
                    return (used, Flow::Close);
                };
                if !is_over {
                    return (used, self.say_and_close(&reply));
                }
                self.state = *then;
                (used, self.error(reply))
            }
            // The caller asks only in these states.
            _ => (0, Flow::Close),
        }
    }

    fn chunk_ended(&mut self) -> Flow {
        match mem::replace(&mut self.state, State::Closed) {
            State::Chunk(mut transfer, Chunk { octets, last: false, .. }) => {
                if let Some((reply, closes)) = transfer.refusal(self.config.message_size_max) {
                    return self.message_refused(reply, closes);
                }
                self.state = State::BetweenChunks(transfer);
                if octets == 0 {
                    return self.idle_command(Reply::chunk_ok(0));
                }
                self.say(&Reply::chunk_ok(octets));
                Flow::Go
            }
            other => {
                self.state = other;
                self.message_ended()
            }
        }
    }

    /// The end of the message: asks for it to be stored, or says why not.
    fn message_ended(&mut self) -> Flow {
        let Some(mut transfer) = self.take_transfer() else {
            return Flow::Close;
        };
        if let Some((reply, closes)) = transfer.refusal(self.config.message_size_max) {
            return self.message_refused(reply, closes);
        }
        self.state = State::MessageAsked { smtputf8: transfer.envelope.params.smtputf8 };
        Flow::Ask(Question::Message { envelope: transfer.envelope, size: transfer.scanner.octets() })
    }

    /// A refused message does not end: it is cut.
    fn drained_enough(&mut self) -> Flow {
        let refusal = self.take_transfer().and_then(|mut t| t.refusal(self.config.message_size_max));
        let reply = refusal.map_or_else(Reply::too_much_input, |(reply, _)| reply);
        self.say_and_close(&reply)
    }

    fn message_refused(&mut self, reply: Reply, closes: bool) -> Flow {
        self.state = State::Idle;
        if closes { self.say_and_close(&reply) } else { self.refuse(reply) }
    }

    fn take_transfer(&mut self) -> Option<Transfer> {
        match mem::replace(&mut self.state, State::Closed) {
            State::Data(transfer) | State::Chunk(transfer, _) => Some(transfer),
            _ => None,
        }
    }
}

/// How many octets of `input` belong to a chunk that misses `octets_left`.
fn within(octets_left: u64, input: &[u8]) -> usize {
    usize::try_from(octets_left).unwrap_or(usize::MAX).min(input.len())
}

fn hand_over(block: Vec<u8>, steps: &mut Steps) {
    if !block.is_empty() {
        steps.push(Step::Content(block));
    }
}
