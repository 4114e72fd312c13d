//! Scores over the rows of a stream as SVG, with alarms.

use std::path::Path;

use crate::Result;
use crate::svg::{Anchor, Lettering, Paint, Svg};

/// Maximum number of bars. Longer streams have several rows per bar.
const MAX_BARS: usize = 1024;
const NORMAL: &str = "#64748b";
const ALARM: &str = "#c2410c";

/// Scores of a stream, in constant memory.
#[derive(Debug)]
pub(super) struct ScorePlot {
    threshold: f32,
    /// Number of rows per bar, a power of two.
    rows_per_bar: usize,
    /// Largest score of the rows of each bar; NaN without scores.
    bars: Vec<f32>,
    n_rows: usize,
}

impl ScorePlot {
    pub(super) fn new(threshold: f32) -> Self {
        Self { threshold, rows_per_bar: 1, bars: Vec::new(), n_rows: 0 }
    }

    /// Adds the score of a row.
    pub(super) fn push(&mut self, row: usize, score: f32) {
        while row / self.rows_per_bar >= MAX_BARS {
            self.bars = self
                .bars
                .chunks(2)
                .map(|pair| pair.iter().copied().fold(f32::NAN, f32::max))
                .collect();
            self.rows_per_bar *= 2;
        }
        let bar = row / self.rows_per_bar;
        if self.bars.len() <= bar {
            self.bars.resize(bar + 1, f32::NAN);
        }
        self.bars[bar] = self.bars[bar].max(score);
        self.n_rows = self.n_rows.max(row + 1);
    }

    /// Writes the picture.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        Ok(zor_io::atomic::write(path, self.svg().as_bytes())?)
    }

    /// Draws the scores on a logarithmic axis, since those of anomalies can be a hundred times
    /// those of normal rows.
    fn svg(&self) -> String {
        let (width, height, left, right, top, bottom) = (760.0, 320.0, 60.0, 740.0, 20.0, 270.0);
        let logarithm = |score: f32| f64::from(score.max(1e-3)).log10();
        let known = || self.bars.iter().copied().filter(|score| score.is_finite());
        let all = || known().chain([self.threshold]).map(logarithm);
        let low = all().fold(f64::INFINITY, f64::min).floor();
        let high = all().fold(low + 1.0, f64::max).ceil();
        let y = |score: f32| bottom - (bottom - top) * (logarithm(score) - low) / (high - low);
        let rows = self.n_rows.max(1) as f64;
        let x = |row: f64| left + (right - left) * row / rows;
        let mut svg = Svg::new(width, height).labelled("Score of each row, with alarms");
        for decade in 0..=(high - low) as i32 {
            let score = 10f64.powi(decade + low as i32);
            let at = y(score as f32);
            svg.line(&[[left, at], [right, at]], Paint::stroke("#e2e8f0", 1.0));
            svg.text([left - 8.0, at + 4.0], &score.to_string(), Lettering::new(Anchor::End));
        }
        for (bar, &score) in self.bars.iter().enumerate().filter(|(_, score)| score.is_finite()) {
            let at = x(((bar as f64 + 0.5) * self.rows_per_bar as f64).min(rows));
            let is_alarm = score > self.threshold;
            let color = if is_alarm { ALARM } else { NORMAL };
            svg.line(&[[at, bottom], [at, y(score)]], Paint::stroke(color, 1.0));
            if is_alarm {
                svg.circle([at, y(score)], 2.5, Paint::fill(ALARM));
            }
        }
        let at = y(self.threshold);
        svg.line(&[[left, at], [right, at]], Paint::stroke(ALARM, 1.0));
        let alarm = Lettering::new(Anchor::End).fill(ALARM);
        svg.text([right, at - 5.0], "alarm", alarm);
        let middle = Lettering::new(Anchor::Middle);
        for quarter in 0..=4 {
            let row = rows * f64::from(quarter) / 4.0;
            svg.text([x(row), bottom + 18.0], &format!("{row:.0}"), middle);
        }
        svg.text([(left + right) / 2.0, height - 10.0], "row", middle);
        svg.text([16.0, 145.0], "score", middle.turned(-90.0));
        svg.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_any_length_is_drawn_in_constant_memory() {
        for n_rows in [0, 1, 5, MAX_BARS, MAX_BARS + 1, 10 * MAX_BARS] {
            let mut plot = ScorePlot::new(2.0);
            for row in 0..n_rows {
                plot.push(row, if row % 1000 == 700 { 50.0 } else { 1.0 });
            }
            let text = plot.svg();
            crate::svg::tests::assert_well_formed(&text);
            assert!(!text.contains("NaN") && !text.contains("inf"), "{n_rows}: {text}");
            assert!(plot.bars.len() <= MAX_BARS, "{n_rows}");
            let alarms = (0..n_rows).filter(|row| row % 1000 == 700).count();
            assert_eq!(text.matches("<circle").count(), alarms, "{n_rows}");
        }
    }

    #[test]
    fn rows_without_scores_leave_gaps() {
        let mut plot = ScorePlot::new(1.0);
        plot.push(3, f32::INFINITY);
        plot.push(9, 0.0);
        assert!(plot.bars[0].is_nan() && plot.bars.len() == 10);
        crate::svg::tests::assert_well_formed(&plot.svg());
    }
}
