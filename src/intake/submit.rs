//! The one door: SMTP, the API and our own notices hand their messages over here.
//!
//! In: an envelope, a spooled body, who sent it.  Out: a [`Receipt`] after the commit (P1), or the reply that says why not.
//! Always: what was handed to the writer is waited for without a time-out: a 451 after that would make the client send twice.

use std::{net::IpAddr, sync::Arc};

use crate::{
    bounce::{
        envelope_from::{Mail, ReturnPath, kept_local},
        keys::KeyRing,
    },
    clock::{Clock, Timestamp},
    config::{Config, ForwardSide, InForce},
    deliver::rules::lane_of,
    event::Class,
    ids::{MessageId, RecipientKey},
    intake::{
        forwarding,
        policy::{self, ClassHints},
        sandboxed,
    },
    mail::{header::Facts, trace::HOPS_MAX, watched::Watched},
    metrics::Metrics,
    sandbox::Sandbox,
    schedule::task::Handle,
    smtp::{
        address::Mailbox,
        params::{ByMode, Envelope},
        reply::Reply,
    },
    store::{
        BEHIND_MAX, Blocked, BodyIn, Lane, LargeBody, MemoChange, Message, Origin, Receipt, Store, StoreError,
        Submission,
    },
    suppress::lookup,
    unsubscribe::filters,
};

/// The door; clones share it.
#[derive(Clone)]
pub struct Door {
    store: Store,
    scheduler: Handle,
    clock: Clock,
    metrics: Arc<Metrics>,
    config: InForce,
    keys: KeyRing,
    sandbox: Arc<Sandbox>,
}

/// A message that asks to come in.
#[derive(Debug)]
pub struct Incoming {
    /// Its id, from [`Door::new_id`].
    pub id: MessageId,
    /// Sender, recipients, parameters.
    pub envelope: Envelope,
    /// Its content, trace headers on top.
    pub body: BodyIn,
    /// Facts of its header.
    pub facts: Facts,
    /// What its header holds of the fields that filters look at.
    pub watched: Watched,
    /// The API user that sent it; empty: none.
    pub user: String,
    /// The class of that user; of our own mail its class, `None` is normal.
    pub user_class: Option<Class>,
    /// From where.
    pub source_ip: Option<IpAddr>,
    /// By which door.
    pub origin: Origin,
    /// Owed notices that this message settles.
    pub settles: Vec<RecipientKey>,
    /// The API user is in the sandbox: its mail is taken, logged, kept to be looked at, and never delivered.
    pub sandbox: bool,
    /// Memos that are written with it or not at all.
    pub memos: Vec<MemoChange>,
}

impl Incoming {
    /// Mail of our own making, or passed on by us: no user's, from nowhere, seen by no filter.
    pub fn ours(id: MessageId, envelope: Envelope, body: BodyIn, facts: Facts, origin: Origin) -> Self {
        Incoming {
            id,
            envelope,
            body,
            facts,
            watched: Watched::default(),
            user: String::new(),
            user_class: None,
            source_ip: None,
            origin,
            settles: Vec::new(),
            sandbox: false,
            memos: Vec::new(),
        }
    }
}

impl Door {
    /// A door to this store and scheduler; return addresses are made with these keys, and mail of API users in the sandbox is
    /// copied there.
    pub fn new(
        store: Store,
        scheduler: Handle,
        clock: Clock,
        metrics: Arc<Metrics>,
        config: InForce,
        keys: KeyRing,
        sandbox: Arc<Sandbox>,
    ) -> Self {
        Door { store, scheduler, clock, metrics, config, keys, sandbox }
    }

    /// An id for a message that begins to arrive.
    pub fn new_id(&self) -> MessageId {
        self.store.ids().next(self.clock.now())
    }

