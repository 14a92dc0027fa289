//! Rows of those who are not written to: suppressions, held places, troubles of destinations, unsubscribes.
//!
//! Always: times are RFC 3339 in UTC; an absent time is `null`; a class is CMC's number.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    event::ErrorClass,
    http::when::{Zone, of_rfc3339},
    suppress::{
        acts::{Ended, Imported, Undone},
        incidents::{BrakeIncident, HeldError, TroubleIncident},
        list::Listed,
        row::Entry,
        what_if::{Answer, Side, Told},
    },
    unsubscribe::list::Entry as Left,
};

/// An address on the suppression list, one that came off it, or an exempt one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SuppressionOut {
    /// The address.
    pub address: String,
    /// The API user whose mail it is about; empty: everybody's.
    pub user: String,
    /// `suppressed`, `lifted` or `exempt` (and not on the list).
    pub state: String,
    /// `errors`, `complaint`, `manual`, `import` or `unsubscribe`; empty of an exempt address.
    pub cause: String,
    /// CMC's class of its errors; `null`: none.
    pub class: Option<u8>,
    /// Errors that counted.
    pub occurred: u32,
    /// Since when.
    pub since: Option<String>,
    /// The end of its watch period; `null`: until it is lifted.
    pub until: Option<String>,
    /// The last answer, or the words of whoever put it there.
    pub reason: String,
    /// Who put it there; empty: the thresholds.
    pub operator: String,
    /// The last answer said that the address will never take mail.
    pub hard: bool,
    /// Whose hosts answered; empty: not known.
    pub provider: String,
    /// The incident that held it back before; empty: none.
    pub incident: String,
    /// CMC's id, 13 letters; empty of an exempt address.
    pub id: String,
    /// When it came off the list; `null`: it has not.
    pub lifted_at: Option<String>,
    /// `lift`, `exemption`, `undo` or `watch_end`; empty: it has not.
    pub lifted_by: String,
    /// By whom; empty: by itself.
    pub lifted_operator: String,
    /// Since when its errors do not count; `null`: they do.
    pub exempt_since: Option<String>,
    /// Who exempted it.
    pub exempt_by: String,
}

/// The columns of our own CSV of the list, which an import reads again.
pub const SUPPRESSION_COLUMNS: [&str; 10] =
    ["email", "user", "state", "cause", "class", "occurred", "since", "until", "reason", "operator"];

impl SuppressionOut {
    /// The cells of [`SUPPRESSION_COLUMNS`]; `exempt`: as an exempt address, on the list or not.
    pub fn cells(&self, zone: &Zone, exempt: bool) -> [String; 10] {
        let time = |text: Option<&str>| text.and_then(of_rfc3339).map_or_else(String::new, |at| zone.rfc3339(at));
        let (since, operator, state) = match exempt {
            true => (self.exempt_since.as_deref(), self.exempt_by.clone(), "exempt".to_owned()),
            false => (self.since.as_deref(), self.operator.clone(), self.state.clone()),
        };
        [
            self.address.clone(),
            self.user.clone(),
            state,
            if exempt { String::new() } else { self.cause.clone() },
            if exempt { String::new() } else { self.class.map_or_else(String::new, |class| class.to_string()) },
            if exempt { String::new() } else { self.occurred.to_string() },
            time(since),
            if exempt { String::new() } else { time(self.until.as_deref()) },
            if exempt { String::new() } else { self.reason.clone() },
            operator,
        ]
    }
}

impl From<&Listed> for SuppressionOut {
    fn from(listed: &Listed) -> Self {
        let mut out = SuppressionOut {
            address: listed.address.clone(),
            user: listed.user.clone(),
            state: "exempt".into(),
            exempt_since: listed.exempt.as_ref().map(|e| e.since.rfc3339()),
            exempt_by: listed.exempt.as_ref().map(|e| e.operator.clone()).unwrap_or_default(),
            ..SuppressionOut::default()
        };
        if let Some(entry) = &listed.entry {
            out.fill(entry);
        }
        out
    }
}

impl SuppressionOut {
    fn fill(&mut self, entry: &Entry) {
        self.state = if entry.lifted.is_some() { "lifted" } else { "suppressed" }.to_owned();
        self.cause = entry.cause.word().to_owned();
        self.class = entry.class.map(ErrorClass::code);
        self.occurred = entry.occurred;
        self.since = Some(entry.since.rfc3339());
        self.until = entry.until.map(Timestamp::rfc3339);
        self.reason.clone_from(&entry.reason);
        self.operator.clone_from(&entry.operator);
        self.hard = entry.hard;
        self.provider.clone_from(&entry.provider);
        self.incident.clone_from(&entry.incident);
        self.id = entry.id.to_string();
        if let Some(lifted) = &entry.lifted {
            self.lifted_at = Some(lifted.at.rfc3339());
            self.lifted_by = lifted.by.word().to_owned();
            self.lifted_operator.clone_from(&lifted.operator);
        }
    }
}

