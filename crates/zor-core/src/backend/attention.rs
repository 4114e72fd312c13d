//! Settings of the operations on sequences, and their default bodies in burn's primitives.

use std::sync::Arc;

use burn::backend::tensor::{Device, FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{IndexingUpdateOp, Shape, Slice, TensorData};

use super::primitives::above;
use crate::sequences::{Hypothesis, Sequences};

/// Indices of rows.
pub type Rows = Arc<[u32]>;

/// Settings of spike attention.
#[derive(Clone, Debug)]
pub struct AttentionSettings {
    /// The sequences whose positions are the rows.
    pub sequences: Sequences,
    /// Number of heads.
    pub heads: usize,
    /// A score passes when it is strictly above this.
    pub threshold: f32,
}

impl AttentionSettings {
    /// Number of weights: one for each head and pair of positions.
    pub fn weights(&self) -> usize {
        self.heads * self.sequences.pairs()
    }
}

/// Settings of an output that copies tokens of prefixes.
#[derive(Clone, Debug)]
pub struct CopySettings {
    /// The sequences whose positions are the rows.
    pub sequences: Sequences,
    /// Whether a second head copies the suggestions of positions.
    pub has_suggestions: bool,
}

impl CopySettings {
    /// Number of heads: one for tokens, one for suggestions.
    pub fn heads(&self) -> usize {
        1 + usize::from(self.has_suggestions)
    }

    /// Number of weights: one for each head and pair of a position behind a prefix and one in it.
    pub fn weights(&self) -> usize {
        self.heads() * self.sequences.copies()
    }

    /// Tokens that a head copies from a row of a prefix, with their weights: the token that
    /// follows, or the suggestions of the row.
    pub(super) fn copied(sequences: &Sequences, head: usize, row: usize) -> (&[u32], &[f32]) {
        match (head, sequences.tokens().get(row + 1..row + 2)) {
            (0, Some(next)) => (next, &[1.0]),
            (0, None) => (&[], &[]),
            _ => sequences.suggestions(row),
        }
    }
}

/// Cosine and sine of the angle of a pair of columns at each place.
pub type Turns = Arc<[(f32, f32)]>;

/// Settings of a rotation of pairs of columns by the place of a row in its sequence.
#[derive(Clone, Debug)]
pub struct RotationSettings {
    /// The sequences whose positions are the rows.
    pub sequences: Sequences,
    /// Number of leading columns that are rotated, a multiple of `size`.
    pub columns: usize,
    /// Columns of a head; pair `i` of each head turns with its own speed.
    pub size: usize,
    /// Cosine and sine of pair `i` at place `p`, at index `p * size / 2 + i`.
    pub turns: Turns,
    /// True to rotate back.
    pub is_inverse: bool,
}

impl RotationSettings {
    /// Angle `p / base^(2 i / size)` of each pair of columns (Su et al. 2021, section 3.2.2), for
    /// places below `longest`.
    pub fn turns(size: usize, base: f32, longest: usize) -> Turns {
        let pairs = size / 2;
        let speed = |pair: usize| f64::from(base).powf(-2.0 * pair as f64 / size as f64);
        let turn = |index: usize| {
            let (sine, cosine) = ((index / pairs) as f64 * speed(index % pairs)).sin_cos();
            (cosine as f32, sine as f32)
        };
        (0..longest * pairs).map(turn).collect()
    }
}

/// Weights of pairs: `q k^T / sqrt(size)` where that is above the threshold, else 0.
fn passing<B: Backend>(
    queries: FloatTensor<B>,
    keys: FloatTensor<B>,
    size: usize,
    threshold: f32,
) -> FloatTensor<B> {
    let scores = B::float_matmul(queries, B::float_transpose(keys));
    let scores = B::float_mul_scalar(scores, (1.0 / (size as f32).sqrt()).into());
    B::float_mul(scores.clone(), above::<B>(scores, threshold))
}

/// Rows of a matrix that are kept from row `first` on, from column `from` on.
pub(super) fn keep_rows<B: Backend>(
    kept: FloatTensor<B>,
    rows: FloatTensor<B>,
    first: usize,
    from: usize,
) -> FloatTensor<B> {
    let [n, columns] = [rows.shape()[0], rows.shape()[1]];
    let part = B::float_slice(rows, &[Slice::from(0..n), Slice::from(from..columns)]);
    let place = [Slice::from(first..first + n), Slice::from(0..columns - from)];
    B::float_slice_assign(kept, &place, part)
}

/// Rows of a matrix that a hypothesis sees: those of its prefix, then its own.
fn seen_rows<B: Backend>(
    kept: &FloatTensor<B>,
    prefix: std::ops::Range<usize>,
    own: &[u32],
) -> FloatTensor<B> {
    let before = (!prefix.is_empty()).then(|| rows::<B>(kept, prefix));
    let own = own.iter().map(|row| rows::<B>(kept, *row as usize..*row as usize + 1));
    B::float_cat(before.into_iter().chain(own).collect(), 0)
}

pub(super) fn attend_kept<B: Backend>(
    input: FloatTensor<B>,
    kept: FloatTensor<B>,
    settings: &AttentionSettings,
) -> FloatTensor<B> {
    let heads = settings.heads;
    let size = input.shape()[1] / 3 / heads;
    let Some(step) = settings.sequences.step() else { return input };
    let one = |(row, hypothesis): (usize, &Hypothesis)| {
        let seen = seen_rows::<B>(&kept, step.prefix(row), &hypothesis.rows);
        let queries = by_head::<B>(&rows::<B>(&input, row..row + 1), 0, [heads, size]);
        let [keys, values] = [0, 1].map(|part| by_head::<B>(&seen, part, [heads, size]));
        let weights = passing::<B>(queries, keys, size, settings.threshold);
        by_row::<B>(B::float_matmul(weights, values))
    };
    B::float_cat(step.hypotheses.iter().enumerate().map(one).collect(), 0)
}

/// Tokens that rows of a prefix copy, as a matrix `[rows, tokens]`.
fn copied<B: Backend>(
    sequences: &Sequences,
    head: usize,
    range: std::ops::Range<usize>,
    vocabulary: usize,
    device: &Device<B>,
) -> FloatTensor<B> {
    let shape = [range.len(), vocabulary];
    let mut values = vec![0f32; shape[0] * shape[1]];
    for (to, row) in values.chunks_exact_mut(vocabulary).zip(range) {
        let (tokens, weights) = CopySettings::copied(sequences, head, row);
        tokens.iter().zip(weights).for_each(|(token, weight)| to[*token as usize] += weight);
    }
    B::float_from_data(TensorData::new(values, shape), device)
}

/// Columns of a head in `[queries, keys]` of rows.
fn of_head<B: Backend>(
    tensor: &FloatTensor<B>,
    range: std::ops::Range<usize>,
    column: usize,
    size: usize,
) -> FloatTensor<B> {
    B::float_slice(tensor.clone(), &[Slice::from(range), Slice::from(column..column + size)])
}

/// Rows of a prefix and rows behind it, in the batch and among all rows behind.
fn parts_of(sequences: &Sequences, sequence: usize) -> [std::ops::Range<usize>; 3] {
    let range = sequences.rows(sequence);
    let middle = range.start + sequences.prefix(sequence);
    let first = sequences.behind_before(sequence);
    [range.start..middle, middle..range.end, first..first + range.end - middle]
}

pub(super) fn add_copies<B: Backend>(
    output: FloatTensor<B>,
    projected: FloatTensor<B>,
    settings: &CopySettings,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (sequences, heads) = (&settings.sequences, settings.heads());
    let (vocabulary, device) = (output.shape()[1], output.device());
    let size = projected.shape()[1] / 2 / heads;
    let (mut outputs, mut kept) = (Vec::new(), Vec::new());
    for sequence in 0..sequences.len() {
        let [prefix, behind, outputs_of] = parts_of(sequences, sequence);
        let mut own = rows::<B>(&output, outputs_of.clone());
        if behind.is_empty() {
            continue;
        }
        for head in 0..if prefix.is_empty() { 0 } else { heads } {
            let queries = of_head::<B>(&projected, behind.clone(), head * size, size);
            let keys = of_head::<B>(&projected, prefix.clone(), (heads + head) * size, size);
            let weights = passing::<B>(queries, keys, size, 0.0);
            let tokens = copied::<B>(sequences, head, prefix.clone(), vocabulary, &device);
            own = B::float_add(own, B::float_matmul(weights.clone(), tokens));
            kept.push(B::float_reshape(weights, Shape::from([1, behind.len() * prefix.len()])));
        }
        outputs.push(own);
    }
    let kept = match kept.is_empty() {
        true => B::float_from_data(TensorData::new(Vec::<f32>::new(), [1, 0]), &device),
        false => B::float_cat(kept, 1),
    };
    (B::float_cat(outputs, 0), kept)
}

pub(super) fn add_copies_kept<B: Backend>(
    output: FloatTensor<B>,
    projected: FloatTensor<B>,
    kept: FloatTensor<B>,
    settings: &CopySettings,
) -> FloatTensor<B> {
    let (sequences, heads) = (&settings.sequences, settings.heads());
    let (vocabulary, device) = (output.shape()[1], output.device());
    let size = projected.shape()[1] / 2 / heads;
    let Some(step) = sequences.step() else { return output };
    let one = |row: usize| {
        let mut own = rows::<B>(&output, row..row + 1);
        let prefix = step.prefix(row);
        for head in 0..if prefix.is_empty() { 0 } else { heads } {
            let queries = of_head::<B>(&projected, row..row + 1, head * size, size);
            let keys = of_head::<B>(&kept, prefix.clone(), head * size, size);
            let weights = passing::<B>(queries, keys, size, 0.0);
            let tokens = copied::<B>(&step.beginning, head, prefix.clone(), vocabulary, &device);
            own = B::float_add(own, B::float_matmul(weights, tokens));
        }
        own
    };
    B::float_cat((0..step.hypotheses.len()).map(one).collect(), 0)
}

pub(super) fn copies_signal<B: Backend>(
    signal: FloatTensor<B>,
    projected: FloatTensor<B>,
    weights: FloatTensor<B>,
    settings: &CopySettings,
) -> FloatTensor<B> {
    let (sequences, heads) = (&settings.sequences, settings.heads());
    let (vocabulary, device) = (signal.shape()[1], signal.device());
    let columns = projected.shape()[1];
    let size = columns / 2 / heads;
    let scale = 1.0 / (size as f32).sqrt();
    let zeros = |n: usize, columns: usize| {
        B::float_from_data(TensorData::new(vec![0f32; n * columns], [n, columns]), &device)
    };
    let mut first = 0;
    let mut signals = Vec::new();
    for sequence in 0..sequences.len() {
        let [prefix, behind, outputs_of] = parts_of(sequences, sequence);
        if prefix.is_empty() || behind.is_empty() {
            signals.push(zeros(prefix.len() + behind.len(), columns));
            continue;
        }
        let above_ = rows::<B>(&signal, outputs_of);
        let (mut of_queries, mut of_keys) = (Vec::new(), Vec::new());
        for head in 0..heads {
            let last = first + behind.len() * prefix.len();
            let own =
                B::float_slice(weights.clone(), &[Slice::from(0..1), Slice::from(first..last)]);
            first = last;
            let own = B::float_reshape(own, Shape::from([behind.len(), prefix.len()]));
            let fired = above::<B>(B::float_abs(own), 0.0);
            let tokens = copied::<B>(sequences, head, prefix.clone(), vocabulary, &device);
            let of_scores = B::float_matmul(above_.clone(), B::float_transpose(tokens));
            let of_scores = B::float_mul_scalar(B::float_mul(of_scores, fired), scale.into());
            let queries = of_head::<B>(&projected, behind.clone(), head * size, size);
            let keys = of_head::<B>(&projected, prefix.clone(), (heads + head) * size, size);
            of_queries.push(B::float_matmul(of_scores.clone(), keys));
            of_keys.push(B::float_matmul(B::float_transpose(of_scores), queries));
        }
        let half = columns / 2;
        of_keys.insert(0, zeros(prefix.len(), half));
        of_queries.push(zeros(behind.len(), half));
        signals.extend([B::float_cat(of_keys, 1), B::float_cat(of_queries, 1)]);
    }
    B::float_cat(signals, 0)
}

/// Rows of a matrix.
fn rows<B: Backend>(tensor: &FloatTensor<B>, range: std::ops::Range<usize>) -> FloatTensor<B> {
    let columns = tensor.shape()[1];
    B::float_slice(tensor.clone(), &[Slice::from(range), Slice::from(0..columns)])
}

/// Columns `[part * width, (part + 1) * width)` of a matrix as `[heads, rows, size]`.
fn by_head<B: Backend>(
    tensor: &FloatTensor<B>,
    part: usize,
    [heads, size]: [usize; 2],
) -> FloatTensor<B> {
    let (length, width) = (tensor.shape()[0], heads * size);
    let columns = Slice::from(part * width..(part + 1) * width);
    let part = B::float_slice(tensor.clone(), &[Slice::from(0..length), columns]);
    B::float_permute(B::float_reshape(part, Shape::from([length, heads, size])), &[1, 0, 2])
}

/// `[heads, rows, size]` as a matrix `[rows, heads * size]`.
fn by_row<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let [heads, length, size] = [tensor.shape()[0], tensor.shape()[1], tensor.shape()[2]];
    let tensor = B::float_permute(tensor, &[1, 0, 2]);
    B::float_reshape(tensor, Shape::from([length, heads * size]))
}

