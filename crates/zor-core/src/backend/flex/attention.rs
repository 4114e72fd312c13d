//! Spike attention, rotations by position, and normalisation of positions.

use burn_flex::FlexTensor;
use gemm::Parallelism;
use rayon::prelude::*;

use super::columns::{for_each_row, sum_rows};
use super::lanes::{dot, scaled_dot};
use super::memory::{Grid, check_same, readable, reuse, size, values, values_mut};
use super::passes::{PARALLEL_FROM, simd};
use super::product::{Operand, multiply};
use super::scratch::with_scratch;
use crate::backend::attention::{AttentionSettings, RotationSettings, Rows};
use crate::sequences::Sequences;

/// Columns of the queries, keys and values of a head.
struct Heads {
    heads: usize,
    size: usize,
}

impl Heads {
    fn of(input: &FlexTensor, settings: &AttentionSettings) -> Self {
        let [rows, columns] = size(input);
        let heads = settings.heads;
        assert_eq!(rows, settings.sequences.tokens().len(), "rows are not the positions");
        assert_eq!(columns % (3 * heads), 0, "columns are not queries, keys and values of heads");
        Self { heads, size: columns / 3 / heads }
    }

    fn width(&self) -> usize {
        self.heads * self.size
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }

    /// First column of a head's queries (0), keys (1) or values (2).
    fn column(&self, part: usize, head: usize) -> usize {
        part * self.width() + head * self.size
    }
}

/// Calls the task for every sequence with the index of its first weight, in parallel if there is
/// much to do.
fn for_each_sequence(sequences: &Sequences, heads: &Heads, task: impl Fn(usize, usize) + Sync) {
    // Weights of sequences follow one another.
    let task = |sequence| task(sequence, heads.heads * sequences.pairs_before(sequence));
    if sequences.pairs() * heads.width() < PARALLEL_FROM {
        (0..sequences.len()).for_each(task);
    } else {
        (0..sequences.len()).into_par_iter().for_each(task);
    }
}

pub(super) fn attend(
    input: FlexTensor,
    buffer: FlexTensor,
    weights: FlexTensor,
    settings: &AttentionSettings,
) -> (FlexTensor, FlexTensor) {
    let input = readable(input);
    let heads = Heads::of(&input, settings);
    let [rows, columns] = size(&input);
    let width = heads.width();
    let mut output = reuse(buffer, [rows, width]);
    let mut weights = reuse(weights, [1, settings.weights()]);
    let x = values(&input);
    let out = Grid::new(values_mut(&mut output), width);
    let kept = Grid::new(values_mut(&mut weights), 1);
    let (scale, threshold) = (heads.scale(), settings.threshold);
    for_each_sequence(&settings.sequences, &heads, |sequence, first| {
        let range = settings.sequences.rows(sequence);
        let length = range.len();
        let at = |part, head| {
            let start = range.start * columns + heads.column(part, head);
            Operand(&x[start..], (columns, 1))
        };
        for head in 0..heads.heads {
            let from = first + head * length * length;
            // SAFETY: the weights of sequences and heads do not overlap.
            let scores = unsafe { kept.row(from, 0, length * length) };
            let Operand(keys, strides) = at(1, head);
            let keys = Operand(keys, (strides.1, strides.0));
            let sizes = [length, heads.size, length];
            // SAFETY: the operands hold a head's columns of the rows; `scores` is exclusive.
            unsafe {
                multiply(at(0, head), keys, sizes, scores.as_mut_ptr(), length, Parallelism::None);
            }
            simd(
                #[inline(always)]
                || {
                    for (position, row) in scores.chunks_exact_mut(length).enumerate() {
                        let visible = settings.sequences.visible(sequence, position);
                        let (seen, unseen) = row.split_at_mut(visible);
                        for score in seen {
                            let scaled = *score * scale;
                            *score = if scaled > threshold { scaled } else { 0.0 };
                        }
                        unseen.fill(0.0);
                    }
                },
            );
            let sizes = [length, length, heads.size];
            let scores = Operand(scores, (length, 1));
            // SAFETY: rows of sequences and columns of heads do not overlap.
            unsafe {
                let rows = out.row(range.start, head * heads.size, heads.size).as_mut_ptr();
                multiply(scores, at(2, head), sizes, rows, width, Parallelism::None);
            }
        }
    });
    (output, weights)
}

