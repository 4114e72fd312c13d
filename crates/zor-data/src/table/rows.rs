//! Encoded rows of a table.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::examples::{Batch, Draw, Examples, Values};
use crate::hexadecimal::hexadecimal;
use crate::in_memory::InMemory;
use crate::table::Schema;

/// Rows of a table, encoded as numbers by a [`Schema`], with targets where the table has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Inputs `[len, inputs]`, and one target per row or none at all.
    examples: InMemory,
    schema: Arc<Schema>,
}

impl Rows {
    /// Rows from row-major inputs `[len, inputs]`. The sizes must fit.
    pub(super) fn new(
        name: String,
        len: usize,
        inputs: Vec<f32>,
        targets: Values,
        schema: Arc<Schema>,
    ) -> Self {
        let input_shape = vec![inputs.len().checked_div(len).unwrap_or_default()];
        Self { examples: InMemory { name, input_shape, len, inputs, targets }, schema }
    }

    /// Name of the table, for messages.
    pub fn name(&self) -> &str {
        self.examples.name()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// True if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All inputs, row-major: `[len, inputs]`.
    pub fn inputs(&self) -> &[f32] {
        &self.examples.inputs
    }

    /// Class of each row; `None` if the target is a number or the table has no targets.
    pub fn labels(&self) -> Option<&[u32]> {
        match &self.examples.targets {
            Values::Integers(labels) => Some(labels),
            Values::Numbers(_) => None,
        }
    }

    /// Standardised target of each row; `None` if the target is a class or the table has no
    /// targets.
    pub fn numbers(&self) -> Option<&[f32]> {
        match &self.examples.targets {
            Values::Numbers(numbers) if self.has_targets() => Some(numbers),
            _ => None,
        }
    }

    /// True if every row has a target.
    pub fn has_targets(&self) -> bool {
        match &self.examples.targets {
            Values::Integers(labels) => labels.len() == self.len(),
            Values::Numbers(numbers) => !numbers.is_empty(),
        }
    }

    /// Number of classes; 0 if the target is a number.
    pub fn n_classes(&self) -> usize {
        self.class_names().len()
    }

    /// Names of the classes; empty if the target is a number.
    pub fn class_names(&self) -> &[String] {
        self.schema.classes().unwrap_or_default()
    }

    /// Schema that the rows were encoded with.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// SHA-256 of sizes, inputs and targets, in hexadecimal digits.
    pub fn digest(&self) -> String {
        let InMemory { input_shape, len, inputs, targets, .. } = &self.examples;
        let mut hasher = Sha256::new();
        let n_targets = targets.numbers().len() + targets.integers().len();
        for number in [*len, input_shape[0], self.n_classes(), n_targets] {
            hasher.update((number as u64).to_le_bytes());
        }
        for number in inputs.iter().chain(targets.numbers()) {
            hasher.update(number.to_bits().to_le_bytes());
        }
        for label in targets.integers() {
            hasher.update(label.to_le_bytes());
        }
        hexadecimal(&hasher.finalize())
    }

    /// Returns the rows with these indices, in the order of the indices.
    ///
    /// # Errors
    /// When an index is out of range, or the allocation fails.
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        let (name, len) = (self.name(), self.len());
        if let Some(index) = indices.iter().find(|&&index| index >= len) {
            return Err(Error::input(format!(
                "{name}: there is no row {index}; it has {len} rows"
            )));
        }
        let examples = self
            .examples
            .select(indices)
            .map_err(|error| Error::input(format!("{name}: {error}; take fewer rows")))?;
        Ok(Self { examples, schema: self.schema.clone() })
    }
}

