//! Fused versions are compared with the bodies in primitives, on sizes around every boundary.

use burn::backend::Flex;
use burn_flex::FlexTensor;

use super::memory::{readable, size, values, values_mut};
use crate::backend::{
    AdamStep, ErrorSums, GateSettings, Geometry, Side, Transposed, Window, ZorBackend, primitives,
};
use burn::tensor::Tensor;

const ADAM: AdamStep = AdamStep {
    rate: 0.01,
    beta_1: 0.9,
    beta_2: 0.999,
    correction_2: 20.0,
    epsilon: 1e-8,
    decay: 0.999,
    limit: 1.0,
};
const SIZES: [[usize; 2]; 6] = [[1, 1], [3, 5], [10, 64], [7, 65], [33, 200], [300, 301]];

fn random(shape: [usize; 2], seed: u64) -> FlexTensor {
    let mut random = crate::Random::seeded(seed);
    let data: Vec<f32> = (0..shape[0] * shape[1]).map(|_| random.normal()).collect();
    FlexTensor::from_data(burn::tensor::TensorData::new(data, shape))
}

fn check(name: &str, fused: FlexTensor, reference: FlexTensor) {
    check_within(name, fused, reference, 1e-5);
}

fn check_within(name: &str, fused: FlexTensor, reference: FlexTensor, tolerated: f32) {
    let (fused, reference) = (readable(fused), readable(reference));
    assert_eq!(size(&fused), size(&reference), "{name}");
    for (a, b) in values(&fused).iter().zip(values(&reference)) {
        assert!((a - b).abs() <= tolerated * b.abs().max(1.0), "{name}: {a} and {b}");
    }
}

