//! Where to ask to be taken off a list, as far as an answer names it.
//!
//! In: answers of peers.  Out: the list's name and an address on the web.
//! Always: an address out of an answer is a stranger's words: it is shown, never asked; bounded.
//! Sources: the lists' own pages as of 2026-11.

use super::figures::Figure;

/// Hints of one cause.
const HINTS_MAX: usize = 4;
/// Octets of an address out of an answer.
const URL_OCTETS_MAX: usize = 200;

/// What an answer names, and where its owner is asked.
const KNOWN: &[(&str, &str, &str)] = &[
    ("spamhaus", "Spamhaus", "https://check.spamhaus.org/"),
    ("barracuda", "Barracuda", "https://www.barracudacentral.org/rbl/removal-request"),
    ("spamcop", "SpamCop", "https://www.spamcop.net/bl.shtml"),
    ("proofpoint", "Proofpoint", "https://ipcheck.proofpoint.com/"),
    ("pphosted", "Proofpoint", "https://ipcheck.proofpoint.com/"),
    ("cloudmark", "Cloudmark", "https://csi.cloudmark.com/en/reset/"),
    ("mailspike", "Mailspike", "https://mailspike.io/ip_verify"),
    ("uceprotect", "UCEPROTECT", "https://www.uceprotect.net/en/rblcheck.php"),
    ("invaluement", "Invaluement", "https://www.invaluement.com/lookup/"),
    ("trendmicro", "Trend Micro", "https://servicecentral.trendmicro.com/"),
    ("talosintelligence", "Cisco Talos", "https://talosintelligence.com/reputation_center/"),
    ("s3140", "Microsoft", "https://olcsupport.office.com/"),
    ("s3150", "Microsoft", "https://olcsupport.office.com/"),
    ("delist.protection.outlook.com", "Microsoft 365", "https://sender.office.com/"),
    ("sender.office.com", "Microsoft 365", "https://sender.office.com/"),
    ("5.7.606", "Microsoft 365", "https://sender.office.com/"),
    ("5.7.511", "Microsoft 365", "https://sender.office.com/"),
];

/// What the answers name: lists that we know, then addresses that the answers give.
pub(super) fn hints<'a>(answers: impl Iterator<Item = &'a str>) -> Vec<Figure> {
    let mut out: Vec<Figure> = Vec::new();
    let mut put = |list: &str, url: &str| {
        let is_known = |f: &Figure| matches!(f, Figure::Delist { url: known, .. } if known == url);
        if out.len() < HINTS_MAX && !out.iter().any(is_known) {
            out.push(Figure::Delist { list: list.to_owned(), url: url.to_owned() });
        }
    };
    for answer in answers.take(50) {
        let lower = answer.to_ascii_lowercase();
        for (_, list, url) in KNOWN.iter().filter(|(word, ..)| lower.contains(word)) {
            put(list, url);
        }
        if let Some(url) = url_in(answer) {
            put("", url);
        }
    }
    out
}

/// One of them is a list that many receivers ask, not one provider's own.
pub(super) fn names_public_list(hints: &[Figure]) -> bool {
    hints.iter().any(|f| matches!(f, Figure::Delist { list, .. } if !list.is_empty() && !list.starts_with("Microsoft")))
}

/// The first web address in an answer.
fn url_in(answer: &str) -> Option<&str> {
    let at = answer.find("https://").or_else(|| answer.find("http://"))?;
    let rest = &answer[at..];
    let end = rest.find(|c: char| !c.is_ascii_graphic() || "<>\"'()[]{}|\\^`;,".contains(c)).unwrap_or(rest.len());
    let url = rest[..end].trim_end_matches(['.', ':', '!', '?']);
    (url.len() <= URL_OCTETS_MAX && url.len() > "https://a.b".len()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_addresses_are_told_once_each() {
        let told = hints(
            [
                "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1",
                "554 5.7.1 blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1",
                "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list please visit https://sender.office.com/ and follow the directions.",
                "550 see (http://postmaster.example/why?x=1).",
                "550 no address at all \u{1b}[31mhttps://",
            ]
            .into_iter(),
        );
        let urls: Vec<&str> =
            told.iter().map(|f| if let Figure::Delist { url, .. } = f { url.as_str() } else { "" }).collect();
        assert_eq!(
            urls,
            [
                "https://check.spamhaus.org/",
                "https://www.spamhaus.org/query/ip/192.0.2.1",
                "https://sender.office.com/",
                "http://postmaster.example/why?x=1",
            ]
        );
    }
}
