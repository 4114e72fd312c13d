//! Sums over the rows of every column, and the kernels that use them.
//!
//! A cube sums 32 columns over a part of the rows; if there are several parts, their sums are
//! summed in the same way. The order depends on the shape alone, so that the same input gives the
//! same bits. The units of a cube exchange sums in shared memory, except on a software device (a
//! CPU in place of a GPU), where one unit sums alone.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::memory::{buffer, empty_like, is_software, size};
use crate::backend::NORM_EPSILON;

/// Columns of a cube, and rows that it sums side by side on a GPU.
const WIDTH: u32 = 32;
const HEIGHT: u32 = 8;
/// Minimum number of rows of a part, and maximum number of parts.
const PART: usize = 1024;
const MAX_PARTS: usize = 1024;

/// The division of a matrix into parts.
struct Cut {
    rows: usize,
    columns: usize,
    part: usize,
    parts: usize,
    /// Rows that a cube sums side by side.
    height: u32,
}

impl Cut {
    fn of(matrix: &CubeTensor) -> Self {
        let [rows, columns] = size(matrix);
        let part = PART.max(rows.div_ceil(MAX_PARTS));
        let parts = rows.div_ceil(part).max(1);
        let height = if is_software(&matrix.client) { 1 } else { HEIGHT };
        Self { rows, columns, part, parts, height }
    }

    fn cubes(&self) -> (CubeCount, CubeDim) {
        let across = self.columns.div_ceil(WIDTH as usize) as u32;
        (CubeCount::Static(across, self.parts as u32, 1), CubeDim::new_2d(WIDTH, self.height))
    }

    /// Memory for the sums of all parts, `pair` of them per column.
    fn sums(&self, like: &CubeTensor, pair: usize) -> CubeTensor {
        empty_like(like, [self.parts, pair * self.columns])
    }
}

/// Sums over all rows from the sums of the parts.
fn whole(parts: CubeTensor) -> CubeTensor {
    if size(&parts)[0] == 1 { parts } else { sums(&parts, false) }
}

/// Launches a kernel that reads these tensors and sums the rows of each part, `$pair` sums per
/// column; then sums the parts.
macro_rules! sum_columns {
    ($kernel:ident, $pair:literal, $first:ident $(, $other:ident)*; $($setting:ident)?) => {{
        let cut = Cut::of($first);
        let ((count, dim), parts) = (cut.cubes(), cut.sums($first, $pair));
        $kernel::launch(
            &$first.client,
            count,
            dim,
            buffer($first),
            $(buffer($other),)*
            buffer(&parts),
            cut.rows,
            cut.columns,
            cut.part,
            cut.height,
            $($setting)?
        );
        whole(parts)
    }};
}

/// Sum of the values of every column, or of their squares: `[1, columns]`.
pub(super) fn sums(matrix: &CubeTensor, squares: bool) -> CubeTensor {
    sum_columns!(sum_values, 1, matrix; squares)
}

/// Sums of `d` and of `d^2` for every column, where `d` is a value minus that of the first row:
/// `[1, 2 columns]`.
pub(super) fn moments(matrix: &CubeTensor) -> CubeTensor {
    sum_columns!(sum_moments, 2, matrix;)
}

/// Sums of `s (x - mean)` and of `s` for every column: `[1, 2 columns]`. The means are the first
/// row of `statistics`.
pub(super) fn products(s: &CubeTensor, x: &CubeTensor, statistics: &CubeTensor) -> CubeTensor {
    sum_columns!(sum_products, 2, s, x, statistics;)
}

/// `target - output` in place of the output, and for every column the sums of its absolute values
/// and squares: `[1, 2 columns]`.
pub(super) fn errors(target: &CubeTensor, output: &CubeTensor) -> CubeTensor {
    sum_columns!(sum_errors, 2, target, output;)
}

/// Divides a row into `numbers` parts of equal length and sums each: `[1, numbers]`.
pub(super) fn totals(row: &CubeTensor, numbers: usize) -> CubeTensor {
    row_sums(row, numbers, size(row)[1] / numbers, false)
}

/// The sum of a row and the number of its values above zero: `[1, 2]`.
pub(super) fn total_and_count(row: &CubeTensor) -> CubeTensor {
    row_sums(row, 2, size(row)[1], true)
}

fn row_sums(row: &CubeTensor, numbers: usize, columns: usize, count: bool) -> CubeTensor {
    let totals = empty_like(row, [1, numbers]);
    let units = if is_software(&row.client) { 1 } else { WIDTH * HEIGHT };
    let (cubes, dim) = (CubeCount::Static(numbers as u32, 1, 1), CubeDim::new_1d(units));
    sum_row::launch(&row.client, cubes, dim, buffer(row), buffer(&totals), columns, units, count);
    totals
}

