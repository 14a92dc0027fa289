//! What a caller wants sent: the parameters of `send` and `bulk`, checked.
//!
//! In: the parameters.  Out: [`Wanted`].
//! Always: as many faults as can be told at once are told at once; what the service documents as a limit is that limit here.
//! Sources: the parameter tables of the sending API, and the dialects of its clients (`reply_to`, `env_from`, headers as an object).

use serde_json::Value;

use super::address::{self, Addressed};
use crate::{
    http::api::{
        ask::Ask,
        fault::{Expected, Fault, Unit, Why},
    },
    mail::{
        letter::{self, Address, Attachment, Charset, Enclosures, Fallback, HEADERS_MAX, LetterFault},
        merge::Markup,
    },
    smtp::address::Mailbox,
};

/// Addresses in To, Cc and Bcc of `send`, each.
pub(super) const SEND_ADDRESSES_MAX: usize = 10;
/// Recipients of `bulk`.
pub(super) const BULK_ADDRESSES_MAX: usize = 1_000;

const CHARSETS: &[&str] = &["UTF-8", "ISO-2022-JP"];
const FALLBACKS: &[&str] = &["utf-8", "reject"];
const MARKUPS: &[&str] = &["escape", "raw"];

/// A call's mail.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub to: Vec<Addressed>,
    pub cc: Vec<Address>,
    pub bcc: Vec<Address>,
    pub from: Address,
    pub reply_to: Option<Address>,
    /// The envelope sender: `envfrom`, or the header From's address.
    pub sender: Mailbox,
    pub headers: Vec<(String, String)>,
    pub subject: String,
    pub text: String,
    pub html: String,
    pub enclosures: Enclosures,
    pub charset: Charset,
    pub fallback: Fallback,
    pub markup: Markup,
}

/// Gathers the faults of several parameters.
#[derive(Default)]
struct Faults(Option<Fault>);

impl Faults {
    fn note<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(fault) => {
                self.0 = Some(match self.0.take() {
                    Some(before) => before.and(fault),
                    None => fault,
                });
                None
            }
        }
    }
}

impl Wanted {
    /// Reads the parameters of `send` (`to_max` [`SEND_ADDRESSES_MAX`]) or `bulk`.
    pub fn read(ask: &Ask<'_>, is_bulk: bool) -> Result<Self, Fault> {
        let mut faults = Faults::default();
        let (to_max, copies_max) =
            if is_bulk { (BULK_ADDRESSES_MAX, 0) } else { (SEND_ADDRESSES_MAX, SEND_ADDRESSES_MAX) };
        let to = faults.note(
            address::many(ask, "to", to_max)
                .and_then(|to| if to.is_empty() { Err(Why::Missing.of("to")) } else { Ok(to) }),
        );
        let cc = faults.note(copies(ask, "cc", copies_max));
        let bcc = faults.note(copies(ask, "bcc", copies_max));
        let from =
            faults.note(address::one(ask, &["from"]).and_then(|from| from.ok_or_else(|| Why::Missing.of("from"))));
        let reply_to = faults.note(address::one(ask, &["replyto", "reply_to"]));
        let envfrom = faults.note(envelope_sender(ask));
        let headers = faults.note(headers(ask));
        let charset = faults.note(ask.word("charset", CHARSETS));
        let fallback = faults.note(ask.word("charset_fallback", FALLBACKS));
        let markup = faults.note(if is_bulk { ask.word("merge_html", MARKUPS) } else { Ok(None) });
        let subject = faults.note(ask.required("subject").and_then(|subject| {
            let max = letter::SUBJECT_CHARACTERS_MAX;
            if subject.chars().count() > max {
                return Err(Why::TooLong { max, unit: Unit::Characters }.of("subject"));
            }
            Ok(subject)
        }));
        let (text, html) = (faults.note(ask.text("text")), faults.note(ask.text("html")));
        if let (Some(None), Some(None)) = (&text, &html) {
            faults.note::<()>(Err(Why::Missing.of("text")));
        }
        let enclosures = faults.note(enclosures(ask));
        if let Some(fault) = faults.0 {
            return Err(fault);
        }
        // Without a fault each of them is there.
        let parts = (|| {
            let from = from?;
            Some(Wanted {
                to: to?,
                cc: cc?,
                bcc: bcc?,
                sender: envfrom?.unwrap_or_else(|| from.address.clone()),
                from,
                reply_to: reply_to?,
                headers: headers?,
                subject: subject?,
                text: text?.unwrap_or_default(),
                html: html?.unwrap_or_default(),
                enclosures: enclosures?,
                charset: charset?.and_then(Charset::parse).unwrap_or_default(),
                fallback: fallback?.and_then(Fallback::parse).unwrap_or_default(),
                markup: markup?.and_then(Markup::parse).unwrap_or_default(),
            })
        })();
        parts.ok_or_else(|| Why::System.fault())
    }
}

