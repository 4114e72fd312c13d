//! Matrix products, either operand transposed by its strides, into existing memory.

use burn_flex::FlexTensor;
use gemm::Parallelism;

use super::few_rows;
use super::memory::{readable, reuse, size, values, values_mut};
use super::panels;
use super::scratch::with_scratch;
use crate::backend::{Side, Transposed};

/// Rows of a product that one call of gemm computes: it packs those of the left operand, up to 512
/// columns at a time, into newly allocated memory.
const ROWS: usize = 256;
/// Rows or columns of an in-place product that are computed at once.
const BLOCK: usize = 256;
/// Rows of a symmetric product that are computed at once.
const SYMMETRIC_BLOCK: usize = 184;

pub(super) fn matmul(
    left: FlexTensor,
    right: FlexTensor,
    buffer: FlexTensor,
    transposed: Transposed,
) -> FlexTensor {
    matrix_product(&readable(left), &readable(right), buffer, transposed)
}

fn matrix_product(
    left: &FlexTensor,
    right: &FlexTensor,
    buffer: FlexTensor,
    transposed: Transposed,
) -> FlexTensor {
    let (a, b, [m, k, n]) = operands(left, right, transposed);
    let mut result = reuse(buffer, [m, n]);
    let out = values_mut(&mut result);
    match transposed {
        Transposed::Neither if few_rows::multiplies([m, k, n]) => {
            few_rows::multiply(a.0, b.0, k, out);
        }
        Transposed::Right if few_rows::multiplies_transposed([m, k, n]) => {
            few_rows::multiply_transposed(a.0, b.0, k, out);
        }
        Transposed::Left if few_rows::is_small([m, k, n]) && few_rows::correlates([m, k, n]) => {
            few_rows::correlate(a.0, b.0, k, 0, out);
        }
        _ => general(a, b, [m, k, n], out, parallelism([m, k, n])),
    }
    result
}

/// Both operands with their strides, and the sizes of the product: rows, inner, columns.
fn operands<'a>(
    left: &'a FlexTensor,
    right: &'a FlexTensor,
    transposed: Transposed,
) -> (Operand<'a>, Operand<'a>, [usize; 3]) {
    let ([left_rows, left_columns], [right_rows, right_columns]) = (size(left), size(right));
    let (m, k, left_strides) = match transposed {
        Transposed::Left => (left_columns, left_rows, (1, left_columns)),
        _ => (left_rows, left_columns, (left_columns, 1)),
    };
    let (inner, n, right_strides) = match transposed {
        Transposed::Right => (right_columns, right_rows, (1, right_columns)),
        _ => (right_rows, right_columns, (right_columns, 1)),
    };
    assert_eq!(k, inner, "matrix product of [{m}, {k}] and [{inner}, {n}]");
    (Operand(values(left), left_strides), Operand(values(right), right_strides), [m, k, n])
}

/// Computes rows up to the block of the diagonal and mirrors them into the rest.
pub(super) fn symmetric_matmul(
    left: FlexTensor,
    right: FlexTensor,
    buffer: FlexTensor,
    transposed: Transposed,
) -> FlexTensor {
    let (left, right) = (&readable(left), &readable(right));
    let (a, b, [m, k, n]) = operands(left, right, transposed);
    if m < 2 * SYMMETRIC_BLOCK || m != n {
        return matrix_product(left, right, buffer, transposed);
    }
    let mut result = reuse(buffer, [m, n]);
    let out = values_mut(&mut result);
    for from in (0..m).step_by(SYMMETRIC_BLOCK) {
        let rows = SYMMETRIC_BLOCK.min(m - from);
        let (a, columns) = (a.from(from, 0), from + rows);
        assert!(a.holds(rows, k) && b.holds(k, columns));
        let sizes = [rows, k, columns];
        // SAFETY: the operands hold what is read, and `out` the rows, which are exclusively
        // borrowed.
        unsafe { multiply(a, b, sizes, out[from * n..].as_mut_ptr(), n, parallelism(sizes)) };
        for row in from..columns {
            for column in 0..from {
                out[column * n + row] = out[row * n + column];
            }
        }
    }
    result
}

