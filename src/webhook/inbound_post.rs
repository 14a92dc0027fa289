//! What the answer to a post means for the mail.
//!
//! In: a status, or why there is none.  Out: a verdict on the mail, in the terms of every delivery.
//! Always: 2xx is delivered, 410 is refused for good, and everything else is for now, since a program that is being replaced
//! answers 404 and loses nothing by it; what the program says goes to our own log alone: the sender of the mail, a stranger, may
//! get what the queue holds.
//! Sources: RFC 9110 §15.

use crate::{
    deliver::job::{SiteFeedback, Verdict},
    event::{ErrorClass, Phase, Trouble},
    net::{https::HttpError, kept::Answer},
};

/// Octets of what a program says that stand in our log.
const WORDS_MAX: usize = 200;

/// What a try means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Judgement {
    /// For the mail.
    pub verdict: Verdict,
    /// For the webhook.
    pub feedback: SiteFeedback,
    /// How far it got.
    pub phase: Phase,
    /// For the delivery log, without a word of the program's.
    pub reply: String,
    /// Of what class the error is.
    pub error: Option<ErrorClass>,
    /// Whose trouble it is.
    pub trouble: Option<Trouble>,
    /// The program may have taken the mail although its answer was lost.
    pub may_have_taken: bool,
}

/// Statuses that are about one mail, while the webhook itself is well.
const ABOUT_THE_MAIL: [u16; 5] = [400, 409, 413, 415, 422];

/// Judges the end of a post.
pub(super) fn judge(ended: &Result<Answer, HttpError>) -> Judgement {
    let later = |site| Verdict::Deferred { site, damaged: false };
    let (verdict, feedback, phase, reply, may_have_taken) = match ended {
        Ok(answer) if (200..300).contains(&answer.status) => (
            Verdict::Delivered { peer_does_dsn: false, peer_does_by: false },
            SiteFeedback::Healthy,
            Phase::Content,
            format!("HTTP {}", answer.status),
            false,
        ),
        Ok(answer) => {
            let status = answer.status;
            let reply = match status {
                410 => "HTTP 410: the program refuses this mail for good".to_owned(),
                300..400 => format!("HTTP {status}: redirects are not followed"),
                413 => format!("HTTP {status}: the program takes no post of this size"),
                _ => format!("HTTP {status}"),
            };
            let verdict = if status == 410 { Verdict::Failed } else { later(!ABOUT_THE_MAIL.contains(&status)) };
            let well = status == 410 || ABOUT_THE_MAIL.contains(&status);
            let feedback = if well { SiteFeedback::Healthy } else { SiteFeedback::Trouble };
            (verdict, feedback, Phase::Content, reply, false)
        }
        Err(error) => {
            let (phase, reply, may_have_taken) = match error {
                HttpError::Request(_) => (Phase::Route, "the request could not be made", false),
                HttpError::Connect(_) => (Phase::Connect, "no connection to the program", false),
                HttpError::Tls { .. } => (Phase::StartTls, "no TLS with the program", false),
                HttpError::Timeout(_) => (Phase::Content, "no answer from the program in time", true),
                HttpError::TooLarge(_) | HttpError::WrongType { .. } | HttpError::Protocol(_) => {
                    (Phase::Content, "no answer from the program that can be read", true)
                }
            };
            (later(true), SiteFeedback::Trouble, phase, reply.to_owned(), may_have_taken)
        }
    };
    let (error, trouble) = match &verdict {
        Verdict::Delivered { .. } => (None, None),
        Verdict::Deferred { .. } => (Some(ErrorClass::ResendTimeout), Some(Trouble::Destination)),
        Verdict::Failed => (Some(ErrorClass::Rejected), Some(Trouble::Policy)),
    };
    Judgement { verdict, feedback, phase, reply, error, trouble, may_have_taken }
}

/// What our own log says of it; empty: nothing more than the judgement.
pub(super) fn words(ended: &Result<Answer, HttpError>) -> String {
    let text = match ended {
        Ok(answer) => answer.words.clone(),
        Err(error) => error.to_string(),
    };
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text[..text.floor_char_boundary(WORDS_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn answers_mean_delivered_refused_or_later() {
        let answer = |status| Ok(Answer { status, retry_after: None, words: "secret\u{1b}[2J words".into() });
        let (healthy, trouble) = (SiteFeedback::Healthy, SiteFeedback::Trouble);
        let delivered = Verdict::Delivered { peer_does_dsn: false, peer_does_by: false };
        let later = |site| Verdict::Deferred { site, damaged: false };
        for (status, verdict, feedback) in [
            (200, delivered.clone(), healthy),
            (204, delivered, healthy),
            (301, later(true), trouble),
            (400, later(false), healthy),
            (401, later(true), trouble),
            (404, later(true), trouble),
            (408, later(true), trouble),
            (410, Verdict::Failed, healthy),
            (413, later(false), healthy),
            (429, later(true), trouble),
            (500, later(true), trouble),
            (503, later(true), trouble),
        ] {
            let judged = judge(&answer(status));
            assert_eq!((judged.verdict, judged.feedback), (verdict, feedback), "{status}");
            assert!(
                !judged.reply.contains("secret")
                    && judged.reply.contains(&status.to_string())
                    && !judged.may_have_taken
            );
        }
        for (error, may_have_taken) in [
            (HttpError::Connect("10.1.2.3".into()), false),
            (HttpError::Timeout(Duration::from_secs(1)), true),
            (HttpError::Protocol("10.1.2.3".into()), true),
        ] {
            let judged = judge(&Err(error));
            assert_eq!((judged.verdict, judged.feedback), (later(true), trouble));
            assert!(!judged.reply.contains("10.") && judged.may_have_taken == may_have_taken);
        }
        assert_eq!(words(&answer(500)), "secret [2J words");
    }
}
