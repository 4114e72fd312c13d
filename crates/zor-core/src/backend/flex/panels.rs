//! Matrix products of many rows. The right operand is packed once into panels whose columns fill
//! the registers of a block, and tasks multiply blocks of rows by all panels.

use pulp::Simd;
use rayon::prelude::*;

use super::blocks::{Destination, LANES, ROWS, Tap, rows_times_panel, widest};
use super::product::Operand;
use super::scratch::with_scratch;

/// Inner values that are multiplied at once: their part of a panel stays in the cache.
const DEPTH: usize = 1024;
/// Maximum number of rows of a task.
const TASK_ROWS: usize = 16 * ROWS;
/// Minimum number of rows, inner values and columns: below, packing costs too much.
const LEAST: [usize; 3] = [4 * ROWS, LANES, LANES];

/// True if [`multiply`] is the faster way to a product of these sizes.
pub(super) fn multiplies(sizes: [usize; 3]) -> bool {
    sizes.iter().zip(LEAST).all(|(size, least)| *size >= least) && panel_columns() >= LANES
}

/// Columns of a panel.
fn panel_columns() -> usize {
    struct Columns;
    impl pulp::WithSimd for Columns {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            widest::<S>() * S::F32_LANES
        }
    }
    pulp::Arch::new().dispatch(Columns)
}

/// `left @ right` of `[rows, inner]` and `[inner, columns]`.
pub(super) fn multiply(
    left: Operand<'_>,
    right: Operand<'_>,
    [rows, inner, columns]: [usize; 3],
    out: &mut [f32],
) {
    let width = panel_columns();
    let tasks = rows.div_ceil(4 * rayon::current_num_threads());
    let task_rows = tasks.next_multiple_of(ROWS).min(TASK_ROWS);
    with_scratch(columns.div_ceil(width) * width * inner, |panels| {
        let pack = |(panel, values): (usize, &mut [f32])| {
            pack(right, panel * width, [inner, columns, width], values);
        };
        panels.par_chunks_mut(width * inner).enumerate().for_each(pack);
        let panels = &*panels;
        out.par_chunks_mut(task_rows * columns).enumerate().for_each(|(task, out)| {
            let (first, rows) = (task * task_rows, out.len() / columns);
            let mut multiply = |left: &[f32]| {
                let task = Task { left, panels, inner, columns, width, out: &mut *out };
                pulp::Arch::new().dispatch(task);
            };
            match left.1 {
                (stride, 1) if stride == inner => {
                    multiply(&left.0[first * inner..(first + rows) * inner]);
                }
                _ => with_scratch(rows * inner, |copy| {
                    transpose(left, first, [rows, inner], copy);
                    multiply(copy);
                }),
            }
        });
    });
}

/// Copies columns `from..` of a matrix into a panel, with zeros behind the last one.
fn pack(
    Operand(values, strides): Operand<'_>,
    from: usize,
    [inner, columns, width]: [usize; 3],
    panel: &mut [f32],
) {
    let used = width.min(columns - from);
    if strides.1 == 1 {
        for (row, line) in panel.chunks_exact_mut(width).enumerate() {
            let start = row * strides.0 + from;
            line[..used].copy_from_slice(&values[start..start + used]);
            line[used..].fill(0.0);
        }
        return;
    }
    if used < width {
        panel.fill(0.0);
    }
    for column in 0..used {
        let start = (from + column) * strides.1;
        for row in 0..inner {
            panel[row * width + column] = values[start + row * strides.0];
        }
    }
}

/// Copies rows `first..` of a matrix whose columns are contiguous.
fn transpose(
    Operand(values, strides): Operand<'_>,
    first: usize,
    [rows, inner]: [usize; 2],
    copy: &mut [f32],
) {
    for column in 0..inner {
        let start = first * strides.0 + column * strides.1;
        for row in 0..rows {
            copy[row * inner + column] = values[start + row * strides.0];
        }
    }
}

/// Some rows times all panels.
struct Task<'a> {
    left: &'a [f32],
    panels: &'a [f32],
    inner: usize,
    columns: usize,
    width: usize,
    out: &'a mut [f32],
}

impl pulp::WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { left, panels, inner, columns, width, out } = self;
        let rows = out.len() / columns;
        assert!(left.len() == rows * inner && out.len() == rows * columns);
        for from in (0..inner).step_by(DEPTH) {
            let depth = DEPTH.min(inner - from);
            for (panel, values) in panels.chunks_exact(width * inner).enumerate() {
                let column = panel * width;
                for first in (0..rows).step_by(ROWS) {
                    let row = |r: usize| left[(first + r).min(rows - 1) * inner + from..].as_ptr();
                    let tap = Tap::<ROWS> {
                        rows: std::array::from_fn(row),
                        depth,
                        right: values[from * width..].as_ptr(),
                    };
                    let to = Destination {
                        start: out[first * columns + column..].as_mut_ptr(),
                        stride: columns,
                        rows: ROWS.min(rows - first),
                        columns: width.min(columns - column),
                        add: from > 0,
                    };
                    // SAFETY: each row has `depth` values from `from` on, the panel as many rows,
                    // and the destination lies inside `out`; missing rows repeat the last one and
                    // are not written.
                    unsafe {
                        rows_times_panel(
                            simd,
                            1,
                            #[inline(always)]
                            |_| tap,
                            width,
                            to,
                        );
                    }
                }
            }
        }
    }
}
