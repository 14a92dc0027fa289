//! The keys in force: whose keys sign a mail.
//!
//! In: the config's keys, the managed ones, the domain of a header From.  Out: the identities that sign.
//! Always: where nobody has a key, a question costs one look; names are compared as A-labels in lower case; of a domain and an
//! algorithm, managed keys that sign stand in the place of the config's.
//! Sources: RFC 6376 §3.8 (the signing domain may be a parent of the author's); RFC 8616 §4; RFC 5321 §4.5.3.1.2.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    config::Config,
    dkim::{
        key::{Algorithm, SigningKey},
        sign::Identity,
    },
};

/// Octets of a domain's name at most; what is longer has no key.
const DOMAIN_OCTETS_MAX: usize = 255;

/// A key that Hikyaku made and rotates itself.
#[derive(Clone, Debug)]
pub struct Managed {
    /// The domain.
    pub domain: String,
    /// The selector.
    pub selector: String,
    /// The key.
    pub key: Arc<SigningKey>,
    /// It signs; else it waits, or has retired.
    pub signs: bool,
}

/// A key that is known, whether it signs or not.
#[derive(Clone, Debug)]
pub struct KeyInForce {
    /// The domain, in lower case.
    pub domain: String,
    /// The selector.
    pub selector: String,
    /// The key.
    pub key: Arc<SigningKey>,
    /// It is a managed one; else the config's.
    pub managed: bool,
    /// It signs.
    pub signs: bool,
}

/// The keys in force; clones share them.
#[derive(Clone, Debug)]
pub struct Keyring(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Some key signs.
    any: AtomicBool,
    sources: Mutex<Sources>,
    ring: RwLock<Arc<Ring>>,
}

#[derive(Debug, Default)]
struct Sources {
    configured: Vec<Managed>,
    managed: Vec<Managed>,
}

#[derive(Debug, Default)]
struct Ring {
    by_domain: HashMap<String, Arc<Vec<Identity>>>,
    all: Vec<KeyInForce>,
}

impl Keyring {
    /// The config's keys.
    pub fn new(config: &Config) -> Self {
        let ring = Keyring(Arc::new(Shared {
            any: AtomicBool::new(false),
            sources: Mutex::default(),
            ring: RwLock::default(),
        }));
        ring.reload(config);
        ring
    }

    /// The config's keys have changed.
    pub fn reload(&self, config: &Config) {
        let keys = config.domains.iter().flat_map(|domain| {
            domain.dkim.iter().filter_map(|key| {
                // One that could not be read has been an error of the config, or is out of sight of a command.
                let signing = key.key.clone()?;
                let (domain, selector) = (domain.name.clone(), key.selector.clone());
                Some(Managed { domain, selector, key: signing, signs: true })
            })
        });
        let mut sources = self.sources();
        sources.configured = keys.collect();
        self.put(&sources);
    }

