//! One user: what it is and may, its form, and what can be done with it.

use maud::{Markup, html};

use super::{
    super::{
        Answer, Args, Missing, Section, Visit,
        parts::{Field, back_to, clean, clip, copyable, empty, facts, foreign, panel, pill},
    },
    ago,
    draft::{Draft, role_name},
    is_over, may, path_of, state,
};
use crate::{
    config::{Config, Role as Listening},
    http::exchange::percent_encode,
    store::{Account, AccountKind, Role},
};

/// Sessions that are listed; a person has at most as many.
const SESSIONS_MAX: usize = 20;
/// Listeners that are named.
const LISTENERS_MAX: usize = 5;

/// The page of the user that `?name=` names.
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let account = found(visit, visit.request.param("name"))?;
    let draft = Draft::of(visit, &account);
    show(visit, 200, &account, &draft, "")
}

/// The account of this name.
///
/// # Errors
/// There is none.
pub(super) fn found(visit: &Visit<'_>, name: &str) -> Result<Account, Missing> {
    visit.daemon.accounts()?.into_iter().find(|account| account.name == name).ok_or(Missing::Nothing)
}

/// It is managed by the operator alone (R17).
pub(super) fn is_the_operators(account: &Account) -> bool {
    account.kind == AccountKind::Console && account.rights.role == Role::GroupAdministrator
}

/// The page. `wrong`: what is wrong with what was typed; empty: nothing.
pub(super) fn show(visit: &Visit<'_>, status: u16, account: &Account, draft: &Draft, wrong: &str) -> Answer {
    let title = clean(&clip(&account.name, 80));
    let is_api = account.kind == AccountKind::Api;
    let content = html! {
        (back_to(visit, "/users", visit.say("Users", "ユーザー")))
        div class="heading" {
            h1 { (foreign(&account.name, 64)) }
            p class="lead" { (role_name(visit, account.kind, account.rights.role)) " · " @if is_api { (may(visit, account)) } @else { (state(visit, &account.rights, &account.person)) } }
        }
        @if !wrong.is_empty() { p class="note bad" role="alert" { (clean(wrong)) } }
        @if let Some(at) = account.person.locked_at { (locked(visit, account, at)) }
        @if is_the_operators(account) {
            (the_operators(visit))
        } @else {
            (panel(visit.say("Settings", "設定"), "", &visit.post("/users/set", "", &html! {
                input type="hidden" name="name" value=(account.name);
                (draft.fields(visit, false))
                p class="actions" { button { (visit.say("Save", "保存")) } }
            })))
        }
        @if is_api { (use_it(visit, account)) }
        @if !is_api { (sessions(visit, account)) }
        @if !is_the_operators(account) { (acts(visit, account)) }
        (panel(visit.say("History", "履歴"), "", &facts(&[
            (visit.say("Made", "作成日時"), visit.when(account.created_at)),
            (if is_api { visit.say("Key set", "キー設定日時") } else { visit.say("Password set", "パスワード設定日時") }, visit.when(account.password_set_at)),
            (visit.say("Logs", "ログ"), html! {
                a href=(visit.href(&format!("/audit?text={}", percent_encode(&account.name)))) { (visit.say("operations", "操作ログ")) } " · "
                a href=(visit.href(&format!("/audit/logins?who={}", percent_encode(&account.name)))) { (visit.say("logins", "ログインログ")) }
                @if is_api {
                    " · " a href=(visit.href(&format!("/log/deliveries?user={}", percent_encode(&account.name)))) { (visit.say("its mail", "配信ログ")) }
                    " · " a href=(visit.href(&format!("/statistics?user={}", percent_encode(&account.name)))) { (visit.say("its numbers", "統計")) }
                    " · " a href=(visit.href(&format!("/owner-links?user={}", percent_encode(&account.name)))) { (visit.say("a page for its team", "担当者用リンク")) }
                }
            }),
        ])))
    };
    let frame = super::super::Frame { section: Some(Section::Users), title: &title, refresh_seconds: 0 };
    Ok(visit.page_with(status, &frame, &content))
}

fn the_operators(visit: &Visit<'_>) -> Markup {
    panel(
        visit.say("Group administrator", "グループ管理者"),
        "",
        &html! {
            p { (visit.say(
                "There is exactly one. Password, language, time zone and two-factor sign-in are on the page “My account”. The operator hands the role over, unlocks it and sets its networks on the command line:",
                "グループ管理者は1人だけです。パスワード・言語・タイムゾーン・二段階認証は「マイアカウント」で変更できます。権限の引き継ぎ、ロック解除、接続元の制限は、運用者がコマンドラインで行います：")) }
            (copyable("hikyaku user make-admin NAME\nhikyaku user unlock NAME\nhikyaku user set NAME --network 192.0.2.0/24"))
        },
    )
}

