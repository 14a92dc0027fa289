//! The HTTP API that the clients of Customers Mail Cloud speak, at the same paths and in the same shapes.
//!
//! ```text
//! request ─► ask (JSON, form, multipart: one shape) ─► caller (who, with which rights) ─► emails/… or transaction/…
//!                │                                        │                                   │
//!                └────────────── fault (code, field, words in en or ja) ◄─────────────────────┤
//!                                       │                                                     ▼
//!                                       └────────────────────► JSON or XML ◄───────────── reply (rows, message)
//! ```
//!
//! In: requests under `/api/`, `/v1/` and `/transaction/`.  Out: responses; no answer carries a path, a secret or a trace.
//! Always: POST only, and never from a page of somebody else's; credentials travel in the body alone; every parameter is checked for type and size before it is used; what
//! is wrong is told with the parameter's name in one shape, [`fault::Fault`].
//! Sources: the public pages of the service's API, and what its public clients send.

pub mod ask;
pub mod caller;
pub mod emails;
pub mod fault;
pub(in crate::http) mod multipart;
pub mod openapi;
pub mod reply;
pub mod transaction;
pub mod words;

use crate::http::{
    daemon::Daemon,
    exchange::{Method, Request, Response},
};
use fault::{Fault, Why};

/// How an answer is written: the suffix of the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// `.json`, and where no suffix is given.
    #[default]
    Json,
    /// `.xml`.
    Xml,
}

impl Format {
    /// The format that a path asks for, and the path without its suffix.
    pub fn of_path(path: &str) -> (Format, &str) {
        if let Some(bare) = path.strip_suffix(".json") {
            return (Format::Json, bare);
        }
        match path.strip_suffix(".xml") {
            Some(bare) => (Format::Xml, bare),
            None => (Format::Json, path),
        }
    }
}

pub use crate::language::Language;

/// Languages of an Accept-Language that are looked at.
const LANGUAGES_MAX: usize = 16;

impl Language {
    /// The language that an Accept-Language prefers: `ja` or `en`, whichever weighs more; the first of equals.
    pub fn of_header(accept: &str) -> Language {
        let mut best = (0, Language::English);
        for part in accept.split(',').take(LANGUAGES_MAX) {
            let (tag, params) = part.split_once(';').unwrap_or((part, ""));
            let tag = tag.trim().to_ascii_lowercase();
            let language = match tag.split('-').next() {
                Some("ja") => Language::Japanese,
                Some("en" | "*") => Language::English,
                Some(_) | None => continue,
            };
            let weight = weight_of(params);
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }
}

/// The weight of `q=0.8` in thousandths (RFC 9110 §12.4.2); 0 for one that is no weight.
fn weight_of(params: &str) -> u32 {
    let Some(q) = params.split(';').find_map(|p| p.trim().strip_prefix("q=")) else { return 1000 };
    match q.trim().parse::<f32>() {
        // 0 to 1, so that the cast is exact.
        Ok(q) if (0.0..=1.0).contains(&q) => (q * 1000.0) as u32,
        Ok(_) | Err(_) => 0,
    }
}

/// True for paths that this room answers, and in whose shape the front itself refuses.
pub fn has(path: &str) -> bool {
    ["/api/", "/transaction/", "/v1/"].iter().any(|root| path.starts_with(root))
}

/// A path to which whole mails, or files of reports or addresses, are posted: in the API, on the console, by the operator.
pub fn takes_files(path: &str) -> bool {
    let bare = Format::of_path(path).1;
    mail_call(bare).is_some()
        || matches!(
            bare,
            "/transaction/v2/dmarc/import" | "/dmarc/import" | "/suppression/import" | "/control/dmarc/import"
        )
}

/// What answers a call.
type Answers = fn(&dyn Daemon, &Request, Format) -> Result<Response, Fault>;

/// The call at a path without its suffix that takes mail.
fn mail_call(bare: &str) -> Option<Answers> {
    match bare {
        "/api/v2/emails/send" | "/api/v1/emails/send" | "/v1/emails/send" => Some(emails::send),
        "/api/v2/emails/bulk" => Some(emails::bulk),
        _ => None,
    }
}

/// Answers a request under one of those paths.
pub fn route(daemon: &dyn Daemon, request: &Request) -> Response {
    let (format, path) = Format::of_path(&request.path);
    let language = Language::of_header(&request.accept_language);
    let answer = match request.method {
        // Before credentials are looked at: else any page of the web could make its visitors' addresses fail here.
        Method::Post if request.browser.is_foreign() => Err(Why::ForeignPage.fault()),
        Method::Post => dispatch(daemon, request, path, format),
        Method::Get | Method::Head | Method::Other => Err(Why::MethodNotAllowed.fault()),
    };
    answer.unwrap_or_else(|fault| fault.response(format, language))
}

fn dispatch(daemon: &dyn Daemon, request: &Request, path: &str, format: Format) -> Result<Response, Fault> {
    if let Some(action) = path.strip_prefix("/transaction/v2/") {
        return transaction::route(daemon, request, action, format);
    }
    let call = mail_call(path).ok_or_else(|| Why::NotFound.fault())?;
    call(daemon, request, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_go_where_files_are_taken_and_nowhere_else() {
        for path in [
            "/api/v2/emails/send.json",
            "/api/v1/emails/send",
            "/v1/emails/send.xml",
            "/api/v2/emails/bulk.json",
            "/transaction/v2/dmarc/import.json",
            "/dmarc/import",
            "/suppression/import",
            "/control/dmarc/import",
        ] {
            assert!(takes_files(path), "{path}");
        }
        for path in [
            "/x/emails/y",
            "/emails/send",
            "/api/v2/emails/send/x",
            "/x/dmarc/import",
            "/sign-in",
            "/api/v2/emails/other.json",
        ] {
            assert!(!takes_files(path), "{path}");
        }
    }

    #[test]
    fn the_language_is_the_one_that_weighs_most_and_english_otherwise() {
        for (accept, japanese) in [
            ("", false),
            ("ja", true),
            ("ja-JP,en;q=0.5", true),
            ("en;q=0.3, ja;q=0.9", true),
            ("en, ja", false),
            ("fr, ja;q=0.1", true),
            ("fr", false),
            ("ja;q=0", false),
            ("ja;q=x", false),
            ("JA", true),
            ("jav", false),
        ] {
            assert_eq!(Language::of_header(accept) == Language::Japanese, japanese, "{accept:?}");
        }
    }

    #[test]
    fn a_suffix_is_the_format_and_goes() {
        assert_eq!(Format::of_path("/api/v2/emails/send.json"), (Format::Json, "/api/v2/emails/send"));
        assert_eq!(Format::of_path("/api/v2/emails/send.xml"), (Format::Xml, "/api/v2/emails/send"));
        assert_eq!(Format::of_path("/v1/emails/send"), (Format::Json, "/v1/emails/send"));
    }
}