    /// A file for a body that is too large for RAM. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn large_body(&self, id: MessageId) -> Result<LargeBody, StoreError> {
        self.store.large_body(id)
    }

    /// Whether a message may begin: asked at MAIL, so that nothing is refused after it was handed to the writer.
    pub fn may_begin(&self) -> Result<(), Reply> {
        if self.store.disk_is_full() {
            return Err(Reply::disk_full());
        }
        if self.store.behind() > BEHIND_MAX {
            return Err(Reply::storage_trouble());
        }
        Ok(())
    }

    /// Takes a message in, for a peer who hears the reply. The receipt is the proof that it is on disk.
    pub async fn submit(&self, incoming: Incoming) -> Result<Receipt, Reply> {
        if incoming.facts.received_count > HOPS_MAX {
            return Err(Reply::mail_loop(HOPS_MAX));
        }
        self.store(incoming).await.map_err(|error| refusal(&error))
    }

    /// Stores a message, counts it and hands it to the scheduler.
    ///
    /// # Errors
    /// The store's; then nothing was accepted.
    pub async fn store(&self, incoming: Incoming) -> Result<Receipt, StoreError> {
        self.store_in(incoming, None).await
    }

    /// The same with lanes that the caller chooses: one for each recipient. Who delivers must know them.
    ///
    /// # Errors
    /// The store's; then nothing was accepted.
    pub async fn store_in(&self, mut incoming: Incoming, lanes: Option<Vec<Lane>>) -> Result<Receipt, StoreError> {
        let (config, now) = (self.config.get(), self.clock.now());
        forward(&config, &mut incoming);
        let return_path = self.return_path(&config, &incoming, now).await?;
        let mut submission = Submission { return_path, ..submission(&config, incoming, now) };
        if let Some(lanes) = lanes.filter(|lanes| lanes.len() == submission.lanes.len()) {
            submission.lanes = lanes;
        }
        submission.blocked = self.blocked(&submission).await;
        let blocked = submission.blocked.len() as u64;
        let copy = sandboxed::copy(&self.sandbox, &self.store, &submission).await;
        let receipt = self.store.submit(submission).await?;
        let message = &receipt.loaded().message;
        self.metrics.messages_accepted.one();
        self.metrics.recipients_accepted.add(u64::from(message.recipients));
        self.metrics.octets_accepted.add(message.len);
        self.metrics.blocked.add(blocked);
        log_queued(message);
        self.scheduler.fresh(&receipt);
        if let Some(copy) = copy {
            copy.show().await;
        }
        Ok(receipt)
    }

    /// The sender that goes out (R3). One that must be known when something comes back is on disk when this returns.
    async fn return_path(
        &self,
        config: &Config,
        incoming: &Incoming,
        now: Timestamp,
    ) -> Result<ReturnPath, StoreError> {
        let sender = incoming.envelope.sender.as_ref();
        let is_ours = matches!(incoming.origin, Origin::Notice | Origin::Forward);
        let path =
            config.return_path(&Mail { header_from: &incoming.facts.from, sender, is_ours }, self.keys.newest()).path;
        if let (ReturnPath::KeepLocal { domain }, Some(sender)) = (&path, sender) {
            let Some(kept) = kept_local(sender, domain) else { return Ok(ReturnPath::AsIs) };
            self.keys.return_paths().remember(&self.store, &kept, now.day()).await?;
        }
        Ok(path)
    }
}

/// Forwarding filters of the relay side: they look at what is submitted, never at what we send ourselves or pass on.
fn forward(config: &Config, incoming: &mut Incoming) {
    if config.forwards.is_empty() || matches!(incoming.origin, Origin::Notice | Origin::Forward) {
        return;
    }
    let taken = forwarding::taken_by(&config.forwards, ForwardSide::Relay, &incoming.watched);
    for filter in forwarding::apply(taken, &mut incoming.envelope) {
        log::info!(
            "message={} forward=filter filter=\"{}\" mode={} to=<{}>",
            incoming.id,
            filter.name,
            filter.mode.word(),
            filter.to
        );
    }
}

/// Recipients whose rows are looked up on the executor; more are looked up beside it.
const LOOKED_UP_HERE_MAX: usize = 16;

impl Door {
    /// The recipients that are not written to: final from the first.
    async fn blocked(&self, submission: &Submission) -> Vec<Blocked> {
        if !lookup::applies_to(submission.origin) {
            return Vec::new();
        }
        let (recipients, now) = (&submission.envelope.recipients, submission.accepted_at);
        let (user, list) = (&submission.user, &submission.list);
        if recipients.len() <= LOOKED_UP_HERE_MAX {
            return lookup::blocked_among(&self.store, recipients.iter().map(|r| &r.address), user, list, now);
        }
        let addresses: Vec<Mailbox> = recipients.iter().map(|r| r.address.clone()).collect();
        let (store, user, list) = (self.store.clone(), user.clone(), list.clone());
        smol::unblock(move || lookup::blocked_among(&store, addresses.iter(), &user, &list, now)).await
    }
}

