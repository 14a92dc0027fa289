//! What reports say, once they are read: aggregate reports by rows, failure reports by messages.
//!
//! In: nothing; [`super::read`] makes them.  Out: types that can be kept (serde) and shown.
//! Always: texts are one line of at most [`TEXT_MAX`] octets, lists have named bounds, times are seconds in UTC; everything
//! here is the reporter's word, and unknown words of its enumerations read as `Unknown`.
//! Sources: RFC 7489 appendix C, RFC 9990, RFC 9991, RFC 6591, RFC 5965, RFC 8601 §2.7.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

/// Octets of a text that are kept: the longest domain name, and enough words for a reason.
pub const TEXT_MAX: usize = 255;
/// Rows of one [`Aggregate`]: a report that has more comes in several, one after another.
pub const PIECE_ROWS_MAX: usize = 10_000;
/// Octets that the rows of one [`Aggregate`] take in memory, about.
pub const PIECE_OCTETS_MAX: usize = 8 << 20;
/// DKIM results of a row; mail has one to three signatures, and the schema sets no bound.
pub const DKIM_RESULTS_MAX: usize = 50;
/// SPF results of a row; the schemas know two scopes.
pub const SPF_RESULTS_MAX: usize = 10;
/// Reasons of a row why another policy was applied.
pub const REASONS_MAX: usize = 10;
/// Errors that a report tells of itself.
pub const ERRORS_MAX: usize = 20;
/// Values of a field of a failure report that may be there several times.
pub const VALUES_MAX: usize = 20;

/// What [`super::read::read`] finds, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, handed over and gone")]
pub enum Found {
    /// An aggregate report, or a piece of one: see [`Aggregate::is_last`].
    Aggregate(Aggregate),
    /// A failure report.
    Failure(Box<Failure>),
    /// A TLS report (RFC 8460): its JSON, inflated, not read.
    Tls(Vec<u8>),
}

/// How much was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// Aggregate reports.
    pub aggregates: u64,
    /// Their rows.
    pub rows: u64,
    /// Failure reports.
    pub failures: u64,
    /// TLS reports.
    pub tls: u64,
    /// What looked like a report beside these and was refused, the first of it.
    pub refused: Option<NoReport>,
}

impl Count {
    /// Reports of all kinds.
    pub fn reports(&self) -> u64 {
        self.aggregates + self.failures + self.tls
    }
}

/// Why there is no report, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct NoReport {
    /// What is wrong.
    pub fault: Fault,
    /// The file in which it is: the name of an attachment or of an entry of an archive; empty: none is named.
    pub file: String,
    /// The element in which it is, from the root: `feedback/record/row`; empty: none.
    pub element: String,
    /// At which octet of the inflated text it is, where that is known.
    pub octet: Option<u64>,
}

/// What can be wrong with a report.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// No report in sight.
    #[error("nothing in it looks like a DMARC or TLS report")]
    Nothing,
    /// A limit was passed.
    #[error("{0} (the limit is {1})")]
    TooLarge(&'static str, u64),
    /// Something that a report has no use for and that harms readers.
    #[error("{0}")]
    Forbidden(&'static str),
    /// No XML, no gzip, no ZIP, or one that ends too early.
    #[error("{0}")]
    Broken(String),
    /// Something without which it says nothing.
    #[error("the report has no usable {0}")]
    Missing(&'static str),
}

impl Fault {
    /// A word for logs and counters.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::Nothing => "nothing",
            Fault::TooLarge(..) => "too_large",
            Fault::Forbidden(_) => "forbidden",
            Fault::Broken(_) => "broken",
            Fault::Missing(_) => "missing",
        }
    }
}

impl fmt::Display for NoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault)?;
        if !self.element.is_empty() {
            write!(f, ", in <{}>", self.element)?;
        }
        if let Some(octet) = self.octet {
            write!(f, ", at octet {octet}")?;
        }
        if !self.file.is_empty() {
            write!(f, ", of {:?}", self.file)?;
        }
        Ok(())
    }
}

impl From<Fault> for NoReport {
    fn from(fault: Fault) -> Self {
        NoReport { fault, file: String::new(), element: String::new(), octet: None }
    }
}

