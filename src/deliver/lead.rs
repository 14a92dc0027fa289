//! What stands in front of a recipient's copy: DKIM-Signature fields, then the fields of its list, then the stored message.
//!
//! In: a message, a recipient, the keys in force.  Out: its [`Lead`].
//! Always: made once, when the first connection is ready for it, and the same octets at every try: by [`LeadSlot`] while the message is
//! in RAM, by the store between tries. Recipients of mail without a list share one lead, which is made once however many attempts of
//! the message run at a time; mail of a list has one for each. Mail with a key never leaves unsigned because something of ours
//! failed: it waits. Where there is neither key nor list, it costs a look.
//!
//! Mail that came in and is passed on is not signed: its From was written by a stranger, and our signature would vouch for it.
//! Sources: RFC 6376 §5.1 (whom a signer signs for) and §3.5; RFC 8058 §4 (the list's fields are signed, too); algorithms F8, F13.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;

use super::{attempt::Shared, envelope::PerRecipient, job::Job, report::Failure, verdict::Kind};
use crate::{
    dkim::sign::Identity,
    event::Phase,
    fact::Fact,
    ids::MessageId,
    metrics::Metrics,
    signing::{Content, Keyring, Request, SignError, Signing, Unsigned},
    store::{Lead, LeadSlot, Message, Origin, Recipient},
};

/// Slots that are remembered before those that nobody holds any more are looked for.
const SLOTS_LOOKED_AT: usize = 1_024;

/// What stands in front of the copy of the first of `todo`; `None`: the daemon cuts, or there is nobody.
pub(super) async fn of(shared: &Shared, job: &Job, todo: &[usize]) -> Result<Option<Lead>, Failure> {
    let Some(recipient) = todo.first().and_then(|at| job.recipients.get(*at)) else { return Ok(None) };
    let (own, identities) = match shared.leads.look(job, recipient, &shared.metrics) {
        Wanted::Ready(lead) => return Ok(Some(lead)),
        Wanted::ToSign { own, identities } => (own, identities),
    };
    // In a box of its own: mail that is not signed pays nothing for it.
    let signing = Box::pin(shared.leads.sign(job, recipient, own, identities, shared));
    match shared.unless_cut(signing).await {
        None => Ok(None),
        Some(Ok(lead)) => Ok(Some(lead)),
        Some(Err(NoLead::Damaged(why))) => Err(Failure::own_trouble(Phase::Queue, Kind::Damaged, &why)),
        Some(Err(NoLead::Failed(why))) => Err(Failure::own_trouble(Phase::Queue, Kind::Ours, &why)),
    }
}

/// Makes leads.
pub(super) struct Leads {
    per_recipient: Option<PerRecipient>,
    signing: Option<Signing>,
    /// Slots of messages in RAM, so that attempts which read the message by themselves share them.
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    of: HashMap<MessageId, Weak<LeadSlot>>,
    look_at: usize,
}

/// A lead, or what is to be done for it.
enum Wanted {
    /// Known, or nothing to be made.
    Ready(Lead),
    /// To be signed.
    ToSign {
        /// The recipient's own fields.
        own: Option<Vec<u8>>,
        /// Who signs.
        identities: Arc<Vec<Identity>>,
    },
}

/// Why there is no lead.
#[derive(Clone, PartialEq, Eq, Debug)]
enum NoLead {
    /// The stored message cannot be read.
    Damaged(String),
    /// Our own trouble.
    Failed(String),
}

impl Leads {
    pub(super) fn new(per_recipient: Option<PerRecipient>, signing: Option<Signing>) -> Self {
        let slots = Mutex::new(Slots { of: HashMap::new(), look_at: SLOTS_LOOKED_AT });
        Leads { per_recipient, signing, slots }
    }

    /// The recipient has, or will have, a lead of its own: nobody shares its transaction.
    pub(super) fn is_own(&self, job: &Job, recipient: &Recipient) -> bool {
        job.loaded.leads.slot().is_some_and(|slot| slot.own(recipient.key.index).is_some())
            || self.own_fields(&job.loaded.message, recipient).is_some()
    }

    fn own_fields(&self, message: &Message, recipient: &Recipient) -> Option<Vec<u8>> {
        self.per_recipient.as_ref().and_then(|ask| ask(message, recipient)).filter(|fields| !fields.is_empty())
    }

