//! Acts on the queue: first how many and what it means, then the act.
//!
//! In: ticked recipients, or a filter, and a verb.  Out: a page that asks once more; then the act, and how many it met.
//! Always: what is final for more than one recipient needs a tick of its own; the page says how many match, and the act meets those
//! that match when it is done; an act that lasts goes on by itself.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    filter,
    list::{COUNT_MAX, ROWS, count_words},
    pauses,
};
use crate::{
    http::{
        console::{
            Answer, Args, Missing, Section, Told, Visit,
            parts::{facts, foreign, heading, number, subject},
        },
        exchange::Method,
        queue_acts::ActEnd,
        words::Lang,
    },
    store::{Page, QueueAct, QueueCount, QueueFilter, QueueRow, QueueVerb, StoreError},
};

/// Acts that stand beside each destination.
pub(super) const OFTEN: [QueueVerb; 2] = [QueueVerb::Flush, QueueVerb::Hold];
/// Recipients that a preview shows.
const SHOWN_MAX: usize = 10;
/// How long a page waits for the end of an act.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a preview looks for recipients to show.
const LOOK_MAX: Duration = Duration::from_millis(50);

/// What an act is called.
pub(super) fn verb_words(lang: Lang, verb: QueueVerb) -> &'static str {
    match verb {
        QueueVerb::Flush => lang.say("Force send", "強制送信"),
        QueueVerb::Hold => lang.say("Hold", "保留"),
        QueueVerb::Release => lang.say("Release", "保留解除"),
        QueueVerb::Drop => lang.say("Drop", "破棄"),
        QueueVerb::Fail => lang.say("Fail", "配信中止"),
    }
}

/// What its button says.
pub(super) fn button_words(lang: Lang, verb: QueueVerb) -> &'static str {
    match verb {
        QueueVerb::Drop => lang.say("Drop, tell nobody", "破棄（通知なし）"),
        QueueVerb::Fail => lang.say("Fail, tell the senders", "配信を中止する（通知あり）"),
        QueueVerb::Flush | QueueVerb::Hold | QueueVerb::Release => verb_words(lang, verb),
    }
}

/// What it does, in a sentence.
fn meaning(lang: Lang, verb: QueueVerb) -> &'static str {
    match verb {
        QueueVerb::Flush => lang.say(
            "They are tried now instead of at their next try. Limits of connections and speed hold; held ones stay held.",
            "次回の試行を待たずに今すぐ送信します。接続数と配信速度の上限は守られ、保留中の宛先は保留のままです。",
        ),
        QueueVerb::Hold => lang.say(
            "They are not tried before somebody releases them. Their lifetime goes on.",
            "保留を解除するまで送信しません。有効期限は延びません。",
        ),
        QueueVerb::Release => {
            lang.say("Held ones are tried again, now. The others are left alone.", "保留中の宛先の送信を再開します。保留中でない宛先は変わりません。")
        }
        QueueVerb::Drop => lang.say(
            "They are removed for good. Nobody is told: neither sender nor recipient. This cannot be undone.",
            "キューから完全に削除します。差出人にも宛先にも通知しません。元に戻すことはできません。",
        ),
        QueueVerb::Fail => lang.say(
            "They fail for good, and their senders get a bounce mail. This cannot be undone.",
            "配信を終了し、差出人に不達通知を送ります。元に戻すことはできません。",
        ),
    }
}

/// It cannot be undone.
pub(super) fn is_final(verb: QueueVerb) -> bool {
    matches!(verb, QueueVerb::Drop | QueueVerb::Fail)
}

/// A button that leads to the preview of an act on all that a filter takes.
pub(super) fn preview_button(visit: &Visit<'_>, verb: QueueVerb, filter: &QueueFilter, class: &str) -> Markup {
    let fields = filter::fields(filter);
    let mut pairs = vec![("verb", verb.word())];
    pairs.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
    visit.button("/queue/preview", class, &pairs, button_words(visit.lang, verb))
}

/// Whom an act is for.
enum Whom {
    /// These recipients.
    Ticked(Vec<QueueFilter>),
    /// All that it takes.
    All(QueueFilter),
}

