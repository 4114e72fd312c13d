//! Models as images for small devices: made with a task's own training images at hand, and held against its evaluation images.

use zor_core::Network;
use zor_core::burn::tensor::Device;
use zor_data::Dataset;
use zor_io::edge::{self, Image};
pub use zor_io::edge::{DType, Path, Values};

use crate::error::{Error, Result};
use crate::options::TaskName;
use crate::train::{self, Score, matrix};

/// Training images that the steps of 8 bits are chosen by.
const CALIBRATION: usize = 1000;

/// Makes an image of a network, in int8 with steps chosen by the first 1,000 training images.
///
/// # Errors
/// When images have no form for one of its layers, or the training images do not fit it.
pub fn export(
    network: &Network,
    task: TaskName,
    train: &Dataset,
    dtype: DType,
    device: &Device,
) -> Result<Image> {
    let some = train.first(CALIBRATION.min(train.len()))?;
    let all = matrix(&some.pixels(), some.len(), device)?;
    let samples = zor_core::ops::read(task.question(all))?;
    Ok(edge::export(network, dtype, &samples)?)
}

/// How well an image does, and what its layers had to do.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The score.
    pub score: Score,
    /// For every layer, from the input up.
    pub layers: Vec<Activity>,
}

/// What a layer of an image had to do, over all samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// Share of its input that was not silent.
    pub inputs: f64,
    /// Share of its output that was not.
    pub outputs: f64,
    /// Share of samples for which it looked for events.
    pub events: f64,
    /// Whether it has a gate.
    pub has_gate: bool,
}

/// How well an image does a task on a whole set.
///
/// # Errors
/// When the set does not fit it.
pub fn evaluate(
    image: &Image,
    task: TaskName,
    data: &Dataset,
    device: &Device,
) -> Result<Measured> {
    let network = image.network()?;
    let values = |shape: [usize; 3]| shape.iter().product::<usize>();
    let (inputs, outputs) = (values(network.input_shape()), values(network.output_shape()));
    let mut scratch = vec![0.0; network.scratch_len()];
    let share = |values: Values<'_>| values.active() as f64 / values.len() as f64;
    let gate = |layer: zor_io::edge::LayerShape| layer.threshold.is_some();
    let mut layers: Vec<Activity> = network
        .layers()
        .map(|layer| Activity { has_gate: gate(layer), ..Activity::default() })
        .collect();
    let score = train::evaluate_answers(task, data, device, |question| {
        let samples = zor_core::ops::read(question)?;
        let rows = samples.len() / inputs;
        let mut all = vec![0.0; rows * outputs];
        for (input, output) in samples.chunks_exact(inputs).zip(all.chunks_exact_mut(outputs)) {
            let told = network.run_and_tell(input, output, &mut scratch, |activity| {
                let layer = &mut layers[activity.layer];
                layer.inputs += share(activity.input);
                layer.outputs += share(activity.output);
                layer.events += f64::from(u8::from(activity.path == Some(Path::Events)));
            });
            told.map_err(|error| Error::input(error.to_string()))?;
        }
        matrix(&all, rows, device)
    })?;
    let n = data.len().max(1) as f64;
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
