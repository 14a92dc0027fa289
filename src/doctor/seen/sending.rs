//! What the doctor sees, part of what receivers check: SPF, DKIM, DMARC.
//!
//! In: nothing.  Out: the variants, and the id of each.
//! Always: as in [`super`].
//! Sources: RFC 7208, 6376, 9989.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Where look-ups of an SPF record go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Spent {
    /// The term, as it stands in the domain's own record: `include:_spf.example.net`.
    pub term: String,
    /// Look-ups that it costs, those of what it includes too.
    pub lookups: usize,
}

/// SPF of one domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spf {
    /// There is none.
    Missing {
        /// TXT records at the name that look like SPF but are none: `v=spf2`, `spf1 …`.
        neighbours: Vec<String>,
    },
    /// There are several, which is as good as an error in it.
    Several {
        /// They.
        records: Vec<String>,
    },
    /// There is one.
    Found {
        /// It.
        record: String,
    },
    /// It cannot be read or followed.
    Invalid {
        /// It.
        record: String,
        /// What is wrong, in English words.
        why: String,
    },
    /// It can be read and followed.
    Valid,
    /// How many look-ups it takes.
    Lookups {
        /// In all, of ten.
        lookups: usize,
        /// Where they go, the most costly first.
        spent: Vec<Spent>,
    },
    /// How many of these find nothing.
    Void {
        /// In all, of two.
        void: usize,
    },
    /// Mail from one of our addresses passes.
    Passes {
        /// The address.
        address: IpAddr,
        /// By which term.
        matched: String,
    },
    /// It does not.
    Fails {
        /// The address.
        address: IpAddr,
        /// fail, softfail, neutral, none or permerror.
        result: String,
        /// By which term; empty: none matched.
        matched: String,
        /// What to add: `ip4:192.0.2.1`.
        mechanism: String,
    },
    /// Our addresses are not known, so that nothing can be said of them.
    NoAddress,
    /// A smarthost sends, whose addresses are its owner's.
    Smarthost {
        /// It.
        host: String,
    },
    /// Everybody may send: `+all`.
    Everybody,
    /// It says nothing about the others: `?all`, or no `all` at all.
    Open {
        /// Its last word; empty: there is none.
        all: String,
    },
    /// Others may not send.
    Closed {
        /// `-all` or `~all`.
        all: String,
    },
    /// It uses `ptr`, which should not be used any more.
    Ptr,
}

impl Spf {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        match self {
            Spf::Missing { .. } | Spf::Several { .. } | Spf::Found { .. } => "spf.record",
            Spf::Invalid { .. } | Spf::Valid => "spf.valid",
            Spf::Lookups { .. } => "spf.lookups",
            Spf::Void { .. } => "spf.void",
            Spf::Passes { .. } | Spf::Fails { .. } | Spf::NoAddress | Spf::Smarthost { .. } => "spf.address",
            Spf::Everybody | Spf::Open { .. } | Spf::Closed { .. } => "spf.all",
            Spf::Ptr => "spf.ptr",
        }
    }
}

/// One DKIM key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dkim {
    /// No key signs for the domain.
    NoKey,
    /// Keys sign for it.
    Signs {
        /// `selector._domainkey.domain`, each.
        keys: Vec<String>,
        /// The signatures' domain is the header's or a parent of it.
        domain: String,
    },
    /// Ed25519 keys alone sign, which large receivers do not verify.
    NoRsa,
    /// The key's record is missing.
    Missing,
    /// It has several, of which receivers take any.
    Several {
        /// How many.
        count: usize,
    },
    /// It cannot be read.
    Invalid {
        /// It.
        record: String,
        /// What is wrong.
        why: String,
    },
    /// It has this key.
    Matches {
        /// Of the key.
        bits: usize,
    },
    /// It has another key.
    Differs {
        /// It.
        record: String,
    },
    /// It says that the key is revoked: `p=` is empty.
    Revoked,
    /// It says `t=y`: some receivers treat its mail as unsigned.
    Testing,
    /// It does not allow our hash.
    Hash {
        /// Its `h=`.
        allowed: String,
    },
    /// It is not for mail.
    Service {
        /// Its `s=`.
        allowed: String,
    },
    /// An RSA key that is too short for today.
    Short {
        /// Its length.
        bits: usize,
    },
}

