//! Messages: where every recipient of a mail stands, found by whatever the caller knows of it. Our own action.
//!
//! In: a call with `key`: a queue id, a whole recipient, a Message-ID, or an X-Api-Data.  Out: a row a recipient, newest mail first.
//! Always: found by the log's indexes, never by a scan; what is past its period is not told (R13).

use std::collections::HashMap;

use super::{Call, paging::Asked, stored, time_of};
use crate::{
    event::Event,
    http::{
        api::{
            fault::{Fault, Why},
            reply::{Cell, Rows},
        },
        daemon::visible_story,
        exchange::Response,
    },
    store::{Message, Recipient, RecipientState},
    when::Zone,
};

/// Messages that one call looks at, at most.
const MESSAGES_MAX: usize = 100;

/// The keys of a row.
pub(in crate::http::api) const KEYS: [&str; 14] = [
    "created",
    "queueId",
    "index",
    "messageId",
    "from",
    "to",
    "subject",
    "apiData",
    "user",
    "status",
    "attempts",
    "reason",
    "nextTry",
    "updated",
];

/// `messages/find`.
pub(super) fn find(call: &Call<'_>) -> Result<Response, Fault> {
    call.composition()?;
    let key = call.search("key")?;
    if key.trim().is_empty() {
        return Err(Why::Missing.of("key"));
    }
    let (asked, own, zone) = (Asked::of(call)?, call.own_user(), &call.caller.zone);
    let (deadline, periods, now) = (call.deadline(), call.daemon.about().retention, call.daemon.now());
    let (mut before, mut rows) = (asked.page * asked.rows, Vec::new());
    for id in call.daemon.find(key.trim(), MESSAGES_MAX).map_err(|error| stored(&error))? {
        if deadline.left().is_none() {
            return Err(Why::TooWide.fault());
        }
        // A row may be pruned between the two reads.
        let Some(story) = call.daemon.message_story(id).map_err(|error| stored(&error))? else { continue };
        if !own.is_empty() && story.message.user != own {
            continue;
        }
        let story = visible_story(story, &periods, now);
        // Each one's last event, in one pass: there may be very many of both.
        let last: HashMap<u32, &Event> = story.events.iter().map(|event| (event.key.index, event)).collect();
        // Asked for by its address, a recipient is told without its companions.
        let by_address = story.recipients.iter().any(|recipient| is_at(recipient, &key));
        let wanted = |recipient: &&Recipient| is_visible(&last, recipient) && (!by_address || is_at(recipient, &key));
        for recipient in story.recipients.iter().filter(wanted) {
            if before > 0 {
                before -= 1;
            } else if rows.len() < asked.rows {
                rows.push(
                    KEYS.into_iter()
                        .zip(
                            row(&story.message, recipient, last.get(&recipient.key.index).copied(), zone)
                                .map(Cell::Text),
                        )
                        .collect(),
                );
            }
        }
        if rows.len() >= asked.rows {
            break;
        }
    }
    Ok(Rows { plural: "messages", singular: "message", rows }.response(call.format))
}

fn is_at(recipient: &Recipient, key: &str) -> bool {
    recipient.address.as_str().to_lowercase() == key.trim().to_lowercase()
}

/// It waits, or something of it is within its period.
fn is_visible(last: &HashMap<u32, &Event>, recipient: &Recipient) -> bool {
    let waits = matches!(recipient.state, RecipientState::Waiting { .. });
    waits || last.contains_key(&recipient.key.index)
}

fn row(message: &Message, recipient: &Recipient, last: Option<&Event>, zone: &Zone) -> [String; 14] {
    let (status, due) = match recipient.state {
        RecipientState::Waiting { due, .. } => ("waiting", Some(due)),
        RecipientState::Final(kind) => (kind.word(), None),
    };
    [
        zone.full(message.accepted_at),
        message.id.to_string(),
        recipient.key.index.to_string(),
        message.facts.message_id.clone(),
        message.facts.from.clone(),
        recipient.address.to_string(),
        message.facts.subject.clone(),
        message.facts.api_data.clone(),
        message.user.clone(),
        status.to_owned(),
        recipient.attempts.to_string(),
        recipient.last_reply.clone(),
        time_of(zone, due),
        time_of(zone, last.map(|event| event.at)),
    ]
}