fn locked(visit: &Visit<'_>, account: &Account, at: crate::clock::Timestamp) -> Markup {
    html! {
        section {
            h2 { (visit.say("Locked", "ロック中")) small { (visit.when(at)) } }
            p { (visit.say("Too many wrong passwords in a row. Whoever it belongs to may also reset the password by mail, which unlocks it.",
                "パスワードを連続して間違えたためロックされています。本人がメールでパスワードを再設定した場合も解除されます。")) }
            @if !is_the_operators(account) {
                div class="actions" { (visit.button("/users/unlock", "", &[("name", &account.name)], visit.say("Unlock", "ロックを解除"))) }
            }
        }
    }
}

/// How a program uses it.
fn use_it(visit: &Visit<'_>, account: &Account) -> Markup {
    let config = visit.daemon.config();
    panel(
        visit.say("How a program uses it", "プログラムからの利用方法"),
        "",
        &recipe(visit, &config, &account.name, None),
    )
}

/// Where to connect, with what. `key`: it is shown, this once.
pub(super) fn recipe(visit: &Visit<'_>, config: &Config, name: &str, key: Option<&str>) -> Markup {
    let host = &config.server.hostname;
    let ports: Vec<String> = config
        .listeners
        .iter()
        .filter(|listener| listener.role == Listening::Relay)
        .take(LISTENERS_MAX)
        .map(|listener| match listener.address.ip().is_unspecified() {
            true => format!("{host}:{}", listener.address.port()),
            false => listener.address.to_string(),
        })
        .collect();
    let base = config.http.public_url.trim_end_matches('/');
    html! {
        (facts(&[
            ("SMTP", html! { span class="mono" { (ports.join(", ")) } }),
            ("HTTP API", html! { span class="mono" { (base) "/api/v2/emails/send.json" } " · " a href="/openapi.json" { "openapi.json" } }),
            (visit.say("User", "ユーザー"), html! { span class="mono" { (foreign(name, 64)) } }),
            (visit.say("Key", "キー"), match key {
                Some(key) => copyable(key),
                None => html! { span class="soft" { (visit.say("kept as a hash only: nobody can see it again", "ハッシュのみ保存しているため、再表示できません")) } },
            }),
        ]))
    }
}

fn sessions(visit: &Visit<'_>, account: &Account) -> Markup {
    let sessions = visit.daemon.users().sessions_of(&account.name);
    panel(
        visit.say("Signed in", "ログイン中のセッション"),
        "",
        &html! {
            @if sessions.is_empty() {
                (empty(visit.say("Not signed in anywhere.", "ログイン中のセッションはありません。"), ""))
            } @else {
                table class="stack" {
                    thead { tr {
                        th { (visit.say("Last seen", "最終アクセス")) } th { (visit.say("From", "接続元")) } th { (visit.say("Browser", "ブラウザー")) }
                    } }
                    tbody { @for session in sessions.iter().take(SESSIONS_MAX) {
                        tr {
                            td class="nowrap" { (ago(visit, session.seen_at)) }
                            td class="mono" { (session.from.map_or_else(|| "-".to_owned(), |from| from.to_string())) }
                            td class="wide" { (foreign(&session.browser, 120)) }
                        }
                    } }
                }
                @if account.name != visit.who() {
                    div class="actions" {
                        (visit.button("/users/sign-out", "plain", &[("name", &account.name)], visit.say("Sign out everywhere", "すべてのセッションを終了")))
                    }
                }
            }
        },
    )
}

