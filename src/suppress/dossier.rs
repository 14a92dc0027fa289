//! All that is known of one address, as data: for the page that shows it in the reader's language.
//!
//! In: an address.  Out: a [`Dossier`].
//! Always: bounded; what blocks mail is read from the rows that block it; a stay whose watch period is over counts as ended.

use super::{
    Suppressions,
    incidents::{BrakeIncident, HoldState, brake_incidents, domain_of},
    list::readable,
    row::{AddressError, Entry, Exemption, SCOPE_MARK, read_history, split_key},
    rules::threshold,
};
use crate::{
    smtp::address::Mailbox,
    store::{MemoKind, StoreError},
    unsubscribe::row as unsubscribed,
};

/// Submitters with rows of their own that are told, and lists that the address left.
pub const ROWS_MAX: usize = 100;
/// Errors of one submitter that are told, the newest.
pub const ERRORS_SHOWN_MAX: usize = 50;

/// An error that may count, with how many days of its kind suppress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// The error.
    pub error: AddressError,
    /// Days with such an error that put the address on the list; 0: they never do.
    pub threshold: u32,
}

/// What is stored of an address for one submitter's mail.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scoped {
    /// For whose mail; empty: for everybody's.
    pub user: String,
    /// Its stay on the list.
    pub now: Option<Entry>,
    /// Earlier ones, newest first.
    pub past: Vec<Entry>,
    /// Its errors do not count.
    pub exempt: Option<Exemption>,
    /// Its errors within the window, newest first, at most [`ERRORS_SHOWN_MAX`].
    pub errors: Vec<Counted>,
    /// What the last of them said.
    pub reply: String,
}

/// See the file's head.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dossier {
    /// The address, in lower case.
    pub address: String,
    /// First what is for everybody's mail, if there is any; then by submitter.
    pub scopes: Vec<Scoped>,
    /// The held places that hold its errors back.
    pub held: Vec<BrakeIncident>,
    /// The lists that it left.
    pub left: Vec<unsubscribed::Row>,
}

impl Dossier {
    /// Somebody's mail does not go there, whoever submits it or some of them.
    pub fn is_on(&self) -> bool {
        self.scopes.iter().any(|scope| scope.now.is_some())
    }
}

impl Suppressions {
    /// What is known of an address. Blocking, short.
    ///
    /// # Errors
    /// The store's.
    pub fn dossier(&self, address: &Mailbox) -> Result<Dossier, StoreError> {
        let (memory, now) = (&self.0.memory, self.0.clock.now());
        let settings = &self.0.config.get().suppression;
        let address = address.as_str().to_lowercase();
        let of_users = format!("{address}{SCOPE_MARK}");
        let mut keys = vec![address.clone()];
        for kind in [MemoKind::Suppressions, MemoKind::AddressErrors] {
            keys.extend(memory.memo_keys(kind, &of_users, None, ROWS_MAX)?);
        }
        keys.sort_unstable();
        keys.dedup();
        keys.truncate(ROWS_MAX);
        let floor = now.minus(settings.thresholds.window);
        let mut out = Dossier { address: address.clone(), ..Dossier::default() };
        let mut provider = String::new();
        for key in keys {
            let value = memory.memo(MemoKind::Suppressions, &key)?;
            let mut row = value.and_then(|value| readable(&key, &value)).unwrap_or_default();
            row.end_watch(now);
            let history = memory.memo(MemoKind::AddressErrors, &key)?.and_then(|value| read_history(&value));
            let history = history.unwrap_or_default();
            if row.is_empty() && history.errors.is_empty() {
                continue;
            }
            let of = |error: &AddressError| threshold(error.class, error.trouble, &settings.thresholds);
            let errors = history.errors.iter().filter(|error| error.at >= floor).rev().take(ERRORS_SHOWN_MAX);
            if !history.provider.is_empty() {
                provider.clone_from(&history.provider);
            }
            out.scopes.push(Scoped {
                user: split_key(&key).1.to_owned(),
                now: row.now,
                past: row.past,
                exempt: row.exempt,
                errors: errors.map(|error| Counted { threshold: of(error), error: error.clone() }).collect(),
                reply: history.reply,
            });
        }
        let domain = domain_of(&address);
        let mut held = brake_incidents(&**memory)?;
        held.retain(|incident| {
            let is_its_place = incident.place == domain || (!provider.is_empty() && incident.place == provider);
            incident.state == HoldState::Held && is_its_place
        });
        out.held = held;
        let left = memory.memos(MemoKind::Unsubscribes, &unsubscribed::prefix(&address), None, ROWS_MAX)?;
        out.left = left.iter().filter_map(|(_, value)| unsubscribed::Row::of_value(value)).collect();
        Ok(out)
    }
}
