//! Rows about users: who they are, what each may do, and what an act on one brought.
//!
//! Always: no hash, key or secret of a stored account is in a row; a key or link that was just made is, once.

use serde::{Deserialize, Serialize};

use crate::{
    account::rights::rate_text,
    clock::Timestamp,
    store::{Account, AccountKind},
};

/// One line of `user list`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UserOut {
    /// The login.
    pub name: String,
    /// `api` or `console`.
    pub kind: String,
    /// The class of its mail; `null`: the default.
    pub class: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When its key or password was set.
    pub password_set_at: String,
    /// It may submit by SMTP.
    pub may_smtp: bool,
    /// It may call the HTTP API.
    pub may_http: bool,
    /// It may read logs.
    pub may_view: bool,
    /// It may download logs.
    pub may_download: bool,
    /// `group-administrator`, `user` or `report-viewer`.
    #[serde(default)]
    pub role: String,
    /// It reads deliveries, bounces and statistics of its own mail only.
    #[serde(default)]
    pub own_data_only: bool,
    /// From where it may be used; empty: from everywhere that `[accounts] allowed_ips` lets.
    #[serde(default)]
    pub networks: Vec<String>,
    /// As whom it may send; empty: as anybody.
    #[serde(default)]
    pub senders: Vec<String>,
    /// The zone of its dates; `null`: that of `[server]`.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Recipients in a time, such as `1000/1h`; `null`: no limit.
    #[serde(default)]
    pub rate: Option<String>,
    /// From when it is not taken any more; `null`: never.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// Its time is over.
    #[serde(default)]
    pub expired: bool,
    /// Its mail is taken, logged and never delivered.
    #[serde(default)]
    pub sandbox: bool,
    /// A console user is locked by wrong passwords.
    #[serde(default)]
    pub locked: bool,
    /// Since when; `null`: it is not.
    #[serde(default)]
    pub locked_at: Option<String>,
    /// Wrong passwords in a row.
    #[serde(default)]
    pub failed_logins: u32,
    /// A code is asked for at the login.
    #[serde(default)]
    pub totp: bool,
    /// A person's name.
    #[serde(default)]
    pub display_name: String,
    /// `en` or `ja`; empty: the browser's.
    #[serde(default)]
    pub language: String,
}

impl UserOut {
    /// An account as it is now.
    pub fn of(a: &Account, now: Timestamp) -> Self {
        let (r, p) = (&a.rights, &a.person);
        UserOut {
            name: a.name.clone(),
            kind: match a.kind {
                AccountKind::Api => "api",
                AccountKind::Console => "console",
            }
            .to_owned(),
            class: r.class.map(|c| c.word().to_owned()),
            created_at: a.created_at.rfc3339(),
            password_set_at: a.password_set_at.rfc3339(),
            may_smtp: r.smtp,
            may_http: r.http,
            may_view: r.view,
            may_download: r.download,
            role: r.role.word().to_owned(),
            own_data_only: r.own_data_only,
            networks: r.networks.iter().map(ToString::to_string).collect(),
            senders: r.senders.clone(),
            time_zone: (!r.time_zone.is_empty()).then(|| r.time_zone.clone()),
            rate: r.rate.map(|rate| rate_text(Some(rate))),
            expires_at: r.expires_at.map(Timestamp::rfc3339),
            expired: r.expires_at.is_some_and(|at| at <= now),
            sandbox: r.sandbox,
            locked: p.locked_at.is_some(),
            locked_at: p.locked_at.map(Timestamp::rfc3339),
            failed_logins: p.failed_logins,
            totp: p.totp.is_some(),
            display_name: p.display_name.clone(),
            language: p.language.clone(),
        }
    }
}

/// `user add` and `user password`: the name, and the key if the daemon made one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UserKeyOut {
    /// The login.
    pub name: String,
    /// The new key, shown this once; `null`: it is the one that was given.
    pub key: Option<String>,
}

/// `user unlock`, `make-admin` and `totp`: what was done.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UserActOut {
    /// The login.
    pub name: String,
    /// Something is another now.
    pub done: bool,
    /// Who was the group administrator before.
    pub before: Option<String>,
    /// The link with the new secret of two-factor logins, shown this once.
    pub link: Option<String>,
}