impl Dkim {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        match self {
            Dkim::NoKey | Dkim::Signs { .. } => "dkim.keys",
            Dkim::Missing
            | Dkim::Several { .. }
            | Dkim::Invalid { .. }
            | Dkim::Matches { .. }
            | Dkim::Differs { .. } => "dkim.record",
            Dkim::NoRsa => "dkim.rsa",
            Dkim::Revoked => "dkim.revoked",
            Dkim::Testing => "dkim.testing",
            Dkim::Hash { .. } => "dkim.hash",
            Dkim::Service { .. } => "dkim.service",
            Dkim::Short { .. } => "dkim.bits",
        }
    }
}

/// The DMARC policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dmarc {
    /// None applies.
    Missing {
        /// The names that were asked, in this order.
        asked: Vec<String>,
    },
    /// The domain's own applies.
    Own {
        /// It.
        record: String,
    },
    /// One of a parent applies.
    Inherited {
        /// It.
        record: String,
        /// Whose.
        from: String,
        /// It is a public suffix's.
        public_suffix: bool,
        /// The tag that gives the policy: `p`, `sp`, `np`.
        tag: String,
        /// The names that were asked, in this order.
        asked: Vec<String>,
    },
    /// A record on the way cannot be read, or is there twice.
    Invalid {
        /// At which name.
        at: String,
        /// What is wrong.
        why: String,
    },
    /// Tags that receivers of today pass over.
    Remarks {
        /// They, in words.
        remarks: Vec<String>,
    },
    /// What happens to mail that fails.
    Policy {
        /// none, quarantine, reject.
        policy: String,
        /// It says `t=y`: the policy is only tried.
        testing: bool,
    },
    /// Subdomains are protected less than the domain.
    Subdomains {
        /// `sp` or `np`.
        tag: String,
        /// What it says.
        policy: String,
        /// What the domain itself says.
        own: String,
    },
    /// Reports come to us.
    ReportsHere {
        /// Our address.
        address: String,
    },
    /// They do not (R2).
    ReportsElsewhere {
        /// Our address.
        address: String,
        /// Where they go; empty: nowhere.
        places: Vec<String>,
    },
    /// `[bounce] report_address` is not set.
    NoReportAddress {
        /// Where they go; empty: nowhere.
        places: Vec<String>,
    },
    /// The report address is of another domain, which says that it wants them.
    Authorised {
        /// At which name.
        name: String,
    },
    /// It does not say so: reporters send nothing.
    NotAuthorised {
        /// At which name.
        name: String,
        /// For the domain of this address.
        address: String,
    },
    /// SPF of our mail counts for DMARC, or not.
    SpfAlignment {
        /// The envelope's domain.
        envelope: String,
        /// `r` or `s`.
        strict: bool,
        /// It is aligned with the header's.
        aligned: bool,
        /// SPF passes; `None`: nobody could tell.
        passes: Option<bool>,
    },
    /// DKIM of our mail counts for DMARC, or not.
    DkimAlignment {
        /// The signatures' domain; empty: mail is not signed.
        signing: String,
        /// `r` or `s`.
        strict: bool,
        /// It is aligned with the header's.
        aligned: bool,
        /// The signature can be verified; `None`: nobody could tell.
        verifies: Option<bool>,
    },
    /// Our mail passes DMARC.
    Passes {
        /// By SPF.
        spf: bool,
        /// By DKIM.
        dkim: bool,
    },
    /// It does not.
    Fails {
        /// What then happens to it.
        policy: String,
    },
}

impl Dmarc {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        match self {
            Dmarc::Missing { .. } | Dmarc::Own { .. } | Dmarc::Inherited { .. } => "dmarc.record",
            Dmarc::Invalid { .. } => "dmarc.valid",
            Dmarc::Remarks { .. } => "dmarc.tags",
            Dmarc::Policy { .. } => "dmarc.policy",
            Dmarc::Subdomains { .. } => "dmarc.subdomains",
            Dmarc::ReportsHere { .. } | Dmarc::ReportsElsewhere { .. } | Dmarc::NoReportAddress { .. } => "dmarc.rua",
            Dmarc::Authorised { .. } | Dmarc::NotAuthorised { .. } => "dmarc.authorisation",
            Dmarc::SpfAlignment { .. } => "dmarc.spf_alignment",
            Dmarc::DkimAlignment { .. } => "dmarc.dkim_alignment",
            Dmarc::Passes { .. } | Dmarc::Fails { .. } => "dmarc.pass",
        }
    }
}
