//! What other rooms remember: the kinds of their small rows, and how many and how large they may be.
//!
//! Always: a new kind is added at the end, with a number in `memos.rs` that never changes; a secret value is never printed.

use std::{future::Future, pin::Pin};

use super::{Store, types::StoreError};

/// What other rooms remember across restarts, small rows of their own making, in a table of the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MemoKind {
    /// MTA-STS policies, by domain.
    MtaSts,
    /// What warming source addresses sent, by day, address and provider.
    WarmUp,
    /// TLS results of a day, by day and policy domain.
    TlsResults,
    /// TLS reports that came in, by day, organisation and report.
    TlsReports,
    /// When a delivery-speed rule last matched, by its name.
    RuleUse,
    /// Keys of our return addresses and unsubscribe links, by epoch. Secret: a value is never printed. A backup holds them,
    /// or a restored store would not know the bounces of what it had sent.
    ReturnKeys,
    /// Senders that went out with their local part kept, and the day of the last one.
    ReturnPaths,
    /// Addresses that are not written to.
    Suppressions,
    /// Errors of an address within the window.
    AddressErrors,
    /// Who left which list.
    Unsubscribes,
    /// Troubles of destinations, told together.
    Incidents,
    /// How far the log was followed, and what the followers know.
    Followers,
    /// Answers of the sending API, by API user and Idempotency-Key, for a day.
    Idempotency,
    /// Webhooks: how far each has come, and what it waits for.
    Webhooks,
    /// What happened to lists of addresses and is not in the log of deliveries: the webhooks' outbox.
    WebhookEvents,
    /// What webhooks posted lately, and what they gave up: by endpoint and time.
    WebhookHistory,
    /// Sessions of the console.
    Sessions,
    /// Signing keys that `dkim-rotate` made, and where each stands in its life. Secret.
    DkimKeys,
    /// What the last check of each domain found, and what changed.
    DomainFindings,
    /// What mail of each header-From domain went to which provider, by day.
    Streams,
    /// How the delivery-speed rules changed, by time.
    RuleChanges,
    /// DMARC reports that came in: the known ones, by organisation and id.
    DmarcReports,
    /// Rows of DMARC reports, by domain and day.
    DmarcRecords,
    /// Failure reports, by domain and day.
    DmarcFailures,
    /// Links for application owners, by the digest of their tokens.
    OwnerLinks,
    /// Filters of the console's pages that people keep under a name, by account.
    Views,
}

impl MemoKind {
    /// Every kind, in the order of their stored numbers.
    pub const ALL: [MemoKind; 26] = [
        MemoKind::MtaSts,
        MemoKind::WarmUp,
        MemoKind::TlsResults,
        MemoKind::TlsReports,
        MemoKind::RuleUse,
        MemoKind::ReturnKeys,
        MemoKind::ReturnPaths,
        MemoKind::Suppressions,
        MemoKind::AddressErrors,
        MemoKind::Unsubscribes,
        MemoKind::Incidents,
        MemoKind::Followers,
        MemoKind::Idempotency,
        MemoKind::Webhooks,
        MemoKind::WebhookEvents,
        MemoKind::WebhookHistory,
        MemoKind::Sessions,
        MemoKind::DkimKeys,
        MemoKind::DomainFindings,
        MemoKind::Streams,
        MemoKind::RuleChanges,
        MemoKind::DmarcReports,
        MemoKind::DmarcRecords,
        MemoKind::DmarcFailures,
        MemoKind::OwnerLinks,
        MemoKind::Views,
    ];

    /// Memos of this kind at most; beyond, a new key is refused.
    pub fn max(self) -> usize {
        match self {
            MemoKind::Suppressions
            | MemoKind::AddressErrors
            | MemoKind::Unsubscribes
            | MemoKind::ReturnPaths
            | MemoKind::Idempotency
            | MemoKind::WebhookEvents
            | MemoKind::DmarcReports
            | MemoKind::DmarcRecords => LIST_MEMOS_MAX,
            MemoKind::MtaSts
            | MemoKind::WarmUp
            | MemoKind::TlsResults
            | MemoKind::TlsReports
            | MemoKind::RuleUse
            | MemoKind::ReturnKeys
            | MemoKind::Incidents
            | MemoKind::Followers
            | MemoKind::Webhooks
            | MemoKind::WebhookHistory
            | MemoKind::Sessions
            | MemoKind::DkimKeys
            | MemoKind::DomainFindings
            | MemoKind::Streams
            | MemoKind::RuleChanges
            | MemoKind::DmarcFailures
            | MemoKind::OwnerLinks
            | MemoKind::Views => MEMOS_MAX,
        }
    }

