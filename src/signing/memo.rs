//! Keys that we look after, on disk: each with its stage in one row, so that a stage never speaks of a key that is gone.
//!
//! In: a [`Life`] and, while it is needed, the private key.  Out: a memo of kind `dkim-keys`, and the same back.
//! Always: the rows are secret; a row that cannot be read is kept as it is and told, never written over; what changes together
//! is one transaction.
//! Sources: issue 6 part 2; `store/memo_types.rs` (what a memo may hold).

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use super::life::{Life, Origin, Stage};
use crate::{
    clock::Timestamp,
    dkim::{
        key::SigningKey,
        public::{Algorithm, PublicKey},
    },
    secret::Secret,
    store::{AuditEntry, MEMOS_A_CALL_MAX, MemoChange, MemoKind, Memos, Page, QueueFilter, Store, StoreError, Writing},
};

/// Pages of held mail that are looked at, to know whether an old one is among them.
const HELD_PAGES_MAX: usize = 20;

/// The store, as this room sees it.
pub trait Shelf: Memos {
    /// Writes an entry of the operation log.
    fn audit(&self, entry: AuditEntry) -> Writing<'_>;
    /// Mail waits that was accepted before this moment; held mail counts. Blocking.
    ///
    /// # Errors
    /// The store's.
    fn mail_waits(&self, before: Timestamp) -> Result<bool, StoreError>;
}

impl Shelf for Store {
    fn audit(&self, entry: AuditEntry) -> Writing<'_> {
        Box::pin(Store::audit(self, entry))
    }

    fn mail_waits(&self, before: Timestamp) -> Result<bool, StoreError> {
        // Mail that is scheduled for later counts from its release: it is signed then, by the key of then.
        if self.oldest()?.iter().flatten().any(|since| *since <= before) {
            return Ok(true);
        }
        if self.totals().held == 0 {
            return Ok(false);
        }
        let filter = QueueFilter { held: true, ..QueueFilter::default() };
        let mut page = Page { rows_max: MEMOS_A_CALL_MAX, ..Page::default() };
        for _ in 0..HELD_PAGES_MAX {
            let found = self.queue_page(&filter, &page)?;
            if found.rows.iter().any(|row| row.message.id.time() <= before) {
                return Ok(true);
            }
            match found.next {
                Some(next) => page.cursor = Some(next),
                None => return Ok(false),
            }
        }
        // So much is held that nobody knows: as long as that is so, the record stays.
        Ok(true)
    }
}

/// A key with its private half.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What is known of it.
    pub life: Life,
    /// The private key, where we keep it, and not after it retired.
    pub private: Option<Private>,
}

/// A private key, and the octets that are kept of it.
#[derive(Clone, Debug)]
pub struct Private {
    /// To sign with.
    pub key: Arc<SigningKey>,
    /// PKCS#8, in DER.
    pub pkcs8: Secret<Vec<u8>>,
}

/// A row as it stands on disk. Times are milliseconds since 1970, spans milliseconds.
#[derive(Serialize, Deserialize)]
struct Row {
    domain: String,
    selector: String,
    /// `rsa` or `ed25519`.
    algorithm: String,
    /// As in `p=`.
    public: String,
    origin: String,
    stage: String,
    since: u64,
    made: u64,
    #[serde(default)]
    signs_since: Option<u64>,
    #[serde(default)]
    hurry: bool,
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    stale: u64,
    #[serde(default)]
    silent_since: Option<u64>,
    #[serde(default)]
    denied_since: Option<u64>,
    #[serde(default)]
    drained: Option<u64>,
    #[serde(default)]
    gone: Option<u64>,
    /// PKCS#8 in base64.
    #[serde(default)]
    private: Option<String>,
}

/// The memo's key: of one domain and selector there may be several keys in a year.
pub fn memo_key(life: &Life) -> String {
    format!("{} {} {}", life.domain, life.selector, life.public.fingerprint())
}

/// Writes a key's row.
pub fn put(kept: &Kept) -> MemoChange {
    let life = &kept.life;
    let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
    let span = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let row = Row {
        domain: life.domain.clone(),
        selector: life.selector.clone(),
        algorithm: life.algorithm().key_type().to_owned(),
        public: life.public.base64(),
        origin: life.origin.word().to_owned(),
        stage: life.stage.word().to_owned(),
        since: life.since.as_millis(),
        made: life.made.as_millis(),
        signs_since: millis(life.signs_since),
        hurry: life.hurry,
        ttl: span(life.ttl),
        stale: span(life.stale),
        silent_since: millis(life.silent_since),
        denied_since: millis(life.denied_since),
        drained: millis(life.drained),
        gone: millis(life.gone),
        private: kept.private.as_ref().map(|private| BASE64.encode(private.pkcs8.reveal())),
    };
    let value = serde_json::to_vec(&row).expect("texts and numbers are JSON");
    MemoChange { kind: MemoKind::DkimKeys, key: memo_key(life), value: Some(value) }
}

/// Forgets a key's row.
pub fn forget(key: &str) -> MemoChange {
    MemoChange { kind: MemoKind::DkimKeys, key: key.to_owned(), value: None }
}

