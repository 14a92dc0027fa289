//! Before a message is dropped or given up: whom it is about, and what each of the two means.

use maud::html;

use super::{
    super::parts::{empty, foreign, heading, number, subject},
    Answer, Args, Section, Visit, acts, page, waits,
};
use crate::store::{GlanceAsk, Recipient};

/// `/message/:id/end`: the preview.
pub(super) fn preview(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let id = args.id()?;
    let index = acts::index_of(visit, visit.request.param("index"))?;
    let glance = page::glance_of(visit, id, &GlanceAsk { only: index, ..GlanceAsk::default() })?;
    let only: Vec<Recipient> = glance.only.into_iter().filter(waits).collect();
    let (meant, count) = match index {
        Some(_) => (&only, only.len() as u64),
        None => (&glance.waiting, glance.standing.open()),
    };
    let title = visit.say("Drop or fail", "破棄・配信中止");
    let act = format!("/message/{id}/act");
    let index = index.map(|index| index.to_string()).unwrap_or_default();
    let back = visit.href(&format!("/message/{id}"));
    let content = html! {
        (heading(title, ""))
        section {
            p class="strong" { (subject(visit.lang, &glance.message.facts.subject, 300)) }
            @if meant.is_empty() {
                (empty(visit.say("No recipient waits any more: there is nothing to end.", "待機中の宛先はありません。"), ""))
                p class="onward" { a href=(back) { "← " (visit.say("Back to the message", "メッセージへ戻る")) } }
            } @else {
                p { (visit.say("For good, for ", "取り消せません。対象の宛先：")) (number(count)) (visit.say(" waiting recipients:", " 件")) }
                ul class="notes" {
                    @for recipient in meant { li { (foreign(recipient.address.as_str(), 320)) } }
                    @if count > meant.len() as u64 { li { "+" (number(count - meant.len() as u64)) } }
                }
                div class="spaced" { dl class="facts" {
                    dt { (visit.say("Drop", "破棄")) }
                    dd { (visit.say("It is removed. Neither the sender nor the recipient is told.", "キューから削除します。差出人にも宛先にも通知しません。")) }
                    dt { (visit.say("Fail", "配信中止")) }
                    dd { (visit.say("It is given up, and the sender gets a notice of non-delivery.", "配信を終了し、差出人に不達通知を送ります。")) }
                } }
                div class="actions" {
                    (visit.button(&act, "danger", &[("verb", "drop"), ("index", &index)], visit.say("Drop, tell nobody", "破棄する（通知なし）")))
                    (visit.button(&act, "danger", &[("verb", "fail"), ("index", &index)], visit.say("Fail, tell the sender", "配信を中止する（通知あり）")))
                    a class="button plain" href=(back) { (visit.say("Cancel", "キャンセル")) }
                }
            }
        }
    };
    visit.page(Section::Mail, title, &content)
}
