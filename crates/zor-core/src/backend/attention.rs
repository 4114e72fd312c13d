//! Settings of the operations on sequences, and their default bodies in burn's primitives.

use std::sync::Arc;

use burn::backend::tensor::{Device, FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{IndexingUpdateOp, Shape, Slice, TensorData};

use super::primitives::above;
use crate::sequences::Sequences;

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
    pub turns: Arc<[(f32, f32)]>,
    /// True to rotate back.
    pub is_inverse: bool,
}

impl RotationSettings {
    /// Angle `p / base^(2 i / size)` of each pair of columns (Su et al. 2021, section 3.2.2), for
    /// places below `longest`.
    pub fn turns(size: usize, base: f32, longest: usize) -> Arc<[(f32, f32)]> {
        let pairs = size / 2;
        let speed = |pair: usize| f64::from(base).powf(-2.0 * pair as f64 / size as f64);
        let turn = |index: usize| {
            let (sine, cosine) = ((index / pairs) as f64 * speed(index % pairs)).sin_cos();
            (cosine as f32, sine as f32)
        };
        (0..longest * pairs).map(turn).collect()
    }
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
    let scale = 1.0 / (size as f32).sqrt();
    let (mut outputs, mut kept) = (Vec::new(), Vec::new());
    for sequence in 0..settings.sequences.len() {
        let range = settings.sequences.rows(sequence);
        let length = range.len();
        let part = rows::<B>(&input, range);
        let [queries, keys, values] =
            [0, 1, 2].map(|part_| by_head::<B>(&part, part_, [heads, size]));
        let scores = B::float_matmul(queries, B::float_transpose(keys));
        let scores = B::float_mul_scalar(scores, scale.into());
        let passed = above::<B>(scores.clone(), settings.threshold);
        let seen = mask::<B>(&settings.sequences, sequence, &device);
        let weights = B::float_mul(B::float_mul(scores, passed), seen);
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
