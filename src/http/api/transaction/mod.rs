//! The Transactional API: logs, lists, statistics and the queue.
//!
//! ```text
//! path ─► ACTIONS ─► ask, caller (the action's right) ─► logs, blocks, unsubscribes, statistics, auditlogs, queue, messages, domains, dmarc
//!                                                           │ list: paging         │ download: ZIP of CSV, while it is read
//!                                                           ▼                      ▼
//!                                                         reply                 archive
//! ```
//!
//! In: a request and what its path names behind `/transaction/v2/`.  Out: a response, or the fault.
//! Always: what a caller reads of deliveries, bounces, statistics and the queue is its own mail alone, where its rights say so;
//! every list is paged and looks for a bounded time; every change and every download is written to the operation log with user
//! and address; rows have exactly the keys that clients know.
//! Sources: cmc.md §4–§9, §17.

pub(super) mod auditlogs;
mod blocks;
pub(super) mod diagnosis;
pub(super) mod dmarc;
pub(super) mod domains;
mod download;
pub(super) mod logs;
pub(super) mod messages;
pub mod paging;
mod period;
pub(super) mod queue;
pub(super) mod statistics;
#[cfg(test)]
mod tests;
pub(super) mod unsubscribes;

use super::{
    Format, Language,
    ask::Ask,
    caller::{self, Access, Caller},
    fault::{Fault, Unit, Why},
};
use crate::{
    clock::Timestamp,
    http::{
        daemon::Daemon,
        exchange::{Request, Response},
    },
    smtp::address::Mailbox,
    store::{AuditEntry, Role, StoreError},
};

/// Characters of a text to search for at most: the longest address, and some.
const SEARCH_MAX: usize = 512;
/// Addresses that one change names at most.
const EMAILS_MAX: usize = 1_000;

/// An action of the API.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// Its path behind `/transaction/v2/`, without the suffix.
    pub path: &'static str,
    /// What it needs.
    pub access: Access,
    run: fn(&Call<'_>) -> Result<Response, Fault>,
}

const fn action(path: &'static str, access: Access, run: fn(&Call<'_>) -> Result<Response, Fault>) -> Action {
    Action { path, access, run }
}

/// Every action.
pub const ACTIONS: &[Action] = &[
    action("deliveries/list", Access::View, logs::deliveries),
    action("deliveries/download", Access::Download, logs::deliveries_download),
    action("bounces/list", Access::View, logs::bounces),
    action("bounces/download", Access::Download, logs::bounces_download),
    action("blocks/list", Access::View, blocks::list),
    action("blocks/add", Access::Change, blocks::add),
    action("blocks/delete", Access::Change, blocks::delete),
    action("blocks/cancel", Access::Change, blocks::cancel),
    action("blocks/download", Access::Download, blocks::download_list),
    action("statistics/list", Access::View, statistics::list),
    action("unsubscribes/list", Access::View, unsubscribes::list),
    action("unsubscribes/cancel", Access::Change, unsubscribes::cancel),
    action("unsubscribes/download", Access::Download, unsubscribes::download_list),
    action("auditlogs/list", Access::View, auditlogs::list),
    action("auditlogs/download", Access::Download, auditlogs::download_list),
    action("queue/list", Access::View, queue::list),
    action("queue/flush", Access::Change, queue::flush),
    action("queue/hold", Access::Change, queue::hold),
    action("queue/release", Access::Change, queue::release),
    action("queue/drop", Access::Change, queue::drop),
    action("messages/find", Access::View, messages::find),
    action("domains/check", Access::View, domains::check),
    action("domains/diagnose", Access::View, diagnosis::diagnose),
    action("dmarc/daily", Access::View, dmarc::daily),
    action("dmarc/sources", Access::View, dmarc::sources),
    action("dmarc/reports", Access::View, dmarc::reports),
    action("dmarc/advice", Access::View, dmarc::advice),
    action("dmarc/alarms", Access::View, dmarc::alarms),
    action("dmarc/import", Access::Change, dmarc::import),
];

/// Answers `action`, e.g. `deliveries/list`.
///
/// # Errors
/// What is wrong with the call.
pub fn route(daemon: &dyn Daemon, request: &Request, action: &str, format: Format) -> Result<Response, Fault> {
    let action = ACTIONS.iter().find(|known| known.path == action).ok_or_else(|| Why::NotFound.fault())?;
    let ask = Ask::read(request)?;
    let caller = caller::of(daemon, request, &ask, action.access)?;
    request.account.get_or_init(|| caller.name.clone());
    let language = Language::of_header(&request.accept_language);
    (action.run)(&Call { daemon, ask, caller, format, language, path: &request.path })
}