impl Whom {
    fn of(visit: &Visit<'_>) -> Result<Self, Missing> {
        let ticks: Vec<&str> = visit.form.all("to").take(ROWS + 1).collect();
        if ticks.len() > ROWS {
            return visit
                .refuse(400, visit.say("At most 100 recipients at once.", "一度に選択できるのは100件までです。"));
        }
        let read = |tick: &&str| {
            let (id, index) = tick.split_once('.')?;
            let (message, index) = (id.parse().ok()?, index.parse().ok()?);
            Some(QueueFilter { message: Some(message), index: Some(index), ..QueueFilter::default() })
        };
        if !ticks.is_empty() {
            return match ticks.iter().map(read).collect() {
                Some(ticked) => Ok(Whom::Ticked(ticked)),
                None => visit
                    .refuse(400, visit.say("A ticked recipient is none of ours.", "選択した宛先が正しくありません。")),
            };
        }
        // A link leads here by its query, a form by its fields.
        let filter = match visit.request.method {
            Method::Post => filter::of(visit, |name| visit.form.raw(name))?,
            Method::Get | Method::Head | Method::Other => filter::of(visit, |name| visit.request.param(name))?,
        };
        let is_meant = !filter.is_all() || visit.form.flag("all") || visit.request.flag("all");
        if is_meant {
            return Ok(Whom::All(filter));
        }
        visit.refuse(
            400,
            visit.say(
                "No recipient is ticked. Go back and tick those that are meant, or use the buttons for all that match.",
                "宛先が選択されていません。前の画面で宛先を選択するか、「条件に一致するすべて」のボタンを使用してください。",
            ),
        )
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        match self {
            Whom::Ticked(ticked) => {
                let tick = |f: &QueueFilter| Some(format!("{}.{}", f.message?, f.index?));
                ticked.iter().filter_map(tick).map(|tick| ("to", tick)).collect()
            }
            Whom::All(filter) => {
                let mut fields = filter::fields(filter);
                if filter.is_all() {
                    fields.push(("all", "1".to_owned()));
                }
                fields
            }
        }
    }

    /// How many it meets now, and some of them.
    fn look(&self, visit: &Visit<'_>) -> Result<(QueueCount, Vec<QueueRow>), StoreError> {
        let page = Page { rows_max: SHOWN_MAX, within: Some(LOOK_MAX), ..Page::default() };
        match self {
            Whom::All(filter) => {
                Ok((visit.daemon.count_waiting(filter, COUNT_MAX)?, visit.daemon.queue_page(filter, &page)?.rows))
            }
            Whom::Ticked(ticked) => {
                let mut rows = Vec::new();
                for one in ticked {
                    rows.extend(visit.daemon.queue_page(one, &Page { rows_max: 1, ..Page::default() })?.rows);
                }
                let recipients = rows.len() as u64;
                rows.truncate(SHOWN_MAX);
                Ok((QueueCount { recipients, is_whole: true }, rows))
            }
        }
    }
}

/// The verb of a form or a link.
fn word<'v>(visit: &'v Visit<'_>) -> &'v str {
    match visit.request.method {
        Method::Post => visit.form.text("verb"),
        Method::Get | Method::Head | Method::Other => visit.request.param("verb"),
    }
}

fn verb_of(visit: &Visit<'_>) -> Result<QueueVerb, Missing> {
    match QueueVerb::from_word(word(visit)) {
        Some(verb) => Ok(verb),
        None => visit.refuse(400, visit.say("Choose what to do.", "操作を選択してください。")),
    }
}

/// Where the page after an act is.
fn back(visit: &Visit<'_>, whom: &Whom) -> String {
    match whom {
        Whom::All(filter) if !filter.is_all() => format!("/queue/list?{}", filter::as_query(filter)),
        Whom::All(_) => "/queue".to_owned(),
        Whom::Ticked(_) => {
            let back = visit.form.text("back");
            if back.starts_with("/queue") && back.is_ascii() { back.to_owned() } else { "/queue/list".to_owned() }
        }
    }
}

/// `/queue/preview`: what would be done, to how many.
pub(super) fn preview(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    if word(visit) == pauses::VERB {
        return pauses::preview(visit);
    }
    let (lang, verb, whom) = (visit.lang, verb_of(visit)?, Whom::of(visit)?);
    let (count, rows) = whom.look(visit)?;
    let title = verb_words(lang, verb);
    if count.recipients == 0 && count.is_whole {
        let words = lang.say(
            "Nothing that waits matches any more: nothing was done.",
            "一致する待機中の宛先はありません。何も変更していません。",
        );
        return visit.done(&back(visit, &whom), &Told::bad(words));
    }
    let filters = match &whom {
        Whom::All(filter) => filter::in_words(lang, filter),
        Whom::Ticked(_) => lang.say("the ticked ones", "選択した宛先").to_owned(),
    };
    let content = html! {
        (heading(&question(visit, verb, count), meaning(lang, verb)))
        section {
            (facts(&[
                (lang.say("Who", "対象"), html! { (filters) }),
                (lang.say("How many", "件数"), html! { span class="strong" { (count_words(visit, count)) } }),
            ]))
            @if !count.is_whole {
                p class="hint" { (lang.say(
                    "There was no time to count all of them. All that match are met, however many there are.",
                    "件数が多いため途中まで数えました。一致するすべての宛先が対象になります。",
                )) }
            }
            (some(visit, &rows, count))
            (confirm(visit, verb, &whom, count))
        }
    };
    visit.page(Section::Queue, title, &content)
}

fn question(visit: &Visit<'_>, verb: QueueVerb, count: QueueCount) -> String {
    let count = count_words(visit, count);
    if !visit.lang.japanese {
        return format!("{}: {count}?", verb_words(visit.lang, verb));
    }
    let asks = match verb {
        QueueVerb::Flush => "を強制送信しますか？",
        QueueVerb::Hold => "を保留しますか？",
        QueueVerb::Release => "の保留を解除しますか？",
        QueueVerb::Drop => "を破棄しますか？",
        QueueVerb::Fail => "の配信を中止しますか？",
    };
    format!("{count}{asks}")
}

