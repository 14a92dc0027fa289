//! Divides a job's recipients by where they go.
//!
//! In: a job, the addresses to leave by.  Out: groups; one, unless rules differ among its recipients or the configuration
//! changed since they were queued.
//! Always: every recipient is in exactly one group; DNS is asked only where a rule could send mail elsewhere by its MX hosts.

use std::sync::Arc;

use super::{
    attempt::{Settings, Shared},
    hosts::Way,
    job::Job,
    site,
    sources::Sources,
};
use crate::config::Mode;

/// Recipients that go the same way from the same address. One group, unless rules differ among them or the configuration
/// changed since they were queued.
pub(super) struct Group {
    pub way: Way,
    pub sources: Sources,
    pub destination: Arc<str>,
    /// Places in the job's list.
    pub recipients: Vec<usize>,
}

/// Where no rule sends mail elsewhere, the smarthost or the domain says it all.
pub(super) fn groups(settings: &Settings, job: &Job, sources: Sources) -> Vec<Group> {
    let group = |way: Way, recipients| Group { destination: way.destination(), way, sources, recipients };
    if let (Mode::Smarthost, Some(host)) = (settings.delivery.mode, &settings.delivery.smarthost) {
        return vec![group(Way::Smarthost(host.clone()), (0..job.recipients.len()).collect())];
    }
    let mut groups: Vec<Group> = Vec::with_capacity(1);
    for (at, recipient) in job.recipients.iter().enumerate() {
        let domain = recipient.address.domain();
        let same = |group: &&mut Group| {
            if domain.is_ascii() {
                group.destination.eq_ignore_ascii_case(domain)
            } else {
                *group.destination == *domain.to_lowercase()
            }
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.recipients.push(at),
            None => groups.push(group(Way::Domain(recipient.address.domain_key()), vec![at])),
        }
    }
    groups
}

impl Shared {
    /// Each recipient goes as the first rule that matches it, or its MX hosts, says.
    pub(super) async fn groups_by_rule(&self, settings: &Settings, job: &Job, sources: Sources) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::with_capacity(1);
        let mut known: Vec<(String, Option<usize>, usize)> = Vec::new();
        for (at, recipient) in job.recipients.iter().enumerate() {
            let (domain, rule) = (recipient.address.domain_key(), settings.rules.of_address(&recipient.address));
            if let Some((.., group)) = known.iter().find(|(d, r, _)| *d == domain && *r == rule) {
                groups[*group].recipients.push(at);
                continue;
            }
            let way = match site::way_without_dns(settings, &domain, rule) {
                Some(way) => way,
                None => match self.unless_cut(site::route(settings, &self.resolver, &domain, rule)).await {
                    Some(routed) => routed.way,
                    // The trial sees the cut itself.
                    None => Way::Domain(domain.clone()),
                },
            };
            let found = groups.iter().position(|group| group.way == way).unwrap_or_else(|| {
                groups.push(Group { destination: way.destination(), way, sources, recipients: Vec::new() });
                groups.len() - 1
            });
            groups[found].recipients.push(at);
            known.push((domain, rule, found));
        }
        groups
    }
}
