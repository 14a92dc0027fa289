//! A diagnosis as programs read it, and the command line: data and its words side by side.
//!
//! Always: as in `rows`, a name is a contract with other people's programs; words are in the language that was asked for.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::when::Zone;
use crate::{
    clock::Timestamp,
    diagnose::{
        Cause, Diagnosis, Question,
        tally::Group,
        words::{Words, causes},
    },
    doctor::{domain_name, words::Language},
    event::ErrorClass,
};

/// Groups of answers of a diagnosis.
const ANSWERS_MAX: usize = 20;
/// Characters of a destination that is asked for.
const DESTINATION_CHARS_MAX: usize = 253;
/// The longest period that is asked for: what the log keeps, and some.
const HOURS_MAX: u64 = 24 * 400;

/// What is wrong with a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// The domain is none.
    Domain,
    /// The destination is none.
    Destination,
    /// The period ends before it begins, or is too long.
    Period,
}

/// A question out of texts. `user`: of this user's mail alone.
///
/// # Errors
/// What is wrong.
pub fn question_of(
    domain: &str,
    destination: &str,
    (from, to): (Timestamp, Timestamp),
    user: &str,
) -> Result<Question, Wrong> {
    let domain = domain_name(domain).ok_or(Wrong::Domain)?;
    let destination = destination.trim().trim_end_matches('.').to_lowercase();
    let is_place = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '/');
    if destination.chars().count() > DESTINATION_CHARS_MAX || !destination.chars().all(is_place) {
        return Err(Wrong::Destination);
    }
    if from >= to || to.since(from).as_secs() > HOURS_MAX * 3600 {
        return Err(Wrong::Period);
    }
    let destination = (!destination.is_empty()).then_some(destination);
    Ok(Question { domain, destination, from, to, user: user.to_owned() })
}

/// A diagnosis.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DiagnosisOut {
    /// The domain, with all below it.
    pub domain: String,
    /// The destination or provider; empty: all.
    pub destination: String,
    /// From (RFC 3339).
    pub from: String,
    /// To, exclusive.
    pub to: String,
    /// The log was read back to here; `null`: to the begin of the period.
    pub looked_back_to: Option<String>,
    /// What happened, in sentences.
    pub summary: Vec<String>,
    /// Recipients delivered.
    pub delivered: u64,
    /// Tries deferred.
    pub deferred: u64,
    /// Recipients failed.
    pub failed: u64,
    /// Bounces that came back later.
    pub bounced: u64,
    /// Complaints.
    pub complained: u64,
    /// Recipients on our own lists.
    pub listed: u64,
    /// Tries that were put off without being made, since the destination was in trouble.
    pub held_back: u64,
    /// The share of refusals among all tries, 0 to 1.
    pub refused_rate: f64,
    /// Causes, the likeliest first; empty: nothing stands out.
    pub causes: Vec<CauseOut>,
    /// What was answered, most often first.
    pub answers: Vec<AnswerOut>,
}

/// A likely cause.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct CauseOut {
    /// A stable word: `dkim`, `rule_loosened`, …
    pub cause: String,
    /// The same for people.
    pub title: String,
    /// `likely`, `possible` or `hint`.
    pub certainty: String,
    /// The same for people.
    pub certainty_says: String,
    /// 0 to 100.
    pub score: u32,
    /// What speaks for it.
    pub figures: Vec<FigureOut>,
    /// What to do, the first thing first.
    pub next: Vec<String>,
}

/// A figure: its sentence, and the data.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct FigureOut {
    /// In a sentence.
    pub says: String,
    /// The data.
    #[serde(flatten)]
    pub data: Value,
}

/// Answers that say the same.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AnswerOut {
    /// The answer, without what differs from mail to mail.
    pub reply: String,
    /// What it is about: a stable word.
    pub topic: String,
    /// The same for people.
    #[serde(default)]
    pub topic_says: String,
    /// CMC's class.
    pub class: String,
    /// How often.
    pub events: u64,
    /// Of them for good.
    pub failed: u64,
    /// Different recipients.
    pub recipients: u64,
    /// The destination that said it most often.
    pub destination: String,
    /// When first and last.
    pub first: String,
    /// See `first`.
    pub last: String,
    /// One as it came.
    pub example: String,
    /// Whom that one was about.
    pub example_recipient: String,
}

impl AnswerOut {
    fn of(group: &Group, words: &Words<'_>) -> Self {
        AnswerOut {
            topic_says: words.topic(group.topic).to_owned(),
            reply: group.text.clone(),
            topic: group.topic.word().to_owned(),
            class: group.class.map(ErrorClass::word).unwrap_or_default().to_owned(),
            events: group.events,
            failed: group.failed,
            recipients: group.recipients(),
            destination: group.destinations.top().first().map(|(name, _)| (*name).clone()).unwrap_or_default(),
            first: group.first.rfc3339_seconds(),
            last: group.last.rfc3339_seconds(),
            example: group.example.clone(),
            example_recipient: group.example_recipient.clone(),
        }
    }
}

impl CauseOut {
    fn of(cause: &Cause, domain: &str, words: &Words<'_>) -> Self {
        let certainty = cause.certainty();
        let data = |figure| serde_json::to_value(figure).unwrap_or_default();
        CauseOut {
            cause: cause.id.word().to_owned(),
            title: causes::title(cause.id, words.language).to_owned(),
            certainty: serde_json::to_value(certainty)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default(),
            certainty_says: words.certainty(certainty).to_owned(),
            score: cause.score,
            figures: cause.figures.iter().map(|f| FigureOut { says: words.figure(f), data: data(f) }).collect(),
            next: causes::next(cause.id, words.language).into_iter().map(|s| s.replace("NAME", domain)).collect(),
        }
    }
}

impl DiagnosisOut {
    /// In this language, with times of this zone.
    pub fn of(diagnosis: &Diagnosis, language: Language, zone: &Zone) -> Self {
        let words = Words { language, zone };
        let (g, t) = (&diagnosis.gathered, &diagnosis.gathered.tally);
        let mut groups: Vec<&Group> = t.groups.iter().collect();
        groups.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.text.cmp(&b.text)));
        DiagnosisOut {
            domain: g.question.domain.clone(),
            destination: g.question.destination.clone().unwrap_or_default(),
            from: g.question.from.rfc3339_seconds(),
            to: g.question.to.rfc3339_seconds(),
            looked_back_to: g.looked_back_to.map(Timestamp::rfc3339_seconds),
            summary: words.summary(diagnosis),
            delivered: t.delivered,
            deferred: t.deferred,
            failed: t.failed,
            bounced: t.bounced,
            complained: t.complained,
            listed: t.listed,
            held_back: t.held_back,
            refused_rate: t.refused_rate(),
            causes: diagnosis.causes.iter().map(|cause| CauseOut::of(cause, &g.question.domain, &words)).collect(),
            answers: groups.into_iter().take(ANSWERS_MAX).map(|group| AnswerOut::of(group, &words)).collect(),
        }
    }
}
