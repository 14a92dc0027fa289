//! Starts the DMARC monitor: what keeps reports, whose addresses they name, and whether they come.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use crate::{
    authres::results::{self, Marked},
    clock::Clock,
    config::InForce,
    deliver::streams,
    dmarc::{
        board::Board,
        keep::{Became, Keeper, Kind, Origin, Taken, Weighed},
        label::Labels,
        monitor::{Monitor, Turns},
        row::{self, Mark},
        views::Delivered,
        watch::{Alarms, DeliveredBy, Watch},
    },
    lookup::Lookup,
    metrics::Metrics,
    runtime::{Runtime, Shutdown},
    store::{Store, StoreError},
    tls_report::{
        Memory,
        json::Report,
        receive::{self, By, Receiver},
    },
};

/// What it needs of the daemon.
pub(super) struct Parts {
    pub(super) runtime: Runtime,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shutdown: Shutdown,
    pub(super) config: InForce,
    pub(super) dns: Arc<dyn Lookup>,
    pub(super) tls_reports: Receiver<Store>,
}

/// The monitor, with its tasks running.
pub(super) fn start(parts: Parts) -> Monitor {
    let Parts { runtime, store, clock, metrics, shutdown, config, dns, tls_reports } = parts;
    let delivered = delivered_by(&store, &clock);
    let labels = Labels::new(clock.clone(), config.clone());
    labels.start(dns.clone(), &runtime, &shutdown);
    let take_tls = Arc::new(move |json: Vec<u8>, origin: &Origin| take_tls(&tls_reports, json, origin));
    let keeper = Keeper::new(store, clock, config, metrics, take_tls);
    let alarms = Alarms::default();
    let watch =
        Watch { keeper: keeper.clone(), dns: dns.clone(), delivered: delivered.clone(), alarms: alarms.clone() };
    watch.start(&runtime, &shutdown);
    Monitor { keeper, labels, alarms, delivered, turns: Turns::default(), board: Board::default(), dns }
}

/// What the streams of our own mail count as delivered. Blocking.
fn delivered_by(store: &Store, clock: &Clock) -> DeliveredBy {
    let (store, clock, counted_since) = (store.clone(), clock.clone(), OnceLock::new());
    Arc::new(move |domain, from, to| {
        let oldest = clock.now().day().saturating_sub(streams::KEPT_DAYS - 1);
        // Before the first day that was ever counted, nothing is known: none delivered is not what that means.
        let since = match counted_since.get() {
            Some(since) => *since,
            None => match streams::days(&store, "", oldest, u32::MAX)?.iter().map(|row| row.day).min() {
                Some(since) => *counted_since.get_or_init(|| since),
                None => return Ok(Delivered::unknown()),
            },
        };
        let mut by_day: BTreeMap<u32, u64> = BTreeMap::new();
        for row in streams::days(&store, domain, from, to)? {
            let sum = by_day.entry(row.day).or_default();
            *sum = sum.saturating_add(row.counts.delivered);
        }
        Ok(Delivered { known_from: since.max(oldest), by_day })
    })
}

/// A TLS report that came to the address of DMARC reports, or in a file: as much worth as the mail that brought it. Blocking.
fn take_tls<M: Memory>(receiver: &Receiver<M>, json: Vec<u8>, origin: &Origin) -> Result<Taken, StoreError> {
    let by = match origin.by {
        row::By::Mail => By::Mail,
        row::By::File | row::By::Api => By::File,
    };
    let weigh = origin.weigh.clone();
    let mark = move |report: &Report| marked(weigh(&report.organization_name, &report.contact_info));
    let (became, id, why) = match async_io::block_on(receiver.receive_marked(json.into(), by, mark)) {
        Ok(receive::Taken::New(key)) => (Became::New, key, String::new()),
        Ok(receive::Taken::Known(key)) => (Became::Known, key, String::new()),
        Err(receive::Refused::Store(error)) => return Err(error),
        Err(error) => (Became::Refused, String::new(), error.to_string()),
    };
    let nothing = Taken::nothing();
    Ok(Taken { kind: Kind::Tls, became, report_id: id, why, mark: Mark::Unknown, ..nothing })
}

/// What a mail is worth, in the words of the room of TLS reports; `None`: it is no mail.
fn marked(weighed: Weighed) -> Option<Marked> {
    let mark = match weighed.mark {
        Mark::Forged => results::Mark::Forged,
        Mark::Unverified => results::Mark::Unverified,
        Mark::Unknown => results::Mark::Unknown,
        Mark::Verified => results::Mark::Verified,
        Mark::Imported => return None,
    };
    Some(Marked { mark, from: weighed.from, why: weighed.why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, tls_report::fake::RamMemos};

    #[test]
    fn a_strangers_tls_report_at_the_address_of_dmarc_reports_keeps_the_true_one_out_for_nobody() {
        // 2026-11-24T13:35:10Z.
        let clock = Clock::manual(Timestamp::from_millis(1_795_527_310_000));
        let receiver = Receiver::new(RamMemos::default(), clock, Arc::default());
        let json = br#"{"organization-name":"Reporter Inc.","contact-info":"tls@reporter.example","report-id":"r",
            "date-range":{"start-datetime":"2026-11-23T00:00:00Z"}}"#;
        let take = |origin: &Origin| {
            let became = take_tls(&receiver, json.to_vec(), origin).expect("the store works").became;
            let kept = receiver.list("", None, 10).expect("the store works").reports;
            assert_eq!(kept.len(), 1);
            (became, kept[0].1.by, kept[0].1.mark.as_ref().map(|marked| marked.mark))
        };
        let mail =
            |mark, from: &str| Origin::of(row::By::Mail, Weighed { mark, from: from.to_owned(), why: String::new() });
        let forged = Some(results::Mark::Forged);
        let verified = Some(results::Mark::Verified);
        assert_eq!(take(&mail(Mark::Forged, "evil.example")), (Became::New, By::Mail, forged));
        assert_eq!(take(&mail(Mark::Unknown, "")), (Became::Known, By::Mail, forged), "worth no more");
        assert_eq!(take(&mail(Mark::Verified, "reporter.example")), (Became::New, By::Mail, verified));
        assert_eq!(take(&mail(Mark::Forged, "evil.example")), (Became::Known, By::Mail, verified));
        assert_eq!(take(&Origin::brought(row::By::Api)), (Became::Known, By::Mail, verified), "as good as that");
    }

    #[test]
    fn an_imported_tls_report_stands_as_a_file() {
        let clock = Clock::manual(Timestamp::from_millis(1_795_527_310_000));
        let receiver = Receiver::new(RamMemos::default(), clock, Arc::default());
        let json =
            br#"{"organization-name":"X","report-id":"r","date-range":{"start-datetime":"2026-11-23T00:00:00Z"}}"#;
        let taken = take_tls(&receiver, json.to_vec(), &Origin::brought(row::By::File)).expect("the store works");
        assert_eq!(taken.became, Became::New);
        let kept = &receiver.list("", None, 10).expect("the store works").reports[0].1;
        assert_eq!((kept.by, &kept.mark), (By::File, &None));
    }
}
