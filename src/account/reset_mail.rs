//! Mails people what concerns their sign-in: the link by which a password is set anew, beside the page that was asked for it; and
//! that their password or their second factor was changed.
//!
//! In: names as strangers type them; changes.  Out: a mail to the account's own address, by the same door as everybody's mail.
//! Always: who asks waits for nothing and learns nothing: the work is done later, one after the other; what strangers ask for is
//! bounded in number, and an account is mailed once in five minutes, some ten times a day; the link leads to `[http] public_url`, whatever Host the
//! request named; in the sandbox nothing is mailed, since whoever reads the sandbox would read the link.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use smol::{channel, future::FutureExt};

use super::{
    Accounts, Actor, NAME_MAX,
    changed_letter::{self, Changed, ChangedLetter},
    console::RESET_LIFETIME,
    letter::Head,
    reset_letter::{self, ResetLetter},
};
use crate::{
    clock::Clock,
    config::{Config, InForce, Mode},
    ids::hex,
    language::Language,
    runtime::{Runtime, Shutdown},
    secret::Secret,
    smtp::address::Mailbox,
    store::{Account, StoreError},
    when::Zone,
};

/// Wishes that wait; further ones are dropped: people ask again.
const WISHES_MAX: usize = 64;
/// The page behind the link.
pub const RESET_PATH: &str = "/reset";

/// The door by which the mail enters.
pub trait Letters: Send + Sync + 'static {
    /// Submits a mail of the console; returns when it is on disk.
    fn submit_letter(&self, to: Mailbox, bytes: Bytes) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What the task is made of.
pub struct Parts<D> {
    /// Where it runs.
    pub runtime: Runtime,
    /// The daemon's stop.
    pub shutdown: Shutdown,
    /// The accounts.
    pub accounts: Accounts,
    /// The time.
    pub clock: Clock,
    /// The config in force.
    pub config: InForce,
    /// Where mail goes in.
    pub door: Arc<D>,
}

/// A link that somebody asks for.
struct Wish {
    name: String,
    by: Actor,
    language: Language,
}

/// What is to be mailed.
enum Errand {
    Link(Wish),
    Tell(Changed),
}

/// Where changes of accounts go to be told; nowhere before the task runs.
#[derive(Default)]
pub(super) struct Owners(OnceLock<channel::Sender<Errand>>);

impl Owners {
    /// Mails whose account it is. What strangers ask for does not keep it out: it has room of its own.
    pub fn tell(&self, changed: Changed) {
        if let Some(sender) = self.0.get()
            && let Err(dropped) = sender.try_send(Errand::Tell(changed))
            && let Errand::Tell(changed) = dropped.into_inner()
        {
            log::warn!("act=notice-mail user={} what=\"too many at once: not mailed\"", changed.name);
        }
    }
}

/// Where wishes go; clones share it.
#[derive(Clone)]
pub struct Resets(channel::Sender<Errand>);

impl Resets {
    /// Mails the account of this name a link, if there is one. `by`: who asks, a stranger or the group administrator, as log and
    /// mail say it. `language`: that of the page, for who has set none.
    pub fn ask(&self, name: &str, by: Actor, language: Language) {
        // No account has a longer name; what strangers send is not kept.
        if name.len() > NAME_MAX {
            return;
        }
        let wish = Wish { name: name.to_owned(), by, language };
        if let Err(dropped) = self.0.try_send(Errand::Link(wish))
            && let Errand::Link(Wish { by, .. }) = dropped.into_inner()
        {
            let (_, from) = by.words();
            log::warn!("act=reset-mail source={from} what=\"too many are asked for at once: dropped\"");
        }
    }
}

/// Starts the task; it ends when the shutdown drains.
pub fn start<D: Letters>(parts: Parts<D>) -> Resets {
    let (sender, wishes) = channel::bounded(WISHES_MAX);
    let (owners, changes) = channel::bounded(WISHES_MAX);
    // The first task of a process stays the one.
    let _ = parts.accounts.0.owners.0.set(owners);
    let runtime = parts.runtime.clone();
    runtime.spawn("reset mail", async move {
        loop {
            let stop = async {
                parts.shutdown.drained().await;
                None
            };
            let next = async { changes.recv().await.ok() }.or(async { wishes.recv().await.ok() });
            match next.or(stop).await {
                Some(Errand::Link(wish)) => send(&parts, &wish).await,
                Some(Errand::Tell(changed)) => tell(&parts, &changed).await,
                None => return,
            }
        }
    });
    Resets(sender)
}

