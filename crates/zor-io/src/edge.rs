//! Programs for small devices: a network as [`zor_edge`] runs it.
//!
//! Normalisation with running means, offsets and factors behind weights become a scale and a bias
//! of each channel; dropout and reshaping disappear. In int8 a channel's weights are divided by
//! their largest value over 127, and the values between layers by the step with which those that
//! calibration samples make there lose least.

use serde::de::DeserializeOwned;
use zor_core::{
    Activation, BatchNormConfig, Conv2dConfig, GateConfig, GatePosition, Layer, Network, Parameter,
    Pool2dConfig, Pooling, ScaleConfig, ops,
};
#[doc(hidden)]
pub use zor_edge::reseal;
pub use zor_edge::{DType, LayerSpec, MAX_VALUES, ProductStrategy, Values};
use zor_edge::{Geometry, Kind, LayerSource, ProgramError, Window};

use crate::error::{Error, Result};
use crate::{atomic, file};

/// A program in memory, where [`zor_edge::Network`] can run it.
#[derive(Debug)]
pub struct Program {
    words: Vec<u32>,
    /// The first word that lies at a line of the caches.
    first: usize,
}

/// Words of such a line.
const LINE: usize = 16;

impl Clone for Program {
    fn clone(&self) -> Self {
        Self::copied(self.words[self.first..].iter().copied())
    }
}

impl Program {
    /// Reads a program.
    ///
    /// # Errors
    /// When the file cannot be read, or is no sound program.
    pub fn load(path: &std::path::Path) -> Result<Self> {
        let bytes = file::read(path)?;
        Self::from_bytes(&bytes).map_err(|error| Error::input(path, error))
    }

    /// Copies bytes to where they can be used.
    ///
    /// # Errors
    /// When they are no sound program.
    pub fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, zor_edge::ProgramError> {
        let (words, rest) = bytes.as_chunks::<4>();
        let program = Self::copied(words.iter().map(|word| u32::from_ne_bytes(*word)));
        // All of a program's parts are of four bytes; what follows them is too much.
        let whole = if rest.is_empty() { program.bytes() } else { bytes };
        zor_edge::Network::from_bytes(whole)?;
        Ok(program)
    }

    fn copied(from: impl ExactSizeIterator<Item = u32>) -> Self {
        let mut words: Vec<u32> = Vec::with_capacity(from.len() + LINE - 1);
        let first = words.as_ptr().align_offset(4 * LINE).min(LINE - 1);
        words.extend(std::iter::repeat_n(0, first).chain(from));
        Self { words, first }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words[self.first..])
    }

    /// The network.
    ///
    /// # Errors
    /// None: the program was found sound before.
    pub fn network(&self) -> Result<zor_edge::Network<'_>> {
        zor_edge::Network::from_bytes(self.bytes())
            .map_err(|error| Error::unsupported(error.to_string()))
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &std::path::Path) -> Result<()> {
        atomic::write(path, self.bytes())
    }
}

/// Makes a program of a network. `calibration`, whole samples one after the other, is what an int8
/// program's steps are chosen by: samples like those it will see.
///
/// # Errors
/// Names the layer that programs have no form for, or whose values are too large for one, or what
/// calibration lacks.
pub fn export(network: &Network, dtype: DType, calibration: &[f32]) -> Result<Program> {
    let map = map_of(network.input_shape())?;
    let shape = network.input_shape().to_vec();
    let mut export = Export { stages: Vec::new(), shape, map, origin: String::new() };
    let input = export.map;
    for (position, layer) in network.layers().iter().enumerate() {
        export.origin = format!("layer {position} ({})", layer.kind());
        export.layer(layer.as_ref()).map_err(|what| {
            Error::unsupported(format!(
                "layer {position} ({}): {what}; programs are of dense and convolutional layers in a row",
                layer.kind()
            ))
        })?;
    }
    let mut stages = export.stages;
    if stages.is_empty() {
        return Err(Error::unsupported("the network has no layer that does anything".to_owned()));
    }
    stages.iter_mut().for_each(Stage::fold_scales);
    let program = write(DType::F32, input, &stages)?;
    if dtype == DType::F32 {
        return Ok(program);
    }
    let inputs = inputs(&program, &stages, calibration)?;
    stages.iter_mut().zip(inputs).for_each(|(stage, inputs)| stage.quantize(&inputs));
    write(DType::I8, input, &stages)
}

