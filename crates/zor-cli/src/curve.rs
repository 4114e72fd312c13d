//! The curve of a run as SVG.

use std::fmt::Write;
use std::path::Path;

use zor::train::Training;
use zor::{Result, io};

use crate::finished::Run;
use crate::report;

/// PSNR or top-1 against steps, ours and the baselines', as SVG.
pub(crate) fn draw(run: &Run, path: &Path) -> Result<()> {
    let heights = |trained: &Training| {
        trained.curve.iter().map(|point| (point.step as f64, point.evaluation.headline())).collect()
    };
    let mut lines: Vec<Line> = vec![("Zor", "#c2410c", heights(&run.trained))];
    for (baseline, colour) in run.baselines.iter().zip(["#64748b", "#0f766e"]) {
        let points = baseline.curve.iter().map(|(step, found)| (*step as f64, found.psnr_db()));
        lines.push((baseline.output.name(), colour, points.collect()));
    }
    if let Some(twin) = &run.twin {
        lines.push((report::TWIN, "#64748b", heights(twin)));
    }
    let axis = if run.settings.task.is_classification() {
        "top-1 of unseen images, %"
    } else {
        "PSNR of unseen images, dB"
    };
    Ok(io::atomic::write(path, svg(&lines, axis).as_bytes())?)
}

/// Name, colour, and places of step and PSNR.
type Line = (&'static str, &'static str, Vec<(f64, f64)>);

fn svg(lines: &[Line], axis: &str) -> String {
    let (width, height, left, right, top, bottom) = (640.0, 360.0, 60.0, 620.0, 20.0, 315.0);
    let all = || lines.iter().flat_map(|(.., points)| points);
    let last = all().map(|p| p.0).fold(1.0, f64::max);
    let low = all().map(|p| p.1).filter(|y| y.is_finite()).fold(f64::INFINITY, f64::min).floor();
    let high = all().map(|p| p.1).filter(|y| y.is_finite()).fold(low + 1.0, f64::max).ceil();
    let place = |(x, y): (f64, f64)| {
        (left + (right - left) * x / last, bottom - (bottom - top) * (y - low) / (high - low))
    };
    let mut text = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='white'/>\n"
    );
    let ticks = ((high - low) / 6.0).ceil().max(1.0);
    let mut y = low;
    while y <= high {
        let (_, at) = place((0.0, y));
        let _ = writeln!(
            text,
            "<path d='M{left} {at:.1}H{right}' stroke='#e2e8f0'/><text x='{}' y='{:.1}' text-anchor='end'>{y}</text>",
            left - 8.0,
            at + 4.0
        );
        y += ticks;
    }
    for quarter in 0..=4 {
        let x = last * f64::from(quarter) / 4.0;
        let (at, _) = place((x, low));
        let _ = writeln!(
            text,
            "<text x='{at:.1}' y='{}' text-anchor='middle'>{x:.0}</text>",
            bottom + 18.0
        );
    }
    let middle = (left + right) / 2.0;
    let _ = writeln!(
        text,
        "<text x='{middle}' y='{}' text-anchor='middle'>training steps</text>",
        height - 8.0
    );
    let _ = writeln!(
        text,
        "<text transform='translate(16 170) rotate(-90)' text-anchor='middle'>{axis}</text>"
    );
    for (index, (name, colour, points)) in lines.iter().enumerate() {
        let path: Vec<String> = points
            .iter()
            .filter(|point| point.1.is_finite())
            .map(|&point| place(point))
            .map(|(x, y)| format!("{x:.1} {y:.1}"))
            .collect();
        let _ = writeln!(
            text,
            "<path d='M{}' fill='none' stroke='{colour}' stroke-width='2'/>",
            path.join("L")
        );
        let y = bottom - 14.0 - 16.0 * (lines.len() - 1 - index) as f64;
        let _ = writeln!(
            text,
            "<text x='{}' y='{y}' text-anchor='end' fill='{colour}'>{name}</text>",
            right - 6.0
        );
    }
    text.push_str("</svg>\n");
    text
}
