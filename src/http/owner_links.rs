//! Links for application owners: whoever has one sees an API user's own numbers, and nothing else.
//!
//! In: who makes a link for which API user, tokens.  Out: the link's token once, the link of a token, all links.
//! Always: the store holds a token's SHA-256 only, so that nobody reads a link out of a backup; making and revoking stand in the
//! operation log, in the transaction of the change; a link ends when it is revoked, at its end, or with its API user, and opens
//! nothing of a later one of the same name ([`OwnerLink::is_of`]); links are bounded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    clock::{Clock, Timestamp},
    ids::hex,
    secret::{self, Secret, TOKEN_LEN},
    store::{Account, AccountKind, AuditEntry, MemoChange, MemoKind, Store, StoreError, Writing},
};

/// Links at most.
pub const LINKS_MAX: usize = 100;
/// Characters of a note.
pub const NOTE_MAX: usize = 200;
/// The longest life that a link may be given; one may also have no end.
pub const LIFE_MAX: Duration = Duration::from_secs(400 * 86_400);
/// Pages that are made at once: whoever got hold of a link may keep no more of the server's threads busy.
const TURNS_MAX: usize = 2;

/// A link, without its token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnerLink {
    /// The digest of its token, in hexadecimal digits: names it in forms and in the operation log.
    pub id: String,
    /// The API user whose numbers it shows.
    pub user: String,
    /// For whom it was made, in the words of who made it.
    pub note: String,
    /// The account that made it.
    pub made_by: String,
    /// When.
    pub made_at: Timestamp,
    /// Its end, if it has one.
    pub ends_at: Option<Timestamp>,
}

impl OwnerLink {
    /// The first digits of the id: enough for people to tell a hundred links apart.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// It was made for this API user: an account that was made later is somebody else's, whatever its name.
    pub fn is_of(&self, account: &Account) -> bool {
        account.kind == AccountKind::Api && account.name == self.user && self.made_at >= account.created_at
    }
}

/// A link as its memo has it.
#[derive(Serialize, Deserialize)]
struct Row {
    user: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    by: String,
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<u64>,
}

/// Who makes or revokes a link, for the operation log.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// The account's name.
    pub who: &'a str,
    /// Its address.
    pub from: &'a str,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There are [`LINKS_MAX`].
    #[error("there are {LINKS_MAX} links already: revoke one that nobody uses")]
    TooMany,
    /// The system gave no random octets.
    #[error("the system gives no random bytes")]
    NoRandom,
    /// The store's failure.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Where links are kept.
pub trait LinkShelf: Send + Sync + 'static {
    /// A row.
    fn link(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// The first rows, by key.
    fn links(&self, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
    /// Writes or forgets a row, with its entry of the operation log, in one transaction.
    fn put_link(&self, change: MemoChange, audit: AuditEntry) -> Writing<'_>;
}

impl LinkShelf for Store {
    fn link(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.memo(MemoKind::OwnerLinks, key)
    }

    fn links(&self, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.memos(MemoKind::OwnerLinks, "", None, limit)
    }

    fn put_link(&self, change: MemoChange, audit: AuditEntry) -> Writing<'_> {
        Box::pin(self.put_memos_as(vec![change], Some(audit)))
    }
}

/// The links; clones share them.
#[derive(Clone)]
pub struct OwnerLinks {
    shelf: Arc<dyn LinkShelf>,
    clock: Clock,
    turns: Arc<AtomicUsize>,
}

