//! Passes mail on that came in: bounces to the senders of the mail (R6), mail for postmaster, and what forwarding filters take.
//!
//! In: a mail that came in, who gets it.  Out: a message in the queue, by the same door as everybody's mail.
//! Always: below our trace headers it is what came, octet for octet; its sender is the null reverse-path, so that nothing can
//! bounce, no SPF record of a stranger is broken, and what fails is told in our log alone; it carries a keyed mark, and what
//! carries ours is never passed on again.
//! Sources: PRODUCT.md R6; RFC 5321 §4.4, §4.5.5 and §6.3; algorithms F5.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use smol::Timer;

use crate::{
    budget::Budget,
    ids::MessageId,
    intake::{
        sink::InboundMail,
        submit::{Door, Incoming},
    },
    mail::{
        header::{Facts, Fields},
        trace::{self, Arrival, ReceivedForm, TraceKey, TraceSettings},
    },
    smtp::{
        address::Mailbox,
        params::{BodyType, Envelope, EnvelopeRecipient, MailParams, Notify, RcptParams},
    },
    store::{BODY_RAM_MAX, BodyIn, Origin, StoreError},
};

/// The mark's field name.
pub const MARK_HEADER: &str = "X-Hikyaku-Forwarded";
/// Marks looked at in a header.
const MARKS_MAX: usize = 64;

/// How often a mail asks again for memory, while bodies of others hold all of it.
const BUDGET_WAIT: Duration = Duration::from_millis(100);
/// Then it goes through a file.
const BUDGET_TRIES: u32 = 10;

/// Why a mail is passed on; the word stands in its mark and in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It came back, and goes to the sender of the mail that it is about.
    Bounce,
    /// It is for postmaster or abuse.
    Postmaster,
    /// A forwarding filter takes it.
    Filter,
}

impl Why {
    /// The word in the mark and in logs.
    pub fn word(self) -> &'static str {
        match self {
            Why::Bounce => "bounce",
            Why::Postmaster => "postmaster",
            Why::Filter => "filter",
        }
    }
}

/// Whether a header has a mark of ours: the mail was passed on by us before.
pub fn was_passed_on(key: &TraceKey, head: &[u8]) -> bool {
    let is_ours = |value: &str| value.trim_start().split_once(' ').is_some_and(|(_, trace)| key.is_ours(trace));
    Fields::new(head)
        .filter(|f| head[f.name.clone()].eq_ignore_ascii_case(MARK_HEADER.as_bytes()))
        .take(MARKS_MAX)
        .any(|f| std::str::from_utf8(&head[f.value]).is_ok_and(is_ours))
}

/// What stands above a mail that is passed on: its mark and a Received field in full, since the way of incoming mail is for its
/// readers to see.
pub fn on_top(arrival: &Arrival<'_>, facts: &Facts, key: &TraceKey, why: Why) -> Vec<u8> {
    let settings = TraceSettings { received: ReceivedForm::Normal, add_missing_headers: false, key };
    let mut top = format!("{MARK_HEADER}: {} {}\r\n", why.word(), key.trace(arrival.id)).into_bytes();
    top.extend(trace::head_changes(arrival, facts, &settings).top);
    top
}

/// The door by which mail is passed on.
pub trait Out: Send + Sync + 'static {
    /// Passes a mail on; returns when it is on disk.
    fn pass_on(
        &self,
        mail: &InboundMail<'_>,
        to: Mailbox,
        why: Why,
    ) -> impl Future<Output = Result<MessageId, StoreError>> + Send;

    /// The mail has our mark.
    fn was_passed_on(&self, mail: &InboundMail<'_>) -> bool;
}

/// [`Out`] of the running daemon.
#[derive(Clone)]
pub struct ForwardDoor {
    /// The door.
    pub door: Door,
    /// The memory of mail bodies.
    pub budget: Budget,
    /// The key of our marks.
    pub key: TraceKey,
}