    /// All managed keys: of each domain and algorithm of which one signs, they stand in the place of the config's.
    pub fn set_managed(&self, managed: Vec<Managed>) {
        let mut sources = self.sources();
        sources.managed = managed;
        self.put(&sources);
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.0.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts another ring in force; whoever changes the sources holds them meanwhile.
    fn put(&self, sources: &Sources) {
        let ring = Ring::of(sources);
        let any = !ring.by_domain.is_empty();
        let mut place = self.0.ring.write().unwrap_or_else(PoisonError::into_inner);
        tell(&place.all, &ring.all);
        *place = Arc::new(ring);
        drop(place);
        self.0.any.store(any, Ordering::Release);
    }

    /// Nobody has a key.
    pub fn is_empty(&self) -> bool {
        !self.0.any.load(Ordering::Acquire)
    }

    /// Who signs a mail with this domain in its header From: the keys of the domain, or of its longest parent that has some.
    pub fn for_from(&self, domain: &str) -> Option<Arc<Vec<Identity>>> {
        if self.is_empty() || domain.len() > DOMAIN_OCTETS_MAX {
            return None;
        }
        let name = a_labels(domain);
        let ring = self.ring();
        // Each step leaves out a label: as many as the bounded name has.
        let parents = std::iter::successors(Some(&*name), |name| name.split_once('.').map(|(_, parent)| parent));
        parents.filter(|name| !name.is_empty()).find_map(|name| ring.by_domain.get(name)).cloned()
    }

    /// Every key that is known, in the order of the config, then the managed ones.
    pub fn all(&self) -> Vec<KeyInForce> {
        self.ring().all.clone()
    }

    fn ring(&self) -> Arc<Ring> {
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Ring {
    fn of(sources: &Sources) -> Self {
        let family = |key: &Managed| (a_labels(&key.domain).into_owned(), key.key.algorithm());
        let taken_over: HashSet<(String, Algorithm)> = sources.managed.iter().filter(|m| m.signs).map(family).collect();
        let replaced = |key: &Managed| taken_over.contains(&family(key));
        let known = |key: &Managed, managed: bool, signs: bool| KeyInForce {
            domain: a_labels(&key.domain).into_owned(),
            selector: key.selector.clone(),
            key: key.key.clone(),
            managed,
            signs,
        };
        let configured = sources.configured.iter().map(|key| known(key, false, !replaced(key)));
        let managed = sources.managed.iter().map(|key| known(key, true, key.signs));
        let all: Vec<KeyInForce> = configured.chain(managed).collect();
        let mut signing: HashMap<String, Vec<Identity>> = HashMap::new();
        for key in all.iter().filter(|key| key.signs) {
            signing.entry(key.domain.clone()).or_default().push(Identity {
                domain: key.domain.clone(),
                selector: key.selector.clone(),
                key: key.key.clone(),
            });
        }
        // The signature that every receiver knows stands on top: some look at a few alone.
        signing.values_mut().for_each(|keys| keys.sort_by_key(|i| i.key.algorithm() != Algorithm::RsaSha256));
        let by_domain = signing.into_iter().map(|(domain, keys)| (domain, Arc::new(keys))).collect();
        Ring { by_domain, all }
    }
}

/// The name in lower case and A-labels, without a last dot. What is no domain name is one that nobody has.
fn a_labels(domain: &str) -> Cow<'_, str> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if !domain.is_ascii() {
        return Cow::Owned(idna::domain_to_ascii(domain).unwrap_or_default());
    }
    if domain.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(domain.to_ascii_lowercase());
    }
    Cow::Borrowed(domain)
}

