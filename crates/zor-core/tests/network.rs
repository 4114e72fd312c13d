//! Tests of networks through the public interface: building, training, state, errors, and a
//! user-defined layer.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]
#![cfg(feature = "flex")]

use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_core::ops::{self, Transposed};
use zor_core::{
    Activation, BatchNormConfig, BranchConfig, BuildContext, Conv2dConfig, DenseConfig, Error,
    ErrorKind, ErrorMetrics, GateConfig, GatePosition, GroupNormConfig, Initializer, Layer,
    LayerConfig, LearnPass, Mode, Network, Optimizer, Parameter, Pass, Pool2dConfig, Pooling,
    Random, ReshapeConfig, Result, Rule, SequentialConfig, Signal, SparsityControl, Target,
    Visitor, VisitorMut, Workspace,
};

/// The simplest optimizer: a step along the correlation.
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
            ops::scaled_sum(weight, correlation.clone(), 1.0, self.0, limit)
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

/// With `Rule::backprop` a step is the gradient step of half the squared error through ReLU,
/// checked by finite differences.
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
    // The class is the index of the largest of the first three values.
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
    let error = network.evaluate(input.clone(), input.clone()).unwrap().mae() as f32;
    network.train_batch(&Step(0.1), input.clone(), input).unwrap();
    assert_eq!(network.history()[3], error, "the error before the step");
    // The history of a long training keeps its last errors.
    network.set_history((0..1 << 17).map(|error| error as f32).collect());
    network.record(&ErrorMetrics::default());
    assert_eq!((network.history().len(), network.history()[0]), ((1 << 16) + 1, 65536.0));
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

#[test]
fn errors_say_what_has_changed_and_where_weights_are_broken() {
    let rule = Rule { stateful: true, ..Rule::default() };
    let mut network = Network::dense(&[6, 4, 6]).rule(rule).build(&Device::flex()).unwrap();
    let good = random([5, 6], 1);
    network.train_batch(&Step(0.1), good.clone(), good.clone()).unwrap();
    let charges =
        |n: &Network| n.charges().into_iter().map(|(_, c)| numbers(c)).collect::<Vec<_>>();
    let (before, charged) = (weights(&network), charges(&network));
    // A target that does not fit is rejected before the forward pass, which would change charges.
    let wrong = [
        Target::from(random([4, 6], 1)),
        Target::Classes(vec![0]),
        Target::Classes(vec![6; 5]),
        Target::SmoothedClasses { classes: vec![0; 5], smoothing: f32::NAN },
    ];
    for target in wrong {
        network.train_batch(&Step(0.1), good.clone(), target).unwrap_err();
        assert_eq!((&before, &charged), (&weights(&network), &charges(&network)));
    }
    let nothing = good.clone().mul_scalar(f32::NAN);
    let found = network.train_batch(&Step(0.1), good.clone(), nothing.clone());
    refused(found, ErrorKind::NotFinite, &["no weight was changed", "target"]);
    assert_eq!(before, weights(&network));
    refused(network.evaluate(good.clone(), nothing), ErrorKind::NotFinite, &["target"]);
    // A learning rate that leaves no finite weight is detected in the next step.
    network.train_batch(&Step(f32::INFINITY), good.clone(), good.clone()).unwrap();
    let found = network.train_batch(&Step(0.1), good.clone(), good.clone());
    let words = ["weight of layer", "(dense)", "earlier step", "checkpoint"];
    refused(found, ErrorKind::NotFinite, &words);
    refused(network.evaluate(good.clone(), good), ErrorKind::NotFinite, &words[..2]);
}

#[test]
fn deviations_are_between_as_many_values_of_both() {
    let found = ErrorMetrics::between(&[1.0, 0.0], &[0.5, 0.0]).unwrap();
    assert_eq!((found.mae(), found.mean_squared()), (0.25, 0.125));
    let shape = ErrorKind::Shape;
    refused(ErrorMetrics::between(&[1.0; 4], &[0.0; 2]), shape, &["4 targets", "2 outputs"]);
    refused(ErrorMetrics::between(&[], &[]), shape, &["0 targets", "at least one"]);
}