fn copies(ask: &Ask<'_>, field: &str, max: usize) -> Result<Vec<Address>, Fault> {
    Ok(address::many(ask, field, max)?.into_iter().map(|a| a.address).collect())
}

fn envelope_sender(ask: &Ask<'_>) -> Result<Option<Mailbox>, Fault> {
    for name in ["envfrom", "env_from"] {
        if let Some(text) = ask.text(name)? {
            return address::mailbox(&text, name).map(Some);
        }
    }
    Ok(None)
}

/// `[{"name":"X","value":"v"}]`, or `{"X":"v"}`.
fn headers(ask: &Ask<'_>) -> Result<Vec<(String, String)>, Fault> {
    let wrong = || Why::WrongType { expected: Expected::Headers }.of("headers");
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Null) | None => Ok(String::new()),
        Some(_) => Err(wrong()),
    };
    let pairs: Vec<(String, String)> = match ask.json_or_text("headers", Expected::Headers)? {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => {
            if list.len() > HEADERS_MAX {
                return Err(Why::TooMany { max: HEADERS_MAX }.of("headers"));
            }
            let pair = |value: &Value| match value {
                Value::Object(map) => Ok((text(map.get("name"))?, text(map.get("value"))?)),
                _ => Err(wrong()),
            };
            list.iter().map(pair).collect::<Result<_, Fault>>()?
        }
        Some(Value::Object(map)) => {
            if map.len() > HEADERS_MAX {
                return Err(Why::TooMany { max: HEADERS_MAX }.of("headers"));
            }
            map.iter().map(|(name, value)| Ok((name.clone(), text(Some(value))?))).collect::<Result<_, Fault>>()?
        }
        Some(_) => return Err(wrong()),
    };
    for (name, value) in &pairs {
        letter::check_header(name, value).map_err(|fault| of_letter(&fault))?;
    }
    Ok(pairs)
}

/// The files `attachment1` to `attachmentN`, as many as `attachments` says where it says something.
fn enclosures(ask: &Ask<'_>) -> Result<Enclosures, Fault> {
    let max = letter::ATTACHMENTS_MAX;
    let told = ask.number("attachments", 0..=i64::try_from(max).unwrap_or(i64::MAX))?;
    let told = told.and_then(|n| usize::try_from(n).ok());
    let files = ask.files();
    if files.len() > max {
        return Err(Why::TooMany { max }.of("attachments"));
    }
    let count = told.unwrap_or(files.len());
    // A file that would silently stay behind.
    let known = |field: &str| {
        field.strip_prefix("attachment").and_then(|n| n.parse().ok()).is_some_and(|n| (1..=count).contains(&n))
    };
    if let Some(file) = files.iter().find(|file| !known(&file.field)) {
        return Err(Why::Unknown.of(file.field.chars().take(64).collect::<String>()));
    }
    let mut attached = Vec::with_capacity(count);
    for n in 1..=count {
        let field = format!("attachment{n}");
        let Some(file) = files.iter().find(|file| file.field == field) else {
            let why = if ask.has(&field) { Why::WrongType { expected: Expected::File } } else { Why::Missing };
            return Err(why.of(field));
        };
        attached.push(Attachment { filename: &file.name, content_type: &file.content_type, bytes: file.bytes });
    }
    Enclosures::new(&attached).map_err(|fault| of_letter(&fault))
}

/// What the composer found, in the API's words.
pub(super) fn of_letter(fault: &LetterFault) -> Fault {
    let why = match fault.why {
        letter::Why::NotInCharset => Why::NotInCharset { characters: fault.characters.clone() },
        letter::Why::TooLong(max) => Why::TooLong { max, unit: Unit::Characters },
        letter::Why::TooMany(max) => Why::TooMany { max },
        letter::Why::LineBreak | letter::Why::Control | letter::Why::HeaderName => Why::BadCharacter,
        letter::Why::Reserved => Why::HeaderNotAllowed,
    };
    why.of(fault.field.clone())
}
