//! Incidents: places whose unknown users jumped and are held back, and troubles that are not the recipients', told together.
//!
//! In: what the follower saw.  Out: rows of kind Incidents, and what people ask of them.
//! Always: bounded: of troubles the one seen longest ago goes first, of held errors the late ones are counted and forgotten
//! (they suppress nobody, which is the safe side); the keys are `b/<id>` (a held place), `h/<id>/<address>` (an error that it
//! holds) and `t/<id>` (a trouble).
//! Sources: issue 4 parts 4 and 6; algorithms F6.

use serde::{Deserialize, Serialize};

use super::{
    Suppressions,
    brake::{Jump, PROVIDER_MARK, provider_of},
    list::Listed,
    memory::Memory,
    row::{AddressError, Cause},
};
use crate::{
    bounce::{
        classify::{Said, judge},
        normalise::normalised,
    },
    clock::Timestamp,
    event::{AttemptDetail, ErrorClass, Trouble},
    smtp::reply::Enhanced,
    store::{Followed, MemoKind, StoreError},
};

/// Troubles that are kept; of more, the one seen longest ago goes.
pub const TROUBLES_MAX: usize = 2_000;
/// Held places that are kept, ended ones included; of more, the one that ended first goes. While all are open, no other is opened.
pub const BRAKE_INCIDENTS_MAX: usize = 500;
/// Errors that one held place remembers.
pub const HELD_MAX: u64 = 20_000;
/// Errors that all held places remember: with the troubles well below what the store takes of this kind.
pub const HELD_TOTAL_MAX: u64 = 80_000;

const BRAKE: &str = "b/";
const HELD: &str = "h/";
const TROUBLE: &str = "t/";

/// Where a held place stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// Its errors are held.
    Held,
    /// An operator released them: they counted.
    Released,
    /// An operator discarded them: they never happened.
    Discarded,
}

impl HoldState {
    /// The word in lists.
    pub fn word(self) -> &'static str {
        match self {
            HoldState::Held => "held",
            HoldState::Released => "released",
            HoldState::Discarded => "discarded",
        }
    }
}

/// A place whose unknown users jumped. Times are milliseconds since 1970; [`BrakeIncident::since`] and the like give them typed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BrakeIncident {
    /// Its id, 13 letters.
    pub id: String,
    /// A recipient domain, `example.jp`, or a provider whose hosts answered, `*.google.com`.
    pub place: String,
    /// When its errors began.
    pub since_millis: u64,
    /// When the brake was pulled.
    pub opened_millis: u64,
    /// When an operator ended it.
    #[serde(default)]
    pub ended_millis: Option<u64>,
    /// Where it stands.
    pub state: HoldState,
    /// Who ended it; empty: nobody yet.
    #[serde(default)]
    pub operator: String,
    /// Unknown users among the last results when it was opened.
    pub errors: u32,
    /// Those results.
    pub results: u32,
    /// Their share, in percent.
    pub rate_percent: u32,
    /// The share in the place's past, in tenths of a percent.
    pub past_permille: u32,
    /// Errors that are held.
    #[serde(default)]
    pub held: u64,
    /// Errors that came after the list was full, and are forgotten.
    #[serde(default)]
    pub lost: u64,
    /// What the last one said.
    #[serde(default)]
    pub example: String,
}

impl BrakeIncident {
    pub(super) fn open(id: String, place: &str, jump: &Jump, at: Timestamp) -> Self {
        BrakeIncident {
            id,
            place: place.to_owned(),
            since_millis: jump.since.as_millis(),
            opened_millis: at.as_millis(),
            ended_millis: None,
            state: HoldState::Held,
            operator: String::new(),
            errors: jump.errors,
            results: jump.results,
            rate_percent: jump.rate_percent,
            past_permille: jump.past_permille,
            held: 0,
            lost: 0,
            example: String::new(),
        }
    }

    /// When its errors began.
    pub fn since(&self) -> Timestamp {
        Timestamp::from_millis(self.since_millis)
    }

    /// When the brake was pulled.
    pub fn opened(&self) -> Timestamp {
        Timestamp::from_millis(self.opened_millis)
    }

