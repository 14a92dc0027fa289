//! Saved views: filters of a page that a person keeps under a name.
//!
//! In: a page, the text of its filters, a name.  Out: the views of that person and page, by name.
//! Always: a view belongs to one account, and to nobody who later gets the same name; at most [`VIEWS_MAX`] each; it is what the
//! address of the page says, and is read as anybody's address is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol::future::block_on;

use crate::{
    clock::Timestamp,
    store::{Account, MemoChange, MemoKind, Memos, StoreError},
};

/// Views of one person.
pub const VIEWS_MAX: usize = 50;
/// Letters of a name at most.
pub const NAME_MAX: usize = 60;
/// Octets of the filters' text at most.
pub const QUERY_MAX: usize = 1_000;
/// What parts the account from the view in a key; no account's name holds it.
const MARK: char = '\n';
/// Views of accounts that are gone that one save forgets at most.
const FORGOTTEN_A_SAVE_MAX: usize = 200;

/// A saved view.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct View {
    /// What it is called.
    pub name: String,
    /// The page: a word of that page's own.
    pub page: String,
    /// The page's filters, as its address has them: `recipient=a&status=failed`.
    pub query: String,
    /// When it was saved, in milliseconds.
    made: u64,
}

/// Why a view is not saved.
#[derive(Debug, thiserror::Error)]
pub enum NotSaved {
    /// The name is empty, too long or more than a line.
    #[error("a name is one line of 1 to {NAME_MAX} letters")]
    Name,
    /// The filters are too long.
    #[error("the filters of a view have at most {QUERY_MAX} octets")]
    Query,
    /// There are too many.
    #[error("an account keeps {VIEWS_MAX} views at most: remove one first")]
    TooMany,
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The views of everybody.
pub struct Views(Arc<dyn Memos>);

impl Views {
    /// Those that these memos hold.
    pub fn new(memos: Arc<dyn Memos>) -> Self {
        Views(memos)
    }

    /// The views of an account for a page, by name.
    ///
    /// # Errors
    /// What the store said.
    pub fn of(&self, account: &Account, page: &str) -> Result<Vec<View>, StoreError> {
        let mut views = self.all_of(account)?;
        views.retain(|view| view.page == page);
        views.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(views)
    }

    fn all_of(&self, account: &Account) -> Result<Vec<View>, StoreError> {
        let found = self.0.memos(MemoKind::Views, &key(&account.name, "", ""), None, VIEWS_MAX * 2)?;
        let read = |(_, value): &(String, Vec<u8>)| serde_json::from_slice::<View>(value).ok();
        Ok(found.iter().filter_map(read).filter(|view| is_theirs(view, account)).collect())
    }

    /// Saves a view over one of the same page and name. `accounts` are all there are: views of others are forgotten.
    ///
    /// # Errors
    /// [`NotSaved`].
    pub fn save(
        &self,
        account: &Account,
        accounts: &[Account],
        page: &str,
        name: &str,
        query: &str,
        now: Timestamp,
    ) -> Result<(), NotSaved> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(NotSaved::Name);
        }
        if query.len() > QUERY_MAX {
            return Err(NotSaved::Query);
        }
        let known = self.all_of(account)?;
        let replaces = known.iter().any(|view| view.page == page && view.name == name);
        if !replaces && known.len() >= VIEWS_MAX {
            return Err(NotSaved::TooMany);
        }
        let mut changes = self.of_others(accounts)?;
        let view = View { name: name.into(), page: page.into(), query: query.into(), made: now.as_millis() };
        let value = serde_json::to_vec(&view).map_err(|e| StoreError::Refused(e.to_string()))?;
        changes.push(MemoChange { kind: MemoKind::Views, key: key(&account.name, page, name), value: Some(value) });
        Ok(block_on(self.0.put_memos(changes))?)
    }

    /// Forgets a view; one that is not there is forgotten already.
    ///
    /// # Errors
    /// What the store said.
    pub fn forget(&self, account: &Account, page: &str, name: &str) -> Result<(), StoreError> {
        let key = key(&account.name, page, name);
        block_on(self.0.put_memos(vec![MemoChange { kind: MemoKind::Views, key, value: None }]))
    }

    /// Forgets all views of an account, which goes.
    ///
    /// # Errors
    /// What the store said.
    pub fn forget_all(&self, account: &str) -> Result<(), StoreError> {
        let found = self.0.memos(MemoKind::Views, &key(account, "", ""), None, VIEWS_MAX * 2)?;
        let gone = found.into_iter().map(|(key, _)| MemoChange { kind: MemoKind::Views, key, value: None });
        block_on(self.0.put_memos(gone.collect()))
    }

    /// What forgets the views of accounts that are gone.
    fn of_others(&self, accounts: &[Account]) -> Result<Vec<MemoChange>, StoreError> {
        let (mut gone, mut after) = (Vec::new(), None::<String>);
        while gone.len() < FORGOTTEN_A_SAVE_MAX {
            let found = self.0.memos(MemoKind::Views, "", after.as_deref(), 500)?;
            let Some((last, _)) = found.last() else { break };
            after = Some(last.clone());
            for (key, value) in found {
                let name = key.split(MARK).next().unwrap_or_default();
                let view = serde_json::from_slice::<View>(&value).ok();
                let owner = accounts.iter().find(|account| account.name == name);
                if !owner.is_some_and(|owner| view.is_some_and(|view| is_theirs(&view, owner))) {
                    gone.push(MemoChange { kind: MemoKind::Views, key, value: None });
                }
            }
        }
        gone.truncate(FORGOTTEN_A_SAVE_MAX);
        Ok(gone)
    }
}

