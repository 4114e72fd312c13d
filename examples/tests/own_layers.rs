//! Layers from outside Zor, one of them a container: saved, loaded, compiled into a program,
//! trained under autodiff and compared with backpropagation like Zor's own.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use zor::backprop::{alignment, autodiff};
use zor::compile::{self, compile};
use zor::core::{
    Initializer, LearnPass, Operation, Parameter, Pass, Result, Signal, Visitor, VisitorMut, ops,
};
use zor::io::{self, Registry};
use zor::prelude::*;

/// What a gain keeps of the forward pass.
const INPUT: &str = "input";

/// `y = gain x`, unit by unit.
fn amplify(gain: &Parameter, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
    pass.keep_to_learn(INPUT, input.clone());
    input * gain.value()
}

fn learn_gain(gain: &mut Parameter, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
    let input = pass.memory.take(INPUT).unwrap();
    let correlation = (signal.learned_from().clone() * input).sum_dim(0);
    let before = gain.value();
    pass.optimizer.step(gain, correlation, pass.workspace);
    signal.map(|values| values * before.clone())
}

/// A leaf that describes its operation.
#[derive(Clone, Debug)]
struct Gain(Parameter);

#[derive(Debug, serde::Deserialize)]
struct GainConfig {}

impl LayerConfig for GainConfig {
    fn build(&self, shape: &[usize], context: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        let shape = [1, shape.iter().product()];
        Ok(Box::new(Gain(context.parameter("gain", shape, Initializer::Constant(1.5))?)))
    }
}

impl Layer for Gain {
    fn kind(&self) -> &'static str {
        "gain"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        amplify(&self.0, input, pass)
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        learn_gain(&mut self.0, signal, pass)
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.0);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.0);
    }

    fn config(&self) -> Result<Value> {
        Ok(json!({}))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::Affine { scale: Some(&self.0), shift: None })
    }
}

/// A leaf whose operation no other format knows: `y = gain x + x^3`.
#[derive(Clone, Debug)]
struct Cubic(Parameter);

#[derive(Debug)]
struct CubicConfig;

impl LayerConfig for CubicConfig {
    fn build(&self, shape: &[usize], context: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        let shape = [1, shape.iter().product()];
        Ok(Box::new(Cubic(context.parameter("gain", shape, Initializer::Constant(0.5))?)))
    }
}

impl Layer for Cubic {
    fn kind(&self) -> &'static str {
        "cubic"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        amplify(&self.0, input.clone(), pass) + input.powi_scalar(3)
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let slope = pass.memory.get(INPUT).unwrap().clone().powi_scalar(2) * 3.0;
        let along = signal.clone().map(|values| values * slope.clone()).values;
        let mut below = learn_gain(&mut self.0, signal, pass);
        below.values = below.values + along;
        below
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.0);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.0);
    }

    fn forward_autodiff(
        &self,
        input: Tensor<2>,
        parameters: &[Tensor<2>],
        _: &[usize],
    ) -> Option<Tensor<2>> {
        Some(input.clone() * parameters.first()?.clone() + input.powi_scalar(3))
    }
}

/// A container: its inner layers, and a gain of its own behind them.
#[derive(Clone, Debug)]
struct Amplified {
    layers: Vec<Box<dyn Layer>>,
    /// Shapes at the input and behind each layer.
    shapes: Vec<Vec<usize>>,
    gain: Parameter,
}

#[derive(Debug)]
struct AmplifiedConfig(Vec<Box<dyn LayerConfig>>);

impl AmplifiedConfig {
    fn read(registry: &Registry, mut settings: Value) -> std::result::Result<Self, String> {
        Ok(Self(registry.read_layers(settings["layers"].take())?))
    }
}

impl LayerConfig for AmplifiedConfig {
    fn build(&self, shape: &[usize], context: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        let (mut layers, mut shapes) = (Vec::new(), vec![shape.to_vec()]);
        for (index, config) in self.0.iter().enumerate() {
            let shape = shapes[index].clone();
            let layer = context.child(index, |context| config.build(&shape, context))?;
            shapes.push(layer.output_shape(&shape)?);
            layers.push(layer);
        }
        let units = shapes[layers.len()].iter().product();
        let gain = context.parameter("gain", [1, units], Initializer::Constant(0.8))?;
        Ok(Box::new(Amplified { layers, shapes, gain }))
    }
}

