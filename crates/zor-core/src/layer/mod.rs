//! The layer trait. It is open: layers of other crates work in a network like Zor's own.
//!
//! Values between layers are a matrix `[batch, features]`. A layer with spatial structure views it
//! through the shape of its input, which every pass carries; the weights of a convolution therefore
//! work on maps of any height and width. A layer holds weights and settings only: activations kept
//! for learning and state carried from step to step are in a [`Memory`] that the caller owns.

pub(crate) mod operation;

use std::fmt;

use burn::tensor::Tensor;

use self::operation::Operation;
use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::memory::{Memory, Mode};
use crate::optimizer::Optimizer;
use crate::parameter::Parameter;
use crate::sequences::Sequences;
use crate::workspace::Workspace;

/// The error signal between two layers, passed from the output down.
#[derive(Clone, Debug)]
pub struct Signal {
    /// The signal for the layers below, `[batch, features]`.
    pub values: Tensor<2>,
    /// The gated signal that updates the weights of the layer below, `[batch, features]`, where it
    /// differs from `values` ([`crate::SignalGate::InCorrelation`]).
    pub gated: Option<Tensor<2>>,
}

impl Signal {
    /// A signal without a gated form.
    pub fn new(values: Tensor<2>) -> Self {
        Self { values, gated: None }
    }

    /// Applies a function to the values and to their gated form.
    #[must_use]
    pub fn map(self, mut change: impl FnMut(Tensor<2>) -> Tensor<2>) -> Self {
        Self { values: change(self.values), gated: self.gated.map(change) }
    }

    /// The values for the update of parameters: the gated form, or `values` without one.
    pub fn learned_from(&self) -> &Tensor<2> {
        self.gated.as_ref().unwrap_or(&self.values)
    }
}

/// The forward pass of a batch through a layer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pass<'a> {
    /// The memory of the layer.
    pub memory: &'a mut Memory,
    /// Buffers for reuse.
    pub workspace: &'a mut Workspace,
    /// Training or evaluation.
    pub mode: Mode,
    /// The shape of one input sample. Height and width may differ from those that the layer was
    /// built for.
    pub shape: &'a [usize],
    /// The sequences whose positions are the rows of the batch, if there are any.
    pub sequences: Option<&'a Sequences>,
}

impl<'a> Pass<'a> {
    /// A pass through a layer for inputs of this shape.
    pub fn new(
        memory: &'a mut Memory,
        workspace: &'a mut Workspace,
        mode: Mode,
        shape: &'a [usize],
    ) -> Self {
        Self { memory, workspace, mode, shape, sequences: None }
    }

    /// The pass through child `index` of the layer, for inputs of this shape.
    pub fn child<'b>(&'b mut self, index: usize, shape: &'b [usize]) -> Pass<'b> {
        Pass {
            memory: self.memory.child(index),
            workspace: self.workspace,
            mode: self.mode,
            shape,
            sequences: self.sequences,
        }
    }

    /// Keeps a tensor under this name in training. In evaluation the tensor goes to the workspace;
    /// in training a tensor kept before under the name does.
    pub fn keep_to_learn(&mut self, name: &'static str, tensor: Tensor<2>) {
        let unused = match self.mode {
            Mode::Train => self.memory.keep(name, tensor),
            Mode::Evaluate => Some(tensor),
        };
        unused.into_iter().for_each(|unused| self.workspace.give(unused));
    }
}

/// The learning pass: a signal goes down through a layer, which learns from it.
#[derive(Debug)]
#[non_exhaustive]
pub struct LearnPass<'a> {
    /// The memory of the layer.
    pub memory: &'a mut Memory,
    /// Buffers for reuse.
    pub workspace: &'a mut Workspace,
    /// The optimizer of the parameters.
    pub optimizer: &'a dyn Optimizer,
    /// True if a layer below needs the signal. Otherwise a layer may return its argument unchanged.
    pub signal_is_wanted: bool,
    /// The shape of one input sample in the forward pass.
    pub shape: &'a [usize],
    /// The sequences of the forward pass.
    pub sequences: Option<&'a Sequences>,
}

impl<'a> LearnPass<'a> {
    /// A pass down through a layer for inputs of this shape, whose signal layers below need.
    pub fn new(
        memory: &'a mut Memory,
        workspace: &'a mut Workspace,
        optimizer: &'a dyn Optimizer,
        shape: &'a [usize],
    ) -> Self {
        Self { memory, workspace, optimizer, signal_is_wanted: true, shape, sequences: None }
    }

    /// The pass down through child `index` of the layer, for inputs of this shape.
    pub fn child<'b>(
        &'b mut self,
        index: usize,
        shape: &'b [usize],
        signal_is_wanted: bool,
    ) -> LearnPass<'b> {
        LearnPass {
            memory: self.memory.child(index),
            workspace: self.workspace,
            optimizer: self.optimizer,
            signal_is_wanted,
            shape,
            sequences: self.sequences,
        }
    }
}

