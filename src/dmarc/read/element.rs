//! The elements of the schemas of aggregate reports, by their names.
//!
//! In: a local name.  Out: an [`E`].
//! Always: a name is known in any case; what no schema has is [`E::Other`].
//! Sources: RFC 7489 appendix C, RFC 9990, the drafts before them.

/// The elements of the schemas; several places may share one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum E {
    Feedback,
    Version,
    Metadata,
    OrgName,
    Email,
    Contact,
    ReportId,
    DateRange,
    Begin,
    End,
    Error,
    Generator,
    Policy,
    Domain,
    Adkim,
    Aspf,
    P,
    Sp,
    Np,
    Pct,
    Fo,
    Testing,
    Discovery,
    Record,
    Row,
    SourceIp,
    Count,
    Evaluated,
    Disposition,
    Dkim,
    Spf,
    Reason,
    Type,
    Comment,
    Identifiers,
    HeaderFrom,
    EnvelopeFrom,
    EnvelopeTo,
    AuthResults,
    Selector,
    Result,
    HumanResult,
    Scope,
    /// Unknown: what is in it is unknown as well.
    Other,
}

impl E {
    /// The element of this name, in any case.
    pub(super) fn of(name: &str) -> E {
        let known = Self::exactly(name);
        if known != E::Other || !name.bytes().any(|b| b.is_ascii_uppercase()) {
            return known;
        }
        Self::exactly(&name.to_ascii_lowercase())
    }

    fn exactly(name: &str) -> E {
        match name {
            "feedback" => E::Feedback,
            "version" => E::Version,
            "report_metadata" => E::Metadata,
            "org_name" => E::OrgName,
            "email" => E::Email,
            "extra_contact_info" => E::Contact,
            "report_id" => E::ReportId,
            "date_range" => E::DateRange,
            "begin" => E::Begin,
            "end" => E::End,
            "error" => E::Error,
            "generator" => E::Generator,
            "policy_published" => E::Policy,
            "domain" => E::Domain,
            "adkim" => E::Adkim,
            "aspf" => E::Aspf,
            "p" => E::P,
            "sp" => E::Sp,
            "np" => E::Np,
            "pct" => E::Pct,
            "fo" => E::Fo,
            "testing" => E::Testing,
            "discovery_method" => E::Discovery,
            "record" => E::Record,
            "row" => E::Row,
            "source_ip" => E::SourceIp,
            "count" => E::Count,
            "policy_evaluated" => E::Evaluated,
            "disposition" => E::Disposition,
            "dkim" => E::Dkim,
            "spf" => E::Spf,
            "reason" => E::Reason,
            "type" => E::Type,
            "comment" => E::Comment,
            // Drafts wrote identities.
            "identifiers" | "identities" => E::Identifiers,
            "header_from" => E::HeaderFrom,
            "envelope_from" => E::EnvelopeFrom,
            "envelope_to" => E::EnvelopeTo,
            "auth_results" => E::AuthResults,
            "selector" => E::Selector,
            "result" => E::Result,
            "human_result" => E::HumanResult,
            "scope" => E::Scope,
            _ => E::Other,
        }
    }
}
