//! Accounts come, change and go: by the operator's command line, and by the group administrator where the rules let one.
//!
//! In: who acts, names, keys, [`Changes`].  Out: the accounts of the store and of RAM, changed together.
//! Always: at most `users_max` accounts of both kinds (R16); at most one group administrator, whose role the operator alone
//! hands over (R17); each act and its entry of the operation log are one transaction; another key ends every login and
//! session that came with the old one; a stop, an end, a lesser role and other networks end sessions, which never come back.

use std::time::Duration;

use super::{
    AccountError, Accounts, Actor, Inner, NAME_MAX, is_group_administrator, password,
    rights::{self, Changes},
    totp,
    words::{Said, refused},
};
use crate::{
    ids::{CONSOLE_USER, REPORT_USER},
    language::Language,
    secret::Secret,
    smtp::address::Mailbox,
    store::{Account, AccountChange, AccountKind, Person, Rights, Role},
};

/// By these names goes mail of our own.
const RESERVED: [&str; 2] = [REPORT_USER, CONSOLE_USER];

/// An account to add.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Its login; of a console user an e-mail address.
    pub name: String,
    /// What it is.
    pub kind: AccountKind,
    /// Its key or password; `None` makes one.
    pub key: Option<Secret<String>>,
    /// The key comes from CMC, and follows its weaker rule.
    pub imported: bool,
    /// What it has that is not as usual.
    pub changes: Changes,
}

impl NewUser {
    /// An API user with a key that is made.
    pub fn api(name: impl Into<String>) -> Self {
        NewUser { name: name.into(), kind: AccountKind::Api, key: None, imported: false, changes: Changes::default() }
    }
}

