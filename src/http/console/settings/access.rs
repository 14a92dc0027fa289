//! Who may come from where: the lists of the config file, and the networks of single users.

use ipnet::IpNet;
use maud::{Markup, html};

use super::{
    super::{
        Answer, Args, Section, Visit,
        parts::{copyable, empty, foreign, heading, number, panel, pill},
    },
    line_words, pages,
};
use crate::{
    config::lines::{Setting, settings},
    http::exchange::percent_encode,
};

/// Networks of a list that are shown.
const NETWORKS_SHOWN: usize = 100;
/// Users with networks of their own that are shown.
const USERS_SHOWN: usize = 100;

/// What to write to restrict something.
const EXAMPLE: &str = "[accounts.allowed_ips]\nconsole = [\"192.0.2.0/24\", \"2001:db8::/32\"]\napi = [\"198.51.100.7\"]\nsubmit = [\"198.51.100.0/24\"]";

pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let config = visit.daemon.config();
    let allowed = &config.accounts.allowed_ips;
    let tables = settings(&config, false);
    let table = tables.iter().find(|table| table.head == "[accounts.allowed_ips]");
    let line =
        |key: &str| table.and_then(|table| table.settings.iter().find(|s| s.key == key)).and_then(|s: &Setting| s.line);
    let doors = [
        (
            "console",
            visit.say("Console", "管理画面"),
            visit.say("signing in, and every page", "ログインとすべての画面"),
            &allowed.console,
        ),
        (
            "api",
            visit.say("API that reads and changes", "Transactional API（参照・変更）"),
            visit.say("logs, suppression, domains", "ログ・配信停止・ドメインなど"),
            &allowed.api,
        ),
        (
            "submit",
            visit.say("Sending: SMTP AUTH and the sending API", "送信（SMTP認証・Email Sending API）"),
            visit.say("an API user's mail", "APIユーザーによるメール送信"),
            &allowed.submit,
        ),
    ];
    let title = visit.say("IP restrictions", "接続元の制限");
    let content = html! {
        (heading(title, visit.say("An empty list lets everybody. As soon as one network is listed, only those listed pass.",
            "空の場合は制限しません。1件でも登録すると、登録した接続元のみ許可します。")))
        (pages(visit, true))
        p class="hint" { (visit.say("You come from ", "現在の接続元：")) span class="mono" { (visit.source()) } }
        @for (key, name, what, networks) in doors { (door(visit, key, name, what, networks, line(key))) }
        (panel(visit.say("To change them", "変更するには"), "", &html! {
            p { (visit.say("They are in the config file, so that a stolen password cannot widen them. The operator edits it and reloads:",
                "パスワードを盗まれても緩和されないよう、設定ファイルで管理します。運用者が編集して再読み込みしてください：")) }
            (copyable(EXAMPLE))
            (copyable("hikyaku check && systemctl reload hikyaku"))
        }))
        (of_users(visit))
    };
    visit.page(Section::Settings, title, &content)
}

fn door(visit: &Visit<'_>, key: &str, name: &str, what: &str, networks: &[IpNet], line: Option<usize>) -> Markup {
    let source = visit.source();
    let is_in = networks.iter().any(|network| network.contains(&source));
    html! {
        section {
            h2 {
                (name) small { (what) }
                @if networks.is_empty() { (pill("", visit.say("everybody", "制限なし"))) }
                @else if is_in { (pill("succeeded", visit.say("you are in", "現在の接続元を含む"))) }
                @else { (pill("deferred", visit.say("you are not in", "現在の接続元を含まない"))) }
            }
            p class="hint" {
                span class="mono" { "accounts.allowed_ips." (key) } " · "
                @match line {
                    Some(line) => (line_words(visit, line)),
                    None => (visit.say("default", "既定値")),
                }
            }
            @if !networks.is_empty() {
                ul class="notes mono" {
                    @for network in networks.iter().take(NETWORKS_SHOWN) { li { (network.to_string()) } }
                    @if networks.len() > NETWORKS_SHOWN { li { "+ " (number((networks.len() - NETWORKS_SHOWN) as u64)) } }
                }
            }
        }
    }
}

/// Users with networks of their own: both lists must let one in.
fn of_users(visit: &Visit<'_>) -> Markup {
    let all = visit.daemon.users().list();
    let own: Vec<_> = all.iter().filter(|account| !account.rights.networks.is_empty()).collect();
    panel(
        visit.say("Networks of single users", "ユーザーごとの制限"),
        visit.say("beside the lists above", "上の制限に加えて適用"),
        &html! {
            @if own.is_empty() {
                (empty(visit.say("No user has any.", "設定されているユーザーはありません。"),
                    visit.say("Give a user networks on its page under Users.", "「ユーザー」の各画面で設定できます。")))
            } @else {
                table class="stack" {
                    thead { tr { th { (visit.say("User", "ユーザー")) } th { (visit.say("From", "接続元")) } } }
                    tbody { @for account in own.iter().take(USERS_SHOWN) {
                        tr {
                            td class="strong wide" {
                                a href=(visit.href(&format!("/users/user?name={}", percent_encode(&account.name)))) { (foreign(&account.name, 64)) }
                            }
                            td class="mono wide" { (account.rights.networks.iter().take(10).map(ToString::to_string).collect::<Vec<_>>().join(", ")) @if account.rights.networks.len() > 10 { " …" } }
                        }
                    } }
                }
                @if own.len() > USERS_SHOWN { p class="hint" { "+ " (number((own.len() - USERS_SHOWN) as u64)) } }
            }
        },
    )
}
