//! A detector for a stream without training data: it learns as it scores.
//!
//! A network restores the newest row of a window from the rows before it. Its error, and the mean
//! of its errors over some rows, are compared with those of the stream so far: a score is how rare
//! they are. A value outside the range of the stream so far counts as rarer.

mod history;
mod peak;
mod scale;
mod tail;

use std::collections::VecDeque;

use zor_core::burn::tensor::Device;
use zor_core::{DenseConfig, GateConfig, Network, Random, Target, Workspace, ops};
use zor_optim::Muon;

use self::history::{Corruption, History, place_in_time};
use self::peak::Peaks;
use self::scale::Scale;
use self::tail::{MOST_DECADES, Tail};
use crate::error::{Error, Result};
use crate::task::matrix;

/// Number of units of each hidden layer.
const HIDDEN: usize = 32;
/// Number of windows in a batch, half of which have a hidden newest row.
const BATCH: usize = 64;
/// Learning rate while the stream runs.
const RATE: f32 = 0.005;
/// Number of steps on the first rows. Their learning rate falls from `4 * RATE` to a tenth of that.
const FIRST_STEPS: u32 = 300;
/// Number of rows after which the network learns, and of steps that it then takes.
const LEARN_EVERY: usize = 25;
const STEPS: usize = 3;
/// Number of windows that are learned from.
const KEPT: usize = 4000;
/// Maximum share of hidden cells, and noise on the others.
const MOST_HIDDEN: f32 = 0.6;
const NOISE: f32 = 0.1;
/// Number of rows over which errors are averaged.
const AVERAGED: usize = 20;
/// Decades that a mean error counts less than the error of a row: a second question about a row
/// must have a rarer answer.
const SECOND: f64 = 1.0;
/// Decades that a value outside the range so far counts more.
const NOVELTY: f64 = 1.0;
/// Decades at which a row raises an alarm if nothing else is set.
const ALARM: f64 = 3.0;
/// Random stream of batches, separate from other uses of the seed.
const STREAM: u64 = 0x6f6e_6c69_6e65;

/// Settings of a detector for a stream.
///
/// ```
/// use zor::detection::OnlineConfig;
/// let config = OnlineConfig { warm_up: 300, ..OnlineConfig::default() };
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct OnlineConfig {
    /// Random seed.
    pub seed: u64,
    /// Number of rows that are read together.
    pub window: usize,
    /// Number of rows that are learned from before the first score.
    pub warm_up: usize,
    /// Number of rows in which only the strangest raises an alarm.
    pub quiet: u64,
    /// Chance of a row, at most, that raises an alarm.
    pub chance: f64,
}

impl Default for OnlineConfig {
    fn default() -> Self {
        Self { seed: 0, window: 24, warm_up: 750, quiet: 200, chance: 10f64.powf(-ALARM) }
    }
}

/// Score of a row of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct OnlineScore {
    /// Score in [0, 1]: the number of decades of [`OnlineScore::chance`], divided by twelve. It is
    /// 0 if one of the rows shortly before was as strange, and for the first rows.
    pub score: f32,
    /// Estimated chance of a row at least as strange as this one.
    pub chance: f64,
    /// Whether the row raises an alarm.
    pub is_alarm: bool,
    /// Value of each channel that was expected, in its unit; NaN for the first rows.
    pub expected: Vec<f64>,
}

/// A detector of anomalies in a stream of rows, which learns as it scores. Its memory does not
/// grow, and equal streams have equal scores.
///
/// ```
/// use zor::core::burn::tensor::Device;
/// use zor::detection::{OnlineConfig, OnlineDetector};
///
/// let config = OnlineConfig { warm_up: 200, ..OnlineConfig::default() };
/// let mut detector = OnlineDetector::new(&config, 1, &Device::flex())?;
/// for row in 0..300 {
///     let value = if row == 250 { 9.0 } else { f64::from(row % 12) / 4.0 };
///     let found = detector.push(&[value], None)?;
///     assert_eq!(found.is_alarm, row == 250);
/// }
/// # Ok::<(), zor::Error>(())
/// ```
#[derive(Debug)]
pub struct OnlineDetector {
    config: OnlineConfig,
    network: Network,
    workspace: Workspace,
    random: Random,
    history: History,
    channels: Vec<Channel>,
    peaks: Peaks,
    /// The first rows with their times, until there are enough of them.
    first: Vec<(Vec<f64>, Option<f64>)>,
    /// Number of rows since the network learned.
    since: usize,
}

