//! Between the deliverer's words for places and the core's.
//!
//! In: [`Located`], [`Push`](job::Push).  Out: the core's [`Place`], [`Push`](place::Push); and back: [`Path`].
//! Always: a question that breaks off still has an answer, so that its lane does not rest for ever.

use std::sync::Arc;

use super::{
    attempt::Context,
    core::Locate,
    place::{self, Offer, Place, PushKind, Rate, Way},
};
use crate::{
    deliver::job::{self, Located, Path, PathOffer},
    store::Lane,
};

/// Asks for one lane's place and reports it; `None`: the question broke off.
pub(super) async fn locate<S>(
    context: Arc<Context<S>>,
    asked: Locate,
    report: impl FnOnce(Locate, Option<Place>) + Send,
) {
    let lane = Lane(asked.lane.clone());
    let mut fence = Fence(Some((report, asked)));
    let place = place_of(context.deliver.locate(&lane).await);
    if let Some((report, asked)) = fence.0.take() {
        report(asked, Some(place));
    }
}

/// Reports even when the question panics.
struct Fence<F: FnOnce(Locate, Option<Place>)>(Option<(F, Locate)>);

impl<F: FnOnce(Locate, Option<Place>)> Drop for Fence<F> {
    fn drop(&mut self) {
        if let Some((report, asked)) = self.0.take() {
            report(asked, None);
        }
    }
}

fn place_of(located: Located) -> Place {
    let Located { site, name, paths, pace, valid_for } = located;
    let offer =
        |PathOffer { path, weight, users, cap }| Offer { way: Way { v4: path.v4, v6: path.v6 }, weight, users, cap };
    let rate = |job::Pace { rule, connections_max, interval, fixed }| Rate { rule, connections_max, interval, fixed };
    Place { site, name, offers: paths.into_iter().map(offer).collect(), rate: pace.map(rate), valid_for }
}

/// The deliverer's word for a way.
pub(super) fn path_of(way: Way) -> Path {
    Path { v4: way.v4, v6: way.v6 }
}

/// The core's word for a push.
pub(super) fn push_of(push: job::Push) -> place::Push {
    let what = match push.what {
        job::PushKind::Pause => PushKind::Pause,
        job::PushKind::Slow => PushKind::Slow,
    };
    place::Push { rule: push.rule, what, duration: push.duration }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_names_its_destination_as_the_store_does() {
        for lane in [Lane::new("example.org", None), Lane::new("example.org", Some("rule"))] {
            assert_eq!(super::super::core::destination(&lane.0), lane.destination());
        }
    }
}
