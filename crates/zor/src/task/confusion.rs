//! The confusion matrix of a classifier.

use serde::{Deserialize, Serialize};

/// Numbers of examples by true and predicted class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    n_classes: usize,
    /// Counts in row-major order: a row for each true class, a column for each predicted class.
    counts: Vec<u32>,
}

impl Confusion {
    /// An empty matrix for `n_classes` classes.
    pub fn new(n_classes: usize) -> Self {
        Self { n_classes, counts: vec![0; n_classes * n_classes] }
    }

    /// Counts an example. Class indices out of range are ignored.
    pub fn add(&mut self, truth: usize, answer: usize) {
        if truth < self.n_classes && answer < self.n_classes {
            self.counts[truth * self.n_classes + answer] += 1;
        }
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Iterates over the rows: for each true class, the counts by predicted class.
    pub fn rows(&self) -> impl Iterator<Item = &[u32]> {
        self.counts.chunks_exact(self.n_classes.max(1))
    }

    /// Number of correctly classified examples.
    pub fn correct(&self) -> usize {
        self.rows().enumerate().map(|(class, row)| row[class] as usize).sum()
    }

    /// Accuracy of each true class, in [0, 1]; `None` for classes without examples.
    pub fn per_class(&self) -> Vec<Option<f64>> {
        let share = |(class, row): (usize, &[u32])| {
            let all: u32 = row.iter().sum();
            (all > 0).then(|| f64::from(row[class]) / f64::from(all))
        };
        self.rows().enumerate().map(share).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_true_classes() {
        let mut confusion = Confusion::new(3);
        for (truth, answer) in [(0, 0), (0, 2), (2, 2), (2, 2), (7, 0)] {
            confusion.add(truth, answer);
        }
        assert_eq!(confusion.rows().collect::<Vec<_>>(), [[1, 0, 1], [0, 0, 0], [0, 0, 2]]);
        assert_eq!(confusion.correct(), 3);
        assert_eq!(confusion.per_class(), [Some(0.5), None, Some(1.0)]);
    }
}
