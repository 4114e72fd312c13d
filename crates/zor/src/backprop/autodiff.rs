//! The same network under burn's autodiff: what backpropagation makes of it, as a peer and as a
//! reference.
//!
//! Every layer of Zor's is computed anew in burn's own operations, on a device that records a
//! graph; the gradients of that graph then take the place of the rule's correlations in the same
//! optimizer. Gates are ReLU at their threshold: their spikes count as constants.

use serde::de::DeserializeOwned;
use zor_core::burn::tensor::ops::{
    AvgPoolOptions, ConvOptions, ConvTransposeOptions, MaxPoolOptions,
};
use zor_core::burn::tensor::{Tensor, activation, module};
use zor_core::ops::{ErrorSums, Window};
use zor_core::{
    BatchNormConfig, Conv2dConfig, ErrorMetrics, GateConfig, GroupNormConfig, Layer, Network,
    Optimizer, Pool2dConfig, Pooling, ScaleConfig, Target, UpsampleConfig, Workspace,
};

use crate::error::{Error, Result};

/// One step of training by backpropagation, with half the squared error or the cross entropy as
/// loss, summed over the batch.
///
/// # Errors
/// When a layer has no counterpart here, or shapes do not fit.
pub fn train_batch(
    network: &mut Network,
    optimizer: &dyn Optimizer,
    input: Tensor<2>,
    target: impl Into<Target>,
) -> Result<ErrorMetrics> {
    let Gradients { values, statistics, deviation } = gradients(network, input, target.into())?;
    let mut workspace = Workspace::new(&network.device().clone());
    let (mut values, mut statistics) = (values.into_iter(), statistics.into_iter());
    for layer in network.layers_mut() {
        for (parameter, gradient) in layer.parameters_mut().into_iter().zip(values.by_ref()) {
            if let Some(gradient) = gradient {
                optimizer.step(parameter, gradient.neg(), &mut workspace);
            }
        }
        for (buffer, (batch, momentum)) in layer.buffers_mut().into_iter().zip(statistics.by_ref())
        {
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
    input: Tensor<2>,
    target: impl Into<Target>,
) -> Result<Vec<Option<Tensor<2>>>> {
    gradients(network, input, target.into()).map(|found| found.values)
}

struct Gradients {
    values: Vec<Option<Tensor<2>>>,
    /// Batch values of running means, each with its momentum.
    statistics: Vec<(Tensor<2>, f32)>,
    deviation: ErrorMetrics,
}

fn gradients(network: &Network, input: Tensor<2>, target: Target) -> Result<Gradients> {
    let values = network.layers().iter().flat_map(|layer| layer.parameters());
    let parameters: Vec<Tensor<2>> =
        values.map(|parameter| parameter.value().autodiff().require_grad()).collect();
    let mut graph = Graph { parameters: parameters.iter(), statistics: Vec::new() };
    let mut shape = network.input_shape().to_vec();
    let mut output = input.autodiff();
    for layer in network.layers() {
        output = graph.forward(layer.as_ref(), output, &shape)?;
        shape = layer.output_shape(&shape)?;
    }
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
    let statistics = std::mem::take(&mut graph.statistics);
    Ok(Gradients {
        values: parameters.iter().map(|parameter| parameter.grad(&found)).collect(),
        statistics,
        deviation: ErrorMetrics { sums, elements: rows * columns },
    })
}

/// A pass up through the layers, in burn's operations.
struct Graph<'a> {
    parameters: std::slice::Iter<'a, Tensor<2>>,
    statistics: Vec<(Tensor<2>, f32)>,
}

impl Graph<'_> {
    fn forward(&mut self, layer: &dyn Layer, x: Tensor<2>, shape: &[usize]) -> Result<Tensor<2>> {
        let rows = x.dims()[0];
        let channels = shape.last().copied().unwrap_or(1);
        match layer.kind() {
            "dense" => Ok(x.matmul(self.parameter()?)),
            "bias" => {
                let x = x.reshape([-1, channels as i32]) + self.parameter()?;
                Ok(x.reshape([rows as i32, -1]))
            }
            "reshape" => Ok(x),
            "scale" => Ok(x * read::<ScaleConfig>(layer)?.factor),
            "gate" => {
                let config: GateConfig = read(layer)?;
                if config.spikes == Some(false) {
                    return Ok(config.activation.apply(x));
                }
                let (x, threshold) = (x - config.inhibition, config.threshold.unwrap_or(0.0));
                let spikes = x.clone().inner().greater_elem(threshold).float().autodiff();
                Ok(config.activation.apply(x * spikes))
            }
            "conv2d" => self.convolve(layer, x, shape),
            "pool2d" => pool(&read(layer)?, x, shape),
            "upsample" => {
                let factor = read::<UpsampleConfig>(layer)?.factor;
                let x = maps(x, shape).repeat_dim(3, factor);
                let [batch, channels, height, width] = x.dims();
                // Copies of a column lie a whole row apart at first; they are brought side by side.
                let x = x.reshape([batch, channels, height, factor, width / factor]);
                let x = x.swap_dims(3, 4).reshape([batch, channels, height, 1, width]);
                let x = x.repeat_dim(3, factor).reshape([batch, channels, height * factor, width]);
                Ok(flat(x))
            }
            "batch_norm" => self.batch_norm(read(layer)?, x, channels),
            "group_norm" => self.group_norm(read(layer)?, x, channels),
            "sequence" => Ok(self.chain(&layer.children(), x, shape)?.0),
            "residual" | "concatenate" => self.branch(layer, x, shape),
            kind => Err(Error::input(format!(
                "a layer of kind '{kind}' has no counterpart under autodiff here"
            ))),
        }
    }

    fn parameter(&mut self) -> Result<Tensor<2>> {
        self.parameters.next().cloned().ok_or_else(|| Error::input("a parameter is missing"))
    }

    fn convolve(&mut self, layer: &dyn Layer, x: Tensor<2>, shape: &[usize]) -> Result<Tensor<2>> {
        let config: Conv2dConfig = read(layer)?;
        let Window { kernel: [height, width], stride, padding, dilation } = config.window;
        let matrix = self.parameter()?;
        let [rows, columns] = matrix.dims();
        let inputs = rows / (height * width);
        let kernel = matrix.reshape([height, width, inputs, columns]).permute([3, 2, 0, 1]);
        let x = maps(x, shape);
        let y = if config.transposed {
            let options =
                ConvTransposeOptions::new(stride, padding, [0; 2], dilation, config.groups);
            module::conv_transpose2d(x, kernel, None, options)
        } else {
            let options = ConvOptions::new(stride, padding, dilation, config.groups);
            module::conv2d(x, kernel, None, options)
        };
        let Some(side) = config.max_pool else {
            return Ok(flat(y));
        };
        let [_, channels, height, width] = y.dims();
        pool(&Pool2dConfig::max(side), flat(y), &[height, width, channels])
    }

    fn batch_norm(
        &mut self,
        config: BatchNormConfig,
        x: Tensor<2>,
        channels: usize,
    ) -> Result<Tensor<2>> {
        let (scale, shift) = (self.parameter()?, self.parameter()?);
        let rows = x.dims()[0];
        let x = x.reshape([-1, channels as i32]);
        let count = x.dims()[0] as f32;
        let mean = x.clone().mean_dim(0);
        let centred = x - mean.clone();
        let variance = (centred.clone() * centred.clone()).mean_dim(0);
        self.statistics.push((mean.inner(), config.momentum));
        let unbiased = variance.clone().inner() * (count / (count - 1.0).max(1.0));
        self.statistics.push((unbiased, config.momentum));
        let y = centred / (variance + config.epsilon).sqrt() * scale + shift;
        Ok(y.reshape([rows as i32, -1]))
    }

    fn group_norm(
        &mut self,
        config: GroupNormConfig,
        x: Tensor<2>,
        channels: usize,
    ) -> Result<Tensor<2>> {
        let (scale, shift) = (self.parameter()?, self.parameter()?);
        let [rows, values] = x.dims();
        let x = x.reshape([rows, values / channels, config.groups, channels / config.groups]);
        let centred = x.clone() - x.mean_dim(1).mean_dim(3);
        let variance = (centred.clone() * centred.clone()).mean_dim(1).mean_dim(3);
        let x = (centred / (variance + config.epsilon).sqrt()).reshape([-1, channels as i32]);
        Ok((x * scale + shift).reshape([rows as i32, -1]))
    }

    /// The output of layers in a row, and its channels.
    fn chain(
        &mut self,
        layers: &[&dyn Layer],
        mut x: Tensor<2>,
        shape: &[usize],
    ) -> Result<(Tensor<2>, usize)> {
        let mut shape = shape.to_vec();
        for layer in layers {
            x = self.forward(*layer, x, &shape)?;
            shape = layer.output_shape(&shape)?;
        }
        Ok((x, shape.last().copied().unwrap_or(1)))
    }

    fn branch(&mut self, layer: &dyn Layer, x: Tensor<2>, shape: &[usize]) -> Result<Tensor<2>> {
        let paths = layer.paths();
        let mut along = |path: usize| {
            let layers = paths.get(path).map_or(&[][..], Vec::as_slice);
            self.chain(layers, x.clone(), shape)
        };
        let (beside, past) = (along(0)?, along(1)?);
        if layer.kind() == "residual" {
            return Ok(beside.0 + past.0);
        }
        let rows = x.dims()[0];
        let view = |(x, channels): (Tensor<2>, usize)| x.reshape([-1, channels as i32]);
        let joined = Tensor::cat(vec![view(past), view(beside)], 1);
        Ok(joined.reshape([rows as i32, -1]))
    }
}