/// Rows `from..` of the correlation `presynaptic^T signal` of a batch, as many as `out` has, on one
/// thread.
pub(super) fn correlation_rows(
    presynaptic: &[f32],
    signal: &[f32],
    batch: usize,
    from: usize,
    out: &mut [f32],
) {
    let (rows, columns) = (presynaptic.len() / batch, signal.len() / batch);
    if few_rows::correlates([rows, batch, columns]) {
        return few_rows::correlate(presynaptic, signal, batch, from, out);
    }
    let left = Operand(&presynaptic[from..], (1, rows));
    let sizes = [out.len() / columns, batch, columns];
    general(left, Operand(signal, (columns, 1)), sizes, out, Parallelism::None);
}

/// Multiplies a matrix by a square factor in place, block by block.
pub(super) fn multiply_square(matrix: FlexTensor, factor: FlexTensor, side: Side) -> FlexTensor {
    let (mut matrix, factor) = (readable(matrix), readable(factor));
    let ([rows, columns], [n, also_n]) = (size(&matrix), size(&factor));
    let inner = if side == Side::Left { rows } else { columns };
    assert!(n == inner && also_n == inner, "[{rows}, {columns}] times [{n}, {also_n}]");
    let (matrix_values, factor) = (values_mut(&mut matrix), Operand(values(&factor), (n, 1)));
    let parallelism = parallelism([rows, inner, columns]);
    let count = if side == Side::Left { columns } else { rows };
    with_scratch(BLOCK.min(count) * inner, |scratch| {
        for from in (0..count).step_by(BLOCK) {
            let width = BLOCK.min(count - from);
            let out = &mut scratch[..width * inner];
            if side == Side::Right {
                let block = &mut matrix_values[from * columns..(from + width) * columns];
                general(Operand(block, (columns, 1)), factor, [width, n, n], out, parallelism);
                block.copy_from_slice(out);
            } else {
                let block = Operand(&matrix_values[from..], (columns, 1));
                general(factor, block, [n, n, width], out, parallelism);
                let lines = matrix_values.chunks_exact_mut(columns);
                for (line, out) in lines.zip(out.chunks_exact(width)) {
                    line[from..from + width].copy_from_slice(out);
                }
            }
        }
    });
    matrix
}

fn parallelism(sizes: [usize; 3]) -> Parallelism {
    if few_rows::is_small(sizes) { Parallelism::None } else { Parallelism::Rayon(0) }
}

/// A matrix with its strides (row, column).
#[derive(Clone, Copy)]
pub(super) struct Operand<'a>(pub(super) &'a [f32], pub(super) (usize, usize));

impl Operand<'_> {
    fn holds(&self, rows: usize, columns: usize) -> bool {
        let (row, column) = self.1;
        rows * columns == 0 || (rows - 1) * row + (columns - 1) * column < self.0.len()
    }

    /// The matrix without its first rows and columns.
    fn from(self, row: usize, column: usize) -> Self {
        let strides = self.1;
        Self(&self.0[row * strides.0 + column * strides.1..], strides)
    }
}

fn general(
    left: Operand<'_>,
    right: Operand<'_>,
    [m, k, n]: [usize; 3],
    out: &mut [f32],
    parallelism: Parallelism,
) {
    assert!(left.holds(m, k) && right.holds(k, n) && out.len() == m * n);
    // A transposed left operand has to be copied, which pays where gemm packs the right one often.
    let pays = left.1.1 == 1 || m > ROWS;
    if pays && !matches!(parallelism, Parallelism::None) && panels::multiplies([m, k, n]) {
        return panels::multiply(left, right, [m, k, n], out);
    }
    for (part, out) in out.chunks_mut((ROWS * n).max(1)).enumerate() {
        let (left, rows) = (left.from(part * ROWS, 0), out.len() / n);
        // SAFETY: the operands hold what sizes and strides span, and `out` is exclusively borrowed.
        unsafe { multiply(left, right, [rows, k, n], out.as_mut_ptr(), n, parallelism) }
    }
}

/// A matrix product into rows that are `stride` apart.
///
/// # Safety
/// The operands contain the ranges that the sizes span; the rows of `out` are not accessed by
/// others.
pub(super) unsafe fn multiply(
    left: Operand<'_>,
    right: Operand<'_>,
    [m, k, n]: [usize; 3],
    out: *mut f32,
    stride: usize,
    parallelism: Parallelism,
) {
    let (Operand(a, left), Operand(b, right)) = (left, right);
    // SAFETY: the caller's promise.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            stride as isize,
            false,
            a.as_ptr(),
            left.1 as isize,
            left.0 as isize,
            b.as_ptr(),
            right.1 as isize,
            right.0 as isize,
            0f32,
            1f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}
