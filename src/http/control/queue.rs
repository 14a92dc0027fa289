//! The queue over the control socket: list, show, find, and the operator's acts on waiting recipients.

use std::time::Duration;

use super::{Answer, Refused, number, operator, page_of, with_cursor};
use crate::{
    event::{Class, WaitReason},
    http::{
        daemon::{About, Daemon, visible_story},
        exchange::{Request, Response},
        health,
        rows::{ActOut, DestinationOut, FactOut, QueueOut, StoryOut},
        rows_said,
    },
    ids::MessageId,
    language::Language,
    store::{QueueAct, QueueFilter, QueueVerb, RecipientState, Story},
};

/// Destinations listed at most.
const DESTINATIONS_MAX: usize = 10_000;
/// Messages that `find` answers at most.
const FOUND_MAX: usize = 1000;
/// Recipients of one answer whose facts are told at most: each may ask the DNS.
const FACTS_MAX: usize = 10;
/// After this long no further facts are asked for: the rest of the answer must not wait for a dead zone.
const FACTS_PATIENCE: Duration = Duration::from_secs(5);
/// Messages that `find` answers when nothing is said.
const FOUND: usize = 20;

/// A queue id; 400 when it is none.
fn id_of(text: &str, field: &'static str) -> Result<MessageId, Refused> {
    text.parse().map_err(|e| Refused::new(400, format!("{text:?} is {e}"), field))
}

fn filter_of(request: &Request) -> Result<QueueFilter, Refused> {
    let message = match request.param("id") {
        "" => None,
        text => Some(id_of(text, "id")?),
    };
    let index = number(request, "index")?
        .map(|n| u32::try_from(n).map_err(|_| Refused::new(400, "index is too large", "index")))
        .transpose()?;
    if index.is_some() && message.is_none() {
        return Err(Refused::new(400, "index goes with id: it is a recipient's place in one message", "index"));
    }
    Ok(QueueFilter {
        message,
        index,
        recipient: request.param("recipient").to_owned(),
        sender: request.param("sender").to_owned(),
        destination: request.param("destination").to_owned(),
        user: request.param("user").to_owned(),
        held: request.flag("held"),
        class: word_of(request, "class", Class::from_word)?,
        wait: word_of(request, "wait", WaitReason::from_word)?,
        reply: request.param("reply").to_owned(),
    })
}

/// A field that is a word of a list, or nothing.
fn word_of<T>(request: &Request, field: &'static str, of: fn(&str) -> Option<T>) -> Result<Option<T>, Refused> {
    match request.param(field) {
        "" => Ok(None),
        word => of(word).map(Some).ok_or_else(|| Refused::new(400, format!("{word:?} is no {field}"), field)),
    }
}

/// `queue list`.
pub(super) fn list(daemon: &dyn Daemon, request: &Request) -> Answer {
    let page = daemon.queue_page(&filter_of(request)?, &page_of(request)?)?;
    let rows: Vec<QueueOut> = page.rows.iter().map(QueueOut::from).collect();
    Ok(with_cursor(Response::lines(&rows), page.next))
}

/// `queue list --destinations`.
pub(super) fn destinations(daemon: &dyn Daemon, request: &Request) -> Answer {
    let limit = number(request, "limit")?.map_or(DESTINATIONS_MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let pauses = daemon.pauses()?;
    let found = health::destinations(daemon, &pauses, limit.clamp(1, DESTINATIONS_MAX))?;
    let rows: Vec<DestinationOut> = found.iter().map(DestinationOut::from).collect();
    Ok(Response::lines(&rows))
}

/// `queue flush|hold|release|drop|fail`.
pub(super) fn act(daemon: &dyn Daemon, request: &Request, verb: &str) -> Answer {
    let verb = match verb {
        "flush" => QueueVerb::Flush,
        "hold" => QueueVerb::Hold,
        "release" => QueueVerb::Release,
        "drop" => QueueVerb::Drop,
        "fail" => QueueVerb::Fail,
        _ => return Err(Refused::new(404, "the acts are flush, hold, release, drop and fail", "")),
    };
    let filter = filter_of(request)?;
    if filter.is_all() && !request.flag("all") {
        return Err(Refused::new(
            400,
            "name whom it is for: a queue id, a filter, or --all for the whole queue",
            "all",
        ));
    }
    if let Some(id) = filter.message
        && daemon.message_story(id)?.is_none()
    {
        return Err(Refused::new(404, format!("there is no message {id}"), "id"));
    }
    let recipients =
        daemon.act(QueueAct { verb, filter, operator: operator(request), from: "control socket".to_owned() })?;
    Ok(Response::json(200, &ActOut { recipients }))
}

/// `queue show ID`.
pub(super) fn show(daemon: &dyn Daemon, about: &About, request: &Request, id: &str) -> Answer {
    let id = id_of(id, "id")?;
    match daemon.message_story(id)? {
        Some(story) => {
            let story = visible_story(story, &about.retention, daemon.now());
            let mut out = with_facts(daemon, &story, &mut { FACTS_MAX });
            with_conversations(daemon, request, &story, &mut { rows_said::CONVERSATIONS_MAX }, &mut out)?;
            Ok(Response::lines(&[out]))
        }
        None => Err(Refused::new(404, format!("there is no message {id}"), "id")),
    }
}

/// A story whose first waiting recipients carry the reasons for how they are treated; `left` more may.
fn with_facts(daemon: &dyn Daemon, story: &Story, left: &mut usize) -> StoryOut {
    let mut out = StoryOut::from(story);
    let began = daemon.now();
    let waiting = story.recipients.iter().zip(&mut out.recipients);
    for (recipient, row) in waiting.filter(|(r, _)| matches!(r.state, RecipientState::Waiting { .. })) {
        if *left == 0 {
            break;
        }
        *left = if daemon.now().since(began) > FACTS_PATIENCE { 0 } else { *left - 1 };
        row.facts = daemon.facts_of(&story.message, recipient, FACTS_PATIENCE).iter().map(FactOut::from).collect();
    }
    out
}

/// What was said, where it is asked for.
fn with_conversations(
    daemon: &dyn Daemon,
    request: &Request,
    story: &Story,
    left: &mut usize,
    out: &mut StoryOut,
) -> Result<(), Refused> {
    if request.flag("conversation") {
        rows_said::tell(daemon, story, Language::of_code(request.param("lang")), left, out)?;
    }
    Ok(())
}

/// `find KEY`: one story a line.
pub(super) fn find(daemon: &dyn Daemon, about: &About, request: &Request) -> Answer {
    let key = request.param("key").trim();
    if key.is_empty() {
        return Err(Refused::new(400, "find needs a key: queue id, recipient, Message-ID or X-Api-Data", "key"));
    }
    let limit = number(request, "limit")?.map_or(FOUND, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let mut rows = Vec::new();
    let mut left = FACTS_MAX;
    let mut said_left = rows_said::CONVERSATIONS_MAX;
    for id in daemon.find(key, limit.clamp(1, FOUND_MAX))? {
        // A row may be pruned between the two reads.
        if let Some(story) = daemon.message_story(id)? {
            let story = visible_story(story, &about.retention, daemon.now());
            let mut out = with_facts(daemon, &story, &mut left);
            with_conversations(daemon, request, &story, &mut said_left, &mut out)?;
            rows.push(out);
        }
    }
    Ok(Response::lines(&rows))
}