fn acts(visit: &Visit<'_>, account: &Account) -> Markup {
    let (is_api, name) = (account.kind == AccountKind::Api, account.name.as_str());
    let fields = [("name", name)];
    let over = is_over(visit, &account.rights);
    html! {
        section {
            h2 { (if is_api { visit.say("Another key", "キーの変更") } else { visit.say("Another password", "パスワードの変更") }) }
            p { @if is_api {
                (visit.say("Programs that use the old key are refused from then on.", "以前のキーを使うプログラムは、以後拒否されます。"))
            } @else {
                (visit.say("Best mailed as a link, so that only they know it: the old password counts until they set the new one. One that is set here ends every session.",
                    "本人だけが知るパスワードにするには、再設定用のリンクを送ってください（設定されるまで以前のパスワードが有効です）。ここで変更すると、すべてのセッションが終了します。"))
            } }
            @if !is_api {
                div class="actions" { (visit.button("/users/mail-link", "", &fields, visit.say("Mail a link to set a password", "パスワード設定のリンクを送信"))) }
            }
            (visit.post("/users/key", "spaced", &html! {
                input type="hidden" name="name" value=(name);
                details {
                    summary { (visit.say("Choose it yourself", "自分で決める")) }
                    (key_fields(visit, is_api))
                }
                p class="actions" { button class="plain" { (if is_api { visit.say("Set another key", "キーを変更") } else { visit.say("Set another password", "パスワードを変更") }) } }
            }))
        }
        section {
            h2 { (visit.say("Stop or remove", "停止と削除")) }
            div class="actions" {
                @if over {
                    (pill("failed", visit.say("ended", "期限切れ")))
                    span { (visit.say("It is refused. Empty the field “Ends” above and save to allow it again.", "現在は拒否されます。再開するには、上の「有効期限」を空欄にして保存してください。")) }
                } @else {
                    (visit.button("/users/stop", "grave", &fields, visit.say("Stop now", "今すぐ停止")))
                }
                @if !is_api && account.person.totp.is_some() {
                    (visit.button("/users/totp-off", "plain", &fields, visit.say("Turn two-factor sign-in off", "二段階認証を解除")))
                }
            }
            details class="spaced" {
                summary { (visit.say("Remove it for good", "完全に削除する")) }
                p { @if is_api {
                    (visit.say("Its key is refused at once. Its mail stays in the queue and in the logs.", "キーは直ちに拒否されます。送信済みのメールのログとキューは残ります。"))
                } @else {
                    (visit.say("Its sessions end at once. What it did stays in the operation log.", "セッションは直ちに終了します。操作ログは残ります。"))
                } }
                (visit.post("/users/remove", "", &html! {
                    input type="hidden" name="name" value=(name);
                    div class="fields" {
                        (Field {
                            name: "again", label: visit.say("Type its name to be sure", "確認のためIDを入力"), required: true, max: 64, ..Field::default()
                        }.show())
                    }
                    p class="actions" { button class="danger" { (visit.say("Remove", "削除")) } }
                }))
            }
        }
    }
}

/// A key that somebody brings along.
pub(super) fn key_fields(visit: &Visit<'_>, is_api: bool) -> Markup {
    html! {
        div class="fields" {
            (Field {
                name: "key", kind: "password", max: 1024, autocomplete: "new-password",
                label: if is_api { visit.say("Key", "キー") } else { visit.say("Password", "パスワード") },
                hint: visit.say("12 letters or more. Empty: one is made.", "12文字以上。空欄の場合は自動で作成します。"),
                ..Field::default()
            }.show())
        }
        @if is_api {
            (super::super::parts::check_box("imported", "on", visit.say("It comes from Customers Mail Cloud (8 letters with digits are enough)",
                "Customers Mail Cloud で使っていたキー（英数字8文字以上で可）"), false))
        }
    }
}

/// The page that shows a key or password, this once.
pub(super) fn show_key(visit: &Visit<'_>, account: &Account, key: &str, words: &str) -> Answer {
    let is_api = account.kind == AccountKind::Api;
    let config = visit.daemon.config();
    let title = visit.say("Shown this once", "この画面でのみ表示されます");
    let content = html! {
        div class="heading" { h1 { (words) } p class="lead" { (visit.say("Copy it now: it is kept as a hash only, and nobody can see it again.",
            "今すぐ控えてください。ハッシュのみ保存するため、再表示できません。")) } }
        @if is_api {
            (panel(visit.say("For the program", "プログラムの設定"), "", &recipe(visit, &config, &account.name, Some(key))))
        } @else {
            (panel(visit.say("For the person", "本人への連絡事項"), "", &facts(&[
                (visit.say("Sign in at", "ログインURL"), html! { span class="mono" { (config.http.public_url) } }),
                (visit.say("Account", "アカウント"), html! { span class="mono" { (foreign(&account.name, 64)) } }),
                (visit.say("Password", "パスワード"), copyable(key)),
            ])))
            p class="hint" { (visit.say("They change it on the page “My account”.", "本人が「マイアカウント」で変更できます。")) }
        }
        p class="actions" { a class="button" href=(visit.href(&path_of(&account.name))) { (visit.say("Done", "完了")) } }
    };
    visit.page(Section::Users, title, &content)
}