/// What is known of a channel.
#[derive(Clone, Debug)]
struct Channel {
    scale: Scale,
    range: [f64; 2],
    /// Last errors, with their signs.
    errors: VecDeque<f64>,
    /// Tails of the error and of its mean.
    tails: [Tail; 2],
}

impl OnlineDetector {
    /// Creates a detector for rows of this number of channels.
    ///
    /// # Errors
    /// When there is no channel, a window has fewer than two rows, or the rows before the first
    /// score have fewer than eight windows.
    pub fn new(config: &OnlineConfig, channels: usize, device: &Device) -> Result<Self> {
        let OnlineConfig { seed, window, warm_up, quiet, .. } = *config;
        if channels == 0 {
            return Err(Error::input("a stream needs a channel or more"));
        }
        if window < 2 {
            return Err(Error::input(format!("window is {window}; it must be 2 or more")));
        }
        let least = window.saturating_add(7);
        if warm_up < least {
            return Err(Error::input(format!(
                "warm_up is {warm_up}; with a window of {window} rows it must be {least} or more"
            )));
        }
        let history = History::new(channels, window, KEPT);
        let mut network = Network::builder(&[history.inputs()]).seed(seed);
        for _ in 0..2 {
            network = network.layer(DenseConfig::new(HIDDEN)).layer(GateConfig::default());
        }
        let network = network.layer(DenseConfig::new(history.outputs())).build(device)?;
        Ok(Self {
            config: config.clone(),
            network,
            workspace: Workspace::new(device),
            random: Random::stream(seed, STREAM),
            history,
            channels: Vec::with_capacity(channels),
            peaks: Peaks::new(quiet),
            first: Vec::new(),
            since: 0,
        })
    }

    /// Scores the next row, and learns from it. A value that is NaN or infinite is missing. The
    /// time is in seconds since the start of 1970; with it, the detector learns what is usual at
    /// a time of the day and of the week.
    ///
    /// # Errors
    /// When the row has another number of channels than the rows before.
    pub fn push(&mut self, row: &[f64], time: Option<f64>) -> Result<OnlineScore> {
        let channels = self.history.channels();
        if row.len() != channels {
            return Err(Error::input(format!(
                "a row has {} values; the stream has {channels} channels",
                row.len()
            )));
        }
        if self.channels.is_empty() {
            self.first.push((row.to_vec(), time));
            if self.first.len() == self.config.warm_up {
                self.start()?;
            }
            return Ok(OnlineScore {
                score: 0.0,
                chance: 1.0,
                is_alarm: false,
                expected: vec![f64::NAN; channels],
            });
        }
        let standardised: Vec<f32> = row
            .iter()
            .zip(&self.channels)
            .map(|(v, channel)| channel.scale.standardised(*v))
            .collect();
        self.history.push(&standardised, place_in_time(time));
        let restored = self.restored(self.history.windows() - 1..self.history.windows())?;
        let in_unit = |(channel, value): (&Channel, &f32)| channel.scale.in_unit(*value);
        let expected = self.channels.iter().zip(&restored).map(in_unit).collect();
        let decades = self.judge(row, &standardised, &restored, true);
        let is_peak = self.peaks.push(decades);
        self.since += 1;
        if self.since == LEARN_EVERY {
            self.since = 0;
            for _ in 0..STEPS {
                self.learn(RATE)?;
            }
        }
        let chance = 10f64.powf(-decades);
        Ok(OnlineScore {
            score: if is_peak { (decades / MOST_DECADES) as f32 } else { 0.0 },
            chance,
            is_alarm: is_peak && chance <= self.config.chance,
            expected,
        })
    }

