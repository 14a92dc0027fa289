//! Mail that is handed in whole: the sending API composes it, and it comes in by the same door as SMTP's.
//!
//! In: a composed mail and its envelope.  Out: an [`Incoming`] with our trace on top, then its receipt after the commit (P1).
//! Always: the same rules as for SMTP: size, header From, loops, trace, priority header; the content is in RAM under a lease, or in
//! a file of its own (P5).

use std::{net::IpAddr, sync::Arc};

use crate::{
    budget::Budget,
    clock::{Clock, Timestamp},
    config::{Config, InForce},
    event::Class,
    ids::MessageId,
    mail::trace::TraceKey,
    smtp::{params::Envelope, reply::Reply},
    store::{MemoChange, Origin, Receipt, Store},
};

use super::{
    spool::Spool,
    submit::{Door, Incoming},
    trace::TraceTop,
};

/// The way in for whole mails; clones share it.
#[derive(Clone)]
pub struct HandIn {
    /// The one door.
    pub door: Door,
    /// For large bodies.
    pub store: Store,
    /// The config in force.
    pub config: InForce,
    /// The time.
    pub clock: Clock,
    /// The memory for content.
    pub budget: Budget,
    /// The key of our traces.
    pub trace_key: TraceKey,
}

/// A whole mail.
#[derive(Debug)]
pub struct WholeMail {
    /// Its id, from [`HandIn::new_id`].
    pub id: MessageId,
    /// Sender, recipients, parameters.
    pub envelope: Envelope,
    /// Header and body.
    pub bytes: Vec<u8>,
    /// The API user that hands it in.
    pub user: String,
    /// The class of that user.
    pub user_class: Option<Class>,
    /// From where.
    pub source_ip: IpAddr,
    /// The user is in the sandbox.
    pub sandbox: bool,
    /// Memos that are written with it or not at all.
    pub memos: Vec<MemoChange>,
}

impl HandIn {
    /// An id for a mail that is about to be composed.
    pub fn new_id(&self) -> MessageId {
        self.door.new_id()
    }

    /// The config in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.get()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether mail may be handed in now: asked first, so that nothing is refused after it was handed to the writer.
    ///
    /// # Errors
    /// The reply that says why not.
    pub fn may_begin(&self) -> Result<(), Reply> {
        self.door.may_begin()
    }

    /// Writes what goes on top and puts the content where it waits for the store.
    ///
    /// # Errors
    /// The reply that says why it is not taken.
    pub async fn spool(&self, mail: WholeMail) -> Result<Incoming, Reply> {
        let mut top = TraceTop {
            config: self.config.get(),
            clock: &self.clock,
            key: &self.trace_key,
            id: mail.id,
            helo: "",
            address: mail.source_ip,
            extended: true,
            authenticated: true,
            http: true,
            tls: "",
            envelope: Some(&mail.envelope),
            message_id_added: None,
        };
        let mut spool = Spool::new(mail.id, Some(mail.bytes.len() as u64), &self.budget);
        spool.add(&mail.bytes, &self.store, &mut top).await?;
        drop(mail.bytes);
        let spooled = spool.finish(&self.store, &mut top).await?;
        Ok(Incoming {
            id: mail.id,
            envelope: mail.envelope,
            body: spooled.body,
            facts: spooled.facts,
            watched: spooled.watched,
            user: mail.user,
            user_class: mail.user_class,
            source_ip: Some(mail.source_ip),
            origin: Origin::Api,
            settles: Vec::new(),
            sandbox: mail.sandbox,
            memos: mail.memos,
        })
    }

    /// Takes it in. The receipt is the proof that it is on disk.
    ///
    /// # Errors
    /// The reply that says why not; then it was not accepted.
    pub async fn submit(&self, incoming: Incoming) -> Result<Receipt, Reply> {
        self.door.submit(incoming).await
    }
}
