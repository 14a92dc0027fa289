//! What an inbound listener does with a transaction: its recipients' inlets, its content, the sinks, one answer for all.
//!
//! In: RCPT and the content of a session.  Out: a reply.
//! Always: a transaction that one sink took is answered 250, after the last sink is done; one that none took is refused, and
//! one that cannot be kept now is refused for now, whole; nothing here makes a bounce, whatever is refused; what SPF, DKIM and
//! DMARC say is told to the sinks and the journal, and refuses nothing; mail to return addresses alone costs no question to the
//! DNS, since bounces prove themselves by the token of their address. The mail itself stays as it came (R8): a field of ours
//! would have to be believed, and for that those that strangers write in our name would have to go (RFC 8601 §5).
//! Sources: RFC 5321 §6.3 (loops); RFC 8601 §5; cmc.md §12.1.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    authres::{Authenticate, Received, Results},
    config::{Config, ForwardSide},
    ids::MessageId,
    mail::{
        header::{self, HEADER_BYTES_MAX},
        trace::{Arrival, HOPS_MAX, Protocol},
    },
    smtp::{
        address::Mailbox,
        params::Envelope,
        reply::{Enhanced, Reply},
    },
    store::Receipt,
};

use super::{
    inlets::{self, Inlet, Tokens},
    listener::Entrance,
    sink::{self, Gathering, InboundMail, REPORT_OCTETS_MAX, Refusal, Sink},
    spam,
};

/// What is behind inbound listeners.
pub struct Inbound {
    /// What is known of return addresses.
    pub tokens: Arc<dyn Tokens>,
    /// Who keeps TLS reports.
    pub tls_reports: Arc<dyn Sink>,
    /// Who keeps DMARC reports.
    pub dmarc_reports: Arc<dyn Sink>,
    /// Who takes everything else.
    pub mailroom: Arc<dyn Sink>,
    /// Who posts mail for `[inbound] addresses` to programs.
    pub posts: Arc<dyn Sink>,
    /// Who tells whether a mail is its sender's.
    pub authenticate: Arc<dyn Authenticate>,
}

/// The proof behind the 250.
#[derive(Debug)]
pub(super) enum Stored {
    /// A message in the queue.
    Message(Receipt),
    /// A mail for ourselves that its sinks keep, and the name that the peer hears.
    Inbound(MessageId),
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stored::Message(receipt) => receipt.fmt(f),
            Stored::Inbound(id) => id.fmt(f),
        }
    }
}

/// How a mail came, as its session knows.
pub(super) struct How<'a> {
    pub helo: &'a str,
    pub address: std::net::IpAddr,
    pub extended: bool,
    /// Protocol and cipher; empty in clear.
    pub tls: &'a str,
}

/// Whether mail for this address is taken. `announced`: octets, as MAIL said.
pub(super) fn recipient(entrance: &Entrance, address: &Mailbox, announced: Option<u64>) -> Result<(), Reply> {
    let config = entrance.config.get();
    let inlet = inlets::inlet_of(&config, &*entrance.inbound.tokens, address)?;
    let octets_max = octets_max(&config, [inlet].into_iter());
    if announced.is_some_and(|octets| octets > octets_max) { Err(Reply::too_large(octets_max)) } else { Ok(()) }
}

/// Room for the content of a transaction.
pub(super) fn gathering(entrance: &Entrance, envelope: Option<&Envelope>) -> Option<Gathering> {
    let config = entrance.config.get();
    let inlets = envelope.map_or(&[][..], |e| &e.recipients).iter();
    let inlets = inlets.filter_map(|r| inlets::inlet_of(&config, &*entrance.inbound.tokens, &r.address).ok());
    Gathering::new(&entrance.budget, octets_max(&config, inlets))
}

/// Octets that the largest of these inlets takes.
fn octets_max(config: &Config, inlets: impl Iterator<Item = Inlet>) -> u64 {
    let whole = config.inbound.message_size_max;
    let of = |inlet| if inlet == Inlet::TlsReport { whole.min(REPORT_OCTETS_MAX) } else { whole };
    inlets.map(of).max().unwrap_or(whole)
}

/// The content is whole: hands it to the sinks of its recipients' inlets.
pub(super) async fn message(
    entrance: &Entrance,
    envelope: &Envelope,
    gathered: Gathering,
    how: How<'_>,
) -> Result<MessageId, Reply> {
    let (body, lease) = gathered.finish();
    let id = entrance.door.new_id();
    let sender = envelope.sender.as_ref().map_or("", |s| s.as_str());
    let taken = pass(entrance, envelope, &body, id, &how).await;
    drop(lease);
    let octets = body.len();
    match taken {
        Ok(Passed { inlets, results }) => {
            log::info!(
                "inbound={id} verdict=taken inlets={inlets} sender=<{sender}> octets={octets} source={}{}",
                how.address,
                results.as_ref().map_or_else(String::new, words)
            );
            Ok(id)
        }
        Err(refusal) => {
            log::warn!("inbound={id} sender=<{sender}> octets={octets} source={} refused=\"{refusal}\"", how.address);
            Err(sink::reply_of(&refusal))
        }
    }
}

