//! The one router: which path answers on which door.
//!
//! In: a request.  Out: a response.
//! Always: control routes exist only behind the control socket; elsewhere they are "not found", like any other path. The
//! figures, which ask for no password, exist for this machine alone; the API asks for credentials, the console for a session, and
//! the probes tell nothing. Over TLS every answer asks for TLS from then on.
//! Sources: RFC 6797; OWASP ASVS 5.0 3.4.1.

use crate::http::{
    api, console, control,
    daemon::Daemon,
    exchange::{Door, Method, Request, Response},
    health, metrics,
};

/// A browser that came by TLS comes by TLS for a year: nobody on the way sends it by plain HTTP to a page of their own. Names
/// below ours are others' affair. Where browsers reach us by plain HTTP, they hear nothing of it (RFC 6797 §7.2).
const STRICT_TRANSPORT: (&str, &str) = ("Strict-Transport-Security", "max-age=31536000");

/// Answers a request.
pub fn route(daemon: &dyn Daemon, request: &Request) -> Response {
    let response = answer(daemon, request);
    let (name, value) = STRICT_TRANSPORT;
    if request.browser.is_secure { response.with(name, value) } else { response }
}

fn answer(daemon: &dyn Daemon, request: &Request) -> Response {
    if let (Some(path), Door::Control) = (request.path.strip_prefix("/control/"), request.door) {
        return control::route(daemon, request, path);
    }
    if api::has(&request.path) {
        return api::route(daemon, request);
    }
    let machine: fn(&dyn Daemon, &Request) -> Response = match request.path.as_str() {
        "/livez" => |_, _| health::livez(),
        "/readyz" => |daemon, request| health::readyz(daemon, request.is_near()),
        // They ask for no password, and exist for this machine alone.
        "/metrics" if request.is_near() => |daemon, _| metrics::metrics(daemon),
        "/openapi.json" if request.is_near() || console::gate::seat(daemon, request).is_some() => {
            |_, _| api::openapi::response()
        }
        "/status.json" if request.is_near() => |daemon, _| health::status_json(daemon),
        _ if request.door == Door::Control => return Response::error(404, "there is nothing at this path", ""),
        _ => return console::route(daemon, request),
    };
    match request.method {
        Method::Get | Method::Head => machine(daemon, request),
        Method::Post | Method::Other => {
            Response::error(405, "this path is for reading: GET or HEAD", "").with("Allow", "GET, HEAD")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        daemon::Unready,
        exchange::{Body, Peer},
        fake::Fake,
    };

    fn ask(fake: &Fake, method: Method, target: &str, door: Door) -> (u16, String) {
        let request = Request::of_target(method, target, door, Peer::User(0)).expect("a target");
        let response = route(fake, &request);
        let Body::Bytes(bytes) = response.body else { panic!("a stream") };
        (response.status, String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn control_routes_exist_behind_the_control_socket_only() {
        let fake = Fake::busy();
        for path in [
            "/control/status",
            "/control/queue",
            "/control/users",
            "/control/backup",
            "/control/pauses",
            "/control/nothing",
        ] {
            let (status, body) = ask(&fake, Method::Get, path, Door::Public);
            assert_eq!(status, 404, "{path}");
            assert!(!body.contains("queue_id"));
        }
        assert_eq!(ask(&fake, Method::Get, "/control/queue", Door::Control).0, 200);
        assert_eq!(ask(&fake, Method::Get, "/control/nothing", Door::Control).0, 404);
        assert_eq!(ask(&fake, Method::Get, "/control/queue/flush?all=1", Door::Control).0, 405);
        assert_eq!(ask(&fake, Method::Post, "/control/queue", Door::Control).0, 405);
    }

    #[test]
    fn strangers_see_the_probes_the_api_and_the_door_alone() {
        let fake = Fake::demo();
        let ask = |peer: &str, path: &str| {
            let peer = Peer::Address(peer.parse().expect("an address"));
            let request = Request::of_target(Method::Get, path, Door::Public, peer).expect("a target");
            route(&fake, &request)
        };
        for stranger in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"] {
            for path in ["/metrics", "/status.json", "/openapi.json", "/x"] {
                assert_eq!(ask(stranger, path).status, 404, "{path}");
            }
            for path in ["/", "/sandbox", "/find?key=a", "/message/0000000000001"] {
                assert_eq!(ask(stranger, path).status, 303, "{path}: to the sign-in");
            }
        }
        for near in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(ask(near, "/metrics").status, 200, "{near}");
        }
        let peer = Peer::Address([127, 0, 0, 1].into());
        let mut passed_on = Request::of_target(Method::Get, "/metrics", Door::Public, peer).expect("a target");
        passed_on.is_direct = false;
        assert_eq!(route(&fake, &passed_on).status, 404, "a proxy on this machine speaks for others");
        for path in ["/livez", "/readyz"] {
            assert_eq!(ask("192.0.2.1", path).status, 200, "{path}");
        }
        assert_eq!(ask("192.0.2.1", "/api/v2/emails/send.json").status, 405, "the API is there: POST");
    }

    #[test]
    fn who_came_by_tls_is_told_to_come_by_tls_again() {
        let fake = Fake::demo();
        for (is_secure, expected) in [(true, vec!["max-age=31536000"]), (false, vec![])] {
            for path in ["/", "/sign-in", "/style.css", "/livez", "/nothing", "/api/v2/emails/send.json"] {
                let mut request = Request::of_target(Method::Get, path, Door::Public, Peer::User(0)).expect("a target");
                request.browser.is_secure = is_secure;
                let response = route(&fake, &request);
                let told = response.headers.iter().filter(|(name, _)| *name == STRICT_TRANSPORT.0);
                assert_eq!(told.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), expected, "{path} {is_secure}");
            }
        }
    }

    #[test]
    fn reading_paths_refuse_other_methods() {
        let fake = Fake::demo();
        for path in ["/livez", "/metrics", "/status.json"] {
            assert_eq!(ask(&fake, Method::Post, path, Door::Public).0, 405, "{path}");
            assert_eq!(ask(&fake, Method::Head, path, Door::Public).0, 200, "{path}");
        }
    }

    #[test]
    fn readiness_names_its_reasons() {
        let mut fake = Fake::busy();
        assert_eq!(ask(&fake, Method::Get, "/readyz", Door::Public), (200, "ready\n".into()));
        fake.unready = vec![Unready::Draining, Unready::DiskFull, Unready::StoreFailed("EIO".into())];
        let (status, body) = ask(&fake, Method::Get, "/readyz", Door::Public);
        assert_eq!(status, 503);
        let words: Vec<&str> = body.lines().filter_map(|l| l.split(':').next()).collect();
        assert_eq!(words, ["draining", "disk_full", "store_failed"]);
        assert!(body.contains("EIO"), "this machine hears why: {body}");
        let peer = Peer::Address([192, 0, 2, 1].into());
        let stranger = Request::of_target(Method::Get, "/readyz", Door::Public, peer).expect("a target");
        let Body::Bytes(told) = route(&fake, &stranger).body else { panic!("a stream") };
        assert_eq!(told, b"not ready\ndraining\ndisk_full\nstore_failed\n", "a stranger hears of what class it is");
        assert_eq!(ask(&fake, Method::Get, "/livez", Door::Public).0, 200);
        let status: crate::http::rows::StatusOut =
            serde_json::from_str(&ask(&fake, Method::Get, "/status.json", Door::Public).1).expect("the schema");
        assert_eq!((status.state.as_str(), status.reasons.len()), ("trouble", 3));
    }

    #[test]
    fn the_status_counts_the_hour_and_names_the_destinations() {
        let (code, body) = ask(&Fake::busy(), Method::Get, "/status.json", Door::Public);
        assert_eq!(code, 200);
        let status: crate::http::rows::StatusOut = serde_json::from_str(&body).expect("the schema");
        assert_eq!(status.state, "waiting");
        assert!(status.last_hour.accepted > 0 && status.last_hour.delivered > 0);
        let first = &status.destinations[0];
        assert_eq!((first.destination.as_str(), first.waiting, first.running), ("docomo.example", 1204, 4));
        assert!(first.last_reply.starts_with("421"));
        assert!(!body.contains("docomo-otp"), "a rule's lane is part of its destination");
        let paused: Vec<&str> =
            status.destinations.iter().filter(|d| d.paused).map(|d| d.destination.as_str()).collect();
        assert_eq!(paused, ["partner.example.jp"]);
        assert_eq!((status.pauses.len(), status.pauses[0].waiting, status.warm_ups.len()), (2, 3, 2));
        assert_eq!((status.oldest_seconds.high, status.oldest_seconds.normal), (None, Some(90_000)));
        assert_eq!(status.dns_validation.as_deref(), Some("no"));
        let unused: Vec<&str> = status.unused_rules.iter().map(|r| r.rule.as_str()).collect();
        assert_eq!(unused, ["kddi"]);
    }

    #[test]
    fn a_store_that_fails_is_a_503_or_500_and_no_panic() {
        let mut fake = Fake::busy();
        fake.broken = true;
        for (path, door) in [
            ("/status.json", Door::Public),
            ("/control/queue", Door::Control),
            ("/control/log/deliveries", Door::Control),
            ("/control/log/audit", Door::Control),
            ("/control/find?key=a", Door::Control),
            ("/control/users", Door::Control),
            ("/control/pauses", Door::Control),
            ("/control/destinations", Door::Control),
            ("/control/explain?recipient=a@b.example&from=a@b.example", Door::Control),
        ] {
            let (status, body) = ask(&fake, Method::Get, path, door);
            assert!(status >= 500, "{path}: {status}");
            assert!(body.contains("the store stopped"), "{path}: {body}");
        }
    }
}