    /// The lead of this recipient, as far as nothing has to be signed for it.
    fn look(&self, job: &Job, recipient: &Recipient, metrics: &Metrics) -> Wanted {
        let message = &job.loaded.message;
        let index = recipient.key.index;
        let slot = job.loaded.leads.slot();
        if let Some(lead) = slot.and_then(|slot| slot.own(index)) {
            return Wanted::Ready(lead);
        }
        let own = self.own_fields(message, recipient);
        if own.is_none()
            && let Some(lead) = slot.and_then(|slot| slot.shared())
        {
            return Wanted::Ready(lead);
        }
        match self.signing.as_ref().filter(|signing| !signing.keys.is_empty()).map(|s| signers(&s.keys, message)) {
            Some(Ok(identities)) => return Wanted::ToSign { own, identities },
            Some(Err(why)) => {
                why.count(metrics);
                if why == NotSigned::NoFrom {
                    tell(job, recipient, why);
                    // Told once.
                    if own.is_none() {
                        self.slot(job).put(index, &Lead::default());
                    }
                }
            }
            None => {}
        }
        let Some(own) = own else { return Wanted::Ready(Lead::default()) };
        let lead = Lead { own: true, octets: own.into() };
        self.slot(job).put(index, &lead);
        Wanted::Ready(lead)
    }

    /// Signs for this recipient, and for all that share its lead. Bounded by the work in front of the signing threads.
    async fn sign(
        &self,
        job: &Job,
        recipient: &Recipient,
        own: Option<Vec<u8>>,
        identities: Arc<Vec<Identity>>,
        shared: &Shared,
    ) -> Result<Lead, NoLead> {
        let Some(signing) = &self.signing else { return Err(NoLead::Failed("nobody signs".to_owned())) };
        let index = recipient.key.index;
        let slot = self.slot(job);
        // One at a time makes the shared lead, or reads the body for its hash; the leads of recipients are made side by side.
        let mut making = None;
        if own.is_none() || slot.body_hash().is_none() {
            making = Some(slot.making().await);
        }
        // Another attempt may have made it meanwhile.
        if own.is_none()
            && let Some(lead) = slot.shared()
        {
            return Ok(lead);
        }
        if own.is_some() && slot.body_hash().is_some() {
            making = None;
        }
        let content = match &job.loaded.body {
            Some((bytes, _)) => Content::Ram(bytes.clone()),
            None => {
                let (bodies, message) = (shared.bodies.clone(), job.loaded.message.clone());
                Content::Disk(Box::new(move || bodies.open(&message)))
            }
        };
        let (is_own, above) = (own.is_some(), own.unwrap_or_default());
        let request =
            Request { above: above.clone(), content, body_hash: slot.body_hash(), identities, at: shared.clock.now() };
        let octets = match signing.signer.sign(request).await {
            Ok(signed) => {
                slot.put_body_hash(signed.body_hash);
                shared.metrics.dkim_signed.one();
                join(signed.fields, &above)
            }
            Err(SignError::Unsigned(why)) => {
                let why = NotSigned::from(why);
                why.count(&shared.metrics);
                tell(job, recipient, why);
                above.into()
            }
            Err(SignError::Damaged(why)) => return Err(NoLead::Damaged(why)),
            Err(SignError::Failed(why)) => {
                shared.metrics.dkim_failed.one();
                log::error!("message={} dkim=failed error=\"{why}\"", job.message());
                return Err(NoLead::Failed(why));
            }
        };
        let lead = Lead { own: is_own, octets };
        slot.put(index, &lead);
        drop(making);
        Ok(lead)
    }

    /// The message's slot, made where there is none.
    fn slot<'j>(&self, job: &'j Job) -> &'j Arc<LeadSlot> {
        job.loaded.leads.join(|| {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let place = slots.of.entry(job.message()).or_default();
            if let Some(known) = place.upgrade() {
                return known;
            }
            let slot = Arc::<LeadSlot>::default();
            *place = Arc::downgrade(&slot);
            if slots.of.len() > slots.look_at {
                slots.of.retain(|_, slot| slot.strong_count() > 0);
                slots.look_at = (2 * slots.of.len()).max(SLOTS_LOOKED_AT);
            }
            slot
        })
    }
}

/// Says why a mail leaves unsigned though there are keys, at its first try.
fn tell(job: &Job, recipient: &Recipient, why: NotSigned) {
    if recipient.attempts == 0 {
        log::info!("message={} dkim=unsigned reason=\"{}\"", job.message(), why.words());
    }
}

fn join(fields: Vec<u8>, above: &[u8]) -> Bytes {
    let mut octets = fields;
    octets.extend_from_slice(above);
    octets.into()
}

/// Why a mail leaves unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotSigned {
    /// Neither the domain of its header From nor a parent has a key.
    NoKey,
    /// It has no From, or none with a domain.
    NoFrom,
    /// It has several From fields.
    SeveralFrom,
    /// Its header is longer than what is looked at.
    LongHeader,
    /// It came in and is passed on.
    PassedOn,
}

