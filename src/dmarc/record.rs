//! DMARC records: what a domain wants done with mail in its name that is not its own, and whom to tell.
//!
//! In: the text of a TXT record.  Out: a [`Record`] with [`Remark`]s about what was passed over, or why it is none.
//! Always: a record is one whose first tag is `v=DMARC1`, written so; unknown tags and broken values are passed over, never
//! guessed; of a tag that stands twice, the first counts; texts and lists are bounded.
//! Sources: RFC 9989 §4.5 to §4.8 and §4.10.1, RFC 7489 §6.3 (pct, rf, ri: historic), RFC 6376 §3.2, RFC 3986 §2.1 and §3.

mod uri;

use std::fmt;

pub use self::uri::ReportUri;
use crate::smtp::address::Mailbox;

/// Octets of a record that are read: no real one has 2,000.
pub const RECORD_OCTETS_MAX: usize = 8 << 10;
/// Tags of a record that are read: 12 are known.
pub const TAGS_MAX: usize = 64;
/// URIs of a list that are read; receivers send to two, most of them.
pub const URIS_MAX: usize = 32;

/// What to do with mail that fails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Policy {
    /// Nothing.
    #[default]
    None,
    /// Treat it with suspicion.
    Quarantine,
    /// Refuse it.
    Reject,
}

impl Policy {
    /// The word in records.
    pub fn word(self) -> &'static str {
        match self {
            Policy::None => "none",
            Policy::Quarantine => "quarantine",
            Policy::Reject => "reject",
        }
    }

    /// Reads a value, in any case of letters.
    pub fn read(text: &str) -> Option<Self> {
        [Policy::None, Policy::Quarantine, Policy::Reject].into_iter().find(|p| text.eq_ignore_ascii_case(p.word()))
    }

    /// One level below: what `t=y` asks for.
    #[must_use]
    pub fn softened(self) -> Self {
        match self {
            Policy::Reject => Policy::Quarantine,
            Policy::Quarantine | Policy::None => Policy::None,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How close an authenticated domain must be to that of From.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Mode {
    /// Of the same organizational domain.
    #[default]
    Relaxed,
    /// The same.
    Strict,
}

impl Mode {
    /// The letter in records.
    pub fn letter(self) -> &'static str {
        match self {
            Mode::Relaxed => "r",
            Mode::Strict => "s",
        }
    }

    /// Reads a value, in any case of letters.
    pub fn read(text: &str) -> Option<Self> {
        [Mode::Relaxed, Mode::Strict].into_iter().find(|m| text.eq_ignore_ascii_case(m.letter()))
    }
}

/// What a record says about where an organization ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Psd {
    /// Below this domain, strangers register theirs.
    Yes,
    /// This is an organizational domain.
    No,
    /// The tree tells.
    #[default]
    Unknown,
}

impl Psd {
    /// The letter in records.
    pub fn letter(self) -> &'static str {
        match self {
            Psd::Yes => "y",
            Psd::No => "n",
            Psd::Unknown => "u",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Psd::Yes, Psd::No, Psd::Unknown].into_iter().find(|p| text.eq_ignore_ascii_case(p.letter()))
    }
}

/// When failure reports are wanted: what `fo` lists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FailureOptions {
    /// `1`: when any mechanism fails to align; else (`0`) when all do.
    pub any: bool,
    /// `d`: when a DKIM signature does not verify.
    pub dkim: bool,
    /// `s`: when SPF does not pass.
    pub spf: bool,
}

impl FailureOptions {
    /// Reads a value such as `1:d:s`.
    pub fn read(text: &str) -> Option<Self> {
        let mut options = FailureOptions::default();
        let mut seen = String::new();
        for part in text.split(':') {
            let part = part.trim_matches(is_blank);
            let letter = part.chars().next().filter(|_| part.len() == 1)?.to_ascii_lowercase();
            // Each once, and one of 0 and 1 at most.
            if seen.contains(letter) || (matches!(letter, '0' | '1') && seen.contains(['0', '1'])) {
                return None;
            }
            seen.push(letter);
            match letter {
                '0' => {}
                '1' => options.any = true,
                'd' => options.dkim = true,
                's' => options.spf = true,
                _ => return None,
            }
        }
        Some(options)
    }
}

