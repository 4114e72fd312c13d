//! Training with the classic rule on the device, in memory that the caller provides.
//!
//! Forward, for every sample of a batch and every layer `k`: charges below `min_charge` are reset
//! to zero (all of them if not stateful); `charge += x`; a unit fires where `charge > threshold`,
//! outputs `y = charge` and resets its charge to zero; the input of the next layer is
//! `x = y W[k]`.
//!
//! Learning, from the output down, with the signal `s = target - y`: `s = clamp(s / ||s||, ±1)`,
//! with the norm of each unit over the batch; with `p = y / (||y|| + 1e-8)` of the layer below and
//! `g = spike / (||spike|| + 1e-8)` of the layer itself, a weight moves along `p^T (s g)`, and
//! `s W^T`, with `W` from before the step, is the signal of the layer below.

#![forbid(unsafe_code)]

mod layout;
mod optimizer;
mod rule;

use core::fmt;

pub use layout::{state_len, weights_len};
pub use optimizer::Optimizer;
pub use rule::Rule;

use crate::activation::softmax;
use crate::program::{DType, LayerSpec};
use crate::random::Random;
use crate::write::{LayerSource, write};
use layout::{State, pairs, rows_of, rows_of_mut, take};
pub(crate) use optimizer::{Step, next_powers};
use rule::LayerPass;
pub(crate) use rule::{MAX_ROWS, add_products, divide_by_norms};

/// The reason why nothing was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LearnError {
    /// There are fewer than two widths, or one is zero or above 65,535.
    Widths,
    /// The batch is empty, has more than 64 samples, or has more than the learner was created for.
    Batch,
    /// The lengths of weights and state are not [`weights_len`] and [`state_len`], or scratch
    /// memory is too short.
    Memory,
    /// Inputs, targets or labels do not fit the widths or each other.
    Shape,
    /// An input, a target or an output is not finite. The weights are unchanged; charges are zero.
    NotFinite,
    /// A weight or a setting of the rule or the optimizer is not finite, a momentum is not from 0
    /// to 1, or a setting of a detector is out of its range.
    Settings,
}

impl fmt::Display for LearnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Widths => "a network needs at least two widths, each from 1 to 65,535",
            Self::Batch => {
                "a batch has 1 to 64 samples, and no more than the learner was created for"
            }
            Self::Memory => {
                "weights, state or scratch have the wrong length; see weights_len() and \
                 state_len(), for a detector memory_len()"
            }
            Self::Shape => {
                "inputs and targets must have the same number of rows and the widths of the network"
            }
            Self::NotFinite => {
                "an input, a target or an output is not finite; the weights are unchanged"
            }
            Self::Settings => {
                "weights and settings must be finite, and a momentum from 0 to 1; for a detector, \
                 see the ranges of DetectorSettings"
            }
        })
    }
}

impl core::error::Error for LearnError {}

/// The target of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// Target values, `[batch, outputs]`.
    Values(&'a [f32]),
    /// Class indices, one per sample; the outputs are passed through softmax.
    Classes(&'a [u8]),
}

/// A dense network that is trained on the device.
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
    state: State<'a>,
    /// Rows of the last batch, to which the charges belong.
    rows: usize,
    /// Powers of Adam's betas.
    powers: [f32; 2],
}

