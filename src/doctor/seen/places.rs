//! What the doctor sees, part of addresses, names and what comes back.
//!
//! In: nothing.  Out: the variants, and the id of each.
//! Always: as in [`super`].
//! Sources: RFC 7505, 5321, 5782.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// An address that our mail comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// These are looked at.
    Known {
        /// They.
        addresses: Vec<IpAddr>,
        /// `configured`, `sources` or `system`.
        whence: String,
    },
    /// This machine has private addresses alone: others see another one.
    Private {
        /// They.
        addresses: Vec<IpAddr>,
    },
    /// This machine has no way out.
    None,
    /// It has no name.
    NoName,
    /// Its names do not lead back to it.
    NotConfirmed {
        /// They.
        names: Vec<String>,
    },
    /// Its name leads back to it.
    Confirmed {
        /// It.
        name: String,
    },
    /// The name that we say hello with leads to it.
    HelloLeadsHere {
        /// The name.
        hello: String,
    },
    /// It leads elsewhere.
    HelloLeadsElsewhere {
        /// The name.
        hello: String,
        /// Its addresses; empty: none.
        addresses: Vec<IpAddr>,
    },
    /// It is no full name.
    HelloIsNoName {
        /// The name.
        hello: String,
    },
    /// A smarthost sends, whose addresses and names are its owner's.
    Smarthost {
        /// It.
        host: String,
    },
}

impl Address {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        match self {
            Address::Known { .. } | Address::Private { .. } | Address::None | Address::Smarthost { .. } => {
                "address.known"
            }
            Address::NoName | Address::NotConfirmed { .. } | Address::Confirmed { .. } => "address.ptr",
            Address::HelloLeadsHere { .. } | Address::HelloLeadsElsewhere { .. } | Address::HelloIsNoName { .. } => {
                "address.hello"
            }
        }
    }
}

/// The header-From domain as a place that could be answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// The name does not exist.
    Unknown,
    /// It has hosts that take mail.
    Mx {
        /// They.
        hosts: Vec<String>,
    },
    /// It has no MX, but an address, which is as good.
    AddressOnly,
    /// It says that it takes no mail.
    NullMx,
    /// It has neither.
    Unreachable,
    /// An MX host has no address.
    DeadHost {
        /// It.
        host: String,
    },
}

impl Domain {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        match self {
            Domain::Unknown | Domain::Mx { .. } | Domain::AddressOnly | Domain::NullMx | Domain::Unreachable => {
                "domain.mx"
            }
            Domain::DeadHost { .. } => "domain.mx_host",
        }
    }
}

/// What an inlet is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InletUse {
    /// Bounces: the return-path domain.
    Bounces,
    /// DMARC reports.
    DmarcReports,
    /// TLS reports.
    TlsReports,
    /// Complaints of feedback loops.
    Complaints,
    /// The unsubscribe page.
    Unsubscribes,
}

/// Where something comes in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inlet {
    /// The domain leads here.
    Here {
        /// What comes in.
        by: InletUse,
    },
    /// It leads elsewhere.
    Elsewhere {
        /// What comes in.
        by: InletUse,
        /// Where it leads.
        hosts: Vec<String>,
    },
    /// It leads nowhere.
    Nowhere {
        /// What comes in.
        by: InletUse,
    },
    /// It leads somewhere, and our addresses are not known.
    Somewhere {
        /// What comes in.
        by: InletUse,
        /// Where it leads.
        hosts: Vec<String>,
    },
    /// No listener of role inbound would take what comes.
    NoListener,
    /// One would.
    Listener,
    /// Errors come back to the sender of each mail, not to us.
    SendersOwn,
}

impl Inlet {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        match self {
            Inlet::Here { by } | Inlet::Elsewhere { by, .. } | Inlet::Nowhere { by } | Inlet::Somewhere { by, .. } => {
                match by {
                    InletUse::Bounces => "inlet.bounces",
                    InletUse::DmarcReports => "inlet.dmarc_reports",
                    InletUse::TlsReports => "inlet.tls_reports",
                    InletUse::Complaints => "inlet.complaints",
                    InletUse::Unsubscribes => "inlet.unsubscribes",
                }
            }
            Inlet::NoListener | Inlet::Listener => "inlet.listener",
            Inlet::SendersOwn => "inlet.bounces",
        }
    }
}

/// One address on one blocklist.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocklist {
    /// It is on it.
    Listed {
        /// The list.
        list: String,
        /// What the list answered.
        codes: Vec<IpAddr>,
        /// Why, as the list says; empty: it says nothing.
        text: String,
    },
    /// It is not.
    NotListed {
        /// The list.
        list: String,
    },
    /// The list does not answer for its test entry: it is dead.
    Silent {
        /// The list.
        list: String,
    },
    /// The list has everything, even what it must not have.
    Everything {
        /// The list.
        list: String,
    },
    /// The list does not answer our resolver.
    Refused {
        /// The list.
        list: String,
        /// What it answered.
        code: IpAddr,
    },
}

impl Blocklist {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        match self {
            Blocklist::Listed { .. } | Blocklist::NotListed { .. } => "blocklist.listed",
            Blocklist::Silent { .. } | Blocklist::Everything { .. } | Blocklist::Refused { .. } => "blocklist.list",
        }
    }
}
