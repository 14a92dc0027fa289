//! Keys that we look after, in the running daemon: made, watched, put in force, retired.
//!
//! In: the operator's wishes, the config, the store, the DNS, the queue.  Out: the managed keys of the [`Keyring`]; journal,
//! operation log, metrics; [`KeyView`]s for whoever asks.
//! Always: a change is on disk before it is in force, so that a daemon that dies at any point goes on from there; the DNS is asked
//! outside of every lock, and what it said counts for the key as it is by then; looks are bounded in number and time.
//! Sources: algorithms F13; `life` (the stages), `witness` (what counts as everywhere).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use smol::{
    Timer, channel,
    future::FutureExt,
    lock::{Mutex, MutexGuard},
};

use super::{
    book::{Book, Entry, Family, Pending},
    life::{self, CannotAbort, Configured, Life, Look, Origin, Stage, Told, What},
    look::Eyes,
    memo::{self, Kept, Private, Shelf},
    ring::{Keyring, Managed},
    view::{KeyView, Shown, Surroundings, domain_of, listed},
    wish::{KEYS_MAX, Refusal, Wish},
    witness::Seen,
    words,
};
use crate::{
    clock::{Clock, Timestamp},
    config::{InForce, Mode},
    dkim::{key::SigningKey, public::Algorithm},
    metrics::Metrics,
    net::dns::ask::at_once,
    runtime::{Runtime, Shutdown, Stage as Running},
    store::{AuditEntry, MEMOS_A_CALL_MAX, MemoKind, StoreError},
};

/// Keys that are looked at in one go.
const AT_ONCE: usize = 8;
/// The longest rest of the task: the config may have changed without a word.
const REST_MAX: Duration = Duration::from_secs(600);
/// … and the shortest, so that a clock that stands still keeps nobody busy.
const REST_MIN: Duration = Duration::from_secs(1);
/// Who acts, in the operation log.
const WHO: &str = "hikyaku";
/// From where.
const FROM: &str = "dkim";

/// What the task needs of the daemon.
pub struct Parts {
    /// Where keys are kept.
    pub shelf: Arc<dyn Shelf>,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The config in force.
    pub config: InForce,
    /// Where keys are put in force.
    pub ring: Keyring,
    /// Who looks at the DNS.
    pub eyes: Arc<dyn Eyes>,
}

/// Keys that we look after; clones share them.
#[derive(Clone)]
pub struct Rotation(Arc<Inner>);

struct Inner {
    parts: Parts,
    book: Mutex<Book>,
    /// For whoever asks without waiting.
    shown: RwLock<Arc<Vec<Shown>>>,
    kick: (channel::Sender<()>, channel::Receiver<()>),
    /// How many things are wrong with a key, as was told.
    alarms: std::sync::Mutex<BTreeMap<String, usize>>,
}

impl Rotation {
    /// Reads the keys, brings them in line with the config, and puts those in force that sign.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(parts: Parts) -> Result<Self, StoreError> {
        let mut book = Book::default();
        let mut after = None;
        loop {
            let rows = parts.shelf.memos(MemoKind::DkimKeys, "", after.as_deref(), MEMOS_A_CALL_MAX)?;
            for (key, value) in &rows {
                match memo::read(value) {
                    Ok(kept) => {
                        book.keys.insert(key.clone(), Entry { kept, looked_at: None, seen: Seen::default() });
                    }
                    // Which key it was stands in the memo's key.
                    Err(why) => log::error!(
                        "act=dkim key=\"{key}\" error=\"{why}: this key does not sign; restore a backup, or rotate to another\""
                    ),
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == MEMOS_A_CALL_MAX => after = Some(last.clone()),
                _ => break,
            }
        }
        let inner = Inner {
            parts,
            book: Mutex::new(book),
            shown: RwLock::default(),
            kick: channel::bounded(1),
            alarms: std::sync::Mutex::default(),
        };
        let rotation = Rotation(Arc::new(inner));
        rotation.follow_config().await?;
        Ok(rotation)
    }

    /// Looks after the keys from now on.
    pub fn start(&self, runtime: &Runtime, shutdown: Shutdown) {
        let rotation = self.clone();
        runtime.spawn("dkim keys", async move {
            while shutdown.stage() == Running::Running {
                let rest = async {
                    let round = rotation.round().await;
                    let rest = async {
                        Timer::after(round).await;
                    };
                    let kicked = async {
                        let _ = rotation.0.kick.1.recv().await;
                    };
                    rest.or(kicked).await;
                };
                rest.or(shutdown.drained()).await;
            }
        });
    }

