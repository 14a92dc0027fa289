//! How a mail would be treated, and why: the decision chain, gathered from the rooms that decide.
//!
//! In: a question of the command line or a page.  Out: facts in the order of the decisions: who may submit, the class, the
//! sender that goes out, the route, the site with its limits, and when the next try is due.
//! Always: nothing is sent and nothing changes; questions to DNS are bounded by the resolver's patience.

use std::{future::Future, sync::Arc, time::Duration};

use async_io::Timer;
use smol::future::FutureExt;

use crate::{
    account::rights::rate_text,
    bounce::{
        envelope_from::{Mail, ReturnPath, Why},
        keys::KeyRing,
    },
    clock::{Clock, Timestamp},
    config::{Config, InForce, RelayPolicy},
    deliver::{attempt::Deliverer, envelope::return_address, lead, rules::lane_of},
    event::{Class, WaitReason},
    fact::Fact,
    http::daemon::ExplainQuery,
    intake::policy::{self, ClassHints, ClassSource},
    language::Language,
    schedule::task::Handle,
    signing::Keyring,
    smtp::address::Mailbox,
    store::{Account, AccountKind, Message, Recipient, RecipientState, Store},
    suppress::Suppressions,
    webhook::inbound_lane::{hook_name, hook_of},
};

/// Senders of a user that are told by name.
const SENDERS_TOLD_MAX: usize = 10;

/// How long an operator's question waits for the DNS: longer than its own patience.
const EXPLAIN_WITHIN: Duration = Duration::from_secs(60);

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
        let mut facts = vec![Fact::told("policy", |language| policy_words(&config, query, language))];
        if let Some(account) = &account {
            facts.extend(user_facts(account, query.sender.as_ref(), self.clock.now()));
        }
        facts.push(class(&config, query, account.as_ref()));
        facts.push(self.return_path(&config, query.sender.as_ref()));
        facts.push(self.signature(query.sender.as_ref()));
        facts.extend(self.suppression(&query.recipient, &query.user));
        facts.extend(self.route(&config, &query.recipient, &query.user, EXPLAIN_WITHIN));
        facts
    }

    fn suppression(&self, recipient: &Mailbox, user: &str) -> Vec<Fact> {
        let trouble = |error| {
            let japanese = format!("配信停止リストを読み込めません：{error}");
            vec![Fact::new("suppression", format!("cannot be read: {error}"), japanese)]
        };
        self.suppressions.explain(recipient.as_str(), user).unwrap_or_else(trouble)
    }

    /// How a waiting recipient is treated. Blocks while DNS is asked, `within` that time: what is not known then is said so.
    pub fn facts_of(&self, message: &Message, recipient: &Recipient, within: Duration) -> Vec<Fact> {
        let config = self.config.get();
        let sender = return_address(message, recipient.key.index, &self.keys);
        let sender = sender.as_deref().map_or("", Mailbox::as_str);
        let path = Fact::new(
            "return path",
            format!("<{sender}>: {}, as was decided when the mail was accepted", message.return_path),
            format!("<{sender}>：{}（受付時に決定）", path_in_japanese(&message.return_path)),
        );
        let mut facts = vec![Fact::new("class", message.class.word(), class_in_japanese(message.class)), path];
        let RecipientState::Waiting { due, wait } = &recipient.state else { return facts };
        if let Some(name) = hook_name(recipient.lane.destination()) {
            facts.push(match hook_of(&config, &recipient.lane) {
                Some(hook) => Fact::new(
                    "route",
                    format!("posted by [[inbound.webhook]] {:?} to {}", hook.name, hook.url_shown()),
                    format!("[[inbound.webhook]] 「{}」により {} へ POST します。", hook.name, hook.url_shown()),
                ),
                None => Fact::new(
                    "route",
                    format!("no [[inbound.webhook]] has the name {name:?}: add it again, or drop this mail"),
                    format!(
                        "「{name}」という名前の [[inbound.webhook]] がありません。設定を追加し直すか、このメールを破棄してください。"
                    ),
                ),
            });
            facts.extend(self.scheduler.facts(&recipient.lane, self.clock.now()));
            facts.push(next_try(*due, *wait, self.clock.now()));
            return facts;
        }
        facts.push(self.signature_of(message, recipient));
        facts.extend(self.suppression(&recipient.address, &message.user));
        facts.extend(self.route(&config, &recipient.address, &message.user, within));
        facts.push(next_try(*due, *wait, self.clock.now()));
        facts
    }

    /// The sender that would go out, and the setting that says so. A mail whose header From has another domain may differ.
    fn return_path(&self, config: &Config, sender: Option<&Mailbox>) -> Fact {
        let header_from = sender.map_or("", Mailbox::as_str);
        let mail = Mail { header_from, sender, is_ours: false };
        let decision = config.return_path(&mail, self.keys.newest());
        let words = decision.to_string();
        let japanese = format!("{}：{}", path_in_japanese(&decision.path), why_in_japanese(decision.why));
        let may_differ =
            config.domains.iter().any(|domain| domain.envelope_from_rewrite) || config.envelope_from.rewrite;
        if may_differ && sender.is_some() {
            Fact::new(
                "return path",
                format!("{words}; taken for the header From, too, which comes first"),
                format!("{japanese}（ヘッダー From も同じアドレスと仮定しています。実際はヘッダー From を優先します）"),
            )
        } else {
            Fact::new("return path", words, japanese)
        }
    }

    /// Who signs mail of this sender.
    fn signature(&self, sender: Option<&Mailbox>) -> Fact {
        if self.deliverer.is_none() {
            return sandbox_signs_nothing();
        }
        let header_from = sender.map_or("", Mailbox::as_str);
        let fact = lead::fact(lead::signers_of(&self.signing_keys, header_from));
        Fact::new(
            "dkim",
            format!("{}; taken for the header From, which decides", fact.says),
            format!(
                "{}（ヘッダー From も同じアドレスと仮定しています。実際はヘッダー From で決まります）",
                fact.says.words(Language::Japanese)
            ),
        )
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

    fn route(&self, config: &Config, recipient: &Mailbox, user: &str, within: Duration) -> Vec<Fact> {
        let lane = lane_of(&config.delivery, recipient);
        let mut facts = match &self.deliverer {
            Some(deliverer) => async_io::block_on(in_time(deliverer.explain(recipient, user), within)),
            None => vec![Fact::new(
                "route",
                "the built-in sandbox: nothing leaves this machine",
                "組み込みのサンドボックスです。外部へは送信しません。",
            )],
        };
        facts.extend(self.scheduler.facts(&lane, self.clock.now()));
        facts
    }
}

