//! What an account may do, as people set it: changes, their bounds, and what the operation log says of them.
//!
//! In: an account and [`Changes`].  Out: the account changed, and `what old → new` for each thing that is another.
//! Always: every list and text is bounded; senders are kept in lower case; nothing here prints a secret.

use std::time::Duration;

use ipnet::IpNet;

use super::words::Said;
use crate::{
    clock::Timestamp,
    config::parse_duration,
    event::Class,
    smtp::address::Mailbox,
    store::{Account, AccountKind, AuditEntry, RateLimit, Rights, Role},
};

/// Networks of an account at most.
const NETWORKS_MAX: usize = 100;
/// Sender addresses and domains of an account at most.
const SENDERS_MAX: usize = 1000;
/// Letters of a person's name at most.
const DISPLAY_NAME_MAX: usize = 100;
/// The time of a rate limit at most.
const RATE_PER_MAX: Duration = Duration::from_secs(31 * 86_400);
/// What stands for an empty list, no limit or no end.
pub const NONE: &str = "none";
/// The languages of the console.
pub const LANGUAGES: [&str; 2] = ["en", "ja"];

/// What is to be another; `None`: it stays.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Changes {
    /// What it may change.
    pub role: Option<Role>,
    /// The class of its mail.
    pub class: Option<Option<Class>>,
    /// By SMTP, by the HTTP API.
    pub access: Option<(bool, bool)>,
    /// View, download.
    pub permissions: Option<(bool, bool)>,
    /// It reads what is of its own mail only.
    pub own_data_only: Option<bool>,
    /// From where it may be used.
    pub networks: Option<Vec<IpNet>>,
    /// As whom it may send.
    pub senders: Option<Vec<String>>,
    /// The zone of its dates.
    pub time_zone: Option<String>,
    /// How much it may submit.
    pub rate: Option<Option<RateLimit>>,
    /// From when it is not taken any more.
    pub expires_at: Option<Option<Timestamp>>,
    /// Its mail is never delivered.
    pub sandbox: Option<bool>,
    /// A person's name.
    pub display_name: Option<String>,
    /// A person's language; empty: the browser's.
    pub language: Option<String>,
}

impl Changes {
    /// Changes an account.
    ///
    /// # Errors
    /// Words for people: what does not fit this kind of account, or is over a bound.
    pub(super) fn apply(&self, account: &mut Account) -> Result<(), Said> {
        match account.kind {
            AccountKind::Api => self.fit_program()?,
            AccountKind::Console => self.fit_person()?,
        }
        let (r, p) = (&mut account.rights, &mut account.person);
        set(&mut r.role, self.role);
        set(&mut r.class, self.class);
        set(&mut r.own_data_only, self.own_data_only);
        set(&mut r.rate, self.rate);
        set(&mut r.expires_at, self.expires_at);
        set(&mut r.sandbox, self.sandbox);
        if let Some((smtp, http)) = self.access {
            (r.smtp, r.http) = (smtp, http);
        }
        if let Some((view, download)) = self.permissions {
            (r.view, r.download) = (view, download);
        }
        if let Some(networks) = &self.networks {
            r.networks = bounded(networks, NETWORKS_MAX, ["networks", "ネットワーク"])?;
        }
        if let Some(senders) = &self.senders {
            let senders = senders.iter().map(|text| sender(text)).collect::<Result<Vec<_>, _>>()?;
            r.senders = bounded(&senders, SENDERS_MAX, ["senders", "送信元"])?;
        }
        if let Some(zone) = &self.time_zone {
            if !zone.is_empty() && jiff::tz::TimeZone::get(zone).is_err() {
                return Err(Said::new(
                    format!("{zone:?} is no time zone: write its IANA name, such as Asia/Tokyo, or {NONE}"),
                    format!("「{zone}」というタイムゾーンはありません。Asia/Tokyo のようなIANA名を指定してください。"),
                ));
            }
            r.time_zone.clone_from(zone);
        }
        if let Some(name) = &self.display_name {
            if name.chars().count() > DISPLAY_NAME_MAX || name.chars().any(|c| c.is_control() || reorders(c)) {
                return Err(Said::new(
                    format!("a name has at most {DISPLAY_NAME_MAX} letters, on one line"),
                    format!("名前は1行で、{DISPLAY_NAME_MAX} 文字以内にしてください。"),
                ));
            }
            name.trim().clone_into(&mut p.display_name);
        }
        if let Some(language) = &self.language {
            if !language.is_empty() && !LANGUAGES.contains(&language.as_str()) {
                return Err(Said::new(
                    format!("{language:?} is no language of the console: {}", LANGUAGES.join(" or ")),
                    format!("「{language}」は管理画面の言語ではありません（{}）。", LANGUAGES.join("、")),
                ));
            }
            p.language.clone_from(language);
        }
        Ok(())
    }

