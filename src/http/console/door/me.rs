//! "My account": what people see and change of themselves, and where they are signed in.

use maud::{Markup, html};
use smol::future::block_on;

use super::{new_password, new_password_fields, note, password_field, refusal_words, timed};
use crate::{
    account::{ConsoleRefusal, OwnChanges, OwnRefusal, SessionView},
    http::{
        console::{Answer, Args, Missing, Right, Section, Told, Visit, gate, parts, parts::Field},
        exchange::Response,
    },
    secret::Secret,
    store::{Account, Role},
};

/// Zones that are offered; any other IANA name can be typed.
const ZONES: [&str; 16] = [
    "Asia/Tokyo",
    "UTC",
    "Asia/Seoul",
    "Asia/Shanghai",
    "Asia/Taipei",
    "Asia/Hong_Kong",
    "Asia/Singapore",
    "Asia/Bangkok",
    "Asia/Kolkata",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Paris",
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
];
/// So few recovery codes are a reason to make new ones.
const FEW_CODES: usize = 3;
/// Letters of what a browser says of itself.
const BROWSER_MAX: usize = 160;

/// `GET /me`
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let account = visit.daemon.users().get(&visit.who()).ok_or(Missing::Nothing)?;
    let title = visit.say("My account", "マイアカウント");
    let content = html! {
        (parts::heading(title, ""))
        (parts::panel(visit.say("What it may do", "アカウント情報"), "", &facts(visit, &account)))
        (parts::panel(visit.say("Profile", "プロフィール"), "", &profile_form(visit, &account)))
        (parts::panel(visit.say("Password", "パスワード"), "", &password_form(visit, &account)))
        (parts::panel(visit.say("Two-factor sign-in", "二段階認証"), "", &second_factor(visit, &account)))
        (sessions(visit))
    };
    visit.page(Section::Me, title, &content)
}

/// `POST /me/profile`
pub(super) fn profile(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let text = |name: &str| Some(visit.form.text(name).to_owned());
    let own =
        OwnChanges { display_name: text("display-name"), language: text("language"), time_zone: text("time-zone") };
    match block_on(visit.daemon.users().change_own(&visit.who(), visit.source(), own)) {
        Ok(account) => {
            // In the language that was just chosen, whatever the link to this page said.
            let words = match account.person.language.as_str() {
                "ja" => "プロフィールを保存しました。",
                "en" => "Your profile is saved.",
                _ => visit.say("Your profile is saved.", "プロフィールを保存しました。"),
            };
            let cookie = Told::good(words).cookie(&visit.request.browser);
            Ok(Response::see_other("/me").with("Set-Cookie", cookie))
        }
        Err(error) => visit.done("/me", &Told::bad(error.words(visit.lang.language()))),
    }
}

/// `POST /me/password`: all sessions end, and this browser gets a new one.
pub(super) fn password(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let new = match new_password(visit) {
        Ok(new) => new,
        Err(words) => return visit.done("/me", &Told::bad(words)),
    };
    let (users, old) = (visit.daemon.users(), Secret::new(visit.form.raw("old").to_owned()));
    match block_on(users.set_own_password(&visit.who(), visit.source(), &old, new)) {
        Ok(login) => {
            let browser = &visit.request.browser;
            let token = match block_on(users.open_session(&login, visit.source(), &browser.user_agent)) {
                Ok(token) => token,
                Err(error) => return visit.refuse(503, error.words(visit.lang.language())),
            };
            let told = Told::good(visit.say(
                "Your password is changed. All other sessions have ended.",
                "パスワードを変更しました。ほかのセッションはすべて終了しました。",
            ));
            let cookie = gate::session_cookie(browser, &token, users.session_lifetime().as_secs());
            Ok(visit.done("/me", &told)?.with("Set-Cookie", cookie))
        }
        Err(refusal) => refused(visit, "/me", &refusal),
    }
}

/// `POST /me/sessions/close`
pub(super) fn close(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let (users, who, id) = (visit.daemon.users(), visit.who(), visit.form.text("id"));
    let seen = users.sessions_of(&who).into_iter().find(|session| session.id == id);
    match block_on(users.close_one(&who, id)) {
        Ok(true) => {
            let from = seen.and_then(|session| session.from).map_or_else(|| "?".to_owned(), |from| from.to_string());
            note(visit, "user.session-end", format!("one session, last used from {from}"));
            visit.done("/me", &Told::good(visit.say("The session has ended.", "セッションを終了しました。")))
        }
        Ok(false) => {
            let words = visit.say("The session had ended already.", "セッションはすでに終了しています。");
            visit.done("/me", &Told::bad(words))
        }
        Err(error) => visit.refuse(503, error.words(visit.lang.language())),
    }
}