    /// When an operator ended it.
    pub fn ended(&self) -> Option<Timestamp> {
        self.ended_millis.map(Timestamp::from_millis)
    }
}

/// An error that is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldError {
    /// The address, in lower case.
    pub address: String,
    /// For whose mail; empty: for everybody's.
    pub user: String,
    /// The error.
    pub error: AddressError,
    /// Whose hosts answered.
    pub provider: String,
    /// What they said.
    pub reply: String,
}

#[derive(Serialize, Deserialize)]
struct StoredHeld {
    at: u64,
    number: u64,
    class: u8,
    trouble: Trouble,
    hard: bool,
    provider: String,
    reply: String,
}

/// A trouble that is not a recipient's, or an answer that nothing knows, with how often it was met.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TroubleIncident {
    /// Its id, 13 letters.
    pub id: String,
    /// The recipients' domain.
    pub destination: String,
    /// The answer without what differs from mail to mail.
    pub reply: String,
    /// CMC's class.
    pub class: ErrorClass,
    /// Whose trouble it is.
    pub trouble: Trouble,
    /// A rule or an enhanced code decided; false: nothing knew the answer, and the operator should see it.
    pub known: bool,
    /// How often.
    pub count: u64,
    /// When first, milliseconds.
    pub first_millis: u64,
    /// When last, milliseconds.
    pub last_millis: u64,
    /// The last answer, as it came; bounded.
    pub example: String,
    /// The event that gave it.
    pub event: u64,
}

impl TroubleIncident {
    /// When first.
    pub fn first(&self) -> Timestamp {
        Timestamp::from_millis(self.first_millis)
    }

    /// When last.
    pub fn last(&self) -> Timestamp {
        Timestamp::from_millis(self.last_millis)
    }

    /// Which trouble it is: what is told together.
    pub(super) fn name(&self) -> TroubleName {
        (self.destination.clone(), self.reply.clone(), self.class, self.trouble)
    }
}

/// What troubles are told together by.
pub(super) type TroubleName = (String, String, ErrorClass, Trouble);

/// Whether a rule knows what an answer means; only vague classes are asked about.
pub(super) fn is_known(detail: &AttemptDetail, class: ErrorClass) -> bool {
    match class {
        ErrorClass::Other | ErrorClass::Rejected => {
            let (code, enhanced) = codes(&detail.reply);
            judge(&Said { phase: detail.phase, code, enhanced, text: &detail.reply }).known
        }
        ErrorClass::UnknownHost
        | ErrorClass::UnknownUser
        | ErrorClass::ResendTimeout
        | ErrorClass::OverCapacity
        | ErrorClass::ForwardingError
        | ErrorClass::ReceivingServerError
        | ErrorClass::TooLarge
        | ErrorClass::BadAddress
        | ErrorClass::Blocked
        | ErrorClass::Unsubscribed => true,
    }
}

/// Whose trouble an event is; rows of older versions do not say it and are judged now.
pub(super) fn trouble_of(detail: &AttemptDetail) -> Trouble {
    detail.trouble.unwrap_or_else(|| {
        let (code, enhanced) = codes(&detail.reply);
        judge(&Said { phase: detail.phase, code, enhanced, text: &detail.reply }).trouble
    })
}

/// The codes at the start of an answer.
fn codes(reply: &str) -> (Option<u16>, Option<Enhanced>) {
    let mut words = reply.split([' ', '-']).filter(|w| !w.is_empty());
    let first = words.next().unwrap_or_default();
    let code = first.parse::<u16>().ok().filter(|code| (200..600).contains(code) && first.len() == 3);
    let second = if code.is_some() { words.next().unwrap_or_default() } else { first };
    let mut parts = second.split('.').map(str::parse::<u16>);
    let enhanced = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(class @ (2 | 4 | 5))), Some(Ok(subject)), Some(Ok(detail)), None) => {
            Some(Enhanced(class as u8, subject, detail))
        }
        _ => None,
    };
    (code, enhanced)
}

/// Where a result belongs: the recipient's domain, and the provider whose hosts answered where that is another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Places {
    pub domain: String,
    /// Empty: not known, or a smarthost.
    pub provider: String,
}

