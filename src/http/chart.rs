//! Charts: pictures drawn on the server, with the same numbers as a table for those who cannot see them.
//!
//! In: named buckets, series of numbers, words.  Out: an SVG without any colour of its own (classes name the series, the stylesheet
//! has the colours of both themes), labels in HTML around it, so that it stretches without distorting them, and a table that
//! opens below.
//!
//! Always: works without script; every number of the picture stands in the table; a picture of [`BUCKETS_MAX`] buckets weighs less
//! than 40 KiB before compression; what is drawn is drawn by plotters, to a sink of ours that writes paths and classes.
//! Sources: WCAG 2.2 §1.1.1, §1.4.1 (legend and table name what colours show), §1.4.11.

use std::{convert::Infallible, fmt::Write};

use maud::{Markup, PreEscaped, html};
use plotters::{
    coord::types::RangedCoordf64,
    prelude::{
        Cartesian2d, ChartBuilder, ChartContext, Color, DrawingBackend, IntoDrawingArea, LineSeries, RGBColor,
        Rectangle, ShapeStyle, TRANSPARENT,
    },
};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, DrawingErrorKind};

use crate::http::words::number;

/// Buckets of one chart at most: what a screen can show and a table can hold.
pub const BUCKETS_MAX: usize = 400;
/// Up to so many buckets each tells its numbers where the pointer rests.
const TIPS_MAX: usize = 130;
/// Series of one chart at most.
const SERIES_MAX: usize = 12;
/// Units of the picture.
const WIDTH: u32 = 2_400;
const HEIGHT: u32 = 600;
/// A number that is not zero is drawn at least this high, in parts of the picture: one failure among a million is seen.
const LEAST_PART: f64 = 1.0 / 120.0;
/// Names below the picture.
const TICKS: usize = 5;

/// A row of numbers, one for each bucket.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// What it counts, in the reader's language.
    pub name: &'a str,
    /// Its class in the stylesheet: `delivered`, `deferred`, `failed`, `blocked`, `accepted`, `one` … `six`.
    pub class: &'static str,
    /// The numbers.
    pub values: Vec<u64>,
}

/// What is drawn.
#[derive(Clone, Debug)]
pub struct Chart<'a> {
    /// What the picture shows: its name for those who hear it, and the table's caption.
    pub label: &'a str,
    /// The heading of the table's first column.
    pub at: &'a str,
    /// The words that open the table.
    pub table: &'a str,
    /// The name of each bucket, for the table and the pointer.
    pub names: Vec<String>,
    /// The short name of each bucket, for the axis.
    pub ticks: Vec<String>,
    /// The word at the right end of the axis; empty: none.
    pub end: &'a str,
    /// Series that are stacked, the first one at the bottom.
    pub bars: Vec<Series<'a>>,
    /// Series that are drawn as lines of their own.
    pub lines: Vec<Series<'a>>,
}

