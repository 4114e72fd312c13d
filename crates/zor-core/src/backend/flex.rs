//! The CPU's versions: in place where a buffer has one owner, one pass over memory where the body in primitives takes
//! several, in parallel from [`PARALLEL_FROM`] elements, and without allocating when the buffers fit.
//!
//! Work is divided by size, never by the number of threads, so that sums do not depend on it.

use burn::backend::{DType, Flex};
use burn::tensor::Shape;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::{AdamStep, ErrorSums, GateSettings, NORM_EPSILON, Transposed, ZorBackend};

/// Elements from which a pass over memory is worth several threads.
const PARALLEL_FROM: usize = 1 << 16;
/// Elements that one task works on.
const CHUNK: usize = 1 << 14;
/// Columns that one task normalises; its norms live on the stack.
const COLUMNS: usize = 64;
/// Multiply-adds from which a matrix product is worth several threads.
const PARALLEL_PRODUCT_FROM: usize = 1 << 20;

impl ZorBackend for Flex {
    fn spike_gate(
        input: FlexTensor,
        charge: FlexTensor,
        buffer: FlexTensor,
        settings: GateSettings,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let shape = size(&input);
        let mut output = writable(input);
        let mut charge = if settings.stateful {
            writable(charge)
        } else {
            reuse(charge, shape)
        };
        let mut spikes = reuse(buffer, shape);
        check_same(&output, &charge);
        let pass = |output: &mut [f32], charge: &mut [f32], spikes: &mut [f32]| {
            simd(|| {
                for ((y, q), s) in output.iter_mut().zip(charge).zip(spikes) {
                    let carried = if settings.stateful && *q >= settings.min_charge {
                        *q
                    } else {
                        0.0
                    };
                    let total = carried + *y;
                    let fired = total > settings.threshold;
                    *s = if fired { 1.0 } else { 0.0 };
                    *y = if fired { total } else { 0.0 };
                    *q = if fired { 0.0 } else { total };
                }
            });
        };
        {
            let (y, q, s) = (
                values_mut(&mut output),
                values_mut(&mut charge),
                values_mut(&mut spikes),
            );
            if y.len() < PARALLEL_FROM {
                pass(y, q, s);
            } else {
                y.par_chunks_mut(CHUNK)
                    .zip(q.par_chunks_mut(CHUNK))
                    .zip(s.par_chunks_mut(CHUNK))
                    .for_each(|((y, q), s)| pass(y, q, s));
            }
        }
        (output, spikes, charge)
    }

    fn unit_normalize(signal: FlexTensor) -> FlexTensor {
        let [rows, columns] = size(&signal);
        let mut signal = writable(signal);
        let all = Grid::new(values_mut(&mut signal), columns);
        for_each_column_block(rows, columns, |from, width| {
            let mut scale = [0f32; COLUMNS];
            // SAFETY: blocks of columns do not overlap, and each is visited by one task.
            let row = |r| unsafe { all.row(r, from, width) };
            simd(|| {
                for r in 0..rows {
                    add_squares(&mut scale[..width], row(r));
                }
                for norm in &mut scale[..width] {
                    *norm = if *norm > 0.0 { 1.0 / norm.sqrt() } else { 1.0 };
                }
                for r in 0..rows {
                    for (s, scale) in row(r).iter_mut().zip(&scale) {
                        *s = (*s * scale).clamp(-1.0, 1.0);
                    }
                }
            });
        });
        signal
    }

    fn gate_signal(signal: FlexTensor, spikes: FlexTensor, buffer: FlexTensor) -> FlexTensor {
        let [rows, columns] = size(&signal);
        let (signal, spikes) = (readable(signal), readable(spikes));
        check_same(&signal, &spikes);
        let mut gated = reuse(buffer, [rows, columns]);
        let all = Grid::new(values_mut(&mut gated), columns);
        let (signals, spikes) = (values(&signal), values(&spikes));
        for_each_column_block(rows, columns, |from, width| {
            let mut scale = [0f32; COLUMNS];
            let part = |r: usize| r * columns + from..r * columns + from + width;
            simd(|| {
                for r in 0..rows {
                    add_squares(&mut scale[..width], &spikes[part(r)]);
                }
                for norm in &mut scale[..width] {
                    *norm = 1.0 / (norm.sqrt() + NORM_EPSILON);
                }
                for r in 0..rows {
                    // SAFETY: blocks of columns do not overlap, and each is visited by one task.
                    let out = unsafe { all.row(r, from, width) };
                    let inputs = signals[part(r)].iter().zip(&spikes[part(r)]).zip(&scale);
                    for (out, ((signal, spike), scale)) in out.iter_mut().zip(inputs) {
                        *out = signal * (spike * scale).abs();
                    }
                }
            });
        });
        gated
    }

