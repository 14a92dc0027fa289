//! Decides what an answer means for the recipient: CMC's class, hard or soft, and whose trouble it is.
//!
//! In: the phase, reply code, enhanced code and text of an answer, in a session or out of a bounce mail.  Out: [`Judged`].
//!
//! What is looked at, first what servers misuse least:
//! 1. words that cannot be mistaken (`data/certain.rules`): `550 5.1.1 … blocked using …` is a block, not an unknown user;
//! 2. a clear enhanced code (`data/enhanced.codes`);
//! 3. words that say something (`data/likely.rules`);
//! 4. a vague enhanced code, as 5.7.1;
//! 5. what the bare code means in that phase; its words are then unknown, and the operator should see them.
//!
//! Always: the same answer gives the same judgement; an answer that says "for now" is never hard; before MAIL the peer speaks
//! about us, and at MAIL about the sender, so neither is ever the recipient's trouble.
//! Sources: RFC 3463 and IANA's registry of enhanced status codes; RFC 5321 §4.2; cmc.md §5.1; algorithms F6.

mod codes;
mod needles;
mod prepare;
mod reason;
mod rules;
#[cfg(test)]
mod tests;

use self::{
    codes::Weight,
    prepare::Prepared,
    reason::Reason,
    rules::{Hits, Rule},
};
use crate::{
    event::{ErrorClass, Phase, Trouble},
    smtp::reply::Enhanced,
};

/// An answer, as a peer or a bounce mail gave it.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// How far the try got; of a bounce mail: [`Phase::Rcpt`] or [`Phase::Content`] where it is known, else `None`, and the
    /// words of the common reports ("in reply to end of DATA") tell it.
    pub phase: Option<Phase>,
    /// The reply code; `None`: the first one in the text counts.
    pub code: Option<u16>,
    /// The enhanced code; a clearer one in the text wins.
    pub enhanced: Option<Enhanced>,
    /// The text, lines joined by a blank or as they are, with or without the codes in front.
    pub text: &'a str,
}

/// What an answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judged {
    /// CMC's class.
    pub class: ErrorClass,
    /// The address or its domain will never take mail.
    pub hard: bool,
    /// Whose trouble it is.
    pub trouble: Trouble,
    /// The reason in one word, e.g. `userunknown`, `mailboxfull`, `spamdetected`.
    pub reason: &'static str,
    /// The rule or the enhanced code decided; false: nothing knew the answer, and the operator should see it.
    pub known: bool,
}

impl Judged {
    /// The same failure at another address than the one written to: the recipient forwards there (class 6).
    ///
    /// It never counts against the recipient, who may have got the mail.
    pub fn at_another_address(self) -> Self {
        Judged { class: ErrorClass::ForwardingError, hard: false, trouble: Trouble::Destination, ..self }
    }
}

/// What decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecidedBy {
    /// The rule of that name.
    Rule(&'static str),
    /// The enhanced code.
    Enhanced(Enhanced),
    /// The reply code and the phase.
    Code,
    /// Nothing.
    Nothing,
}

/// Compiles all rules ahead, on whatever thread calls: else the first answers of a run wait for it, about 40 ms in all.
pub fn warm_up() {
    rules::compile();
}

/// What the answer means.
pub fn judge(said: &Said<'_>) -> Judged {
    judge_and_tell(said).0
}

/// What the answer means, and what decided that.
pub fn judge_and_tell(said: &Said<'_>) -> (Judged, DecidedBy) {
    let answer = prepare::prepare(said);
    let (reason, by) = decide(&answer, rules::hits(&answer.text));
    let reason = of_whom(reason, answer.phase);
    let meaning = reason.meaning();
    let known = match by {
        DecidedBy::Rule(_) | DecidedBy::Enhanced(_) => true,
        // A bare code with nothing behind it leaves nothing to learn.
        DecidedBy::Code => !answer.has_words || reason == Reason::Closing,
        DecidedBy::Nothing => false,
    };
    let judged = Judged {
        class: meaning.class,
        hard: meaning.hard && !for_now(&answer) && !before_mail(answer.phase),
        trouble: if before_mail(answer.phase) && meaning.trouble == Trouble::Recipient {
            Trouble::Destination
        } else {
            meaning.trouble
        },
        reason: meaning.word,
        known,
    };
    (judged, by)
}