/// `POST /me/sessions/close-others`
pub(super) fn close_others(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let Some(seat) = &visit.seat else { return Err(Missing::Nothing) };
    match block_on(visit.daemon.users().close_others(&seat.name, &seat.token)) {
        Ok(ended) => {
            if ended > 0 {
                note(visit, "user.session-end", format!("all other sessions: {ended}"));
            }
            let words = match (ended, visit.lang.japanese) {
                (0, _) => visit.say("There was no other session.", "ほかのセッションはありませんでした。").to_owned(),
                (_, true) => format!("ほかのセッションを{ended}件終了しました。"),
                (1, false) => "One other session has ended.".to_owned(),
                (_, false) => format!("{ended} other sessions have ended."),
            };
            visit.done("/me", &Told::good(words))
        }
        Err(error) => visit.refuse(503, error.words(visit.lang.language())),
    }
}

/// Says on the page at `to` why a change was not made; a wrong password is answered late, and the session may be over by it.
pub(super) fn refused(visit: &Visit<'_>, to: &str, refusal: &OwnRefusal) -> Answer {
    let (words, late) = match refusal {
        OwnRefusal::Password(ConsoleRefusal::Wrong { .. }) => {
            let most = visit.daemon.users().failed_logins_max();
            let words = if visit.lang.japanese {
                format!(
                    "現在のパスワードが違います。何も変更されていません。続けて{most}回間違えると、アカウントがロックされセッションも終了します。"
                )
            } else {
                format!(
                    "Your present password is wrong; nothing was changed. {most} wrong ones in a row lock the account and end its sessions."
                )
            };
            (words, true)
        }
        OwnRefusal::Password(other) => (refusal_words(visit, other).1, true),
        OwnRefusal::Locked => (locked_words(visit).to_owned(), false),
        OwnRefusal::Code => (visit.say("The code is wrong.", "コードが違います。").to_owned(), false),
        OwnRefusal::Act(error) => (error.words(visit.lang.language()), false),
    };
    let answer = visit.done(to, &Told::bad(words))?;
    Ok(match refusal {
        OwnRefusal::Password(password) if late => timed(answer, password),
        OwnRefusal::Password(_) | OwnRefusal::Locked | OwnRefusal::Code | OwnRefusal::Act(_) => answer,
    })
}

