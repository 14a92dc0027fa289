//! An account goes, and what was its own goes with it: links to its numbers, saved views.
//!
//! In: who removes, a name.  Out: whether there was such an account.
//! Always: the account goes first, and what stays behind by a crash is nobody's: links and views that are older than an account
//! are not that account's, whatever its name.

use smol::future::block_on;

use super::{daemon::Daemon, owner_links::By};
use crate::account::{AccountError, Actor};

/// Removes an account with what is its own; false: there was none.
///
/// # Errors
/// Who acts may not; the store's failure.
pub fn remove(daemon: &dyn Daemon, by: &Actor, name: &str) -> Result<bool, AccountError> {
    // Console users are found in any case of their name.
    let found = daemon.users().get(name).or_else(|| daemon.users().get(&name.to_lowercase()));
    if !block_on(daemon.users().remove(by, name))? {
        return Ok(false);
    }
    let Some(account) = found else { return Ok(true) };
    let (who, from) = by.words();
    let links = block_on(daemon.owner_links().forget_user(&account.name, By { who: &who, from: &from }));
    if let Err(error) = links {
        log::error!(
            "act=user.remove user={:?} what=\"links to its numbers stay listed\" error=\"{error}\"",
            account.name
        );
    }
    if let Err(error) = daemon.views().forget_all(&account.name) {
        log::error!("act=user.remove user={:?} what=\"its saved views stay for now\" error=\"{error}\"", account.name);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::NewUser,
        http::fake::{Fake, now},
        store::AccountKind,
    };

    #[test]
    fn with_an_account_its_links_and_views_go() {
        let fake = Fake::busy();
        let by = Actor::Operator { who: "operator root".into(), from: "control socket".into() };
        let users = fake.users();
        let person = NewUser { kind: AccountKind::Console, ..NewUser::api("gone@example.jp") };
        block_on(users.add(&by, person)).expect("a person");
        for name in ["gone", "stays"] {
            block_on(users.add(&by, NewUser::api(name))).expect("a program");
            let link = fake.owner_links.add(name, "", None, By { who: "admin", from: "here" });
            block_on(link).expect("a link");
        }
        let person = users.get("gone@example.jp").expect("a person");
        fake.views.save(&person, &users.list(), "queue", "held", "held=1", now()).expect("a view");
        assert_eq!(fake.views.of(&person, "queue").expect("views").len(), 1);
        for name in ["gone", "Gone@Example.jp"] {
            assert!(remove(&fake, &by, name).expect("removed"), "{name}");
            assert!(!remove(&fake, &by, name).expect("nobody"), "{name}");
        }
        let left: Vec<String> = fake.owner_links.all().expect("links").into_iter().map(|link| link.user).collect();
        assert_eq!(left, ["stays"]);
        assert!(fake.views.of(&person, "queue").expect("views").is_empty());
    }
}