    /// Values of this kind are shown to nobody.
    pub fn is_secret(self) -> bool {
        matches!(self, MemoKind::ReturnKeys | MemoKind::Sessions | MemoKind::DkimKeys)
    }

    /// The word in messages to people.
    pub fn word(self) -> &'static str {
        match self {
            MemoKind::MtaSts => "mta-sts",
            MemoKind::WarmUp => "warm-up",
            MemoKind::TlsResults => "tls-results",
            MemoKind::TlsReports => "tls-reports",
            MemoKind::RuleUse => "rule-use",
            MemoKind::ReturnKeys => "return-keys",
            MemoKind::ReturnPaths => "return-paths",
            MemoKind::Suppressions => "suppressions",
            MemoKind::AddressErrors => "address-errors",
            MemoKind::Unsubscribes => "unsubscribes",
            MemoKind::Incidents => "incidents",
            MemoKind::Followers => "followers",
            MemoKind::Idempotency => "idempotency",
            MemoKind::Webhooks => "webhooks",
            MemoKind::WebhookEvents => "webhook-events",
            MemoKind::WebhookHistory => "webhook-history",
            MemoKind::Sessions => "sessions",
            MemoKind::DkimKeys => "dkim-keys",
            MemoKind::DomainFindings => "domain-findings",
            MemoKind::Streams => "streams",
            MemoKind::RuleChanges => "rule-changes",
            MemoKind::DmarcReports => "dmarc-reports",
            MemoKind::DmarcRecords => "dmarc-records",
            MemoKind::DmarcFailures => "dmarc-failures",
            MemoKind::OwnerLinks => "owner-links",
            MemoKind::Views => "views",
        }
    }
}

/// Octets of one memo's value at most.
pub const MEMO_OCTETS_MAX: usize = 256 * 1024;
/// Memos of one kind at most, but for the lists of addresses.
pub const MEMOS_MAX: usize = 100_000;
/// Memos of a list of addresses at most: what the largest senders' lists hold.
pub const LIST_MEMOS_MAX: usize = 20_000_000;

/// Octets of a memo's key at most.
pub const MEMO_KEY_MAX: usize = 512;
/// Memos that one call writes or forgets, and the octets of their values: one transaction, short enough for the verdicts
/// that wait behind it.
pub const MEMOS_A_CALL_MAX: usize = 1_000;
/// See [`MEMOS_A_CALL_MAX`].
pub const MEMOS_A_CALL_OCTETS_MAX: usize = 4 * 1024 * 1024;

/// A memo to write or to forget. Printed, it tells the length of its value at most.
#[derive(Clone, PartialEq, Eq)]
pub struct MemoChange {
    /// Its kind.
    pub kind: MemoKind,
    /// Its key, at most 512 octets.
    pub key: String,
    /// Its value; `None` forgets it.
    pub value: Option<Vec<u8>>,
}

impl std::fmt::Debug for MemoChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = match &self.value {
            None => "forgotten".to_owned(),
            Some(_) if self.kind.is_secret() => "secret".to_owned(),
            Some(value) => format!("{} octets", value.len()),
        };
        write!(f, "MemoChange({}/{}: {value})", self.kind.word(), self.key)
    }
}

/// A write of memos under way.
pub type Writing<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// The memos, as the rooms that keep some see them: the store's, or a test's that fails.
pub trait Memos: Send + Sync + 'static {
    /// See [`Store::memo`].
    fn memo(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// See [`Store::memos`].
    fn memos(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
    /// See [`Store::memo_keys`].
    fn memo_keys(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        Ok(self.memos(kind, prefix, after, limit)?.into_iter().map(|(key, _)| key).collect())
    }
    /// See [`Store::put_memos`].
    fn put_memos(&self, changes: Vec<MemoChange>) -> Writing<'_>;
}

impl Memos for Store {
    fn memo(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Store::memo(self, kind, key)
    }

    fn memos(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Store::memos(self, kind, prefix, after, limit)
    }

    fn memo_keys(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        Store::memo_keys(self, kind, prefix, after, limit)
    }

    fn put_memos(&self, changes: Vec<MemoChange>) -> Writing<'_> {
        Box::pin(Store::put_memos(self, changes))
    }
}