    fn multiply(tensor: FlexTensor, by: FlexTensor) -> FlexTensor {
        let (mut tensor, by) = (writable(tensor), readable(by));
        check_same(&tensor, &by);
        in_chunks(values_mut(&mut tensor), values(&by), |t, b| *t *= b);
        tensor
    }

    fn copy(tensor: FlexTensor, buffer: FlexTensor) -> FlexTensor {
        let mut copy = reuse(buffer, size(&tensor));
        let tensor = readable(tensor);
        in_chunks(values_mut(&mut copy), values(&tensor), |to, from| {
            *to = from
        });
        copy
    }

    fn product(
        left: FlexTensor,
        right: FlexTensor,
        buffer: FlexTensor,
        transposed: Transposed,
    ) -> FlexTensor {
        let (left, right) = (readable(left), readable(right));
        matrix_product(&left, &right, buffer, transposed)
    }

    fn correlate(
        presynaptic: FlexTensor,
        signal: FlexTensor,
        buffer: FlexTensor,
        normalize: bool,
    ) -> FlexTensor {
        let [rows, inputs] = size(&presynaptic);
        let (presynaptic, signal) = (readable(presynaptic), readable(signal));
        let mut correlation = matrix_product(&presynaptic, &signal, buffer, Transposed::Left);
        if normalize {
            // Dividing a column of the left operand divides a row of the product: fewer numbers, and the operand stays as it is.
            let outputs = size(&correlation)[1];
            let all = Grid::new(values_mut(&mut correlation), outputs);
            let presynaptic = values(&presynaptic);
            for_each_column_block(rows, inputs, |from, width| {
                let mut scale = [0f32; COLUMNS];
                simd(|| {
                    for r in 0..rows {
                        let part = r * inputs + from..r * inputs + from + width;
                        add_squares(&mut scale[..width], &presynaptic[part]);
                    }
                    for (i, square) in scale[..width].iter().enumerate() {
                        let scale = 1.0 / (square.sqrt() + NORM_EPSILON);
                        // SAFETY: each row of the product belongs to one column block.
                        for c in unsafe { all.row(from + i, 0, outputs) } {
                            *c *= scale;
                        }
                    }
                });
            });
        }
        correlation
    }

    fn error_signal(target: FlexTensor, output: FlexTensor) -> (FlexTensor, ErrorSums) {
        let (target, mut output) = (readable(target), writable(output));
        check_same(&target, &output);
        let pass = |output: &mut [f32], target: &[f32]| {
            let mut sums = ErrorSums::default();
            // Short runs in f32, then f64: exact enough for a million elements, and vectorised.
            for (output, target) in output.chunks_mut(256).zip(target.chunks(256)) {
                let (mut absolute, mut squared) = ([0f32; 16], [0f32; 16]);
                simd(|| {
                    for (output, target) in output.chunks_mut(16).zip(target.chunks(16)) {
                        for (i, (o, t)) in output.iter_mut().zip(target).enumerate() {
                            *o = t - *o;
                            absolute[i] += o.abs();
                            squared[i] += *o * *o;
                        }
                    }
                });
                sums.absolute += f64::from(absolute.iter().sum::<f32>());
                sums.squared += f64::from(squared.iter().sum::<f32>());
            }
            sums
        };
        let sums = {
            let (o, t) = (values_mut(&mut output), values(&target));
            if o.len() < PARALLEL_FROM {
                pass(o, t)
            } else {
                // The two halves are always cut at the same places, so the sum does not depend on the threads.
                sum_in_halves(o, t, &pass)
            }
        };
        (output, sums)
    }

