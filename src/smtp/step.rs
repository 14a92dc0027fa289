//! The contract between an SMTP core (server or client) and the shell that owns its socket.

use std::time::Duration;

/// What the shell does next, in order. `Q` is what a core asks about (the client asks nothing).
#[must_use = "a step that is not carried out leaves the peer waiting"]
#[derive(Debug, PartialEq, Eq)]
pub enum Step<Q> {
    /// Collected by the shell and flushed once, before Read, Ask, StartTls or Close.
    Write(Vec<u8>),
    /// Server: checked bytes of a message as they arrived (CRLF, unstuffed): spool them, then go on.
    Content(Vec<u8>),
    /// Client: stream the stored body in blocks, dot-stuffed and ended by a dot (DATA), or raw (BDAT).
    SendContent {
        /// Dot-stuff and end with CRLF.CRLF; false for BDAT.
        dot_stuffed: bool,
    },
    /// Read once, for at most this long, then call `receive`, `closed` or `timed_out`.
    Read {
        /// How long the peer may stay silent.
        within: Duration,
    },
    /// Plaintext already buffered has been dropped; do the handshake, then call `tls_started` or `tls_failed`.
    StartTls,
    /// Decide outside, then answer.
    Ask(Q),
    /// Flush, then close the connection.
    Close,
}