    /// Looks at the keys that are due; answers how long to rest then.
    pub async fn round(&self) -> Duration {
        let now = self.now();
        let mut due: Vec<(String, Timestamp)> = Vec::new();
        let mut done = Vec::new();
        {
            let in_config: BTreeSet<(String, String)> =
                self.configured().into_iter().map(|key| (key.domain, key.selector)).collect();
            let book = self.0.book.lock().await;
            for (key, entry) in &book.keys {
                let life = &entry.kept.life;
                if life.is_done(now) && !in_config.contains(&(life.domain.clone(), life.selector.clone())) {
                    done.push(key.clone());
                } else if let Some(at) = entry.due(now) {
                    due.push((key.clone(), at));
                }
            }
        }
        due.sort_by_key(|(_, at)| *at);
        let now_due: Vec<String> = due.iter().take_while(|(_, at)| *at <= now).map(|(key, _)| key.clone()).collect();
        for keys in now_due.chunks(AT_ONCE) {
            self.look_at(keys).await;
        }
        for key in done {
            if let Err(error) = self.forget(&key).await {
                log::error!("act=dkim key=\"{key}\" error=\"{error}\"");
            }
        }
        self.count();
        let next = due.get(now_due.len()).map_or(REST_MAX, |(_, at)| at.since(self.now()));
        if now_due.is_empty() { next.clamp(REST_MIN, REST_MAX) } else { REST_MIN }
    }

    /// Looks at all keys of a domain now.
    pub async fn look_now(&self, domain: &str) {
        let domain = domain_of(domain);
        let keys: Vec<String> = {
            let book = self.0.book.lock().await;
            let of_it = book.keys.iter().filter(|(_, e)| e.kept.life.domain == domain && e.may_be_looked_at());
            of_it.map(|(key, _)| key.clone()).collect()
        };
        for keys in keys.chunks(AT_ONCE) {
            self.look_at(keys).await;
        }
        self.count();
    }

    /// Asks the DNS and the queue about some keys, and draws the conclusions.
    async fn look_at(&self, keys: &[String]) {
        let resolvers = self.0.parts.config.get().dkim.resolvers.clone();
        let asked: Vec<(String, Life)> = {
            let book = self.0.book.lock().await;
            keys.iter().filter_map(|key| Some((key.clone(), book.keys.get(key)?.kept.life.clone()))).collect()
        };
        let looks = asked.into_iter().map(|(key, life)| {
            let resolvers = &resolvers;
            async move {
                let seen = self.0.parts.eyes.look(&life.record_name(), &life.record(), resolvers).await;
                let asks_queue = life.stage == Stage::Retiring && life.drained.is_none();
                let mail_waits = if asks_queue { self.mail_waits(life.since).await } else { false };
                (key, life.stage, Look { seen, resolvers: resolvers.len(), mail_waits })
            }
        });
        for (key, stage, look) in at_once(looks).await {
            if let Err(error) = self.take(&key, stage, look).await {
                log::error!("act=dkim key=\"{key}\" error=\"{error}\" what=\"tried again at the next look\"");
            }
        }
    }

    /// Whether mail waits that the key may have signed; when that cannot be told, it does.
    async fn mail_waits(&self, before: Timestamp) -> bool {
        let shelf = self.0.parts.shelf.clone();
        smol::unblock(move || shelf.mail_waits(before)).await.unwrap_or_else(|error| {
            log::error!("act=dkim error=\"{error}\"");
            true
        })
    }

    /// Puts a look into force, if the key is still where it was when it was looked at.
    async fn take(&self, key: &str, stage: Stage, look: Look) -> Result<(), StoreError> {
        let now = self.now();
        let mut book = self.0.book.lock().await;
        let Some(entry) = book.keys.get_mut(key).filter(|entry| entry.kept.life.stage == stage) else { return Ok(()) };
        entry.looked_at = Some(now);
        entry.seen = look.seen.clone();
        let family = (entry.kept.life.domain.clone(), entry.kept.life.algorithm());
        let key = key.to_owned();
        self.change(&mut book, &family, |lives| {
            let at = lives.iter().position(|life| memo::memo_key(life) == key);
            at.map_or_else(Vec::new, |at| life::looked(lives, at, &look, now))
        })
        .await
    }