/// A call whose caller was let in.
struct Call<'c> {
    daemon: &'c dyn Daemon,
    ask: Ask<'c>,
    caller: Caller,
    format: Format,
    language: Language,
    path: &'c str,
}

impl Call<'_> {
    /// Whose mail it may read; empty: everybody's.
    fn own_user(&self) -> String {
        if self.caller.rights.own_data_only { self.caller.name.clone() } else { String::new() }
    }

    /// The server composition that the call names is ours.
    fn composition(&self) -> Result<(), Fault> {
        self.ask.required("server_composition")?;
        self.composition_if_named()
    }

    fn composition_if_named(&self) -> Result<(), Fault> {
        match self.ask.text("server_composition")? {
            Some(name) if name != self.daemon.composition() => Err(Why::Unknown.of("server_composition")),
            Some(_) | None => Ok(()),
        }
    }

    /// A text to search for; empty: none is set.
    fn search(&self, name: &str) -> Result<String, Fault> {
        let text = self.ask.text(name)?.unwrap_or_default();
        if text.chars().count() > SEARCH_MAX {
            return Err(Why::TooLong { max: SEARCH_MAX, unit: Unit::Characters }.of(name));
        }
        Ok(text)
    }

    /// The addresses of a change: `email`, one or many.
    fn emails(&self) -> Result<Vec<Mailbox>, Fault> {
        let texts = self.ask.texts("email")?;
        if texts.is_empty() {
            return Err(Why::Missing.of("email"));
        }
        if texts.len() > EMAILS_MAX {
            return Err(Why::TooMany { max: EMAILS_MAX }.of("email"));
        }
        let many = texts.len() > 1;
        let mailbox = |(n, text): (usize, &String)| {
            let field = if many { format!("email[{n}]") } else { "email".to_owned() };
            Mailbox::parse(text.trim()).map_err(|_| Why::BadAddress.of(field))
        };
        let (mut good, mut wrong): (Vec<Mailbox>, Option<Fault>) = (Vec::new(), None);
        for read in texts.iter().enumerate().map(mailbox) {
            match (read, wrong.take()) {
                (Ok(mailbox), before) => {
                    good.push(mailbox);
                    wrong = before;
                }
                (Err(fault), Some(before)) => wrong = Some(before.and(fault)),
                (Err(fault), None) => wrong = Some(fault),
            }
        }
        wrong.map_or(Ok(good), Err)
    }

    /// What only API group administrators may read.
    fn administrators_only(&self) -> Result<(), Fault> {
        match self.caller.rights.role {
            Role::GroupAdministrator => Ok(()),
            Role::User | Role::ReportViewer => Err(self.denied("group administrators only")),
        }
    }

    /// The caller lacks a right, which goes to the operation log.
    fn denied(&self, what: &str) -> Fault {
        caller::denied(self.daemon, &self.caller.name, self.caller.source, self.path, what);
        Why::NoRight.fault()
    }

    /// Writes what was done to the operation log.
    fn note(&self, act: &str, object: String, detail: String) -> Result<(), Fault> {
        let entry = AuditEntry {
            at: self.daemon.now(),
            who: self.caller.name.clone(),
            from: self.caller.source.to_string(),
            act: act.to_owned(),
            object,
            detail,
        };
        self.daemon.audit(entry).map_err(|error| stored(&error))
    }

    /// Until when this call may look.
    fn deadline(&self) -> paging::Deadline {
        paging::Deadline::of(self.daemon.clock())
    }
}

/// What the store said, as a caller hears it; the daemon's log has the rest.
fn stored(error: &StoreError) -> Fault {
    match error {
        StoreError::Closed | StoreError::Full => Why::Unavailable.fault(),
        StoreError::Refused(_)
        | StoreError::Failed(_)
        | StoreError::Damaged(_)
        | StoreError::Newer(_)
        | StoreError::InUse(_)
        | StoreError::Read { .. } => {
            log::error!("http=api error={error:?}");
            Why::System.fault()
        }
    }
}

/// A time as rows have it; empty: none, or never.
fn time_of(zone: &crate::when::Zone, at: Option<Timestamp>) -> String {
    at.filter(|at| *at != Timestamp::MAX).map(|at| zone.full(at)).unwrap_or_default()
}
