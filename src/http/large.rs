//! Large answers: what is too large for the front to take at once is written by a thread of its own, while its client reads.
//!
//! In: answers, and whose they are.  Out: a [`Place`] for each, or none.
//! Always: a worker never waits for a reader; an account has a few at once and all have some more, in number and in octets held; the
//! front ends whoever reads too slowly, so that each place comes back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    budget::{Budget, Lease},
    http::{
        api::{self, Format, Language, fault::Why},
        exchange::{Body, Door, Request, Response},
        relay::WHOLE_MAX,
        words::Lang,
    },
};

/// At once, of one account; who is not signed in counts by his address.
const OF_ONE_MAX: usize = 4;
/// At once, of all.
const ALL_MAX: usize = 16;
/// Octets that wait in memory, of all: answers that are made while they are written take none.
const OCTETS_MAX: usize = 128 << 20;
/// Seconds after which to ask again.
const RETRY_SECONDS: &str = "30";

/// The large answers of a server.
pub(super) struct Large {
    /// Of the public door, and of the operator's: he waits behind nobody.
    doors: [Arc<Running>; 2],
}

struct Running {
    of_one_max: usize,
    of: Mutex<HashMap<String, usize>>,
    octets: Budget,
}

/// The place of one; dropped, it is free again.
pub(super) struct Place {
    of: Arc<Running>,
    who: String,
    _octets: Lease,
}

impl Large {
    pub(super) fn new() -> Self {
        let running = |of_one_max| Running { of_one_max, of: Mutex::default(), octets: Budget::new(OCTETS_MAX) };
        Large { doors: [OF_ONE_MAX, ALL_MAX].map(running).map(Arc::new) }
    }

    /// A place for an answer; `None`: too many are under way.
    pub(super) fn place(&self, request: &Request, response: &Response) -> Option<Place> {
        let [public, control] = &self.doors;
        let running = match request.door {
            Door::Public => public,
            Door::Control => control,
        };
        let who = request.account.get().cloned().unwrap_or_else(|| request.source().to_string());
        let octets = running.octets.take(octets_of(response))?;
        let mut of = running.lock();
        let (own, all) = (of.get(&who).copied().unwrap_or(0), of.values().sum::<usize>());
        if own >= running.of_one_max || all >= ALL_MAX {
            return None;
        }
        of.insert(who.clone(), own + 1);
        Some(Place { of: running.clone(), who, _octets: octets })
    }
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of = self.of.lock();
        if let Some(own) = of.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                of.remove(&self.who);
            }
        }
    }
}

fn octets_of(response: &Response) -> usize {
    match &response.body {
        Body::Bytes(bytes) => bytes.len(),
        Body::Stream(_) => 0,
    }
}

/// Whether a slow reader could hold up who writes it.
pub(super) fn is_large(response: &Response) -> bool {
    match &response.body {
        Body::Bytes(bytes) => bytes.len() > WHOLE_MAX,
        Body::Stream(_) => true,
    }
}

/// The answer to who has no place.
pub(super) fn too_many(request: &Request) -> Response {
    let response = if api::has(&request.path) {
        let language = Language::of_header(&request.accept_language);
        Why::Unavailable.fault().response(Format::of_path(&request.path).0, language)
    } else {
        let words = Lang::of(request).say(
            "Too many downloads run already, of your account or of all. Try again when one of them has ended.\n",
            "実行中のダウンロードが多すぎます（このアカウント、または全体）。完了を待ってから再度お試しください。\n",
        );
        Response::text(503, words)
    };
    Response { headers: vec![("Retry-After", RETRY_SECONDS.to_owned())], ..response }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exchange::{Method, Peer};

    #[test]
    fn one_account_has_a_few_all_have_some_more_and_the_operator_has_his_own() {
        let large = Large::new();
        let ask = |door, account: &str, octets: usize| {
            let peer = Peer::Address([192, 0, 2, 1].into());
            let request = Request::of_target(Method::Get, "/x", door, peer).expect("a target");
            if !account.is_empty() {
                request.account.set(account.to_owned()).expect("unset");
            }
            large.place(&request, &Response::new(200, "text/plain", vec![0; octets]))
        };
        let mut held: Vec<Place> = (0..OF_ONE_MAX).filter_map(|_| ask(Door::Public, "a", 1)).collect();
        assert!(held.len() == OF_ONE_MAX && ask(Door::Public, "a", 1).is_none(), "one account");
        assert!(ask(Door::Public, "", 1).is_some(), "another");
        for n in 0.. {
            let Some(place) = ask(Door::Public, &n.to_string(), 1) else { break };
            held.push(place);
        }
        assert_eq!(held.len(), ALL_MAX);
        assert!(ask(Door::Control, "", 1).is_some());
        held.clear();
        assert!(ask(Door::Public, "a", OCTETS_MAX + 1).is_none(), "more octets than there may be");
        let most = ask(Door::Public, "a", OCTETS_MAX - 1);
        assert!(most.is_some() && ask(Door::Public, "b", 2).is_none());
        drop(most);
        assert!(ask(Door::Public, "b", 2).is_some() && large.doors[0].lock().is_empty());
    }
}
