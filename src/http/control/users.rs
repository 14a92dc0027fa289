//! Users over the control socket: programs and people, what each may do, and the operator's acts on them.
//!
//! In: JSON bodies of the command line.  Out: [`UserOut`], and keys that are shown once.
//! Always: a key travels in a body, never in a path or query, and no log sees it; the accounts write the operation log.

use serde::{Deserialize, Serialize};
use smol::future::block_on;

use super::{Answer, Refused, operator};
use crate::{
    account::{
        AccountError, Actor, Changes, NewUser,
        rights::{NONE, network_of, rate_of},
    },
    clock::Timestamp,
    config::parse_duration,
    event::Class,
    http::{
        daemon::Daemon,
        exchange::{Request, Response},
        removal,
        rows::{UserActOut, UserKeyOut, UserOut},
        when::Zone,
    },
    secret::Secret,
    store::{Account, AccountKind, Role},
};

/// The word for "no class of its own".
pub const NO_CLASS: &str = NONE;

/// What the acts take; each looks at its own fields.
#[derive(Serialize, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct UserIn {
    /// The login.
    pub name: String,
    /// `api` or `console`.
    pub kind: Option<String>,
    /// Its key or password; absent: one is made.
    pub key: Option<String>,
    /// The key comes from CMC: its rule of 8 characters with letters and digits is enough.
    pub imported: bool,
    /// `group-administrator`, `user` or `report-viewer`.
    pub role: Option<String>,
    /// `high`, `normal`, `low` or `none`.
    pub class: Option<String>,
    /// Of `smtp` and `http`.
    pub access: Option<Vec<String>>,
    /// Of `view` and `download`.
    pub permissions: Option<Vec<String>>,
    /// It reads what is of its own mail only.
    pub own_data_only: Option<bool>,
    /// From where it may be used.
    pub networks: Option<Vec<String>>,
    /// As whom it may send.
    pub senders: Option<Vec<String>>,
    /// An IANA name, or `none`.
    pub time_zone: Option<String>,
    /// `1000/1h`, or `none`.
    pub rate: Option<String>,
    /// A time, a duration from now, `now`, or `none`.
    pub expires: Option<String>,
    /// Its mail is never delivered.
    pub sandbox: Option<bool>,
    /// A person's name.
    pub display_name: Option<String>,
    /// `en`, `ja` or `none`.
    pub language: Option<String>,
    /// Two-factor logins.
    pub totp: Option<bool>,
}

impl From<AccountError> for Refused {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Refused(words) => Refused::new(409, words.to_string(), "name"),
            AccountError::Unknown(_) => Refused::new(404, error.to_string(), "name"),
            AccountError::Store(error) => error.into(),
        }
    }
}

/// `user list`.
pub(super) fn list(daemon: &dyn Daemon) -> Answer {
    let now = daemon.now();
    let rows: Vec<UserOut> = daemon.accounts()?.iter().map(|account| UserOut::of(account, now)).collect();
    Ok(Response::lines(&rows))
}

/// `user add NAME --api|--console`.
pub(super) fn add(daemon: &dyn Daemon, request: &Request) -> Answer {
    let user = body_of(request)?;
    let kind = match user.kind.as_deref() {
        Some("api") | None => AccountKind::Api,
        Some("console") => AccountKind::Console,
        Some(other) => return Err(Refused::new(400, format!("{other:?} is no kind: api or console"), "kind")),
    };
    let changes = changes_of(daemon, &user)?;
    let (given, imported) = (user.key.is_some(), user.imported);
    let key = user.key.map(Secret::new);
    let new = NewUser { name: user.name.clone(), kind, key, imported, changes };
    let key = block_on(daemon.users().add(&by(request), new))?;
    Ok(Response::json(200, &UserKeyOut { name: user.name, key: (!given).then(|| key.reveal().clone()) }))
}

/// `user password NAME`.
pub(super) fn password(daemon: &dyn Daemon, request: &Request) -> Answer {
    let user = body_of(request)?;
    let (given, key) = (user.key.is_some(), user.key.map(Secret::new));
    let key = block_on(daemon.users().set_key(&by(request), &user.name, key, user.imported))?;
    Ok(Response::json(200, &UserKeyOut { name: user.name, key: (!given).then(|| key.reveal().clone()) }))
}

