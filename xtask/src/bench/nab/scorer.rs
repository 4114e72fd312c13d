//! The score of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015), standard profile.
//!
//! In a window around an anomaly the earliest detection counts: 1 at its start, falling to 0 at its
//! end. A window without a detection counts -1, a detection outside of the windows -0.11, less
//! shortly after a window. One threshold serves all series: the one with the highest score. 0 is
//! the score of a detector that never detects, 100 that of one that detects every anomaly at once.

use std::ops::RangeInclusive;

/// Weight of a detection outside of the windows.
const FALSE_ALARM: f64 = 0.11;
/// Share of a series, and of this number of rows at most, in which detections do not count.
const PROBATION: f64 = 0.15;
const PROBATION_OF: f64 = 5000.0;

/// What detections in a series are worth.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Weight of a detection at each row that counts, with its row and the window around it.
    weights: Vec<(usize, f64, Option<usize>)>,
    windows: usize,
    /// Number of windows that have a row that counts.
    reachable: usize,
}

impl Series {
    /// A series of this number of rows, with the windows around its anomalies in order.
    pub(crate) fn new(rows: usize, windows: &[RangeInclusive<usize>]) -> Self {
        let first = probation(rows);
        let weights: Vec<_> = (first..rows)
            .map(|row| {
                let window = windows.iter().position(|window| window.contains(&row));
                let weight = match window {
                    Some(index) => in_window(row, &windows[index]),
                    None => outside(row, windows.iter().rfind(|window| *window.end() < row)),
                };
                (row, weight, window)
            })
            .collect();
        let mut reached: Vec<usize> = weights.iter().filter_map(|(_, _, window)| *window).collect();
        reached.dedup();
        Self { weights, windows: windows.len(), reachable: reached.len() }
    }
}

/// Returns the number of rows at the start of a series in which detections do not count.
pub(crate) fn probation(rows: usize) -> usize {
    (PROBATION * rows as f64).floor().min(PROBATION * PROBATION_OF).ceil() as usize
}

fn sigmoid(x: f64) -> f64 {
    if x > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * x).exp()) - 1.0 }
}

/// Weight of a detection in a window: 1 at its first row, near 0 at its last.
fn in_window(row: usize, window: &RangeInclusive<usize>) -> f64 {
    let length = (window.end() - window.start() + 1) as f64;
    sigmoid(-((window.end() - row + 1) as f64) / length) / sigmoid(-1.0)
}

/// Weight of a detection outside of the windows, given the last window before.
fn outside(row: usize, before: Option<&RangeInclusive<usize>>) -> f64 {
    let weight = before.map_or(-1.0, |window| {
        sigmoid((row - window.end()) as f64 / (window.end() - window.start()) as f64)
    });
    FALSE_ALARM * weight
}

/// The threshold with the highest score, and that score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Best {
    pub(crate) score: f64,
    pub(crate) threshold: f64,
}

/// Returns the best threshold for all series, each with the score of every row.
pub(crate) fn best(all: &[(&Series, &[f64])]) -> Best {
    let mut best = Best { score: f64::NEG_INFINITY, threshold: f64::INFINITY };
    sweep(all, &mut |threshold, score| {
        if score > best.score {
            best = Best { score, threshold };
        }
    });
    best
}

/// Returns the score at a threshold; not finite without windows.
pub(crate) fn at(all: &[(&Series, &[f64])], least: f64) -> f64 {
    let mut found = f64::NAN;
    sweep(all, &mut |threshold, score| {
        if threshold >= least {
            found = score;
        }
    });
    found
}

