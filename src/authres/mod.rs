//! Whether mail that came in is its sender's: SPF, DKIM and DMARC of a mail, within a bounded time.
//!
//! In: how a mail came, and the mail.  Out: [`Results`].
//! Always: an answer comes within [`AUTHENTICATION_TIME_MAX`], and what is not known by then is a temperror; so many mails at once
//! are looked at, the others wait (which counts); nothing is refused here.
//! Sources: RFC 7208, RFC 6376, RFC 9989, RFC 8601.

mod live;
pub mod results;

use std::{future::Future, net::IpAddr, pin::Pin, time::Duration};

use bytes::Bytes;

pub use self::{
    live::Authenticator,
    results::{Aligned, Claim, DmarcResult, DmarcWord, Mark, Marked, Results},
};
use crate::smtp::address::Mailbox;

/// How long a mail's authentication may take (RFC 7208 §4.6.4 wants 20 seconds at least for SPF).
pub const AUTHENTICATION_TIME_MAX: Duration = Duration::from_secs(20);

/// A mail that came in.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The host's address.
    pub ip: IpAddr,
    /// What it called itself.
    pub helo: &'a str,
    /// MAIL FROM.
    pub sender: Option<&'a Mailbox>,
    /// The mail, as it came.
    pub mail: &'a Bytes,
    /// Where its header ends.
    pub head_len: usize,
}

impl<'a> Received<'a> {
    /// The header.
    pub fn head(&self) -> &'a [u8] {
        self.mail.get(..self.head_len).unwrap_or_default()
    }

    /// What stands below it.
    pub fn body(&self) -> &'a [u8] {
        self.mail.get(self.head_len..).unwrap_or_default()
    }
}

/// Who tells whether a mail is its sender's: [`Authenticator`] in the daemon; a table, in tests.
pub trait Authenticate: Send + Sync + 'static {
    /// Looks at a mail.
    fn authenticate<'a>(&'a self, received: Received<'a>) -> Pin<Box<dyn Future<Output = Results> + Send + 'a>>;
}
