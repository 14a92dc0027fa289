//! Decides which addresses an inbound listener takes mail for, and what is behind each.
//!
//! In: the config, the tokens of our return addresses, an address of RCPT.  Out: its [`Inlet`], or the reply that says why not.
//! Always: whatever is not named here is refused (P7); a token that is forged or expired is refused as an unknown mailbox, so that
//! mail to it goes nowhere and makes no bounce of ours; an address that is named in full goes before what its domain says.
//! Sources: cmc.md §12.1; RFC 5321 §4.5.1, RFC 2142 (postmaster, abuse).

use crate::{
    config::{
        Config, ForwardSide,
        inbound::{Named, ROLES, same_address},
    },
    ids::RecipientKey,
    smtp::{
        address::Mailbox,
        reply::{Enhanced, Reply},
    },
};

/// What a local part says when it is read as a token of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// We made it, for this recipient.
    Valid(RecipientKey),
    /// We made it, too long ago.
    Expired,
    /// It looks like one, and we did not make it.
    Forged,
    /// It does not look like one.
    NotAToken,
}

/// What is known of return addresses. Both questions are short: they are asked on the executor, for every RCPT.
pub trait Tokens: Send + Sync + 'static {
    /// Opens a local part, in any case of letters.
    fn open(&self, local: &str) -> Opened;

    /// Mail of ours went out under this sender with its local part kept, not too long ago. Any case of letters.
    fn is_return_path(&self, address: &Mailbox) -> bool;
}

/// What is behind an address that is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inlet {
    /// A return address: of the recipient that its token names, or with its local part kept.
    Return(Option<RecipientKey>),
    /// Where complaints come: `[bounce] complaint_address`.
    Complaint,
    /// Where TLS reports come: `[tls_report] address`.
    TlsReport,
    /// Where DMARC reports come: `[bounce] report_address`.
    DmarcReport,
    /// One of `[inbound] addresses`.
    Inbound,
    /// postmaster@ or abuse@ at a domain of ours.
    Postmaster,
}

impl Inlet {
    /// The word in logs.
    pub fn word(self) -> &'static str {
        match self {
            Inlet::Return(_) => "return",
            Inlet::Complaint => "complaint",
            Inlet::TlsReport => "tls-report",
            Inlet::DmarcReport => "dmarc-report",
            Inlet::Inbound => "inbound",
            Inlet::Postmaster => "postmaster",
        }
    }
}

/// What is behind an address.
///
/// # Errors
/// The reply to RCPT: 550 5.1.1 at a return domain, 550 5.7.1 elsewhere.
pub fn inlet_of(config: &Config, tokens: &dyn Tokens, address: &Mailbox) -> Result<Inlet, Reply> {
    if same_address(&config.tls_report.address, address) {
        return Ok(Inlet::TlsReport);
    }
    if same_address(&config.bounce.complaint_address, address) {
        return Ok(Inlet::Complaint);
    }
    if same_address(&config.bounce.report_address, address) {
        return Ok(Inlet::DmarcReport);
    }
    let named = config.inbound_address(address);
    if named == Some(Named::Address) {
        return inbound(config, address);
    }
    let is_role = ROLES.iter().any(|role| address.local().eq_ignore_ascii_case(role));
    if is_role && config.is_accepted_domain(address.domain()) {
        return has_postmaster(
            config,
            Inlet::Postmaster,
            "Nobody reads this mailbox: no postmaster is configured here",
        );
    }
    if config.is_return_domain(address.domain()) {
        match tokens.open(address.local()) {
            Opened::Valid(key) => return Ok(Inlet::Return(Some(key))),
            Opened::Expired => return Err(unknown("That return address is too old: its mail is forgotten")),
            Opened::Forged => return Err(unknown("That is no return address of ours")),
            Opened::NotAToken if tokens.is_return_path(address) => return Ok(Inlet::Return(None)),
            Opened::NotAToken if named.is_none() => return Err(unknown("No mail was sent from that address")),
            Opened::NotAToken => {}
        }
    }
    match named {
        Some(_) => inbound(config, address),
        None => Err(Reply::new(
            550,
            Enhanced(5, 7, 1),
            "This listener takes bounces and reports only, and that address receives neither",
        )),
    }
}

/// One of `[inbound] addresses`, unless it is known that nobody takes its mail: a filter would decide by the header.
fn inbound(config: &Config, address: &Mailbox) -> Result<Inlet, Reply> {
    let has_filter = || config.forwards.iter().any(|filter| filter.side == ForwardSide::Inbound);
    if !config.inbound.webhooks.is_empty() && !config.is_posted(address) && !has_filter() {
        return Err(Reply::new(550, Enhanced(5, 1, 1), "Nobody takes mail for this address"));
    }
    Ok(Inlet::Inbound)
}

/// Mail that a person is to read needs one.
fn has_postmaster(config: &Config, inlet: Inlet, refusal: &'static str) -> Result<Inlet, Reply> {
    if config.server.postmaster.is_empty() { Err(Reply::new(550, Enhanced(5, 7, 1), refusal)) } else { Ok(inlet) }
}

