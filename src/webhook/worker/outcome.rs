//! What an answer does to an endpoint: it is written down, the endpoint waits longer or is well again, what is too old is set aside.
//!
//! Always: every event is tried for `retry_for` at least, counted from its own time and from the first failure; what is set aside
//! is told in the journal and kept as a range, so that it can be posted again.

use super::{Worker, log_end};
use crate::{
    clock::Timestamp,
    store::StoreError,
    webhook::{
        history::Tried,
        page::Post,
        place::{Parked, number_at},
        retry,
        sender::Sent,
    },
};

impl Worker {
    pub(super) fn note(&mut self, post: &Post, at: Timestamp, sent: &Sent) {
        self.tried.push(Tried {
            number: self.mark.tried,
            at: at.as_millis(),
            id: post.id.clone(),
            event_type: Tried::word(post.feed),
            events: post.events as u64,
            first: post.first,
            last: post.last,
            status: sent.status,
            took: u64::try_from(sent.took.as_millis()).unwrap_or(u64::MAX),
            error: sent.error.clone().unwrap_or_default(),
        });
        self.mark.tried += 1;
        self.moved = true;
        self.shared.metrics.webhook_posts.one();
        log::debug!("webhook={:?} id={} events={} status={}", self.name, post.id, post.events, sent.status);
    }

    pub(super) fn succeeded(&mut self, post: &Post) {
        self.mark.posts += 1;
        self.mark.events += post.events as u64;
        self.shared.metrics.webhook_events.add(post.events as u64);
        if self.mark.tries > 0 {
            log::info!("webhook={:?} what=\"it takes posts again\" after_tries={}", self.name, self.mark.tries);
            self.mark.tries = 0;
            self.mark.failing_since = None;
            self.mark.error.clear();
        }
        let now = self.shared.clock.now();
        self.publish(|view| view.posted_at = Some(now));
    }

    pub(super) async fn failed(&mut self, post: &Post, sent: Sent) -> Result<(), StoreError> {
        let now = self.shared.clock.now();
        let mark = &mut self.mark;
        mark.tries = mark.tries.saturating_add(1);
        mark.failing_since.get_or_insert(now.as_millis());
        mark.error = sent.error.unwrap_or_default();
        mark.gone = sent.gone;
        let pause = retry::pause(mark.tries, sent.wait, random());
        mark.next_try = now.plus(pause).as_millis();
        let words = format!(
            "webhook={:?} id={} events={} try={} status={} error={:?} next_try_s={}",
            self.name,
            post.id,
            post.events,
            mark.tries,
            sent.status,
            mark.error,
            pause.as_secs()
        );
        match (mark.gone, mark.tries) {
            (true, _) => {
                log::error!("{words} what=\"it is gone (410): nothing is posted until hikyaku webhook resume\"")
            }
            (false, 1) => log::warn!("{words}"),
            (false, _) => log::info!("{words}"),
        }
        self.shared.metrics.webhook_failures.one();
        self.ahead = None;
        self.publish(|view| view.failures += 1);
        self.give_up_old(now).await?;
        self.save().await
    }

    /// Sets aside what has been tried for `retry_for`, and is as old.
    pub(super) async fn give_up_old(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let limit = self.settings.hook.retry_for;
        let Some(since) = self.mark.failing_since.map(Timestamp::from_millis) else { return Ok(()) };
        if since.plus(limit) > now {
            return Ok(());
        }
        // What is posted again is old: its own time is that of the failing.
        for range in std::mem::take(&mut self.mark.again) {
            let to = range.to.unwrap_or(range.after);
            let parked = Parked {
                list: range.list,
                after: range.after,
                to,
                at: now.as_millis(),
                error: self.mark.error.clone(),
            };
            self.say_parked(&parked);
            self.mark.keep(parked);
            self.moved = true;
        }
        let old = number_at(now.minus(limit));
        for list in [false, true] {
            let place = if list { &self.mark.list } else { &self.mark.log };
            let to = if list { self.shared.outbox.end() } else { log_end(&self.shared.store).await? }.min(old);
            let to = place.whole_posts(to);
            if let Some(parked) = self.mark.park(list, to, now) {
                self.say_parked(&parked);
                self.moved = true;
            }
        }
        Ok(())
    }

    fn say_parked(&self, parked: &Parked) {
        log::error!(
            "webhook={:?} what=\"set aside: tried for as long as retry_for says; hikyaku webhook replay --parked posts it again\" \
             after={} through={} error={:?}",
            self.name,
            parked.after,
            parked.to,
            parked.error
        );
    }
}

/// From 0 to 1: for jitter, where a weak number is as good.
fn random() -> f64 {
    let mut octets = [0; 4];
    match aws_lc_rs::rand::fill(&mut octets) {
        Ok(()) => f64::from(u32::from_le_bytes(octets)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
