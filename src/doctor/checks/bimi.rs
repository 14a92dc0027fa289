//! BIMI readiness: the record, and whether the DMARC policy is strong enough. The logo and its certificate are not fetched.
//!
//! In: the domain.  Out: what stands in the way of a logo.
//! Sources: draft-brand-indicators-for-message-identification §4.2, §7.1 and §7.2; the policy must hold for all mail, subdomains too.

use super::{Case, Outcome};
use crate::{
    dmarc::{
        record::Policy,
        tree_walk::{Discovery, discover},
    },
    doctor::finding::{Area, Bimi, Finding, Level, Seen, clipped},
    lookup::{DnsError, Lookup},
};

pub(super) async fn check(case: &Case<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let dmarc = discover(case.dns, case.domain).await;
    // The organization's record stands in for the domain's own.
    let mut names = vec![case.domain.to_owned()];
    if dmarc.organization_is_known() && dmarc.organizational_domain != case.domain {
        names.push(dmarc.organizational_domain.clone());
    }
    let mut texts = Vec::new();
    for name in names {
        let asked = format!("default._bimi.{name}");
        match case.dns.txt(&asked).await.records {
            Ok(found) => texts = found.into_iter().filter(|t| t.to_ascii_lowercase().contains("bimi1")).collect(),
            Err(why @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
                outcome.trouble(Area::Bimi, case.domain, &format!("TXT {asked}"), &why);
                return outcome;
            }
            Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => {}
        }
        if !texts.is_empty() {
            break;
        }
    }
    let found = |level, seen| Finding::new(level, case.domain, Seen::Bimi(seen));
    let (level, seen) = match texts.as_slice() {
        [] => (Level::Note, Bimi::Absent),
        [one] => match read(one) {
            Ok(Bimi::Found { logo, certificate }) => {
                let level = if certificate.is_empty() { Level::Note } else { Level::Ok };
                (level, Bimi::Found { logo, certificate })
            }
            Ok(other) => (Level::Note, other),
            Err(why) => (Level::Warning, Bimi::Bad { why }),
        },
        several => (Level::Warning, Bimi::Bad { why: format!("there are {} records", several.len()) }),
    };
    let is_wanted = matches!(seen, Bimi::Found { .. } | Bimi::Bad { .. });
    outcome.found(found(level, seen));
    if let Some(why) = &dmarc.trouble {
        outcome.trouble(Area::Bimi, case.domain, &format!("TXT _dmarc.{}", case.domain), why);
        return outcome;
    }
    let (level, seen) = match weakness(&dmarc) {
        Some(why) => (if is_wanted { Level::Warning } else { Level::Note }, Bimi::WeakPolicy { why }),
        None => (Level::Ok, Bimi::StrongPolicy),
    };
    outcome.found(found(level, seen));
    outcome
}

/// Reads a record: its logo and certificate, or that the domain wants none.
fn read(text: &str) -> Result<Bimi, String> {
    let mut tags = text.split(';').map(|tag| tag.split_once('=').map(|(k, v)| (k.trim(), v.trim())));
    if tags.next().flatten() != Some(("v", "BIMI1")) {
        return Err("it does not begin with v=BIMI1".into());
    }
    let (mut logo, mut certificate) = (None, "");
    for (tag, value) in tags.flatten() {
        match tag.to_ascii_lowercase().as_str() {
            "l" if logo.is_none() => logo = Some(value),
            "a" if certificate.is_empty() => certificate = value,
            _ => {}
        }
    }
    let is_https =
        |url: &str| url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) && url.len() > 8;
    let logo = logo.ok_or("it has no l=, the logo")?;
    if logo.is_empty() {
        return if certificate.is_empty() { Ok(Bimi::Declined) } else { Err("it has a= but an empty l=".into()) };
    }
    if !is_https(logo) {
        return Err(clipped(&format!("the logo's URL is not https: {logo}")));
    }
    if !certificate.is_empty() && !is_https(certificate) {
        return Err(clipped(&format!("the certificate's URL is not https: {certificate}")));
    }
    Ok(Bimi::Found { logo: clipped(logo), certificate: clipped(certificate) })
}

/// Why the policy is too weak; `None`: it is not.
fn weakness(dmarc: &Discovery) -> Option<String> {
    let Some(record) = dmarc.record.as_ref().filter(|_| dmarc.applies) else {
        return Some("no DMARC record applies".into());
    };
    if dmarc.effective == Policy::None {
        return Some(format!("{}=none", dmarc.tag));
    }
    if record.testing {
        return Some("t=y".into());
    }
    if let Some(percent) = record.pct.filter(|percent| *percent < 100) {
        return Some(format!("pct={percent}"));
    }
    (record.sp == Some(Policy::None)).then(|| "sp=none".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_https_or_the_record_is_none() {
        let found =
            |logo: &str, certificate: &str| Ok(Bimi::Found { logo: logo.into(), certificate: certificate.into() });
        for (text, want) in [
            ("v=BIMI1; l=https://x.test/l.svg", found("https://x.test/l.svg", "")),
            (
                "v=BIMI1;L=HTTPS://x.test/l.svg;a=https://x.test/c.pem;",
                found("HTTPS://x.test/l.svg", "https://x.test/c.pem"),
            ),
            ("v=BIMI1; l=; a=;", Ok(Bimi::Declined)),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
        for text in [
            "v=BIMI1",
            "l=https://x.test/l.svg; v=BIMI1",
            "v=BIMI1; l=http://x.test/l.svg",
            "v=BIMI1; l=https://",
            "v=BIMI1; l=https://x.test/l.svg; a=http://x.test/c.pem",
            "v=BIMI1; l=; a=https://x.test/c.pem",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
