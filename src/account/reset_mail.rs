//! Mails the link by which a password is set anew, beside the page that was asked for it.
//!
//! In: names as strangers type them.  Out: a mail to the account's own address, by the same door as everybody's mail.
//! Always: who asks waits for nothing and learns nothing: the work is done later, one after the other; what strangers ask for is
//! bounded in number, and an account is mailed once in five minutes; the link leads to `[http] public_url`, whatever Host the
//! request named; in the sandbox nothing is mailed, since whoever reads the sandbox would read the link.

use std::{future::Future, net::IpAddr, sync::Arc};

use bytes::Bytes;
use smol::{channel, future::FutureExt};

use super::{
    Accounts, NAME_MAX,
    console::RESET_LIFETIME,
    reset_letter::{self, ResetLetter},
};
use crate::{
    clock::Clock,
    config::{InForce, Mode},
    ids::hex,
    language::Language,
    runtime::{Runtime, Shutdown},
    secret::Secret,
    smtp::address::Mailbox,
    store::StoreError,
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

struct Wish {
    name: String,
    from: IpAddr,
    language: Language,
}

/// Where wishes go; clones share it.
#[derive(Clone)]
pub struct Resets(channel::Sender<Wish>);

impl Resets {
    /// Mails the account of this name a link, if there is one. `language`: that of the page, for who has set none.
    pub fn ask(&self, name: &str, from: IpAddr, language: Language) {
        // No account has a longer name; what strangers send is not kept.
        if name.len() > NAME_MAX {
            return;
        }
        let wish = Wish { name: name.to_owned(), from, language };
        if self.0.try_send(wish).is_err() {
            log::warn!("act=reset-mail source={from} what=\"too many are asked for at once: dropped\"");
        }
    }
}

/// Starts the task; it ends when the shutdown drains.
pub fn start<D: Letters>(parts: Parts<D>) -> Resets {
    let (sender, wishes) = channel::bounded(WISHES_MAX);
    let runtime = parts.runtime.clone();
    runtime.spawn("reset mail", async move {
        loop {
            let next = async { wishes.recv().await.ok() };
            let stop = async {
                parts.shutdown.drained().await;
                None
            };
            let Some(wish) = next.or(stop).await else { return };
            send(&parts, &wish).await;
        }
    });
    Resets(sender)
}

/// Carries a wish out.
async fn send<D: Letters>(parts: &Parts<D>, wish: &Wish) {
    let config = parts.config.get();
    let Some(account) = parts.accounts.0.person(&wish.name.to_lowercase()) else { return };
    if config.delivery.mode == Mode::Sandbox {
        log::warn!(
            "act=reset-mail user={} source={} what=\"not mailed: in the sandbox no mail leaves. Set a password with: hikyaku user password {}\"",
            account.name,
            wish.from,
            account.name
        );
        return;
    }
    let Ok(to) = Mailbox::parse(&account.name) else { return };
    let (token, id) = match parts.accounts.reset_begin(&account.name, wish.from).await {
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
    let zone = match account.rights.time_zone.as_str() {
        "" => &config.server.time_zone,
        own => own,
    };
    let letter = ResetLetter {
        hostname: &config.server.hostname,
        to: &to,
        id: &format!("{id}.reset@{}", config.server.hostname),
        at: now,
        until: now.plus(RESET_LIFETIME),
        zone: &Zone::named(zone),
        from: wish.from.to_canonical(),
        link: &link(&config.http.public_url, &account.name, &token),
        language,
    };
    let bytes = reset_letter::compose(&letter);
    match parts.door.submit_letter(to, bytes.into()).await {
        Ok(()) => log::info!("act=reset-mail user={} source={}", account.name, wish.from),
        Err(error) => log::error!("act=reset-mail user={} error=\"{error}\" what=\"not mailed\"", account.name),
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
        config::Config,
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

    fn wish(name: &str) -> Wish {
        Wish { name: name.into(), from: ip("192.0.2.9"), language: Language::English }
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
            resets.ask("a@example.jp", ip("192.0.2.9"), Language::English);
        }
        assert_eq!(wishes.len(), WISHES_MAX);
        let first = wishes.try_recv().unwrap();
        assert_eq!(first.name, "a@example.jp");
        resets.ask(&"x".repeat(1_000_000), ip("192.0.2.9"), Language::English);
        assert_eq!(wishes.len(), WISHES_MAX - 1, "what is too long for a name is not kept");
    }
}
