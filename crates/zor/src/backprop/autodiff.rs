//! Training of a network by backpropagation with burn's autodiff, as a peer and as a reference.
//!
//! Layers are computed with burn's differentiable operations from their [`Operation`], or by their
//! [`Layer::forward_autodiff`], on a device that records a graph. The gradients of that graph take
//! the place of the rule's correlations in the same optimizer. Gates are ReLU at their threshold:
//! their spikes count as constants.

use std::collections::HashMap;

use zor_core::burn::tensor::ops::{
    AvgPoolOptions, ConvOptions, ConvTransposeOptions, MaxPoolOptions,
};
use zor_core::burn::tensor::{Tensor, activation, module};
use zor_core::ops::{self, ErrorSums, Window};
use zor_core::{
    ErrorMetrics, Input, Layer, Network, Operation, Optimizer, Parameter, Pooling, Sequences,
    Target, Workspace,
};

use super::attention::{attend, behind, copied, embedded, embedded_in_parts};
use crate::error::{Error, Result};
use crate::task::matrix;

/// One step of training by backpropagation, with half the squared error or the cross entropy as
/// loss, summed over the batch.
///
/// # Errors
/// When a layer has no counterpart here, or shapes do not fit.
pub fn train_batch(
    network: &mut Network,
    optimizer: &dyn Optimizer,
    input: impl Into<Input>,
    target: impl Into<Target>,
) -> Result<ErrorMetrics> {
    let found = gradients(network, input.into(), target.into())?;
    let Gradients { values, statistics, deviation } = found;
    let mut workspace = Workspace::new(&network.device().clone());
    let (mut values, mut statistics) = (values.into_iter(), statistics.into_iter());
    for layer in network.layers_mut() {
        for (parameter, gradient) in layer.parameters_mut().into_iter().zip(values.by_ref()) {
            if let Some(gradient) = gradient {
                optimizer.step(parameter, gradient.neg(), &mut workspace);
            }
        }
        for (buffer, statistic) in layer.buffers_mut().into_iter().zip(statistics.by_ref()) {
            let Some(Statistic { value: batch, momentum }) = statistic else { continue };
            buffer.update(|value, _, step| {
                let weight = momentum.max(1.0 / step as f32);
                value * (1.0 - weight) + batch * weight
            });
        }
    }
    Ok(deviation)
}

/// The gradients of all parameters, layer after layer; none for one that the loss does not depend
/// on.
///
/// # Errors
/// When a layer has no counterpart here, or shapes do not fit.
pub fn parameter_gradients(
    network: &Network,
    input: impl Into<Input>,
    target: impl Into<Target>,
) -> Result<Vec<Option<Tensor<2>>>> {
    gradients(network, input.into(), target.into()).map(|found| found.values)
}

struct Gradients {
    /// Gradients of all parameters, layer after layer; `None` if the loss does not depend on one.
    values: Vec<Option<Tensor<2>>>,
    /// Batch statistics for all buffers, layer after layer; `None` for one that is not a running
    /// mean.
    statistics: Vec<Option<Statistic>>,
    deviation: ErrorMetrics,
}

/// The value of a batch for a running mean.
#[derive(Clone)]
struct Statistic {
    value: Tensor<2>,
    momentum: f32,
}