fn log_queued(message: &Message) {
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let path = &message.return_path;
    let rewritten = if path.is_ours() { format!(" return_path=\"{path}\"") } else { String::new() };
    let list = if message.list.is_empty() { String::new() } else { format!(" list={:?}", message.list) };
    log::info!(
        "message={} verdict=queued sender=<{}>{rewritten}{list} recipients={} octets={} user={} source={} message_id={}",
        message.id,
        message.sender.as_ref().map_or("", |s| s.as_str()),
        message.recipients,
        message.len,
        or_dash(&message.user),
        message.source_ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string()),
        or_dash(&message.facts.message_id),
    );
}

fn submission(config: &Config, incoming: Incoming, now: Timestamp) -> Submission {
    let sandboxed = if incoming.sandbox { sandboxed::ends(&incoming.envelope) } else { Vec::new() };
    let params = &incoming.envelope.params;
    let class = match incoming.origin {
        // Notices of failed high mail must not crowd out high mail, and nobody should wait for those of low mail. Mail of our own
        // that somebody waits for, or nobody, says so.
        Origin::Notice | Origin::Forward => incoming.user_class.unwrap_or(Class::Normal),
        Origin::Smtp | Origin::Api => class_of(config, &incoming),
    };
    let release_at = params.hold.map(|hold| hold.release_at(now)).filter(|at| *at > now);
    // The lifetime counts from the release: a mail that was held for a month has not been tried for a month.
    let lifetime_ends = release_at.unwrap_or(now).plus(config.queue.lifetime_of(class));
    let expires_at = match params.by {
        Some(by) if by.mode == ByMode::Return => lifetime_ends.min(by.deadline(now)),
        Some(_) | None => lifetime_ends,
    };
    let mut facts = incoming.facts;
    // RFC 8689 §5: the field counts for nothing beside REQUIRETLS.
    facts.tls_optional &= !params.require_tls;
    Submission {
        release_at,
        id: incoming.id,
        accepted_at: now,
        expires_at,
        lanes: incoming.envelope.recipients.iter().map(|r| lane_of(&config.delivery, &r.address)).collect(),
        envelope: incoming.envelope,
        class,
        facts,
        user: incoming.user,
        source_ip: incoming.source_ip,
        origin: incoming.origin,
        body: incoming.body,
        settles: incoming.settles,
        return_path: ReturnPath::AsIs,
        list: filters::list_of(&config.unsubscribe, incoming.origin, &incoming.watched),
        blocked: Vec::new(),
        sandboxed,
        memos: incoming.memos,
    }
}

fn class_of(config: &Config, incoming: &Incoming) -> Class {
    let hints = ClassHints {
        header: incoming.facts.class,
        mt_priority: incoming.envelope.params.mt_priority,
        user_class: incoming.user_class,
        user: &incoming.user,
        sender: incoming.envelope.sender.as_ref(),
    };
    policy::class_of(config, hints, incoming.envelope.recipients.iter().map(|r| &r.address)).0
}

/// What a client hears when the store could not do something; the reason goes to the log.
pub(super) fn refusal(error: &StoreError) -> Reply {
    log::error!("act=store error=\"{error}\"");
    match error {
        StoreError::Full => Reply::disk_full(),
        StoreError::Failed(_)
        | StoreError::Closed
        | StoreError::Damaged(_)
        | StoreError::InUse(_)
        | StoreError::Newer(_)
        | StoreError::Refused(_)
        | StoreError::Read { .. } => Reply::storage_trouble(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        budget::Budget,
        smtp::params::{EnvelopeRecipient, MailParams, RcptParams},
    };

    #[test]
    fn mail_of_our_own_has_the_class_that_it_names_and_is_normal_without() {
        let budget = Budget::new(1000);
        for (named, class) in [(None, Class::Normal), (Some(Class::High), Class::High), (Some(Class::Low), Class::Low)]
        {
            let recipient =
                EnvelopeRecipient { address: Mailbox::parse("a@b.example").unwrap(), params: RcptParams::default() };
            let envelope = Envelope { sender: None, params: MailParams::default(), recipients: vec![recipient] };
            let id = "0000000000001".parse().unwrap();
            for origin in [Origin::Notice, Origin::Forward] {
                let lease = budget.take(1).unwrap();
                let body = BodyIn::Ram { bytes: Bytes::new(), lease };
                let ours = Incoming::ours(id, envelope.clone(), body, Facts::default(), origin);
                let incoming = Incoming { user_class: named, ..ours };
                assert_eq!(submission(&Config::default(), incoming, Timestamp::ZERO).class, class, "{named:?}");
            }
        }
    }
}
