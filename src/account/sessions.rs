//! Sessions of the console: who is logged in, by a token that the browser keeps.
//!
//! In: a good login, tokens, where they come from.  Out: who it is, or nobody; what an account's sessions are.
//! Always: the store and RAM hold a token's SHA-256 only; a session outlives a restart; it ends with its time, when nobody used it
//! for long, with another password, with its account; it counts only from where the account may be used; sessions of one account
//! are bounded, and the oldest goes for a new one. When one was last used is written seldom, and never brings a closed one back;
//! what a page asks by itself is no use.
//! Sources: NIST SP 800-63B-4 §2.2.3 and §5.2 (AAL2), OWASP ASVS 5.0 7.3.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{AccountError, Accounts, Inner, Login, holds, password::HashError, store::AccountStore, words::refused};
use crate::{
    clock::Timestamp,
    secret::{self, Secret, TOKEN_LEN},
    store::{Account, AccountKind, MemoChange, MemoKind, StoreError},
};

/// Sessions of one account at most: a person's browsers and phones.
const SESSIONS_OF_ONE_MAX: usize = 20;
/// Sessions that one call forgets or writes at most, beside the one that it opens.
const WRITTEN_AT_ONCE_MAX: usize = 500;
/// Sessions read at once when the process starts.
const LOADED_AT_ONCE: usize = 1000;
/// Letters that are kept of what a browser says of itself.
const BROWSER_MAX: usize = 160;
/// When a session was last used is written when it is this much later than what is written; a crash forgets no more.
const SEEN_WRITTEN_EVERY: Duration = Duration::from_secs(600);
/// The first field of a row; rows of version 1 end behind the password's time.
const VERSION: &str = "2";
/// The version before.
const VERSION_BEFORE: &str = "1";

/// Who asks by a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AskedBy {
    /// A person, who loads a page or presses a button: the session is used.
    Person,
    /// A page that looks again by itself: it may, as long as the session counts, and keeps nobody signed in.
    Page,
}

/// Why a session ended by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionEnd {
    /// Nobody used it for this long (`accounts.session_idle`).
    Idle(Duration),
    /// Its time is over (`accounts.session_lifetime`).
    Time(Duration),
}

/// The sessions, by the hash of their tokens.
pub(super) struct Sessions {
    open: Mutex<HashMap<String, Session>>,
    /// Held by whoever writes rows, so that what was read before a close is not written after it.
    writing: smol::lock::Mutex<()>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Session {
    name: String,
    opened_at: Timestamp,
    expires_at: Timestamp,
    password_set_at: Timestamp,
    /// From where it was last used; `None`: it is older than this is noted.
    from: Option<IpAddr>,
    seen_at: Timestamp,
    browser: String,
    /// The `seen_at` of the row.
    written: Timestamp,
}

impl Session {
    fn row(&self) -> Vec<u8> {
        let Session { name, opened_at, expires_at, password_set_at, from, seen_at, browser, written: _ } = self;
        let [opened, expires, set, seen] = [opened_at, expires_at, password_set_at, seen_at].map(|at| at.as_millis());
        let from = from.map(|from| from.to_string()).unwrap_or_default();
        format!("{VERSION}\t{name}\t{opened}\t{expires}\t{set}\t{from}\t{seen}\t{browser}").into_bytes()
    }

