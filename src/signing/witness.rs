//! What the servers of the DNS say of a key's record, and what that amounts to.
//!
//! In: the TXT records that each server tells, the record that is expected.  Out: [`Says`] of each, with what exactly is wrong;
//! a [`Judgement`] of all of them.
//! Always: a server that says something else is never outvoted. One that says nothing is not believed to agree: it holds the
//! key back for [`SILENCE_HOLDS`], then it is left out, as receivers do who ask the next one; one that this machine has no way
//! to (IPv6 where there is none) is left out at once, for waiting does not build a road. At least one server of the zone has to
//! say the record, and every resolver that answers. A resolver that answers that it cannot tell (SERVFAIL) is never left
//! out: that is how one that validates shows a zone that is broken, and receivers' resolvers would do the same.
//! Sources: RFC 6376 §3.6.1 and §3.6.2.2, RFC 8301 §3.1, RFC 2308.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::{
    clock::Timestamp,
    dkim::record::{KeyRecord, TXT_STRING_OCTETS, looks_like_key},
};

/// How long a silent server holds a key back when all others have its record.
pub const SILENCE_HOLDS: Duration = Duration::from_secs(24 * 3600);
/// Characters of a foreign record that are shown.
const SHOWN_MAX: usize = 60;

/// What a server says of the record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Says {
    /// It is there, for this very key.
    Right,
    /// There is none.
    Absent,
    /// It is there with an empty `p=`: the key is revoked.
    Revoked,
    /// Something else is there, in words.
    Wrong(String),
    /// The server answers that it cannot tell.
    Refused(String),
    /// It does not answer.
    Silent(String),
    /// This machine has no way there.
    NoWay(String),
}

impl Says {
    /// The word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Says::Right => "right",
            Says::Absent => "absent",
            Says::Revoked => "revoked",
            Says::Wrong(_) => "wrong",
            Says::Refused(_) => "refused",
            Says::Silent(_) => "silent",
            Says::NoWay(_) => "no_way",
        }
    }

    /// In words, as they stand behind the server's name.
    pub fn words(&self) -> String {
        match self {
            Says::Right => "has the record".into(),
            Says::Absent => "has no such record".into(),
            Says::Revoked => "has the record with an empty p= (revoked)".into(),
            Says::Wrong(what) => what.clone(),
            Says::Refused(why) => format!("cannot tell: {why}"),
            Says::Silent(why) => format!("does not answer: {why}"),
            Says::NoWay(why) => format!("cannot be reached from here: {why}"),
        }
    }
}

/// Who says it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// A server of the zone.
    Own,
    /// A resolver elsewhere.
    Resolver,
}

/// One address of one server, and what it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Witness {
    /// Who.
    pub role: Role,
    /// Its name; a resolver's is its address.
    pub server: String,
    /// Its address; `None`: it has none.
    pub address: Option<IpAddr>,
    /// What it says.
    pub says: Says,
    /// How long others may keep that.
    pub ttl: Duration,
}

impl Witness {
    /// Its name and address.
    pub fn who(&self) -> String {
        match (self.role, self.address) {
            (Role::Resolver, _) => format!("resolver {}", self.server),
            (Role::Own, Some(address)) => format!("{} ({address})", self.server),
            (Role::Own, None) => self.server.clone(),
        }
    }
}

/// What one look brought.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Everybody asked. Resolvers are asked when the zone's servers have the record: an absence that they had to find out would
    /// stay with them for its TTL.
    pub witnesses: Vec<Witness>,
    /// How long an absence may be kept, as the zone says.
    pub negative_ttl: Option<Duration>,
    /// Why nobody could be asked.
    pub trouble: Option<String>,
}

/// What a look amounts to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// The record is everywhere.
    Everywhere,
    /// Everywhere but on servers that say nothing; a day of that is enough.
    ButSilent,
    /// Somebody says something else.
    Not,
    /// Nobody says something else, and too few say anything.
    Unknown,
}

