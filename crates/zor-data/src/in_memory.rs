//! A data set of arrays in memory.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result, memory};
use crate::examples::{Batch, Draw, Examples, Values};
use crate::hexadecimal::hexadecimal;

/// A data set of arrays in memory: inputs of one shape, and optional targets.
///
/// ```
/// use zor_data::{InMemory, Values};
/// let classes = Values::Integers(vec![0, 1]);
/// let points = InMemory::new("points", &[2], vec![0.0, 1.0, 1.0, 0.0], classes)?;
/// # Ok::<(), zor_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct InMemory {
    pub(crate) name: String,
    pub(crate) input_shape: Vec<usize>,
    pub(crate) len: usize,
    /// Inputs: `[len, inputs]`.
    pub(crate) inputs: Vec<f32>,
    /// Targets: `[len, targets]`; empty without targets.
    pub(crate) targets: Values,
}

impl InMemory {
    /// Data set from row-major arrays: `inputs` is `[len, input_shape...]` and `targets` is
    /// `[len, targets]`. Integers are classes, numbers are values to predict; empty targets mean
    /// that the inputs are to be reconstructed.
    ///
    /// # Errors
    /// When the length of `inputs` is not a multiple of the product of `input_shape`, or the length
    /// of `targets` is not a multiple of `len`.
    pub fn new(
        name: impl Into<String>,
        input_shape: &[usize],
        inputs: Vec<f32>,
        targets: Values,
    ) -> Result<Self> {
        let (name, input_shape) = (name.into(), input_shape.to_vec());
        let size: usize = input_shape.iter().product();
        let n_targets = targets.numbers().len() + targets.integers().len();
        let len = inputs.len().checked_div(size).unwrap_or(0);
        if size == 0 || !inputs.len().is_multiple_of(size) {
            return Err(Error::input(format!(
                "{name}: {} values are not a whole number of inputs of shape {input_shape:?}",
                inputs.len()
            )));
        }
        if len > 0 && !n_targets.is_multiple_of(len) || len == 0 && n_targets > 0 {
            return Err(Error::input(format!(
                "{name}: {n_targets} targets cannot be divided among {len} examples"
            )));
        }
        Ok(Self { name, input_shape, len, inputs, targets })
    }

    /// Copies the examples with these indices. Panics when an index is out of range.
    ///
    /// # Errors
    /// When the allocation fails.
    pub(crate) fn select(&self, indices: &[usize]) -> std::result::Result<Self, String> {
        let inputs = Values::Numbers(memory(indices.len().saturating_mul(self.size()))?);
        let mut batch = Batch { inputs, ..Batch::default() };
        self.fill(&Draw::of(indices), &mut batch);
        let Batch { inputs, targets, .. } = batch;
        let inputs = match inputs {
            Values::Numbers(inputs) => inputs,
            Values::Integers(_) => Vec::new(),
        };
        let (name, input_shape) = (self.name.clone(), self.input_shape.clone());
        Ok(Self { name, input_shape, len: indices.len(), inputs, targets })
    }

    fn size(&self) -> usize {
        self.input_shape.iter().product()
    }

    /// Number of targets per example.
    fn n_targets(&self) -> usize {
        let all = self.targets.numbers().len() + self.targets.integers().len();
        all.checked_div(self.len).unwrap_or(0)
    }
}

impl Examples for InMemory {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.len
    }

    fn input_shape(&self) -> Vec<usize> {
        self.input_shape.clone()
    }

    fn fill(&self, draw: &Draw<'_>, batch: &mut Batch) {
        let (size, n_targets) = (self.size(), self.n_targets());
        batch.rows = draw.indices.len();
        let inputs = batch.inputs.resize_numbers(batch.rows * size);
        for (&index, input) in draw.indices.iter().zip(inputs.chunks_exact_mut(size.max(1))) {
            input.copy_from_slice(&self.inputs[index * size..][..size]);
        }
        match &self.targets {
            Values::Integers(all) => {
                let of = |&index: &usize| &all[index * n_targets..][..n_targets];
                batch.targets.set_integers(draw.indices.iter().flat_map(of).copied());
            }
            Values::Numbers(all) => {
                let targets = batch.targets.resize_numbers(batch.rows * n_targets);
                for (row, &index) in draw.indices.iter().enumerate() {
                    targets[row * n_targets..][..n_targets]
                        .copy_from_slice(&all[index * n_targets..][..n_targets]);
                }
            }
        }
    }

    fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for number in self.input_shape.iter().chain([&self.len, &self.n_targets()]) {
            hasher.update((*number as u64).to_le_bytes());
        }
        for number in self.inputs.iter().chain(self.targets.numbers()) {
            hasher.update(number.to_bits().to_le_bytes());
        }
        self.targets.integers().iter().for_each(|number| hasher.update(number.to_le_bytes()));
        hexadecimal(&hasher.finalize())
    }

    fn labels(&self) -> Option<Vec<u32>> {
        match &self.targets {
            Values::Integers(labels) if self.n_targets() == 1 => Some(labels.clone()),
            _ => None,
        }
    }

    fn subset(&self, indices: &[usize]) -> Result<Arc<dyn Examples>> {
        if let Some(index) = indices.iter().find(|&&index| index >= self.len) {
            return Err(Error::input(format!(
                "{}: there is no example {index}; it has {}",
                self.name, self.len
            )));
        }
        let selected = self.select(indices);
        Ok(Arc::new(
            selected
                .map_err(|error| Error::input(format!("{}: {error}; take fewer", self.name)))?,
        ))
    }
}

impl From<InMemory> for Arc<dyn Examples> {
    fn from(examples: InMemory) -> Self {
        Arc::new(examples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(targets: Values) -> Result<InMemory> {
        InMemory::new("t", &[2], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], targets)
    }

    #[test]
    fn a_batch_has_inputs_with_their_targets_of_any_width() {
        let mut batch = Batch::default();
        let pairs = set(Values::Numbers(vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5])).unwrap();
        pairs.fill(&Draw::of(&[2, 0]), &mut batch);
        assert_eq!((batch.rows, batch.inputs.numbers()), (2, &[4.0, 5.0, 0.0, 1.0][..]));
        assert_eq!(batch.targets.numbers(), [2.0, 2.5, 0.0, 0.5]);
        let classes = set(Values::Integers(vec![7, 8, 9])).unwrap();
        classes.subset(&[1]).unwrap().fill(&Draw::of(&[0]), &mut batch);
        assert_eq!((batch.inputs.numbers(), batch.targets.integers()), (&[2.0, 3.0][..], &[8][..]));
        assert_eq!(classes.labels(), Some(vec![7, 8, 9]));
        set(Values::default()).unwrap().fill(&Draw::of(&[1]), &mut batch);
        assert_eq!(batch.targets, Values::default());
    }

    #[test]
    fn values_that_are_no_examples_are_refused() {
        assert!(set(Values::Integers(vec![1, 2])).unwrap_err().to_string().contains("2 targets"));
        let odd = InMemory::new("t", &[2], vec![0.0], Values::default());
        assert!(odd.unwrap_err().to_string().contains("1 values"));
        assert!(InMemory::new("t", &[0], Vec::new(), Values::default()).is_err());
        let classes = set(Values::Integers(vec![7, 8, 9])).unwrap();
        assert!(classes.subset(&[3]).unwrap_err().to_string().contains("no example 3; it has 3"));
        assert_ne!(classes.digest(), set(Values::default()).unwrap().digest());
    }
}