/// Runs a task in pools of 1, 2, 3 and 7 threads; all results must be equal.
fn with_any_number_of_threads(what: &str, task: impl Fn() -> Vec<Vec<f32>> + Sync) {
    let [first, others @ ..] = [1, 2, 3, 7].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&task)
    });
    assert!(first.iter().flatten().all(|value| value.is_finite()), "{what}");
    for other in others {
        assert!(first == other, "{what} depends on the number of threads");
    }
}

/// Batches are large enough that every operation is divided into parts.
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let device = Device::flex();
    let train = |builder: zor_core::NetworkBuilder, rows: usize| {
        let mut network = builder.seed(1).build(&device).unwrap();
        let inputs: usize = network.input_shape().iter().product();
        for step in 0..2 {
            let classes = (0..rows).map(|row| row % 4).collect::<Vec<_>>();
            network.train_batch(&Step(0.01), random([rows, inputs], step), classes).unwrap();
        }
        weights(&network)
    };
    for rule in [Rule::default(), Rule::classic()] {
        // Direct, Winograd, Winograd with a fused pool, and transposed convolution.
        with_any_number_of_threads("a convolutional network", || {
            let builder = Network::builder(&[16, 16, 3])
                .layer(Conv2dConfig::same(8, 3))
                .layer(BatchNormConfig::default())
                .layer(GateConfig::default())
                .layer(Conv2dConfig::same(16, 3))
                .layer(GroupNormConfig::new(4))
                .layer(GateConfig::default())
                .layer(Conv2dConfig::same(16, 3).with_max_pool(2))
                .layer(GateConfig::default())
                .layer(Conv2dConfig::same(8, 5).with_stride(2))
                .layer(Conv2dConfig::up(8, 2))
                .layer(Pool2dConfig::average(2))
                .layer(DenseConfig::new(4));
            train(builder.rule(rule.clone()), 131)
        });
        with_any_number_of_threads("a dense network", || {
            train(Network::dense(&[600, 150, 4]).rule(rule.clone()), 101)
        });
    }
    with_any_number_of_threads("products", || {
        let (a, b) = (random([400, 301], 1), random([301, 400], 2));
        let buffer = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &device);
        let square = |a: &Tensor<2>| {
            ops::symmetric_matmul(a.clone(), a.clone(), buffer([400, 400]), Transposed::Right)
        };
        let product = ops::matmul(a.clone(), b.clone(), buffer([400, 400]), Transposed::Neither);
        let turned = ops::multiply_square(b, square(&a), ops::Side::Right);
        let row =
            ops::matmul(random([1, 301], 3), turned.clone(), buffer([1, 400]), Transposed::Neither);
        [product, square(&a), turned, row].map(numbers).to_vec()
    });
}

/// A user-defined layer: one learned scale per feature.
#[derive(Clone, Debug)]
struct Scale {
    scale: Parameter,
}

#[derive(Debug)]
struct ScaleConfig;

impl LayerConfig for ScaleConfig {
    fn build(&self, shape: &[usize], context: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        let n = shape.iter().product();
        let scale = context.parameter("scale", [1, n], Initializer::Constant(1.0))?;
        Ok(Box::new(Scale { scale }))
    }
}

impl Layer for Scale {
    fn kind(&self) -> &'static str {
        "scale"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        if pass.mode == Mode::Train {
            pass.memory.keep("input", input.clone());
        }
        input * self.scale.value()
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let below = signal.values.clone() * self.scale.value();
        if let Some(input) = pass.memory.take("input") {
            let correlation = (input * signal.values).sum_dim(0);
            pass.optimizer.step(&mut self.scale, correlation, pass.workspace);
        }
        Signal::new(below)
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.scale);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.scale);
    }
}

#[test]
fn a_layer_from_outside_learns_in_a_network() {
    let rule = Rule { gate_output: false, ..Rule::backprop() };
    let mut network = Network::builder(&[6])
        .rule(rule)
        .layer(DenseConfig::new(6))
        .layer(ScaleConfig)
        .layer(GateConfig { activation: Activation::None, ..GateConfig::at(GatePosition::Output) })
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

/// The fault in the visits of a [`Flawed`] layer.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    NoParametersMut,
    NoBuffersMut,
    OtherOrder,
    OtherRole,
    NoChildMut,
    Nothing,
}

/// A layer whose visits differ, with its own parameters and a nested layer.
#[derive(Clone, Debug)]
struct Flawed {
    flaw: Flaw,
    own: [Parameter; 2],
    child: Scale,
}

