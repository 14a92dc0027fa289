//! Signing of what leaves: which keys are in force, and the threads that do the work.
//!
//! ```text
//! config ([[domain.dkim]]) ─► ring ◄─ managed keys
//!                              │ whose keys sign for this header From
//!              deliver/lead ◄──┘ ─► threads ─► dkim/sign (pure)
//! ```
//!
//! Always: mail whose header From has a key leaves signed or not at all; a private key is never printed; the executor never waits
//! for cryptography.
//! Sources: RFC 6376 §3.5, §3.8 and §5; RFC 8463; algorithms F13.

mod book;
#[cfg(test)]
pub mod fake;
pub mod life;
pub mod look;
pub mod memo;
pub mod ring;
pub mod rotate;
pub mod threads;
pub mod view;
pub mod wish;
pub mod witness;
pub mod words;

pub use ring::{KeyInForce, Keyring, Managed};
pub use threads::{Content, Request, SignError, Signed, Signer, Unsigned};

/// Who signs: the keys and the threads. Clones share both.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The keys in force.
    pub keys: Keyring,
    /// The threads.
    pub signer: Signer,
}
