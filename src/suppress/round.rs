//! What is done to all addresses, page by page: the daily run of the thresholds, and the housekeeping.
//!
//! In: the settings, the time.  Out: addresses on the list; rows that are over, forgotten.
//! Always: bounded steps, between which acts and the log have their turn; a round that a stop cut off is made anew, which
//! changes nothing twice; the settings decide who comes onto the list, never who comes off it (R7).

use super::{
    Suppressions,
    draft::Draft,
    incidents::{Places, domain_of},
    learn::{end_watch, put_on_list},
    list::readable,
    row::{read_history, split_key},
};
use crate::{
    clock::Timestamp,
    config::{Config, Suppression},
    runtime::{Shutdown, Stage},
    store::{MemoKind, StoreError},
    when::Zone,
};

/// Rows of one step.
const STEP: usize = 300;

impl Suppressions {
    /// When the thresholds were last applied to all addresses; `None`: never. With `run = "immediately"` that is when the
    /// settings last changed. Short.
    ///
    /// # Errors
    /// The store's.
    pub async fn last_run(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut known = self.0.known.lock().await;
        let mind = self.mind(&mut known).await?;
        let at = mind.stored.run_at;
        *known = Some(mind);
        Ok((at > 0).then(|| Timestamp::from_millis(at)))
    }

    /// Applies the thresholds to all addresses, where the time of the daily run has come or the settings changed.
    pub(super) async fn run_if_due(&self, shutdown: &Shutdown) -> Result<(), StoreError> {
        let (config, now) = (self.0.config.get(), self.0.clock.now());
        let settings = named(&config.suppression);
        {
            let mut known = self.0.known.lock().await;
            let mind = self.mind(&mut known).await?;
            let is_due = match config.suppression.run_at_minute {
                Some(minute) => {
                    mind.stored.run_at < Zone::named(&config.server.time_zone).last_daily(minute, now).as_millis()
                }
                None => mind.stored.settings != settings,
            };
            *known = Some(mind);
            if !is_due {
                return Ok(());
            }
        }
        let suppressed = self.apply_to_all(shutdown).await?;
        if shutdown.stage() != Stage::Running {
            return Ok(());
        }
        log::info!("suppression act=run suppressed={suppressed}");
        let mut known = self.0.known.lock().await;
        let mut mind = self.mind(&mut known).await?;
        mind.stored.run_at = now.as_millis();
        mind.stored.settings = settings;
        let mut draft = Draft::new(&self.0.memory);
        mind.sign(&mut draft, false, now);
        self.0.memory.put(draft.changes(), None).await?;
        *known = Some(mind);
        Ok(())
    }

    async fn apply_to_all(&self, shutdown: &Shutdown) -> Result<u64, StoreError> {
        let (mut after, mut suppressed) = (None::<String>, 0);
        while shutdown.stage() == Stage::Running {
            let mut known = self.0.known.lock().await;
            let mind = self.mind(&mut known).await?;
            let (this, from, config, now) = (self.clone(), after.clone(), self.0.config.get(), self.0.clock.now());
            let step = move || -> Result<_, StoreError> {
                let rows = this.0.memory.memos(MemoKind::AddressErrors, "", from.as_deref(), STEP)?;
                let (mut draft, mut put) = (Draft::new(&this.0.memory), 0);
                for (key, value) in &rows {
                    let Some(history) = read_history(value) else { continue };
                    let domain = domain_of(split_key(key).0).to_owned();
                    let complaints_only = mind.holds(&Places { domain, provider: history.provider }).is_some();
                    let settings = &config.suppression;
                    put += u64::from(put_on_list(&mut draft, key, settings, "", now, complaints_only)?);
                }
                Ok((mind, draft, put, rows.last().map(|(key, _)| key.clone())))
            };
            let (mind, draft, put, last) = smol::unblock(step).await?;
            if draft.len() > 0 {
                self.0.memory.put(draft.changes(), None).await?;
            }
            *known = Some(mind);
            suppressed += put;
            self.0.metrics.suppressed.add(put);
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        Ok(suppressed)
    }

    /// Once a day (UTC): stays whose watch is over end, errors outside the window and ended stays past the audit period go.
    pub(super) async fn keep_house(&self, shutdown: &Shutdown) -> Result<(), StoreError> {
        let today = self.0.clock.now().day();
        {
            let mut known = self.0.known.lock().await;
            let mind = self.mind(&mut known).await?;
            let is_kept = mind.stored.day == today;
            *known = Some(mind);
            if is_kept {
                return Ok(());
            }
        }
        for kind in [MemoKind::Suppressions, MemoKind::AddressErrors] {
            let mut after = None;
            while shutdown.stage() == Stage::Running {
                match self.house_step(kind, after.clone()).await? {
                    Some(last) => after = Some(last),
                    None => break,
                }
            }
        }
        if shutdown.stage() != Stage::Running {
            return Ok(());
        }
        let mut known = self.0.known.lock().await;
        let mut mind = self.mind(&mut known).await?;
        mind.stored.day = today;
        let mut draft = Draft::new(&self.0.memory);
        mind.sign(&mut draft, false, self.0.clock.now());
        self.0.memory.put(draft.changes(), None).await?;
        *known = Some(mind);
        Ok(())
    }

    /// The rows behind `after`; answers the last one's key.
    async fn house_step(&self, kind: MemoKind, after: Option<String>) -> Result<Option<String>, StoreError> {
        let _turn = self.0.known.lock().await;
        let (this, config, now) = (self.clone(), self.0.config.get(), self.0.clock.now());
        let step = move || -> Result<(Draft, Option<String>), StoreError> {
            let rows = this.0.memory.memos(kind, "", after.as_deref(), STEP)?;
            let mut draft = Draft::new(&this.0.memory);
            for (key, value) in &rows {
                if kind == MemoKind::Suppressions {
                    keep_row(&mut draft, key, value, &config, now)?;
                } else {
                    keep_errors(&mut draft, key, value, &config, now);
                }
            }
            Ok((draft, rows.last().map(|(key, _)| key.clone())))
        };
        let (draft, last) = smol::unblock(step).await?;
        if draft.len() > 0 {
            self.0.memory.put(draft.changes(), None).await?;
        }
        Ok(last)
    }
}

fn keep_row(draft: &mut Draft, key: &str, value: &[u8], config: &Config, now: Timestamp) -> Result<(), StoreError> {
    let Some(row) = readable(key, value) else { return Ok(()) };
    if row.now.as_ref().is_some_and(|entry| !entry.is_on(now)) {
        let mut history = draft.history(key)?;
        end_watch(draft, key, &mut history, now)?;
    }
    let mut row = draft.row(key)?;
    let floor = now.minus(config.retention.audit_log);
    let stays = row.past.len();
    row.past.retain(|entry| entry.lifted.as_ref().is_none_or(|lifted| lifted.at >= floor));
    if row.past.len() < stays {
        draft.put_row(key, &row);
    }
    Ok(())
}

fn keep_errors(draft: &mut Draft, key: &str, value: &[u8], config: &Config, now: Timestamp) {
    let Some(mut history) = read_history(value) else { return };
    let before = (history.errors.len(), history.lifted);
    history.prune(now.minus(config.suppression.thresholds.window));
    if (history.errors.len(), history.lifted) != before {
        draft.put_history(key, &history);
    }
}

/// The settings by which addresses come onto the list, told apart.
fn named(settings: &Suppression) -> String {
    format!("{:?} {:?}", settings.run_at_minute, settings.thresholds)
}
