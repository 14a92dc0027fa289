//! Who calls, and whether it may.
//!
//! In: a call's parameters and what it wants to do.  Out: [`Caller`], or the fault: 401, 403, 429.
//! Always: credentials come in the body alone; a wrong key costs its source address, never the account (R15); a right that lacks
//! is written to the operation log; a user has at most [`CALLS_MAX`] calls under way, so that one program cannot take every thread.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    ask::Ask,
    fault::{Fault, Why},
};
use crate::{
    account::{Door, LoginRefusal},
    http::{
        daemon::Daemon,
        exchange::{Peer, Request},
        when::Zone,
    },
    secret::Secret,
    store::{AuditEntry, Rights, Role},
};

/// Calls of one API user at once; further ones are answered 429.
pub const CALLS_MAX: usize = 10;
/// Entries of the operation log about what one API user was denied in a minute: a program that asks in a loop fills no disk.
const DENIALS_A_MINUTE_MAX: u32 = 30;
/// That minute.
const MINUTE: Duration = Duration::from_secs(60);

/// What a call wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Send mail.
    Send,
    /// Read logs and lists.
    View,
    /// Take them away.
    Download,
    /// Change lists or the queue.
    Change,
}

impl Access {
    /// Its word in the operation log.
    pub fn word(self) -> &'static str {
        match self {
            Access::Send => "send",
            Access::View => "view",
            Access::Download => "download",
            Access::Change => "change",
        }
    }
}

/// A caller who was let in. Its call counts until this is dropped.
#[derive(Debug)]
pub struct Caller {
    /// The API user.
    pub name: String,
    /// What it may do.
    pub rights: Rights,
    /// The zone of its dates.
    pub zone: Zone,
    /// From where it calls.
    pub source: IpAddr,
    _call: Call,
}

/// Lets a caller in.
///
/// # Errors
/// Credentials that lack or are wrong, a right that lacks, or too much at once.
pub fn of(daemon: &dyn Daemon, request: &Request, ask: &Ask<'_>, access: Access) -> Result<Caller, Fault> {
    let (name, key) = match (ask.required("api_user"), ask.required("api_key")) {
        (Ok(name), Ok(key)) => (name, Secret::new(key)),
        (Err(fault), Ok(_)) | (Ok(_), Err(fault)) => return Err(fault),
        (Err(first), Err(second)) => return Err(first.and(second)),
    };
    let source = source_of(request);
    let door = match access {
        Access::Send => Door::Send,
        Access::View | Access::Download | Access::Change => Door::Http,
    };
    let login = daemon.check_login(door, source, &name, &key).map_err(|refusal| match refusal {
        LoginRefusal::Wrong { .. } => Why::Credentials.fault(),
        LoginRefusal::NotAllowed | LoginRefusal::Expired => Why::NotAllowed.fault(),
        LoginRefusal::Busy { again_after } | LoginRefusal::TurnedAway { again_after } => {
            Why::Throttled { after: again_after }.fault()
        }
    })?;
    let may = match access {
        Access::Send => true,
        Access::View => login.rights.view,
        Access::Download => login.rights.download,
        Access::Change => login.rights.role == Role::GroupAdministrator,
    };
    if !may {
        denied(daemon, &login.name, source, &request.path, access.word());
        return Err(Why::NoRight.fault());
    }
    let call = daemon.calls().start(&login.name).ok_or(Why::TooManyAtOnce { max: CALLS_MAX }.fault())?;
    let zone = match login.rights.time_zone.as_str() {
        "" => daemon.zone(),
        name => Zone::named(name),
    };
    Ok(Caller { name: login.name, rights: login.rights, zone, source, _call: call })
}

/// Writes to the operation log that a caller was denied something; of many a minute, a few and how many there were.
pub fn denied(daemon: &dyn Daemon, name: &str, source: IpAddr, path: &str, what: &str) {
    let Some(untold) = daemon.calls().denied(name, daemon.clock().instant()) else { return };
    let more = if untold > 0 { format!(" ({untold} more before)") } else { String::new() };
    let entry = AuditEntry {
        at: daemon.now(),
        who: name.to_owned(),
        act: "api.denied".to_owned(),
        object: path.to_owned(),
        detail: format!("{what}{more}"),
        from: source.to_string(),
    };
    if let Err(error) = daemon.audit(entry) {
        log::error!("act=api.denied user={name} error=\"{error}\"");
    }
}

fn source_of(request: &Request) -> IpAddr {
    match request.peer {
        Peer::Address(ip) => ip,
        // Whoever is on the control socket is on this machine.
        Peer::User(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

/// The calls under way and what was denied lately, by API user; clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<HashMap<String, Count>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    under_way: usize,
    /// The minute of the last denial: when it began, entries about it, and denials that have none yet.
    denials: Option<(Instant, u32, u64)>,
}

impl Calls {
    /// Counts a call, unless the user has [`CALLS_MAX`] already.
    pub fn start(&self, name: &str) -> Option<Call> {
        let mut calls = self.lock();
        let count = calls.entry(name.to_owned()).or_default();
        if count.under_way >= CALLS_MAX {
            return None;
        }
        count.under_way += 1;
        Some(Call { of: self.clone(), name: name.to_owned() })
    }

    /// Something was denied: `Some` when it is to be told, with how many were not.
    fn denied(&self, name: &str, now: Instant) -> Option<u64> {
        let mut calls = self.lock();
        let denials = &mut calls.entry(name.to_owned()).or_default().denials;
        let (began, told, untold) = match *denials {
            Some((began, told, untold)) if now.saturating_duration_since(began) < MINUTE => (began, told, untold),
            before => (now, 0, before.map_or(0, |(_, _, untold)| untold)),
        };
        if told >= DENIALS_A_MINUTE_MAX {
            *denials = Some((began, told, untold + 1));
            return None;
        }
        *denials = Some((began, told + 1, 0));
        Some(untold)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call; dropped, it is over.
#[derive(Debug)]
pub struct Call {
    of: Calls,
    name: String,
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut calls = self.of.lock();
        if let Some(count) = calls.get_mut(&self.name) {
            count.under_way -= 1;
            if count.under_way == 0 && count.denials.is_none() {
                calls.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};

    #[test]
    fn a_user_has_so_many_calls_at_once_and_another_is_not_in_its_way() {
        let calls = Calls::default();
        let mut under_way: Vec<Call> = (0..CALLS_MAX).map(|_| calls.start("a").expect("room")).collect();
        assert!(calls.start("a").is_none());
        assert!(calls.start("b").is_some());
        under_way.pop();
        assert!(calls.start("a").is_some());
        under_way.clear();
        assert!(calls.lock().is_empty());
    }
    #[test]
    fn of_many_denials_a_few_are_told_and_the_rest_is_a_number() {
        let (calls, clock) = (Calls::default(), Clock::manual(Timestamp::ZERO));
        let told = |n: u32| (0..n).filter_map(|_| calls.denied("a", clock.instant())).collect::<Vec<u64>>();
        assert_eq!(told(100), vec![0; DENIALS_A_MINUTE_MAX as usize]);
        assert_eq!(calls.denied("b", clock.instant()), Some(0), "another user is told by itself");
        clock.advance(MINUTE);
        assert_eq!(told(2), [70, 0]);
    }
}