impl fmt::Display for FailureOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.any { "1" } else { "0" })?;
        f.write_str(if self.dkim { ":d" } else { "" })?;
        f.write_str(if self.spf { ":s" } else { "" })
    }
}

/// What becomes of a record whose policies cannot be read (RFC 9989 §4.10.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Standing {
    /// It counts as written.
    #[default]
    AsWritten,
    /// `p` is missing, or one of `p`, `sp`, `np` is broken, but reports are asked for: it counts as `p=none`.
    AsNone,
    /// Likewise, without a place for reports: DMARC does not apply.
    Void,
}

/// A DMARC record.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Record {
    /// For the domain itself; `None`: missing or broken.
    pub p: Option<Policy>,
    /// For subdomains that exist.
    pub sp: Option<Policy>,
    /// For subdomains that do not.
    pub np: Option<Policy>,
    /// How close the domain of a DKIM signature must be.
    pub adkim: Mode,
    /// How close the domain of SPF must be.
    pub aspf: Mode,
    /// `t=y`: the policies are tested, one level below is wanted.
    pub testing: bool,
    /// Whether strangers register below.
    pub psd: Psd,
    /// Where aggregate reports go.
    pub rua: Vec<ReportUri>,
    /// Where failure reports go.
    pub ruf: Vec<ReportUri>,
    /// When failure reports are wanted.
    pub fo: FailureOptions,
    /// `pct` of RFC 7489: it has no effect any more.
    pub pct: Option<u8>,
    /// `rf` of RFC 7489: it has no effect any more.
    pub rf: Option<String>,
    /// `ri` of RFC 7489 in seconds: it has no effect any more.
    pub ri: Option<u32>,
    /// Tags that nobody knows, as written.
    pub unknown: Vec<(String, String)>,
    /// Whether its policies count.
    pub standing: Standing,
}

/// Why a text is no DMARC record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordFault {
    /// Its first tag is not `v=DMARC1`.
    #[error("it does not begin with v=DMARC1")]
    NotDmarc,
    /// It is longer than any record.
    #[error("it is over {RECORD_OCTETS_MAX} octets long")]
    TooLong,
}

/// Something in a record that receivers pass over, or that people should know.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Remark {
    /// The tag, as written; empty: no tag was found there.
    pub tag: String,
    /// Its value, or the part of it.
    pub value: String,
    /// What about it.
    pub what: RemarkKind,
}

/// What there is to remark.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RemarkKind {
    /// A tag of RFC 7489 that RFC 9989 took out.
    Historic,
    /// A tag that nobody knows.
    Unknown,
    /// A value that its tag cannot have.
    BadValue,
    /// A part without `=`.
    NoTag,
    /// It stands there twice: the first counts.
    Twice,
    /// Written in capitals: some receivers pass it over.
    Capitals,
    /// `p` is missing.
    NoPolicy,
    /// The size of a URI: it has no effect any more.
    Size,
    /// A URI that is no `mailto:`: nobody sends there.
    NotMail,
    /// `fo` without `ruf`.
    FoWithoutRuf,
    /// More tags or URIs than are read.
    TooMany,
    /// `pct` or `t` softens what the policy says.
    Softened,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Remark { tag, value, what } = self;
        match what {
            RemarkKind::Historic => {
                write!(f, "{tag}={value}: RFC 9989 has no tag \"{tag}\" any more, receivers pass it over")
            }
            RemarkKind::Unknown => write!(f, "{tag}={value}: an unknown tag, receivers pass it over"),
            RemarkKind::BadValue => {
                write!(f, "{tag}: \"{value}\" is no value that it can have, receivers pass it over")
            }
            RemarkKind::NoTag => write!(f, "\"{value}\" is no tag=value, receivers pass it over"),
            RemarkKind::Twice => write!(f, "{tag}={value}: the tag stands there twice, the first counts"),
            RemarkKind::Capitals => {
                write!(f, "{tag}: tags are written in small letters, some receivers pass this over")
            }
            RemarkKind::NoPolicy => {
                f.write_str("there is no p: the record counts as p=none if it has a rua, else not at all")
            }
            RemarkKind::Size => write!(f, "{tag}: the size behind {value} has no effect any more"),
            RemarkKind::NotMail => write!(f, "{tag}: {value} is no mailto:, receivers need not send there"),
            RemarkKind::FoWithoutRuf => f.write_str("fo has no effect without ruf"),
            RemarkKind::TooMany => write!(f, "{tag}: the rest is not read, there is too much"),
            RemarkKind::Softened => write!(f, "{tag}={value}: the policies are not applied as written"),
        }
    }
}

