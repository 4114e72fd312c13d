//! One step of Adam in one pass over memory, from a correlation or from its two factors. With
//! factors the correlation is computed in blocks and never stored as a whole.

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::few_rows;
use super::memory::{check_same, readable, size, values, values_mut};
use super::passes::{CHUNK, PARALLEL_FROM, simd};
use super::product::correlation_rows;
use super::scratch::with_scratch;
use crate::backend::AdamStep;

/// A weight and its two moments.
type State = [FlexTensor; 3];

/// Elements of a correlation that are computed at once: for small batches as many as fit into the
/// L1 cache, else enough to amortise the packing of a matrix product.
const BLOCK: [usize; 2] = [1 << 11, 1 << 18];

pub(super) fn step(mut state: State, correlation: FlexTensor, step: AdamStep) -> State {
    let correlation = readable(correlation);
    state = state.map(readable);
    check_same(&state[0], &correlation);
    let correlation = values(&correlation);
    in_blocks(state, CHUNK, |from, [w, m, v]| {
        move_along(&correlation[from..from + w.len()], [w, m, v], step);
    })
}

pub(super) fn step_in_factors(
    mut state: State,
    presynaptic: FlexTensor,
    signal: FlexTensor,
    step: AdamStep,
) -> State {
    let (presynaptic, signal) = (readable(presynaptic), readable(signal));
    state = state.map(readable);
    let ([batch, rows], [also_batch, columns]) = (size(&presynaptic), size(&signal));
    assert!(batch == also_batch && size(&state[0]) == [rows, columns], "factors of another shape");
    let (presynaptic, signal) = (values(&presynaptic), values(&signal));
    let block = BLOCK[usize::from(batch > few_rows::MAX_ROWS)];
    // Whole rows, in multiples of the rows that fit into registers.
    let block = (block / columns).next_multiple_of(few_rows::BLOCK_ROWS).max(few_rows::BLOCK_ROWS)
        * columns;
    in_blocks(state, block, |from, [w, m, v]| {
        with_scratch(w.len(), |correlation| {
            correlation_rows(presynaptic, signal, batch, from / columns, correlation);
            move_along(correlation, [w, m, v], step);
        });
    })
}

/// Visits blocks of weight and moments, each with the offset of its first element.
fn in_blocks(
    mut state: State,
    block: usize,
    visit: impl Fn(usize, [&mut [f32]; 3]) + Sync,
) -> State {
    check_same(&state[0], &state[1]);
    check_same(&state[0], &state[2]);
    {
        let [w, m, v] = state.each_mut().map(values_mut);
        if w.len() < PARALLEL_FROM {
            let blocks = w.chunks_mut(block).zip(m.chunks_mut(block)).zip(v.chunks_mut(block));
            blocks.enumerate().for_each(|(i, ((w, m), v))| visit(i * block, [w, m, v]));
        } else {
            w.par_chunks_mut(block)
                .zip(m.par_chunks_mut(block))
                .zip(v.par_chunks_mut(block))
                .enumerate()
                .for_each(|(i, ((w, m), v))| visit(i * block, [w, m, v]));
        }
    }
    state
}

fn move_along(correlation: &[f32], [w, m, v]: [&mut [f32]; 3], step: AdamStep) {
    // The settings as plain numbers, so that the loop is vectorised.
    let AdamStep { rate, beta_1, beta_2, correction_2, epsilon, decay, limit } = step;
    let (rest_1, rest_2) = (1.0 - beta_1, 1.0 - beta_2);
    simd(
        #[inline(always)]
        move || {
            for (((w, c), m), v) in w.iter_mut().zip(correlation).zip(m).zip(v) {
                *m = beta_1 * *m + rest_1 * c;
                *v = beta_2 * *v + rest_2 * c * c;
                let direction = *m / ((*v * correction_2).sqrt() + epsilon);
                *w = (decay * *w + rate * direction).clamp(-limit, limit);
            }
        },
    );
}
