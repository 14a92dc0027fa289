//! Finds out which recipients of ours a mail that came back is about.
//!
//! In: what was read in it, the addresses that it came to, what was sent.  Out: [`Found`]: recipients, each with what is said of it.
//! Always: a token decides alone, since nobody can forge it: whatever else the mail claims, it speaks of that recipient; without
//! one, a mail is ours only if the address that it came to belongs to it (P7); bounded in rows and look-ups. Blocking.
//! Sources: algorithms F7; RFC 3464 §2.2.1 and §2.3, RFC 5965 §3.

use super::read::{Action, Reading, Row};
use crate::{
    config::{
        Config,
        inbound::{alike, same_address},
    },
    ids::{MessageId, RecipientKey},
    intake::inlets::{Inlet, Opened, Tokens},
    smtp::address::Mailbox,
    store::{Message, Origin, Recipient, Returned, ReturnedAs, Store, StoreError},
};

/// Recipients of a message, and of all messages with a Message-ID, that are looked at.
const RECIPIENTS_MAX: usize = 1_000;
/// Rows of a report that are looked at: more than the mail of one transaction has recipients, by any usual limit.
const ROWS_MAX: usize = 1_000;
/// Addresses of the report that are tried as tokens.
const RETURN_PATHS_MAX: usize = 50;
/// Rows that are looked up by their address alone, and messages for each.
const TEXT_ROWS_MAX: usize = 10;
/// See [`TEXT_ROWS_MAX`].
const TEXT_MESSAGES_MAX: usize = 20;

/// What the mailroom asks of the store.
pub trait Sent: Clone + Send + Sync + 'static {
    /// See [`Store::load`].
    fn load(&self, id: MessageId, indexes: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError>;
    /// See [`Store::sent_as`].
    fn sent_as(&self, message_id: &str, limit: usize) -> Result<Vec<(Message, Vec<Recipient>)>, StoreError>;
    /// See [`Store::find`].
    fn find(&self, key: &str, limit: usize) -> Result<Vec<MessageId>, StoreError>;
    /// See [`Store::returned`].
    fn returned(
        &self,
        returned: Vec<Returned>,
    ) -> impl std::future::Future<Output = Result<Vec<ReturnedAs>, StoreError>> + Send;
}

impl Sent for Store {
    fn load(&self, id: MessageId, indexes: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError> {
        Store::load(self, id, indexes)
    }
    fn sent_as(&self, message_id: &str, limit: usize) -> Result<Vec<(Message, Vec<Recipient>)>, StoreError> {
        Store::sent_as(self, message_id, limit)
    }
    fn find(&self, key: &str, limit: usize) -> Result<Vec<MessageId>, StoreError> {
        Store::find(self, key, limit)
    }
    async fn returned(&self, returned: Vec<Returned>) -> Result<Vec<ReturnedAs>, StoreError> {
        Store::returned(self, returned).await
    }
}

/// What named a recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The token of the address that the mail came to.
    Token,
    /// A token in the report or the returned header.
    ReturnedToken,
    /// The ENVID.
    Envid,
    /// The Message-ID, and the recipient's address.
    MessageId,
    /// The recipient's address alone.
    Address,
}

impl By {
    /// The word in logs.
    pub fn word(self) -> &'static str {
        match self {
            By::Token => "token",
            By::ReturnedToken => "returned-token",
            By::Envid => "envid",
            By::MessageId => "message-id",
            By::Address => "address",
        }
    }
}

/// A recipient that the mail is about.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its message.
    pub message: Message,
    /// It.
    pub recipient: Recipient,
    /// What is said of it; `None`: the mail has no row for it.
    pub row: Option<Row>,
    /// What named it.
    pub by: By,
}

/// A question: what was read, and what it came to.
pub struct Question<'a, S> {
    /// What was sent.
    pub sent: &'a S,
    /// The tokens of our return addresses.
    pub tokens: &'a dyn Tokens,
    /// The config.
    pub config: &'a Config,
    /// The return and complaint addresses that the mail came to.
    pub to: &'a [(Mailbox, Inlet)],
    /// What was read.
    pub reading: &'a Reading,
}