impl Places {
    pub fn of(followed: &Followed) -> Self {
        let domain = domain_of(&followed.address).to_owned();
        let provider = followed.event.detail.as_ref().map_or_else(String::new, |detail| {
            // A smarthost answers for everybody.
            if detail.destination.contains(':') { String::new() } else { provider_of(&detail.host) }
        });
        Places { domain, provider }
    }

    pub fn each(&self) -> impl Iterator<Item = &str> {
        [self.domain.as_str(), self.provider.as_str()].into_iter().filter(|place| !place.is_empty())
    }
}

/// The domain of an address in lower case.
pub(super) fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// What the undo of an incident lifts.
#[derive(Clone, Debug)]
pub(super) enum Undo {
    Brake(BrakeIncident),
    Trouble(TroubleIncident),
}

impl Undo {
    /// The address is on the list because of the incident: it was held by it, or came onto the list while it went on.
    pub fn covers(&self, listed: &Listed) -> bool {
        let Some(entry) = listed.entry.as_ref().filter(|entry| entry.cause == Cause::Errors) else { return false };
        match self {
            Undo::Brake(incident) => {
                let is_of_place = incident.place == domain_of(&listed.address) || incident.place == entry.provider;
                let is_in_time =
                    entry.since >= incident.since() && incident.ended().is_none_or(|end| entry.since <= end);
                entry.incident == incident.id || (is_of_place && is_in_time && entry.class.is_some_and(is_unknown))
            }
            Undo::Trouble(incident) => {
                entry.class == Some(incident.class)
                    && incident.destination == domain_of(&listed.address)
                    && incident.reply == normalised(&entry.reason)
            }
        }
    }

    /// False where the address alone says that it is none of them, so that its row need not be read.
    pub fn may_cover(&self, address: &str) -> bool {
        match self {
            Undo::Brake(incident) => incident.place.starts_with(PROVIDER_MARK) || incident.place == domain_of(address),
            Undo::Trouble(incident) => incident.destination == domain_of(address),
        }
    }

    /// In the words of the operation log.
    pub fn words(&self) -> String {
        match self {
            Undo::Brake(incident) => format!("incident {} ({})", incident.id, incident.place),
            Undo::Trouble(incident) => {
                format!("incident {} ({}: {})", incident.id, incident.destination, incident.reply)
            }
        }
    }
}

/// An error that says that the address does not exist: what the brake counts.
pub(super) fn is_unknown(class: ErrorClass) -> bool {
    match class {
        ErrorClass::UnknownHost | ErrorClass::UnknownUser | ErrorClass::BadAddress => true,
        ErrorClass::ResendTimeout
        | ErrorClass::Rejected
        | ErrorClass::OverCapacity
        | ErrorClass::ForwardingError
        | ErrorClass::ReceivingServerError
        | ErrorClass::TooLarge
        | ErrorClass::Blocked
        | ErrorClass::Unsubscribed
        | ErrorClass::Other => false,
    }
}

/// What the undo of an incident of this id lifts; `None`: there is no such incident.
pub(super) fn undoes(memory: &dyn Memory, id: &str) -> Result<Option<Undo>, StoreError> {
    if let Some(incident) = brake_incident(memory, id)? {
        return Ok(Some(Undo::Brake(incident)));
    }
    let value = memory.memo(MemoKind::Incidents, &trouble_key(id))?;
    Ok(value.and_then(|value| serde_json::from_slice(&value).ok()).map(Undo::Trouble))
}

pub(super) fn brake_key(id: &str) -> String {
    format!("{BRAKE}{id}")
}

pub(super) fn trouble_key(id: &str) -> String {
    format!("{TROUBLE}{id}")
}

pub(super) fn held_prefix(id: &str) -> String {
    format!("{HELD}{id}/")
}

pub(super) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers and texts have a form in JSON")
}

pub(super) fn brake_incident(memory: &dyn Memory, id: &str) -> Result<Option<BrakeIncident>, StoreError> {
    let value = memory.memo(MemoKind::Incidents, &brake_key(id))?;
    Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
}

/// Every held place, ended ones included.
pub(super) fn brake_incidents(memory: &dyn Memory) -> Result<Vec<BrakeIncident>, StoreError> {
    let rows = memory.memos(MemoKind::Incidents, BRAKE, None, BRAKE_INCIDENTS_MAX * 2)?;
    Ok(rows.into_iter().filter_map(|(_, value)| serde_json::from_slice(&value).ok()).collect())
}

