//! The report itself: what is written for others, and what is understood of theirs.
//!
//! In: a day's results, or the octets of a report.  Out: a report's JSON, or [`Report`].
//! Always: reading is tolerant (unknown fields are passed over, numbers may be strings, one thing may stand where a list
//! belongs, fields may be missing) and bounded (texts are cut, lists end, nesting too); a report without an organization, an
//! id or a period is none.
//! Sources: RFC 8460 §4.2 to §4.5, RFC 3339, RFC 8259.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    clock::Timestamp,
    deliver::tls_results::{DayResults, FailureResult, PolicyResult},
};

/// Octets of a report's JSON at most; real ones have some kilobytes.
pub const JSON_OCTETS_MAX: usize = 16 << 20;
/// Policies of a report that are kept: a domain has few, but reports may be about many domains of ours.
pub const POLICIES_MAX: usize = 200;
/// Failures of a policy that are kept.
pub const FAILURES_MAX: usize = 200;
/// Lines of a policy, and MX patterns, that are kept (a domain may have that many MX hosts).
pub const LINES_MAX: usize = 50;
/// Octets of a text that are kept: the longest domain name, and enough words for a reason.
pub const TEXT_MAX: usize = 255;

/// One report (RFC 8460 §4.4). The names are those of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Report {
    /// Who reports.
    #[serde(deserialize_with = "text")]
    pub organization_name: String,
    /// The period.
    #[serde(deserialize_with = "structure")]
    pub date_range: DateRange,
    /// Whom to ask about the report.
    #[serde(deserialize_with = "text")]
    pub contact_info: String,
    /// Its name, unique for the organization.
    #[serde(deserialize_with = "text")]
    pub report_id: String,
    /// What was found, policy by policy.
    #[serde(deserialize_with = "policies")]
    pub policies: Vec<Policy>,
}

/// The period of a report.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct DateRange {
    /// From this moment, RFC 3339 …
    #[serde(deserialize_with = "text")]
    pub start_datetime: String,
    /// … to this one.
    #[serde(deserialize_with = "text")]
    pub end_datetime: String,
}

/// One policy and how it went under it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Policy {
    /// The policy.
    #[serde(deserialize_with = "structure")]
    pub policy: PolicyAsFound,
    /// The counts.
    #[serde(deserialize_with = "structure")]
    pub summary: Summary,
    /// The failures, alike ones together.
    #[serde(deserialize_with = "failures", skip_serializing_if = "Vec::is_empty")]
    pub failure_details: Vec<Failure>,
}

/// The policy that the sender found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct PolicyAsFound {
    /// `tlsa`, `sts` or `no-policy-found`.
    #[serde(deserialize_with = "text")]
    pub policy_type: String,
    /// Its lines, or TLSA records.
    #[serde(deserialize_with = "lines", skip_serializing_if = "Vec::is_empty")]
    pub policy_string: Vec<String>,
    /// The domain that it is about.
    #[serde(deserialize_with = "text")]
    pub policy_domain: String,
    /// The hosts that it names.
    #[serde(deserialize_with = "lines", skip_serializing_if = "Vec::is_empty")]
    pub mx_host: Vec<String>,
}

/// The counts of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Summary {
    /// Sessions under TLS that met the policy.
    #[serde(deserialize_with = "count")]
    pub total_successful_session_count: u64,
    /// Sessions that did not.
    #[serde(deserialize_with = "count")]
    pub total_failure_session_count: u64,
}

/// Failures of one kind at one place.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Failure {
    /// What went wrong (RFC 8460 §4.3).
    #[serde(deserialize_with = "text")]
    pub result_type: String,
    /// The sender's address.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub sending_mta_ip: String,
    /// The receiving host.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub receiving_mx_hostname: String,
    /// What it called itself.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub receiving_mx_helo: String,
    /// Its address.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub receiving_ip: String,
    /// Sessions.
    #[serde(deserialize_with = "count")]
    pub failed_session_count: u64,
    /// A link or words.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub additional_information: String,
    /// What the sender's TLS said.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub failure_reason_code: String,
}