    fn fit_program(&self) -> Result<(), Said> {
        if self.role == Some(Role::ReportViewer) {
            return Err(Said::new(
                "report-viewer is a role of console users",
                "レポート閲覧者はアカウント（人）の権限です。",
            ));
        }
        if self.display_name.is_some() || self.language.is_some() {
            return Err(Said::new(
                "a name and a language are for console users",
                "名前と言語はアカウント（人）だけのものです。",
            ));
        }
        Ok(())
    }

    /// What a person may do follows from the role; that of the group administrator is handed over (R17).
    fn fit_person(&self) -> Result<(), Said> {
        let of_programs = [
            (self.class.is_some(), "a class", "優先度"),
            (self.access.is_some(), "access", "アクセス方法"),
            (self.own_data_only.is_some(), "own data only", "「自分のデータだけ」"),
            (self.senders.is_some(), "senders", "送信元アドレス"),
            (self.rate.is_some(), "a rate", "送信数の制限"),
            (self.sandbox.is_some(), "a sandbox", "サンドボックス"),
        ];
        if let Some((_, what, in_japanese)) = of_programs.iter().find(|(given, _, _)| *given) {
            return Err(Said::new(
                format!("{what} is for API users: people send no mail"),
                format!("{in_japanese}はAPIユーザーだけの設定です。"),
            ));
        }
        if self.permissions.is_some_and(|(view, _)| !view) {
            return Err(Said::new(
                "people always view what their role lets them; only download can be taken away",
                "アカウントの閲覧は権限で決まります。個別に外せるのはダウンロードだけです。",
            ));
        }
        Ok(())
    }
}

/// Letters that are not seen, and change how those around them are.
pub(super) fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn bounded<T: Clone + PartialEq>(list: &[T], max: usize, what: [&str; 2]) -> Result<Vec<T>, Said> {
    if list.len() > max {
        let [english, japanese] = what;
        return Err(Said::new(
            format!("{} {english} are too many: at most {max}", list.len()),
            format!("{japanese}が {} 件あります。{max} 件以内にしてください。", list.len()),
        ));
    }
    let mut out: Vec<T> = Vec::with_capacity(list.len());
    for one in list {
        if !out.contains(one) {
            out.push(one.clone());
        }
    }
    Ok(out)
}

/// An address, or a domain with all below it, as it is kept: in lower case, a domain without `@`.
fn sender(text: &str) -> Result<String, Said> {
    let text = text.trim().to_lowercase();
    let text = text.strip_prefix('@').unwrap_or(&text);
    let address = if text.contains('@') { text.to_owned() } else { format!("a@{text}") };
    match Mailbox::parse(&address) {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => Err(Said::new(
            format!("{text:?} is no sender: write an address or a domain ({why})"),
            format!("「{text}」は送信元にできません。メールアドレスかドメインを指定してください。"),
        )),
    }
}