impl Seen {
    /// Whether the record is everywhere. `resolvers`: how many had to be asked.
    pub fn judge(&self, resolvers: usize) -> Judgement {
        let mut servers: BTreeMap<(Role, &str), Vec<&Says>> = BTreeMap::new();
        for witness in &self.witnesses {
            servers.entry((witness.role, &witness.server)).or_default().push(&witness.says);
        }
        let asked = servers.keys().filter(|(role, _)| *role == Role::Resolver).count();
        let (mut own, mut silent) = (0, 0);
        for ((role, _), says) in &servers {
            match vote(*role, says) {
                Vote::Yes => own += usize::from(*role == Role::Own),
                Vote::Nothing => silent += 1,
                Vote::LeftOut => {}
                Vote::No => return Judgement::Not,
            }
        }
        match (self.trouble.is_some() || own == 0 || asked < resolvers, silent) {
            (true, _) => Judgement::Unknown,
            (false, 0) => Judgement::Everywhere,
            (false, _) => Judgement::ButSilent,
        }
    }

    /// Somebody who answers says that the record is not there, or not this one. Silence says nothing.
    pub fn denies(&self) -> bool {
        self.witnesses.iter().any(|w| matches!(w.says, Says::Absent | Says::Revoked | Says::Wrong(_)))
    }

    /// At least one says the record, and nobody something else.
    pub fn confirms(&self) -> bool {
        !self.denies() && self.witnesses.iter().any(|w| w.says == Says::Right)
    }

    /// Every server of the zone that answers says that the record is gone or revoked, and one does answer.
    pub fn is_gone(&self) -> bool {
        let says = self.witnesses.iter().filter(|w| w.role == Role::Own).map(|w| &w.says);
        let mut answers = says.filter(|s| !matches!(s, Says::Silent(_) | Says::NoWay(_) | Says::Refused(_))).peekable();
        answers.peek().is_some() && answers.all(|s| matches!(s, Says::Absent | Says::Revoked))
    }

    /// How long the right record may be kept, as the greatest TTL says.
    pub fn ttl(&self) -> Duration {
        let right = self.witnesses.iter().filter(|w| w.role == Role::Own && w.says == Says::Right);
        right.map(|w| w.ttl).max().unwrap_or_default()
    }

    /// How long something else may still be in somebody's cache: an absence, a record with an error.
    pub fn stale_ttl(&self) -> Duration {
        let other = self.witnesses.iter().filter(|w| matches!(w.says, Says::Absent | Says::Revoked | Says::Wrong(_)));
        other.map(|w| w.ttl).chain(self.negative_ttl).max().unwrap_or_default()
    }

    /// Everybody who does not have the record, in words.
    pub fn complaints(&self) -> Vec<String> {
        let mut all: Vec<String> = self.trouble.iter().cloned().collect();
        let others = self.witnesses.iter().filter(|w| w.says != Says::Right);
        all.extend(others.map(|w| format!("{} {}", w.who(), w.says.words())));
        all
    }
}

/// What all addresses of one server say together.
enum Vote {
    Yes,
    No,
    Nothing,
    LeftOut,
}

fn vote(role: Role, says: &[&Says]) -> Vote {
    let any = |test: fn(&Says) -> bool| says.iter().any(|s| test(s));
    let refuses = any(|s| matches!(s, Says::Refused(_)));
    if any(|s| matches!(s, Says::Absent | Says::Revoked | Says::Wrong(_))) || role == Role::Resolver && refuses {
        Vote::No
    } else if any(|s| matches!(s, Says::Right)) {
        Vote::Yes
    } else if refuses || any(|s| matches!(s, Says::Silent(_))) {
        Vote::Nothing
    } else {
        Vote::LeftOut
    }
}

/// Compares the TXT records of the selector's name with the one that has to be there.
pub fn compare(texts: &[String], expected: &str) -> Says {
    let keys: Vec<&String> = texts.iter().filter(|text| looks_like_key(text)).collect();
    let text = match (texts, keys.as_slice()) {
        ([], _) => return Says::Absent,
        ([one], _) => one,
        // A second text there makes what receivers take a matter of chance (RFC 6376 §3.6.2.2).
        (all, [_]) => {
            let other = all.iter().find(|text| !looks_like_key(text)).map_or("", String::as_str);
            return Says::Wrong(format!(
                "has {} TXT records there, and there must be one alone: remove {}",
                all.len(),
                shown(other)
            ));
        }
        (all, _) => {
            return Says::Wrong(format!(
                "has {} TXT records there, and there must be one alone: remove all but the right one",
                all.len()
            ));
        }
    };
    if text == expected {
        return Says::Right;
    }
    match (KeyRecord::parse(text), KeyRecord::parse(expected)) {
        (Ok(there), Ok(ours)) => compare_records(&there, &ours, text, expected),
        (Err(fault), _) => Says::Wrong(mangled(text, expected).unwrap_or_else(|| {
            if looks_like_key(text) {
                format!("has {}: {fault}", shown(text))
            } else {
                format!("has something else there, which is no key record: {}", shown(text))
            }
        })),
        (Ok(_), Err(fault)) => Says::Wrong(format!("cannot be compared: our own record is wrong: {fault}")),
    }
}

