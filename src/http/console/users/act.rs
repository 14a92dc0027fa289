//! What is done with users.

use maud::html;
use smol::future::block_on;

use super::{
    super::{
        Answer, Args, Frame, Missing, Section, Told, Visit,
        parts::{back_to, clean, clip, heading},
    },
    draft::{Draft, kind_word},
    kind_of,
    one::{self, found, key_fields, show, show_key},
    path_of,
};
use crate::{
    account::{AccountError, Changes, NewUser},
    http::removal,
    language::Language,
    secret::Secret,
    store::{Account, AccountKind, AuditEntry},
};

fn words(visit: &Visit<'_>, error: &AccountError) -> String {
    error.words(Language::of_code(visit.lang.code()))
}

/// Why it was not done: what is not there is not found; the rest says itself.
fn refused(visit: &Visit<'_>, error: AccountError) -> Missing {
    match error {
        AccountError::Unknown(_) => Missing::Nothing,
        AccountError::Store(error) => error.into(),
        AccountError::Refused(_) => Missing::Refused { status: 409, words: words(visit, &error) },
    }
}

fn named(visit: &Visit<'_>) -> Result<Account, Missing> {
    found(visit, visit.form.text("name"))
}

fn name_of(account: &Account) -> String {
    clean(&clip(&account.name, 64))
}

/// A sentence about a user, in the visitor's language.
fn about(visit: &Visit<'_>, account: &Account, english: &str, japanese: &str) -> String {
    let text = if visit.lang.japanese { japanese } else { english };
    text.replace("{}", &name_of(account))
}

pub(super) fn add_form(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    form(visit, 200, &Draft::new(kind_of(visit.request.param("kind"))), "")
}

fn form(visit: &Visit<'_>, status: u16, draft: &Draft, wrong: &str) -> Answer {
    let is_api = draft.kind == AccountKind::Api;
    let title = if is_api {
        visit.say("Add an API user", "APIユーザーの追加")
    } else {
        visit.say("Add an account", "アカウントの追加")
    };
    let lead = if is_api {
        visit.say("Its key is shown once, on the next page.", "キーは次の画面で一度だけ表示します。")
    } else {
        visit.say(
            "Its first password is shown once, on the next page.",
            "最初のパスワードは次の画面で一度だけ表示します。",
        )
    };
    let content = html! {
        (back_to(visit, "/users", visit.say("Users", "ユーザー")))
        (heading(title, lead))
        @if !wrong.is_empty() { p class="note bad" role="alert" { (clean(wrong)) } }
        section {
            (visit.post("/users/add", "", &html! {
                input type="hidden" name="kind" value=(kind_word(draft.kind));
                (draft.fields(visit, true))
                details class="spaced" {
                    summary { (if is_api { visit.say("Bring a key along", "キーを指定する") } else { visit.say("Choose the password yourself", "パスワードを指定する") }) }
                    (key_fields(visit, is_api))
                }
                p class="actions" { button { (visit.say("Add", "追加")) } }
            }))
        }
    };
    Ok(visit.page_with(status, &Frame { section: Some(Section::Users), title, refresh_seconds: 0 }, &content))
}

pub(super) fn add(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let draft = Draft::typed(&visit.form, kind_of(visit.form.text("kind")));
    let changes = match draft.changes(visit, None) {
        Ok(changes) => changes,
        Err(wrong) => return form(visit, 400, &draft, &wrong),
    };
    let given = (!draft.key.is_empty()).then(|| Secret::new(draft.key.clone()));
    let is_given = given.is_some();
    let imported = draft.imported && is_given && draft.kind == AccountKind::Api;
    let new = NewUser { name: draft.name.clone(), kind: draft.kind, key: given, imported, changes };
    let key = match block_on(visit.daemon.users().add(&visit.actor(), new)) {
        Ok(key) => key,
        Err(AccountError::Store(error)) => return Err(error.into()),
        Err(error) => return form(visit, 409, &draft, &words(visit, &error)),
    };
    let name = match draft.kind {
        AccountKind::Api => draft.name,
        AccountKind::Console => draft.name.to_lowercase(),
    };
    let account = found(visit, &name)?;
    let said = about(visit, &account, "{} was added.", "{} を追加しました。");
    if is_given {
        return visit.done(&path_of(&account.name), &Told::good(said));
    }
    show_key(visit, &account, key.reveal(), &said)
}

pub(super) fn set(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let account = named(visit)?;
    let draft = Draft::typed(&visit.form, account.kind);
    let changes = match draft.changes(visit, Some(&account)) {
        Ok(changes) => changes,
        Err(wrong) => return show(visit, 400, &account, &draft, &wrong),
    };
    match block_on(visit.daemon.users().change(&visit.actor(), &account.name, &changes)) {
        Ok(after) if after == account => {
            visit.done(&path_of(&account.name), &Told::good(visit.say("Nothing was changed.", "変更はありません。")))
        }
        Ok(_) => {
            let said =
                about(visit, &account, "{} is changed, from now on.", "{} の設定を変更しました。直ちに有効です。");
            visit.done(&path_of(&account.name), &Told::good(said))
        }
        Err(error @ AccountError::Refused(_)) => show(visit, 409, &account, &draft, &words(visit, &error)),
        Err(error) => Err(refused(visit, error)),
    }
}

