//! The way back for who forgot the password: a link by mail.

use maud::html;
use smol::future::block_on;

use super::{guest, name_field, new_password, new_password_fields};
use crate::{
    account::{AccountError, Actor},
    config::Mode,
    http::{
        console::{Answer, Args, Told, Visit, parts},
        exchange::Response,
    },
    secret::Secret,
};

/// `GET /forgot`
pub(super) fn ask(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let title = visit.say("Forgot your password?", "パスワードを忘れた場合");
    let back = html! {
        p class="onward" { a href=(visit.href("/sign-in")) { (visit.say("Back to the sign-in", "ログインへ戻る")) } }
    };
    if visit.about.mode == Mode::Sandbox {
        let content = html! {
            p {
                (visit.say(
                    "No mail leaves this installation: it delivers to its sandbox. Ask the operator for a new password:",
                    "このシステムはサンドボックスで動作しており、メールは外部に配信されません。運用者にパスワードの再設定を依頼してください。",
                ))
            }
            (parts::copyable("hikyaku user password you@example.jp"))
            (back)
        };
        return Ok(guest(visit, 200, title, "", None, &content));
    }
    let lead = visit.say(
        "We mail you a link to set a new one. It counts for an hour.",
        "新しいパスワードを設定するためのリンクをメールでお送りします（有効期限1時間）。",
    );
    let fields = html! {
        (name_field(visit, visit.request.param("name")))
        div class="actions" { button { (visit.say("Mail me a link", "リンクを送る")) } }
    };
    let content = html! { (visit.post("/forgot", "stack-form", &fields)) (back) };
    Ok(guest(visit, 200, title, lead, None, &content))
}

/// `POST /forgot`: says the same to everybody, at once.
pub(super) fn send(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let name = visit.form.text("name");
    if visit.about.mode != Mode::Sandbox && !name.is_empty() {
        // Whoever it is: this page is for who is not signed in.
        let by = Actor::Stranger { from: visit.source() };
        visit.daemon.mail_reset(name, by, visit.lang.language());
    }
    let content = html! {
        p {
            (visit.say("If this address has an account, a mail with a link is on its way to it: ", "次のアドレスのアカウントがあれば、リンクを記載したメールをお送りしました："))
            strong { (parts::foreign(name, 100)) }
        }
        p class="soft" {
            (visit.say(
                "No mail after some minutes? Look into the folder for spam, check the address, and ask again: an account is mailed once in five minutes, and some ten times a day.",
                "数分待っても届かない場合は、迷惑メールフォルダーとアドレスを確認して、もう一度お試しください（送信は5分に1回、1日に10回程度までです）。",
            ))
        }
        p class="soft" {
            (visit.say(
                "A new password by mail also unlocks an account, but never the group administrator's: the operator does that.",
                "メールで再設定するとアカウントのロックも解除されます。ただしグループ管理者のロックは運用者だけが解除できます。",
            ))
        }
        p class="onward" { a href=(visit.href("/sign-in")) { (visit.say("To the sign-in", "ログインへ")) } }
    };
    Ok(guest(visit, 200, visit.say("Look into your mail", "メールをご確認ください"), "", None, &content))
}

/// `GET /reset?who=&key=`
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let request = visit.request;
    Ok(shown(visit, 200, request.param("who"), &Secret::new(request.param("key").to_owned()), None))
}

/// `POST /reset`
pub(super) fn act(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let who = visit.form.text("who");
    let key = Secret::new(visit.form.text("key").to_owned());
    let password = match new_password(visit) {
        Ok(password) => password,
        Err(words) => return Ok(shown(visit, 400, who, &key, Some(words))),
    };
    match block_on(visit.daemon.users().reset_finish(who, &key, password, visit.source())) {
        Ok(false) => {
            let told = Told::good(visit.say(
                "Your new password is set, and all your sessions have ended. Sign in with it.",
                "新しいパスワードを設定し、すべてのセッションを終了しました。新しいパスワードでログインしてください。",
            ));
            visit.done("/sign-in", &told)
        }
        Ok(true) => {
            let told = Told::bad(visit.say(
                "Your new password is set, but the group administrator's account stays locked. The operator unlocks it: hikyaku user unlock.",
                "新しいパスワードを設定しましたが、グループ管理者のロックは解除されていません。運用者に解除（hikyaku user unlock）を依頼してください。",
            ));
            visit.done("/sign-in", &told)
        }
        Err(error) => {
            let status = if matches!(error, AccountError::Store(_)) { 503 } else { 400 };
            Ok(shown(visit, status, who, &key, Some(&error.words(visit.lang.language()))))
        }
    }
}

fn shown(visit: &Visit<'_>, status: u16, who: &str, key: &Secret<String>, trouble: Option<&str>) -> Response {
    let title = visit.say("Set a new password", "新しいパスワードの設定");
    if !visit.daemon.users().reset_fits(who, key) {
        let words = visit.say(
            "This link does not count any more: links count for an hour, and until a new password is set.",
            "このリンクは無効です。リンクの有効期間は発行から1時間で、パスワードを設定すると無効になります。",
        );
        let content = html! {
            p { a href=(visit.href("/forgot")) { (visit.say("Ask for another mail", "もう一度メールを請求する")) } }
        };
        return guest(visit, 403, title, "", Some(words), &content);
    }
    let fields = html! {
        // So that password managers know whose it is.
        input type="email" name="who" value=(who) autocomplete="username" readonly hidden;
        (new_password_fields(visit))
        input type="hidden" name="key" value=(key.reveal());
        div class="actions" { button { (visit.say("Set the password", "パスワードを設定")) } }
    };
    let lead = html! { (visit.say("For ", "アカウント：")) (parts::foreign(who, 100)) };
    let content = html! { p class="soft" { (lead) } (visit.post("/reset", "stack-form", &fields)) };
    guest(visit, status, title, "", trouble, &content)
}
