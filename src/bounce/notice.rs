//! The notices' shell: finds recipients whose end or delay is owed to a sender, and submits what `dsn_write` composes.
//!
//! In: `notices_owed` of the store.  Out: submissions by the same door as everybody's mail ([`Door`]).
//! Always: recipients of a message that fail within a minute share a notice; the transaction that stores a notice settles
//! what it owed, so that a crash neither loses nor doubles one; nobody bounces a bounce: without a sender's address, or for a
//! notice of our own, the debt is settled in silence.
//! Sources: RFC 3461 §6, RFC 5321 §6.1, RFC 8689 §5, RFC 2852 §4.1 and §5, RFC 4865 §5.1.2; architecture.md "Notices".

use std::{collections::BTreeMap, future::Future, io::Read, sync::Arc, time::Duration};

use bytes::Bytes;
use smol::{Timer, channel, future::FutureExt};

use super::dsn_write::{self, Action, FULL_BYTES_MAX, HEADERS_BYTES_MAX, InTime, Original, RecipientReport, Report};
use crate::{
    clock::{Clock, Timestamp},
    ids::{MessageId, RecipientKey},
    mail::header,
    metrics::Metrics,
    runtime::{Runtime, Shutdown, Stage},
    smtp::{
        address::Mailbox,
        params::{ByMode, Ret},
    },
    store::{Message, NoticeKind, NoticeOwed, Origin, Recipient, RecipientState, Store, StoreError},
};

/// How long a message's first failure waits for others to share its notice.
pub const SHARE_WAIT: Duration = Duration::from_secs(60);
/// How often the store is asked for what is owed.
const ROUND_WAIT: Duration = Duration::from_secs(2);
/// How long after a refusal by the store or the door.
const RETRY_WAIT: Duration = Duration::from_secs(30);
/// Debts looked at in one round: more than a minute's worth of shared notices.
const OWED_MAX: usize = 5_000;
/// Messages with more recipients wait the whole [`SHARE_WAIT`]: looking whether one still waits would cost too much.
const LOOK_RECIPIENTS_MAX: u32 = 200;

/// A notice that is ready for the door.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Whom it tells. Its own sender is the null reverse-path.
    pub to: Mailbox,
    /// The message.
    pub bytes: Bytes,
    /// The debts that it settles, in the transaction that stores it.
    pub settles: Vec<RecipientKey>,
    /// It needs SMTPUTF8.
    pub smtputf8: bool,
    /// It has octets over 127: BODY=8BITMIME.
    pub is_8bit: bool,
    /// The mail that it is about travelled under REQUIRETLS: so does this (RFC 8689 §5).
    pub require_tls: bool,
}

/// The door by which notices enter: the same rules, id, log and retry as for every other mail.
pub trait Door: Send + Sync + 'static {
    /// Submits a notice; returns when it is on disk.
    fn submit_notice(&self, notice: Notice) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What the notices ask of the store.
