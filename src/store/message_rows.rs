//! How the row of a message is laid out, in the three versions that exist.
//!
//! In: a [`Message`].  Out: versioned bytes, and back.
//! Always: what the writer patches stands at fixed places in front and is the same in every version; what it needs beside,
//! the submitter's key and the time since which the message waits, follows at once. Version 1 (before issue 3) lacks those
//! two and the parameters of RFC 6710, 4865, 2852 and 8689: it is read as a message that has none. Version 2 (before issue 4) lacks
//! the return path and the list.

use super::{
    codec::{Eye, Pen, RowError},
    rows::{class_of, mailbox_of},
    types::{BodyPlace, Message, Origin},
};
use crate::{
    bounce::envelope_from::ReturnPath,
    clock::Timestamp,
    ids::{MessageId, UserKey},
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        params::{BodyType, ByMode, DeliverBy, Hold, MailParams, Ret},
    },
};

/// The version of message rows that this program writes.
pub(super) const MESSAGE_VERSION: u8 = 3;
/// Octets in front of a message row that the writer patches, the version with them.
const HEAD_LEN: usize = 39;

/// What the writer needs of a message row without reading all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MessageHead {
    /// Where the body is.
    pub place: BodyPlace,
    /// Recipients that are not final.
    pub waiting: u32,
    /// Notices owed.
    pub owed: u32,
    /// Octets of the body.
    pub len: u64,
    /// The hash of its X-Api-Data, if it has one.
    pub api_hash: Option<u32>,
    /// Something came back when nobody waited any more: an event behind the one that closed it.
    pub returned: bool,
    /// Leads of it may be kept.
    pub leads: bool,
    /// Its submitter. Never patched.
    pub user: UserKey,
    /// Since when it could be delivered: its acceptance, or its release (RFC 4865). `None`: the row is damaged behind its
    /// front. Never patched.
    pub since: Option<Timestamp>,
}

/// The patched front of a row.
struct Front {
    place: BodyPlace,
    waiting: u32,
    owed: u32,
    len: u64,
    api_hash: Option<u32>,
    returned: bool,
    leads: bool,
}

/// Bits of the front's last flags.
const HAS_API: u8 = 1;
const RETURNED: u8 = 2;
const LEADS: u8 = 4;

fn read_front(row: &[u8]) -> Result<(u8, Front, Eye<'_>), RowError> {
    let (version, mut eye) = Eye::open(row, MESSAGE_VERSION)?;
    let tag = eye.byte()?;
    let segment = u64::from_le_bytes(eye.array()?);
    let offset = u64::from_le_bytes(eye.array()?);
    let place = match tag {
        0 => BodyPlace::Gone,
        1 => BodyPlace::Segment { segment, offset },
        2 => BodyPlace::File,
        _ => return Err(RowError::Nonsense),
    };
    let waiting = u32::from_le_bytes(eye.array()?);
    let owed = u32::from_le_bytes(eye.array()?);
    let len = u64::from_le_bytes(eye.array()?);
    let bits = eye.byte()?;
    if bits & !(HAS_API | RETURNED | LEADS) != 0 {
        return Err(RowError::Nonsense);
    }
    let hash = u32::from_le_bytes(eye.array()?);
    let api_hash = (bits & HAS_API != 0).then_some(hash);
    let (returned, leads) = (bits & RETURNED != 0, bits & LEADS != 0);
    Ok((version, Front { place, waiting, owed, len, api_hash, returned, leads }, eye))
}

impl MessageHead {
    /// Reads the front of a row, and what follows it.
    pub(super) fn read(row: &[u8]) -> Result<Self, RowError> {
        let (version, front, mut eye) = read_front(row)?;
        let Front { place, waiting, owed, len, api_hash, returned, leads } = front;
        let (user, since) = match version {
            1 => match read_message(MessageId::from_u64(0), row) {
                Ok(m) => (UserKey::of(&m.user), Some(m.accepted_at)),
                Err(_) => (UserKey::default(), None),
            },
            _ => (UserKey::from_u64(u64::from_le_bytes(eye.array()?)), read_since(&mut eye).ok()),
        };
        Ok(MessageHead { place, waiting, owed, len, api_hash, returned, leads, user, since })
    }

    /// Overwrites the front of a row, whatever its version.
    pub(super) fn patch(&self, row: &mut [u8]) {
        row[1..HEAD_LEN].copy_from_slice(&self.front());
    }

    fn front(&self) -> [u8; HEAD_LEN - 1] {
        let (tag, segment, offset) = match self.place {
            BodyPlace::Gone => (0, 0, 0),
            BodyPlace::Segment { segment, offset } => (1, segment, offset),
            BodyPlace::File => (2, 0, 0),
        };
        let mut out = [0u8; HEAD_LEN - 1];
        out[0] = tag;
        out[1..9].copy_from_slice(&segment.to_le_bytes());
        out[9..17].copy_from_slice(&offset.to_le_bytes());
        out[17..21].copy_from_slice(&self.waiting.to_le_bytes());
        out[21..25].copy_from_slice(&self.owed.to_le_bytes());
        out[25..33].copy_from_slice(&self.len.to_le_bytes());
        let bits = [(self.api_hash.is_some(), HAS_API), (self.returned, RETURNED), (self.leads, LEADS)];
        out[33] = bits.iter().filter(|(on, _)| *on).fold(0, |sum, (_, bit)| sum | bit);
        out[34..38].copy_from_slice(&self.api_hash.unwrap_or(0).to_le_bytes());
        out
    }
}