fn decide(answer: &Prepared, hits: Hits) -> (Reason, DecidedBy) {
    let by_rule = |rule: &Rule| {
        // 5.1.1 beside the words takes the doubt away.
        let masks = rule.masks && answer.phase == Some(Phase::Content) && !says_unknown_user(answer.enhanced);
        (if masks { Reason::MaybeUnknown } else { rule.reason }, DecidedBy::Rule(rule.id))
    };
    let code = answer.enhanced.and_then(|e| codes::reason(e).map(|(reason, weight)| (e, reason, weight)));
    match (hits.certain, code, hits.likely) {
        // RFC 7504 §3: this pair says that the host takes no mail at all, whatever words stand beside it.
        _ if answer.code == Some(521) && answer.enhanced == Some(Enhanced(5, 3, 2)) => {
            by_code(answer.code, answer.phase)
        }
        // Words of an inactive mailbox beside the code of one that does not exist: it does not exist for us (550 alone is soft).
        (Some(rule), Some((enhanced @ Enhanced(5, 1, 1), reason, _)), _) if rule.reason == Reason::Suspend => {
            (reason, DecidedBy::Enhanced(enhanced))
        }
        (Some(rule), _, _) => by_rule(rule),
        (None, Some((enhanced, reason, Weight::Clear)), _) => (reason, DecidedBy::Enhanced(enhanced)),
        (None, _, Some(rule)) => by_rule(rule),
        (None, Some(_), None) if answer.code == Some(421) => by_code(answer.code, answer.phase),
        (None, Some((enhanced, reason, Weight::Vague)), None) => (reason, DecidedBy::Enhanced(enhanced)),
        (None, None, None) => by_code(answer.code, answer.phase),
    }
}

fn says_unknown_user(enhanced: Option<Enhanced>) -> bool {
    enhanced.is_some_and(|e| codes::reason(e).is_some_and(|(reason, _)| reason == Reason::UserUnknown))
}

/// What the bare code means in that phase.
fn by_code(code: Option<u16>, phase: Option<Phase>) -> (Reason, DecidedBy) {
    let reason = match (code, phase) {
        (Some(421), _) => Reason::Closing,
        (Some(400..=499), _) if before_mail(phase) => Reason::Closing,
        (Some(521 | 556), _) => Reason::NotAccept,
        (Some(534 | 535), _) => Reason::AuthDemanded,
        (Some(500..=599), _) if before_mail(phase) => Reason::Blocked,
        (Some(550..=554), Some(Phase::Mail)) => Reason::Rejected,
        (Some(550 | 551), Some(Phase::Rcpt)) => Reason::MaybeUnknown,
        (Some(553), Some(Phase::Rcpt)) => Reason::BadAddress,
        (Some(552), Some(Phase::Rcpt)) => Reason::MailboxFull,
        (Some(552), Some(Phase::Data | Phase::Content)) => Reason::MesgTooBig,
        (Some(452), _) => Reason::SystemFull,
        (Some(530), _) => Reason::AuthDemanded,
        (Some(500..=504 | 555), _) => Reason::SyntaxError,
        _ => return (Reason::Undefined, DecidedBy::Nothing),
    };
    (reason, DecidedBy::Code)
}

/// Before MAIL the peer speaks about us; at MAIL about the sender's address.
fn of_whom(reason: Reason, phase: Option<Phase>) -> Reason {
    let about_recipient = reason.meaning().trouble == Trouble::Recipient;
    match phase {
        Some(Phase::Auth) if about_recipient => Reason::AuthDemanded,
        Some(Phase::Greeting | Phase::Ehlo | Phase::StartTls) if about_recipient && reason != Reason::NotAccept => {
            Reason::Blocked
        }
        Some(Phase::Greeting | Phase::Ehlo) if reason == Reason::SecurityError => Reason::Blocked,
        Some(Phase::Mail) if reason.meaning().hard && reason != Reason::NotAccept => Reason::Rejected,
        Some(Phase::Mail) if matches!(reason, Reason::MaybeUnknown | Reason::Suspend) => Reason::Rejected,
        _ => reason,
    }
}

fn before_mail(phase: Option<Phase>) -> bool {
    matches!(phase, Some(Phase::Greeting | Phase::Ehlo | Phase::StartTls | Phase::Auth))
}

/// The answer itself says that a later try may do: a 4yz, or a status of class 4.
fn for_now(answer: &Prepared) -> bool {
    answer.code.is_some_and(|c| c < 500) || answer.enhanced.is_some_and(|e| e.0 == 4 && answer.code.is_none())
}
