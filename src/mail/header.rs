//! What the log and the policies need to know of a message's header, read once while it arrives.
//!
//! Sources: RFC 5322 §2.2 and §3.6, RFC 2047.

use crate::event::Class;

/// Facts of a header. Texts are decoded, single-line and bounded; empty when the header lacks them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Message-ID with its angle brackets, as written.
    pub message_id: String,
    /// The first address of From, without display name.
    pub from: String,
    /// Subject, decoded.
    pub subject: String,
    /// X-Api-Data, CMC's correlation header.
    pub api_data: String,
    /// The class that the configured priority header names.
    pub class: Option<Class>,
    /// Number of Received header fields (hops).
    pub received_count: u32,
    /// A Date field is present.
    pub has_date: bool,
    /// The message has a header: its first line is a field.
    pub has_header: bool,
    /// The header has bytes over 127 (RFC 6532, or a legacy program).
    pub header_is_8bit: bool,
}
