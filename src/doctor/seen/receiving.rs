//! What the doctor sees, part of the domain as a receiver, and its logo.
//!
//! In: nothing.  Out: the variants, and the id of each.
//! Always: as in [`super`].
//! Sources: RFC 8461, 8460, 7672; BIMI draft.

use serde::{Deserialize, Serialize};

/// MTA-STS of the domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sts {
    /// It has no record.
    Absent,
    /// It has a policy's file, or several records, or one that cannot be read.
    BadRecord {
        /// They.
        records: Vec<String>,
    },
    /// It has one.
    Record {
        /// The policy's id.
        id: String,
    },
    /// The policy's host has a certificate that senders do not accept.
    Certificate {
        /// Why not.
        why: String,
    },
    /// The policy cannot be fetched.
    NotFetched {
        /// Why not.
        why: String,
    },
    /// It cannot be read.
    BadPolicy {
        /// Why not.
        why: String,
    },
    /// What it asks of senders.
    Policy {
        /// enforce, testing, none.
        mode: String,
        /// Its hosts.
        mx: Vec<String>,
        /// Seconds that it is kept.
        max_age: u64,
    },
    /// It is kept for so short a time that it protects nobody.
    ShortLived {
        /// Seconds.
        max_age: u64,
    },
    /// It does not allow one of the domain's MX hosts.
    HostNotAllowed {
        /// It.
        host: String,
        /// Mail is refused.
        enforced: bool,
    },
    /// It allows all.
    HostsAllowed,
}

impl Sts {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        match self {
            Sts::Absent | Sts::BadRecord { .. } | Sts::Record { .. } => "sts.record",
            Sts::Certificate { .. } | Sts::NotFetched { .. } | Sts::BadPolicy { .. } | Sts::Policy { .. } => {
                "sts.policy"
            }
            Sts::ShortLived { .. } => "sts.max_age",
            Sts::HostNotAllowed { .. } | Sts::HostsAllowed => "sts.mx",
        }
    }
}

/// TLS reports for the domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsRpt {
    /// Nobody asks for them.
    Absent,
    /// There is a record that cannot be read, or several.
    Bad {
        /// They.
        records: Vec<String>,
    },
    /// They go there.
    Found {
        /// `mailto:…` and `https:…`.
        places: Vec<String>,
    },
}

impl TlsRpt {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        "tlsrpt.record"
    }
}

/// DANE of the domain's MX hosts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dane {
    /// The MX records are not signed, or our resolver does not validate: no sender uses DANE.
    MxNotSecure,
    /// They are.
    MxSecure,
    /// A host has no TLSA record.
    Absent,
    /// It has some, which are not signed.
    NotSecure {
        /// How many.
        count: usize,
    },
    /// It has some, none of which can be used.
    Unusable {
        /// How many.
        count: usize,
    },
    /// It has some.
    Found {
        /// Which can be used.
        usable: usize,
        /// In all.
        count: usize,
    },
}

impl Dane {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        match self {
            Dane::MxNotSecure | Dane::MxSecure => "dane.mx",
            Dane::Absent | Dane::NotSecure { .. } | Dane::Unusable { .. } | Dane::Found { .. } => "dane.tlsa",
        }
    }
}

/// The logo.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bimi {
    /// There is no record.
    Absent,
    /// The domain says that it has no logo.
    Declined,
    /// The record cannot be read, or there are several.
    Bad {
        /// What is wrong.
        why: String,
    },
    /// It is good, whatever is behind its URLs.
    Found {
        /// The logo.
        logo: String,
        /// Its certificate; empty: none.
        certificate: String,
    },
    /// The DMARC policy is too weak for it.
    WeakPolicy {
        /// Why.
        why: String,
    },
    /// It is strong enough.
    StrongPolicy,
}

impl Bimi {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        match self {
            Bimi::Absent | Bimi::Declined | Bimi::Bad { .. } | Bimi::Found { .. } => "bimi.record",
            Bimi::WeakPolicy { .. } | Bimi::StrongPolicy => "bimi.policy",
        }
    }
}
