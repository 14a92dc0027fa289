//! The Email Sending API: one mail to a few (`send`), or one to each of many (`bulk`).
//!
//! ```text
//! ask ─► wanted (checked) ─► caller's rights, rate, Idempotency-Key ─► mail/letter (composed) ─► intake/hand_in ─► id
//! ```
//!
//! In: a request.  Out: `{"id":"<Message-ID>"}` after the commit (P1), or the fault.
//! Always: nothing is accepted of a call that is answered 4xx; recipients who are suppressed are accepted and fail in the log, as by
//! SMTP; a bulk call that breaks says how many were accepted, and repeated with its Idempotency-Key sends the rest once.
//! Sources: the service's sending API; limits in `wanted`.

mod address;
pub mod keys;
mod wanted;

use smol::{LocalExecutor, future::block_on};

use super::{
    Format,
    ask::Ask,
    caller::{self, Access, Caller},
    fault::{Fault, Why},
    reply::{self, Cell},
};
use crate::{
    account::Accounts,
    config::Config,
    http::{
        daemon::Daemon,
        exchange::{Request, Response},
    },
    intake::{
        hand_in::{HandIn, WholeMail},
        policy,
        submit::Incoming,
    },
    mail::{
        compose,
        letter::{self, Address, Composed, Letter},
        merge::{self, MergeFault, Template, Texts},
    },
    smtp::{
        address::Mailbox,
        params::{BodyType, Envelope, EnvelopeRecipient, MailParams, RcptParams},
        reply::Reply,
    },
    store::MemoChange,
};
use keys::{Begun, Claim, Keys};
use wanted::{Wanted, of_letter};

/// Octets of all mails of one bulk call.
const BULK_OCTETS_MAX: u64 = 256 << 20;
/// Mails of a bulk call that are handed to the writer together …
const CHUNK_MAILS: usize = 100;
/// … and the octets from which no further one joins them.
const CHUNK_OCTETS: usize = 8 << 20;

/// What the sending API needs of the daemon; clones share it.
#[derive(Clone)]
pub struct Posting {
    /// The way in.
    pub hand_in: HandIn,
    /// How much each user may submit.
    pub accounts: Accounts,
    /// Calls that may be repeated.
    pub keys: Keys,
}

/// Answers `emails/send`.
///
/// # Errors
/// What is wrong with the call.
pub fn send(daemon: &dyn Daemon, request: &Request, format: Format) -> Result<Response, Fault> {
    let ask = Ask::read(request)?;
    let call = Call::begin(daemon, request, &ask, false)?;
    let claim = match call.claim(request, &ask, "send")? {
        Some(Begun::Done(answer)) => return Ok(answer_of(format, &answer.ids, false)),
        Some(Begun::Go(claim)) => Some(claim),
        None => None,
    };
    call.take_from_rate()?;
    let hand_in = &call.posting.hand_in;
    let (id, now) = (hand_in.new_id(), hand_in.now());
    let message_id = compose::message_id(id, &call.config.server.hostname);
    let wanted = &call.wanted;
    let to: Vec<Address> = wanted.to.iter().map(|a| a.address.clone()).collect();
    let composed = call.compose(&Written {
        message_id: &message_id,
        to: &to,
        subject: &wanted.subject,
        text: &wanted.text,
        html: &wanted.html,
        headers: &wanted.headers,
    })?;
    let recipients = to.iter().chain(&wanted.cc).chain(&wanted.bcc).map(|a| &a.address);
    let memos = claim.iter().map(|claim| claim.memo(vec![message_id.clone()], now)).collect();
    let mail = call.whole(id, composed, recipients, memos);
    let submitted = block_on(async {
        let incoming = hand_in.spool(mail).await?;
        hand_in.submit(incoming).await
    });
    submitted.map_err(|reply| of_reply(&reply))?;
    Ok(answer_of(format, &[message_id], false))
}