    fn of_row(row: &[u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(row).ok()?.split('\t');
        let version = fields.next()?;
        let name = fields.next()?.to_owned();
        let time = |field: Option<&str>| field?.parse().ok().map(Timestamp::from_millis);
        let (opened_at, expires_at) = (time(fields.next())?, time(fields.next())?);
        let password_set_at = time(fields.next())?;
        let (from, seen_at, browser) = match version {
            VERSION => {
                let from = fields.next()?;
                let from = if from.is_empty() { None } else { Some(from.parse().ok()?) };
                (from, time(fields.next())?, fields.next()?.to_owned())
            }
            VERSION_BEFORE => (None, opened_at, String::new()),
            _ => return None,
        };
        Some(Session { name, opened_at, expires_at, password_set_at, from, seen_at, browser, written: seen_at })
    }
}

/// A session as its owner sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionView {
    /// Names it towards [`Accounts::close_one`]; opens nothing.
    pub id: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was last used.
    pub seen_at: Timestamp,
    /// From where it was last used; `None`: not known.
    pub from: Option<IpAddr>,
    /// What the browser says of itself: a stranger's words; clipped.
    pub browser: String,
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
        Ok(Sessions { open: Mutex::new(all), writing: smol::lock::Mutex::new(()) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Opens a session for a login that [`Accounts::log_in`] took; answers its token. `browser`: what it says of itself.
    ///
    /// # Errors
    /// The account is gone or has another password; the store's failure.
    pub async fn open_session(
        &self,
        login: &Login,
        from: IpAddr,
        browser: &str,
    ) -> Result<Secret<String>, AccountError> {
        let inner = &*self.0;
        let now = inner.clock.now();
        let account = inner.account(&login.name).filter(|account| account.password_set_at == login.key_set_at);
        let Some(account) = account.filter(|account| account.kind == AccountKind::Console) else {
            return Err(refused(
                "the account is gone or has another password",
                "アカウントが削除されたか、パスワードが変更されました。",
            ));
        };
        let session = Session {
            name: account.name.clone(),
            opened_at: now,
            expires_at: now.plus(inner.config().session_lifetime),
            password_set_at: account.password_set_at,
            from: Some(from.to_canonical()),
            seen_at: now,
            browser: browser.chars().filter(|c| !c.is_control()).take(BROWSER_MAX).collect(),
            written: now,
        };
        let token = new_token()?;
        let key = hash_of(&token);
        let _alone = inner.sessions.writing.lock().await;
        let goes = self.make_room(&session.name);
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

    /// Who has this session now, and what it may do now; `from`: where it is asked from. Notes that a person used it.
    pub fn session(&self, token: &Secret<String>, from: IpAddr, by: AskedBy) -> Option<Login> {
        let inner = &*self.0;
        let (key, session) = self.known_session(token)?;
        let account = self.holder(&session)?;
        // A token that was carried elsewhere opens nothing there.
        if !holds(&inner.config().allowed_ips.console, from) || !holds(&account.rights.networks, from) {
            return None;
        }
        if let Some(session) = inner.sessions.lock().get_mut(&key).filter(|_| by == AskedBy::Person) {
            session.seen_at = session.seen_at.max(inner.clock.now());
            session.from = Some(from.to_canonical());
        }
        Some(Login::from(&*account))
    }

    /// Why the session of this token, which did count, has ended by itself; told to whoever has the token. `None`: it goes on, or
    /// somebody ended it, or it never was.
    pub fn session_end(&self, token: &Secret<String>) -> Option<SessionEnd> {
        let (_, session) = self.known_session(token)?;
        self.0.end_of(&session)
    }

    fn known_session(&self, token: &Secret<String>) -> Option<(String, Session)> {
        if token.reveal().len() != TOKEN_LEN {
            return None;
        }
        let key = hash_of(token);
        let session = self.0.sessions.lock().get(&key).cloned()?;
        Some((key, session))
    }

    /// The account of a session that still counts.
    fn holder(&self, session: &Session) -> Option<std::sync::Arc<Account>> {
        let inner = &*self.0;
        let account = inner.account(&session.name).filter(|account| account.kind == AccountKind::Console)?;
        let counts = inner.end_of(session).is_none()
            && account.password_set_at == session.password_set_at
            && !inner.has_expired(&account);
        counts.then_some(account)
    }

    /// The open sessions of an account, the last used first.
    pub fn sessions_of(&self, name: &str) -> Vec<SessionView> {
        let own: Vec<(String, Session)> = {
            let sessions = self.0.sessions.lock();
            let own = sessions.iter().filter(|(_, session)| session.name == name);
            own.map(|(key, session)| (key.clone(), session.clone())).collect()
        };
        let mut views: Vec<SessionView> = own
            .into_iter()
            .filter(|(_, session)| self.holder(session).is_some())
            .map(|(id, s)| {
                let Session { opened_at, expires_at, seen_at, from, browser, .. } = s;
                SessionView { id, opened_at, expires_at, seen_at, from, browser }
            })
            .collect();
        views.sort_by(|a, b| (b.seen_at, &a.id).cmp(&(a.seen_at, &b.id)));
        views
    }

    /// The id of the session that has this token, as [`SessionView::id`] has it.
    pub fn session_id(&self, token: &Secret<String>) -> String {
        hash_of(token)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The store's failure; in this process it has ended all the same.
    pub async fn close_session(&self, token: &Secret<String>) -> Result<(), AccountError> {
        let key = hash_of(token);
        self.close_those(|of, _| *of == key).await.map(drop)
    }

    /// Ends one session of an account; false: it has none of that id.
    ///
    /// # Errors
    /// As for [`Accounts::close_session`].
    pub async fn close_one(&self, name: &str, id: &str) -> Result<bool, AccountError> {
        Ok(self.close_those(|of, session| of == id && session.name == name).await? > 0)
    }

    /// Ends all sessions of an account but the one with this token; answers how many.
    ///
    /// # Errors
    /// As for [`Accounts::close_session`].
    pub async fn close_others(&self, name: &str, token: &Secret<String>) -> Result<usize, AccountError> {
        let own = hash_of(token);
        self.close_those(|of, session| session.name == name && *of != own).await
    }

    /// Ends all sessions of an account; answers how many.
    ///
    /// # Errors
    /// As for [`Accounts::close_session`].
    pub async fn close_all(&self, name: &str) -> Result<usize, AccountError> {
        self.close_those(|_, session| session.name == name).await
    }

    /// Ends the sessions of an account that were last used from elsewhere than these networks, or nobody knows from where.
    pub(super) async fn close_outside(&self, name: &str, networks: &[ipnet::IpNet]) -> Result<usize, AccountError> {
        let is_outside = |session: &Session| !session.from.is_some_and(|from| holds(networks, from));
        self.close_those(|_, session| session.name == name && is_outside(session)).await
    }

    async fn close_those(&self, is_meant: impl Fn(&String, &Session) -> bool) -> Result<usize, AccountError> {
        let keys: Vec<String> = {
            let mut sessions = self.0.sessions.lock();
            let keys: Vec<String> =
                sessions.iter().filter(|(key, session)| is_meant(key, session)).map(|(key, _)| key.clone()).collect();
            keys.iter().for_each(|key| {
                sessions.remove(key);
            });
            keys
        };
        if keys.is_empty() {
            return Ok(0);
        }
        let _alone = self.0.sessions.writing.lock().await;
        for some in keys.chunks(WRITTEN_AT_ONCE_MAX) {
            self.0.store.put_sessions(some.iter().cloned().map(|key| change(key, None)).collect()).await?;
        }
        Ok(keys.len())
    }

    /// Writes when sessions were last used; `all`: before a stop, else those whose row is old.
    pub(super) async fn write_seen(&self, all: bool) {
        let inner = &*self.0;
        let old = |session: &Session| {
            let least = if all { Duration::from_millis(1) } else { SEEN_WRITTEN_EVERY };
            session.seen_at >= session.written.plus(least)
        };
        if !inner.sessions.lock().values().any(old) {
            return;
        }
        let _alone = inner.sessions.writing.lock().await;
        let due: Vec<(String, Session)> = {
            let sessions = inner.sessions.lock();
            let due = sessions.iter().filter(|(_, session)| old(session)).take(WRITTEN_AT_ONCE_MAX);
            due.map(|(key, session)| (key.clone(), session.clone())).collect()
        };
        let rows = due.iter().map(|(key, session)| change(key.clone(), Some(session.row()))).collect();
        let written = inner.store.put_sessions(rows).await;
        if let Err(error) = &written {
            ::log::warn!("act=sessions what=\"when they were last used is not written\" error=\"{error}\"");
        }
        let mut sessions = inner.sessions.lock();
        for (key, session) in due {
            if let Some(now) = sessions.get_mut(&key) {
                // After a failure it is tried again when it is due again, not every second.
                now.written = session.seen_at;
            }
        }
    }

    /// Sessions that go when one is opened: those that are over, and the oldest of an account that has too many.
    fn make_room(&self, name: &str) -> Vec<String> {
        let inner = &*self.0;
        let is_over = |session: &Session| {
            let account = inner.account(&session.name);
            inner.end_of(session).is_some()
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
        goes.truncate(WRITTEN_AT_ONCE_MAX);
        of_account.sort_unstable();
        let too_many = (of_account.len() + 1).saturating_sub(SESSIONS_OF_ONE_MAX);
        goes.extend(of_account.into_iter().take(too_many).map(|(_, key)| key.clone()));
        goes
    }
}

impl Inner {
    /// Why a session has ended by itself. Shorter times count for sessions that are open, too.
    fn end_of(&self, session: &Session) -> Option<SessionEnd> {
        let (lifetime, idle) = {
            let config = self.config();
            (config.session_lifetime, config.session_idle)
        };
        let now = self.clock.now();
        if now >= session.seen_at.plus(idle) {
            return Some(SessionEnd::Idle(idle));
        }
        let is_over = now >= session.expires_at.min(session.opened_at.plus(lifetime));
        is_over.then_some(SessionEnd::Time(lifetime))
    }
}

fn change(key: String, value: Option<Vec<u8>>) -> MemoChange {
    MemoChange { kind: MemoKind::Sessions, key, value }
}

/// 256 random bits as text.
pub(super) fn new_token() -> Result<Secret<String>, HashError> {
    secret::token().ok_or(HashError)
}

/// What is kept of a token: a stolen store opens no session.
fn hash_of(token: &Secret<String>) -> String {
    URL_SAFE_NO_PAD.encode(digest_of(token))
}

/// The same as octets.
pub(super) fn digest_of(token: &Secret<String>) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.reveal().as_bytes()).as_ref().to_vec()
}
