//! Users: the programs that send and ask (API users), and the people who work here (accounts) (R14–R17).
//!
//! In: forms.  Out: lists, one user, what was done; a key or password once, on the page that answers the form.
//! Always: for the group administrator alone; its own account is the operator's business; acts leave their entries in the
//! operation log through [`crate::account`]; a key is on no address, in no cookie and on no page but that one.
//! Sources: PRODUCT.md R13–R17; cmc.md §13.

mod act;
mod draft;
mod one;

use std::time::Duration;

use maud::{Markup, html};

use super::{
    Answer, Args, Place, Right, Section, Visit,
    parts::{empty, foreign, heading, number, panel, pill},
};
use crate::{
    account::rights::rate_text,
    clock::Timestamp,
    store::{Account, AccountKind, Person, Rights, Role},
};
use draft::{kind_word, role_name};

pub(super) const PLACES: &[Place] = &[
    Place::read("/users", Right::Administer, list),
    Place::read("/users/add", Right::Administer, act::add_form),
    Place::act("/users/add", Right::Administer, act::add),
    Place::read("/users/user", Right::Administer, one::page),
    Place::act("/users/set", Right::Administer, act::set),
    Place::act("/users/key", Right::Administer, act::key),
    Place::act("/users/mail-link", Right::Administer, act::mail_link),
    Place::act("/users/stop", Right::Administer, act::stop),
    Place::act("/users/unlock", Right::Administer, act::unlock),
    Place::act("/users/totp-off", Right::Administer, act::totp_off),
    Place::act("/users/sign-out", Right::Administer, act::sign_out),
    Place::act("/users/remove", Right::Administer, act::remove),
];

/// Rows of each list; ten users are the rule (R16), and a search narrows more of them.
const ROWS: usize = 100;
/// Somebody who was seen so lately is here.
const JUST_NOW: Duration = Duration::from_secs(60);
/// More users than this get a search.
const SEARCH_FROM: usize = 15;

/// The page of one user.
fn path_of(name: &str) -> String {
    format!("/users/user?name={}", crate::http::exchange::percent_encode(name))
}

/// What keeps it from being used now.
fn is_over(visit: &Visit<'_>, rights: &Rights) -> bool {
    rights.expires_at.is_some_and(|at| at <= visit.now)
}

fn list(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let all = visit.daemon.accounts()?;
    let users_max = visit.daemon.config().accounts.users_max;
    let asked = visit.request.param("q").trim().to_lowercase();
    let found = |kind: AccountKind| -> Vec<&Account> {
        let fits = |account: &&Account| {
            account.kind == kind
                && (asked.is_empty()
                    || account.name.to_lowercase().contains(&asked)
                    || account.person.display_name.to_lowercase().contains(&asked))
        };
        all.iter().filter(fits).collect()
    };
    let (programs, people) = (found(AccountKind::Api), found(AccountKind::Console));
    let title = visit.say("Users", "ユーザー");
    let (taken, max) = (number(all.len() as u64), number(users_max as u64));
    let lead = if visit.lang.japanese {
        format!("{max} 件中 {taken} 件を使用しています（APIユーザーとアカウントの合計）。")
    } else {
        format!("{taken} of {max} are taken, API users and accounts together.")
    };
    let content = html! {
        (heading(title, &lead))
        @if all.len() >= users_max {
            p class="note" { (visit.say("No more can be added: remove one, or the operator raises users_max in [accounts].",
                "これ以上追加できません。不要なユーザーを削除するか、運用者が [accounts] の users_max を引き上げてください。")) }
        }
        @if all.len() > SEARCH_FROM || !asked.is_empty() { (search(visit)) }
        (panel(visit.say("API users", "APIユーザー"), visit.say("programs that send mail and read logs", "メール送信やログ取得を行うプログラム"), &html! {
            (programs_table(visit, &programs))
            p class="actions" {
                a class="button plain" href=(visit.href("/users/add?kind=api")) { (visit.say("Add an API user", "APIユーザーを追加")) }
                a class="button plain" href=(visit.href("/owner-links")) { (visit.say("Links for application owners", "アプリケーション担当者用リンク")) }
            }
        }))
        (panel(visit.say("Accounts", "アカウント"), visit.say("people who sign in here", "この管理画面にログインする人"), &html! {
            (people_table(visit, &people))
            p class="actions" { a class="button plain" href=(visit.href("/users/add?kind=console")) { (visit.say("Add an account", "アカウントを追加")) } }
        }))
    };
    visit.page(Section::Users, title, &content)
}

fn search(visit: &Visit<'_>) -> Markup {
    let words = visit.say("Name or address", "名前・ID");
    visit.ask("/users", "find", &html! {
        input type="search" name="q" value=(visit.request.param("q")) maxlength="100" placeholder=(words) aria-label=(words);
        button class="plain" { (visit.say("Search", "検索")) }
    })
}

fn cut_words(visit: &Visit<'_>, rows: usize) -> Markup {
    html! {
        @if rows > ROWS {
            p class="hint" { (visit.say("The first 100 are shown: search for the others.", "先頭の100件を表示しています。検索で絞り込んでください。")) }
        }
    }
}