/// Why octets are no report.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoReport {
    /// More than [`JSON_OCTETS_MAX`].
    #[error("the report is over {} MiB", JSON_OCTETS_MAX >> 20)]
    TooLarge,
    /// No JSON, or not an object.
    #[error("not a report in JSON: {0}")]
    Json(String),
    /// A field without which it cannot be kept.
    #[error("the report has no usable {0}")]
    Missing(&'static str),
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// It is too large, no JSON object, or lacks what names it.
    pub fn read(octets: &[u8]) -> Result<Self, NoReport> {
        if octets.len() > JSON_OCTETS_MAX {
            return Err(NoReport::TooLarge);
        }
        let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
        let report: Report = serde_json::from_slice(octets).map_err(|e| NoReport::Json(e.to_string()))?;
        for (name, value) in [("organization-name", &report.organization_name), ("report-id", &report.report_id)] {
            if value.is_empty() {
                return Err(NoReport::Missing(name));
            }
        }
        report.start().ok_or(NoReport::Missing("date-range"))?;
        Ok(report)
    }

    /// The file's octets.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers have a form in JSON")
    }

    /// A day's results as a report.
    pub fn of_day(results: &DayResults, said_by: &SaidBy<'_>, day: u32) -> Self {
        let start = super::midnight(day);
        // RFC 8460 §4.1: a day, its last second included.
        let end = super::midnight(day + 1).minus(std::time::Duration::from_secs(1));
        Report {
            organization_name: said_by.organization.to_owned(),
            date_range: DateRange { start_datetime: seconds(start), end_datetime: seconds(end) },
            contact_info: said_by.contact.to_owned(),
            report_id: said_by.id.to_owned(),
            policies: results.policies.iter().map(Policy::from).collect(),
        }
    }

    /// Where its period begins; `None`: its field says no time.
    pub fn start(&self) -> Option<Timestamp> {
        time(&self.date_range.start_datetime)
    }

    /// Where its period ends.
    pub fn end(&self) -> Option<Timestamp> {
        time(&self.date_range.end_datetime)
    }
}

/// Who says a report, and under which id.
#[derive(Clone, Copy, Debug)]
pub struct SaidBy<'a> {
    /// `organization-name`.
    pub organization: &'a str,
    /// `contact-info`.
    pub contact: &'a str,
    /// `report-id`.
    pub id: &'a str,
}

impl From<&PolicyResult> for Policy {
    fn from(from: &PolicyResult) -> Self {
        Policy {
            policy: PolicyAsFound {
                policy_type: from.policy_type.word().to_owned(),
                policy_string: from.policy_string.clone(),
                policy_domain: from.policy_domain.clone(),
                mx_host: from.mx_host.clone(),
            },
            summary: Summary {
                total_successful_session_count: from.successes,
                total_failure_session_count: from.failed,
            },
            failure_details: from.failures.iter().map(Failure::from).collect(),
        }
    }
}

impl From<&FailureResult> for Failure {
    fn from(from: &FailureResult) -> Self {
        let address = |ip: Option<std::net::IpAddr>| ip.map_or_else(String::new, |ip| ip.to_string());
        Failure {
            result_type: from.result_type.word().to_owned(),
            sending_mta_ip: address(from.sending_mta_ip),
            receiving_mx_hostname: from.receiving_mx_hostname.clone(),
            receiving_mx_helo: String::new(),
            receiving_ip: address(from.receiving_ip),
            failed_session_count: from.count,
            additional_information: String::new(),
            failure_reason_code: from.reason.clone(),
        }
    }
}

/// RFC 3339 without parts of a second: `2026-11-24T00:00:00Z`.
fn seconds(at: Timestamp) -> String {
    i64::try_from(at.as_seconds())
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map_or_else(String::new, |t| t.to_string())
}

