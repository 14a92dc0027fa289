//! The rows of the room: an address on the list with its history, and the errors of an address, as they are stored.
//!
//! In: rows as JSON out of memos.  Out: the same as types, and back.
//! Always: a key is the address in lower case, with `per_user` the submitter behind a NUL; texts are bounded; a row of this
//! version is read by every later one (fields are only added, with a default).

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    event::{ErrorClass, Trouble},
    ids::MessageId,
    language::Language,
};

/// Octets of the answer that is kept with an address: enough for any one-line reply.
pub const REASON_MAX: usize = 500;
/// Earlier stays on the list that are kept with an address.
pub const PAST_MAX: usize = 8;
/// Errors that are kept of an address: more days than any sensible threshold asks for.
pub const ERRORS_MAX: usize = 400;
/// What parts the address from the submitter in a key; neither can hold it.
pub(super) const SCOPE_MARK: char = '\0';
/// Octets of a key at most; a submitter that does not fit is left out, and the address stands for everybody.
const KEY_MAX: usize = crate::store::MEMO_KEY_MAX;

/// Why an address is on the list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its errors reached a threshold.
    Errors,
    /// Its owner complained.
    Complaint,
    /// An operator put it there.
    Manual,
    /// It came with a list.
    Import,
    /// Its owner left, by a list that was imported; one-click unsubscribes are kept by their list instead.
    Unsubscribe,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 5] = [Cause::Errors, Cause::Complaint, Cause::Manual, Cause::Import, Cause::Unsubscribe];

    /// The word in lists, logs and files.
    pub fn word(self) -> &'static str {
        match self {
            Cause::Errors => "errors",
            Cause::Complaint => "complaint",
            Cause::Manual => "manual",
            Cause::Import => "import",
            Cause::Unsubscribe => "unsubscribe",
        }
    }

    /// The cause of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.word() == word)
    }

    /// What people are told.
    pub fn said(self, language: Language) -> &'static str {
        match self {
            Cause::Errors => language.pick("errors", "エラー"),
            Cause::Complaint => language.pick("complaint", "迷惑メール申告"),
            Cause::Manual => language.pick("by hand", "手動"),
            Cause::Import => language.pick("imported", "取り込み"),
            Cause::Unsubscribe => language.pick("unsubscribed", "配信解除"),
        }
    }

    /// The recipient's own will: no exemption overrides it, and mail to it fails with class 11.
    pub fn is_will(self) -> bool {
        match self {
            Cause::Complaint | Cause::Unsubscribe => true,
            Cause::Errors | Cause::Manual | Cause::Import => false,
        }
    }
}

/// How an address came off the list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiftedBy {
    /// An act that named it (CMC's cancel).
    Lift,
    /// An act that exempted it for good (CMC's delete).
    Exemption,
    /// The undo of an incident.
    Undo,
    /// The end of its watch period.
    WatchEnd,
}

impl LiftedBy {
    /// The word in lists and logs.
    pub fn word(self) -> &'static str {
        match self {
            LiftedBy::Lift => "lift",
            LiftedBy::Exemption => "exemption",
            LiftedBy::Undo => "undo",
            LiftedBy::WatchEnd => "watch_end",
        }
    }

    /// The way of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [LiftedBy::Lift, LiftedBy::Exemption, LiftedBy::Undo, LiftedBy::WatchEnd]
            .into_iter()
            .find(|by| by.word() == word)
    }

    /// What people are told.
    pub fn said(self, language: Language) -> &'static str {
        match self {
            LiftedBy::Lift => language.pick("lifted", "解除"),
            LiftedBy::Exemption => language.pick("exempted", "停止対象から除外"),
            LiftedBy::Undo => language.pick("an incident was undone", "インシデントの取り消し"),
            LiftedBy::WatchEnd => language.pick("its watch period ended", "監視期間の終了"),
        }
    }
}

/// The end of a stay on the list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lifted {
    /// When.
    #[serde(with = "crate::clock::millis")]
    pub at: Timestamp,
    /// By what.
    pub by: LiftedBy,
    /// By whom; empty: by itself.
    #[serde(default)]
    pub operator: String,
}

