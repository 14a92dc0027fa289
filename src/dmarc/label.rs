//! Whose address is it? This relay's, a known sender's, or nobody's that the config names; and its name in the DNS.
//!
//! In: addresses of reports.  Out: a [`Label`], at once; what the DNS says is looked up in the background.
//! Always: nobody waits for the DNS but who asks to, and then for a bounded time; a name counts only when it leads back to its
//! address; names, networks and questions that wait are bounded, and the oldest names go first.
//! Sources: RFC 7208 (whom a record lets send), RFC 1912 §2.1 (names that lead back).

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use smol::{
    Timer,
    channel::{self, Receiver, Sender},
    future::FutureExt,
};

use super::views::{Label, Who};
use crate::{
    clock::{Clock, Timestamp},
    config::{Config, InForce},
    lookup::{DnsError, Lookup, is_below},
    runtime::{Runtime, Shutdown, Stage},
    spf,
};

/// Names that are remembered: in two halves, of which the older one goes when the younger is full.
pub const NAMES_MAX: usize = 50_000;
/// Addresses that wait to be looked up; more are asked for again by the next view.
pub const WAITING_MAX: usize = 20_000;
/// Addresses looked up at once.
const AT_ONCE: usize = 8;
/// Names of one address that are tried.
const NAMES_TRIED_MAX: usize = 5;
/// Networks of one known sender.
pub const NETWORKS_MAX: usize = 4_000;
/// How long what the DNS says of an address is believed, whatever its TTL is.
const NAME_MIN: Duration = Duration::from_secs(3_600);
const NAME_MAX: Duration = Duration::from_secs(86_400);
/// After the DNS did not answer.
const AGAIN: Duration = Duration::from_secs(600);
/// How often the known senders' networks are walked anew.
const WALK_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// How often it is looked whether something waits, at the least: the senders of the config may have changed.
const ROUND: Duration = Duration::from_secs(60);
/// How often one who waits looks again.
const LOOK: Duration = Duration::from_millis(20);

/// What is known of addresses; clones share it.
#[derive(Clone)]
pub struct Labels(Arc<Inner>);

struct Inner {
    clock: Clock,
    config: InForce,
    known: Mutex<Known>,
    wake: Sender<()>,
    woken: Receiver<()>,
}

#[derive(Default)]
struct Known {
    young: HashMap<IpAddr, Named>,
    old: HashMap<IpAddr, Named>,
    waiting: VecDeque<IpAddr>,
    is_waiting: HashSet<IpAddr>,
    /// By the domain whose SPF record names them.
    networks: BTreeMap<String, Networks>,
}

#[derive(Clone)]
struct Named {
    name: String,
    until: Timestamp,
}

struct Networks {
    all: Vec<IpNet>,
    until: Timestamp,
}

