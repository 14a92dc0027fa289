//! For people: everything that a domain's SPF record reaches, what it costs, whom it lets send, and what is wrong with it.
//!
//! In: a domain, the DNS.  Out: a [`Walk`].
//! Always: it goes on where a check would stop, so that people see by how much a record is over its limits, and is bounded all the
//! same: records, questions, networks.
//! Sources: RFC 7208 §3.2, §4.5, §4.6.4, §5 and §10.1.1.

use std::{collections::BTreeSet, fmt, future::Future, net::IpAddr, pin::Pin};

use ipnet::IpNet;

use super::{
    HOSTS_MAX, LOOKUPS_MAX, VOID_LOOKUPS_MAX,
    macros::{Letters, MacroString},
    record::{self, Directive, Mechanism, Qualifier, Record},
};
use crate::lookup::{DnsError, Lookup};

/// Records that are read.
pub const RECORDS_MAX: usize = 60;
/// Questions that are asked.
pub const QUESTIONS_MAX: usize = 400;
/// Networks that are kept.
pub const NETWORKS_MAX: usize = 4_000;
/// Includes in includes that are followed.
const DEPTH_MAX: usize = 20;

/// What a walk found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Walk {
    /// The domain.
    pub domain: String,
    /// Its own record and those it reaches, in the order of evaluation. Empty: it has none.
    pub records: Vec<Reached>,
    /// Terms that ask the DNS if nothing matches before the end: ten are allowed.
    pub lookups: usize,
    /// Where they are spent, term by term, in the order of evaluation.
    pub spent: Vec<Spent>,
    /// Look-ups that find nothing: two are allowed.
    pub void_lookups: usize,
    /// Networks that may send, as far as they are the same for every mail; each once.
    pub networks: Vec<Network>,
    /// Networks that were not kept.
    pub networks_left_out: usize,
    /// What holds for hosts that nothing matches: of `all`, the domain's or the one it redirects to; `None`: neutral, unsaid.
    pub all: Option<Qualifier>,
    /// What is wrong, or bad.
    pub faults: Vec<Fault>,
    /// The first trouble of the DNS: what is missing here may be there.
    pub trouble: Option<DnsError>,
}

/// A record on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reached {
    /// Its domain.
    pub domain: String,
    /// Its text.
    pub text: String,
    /// The term that led there, as written; empty: the domain's own.
    pub by: String,
    /// Includes between it and the domain's own.
    pub depth: usize,
}

/// A look-up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spent {
    /// The domain whose record has the term.
    pub domain: String,
    /// The term.
    pub term: String,
    /// Look-ups of this term, with those of the record that it leads to.
    pub lookups: usize,
}

/// A network that may send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// The network.
    pub net: IpNet,
    /// The domain whose record says so.
    pub domain: String,
    /// The term.
    pub term: String,
}

/// Something wrong, or bad.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// The domain whose record it is.
    pub domain: String,
    /// The term or text; may be empty.
    pub term: String,
}

/// What can be wrong, or bad, with SPF records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The domain has no record.
    NoRecord,
    /// It has several.
    SeveralRecords(usize),
    /// The record cannot be read.
    Syntax(record::RecordFault),
    /// More look-ups than are allowed.
    TooManyLookups(usize),
    /// More look-ups without an answer than are allowed.
    TooManyVoidLookups(usize),
    /// A look-up finds nothing.
    Void,
    /// An include or redirect leads where no record is.
    LeadsNowhere,
    /// It leads back to a record that it comes from.
    Loop,
    /// More than ten MX hosts.
    TooManyHosts(usize),
    /// `+all`: everybody may send.
    EverybodyMay,
    /// `?all`, or nothing that says what holds for others.
    NothingForOthers,
    /// Terms behind `all` are never looked at.
    BehindAll,
    /// `redirect` beside `all` is passed over.
    RedirectBesideAll,
    /// `ptr` is slow, and many receivers pass it over.
    Ptr,
    /// A network so large that it is hardly one's own.
    LargeNetwork,
    /// An unknown modifier, passed over.
    UnknownModifier,
    /// The record is too long for one answer by UDP.
    LongAnswer(usize),
    /// More records, questions or depth than a walk looks at.
    NotAllRead,
}

