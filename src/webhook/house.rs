//! What is done now and then: endpoints that left the config are forgotten, changes of the list that all have passed go.
//!
//! Always: an endpoint keeps its place for three days after it left, so that a slip in the config loses nothing.

use std::{sync::Arc, time::Duration};

use smol::{Timer, future::FutureExt};

use super::{Shared, endpoint::KEPT, history, marks, outbox, payload::Wants, place::Mark};
use crate::{
    clock::Timestamp,
    runtime::Stage,
    store::{MemoChange, MemoKind, StoreError},
};

/// How often.
const EVERY: Duration = Duration::from_secs(600);

/// Keeps house until the shutdown drains.
pub(super) async fn run(shared: Arc<Shared>) {
    while shared.shutdown.stage() == Stage::Running {
        match round(&shared).await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => log::warn!("webhook what=\"old rows stay for now\" error=\"{error}\""),
        }
        let pause = async {
            Timer::after(EVERY).await;
        };
        pause.or(shared.shutdown.drained()).await;
    }
}

pub(super) async fn round(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let now = shared.clock.now();
    let store = shared.store.clone();
    let all = smol::unblock(move || marks(&store)).await?;
    let config = shared.config.get();
    let mut passed = u64::MAX;
    for (name, mark) in all {
        match config.webhooks.iter().find(|hook| hook.name == name) {
            Some(hook) if Wants::of(hook).outbox() => passed = passed.min(list_place(&mark)),
            Some(_) => {}
            None if shared.running().contains_key(&name) => passed = passed.min(list_place(&mark)),
            None => {
                if left(shared, name, &mark, now).await? {
                    passed = passed.min(list_place(&mark));
                }
            }
        }
    }
    outbox::prune(&shared.store, passed, now).await
}

/// The oldest change that an endpoint may still ask for.
fn list_place(mark: &Mark) -> u64 {
    let again = mark.again.iter().filter(|place| place.list).map(|place| place.after);
    again.fold(mark.list.after, u64::min)
}

/// One that is not in the config; true: its place is still kept.
async fn left(shared: &Shared, name: String, mark: &Mark, now: Timestamp) -> Result<bool, StoreError> {
    let key = name.clone();
    let write = |value| vec![MemoChange { kind: MemoKind::Webhooks, key, value }];
    match mark.removed_at.map(Timestamp::from_millis) {
        None => {
            let left = Mark { removed_at: Some(now.as_millis()), ..mark.clone() };
            shared.store.put_memos(write(Some(left.write()))).await?;
            Ok(true)
        }
        Some(at) if at.plus(KEPT) > now => Ok(true),
        Some(_) => {
            log::info!("webhook={name:?} act=forget what=\"it left the config three days ago\"");
            history::forget(&shared.store, &name).await?;
            shared.store.put_memos(write(None)).await?;
            Ok(false)
        }
    }
}
