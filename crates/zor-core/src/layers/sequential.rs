//! Layers one after another that stand as one: a block for many places, and the layers of a
//! network.

use std::borrow::Cow;

use burn::tensor::Tensor;

use crate::build::BuildContext;
use crate::contract::{check_shape, check_visits};
use crate::error::{Error, Result};
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal, Visitor, VisitorMut};

/// Settings of a [`Sequential`]: those of its layers, from the input up.
#[derive(Debug, Default)]
pub struct SequentialConfig {
    layers: Vec<Box<dyn LayerConfig>>,
}

impl SequentialConfig {
    /// No layers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer on top.
    #[must_use]
    pub fn layer(self, config: impl LayerConfig + 'static) -> Self {
        self.boxed_layer(Box::new(config))
    }

    /// Adds a layer whose type is known only when the program runs.
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

/// Layers one after another.
#[derive(Clone, Debug)]
pub struct Sequential {
    chain: Chain,
}

impl Sequential {
    pub(crate) fn new(chain: Chain) -> Self {
        Self { chain }
    }

    /// The layers, from the input up.
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        &self.chain.layers
    }

    pub(crate) fn layers_mut(&mut self) -> &mut [Box<dyn Layer>] {
        &mut self.chain.layers
    }

    /// The shape of a sample at the input, and behind each layer.
    ///
    /// # Errors
    /// When a layer does not take the output of the one below it. The message names it by position
    /// and kind.
    pub(crate) fn shapes(&self, input: &[usize]) -> Result<Vec<Vec<usize>>> {
        self.chain.try_shapes(input, "")
    }

    /// Whether the shapes are known.
    pub(crate) fn has_shapes(&self) -> bool {
        !self.chain.shapes.is_empty()
    }

    /// Takes these shapes for those of the layers; none where they are not known.
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
}

/// Layers of a larger one, one after another; their memories are its children from `first` on.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) layers: Vec<Box<dyn Layer>>,
    first: usize,
    /// Shapes of a sample at the input and behind each layer, for inputs of the shape that was
    /// built for.
    shapes: Vec<Vec<usize>>,
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        let layers = self.layers.iter().map(|layer| layer.boxed_clone()).collect();
        Self { layers, first: self.first, shapes: self.shapes.clone() }
    }
}

impl Chain {
    /// Layers that exist already, for inputs of a shape.
    ///
    /// # Errors
    /// When a layer does not take the output of the one below it.
    pub(crate) fn of(layers: Vec<Box<dyn Layer>>, input: &[usize]) -> Result<Self> {
        let mut chain = Self { layers, first: 0, shapes: Vec::new() };
        chain.shapes = chain.try_shapes(input, "")?;
        Ok(chain)
    }

    /// Builds layers one on top of the other, children from `first` on. Errors call layer 0
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

    /// The shapes at the input and behind each layer, and an error for a layer that does not take
    /// its input.
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

    /// The shapes at the input and behind each layer. Inputs are of a shape that was checked.
    fn shapes(&self, input: &[usize]) -> Cow<'_, [Vec<usize>]> {
        if self.shapes.first().is_some_and(|built| built == input) {
            return Cow::Borrowed(&self.shapes);
        }
        let unknown = |_| vec![input.to_vec(); self.layers.len() + 1];
        Cow::Owned(self.try_shapes(input, "").unwrap_or_else(unknown))
    }

    /// The shape behind the last layer.
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
        // As far down as anything learns or wants the signal.
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

    /// Kind and settings of every layer.
    pub(crate) fn config(&self) -> Result<Vec<serde_json::Value>> {
        let describe = |layer: &dyn Layer| {
            Ok(serde_json::json!({ "kind": layer.kind(), "config": layer.config()? }))
        };
        self.layers.iter().map(|layer| describe(layer.as_ref())).collect()
    }
}

/// The lowest layer with a parameter that is not frozen.
fn lowest_learning(layers: &[Box<dyn Layer>]) -> Option<usize> {
    let learns = |layer: &dyn Layer| layer.parameters().iter().any(|one| !one.is_frozen());
    layers.iter().position(|layer| learns(layer.as_ref()))
}