/// One stay of an address on the list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its id, 13 letters (CMC's `id`).
    #[serde(with = "printed")]
    pub id: MessageId,
    /// Since when.
    #[serde(with = "crate::clock::millis")]
    pub since: Timestamp,
    /// The end of the watch period, fixed at the start (R7); `None`: until it is lifted.
    #[serde(with = "maybe_millis", default)]
    pub until: Option<Timestamp>,
    /// Why.
    pub cause: Cause,
    /// CMC's class of the errors; `None` where nobody said one.
    #[serde(with = "maybe_class", default)]
    pub class: Option<ErrorClass>,
    /// How many errors were counted; 0 without errors.
    #[serde(default)]
    pub occurred: u32,
    /// The last answer, or the operator's words; bounded.
    #[serde(default)]
    pub reason: String,
    /// The number of the event that decided; `None` where none did.
    #[serde(default)]
    pub event: Option<u64>,
    /// Who put it there; empty: the rules.
    #[serde(default)]
    pub operator: String,
    /// The last answer said that the address will never take mail.
    #[serde(default)]
    pub hard: bool,
    /// Whose hosts answered; empty where that is not known.
    #[serde(default)]
    pub provider: String,
    /// The incident that held it back before; empty: none.
    #[serde(default)]
    pub incident: String,
    /// How it ended; `None` while it lasts.
    #[serde(default)]
    pub lifted: Option<Lifted>,
}

impl Entry {
    /// It applies at `now`: its watch period has not ended.
    pub fn is_on(&self, now: Timestamp) -> bool {
        self.lifted.is_none() && self.until.is_none_or(|until| now < until)
    }

    /// CMC's class of mail that is not sent because of it: 10, or 11 for the recipient's own will.
    pub fn blocks_as(&self) -> ErrorClass {
        if self.cause.is_will() { ErrorClass::Unsubscribed } else { ErrorClass::Blocked }
    }
}

/// An address is never suppressed for its errors again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exemption {
    /// Since when.
    #[serde(with = "crate::clock::millis")]
    pub since: Timestamp,
    /// By whom.
    pub operator: String,
}

/// What is stored of an address.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Row {
    /// Its stay on the list.
    #[serde(default)]
    pub now: Option<Entry>,
    /// Earlier ones, newest first, at most [`PAST_MAX`], kept for the audit period.
    #[serde(default)]
    pub past: Vec<Entry>,
    /// Errors do not count.
    #[serde(default)]
    pub exempt: Option<Exemption>,
}

impl Row {
    /// Ends the present stay, and answers it.
    pub fn end(&mut self, lifted: Lifted) -> Option<Entry> {
        let mut entry = self.now.take()?;
        entry.lifted = Some(lifted);
        self.past.insert(0, entry.clone());
        self.past.truncate(PAST_MAX);
        Some(entry)
    }

    /// Ends the present stay if its watch period is over. The end is the one that was fixed, not the moment it is noticed.
    pub fn end_watch(&mut self, now: Timestamp) -> Option<Entry> {
        let until = self.now.as_ref()?.until.filter(|until| *until <= now)?;
        self.end(Lifted { at: until, by: LiftedBy::WatchEnd, operator: String::new() })
    }

    /// Nothing worth keeping is left.
    pub fn is_empty(&self) -> bool {
        self.now.is_none() && self.past.is_empty() && self.exempt.is_none()
    }
}

/// One error of an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressError {
    /// When it came to be known.
    pub at: Timestamp,
    /// Its event's number.
    pub number: u64,
    /// CMC's class; [`ErrorClass::Unsubscribed`] stands for a complaint.
    pub class: ErrorClass,
    /// Whose trouble it is.
    pub trouble: Trouble,
    /// The address will never take mail.
    pub hard: bool,
}

/// The errors of an address that may count.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    /// Errors up to this moment never count again: the last time that the address came off the list.
    pub lifted: Option<Timestamp>,
    /// Oldest first; of each day and class the first.
    pub errors: Vec<AddressError>,
    /// Whose hosts gave the last one; empty where that is not known.
    pub provider: String,
    /// What the last one said; bounded.
    pub reply: String,
}

