//! The queue: what waits, and acts on it. Our own actions, in the form of CMC's.
//!
//! In: a call with a filter.  Out: a page of waiting recipients; or how many an act was done to.
//! Always: an act names whom it is for: a filter, or `all`; with own data only it reaches the caller's own mail alone; it is in the
//! operation log with the caller's name and address.
//! Sources: PRODUCT.md R9.

use super::{
    Call,
    paging::{Asked, rows},
    stored, time_of,
};
use crate::{
    event::WaitReason,
    http::{
        api::{
            fault::{Fault, Why},
            reply::{self, Cell, Rows},
        },
        exchange::Response,
    },
    store::{QueueAct, QueueFilter, QueueRow, QueueVerb, RecipientState},
    when::Zone,
};

/// The filter that a call names, within what the caller may reach.
fn filter_of(call: &Call<'_>) -> Result<QueueFilter, Fault> {
    call.composition()?;
    let message = match call.ask.text("queue_id")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Why::Unknown.of("queue_id"))?),
    };
    let index = call.ask.number("index", 0..=i64::from(u32::MAX))?.and_then(|n| u32::try_from(n).ok());
    if index.is_some() && message.is_none() {
        return Err(Why::Missing.of("queue_id"));
    }
    let (own, mut user) = (call.own_user(), call.search("user")?);
    if !own.is_empty() {
        if !user.is_empty() && user != own {
            return Err(call.denied("own data only"));
        }
        user = own;
    }
    Ok(QueueFilter {
        message,
        index,
        recipient: call.search("to")?,
        sender: call.search("from")?,
        destination: call.search("destination")?,
        user,
        held: call.ask.flag("held")?.unwrap_or(false),
        ..QueueFilter::default()
    })
}

/// The keys of a row.
pub(in crate::http::api) const KEYS: [&str; 18] = [
    "created",
    "queueId",
    "index",
    "returnPath",
    "from",
    "to",
    "destination",
    "messageId",
    "subject",
    "apiData",
    "user",
    "priority",
    "status",
    "wait",
    "attempts",
    "reason",
    "nextTry",
    "expires",
];

fn row(found: &QueueRow, zone: &Zone) -> [String; 18] {
    let (message, recipient) = (&*found.message, &found.recipient);
    let (status, due) = match recipient.state {
        RecipientState::Waiting { wait: WaitReason::Held | WaitReason::Damaged, .. } => ("held", None),
        RecipientState::Waiting { due, .. } => ("waiting", Some(due)),
        RecipientState::Final(kind) => (kind.word(), None),
    };
    let wait = match recipient.state {
        RecipientState::Waiting { wait, .. } => wait.word(),
        RecipientState::Final(_) => "",
    };
    [
        zone.full(message.accepted_at),
        message.id.to_string(),
        recipient.key.index.to_string(),
        message.sender.as_ref().map_or_else(String::new, ToString::to_string),
        message.facts.from.clone(),
        recipient.address.to_string(),
        recipient.lane.destination().to_owned(),
        message.facts.message_id.clone(),
        message.facts.subject.clone(),
        message.facts.api_data.clone(),
        message.user.clone(),
        message.class.word().to_owned(),
        status.to_owned(),
        wait.to_owned(),
        recipient.attempts.to_string(),
        recipient.last_reply.clone(),
        time_of(zone, due),
        zone.full(message.expires_at),
    ]
}

/// `queue/list`.
pub(super) fn list(call: &Call<'_>) -> Result<Response, Fault> {
    let filter = filter_of(call)?;
    let found = rows(call, Asked::of(call)?, &format!("{filter:?}"), false, |page| {
        call.daemon.queue_page(&filter, page).map(|found| (found.rows, found.next))
    })?;
    let cells = |found| KEYS.into_iter().zip(row(found, &call.caller.zone).map(Cell::Text)).collect();
    let rows = found.iter().map(cells).collect();
    Ok(Rows { plural: "queue", singular: "recipient", rows }.response(call.format))
}

/// `queue/flush`: due now.
pub(super) fn flush(call: &Call<'_>) -> Result<Response, Fault> {
    act(call, QueueVerb::Flush)
}

/// `queue/hold`: not before a release.
pub(super) fn hold(call: &Call<'_>) -> Result<Response, Fault> {
    act(call, QueueVerb::Hold)
}

/// `queue/release`: due now, if held.
pub(super) fn release(call: &Call<'_>) -> Result<Response, Fault> {
    act(call, QueueVerb::Release)
}

/// `queue/drop`: removed without a notice; final.
pub(super) fn drop(call: &Call<'_>) -> Result<Response, Fault> {
    act(call, QueueVerb::Drop)
}

fn act(call: &Call<'_>, verb: QueueVerb) -> Result<Response, Fault> {
    let (filter, all) = (filter_of(call)?, call.ask.flag("all")?.unwrap_or(false));
    let named = ["queue_id", "to", "from", "destination", "user"].iter().any(|name| call.ask.has(name)) || filter.held;
    if !named && !all {
        return Err(Why::Missing.of("all"));
    }
    if let Some(id) = filter.message
        && call.daemon.message_story(id).map_err(|error| stored(&error))?.is_none()
    {
        return Err(Why::Unknown.of("queue_id"));
    }
    let (operator, from) = (call.caller.name.clone(), call.caller.source.to_string());
    let act = QueueAct { verb, filter, operator, from };
    let recipients = call.daemon.act(act).map_err(|error| stored(&error))?;
    let row = [("message", "success".into()), ("recipients", recipients.to_string().into())];
    Ok(reply::object(call.format, "response", &row))
}
