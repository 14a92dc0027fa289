//! What records a domain should have.
//!
//! In: nothing.  Out: the types.
//! Sources: `doctor/records.rs`, which gathers them.

use serde::{Deserialize, Serialize};

use crate::doctor::finding::RecordToPublish;

/// What a record is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Who may send under the header-From domain.
    Spf,
    /// Who may send under the return domain.
    ReturnSpf,
    /// Where bounces come in.
    ReturnMx,
    /// Where reports and complaints come in.
    ReportMx,
    /// A key.
    Dkim,
    /// A key that does not sign now.
    DkimWaiting,
    /// The policy.
    Dmarc,
    /// The policy of a parent covers the domain: nothing to publish.
    DmarcInherited,
    /// The report address's domain wants the reports.
    DmarcAuthorisation,
    /// Where TLS reports go.
    TlsRpt,
    /// The MTA-STS policy's id.
    Sts,
    /// The name that we say hello with.
    Hello,
    /// The name of our address.
    ReverseName,
}

/// Whether it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Published {
    /// It is, word for word.
    Yes,
    /// It is not, or says something else.
    No,
    /// The DNS did not say.
    Unknown,
}

/// A record with what it is for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wanted {
    /// What it is for.
    pub purpose: Purpose,
    /// The record.
    pub record: RecordToPublish,
    /// Whether it is there.
    pub published: Published,
    /// It is in the domain's own zone, as far as names tell; else somebody else publishes it.
    pub own_zone: bool,
}

/// All records of a domain.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Records {
    /// The header-From domain.
    pub domain: String,
    /// The records, by what they are for.
    pub wanted: Vec<Wanted>,
}