/// 1 where a position sees another one, `[1, length, length]`.
fn mask<B: Backend>(sequences: &Sequences, sequence: usize, device: &Device<B>) -> FloatTensor<B> {
    let length = sequences.rows(sequence).len();
    let seen = |index: usize| index % length < sequences.visible(sequence, index / length);
    let values = (0..length * length).map(|index| f32::from(u8::from(seen(index))));
    let data = TensorData::new(values.collect::<Vec<f32>>(), [1, length, length]);
    B::float_from_data(data, device)
}

pub(super) fn attend<B: Backend>(
    input: FloatTensor<B>,
    settings: &AttentionSettings,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let heads = settings.heads;
    let size = input.shape()[1] / 3 / heads;
    let device = input.device();
    let (mut outputs, mut kept) = (Vec::new(), Vec::new());
    for sequence in 0..settings.sequences.len() {
        let range = settings.sequences.rows(sequence);
        let length = range.len();
        let part = rows::<B>(&input, range);
        let [queries, keys, values] =
            [0, 1, 2].map(|part_| by_head::<B>(&part, part_, [heads, size]));
        let weights = passing::<B>(queries, keys, size, settings.threshold);
        let seen = mask::<B>(&settings.sequences, sequence, &device);
        let weights = B::float_mul(weights, seen);
        outputs.push(by_row::<B>(B::float_matmul(weights.clone(), values)));
        kept.push(B::float_reshape(weights, Shape::from([1, heads * length * length])));
    }
    (B::float_cat(outputs, 0), B::float_cat(kept, 1))
}

