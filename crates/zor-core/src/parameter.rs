//! A weight, the state of the optimizer that serves it, and what core asks of an optimizer.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::ops::{self, Transposed};
use crate::random::Random;
use crate::workspace::Workspace;

/// A trainable matrix with its optimizer's state.
///
/// All parameters are `[rows, columns]`; a vector (a bias, a scale) is one row. The optimizer's state lies beside the
/// value, so that both are saved, moved and dropped together.
#[derive(Clone, Debug)]
pub struct Parameter {
    name: &'static str,
    value: Option<Tensor<2>>,
    limit: f32,
    state: OptimizerState,
    steps: u64,
    frozen: bool,
}

/// What an optimizer keeps for one parameter, empty before its first step.
#[derive(Clone, Debug, Default)]
pub struct OptimizerState {
    /// Its tensors, in the optimizer's order: what is saved.
    pub tensors: Vec<Tensor<2>>,
    /// State of a type of its own, for optimizers from elsewhere.
    pub foreign: Option<Arc<dyn Any + Send + Sync>>,
}

impl Parameter {
    /// A parameter of the given value.
    pub fn new(name: &'static str, value: Tensor<2>) -> Self {
        Self {
            name,
            value: Some(value),
            limit: f32::INFINITY,
            state: OptimizerState::default(),
            steps: 0,
            frozen: false,
        }
    }

    /// Normally distributed values with mean zero.
    pub fn normal(
        name: &'static str,
        shape: [usize; 2],
        deviation: f32,
        random: &mut Random,
        device: &Device,
    ) -> Self {
        let values: Vec<f32> =
            (0..shape[0] * shape[1]).map(|_| deviation * random.normal()).collect();
        Self::new(name, Tensor::from_data(TensorData::new(values, shape), device))
    }

    /// Keeps every element within ± `limit` after each step; what is not above zero limits nothing.
    #[must_use]
    pub fn with_limit(mut self, limit: f32) -> Self {
        self.limit = if limit > 0.0 { limit } else { f32::INFINITY };
        self
    }

    /// The name inside its layer, such as `weight`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value, `[rows, columns]`. A handle, no copy; while it is held, the next step copies the value first.
    pub fn value(&self) -> Tensor<2> {
        self.value.clone().expect(VALUE_IS_THERE)
    }

    /// `[rows, columns]`.
    pub fn shape(&self) -> [usize; 2] {
        self.value.as_ref().expect(VALUE_IS_THERE).dims()
    }

    /// Replaces the value; the optimizer's state starts anew.
    ///
    /// # Errors
    /// When the shape differs.
    pub fn set_value(&mut self, value: Tensor<2>) -> Result<()> {
        if value.dims() != self.shape() {
            return Err(Error::shape(format!(
                "{} has shape {:?}, the new value {:?}",
                self.name,
                self.shape(),
                value.dims()
            )));
        }
        self.value = Some(value);
        self.state = OptimizerState::default();
        self.steps = 0;
        Ok(())
    }

    /// The limit that each step keeps the elements within.
    pub fn limit(&self) -> f32 {
        self.limit
    }

    /// Whether optimizer steps leave it as it is. A setting of this training, not saved with a model unless its layer's own settings say so.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Leaves it as it is in the steps that follow, or no longer.
    pub fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// How many optimizer steps it has taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What the optimizer keeps for this parameter.
    pub fn state(&self) -> &OptimizerState {
        &self.state
    }

    /// What an optimizer kept after so many steps, for a training that goes on.
    ///
    /// # Errors
    /// When a tensor has neither the parameter's shape nor its number of rows or columns with the other size 1.
    pub fn set_state(&mut self, state: OptimizerState, steps: u64) -> Result<()> {
        let fits = |dims: [usize; 2]| {
            let shape = self.shape();
            (dims[0] == shape[0] || dims[0] == 1) && (dims[1] == shape[1] || dims[1] == 1)
        };
        if let Some(tensor) = state.tensors.iter().find(|tensor| !fits(tensor.dims())) {
            return Err(Error::shape(format!(
                "{} has shape {:?}, what its optimizer kept {:?}",
                self.name,
                self.shape(),
                tensor.dims()
            )));
        }
        self.state = state;
        self.steps = steps;
        Ok(())
    }

    /// Moves value and state through one optimizer step, in place where the step is.
    ///
    /// The closure receives the value, the state (empty at first) and the number of this step, counted from 1. Nothing happens
    /// to a frozen parameter.
    pub fn update(&mut self, step: impl FnOnce(Tensor<2>, &mut OptimizerState, u64) -> Tensor<2>) {
        if self.frozen {
            return;
        }
        let value = self.value.take().expect(VALUE_IS_THERE);
        self.steps += 1;
        self.value = Some(step(value, &mut self.state, self.steps));
    }
}

/// The value is away only inside `update`, which has the parameter to itself and puts it back.
const VALUE_IS_THERE: &str = "a parameter has its value outside of update";

/// What a layer needs of an optimizer. It holds settings alone: its state lies with each parameter.
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// A short name for summaries, such as `adamw`.
    fn name(&self) -> &str;

    /// Refuses settings that cannot be trained with.
    ///
    /// # Errors
    /// Names the setting and what it must be.
    fn check(&self) -> Result<()>;

    /// Moves the parameter along `correlation`, the direction in which the error falls, of the parameter's shape.
    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, workspace: &mut Workspace);

    /// The same step for a correlation `presynaptic^T signal` that is not multiplied out; an optimizer that can go by the factors overrides it.
    ///
    /// # Shapes
    /// `[batch, rows]` and `[batch, columns]` of a parameter `[rows, columns]`.
    fn step_in_factors(
        &self,
        parameter: &mut Parameter,
        presynaptic: &Tensor<2>,
        signal: &Tensor<2>,
        workspace: &mut Workspace,
    ) {
        let buffer = workspace.take(parameter.shape());
        let (presynaptic, signal) = (presynaptic.clone(), signal.clone());
        let correlation = ops::product(presynaptic, signal, buffer, Transposed::Left);
        self.step(parameter, correlation, workspace);
    }
}
