//! What a layer is. The trait is open: a layer of one's own stands in a network beside Zor's.
//!
//! Between layers everything is a matrix `[batch, features]`. A layer with spatial structure knows its geometry from when it
//! was built and views the same memory as it needs. A layer is plain data, its weights; what lasts from step to step
//! and what learning needs of the forward pass lies in a [`Memory`] that the caller owns.

use std::fmt;

use burn::tensor::Tensor;

use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::parameter::{Optimizer, Parameter};
use crate::workspace::{Memory, Workspace};

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The layer keeps in its memory what learning needs.
    Train,
    /// Nothing is kept but what lasts from step to step.
    Evaluate,
}

/// The error on its way down.
#[derive(Clone, Debug)]
pub struct Signal {
    /// What travels: `[batch, features]`.
    pub values: Tensor<2>,
    /// What the weights directly below learn from, if it differs: the values after the gate of the units they lead to.
    pub gated: Option<Tensor<2>>,
}

impl Signal {
    /// A signal that weights learn from as it is.
    pub fn new(values: Tensor<2>) -> Self {
        Self { values, gated: None }
    }

    /// Does the same to the values and, after them, to their gated form.
    #[must_use]
    pub fn map(self, mut change: impl FnMut(Tensor<2>) -> Tensor<2>) -> Self {
        Self { values: change(self.values), gated: self.gated.map(change) }
    }
}

/// What a layer may use while it learns.
#[derive(Debug)]
pub struct Learning<'a> {
    /// Changes the weights.
    pub optimizer: &'a dyn Optimizer,
    /// Lends buffers.
    pub workspace: &'a mut Workspace,
    /// Whether any layer below wants the signal. When not, a layer may return its argument unchanged.
    pub signal_is_wanted: bool,
}

/// One layer of a network.
///
/// `forward` in [`Mode::Train`] comes before `learn`, with the same memory.
pub trait Layer: fmt::Debug + Send + Sync {
    /// The name of this kind of layer, such as `dense`: the key under which it is saved.
    fn kind(&self) -> &'static str;

    /// The shape of one output sample, such as `[64]` or `[28, 28, 1]` (channels last).
    fn output_shape(&self) -> &[usize];

    /// How many values of one sample the layer takes. A network refuses a layer that takes another number than the layer below gives;
    /// of a layer that does not say it, this is not checked.
    fn input_size(&self) -> Option<usize> {
        None
    }

    /// The output for a batch.
    ///
    /// # Shapes
    /// `[batch, inputs]` -> `[batch, outputs]`.
    fn forward(
        &self,
        input: Tensor<2>,
        memory: &mut Memory,
        workspace: &mut Workspace,
        mode: Mode,
    ) -> Tensor<2>;

    /// Learns from the signal at its output and returns the signal at its input, computed with the weights before the step.
    ///
    /// # Shapes
    /// `[batch, outputs]` -> `[batch, inputs]`.
    fn learn(&mut self, signal: Signal, memory: &mut Memory, learning: &mut Learning<'_>)
    -> Signal;

    /// Its trainable matrices, in a fixed order. A layer that has some implements both this and `parameters_mut`; a network refuses it
    /// otherwise.
    fn parameters(&self) -> Vec<&Parameter> {
        Vec::new()
    }

    /// The same, to be changed.
    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        Vec::new()
    }

    /// What is saved with the layer but not trained, such as running means, in a fixed order. It goes with `buffers_mut` as
    /// `parameters` with `parameters_mut`.
    fn buffers(&self) -> Vec<&Parameter> {
        Vec::new()
    }

    /// The same, to be changed.
    fn buffers_mut(&mut self) -> Vec<&mut Parameter> {
        Vec::new()
    }

    /// What in its [`Memory`] lasts from step to step, by name, and is saved with a training that goes on later.
    fn remembers(&self) -> &'static [&'static str] {
        &[]
    }

    /// The layers that this one is made of: none, or layers that have all its parameters and buffers, in its order; child `i` of its [`Memory`] belongs to layer `i`.
    fn children(&self) -> Vec<&dyn Layer> {
        Vec::new()
    }

    /// Multiply-adds of one sample's forward pass.
    fn multiply_adds(&self) -> u64 {
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

    /// A copy that shares no state.
    fn boxed_clone(&self) -> Box<dyn Layer>;
}

/// Settings from which a layer is built once the shape of its input is known.
pub trait LayerConfig: fmt::Debug {
    /// What errors call the layer: the name of this type, without path and `Config`.
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