pub(super) fn attend_signal<B: Backend>(
    signal: FloatTensor<B>,
    input: FloatTensor<B>,
    weights: FloatTensor<B>,
    settings: &AttentionSettings,
) -> FloatTensor<B> {
    let heads = settings.heads;
    let size = input.shape()[1] / 3 / heads;
    let scale = 1.0 / (size as f32).sqrt();
    let mut first = 0;
    let mut signals = Vec::new();
    for sequence in 0..settings.sequences.len() {
        let range = settings.sequences.rows(sequence);
        let length = range.len();
        let part = rows::<B>(&input, range.clone());
        let [queries, keys, values] =
            [0, 1, 2].map(|part_| by_head::<B>(&part, part_, [heads, size]));
        let above_ = by_head::<B>(&rows::<B>(&signal, range), 0, [heads, size]);
        let last = first + heads * length * length;
        let own = B::float_slice(weights.clone(), &[Slice::from(0..1), Slice::from(first..last)]);
        first = last;
        let own = B::float_reshape(own, Shape::from([heads, length, length]));
        // A weight is not zero where its score has passed.
        let fired = above::<B>(B::float_abs(own.clone()), 0.0);
        let of_values = B::float_matmul(B::float_transpose(own), above_.clone());
        let of_scores = B::float_matmul(above_, B::float_transpose(values));
        let of_scores = B::float_mul_scalar(B::float_mul(of_scores, fired), scale.into());
        let of_queries = B::float_matmul(of_scores.clone(), keys);
        let of_keys = B::float_matmul(B::float_transpose(of_scores), queries);
        let parts = [of_queries, of_keys, of_values].map(|part| by_row::<B>(part));
        signals.push(B::float_cat(parts.into(), 1));
    }
    B::float_cat(signals, 0)
}

