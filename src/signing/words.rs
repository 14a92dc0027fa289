//! What is to be said of a key: to the operator, in the journal, in the operation log.
//!
//! In: a [`Life`] and what surrounds it.  Out: what comes next, what the operator has to do, what is wrong.
//! Always: pure; nothing here knows a private key.

pub mod japanese;

use std::time::Duration;

use super::life::{Life, Origin, RECORD_STAYS, Stage, What};
use crate::{clock::Timestamp, dkim::public::RSA_BITS_GOOD, when::human};

/// What surrounds a key.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// The present.
    pub now: Timestamp,
    /// `[dkim] key_age_max`.
    pub age_max: Option<Duration>,
    /// How long mail may wait at most.
    pub lifetime_max: Duration,
    /// The config has a `[[domain]]` of that name.
    pub domain_is_listed: bool,
    /// The config names this key.
    pub is_in_config: bool,
    /// Somebody has been asked.
    pub looked: bool,
}

/// What is to be said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Words {
    /// What happens next, by itself.
    pub next: String,
    /// What the operator has to do; empty: nothing.
    pub todo: String,
    /// What is wrong; empty: nothing.
    pub alarms: Vec<String>,
}

/// What is to be said of a key.
pub fn say(life: &Life, around: &Around) -> Words {
    let now = around.now;
    let mut words = Words::default();
    match life.stage {
        Stage::Pending => {
            words.next = match life.silent_since {
                Some(since) => format!(
                    "every server that answers has the record; the silent ones are left out after a day (since {})",
                    human(now.since(since))
                ),
                None if around.looked => "signs once every server has the record".into(),
                None => "the servers are asked for the record".into(),
            };
            if life.silent_since.is_none() {
                words.todo = format!("publish the TXT record at {}", life.record_name());
            }
        }
        Stage::Published => {
            let left = life.hold().saturating_sub(now.since(life.since));
            words.next =
                format!("signs in {}: until then, somebody may remember that the record was not there", human(left));
        }
        Stage::Idle => {
            words.next = "does not sign: a key of dkim-rotate signs instead".into();
            words.todo = "remove its lines from the config, or give the other key up with --abort".into();
        }
        Stage::Active => {
            words.next = match life.origin {
                Origin::Managed if !around.domain_is_listed => {
                    "signs again when the domain is back in the config".into()
                }
                Origin::Managed | Origin::Configured => "signs until another key takes its place".into(),
            };
            if life.origin == Origin::Managed && !around.domain_is_listed {
                words.alarms.push(format!("does not sign: the config has no [[domain]] of the name {}", life.domain));
            }
        }
        Stage::Retiring => {
            let stays = life.record_stays();
            words.next = match life.drained {
                Some(drained) => format!("retires in {}", human(stays.saturating_sub(now.since(drained)))),
                None => format!(
                    "mail that it may have signed still waits; retires {} after the last of it has left, {} from now at the latest \
                     if none is held",
                    human(stays),
                    human((around.lifetime_max + stays).saturating_sub(now.since(life.since)))
                ),
            };
            words.todo = "leave its record in the DNS".into();
            if around.is_in_config {
                words.todo.push_str("; its lines in the config may be removed");
            }
        }
        Stage::Retired => {
            match life.gone {
                Some(_) => words.next = "nothing: its record is gone".into(),
                None => {
                    words.next = "the record is looked for once a day".into();
                    words.todo = format!(
                        "set the TXT record at {} to \"v=DKIM1; p=\" (revoked), or remove it",
                        life.record_name()
                    );
                }
            }
            if around.is_in_config {
                let more = if words.todo.is_empty() { "" } else { "; " };
                words.todo.push_str(&format!("{more}remove its lines from the config"));
            }
        }
    }
    alarms(life, around, &mut words);
    words
}

fn alarms(life: &Life, around: &Around, words: &mut Words) {
    if let Some(since) = life.denied_since {
        words.alarms.push(format!("its record has been missing or wrong for {}", human(around.now.since(since))));
        words.todo = format!("publish the TXT record at {} again", life.record_name());
    }
    let Some(age) = life.age(around.now) else { return };
    if life.public.is_weak() {
        words.alarms.push(format!("has {} bits: receivers ask for {RSA_BITS_GOOD}", life.public.bits()));
    }
    if let Some(max) = around.age_max.filter(|max| age > *max) {
        words.alarms.push(format!("has signed for {}, more than [dkim] key_age_max ({})", human(age), human(max)));
    }
    let replaces = !words.alarms.is_empty() && words.todo.is_empty() && around.domain_is_listed;
    if replaces {
        let algorithm = life.algorithm().key_type();
        words.todo = format!("hikyaku domain dkim-rotate {} --algorithm {algorithm}", life.domain);
    }
}

/// The word of an event, in the operation log: `dkim.` and this.
pub fn act(what: &What) -> &'static str {
    match what {
        What::Made => "made",
        What::Hurried => "hurried",
        What::Appeared(_) => "appeared",
        What::Published => "published",
        What::Unpublished(_) => "unpublished",
        What::Activated => "active",
        What::Retiring => "retiring",
        What::Drained => "drained",
        What::Retired => "retired",
        What::Gone => "gone",
        What::Denied(_) => "record-missing",
        What::Confirmed => "record-back",
        What::Aborted => "aborted",
        What::Left => "left",
    }
}

/// An event in a sentence.
pub fn sentence(what: &What) -> String {
    let said = |what: &str, servers: &[String]| match servers {
        [] => what.to_owned(),
        servers => format!("{what}: {}", servers.join("; ")),
    };
    match what {
        What::Made => "made; its record is to be published".into(),
        What::Hurried => "signs as soon as its record is everywhere, whatever caches remember, as was asked".into(),
        What::Appeared(true) => "new in the config, and signs".into(),
        What::Appeared(false) => "new in the config; a key of dkim-rotate signs instead".into(),
        What::Published => "its record is everywhere; it signs when nobody can remember otherwise".into(),
        What::Unpublished(servers) => said("its record is not everywhere any more", servers),
        What::Activated => "signs from now on".into(),
        What::Retiring => "signs no longer; its record has to stay".into(),
        What::Drained => {
            format!(
                "the last mail that it may have signed has left; its record stays for {} and its TTL",
                human(RECORD_STAYS)
            )
        }
        What::Retired => "nobody needs it any more: its record may go".into(),
        What::Gone => "its record is gone, as it should".into(),
        What::Denied(servers) => said("its record is missing or wrong, and it is needed", servers),
        What::Confirmed => "its record is there again".into(),
        What::Aborted => "given up before it signed; its record may go".into(),
        What::Left => "is not in the config any more; it never signed".into(),
    }
}

/// Somebody should look at this.
pub fn is_alarm(what: &What) -> bool {
    matches!(what, What::Unpublished(_) | What::Denied(_))
}