/// Carries a wish out.
async fn send<D: Letters>(parts: &Parts<D>, wish: &Wish) {
    let config = parts.config.get();
    let (who, from) = wish.by.words();
    let Some(account) = parts.accounts.0.person(&wish.name.to_lowercase()) else { return };
    if config.delivery.mode == Mode::Sandbox {
        log::warn!(
            "act=reset-mail user={} by={who:?} source={from} what=\"not mailed: in the sandbox no mail leaves. Set a password with: hikyaku user password {}\"",
            account.name,
            account.name
        );
        return;
    }
    let Ok(to) = Mailbox::parse(&account.name) else { return };
    let (token, id) = match parts.accounts.reset_begin(&account.name, &wish.by).await {
        Ok(Some(token)) => match random_id() {
            Some(id) => (token, id),
            None => return,
        },
        // It was mailed one lately.
        Ok(None) => return,
        Err(error) => {
            log::error!("act=reset-mail user={} error=\"{error}\"", account.name);
            return;
        }
    };
    let now = parts.clock.now();
    let language = match account.person.language.as_str() {
        "" => wish.language,
        code => Language::of_code(code),
    };
    let id = format!("{id}.reset@{}", config.server.hostname);
    let letter = ResetLetter {
        head: Head { hostname: &config.server.hostname, to: &to, id: &id, at: now },
        until: now.plus(RESET_LIFETIME),
        zone: &Zone::named(zone_of(&account, &config)),
        by: &wish.by,
        link: &link(&config.http.public_url, &account.name, &token),
        language,
    };
    let bytes = reset_letter::compose(&letter);
    match parts.door.submit_letter(to, bytes.into()).await {
        Ok(()) => log::info!("act=reset-mail user={} by={who:?} source={from}", account.name),
        Err(error) => log::error!("act=reset-mail user={} error=\"{error}\" what=\"not mailed\"", account.name),
    }
}

/// Tells whose account it is what was changed. In the sandbox nothing is mailed.
async fn tell<D: Letters>(parts: &Parts<D>, changed: &Changed) {
    let config = parts.config.get();
    let Some(account) = parts.accounts.0.person(&changed.name) else { return };
    let (Ok(to), Some(id)) = (Mailbox::parse(&account.name), random_id()) else { return };
    if config.delivery.mode == Mode::Sandbox {
        return;
    }
    let language = Some(account.person.language.as_str()).filter(|code| !code.is_empty()).map(Language::of_code);
    let id = format!("{id}.notice@{}", config.server.hostname);
    let letter = ChangedLetter {
        head: Head { hostname: &config.server.hostname, to: &to, id: &id, at: parts.clock.now() },
        changed,
        zone: &Zone::named(zone_of(&account, &config)),
        url: config.http.public_url.trim_end_matches('/'),
        language,
    };
    let bytes = changed_letter::compose(&letter);
    match parts.door.submit_letter(to, bytes.into()).await {
        Ok(()) => log::info!("act=notice-mail user={} about={:?}", account.name, changed.what),
        Err(error) => log::error!("act=notice-mail user={} error=\"{error}\" what=\"not mailed\"", account.name),
    }
}

/// The reader's zone.
fn zone_of<'a>(account: &'a Account, config: &'a Config) -> &'a str {
    match account.rights.time_zone.as_str() {
        "" => &config.server.time_zone,
        own => own,
    }
}

/// Where the link leads. Names of people are addresses of few letters, tokens are letters, digits, `-` and `_`.
fn link(public_url: &str, name: &str, token: &Secret<String>) -> Secret<String> {
    let name = name.replace('+', "%2B");
    Secret::new(format!("{}{RESET_PATH}?who={name}&key={}", public_url.trim_end_matches('/'), token.reveal()))
}