    fn all_finite(tensor: FlexTensor) -> bool {
        let tensor = readable(tensor);
        // Zero times a finite number is zero; times infinity or NaN it is NaN.
        let finite = |values: &[f32]| {
            simd(|| {
                let mut lanes = [0f32; 16];
                for run in values.chunks(16) {
                    for (lane, x) in lanes.iter_mut().zip(run) {
                        *lane += x * 0.0;
                    }
                }
                lanes.iter().all(|lane| *lane == 0.0)
            })
        };
        match values(&tensor) {
            few if few.len() < PARALLEL_FROM => finite(few),
            many => many.par_chunks(CHUNK).all(finite),
        }
    }

    fn move_weight(
        weight: FlexTensor,
        direction: FlexTensor,
        decay: f32,
        rate: f32,
        limit: f32,
    ) -> FlexTensor {
        let (mut weight, direction) = (writable(weight), readable(direction));
        check_same(&weight, &direction);
        in_chunks(values_mut(&mut weight), values(&direction), |w, d| {
            *w = (decay * *w + rate * d).clamp(-limit, limit);
        });
        weight
    }

    fn frobenius_normalize(matrix: FlexTensor) -> FlexTensor {
        let mut matrix = writable(matrix);
        let all = values_mut(&mut matrix);
        let mut sum = 0f64;
        for run in all.chunks(1024) {
            let mut lanes = [0f32; 16];
            simd(|| run.chunks(16).for_each(|run| add_squares(&mut lanes, run)));
            sum += f64::from(lanes.iter().sum::<f32>());
        }
        let scale = (1.0 / (sum.sqrt() + f64::from(NORM_EPSILON))) as f32;
        simd(|| all.iter_mut().for_each(|x| *x *= scale));
        matrix
    }

    fn add_to_diagonal(matrix: FlexTensor, value: f32) -> FlexTensor {
        let columns = size(&matrix)[1];
        let mut matrix = writable(matrix);
        values_mut(&mut matrix)
            .iter_mut()
            .step_by(columns + 1)
            .for_each(|x| *x += value);
        matrix
    }

    fn adam_step(
        weight: FlexTensor,
        correlation: FlexTensor,
        moment_1: FlexTensor,
        moment_2: FlexTensor,
        step: AdamStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (mut weight, correlation) = (writable(weight), readable(correlation));
        let (mut moment_1, mut moment_2) = (writable(moment_1), writable(moment_2));
        check_same(&weight, &correlation);
        check_same(&weight, &moment_1);
        check_same(&weight, &moment_2);
        let pass = |w: &mut [f32], c: &[f32], m: &mut [f32], v: &mut [f32]| {
            simd(|| {
                for (((w, c), m), v) in w.iter_mut().zip(c).zip(m).zip(v) {
                    *m = step.beta_1 * *m + (1.0 - step.beta_1) * c;
                    *v = step.beta_2 * *v + (1.0 - step.beta_2) * c * c;
                    let direction = *m / ((*v * step.correction_2).sqrt() + step.epsilon);
                    *w = (step.decay * *w + step.rate * direction).clamp(-step.limit, step.limit);
                }
            });
        };
        {
            let (w, c) = (values_mut(&mut weight), values(&correlation));
            let (m, v) = (values_mut(&mut moment_1), values_mut(&mut moment_2));
            if w.len() < PARALLEL_FROM {
                pass(w, c, m, v);
            } else {
                w.par_chunks_mut(CHUNK)
                    .zip(c.par_chunks(CHUNK))
                    .zip(m.par_chunks_mut(CHUNK))
                    .zip(v.par_chunks_mut(CHUNK))
                    .for_each(|(((w, c), m), v)| pass(w, c, m, v));
            }
        }
        (weight, moment_1, moment_2)
    }
}

/// Runs a loop compiled for the widest vectors that this processor has.
#[inline(always)]
fn simd<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

#[inline(always)]
fn add_squares(sums: &mut [f32], row: &[f32]) {
    for (sum, x) in sums.iter_mut().zip(row) {
        *sum += x * x;
    }
}

fn in_chunks(to: &mut [f32], from: &[f32], change: impl Fn(&mut f32, f32) + Sync) {
    let pass = |to: &mut [f32], from: &[f32]| {
        simd(|| {
            for (t, f) in to.iter_mut().zip(from) {
                change(t, *f);
            }
        });
    };
    if to.len() < PARALLEL_FROM {
        pass(to, from);
    } else {
        to.par_chunks_mut(CHUNK)
            .zip(from.par_chunks(CHUNK))
            .for_each(|(t, f)| pass(t, f));
    }
}

