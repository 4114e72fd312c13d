//! The algorithm along one axis: its matrices, and their products with a line of vectors.
//!
//! Outputs are coefficients of a product of polynomials, computed from its values at points. Tiles
//! with fewer outputs omit the last points, so that a kernel transformed at all points serves tiles
//! of every size.
//!
//! Points other than zero and infinity come in pairs `a, -a`. The sums over even powers are equal
//! for both, those over odd powers differ in sign: each is computed once.

use pulp::Simd;

/// Maximum number of outputs of a tile along an axis.
pub(super) const SIDE: usize = 6;
/// Maximum number of points; `n` outputs need `n + 2`, and as many inputs.
pub(super) const POINTS: usize = SIDE + 2;
/// The points after the first one, which is infinity (the points of Lavin and Gray 2016 in another
/// order).
const FINITE: [f64; POINTS - 1] = [0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5];

/// One row per point.
type Rows = [[f32; POINTS]; POINTS];

/// A matrix with one row per point in use.
pub(super) trait Matrix {
    /// The rows; unused elements are zero.
    const ROWS: Rows;
    /// Whether the rows of `a` and `-a` differ only in the sign of odd columns.
    const PAIRED: bool;
}

/// A family of matrices, one for every number of outputs.
pub(super) trait Family {
    /// The matrix for a number of outputs.
    type Of<const OUTPUTS: usize>: Matrix;
    /// Number of columns in addition to the number of outputs.
    const EXTRA: usize;
}

/// `B'`, from inputs to points.
pub(super) struct Inputs;
/// `A`, from outputs to points.
pub(super) struct Outputs;

/// [`Inputs`] for a number of outputs.
pub(super) struct InputsOf<const OUTPUTS: usize>;
/// [`Outputs`] for a number of outputs.
pub(super) struct OutputsOf<const OUTPUTS: usize>;
/// `G`, from the three values of a kernel to all points.
pub(super) struct Kernel;

impl Family for Inputs {
    type Of<const OUTPUTS: usize> = InputsOf<OUTPUTS>;
    const EXTRA: usize = 2;
}

impl Family for Outputs {
    type Of<const OUTPUTS: usize> = OutputsOf<OUTPUTS>;
    const EXTRA: usize = 0;
}

impl<const OUTPUTS: usize> Matrix for InputsOf<OUTPUTS> {
    const ROWS: Rows = inputs(OUTPUTS);
    const PAIRED: bool = OUTPUTS.is_multiple_of(2);
}

impl<const OUTPUTS: usize> Matrix for OutputsOf<OUTPUTS> {
    const ROWS: Rows = powers(OUTPUTS + 1, OUTPUTS, false);
    const PAIRED: bool = true;
}

impl Matrix for Kernel {
    const ROWS: Rows = powers(POINTS - 1, 3, true);
    const PAIRED: bool = true;
}

/// Coefficients of the product of `x - a` over the first `points` points except number `without`.
const fn polynomial(points: usize, without: usize) -> [f64; POINTS] {
    let mut product = [0.0; POINTS];
    product[0] = 1.0;
    let mut point = 0;
    while point < points {
        if point != without {
            let mut power = POINTS - 1;
            while power > 0 {
                product[power] = product[power - 1] - FINITE[point] * product[power];
                power -= 1;
            }
            product[0] *= -FINITE[point];
        }
        point += 1;
    }
    product
}

/// The product of [`polynomial`] at point number `without`.
const fn at_its_point(points: usize, without: usize) -> f64 {
    let mut product = 1.0;
    let mut point = 0;
    while point < points {
        if point != without {
            product *= FINITE[without] - FINITE[point];
        }
        point += 1;
    }
    product
}

/// Lagrange polynomials without the factors that [`Kernel`] is divided by.
const fn inputs(outputs: usize) -> Rows {
    let points = outputs + 1;
    let mut rows = [[0.0; POINTS]; POINTS];
    let mut row = 0;
    while row <= points {
        // Infinity omits no point.
        let (without, scale) = match row {
            0 => (points, 1.0),
            _ => (row - 1, at_its_point(POINTS - 1, row - 1) / at_its_point(points, row - 1)),
        };
        let coefficients = polynomial(points, without);
        let mut power = 0;
        while power < POINTS {
            rows[row][power] = (scale * coefficients[power]) as f32;
            power += 1;
        }
        row += 1;
    }
    rows
}

/// Powers of the points; if `divided`, those of finite points are divided by the factors that
/// [`inputs`] omits.
const fn powers(points: usize, columns: usize, divided: bool) -> Rows {
    let mut rows = [[0.0; POINTS]; POINTS];
    rows[0][columns - 1] = 1.0;
    let mut row = 1;
    while row <= points {
        let mut power = if divided { 1.0 / at_its_point(POINTS - 1, row - 1) } else { 1.0 };
        let mut column = 0;
        while column < columns {
            rows[row][column] = power as f32;
            power *= FINITE[row - 1];
            column += 1;
        }
        row += 1;
    }
    rows
}