fn random_id() -> Option<String> {
    let mut octets = [0u8; 12];
    aws_lc_rs::rand::fill(&mut octets).ok()?;
    Some(hex(&octets))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        account::{
            Changes, NewUser,
            tests::{House, house, ip, operator, secret},
        },
        store::AccountKind,
    };

    #[derive(Default)]
    struct Box(Mutex<Vec<(String, String)>>);

    impl Letters for Box {
        async fn submit_letter(&self, to: Mailbox, bytes: Bytes) -> Result<(), StoreError> {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            self.0.lock().unwrap().push((to.to_string(), text));
            Ok(())
        }
    }

    async fn parts(mode: Mode, language: &str) -> (House, Parts<Box>) {
        let house = house(10);
        let changes = Changes { language: Some(language.into()), ..Changes::default() };
        let name = "hana+ko@example.jp";
        let new = NewUser { kind: AccountKind::Console, changes, ..NewUser::api(name) };
        house.accounts.add(&operator(), new).await.unwrap();
        let mut config = Config::default();
        config.delivery.mode = mode;
        config.server.hostname = "mx.example.jp".into();
        config.http.public_url = "https://console.example.jp/".into();
        let parts = Parts {
            runtime: Runtime::start(1).unwrap(),
            shutdown: Shutdown::new(),
            accounts: house.accounts.clone(),
            clock: house.clock.clone(),
            config: InForce::new(config),
            door: Arc::default(),
        };
        (house, parts)
    }

    fn stranger() -> Actor {
        Actor::Stranger { from: ip("192.0.2.9") }
    }

    fn wish(name: &str) -> Wish {
        Wish { name: name.into(), by: stranger(), language: Language::English }
    }

    #[test]
    fn the_link_goes_to_the_accounts_own_address_and_sets_a_password() {
        smol::block_on(async {
            let (house, parts) = parts(Mode::Internet, "").await;
            for name in ["nobody@example.jp", "Hana+ko@example.jp", "hana+ko@example.jp"] {
                send(&parts, &wish(name)).await;
            }
            let mails = parts.door.0.lock().unwrap().clone();
            let [(to, text)] = mails.as_slice() else { panic!("one mail: {mails:?}") };
            assert_eq!(to, "hana+ko@example.jp");
            let text = text.replace("=\r\n", "").replace("=3D", "=");
            assert!(text.contains("From: Hikyaku <postmaster@mx.example.jp>"), "{text}");
            assert!(text.contains("192.0.2.9") && text.contains("Auto-Submitted: auto-generated"), "{text}");
            let link = text.lines().find(|line| line.starts_with("https://")).expect("a line of its own");
            let key = link
                .strip_prefix("https://console.example.jp/reset?who=hana%2Bko@example.jp&key=")
                .unwrap_or_else(|| panic!("{link}"));
            let key = secret(key.trim());
            assert!(house.accounts.reset_fits("hana+ko@example.jp", &key));
            assert!(!house.accounts.reset_fits("hana+ko@example.jp", &secret("x")));
            let new = secret("a new long pass");
            assert!(!house.accounts.reset_finish("hana+ko@example.jp", &key, new, ip("192.0.2.9")).await.unwrap());
        });
    }

    #[test]
    fn a_link_that_the_administrator_sends_says_so_in_the_mail_and_in_the_operation_log() {
        for (language, words) in [("en", "admin@example.jp, who administers"), ("ja", "管理者（admin@example.jp）")]
        {
            smol::block_on(async {
                let (house, parts) = parts(Mode::Internet, language).await;
                let by = Actor::Person { name: "admin@example.jp".into(), from: ip("198.51.100.7") };
                send(&parts, &Wish { by, ..wish("hana+ko@example.jp") }).await;
                let mails = parts.door.0.lock().unwrap().clone();
                let mail = mail_parser::MessageParser::default().parse(mails[0].1.as_bytes()).unwrap();
                let text = mail.body_text(0).unwrap();
                assert!(text.contains(words) && text.contains("\nhttps://console.example.jp/reset?"), "{text}");
                assert!(!text.contains("Somebody") && !text.contains("198.51.100.7"), "{text}");
                let entry = "admin@example.jp 198.51.100.7 hana+ko@example.jp ";
                assert_eq!(house.audit("user.reset-mail"), [entry]);
            });
        }
    }

    #[test]
    fn people_are_told_of_every_change_of_their_sign_in_by_whomever_and_of_nothing_else() {
        smol::block_on(async {
            let (house, parts) = parts(Mode::Internet, "").await;
            let (owners, changes) = channel::bounded(WISHES_MAX);
            house.accounts.0.owners.0.set(owners).unwrap();
            let (accounts, name, from) = (&house.accounts, "hana+ko@example.jp", ip("192.0.2.9"));
            let told = || match changes.try_recv() {
                Ok(Errand::Tell(Changed { what, who, from, .. })) => format!("{what:?} {who} {from}"),
                Ok(Errand::Link(_)) | Err(_) => "nothing".to_owned(),
            };
            let first = secret("a first long pass");
            accounts.set_key(&operator(), name, Some(first.clone()), false).await.unwrap();
            assert_eq!(told(), "Password operator root control socket");
            accounts.set_own_password(name, from, &first, secret("a second long pass")).await.unwrap();
            assert_eq!(told(), format!("Password {name} 192.0.2.9"));
            let token = accounts.reset_begin(name, &stranger()).await.unwrap().unwrap();
            assert_eq!(told(), "nothing", "a link that was asked for is a mail of its own");
            accounts.reset_finish(name, &token, secret("a third long pass"), from).await.unwrap();
            assert_eq!(told(), format!("Password {name} 192.0.2.9"));
            accounts.set_totp(&operator(), name, true).await.unwrap();
            assert_eq!(told(), "nothing", "on is no loss");
            accounts.set_totp(&operator(), name, true).await.unwrap();
            assert_eq!(told(), "SecondFactor operator root control socket", "another secret is");
            accounts.totp_off(name, from, &secret("a third long pass")).await.unwrap();
            assert_eq!(told(), format!("SecondFactor {name} 192.0.2.9"));
            // A wrong password, a lock, another language: no mail.
            let _ = accounts.log_in(from, name, &secret("a wrong guess")).await;
            let own = crate::account::OwnChanges { language: Some("ja".into()), ..Default::default() };
            accounts.change_own(name, from, own).await.unwrap();
            accounts.add(&operator(), NewUser::api("shop")).await.unwrap();
            accounts.set_key(&operator(), "shop", None, false).await.unwrap();
            assert_eq!(told(), "nothing", "and none for programs");
            let (what, at) = (changed_letter::What::Password, parts.clock.now());
            let changed = Changed { name: name.into(), what, who: name.into(), from: "192.0.2.9".into(), at };
            tell(&parts, &changed).await;
            tell(&parts, &Changed { name: "nobody@example.jp".into(), ..changed.clone() }).await;
            let mails = parts.door.0.lock().unwrap().clone();
            let [(to, text)] = mails.as_slice() else { panic!("one mail: {mails:?}") };
            assert_eq!(to, name);
            let parsed = mail_parser::MessageParser::default().parse(text.as_bytes()).unwrap();
            assert_eq!(parsed.subject(), Some("Hikyaku パスワード変更のお知らせ"));
            let body = parsed.body_text(0).unwrap();
            assert!(body.contains("パスワードが変更されました") && body.contains("192.0.2.9"), "{body}");
            assert!(!body.contains("key=") && !body.contains("English"), "{body}");
        });
    }

    #[test]
    fn who_has_chosen_no_language_is_told_in_both_and_the_sandbox_mails_nothing() {
        smol::block_on(async {
            for (mode, mailed) in [(Mode::Internet, true), (Mode::Sandbox, false)] {
                let (_house, parts) = parts(mode, "").await;
                let changed = Changed {
                    name: "hana+ko@example.jp".into(),
                    what: changed_letter::What::SecondFactor,
                    who: "operator root".into(),
                    from: "control socket".into(),
                    at: parts.clock.now(),
                };
                tell(&parts, &changed).await;
                let mails = parts.door.0.lock().unwrap().clone();
                assert_eq!(mails.len(), usize::from(mailed));
                for (_, text) in mails {
                    let parsed = mail_parser::MessageParser::default().parse(text.as_bytes()).unwrap();
                    let (subject, body) = (parsed.subject().unwrap().to_owned(), parsed.body_text(0).unwrap());
                    for words in ["Two-factor sign-in", "二段階認証"] {
                        assert!(subject.contains(words) && body.contains(words), "{subject} {body}");
                    }
                    assert!(
                        body.contains("By: operator root") && body.contains("https://console.example.jp"),
                        "{body}"
                    );
                }
            }
        });
    }

    #[test]
    fn it_is_in_the_readers_language_and_never_in_the_sandbox() {
        smol::block_on(async {
            let (_house, parts) = parts(Mode::Smarthost, "ja").await;
            send(&parts, &wish("hana+ko@example.jp")).await;
            let mails = parts.door.0.lock().unwrap().clone();
            let parsed = mail_parser::MessageParser::default().parse(mails[0].1.as_bytes()).unwrap();
            assert_eq!(parsed.subject(), Some("Hikyaku パスワード再設定のご案内"));
            let text = parsed.body_text(0).unwrap();
            assert!(
                text.contains("新しいパスワードを設定してください") && text.contains("\nhttps://console"),
                "{text}"
            );
        });
        smol::block_on(async {
            let (_house, parts) = parts(Mode::Sandbox, "").await;
            send(&parts, &wish("hana+ko@example.jp")).await;
            assert!(parts.door.0.lock().unwrap().is_empty(), "who reads the sandbox would read the link");
        });
    }

    #[test]
    fn strangers_who_ask_in_a_loop_are_dropped() {
        let (sender, wishes) = channel::bounded(WISHES_MAX);
        let resets = Resets(sender);
        for _ in 0..1000 {
            resets.ask("a@example.jp", stranger(), Language::English);
        }
        assert_eq!(wishes.len(), WISHES_MAX);
        let Errand::Link(first) = wishes.try_recv().unwrap() else { panic!("a wish") };
        assert_eq!(first.name, "a@example.jp");
        resets.ask(&"x".repeat(1_000_000), stranger(), Language::English);
        assert_eq!(wishes.len(), WISHES_MAX - 1, "what is too long for a name is not kept");
    }
}