impl Layer for Amplified {
    fn kind(&self) -> &'static str {
        "amplified"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        self.layers.iter().try_fold(input.to_vec(), |shape, layer| layer.output_shape(&shape))
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let output = self.layers.iter().enumerate().fold(input, |values, (index, layer)| {
            layer.forward(values, &mut pass.child(index, &self.shapes[index]))
        });
        amplify(&self.gain, output, pass)
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let signal = learn_gain(&mut self.gain, signal, pass);
        self.layers.iter_mut().enumerate().rev().fold(signal, |signal, (index, layer)| {
            layer.learn(signal, &mut pass.child(index, &self.shapes[index], true))
        })
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.gain);
        self.layers.iter().for_each(|layer| visitor.child(layer.as_ref()));
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.gain);
        self.layers.iter_mut().for_each(|layer| visitor.child(layer.as_mut()));
    }

    fn config(&self) -> Result<Value> {
        let layers: Result<Vec<Value>> = self.layers.iter().map(|layer| layer.record()).collect();
        Ok(json!({ "layers": layers? }))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        let inner = self.layers.iter().map(|layer| Operation::Layer(layer.as_ref()));
        let gain = Operation::Affine { scale: Some(&self.gain), shift: None };
        Ok(Operation::Sequential(inner.chain([gain]).collect()))
    }
}

fn network() -> NetworkBuilder {
    let inner: Vec<Box<dyn LayerConfig>> =
        vec![Box::new(DenseConfig::new(6)), Box::new(GainConfig {})];
    Network::builder(&[5])
        .rule(Rule::backprop())
        .layer(AmplifiedConfig(inner))
        .layer(GateConfig::default())
        .layer(GainConfig {})
        .layer(DenseConfig::new(3))
        .seed(2)
}

fn input() -> Tensor<2> {
    let (mut random, device) = (Random::seeded(4), Device::flex());
    Parameter::normal("input", [8, 5], 1.0, &mut random, &device).value()
}

const CLASSES: [usize; 8] = [0, 1, 2, 0, 1, 2, 0, 1];

fn values(tensor: Tensor<2>) -> Vec<f32> {
    ops::read(tensor).unwrap()
}

#[test]
fn they_are_saved_and_loaded() {
    let device = Device::flex();
    let mut network = network().build(&device).unwrap();
    network.train_batch(&Sgd::new(0.1), input(), CLASSES.to_vec()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.zor");
    io::save(&network, &BTreeMap::new(), &path).unwrap();
    let error = io::load(&path, &device).unwrap_err().to_string();
    assert!(error.contains("'amplified' are unknown"), "{error}");
    let registry = Registry::default()
        .with::<GainConfig>("gain")
        .with_container("amplified", AmplifiedConfig::read);
    let (loaded, _) = io::load_with(&path, &device, &registry).unwrap();
    let predict = |network: &Network| values(network.predict(input()).unwrap());
    assert_eq!(predict(&network), predict(&loaded));
}

#[test]
fn they_are_compiled() {
    let network = network().build(&Device::flex()).unwrap();
    let expected = values(network.predict(input()).unwrap());
    let samples = values(input());
    for (dtype, tolerance) in [(compile::DType::F32, 1e-5), (compile::DType::I8, 0.05)] {
        let program = compile(&network, dtype, &samples).unwrap();
        let compiled = program.network().unwrap();
        let (mut found, mut scratch) = (vec![0.0; 24], vec![0.0; compiled.scratch_len()]);
        for (input, output) in samples.chunks(5).zip(found.chunks_mut(3)) {
            compiled.run(input, output, &mut scratch).unwrap();
        }
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < tolerance;
        assert!(expected.iter().zip(&found).all(close), "{expected:?} {found:?}");
    }
}

#[test]
fn they_are_trained_under_autodiff_and_aligned() {
    for builder in [network(), network().layer(CubicConfig)] {
        let mut network = builder.build(&Device::flex()).unwrap();
        let gradients = autodiff::parameter_gradients(&network, input(), CLASSES.to_vec()).unwrap();
        let updates = alignment::updates(&network, input(), CLASSES.to_vec()).unwrap();
        assert_eq!(gradients.len(), updates.len());
        for (gradient, update) in gradients.into_iter().zip(updates) {
            let cosine = alignment::cosine(&gradient.unwrap().neg(), &update.unwrap());
            assert!(cosine > 0.999, "{cosine}");
        }
        let cosines = alignment::cosines(&network, input(), CLASSES.to_vec()).unwrap();
        assert_eq!(cosines.len(), 2, "one for each dense layer");
        let mut train = || {
            let step =
                autodiff::train_batch(&mut network, &Sgd::new(0.005), input(), CLASSES.to_vec());
            step.unwrap().mean_squared()
        };
        let first = train();
        let last = (0..100).map(|_| train()).last().unwrap();
        assert!(last < 0.9 * first, "{first} {last}");
    }
}

#[test]
fn a_layer_without_an_operation_is_named() {
    let network = network().layer(CubicConfig).build(&Device::flex()).unwrap();
    let error = compile(&network, compile::DType::F32, &[]).unwrap_err().to_string();
    assert!(error.contains("layer 4 (cubic)"), "{error}");
    assert!(error.contains("implement Layer::operation"), "{error}");
}
