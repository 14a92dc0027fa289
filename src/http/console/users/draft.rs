//! The form of a user: what is typed into it, and what that means.
//!
//! In: an account or nothing, then what the form sent.  Out: the form; [`Changes`], or what is wrong in words.
//! Always: what was typed is in the form again when something is wrong with it; what cannot be read changes nothing.

use maud::{Markup, html};

use super::super::{
    Visit,
    form::Form,
    parts::{Field, check_box, class_name, clean, clip, select, text_area},
};
use crate::{
    account::{
        Changes,
        rights::{NONE, network_of, rate_of, rate_text},
    },
    event::Class,
    store::{Account, AccountKind, Role},
};

/// Letters of a list that is typed: a thousand senders of the longest kind.
const LIST_MAX: usize = 400_000;

/// What stands in the form of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Draft {
    pub kind: AccountKind,
    pub name: String,
    role: String,
    class: String,
    smtp: bool,
    http: bool,
    view: bool,
    download: bool,
    own_data_only: bool,
    sandbox: bool,
    networks: String,
    senders: String,
    time_zone: String,
    rate: String,
    expires: String,
    display_name: String,
    language: String,
    /// A key that somebody brings along; empty: one is made.
    pub key: String,
    /// The key comes from CMC, whose rule is weaker.
    pub imported: bool,
}

/// The word of a kind in forms and addresses.
pub(super) fn kind_word(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Api => "api",
        AccountKind::Console => "console",
    }
}

