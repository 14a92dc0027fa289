//! The mailroom: takes what comes back and what comes in, writes down what it says of our recipients, and passes on what others
//! are to read.
//!
//! In: mail of an inbound listener, with the inlets that it came by.  Out: entries of the error log; mail in the queue; yes or no.
//! Always: yes comes only after all of it is on disk (P1); a bounce that is forwarded is forwarded before it is written down, so
//! that no crash between the two loses it (R6), and a repeat after a lost 250 makes no second entry; complaints are never
//! forwarded to senders; nothing is passed on twice, to an address of ours, or to nobody; reading is bounded in concurrency.
//! Sources: PRODUCT.md R6, R11, P7; cmc.md §5, §12.1, §12.5; RFC 3464, RFC 5965.
//!
//! ```text
//! return, complaint ─► read (blocking pool) ─► find ─┬─► forward to the sender (R6) ─┐
//!                                                    └─► Store::returned ◄───────────┘ ─► on_returned
//! postmaster (and people's mail to the report address) ─► forward to [server] postmaster
//! inbound (and bounces) ─► [[forward]] ─► forward to the filter's address
//! ```

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest;
use bytes::Bytes;
use smol::lock::Semaphore;

use super::{
    find::{Found, Question, Sent},
    forward::{Out, Why},
    read::{Kind, Reading},
    returned,
};
use crate::{
    config::{Config, ForwardSide, InForce},
    intake::{
        forwarding::{self, Taken},
        inlets::{Inlet, Tokens},
        sink::{InboundMail, Refusal, Sink},
    },
    metrics::Metrics,
    smtp::{
        address::Mailbox,
        reply::{Enhanced, Reply},
    },
    store::{Origin, Returned, ReturnedAs, StoreError},
};

/// Mails that are read at once: reading a large one costs a core some 100 ms, and deliveries need the blocking pool too.
const READERS_MAX: usize = 4;
/// Addresses to which one mail is passed on at most.
const TARGETS_MAX: usize = 20;
/// Bounces that are remembered as forwarded, by their digests: the mail of an hour on a busy host, in 128 KiB.
const FORWARDED_MAX: usize = 4_096;
/// Entries of the error log that are written in one transaction at most.
const ENTRIES_A_CALL_MAX: usize = 200;

/// What the mailroom is made of.
pub struct Parts<S, O> {
    /// What was sent, and the error log.
    pub sent: S,
    /// Where mail that is passed on goes in.
    pub out: O,
    /// The tokens of our return addresses.
    pub tokens: Arc<dyn Tokens>,
    /// Reads a mail: [`super::read::read`]. Called on the blocking pool.
    pub read: fn(&[u8]) -> Reading,
    /// The config in force.
    pub config: InForce,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Wakes who follows the error log.
    pub on_returned: Box<dyn Fn() + Send + Sync>,
    /// Takes a recipient who complained off the list of the mail.
    pub leave: Leave,
}

/// An address leaves a list; returns once that is on disk.
pub type Leave =
    Box<dyn Fn(Mailbox, String) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>> + Send + Sync>;

/// The mailroom.
pub struct Mailroom<S, O> {
    parts: Parts<S, O>,
    readers: Semaphore,
    forwarded: Mutex<VecDeque<[u8; 32]>>,
}

/// What was read in a mail, and whom it is about.
struct Understood {
    reading: Reading,
    found: Vec<Found>,
    /// Of the mail, its sender and its address: a repeat has the same.
    digest: [u8; 32],
}

impl<S: Sent, O: Out> Mailroom<S, O> {
    /// An empty mailroom.
    pub fn new(parts: Parts<S, O>) -> Self {
        Mailroom { parts, readers: Semaphore::new(READERS_MAX), forwarded: Mutex::default() }
    }

    async fn serve(&self, mail: InboundMail<'_>) -> Result<(), Refusal> {
        let config = self.parts.config.get();
        let has = |wanted: fn(Inlet) -> bool| mail.to.iter().any(|(_, inlet)| wanted(*inlet));
        let is_report = |inlet| matches!(inlet, Inlet::Return(_) | Inlet::Complaint);
        let loops = self.parts.out.was_passed_on(&mail);
        let filters = match has(|inlet| matches!(inlet, Inlet::Return(_) | Inlet::Inbound)) {
            true if !loops => forwarding::taken_by(&config.forwards, ForwardSide::Inbound, mail.watched),
            true | false => Vec::new(),
        };
        let (mut taken, mut refused) = (false, None);
        let understood = match has(is_report) {
            true => match self.understand(&config, &mail).await? {
                Ok(understood) => Some(understood),
                Err(reply) => {
                    refused = Some(Refusal::Refused(reply));
                    None
                }
            },
            false => None,
        };
        if let Some(understood) = &understood {
            if !loops {
                self.forward_to_senders(&config, &mail, understood).await?;
            }
            taken = true;
        }
        match self.targets(&config, &mail, loops, filters, understood.is_some()) {
            Ok(targets) => {
                for (to, why, filter) in &targets {
                    self.pass_on(&mail, to, *why, filter).await?;
                    taken = true;
                }
            }
            Err(reply) => refused = Some(Refusal::Refused(reply)),
        }
        // Last: that it is written down means that everything before was done.
        if let Some(understood) = understood {
            self.write_down(&mail, &understood).await?;
        }
        match refused {
            Some(refusal) if !taken => Err(refusal),
            Some(_) | None => Ok(()),
        }
    }