/// What became of a mail that was taken.
struct Passed {
    /// The words of the inlets that took it.
    inlets: String,
    /// Whether it is its sender's, where that was asked.
    results: Option<Results>,
}

/// The journal's words: what the mail is worth, then each result.
fn words(results: &Results) -> String {
    format!(" mark={} auth=\"{}\"", results.mark(&[]).mark.word(), results.text().replace('"', "'"))
}

/// Hands the mail to the sinks of its inlets.
async fn pass(
    entrance: &Entrance,
    envelope: &Envelope,
    body: &Bytes,
    id: MessageId,
    how: &How<'_>,
) -> Result<Passed, Refusal> {
    let config = entrance.config.get();
    let looked_at = &body[..body.len().min(HEADER_BYTES_MAX)];
    let head_len = header::find_end(looked_at, 0).unwrap_or(looked_at.len());
    let (facts, watched) = header::scan_watching(&body[..head_len], "", &config.watch);
    if facts.received_count > HOPS_MAX {
        return Err(Refusal::Refused(Reply::mail_loop(HOPS_MAX)));
    }
    let mut refused = None;
    let mut taken: Vec<(Mailbox, Inlet)> = Vec::with_capacity(envelope.recipients.len());
    for recipient in &envelope.recipients {
        // Asked again although RCPT was taken: the config may have changed between.
        match inlets::inlet_of(&config, &*entrance.inbound.tokens, &recipient.address) {
            Ok(inlet) => match spam::refusal(&config, inlet, envelope.sender.as_ref(), &facts, &body[..head_len]) {
                None => taken.push((recipient.address.clone(), inlet)),
                Some(why) => refused = Some(Refusal::Refused(Reply::new(550, Enhanced(5, 7, 1), why))),
            },
            Err(reply) => refused = Some(Refusal::Refused(reply)),
        }
    }
    let results = if taken.iter().any(|(_, inlet)| !matches!(inlet, Inlet::Return(_))) {
        let sender = envelope.sender.as_ref();
        let received = Received { ip: how.address, helo: how.helo, sender, mail: body, head_len };
        Some(entrance.inbound.authenticate.authenticate(received).await)
    } else {
        None
    };
    let (reports, others): (Vec<_>, Vec<_>) = taken.into_iter().partition(|(_, inlet)| *inlet == Inlet::TlsReport);
    let (dmarc, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|(_, inlet)| *inlet == Inlet::DmarcReport);
    let is_posted = |(address, inlet): &&(Mailbox, Inlet)| *inlet == Inlet::Inbound && config.is_posted(address);
    let posted: Vec<_> = others.iter().filter(is_posted).cloned().collect();
    // A filter may want it as well; where there is none, nobody is asked in vain.
    let has_filter = config.forwards.iter().any(|filter| filter.side == ForwardSide::Inbound);
    let others: Vec<_> = others.into_iter().filter(|to| has_filter || !is_posted(&to)).collect();
    let only = match envelope.recipients.as_slice() {
        [only] => Some(&only.address),
        _ => None,
    };
    let mail = InboundMail {
        arrival: arrival(entrance, &config, id, how, envelope, only, body),
        sender: envelope.sender.as_ref(),
        smtputf8: envelope.params.smtputf8,
        to: &[],
        facts: &facts,
        watched: &watched,
        head_len,
        body,
        results: results.as_ref(),
    };
    let mut inlets = Vec::new();
    // A repeat of what a sink has kept makes nothing new there, so that all may be asked again after one said "later"; posts,
    // where it would, come last.
    let sinks = [
        (&entrance.inbound.tls_reports, &reports),
        (&entrance.inbound.dmarc_reports, &dmarc),
        (&entrance.inbound.mailroom, &others),
        (&entrance.inbound.posts, &posted),
    ];
    for (sink, to) in sinks {
        if to.is_empty() {
            continue;
        }
        match sink.take(InboundMail { to, ..mail }).await {
            Ok(()) => inlets.extend(to.iter().map(|(_, inlet)| inlet.word())),
            Err(later @ Refusal::Later(_)) => return Err(later),
            Err(refusal) => {
                log::info!("inbound={id} part={} refused=\"{refusal}\"", to[0].1.word());
                refused = Some(refusal);
            }
        }
    }
    match refused {
        Some(refusal) if inlets.is_empty() => Err(refusal),
        _ if inlets.is_empty() => Err(Refusal::Refused(Reply::no_valid_recipients())),
        _ => {
            inlets.dedup();
            Ok(Passed { inlets: inlets.join(","), results })
        }
    }
}

fn arrival<'a>(
    entrance: &Entrance,
    config: &'a Config,
    id: MessageId,
    how: &'a How<'_>,
    envelope: &Envelope,
    recipient: Option<&'a Mailbox>,
    body: &[u8],
) -> Arrival<'a> {
    Arrival {
        id,
        at: entrance.clock.now(),
        hostname: &config.server.hostname,
        helo: how.helo,
        address: Some(how.address),
        protocol: Protocol {
            extended: how.extended,
            tls: !how.tls.is_empty(),
            authenticated: false,
            utf8: envelope.params.smtputf8,
            http: false,
        },
        tls: how.tls,
        recipient,
        priority: None,
        begins_empty: body.starts_with(b"\r\n"),
    }
}