fn gradients(network: &Network, input: Input, target: Target) -> Result<Gradients> {
    let mut graph = Graph::of(network);
    let input = match input {
        Input::Values(values) => {
            network.sequential().check_values(&values)?;
            values
        }
        Input::Sequences(sequences) => {
            let tokens: Vec<f32> = sequences.tokens().iter().map(|token| *token as f32).collect();
            let input = matrix(&tokens, tokens.len(), network.device())?;
            graph.sequences = Some(sequences);
            input
        }
    };
    let mut sample = Sample { values: input.autodiff(), shape: network.input_shape().to_vec() };
    for layer in network.layers() {
        sample = graph.layer(layer.as_ref(), sample)?;
    }
    let output = sample.values;
    let [rows, columns] = output.dims();
    let is_classes = target.is_classes();
    let weights = target.weights(network.device()).map(Tensor::autodiff);
    let target = target.into_values([rows, columns], network.device())?.autodiff();
    let (loss, error) = if is_classes {
        let loss = (target.clone() * activation::log_softmax(output.clone(), 1)).sum().neg();
        let probabilities = activation::softmax(output, 1);
        let probabilities = match weights {
            Some(weights) => probabilities * weights,
            None => probabilities,
        };
        (loss, target - probabilities)
    } else {
        let error = target - output;
        ((error.clone() * error.clone()).sum() * 0.5, error)
    };
    let error = error.inner();
    let sum = |tensor: Tensor<2>| tensor.sum().into_data().iter::<f64>().next().unwrap_or(f64::NAN);
    let sums =
        ErrorSums { absolute: sum(error.clone().abs()), squared: sum(error.clone() * error) };
    let found = loss.backward();
    let buffers = network.layers().iter().flat_map(|layer| layer.buffers());
    Ok(Gradients {
        values: graph.recorded.iter().map(|parameter| parameter.grad(&found)).collect(),
        statistics: buffers.map(|buffer| graph.statistics.remove(&address(buffer))).collect(),
        deviation: ErrorMetrics { sums, elements: rows * columns },
    })
}

/// Values of a batch, `[batch, features]`, and the shape of one sample.
#[derive(Clone)]
struct Sample {
    values: Tensor<2>,
    shape: Vec<usize>,
}

impl Sample {
    fn rows(&self) -> usize {
        self.values.dims()[0]
    }

    fn channels(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Returns the values by channel, `[batch * positions, channels]`.
    fn by_channel(&self) -> Tensor<2> {
        self.values.clone().reshape([-1, self.channels() as i32])
    }

    /// Returns other values of this shape; they may be viewed by channel.
    fn with(&self, values: Tensor<2>) -> Self {
        Self { values: values.reshape([self.rows() as i32, -1]), shape: self.shape.clone() }
    }

    fn map(&self) -> Result<[usize; 3]> {
        self.shape.as_slice().try_into().map_err(|_| {
            Error::input(format!("a map [height, width, channels] is needed, not {:?}", self.shape))
        })
    }

    /// Returns the values as a map, `[batch, channels, height, width]`.
    fn to_map(&self) -> Result<Tensor<4>> {
        let [height, width, channels] = self.map()?;
        let values = self.values.clone().reshape([self.rows(), height, width, channels]);
        Ok(values.permute([0, 3, 1, 2]))
    }

    /// The inverse of [`Sample::to_map`].
    fn of_map(map: Tensor<4>) -> Self {
        let [rows, channels, height, width] = map.dims();
        let values = map.permute([0, 2, 3, 1]).reshape([rows as i32, -1]);
        Self { values, shape: vec![height, width, channels] }
    }
}

/// Returns the identity of a parameter or buffer: its address while the network is borrowed.
fn address(parameter: &Parameter) -> *const Parameter {
    std::ptr::from_ref(parameter)
}

/// A forward pass in burn's differentiable operations.
struct Graph {
    /// The values of all parameters as tensors that record a graph.
    recorded: Vec<Tensor<2>>,
    /// Positions of parameters in `recorded`.
    positions: HashMap<*const Parameter, usize>,
    /// Batch values of running means, by their buffers.
    statistics: HashMap<*const Parameter, Statistic>,
    /// The sequences of the batch.
    sequences: Option<Sequences>,
}

impl Graph {
    fn of(network: &Network) -> Self {
        let parameters = || network.layers().iter().flat_map(|layer| layer.parameters());
        Self {
            recorded: parameters().map(|one| one.value().autodiff().require_grad()).collect(),
            positions: parameters().map(address).zip(0..).collect(),
            statistics: HashMap::new(),
            sequences: None,
        }
    }

    /// Returns the tensor that records the graph of a parameter.
    fn parameter(&self, parameter: &Parameter) -> Result<Tensor<2>> {
        let position = self.positions.get(&address(parameter));
        position.and_then(|position| self.recorded.get(*position)).cloned().ok_or_else(|| {
            Error::input(format!(
                "its operation has a parameter '{}' that its visit does not show",
                parameter.name()
            ))
        })
    }