impl Accounts {
    /// Adds an account; answers its key or password, to be shown once if it was made.
    ///
    /// # Errors
    /// [`AccountError::Refused`] with words for the operator; the store's failure.
    pub async fn add(&self, by: &Actor, new: NewUser) -> Result<Secret<String>, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        inner.must_manage(by)?;
        let name = match new.kind {
            AccountKind::Api => new.name,
            // People write their address as they like; it is one login.
            AccountKind::Console => new.name.to_lowercase(),
        };
        if let Some(words) = name_flaw(&name, new.kind) {
            return Err(flawed(&name, &words));
        }
        inner.must_have_room(&name)?;
        let now = inner.clock.now();
        let usual = Account {
            name: name.clone(),
            kind: new.kind,
            hash: Secret::default(),
            created_at: now,
            password_set_at: now,
            rights: usual_rights(new.kind),
            person: Person::default(),
        };
        let mut account = usual.clone();
        new.changes.apply(&mut account).map_err(AccountError::Refused)?;
        if is_group_administrator(&account) {
            if let Some(holder) = inner.group_administrator() {
                return Err(refused(
                    format!(
                        "{} is the group administrator: there is one (hand the role over with make-admin)",
                        holder.name
                    ),
                    format!(
                        "グループ管理者は1人だけで、現在は {} です（権限の移譲は運用者がコマンド make-admin で行います）。",
                        holder.name
                    ),
                ));
            }
            inner.must_operate(by)?;
        }
        let given = key_words(new.key.is_some(), new.imported);
        let (key, hash) = hashed(&name, new.key, new.imported).await?;
        account.hash = hash;
        let kind = match new.kind {
            AccountKind::Api => "API user",
            AccountKind::Console => "console user",
        };
        let mut detail = format!("{kind}, {given}");
        let particulars = rights::particulars(&account, &usual);
        if !particulars.is_empty() {
            detail = format!("{detail}, {particulars}");
        }
        let audit = vec![inner.entry(by, "user.add", &name, detail)];
        let change = AccountChange { put: vec![account.clone()], replace: false, remove: None, audit };
        if !inner.store.change(change).await? {
            return Err(taken(&name));
        }
        inner.learn(account);
        Ok(key)
    }

    /// Sets another key or password; `None` makes one. It unlocks nobody.
    ///
    /// # Errors
    /// [`AccountError::Refused`] with words for the operator; [`AccountError::Unknown`]; the store's failure.
    pub async fn set_key(
        &self,
        by: &Actor,
        name: &str,
        key: Option<Secret<String>>,
        imported: bool,
    ) -> Result<Secret<String>, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        inner.must_manage(by)?;
        let mut account = inner.must_exist(name)?;
        inner.must_operate_on(by, &account)?;
        let given = key_words(key.is_some(), imported);
        let (key, hash) = hashed(&account.name, key, imported && account.kind == AccountKind::Api).await?;
        inner.give_key(&mut account, hash);
        let audit = vec![inner.entry(by, "user.password", &account.name, given)];
        inner.save(vec![account], audit).await?;
        Ok(key)
    }

    /// Changes what an account may do; answers it as it is then.
    ///
    /// # Errors
    /// [`AccountError::Refused`] with words for the operator; [`AccountError::Unknown`]; the store's failure.
    pub async fn change(&self, by: &Actor, name: &str, changes: &Changes) -> Result<Account, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        inner.must_manage(by)?;
        let before = inner.must_exist(name)?;
        inner.must_operate_on(by, &before)?;
        let mut after = before.clone();
        changes.apply(&mut after).map_err(AccountError::Refused)?;
        if is_group_administrator(&before) != is_group_administrator(&after) {
            return Err(refused(
                "the role of the group administrator is handed over with make-admin",
                "グループ管理者の権限は、運用者がコマンド make-admin で移譲します。",
            ));
        }
        let detail = rights::difference(&before, &after);
        if !detail.is_empty() {
            let audit = vec![inner.entry(by, "user.set", &after.name, detail)];
            inner.save(vec![after.clone()], audit).await?;
            // Who is allowed again signs in again: an old cookie comes back to nothing.
            if inner.has_expired(&before) || inner.has_expired(&after) || may_less(&before, &after) {
                self.close_all(&after.name).await?;
            } else if before.rights.networks != after.rights.networks {
                self.close_outside(&after.name, &after.rights.networks).await?;
            }
        }
        Ok(after)
    }

    /// Removes an account; false when there is none.
    ///
    /// # Errors
    /// [`AccountError::Refused`] when `by` may not; the store's failure.
    pub async fn remove(&self, by: &Actor, name: &str) -> Result<bool, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        inner.must_manage(by)?;
        let Some(account) = inner.find(name) else { return Ok(false) };
        inner.must_operate_on(by, &account)?;
        let name = account.name;
        let audit = vec![inner.entry(by, "user.remove", &name, "")];
        let change = AccountChange { remove: Some(name.clone()), audit, ..AccountChange::default() };
        let removed = inner.store.change(change).await?;
        inner.forget(&name);
        Ok(removed)
    }

    /// Hands the role of the group administrator to a console user; who had it is a user then (R17). Answers who had it.
    ///
    /// # Errors
    /// [`AccountError::Refused`] when `by` is not the operator, or the user no console user or the holder already;
    /// [`AccountError::Unknown`]; the store's failure.
    pub async fn make_admin(&self, by: &Actor, name: &str) -> Result<Option<String>, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        inner.must_operate(by)?;
        let mut new = inner.must_exist(name)?;
        if new.kind != AccountKind::Console {
            return Err(refused(
                format!("{} is an API user: the group administrator is a console user", new.name),
                format!("{} はAPIユーザーです。グループ管理者になれるのはアカウント（人）だけです。", new.name),
            ));
        }
        if is_group_administrator(&new) {
            return Err(refused(
                format!("{} is the group administrator already", new.name),
                format!("{} はすでにグループ管理者です。", new.name),
            ));
        }
        let role = new.rights.role.word();
        new.rights.role = Role::GroupAdministrator;
        let old = inner.group_administrator().map(|old| (*old).clone());
        let mut audit =
            vec![inner.entry(by, "user.make-admin", &new.name, format!("role {role} → group-administrator"))];
        let mut both = vec![new];
        let holder = old.as_ref().map(|old| old.name.clone());
        if let Some(mut old) = old {
            old.rights.role = Role::User;
            audit.push(inner.entry(by, "user.make-admin", &old.name, "role group-administrator → user"));
            both.push(old);
        }
        inner.save(both, audit).await?;
        if let Some(holder) = &holder {
            self.close_all(holder).await?;
        }
        Ok(holder)
    }

    /// Unlocks a console user, and forgets its wrong passwords; false: it was not locked. The operator unlocks everybody, the
    /// group administrator all others (R15).
    ///
    /// # Errors
    /// [`AccountError::Refused`] when `by` may not, or it is an API user, which is never locked; [`AccountError::Unknown`]; the
    /// store's failure.
    pub async fn unlock(&self, by: &Actor, name: &str) -> Result<bool, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        inner.must_manage(by)?;
        let mut account = inner.must_exist(name)?;
        if account.kind == AccountKind::Api {
            return Err(refused(
                format!("{} is an API user: those are never locked", account.name),
                format!("{} はAPIユーザーです。APIユーザーはロックされません。", account.name),
            ));
        }
        if is_group_administrator(&account) && !matches!(by, Actor::Operator { .. }) {
            return Err(refused(
                "the group administrator is unlocked by the operator",
                "グループ管理者のロックは運用者だけが解除できます。",
            ));
        }
        if account.person.locked_at.is_none() && account.person.failed_logins == 0 {
            return Ok(false);
        }
        let was_locked = account.person.locked_at.take().is_some();
        let failures = std::mem::take(&mut account.person.failed_logins);
        let detail = format!("locked {} → no, wrong passwords {failures} → 0", if was_locked { "yes" } else { "no" });
        let audit = vec![inner.entry(by, "user.unlock", &account.name, detail)];
        inner.save(vec![account], audit).await?;
        Ok(was_locked)
    }

    /// Turns two-factor logins of a console user on, with a new secret whose link is answered, to be shown once; or off.
    ///
    /// # Errors
    /// [`AccountError::Refused`] when it is an API user; [`AccountError::Unknown`]; the store's failure.
    pub async fn set_totp(&self, by: &Actor, name: &str, on: bool) -> Result<Option<Secret<String>>, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        inner.must_manage(by)?;
        let mut account = inner.must_exist(name)?;
        inner.must_operate_on(by, &account)?;
        if account.kind == AccountKind::Api {
            return Err(refused(
                format!("{} is an API user: programs have no second factor", account.name),
                format!("{} はAPIユーザーです。プログラムに二段階認証はありません。", account.name),
            ));
        }
        let was = if account.person.totp.is_some() { "on" } else { "off" };
        account.person.totp = if on { Some(totp::new_secret().ok_or(password::HashError)?) } else { None };
        account.person.totp_step = 0;
        account.person.recovery.clear();
        let link = account.person.totp.as_ref().map(|secret| totp::uri(&account.name, secret));
        let detail = format!("two-factor login {was} → {}", if on { "on, with a new secret" } else { "off" });
        let audit = vec![inner.entry(by, "user.totp", &account.name, detail)];
        inner.save(vec![account], audit).await?;
        Ok(link)
    }
}

