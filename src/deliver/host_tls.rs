//! Brings together what is known of TLS with one host, and counts how its sessions went.
//!
//! In: the demand, the host, what DNS and the MTA-STS cache say.  Out: a `HostTls` that connections are opened by, or why
//! the host gets no mail; results for the reports.
//! Always: the decision itself is [`super::tls_policy::decide`]; sessions of a receiver whose policy is left aside, and of
//! report mail itself, are not counted.
//! Sources: RFC 7672 §2.2, RFC 8461 §5, RFC 8460 §4, RFC 8689 §4.2.1.

use std::{net::IpAddr, sync::Arc};

use super::{
    attempt::Shared,
    connection::{Connection, Key, NotOpened},
    dane::{DaneHost, DaneTls},
    hosts::{Finder, Found},
    route::NoWay,
    sts::{Known, StsCache},
    sts_policy::StsMode,
    tls_policy::{By, Check, Dane, Demand, Level, PassedOver, Plan, Sts, Wish, decide},
    tls_results::{Collector, FailureResult, PolicyResult, PolicyType, ResultType},
    verdict::Kind,
};
use crate::{
    clock::Timestamp,
    ids::REPORT_USER,
    net::{
        dns::Validation,
        tls::{ClientTls, TlsFailure},
    },
    smtp::client::{TlsMode, Trouble},
    store::{Memos, Message},
};

/// What a connection was opened for, and what was checked on the way: part of the key of its reuse.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Agreed {
    /// What was asked for.
    pub demand: Demand,
    /// What came of it.
    pub level: Level,
    /// The TLSA records and names that it was checked by.
    pub records: u64,
}

/// The parts of TLS policy that outlive a try.
pub(super) struct TlsRoom {
    pub sts: StsCache,
    pub results: Arc<Collector>,
    pub shelf: Arc<dyn Memos>,
}

/// What is asked for on behalf of a message.
pub(super) fn wish_of(message: &Message) -> Wish {
    let is_report = message.user == REPORT_USER;
    // A notice goes out in any case: its loss would be worse (RFC 8689 §5).
    let require_tls = message.params.require_tls && message.sender.is_some();
    Wish::of(require_tls, message.facts.tls_optional || is_report)
}

/// How TLS is used with one host.
#[derive(Debug)]
pub(super) struct HostTls {
    pub agreed: Agreed,
    dane: Option<DaneTls>,
    /// What reports hear; `None`: nothing.
    counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted {
    policy: PolicyResult,
    /// What is wrong whatever the session brings.
    wrong: Option<(ResultType, String)>,
}

/// Whose TLS is decided.
pub(super) struct Host<'a> {
    pub demand: Demand,
    pub found: &'a Found,
    pub name: &'a str,
    /// What is known of the domain's MTA-STS.
    pub sts: &'a Known,
    pub source_v6: Option<IpAddr>,
}

impl HostTls {
    /// Asks what is to be asked, and decides.
    ///
    /// # Errors
    /// Why the host gets no mail.
    pub(super) async fn of(shared: &Shared, finder: &Finder<'_>, host: Host<'_>) -> Result<Self, NoWay> {
        let Host { demand, found, name, sts, source_v6 } = host;
        let delivery = &finder.settings.delivery;
        let heeds = demand.heeds_the_receiver();
        let dane = if heeds && delivery.dane { finder.dane(found, name, source_v6).await } else { DaneHost::absent() };
        let state = sts_state(sts, name);
        let counted = found.domain().filter(|_| heeds).map(|domain| counted(domain, name, &dane, sts, state));
        let level = match decide(demand, dane.state, state, found.names_are_secure()) {
            Ok(level) => level,
            Err(why) => {
                shared.metrics.tls_refused.one();
                let (no_way, result) = refusal(shared, why, &host, &dane);
                if let (Some(counted), Some(result)) = (counted, result) {
                    let failure = failure(result, name, None, None, no_way.words.clone());
                    shared.tls.results.failure(shared.clock.now(), &counted.policy, failure);
                }
                return Err(no_way);
            }
        };
        let records = dane.tls.as_ref().filter(|_| level == Level::Dane).map_or(0, |tls| tls.fingerprint);
        let agreed = Agreed { demand, level, records };
        Ok(HostTls { agreed, dane: dane.tls, counted })
    }

    /// The configuration of a plan, and the name that goes with it.
    pub(super) fn config(&self, plan: Plan, general: &super::connection::TlsConfigs) -> Option<ClientTls> {
        match (plan.check, &self.dane) {
            (Check::Dane, Some(dane)) => Some(dane.config.clone()),
            (check, _) => general.of(check),
        }
    }

    /// The name that the host hears in SNI: itself, or the TLSA base domain.
    pub(super) fn server_name(&self, host: &Arc<str>) -> Arc<str> {
        match &self.dane {
            Some(dane) if self.agreed.level == Level::Dane => dane.base.clone(),
            _ => host.clone(),
        }
    }