    fn layer(&mut self, layer: &dyn Layer, input: Sample) -> Result<Sample> {
        let shape = layer.output_shape(&input.shape)?;
        self.sequences.as_ref().map_or(Ok(()), |all| layer.check_sequences(all))?;
        let values = match layer.operation() {
            Ok(operation) => {
                let output = self.operation(&operation, input);
                output.map_err(|error| error.at(format_args!("layer '{}'", layer.kind())))?.values
            }
            Err(_) => {
                let parameters = layer.parameters().into_iter().map(|one| self.parameter(one));
                let parameters = parameters.collect::<Result<Vec<_>>>()?;
                let output = layer.forward_autodiff(input.values, &parameters, &input.shape);
                output.ok_or_else(|| {
                    Error::input(format!(
                        "a layer of kind '{}' has no counterpart under autodiff; implement Layer::operation or Layer::forward_autodiff for it",
                        layer.kind()
                    ))
                })?
            }
        };
        let (found, expected) = (values.dims()[1], shape.iter().product::<usize>());
        if found != expected {
            return Err(Error::input(format!(
                "layer '{}': {found} values of a sample under autodiff, and an output shape of {shape:?}",
                layer.kind()
            )));
        }
        Ok(Sample { values, shape })
    }

    fn operation(&mut self, operation: &Operation<'_>, x: Sample) -> Result<Sample> {
        match operation {
            Operation::Identity => Ok(x),
            Operation::MatrixProduct { weight } => {
                let weight = self.parameter(weight)?;
                let (inputs, rows) = (x.values.dims()[1], weight.dims()[0]);
                if inputs != rows {
                    return Err(Error::input(format!(
                        "{inputs} values meet a weight matrix of {rows} rows"
                    )));
                }
                let values = x.values.matmul(weight);
                let shape = vec![values.dims()[1]];
                Ok(Sample { values, shape })
            }
            Operation::Convolution { kernel, window, groups, transposed, max_pool } => {
                let kernel = self.parameter(kernel)?;
                let y = Sample::of_map(convolve(&x, kernel, *window, *groups, *transposed)?);
                match max_pool {
                    Some(side) => pool(Pooling::Max, Some(Window::tiling(*side)), &y),
                    None => Ok(y),
                }
            }
            Operation::Affine { scale, shift } => {
                let mut y = x.by_channel();
                if let Some(scale) = scale {
                    y = y * self.parameter(scale)?;
                }
                if let Some(shift) = shift {
                    y = y + self.parameter(shift)?;
                }
                Ok(x.with(y))
            }
            Operation::Scale { factor } => Ok(x.with(x.values.clone() * *factor)),
            Operation::Gate { inhibition, threshold, activation, .. } => {
                let Some(threshold) = threshold else {
                    return Ok(x.with(activation.apply(x.values.clone())));
                };
                let charge = x.values.clone() - *inhibition;
                let spikes = charge.clone().inner().greater_elem(*threshold).float().autodiff();
                Ok(x.with(activation.apply(charge * spikes)))
            }
            Operation::Pool { pooling, window } => pool(*pooling, *window, &x),
            Operation::Upsample { factor } => upsample(&x, *factor),
            Operation::Reshape { shape: [] } => {
                Ok(Sample { shape: vec![x.shape.iter().product()], ..x })
            }
            Operation::Reshape { shape } => Ok(Sample { shape: shape.to_vec(), ..x }),
            Operation::BatchNorm { scale, shift, mean, variance, epsilon, momentum } => {
                let (normalized, statistics) = normalize_batch(&x, *epsilon);
                for (buffer, value) in [*mean, *variance].into_iter().zip(statistics) {
                    let statistic = Statistic { value, momentum: *momentum };
                    self.statistics.insert(address(buffer), statistic);
                }
                Ok(x.with(normalized * self.parameter(scale)? + self.parameter(shift)?))
            }
            Operation::GroupNorm { groups, scale, shift, epsilon } => {
                let normalized = normalize_groups(&x, *groups, *epsilon);
                Ok(x.with(normalized * self.parameter(scale)? + self.parameter(shift)?))
            }
            Operation::RmsNorm { scale, epsilon } => {
                let mean = (x.values.clone() * x.values.clone()).mean_dim(1);
                let normalized = x.values.clone() / (mean + *epsilon).sqrt();
                Ok(x.with(normalized * self.parameter(scale)?))
            }
            Operation::SpikeAttention { heads, threshold, turns } => {
                let all = self.sequences_of(&x)?;
                let values = attend(x.values, &all, *heads, *threshold, *turns);
                let shape = vec![values.dims()[1]];
                Ok(Sample { values, shape })
            }
            Operation::Embedding { embedding } => {
                let tokens = ops::read(x.values.inner())?.into_iter().map(|token| token as usize);
                let values = embedded(tokens, self.parameter(embedding)?);
                let shape = vec![values.dims()[1]];
                Ok(Sample { values, shape })
            }
            Operation::TiedEmbedding { embedding, parts, skips_prefix, copying, layers } => {
                let all = self.sequences_of(&x)?;
                let (embedding, parts) = (self.parameter(embedding)?, self.parameter(parts)?);
                let values = embedded_in_parts(&all, embedding.clone(), parts);
                let shape = vec![values.dims()[1]];
                let top = self.path(layers, Sample { values, shape })?.values;
                let behind = if *skips_prefix { behind(&all, &top) } else { top.clone() };
                let mut output = behind.matmul(embedding.transpose());
                if let Some(copying) = copying {
                    let projected = top.matmul(self.parameter(copying.weight)?);
                    let vocabulary = output.dims()[1];
                    output = output + copied(projected, &all, copying, vocabulary);
                }
                let shape = vec![output.dims()[1]];
                Ok(Sample { values: output, shape })
            }
            Operation::Dropout { probability: 0.0 } => Ok(x),
            Operation::Layer(layer) => self.layer(*layer, x),
            Operation::Sequential(operations) => self.path(operations, x),
            Operation::Residual { layers, shortcut } => {
                let (branch, shortcut) = (self.path(layers, x.clone())?, self.path(shortcut, x)?);
                Ok(Sample { values: branch.values + shortcut.values, ..shortcut })
            }
            Operation::Concatenate { layers, shortcut } => {
                let (branch, shortcut) = (self.path(layers, x.clone())?, self.path(shortcut, x)?);
                let values = Tensor::cat(vec![shortcut.by_channel(), branch.by_channel()], 1);
                let mut joined = shortcut.with(values);
                if let Some(channels) = joined.shape.last_mut() {
                    *channels += branch.channels();
                }
                Ok(joined)
            }
            Operation::Dropout { .. } => {
                Err(Error::input("dropout has no counterpart under autodiff"))
            }
            _ => Err(Error::input("its operation has no counterpart under autodiff")),
        }
    }

