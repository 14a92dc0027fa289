//! How a mail would be treated, and why: the decision chain, gathered from the rooms that decide.
//!
//! In: a question of the command line or a page.  Out: facts in the order of the decisions: who may submit, the class, the
//! sender that goes out, the route, the site with its limits, and when the next try is due.
//! Always: nothing is sent and nothing changes; questions to DNS are bounded by the resolver's patience.

use std::sync::Arc;

use crate::{
    account::rights::rate_text,
    bounce::{envelope_from::Mail, keys::KeyRing},
    clock::{Clock, Timestamp},
    config::{Config, InForce, RelayPolicy},
    deliver::{attempt::Deliverer, envelope::return_address, lead, rules::lane_of},
    event::WaitReason,
    fact::Fact,
    http::daemon::ExplainQuery,
    intake::policy::{self, ClassHints, ClassSource},
    schedule::task::Handle,
    signing::Keyring,
    smtp::address::Mailbox,
    store::{Account, AccountKind, Message, Recipient, RecipientState, Store},
    suppress::Suppressions,
    webhook::inbound_lane::{hook_name, hook_of},
};

/// Senders of a user that are told by name.
const SENDERS_TOLD_MAX: usize = 10;

/// Those who decide.
#[derive(Clone)]
pub struct Deciders {
    /// The config in force.
    pub config: InForce,
    /// Users and their classes.
    pub store: Store,
    /// `None` in the sandbox.
    pub deliverer: Option<Arc<Deliverer>>,
    /// Limits and their use.
    pub scheduler: Handle,
    /// The time.
    pub clock: Clock,
    /// The keys of return addresses.
    pub keys: KeyRing,
    /// The keys that sign.
    pub signing_keys: Keyring,
    /// Who is not written to.
    pub suppressions: Suppressions,
}

impl Deciders {
    /// How a mail would be treated. Blocks while DNS is asked.
    pub fn explain(&self, query: &ExplainQuery) -> Vec<Fact> {
        let config = self.config.get();
        let account = self.store.accounts().ok().and_then(|all| all.into_iter().find(|a| a.name == query.user));
        let mut facts = vec![Fact::new("policy", policy_words(&config, query))];
        if let Some(account) = &account {
            facts.extend(user_facts(account, query.sender.as_ref(), self.clock.now()));
        }
        facts.push(class(&config, query, account.as_ref()));
        facts.push(Fact::new("return path", self.return_path(&config, query.sender.as_ref())));
        facts.push(self.signature(query.sender.as_ref()));
        facts.extend(self.suppression(&query.recipient, &query.user));
        facts.extend(self.route(&config, &query.recipient, &query.user));
        facts
    }

    fn suppression(&self, recipient: &Mailbox, user: &str) -> Vec<Fact> {
        let trouble = |error| vec![Fact::new("suppression", format!("cannot be read: {error}"))];
        self.suppressions.explain(recipient.as_str(), user).unwrap_or_else(trouble)
    }

    /// How a waiting recipient is treated. Blocks while DNS is asked.
    pub fn facts_of(&self, message: &Message, recipient: &Recipient) -> Vec<Fact> {
        let config = self.config.get();
        let sender = return_address(message, recipient.key.index, &self.keys);
        let sender = sender.as_deref().map_or("", Mailbox::as_str);
        let path = format!("<{sender}>: {}, as was decided when the mail was accepted", message.return_path);
        let mut facts = vec![Fact::new("class", message.class.word()), Fact::new("return path", path)];
        let RecipientState::Waiting { due, wait } = &recipient.state else { return facts };
        if let Some(name) = hook_name(recipient.lane.destination()) {
            let words = match hook_of(&config, &recipient.lane) {
                Some(hook) => format!("posted by [[inbound.webhook]] {:?} to {}", hook.name, hook.url_shown()),
                None => format!("no [[inbound.webhook]] has the name {name:?}: add it again, or drop this mail"),
            };
            facts.push(Fact::new("route", words));
            facts.extend(self.scheduler.facts(&recipient.lane, self.clock.now()));
            facts.push(Fact::new("next try", next_try(*due, *wait, self.clock.now())));
            return facts;
        }
        facts.push(self.signature_of(message, recipient));
        facts.extend(self.suppression(&recipient.address, &message.user));
        facts.extend(self.route(&config, &recipient.address, &message.user));
        facts.push(Fact::new("next try", next_try(*due, *wait, self.clock.now())));
        facts
    }

