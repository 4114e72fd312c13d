//! The walk over the operations of a network. Linear operations are folded into the weights before
//! them.

use zor_core::{Activation, Layer, Network, Operation, Parameter, Pooling, ops};
use zor_edge::{Geometry, Kind, Window};
use zor_io::{Error, Result};

use crate::stage::Stage;

/// Returns the input shape of a network as a map, and its layers as stages of a program.
pub(crate) fn stages(network: &Network) -> Result<([usize; 3], Vec<Stage>)> {
    let shape = network.input_shape().to_vec();
    let input = map_of(&shape).map_err(Error::unsupported)?;
    let mut fold = Fold { stages: Vec::new(), shape, map: input, origin: String::new() };
    for (position, layer) in network.layers().iter().enumerate() {
        fold.origin = format!("layer {position} ({})", layer.kind());
        fold.layer(layer.as_ref()).map_err(|fault| {
            Error::unsupported(format!(
                "{}: {fault}; programs are sequences of dense and convolutional layers",
                fold.origin
            ))
        })?;
    }
    if fold.stages.is_empty() {
        return Err(Error::unsupported(
            "the network has no layer that computes anything".to_owned(),
        ));
    }
    Ok((input, fold.stages))
}

/// Returns a shape as height, width and channels.
fn map_of(shape: &[usize]) -> Found<[usize; 3]> {
    match *shape {
        [values] => Ok([1, 1, values]),
        [width, channels] => Ok([1, width, channels]),
        [height, width, channels] => Ok([height, width, channels]),
        _ => Err(format!("programs have samples of up to three axes, not of shape {shape:?}")),
    }
}

type Found<T = ()> = std::result::Result<T, String>;

struct Fold {
    stages: Vec<Stage>,
    /// The shape of a sample behind the last stage.
    shape: Vec<usize>,
    /// `shape` as height, width and channels.
    map: [usize; 3],
    /// The layer of the network being added, for messages.
    origin: String,
}

impl Fold {
    fn layer(&mut self, layer: &dyn Layer) -> Found {
        let output = layer.output_shape(&self.shape).map_err(|error| error.to_string())?;
        let operation = layer.operation().map_err(|error| error.to_string())?;
        self.operation(&operation)?;
        self.reshape(output)
    }

    fn operation(&mut self, operation: &Operation<'_>) -> Found {
        match operation {
            Operation::Identity | Operation::Dropout { .. } => Ok(()),
            Operation::Layer(layer) => self.layer(*layer),
            Operation::Sequential(operations) => {
                operations.iter().try_for_each(|operation| self.operation(operation))
            }
            Operation::Reshape { shape: [] } => self.reshape(vec![self.shape.iter().product()]),
            Operation::Reshape { shape } => self.reshape(shape.to_vec()),
            Operation::MatrixProduct { weight } => {
                let [inputs, units] = weight.shape();
                let weights = values(weight)?;
                self.push(Kind::Dense, Geometry::dense(inputs, units), weights);
                self.reshape(vec![units])
            }
            Operation::Convolution { kernel, window, groups: 1, transposed: false, max_pool } => {
                let (channels, pool) = (kernel.shape()[1], max_pool.unwrap_or(1));
                let window = window_of(*window);
                let weights = values(kernel)?;
                let geometry = Geometry { input: self.map, channels, window, pool };
                self.push(Kind::Convolution, geometry, weights);
                self.reshape(geometry.output().to_vec())
            }
            Operation::Convolution { .. } => {
                Err("transposed convolutions and groups have no form in a program".to_owned())
            }
            Operation::Pool { pooling, window } => {
                let kind = match pooling {
                    Pooling::Max => Kind::Max,
                    Pooling::Average => Kind::Average,
                };
                let [height, width, channels] = self.map;
                let whole = Window { kernel: [height, width], ..Window::point() };
                let window = window.map_or(whole, window_of);
                let geometry = Geometry { input: self.map, channels, window, pool: 1 };
                self.push(kind, geometry, Vec::new());
                self.reshape(geometry.output().to_vec())
            }
            Operation::BatchNorm { scale, shift, mean, variance, epsilon, .. } => {
                let (scale, shift) = (values(scale)?, values(shift)?);
                let (mean, variance) = (values(mean)?, values(variance)?);
                let factors: Vec<f32> = scale
                    .iter()
                    .zip(variance)
                    .map(|(scale, variance)| scale / (variance + epsilon).sqrt())
                    .collect();
                let offsets = shift
                    .iter()
                    .zip(mean)
                    .zip(&factors)
                    .map(|((shift, mean), factor)| shift - mean * factor);
                let offsets: Vec<f32> = offsets.collect();
                self.affine(&factors, &offsets)
            }
            Operation::Affine { scale, shift } => {
                let or = |parameter: &Option<&Parameter>, missing: f32| {
                    parameter.map_or(Ok(vec![missing; self.map[2]]), values)
                };
                let (factors, offsets) = (or(scale, 1.0)?, or(shift, 0.0)?);
                self.affine(&factors, &offsets)
            }
            Operation::Scale { factor } => {
                let channels = self.map[2];
                self.affine(&vec![*factor; channels], &vec![0.0; channels])
            }
            Operation::Gate { inhibition, threshold, in_training_only, activation } => {
                self.gate(*inhibition, threshold.filter(|_| !in_training_only), activation)
            }
            Operation::Residual { .. } => no_form("residual paths"),
            Operation::Concatenate { .. } => no_form("concatenated paths"),
            Operation::GroupNorm { .. } => no_form("group normalisation"),
            Operation::Upsample { .. } => no_form("upsampling"),
            _ => no_form("its operation"),
        }
    }

    /// Sets the shape of samples behind the last stage.
    fn reshape(&mut self, shape: Vec<usize>) -> Found {
        self.map = map_of(&shape)?;
        self.shape = shape;
        Ok(())
    }

    fn push(&mut self, kind: Kind, geometry: Geometry, weights: Vec<f32>) {
        self.stages.push(Stage::new(&self.origin, kind, geometry, weights));
    }

    fn gate(&mut self, inhibition: f32, threshold: Option<f32>, f: &Activation) -> Found {
        let activation = activation_of(f)?;
        if threshold.is_none() && activation == zor_edge::Activation::None {
            return Ok(());
        }
        if threshold.is_some() && inhibition != 0.0 {
            let channels = self.map[2];
            self.affine(&vec![1.0; channels], &vec![-inhibition; channels])?;
        }
        let stage = self.open(self.map[2]);
        // A gate cannot follow an activation within a stage.
        stage.closed = true;
        stage.shape.activation = activation;
        stage.shape.threshold = threshold;
        Ok(())
    }

    /// Folds `factor x + offset` for each channel.
    fn affine(&mut self, factors: &[f32], offsets: &[f32]) -> Found {
        if [factors.len(), offsets.len()] != [self.map[2]; 2] {
            return Err(format!(
                "it has {} factors and {} offsets for {} channels",
                factors.len(),
                offsets.len(),
                self.map[2]
            ));
        }
        let stage = self.open(factors.len());
        for (index, (factor, offset)) in factors.iter().zip(offsets).enumerate() {
            stage.scales[index] *= factor;
            stage.biases[index] = stage.biases[index] * factor + offset;
        }
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if finite(&stage.scales) && finite(&stage.biases) {
            Ok(())
        } else {
            Err("its factors or offsets, multiplied by those before it, are not finite".to_owned())
        }
    }

    /// Returns the last stage if it is open and has this number of channels, or else a new one that
    /// computes the identity.
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

fn no_form(of: &str) -> Found {
    Err(format!("{of} has no form in a program"))
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