impl FaultKind {
    /// Receivers treat the record as an error: no mail passes by it.
    pub fn breaks(&self) -> bool {
        match self {
            FaultKind::SeveralRecords(_)
            | FaultKind::Syntax(_)
            | FaultKind::TooManyLookups(_)
            | FaultKind::TooManyVoidLookups(_)
            | FaultKind::LeadsNowhere
            | FaultKind::Loop
            | FaultKind::TooManyHosts(_) => true,
            FaultKind::NoRecord
            | FaultKind::Void
            | FaultKind::EverybodyMay
            | FaultKind::NothingForOthers
            | FaultKind::BehindAll
            | FaultKind::RedirectBesideAll
            | FaultKind::Ptr
            | FaultKind::LargeNetwork
            | FaultKind::UnknownModifier
            | FaultKind::LongAnswer(_)
            | FaultKind::NotAllRead => false,
        }
    }
}

/// A sentence for people.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { kind, domain, term } = self;
        match kind {
            FaultKind::NoRecord => write!(f, "{domain} has no SPF record."),
            FaultKind::SeveralRecords(n) => {
                write!(f, "{domain} has {n} SPF records: receivers take that as an error, one is allowed.")
            }
            FaultKind::Syntax(fault) => write!(f, "The SPF record of {domain} cannot be read: {fault}."),
            FaultKind::TooManyLookups(n) => {
                write!(
                    f,
                    "The SPF record of {domain} costs {n} DNS look-ups: receivers stop with an error after {LOOKUPS_MAX}."
                )
            }
            FaultKind::TooManyVoidLookups(n) => write!(
                f,
                "{n} look-ups of the SPF record of {domain} find nothing: receivers stop with an error after {VOID_LOOKUPS_MAX}."
            ),
            FaultKind::Void => write!(f, "{term} in the SPF record of {domain} finds nothing."),
            FaultKind::LeadsNowhere => {
                write!(
                    f,
                    "{term} in the SPF record of {domain} leads to a name without an SPF record: receivers take that as an error."
                )
            }
            FaultKind::Loop => write!(f, "{term} in the SPF record of {domain} leads back to where it came from."),
            FaultKind::TooManyHosts(n) => {
                write!(
                    f,
                    "{term} in the SPF record of {domain} has {n} MX hosts: receivers take more than {HOSTS_MAX} as an error."
                )
            }
            FaultKind::EverybodyMay => {
                write!(f, "{term} in the SPF record of {domain} lets everybody in the world send in its name.")
            }
            FaultKind::NothingForOthers => {
                write!(f, "The SPF record of {domain} says nothing about other hosts: it should end in ~all or -all.")
            }
            FaultKind::BehindAll => {
                write!(f, "{term} in the SPF record of {domain} stands behind all, and is never looked at.")
            }
            FaultKind::RedirectBesideAll => {
                write!(f, "{term} in the SPF record of {domain} is passed over, because the record has all.")
            }
            FaultKind::Ptr => {
                write!(f, "{term} in the SPF record of {domain} is slow, and should not be used (RFC 7208 §5.5).")
            }
            FaultKind::LargeNetwork => {
                write!(f, "{term} in the SPF record of {domain} lets a very large network send.")
            }
            FaultKind::UnknownModifier => {
                write!(f, "{term} in the SPF record of {domain} is known to nobody, and passed over.")
            }
            FaultKind::LongAnswer(octets) => {
                write!(f, "The SPF record of {domain} has {octets} octets: some resolvers cannot get more than 450.")
            }
            FaultKind::NotAllRead => write!(f, "What {domain} reaches is more than is read here."),
        }
    }
}

