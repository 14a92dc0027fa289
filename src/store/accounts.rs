//! Accounts as rows: name, kind, password hash, rights.
//!
//! Always: the hash is a secret in RAM and never printed; a name is used once; a change and what the operation log says of it
//! are one transaction.

use std::time::Duration;

use redb::{ReadableDatabase, ReadableTable};

use super::{
    Store, audit,
    batch::Work,
    codec::{Eye, Pen, RowError},
    fault::{Fatal, Reading, bad_row},
    tables::ACCOUNTS,
    types::{Account, AccountChange, AccountKind, Person, RateLimit, Rights, Role, StoreError},
    writer::Op,
};
use crate::{clock::Timestamp, event::Class, secret::Secret};

impl Store {
    /// All accounts, by name.
    ///
    /// # Errors
    /// `Damaged`, `Read`.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        all(&self.0.db)
    }

    /// Carries out a change of accounts with its entries of the operation log, in one transaction. False: nothing was done,
    /// because a name is taken, or there is none of that name.
    ///
    /// # Errors
    /// `Failed`, `Closed`.
    pub async fn change_accounts(&self, change: AccountChange) -> Result<bool, StoreError> {
        self.ask(|answer| Op::Accounts(Box::new(change), answer)).await
    }

    /// Writes an account; `false` in `replace` refuses an existing name (answers false).
    ///
    /// # Errors
    /// `Failed`, `Closed`.
    pub async fn put_account(&self, account: Account, replace: bool) -> Result<bool, StoreError> {
        self.change_accounts(AccountChange { put: vec![account], replace, ..AccountChange::default() }).await
    }

    /// Removes an account; false when there is none.
    ///
    /// # Errors
    /// `Failed`, `Closed`.
    pub async fn remove_account(&self, name: &str) -> Result<bool, StoreError> {
        self.change_accounts(AccountChange { remove: Some(name.to_owned()), ..AccountChange::default() }).await
    }
}

impl AccountChange {
    /// Rows that it writes.
    pub(super) fn weight(&self) -> usize {
        self.put.len() + usize::from(self.remove.is_some()) + self.audit.len()
    }
}

/// Carries out a change, all of it or nothing.
pub(super) fn change(work: &mut Work<'_, '_>, change: &AccountChange) -> Result<bool, StoreError> {
    for account in change.put.iter().filter(|_| !change.replace) {
        if work.t.accounts.get(account.name.as_str()).fatal()?.is_some() {
            return Ok(false);
        }
    }
    if let Some(name) = &change.remove
        && work.t.accounts.remove(name.as_str()).fatal()?.is_none()
    {
        return Ok(false);
    }
    for account in &change.put {
        let row = write_row(account);
        work.t.accounts.insert(account.name.as_str(), row.as_slice()).fatal()?;
    }
    for entry in &change.audit {
        audit::write(work, entry)?;
    }
    Ok(true)
}

/// All accounts, by name (R16 keeps them few).
pub(super) fn all(db: &redb::Database) -> Result<Vec<Account>, StoreError> {
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(ACCOUNTS).reading()?;
    let mut out = Vec::new();
    for entry in table.iter().reading()? {
        let (name, row) = entry.reading()?;
        out.push(
            read_row(name.value(), row.value()).map_err(|e| bad_row(format_args!("account {}", name.value()), e))?,
        );
    }
    Ok(out)
}

/// Version of the rows: 1 ended behind its class and four rights, 2 before the recovery codes, 3 before the links
/// that were mailed before the last one.
const ACCOUNT_VERSION: u8 = 4;
/// Networks or senders of one account at most, when a row is read.
const LIST_MAX: u64 = 10_000;
/// Links of one account at most, when a row is read.
const RESETS_MAX: u64 = 100;
/// Recovery codes of one account at most, when a row is read.
const RECOVERY_MAX: u64 = 100;

