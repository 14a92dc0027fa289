//! What is wrong with a call: codes, fields, statuses, and the one shape in which they are told.
//!
//! In: a reason ([`Why`]) and the parameter that it is about.  Out: `{"errors":[{"code","field","message"}]}`, or the same as XML.
//! Always: a reason carries no text of a library, of the system or of the request but what the caller sent as that parameter's
//! size or place; a code never changes its meaning. `01-001` and `13-006` are the codes that clients know already; the others are
//! ours, in their form.

use std::time::Duration;

use serde::Serialize;

use crate::http::{
    api::{Format, Language, reply},
    exchange::Response,
};

/// Errors told of one call at most.
pub const ERRORS_MAX: usize = 20;

/// Why a call was not done. The words are in [`super::words`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// 500: something failed on our side; the daemon's log has it.
    System,
    /// 503: the disk is full or behind, or too much is being read at once.
    Unavailable,
    /// 404: there is no such path.
    NotFound,
    /// 405: the API is POST alone.
    MethodNotAllowed,
    /// Any status of 400 to 599: the request could not be read as HTTP.
    Unreadable {
        /// The status.
        status: u16,
    },
    /// 413: the body, or the mail that would be made of it, is too large.
    TooLarge {
        /// Octets at most.
        max: u64,
    },
    /// 415: the body is neither JSON, form-urlencoded nor multipart, or not in UTF-8.
    MediaType,
    /// 400: the body is not what its Content-Type says.
    Malformed {
        /// What it should be.
        what: Syntax,
    },
    /// 400: more parameters, values or files than a call may have.
    TooMuch {
        /// So many at most.
        max: usize,
    },
    /// 403: a browser says that a page of another site sent this.
    ForeignPage,
    /// 400: a parameter that is needed is absent or empty.
    Missing,
    /// 400: a value of another type than the parameter's.
    WrongType {
        /// The type.
        expected: Expected,
    },
    /// 400: a parameter comes twice.
    Twice,
    /// 400: longer than it may be.
    TooLong {
        /// Characters or octets at most.
        max: usize,
        /// Which of the two.
        unit: Unit,
    },
    /// 400: a number or time outside what is possible.
    OutOfRange {
        /// From here …
        min: i64,
        /// … to here.
        max: i64,
    },
    /// 400: more values than this parameter takes.
    TooMany {
        /// So many at most.
        max: usize,
    },
    /// 400: not one of the words that this parameter takes.
    NotOneOf {
        /// Those words.
        words: &'static [&'static str],
    },
    /// 400: not an address that mail can go to or come from.
    BadAddress,
    /// 400: not a day of the calendar as `yyyy-mm-dd`.
    BadDate,
    /// 400: a day or hour that is not yet.
    InFuture,
    /// 400: the first of two times is after the second.
    WrongOrder,
    /// 400: longer apart than one call may ask for.
    RangeTooLong {
        /// Days at most.
        days: u32,
    },
    /// 400: a character that cannot be there (a control character, or a line break in a header).
    BadCharacter,
    /// 400: characters that the chosen charset lacks, where that is to be an error.
    NotInCharset {
        /// The characters, as far as they fit.
        characters: String,
    },
    /// 400: a header that the server writes itself.
    HeaderNotAllowed,
    /// 400: a placeholder of the text has no value for a recipient.
    NoValue {
        /// Its key.
        key: String,
    },
    /// 400: what the parameter names does not exist.
    Unknown,
    /// 400: a search that looks at more than one call may.
    TooWide,
    /// 409: its owner complained or unsubscribed, which no exemption overrides.
    OwnersWill,
    /// 401: unknown user or wrong key.
    Credentials,
    /// 403: this user may not be used here: from this address, by this door, or any more.
    NotAllowed,
    /// 403: this user lacks the right.
    NoRight,
    /// 429: too many failed logins from this address, or too many at once.
    Throttled {
        /// When to come again.
        after: Duration,
    },
    /// 429: this user has sent as much as it may for now.
    RateLimit {
        /// When to come again.
        after: Duration,
    },
    /// 429: this user has more calls under way than it may have.
    TooManyAtOnce {
        /// So many at most.
        max: usize,
    },
    /// 400: mail with this header From may not be sent.
    FromNotAllowed,
    /// 403: this user may not send as this address.
    SenderNotAllowed,
    /// 400: the mail was here too often.
    MailLoop,
    /// 503: some mails of a bulk call were accepted, and then something failed on our side.
    Partly {
        /// So many were accepted …
        accepted: usize,
        /// … of so many.
        of: usize,
    },
    /// 400: an Idempotency-Key that is none.
    BadKey,
    /// 422: the key was used for another call.
    KeyReused,
    /// 409: a call with this key is under way.
    KeyInUse,
    /// 429: this user's keys of the last day are as many as are kept.
    KeysFull {
        /// So many at most.
        max: usize,
        /// When to come again.
        after: Duration,
    },
}