#[test]
fn the_gate_agrees_with_primitives() {
    for shape in SIZES {
        for (stateful, threshold) in [(true, -0.5), (true, 0.5), (false, 0.0)] {
            let settings = GateSettings { threshold, min_charge: -0.7, stateful };
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
        let fused = Flex::unit_normalize(make(), 0.1);
        assert_eq!(values(&fused)[0], 0.0);
        check("normalised", fused, primitives::unit_normalize::<Flex>(make(), 0.1));
        let fused = Flex::equalize_units(make());
        assert_eq!(values(&fused)[0], 0.0);
        let norm = |tensor: &FlexTensor| values(tensor).iter().map(|x| x * x).sum::<f32>().sqrt();
        let (before, after) = (norm(&make()), norm(&fused));
        assert!((before - after).abs() <= 1e-4 * before, "{before} and {after}");
        check("equalised", fused, primitives::equalize_units::<Flex>(make()));
    }
}

#[test]
fn what_is_above_zero_agrees_with_primitives() {
    for shape in SIZES {
        let mut tensor = random(shape, 1);
        values_mut(&mut tensor)[0] = 0.0;
        let fused = Flex::positive(tensor.clone(), random(shape, 2));
        check("positive", fused, primitives::above::<Flex>(tensor.clone(), 0.0));
        let loud = primitives::above::<Flex>(tensor.clone(), 0.5);
        let expected = Flex::multiply(tensor.clone(), loud);
        check("silence", Flex::silence(tensor, 0.5), expected);
    }
}

#[test]
fn the_gated_signal_agrees_with_primitives() {
    for shape in SIZES {
        let spikes = || {
            let mut spikes = random(shape, 6);
            values_mut(&mut spikes).iter_mut().for_each(|s| *s = f32::from(*s > 0.3));
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
    // What one thread multiplies without packing, what it streams, and what goes to the product library.
    let few =
        [1, 2, 3, 4, 5, 6, 10, 11, 48, 64, 65].map(|m| [[m, 7, 16], [m, 100, 72], [m, 64, 23]]);
    let large = [[1, 3072, 728], [2, 2000, 640], [10, 728, 3072], [300, 301, 304]];
    let odd = SIZES.map(|[m, k]| [m, k, m + 3]);
    for [m, k, n] in few.into_iter().flatten().chain(large).chain(odd) {
        for (transposed, left, right) in [
            (Transposed::Neither, [m, k], [k, n]),
            (Transposed::Left, [m, k], [m, n]),
            (Transposed::Right, [m, k], [n, k]),
        ] {
            let shape = if transposed == Transposed::Left { [k, n] } else { [m, n] };
            let make = || {
                let mut left = random(left, 8);
                // Silent inputs, which a single row's product leaves out.
                values_mut(&mut left).iter_mut().step_by(3).for_each(|x| *x = 0.0);
                (left, random(right, 9), random(shape, 10))
            };
            let (a, b, c) = make();
            let fused = Flex::product(a, b, c, transposed);
            let (a, b, c) = make();
            let reference = primitives::product::<Flex>(a, b, c, transposed);
            check_within(&format!("{m}x{k}x{n} {transposed:?}"), fused, reference, 1e-4);
        }
    }
}

#[test]
fn products_in_place_agree_with_others() {
    for [rows, columns] in SIZES.into_iter().chain([[600, 70], [70, 600]]) {
        for (side, n) in [(Side::Left, rows), (Side::Right, columns)] {
            let (matrix, factor) = (random([rows, columns], 1), random([n, n], 2));
            let (left, right) = match side {
                Side::Left => (factor.clone(), matrix.clone()),
                Side::Right => (matrix.clone(), factor.clone()),
            };
            let reference =
                primitives::product::<Flex>(left, right, matrix.clone(), Transposed::Neither);
            check_within("in place", Flex::multiply_square(matrix, factor, side), reference, 1e-4);
        }
    }
}

#[test]
fn symmetric_products_agree_with_others() {
    for [rows, columns] in [[5, 3], [400, 30], [700, 20]] {
        for (transposed, n) in [(Transposed::Right, rows), (Transposed::Left, columns)] {
            let (matrix, buffer) = (random([rows, columns], 1), random([n, n], 2));
            let fused =
                Flex::symmetric_product(matrix.clone(), matrix.clone(), buffer.clone(), transposed);
            let reference = primitives::product::<Flex>(matrix.clone(), matrix, buffer, transposed);
            check_within("symmetric", fused, reference, 1e-4);
        }
    }
}

#[test]
fn presynaptic_norms_agree_with_primitives() {
    // (rows, channels, elements, groups, outputs)
    for [rows, channels, elements, groups, outputs] in
        [[4, 6, 1, 1, 5], [50, 6, 9, 3, 6], [3000, 40, 4, 2, 8], [7, 300, 1, 1, 9]]
    {
        let make = || {
            let correlation = random([elements * channels / groups, outputs], 1);
            (correlation, random([rows, channels], 2))
        };
        let (a, b) = make();
        let fused = Flex::normalize_presynaptic(a, b, groups);
        let (a, b) = make();
        let reference = primitives::normalize_presynaptic::<Flex>(a, b, groups);
        check("normalised correlation", fused, reference);
    }
}

const TALL: [usize; 2] = [9000, 20];

#[test]
fn passes_over_tall_matrices_agree_with_primitives() {
    let fused = Flex::unit_normalize(random(TALL, 1), 0.0);
    check("normalised", fused, primitives::unit_normalize::<Flex>(random(TALL, 1), 0.0));
    let fused = Flex::equalize_units(random(TALL, 1));
    check("equalised", fused, primitives::equalize_units::<Flex>(random(TALL, 1)));
    let fused = Flex::gate_signal(random(TALL, 1), random(TALL, 2), random(TALL, 3));
    let reference =
        primitives::gate_signal::<Flex>(random(TALL, 1), random(TALL, 2), random(TALL, 3));
    check("gated", fused, reference);
}

#[test]
fn batch_normalisation_agrees_with_primitives() {
    for shape in SIZES.into_iter().chain([TALL]) {
        let row = |seed| random([1, shape[1]], seed);
        let input = || {
            let mut input = random(shape, 1);
            values_mut(&mut input).iter_mut().for_each(|x| *x = 3.0 * *x + 40.0);
            input
        };
        let (fused, statistics) =
            Flex::batch_normalize(input(), row(2), row(3), random(shape, 4), 0.1);
        let (reference, expected) =
            primitives::batch_normalize::<Flex>(input(), row(2), row(3), random(shape, 4), 0.1);
        check_within("output", fused, reference, 1e-4);
        check("statistics", statistics.clone(), expected.clone());
        let (fused, correlations) =
            Flex::batch_normalize_signal(random(shape, 5), input(), statistics, row(6));
        let (reference, expected) =
            primitives::batch_normalize_signal::<Flex>(random(shape, 5), input(), expected, row(6));
        check_within("signal", fused, reference, 1e-4);
        check_within("correlations", correlations, expected, 2e-3);
        let fused = Flex::scale_shift(random(shape, 1), row(2), row(3));
        check("scaled", fused, scale_shift(random(shape, 1), row(2), row(3)));
    }
}

/// `x * scale + shift` in burn's primitives.
fn scale_shift(x: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
    use burn::backend::ops::FloatTensorOps;
    <Flex as FloatTensorOps<Flex>>::float_add(
        <Flex as FloatTensorOps<Flex>>::float_mul(x, scale),
        shift,
    )
}

fn geometries() -> Vec<Geometry> {
    let window = |kernel, stride, padding, dilation| Window { kernel, stride, padding, dilation };
    let geometry =
        |input, channels, window, groups| Geometry::new(input, channels, window, groups).unwrap();
    vec![
        geometry([6, 5, 4], 4, window([3, 3], [1, 1], [1, 1], [1, 1]), 1),
        geometry([7, 6, 4], 4, window([3, 2], [2, 2], [1, 0], [1, 1]), 2),
        geometry([9, 8, 16], 16, window([3, 3], [1, 1], [1, 1], [1, 1]), 1),
        geometry([5, 5, 3], 3, window([2, 2], [1, 2], [0, 1], [2, 1]), 1),
    ]
}

#[test]
fn convolutions_agree_with_primitives() {
    for geometry in geometries() {
        let (inputs, outputs) =
            (geometry.input.iter().product(), geometry.output().iter().product());
        let input = || random([3, inputs], 1);
        let kernel = || random(geometry.kernel_shape(), 2);
        let signal = || random([3, outputs], 3);
        let fused = Flex::convolve(input(), kernel(), signal(), geometry);
        let reference = primitives::convolve::<Flex>(input(), kernel(), geometry);
        check_within("output", fused, reference, 1e-4);
        let fused = Flex::convolve_adjoint(signal(), kernel(), input(), geometry);
        let below = primitives::convolve_adjoint::<Flex>(signal(), kernel(), geometry);
        check_within("adjoint", fused, below.clone(), 1e-4);
        let fused = Flex::convolve_correlate(input(), signal(), kernel(), geometry);
        let expected = primitives::convolve_correlate::<Flex>(input(), signal(), geometry);
        check_within("correlation", fused, expected.clone(), 1e-4);
        let both = Flex::convolve_learn(input(), signal(), kernel(), kernel(), input(), geometry);
        check_within("correlation of both", both.0, expected, 1e-4);
        check_within("signal of both", both.1, below, 1e-4);
    }
}

#[test]
fn pooling_agrees_with_primitives() {
    for geometry in geometries() {
        let channels = geometry.input[2];
        let geometry = Geometry { channels, groups: 1, ..geometry };
        let (inputs, outputs) =
            (geometry.input.iter().product(), geometry.output().iter().product());
        let input = || random([3, inputs], 1);
        let signal = || random([3, outputs], 3);
        let (fused, winners) = Flex::max_pool(input(), signal(), signal(), geometry);
        let (reference, expected) = primitives::max_pool::<Flex>(input(), geometry);
        check("maxima", fused, reference);
        let fused = Flex::max_pool_route(signal(), winners, input(), geometry);
        let reference = primitives::max_pool_route::<Flex>(signal(), expected, geometry);
        check("routed", fused, reference);
        if geometry.window.dilation == [1, 1] {
            let fused = Flex::average_pool(input(), signal(), geometry);
            check("means", fused, primitives::average_pool::<Flex>(input(), geometry));
            let fused = Flex::average_pool_adjoint(signal(), input(), geometry);
            let reference = primitives::average_pool_adjoint::<Flex>(signal(), geometry);
            check("shares", fused, reference);
        }
    }
}

#[test]
fn convolutions_with_pools_agree_with_primitives() {
    for geometry in geometries() {
        for side in [2, 3] {
            let map = geometry.output();
            if map[0].min(map[1]) < side {
                continue;
            }
            let pool = Geometry::new(map, map[2], Window::tiling(side), 1).unwrap();
            let inputs = geometry.input.iter().product();
            let outputs = pool.output().iter().product();
            let input = || random([3, inputs], 1);
            let kernel = || random(geometry.kernel_shape(), 2);
            let signal = || random([3, outputs], 3);
            let (fused, winners) =
                Flex::convolve_pooled(input(), kernel(), signal(), signal(), geometry, pool);
            let all = primitives::convolve::<Flex>(input(), kernel(), geometry);
            let (reference, expected) = primitives::max_pool::<Flex>(all, pool);
            check_within("maxima", fused, reference, 1e-4);
            let learned = Flex::convolve_pooled_learn(
                input(),
                signal(),
                winners,
                kernel(),
                kernel(),
                input(),
                geometry,
                pool,
            );
            let routed = primitives::max_pool_route::<Flex>(signal(), expected, pool);
            let expected =
                primitives::convolve_correlate::<Flex>(input(), routed.clone(), geometry);
            check_within("correlation", learned.0, expected, 1e-4);
            let expected = primitives::convolve_adjoint::<Flex>(routed, kernel(), geometry);
            check_within("signal", learned.1, expected, 1e-4);
        }
    }
}

#[test]
fn the_error_and_its_sums_agree_with_primitives() {
    for shape in SIZES {
        let (fused, sums) = Flex::error_signal(random(shape, 1), random(shape, 2));
        let (reference, expected) =
            primitives::error_signal_unread::<Flex>(random(shape, 1), random(shape, 2));
        let [absolute, squared] = primitives::read::<Flex, 2>(expected).map(f64::from);
        let expected = ErrorSums { absolute, squared };
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
        check("moved", fused, primitives::move_weight::<Flex>(w, d, 0.9, 0.5, 0.4));

        let make = || {
            let mut second = random(shape, 4);
            values_mut(&mut second).iter_mut().for_each(|v| *v = v.abs());
            (random(shape, 1), random(shape, 2), random(shape, 3), second)
        };
        let (w, c, m, v) = make();
        let fused = Flex::adam_step(w, c, m, v, ADAM);
        let (w, c, m, v) = make();
        let reference = primitives::adam_step::<Flex>(w, c, m, v, ADAM);
        check("weight", fused.0, reference.0);
        check("first moment", fused.1, reference.1);
        check("second moment", fused.2, reference.2);
    }
}

#[test]
fn weight_steps_by_factors_agree_with_those_by_their_product() {
    for [batch, rows, columns] in
        [[10, 64, 200], [3, 7, 16], [2, 3, 8], [70, 40, 33], [100, 700, 400]]
    {
        let make = || {
            let mut second = random([rows, columns], 4);
            values_mut(&mut second).iter_mut().for_each(|v| *v = v.abs());
            (random([rows, columns], 1), random([rows, columns], 3), second)
        };
        let factors = || (random([batch, rows], 5), random([batch, columns], 6));
        let ((w, m, v), (presynaptic, signal)) = (make(), factors());
        let fused = Flex::adam_step_in_factors(w, presynaptic, signal, m, v, ADAM);
        let ((w, m, v), (presynaptic, signal)) = (make(), factors());
        let buffer = random([rows, columns], 7);
        let correlation =
            primitives::product::<Flex>(presynaptic, signal, buffer, Transposed::Left);
        let reference = primitives::adam_step::<Flex>(w, correlation, m, v, ADAM);
        check("weight", fused.0, reference.0);
        check("first moment", fused.1, reference.1);
        check_within("second moment", fused.2, reference.2, 1e-4);
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
        check("normalised", Flex::frobenius_normalize(random(shape, 1)), reference);
        let square = [shape[0], shape[0]];
        let reference = primitives::add_to_diagonal::<Flex>(random(square, 2), 1.5);
        check("diagonal", Flex::add_to_diagonal(random(square, 2), 1.5), reference);
    }
}

#[test]
fn transposed_views_and_shared_tensors_are_copied_not_changed() {
    let device = burn::tensor::Device::flex();
    let shared = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
    let doubled = crate::ops::multiply(shared.clone().transpose(), shared.clone());
    assert_eq!(doubled.into_data().iter::<f32>().collect::<Vec<_>>(), [1.0, 6.0, 6.0, 16.0]);
    assert_eq!(shared.into_data().iter::<f32>().collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0]);
}