/// A page is being made; dropped, the next one may be.
#[derive(Debug)]
pub struct Turn(Arc<AtomicUsize>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl OwnerLinks {
    /// The links of a store.
    pub fn new(shelf: Arc<dyn LinkShelf>, clock: Clock) -> Self {
        OwnerLinks { shelf, clock, turns: Arc::default() }
    }

    /// The turn to make a page; `None`: enough are being made.
    pub fn turn(&self) -> Option<Turn> {
        let more = |n: usize| (n < TURNS_MAX).then_some(n + 1);
        self.turns.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Turn(self.turns.clone()))
    }

    /// Makes a link to the numbers of `user`; answers its token, which is not kept.
    ///
    /// # Errors
    /// Too many, no random octets, the store's failure.
    pub async fn add(
        &self,
        user: &str,
        note: &str,
        life: Option<Duration>,
        by: By<'_>,
    ) -> Result<(OwnerLink, Secret<String>), LinkError> {
        if self.shelf.links(LINKS_MAX)?.len() >= LINKS_MAX {
            return Err(LinkError::TooMany);
        }
        let now = self.clock.now();
        let token = secret::token().ok_or(LinkError::NoRandom)?;
        let link = OwnerLink {
            id: digest(token.reveal()),
            user: user.to_owned(),
            note: note.chars().take(NOTE_MAX).collect(),
            made_by: by.who.to_owned(),
            made_at: now,
            ends_at: life.map(|life| now.plus(life.min(LIFE_MAX))),
        };
        let row = Row {
            user: link.user.clone(),
            note: link.note.clone(),
            by: link.made_by.clone(),
            at: now.as_millis(),
            ends: link.ends_at.map(Timestamp::as_millis),
        };
        let value = serde_json::to_vec(&row).expect("a struct of strings and numbers");
        let ends = link.ends_at.map_or_else(|| "never".to_owned(), Timestamp::rfc3339_seconds);
        let detail = format!("ends={ends} note={:?}", link.note);
        self.put(&link, Some(value), "owner_link.add", detail, by).await?;
        Ok((link, token))
    }

    /// Revokes a link; `None`: there is none of that id.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn revoke(&self, id: &str, by: By<'_>) -> Result<Option<OwnerLink>, LinkError> {
        let Some(link) = self.read(id)? else { return Ok(None) };
        self.put(&link, None, "owner_link.revoke", String::new(), by).await?;
        Ok(Some(link))
    }

    /// Revokes all links of an API user, which goes; answers how many.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn forget_user(&self, user: &str, by: By<'_>) -> Result<usize, LinkError> {
        let links: Vec<OwnerLink> = self.all()?.into_iter().filter(|link| link.user == user).collect();
        for link in &links {
            self.put(link, None, "owner_link.revoke", "its API user was removed".to_owned(), by).await?;
        }
        Ok(links.len())
    }

    async fn put(
        &self,
        link: &OwnerLink,
        value: Option<Vec<u8>>,
        act: &str,
        detail: String,
        by: By<'_>,
    ) -> Result<(), StoreError> {
        let change = MemoChange { kind: MemoKind::OwnerLinks, key: link.id.clone(), value };
        let audit = AuditEntry {
            at: self.clock.now(),
            who: by.who.to_owned(),
            from: by.from.to_owned(),
            act: act.to_owned(),
            object: format!("link={} user={}", link.short_id(), link.user),
            detail,
        };
        self.shelf.put_link(change, audit).await
    }

    /// The link of a token that counts now.
    ///
    /// # Errors
    /// The store's failure.
    pub fn of_token(&self, token: &str) -> Result<Option<OwnerLink>, StoreError> {
        if token.len() != TOKEN_LEN || !token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Ok(None);
        }
        let link = self.read(&digest(token))?;
        Ok(link.filter(|link| link.ends_at.is_none_or(|end| self.clock.now() < end)))
    }

    fn read(&self, id: &str) -> Result<Option<OwnerLink>, StoreError> {
        if id.len() != 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        Ok(self.shelf.link(id)?.and_then(|row| link_of(id.to_owned(), &row)))
    }

    /// All links, the newest first; those whose end has come with them, until somebody revokes them.
    ///
    /// # Errors
    /// The store's failure.
    pub fn all(&self) -> Result<Vec<OwnerLink>, StoreError> {
        let rows = self.shelf.links(LINKS_MAX)?;
        let mut links: Vec<OwnerLink> = rows.into_iter().filter_map(|(id, row)| link_of(id, &row)).collect();
        links.sort_by(|a, b| b.made_at.cmp(&a.made_at).then_with(|| a.id.cmp(&b.id)));
        Ok(links)
    }
}

/// A row that cannot be read is nobody's link.
fn link_of(id: String, row: &[u8]) -> Option<OwnerLink> {
    let Row { user, note, by, at, ends } = serde_json::from_slice(row).ok()?;
    let (made_at, ends_at) = (Timestamp::from_millis(at), ends.map(Timestamp::from_millis));
    Some(OwnerLink { id, user, note, made_by: by, made_at, ends_at })
}

fn digest(token: &str) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()).as_ref())
}

/// A shelf in RAM, for tests of this room and of the pages.
#[cfg(test)]
pub(crate) mod fake {
    use std::{collections::BTreeMap, sync::Mutex};

    use super::*;

    #[derive(Default)]
    pub(crate) struct RamLinks {
        pub rows: Mutex<BTreeMap<String, Vec<u8>>>,
        pub audits: Mutex<Vec<AuditEntry>>,
    }

    impl LinkShelf for RamLinks {
        fn link(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.rows.lock().expect("no panic before").get(key).cloned())
        }

        fn links(&self, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
            let rows = self.rows.lock().expect("no panic before");
            Ok(rows.iter().take(limit).map(|(k, v)| (k.clone(), v.clone())).collect())
        }

