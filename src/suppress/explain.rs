//! Says in words whether an address is written to, and what is known of its errors: for `explain`, `find` and the pages.
//!
//! In: an address and an API user.  Out: [`Fact`]s.
//! Always: what blocks mail is asked of the code that blocks it.

use super::{
    Suppressions,
    incidents::{HoldState, brake_incidents, domain_of},
    list::row_of,
    lookup::{class_words, words_of},
    row::{Cause, Entry, key_of, read_history},
    rules::threshold,
};
use crate::{
    fact::Fact,
    language::Language,
    store::{MemoKind, StoreError},
    unsubscribe::row::{self as unsubscribed, How},
};

/// Lists that an address left, as they are shown.
const LISTS_SHOWN_MAX: usize = 20;

impl Suppressions {
    /// What is true of an address for mail of `user` (empty: nobody's), now. Blocking, short.
    ///
    /// # Errors
    /// The store's.
    pub fn explain(&self, address: &str, user: &str) -> Result<Vec<Fact>, StoreError> {
        let (memory, now) = (&self.0.memory, self.0.clock.now());
        let settings = &self.0.config.get().suppression;
        let mut facts = Vec::new();
        let everybody = key_of(address, "");
        let own = key_of(address, user);
        let scopes = if own == everybody { vec![everybody.clone()] } else { vec![everybody.clone(), own] };
        for (n, key) in scopes.iter().enumerate() {
            let scope = if n == 0 { String::new() } else { format!(" for mail of {user}") };
            let scope_ja = if n == 0 { String::new() } else { format!("{user} のメールについて、") };
            let mut row = row_of(memory, key)?;
            row.end_watch(now);
            if let Some(entry) = &row.now {
                let until =
                    entry.until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {until}"));
                facts.push(Fact::new(
                    "suppression",
                    format!("{}{scope}, {until}", words_of(entry)),
                    format!("{scope_ja}{}", japanese_of(entry)),
                ));
            } else if let Some(lifted) = row.past.first().and_then(|entry| entry.lifted.as_ref()) {
                let by = if lifted.operator.is_empty() { String::new() } else { format!(" by {}", lifted.operator) };
                let by_ja = if lifted.operator.is_empty() {
                    String::new()
                } else {
                    format!("（実行者：{}）", lifted.operator)
                };
                facts.push(Fact::new(
                    "suppression",
                    format!("lifted {}{by}{scope}: it is written to", lifted.at),
                    format!("{scope_ja}配信停止は {} に解除されました{by_ja}。送信します。", lifted.at),
                ));
            }
            if let Some(exempt) = &row.exempt {
                let says =
                    format!("since {} by {}{scope}: its errors never suppress it", exempt.since, exempt.operator);
                facts.push(Fact::new(
                    "exempt",
                    says,
                    format!(
                        "{scope_ja}{} から配信停止の対象外です（実行者：{}）。エラーがあっても配信停止にしません。",
                        exempt.since, exempt.operator
                    ),
                ));
            }
            let history = memory.memo(MemoKind::AddressErrors, key)?.and_then(|value| read_history(&value));
            let floor = now.minus(settings.thresholds.window);
            for error in history.iter().flat_map(|h| &h.errors).filter(|e| e.at >= floor).rev().take(LISTS_SHOWN_MAX) {
                let words = class_words(error.class, Language::English);
                let of = threshold(error.class, error.trouble, &settings.thresholds);
                facts.push(Fact::new(
                    "error",
                    format!("{}: {words}, {of} such days within the window suppress{scope}", error.at),
                    format!(
                        "{scope_ja}{} に{}のエラーがありました。{}",
                        error.at,
                        class_words(error.class, Language::Japanese),
                        match of {
                            0 => "この種類のエラーでは配信停止にしません。".to_owned(),
                            n => format!("期間内に {n} 日発生すると配信停止にします。"),
                        }
                    ),
                ));
            }
        }
        if facts.is_empty() {
            facts.push(Fact::new("suppression", "none: it is written to", "配信停止ではありません。送信します。"));
        }
        let domain = domain_of(&everybody);
        for incident in brake_incidents(&**memory)? {
            if incident.state == HoldState::Held && incident.place == domain {
                let says = format!(
                    "errors of {} are held since {} (incident {}): they suppress nobody until it is released",
                    incident.place,
                    incident.opened(),
                    incident.id
                );
                facts.push(Fact::new(
                    "held",
                    says,
                    format!(
                        "{} のエラーは {} から保留中です（インシデント {}）。確認されて反映されるまで、配信停止にはしません。",
                        incident.place,
                        incident.opened(),
                        incident.id
                    ),
                ));
            }
        }
        let left = memory.memos(MemoKind::Unsubscribes, &unsubscribed::prefix(address), None, LISTS_SHOWN_MAX)?;
        for row in left.iter().filter_map(|(_, value)| unsubscribed::Row::of_value(value)) {
            let from = if row.applies(now) { String::new() } else { format!(" from {} on", row.effective_from()) };
            let from_ja = if row.applies(now) { String::new() } else { format!("{} 以降、", row.effective_from()) };
            facts.push(Fact::new(
                "unsubscribed",
                format!("{}: mail of that list is not sent{from}", row.words()),
                format!(
                    "配信リスト「{}」は {} に{}配信解除されました。{}このリストのメールは送信しません。",
                    row.list,
                    row.created().rfc3339_seconds(),
                    how_in_japanese(row.how),
                    from_ja
                ),
            ));
        }
        Ok(facts)
    }
}

/// [`words_of`] an entry in Japanese, with its end.
fn japanese_of(entry: &Entry) -> String {
    let since: String = entry.since.rfc3339().chars().take(10).collect();
    let japanese = |class| class_words(class, Language::Japanese);
    let why = match entry.cause {
        Cause::Errors => entry.class.map_or("エラー", japanese).to_owned(),
        Cause::Complaint => "受信者による迷惑メール申告".to_owned(),
        Cause::Manual => "手動での登録".to_owned(),
        Cause::Import => match entry.class {
            Some(class) => format!("取り込み、{}", japanese(class)),
            None => "取り込み".to_owned(),
        },
        Cause::Unsubscribe => "受信者による配信解除".to_owned(),
    };
    let reason = if entry.reason.is_empty() { String::new() } else { format!("（{}）", entry.reason) };
    let until = entry.until.map_or_else(|| "解除されるまで".to_owned(), |until| format!("{until} まで"));
    format!("{since} から配信停止中です。理由：{why}{reason}。{until}送信しません。")
}

fn how_in_japanese(how: How) -> &'static str {
    match how {
        How::Link | How::Form => "受信者のリンク操作により",
        How::Manual => "手動で",
        How::Import => "取り込みにより",
        How::Complaint => "迷惑メール申告により",
    }
}
