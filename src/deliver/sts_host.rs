//! Where a domain's MTA-STS policy comes from: its TXT record and its policy host, or a test's.
//!
//! In: a domain.  Out: the id, the policy file.
//! Always: no redirect is followed; only text/plain counts; the policy host's addresses come from our own resolver, and
//! private ones are refused where MX hosts on them are; size and time are bounded.
//! Sources: RFC 8461 §3.1 and §3.3.

use std::{future::Future, pin::Pin};

use super::{
    route,
    sts::FETCH_WITHIN,
    sts_fetch::{self, HTTPS_PORT, NoPolicy, host_of},
    sts_policy::record_id,
    tls_results::ResultType,
};
use crate::net::{
    dns::{DnsError, Resolver},
    https,
    tls::Trust,
};

/// A future in a box.
pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A policy that could not be fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FetchError {
    /// In the terms of a report.
    pub result: ResultType,
    /// For people.
    pub words: String,
}

/// Where policies come from.
pub(super) trait PolicyHost: Send + Sync + 'static {
    /// The id of a domain's policy; `None`: it has none.
    fn record<'a>(&'a self, domain: &'a str) -> Boxed<'a, Result<Option<String>, String>>;

    /// The policy file; `guard`: not from private addresses.
    fn fetch<'a>(&'a self, domain: &'a str, guard: bool) -> Boxed<'a, Result<Vec<u8>, FetchError>>;
}

/// The internet.
#[derive(Clone)]
pub(super) struct LivePolicyHost {
    resolver: Resolver,
    /// `None`: there are no roots to check a host by, which was logged.
    https: Option<https::Client>,
    port: u16,
}

impl LivePolicyHost {
    /// Policy hosts must have a certificate that these vouch for. Reads the system's roots from disk.
    pub(super) fn new(resolver: Resolver, trust: Trust) -> Self {
        let https = https::Client::new(trust).map_err(|e| log::warn!("MTA-STS policies cannot be fetched: {e}")).ok();
        LivePolicyHost { resolver, https, port: HTTPS_PORT }
    }

    async fn look_up(&self, domain: &str) -> Result<Option<String>, String> {
        let answer = self.resolver.txt(&format!("_mta-sts.{domain}")).await;
        match answer.records {
            Ok(records) => Ok(record_id(&records).map(str::to_owned)),
            Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => Ok(None),
            Err(e @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => Err(e.to_string()),
        }
    }

    async fn get(&self, domain: &str, guard: bool) -> Result<Vec<u8>, FetchError> {
        let failed = |words: String| FetchError { result: ResultType::StsPolicyFetchError, words };
        let host = host_of(domain);
        let https = self.https.as_ref().ok_or_else(|| failed("there are no root certificates".into()))?;
        let found = self.resolver.addresses_answer(&host, true).await;
        let mut addresses = found.records.map_err(|e| failed(format!("looking up the address of {host}: {e}")))?;
        if guard {
            addresses.retain(|a| route::is_public(*a));
            if addresses.is_empty() {
                return Err(failed(format!("{host} has only private or reserved addresses, which are refused")));
            }
        }
        sts_fetch::fetch(https, domain, self.port, addresses, FETCH_WITHIN).await.map_err(|why| {
            let is_certificate = why.is_certificate();
            let result = if is_certificate { ResultType::StsWebpkiInvalid } else { ResultType::StsPolicyFetchError };
            let words = match why {
                NoPolicy::Status(status) => format!("{host} answered with status {status}"),
                NoPolicy::Http(error) => format!("{host}: {error}"),
            };
            FetchError { result, words }
        })
    }
}

impl PolicyHost for LivePolicyHost {
    fn record<'a>(&'a self, domain: &'a str) -> Boxed<'a, Result<Option<String>, String>> {
        Box::pin(self.look_up(domain))
    }

    fn fetch<'a>(&'a self, domain: &'a str, guard: bool) -> Boxed<'a, Result<Vec<u8>, FetchError>> {
        Box::pin(self.get(domain, guard))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        sync::Arc,
        thread,
    };

    use super::*;
    use crate::{
        clock::Clock,
        config,
        deliver::{sts_policy::POLICY_OCTETS_MAX, tests::certificate},
        metrics::Metrics,
        net::{
            dns::testserver::{Says, TestServer},
            tls::blocking_server,
        },
    };

    const POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: *.x.test\r\nmax_age: 86400\r\n";

    fn answer(head: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[test]
    fn a_policy_is_taken_from_its_own_host_alone_and_only_as_plain_text() {
        let dns = TestServer::start();
        let config = config::Dns { servers: vec![dns.address()], trusted: Vec::new() };
        let resolver = Resolver::new(Clock::system(), Arc::new(Metrics::default()), &config);
        dns.set("_mta-sts.x.test", Says::Txt(vec!["v=STSv1; id=1;".into()]));
        dns.set("_mta-sts.broken.test", Says::Servfail);
        dns.set("mta-sts.x.test", Says::Address(vec!["127.0.0.1".parse().expect("an address")]));
        let (tls, trust) = certificate("mta-sts.x.test");
        let (stranger, _) = certificate("mta-sts.x.test");
        let plain = "200 OK\r\nContent-Type: text/plain; charset=utf-8";
        let large = "x".repeat(POLICY_OCTETS_MAX + 1);
        let cases = [
            (tls.clone(), answer(plain, POLICY), Ok(())),
            (tls.clone(), answer("200 OK\r\nContent-Type: text/html", POLICY), Err("type")),
            (tls.clone(), answer("301 Moved\r\nLocation: https://mta-sts.x.test/", POLICY), Err("status 301")),
            (tls.clone(), answer("404 Not Found\r\nContent-Type: text/plain", POLICY), Err("status 404")),
            (tls, answer(plain, &large), Err("octets")),
            (stranger, answer(plain, POLICY), Err("certificate")),
        ];
        for (server, wire, want) in cases {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("bound").port();
            let served = thread::spawn(move || {
                let Ok((stream, _)) = listener.accept() else { return String::new() };
                let mut stream = blocking_server(server, stream);
                let mut request = [0; 2048];
                let n = stream.read(&mut request).unwrap_or(0);
                let _ = stream.write_all(&wire);
                stream.conn.send_close_notify();
                let _ = stream.flush();
                String::from_utf8_lossy(&request[..n]).into_owned()
            });
            let host = LivePolicyHost { port, ..LivePolicyHost::new(resolver.clone(), trust.clone()) };
            let got = smol::block_on(host.fetch("x.test", false));
            match want {
                Ok(()) => {
                    assert_eq!(got, Ok(POLICY.as_bytes().to_vec()));
                    let request = served.join().expect("served");
                    assert!(request.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), "{request}");
                }
                Err(words) => {
                    let error = got.expect_err(words);
                    assert!(error.words.contains(words), "{error:?}");
                    let webpki = words == "certificate";
                    assert_eq!(error.result == ResultType::StsWebpkiInvalid, webpki, "{error:?}");
                }
            }
        }
        let host = LivePolicyHost::new(resolver, trust);
        let refused = smol::block_on(host.fetch("x.test", true)).expect_err("loopback");
        assert!(refused.words.contains("private"), "{refused:?}");
        assert_eq!(smol::block_on(host.record("x.test")), Ok(Some("1".into())));
        assert_eq!(smol::block_on(host.record("y.test")), Ok(None));
        assert!(smol::block_on(host.record("broken.test")).is_err());
    }
}