fn read_since(eye: &mut Eye<'_>) -> Result<Timestamp, RowError> {
    let accepted_at = eye.number()?;
    Ok(Timestamp::from_millis(accepted_at.saturating_add(eye.number()?)))
}

/// A whole message row.
pub(super) fn write_message(head: &MessageHead, m: &Message) -> Vec<u8> {
    let mut pen = Pen::new(MESSAGE_VERSION, 320);
    pen.raw(&head.front());
    pen.raw(&head.user.as_u64().to_le_bytes());
    pen.number(m.accepted_at.as_millis());
    pen.number(head.since.map_or(0, |since| since.as_millis().saturating_sub(m.accepted_at.as_millis())));
    pen.number(m.expires_at.as_millis());
    pen.number(u64::from(m.recipients));
    pen.byte(m.class as u8);
    pen.byte(match m.origin {
        Origin::Smtp => 0,
        Origin::Api => 1,
        Origin::Notice => 2,
        Origin::Forward => 3,
    });
    pen.maybe_text(m.sender.as_ref().map(Mailbox::as_str));
    write_params(&mut pen, &m.params);
    write_facts(&mut pen, &m.facts);
    pen.text(&m.user);
    pen.ip(m.source_ip);
    match &m.return_path {
        ReturnPath::AsIs => pen.byte(0),
        ReturnPath::Token { domain, epoch } => {
            pen.byte(1);
            pen.text(domain);
            pen.byte(*epoch);
        }
        ReturnPath::KeepLocal { domain } => {
            pen.byte(2);
            pen.text(domain);
        }
    }
    pen.text(&m.list);
    pen.done()
}

fn read_return_path(eye: &mut Eye<'_>) -> Result<ReturnPath, RowError> {
    Ok(match eye.byte()? {
        0 => ReturnPath::AsIs,
        1 => ReturnPath::Token { domain: eye.text()?.into(), epoch: eye.byte()? },
        2 => ReturnPath::KeepLocal { domain: eye.text()?.into() },
        _ => return Err(RowError::Nonsense),
    })
}

/// Bits of a message row's parameters.
const EIGHT_BIT: u8 = 4;
const SMTPUTF8: u8 = 8;
const REQUIRE_TLS: u8 = 16;
const HAS_PRIORITY: u8 = 32;
const HAS_BY: u8 = 64;

fn write_params(pen: &mut Pen, p: &MailParams) {
    pen.maybe_number(p.size);
    let ret = match p.ret {
        None => 0,
        Some(Ret::Full) => 1,
        Some(Ret::Headers) => 2,
    };
    let bit = |on: bool, bit: u8| if on { bit } else { 0 };
    pen.byte(
        ret | bit(p.body == BodyType::EightBitMime, EIGHT_BIT)
            | bit(p.smtputf8, SMTPUTF8)
            | bit(p.require_tls, REQUIRE_TLS)
            | bit(p.mt_priority.is_some(), HAS_PRIORITY)
            | bit(p.by.is_some(), HAS_BY),
    );
    pen.maybe_text(p.envid.as_deref());
    if let Some(priority) = p.mt_priority {
        pen.signed(i64::from(priority));
    }
    if let Some(by) = p.by {
        pen.signed(by.seconds);
        pen.byte(bit(by.mode == ByMode::Return, 1) | bit(by.trace, 2));
    }
    match p.hold {
        None => pen.byte(0),
        Some(Hold::For(seconds)) => {
            pen.byte(1);
            pen.number(u64::from(seconds));
        }
        Some(Hold::Until(seconds)) => {
            pen.byte(2);
            pen.number(seconds);
        }
    }
}

fn read_params(version: u8, eye: &mut Eye<'_>) -> Result<MailParams, RowError> {
    let size = eye.maybe_number()?;
    let bits = eye.byte()?;
    let mut params = MailParams {
        size,
        body: if bits & EIGHT_BIT != 0 { BodyType::EightBitMime } else { BodyType::SevenBit },
        smtputf8: bits & SMTPUTF8 != 0,
        ret: match bits & 3 {
            0 => None,
            1 => Some(Ret::Full),
            2 => Some(Ret::Headers),
            _ => return Err(RowError::Nonsense),
        },
        envid: eye.maybe_text()?.map(str::to_owned),
        ..MailParams::default()
    };
    if version == 1 {
        return Ok(params);
    }
    params.require_tls = bits & REQUIRE_TLS != 0;
    if bits & HAS_PRIORITY != 0 {
        params.mt_priority = Some(i8::try_from(eye.signed()?).map_err(|_| RowError::Nonsense)?);
    }
    if bits & HAS_BY != 0 {
        let seconds = eye.signed()?;
        let bits = eye.byte()?;
        let mode = if bits & 1 != 0 { ByMode::Return } else { ByMode::Notify };
        params.by = Some(DeliverBy { seconds, mode, trace: bits & 2 != 0 });
    }
    params.hold = match eye.byte()? {
        0 => None,
        1 => Some(Hold::For(eye.number_u32()?)),
        2 => Some(Hold::Until(eye.number()?)),
        _ => return Err(RowError::Nonsense),
    };
    Ok(params)
}