/// Octets of a record that fit every answer by UDP (RFC 7208 §3.4).
const RECORD_OCTETS_WELL: usize = 450;
/// Networks larger than these are told: a /8 has sixteen million addresses.
const LENGTH_4_MIN: u8 = 12;
const LENGTH_6_MIN: u8 = 24;

/// Walks through all that a domain's record reaches.
pub async fn walk(dns: &dyn Lookup, domain: &str) -> Walk {
    let name = crate::lookup::normal_name(domain).unwrap_or_else(|| domain.to_ascii_lowercase());
    let walk = Walk { domain: name.clone(), ..Walk::default() };
    let mut walking = Walking { dns, walk, questions: 0, known: BTreeSet::new(), path: Vec::new() };
    walking.follow(&name).await;
    walking.finish()
}

struct Walking<'a> {
    dns: &'a dyn Lookup,
    walk: Walk,
    questions: usize,
    /// Networks, each once.
    known: BTreeSet<IpNet>,
    /// The domains from the walk's own to the one that is read.
    path: Vec<String>,
}

/// A record's terms, gone through: includes nest.
type Terms<'s> = Pin<Box<dyn Future<Output = Option<Qualifier>> + Send + 's>>;

/// What a record is to be read for.
#[derive(Clone, Copy)]
struct Errand<'e> {
    domain: &'e str,
    by: &'e str,
    depth: usize,
    /// A match means that the host may send.
    passes: bool,
}

