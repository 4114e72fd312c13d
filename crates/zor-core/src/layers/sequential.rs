//! A sequence of layers as one layer: a reusable block, and the layers of a network.

use std::borrow::Cow;

use burn::tensor::Tensor;

use crate::build::BuildContext;
use crate::contract::{check_shape, check_visits};
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal, Visitor, VisitorMut};
use crate::sequences::Sequences;

/// Settings of a [`Sequential`]: the settings of its layers, from the input up.
#[derive(Debug, Default)]
pub struct SequentialConfig {
    layers: Vec<Box<dyn LayerConfig>>,
}

impl SequentialConfig {
    /// An empty sequence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer at the end.
    #[must_use]
    pub fn layer(self, config: impl LayerConfig + 'static) -> Self {
        self.boxed_layer(Box::new(config))
    }

    /// Adds boxed layer settings at the end.
    #[must_use]
    pub fn boxed_layer(mut self, config: Box<dyn LayerConfig>) -> Self {
        self.layers.push(config);
        self
    }
}

impl LayerConfig for SequentialConfig {
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        if self.layers.is_empty() {
            return Err(Error::setting("a sequence needs at least one layer"));
        }
        let chain = Chain::build(&self.layers, "sequence ", 0, input_shape, context)?;
        Ok(Box::new(Sequential { chain }))
    }
}

/// A sequence of layers.
#[derive(Clone, Debug)]
pub struct Sequential {
    chain: Chain,
}

impl Sequential {
    pub(crate) fn new(chain: Chain) -> Self {
        Self { chain }
    }

    /// Returns the layers, from the input up.
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        &self.chain.layers
    }

    pub(crate) fn layers_mut(&mut self) -> &mut [Box<dyn Layer>] {
        &mut self.chain.layers
    }

    /// Returns the shape of a sample at the input and after each layer.
    ///
    /// # Errors
    /// When a layer does not support the output shape of the one below it. The message names it by
    /// position and kind.
    pub(crate) fn shapes(&self, input: &[usize]) -> Result<Vec<Vec<usize>>> {
        self.chain.try_shapes(input, "")
    }

    /// Returns true if the shapes are known.
    pub(crate) fn has_shapes(&self) -> bool {
        !self.chain.shapes.is_empty()
    }

    /// Sets the known shapes at the input and after each layer; empty if they are not known.
    pub(crate) fn set_shapes(&mut self, shapes: Vec<Vec<usize>>) {
        self.chain.shapes = shapes;
    }
}

impl Layer for Sequential {
    fn kind(&self) -> &'static str {
        "sequence"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        self.chain.output_shape(input)
    }

    fn output_rows(&self, rows: usize, sequences: Option<&Sequences>) -> usize {
        self.chain.layers.iter().fold(rows, |rows, layer| layer.output_rows(rows, sequences))
    }

    fn check_values(&self, values: &Tensor<2>) -> Result<()> {
        self.chain.layers.first().map_or(Ok(()), |layer| layer.check_values(values))
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        self.chain.forward(input, pass)
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        self.chain.learn(signal, pass)
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        self.chain.visit(visitor);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        self.chain.visit_mut(visitor);
    }

    fn multiply_adds(&self, input: &[usize]) -> u64 {
        self.chain.multiply_adds(input)
    }

    fn config(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({ "layers": self.chain.config()? }))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::Sequential(self.chain.operations()))
    }
}

/// Inner layers of a container in sequence. Their memories are its children from `first` on.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) layers: Vec<Box<dyn Layer>>,
    first: usize,
    /// Shapes of a sample at the input and after each layer, for the input shape at construction.
    shapes: Vec<Vec<usize>>,
}

impl Chain {
    /// A sequence of existing layers, for inputs of this shape.
    ///
    /// # Errors
    /// When a layer does not support the output shape of the one below it.
    pub(crate) fn of(layers: Vec<Box<dyn Layer>>, input: &[usize]) -> Result<Self> {
        let mut chain = Self { layers, first: 0, shapes: Vec::new() };
        chain.shapes = chain.try_shapes(input, "")?;
        Ok(chain)
    }