/// The account is locked, and who uses it did not do it.
fn locked_words(visit: &Visit<'_>) -> &'static str {
    match visit.may(Right::Administer) {
        true => visit.say(
            "Your account is locked by wrong sign-ins from elsewhere; nothing was changed, and your session goes on. The operator unlocks it: hikyaku user unlock.",
            "別の場所からのログイン失敗により、アカウントがロックされています。何も変更されていません（現在のセッションは継続します）。運用者に解除（hikyaku user unlock）を依頼してください。",
        ),
        false => visit.say(
            "Your account is locked by wrong sign-ins from elsewhere; nothing was changed, and your session goes on. The group administrator unlocks it, or you set a new password by mail: “Forgot your password?”.",
            "別の場所からのログイン失敗により、アカウントがロックされています。何も変更されていません（現在のセッションは継続します）。グループ管理者に解除を依頼するか、「パスワードを忘れた場合」から再設定してください。",
        ),
    }
}

fn facts(visit: &Visit<'_>, account: &Account) -> Markup {
    let rights = &account.rights;
    let role = match rights.role {
        Role::GroupAdministrator => visit
            .say("group administrator: everything, users included", "グループ管理者（ユーザー管理を含むすべての操作）"),
        Role::User => visit.say("user: mail, lists and domains", "ユーザー（メール・リスト・ドメインの閲覧と操作）"),
        Role::ReportViewer => visit.say("report viewer: graphs and sums", "レポート閲覧者（グラフと統計のみ）"),
    };
    let download = if rights.download {
        visit.say("may download logs as files", "許可")
    } else if rights.role == Role::GroupAdministrator {
        visit.say("no; the operator grants it", "不可（運用者が許可できます）")
    } else {
        visit.say(
            "no; the group administrator or the operator grants it",
            "不可（グループ管理者または運用者が許可できます）",
        )
    };
    let networks: Vec<String> = rights.networks.iter().map(ToString::to_string).collect();
    let mut rows = vec![
        (visit.say("E-mail address", "メールアドレス"), html! { (account.name) }),
        (visit.say("Role", "権限"), html! { (role) }),
        (visit.say("Download", "ダウンロード"), html! { (download) }),
        (visit.say("Made", "作成日時"), visit.when(account.created_at)),
    ];
    if !networks.is_empty() {
        let label = visit.say("Usable from", "利用できるネットワーク");
        rows.push((label, html! { span class="mono" { (networks.join(", ")) } }));
    }
    if let Some(at) = rights.expires_at {
        rows.push((visit.say("Ends", "有効期限"), visit.when(at)));
    }
    parts::facts(&rows)
}

fn profile_form(visit: &Visit<'_>, account: &Account) -> Markup {
    let name = Field {
        name: "display-name",
        label: visit.say("Your name", "お名前"),
        value: &account.person.display_name,
        max: 100,
        autocomplete: "name",
        ..Field::default()
    };
    let fields = html! {
        div class="fields" {
            (name.show())
            (language_field(visit, &account.person.language))
            (zone_field(visit, &account.rights.time_zone))
        }
        div class="actions" { button { (visit.say("Save", "保存")) } }
    };
    visit.post("/me/profile", "", &fields)
}

/// The choice of a language; empty: the browser's.
pub(super) fn language_field(visit: &Visit<'_>, chosen: &str) -> Markup {
    let browsers = visit.say("As the browser says", "ブラウザーの設定に従う");
    let options = [("", browsers), ("ja", "日本語"), ("en", "English")];
    parts::select("language", visit.say("Language", "言語"), &options, chosen)
}

/// The zone of dates; empty: the server's.
pub(super) fn zone_field(visit: &Visit<'_>, zone: &str) -> Markup {
    let server = visit.daemon.about().zone.name().to_owned();
    html! {
        label class="field" {
            span { (visit.say("Time zone", "タイムゾーン")) }
            input type="text" name="time-zone" value=(zone) maxlength="64" list="zones" placeholder=(server)
                autocomplete="off" aria-describedby="hint-time-zone";
            small id="hint-time-zone" {
                (visit.say("Of times on screens and in files. Empty: the server's.", "画面とCSVの日時に使います。空欄の場合はサーバーの設定に従います。"))
            }
        }
        datalist id="zones" { @for zone in ZONES { option value=(zone) {} } }
    }
}

fn password_form(visit: &Visit<'_>, account: &Account) -> Markup {
    let fields = html! {
        // So that password managers know whose it is.
        input type="email" name="who" value=(account.name) autocomplete="username" readonly hidden;
        div class="fields" {
            (password_field("old", visit.say("Present password", "現在のパスワード")))
            (new_password_fields(visit))
        }
        div class="actions" { button { (visit.say("Change the password", "パスワードを変更")) } }
    };
    html! {
        p class="soft" {
            (visit.say("Set ", "設定日時：")) (visit.when(account.password_set_at))
            (visit.say(". A change ends all your other sessions.", "。変更すると、ほかのセッションはすべて終了します。"))
        }
        (visit.post("/me/password", "spaced", &fields))
    }
}

fn second_factor(visit: &Visit<'_>, account: &Account) -> Markup {
    if account.person.totp.is_none() {
        return html! {
            p { (parts::pill("deferred", visit.say("off", "無効"))) " "
                (visit.say(
                    "The password alone opens your account. With a code of your phone beside it, a password that leaks opens nothing.",
                    "現在はパスワードだけでログインできます。有効にすると、パスワードが漏れてもそれだけではログインできなくなります。",
                ))
            }
            p class="actions" {
                a class="button" href=(visit.href("/me/two-factor")) { (visit.say("Set it up", "設定する")) }
            }
        };
    }
    let fields = html! {
        div class="fields" { (password_field("password", visit.say("Present password", "現在のパスワード"))) }
        div class="actions" { button class="danger" { (visit.say("Turn it off", "無効にする")) } }
    };
    let left = account.person.recovery.len();
    let renew = html! {
        div class="fields" { (password_field("password", visit.say("Present password", "現在のパスワード"))) }
        div class="actions" { button { (visit.say("Make new codes", "再発行する")) } }
    };
    html! {
        p { (parts::pill("succeeded", visit.say("on", "有効"))) " "
            (visit.say("Each sign-in asks for a code of your app.", "ログインのたびに認証アプリのコードを入力します。"))
        }
        p {
            (parts::pill(if left <= FEW_CODES { "deferred" } else { "succeeded" }, &left.to_string())) " "
            (visit.say("recovery codes are left, for the day on which your phone is gone.", "個のリカバリーコードが残っています（端末を紛失したときに使います）。"))
        }
        details {
            summary { (visit.say("Make new recovery codes", "リカバリーコードを再発行する")) }
            p class="soft spaced" {
                (visit.say("Those that there are count no more from then on.", "再発行すると、現在のコードは使えなくなります。"))
            }
            (visit.post("/me/two-factor/codes", "", &renew))
        }
        details {
            summary { (visit.say("Turn it off, or move to another phone", "無効にする・別の端末に移す")) }
            p class="soft spaced" {
                (visit.say(
                    "To move to another phone, turn it off and set it up anew.",
                    "別の端末に移すには、いったん無効にしてから設定し直してください。",
                ))
            }
            (visit.post("/me/two-factor/off", "", &fields))
        }
    }
}

fn sessions(visit: &Visit<'_>) -> Markup {
    let users = visit.daemon.users();
    let all = users.sessions_of(&visit.who());
    let own = visit.seat.as_ref().map(|seat| users.session_id(&seat.token)).unwrap_or_default();
    let others = all.iter().filter(|session| session.id != own).count();
    let table = html! {
        table class="stack" {
            thead {
                tr {
                    th { (visit.say("Browser", "ブラウザー")) }
                    th { (visit.say("Last used from", "最後の接続元")) }
                    th { (visit.say("Last used", "最終利用")) }
                    th { (visit.say("Signed in", "ログイン日時")) }
                    th { span class="hidden" { (visit.say("Acts", "操作")) } }
                }
            }
            tbody { @for session in &all { (row(visit, session, session.id == own)) } }
        }
        @if others > 0 {
            div class="actions" {
                (visit.button("/me/sessions/close-others", "plain", &[], visit.say("Sign out everywhere else", "ほかのすべてのセッションを終了")))
            }
        }
    };
    let small = visit.say("Where you are signed in", "ログイン中の端末");
    parts::panel(visit.say("Sessions", "セッション"), small, &table)
}

fn row(visit: &Visit<'_>, session: &SessionView, is_own: bool) -> Markup {
    let from = session.from.map_or_else(|| visit.say("not known", "不明").to_owned(), |from| from.to_string());
    html! {
        tr {
            td class="wide" {
                span class="strong" title=(parts::clean(&parts::clip(&session.browser, BROWSER_MAX))) { (browser_name(visit, &session.browser)) }
                @if is_own { " " (parts::pill("succeeded", visit.say("this one", "この端末"))) }
            }
            td class="mono left" data-label=(visit.say("Last used from", "最後の接続元")) { (from) }
            td class="nowrap left" data-label=(visit.say("Last used", "最終利用")) {
                @if is_own { (visit.say("now", "利用中")) } @else { (visit.when_short(session.seen_at)) }
            }
            td class="nowrap left" data-label=(visit.say("Signed in", "ログイン日時")) { (visit.when(session.opened_at)) }
            td {
                @if !is_own {
                    (visit.button("/me/sessions/close", "quiet", &[("id", &session.id)], visit.say("End", "終了")))
                }
            }
        }
    }
}

/// Browser and system, as far as they can be told; what a browser says of itself is a stranger's words, and never shown as markup.
fn browser_name(visit: &Visit<'_>, text: &str) -> Markup {
    // In this order: each later one also names the earlier ones.
    let browsers = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("FxiOS", "Firefox"),
        ("CriOS", "Chrome"),
        ("HeadlessChrome", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    let systems = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let found =
        |list: &[(&str, &'static str)]| list.iter().find(|(sign, _)| text.contains(sign)).map(|(_, name)| *name);
    match (found(&browsers), found(&systems)) {
        (Some(browser), Some(system)) => html! { (browser) ", " (system) },
        (Some(name), None) | (None, Some(name)) => html! { (name) },
        (None, None) if text.is_empty() => html! { (visit.say("not known", "不明")) },
        (None, None) => parts::foreign(text, 40),
    }
}