/// A layer of the program as it grows: what comes behind its sums is added to it as long as nothing
/// nonlinear has.
struct Stage {
    /// The layer of the network that it begins with, for messages.
    origin: String,
    shape: LayerSpec,
    /// `[rows, columns]`; of an int8 program whole numbers.
    weights: Vec<f32>,
    int8: bool,
    scales: Vec<f32>,
    biases: Vec<f32>,
    closed: bool,
}

impl Stage {
    fn new(origin: &str, kind: Kind, geometry: Geometry, weights: Vec<f32>) -> Self {
        let origin = origin.to_owned();
        let shape = LayerSpec { kind, geometry, ..LayerSpec::dense(1, 1) };
        let (scales, biases) = (vec![1.0; geometry.channels], vec![0.0; geometry.channels]);
        Self { origin, shape, weights, int8: false, scales, biases, closed: false }
    }

    /// Multiplies weights by scales, where that is the same: a pool keeps the largest before the
    /// scale.
    fn fold_scales(&mut self) {
        let same = self.shape.geometry.pool == 1 || self.scales.iter().all(|scale| *scale > 0.0);
        if self.shape.kind.has_weights() && same {
            for row in self.weights.chunks_exact_mut(self.scales.len()) {
                row.iter_mut().zip(&self.scales).for_each(|(weight, scale)| *weight *= scale);
            }
            self.scales.fill(1.0);
        }
    }