fn programs_table(visit: &Visit<'_>, rows: &[&Account]) -> Markup {
    if rows.is_empty() {
        return empty(
            visit.say("There is no API user.", "APIユーザーはありません。"),
            visit.say(
                "Add one for each application, so that its mail can be told apart.",
                "アプリケーションごとに追加すると、送信状況を個別に把握できます。",
            ),
        );
    }
    html! {
        table class="stack" {
            thead { tr {
                th { (visit.say("API user", "APIユーザー")) }
                th { (visit.say("May", "権限")) }
                th { (visit.say("Limits", "制限")) }
                th { (visit.say("Key set", "キー設定日時")) }
            } }
            tbody { @for account in rows.iter().take(ROWS) {
                tr {
                    td class="strong wide destination" { a href=(visit.href(&path_of(&account.name))) { (foreign(&account.name, 64)) } }
                    td class="wide" { (may(visit, account)) }
                    td class="wide" data-label=(visit.say("Limits", "制限")) { (limits(visit, &account.rights)) }
                    td class="nowrap wide" data-label=(visit.say("Key set", "キー設定日時")) { (visit.when(account.password_set_at)) }
                }
            } }
        }
        (cut_words(visit, rows.len()))
    }
}

/// What a program may do, in ovals.
fn may(visit: &Visit<'_>, account: &Account) -> Markup {
    let r = &account.rights;
    let is_chief = r.role == Role::GroupAdministrator;
    html! {
        @if is_chief { (pill("queued", role_name(visit, account.kind, r.role))) " " }
        @for (has, words) in [
            (r.smtp, "SMTP"),
            (r.http, "HTTP API"),
            (r.view, visit.say("view", "閲覧")),
            (r.download, visit.say("download", "ダウンロード")),
        ] {
            @if has { (pill("", words)) " " }
        }
        @if !r.smtp && !r.http { (pill("failed", visit.say("no access", "アクセス不可"))) }
    }
}

/// `1000/1h` for people.
fn grouped(rate: &str) -> String {
    let (count, time) = rate.split_once('/').unwrap_or((rate, ""));
    let count = count.parse().map_or_else(|_| count.to_owned(), number);
    if time.is_empty() { count } else { format!("{count} / {time}") }
}

/// What keeps a program from more.
fn limits(visit: &Visit<'_>, r: &Rights) -> Markup {
    let mut words: Vec<String> = Vec::new();
    if r.own_data_only {
        words.push(visit.say("its own mail only", "自分の送信分のみ").to_owned());
    }
    if let Some(rate) = r.rate {
        words.push(grouped(&rate_text(Some(rate))));
    }
    let counted = |n: usize, one: &str, many: &str, japanese: &str| match (n, visit.lang.japanese) {
        (0, _) => None,
        (n, true) => Some(format!("{japanese} {n} 件")),
        (1, false) => Some(format!("1 {one}")),
        (n, false) => Some(format!("{n} {many}")),
    };
    words.extend(counted(r.senders.len(), "sender", "senders", "送信元"));
    words.extend(counted(r.networks.len(), "network", "networks", "接続元"));
    html! {
        @if is_over(visit, r) { (pill("failed", visit.say("ended", "期限切れ"))) " " }
        @else if let Some(at) = r.expires_at { (pill("deferred", visit.say("ends", "期限あり"))) " " (visit.when(at)) @if !words.is_empty() { " · " } }
        @if r.sandbox { (pill("deferred", visit.say("sandbox", "サンドボックス"))) " " }
        @if words.is_empty() && !r.sandbox && r.expires_at.is_none() { span class="soft" { (visit.say("none", "なし")) } }
        (words.join(" · "))
    }
}

fn people_table(visit: &Visit<'_>, rows: &[&Account]) -> Markup {
    if rows.is_empty() {
        return empty(visit.say("Nobody is found.", "該当するアカウントはありません。"), "");
    }
    html! {
        table class="stack" {
            thead { tr {
                th { (visit.say("Account", "アカウント")) }
                th { (visit.say("Name", "名前")) }
                th { (visit.say("Role", "権限")) }
                th { (visit.say("State", "状態")) }
                th { (visit.say("Last seen", "最終アクセス")) }
            } }
            tbody { @for account in rows.iter().take(ROWS) {
                tr {
                    td class="strong wide destination" { a href=(visit.href(&path_of(&account.name))) { (foreign(&account.name, 64)) } }
                    td class="wide" { (foreign(&account.person.display_name, 100)) }
                    td class="left" { (role_name(visit, account.kind, account.rights.role)) }
                    td class="wide" { (state(visit, &account.rights, &account.person)) }
                    td class="nowrap wide" data-label=(visit.say("Last seen", "最終アクセス")) { (last_seen(visit, &account.name)) }
                }
            } }
        }
        (cut_words(visit, rows.len()))
    }
}

/// How a person's login stands, in ovals.
fn state(visit: &Visit<'_>, r: &Rights, p: &Person) -> Markup {
    html! {
        @if p.locked_at.is_some() { (pill("failed", visit.say("locked", "ロック中"))) " " }
        @if is_over(visit, r) { (pill("failed", visit.say("ended", "期限切れ"))) " " }
        @if r.download { (pill("", visit.say("download", "ダウンロード"))) " " }
        @if p.totp.is_some() { (pill("succeeded", visit.say("two-factor", "二段階認証"))) }
        @else { (pill("", visit.say("password only", "パスワードのみ"))) }
    }
}

fn last_seen(visit: &Visit<'_>, name: &str) -> Markup {
    let seen = visit.daemon.users().sessions_of(name).iter().map(|session| session.seen_at).max();
    html! {
        @match seen {
            Some(at) => (ago(visit, at)),
            None => span class="soft" { (visit.say("not signed in", "ログインしていません")) },
        }
    }
}

/// How long ago somebody was seen.
fn ago(visit: &Visit<'_>, at: Timestamp) -> Markup {
    if visit.now.since(at) < JUST_NOW {
        return html! { (visit.say("just now", "たった今")) };
    }
    visit.ago(at)
}

/// What is asked for by `?kind=`.
fn kind_of(text: &str) -> AccountKind {
    if text == kind_word(AccountKind::Console) { AccountKind::Console } else { AccountKind::Api }
}

#[cfg(test)]
mod tests;
