//! What people see of the scheduler: lanes, sites, and the facts about one destination.
//!
//! In: the state.  Out: copies of it, and sentences.
//! Always: short; nothing here changes anything.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    super::{
        lane::Lane,
        limits::PROBE_WAIT_MAX,
        pace::Pace,
        place::Way,
        site::{Site, SiteRef},
        trouble::{NAMED_MAX, Seen, SiteTrouble},
    },
    Core,
};
use crate::{
    clock::Timestamp,
    event::{AttemptDetail, Class},
    fact::Fact,
    language::Language,
};

/// Lanes that a site's view names.
const LANES_NAMED_MAX: usize = 20;

/// A lane as people see it.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// Its name.
    pub lane: Arc<str>,
    /// Its site, for people; `None`: not located yet.
    pub site: Option<Arc<str>>,
    /// Attempts that run.
    pub in_flight: usize,
    /// Tickets in RAM.
    pub queued: usize,
    /// There is more on disk that is due.
    pub more: bool,
    /// Troubles of its site since the last success.
    pub troubles: u32,
    /// The next probe, while the site is in trouble.
    pub probe_at: Option<Timestamp>,
    /// What the last attempt that found trouble met.
    pub trouble: Option<Arc<AttemptDetail>>,
    /// The operator paused it until then; [`Timestamp::MAX`]: until it is lifted.
    pub paused: Option<Timestamp>,
}

/// A way as people see it.
#[derive(Clone, Debug)]
pub struct PathView {
    /// The way.
    pub way: Way,
    /// Its share against the others.
    pub weight: u32,
    /// Connections that it bears now.
    pub window: usize,
    /// Attempts that run.
    pub running: usize,
    /// Recipients that may still go by it until the next answer.
    pub cap: Option<u64>,
    /// Troubles since the last success.
    pub troubles: u32,
    /// Dead since then, and probed next at the other.
    pub dead: Option<(Timestamp, Timestamp)>,
    /// What the last bad conversation met.
    pub last: Option<Arc<AttemptDetail>>,
    /// Held down by a response rule until then.
    pub slow_until: Option<Timestamp>,
}

/// A rule's speed as people see it.
#[derive(Clone, Debug)]
pub struct PaceView {
    /// The rule.
    pub rule: Arc<str>,
    /// Connections that all its sites share; `None`: not limited by it.
    pub connections_max: Option<usize>,
    /// Attempts of all its sites that run.
    pub running: usize,
    /// Least time between two starts; zero: none.
    pub interval: Duration,
    /// When the next start may be.
    pub next_at: Timestamp,
    /// The speed stays when the destination pushes back.
    pub fixed: bool,
    /// Sites that wait for it.
    pub waiting: usize,
}

/// A site as people see it.
#[derive(Clone, Debug)]
pub struct SiteView {
    /// The site, for people.
    pub name: Arc<str>,
    /// Its lanes in RAM, at most twenty of them.
    pub lanes: Vec<Arc<str>>,
    /// How many lanes there are.
    pub lanes_count: usize,
    /// N: connections that all its ways together bear now.
    pub window: usize,
    /// Attempts that run.
    pub running: usize,
    /// Tickets in RAM.
    pub queued: usize,
    /// All its ways are dead: since when, and when the next probe is.
    pub trouble: Option<(Timestamp, Timestamp)>,
    /// What the last bad conversation met.
    pub last: Option<Arc<AttemptDetail>>,
    /// Its rule's speed.
    pub pace: Option<PaceView>,
    /// The response rule that pauses it, and until when.
    pub pause: Option<(Arc<str>, Timestamp)>,
    /// Its ways.
    pub paths: Vec<PathView>,
}