    /// Reads a mail and finds whom it is about; the inner error is what the peer hears.
    async fn understand(
        &self,
        config: &Arc<Config>,
        mail: &InboundMail<'_>,
    ) -> Result<Result<Understood, Reply>, Refusal> {
        let permit = self.readers.acquire().await;
        let (sent, tokens, config) = (self.parts.sent.clone(), self.parts.tokens.clone(), config.clone());
        let (body, to): (Bytes, Vec<(Mailbox, Inlet)>) = (mail.body.clone(), reports_of(mail).cloned().collect());
        let (sender, read) = (mail.sender.cloned(), self.parts.read);
        let understood = smol::unblock(move || {
            let reading = read(&body);
            let question = Question { sent: &sent, tokens: &*tokens, config: &config, to: &to, reading: &reading };
            let found = question.ask()?;
            let digest = digest_of(&body, sender.as_ref(), &to);
            Ok(Understood { reading, found, digest })
        })
        .await
        .map_err(|error: crate::store::StoreError| Refusal::Later(error.to_string()))?;
        drop(permit);
        self.count(understood.reading.kind);
        let kept_local = reports_of(mail).all(|(_, inlet)| *inlet == Inlet::Return(None));
        if understood.found.is_empty() && kept_local {
            // P7: whoever guesses a sender's name must not reach anybody by it.
            return Ok(Err(Reply::new(550, Enhanced(5, 1, 1), "This is about no mail that was sent from here")));
        }
        Ok(Ok(understood))
    }

    fn count(&self, kind: Kind) {
        let metrics = &self.parts.metrics;
        match kind {
            Kind::Bounce => metrics.inbound_bounces.one(),
            Kind::Complaint => metrics.inbound_complaints.one(),
            Kind::Delay => metrics.inbound_delays.one(),
            Kind::Delivered => metrics.inbound_successes.one(),
            Kind::AutoReply => metrics.inbound_replies.one(),
            Kind::Other => metrics.inbound_others.one(),
        }
    }

    /// R6: what came to a return address goes to the sender of the mail that it is about; all of it but complaints, or none.
    async fn forward_to_senders(
        &self,
        config: &Config,
        mail: &InboundMail<'_>,
        understood: &Understood,
    ) -> Result<(), Refusal> {
        let came_back = mail.to.iter().any(|(_, inlet)| matches!(inlet, Inlet::Return(_)));
        if !config.bounce.forward_to_sender || !came_back || understood.reading.kind == Kind::Complaint {
            return Ok(());
        }
        let mut senders: Vec<&Mailbox> = Vec::new();
        for found in &understood.found {
            let message = &found.message;
            if matches!(message.origin, Origin::Notice | Origin::Forward) {
                continue;
            }
            let Some(sender) = &message.sender else { continue };
            if config.may_take(sender) {
                log::warn!(
                    "message={} sender=<{sender}> forward=no what=\"what goes there would come back\"",
                    message.id
                );
            } else if !senders.contains(&sender) && senders.len() < TARGETS_MAX {
                senders.push(sender);
            }
        }
        if senders.is_empty() || self.is_forwarded(&understood.digest) {
            return Ok(());
        }
        for sender in senders {
            self.pass_on(mail, sender, Why::Bounce, "").await?;
        }
        self.remember_forwarded(understood.digest);
        Ok(())
    }

