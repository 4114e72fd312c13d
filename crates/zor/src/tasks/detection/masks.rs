//! Sets of cells that are hidden while a row is scored.

use serde::{Deserialize, Serialize};
use zor_core::Random;

/// Random stream of the masks. They do not depend on the seed, so that seeds can be compared.
const MASK_STREAM: u64 = 0x6d61_736b_7321;

/// Sets of cells that are hidden while a row is scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masks {
    /// Hidden cells of each pass, in increasing order.
    pub(crate) hidden: Vec<Vec<usize>>,
}

impl Masks {
    /// Masks for rows of `n_cells` cells. Every `groups` passes hide each cell once.
    pub(crate) fn new(n_cells: usize, passes: usize, groups: usize) -> Self {
        let mut random = Random::stream(0, MASK_STREAM);
        let mut order: Vec<usize> = (0..n_cells).collect();
        let mut hidden = Vec::with_capacity(passes);
        for pass in 0..passes {
            if pass % groups == 0 {
                random.shuffle(&mut order);
            }
            let mut cells: Vec<usize> =
                order.iter().copied().skip(pass % groups).step_by(groups).collect();
            cells.sort_unstable();
            hidden.push(cells);
        }
        Self { hidden }
    }

    /// Number of passes over the network per row.
    pub fn passes(&self) -> usize {
        self.hidden.len()
    }

    /// Number of passes that hide each cell, at least 1.
    pub(super) fn times_hidden(&self, n_cells: usize) -> Vec<f32> {
        let mut times = vec![0.0f32; n_cells];
        self.hidden.iter().flatten().for_each(|&cell| times[cell] += 1.0);
        times.iter().map(|times| times.max(1.0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_of_passes_hides_each_cell_once() {
        for (n_cells, passes, groups) in [(10, 16, 3), (2, 4, 2), (7, 7, 7), (1, 3, 3)] {
            let masks = Masks::new(n_cells, passes, groups);
            assert_eq!(masks.passes(), passes);
            for round in masks.hidden.chunks_exact(groups) {
                let mut cells = round.concat();
                cells.sort_unstable();
                assert_eq!(cells, (0..n_cells).collect::<Vec<_>>(), "{n_cells} {groups}");
            }
            assert!(masks.hidden.iter().all(|cells| cells.is_sorted()));
        }
        let wide = Masks::new(30, 6, 3);
        assert_ne!(wide.hidden[..3], wide.hidden[3..]);
        assert_eq!(wide.times_hidden(30), [2.0; 30]);
        assert_eq!(Masks::new(5, 1, 5).times_hidden(5), [1.0; 5]);
    }
}
