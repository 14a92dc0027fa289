//! Which recipients of the queue: the filters of a page or a form, in words, and as a query.
//!
//! Always: what is not understood is said so; a filter reads back what it wrote.

use maud::{Markup, html};

use super::wait_words;
use crate::{
    event::{Class, WaitReason},
    http::{
        console::{
            Missing, Visit,
            logs::filter::users,
            parts::{Field, check_box, class_name, clean, clip, select},
        },
        exchange::percent_encode,
        words::Lang,
    },
    store::QueueFilter,
};

/// The fields, by their names in queries and forms.
pub(super) const FIELDS: [&str; 10] =
    ["id", "index", "recipient", "sender", "destination", "user", "class", "wait", "reply", "held"];
/// Letters of a text at most.
const TEXT_MAX: usize = 300;

/// The filter whose fields `get` reads.
///
/// # Errors
/// A field cannot be understood.
pub(super) fn of<'v>(visit: &Visit<'_>, get: impl Fn(&str) -> &'v str) -> Result<QueueFilter, Missing> {
    let wrong = || {
        visit.say(
            "This filter does not exist. Go back and choose again.",
            "この条件は使用できません。前の画面から選び直してください。",
        )
    };
    if FIELDS.iter().any(|name| get(name).chars().count() > TEXT_MAX) {
        return visit
            .refuse(400, visit.say("A filter has at most 300 letters.", "検索条件は300文字以内で入力してください。"));
    }
    let message = match get("id").trim() {
        "" => None,
        text => match text.parse() {
            Ok(id) => Some(id),
            Err(_) => {
                let words = visit.say("A queue id has 13 letters and digits.", "キューIDは13文字の英数字です。");
                return visit.refuse(400, words);
            }
        },
    };
    let index = match (get("index"), message) {
        ("", _) => None,
        (text, Some(_)) => match text.parse() {
            Ok(index) => Some(index),
            Err(_) => return visit.refuse(400, wrong()),
        },
        (_, None) => return visit.refuse(400, wrong()),
    };
    let class = match get("class") {
        "" => None,
        word => match Class::from_word(word) {
            Some(class) => Some(class),
            None => return visit.refuse(400, wrong()),
        },
    };
    let wait = match get("wait") {
        "" => None,
        word => match WaitReason::from_word(word) {
            Some(wait) => Some(wait),
            None => return visit.refuse(400, wrong()),
        },
    };
    let text = |name: &str| get(name).trim().to_owned();
    Ok(QueueFilter {
        message,
        index,
        recipient: text("recipient"),
        sender: text("sender"),
        destination: text("destination").trim_start_matches('@').to_owned(),
        user: text("user"),
        held: !matches!(get("held"), "" | "0"),
        class,
        wait,
        reply: text("reply"),
    })
}

/// The fields that say it, for forms and links.
pub(super) fn fields(filter: &QueueFilter) -> Vec<(&'static str, String)> {
    let all = [
        ("id", filter.message.map_or_else(String::new, |id| id.to_string())),
        ("index", filter.index.map_or_else(String::new, |index| index.to_string())),
        ("recipient", filter.recipient.clone()),
        ("sender", filter.sender.clone()),
        ("destination", filter.destination.clone()),
        ("user", filter.user.clone()),
        ("class", filter.class.map_or("", Class::word).to_owned()),
        ("wait", filter.wait.map_or("", WaitReason::word).to_owned()),
        ("reply", filter.reply.clone()),
        ("held", if filter.held { "1" } else { "" }.to_owned()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// [`fields`] as a query.
pub(super) fn as_query(filter: &QueueFilter) -> String {
    let pairs = fields(filter);
    pairs.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect::<Vec<_>>().join("&")
}

/// What it takes, for people.
pub(super) fn in_words(lang: Lang, filter: &QueueFilter) -> String {
    if filter.is_all() {
        return lang.say("Whole queue", "キュー全体").to_owned();
    }
    let text = |value: &str| clean(&clip(value, 100));
    let mut parts = Vec::new();
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            parts.push(if lang.japanese { format!("{name}「{value}」") } else { format!("{name} {value}") });
        }
    };
    say(lang.say("queue id", "キューID"), filter.message.map_or_else(String::new, |id| id.to_string()));
    say(
        lang.say("recipient no.", "宛先番号"),
        filter.index.map_or_else(String::new, |index| (u64::from(index) + 1).to_string()),
    );
    say(lang.say("destination", "宛先ドメイン"), text(&filter.destination));
    say(lang.say("recipient with", "宛先（一部）"), text(&filter.recipient));
    say(lang.say("sender with", "差出人（一部）"), text(&filter.sender));
    say(lang.say("API user", "APIユーザー"), text(&filter.user));
    say(
        lang.say("priority", "優先度"),
        filter.class.map_or_else(String::new, |class| class_name(lang, class).to_owned()),
    );
    say(lang.say("reason:", "理由"), filter.wait.map_or_else(String::new, |wait| wait_words(lang, wait).to_owned()));
    say(lang.say("answer with", "応答（一部）"), text(&filter.reply));
    if filter.held {
        parts.push(lang.say("held ones", "保留中").to_owned());
    }
    parts.join(lang.say(", ", "、"))
}

/// The form that asks.
pub(super) fn form(visit: &Visit<'_>, filter: &QueueFilter) -> Markup {
    let (request, lang) = (visit.request, visit.lang);
    let field = |name: &'static str, label: &'static str, placeholder: &'static str| {
        Field { name, label, placeholder, value: request.param(name), max: 300, kind: "search", ..Field::default() }
            .show()
    };
    let any = lang.say("any", "すべて");
    let mut classes = vec![("", any)];
    classes.extend(Class::ALL.iter().map(|class| (class.word(), class_name(lang, *class))));
    let mut waits = vec![("", any)];
    waits.extend(WaitReason::ALL.iter().map(|wait| (wait.word(), wait_words(lang, *wait))));
    let content = html! {
        div class="fields" {
            (field("recipient", lang.say("Recipient", "宛先"), lang.say("part of the address", "アドレスの一部")))
            (field("destination", lang.say("Destination, whole", "宛先ドメイン（完全一致）"), "example.jp"))
            (select("wait", lang.say("Why it waits", "待機の理由"), &waits, filter.wait.map_or("", WaitReason::word)))
            (select("class", lang.say("Priority", "優先度"), &classes, filter.class.map_or("", Class::word)))
            (users(visit, &filter.user))
            (field("sender", lang.say("Envelope sender", "エンベロープFrom"), lang.say("part of the address", "アドレスの一部")))
            (field("reply", lang.say("Last answer", "直近の応答"), lang.say("part of it: 421", "一部：421 など")))
            (check_box("held", "1", lang.say("Held ones only", "保留中のみ"), filter.held))
        }
        div class="actions" {
            button { (lang.say("Search", "検索")) }
            @if !filter.is_all() {
                a class="button plain" href=(visit.href("/queue/list")) { (lang.say("Clear", "条件をクリア")) }
            }
        }
    };
    html! { section class="filters" { (visit.ask("/queue/list", "", &content)) } }
}