    /// The sequences of the batch.
    fn sequences_of(&self, x: &Sample) -> Result<Sequences> {
        let all = self.sequences.clone().filter(|all| all.tokens().len() == x.rows());
        all.ok_or_else(|| Error::input("its rows are not the positions of sequences"))
    }

    /// Applies operations in sequence.
    fn path(&mut self, operations: &[Operation<'_>], x: Sample) -> Result<Sample> {
        operations.iter().try_fold(x, |x, operation| self.operation(operation, x))
    }
}

fn convolve(
    x: &Sample,
    matrix: Tensor<2>,
    window: Window,
    groups: usize,
    transposed: bool,
) -> Result<Tensor<4>> {
    let Window { kernel: [height, width], stride, padding, dilation } = window;
    let [rows, columns] = matrix.dims();
    let inputs = rows / (height * width);
    let kernel = matrix.reshape([height, width, inputs, columns]).permute([3, 2, 0, 1]);
    let x = x.to_map()?;
    if transposed {
        let options = ConvTransposeOptions::new(stride, padding, [0; 2], dilation, groups);
        return Ok(module::conv_transpose2d(x, kernel, None, options));
    }
    let options = ConvOptions::new(stride, padding, dilation, groups);
    Ok(module::conv2d(x, kernel, None, options))
}

fn pool(pooling: Pooling, window: Option<Window>, x: &Sample) -> Result<Sample> {
    let [height, width, _] = x.map()?;
    let whole = Window { kernel: [height, width], ..Window::square(1) };
    let window = window.unwrap_or(whole);
    let x = x.to_map()?;
    Ok(Sample::of_map(match pooling {
        Pooling::Max => {
            let options = MaxPoolOptions::new(window.kernel)
                .with_stride(window.stride)
                .with_padding(window.padding)
                .with_dilation(window.dilation);
            module::max_pool2d(x, options)
        }
        Pooling::Average => {
            let options = AvgPoolOptions::new(window.kernel)
                .with_stride(window.stride)
                .with_padding(window.padding)
                .with_count_include_pad(false);
            module::avg_pool2d(x, options)
        }
    }))
}

fn upsample(x: &Sample, factor: usize) -> Result<Sample> {
    let x = x.to_map()?.repeat_dim(3, factor);
    let [batch, channels, height, width] = x.dims();
    // `repeat_dim` puts copies of a column a whole row apart; the swap makes them neighbours.
    let x = x.reshape([batch, channels, height, factor, width / factor]);
    let x = x.swap_dims(3, 4).reshape([batch, channels, height, 1, width]);
    let x = x.repeat_dim(3, factor).reshape([batch, channels, height * factor, width]);
    Ok(Sample::of_map(x))
}

/// Returns values by channel, normalised by the batch, and the batch's mean and unbiased variance.
fn normalize_batch(x: &Sample, epsilon: f32) -> (Tensor<2>, [Tensor<2>; 2]) {
    let x = x.by_channel();
    let count = x.dims()[0] as f32;
    let mean = x.clone().mean_dim(0);
    let centred = x - mean.clone();
    let variance = (centred.clone() * centred.clone()).mean_dim(0);
    let unbiased = variance.clone().inner() * (count / (count - 1.0).max(1.0));
    (centred / (variance + epsilon).sqrt(), [mean.inner(), unbiased])
}

/// Returns values by channel, normalised within the groups of each sample.
fn normalize_groups(x: &Sample, groups: usize, epsilon: f32) -> Tensor<2> {
    let channels = x.channels();
    let [rows, values] = x.values.dims();
    let x = x.values.clone().reshape([rows, values / channels, groups, channels / groups]);
    let centred = x.clone() - x.mean_dim(1).mean_dim(3);
    let variance = (centred.clone() * centred.clone()).mean_dim(1).mean_dim(3);
    (centred / (variance + epsilon).sqrt()).reshape([-1, channels as i32])
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use zor_core::burn::tensor::Device;
    use zor_core::{
        Activation, BatchNormConfig, BiasConfig, BranchConfig, Conv2dConfig, DenseConfig,
        DropoutConfig, GateConfig, GatePosition, GroupNormConfig, Pool2dConfig, Random,
        ReshapeConfig, Rule, ScaleConfig, UpsampleConfig,
    };

    #[derive(Debug, Default)]
    struct Recorder(Mutex<Vec<Tensor<2>>>);

    impl Optimizer for Recorder {
        fn name(&self) -> &str {
            "recorder"
        }

        fn check(&self) -> zor_core::Result<()> {
            Ok(())
        }

        fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, _: &mut Workspace) {
            // Layers learn from the top down; names tell parameters of a layer apart.
            let _ = parameter;
            self.0.lock().unwrap().push(correlation);
        }
    }

