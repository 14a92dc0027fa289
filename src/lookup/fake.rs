//! A DNS for tests: zones in a table.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Answer, Asking, DnsError, Lookup, MxRecord, Tlsa};

/// Records by name; a name has the types that were given to it, NODATA for others, and NXDOMAIN where nothing was given to it
/// or to a name below it. Every question is remembered.
#[derive(Default)]
pub struct Zones(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    txt: BTreeMap<String, Vec<String>>,
    mx: BTreeMap<String, Vec<MxRecord>>,
    a: BTreeMap<String, Vec<Ipv4Addr>>,
    aaaa: BTreeMap<String, Vec<Ipv6Addr>>,
    ptr: BTreeMap<IpAddr, Vec<String>>,
    ns: BTreeMap<String, Vec<String>>,
    tlsa: BTreeMap<String, Vec<Tlsa>>,
    failing: BTreeSet<String>,
    secure: BTreeSet<String>,
    asked: Vec<String>,
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

impl Zones {
    /// Changes the zones; used by what is below.
    fn and(self, change: impl FnOnce(&mut Inner)) -> Self {
        self.change(change);
        self
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Adds a TXT record.
    pub fn with_txt(self, name: &str, text: &str) -> Self {
        self.and(|z| z.txt.entry(key(name)).or_default().push(text.to_owned()))
    }

    /// Adds an MX record; an empty host is the null MX.
    pub fn with_mx(self, name: &str, preference: u16, host: &str) -> Self {
        self.and(|z| z.mx.entry(key(name)).or_default().push(MxRecord { preference, host: key(host) }))
    }

    /// Adds an address record, A or AAAA.
    pub fn with_ip(self, name: &str, address: &str) -> Self {
        self.and(|z| match address.parse().expect("an address") {
            IpAddr::V4(a) => z.a.entry(key(name)).or_default().push(a),
            IpAddr::V6(a) => z.aaaa.entry(key(name)).or_default().push(a),
        })
    }

    /// Adds a name of an address.
    pub fn with_ptr(self, address: &str, name: &str) -> Self {
        self.and(|z| z.ptr.entry(address.parse().expect("an address")).or_default().push(key(name)))
    }

    /// Adds a server of a zone.
    pub fn with_ns(self, name: &str, server: &str) -> Self {
        self.and(|z| z.ns.entry(key(name)).or_default().push(key(server)))
    }

    /// Adds a TLSA record.
    pub fn with_tlsa(self, name: &str, tlsa: Tlsa) -> Self {
        self.and(|z| z.tlsa.entry(key(name)).or_default().push(tlsa))
    }

    /// Every question about this name is answered SERVFAIL.
    pub fn failing(self, name: &str) -> Self {
        self.and(|z| {
            z.failing.insert(key(name));
        })
    }

    /// Answers about this name were validated.
    pub fn secure(self, name: &str) -> Self {
        self.and(|z| {
            z.secure.insert(key(name));
        })
    }

    /// Takes all records of a name away.
    pub fn forget(&self, name: &str) {
        let name = key(name);
        self.change(|z| {
            z.txt.remove(&name);
            z.mx.remove(&name);
            z.a.remove(&name);
            z.aaaa.remove(&name);
            z.ns.remove(&name);
            z.tlsa.remove(&name);
            z.failing.remove(&name);
        });
    }

    /// Replaces the TXT records of a name by this one.
    pub fn set_txt(&self, name: &str, text: &str) {
        self.change(|z| drop(z.txt.insert(key(name), vec![text.to_owned()])));
    }

    /// The questions so far, `TXT example.jp`.
    pub fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }

    fn answer<T: Clone + Send + 'static>(
        &self,
        kind: &str,
        name: &str,
        pick: impl FnOnce(&Inner, &str) -> Option<Vec<T>>,
    ) -> Asking<'_, T> {
        let name = key(name);
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.asked.push(format!("{kind} {name}"));
        let records = if inner.failing.contains(&name) {
            Err(DnsError::Servfail("SERVFAIL".to_owned()))
        } else if let Some(found) = pick(&inner, &name) {
            Ok(found)
        } else if inner.exists(&name) {
            Err(DnsError::NoData)
        } else {
            Err(DnsError::NxDomain)
        };
        let answer = Answer { records, secure: inner.secure.contains(&name), ttl: Duration::from_secs(300) };
        Box::pin(std::future::ready(answer))
    }
}

impl Inner {
    fn exists(&self, name: &str) -> bool {
        let below = format!(".{name}");
        let has = |known: &String| known == name || known.ends_with(&below);
        self.txt.keys().any(has)
            || self.mx.keys().any(has)
            || self.a.keys().any(has)
            || self.aaaa.keys().any(has)
            || self.ns.keys().any(has)
            || self.tlsa.keys().any(has)
    }
}

impl Lookup for Zones {
    fn txt<'a>(&'a self, name: &'a str) -> Asking<'a, String> {
        self.answer("TXT", name, |z, name| z.txt.get(name).cloned())
    }

    fn mx<'a>(&'a self, name: &'a str) -> Asking<'a, MxRecord> {
        self.answer("MX", name, |z, name| z.mx.get(name).cloned())
    }

    fn a<'a>(&'a self, name: &'a str) -> Asking<'a, Ipv4Addr> {
        self.answer("A", name, |z, name| z.a.get(name).cloned())
    }

    fn aaaa<'a>(&'a self, name: &'a str) -> Asking<'a, Ipv6Addr> {
        self.answer("AAAA", name, |z, name| z.aaaa.get(name).cloned())
    }

    fn ptr(&self, address: IpAddr) -> Asking<'_, String> {
        self.answer("PTR", &address.to_string(), |z, _| z.ptr.get(&address).cloned())
    }

    fn ns<'a>(&'a self, name: &'a str) -> Asking<'a, String> {
        self.answer("NS", name, |z, name| z.ns.get(name).cloned())
    }

    fn tlsa<'a>(&'a self, name: &'a str) -> Asking<'a, Tlsa> {
        self.answer("TLSA", name, |z, name| z.tlsa.get(name).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_names_and_absent_types_differ() {
        let zones = Zones::default()
            .with_txt("_dmarc.example.jp", "v=DMARC1; p=none")
            .with_ip("mx.example.jp", "192.0.2.1")
            .failing("bad.test");
        let txt = |name: &str| smol::block_on(zones.txt(name)).records;
        assert_eq!(txt("_DMARC.example.jp."), Ok(vec!["v=DMARC1; p=none".to_owned()]));
        assert_eq!(txt("example.jp"), Err(DnsError::NoData), "an empty name between");
        assert_eq!(txt("www.example.jp"), Err(DnsError::NxDomain));
        assert!(txt("bad.test").is_err_and(|e| e.is_temporary()));
        assert_eq!(zones.asked().len(), 4);
    }
}
