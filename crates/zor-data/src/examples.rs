//! The trait of data sets, and the batches that are drawn from them.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use zor_random::Random;

use crate::error::{Error, Result};
use crate::text::Suggestions;

/// A data set: examples with inputs and optional targets, for training or evaluation.
///
/// Several threads read a data set at once. One that changes its examples at random (augmentation)
/// draws its random numbers from [`Draw::random`], so that a batch depends on seed and step alone.
pub trait Examples: Any + Debug + Send + Sync {
    /// Name of the data set, for messages.
    fn name(&self) -> &str;

    /// Number of examples.
    fn len(&self) -> usize;

    /// True if there are no examples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape of one input, such as `[height, width, channels]` or `[columns]`.
    fn input_shape(&self) -> Vec<usize>;

    /// Replaces the contents of a batch by the drawn examples.
    ///
    /// # Panics
    /// When an index is not less than [`Examples::len`].
    fn fill(&self, draw: &Draw<'_>, batch: &mut Batch);

    /// Digest of all examples, the same on every machine.
    fn digest(&self) -> String;

    /// Names of the classes, in the order of the labels; empty for a data set without classes.
    fn class_names(&self) -> &[String] {
        &[]
    }

    /// Class of each example; `None` for a data set without classes.
    fn labels(&self) -> Option<Vec<u32>> {
        None
    }

    /// Number of tokens of each example; `None` for examples that are no sequences. A batch of
    /// sequences is bounded by the number of its tokens.
    fn lengths(&self) -> Option<Vec<usize>> {
        None
    }

    /// Notes for the user, one line of plain text each, such as skipped files.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// Returns the examples with these indices, in the order of the indices.
    ///
    /// # Errors
    /// When an index is out of range, or the allocation fails.
    fn subset(&self, indices: &[usize]) -> Result<Arc<dyn Examples>>;
}

/// The choice of examples for one batch.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Indices of the examples, one for each row.
    pub indices: &'a [usize],
    /// Position of the first row among all rows of the training.
    pub first: u64,
    /// Seed of the training.
    pub seed: u64,
}

impl<'a> Draw<'a> {
    /// Bit that separates the random streams of examples from other uses of the seed.
    const STREAM: u64 = 1 << 63;

    /// Examples for use outside a training, such as an evaluation: position and seed are 0.
    pub fn of(indices: &'a [usize]) -> Self {
        Self { indices, first: 0, seed: 0 }
    }

    /// Position of a row among all rows of the training. Wraps on overflow, which no training
    /// reaches.
    pub fn number(&self, row: usize) -> u64 {
        self.first.wrapping_add(row as u64)
    }

    /// Random generator of a row. It depends on the seed and the row's position alone.
    pub fn random(&self, row: usize) -> Random {
        Random::stream(self.seed, Self::STREAM ^ self.number(row))
    }
}

/// Numbers or integers in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers. NaN is a missing value.
    Numbers(Vec<f32>),
    /// Integers, such as classes or tokens.
    Integers(Vec<u32>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Numbers(Vec::new())
    }
}

impl Values {
    /// The numbers; empty if the values are integers.
    pub fn numbers(&self) -> &[f32] {
        match self {
            Self::Numbers(values) => values,
            Self::Integers(_) => &[],
        }
    }

    /// The integers; empty if the values are numbers.
    pub fn integers(&self) -> &[u32] {
        match self {
            Self::Integers(values) => values,
            Self::Numbers(_) => &[],
        }
    }

    /// Resizes to `n` numbers and returns them. The allocation is reused; the values are
    /// unspecified.
    pub fn resize_numbers(&mut self, n: usize) -> &mut [f32] {
        if !matches!(self, Self::Numbers(_)) {
            *self = Self::Numbers(Vec::new());
        }
        match self {
            Self::Numbers(values) => {
                values.resize(n, 0.0);
                values
            }
            Self::Integers(_) => &mut [],
        }
    }

    /// Adds integers at the end. Numbers are removed first.
    pub fn extend_integers(&mut self, integers: impl IntoIterator<Item = u32>) {
        match self {
            Self::Integers(values) => values.extend(integers),
            Self::Numbers(_) => self.set_integers(integers),
        }
    }

    /// Replaces the values by integers. The allocation is reused.
    pub fn set_integers(&mut self, integers: impl IntoIterator<Item = u32>) {
        if !matches!(self, Self::Integers(_)) {
            *self = Self::Integers(Vec::new());
        }
        if let Self::Integers(values) = self {
            values.clear();
            values.extend(integers);
        }
    }
}

/// The examples of one training step.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Batch {
    /// Number of examples.
    pub rows: usize,
    /// Inputs: `[rows, inputs]`, or the tokens of sequences, one after the other. Values of images
    /// are in [0, 1].
    pub inputs: Values,
    /// Targets: one class per row, or `[rows, outputs]` numbers. For sequences, one class for each
    /// position behind a prefix.
    pub targets: Values,
    /// Weight of each row in the error; empty if all are equal.
    pub weights: Vec<f32>,
    /// Number of tokens of each sequence; empty if the examples are no sequences.
    pub lengths: Vec<usize>,
    /// Number of tokens in the prefix of each sequence.
    pub prefixes: Vec<usize>,
    /// Tokens that are suggested at positions of sequences.
    pub suggestions: Suggestions,
}

/// Groups examples by class: returns the indices of each class, up to the last class that occurs.
pub fn members_of_classes(labels: &[u32]) -> Vec<Vec<usize>> {
    let n_classes = labels.iter().max().map_or(0, |&most| most as usize + 1);
    let mut classes = vec![Vec::new(); n_classes];
    labels.iter().enumerate().for_each(|(index, &label)| classes[label as usize].push(index));
    classes
}

/// Returns the [members of the classes](members_of_classes) of a data set.
///
/// # Errors
/// When the data set has no classes.
pub(crate) fn classes_to_balance(set: &dyn Examples) -> Result<Vec<Vec<usize>>> {
    let labels = set
        .labels()
        .ok_or_else(|| Error::input(format!("{}: there are no classes to balance", set.name())))?;
    Ok(members_of_classes(&labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_or_integers_and_keep_their_memory() {
        let mut values = Values::default();
        values.resize_numbers(3).copy_from_slice(&[1.0, 2.0, 3.0]);
        assert_eq!((values.numbers(), values.integers()), (&[1.0, 2.0, 3.0][..], &[][..]));
        let place = values.numbers().as_ptr();
        assert_eq!(values.resize_numbers(2).as_ptr(), place);
        values.set_integers([7, 300]);
        assert_eq!((values.numbers(), values.integers()), (&[][..], &[7, 300][..]));
        let place = values.integers().as_ptr();
        values.set_integers([1]);
        assert_eq!((values.integers().as_ptr(), values.integers()), (place, &[1][..]));
        assert_eq!(values.resize_numbers(1), [0.0]);
    }

    #[test]
    fn random_numbers_of_a_row_depend_on_seed_and_position_alone() {
        let draw = |first, seed| Draw { indices: &[0; 4], first, seed };
        let uniform = |draw: Draw<'_>, row| draw.random(row).uniform();
        assert_eq!(uniform(draw(8, 1), 1), uniform(draw(9, 1), 0));
        assert_ne!(uniform(draw(8, 1), 1), uniform(draw(8, 2), 1));
        assert_eq!(draw(u64::MAX, 0).number(1), 0);
    }
}
