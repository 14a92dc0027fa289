//! DKIM: keys and their records, signatures on what goes out, and what signatures on mail that comes in are worth.
//!
//! In: octets of keys, headers and bodies; the DNS by way of [`crate::lookup::Lookup`]; the time.  Out: header fields, records,
//! [`verify::Verified`].
//! Always: pure; the same input gives the same signature; a private key is never printed; whatever a stranger wrote is bounded
//! before it is worked on.
//! Sources: RFC 6376, RFC 8301 (no SHA-1, 1,024 bits at least), RFC 8463 (Ed25519), RFC 8616 (internationalised domains).
//!
//! | part | what for |
//! |---|---|
//! | [`key`] | private keys: read, made, printed as the record that belongs to them |
//! | [`public`] | public keys, as records carry them |
//! | [`record`] | key records: read, printed, cut for TXT and for zone files |
//! | [`canon`] | what of a message is hashed |
//! | [`sign`] | DKIM-Signature fields for a message of ours |
//! | [`verify`] | the signatures of a message that came in |

pub mod canon;
mod der;
#[cfg(test)]
pub mod fake;
pub mod key;
mod pem;
pub mod public;
pub mod record;
pub mod sign;
mod small_rsa;
mod tags;
pub mod verify;
