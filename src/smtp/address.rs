//! Mail addresses as SMTP writes them.
//!
//! Sources: RFC 5321 §4.1.2 and §4.1.3, RFC 6531 §3.3.

use std::fmt;

/// A checked forward-path or reverse-path mailbox, kept as it was written (RFC 5321 §2.4: the local part's case matters).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mailbox {
    text: Box<str>,
    at: usize,
}

/// Why a text is no mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no domain, or no local part.
    #[error("an address is local-part@domain")]
    Shape,
    /// The local part has a character that needs quotes, or is empty.
    #[error("the local part is not valid")]
    Local,
    /// The domain or address literal is not valid.
    #[error("the domain is not valid")]
    Domain,
    /// Local part over 64 octets, domain over 255, or path over 254.
    #[error("the address is too long")]
    TooLong,
}

impl Mailbox {
    /// Parses `local@domain`, without angle brackets. UTF-8 is accepted; [`Mailbox::needs_smtputf8`] tells.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let at = text.rfind('@').ok_or(AddressError::Shape)?;
        if at == 0 || at + 1 == text.len() {
            return Err(AddressError::Shape);
        }
        Ok(Mailbox { text: text.into(), at })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the last `@`, quotes included.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// The domain or `[literal]`, as written.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// The domain in lower case: the key of destinations.
    pub fn domain_key(&self) -> String {
        self.domain().to_lowercase()
    }

    /// True when a peer without SMTPUTF8 cannot take this address.
    pub fn needs_smtputf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
