//! Examples that a network learns from or is evaluated on, and batches of them.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use zor_random::Random;

use crate::error::{Error, Result};

/// A set of examples: inputs, and targets where the set has some.
///
/// Sets are read from several threads. A set that changes its examples at random (augmentation)
/// draws from [`Draw::random`], so that a batch depends on seed and step alone.
pub trait Examples: Any + Debug + Send + Sync {
    /// The name of the set, for messages.
    fn name(&self) -> &str;

    /// Number of examples.
    fn len(&self) -> usize;

    /// Whether the set has no examples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of one input, such as `[height, width, channels]` or `[columns]`.
    fn input_shape(&self) -> Vec<usize>;

    /// Writes the drawn examples into a batch in place of its contents. Panics when an index is not
    /// below [`Examples::len`].
    fn fill(&self, draw: &Draw<'_>, batch: &mut Batch);

    /// A digest of all examples: equal for equal sets, on every machine.
    fn digest(&self) -> String;

    /// The names of the classes in their order; none where the set has no classes.
    fn class_names(&self) -> &[String] {
        &[]
    }

    /// The class of each example; `None` where the set has no classes.
    fn labels(&self) -> Option<Vec<u32>> {
        None
    }

    /// Notes for the user in plain text, one line each, such as a list of skipped files.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// The examples with these indices, in their order.
    ///
    /// # Errors
    /// When an index is beyond the set, or memory is short.
    fn subset(&self, indices: &[usize]) -> Result<Arc<dyn Examples>>;
}

/// The examples of one batch.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Indices of the examples, one for each row.
    pub indices: &'a [usize],
    /// The position of the first row among all rows of the training.
    pub first: u64,
    /// The seed of the training.
    pub seed: u64,
}

impl<'a> Draw<'a> {
    /// Separates the random numbers of examples from other uses of a seed.
    const STREAM: u64 = 1 << 63;

    /// Examples outside a training, such as those of an evaluation.
    pub fn of(indices: &'a [usize]) -> Self {
        Self { indices, first: 0, seed: 0 }
    }

    /// The position of a row among all rows of the training. It wraps far beyond the steps of any
    /// training.
    pub fn number(&self, row: usize) -> u64 {
        self.first.wrapping_add(row as u64)
    }

    /// The random numbers of a row.
    pub fn random(&self, row: usize) -> Random {
        Random::stream(self.seed, Self::STREAM ^ self.number(row))
    }
}

/// Numbers or integers, row after row.
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
    /// The numbers; none where the values are integers.
    pub fn numbers(&self) -> &[f32] {
        match self {
            Self::Numbers(values) => values,
            Self::Integers(_) => &[],
        }
    }

    /// The integers; none where the values are numbers.
    pub fn integers(&self) -> &[u32] {
        match self {
            Self::Integers(values) => values,
            Self::Numbers(_) => &[],
        }
    }

    /// Makes room for `n` numbers whose values are unspecified, in the memory of earlier ones.
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

    /// Replaces the values by integers, in the memory of earlier ones.
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

/// The examples of one step.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Batch {
    /// Number of examples.
    pub rows: usize,
    /// Inputs: `[rows, inputs]`. Images are in [0, 1].
    pub inputs: Values,
    /// Targets: a class for each row of labelled images, or `[rows, outputs]` numbers.
    pub targets: Values,
    /// The weight of each row in the error; none where all rows count alike.
    pub weights: Vec<f32>,
}

/// Indices of the examples of each class, up to the last class that has some.
pub fn members_of_classes(labels: &[u32]) -> Vec<Vec<usize>> {
    let n_classes = labels.iter().max().map_or(0, |&most| most as usize + 1);
    let mut classes = vec![Vec::new(); n_classes];
    labels.iter().enumerate().for_each(|(index, &label)| classes[label as usize].push(index));
    classes
}

/// The [members of classes](members_of_classes) of a set.
///
/// # Errors
/// When the set has no classes.
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