    /// What the log says of a certificate that passed.
    pub(super) fn verified_by(&self) -> &'static str {
        match self.agreed.level {
            Level::Dane => " by DANE",
            Level::Named(By::Sts) => " by MTA-STS",
            _ => "",
        }
    }

    /// A session was opened; `known_failure`: its certificate is known not to pass a check that was only tried.
    pub(super) fn count_opened(
        &self,
        room: &TlsRoom,
        at: Timestamp,
        connection: &Connection,
        mode: TlsMode,
        known_failure: Option<ResultType>,
    ) {
        let Some(counted) = &self.counted else { return };
        let key = &connection.key;
        let wrong = match (&counted.wrong, known_failure) {
            (Some((result, words)), _) => Some((*result, words.clone())),
            (None, Some(result)) => Some((result, String::new())),
            (None, None) if !connection.tls.is_empty() => None,
            (None, None) if mode == TlsMode::Never => {
                Some((ResultType::ValidationFailure, "the handshake failed a while ago".to_owned()))
            }
            (None, None) => Some((ResultType::StarttlsNotSupported, String::new())),
        };
        match wrong {
            None => room.results.success(at, &counted.policy),
            Some((result, words)) => {
                let failure = failure(result, &key.host, connection.sender_ip, Some(key.address.ip()), words);
                room.results.failure(at, &counted.policy, failure);
            }
        }
    }

    /// TLS failed.
    pub(super) fn count_failed(&self, room: &TlsRoom, at: Timestamp, key: &Key, not: &NotOpened) {
        let Some(counted) = &self.counted else { return };
        let (result, words) = match &not.fault.trouble {
            Trouble::TlsNotOffered => (ResultType::StarttlsNotSupported, String::new()),
            Trouble::Reply(reply) => (ResultType::StarttlsNotSupported, reply.to_string()),
            Trouble::TlsBroken(words) => (result_of(not.tls_failure.as_ref()), words.clone()),
            _ => (ResultType::ValidationFailure, "the connection broke in the handshake".to_owned()),
        };
        let failure = failure(result, &key.host, not.sender_ip, Some(key.address.ip()), words);
        room.results.failure(at, &counted.policy, failure);
    }
}

/// A handshake's failure in the terms of a report (RFC 8460 §4.3.1).
pub(super) fn result_of(failure: Option<&TlsFailure>) -> ResultType {
    match failure {
        Some(TlsFailure::HostMismatch) => ResultType::CertificateHostMismatch,
        Some(TlsFailure::Expired) => ResultType::CertificateExpired,
        Some(TlsFailure::NotTrusted) => ResultType::CertificateNotTrusted,
        Some(TlsFailure::DaneMismatch | TlsFailure::Protocol(_)) | None => ResultType::ValidationFailure,
    }
}

fn sts_state(known: &Known, host: &str) -> Sts {
    let Some(held) = &known.held else { return Sts::Absent };
    let allows = held.policy.allows(host);
    match held.policy.mode {
        StsMode::Enforce => Sts::Enforced { allows },
        StsMode::Testing => Sts::Testing { allows },
        StsMode::None => Sts::Absent,
    }
}

/// Which policy a report names, and what is wrong with the host before a word was said.
fn counted(domain: &str, host: &str, dane: &DaneHost, sts: &Known, state: Sts) -> Counted {
    if dane.state != Dane::Absent {
        let base = dane.tls.as_ref().map_or(host, |tls| &tls.base);
        let policy = PolicyResult {
            policy_string: dane.tls.as_ref().map(|tls| tls.lines.clone()).unwrap_or_default(),
            mx_host: vec![base.to_owned()],
            ..PolicyResult::new(PolicyType::Tlsa, domain)
        };
        let unusable = dane.state == Dane::Unusable;
        return Counted { policy, wrong: unusable.then(|| (ResultType::TlsaInvalid, dane.words.clone())) };
    }
    match (&sts.held, state) {
        (Some(held), Sts::Enforced { allows } | Sts::Testing { allows }) => {
            let policy = PolicyResult {
                policy_string: held.policy.lines(),
                mx_host: held.policy.mx.clone(),
                ..PolicyResult::new(PolicyType::Sts, domain)
            };
            let unlisted = || (ResultType::ValidationFailure, "the host matches no mx of the policy".to_owned());
            Counted { policy, wrong: (!allows).then(unlisted) }
        }
        _ => Counted { policy: PolicyResult::new(PolicyType::NoPolicyFound, domain), wrong: None },
    }
}

/// Why the host gets no mail, for the log and for a report.
fn refusal(shared: &Shared, why: PassedOver, host: &Host<'_>, dane: &DaneHost) -> (NoWay, Option<ResultType>) {
    let (name, domain) = (host.name, host.found.domain().unwrap_or_default());
    let (kind, words, result) = match why {
        PassedOver::Tlsa => {
            let words = format!("DANE: {}: {name} gets no mail without them", dane.words);
            (Kind::PolicyUnmet, words, Some(ResultType::DnssecInvalid))
        }
        PassedOver::Sts => {
            let words = format!("the MTA-STS policy of {domain} does not list {name}");
            (Kind::PolicyUnmet, words, Some(ResultType::ValidationFailure))
        }
        PassedOver::UnknownName => {
            let words = format!("REQUIRETLS: neither DNSSEC nor MTA-STS says that {name} is a host of {domain}");
            // It may be our own DNS that cannot tell, or the policy may come later.
            let certain = !host.sts.uncertain && shared.resolver.validation() == Validation::Yes;
            (if certain { Kind::NeedsRequireTls } else { Kind::PolicyUnmet }, words, None)
        }
    };
    (NoWay { kind, words }, result)
}

fn failure(
    result_type: ResultType,
    host: &str,
    from: Option<IpAddr>,
    to: Option<IpAddr>,
    reason: String,
) -> FailureResult {
    FailureResult {
        result_type,
        sending_mta_ip: from,
        receiving_mx_hostname: host.to_owned(),
        receiving_ip: to,
        count: 1,
        reason,
    }
}
