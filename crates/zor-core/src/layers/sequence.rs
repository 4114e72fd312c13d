//! Layers in a row that stand as one: a block that is drawn once and used in many places.

use burn::tensor::Tensor;

use crate::build::BuildContext;
use crate::contract::check_tensors;
use crate::error::{Error, Result};
use crate::layer::{Layer, LayerConfig, Learning, Mode, Signal};
use crate::network::check_shape;
use crate::parameter::Parameter;
use crate::step::lowest_learning;
use crate::workspace::{Memory, Workspace};

/// Settings of a [`Sequence`]: those of its layers, from the input up.
#[derive(Debug, Default)]
pub struct SequenceConfig {
    layers: Vec<Box<dyn LayerConfig>>,
}

impl SequenceConfig {
    /// No layers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer on top.
    #[must_use]
    pub fn layer(self, config: impl LayerConfig + 'static) -> Self {
        self.boxed_layer(Box::new(config))
    }

    /// The same for settings whose type is known only when the program runs.
    #[must_use]
    pub fn boxed_layer(mut self, config: Box<dyn LayerConfig>) -> Self {
        self.layers.push(config);
        self
    }
}

/// Layers in a row.
#[derive(Clone, Debug)]
pub struct Sequence {
    chain: Chain,
    output_shape: Vec<usize>,
}

impl Layer for Sequence {
    fn kind(&self) -> &'static str {
        "sequence"
    }

    fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    fn input_size(&self) -> Option<usize> {
        self.chain.input_size()
    }

    fn forward(
        &self,
        input: Tensor<2>,
        memory: &mut Memory,
        workspace: &mut Workspace,
        mode: Mode,
    ) -> Tensor<2> {
        self.chain.forward(input, memory, workspace, mode)
    }

    fn learn(
        &mut self,
        signal: Signal,
        memory: &mut Memory,
        learning: &mut Learning<'_>,
    ) -> Signal {
        self.chain.learn(signal, memory, learning)
    }

    fn parameters(&self) -> Vec<&Parameter> {
        self.chain.layers.iter().flat_map(|layer| layer.parameters()).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        self.chain.layers.iter_mut().flat_map(|layer| layer.parameters_mut()).collect()
    }

    fn buffers(&self) -> Vec<&Parameter> {
        self.chain.layers.iter().flat_map(|layer| layer.buffers()).collect()
    }

    fn buffers_mut(&mut self) -> Vec<&mut Parameter> {
        self.chain.layers.iter_mut().flat_map(|layer| layer.buffers_mut()).collect()
    }

    fn children(&self) -> Vec<&dyn Layer> {
        self.chain.layers.iter().map(|layer| layer.as_ref()).collect()
    }

    fn multiply_adds(&self) -> u64 {
        self.chain.layers.iter().map(|layer| layer.multiply_adds()).sum()
    }

    fn config(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({ "layers": self.chain.config()? }))
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl LayerConfig for SequenceConfig {
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        if self.layers.is_empty() {
            return Err(Error::setting("a sequence needs at least one layer"));
        }
        let chain = Chain::build(&self.layers, "sequence", 0, input_shape, context)?;
        let output_shape = chain.output_shape(input_shape);
        Ok(Box::new(Sequence { chain, output_shape }))
    }
}

/// Layers of a larger one, in a row; their memories are its children from `first` on.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) layers: Vec<Box<dyn Layer>>,
    pub(super) first: usize,
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        let layers = self.layers.iter().map(|layer| layer.boxed_clone()).collect();
        Self { layers, first: self.first }
    }
}

impl Chain {
    /// Builds layers one on top of the other, children from `first` on; `path` is what errors call them.
    pub(super) fn build(
        configs: &[Box<dyn LayerConfig>],
        path: &str,
        first: usize,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Self> {
        let mut chain = Self { layers: Vec::with_capacity(configs.len()), first };
        for (index, config) in configs.iter().enumerate() {
            let shape = chain.output_shape(input_shape);
            let built = context.child(first + index, |context| config.build(&shape, context));
            let checked = built.and_then(|mut layer| {
                check_shape(layer.output_shape())?;
                check_tensors(layer.as_mut()).map(|()| layer)
            });
            let layer = checked.map_err(|error| {
                let name = config.name();
                error.at(format_args!("{path} layer {index} ({name}, input {shape:?})"))
            })?;
            chain.layers.push(layer);
        }
        Ok(chain)
    }

    /// The values of a sample that the lowest layer takes.
    pub(super) fn input_size(&self) -> Option<usize> {
        self.layers.first().and_then(|layer| layer.input_size())
    }

    /// The shape of the last layer's output, or of the input where there is no layer.
    pub(super) fn output_shape(&self, input_shape: &[usize]) -> Vec<usize> {
        self.layers.last().map_or(input_shape, |layer| layer.output_shape()).to_vec()
    }

    pub(super) fn forward(
        &self,
        input: Tensor<2>,
        memory: &mut Memory,
        workspace: &mut Workspace,
        mode: Mode,
    ) -> Tensor<2> {
        self.layers.iter().enumerate().fold(input, |activity, (index, layer)| {
            layer.forward(activity, memory.child(self.first + index), workspace, mode)
        })
    }

    pub(super) fn learn(
        &mut self,
        mut signal: Signal,
        memory: &mut Memory,
        learning: &mut Learning<'_>,
    ) -> Signal {
        // As far down as anything learns or wants the signal.
        let learning_layers = lowest_learning(&self.layers).unwrap_or(self.layers.len());
        let lowest = if learning.signal_is_wanted { 0 } else { learning_layers };
        for index in (lowest..self.layers.len()).rev() {
            let mut learning = Learning {
                optimizer: learning.optimizer,
                workspace: &mut *learning.workspace,
                signal_is_wanted: learning.signal_is_wanted || lowest < index,
            };
            let memory = memory.child(self.first + index);
            signal = self.layers[index].learn(signal, memory, &mut learning);
        }
        signal
    }

    /// Kind and settings of every layer.
    pub(super) fn config(&self) -> Result<Vec<serde_json::Value>> {
        let describe = |layer: &dyn Layer| {
            Ok(serde_json::json!({ "kind": layer.kind(), "config": layer.config()? }))
        };
        self.layers.iter().map(|layer| describe(layer.as_ref())).collect()
    }
}