impl History {
    /// Notes an error; false: one of its day and class is known, and it changes nothing.
    pub fn note(&mut self, error: AddressError, provider: &str, reply: &str) -> bool {
        if self.lifted.is_some_and(|lifted| error.at <= lifted) {
            return false;
        }
        let is_same = |e: &AddressError| e.at.day() == error.at.day() && e.class == error.class;
        if self.errors.iter().any(is_same) {
            return false;
        }
        self.errors.push(error);
        self.errors.sort_by_key(|e| (e.at, e.number));
        let over = self.errors.len().saturating_sub(ERRORS_MAX);
        self.errors.drain(..over);
        provider.clone_into(&mut self.provider);
        self.reply = bounded(reply);
        true
    }

    /// The address came off the list: what was before never counts again.
    pub fn lift(&mut self, at: Timestamp) {
        self.lifted = self.lifted.max(Some(at));
        self.errors.retain(|e| e.at > at);
    }

    /// Forgets what is older than `floor`; true: nothing is left.
    pub fn prune(&mut self, floor: Timestamp) -> bool {
        self.errors.retain(|e| e.at >= floor);
        self.lifted = self.lifted.filter(|lifted| *lifted >= floor);
        self.errors.is_empty() && self.lifted.is_none()
    }
}

/// The stored form of a history.
#[derive(Default, Serialize, Deserialize)]
struct StoredHistory {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    l: Option<u64>,
    #[serde(default)]
    e: Vec<(u64, u64, u8, u8, u8)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    p: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    r: String,
}

/// Writes a history.
pub fn write_history(history: &History) -> Vec<u8> {
    let trouble = |t: Trouble| Trouble::ALL.iter().position(|a| *a == t).map_or(0, |n| n as u8 + 1);
    let stored = StoredHistory {
        l: history.lifted.map(Timestamp::as_millis),
        e: history
            .errors
            .iter()
            .map(|e| (e.at.as_millis(), e.number, e.class.code(), trouble(e.trouble), u8::from(e.hard)))
            .collect(),
        p: history.provider.clone(),
        r: history.reply.clone(),
    };
    json(&stored)
}

/// Reads a history; `None`: the row is damaged.
pub fn read_history(value: &[u8]) -> Option<History> {
    let stored: StoredHistory = serde_json::from_slice(value).ok()?;
    let error = |(at, number, class, trouble, hard): (u64, u64, u8, u8, u8)| {
        Some(AddressError {
            at: Timestamp::from_millis(at),
            number,
            class: ErrorClass::from_code(class)?,
            trouble: *Trouble::ALL.get(usize::from(trouble.checked_sub(1)?))?,
            hard: hard != 0,
        })
    };
    Some(History {
        lifted: stored.l.map(Timestamp::from_millis),
        errors: stored.e.into_iter().map(error).collect::<Option<_>>()?,
        provider: stored.p,
        reply: stored.r,
    })
}

/// Writes a row of the list.
pub fn write_row(row: &Row) -> Vec<u8> {
    json(row)
}

/// Reads a row of the list; `None`: it is damaged.
pub fn read_row(value: &[u8]) -> Option<Row> {
    serde_json::from_slice(value).ok()
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers and texts have a form in JSON")
}

/// The key of an address; `user` empty: for everybody.
pub fn key_of(address: &str, user: &str) -> String {
    let mut key = address.to_lowercase();
    if !user.is_empty() && !user.contains(SCOPE_MARK) && key.len() + 1 + user.len() <= KEY_MAX {
        key.push(SCOPE_MARK);
        key.push_str(user);
    }
    key
}

/// The address and the submitter of a key; the submitter is empty: for everybody.
pub fn split_key(key: &str) -> (&str, &str) {
    key.split_once(SCOPE_MARK).unwrap_or((key, ""))
}