/// A role in words.
pub(super) fn role_name(visit: &Visit<'_>, kind: AccountKind, role: Role) -> &'static str {
    match (kind, role) {
        (AccountKind::Api, Role::GroupAdministrator) => visit.say("API group administrator", "APIグループ管理者"),
        (AccountKind::Api, Role::User | Role::ReportViewer) => visit.say("API user", "APIユーザー"),
        (AccountKind::Console, Role::GroupAdministrator) => visit.say("group administrator", "グループ管理者"),
        (AccountKind::Console, Role::User) => visit.say("user", "ユーザー"),
        (AccountKind::Console, Role::ReportViewer) => visit.say("report viewer", "レポート閲覧者"),
    }
}

impl Draft {
    /// The form of a user that is to be added. Downloading is off until it is granted (R13).
    pub fn new(kind: AccountKind) -> Self {
        Draft {
            kind,
            name: String::new(),
            role: Role::User.word().to_owned(),
            class: String::new(),
            smtp: true,
            http: true,
            view: true,
            download: false,
            own_data_only: false,
            sandbox: false,
            networks: String::new(),
            senders: String::new(),
            time_zone: String::new(),
            rate: String::new(),
            expires: String::new(),
            display_name: String::new(),
            language: String::new(),
            key: String::new(),
            imported: false,
        }
    }

    /// The form of a user as it is.
    pub fn of(visit: &Visit<'_>, account: &Account) -> Self {
        let (r, p) = (&account.rights, &account.person);
        let networks: Vec<String> = r.networks.iter().map(ToString::to_string).collect();
        Draft {
            name: account.name.clone(),
            role: r.role.word().to_owned(),
            class: r.class.map_or("", Class::word).to_owned(),
            smtp: r.smtp,
            http: r.http,
            view: r.view,
            download: r.download,
            own_data_only: r.own_data_only,
            sandbox: r.sandbox,
            networks: networks.join("\n"),
            senders: r.senders.join("\n"),
            time_zone: r.time_zone.clone(),
            rate: r.rate.map_or_else(String::new, |rate| rate_text(Some(rate))),
            expires: r.expires_at.map_or_else(String::new, |at| minute(visit, at)),
            // Letters that reorder others are no part of a name that is shown and saved.
            display_name: clean(&p.display_name),
            language: p.language.clone(),
            ..Draft::new(account.kind)
        }
    }

    /// What was typed.
    pub fn typed(form: &Form, kind: AccountKind) -> Self {
        let text = |name: &str| form.text(name).to_owned();
        let list = |name: &str| {
            let typed = form.text(name);
            typed[..typed.floor_char_boundary(LIST_MAX)].replace("\r\n", "\n")
        };
        Draft {
            kind,
            name: text("name"),
            role: text("role"),
            class: text("class"),
            smtp: form.flag("smtp"),
            http: form.flag("http"),
            view: form.flag("view"),
            download: form.flag("download"),
            own_data_only: form.flag("own_data_only"),
            sandbox: form.flag("sandbox"),
            networks: list("networks"),
            senders: list("senders"),
            time_zone: text("time_zone"),
            rate: text("rate"),
            expires: text("expires"),
            display_name: text("display_name"),
            language: text("language"),
            key: form.raw("key").to_owned(),
            imported: form.flag("imported"),
        }
    }

    /// What it means. `before`: the account, if there is one.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn changes(&self, visit: &Visit<'_>, before: Option<&Account>) -> Result<Changes, String> {
        let is_api = self.kind == AccountKind::Api;
        let role = Role::ALL.into_iter().find(|role| role.word() == self.role);
        let role = role.ok_or_else(|| visit.say("Choose a role.", "権限を選択してください。").to_owned())?;
        let class = match self.class.as_str() {
            "" => None,
            word => Some(
                Class::ALL
                    .into_iter()
                    .find(|class| class.word() == word)
                    .ok_or_else(|| visit.say("Choose a priority class.", "優先度を選択してください。").to_owned())?,
            ),
        };
        let items = |text: &str| -> Vec<String> {
            let items = text.split(['\n', ',', ' ', '\t']).map(str::trim).filter(|item| !item.is_empty());
            items.map(str::to_owned).collect()
        };
        let mut networks = Vec::new();
        for text in items(&self.networks) {
            networks.push(network_of(&text).map_err(|_| no_network(visit, &text))?);
        }
        let rate = match self.rate.as_str() {
            "" => None,
            text => rate_of(text).map_err(|_| no_rate(visit, text))?,
        };
        let as_it_was = before.is_some_and(|account| Draft::of(visit, account).expires == self.expires);
        let expires_at = match self.expires.as_str() {
            // The minute that is shown says less than what is kept.
            _ if as_it_was => None,
            "" => Some(None),
            text => match visit.about.zone.parse(text, visit.now) {
                Ok(at) if at > visit.now && text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('-') => {
                    Some(Some(at))
                }
                Ok(_) | Err(_) => return Err(no_end(visit, text)),
            },
        };
        // `none` is what the command line writes; here an empty field says it.
        let text = |text: &str| if text == NONE { String::new() } else { text.to_owned() };
        // The group administrator's role is given and taken by the operator alone.
        let role = (is_api || role != Role::GroupAdministrator).then_some(role);
        Ok(Changes {
            role,
            class: is_api.then_some(class),
            access: is_api.then_some((self.smtp, self.http)),
            permissions: Some((self.view || !is_api, self.download)),
            own_data_only: is_api.then_some(self.own_data_only),
            networks: Some(networks),
            senders: is_api.then(|| items(&self.senders)),
            time_zone: Some(text(&self.time_zone)),
            rate: is_api.then_some(rate),
            expires_at,
            sandbox: is_api.then_some(self.sandbox),
            display_name: (!is_api).then(|| self.display_name.clone()),
            language: (!is_api).then(|| text(&self.language)),
        })
    }

    /// The fields of the form. `is_new`: the name is asked for.
    pub fn fields(&self, visit: &Visit<'_>, is_new: bool) -> Markup {
        match self.kind {
            AccountKind::Api => self.program(visit, is_new),
            AccountKind::Console => self.person(visit, is_new),
        }
    }

    fn program(&self, visit: &Visit<'_>, is_new: bool) -> Markup {
        let roles = [
            (Role::User.word(), role_name(visit, self.kind, Role::User)),
            (Role::GroupAdministrator.word(), role_name(visit, self.kind, Role::GroupAdministrator)),
        ];
        let classes = [
            ("", visit.say("as [delivery.priority] says", "[delivery.priority] に従う")),
            (Class::High.word(), class_name(visit.lang, Class::High)),
            (Class::Normal.word(), class_name(visit.lang, Class::Normal)),
            (Class::Low.word(), class_name(visit.lang, Class::Low)),
        ];
        html! {
            div class="fields" {
                @if is_new {
                    (Field {
                        name: "name", label: visit.say("API user", "APIユーザー"), value: &self.name, required: true, max: 64,
                        placeholder: "shop@example.jp",
                        hint: visit.say("What the program logs in with, by SMTP and HTTP. E-mail form if it comes from CMC.",
                            "プログラムがSMTP・HTTP APIの認証で使うIDです。CMCからの移行時はメールアドレス形式。"),
                        ..Field::default()
                    }.show())
                }
                (select("role", visit.say("Role in the API", "APIでの権限"), &roles, &self.role))
                (select("class", visit.say("Priority of its mail", "メールの優先度"), &classes, &self.class))
            }
            fieldset class="spaced" {
                legend { (visit.say("Access", "アクセス")) }
                (check_box("smtp", "on", "SMTP", self.smtp))
                (check_box("http", "on", "HTTP API", self.http))
            }
            fieldset class="spaced" {
                legend { (visit.say("Data", "データの権限")) }
                (check_box("view", "on", visit.say("view logs with addresses", "宛先を含むログの閲覧"), self.view))
                (check_box("download", "on", visit.say("download logs", "ログのダウンロード"), self.download))
                (check_box("own_data_only", "on", visit.say("its own mail only", "自分が送信した分のみ"), self.own_data_only))
                (check_box("sandbox", "on", visit.say("sandbox: its mail is kept to be looked at, never delivered", "サンドボックス（配信せず、画面で確認できるように保管する）"), self.sandbox))
            }
            div class="fields spaced" {
                (text_area("senders", visit.say("May send as", "送信元の制限"), &self.senders, 3, visit.say(
                    "One address or domain a line, in envelope and header From. Empty: as anybody.",
                    "1行に1つ、アドレスまたはドメイン（エンベロープとヘッダーのFrom）。空欄は制限なし。")))
                (self.networks_field(visit))
                (Field {
                    name: "rate", label: visit.say("Limit of recipients", "宛先数の上限"), value: &self.rate, placeholder: "1000/1h", max: 40,
                    hint: visit.say("Recipients in a time. Empty: no limit.", "「宛先数/時間」。空欄は上限なし。"), ..Field::default()
                }.show())
                (self.expires_field(visit))
                (self.zone_field(visit))
            }
        }
    }

    fn person(&self, visit: &Visit<'_>, is_new: bool) -> Markup {
        let roles = [
            (Role::User.word(), role_name(visit, self.kind, Role::User)),
            (Role::ReportViewer.word(), visit.say("report viewer (statistics only)", "レポート閲覧者（統計のみ）")),
        ];
        let languages = [("", visit.say("the browser's", "ブラウザーの設定")), ("en", "English"), ("ja", "日本語")];
        html! {
            div class="fields" {
                @if is_new {
                    (Field {
                        name: "name", label: visit.say("E-mail address", "メールアドレス"), value: &self.name, kind: "email", required: true,
                        max: 64, placeholder: "hanako@example.jp",
                        hint: visit.say("The login; the link to a new password goes there.", "ログインIDです。パスワード再設定のメールもここへ送ります。"),
                        ..Field::default()
                    }.show())
                }
                (Field {
                    name: "display_name", label: visit.say("Name", "名前"), value: &self.display_name, max: 100, ..Field::default()
                }.show())
                (select("role", visit.say("Role", "権限"), &roles, &self.role))
                (select("language", visit.say("Language", "言語"), &languages, &self.language))
                (self.zone_field(visit))
                (self.expires_field(visit))
            }
            fieldset class="spaced" {
                legend { (visit.say("Data", "データの権限")) }
                (check_box("download", "on", visit.say("download logs", "ログのダウンロード"), self.download))
            }
            div class="fields spaced" { (self.networks_field(visit)) }
        }
    }

    fn networks_field(&self, visit: &Visit<'_>) -> Markup {
        text_area(
            "networks",
            visit.say("May be used from", "接続元の制限"),
            &self.networks,
            3,
            visit.say(
                "One address or network a line. Empty: from everywhere that [accounts.allowed_ips] lets.",
                "1行に1つ、IPアドレスまたはネットワーク。空欄の場合は [accounts.allowed_ips] のみで判定します。",
            ),
        )
    }

    fn expires_field(&self, visit: &Visit<'_>) -> Markup {
        Field {
            name: "expires",
            label: visit.say("Ends", "有効期限"),
            value: &self.expires,
            kind: "datetime-local",
            hint: visit.say("From then on it is refused. Empty: never.", "この時刻以降は拒否します。空欄は無期限。"),
            ..Field::default()
        }
        .show()
    }

    fn zone_field(&self, visit: &Visit<'_>) -> Markup {
        Field {
            name: "time_zone",
            label: visit.say("Time zone", "タイムゾーン"),
            value: &self.time_zone,
            placeholder: "Asia/Tokyo",
            max: 64,
            hint: visit.say("An IANA name. Empty: the server's.", "IANA名。空欄はサーバーの設定。"),
            ..Field::default()
        }
        .show()
    }
}

