//! Elementwise operations.

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::memory::{check_same, readable, reuse, size, values, values_mut};
use super::passes::{CHUNK, PARALLEL_FROM, in_chunks, simd};
use crate::backend::DropSettings;

pub(super) fn zero_at_or_below(tensor: FlexTensor, threshold: f32) -> FlexTensor {
    let mut tensor = readable(tensor);
    let pass = |values: &mut [f32]| {
        simd(
            #[inline(always)]
            || values.iter_mut().for_each(|x| *x = if *x > threshold { *x } else { 0.0 }),
        );
    };
    match values_mut(&mut tensor) {
        few if few.len() < PARALLEL_FROM => pass(few),
        many => many.par_chunks_mut(CHUNK).for_each(pass),
    }
    tensor
}

pub(super) fn drop_values(tensor: FlexTensor, settings: DropSettings) -> FlexTensor {
    let mut tensor = readable(tensor);
    match values_mut(&mut tensor) {
        few if few.len() < PARALLEL_FROM => {
            let runs = few.chunks_mut(DropSettings::RUN).enumerate();
            runs.for_each(|(run, values)| settings.apply(run, values));
        }
        many => {
            let runs = many.par_chunks_mut(DropSettings::RUN).enumerate();
            runs.for_each(|(run, values)| settings.apply(run, values));
        }
    }
    tensor
}

pub(super) fn step_mask(tensor: FlexTensor, buffer: FlexTensor) -> FlexTensor {
    let mut result = reuse(buffer, size(&tensor));
    let tensor = readable(tensor);
    let pass = |to: &mut f32, from: f32| *to = if from > 0.0 { 1.0 } else { 0.0 };
    in_chunks(values_mut(&mut result), values(&tensor), pass);
    result
}

pub(super) fn multiply(tensor: FlexTensor, by: FlexTensor) -> FlexTensor {
    let (mut tensor, by) = (readable(tensor), readable(by));
    check_same(&tensor, &by);
    in_chunks(values_mut(&mut tensor), values(&by), |t, b| *t *= b);
    tensor
}

pub(super) fn copy(tensor: FlexTensor, buffer: FlexTensor) -> FlexTensor {
    let mut copy = reuse(buffer, size(&tensor));
    let tensor = readable(tensor);
    in_chunks(values_mut(&mut copy), values(&tensor), |to, from| *to = from);
    copy
}
