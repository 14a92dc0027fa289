//! Which resolvers there are, whose word on DNSSEC is believed, and whether they validate.
//!
//! In: the configuration, answers with or without AD, what a trial of each believed resolver brought.  Out: which servers
//! to ask, [`Validation`], and the same in words for the operator.
//! Always: only a resolver on loopback or in `[dns] trusted` is believed, since anybody on the way could set the bit; once
//! one of them is known to validate, nobody else is asked, or who makes its answers fail validation (SERVFAIL) would get
//! the forged ones taken from a neighbour that does not check.
//! Sources: RFC 4035 §4.9.3, RFC 6840 §5.8, RFC 7672 §2.1 and §6.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{DnsError, Validation, wire::Reply};
use crate::config;

/// For how long an answer with AD outweighs a trial whose answer had none: a resolver in a closed network may have trust
/// anchors for its own zones and not for the root. Longer than the ten minutes between two trials.
const EVIDENCE_HOLDS: Duration = Duration::from_secs(30 * 60);

/// The resolvers of one configuration.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) all: Vec<SocketAddr>,
    /// Those whose AD bit is believed.
    pub(super) believed: Vec<SocketAddr>,
}

impl Servers {
    pub(super) fn new(all: Vec<SocketAddr>, config: &config::Dns) -> Self {
        let trusted: Vec<IpAddr> = config.trusted.iter().map(IpAddr::to_canonical).collect();
        let is_believed = |server: &SocketAddr| {
            let address = server.ip().to_canonical();
            address.is_loopback() || trusted.contains(&address)
        };
        let believed = all.iter().copied().filter(is_believed).collect();
        Servers { all, believed }
    }

    pub(super) fn are_believed(&self, server: SocketAddr) -> bool {
        self.believed.contains(&server)
    }

    /// Whom to ask, as far as is known.
    pub(super) fn to_ask(&self, validation: Validation) -> &[SocketAddr] {
        if validation == Validation::Yes && !self.believed.is_empty() { &self.believed } else { &self.all }
    }
}

/// What is known of their validation.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) validation: Validation,
    words: String,
    /// The last answer with AD from a believed resolver.
    evidence: Option<(SocketAddr, Instant)>,
}

impl Trial {
    /// Before anything was asked.
    pub(super) fn of(servers: &Servers) -> Self {
        if servers.believed.is_empty() {
            let words = format!(
                "no: none of the resolvers ({}) is on loopback or in [dns] trusted, so nobody's word on DNSSEC is believed",
                list(&servers.all)
            );
            return Trial { validation: Validation::No, words, evidence: None };
        }
        let words = format!("not known yet: {} has not been asked", list(&servers.believed));
        Trial { validation: Validation::Unknown, words, evidence: None }
    }

    /// A believed resolver answered something with AD: it sets that bit only on what it validated.
    pub(super) fn saw_authentic(&mut self, by: SocketAddr, now: Instant) {
        self.evidence = Some((by, now));
        if self.validation != Validation::Yes {
            self.validation = Validation::Yes;
            self.words = format!("yes: {by} answers with AD");
        }
    }

    /// Each believed resolver was asked for the root's SOA, which is signed.
    pub(super) fn judge(&mut self, replies: &[(SocketAddr, Result<Reply, DnsError>)], now: Instant) {
        let authentic = replies.iter().find(|(_, r)| r.as_ref().is_ok_and(|reply| reply.authentic));
        if let Some((by, _)) = authentic {
            self.evidence = Some((*by, now));
            self.validation = Validation::Yes;
            self.words = format!("yes: {by} answers with AD");
            return;
        }
        if let Some((by, at)) = self.evidence.filter(|(_, at)| now.saturating_duration_since(*at) < EVIDENCE_HOLDS) {
            self.validation = Validation::Yes;
            let minutes = now.saturating_duration_since(at).as_secs() / 60;
            self.words =
                format!("yes: {by} answered with AD {minutes} minutes ago, although not when asked for the root's SOA");
            return;
        }
        if replies.iter().all(|(_, r)| r.is_ok()) && !replies.is_empty() {
            let servers: Vec<SocketAddr> = replies.iter().map(|(server, _)| *server).collect();
            self.validation = Validation::No;
            self.words = format!("no: {} answered for the root's SOA, which is signed, without AD", list(&servers));
            return;
        }
        // Silence tells nothing: what was known stays.
        let failed = replies.iter().find_map(|(server, r)| r.as_ref().err().map(|e| format!("{server}: {e}")));
        let why = failed.unwrap_or_else(|| "nobody was asked".into());
        self.words = match self.validation {
            Validation::Yes => format!("yes when last heard; the last trial brought no answer ({why})"),
            Validation::No => format!("no when last heard; the last trial brought no answer ({why})"),
            Validation::Unknown => format!("not known: the trial brought no answer ({why})"),
        };
    }

    pub(super) fn words(&self) -> String {
        self.words.clone()
    }
}

fn list(servers: &[SocketAddr]) -> String {
    servers.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}
