//! The network of a detector that learns, and how a layer of it learns by the local rule.

use super::settings::DetectorSettings;
use crate::kernels::{Number, Rows};
use crate::learn::{MAX_ROWS, Step, add_products, divide_by_norms};
use crate::random::Random;

/// A layer's weights and biases, and their state of the optimizer.
pub(super) struct Block<'a> {
    pub(super) weights: &'a mut [f32],
    pub(super) optimizer: &'a mut [f32],
    pub(super) shape: [usize; 2],
}

impl Block<'_> {
    /// Writes the signal of the layer below: that of this layer through the weights and the gates
    /// below, whose outputs are `below`, normalised for each unit over the batch.
    pub(super) fn send_down(&self, signal: &[f32], to: &mut [f32], below: &[f32]) {
        let [inputs, outputs] = self.shape;
        let mut below = below.iter();
        let mut places = to.iter_mut();
        let mut signals = signal;
        while let Some((signal, after)) = signals.split_at_checked(outputs.max(1)) {
            signals = after;
            let mut weights = &*self.weights;
            for _ in 0..inputs {
                let Some((own, after)) = weights.split_at_checked(outputs) else { return };
                weights = after;
                let (Some(place), Some(output)) = (places.next(), below.next()) else { return };
                let passed = || signal.iter().zip(own).map(|(s, w)| s * w).sum();
                *place = if *output > 0.0 { passed() } else { 0.0 };
            }
        }
        divide_by_norms(to, inputs, 0.0);
        to.iter_mut().for_each(|signal| *signal = signal.clamp(-1.0, 1.0));
    }

    /// Moves weights along the correlations of the outputs below, which are normalised in place,
    /// with the signal.
    pub(super) fn learn(
        self,
        step: Step,
        below: &mut [f32],
        signal: &[f32],
        correlations: &mut [f32],
    ) {
        let [inputs, outputs] = self.shape;
        divide_by_norms(below, inputs, 1e-8);
        let rows = below.len().checked_div(inputs).unwrap_or(0);
        let mut column = [0.0; MAX_ROWS];
        let Some(column) = column.get_mut(..rows) else { return };
        let Some(correlations) = correlations.get_mut(..outputs) else { return };
        let (mut weights, mut optimizer) = (self.weights, self.optimizer);
        for input in 0..=inputs {
            match input < inputs {
                true => {
                    let values = below.iter().skip(input).step_by(inputs.max(1));
                    column.iter_mut().zip(values).for_each(|(to, value)| *to = *value);
                }
                // The norm of a bias's input over the batch is 1 too.
                false => column.fill(1.0 / libm::sqrtf(rows as f32)),
            }
            correlations.fill(0.0);
            f32::add_rows(correlations, signal, (outputs, 0), Rows::From(0), column);
            let own = core::mem::take(&mut weights).split_at_mut_checked(outputs);
            let kept = step.optimizer.kept() * outputs;
            let state = core::mem::take(&mut optimizer).split_at_mut_checked(kept);
            let (Some((own, after)), Some((state, rest))) = (own, state) else { return };
            (weights, optimizer) = (after, rest);
            step.apply(own, state, correlations);
        }
    }
}

/// Computes `y = x W + b` for every sample, with the next weights and biases.
pub(super) fn pass(weights: &mut &[f32], x: &[f32], y: &mut [f32], [inputs, outputs]: [usize; 2]) {
    let (own, after) = weights.split_at_checked(inputs * outputs).unwrap_or_default();
    let (biases, after) = after.split_at_checked(outputs).unwrap_or_default();
    *weights = after;
    let (mut x, mut y) = (x, y);
    while let Some((sample, rest)) = x.split_at_checked(inputs.max(1)) {
        let Some((to, above)) = core::mem::take(&mut y).split_at_mut_checked(outputs) else {
            return;
        };
        to.iter_mut().zip(biases).for_each(|(to, bias)| *to = *bias);
        add_products(to, own, sample);
        (x, y) = (rest, above);
    }
}

/// Silences units that are not above zero.
pub(super) fn gate(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = value.max(0.0));
}

/// Restores one row. `hidden` has room for both hidden layers.
pub(super) fn run(
    settings: &DetectorSettings,
    weights: &[f32],
    input: &[f32],
    hidden: &mut [f32],
    output: &mut [f32],
) {
    let [first, second, third] = settings.layers();
    let (below, above) = hidden.split_at_mut_checked(settings.hidden).unwrap_or_default();
    let mut rest = weights;
    pass(&mut rest, input, below, first);
    gate(below);
    pass(&mut rest, below, above, second);
    gate(above);
    pass(&mut rest, above, output, third);
}

/// Draws weights as [`Learner`](crate::Learner) does; biases are zero.
pub(super) fn draw_weights(settings: &DetectorSettings, weights: &mut [f32], random: &mut Random) {
    let mut rest = weights;
    for [inputs, outputs] in settings.layers() {
        let standard_deviation = 0.5 * libm::sqrtf(2.0 / (inputs + outputs) as f32);
        let parts = core::mem::take(&mut rest).split_at_mut_checked(inputs * outputs);
        let Some((own, after)) = parts else { return };
        own.iter_mut().for_each(|weight| *weight = standard_deviation * random.normal());
        rest = after.get_mut(outputs..).unwrap_or_default();
    }
}
