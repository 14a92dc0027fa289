//! By which local addresses an attempt leaves, and what its replies ask of the site.
//!
//! In: a job's path, as it was offered; the replies that response rules matched.  Out: the addresses to use, what a warming
//! one may take of its day; a [`Push`].
//! Always: a path that is no longer configured never fails the mail: another one takes its place; what a warming address
//! may send is counted before it goes, and given back where nothing went.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    attempt::{Settings, Shared},
    job::{Job, Outcome, Path, Push, PushKind, RecipientResult, SiteFeedback, Verdict},
    report::Failure,
    sources::{self, Sources},
    verdict::Kind,
};
use crate::{config::ResponseAction, event::Phase, ids::UserKey};

/// How an attempt leaves.
pub(super) struct Leave {
    pub sources: Sources,
    taken: Option<Taken>,
}

/// What was counted for a warming way.
struct Taken {
    addresses: Vec<IpAddr>,
    provider: Arc<str>,
    recipients: u64,
    day: u32,
}

impl Shared {
    /// The job's path, or another one if the configuration does not know it any more.
    pub(super) fn leave(&self, settings: &Settings, job: &Job) -> Leave {
        Leave { sources: self.path(settings, job).into(), taken: None }
    }

    fn path(&self, settings: &Settings, job: &Job) -> Path {
        if settings.sources.knows(job.path) {
            return job.path;
        }
        let offers = settings.sources.offers(settings.rules.of_lane(&job.lane));
        let own = || sources::for_user(offers, UserKey::of(&job.loaded.message.user));
        let now = self.now();
        let here = own().find(|offer| self.presence.has_all(offer.path, now));
        here.or_else(|| own().next()).map_or_else(Path::default, |offer| offer.path)
    }

    /// The same while addresses are being warmed up: over its cap another way is taken. `Err`: there is none today.
    pub(super) async fn leave_warming(&self, settings: &Settings, job: &Job) -> Result<Leave, Box<Outcome>> {
        let today = self.clock.now().day();
        let wanted = self.path(settings, job);
        let warming = |path: Path| -> Vec<(IpAddr, u64)> {
            sources::addresses(path).filter_map(|a| Some((a, settings.cap_today(a, today)?))).collect()
        };
        if warming(wanted).is_empty() {
            return Ok(Leave { sources: wanted.into(), taken: None });
        }
        let Some(site) = self.unless_cut(self.site(settings, &job.lane)).await else {
            // The trial sees the cut itself.
            return Ok(Leave { sources: wanted.into(), taken: None });
        };
        let n = job.recipients.len() as u64;
        let offers = &site.located.paths;
        let capped = |path: Path| offers.iter().any(|offer| offer.path == path && offer.cap.is_some());
        let take = |path: Path| -> Option<Leave> {
            let addresses = warming(path);
            let mut taken: Vec<IpAddr> = Vec::with_capacity(addresses.len());
            for (address, cap) in addresses {
                let cap = capped(path).then_some(cap);
                if !self.warm_ups.take(address, &site.provider, n, cap, today) {
                    taken.iter().for_each(|a| self.warm_ups.give_back(*a, &site.provider, n, today));
                    return None;
                }
                taken.push(address);
            }
            let provider = site.provider.clone();
            let taken = (!taken.is_empty()).then_some(Taken { addresses: taken, provider, recipients: n, day: today });
            Some(Leave { sources: path.into(), taken })
        };
        if let Some(leave) = take(wanted) {
            return Ok(leave);
        }
        let user = UserKey::of(&job.loaded.message.user);
        let mut others: Vec<_> = sources::for_user(offers, user).filter(|offer| offer.path != wanted).collect();
        others.sort_by_key(|offer| offer.cap.is_some());
        if let Some(leave) = others.into_iter().find_map(|offer| take(offer.path)) {
            return Ok(leave);
        }
        let list: Vec<String> = warming(wanted).iter().map(|(address, cap)| format!("{address} ({cap})")).collect();
        let words = format!(
            "what may go to {} today by the address that is warming up is used up: {}",
            site.provider,
            list.join(", ")
        );
        Err(Box::new(deferred(job, &words)))
    }

    /// Gives back what was counted and did not go.
    pub(super) fn left(&self, leave: Leave, results: &[RecipientResult]) {
        let Some(taken) = leave.taken else { return };
        for address in &taken.addresses {
            let went = |r: &&RecipientResult| {
                r.detail.sender_ip == Some(*address) && r.detail.phase.is_some_and(|phase| phase >= Phase::Mail)
            };
            let went = results.iter().filter(went).count() as u64;
            self.warm_ups.give_back(*address, &taken.provider, taken.recipients.saturating_sub(went), taken.day);
        }
    }

    /// What the response rules that were met ask of the site, the strongest of it.
    pub(super) async fn push(&self, settings: &Settings, job: &Job, met: &[usize]) -> Option<Push> {
        let mut counts: Vec<(usize, u32)> = Vec::new();
        for at in met {
            match counts.iter_mut().find(|(rule, _)| rule == at) {
                Some((_, n)) => *n += 1,
                None => counts.push((*at, 1)),
            }
        }
        let now = self.now();
        let mut strongest: Option<Push> = None;
        let strength = |push: &Push| (push.what == PushKind::Pause, push.duration);
        for (at, n) in counts {
            let rule = settings.responses.rule(at);
            if rule.count > n {
                let site = self.unless_cut(self.site(settings, &job.lane)).await?;
                if !self.hits.reached(&site.located.site, rule, n, now) {
                    continue;
                }
            }
            let what = match rule.action {
                ResponseAction::Pause => PushKind::Pause,
                ResponseAction::Slow => PushKind::Slow,
                ResponseAction::Fail => continue,
            };
            let push = Push { rule: rule.name.clone(), what, duration: rule.duration };
            if strongest.as_ref().is_none_or(|other| strength(&push) > strength(other)) {
                strongest = Some(push);
            }
        }
        if let Some(push) = &strongest {
            let act = match push.what {
                PushKind::Pause => "pause",
                PushKind::Slow => "slow",
            };
            let (destination, seconds) = (job.lane.destination(), push.duration.as_secs());
            log::warn!("destination={destination} rule=\"{}\" act={act} for_s={seconds}", push.rule);
            self.metrics.pushes.one();
        }
        strongest
    }
}

/// Nobody was asked: the mail waits.
fn deferred(job: &Job, words: &str) -> Outcome {
    let failure = Failure::own_trouble(Phase::Queue, Kind::Ours, words);
    let result = |recipient: &crate::store::Recipient| {
        let mut detail = failure.detail(job.lane.destination(), Duration::ZERO);
        detail.possible_duplicate = recipient.possible_duplicate;
        let verdict = Verdict::Deferred { site: true, damaged: false };
        RecipientResult { index: recipient.key.index, verdict, detail: Box::new(detail), conversation: None }
    };
    Outcome {
        results: job.recipients.iter().map(result).collect(),
        feedback: SiteFeedback::Unknown,
        interrupted: false,
        push: None,
    }
}