    fn is_forwarded(&self, digest: &[u8; 32]) -> bool {
        self.forwarded.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    fn remember_forwarded(&self, digest: [u8; 32]) {
        let mut known = self.forwarded.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= FORWARDED_MAX {
            known.pop_front();
        }
        known.push_back(digest);
    }

    /// To whom else a mail goes, each address once: postmaster, and who its filters name.
    fn targets(
        &self,
        config: &Config,
        mail: &InboundMail<'_>,
        loops: bool,
        filters: Vec<Taken>,
        is_ours: bool,
    ) -> Result<Vec<(Mailbox, Why, String)>, Reply> {
        let is_inbound = mail.to.iter().any(|(_, inlet)| *inlet == Inlet::Inbound);
        let why = mail.to.iter().find_map(|(_, inlet)| match inlet {
            Inlet::Postmaster => Some(Why::Postmaster),
            Inlet::Return(_) | Inlet::Complaint | Inlet::TlsReport | Inlet::DmarcReport | Inlet::Inbound => None,
        });
        if loops && (is_inbound || why.is_some()) {
            let text = "This message was passed on from here before: it is going round in a loop";
            return Err(Reply::new(554, Enhanced(5, 4, 6), text));
        }
        let mut targets: Vec<(Mailbox, Why, String)> = Vec::new();
        let mut add = |to: Mailbox, why, filter: String| {
            let known = targets.iter().any(|(known, ..)| crate::config::inbound::same_address(known.as_str(), &to));
            if !known && targets.len() < TARGETS_MAX {
                targets.push((to, why, filter));
            }
        };
        let mut refused = None;
        if let Some(why) = why {
            match Mailbox::parse(&config.server.postmaster) {
                Ok(postmaster) => add(postmaster, why, String::new()),
                // The config changed after RCPT.
                Err(_) => refused = Some(Reply::new(550, Enhanced(5, 7, 1), "Nobody reads this mailbox")),
            }
        }
        if is_inbound && filters.is_empty() {
            refused = Some(Reply::new(550, Enhanced(5, 7, 1), "No forwarding filter takes this mail"));
        }
        // A bounce must be about mail of ours before anybody gets it.
        if is_inbound || is_ours {
            filters.into_iter().for_each(|taken| add(taken.to, Why::Filter, taken.name));
        }
        match refused {
            Some(reply) if targets.is_empty() => Err(reply),
            Some(_) | None => Ok(targets),
        }
    }

    async fn pass_on(&self, mail: &InboundMail<'_>, to: &Mailbox, why: Why, filter: &str) -> Result<(), Refusal> {
        let passed = self.parts.out.pass_on(mail, to.clone(), why).await;
        let message = passed.map_err(|error| Refusal::Later(error.to_string()))?;
        self.parts.metrics.inbound_forwarded.one();
        log::info!(
            "inbound={} message={message} forward={} filter=\"{filter}\" to=<{to}>",
            mail.arrival.id,
            why.word()
        );
        Ok(())
    }

    /// Writes what is said of recipients into the error log, and wakes who follows it.
    async fn write_down(&self, mail: &InboundMail<'_>, understood: &Understood) -> Result<(), Refusal> {
        let kind = understood.reading.kind;
        if understood.found.is_empty() {
            log::warn!(
                "inbound={} kind={} what=\"about no recipient that is known here\"",
                mail.arrival.id,
                kind.word()
            );
            return Ok(());
        }
        let mut entries: Vec<(&Found, Returned)> = Vec::new();
        for found in &understood.found {
            match returned::entry(kind, found, mail.arrival.at) {
                Some(entry) => entries.push((found, entry)),
                None => log::info!("{} kind={}", returned::line(mail.arrival.id, found), kind.word()),
            }
        }
        if kind == Kind::Complaint {
            for found in understood.found.iter().filter(|found| !found.message.list.is_empty()) {
                let left = (self.parts.leave)(found.recipient.address.clone(), found.message.list.clone());
                left.await.map_err(|error| Refusal::Later(error.to_string()))?;
            }
        }
        let mut written = false;
        for some in entries.chunks(ENTRIES_A_CALL_MAX) {
            let batch = some.iter().map(|(_, entry)| entry.clone()).collect();
            let became = self.parts.sent.returned(batch).await.map_err(|error| Refusal::Later(error.to_string()))?;
            for ((found, entry), became) in some.iter().zip(became) {
                written |= matches!(became, ReturnedAs::Written(_));
                self.tell(mail, found, entry, became);
            }
        }
        if written {
            (self.parts.on_returned)();
        }
        Ok(())
    }

    fn tell(&self, mail: &InboundMail<'_>, found: &Found, entry: &Returned, became: ReturnedAs) {
        let detail = &entry.detail;
        log::info!(
            "{} verdict={} entry={} class={} trouble={} hard={} host={} reply=\"{}\"",
            returned::line(mail.arrival.id, found),
            entry.kind.word(),
            match became {
                ReturnedAs::Written(number) => number.to_string(),
                ReturnedAs::Known(_) => "known".to_owned(),
                ReturnedAs::Unknown => "no-longer-there".to_owned(),
            },
            detail.error.map_or(0, |class| class.code()),
            detail.trouble.map_or("-", |trouble| trouble.word()),
            detail.hard,
            if detail.host.is_empty() { "-" } else { &detail.host },
            detail.reply.escape_debug(),
        );
        if let ReturnedAs::Written(_) = became {
            match entry.kind {
                crate::event::EventKind::Complained => self.parts.metrics.complained.one(),
                _ => self.parts.metrics.bounced.one(),
            }
        }
    }
}

impl<S: Sent, O: Out> Sink for Mailroom<S, O> {
    fn take<'a>(&'a self, mail: InboundMail<'a>) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>> {
        Box::pin(self.serve(mail))
    }
}

/// The addresses of a mail at which it is read.
fn reports_of<'m>(mail: &InboundMail<'m>) -> impl Iterator<Item = &'m (Mailbox, Inlet)> + use<'m> {
    mail.to.iter().filter(|(_, inlet)| matches!(inlet, Inlet::Return(_) | Inlet::Complaint))
}

fn digest_of(body: &[u8], sender: Option<&Mailbox>, to: &[(Mailbox, Inlet)]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for address in sender.into_iter().chain(to.iter().map(|(address, _)| address)) {
        context.update(address.as_str().as_bytes());
        context.update(b"\0");
    }
    context.update(body);
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
#[path = "mailroom_tests.rs"]
mod tests;
