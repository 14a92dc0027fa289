//! A mail as most are, for who fills a store without a relay.

use std::time::Duration;

use bytes::Bytes;
use hikyaku::{
    bounce::envelope_from::ReturnPath,
    budget::Budget,
    clock::Timestamp,
    event::Class,
    ids::MessageId,
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        params::{Envelope, EnvelopeRecipient, MailParams, RcptParams},
    },
    store::{BodyIn, Lane, Origin, Submission},
};

/// Accepted now by SMTP, of no API user, each recipient to its own domain at once, for four days; the body has a lease of its own.
pub fn plain(id: MessageId, now: Timestamp, sender: &str, to: Vec<Mailbox>, body: Bytes) -> Submission {
    let lease = Budget::new(usize::MAX).take(body.len()).expect("room without end");
    Submission {
        id,
        accepted_at: now,
        expires_at: now.plus(Duration::from_secs(4 * 86_400)),
        lanes: to.iter().map(|address| Lane(address.domain_key().into())).collect(),
        envelope: Envelope {
            sender: Some(Mailbox::parse(sender).expect("an address")),
            params: MailParams::default(),
            recipients: to
                .into_iter()
                .map(|address| EnvelopeRecipient { address, params: RcptParams::default() })
                .collect(),
        },
        class: Class::Normal,
        facts: Facts::default(),
        user: String::new(),
        source_ip: None,
        origin: Origin::Smtp,
        release_at: None,
        body: BodyIn::Ram { lease, bytes: body },
        settles: Vec::new(),
        return_path: ReturnPath::AsIs,
        list: String::new(),
        blocked: Vec::new(),
        sandboxed: Vec::new(),
        memos: Vec::new(),
    }
}
