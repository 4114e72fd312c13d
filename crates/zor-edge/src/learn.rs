//! The classic rule on the device, in memory that the caller provides.
//!
//! Forward, for every sample of a batch and every layer `k`: charges below `min_charge` are
//! forgotten (all of them if not stateful); `charge += x`; a unit fires where `charge > threshold`,
//! passes `y = charge` and starts again at zero; `x = y W[k]` goes on up.
//!
//! Learning, from the output down, with the signal `s = target - y`: `s = clamp(s / ||s||, ±1)`,
//! norms over the batch, of each unit; with `p = y / (||y|| + 1e-8)` of the layer below and
//! `g = spike / (||spike|| + 1e-8)` of the layer itself, a weight moves along `p^T (s g)`, and
//! `s W^T`, with `W` from before the step, is the signal of the layer below.

#![forbid(unsafe_code)]

use core::fmt;

use crate::activation::softmax;
use crate::events::{FEW_EVENTS, ProductStrategy, Sums};
use crate::kernels::{Number, Rows};
use crate::program::{DType, LayerSpec};
use crate::write::{LayerSource, write};

/// What of the rule can be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// A unit fires when its charge is strictly above this.
    pub threshold: f32,
    /// Charges below this are forgotten before the next batch.
    pub min_charge: f32,
    /// Whether a charge that did not fire waits for the same row of the next batch.
    pub stateful: bool,
    /// Weights stay within ± this.
    pub weight_limit: f32,
}

impl Rule {
    /// The rule of the first version.
    pub const CLASSIC: Self =
        Self { threshold: -2.0, min_charge: -5.0, stateful: true, weight_limit: 1.0 };
}

/// How a correlation changes a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// `v = momentum v + correlation; w += rate v`. A number of state for each weight.
    Sgd {
        /// The learning rate.
        rate: f32,
        /// How much of the last direction stays.
        momentum: f32,
    },
    /// AdamW (Loshchilov and Hutter 2019) with betas 0.9 and 0.999 and epsilon 1e-8. Two numbers of
    /// state for each weight.
    AdamW {
        /// The learning rate.
        rate: f32,
        /// Decoupled weight decay.
        decay: f32,
    },
}

impl Optimizer {
    /// The classic preset's.
    pub const CLASSIC: Self = Self::AdamW { rate: 1e-3, decay: 0.01 };

    /// Numbers that it keeps for a weight.
    pub const fn kept(&self) -> usize {
        match self {
            Self::Sgd { .. } => 1,
            Self::AdamW { .. } => 2,
        }
    }
}

/// Added to norms that are divided by.
const NORM_EPSILON: f32 = 1e-8;
/// Samples of a batch, at most.
const MOST_ROWS: usize = 64;
const BETAS: [f32; 2] = [0.9, 0.999];
const ADAM_EPSILON: f32 = 1e-8;

/// Weights of a network of these widths, input first.
pub const fn weights_len(widths: &[usize]) -> usize {
    let (mut sum, mut k) = (0, 1);
    while k < widths.len() {
        sum += widths[k - 1] * widths[k];
        k += 1;
    }
    sum
}

/// Numbers of memory that learning needs beside the weights, for batches of at most `batch`
/// samples.
pub const fn state_len(widths: &[usize], batch: usize, optimizer: &Optimizer) -> usize {
    let (mut sum, mut widest, mut k) = (0, 0, 0);
    while k < widths.len() {
        sum += widths[k];
        if widths[k] > widest {
            widest = widths[k];
        }
        k += 1;
    }
    // Outputs, spikes and charges of all layers; two signals; a row of correlations.
    optimizer.kept() * weights_len(widths) + batch * (3 * sum + 2 * widest) + widest
}

/// Why nothing was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LearnError {
    /// There are fewer than two widths, or one is zero or above 65,535.
    Widths,
    /// The batch is empty or above 64 samples.
    Batch,
    /// The weights are not [`weights_len`] numbers, or the state is not [`state_len`] numbers.
    Memory,
    /// Inputs, targets or labels do not fit the widths and each other.
    Shape,
    /// An input, a target, or what the network makes of them is not a finite number; the weights
    /// are as before, charges are zero.
    NotFinite,
    /// A weight or a number of the rule or the optimizer is not finite, or a momentum is not from 0
    /// to 1.
    Settings,
}

