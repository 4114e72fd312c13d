//! A weight, the state of the optimizer that serves it, and what core asks of an optimizer.

use std::any::Any;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use zor_random::Random;

use crate::error::{Error, Result};

/// A trainable matrix with its optimizer's state.
///
/// All parameters are `[rows, columns]`; a vector (a bias, a scale) is one row. The optimizer's
/// state lies beside the value, so that both are saved, moved and dropped together.
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
///
/// The state names its owner and the step at which it began. [`Parameter::update_as`] clears the
/// state of another owner, so that no optimizer takes a moment for a momentum.
#[derive(Clone, Debug, Default)]
pub struct OptimizerState {
    /// Its tensors, in the optimizer's order: what is saved.
    pub tensors: Vec<Tensor<2>>,
    /// State of a type of its own, for optimizers from elsewhere.
    pub foreign: Option<Arc<dyn Any + Send + Sync>>,
    /// The kind of optimizer that keeps it, such as `adamw`; empty for the optimizers that call
    /// [`Parameter::update`].
    pub owner: String,
    /// Steps of the parameter before the owner's first.
    pub began: u64,
    /// The schedule that the owner follows, as a number; zero before it is known.
    pub schedule: u64,
    /// Steps of the parameter before the first of that schedule.
    pub schedule_began: u64,
}

/// The number of a step as an optimizer counts it, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepNumber {
    /// Since the optimizer's state began: for corrections of its moments.
    pub of_state: u64,
    /// Since the schedule began: for the learning rate.
    pub of_schedule: u64,
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

    /// The value, `[rows, columns]`. A handle, no copy; while it is held, the next step copies the
    /// value first.
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

    /// Whether optimizer steps leave it as it is. A setting of this training, not saved with a
    /// model unless its layer's own settings say so.
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

    /// Forgets the state of the optimizer, as before the first step.
    pub fn clear_state(&mut self) {
        self.state = OptimizerState::default();
        self.steps = 0;
    }

    /// Restores the state of an optimizer after `steps` steps, for a training that continues. A
    /// default state and zero steps clear it.
    ///
    /// # Errors
    /// When a tensor has neither the parameter's shape nor its number of rows or columns with the
    /// other size 1.
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
    /// The closure receives the value, the state (empty at first) and the number of this step,
    /// counted from 1. Nothing happens to a frozen parameter.
    ///
    /// This is for optimizers that keep no state, or are the only ones of a network. All of them
    /// share the owner without a name; an optimizer that may follow or precede others calls
    /// [`Parameter::update_as`].
    pub fn update(&mut self, step: impl FnOnce(Tensor<2>, &mut OptimizerState, u64) -> Tensor<2>) {
        self.update_as("", 0, |value, state, number| step(value, state, number.of_state));
    }

    /// [`Parameter::update`] by an optimizer that names its kind of state, such as `adamw`, and its
    /// schedule.
    ///
    /// State of another owner is cleared first, and both counts of [`StepNumber`] begin again.
    /// Under the same owner another `schedule` begins at this step, while moments stay. The number
    /// of a schedule is of the optimizer's choice; schedules with the same number continue each
    /// other, and zero stands for none.
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

    /// Lets the schedule of the optimizer begin at the next step; moments stay.
    pub fn restart_schedule(&mut self) {
        self.state.schedule_began = self.steps;
    }
}

/// The value is away only inside `update`, which has the parameter to itself and puts it back.
const VALUE_IS_THERE: &str = "a parameter has its value outside of update";