#[cube(launch)]
fn sum_values(
    matrix: &[f32],
    sums: &mut [f32],
    rows: usize,
    columns: usize,
    part: usize,
    #[comptime] height: u32,
    #[comptime] squares: bool,
) {
    let (column, start, end) = my_rows(rows, part);
    let mut sum = 0.0f32;
    if column < columns {
        for row in range_stepped(start, end, height as usize) {
            let x = matrix[row * columns + column];
            sum += if squares { x * x } else { x };
        }
    }
    write(sum, sums, CUBE_POS_Y as usize * columns + column, column < columns, height);
}

#[cube(launch)]
fn sum_moments(
    matrix: &[f32],
    sums: &mut [f32],
    rows: usize,
    columns: usize,
    part: usize,
    #[comptime] height: u32,
) {
    let (column, start, end) = my_rows(rows, part);
    let mut sum = 0.0f32;
    let mut squares = 0.0f32;
    if column < columns {
        let origin = matrix[column];
        for row in range_stepped(start, end, height as usize) {
            let x = matrix[row * columns + column] - origin;
            sum += x;
            squares += x * x;
        }
    }
    write_pair(sum, squares, sums, columns, column, height);
}

#[cube(launch)]
fn sum_products(
    signal: &[f32],
    input: &[f32],
    means: &[f32],
    sums: &mut [f32],
    rows: usize,
    columns: usize,
    part: usize,
    #[comptime] height: u32,
) {
    let (column, start, end) = my_rows(rows, part);
    let mut products = 0.0f32;
    let mut sum = 0.0f32;
    if column < columns {
        let mean = means[column];
        for row in range_stepped(start, end, height as usize) {
            let s = signal[row * columns + column];
            products += s * (input[row * columns + column] - mean);
            sum += s;
        }
    }
    write_pair(products, sum, sums, columns, column, height);
}

#[cube(launch)]
fn sum_errors(
    target: &[f32],
    output: &mut [f32],
    sums: &mut [f32],
    rows: usize,
    columns: usize,
    part: usize,
    #[comptime] height: u32,
) {
    let (column, start, end) = my_rows(rows, part);
    let mut absolute = 0.0f32;
    let mut squares = 0.0f32;
    if column < columns {
        for row in range_stepped(start, end, height as usize) {
            let at = row * columns + column;
            let error = target[at] - output[at];
            output[at] = error;
            absolute += f32::abs(error);
            squares += error * error;
        }
    }
    write_pair(absolute, squares, sums, columns, column, height);
}

/// The column of this unit, and its range of rows, taken in steps of `height`.
#[cube]
fn my_rows(rows: usize, part: usize) -> (usize, usize, usize) {
    let column = (CUBE_POS_X * WIDTH + UNIT_POS_X) as usize;
    let from = CUBE_POS_Y as usize * part;
    let end = select(from + part < rows, from + part, rows);
    (column, from + UNIT_POS_Y as usize, end)
}

#[cube]
fn write_pair(
    first: f32,
    second: f32,
    sums: &mut [f32],
    columns: usize,
    column: usize,
    #[comptime] height: u32,
) {
    let at = CUBE_POS_Y as usize * 2 * columns + column;
    write(first, sums, at, column < columns, height);
    write(second, sums, at + columns, column < columns, height);
}

/// Sums the values of the units of a column.
#[cube]
fn write(sum: f32, sums: &mut [f32], at: usize, there: bool, #[comptime] height: u32) {
    if comptime!(height == 1) {
        if there {
            sums[at] = sum;
        }
    } else {
        let mut shared = Shared::<[f32]>::new_slice((WIDTH * height) as usize);
        shared[UNIT_POS as usize] = sum;
        sync_cube();
        if UNIT_POS_Y == 0 && there {
            let mut all = 0.0f32;
            for y in 0..height {
                all += shared[(y * WIDTH + UNIT_POS_X) as usize];
            }
            sums[at] = all;
        }
        sync_cube();
    }
}

/// One cube per number; with `count` the second number is the count of values above zero.
#[cube(launch)]
fn sum_row(
    row: &[f32],
    totals: &mut [f32],
    columns: usize,
    #[comptime] units: u32,
    #[comptime] count: bool,
) {
    let mut sum = 0.0f32;
    for column in range_stepped(UNIT_POS as usize, columns, units as usize) {
        if count {
            let x = row[column];
            let counted = select(x > 0.0, 1.0f32, 0.0f32);
            sum += select(CUBE_POS_X == 0, x, counted);
        } else {
            sum += row[CUBE_POS_X as usize * columns + column];
        }
    }
    if comptime!(units == 1) {
        totals[CUBE_POS_X as usize] = sum;
    } else {
        let mut shared = Shared::<[f32]>::new_slice(units as usize);
        shared[UNIT_POS as usize] = sum;
        sync_cube();
        if UNIT_POS == 0 {
            let mut all = 0.0f32;
            for unit in 0..units {
                all += shared[unit as usize];
            }
            totals[CUBE_POS_X as usize] = all;
        }
    }
}

