//! What to do with a relay that has seen no mail yet: name a domain, give a program its key, send a mail, find it again.
//!
//! In: the configuration in force, the users.  Out: a list of steps, each done or with what does it.
//! Always: shown to who may see mail, and only until the first one is there; a step that is another's says whose it is.

use maud::{Markup, html};

use crate::{
    config::{Config, Mode},
    http::console::{
        Right, Visit,
        parts::{clean, copyable},
    },
    store::AccountKind,
};

/// The section.
pub(super) fn section(visit: &Visit<'_>) -> Markup {
    let config = visit.daemon.config();
    let is_internet = visit.about.mode == Mode::Internet;
    let has_domain = !config.domains.is_empty();
    let has_user = visit.daemon.users().list().iter().any(|account| account.kind == AccountKind::Api);
    html! {
        section id="first-steps" {
            h2 { (visit.say("First steps", "はじめに")) small { (visit.say("no mail was handed in yet", "まだメールを受け付けていません")) } }
            ol class="steps" {
                @if is_internet { (domain(visit, has_domain)) }
                (user(visit, has_user))
                (mail(visit, &config))
                (step(visit, "later", visit.say("See what became of it", "結果を確認する"), &html! {
                    p { (visit.say("It appears on this page within seconds. Later, the box at the top finds it by recipient, subject, Message-ID or queue id.",
                        "数秒でこの画面に表示されます。以後は画面上部の検索欄から、宛先・件名・Message-ID・キューIDで探せます。")) }
                }))
            }
        }
    }
}

fn step(visit: &Visit<'_>, state: &str, title: &str, content: &Markup) -> Markup {
    html! {
        li class=(state) {
            p class="strong" { (title) @if state == "done" { " " span class="soft" { (visit.say("(done)", "（完了）")) } } }
            (content)
        }
    }
}

fn domain(visit: &Visit<'_>, is_done: bool) -> Markup {
    let state = if is_done { "done" } else { "now" };
    step(
        visit,
        state,
        visit.say("Name the domain that you send from", "送信ドメインを登録する"),
        &html! {
            @if is_done {
                p { a href=(visit.href("/domains")) { (visit.say("See which records its DNS still wants, and make its DKIM key", "DNS に必要なレコードの確認と DKIM 鍵の作成")) } }
            } @else {
                p { (visit.say("In the config file; then reload. The console says which DNS records it wants and makes its DKIM key.",
                    "設定ファイルに追記して再読み込みします。必要な DNS レコードの確認と DKIM 鍵の作成は管理画面で行えます。")) }
                (copyable("[[domain]]\nname = \"example.jp\""))
                (copyable("hikyaku check && systemctl reload hikyaku"))
            }
        },
    )
}

fn user(visit: &Visit<'_>, is_done: bool) -> Markup {
    let state = if is_done { "done" } else { "now" };
    step(
        visit,
        state,
        visit.say("Give each program its own key", "プログラムごとにAPIユーザーを作成する"),
        &html! {
            p {
                @if visit.may(Right::Administer) {
                    @let (path, words) = match is_done {
                        true => ("/users", visit.say("API users", "APIユーザー一覧")),
                        false => ("/users/add?kind=api", visit.say("Add an API user", "APIユーザーを追加")),
                    };
                    a href=(visit.href(path)) { (words) } " "
                } @else if !is_done {
                    (visit.say("The group administrator adds API users. ", "APIユーザーはグループ管理者が追加します。"))
                }
                @if !is_done {
                    span class="soft" {
                        (visit.say("The program logs in with it by SMTP or HTTP, and its mail can be told apart. From the networks of [relay] no key is needed.",
                            "SMTP・HTTP API の認証に使い、送信状況を個別に把握できます。[relay] の networks に登録した接続元からは、認証なしで送信できます。"))
                    }
                }
            }
        },
    )
}

/// A mail of our own making: to whoever looks, where the account's name is an address.
fn mail(visit: &Visit<'_>, config: &Config) -> Markup {
    let who = visit.who();
    let to = if who.contains('@') { clean(&who) } else { "you@example.jp".to_owned() };
    let domain = config.domains.first().map_or("example.jp", |domain| domain.name.as_str());
    let command = format!("printf 'Subject: Good morning\\n\\nHello.\\n' | hikyaku sendmail -f test@{domain} {to}");
    step(
        visit,
        "now",
        visit.say("Send a first mail", "最初のメールを送る"),
        &html! {
            p { (visit.say("On this server, or from any program by SMTP:", "このサーバー上で実行するか、任意のプログラムから SMTP で送信します。")) }
            (copyable(&command))
        },
    )
}