/// A time as reports write it: RFC 3339, without its zone (then UTC), or as seconds since 1970.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let millis = if let Ok(at) = text.parse::<jiff::Timestamp>() {
        at.as_millisecond()
    } else if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
        at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond()
    } else {
        text.parse::<i64>().ok()?.checked_mul(1000)?
    };
    u64::try_from(millis).ok().map(Timestamp::from_millis)
}

/// One line of at most [`TEXT_MAX`] octets.
fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_MAX));
    for c in text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > TEXT_MAX {
            break;
        }
        out.push(c);
    }
    out
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    from.deserialize_any(Text).map(Option::unwrap_or_default)
}

fn count<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    from.deserialize_any(Count)
}

fn lines<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let found: Vec<Line> = from.deserialize_any(List(LINES_MAX, PhantomData))?;
    Ok(found.into_iter().filter_map(|line| line.0).collect())
}

fn policies<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Policy>, D::Error> {
    let found: Vec<Lenient<Policy>> = from.deserialize_any(List(POLICIES_MAX, PhantomData))?;
    Ok(found.into_iter().filter_map(|policy| policy.0).collect())
}

fn failures<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Failure>, D::Error> {
    let found: Vec<Lenient<Failure>> = from.deserialize_any(List(FAILURES_MAX, PhantomData))?;
    Ok(found.into_iter().filter_map(|failure| failure.0).collect())
}

fn structure<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Lenient::deserialize(from).map(|found| found.0.unwrap_or_default())
}

/// What the values of other types do: they are read and leave nothing.
macro_rules! passed_over {
    ($($visit:ident: $value:ty),*) => {
        $(fn $visit<E: de::Error>(self, _: $value) -> Result<Self::Value, E> { Ok(Self::Value::default()) })*
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> { Ok(Self::Value::default()) }
    };
}

/// A text, or a number or truth as a text; `None`: something else stood there.
struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(line(text)))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
        Ok(Some(n.to_string()))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
        Ok(Some(n.to_string()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        while from.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        while from.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    passed_over! { visit_f64: f64, visit_bool: bool }
}

/// A line of a list.
struct Line(Option<String>);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Text).map(Line)
    }
}

/// A count, as a number or in words of digits; below zero and beyond all bounds it is the bound.
struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<u64, E> {
        Ok(n)
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<u64, E> {
        Ok(u64::try_from(n).unwrap_or(0))
    }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<u64, E> {
        // The cast saturates at both ends, and NaN is 0.
        Ok(n as u64)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        let digits = text.trim();
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        Ok(digits.parse().unwrap_or(if is_number { u64::MAX } else { 0 }))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<u64, A::Error> {
        while from.next_element::<IgnoredAny>()?.is_some() {}
        Ok(0)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<u64, A::Error> {
        while from.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(0)
    }
    passed_over! { visit_bool: bool }
}

/// A structure, or nothing where something else stood.
struct Lenient<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Structure<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Structure<T> {
            type Value = Option<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, from: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(from)).map(Some)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
                while from.next_element::<IgnoredAny>()?.is_some() {}
                Ok(None)
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
                Ok(None)
            }
        }
        from.deserialize_any(Structure(PhantomData)).map(Lenient)
    }
}

/// A list of at most so many; one thing that stands where a list belongs is a list of one.
struct List<T>(usize, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < self.0 {
            match from.next_element()? {
                Some(found) => kept.push(found),
                None => return Ok(kept),
            }
        }
        while from.next_element::<IgnoredAny>()?.is_some() {}
        Ok(kept)
    }
    fn visit_map<A: MapAccess<'de>>(self, from: A) -> Result<Vec<T>, A::Error> {
        Ok(vec![T::deserialize(MapAccessDeserializer::new(from))?])
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
        Ok(vec![T::deserialize(de::value::StrDeserializer::new(text))?])
    }
    passed_over! { visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64 }
}