/// What a body should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Syntax {
    /// A JSON object.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data`.
    Multipart,
    /// UTF-8.
    Utf8,
}

/// Which type a parameter has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Text.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Text, or a list of texts.
    Texts,
    /// An object or array, or a text that holds one.
    Json,
    /// An address: text, `{"name","address"}`, or a list of these.
    Address,
    /// A list of `{"name","value"}`, or an object.
    Headers,
    /// A file part of a multipart body.
    File,
}

/// In what a length is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Unicode characters.
    Characters,
    /// Octets of UTF-8.
    Octets,
}

impl Why {
    /// Its code: what programs compare.
    pub fn code(&self) -> &'static str {
        match self {
            Why::System => "01-001",
            Why::Unavailable => "01-002",
            Why::NotFound => "02-001",
            Why::MethodNotAllowed => "02-002",
            Why::Unreadable { .. } => "02-003",
            Why::TooLarge { .. } => "02-004",
            Why::MediaType => "02-005",
            Why::Malformed { .. } => "02-006",
            Why::TooMuch { .. } => "02-007",
            Why::ForeignPage => "02-008",
            Why::Missing => "03-001",
            Why::WrongType { .. } => "03-002",
            Why::Twice => "03-003",
            Why::TooLong { .. } => "03-004",
            Why::OutOfRange { .. } => "03-005",
            Why::TooMany { .. } => "03-006",
            Why::NotOneOf { .. } => "03-007",
            Why::BadAddress => "03-008",
            Why::BadDate => "03-009",
            Why::InFuture => "03-010",
            Why::WrongOrder => "03-011",
            Why::RangeTooLong { .. } => "03-012",
            Why::BadCharacter => "03-013",
            Why::NotInCharset { .. } => "03-014",
            Why::HeaderNotAllowed => "03-015",
            Why::NoValue { .. } => "03-016",
            Why::Unknown => "03-017",
            Why::TooWide => "03-018",
            Why::OwnersWill => "03-019",
            Why::Credentials => "11-001",
            Why::NotAllowed => "11-002",
            Why::NoRight => "11-003",
            Why::Throttled { .. } => "11-004",
            Why::RateLimit { .. } => "11-005",
            Why::TooManyAtOnce { .. } => "11-006",
            Why::BadKey => "12-001",
            Why::KeyReused => "12-002",
            Why::KeyInUse => "12-003",
            Why::KeysFull { .. } => "12-004",
            Why::MailLoop => "13-001",
            Why::Partly { .. } => "13-002",
            Why::FromNotAllowed => "13-006",
            Why::SenderNotAllowed => "13-007",
        }
    }

    /// One of each, with some limit: what the API's description lists. A test holds it against [`Why::code`].
    pub fn each() -> Vec<Why> {
        let after = Duration::from_secs(30);
        vec![
            Why::System,
            Why::Unavailable,
            Why::NotFound,
            Why::MethodNotAllowed,
            Why::Unreadable { status: 400 },
            Why::TooLarge { max: 20 << 20 },
            Why::MediaType,
            Why::Malformed { what: Syntax::Json },
            Why::TooMuch { max: super::ask::PARAMETERS_MAX },
            Why::ForeignPage,
            Why::Missing,
            Why::WrongType { expected: Expected::Text },
            Why::Twice,
            Why::TooLong { max: 512, unit: Unit::Characters },
            Why::OutOfRange { min: 1, max: 100 },
            Why::TooMany { max: 1_000 },
            Why::NotOneOf { words: &["login", "operation"] },
            Why::BadAddress,
            Why::BadDate,
            Why::InFuture,
            Why::WrongOrder,
            Why::RangeTooLong { days: 31 },
            Why::BadCharacter,
            Why::NotInCharset { characters: "①".into() },
            Why::HeaderNotAllowed,
            Why::NoValue { key: "name".into() },
            Why::Unknown,
            Why::TooWide,
            Why::OwnersWill,
            Why::Credentials,
            Why::NotAllowed,
            Why::NoRight,
            Why::Throttled { after },
            Why::RateLimit { after },
            Why::TooManyAtOnce { max: super::caller::CALLS_MAX },
            Why::BadKey,
            Why::KeyReused,
            Why::KeyInUse,
            Why::KeysFull { max: 10_000, after },
            Why::MailLoop,
            Why::Partly { accepted: 1, of: 2 },
            Why::FromNotAllowed,
            Why::SenderNotAllowed,
        ]
    }

    /// The HTTP status of a call that failed for this.
    pub fn status(&self) -> u16 {
        match self {
            Why::System => 500,
            Why::Unavailable | Why::Partly { .. } => 503,
            Why::NotFound => 404,
            Why::MethodNotAllowed => 405,
            Why::Unreadable { status } => *status,
            Why::TooLarge { .. } => 413,
            Why::MediaType => 415,
            Why::Credentials => 401,
            Why::ForeignPage | Why::NotAllowed | Why::NoRight | Why::SenderNotAllowed => 403,
            Why::Throttled { .. } | Why::RateLimit { .. } | Why::TooManyAtOnce { .. } | Why::KeysFull { .. } => 429,
            Why::KeyReused => 422,
            Why::KeyInUse | Why::OwnersWill => 409,
            Why::Malformed { .. }
            | Why::TooMuch { .. }
            | Why::Missing
            | Why::WrongType { .. }
            | Why::Twice
            | Why::TooLong { .. }
            | Why::OutOfRange { .. }
            | Why::TooMany { .. }
            | Why::NotOneOf { .. }
            | Why::BadAddress
            | Why::BadDate
            | Why::InFuture
            | Why::WrongOrder
            | Why::RangeTooLong { .. }
            | Why::BadCharacter
            | Why::NotInCharset { .. }
            | Why::HeaderNotAllowed
            | Why::NoValue { .. }
            | Why::Unknown
            | Why::TooWide
            | Why::BadKey
            | Why::MailLoop
            | Why::FromNotAllowed => 400,
        }
    }

    /// When to come again.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Why::Throttled { after } | Why::RateLimit { after } | Why::KeysFull { after, .. } => Some(*after),
            Why::TooManyAtOnce { .. } | Why::KeyInUse => Some(Duration::from_secs(1)),
            Why::Unavailable | Why::Partly { .. } => Some(Duration::from_secs(5)),
            _ => None,
        }
    }

    /// The fault of a call that failed for this alone; it is about no parameter.
    pub fn fault(self) -> Fault {
        self.of("")
    }

    /// The same about a parameter.
    pub fn of(self, field: impl Into<String>) -> Fault {
        Fault {
            status: self.status(),
            retry_after: self.retry_after(),
            errors: vec![Problem { field: field.into(), why: self }],
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The parameter; empty: none.
    pub field: String,
    /// What is wrong.
    pub why: Why,
}

/// A call that was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The HTTP status: the first problem's.
    pub status: u16,
    /// At least one.
    pub errors: Vec<Problem>,
    /// When to come again, for statuses that say so.
    pub retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct ErrorsOut<'a> {
    errors: Vec<ErrorOut<'a>>,
}