/// `user set NAME …` and `user class NAME CLASS`: what `list` says of the user from now on.
pub(super) fn set(daemon: &dyn Daemon, request: &Request) -> Answer {
    let user = body_of(request)?;
    let changes = changes_of(daemon, &user)?;
    if changes == Changes::default() {
        return Err(Refused::new(400, "nothing to set", "name"));
    }
    shown(daemon, &block_on(daemon.users().change(&by(request), &user.name, &changes))?)
}

/// `user show NAME`.
pub(super) fn show(daemon: &dyn Daemon, name: &str) -> Answer {
    match daemon.accounts()?.iter().find(|account| account.name == name) {
        Some(account) => shown(daemon, account),
        None => Err(AccountError::Unknown(name.to_owned()).into()),
    }
}

fn shown(daemon: &dyn Daemon, account: &Account) -> Answer {
    Ok(Response::json(200, &UserOut::of(account, daemon.now())))
}

/// `user unlock NAME`.
pub(super) fn unlock(daemon: &dyn Daemon, request: &Request) -> Answer {
    let name = body_of(request)?.name;
    let done = block_on(daemon.users().unlock(&by(request), &name))?;
    Ok(Response::json(200, &UserActOut { name, done, ..UserActOut::default() }))
}

/// `user make-admin NAME`.
pub(super) fn make_admin(daemon: &dyn Daemon, request: &Request) -> Answer {
    let name = body_of(request)?.name;
    let before = block_on(daemon.users().make_admin(&by(request), &name))?;
    Ok(Response::json(200, &UserActOut { name, done: true, before, ..UserActOut::default() }))
}

/// `user totp NAME on|off`.
pub(super) fn totp(daemon: &dyn Daemon, request: &Request) -> Answer {
    let UserIn { name, totp, .. } = body_of(request)?;
    let Some(on) = totp else { return Err(Refused::new(400, "totp is true or false", "totp")) };
    let link = block_on(daemon.users().set_totp(&by(request), &name, on))?;
    let link = link.map(|link| link.reveal().clone());
    Ok(Response::json(200, &UserActOut { name, done: true, link, ..UserActOut::default() }))
}

/// `user remove NAME`.
pub(super) fn remove(daemon: &dyn Daemon, request: &Request) -> Answer {
    let name = body_of(request)?.name;
    if !removal::remove(daemon, &by(request), &name)? {
        return Err(AccountError::Unknown(name).into());
    }
    Ok(Response::json(200, &UserKeyOut { name, key: None }))
}

fn body_of(request: &Request) -> Result<UserIn, Refused> {
    // serde's message may quote the body, and the body may hold a key.
    serde_json::from_slice(&request.body)
        .map_err(|_| Refused::new(400, "the body is {\"name\": …} with the fields of this act", "name"))
}

fn by(request: &Request) -> Actor {
    Actor::Operator { who: operator(request), from: "control socket".into() }
}

/// What is set, read from words.
fn changes_of(daemon: &dyn Daemon, user: &UserIn) -> Result<Changes, Refused> {
    let bad = |field: &'static str| move |words: String| Refused::new(400, words, field);
    let text =
        |value: &Option<String>| value.as_ref().map(|value| if value == NONE { String::new() } else { value.clone() });
    let (now, zone) = (daemon.now(), daemon.about().zone);
    Ok(Changes {
        role: user.role.as_deref().map(role_of).transpose()?,
        class: user.class.as_deref().map(class_of).transpose()?,
        access: flags_of(user.access.as_deref(), ["smtp", "http"]).map_err(bad("access"))?,
        permissions: flags_of(user.permissions.as_deref(), ["view", "download"]).map_err(bad("permissions"))?,
        own_data_only: user.own_data_only,
        networks: list_of(user.networks.as_deref(), network_of).map_err(bad("networks"))?,
        senders: list_of(user.senders.as_deref(), |text| Ok(text.to_owned())).map_err(bad("senders"))?,
        time_zone: text(&user.time_zone),
        rate: user.rate.as_deref().map(rate_of).transpose().map_err(bad("rate"))?,
        expires_at: user
            .expires
            .as_deref()
            .map(|text| expiry_of(text, &zone, now))
            .transpose()
            .map_err(bad("expires"))?,
        sandbox: user.sandbox,
        display_name: text(&user.display_name),
        language: text(&user.language),
    })
}