/// Every trouble.
pub(super) fn troubles(memory: &dyn Memory) -> Result<Vec<TroubleIncident>, StoreError> {
    let rows = memory.memos(MemoKind::Incidents, TROUBLE, None, TROUBLES_MAX * 2)?;
    Ok(rows.into_iter().filter_map(|(_, value)| serde_json::from_slice(&value).ok()).collect())
}

pub(super) fn write_held(held: &HeldError) -> Vec<u8> {
    json(&StoredHeld {
        at: held.error.at.as_millis(),
        number: held.error.number,
        class: held.error.class.code(),
        trouble: held.error.trouble,
        hard: held.error.hard,
        provider: held.provider.clone(),
        reply: held.reply.clone(),
    })
}

/// Held errors of an incident behind the key `after`, each with its row's key; damaged rows come as `None`.
#[allow(clippy::type_complexity)]
pub(super) fn held_page(
    memory: &dyn Memory,
    id: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Option<HeldError>)>, StoreError> {
    let prefix = held_prefix(id);
    let rows = memory.memos(MemoKind::Incidents, &prefix, after, limit)?;
    let read = |key: &str, value: &[u8]| {
        let stored: StoredHeld = serde_json::from_slice(value).ok()?;
        let (address, user) = super::row::split_key(key.strip_prefix(&prefix)?);
        Some(HeldError {
            address: address.to_owned(),
            user: user.to_owned(),
            error: AddressError {
                at: Timestamp::from_millis(stored.at),
                number: stored.number,
                class: ErrorClass::from_code(stored.class)?,
                trouble: stored.trouble,
                hard: stored.hard,
            },
            provider: stored.provider,
            reply: stored.reply,
        })
    };
    Ok(rows.into_iter().map(|(key, value)| (key.clone(), read(&key, &value))).collect())
}

/// A question to the troubles. Empty fields match all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TroubleQuery {
    /// Part of the destination or of the answer, any case.
    pub part: String,
    /// Answers that nothing knows, and no others.
    pub unclassified: bool,
    /// Seen since this time or later.
    pub from: Option<Timestamp>,
}

impl Suppressions {
    /// The held places, open ones first, newest first. Bounded by [`BRAKE_INCIDENTS_MAX`]. Blocking, short.
    ///
    /// # Errors
    /// The store's.
    pub fn brake_incidents(&self) -> Result<Vec<BrakeIncident>, StoreError> {
        let mut all = brake_incidents(&*self.0.memory)?;
        all.sort_by_key(|i| (i.state != HoldState::Held, std::cmp::Reverse(i.opened_millis)));
        Ok(all)
    }

    /// The held place of this id, ended or not. Short.
    ///
    /// # Errors
    /// The store's.
    pub fn brake_incident(&self, id: &str) -> Result<Option<BrakeIncident>, StoreError> {
        brake_incident(&*self.0.memory, id)
    }

    /// The trouble of this id. Short.
    ///
    /// # Errors
    /// The store's.
    pub fn trouble(&self, id: &str) -> Result<Option<TroubleIncident>, StoreError> {
        let value = self.0.memory.memo(MemoKind::Incidents, &trouble_key(id))?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    /// Troubles that are not the recipients', and answers that nothing knows; the latest first, at most `limit`. Blocking, short.
    ///
    /// # Errors
    /// The store's.
    pub fn troubles(&self, query: &TroubleQuery, limit: usize) -> Result<Vec<TroubleIncident>, StoreError> {
        let part = query.part.to_lowercase();
        let fits = |t: &TroubleIncident| {
            (part.is_empty() || t.destination.contains(&part) || t.reply.to_lowercase().contains(&part))
                && (!query.unclassified || !t.known)
                && query.from.is_none_or(|from| t.last() >= from)
        };
        let mut all = troubles(&*self.0.memory)?;
        all.retain(fits);
        all.sort_by_key(|t| std::cmp::Reverse(t.last_millis));
        all.truncate(limit);
        Ok(all)
    }
}