pub(super) fn attend_signal(
    signal: FlexTensor,
    input: FlexTensor,
    weights: FlexTensor,
    buffer: FlexTensor,
    settings: &AttentionSettings,
) -> FlexTensor {
    let (signal, input, weights) = (readable(signal), readable(input), readable(weights));
    let heads = Heads::of(&input, settings);
    let [rows, columns] = size(&input);
    let width = heads.width();
    let mut below = reuse(buffer, [rows, columns]);
    let (x, s, kept) = (values(&input), values(&signal), values(&weights));
    let out = Grid::new(values_mut(&mut below), columns);
    let scale = heads.scale();
    for_each_sequence(&settings.sequences, &heads, |sequence, first| {
        let range = settings.sequences.rows(sequence);
        let length = range.len();
        let at = |part, head| {
            let start = range.start * columns + heads.column(part, head);
            Operand(&x[start..], (columns, 1))
        };
        with_scratch(length * length, |of_scores| {
            for head in 0..heads.heads {
                let from = first + head * length * length;
                let weights = &kept[from..from + length * length];
                let above = Operand(&s[range.start * width + head * heads.size..], (width, 1));
                // SAFETY: rows of sequences and columns of heads do not overlap.
                let place = |part: usize| unsafe {
                    out.row(range.start, heads.column(part, head), heads.size).as_mut_ptr()
                };
                let by_rows = [length, length, heads.size];
                let Operand(head_values, strides) = at(2, head);
                let head_values = Operand(head_values, (strides.1, strides.0));
                // SAFETY: the operands hold the columns of a head in the rows of a sequence;
                // results are exclusive.
                unsafe {
                    let transposed = Operand(weights, (1, length));
                    multiply(transposed, above, by_rows, place(2), columns, Parallelism::None);
                    let sizes = [length, heads.size, length];
                    let scores = of_scores.as_mut_ptr();
                    multiply(above, head_values, sizes, scores, length, Parallelism::None);
                }
                simd(
                    #[inline(always)]
                    || {
                        for (score, weight) in of_scores.iter_mut().zip(weights) {
                            // A weight is not zero where its score has passed.
                            *score = if *weight != 0.0 { *score * scale } else { 0.0 };
                        }
                    },
                );
                // SAFETY: as above.
                unsafe {
                    let by_query = Operand(of_scores, (length, 1));
                    multiply(by_query, at(1, head), by_rows, place(0), columns, Parallelism::None);
                    let by_key = Operand(of_scores, (1, length));
                    multiply(by_key, at(0, head), by_rows, place(1), columns, Parallelism::None);
                }
            }
        });
    });
    below
}

pub(super) fn rotate(tensor: FlexTensor, settings: &RotationSettings) -> FlexTensor {
    let mut tensor = readable(tensor);
    let columns = size(&tensor)[1];
    let RotationSettings { sequences, columns: turned, size: head, turns, is_inverse } = settings;
    let pairs = head / 2;
    let sign = if *is_inverse { -1.0 } else { 1.0 };
    let grid = Grid::new(values_mut(&mut tensor), columns);
    let task = |sequence: usize| {
        for (position, row) in sequences.rows(sequence).enumerate() {
            // SAFETY: rows of sequences do not overlap.
            let row = unsafe { grid.row(row, 0, *turned) };
            let place = sequences.place(sequence, position);
            let turns = &turns[place * pairs..(place + 1) * pairs];
            for part in row.chunks_exact_mut(*head) {
                for (pair, (cosine, sine)) in part.chunks_exact_mut(2).zip(turns) {
                    let (even, odd) = (pair[0], pair[1]);
                    pair[0] = even * cosine - odd * sine * sign;
                    pair[1] = even * sine * sign + odd * cosine;
                }
            }
        }
    };
    if sequences.tokens().len() * columns < PARALLEL_FROM {
        (0..sequences.len()).for_each(task);
    } else {
        (0..sequences.len()).into_par_iter().for_each(task);
    }
    tensor
}