    /// The config has changed, or is read for the first time.
    ///
    /// # Errors
    /// The store's.
    pub async fn follow_config(&self) -> Result<(), StoreError> {
        if self.is_sandbox() {
            let book = self.0.book.lock().await;
            self.show(&book);
            return Ok(());
        }
        let mut configured: BTreeMap<Family, Vec<Configured>> = BTreeMap::new();
        for key in self.configured() {
            configured.entry((key.domain.clone(), key.public.algorithm())).or_default().push(key);
        }
        let mut book = self.0.book.lock().await;
        let known = book.keys.values().map(|e| (e.kept.life.domain.clone(), e.kept.life.algorithm()));
        let families: BTreeSet<Family> = known.chain(configured.keys().cloned()).collect();
        let now = self.now();
        let mut pending = Pending::default();
        for family in families {
            let named = configured.remove(&family).unwrap_or_default();
            let mut lives = book.family(&family);
            let told = life::follow_config(&mut lives, &named, now);
            pending.add(&book, &family, lives, told, Vec::new());
            // Parts of a family are never in different transactions.
            if pending.changes.len() >= MEMOS_A_CALL_MAX / 2 {
                self.commit(&mut book, std::mem::take(&mut pending)).await?;
            }
        }
        self.commit(&mut book, pending).await?;
        // The config may have another list of domains, though no key of theirs has changed.
        self.put_in_force(&book);
        Ok(())
    }

    fn is_sandbox(&self) -> bool {
        self.0.parts.config.get().delivery.mode == Mode::Sandbox
    }

    fn configured(&self) -> Vec<Configured> {
        let keys = self.0.parts.ring.all().into_iter().filter(|key| !key.managed);
        keys.map(|key| Configured {
            domain: key.domain,
            selector: key.selector.to_ascii_lowercase(),
            public: key.key.public().clone(),
        })
        .collect()
    }

    /// Begins a rotation; when it returns, the key is on disk. Takes the time of making a key. One that is under way is hurried
    /// if that is the wish.
    ///
    /// # Errors
    /// Why not; then nothing changed.
    pub async fn begin(&self, wish: &Wish) -> Result<Life, Refusal> {
        let domain = domain_of(&wish.domain);
        if self.is_sandbox() {
            return Err(Refusal::Sandbox);
        }
        if !listed(&self.0.parts.config.get()).contains(&domain) {
            return Err(Refusal::NoSuchDomain(domain));
        }
        let family = (domain, wish.algorithm);
        let mut book = self.0.book.lock().await;
        if wish.hurry && book.family(&family).iter().any(Life::is_under_way) {
            return self.hurry(&mut book, &family).await;
        }
        self.may_begin(&book, &family.0, wish)?;
        drop(book);
        let (algorithm, bits) = (wish.algorithm, wish.bits);
        let (key, pkcs8) = smol::unblock(move || SigningKey::generate(algorithm, bits)).await?;
        let now = self.now();
        let mut book = self.0.book.lock().await;
        let selector = self.may_begin(&book, &family.0, wish)?;
        let made = Life::made(&family.0, &selector, key.public().clone(), wish.hurry, now);
        let private = Private { key: Arc::new(key), pkcs8 };
        let mut lives = book.family(&family);
        lives.push(made.clone());
        let told = Told { domain: made.domain.clone(), selector, what: What::Made };
        let mut pending = Pending::default();
        pending.add(&book, &family, lives, vec![told], vec![Kept { life: made.clone(), private: Some(private) }]);
        self.commit(&mut book, pending).await?;
        drop(book);
        self.kick();
        Ok(made)
    }

    async fn hurry(&self, book: &mut MutexGuard<'_, Book>, family: &Family) -> Result<Life, Refusal> {
        let mut hurried = None;
        self.change(book, family, |lives| {
            let under_way = lives.iter_mut().find(|life| life.is_under_way());
            under_way.map_or_else(Vec::new, |life| {
                life.hurry = true;
                hurried = Some(life.clone());
                let (domain, selector) = (life.domain.clone(), life.selector.clone());
                vec![Told { domain, selector, what: What::Hurried }]
            })
        })
        .await?;
        self.kick();
        hurried.ok_or(Refusal::Abort(CannotAbort::Nothing))
    }

