//! Reads an MTA-STS record and policy, and says which MX hosts a policy allows.
//!
//! In: the TXT records of `_mta-sts.<domain>`; the text of the policy file.  Out: the id; [`StsPolicy`].
//! Always: every bound of the text is checked before it is kept; what is not understood is ignored, what is malformed makes
//! the whole policy invalid; a wildcard stands for exactly one label, the left-most.
//! Sources: RFC 8461 §3.1, §3.2 and §4.1.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Octets of a policy file at most (RFC 8461 §3.3 suggests 64 KiB).
pub const POLICY_OCTETS_MAX: usize = 64 * 1024;
/// Patterns of a policy at most: whoever needs more has wildcards.
pub const MX_MAX: usize = 100;
/// The longest `max_age` (RFC 8461 §3.2): about a year.
pub const MAX_AGE_MAX: Duration = Duration::from_secs(31_557_600);
/// Octets of an id at most (RFC 8461 §3.1).
const ID_OCTETS_MAX: usize = 32;
/// Octets of a pattern at most: a domain name.
const PATTERN_OCTETS_MAX: usize = 253;

/// What a policy asks of senders.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StsMode {
    /// Hosts that do not meet the policy get no mail.
    Enforce,
    /// Failures are reported, nothing else.
    Testing,
    /// The domain has no policy any more.
    None,
}

impl StsMode {
    /// The policy's word.
    pub fn word(self) -> &'static str {
        match self {
            StsMode::Enforce => "enforce",
            StsMode::Testing => "testing",
            StsMode::None => "none",
        }
    }
}

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StsPolicy {
    /// What it asks.
    pub mode: StsMode,
    /// Which hosts it allows, in lower case; empty only in mode none.
    pub mx: Vec<String>,
    /// How long it holds from the fetch.
    pub max_age: Duration,
}

impl StsPolicy {
    /// Reads the text of a policy file.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > POLICY_OCTETS_MAX {
            return Err(format!("it has more than {POLICY_OCTETS_MAX} octets"));
        }
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.trim_matches([' ', '\t']).is_empty() {
                continue;
            }
            let (key, value) = line.split_once(':').ok_or("a line has no colon")?;
            let (key, value) = (key.trim_matches([' ', '\t']), value.trim_matches([' ', '\t']));
            // Of a field that is there twice the first counts, except mx (RFC 8461 §3.2).
            match key {
                "version" if version.is_none() => version = Some(value),
                "mode" if mode.is_none() => mode = Some(value),
                "max_age" if max_age.is_none() => max_age = Some(value),
                "mx" if mx.len() == MX_MAX => return Err(format!("it has more than {MX_MAX} mx fields")),
                "mx" => mx.push(pattern(value)?),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err("its version is not STSv1".into());
        }
        let mode = match mode {
            Some("enforce") => StsMode::Enforce,
            Some("testing") => StsMode::Testing,
            Some("none") => StsMode::None,
            _ => return Err("its mode is none of enforce, testing and none".into()),
        };
        if mx.is_empty() && mode != StsMode::None {
            return Err("it names no mx".into());
        }
        let max_age = max_age.filter(|v| (1..=10).contains(&v.len()) && v.bytes().all(|b| b.is_ascii_digit()));
        let seconds: u64 = max_age.and_then(|v| v.parse().ok()).ok_or("its max_age is no number of seconds")?;
        Ok(StsPolicy { mode, mx, max_age: Duration::from_secs(seconds).min(MAX_AGE_MAX) })
    }

    /// The policy allows this MX host: one of its patterns is the name, or stands for it.
    pub fn allows(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(rest) => {
                host.split_once('.').is_some_and(|(label, tail)| !label.is_empty() && tail.eq_ignore_ascii_case(rest))
            }
            None => host.eq_ignore_ascii_case(pattern),
        })
    }

    /// Its lines, as a report quotes them (RFC 8460 §4.2).
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {}", self.mode.word())];
        lines.extend(self.mx.iter().map(|mx| format!("mx: {mx}")));
        lines.push(format!("max_age: {}", self.max_age.as_secs()));
        lines
    }
}

/// A pattern: a name in A-labels, or one behind `*.`.
fn pattern(value: &str) -> Result<String, String> {
    let name = value.strip_prefix("*.").unwrap_or(value);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if value.len() > PATTERN_OCTETS_MAX || !name.split('.').all(is_label) {
        return Err("an mx is neither a host name nor one behind *.".into());
    }
    Ok(value.to_ascii_lowercase())
}

