//! Charts hold their words, their scale and their table.

use super::*;

fn chart<'a>(buckets: usize, bars: Vec<Series<'a>>, lines: Vec<Series<'a>>) -> Chart<'a> {
    Chart {
        label: "Recipients each minute",
        at: "Time",
        table: "As a table",
        names: (0..buckets).map(|n| format!("bucket {n}")).collect(),
        ticks: (0..buckets).map(|n| n.to_string()).collect(),
        end: "now",
        bars,
        lines,
    }
}

fn series<'a>(name: &'a str, class: &'static str, values: &[u64]) -> Series<'a> {
    Series { name, class, values: values.to_vec() }
}

#[test]
fn the_scale_always_holds_the_largest_value() {
    for (most, top) in [(0, 4), (4, 4), (5, 10), (11, 20), (21, 40), (41, 100), (1_001, 2_000), (u64::MAX, u64::MAX)] {
        assert_eq!(round_up(most), top, "{most}");
    }
}

#[test]
fn each_series_is_one_path_and_stands_on_the_one_below() {
    let bars = vec![series("delivered", "delivered", &[10, 0]), series("failed", "failed", &[10, 5])];
    let html = chart(2, bars, vec![]).draw().into_string();
    assert_eq!(html.matches("<path class=\"bar delivered\"").count(), 1);
    assert_eq!(html.matches("<path class=\"bar failed\"").count(), 1);
    // Twenty is the top: ten delivered reach from the ground to the half, the failed ones from there to the top.
    let path = |class: &str| {
        let from = html.split(&format!("<path class=\"bar {class}\" d=\"")).nth(1).expect("the path");
        from.split('"').next().expect("its end").to_owned()
    };
    assert_eq!(path("delivered"), "M119 300V599H1079V300z");
    assert_eq!(path("failed"), "M119 0V300H1079V0zM1319 450V599H2279V450z");
    assert!(html.contains("class=\"line grid\""), "lines behind it");
    assert!(
        !html.contains("fill=") && !html.contains("stroke=") && !html.contains("style="),
        "colours are the stylesheet's"
    );
}

#[test]
fn one_failure_among_a_million_is_seen() {
    let bars = vec![series("d", "delivered", &[1_000_000, 0]), series("f", "failed", &[0, 1])];
    let html = chart(2, bars, vec![]).draw().into_string();
    let path = html.split("bar failed\" d=\"").nth(1).and_then(|p| p.split('"').next()).expect("the path");
    assert_eq!(path, "M1319 595V599H2279V595z");
}

#[test]
fn every_number_stands_in_the_table_and_empty_buckets_are_left_out() {
    let html = chart(
        3,
        vec![series("delivered", "delivered", &[1_234, 0, 7])],
        vec![series("accepted", "accepted", &[2_000, 0, 9])],
    )
    .draw()
    .into_string();
    for cell in ["<td class=\"number\">1,234</td>", "<td class=\"number\">2,000</td>", "<td class=\"number\">9</td>"] {
        assert!(html.contains(cell), "{cell}");
    }
    assert!(html.contains("bucket 0</th>") && html.contains("bucket 2</th>") && !html.contains("bucket 1</th>"));
    assert!(html.contains("<caption") && html.contains("scope=\"col\"") && html.contains("role=\"img\""));
    assert!(html.contains("class=\"line accepted\""));
}

#[test]
fn words_in_a_chart_are_inert() {
    let hostile = "</title><script>alert(1)</script>\"&";
    let mut chart = chart(1, vec![series(hostile, "one", &[3])], vec![]);
    (chart.label, chart.names, chart.ticks) = (hostile, vec![hostile.to_owned()], vec![hostile.to_owned()]);
    let html = chart.draw().into_string();
    assert!(!html.contains("<script") && html.matches("</title>").count() == 1, "{html}");
}

#[test]
fn nothing_and_the_largest_are_drawn() {
    let html = chart(0, vec![], vec![]).draw().into_string();
    assert!(html.contains("<svg"));
    let html = chart(60, vec![series("a", "one", &[0; 60])], vec![series("b", "two", &[0; 60])]).draw().into_string();
    assert!(!html.contains("line two") && !html.contains("bar one"), "nothing happened");
    let many = vec![u64::MAX; BUCKETS_MAX + 50];
    let bars = vec![series("a", "one", &many), series("b", "two", &many), series("c", "failed", &many)];
    let html = chart(BUCKETS_MAX + 50, bars, vec![series("d", "accepted", &many)]).draw().into_string();
    assert!(!html.contains(&format!("bucket {BUCKETS_MAX}<")), "bounded");
}

#[test]
fn a_large_chart_weighs_less_than_forty_kibibytes() {
    let values: Vec<u64> = (0..BUCKETS_MAX as u64).map(|n| 900 + n * 37 % 911).collect();
    let bars =
        vec![series("a", "delivered", &values), series("b", "deferred", &values), series("c", "failed", &values)];
    let chart = chart(BUCKETS_MAX, bars, vec![series("d", "accepted", &values)]);
    let picture = chart.picture(round_up(chart.most()));
    assert!(picture.len() < 40 << 10, "{} octets", picture.len());
    let whole = chart.draw().into_string().len();
    assert!(whole < 110 << 10, "{whole} octets with the table");
}