fn pool(config: &Pool2dConfig, x: Tensor<2>, shape: &[usize]) -> Result<Tensor<2>> {
    let whole = Window { kernel: [shape[0], shape[1]], ..Window::square(1) };
    let window = config.window.unwrap_or(whole);
    let x = maps(x, shape);
    Ok(flat(match config.pooling {
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

fn read<C: DeserializeOwned>(layer: &dyn Layer) -> Result<C> {
    serde_json::from_value(layer.config()?)
        .map_err(|error| Error::input(format!("settings of '{}': {error}", layer.kind())))
}

/// Rows of maps, channels last, as maps with channels first.
fn maps(x: Tensor<2>, shape: &[usize]) -> Tensor<4> {
    let rows = x.dims()[0];
    x.reshape([rows, shape[0], shape[1], shape[2]]).permute([0, 3, 1, 2])
}

/// The inverse of [`maps`].
fn flat(x: Tensor<4>) -> Tensor<2> {
    let rows = x.dims()[0];
    x.permute([0, 2, 3, 1]).reshape([rows as i32, -1])
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use zor_core::burn::tensor::Device;
    use zor_core::{
        Activation, BiasConfig, BranchConfig, DenseConfig, DropoutConfig, GatePosition, Parameter,
        Random, ReshapeConfig, Rule,
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
                let twin = gradients(&network, input.clone(), zeros.into()).unwrap().deviation;
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
