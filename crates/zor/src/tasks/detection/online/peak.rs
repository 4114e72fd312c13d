//! Rows that are stranger than all rows shortly before them.

use std::collections::VecDeque;

/// The largest scores of the last rows: those that no later row reaches.
#[derive(Clone, Debug)]
pub(super) struct Peaks {
    rows: u64,
    now: u64,
    /// Rows and their scores; rows increase, scores decrease.
    largest: VecDeque<(u64, f64)>,
}

impl Peaks {
    /// Looks back over this number of rows.
    pub(super) fn new(rows: u64) -> Self {
        Self { rows, now: 0, largest: VecDeque::new() }
    }

    /// Adds the score of a row. Returns whether it is larger than those of the rows before.
    pub(super) fn push(&mut self, score: f64) -> bool {
        self.now += 1;
        while self.largest.back().is_some_and(|(_, other)| *other < score) {
            self.largest.pop_back();
        }
        while self.largest.front().is_some_and(|(row, _)| row + self.rows < self.now) {
            self.largest.pop_front();
        }
        let is_largest = self.largest.is_empty();
        if self.largest.back().is_none_or(|(_, other)| *other > score) {
            self.largest.push_back((self.now, score));
        } else if let Some((row, _)) = self.largest.back_mut() {
            *row = self.now;
        }
        is_largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_larger_than_the_rows_before() {
        let mut peaks = Peaks::new(2);
        let found: Vec<bool> =
            [1.0, 3.0, 2.0, 2.0, 2.5, 2.5, 1.0, 1.5, 2.0].map(|score| peaks.push(score)).to_vec();
        let expected = [true, true, false, false, true, false, false, false, true];
        assert_eq!(found, expected);
    }

    #[test]
    fn memory_is_constant() {
        let mut peaks = Peaks::new(10);
        for row in 0..1000 {
            peaks.push(-f64::from(row));
            assert!(peaks.largest.len() <= 11);
        }
        (0..1000).for_each(|_| assert!(!peaks.push(-1e6)));
    }
}
