//! Signing keys over the control socket: how they stand, and rotations.

use smol::future::block_on;

use super::super::{Answer, Refused, note, number};
use crate::{
    dkim::{key::RSA_BITS_DEFAULT, public::Algorithm},
    http::{
        daemon::{About, Daemon},
        exchange::{Request, Response},
        rows_keys::KeyOut,
    },
    signing::wish::{Refusal, Wish},
};

/// `keys`: the keys of one domain, or all.
pub(super) fn list(daemon: &dyn Daemon, _: &About, request: &Request) -> Answer {
    let name = request.param("name");
    let now = daemon.now();
    let views = daemon.signing_keys().keys((!name.is_empty()).then_some(name));
    Ok(Response::lines(&views.iter().map(|view| KeyOut::new(view, now)).collect::<Vec<_>>()))
}

/// `rotate`: a new key begins its life, or one that is under way is hurried.
pub(super) fn rotate(daemon: &dyn Daemon, about: &About, request: &Request) -> Answer {
    let name = name(request)?;
    let wish = Wish {
        domain: name.to_owned(),
        algorithm: algorithm(request)?.unwrap_or(Algorithm::RsaSha256),
        bits: number(request, "bits")?.map_or(RSA_BITS_DEFAULT, |bits| usize::try_from(bits).unwrap_or(usize::MAX)),
        selector: request.param("selector").to_owned(),
        hurry: request.flag("now"),
    };
    let made = block_on(daemon.signing_keys().begin(&wish)).map_err(refused)?;
    let hurry = if wish.hurry { "without waiting for caches" } else { "" };
    note(daemon, request, "domain.dkim-rotate", &made.record_name(), hurry)?;
    // The first look is part of the answer: a record that was published before is seen at once.
    block_on(daemon.signing_keys().look_now(name));
    list(daemon, about, request)
}

/// `rotate/abort`: back to the key before.
pub(super) fn abort(daemon: &dyn Daemon, about: &About, request: &Request) -> Answer {
    let told = block_on(daemon.signing_keys().abort(name(request)?, algorithm(request)?)).map_err(refused)?;
    let detail: Vec<String> =
        told.iter().map(|t| format!("{}: {}", t.selector, crate::signing::words::sentence(&t.what))).collect();
    note(daemon, request, "domain.dkim-abort", request.param("name"), &detail.join("; "))?;
    list(daemon, about, request)
}

/// `look`: the DNS is asked now about the keys of a domain.
pub(super) fn look(daemon: &dyn Daemon, about: &About, request: &Request) -> Answer {
    block_on(daemon.signing_keys().look_now(name(request)?));
    list(daemon, about, request)
}

fn name(request: &Request) -> Result<&str, Refused> {
    match request.param("name") {
        "" => Err(Refused::new(400, "which domain?", "name")),
        name => Ok(name),
    }
}

fn algorithm(request: &Request) -> Result<Option<Algorithm>, Refused> {
    match request.param("algorithm") {
        "" => Ok(None),
        word => match Algorithm::from_key_type(word) {
            Some(algorithm) => Ok(Some(algorithm)),
            None => Err(Refused::new(400, "the algorithm is rsa or ed25519", "algorithm")),
        },
    }
}

fn refused(refusal: Refusal) -> Refused {
    let (status, field) = match &refusal {
        Refusal::Store(_) => (0, ""),
        Refusal::NoSuchDomain(_) => (404, "name"),
        Refusal::UnderWay(..) => (409, ""),
        Refusal::Sandbox | Refusal::TooMany | Refusal::Abort(_) => (422, ""),
        Refusal::Selector(_) => (400, "selector"),
        Refusal::Key(_) => (400, "bits"),
        Refusal::WhichOne => (400, "algorithm"),
    };
    match refusal {
        Refusal::Store(error) => error.into(),
        other => Refused::new(status, other.to_string(), field),
    }
}
