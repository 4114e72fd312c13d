//! Statistics of the values between layers, on calibration samples.

use zor_edge::Values;
use zor_io::{Error, Result};

use crate::program::Program;
use crate::stage::Stage;

/// Sizes that values are told apart by, of 0 to the largest.
const BINS: usize = 4096;
/// Values that int8 is chosen for are no larger: what is computed with them stays finite.
const LARGEST: f32 = 1e34;
/// Where all values are smaller, they are as good as zero.
const SMALLEST: f32 = 1e-33;

/// What goes into a layer.
pub(crate) struct Inputs {
    /// The mean, by channel.
    pub(crate) means: Vec<f32>,
    largest: f32,
    /// How often there are values of each size.
    counts: Vec<u32>,
}

impl Inputs {
    fn count(&mut self, values: &[f32]) {
        let per_size = BINS as f32 / self.largest;
        for value in values.iter().filter(|value| **value != 0.0) {
            let bin = (value.abs() * per_size) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    /// The step with which values lose least (mean squared error): a few that are beyond 127 of it
    /// may be cut off so that all others are told more exactly.
    pub(crate) fn best_step(&self) -> f32 {
        if self.counts.iter().all(|count| *count == 0) {
            return self.largest / 127.0;
        }
        let size = |bin: usize| (bin as f32 + 0.5) * self.largest / BINS as f32;
        let error = |step: f32| -> f64 {
            let lost = |size: f32| size - step * (size / step).round().min(127.0);
            let all = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
            all.map(|(bin, count)| f64::from(*count) * f64::from(lost(size(bin))).powi(2)).sum()
        };
        let steps = (1..=100).map(|percent| self.largest * percent as f32 / 100.0 / 127.0);
        let best = steps.map(|step| (error(step), step)).min_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or(1.0, |(_, step)| step)
    }
}

/// What calibration samples make go into every layer.
pub(crate) fn inputs(
    program: &Program,
    stages: &[Stage],
    calibration: &[f32],
) -> Result<Vec<Inputs>> {
    let network = program.network()?;
    let inputs: usize = network.input_shape().iter().product();
    if calibration.is_empty() || !calibration.len().is_multiple_of(inputs) {
        return Err(Error::unsupported(format!(
            "int8 needs calibration samples of {inputs} values; here are {} values",
            calibration.len()
        )));
    }
    if let Some(at) = calibration.iter().position(|value| !value.is_finite()) {
        return Err(Error::unsupported(format!(
            "value {} of calibration sample {} is {}, not a finite number; leave the sample out",
            at % inputs,
            at / inputs,
            calibration[at]
        )));
    }
    if calibration.iter().all(|value| value.abs() < SMALLEST) {
        return Err(Error::unsupported(
            "all calibration samples are zero, and say nothing of the values that int8 is chosen for; take samples like those that the program will see".to_owned(),
        ));
    }
    let mut all: Vec<Inputs> = network
        .layers()
        .map(|layer| Inputs {
            means: vec![0.0; layer.geometry.input[2]],
            largest: 0.0,
            counts: vec![0; BINS],
        })
        .collect();
    let samples = (calibration.len() / inputs) as f32;
    let mut too_large = None;
    each_input(program, calibration, |layer, values| {
        let Some(Inputs { means, largest, .. }) = all.get_mut(layer) else { return };
        // NaN is too large too.
        if !values.iter().all(|value| value.abs() <= LARGEST) {
            too_large.get_or_insert(layer);
        }
        *largest = values.iter().fold(*largest, |most, value| most.max(value.abs()));
        let share = means.len() as f32 / (values.len() as f32 * samples);
        for values in values.chunks_exact(means.len()) {
            means.iter_mut().zip(values).for_each(|(mean, value)| *mean += value * share);
        }
    })?;
    if let Some(stage) = too_large.and_then(|layer| stages.get(layer)) {
        return Err(Error::unsupported(format!(
            "{}: calibration samples make values go into it that are too large for int8 (above {LARGEST:e}); scale the samples, or export f32",
            stage.origin
        )));
    }
    // Of what is always silent, any step will do.
    let usable = |most: f32| if most >= SMALLEST { most } else { 1.0 };
    all.iter_mut().for_each(|inputs| inputs.largest = usable(inputs.largest));
    each_input(program, calibration, |layer, values| {
        if let Some(inputs) = all.get_mut(layer) {
            inputs.count(values);
        }
    })?;
    Ok(all)
}

/// Calls back with what goes into every layer, for all samples; what comes out of the last one is
/// as if it went into another.
fn each_input(
    program: &Program,
    samples: &[f32],
    mut with: impl FnMut(usize, &[f32]),
) -> Result<()> {
    let network = program.network()?;
    let inputs: usize = network.input_shape().iter().product();
    let mut output = vec![0.0; network.output_shape().iter().product()];
    let mut scratch = vec![0.0; network.scratch_len()];
    for sample in samples.chunks_exact(inputs) {
        with(0, sample);
        let told = network.run_traced(sample, &mut output, &mut scratch, |activity| {
            if let Values::F32(values) = activity.output {
                with(activity.layer + 1, values);
            }
        });
        told.map_err(|error| Error::unsupported(error.to_string()))?;
    }
    Ok(())
}