/// A moment as `datetime-local` has it.
fn minute(visit: &Visit<'_>, at: crate::clock::Timestamp) -> String {
    let full = visit.about.zone.rfc3339(at);
    full.get(..16).unwrap_or_default().to_owned()
}

fn quoted(text: &str) -> String {
    clean(&clip(text, 80))
}

fn no_network(visit: &Visit<'_>, text: &str) -> String {
    let text = quoted(text);
    if visit.lang.japanese {
        format!(
            "「{text}」はIPアドレスでもネットワークでもありません。192.0.2.7 や 192.0.2.0/24、2001:db8::/32 のように入力してください。"
        )
    } else {
        format!("“{text}” is no address and no network: write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32.")
    }
}

fn no_rate(visit: &Visit<'_>, text: &str) -> String {
    let text = quoted(text);
    if visit.lang.japanese {
        format!(
            "「{text}」は宛先数の上限として読めません。1000/1h のように「宛先数/時間」（1s〜31d）で入力するか、空欄にしてください。"
        )
    } else {
        format!("“{text}” is no limit: write recipients and a time from 1s to 31d, such as 1000/1h, or leave it empty.")
    }
}

fn no_end(visit: &Visit<'_>, text: &str) -> String {
    let text = quoted(text);
    if visit.lang.japanese {
        format!(
            "有効期限「{text}」は未来の日時ではありません。2027-03-31T18:00 のように入力するか、空欄にしてください。すぐに止めるには「今すぐ停止」を使います。"
        )
    } else {
        format!(
            "“{text}” is no time to come: write 2027-03-31T18:00, or leave it empty. To stop it at once, use “Stop now”."
        )
    }
}
