//! A trainable parameter and the state of its optimizer.

use std::any::Any;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use zor_random::Random;

use crate::error::{Error, Result};
use crate::ops::{self, Rows};
use crate::workspace::Workspace;

/// A trainable matrix with the state of its optimizer.
///
/// All parameters are `[rows, columns]`; a vector (a bias, a scale) is one row. The optimizer's
/// state is stored with the value, so that both are saved, moved and dropped together.
#[derive(Clone, Debug)]
pub struct Parameter {
    name: &'static str,
    value: Option<Tensor<2>>,
    limit: f32,
    has_independent_rows: bool,
    state: OptimizerState,
    steps: u64,
    frozen: bool,
    /// Sum of the correlations of several batches, until a step takes it.
    sum: Option<Tensor<2>>,
}

/// The state of an optimizer for one parameter, empty before its first step.
///
/// The state names its owner and the step at which it began. [`Parameter::update_as`] clears the
/// state of another owner, so that no optimizer misreads the tensors of another.
#[derive(Clone, Debug, Default)]
pub struct OptimizerState {
    /// Tensors, in the optimizer's order. They are saved in checkpoints.
    pub tensors: Vec<Tensor<2>>,
    /// State of another type, for optimizers from outside Zor.
    pub foreign: Option<Arc<dyn Any + Send + Sync>>,
    /// Kind of the optimizer that owns the state, such as `adamw`; empty for optimizers that call
    /// [`Parameter::update`].
    pub owner: String,
    /// Number of steps of the parameter before the owner's first.
    pub began: u64,
    /// Identifier of the owner's schedule; zero if it has none yet.
    pub schedule: u64,
    /// Number of steps of the parameter before the first of that schedule.
    pub schedule_began: u64,
}

/// The number of a step, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepNumber {
    /// Since the state of the optimizer began; for bias corrections of its moments.
    pub of_state: u64,
    /// Since the schedule began; for the learning rate.
    pub of_schedule: u64,
}

impl Parameter {
    /// A parameter with the given value.
    pub fn new(name: &'static str, value: Tensor<2>) -> Self {
        Self {
            name,
            value: Some(value),
            limit: f32::INFINITY,
            has_independent_rows: false,
            state: OptimizerState::default(),
            steps: 0,
            frozen: false,
            sum: None,
        }
    }

    /// A parameter of normally distributed values with mean zero and the given standard deviation.
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

    /// Keeps every element within ± `limit` after each step. A limit that is not above zero is
    /// ignored.
    #[must_use]
    pub fn with_limit(mut self, limit: f32) -> Self {
        self.limit = if limit > 0.0 { limit } else { f32::INFINITY };
        self
    }

    /// Marks the rows as separate vectors, such as the embeddings of tokens, instead of a matrix
    /// that maps values. Optimizers that act on a matrix as a whole treat such rows as vectors.
    #[must_use]
    pub fn with_independent_rows(mut self) -> Self {
        self.has_independent_rows = true;
        self
    }

    /// True if the rows are separate vectors; see [`Parameter::with_independent_rows`].
    pub fn has_independent_rows(&self) -> bool {
        self.has_independent_rows
    }

    /// Name of the parameter in its layer, such as `weight`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value, `[rows, columns]`. This is a handle, not a copy; the next step copies the value
    /// first while a handle is held.
    pub fn value(&self) -> Tensor<2> {
        self.value.clone().expect(VALUE_IS_THERE)
    }

    /// Shape `[rows, columns]`.
    pub fn shape(&self) -> [usize; 2] {
        self.value.as_ref().expect(VALUE_IS_THERE).dims()
    }

    /// Replaces the value and clears the state of the optimizer.
    ///
    /// # Errors
    /// If the shape differs.
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

    /// Limit of the absolute value of every element; infinite for none.
    pub fn limit(&self) -> f32 {
        self.limit
    }

    /// True if optimizer steps leave the parameter unchanged. This is a setting of the current
    /// training; it is not saved with a model unless the layer's own settings include it.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Freezes or unfreezes the parameter.
    pub fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Number of optimizer steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The state of the optimizer.
    pub fn state(&self) -> &OptimizerState {
        &self.state
    }

    /// Clears the state of the optimizer, as before the first step.
    pub fn clear_state(&mut self) {
        self.state = OptimizerState::default();
        self.steps = 0;
    }

