//! What each check may see, as data: one type an area.
//!
//! In: nothing.  Out: the variants, and the id of each.
//! Always: an id, once given, keeps its meaning; what has the same id are answers to the same question.
//! Sources: RFC 7208, 6376, 9989, 8461, 8460, 7672, 7505, 5782, 8058; BIMI draft.

mod bulk;
mod places;
mod receiving;
mod sending;
mod wanted;

pub use self::{
    bulk::{Bulk, Provider, Requirement, State},
    places::{Address, Blocklist, Domain, Inlet, InletUse},
    receiving::{Bimi, Dane, Sts, TlsRpt},
    sending::{Dkim, Dmarc, Spent, Spf},
    wanted::{Published, Purpose, Records, Wanted},
};
