//! A recipient's own link: what the deliverer puts before the stored message.
//!
//! In: a message with its list, one of its recipients.  Out: header octets, or nothing for mail of no list.
//! Always: each recipient, and each mail, has a link of its own; mail of no list costs one look.

use std::sync::Arc;

use super::{
    headers,
    token::{self, Leaving, NONCE_OCTETS},
};
use crate::{
    bounce::keys::KeyRing,
    config::InForce,
    smtp::address::Mailbox,
    store::{Message, Recipient},
};

/// Keys of links by epoch, derived for [`token::PURPOSE`] from the ring that return addresses have, too.
///
/// A link must work for as long as somebody may open an old mail: years. The keys of old epochs are kept that long.
pub trait Keys: Send + Sync {
    /// The epoch whose key seals now.
    fn epoch(&self) -> u8;

    /// The key of an epoch; `None`: there is none, or it is gone.
    fn key(&self, epoch: u8) -> Option<[u8; 32]>;
}

impl Keys for KeyRing {
    fn epoch(&self) -> u8 {
        self.newest()
    }

    fn key(&self, epoch: u8) -> Option<[u8; 32]> {
        self.derive(epoch, token::PURPOSE)
    }
}

/// Makes and reads links; clones share the keys.
#[derive(Clone)]
pub struct Links {
    config: InForce,
    keys: Arc<dyn Keys>,
}

impl Links {
    /// Links of this config's public URL.
    pub fn new(config: InForce, keys: Arc<dyn Keys>) -> Self {
        Links { config, keys }
    }

    /// What stands before the stored message for this recipient. Short.
    pub fn for_recipient(&self, message: &Message, recipient: &Recipient) -> Option<Vec<u8>> {
        if message.list.is_empty() {
            return None;
        }
        let token = self.token(&recipient.address, &message.list)?;
        headers::fields(&self.config.get().unsubscribe.public_url, &token)
    }

    /// A fresh token.
    pub fn token(&self, address: &Mailbox, list: &str) -> Option<String> {
        let epoch = self.keys.epoch();
        let mut nonce = [0; NONCE_OCTETS];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        token::seal(epoch, &self.keys.key(epoch)?, nonce, address, list)
    }

    /// Whom a token names; `None`: it is not ours.
    pub fn open(&self, token: &str) -> Option<Leaving> {
        token::open(token, |epoch| self.keys.key(epoch))
    }
}

#[cfg(test)]
pub(crate) mod fake {
    use super::*;

    /// One epoch, one key.
    pub(crate) struct OneKey;

    impl Keys for OneKey {
        fn epoch(&self) -> u8 {
            1
        }

        fn key(&self, epoch: u8) -> Option<[u8; 32]> {
            (epoch == 1).then_some([5; 32])
        }
    }
}