/// Answers `emails/bulk`.
///
/// # Errors
/// What is wrong with the call.
pub fn bulk(daemon: &dyn Daemon, request: &Request, format: Format) -> Result<Response, Fault> {
    let ask = Ask::read(request)?;
    let call = Call::begin(daemon, request, &ask, true)?;
    let wanted = &call.wanted;
    let texts = Texts { subject: &wanted.subject, text: &wanted.text, html: &wanted.html, headers: &wanted.headers };
    let template = Template::new(texts, wanted.markup).map_err(|fault| of_merge(&fault))?;
    call.check_all(&template)?;
    let claim = match call.claim(request, &ask, "bulk")? {
        Some(Begun::Done(answer)) => return Ok(answer_of(format, &answer.ids, true)),
        Some(Begun::Go(claim)) => Some(claim),
        None => None,
    };
    call.take_from_rate()?;
    let known = wanted.to.iter().flat_map(|a| a.values.keys().map(String::as_str)).collect();
    let unknown = template.unknown(&known);
    if !unknown.is_empty() {
        log::info!(
            "api=bulk user={} placeholders_without_value={:?}",
            call.caller.name,
            &unknown[..unknown.len().min(10)]
        );
    }
    let ids = call.submit_all(&template, claim.as_ref())?;
    if let Some(claim) = &claim {
        let finished = block_on(call.posting.keys.finish(claim, ids.clone(), call.posting.hand_in.now()));
        if let Err(error) = finished {
            // All are accepted; their marks answer a repetition as well.
            log::error!("act=idempotency error=\"{error}\"");
        }
    }
    Ok(answer_of(format, &ids, true))
}

/// `{"id":"<…>"}`; of a bulk call the first one's, how many were accepted, and all of them in the order of `to`. All are strings:
/// clients read the body as a map of strings.
fn answer_of(format: Format, ids: &[String], is_bulk: bool) -> Response {
    let first = ids.first().map_or("", String::as_str);
    let mut row: Vec<(&'static str, Cell)> = vec![("id", first.into())];
    if is_bulk {
        row.push(("accepted", ids.len().to_string().into()));
        row.push(("ids", ids.join(" ").into()));
    }
    reply::object(format, "email", &row)
}

/// What changes from mail to mail.
struct Written<'a> {
    message_id: &'a str,
    to: &'a [Address],
    subject: &'a str,
    text: &'a str,
    html: &'a str,
    headers: &'a [(String, String)],
}

/// A call that may be done.
struct Call<'d> {
    posting: &'d Posting,
    config: std::sync::Arc<Config>,
    caller: Caller,
    wanted: Wanted,
}

impl<'d> Call<'d> {
    fn begin(daemon: &'d dyn Daemon, request: &Request, ask: &Ask<'_>, is_bulk: bool) -> Result<Self, Fault> {
        let caller = caller::of(daemon, request, ask, Access::Send)?;
        let posting = daemon.posting().ok_or_else(|| Why::Unavailable.fault())?;
        let wanted = Wanted::read(ask, is_bulk)?;
        let config = posting.hand_in.config();
        let from = wanted.from.address.as_str();
        policy::may_send_from(&config, from).map_err(|_| Why::FromNotAllowed.fault())?;
        for (field, refused) in [
            ("from", policy::may_use_header_from(&caller.rights, [from]).is_err()),
            ("envfrom", policy::may_use_sender(&caller.rights, Some(&wanted.sender)).is_err()),
        ] {
            if refused {
                caller::denied(daemon, &caller.name, caller.source, &request.path, field);
                return Err(Why::SenderNotAllowed.of(field));
            }
        }
        posting.hand_in.may_begin().map_err(|reply| of_reply(&reply))?;
        Ok(Call { posting, config, caller, wanted })
    }

    fn claim(&self, request: &Request, ask: &Ask<'_>, action: &str) -> Result<Option<Begun>, Fault> {
        if request.idempotency_key.is_empty() {
            return Ok(None);
        }
        let print = keys::print_of(ask, action);
        let now = self.posting.hand_in.now();
        self.posting.keys.begin(&self.caller.name, &request.idempotency_key, print, now).map(Some)
    }

    /// The user may send so much now.
    fn take_from_rate(&self) -> Result<(), Fault> {
        let recipients = self.wanted.to.len() + self.wanted.cc.len() + self.wanted.bcc.len();
        let taken = self.posting.accounts.may_submit(&self.caller.name, recipients);
        taken.map_err(|again| Why::RateLimit { after: again.0 }.fault())
    }

