//! Audit logs: who logged in, and who changed what.
//!
//! In: a call with `type`.  Out: a page of entries, newest first, or all of them as a download.
//! Always: for group administrators alone, since they tell of everybody; 31 days at once at most; nothing past its period (R13).
//! Sources: cmc.md §9.

use std::collections::HashMap;

use super::{
    Call,
    download::download,
    paging::{Asked, rows},
    period, stored,
};
use crate::{
    http::{
        api::{
            Language,
            fault::{Fault, Why},
            reply::{Cell, Rows},
        },
        exchange::Response,
        login_words::LoginWords,
    },
    store::{AuditEntry, AuditQuery, Page},
    when::Zone,
};

/// Days that one call asks for at most.
const DAYS_MAX: u32 = 31;
/// The words of `type`.
const TYPES: &[&str] = &["login", "operation"];
/// The keys of a login.
pub(in crate::http::api) const LOGIN_KEYS: [&str; 6] = ["created", "account", "ipaddress", "code", "result", "reason"];
/// The keys of an operation.
pub(in crate::http::api) const OPERATION_KEYS: [&str; 5] = ["created", "account", "name", "function", "operation"];

struct Search {
    query: AuditQuery,
    is_login: bool,
}

fn search_of(call: &Call<'_>) -> Result<Search, Fault> {
    call.administrators_only()?;
    let kind = call.ask.word("type", TYPES)?.ok_or_else(|| Why::Missing.of("type"))?;
    let period = period::at_most(call, DAYS_MAX)?;
    let is_login = kind == "login";
    let query = AuditQuery {
        from: period.from,
        to: period.to,
        who: call.search("account")?,
        logins: Some(is_login),
        ..AuditQuery::default()
    };
    Ok(Search { query, is_login })
}

/// Names of persons, by account.
type Names = HashMap<String, String>;

fn names(call: &Call<'_>) -> Result<Names, Fault> {
    let accounts = call.daemon.accounts().map_err(|error| stored(&error))?;
    Ok(accounts.into_iter().map(|account| (account.name, account.person.display_name)).collect())
}

/// How an entry of either log is told.
struct Teller {
    zone: Zone,
    language: Language,
    names: Names,
}

impl Teller {
    fn login(&self, entry: &AuditEntry) -> [String; 6] {
        let LoginWords { code, result, reason, .. } = LoginWords::of(&entry.detail, self.language);
        [self.zone.full(entry.at), entry.who.clone(), entry.from.clone(), code.to_owned(), result.to_owned(), reason]
    }

    fn operation(&self, entry: &AuditEntry) -> [String; 5] {
        let operation = [&*entry.object, &*entry.detail].into_iter().filter(|part| !part.is_empty());
        [
            self.zone.full(entry.at),
            entry.who.clone(),
            self.names.get(&entry.who).cloned().unwrap_or_default(),
            entry.act.clone(),
            operation.collect::<Vec<_>>().join(": "),
        ]
    }

    fn row(&self, entry: &AuditEntry, is_login: bool) -> Vec<String> {
        if is_login { self.login(entry).into() } else { self.operation(entry).into() }
    }
}

fn teller(call: &Call<'_>) -> Result<Teller, Fault> {
    Ok(Teller { zone: call.caller.zone.clone(), language: call.language, names: names(call)? })
}

/// `auditlogs/list`.
pub(super) fn list(call: &Call<'_>) -> Result<Response, Fault> {
    let (search, teller) = (search_of(call)?, teller(call)?);
    let name = format!("{:?}", search.query);
    let found = rows(call, Asked::of(call)?, &name, false, |page| {
        call.daemon.audit_page(&search.query, page).map(|found| (found.rows, found.next))
    })?;
    let (plural, singular, keys) = match search.is_login {
        true => ("loginlogs", "loginlog", &LOGIN_KEYS[..]),
        false => ("operationlogs", "operationlog", &OPERATION_KEYS[..]),
    };
    let row =
        |entry| keys.iter().copied().zip(teller.row(entry, search.is_login).into_iter().map(Cell::Text)).collect();
    Ok(Rows { plural, singular, rows: found.iter().map(row).collect() }.response(call.format))
}

/// `auditlogs/download`.
pub(super) fn download_list(call: &Call<'_>) -> Result<Response, Fault> {
    let (search, teller, logs) = (search_of(call)?, teller(call)?, call.daemon.logs());
    let keys = if search.is_login { &LOGIN_KEYS[..] } else { &OPERATION_KEYS[..] };
    let asked = format!("type={} account={}", if search.is_login { "login" } else { "operation" }, search.query.who);
    let read = move |page: &Page| {
        let found = logs.audit_page(&search.query, page)?;
        Ok((found.rows.iter().map(|entry| teller.row(entry, search.is_login)).collect(), found.next))
    };
    download(call, "auditlogs", keys, &asked, Box::new(read))
}