fn sum_in_halves(
    output: &mut [f32],
    target: &[f32],
    pass: &(impl Fn(&mut [f32], &[f32]) -> ErrorSums + Sync),
) -> ErrorSums {
    if output.len() <= CHUNK {
        return pass(output, target);
    }
    let half = (output.len() / 2).next_multiple_of(CHUNK / 2);
    let ((left, right), (left_target, right_target)) =
        (output.split_at_mut(half), target.split_at(half));
    let (a, b) = rayon::join(
        || sum_in_halves(left, left_target, pass),
        || sum_in_halves(right, right_target, pass),
    );
    ErrorSums {
        absolute: a.absolute + b.absolute,
        squared: a.squared + b.squared,
    }
}

/// Calls the task for every block of at most [`COLUMNS`] columns: (first column, width).
fn for_each_column_block(rows: usize, columns: usize, task: impl Fn(usize, usize) + Sync) {
    let block = |index: usize| {
        let from = index * COLUMNS;
        task(from, COLUMNS.min(columns - from));
    };
    let blocks = columns.div_ceil(COLUMNS);
    if rows * columns < PARALLEL_FROM {
        (0..blocks).for_each(block);
    } else {
        (0..blocks).into_par_iter().for_each(block);
    }
}

/// A matrix whose parts are written by several tasks at once.
struct Grid {
    start: *mut f32,
    len: usize,
    columns: usize,
}

// SAFETY: the pointer is used through `row` alone, whose caller promises that no two tasks touch the same part.
unsafe impl Sync for Grid {}

impl Grid {
    fn new(values: &mut [f32], columns: usize) -> Self {
        Self {
            start: values.as_mut_ptr(),
            len: values.len(),
            columns,
        }
    }

    /// `width` elements of row `r` from column `from` on.
    ///
    /// # Safety
    /// The tensor outlives the grid's use, and no other slice of this part is alive.
    #[inline(always)]
    #[allow(
        clippy::mut_from_ref,
        reason = "disjoint parts, promised by the caller"
    )]
    unsafe fn row(&self, r: usize, from: usize, width: usize) -> &mut [f32] {
        let offset = r * self.columns + from;
        debug_assert!(offset + width <= self.len);
        // SAFETY: inside the slice the grid was made of; disjointness is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), width) }
    }
}

fn matrix_product(
    left: &FlexTensor,
    right: &FlexTensor,
    buffer: FlexTensor,
    transposed: Transposed,
) -> FlexTensor {
    let ([left_rows, left_columns], [right_rows, right_columns]) = (size(left), size(right));
    // As (rows, inner, columns) and the strides (row, column) of both operands.
    let (m, k, left_strides) = match transposed {
        Transposed::Left => (left_columns, left_rows, (1, left_columns)),
        _ => (left_rows, left_columns, (left_columns, 1)),
    };
    let (inner, n, right_strides) = match transposed {
        Transposed::Right => (right_columns, right_rows, (1, right_columns)),
        _ => (right_rows, right_columns, (right_columns, 1)),
    };
    assert_eq!(k, inner, "matrix product of [{m}, {k}] and [{inner}, {n}]");
    let mut result = reuse(buffer, [m, n]);
    let parallelism = if m * k * n < PARALLEL_PRODUCT_FROM {
        gemm::Parallelism::None
    } else {
        gemm::Parallelism::Rayon(0)
    };
    let (a, b) = (values(left), values(right));
    assert!(a.len() == m * k && b.len() == k * n);
    let out = values_mut(&mut result);
    assert_eq!(out.len(), m * n);
    // SAFETY: the lengths checked above are those that the sizes and strides span; `out` is exclusively borrowed.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            left_strides.1 as isize,
            left_strides.0 as isize,
            b.as_ptr(),
            right_strides.1 as isize,
            right_strides.0 as isize,
            0f32,
            1f32,
            false,
            false,
            false,
            parallelism,
        );
    }
    result
}

fn size(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1]]
}

fn check_same(a: &FlexTensor, b: &FlexTensor) {
    assert_eq!(size(a), size(b), "tensors of one operation differ in shape");
}

/// Whether the tensor is all of its storage, row after row.
fn is_plain(tensor: &FlexTensor) -> bool {
    tensor.layout().contiguous_offsets()
        == Some((0, tensor.bytes().len() / std::mem::size_of::<f32>()))
}