/// The text is meant as a DMARC record: its first tag is `v=DMARC1`.
pub fn is_record(text: &str) -> bool {
    body_of(text).is_some()
}

/// What stands behind `v=DMARC1` and its semicolon.
fn body_of(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(is_blank).strip_prefix(['v', 'V'])?;
    let rest = rest.trim_start_matches(is_blank).strip_prefix('=')?;
    let rest = rest.trim_start_matches(is_blank).strip_prefix("DMARC1")?.trim_start_matches(is_blank);
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(';') }
}

/// Blanks that may stand around tags; line ends are found in records that were pasted.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<(Record, Vec<Remark>), RecordFault> {
        let body = body_of(text).ok_or(RecordFault::NotDmarc)?;
        if text.len() > RECORD_OCTETS_MAX {
            return Err(RecordFault::TooLong);
        }
        let mut reading = Reading::default();
        for (n, part) in body.split(';').map(|part| part.trim_matches(is_blank)).enumerate() {
            if n >= TAGS_MAX {
                reading.remark("", "", RemarkKind::TooMany);
                break;
            }
            reading.part(part);
        }
        Ok(reading.finish())
    }

    /// What is wanted of mail from this domain (`Own`), from a subdomain that exists, or from one that does not; `None`:
    /// DMARC does not apply. `t` is left aside: [`Record::testing`].
    pub fn policy(&self, of: Relation) -> Option<Policy> {
        match self.standing {
            Standing::Void => return None,
            Standing::AsNone => return Some(Policy::None),
            Standing::AsWritten => {}
        }
        let (sp, np) = (self.sp.or(self.p), self.np.or(self.sp).or(self.p));
        match of {
            Relation::Own => self.p,
            Relation::Subdomain => sp,
            Relation::AbsentSubdomain => np,
        }
    }

    /// The tag that [`Record::policy`] took its answer from.
    pub fn policy_tag(&self, of: Relation) -> &'static str {
        match of {
            Relation::AbsentSubdomain if self.np.is_some() => "np",
            Relation::AbsentSubdomain | Relation::Subdomain if self.sp.is_some() => "sp",
            Relation::AbsentSubdomain | Relation::Subdomain | Relation::Own => "p",
        }
    }

    /// Aggregate reports go to this address (R2), in any case of letters.
    pub fn reports_to(&self, address: &Mailbox) -> bool {
        self.rua
            .iter()
            .filter_map(ReportUri::address)
            .any(|known| known.as_str().eq_ignore_ascii_case(address.as_str()))
    }
}

/// Whose mail a record is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Relation {
    /// That of the record's own domain.
    Own,
    /// That of a subdomain that exists.
    Subdomain,
    /// That of a subdomain that does not.
    AbsentSubdomain,
}

/// The record as RFC 9989 writes it: defaults, historic and unknown tags are left out.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("v=DMARC1")?;
        for (tag, policy) in [("p", self.p), ("sp", self.sp), ("np", self.np)] {
            if let Some(policy) = policy {
                write!(f, "; {tag}={policy}")?;
            }
        }
        for (tag, mode) in [("adkim", self.adkim), ("aspf", self.aspf)] {
            if mode == Mode::Strict {
                write!(f, "; {tag}={}", mode.letter())?;
            }
        }
        if self.testing {
            f.write_str("; t=y")?;
        }
        if self.psd != Psd::Unknown {
            write!(f, "; psd={}", self.psd.letter())?;
        }
        for (tag, uris) in [("rua", &self.rua), ("ruf", &self.ruf)] {
            for (n, uri) in uris.iter().enumerate() {
                if n == 0 { write!(f, "; {tag}={uri}")? } else { write!(f, ",{uri}")? }
            }
        }
        if !self.ruf.is_empty() && self.fo != FailureOptions::default() {
            write!(f, "; fo={}", self.fo)?;
        }
        Ok(())
    }
}

/// A record that is being read.
#[derive(Default)]
struct Reading {
    record: Record,
    remarks: Vec<Remark>,
    seen: Vec<String>,
    policy_is_broken: bool,
}