/// What is known of the route within that time: a resolver that says nothing keeps no page.
async fn in_time(asking: impl Future<Output = Vec<Fact>>, within: Duration) -> Vec<Fact> {
    let late = async {
        Timer::after(within).await;
        vec![Fact::new(
            "route",
            "not known now: the DNS has not answered yet; look again in a moment, or ask hikyaku explain",
            "DNS の応答がまだないため、現在は表示できません。しばらくしてから再読み込みするか、hikyaku explain で確認してください。",
        )]
    };
    asking.or(late).await
}

fn sandbox_signs_nothing() -> Fact {
    Fact::new(
        "dkim",
        "not signed: the built-in sandbox sends nothing",
        "署名しません：組み込みのサンドボックスは送信しません。",
    )
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
    let why = |language: Language| match source {
        ClassSource::Header | ClassSource::MtPriority => {
            language.pick("the mail says so", "メールの指定による").to_owned()
        }
        ClassSource::User => {
            language.pick(format!("the class of {}", query.user), format!("ユーザー {} の優先度による", query.user))
        }
        ClassSource::Rule(n) => language.pick(
            format!("[[delivery.priority.rule]] number {}", n + 1),
            format!("{} 番目の [[delivery.priority.rule]] による", n + 1),
        ),
        ClassSource::Default => language.pick("nobody says otherwise", "指定なし").to_owned(),
    };
    let header = &config.delivery.priority.header;
    Fact::told("class", |language| {
        let why = why(language);
        language.pick(
            format!("{}: {why}; {header} and MT-PRIORITY in the mail come first", class.word()),
            format!("{}（{why}）。メールの {header} と MT-PRIORITY を優先します。", class_in_japanese(class)),
        )
    })
}

fn class_in_japanese(class: Class) -> &'static str {
    match class {
        Class::High => "高",
        Class::Normal => "通常",
        Class::Low => "低",
    }
}

/// A sender that goes out, in Japanese.
fn path_in_japanese(path: &ReturnPath) -> String {
    match path {
        ReturnPath::AsIs => "そのまま使用します".to_owned(),
        ReturnPath::Token { domain, .. } => format!("受信者ごとに {domain} のトークン付きアドレスを使用します"),
        ReturnPath::KeepLocal { domain } => format!("ローカル部を残して {domain} のアドレスを使用します"),
    }
}