fn class_of(word: &str) -> Result<Option<Class>, Refused> {
    if word == NO_CLASS {
        return Ok(None);
    }
    let class = Class::ALL.into_iter().find(|class| class.word() == word);
    class
        .map(Some)
        .ok_or_else(|| Refused::new(400, format!("{word:?} is no class: high, normal, low or {NO_CLASS}"), "class"))
}

fn role_of(word: &str) -> Result<Role, Refused> {
    let role = Role::ALL.into_iter().find(|role| role.word() == word);
    role.ok_or_else(|| {
        let words = Role::ALL.map(Role::word).join(", ");
        Refused::new(400, format!("{word:?} is no role: {words}"), "role")
    })
}

/// Which of two words are given; `none` is neither.
fn flags_of(given: Option<&[String]>, words: [&str; 2]) -> Result<Option<(bool, bool)>, String> {
    let Some(given) = given else { return Ok(None) };
    let known = |word: &String| word == NONE || words.contains(&word.as_str());
    match given.iter().find(|word| !known(word)) {
        Some(word) => Err(format!("{word:?} is not among {}, {} and {NONE}", words[0], words[1])),
        None => Ok(Some((given.iter().any(|word| word == words[0]), given.iter().any(|word| word == words[1])))),
    }
}

/// A list; `none` is an empty one.
fn list_of<T>(given: Option<&[String]>, read: impl Fn(&str) -> Result<T, String>) -> Result<Option<Vec<T>>, String> {
    given.map(|list| list.iter().filter(|text| *text != NONE).map(|text| read(text)).collect()).transpose()
}

/// When an account ends: a time to come, a duration from now, `now`, or `none`.
fn expiry_of(text: &str, zone: &Zone, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let text = text.trim();
    match text {
        NONE => return Ok(None),
        "now" => return Ok(Some(now)),
        _ => {}
    }
    if let Some(duration) = parse_duration(text) {
        return Ok(Some(now.plus(duration)));
    }
    match zone.parse(text, now) {
        Ok(at) if at > now => Ok(Some(at)),
        Ok(_) => Err(format!("{text:?} is past: write a time to come, a duration such as 90d, now, or {NONE}")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::when::of_rfc3339;

    #[test]
    fn an_end_is_a_time_to_come_or_a_duration() {
        let (zone, now) = (Zone::named("Asia/Tokyo"), of_rfc3339("2026-11-29T00:00:00Z").expect("a time"));
        let at = |text: &str| expiry_of(text, &zone, now).map(|at| at.map(|at| at.rfc3339()));
        assert_eq!(at("none"), Ok(None));
        for (text, expected) in [
            ("now", "2026-11-29T00:00:00.000Z"),
            ("90d", "2027-02-27T00:00:00.000Z"),
            ("2027-01-01", "2026-12-31T15:00:00.000Z"),
            ("2027-01-01T09:00", "2027-01-01T00:00:00.000Z"),
            ("2027-01-01T09:00:00Z", "2027-01-01T09:00:00.000Z"),
        ] {
            assert_eq!(at(text), Ok(Some(expected.to_owned())), "{text}");
        }
        for (text, words) in [("2026-11-01", "past"), ("soon", "no time"), ("", "no time")] {
            let told = at(text).expect_err(text);
            assert!(told.contains(words), "{text}: {told}");
        }
    }

    #[test]
    fn flags_are_words_of_their_list() {
        let given = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let read = |words: &[&str]| flags_of(Some(&given(words)), ["smtp", "http"]);
        assert_eq!(read(&["smtp", "http"]), Ok(Some((true, true))));
        assert_eq!((read(&["http"]), read(&["none"])), (Ok(Some((false, true))), Ok(Some((false, false)))));
        assert_eq!(flags_of(None, ["smtp", "http"]), Ok(None));
        assert!(read(&["ftp"]).expect_err("no such door").contains("ftp"));
    }
}