impl Reading {
    fn remark(&mut self, tag: &str, value: &str, what: RemarkKind) {
        self.remarks.push(Remark { tag: tag.to_owned(), value: value.to_owned(), what });
    }

    fn part(&mut self, part: &str) {
        if part.is_empty() {
            return;
        }
        let Some((tag, value)) = part.split_once('=') else {
            return self.remark("", part, RemarkKind::NoTag);
        };
        let (written, value) = (tag.trim_matches(is_blank), value.trim_matches(is_blank));
        let tag = written.to_ascii_lowercase();
        if self.seen.contains(&tag) {
            return self.remark(written, value, RemarkKind::Twice);
        }
        if written != tag {
            self.remark(written, value, RemarkKind::Capitals);
        }
        self.seen.push(tag.clone());
        if !self.take(&tag, value) {
            self.policy_is_broken |= matches!(tag.as_str(), "p" | "sp" | "np");
            self.remark(written, value, RemarkKind::BadValue);
        }
    }

    /// False: the value is broken.
    fn take(&mut self, tag: &str, value: &str) -> bool {
        fn set<T>(place: &mut T, value: Option<T>) -> bool {
            value.map(|value| *place = value).is_some()
        }
        let record = &mut self.record;
        match tag {
            "p" => set(&mut record.p, Policy::read(value).map(Some)),
            "sp" => set(&mut record.sp, Policy::read(value).map(Some)),
            "np" => set(&mut record.np, Policy::read(value).map(Some)),
            "adkim" => set(&mut record.adkim, Mode::read(value)),
            "aspf" => set(&mut record.aspf, Mode::read(value)),
            "psd" => set(&mut record.psd, Psd::read(value)),
            "fo" => set(&mut record.fo, FailureOptions::read(value)),
            "t" => {
                let testing = ["n", "y"].iter().position(|t| value.eq_ignore_ascii_case(t)).map(|at| at == 1);
                set(&mut record.testing, testing)
            }
            "rua" | "ruf" => {
                let uris = self.uris(tag, value);
                let is_empty = uris.is_empty();
                *if tag == "rua" { &mut self.record.rua } else { &mut self.record.ruf } = uris;
                !is_empty
            }
            "pct" | "rf" | "ri" => {
                match tag {
                    "pct" => record.pct = value.parse().ok().filter(|percent| *percent <= 100),
                    "rf" => record.rf = Some(value.to_owned()),
                    _ => record.ri = value.parse().ok(),
                }
                self.remark(tag, value, RemarkKind::Historic);
                true
            }
            _ => {
                record.unknown.push((tag.to_owned(), value.to_owned()));
                self.remark(tag, value, RemarkKind::Unknown);
                true
            }
        }
    }

    fn uris(&mut self, tag: &str, value: &str) -> Vec<ReportUri> {
        let mut uris = Vec::new();
        for part in value.split(',') {
            if uris.len() >= URIS_MAX {
                self.remark(tag, "", RemarkKind::TooMany);
                break;
            }
            let Some(uri) = ReportUri::read(part) else {
                self.remark(tag, part.trim_matches(is_blank), RemarkKind::BadValue);
                continue;
            };
            if uri.octets_max.is_some() {
                self.remark(tag, &uri.uri, RemarkKind::Size);
            }
            if uri.address().is_none() {
                self.remark(tag, &uri.uri, RemarkKind::NotMail);
            }
            uris.push(uri);
        }
        uris
    }

    fn finish(mut self) -> (Record, Vec<Remark>) {
        let has_p = self.record.p.is_some();
        if !has_p && !self.seen.iter().any(|tag| tag == "p") {
            self.remark("p", "", RemarkKind::NoPolicy);
        }
        self.record.standing = match (has_p && !self.policy_is_broken, self.record.rua.is_empty()) {
            (true, _) => Standing::AsWritten,
            (false, false) => Standing::AsNone,
            (false, true) => Standing::Void,
        };
        if self.record.ruf.is_empty() && self.seen.iter().any(|tag| tag == "fo") {
            self.remark("fo", "", RemarkKind::FoWithoutRuf);
        }
        if self.record.testing {
            self.remark("t", "y", RemarkKind::Softened);
        }
        (self.record, self.remarks)
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
