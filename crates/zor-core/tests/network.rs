//! Networks as a user meets them: building, training, state, errors, and a layer from outside.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]
#![cfg(feature = "flex")]

use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_core::ops::{self, Transposed};
use zor_core::{
    Activation, BuildContext, DenseConfig, Error, ErrorKind, Fill, GateConfig, Layer, LayerConfig,
    Learning, Memory, Mode, Network, Optimizer, Parameter, Place, Random, Result, Rule, Signal,
    Sparsity, Target, Workspace,
};

/// The plainest optimizer: a step along the correlation.
#[derive(Debug)]
struct Step(f32);

impl Optimizer for Step {
    fn name(&self) -> &str {
        "step"
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, workspace: &mut Workspace) {
        let limit = parameter.limit();
        parameter.update(|weight, _, _| {
            ops::move_weight(weight, correlation.clone(), 1.0, self.0, limit)
        });
        workspace.give(correlation);
    }
}

fn random(shape: [usize; 2], seed: u64) -> Tensor<2> {
    Parameter::normal("x", shape, 1.0, &mut Random::seeded(seed), &Device::flex()).value()
}

fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn weights(network: &Network) -> Vec<Vec<f32>> {
    let layers = network.layers().iter();
    layers.flat_map(|l| l.parameters()).map(|p| numbers(p.value())).collect()
}

