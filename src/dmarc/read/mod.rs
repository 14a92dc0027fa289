//! Finds and reads the reports in whatever comes in: a mail, an archive, a file.
//!
//! In: octets from the network or a disk, all of them hostile.  Out: [`Found`] by [`Found`], a [`Count`], or a [`NoReport`] that
//! says in a sentence what is wrong and where.
//! Always: any octets are read without panic; what is taken in, what comes out of it, how deep it goes and how many parts it has
//! are bounded by the constants below, so that time and memory are: a piece of rows, a window of inflation, and the octets that
//! came in; an aggregate report is handed over whole, in pieces of bounded size, or not at all.
//! Sources: RFC 7489 §7.2 and appendix C, RFC 9990, RFC 9991, RFC 6591, RFC 8460 §5, RFC 5322, RFC 2046, RFC 1952, APPNOTE.
//!
//! ```text
//!   octets ─► find: mail? ─► mail::Parts ─► parts ─┐
//!                │  gzip, ZIP ─► mail::inflate ─────┤─► text (UTF-8) ─► xml (events) ─► aggregate ─► rows
//!                └─ XML, JSON ──────────────────────┘        failure reports ─► failure         JSON ─► as it is
//! ```

mod aggregate;
mod element;
mod failure;
mod find;
pub mod mbox;
mod text;
mod values;
mod xml;

#[cfg(test)]
mod tests;

pub use super::report::{Count, Fault, Found, NoReport};
pub use aggregate::RECORDS_MAX;

/// Octets of a mail or a file: more than any mail that intake takes.
pub const RAW_OCTETS_MAX: usize = 64 << 20;
/// Octets of the XML of one report, inflated: a hundred thousand records have about as many.
pub const XML_OCTETS_MAX: u64 = 64 << 20;
/// Octets of the JSON of a TLS report, inflated; real ones have some kilobytes.
pub const JSON_OCTETS_MAX: u64 = 16 << 20;
/// Octets of all that is inflated and read of one mail or file.
pub const TOTAL_OCTETS_MAX: u64 = 128 << 20;
/// Octets of an archive within an archive.
pub const INNER_ARCHIVE_OCTETS_MAX: u64 = 8 << 20;
/// Archives in archives: gzip in gzip or in ZIP happens where two programs mean well. A ZIP in an archive is refused.
pub const ARCHIVE_DEPTH_MAX: u32 = 2;
/// Entries of a ZIP file that are looked at; real ones have one.
pub const ENTRIES_MAX: usize = 100;
/// Mails in mails.
pub const MAIL_DEPTH_MAX: u32 = 5;
/// Parts of a mail, and of those within it, that are looked at.
pub const PARTS_MAX: usize = 500;

/// Reads the reports in these octets; each is handed over as soon as it is whole.
///
/// # Errors
/// There is none, and why not.
pub fn read(raw: &[u8], each: &mut dyn FnMut(Found)) -> Result<Count, NoReport> {
    if raw.len() > RAW_OCTETS_MAX {
        return Err(Fault::TooLarge("the mail or file is too long", RAW_OCTETS_MAX as u64).into());
    }
    let mut finder = find::Finder::new(each);
    finder.anything(raw);
    finder.done()
}