impl LayerConfig for Flaw {
    fn build(&self, shape: &[usize], context: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        let units = shape.iter().product();
        let mut own = || context.parameter("own", [1, units], Initializer::Constant(1.0));
        let own = [own()?, own()?];
        let scale = context.child(0, |context| {
            context.parameter("scale", [1, units], Initializer::Constant(1.0))
        })?;
        Ok(Box::new(Flawed { flaw: *self, own, child: Scale { scale } }))
    }
}

impl Layer for Flawed {
    fn kind(&self) -> &'static str {
        "flawed"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn forward(&self, input: Tensor<2>, _: &mut Pass<'_>) -> Tensor<2> {
        input
    }

    fn learn(&mut self, signal: Signal, _: &mut LearnPass<'_>) -> Signal {
        signal
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.own[0]);
        visitor.buffer(&self.own[1]);
        visitor.child(&self.child);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        let [first, second] = &mut self.own;
        match self.flaw {
            Flaw::NoParametersMut => visitor.buffer(second),
            Flaw::NoBuffersMut => visitor.parameter(first),
            Flaw::OtherOrder => {
                visitor.buffer(second);
                visitor.parameter(first);
            }
            Flaw::OtherRole => {
                visitor.parameter(first);
                visitor.parameter(second);
            }
            Flaw::NoChildMut | Flaw::Nothing => {
                visitor.parameter(first);
                visitor.buffer(second);
            }
        }
        if !matches!(self.flaw, Flaw::NoChildMut) {
            visitor.child(&mut self.child);
        }
    }
}

#[test]
fn a_layer_whose_two_visits_differ_is_refused_by_position_and_kind() {
    let device = Device::flex();
    let shows = "shows 2 parameters, 1 buffers and 1 layers";
    let cases = [
        (Flaw::NoParametersMut, "visit_mut 1 parameters, 1 buffers and 1 layers"),
        (Flaw::NoBuffersMut, "visit_mut 2 parameters, 0 buffers and 1 layers"),
        (Flaw::OtherOrder, "visit_mut others or in another order"),
        (Flaw::OtherRole, "visit_mut 3 parameters, 0 buffers and 1 layers"),
        (Flaw::NoChildMut, "visit_mut 1 parameters, 1 buffers and 0 layers"),
    ];
    for (flaw, word) in cases {
        let words = [shows, word];
        let dense = || Network::builder(&[6]).layer(DenseConfig::new(6));
        let all = [&["layer 1", "'flawed'"][..], &words].concat();
        refused(dense().layer(flaw).build(&device), ErrorKind::Setting, &all);
        let inside = SequentialConfig::new().layer(DenseConfig::new(6)).layer(flaw);
        let all = [&["layer 1", "sequence layer 1"][..], &words].concat();
        refused(dense().layer(inside).build(&device), ErrorKind::Setting, &all);
        let mut network = dense().layer(DenseConfig::new(6)).build(&device).unwrap();
        let built =
            flaw.build(&[6], &mut BuildContext::with_random_weights(Rule::default(), 0, &device));
        let built = built.unwrap();
        let layers = vec![network.layers()[0].boxed_clone(), built.boxed_clone()];
        let network_of = Network::from_layers(vec![6], Rule::default(), layers, &device);
        refused(network_of, ErrorKind::Setting, &[&["layer 1 (flawed)"][..], &words].concat());
        // A replaced layer is detected before anything is changed.
        network.layers_mut()[1] = built;
        let mut changed = 0;
        refused(network.for_each_tensor(|_, _| changed += 1), ErrorKind::Setting, &words);
        assert_eq!(changed, 0);
    }
    // Tensors of a layer and of its nested layer have different names.
    let sound = Network::builder(&[6]).layer(Flaw::Nothing).layer(ScaleConfig).build(&device);
    let sound = sound.unwrap();
    let names: Vec<String> = sound.tensors().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["0.own", "0.0.scale", "0.own", "1.scale"]);
}