        fn put_link(&self, change: MemoChange, audit: AuditEntry) -> Writing<'_> {
            Box::pin(async move {
                let mut rows = self.rows.lock().expect("no panic before");
                match change.value {
                    Some(value) => drop(rows.insert(change.key, value)),
                    None => drop(rows.remove(&change.key)),
                }
                self.audits.lock().expect("no panic before").push(audit);
                Ok(())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use smol::block_on;

    use super::{fake::RamLinks, *};

    const BY: By<'static> = By { who: "hanako", from: "192.0.2.7" };

    fn links() -> (OwnerLinks, Arc<RamLinks>, Clock) {
        let (shelf, clock) = (Arc::new(RamLinks::default()), Clock::manual(Timestamp::from_millis(1_795_527_310_000)));
        (OwnerLinks::new(shelf.clone(), clock.clone()), shelf, clock)
    }

    #[test]
    fn a_link_opens_by_its_token_alone_and_the_store_does_not_have_that() {
        let (links, shelf, _) = links();
        let (link, token) = block_on(links.add("shop", "the shop's team", None, BY)).unwrap();
        assert_eq!(links.of_token(token.reveal()).unwrap(), Some(link.clone()));
        let mut other = token.reveal().clone();
        other.replace_range(0..1, if other.starts_with('A') { "B" } else { "A" });
        for wrong in [other.as_str(), "", &link.id, "../../etc/passwd", &"a".repeat(10_000)] {
            assert_eq!(links.of_token(wrong).unwrap(), None, "{wrong}");
        }
        let rows = shelf.rows.lock().unwrap();
        let text: String = rows.iter().map(|(k, v)| format!("{k}{}", String::from_utf8_lossy(v))).collect();
        assert!(!text.contains(token.reveal().as_str()));
        let audits = shelf.audits.lock().unwrap();
        assert!(!format!("{audits:?}").contains(token.reveal().as_str()));
        assert_eq!((audits[0].act.as_str(), audits[0].who.as_str()), ("owner_link.add", "hanako"));
    }

    #[test]
    fn a_link_ends_when_it_is_revoked_or_at_its_end() {
        let (links, shelf, clock) = links();
        let (day, hour) = (Duration::from_secs(86_400), Duration::from_secs(3_600));
        let (first, kept) = block_on(links.add("shop", "", Some(day), BY)).unwrap();
        let (second, revoked) = block_on(links.add("crm", "", None, BY)).unwrap();
        clock.advance(hour);
        assert_eq!(block_on(links.revoke(&second.id, BY)).unwrap().map(|l| l.user), Some("crm".to_owned()));
        assert_eq!(links.of_token(revoked.reveal()).unwrap(), None);
        assert_eq!(block_on(links.revoke(&second.id, BY)).unwrap(), None, "once");
        assert_eq!(block_on(links.revoke("nonsense", BY)).unwrap(), None);
        assert!(links.of_token(kept.reveal()).unwrap().is_some());
        clock.advance(day);
        assert_eq!(links.of_token(kept.reveal()).unwrap(), None);
        assert_eq!(links.all().unwrap(), [first], "it is listed until it is revoked");
        let acts: Vec<String> = shelf.audits.lock().unwrap().iter().map(|a| a.act.clone()).collect();
        assert_eq!(acts, ["owner_link.add", "owner_link.add", "owner_link.revoke"]);
    }

    #[test]
    fn few_pages_are_made_at_once() {
        let (links, ..) = links();
        let turns: Vec<Turn> = (0..TURNS_MAX).map(|_| links.turn().expect("a turn")).collect();
        assert!(links.turn().is_none() && links.clone().turn().is_none());
        drop(turns);
        assert!(links.turn().is_some());
    }

    #[test]
    fn links_notes_and_lives_are_bounded_and_a_damaged_row_is_no_link() {
        let (links, shelf, _) = links();
        let (long, _) = block_on(links.add("shop", &"注".repeat(1_000), Some(Duration::MAX), BY)).unwrap();
        assert_eq!(long.note.chars().count(), NOTE_MAX);
        assert_eq!(long.ends_at, Some(long.made_at.plus(LIFE_MAX)));
        for _ in 1..LINKS_MAX {
            block_on(links.add("shop", "", None, BY)).unwrap();
        }
        assert!(matches!(block_on(links.add("shop", "", None, BY)), Err(LinkError::TooMany)));
        shelf.rows.lock().unwrap().insert(long.id.clone(), b"{".to_vec());
        assert_eq!(links.all().unwrap().len(), LINKS_MAX - 1);
    }
}