/// Reads `1000/1h`: recipients in a time. `none`: no limit.
///
/// # Errors
/// Words for people.
pub fn rate_of(text: &str) -> Result<Option<RateLimit>, String> {
    let text = text.trim();
    if text == NONE {
        return Ok(None);
    }
    let read = || {
        let (recipients, per) = text.split_once('/')?;
        let limit = RateLimit { recipients: recipients.trim().parse().ok()?, per: parse_duration(per.trim())? };
        let fits = limit.recipients > 0 && limit.per >= Duration::from_secs(1) && limit.per <= RATE_PER_MAX;
        fits.then_some(RateLimit { per: Duration::from_secs(limit.per.as_secs()), ..limit })
    };
    read().map(Some).ok_or_else(|| {
        format!("{text:?} is no rate: write recipients and a time from 1s to 31d, such as 1000/1h, or {NONE}")
    })
}

/// Reads a network or an address.
///
/// # Errors
/// Words for people.
pub fn network_of(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
    network.map(|network| network.trunc()).ok_or_else(|| {
        format!("{text:?} is no network: write an address, or a network such as 192.0.2.0/24 or 2001:db8::/32")
    })
}

/// A rate as [`rate_of`] reads it.
pub fn rate_text(limit: Option<RateLimit>) -> String {
    let Some(RateLimit { recipients, per }) = limit else { return NONE.to_owned() };
    let seconds = per.as_secs();
    let (n, unit) = match seconds {
        s if s >= 86_400 && s % 86_400 == 0 => (s / 86_400, "d"),
        s if s >= 3600 && s % 3600 == 0 => (s / 3600, "h"),
        s if s >= 60 && s % 60 == 0 => (s / 60, "m"),
        s => (s, "s"),
    };
    format!("{recipients}/{n}{unit}")
}

/// Words for the set ones of some flags.
pub fn words_of(flags: &[(bool, &str)]) -> String {
    let words: Vec<&str> = flags.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
    if words.is_empty() { NONE.to_owned() } else { words.join(",") }
}

/// Everything about an account that can be set, with its value in words.
pub(super) fn facts_of(account: &Account) -> Vec<(&'static str, String)> {
    let (r, p) = (&account.rights, &account.person);
    let or_none = |text: &str| if text.is_empty() { NONE.to_owned() } else { text.to_owned() };
    let networks: Vec<String> = r.networks.iter().map(ToString::to_string).collect();
    vec![
        ("role", r.role.word().to_owned()),
        ("class", r.class.map_or(NONE, Class::word).to_owned()),
        ("access", access_words(r)),
        ("permissions", permission_words(r)),
        ("own data only", on_off(r.own_data_only)),
        ("networks", or_none(&networks.join(","))),
        ("senders", or_none(&r.senders.join(","))),
        ("time zone", or_none(&r.time_zone)),
        ("rate", rate_text(r.rate)),
        ("expires", r.expires_at.map_or_else(|| NONE.to_owned(), Timestamp::rfc3339)),
        ("sandbox", on_off(r.sandbox)),
        ("name", or_none(&p.display_name)),
        ("language", or_none(&p.language)),
    ]
}

/// `smtp,http`, or `none`.
pub fn access_words(rights: &Rights) -> String {
    words_of(&[(rights.smtp, "smtp"), (rights.http, "http")])
}

