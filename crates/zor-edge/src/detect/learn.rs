//! Learning what is normal on the device, from its first rows.
//!
//! The network is that of the host: a row's standardised values, 0 where they are hidden, and a
//! flag for each that is shown; two hidden layers of gated units; the whole row. It learns by the
//! local rule: the error at the output passes down through the weights and the gates, is normalised
//! for each hidden unit over the batch, and a weight moves along its correlation with the
//! normalised outputs below.

use super::DetectError;
use super::columns::{robust_scale, sort, standardised};
use super::layout::{Parts, Sample};
use super::restorer::{Block, draw_weights, gate, pass, run};
use super::settings::{DetectorSettings, memory_len};
use crate::learn::{LearnError, Step, next_powers};
use crate::program::{DType, LayerSpec, ProgramError};
use crate::random::Random;
use crate::scoring::{Scoring, mask_words};
use crate::write::{LayerSource, write_detector};

/// Mean share of hidden cells in training. That of a row is uniform between 0 and twice this.
const MASK: f32 = 0.3;
/// Number of passes that hide each cell once.
const GROUPS: usize = 3;
/// Standard deviation of the noise on standardised values in training.
const NOISE: f32 = 0.1;
/// Added to the expected error of each cell, so that a cell that is always restored does not rule
/// the score.
const LEAST_ERROR: f32 = 1e-2;
/// Weights stay within ± this, so that they stay finite.
const MAX_WEIGHT: f32 = 8.0;

/// What a detector does with the next row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It keeps the row to learn from it.
    Collecting,
    /// It passes the row over: [`DetectorLearner::train`] is due.
    Training,
    /// It measures how well it restores the row, which it has not learned from.
    Calibrating,
    /// It scores the row.
    Ready,
}

/// A detector that learns what is normal on the device, in memory that the caller provides.
///
/// ```
/// use zor_edge::{DetectorLearner, DetectorSettings, Stage, memory_len};
///
/// const SETTINGS: DetectorSettings = DetectorSettings { hidden: 16, ..DetectorSettings::new(3) };
/// let mut memory = [0.0; memory_len(&SETTINGS)]; // static, on a device
/// let mut detector = DetectorLearner::new(SETTINGS, &mut memory)?;
/// let mut sensor = (0..).map(|time| [0.1, 0.2, 0.3].map(|speed| (time as f32 * speed).sin()));
/// while detector.stage() != Stage::Ready {
///     match detector.stage() {
///         Stage::Training => _ = detector.train(), // a step
///         _ => _ = detector.push(&sensor.next().unwrap())?,
///     }
/// }
/// let score = detector.score(&sensor.next().unwrap())?;
/// assert!(detector.score(&[5.0, -5.0, 5.0])? > score);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DetectorLearner<'a> {
    settings: DetectorSettings,
    stage: Stage,
    /// Rows that were collected, or calibrated on.
    n: usize,
    /// Steps that were taken.
    steps: u32,
    random: Random,
    powers: [f32; 2],
    threshold: f32,
    parts: Parts<'a>,
}

impl<'a> DetectorLearner<'a> {
    /// A detector that has seen nothing. The contents of `memory`, of [`memory_len`] values, are
    /// overwritten.
    ///
    /// # Errors
    /// If a setting is not valid, the false-alarm rate is smaller than so few rows can promise, or
    /// the memory has another length.
    pub fn new(settings: DetectorSettings, memory: &'a mut [f32]) -> Result<Self, LearnError> {
        if !settings.is_valid() {
            return Err(LearnError::Settings);
        }
        if memory.len() != memory_len(&settings) {
            return Err(LearnError::Memory);
        }
        memory.fill(0.0);
        let mut parts = Parts::divide(memory, &settings).ok_or(LearnError::Memory)?;
        let mut random = Random::seeded(settings.seed);
        draw_weights(&settings, parts.weights, &mut random);
        draw_masks(&settings, &mut parts, &mut random);
        let (stage, powers) = (Stage::Collecting, [1.0; 2]);
        Ok(Self { settings, stage, n: 0, steps: 0, random, powers, threshold: 0.0, parts })
    }