/// A line of vectors; unused ones are arbitrary.
pub(super) type Line<S> = [<S as Simd>::f32s; POINTS];

/// Expands its body once for every point, with its index as a constant.
macro_rules! for_each_point {
    ($index:ident => $body:expr) => { for_each_point!([0 1 2 3 4 5 6 7] $index => $body) };
    ([$($point:literal)*] $index:ident => $body:expr) => {{
        $({
            let $index: usize = $point;
            $body;
        })*
    }};
}
pub(super) use for_each_point;

/// Expands its body once for every number of outputs, as a constant.
macro_rules! for_outputs {
    ([$($n:literal)*] $outputs:expr, $constant:ident => $body:expr) => {
        match $outputs {
            $($n => { const $constant: usize = $n; $body })*
            _ => { const $constant: usize = SIDE; $body }
        }
    };
    ($outputs:expr, $constant:ident => $body:expr) => {
        for_outputs!([1 2 3 4 5] $outputs, $constant => $body)
    };
}
pub(super) use for_outputs;

/// Product of a matrix with a line.
#[inline(always)]
pub(super) fn to_points<S: Simd, M: Matrix>(simd: S, x: Line<S>) -> Line<S> {
    let mut y = [simd.splat_f32s(0.0); POINTS];
    for_each_point!(row => {
        if !is_paired::<M>(row) {
            y[row] = dot::<S, M>(simd, row, x, 0, 1);
        } else if row.is_multiple_of(2) {
            let even = dot::<S, M>(simd, row, x, 0, 2);
            let odd = dot::<S, M>(simd, row, x, 1, 2);
            y[row] = simd.add_f32s(even, odd);
            y[second(row)] = simd.sub_f32s(even, odd);
        }
    });
    y
}

/// Product of the transpose of a matrix with a line.
#[inline(always)]
pub(super) fn from_points<S: Simd, M: Matrix>(simd: S, mut x: Line<S>) -> Line<S> {
    for_each_point!(row => {
        if is_paired::<M>(row) && row.is_multiple_of(2) {
            let (plus, minus) = (x[row], x[second(row)]);
            x[row] = simd.add_f32s(plus, minus);
            x[second(row)] = simd.sub_f32s(plus, minus);
        }
    });
    let mut y = [simd.splat_f32s(0.0); POINTS];
    for_each_point!(column => {
        let mut sum = Sum::<S>(None);
        for_each_point!(row => {
            // The sum of a pair serves even columns, the difference odd ones.
            let paired = is_paired::<M>(row);
            if !paired || row % 2 == column % 2 {
                let of = if paired { row / 2 * 2 } else { row };
                sum = sum.plus(simd, M::ROWS[of][column], x[row]);
            }
        });
        if let Some(sum) = sum.0 {
            y[column] = sum;
        }
    });
    y
}

/// True if a row belongs to a pair whose rows are both in use.
#[inline(always)]
fn is_paired<M: Matrix>(row: usize) -> bool {
    // Infinity and zero come first. Rows in use have a nonzero value in one of the first columns.
    let last = M::ROWS[second(row)];
    M::PAIRED && row >= 2 && (last[0] != 0.0 || last[1] != 0.0)
}

/// The second row of the pair of a row.
#[inline(always)]
fn second(row: usize) -> usize {
    row / 2 * 2 + 1
}

/// Dot product of a row with a line, over every `step`th column.
#[inline(always)]
fn dot<S: Simd, M: Matrix>(simd: S, row: usize, x: Line<S>, from: usize, step: usize) -> S::f32s {
    let mut sum = Sum::<S>(None);
    for_each_point!(column => {
        if column % step == from {
            sum = sum.plus(simd, M::ROWS[row][column], x[column]);
        }
    });
    sum.0.unwrap_or(simd.splat_f32s(0.0))
}

/// A sum of products that omits factors known to be zero.
struct Sum<S: Simd>(Option<S::f32s>);

impl<S: Simd> Sum<S> {
    #[inline(always)]
    fn plus(self, simd: S, factor: f32, x: S::f32s) -> Self {
        Self(match self.0 {
            sum if factor == 0.0 => sum,
            Some(sum) if factor == 1.0 => Some(simd.add_f32s(sum, x)),
            Some(sum) => Some(simd.mul_add_e_f32s(simd.splat_f32s(factor), x, sum)),
            None if factor == 1.0 => Some(x),
            None => Some(simd.mul_f32s(simd.splat_f32s(factor), x)),
        })
    }
}
