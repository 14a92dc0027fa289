//! Users over the control socket: API users, for now.
//!
//! Always: a key travels in a body, never in a path or query, and no log sees it.

use serde::{Deserialize, Serialize};

use super::{Answer, Refused, note};
use crate::{
    account::AccountError,
    http::{
        daemon::Daemon,
        exchange::{Request, Response},
        rows::{UserKeyOut, UserOut},
    },
    secret::Secret,
};

/// What `add`, `password` and `remove` take.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserIn {
    /// The login.
    name: String,
    /// Its key; absent: one is made.
    #[serde(default)]
    key: Option<String>,
}

fn user_of(request: &Request) -> Result<(String, Option<Secret<String>>), Refused> {
    // serde's message may quote the body, and the body may hold a key.
    let user: UserIn = serde_json::from_slice(&request.body)
        .map_err(|_| Refused::new(400, "the body is {\"name\": …, \"key\": …}", "name"))?;
    Ok((user.name, user.key.map(Secret::new)))
}

impl From<AccountError> for Refused {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Refused(words) => Refused::new(409, words, "name"),
            AccountError::Store(error) => error.into(),
        }
    }
}

/// `user list`.
pub(super) fn list(daemon: &dyn Daemon) -> Answer {
    let rows: Vec<UserOut> = daemon.accounts()?.iter().map(UserOut::from).collect();
    Ok(Response::lines(&rows))
}

/// `user add NAME --api`.
pub(super) fn add(daemon: &dyn Daemon, request: &Request) -> Answer {
    let (name, key) = user_of(request)?;
    let given = key.is_some();
    let key = daemon.add_api_user(&name, key)?;
    note(daemon, request, "user.add", &name, if given { "API user, key given" } else { "API user, key made" })?;
    Ok(Response::json(200, &UserKeyOut { name, key: (!given).then(|| key.reveal().clone()) }))
}

/// `user password NAME`.
pub(super) fn password(daemon: &dyn Daemon, request: &Request) -> Answer {
    let (name, key) = user_of(request)?;
    must_exist(daemon, &name)?;
    let given = key.is_some();
    let key = daemon.set_key(&name, key)?;
    note(daemon, request, "user.password", &name, if given { "key given" } else { "key made" })?;
    Ok(Response::json(200, &UserKeyOut { name, key: (!given).then(|| key.reveal().clone()) }))
}

/// `user remove NAME`.
pub(super) fn remove(daemon: &dyn Daemon, request: &Request) -> Answer {
    let (name, _) = user_of(request)?;
    if !daemon.remove_user(&name)? {
        return Err(unknown(&name));
    }
    note(daemon, request, "user.remove", &name, "")?;
    Ok(Response::json(200, &UserKeyOut { name, key: None }))
}

fn must_exist(daemon: &dyn Daemon, name: &str) -> Result<(), Refused> {
    match daemon.accounts()?.iter().any(|a| a.name == name) {
        true => Ok(()),
        false => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Refused {
    Refused::new(404, format!("there is no user {name:?}"), "name")
}