/// A peer's words as they are kept: one line, at most [`REASON_MAX`] octets.
pub fn bounded(text: &str) -> String {
    let mut end = text.len().min(REASON_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

mod maybe_millis {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::clock::Timestamp;

    pub(super) fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::as_millis).serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Timestamp::from_millis))
    }
}

mod maybe_class {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::event::ErrorClass;

    pub(super) fn serialize<S: Serializer>(class: &Option<ErrorClass>, to: S) -> Result<S::Ok, S::Error> {
        class.map(ErrorClass::code).serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<ErrorClass>, D::Error> {
        Ok(Option::<u8>::deserialize(from)?.and_then(ErrorClass::from_code))
    }
}

mod printed {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::ids::MessageId;

    pub(super) fn serialize<S: Serializer>(id: &MessageId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<MessageId, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, until: Option<u64>) -> Entry {
        Entry {
            id: MessageId::from_u64(id),
            since: Timestamp::from_millis(1_000),
            until: until.map(Timestamp::from_millis),
            cause: Cause::Errors,
            class: Some(ErrorClass::UnknownUser),
            occurred: 2,
            reason: "550 5.1.1 unknown".to_owned(),
            event: Some(77),
            operator: String::new(),
            hard: true,
            provider: "*.example.net".to_owned(),
            incident: String::new(),
            lifted: None,
        }
    }

    #[test]
    fn rows_read_back_what_was_written_and_damage_is_none() {
        let mut row = Row { now: Some(entry(5, Some(9_000))), ..Row::default() };
        assert_eq!(read_row(&write_row(&row)), Some(row.clone()));
        row.end(Lifted { at: Timestamp::from_millis(2_000), by: LiftedBy::Lift, operator: "op".to_owned() });
        row.exempt = Some(Exemption { since: Timestamp::from_millis(1), operator: "op".to_owned() });
        assert_eq!(read_row(&write_row(&row)), Some(row));
        assert_eq!(read_row(b"{"), None);
        let mut history = History { lifted: Some(Timestamp::from_millis(3)), ..History::default() };
        let error = AddressError {
            at: Timestamp::from_millis(86_400_000),
            number: 9,
            class: ErrorClass::OverCapacity,
            trouble: Trouble::Policy,
            hard: false,
        };
        assert!(history.note(error.clone(), "p", "552 full\r\nevil"));
        assert!(!history.note(AddressError { number: 10, ..error }, "p", "again the same day"));
        assert_eq!(history.reply, "552 full  evil");
        assert_eq!(read_history(&write_history(&history)), Some(history));
        assert_eq!(read_history(b"{\"e\":[[1,2,77,1,0]]}"), None);
    }

    #[test]
    fn a_watch_ends_when_it_was_said_and_stays_are_kept_bounded() {
        let mut row = Row { now: Some(entry(1, Some(9_000))), ..Row::default() };
        assert!(row.end_watch(Timestamp::from_millis(8_999)).is_none());
        let ended = row.end_watch(Timestamp::from_millis(50_000)).unwrap();
        assert_eq!(ended.lifted.unwrap().at, Timestamp::from_millis(9_000));
        for n in 0..20 {
            row.now = Some(entry(n, None));
            row.end(Lifted { at: Timestamp::from_millis(n), by: LiftedBy::Lift, operator: String::new() });
        }
        assert_eq!(row.past.len(), PAST_MAX);
        assert_eq!(row.past[0].id, MessageId::from_u64(19));
    }

    #[test]
    fn a_key_is_the_address_in_lower_case_with_its_scope() {
        for (address, user, key) in [
            ("Ann@Example.JP", "", "ann@example.jp"),
            ("Ann@Example.JP", "crm", "ann@example.jp\0crm"),
            ("Ann@Example.JP", "c\0m", "ann@example.jp"),
        ] {
            assert_eq!(key_of(address, user), key);
        }
        assert_eq!(split_key("a@b\0crm"), ("a@b", "crm"));
        assert_eq!(split_key("a@b"), ("a@b", ""));
        assert!(key_of(&"x".repeat(254), &"u".repeat(400)).len() <= 512, "a scope that does not fit is left out");
    }
}