pub trait Debts: Clone + Send + Sync + 'static {
    /// See [`Store::notices_owed`].
    fn notices_owed(&self, limit: usize) -> Result<Vec<NoticeOwed>, StoreError>;
    /// See [`Store::load`]; recipients that are final are among the answer.
    fn load(&self, id: MessageId, indexes: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError>;
    /// See [`Store::open_body`].
    fn open_body(&self, message: &Message) -> Result<Box<dyn Read + Send>, StoreError>;
    /// See [`Store::settle`].
    fn settle_notices(&self, keys: Vec<RecipientKey>) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl Debts for Store {
    fn notices_owed(&self, limit: usize) -> Result<Vec<NoticeOwed>, StoreError> {
        Store::notices_owed(self, limit)
    }
    fn load(&self, id: MessageId, indexes: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError> {
        Store::load(self, id, indexes)
    }
    fn open_body(&self, message: &Message) -> Result<Box<dyn Read + Send>, StoreError> {
        Ok(Box::new(Store::open_body(self, message)?))
    }
    async fn settle_notices(&self, keys: Vec<RecipientKey>) -> Result<(), StoreError> {
        Store::settle(self, keys).await.map(drop)
    }
}

/// What the notices' task is made of.
pub struct Parts<S, D> {
    /// Where it runs.
    pub runtime: Runtime,
    /// The store.
    pub store: S,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The daemon's stop.
    pub shutdown: Shutdown,
    /// Where notices go in.
    pub door: Arc<D>,
    /// Our name.
    pub hostname: String,
}

/// Wakes the task; clones share it.
#[derive(Clone, Debug)]
pub struct Handle(channel::Sender<()>);

impl Handle {
    /// Something may be owed: look now instead of within two seconds.
    pub fn kick(&self) {
        let _ = self.0.try_send(());
    }
}

/// Starts the task; it ends when the shutdown drains.
pub fn start<S: Debts, D: Door>(parts: Parts<S, D>) -> Handle {
    let (sender, woken) = channel::bounded(1);
    let runtime = parts.runtime.clone();
    runtime.spawn("notices", run(Arc::new(parts), woken));
    Handle(sender)
}

async fn run<S: Debts, D: Door>(parts: Arc<Parts<S, D>>, woken: channel::Receiver<()>) {
    while parts.shutdown.stage() == Stage::Running {
        let wait = match round(&parts).await {
            Ok(()) => ROUND_WAIT,
            Err(StoreError::Closed) => return,
            Err(error) => {
                log::warn!("notices wait for {} s: {error}", RETRY_WAIT.as_secs());
                RETRY_WAIT
            }
        };
        let pause = async {
            Timer::after(wait).await;
        };
        let wake = async {
            if woken.recv().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        pause.or(wake).or(parts.shutdown.drained()).await;
    }
}

/// Submits every notice whose time has come.
async fn round<S: Debts, D: Door>(parts: &Arc<Parts<S, D>>) -> Result<(), StoreError> {
    let store = parts.store.clone();
    let owed = smol::unblock(move || store.notices_owed(OWED_MAX)).await?;
    for group in groups(owed) {
        if parts.shutdown.stage() != Stage::Running {
            return Ok(());
        }
        let shared = parts.clone();
        let settles: Vec<RecipientKey> = group.owed.iter().map(|o| o.key).collect();
        match smol::unblock(move || prepare(&shared, &group)).await? {
            Prepared::NotYet => {}
            Prepared::Silence => parts.store.settle_notices(settles).await?,
            Prepared::Ready(notice) => {
                let (to, message, about) = (notice.to.clone(), settles[0].message, settles.len());
                parts.door.submit_notice(*notice).await?;
                parts.metrics.notices.one();
                log::info!("message={message} notice sent to=<{to}> recipients={about}");
            }
        }
    }
    Ok(())
}

/// Debts of one message that one notice can settle.
#[derive(Debug)]
struct Group {
    message: MessageId,
    owed: Vec<NoticeOwed>,
}

/// Debts by message and kind, in the order of their age.
fn groups(owed: Vec<NoticeOwed>) -> Vec<Group> {
    let mut groups: BTreeMap<(MessageId, NoticeKind), Group> = BTreeMap::new();
    for debt in owed {
        // What was delivered and what was relayed is told together.
        let kind = if debt.kind == NoticeKind::Relayed { NoticeKind::Success } else { debt.kind };
        let message = debt.key.message;
        groups.entry((message, kind)).or_insert_with(|| Group { message, owed: Vec::new() }).owed.push(debt);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| group.owed.iter().map(|o| o.since).min());
    groups
}

enum Prepared {
    /// Others may still share it.
    NotYet,
    /// There is nobody to tell.
    Silence,
    Ready(Box<Notice>),
}

/// Looks whether a group's time has come, and composes its notice. Blocking.
fn prepare<S: Debts, D>(parts: &Parts<S, D>, group: &Group) -> Result<Prepared, StoreError> {
    let now = parts.clock.now();
    let indexes: Vec<u32> = group.owed.iter().map(|o| o.key.index).collect();
    let Some((message, recipients)) = parts.store.load(group.message, &indexes)? else { return Ok(Prepared::Silence) };
    let Some(to) = message.sender.clone().filter(|_| message.origin != Origin::Notice) else {
        return Ok(Prepared::Silence);
    };
    if !is_ripe(&parts.store, &message, group, now)? {
        return Ok(Prepared::NotYet);
    }
    let reports: Vec<RecipientReport<'_>> = group
        .owed
        .iter()
        .filter_map(|debt| {
            let recipient = recipients.iter().find(|r| r.key == debt.key)?;
            Some(recipient_report(debt, recipient, &message))
        })
        .collect();
    if reports.is_empty() {
        return Ok(Prepared::Silence);
    }
    let is_failure = reports.iter().any(|r| r.action == Action::Failed);
    let (original, is_full) = original(&parts.store, &message, is_failure);
    let first = &group.owed[0];
    let id = format!("{}.{}.{}@{}", message.id, first.key.index, first.since.as_millis(), parts.hostname);
    let composed = dsn_write::compose(&Report {
        hostname: &parts.hostname,
        id: &id,
        at: now,
        to: &to,
        message: message.id,
        arrived_at: message.accepted_at,
        hold: message.params.hold,
        subject: &message.facts.subject,
        message_id: &message.facts.message_id,
        envid: message.params.envid.as_deref(),
        smtputf8: message.params.smtputf8,
        deliver_by: message.params.by.map(|by| by.deadline(message.accepted_at)),
        recipients: &reports,
        original: match &original {
            None => Original::Nothing,
            Some(bytes) if is_full => Original::Full(bytes),
            Some(bytes) => Original::Headers(bytes),
        },
    });
    Ok(Prepared::Ready(Box::new(Notice {
        to,
        bytes: composed.bytes.into(),
        settles: group.owed.iter().map(|o| o.key).collect(),
        smtputf8: composed.smtputf8,
        is_8bit: composed.is_8bit,
        require_tls: message.params.require_tls,
    })))
}

/// A minute has passed since the first, or no recipient is left that could join.
fn is_ripe<S: Debts>(store: &S, message: &Message, group: &Group, now: Timestamp) -> Result<bool, StoreError> {
    let since = group.owed.iter().map(|o| o.since).min().unwrap_or(now);
    // A debt of the future means that the clock stepped back: do not wait for it.
    if since > now || now.since(since) >= SHARE_WAIT {
        return Ok(true);
    }
    if message.recipients as usize == group.owed.len() {
        return Ok(true);
    }
    if message.recipients > LOOK_RECIPIENTS_MAX {
        return Ok(false);
    }
    let all: Vec<u32> = (0..message.recipients).collect();
    let Some((_, recipients)) = store.load(message.id, &all)? else { return Ok(true) };
    Ok(!recipients.iter().any(|r| matches!(r.state, RecipientState::Waiting { .. })))
}

fn recipient_report<'a>(debt: &'a NoticeOwed, recipient: &'a Recipient, message: &Message) -> RecipientReport<'a> {
    let action = match debt.kind {
        NoticeKind::Failure => Action::Failed,
        NoticeKind::Delay => Action::Delayed,
        NoticeKind::Success => Action::Delivered,
        NoticeKind::Relayed => Action::Relayed,
    };
    let detail = debt.event.detail.as_deref();
    RecipientReport {
        address: &recipient.address,
        orcpt: recipient.params.orcpt.as_deref(),
        action,
        in_time: in_time(debt, message),
        reply: detail.map_or("", |d| d.reply.as_str()),
        host: detail.map_or("", |d| d.host.as_str()),
        last_attempt: (debt.event.attempt > 0).then_some(debt.event.at),
        will_retry_until: Some(message.expires_at),
    }
}

/// What the deadline of the mail has to do with it. One second of grace: deadlines are counted in whole ones.
fn in_time(debt: &NoticeOwed, message: &Message) -> InTime {
    let Some(by) = message.params.by else { return InTime::NoDeadline };
    match by.deadline(message.accepted_at) <= debt.since.plus(Duration::from_secs(1)) {
        true if by.mode == ByMode::Return => InTime::OverReturned,
        true => InTime::Over,
        false => InTime::Not,
    }
}

/// The mail that a notice carries back: whole where it failed, RET allows it and it is small; else its header.
fn original<S: Debts>(store: &S, message: &Message, is_failure: bool) -> (Option<Vec<u8>>, bool) {
    // RFC 8689 §5: of a mail under REQUIRETLS only the header comes back, whatever RET says.
    let may_be_full = message.params.ret != Some(Ret::Headers) && !message.params.require_tls;
    let full = is_failure && may_be_full && message.len <= FULL_BYTES_MAX;
    let limit = if full { FULL_BYTES_MAX } else { HEADERS_BYTES_MAX as u64 };
    let read = store.open_body(message).map_err(|e| e.to_string()).and_then(|body| {
        let mut bytes = Vec::new();
        body.take(limit).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        Ok(bytes)
    });
    match read {
        Ok(mut bytes) => {
            if !full {
                let end = header::find_end(&bytes, 0).unwrap_or(bytes.len());
                bytes.truncate(end);
            }
            (Some(bytes), full)
        }
        Err(error) => {
            log::warn!("message={} could not be read for its notice: {error}", message.id);
            (None, false)
        }
    }
}

#[cfg(test)]
#[path = "notice_tests.rs"]
mod tests;