    /// Learns from the first rows.
    fn start(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.first);
        let channels = self.history.channels();
        let column = |channel: usize| rows.iter().map(move |(row, _)| row[channel]);
        let scales: Vec<Scale> = (0..channels).map(|channel| Scale::of(column(channel))).collect();
        let encoded = |row: &[f64]| -> Vec<f32> {
            row.iter().zip(&scales).map(|(value, scale)| scale.standardised(*value)).collect()
        };
        for (row, time) in &rows {
            self.history.push(&encoded(row), place_in_time(*time));
        }
        for step in 0..FIRST_STEPS {
            let progress = step as f32 / FIRST_STEPS as f32;
            self.learn(4.0 * RATE * (1.0 - 0.9 * progress))?;
        }
        let restored = self.restored(0..self.history.windows())?;
        let first_scored = self.config.window - 1;
        let scored = || rows[first_scored..].iter().zip(restored.chunks_exact(channels));
        for (index, scale) in scales.iter().enumerate() {
            let errors: Vec<f64> = scored()
                .map(|((row, _), restored)| error(scale.standardised(row[index]), restored[index]))
                .collect();
            let mut last = VecDeque::new();
            let means: Vec<f64> = errors.iter().map(|e| mean_with(&mut last, *e).abs()).collect();
            let sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
            self.channels.push(Channel {
                scale: scale.clone(),
                range: [f64::INFINITY, f64::NEG_INFINITY],
                errors: VecDeque::new(),
                tails: [Tail::of(&sizes), Tail::of(&means)],
            });
        }
        for (row, _) in &rows[..first_scored] {
            self.channels.iter_mut().zip(row).for_each(|(channel, value)| {
                channel.is_new(*value);
            });
        }
        // A row is no peak if one of the first rows was stranger.
        for ((row, _), restored) in scored() {
            let decades = self.judge(row, &encoded(row), restored, false);
            self.peaks.push(decades);
        }
        Ok(())
    }

    /// Decades of a row.
    fn judge(&mut self, row: &[f64], values: &[f32], restored: &[f32], follow: bool) -> f64 {
        let mut strangest = 0.0f64;
        for (index, channel) in self.channels.iter_mut().enumerate() {
            let error = error(values[index], restored[index]);
            let mean = mean_with(&mut channel.errors, error);
            let novelty = if channel.is_new(row[index]) { NOVELTY } else { 0.0 };
            let decades = if values[index].is_nan() {
                0.0
            } else {
                let [single, averaged] = &channel.tails;
                (single.decades(error.abs()) + novelty).max(averaged.decades(mean.abs()) - SECOND)
            };
            strangest = strangest.max(decades);
            if follow && !values[index].is_nan() {
                channel.scale.follow(row[index]);
                channel.tails[0].follow(error.abs());
                channel.tails[1].follow(mean.abs());
            }
        }
        // Of many channels, one is strange more often than of a single one.
        (strangest - (self.channels.len() as f64).log10()).clamp(0.0, MOST_DECADES)
    }

    /// Newest rows of windows, as the network restores them.
    fn restored(&mut self, windows: std::ops::Range<usize>) -> Result<Vec<f32>> {
        let (count, mut inputs) = (windows.len(), Vec::new());
        windows.for_each(|window| self.history.push_newest(window, &mut inputs));
        let input = matrix(&inputs, count, self.network.device())?;
        let outputs = ops::read(self.network.predict_in(input, &mut self.workspace)?)?;
        let (n, channels) = (self.history.outputs(), self.history.channels());
        Ok(outputs.chunks_exact(n).flat_map(|row| &row[n - channels..]).copied().collect())
    }

    /// Takes a step on a batch of windows.
    fn learn(&mut self, rate: f32) -> Result<()> {
        let [mut inputs, mut values, mut known] = [const { Vec::new() }; 3];
        for place in 0..BATCH {
            let corruption = Corruption {
                most_hidden: MOST_HIDDEN,
                hide_newest: 2 * place < BATCH,
                noise: NOISE,
            };
            let batch = [&mut inputs, &mut values, &mut known];
            self.history.push_example(batch, corruption, &mut self.random);
        }
        let device = self.network.device().clone();
        let input = matrix(&inputs, BATCH, &device)?;
        let values = matrix(&values, BATCH, &device)?;
        let target = match known.iter().all(|known| *known == 1.0) {
            true => Target::Values(values),
            false => Target::PartialValues { values, known: matrix(&known, BATCH, &device)? },
        };
        self.network.train_batch(&Muon::new(rate), input, target)?;
        // The history of errors would grow with the stream.
        self.network.set_history(Vec::new());
        Ok(())
    }
}