impl fmt::Display for LearnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Widths => "a network has two widths or more, each from 1 to 65,535",
            Self::Batch => "a batch has 1 to 64 samples, and no more than there is state for",
            Self::Memory => "weights_len() and state_len() say how long weights and state are",
            Self::Shape => "inputs and targets have as many rows, as wide as the network",
            Self::NotFinite => {
                "an input, a target or an output is not finite; the weights are as before"
            }
            Self::Settings => {
                "weights, rule and optimizer have finite numbers, a momentum is from 0 to 1"
            }
        })
    }
}

impl core::error::Error for LearnError {}

/// What a network shall say.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// These values, `[batch, outputs]`.
    Values(&'a [f32]),
    /// The class with this number, one for each sample; outputs are then taken through softmax.
    Classes(&'a [u8]),
}

/// A dense network that learns.
///
/// ```
/// use zor_edge::{Learner, Optimizer, Rule, Target, state_len, weights_len};
///
/// const WIDTHS: [usize; 3] = [4, 3, 4];
/// const OPTIMIZER: Optimizer = Optimizer::Sgd { rate: 0.05, momentum: 0.9 };
/// let mut weights = [0.0; weights_len(&WIDTHS)];
/// let mut state = [0.0; state_len(&WIDTHS, 2, &OPTIMIZER)];
/// let mut learner = Learner::new(&WIDTHS, 2, Rule::CLASSIC, OPTIMIZER, &mut weights, &mut state)?;
/// learner.draw_weights(1);
/// let samples = [1.0, 0.0, 0.0, 0.5, 0.0, 1.0, 0.5, 0.0];
/// let first = learner.learn(&samples, Target::Values(&samples))?;
/// let last = (0..100).try_fold(first, |_, _| learner.learn(&samples, Target::Values(&samples)))?;
/// assert!(last < 0.5 * first);
/// # Ok::<(), zor_edge::LearnError>(())
/// ```
#[derive(Debug)]
pub struct Learner<'a> {
    widths: &'a [usize],
    batch: usize,
    rule: Rule,
    optimizer: Optimizer,
    weights: &'a mut [f32],
    kept: &'a mut [f32],
    outputs: &'a mut [f32],
    spikes: &'a mut [f32],
    charges: &'a mut [f32],
    signals: [&'a mut [f32]; 2],
    row: &'a mut [f32],
    /// Rows of the last batch: charges belong to them.
    rows: usize,
    /// Powers of Adam's betas.
    powers: [f32; 2],
}

impl<'a> Learner<'a> {
    /// With weights that are there, such as zeros to be [drawn](Self::draw_weights) or those of a
    /// trained network, and a state that is forgotten.
    ///
    /// # Errors
    /// When widths, batch or memory do not fit, or a weight or a setting is not a finite number.
    pub fn new(
        widths: &'a [usize],
        batch: usize,
        rule: Rule,
        optimizer: Optimizer,
        weights: &'a mut [f32],
        state: &'a mut [f32],
    ) -> Result<Self, LearnError> {
        let fits = |width: &usize| (1..=usize::from(u16::MAX)).contains(width);
        if widths.len() < 2 || !widths.iter().all(fits) {
            return Err(LearnError::Widths);
        }
        if batch == 0 || batch > MOST_ROWS {
            return Err(LearnError::Batch);
        }
        if weights.len() != weights_len(widths)
            || state.len() != state_len(widths, batch, &optimizer)
        {
            return Err(LearnError::Memory);
        }
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        let sound = match optimizer {
            Optimizer::Sgd { rate, momentum } => {
                rate.is_finite() && (0.0..=1.0).contains(&momentum)
            }
            Optimizer::AdamW { rate, decay } => finite(&[rate, decay]),
        };
        // Charges may be kept however negative they are.
        let kept = !rule.min_charge.is_nan();
        if !(sound && kept && finite(&[rule.threshold, rule.weight_limit]) && finite(weights)) {
            return Err(LearnError::Settings);
        }
        state.fill(0.0);
        let sum: usize = widths.iter().sum();
        let widest = widths.iter().copied().max().unwrap_or(0);
        let mut rest = state;
        let mut part = |n: usize| -> Result<&'a mut [f32], LearnError> {
            let whole = core::mem::take(&mut rest);
            let (part, after) = whole.split_at_mut_checked(n).ok_or(LearnError::Memory)?;
            rest = after;
            Ok(part)
        };
        Ok(Self {
            widths,
            batch,
            rule,
            optimizer,
            kept: part(optimizer.kept() * weights.len())?,
            outputs: part(batch * sum)?,
            spikes: part(batch * sum)?,
            charges: part(batch * sum)?,
            signals: [part(batch * widest)?, part(batch * widest)?],
            row: part(widest)?,
            weights,
            rows: 0,
            powers: [1.0; 2],
        })
    }

    /// Draws weights from `Normal(0, 0.5 sqrt(2 / (inputs + outputs)))` (Box and Muller 1958).
    pub fn draw_weights(&mut self, seed: u64) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut uniform = || {
            // xorshift64* (Vigna 2016); the upper 24 bits, never zero.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let bits = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
            (bits as f32 + 0.5) / 16_777_216.0
        };
        let mut rest = &mut *self.weights;
        for pair in self.widths.windows(2) {
            let [inputs, outputs] = pair else { continue };
            let deviation = 0.5 * libm::sqrtf(2.0 / (inputs + outputs) as f32);
            let Some((layer, above)) =
                core::mem::take(&mut rest).split_at_mut_checked(inputs * outputs)
            else {
                return;
            };
            for weight in layer {
                let radius = libm::sqrtf(-2.0 * libm::logf(uniform()));
                *weight = deviation * radius * libm::cosf(2.0 * core::f32::consts::PI * uniform());
            }
            rest = above;
        }
    }

    /// The weights, layer by layer, each `[inputs, outputs]`.
    pub fn weights(&self) -> &[f32] {
        self.weights
    }

    /// The numbers that the optimizer keeps, and those that charges and norms need, in bytes:
    /// [`state_len`] numbers.
    pub fn state_bytes(&self) -> usize {
        4 * state_len(self.widths, self.batch, &self.optimizer)
    }

    /// Learns from a batch. Returns the mean absolute error before the step.
    ///
    /// # Errors
    /// When the batch does not fit, or is not finite, or too large for finite outputs; weights are
    /// as before then.
    pub fn learn(&mut self, inputs: &[f32], target: Target<'_>) -> Result<f32, LearnError> {
        let (first, last) = self.ends();
        let rows = inputs.len() / first.max(1);
        if rows == 0 || rows > self.batch {
            return Err(LearnError::Batch);
        }
        let fits = match target {
            Target::Values(values) => values.len() == rows * last,
            Target::Classes(classes) => {
                classes.len() == rows && classes.iter().all(|class| usize::from(*class) < last)
            }
        };
        if inputs.len() != rows * first || !fits {
            return Err(LearnError::Shape);
        }
        let finite = self.forward(inputs, rows);
        let error = self.top_signal(target, rows);
        if !(finite && error.is_finite()) {
            self.charges.fill(0.0);
            return Err(LearnError::NotFinite);
        }
        self.descend(rows);
        Ok(error)
    }

    /// The outputs for one sample, from zero charges; nothing changes. `scratch` is twice the
    /// widest layer.
    ///
    /// # Errors
    /// When a slice does not fit.
    pub fn predict(
        &self,
        input: &[f32],
        output: &mut [f32],
        scratch: &mut [f32],
    ) -> Result<(), LearnError> {
        let (first, last) = self.ends();
        let widest = self.widths.iter().copied().max().unwrap_or(0);
        let halves = scratch.split_at_mut_checked(widest);
        let Some((mut from, mut to)) = halves.filter(|(_, to)| to.len() >= widest) else {
            return Err(LearnError::Memory);
        };
        if input.len() != first || output.len() != last {
            return Err(LearnError::Shape);
        }
        from.iter_mut().zip(input).for_each(|(to, from)| *to = *from);
        let mut weights = &*self.weights;
        for pair in self.widths.windows(2) {
            let [inputs, outputs] = *pair else { continue };
            let (Some(x), Some(y), Some((layer, above))) = (
                from.get_mut(..inputs),
                to.get_mut(..outputs),
                weights.split_at_checked(inputs * outputs),
            ) else {
                return Err(LearnError::Memory);
            };
            let threshold = self.rule.threshold;
            x.iter_mut().for_each(|x| *x = if *x > threshold { *x } else { 0.0 });
            y.fill(0.0);
            add_products(y, layer, x);
            weights = above;
            core::mem::swap(&mut from, &mut to);
        }
        output.iter_mut().zip(&*from).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    /// Writes a program that [`Network`](crate::Network) runs, as [`write()`] does.
    ///
    /// # Errors
    /// When the network has more layers than a program.
    pub fn write_program(&self, put: impl FnMut(&[u8])) -> Result<usize, crate::ProgramError> {
        let mut layers =
            [LayerSource { shape: LayerSpec::dense(1, 1), weights: &[], scales: &[], biases: &[] };
                16];
        let n = self.widths.len() - 1;
        let too_many = crate::ProgramError::Layer {
            layer: n,
            fault: "a learner's program has 15 layers at most",
        };
        let (gate, dense) = layers.split_first_mut().ok_or(too_many)?;
        let (first, _) = self.ends();
        gate.shape = LayerSpec::gate(first, self.rule.threshold);
        let mut weights = &*self.weights;
        let dense = dense.get_mut(..n).ok_or(too_many)?;
        for (index, (layer, pair)) in dense.iter_mut().zip(self.widths.windows(2)).enumerate() {
            let [inputs, outputs] = *pair else { continue };
            let (own, above) = weights.split_at_checked(inputs * outputs).ok_or(too_many)?;
            let threshold = (index + 1 < n).then_some(self.rule.threshold);
            layer.shape = LayerSpec { threshold, ..LayerSpec::dense(inputs, outputs) };
            layer.weights = bytemuck::try_cast_slice(own).unwrap_or(&[]);
            weights = above;
        }
        write(DType::F32, [1, 1, first], layers.get(..n + 1).ok_or(too_many)?, put)
    }

    fn ends(&self) -> (usize, usize) {
        let end = |width: Option<&usize>| width.copied().unwrap_or(0);
        (end(self.widths.first()), end(self.widths.last()))
    }

    /// Fills outputs and spikes of every layer. Returns whether all charges were finite.
    fn forward(&mut self, inputs: &[f32], rows: usize) -> bool {
        if rows != self.rows || !self.rule.stateful {
            self.charges.fill(0.0);
            self.rows = rows;
        }
        let Rule { threshold, min_charge, .. } = self.rule;
        // Layers lie one after the other, each `[batch, width]`, as far as it has rows.
        let (mut outputs, mut spikes, mut charges) =
            (&mut *self.outputs, &mut *self.spikes, &mut *self.charges);
        let mut weights = &*self.weights;
        let mut below: &[f32] = &[];
        let mut width_below = 0;
        let mut finite = true;
        for (k, width) in self.widths.iter().enumerate() {
            let (y, rest) = take(outputs, rows * width);
            outputs = rest;
            let (spike, rest) = take(spikes, rows * width);
            spikes = rest;
            let (charge, rest) = take(charges, rows * width);
            charges = rest;
            if k == 0 {
                y.iter_mut().zip(inputs).for_each(|(y, x)| *y = *x);
            } else {
                let (layer, above) =
                    weights.split_at_checked(width_below * width).unwrap_or((&[], &[]));
                weights = above;
                y.fill(0.0);
                let samples = pairs(rows_of_mut(y, *width), rows_of(below, width_below));
                samples.for_each(|(y, x)| add_products(y, layer, x));
            }
            for ((y, spike), charge) in y.iter_mut().zip(spike).zip(charge) {
                let kept = if *charge < min_charge { 0.0 } else { *charge };
                let full = kept + *y;
                finite &= full.is_finite();
                let fires = full > threshold;
                (*y, *spike, *charge) = if fires { (full, 1.0, 0.0) } else { (0.0, 0.0, full) };
            }
            below = y;
            width_below = *width;
        }
        finite
    }

    /// Puts the signal at the output into the first buffer. Returns the mean absolute error.
    fn top_signal(&mut self, target: Target<'_>, rows: usize) -> f32 {
        let (_, last) = self.ends();
        let before: usize = self.widths.iter().sum::<usize>() - last;
        let outputs = self.outputs.get(rows * before..rows * (before + last)).unwrap_or(&[]);
        let [signal, _] = &mut self.signals;
        let signal = signal.get_mut(..rows * last).unwrap_or(&mut []);
        match target {
            Target::Values(values) => {
                for ((signal, target), y) in signal.iter_mut().zip(values).zip(outputs) {
                    *signal = target - y;
                }
            }
            Target::Classes(classes) => {
                signal.iter_mut().zip(outputs).for_each(|(signal, y)| *signal = *y);
                for (signal, class) in pairs(rows_of_mut(signal, last), classes) {
                    softmax(signal);
                    for (unit, signal) in signal.iter_mut().enumerate() {
                        *signal = f32::from(u8::from(unit == usize::from(*class))) - *signal;
                    }
                }
            }
        }
        signal.iter().map(|signal| signal.abs()).sum::<f32>() / (rows * last) as f32
    }

    /// From the output down: moves weights, sends the signal on.
    fn descend(&mut self, rows: usize) {
        self.powers = [self.powers[0] * BETAS[0], self.powers[1] * BETAS[1]];
        let mut values_end = rows * self.widths.iter().sum::<usize>();
        let mut weights_end = self.weights.len();
        let [mut above, mut below] = self.signals.each_mut().map(|signal| &mut **signal);
        for pair in self.widths.windows(2).rev() {
            let [inputs, outputs] = *pair else { continue };
            let spikes =
                self.spikes.get_mut(values_end - rows * outputs..values_end).unwrap_or(&mut []);
            values_end -= rows * outputs;
            let p = self.outputs.get_mut(values_end - rows * inputs..values_end).unwrap_or(&mut []);
            let place = weights_end - inputs * outputs..weights_end;
            weights_end = place.start;
            let kept_place = place.start * self.optimizer.kept()..place.end * self.optimizer.kept();
            let (Some(weights), Some(kept), Some(signal), Some(down), Some(row)) = (
                self.weights.get_mut(place),
                self.kept.get_mut(kept_place),
                above.get_mut(..rows * outputs),
                below.get_mut(..rows * inputs),
                self.row.get_mut(..outputs),
            ) else {
                return;
            };
            divide_by_norms(signal, outputs, 0.0);
            signal.iter_mut().for_each(|signal| *signal = signal.clamp(-1.0, 1.0));
            if weights_end > 0 {
                for (down, signal) in pairs(rows_of_mut(down, inputs), rows_of(signal, outputs)) {
                    for (down, weights) in pairs(down.iter_mut(), rows_of(weights, outputs)) {
                        *down = signal
                            .iter()
                            .zip(weights)
                            .map(|(signal, weight)| signal * weight)
                            .sum();
                    }
                }
            }
            divide_by_norms(p, inputs, NORM_EPSILON);
            divide_by_norms(spikes, outputs, NORM_EPSILON);
            signal.iter_mut().zip(&*spikes).for_each(|(signal, gate)| *signal *= gate);
            let step = Step {
                optimizer: self.optimizer,
                powers: self.powers,
                limit: self.rule.weight_limit,
            };
            let mut column = [0.0; MOST_ROWS];
            let kept = rows_of_mut(kept, self.optimizer.kept() * outputs);
            for (input, (weights, kept)) in pairs(rows_of_mut(weights, outputs), kept).enumerate() {
                for (value, p) in column.iter_mut().zip(p.iter().skip(input).step_by(inputs.max(1)))
                {
                    *value = *p;
                }
                row.fill(0.0);
                f32::add_rows(
                    row,
                    signal,
                    (outputs, 0),
                    Rows::From(0),
                    column.get(..rows).unwrap_or(&[]),
                );
                step.apply(weights, kept, row);
            }
            core::mem::swap(&mut above, &mut below);
        }
    }
}

