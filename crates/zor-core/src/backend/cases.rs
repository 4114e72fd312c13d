//! A table of all operations at sizes around every boundary, for comparisons: devices with the CPU
//! (`zor devices --verify`), and the kernels of Flex with the default implementations in
//! primitives. A new operation needs one entry here.

#![cfg(any(test, feature = "verify"))]

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use super::{
    AdamStep, AttentionSettings, ClassTarget, CopySettings, DropSettings, GateSettings, Geometry,
    RotationSettings, Rows, Side, Transposed, Window,
};
use crate::error::Result;
use crate::ops;
use crate::sequences::{Decoding, Hypothesis, Sequences, Step};
use crate::workspace::Workspace;

/// An operation at all its sizes and with all its options.
pub struct Case {
    /// Name of the operation.
    pub name: String,
    /// Maximum [`difference`] that a device may have.
    pub tolerance: f64,
    /// A run for each size and option.
    pub runs: Vec<Run>,
}

/// Draws inputs from fixed seeds on a device and runs the operation there.
pub type Run = Box<dyn Fn(&Device) -> Results>;

/// Results of a run, each with its unit: the size of a typical value, at least one.
pub type Results = Vec<(Tensor<2>, f32)>;

/// Tolerance for sums of a few hundred terms in another order.
const OPERATION: f64 = 2e-5;
/// Tolerance far from zero, where sums of squares lose digits of a standard deviation.
const FAR: f64 = 2e-4;
/// Rows and columns: around blocks of columns, around the size of parallel passes, tall.
const SIZES: [[usize; 2]; 8] =
    [[1, 1], [3, 5], [10, 64], [7, 65], [33, 200], [300, 301], [2500, 33], [9000, 20]];

impl Case {
    fn within(self, tolerance: f64) -> Self {
        Self { tolerance, ..self }
    }

    /// Returns the largest difference between the results of a device and of a reference.
    ///
    /// # Errors
    /// If a device cannot be read.
    pub fn difference(&self, device: &Device, reference: &Device) -> Result<f64> {
        let mut largest = 0f64;
        for run in &self.runs {
            for ((found, _), (expected, unit)) in run(device).into_iter().zip(run(reference)) {
                let (found, expected) = (ops::read(found)?, ops::read(expected)?);
                largest = largest.max(difference(&found, &expected, unit));
            }
        }
        Ok(largest)
    }
}

/// Largest difference of two values, relative to the larger of unit and expected value; infinite if
/// a value is not finite or the lengths differ.
pub fn difference(found: &[f32], expected: &[f32], unit: f32) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let apart = |(a, b): (&f32, &f32)| f64::from((a - b).abs() / b.abs().max(unit));
    let finite = |x: f64| if x.is_finite() { x } else { f64::INFINITY };
    found.iter().zip(expected).map(apart).map(finite).fold(0.0, f64::max)
}

/// Returns all cases.
pub fn cases() -> Vec<Case> {
    let all = [elements(), columns(), products(), updates(), windows(), sequences()];
    all.into_iter().flatten().collect()
}

fn case<P: Copy + 'static>(
    name: impl Into<String>,
    options: impl IntoIterator<Item = P>,
    run: impl Fn(P, &Device) -> Results + Copy + 'static,
) -> Case {
    let bind = |option| Box::new(move |on: &Device| run(option, on)) as Run;
    let runs = options.into_iter().map(bind).collect();
    Case { name: name.into(), tolerance: OPERATION, runs }
}