fn write_row(a: &Account) -> Vec<u8> {
    let (r, p) = (&a.rights, &a.person);
    let mut pen = Pen::new(ACCOUNT_VERSION, 192);
    pen.byte(match a.kind {
        AccountKind::Api => 0,
        AccountKind::Console => 1,
    });
    pen.text(a.hash.reveal());
    pen.byte(r.class.map_or(0, |c| c as u8 + 1));
    pen.number(a.created_at.as_millis());
    pen.number(a.password_set_at.as_millis());
    let rights = [r.smtp, r.http, r.view, r.download, r.own_data_only, r.sandbox];
    pen.byte(rights.iter().enumerate().fold(0, |bits, (n, may)| bits | u8::from(*may) << n));
    pen.byte(r.role as u8);
    write_texts(&mut pen, r.networks.iter().map(ToString::to_string));
    write_texts(&mut pen, r.senders.iter().cloned());
    pen.text(&r.time_zone);
    pen.maybe_number(r.rate.map(|rate| u64::from(rate.recipients)));
    pen.number(r.rate.map_or(0, |rate| rate.per.as_secs()));
    pen.maybe_number(r.expires_at.map(Timestamp::as_millis));
    pen.text(&p.display_name);
    pen.text(&p.language);
    pen.number(u64::from(p.failed_logins));
    pen.maybe_number(p.locked_at.map(Timestamp::as_millis));
    write_secret(&mut pen, p.totp.as_ref());
    pen.number(p.totp_step);
    let (newest, older) = p.resets.split_last().unzip();
    write_secret(&mut pen, newest.map(|(token, _)| token));
    pen.number(newest.map_or(0, |(_, until)| until.as_millis()));
    pen.number(p.recovery.len() as u64);
    p.recovery.iter().for_each(|digest| write_secret(&mut pen, Some(digest)));
    let older = older.unwrap_or_default();
    pen.number(older.len() as u64);
    for (token, until) in older {
        write_secret(&mut pen, Some(token));
        pen.number(until.as_millis());
    }
    pen.done()
}

fn write_texts(pen: &mut Pen, texts: impl ExactSizeIterator<Item = String>) {
    pen.number(texts.len() as u64);
    texts.for_each(|text| pen.text(&text));
}

fn write_secret(pen: &mut Pen, secret: Option<&Secret<Vec<u8>>>) {
    pen.byte(u8::from(secret.is_some()));
    if let Some(secret) = secret {
        pen.number(secret.reveal().len() as u64);
        pen.raw(secret.reveal());
    }
}

fn read_texts(eye: &mut Eye<'_>) -> Result<Vec<String>, RowError> {
    let count = eye.number()?;
    if count > LIST_MAX {
        return Err(RowError::Nonsense);
    }
    (0..count).map(|_| Ok(eye.text()?.to_owned())).collect()
}

fn read_secret(eye: &mut Eye<'_>) -> Result<Option<Secret<Vec<u8>>>, RowError> {
    if eye.byte()? == 0 {
        return Ok(None);
    }
    let len = usize::try_from(eye.number()?).map_err(|_| RowError::Short)?;
    Ok(Some(Secret::new(eye.raw(len)?.to_vec())))
}

