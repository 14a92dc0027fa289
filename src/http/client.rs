//! Who asks: the other end of the connection, or the client that a configured proxy tells of.
//!
//! In: a checked head, and where its connection came from.  Out: a [`Client`].
//! Always: nobody but a configured proxy is believed; what a proxy says and cannot be read is refused and never guessed, for the
//! proxy's own address may be allowed more than its clients are; what was passed on never counts as near.
//! Sources: the de-facto X-Forwarded-For (an address, and with some proxies its port); RFC 7239 §6 for brackets.

use std::net::{IpAddr, SocketAddr};

use crate::http::{
    exchange::Peer,
    front::{Inner, Origin},
    wire::{Head, Refusal},
};

/// Octets of a header that the log tells.
const TOLD_MAX: usize = 64;

/// Who asks, and how it came here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Client {
    pub peer: Peer,
    /// It came by TLS: to us, or to a proxy of ours, which says so.
    pub is_secure: bool,
    /// Nobody passed it on.
    pub is_direct: bool,
}

/// Who sent this request.
pub(super) fn of(head: &Head, origin: &Origin, front: &Inner) -> Result<Client, Refusal> {
    let proxy = match origin.peer {
        Peer::Address(ip) if front.is_proxy(ip) => ip,
        Peer::Address(_) | Peer::User(_) => {
            let peer = origin.peer.clone();
            return Ok(Client { peer, is_secure: origin.by_tls, is_direct: !head.is_forwarded });
        }
    };
    // From the right: each proxy adds the address that it saw; the first that is no proxy of ours is the client. What stands
    // before that one the client may have written itself.
    let mut client = None;
    for told in head.forwarded_for.iter().rev() {
        let Some(ip) = address_of(told) else {
            if front.may_log_now() {
                let told: String = told.chars().take(TOLD_MAX).collect();
                log::warn!(
                    "http=refused peer={proxy} status=400 reason=\"its X-Forwarded-For cannot be read\" told={told:?} \
                     fix=\"let the proxy send its client's IP address, with or without a port\""
                );
            }
            return Err(Refusal {
                status: 400,
                words: "the proxy's X-Forwarded-For is no list of IP addresses: its operator must mend that",
            });
        };
        if !front.is_proxy(ip) {
            client = Some(ip);
            break;
        }
    }
    let scheme = head.headers.iter().rev().find(|(name, _)| name == "x-forwarded-proto");
    let is_secure = scheme.is_some_and(|(_, scheme)| scheme.trim().eq_ignore_ascii_case("https"));
    Ok(Client { peer: Peer::Address(client.unwrap_or(proxy)), is_secure, is_direct: false })
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn address_of(told: &str) -> Option<IpAddr> {
    let bare = told.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bare {
        Some(v6) => v6.parse().map(IpAddr::V6).ok()?,
        None => told.parse().or_else(|_| told.parse().map(|socket: SocketAddr| socket.ip())).ok()?,
    };
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_every_spelling_and_nothing_else_is() {
        for (told, address) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
        ] {
            assert_eq!(address_of(told).map(|ip| ip.to_string()).as_deref(), Some(address), "{told}");
        }
        for told in [
            "",
            "unknown",
            "_hidden",
            "203.0.113.9:",
            "203.0.113.9:x",
            "[203.0.113.9]",
            "[2001:db8::1",
            "a.example",
            "1.2.3",
        ] {
            assert_eq!(address_of(told), None, "{told}");
        }
    }
}
