//! The arithmetic of the classic rule for one layer.

#![forbid(unsafe_code)]

use super::layout::{State, pairs, rows_of, rows_of_mut};
use super::optimizer::{Optimizer, Step};
use crate::events::{FEW_EVENTS, ProductStrategy, Sums};
use crate::kernels::{Number, Rows};

/// Added to the norms of presynaptic outputs and spikes, which divide.
const NORM_EPSILON: f32 = 1e-8;
/// Maximum number of samples in a batch.
pub(crate) const MAX_ROWS: usize = 64;

/// Settings of the classic rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// A unit fires when its charge is strictly above this.
    pub threshold: f32,
    /// Charges below this are reset to zero before the next batch.
    pub min_charge: f32,
    /// Whether the charge of a unit that did not fire is kept for the same row of the next batch.
    pub stateful: bool,
    /// Weights stay within ± this.
    pub weight_limit: f32,
}

impl Rule {
    /// The rule of the first version.
    pub const CLASSIC: Self =
        Self { threshold: -2.0, min_charge: -5.0, stateful: true, weight_limit: 1.0 };

    /// True if the threshold and the weight limit are finite. `min_charge` may be infinite: then
    /// charges are kept however negative they are.
    pub(super) fn is_valid(&self) -> bool {
        self.threshold.is_finite() && self.weight_limit.is_finite() && !self.min_charge.is_nan()
    }

    /// Turns the inputs of gates into their outputs, in place, and updates spikes and charges.
    /// Returns whether all charges were finite.
    pub(super) fn gate(&self, values: &mut [f32], spikes: &mut [f32], charges: &mut [f32]) -> bool {
        let Self { threshold, min_charge, .. } = *self;
        let mut finite = true;
        for ((y, spike), charge) in values.iter_mut().zip(spikes).zip(charges) {
            let kept = if *charge < min_charge { 0.0 } else { *charge };
            let full = kept + *y;
            finite &= full.is_finite();
            let fires = full > threshold;
            (*y, *spike, *charge) = if fires { (full, 1.0, 0.0) } else { (0.0, 0.0, full) };
        }
        finite
    }

    /// The gate of one sample from zero charges, without memory: values that are not above the
    /// threshold become zero.
    pub(super) fn gate_once(&self, values: &mut [f32]) {
        let threshold = self.threshold;
        values.iter_mut().for_each(|x| *x = if *x > threshold { *x } else { 0.0 });
    }
}

/// A dense layer and the gates below and above it, while the signal passes down.
pub(super) struct LayerPass<'a> {
    /// Samples of the batch.
    pub(super) rows: usize,
    /// Units below.
    pub(super) inputs: usize,
    /// Units of the layer.
    pub(super) outputs: usize,
    /// Outputs of the gate below, `[rows, inputs]`.
    pub(super) presynaptic: &'a mut [f32],
    /// Spikes of the gate above, `[rows, outputs]`.
    pub(super) spikes: &'a mut [f32],
    /// `[inputs, outputs]`.
    pub(super) weights: &'a mut [f32],
    /// State of the optimizer, a row for every row of weights.
    pub(super) optimizer: &'a mut [f32],
    /// The signal of the layer, `[rows, outputs]`.
    pub(super) signal: &'a mut [f32],
    /// The signal of the layer below, `[rows, inputs]`.
    pub(super) below: &'a mut [f32],
    /// Memory for one row of correlations, `[outputs]`.
    pub(super) correlations: &'a mut [f32],
}

impl<'a> LayerPass<'a> {
    /// The layer of shape `[rows, inputs, outputs]` whose values and weights start at these
    /// offsets; `None` if the memory is too short.
    pub(super) fn new(
        weights: &'a mut [f32],
        state: &'a mut State<'_>,
        optimizer: &Optimizer,
        [rows, inputs, outputs]: [usize; 3],
        [values, first_weight]: [usize; 2],
    ) -> Option<Self> {
        let place = first_weight..first_weight + inputs * outputs;
        let kept = optimizer.kept();
        let [signal, below] = &mut state.signals;
        Some(Self {
            rows,
            inputs,
            outputs,
            presynaptic: state.outputs.get_mut(values - rows * inputs..values)?,
            spikes: state.spikes.get_mut(values..values + rows * outputs)?,
            optimizer: state.optimizer.get_mut(place.start * kept..place.end * kept)?,
            weights: weights.get_mut(place)?,
            signal: signal.get_mut(..rows * outputs)?,
            below: below.get_mut(..rows * inputs)?,
            correlations: state.correlations.get_mut(..outputs)?,
        })
    }

    /// `s = clamp(s / ||s||, ±1)`, norms over the batch.
    pub(super) fn normalize_signal(&mut self) {
        divide_by_norms(self.signal, self.outputs, 0.0);
        self.signal.iter_mut().for_each(|signal| *signal = signal.clamp(-1.0, 1.0));
    }

    /// Writes `s W^T`, the signal of the layer below.
    pub(super) fn send_down(&mut self) {
        let signals = rows_of(self.signal, self.outputs);
        for (below, signal) in pairs(rows_of_mut(self.below, self.inputs), signals) {
            let rows = rows_of(self.weights, self.outputs);
            for (below, weights) in pairs(below.iter_mut(), rows) {
                *below = signal.iter().zip(weights).map(|(signal, weight)| signal * weight).sum();
            }
        }
    }

    /// Changes the weights along `p^T (s g)`. Normalises outputs and spikes in place, and gates the
    /// signal.
    pub(super) fn update(&mut self, step: Step) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        divide_by_norms(self.presynaptic, inputs, NORM_EPSILON);
        divide_by_norms(self.spikes, outputs, NORM_EPSILON);
        self.signal.iter_mut().zip(&*self.spikes).for_each(|(signal, gate)| *signal *= gate);
        let mut column = [0.0; MAX_ROWS];
        let state = rows_of_mut(self.optimizer, step.optimizer.kept() * outputs);
        let lines = pairs(rows_of_mut(self.weights, outputs), state);
        for (input, (weights, state)) in lines.enumerate() {
            let values = self.presynaptic.iter().skip(input).step_by(inputs.max(1));
            column.iter_mut().zip(values).for_each(|(value, p)| *value = *p);
            let column = column.get(..self.rows).unwrap_or(&[]);
            self.correlations.fill(0.0);
            f32::add_rows(self.correlations, self.signal, (outputs, 0), Rows::From(0), column);
            step.apply(weights, state, self.correlations);
        }
    }
}

/// `y += x W`; skips inputs that are zero where that is faster.
pub(crate) fn add_products(y: &mut [f32], weights: &[f32], x: &[f32]) {
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

/// Divides every column of `[rows, columns]` by its norm plus `epsilon`. A column whose norm is
/// zero or not finite becomes zero.
pub(crate) fn divide_by_norms(values: &mut [f32], columns: usize, epsilon: f32) {
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