pub(super) fn rotate<B: Backend>(
    tensor: FloatTensor<B>,
    settings: &RotationSettings,
) -> FloatTensor<B> {
    let [length, columns] = [tensor.shape()[0], tensor.shape()[1]];
    let RotationSettings { sequences, columns: turned, size, turns, is_inverse } = settings;
    let (pairs, heads) = (size / 2, turned / size);
    let places = (0..sequences.len()).flat_map(|sequence| {
        (0..sequences.rows(sequence).len()).map(move |at| sequences.place(sequence, at))
    });
    let (mut cosines, mut sines) = (Vec::new(), Vec::new());
    for place in places {
        for (cosine, sine) in &turns[place * pairs..(place + 1) * pairs] {
            cosines.push(*cosine);
            sines.push(if *is_inverse { -sine } else { *sine });
        }
    }
    let device = tensor.device();
    let [cosines, sines] = [cosines, sines].map(|values| {
        let data = TensorData::new(values, [length, 1, pairs, 1]);
        B::float_from_data(data, &device)
    });
    let all = Slice::from(0..length);
    let part = B::float_slice(tensor.clone(), &[all, Slice::from(0..*turned)]);
    let part = B::float_reshape(part, Shape::from([length, heads, pairs, 2]));
    let side = |index: usize| {
        let sizes = [0..length, 0..heads, 0..pairs, index..index + 1].map(Slice::from);
        B::float_slice(part.clone(), &sizes)
    };
    let (even, odd) = (side(0), side(1));
    let times = |a: &FloatTensor<B>, b: &FloatTensor<B>| B::float_mul(a.clone(), b.clone());
    let sides = vec![
        B::float_sub(times(&even, &cosines), times(&odd, &sines)),
        B::float_add(times(&even, &sines), times(&odd, &cosines)),
    ];
    let part = B::float_reshape(B::float_cat(sides, 3), Shape::from([length, *turned]));
    if *turned == columns {
        return part;
    }
    let rest = B::float_slice(tensor, &[all, Slice::from(*turned..columns)]);
    B::float_cat(vec![part, rest], 1)
}