fn elements() -> Vec<Case> {
    let gate = |shape, threshold, stateful, on: &Device| {
        let settings = GateSettings { threshold, min_charge: -0.7, stateful };
        let drawn = |seed| draw(shape, seed, on);
        plain(ops::spike_gate(drawn(1), drawn(2), drawn(3), settings))
    };
    vec![
        case("gate", sizes_with([0.3, 0.0]), move |(shape, threshold), on| {
            gate(shape, threshold, false, on)
        }),
        case("gate with charges", sizes_with([0.3, -0.5, 0.5]), move |with, on| {
            gate(with.0, with.1, true, on)
        }),
        case("silence", sizes_with([0.2, 0.5]), |(shape, threshold), on| {
            plain([ops::zero_at_or_below(draw(shape, 1, on), threshold)])
        }),
        case("positive", SIZES, |shape, on| {
            // Zero is not above zero.
            let input = draw_changed(shape, 1, on, |at, x| if at == 0 { 0.0 } else { x });
            plain([ops::step_mask(input, draw(shape, 2, on))])
        }),
        case("multiply, shared memory kept", SIZES, |shape, on| {
            let kept = draw(shape, 1, on);
            plain((ops::multiply(kept.clone(), draw(shape, 2, on)), kept))
        }),
        case("copy of shared memory", SIZES, |shape, on| {
            let kept = draw(shape, 1, on);
            let own = Workspace::new(on).make_unique(kept.clone());
            plain((ops::zero_at_or_below(own, 0.2), kept))
        }),
        case("error signal", SIZES, |shape, on| {
            let (signal, sums) = ops::error_signal(draw(shape, 1, on), draw(shape, 2, on));
            let sums = [[sums.absolute as f32, sums.squared as f32]];
            let unit = (shape[0] * shape[1]) as f32;
            vec![(signal, 1.0), (Tensor::from_floats(sums, on), unit)]
        }),
        case("error signal, sums on the device", SIZES, |shape, on| {
            let (signal, sums) = ops::error_signal_unread(draw(shape, 1, on), draw(shape, 2, on));
            vec![(signal, 1.0), (sums, (shape[0] * shape[1]) as f32)]
        }),
        case("dropped values", SIZES, |shape, on| {
            let settings = DropSettings { seed: 3, pass: 5, probability: 0.3 };
            plain([ops::drop_values(draw(shape, 1, on), settings)])
        }),
        case("signal of classes", SIZES, |shape, on| {
            let target = |is_weighted: bool| ClassTarget {
                classes: (0..shape[0]).map(|row| (row * 5 % shape[1]) as u32).collect(),
                smoothing: if is_weighted { 0.2 } else { 0.0 },
                weights: is_weighted.then(|| (0..shape[0]).map(|row| (row % 3) as f32).collect()),
            };
            let output = || draw_changed(shape, 3, on, |_, x| 20.0 * x);
            let (signal, sums) = ops::class_signal(output(), target(true));
            let sums = [[sums.absolute as f32, sums.squared as f32]];
            // A device may add all values up one by one, in 32 bits.
            let unit = 16.0 * shape[0] as f32;
            let (other, other_sums) = ops::class_signal_unread(output(), target(false));
            let sums = Tensor::from_floats(sums, on);
            vec![(signal, 1.0), (sums, unit), (other, 1.0), (other_sums, unit)]
        }),
        case("values that are not finite", SIZES, |shape, on| {
            let is_finite = |value, at: usize| {
                let change = |i, x| if i == at { value } else { x };
                f32::from(ops::all_finite(&draw_changed(shape, 1, on, change)))
            };
            let last = shape[0] * shape[1] - 1;
            let values = [1.0, f32::MAX, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            let found = values.map(|value| [is_finite(value, 0), is_finite(value, last)]);
            plain([Tensor::from_floats(found, on)])
        }),
    ]
}

fn columns() -> Vec<Case> {
    let presynaptic = SIZES.map(|[rows, columns]| [columns, 2 * rows, 3, 2, 2 * columns]);
    let others = [[4, 6, 1, 1, 5], [50, 6, 9, 3, 6], [3000, 40, 4, 2, 8], [7, 300, 1, 1, 9]];
    let far = [(1.0, 30.0), (3.0, 40.0)];
    let signal = |([rows, columns], (spread, mean)): ([usize; 2], (f32, f32)), on: &Device| {
        let input = draw([rows, columns], 1, on) * spread + mean;
        let row = |seed| draw([1, columns], seed, on);
        let buffer = draw([rows, columns], 4, on);
        let statistics = ops::batch_normalize(input.clone(), row(2), row(3), buffer, 0.1).1;
        let signal = draw([rows, columns], 5, on);
        let (below, correlations) = ops::batch_normalize_signal(signal, input, statistics, row(6));
        vec![(below, 1.0), (correlations, rows as f32)]
    };
    vec![
        case("unit normalisation", sizes_with([0.1, 0.0]), |(shape, epsilon), on| {
            plain([ops::unit_normalize(silent_column(shape, on), epsilon)])
        }),
        case("units of one norm", SIZES, |shape, on| {
            plain([ops::equalize_units(silent_column(shape, on))])
        }),
        case("gated signal", sizes_with([true, false]), |(shape, is_binary), on| {
            let spikes = silent_column(shape, on);
            let spikes =
                if is_binary { ops::step_mask(spikes - 0.3, draw(shape, 2, on)) } else { spikes };
            plain([ops::gate_signal(draw(shape, 1, on), spikes, draw(shape, 3, on))])
        }),
        case(
            "presynaptic normalisation",
            presynaptic.into_iter().chain(others),
            |[rows, channels, elements, groups, outputs], on| {
                let correlation = draw([elements * channels / groups, outputs], 1, on);
                plain([ops::normalize_presynaptic(
                    correlation,
                    draw([rows, channels], 2, on),
                    groups,
                )])
            },
        ),
        case("scale and shift", SIZES, |[rows, columns], on| {
            let row = |seed| draw([1, columns], seed, on);
            plain([ops::scale_shift(draw([rows, columns], 1, on), row(2), row(3))])
        }),
        case(
            "batch normalisation",
            sizes_with(far).into_iter().chain([([2, 1], far[0])]),
            |([rows, columns], (spread, mean)), on| {
                let input = draw([rows, columns], 1, on) * spread + mean;
                let row = |seed| draw([1, columns], seed, on);
                let buffer = draw([rows, columns], 4, on);
                plain(ops::batch_normalize(input, row(2), row(3), buffer, 0.1))
            },
        )
        .within(FAR),
        case("batch normalisation's signal", sizes_with([(1.0, 3.0)]), signal),
        case("batch normalisation's signal, far from zero", sizes_with([far[1]]), signal)
            .within(FAR),
    ]
}

fn products() -> Vec<Case> {
    // The CPU multiplies few rows without packing and streams wide ones; gemm computes the rest.
    let few = [1, 2, 3, 4, 5, 6, 10, 11, 48, 64, 65];
    let few = few.map(|m| [[m, 7, 16], [m, 100, 72], [m, 64, 23]]).into_iter().flatten();
    let large = [[1, 3072, 728], [2, 2000, 640], [10, 728, 3072], [300, 301, 304]];
    let odd = SIZES.into_iter().filter(is_moderate).map(|[m, k]| [m, k, m + 3]);
    let sparse: Vec<_> = few.chain(large).chain(odd).collect();
    let mut cases = Vec::new();
    for transposed in [Transposed::Neither, Transposed::Left, Transposed::Right] {
        let result = move |[m, k, n]: [usize; 3]| match transposed {
            Transposed::Left => [k, m, n],
            _ => [m, k, n],
        };
        let full = SIZES.map(|[rows, columns]| ([rows, 40, columns], false));
        let sparse = sparse.clone().into_iter().map(move |sides| (result(sides), true));
        cases.push(case(
            format!("product, transposed: {transposed:?}"),
            full.into_iter().chain(sparse),
            move |([rows, inner, columns], is_sparse), on| {
                let (left, right) = match transposed {
                    Transposed::Neither => ([rows, inner], [inner, columns]),
                    Transposed::Left => ([inner, rows], [inner, columns]),
                    Transposed::Right => ([rows, inner], [columns, inner]),
                };
                // Zeros, which the product of one row skips.
                let silence =
                    |at: usize, x| if is_sparse && at.is_multiple_of(3) { 0.0 } else { x };
                let (left, right) = (draw_changed(left, 8, on, silence), draw(right, 9, on));
                let found = ops::matmul(left, right, draw([rows, columns], 10, on), transposed);
                vec![(found, (inner as f32).sqrt())]
            },
        ));
    }
    let both = |shape: [usize; 2]| [(shape, Side::Left), (shape, Side::Right)];
    let squares = SIZES.into_iter().filter(is_moderate).chain([[600, 70], [70, 600]]);
    cases.push(case("symmetric and square products", SIZES, |[rows, columns], on| {
        let matrix = draw([rows.min(200), columns], 1, on);
        let buffer = draw([columns, columns], 2, on);
        let square =
            ops::symmetric_matmul(matrix.clone(), matrix.clone(), buffer, Transposed::Left);
        let square = ops::add_to_diagonal(square / rows.min(200) as f32, 0.5);
        let product = ops::multiply_square(matrix, square.clone(), Side::Right);
        vec![(product, (columns as f32).sqrt()), (square, 1.0)]
    }));
    cases.push(case(
        "symmetric products on both sides",
        [[5, 3], [400, 30], [700, 20]].into_iter().flat_map(both),
        |([rows, columns], side), on| {
            let (transposed, n, inner) = match side {
                Side::Left => (Transposed::Left, columns, rows),
                Side::Right => (Transposed::Right, rows, columns),
            };
            let (matrix, buffer) = (draw([rows, columns], 1, on), draw([n, n], 2, on));
            let found = ops::symmetric_matmul(matrix.clone(), matrix, buffer, transposed);
            vec![(found, (inner as f32).sqrt())]
        },
    ));
    cases.push(case(
        "square factors on both sides",
        squares.flat_map(both),
        |([rows, columns], side), on| {
            let n = if side == Side::Left { rows } else { columns };
            let (matrix, factor) = (draw([rows, columns], 1, on), draw([n, n], 2, on));
            vec![(ops::multiply_square(matrix, factor, side), (n as f32).sqrt())]
        },
    ));
    cases
}

fn updates() -> Vec<Case> {
    let step = |limit| AdamStep {
        rate: 0.01,
        beta_1: 0.9,
        beta_2: 0.999,
        correction_2: 20.0,
        epsilon: 1e-8,
        decay: 0.999,
        limit,
    };
    let squares = |shape, limit: f32, on: &Device| {
        let squares = draw(shape, 4, on).abs();
        if limit.is_finite() { squares } else { squares.powi_scalar(2) }
    };
    let few = [(10, 64, 200), (3, 7, 16), (2, 3, 8), (70, 40, 33), (100, 700, 400)]
        .map(|(batch, rows, columns)| (batch, [rows, columns], 1.0));
    vec![
        case(
            "weight update within a limit",
            sizes_with([(0.99, 1.0), (0.9, 0.4)]),
            |(shape, (decay, limit)), on| {
                plain([ops::scaled_sum(draw(shape, 1, on), draw(shape, 2, on), decay, 0.5, limit)])
            },
        ),
        case("Frobenius norm", SIZES, |shape, on| {
            plain([ops::frobenius_normalize(draw(shape, 1, on))])
        }),
        case(
            "number added to the diagonal",
            SIZES.into_iter().filter(is_moderate),
            |[n, _], on| plain([ops::add_to_diagonal(draw([n, n], 2, on), 1.5)]),
        ),
        case("AdamW", sizes_with([f32::INFINITY, 1.0]), move |(shape, limit), on| {
            let drawn = |seed| draw(shape, seed, on);
            let squares = squares(shape, limit, on);
            plain(ops::adam_step(drawn(1), drawn(2), drawn(3), squares, step(limit)))
        }),
        case(
            "AdamW of two factors",
            SIZES.map(|shape| (9, shape, f32::INFINITY)).into_iter().chain(few),
            move |(batch, shape, limit), on| {
                let drawn = |columns, seed| draw([batch, columns], seed, on);
                let (presynaptic, signal) = (drawn(shape[0], 2), drawn(shape[1], 5));
                plain(ops::adam_step_in_factors(
                    draw(shape, 1, on),
                    presynaptic,
                    signal,
                    draw(shape, 3, on),
                    squares(shape, limit, on),
                    step(limit),
                ))
            },
        ),
    ]
}

fn windows() -> Vec<Case> {
    let window = |kernel, stride, padding, dilation| Window { kernel, stride, padding, dilation };
    let three = Window { padding: [1; 2], ..Window::square(3) };
    let uneven = window([3, 2], [2, 2], [1, 0], [1, 1]);
    let dilated = window([2, 2], [1, 2], [0, 1], [2, 1]);
    let pools: [(Window, &[[usize; 3]]); 6] = [
        (Window::tiling(2), &[[9, 8, 5]]),
        (window([3, 3], [2, 2], [1, 1], [1, 1]), &[[9, 8, 5]]),
        (window([3, 2], [1, 2], [2, 0], [2, 1]), &[[9, 8, 5]]),
        (three, &[[6, 5, 4], [9, 8, 16]]),
        (uneven, &[[7, 6, 4]]),
        (dilated, &[[5, 5, 3]]),
    ];
    let pooling = pools.map(|(window, maps)| {
        let name = format!("pooling by {:?}, stride {:?}", window.kernel, window.stride);
        let over = move |map: &[usize; 3]| pool_of(*map, window);
        case(name, maps.iter().map(over), run_pool)
    });
    /// Maps, each with its number of output channels.
    type Maps = &'static [([usize; 3], usize)];
    let convolutions: [(Window, usize, Maps); 5] = [
        (three, 1, &[([8, 6, 6], 12), ([6, 5, 4], 4), ([9, 8, 16], 16)]),
        (Window::tiling(2), 3, &[([8, 6, 6], 12)]),
        (Window::square(1), 1, &[([8, 6, 6], 12)]),
        (uneven, 2, &[([7, 6, 4], 4)]),
        (dilated, 1, &[([5, 5, 3], 3)]),
    ];
    let mut together = Vec::new();
    let mut cases = Vec::from(pooling);
    for (window, groups, maps) in convolutions {
        let over = |(input, channels)| Geometry { input, channels, window, groups };
        let all: Vec<_> = maps.iter().copied().map(over).collect();
        let name = format!("convolution by {:?}, groups {groups}", window.kernel);
        let batches = all.iter().flat_map(|geometry| [(3, *geometry), (4, *geometry)]);
        cases.push(case(name, batches, run_convolution));
        for (geometry, side) in all.iter().flat_map(|one| [(*one, 2), (*one, 3)]) {
            let pool = pool_of(geometry.output(), Window::tiling(side));
            together.extend([(3, geometry, pool), (4, geometry, pool)]);
        }
    }
    cases.push(case("convolution with fused pool", together, run_both));
    cases
}

fn pool_of(input: [usize; 3], window: Window) -> Geometry {
    Geometry { input, channels: input[2], window, groups: 1 }
}

fn run_pool(geometry: Geometry, on: &Device) -> Results {
    let [inputs, outputs] = maps(3, geometry, geometry);
    let drawn = |shape, seed| draw(shape, seed, on);
    let buffers = (drawn(outputs, 2), drawn(outputs, 3));
    let (largest, winners) = ops::max_pool(drawn(inputs, 1), buffers, geometry);
    let signal = drawn(outputs, 4);
    let routed = ops::max_pool_route(signal.clone(), winners, drawn(inputs, 5), geometry);
    if geometry.window.dilation != [1, 1] {
        return plain((largest, routed));
    }
    let mean = ops::average_pool(drawn(inputs, 1), drawn(outputs, 2), geometry);
    let shares = ops::average_pool_adjoint(signal, drawn(inputs, 5), geometry);
    [plain((largest, routed)), plain((mean, shares))].concat()
}

/// The unit of the outputs and signals of a convolution, and that of its correlations.
const CONVOLUTION: [f32; 2] = [10.0, 100.0];

fn run_convolution((batch, geometry): (usize, Geometry), on: &Device) -> Results {
    let [inputs, outputs] = maps(batch, geometry, geometry);
    let input = |seed| draw(inputs, seed, on);
    let signal = |seed| draw(outputs, seed, on);
    let kernel = |seed| draw(geometry.kernel_shape(), seed, on);
    let output = ops::convolve(input(1), kernel(2), signal(3), geometry);
    let below = ops::convolve_adjoint(signal(5), kernel(2), input(4), geometry);
    let correlation = ops::convolve_correlate(input(1), signal(5), kernel(3), geometry);
    let both = ops::convolve_learn(input(1), signal(5), kernel(2), (kernel(3), input(4)), geometry);
    let [small, large] = CONVOLUTION;
    vec![(output, small), (below, small), (correlation, large), (both.0, large), (both.1, small)]
}

fn run_both((batch, geometry, pool): (usize, Geometry, Geometry), on: &Device) -> Results {
    let [inputs, outputs] = maps(batch, geometry, pool);
    let input = |seed| draw(inputs, seed, on);
    let signal = |seed| draw(outputs, seed, on);
    let kernel = |seed| draw(geometry.kernel_shape(), seed, on);
    let both = (geometry, pool);
    let (output, winners) = ops::convolve_pooled(input(1), kernel(2), (signal(3), signal(4)), both);
    let buffers = (kernel(3), input(4));
    let (correlation, below) =
        ops::convolve_pooled_learn(input(1), (signal(5), winners), kernel(2), buffers, both);
    let [small, large] = CONVOLUTION;
    vec![(output, small), (correlation, large), (below, small)]
}

/// Numbers and lengths of sequences, a part of each in its prefix, heads and columns of a head.
const ATTENDED: [(usize, usize, usize, usize); 6] =
    [(1, 1, 1, 2), (2, 5, 1, 6), (7, 9, 3, 4), (3, 33, 2, 16), (40, 70, 4, 12), (2, 200, 1, 64)];

/// Those of [`ATTENDED`] in which every sequence has a prefix.
const COPIED: [(usize, usize, usize, usize); 3] = [(2, 5, 1, 6), (7, 9, 3, 4), (40, 70, 4, 12)];

fn sequences() -> Vec<Case> {
    let drawn = |(number, longest, ..): (usize, usize, usize, usize)| {
        let lengths: Vec<usize> =
            (0..number).map(|index| longest - index % 2 * (longest / 3)).collect();
        let prefixes: Vec<usize> = lengths.iter().map(|length| length / 2).collect();
        let tokens = vec![0; lengths.iter().sum()];
        let sequences =
            Sequences::new(tokens, &lengths).and_then(|all| all.with_prefixes(&prefixes));
        // Lengths are at least one, and prefixes shorter.
        sequences.unwrap_or_else(|_| Sequences::single(1))
    };
    let attention = move |size: (usize, usize, usize, usize), threshold: f32, on: &Device| {
        let (_, _, heads, columns) = size;
        let settings = AttentionSettings { sequences: drawn(size), heads, threshold };
        let (rows, width) = (settings.sequences.tokens().len(), heads * columns);
        let input = draw([rows, 3 * width], 1, on);
        let buffers = [draw([rows, width], 2, on), draw([1, settings.weights()], 3, on)];
        let [buffer, kept] = buffers;
        let (output, weights) = ops::attend(input.clone(), buffer, kept, settings.clone());
        let signal = draw([rows, width], 4, on);
        let buffer = draw([rows, 3 * width], 5, on);
        let below = ops::attend_signal(signal, input, weights.clone(), buffer, settings);
        vec![(output, 4.0), (weights, 1.0), (below, 4.0)]
    };
    let copies = move |size: (usize, usize, usize, usize), on: &Device| {
        let vocabulary = 17;
        let drawn = drawn(size);
        let rows = drawn.tokens().len();
        let starts: Vec<usize> = (0..=rows).map(|row| 2 * row).collect();
        let suggested = |index: usize| (index * 7 % vocabulary) as u32;
        let weights = (0..2 * rows).map(|index| 0.1 * (index % 5) as f32).collect();
        let suggestions = (0..2 * rows).map(suggested).collect();
        // Each position has its two suggestions, and finite weights.
        let Ok(sequences) = drawn.with_suggestions(starts, suggestions, weights) else {
            return Vec::new();
        };
        let settings = CopySettings { sequences, has_suggestions: true };
        let behind = rows
            - (0..settings.sequences.len()).map(|i| settings.sequences.prefix(i)).sum::<usize>();
        let projected = draw([rows, 4 * size.3], 1, on);
        let buffer = draw([1, settings.weights()], 2, on);
        let output = draw([behind, vocabulary], 3, on);
        let (output, weights) =
            ops::add_copies(output, projected.clone(), buffer, settings.clone());
        let (signal, buffer) = (draw([behind, vocabulary], 4, on), draw([rows, 4 * size.3], 5, on));
        let below = ops::copies_signal(signal, projected, weights.clone(), buffer, settings);
        vec![(output, 20.0), (weights, 4.0), (below, 20.0)]
    };
    let decoded = move |size: (usize, usize, usize, usize), on: &Device| {
        let (number, _, heads, columns) = size;
        let (beginning, width) = (drawn(size), heads * columns);
        let kept = beginning.tokens().len();
        let hypothesis = |row: usize| {
            let sequence = row % number;
            let own = beginning.rows(sequence).skip(beginning.prefix(sequence));
            let rows = own.map(|row| row as u32).chain([(kept + row) as u32]).collect();
            Hypothesis { sequence, rows }
        };
        let rows = number + 2;
        let hypotheses = (0..rows).map(hypothesis).collect();
        let step = Step { beginning: beginning.clone(), kept, hypotheses };
        let sequences = Sequences::new(vec![0; rows], &vec![1; rows]);
        let sequences = sequences.unwrap_or_else(|_| Sequences::single(rows));
        let sequences = sequences.with_decoding(Decoding::Step(Arc::new(step)));
        let input = draw([rows, 3 * width], 1, on);
        let before = draw([kept + rows + 3, 2 * width], 2, on);
        let before = ops::keep_rows(before, input.clone(), kept, width);
        let settings = AttentionSettings { sequences: sequences.clone(), heads, threshold: 0.01 };
        let buffer = draw([rows, width], 3, on);
        let attended = ops::attend_kept(input, before.clone(), buffer, settings);
        let settings = CopySettings { sequences, has_suggestions: false };
        let (output, projected) = (draw([rows, 5], 4, on), draw([rows, 2 * columns], 5, on));
        let keys = draw([kept + rows, columns], 6, on);
        let copied = ops::add_copies_kept(output, projected, keys, settings);
        vec![(before, 1.0), (attended, 20.0), (copied, 20.0)]
    };
    let normalisation = |[rows, columns]: [usize; 2], on: &Device| {
        let (input, scale) = (draw([rows, columns], 1, on), draw([1, columns], 2, on));
        let buffer = draw([rows, columns], 3, on);
        let (output, roots) = ops::rms_normalize(input.clone(), scale.clone(), buffer, 0.01);
        let signal = draw([rows, columns], 4, on);
        let (below, of_scale) = ops::rms_normalize_signal(signal, input, roots.clone(), scale);
        vec![(output, 4.0), (roots, 1.0), (below, 10.0), (of_scale, rows as f32)]
    };
    vec![
        case("attention", ATTENDED, move |size, on| attention(size, 0.0, on)),
        case("attention with a threshold", ATTENDED, move |size, on| attention(size, 0.05, on)),
        case("copies of tokens", COPIED, copies),
        case("attention and copies in decoding", ATTENDED, decoded),
        case("rotation by place", ATTENDED, move |size, on| {
            let (_, _, heads, columns) = size;
            let turns = RotationSettings::turns(columns, 100.0, size.1);
            let rotate = |tensor, turned: usize, is_inverse| {
                let (sequences, turns) = (drawn(size), turns.clone());
                let settings = RotationSettings {
                    sequences,
                    columns: turned,
                    size: columns,
                    turns,
                    is_inverse,
                };
                ops::rotate(tensor, settings)
            };
            let (rows, width) = (drawn(size).tokens().len(), heads * columns);
            let part = rotate(draw([rows, 3 * width], 1, on), 2 * width, false);
            plain([part, rotate(draw([rows, width], 2, on), width, true)])
        }),
        case("normalisation of rows", SIZES, normalisation),
        case("rows of a matrix", SIZES, |[rows, columns], on| {
            let indices: Rows = (0..rows + 5).map(|row| (row * 7 % rows) as u32).collect();
            let many = |seed| draw([rows + 5, columns], seed, on);
            let found =
                ops::add_rows_of(many(1), draw([rows, columns], 2, on), indices.clone(), 0.5);
            let changed = ops::add_to_rows(draw([rows, columns], 3, on), many(4), indices, 2.0);
            vec![(found, 1.0), (changed, 4.0)]
        }),
    ]
}

/// Input shape of a batch for one geometry and output shape for another.
fn maps(batch: usize, into: Geometry, out_of: Geometry) -> [[usize; 2]; 2] {
    [into.input, out_of.output()].map(|map| [batch, map.iter().product()])
}

/// True if a square matrix with a side for every row is small enough to compare.
fn is_moderate([rows, _]: &[usize; 2]) -> bool {
    *rows <= 300
}

/// All pairs of a size and an option.
fn sizes_with<P: Copy, const N: usize>(options: [P; N]) -> Vec<([usize; 2], P)> {
    SIZES.into_iter().flat_map(|size| options.map(|option| (size, option))).collect()
}

/// Results whose unit is one.
fn plain<const N: usize>(tensors: impl Into<[Tensor<2>; N]>) -> Results {
    tensors.into().map(|tensor| (tensor, 1.0)).into()
}

/// Values around zero that depend on the seed alone.
fn draw(shape: [usize; 2], seed: u64, on: &Device) -> Tensor<2> {
    draw_changed(shape, seed, on, |_, x| x)
}

/// [`draw`], with every value changed by its position.
fn draw_changed(
    shape: [usize; 2],
    seed: u64,
    on: &Device,
    change: impl Fn(usize, f32) -> f32,
) -> Tensor<2> {
    let mut random = crate::Random::seeded(seed);
    let value = |at| change(at, random.normal());
    let values: Vec<f32> = (0..shape[0] * shape[1]).map(value).collect();
    Tensor::from_data(TensorData::new(values, shape), on)
}

/// [`draw`] with a first column of zeros.
fn silent_column(shape: [usize; 2], on: &Device) -> Tensor<2> {
    draw_changed(shape, 7, on, |at, x| if at.is_multiple_of(shape[1]) { 0.0 } else { x })
}
