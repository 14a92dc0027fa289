//! Signing keys as rows: for the control socket, the command line, and the page.
//!
//! Always: a private key is not among what a row can hold.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    signing::{
        view::KeyView,
        witness::{Role, Witness},
    },
};

/// Keys in an overview.
pub const KEYS_IN_OVERVIEW: usize = 50;

/// A signing key.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KeyOut {
    /// The domain.
    pub domain: String,
    /// The selector.
    pub selector: String,
    /// `rsa` or `ed25519`.
    pub algorithm: String,
    /// Bits of an RSA key; 256 for Ed25519.
    pub bits: u64,
    /// `managed` (made by dkim-rotate) or `configured`.
    pub origin: String,
    /// `pending`, `published`, `idle`, `active`, `retiring` or `retired` …
    pub state: String,
    /// … since when.
    pub since: String,
    /// When it was made, or first seen in the config.
    pub made_at: String,
    /// It signs now.
    pub signs: bool,
    /// When it first signed: for a key of the config, when this daemon first had it sign.
    pub signs_since: Option<String>,
    /// Seconds since then, while it signs.
    pub age_seconds: Option<u64>,
    /// What happens next.
    pub next: String,
    /// What the operator has to do; empty: nothing.
    pub todo: String,
    /// What is wrong.
    pub alarms: Vec<String>,
    /// The name of its record.
    pub record_name: String,
    /// The text of its record; left out of an overview.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub record: String,
    /// When the DNS was last asked since the start.
    pub looked_at: Option<String>,
    /// What it said; left out of an overview.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerOut>,
    /// Why nobody could be asked; empty: somebody was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
}

/// What a server says of a record.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ServerOut {
    /// `authoritative` or `resolver`.
    pub role: String,
    /// Its name, and its address where that is another word.
    pub server: String,
    /// `right`, `absent`, `revoked`, `wrong`, `refused`, `silent` or `no_way`.
    pub says: String,
    /// The same in words.
    pub words: String,
    /// How long others may keep that, in seconds.
    pub ttl_seconds: u64,
}

/// All keys at a glance.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DkimOut {
    /// Keys that sign.
    pub signing: u64,
    /// Domains that they sign for.
    pub domains: u64,
    /// How long the oldest of them has signed.
    pub oldest_seconds: u64,
    /// All that are known.
    pub known: u64,
    /// The first of them, those that need somebody before the others.
    pub keys: Vec<KeyOut>,
}

impl KeyOut {
    /// The whole row.
    pub fn new(view: &KeyView, now: Timestamp) -> Self {
        let mut row = KeyOut::brief(view, now);
        row.record = view.life.record();
        row.servers = view.seen.witnesses.iter().map(ServerOut::from).collect();
        row.trouble = view.seen.trouble.clone().unwrap_or_default();
        row
    }

    /// Without the record and what servers say.
    pub fn brief(view: &KeyView, now: Timestamp) -> Self {
        let life = &view.life;
        KeyOut {
            domain: life.domain.clone(),
            selector: life.selector.clone(),
            algorithm: life.algorithm().key_type().to_owned(),
            bits: life.public.bits() as u64,
            origin: life.origin.word().to_owned(),
            state: life.stage.word().to_owned(),
            since: life.since.rfc3339(),
            made_at: life.made.rfc3339(),
            signs: view.signs,
            signs_since: life.signs_since.map(Timestamp::rfc3339),
            age_seconds: life.age(now).map(|age| age.as_secs()),
            next: view.words.next.clone(),
            todo: view.words.todo.clone(),
            alarms: view.words.alarms.clone(),
            record_name: life.record_name(),
            looked_at: view.looked_at.map(Timestamp::rfc3339),
            ..KeyOut::default()
        }
    }

    /// `RSA of 2048 bits`, `Ed25519`.
    pub fn kind(&self) -> String {
        if self.algorithm == "rsa" { format!("RSA of {} bits", self.bits) } else { "Ed25519".to_owned() }
    }

    /// Somebody is needed, or something goes on.
    pub fn is_worth_a_look(&self) -> bool {
        !self.alarms.is_empty() || !self.todo.is_empty() || matches!(self.state.as_str(), "pending" | "published")
    }
}

impl From<&Witness> for ServerOut {
    fn from(witness: &Witness) -> Self {
        ServerOut {
            role: match witness.role {
                Role::Own => "authoritative",
                Role::Resolver => "resolver",
            }
            .to_owned(),
            server: witness.who(),
            says: witness.says.word().to_owned(),
            words: witness.says.words(),
            ttl_seconds: witness.ttl.as_secs(),
        }
    }
}

impl DkimOut {
    /// The overview.
    pub fn new(views: &[KeyView], now: Timestamp) -> Self {
        let mut keys: Vec<KeyOut> = views.iter().map(|view| KeyOut::brief(view, now)).collect();
        let signing: Vec<&KeyOut> = keys.iter().filter(|key| key.signs).collect();
        let mut domains: Vec<&str> = signing.iter().map(|key| key.domain.as_str()).collect();
        domains.dedup();
        let (signing, domains, oldest) = (
            signing.len() as u64,
            domains.len() as u64,
            signing.iter().filter_map(|key| key.age_seconds).max().unwrap_or_default(),
        );
        let known = keys.len() as u64;
        keys.sort_by_key(|key| (key.alarms.is_empty(), !key.is_worth_a_look()));
        keys.truncate(KEYS_IN_OVERVIEW);
        DkimOut { signing, domains, oldest_seconds: oldest, known, keys }
    }
}