/// An aggregate report, or a piece of one that has more than [`PIECE_ROWS_MAX`] rows.
///
/// A report was read to its end before its first piece is handed over: no piece comes of one that is refused.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Aggregate {
    /// All but the rows; the same in every piece.
    pub head: Head,
    /// How many rows of the report came before these.
    pub first_row: u64,
    /// No other piece of this report follows.
    pub is_last: bool,
    /// The rows, in the order of the file.
    pub rows: Vec<Row>,
}

/// What an aggregate report says of itself, and what its rows add up to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    /// The schema's version as the report names it (`1.0`, `2.0`); `draft`: it names none.
    pub schema: String,
    /// It follows RFC 9990: by its namespace, or by an element that only that one has.
    pub is_rfc9990: bool,
    /// Who reports, as written; where that is empty, the domain of the address.
    pub organization: String,
    /// Where to ask.
    pub email: String,
    /// More ways to ask.
    pub contact: String,
    /// The report's id, as written.
    pub report_id: String,
    /// Begin of its period, seconds since 1970-01-01T00:00:00Z.
    pub begin_seconds: u64,
    /// End of its period.
    pub end_seconds: u64,
    /// The program that made it.
    pub generator: String,
    /// What went wrong at the reporter's.
    pub errors: Vec<String>,
    /// The policy that it found.
    pub policy: PolicyPublished,
    /// What its rows add up to, those of all pieces.
    pub totals: Totals,
    /// What had to be forgiven to read it, each once.
    pub oddities: Vec<Oddity>,
}

impl Head {
    /// The organization by which reports are told apart: a domain in lower case, a name as it is written.
    pub fn organization_key(&self) -> String {
        let is_domain = self.organization.contains('.') && !self.organization.contains(' ');
        if is_domain { self.organization.to_ascii_lowercase() } else { self.organization.clone() }
    }
}

/// What the rows of a report add up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Rows.
    pub rows: u64,
    /// Messages.
    pub messages: u64,
    /// Messages with DKIM or SPF in alignment.
    pub passed: u64,
    /// Records without a usable source address or count, which are no rows.
    pub unusable: u64,
}

/// Something that the schemas do not allow and that was forgiven.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// Octets before the first element that are no XML.
    Garbage,
    /// The file ends behind a complete record, without its last end tag.
    EndMissing,
    /// An end tag with another name than its element.
    EndTag,
    /// Octets that are no text in the charset that the report names.
    Charset,
    /// No `<version>`; drafts of DMARC had none, and some reporters still write none.
    VersionMissing,
    /// No `<org_name>`: the domain of `<email>` stands for it.
    OrganizationMissing,
    /// Several `<policy_published>`: the first one counts.
    SeveralPolicies,
    /// No usable `<p>`.
    PolicyMissing,
    /// A time that is not in whole seconds.
    Time,
    /// The period ends before it begins.
    PeriodReversed,
    /// Records that are no rows: see [`Totals::unusable`].
    UnusableRecords,
    /// Texts or lists that were cut at a bound.
    Cut,
}

/// The policy that a reporter found in the DNS.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyPublished {
    /// The domain of the record, in lower case.
    pub domain: String,
    /// How DKIM is to be aligned.
    pub adkim: Alignment,
    /// How SPF is to be aligned.
    pub aspf: Alignment,
    /// For the domain.
    pub p: Disposition,
    /// For its subdomains; `None`: not said.
    pub sp: Option<Disposition>,
    /// For its subdomains that do not exist (RFC 9990).
    pub np: Option<Disposition>,
    /// For how many of a hundred (RFC 7489).
    pub pct: Option<u8>,
    /// When failure reports are wanted.
    pub fo: String,
    /// `t=y` (RFC 9990).
    pub testing: Option<bool>,
    /// How the record was found (RFC 9990).
    pub discovery: Option<Discovery>,
}

impl PolicyPublished {
    /// What applies to subdomains.
    pub fn for_subdomains(&self) -> Disposition {
        self.sp.unwrap_or(self.p)
    }
}

