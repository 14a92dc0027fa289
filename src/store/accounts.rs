//! Accounts as rows: name, kind, password hash, rights.
//!
//! Always: the hash is a secret in RAM and never printed; a name is used once.

use redb::{ReadableDatabase, ReadableTable};

use super::{
    batch::Work,
    codec::{Eye, Pen, RowError},
    fault::{Fatal, Reading, bad_row},
    rows::VERSION,
    tables::ACCOUNTS,
    types::{Account, AccountKind, StoreError},
};
use crate::{clock::Timestamp, event::Class, secret::Secret};

/// Writes an account; false when the name is taken and `replace` is not set.
pub(super) fn put(work: &mut Work<'_, '_>, account: &Account, replace: bool) -> Result<bool, StoreError> {
    if !replace && work.t.accounts.get(account.name.as_str()).fatal()?.is_some() {
        return Ok(false);
    }
    let row = write_row(account);
    work.t.accounts.insert(account.name.as_str(), row.as_slice()).fatal()?;
    Ok(true)
}

/// Removes an account; false when there is none.
pub(super) fn remove(work: &mut Work<'_, '_>, name: &str) -> Result<bool, StoreError> {
    Ok(work.t.accounts.remove(name).fatal()?.is_some())
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

fn write_row(a: &Account) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, 160);
    pen.byte(match a.kind {
        AccountKind::Api => 0,
        AccountKind::Console => 1,
    });
    pen.text(a.hash.reveal());
    pen.byte(a.class.map_or(0, |c| c as u8 + 1));
    pen.number(a.created_at.as_millis());
    pen.number(a.password_set_at.as_millis());
    let rights = [a.may_smtp, a.may_http, a.may_view, a.may_download];
    pen.byte(rights.iter().enumerate().fold(0, |bits, (n, may)| bits | u8::from(*may) << n));
    pen.done()
}

/// Reads an account.
pub(super) fn read_row(name: &str, row: &[u8]) -> Result<Account, RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
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
    let rights = eye.byte()?;
    Ok(Account {
        name: name.to_owned(),
        kind,
        hash,
        class,
        created_at,
        password_set_at,
        may_smtp: rights & 1 != 0,
        may_http: rights & 2 != 0,
        may_view: rights & 4 != 0,
        may_download: rights & 8 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_account_is_read_back_equal(console in any::<bool>(), hash in ".{0,90}", class in proptest::option::of(0..3usize), times in any::<(u64, u64)>(), rights in any::<[bool; 4]>()) {
            let [may_smtp, may_http, may_view, may_download] = rights;
            let account = Account {
                name: "app".into(), kind: if console { AccountKind::Console } else { AccountKind::Api }, hash: Secret::new(hash),
                class: class.map(|n| Class::ALL[n]), created_at: Timestamp::from_millis(times.0), password_set_at: Timestamp::from_millis(times.1),
                may_smtp, may_http, may_view, may_download,
            };
            let read = read_row("app", &write_row(&account)).unwrap();
            prop_assert_eq!(read.hash.reveal(), account.hash.reveal());
            prop_assert_eq!(format!("{read:?}"), format!("{account:?}"));
        }
    }
}