pub(super) fn add_rows_of(
    to: FlexTensor,
    matrix: FlexTensor,
    rows: &Rows,
    factor: f32,
) -> FlexTensor {
    let (mut to, matrix) = (readable(to), readable(matrix));
    let columns = size(&to)[1];
    assert_eq!(size(&to)[0], rows.len(), "an index is needed for each row");
    let from = values(&matrix);
    for_each_row(values_mut(&mut to), columns, |row, to| {
        let start = rows[row] as usize * columns;
        for (to, from) in to.iter_mut().zip(&from[start..start + columns]) {
            *to += factor * from;
        }
    });
    to
}

pub(super) fn add_to_rows(
    matrix: FlexTensor,
    added: FlexTensor,
    rows: &Rows,
    factor: f32,
) -> FlexTensor {
    let (mut matrix, added) = (readable(matrix), readable(added));
    let columns = size(&matrix)[1];
    assert_eq!(size(&added)[0], rows.len(), "an index is needed for each row");
    let to = values_mut(&mut matrix);
    // In the order of the rows: several may be added to one.
    for (row, from) in rows.iter().zip(values(&added).chunks_exact(columns)) {
        let start = *row as usize * columns;
        for (to, from) in to[start..start + columns].iter_mut().zip(from) {
            *to += factor * from;
        }
    }
    matrix
}

pub(super) fn rms_normalize(
    input: FlexTensor,
    scale: FlexTensor,
    buffer: FlexTensor,
    epsilon: f32,
) -> (FlexTensor, FlexTensor) {
    let [rows, columns] = size(&input);
    let (input, scale) = (readable(input), readable(scale));
    let mut output = reuse(buffer, [rows, columns]);
    let mut roots =
        FlexTensor::zeros(burn::tensor::Shape::from([rows, 1]), burn::backend::DType::F32);
    let (x, scale) = (values(&input), values(&scale));
    let places = Grid::new(values_mut(&mut roots), 1);
    for_each_row(values_mut(&mut output), columns, |row, y| {
        let x = &x[row * columns..(row + 1) * columns];
        let root = (dot(x, x) / columns as f32 + epsilon).sqrt();
        // SAFETY: every row is visited once.
        unsafe { places.row(row, 0, 1)[0] = root };
        for ((y, x), scale) in y.iter_mut().zip(x).zip(scale) {
            *y = x / root * scale;
        }
    });
    (output, roots)
}

pub(super) fn rms_normalize_signal(
    signal: FlexTensor,
    input: FlexTensor,
    roots: FlexTensor,
    scale: FlexTensor,
) -> (FlexTensor, FlexTensor) {
    check_same(&signal, &input);
    let [rows, columns] = size(&input);
    let (mut signal, input) = (readable(signal), readable(input));
    let (roots, scale) = (readable(roots), readable(scale));
    let mut of_scale =
        FlexTensor::zeros(burn::tensor::Shape::from([1, columns]), burn::backend::DType::F32);
    let (x, roots, scale) = (values(&input), values(&roots), values(&scale));
    {
        let s = values(&signal);
        let add = |row: usize, [sums]: [&mut [f32]; 1]| {
            let part = row * columns..(row + 1) * columns;
            let inverse = 1.0 / roots[row];
            for ((sum, x), s) in sums.iter_mut().zip(&x[part.clone()]).zip(&s[part]) {
                *sum += s * x * inverse;
            }
        };
        sum_rows(rows, columns, add, |[sums]| values_mut(&mut of_scale).copy_from_slice(sums));
    }
    for_each_row(values_mut(&mut signal), columns, |row, s| {
        let x = &x[row * columns..(row + 1) * columns];
        let inverse = 1.0 / roots[row];
        let along = scaled_dot(s, scale, x) * inverse * inverse / columns as f32;
        for ((s, x), scale) in s.iter_mut().zip(x).zip(scale) {
            *s = (*s * scale - x * along) * inverse;
        }
    });
    (signal, of_scale)
}