/// One record of an aggregate report: messages that are alike in everything below.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Where they came from; IPv4 addresses that are written as IPv6 are IPv4.
    pub source_ip: IpAddr,
    /// How many.
    pub count: u64,
    /// What was done with them.
    #[serde(default)]
    pub disposition: Disposition,
    /// DKIM passed in alignment.
    #[serde(default)]
    pub dkim_aligned: bool,
    /// SPF passed in alignment.
    #[serde(default)]
    pub spf_aligned: bool,
    /// Why it is not the published policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The domain of From, in lower case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub header_from: String,
    /// The domain of MAIL FROM, in lower case; where the report leaves it out, the domain that SPF was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub envelope_from: String,
    /// The recipients' domain, in lower case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub envelope_to: String,
    /// Signatures, whether aligned or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dkim: Vec<DkimResult>,
    /// SPF, whether aligned or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spf: Vec<SpfResult>,
}

impl Row {
    /// DMARC passed.
    pub fn passed(&self) -> bool {
        self.dkim_aligned || self.spf_aligned
    }
}

/// Why a receiver did not do what the policy asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reason {
    /// Of which kind it is.
    pub kind: ReasonKind,
    /// In words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// One signature.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DkimResult {
    /// `d=`, in lower case.
    pub domain: String,
    /// `s=`; empty: not said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// What became of it.
    pub result: AuthResult,
    /// In words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub human_result: String,
}

/// One check of SPF.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SpfResult {
    /// The domain whose record was asked for, in lower case.
    pub domain: String,
    /// Where that domain stood.
    pub scope: Scope,
    /// What came out.
    pub result: AuthResult,
    /// In words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub human_result: String,
}

/// One message that failed (RFC 9991), or several alike.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// `auth-failure`; also where the report does not say it.
    pub feedback_type: String,
    /// What failed: `dmarc`, `dkim`, `spf`, `adsp`, `bodyhash`, `revoked`, `signature`.
    pub auth_failure: Vec<String>,
    /// What was aligned: `dkim`, `spf`; empty: nothing, or not said.
    pub identity_alignment: Vec<String>,
    /// The domain that the report is about, in lower case.
    pub reported_domain: String,
    /// Where the message came from.
    pub source_ip: Option<IpAddr>,
    /// When it came, seconds since 1970-01-01T00:00:00Z; `None`: not said, or not as a date.
    pub arrived_seconds: Option<u64>,
    /// When it came, in the report's words.
    pub arrival_date: String,
    /// Who reports: the domain of From of the report's mail, in lower case.
    pub reporter: String,
    /// The program that made the report.
    pub user_agent: String,
    /// How many messages; 1 where it is not said.
    pub incidents: u64,
    /// What became of the message: `delivered`, `spam`, `policy`, `reject`, `other`; empty: not said.
    pub delivery_result: String,
    /// Results in the words of RFC 8601.
    pub authentication_results: String,
    /// MAIL FROM.
    pub mail_from: String,
    /// RCPT TO.
    pub rcpt_to: Vec<String>,
    /// ENVID.
    pub envelope_id: String,
    /// `d=` of the signature that failed.
    pub dkim_domain: String,
    /// `s=` of it.
    pub dkim_selector: String,
    /// `i=` of it.
    pub dkim_identity: String,
    /// The SPF record that was found.
    pub spf_dns: String,
    /// From of the message.
    pub message_from: String,
    /// To of the message.
    pub message_to: String,
    /// Subject of the message.
    pub message_subject: String,
    /// Message-ID of the message.
    pub message_id: String,
    /// Date of the message.
    pub message_date: String,
    /// It came as text for people, without the machine's part.
    pub is_text_only: bool,
}

/// An enumeration of the schemas: its words, and the word for what is none of them.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal $(| $also:literal)*,)* } else $unknown:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $word)] $variant,)*
            /// A word that no schema has, or none.
            #[default]
            #[serde(rename = "unknown", other)]
            $unknown,
        }

        impl $name {
            /// The word of the schema.
            pub fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                    $name::$unknown => "unknown",
                }
            }

            /// Reads a word, in any case, with blanks around it.
            pub fn of(text: &str) -> Self {
                let text = text.trim();
                $(if text.eq_ignore_ascii_case($word) $(|| text.eq_ignore_ascii_case($also))* {
                    return $name::$variant;
                })*
                $name::$unknown
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// What a policy asks for, or what was done.
    Disposition {
        /// Nothing.
        None = "none",
        /// DMARC passed, under a policy that would have acted (RFC 9990; rows only).
        Pass = "pass",
        /// To the spam folder.
        Quarantine = "quarantine" | "quarentine",
        /// Refused.
        Reject = "reject",
    } else Unknown
}