/// The tensor as f32, row after row.
fn readable(tensor: FlexTensor) -> FlexTensor {
    use burn::backend::ops::FloatTensorOps;
    let tensor = match tensor.dtype() {
        DType::F32 => tensor,
        _ => <Flex as FloatTensorOps<Flex>>::float_cast(tensor, burn::tensor::FloatDType::F32),
    };
    if is_plain(&tensor) {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// The same, and nobody else's: a copy if the storage is shared.
fn writable(tensor: FlexTensor) -> FlexTensor {
    readable(tensor)
}

/// A tensor of this shape with any contents: the given one if it fits and has no other owner.
fn reuse(tensor: FlexTensor, shape: [usize; 2]) -> FlexTensor {
    let fits = tensor.is_unique() && tensor.dtype() == DType::F32 && is_plain(&tensor);
    if fits && size(&tensor) == shape {
        tensor
    } else {
        FlexTensor::zeros(Shape::from(shape), DType::F32)
    }
}

fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.storage()
}

/// Exclusive access; copies first when the storage is shared.
fn values_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    tensor.storage_mut()
}

/// Fused versions are compared with the primitives' bodies on sizes around every boundary.
#[cfg(test)]
mod tests {
    use super::super::primitives;
    use super::*;
    use burn::tensor::Tensor;

    const SIZES: [[usize; 2]; 6] = [[1, 1], [3, 5], [10, 64], [7, 65], [33, 200], [300, 301]];

    fn random(shape: [usize; 2], seed: u64) -> FlexTensor {
        let mut random = crate::Random::seeded(seed);
        let data: Vec<f32> = (0..shape[0] * shape[1]).map(|_| random.normal()).collect();
        FlexTensor::from_data(burn::tensor::TensorData::new(data, shape))
    }

    fn check(name: &str, fused: FlexTensor, reference: FlexTensor) {
        let (fused, reference) = (readable(fused), readable(reference));
        assert_eq!(size(&fused), size(&reference), "{name}");
        for (a, b) in values(&fused).iter().zip(values(&reference)) {
            assert!(
                (a - b).abs() <= 1e-5 * b.abs().max(1.0),
                "{name}: {a} and {b}"
            );
        }
    }

    #[test]
    fn the_gate_agrees_with_primitives() {
        for shape in SIZES {
            for (stateful, threshold) in [(true, -0.5), (true, 0.5), (false, 0.0)] {
                let settings = GateSettings {
                    threshold,
                    min_charge: -0.7,
                    stateful,
                };
                let make = || (random(shape, 1), random(shape, 2), random(shape, 3));
                let (a, b, c) = make();
                let fused = Flex::spike_gate(a, b, c, settings);
                let (a, b, c) = make();
                let reference = primitives::spike_gate::<Flex>(a, b, c, settings);
                check("output", fused.0, reference.0);
                check("spikes", fused.1, reference.1);
                check("charge", fused.2, reference.2);
            }
        }
    }

    #[test]
    fn normalisation_agrees_with_primitives_and_keeps_silent_columns_at_zero() {
        for shape in SIZES {
            let make = || {
                let mut signal = random(shape, 4);
                for row in values_mut(&mut signal).chunks_mut(shape[1]) {
                    row[0] = 0.0;
                }
                signal
            };
            let fused = Flex::unit_normalize(make());
            assert_eq!(values(&fused)[0], 0.0);
            check(
                "normalised",
                fused,
                primitives::unit_normalize::<Flex>(make()),
            );
        }
    }

    #[test]
    fn the_gated_signal_agrees_with_primitives() {
        for shape in SIZES {
            let spikes = || {
                let mut spikes = random(shape, 6);
                values_mut(&mut spikes)
                    .iter_mut()
                    .for_each(|s| *s = f32::from(*s > 0.3));
                spikes
            };
            let fused = Flex::gate_signal(random(shape, 5), spikes(), random(shape, 7));
            let reference =
                primitives::gate_signal::<Flex>(random(shape, 5), spikes(), random(shape, 7));
            check("gated", fused, reference);
        }
    }

