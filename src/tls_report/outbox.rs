//! The doors by which reports leave: the one of all mail, HTTPS, and the DNS that says where to.
//!
//! In: a composed report.  Out: a message in the queue, or a POST that was answered 2xx.
//! Always: report mail comes from the contact, is marked with [`REPORT_USER`], and no failure of it makes a notice.
//! Sources: RFC 8460 §5.3 and §5.4, RFC 3461 §4.1 (NOTIFY=NEVER).

use std::{future::Future, net::IpAddr, time::Duration};

use bytes::Bytes;
use smol::Timer;

use super::{
    REPORT_USER,
    record::HttpsPlace,
    send::{OutMail, Ways},
};
use crate::{
    budget::Budget,
    config::{InForce, Ipv6},
    deliver::route,
    event::Class,
    ids::MessageId,
    intake::submit::{Door, Incoming},
    mail::header,
    net::{
        dns::{DnsError, Resolver},
        https::{Client, Fetch},
    },
    smtp::params::{BodyType, Envelope, EnvelopeRecipient, MailParams, Notify, RcptParams},
    store::{BODY_RAM_MAX, BodyIn, Origin, StoreError},
};

/// How often a report asks again for memory, while bodies of others hold all of it.
const BUDGET_WAIT: Duration = Duration::from_millis(100);
/// Then it goes through a file.
const BUDGET_TRIES: u32 = 10;

/// A POST may take this long.
const POST_WITHIN: Duration = Duration::from_secs(60);
/// What a report's file is (RFC 8460 §5.4).
const CONTENT_TYPE: &str = "application/tlsrpt+gzip";

/// Posts a report's file.
pub trait Post: Send + Sync + 'static {
    /// Posts the octets as `application/tlsrpt+gzip`; an answer of 2xx is success, anything else is words for the log.
    fn post(&self, to: &HttpsPlace, gzip: Bytes) -> impl Future<Output = Result<(), String>> + Send;
}

/// [`Post`] over the internet.
pub struct Https {
    /// The client, which checks the host's certificate; `None`: there are no roots to check it by.
    pub client: Option<Client>,
    /// Where hosts are looked up.
    pub resolver: Resolver,
    /// The config in force: whether private addresses are refused.
    pub config: InForce,
}

impl Https {
    /// The host's addresses that we may speak to: a record of a stranger must not make us post into our own network.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let delivery = &self.config.get().delivery;
        let found = self.resolver.addresses_answer(host, delivery.ipv6 != Ipv6::Off).await.records;
        let mut addresses = found.map_err(|e| format!("looking up {host}: {e}"))?;
        if delivery.block_private_destinations {
            addresses.retain(|a| route::is_public(*a));
            if addresses.is_empty() {
                return Err(format!("{host} has only private or reserved addresses, which are refused"));
            }
        }
        Ok(addresses)
    }
}

impl Post for Https {
    async fn post(&self, to: &HttpsPlace, gzip: Bytes) -> Result<(), String> {
        let client = self.client.as_ref().ok_or("there are no root certificates")?;
        let fetch = Fetch {
            host: to.host.clone(),
            port: to.port,
            path: to.path.clone(),
            addresses: self.addresses(&to.host).await?,
            expect: None,
            body_max: 0,
            within: POST_WITHIN,
        };
        let answer = client.post(&fetch, CONTENT_TYPE, &gzip).await.map_err(|e| e.to_string())?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(format!("HTTP status {}", answer.status)) }
    }
}

/// The doors of the running daemon.
pub struct Outbox<P> {
    /// Where mail goes in.
    pub door: Door,
    /// The memory of mail bodies.
    pub budget: Budget,
    /// Where records are looked up.
    pub resolver: Resolver,
    /// HTTPS.
    pub https: P,
}

impl<P: Post> Outbox<P> {
    async fn body(&self, id: MessageId, bytes: &Bytes) -> Result<BodyIn, StoreError> {
        if bytes.len() <= BODY_RAM_MAX {
            for _ in 0..BUDGET_TRIES {
                if let Some(lease) = self.budget.take(bytes.len()) {
                    return Ok(BodyIn::Ram { bytes: bytes.clone(), lease });
                }
                Timer::after(BUDGET_WAIT).await;
            }
        }
        let (door, bytes) = (self.door.clone(), bytes.clone());
        let file = smol::unblock(move || {
            let mut file = door.large_body(id)?;
            file.write(&bytes)?;
            file.finish()
        });
        Ok(BodyIn::File(file.await?))
    }
}

impl<P: Post> Ways for Outbox<P> {
    async fn records(&self, name: &str) -> Result<Vec<String>, DnsError> {
        self.resolver.txt(name).await.records
    }

    async fn mail(&self, mail: OutMail) -> Result<(), StoreError> {
        let id = self.door.new_id();
        let body = self.body(id, &mail.bytes).await?;
        let head_end = header::find_end(&mail.bytes, 0).unwrap_or(mail.bytes.len());
        let facts = header::scan(&mail.bytes[..head_end], "");
        let params = MailParams {
            size: Some(mail.bytes.len() as u64),
            body: if mail.bytes.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
            smtputf8: mail.from.needs_smtputf8() || mail.to.needs_smtputf8(),
            ..MailParams::default()
        };
        let never = Notify { given: true, ..Notify::default() };
        let recipient = EnvelopeRecipient { address: mail.to, params: RcptParams { notify: never, orcpt: None } };
        let envelope = Envelope { sender: Some(mail.from), params, recipients: vec![recipient] };
        let ours = Incoming::ours(id, envelope, body, facts, Origin::Notice);
        // Nobody waits for it.
        let incoming = Incoming { user: REPORT_USER.to_owned(), user_class: Some(Class::Low), ..ours };
        self.door.store(incoming).await.map(drop)
    }

    async fn post(&self, to: &HttpsPlace, gzip: Bytes) -> Result<(), String> {
        self.https.post(to, gzip).await
    }
}
