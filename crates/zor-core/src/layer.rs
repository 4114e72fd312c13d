//! The interface of layers. It is open: a layer from another crate stands in a network beside
//! Zor's.
//!
//! Between layers everything is a matrix `[batch, features]`. A layer with spatial structure views
//! the same memory as the shape of its input says, which every pass carries: the weights of a
//! convolution work on maps of any height and width. A layer is plain data, its weights; state that
//! lasts from step to step, and what learning needs of the forward pass, lies in a [`Memory`] that
//! the caller owns.

use std::fmt;

use burn::tensor::Tensor;

use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::memory::{Memory, Mode};
use crate::optimizer::Optimizer;
use crate::parameter::Parameter;
use crate::workspace::Workspace;

/// The error on its way down.
#[derive(Clone, Debug)]
pub struct Signal {
    /// The error signal passed down, `[batch, features]`.
    pub values: Tensor<2>,
    /// The gated signal for the update of the weights below, where it differs from `values`
    /// ([`crate::SignalGate::InCorrelation`]).
    pub gated: Option<Tensor<2>>,
}

impl Signal {
    /// A signal that weights learn from as it is.
    pub fn new(values: Tensor<2>) -> Self {
        Self { values, gated: None }
    }

    /// Changes the values and their gated form alike.
    #[must_use]
    pub fn map(self, mut change: impl FnMut(Tensor<2>) -> Tensor<2>) -> Self {
        Self { values: change(self.values), gated: self.gated.map(change) }
    }

    /// The values that parameters learn from: gated, where there is a gated form.
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
    /// Buffers.
    pub workspace: &'a mut Workspace,
    /// The purpose of the pass.
    pub mode: Mode,
    /// The shape of one input sample. Its leading axes may differ from those that the layer was
    /// built for.
    pub shape: &'a [usize],
}

impl<'a> Pass<'a> {
    /// A pass through a layer for inputs of a shape.
    pub fn new(
        memory: &'a mut Memory,
        workspace: &'a mut Workspace,
        mode: Mode,
        shape: &'a [usize],
    ) -> Self {
        Self { memory, workspace, mode, shape }
    }

    /// The pass through child `index` of a layer, for inputs of a shape.
    pub fn child<'b>(&'b mut self, index: usize, shape: &'b [usize]) -> Pass<'b> {
        Pass { memory: self.memory.child(index), workspace: self.workspace, mode: self.mode, shape }
    }

    /// Keeps a tensor under a name if learning follows. A tensor that is not kept, or was there
    /// before, goes to the workspace.
    pub fn keep_to_learn(&mut self, name: &'static str, tensor: Tensor<2>) {
        let unused = match self.mode {
            Mode::Train => self.memory.keep(name, tensor),
            Mode::Evaluate => Some(tensor),
        };
        unused.into_iter().for_each(|unused| self.workspace.give(unused));
    }
}

/// The way of a signal down through a layer, which learns from it.
#[derive(Debug)]
#[non_exhaustive]
pub struct LearnPass<'a> {
    /// The memory of the layer.
    pub memory: &'a mut Memory,
    /// Buffers.
    pub workspace: &'a mut Workspace,
    /// The optimizer of the parameters.
    pub optimizer: &'a dyn Optimizer,
    /// Whether any layer below wants the signal. When not, a layer may return its argument
    /// unchanged.
    pub signal_is_wanted: bool,
    /// The shape of one input sample in the forward pass before.
    pub shape: &'a [usize],
}

impl<'a> LearnPass<'a> {
    /// The way down through a layer for inputs of a shape. Layers below want the signal.
    pub fn new(
        memory: &'a mut Memory,
        workspace: &'a mut Workspace,
        optimizer: &'a dyn Optimizer,
        shape: &'a [usize],
    ) -> Self {
        Self { memory, workspace, optimizer, signal_is_wanted: true, shape }
    }

    /// The way down through child `index` of a layer, for inputs of a shape.
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
        }
    }
}

/// One layer of a network.
///
/// `forward` in [`Mode::Train`] comes before `learn`, with the same memory and shape.
pub trait Layer: CloneLayer + fmt::Debug + Send + Sync {
    /// The name of this kind of layer, such as `dense`: the key under which it is saved.
    fn kind(&self) -> &'static str;

    /// The shape of one output sample, such as `[64]` or `[28, 28, 1]` (channels last), for inputs
    /// of a shape.
    ///
    /// # Errors
    /// When the layer does not take inputs of this shape.
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>>;

