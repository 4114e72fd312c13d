//! Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019), fused into
//! one pass over memory.

use serde::{Deserialize, Serialize};
use zor_core::burn::tensor::Tensor;
use zor_core::ops::{self, AdamStep, Rows};
use zor_core::{Error, Optimizer, Parameter, Result, Workspace};

use crate::Schedule;

/// AdamW, or Adam without weight decay.
///
/// State: first and second moment of the correlation, shared by AdamW and Adam.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// Learning rate.
    pub schedule: Schedule,
    /// Decay rates of the two moments.
    pub betas: (f32, f32),
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay: each step first multiplies a weight by
    /// `1 - learning_rate * weight_decay`.
    pub weight_decay: f32,
}

impl AdamW {
    /// AdamW with this learning rate or schedule, other settings as in [`AdamW::default`].
    pub fn new(schedule: impl Into<Schedule>) -> Self {
        Self { schedule: schedule.into(), ..Self::default() }
    }

    /// Adam with this learning rate or schedule: no weight decay.
    pub fn adam(schedule: impl Into<Schedule>) -> Self {
        Self::new(schedule).with_weight_decay(0.0)
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl Default for AdamW {
    /// Learning rate 1e-3, betas 0.9 and 0.999, epsilon 1e-8, weight decay 0.01, as in the classic
    /// preset.
    fn default() -> Self {
        Self {
            schedule: Schedule::constant(1e-3),
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            weight_decay: 0.01,
        }
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &str {
        if self.weight_decay == 0.0 { "adam" } else { "adamw" }
    }

    fn check(&self) -> Result<()> {
        self.schedule.check()?;
        let betas = [self.betas.0, self.betas.1];
        if betas.iter().any(|beta| !(0.0..1.0).contains(beta)) {
            return Err(Error::setting(format!("betas are {betas:?}; both must be in [0, 1)")));
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return Err(Error::setting(format!(
                "epsilon is {}; it must be above zero",
                self.epsilon
            )));
        }
        crate::check_weight_decay(self.weight_decay)
    }

    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, workspace: &mut Workspace) {
        self.step_as(OWNER, parameter, correlation, workspace);
    }

    fn step_in_factors(
        &self,
        parameter: &mut Parameter,
        presynaptic: &Tensor<2>,
        signal: &Tensor<2>,
        _: &mut Workspace,
    ) {
        self.update(OWNER, parameter, |weight, [first, second], step| {
            let (presynaptic, signal) = (presynaptic.clone(), signal.clone());
            ops::adam_step_in_factors(weight, presynaptic, signal, first, second, step)
        });
    }

    /// A step of the rows that occur. Weights and moments of the other rows keep their bits: they
    /// do not decay (lazy Adam). A row that occurs several times takes one step along the sum.
    ///
    /// Bias corrections count the steps of the parameter, not those of a row. The first step of a
    /// row that occurs late is therefore not corrected: it is up to
    /// `(1 - beta_1) / sqrt(1 - beta_2)` learning rates long.
    fn step_rows(
        &self,
        parameter: &mut Parameter,
        rows: Rows,
        correlation: Tensor<2>,
        workspace: &mut Workspace,
    ) {
        self.step_rows_as(OWNER, parameter, &rows, correlation, workspace);
    }
}

/// Owner of the state.
const OWNER: &str = "adamw";

impl AdamW {
    /// A step with the state of the given owner.
    pub(crate) fn step_as(
        &self,
        owner: &str,
        parameter: &mut Parameter,
        correlation: Tensor<2>,
        workspace: &mut Workspace,
    ) {
        self.update(owner, parameter, |weight, [first, second], step| {
            ops::adam_step(weight, correlation.clone(), first, second, step)
        });
        workspace.give(correlation);
    }

    /// [`Optimizer::step_rows`] with the state of the given owner.
    pub(crate) fn step_rows_as(
        &self,
        owner: &str,
        parameter: &mut Parameter,
        rows: &Rows,
        correlation: Tensor<2>,
        workspace: &mut Workspace,
    ) {
        let (rows, correlation) = added_up(rows, correlation, workspace);
        self.update(owner, parameter, |weight, [first, second], step| {
            let (weight, w) = cut(weight, &rows, workspace);
            let (first, m) = cut(first, &rows, workspace);
            let (second, v) = cut(second, &rows, workspace);
            let (w, m, v) = ops::adam_step(w, correlation.clone(), m, v, step);
            let mut put = |rest, cut| put(rest, cut, &rows, workspace);
            (put(weight, w), put(first, m), put(second, v))
        });
        workspace.give(correlation);
    }

    /// Updates weight and moments by one step of these settings.
    fn update(
        &self,
        owner: &str,
        parameter: &mut Parameter,
        move_all: impl FnOnce(Tensor<2>, [Tensor<2>; 2], AdamStep) -> (Tensor<2>, Tensor<2>, Tensor<2>),
    ) {
        let limit = parameter.limit();
        parameter.update_as(owner, self.schedule.identity(), |weight, state, step| {
            let rate = self.schedule.rate(step.of_schedule);
            let (beta_1, beta_2) = self.betas;
            let steps = step.of_state as f64;
            let correction = |beta: f32| 1.0 / (1.0 - f64::from(beta).powf(steps)) as f32;
            let settings = AdamStep {
                rate: rate * correction(beta_1),
                beta_1,
                beta_2,
                correction_2: correction(beta_2),
                epsilon: self.epsilon,
                decay: 1.0 - rate * self.weight_decay,
                limit,
            };
            // A state that was not written by a step of this optimizer, such as an incomplete one,
            // is discarded.
            if state.tensors.len() != 2 || state.tensors.iter().any(|m| m.dims() != weight.dims()) {
                state.tensors.clear();
            }
            let mut moment = || {
                state.tensors.pop().unwrap_or_else(|| ops::zeros(weight.dims(), &weight.device()))
            };
            let (second, first) = (moment(), moment());
            let (weight, first, second) = move_all(weight, [first, second], settings);
            state.tensors.extend([first, second]);
            weight
        });
    }
}

/// The rows in rising order, each once, and the sum of the correlations of each.
fn added_up(rows: &Rows, correlation: Tensor<2>, workspace: &mut Workspace) -> (Rows, Tensor<2>) {
    let mut distinct = rows.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let place = |row: &u32| distinct.partition_point(|other| other < row) as u32;
    let places: Rows = rows.iter().map(place).collect();
    let sums = workspace.take_zeros([distinct.len(), correlation.dims()[1]]);
    let sums = ops::add_to_rows(sums, correlation.clone(), places, 1.0);
    workspace.give(correlation);
    (distinct.into(), sums)
}

/// Cuts distinct rows out of a matrix. Returns the matrix, with zeros in their place, and the rows.
fn cut(matrix: Tensor<2>, rows: &Rows, workspace: &mut Workspace) -> (Tensor<2>, Tensor<2>) {
    let zeros = workspace.take_zeros([rows.len(), matrix.dims()[1]]);
    let cut = ops::add_rows_of(zeros, matrix.clone(), rows.clone(), 1.0);
    (ops::add_to_rows(matrix, cut.clone(), rows.clone(), -1.0), cut)
}

/// Puts rows back that were [`cut`] out.
fn put(rest: Tensor<2>, cut: Tensor<2>, rows: &Rows, workspace: &mut Workspace) -> Tensor<2> {
    let matrix = ops::add_to_rows(rest, cut.clone(), rows.clone(), 1.0);
    workspace.give(cut);
    matrix
}
