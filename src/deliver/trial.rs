//! One group of recipients on its way: tries connections and hosts until every recipient has a result.
//!
//! In: recipients that go the same way.  Out: their results, and what was learnt of the destination.
//! Always: a recipient that has its result is not tried again; the last and most telling trouble is what the others get.

use std::{sync::Arc, time::Instant};

use super::{
    attempt::{ADDRESSES_TRIED_MAX, Settings, Shared},
    body::Body,
    connection::{Connection, Key, NotOpened, Opening},
    envelope::Batch,
    groups::Group,
    host_tls::{self, HostTls},
    hosts::{Finder, Found, ours},
    job::{Job, RECIPIENTS_PER_JOB_MAX, RecipientResult, Verdict},
    lead,
    pacing::{Paced, Turn},
    report::{self, Failure, Met},
    responses::Heard,
    route::NoWay,
    sts::Known,
    talk::History,
    tls_policy::{self, AfterBreak, Demand, Level, Past, Wish},
    verdict::{Feedback, Kind, Ruling, judge},
};
use crate::{
    config::{HostPort, ResponseAction},
    deliver::hosts::Way,
    event::{AttemptDetail, Phase},
    net::tls::TlsFailure,
    smtp::{
        client::{End, Fault, Login, TlsMode, Transaction, Trouble},
        params::RcptParams,
    },
    store::StoreError,
};

/// The port on which TLS begins with the first octet (RFC 8314 §3.3).
const SUBMISSIONS_PORT: u16 = 465;

/// A group's way through hosts and connections.
pub(super) struct Trial<'a> {
    shared: &'a Shared,
    settings: &'a Settings,
    job: &'a Job,
    group: Group,
    demand: Demand,
    started: Instant,
    /// Places in the job's list that have no result yet.
    todo: Vec<usize>,
    results: Vec<RecipientResult>,
    /// The trouble that those in `todo` met.
    last: Option<Failure>,
    feedback: Feedback,
    /// Those left in `todo` are as if they had not been tried.
    interrupted: bool,
    pace: Option<Paced>,
    /// The body, opened ahead and not sent yet.
    body: Option<Body>,
    /// An idle connection died on us: no more of them.
    fresh_only: bool,
    /// Response rules that ask something of the site, by their places, each as often as it was met.
    pushes: Vec<usize>,
    /// What was said so far.
    history: History,
}