    fn letter<'a>(&'a self, written: &Written<'a>) -> Letter<'a> {
        let wanted = &self.wanted;
        Letter {
            message_id: written.message_id,
            date: self.posting.hand_in.now(),
            from: &wanted.from,
            to: written.to,
            cc: &wanted.cc,
            reply_to: wanted.reply_to.as_ref(),
            subject: written.subject,
            text: written.text,
            html: written.html,
            headers: written.headers,
            enclosures: &wanted.enclosures,
            charset: wanted.charset,
            fallback: wanted.fallback,
        }
    }

    fn compose(&self, written: &Written<'_>) -> Result<Composed, Fault> {
        let composed = letter::compose(&self.letter(written)).map_err(|fault| of_letter(&fault))?;
        if composed.bytes.len() as u64 > self.config.relay.message_size_max {
            return Err(Why::TooLarge { max: self.config.relay.message_size_max }.fault());
        }
        if let Some(note) = &composed.note {
            log::info!("api=compose user={} message_id={} note={note:?}", self.caller.name, written.message_id);
        }
        Ok(composed)
    }

    fn whole<'a>(
        &self,
        id: crate::ids::MessageId,
        composed: Composed,
        recipients: impl Iterator<Item = &'a Mailbox>,
        memos: Vec<MemoChange>,
    ) -> WholeMail {
        let sender = self.wanted.sender.clone();
        let recipients: Vec<EnvelopeRecipient> = recipients
            .map(|address| EnvelopeRecipient { address: address.clone(), params: RcptParams::default() })
            .collect();
        let smtputf8 =
            composed.smtputf8 || sender.needs_smtputf8() || recipients.iter().any(|r| r.address.needs_smtputf8());
        let body = if composed.smtputf8 { BodyType::EightBitMime } else { BodyType::SevenBit };
        let params = MailParams { smtputf8, body, ..MailParams::default() };
        WholeMail {
            id,
            envelope: Envelope { sender: Some(sender), params, recipients },
            bytes: composed.bytes,
            user: self.caller.name.clone(),
            user_class: self.caller.rights.class,
            source_ip: self.caller.source,
            sandbox: self.caller.rights.sandbox,
            memos,
        }
    }

    /// Each mail of a bulk call can be composed, and all of them are within what may be written; told before anything is.
    fn check_all(&self, template: &Template<'_>) -> Result<(), Fault> {
        let (mut total, files) = (0_u64, self.wanted.enclosures.octets() as u64);
        let mail_max = self.config.relay.message_size_max;
        for addressed in &self.wanted.to {
            merge::check(&addressed.values).map_err(|fault| of_merge(&fault))?;
            let octets = template.octets(&addressed.values) as u64 + files;
            if octets > mail_max {
                return Err(Why::TooLarge { max: mail_max }.fault());
            }
            total = total.saturating_add(octets);
            let filled = template.fill(&addressed.values).map_err(|fault| of_merge(&fault))?;
            let letter = self.letter(&Written {
                message_id: "",
                to: std::slice::from_ref(&addressed.address),
                subject: &filled.subject,
                text: &filled.text,
                html: &filled.html,
                headers: &filled.headers,
            });
            letter::check(&letter).map_err(|fault| of_letter(&fault))?;
        }
        if total > BULK_OCTETS_MAX {
            return Err(Why::TooLarge { max: BULK_OCTETS_MAX }.fault());
        }
        Ok(())
    }

    /// Composes and submits every mail of a bulk call that was not accepted before; answers all Message-IDs in order.
    fn submit_all(&self, template: &Template<'_>, claim: Option<&Claim>) -> Result<Vec<String>, Fault> {
        let of = self.wanted.to.len();
        let mut ids: Vec<Option<String>> = vec![None; of];
        for (place, id) in claim.iter().flat_map(|claim| &claim.accepted) {
            if let Some(slot) = ids.get_mut(*place) {
                *slot = Some(id.clone());
            }
        }
        let mut place = 0;
        while place < of {
            // What one mail is refused for is known before the first is accepted, but for the size of what is written
            // around the texts.
            let (chunk, next) = match self.chunk(template, claim, &ids, place) {
                Ok(chunk) => chunk,
                Err(fault) => return Err(partly(&ids, of, fault)),
            };
            place = next;
            let submitted = block_on(together(&self.posting.hand_in, chunk));
            let mut failed = None;
            for (at, id, result) in submitted {
                match result {
                    Ok(()) => ids[at] = Some(id),
                    Err(reply) => failed = Some(reply),
                }
            }
            if let Some(reply) = failed {
                return Err(partly(&ids, of, of_reply(&reply)));
            }
        }
        Ok(ids.into_iter().flatten().collect())
    }

    /// The next mails, composed and spooled, and the place behind them.
    fn chunk(
        &self,
        template: &Template<'_>,
        claim: Option<&Claim>,
        ids: &[Option<String>],
        from: usize,
    ) -> Result<(Vec<Ready>, usize), Fault> {
        let hand_in = &self.posting.hand_in;
        let (mut chunk, mut octets, mut place) = (Vec::new(), 0, from);
        while place < ids.len() && chunk.len() < CHUNK_MAILS && octets < CHUNK_OCTETS {
            if ids[place].is_none() {
                let addressed = &self.wanted.to[place];
                let filled = template.fill(&addressed.values).map_err(|fault| of_merge(&fault))?;
                let id = hand_in.new_id();
                let message_id = compose::message_id(id, &self.config.server.hostname);
                let composed = self.compose(&Written {
                    message_id: &message_id,
                    to: std::slice::from_ref(&addressed.address),
                    subject: &filled.subject,
                    text: &filled.text,
                    html: &filled.html,
                    headers: &filled.headers,
                })?;
                octets += composed.bytes.len();
                let marks = claim.iter().map(|claim| claim.mark(place, message_id.clone(), hand_in.now()));
                let mail = self.whole(id, composed, std::iter::once(&addressed.address.address), marks.collect());
                let incoming = block_on(hand_in.spool(mail)).map_err(|reply| of_reply(&reply))?;
                chunk.push(Ready { place, message_id, incoming });
            }
            place += 1;
        }
        Ok((chunk, place))
    }
}

