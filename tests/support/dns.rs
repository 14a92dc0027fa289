//! A small DNS server over UDP and TCP with a table that a test writes: MX, A, AAAA, TXT, CNAME, null MX, names that do not
//! exist, names that fail, names that never answer, answers that need TCP.
//!
//! Sources: RFC 1035 §4, RFC 2308 (negative answers carry the SOA), RFC 7505.

use std::{
    collections::{HashMap, HashSet},
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::place;

const A: u16 = 1;
const CNAME: u16 = 5;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const NS: u16 = 2;

const NO_ERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

/// Seconds that answers may be kept: short, so that a table changed in mid-test is seen soon.
const TTL_SECONDS: u32 = 1;

#[derive(Default)]
struct Table {
    records: HashMap<String, Vec<(u16, Vec<u8>)>>,
    failing: HashSet<String>,
    silent: HashSet<String>,
    truncated: HashSet<String>,
    asked: Vec<(String, u16)>,
}

/// A running server.
pub struct Dns {
    address: SocketAddr,
    table: Arc<Mutex<Table>>,
    stop: Arc<AtomicBool>,
}

impl Dns {
    /// Starts with an empty table: every name is NXDOMAIN.
    pub fn start() -> Self {
        Dns::at(5353).expect("the address is free")
    }

    /// The same at port 53, where a zone's own servers are asked; `None`: not allowed, which was said.
    pub fn authority() -> Option<Self> {
        let dns = Dns::at(53);
        if let Err(error) = &dns {
            super::say(format_args!("skipped: port 53 cannot be used: {error}"));
        }
        dns.ok()
    }

    fn at(port: u16) -> std::io::Result<Self> {
        let address = SocketAddr::from((place::address(), port));
        let udp = UdpSocket::bind(address)?;
        let tcp = TcpListener::bind(address).expect("the address is free");
        udp.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out can be set");
        tcp.set_nonblocking(true).expect("a listener can be non-blocking");
        let dns = Dns { address, table: Arc::default(), stop: Arc::default() };
        let (table, stop) = (dns.table.clone(), dns.stop.clone());
        thread::spawn(move || serve_udp(&udp, &table, &stop));
        let (table, stop) = (dns.table.clone(), dns.stop.clone());
        thread::spawn(move || serve_tcp(&tcp, &table, &stop));
        Ok(dns)
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds an MX record.
    #[must_use]
    pub fn mx(self, name: &str, preference: u16, host: &str) -> Self {
        let mut data = preference.to_be_bytes().to_vec();
        data.extend_from_slice(&encode_name(host));
        self.add(name, MX, data)
    }

    /// Adds a null MX (RFC 7505).
    #[must_use]
    pub fn null_mx(self, name: &str) -> Self {
        self.mx(name, 0, "")
    }

    /// Adds an A record.
    #[must_use]
    pub fn a(self, name: &str, address: Ipv4Addr) -> Self {
        self.add(name, A, address.octets().to_vec())
    }

    /// Adds an AAAA record.
    #[must_use]
    pub fn aaaa(self, name: &str, address: Ipv6Addr) -> Self {
        self.add(name, AAAA, address.octets().to_vec())
    }

    /// Adds a TXT record, in strings of 255 octets.
    #[must_use]
    pub fn txt(self, name: &str, text: &str) -> Self {
        let mut data = Vec::new();
        for part in text.as_bytes().chunks(255) {
            data.push(part.len() as u8);
            data.extend_from_slice(part);
        }
        self.add(name, TXT, data)
    }

    /// Adds a CNAME record.
    #[must_use]
    pub fn cname(self, name: &str, target: &str) -> Self {
        let data = encode_name(target);
        self.add(name, CNAME, data)
    }

    /// Adds an NS record.
    #[must_use]
    pub fn ns(self, name: &str, host: &str) -> Self {
        let data = encode_name(host);
        self.add(name, NS, data)
    }

    /// From now on this is the TXT record of a name, in strings of 255 octets; empty: there is none.
    pub fn set_txt(&self, name: &str, text: &str) {
        let mut data = Vec::new();
        for part in text.as_bytes().chunks(255) {
            data.push(part.len() as u8);
            data.extend_from_slice(part);
        }
        let mut table = self.table();
        table.records.remove(&key(name));
        if !text.is_empty() {
            table.records.insert(key(name), vec![(TXT, data)]);
        }
    }

    /// This name exists and has no records.
    #[must_use]
    pub fn empty(self, name: &str) -> Self {
        self.table().records.entry(key(name)).or_default();
        self
    }

    /// Questions about this name are answered SERVFAIL.
    #[must_use]
    pub fn failing(self, name: &str) -> Self {
        self.table().failing.insert(key(name));
        self
    }

    /// Questions about this name are not answered.
    #[must_use]
    pub fn silent(self, name: &str) -> Self {
        self.table().silent.insert(key(name));
        self
    }

    /// Answers about this name come over TCP only.
    #[must_use]
    pub fn over_tcp(self, name: &str) -> Self {
        self.table().truncated.insert(key(name));
        self
    }

    /// A failing or silent name is well again.
    pub fn heal(&self, name: &str) {
        let mut table = self.table();
        table.failing.remove(&key(name));
        table.silent.remove(&key(name));
    }

    /// How often this name was asked for, whatever the type.
    pub fn asked(&self, name: &str) -> usize {
        let name = key(name);
        self.table().asked.iter().filter(|(n, _)| *n == name).count()
    }

    /// The names that were asked for, in their order.
    pub fn questions(&self) -> Vec<String> {
        self.table().asked.iter().map(|(name, _)| name.clone()).collect()
    }

    fn add(self, name: &str, kind: u16, data: Vec<u8>) -> Self {
        self.table().records.entry(key(name)).or_default().push((kind, data));
        self
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no DNS thread panics")
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn encode_name(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|l| !l.is_empty()) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

fn serve_udp(socket: &UdpSocket, table: &Mutex<Table>, stop: &AtomicBool) {
    let mut block = [0; 1500];
    while !stop.load(Ordering::SeqCst) {
        let Ok((n, peer)) = socket.recv_from(&mut block) else { continue };
        if let Some(answer) = answer(&block[..n], table, false) {
            let _ = socket.send_to(&answer, peer);
        }
    }
}

fn serve_tcp(listener: &TcpListener, table: &Mutex<Table>, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let Ok((mut stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        let mut one = || -> Option<()> {
            stream.set_nonblocking(false).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
            let mut length = [0; 2];
            stream.read_exact(&mut length).ok()?;
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question).ok()?;
            let answer = answer(&question, table, true)?;
            stream.write_all(&(answer.len() as u16).to_be_bytes()).ok()?;
            stream.write_all(&answer).ok()
        };
        let _ = one();
    }
}

/// The answer to a query; `None`: say nothing.
fn answer(query: &[u8], table: &Mutex<Table>, tcp: bool) -> Option<Vec<u8>> {
    let (name, end) = read_name(query, 12)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    let question = query.get(12..end + 4)?;
    let mut table = table.lock().expect("no DNS thread panics");
    table.asked.push((name.clone(), kind));
    if table.silent.contains(&name) {
        return None;
    }
    let truncated = !tcp && table.truncated.contains(&name);
    let mut records = Vec::new();
    let mut code = NO_ERROR;
    if table.failing.contains(&name) {
        code = SERVFAIL;
    } else if !truncated {
        code = collect(&table, &name, kind, &mut records);
    }
    drop(table);

    let mut out = query[..2].to_vec();
    // QR, AA, RD as asked, RA; TC where the answer needs TCP.
    out.push(0x84 | (query[2] & 1) | if truncated { 2 } else { 0 });
    out.push(0x80 | code);
    let negative = records.is_empty() && code != SERVFAIL && !truncated;
    for count in [1, records.len() as u16, u16::from(negative), 0] {
        out.extend_from_slice(&count.to_be_bytes());
    }
    out.extend_from_slice(question);
    for (owner, kind, data) in &records {
        push_record(&mut out, owner, *kind, data);
    }
    if negative {
        // The SOA bounds how long the negative answer may be kept (RFC 2308 §5).
        let mut soa = encode_name("ns.test");
        soa.extend_from_slice(&encode_name("hostmaster.test"));
        for number in [1, 3600, 600, 86_400, TTL_SECONDS] {
            soa.extend_from_slice(&number.to_be_bytes());
        }
        push_record(&mut out, "test", 6, &soa);
    }
    Some(out)
}

/// Follows CNAMEs inside the table, as a resolver does.
fn collect(table: &Table, name: &str, kind: u16, records: &mut Vec<(String, u16, Vec<u8>)>) -> u8 {
    let mut name = name.to_owned();
    for _ in 0..8 {
        let Some(found) = table.records.get(&name) else { return NXDOMAIN };
        let alias = found.iter().find(|(k, _)| *k == CNAME && kind != CNAME);
        let Some((_, target)) = alias else {
            records.extend(found.iter().filter(|(k, _)| *k == kind).map(|(k, d)| (name.clone(), *k, d.clone())));
            return NO_ERROR;
        };
        records.push((name.clone(), CNAME, target.clone()));
        let Some((next, _)) = read_name(target, 0) else { return SERVFAIL };
        name = next;
    }
    SERVFAIL
}

fn push_record(out: &mut Vec<u8>, owner: &str, kind: u16, data: &[u8]) {
    out.extend_from_slice(&encode_name(owner));
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&1u16.to_be_bytes());
    out.extend_from_slice(&TTL_SECONDS.to_be_bytes());
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(data);
}

/// An uncompressed name in lower case, and where it ends.
fn read_name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1;
        if len == 0 {
            return Some((labels.join(".").to_ascii_lowercase(), at));
        }
        labels.push(String::from_utf8_lossy(bytes.get(at..at + len)?).into_owned());
        at += len;
    }
}
