//! The safe end of the demo: mail is kept and shown instead of sent, and simulator addresses answer as real destinations do.

use std::path::Path;

use crate::{clock::Timestamp, ids::MessageId};

/// Keeps what it "delivers": the last 500 mails or 256 MiB.
pub struct Sandbox {}

/// One kept mail.
#[derive(Clone, Debug)]
pub struct SandboxMail {
    /// The message's queue id.
    pub message: MessageId,
    /// When it was "delivered".
    pub at: Timestamp,
    /// MAIL FROM; empty: null.
    pub sender: String,
    /// Those who "received" it.
    pub recipients: Vec<String>,
    /// Decoded subject.
    pub subject: String,
    /// Octets.
    pub len: u64,
}

#[allow(clippy::unimplemented, unused_variables, missing_docs)] // contract
impl Sandbox {
    /// Opens the sandbox folder in the data directory.
    pub fn open(data_dir: &Path) -> std::io::Result<Self> {
        unimplemented!()
    }

    /// Kept mails, newest first. Blocking.
    pub fn list(&self, limit: usize) -> std::io::Result<Vec<SandboxMail>> {
        unimplemented!()
    }

    /// One kept mail and its source. Blocking.
    pub fn read(&self, id: MessageId) -> std::io::Result<Option<(SandboxMail, Vec<u8>)>> {
        unimplemented!()
    }
}
