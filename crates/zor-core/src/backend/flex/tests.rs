//! The table of cases compares the kernels with the default implementations in primitives. These
//! tests cover the rest: exact zeros, norms, statistics far from zero, shared memory.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend};
use burn::tensor::{Device, Tensor, TensorData};

use crate::backend::cases::{self, Case, difference};
use crate::backend::{Geometry, ZorBackend, primitives};
use crate::ops;

/// The default implementations on any backend: burn's autodiff wrapper overrides none of them. It
/// lacks the adjoints of burn's pools, which are taken from the inner backend.
impl<B: ZorBackend, C: CheckpointStrategy> ZorBackend for Autodiff<B, C> {
    fn max_pool_route(
        signal: FloatTensor<Self>,
        winners: FloatTensor<Self>,
        _buffer: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let (signal, winners) = (Self::inner(signal), Self::inner(winners));
        Self::from_inner(primitives::max_pool_route::<B>(signal, winners, geometry))
    }

    fn average_pool_adjoint(
        signal: FloatTensor<Self>,
        _buffer: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        Self::from_inner(primitives::average_pool_adjoint::<B>(Self::inner(signal), geometry))
    }
}

/// The device that runs the default implementations, with Flex below.
fn reference() -> Device {
    Device::flex().autodiff()
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    ops::read(tensor).unwrap()
}

fn random(shape: [usize; 2], seed: u64) -> Tensor<2> {
    let mut random = crate::Random::seeded(seed);
    let data: Vec<f32> = (0..shape[0] * shape[1]).map(|_| random.normal()).collect();
    Tensor::from_data(TensorData::new(data, shape), &Device::flex())
}

/// Results that differ by more than the tolerance: that of devices, or a stricter one for Flex,
/// relative to the larger of one and the value, since its order of sums is nearly that of the
/// default implementations.
fn failures(case: &Case) -> Vec<String> {
    let mut failures = Vec::new();
    for (number, run) in case.runs.iter().enumerate() {
        let (found, expected) = (run(&Device::flex()), run(&reference()));
        assert_eq!(found.len(), expected.len(), "{}", case.name);
        for ((found, _), (expected, unit)) in found.into_iter().zip(expected) {
            let shape = expected.dims();
            assert_eq!(found.dims(), shape, "{}, run {number}", case.name);
            let (found, expected) = (values(found), values(expected));
            let (name, of_unit) = (&case.name, difference(&found, &expected, unit));
            let (of_one, most) =
                (difference(&found, &expected, 1.0), if unit > 1.0 { 5.0 } else { 0.5 });
            if of_unit > case.tolerance || of_one > most * case.tolerance {
                failures.push(format!("{name}, run {number}, {shape:?}: {of_unit:e}, {of_one:e}"));
            }
        }
    }
    failures
}

#[test]
fn every_case_agrees_with_the_bodies_in_primitives() {
    let failures: Vec<_> = cases::cases().iter().flat_map(failures).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Rounding differences prove that the reference does not run the kernels.
#[test]
fn the_reference_runs_the_bodies_and_not_the_kernels() {
    for name in ["product, transposed: Left", "units of one norm", "AdamW of two factors"] {
        let cases = cases::cases();
        let case = cases.iter().find(|case| case.name == name).unwrap();
        assert!(case.difference(&Device::flex(), &reference()).unwrap() > 0.0, "{name}");
    }
}

#[test]
fn silent_columns_stay_at_zero_and_equal_units_keep_the_norm_of_all() {
    for shape in [[1, 1], [3, 5], [10, 64], [7, 65], [33, 200], [300, 301], [9000, 20]] {
        let mut data = values(random(shape, 4));
        data.iter_mut().step_by(shape[1]).for_each(|x| *x = 0.0);
        let signal = || Tensor::from_data(TensorData::new(data.clone(), shape), &Device::flex());
        let normalized = values(ops::unit_normalize(signal(), 0.1));
        let equalized = values(ops::equalize_units(signal()));
        for silent in normalized.iter().step_by(shape[1]).chain(equalized.iter().step_by(shape[1]))
        {
            assert_eq!(*silent, 0.0);
        }
        let norm = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>().sqrt();
        let (before, after) = (norm(&data), norm(&equalized));
        assert!((before - after).abs() <= 1e-4 * before, "{before} and {after}");
    }
}

#[test]
fn statistics_far_from_zero_agree_with_f64() {
    for shape in [[1, 1], [3, 5], [10, 64], [7, 65], [33, 200], [300, 301], [9000, 20]] {
        let input = random(shape, 1) * 3.0 + 40.0;
        let (row, buffer) = (|seed| random([1, shape[1]], seed), random(shape, 4));
        let (_, found) = ops::batch_normalize(input.clone(), row(2), row(3), buffer, 0.1);
        let (input, rows) = (values(input), shape[0] as f64);
        let mean_of = |column: usize, f: &dyn Fn(f64) -> f64| {
            let column = input.iter().skip(column).step_by(shape[1]);
            column.map(|x| f(f64::from(*x))).sum::<f64>() / rows
        };
        let means: Vec<f64> = (0..shape[1]).map(|column| mean_of(column, &|x| x)).collect();
        let deviation =
            |column: usize| (mean_of(column, &|x| (x - means[column]).powi(2)) + 0.1).sqrt();
        let expected = means.iter().copied().chain((0..shape[1]).map(deviation));
        let expected: Vec<f32> = expected.map(|x| x as f32).collect();
        let largest = difference(&values(found), &expected, 1.0);
        assert!(largest <= 1e-5, "{shape:?}: {largest:e}");
    }
}

#[test]
fn a_number_that_is_not_finite_is_found_wherever_it_is() {
    for device in [Device::flex(), reference()] {
        for shape in [[1, 1], [3, 5], [10, 64], [7, 65], [33, 200], [300, 301]] {
            let found = |value: Option<f32>, at: usize| {
                let mut data = values(random(shape, 1));
                value.into_iter().for_each(|value| data[at] = value);
                ops::all_finite(&Tensor::from_data(TensorData::new(data, shape), &device))
            };
            for at in [0, shape[0] * shape[1] - 1] {
                assert!(found(None, at) && found(Some(f32::MAX), at));
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    assert!(!found(Some(bad), at), "{shape:?} {bad} at {at}");
                }
            }
        }
    }
}

#[test]
fn transposed_views_and_shared_tensors_are_copied_not_changed() {
    let device = Device::flex();
    let shared = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
    let doubled = ops::multiply(shared.clone().transpose(), shared.clone());
    assert_eq!(values(doubled), [1.0, 6.0, 6.0, 16.0]);
    assert_eq!(values(shared), [1.0, 2.0, 3.0, 4.0]);
}
