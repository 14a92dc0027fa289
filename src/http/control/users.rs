//! Users over the control socket: API users, for now; their keys and the class of their mail.
//!
//! Always: a key travels in a body, never in a path or query, and no log sees it.

use serde::{Deserialize, Serialize};

use super::{Answer, Refused, note};
use crate::{
    account::AccountError,
    event::Class,
    http::{
        daemon::Daemon,
        exchange::{Request, Response},
        rows::{UserKeyOut, UserOut},
    },
    secret::Secret,
};

/// The word for "no class of its own".
pub const NO_CLASS: &str = "none";

/// What `add`, `password`, `class` and `remove` take.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserIn {
    /// The login.
    name: String,
    /// Its key; absent: one is made.
    #[serde(default)]
    key: Option<String>,
    /// `high`, `normal`, `low` or `none`; absent: `none`.
    #[serde(default)]
    class: Option<String>,
}

/// Who is meant, with the key that is given.
fn user_of(request: &Request) -> Result<(String, Option<Secret<String>>), Refused> {
    let user = body_of(request)?;
    Ok((user.name, user.key.map(Secret::new)))
}

fn body_of(request: &Request) -> Result<UserIn, Refused> {
    // serde's message may quote the body, and the body may hold a key.
    serde_json::from_slice(&request.body)
        .map_err(|_| Refused::new(400, "the body is {\"name\": …, \"key\": …, \"class\": …}", "name"))
}

fn class_of(word: Option<&str>) -> Result<Option<Class>, Refused> {
    let Some(word) = word.filter(|word| *word != NO_CLASS) else { return Ok(None) };
    let class = Class::ALL.into_iter().find(|class| class.word() == word);
    let refused = || Refused::new(400, format!("{word:?} is no class: high, normal, low or {NO_CLASS}"), "class");
    class.map(Some).ok_or_else(refused)
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

/// `user add NAME --api [--class CLASS]`.
pub(super) fn add(daemon: &dyn Daemon, request: &Request) -> Answer {
    let UserIn { name, key, class } = body_of(request)?;
    let (given, class) = (key.is_some(), class_of(class.as_deref())?);
    let key = daemon.add_api_user(&name, key.map(Secret::new), class)?;
    let key_words = if given { "API user, key given" } else { "API user, key made" };
    let class_words = class.map(|class| format!(", class {}", class.word())).unwrap_or_default();
    note(daemon, request, "user.add", &name, &format!("{key_words}{class_words}"))?;
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

/// `user class NAME CLASS`: what `list` says of the user from now on.
pub(super) fn class(daemon: &dyn Daemon, request: &Request) -> Answer {
    let UserIn { name, class, .. } = body_of(request)?;
    let Some(word) = class else { return Err(Refused::new(400, "class is missing", "class")) };
    let class = class_of(Some(&word))?;
    must_exist(daemon, &name)?;
    daemon.set_user_class(&name, class)?;
    note(daemon, request, "user.class", &name, &word)?;
    match daemon.accounts()?.iter().find(|a| a.name == name) {
        Some(account) => Ok(Response::json(200, &UserOut::from(account))),
        None => Err(unknown(&name)),
    }
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