    /// The sender that would go out, and the setting that says so. A mail whose header From has another domain may differ.
    fn return_path(&self, config: &Config, sender: Option<&Mailbox>) -> String {
        let header_from = sender.map_or("", Mailbox::as_str);
        let mail = Mail { header_from, sender, is_ours: false };
        let words = config.return_path(&mail, self.keys.newest()).to_string();
        let may_differ =
            config.domains.iter().any(|domain| domain.envelope_from_rewrite) || config.envelope_from.rewrite;
        if may_differ && sender.is_some() {
            format!("{words}; taken for the header From, too, which comes first")
        } else {
            words
        }
    }

    /// Who signs mail of this sender.
    fn signature(&self, sender: Option<&Mailbox>) -> Fact {
        if self.deliverer.is_none() {
            return sandbox_signs_nothing();
        }
        let header_from = sender.map_or("", Mailbox::as_str);
        let fact = lead::fact(lead::signers_of(&self.signing_keys, header_from));
        Fact::new("dkim", format!("{}; taken for the header From, which decides", fact.says))
    }

    /// Who signs, or signed, a mail that waits.
    fn signature_of(&self, message: &Message, recipient: &Recipient) -> Fact {
        if self.deliverer.is_none() {
            return sandbox_signs_nothing();
        }
        let kept = self.store.leads(message.id, &[recipient.key.index]).unwrap_or_default();
        match kept.iter().max_by_key(|kept| kept.index) {
            Some(kept) => lead::fact_of_kept(&kept.octets),
            None => lead::fact(lead::signers(&self.signing_keys, message)),
        }
    }

    fn route(&self, config: &Config, recipient: &Mailbox, user: &str) -> Vec<Fact> {
        let lane = lane_of(&config.delivery, recipient);
        let mut facts = match &self.deliverer {
            Some(deliverer) => async_io::block_on(deliverer.explain(recipient, user)),
            None => vec![Fact::new("route", "the built-in sandbox: nothing leaves this machine")],
        };
        facts.extend(self.scheduler.facts(&lane, self.clock.now()));
        facts
    }
}

fn sandbox_signs_nothing() -> Fact {
    Fact::new("dkim", "not signed: the built-in sandbox sends nothing")
}

fn class(config: &Config, query: &ExplainQuery, account: Option<&Account>) -> Fact {
    let hints = ClassHints {
        header: None,
        mt_priority: None,
        user_class: account.and_then(|a| a.rights.class),
        user: &query.user,
        sender: query.sender.as_ref(),
    };
    let (class, source) = policy::class_of(config, hints, std::iter::once(&query.recipient));
    let why = match source {
        ClassSource::Header | ClassSource::MtPriority => "the mail says so".to_owned(),
        ClassSource::User => format!("the class of {}", query.user),
        ClassSource::Rule(n) => format!("[[delivery.priority.rule]] number {}", n + 1),
        ClassSource::Default => "nobody says otherwise".to_owned(),
    };
    let header = &config.delivery.priority.header;
    Fact::new("class", format!("{}: {why}; {header} and MT-PRIORITY in the mail come first", class.word()))
}