/// Calls back with the score at each threshold from the highest, at which nothing is detected.
fn sweep(all: &[(&Series, &[f64])], call: &mut dyn FnMut(f64, f64)) {
    let windows: usize = all.iter().map(|(series, _)| series.windows).sum();
    let reachable: usize = all.iter().map(|(series, _)| series.reachable).sum();
    // Score, weight, and the window with the number of its series.
    let mut rows = Vec::<(f64, f64, Option<(usize, usize)>)>::new();
    for (index, (series, scores)) in all.iter().enumerate() {
        rows.extend(series.weights.iter().map(|(row, weight, window)| {
            let score = scores.get(*row).copied().filter(|score| !score.is_nan()).unwrap_or(0.0);
            (score, *weight, window.map(|window| (index, window)))
        }));
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut of_window: Vec<Vec<f64>> =
        all.iter().map(|(series, _)| vec![-1.0; series.windows]).collect();
    let mut total = -(reachable as f64);
    let normalised = |total: f64| 100.0 * (total + windows as f64) / (2.0 * windows as f64);
    call(f64::INFINITY, normalised(total));
    for (place, (score, weight, window)) in rows.iter().enumerate() {
        match window {
            None => total += weight,
            Some((series, window)) => {
                let before = &mut of_window[*series][*window];
                let after = before.max(*weight);
                total += after - *before;
                *before = after;
            }
        }
        if rows.get(place + 1).is_none_or(|(next, ..)| next != score) {
            call(*score, normalised(total));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 rows, of which the first 15 do not count, and one window of 10 rows.
    fn series() -> Series {
        let window = 50..=59;
        Series::new(100, std::slice::from_ref(&window))
    }

    fn scores(detected: &[(usize, f64)]) -> Vec<f64> {
        let mut scores = vec![0.0; 100];
        detected.iter().for_each(|(row, score)| scores[*row] = *score);
        scores
    }

    fn score_of(detected: &[(usize, f64)]) -> f64 {
        at(&[(&series(), &scores(detected))], 0.5)
    }

    #[test]
    fn the_first_rows_do_not_count() {
        assert_eq!([100, 1127, 5000, 22_695].map(probation), [15, 169, 750, 750]);
        assert_eq!(score_of(&[]), 0.0);
        assert_eq!(score_of(&[(14, 1.0)]), 0.0);
    }

    #[test]
    fn an_early_detection_counts_more() {
        assert!((score_of(&[(50, 1.0)]) - 100.0).abs() < 1e-9);
        // The last row: sigmoid(-0.1) / sigmoid(-1) = 0.244919 / 0.986614.
        let late = 50.0 * (1.0 + 0.244_918_7 / 0.986_614_3);
        assert!((score_of(&[(59, 1.0)]) - late).abs() < 1e-4);
        // Only the earliest counts.
        assert_eq!(score_of(&[(59, 1.0), (55, 1.0)]), score_of(&[(55, 1.0)]));
    }

    #[test]
    fn a_false_alarm_costs_less_shortly_after_a_window() {
        assert!((score_of(&[(20, 1.0)]) + 50.0 * 0.11).abs() < 1e-9);
        // One row after a window of nine steps: sigmoid(1 / 9) = -0.270864.
        assert!((score_of(&[(60, 1.0)]) + 50.0 * 0.11 * 0.270_864).abs() < 1e-4);
        // More than three windows later it costs the whole.
        assert!((score_of(&[(87, 1.0)]) + 50.0 * 0.11).abs() < 1e-9);
    }

    #[test]
    fn one_threshold_serves_all_series() {
        let (series, quiet) = (series(), Series::new(100, &[]));
        let (first, second) = (scores(&[(50, 0.8), (20, 0.3)]), scores(&[(30, 0.9), (31, 0.7)]));
        let all = [(&series, &first[..]), (&quiet, &second[..])];
        let best = best(&all);
        // Detected: the window, and one false alarm in the other series.
        assert_eq!(best.threshold, 0.8);
        assert!((best.score - 50.0 * (2.0 - 0.11)).abs() < 1e-9);
        assert_eq!(at(&all, 0.8), best.score);
        assert!((at(&all, 0.2) - 50.0 * (2.0 - 0.33)).abs() < 1e-9);
        assert!(!at(&all[1..], 0.8).is_finite());
    }
}