    fn norm(tensor: &Tensor<2>) -> f32 {
        let squares = (tensor.clone() * tensor.clone()).sum();
        squares.into_data().iter::<f32>().next().unwrap().sqrt()
    }

    /// What the rule learns with its options set for it is what autodiff finds.
    #[test]
    fn the_backprop_rule_is_backpropagation() {
        let device = Device::flex();
        let block = BranchConfig::residual()
            .layer(Conv2dConfig::same(12, 3))
            .layer(BatchNormConfig::default())
            .layer(GateConfig { inhibition: 0.1, ..GateConfig::default() })
            .shortcut(Conv2dConfig::new(12, 1));
        let skip = BranchConfig::concatenate()
            .layer(Pool2dConfig::max(2))
            .layer(Conv2dConfig::up(3, 2))
            .layer(GroupNormConfig::new(3));
        let mut network = Network::builder(&[8, 8, 2])
            .rule(Rule::backprop())
            .layer(Conv2dConfig::same(8, 3))
            .layer(GateConfig::default())
            .layer(block)
            .layer(skip)
            .layer(Pool2dConfig::average(2))
            .layer(UpsampleConfig::new(2))
            .layer(BiasConfig::default())
            .layer(ReshapeConfig::flatten())
            .layer(DenseConfig::new(5))
            .layer(ScaleConfig::new(0.5))
            .build(&device)
            .unwrap();
        let mut random = Random::seeded(3);
        let input = Parameter::normal("input", [6, 128], 1.0, &mut random, &device).value();
        let classes = vec![0, 1, 2, 3, 4, 0];
        let expected = parameter_gradients(&network, input.clone(), classes.clone()).unwrap();
        let recorder = Recorder::default();
        network.train_batch(&recorder, input, classes).unwrap();
        let mut found = recorder.0.into_inner().unwrap();
        assert_eq!(found.len(), expected.len());
        for gradient in expected.into_iter().flatten() {
            // Layers learn from the top down: each gradient is one of what was recorded.
            let distance = |other: &Tensor<2>| {
                let fits = other.dims() == gradient.dims();
                if fits { norm(&(other.clone() + gradient.clone())) } else { f32::INFINITY }
            };
            let (index, nearest) =
                found.iter().map(distance).enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            assert!(nearest <= 1e-3 * norm(&gradient), "{:?}: {nearest}", gradient.dims());
            found.swap_remove(index);
        }
    }

