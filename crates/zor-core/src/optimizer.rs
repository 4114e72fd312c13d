//! The interface of optimizers.

use std::fmt;

use burn::tensor::Tensor;

use crate::error::Result;
use crate::ops::{self, Rows, Transposed};
use crate::parameter::Parameter;
use crate::workspace::Workspace;

/// An optimizer. It holds settings only: its state is kept in each [`Parameter`].
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// A short name for summaries, such as `adamw`.
    fn name(&self) -> &str;

    /// Rejects invalid settings.
    ///
    /// # Errors
    /// Names the setting and its valid range.
    fn check(&self) -> Result<()>;

    /// Updates the parameter along `correlation`, the direction in which the error decreases, of
    /// the parameter's shape.
    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, workspace: &mut Workspace);

    /// [`Optimizer::step`] with the correlation `presynaptic^T signal` as its two factors. The
    /// default multiplies them; an optimizer that can work with the factors overrides it.
    ///
    /// # Shapes
    /// `[batch, rows]` and `[batch, columns]` for a parameter `[rows, columns]`.
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

    /// [`Optimizer::step`] with the correlation of some rows, such as the embeddings of the tokens
    /// in a batch; it is zero for all others. A row may occur several times: its correlations are
    /// added up.
    ///
    /// The default takes a step along the correlation of the whole parameter, in which other rows
    /// move by momentum and weight decay. An optimizer that can leave them alone overrides it.
    ///
    /// # Shapes
    /// `n` rows and `[n, columns]` for a parameter `[rows, columns]`.
    fn step_rows(
        &self,
        parameter: &mut Parameter,
        rows: Rows,
        correlation: Tensor<2>,
        workspace: &mut Workspace,
    ) {
        let whole = parameter.correlation_of_rows(rows, correlation, workspace);
        self.step(parameter, whole, workspace);
    }
}

/// Adds up the correlations of several batches instead of taking steps; see
/// [`crate::Network::train_batches`].
#[derive(Debug)]
pub(crate) struct Summing;

impl Optimizer for Summing {
    fn name(&self) -> &str {
        "summing"
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, _: &mut Workspace) {
        parameter.add_to_sum(correlation);
    }
}