impl Chart<'_> {
    /// Numbers of a series, and nothing beyond the buckets.
    fn value(series: &Series<'_>, at: usize) -> u64 {
        series.values.get(at).copied().unwrap_or(0)
    }

    fn buckets(&self) -> usize {
        self.names.len().min(BUCKETS_MAX)
    }

    fn all(&self) -> impl Iterator<Item = &Series<'_>> {
        self.bars.iter().chain(&self.lines).take(SERIES_MAX)
    }

    /// The largest number that the picture must hold.
    fn most(&self) -> u64 {
        let stacked = |at: usize| self.bars.iter().fold(0u64, |sum, s| sum.saturating_add(Self::value(s, at)));
        let lines = |at: usize| self.lines.iter().map(|s| Self::value(s, at)).max().unwrap_or(0);
        (0..self.buckets()).map(|at| stacked(at).max(lines(at))).max().unwrap_or(0)
    }

    /// The chart with its legend and its table.
    pub fn draw(&self) -> Markup {
        let top = round_up(self.most());
        let count = self.buckets();
        let mut places: Vec<usize> = (0..TICKS - 1).map(|n| n * count / (TICKS - 1)).collect();
        if self.end.is_empty() {
            places.push(count.saturating_sub(1));
        }
        places.dedup();
        let ticks: Vec<&String> = places.into_iter().filter_map(|at| self.ticks.get(at)).collect();
        html! {
            figure class="chart-box" {
                div class="chart" {
                    div class="y" aria-hidden="true" { span { (number(top)) } span { (number(top / 2)) } span { "0" } }
                    svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(self.label) {
                        (PreEscaped(self.picture(top)))
                    }
                    div class="x" aria-hidden="true" {
                        @for tick in ticks { span { (tick) } }
                        @if !self.end.is_empty() { span { (self.end) } }
                    }
                }
                @if self.bars.len() + self.lines.len() > 1 {
                    ul class="chart-legend" aria-hidden="true" {
                        @for series in self.all() { li { span class={ "swatch " (series.class) } {} (series.name) } }
                    }
                }
                (self.rows())
            }
        }
    }

    /// The same numbers as a table; buckets in which nothing happened are left out.
    fn rows(&self) -> Markup {
        let has_something = |at: &usize| self.all().any(|s| Self::value(s, *at) > 0);
        html! {
            details class="chart-table" {
                summary { (self.table) }
                div class="scroll" {
                    table {
                        caption class="hidden" { (self.label) }
                        thead {
                            tr {
                                th scope="col" { (self.at) }
                                @for series in self.all() { th scope="col" class="number" { (series.name) } }
                            }
                        }
                        tbody {
                            @for at in (0..self.buckets()).filter(has_something) {
                                tr {
                                    th scope="row" { (self.names[at]) }
                                    @for series in self.all() { td class="number" { (number(Self::value(series, at))) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The inside of the SVG.
    fn picture(&self, top: u64) -> String {
        let count = self.buckets();
        let mut ink = Ink::new(self.all().map(|s| s.class).collect());
        if count > 0 {
            // Drawing to memory fails only where plotters itself is at odds with us: the table says it all, then.
            if let Err(error) = self.plot(&mut ink, top as f64) {
                log::error!("http=chart error={error:?}");
            }
        }
        let mut svg = ink.finish();
        if count <= TIPS_MAX {
            self.tips(&mut svg);
        }
        svg
    }

    fn plot(&self, ink: &mut Ink, top: f64) -> Result<(), Drawing> {
        let count = self.buckets();
        let area = Pen(ink).into_drawing_area();
        let mut chart = ChartBuilder::on(&area).build_cartesian_2d(0.0..count as f64, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .y_labels(3)
            .light_line_style(TRANSPARENT)
            .axis_style(TRANSPARENT)
            .bold_line_style(colour(GRID))
            .draw()?;
        self.draw_bars(&mut chart, top)?;
        for (n, series) in self.lines.iter().enumerate() {
            let at = self.bars.len() + n;
            if at >= SERIES_MAX || series.values.iter().all(|v| *v == 0) {
                continue;
            }
            // Steps: a bucket has one number, not a slope.
            let points = (0..count).flat_map(|b| {
                let y = Self::value(series, b) as f64;
                [(b as f64, y), ((b + 1) as f64, y)]
            });
            chart.draw_series(LineSeries::new(points, ShapeStyle::from(colour(at))))?;
        }
        area.present()
    }

    fn draw_bars(&self, chart: &mut Plane<'_>, top: f64) -> Result<(), Drawing> {
        let count = self.buckets();
        let gap = if count > 150 { 0.0 } else { 0.1 };
        let mut below = vec![0.0f64; count];
        for (n, series) in self.bars.iter().enumerate().take(SERIES_MAX) {
            let bars: Vec<_> = (0..count)
                .filter_map(|b| {
                    let value = Self::value(series, b);
                    let from = below[b];
                    (value > 0).then(|| {
                        let to = (from + (value as f64).max(top * LEAST_PART)).min(top);
                        below[b] = to;
                        Rectangle::new([(b as f64 + gap, from), ((b + 1) as f64 - gap, to)], colour(n).filled())
                    })
                })
                .collect();
            chart.draw_series(bars)?;
        }
        Ok(())
    }

    /// What the pointer reads.
    fn tips(&self, svg: &mut String) {
        let count = self.buckets();
        for at in (0..count).filter(|at| self.all().any(|s| Self::value(s, *at) > 0)) {
            let (from, to) = (at as u32 * WIDTH / count as u32, (at as u32 + 1) * WIDTH / count as u32);
            let _ = write!(svg, r#"<path class="tip" d="M{from} 0H{to}V{HEIGHT}H{from}z"><title>"#);
            let words = self.all().map(|s| format!("{} {}", s.name, number(Self::value(s, at))));
            let words: Vec<String> = words.collect();
            escape(svg, &format!("{}  {}", self.names[at], words.join(" · ")));
            svg.push_str("</title></path>");
        }
    }
}

type Plane<'a> = ChartContext<'a, Pen<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawing = plotters::drawing::DrawingAreaErrorKind<Infallible>;

/// The mark of the lines behind everything.
const GRID: usize = SERIES_MAX;

/// Colours only name series here: the sink turns them into classes.
fn colour(series: usize) -> RGBColor {
    RGBColor(u8::try_from(series).unwrap_or(u8::MAX), 0, 0)
}

/// Where plotters draws: one path for all that a series fills, and one for its lines.
struct Ink {
    classes: Vec<&'static str>,
    fills: Vec<String>,
    strokes: Vec<String>,
}

impl Ink {
    fn new(classes: Vec<&'static str>) -> Self {
        Ink { classes, fills: vec![String::new(); SERIES_MAX + 1], strokes: vec![String::new(); SERIES_MAX + 1] }
    }

    fn path(&mut self, color: BackendColor, fill: bool) -> Option<&mut String> {
        let paths = if fill { &mut self.fills } else { &mut self.strokes };
        if color.alpha > 0.0 { paths.get_mut(usize::from(color.rgb.0)) } else { None }
    }

    /// The picture: what lies behind first.
    fn finish(self) -> String {
        let mut svg = String::new();
        let class = |at: usize| self.classes.get(at).copied().unwrap_or("grid");
        let order = std::iter::once(GRID).chain(0..GRID);
        for at in order {
            for (paths, kind) in [(&self.fills, "bar"), (&self.strokes, "line")] {
                if !paths[at].is_empty() {
                    let _ = write!(svg, r#"<path class="{kind} {}" d="{}"/>"#, class(at), paths[at]);
                }
            }
        }
        svg
    }
}

type Done = Result<(), DrawingErrorKind<Infallible>>;

/// plotters wants a sink of its own; this one lends ours.
struct Pen<'a>(&'a mut Ink);

impl DrawingBackend for Pen<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (WIDTH, HEIGHT)
    }

    fn ensure_prepared(&mut self) -> Done {
        Ok(())
    }

    fn present(&mut self) -> Done {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Done {
        if let Some(path) = self.0.path(color, true) {
            let _ = write!(path, "M{x} {y}h1v1h-1z");
        }
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Done {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(&mut self, a: BackendCoord, b: BackendCoord, style: &S, fill: bool) -> Done {
        if let Some(path) = self.0.path(style.color(), fill) {
            let _ = write!(path, "M{} {}V{}H{}V{}z", a.0, a.1, b.1, b.0, a.1);
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Done {
        if let Some(out) = self.0.path(style.color(), false) {
            let mut last = None;
            for (x, y) in path {
                let _ = match last {
                    None => write!(out, "M{x} {y}"),
                    Some((_, before)) if before == y => write!(out, "H{x}"),
                    Some((before, _)) if before == x => write!(out, "V{y}"),
                    Some(_) => write!(out, "L{x} {y}"),
                };
                last = Some((x, y));
            }
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, corners: I, style: &S) -> Done {
        if let Some(out) = self.0.path(style.color(), true) {
            let mut command = 'M';
            for (x, y) in corners {
                let _ = write!(out, "{command}{x} {y}");
                command = 'L';
            }
            if command == 'L' {
                out.push('z');
            }
        }
        Ok(())
    }
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

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
#[path = "chart_tests.rs"]
mod tests;