/// Some of those that are met.
fn some(visit: &Visit<'_>, rows: &[QueueRow], count: QueueCount) -> Markup {
    let more = count.recipients.saturating_sub(rows.len() as u64);
    html! {
        ul class="plain-list" {
            @for row in rows {
                li {
                    span class="strong" { (foreign(row.recipient.address.as_str(), 120)) } " "
                    span class="soft" { (subject(visit.lang, &row.message.facts.subject, 80)) }
                }
            }
            @if more > 0 {
                li class="soft" {
                    @if visit.lang.japanese { "ほか " (number(more)) " 件" @if !count.is_whole { "以上" } }
                    @else { "and " @if !count.is_whole { "at least " } (number(more)) " more" }
                }
            }
        }
    }
}

fn confirm(visit: &Visit<'_>, verb: QueueVerb, whom: &Whom, count: QueueCount) -> Markup {
    let lang = visit.lang;
    let needs_tick = is_final(verb) && (count.recipients > 1 || !count.is_whole);
    let to = back(visit, whom);
    let content = html! {
        @for (name, value) in whom.fields() { input type="hidden" name=(name) value=(value); }
        input type="hidden" name="verb" value=(verb.word());
        input type="hidden" name="back" value=(to);
        @if needs_tick {
            label class="tick" {
                input type="checkbox" name="sure" value="1" required;
                span { (lang.say("I know that this cannot be undone", "元に戻せないことを確認しました")) }
            }
        }
        div class="actions" {
            button class=(if is_final(verb) { "danger" } else { "" }) { (button_words(lang, verb)) }
            a class="button plain" href=(visit.href(&to)) { (lang.say("Cancel", "キャンセル")) }
        }
        p class="hint" {
            (lang.say(
                "What comes to match before you press is met, too. The operation log keeps your name with it.",
                "実行までに条件に一致した宛先も対象になります。操作ログにアカウント名が記録されます。",
            ))
        }
    };
    visit.post("/queue/act", "confirm", &content)
}

/// `/queue/act`: does it.
pub(super) fn act(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let (lang, verb, whom) = (visit.lang, verb_of(visit)?, Whom::of(visit)?);
    if is_final(verb) && !visit.form.flag("sure") {
        let (count, _) = whom.look(visit)?;
        if count.recipients > 1 || !count.is_whole {
            return visit.refuse(
                400,
                lang.say(
                    "Nothing was done: tick the box that says that this cannot be undone, and press again.",
                    "実行していません。「元に戻せないことを確認しました」にチェックを入れて、もう一度実行してください。",
                ),
            );
        }
    }
    let to = back(visit, &whom);
    let act = |filter| QueueAct { verb, filter, operator: visit.who(), from: visit.from() };
    let end = match whom {
        Whom::All(filter) => visit.daemon.act_soon(act(filter), PATIENCE),
        Whom::Ticked(ticked) => {
            let each = ticked.into_iter().map(|filter| visit.daemon.act(act(filter)));
            each.sum::<Result<u64, StoreError>>().map(ActEnd::Done)
        }
    };
    match end {
        Ok(ActEnd::Done(count)) => visit.done(&to, &Told::good(done_words(lang, verb, count))),
        Ok(ActEnd::GoesOn(so_far)) => visit.done("/queue", &Told::good(goes_on_words(lang, so_far))),
        Err(StoreError::Refused(_)) => {
            let words = lang.say(
                "Four acts on the queue run already: wait until one of them has ended.",
                "一括操作が4件実行中です。いずれかが完了してから実行してください。",
            );
            visit.done("/queue", &Told::bad(words))
        }
        Err(error) => Err(error.into()),
    }
}

fn done_words(lang: Lang, verb: QueueVerb, count: u64) -> String {
    let n = number(count);
    if lang.japanese {
        let what = match verb {
            QueueVerb::Flush => "件を今すぐ送信します。",
            QueueVerb::Hold => "件を保留にしました。",
            QueueVerb::Release => "件の保留を解除しました。",
            QueueVerb::Drop => "件を破棄しました。",
            QueueVerb::Fail => "件の配信を中止しました。",
        };
        return format!("{n} {what}");
    }
    let recipients = if count == 1 { "recipient" } else { "recipients" };
    let what = match verb {
        QueueVerb::Flush => "to be tried now.",
        QueueVerb::Hold => "held.",
        QueueVerb::Release => "released.",
        QueueVerb::Drop => "dropped.",
        QueueVerb::Fail => "failed; their senders are told.",
    };
    format!("{n} {recipients} {what}")
}

fn goes_on_words(lang: Lang, so_far: u64) -> String {
    let n = number(so_far);
    if lang.japanese {
        format!("処理を続けています（現在 {n} 件）。この画面で進み具合を確認できます。")
    } else {
        format!("It goes on by itself: {n} recipients so far. This page tells how far it is.")
    }
}
