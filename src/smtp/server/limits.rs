//! Every bound of a session, with its reason. What an operator sets is in [`super::SessionConfig`].

use std::time::Duration;

/// Longest command line, in octets, CRLF included: 512 of RFC 5321 §4.5.3.1.4 and what SMTPUTF8, DSN and AUTH add to it
/// (ORCPT alone may have 500), rounded up.
pub const COMMAND_LINE_OCTETS_MAX: usize = 2048;

/// Input that may wait for the answer to a question, in octets: what a pipelining client has sent ahead. The shell reads
/// nothing while it owes an answer, so that this is one read and a rest; more is a broken shell or an attack, and ends it.
pub const INPUT_OCTETS_MAX: usize = 256 * 1024;

/// Capacity that an emptied input buffer may keep between commands, in octets; ten thousand idle sessions have one each.
pub const INPUT_OCTETS_KEPT: usize = 4096;

/// Malformed, unknown and misplaced commands since the last accepted message; then 421. People mistype, programs that make
/// twenty mistakes make thousands.
pub const ERRORS_MAX: u32 = 20;

/// Commands that send no mail (NOOP, RSET, VRFY, HELP, EHLO …) since the last accepted message; then 421. Keep-alive NOOPs
/// every few minutes fit for hours.
pub const IDLE_COMMANDS_MAX: u32 = 100;

/// Senders, recipients, messages and logins that were refused for what they are since the last accepted message; then 421. A list may hold many bad addresses, and must still get its good ones through. On an inbound listener a refused
/// recipient is an error like others ([`ERRORS_MAX`]), because there it is a guess.
pub const REFUSALS_MAX: u32 = 10_000;

/// Refused logins in a session; then 421. The shell slows the source address as well (R15).
pub const FAILED_LOGINS_MAX: u32 = 5;

/// Octets of a refused message that are thrown away until its end comes; then the refusal is said and the connection closed.
/// Large enough for what is sent by mistake, small enough that nobody sends for ever.
pub const DRAIN_OCTETS_MAX: u64 = 256 * 1024 * 1024;

/// How long the peer may think between commands (RFC 5321 §4.5.3.2.7).
pub const COMMAND_WITHIN: Duration = Duration::from_secs(300);

/// How long the peer may pause within a message: the time a client waits for a block to be taken (RFC 5321 §4.5.3.2.5).
pub const CONTENT_WITHIN: Duration = Duration::from_secs(180);

/// A message may take this long, however slowly it comes: three times what RFC 5321 §4.5.3.2.5 gives a single block, and more …
pub const CONTENT_GRACE_SECONDS: u64 = 600;

/// … and a second more for each so many octets that came: 20 MiB over the slowest mobile line still arrive, while one octet
/// a minute does not hold a session for days.
pub const CONTENT_OCTETS_PER_SECOND_MIN: u64 = 1024;
