//! Decides who may hand us mail, and for whom.
//!
//! In: the listener's role, the client's address, its login, the config.  Out: yes, or the reply that says why not.
//! Always: without permission nothing is relayed (P7); a refusal names what would help.
//! Sources: RFC 6409 §6.1, RFC 4954 §6, CMC's connection policies.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    config::{Config, ListenerTls, PriorityRule, RelayPolicy, Role},
    event::Class,
    smtp::{
        address::Mailbox,
        reply::{Enhanced, Reply},
    },
    store::Rights,
};

/// What is known of a client when it asks.
#[derive(Clone, Debug)]
pub struct Client<'a> {
    /// Where it comes from (after a believed PROXY header: the real one).
    pub address: IpAddr,
    /// It logged in as this API user.
    pub user: Option<&'a str>,
    /// The connection is under TLS.
    pub tls_active: bool,
    /// What the listener offers.
    pub listener_tls: ListenerTls,
    /// What the listener takes.
    pub role: Role,
}

impl Client<'_> {
    /// AUTH may be used on this connection: under TLS, or from this machine.
    pub fn may_auth(&self) -> bool {
        self.role == Role::Relay && (self.tls_active || is_loopback(self.address))
    }
}

/// Whether a client may start a mail (MAIL FROM).
pub fn may_send(config: &Config, client: &Client<'_>) -> Result<(), Reply> {
    if client.role == Role::Inbound {
        return Ok(());
    }
    let in_network = contains(&config.relay.networks, client.address);
    let missing_login = client.user.is_none();
    match config.relay.policy {
        RelayPolicy::NetworkOrAuth if in_network || !missing_login => Ok(()),
        RelayPolicy::NetworkOrAuth => Err(login_needed(client)),
        RelayPolicy::Network if in_network => Ok(()),
        RelayPolicy::Network => Err(not_from_here(client)),
        RelayPolicy::Auth if !missing_login => Ok(()),
        RelayPolicy::Auth => Err(login_needed(client)),
        RelayPolicy::NetworkAndAuth if !in_network => Err(not_from_here(client)),
        RelayPolicy::NetworkAndAuth if missing_login => Err(login_needed(client)),
        RelayPolicy::NetworkAndAuth => Ok(()),
    }
}

/// Whether a client may name a recipient (RCPT TO). Asked again although MAIL was allowed: the config may have changed between.
/// An inbound listener relays for nobody: its recipients are the business of `inlets`.
pub fn may_send_to(config: &Config, client: &Client<'_>) -> Result<(), Reply> {
    match client.role {
        Role::Relay => may_send(config, client),
        Role::Inbound => Err(Reply::relaying_refused()),
    }
}

/// Whether the header's From may be sent (`relay.sender_domains_only`).
pub fn may_send_from(config: &Config, header_from: &str) -> Result<(), Reply> {
    if !config.relay.sender_domains_only {
        return Ok(());
    }
    let domain = header_from.rsplit_once('@').map_or("", |(_, d)| d).to_lowercase();
    let known = config.domains.iter().any(|d| {
        let name = d.name.to_lowercase();
        domain == name || domain.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'))
    });
    if known {
        Ok(())
    } else {
        Err(Reply::new(
            550,
            Enhanced(5, 7, 1),
            format!("Mail from the domain \"{}\" is not sent here", printable(&domain)),
        ))
    }
}

/// Whether an API user may send so: `sender` is MAIL FROM, `header_from` what the header's From names (RFC 5322 lets it name
/// several). 553 5.7.1 names the address that is not among those of the user.
pub fn may_send_as<'a>(
    rights: &Rights,
    sender: Option<&Mailbox>,
    header_from: impl IntoIterator<Item = &'a str>,
) -> Result<(), Reply> {
    may_use_sender(rights, sender)?;
    may_use_header_from(rights, header_from)
}

/// The envelope's half of [`may_send_as`]. The null sender is nobody's address: it may be used.
pub fn may_use_sender(rights: &Rights, sender: Option<&Mailbox>) -> Result<(), Reply> {
    match sender {
        Some(sender) if !is_among(&rights.senders, sender.as_str()) => Err(not_your_sender("", sender.as_str())),
        Some(_) | None => Ok(()),
    }
}