/// A layer of a network.
///
/// [`Layer::learn`] follows [`Layer::forward`] in [`Mode::Train`], with the same memory and shape.
///
/// # Writing a layer
/// - Training and prediction: `kind`, `output_shape`, `forward` and `learn`; `visit` and
///   `visit_mut` for parameters, buffers and inner layers.
/// - Checkpoints: `carried`, if tensors in its memory last from step to step.
/// - Saved models: `config`, and a registration in `zor_io::Registry`.
/// - Programs for small devices: `operation`.
/// - Comparison with backpropagation: `operation`, or `forward_autodiff` if no [`Operation`]
///   describes the layer.
/// - Estimates of work: `multiply_adds`.
///
/// The settings of a layer implement [`LayerConfig`]. A container also implements `path_lengths` if
/// its inner layers are on several paths, and lists them in `config` as `<dyn Layer>::record`
/// returns them.
pub trait Layer: CloneLayer + fmt::Debug + Send + Sync {
    /// Returns the name of this kind of layer, such as `dense`, under which it is saved.
    fn kind(&self) -> &'static str;

    /// Returns the shape of one output sample, such as `[64]` or `[28, 28, 1]` (channels last), for
    /// input samples of this shape.
    ///
    /// # Errors
    /// When the layer does not support inputs of this shape.
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>>;

    /// Computes the output for a batch.
    ///
    /// # Shapes
    /// `[batch, inputs]` -> `[batch, outputs]`.
    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2>;

    /// Updates the parameters from the signal at the output. Returns the signal at the input,
    /// computed with the weights from before the update.
    ///
    /// # Shapes
    /// `[batch, outputs]` -> `[batch, inputs]`.
    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal;

    /// Passes all parameters, buffers and inner layers to the visitor, in a fixed order. The memory
    /// of inner layer number `i` in this order is child `i` of the layer's memory.
    fn visit<'a>(&'a self, _visitor: &mut dyn Visitor<'a>) {}

    /// Passes the parts that [`Layer::visit`] passes to a visitor that may change them, in the same
    /// order. A network refuses a layer whose two visits differ.
    fn visit_mut<'a>(&'a mut self, _visitor: &mut dyn VisitorMut<'a>) {}

    /// Returns the number of inner layers on each path from input to output, in the order of
    /// [`Layer::visit`]; empty if all are on one path.
    fn path_lengths(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Returns the names of the tensors in the layer's [`Memory`] that are carried from step to
    /// step; checkpoints contain them.
    fn carried(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the number of output rows for a batch of this number of rows. Only layers that leave
    /// out positions of sequences return another number.
    fn output_rows(&self, rows: usize, _sequences: Option<&Sequences>) -> usize {
        rows
    }

    /// Checks that the layer, without its inner layers, takes these sequences.
    ///
    /// # Errors
    /// Names the token or the length that the layer cannot take.
    fn check_sequences(&self, _sequences: &Sequences) -> Result<()> {
        Ok(())
    }

    /// Checks that the layer, as the first one of a network, takes these values.
    ///
    /// # Errors
    /// Names the value that the layer cannot take.
    fn check_values(&self, _values: &Tensor<2>) -> Result<()> {
        Ok(())
    }

    /// Returns the maximum number of rows of a batch of values. Rows of sequences have a check of
    /// their own, [`Layer::check_sequences`].
    fn max_rows(&self) -> usize {
        usize::MAX
    }

    /// Sets the target share of values for which the layer, without its inner layers, fires. Only
    /// gates with a target have one to set.
    fn set_target_spike_rate(&mut self, _rate: f32) {}

    /// Returns the number of multiply-adds in the forward pass of one input sample of this shape.
    fn multiply_adds(&self, _input: &[usize]) -> u64 {
        0
    }

    /// Returns the settings from which a saved model builds the layer again.
    ///
    /// # Errors
    /// When the layer cannot be saved.
    fn config(&self) -> Result<serde_json::Value> {
        Err(Error::setting(format!(
            "a layer of kind '{}' cannot be saved; implement Layer::config for it",
            self.kind()
        )))
    }

    /// Describes the layer's computation for other forms of it: autodiff and programs for small
    /// devices.
    ///
    /// # Errors
    /// When no [`Operation`] describes the layer.
    fn operation(&self) -> Result<Operation<'_>> {
        Err(Error::setting(format!(
            "a layer of kind '{}' does not describe its operation; implement Layer::operation for it",
            self.kind()
        )))
    }

    /// Computes the output in training with burn's differentiable operations, on tensors that
    /// record an autodiff graph. Called for layers whose [`Layer::operation`] is an error. Returns
    /// `None` if the layer has no such form.
    ///
    /// `parameters` replace the parameters of [`Layer::visit`], those of inner layers included, in
    /// the same order. Constants enter the graph through `Tensor::autodiff`.
    ///
    /// # Shapes
    /// `[batch, inputs]` -> `[batch, outputs]`; `shape` is the shape of one input sample.
    fn forward_autodiff(
        &self,
        _input: Tensor<2>,
        _parameters: &[Tensor<2>],
        _shape: &[usize],
    ) -> Option<Tensor<2>> {
        None
    }
}

/// A visitor of the parts of a layer; see [`Layer::visit`].
pub trait Visitor<'a> {
    /// Visits a trainable matrix.
    fn parameter(&mut self, parameter: &'a Parameter);
    /// Visits a matrix that is saved with the layer but not trained, such as a running mean.
    fn buffer(&mut self, buffer: &'a Parameter);
    /// Visits an inner layer.
    fn child(&mut self, layer: &'a dyn Layer);
}

/// A visitor that may change the parts of a layer; see [`Layer::visit_mut`].
pub trait VisitorMut<'a> {
    /// Visits a trainable matrix.
    fn parameter(&mut self, parameter: &'a mut Parameter);
    /// Visits a matrix that is saved with the layer but not trained.
    fn buffer(&mut self, buffer: &'a mut Parameter);
    /// Visits an inner layer.
    fn child(&mut self, layer: &'a mut dyn Layer);
}

/// Parameters and buffers of a layer, those of inner layers included.
#[derive(Default)]
struct Parts<'a> {
    parameters: Vec<&'a Parameter>,
    buffers: Vec<&'a Parameter>,
}

impl<'a> Visitor<'a> for Parts<'a> {
    fn parameter(&mut self, parameter: &'a Parameter) {
        self.parameters.push(parameter);
    }

    fn buffer(&mut self, buffer: &'a Parameter) {
        self.buffers.push(buffer);
    }

    fn child(&mut self, layer: &'a dyn Layer) {
        layer.visit(self);
    }
}

/// Mutable [`Parts`].
#[derive(Default)]
struct PartsMut<'a> {
    parameters: Vec<&'a mut Parameter>,
    buffers: Vec<&'a mut Parameter>,
}

impl<'a> VisitorMut<'a> for PartsMut<'a> {
    fn parameter(&mut self, parameter: &'a mut Parameter) {
        self.parameters.push(parameter);
    }

    fn buffer(&mut self, buffer: &'a mut Parameter) {
        self.buffers.push(buffer);
    }

    fn child(&mut self, layer: &'a mut dyn Layer) {
        layer.visit_mut(self);
    }
}

/// The layers directly inside a layer.
#[derive(Default)]
struct Children<'a>(Vec<&'a dyn Layer>);