impl<P> Core<P> {
    /// The busiest lanes, at most `limit`: sites in trouble first, then by attempts and tickets.
    pub fn views(&self, limit: usize) -> Vec<LaneView> {
        let site = |lane: &Lane<P>| lane.site.and_then(|at| self.sites[at.0 as usize].as_ref());
        let shown = |lane: &&Lane<P>| {
            !lane.is_idle() || lane.paused.is_some() || site(lane).is_some_and(|s| s.offered().any(|p| p.troubles > 0))
        };
        let mut lanes: Vec<&Lane<P>> = self.lanes.iter().flatten().filter(shown).collect();
        let rank = |lane: &&Lane<P>| {
            (site(lane).is_some_and(|s| s.trouble().is_some()), lane.paused.is_some(), lane.in_flight + lane.queued())
        };
        lanes.sort_by_cached_key(|lane| std::cmp::Reverse(rank(lane)));
        let view = |lane: &&Lane<P>| LaneView {
            lane: lane.name.clone(),
            site: site(lane).map(|s| s.name.clone()),
            in_flight: lane.in_flight,
            queued: lane.queued(),
            more: lane.has_more(),
            troubles: site(lane).and_then(|s| s.offered().map(|p| p.troubles).max()).unwrap_or(0),
            probe_at: site(lane).and_then(Site::trouble).map(|(_, probe_at)| probe_at),
            trouble: site(lane).and_then(|s| s.last().cloned()),
            paused: lane.paused,
        };
        lanes.iter().take(limit).map(view).collect()
    }

    /// The busiest sites, at most `limit`: those in trouble first, then by attempts and tickets.
    pub fn site_views(&self, limit: usize, now: Timestamp) -> Vec<SiteView> {
        let mut tickets = vec![0usize; self.sites.len()];
        for lane in self.lanes.iter().flatten() {
            if let Some(SiteRef(at)) = lane.site {
                tickets[at as usize] += lane.queued();
            }
        }
        let mut sites: Vec<(usize, &Site)> =
            self.sites.iter().enumerate().filter_map(|(at, site)| site.as_ref().map(|site| (at, site))).collect();
        sites.sort_by_cached_key(|(at, site)| {
            std::cmp::Reverse((site.trouble().is_some(), site.pause(now).is_some(), site.in_flight() + tickets[*at]))
        });
        sites.truncate(limit);
        let mut names: HashMap<usize, Vec<Arc<str>>> = sites.iter().map(|(at, _)| (*at, Vec::new())).collect();
        for lane in self.lanes.iter().flatten() {
            if let Some(named) = lane.site.and_then(|at| names.get_mut(&(at.0 as usize)))
                && named.len() < LANES_NAMED_MAX
            {
                named.push(lane.name.clone());
            }
        }
        let view = |(at, site): (usize, &Site)| {
            let speed = self.speed(SiteRef(at as u32));
            let path = |path: &super::super::site::Path| PathView {
                way: path.offer.way,
                weight: path.offer.weight,
                window: path.limit(speed, now),
                running: path.busy,
                cap: path.offer.cap,
                troubles: path.troubles,
                dead: path.dead.map(|dead| (dead.since, dead.probe_at)),
                last: path.last.clone(),
                slow_until: path.slow.map(|(_, until)| until).filter(|until| now < *until),
            };
            SiteView {
                name: site.name.clone(),
                lanes: names.remove(&at).unwrap_or_default(),
                lanes_count: site.lanes,
                window: site.window(speed, now),
                running: site.in_flight(),
                queued: tickets[at],
                trouble: site.trouble(),
                last: site.last().cloned(),
                pace: site.pace.and_then(|pace| self.paces.get(pace)).map(pace_view),
                pause: site.pause(now).map(|(rule, until)| (rule.clone(), until)),
                paths: site.offered().map(path).collect(),
            }
        };
        sites.into_iter().map(view).collect()
    }

    /// Sites in trouble that a person should hear of, at most `limit`: those with the most in RAM first, and with them those that
    /// only wait for their next try.
    pub fn troubles(&self, limit: usize, now: Timestamp) -> Vec<SiteTrouble> {
        let mut found: HashMap<usize, SiteTrouble> = HashMap::new();
        for (at, site) in self.sites.iter().enumerate() {
            let Some(site) = site else { continue };
            let seen = Seen {
                name: &site.name,
                destinations: Vec::new(),
                destinations_count: 0,
                dead: site.trouble().map(|(_, probe_at)| probe_at),
                pause: site.pause(now).map(|(rule, until)| (&**rule, until)),
                connections: site.window(self.speed(SiteRef(at as u32)), now),
                queued: 0,
            };
            if let Some(trouble) = site.temper.trouble(seen, now) {
                found.insert(at, trouble);
            }
        }
        for lane in self.lanes.iter().flatten() {
            let Some(trouble) = lane.site.and_then(|at| found.get_mut(&(at.0 as usize))) else { continue };
            trouble.queued += lane.queued();
            let name = super::destination(&lane.name);
            // A destination may have several lanes, one for each rule: they are mostly few.
            if !trouble.destinations.iter().any(|known| known == name) {
                trouble.destinations_count += 1;
                if trouble.destinations.len() < NAMED_MAX {
                    trouble.destinations.push(name.to_owned());
                }
            }
        }
        let mut all: Vec<SiteTrouble> = found.into_values().chain(self.old_spells.troubles(now)).collect();
        all.sort_by(|a, b| {
            b.queued.cmp(&a.queued).then_with(|| a.since.cmp(&b.since)).then_with(|| a.site.cmp(&b.site))
        });
        all.truncate(limit);
        all
    }

