//! The DNS record by which a domain asks for TLS reports: `_smtp._tls.<domain>`.
//!
//! In: the TXT records of that name.  Out: [`Wanted`], the places that want reports; `None`: nobody does.
//! Always: exactly one record counts; places of an unknown scheme are passed over; the number of places is bounded.
//! Sources: RFC 8460 §3, RFC 6068 (mailto), RFC 3986.

use crate::smtp::address::Mailbox;

/// Places of one record that get reports. More would make a small record a large amplifier.
pub const PLACES_MAX: usize = 5;
/// Octets of a record that are looked at.
const RECORD_MAX: usize = 4 * 1024;
/// Octets of one place.
const PLACE_MAX: usize = 1024;

/// The name at which the record of a domain is.
pub fn name(domain: &str) -> String {
    format!("_smtp._tls.{domain}")
}

/// Where reports go, in the order of the record; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted(pub Vec<Place>);

/// A place that wants reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// `mailto:`
    Mail(Mailbox),
    /// `https:`
    Https(HttpsPlace),
}

/// A place that takes reports by POST.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpsPlace {
    /// The host's name, in lower case, or its address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query, as they stand in the request.
    pub path: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Mail(mailbox) => write!(f, "mailto:{mailbox}"),
            Place::Https(HttpsPlace { host, port: 443, path }) => write!(f, "https://{host}{path}"),
            Place::Https(HttpsPlace { host, port, path }) => write!(f, "https://{host}:{port}{path}"),
        }
    }
}

/// What the TXT records of a domain's name ask for.
pub fn wanted(records: &[String]) -> Option<Wanted> {
    // RFC 8460 §3: what does not begin so is no such record, and two of them are as good as none.
    let mut ours = records.iter().filter(|r| is_version(r.split(';').next().unwrap_or_default()));
    let (record, None) = (ours.next()?, ours.next()) else { return None };
    let record = record.get(..RECORD_MAX.min(record.len())).unwrap_or_default();
    let mut rua = None;
    for field in record.split(';').skip(1) {
        let Some((key, value)) = field.split_once('=') else { continue };
        if key.trim_matches(BLANKS) == "rua" && rua.replace(value).is_some() {
            return None;
        }
    }
    let mut places = Vec::new();
    for place in rua?.split(',').filter_map(|text| place(text.trim_matches(BLANKS))) {
        if places.len() < PLACES_MAX && !places.contains(&place) {
            places.push(place);
        }
    }
    (!places.is_empty()).then_some(Wanted(places))
}

/// WSP of RFC 5234.
const BLANKS: [char; 2] = [' ', '\t'];

/// `v=TLSRPTv1`, in exactly these letters.
fn is_version(field: &str) -> bool {
    field.trim_end_matches(BLANKS) == "v=TLSRPTv1"
}

fn place(uri: &str) -> Option<Place> {
    if uri.len() > PLACE_MAX || !uri.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let (scheme, rest) = uri.split_once(':')?;
    if scheme.eq_ignore_ascii_case("mailto") {
        // Header fields behind the address are not ours to set.
        let address = percent_decoded(rest.split('?').next().unwrap_or_default())?;
        return Mailbox::parse(&address).ok().map(Place::Mail);
    }
    if scheme.eq_ignore_ascii_case("https") { https(rest.strip_prefix("//")?).map(Place::Https) } else { None }
}

fn https(rest: &str) -> Option<HttpsPlace> {
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // Credentials in a public record are no secret, and a way to disguise a host.
    if authority.contains('@') {
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, digits)) if !digits.ends_with(']') => {
            (host, if digits.is_empty() { 443 } else { digits.parse().ok().filter(|port| *port != 0)? })
        }
        Some(_) | None => (authority, 443),
    };
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    // An address in brackets is no name that a certificate of the public kind vouches for.
    if !is_name {
        return None;
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some(HttpsPlace { host: host.trim_end_matches('.').to_ascii_lowercase(), port, path })
}

/// `%XX` become octets; `None`: an escape is broken, or the octets are no text or would break a line.
fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
            out.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(records: &[&str], expected: &[&str]) {
        let records: Vec<String> = records.iter().map(|r| (*r).to_owned()).collect();
        let found = wanted(&records).map_or_else(Vec::new, |w| w.0.iter().map(ToString::to_string).collect());
        assert_eq!(found, expected, "{records:?}");
    }

    #[test]
    fn a_domain_gets_reports_where_its_one_record_says() {
        check(&["v=TLSRPTv1; rua=mailto:tls@example.org"], &["mailto:tls@example.org"]);
        check(&["v=TLSRPTv1;rua=mailto:tls@example.org;"], &["mailto:tls@example.org"]);
        check(&["v=TLSRPTv1 ; rua=mailto:a%2Bb@example.org?subject=x"], &["mailto:a+b@example.org"]);
        check(
            &["v=TLSRPTv1; x=y; rua=mailto:a@b.example , https://Report.Example/v1/tls?k=1#f; z=1"],
            &["mailto:a@b.example", "https://report.example/v1/tls?k=1"],
        );
        check(&["v=TLSRPTv1; rua=https://r.example:8443"], &["https://r.example:8443/"]);
        check(&["v=TLSRPTv1; rua=HTTPS://r.example?q"], &["https://r.example/?q"]);
        check(&["v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv12; rua=x"], &["mailto:a@b.example"]);
        check(&["v=TLSRPTv1; rua=mailto:a@b.example,mailto:a@b.example"], &["mailto:a@b.example"]);
    }

    #[test]
    fn no_record_two_records_and_nonsense_want_nothing() {
        for records in [
            &[][..],
            &["v=TLSRPTv1"],
            &["v=TLSRPTv1; rua="],
            &["V=TLSRPTv1; rua=mailto:a@b.example"],
            &["v=tlsrptv1; rua=mailto:a@b.example"],
            &[" v=TLSRPTv1; rua=mailto:a@b.example"],
            &["rua=mailto:a@b.example; v=TLSRPTv1"],
            &["v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:a@b.example"],
            &["v=TLSRPTv1; rua=mailto:a@b.example; rua=mailto:c@d.example"],
            &["v=TLSRPTv1; rua=http://b.example/"],
            &["v=TLSRPTv1; rua=ftp://b.example/,tel:1"],
            &["v=TLSRPTv1; rua=https://user:key@b.example/"],
            &["v=TLSRPTv1; rua=https://b.example:0/,https://b.example:99999/,https://:443/"],
            &["v=TLSRPTv1; rua=https://[::1]/,https://[::1]:443/"],
            &["v=TLSRPTv1; rua=https:b.example"],
            &["v=TLSRPTv1; rua=mailto:a%0d%0aBcc@b.example"],
            &["v=TLSRPTv1; rua=mailto:a%4"],
            &["v=TLSRPTv1; rua=mailto:nobody"],
            &["v=TLSRPTv1; rua=https://b.example/a b"],
        ] {
            check(records, &[]);
        }
    }

    #[test]
    fn a_record_cannot_ask_for_many_reports() {
        let many: Vec<String> = (0..100).map(|n| format!("mailto:r{n}@example.org")).collect();
        let record = format!("v=TLSRPTv1; rua={}", many.join(","));
        assert_eq!(wanted(&[record]).map(|w| w.0.len()), Some(PLACES_MAX));
        let long = format!("v=TLSRPTv1; rua=https://b.example/{}", "x".repeat(100_000));
        assert_eq!(wanted(&[long]), None);
        assert_eq!(wanted(&["é".repeat(4_000)]), None);
    }
}
