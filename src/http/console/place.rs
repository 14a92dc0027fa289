//! The table of pages: what stands at which path, who may see it, and who answers.
//!
//! In: paths.  Out: the one [`Place`] that fits, with what its pattern left open.
//! Always: a path that is not in the table does not exist; nobody sees a page but through its [`Right`]; the tests of roles and of
//! browsers read the same table.

use super::{Answer, Missing, Visit};
use crate::{http::exchange::Method, ids::MessageId, store::Role};

/// What a place does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// It tells: GET and HEAD.
    Read,
    /// It acts: POST, with the token of the form.
    Act,
}

impl Verb {
    /// The verb of a method; `None`: no page has it.
    pub fn of(method: Method) -> Option<Self> {
        match method {
            Method::Get | Method::Head => Some(Verb::Read),
            Method::Post => Some(Verb::Act),
            Method::Other => None,
        }
    }
}

/// Who may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// Everybody, signed in or not.
    Anyone,
    /// Whoever is signed in.
    SignedIn,
    /// Graphs and sums without any address: every role.
    Reports,
    /// Rows with addresses: the group administrator and users.
    View,
    /// Rows as a file: who may see them, and has the right to download (R13).
    Download,
    /// Changes of mail, lists and destinations: the group administrator and users.
    Act,
    /// Accounts and their logs: the group administrator.
    Administer,
}

impl Right {
    /// Every right.
    pub const ALL: [Right; 7] =
        [Right::Anyone, Right::SignedIn, Right::Reports, Right::View, Right::Download, Right::Act, Right::Administer];

    /// Whether somebody of this role has it. `view`, `download`: the account's own permissions.
    pub fn is_of(self, role: Role, view: bool, download: bool) -> bool {
        let works = matches!(role, Role::GroupAdministrator | Role::User);
        match self {
            Right::Anyone | Right::SignedIn | Right::Reports => true,
            Right::View => works && view,
            Right::Download => works && view && download,
            Right::Act => works && view,
            Right::Administer => role == Role::GroupAdministrator,
        }
    }
}

/// What a place needs beside the store: the server has threads for each kind, so that nobody's page waits behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// Milliseconds.
    Moments,
    /// The time of a hash, and of whoever guesses.
    Hash,
    /// The time of others: the DNS, a web server, a key that is made, an order that waits for its turn.
    Others,
}

/// What answers.
pub type Page = fn(&Visit<'_>, &Args<'_>) -> Answer;

/// A page, or an act.
pub struct Place {
    /// What it does.
    pub verb: Verb,
    /// Its path; a part that begins with `:` stands for any one part of a path.
    pub path: &'static str,
    /// Who may.
    pub right: Right,
    /// What answers.
    pub answer: Page,
    /// What it needs to do so.
    pub takes: Takes,
}

impl Place {
    /// A page.
    pub const fn read(path: &'static str, right: Right, answer: Page) -> Self {
        Place { verb: Verb::Read, path, right, answer, takes: Takes::Moments }
    }

    /// An act.
    pub const fn act(path: &'static str, right: Right, answer: Page) -> Self {
        Place { verb: Verb::Act, path, right, answer, takes: Takes::Moments }
    }

    /// The same, and it computes a hash.
    pub const fn hashes(self) -> Self {
        Place { takes: Takes::Hash, ..self }
    }

    /// The same, and it waits for others.
    pub const fn waits(self) -> Self {
        Place { takes: Takes::Others, ..self }
    }

    /// What the open parts of the pattern are in this path; `None`: it is another place's.
    pub fn fits<'p>(&self, path: &'p str) -> Option<Args<'p>> {
        let (mut ours, mut theirs) = (self.path.split('/'), path.split('/'));
        let mut args = Args::default();
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return Some(args),
                (Some(name), Some(part)) if name.starts_with(':') && !part.is_empty() => {
                    args.0.push((&name[1..], part));
                }
                (Some(name), Some(part)) if name == part => {}
                (Some(_) | None, _) => return None,
            }
        }
    }
}

/// What a path has where its pattern is open.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Args<'p>(Vec<(&'static str, &'p str)>);

impl<'p> Args<'p> {
    /// The part of this name; empty when the pattern has none.
    pub fn get(&self, name: &str) -> &'p str {
        self.0.iter().find(|(n, _)| *n == name).map_or("", |(_, part)| part)
    }

    /// The part `:id` as a message's id.
    ///
    /// # Errors
    /// It is none.
    pub fn id(&self) -> Result<MessageId, Missing> {
        self.get("id").parse().map_err(|_| Missing::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &Visit<'_>, _: &Args<'_>) -> Answer {
        Err(Missing::Nothing)
    }

    #[test]
    fn a_pattern_fits_whole_paths_only() {
        let place = Place::read("/users/:name/key", Right::Administer, nothing);
        assert_eq!(place.fits("/users/a@b.example/key").expect("it fits").get("name"), "a@b.example");
        for other in ["/users//key", "/users/a", "/users/a/key/", "/users/a/b/key", "/", ""] {
            assert!(place.fits(other).is_none(), "{other}");
        }
        assert!(Place::read("/", Right::Anyone, nothing).fits("/").is_some());
    }

    #[test]
    fn rights_follow_roles_and_permissions() {
        use Role::{GroupAdministrator, ReportViewer, User};
        for (role, view, download, may) in [
            (GroupAdministrator, true, true, Right::ALL.to_vec()),
            (User, true, false, vec![Right::Anyone, Right::SignedIn, Right::Reports, Right::View, Right::Act]),
            (User, false, true, vec![Right::Anyone, Right::SignedIn, Right::Reports]),
            (ReportViewer, true, true, vec![Right::Anyone, Right::SignedIn, Right::Reports]),
        ] {
            for right in Right::ALL {
                assert_eq!(right.is_of(role, view, download), may.contains(&right), "{role:?} {right:?}");
            }
        }
    }
}
