//! In and out.

use maud::{Markup, html};
use smol::future::block_on;

use super::{back_to, enter, guest, name_field, password_field, refusal_words, timed};
use crate::{
    account::{ConsoleRefusal, Entered},
    http::{
        console::{Answer, Args, Told, Visit, gate, parts, parts::Field},
        exchange::Response,
    },
    secret::Secret,
};

/// Letters of a code: six digits, or a recovery code with what parts its groups.
const CODE_MAX: u32 = 30;

/// `GET /sign-in`
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let to = visit.request.param("to");
    if visit.seat.is_some() {
        return Ok(Response::see_other(&visit.href(&back_to(to))));
    }
    if visit.daemon.users().set_up_waits() {
        return Ok(nobody_yet(visit));
    }
    Ok(form(visit, 200, "", to, None))
}

/// `POST /sign-in`
pub(super) fn act(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let (name, to) = (visit.form.text("name"), visit.form.text("to"));
    let password = Secret::new(visit.form.raw("password").to_owned());
    match block_on(visit.daemon.users().log_in(visit.source(), name, &password)) {
        Ok(login) => enter(visit, &login, &back_to(to)),
        Err(ConsoleRefusal::CodeNeeded { ticket }) => Ok(code_form(visit, 200, &ticket, to, None)),
        Err(refusal) => {
            let (status, words) = refusal_words(visit, &refusal);
            Ok(timed(form(visit, status, name, to, Some(&words)), &refusal))
        }
    }
}

/// `POST /sign-in/code`
pub(super) fn code(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let to = visit.form.text("to");
    let ticket = Secret::new(visit.form.text("ticket").to_owned());
    match block_on(visit.daemon.users().enter_code(visit.source(), &ticket, visit.form.text("code"))) {
        Ok(Entered { login, codes_left }) => {
            let answer = enter(visit, &login, &back_to(to))?;
            let Some(left) = codes_left.filter(|_| answer.status == 303) else { return Ok(answer) };
            Ok(answer.with("Set-Cookie", used_words(visit, left).cookie(&visit.request.browser)))
        }
        Err(refusal) => {
            let (status, words) = refusal_words(visit, &refusal);
            let page = match refusal {
                ConsoleRefusal::TicketOver => form(visit, status, "", to, Some(&words)),
                _ => code_form(visit, status, &ticket, to, Some(&words)),
            };
            Ok(timed(page, &refusal))
        }
    }
}

/// What is said to who came in by a recovery code.
fn used_words(visit: &Visit<'_>, left: usize) -> Told {
    let words = if visit.lang.japanese {
        format!(
            "リカバリーコードでログインしました。残りは{left}個です。「マイアカウント」で再発行や端末の再設定ができます。"
        )
    } else {
        format!(
            "You signed in with a recovery code; {left} are left. Make new ones, or set up another phone, on “My account”."
        )
    };
    Told { is_good: left > 0, words }
}

/// `POST /sign-out`
pub(super) fn out(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    if let Some(seat) = &visit.seat
        && let Err(error) = block_on(visit.daemon.users().close_session(&seat.token))
    {
        log::error!("act=sign-out user={} error=\"{error}\"", seat.name);
    }
    let told = Told::good(visit.say("You are signed out.", "ログアウトしました。"));
    let answer = visit.done(super::super::SIGN_IN, &told)?;
    Ok(answer.with("Set-Cookie", gate::no_session_cookie(&visit.request.browser)))
}

fn form(visit: &Visit<'_>, status: u16, name: &str, to: &str, trouble: Option<&str>) -> Response {
    let fields = html! {
        (name_field(visit, name))
        (password_field("password", visit.say("Password", "パスワード")))
        (goes_on(to))
        div class="actions" { button { (visit.say("Sign in", "ログイン")) } }
    };
    let content = html! {
        (visit.post("/sign-in", "stack-form", &fields))
        p class="onward" { a href=(visit.href("/forgot")) { (visit.say("Forgot your password?", "パスワードを忘れた場合")) } }
    };
    guest(visit, status, visit.say("Sign in", "ログイン"), "", trouble, &content)
}

fn code_form(visit: &Visit<'_>, status: u16, ticket: &Secret<String>, to: &str, trouble: Option<&str>) -> Response {
    let field = code_field(
        visit,
        visit.say(
            "Without your phone: one of your recovery codes",
            "端末がない場合は、リカバリーコードを入力してください",
        ),
    );
    let fields = html! {
        (field)
        input type="hidden" name="ticket" value=(ticket.reveal());
        (goes_on(to))
        div class="actions" { button { (visit.say("Go on", "次へ")) } }
    };
    let content = html! {
        (visit.post("/sign-in/code", "stack-form", &fields))
        p class="onward" { a href=(visit.href("/sign-in")) { (visit.say("Sign in as somebody else", "別のアカウントでログイン")) } }
    };
    let lead = visit.say(
        "Your password is right. Now the code of the app that you set up for this account.",
        "パスワードを確認しました。認証アプリに表示されているコードを入力してください。",
    );
    guest(visit, status, visit.say("Enter the code", "認証コードの入力"), lead, trouble, &content)
}

/// The field for a code.
pub(super) fn code_field(visit: &Visit<'_>, hint: &str) -> Markup {
    Field {
        name: "code",
        label: visit.say("Code of six digits", "6桁の認証コード"),
        hint,
        required: true,
        max: CODE_MAX,
        autocomplete: "one-time-code",
        ..Field::default()
    }
    .show()
}

fn goes_on(to: &str) -> Markup {
    html! { @if !to.is_empty() { input type="hidden" name="to" value=(back_to(to)); } }
}

/// There is nobody who could sign in.
fn nobody_yet(visit: &Visit<'_>) -> Response {
    let lead = visit.say("There is no account yet.", "アカウントがまだありません。");
    let content = html! {
        p {
            (visit.say(
                "When it starts, Hikyaku writes a link to its journal and to the terminal that makes the first account, the group administrator's. Open it in this browser:",
                "Hikyakuは起動時に、最初のアカウント（グループ管理者）を作成するためのリンクをジャーナルと端末に出力します。そのリンクをこのブラウザーで開いてください。",
            ))
        }
        (parts::copyable("journalctl -u hikyaku -g set-up"))
        p class="soft spaced" {
            (visit.say(
                "A reload (systemctl reload hikyaku) writes a new one, and ends the old one.",
                "再読み込み（systemctl reload hikyaku）を行うと新しいリンクが出力され、古いリンクは使えなくなります。",
            ))
        }
    };
    guest(visit, 200, visit.say("Sign in", "ログイン"), lead, None, &content)
}