    /// What the detector does with the next row.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What turns restored rows into scores. Before the detector is ready, it is not complete.
    pub fn scoring(&self) -> Scoring<'_> {
        Scoring {
            window: 1,
            centers: self.parts.centers,
            scales: self.parts.scales,
            categories: self.parts.categories,
            errors: self.parts.errors,
            masks: self.parts.masks,
            threshold: self.threshold,
        }
    }

    /// Takes a row that is normal; NaN for missing values. Returns what the detector does with the
    /// next one.
    ///
    /// # Errors
    /// If the row has the wrong number of values.
    pub fn push(&mut self, row: &[f32]) -> Result<Stage, DetectError> {
        let DetectorSettings { cells, rows, .. } = self.settings;
        if row.len() != cells {
            return Err(DetectError::Row);
        }
        let start = self.n * cells;
        match self.stage {
            Stage::Collecting => {
                let place = self.parts.rows.get_mut(start..).unwrap_or_default();
                place.iter_mut().zip(row).for_each(|(to, value)| *to = *value);
                self.n += 1;
                if self.n == rows {
                    self.standardise();
                    (self.stage, self.n) = (Stage::Training, 0);
                }
            }
            Stage::Calibrating => {
                let mut all = core::mem::take(&mut self.parts.rows);
                let errors = all.get_mut(start..start + cells).unwrap_or_default();
                let done = self.restore(row, errors);
                core::mem::swap(&mut self.parts.rows, &mut all);
                done?;
                self.n += 1;
                if self.n == rows {
                    self.calibrate();
                    self.stage = Stage::Ready;
                }
            }
            Stage::Training | Stage::Ready => {}
        }
        Ok(self.stage)
    }

    /// Takes a training step if one is due. Returns the mean squared error of standardised values
    /// before it, or 0 if none was due.
    pub fn train(&mut self) -> f32 {
        if self.stage != Stage::Training {
            return 0.0;
        }
        self.draw_samples();
        self.forward();
        let error = self.top_signal();
        self.descend();
        self.steps += 1;
        if self.steps == self.settings.steps {
            self.stage = Stage::Calibrating;
        }
        error
    }

    /// Score of a row; that of a normal one is about 1.
    ///
    /// # Errors
    /// If the row has the wrong number of values, or the detector is still learning.
    pub fn score(&mut self, row: &[f32]) -> Result<f32, DetectError> {
        if self.stage != Stage::Ready {
            return Err(DetectError::Learning);
        }
        let scratch = core::mem::take(&mut self.parts.scratch);
        let hidden = core::mem::take(&mut self.parts.hidden);
        let halves = scratch.split_at_mut_checked(self.settings.cells);
        let (parts, buffers) = halves.unwrap_or_default();
        let score = self.scoring().score(row, parts, buffers, |input, output| {
            run(&self.settings, self.parts.weights, input, hidden, output);
            Ok(())
        });
        (self.parts.scratch, self.parts.hidden) = (scratch, hidden);
        score
    }

    /// True if a score is above the threshold; never while the detector is learning.
    pub fn is_alarm(&self, score: f32) -> bool {
        self.stage == Stage::Ready && score > self.threshold
    }

    /// Writes a program for [`Detector`](super::Detector), to flash for instance.
    ///
    /// # Errors
    /// If the detector is still learning: its scoring is not complete.
    pub fn write_program(&self, put: impl FnMut(&[u8])) -> Result<usize, ProgramError> {
        let source =
            LayerSource { shape: LayerSpec::dense(1, 1), weights: &[], scales: &[], biases: &[] };
        let mut layers = [source; 3];
        let mut rest = &*self.parts.weights;
        for (index, (layer, [inputs, outputs])) in
            layers.iter_mut().zip(self.settings.layers()).enumerate()
        {
            let threshold = (index < 2).then_some(0.0);
            layer.shape =
                LayerSpec { threshold, has_biases: true, ..LayerSpec::dense(inputs, outputs) };
            let (weights, after) = rest.split_at_checked(inputs * outputs).unwrap_or_default();
            let (biases, after) = after.split_at_checked(outputs).unwrap_or_default();
            layer.weights = bytemuck::try_cast_slice(weights).unwrap_or(&[]);
            layer.biases = biases;
            rest = after;
        }
        let input = [1, 1, 2 * self.settings.cells];
        write_detector(DType::F32, input, &layers, &self.scoring(), put)
    }

    /// Fits the center and the scale of each column: its median and its winsorised standard
    /// deviation, as on the host.
    fn standardise(&mut self) {
        let cells = self.settings.cells;
        let Parts { rows, centers, scales, sorted, .. } = &mut self.parts;
        for (column, (center, scale)) in centers.iter_mut().zip(&mut **scales).enumerate() {
            let values = rows.iter().skip(column).step_by(cells.max(1)).copied();
            let n = sort(values.filter(|value| value.is_finite()), sorted);
            (*center, *scale) = robust_scale(sorted.get(..n).unwrap_or(&[]));
        }
    }

    /// Draws rows, hides some of their cells, and adds noise to the others.
    fn draw_samples(&mut self) {
        let DetectorSettings { cells, rows, .. } = self.settings;
        let Parts { centers, scales, sample, rows: all, .. } = &mut self.parts;
        let mut inputs = &mut *sample.inputs;
        for row in &mut *sample.rows {
            let index = self.random.below(rows);
            *row = index as u32;
            let share = 2.0 * MASK * self.random.uniform();
            let Some((own, after)) = core::mem::take(&mut inputs).split_at_mut_checked(2 * cells)
            else {
                return;
            };
            inputs = after;
            let (shown, flags) = own.split_at_mut_checked(cells).unwrap_or_default();
            let values = standardised(all, index, centers, scales);
            for ((shown, flag), value) in shown.iter_mut().zip(flags).zip(values) {
                let is_hidden = value.is_nan() || self.random.uniform() < share;
                *flag = if is_hidden { 0.0 } else { 1.0 };
                *shown = if is_hidden { 0.0 } else { value + NOISE * self.random.normal() };
            }
        }
    }

    fn forward(&mut self) {
        let [first, second, third] = self.settings.layers();
        let Sample { inputs, hidden: [below, above], outputs, .. } = &mut self.parts.sample;
        let mut rest = &*self.parts.weights;
        pass(&mut rest, inputs, below, first);
        gate(below);
        pass(&mut rest, below, above, second);
        gate(above);
        pass(&mut rest, above, outputs, third);
    }

    /// Turns the outputs into their errors. Returns the mean squared error.
    fn top_signal(&mut self) -> f32 {
        let Parts { centers, scales, sample, rows, .. } = &mut self.parts;
        let (mut sum, mut count) = (0.0, 0.0f32);
        let mut outputs = sample.outputs.iter_mut();
        for index in &*sample.rows {
            for value in standardised(rows, *index as usize, centers, scales) {
                let Some(output) = outputs.next() else { break };
                *output = if value.is_nan() { 0.0 } else { value - *output };
                sum += *output * *output;
                count += if value.is_nan() { 0.0 } else { 1.0 };
            }
        }
        sum / count.max(1.0)
    }

    /// Passes the errors down and changes the weights of every layer.
    fn descend(&mut self) {
        let layers = self.settings.layers();
        self.powers = next_powers(self.powers);
        let left = (self.settings.steps - self.steps) as f32 / self.settings.steps as f32;
        let step = Step {
            optimizer: self.settings.optimizer.with_share(left),
            powers: self.powers,
            limit: MAX_WEIGHT,
        };
        let kept = step.optimizer.kept();
        let Parts { weights, optimizer, sample, correlations, .. } = &mut self.parts;
        let Sample { inputs, hidden: [below, above], outputs, signals: [lower, upper], .. } =
            sample;
        let mut ends = [0; 3];
        let mut end = 0;
        for (place, [inputs, outputs]) in ends.iter_mut().zip(layers) {
            *place = end;
            end += (inputs + 1) * outputs;
        }
        let [first, second, third] = layers;
        let [at_first, at_second, at_third] = ends;
        let mut part = |at: usize, layer: [usize; 2], learn: &mut dyn FnMut(Block<'_>)| {
            let n = (layer[0] + 1) * layer[1];
            if let (Some(weights), Some(optimizer)) =
                (weights.get_mut(at..at + n), optimizer.get_mut(kept * at..kept * (at + n)))
            {
                learn(Block { weights, optimizer, shape: layer });
            }
        };
        part(at_third, third, &mut |block| {
            block.send_down(outputs, upper, above);
            block.learn(step, above, outputs, correlations);
        });
        part(at_second, second, &mut |block| {
            block.send_down(upper, lower, below);
            block.learn(step, below, upper, correlations);
        });
        part(at_first, first, &mut |block| block.learn(step, inputs, lower, correlations));
    }

    /// Writes the mean squared error of each cell of a row.
    fn restore(&mut self, row: &[f32], errors: &mut [f32]) -> Result<(), DetectError> {
        let scratch = core::mem::take(&mut self.parts.scratch);
        let hidden = core::mem::take(&mut self.parts.hidden);
        let done = self.scoring().restore(row, errors, scratch, |input, output| {
            run(&self.settings, self.parts.weights, input, hidden, output);
            Ok(())
        });
        (self.parts.scratch, self.parts.hidden) = (scratch, hidden);
        done
    }

    /// Measures the expected error of each cell, and the threshold, on the errors of later rows.
    fn calibrate(&mut self) {
        let DetectorSettings { cells, rows, false_alarm_rate, .. } = self.settings;
        let Parts { rows: all, errors, sorted, .. } = &mut self.parts;
        for (column, error) in errors.iter_mut().enumerate() {
            let own = || all.iter().skip(column).step_by(cells.max(1)).filter(|e| !e.is_nan());
            *error = own().sum::<f32>() / (own().count() as f32).max(1.0) + LEAST_ERROR;
        }
        let score = |row: usize| {
            let own = all.iter().skip(row * cells).take(cells);
            let (mut sum, mut count) = (0.0, 0.0f32);
            for (error, expected) in own.zip(&**errors).filter(|(error, _)| !error.is_nan()) {
                sum += libm::sqrtf(error / expected);
                count += 1.0;
            }
            sum / count.max(1.0)
        };
        let n = sort((0..rows).map(score), sorted);
        // The largest number of later rows that may score as high as an alarm (conformal p-values,
        // as on the host).
        let allowed = (false_alarm_rate * (n as f32 + 1.0) + 1e-4) as usize;
        let at = n.saturating_sub(allowed.max(1));
        self.threshold = sorted.get(at).copied().unwrap_or(f32::MAX);
    }
}

/// Draws the cells that each pass hides. Every [`GROUPS`] passes hide each cell once.
fn draw_masks(settings: &DetectorSettings, parts: &mut Parts<'_>, random: &mut Random) {
    let cells = settings.cells;
    let order = parts.sorted.get_mut(..cells).unwrap_or_default();
    order.iter_mut().enumerate().for_each(|(at, cell)| *cell = at as f32);
    let words = mask_words(cells);
    for pass in 0..settings.passes {
        if pass % GROUPS == 0 {
            // Fisher and Yates.
            for last in (1..cells).rev() {
                let other = random.below(last + 1);
                if let (Some(a), Some(b)) = (order.get(last).copied(), order.get(other).copied()) {
                    order.iter_mut().skip(last).take(1).for_each(|cell| *cell = b);
                    order.iter_mut().skip(other).take(1).for_each(|cell| *cell = a);
                }
            }
        }
        for cell in order.iter().skip(pass % GROUPS).step_by(GROUPS) {
            let cell = *cell as usize;
            if let Some(word) = parts.masks.get_mut(pass * words + cell / 32) {
                *word |= 1 << (cell % 32);
            }
        }
    }
}