/// Why a sender goes out as it does, in Japanese.
fn why_in_japanese(why: Why<'_>) -> String {
    match why {
        Why::NullSender => "空の送信者は書き換えません。".to_owned(),
        Why::Ours => "自動生成の通知と受信メールの転送は書き換えません。".to_owned(),
        Why::ReturnAddress => "すでにこのサーバーの返送先アドレスです。".to_owned(),
        Why::Domain(name) => format!("[[domain]] {name} に envelope_from_rewrite = true があります。"),
        Why::Advanced(None) => {
            "[envelope_from] に rewrite = true があり、該当する [[domain]] はありません。".to_owned()
        }
        Why::Advanced(Some(name)) => {
            format!("[envelope_from] に rewrite = true があり、[[domain]] {name} に個別の設定はありません。")
        }
        Why::Neither(None) => "[envelope_from] が rewrite = false で、該当する [[domain]] はありません。".to_owned(),
        Why::Neither(Some(name)) => format!("[[domain]] {name} も [envelope_from] も書き換えません。"),
        Why::Impossible => "返送先ドメインを使うと、アドレスの長さの上限を超えます。".to_owned(),
    }
}

/// What the user itself may not do, or does otherwise.
fn user_facts(account: &Account, sender: Option<&Mailbox>, now: Timestamp) -> Vec<Fact> {
    let (rights, mut facts) = (&account.rights, Vec::new());
    let mut tell = |english: String, japanese: String| facts.push(Fact::new("user", english, japanese));
    if account.kind == AccountKind::Console {
        tell(
            "refused: a console user sends no mail (535 5.7.8)".into(),
            "拒否します：管理画面のユーザーはメールを送信できません（535 5.7.8）。".into(),
        );
    } else if !rights.smtp {
        tell(
            "refused by SMTP: its access lacks smtp (535 5.7.8)".into(),
            "SMTP では拒否します：アクセス権に smtp がありません（535 5.7.8）。".into(),
        );
    }
    match rights.expires_at {
        Some(at) if at <= now => tell(
            format!("refused: its time was over at {at} (535 5.7.8)"),
            format!("拒否します：有効期限 {at} を過ぎています（535 5.7.8）。"),
        ),
        Some(at) => tell(format!("may send until {at}"), format!("{at} まで送信できます。")),
        None => {}
    }
    if !rights.networks.is_empty() {
        let networks: Vec<String> = rights.networks.iter().map(ToString::to_string).collect();
        tell(
            format!("logs in from {}", networks.join(", ")),
            format!("{} からログインできます。", networks.join("、")),
        );
    }
    if !rights.senders.is_empty() {
        let (verdict, verdict_ja) = match policy::may_use_sender(rights, sender) {
            Ok(()) => ("this sender is among them".to_owned(), "この送信者は含まれています。".to_owned()),
            Err(reply) => (format!("refused: {reply}"), format!("拒否します：{reply}")),
        };
        let some = rights.senders.iter().take(SENDERS_TOLD_MAX).cloned().collect::<Vec<_>>().join(", ");
        let more = rights.senders.len().saturating_sub(SENDERS_TOLD_MAX);
        let [more, more_ja] = if more > 0 {
            [format!(" and {more} more"), format!(" ほか {more} 件")]
        } else {
            [String::new(), String::new()]
        };
        tell(
            format!("sends as {some}{more}, in envelope and header From; {verdict}"),
            format!("エンベロープFrom とヘッダー From に使えるのは {some}{more_ja} です。{verdict_ja}"),
        );
    }
    if rights.rate.is_some() {
        let rate = rate_text(rights.rate);
        tell(
            format!("submits at most {rate} recipients; over it 451 4.7.1"),
            format!("投入できる受信者数は {rate} までです。超えると 451 4.7.1 を返します。"),
        );
    }
    if rights.sandbox {
        tell(
            "in the sandbox: its mail is taken, logged and kept to be looked at, and never delivered".into(),
            "サンドボックスのユーザーです。メールは受け付けて記録し、画面で確認できるように保管しますが、配信しません。".into(),
        );
    }
    facts
}