impl Walking<'_> {
    /// The domain's own record, and those that it redirects to.
    async fn follow(&mut self, name: &str) {
        let errand = Errand { domain: name, by: "", depth: 0, passes: true };
        match self.read(errand).await {
            Read::Nothing => self.fault(FaultKind::NoRecord, name, ""),
            Read::Trouble | Read::Broken => {}
            Read::Record(record) => {
                let all = self.terms(errand, &record).await;
                self.walk.all = all;
                if all.is_none_or(|all| all == Qualifier::Neutral) && self.walk.trouble.is_none() {
                    self.fault(FaultKind::NothingForOthers, name, "");
                }
            }
        }
    }

    /// Gets and reads one record.
    async fn read(&mut self, errand: Errand<'_>) -> Read {
        let domain = errand.domain;
        if self.walk.records.len() >= RECORDS_MAX || errand.depth > DEPTH_MAX || !self.may_ask() {
            self.fault_once(FaultKind::NotAllRead, domain);
            return Read::Broken;
        }
        let texts = match self.dns.txt(domain).await.records {
            Ok(texts) => texts,
            Err(error) if error.is_temporary() => {
                self.trouble(error);
                return Read::Trouble;
            }
            Err(_) => return Read::Nothing,
        };
        let records: Vec<String> = texts.into_iter().filter(|text| record::is_record(text)).collect();
        let [text] = records.as_slice() else {
            if records.is_empty() {
                return Read::Nothing;
            }
            self.fault(FaultKind::SeveralRecords(records.len()), domain, "");
            return Read::Broken;
        };
        self.walk.records.push(Reached {
            domain: domain.to_owned(),
            text: text.clone(),
            by: errand.by.to_owned(),
            depth: errand.depth,
        });
        if text.len() > RECORD_OCTETS_WELL {
            self.fault(FaultKind::LongAnswer(text.len()), domain, "");
        }
        match record::parse(text) {
            Ok(record) => Read::Record(record),
            Err(fault) => {
                self.fault(FaultKind::Syntax(fault), domain, text);
                Read::Broken
            }
        }
    }

    /// Goes through a record's terms; answers what it says of hosts that nothing matches.
    fn terms<'s>(&'s mut self, errand: Errand<'s>, record: &'s Record) -> Terms<'s> {
        Box::pin(self.each_term(errand, record))
    }

    async fn each_term(&mut self, errand: Errand<'_>, record: &Record) -> Option<Qualifier> {
        let domain = errand.domain;
        self.path.push(domain.to_owned());
        for term in &record.unknown {
            self.fault(FaultKind::UnknownModifier, domain, term);
        }
        let mut all = None;
        for directive in &record.directives {
            if all.is_some() {
                self.fault(FaultKind::BehindAll, domain, &directive.text);
                continue;
            }
            if directive.mechanism == Mechanism::All {
                all = Some(directive.qualifier);
                if directive.qualifier == Qualifier::Pass && errand.passes {
                    self.fault(FaultKind::EverybodyMay, domain, &directive.text);
                }
                continue;
            }
            let passes = errand.passes && directive.qualifier == Qualifier::Pass;
            self.directive(Errand { passes, ..errand }, directive).await;
        }
        if let Some(redirect) = &record.redirect {
            let text = format!("redirect={}", self.name_of(redirect, domain).unwrap_or_else(|| "…".to_owned()));
            if all.is_some() {
                self.fault(FaultKind::RedirectBesideAll, domain, &text);
            } else {
                all = self.lead(errand, redirect, &text, true).await;
            }
        }
        self.path.pop();
        all
    }

    /// Follows an include or a redirect; answers what the record there says of others.
    async fn lead(
        &mut self,
        errand: Errand<'_>,
        target: &MacroString,
        term: &str,
        is_redirect: bool,
    ) -> Option<Qualifier> {
        let before = self.walk.lookups;
        let at = self.spend(errand.domain, term);
        let mut all = None;
        // What depends on the mail leads to another place for each.
        if let Some(name) = self.name_of(target, errand.domain) {
            let depth = errand.depth + usize::from(!is_redirect);
            let inner = Errand { domain: &name, by: term, depth, passes: errand.passes };
            if self.path.contains(&name) {
                self.fault(FaultKind::Loop, errand.domain, term);
            } else {
                match self.read(inner).await {
                    Read::Record(record) => all = self.terms(inner, &record).await,
                    Read::Nothing => self.fault(FaultKind::LeadsNowhere, errand.domain, term),
                    Read::Trouble | Read::Broken => {}
                }
            }
        }
        let lookups = self.walk.lookups - before;
        if let Some(spent) = self.walk.spent.get_mut(at) {
            spent.lookups = lookups;
        }
        all
    }

    async fn directive(&mut self, errand: Errand<'_>, directive: &Directive) {
        let (domain, term) = (errand.domain, directive.text.as_str());
        match &directive.mechanism {
            Mechanism::All => {}
            Mechanism::Ip4(address, length) => self.network(errand, IpAddr::V4(*address), *length, term),
            Mechanism::Ip6(address, length) => self.network(errand, IpAddr::V6(*address), *length, term),
            Mechanism::Include(target) => {
                self.lead(errand, target, term, false).await;
            }
            Mechanism::A(target, four, six) => {
                self.spend(domain, term);
                let name = target.as_ref().map_or_else(|| Some(domain.to_owned()), |t| self.name_of(t, domain));
                if let Some(name) = name
                    && !self.addresses(errand, &name, (*four, *six), term).await
                {
                    self.void(domain, term);
                }
            }
            Mechanism::Mx(target, four, six) => {
                self.spend(domain, term);
                let name = target.as_ref().map_or_else(|| Some(domain.to_owned()), |t| self.name_of(t, domain));
                let Some(name) = name else { return };
                if !self.may_ask() {
                    return self.fault_once(FaultKind::NotAllRead, domain);
                }
                match self.dns.mx(&name).await.records {
                    Ok(hosts) => {
                        if hosts.len() > HOSTS_MAX {
                            self.fault(FaultKind::TooManyHosts(hosts.len()), domain, term);
                        }
                        for mx in hosts.iter().filter(|mx| !mx.host.is_empty()).take(HOSTS_MAX) {
                            if !self.addresses(errand, &mx.host, (*four, *six), term).await {
                                self.void(domain, term);
                            }
                        }
                    }
                    Err(error) if error.is_temporary() => self.trouble(error),
                    Err(_) => self.void(domain, term),
                }
            }
            Mechanism::Ptr(_) => {
                self.spend(domain, term);
                self.fault(FaultKind::Ptr, domain, term);
            }
            // Whether it matches is another thing for each mail.
            Mechanism::Exists(_) => drop(self.spend(domain, term)),
        }
    }

    /// Takes a name's addresses as networks; false: it has none.
    async fn addresses(&mut self, errand: Errand<'_>, name: &str, (four, six): (u8, u8), term: &str) -> bool {
        if !self.may_ask() {
            self.fault_once(FaultKind::NotAllRead, errand.domain);
            return true;
        }
        let (a, aaaa) = (self.dns.a(name).await.records, self.dns.aaaa(name).await.records);
        let mut known = false;
        for error in [a.as_ref().err(), aaaa.as_ref().err()].into_iter().flatten() {
            if error.is_temporary() {
                self.trouble(error.clone());
                known = true;
            }
        }
        for address in a.into_iter().flatten() {
            known = true;
            self.network(errand, IpAddr::V4(address), four, term);
        }
        for address in aaaa.into_iter().flatten() {
            known = true;
            self.network(errand, IpAddr::V6(address), six, term);
        }
        known
    }

    fn network(&mut self, errand: Errand<'_>, address: IpAddr, length: u8, term: &str) {
        let Ok(net) = IpNet::new(address, length) else { return };
        let net = net.trunc();
        if !errand.passes || !self.known.insert(net) {
            return;
        }
        let least = if net.addr().is_ipv4() { LENGTH_4_MIN } else { LENGTH_6_MIN };
        if length < least {
            self.fault(FaultKind::LargeNetwork, errand.domain, term);
        }
        if self.walk.networks.len() >= NETWORKS_MAX {
            self.walk.networks_left_out += 1;
            return;
        }
        self.walk.networks.push(Network { net, domain: errand.domain.to_owned(), term: term.to_owned() });
    }

    /// The name that a target stands for; `None`: another one for each mail.
    fn name_of(&self, target: &MacroString, domain: &str) -> Option<String> {
        if target.depends_on_mail() {
            return None;
        }
        Some(target.domain(&Letters {
            local: "postmaster",
            sender_domain: &self.walk.domain,
            domain,
            ip: IpAddr::from([0, 0, 0, 0]),
            validated: "unknown",
            helo: "unknown",
            receiver: "unknown",
            seconds: 0,
        }))
    }

    fn spend(&mut self, domain: &str, term: &str) -> usize {
        self.walk.lookups += 1;
        self.walk.spent.push(Spent { domain: domain.to_owned(), term: term.to_owned(), lookups: 1 });
        self.walk.spent.len() - 1
    }

    fn may_ask(&mut self) -> bool {
        self.questions += 1;
        self.questions <= QUESTIONS_MAX
    }

    fn void(&mut self, domain: &str, term: &str) {
        self.walk.void_lookups += 1;
        self.fault(FaultKind::Void, domain, term);
    }

    fn trouble(&mut self, error: DnsError) {
        self.walk.trouble.get_or_insert(error);
    }

    fn fault(&mut self, kind: FaultKind, domain: &str, term: &str) {
        let fault = Fault { kind, domain: domain.to_owned(), term: term.to_owned() };
        if !self.walk.faults.contains(&fault) {
            self.walk.faults.push(fault);
        }
    }

    fn fault_once(&mut self, kind: FaultKind, domain: &str) {
        if !self.walk.faults.iter().any(|fault| fault.kind == kind) {
            self.fault(kind, domain, "");
        }
    }

    fn finish(mut self) -> Walk {
        let domain = self.walk.domain.clone();
        if self.walk.lookups > LOOKUPS_MAX {
            self.fault(FaultKind::TooManyLookups(self.walk.lookups), &domain, "");
        }
        if self.walk.void_lookups > VOID_LOOKUPS_MAX {
            self.fault(FaultKind::TooManyVoidLookups(self.walk.void_lookups), &domain, "");
        }
        self.walk
    }
}

/// What one name gave.
enum Read {
    Record(Record),
    Nothing,
    Broken,
    Trouble,
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
