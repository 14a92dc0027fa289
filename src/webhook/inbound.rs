//! Takes mail that comes in for a webhook, and puts it into the queue, from where it is posted.
//!
//! In: mail of an inbound listener for `[inbound] addresses`.  Out: one message, with a recipient for each address and webhook.
//! Always: all of it is one commit, so that a mail is in the queue for every webhook or for none, and yes comes after that (P1);
//! below one Received field the mail is what came, octet for octet; its sender is kept, who hears of it when it cannot be posted.
//! Sources: cmc.md §10.2; RFC 5321 §4.4 and §6.1.

use std::{future::Future, pin::Pin};

use super::inbound_lane::{lane_of, takers};
use crate::{
    bounce::forward::ForwardDoor,
    config::InForce,
    intake::{
        inlets::Inlet,
        sink::{InboundMail, Refusal, Sink},
        submit::Incoming,
    },
    mail::trace::{self, Arrival, ReceivedForm, TraceSettings},
    smtp::{
        address::Mailbox,
        params::{BodyType, Envelope, EnvelopeRecipient, MailParams, RcptParams},
        reply::{Enhanced, Reply},
    },
    store::{Lane, Origin},
};

/// Posts that one mail makes at most: more addresses and webhooks than anybody has.
const POSTS_MAX: usize = 10_000;

/// Where mail for webhooks goes in.
pub struct MailPosts {
    /// The door, and the memory of mail bodies.
    pub out: ForwardDoor,
    /// The config in force.
    pub config: InForce,
}

impl MailPosts {
    async fn serve(&self, mail: InboundMail<'_>) -> Result<(), Refusal> {
        let config = self.config.get();
        let mut posts: Vec<(&Mailbox, Lane)> = Vec::new();
        for (address, inlet) in mail.to {
            if *inlet == Inlet::Inbound {
                posts.extend(takers(&config, address).map(|hook| (address, lane_of(&hook.name))));
            }
        }
        if posts.is_empty() || posts.len() > POSTS_MAX {
            return Err(Refusal::Refused(Reply::new(550, Enhanced(5, 7, 1), "No webhook takes this mail")));
        }
        let id = self.out.door.new_id();
        let settings = TraceSettings { received: ReceivedForm::Normal, add_missing_headers: false, key: &self.out.key };
        let top = trace::head_changes(&Arrival { id, ..mail.arrival }, mail.facts, &settings).top;
        let params = MailParams {
            size: Some((top.len() + mail.body.len()) as u64),
            body: if mail.body.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
            smtputf8: mail.smtputf8,
            ..MailParams::default()
        };
        let later = |error: crate::store::StoreError| Refusal::Later(error.to_string());
        let lanes: Vec<Lane> = posts.iter().map(|(_, lane)| lane.clone()).collect();
        let recipient = |(address, _): &(&Mailbox, Lane)| EnvelopeRecipient {
            address: (*address).clone(),
            params: RcptParams::default(),
        };
        let recipients = posts.iter().map(recipient).collect();
        let envelope = Envelope { sender: mail.sender.cloned(), params, recipients };
        let body = self.out.body(id, top, mail.body).await.map_err(later)?;
        let forwarded = Incoming::ours(id, envelope, body, mail.facts.clone(), Origin::Forward);
        let incoming = Incoming { source_ip: mail.arrival.address, ..forwarded };
        let receipt = self.out.door.store_in(incoming, Some(lanes)).await.map_err(later)?;
        log::info!("inbound={} message={} forward=webhook posts={}", mail.arrival.id, receipt.id(), posts.len());
        Ok(())
    }
}

impl Sink for MailPosts {
    fn take<'a>(&'a self, mail: InboundMail<'a>) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>> {
        Box::pin(self.serve(mail))
    }
}
