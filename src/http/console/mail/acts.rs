//! What can be done about one message: its buttons, and the acts behind them.

use maud::{Markup, html};
use smol::future::block_on;

use super::{
    super::parts::{clean, number},
    Answer, Args, Missing, Right, Told, Visit, is_held, page, waits,
};
use crate::{
    store::{BodyPlace, Glance, GlanceAsk, QueueAct, QueueFilter, QueueVerb, Recipient},
    suppress::acts::Actor,
};

/// Scopes of one address that one act lifts: for everybody, and for the submitter.
const SCOPES_MAX: usize = 2;

/// What can be done with the whole message.
pub(super) fn buttons(visit: &Visit<'_>, glance: &Glance, is_sandboxed: bool) -> Markup {
    let (id, count) = (glance.message.id, &glance.standing);
    let act = format!("/message/{id}/act");
    let is_kept = glance.message.place != BodyPlace::Gone && !super::page::is_for_its_recipient_alone(&glance.message);
    let of = |words: &str, n: u64| if n > 1 { visit.lang.in_brackets(words, n) } else { words.to_owned() };
    let may_act = visit.may(Right::Act) && count.open() > 0;
    let may_download = is_kept && visit.may(Right::Download);
    if !(may_act || may_download || is_sandboxed) {
        return html! {};
    }
    html! {
        div class="actions" {
            @if may_act {
                @if count.waiting > 0 {
                    (visit.button(&act, "", &[("verb", "flush")], &of(visit.say("Force send", "強制送信"), count.waiting)))
                    (visit.button(&act, "plain", &[("verb", "hold")], &of(visit.say("Hold", "保留"), count.waiting)))
                }
                @if count.held > 0 {
                    (visit.button(&act, "plain", &[("verb", "release")], &of(visit.say("Release", "保留解除"), count.held)))
                }
                a class="button grave" href=(visit.href(&format!("/message/{id}/end"))) { (visit.say("Drop or fail…", "破棄・配信中止…")) }
            }
            @if may_download {
                a class="button plain" href=(visit.href(&format!("/message/{id}/mail.eml"))) { (visit.say("Download the mail", "メールをダウンロード")) }
            }
            @if is_sandboxed {
                a class="button plain" href=(visit.href(&format!("/sandbox/{id}"))) { (visit.say("See the mail itself", "メールの内容を見る")) }
            }
        }
    }
}

/// What can be done with one recipient of several, and with its place on the suppression list.
pub(super) fn of_recipient(visit: &Visit<'_>, glance: &Glance, recipient: &Recipient, is_suppressed: bool) -> Markup {
    let (id, index) = (glance.message.id, recipient.key.index.to_string());
    let act = format!("/message/{id}/act");
    let one = |verb| [("verb", verb), ("index", index.as_str())];
    let several = glance.standing.all() > 1;
    html! {
        @if visit.may(Right::Act) && ((several && waits(recipient)) || is_suppressed) {
            div class="actions small" {
                @if several && waits(recipient) {
                    @if is_held(recipient) {
                        (visit.button(&act, "quiet", &one("release"), visit.say("Release", "保留解除")))
                    } @else {
                        (visit.button(&act, "quiet", &one("flush"), visit.say("Force send", "強制送信")))
                        (visit.button(&act, "quiet", &one("hold"), visit.say("Hold", "保留")))
                    }
                    a class="quiet" href=(visit.href(&format!("/message/{id}/end?index={index}"))) { (visit.say("Drop or fail…", "破棄・配信中止…")) }
                }
                @if is_suppressed {
                    (visit.button(&format!("/message/{id}/lift"), "quiet", &[("index", &index)], visit.say("Lift the suppression", "配信停止を解除")))
                }
            }
        }
    }
}

/// The recipient that a form or an address names; `None`: all of them.
pub(super) fn index_of(visit: &Visit<'_>, text: &str) -> Result<Option<u32>, Missing> {
    match text {
        "" => Ok(None),
        text => match text.parse() {
            Ok(index) => Ok(Some(index)),
            Err(_) => visit.refuse(400, visit.say("There is no such recipient.", "その宛先はありません。")),
        },
    }
}

/// `POST /message/:id/act`: one of the queue's verbs, on all waiting recipients or on one.
pub(super) fn act(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let id = args.id()?;
    page::glance_of(visit, id, &GlanceAsk::default())?;
    let index = index_of(visit, visit.form.text("index"))?;
    let (verb, past) = match visit.form.text("verb") {
        "flush" => (QueueVerb::Flush, visit.say("recipients are tried now", "件を強制送信します")),
        "hold" => (QueueVerb::Hold, visit.say("recipients are held", "件を保留しました")),
        "release" => (QueueVerb::Release, visit.say("recipients are released", "件の保留を解除しました")),
        "drop" => {
            (QueueVerb::Drop, visit.say("recipients were dropped; nobody was told", "件を破棄しました（通知なし）"))
        }
        "fail" => (
            QueueVerb::Fail,
            visit.say("recipients failed; the sender is told", "件の配信を中止しました（差出人に通知）"),
        ),
        _ => return visit.refuse(400, visit.say("There is no such act.", "その操作はありません。")),
    };
    let filter = QueueFilter { message: Some(id), index, ..QueueFilter::default() };
    let done = visit.daemon.act(QueueAct { verb, filter, operator: visit.who(), from: visit.from() })?;
    let told = match done {
        0 => Told::bad(visit.say(
            "Nothing was changed: no recipient was in a state for it any more.",
            "変更はありません。対象の宛先は、すでにその状態ではありませんでした。",
        )),
        n => Told::good(format!("{} {past}", number(n))),
    };
    visit.done(&format!("/message/{id}"), &told)
}

/// `POST /message/:id/lift`: takes a recipient off the suppression list.
pub(super) fn lift(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let id = args.id()?;
    let only = index_of(visit, visit.form.text("index"))?;
    let Glance { message, only, .. } = page::glance_of(visit, id, &GlanceAsk { only, ..GlanceAsk::default() })?;
    let Some(recipient) = only else {
        return visit.refuse(400, visit.say("There is no such recipient.", "その宛先はありません。"));
    };
    let (address, user) = (recipient.address.as_str(), message.user.as_str());
    let actor = Actor { who: visit.who(), from: visit.from() };
    let list = visit.daemon.suppressions();
    let scopes = list.scopes(address)?;
    let ours = scopes.iter().filter(|scope| scope.is_empty() || *scope == user).take(SCOPES_MAX);
    let mut lifted = 0;
    for scope in ours {
        lifted += usize::from(block_on(list.lift(&actor, address, scope))?.is_some());
    }
    let told = if lifted > 0 {
        let words = visit.say(
            " is written to again. Send the mail anew: this one is finished.",
            " の配信停止を解除しました。このメールは完了しているため、送信し直してください。",
        );
        let waiting = visit.say(" is written to again.", " の配信停止を解除しました。");
        Told::good(format!("{}{}", clean(address), if waits(&recipient) { waiting } else { words }))
    } else {
        Told::bad(visit.say("It was not on the suppression list any more.", "すでに配信停止リストにありません。"))
    };
    visit.done(&format!("/message/{id}"), &told)
}
