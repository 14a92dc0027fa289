//! Puts together what is behind inbound listeners: tokens, the mailroom, the TLS reports' room, posts to programs.

use std::sync::Arc;

use crate::{
    authres::Authenticator,
    bounce::{
        forward::ForwardDoor,
        keys::{self, KeyRing, NotOpened},
        mailroom::{self, Mailroom},
        read, return_paths,
    },
    budget::Budget,
    clock::Clock,
    config::InForce,
    dmarc::{keep::Keeper, sink::ReportSink},
    intake::{
        inbound::Inbound,
        inlets::{Opened, Tokens},
        sink::Sink,
        submit::Door,
    },
    lookup::Lookup,
    mail::trace::TraceKey,
    metrics::Metrics,
    smtp::address::Mailbox,
    store::Store,
    tls_report::receive::Receiver,
    unsubscribe::{list::Unsubscribes, row::How},
    webhook::inbound::MailPosts,
};

/// What it is made of.
pub(super) struct Parts {
    pub store: Store,
    pub clock: Clock,
    pub config: InForce,
    pub keys: KeyRing,
    pub metrics: Arc<Metrics>,
    pub door: Door,
    pub budget: Budget,
    pub trace_key: TraceKey,
    pub tls_reports: Receiver<Store>,
    pub dmarc: Keeper<Store>,
    /// Wakes who follows the error log.
    pub on_returned: Box<dyn Fn() + Send + Sync>,
    /// Who left which list.
    pub unsubscribes: Unsubscribes,
    /// Where mail's senders are looked up.
    pub dns: Arc<dyn Lookup>,
}

/// Everything behind inbound listeners.
pub(super) fn inbound(parts: Parts) -> Inbound {
    let authenticate = Arc::new(Authenticator::new(parts.dns, parts.clock.clone()));
    let tokens: Arc<dyn Tokens> = Arc::new(ReturnAddresses {
        keys: parts.keys,
        store: parts.store.clone(),
        clock: parts.clock,
        config: parts.config.clone(),
    });
    let out = ForwardDoor { door: parts.door, budget: parts.budget, key: parts.trace_key };
    let posts = MailPosts { out: out.clone(), config: parts.config.clone() };
    let mailroom = Mailroom::new(mailroom::Parts {
        sent: parts.store,
        out,
        tokens: tokens.clone(),
        read: read::read,
        config: parts.config,
        metrics: parts.metrics,
        on_returned: parts.on_returned,
        leave: Box::new(move |address, list| {
            let unsubscribes = parts.unsubscribes.clone();
            Box::pin(async move { unsubscribes.add(&address, &list, How::Complaint).await.map(drop) })
        }),
    });
    let mailroom: Arc<dyn Sink> = Arc::new(mailroom);
    Inbound {
        tokens,
        tls_reports: Arc::new(parts.tls_reports),
        dmarc_reports: Arc::new(ReportSink::new(parts.dmarc, mailroom.clone())),
        mailroom,
        posts: Arc::new(posts),
        authenticate,
    }
}

/// The return addresses that we gave out.
struct ReturnAddresses {
    keys: KeyRing,
    store: Store,
    clock: Clock,
    config: InForce,
}

impl Tokens for ReturnAddresses {
    fn open(&self, local: &str) -> Opened {
        match self.keys.open(local, self.clock.now(), keys::keep_for(&self.config.get())) {
            Ok(key) => Opened::Valid(key),
            Err(NotOpened::Expired) => Opened::Expired,
            Err(NotOpened::Forged) => Opened::Forged,
            Err(NotOpened::NotAToken) => Opened::NotAToken,
        }
    }

    fn is_return_path(&self, address: &Mailbox) -> bool {
        return_paths::is_known_return_path(&self.store, address).unwrap_or_else(|error| {
            // Nobody is let in by an error; the mail that was really ours is lost to the log, not to its sender.
            log::error!("act=return_path address=<{address}> error=\"{error}\"");
            false
        })
    }
}
