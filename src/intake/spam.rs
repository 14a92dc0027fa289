//! Decides which mail to our inbound addresses only pretends to be from where it goes.
//!
//! In: the config, what the mail is for, its envelope sender, its header.  Out: why it is refused, or nothing.
//! Always: bounces (the null sender) and mail to report, complaint and postmaster addresses are never refused here.
//! Sources: cmc.md §12.1.

use mail_parser::{HeaderValue, parsers::MessageStream};

use crate::{
    config::{Config, inbound::alike},
    mail::header::{Facts, Fields},
    smtp::address::Mailbox,
};

use super::inlets::Inlet;

/// Octets of To that are read: a field with one address is shorter.
const TO_OCTETS_MAX: usize = 2 * 1024;

/// Why a mail is refused; `None`: it is not.
pub fn refusal(
    config: &Config,
    inlet: Inlet,
    sender: Option<&Mailbox>,
    facts: &Facts,
    head: &[u8],
) -> Option<&'static str> {
    match inlet {
        Inlet::Complaint | Inlet::TlsReport | Inlet::DmarcReport | Inlet::Postmaster => return None,
        Inlet::Return(_) | Inlet::Inbound => {}
    }
    sender?;
    let (_, domain) = facts.from.rsplit_once('@')?;
    if config.is_accepted_domain(domain) {
        return Some("From names a domain whose mail comes in here: its own mail does not come from outside");
    }
    if only_to(head).is_some_and(|to| alike(&to, &facts.from)) {
        return Some("From and To are the same address");
    }
    None
}

/// The address of To, where there is exactly one.
fn only_to(head: &[u8]) -> Option<String> {
    let mut fields = Fields::new(head).filter(|f| head[f.name.clone()].eq_ignore_ascii_case(b"To"));
    let (first, second) = (fields.next()?, fields.next());
    if second.is_some() {
        return None;
    }
    let value = &head[first.value];
    // The parser wants to see the line's end.
    let line = [&value[..value.len().min(TO_OCTETS_MAX)], b"\n"].concat();
    let HeaderValue::Address(list) = MessageStream::new(&line).parse_address() else { return None };
    let mut addresses = list.iter().filter_map(|one| one.address());
    let only = addresses.next()?.to_owned();
    addresses.next().is_none().then_some(only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header;

    #[test]
    fn mail_that_pretends_to_be_ours_is_refused_and_reports_never_are() {
        let mut config = Config::default();
        config.server.hostname = "relay.example.jp".into();
        config.inbound.addresses = vec!["@in.example.jp".into()];
        let sender = Mailbox::parse("a@b.example").expect("an address");
        let check = |inlet, sender: Option<&Mailbox>, head: &str| {
            let facts = header::scan(head.as_bytes(), "");
            refusal(&config, inlet, sender, &facts, head.as_bytes()).is_some()
        };
        let (ours, same) =
            ("From: x@IN.example.jp\r\n\r\n", "From: A <a@b.example>\r\nTo: \"B\" <A@b.example>\r\n\r\n");
        for inlet in [Inlet::Return(None), Inlet::Inbound] {
            for head in [ours, same, "From: root@relay.example.jp\r\n\r\n"] {
                assert!(check(inlet, Some(&sender), head), "{inlet:?} {head}");
                assert!(!check(inlet, None, head), "a bounce: {inlet:?} {head}");
            }
            for head in [
                "From: a@b.example\r\nTo: a@b.example, c@d.example\r\n\r\n",
                "From: a@b.example\r\nTo: a@b.example\r\nTo: c@d.example\r\n\r\n",
                "From: a@b.example\r\nTo: c@d.example\r\n\r\n",
                "From: a@b.example\r\n\r\n",
                "From: x@example.jp\r\nTo: x@in.example.jp\r\n\r\n",
                "From: nobody\r\nTo: nobody\r\n\r\n",
                "\r\n",
            ] {
                assert!(!check(inlet, Some(&sender), head), "{inlet:?} {head}");
            }
        }
        for inlet in [Inlet::Complaint, Inlet::TlsReport, Inlet::DmarcReport, Inlet::Postmaster] {
            assert!(!check(inlet, Some(&sender), ours) && !check(inlet, Some(&sender), same), "{inlet:?}");
        }
    }
}