/// What became of an act on one address.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SuppressActOut {
    /// The address.
    pub address: String,
    /// Something changed.
    pub done: bool,
    /// The row that it is about; `null`: there is none.
    pub row: Option<SuppressionOut>,
}

/// A row to import, as the command line sends it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportIn {
    /// The address.
    pub address: String,
    /// The API user whose mail it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Our word of a cause.
    pub cause: String,
    /// CMC's class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<u8>,
    /// How many errors it had.
    #[serde(default)]
    pub occurred: u32,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The list that its owner left; empty: it is about all mail.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub list: String,
    /// It is to be exempt instead.
    #[serde(default)]
    pub exempt: bool,
}

/// What became of a batch of an import.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ImportOut {
    /// Came onto the list, or would.
    pub added: u64,
    /// Were there already.
    pub known: u64,
    /// Are exempt, and stay so.
    pub exempt: u64,
    /// Their time is over already.
    pub refused: u64,
    /// Left a list.
    pub unsubscribed: u64,
    /// Became exempt.
    pub exempted: u64,
}

impl ImportOut {
    /// Adds another batch.
    pub fn add(&mut self, other: ImportOut) {
        self.added += other.added;
        self.known += other.known;
        self.exempt += other.exempt;
        self.refused += other.refused;
        self.unsubscribed += other.unsubscribed;
        self.exempted += other.exempted;
    }

    /// Adds what the list answered.
    pub fn take(&mut self, imported: Imported) {
        self.added += imported.added;
        self.known += imported.known;
        self.exempt += imported.exempt;
        self.refused += imported.refused;
    }
}

/// A destination whose unknown users jumped.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HoldOut {
    /// What `release`, `discard` and `undo` take.
    pub id: String,
    /// A recipient domain, or `*.` and a provider.
    pub place: String,
    /// `held`, `released` or `discarded`.
    pub state: String,
    /// When its errors began.
    pub since: String,
    /// When the brake was pulled.
    pub opened: String,
    /// When an operator ended it; `null`: it is held.
    pub ended: Option<String>,
    /// Who ended it.
    pub operator: String,
    /// Unknown users among the last results when it was opened.
    pub errors: u32,
    /// Those results.
    pub results: u32,
    /// Their share, in percent.
    pub rate_percent: u32,
    /// The share in its past, in tenths of a percent.
    pub past_permille: u32,
    /// Errors that are held.
    pub held: u64,
    /// Errors that came after there was no more room.
    pub lost: u64,
    /// What the last one said.
    pub example: String,
}

impl From<&BrakeIncident> for HoldOut {
    fn from(i: &BrakeIncident) -> Self {
        HoldOut {
            id: i.id.clone(),
            place: i.place.clone(),
            state: i.state.word().to_owned(),
            since: i.since().rfc3339(),
            opened: i.opened().rfc3339(),
            ended: i.ended().map(Timestamp::rfc3339),
            operator: i.operator.clone(),
            errors: i.errors,
            results: i.results,
            rate_percent: i.rate_percent,
            past_permille: i.past_permille,
            held: i.held,
            lost: i.lost,
            example: i.example.clone(),
        }
    }
}

/// An error that a held place holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HeldOut {
    /// The address.
    pub address: String,
    /// The API user whose mail it is about; empty: everybody's.
    pub user: String,
    /// When.
    pub at: String,
    /// CMC's class.
    pub class: u8,
    /// What the destination said.
    pub reply: String,
}

impl From<&HeldError> for HeldOut {
    fn from(held: &HeldError) -> Self {
        HeldOut {
            address: held.address.clone(),
            user: held.user.clone(),
            at: held.error.at.rfc3339(),
            class: held.error.class.code(),
            reply: held.reply.clone(),
        }
    }
}

/// What ending a held place did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EndedOut {
    /// Errors that were held.
    pub errors: u64,
    /// Addresses that came onto the list.
    pub suppressed: u64,
}

impl From<Ended> for EndedOut {
    fn from(ended: Ended) -> Self {
        EndedOut { errors: ended.errors, suppressed: ended.suppressed }
    }
}

/// What an undo did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UndoneOut {
    /// Addresses that were lifted.
    pub lifted: u64,
    /// Addresses that were not on the list yet, and whose errors no longer count.
    pub forgotten: u64,
    /// The lifted ones, the first ten thousand; the operation log names all.
    pub addresses: Vec<String>,
}

impl From<Undone> for UndoneOut {
    fn from(undone: Undone) -> Self {
        UndoneOut { lifted: undone.lifted, forgotten: undone.forgotten, addresses: undone.addresses }
    }
}