#[derive(Serialize)]
struct ErrorOut<'a> {
    code: &'static str,
    field: &'a str,
    message: String,
}

impl Fault {
    /// The same, with what else is wrong, up to [`ERRORS_MAX`] in all.
    #[must_use]
    pub fn and(mut self, other: Fault) -> Fault {
        self.errors.extend(other.errors);
        self.errors.truncate(ERRORS_MAX);
        self
    }

    /// The answer.
    pub fn response(&self, format: Format, language: Language) -> Response {
        let mut response = Response::new(self.status, reply::content_type(format), self.body(format, language));
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response = response.with("Retry-After", seconds.max(1).to_string());
        }
        if self.status == 405 {
            response = response.with("Allow", "POST");
        }
        response
    }

    /// Its body.
    pub fn body(&self, format: Format, language: Language) -> Vec<u8> {
        let errors = self.errors.iter().map(|problem| ErrorOut {
            code: problem.why.code(),
            field: &problem.field,
            message: problem.why.message(language),
        });
        match format {
            Format::Json => {
                let out = ErrorsOut { errors: errors.collect() };
                serde_json::to_vec(&out).expect("strings can be written as JSON")
            }
            Format::Xml => {
                let mut out = String::from(reply::XML_DECLARATION);
                out.push_str("<errors>");
                for error in errors {
                    out.push_str("<error>");
                    reply::push_element(&mut out, "code", error.code);
                    reply::push_element(&mut out, "field", error.field);
                    reply::push_element(&mut out, "message", &error.message);
                    out.push_str("</error>");
                }
                out.push_str("</errors>");
                out.into_bytes()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once() {
        let text = include_str!("fault.rs");
        let codes = &text[text.find("pub fn code").expect("codes")..text.find("pub fn each").expect("the list")];
        let mut written: Vec<&str> = codes.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let mut listed: Vec<&str> = Why::each().iter().map(Why::code).collect();
        written.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, written);
        listed.dedup();
        assert_eq!(listed.len(), written.len(), "a code has one meaning");
        assert!(Why::each().iter().all(|why| (400..600).contains(&why.status())));
    }
}