impl Channel {
    /// Whether a value lies outside the range so far, to which it is added.
    fn is_new(&mut self, value: f64) -> bool {
        if !value.is_finite() {
            return false;
        }
        let [low, high] = self.range;
        self.range = [low.min(value), high.max(value)];
        value < low || value > high
    }
}

/// Error of a restored value; zero if the value is missing.
fn error(value: f32, restored: f32) -> f64 {
    if value.is_nan() { 0.0 } else { f64::from(value - restored) }
}

/// Mean of the last errors with another one.
fn mean_with(last: &mut VecDeque<f64>, error: f64) -> f64 {
    if last.len() == AVERAGED {
        last.pop_front();
    }
    last.push_back(error);
    last.iter().sum::<f64>() / last.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(rows: usize, change: impl Fn(usize) -> Option<Vec<f64>>) -> Vec<OnlineScore> {
        let config = OnlineConfig { warm_up: 150, window: 8, ..OnlineConfig::default() };
        let mut detector = OnlineDetector::new(&config, 2, &Device::flex()).unwrap();
        let mut random = Random::seeded(5);
        let mut push = |row: usize| {
            let angle = row as f64 / 4.0;
            let noise = 0.1 * f64::from(random.normal());
            let usual = vec![angle.sin() + noise, 3.0 * angle.cos() - noise];
            let time = Some(300.0 * row as f64);
            detector.push(&change(row).unwrap_or(usual), time).unwrap()
        };
        (0..rows).map(&mut push).collect()
    }

    #[test]
    fn an_anomaly_raises_an_alarm_when_its_row_arrives() {
        // The value is not new, but it is at the wrong place.
        let found = stream(400, |row| (row == 300).then(|| vec![1.0, -3.0]));
        // Shortly after the first rows, the network knows them better than others.
        let alarms: Vec<usize> = (200..400).filter(|&row| found[row].is_alarm).collect();
        assert_eq!(alarms, [300]);
        assert!(found[..150].iter().all(|found| found.score == 0.0 && found.chance == 1.0));
        assert!(found.iter().all(|found| (0.0..=1.0).contains(&found.score)));
        assert!((found[299].expected[1] - 3.0 * (299.0f64 / 4.0).cos()).abs() < 1.0);
        let again = stream(400, |row| (row == 300).then(|| vec![1.0, -3.0]));
        assert_eq!(found[150..], again[150..]);
    }

    #[test]
    fn later_rows_do_not_change_a_score() {
        let long = stream(400, |_| None);
        let other = stream(400, |row| (row >= 260).then(|| vec![50.0, f64::NAN]));
        assert_eq!(long[150..260], other[150..260]);
        assert_ne!(long[260], other[260]);
    }

    #[test]
    fn missing_and_constant_values_are_no_anomalies() {
        let found = stream(300, |row| (row % 7 == 0).then(|| vec![f64::NAN, f64::INFINITY]));
        assert!(found.iter().step_by(7).all(|found| found.score == 0.0));
        for value in [0.0, f64::NAN, f64::MAX, -f64::MAX] {
            let found = stream(300, |_| Some(vec![value; 2]));
            assert!(found.iter().all(|found| !found.is_alarm), "{value}");
        }
    }

    #[test]
    fn settings_and_rows_that_do_not_fit_are_errors() {
        let device = Device::flex();
        let of = |window, warm_up, channels| {
            let config = OnlineConfig { window, warm_up, ..OnlineConfig::default() };
            OnlineDetector::new(&config, channels, &device)
        };
        assert!(of(1, 100, 1).is_err() && of(8, 14, 1).is_err() && of(8, 100, 0).is_err());
        let mut detector = of(8, 15, 2).unwrap();
        assert!(detector.push(&[1.0], None).is_err());
        assert!(detector.push(&[1.0, 2.0], None).is_ok());
    }
}
