//! What is written above a message that comes by SMTP, decided once its header is known.

use std::{net::IpAddr, sync::Arc};

use crate::{
    clock::Clock,
    config::Config,
    ids::MessageId,
    mail::{
        header::Facts,
        trace::{self, Arrival, FieldStripper, Protocol, RECEIVED, TraceKey, TraceSettings},
        watched::Watch,
    },
    smtp::{
        address::Mailbox,
        params::Envelope,
        reply::{Enhanced, Reply},
    },
};

use super::{
    policy,
    spool::{Changed, Top},
};

/// How a message came, gathered by its session.
pub struct TraceTop<'a> {
    /// The config in force.
    pub config: Arc<Config>,
    /// The time.
    pub clock: &'a Clock,
    /// The key of our traces.
    pub key: &'a TraceKey,
    /// The message's id.
    pub id: MessageId,
    /// What the client called itself.
    pub helo: &'a str,
    /// The client's address.
    pub address: IpAddr,
    /// EHLO, not HELO.
    pub extended: bool,
    /// It logged in.
    pub authenticated: bool,
    /// It came by the API, over HTTP.
    pub http: bool,
    /// Protocol and cipher; empty in clear.
    pub tls: &'a str,
    /// The transaction.
    pub envelope: Option<&'a Envelope>,
    /// The Message-ID that was added.
    pub message_id_added: Option<String>,
}

impl Top for TraceTop<'_> {
    fn priority_header(&self) -> &str {
        &self.config.delivery.priority.header
    }

    fn watch(&self) -> &Watch {
        &self.config.watch
    }

    fn on_top(&mut self, facts: &Facts, head: &[u8]) -> Result<Changed, Reply> {
        policy::may_send_from(&self.config, &facts.from)?;
        if self.key.was_here(head) {
            return Err(Reply::new(
                554,
                Enhanced(5, 4, 6),
                "This message has been here before: it is going round in a loop",
            ));
        }
        let arrival = Arrival {
            id: self.id,
            at: self.clock.now(),
            hostname: &self.config.server.hostname,
            helo: self.helo,
            address: Some(self.address),
            protocol: Protocol {
                extended: self.extended,
                tls: !self.tls.is_empty(),
                authenticated: self.authenticated,
                utf8: self.envelope.is_some_and(|e| e.params.smtputf8),
                http: self.http,
            },
            tls: self.tls,
            recipient: self.only_recipient(),
            priority: self.envelope.and_then(|e| e.params.mt_priority),
            begins_empty: head.starts_with(b"\r\n"),
        };
        let settings = TraceSettings {
            received: self.config.relay.received_header,
            add_missing_headers: self.config.relay.add_missing_headers,
            key: self.key,
        };
        let changes = trace::head_changes(&arrival, facts, &settings);
        self.message_id_added = changes.message_id;
        let priority = &self.config.delivery.priority;
        let mut names = Vec::new();
        if changes.strip_received {
            names.push(RECEIVED);
        }
        if priority.strip && !priority.header.is_empty() {
            names.push(&priority.header);
        }
        let stripped = if names.is_empty() { None } else { FieldStripper::strip(names, head) };
        Ok(Changed { top: changes.top, head: stripped })
    }
}

impl TraceTop<'_> {
    fn only_recipient(&self) -> Option<&Mailbox> {
        match self.envelope?.recipients.as_slice() {
            [only] => Some(&only.address),
            _ => None,
        }
    }
}