    /// What is true now of a lane, in sentences: its site, its rule, connections, ways, troubles and pauses.
    pub fn facts(&self, lane: &str, now: Timestamp) -> Vec<Fact> {
        let mut facts = Vec::new();
        if let Some(time) = self.pauses.get(super::destination(lane)).copied().filter(|time| now < *time) {
            facts.push(if time == Timestamp::MAX {
                Fact::new(
                    "pause",
                    "paused by the operator, until it is lifted",
                    "運用者により一時停止中です。解除されるまで送信しません。",
                )
            } else {
                Fact::new(
                    "pause",
                    format!("paused by the operator, until {time}"),
                    format!("運用者により {time} まで一時停止中です。"),
                )
            });
        }
        let known = self.by_name.get(lane).and_then(|at| self.lanes[at.0 as usize].as_ref());
        let Some(known) = known else {
            facts.push(Fact::new(
                "site",
                "nothing waits for it in RAM now; it is located when mail comes",
                "現在メモリ上で待機中のメールはありません。メールがあるときに配信先を調べます。",
            ));
            return facts;
        };
        let Some((at, site)) = known.site.and_then(|at| self.sites[at.0 as usize].as_ref().map(|site| (at, site)))
        else {
            facts.push(Fact::new("site", "being located", "配信先を調べています。"));
            return facts;
        };
        let speed = self.speed(at);
        let (running, window) = (site.in_flight(), site.window(speed, now));
        let shared = if site.lanes > 1 { format!(", shared by {} destinations", site.lanes) } else { String::new() };
        let shared_ja =
            if site.lanes > 1 { format!("（{} 個の宛先で共有）", site.lanes) } else { String::new() };
        facts.push(Fact::new(
            "site",
            format!("{}{shared}: {running} of {window} connections", site.name),
            format!("{}{shared_ja}：接続数は {running}（上限 {window}）です。", site.name),
        ));
        let classes = Class::ALL.map(|class| format!("{} {}", site.busy[class as usize], class.word())).join(", ");
        let [high, normal, low] = [Class::High, Class::Normal, Class::Low].map(|class| site.busy[class as usize]);
        facts.push(Fact::new(
            "class",
            format!("connections: {classes}"),
            format!("優先度別の接続数：高 {high}、通常 {normal}、低 {low}"),
        ));
        if let Some(pace) = site.pace.and_then(|pace| self.paces.get(pace)) {
            facts.push(Fact::told("rule", |language| pace_says(pace, now, language)));
        }
        if let Some((rule, time)) = site.pause(now) {
            facts.push(Fact::new(
                "pause",
                format!("paused by the response rule {rule:?} until {time}"),
                format!("応答ルール「{rule}」により {time} まで一時停止中です。"),
            ));
        }
        for path in site.offered() {
            facts.push(Fact::told("source", |language| path_says(path, speed, now, language)));
        }
        if let Some((since, probe_at)) = site.trouble() {
            let last = site.last().map_or(String::new(), |last| format!("; its last answer: {}", last.reply));
            let next = if probe_at <= now { "now".to_owned() } else { format!("at {probe_at}") };
            let last_ja = site.last().map_or(String::new(), |last| format!("最後の応答：{}", last.reply));
            let next_ja = if probe_at <= now { "まもなく".to_owned() } else { format!(" {probe_at} に") };
            facts.push(Fact::new(
                "trouble",
                format!("in trouble since {since}, probed next {next}{last}"),
                format!("{since} から障害中です。次の接続確認は{next_ja}行います。{last_ja}"),
            ));
        }
        facts.push(Fact::new(
            "now",
            format!(
                "{} recipients wait in RAM, {} attempts run, {}",
                known.queued(),
                known.in_flight,
                if known.has_more() { "more wait on disk" } else { "no more that are due wait on disk" }
            ),
            format!(
                "メモリ上で待機中の受信者は {} 件、送信中は {} 件です。ディスク上に送信時刻を迎えた受信者は{}。",
                known.queued(),
                known.in_flight,
                if known.has_more() { "ほかにもあります" } else { "ほかにありません" }
            ),
        ));
        facts
    }
}