    /// Makes weights whole numbers, for such inputs. What the mean input loses by that, the biases
    /// give back (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
    /// Correction").
    fn quantize(&mut self, inputs: &Inputs) {
        self.shape.step = inputs.best_step();
        if !self.shape.kind.has_weights() {
            return;
        }
        self.int8 = true;
        let columns = self.scales.len();
        for (column, scale) in self.scales.iter_mut().enumerate() {
            let values = || self.weights.iter().skip(column).step_by(columns);
            let largest = values().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
            // Weights too small for a number of 127 parts are as good as zero.
            let unit = Some(largest / 127.0).filter(|unit| *unit >= f32::MIN_POSITIVE);
            let unit = unit.unwrap_or(1.0);
            let mut lost = 0.0;
            let weights = self.weights.iter_mut().skip(column).step_by(columns);
            for (weight, mean) in weights.zip(inputs.means.iter().cycle()) {
                let whole = (*weight / unit).round().clamp(-127.0, 127.0);
                lost += (*weight - whole * unit) * mean;
                *weight = whole;
            }
            self.biases[column] += lost * *scale;
            *scale *= unit * self.shape.step;
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self.int8 {
            true => self.weights.iter().map(|weight| *weight as i8 as u8).collect(),
            false => self.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect(),
        }
    }
}

fn write(dtype: DType, input: [usize; 3], stages: &[Stage]) -> Result<Program> {
    let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
    let sound =
        |stage: &Stage| [&stage.weights, &stage.scales, &stage.biases].map(|all| finite(all));
    if let Some(stage) = stages.iter().find(|stage| sound(stage) != [true; 3]) {
        return Err(Error::unsupported(format!(
            "{}: its weights, with the factors and offsets behind them, are too large for a program; train with a weight limit, or for fewer steps",
            stage.origin
        )));
    }
    let bytes: Vec<Vec<u8>> = stages.iter().map(Stage::bytes).collect();
    let sources: Vec<LayerSource<'_>> = stages
        .iter()
        .zip(&bytes)
        .map(|(stage, weights)| {
            let has_scales = stage.int8 || stage.scales.iter().any(|scale| *scale != 1.0);
            let has_biases = stage.biases.iter().any(|bias| *bias != 0.0);
            LayerSource {
                shape: LayerSpec { has_scales, has_biases, ..stage.shape },
                weights,
                scales: if has_scales { &stage.scales } else { &[] },
                biases: if has_biases { &stage.biases } else { &[] },
            }
        })
        .collect();
    let mut program = Vec::new();
    let written = zor_edge::write(dtype, input, &sources, |piece| program.extend_from_slice(piece));
    let program = written.and_then(|_| Program::from_bytes(&program));
    program.map_err(|error| {
        let origin = match error {
            ProgramError::Layer { layer, fault } => stages.get(layer).map(|stage| (stage, fault)),
            _ => None,
        };
        Error::unsupported(match origin {
            Some((stage, fault)) => format!("{}: {fault}", stage.origin),
            None => error.to_string(),
        })
    })
}

/// Sizes that values are told apart by, of 0 to the largest.
const BINS: usize = 4096;
/// Values that int8 is chosen for are no larger: what is computed with them stays finite.
const LARGEST: f32 = 1e34;
/// Where all values are smaller, they are as good as zero.
const SMALLEST: f32 = 1e-33;

/// What goes into a layer.
struct Inputs {
    /// The mean, by channel.
    means: Vec<f32>,
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
    fn best_step(&self) -> f32 {
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
fn inputs(program: &Program, stages: &[Stage], calibration: &[f32]) -> Result<Vec<Inputs>> {
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

/// A shape as height, width and channels.
fn map_of(shape: &[usize]) -> Result<[usize; 3]> {
    match *shape {
        [values] => Ok([1, 1, values]),
        [width, channels] => Ok([1, width, channels]),
        [height, width, channels] => Ok([height, width, channels]),
        _ => Err(Error::unsupported(format!("programs are of maps; a shape of {shape:?} is none"))),
    }
}

type Found<T = ()> = std::result::Result<T, String>;

struct Export {
    stages: Vec<Stage>,
    /// The shape of a sample so far.
    shape: Vec<usize>,
    /// The shape of a sample so far, as a map.
    map: [usize; 3],
    /// The layer that is added, for messages.
    origin: String,
}

impl Export {
    fn layer(&mut self, layer: &dyn Layer) -> Found {
        if layer.kind() == "sequence" {
            return layer.children().into_iter().try_for_each(|child| self.layer(child));
        }
        let output = layer.output_shape(&self.shape).map_err(|error| error.to_string())?;
        match layer.kind() {
            "dropout" | "reshape" => {}
            "dense" => {
                let weights = only(layer.parameters())?;
                let [inputs, units] = weights.shape();
                self.push(Kind::Dense, Geometry::dense(inputs, units), values(weights)?);
            }
            "conv2d" => self.convolution(layer)?,
            "pool2d" => {
                let config: Pool2dConfig = config(layer)?;
                let kind = match config.pooling {
                    Pooling::Max => Kind::Max,
                    Pooling::Average => Kind::Average,
                };
                let [height, width, _] = self.map;
                let window = config.window.map_or(
                    Window { kernel: [height, width], stride: [1; 2], ..Window::point() },
                    window_of,
                );
                let geometry = Geometry { input: self.map, channels: self.map[2], window, pool: 1 };
                self.push(kind, geometry, Vec::new());
            }
            "batch_norm" => {
                let config: BatchNormConfig = config(layer)?;
                let all = [layer.parameters(), layer.buffers()].concat();
                let named = |name: &str| {
                    let found = all.iter().find(|one| one.name() == name);
                    found.ok_or(format!("it has no '{name}'")).and_then(|one| values(one))
                };
                let (scale, shift) = (named("scale")?, named("shift")?);
                let (mean, variance) = (named("mean")?, named("variance")?);
                let factors: Vec<f32> = scale
                    .iter()
                    .zip(variance)
                    .map(|(scale, v)| scale / (v + config.epsilon).sqrt())
                    .collect();
                let offsets = shift
                    .iter()
                    .zip(mean)
                    .zip(&factors)
                    .map(|((shift, m), factor)| shift - m * factor);
                let offsets: Vec<f32> = offsets.collect();
                self.affine(&factors, &offsets)?;
            }
            "bias" => {
                let offsets = values(only(layer.parameters())?)?;
                self.affine(&vec![1.0; offsets.len()], &offsets)?;
            }
            "scale" => {
                let config: ScaleConfig = config(layer)?;
                let channels = output.last().copied().unwrap_or(1);
                self.affine(&vec![config.factor; channels], &vec![0.0; channels])?;
            }
            "gate" => self.gate(layer)?,
            kind => return Err(format!("layers of kind '{kind}' have no form in a program")),
        }
        self.map = map_of(&output).map_err(|error| error.to_string())?;
        self.shape = output;
        Ok(())
    }

    fn push(&mut self, kind: Kind, geometry: Geometry, weights: Vec<f32>) {
        self.map = geometry.output();
        self.stages.push(Stage::new(&self.origin, kind, geometry, weights));
    }

    fn convolution(&mut self, layer: &dyn Layer) -> Found {
        let config: Conv2dConfig = config(layer)?;
        if config.transposed || config.groups != 1 {
            return Err("transposed convolutions and groups have no form in a program".to_owned());
        }
        let geometry = Geometry {
            input: self.map,
            channels: config.channels,
            window: window_of(config.window),
            pool: config.max_pool.unwrap_or(1),
        };
        let weights = values(only(layer.parameters())?)?;
        self.push(Kind::Convolution, geometry, weights);
        Ok(())
    }

    fn gate(&mut self, layer: &dyn Layer) -> Found {
        let config: GateConfig = config(layer)?;
        let spikes = config.spikes.unwrap_or(true) && config.place != GatePosition::Output;
        let activation = activation_of(&config.activation)?;
        if !spikes && activation == zor_edge::Activation::None {
            return Ok(());
        }
        if spikes && config.inhibition != 0.0 {
            let channels = self.map[2];
            self.affine(&vec![1.0; channels], &vec![-config.inhibition; channels])?;
        }
        let stage = self.open(self.map[2]);
        // An activation without a gate leaves no room for a gate behind it either.
        stage.closed = true;
        stage.shape.activation = activation;
        stage.shape.threshold = spikes.then_some(config.threshold.unwrap_or(0.0));
        Ok(())
    }

    /// `factor x + offset` for every channel.
    fn affine(&mut self, factors: &[f32], offsets: &[f32]) -> Found {
        let stage = self.open(factors.len());
        for (index, (factor, offset)) in factors.iter().zip(offsets).enumerate() {
            stage.scales[index] *= factor;
            stage.biases[index] = stage.biases[index] * factor + offset;
        }
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if finite(&stage.scales) && finite(&stage.biases) {
            Ok(())
        } else {
            Err("its factors or offsets, with those before it, are not finite numbers".to_owned())
        }
    }

    /// The last stage, if something of so many channels can still be added to it; else a new one
    /// that does nothing yet.
    fn open(&mut self, channels: usize) -> &mut Stage {
        let fits = |stage: &Stage| !stage.closed && stage.scales.len() == channels;
        if !self.stages.last().is_some_and(fits) {
            let geometry = Geometry { input: self.map, channels, window: Window::point(), pool: 1 };
            self.stages.push(Stage::new(&self.origin, Kind::Max, geometry, Vec::new()));
        }
        let last = self.stages.len() - 1;
        &mut self.stages[last]
    }
}

fn config<T: DeserializeOwned>(layer: &dyn Layer) -> Found<T> {
    let value = layer.config().map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn only(parameters: Vec<&Parameter>) -> Found<&Parameter> {
    parameters.first().copied().ok_or_else(|| "it has no weights".to_owned())
}

fn values(parameter: &Parameter) -> Found<Vec<f32>> {
    let values = ops::read(parameter.value()).map_err(|error| error.to_string())?;
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(at) => {
            let (name, value) = (parameter.name(), values[at]);
            Err(format!("value {at} of its {name} is {value}, not a finite number"))
        }
    }
}

fn window_of(window: ops::Window) -> Window {
    let ops::Window { kernel, stride, padding, dilation } = window;
    Window { kernel, stride, padding, dilation }
}

fn activation_of(activation: &Activation) -> Found<zor_edge::Activation> {
    use zor_edge::Activation as Edge;
    Ok(match activation {
        Activation::None => Edge::None,
        Activation::Relu => Edge::Relu,
        Activation::LeakyRelu => Edge::LeakyRelu,
        Activation::Gelu => Edge::Gelu,
        Activation::Silu => Edge::Silu,
        Activation::Sigmoid => Edge::Sigmoid,
        Activation::Tanh => Edge::Tanh,
        Activation::Softmax => Edge::Softmax,
        other => return Err(format!("the activation '{}' has no form in a program", other.name())),
    })
}

#[cfg(test)]
#[cfg(feature = "flex")]
#[allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]
mod tests {
    use zor_core::burn::tensor::{Device, Tensor, TensorData};
    use zor_core::{
        BiasConfig, BranchConfig, DenseConfig, DropoutConfig, NetworkBuilder, Random,
        ReshapeConfig, Rule, SequentialConfig,
    };

    use super::*;

    fn noise(n: usize, seed: u64) -> Vec<f32> {
        let mut random = Random::seeded(seed);
        (0..n).map(|_| random.uniform()).collect()
    }

    /// Outputs of the network and of its program, for a few inputs; the batch norms' statistics are
    /// moved from where they begin.
    fn both(builder: NetworkBuilder, dtype: DType) -> (Vec<f32>, Vec<f32>) {
        let device = Device::flex();
        let mut network = builder.seed(3).build(&device).unwrap();
        for (at, layer) in network.layers_mut().iter_mut().enumerate() {
            let mut all = layer.buffers_mut();
            all.iter_mut().for_each(|one| {
                let [rows, columns] = one.shape();
                let values =
                    noise(rows * columns, at as u64).iter().map(|value| value + 0.2).collect();
                let value =
                    Tensor::from_data(TensorData::new::<f32, _>(values, [rows, columns]), &device);
                one.set_value(value).unwrap();
            });
        }
        let inputs: usize = network.input_shape().iter().product();
        let samples = noise(20 * inputs, 9);
        let input = Tensor::from_data(TensorData::new(samples.clone(), [20, inputs]), &device);
        let expected = ops::read(network.predict(input).unwrap()).unwrap();
        let program = export(&network, dtype, &samples).unwrap();
        let small = program.network().unwrap();
        let mut scratch = vec![0.0; small.scratch_len()];
        let mut found = vec![0.0; expected.len()];
        for (input, output) in samples.chunks(inputs).zip(found.chunks_mut(expected.len() / 20)) {
            small.run(input, output, &mut scratch).unwrap();
        }
        (expected, found)
    }

    fn networks() -> Vec<NetworkBuilder> {
        let activation =
            |activation| GateConfig { activation, ..GateConfig::at(GatePosition::Output) };
        let block = SequentialConfig::new()
            .layer(Conv2dConfig::same(6, 3).with_max_pool(2))
            .layer(BatchNormConfig::default())
            .layer(GateConfig { threshold: Some(0.1), inhibition: 0.2, ..GateConfig::default() });
        vec![
            Network::dense(&[12, 7, 12]).rule(Rule::classic()),
            Network::builder(&[12])
                .layer(BatchNormConfig::default())
                .layer(DenseConfig::new(9))
                .layer(BatchNormConfig::default())
                .layer(GateConfig::default())
                .layer(DropoutConfig::new(0.5))
                .layer(DenseConfig::new(4))
                .layer(BiasConfig::default())
                .layer(ScaleConfig::new(0.5))
                .layer(activation(Activation::Softmax)),
            Network::builder(&[9, 8, 2])
                .layer(block)
                .layer(Conv2dConfig::new(5, 2).with_stride(2).with_padding(1))
                .layer(GateConfig { activation: Activation::Gelu, ..GateConfig::default() })
                .layer(Pool2dConfig::average(2).with_padding(1))
                .layer(BiasConfig::default())
                .layer(Pool2dConfig::global(Pooling::Max))
                .layer(ReshapeConfig::flatten())
                .layer(DenseConfig::new(3))
                .layer(activation(Activation::Sigmoid)),
        ]
    }

    #[test]
    fn an_image_answers_as_its_network_does() {
        for network in networks() {
            let text = format!("{network:?}");
            let (expected, found) = both(network, DType::F32);
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * a.abs().max(1.0);
            assert!(expected.iter().zip(&found).all(close), "{text}: {expected:?} {found:?}");
        }
    }

    #[test]
    fn eight_bits_are_nearly_as_good() {
        for network in networks() {
            let text = format!("{network:?}");
            let (expected, found) = both(network, DType::I8);
            let power: f32 = expected.iter().map(|value| value * value).sum();
            let error: f32 = expected.iter().zip(&found).map(|(a, b)| (a - b) * (a - b)).sum();
            assert!(error < 1e-3 * power, "{text}: {error} of {power}");
        }
    }

    #[test]
    fn layers_without_a_form_and_samples_that_do_not_fit_are_named() {
        let device = Device::flex();
        let failed = |builder: NetworkBuilder| {
            let network = builder.build(&device).unwrap();
            export(&network, DType::F32, &[]).unwrap_err().to_string()
        };
        let map = || Network::builder(&[4, 4, 2]);
        let residual = BranchConfig::residual().layer(Conv2dConfig::same(2, 3));
        assert!(failed(map().layer(residual)).contains("layer 0 (residual)"));
        assert!(failed(map().layer(Conv2dConfig::up(2, 2))).contains("transposed"));
        let own = Activation::custom("own", |x| x);
        let gate = GateConfig { activation: own, ..GateConfig::default() };
        assert!(failed(Network::builder(&[4]).layer(gate)).contains("own"));
        assert!(
            failed(Network::builder(&[4]).layer(ReshapeConfig::flatten()))
                .contains("does anything")
        );
        let network = Network::dense(&[4, 2]).build(&device).unwrap();
        let error = export(&network, DType::I8, &[1.0; 7]).unwrap_err().to_string();
        assert!(error.contains("samples of 4 values"), "{error}");
    }

    /// The error of an export of this network with these samples.
    fn failed(network: &Network, dtype: DType, calibration: &[f32]) -> String {
        export(network, dtype, calibration).unwrap_err().to_string()
    }

    fn two_layers(weight: f32) -> Network {
        let mut network = Network::dense(&[4, 3, 2]).build(&Device::flex()).unwrap();
        network
            .for_each_tensor(|name, tensor| {
                if name == "1.weight" {
                    tensor.set_value(tensor.value() * 0.0 + weight).unwrap();
                }
            })
            .unwrap();
        network
    }

    #[test]
    fn samples_that_int8_cannot_be_chosen_by_are_named() {
        let network = two_layers(1.0);
        let int8 = |samples: &[f32]| failed(&network, DType::I8, samples);
        assert!(int8(&[]).contains("samples of 4 values; here are 0"));
        assert!(int8(&[1.0; 9]).contains("samples of 4 values; here are 9"));
        for zeros in [[0.0; 8], [-0.0; 8], [1e-42; 8]] {
            assert!(int8(&zeros).contains("all calibration samples are zero"));
        }
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut samples = [1.0; 12];
            samples[6] = value;
            let error = int8(&samples);
            assert!(error.contains("value 2 of calibration sample 1 is"), "{error}");
        }
        let error = int8(&[1e36; 4]);
        assert!(error.contains("layer 1 (dense)") && error.contains("too large"), "{error}");
        // The samples are not, but what the layer makes of them is.
        let error = failed(&two_layers(1e30), DType::I8, &[1e6; 4]);
        assert!(error.contains("layer 3 (dense)") && error.contains("too large"), "{error}");
        // f32 is not chosen by samples.
        assert!(export(&network, DType::F32, &[f32::NAN; 3]).is_ok());
    }

    #[test]
    fn weights_that_no_image_can_have_are_named_with_their_layer() {
        for dtype in [DType::F32, DType::I8] {
            for weight in [f32::NAN, f32::INFINITY] {
                let error = failed(&two_layers(weight), dtype, &[1.0; 4]);
                assert!(error.contains("layer 1 (dense): value 0 of its weight is"), "{error}");
            }
            let scaled = |factor| {
                let builder = Network::builder(&[4]).layer(DenseConfig::new(2));
                let mut network =
                    builder.layer(ScaleConfig::new(factor)).build(&Device::flex()).unwrap();
                network
                    .for_each_tensor(|_, tensor| {
                        tensor.set_value(tensor.value() * 0.0 + 1e20).unwrap();
                    })
                    .unwrap();
                network
            };
            let error = failed(&scaled(1e30), dtype, &[1.0; 4]);
            assert!(error.contains("layer 0 (dense): its weights, with"), "{error}");
            assert!(export(&scaled(1e-20), dtype, &[1.0; 4]).is_ok());
        }
    }

    #[test]
    fn images_of_constant_tiny_and_huge_weights_have_finite_answers() {
        for weight in [0.0, -0.0, 1.0, -2.5, 1e-45, 1e-38, 1e-30, 1e20, 3.4e38] {
            for sample in [1e-30, 1.0, 1e6] {
                let network = two_layers(weight);
                let Ok(program) = export(&network, DType::I8, &[sample; 8]) else {
                    assert!(weight > 1e19, "{weight} {sample}");
                    continue;
                };
                let network = program.network().unwrap();
                let mut output = [f32::NAN; 2];
                let mut scratch = vec![0.0; network.scratch_len()];
                for input in [0.0, sample, -sample, f32::MAX, f32::NAN] {
                    network.run(&[input; 4], &mut output, &mut scratch).unwrap();
                    assert!(output.iter().all(|value| value.is_finite()), "{weight} {sample}");
                }
            }
        }
    }

    #[test]
    fn what_an_image_has_no_room_for_is_named_with_its_layer() {
        let inner =
            GateConfig { activation: Activation::Softmax, ..GateConfig::at(GatePosition::Output) };
        let builder = Network::builder(&[4]).layer(DenseConfig::new(3)).layer(inner);
        let network = builder.layer(DenseConfig::new(2)).build(&Device::flex()).unwrap();
        let error = failed(&network, DType::F32, &[]);
        assert!(error.contains("layer 0 (dense): softmax is for the last layer"), "{error}");
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zore");
        let network = Network::dense(&[4, 2]).build(&Device::flex()).unwrap();
        let program = export(&network, DType::F32, &[]).unwrap();
        program.save(&path).unwrap();
        assert_eq!(Program::load(&path).unwrap().bytes(), program.bytes());
        let mut bytes = program.bytes().to_vec();
        bytes[40] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = Program::load(&path).unwrap_err().to_string();
        assert!(error.contains("a.zore") && error.contains("checksum"), "{error}");
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(Program::load(&path).unwrap_err().to_string().contains("truncated"));
        assert!(Program::load(&folder.path().join("none.zore")).is_err());
    }
}
