//! The learning curve of a run as SVG.

use std::fmt::Write;
use std::path::Path;

use crate::Result;
use crate::report::Report;

/// Colours of curves: the network's, and those of networks that it is compared with.
const COLOURS: [&str; 3] = ["#c2410c", "#64748b", "#0f766e"];

/// Draws the first figure of each row that has a curve against steps.
pub(super) fn draw(report: &Report, path: &Path, identity: &str) -> Result<()> {
    let curves = report.rows.iter().filter(|row| !row.curve.is_empty());
    let lines: Vec<Line<'_>> = curves
        .zip(COLOURS.iter().cycle())
        .map(|(row, colour)| (row.name.as_str(), *colour, row.curve.clone()))
        .collect();
    let text = svg(&lines, &report.axis, identity);
    Ok(zor_io::atomic::write(path, text.as_bytes())?)
}

/// Name, colour, and points of step and height.
type Line<'a> = (&'a str, &'static str, Vec<(f64, f64)>);

/// The lowest and highest tick of an axis that shows these values, and the distance of ticks: at most seven of them, whatever the values. Values that are
/// infinite or NaN are not shown.
fn scale(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    // Beyond this a difference of one is lost in rounding.
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
    let mut text = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='12'>\n\
         <!-- run {identity} -->\n\
         <rect width='100%' height='100%' fill='white'/>\n"
    );
    for index in 0..=((high - low) / tick) as u32 {
        let y = low + tick * f64::from(index);
        let (_, at) = place((0.0, y));
        let _ = writeln!(
            text,
            "<path d='M{left} {at:.1}H{right}' stroke='#e2e8f0'/><text x='{}' y='{:.1}' text-anchor='end'>{y}</text>",
            left - 8.0,
            at + 4.0
        );
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
            .filter(|point| is_shown(point.1))
            .map(|&point| place(point))
            .map(|(x, y)| format!("{x:.1} {y:.1}"))
            .collect();
        match &path[..] {
            [] => {}
            [one] => {
                let (x, y) = one.split_once(' ').unwrap_or((one, ""));
                let _ = writeln!(text, "<circle cx='{x}' cy='{y}' r='3' fill='{colour}'/>");
            }
            path => {
                let path = path.join("L");
                let _ = writeln!(
                    text,
                    "<path d='M{path}' fill='none' stroke='{colour}' stroke-width='2'/>"
                );
            }
        }
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
            let text = svg(&[("Zor", "#000", points)], "PSNR", "0123");
            assert!(text.ends_with("</svg>\n") && text.contains("run 0123"), "{values:?}");
            assert!(!text.contains("NaN") && !text.contains("inf"), "{values:?}: {text}");
            let ticks = text.matches("#e2e8f0").count();
            assert!((2..=7).contains(&ticks), "{values:?}: {ticks} ticks");
        }
    }
}
