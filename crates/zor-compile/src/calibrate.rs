//! Statistics of the values between layers, on calibration samples.

use zor_edge::Values;
use zor_io::{Error, Result};

use crate::program::Program;
use crate::stage::Stage;

/// Number of bins of the histogram of magnitudes.
const BINS: usize = 4096;
/// Maximum magnitude of calibrated values; computations with them stay finite.
const LARGEST: f32 = 1e34;
/// Magnitude below which values count as zero.
const SMALLEST: f32 = 1e-33;

/// Statistics of the inputs of a layer.
pub(crate) struct Inputs {
    /// Mean of each channel.
    pub(crate) means: Vec<f32>,
    /// Largest magnitude.
    largest: f32,
    /// Histogram of magnitudes from 0 to the largest, without zeros.
    counts: Vec<u32>,
}

impl Inputs {
    /// Adds values to the histogram.
    fn count(&mut self, values: &[f32]) {
        let per_size = BINS as f32 / self.largest;
        for value in values.iter().filter(|value| **value != 0.0) {
            let bin = (value.abs() * per_size) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    /// Returns the quantization step with the least mean squared error. Clipping a few outliers may
    /// buy precision for the rest.
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

/// Returns the statistics of the inputs of every layer on calibration samples.
pub(crate) fn inputs(
    program: &Program,
    stages: &[Stage],
    calibration: &[f32],
) -> Result<Vec<Inputs>> {
    let network = program.network()?;
    let inputs: usize = network.input_shape().iter().product();
    if calibration.is_empty() || !calibration.len().is_multiple_of(inputs) {
        return Err(Error::unsupported(format!(
            "int8 needs whole calibration samples of {inputs} values, not {} values in all",
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
            "all calibration samples are zero, so that no quantization step can be chosen; use samples like those that the program will process".to_owned(),
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
        // The comparison also finds NaN.
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
            "{}: its inputs on calibration samples are too large for int8 (above {LARGEST:e}); scale the samples, or compile for f32",
            stage.origin
        )));
    }
    // Inputs that are always zero need no particular step.
    let usable = |most: f32| if most >= SMALLEST { most } else { 1.0 };
    all.iter_mut().for_each(|inputs| inputs.largest = usable(inputs.largest));
    each_input(program, calibration, |layer, values| {
        if let Some(inputs) = all.get_mut(layer) {
            inputs.count(values);
        }
    })?;
    Ok(all)
}

/// Calls `with` with the inputs of every layer, for all samples. The output of the last layer is
/// passed as the input of another.
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
        let done = network.run_traced(sample, &mut output, &mut scratch, |activity| {
            if let Values::F32(values) = activity.output {
                with(activity.layer + 1, values);
            }
        });
        done.map_err(|error| Error::unsupported(error.to_string()))?;
    }
    Ok(())
}
