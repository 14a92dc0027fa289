//! What an entry of the log means, in plain words: what happened, and what there is to do, if anything.
//!
//! In: an event with its answer.  Out: [`Plain`], in English and Japanese.
//! Always: the words are ours: nothing of the answer stands in them; the same answer gets the same words; what nobody knows is
//! said to be unknown, with the answer left to speak for itself. What receivers say in their own code comes before what the
//! classifier makes of it.
//! Sources: RFC 3463; the receivers' own pages as of 2026-11 (`receivers.rs`).

mod receivers;
mod words;

use crate::{
    bounce::classify::{Said, judge},
    event::{ErrorClass, Event, EventKind, Phase, SANDBOX_HOST},
    language::Language,
    smtp::reply::Enhanced,
};

/// English and Japanese.
pub type Both = (&'static str, &'static str);

/// What a reply of ours that quotes an answer puts in front of it.
const LAST_ANSWERS: [&str; 2] = ["; last answer: ", "; its last answer: "];
/// Answers within answers that are followed: a quote may hold another.
const QUOTES_MAX: usize = 3;

/// What happened, in plain words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plain {
    /// What happened.
    pub says: Both,
    /// What there is to do; `None`: nothing.
    pub next: Option<Both>,
}

impl Plain {
    const fn of(says: Both, next: Both) -> Self {
        Plain { says, next: Some(next) }
    }

    const fn only(says: Both) -> Self {
        Plain { says, next: None }
    }

    /// What happened, in this language.
    pub fn says(&self, language: Language) -> &'static str {
        said_in(self.says, language)
    }

    /// What there is to do, in this language.
    pub fn next(&self, language: Language) -> Option<&'static str> {
        self.next.map(|next| said_in(next, language))
    }
}

fn said_in((english, japanese): Both, language: Language) -> &'static str {
    match language {
        Language::English => english,
        Language::Japanese => japanese,
    }
}

/// What the event means; `None`: it says everything by itself.
pub fn plain(event: &Event) -> Option<Plain> {
    let detail = event.detail.as_deref();
    match event.kind {
        EventKind::Queued => None,
        EventKind::Dropped => Some(words::DROPPED),
        EventKind::Complained => Some(words::COMPLAINED),
        EventKind::Succeeded if detail.is_some_and(|d| d.host == SANDBOX_HOST) => Some(words::KEPT_HERE),
        EventKind::Succeeded => Some(match detail.map(|d| d.possible_duplicate) {
            Some(true) => words::TAKEN_AGAIN,
            Some(false) | None => words::TAKEN,
        }),
        EventKind::Deferred | EventKind::Failed | EventKind::Bounced => {
            let detail = detail?;
            match detail.error {
                Some(ErrorClass::Blocked) => return Some(words::SUPPRESSED_HERE),
                Some(ErrorClass::Unsubscribed) => return Some(words::UNSUBSCRIBED),
                Some(_) | None => {}
            }
            if event.operator.is_some() {
                return Some(words::GIVEN_UP);
            }
            if detail.possible_duplicate && detail.phase == Some(Phase::Content) && !is_answer(&detail.reply) {
                return Some(words::LOST_AFTER_DOT);
            }
            Some(of_reply(&detail.reply, detail.phase, event.kind == EventKind::Bounced))
        }
    }
}

/// What a reply means, the peer's or our own. `returned`: it came in a bounce mail.
fn of_reply(reply: &str, phase: Option<Phase>, returned: bool) -> Plain {
    let mut reply = reply;
    for _ in 0..QUOTES_MAX {
        let quoted = LAST_ANSWERS.iter().filter_map(|mark| reply.split_once(mark)).min_by_key(|(own, _)| own.len());
        match quoted {
            // What is told is the trouble behind it; that it was given up, or not tried, the entry says itself.
            Some((_, answer)) if !answer.is_empty() => reply = answer,
            Some(_) | None => break,
        }
    }
    if !is_answer(reply) && !returned {
        return own(reply, phase);
    }
    if let Some(known) = receivers::known(reply) {
        return known;
    }
    let judged = judge(&Said { phase, code: None, enhanced: None, text: reply });
    if judged.known { words::of_reason(judged.reason, judged.class) } else { words::UNKNOWN }
}

/// It begins with a reply code, as only a peer's does.
fn is_answer(reply: &str) -> bool {
    let mut octets = reply.bytes();
    let code = (octets.next(), octets.next(), octets.next());
    let is_digit = |octet: Option<u8>| octet.is_some_and(|o| o.is_ascii_digit());
    matches!(code.0, Some(b'2'..=b'5'))
        && is_digit(code.1)
        && is_digit(code.2)
        && matches!(octets.next(), None | Some(b' ' | b'-'))
}

/// What our own words mean: their code, or else the phase, tells it.
fn own(reply: &str, phase: Option<Phase>) -> Plain {
    match (enhanced(reply), phase) {
        (Some(code), _) if let Some(known) = words::of_own_code(code, phase) => known,
        (_, Some(Phase::Queue)) => words::NOT_TRIED,
        (_, Some(Phase::Route)) => words::NO_WAY,
        (_, Some(Phase::Connect)) => words::NO_CONNECTION,
        (_, Some(Phase::StartTls)) => words::TLS_FAILED,
        (_, Some(Phase::Auth)) => words::LOGIN_FAILED,
        _ => words::UNKNOWN,
    }
}