impl Inner {
    /// The account that is meant: console users are found in any case.
    fn find(&self, name: &str) -> Option<Account> {
        let found = self
            .account(name)
            .or_else(|| self.account(&name.to_lowercase()).filter(|account| account.kind == AccountKind::Console));
        found.map(|account| (*account).clone())
    }

    fn must_exist(&self, name: &str) -> Result<Account, AccountError> {
        self.find(name).ok_or_else(|| AccountError::Unknown(name.to_owned()))
    }

    pub(super) fn must_have_room(&self, name: &str) -> Result<(), AccountError> {
        let (taken, count) = {
            let known = self.known();
            (known.keys().find(|taken| taken.eq_ignore_ascii_case(name)).cloned(), known.len())
        };
        if let Some(taken) = taken {
            return Err(self::taken(&taken));
        }
        let users_max = self.config().users_max;
        if count >= users_max {
            return Err(refused(
                format!("there are {count} users, and users_max in [accounts] is {users_max}: remove one or raise it"),
                format!(
                    "ユーザーは {count} 人います。上限は {users_max} 人（設定ファイルの [accounts] users_max）です。1人削除するか、上限を上げてください。"
                ),
            ));
        }
        Ok(())
    }

    /// The operator manages accounts, and the group administrator.
    fn must_manage(&self, by: &Actor) -> Result<(), AccountError> {
        match by {
            Actor::Operator { .. } => Ok(()),
            Actor::Person { name, .. } => match self.account(name) {
                Some(account) if is_group_administrator(&account) => Ok(()),
                Some(_) | None => Err(not_a_manager()),
            },
            Actor::Stranger { .. } => Err(not_a_manager()),
        }
    }

    fn must_operate(&self, by: &Actor) -> Result<(), AccountError> {
        match by {
            Actor::Operator { .. } => Ok(()),
            Actor::Person { .. } | Actor::Stranger { .. } => Err(refused(
                "the group administrator's role is given and handed over by the operator",
                "グループ管理者の権限の付与と移譲は、運用者だけが行えます。",
            )),
        }
    }

    /// The group administrator's own account is the operator's business: a stolen session must not keep the house.
    fn must_operate_on(&self, by: &Actor, account: &Account) -> Result<(), AccountError> {
        if is_group_administrator(account) { self.must_operate(by) } else { Ok(()) }
    }

