//! A DNS server for tests: answers from a table, over UDP and TCP, on a loopback port of its own.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use domain::{
    base::{CharStr, Message, MessageBuilder, Name, Rtype, Serial, Ttl, iana::Rcode},
    rdata::{A, Aaaa, Cname, Mx, Ns, Ptr, Soa, Tlsa as TlsaData, Txt, rfc1035::TxtBuilder},
};

use super::Tlsa;

/// What the table says of a name and type.
#[derive(Clone, Debug)]
pub enum Says {
    /// MX records.
    Mx(Vec<(u16, &'static str)>),
    /// A and AAAA records, by the type asked for.
    Address(Vec<IpAddr>),
    /// An alias; the target's records are not put in.
    Alias(&'static str),
    /// An alias together with the records of its target, as a recursive resolver answers.
    Chain(&'static str),
    /// PTR.
    Ptr(&'static str),
    /// TLSA records.
    Tlsa(Vec<Tlsa>),
    /// TXT records, cut into strings of 200 octets.
    Txt(Vec<String>),
    /// NS records.
    Ns(Vec<&'static str>),
    /// No answer, and that the servers of this zone have one.
    Referral(&'static str),
    /// SERVFAIL.
    Servfail,
    /// No answer at all.
    Silence,
    /// NOERROR without records, with a SOA whose negative TTL is this.
    Nothing(u32),
    /// NXDOMAIN, with a SOA whose negative TTL is this.
    NoSuchName(u32),
}

/// The server; it stops when dropped.
pub struct TestServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    table: Mutex<HashMap<(String, Rtype), Says>>,
    udp: AtomicUsize,
    tcp: AtomicUsize,
    stop: AtomicBool,
    /// TTL of positive answers.
    ttl: AtomicUsize,
    /// Forged datagrams that go out before the true one.
    forge: AtomicBool,
    /// FORMERR to whoever uses EDNS.
    no_edns: AtomicBool,
    /// It is not responsible for its zones (no AA).
    lame: AtomicBool,
    /// Zones whose names, absences included, are answered with AD to whoever asks for it.
    signed: Mutex<Vec<String>>,
}

impl TestServer {
    /// Starts on a free loopback port.
    pub fn start() -> Self {
        let (udp, tcp) = (0..100).find_map(|_| both_ports()).expect("a port free in UDP and TCP");
        let address = udp.local_addr().expect("bound");
        let shared = Arc::new(Shared { ttl: AtomicUsize::new(300), ..Shared::default() });
        udp.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
        let table = shared.clone();
        thread::spawn(move || {
            let mut octets = [0; 4096];
            while !table.stop.load(Ordering::SeqCst) {
                let Ok((n, from)) = udp.recv_from(&mut octets) else { continue };
                table.udp.fetch_add(1, Ordering::SeqCst);
                if table.forge.load(Ordering::SeqCst) {
                    for forged in forgeries(&octets[..n]) {
                        let _ = udp.send_to(&forged, from);
                    }
                }
                if let Some(answer) = table.answer(&octets[..n], Some(1232)) {
                    let _ = udp.send_to(&answer, from);
                }
            }
        });
        tcp.set_nonblocking(true).expect("non-blocking");
        let table = shared.clone();
        thread::spawn(move || {
            while !table.stop.load(Ordering::SeqCst) {
                let Ok((mut peer, _)) = tcp.accept() else {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                };
                table.tcp.fetch_add(1, Ordering::SeqCst);
                let _ = peer.set_nonblocking(false);
                let _ = peer.set_read_timeout(Some(Duration::from_secs(2)));
                let mut len = [0; 2];
                if peer.read_exact(&mut len).is_err() {
                    continue;
                }
                let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
                if peer.read_exact(&mut query).is_err() {
                    continue;
                }
                if let Some(answer) = table.answer(&query, None) {
                    let len = u16::try_from(answer.len()).expect("fits");
                    let _ = peer.write_all(&[&len.to_be_bytes()[..], &answer].concat());
                }
            }
        });
        TestServer { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts an entry into the table; unknown names are NXDOMAIN, known ones without that type have no data.
    pub fn set(&self, name: &str, says: Says) -> &Self {
        let types = match &says {
            Says::Mx(_) => vec![Rtype::MX],
            Says::Ptr(_) => vec![Rtype::PTR],
            Says::Tlsa(_) => vec![Rtype::TLSA],
            Says::Txt(_) => vec![Rtype::TXT],
            Says::Ns(_) => vec![Rtype::NS],
            Says::Address(list) => {
                let mut types = Vec::new();
                types.extend(list.iter().any(IpAddr::is_ipv4).then_some(Rtype::A));
                types.extend(list.iter().any(IpAddr::is_ipv6).then_some(Rtype::AAAA));
                types
            }
            _ => vec![
                Rtype::MX,
                Rtype::A,
                Rtype::AAAA,
                Rtype::PTR,
                Rtype::TLSA,
                Rtype::TXT,
                Rtype::CNAME,
                Rtype::SOA,
                Rtype::NS,
            ],
        };
        for rtype in types {
            self.set_type(name, rtype, says.clone());
        }
        self
    }

    /// Puts an entry for one type into the table.
    pub fn set_type(&self, name: &str, rtype: Rtype, says: Says) -> &Self {
        self.shared.table.lock().expect("table").insert((name.to_owned(), rtype), says);
        self
    }

    /// Answers for this name and those below it carry AD from now on; `.`: all do.
    pub fn sign(&self, zone: &str) -> &Self {
        self.shared.signed.lock().expect("zones").push(zone.to_owned());
        self
    }

    /// No answer carries AD any more: the server stopped validating.
    pub fn stop_signing(&self) -> &Self {
        self.shared.signed.lock().expect("zones").clear();
        self
    }

    /// TTL of positive answers from now on.
    pub fn set_ttl(&self, seconds: usize) {
        self.shared.ttl.store(seconds, Ordering::SeqCst);
    }

    /// Sends forged datagrams before each answer.
    pub fn forge(&self) {
        self.shared.forge.store(true, Ordering::SeqCst);
    }

    /// Answers FORMERR to EDNS.
    pub fn refuse_edns(&self) {
        self.shared.no_edns.store(true, Ordering::SeqCst);
    }

    /// Is responsible for nothing.
    pub fn be_lame(&self) {
        self.shared.lame.store(true, Ordering::SeqCst);
    }

    /// Queries that came, by UDP and TCP.
    pub fn queries(&self) -> (usize, usize) {
        (self.shared.udp.load(Ordering::SeqCst), self.shared.tcp.load(Ordering::SeqCst))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

fn both_ports() -> Option<(UdpSocket, TcpListener)> {
    let udp = UdpSocket::bind(("127.0.0.1", 0)).ok()?;
    let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
    Some((udp, tcp))
}

fn name(text: &str) -> Name<Vec<u8>> {
    if text.is_empty() || text == "." { Name::root_vec() } else { Name::vec_from_str(text).expect("a name") }
}

/// The query's echo with another id, another question, and without the response bit.
fn forgeries(query: &[u8]) -> Vec<Vec<u8>> {
    let mut other_id = query.to_vec();
    other_id[0] ^= 1;
    other_id[2] |= 0x80;
    let mut other_name = query.to_vec();
    other_name[2] |= 0x80;
    other_name[13] ^= 1;
    vec![other_id, other_name, query.to_vec(), b"x".to_vec()]
}

impl Shared {
    fn known(&self, asked: &str, rtype: Rtype) -> Says {
        let table = self.table.lock().expect("table");
        match table.get(&(asked.to_owned(), rtype)) {
            Some(says) => says.clone(),
            None if table.keys().any(|(n, _)| n == asked) => Says::Nothing(60),
            None => Says::NoSuchName(60),
        }
    }

    fn is_signed(&self, asked: &str) -> bool {
        let zones = self.signed.lock().expect("zones");
        zones.iter().any(|zone| zone == "." || asked == zone || asked.ends_with(&format!(".{zone}")))
    }

    fn answer(&self, query: &[u8], octets_max: Option<usize>) -> Option<Vec<u8>> {
        let message = Message::from_octets(query).ok()?;
        let question = message.sole_question().ok()?;
        let mut asked = question.qname().to_string().to_ascii_lowercase();
        if asked.is_empty() {
            asked = ".".to_owned();
        }
        if self.no_edns.load(Ordering::SeqCst) && message.opt().is_some() {
            return Some(MessageBuilder::new_vec().start_answer(&message, Rcode::FORMERR).ok()?.finish());
        }
        let known = self.known(&asked, question.qtype());
        let rcode = match known {
            Says::Silence => return None,
            Says::Servfail => Rcode::SERVFAIL,
            Says::NoSuchName(_) => Rcode::NXDOMAIN,
            _ => Rcode::NOERROR,
        };
        let ttl = Ttl::from_secs(u32::try_from(self.ttl.load(Ordering::SeqCst)).expect("fits"));
        let mut answer = MessageBuilder::new_vec().start_answer(&message, rcode).ok()?;
        let mut authentic = message.header().ad() && rcode != Rcode::SERVFAIL;
        let mut negative = None;
        let mut referral = None;
        let (mut owner_text, mut says) = (asked, known);
        // Within one answer, a chain of some steps.
        for _ in 0..20 {
            authentic &= self.is_signed(&owner_text);
            let owner = name(&owner_text);
            match &says {
                Says::Mx(list) => {
                    list.iter().for_each(|(p, h)| answer.push((&owner, ttl, Mx::new(*p, name(h)))).expect("fits"))
                }
                Says::Address(list) => list.iter().for_each(|a| match a {
                    IpAddr::V4(a) if question.qtype() == Rtype::A => {
                        answer.push((&owner, ttl, A::new(*a))).expect("fits")
                    }
                    IpAddr::V6(a) if question.qtype() == Rtype::AAAA => {
                        answer.push((&owner, ttl, Aaaa::new(*a))).expect("fits")
                    }
                    _ => {}
                }),
                Says::Alias(target) => answer.push((&owner, ttl, Cname::new(name(target)))).expect("fits"),
                Says::Chain(target) => {
                    answer.push((&owner, ttl, Cname::new(name(target)))).expect("fits");
                    if question.qtype() != Rtype::CNAME {
                        owner_text = (*target).to_owned();
                        says = self.known(&owner_text, question.qtype());
                        if matches!(says, Says::NoSuchName(_)) {
                            answer.header_mut().set_rcode(Rcode::NXDOMAIN);
                        }
                        continue;
                    }
                }
                Says::Ptr(target) => answer.push((&owner, ttl, Ptr::new(name(target)))).expect("fits"),
                Says::Tlsa(list) => list.iter().for_each(|t| {
                    let data = TlsaData::new(t.usage.into(), t.selector.into(), t.matching.into(), t.data.as_slice());
                    answer.push((&owner, ttl, data)).expect("fits")
                }),
                Says::Txt(list) => list.iter().for_each(|text| {
                    let mut strings = TxtBuilder::<Vec<u8>>::new();
                    for part in text.as_bytes().chunks(200) {
                        strings.append_charstr(CharStr::from_slice(part).expect("short")).expect("fits");
                    }
                    let txt: Txt<Vec<u8>> = strings.finish().expect("fits");
                    answer.push((&owner, ttl, txt)).expect("fits")
                }),
                Says::Ns(list) => list.iter().for_each(|n| answer.push((&owner, ttl, Ns::new(name(n)))).expect("fits")),
                Says::Referral(zone) => referral = Some(*zone),
                Says::Nothing(ttl) | Says::NoSuchName(ttl) => negative = Some(*ttl),
                Says::Servfail | Says::Silence => {}
            }
            break;
        }
        answer.header_mut().set_ad(authentic);
        answer.header_mut().set_aa(referral.is_none() && !self.lame.load(Ordering::SeqCst));
        let mut authority = answer.authority();
        if let Some(zone) = referral {
            authority.push((name(zone), ttl, Ns::new(name("ns.elsewhere.test")))).ok()?;
        }
        if let Some(negative) = negative {
            let t = Ttl::from_secs(negative);
            let soa = Soa::new(name("ns.test"), name("root.test"), Serial(1), t, t, t, t);
            authority.push((name("test"), Ttl::from_secs(86_400), soa)).ok()?;
        }
        let octets = authority.finish();
        if octets_max.is_some_and(|max| octets.len() > max) {
            let mut cut = MessageBuilder::new_vec().start_answer(&message, rcode).ok()?;
            cut.header_mut().set_tc(true);
            return Some(cut.finish());
        }
        Some(octets)
    }
}