/// Reads a key's row; the error says what is wrong, without what it holds.
///
/// # Errors
/// In words.
pub fn read(value: &[u8]) -> Result<Kept, String> {
    // The words of the JSON reader may quote what it read.
    let row: Row = serde_json::from_slice(value).map_err(|_| "the row is damaged".to_owned())?;
    let algorithm = Algorithm::from_key_type(&row.algorithm);
    let algorithm = algorithm.ok_or_else(|| format!("its algorithm is unknown: {:.20}", row.algorithm))?;
    let public = BASE64.decode(&row.public).ok().and_then(|octets| PublicKey::read(algorithm, &octets));
    let public = public.ok_or("its public key is damaged")?;
    let stage = Stage::ALL.into_iter().find(|stage| stage.word() == row.stage);
    let origin = [Origin::Managed, Origin::Configured].into_iter().find(|origin| origin.word() == row.origin);
    let (Some(stage), Some(origin)) = (stage, origin) else { return Err("its stage is unknown".into()) };
    let private = match row.private {
        None => None,
        Some(base64) => {
            let pkcs8 = BASE64.decode(base64).map_err(|_| "its private key is damaged")?;
            let key = SigningKey::from_pkcs8(&pkcs8).map_err(|fault| format!("its private key {fault}"))?;
            if *key.public() != public {
                return Err("its private key is not the one of its public key".into());
            }
            Some(Private { key: Arc::new(key), pkcs8: Secret::new(pkcs8) })
        }
    };
    if private.is_none() && origin == Origin::Managed && stage != Stage::Retired {
        return Err("its private key is missing".into());
    }
    let at = |millis: Option<u64>| millis.map(Timestamp::from_millis);
    let life = Life {
        domain: row.domain,
        selector: row.selector,
        public,
        origin,
        stage,
        since: Timestamp::from_millis(row.since),
        made: Timestamp::from_millis(row.made),
        signs_since: at(row.signs_since),
        hurry: row.hurry,
        ttl: Duration::from_millis(row.ttl),
        stale: Duration::from_millis(row.stale),
        silent_since: at(row.silent_since),
        denied_since: at(row.denied_since),
        drained: at(row.drained),
        gone: at(row.gone),
    };
    Ok(Kept { life, private })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn managed(stage: Stage) -> Kept {
        let (key, pkcs8) = SigningKey::generate(Algorithm::Ed25519Sha256, 0).expect("a key");
        let now = Timestamp::from_millis(1_795_527_310_000);
        let mut life = Life::made("example.jp", "e20261129", key.public().clone(), true, now);
        life.stage = stage;
        (life.ttl, life.stale) = (Duration::from_secs(300), Duration::from_millis(1));
        (life.signs_since, life.drained) = (Some(now), Some(now.plus(Duration::from_secs(1))));
        (life.silent_since, life.denied_since, life.gone) = (Some(now), None, Some(now));
        Kept { life, private: Some(Private { key: Arc::new(key), pkcs8 }) }
    }

    #[test]
    fn a_row_brings_back_everything() {
        for stage in Stage::ALL {
            let kept = managed(stage);
            let change = put(&kept);
            assert!(change.key.starts_with("example.jp e20261129 "), "{}", change.key);
            let back = read(&change.value.expect("a row")).expect("it can be read");
            assert_eq!(back.life, kept.life);
            assert_eq!(back.private.expect("kept").pkcs8, kept.private.expect("made").pkcs8);
        }
        let mut configured = managed(Stage::Active);
        (configured.life.origin, configured.private) = (Origin::Configured, None);
        let back = read(&put(&configured).value.expect("a row")).expect("it can be read");
        assert_eq!((back.life, back.private.is_none()), (configured.life, true));
    }

    #[test]
    fn a_damaged_row_is_told_without_its_secret() {
        let kept = managed(Stage::Active);
        let good = String::from_utf8(put(&kept).value.expect("a row")).expect("JSON");
        let other = managed(Stage::Active);
        let secret = BASE64.encode(kept.private.as_ref().expect("made").pkcs8.reveal());
        let foreign = BASE64.encode(other.private.as_ref().expect("made").pkcs8.reveal());
        for (bad, words) in [
            (String::new(), "damaged"),
            (good[..good.len() - 9].to_owned(), "damaged"),
            (good.replace("\"ed25519\"", "\"dsa\""), "algorithm"),
            (good.replace("\"active\"", "\"asleep\""), "stage"),
            (good.replace("\"managed\"", "\"borrowed\""), "stage"),
            (good.replace(&secret, "MC4C"), "private key"),
            (good.replace(&secret, &foreign), "not the one"),
            (good.replace(&format!("\"{secret}\""), "null"), "missing"),
            (good.replace("\"public\":\"", "\"public\":\"A"), "public key"),
        ] {
            let told = read(bad.as_bytes()).expect_err(words);
            assert!(told.contains(words), "{told}");
            assert!(!told.contains(&secret[..16]), "{told}");
        }
        assert!(!format!("{kept:?} {:?}", put(&kept)).contains(&secret));
    }
}