/// The header's half of [`may_send_as`]: every address of From, and at least one.
pub fn may_use_header_from<'a>(rights: &Rights, header_from: impl IntoIterator<Item = &'a str>) -> Result<(), Reply> {
    if rights.senders.is_empty() {
        return Ok(());
    }
    let mut any = false;
    for address in header_from {
        any = true;
        if !is_among(&rights.senders, address) {
            return Err(not_your_sender("header ", address));
        }
    }
    if any { Ok(()) } else { Err(not_your_sender("header ", "")) }
}

/// Senders are addresses, or domains with all below them, in lower case; empty: everybody.
fn is_among(senders: &[String], address: &str) -> bool {
    if senders.is_empty() {
        return true;
    }
    let address = address.to_lowercase();
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    !local.is_empty()
        && senders.iter().any(|sender| {
            if sender.contains('@') {
                *sender == address
            } else {
                domain.strip_suffix(sender.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        })
}

fn not_your_sender(place: &str, address: &str) -> Reply {
    let text = format!("This user may not send with the {place}From <{}>", printable(address));
    Reply::new(553, Enhanced(5, 7, 1), text)
}

/// What a message and its submitter say about its class.
#[derive(Clone, Copy, Debug)]
pub struct ClassHints<'a> {
    /// The priority header's word.
    pub header: Option<Class>,
    /// MT-PRIORITY.
    pub mt_priority: Option<i8>,
    /// The API user's class.
    pub user_class: Option<Class>,
    /// The API user; empty: none.
    pub user: &'a str,
    /// MAIL FROM.
    pub sender: Option<&'a Mailbox>,
}

/// What decided a class, in the words of `explain`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClassSource {
    /// The priority header.
    Header,
    /// MT-PRIORITY.
    MtPriority,
    /// The API user's class.
    User,
    /// The `[[delivery.priority.rule]]` at this place, from 0.
    Rule(usize),
    /// Nobody said anything: `[delivery.priority]`'s default.
    Default,
}

/// The class of a message (R5): its header says it, else MT-PRIORITY (above 0 is high, below 0 is low, 0 says nothing, as
/// RFC 6710 means it), else its API user's class, else the first rule that matches, else the default.
///
/// Everybody who may relay at all may say `high`: the class orders one operator's own mail, within shares that nobody can
/// take from the low class, and an operator who trusts his programs less gives them users with a class and no header.
pub fn class_of<'a>(
    config: &Config,
    hints: ClassHints<'_>,
    recipients: impl Iterator<Item = &'a Mailbox> + Clone,
) -> (Class, ClassSource) {
    if let Some(class) = hints.header {
        return (class, ClassSource::Header);
    }
    match hints.mt_priority {
        Some(1..) => return (Class::High, ClassSource::MtPriority),
        Some(..0) => return (Class::Low, ClassSource::MtPriority),
        Some(0) | None => {}
    }
    if let Some(class) = hints.user_class {
        return (class, ClassSource::User);
    }
    let rules = &config.delivery.priority.rules;
    match rules.iter().position(|rule| matches(rule, hints, recipients.clone())) {
        Some(place) => (rules[place].class, ClassSource::Rule(place)),
        None => (config.delivery.priority.default, ClassSource::Default),
    }
}

/// Every list that is given must match: the sender one pattern, each recipient one pattern, the user one name. The null
/// sender is the empty text; domains are compared in lower case.
fn matches<'a>(rule: &PriorityRule, hints: ClassHints<'_>, mut recipients: impl Iterator<Item = &'a Mailbox>) -> bool {
    let one_of = |patterns: &[regex::Regex], text: &str| patterns.iter().any(|p| p.is_match(text));
    (rule.users.is_empty() || rule.users.iter().any(|user| user == hints.user))
        && (rule.senders.is_empty() || one_of(&rule.senders, &hints.sender.map(plain).unwrap_or_default()))
        && (rule.recipients.is_empty() || recipients.all(|address| one_of(&rule.recipients, &plain(address))))
}

/// An address as patterns see it.
fn plain(address: &Mailbox) -> String {
    format!("{}@{}", address.local(), address.domain_key())
}

