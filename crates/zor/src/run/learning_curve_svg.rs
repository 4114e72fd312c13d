//! Learning curves as SVG.

use std::path::Path;

use crate::Result;
use crate::report::Report;
use crate::svg::{Anchor, Lettering, Paint, Svg};

/// Line colours: the network, then the baselines.
const COLORS: [&str; 3] = ["#c2410c", "#64748b", "#0f766e"];

/// Draws the first metric over the training steps, for each row that has a learning curve.
pub(super) fn draw(report: &Report, path: &Path, identity: &str) -> Result<()> {
    let curves = report.rows.iter().filter(|row| !row.curve.is_empty());
    let lines: Vec<Line<'_>> = curves
        .zip(COLORS.iter().cycle())
        .map(|(row, color)| (row.name.as_str(), *color, row.curve.clone()))
        .collect();
    let text = svg(&lines, &report.axis, identity);
    Ok(zor_io::atomic::write(path, text.as_bytes())?)
}

/// Name, colour and points (step, metric) of a line.
type Line<'a> = (&'a str, &'static str, Vec<(f64, f64)>);

/// Returns the lowest tick, the highest tick and the tick distance of an axis for these values.
/// There are at most seven ticks. Infinite and NaN values are ignored.
fn scale(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    // For larger values, a difference of one is lost in rounding.
    let seen = values.filter(|value| value.abs() < 1e12);
    let (low, high) = seen.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low > high {
        return (0.0, 1.0, 1.0);
    }
    let low = low.floor();
    let high = high.max(low + 1.0).ceil();
    (low, high, ((high - low) / 6.0).ceil())
}

fn svg(lines: &[Line<'_>], axis: &str, identity: &str) -> String {
    let (width, height, left, right, top, bottom) = (640.0, 360.0, 60.0, 620.0, 20.0, 315.0);
    let all = || lines.iter().flat_map(|(.., points)| points);
    let last = all().map(|p| p.0).fold(1.0, f64::max);
    let (low, high, tick) = scale(all().map(|point| point.1));
    let is_shown = |y: f64| (low..=high).contains(&y);
    let place = |(x, y): (f64, f64)| {
        (left + (right - left) * x / last, bottom - (bottom - top) * (y - low) / (high - low))
    };
    let mut svg = Svg::new(width, height);
    svg.comment(&format!("run {identity}"));
    for index in 0..=((high - low) / tick) as u32 {
        let y = low + tick * f64::from(index);
        let (_, at) = place((0.0, y));
        svg.line(&[[left, at], [right, at]], Paint::stroke("#e2e8f0", 1.0));
        svg.text([left - 8.0, at + 4.0], &y.to_string(), Lettering::new(Anchor::End));
    }
    let middle = Lettering::new(Anchor::Middle);
    for quarter in 0..=4 {
        let x = last * f64::from(quarter) / 4.0;
        let (at, _) = place((x, low));
        svg.text([at, bottom + 18.0], &format!("{x:.0}"), middle);
    }
    svg.text([(left + right) / 2.0, height - 8.0], "training steps", middle);
    svg.text([16.0, 170.0], axis, middle.turned(-90.0));
    for (index, (name, color, points)) in lines.iter().enumerate() {
        let path: Vec<[f64; 2]> = points
            .iter()
            .filter(|point| is_shown(point.1))
            .map(|&point| place(point).into())
            .collect();
        match path[..] {
            [] => {}
            [point] => svg.circle(point, 3.0, Paint::fill(color)),
            _ => svg.line(&path, Paint::stroke(color, 2.0)),
        }
        let y = bottom - 14.0 - 16.0 * (lines.len() - 1 - index) as f64;
        svg.text([right - 6.0, y], name, Lettering::new(Anchor::End).fill(color));
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_is_drawn_with_few_ticks_and_numbers_alone() {
        let cases: [&[f64]; 9] = [
            &[],
            &[12.5],
            &[f64::INFINITY, f64::INFINITY],
            &[f64::NAN, 3.0, f64::NEG_INFINITY],
            &[7.0, 7.0, 7.0],
            &[-1e300, 1e300],
            &[1e11, 1e11 + 1.0],
            &[0.0, 100.0],
            &[-40.0, 19.99],
        ];
        for values in cases {
            let points = values.iter().enumerate().map(|(step, y)| (step as f64, *y)).collect();
            let text = svg(&[("Zor", "#000", points)], "PSNR <dB> & more", "0123");
            crate::svg::tests::assert_well_formed(&text);
            assert!(text.ends_with("</svg>\n") && text.contains("run 0123"), "{values:?}");
            assert!(!text.contains("NaN") && !text.contains("inf"), "{values:?}: {text}");
            let ticks = text.matches("#e2e8f0").count();
            assert!((2..=7).contains(&ticks), "{values:?}: {ticks} ticks");
        }
    }
}