fn key(account: &str, page: &str, name: &str) -> String {
    let parts = [account, page, name];
    parts.iter().filter(|part| !part.is_empty()).fold(String::new(), |key, part| key + part + &MARK.to_string())
}

/// An account that was made later is somebody else's, whatever its name.
fn is_theirs(view: &View, account: &Account) -> bool {
    view.made >= account.created_at.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        secret::Secret,
        store::{AccountKind, Person, Rights},
        tls_report::fake::RamMemos,
    };

    fn account(name: &str, made: u64) -> Account {
        let at = Timestamp::from_millis(made);
        Account {
            name: name.into(),
            kind: AccountKind::Console,
            hash: Secret::new(String::new()),
            created_at: at,
            password_set_at: at,
            rights: Rights::default(),
            person: Person::default(),
        }
    }

    #[test]
    fn a_view_is_its_owners_until_it_is_forgotten_and_nobodys_who_comes_later() {
        let views = Views::new(Arc::new(RamMemos::default()));
        let (mari, ken) = (account("mari@example.jp", 1), account("ken@example.jp", 1));
        let all = [mari.clone(), ken.clone()];
        let now = Timestamp::from_millis(1_000);
        let save = |who: &Account, name: &str, query: &str| views.save(who, &all, "errors", name, query, now);
        save(&mari, " 容量超過 ", "class=5").unwrap();
        save(&mari, "docomo", "domain=docomo.ne.jp").unwrap();
        save(&mari, "docomo", "domain=docomo.ne.jp&class=4").unwrap();
        save(&ken, "mine", "class=2").unwrap();
        let names = |who: &Account, page: &str| {
            views.of(who, page).unwrap().into_iter().map(|v| (v.name, v.query)).collect::<Vec<_>>()
        };
        assert_eq!(
            names(&mari, "errors"),
            [("docomo".into(), "domain=docomo.ne.jp&class=4".into()), ("容量超過".into(), "class=5".into())]
        );
        assert!(names(&mari, "queue").is_empty());
        assert!(names(&account("mari@example.jp", 2_000), "errors").is_empty(), "another person of that name");
        views.forget(&mari, "errors", "docomo").unwrap();
        assert_eq!(names(&mari, "errors").len(), 1);
        // An account that is gone loses its views when the next one is saved.
        views.save(&mari, &all[..1], "queue", "held", "held=1", now).unwrap();
        assert!(names(&ken, "errors").is_empty());
        assert_eq!((names(&mari, "errors").len(), names(&mari, "queue").len()), (1, 1));
    }

    #[test]
    fn names_filters_and_the_number_of_views_are_bounded() {
        let views = Views::new(Arc::new(RamMemos::default()));
        let mari = account("mari@example.jp", 1);
        let all = [mari.clone()];
        let now = Timestamp::from_millis(1_000);
        for bad in ["", "  ", "a\nb", &"x".repeat(NAME_MAX + 1)] {
            assert!(matches!(views.save(&mari, &all, "queue", bad, "", now), Err(NotSaved::Name)), "{bad:?}");
        }
        let long = "x".repeat(QUERY_MAX + 1);
        assert!(matches!(views.save(&mari, &all, "queue", "a", &long, now), Err(NotSaved::Query)));
        for n in 0..VIEWS_MAX {
            views.save(&mari, &all, "queue", &format!("v{n}"), "", now).unwrap();
        }
        assert!(matches!(views.save(&mari, &all, "queue", "more", "", now), Err(NotSaved::TooMany)));
        views.save(&mari, &all, "queue", "v1", "held=1", now).unwrap();
    }
}