impl From<Unsigned> for NotSigned {
    fn from(why: Unsigned) -> Self {
        match why {
            Unsigned::NoFrom => NotSigned::NoFrom,
            Unsigned::SeveralFrom => NotSigned::SeveralFrom,
            Unsigned::LongHeader => NotSigned::LongHeader,
        }
    }
}

impl NotSigned {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            NotSigned::NoKey => "neither the domain of its header From nor a parent has a key",
            NotSigned::NoFrom => "its header has no From with a domain",
            NotSigned::SeveralFrom => "its header has several From fields",
            NotSigned::LongHeader => "its header is longer than 256 KiB",
            NotSigned::PassedOn => "it came in and is passed on: nobody here wrote it",
        }
    }

    /// In Japanese words.
    fn words_in_japanese(self) -> &'static str {
        match self {
            NotSigned::NoKey => "ヘッダー From のドメインにも、その上位ドメインにも鍵がありません",
            NotSigned::NoFrom => "ヘッダーに、ドメインのある From がありません",
            NotSigned::SeveralFrom => "ヘッダーに From が複数あります",
            NotSigned::LongHeader => "ヘッダーが 256 KiB を超えています",
            NotSigned::PassedOn => "受信メールの転送であり、このサーバーの利用者が書いたものではありません",
        }
    }

    fn count(self, metrics: &Metrics) {
        match self {
            NotSigned::NoKey => &metrics.dkim_unsigned_no_key,
            NotSigned::NoFrom => &metrics.dkim_unsigned_no_from,
            NotSigned::SeveralFrom => &metrics.dkim_unsigned_several_from,
            NotSigned::LongHeader => &metrics.dkim_unsigned_long_header,
            NotSigned::PassedOn => &metrics.dkim_unsigned_passed_on,
        }
        .one();
    }
}

/// Who signs a mail with this address in its header From.
pub fn signers_of(keys: &Keyring, header_from: &str) -> Result<Arc<Vec<Identity>>, NotSigned> {
    let Some((_, domain)) = header_from.rsplit_once('@') else { return Err(NotSigned::NoFrom) };
    keys.for_from(domain).ok_or(NotSigned::NoKey)
}

/// Who signs a message, by what is known of its header.
pub fn signers(keys: &Keyring, message: &Message) -> Result<Arc<Vec<Identity>>, NotSigned> {
    match message.origin {
        Origin::Forward => Err(NotSigned::PassedOn),
        Origin::Smtp | Origin::Api | Origin::Notice => signers_of(keys, &message.facts.from),
    }
}

/// Who signs, in words.
pub fn fact(signers: Result<Arc<Vec<Identity>>, NotSigned>) -> Fact {
    match signers {
        Ok(identities) => {
            let each = identities.iter().map(|i| {
                let (domain, selector, key) = (&i.domain, &i.selector, &i.key);
                format!("d={domain} s={selector} ({}, {} bits)", key.algorithm().name(), key.bits())
            });
            let each = each.collect::<Vec<_>>().join("; ");
            Fact::new("dkim", format!("signed: {each}"), format!("署名します：{each}"))
        }
        Err(why) => Fact::new(
            "dkim",
            format!("not signed: {}", why.words()),
            format!("署名しません：{}", why.words_in_japanese()),
        ),
    }
}

/// Signatures of one lead that are told.
const TOLD_MAX: usize = 8;

/// What a lead that is kept says of its signatures: the same at each try, whatever keys are in force now.
pub fn fact_of_kept(lead: &[u8]) -> Fact {
    let text = String::from_utf8_lossy(lead);
    let tag = |field: &str, name: &str| {
        let value = field.split(';').find_map(|tag| tag.trim().strip_prefix(name)?.strip_prefix('='));
        value.map(str::to_owned).unwrap_or_default()
    };
    let each = text.split("DKIM-Signature:").skip(1).take(TOLD_MAX);
    let each: Vec<String> =
        each.map(|field| format!("d={} s={} ({})", tag(field, "d"), tag(field, "s"), tag(field, "a"))).collect();
    let each = each.join("; ");
    match each.is_empty() {
        true => Fact::new(
            "dkim",
            "not signed at its first try; it stays as it was",
            "初回の送信時に署名していません。再送でも署名しません。",
        ),
        false => Fact::new(
            "dkim",
            format!("signed at its first try: {each}; it stays as it was"),
            format!("初回の送信時に署名しました：{each}。再送でも同じ署名を使います。"),
        ),
    }
}