fn policy_words(config: &Config, query: &ExplainQuery, language: Language) -> String {
    let networks: Vec<String> = config.relay.networks.iter().map(ToString::to_string).collect();
    let (networks, user) = (networks.join(language.pick(", ", "、")), &query.user);
    let mut words = match (config.relay.policy, user.is_empty()) {
        (RelayPolicy::NetworkOrAuth | RelayPolicy::Auth, false) => language.pick(
            format!("{user} may submit after its login"),
            format!("ユーザー {user} はログインすれば送信を依頼できます。"),
        ),
        (RelayPolicy::NetworkAndAuth, false) => language.pick(
            format!("{user} may submit after its login, from {networks}"),
            format!("ユーザー {user} は {networks} からログインすれば送信を依頼できます。"),
        ),
        (RelayPolicy::NetworkOrAuth | RelayPolicy::Network, true) => {
            language.pick(format!("taken from {networks}"), format!("{networks} からのメールを受け付けます。"))
        }
        (RelayPolicy::Network, false) => language.pick(
            format!("taken from {networks}; a login changes nothing"),
            format!("{networks} からのメールを受け付けます。ログインしても変わりません。"),
        ),
        (RelayPolicy::Auth | RelayPolicy::NetworkAndAuth, true) => language
            .pick(
                "refused without a login (550 5.7.1): relay.policy asks for one",
                "ログインなしでは拒否します（550 5.7.1）。relay.policy がログインを求めています。",
            )
            .to_owned(),
    };
    if config.relay.sender_domains_only {
        words.push_str(language.pick(
            "; the header From must be of a configured [[domain]]",
            "ヘッダー From は、設定済みの [[domain]] のアドレスに限ります。",
        ));
    }
    words
}

fn next_try(due: Timestamp, wait: WaitReason, now: Timestamp) -> Fact {
    let (word, japanese) = (wait.word(), wait_in_japanese(wait));
    if due == Timestamp::MAX {
        return Fact::new(
            "next try",
            format!("never by itself: {word}"),
            format!("自動では再送しません（{japanese}）。"),
        );
    }
    if due <= now {
        return Fact::new(
            "next try",
            format!("now, when its turn comes ({word})"),
            format!("順番が来次第、送信します（{japanese}）。"),
        );
    }
    let seconds = due.since(now).as_secs();
    Fact::new(
        "next try",
        format!("{due}, in {seconds} s ({word})"),
        format!("{due}（{seconds} 秒後、{japanese}）に送信します。"),
    )
}

fn wait_in_japanese(wait: WaitReason) -> &'static str {
    match wait {
        WaitReason::Fresh => "未試行",
        WaitReason::Retry => "再送待ち",
        WaitReason::Site => "接続不可",
        WaitReason::Held => "保留",
        WaitReason::Damaged => "保留、本文破損",
        WaitReason::Scheduled => "配信予約",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Person, RateLimit, Rights};

    #[test]
    fn a_silent_dns_keeps_nobody_longer_than_he_waits() {
        let known = || async { vec![Fact::new("route", "by mx.example", "mx.example")] };
        let began = Clock::system().instant();
        let facts = smol::block_on(in_time(smol::future::pending(), Duration::from_millis(50)));
        assert!(facts[0].says.words(Language::English).starts_with("not known now"), "{facts:?}");
        assert!(Clock::system().instant() - began < Duration::from_secs(5));
        let facts = smol::block_on(in_time(known(), Duration::ZERO));
        assert_eq!(facts[0].says.words(Language::English), "by mx.example", "what is known at once is told");
    }

    #[test]
    fn the_next_try_is_told_with_its_reason() {
        let now = Timestamp::from_millis(1_764_000_000_000);
        let later = now.plus(std::time::Duration::from_secs(90));
        let next = |due, wait| next_try(due, wait, now).says;
        assert_eq!(next(Timestamp::MAX, WaitReason::Held).to_string(), "never by itself: held");
        assert_eq!(next(now, WaitReason::Fresh).to_string(), "now, when its turn comes (fresh)");
        assert!(next(later, WaitReason::Site).to_string().ends_with("in 90 s (site)"));
        let japanese = |due, wait| next(due, wait).words(Language::Japanese).to_owned();
        assert_eq!(japanese(Timestamp::MAX, WaitReason::Held), "自動では再送しません（保留）。");
        assert!(japanese(later, WaitReason::Site).ends_with("（90 秒後、接続不可）に送信します。"));
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
            facts.into_iter().map(|fact| fact.says.to_string()).collect::<Vec<_>>().join("\n")
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
        for (policy, user, words, japanese) in [
            (RelayPolicy::NetworkOrAuth, "", "taken from", "からのメールを受け付けます"),
            (RelayPolicy::NetworkOrAuth, "shop", "shop may submit", "ユーザー shop は"),
            (RelayPolicy::Network, "shop", "changes nothing", "ログインしても変わりません"),
            (RelayPolicy::Auth, "", "refused without a login", "ログインなしでは拒否します"),
            (RelayPolicy::NetworkAndAuth, "shop", "after its login, from", "からログインすれば"),
        ] {
            config.relay.policy = policy;
            for (language, words) in [(Language::English, words), (Language::Japanese, japanese)] {
                assert!(policy_words(&config, &query(user), language).contains(words), "{policy:?} {user}");
            }
        }
    }
}