fn pace_view(pace: &Pace) -> PaceView {
    PaceView {
        rule: pace.rate.rule.clone(),
        connections_max: pace.rate.connections_max,
        running: pace.busy.iter().sum(),
        interval: pace.rate.interval,
        next_at: pace.next_at(),
        fixed: pace.rate.fixed,
        waiting: pace.waiting(),
    }
}

fn pace_says(pace: &Pace, now: Timestamp, language: Language) -> String {
    let PaceView { rule, connections_max: max, running, interval, next_at, fixed, .. } = pace_view(pace);
    let wait = next_at.since(now);
    let shown = wait.min(PROBE_WAIT_MAX);
    match language {
        Language::English => {
            let connections = match max {
                Some(max) => format!("{running} of {max} connections of all its sites"),
                None => format!("{running} connections of all its sites, no limit of its own"),
            };
            let tokens = match (interval.is_zero(), wait) {
                (true, _) => String::new(),
                (false, Duration::ZERO) => format!(", one start each {interval:?}, the next now"),
                (false, _) => format!(", one start each {interval:?}, the next in {shown:?}"),
            };
            let fixed = if fixed { ", fixed" } else { "" };
            format!("{rule:?}: {connections}{tokens}{fixed}")
        }
        Language::Japanese => {
            let connections = match max {
                Some(max) => format!("配信先全体の接続数は {running}（上限 {max}）"),
                None => format!("配信先全体の接続数は {running}（ルールの上限なし）"),
            };
            let tokens = match (interval.is_zero(), wait) {
                (true, _) => String::new(),
                (false, Duration::ZERO) => format!("、送信開始の間隔は {interval:?}（次はすぐ）"),
                (false, _) => format!("、送信開始の間隔は {interval:?}（次は {shown:?} 後）"),
            };
            let fixed = if fixed { "、速度固定" } else { "" };
            format!("配信速度ルール「{rule}」：{connections}{tokens}{fixed}")
        }
    }
}

fn path_says(
    path: &super::super::site::Path,
    speed: super::super::limits::Speed,
    now: Timestamp,
    language: Language,
) -> String {
    let (way, busy, limit) = (path.offer.way, path.busy, path.limit(speed, now));
    let way = match (way.v4, way.v6, language) {
        (None, None, Language::Japanese) => "任意のアドレス".to_owned(),
        (Some(v4), Some(v6), Language::Japanese) => format!("{v4} と {v6} "),
        (_, _, Language::Japanese) => format!("{way} "),
        (_, _, Language::English) => way.to_string(),
    };
    let mut says = language.pick(
        format!("from {way}: {busy} of {limit} connections"),
        format!("{way}から送信：接続数は {busy}（上限 {limit}）"),
    );
    if let Some(cap) = path.offer.cap {
        says += &language
            .pick(format!(", {cap} recipients left until it is asked again"), format!("、次の確認まで残り {cap} 件"));
    }
    if let Some((_, until)) = path.slow.filter(|(_, until)| now < *until) {
        says += &language.pick(
            format!(", slowed by a response rule until {until}"),
            format!("、応答ルールにより {until} まで減速中"),
        );
    }
    match path.dead {
        Some(dead) => {
            let (since, next) = (dead.since, dead.probe_at);
            says += &language.pick(
                format!(", dead since {since}, probed next at {next}"),
                format!("、{since} から使用不可（次の確認は {next}）"),
            );
        }
        None if path.troubles > 0 => {
            let n = path.troubles;
            says += &language
                .pick(format!(", {n} troubles since the last success"), format!("、最後の成功以降の障害は {n} 回"));
        }
        None => {}
    }
    says
}
