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
