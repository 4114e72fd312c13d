//! An output that copies tokens of prefixes.

use burn_flex::FlexTensor;
use gemm::Parallelism;
use rayon::prelude::*;

use super::memory::{Grid, readable, reuse, size, values, values_mut};
use super::passes::PARALLEL_FROM;
use super::product::{Operand, multiply};
use super::scratch::with_scratch;
use crate::backend::CopySettings;

/// Columns of the queries and keys of a head.
pub(super) struct Columns {
    pub heads: usize,
    pub size: usize,
}

impl Columns {
    pub(super) fn of(projected: &FlexTensor, settings: &CopySettings) -> Self {
        let [rows, columns] = size(projected);
        let heads = settings.heads();
        assert_eq!(rows, settings.sequences.tokens().len(), "rows are not the positions");
        assert_eq!(columns % (2 * heads), 0, "columns are not queries and keys of heads");
        Self { heads, size: columns / 2 / heads }
    }

    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }

    /// Number of columns of the queries, or of the keys.
    pub(super) fn half(&self) -> usize {
        self.heads * self.size
    }
}

/// Rows and weights of a sequence.
struct Part {
    /// First row of the prefix, first row behind it, and first output.
    rows: [usize; 3],
    /// Positions behind the prefix, and in it.
    sizes: [usize; 2],
    /// First weight.
    weight: usize,
}

/// Calls the task for every sequence, in parallel if there is much to do.
fn for_each_part(settings: &CopySettings, columns: &Columns, task: impl Fn(Part) + Sync) {
    let sequences = &settings.sequences;
    let task = |index: usize| {
        let (range, prefix) = (sequences.rows(index), sequences.prefix(index));
        let rows = [range.start, range.start + prefix, sequences.behind_before(index)];
        let sizes = [range.len() - prefix, prefix];
        task(Part { rows, sizes, weight: columns.heads * sequences.copies_before(index) });
    };
    if settings.weights() * columns.size < PARALLEL_FROM {
        (0..sequences.len()).for_each(task);
    } else {
        (0..sequences.len()).into_par_iter().for_each(task);
    }
}

pub(super) fn add_copies(
    output: FlexTensor,
    projected: FlexTensor,
    weights: FlexTensor,
    settings: &CopySettings,
) -> (FlexTensor, FlexTensor) {
    let (mut output, projected) = (readable(output), readable(projected));
    let columns = Columns::of(&projected, settings);
    let vocabulary = size(&output)[1];
    let width = 2 * columns.half();
    let mut weights = reuse(weights, [1, settings.weights()]);
    let x = values(&projected);
    let out = Grid::new(values_mut(&mut output), vocabulary);
    let kept = Grid::new(values_mut(&mut weights), 1);
    let scale = columns.scale();
    for_each_part(settings, &columns, |Part { rows, sizes: [behind, prefix], weight }| {
        for head in 0..if behind * prefix == 0 { 0 } else { columns.heads } {
            // SAFETY: the weights of sequences and heads do not overlap.
            let scores = unsafe { kept.row(weight + head * behind * prefix, 0, behind * prefix) };
            let queries = Operand(&x[rows[1] * width + head * columns.size..], (width, 1));
            let keys = columns.half() + head * columns.size;
            let keys = Operand(&x[rows[0] * width + keys..], (1, width));
            let sizes = [behind, columns.size, prefix];
            // SAFETY: the operands hold a head's columns of the rows; `scores` is exclusive.
            unsafe {
                multiply(queries, keys, sizes, scores.as_mut_ptr(), prefix, Parallelism::None);
            }
            for (row, scores) in scores.chunks_exact_mut(prefix).enumerate() {
                // SAFETY: the outputs of sequences do not overlap.
                let output = unsafe { out.row(rows[2] + row, 0, vocabulary) };
                for (position, score) in scores.iter_mut().enumerate() {
                    *score = if *score > 0.0 { *score * scale } else { 0.0 };
                    if *score == 0.0 {
                        continue;
                    }
                    let row = rows[0] + position;
                    let (tokens, parts) = CopySettings::copied(&settings.sequences, head, row);
                    for (token, part) in tokens.iter().zip(parts) {
                        output[*token as usize] += *score * part;
                    }
                }
            }
        }
    });
    (output, weights)
}

pub(super) fn copies_signal(
    signal: FlexTensor,
    projected: FlexTensor,
    weights: FlexTensor,
    buffer: FlexTensor,
    settings: &CopySettings,
) -> FlexTensor {
    let (signal, projected) = (readable(signal), readable(projected));
    let weights = readable(weights);
    let columns = Columns::of(&projected, settings);
    let vocabulary = size(&signal)[1];
    let width = 2 * columns.half();
    let mut below = reuse(buffer, size(&projected));
    let (x, s, kept) = (values(&projected), values(&signal), values(&weights));
    let out = Grid::new(values_mut(&mut below), width);
    let scale = columns.scale();
    for_each_part(settings, &columns, |Part { rows, sizes: [behind, prefix], weight }| {
        for row in rows[0]..rows[0] + prefix + behind {
            // SAFETY: rows of sequences do not overlap.
            unsafe { out.row(row, 0, width) }.fill(0.0);
        }
        with_scratch(behind * prefix, |of_scores| {
            for head in 0..if behind * prefix == 0 { 0 } else { columns.heads } {
                let first = weight + head * behind * prefix;
                let weights = &kept[first..first + behind * prefix];
                for (index, (of_score, weight)) in of_scores.iter_mut().zip(weights).enumerate() {
                    *of_score = 0.0;
                    // A weight is not zero where its score has passed.
                    if *weight == 0.0 {
                        continue;
                    }
                    let signal = &s[(rows[2] + index / prefix) * vocabulary..][..vocabulary];
                    let row = rows[0] + index % prefix;
                    let (tokens, parts) = CopySettings::copied(&settings.sequences, head, row);
                    for (token, part) in tokens.iter().zip(parts) {
                        *of_score += signal[*token as usize] * part * scale;
                    }
                }
                let column = head * columns.size;
                let queries = Operand(&x[rows[1] * width + column..], (width, 1));
                let key_column = columns.half() + column;
                let keys = Operand(&x[rows[0] * width + key_column..], (width, 1));
                // SAFETY: rows of sequences and columns of heads do not overlap; the operands hold
                // a head's columns of the rows.
                unsafe {
                    let place = out.row(rows[1], column, columns.size).as_mut_ptr();
                    let sizes = [behind, prefix, columns.size];
                    let by_query = Operand(of_scores, (prefix, 1));
                    multiply(by_query, keys, sizes, place, width, Parallelism::None);
                    let place = out.row(rows[0], key_column, columns.size).as_mut_ptr();
                    let sizes = [prefix, behind, columns.size];
                    let by_key = Operand(of_scores, (1, prefix));
                    multiply(by_key, queries, sizes, place, width, Parallelism::None);
                }
            }
        });
    });
    below
}
