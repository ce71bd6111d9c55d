//! Vector plots for a page: lines over a number, bars over a list.
//!
//! Takes: numbers. Gives: SVG text that scales with its place and takes the page's ink for axes and writing. Never: a script,
//! a reference to anything outside.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;

/// Size of a drawing, in units of its own; small, so that the writing stays legible on a phone.
const SIZE: (u32, u32) = (420, 270);
/// Stands for the page's ink until the drawing is done.
const INK: RGBColor = RGBColor(1, 2, 3);
/// Points of a line, at the most.
const POINTS: usize = 240;

/// Colours of lines, in their order: legible on light and dark ground.
pub const COLOURS: [&str; 4] = ["#2a7fd4", "#d9731a", "#2c9c57", "#b14fc4"];

/// A line of a plot.
pub struct Line {
    /// Its points, by ascending x.
    pub points: Vec<(f64, f64)>,
    /// Which of [`COLOURS`].
    pub colour: usize,
    /// One of many, in the background.
    pub faint: bool,
}

/// A plot of lines.
pub struct Plot<'a> {
    /// What the x axis counts.
    pub x: &'a str,
    /// A logarithmic y axis, from the smallest positive number on.
    pub log: bool,
    /// How a number at the y axis is written.
    pub y: &'a dyn Fn(f64) -> String,
    /// The lines.
    pub lines: Vec<Line>,
    /// A level to be marked.
    pub mark: Option<f64>,
}

/// Means of runs of points, [`POINTS`] at the most.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let run = points.len().div_ceil(POINTS).max(1);
    let mean = |run: &[(f64, f64)]| {
        let n = run.len() as f64;
        (run.iter().map(|p| p.0).sum::<f64>() / n, run.iter().map(|p| p.1).sum::<f64>() / n)
    };
    points.chunks(run).map(mean).collect()
}

fn colour(k: usize) -> RGBColor {
    let part =
        |at: usize| u8::from_str_radix(&COLOURS[k % COLOURS.len()][at..at + 2], 16).unwrap_or_default();
    RGBColor(part(1), part(3), part(5))
}

/// Draws lines; nothing where there is not one point.
pub fn lines(plot: &Plot) -> String {
    let lines: Vec<(Vec<(f64, f64)>, &Line)> = plot.lines.iter().map(|l| (thin(&l.points), l)).collect();
    let all = || lines.iter().flat_map(|(points, _)| points).copied();
    let values = || all().map(|p| p.1).chain(plot.mark).filter(|y| y.is_finite());
    let least = values().filter(|&y| y > 0.0).fold(f64::INFINITY, f64::min);
    let place = |y: f64| if plot.log { y.max(least).log10() } else { y };
    if all().next().is_none() || (plot.log && !least.is_finite()) {
        return String::new();
    }
    let (low, high) = bounds(values().map(place));
    let (first, last) = bounds(all().map(|p| p.0));
    let room = (high - low).max(1e-9) * 0.06;
    let label = |y: f64| (plot.y)(if plot.log { 10f64.powf(y) } else { y });
    draw(|area| {
        let (x, y) = (first..last.max(first + 1e-9), low - room..high + room);
        let mut chart = axes(area, x, y, plot.x, &label)?;
        for (points, line) in &lines {
            let (strength, width) = if line.faint { (0.18, 1) } else { (1.0, 2) };
            let style = colour(line.colour).mix(strength).stroke_width(width);
            let points = points.iter().filter(|p| p.1.is_finite()).map(|&(x, y)| (x, place(y)));
            chart.draw_series(LineSeries::new(points, style))?;
        }
        if let Some(level) = plot.mark {
            let ends = [(first, place(level)), (last, place(level))];
            chart.draw_series(DashedLineSeries::new(ends, 5, 4, INK.mix(0.7).stroke_width(1)))?;
        }
        Ok(())
    })
}

/// An entry of a list: a height before (faint), and the part of it that is left.
pub struct Bar {
    /// Height of the faint part.
    pub before: f64,
    /// Height of the strong part, over the faint one.
    pub after: f64,
}

/// Draws a bar for every entry; nothing where none has a height.
pub fn bars(bars: &[Bar], x: &str) -> String {
    let high = bars.iter().map(|b| b.before).fold(0.0, f64::max);
    if high <= 0.0 {
        return String::new();
    }
    draw(|area| {
        let mut chart = axes(area, 0.0..bars.len() as f64, 0.0..high * 1.05, x, &|y| format!("{y:.0}"))?;
        let bar = |k: usize, height: f64, style: ShapeStyle| {
            Rectangle::new([(k as f64 + 0.1, 0.0), (k as f64 + 0.9, height)], style)
        };
        let before = INK.mix(0.15).filled();
        let after = colour(0).filled();
        chart.draw_series(bars.iter().enumerate().map(|(k, b)| bar(k, b.before, before)))?;
        chart.draw_series(bars.iter().enumerate().map(|(k, b)| bar(k, b.after, after)))?;
        Ok(())
    })
}

/// The drawing area.
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
/// A plot's part of the area.
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
/// An error of the drawing library.
type Fault = Box<dyn std::error::Error>;

/// A drawing as SVG, in the page's own ink; nothing where it cannot be drawn.
fn draw(f: impl FnOnce(&Area) -> Result<(), Fault>) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let drawn = f(&area).is_ok() && area.present().is_ok();
    drop(area);
    if drawn { svg.replace("#010203", "currentColor") } else { String::new() }
}

/// Axes over two ranges: `counts` names the x axis, `label` writes the numbers at the y axis.
fn axes<'a, 'b>(
    area: &'a Area<'b>,
    x: Range<f64>,
    y: Range<f64>,
    counts: &str,
    label: &dyn Fn(f64) -> String,
) -> Result<Chart<'a, 'b>, Fault> {
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(38)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(INK.mix(0.12))
        .light_line_style(INK.mix(0.0))
        .axis_style(INK.mix(0.5))
        .label_style(writing())
        .axis_desc_style(writing())
        .x_labels(5)
        .y_labels(6)
        .x_desc(counts)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| label(*y))
        .draw()?;
    Ok(chart)
}

fn writing() -> TextStyle<'static> {
    ("sans-serif", 14).into_font().color(&INK.mix(0.85))
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_bars_are_drawn_in_the_pages_ink() {
        let points = (1..2000).map(|k| (f64::from(k), 1.0 / f64::from(k))).collect();
        let line = Line { points, colour: 1, faint: false };
        let plot =
            Plot { x: "update", log: true, y: &|y| format!("{y:.3}"), lines: vec![line], mark: Some(0.5) };
        let svg = lines(&plot);
        assert!(svg.contains("currentColor") && svg.to_lowercase().contains(COLOURS[1]), "{svg}");
        assert!(!svg.contains("#010203") && svg.len() < 20_000);
        assert!(bars(&[3.0, 0.0].map(|after| Bar { before: 4.0, after }), "layer").contains("<rect"));
    }

    #[test]
    fn nothing_to_draw_is_no_drawing() {
        let plot = |log| Plot { x: "update", log, y: &|y| y.to_string(), lines: vec![], mark: None };
        assert!(lines(&plot(false)).is_empty() && lines(&plot(true)).is_empty());
        assert!(bars(&[], "layer").is_empty());
    }
}
