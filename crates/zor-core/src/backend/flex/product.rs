//! Matrix products, either operand transposed by its strides, into memory that is there.

use burn_flex::FlexTensor;

use super::memory::{reuse, size, values, values_mut};
use crate::backend::Transposed;

/// Multiply-adds from which a matrix product is worth several threads.
const PARALLEL_PRODUCT_FROM: usize = 1 << 20;

pub(super) fn matrix_product(
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