/// `view,download`, or `none`.
pub fn permission_words(rights: &Rights) -> String {
    words_of(&[(rights.view, "view"), (rights.download, "download")])
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

/// Letters of one value in the operation log at most; a list of a thousand senders is told by its begin.
const VALUE_MAX: usize = 300;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A value in the operation log: people name themselves, and may not write entries by it.
fn told(text: &str) -> String {
    AuditEntry::typed(&shortened(text))
}

/// What is another, as `what old → new`; empty: nothing.
pub(super) fn difference(before: &Account, after: &Account) -> String {
    let changed: Vec<String> = facts_of(before)
        .into_iter()
        .zip(facts_of(after))
        .filter(|(old, new)| old != new)
        .map(|((what, old), (_, new))| format!("{what} {} → {}", told(&old), told(&new)))
        .collect();
    changed.join("; ")
}

/// What a new account has that is not as usual for its kind, as `what value`.
pub(super) fn particulars(account: &Account, usual: &Account) -> String {
    let told: Vec<String> = facts_of(usual)
        .into_iter()
        .zip(facts_of(account))
        .filter(|(usual, is)| usual != is)
        .map(|(_, (what, value))| format!("{what} {}", told(&value)))
        .collect();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{secret::Secret, store::Person};

    fn account(kind: AccountKind) -> Account {
        Account {
            name: "shop".into(),
            kind,
            hash: Secret::new("h4sh".into()),
            created_at: Timestamp::ZERO,
            password_set_at: Timestamp::ZERO,
            rights: Rights::default(),
            person: Person::default(),
        }
    }

    #[test]
    fn a_change_is_told_as_old_and_new_without_secrets() {
        let before = account(AccountKind::Api);
        let mut after = before.clone();
        let changes = Changes {
            role: Some(Role::GroupAdministrator),
            access: Some((true, false)),
            networks: Some(vec![network_of("192.0.2.7").unwrap(), network_of("2001:db8::1/32").unwrap()]),
            senders: Some(vec!["@Example.JP".into(), "News@example.com".into(), "example.jp".into()]),
            rate: Some(rate_of("1000/1h").unwrap()),
            sandbox: Some(true),
            time_zone: Some("Asia/Tokyo".into()),
            ..Changes::default()
        };
        changes.apply(&mut after).unwrap();
        assert_eq!(
            difference(&before, &after),
            "role user → group-administrator; access none → smtp; networks none → 192.0.2.7/32,2001:db8::/32; \
             senders none → example.jp,news@example.com; time zone none → Asia/Tokyo; rate none → 1000/1h; sandbox off → on"
        );
        assert_eq!(difference(&after, &after), "");
        assert_eq!(particulars(&account(AccountKind::Api), &before), "");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_words() {
        let none = Changes::default;
        let many: Vec<String> = (0..=SENDERS_MAX).map(|n| format!("a{n}.example")).collect();
        for (kind, changes, words) in [
            (AccountKind::Api, Changes { role: Some(Role::ReportViewer), ..none() }, "console users"),
            (AccountKind::Api, Changes { language: Some("ja".into()), ..none() }, "console users"),
            (AccountKind::Api, Changes { time_zone: Some("Mars/Olympus".into()), ..none() }, "IANA"),
            (AccountKind::Api, Changes { senders: Some(vec!["not a sender".into()]), ..none() }, "no sender"),
            (AccountKind::Api, Changes { senders: Some(vec![String::new()]), ..none() }, "no sender"),
            (AccountKind::Api, Changes { senders: Some(many), ..none() }, "at most 1000"),
            (AccountKind::Console, Changes { sandbox: Some(true), ..none() }, "API users"),
            (AccountKind::Console, Changes { class: Some(None), ..none() }, "API users"),
            (AccountKind::Console, Changes { permissions: Some((false, true)), ..none() }, "view"),
            (AccountKind::Console, Changes { language: Some("fr".into()), ..none() }, "en or ja"),
            (AccountKind::Console, Changes { display_name: Some("a\nb".into()), ..none() }, "one line"),
        ] {
            let told = changes.apply(&mut account(kind)).unwrap_err().to_string();
            assert!(told.contains(words), "{changes:?}: {told}");
        }
    }

    #[test]
    fn rates_and_networks_are_read_as_they_are_shown() {
        for text in ["1000/1h", "1/1s", "10/90s", "5/15m", "100000/1d", "7/36h"] {
            assert_eq!(rate_text(rate_of(text).unwrap()), text);
        }
        assert_eq!((rate_of("none"), rate_text(None).as_str()), (Ok(None), "none"));
        for bad in
            ["", "1000", "0/1h", "-1/1h", "1000/0s", "1000/32d", "1000/1h/2", "4294967296/1h", "1000/500ms", "a/b"]
        {
            assert!(rate_of(bad).is_err(), "{bad}");
        }
        assert_eq!(network_of("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        for bad in ["", "10.0.0.0/33", "example.jp", "1.2.3", "::/129"] {
            assert!(network_of(bad).is_err(), "{bad}");
        }
    }
}
