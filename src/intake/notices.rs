//! Notices of our own, and mail of the console to its people, come in by the same door as everybody's mail.

use std::time::Duration;

use bytes::Bytes;
use smol::Timer;

use crate::{
    account::reset_mail::Letters,
    bounce::notice::{self, Notice},
    budget::Budget,
    event::Class,
    ids::CONSOLE_USER,
    mail::header,
    smtp::{
        address::Mailbox,
        params::{BodyType, Envelope, EnvelopeRecipient, MailParams, Notify, RcptParams},
    },
    store::{BODY_RAM_MAX, BodyIn, Origin, StoreError, StoredFile},
};

use super::submit::{Door, Incoming};

/// How often a notice asks again for memory, while bodies of others hold all of it.
const BUDGET_WAIT: Duration = Duration::from_millis(100);
/// Then it goes through a file.
const BUDGET_TRIES: u32 = 10;

/// The notices' side of the door.
pub struct NoticeDoor {
    door: Door,
    budget: Budget,
}

impl NoticeDoor {
    /// A side door to `door`.
    pub fn new(door: Door, budget: Budget) -> Self {
        NoticeDoor { door, budget }
    }

    async fn body(&self, bytes: &Bytes, incoming: crate::ids::MessageId) -> Result<BodyIn, StoreError> {
        if bytes.len() <= BODY_RAM_MAX {
            for _ in 0..BUDGET_TRIES {
                if let Some(lease) = self.budget.take(bytes.len()) {
                    return Ok(BodyIn::Ram { bytes: bytes.clone(), lease });
                }
                Timer::after(BUDGET_WAIT).await;
            }
        }
        let (door, bytes) = (self.door.clone(), bytes.clone());
        let file: StoredFile = smol::unblock(move || {
            let mut file = door.large_body(incoming)?;
            file.write(&bytes)?;
            file.finish()
        })
        .await?;
        Ok(BodyIn::File(file))
    }
}

impl notice::Door for NoticeDoor {
    async fn submit_notice(&self, notice: Notice) -> Result<(), StoreError> {
        let id = self.door.new_id();
        let body = self.body(&notice.bytes, id).await?;
        let head_end = header::find_end(&notice.bytes, 0).unwrap_or(notice.bytes.len());
        let facts = header::scan(&notice.bytes[..head_end], "");
        let params = MailParams {
            size: Some(notice.bytes.len() as u64),
            body: if notice.is_8bit { BodyType::EightBitMime } else { BodyType::SevenBit },
            smtputf8: notice.smtputf8,
            require_tls: notice.require_tls,
            ..MailParams::default()
        };
        // A notice that cannot be delivered is logged as failed and goes no further (RFC 3461 §5.2.9).
        let never = Notify { given: true, ..Notify::default() };
        let recipient = EnvelopeRecipient { address: notice.to, params: RcptParams { notify: never, orcpt: None } };
        let envelope = Envelope { sender: None, params, recipients: vec![recipient] };
        let ours = Incoming::ours(id, envelope, body, facts, Origin::Notice);
        let incoming = Incoming { settles: notice.settles, ..ours };
        self.door.store(incoming).await.map(drop)
    }
}

impl Letters for NoticeDoor {
    async fn submit_letter(&self, to: Mailbox, bytes: Bytes) -> Result<(), StoreError> {
        let id = self.door.new_id();
        let body = self.body(&bytes, id).await?;
        let head_end = header::find_end(&bytes, 0).unwrap_or(bytes.len());
        let facts = header::scan(&bytes[..head_end], "");
        let params = MailParams {
            size: Some(bytes.len() as u64),
            body: if bytes.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
            smtputf8: to.needs_smtputf8(),
            ..MailParams::default()
        };
        let never = Notify { given: true, ..Notify::default() };
        let recipient = EnvelopeRecipient { address: to, params: RcptParams { notify: never, orcpt: None } };
        let envelope = Envelope { sender: None, params, recipients: vec![recipient] };
        let ours = Incoming::ours(id, envelope, body, facts, Origin::Notice);
        // Its user tells the rest that its content is for its recipient alone. A person waits for it, behind no campaign.
        let incoming = Incoming { user: CONSOLE_USER.to_owned(), user_class: Some(Class::High), ..ours };
        self.door.store(incoming).await.map(drop)
    }
}