    #[test]
    fn products_and_correlations_agree_with_primitives() {
        for [m, k] in SIZES {
            let n = m + 3;
            for (transposed, left, right) in [
                (Transposed::Neither, [m, k], [k, n]),
                (Transposed::Left, [k, m], [k, n]),
                (Transposed::Right, [m, k], [n, k]),
            ] {
                let make = || (random(left, 8), random(right, 9), random([m, n], 10));
                let (a, b, c) = make();
                let fused = Flex::product(a, b, c, transposed);
                let (a, b, c) = make();
                check(
                    "product",
                    fused,
                    primitives::product::<Flex>(a, b, c, transposed),
                );
            }
            for normalize in [true, false] {
                let make = || (random([k, m], 8), random([k, n], 9), random([m, n], 10));
                let (a, b, c) = make();
                let fused = Flex::correlate(a, b, c, normalize);
                let (a, b, c) = make();
                check(
                    "correlation",
                    fused,
                    primitives::correlate::<Flex>(a, b, c, normalize),
                );
            }
        }
    }

    #[test]
    fn the_error_and_its_sums_agree_with_primitives() {
        for shape in SIZES {
            let (fused, sums) = Flex::error_signal(random(shape, 1), random(shape, 2));
            let (reference, expected) =
                primitives::error_signal::<Flex>(random(shape, 1), random(shape, 2));
            check("error", fused, reference);
            assert!((sums.absolute - expected.absolute).abs() <= 1e-4 * expected.absolute.max(1.0));
            assert!((sums.squared - expected.squared).abs() <= 1e-4 * expected.squared.max(1.0));
        }
    }

    #[test]
    fn weight_steps_agree_with_primitives() {
        for shape in SIZES {
            let fused = Flex::move_weight(random(shape, 1), random(shape, 2), 0.9, 0.5, 0.4);
            let (w, d) = (random(shape, 1), random(shape, 2));
            check(
                "moved",
                fused,
                primitives::move_weight::<Flex>(w, d, 0.9, 0.5, 0.4),
            );

            let step = AdamStep {
                rate: 0.01,
                beta_1: 0.9,
                beta_2: 0.999,
                correction_2: 20.0,
                epsilon: 1e-8,
                decay: 0.999,
                limit: 1.0,
            };
            let make = || {
                let mut second = random(shape, 4);
                values_mut(&mut second)
                    .iter_mut()
                    .for_each(|v| *v = v.abs());
                (random(shape, 1), random(shape, 2), random(shape, 3), second)
            };
            let (w, c, m, v) = make();
            let fused = Flex::adam_step(w, c, m, v, step);
            let (w, c, m, v) = make();
            let reference = primitives::adam_step::<Flex>(w, c, m, v, step);
            check("weight", fused.0, reference.0);
            check("first moment", fused.1, reference.1);
            check("second moment", fused.2, reference.2);
        }
    }

    #[test]
    fn a_number_that_is_not_finite_is_found_wherever_it_is() {
        for shape in SIZES {
            assert!(Flex::all_finite(random(shape, 1)));
            assert!(primitives::all_finite::<Flex>(random(shape, 1)));
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for at in [0, shape[0] * shape[1] - 1] {
                    let mut tensor = random(shape, 1);
                    values_mut(&mut tensor)[at] = bad;
                    assert!(!Flex::all_finite(tensor.clone()), "{shape:?} {bad} at {at}");
                    assert!(!primitives::all_finite::<Flex>(tensor));
                }
            }
        }
    }

    #[test]
    fn frobenius_norm_and_diagonal_agree_with_primitives() {
        for shape in SIZES {
            let reference = primitives::frobenius_normalize::<Flex>(random(shape, 1));
            check(
                "normalised",
                Flex::frobenius_normalize(random(shape, 1)),
                reference,
            );
            let square = [shape[0], shape[0]];
            let reference = primitives::add_to_diagonal::<Flex>(random(square, 2), 1.5);
            check(
                "diagonal",
                Flex::add_to_diagonal(random(square, 2), 1.5),
                reference,
            );
        }
    }

    #[test]
    fn transposed_views_and_shared_tensors_are_copied_not_changed() {
        let device = burn::tensor::Device::flex();
        let shared = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
        let doubled = crate::ops::multiply(shared.clone().transpose(), shared.clone());
        assert_eq!(
            doubled.into_data().iter::<f32>().collect::<Vec<_>>(),
            [1.0, 6.0, 6.0, 16.0]
        );
        assert_eq!(
            shared.into_data().iter::<f32>().collect::<Vec<_>>(),
            [1.0, 2.0, 3.0, 4.0]
        );
    }
}