#[test]
fn a_convolutional_network_takes_inputs_of_another_size() {
    let device = Device::flex();
    let build = |side: usize| {
        let network = Network::builder(&[side, side, 2])
            .layer(Conv2dConfig::same(4, 3).with_max_pool(2))
            .layer(BranchConfig::concatenate().layer(Conv2dConfig::same(4, 3)))
            .layer(BatchNormConfig::default())
            .layer(GateConfig::default())
            .layer(Pool2dConfig::global(Pooling::Average))
            .layer(ReshapeConfig::flatten())
            .layer(DenseConfig::new(3));
        network.build(&device).unwrap()
    };
    let mut network = build(8);
    let train = |network: &mut Network, side: usize| {
        let input = random([5, side * side * 2], 1);
        network.train_batch(&Step(0.1), input, vec![0, 1, 2, 0, 1]).unwrap();
    };
    network.set_input_shape(&[6, 6, 2]).unwrap();
    train(&mut network, 6);
    let mut small = build(6);
    train(&mut small, 6);
    assert_eq!(weights(&network), weights(&small));
    network.set_input_shape(&[8, 8, 2]).unwrap();
    train(&mut network, 8);
    assert_eq!((network.input_shape(), network.output_shape()), (&[8, 8, 2][..], &[3][..]));
    let refused_shape = network.set_input_shape(&[8, 8, 3]);
    refused(refused_shape, ErrorKind::Shape, &["layer 0 (conv2d", "kernel"]);
    assert_eq!(network.input_shape(), [8, 8, 2]);
    train(&mut network, 8);
}

#[test]
fn rows_with_weights_count_as_often() {
    let device = Device::flex();
    let build = || Network::dense(&[6, 4, 3]).rule(Rule::backprop()).build(&device).unwrap();
    let input = random([2, 6], 1);
    let (mut weighted, mut repeated) = (build(), build());
    let target =
        Target::WeightedClasses { classes: vec![2, 0], smoothing: 0.1, weights: vec![2.0, 1.0] };
    weighted.train_batch(&Step(0.1), input.clone(), target).unwrap();
    let rows = Tensor::cat(vec![input.clone().slice([0..1, 0..6]), input.clone()], 0);
    let target = Target::SmoothedClasses { classes: vec![2, 2, 0], smoothing: 0.1 };
    repeated.train_batch(&Step(0.1), rows, target).unwrap();
    for (a, b) in weights(&weighted).concat().into_iter().zip(weights(&repeated).concat()) {
        assert!((a - b).abs() < 1e-6, "{a} and {b}");
    }
    let wrong = |weights: Vec<f32>, word: &str| {
        let classes = vec![2, 0];
        let target = Target::WeightedClasses { classes, smoothing: 0.0, weights };
        let error = build().train_batch(&Step(0.1), input.clone(), target).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    };
    wrong(vec![1.0], "1 weights for 2 classes");
    wrong(vec![1.0, -1.0], "row 1 has the weight -1");
    wrong(vec![f32::NAN, 1.0], "row 0 has the weight NaN");
}

#[test]
fn missing_targets_have_no_signal() {
    let device = Device::flex();
    let build = || Network::dense(&[6, 4, 3]).rule(Rule::backprop()).build(&device).unwrap();
    let input = random([5, 6], 1);
    let values = random([5, 3], 2);
    // Targets that the untrained network meets exactly have no signal either.
    let met = build().predict(input.clone()).unwrap();
    let column =
        |known: [f32; 3]| Tensor::<1>::from_floats(known, &device).reshape([1, 3]).repeat_dim(0, 5);
    let known = column([1.0, 0.0, 1.0]);
    let expected = values.clone() * known.clone() + met * column([0.0, 1.0, 0.0]);
    let (mut partial, mut whole) = (build(), build());
    let target = Target::PartialValues { values: values.clone(), known: known.clone() };
    let error = partial.train_batch(&Step(0.1), input.clone(), target).unwrap();
    let other = whole.train_batch(&Step(0.1), input.clone(), expected).unwrap();
    assert!((error.sums.squared - other.sums.squared).abs() < 1e-6, "{error:?} {other:?}");
    for (a, b) in weights(&partial).concat().into_iter().zip(weights(&whole).concat()) {
        assert!((a - b).abs() < 1e-6, "{a} and {b}");
    }
    let target = Target::PartialValues { values, known: random([4, 3], 1) };
    let refused_target = build().train_batch(&Step(0.1), input, target);
    assert_eq!(refused_target.unwrap_err().kind(), ErrorKind::Shape);
}