    /// The selector of a new key, if there may be one.
    fn may_begin(&self, book: &Book, domain: &str, wish: &Wish) -> Result<String, Refusal> {
        let family = book.family(&(domain.to_owned(), wish.algorithm));
        if let Some(life) = family.iter().find(|life| life.is_under_way()) {
            return Err(Refusal::UnderWay(life.selector.clone(), life.stage.word()));
        }
        if book.keys.len() >= KEYS_MAX {
            return Err(Refusal::TooMany);
        }
        let mut selectors: BTreeSet<String> =
            self.configured().into_iter().filter(|k| k.domain == domain).map(|k| k.selector).collect();
        let known = book.keys.values().filter(|entry| entry.kept.life.domain == domain);
        selectors.extend(known.map(|entry| entry.kept.life.selector.clone()));
        let taken = |selector: &str| selectors.contains(selector);
        if wish.selector.is_empty() {
            let selector = life::new_selector(wish.algorithm, self.now(), &taken);
            let selector = selector
                .ok_or_else(|| Refusal::Selector("every selector of this day is taken: say --selector".into()))?;
            return match life::selector_flaw(&selector, domain) {
                Some(flaw) => Err(Refusal::Selector(flaw.into())),
                None => Ok(selector),
            };
        }
        let selector = wish.selector.to_ascii_lowercase();
        if let Some(flaw) = life::selector_flaw(&selector, domain) {
            return Err(Refusal::Selector(flaw.into()));
        }
        if taken(&selector) {
            let why = format!(
                "the selector {selector} has a key already, and receivers would confuse the two: choose another"
            );
            return Err(Refusal::Selector(why));
        }
        Ok(selector)
    }

    /// Gives a rotation up, or goes back to the key before. What signs then is in the answer.
    ///
    /// # Errors
    /// Why not; then nothing changed.
    pub async fn abort(&self, domain: &str, algorithm: Option<Algorithm>) -> Result<Vec<Told>, Refusal> {
        let domain = domain_of(domain);
        let configured = self.configured();
        let now = self.now();
        let mut book = self.0.book.lock().await;
        // A key that is under way is meant before one that signs.
        let could = |test: &dyn Fn(&Life) -> bool| -> Vec<Algorithm> {
            let of = Algorithm::ALL.into_iter().filter(|a| algorithm.is_none_or(|wanted| wanted == *a));
            of.filter(|a| book.family(&(domain.clone(), *a)).iter().any(test)).collect()
        };
        let under_way = could(&Life::is_under_way);
        let signing = could(&|life| life.origin == Origin::Managed && life.stage == Stage::Active);
        let algorithm = match (under_way.as_slice(), signing.as_slice()) {
            ([one], _) | ([], [one]) => *one,
            ([], []) => return Err(CannotAbort::Nothing.into()),
            _ => return Err(Refusal::WhichOne),
        };
        let family = (domain, algorithm);
        let mut lives = book.family(&family);
        let named: Vec<Configured> =
            configured.into_iter().filter(|k| k.domain == family.0 && k.public.algorithm() == algorithm).collect();
        let told = life::abort(&mut lives, &named, now)?;
        let mut pending = Pending::default();
        pending.add(&book, &family, lives, told.clone(), Vec::new());
        self.commit(&mut book, pending).await?;
        drop(book);
        self.kick();
        Ok(told)
    }

    /// The keys, of one domain or of all, in the order of their names.
    pub fn keys(&self, domain: Option<&str>) -> Vec<KeyView> {
        let shown = self.0.shown.read().unwrap_or_else(PoisonError::into_inner).clone();
        let domain = domain.map(domain_of);
        let parts = &self.0.parts;
        let surroundings = Surroundings::of(&parts.config.get(), &parts.ring, self.now());
        let of_it = shown.iter().filter(|shown| domain.as_ref().is_none_or(|domain| *domain == shown.life.domain));
        of_it.map(|shown| surroundings.view(shown)).collect()
    }

    fn kick(&self) {
        // Full: it has been kicked already.
        let _ = self.0.kick.0.try_send(());
    }

    fn now(&self) -> Timestamp {
        self.0.parts.clock.now()
    }

    async fn forget(&self, key: &str) -> Result<(), StoreError> {
        let mut book = self.0.book.lock().await;
        self.0.parts.shelf.put_memos(vec![memo::forget(key)]).await?;
        book.keys.remove(key);
        self.show(&book);
        Ok(())
    }