#[cube(launch)]
pub(super) fn unit_normalize(signal: &mut [f32], squares: &[f32], epsilon: f32, columns: usize) {
    let at = ABSOLUTE_POS;
    if at < signal.len() {
        let square = squares[at % columns];
        let norm = select(square > 0.0, f32::sqrt(square) + epsilon, 1.0);
        signal[at] = f32::max(f32::min(signal[at] / norm, 1.0), -1.0);
    }
}

/// `all` contains the sum of the squares and the number of columns that are not silent.
#[cube(launch)]
pub(super) fn equalize_units(signal: &mut [f32], squares: &[f32], all: &[f32], columns: usize) {
    let at = ABSOLUTE_POS;
    if at < signal.len() {
        let square = squares[at % columns];
        let mean = all[0] / f32::max(all[1], 1.0);
        let norm = select(square > 0.0, f32::sqrt(square), 1.0);
        signal[at] *= f32::sqrt(mean) / norm;
    }
}

#[cube(launch)]
pub(super) fn gate_signal(
    signal: &[f32],
    spikes: &[f32],
    gated: &mut [f32],
    squares: &[f32],
    columns: usize,
) {
    let at = ABSOLUTE_POS;
    if at < gated.len() {
        let norm = f32::sqrt(squares[at % columns]) + NORM_EPSILON;
        gated[at] = signal[at] * f32::abs(spikes[at] / norm);
    }
}

/// Divides rows of a correlation by the norms of their channels.
#[cube(launch)]
pub(super) fn normalize_presynaptic(
    correlation: &mut [f32],
    squares: &[f32],
    columns: usize,
    per_group: usize,
    outputs_per_group: usize,
) {
    let at = ABSOLUTE_POS;
    if at < correlation.len() {
        let group = at % columns / outputs_per_group;
        let channel = group * per_group + at / columns % per_group;
        correlation[at] /= f32::sqrt(squares[channel]) + NORM_EPSILON;
    }
}

#[cube(launch)]
pub(super) fn scale_shift(values: &mut [f32], scale: &[f32], shift: &[f32], columns: usize) {
    let at = ABSOLUTE_POS;
    if at < values.len() {
        let column = at % columns;
        values[at] = values[at] * scale[column] + shift[column];
    }
}

/// Uses the sums of [`moments`]; the units of the first row also write the statistics.
#[cube(launch)]
pub(super) fn batch_normalize(
    input: &[f32],
    sums: &[f32],
    scale: &[f32],
    shift: &[f32],
    output: &mut [f32],
    statistics: &mut [f32],
    rows: f32,
    epsilon: f32,
    columns: usize,
) {
    let at = ABSOLUTE_POS;
    if at < output.len() {
        let column = at % columns;
        let offset = sums[column] / rows;
        let mean = input[column] + offset;
        let variance = f32::max(sums[columns + column] / rows - offset * offset, 0.0);
        let deviation = f32::sqrt(variance + epsilon);
        output[at] = (input[at] - mean) / deviation * scale[column] + shift[column];
        if at < columns {
            statistics[column] = mean;
            statistics[columns + column] = deviation;
        }
    }
}

/// Uses the sums of [`products`]; the units of the first row also write the correlations.
#[cube(launch)]
pub(super) fn batch_normalize_signal(
    signal: &mut [f32],
    input: &[f32],
    sums: &[f32],
    statistics: &[f32],
    scale: &[f32],
    correlations: &mut [f32],
    rows: f32,
    columns: usize,
) {
    let at = ABSOLUTE_POS;
    if at < signal.len() {
        let column = at % columns;
        let (mean, deviation) = (statistics[column], statistics[columns + column]);
        let along = sums[column] / deviation;
        let sum = sums[columns + column];
        let normalized = (input[at] - mean) / deviation;
        let below = signal[at] - sum / rows - normalized * along / rows;
        signal[at] = below * scale[column] / deviation;
        if at < columns {
            correlations[column] = along;
            correlations[columns + column] = sum;
        }
    }
}

/// Divides a matrix by the root of a sum of squares.
#[cube(launch)]
pub(super) fn divide_by_norm(matrix: &mut [f32], square: &[f32]) {
    let at = ABSOLUTE_POS;
    if at < matrix.len() {
        matrix[at] /= f32::sqrt(square[0]) + NORM_EPSILON;
    }
}