    /// Restores the state of an optimizer after `steps` steps, to resume a training. A default
    /// state and zero steps clear it.
    ///
    /// # Errors
    /// If the shape of a tensor does not match the parameter's. A size of 1 matches any size.
    pub fn set_state(&mut self, state: OptimizerState, steps: u64) -> Result<()> {
        let fits = |dims: [usize; 2]| {
            let shape = self.shape();
            (dims[0] == shape[0] || dims[0] == 1) && (dims[1] == shape[1] || dims[1] == 1)
        };
        if let Some(tensor) = state.tensors.iter().find(|tensor| !fits(tensor.dims())) {
            return Err(Error::shape(format!(
                "{} has shape {:?}, the state of its optimizer {:?}",
                self.name,
                self.shape(),
                tensor.dims()
            )));
        }
        self.state = state;
        self.steps = steps;
        Ok(())
    }

    /// Applies one optimizer step to the value and the state, in place if the step is.
    ///
    /// The closure receives the value, the state (empty at first) and the number of this step,
    /// counted from 1. A frozen parameter is unchanged.
    ///
    /// Use it for optimizers without state, or for a network that has only one optimizer: all of
    /// them share the unnamed owner. An optimizer that may follow or precede others calls
    /// [`Parameter::update_as`].
    pub fn update(&mut self, step: impl FnOnce(Tensor<2>, &mut OptimizerState, u64) -> Tensor<2>) {
        self.update_as("", 0, |value, state, number| step(value, state, number.of_state));
    }

    /// [`Parameter::update`] for an optimizer that names the kind of its state, such as `adamw`,
    /// and its schedule.
    ///
    /// State of another owner is cleared first, and both counts of [`StepNumber`] restart. With the
    /// same owner and another `schedule`, the schedule restarts at this step, while moments stay.
    /// The optimizer chooses the number of a schedule: equal numbers continue the same schedule,
    /// and zero means none.
    pub fn update_as(
        &mut self,
        owner: &str,
        schedule: u64,
        step: impl FnOnce(Tensor<2>, &mut OptimizerState, StepNumber) -> Tensor<2>,
    ) {
        if self.frozen {
            return;
        }
        if self.state.owner != owner {
            let (began, schedule_began) = (self.steps, self.steps);
            let owner = owner.to_owned();
            self.state = OptimizerState { owner, began, schedule_began, ..Default::default() };
        }
        if schedule != 0 && self.state.schedule != schedule {
            if self.state.schedule != 0 {
                self.state.schedule_began = self.steps;
            }
            self.state.schedule = schedule;
        }
        let value = self.value.take().expect(VALUE_IS_THERE);
        self.steps += 1;
        let number = StepNumber {
            of_state: self.steps.saturating_sub(self.state.began).max(1),
            of_schedule: self.steps.saturating_sub(self.state.schedule_began).max(1),
        };
        self.value = Some(step(value, &mut self.state, number));
    }

    /// The correlation of the whole parameter from that of some rows, which is added up for a row
    /// that occurs several times; zero for all others.
    ///
    /// # Shapes
    /// `n` rows and `[n, columns]` -> `[rows, columns]`.
    pub fn correlation_of_rows(
        &self,
        rows: Rows,
        correlation: Tensor<2>,
        workspace: &mut Workspace,
    ) -> Tensor<2> {
        let zeros = workspace.take_zeros(self.shape());
        let whole = ops::add_to_rows(zeros, correlation.clone(), rows, 1.0);
        workspace.give(correlation);
        whole
    }

    /// Adds a correlation to the sum of those of several batches.
    pub(crate) fn add_to_sum(&mut self, correlation: Tensor<2>) {
        let sum = match self.sum.take() {
            Some(sum) => ops::scaled_sum(sum, correlation, 1.0, 1.0, f32::INFINITY),
            None => correlation,
        };
        self.sum = Some(sum);
    }

    /// Removes and returns the sum of correlations.
    pub(crate) fn take_sum(&mut self) -> Option<Tensor<2>> {
        self.sum.take()
    }

    /// Restarts the schedule of the optimizer at the next step; moments stay.
    pub fn restart_schedule(&mut self) {
        self.state.schedule_began = self.steps;
    }
}

/// The value is absent only inside `update_as`, which has exclusive access and puts it back.
const VALUE_IS_THERE: &str = "a parameter has its value outside of update";