    #[test]
    fn activation_functions_of_gates_are_those_of_the_network() {
        let device = Device::flex();
        let mut random = Random::seeded(3);
        let input = Parameter::normal("input", [5, 6], 1.0, &mut random, &device).value();
        for activation in [Activation::Relu, Activation::Sigmoid, Activation::Softmax] {
            for place in [GatePosition::Hidden, GatePosition::Output] {
                let gate = GateConfig { activation: activation.clone(), ..GateConfig::at(place) };
                let network = Network::builder(&[6]).layer(DenseConfig::new(4)).layer(gate);
                let network = network.build(&device).unwrap();
                let zeros = Tensor::<2>::zeros([5, 4], &device);
                let rule = network.evaluate(input.clone(), zeros.clone()).unwrap();
                let twin =
                    gradients(&network, input.clone().into(), zeros.into()).unwrap().deviation;
                let (rule, twin) = (rule.mean_squared(), twin.mean_squared());
                assert!((rule - twin).abs() < 1e-6, "{activation:?} {place:?}: {rule}, {twin}");
            }
        }
    }

    #[test]
    fn a_layer_without_counterpart_is_refused_by_its_kind() {
        let device = Device::flex();
        let network = Network::builder(&[6]).layer(DenseConfig::new(4));
        let mut network = network.layer(DropoutConfig::new(0.5)).build(&device).unwrap();
        let (input, target) =
            (Tensor::<2>::zeros([5, 6], &device), Tensor::<2>::zeros([5, 4], &device));
        let error =
            train_batch(&mut network, &zor_optim::Sgd::new(0.1), input, target).unwrap_err();
        assert!(error.to_string().contains("'dropout'"), "{error}");
    }

    #[test]
    fn both_train_a_network_alike() {
        let device = Device::flex();
        let build = || {
            let network =
                crate::tasks::parts::networks::small_conv(&[28, 28, 1], 10).rule(Rule::backprop());
            network.seed(5).build(&device).unwrap()
        };
        let (mut rule, mut twin) = (build(), build());
        let mut random = Random::seeded(3);
        let input = Parameter::normal("input", [8, 784], 1.0, &mut random, &device).value();
        let classes: Vec<usize> = (0..8).collect();
        let optimizer = zor_optim::Sgd::new(0.01);
        // Rounding turns a gate or the winner of a pool sooner or later; until then both agree to
        // the last digits.
        for _ in 0..2 {
            let a = rule.train_batch(&optimizer, input.clone(), classes.clone()).unwrap();
            let b = train_batch(&mut twin, &optimizer, input.clone(), classes.clone()).unwrap();
            assert!((a.mae() - b.mae()).abs() < 1e-6, "{a:?} and {b:?}");
        }
        let [a, b] = [rule, twin].map(|network| network.predict(input.clone()).unwrap());
        assert!(norm(&(a.clone() - b)) <= 1e-2 * norm(&a));
    }
}