/// What the user itself may not do, or does otherwise.
fn user_facts(account: &Account, sender: Option<&Mailbox>, now: Timestamp) -> Vec<Fact> {
    let (rights, mut facts) = (&account.rights, Vec::new());
    let mut tell = |words: String| facts.push(Fact::new("user", words));
    if account.kind == AccountKind::Console {
        tell("refused: a console user sends no mail (535 5.7.8)".into());
    } else if !rights.smtp {
        tell("refused by SMTP: its access lacks smtp (535 5.7.8)".into());
    }
    match rights.expires_at {
        Some(at) if at <= now => tell(format!("refused: its time was over at {at} (535 5.7.8)")),
        Some(at) => tell(format!("may send until {at}")),
        None => {}
    }
    if !rights.networks.is_empty() {
        let networks: Vec<String> = rights.networks.iter().map(ToString::to_string).collect();
        tell(format!("logs in from {}", networks.join(", ")));
    }
    if !rights.senders.is_empty() {
        let verdict = match policy::may_use_sender(rights, sender) {
            Ok(()) => "this sender is among them".to_owned(),
            Err(reply) => format!("refused: {reply}"),
        };
        let some = rights.senders.iter().take(SENDERS_TOLD_MAX).cloned().collect::<Vec<_>>().join(", ");
        let more = rights.senders.len().saturating_sub(SENDERS_TOLD_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        tell(format!("sends as {some}{more}, in envelope and header From; {verdict}"));
    }
    if rights.rate.is_some() {
        tell(format!("submits at most {} recipients; over it 451 4.7.1", rate_text(rights.rate)));
    }
    if rights.sandbox {
        tell("in the sandbox: its mail is taken and logged, and never delivered".into());
    }
    facts
}

fn policy_words(config: &Config, query: &ExplainQuery) -> String {
    let networks = || config.relay.networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut words = match (config.relay.policy, query.user.is_empty()) {
        (RelayPolicy::NetworkOrAuth | RelayPolicy::Auth, false) => format!("{} may submit after its login", query.user),
        (RelayPolicy::NetworkAndAuth, false) => {
            format!("{} may submit after its login, from {}", query.user, networks())
        }
        (RelayPolicy::NetworkOrAuth | RelayPolicy::Network, true) => format!("taken from {}", networks()),
        (RelayPolicy::Network, false) => format!("taken from {}; a login changes nothing", networks()),
        (RelayPolicy::Auth | RelayPolicy::NetworkAndAuth, true) => {
            "refused without a login (550 5.7.1): relay.policy asks for one".to_owned()
        }
    };
    if config.relay.sender_domains_only {
        words.push_str("; the header From must be of a configured [[domain]]");
    }
    words
}

fn next_try(due: Timestamp, wait: WaitReason, now: Timestamp) -> String {
    if due == Timestamp::MAX {
        return format!("never by itself: {}", wait.word());
    }
    if due <= now {
        return format!("now, when its turn comes ({})", wait.word());
    }
    format!("{due}, in {} s ({})", due.since(now).as_secs(), wait.word())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Person, RateLimit, Rights};

    #[test]
    fn the_next_try_is_told_with_its_reason() {
        let now = Timestamp::from_millis(1_764_000_000_000);
        let later = now.plus(std::time::Duration::from_secs(90));
        assert_eq!(next_try(Timestamp::MAX, WaitReason::Held, now), "never by itself: held");
        assert_eq!(next_try(now, WaitReason::Fresh, now), "now, when its turn comes (fresh)");
        assert!(next_try(later, WaitReason::Site, now).ends_with("in 90 s (site)"));
    }

    #[test]
    fn what_keeps_a_user_from_sending_is_told() {
        let now = Timestamp::from_millis(1_764_000_000_000);
        let mut account = Account {
            name: "shop".into(),
            kind: AccountKind::Api,
            hash: crate::secret::Secret::default(),
            created_at: now,
            password_set_at: now,
            rights: Rights { smtp: true, ..Rights::default() },
            person: Person::default(),
        };
        let told = |account: &Account, sender: &str| {
            let sender = Mailbox::parse(sender).expect("an address");
            let facts = user_facts(account, Some(&sender), now);
            facts.into_iter().map(|fact| fact.says).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(told(&account, "a@example.jp"), "");
        account.rights = Rights {
            senders: vec!["example.jp".into()],
            networks: vec!["192.0.2.0/24".parse().expect("a network")],
            rate: Some(RateLimit { recipients: 10, per: std::time::Duration::from_secs(60) }),
            expires_at: Some(now),
            sandbox: true,
            ..Rights::default()
        };
        let all = told(&account, "a@example.com");
        for words in
            ["lacks smtp", "was over", "192.0.2.0/24", "sends as example.jp", "553 5.7.1", "10/1m", "never delivered"]
        {
            assert!(all.contains(words), "{words}: {all}");
        }
        assert!(told(&account, "a@example.jp").contains("this sender is among them"));
    }

    #[test]
    fn who_may_submit_is_told_for_every_policy() {
        let mut config = Config::default();
        let query = |user: &str| ExplainQuery {
            recipient: Mailbox::parse("a@example.org").expect("an address"),
            sender: None,
            user: user.to_owned(),
        };
        for (policy, user, words) in [
            (RelayPolicy::NetworkOrAuth, "", "taken from"),
            (RelayPolicy::NetworkOrAuth, "shop", "shop may submit"),
            (RelayPolicy::Network, "shop", "changes nothing"),
            (RelayPolicy::Auth, "", "refused without a login"),
            (RelayPolicy::NetworkAndAuth, "shop", "after its login, from"),
        ] {
            config.relay.policy = policy;
            assert!(policy_words(&config, &query(user)).contains(words), "{policy:?} {user}");
        }
    }
}