impl<'a> Trial<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        settings: &'a Settings,
        job: &'a Job,
        mut group: Group,
        pace: Option<Paced>,
    ) -> Self {
        Trial {
            demand: Demand { configured: settings.policy(&group.way), wish: host_tls::wish_of(&job.loaded.message) },
            started: shared.now(),
            todo: std::mem::take(&mut group.recipients),
            results: Vec::new(),
            last: None,
            feedback: Feedback::Unknown,
            interrupted: false,
            pace,
            body: None,
            fresh_only: false,
            pushes: Vec::new(),
            history: History::default(),
            shared,
            settings,
            job,
            group,
        }
    }

    /// Recipients without a result were not tried: the daemon stopped, or they are for another attempt.
    pub(super) fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// The pace, for the next group.
    pub(super) fn take_pace(&mut self) -> Option<Paced> {
        self.pace.take()
    }

    pub(super) fn feedback(&self) -> Feedback {
        self.feedback
    }

    /// Response rules that were met.
    pub(super) fn pushes(&self) -> &[usize] {
        &self.pushes
    }

    pub(super) fn into_results(self) -> Vec<RecipientResult> {
        self.results
    }

    /// Tries until nothing is left to try.
    pub(super) async fn run(&mut self) {
        // Opened first: a body that our disk lost needs no connection.
        match self.next_body().await {
            Ok(body) => self.body = Some(body),
            Err(failure) => return self.settle_rest(&failure),
        }
        let (demand, sources, login) = (self.demand, self.group.sources, self.login().is_some());
        let same =
            |key: &Key| key.policy.demand == demand && key.login == login && key.source == sources.towards(key.address);
        if let Some(connection) = self.shared.pool.take_for(&self.group.destination, same) {
            self.converse(connection).await;
        }
        if !self.todo.is_empty() && !self.interrupted {
            // In a box of its own: most messages find an idle connection, and pay neither memory nor copies for the rest.
            Box::pin(self.try_hosts()).await;
        }
        self.interrupted |= !self.todo.is_empty() && self.shared.is_cutting();
        if self.todo.is_empty() || self.interrupted {
            return;
        }
        let last = self.last.take();
        let nothing = || Failure::no_way(&ours("no host could be tried"), Met::default());
        self.settle_rest(&last.unwrap_or_else(nothing));
    }

    async fn try_hosts(&mut self) {
        let shared = self.shared;
        let finder = Finder {
            settings: self.settings,
            resolver: &shared.resolver,
            memory: &shared.memory,
            clock: &shared.clock,
            seed: shared.seed(),
        };
        let found = match shared.unless_cut(finder.hosts(&self.group.way)).await {
            None => return,
            Some(Ok(found)) => found,
            Some(Err(no_way)) => return self.note(Failure::no_way(&no_way, Met::default())),
        };
        let source_v6 = self.group.sources.v6();
        let sts = Self::sts_of(shared, self.settings, self.demand, &found);
        let Some(sts) = shared.unless_cut(sts).await else { return };
        let mut tried = 0;
        // Hosts whose every address is silent come last, so that a dead first MX costs its time-out once a while only.
        let mut silent = Vec::new();
        for name in found.names() {
            match shared.unless_cut(finder.addresses(&found, name, source_v6)).await {
                None => return,
                Some(Err(no_way)) => {
                    let met = Met { host: name.clone(), ..Met::default() };
                    self.note(Failure::no_way(&no_way, met));
                }
                Some(Ok(addresses)) => {
                    let host: Arc<str> = name.as_str().into();
                    let asked = host_tls::Host { demand: self.demand, found: &found, name, sts: &sts, source_v6 };
                    let tls = match shared.unless_cut(HostTls::of(shared, &finder, asked)).await {
                        None => return,
                        Some(Ok(tls)) => Arc::new(tls),
                        Some(Err(no_way)) => {
                            let met = Met { host: name.clone(), ..Met::default() };
                            self.note(Failure::no_way(&no_way, met));
                            continue;
                        }
                    };
                    for address in addresses {
                        if shared.memory.is_dead(address, shared.now()) {
                            silent.push((host.clone(), address, tls.clone()));
                        } else if tried < ADDRESSES_TRIED_MAX {
                            tried += 1;
                            self.try_address(&host, address, &tls).await;
                        }
                        if self.is_over() {
                            return;
                        }
                    }
                }
            }
            if self.is_over() {
                return;
            }
        }
        for (host, address, tls) in silent.into_iter().take(ADDRESSES_TRIED_MAX - tried) {
            self.try_address(&host, address, &tls).await;
            if self.is_over() {
                return;
            }
        }
    }

    /// Nobody is left, or nobody is tried any more.
    fn is_over(&self) -> bool {
        self.todo.is_empty() || self.interrupted || self.shared.is_cutting()
    }

    /// What is known of the domain's MTA-STS; nothing is asked where it would not count.
    async fn sts_of(shared: &Shared, settings: &Settings, demand: Demand, found: &Found) -> Known {
        match found.domain() {
            Some(domain) if settings.delivery.mta_sts && demand.heeds_the_receiver() => {
                shared.tls.sts.ask(domain).await
            }
            _ => Known::default(),
        }
    }

    async fn try_address(&mut self, host: &Arc<str>, address: std::net::SocketAddr, tls: &HostTls) {
        let key = Arc::new(Key {
            host: host.clone(),
            address,
            source: self.group.sources.towards(address),
            policy: tls.agreed,
            login: self.login().is_some(),
        });
        let idle = if self.fresh_only { None } else { self.shared.pool.take_at(&key) };
        if let Some(connection) = idle {
            self.converse(connection).await;
        }
        // A peer that takes few messages a connection, and few recipients a message, needs several for one job.
        for _ in 0..RECIPIENTS_PER_JOB_MAX {
            if self.todo.is_empty() || self.interrupted {
                return;
            }
            match self.open(&key, tls).await {
                Some(Ok(connection)) => {
                    let left = self.todo.len();
                    self.converse(connection).await;
                    // No progress: the next host's turn.
                    if self.todo.len() == left {
                        return;
                    }
                }
                Some(Err(mut failure)) => {
                    self.respond(&mut failure, None, true);
                    return self.note(failure);
                }
                None => return,
            }
        }
    }

    /// A new connection, ready for messages; with less where the policy lets it when the handshake breaks. `None`: cut.
    async fn open(&mut self, key: &Arc<Key>, tls: &HostTls) -> Option<Result<Connection, Failure>> {
        let (shared, settings, level) = (self.shared, self.settings, tls.agreed.level);
        let implicit_tls =
            level != Level::Clear && matches!(&self.group.way, Way::Smarthost(HostPort { port: SUBMISSIONS_PORT, .. }));
        let login = match self.login_for(key) {
            Ok(login) => login,
            Err(failure) => return Some(Err(*failure)),
        };
        let mut check_failed = shared.memory.check_failed(key.address, shared.now());
        let mut tls_broke = !implicit_tls && shared.memory.tls_broke(key.address, shared.now());
        // A session that breaks and goes on with less is counted once.
        let mut counted = false;
        loop {
            let plan = tls_policy::plan(level, Past { tls_broke, check_failed: check_failed.is_some() });
            let place = shared.unless_cut(shared.pool.place(|idle| shared.close(idle))).await?;
            let opening = Opening {
                key,
                plan,
                implicit_tls,
                hello: settings.sources.hello(key.source),
                login: login.clone(),
                timeouts: settings.timeouts,
                connect: settings.connect,
                tls: tls.config(plan, &settings.tls),
                server_name: tls.server_name(&key.host),
                verified_by: tls.verified_by(),
                after_break: plan.mode == TlsMode::Never && level != Level::Clear,
                deadlines: &shared.deadlines,
                metrics: &shared.metrics,
                place,
                generation: settings.generation,
            };
            match shared.unless_cut(Connection::open(opening)).await? {
                Ok(connection) => {
                    shared.memory.remember_alive(key.address);
                    if !counted {
                        let known_failure = check_failed.filter(|_| level == Level::Tested);
                        tls.count_opened(&shared.tls, shared.clock.now(), &connection, plan.mode, known_failure);
                    }
                    return Some(Ok(connection));
                }
                Err(mut not) => {
                    if let Some(talk) = not.talk.take() {
                        self.history.add(*talk);
                    }
                    if not.fault.phase == Phase::StartTls && !not.ours && !counted && !shared.is_cutting() {
                        tls.count_failed(&shared.tls, shared.clock.now(), key, &not);
                        counted = true;
                    }
                    if !not.is_broken_handshake() || implicit_tls || shared.is_cutting() {
                        return Some(Err(self.not_opened(key, not)));
                    }
                    let unchecked = not.tls_failure.as_ref().is_some_and(|f| !matches!(f, TlsFailure::Protocol(_)));
                    let (how, destination, place) = (not.broken_by(), &self.group.destination, key.place());
                    match plan.after_break {
                        AfterBreak::Stop => return Some(Err(self.not_opened(key, not))),
                        AfterBreak::Unchecked if unchecked => {
                            let result = host_tls::result_of(not.tls_failure.as_ref());
                            log::info!(
                                "destination={destination} host={place} its certificate would not pass the MTA-STS policy \
                                 that is in testing: {how}"
                            );
                            shared.memory.remember_check_failed(key.address, result, shared.now());
                            check_failed = Some(result);
                        }
                        AfterBreak::Unchecked | AfterBreak::Clear => {
                            log::info!(
                                "destination={destination} host={place} the TLS handshake failed; going on in clear: {how}"
                            );
                            shared.memory.remember_tls_broke(key.address, shared.now());
                            tls_broke = true;
                        }
                    }
                }
            }
        }
    }

    /// A connection could not be opened: what is remembered, and what it means.
    fn not_opened(&self, key: &Key, mut not: NotOpened) -> Failure {
        let shared = self.shared;
        if not.ours
            && let Some(source) = key.source
            && !shared.presence.look(source, shared.now())
        {
            let why = format!("this machine does not have the source address {source}");
            not.fault.trouble = Trouble::Closed(why);
        }
        let phase = not.fault.phase;
        if matches!(phase, Phase::Connect | Phase::Greeting) && !not.ours && !shared.is_cutting() {
            shared.memory.remember_dead(key.address, shared.now());
        }
        if phase == Phase::StartTls {
            shared.metrics.tls_refused.one();
        }
        let met = met_at(key, not.sender_ip, not.tls.clone());
        if self.demand.wish == Wish::RequireTls && not.fault.trouble == Trouble::TlsNotOffered {
            let words = format!("REQUIRETLS: {} does not offer TLS", key.place());
            let no_way = NoWay { kind: Kind::NeedsRequireTls, words };
            return Failure { phase, ..Failure::no_way(&no_way, met) };
        }
        Failure::at_host(&not.fault, not.ours, self.job.loaded.message.len, met)
    }

    /// The login for a host, or why it must not hear it.
    fn login_for(&self, key: &Key) -> Result<Option<Login>, Box<Failure>> {
        let Some(login) = self.login() else { return Ok(None) };
        let loopback = key.address.ip().to_canonical().is_loopback();
        if !tls_policy::may_log_in(key.policy.level, loopback) {
            let trouble =
                Trouble::LoginUnusable("it is told only to a host that smarthost_tls = \"verify\" has checked");
            let fault = Fault { phase: Phase::Auth, trouble };
            return Err(Box::new(Failure::at_host(&fault, false, 0, met_at(key, None, String::new()))));
        }
        Ok(Some(Login { in_clear: loopback, ..login.clone() }))
    }

    fn login(&self) -> Option<&'a Login> {
        self.settings.login(&self.group.way)
    }

    /// Sends the message to those in `todo` over this connection, in as many transactions as the peer's limits ask for.
    async fn converse(&mut self, mut connection: Connection) {
        while !self.todo.is_empty() && connection.is_reusable() && !self.is_used_up(&connection) {
            if let Some(pace) = &mut self.pace {
                connection.park();
                match pace.turn(self.shared).await {
                    Turn::Now => {}
                    // It was idle: should it have died of that, nobody is to blame.
                    Turn::Waited => connection.reused = true,
                    Turn::Later => {
                        self.interrupted = true;
                        break;
                    }
                }
            }
            let ready = async { Ok((self.next_body().await?, lead::of(self.shared, self.job, &self.todo).await?)) };
            let (body, lead) = match ready.await {
                Ok((body, Some(lead))) => (body, lead),
                Ok((_, None)) => {
                    self.interrupted = true;
                    break;
                }
                Err(failure) => {
                    self.settle_rest(&failure);
                    break;
                }
            };
            let rcpt_max = connection.peer().rcpt_max.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            let (job, shared) = (self.job, self.shared);
            let message = &job.loaded.message;
            let is_own = |recipient: &_| shared.leads.is_own(job, recipient);
            let batch = Batch::of(message, &job.recipients, &self.todo, rcpt_max, &shared.keys, lead, is_own);
            let recipients: Vec<(&_, &RcptParams)> =
                batch.places.iter().map(|at| (&job.recipients[*at].address, &job.recipients[*at].params)).collect();
            let transaction = Transaction {
                sender: batch.sender.as_deref(),
                params: &message.params,
                size: message.len + batch.lead.octets.len() as u64,
                header_is_8bit: message.facts.header_is_8bit,
                by_left: message.params.by.map(|by| by.left(message.accepted_at, shared.clock.now())),
                reports_to_us: self.reports_to_us().then_some(message.id),
                recipients: &recipients,
            };
            let before = self.todo.len();
            let (carried, open) = (connection.messages(), connection.age());
            let sent = connection.send(&transaction, &batch.lead.octets, body).await;
            self.history.add(connection.talk(&batch.places, carried, open));
            match sent {
                Ok(ends) => {
                    self.settle(&batch.places, ends, &connection);
                    if let Some(pace) = self.pace.as_mut().filter(|_| self.todo.len() < before) {
                        pace.used();
                    }
                    if self.todo.len() == before {
                        // What is left is for another host: this one lacks an extension that the message needs.
                        break;
                    }
                }
                Err(damage) => {
                    let damaged = Failure::own_trouble(Phase::Content, Kind::Damaged, &damage);
                    return self.settle_rest(&damaged);
                }
            }
        }
        if connection.fault().is_none() {
            self.shared.keep(connection, &self.group.destination);
        }
    }

    /// It carried as many messages as a connection may; one that was just taken or opened carries one more.
    fn is_used_up(&self, connection: &Connection) -> bool {
        connection.messages() as usize >= self.settings.delivery.messages_per_connection.max(1)
    }

    /// The sender that goes out is a return address of ours: the peer's reports come to us, not to the submitter.
    fn reports_to_us(&self) -> bool {
        let message = &self.job.loaded.message;
        message.sender.is_some() && message.return_path.is_ours()
    }

    async fn next_body(&mut self) -> Result<Body, Failure> {
        if let Some(body) = self.body.take() {
            return Ok(body);
        }
        Body::of(&self.job.loaded, &self.shared.bodies).await.map_err(|e| {
            let kind = if matches!(e, StoreError::Damaged(_)) { Kind::Damaged } else { Kind::Ours };
            Failure::own_trouble(Phase::Queue, kind, &e.to_string())
        })
    }

    // ---- results ----

    /// What became of a batch: results where they are final for this try, the others stay for the next host.
    fn settle(&mut self, batch: &[usize], ends: Vec<End>, connection: &Connection) {
        let met = met_at(&connection.key, connection.sender_ip, connection.tls.clone());
        let peer_does_dsn = connection.peer().dsn && !self.reports_to_us();
        let peer_does_by = connection.peer().deliver_by.is_some();
        let mut heard = None;
        for (at, end) in batch.iter().copied().zip(ends) {
            match end {
                End::Taken(reply) => {
                    let detail = report::delivered(&reply, &self.group.destination, &met, self.elapsed());
                    self.feedback = Feedback::Healthy;
                    self.count_delivered(connection);
                    self.result(at, Verdict::Delivered { peer_does_dsn, peer_does_by }, detail);
                }
                End::Refused(fault) => {
                    let kind = Kind::of(&fault.trouble);
                    if connection.reused && matches!(kind, Kind::Lost | Kind::Closing) {
                        // It died while it was idle, most likely: a new one is opened at once, and costs no try.
                        self.fresh_only = true;
                        continue;
                    }
                    let mut failure = Failure::at_host(&fault, false, self.job.loaded.message.len, met.clone());
                    // Only at RCPT does each recipient have an answer of its own; otherwise one was given to all.
                    let again = failure.phase != Phase::Rcpt && heard == Some(failure.phase);
                    heard = Some(failure.phase);
                    self.respond(&mut failure, Some(at), !again);
                    if !failure.fails && judge(failure.phase, kind, true).next_host {
                        self.note(failure);
                    } else {
                        self.fail(at, &failure);
                    }
                }
            }
        }
        let results = &self.results;
        let job = self.job;
        self.todo.retain(|at| !results.iter().any(|r| r.index == job.recipients[*at].key.index));
    }

    fn count_delivered(&self, connection: &Connection) {
        let metrics = &self.shared.metrics;
        if !connection.tls.is_empty() {
            metrics.delivered_tls.one();
        }
        if connection.verified {
            metrics.delivered_verified.one();
        }
        if connection.after_break {
            metrics.clear_after_tls.one();
        }
    }

    /// What the response rules say to a refusal, of one recipient or of all.
    fn respond(&mut self, failure: &mut Failure, of: Option<usize>, count: bool) {
        if !failure.answered {
            return;
        }
        let (phase, kind) = (failure.phase, failure.kind);
        let (reply, host) = (failure.reply.as_str(), failure.met.host.as_str());
        let domain = of.map_or("", |at| self.job.recipients[at].address.domain());
        let heard = Heard { reply, phase, kind, domain, destination: &self.group.destination, host };
        let Some(at) = self.settings.responses.find(heard) else { return };
        match self.settings.responses.rule(at).action {
            ResponseAction::Fail => failure.fails = true,
            ResponseAction::Pause | ResponseAction::Slow if count => self.pushes.push(at),
            ResponseAction::Pause | ResponseAction::Slow => {}
        }
    }

    /// Trouble that another host may not have; what is known for certain of all hosts is settled at once.
    fn note(&mut self, failure: Failure) {
        let judgement = judge(failure.phase, failure.kind, true);
        if failure.fails || !judgement.next_host {
            return self.settle_rest(&failure);
        }
        if self.last.as_ref().is_none_or(|last| telling(failure.kind) >= telling(last.kind)) {
            self.last = Some(failure);
        }
    }

    fn settle_rest(&mut self, failure: &Failure) {
        for at in std::mem::take(&mut self.todo) {
            self.fail(at, failure);
        }
    }

    fn fail(&mut self, at: usize, failure: &Failure) {
        let judgement = judge(failure.phase, failure.kind, false);
        let verdict = match judgement.ruling {
            _ if failure.fails => Verdict::Failed,
            Ruling::Deferred { site } => Verdict::Deferred { site, damaged: failure.kind == Kind::Damaged },
            Ruling::Failed => Verdict::Failed,
        };
        let mut detail = failure.detail(&self.group.destination, self.elapsed());
        detail.possible_duplicate = judgement.possible_duplicate;
        if judgement.feedback != Feedback::Unknown {
            self.feedback = judgement.feedback;
        }
        self.result(at, verdict, detail);
    }

    fn result(&mut self, at: usize, verdict: Verdict, mut detail: AttemptDetail) {
        let recipient = &self.job.recipients[at];
        detail.possible_duplicate |= recipient.possible_duplicate;
        let taken = matches!(verdict, Verdict::Delivered { .. });
        let conversation = self.history.of(at, self.job.recipients.len(), self.started, taken);
        let index = recipient.key.index;
        self.results.push(RecipientResult { index, verdict, detail: Box::new(detail), conversation });
    }

    fn elapsed(&self) -> std::time::Duration {
        self.shared.now().saturating_duration_since(self.started)
    }
}

fn met_at(key: &Key, sender_ip: Option<std::net::IpAddr>, tls: String) -> Met {
    Met { host: key.host.to_string(), address: Some(key.address), sender_ip, tls }
}

/// Which trouble says most when several hosts had some: a peer's, then DNS and ours, then what would fail for good.
fn telling(kind: Kind) -> u8 {
    match kind {
        Kind::Guarded | Kind::NeedsRequireTls | Kind::NeedsDeliverBy => 0,
        Kind::NoAddress | Kind::DnsTrouble | Kind::PolicyUnmet | Kind::Ours => 1,
        _ => 2,
    }
}
