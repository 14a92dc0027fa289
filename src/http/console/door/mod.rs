//! The door: who comes in, how somebody who forgot the password comes in again, and what people see and change of themselves.
//!
//! ```text
//! /set-up (once) ─┐
//! /sign-in ─► (code) ─► session ─► /me: name, password, second factor, sessions ─► /sign-out
//! /forgot ─► mail ─► /reset ─┘
//! ```
//!
//! In: forms of strangers.  Out: sessions.
//! Always: a sign-in gives a new session and ends the one before it in that browser; a wrong password, a wrong code and an unknown
//! name are answered late, without a thread waiting; a page says the same to who has an account and who has none; where a sign-in
//! leads to is a path of ours; passwords and codes are on no page and in no log.
//! Sources: PRODUCT.md R15 and R17; OWASP on authentication and session management.

#[cfg(test)]
mod browser_tests;
mod first;
mod me;
mod qr;
mod reset;
mod sign_in;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
mod two_factor;

use maud::{Markup, html};
use smol::future::block_on;

use super::{
    Answer, Visit, gate,
    layout::Frame,
    parts::{self, Field},
    place::{Place, Right},
};
use crate::{
    account::{ConsoleRefusal, Login, PASSWORD_LEN_MIN},
    http::exchange::Response,
    secret::Secret,
    store::AuditEntry,
};

/// The places of this room.
pub(super) const PLACES: &[Place] = &[
    Place::read("/sign-in", Right::Anyone, sign_in::page),
    Place::act("/sign-in", Right::Anyone, sign_in::act).hashes(),
    Place::act("/sign-in/code", Right::Anyone, sign_in::code).hashes(),
    Place::act("/sign-out", Right::SignedIn, sign_in::out),
    Place::read("/set-up", Right::Anyone, first::page),
    Place::act("/set-up", Right::Anyone, first::act).hashes(),
    Place::read("/forgot", Right::Anyone, reset::ask),
    Place::act("/forgot", Right::Anyone, reset::send),
    Place::read("/reset", Right::Anyone, reset::page),
    Place::act("/reset", Right::Anyone, reset::act).hashes(),
    Place::read("/me", Right::SignedIn, me::page),
    Place::act("/me/profile", Right::SignedIn, me::profile),
    Place::act("/me/password", Right::SignedIn, me::password).hashes(),
    Place::act("/me/sessions/close", Right::SignedIn, me::close),
    Place::act("/me/sessions/close-others", Right::SignedIn, me::close_others),
    Place::read("/me/two-factor", Right::SignedIn, two_factor::page),
    Place::act("/me/two-factor/on", Right::SignedIn, two_factor::on).hashes(),
    Place::act("/me/two-factor/off", Right::SignedIn, two_factor::off).hashes(),
    Place::act("/me/two-factor/codes", Right::SignedIn, two_factor::codes).hashes(),
];

/// Letters of a password that a form takes; the account's own bound is in octets.
const PASSWORD_MAX: u32 = 256;
/// Letters of an address that names an account.
const NAME_MAX: u32 = 64;
/// Letters of the place to go on to.
const BACK_MAX: usize = 2_000;

/// A page for who is not signed in: a card with a title, what went wrong, a form.
fn guest(visit: &Visit<'_>, status: u16, title: &str, lead: &str, trouble: Option<&str>, content: &Markup) -> Response {
    let content = html! {
        (parts::heading(title, lead))
        @if let Some(words) = trouble { p class="note bad" role="alert" { (parts::clean(words)) } }
        section { (content) }
    };
    visit.page_with(status, &Frame { section: None, title, refresh_seconds: 0 }, &content)
}

/// The field for who it is.
fn name_field(visit: &Visit<'_>, value: &str) -> Markup {
    Field {
        name: "name",
        label: visit.say("E-mail address", "メールアドレス"),
        value: &parts::clean(&parts::clip(value, 200)),
        kind: "email",
        required: true,
        max: NAME_MAX,
        autocomplete: "username",
        ..Field::default()
    }
    .show()
}

/// A field for a password that is known.
fn password_field(name: &str, label: &str) -> Markup {
    Field {
        name,
        label,
        kind: "password",
        required: true,
        max: PASSWORD_MAX,
        autocomplete: "current-password",
        ..Field::default()
    }
    .show()
}

/// The two fields of a new password, and what it must be like.
fn new_password_fields(visit: &Visit<'_>) -> Markup {
    let hint = if visit.lang.japanese {
        format!("{PASSWORD_LEN_MIN}文字以上。単語をいくつか並べた、長くて覚えやすいものをお勧めします。")
    } else {
        format!("At least {PASSWORD_LEN_MIN} letters. Some words in a row are long and easy to keep in mind.")
    };
    let field = Field {
        name: "new",
        label: visit.say("New password", "新しいパスワード"),
        kind: "password",
        hint: &hint,
        required: true,
        max: PASSWORD_MAX,
        autocomplete: "new-password",
        ..Field::default()
    };
    let again = Field {
        name: "again",
        label: visit.say("New password, once more", "新しいパスワード（確認）"),
        hint: "",
        ..field
    };
    html! { (field.show()) (again.show()) }
}