impl<'a> Learner<'a> {
    /// A learner with the given weights, such as zeros to be [drawn](Self::draw_weights) or those
    /// of a trained network. The contents of `state` are overwritten.
    ///
    /// # Errors
    /// If widths, batch or memory do not fit, or a weight or a setting is not a finite number.
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
        if batch == 0 || batch > MAX_ROWS {
            return Err(LearnError::Batch);
        }
        if weights.len() != weights_len(widths)
            || state.len() != state_len(widths, batch, &optimizer)
        {
            return Err(LearnError::Memory);
        }
        let finite = weights.iter().all(|weight| weight.is_finite());
        if !(optimizer.is_valid() && rule.is_valid() && finite) {
            return Err(LearnError::Settings);
        }
        state.fill(0.0);
        let state = State::divide(state, widths, batch, &optimizer).ok_or(LearnError::Memory)?;
        Ok(Self { widths, batch, rule, optimizer, weights, state, rows: 0, powers: [1.0; 2] })
    }

    /// Draws weights from `Normal(0, 0.5 sqrt(2 / (inputs + outputs)))` (Box and Muller 1958).
    pub fn draw_weights(&mut self, seed: u64) {
        let mut random = Random::seeded(seed);
        let mut rest = &mut *self.weights;
        for pair in self.widths.windows(2) {
            let [inputs, outputs] = pair else { continue };
            let standard_deviation = 0.5 * libm::sqrtf(2.0 / (inputs + outputs) as f32);
            let Some((layer, above)) =
                core::mem::take(&mut rest).split_at_mut_checked(inputs * outputs)
            else {
                return;
            };
            for weight in layer {
                *weight = standard_deviation * random.normal();
            }
            rest = above;
        }
    }

    /// The weights, layer by layer, each `[inputs, outputs]`.
    pub fn weights(&self) -> &[f32] {
        self.weights
    }

    /// Size of the state in bytes: four for each of its [`state_len`] values.
    pub fn state_bytes(&self) -> usize {
        4 * state_len(self.widths, self.batch, &self.optimizer)
    }

    /// Learns from a batch. Returns the mean absolute error before the step.
    ///
    /// # Errors
    /// If the batch does not fit, is not finite, or is too large for finite outputs. The weights
    /// are unchanged then.
    pub fn learn(&mut self, inputs: &[f32], target: Target<'_>) -> Result<f32, LearnError> {
        let rows = self.check(inputs, target)?;
        let finite = self.forward(inputs, rows);
        let error = self.top_signal(target, rows);
        if !(finite && error.is_finite()) {
            self.state.charges.fill(0.0);
            return Err(LearnError::NotFinite);
        }
        self.descend(rows);
        Ok(error)
    }

    /// Returns the number of samples of a batch that fits.
    fn check(&self, inputs: &[f32], target: Target<'_>) -> Result<usize, LearnError> {
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
        Ok(rows)
    }

    /// Computes the outputs for one sample, from zero charges; the learner is unchanged. `scratch`
    /// has at least twice the width of the widest layer.
    ///
    /// # Errors
    /// If a slice does not fit.
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
            self.rule.gate_once(x);
            y.fill(0.0);
            add_products(y, layer, x);
            weights = above;
            core::mem::swap(&mut from, &mut to);
        }
        output.iter_mut().zip(&*from).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    /// Writes a program for [`Network`](crate::Network), as [`write()`] does.
    ///
    /// # Errors
    /// If the network has more than 15 layers.
    pub fn write_program(&self, put: impl FnMut(&[u8])) -> Result<usize, crate::ProgramError> {
        let mut layers =
            [LayerSource { shape: LayerSpec::dense(1, 1), weights: &[], scales: &[], biases: &[] };
                16];
        let n = self.widths.len() - 1;
        let too_many = crate::ProgramError::Layer {
            layer: n,
            fault: "the program of a learner has at most 15 layers",
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

    /// Computes outputs and spikes of every layer. Returns whether all charges were finite.
    fn forward(&mut self, inputs: &[f32], rows: usize) -> bool {
        if rows != self.rows || !self.rule.stateful {
            self.state.charges.fill(0.0);
            self.rows = rows;
        }
        let State { outputs, spikes, charges, .. } = &mut self.state;
        let (mut outputs, mut spikes, mut charges) =
            (&mut **outputs, &mut **spikes, &mut **charges);
        let mut weights = &*self.weights;
        let mut below: &[f32] = &[];
        let mut width_below = 0;
        let mut finite = true;
        for (k, width) in self.widths.iter().enumerate() {
            let y = take(&mut outputs, rows * width);
            let spike = take(&mut spikes, rows * width);
            let charge = take(&mut charges, rows * width);
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
            finite &= self.rule.gate(y, spike, charge);
            below = y;
            width_below = *width;
        }
        finite
    }

    /// Writes the signal at the output to the first buffer. Returns the mean absolute error.
    fn top_signal(&mut self, target: Target<'_>, rows: usize) -> f32 {
        let (_, last) = self.ends();
        let before: usize = self.widths.iter().sum::<usize>() - last;
        let outputs = self.state.outputs.get(rows * before..rows * (before + last)).unwrap_or(&[]);
        let [signal, _] = &mut self.state.signals;
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

    /// Passes the signal down from the output and changes the weights of every layer.
    fn descend(&mut self, rows: usize) {
        self.powers = next_powers(self.powers);
        let step =
            Step { optimizer: self.optimizer, powers: self.powers, limit: self.rule.weight_limit };
        let mut values_start = rows * self.widths.iter().sum::<usize>();
        let mut weights_start = self.weights.len();
        for pair in self.widths.windows(2).rev() {
            let [inputs, outputs] = *pair else { continue };
            values_start -= rows * outputs;
            weights_start -= inputs * outputs;
            let (weights, state) = (&mut *self.weights, &mut self.state);
            let (shape, starts) = ([rows, inputs, outputs], [values_start, weights_start]);
            let Some(mut layer) = LayerPass::new(weights, state, &self.optimizer, shape, starts)
            else {
                return;
            };
            layer.normalize_signal();
            // Nothing reads the signal of the input.
            if weights_start > 0 {
                layer.send_down();
            }
            layer.update(step);
            let [above, below] = &mut self.state.signals;
            core::mem::swap(above, below);
        }
    }
}