/// Reads an account.
pub(super) fn read_row(name: &str, row: &[u8]) -> Result<Account, RowError> {
    let (version, mut eye) = Eye::open(row, ACCOUNT_VERSION)?;
    let kind = match eye.byte()? {
        0 => AccountKind::Api,
        1 => AccountKind::Console,
        _ => return Err(RowError::Nonsense),
    };
    let hash = Secret::new(eye.text()?.to_owned());
    let class = match eye.byte()? {
        0 => None,
        n => Some(*Class::ALL.get(usize::from(n) - 1).ok_or(RowError::Nonsense)?),
    };
    let created_at = Timestamp::from_millis(eye.number()?);
    let password_set_at = Timestamp::from_millis(eye.number()?);
    let bits = eye.byte()?;
    let may = |n: u8| bits & (1 << n) != 0;
    let (mut rights, mut person) = (Rights::default(), Person::default());
    rights.class = class;
    (rights.smtp, rights.http, rights.view, rights.download) = (may(0), may(1), may(2), may(3));
    (rights.own_data_only, rights.sandbox) = (may(4), may(5));
    if version > 1 {
        rights.role = *Role::ALL.get(usize::from(eye.byte()?)).ok_or(RowError::Nonsense)?;
        let networks = read_texts(&mut eye)?;
        rights.networks =
            networks.iter().map(|text| text.parse().map_err(|_| RowError::Nonsense)).collect::<Result<_, _>>()?;
        rights.senders = read_texts(&mut eye)?;
        rights.time_zone = eye.text()?.to_owned();
        let recipients = eye.maybe_number()?;
        let per = Duration::from_secs(eye.number()?);
        let recipients = recipients.map(u32::try_from).transpose().map_err(|_| RowError::Nonsense)?;
        rights.rate = recipients.map(|recipients| RateLimit { recipients, per });
        rights.expires_at = eye.maybe_number()?.map(Timestamp::from_millis);
        person.display_name = eye.text()?.to_owned();
        person.language = eye.text()?.to_owned();
        person.failed_logins = eye.number_u32()?;
        person.locked_at = eye.maybe_number()?.map(Timestamp::from_millis);
        person.totp = read_secret(&mut eye)?;
        person.totp_step = eye.number()?;
        let token = read_secret(&mut eye)?;
        let until = Timestamp::from_millis(eye.number()?);
        person.resets.extend(token.map(|token| (token, until)));
    }
    if version > 2 {
        let count = eye.number()?;
        if count > RECOVERY_MAX {
            return Err(RowError::Nonsense);
        }
        for _ in 0..count {
            person.recovery.extend(read_secret(&mut eye)?);
        }
    }
    if version > 3 {
        let count = eye.number()?;
        if count > RESETS_MAX {
            return Err(RowError::Nonsense);
        }
        let newest = person.resets.pop();
        for _ in 0..count {
            let (token, until) = (read_secret(&mut eye)?, Timestamp::from_millis(eye.number()?));
            person.resets.extend(token.map(|token| (token, until)));
        }
        person.resets.extend(newest);
    }
    Ok(Account { name: name.to_owned(), kind, hash, created_at, password_set_at, rights, person })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_account_is_read_back_equal(console in any::<bool>(), hash in ".{0,90}", class in proptest::option::of(0..3usize), times in any::<(u64, u64)>(), bits in any::<[bool; 6]>(), role in 0..3usize, senders in proptest::collection::vec(".{0,9}", 0..4), rate in proptest::option::of((any::<u32>(), any::<u64>())), expires in proptest::option::of(any::<u64>()), secret in proptest::option::of(any::<[u8; 20]>())) {
            let account = Account {
                name: "app".into(), kind: if console { AccountKind::Console } else { AccountKind::Api }, hash: Secret::new(hash),
                created_at: Timestamp::from_millis(times.0), password_set_at: Timestamp::from_millis(times.1),
                rights: Rights {
                    role: Role::ALL[role], class: class.map(|n| Class::ALL[n]), smtp: bits[0], http: bits[1], view: bits[2], download: bits[3], own_data_only: bits[4], sandbox: bits[5],
                    networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()], senders, time_zone: "Asia/Tokyo".into(),
                    rate: rate.map(|(recipients, per)| RateLimit { recipients, per: Duration::from_secs(per) }), expires_at: expires.map(Timestamp::from_millis),
                },
                person: Person {
                    display_name: "Hanako".into(), language: "ja".into(), failed_logins: 3, locked_at: expires.map(Timestamp::from_millis),
                    totp: secret.map(|s| Secret::new(s.to_vec())), totp_step: times.0,
                    recovery: secret.map_or_else(Vec::new, |s| vec![Secret::new(s.to_vec()), Secret::new(vec![7; 32])]), resets: secret.map_or_else(Vec::new, |s| [times.1, times.0, 7].map(|at| (Secret::new(s.to_vec()), Timestamp::from_millis(at))).into()),
                },
            };
            prop_assert_eq!(read_row("app", &write_row(&account)).unwrap(), account);
        }
    }

    #[test]
    fn rows_of_versions_2_and_3_are_read_and_nonsense_is_told() {
        let person = Person { totp: Some(Secret::new(vec![1; 20])), totp_step: 9, ..Person::default() };
        let account = Account {
            name: "hana@example.jp".into(),
            kind: AccountKind::Console,
            hash: Secret::new("hash".into()),
            created_at: Timestamp::from_millis(5),
            password_set_at: Timestamp::from_millis(6),
            rights: Rights { view: true, ..Rights::default() },
            person,
        };
        let mut row = write_row(&account);
        // Version 3 ended where version 4 counts older links, version 2 where version 3 counts its codes.
        for version in [3, 2] {
            assert_eq!(row.pop(), Some(0));
            row[0] = version;
            assert_eq!(read_row("hana@example.jp", &row).unwrap(), account);
        }
        row[0] = ACCOUNT_VERSION;
        row.push(101);
        assert!(matches!(read_row("hana@example.jp", &row), Err(RowError::Nonsense)));
        row[0] = ACCOUNT_VERSION + 1;
        assert!(read_row("hana@example.jp", &row).is_err());
    }

    #[test]
    fn rows_of_version_1_are_read() {
        let mut pen = Pen::new(1, 32);
        pen.byte(0);
        pen.text("hash");
        pen.byte(1);
        pen.number(5);
        pen.number(6);
        pen.byte(0b0111);
        let read = read_row("app", &pen.done()).unwrap();
        let rights = Rights { class: Some(Class::High), smtp: true, http: true, view: true, ..Rights::default() };
        assert_eq!((read.rights, read.person), (rights, Person::default()));
    }
}