impl Labels {
    /// Nothing known yet.
    pub fn new(clock: Clock, config: InForce) -> Self {
        let (wake, woken) = channel::bounded(1);
        Labels(Arc::new(Inner { clock, config, known: Mutex::default(), wake, woken }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of an address now; what is not known is looked up.
    pub fn label(&self, config: &Config, address: IpAddr) -> Label {
        let mut known = self.known();
        let named = known.named(address).cloned();
        let is_looked_up = named.as_ref().is_some_and(|named| named.until > self.0.clock.now());
        if !is_looked_up {
            known.ask(address);
            let _ = self.0.wake.try_send(());
        }
        let name = named.map_or_else(String::new, |named| named.name);
        let who = if ours(config).any(|own| own == address) {
            Who::ThisRelay
        } else {
            let sender = config.dmarc.senders.iter().find(|sender| {
                let by_network = known.networks.get(&sender.include).is_some_and(|n| n.has(address));
                by_network || (!name.is_empty() && is_under(&name, &sender.rdns))
            });
            sender.map_or(Who::Unknown, |sender| Who::KnownSender(sender.name.clone()))
        };
        Label { who, name, is_looked_up }
    }

    /// Waits until these addresses and the known senders' networks are looked up, but not longer than `within`.
    pub async fn settle(&self, addresses: &[IpAddr], within: Duration) {
        let looked_up = async {
            loop {
                let config = self.0.config.get();
                let all = addresses.iter().all(|address| self.label(&config, *address).is_looked_up);
                let walked = {
                    let known = self.known();
                    includes(&config).all(|include| known.networks.contains_key(include))
                };
                if all && walked {
                    return;
                }
                Timer::after(LOOK).await;
            }
        };
        let end = async {
            Timer::after(within).await;
        };
        looked_up.or(end).await;
    }

    /// Starts looking up; ends when the shutdown drains.
    pub fn start(&self, dns: Arc<dyn Lookup>, runtime: &Runtime, shutdown: &Shutdown) {
        let (labels, shutdown, tasks) = (self.clone(), shutdown.clone(), runtime.clone());
        runtime.spawn("dmarc-labels", async move {
            while shutdown.stage() == Stage::Running {
                labels.round(&dns, &tasks).await;
                let pause = async {
                    Timer::after(ROUND).await;
                };
                let woken = async {
                    let _ = labels.0.woken.recv().await;
                };
                woken.or(pause).or(shutdown.drained()).await;
            }
        });
    }

    /// Walks the senders' records that are due, and looks up what waits.
    async fn round(&self, dns: &Arc<dyn Lookup>, tasks: &Runtime) {
        self.walk(&**dns).await;
        loop {
            let some: Vec<IpAddr> = {
                let mut known = self.known();
                let some: Vec<IpAddr> = (0..AT_ONCE).map_while(|_| known.waiting.pop_front()).collect();
                for address in &some {
                    known.is_waiting.remove(address);
                }
                some
            };
            if some.is_empty() {
                return;
            }
            let group: Vec<_> = some
                .into_iter()
                .map(|address| {
                    let (dns, config) = (dns.clone(), self.0.config.get());
                    tasks.task("dmarc-label", async move { (address, name_of(&*dns, &config, address).await) })
                })
                .collect();
            for task in group {
                if let Some((address, (name, holds))) = task.await {
                    let until = self.0.clock.now().plus(holds);
                    self.known().remember(address, Named { name, until });
                }
            }
        }
    }

    async fn walk(&self, dns: &dyn Lookup) {
        let config = self.0.config.get();
        let now = self.0.clock.now();
        let due: Vec<String> = {
            let mut known = self.known();
            known.networks.retain(|include, _| includes(&config).any(|wanted| wanted == include));
            let is_due = |include: &&str| known.networks.get(*include).is_none_or(|networks| networks.until <= now);
            includes(&config).filter(is_due).map(str::to_owned).collect()
        };
        for include in due {
            let walk = spf::walk(dns, &include).await;
            let mut known = self.known();
            let is_whole = walk.trouble.is_none();
            if !is_whole {
                log::warn!("act=dmarc_label include={include} what=\"its SPF record could not be read to the end\"");
            }
            let all: Vec<IpNet> = walk.networks.iter().map(|network| network.net).take(NETWORKS_MAX).collect();
            let until = now.plus(if is_whole { WALK_EVERY } else { AGAIN });
            match known.networks.get_mut(&include) {
                // Half an answer does not replace a whole one.
                Some(networks) if !is_whole => networks.until = until,
                Some(_) | None => drop(known.networks.insert(include, Networks { all, until })),
            }
        }
    }
}

impl Known {
    fn named(&self, address: IpAddr) -> Option<&Named> {
        self.young.get(&address).or_else(|| self.old.get(&address))
    }

    fn ask(&mut self, address: IpAddr) {
        if self.waiting.len() < WAITING_MAX && self.is_waiting.insert(address) {
            self.waiting.push_back(address);
        }
    }

    fn remember(&mut self, address: IpAddr, named: Named) {
        if self.young.len() >= NAMES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(address, named);
    }
}

impl Networks {
    fn has(&self, address: IpAddr) -> bool {
        self.all.iter().any(|net| net.contains(&address))
    }
}

/// The addresses that our mail comes from, as far as the config names them.
pub fn ours(config: &Config) -> impl Iterator<Item = IpAddr> {
    let sources = config.delivery.sources.iter().map(|source| source.address);
    sources.chain(config.domain_check.addresses.iter().copied())
}

fn includes(config: &Config) -> impl Iterator<Item = &str> {
    config.dmarc.senders.iter().map(|sender| sender.include.as_str()).filter(|include| !include.is_empty())
}

/// A name is a suffix's own, or stands below it: `.outlook.com`.
fn is_under(name: &str, suffix: &str) -> bool {
    let suffix = suffix.trim_start_matches('.');
    !suffix.is_empty() && is_below(name, suffix)
}

/// The name of an address that leads back to it, a known sender's before others; and how long that holds.
async fn name_of(dns: &dyn Lookup, config: &Config, address: IpAddr) -> (String, Duration) {
    let answer = dns.ptr(address).await;
    let holds = answer.ttl.clamp(NAME_MIN, NAME_MAX);
    let mut names = match answer.records {
        Ok(names) => names,
        Err(DnsError::Servfail(_) | DnsError::Timeout(_)) => return (String::new(), AGAIN),
        Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => return (String::new(), holds),
    };
    names.iter_mut().for_each(|name| *name = name.trim_end_matches('.').to_ascii_lowercase());
    names.sort_unstable();
    names.sort_by_key(|name| !config.dmarc.senders.iter().any(|sender| is_under(name, &sender.rdns)));
    let mut holds = holds;
    for name in names.into_iter().take(NAMES_TRIED_MAX) {
        let leads_back = match address {
            IpAddr::V4(v4) => dns.a(&name).await.records.map(|all| all.contains(&v4)),
            IpAddr::V6(v6) => dns.aaaa(&name).await.records.map(|all| all.contains(&v6)),
        };
        match leads_back {
            Ok(true) => return (name, holds),
            Ok(false) => {}
            Err(error) if error.is_temporary() => holds = AGAIN,
            Err(_) => {}
        }
    }
    (String::new(), holds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{KnownSender, Source},
        lookup::fake::Zones,
    };

    fn config() -> Config {
        let mut config = Config::default();
        config.delivery.sources.push(Source { address: IpAddr::from([192, 0, 2, 10]), ..Source::default() });
        config.domain_check.addresses.push("2001:db8::10".parse().expect("an address"));
        config.dmarc.senders = vec![
            KnownSender { name: "Desk".into(), include: "spf.desk.example".into(), rdns: String::new() },
            KnownSender { name: "Outlook".into(), include: String::new(), rdns: ".outlook.example".into() },
        ];
        config
    }

    fn zones() -> Zones {
        Zones::default()
            .with_txt("spf.desk.example", "v=spf1 ip4:198.51.100.0/24 -all")
            .with_ptr("203.0.113.5", "mail.out.Outlook.example")
            .with_ip("mail.out.outlook.example", "203.0.113.5")
            // A name that anybody may write for his address, and that does not lead back.
            .with_ptr("203.0.113.66", "mail.outlook.example")
            .with_ip("mail.outlook.example", "203.0.113.5")
            .with_ptr("203.0.113.7", "evil-outlook.example")
            .with_ip("evil-outlook.example", "203.0.113.7")
            .with_ptr("192.0.2.10", "relay.example.jp")
            .with_ip("relay.example.jp", "192.0.2.10")
            .failing("203.0.113.99")
    }

    #[test]
    fn addresses_are_ours_known_by_network_or_by_a_name_that_leads_back() {
        let clock = Clock::manual(Timestamp::from_millis(1_795_527_310_000));
        let in_force = InForce::new(config());
        let labels = Labels::new(clock.clone(), in_force.clone());
        let runtime = Runtime::start(1).expect("threads");
        let shutdown = Shutdown::new();
        let dns: Arc<dyn Lookup> = Arc::new(zones());
        labels.start(dns, &runtime, &shutdown);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let known = |name: &str| Who::KnownSender(name.to_owned());
        let table = [
            ("192.0.2.10", Who::ThisRelay, "relay.example.jp"),
            ("2001:db8::10", Who::ThisRelay, ""),
            ("198.51.100.77", known("Desk"), ""),
            ("203.0.113.5", known("Outlook"), "mail.out.outlook.example"),
            ("203.0.113.66", Who::Unknown, ""),
            ("203.0.113.7", Who::Unknown, "evil-outlook.example"),
            ("203.0.113.8", Who::Unknown, ""),
            ("203.0.113.99", Who::Unknown, ""),
        ];
        let all: Vec<IpAddr> = table.iter().map(|(text, ..)| address(text)).collect();
        let first = labels.label(&config(), address("203.0.113.5"));
        assert_eq!((first.who, first.is_looked_up), (Who::Unknown, false), "nobody waits for the DNS");
        smol::block_on(labels.settle(&all, Duration::from_secs(20)));
        for (text, who, name) in table {
            let label = labels.label(&in_force.get(), address(text));
            assert_eq!((label.who, label.name.as_str(), label.is_looked_up), (who, name, true), "{text}");
        }
        // Another name for the same sender, at a reload: no new walk is needed for what is known.
        let mut other = config();
        other.dmarc.senders[0].name = "Service desk".into();
        in_force.swap(other);
        assert_eq!(labels.label(&in_force.get(), address("198.51.100.77")).who, known("Service desk"));
        clock.advance(Duration::from_secs(2 * 86_400));
        assert!(!labels.label(&in_force.get(), address("203.0.113.5")).is_looked_up, "it is asked again");
        shutdown.drain();
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut known = Known::default();
        for n in 0..(NAMES_MAX + WAITING_MAX) as u32 {
            let address = IpAddr::from(n.to_be_bytes());
            known.ask(address);
            known.remember(address, Named { name: String::new(), until: Timestamp::ZERO });
        }
        assert!(known.young.len() + known.old.len() <= NAMES_MAX && known.waiting.len() == WAITING_MAX);
    }
}