/// The id that the TXT records of `_mta-sts.<domain>` give: exactly one of them must be a valid STS record, else the domain
/// has no MTA-STS (RFC 8461 §3.1).
pub fn record_id(records: &[String]) -> Option<&str> {
    let mut ours = records.iter().filter(|r| is_sts_record(r));
    let (record, None) = (ours.next()?, ours.next()) else { return None };
    let mut id = None;
    for field in record.split(';').skip(1) {
        let Some((key, value)) = field.split_once('=') else { continue };
        if key.trim_matches([' ', '\t']) == "id" && id.is_none() {
            id = Some(value.trim_matches([' ', '\t']));
        }
    }
    id.filter(|id| (1..=ID_OCTETS_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn is_sts_record(record: &str) -> bool {
    record.strip_prefix("v=STSv1").is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with(';'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<StsPolicy, String> {
        StsPolicy::parse(text.as_bytes())
    }

    #[test]
    fn a_policy_is_read_with_either_end_of_line_and_whatever_else_it_says() {
        for text in [
            "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.NET\r\nmax_age: 604800\r\n",
            "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800",
            "max_age:604800 \nmx:\tmail.example.com\nunknown: x:y\nversion:STSv1\nmx: *.example.net\nmode:enforce\n\n",
            "version: STSv1\nversion: x\nmode: enforce\nmode: none\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\nmax_age: 1\n",
        ] {
            let policy = parse(text).expect(text);
            assert_eq!(policy.mode, StsMode::Enforce);
            assert_eq!(policy.mx, ["mail.example.com", "*.example.net"]);
            assert_eq!(policy.max_age, Duration::from_secs(604_800));
        }
        let none = parse("version: STSv1\nmode: none\nmax_age: 0\n").expect("mode none needs no mx");
        assert_eq!((none.mode, none.mx.len()), (StsMode::None, 0));
        let long = parse("version: STSv1\nmode: testing\nmx: a.b\nmax_age: 9999999999\n").expect("cut");
        assert_eq!(long.max_age, MAX_AGE_MAX);
    }

    #[test]
    fn a_malformed_policy_is_no_policy_and_says_why() {
        let many = "version: STSv1\nmode: enforce\nmax_age: 1\n".to_owned() + &"mx: a.b\n".repeat(MX_MAX + 1);
        for (text, want) in [
            ("", "version"),
            ("<html>", "no colon"),
            ("version: STSv2\nmode: none\nmax_age: 1", "version"),
            ("version: STSv1\nmode: Enforce\nmx: a.b\nmax_age: 1", "mode"),
            ("version: STSv1\nmx: a.b\nmax_age: 1", "mode"),
            ("version: STSv1\nmode: enforce\nmax_age: 1", "no mx"),
            ("version: STSv1\nmode: enforce\nmx: a.b", "max_age"),
            ("version: STSv1\nmode: enforce\nmx: a.b\nmax_age: -1", "max_age"),
            ("version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 99999999999", "max_age"),
            ("version: STSv1\nmode: enforce\nmx: a*.b\nmax_age: 1", "an mx"),
            ("version: STSv1\nmode: enforce\nmx: *\nmax_age: 1", "an mx"),
            ("version: STSv1\nmode: enforce\nmx: *.*.b\nmax_age: 1", "an mx"),
            ("version: STSv1\nmode: enforce\nmx: a..b\nmax_age: 1", "an mx"),
            ("version: STSv1\nmode: enforce\nmx: mäil.example\nmax_age: 1", "an mx"),
            (&many, "more than 100"),
        ] {
            let why = parse(text).expect_err(text);
            assert!(why.contains(want), "{why:?} should say {want:?}");
        }
        assert!(StsPolicy::parse(&vec![b'\n'; POLICY_OCTETS_MAX + 1]).is_err());
        assert!(StsPolicy::parse(b"\xff").is_err());
    }

    #[test]
    fn a_wildcard_stands_for_one_label_on_the_left() {
        let policy =
            parse("version: STSv1\nmode: enforce\nmx: *.example.com\nmx: Mail.example.org\nmax_age: 1").expect("good");
        for (host, want) in [
            ("mx1.example.com", true),
            ("MX1.Example.COM", true),
            ("mx1.example.com.", true),
            ("example.com", false),
            (".example.com", false),
            ("a.mx1.example.com", false),
            ("mx1.badexample.com", false),
            ("mail.example.org", true),
            ("x.mail.example.org", false),
            ("", false),
        ] {
            assert_eq!(policy.allows(host), want, "{host}");
        }
    }

    #[test]
    fn exactly_one_record_gives_the_id() {
        let id = |records: &[&str]| {
            let records: Vec<String> = records.iter().map(|r| (*r).to_owned()).collect();
            record_id(&records).map(str::to_owned)
        };
        for good in
            ["v=STSv1; id=20160831085700Z;", "v=STSv1;id=20160831085700Z", "v=STSv1 ; x=y; id = 20160831085700Z ;"]
        {
            assert_eq!(id(&["spf", good]).as_deref(), Some("20160831085700Z"), "{good}");
        }
        let long = format!("v=STSv1; id={}", "a".repeat(33));
        for bad in [
            &[][..],
            &["v=STSv1"],
            &["v=STSv1;"],
            &["v=STSv1; id="],
            &["v=STSv1; id=a-b"],
            &["v=STSv10; id=a"],
            &["V=STSv1; id=a"],
            &["id=a; v=STSv1"],
            &["v=STSv1; id=a", "v=STSv1; id=a"],
            &[&long],
        ] {
            assert_eq!(id(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_bounded_policy_or_an_error(text in "(version: STSv1\n|mode: enforce\n|mx: (\\*\\.)?[a-z.]{0,5}\n|max_age: [0-9]{0,12}\n|\\PC{0,20}\n){0,12}") {
            if let Ok(policy) = StsPolicy::parse(text.as_bytes()) {
                prop_assert!(policy.mx.len() <= MX_MAX && policy.max_age <= MAX_AGE_MAX);
                let again = StsPolicy::parse(policy.lines().join("\n").as_bytes());
                prop_assert_eq!(again, Ok(policy));
            }
        }
    }
}