/// The new password of a form; words when it was typed in two ways.
fn new_password(visit: &Visit<'_>) -> Result<Secret<String>, &'static str> {
    let (new, again) = (visit.form.raw("new"), visit.form.raw("again"));
    if new != again {
        return Err(visit.say(
            "The new password was typed in two different ways: type it again.",
            "確認用のパスワードが一致しません。もう一度入力してください。",
        ));
    }
    Ok(Secret::new(new.to_owned()))
}

/// Status and words of a refusal at the door.
fn refusal_words(visit: &Visit<'_>, refusal: &ConsoleRefusal) -> (u16, String) {
    let most = visit.daemon.users().failed_logins_max();
    let ja = visit.lang.japanese;
    match refusal {
        ConsoleRefusal::Wrong { .. } if ja => (
            403,
            format!(
                "メールアドレスまたはパスワードが違います。続けて{most}回間違えるとロックされます。ロックの解除はグループ管理者に依頼するか、「パスワードを忘れた場合」から再設定してください。グループ管理者のロックは運用者が解除します。"
            ),
        ),
        ConsoleRefusal::Wrong { .. } => (
            403,
            format!(
                "The e-mail address or the password is wrong. {most} wrong passwords in a row lock an account: the group administrator unlocks it, or its owner sets a new password by mail; the group administrator's own is unlocked by the operator."
            ),
        ),
        ConsoleRefusal::CodeWrong { .. } | ConsoleRefusal::CodeNeeded { .. } => (
            403,
            visit
                .say(
                    "The code is wrong or was used already. Wait for the next one, and check that the clock of your phone is right.",
                    "コードが違うか、すでに使われています。次のコードが表示されるまで待って入力してください。端末の時刻が合っているかもご確認ください。",
                )
                .to_owned(),
        ),
        ConsoleRefusal::TicketOver => (
            403,
            visit
                .say("That took too long. Sign in again.", "時間が経過しました。もう一度ログインしてください。")
                .to_owned(),
        ),
        ConsoleRefusal::NotAllowed if ja => (
            403,
            format!("このアカウントは、お使いのIPアドレス（{}）からは利用できません。グループ管理者または運用者にご確認ください。", visit.source()),
        ),
        ConsoleRefusal::NotAllowed => (
            403,
            format!(
                "This account may not be used from your address ({}). Ask the group administrator or the operator.",
                visit.source()
            ),
        ),
        ConsoleRefusal::Expired => (
            403,
            visit
                .say(
                    "The time of this account is over. The group administrator can extend it.",
                    "このアカウントの有効期限が切れています。グループ管理者に延長を依頼してください。",
                )
                .to_owned(),
        ),
        ConsoleRefusal::Busy { again_after } => {
            let seconds = again_after.as_secs().max(1);
            let words = if ja {
                format!("試行が多すぎます。{seconds}秒後にもう一度お試しください。")
            } else {
                format!("Too many attempts. Try again in {seconds} s.")
            };
            (429, words)
        }
        ConsoleRefusal::Store(_) => (
            503,
            visit
                .say(
                    "Nobody can sign in now: the disk takes no writes. The operator finds the reason in Hikyaku's journal.",
                    "ディスクに書き込めないため、現在ログインできません。原因は運用者がジャーナルで確認できます。",
                )
                .to_owned(),
        ),
    }
}

/// How late a refusal is answered, and when to come again.
fn timed(mut response: Response, refusal: &ConsoleRefusal) -> Response {
    match refusal {
        ConsoleRefusal::Wrong { after } | ConsoleRefusal::CodeWrong { after } => response.late = *after,
        ConsoleRefusal::Busy { again_after } => {
            return response.with("Retry-After", again_after.as_secs().max(1).to_string());
        }
        ConsoleRefusal::Store(error) => log::error!("act=sign-in error=\"{error}\""),
        ConsoleRefusal::CodeNeeded { .. }
        | ConsoleRefusal::TicketOver
        | ConsoleRefusal::NotAllowed
        | ConsoleRefusal::Expired => {}
    }
    response
}

/// Opens a session in this browser, in place of the one that it had, and goes on to `to`.
fn enter(visit: &Visit<'_>, login: &Login, to: &str) -> Answer {
    let users = visit.daemon.users();
    let browser = &visit.request.browser;
    let token = match block_on(users.open_session(login, visit.source(), &browser.user_agent)) {
        Ok(token) => token,
        Err(error) => return visit.refuse(503, error.words(visit.lang.language())),
    };
    if let Some(seat) = &visit.seat {
        // A store that fails says so elsewhere; in this process the old one has ended.
        let _ = block_on(users.close_session(&seat.token));
    }
    let speaks = users.get(&login.name).is_some_and(|account| !account.person.language.is_empty());
    let to = if speaks { to.to_owned() } else { visit.href(to) };
    let cookie = gate::session_cookie(browser, &token, users.session_lifetime().as_secs());
    Ok(Response::see_other(&to).with("Set-Cookie", cookie))
}

/// Where to go on to: a path of ours, or the front page. What a browser would take for another host is none.
fn back_to(text: &str) -> String {
    let is_ours = text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= BACK_MAX
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let path = text.split('?').next().unwrap_or_default();
    let is_door = matches!(path, "/sign-in" | "/sign-out" | "/set-up" | "/forgot" | "/reset");
    if is_ours && !is_door { text.to_owned() } else { "/".to_owned() }
}

/// Writes what somebody did to a session of their own to the operation log.
fn note(visit: &Visit<'_>, act: &str, detail: String) {
    let entry = AuditEntry {
        at: visit.now,
        who: visit.who(),
        from: visit.from(),
        act: act.to_owned(),
        object: visit.who(),
        detail,
    };
    if let Err(error) = visit.daemon.audit(entry) {
        log::error!("act={act} error=\"{error}\"");
    }
}