    /// The output for a batch.
    ///
    /// # Shapes
    /// `[batch, inputs]` -> `[batch, outputs]`.
    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2>;

    /// Learns from the signal at the output and returns the signal at the input, computed with the
    /// weights before the step.
    ///
    /// # Shapes
    /// `[batch, outputs]` -> `[batch, inputs]`.
    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal;

    /// Shows the visitor all parameters, buffers and inner layers, in a fixed order. The memory of
    /// the inner layer that is shown as number `i` is child `i` of the layer's own.
    fn visit<'a>(&'a self, _visitor: &mut dyn Visitor<'a>) {}

    /// Shows the visitor, to be changed, everything that [`Layer::visit`] shows, in its order. A
    /// network refuses a layer whose two visits differ.
    fn visit_mut<'a>(&'a mut self, _visitor: &mut dyn VisitorMut<'a>) {}

    /// Numbers of inner layers on each of the paths that lead from its input to its output; none
    /// where all inner layers are on one path.
    fn path_lengths(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Names of the tensors in its [`Memory`] that last from step to step, and are saved with a
    /// training that continues later.
    fn carried(&self) -> &'static [&'static str] {
        &[]
    }

    /// Multiply-adds of one sample's forward pass, for inputs of a shape.
    fn multiply_adds(&self, _input: &[usize]) -> u64 {
        0
    }

    /// The settings from which a layer of this kind is built again, for saved models.
    ///
    /// # Errors
    /// When it cannot be saved.
    fn config(&self) -> Result<serde_json::Value> {
        Err(Error::setting(format!(
            "a layer of kind '{}' cannot be saved; implement Layer::config for it",
            self.kind()
        )))
    }
}

/// A visitor of the parts of a layer.
pub trait Visitor<'a> {
    /// A trainable matrix.
    fn parameter(&mut self, parameter: &'a Parameter);
    /// A matrix that is saved with the layer but not trained, such as running means.
    fn buffer(&mut self, buffer: &'a Parameter);
    /// A layer inside.
    fn child(&mut self, layer: &'a dyn Layer);
}

/// A visitor that may change the parts of a layer.
pub trait VisitorMut<'a> {
    /// A trainable matrix.
    fn parameter(&mut self, parameter: &'a mut Parameter);
    /// A matrix that is saved with the layer but not trained.
    fn buffer(&mut self, buffer: &'a mut Parameter);
    /// A layer inside.
    fn child(&mut self, layer: &'a mut dyn Layer);
}

/// The parts of a layer, those of inner layers included.
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

/// The parts of a layer, to be changed.
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
    /// All trainable matrices, those of inner layers included.
    pub fn parameters(&self) -> Vec<&Parameter> {
        let mut parts = Parts::default();
        self.visit(&mut parts);
        parts.parameters
    }

    /// All trainable matrices, to be changed.
    pub fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let mut parts = PartsMut::default();
        self.visit_mut(&mut parts);
        parts.parameters
    }

    /// All buffers, those of inner layers included.
    pub fn buffers(&self) -> Vec<&Parameter> {
        let mut parts = Parts::default();
        self.visit(&mut parts);
        parts.buffers
    }

    /// All buffers, to be changed.
    pub fn buffers_mut(&mut self) -> Vec<&mut Parameter> {
        let mut parts = PartsMut::default();
        self.visit_mut(&mut parts);
        parts.buffers
    }

    /// The layers directly inside this one.
    pub fn children(&self) -> Vec<&dyn Layer> {
        let mut children = Children::default();
        self.visit(&mut children);
        children.0
    }

    /// The layers directly inside this one, path by path.
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

/// Copies of layers; every layer that is [`Clone`] has it.
pub trait CloneLayer {
    /// A copy that shares no state.
    fn boxed_clone(&self) -> Box<dyn Layer>;
}

impl<T: Layer + Clone + 'static> CloneLayer for T {
    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

/// Settings from which a layer is built once the shape of its input is known.
pub trait LayerConfig: fmt::Debug {
    /// The name of the layer in errors: the name of this type, without path and `Config`.
    fn name(&self) -> &'static str {
        let path = std::any::type_name::<Self>();
        let name = path.rsplit("::").next().unwrap_or(path);
        name.strip_suffix("Config").unwrap_or(name)
    }

    /// Builds the layer for inputs of this shape.
    ///
    /// # Errors
    /// When the settings or the shape do not fit.
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>>;
}