    /// Changes one family by a pure step.
    async fn change(
        &self,
        book: &mut MutexGuard<'_, Book>,
        family: &Family,
        step: impl FnOnce(&mut Vec<Life>) -> Vec<Told>,
    ) -> Result<(), StoreError> {
        let mut lives = book.family(family);
        let told = step(&mut lives);
        let mut pending = Pending::default();
        pending.add(book, family, lives, told, Vec::new());
        self.commit(book, pending).await
    }

    /// On disk first, then in force, then told.
    async fn commit(&self, book: &mut MutexGuard<'_, Book>, pending: Pending) -> Result<(), StoreError> {
        let Pending { changes, put, gone, told } = pending;
        // Most looks find what is known: what signs stays as it is.
        let is_moved = !put.is_empty() || !gone.is_empty();
        if !changes.is_empty() {
            self.0.parts.shelf.put_memos(changes).await?;
        }
        for key in gone {
            book.keys.remove(&key);
        }
        for (key, kept) in put {
            match book.keys.get_mut(&key) {
                Some(entry) => entry.kept = kept,
                None => {
                    book.keys.insert(key, Entry { kept, looked_at: None, seen: Seen::default() });
                }
            }
        }
        if is_moved {
            self.put_in_force(book);
        }
        self.show(book);
        for told in told {
            // The ring has told these, and nothing about them was decided here.
            if !matches!(told.what, What::Appeared(_) | What::Left) {
                self.tell(told).await;
            }
        }
        Ok(())
    }

    fn put_in_force(&self, book: &Book) {
        let config = self.0.parts.config.get();
        let listed = listed(&config);
        let managed = book.keys.values().filter_map(|entry| {
            let life = &entry.kept.life;
            let private = entry.kept.private.as_ref()?;
            let signs = life.stage == Stage::Active && listed.contains(&life.domain);
            let (domain, selector) = (life.domain.clone(), life.selector.clone());
            Some(Managed { domain, selector, key: private.key.clone(), signs })
        });
        self.0.parts.ring.set_managed(managed.collect());
    }

    fn show(&self, book: &Book) {
        let shown = book.keys.values().map(|entry| Shown {
            life: entry.kept.life.clone(),
            looked_at: entry.looked_at,
            seen: entry.seen.clone(),
        });
        *self.0.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown.collect());
    }

    /// Journal, operation log.
    async fn tell(&self, told: Told) {
        let Told { domain, selector, what } = told;
        let (act, words) = (words::act(&what), words::sentence(&what));
        let line = words.replace('"', "'");
        if words::is_alarm(&what) {
            log::warn!("act=dkim.{act} domain={domain} selector={selector} what=\"{line}\"");
        } else {
            log::info!("act=dkim.{act} domain={domain} selector={selector} what=\"{line}\"");
        }
        let entry = AuditEntry {
            at: self.now(),
            who: WHO.into(),
            from: FROM.into(),
            act: format!("dkim.{act}"),
            object: crate::dkim::record::name(&selector, &domain),
            detail: words,
        };
        if let Err(error) = self.0.parts.shelf.audit(entry).await {
            log::error!("act=dkim.{act} domain={domain} selector={selector} error=\"{error}\"");
        }
    }

    /// The gauges.
    fn count(&self) {
        let (mut oldest, mut under_way, mut alarms) = (Duration::ZERO, 0, 0);
        let now = self.now();
        let mut wrong = BTreeMap::new();
        for view in self.keys(None) {
            if !view.words.alarms.is_empty() {
                wrong.insert(view.life.record_name(), view.words.alarms.clone());
            }
            oldest = oldest.max(view.life.age(now).unwrap_or_default());
            under_way += u64::from(view.life.is_under_way());
            alarms += u64::from(!view.words.alarms.is_empty());
        }
        let metrics = &self.0.parts.metrics;
        metrics.dkim_key_age_seconds.set(oldest.as_secs());
        metrics.dkim_rotations.set(under_way);
        metrics.dkim_key_alarms.set(alarms);
        let mut told = self.0.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, alarms) in &wrong {
            if told.get(name).is_none_or(|before| *before < alarms.len()) {
                log::warn!("act=dkim.alarm key={name} what=\"{}\"", alarms.join("; "));
            }
        }
        *told = wrong.into_iter().map(|(name, alarms)| (name, alarms.len())).collect();
    }
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;
