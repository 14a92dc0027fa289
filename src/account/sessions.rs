//! Sessions of the console: who is logged in, by a token that the browser keeps.
//!
//! In: a good login, tokens.  Out: who it is, or nobody.
//! Always: the store and RAM hold a token's SHA-256 only; a session outlives a restart; it ends with its time, with another
//! password, with its account; sessions of one account are bounded, and the oldest goes for a new one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{AccountError, Accounts, Login, manage::refused, password::HashError, store::AccountStore};
use crate::{
    clock::Timestamp,
    secret::Secret,
    store::{AccountKind, MemoChange, MemoKind, StoreError},
};

/// Sessions of one account at most: a person's browsers and phones.
const SESSIONS_OF_ONE_MAX: usize = 20;
/// Sessions that one call forgets at most, beside the one that it opens.
const FORGOTTEN_AT_ONCE_MAX: usize = 500;
/// Sessions read at once when the process starts.
const LOADED_AT_ONCE: usize = 1000;
/// Octets of a token.
pub(super) const TOKEN_OCTETS: usize = 32;
/// Letters of a token.
const TOKEN_LEN: usize = 43;
/// The first field of a row.
const VERSION: &str = "1";

/// The sessions, by the hash of their tokens.
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Session {
    name: String,
    opened_at: Timestamp,
    expires_at: Timestamp,
    password_set_at: Timestamp,
}

impl Session {
    fn row(&self) -> Vec<u8> {
        let Session { name, opened_at, expires_at, password_set_at } = self;
        let [opened, expires, set] = [opened_at, expires_at, password_set_at].map(|at| at.as_millis());
        format!("{VERSION}\t{name}\t{opened}\t{expires}\t{set}").into_bytes()
    }

    fn of_row(row: &[u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(row).ok()?.split('\t');
        if fields.next()? != VERSION {
            return None;
        }
        let name = fields.next()?.to_owned();
        let mut time = || fields.next()?.parse().ok().map(Timestamp::from_millis);
        Some(Session { name, opened_at: time()?, expires_at: time()?, password_set_at: time()? })
    }
}

impl Sessions {
    /// The sessions of the store; a row that cannot be read is nobody's session.
    pub fn load(store: &dyn AccountStore) -> Result<Self, StoreError> {
        let (mut all, mut after): (HashMap<String, Session>, Option<String>) = (HashMap::new(), None);
        loop {
            let rows = store.sessions(after.as_deref(), LOADED_AT_ONCE)?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            all.extend(rows.into_iter().filter_map(|(key, row)| Some((key, Session::of_row(&row)?))));
        }
        Ok(Sessions(Mutex::new(all)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Opens a session for a login that [`Accounts::log_in`] took; answers its token.
    ///
    /// # Errors
    /// The account is gone or has another password; the store's failure.
    pub async fn open_session(&self, login: &Login) -> Result<Secret<String>, AccountError> {
        let inner = &*self.0;
        let now = inner.clock.now();
        let account = inner.account(&login.name).filter(|account| account.password_set_at == login.key_set_at);
        let Some(account) = account.filter(|account| account.kind == AccountKind::Console) else {
            return Err(refused("the account is gone or has another password".into()));
        };
        let session = Session {
            name: account.name.clone(),
            opened_at: now,
            expires_at: now.plus(inner.config().session_lifetime),
            password_set_at: account.password_set_at,
        };
        let token = new_token()?;
        let key = hash_of(&token);
        let goes = self.make_room(&session.name, now);
        let mut changes: Vec<MemoChange> = goes.iter().cloned().map(|key| change(key, None)).collect();
        changes.push(change(key.clone(), Some(session.row())));
        inner.store.put_sessions(changes).await?;
        let mut sessions = inner.sessions.lock();
        goes.iter().for_each(|key| {
            sessions.remove(key);
        });
        sessions.insert(key, session);
        Ok(token)
    }

    /// Who has this session now, and what it may do now.
    pub fn session(&self, token: &Secret<String>) -> Option<Login> {
        let inner = &*self.0;
        if token.reveal().len() != TOKEN_LEN {
            return None;
        }
        let session = inner.sessions.lock().get(&hash_of(token)).cloned()?;
        let account = inner.account(&session.name).filter(|account| account.kind == AccountKind::Console)?;
        let now = inner.clock.now();
        // A shorter `session_lifetime` counts for sessions that are open, too.
        let ends = session.expires_at.min(session.opened_at.plus(inner.config().session_lifetime));
        let counts = now < ends && account.password_set_at == session.password_set_at && !inner.has_expired(&account);
        counts.then(|| Login::from(&*account))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The store's failure; in this process it has ended all the same.
    pub async fn close_session(&self, token: &Secret<String>) -> Result<(), AccountError> {
        let key = hash_of(token);
        if self.0.sessions.lock().remove(&key).is_some() {
            self.0.store.put_sessions(vec![change(key, None)]).await?;
        }
        Ok(())
    }

    /// Ends all sessions of an account; answers how many.
    ///
    /// # Errors
    /// As for [`Accounts::close_session`].
    pub async fn close_all(&self, name: &str) -> Result<usize, AccountError> {
        let keys: Vec<String> = {
            let mut sessions = self.0.sessions.lock();
            let keys: Vec<String> =
                sessions.iter().filter(|(_, session)| session.name == name).map(|(key, _)| key.clone()).collect();
            keys.iter().for_each(|key| {
                sessions.remove(key);
            });
            keys
        };
        for some in keys.chunks(FORGOTTEN_AT_ONCE_MAX) {
            self.0.store.put_sessions(some.iter().cloned().map(|key| change(key, None)).collect()).await?;
        }
        Ok(keys.len())
    }

    /// Sessions that go when one is opened: those that are over, and the oldest of an account that has too many.
    fn make_room(&self, name: &str, now: Timestamp) -> Vec<String> {
        let inner = &*self.0;
        let is_over = |session: &Session| {
            let account = inner.account(&session.name);
            now >= session.expires_at
                || account.is_none_or(|account| account.password_set_at != session.password_set_at)
        };
        let sessions = inner.sessions.lock();
        let mut goes: Vec<String> = Vec::new();
        let mut of_account: Vec<(Timestamp, &String)> = Vec::new();
        for (key, session) in sessions.iter() {
            if is_over(session) {
                goes.push(key.clone());
            } else if session.name == name {
                of_account.push((session.opened_at, key));
            }
        }
        goes.truncate(FORGOTTEN_AT_ONCE_MAX);
        of_account.sort_unstable();
        let too_many = (of_account.len() + 1).saturating_sub(SESSIONS_OF_ONE_MAX);
        goes.extend(of_account.into_iter().take(too_many).map(|(_, key)| key.clone()));
        goes
    }
}

fn change(key: String, value: Option<Vec<u8>>) -> MemoChange {
    MemoChange { kind: MemoKind::Sessions, key, value }
}

/// 256 random bits as text.
pub(super) fn new_token() -> Result<Secret<String>, HashError> {
    let mut octets = [0u8; TOKEN_OCTETS];
    aws_lc_rs::rand::fill(&mut octets).map_err(|_| HashError)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(octets)))
}

/// What is kept of a token: a stolen store opens no session.
fn hash_of(token: &Secret<String>) -> String {
    URL_SAFE_NO_PAD.encode(digest_of(token))
}

/// The same as octets.
pub(super) fn digest_of(token: &Secret<String>) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.reveal().as_bytes()).as_ref().to_vec()
}
