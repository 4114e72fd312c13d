//! The signal at the output with the sums of its errors, and the check for values that are not
//! finite.

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::memory::{check_same, readable, values, values_mut};
use super::passes::{CHUNK, PARALLEL_FROM, simd};
use crate::backend::ErrorSums;

pub(super) fn error_signal(target: FlexTensor, output: FlexTensor) -> (FlexTensor, ErrorSums) {
    let (target, mut output) = (readable(target), readable(output));
    check_same(&target, &output);
    let pass = |output: &mut [f32], target: &[f32]| {
        let mut sums = ErrorSums::default();
        // Short runs in f32, then f64: accurate for a million elements, and vectorised.
        for (output, target) in output.chunks_mut(256).zip(target.chunks(256)) {
            let (absolute, squared) = simd(
                #[inline(always)]
                || difference(output, target),
            );
            sums.absolute += f64::from(absolute);
            sums.squared += f64::from(squared);
        }
        sums
    };
    let sums = {
        let (o, t) = (values_mut(&mut output), values(&target));
        if o.len() < PARALLEL_FROM {
            pass(o, t)
        } else {
            // The halves are always divided at the same places, so the sum does not depend on the
            // number of threads.
            sum_in_halves(o, t, &pass)
        }
    };
    (output, sums)
}

/// Writes `target - output` in place of the output. Returns the sums of its absolute values and
/// squares.
#[inline(always)]
fn difference(output: &mut [f32], target: &[f32]) -> (f32, f32) {
    let (mut absolute, mut squared) = ([0f32; 16], [0f32; 16]);
    let mut add = |o: &mut f32, t: &f32, lane: usize| {
        *o = t - *o;
        absolute[lane] += o.abs();
        squared[lane] += *o * *o;
    };
    let (outputs, rest) = output.as_chunks_mut::<16>();
    let (targets, rest_of_target) = target.as_chunks::<16>();
    for (output, target) in outputs.iter_mut().zip(targets) {
        for lane in 0..16 {
            add(&mut output[lane], &target[lane], lane);
        }
    }
    rest.iter_mut().zip(rest_of_target).enumerate().for_each(|(lane, (o, t))| add(o, t, lane));
    (absolute.iter().sum(), squared.iter().sum())
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
    ErrorSums { absolute: a.absolute + b.absolute, squared: a.squared + b.squared }
}

pub(super) fn all_finite(tensor: FlexTensor) -> bool {
    let tensor = readable(tensor);
    // Zero times a finite number is zero; times infinity or NaN it is NaN.
    let finite = |values: &[f32]| {
        simd(
            #[inline(always)]
            || {
                let mut lanes = [0f32; 64];
                let (runs, rest) = values.as_chunks::<64>();
                for run in runs {
                    for lane in 0..64 {
                        lanes[lane] += run[lane] * 0.0;
                    }
                }
                lanes.iter().chain(rest).all(|x| *x * 0.0 == 0.0)
            },
        )
    };
    match values(&tensor) {
        few if few.len() < PARALLEL_FROM => finite(few),
        many => many.par_chunks(CHUNK).all(finite),
    }
}
