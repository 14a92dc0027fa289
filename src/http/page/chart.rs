//! The last hour as a small picture: what became of recipients each minute, and how many were accepted.
//!
//! In: sixty minutes of counts.  Out: an SVG whose colours come from the stylesheet; the words stand around it in HTML, so
//! that it stretches without distorting them.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

use super::words::{Lang, number};
use crate::{http::when::Zone, store::MinuteCounts};

/// Units of the picture: one minute is ten wide.
const MINUTE_WIDTH: usize = 10;
const HEIGHT: u64 = 150;

/// The chart of these minutes, the oldest first.
pub(super) fn chart(lang: Lang, minutes: &[MinuteCounts], zone: &Zone) -> Markup {
    let most = minutes.iter().map(|m| m.queued.max(m.succeeded + m.deferred + m.failed)).max().unwrap_or(0);
    let top = round_up(most);
    let label = lang.say("Recipients each minute of the last hour", "直近1時間の毎分の件数");
    let ticks = [0, minutes.len() / 4, minutes.len() / 2, minutes.len() * 3 / 4];
    html! {
        div class="chart" {
            div class="y" aria-hidden="true" { span { (number(top)) } span { (number(top / 2)) } span { "0" } }
            (picture(lang, minutes, top, label, zone))
            div class="x" aria-hidden="true" {
                @for at in ticks {
                    @if let Some(minute) = minutes.get(at) { span { (zone.hour_minute(minute.minute)) } }
                }
                span { (lang.say("now", "現在")) }
            }
        }
    }
}

fn picture(lang: Lang, minutes: &[MinuteCounts], top: u64, label: &str, zone: &Zone) -> Markup {
    let mut svg = String::with_capacity(8 * 1024);
    let width = minutes.len() * MINUTE_WIDTH;
    for at in [0, HEIGHT / 2, HEIGHT] {
        let _ = write!(svg, r#"<path class="grid" d="M0 {at}H{width}"/>"#);
    }
    for (class, value, below) in [
        (
            "delivered",
            (|m: &MinuteCounts| m.succeeded) as fn(&MinuteCounts) -> u64,
            (|_: &MinuteCounts| 0) as fn(&MinuteCounts) -> u64,
        ),
        ("deferred", |m| m.deferred, |m| m.succeeded),
        ("failed", |m| m.failed, |m| m.succeeded + m.deferred),
    ] {
        // One path a kind: a few hundred octets instead of sixty elements.
        let mut path = String::new();
        for (i, minute) in minutes.iter().enumerate().filter(|(_, m)| value(m) > 0) {
            let (from, to) = (y(below(minute), top), y(below(minute) + value(minute), top));
            let x = i * MINUTE_WIDTH + 1;
            let _ = write!(path, "M{x} {from:.1}V{to:.1}h8V{from:.1}z");
        }
        if !path.is_empty() {
            let _ = write!(svg, r#"<path class="{class}" d="{path}"/>"#);
        }
    }
    if minutes.iter().any(|m| m.queued > 0) {
        let mut line = String::new();
        for (i, minute) in minutes.iter().enumerate() {
            let x = i * MINUTE_WIDTH;
            let _ = write!(line, "{}{x} {:.1}h{MINUTE_WIDTH}", if i == 0 { 'M' } else { 'L' }, y(minute.queued, top));
        }
        let _ = write!(svg, r#"<path class="accepted" d="{line}"/>"#);
    }
    for (i, m) in minutes.iter().enumerate().filter(|(_, m)| m.queued + m.succeeded + m.deferred + m.failed > 0) {
        let _ = write!(
            svg,
            r#"<rect class="minute" x="{}" width="{MINUTE_WIDTH}" height="{HEIGHT}"><title>{}  {} {} · {} {} · {} {} · {} {}</title></rect>"#,
            i * MINUTE_WIDTH,
            zone.hour_minute(m.minute),
            lang.say("accepted", "受付"),
            m.queued,
            lang.say("delivered", "配信"),
            m.succeeded,
            lang.say("deferred", "再送待ち"),
            m.deferred,
            lang.say("failed", "失敗"),
            m.failed,
        );
    }
    html! {
        svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            (PreEscaped(svg))
        }
    }
}

fn y(value: u64, top: u64) -> f64 {
    HEIGHT as f64 * (1.0 - value.min(top) as f64 / top as f64)
}

/// The next of 4, 10, 20, 40, 100, 200 …: numbers whose half is whole.
fn round_up(most: u64) -> u64 {
    let mut step: u64 = 1;
    loop {
        for candidate in [4, 10, 20].map(|n| step.saturating_mul(n)) {
            if candidate >= most {
                return candidate;
            }
        }
        step = step.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_always_holds_the_largest_value() {
        for (most, top) in
            [(0, 4), (4, 4), (5, 10), (11, 20), (21, 40), (41, 100), (1_001, 2_000), (u64::MAX, u64::MAX)]
        {
            assert_eq!(round_up(most), top, "{most}");
        }
    }
}