/// A mail of a bulk call that waits for the store.
struct Ready {
    place: usize,
    message_id: String,
    incoming: Incoming,
}

/// Submits mails at once, so that one sync serves them all.
async fn together(hand_in: &HandIn, chunk: Vec<Ready>) -> Vec<(usize, String, Result<(), Reply>)> {
    let executor = LocalExecutor::new();
    let tasks: Vec<_> = chunk
        .into_iter()
        .map(|ready| {
            let submitted =
                async move { (ready.place, ready.message_id, hand_in.submit(ready.incoming).await.map(|_| ())) };
            executor.spawn(submitted)
        })
        .collect();
    let all = async {
        let mut results = Vec::with_capacity(tasks.len());
        for task in tasks {
            results.push(task.await);
        }
        results
    };
    executor.run(all).await
}

/// What broke a bulk call: as it is while nothing was accepted, else with how many were.
fn partly(ids: &[Option<String>], of: usize, fault: Fault) -> Fault {
    match ids.iter().flatten().count() {
        0 => fault,
        accepted => Why::Partly { accepted, of }.fault().and(fault),
    }
}

fn of_merge(fault: &MergeFault) -> Fault {
    match fault {
        MergeFault::Placeholders => Why::TooMuch { max: merge::PLACEHOLDERS_MAX }.of("text"),
        MergeFault::Properties => Why::TooMany { max: merge::PROPERTIES_MAX }.of("to"),
        MergeFault::Value(_) => {
            Why::TooLong { max: merge::VALUE_OCTETS_MAX, unit: super::fault::Unit::Octets }.of("to")
        }
        MergeFault::TooLarge => Why::TooLarge { max: merge::FILLED_OCTETS_MAX as u64 }.fault(),
    }
}

/// What the door says, in the API's words: its own stay inside.
fn of_reply(reply: &Reply) -> Fault {
    log::info!("api=refused reply={reply:?}");
    match reply.code {
        550 => Why::FromNotAllowed.fault(),
        554 => Why::MailLoop.fault(),
        400..500 => Why::Unavailable.fault(),
        _ => Why::System.fault(),
    }
}
