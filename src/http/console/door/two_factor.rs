//! The second factor of one's own account: on by a code of the secret that is shown, off by the password.

use maud::{Markup, html};
use smol::future::block_on;

use super::{me::refused, password_field, qr, sign_in::code_field};
use crate::{
    account::OwnRefusal,
    http::{
        console::{Answer, Args, Missing, Section, Told, Visit, parts},
        exchange::Response,
    },
    secret::Secret,
};

/// `GET /me/two-factor`
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let account = visit.daemon.users().get(&visit.who()).ok_or(Missing::Nothing)?;
    if account.person.totp.is_some() {
        return Ok(Response::see_other(&visit.href("/me")));
    }
    let content = offer(visit, None)?;
    visit.page(Section::Me, title(visit), &content)
}

/// `POST /me/two-factor/on`
pub(super) fn on(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let (users, who) = (visit.daemon.users(), visit.who());
    let password = Secret::new(visit.form.raw("password").to_owned());
    match block_on(users.totp_on(&who, visit.source(), &password, visit.form.text("code"))) {
        Ok(()) => {
            // They have shown no second factor.
            let others = visit.seat.as_ref().map(|seat| block_on(users.close_others(&who, &seat.token)));
            if let Some(Err(error)) = others {
                log::error!("act=user.totp user={who} error=\"{error}\"");
            }
            let told = Told::good(visit.say(
                "Two-factor sign-in is on, and your other sessions have ended. From now on you are asked for a code.",
                "二段階認証を有効にし、ほかのセッションを終了しました。次回のログインから認証コードの入力が必要です。",
            ));
            visit.done("/me", &told)
        }
        Err(OwnRefusal::Code) => {
            let words = visit.say(
                "This is not a code of the secret below. Wait for the next one, and check that the clock of your phone is right.",
                "コードが一致しません。次のコードが表示されるまで待って入力してください。端末の時刻が合っているかもご確認ください。",
            );
            let content = offer(visit, Some(words))?;
            let frame =
                crate::http::console::Frame { section: Some(Section::Me), title: title(visit), refresh_seconds: 0 };
            Ok(visit.page_with(400, &frame, &content))
        }
        Err(refusal) => refused(visit, "/me/two-factor", &refusal),
    }
}

/// `POST /me/two-factor/off`
pub(super) fn off(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let password = Secret::new(visit.form.raw("password").to_owned());
    match block_on(visit.daemon.users().totp_off(&visit.who(), visit.source(), &password)) {
        Ok(()) => {
            let told = Told::good(visit.say(
                "Two-factor sign-in is off. Delete the entry in your app: it is of no use any more.",
                "二段階認証を無効にしました。認証アプリの登録は削除してください。",
            ));
            visit.done("/me", &told)
        }
        Err(refusal) => refused(visit, "/me", &refusal),
    }
}

fn title(visit: &Visit<'_>) -> &'static str {
    visit.say("Two-factor sign-in", "二段階認証")
}

fn offer(visit: &Visit<'_>, trouble: Option<&str>) -> Result<Markup, Missing> {
    let offer = visit
        .daemon
        .users()
        .totp_offer(&visit.who())
        .map_err(|error| Missing::Refused { status: 409, words: error.words(visit.lang.language()) })?;
    let picture = qr::svg(&offer.link, visit.say("QR code of the secret", "シークレットのQRコード"));
    let lead = visit.say(
        "Beside the password, each sign-in asks for a code that an app on your phone shows: somebody who learns your password alone stays outside.",
        "ログイン時に、パスワードに加えて認証アプリに表示されるコードを入力します。パスワードが漏れても、それだけではログインできません。",
    );
    let fields = html! {
        (code_field(visit, visit.say("As the app shows it now", "認証アプリに表示されているもの")))
        (password_field("password", visit.say("Your password", "現在のパスワード")))
        div class="actions" {
            button { (visit.say("Turn it on", "有効にする")) }
            a class="button plain" href=(visit.href("/me")) { (visit.say("Leave it", "キャンセル")) }
        }
    };
    let scan = html! {
        p {
            (visit.say(
                "Scan this with an app for codes of RFC 6238 (Google Authenticator, Microsoft Authenticator, 1Password, Aegis …), or type the secret into it.",
                "認証アプリ（Google Authenticator、Microsoft Authenticator、1Passwordなど）で読み取るか、下のシークレットを入力してください。",
            ))
        }
        @match picture { Some(picture) => { div class="qr" { (picture) } } None => {} }
        p class="soft" { (visit.say("Secret", "シークレット")) }
        (parts::copyable(&grouped(offer.secret.reveal())))
        p class="hint spaced" {
            (visit.say(
                "It is shown for half an hour and never again. If you lose your phone, the group administrator (yours: the operator) turns it off.",
                "表示されるのは30分間だけです。端末を紛失した場合は、グループ管理者（グループ管理者自身は運用者）が二段階認証を無効にできます。",
            ))
        }
    };
    Ok(html! {
        (parts::heading(title(visit), lead))
        @if let Some(words) = trouble { p class="note bad" role="alert" { (words) } }
        (parts::panel(visit.say("1. Give the secret to your app", "1. 認証アプリに登録"), "", &scan))
        (parts::panel(
            visit.say("2. Show that it works", "2. 動作の確認"),
            "",
            &visit.post("/me/two-factor/on", "stack-form narrow", &fields),
        ))
    })
}

/// In groups of four, as people type it.
fn grouped(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|four| four.iter().collect()).collect();
    groups.join(" ")
}