/// Whether one of the networks holds the address; an IPv4 address in IPv6 clothes counts as IPv4.
pub fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|n| n.contains(&address))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn login_needed(client: &Client<'_>) -> Reply {
    if client.may_auth() {
        Reply::new(530, Enhanced(5, 7, 0), "Authentication required: log in with AUTH first")
    } else if client.listener_tls == ListenerTls::StartTls {
        Reply::new(530, Enhanced(5, 7, 0), "Must issue a STARTTLS command first, then AUTH")
    } else {
        not_from_here(client)
    }
}

fn not_from_here(client: &Client<'_>) -> Reply {
    Reply::new(
        550,
        Enhanced(5, 7, 1),
        format!("Relaying refused: your address {} is not one that may send through here", client.address),
    )
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(255).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str, user: Option<&'static str>, tls_active: bool) -> Client<'static> {
        Client {
            address: address.parse().unwrap(),
            user,
            tls_active,
            listener_tls: ListenerTls::StartTls,
            role: Role::Relay,
        }
    }

    #[test]
    fn who_may_send_under_each_policy() {
        use RelayPolicy::{Auth, Network, NetworkAndAuth, NetworkOrAuth};
        let (inside, outside) = ("127.0.0.1", "203.0.113.9");
        for (policy, address, user, tls, want) in [
            (NetworkOrAuth, inside, None, false, 0),
            (NetworkOrAuth, outside, None, false, 530),
            (NetworkOrAuth, outside, None, true, 530),
            (NetworkOrAuth, outside, Some("app"), true, 0),
            (Network, inside, None, false, 0),
            (Network, outside, None, true, 550),
            (Network, outside, Some("app"), true, 550),
            (Auth, inside, None, false, 530),
            (Auth, inside, Some("app"), false, 0),
            (Auth, outside, Some("app"), true, 0),
            (NetworkAndAuth, outside, Some("app"), true, 550),
            (NetworkAndAuth, inside, None, false, 530),
            (NetworkAndAuth, inside, Some("app"), false, 0),
        ] {
            let mut config = Config::default();
            config.relay.policy = policy;
            let got = may_send(&config, &client(address, user, tls)).err().map_or(0, |r| r.code);
            assert_eq!(got, want, "{policy:?} {address} {user:?} tls={tls}");
            assert_eq!(may_send_to(&config, &client(address, user, tls)).err().map_or(0, |r| r.code), want);
        }
    }

    #[test]
    fn a_user_with_senders_sends_as_these_alone_in_envelope_and_header() {
        let rights = |senders: &[&str]| Rights {
            senders: senders.iter().map(|s| (*s).to_owned()).collect(),
            ..Rights::default()
        };
        let some = rights(&["example.jp", "news@example.com"]);
        for (sender, from, fits) in [
            (Some("a@example.jp"), &["a@example.jp"][..], true),
            (Some("A@SUB.Example.JP"), &["B@example.jp"], true),
            (Some("news@example.com"), &["News@Example.com"], true),
            (None, &["a@example.jp"], true),
            (Some("a@example.jp"), &["a@example.jp", "b@example.jp"], true),
            (Some("other@example.com"), &["a@example.jp"], false),
            (Some("a@notexample.jp"), &["a@example.jp"], false),
            (Some("a@example.jp"), &["a@example.jp.evil.example"], false),
            (Some("a@example.jp"), &["a@example.jp", "ceo@bank.example"], false),
            (Some("a@example.jp"), &["ceo@bank.example"], false),
            (Some("a@example.jp"), &[], false),
            (Some("a@example.jp"), &[""], false),
            (Some("a@example.jp"), &["example.jp"], false),
            (Some("a@example.jp"), &["@example.jp"], false),
            (None, &["ceo@bank.example"], false),
        ] {
            let sender = sender.map(|s| Mailbox::parse(s).expect("an address"));
            let told = may_send_as(&some, sender.as_ref(), from.iter().copied());
            let code = told.as_ref().err().map(|reply| (reply.code, reply.enhanced));
            let expected = (!fits).then_some((553, Some(Enhanced(5, 7, 1))));
            assert_eq!(code, expected, "{sender:?} {from:?}");
            assert!(may_send_as(&rights(&[]), sender.as_ref(), from.iter().copied()).is_ok(), "no limits");
        }
    }

    #[test]
    fn an_inbound_listener_relays_for_nobody() {
        let mut inbound = client("127.0.0.1", None, false);
        inbound.role = Role::Inbound;
        let config = Config::default();
        assert!(may_send(&config, &inbound).is_ok());
        let reply = may_send_to(&config, &inbound).unwrap_err();
        assert_eq!((reply.code, reply.enhanced), (550, Some(Enhanced(5, 7, 1))));
    }

    #[test]
    fn a_mapped_ipv4_address_is_in_its_ipv4_network() {
        let networks = ["10.0.0.0/8".parse().unwrap()];
        assert!(contains(&networks, "::ffff:10.1.2.3".parse().unwrap()));
        assert!(!contains(&networks, "::ffff:11.1.2.3".parse().unwrap()));
    }

    #[test]
    fn the_nearest_word_decides_the_class() {
        let regex = |text: &str| vec![regex::Regex::new(text).expect("a pattern")];
        let mut config = Config::default();
        config.delivery.priority.rules = vec![
            PriorityRule { class: Class::High, recipients: regex("@otp\\.example$"), ..PriorityRule::default() },
            PriorityRule {
                class: Class::Low,
                senders: regex("^news@"),
                users: vec!["crm".into()],
                ..PriorityRule::default()
            },
            PriorityRule { class: Class::Low, senders: regex("^$"), ..PriorityRule::default() },
        ];
        let address = |text: &str| Mailbox::parse(text).expect("an address");
        let (news, other) = (address("news@a.example"), address("a@a.example"));
        let (otp, elsewhere) = (vec![address("x@OTP.example")], vec![address("x@otp.example"), address("x@b.example")]);
        let quiet = ClassHints { header: None, mt_priority: None, user_class: None, user: "", sender: Some(&other) };
        let (high, low) = (Some(Class::High), Some(Class::Low));
        for (hints, to, expected) in [
            (quiet, &elsewhere, (Class::Normal, ClassSource::Default)),
            (quiet, &otp, (Class::High, ClassSource::Rule(0))),
            (ClassHints { user_class: low, ..quiet }, &otp, (Class::Low, ClassSource::User)),
            (
                ClassHints { mt_priority: Some(1), user_class: low, ..quiet },
                &otp,
                (Class::High, ClassSource::MtPriority),
            ),
            (ClassHints { mt_priority: Some(-9), ..quiet }, &otp, (Class::Low, ClassSource::MtPriority)),
            (ClassHints { mt_priority: Some(0), ..quiet }, &otp, (Class::High, ClassSource::Rule(0))),
            (
                ClassHints { header: low, mt_priority: Some(9), user_class: high, ..quiet },
                &otp,
                (Class::Low, ClassSource::Header),
            ),
            (ClassHints { sender: Some(&news), user: "crm", ..quiet }, &elsewhere, (Class::Low, ClassSource::Rule(1))),
            (ClassHints { sender: Some(&news), ..quiet }, &elsewhere, (Class::Normal, ClassSource::Default)),
            (ClassHints { user: "crm", ..quiet }, &elsewhere, (Class::Normal, ClassSource::Default)),
            (ClassHints { sender: None, ..quiet }, &elsewhere, (Class::Low, ClassSource::Rule(2))),
        ] {
            assert_eq!(class_of(&config, hints, to.iter()), expected, "{hints:?}");
        }
    }

    #[test]
    fn the_header_from_must_be_of_a_configured_domain_when_asked() {
        let mut config = Config::default();
        assert!(may_send_from(&config, "a@elsewhere.example").is_ok());
        config.relay.sender_domains_only = true;
        config.domains.push(crate::config::Domain { name: "Example.JP".into(), ..Default::default() });
        for (from, ok) in [
            ("a@example.jp", true),
            ("a@sub.EXAMPLE.jp", true),
            ("a@notexample.jp", false),
            ("", false),
            ("a@elsewhere.example", false),
        ] {
            assert_eq!(may_send_from(&config, from).is_ok(), ok, "{from}");
        }
    }
}
