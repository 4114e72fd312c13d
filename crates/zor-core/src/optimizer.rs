//! The interface of optimizers.

use std::fmt;

use burn::tensor::Tensor;

use crate::error::Result;
use crate::ops::{self, Transposed};
use crate::parameter::Parameter;
use crate::workspace::Workspace;

/// An optimizer holds settings alone: its state lies with each parameter.
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// A short name for summaries, such as `adamw`.
    fn name(&self) -> &str;

    /// Refuses settings that cannot be trained with.
    ///
    /// # Errors
    /// Names the setting and what it must be.
    fn check(&self) -> Result<()>;

    /// Moves the parameter along `correlation`, the direction in which the error falls, of the
    /// parameter's shape.
    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, workspace: &mut Workspace);

    /// The same step for a correlation `presynaptic^T signal` that is not multiplied out; an
    /// optimizer that can go by the factors overrides it.
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
        let correlation = ops::matmul(presynaptic, signal, buffer, Transposed::Left);
        self.step(parameter, correlation, workspace);
    }
}
