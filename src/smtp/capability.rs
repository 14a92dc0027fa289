//! What EHLO announces.
//!
//! In: what is offered now.  Out: the 250 reply, one capability a line.
//! Sources: RFC 5321 §4.1.1.1; RFC 2920, 1870, 6152, 6531, 3030, 2034, 3461, 3207, 4954, 9422, 6710, 4865, 2852, 8689.

use std::fmt::Write;

use super::{params::Offered, reply::Reply};
use crate::clock::Timestamp;

/// What varies in the reply to EHLO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities<'a> {
    /// Our name.
    pub hostname: &'a str,
    /// SIZE, in octets.
    pub message_size_max: u64,
    /// LIMITS RCPTMAX.
    pub recipients_max: usize,
    /// STARTTLS can be said.
    pub start_tls: bool,
    /// AUTH can be said.
    pub auth: bool,
    /// What MAIL takes about the delivery.
    pub delivery: Offered,
}

impl Capabilities<'_> {
    /// The reply to EHLO.
    pub fn reply(&self) -> Reply {
        let mut text = String::with_capacity(320);
        text.push_str(self.hostname);
        text.push_str("\nPIPELINING\n");
        // Writing to a String cannot fail.
        let _ = write!(text, "SIZE {}", self.message_size_max);
        text.push_str("\n8BITMIME\nSMTPUTF8\nCHUNKING\nENHANCEDSTATUSCODES\nDSN");
        if self.start_tls {
            text.push_str("\nSTARTTLS");
        }
        if self.auth {
            text.push_str("\nAUTH PLAIN LOGIN");
        }
        if self.delivery.mt_priority {
            // The policy with three levels of RFC 6710's appendix B, as many as there are classes.
            text.push_str("\nMT-PRIORITY MIXER");
        }
        if let Some(hold) = self.delivery.hold {
            let until = Timestamp::from_millis(hold.until_max().saturating_mul(1000)).rfc3339_seconds();
            let _ = write!(text, "\nFUTURERELEASE {} {until}", hold.seconds_max);
        }
        if self.delivery.deliver_by {
            // Without a least time: we promise to try, and to tell.
            text.push_str("\nDELIVERBY");
        }
        if self.delivery.require_tls {
            text.push_str("\nREQUIRETLS");
        }
        let _ = write!(text, "\nLIMITS RCPTMAX={}", self.recipients_max);
        Reply::plain(250, text)
    }
}