pub(super) fn rms_normalize<B: Backend>(
    input: FloatTensor<B>,
    scale: FloatTensor<B>,
    epsilon: f32,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let columns = input.shape()[1] as f32;
    let squares = B::float_sum_dim(B::float_mul(input.clone(), input.clone()), 1);
    let mean = B::float_mul_scalar(squares, (1.0 / columns).into());
    let roots = B::float_sqrt(B::float_add_scalar(mean, epsilon.into()));
    let output = B::float_mul(B::float_div(input, roots.clone()), scale);
    (output, roots)
}

pub(super) fn rms_normalize_signal<B: Backend>(
    signal: FloatTensor<B>,
    input: FloatTensor<B>,
    roots: FloatTensor<B>,
    scale: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let columns = input.shape()[1] as f32;
    let normalized = B::float_div(input, roots.clone());
    let of_scale = B::float_sum_dim(B::float_mul(signal.clone(), normalized.clone()), 0);
    let scaled = B::float_mul(signal, scale);
    let along = B::float_sum_dim(B::float_mul(scaled.clone(), normalized.clone()), 1);
    let along = B::float_mul_scalar(along, (1.0 / columns).into());
    let below = B::float_div(B::float_sub(scaled, B::float_mul(normalized, along)), roots);
    (below, of_scale)
}

/// Rows as integers of the backend.
fn indices<B: Backend>(rows: &Rows, device: &Device<B>) -> IntTensor<B> {
    let values: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
    let shape = [values.len()];
    B::int_from_data(TensorData::new(values, shape), device)
}

pub(super) fn add_rows_of<B: Backend>(
    to: FloatTensor<B>,
    matrix: FloatTensor<B>,
    rows: &Rows,
    factor: f32,
) -> FloatTensor<B> {
    let indices = indices::<B>(rows, &matrix.device());
    let selected = B::float_select(matrix, 0, indices);
    B::float_add(to, B::float_mul_scalar(selected, factor.into()))
}

pub(super) fn add_to_rows<B: Backend>(
    matrix: FloatTensor<B>,
    values: FloatTensor<B>,
    rows: &Rows,
    factor: f32,
) -> FloatTensor<B> {
    let indices = indices::<B>(rows, &matrix.device());
    let values = B::float_mul_scalar(values, factor.into());
    B::float_select_assign(matrix, 0, indices, values, IndexingUpdateOp::Add)
}