#[test]
fn layers_that_do_not_fit_are_an_error_and_no_panic() {
    use ErrorKind::{Setting, Shape};
    let device = Device::flex();
    let build = |sizes: &[usize]| Network::dense(sizes).build(&device).unwrap();
    let layers = |network: &Network| network.layers().iter().map(|l| l.boxed_clone()).collect();
    let from = |shape: &[usize], layers| {
        Network::from_layers(shape.to_vec(), Rule::default(), layers, &device)
    };
    let small = build(&[6, 3, 6]);
    refused(from(&[5], layers(&small)), Shape, &["layer 1 (dense", "takes 6", "[5] has 5"]);
    refused(from(&[0], layers(&small)), Shape, &["empty"]);
    refused(from(&[6], Vec::new()), Setting, &["at least one layer"]);
    let mut mixed: Vec<Box<dyn Layer>> = layers(&small);
    mixed.swap(1, 3);
    refused(from(&[6], mixed), Shape, &["layer 1 (dense", "takes 3", "[6] has 6"]);
    let same = from(&[6], layers(&small)).unwrap();
    let input = random([4, 6], 1);
    let answer = |n: &Network| numbers(n.predict(input.clone()).unwrap());
    assert_eq!(answer(&same), answer(&small));
    // A replaced layer is detected in the next batch.
    let mut replaced = small.clone();
    replaced.layers_mut()[3] = build(&[5, 6]).layers()[1].boxed_clone();
    refused(replaced.predict(input.clone()), Shape, &["layer 3 (dense", "takes 5", "[3] has 3"]);
    refused(replaced.train_batch(&Step(0.1), input.clone(), input), Shape, &["layer 3 (dense"]);
}

#[test]
fn products_take_either_operand_transposed() {
    let (a, b) = (random([3, 4], 1), random([3, 5], 2));
    let buffer = Tensor::zeros([4, 5], &Device::flex());
    let fast = ops::matmul(a.clone(), b.clone(), buffer, Transposed::Left);
    let difference = numbers((fast - a.transpose().matmul(b)).abs());
    assert!(difference.iter().all(|d| *d < 1e-5));
}

#[test]
fn gates_move_to_where_the_target_share_of_values_fires() {
    let device = Device::flex();
    let ways =
        [(SparsityControl::Threshold, "threshold"), (SparsityControl::Inhibition, "inhibition")];
    for (target, (sparsity, moved)) in [(0.5, ways[0]), (0.1, ways[0]), (0.1, ways[1])] {
        let rule = Rule { target_spike_rate: Some(target), sparsity, ..Rule::default() };
        let mut network = Network::dense(&[20, 40, 20]).rule(rule).seed(1).build(&device).unwrap();
        for step in 0..200 {
            let input = random([64, 20], step);
            network.train_batch(&Step(0.01), input.clone(), input).unwrap();
        }
        // Inputs and outputs have no hidden gate: there is only one rate.
        let rates = network.spike_rates();
        assert_eq!(rates.len(), 1);
        assert!((0.8 * target..1.2 * target).contains(&rates[0].1), "{rates:?}");
        // The adapted value is saved.
        let config = network.layers()[2].config().unwrap();
        assert_eq!(config["target_spike_rate"].as_f64().unwrap() as f32, target);
        assert!(config[moved].as_f64().unwrap().abs() > 1e-3);
        // The target may move during a training.
        network.set_target_spike_rate(0.3).unwrap();
        for step in 200..400 {
            let input = random([64, 20], step);
            network.train_batch(&Step(0.01), input.clone(), input).unwrap();
        }
        let rate = network.spike_rates()[0].1;
        assert!((0.24..0.36).contains(&rate), "{rate}");
        assert!(network.set_target_spike_rate(0.0).is_err());
    }
    // With a target of 1 nothing is adapted.
    let rule = Rule { target_spike_rate: Some(1.0), ..Rule::default() };
    let mut network = Network::dense(&[20, 40, 20]).rule(rule).build(&device).unwrap();
    network.train_batch(&Step(0.01), random([64, 20], 1), random([64, 20], 1)).unwrap();
    let config = network.layers()[2].config().unwrap();
    assert!(config["threshold"] == 0.0 && config.get("inhibition").is_none());
}