impl ForwardDoor {
    /// A mail as it is stored: `top`, then the mail as it came; in memory while there is room, else through a file.
    ///
    /// # Errors
    /// The store's.
    pub async fn body(&self, id: MessageId, top: Vec<u8>, body: &Bytes) -> Result<BodyIn, StoreError> {
        let len = top.len() + body.len();
        if len <= BODY_RAM_MAX {
            for _ in 0..BUDGET_TRIES {
                if let Some(lease) = self.budget.take(len) {
                    let bytes = Bytes::from([top.as_slice(), body].concat());
                    return Ok(BodyIn::Ram { bytes, lease });
                }
                Timer::after(BUDGET_WAIT).await;
            }
        }
        let (door, body) = (self.door.clone(), body.clone());
        let file = smol::unblock(move || {
            let mut file = door.large_body(id)?;
            file.write(&top)?;
            file.write(&body)?;
            file.finish()
        });
        Ok(BodyIn::File(file.await?))
    }
}

impl Out for ForwardDoor {
    async fn pass_on(&self, mail: &InboundMail<'_>, to: Mailbox, why: Why) -> Result<MessageId, StoreError> {
        let id = self.door.new_id();
        let arrival = Arrival { id, ..mail.arrival };
        let top = on_top(&arrival, mail.facts, &self.key, why);
        let len = top.len() + mail.body.len();
        let params = MailParams {
            size: Some(len as u64),
            body: if mail.body.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
            smtputf8: mail.smtputf8 || to.needs_smtputf8(),
            ..MailParams::default()
        };
        let never = Notify { given: true, ..Notify::default() };
        let recipient = EnvelopeRecipient { address: to, params: RcptParams { notify: never, orcpt: None } };
        let envelope = Envelope { sender: None, params, recipients: vec![recipient] };
        let body = self.body(id, top, mail.body).await?;
        let forwarded = Incoming::ours(id, envelope, body, mail.facts.clone(), Origin::Forward);
        let incoming = Incoming { source_ip: mail.arrival.address, ..forwarded };
        self.door.store(incoming).await.map(|receipt| receipt.id())
    }

    fn was_passed_on(&self, mail: &InboundMail<'_>) -> bool {
        was_passed_on(&self.key, mail.head())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, mail::header, mail::trace::Protocol};

    fn arrival(begins_empty: bool) -> Arrival<'static> {
        Arrival {
            id: MessageId::from_u64(5 << 40),
            at: Timestamp::from_millis(1_795_527_310_000),
            hostname: "relay.test",
            helo: "mx.them.test",
            address: "192.0.2.7".parse().ok(),
            protocol: Protocol { extended: true, ..Protocol::default() },
            tls: "",
            recipient: None,
            priority: None,
            begins_empty,
        }
    }

    #[test]
    fn what_is_passed_on_is_whole_below_a_mark_that_nobody_can_forge() {
        let (key, other) = (TraceKey::new(&[7; 32]), TraceKey::new(&[8; 32]));
        for mail in
            ["Subject: x\r\nReceived: y\r\n\r\nbody\r\n", "\r\nbody\r\n", "no header: at all?\r\n", "a line\r\n"]
        {
            let facts = header::scan(mail.as_bytes(), "");
            let top = on_top(&arrival(mail.starts_with("\r\n")), &facts, &key, Why::Bounce);
            let whole = [top.as_slice(), mail.as_bytes()].concat();
            assert!(whole.ends_with(mail.as_bytes()));
            let head = &whole[..header::find_end(&whole, 0).expect("a header")];
            let text = String::from_utf8_lossy(head);
            assert!(text.starts_with("X-Hikyaku-Forwarded: bounce ") && text.contains("mx.them.test"), "{text}");
            assert!(text.contains("[192.0.2.7]"), "{text}");
            assert!(was_passed_on(&key, head) && !was_passed_on(&other, head));
            assert!(!text.contains("a line"), "the body is no header: {text}");
        }
        for forged in
            ["X-Hikyaku-Forwarded: bounce\r\n\r\n", "X-Hikyaku-Forwarded: bounce 0000000000000 00\r\n\r\n", "\r\n"]
        {
            assert!(!was_passed_on(&key, forged.as_bytes()), "{forged}");
        }
    }
}