impl Examples for Rows {
    fn name(&self) -> &str {
        self.name()
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn input_shape(&self) -> Vec<usize> {
        self.examples.input_shape()
    }

    fn fill(&self, draw: &Draw<'_>, batch: &mut Batch) {
        self.examples.fill(draw, batch);
    }

    fn digest(&self) -> String {
        self.digest()
    }

    fn class_names(&self) -> &[String] {
        self.class_names()
    }

    fn labels(&self) -> Option<Vec<u32>> {
        self.labels().map(<[u32]>::to_vec)
    }

    fn subset(&self, indices: &[usize]) -> Result<Arc<dyn Examples>> {
        Ok(Arc::new(self.select(indices)?))
    }
}

impl From<Rows> for Arc<dyn Examples> {
    fn from(rows: Rows) -> Self {
        Arc::new(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Table, TargetKind};

    fn rows(targets: Values, classes: &[&str]) -> Rows {
        let (kind, cells) = match classes {
            [] => (TargetKind::Number, ["1", "2"]),
            classes => (TargetKind::Classes, [classes[0], classes[1]]),
        };
        let text = format!("x,y\n1,{}\n2,{}\n", cells[0], cells[1]);
        let table = Table::parse("t.csv", text.as_bytes()).unwrap();
        let schema = Schema::fit(&table, &[0, 1], "y", kind, &[]).unwrap();
        let inputs = vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5];
        Rows::new("t.csv".to_owned(), 3, inputs, targets, Arc::new(schema))
    }

    fn classed() -> Rows {
        rows(Values::Integers(vec![1, 0, 1]), &["no", "yes"])
    }

    #[test]
    fn a_batch_has_the_rows_drawn_and_their_targets() {
        let mut batch = Batch::default();
        classed().fill(&Draw::of(&[2, 0]), &mut batch);
        let inputs = Values::Numbers(vec![2.0, 2.5, 0.0, 0.5]);
        let expected = Batch {
            rows: 2,
            inputs: inputs.clone(),
            targets: Values::Integers(vec![1, 1]),
            ..Batch::default()
        };
        assert_eq!(batch, expected);
        let numbered = rows(Values::Numbers(vec![7.0, 8.0, 9.0]), &[]);
        numbered.fill(&Draw::of(&[2, 0]), &mut batch);
        assert_eq!((&batch.inputs, batch.targets.numbers()), (&inputs, &[9.0, 7.0][..]));
        rows(Values::default(), &[]).fill(&Draw::of(&[2, 0]), &mut batch);
        assert_eq!((&batch.inputs, &batch.targets), (&inputs, &Values::default()));
        assert_eq!(numbered.input_shape(), [2]);
    }

    #[test]
    fn a_subset_keeps_inputs_targets_and_classes_together() {
        let part = classed().select(&[1, 1]).unwrap();
        assert_eq!((part.labels(), part.n_classes()), (Some(&[0, 0][..]), 2));
        assert_eq!(part.inputs(), [1.0, 1.5, 1.0, 1.5]);
        let numbered = rows(Values::Numbers(vec![7.0, 8.0, 9.0]), &[]);
        assert_eq!(numbered.select(&[2]).unwrap().numbers(), Some(&[9.0][..]));
        let without = rows(Values::default(), &[]).select(&[0]).unwrap();
        assert_eq!(
            (without.labels(), without.numbers(), without.has_targets()),
            (None, None, false)
        );
        assert_eq!(classed().subset(&[0]).unwrap().len(), 1);
        let empty = classed().select(&[]).unwrap();
        assert_eq!((empty.input_shape(), empty.is_empty()), (vec![2], true));
        assert!(classed().select(&[3]).unwrap_err().to_string().contains("no row 3; it has 3"));
    }

    /// Checkpoints store digests, so they must not change.
    #[test]
    fn a_digest_is_of_sizes_inputs_and_targets_alone() {
        let digest = "3b920f6b2a3103384f3cd4bc47dfa82fd965930ac0d45b35aae68611cf87eb0b";
        assert_eq!(classed().digest(), digest);
        let others = [
            rows(Values::Integers(vec![1, 1, 1]), &["no", "yes"]),
            rows(Values::Numbers(vec![1.0, 0.0, 1.0]), &[]),
            rows(Values::default(), &[]),
            classed().select(&[0, 1]).unwrap(),
        ];
        let mut digests: Vec<String> = others.iter().map(Rows::digest).collect();
        digests.push(digest.to_owned());
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 5);
        assert_eq!(rows(Values::Integers(vec![1, 0, 1]), &["0", "1"]).digest(), digest);
    }
}