impl<S: Sent> Question<'_, S> {
    /// The recipients that the mail is about, each once.
    ///
    /// # Errors
    /// The store's.
    pub fn ask(&self) -> Result<Vec<Found>, StoreError> {
        let named = self.to.iter().filter_map(|(_, inlet)| match inlet {
            Inlet::Return(key) => *key,
            _ => None,
        });
        let keys = distinct(named);
        if !keys.is_empty() {
            return self.by_keys(&keys, By::Token);
        }
        let keys = self.returned_tokens();
        if !keys.is_empty() {
            return self.by_keys(&keys, By::ReturnedToken);
        }
        for (candidates, by) in [(self.by_envid()?, By::Envid), (self.by_message_id()?, By::MessageId)] {
            let found = self.among(candidates, by);
            if !found.is_empty() {
                return Ok(found);
            }
        }
        self.by_address()
    }

    /// Tokens in what the mail quotes: of the addresses at return domains of ours.
    fn returned_tokens(&self) -> Vec<RecipientKey> {
        let paths = self.reading.original.return_paths.iter().take(RETURN_PATHS_MAX);
        distinct(paths.filter_map(|path| {
            let address = Mailbox::parse(path.trim_matches(['<', '>', ' '])).ok()?;
            match self.config.is_return_domain(address.domain()).then(|| self.tokens.open(address.local()))? {
                Opened::Valid(key) => Some(key),
                Opened::Expired | Opened::Forged | Opened::NotAToken => None,
            }
        }))
    }

    /// Recipients that tokens name, and for each the row that speaks of it.
    fn by_keys(&self, keys: &[RecipientKey], by: By) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let Some((message, recipients)) = self.sent.load(key.message, &[key.index])? else { continue };
            let Some(recipient) = recipients.into_iter().find(|r| r.key == *key) else { continue };
            let own = self.row_of(&recipient.address);
            // One token is one transaction with one recipient: what the report calls it does not matter.
            let row = if keys.len() == 1 { own.or_else(|| self.worst_row()) } else { own.or_else(|| self.only_row()) };
            found.push(Found { message, recipient, row: row.cloned(), by });
        }
        Ok(found)
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.reading.rows.iter().take(ROWS_MAX)
    }

    /// The row about this address: a failure before other news.
    fn row_of(&self, address: &Mailbox) -> Option<&Row> {
        let about = |row: &&Row| same_address(&row.recipient, address);
        self.rows().filter(about).find(|row| row.action == Action::Failed).or_else(|| self.rows().find(about))
    }

    fn worst_row(&self) -> Option<&Row> {
        self.rows().find(|row| row.action == Action::Failed).or_else(|| self.rows().next())
    }

    fn only_row(&self) -> Option<&Row> {
        match self.reading.rows.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The message whose queue id the ENVID is, or begins with.
    fn by_envid(&self) -> Result<Vec<(Message, Vec<Recipient>)>, StoreError> {
        let envid = self.reading.original.envid.trim();
        let id = envid.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        let Ok(id) = id.parse::<MessageId>() else { return Ok(Vec::new()) };
        Ok(self.whole(id)?.into_iter().collect())
    }

    fn by_message_id(&self) -> Result<Vec<(Message, Vec<Recipient>)>, StoreError> {
        match self.reading.original.message_id.trim() {
            "" => Ok(Vec::new()),
            id => self.sent.sent_as(id, RECIPIENTS_MAX),
        }
    }

    /// A message with its recipients.
    fn whole(&self, id: MessageId) -> Result<Option<(Message, Vec<Recipient>)>, StoreError> {
        let Some((message, _)) = self.sent.load(id, &[])? else { return Ok(None) };
        let indexes: Vec<u32> = (0..message.recipients).take(RECIPIENTS_MAX).collect();
        self.sent.load(id, &indexes)
    }

    /// Recipients of these messages that the rows name.
    fn among(&self, candidates: Vec<(Message, Vec<Recipient>)>, by: By) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        let candidates: Vec<_> = candidates.into_iter().filter(|(message, _)| self.fits(message)).collect();
        let rows: Vec<Option<&Row>> =
            if self.reading.rows.is_empty() { vec![None] } else { self.rows().map(Some).collect() };
        for row in rows {
            let named = candidates.iter().find_map(|(message, recipients)| {
                let names = |text: &str, r: &Recipient| !text.is_empty() && same_address(text, &r.address);
                let row = row?;
                let recipient = recipients
                    .iter()
                    .find(|r| names(&row.recipient, r))
                    .or_else(|| recipients.iter().find(|r| names(&row.failed_at, r)))?;
                Some((message, recipient))
            });
            // A message with one recipient is about that one, whatever the report calls it.
            let only = || {
                candidates.iter().find_map(|(message, recipients)| match recipients.as_slice() {
                    [only] if message.recipients == 1 => Some((message, only)),
                    _ => None,
                })
            };
            let Some((message, recipient)) = named.or_else(only) else { continue };
            push(&mut found, Found { message: message.clone(), recipient: recipient.clone(), row: row.cloned(), by });
        }
        found
    }

    /// The newest mail to the address of each row.
    fn by_address(&self) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        for row in self.rows().filter(|row| Mailbox::parse(&row.recipient).is_ok()).take(TEXT_ROWS_MAX) {
            for id in self.sent.find(&row.recipient, TEXT_MESSAGES_MAX)? {
                let Some((message, recipients)) = self.whole(id)? else { continue };
                let named = recipients.into_iter().find(|r| same_address(&row.recipient, &r.address));
                let Some(recipient) = named.filter(|_| self.fits(&message)) else { continue };
                push(&mut found, Found { message, recipient, row: Some(row.clone()), by: By::Address });
                break;
            }
        }
        Ok(found)
    }

    /// The mail may be about this message, by the address that it came to: any at a complaint address; at a return address whose
    /// local part was kept, mail of that sender.
    fn fits(&self, message: &Message) -> bool {
        if matches!(message.origin, Origin::Notice | Origin::Forward) {
            return false;
        }
        let Some(sender) = &message.sender else { return false };
        self.to.iter().any(|(address, inlet)| match inlet {
            Inlet::Complaint => true,
            Inlet::Return(_) => alike(address.local(), sender.local()),
            Inlet::TlsReport | Inlet::DmarcReport | Inlet::Inbound | Inlet::Postmaster => false,
        })
    }
}

fn distinct(keys: impl Iterator<Item = RecipientKey>) -> Vec<RecipientKey> {
    let mut out = Vec::new();
    for key in keys {
        if !out.contains(&key) {
            out.push(key);
        }
    }
    out
}

/// Adds a recipient, once; a failure replaces other news about it.
fn push(found: &mut Vec<Found>, new: Found) {
    let failed = |found: &Found| found.row.as_ref().is_some_and(|row| row.action == Action::Failed);
    match found.iter_mut().find(|known| known.recipient.key == new.recipient.key) {
        Some(known) if failed(&new) && !failed(known) => *known = new,
        Some(_) => {}
        None => found.push(new),
    }
}

#[cfg(test)]
#[path = "find_tests.rs"]
pub(super) mod tests;