impl<'a> Visitor<'a> for Children<'a> {
    fn parameter(&mut self, _: &'a Parameter) {}

    fn buffer(&mut self, _: &'a Parameter) {}

    fn child(&mut self, layer: &'a dyn Layer) {
        self.0.push(layer);
    }
}

impl dyn Layer + '_ {
    /// Returns kind and settings as JSON, `{ "kind": ..., "config": ... }`: the form in which the
    /// settings of a container list its inner layers.
    ///
    /// # Errors
    /// When the layer cannot be saved.
    pub fn record(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({ "kind": self.kind(), "config": self.config()? }))
    }

    /// Returns all trainable matrices, those of inner layers included.
    pub fn parameters(&self) -> Vec<&Parameter> {
        let mut parts = Parts::default();
        self.visit(&mut parts);
        parts.parameters
    }

    /// Returns mutable references to all trainable matrices, those of inner layers included.
    pub fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let mut parts = PartsMut::default();
        self.visit_mut(&mut parts);
        parts.parameters
    }

    /// Returns all buffers, those of inner layers included.
    pub fn buffers(&self) -> Vec<&Parameter> {
        let mut parts = Parts::default();
        self.visit(&mut parts);
        parts.buffers
    }

    /// Returns mutable references to all buffers, those of inner layers included.
    pub fn buffers_mut(&mut self) -> Vec<&mut Parameter> {
        let mut parts = PartsMut::default();
        self.visit_mut(&mut parts);
        parts.buffers
    }

    /// Returns the layers directly inside this one.
    pub fn children(&self) -> Vec<&dyn Layer> {
        let mut children = Children::default();
        self.visit(&mut children);
        children.0
    }

    /// Returns the layers directly inside this one, path by path; see [`Layer::path_lengths`].
    pub fn paths(&self) -> Vec<Vec<&dyn Layer>> {
        let mut children = self.children();
        let lengths = self.path_lengths();
        if lengths.is_empty() {
            return vec![children];
        }
        let path = |length: usize| children.drain(..length.min(children.len())).collect();
        lengths.into_iter().map(path).collect()
    }
}

/// Copying of boxed layers; implemented for every layer that is [`Clone`].
pub trait CloneLayer {
    /// Returns a copy that shares no state.
    fn boxed_clone(&self) -> Box<dyn Layer>;
}

impl<T: Layer + Clone + 'static> CloneLayer for T {
    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Layer> {
    fn clone(&self) -> Self {
        (**self).boxed_clone()
    }
}

/// Settings from which a layer is built once the shape of its input is known.
pub trait LayerConfig: fmt::Debug {
    /// Returns the name of the layer in errors. Default: the name of this type without path and
    /// `Config`.
    fn name(&self) -> &'static str {
        let path = std::any::type_name::<Self>();
        let name = path.rsplit("::").next().unwrap_or(path);
        name.strip_suffix("Config").unwrap_or(name)
    }

    /// Builds the layer for inputs of this shape.
    ///
    /// # Errors
    /// When settings are invalid, or the layer does not support the shape.
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>>;
}
