//! The analog-spike gate, and the gated signal.

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::columns::{for_each_row, with_squares};
use super::memory::{Grid, check_same, readable, reuse, size, values, values_mut};
use super::passes::{
    CHUNK, COLUMNS, PARALLEL_FROM, add_squares, for_each_column_block, is_tall, simd,
};
use crate::backend::{GateSettings, NORM_EPSILON};

pub(super) fn spike_gate(
    input: FlexTensor,
    charge: FlexTensor,
    buffer: FlexTensor,
    settings: GateSettings,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let shape = size(&input);
    let mut output = readable(input);
    let mut charge = if settings.stateful { readable(charge) } else { reuse(charge, shape) };
    let mut spikes = reuse(buffer, shape);
    check_same(&output, &charge);
    // The settings as plain numbers: read through a reference they would prevent vectorisation.
    let GateSettings { threshold, min_charge, stateful } = settings;
    let pass = move |output: &mut [f32], charge: &mut [f32], spikes: &mut [f32]| {
        simd(
            #[inline(always)]
            move || {
                for ((y, q), s) in output.iter_mut().zip(charge).zip(spikes) {
                    let carried = if stateful && *q >= min_charge { *q } else { 0.0 };
                    let total = carried + *y;
                    let fired = total > threshold;
                    *s = if fired { 1.0 } else { 0.0 };
                    *y = if fired { total } else { 0.0 };
                    *q = if fired { 0.0 } else { total };
                }
            },
        );
    };
    {
        let (y, q, s) = (values_mut(&mut output), values_mut(&mut charge), values_mut(&mut spikes));
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

pub(super) fn gate_signal(
    signal: FlexTensor,
    spikes: FlexTensor,
    buffer: FlexTensor,
) -> FlexTensor {
    let [rows, columns] = size(&signal);
    let (signal, spikes) = (readable(signal), readable(spikes));
    check_same(&signal, &spikes);
    let mut gated = reuse(buffer, [rows, columns]);
    if is_tall(rows, columns) {
        return gate_signal_tall(&signal, &spikes, gated);
    }
    let all = Grid::new(values_mut(&mut gated), columns);
    let (signals, spikes) = (values(&signal), values(&spikes));
    for_each_column_block(rows, columns, |from, width| {
        let mut scale = [0f32; COLUMNS];
        let part = |r: usize| r * columns + from..r * columns + from + width;
        simd(
            #[inline(always)]
            || {
                for r in 0..rows {
                    add_squares(&mut scale[..width], &spikes[part(r)]);
                }
                for norm in &mut scale[..width] {
                    *norm = 1.0 / (norm.sqrt() + NORM_EPSILON);
                }
                for r in 0..rows {
                    // SAFETY: blocks of columns do not overlap, and each is visited by one
                    // task.
                    let out = unsafe { all.row(r, from, width) };
                    let inputs = signals[part(r)].iter().zip(&spikes[part(r)]).zip(&scale);
                    for (out, ((signal, spike), scale)) in out.iter_mut().zip(inputs) {
                        *out = signal * (spike * scale).abs();
                    }
                }
            },
        );
    });
    gated
}

/// [`crate::ops::gate_signal`] for many rows and few columns; `gated` is overwritten.
fn gate_signal_tall(signal: &FlexTensor, spikes: &FlexTensor, mut gated: FlexTensor) -> FlexTensor {
    let [rows, columns] = size(signal);
    let (signal, spikes) = (values(signal), values(spikes));
    with_squares(rows, columns, spikes, |squares| {
        for_each_row(values_mut(&mut gated), columns, |row, out| {
            let row = row * columns..(row + 1) * columns;
            let inputs = signal[row.clone()].iter().zip(&spikes[row]).zip(squares);
            for (out, ((signal, spike), square)) in out.iter_mut().zip(inputs) {
                *out = signal * (spike / (square.sqrt() + NORM_EPSILON)).abs();
            }
        });
    });
    gated
}