/// The first so many, and the rest.
fn take(slice: &mut [f32], n: usize) -> (&mut [f32], &mut [f32]) {
    slice.split_at_mut_checked(n).unwrap_or((&mut [], &mut []))
}

/// Rows of a matrix, each of so many values.
fn rows_of(matrix: &[f32], columns: usize) -> core::slice::ChunksExact<'_, f32> {
    matrix.chunks_exact(columns.max(1))
}

fn rows_of_mut(matrix: &mut [f32], columns: usize) -> core::slice::ChunksExactMut<'_, f32> {
    matrix.chunks_exact_mut(columns.max(1))
}

/// As [`Iterator::zip`], which asks chunks for their number, divides, and leaves a panic for chunks
/// of nothing.
fn pairs<A: IntoIterator, B: IntoIterator>(a: A, b: B) -> impl Iterator<Item = (A::Item, B::Item)> {
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    core::iter::from_fn(move || Some((a.next()?, b.next()?)))
}

/// `y += x W`, without what is silent where that is faster.
fn add_products(y: &mut [f32], weights: &[f32], x: &[f32]) {
    let columns = y.len();
    let path = ProductStrategy::faster(x, columns);
    let (mut rows, mut values) = ([0; FEW_EVENTS], [0.0; FEW_EVENTS]);
    let mut sums = Sums {
        sums: y,
        weights,
        columns,
        first: 0,
        path,
        rows: &mut rows,
        values: &mut values,
        n: 0,
    };
    sums.add(x, 0);
    sums.flush();
}