fn write_facts(pen: &mut Pen, f: &Facts) {
    pen.text(&f.message_id);
    pen.text(&f.from);
    pen.text(&f.subject);
    pen.text(&f.api_data);
    pen.byte(f.class.map_or(0, |c| c as u8 + 1));
    pen.number(u64::from(f.received_count));
    let bits = [f.has_date, f.has_header, f.header_is_8bit, f.tls_optional, f.one_click];
    pen.byte(bits.iter().enumerate().fold(0, |sum, (n, on)| sum | u8::from(*on) << n));
}

fn read_facts(eye: &mut Eye<'_>) -> Result<Facts, RowError> {
    let mut facts = Facts {
        message_id: eye.text()?.to_owned(),
        from: eye.text()?.to_owned(),
        subject: eye.text()?.to_owned(),
        api_data: eye.text()?.to_owned(),
        class: match eye.byte()? {
            0 => None,
            n => Some(class_of(n - 1)?),
        },
        received_count: eye.number_u32()?,
        ..Facts::default()
    };
    let bits = eye.byte()?;
    (facts.has_date, facts.has_header, facts.header_is_8bit) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
    // Version 1 never set this bit.
    facts.tls_optional = bits & 8 != 0;
    // Nor did anybody this one before issue 6, and older programs do not look at it.
    facts.one_click = bits & 16 != 0;
    Ok(facts)
}

/// Reads a message row.
pub(super) fn read_message(id: MessageId, row: &[u8]) -> Result<Message, RowError> {
    let (version, front, mut eye) = read_front(row)?;
    if version > 1 {
        eye.raw(8)?; // the submitter's key
    }
    let accepted_at = Timestamp::from_millis(eye.number()?);
    if version > 1 {
        eye.number()?; // how long it was scheduled
    }
    let expires_at = Timestamp::from_millis(eye.number()?);
    let recipients = eye.number_u32()?;
    let class = class_of(eye.byte()?)?;
    let origin = match eye.byte()? {
        0 => Origin::Smtp,
        1 => Origin::Api,
        2 => Origin::Notice,
        3 => Origin::Forward,
        _ => return Err(RowError::Nonsense),
    };
    let sender = eye.maybe_text()?.map(mailbox_of).transpose()?;
    let params = read_params(version, &mut eye)?;
    let facts = read_facts(&mut eye)?;
    let user = eye.text()?.to_owned();
    let source_ip = eye.ip()?;
    let (return_path, list) = if version > 2 {
        (read_return_path(&mut eye)?, eye.text()?.to_owned())
    } else {
        (ReturnPath::AsIs, String::new())
    };
    Ok(Message {
        id,
        accepted_at,
        expires_at,
        sender,
        params,
        recipients,
        class,
        facts,
        user,
        source_ip,
        origin,
        return_path,
        list,
        place: front.place,
        len: front.len,
    })
}

/// A row as version 2 wrote it, for the tests of what is read of it and of the migration.
#[cfg(test)]
pub(super) fn write_message_v2(head: &MessageHead, m: &Message) -> Vec<u8> {
    let mut row = write_message(head, &Message { return_path: ReturnPath::AsIs, list: String::new(), ..m.clone() });
    // The two octets that version 3 adds for nothing in either.
    row.truncate(row.len() - 2);
    row[0] = 2;
    row
}

/// A row as version 1 wrote it, for the tests of what is read of it and of the migration.
#[cfg(test)]
pub(super) fn write_message_v1(head: &MessageHead, m: &Message) -> Vec<u8> {
    let mut pen = Pen::new(1, 320);
    pen.raw(&head.front());
    pen.number(m.accepted_at.as_millis());
    pen.number(m.expires_at.as_millis());
    pen.number(u64::from(m.recipients));
    pen.byte(m.class as u8);
    pen.byte(match m.origin {
        Origin::Smtp => 0,
        Origin::Api => 1,
        Origin::Notice | Origin::Forward => 2,
    });
    pen.maybe_text(m.sender.as_ref().map(Mailbox::as_str));
    pen.maybe_number(m.params.size);
    let ret = match m.params.ret {
        None => 0,
        Some(Ret::Full) => 1,
        Some(Ret::Headers) => 2,
    };
    let eight = u8::from(m.params.body == BodyType::EightBitMime);
    pen.byte(ret | eight << 2 | u8::from(m.params.smtputf8) << 3);
    pen.maybe_text(m.params.envid.as_deref());
    write_facts(&mut pen, &Facts { tls_optional: false, one_click: false, ..m.facts.clone() });
    pen.text(&m.user);
    pen.ip(m.source_ip);
    pen.done()
}