/// Under `Rule::backprop` a step is the gradient step of half the squared error through ReLU, by finite differences.
#[test]
fn without_normalisation_the_gated_rule_is_backpropagation_through_relu() {
    let device = Device::flex();
    let build =
        || Network::dense(&[5, 7, 6, 3]).rule(Rule::backprop()).seed(4).build(&device).unwrap();
    let (input, target) = (random([8, 5], 1), random([8, 3], 2));
    let loss = |network: &Network| {
        0.5 * network.evaluate(input.clone(), target.clone()).unwrap().sums.squared
    };
    let before = build();
    let mut after = build();
    after.train_batch(&Step(1.0), input.clone(), target.clone()).unwrap();
    for (layer, (old, new)) in weights(&before).iter().zip(weights(&after)).enumerate() {
        for index in [0, old.len() / 2, old.len() - 1] {
            let step = 1e-2;
            let moved = |by: f32| {
                let mut network = build();
                let mut values = old.clone();
                values[index] += by;
                let mut parameters: Vec<_> =
                    network.layers_mut().iter_mut().flat_map(|l| l.parameters_mut()).collect();
                let shape = parameters[layer].shape();
                let value = Tensor::from_data(TensorData::new(values, shape), &device);
                parameters[layer].set_value(value).unwrap();
                loss(&network)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            let change = f64::from(new[index] - old[index]);
            assert!(
                (change + slope).abs() < 2e-2 * slope.abs().max(1.0),
                "layer {layer}: {change} and {slope}"
            );
        }
    }
}

#[test]
fn a_network_learns_classes_from_their_numbers() {
    let device = Device::flex();
    let mut network = Network::dense(&[4, 16, 3]).rule(Rule::backprop()).build(&device).unwrap();
    let input = random([30, 4], 3);
    // The class is which of the first three values is largest.
    let classes: Vec<usize> = numbers(input.clone())
        .chunks(4)
        .map(|row| (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap())
        .collect();
    for _ in 0..200 {
        network.train_batch(&Step(0.1), input.clone(), Target::Classes(classes.clone())).unwrap();
    }
    let output = numbers(network.predict(input).unwrap());
    let right = output
        .chunks(3)
        .zip(&classes)
        .filter(|(row, class)| (0..3).all(|c| row[c] <= row[**class]))
        .count();
    assert!(right >= 28, "{right} of 30");
}

#[test]
fn smoothed_labels_lie_partly_on_all_classes() {
    let target = Target::SmoothedClasses { classes: vec![1, 0], smoothing: 0.25 };
    let values = target.into_values([2, 5], &Device::flex()).unwrap();
    let expected = [0.05, 0.8, 0.05, 0.05, 0.05, 0.8, 0.05, 0.05, 0.05, 0.05];
    for (value, expected) in numbers(values).into_iter().zip(expected) {
        assert!((value - expected).abs() < 1e-7, "{value} for {expected}");
    }
}

#[test]
fn predictions_leave_charges_alone_and_stateful_ones_move_them() {
    let rule = Rule { threshold: 0.5, ..Rule::classic() };
    let mut network = Network::dense(&[6, 4, 6]).rule(rule).build(&Device::flex()).unwrap();
    let input = random([5, 6], 1);
    network.train_batch(&Step(0.0), input.clone(), input.clone()).unwrap();
    let charges =
        |n: &Network| n.charges().into_iter().map(|(_, c)| numbers(c)).collect::<Vec<_>>();
    let (before, rates) = (charges(&network), network.spike_rates());
    let first = numbers(network.predict(input.clone()).unwrap());
    assert_eq!(first, numbers(network.predict(input.clone()).unwrap()));
    assert_eq!(before, charges(&network));
    let stateful = numbers(network.predict_stateful(input.clone()).unwrap());
    assert_ne!(stateful, first);
    let moved = charges(&network);
    assert_ne!(before[..2], moved[..2], "hidden charges move");
    assert_eq!(before[2], moved[2], "the output's do not");
    assert_eq!(rates, network.spike_rates(), "spikes are the training's");
    network.reset();
    assert!(network.charges().is_empty());
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let train = |seed| {
        let mut network = Network::dense(&[20, 9, 20]).seed(seed).build(&Device::flex()).unwrap();
        for step in 0..20 {
            let input = random([13, 20], step);
            network.train_batch(&Step(0.01), input.clone(), input).unwrap();
        }
        weights(&network)
    };
    assert_eq!(train(1), train(1));
    assert_ne!(train(1), train(2));
}

#[test]
fn history_rates_and_summary_tell_what_happened() {
    let mut network = Network::dense(&[6, 4, 6]).build(&Device::flex()).unwrap();
    let input = random([5, 6], 1);
    for _ in 0..3 {
        network.train_batch(&Step(0.1), input.clone(), input.clone()).unwrap();
    }
    assert_eq!(network.history().len(), 3);
    assert_eq!(network.n_parameters(), 48);
    let rates = network.spike_rates();
    assert_eq!(rates.len(), 1, "only the hidden gate spikes by default");
    assert!((0.0..=1.0).contains(&rates[0].1));
    let summary = network.summary().to_string();
    assert!(summary.contains("dense") && summary.contains("48"), "{summary}");
}

fn refused<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind, words: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "'{word}' is not in: {error}");
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_changes_nothing() {
    use ErrorKind::{NotFinite, Setting, Shape};
    let device = Device::flex();
    let build = |sizes: &[usize]| Network::dense(sizes).build(&device);
    refused(build(&[]), Setting, &["two sizes"]);
    refused(build(&[5]), Setting, &["two sizes"]);
    refused(build(&[5, 0, 5]), Setting, &["layer 1", "at least one unit"]);
    refused(build(&[0, 5]), Shape, &["empty"]);
    refused(Network::builder(&[3]).build(&device), Setting, &["at least one layer"]);
    let rule = Rule { threshold: f32::NAN, ..Rule::default() };
    refused(Network::dense(&[3, 3]).rule(rule).build(&device), Setting, &["threshold"]);
    let bad = GateConfig { threshold: Some(f32::NAN), ..GateConfig::default() };
    refused(Network::builder(&[3]).layer(bad).build(&device), Setting, &["layer 0", "threshold"]);

    let mut network = build(&[6, 4, 6]).unwrap();
    let before = weights(&network);
    let good = random([5, 6], 1);
    let mut train =
        |input: Tensor<2>, target: Target| network.train_batch(&Step(0.1), input, target);
    refused(train(random([5, 7], 1), good.clone().into()), Shape, &["[5, 7]", "6"]);
    refused(train(good.clone(), random([4, 6], 1).into()), Shape, &["[4, 6]", "[5, 6]"]);
    refused(train(good.clone(), Target::Classes(vec![0, 1])), Shape, &["2 classes", "batch of 5"]);
    refused(train(good.clone(), Target::Classes(vec![9; 5])), Setting, &["class 9"]);
    let too_smooth = Target::SmoothedClasses { classes: vec![0; 5], smoothing: 1.5 };
    refused(train(good.clone(), too_smooth), Setting, &["1.5", "from 0 to 1"]);
    for bad in [f32::NAN, f32::INFINITY] {
        let bad = good.clone().mul_scalar(bad);
        refused(train(bad, good.clone().into()), NotFinite, &["NaN"]);
    }
    assert_eq!(before, weights(&network));
}

/// A layer of a user's own: one scale for every feature, learned.
#[derive(Clone, Debug)]
struct Scale {
    scale: Parameter,
    shape: Vec<usize>,
}

#[derive(Debug)]
struct ScaleConfig;

impl LayerConfig for ScaleConfig {
    fn build(&self, shape: &[usize], context: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        let n = shape.iter().product();
        let scale = context.parameter("scale", [1, n], Fill::Constant(1.0))?;
        Ok(Box::new(Scale { scale, shape: shape.to_vec() }))
    }
}

impl Layer for Scale {
    fn kind(&self) -> &'static str {
        "scale"
    }

    fn output_shape(&self) -> &[usize] {
        &self.shape
    }

    fn forward(
        &self,
        input: Tensor<2>,
        memory: &mut Memory,
        _: &mut Workspace,
        mode: Mode,
    ) -> Tensor<2> {
        if mode == Mode::Train {
            memory.keep("input", input.clone());
        }
        input * self.scale.value()
    }

    fn learn(
        &mut self,
        signal: Signal,
        memory: &mut Memory,
        learning: &mut Learning<'_>,
    ) -> Signal {
        let below = signal.values.clone() * self.scale.value();
        if let Some(input) = memory.take("input") {
            let correlation = (input * signal.values).sum_dim(0);
            learning.optimizer.step(&mut self.scale, correlation, learning.workspace);
        }
        Signal::new(below)
    }

    fn parameters(&self) -> Vec<&Parameter> {
        vec![&self.scale]
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[test]
fn a_layer_from_outside_learns_in_a_network() {
    let rule = Rule { gate_output: false, ..Rule::backprop() };
    let mut network = Network::builder(&[6])
        .rule(rule)
        .layer(DenseConfig::new(6))
        .layer(ScaleConfig)
        .layer(GateConfig { activation: Activation::None, ..GateConfig::at(Place::Output) })
        .build(&Device::flex())
        .unwrap();
    let (input, target) = (random([20, 6], 1), random([20, 6], 2));
    let first = network.train_batch(&Step(0.01), input.clone(), target.clone()).unwrap();
    for _ in 0..200 {
        network.train_batch(&Step(0.01), input.clone(), target.clone()).unwrap();
    }
    let last = network.evaluate(input, target).unwrap();
    assert!(last.mean_squared() < 0.9 * first.mean_squared());
    assert!(weights(&network)[1].iter().any(|scale| (scale - 1.0).abs() > 1e-3));
    let error: Error = network.layers()[1].config().unwrap_err();
    assert!(error.to_string().contains("scale"));
}

#[test]
fn products_take_either_operand_transposed() {
    let (a, b) = (random([3, 4], 1), random([3, 5], 2));
    let buffer = Tensor::zeros([4, 5], &Device::flex());
    let fast = ops::product(a.clone(), b.clone(), buffer, Transposed::Left);
    let difference = numbers((fast - a.transpose().matmul(b)).abs());
    assert!(difference.iter().all(|d| *d < 1e-5));
}

#[test]
fn gates_move_to_where_the_target_share_of_values_fires() {
    let device = Device::flex();
    let ways = [(Sparsity::Threshold, "threshold"), (Sparsity::Inhibition, "inhibition")];
    for (target, (sparsity, moved)) in [(0.5, ways[0]), (0.1, ways[0]), (0.1, ways[1])] {
        let rule = Rule { target_spike_rate: Some(target), sparsity, ..Rule::default() };
        let mut network = Network::dense(&[20, 40, 20]).rule(rule).seed(1).build(&device).unwrap();
        for step in 0..200 {
            let input = random([64, 20], step);
            network.train_batch(&Step(0.01), input.clone(), input).unwrap();
        }
        // Inputs and outputs are not hidden: theirs is the only rate.
        let rates = network.spike_rates();
        assert_eq!(rates.len(), 1);
        assert!((0.8 * target..1.2 * target).contains(&rates[0].1), "{rates:?}");
        // What moved is part of what is saved.
        let config = network.layers()[2].config().unwrap();
        assert_eq!(config["target_spike_rate"].as_f64().unwrap() as f32, target);
        assert!(config[moved].as_f64().unwrap().abs() > 1e-3);
    }
    // Where all may fire, nothing does.
    let rule = Rule { target_spike_rate: Some(1.0), ..Rule::default() };
    let mut network = Network::dense(&[20, 40, 20]).rule(rule).build(&device).unwrap();
    network.train_batch(&Step(0.01), random([64, 20], 1), random([64, 20], 1)).unwrap();
    let config = network.layers()[2].config().unwrap();
    assert!(config["threshold"] == 0.0 && config.get("inhibition").is_none());
}
