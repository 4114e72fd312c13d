//! Examples with class weights.

use std::sync::Arc;

use crate::error::Result;
use crate::examples::{Batch, Draw, Examples, classes_to_balance};

/// Examples with class weights: each example has a weight inversely proportional to the size of its
/// class, so that all classes contribute equally to the error. The mean weight is 1.
#[derive(Clone, Debug)]
pub struct ClassWeighted {
    set: Arc<dyn Examples>,
    /// Weight of each class.
    weights: Vec<f32>,
}

impl ClassWeighted {
    /// Computes the weights from the class sizes of a data set.
    ///
    /// # Errors
    /// When the data set has no classes.
    pub fn new(set: impl Into<Arc<dyn Examples>>) -> Result<Self> {
        let set = set.into();
        let classes = classes_to_balance(&*set)?;
        let present = classes.iter().filter(|class| !class.is_empty()).count();
        let weight = |class: &Vec<usize>| set.len() as f32 / (present * class.len().max(1)) as f32;
        Ok(Self { weights: classes.iter().map(weight).collect(), set })
    }
}

impl Examples for ClassWeighted {
    fn name(&self) -> &str {
        self.set.name()
    }

    fn len(&self) -> usize {
        self.set.len()
    }

    fn input_shape(&self) -> Vec<usize> {
        self.set.input_shape()
    }

    fn fill(&self, draw: &Draw<'_>, batch: &mut Batch) {
        self.set.fill(draw, batch);
        batch.weights.clear();
        let classes = batch.targets.integers().iter();
        batch.weights.extend(classes.map(|&class| self.weights[class as usize]));
    }

    fn digest(&self) -> String {
        self.set.digest()
    }

    fn class_names(&self) -> &[String] {
        self.set.class_names()
    }

    fn labels(&self) -> Option<Vec<u32>> {
        self.set.labels()
    }

    fn notes(&self) -> &[String] {
        self.set.notes()
    }

    fn subset(&self, indices: &[usize]) -> Result<Arc<dyn Examples>> {
        Ok(Arc::new(Self { set: self.set.subset(indices)?, weights: self.weights.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::Values;
    use crate::in_memory::InMemory;

    #[test]
    fn classes_count_alike_and_weights_have_the_mean_one() {
        let labels = Values::Integers(vec![0, 0, 0, 2]);
        let set = InMemory::new("t", &[1], vec![0.0; 4], labels).unwrap();
        let weighted = ClassWeighted::new(set).unwrap();
        let mut batch = Batch::default();
        weighted.fill(&Draw::of(&[0, 1, 2, 3]), &mut batch);
        assert_eq!(batch.weights.iter().sum::<f32>(), 4.0);
        assert_eq!(batch.weights[3], 3.0 * batch.weights[0]);
        let without = InMemory::new("t", &[1], vec![0.0], Values::default()).unwrap();
        assert!(ClassWeighted::new(without).is_err());
    }
}