/// No such mailbox at a return domain.
fn unknown(text: &'static str) -> Reply {
    Reply::new(550, Enhanced(5, 1, 1), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Domain, Forward, InboundWebhook},
        ids::MessageId,
    };

    const KEY: RecipientKey = RecipientKey { message: MessageId::from_u64(7 << 40), index: 3 };

    struct Known;

    impl Tokens for Known {
        fn open(&self, local: &str) -> Opened {
            match local.to_ascii_lowercase().as_str() {
                "b-valid" => Opened::Valid(KEY),
                "b-old" => Opened::Expired,
                local if local.starts_with("b-") => Opened::Forged,
                _ => Opened::NotAToken,
            }
        }
        fn is_return_path(&self, address: &Mailbox) -> bool {
            address.local().eq_ignore_ascii_case("news")
        }
    }

    fn config() -> Config {
        let mut config = Config::default();
        config.server.hostname = "relay.example.jp".into();
        config.server.postmaster = "admin@office.example".into();
        config.envelope_from.return_domain = "return.relay.example.jp".into();
        config.domains.push(Domain {
            name: "example.jp".into(),
            return_domain: "bounce.example.jp".into(),
            ..Domain::default()
        });
        config.bounce.domains = vec!["old.example.jp".into()];
        config.bounce.complaint_address = "fbl@reports.example.jp".into();
        config.bounce.report_address = "dmarc@reports.example.jp".into();
        config.tls_report.address = "tls@reports.example.jp".into();
        config.inbound.addresses =
            vec!["info@in.example.jp".into(), "@all.example.jp".into(), "@old.example.jp".into()];
        config
    }

    fn look(config: &Config, address: &str) -> Result<Inlet, (u16, String)> {
        inlet_of(config, &Known, &Mailbox::parse(address).expect("an address"))
            .map_err(|reply| (reply.code, reply.enhanced.expect("it has one").to_string()))
    }

    #[test]
    fn exactly_the_addresses_of_ours_are_taken_and_each_has_its_inlet() {
        let config = config();
        let unknown = Err((550, "5.1.1".to_owned()));
        let refused = Err((550, "5.7.1".to_owned()));
        for (address, expected) in [
            ("b-valid@return.relay.example.jp", Ok(Inlet::Return(Some(KEY)))),
            ("B-VALID@Bounce.Example.JP", Ok(Inlet::Return(Some(KEY)))),
            ("b-valid@old.example.jp", Ok(Inlet::Return(Some(KEY)))),
            ("b-old@bounce.example.jp", unknown.clone()),
            ("b-forged@bounce.example.jp", unknown.clone()),
            ("b-forged@old.example.jp", unknown.clone()),
            ("news@bounce.example.jp", Ok(Inlet::Return(None))),
            ("guess@bounce.example.jp", unknown.clone()),
            ("b-valid@example.jp", refused.clone()),
            ("b-valid@elsewhere.example", refused.clone()),
            ("b-valid@sub.bounce.example.jp", refused.clone()),
            ("FBL@reports.example.jp", Ok(Inlet::Complaint)),
            ("dmarc@reports.example.jp", Ok(Inlet::DmarcReport)),
            ("tls@REPORTS.example.jp", Ok(Inlet::TlsReport)),
            ("tls+x@reports.example.jp", refused.clone()),
            ("info@in.example.jp", Ok(Inlet::Inbound)),
            ("other@in.example.jp", refused.clone()),
            ("anybody@all.example.jp", Ok(Inlet::Inbound)),
            ("anybody@old.example.jp", Ok(Inlet::Inbound)),
            ("postmaster@relay.example.jp", Ok(Inlet::Postmaster)),
            ("PostMaster@bounce.example.jp", Ok(Inlet::Postmaster)),
            ("abuse@reports.example.jp", Ok(Inlet::Postmaster)),
            ("abuse@all.example.jp", Ok(Inlet::Postmaster)),
            ("postmaster@example.jp", refused.clone()),
            ("postmaster@elsewhere.example", refused.clone()),
            ("hostmaster@relay.example.jp", refused.clone()),
            ("anybody@relay.example.jp", refused),
        ] {
            assert_eq!(look(&config, address), expected, "{address}");
        }
    }

    #[test]
    fn without_settings_nothing_but_tokens_is_taken() {
        let mut config = Config::default();
        config.server.hostname = "relay.example.jp".into();
        config.envelope_from.return_domain = "return.relay.example.jp".into();
        for (address, expected) in [
            ("b-valid@return.relay.example.jp", Ok(Inlet::Return(Some(KEY)))),
            ("postmaster@relay.example.jp", Err((550, "5.7.1".to_owned()))),
            ("abuse@return.relay.example.jp", Err((550, "5.7.1".to_owned()))),
            ("x@relay.example.jp", Err((550, "5.7.1".to_owned()))),
        ] {
            assert_eq!(look(&config, address), expected, "{address}");
        }
        config.bounce.report_address = "dmarc@relay.example.jp".into();
        assert_eq!(look(&config, "dmarc@relay.example.jp"), Ok(Inlet::DmarcReport), "nobody has to read reports");
    }

    #[test]
    fn where_webhooks_alone_take_mail_other_addresses_are_unknown() {
        let mut config = config();
        let pattern = regex::Regex::new("^(info|hook)@").expect("a pattern");
        config.inbound.webhooks.push(InboundWebhook { addresses: vec![pattern], ..InboundWebhook::default() });
        let unknown = Err((550, "5.1.1".to_owned()));
        assert_eq!(look(&config, "info@in.example.jp"), Ok(Inlet::Inbound));
        assert_eq!(look(&config, "hook@all.example.jp"), Ok(Inlet::Inbound));
        assert_eq!(look(&config, "anybody@all.example.jp"), unknown);
        assert_eq!(look(&config, "b-valid@old.example.jp"), Ok(Inlet::Return(Some(KEY))));
        config.forwards.push(Forward { side: ForwardSide::Inbound, ..Forward::default() });
        assert_eq!(look(&config, "anybody@all.example.jp"), Ok(Inlet::Inbound), "a filter decides by the header");
    }

    #[test]
    fn an_address_in_full_goes_before_its_role() {
        let mut config = config();
        config.inbound.addresses.push("abuse@bounce.example.jp".into());
        assert_eq!(look(&config, "abuse@bounce.example.jp"), Ok(Inlet::Inbound));
    }
}