words! {
    /// How near two domains have to be.
    Alignment {
        /// The same organizational domain.
        Relaxed = "r" | "relaxed",
        /// The same domain.
        Strict = "s" | "strict",
    } else Unknown
}

words! {
    /// How a policy was found.
    Discovery {
        /// By a list of public suffixes.
        Psl = "psl",
        /// By asking for the parents (RFC 9989).
        TreeWalk = "treewalk" | "tree_walk",
    } else Unknown
}

words! {
    /// The domain of which address SPF was asked for.
    Scope {
        /// HELO.
        Helo = "helo",
        /// MAIL FROM.
        MailFrom = "mfrom" | "mailfrom",
    } else Unknown
}

words! {
    /// What came out of a check.
    AuthResult {
        /// No signature, no record.
        None = "none",
        /// Passed.
        Pass = "pass",
        /// Failed.
        Fail = "fail" | "hardfail" | "hard_fail",
        /// Not ruled out (SPF).
        SoftFail = "softfail" | "soft_fail",
        /// Nothing was said.
        Neutral = "neutral",
        /// Not accepted by the receiver's rules (DKIM).
        Policy = "policy",
        /// Not decided for now. Drafts wrote `unknown`.
        TempError = "temperror" | "temp_error" | "unknown",
        /// Not decidable. Drafts wrote `error`.
        PermError = "permerror" | "perm_error" | "error" | "invalid",
    } else Unknown
}

words! {
    /// Why another policy was applied.
    ReasonKind {
        /// It came by a forwarder (RFC 7489).
        Forwarded = "forwarded",
        /// Left out by pct (RFC 7489).
        SampledOut = "sampled_out",
        /// It came by a forwarder that the receiver knows.
        TrustedForwarder = "trusted_forwarder",
        /// It came by a mailing list.
        MailingList = "mailing_list",
        /// The receiver's own rules.
        LocalPolicy = "local_policy",
        /// The policy is on trial (RFC 9990).
        PolicyTestMode = "policy_test_mode",
        /// Something else.
        Other = "other",
    } else Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case_and_come_back_from_json() {
        for (text, expected) in [
            ("Pass", AuthResult::Pass),
            (" HARDFAIL ", AuthResult::Fail),
            ("TempError", AuthResult::TempError),
            ("unknown", AuthResult::TempError),
            ("", AuthResult::Unknown),
            ("yes", AuthResult::Unknown),
        ] {
            assert_eq!(AuthResult::of(text), expected, "{text}");
        }
        assert_eq!(Alignment::of("S"), Alignment::Strict);
        let row = Row {
            source_ip: IpAddr::from([192, 0, 2, 1]),
            count: 7,
            disposition: Disposition::Quarantine,
            dkim_aligned: false,
            spf_aligned: true,
            reasons: vec![Reason { kind: ReasonKind::PolicyTestMode, comment: "t=y".into() }],
            header_from: "example.org".into(),
            envelope_from: String::new(),
            envelope_to: String::new(),
            dkim: Vec::new(),
            spf: vec![SpfResult { domain: "example.org".into(), scope: Scope::Helo, ..SpfResult::default() }],
        };
        let json = serde_json::to_string(&row).expect("JSON");
        assert!(
            json.contains(r#""disposition":"quarantine""#) && json.contains(r#""kind":"policy_test_mode""#),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Row>(&json).expect("a row"), row);
        assert_eq!(serde_json::from_str::<Disposition>("\"nonsense\"").expect("a word"), Disposition::Unknown);
    }

    #[test]
    fn a_refusal_says_what_and_where() {
        let no = NoReport {
            fault: Fault::Missing("count"),
            file: "r.xml".into(),
            element: "feedback/record/row".into(),
            octet: Some(17),
        };
        assert_eq!(
            no.to_string(),
            "the report has no usable count, in <feedback/record/row>, at octet 17, of \"r.xml\""
        );
        let large = NoReport::from(Fault::TooLarge("the inflated text is too long", 10));
        assert_eq!(large.to_string(), "the inflated text is too long (the limit is 10)");
    }
}