/// The enhanced code in front of our own words.
fn enhanced(reply: &str) -> Option<Enhanced> {
    let mut numbers = reply.split(' ').next()?.split('.');
    let code = Enhanced(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    numbers.next().is_none().then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        event::AttemptDetail,
        ids::{MessageId, RecipientKey},
    };

    fn event(kind: EventKind, detail: AttemptDetail) -> Event {
        Event {
            at: Timestamp::from_millis(1),
            key: RecipientKey { message: MessageId::from_u64(1), index: 0 },
            kind,
            attempt: 1,
            next_try: None,
            wait: None,
            operator: None,
            detail: Some(Box::new(detail)),
        }
    }

    fn english(kind: EventKind, phase: Phase, reply: &str) -> &'static str {
        let detail = AttemptDetail { phase: Some(phase), reply: reply.into(), ..AttemptDetail::default() };
        plain(&event(kind, detail)).map_or("", |plain| plain.says.0)
    }

    #[test]
    fn answers_and_our_own_words_are_told_in_plain_words() {
        for (phase, reply, want) in [
            (Phase::Rcpt, "550 5.1.1 <x@y>: no such user", "The address does not exist."),
            (Phase::Rcpt, "552 5.2.2 mailbox full", "The mailbox is full."),
            (Phase::Rcpt, "450 4.7.1 Greylisted, try again", "asks us to come back"),
            (Phase::Content, "554 5.7.1 blocked using zen.spamhaus.org", "block list"),
            (Phase::Content, "550-5.7.26 This mail is unauthenticated", "Gmail"),
            (Phase::Content, "550 5.7.26 This mail is unauthenticated, which poses a security risk", "Gmail"),
            (Phase::Greeting, "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", "Yahoo"),
            (Phase::Mail, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]", "Microsoft"),
            (Phase::Mail, "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited", "Microsoft"),
            (Phase::Connect, "4.4.1 connect to mx[192.0.2.1]:25: Connection refused", "No connection"),
            (
                Phase::Greeting,
                "4.4.2 mx[192.0.2.1]:25 was silent for 5m before its greeting",
                "broke off or went silent",
            ),
            (Phase::Route, "5.1.2 the domain x.example does not exist", "The domain does not exist"),
            (Phase::Route, "5.1.10 the domain x.example takes no mail (null MX)", "takes no mail"),
            (Phase::Route, "4.4.3 looking up the MX of x.example: SERVFAIL", "DNS"),
            (Phase::StartTls, "4.7.4 TLS is required, and mx does not offer it", "TLS"),
            (Phase::Mail, "5.3.4 mx takes 10 octets at most; the message has 77", "larger than"),
            (Phase::Queue, "not tried, the destination is in trouble; its last answer: 421 4.3.2 busy", "busy"),
            (
                Phase::Rcpt,
                "4.4.7 not delivered within 4 days; last answer: 452 4.2.2 mailbox full",
                "The mailbox is full.",
            ),
            (Phase::Rcpt, "550 xyzzy plugh", "unlike any"),
        ] {
            let got = english(EventKind::Failed, phase, reply);
            assert!(got.contains(want), "{reply}: {got}");
        }
        let detail = |error| AttemptDetail { error: Some(error), ..AttemptDetail::default() };
        assert_eq!(plain(&event(EventKind::Failed, detail(ErrorClass::Blocked))), Some(words::SUPPRESSED_HERE));
        assert_eq!(plain(&event(EventKind::Failed, detail(ErrorClass::Unsubscribed))), Some(words::UNSUBSCRIBED));
        let lost = AttemptDetail {
            phase: Some(Phase::Content),
            reply: "4.4.2 no answer of mx to the content: it may have been delivered".into(),
            possible_duplicate: true,
            ..AttemptDetail::default()
        };
        assert_eq!(plain(&event(EventKind::Deferred, lost)), Some(words::LOST_AFTER_DOT));
    }

    #[test]
    fn what_the_sandbox_kept_was_taken_by_nobody_else() {
        let by = |host: &str| {
            plain(&event(EventKind::Succeeded, AttemptDetail { host: host.into(), ..AttemptDetail::default() }))
        };
        assert_eq!((by(SANDBOX_HOST), by("mx.example")), (Some(words::KEPT_HERE), Some(words::TAKEN)));
    }

    #[test]
    fn a_returned_mail_needs_no_code_in_front() {
        let got = english(EventKind::Bounced, Phase::Content, "smtp; 550 5.1.1 unknown user");
        assert_eq!(got, "The address does not exist.");
    }

    #[test]
    fn every_word_stands_in_both_languages_and_ends_as_a_sentence() {
        for plain in words::ALL.iter().chain(receivers::all()) {
            for (english, japanese) in [Some(plain.says), plain.next].into_iter().flatten() {
                assert!(english.ends_with('.') && english.is_ascii(), "{english}");
                assert!(japanese.ends_with('。') && !japanese.is_ascii(), "{japanese}");
            }
        }
    }
}
