//! Export of models as programs for small devices, and their evaluation.

pub use zor_compile::{DType, ProductStrategy, Values};
use zor_compile::{LayerSpec, Program, compile};
use zor_core::burn::tensor::Device;

use crate::detection::{self, Scoring};
use crate::error::{Error, Result};
use crate::task::{Data, Evaluation, Model, Score, in_batches, matrix};

/// Training examples that the steps of 8 bits are chosen by.
const CALIBRATION: usize = 1000;

/// Exports a model, in int8 with steps chosen by the first 1,000 training examples.
///
/// # Errors
/// When the format has no form for one of its layers, or the training examples do not fit it.
pub fn export(model: &Model, data: &Data, dtype: DType, device: &Device) -> Result<Program> {
    let first: Vec<usize> = (0..CALIBRATION.min(data.train.len())).collect();
    let some = data.train.subset(&first)?;
    let mut samples = Vec::new();
    for batch in in_batches(&*some, CALIBRATION) {
        let (input, _) = model.plan.task.pair(&batch, &model.plan.settings, device)?;
        samples = zor_core::ops::read(input.into_values()?)?;
    }
    Ok(compile(&model.network, dtype, &samples)?)
}

/// Exports a detector with all that turns restored rows into scores and alarms, in int8 with steps
/// chosen by normal rows.
///
/// # Errors
/// When the model is not a detector, the false-alarm rate cannot be promised, or a column has no
/// form on a device.
pub fn export_detector(
    model: &Model,
    data: &Data,
    dtype: DType,
    false_alarm_rate: f32,
) -> Result<Program> {
    let scoring = Scoring::of(model)?;
    detection::compile(&model.network, &scoring, dtype, false_alarm_rate, &*data.train)
        .map_err(|error| Error::in_file(&model.path, error))
}

/// The evaluation of an exported model, and the work of its layers.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The score.
    pub score: Score,
    /// For every layer, from the input up.
    pub layers: Vec<Activity>,
}

/// The work of a layer of an exported model, over all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// Share of its inputs that are not zero.
    pub inputs: f64,
    /// Share of its outputs that are not zero.
    pub outputs: f64,
    /// Share of runs for which it looked for events.
    pub events: f64,
    /// Whether it has a gate.
    pub has_gate: bool,
}

/// Evaluates an exported model on the evaluation examples.
///
/// # Errors
/// When the examples do not fit it.
pub fn evaluate(
    program: &Program,
    model: &Model,
    data: &Data,
    device: &Device,
) -> Result<Measured> {
    let network = program.network()?;
    let values = |shape: [usize; 3]| shape.iter().product::<usize>();
    let (inputs, outputs) = (values(network.input_shape()), values(network.output_shape()));
    let mut scratch = vec![0.0; network.scratch_len()];
    let share = |values: Values<'_>| values.active() as f64 / values.len() as f64;
    let gate = |layer: LayerSpec| layer.threshold.is_some();
    let mut layers: Vec<Activity> = network
        .layers()
        .map(|layer| Activity { has_gate: gate(layer), ..Activity::default() })
        .collect();
    let evaluation = Evaluation {
        settings: &model.plan.settings,
        examples: &*data.evaluation,
        device,
        network: None,
        is_glance: false,
    };
    let mut n = 0.0;
    let score = model.plan.task.evaluate(&evaluation, &mut |input| {
        let samples = zor_core::ops::read(input.into_values()?)?;
        let rows = samples.len() / inputs;
        n += rows as f64;
        let mut all = vec![0.0; rows * outputs];
        for (input, output) in samples.chunks_exact(inputs).zip(all.chunks_exact_mut(outputs)) {
            let told = network.run_traced(input, output, &mut scratch, |activity| {
                let layer = &mut layers[activity.layer];
                layer.inputs += share(activity.input);
                layer.outputs += share(activity.output);
                layer.events += f64::from(u8::from(activity.path == Some(ProductStrategy::Events)));
            });
            told.map_err(|error| Error::input(error.to_string()))?;
        }
        matrix(&all, rows, device)
    })?;
    // A detector restores each row several times.
    let n = f64::max(n, 1.0);
    for layer in &mut layers {
        *layer = Activity {
            inputs: layer.inputs / n,
            outputs: layer.outputs / n,
            events: layer.events / n,
            ..*layer
        };
    }
    Ok(Measured { score, layers })
}
