//! The second factor of one's own account: on by a code of the secret that is shown, off by the password; and the recovery codes.
//!
//! Always: recovery codes are on the one page that answers the form, and nowhere else.

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
    let Some(seat) = &visit.seat else { return Err(Missing::Nothing) };
    let (users, who) = (visit.daemon.users(), visit.who());
    let password = Secret::new(visit.form.raw("password").to_owned());
    match block_on(users.totp_on(&who, &seat.token, visit.source(), &password, visit.form.text("code"))) {
        Ok(codes) => {
            // They have shown no second factor.
            if let Err(error) = block_on(users.close_others(&who, &seat.token)) {
                log::error!("act=user.totp user={who} error=\"{error}\"");
            }
            let words = visit.say(
                "Two-factor sign-in is on, and your other sessions have ended. From now on you are asked for a code.",
                "二段階認証を有効にし、ほかのセッションを終了しました。次回のログインから認証コードの入力が必要です。",
            );
            shown_once(visit, &codes, words)
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

/// `POST /me/two-factor/codes`
pub(super) fn codes(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let password = Secret::new(visit.form.raw("password").to_owned());
    match block_on(visit.daemon.users().renew_recovery(&visit.who(), visit.source(), &password)) {
        Ok(codes) => {
            let words = visit.say(
                "These are your new recovery codes. Those before count no more.",
                "新しいリカバリーコードを発行しました。以前のコードは使えません。",
            );
            shown_once(visit, &codes, words)
        }
        Err(refusal) => refused(visit, "/me", &refusal),
    }
}

/// The one page that has the codes: they are kept as digests, so this is no redirection.
fn shown_once(visit: &Visit<'_>, codes: &[Secret<String>], words: &str) -> Answer {
    let title = visit.say("Your recovery codes", "リカバリーコード");
    let lines: Vec<&str> = codes.iter().map(|code| code.reveal().as_str()).collect();
    let list = html! {
        (parts::copyable(&lines.join("\n")))
        p class="hint spaced" {
            (visit.say(
                "Print them, or keep them in a password manager, but not on the phone itself. Each counts once, in the place of a code of the app.",
                "印刷するかパスワードマネージャーに保存してください（認証アプリと同じ端末には置かないでください）。1個につき1回、認証アプリのコードの代わりに使えます。",
            ))
        }
        p class="actions" { a class="button" href=(visit.href("/me")) { (visit.say("I have kept them", "保存しました")) } }
    };
    let lead = visit.say(
        "With one of these you come in when your phone is lost. They are shown this once.",
        "端末を紛失したときに、これらのコードでログインできます。表示されるのは今回だけです。",
    );
    let content = html! {
        p class="note good" role="status" { (words) }
        (parts::heading(title, lead))
        (parts::panel(visit.say("Keep them now", "今すぐ保存してください"), "", &list))
    };
    visit.page(Section::Me, title, &content)
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
    let seat = visit.seat.as_ref().ok_or(Missing::Nothing)?;
    let offer = visit
        .daemon
        .users()
        .totp_offer(&seat.name, &seat.token)
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
                "It is shown for half an hour and never again. For the day on which you lose your phone you get recovery codes on the next page; without them the group administrator (yours: the operator) turns it off.",
                "表示されるのは30分間だけです。端末の紛失に備えて、次の画面でリカバリーコードを発行します。コードもない場合は、グループ管理者（グループ管理者自身は運用者）が二段階認証を無効にできます。",
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
