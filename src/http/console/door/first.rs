//! The first account, made by the link that the process wrote to its journal.

use maud::html;
use smol::future::block_on;

use super::{enter, guest, name_field, new_password, new_password_fields};
use crate::{
    account::{AccountError, FirstPerson},
    http::{
        console::{Answer, Args, Told, Visit, parts, parts::Field},
        exchange::Response,
    },
    secret::Secret,
};

/// `GET /set-up?key=`
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let key = Secret::new(visit.request.param("key").to_owned());
    Ok(shown(visit, 200, &key, None))
}

/// `POST /set-up`
pub(super) fn act(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let form = &visit.form;
    let key = Secret::new(form.text("key").to_owned());
    let password = match new_password(visit) {
        Ok(password) => password,
        Err(words) => return Ok(shown(visit, 400, &key, Some(words))),
    };
    let first = FirstPerson {
        name: form.text("name").to_owned(),
        password,
        display_name: form.text("display-name").to_owned(),
        language: form.text("language").to_owned(),
        time_zone: form.text("time-zone").to_owned(),
        download: form.flag("download"),
    };
    match block_on(visit.daemon.users().set_up_finish(&key, first, visit.source())) {
        Ok(login) => {
            log::info!("act=set-up user={} peer={}", login.name, visit.request.peer);
            enter(visit, &login, "/")
        }
        Err(error) => {
            let status = if matches!(error, AccountError::Store(_)) { 503 } else { 400 };
            Ok(shown(visit, status, &key, Some(&error.words(visit.lang.language()))))
        }
    }
}

fn shown(visit: &Visit<'_>, status: u16, key: &Secret<String>, trouble: Option<&str>) -> Response {
    let users = visit.daemon.users();
    if !users.set_up_waits() {
        let told = Told::bad(visit.say(
            "The first account has been made already. Sign in.",
            "最初のアカウントはすでに作成されています。ログインしてください。",
        ));
        let to = visit.href("/sign-in");
        return Response::see_other(&to).with("Set-Cookie", told.cookie(&visit.request.browser));
    }
    let title = visit.say("Make the first account", "最初のアカウントの作成");
    if !users.set_up_fits(key) {
        let words = visit.say(
            "This link does not count. It is the link of an earlier start, or was cut when it was copied: take the newest one from the journal.",
            "このリンクは無効です。以前の起動時のものか、コピーの途中で切れています。ジャーナルにある最新のリンクを開いてください。",
        );
        return guest(
            visit,
            403,
            title,
            "",
            Some(words),
            &html! { (parts::copyable("journalctl -u hikyaku -g set-up")) },
        );
    }
    let lead = visit.say(
        "It is the group administrator's: it manages users and sees everything. There is one; the operator can hand the role over later.",
        "グループ管理者のアカウントです。ユーザーの管理とすべての閲覧ができます。グループ管理者は1人だけで、後から運用者が移譲できます。",
    );
    let form = &visit.form;
    let given_name = parts::clean(form.text("display-name"));
    let display_name = Field {
        name: "display-name",
        label: visit.say("Your name", "お名前"),
        value: &given_name,
        max: 100,
        autocomplete: "name",
        ..Field::default()
    };
    let was_sent = visit.form.flag("key");
    let language = if was_sent { form.text("language") } else { visit.lang.code() };
    let zone = if was_sent { form.text("time-zone") } else { visit.about.zone.name() };
    let fields = html! {
        (name_field(visit, form.text("name")))
        (display_name.show())
        (new_password_fields(visit))
        (super::me::language_field(visit, language))
        (super::me::zone_field(visit, zone))
        (parts::check_box(
            "download",
            "on",
            visit.say("This account may download logs as files", "このアカウントにログのダウンロードを許可する"),
            form.flag("download"),
        ))
        input type="hidden" name="key" value=(key.reveal());
        div class="actions" { button { (visit.say("Make the account", "アカウントを作成")) } }
    };
    guest(visit, status, title, lead, trouble, &visit.post("/set-up", "stack-form", &fields))
}