/// Divides every column of `[rows, columns]` by its norm and a little; one without a norm, or with
/// one that is not finite, becomes zero.
fn divide_by_norms(values: &mut [f32], columns: usize, epsilon: f32) {
    let columns = columns.max(1);
    for column in 0..columns {
        let one = || values.iter().skip(column).step_by(columns);
        let norm = libm::sqrtf(one().map(|value| value * value).sum::<f32>()) + epsilon;
        let usable = norm > 0.0 && norm.is_finite();
        let one = values.iter_mut().skip(column).step_by(columns);
        if usable {
            let inverse = 1.0 / norm;
            one.for_each(|value| *value *= inverse);
        } else {
            one.for_each(|value| *value = 0.0);
        }
    }
}

/// A step of the optimizer for one row of weights.
struct Step {
    optimizer: Optimizer,
    powers: [f32; 2],
    limit: f32,
}

impl Step {
    fn apply(&self, weights: &mut [f32], kept: &mut [f32], correlations: &[f32]) {
        let n = weights.len();
        let clamp = |weight: f32| weight.max(-self.limit).min(self.limit);
        let (first, second) = kept.split_at_mut_checked(n).unwrap_or((&mut [], &mut []));
        match self.optimizer {
            Optimizer::Sgd { rate, momentum } => {
                for ((weight, v), correlation) in weights.iter_mut().zip(first).zip(correlations) {
                    *v = momentum * *v + correlation;
                    *weight = clamp(*weight + rate * *v);
                }
            }
            Optimizer::AdamW { rate, decay } => {
                let [unbias_1, unbias_2] = self.powers.map(|power| 1.0 / (1.0 - power));
                let moments = first.iter_mut().zip(second);
                for ((weight, (m, v)), c) in weights.iter_mut().zip(moments).zip(correlations) {
                    *m = BETAS[0] * *m + (1.0 - BETAS[0]) * c;
                    *v = BETAS[1] * *v + (1.0 - BETAS[1]) * c * c;
                    let step = *m * unbias_1 / (libm::sqrtf(*v * unbias_2) + ADAM_EPSILON);
                    *weight = clamp(*weight * (1.0 - rate * decay) + rate * step);
                }
            }
        }
    }
}