fn compare_records(there: &KeyRecord, ours: &KeyRecord, text: &str, expected: &str) -> Says {
    let wrong = |what: String| Says::Wrong(what);
    let Some(key) = &there.key else { return Says::Revoked };
    if ours.key.as_ref() != Some(key) {
        if let Some(what) = mangled(text, expected) {
            return wrong(what);
        }
        if there.algorithm != ours.algorithm {
            let (theirs, ours) = (there.algorithm.key_type(), ours.algorithm.key_type());
            return wrong(format!("has a key of another type there (k={theirs} instead of k={ours})"));
        }
        let (theirs, ours) = (key.base64(), ours.key.as_ref().map(|k| k.base64()).unwrap_or_default());
        return wrong(match typo(&theirs, &ours) {
            Some(at) => format!("has the key with a typing error at character {at} of p=: publish the record again"),
            None => format!("has another key there: its p= ends in …{}, ours in …{}", tail(&theirs), tail(&ours)),
        });
    }
    if !there.takes_hash("sha256") {
        return wrong("has the key with an h= that forbids sha256: leave h= out".into());
    }
    if !there.is_for_mail() {
        return wrong("has the key with an s= that is not for mail: leave s= out".into());
    }
    if there.testing {
        return wrong("has the key with t=y (testing), which makes signatures worth nothing: leave t= out".into());
    }
    Says::Right
}

/// What a form or an editor made of the record; `None`: that cannot be told.
fn mangled(text: &str, expected: &str) -> Option<String> {
    let plain = |text: &str| -> String { text.chars().filter(|c| !matches!(c, ' ' | '\t' | '"' | '\\')).collect() };
    let (is, ought) = (plain(text), plain(expected));
    if is == ought {
        return Some(if text.contains('"') {
            "has the record with quotation marks in its text: the form adds them itself, enter it without".into()
        } else if text.contains('\\') {
            "has the record with backslashes in its text: enter it without them".into()
        } else {
            "has the record with blanks where none may be: enter it again".into()
        });
    }
    let rest = ought.strip_prefix(is.as_str())?;
    Some(match () {
        () if is.is_empty() => "has an empty record there".into(),
        // In a zone file, what stands behind a semicolon outside of quotation marks is a comment.
        () if rest.starts_with(';') => {
            "has the record cut off at a semicolon: put its text in quotation marks in the zone file".into()
        }
        () if text.len() == TXT_STRING_OCTETS => {
            "has the record cut off after 255 characters: a TXT string holds no more, enter it as several strings"
                .into()
        }
        () => format!(
            "has the record cut off after {} of {} characters: enter it again, as several strings",
            text.len(),
            expected.len()
        ),
    })
}

/// Where two keys of the same length differ, if that is one place; counted from one.
fn typo(is: &str, ought: &str) -> Option<usize> {
    let differing = is.bytes().zip(ought.bytes()).enumerate().filter(|(_, (a, b))| a != b).map(|(at, _)| at + 1);
    let places: Vec<usize> = differing.take(2).collect();
    match places.as_slice() {
        [one] if is.len() == ought.len() => Some(*one),
        _ => None,
    }
}

fn tail(base64: &str) -> &str {
    // A key ends alike in many (an exponent of 65537): what stands before that tells keys apart.
    let end = base64.trim_end_matches('=').trim_end_matches("IDAQAB");
    end.get(end.len().saturating_sub(8)..).unwrap_or(end)
}

fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_MAX).map(|c| if c.is_control() { '·' } else { c }).collect();
    if text.chars().count() > SHOWN_MAX {
        short.push('…');
    }
    format!("\"{short}\"")
}

/// Since when only silence holds a key back, after this look; and whether that was long enough.
pub fn silence(judgement: &Judgement, before: Option<Timestamp>, now: Timestamp) -> (Option<Timestamp>, bool) {
    match judgement {
        Judgement::ButSilent => {
            let since = before.unwrap_or(now);
            (Some(since), now.since(since) >= SILENCE_HOLDS)
        }
        Judgement::Everywhere | Judgement::Not | Judgement::Unknown => (None, false),
    }
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