/// A trouble of a destination that is not the recipients'.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TroubleOut {
    /// What `suppress undo` takes.
    pub id: String,
    /// The recipients' domain.
    pub destination: String,
    /// Whose trouble it is.
    pub trouble: String,
    /// CMC's class.
    pub class: u8,
    /// A rule or an enhanced code knows what the answer means.
    pub known: bool,
    /// How often it came.
    pub count: u64,
    /// When first.
    pub first: String,
    /// When last.
    pub last: String,
    /// The answer without what differs from mail to mail.
    pub reply: String,
    /// The last answer, as it came.
    pub example: String,
}

impl From<&TroubleIncident> for TroubleOut {
    fn from(t: &TroubleIncident) -> Self {
        TroubleOut {
            id: t.id.clone(),
            destination: t.destination.clone(),
            trouble: t.trouble.word().to_owned(),
            class: t.class.code(),
            known: t.known,
            count: t.count,
            first: t.first().rfc3339(),
            last: t.last().rfc3339(),
            reply: t.reply.clone(),
            example: t.example.clone(),
        }
    }
}

/// What other thresholds would have done.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TryOut {
    /// Events that were looked at.
    pub events: u64,
    /// The time of the first; `null`: the log is empty.
    pub from: Option<String>,
    /// Addresses with errors that count.
    pub addresses: u64,
    /// Addresses that would be on the list now.
    pub would_be: u64,
    /// Of them, those that are not.
    pub added: SideOut,
    /// On the list for their errors, and would not be. They stay: no setting lifts anybody.
    pub spared: SideOut,
    /// On the list for errors that are older than the log.
    pub unknown: u64,
    /// Errors left out for want of memory.
    pub left_out: u64,
}

/// One side of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SideOut {
    /// Addresses in all.
    pub count: u64,
    /// By CMC's class; 0: none was said.
    pub classes: std::collections::BTreeMap<u8, u64>,
    /// By destination, the most first.
    pub destinations: Vec<(String, u64)>,
    /// The first thousand.
    pub addresses: Vec<ToldOut>,
}

/// An address of one side.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ToldOut {
    /// The address.
    pub address: String,
    /// The API user whose mail it is about; empty: everybody's.
    pub user: String,
    /// CMC's class.
    pub class: Option<u8>,
    /// Errors that counted.
    pub occurred: u32,
    /// Since when it would be, or is, on the list.
    pub since: String,
}

impl From<&Answer> for TryOut {
    fn from(answer: &Answer) -> Self {
        TryOut {
            events: answer.events,
            from: answer.from.map(Timestamp::rfc3339),
            addresses: answer.addresses,
            would_be: answer.would_be,
            added: SideOut::from(&answer.added),
            spared: SideOut::from(&answer.spared),
            unknown: answer.unknown,
            left_out: answer.left_out,
        }
    }
}

impl From<&Side> for SideOut {
    fn from(side: &Side) -> Self {
        SideOut {
            count: side.count,
            classes: side.classes.clone(),
            destinations: side.destinations.clone(),
            addresses: side.addresses.iter().map(ToldOut::from).collect(),
        }
    }
}

impl From<&Told> for ToldOut {
    fn from(told: &Told) -> Self {
        ToldOut {
            address: told.address.clone(),
            user: told.user.clone(),
            class: told.class.map(ErrorClass::code),
            occurred: told.occurred,
            since: told.since.rfc3339(),
        }
    }
}

/// Who left a list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UnsubscribeOut {
    /// The address.
    pub address: String,
    /// The list: the name of its filter.
    pub list: String,
    /// When.
    pub created: String,
    /// `link`, `form`, `manual`, `import` or `complaint`.
    pub how: String,
    /// From when on no mail of the list goes there.
    pub effective_from: String,
}

impl From<&Left> for UnsubscribeOut {
    fn from(left: &Left) -> Self {
        UnsubscribeOut {
            address: left.address.clone(),
            list: left.row.list.clone(),
            created: left.row.created().rfc3339(),
            how: left.row.how.word().to_owned(),
            effective_from: left.row.effective_from().rfc3339(),
        }
    }
}

/// Addresses that are to be written to again, or that leave.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsubscribeIn {
    /// The addresses.
    pub addresses: Vec<String>,
    /// The list; empty: every list.
    #[serde(default)]
    pub list: String,
}

/// What such an act did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UnsubscribedOut {
    /// Rows that went or came.
    pub rows: u64,
}

/// The lists at a glance, in the status.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ListsOut {
    /// Rows of the suppression list: addresses on it, exempt ones, and those that came off it lately.
    pub suppressions: u64,
    /// Addresses on it now; `null`: the list is too long to be counted for every look.
    pub suppressed: Option<u64>,
    /// When the thresholds were last applied to all addresses; `null`: never.
    pub last_run: Option<String>,
    /// Destinations whose errors are held until an operator looks.
    pub held: Vec<HoldOut>,
    /// Who left a list.
    pub unsubscribes: u64,
}