pub(super) fn key(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let account = named(visit)?;
    let typed = visit.form.raw("key");
    let given = (!typed.is_empty()).then(|| Secret::new(typed.to_owned()));
    let is_given = given.is_some();
    let imported = is_given && visit.form.flag("imported") && account.kind == AccountKind::Api;
    match block_on(visit.daemon.users().set_key(&visit.actor(), &account.name, given, imported)) {
        Ok(key) => {
            let said = match account.kind {
                AccountKind::Api => about(visit, &account, "{} has another key.", "{} のキーを変更しました。"),
                AccountKind::Console => {
                    about(visit, &account, "{} has another password.", "{} のパスワードを変更しました。")
                }
            };
            if is_given {
                return visit.done(&path_of(&account.name), &Told::good(said));
            }
            show_key(visit, &account, key.reveal(), &said)
        }
        Err(error @ AccountError::Refused(_)) => {
            show(visit, 409, &account, &Draft::of(visit, &account), &words(visit, &error))
        }
        Err(error) => Err(refused(visit, error)),
    }
}

/// Mails a person the link with which they set their password.
pub(super) fn mail_link(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let account = named(visit)?;
    if account.kind != AccountKind::Console || one::is_the_operators(&account) {
        return visit.refuse(
            409,
            visit.say(
                "Links are mailed to people; the group administrator's is on “Forgot password”.",
                "リンクはアカウント（人）に送信します。グループ管理者は「パスワードを忘れた場合」を利用してください。",
            ),
        );
    }
    let language = match account.person.language.as_str() {
        "" => visit.lang.code(),
        own => own,
    };
    visit.daemon.mail_reset(&account.name, visit.actor(), Language::of_code(language));
    let said = about(
        visit,
        &account,
        "A link is mailed to {}, unless one was in the last five minutes. It counts for an hour.",
        "{} にリンクを送信します（5分以内に送信済みの場合を除く）。リンクの有効期間は1時間です。",
    );
    visit.done(&path_of(&account.name), &Told::good(said))
}

/// It ends now.
pub(super) fn stop(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let account = named(visit)?;
    let changes = Changes { expires_at: Some(Some(visit.now)), ..Changes::default() };
    block_on(visit.daemon.users().change(&visit.actor(), &account.name, &changes)).map_err(|e| refused(visit, e))?;
    let said = about(
        visit,
        &account,
        "{} is refused from now on. Empty the field “Ends” to allow it again.",
        "{} を停止しました。再開するには「有効期限」を空欄にして保存してください。",
    );
    visit.done(&path_of(&account.name), &Told::good(said))
}

pub(super) fn unlock(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let account = named(visit)?;
    let was_locked =
        block_on(visit.daemon.users().unlock(&visit.actor(), &account.name)).map_err(|e| refused(visit, e))?;
    let said = match was_locked {
        true => about(visit, &account, "{} is unlocked.", "{} のロックを解除しました。"),
        false => about(visit, &account, "{} was not locked.", "{} はロックされていません。"),
    };
    visit.done(&path_of(&account.name), &Told::good(said))
}

pub(super) fn totp_off(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let account = named(visit)?;
    block_on(visit.daemon.users().set_totp(&visit.actor(), &account.name, false)).map_err(|e| refused(visit, e))?;
    let said = about(
        visit,
        &account,
        "{} is asked for the password only. They can turn two-factor sign-in on again on “My account”.",
        "{} の二段階認証を解除しました。本人が「マイアカウント」で再度有効にできます。",
    );
    visit.done(&path_of(&account.name), &Told::good(said))
}

/// Ends every session of somebody else.
pub(super) fn sign_out(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let account = named(visit)?;
    if one::is_the_operators(&account) {
        return visit.refuse(
            409,
            visit.say("Your own sessions are on “My account”.", "自分のセッションは「マイアカウント」で終了できます。"),
        );
    }
    let closed = block_on(visit.daemon.users().close_all(&account.name)).map_err(|e| refused(visit, e))?;
    visit.daemon.audit(AuditEntry {
        at: visit.now,
        who: visit.who(),
        from: visit.from(),
        act: "user.sign-out".to_owned(),
        object: account.name.clone(),
        detail: format!("{closed} sessions"),
    })?;
    let said = about(visit, &account, "{} is signed out everywhere.", "{} のすべてのセッションを終了しました。");
    visit.done(&path_of(&account.name), &Told::good(said))
}

pub(super) fn remove(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let account = named(visit)?;
    if visit.form.text("again") != account.name {
        let wrong = visit.say(
            "It was not removed: the name that was typed is another one.",
            "削除していません。入力されたIDが一致しません。",
        );
        return show(visit, 400, &account, &Draft::of(visit, &account), wrong);
    }
    removal::remove(visit.daemon, &visit.actor(), &account.name).map_err(|e| refused(visit, e))?;
    visit.done("/users", &Told::good(about(visit, &account, "{} was removed.", "{} を削除しました。")))
}