    fn group_administrator(&self) -> Option<std::sync::Arc<Account>> {
        self.known().values().find(|account| is_group_administrator(account)).cloned()
    }

    /// Another key; a link to reset the old one counts no more.
    pub(super) fn give_key(&self, account: &mut Account, hash: Secret<String>) {
        account.hash = hash;
        account.person.resets.clear();
        // Strictly later, so that the old key's cached logins can never hit, whatever the clock does.
        account.password_set_at = self.clock.now().max(account.password_set_at.plus(Duration::from_millis(1)));
    }

    fn forget(&self, name: &str) {
        self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner).remove(name);
        self.buckets.forget(name);
    }
}

/// What an account has when nothing else is said. Downloading is off until it is granted (R13); an API user that is made
/// for a program is granted it.
fn usual_rights(kind: AccountKind) -> Rights {
    match kind {
        AccountKind::Api => Rights { smtp: true, http: true, view: true, download: true, ..Rights::default() },
        AccountKind::Console => Rights { view: true, ..Rights::default() },
    }
}

/// A person's role or permissions were taken away.
fn may_less(before: &Account, after: &Account) -> bool {
    let rank = |account: &Account| match account.rights.role {
        Role::GroupAdministrator => 2,
        Role::User => 1,
        Role::ReportViewer => 0,
    };
    rank(after) < rank(before)
        || before.rights.view && !after.rights.view
        || before.rights.download && !after.rights.download
}

/// What everybody else hears.
fn not_a_manager() -> AccountError {
    refused("only the group administrator manages users", "ユーザーの管理はグループ管理者だけが行えます。")
}

fn taken(name: &str) -> AccountError {
    refused(format!("there is a user {name} already"), format!("ユーザー {name} はすでにあります。"))
}

/// A name that cannot be one.
pub(super) fn flawed(name: &str, why: &Said) -> AccountError {
    refused(
        format!("{name:?} cannot be a user's name: {why}"),
        format!("「{name}」はユーザー名にできません。{}", why.words(Language::Japanese)),
    )
}

fn key_words(given: bool, imported: bool) -> &'static str {
    match (given, imported) {
        (false, _) => "key made",
        (true, false) => "key given",
        (true, true) => "key imported",
    }
}

/// The given key, if it is strong enough, or a new one; with its hash.
pub(super) async fn hashed(
    name: &str,
    key: Option<Secret<String>>,
    imported: bool,
) -> Result<(Secret<String>, Secret<String>), AccountError> {
    let weakness = if imported { password::import_weakness } else { password::weakness };
    let key = match key {
        Some(key) => match weakness(&key, name) {
            Some(words) => return Err(AccountError::Refused(words)),
            None => key,
        },
        None => password::generate()?,
    };
    let to_hash = key.clone();
    let hash = smol::unblock(move || password::hash(&to_hash)).await?;
    Ok((key, hash))
}

/// What is wrong with a name; `None`: it will do.
pub(super) fn name_flaw(name: &str, kind: AccountKind) -> Option<Said> {
    let flaw = |english: &str, japanese: &str| Some(Said::new(english, japanese));
    if name.is_empty() || name.len() > NAME_MAX {
        return flaw("it needs 1 to 64 characters", "1～64文字で指定してください。");
    }
    if !name.bytes().all(|b| b.is_ascii_graphic()) {
        return flaw(
            "use ASCII letters, digits and signs, without blanks",
            "半角の英数字と記号を、空白なしで指定してください。",
        );
    }
    if RESERVED.contains(&name) {
        return flaw("Hikyaku's own mail goes by it", "Hikyaku自身が使う名前です。");
    }
    if name.starts_with('-') {
        return flaw("it would look like an option", "「-」で始まる名前は使えません。");
    }
    // Where names are listed, quoted and put into paths and headers, these have a meaning of their own.
    let signs = [
        '"', '\'', '\\', '/', '<', '>', ',', ';', ':', '`', '$', '?', '#', '&', '%', '*', '(', ')', '[', ']', '{', '}',
        '|', '^', '!',
    ];
    if name.contains(signs) {
        return flaw("use letters, digits and . - _ + = @ ~", "英数字と . - _ + = @ ~ だけが使えます。");
    }
    match kind {
        AccountKind::Api => None,
        AccountKind::Console => Mailbox::parse(name).err().and_then(|_| {
            flaw("a console user's name is its e-mail address", "アカウント名にはメールアドレスを指定してください。")
        }),
    }
}