    /// Builds layers in sequence as children from `first` on. Errors name layer 0
    /// `{path}layer 0`.
    pub(crate) fn build(
        configs: &[Box<dyn LayerConfig>],
        path: &str,
        first: usize,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Self> {
        let mut layers = Vec::with_capacity(configs.len());
        let mut shapes = vec![input_shape.to_vec()];
        for (index, config) in configs.iter().enumerate() {
            let shape = shapes[index].clone();
            let built = context.child(first + index, |context| config.build(&shape, context));
            let checked = built.and_then(|mut layer| {
                let output = layer.output_shape(&shape)?;
                check_shape(&output)?;
                check_visits(layer.as_mut())?;
                Ok((layer, output))
            });
            let (layer, output) = checked.map_err(|error| {
                let name = config.name();
                error.at(format_args!("{path}layer {index} ({name}, input {shape:?})"))
            })?;
            layers.push(layer);
            shapes.push(output);
        }
        Ok(Self { layers, first, shapes })
    }

    /// Returns the shapes at the input and after each layer, or an error for a layer that does not
    /// support its input.
    fn try_shapes(&self, input: &[usize], path: &str) -> Result<Vec<Vec<usize>>> {
        let mut shapes = vec![input.to_vec()];
        for (index, layer) in self.layers.iter().enumerate() {
            let shape = &shapes[index];
            let output = layer.output_shape(shape).and_then(|output| {
                check_shape(&output)?;
                Ok(output)
            });
            let output = output.map_err(|error| {
                let kind = layer.kind();
                error.at(format_args!("{path}layer {index} ({kind}, input {shape:?})"))
            })?;
            shapes.push(output);
        }
        Ok(shapes)
    }

    /// Returns the shapes at the input and after each layer, for an input shape checked before.
    fn shapes(&self, input: &[usize]) -> Cow<'_, [Vec<usize>]> {
        if self.shapes.first().is_some_and(|built| built == input) {
            return Cow::Borrowed(&self.shapes);
        }
        let unknown = |_| vec![input.to_vec(); self.layers.len() + 1];
        Cow::Owned(self.try_shapes(input, "").unwrap_or_else(unknown))
    }

    /// Returns the output shape of the last layer.
    pub(crate) fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        if self.shapes.first().is_some_and(|built| built == input) {
            return Ok(self.shapes[self.layers.len()].clone());
        }
        Ok(self.try_shapes(input, "")?.pop().unwrap_or_else(|| input.to_vec()))
    }

    pub(crate) fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let shapes = self.shapes(pass.shape);
        self.layers.iter().enumerate().fold(input, |activity, (index, layer)| {
            layer.forward(activity, &mut pass.child(self.first + index, &shapes[index]))
        })
    }

    pub(crate) fn learn(&mut self, mut signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        // Down to the lowest layer that learns, or to the input if the signal is needed there.
        let learning = lowest_learning(&self.layers).unwrap_or(self.layers.len());
        let lowest = if pass.signal_is_wanted { 0 } else { learning };
        let shapes = match self.shapes(pass.shape) {
            Cow::Owned(shapes) => Some(shapes),
            Cow::Borrowed(_) => None,
        };
        let shapes = shapes.as_ref().unwrap_or(&self.shapes);
        for index in (lowest..self.layers.len()).rev() {
            let is_wanted = pass.signal_is_wanted || lowest < index;
            let pass = &mut pass.child(self.first + index, &shapes[index], is_wanted);
            signal = self.layers[index].learn(signal, pass);
        }
        signal
    }

    pub(crate) fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        self.layers.iter().for_each(|layer| visitor.child(layer.as_ref()));
    }

    pub(crate) fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        self.layers.iter_mut().for_each(|layer| visitor.child(layer.as_mut()));
    }

    pub(crate) fn multiply_adds(&self, input: &[usize]) -> u64 {
        let shapes = self.shapes(input);
        let layers = self.layers.iter().zip(shapes.iter());
        layers.map(|(layer, shape)| layer.multiply_adds(shape)).sum()
    }

    /// Returns kind and settings of every layer.
    pub(crate) fn config(&self) -> Result<Vec<serde_json::Value>> {
        self.layers.iter().map(|layer| layer.record()).collect()
    }

    /// Returns the layers as operations.
    pub(crate) fn operations(&self) -> Vec<Operation<'_>> {
        self.layers.iter().map(|layer| Operation::Layer(layer.as_ref())).collect()
    }
}

/// Returns the position of the lowest layer with a parameter that is not frozen.
fn lowest_learning(layers: &[Box<dyn Layer>]) -> Option<usize> {
    let learns = |layer: &dyn Layer| layer.parameters().iter().any(|one| !one.is_frozen());
    layers.iter().position(|layer| learns(layer.as_ref()))
}