/// A line of the log for each key that comes, goes, or changes.
fn tell(before: &[KeyInForce], after: &[KeyInForce]) {
    let same = |a: &KeyInForce, b: &KeyInForce| {
        a.domain == b.domain && a.selector == b.selector && a.key.public_key_base64() == b.key.public_key_base64()
    };
    let line = |key: &KeyInForce, what: &str| {
        let (domain, selector) = (&key.domain, &key.selector);
        log::info!("domain={domain} selector={selector} algorithm={} dkim={what}", key.key.algorithm().name());
    };
    let what = |key: &KeyInForce| if key.signs { "signs" } else { "waits" };
    for key in after {
        if !before.iter().any(|old| same(old, key) && old.signs == key.signs) {
            line(key, what(key));
        }
    }
    for key in before {
        if !after.iter().any(|new| same(new, key)) {
            line(key, "gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DkimKey, Domain};

    fn key(algorithm: Algorithm) -> Arc<SigningKey> {
        Arc::new(SigningKey::generate(algorithm, 2048).expect("a key").0)
    }

    /// A domain, with its selectors and their keys.
    type Keys<'a> = (&'a str, &'a [(&'a str, &'a Arc<SigningKey>)]);

    fn config(domains: &[Keys<'_>]) -> Config {
        let mut config = Config::default();
        for (name, keys) in domains {
            let dkim = |(selector, key): &(&str, &Arc<SigningKey>)| DkimKey {
                selector: (*selector).into(),
                key: Some((*key).clone()),
                ..DkimKey::default()
            };
            let dkim = keys.iter().map(dkim).collect();
            config.domains.push(Domain { name: (*name).into(), dkim, ..Domain::default() });
        }
        config
    }

    #[track_caller]
    fn check(ring: &Keyring, domain: &str, expected: &[&str]) {
        let found = ring.for_from(domain);
        let names: Vec<String> =
            found.iter().flat_map(|f| f.iter()).map(|i| format!("{}/{}", i.domain, i.selector)).collect();
        assert_eq!(names, expected, "{domain}");
        assert_eq!(found.is_some(), !expected.is_empty());
    }

    #[test]
    fn the_longest_parent_with_keys_signs() {
        let (rsa, ed) = (key(Algorithm::RsaSha256), key(Algorithm::Ed25519Sha256));
        let ring = Keyring::new(&config(&[
            ("Example.JP", &[("e1", &ed), ("r1", &rsa)]),
            ("mail.example.jp", &[]),
            ("shop.example.jp", &[("s1", &rsa)]),
            ("xn--r8jz45g.jp", &[("i1", &ed)]),
        ]));
        for (domain, expected) in [
            ("example.jp", &["example.jp/r1", "example.jp/e1"][..]),
            ("EXAMPLE.jp.", &["example.jp/r1", "example.jp/e1"]),
            ("a.b.example.jp", &["example.jp/r1", "example.jp/e1"]),
            // Configured, without keys of its own.
            ("mail.example.jp", &["example.jp/r1", "example.jp/e1"]),
            ("shop.example.jp", &["shop.example.jp/s1"]),
            ("a.shop.example.jp", &["shop.example.jp/s1"]),
            ("例え.jp", &["xn--r8jz45g.jp/i1"]),
            ("ニュース.例え.jp", &["xn--r8jz45g.jp/i1"]),
            ("notexample.jp", &[]),
            ("jp", &[]),
            ("", &[]),
            (".", &[]),
            ("..", &[]),
            ("example.jp.evil.example", &[]),
            (&"a.".repeat(200), &[]),
        ] {
            check(&ring, domain, expected);
        }
    }

    #[test]
    fn a_managed_key_takes_the_place_of_the_configs_of_its_domain_and_algorithm_once_it_signs() {
        let (rsa, ed, new) = (key(Algorithm::RsaSha256), key(Algorithm::Ed25519Sha256), key(Algorithm::RsaSha256));
        let config = config(&[("example.jp", &[("r1", &rsa), ("e1", &ed)]), ("other.jp", &[("o1", &rsa)])]);
        let ring = Keyring::new(&config);
        let managed = |signs| Managed { domain: "EXAMPLE.jp".into(), selector: "m1".into(), key: new.clone(), signs };
        ring.set_managed(vec![managed(false)]);
        check(&ring, "example.jp", &["example.jp/r1", "example.jp/e1"]);
        ring.set_managed(vec![managed(true)]);
        check(&ring, "example.jp", &["example.jp/m1", "example.jp/e1"]);
        check(&ring, "other.jp", &["other.jp/o1"]);
        let all: Vec<(String, bool, bool)> = ring.all().into_iter().map(|k| (k.selector, k.managed, k.signs)).collect();
        let expected = [("r1", false, false), ("e1", false, true), ("o1", false, true), ("m1", true, true)];
        assert_eq!(all, expected.map(|(s, m, signs)| (s.to_owned(), m, signs)));
        // A reload keeps the managed ones.
        ring.reload(&config);
        check(&ring, "example.jp", &["example.jp/m1", "example.jp/e1"]);
        ring.set_managed(Vec::new());
        check(&ring, "example.jp", &["example.jp/r1", "example.jp/e1"]);
    }

    #[test]
    fn without_keys_nothing_is_looked_up() {
        let ring = Keyring::new(&Config::default());
        assert!(ring.is_empty() && ring.all().is_empty());
        check(&ring, "example.jp", &[]);
        let shared = ring.clone();
        shared.reload(&config(&[("example.jp", &[("r1", &key(Algorithm::Ed25519Sha256))])]));
        check(&ring, "example.jp", &["example.jp/r1"]);
        assert!(!format!("{ring:?}").contains("PRIVATE"));
    }
}
