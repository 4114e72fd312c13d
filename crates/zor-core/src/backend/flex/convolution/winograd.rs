//! 3x3 convolutions with stride 1 as Winograd's F(4x4, 3x3) (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
//! Networks"), and the exact adjoint of the same algorithm for learning.
//!
//! A tile of 6x6 inputs `x` and the kernel `g` give 4x4 outputs: `y = A' [(G g G') * (B' x B)] A`, where `*` is a matrix product over
//! channels for each of the 36 positions: 36 multiply-adds instead of 144. With the signal `s` of the outputs,
//! `D = A s A'` serves both passes down: the kernel's correlation is `G' (V' D) G` with `V = B' x B`, and the input's signal `B (D U') B'`.
//!
//! Relative error against f64: about 2e-6 for outputs and signals, 1e-5 for correlations (see the tests).

use pulp::Simd;
use rayon::prelude::*;

use crate::backend::Geometry;
use crate::backend::flex::blocks::{LANES, ROWS, Shared, load, load_some, store, widest};
use crate::backend::flex::scratch::with_scratch;

/// Positions of a transformed tile.
const POSITIONS: usize = 36;
/// Tiles that are transformed and multiplied at once, at most.
const TILES: usize = 128;
/// Rows of a kernel that one task transforms.
const KERNEL_ROWS: usize = 16;
/// Columns side by side in a plane. A strip as deep as 256 channels is half of the nearest cache; the other half is for the rows that pass it.
const STRIP: usize = LANES;
/// Between strips and planes, so that they do not fall on the same cache lines.
const GAP: usize = 16;

/// Whether this algorithm computes such a convolution, and faster than the direct one.
pub(super) fn suits(geometry: &Geometry) -> bool {
    let window = geometry.window;
    let [height, width, _] = geometry.output();
    window.kernel == [3, 3]
        && window.stride == [1, 1]
        && window.dilation == [1, 1]
        && geometry.groups == 1
        && geometry.input[2] >= 8
        && geometry.channels >= 8
        && height.min(width) >= 3
}

/// A batch of maps cut into tiles.
#[derive(Clone, Copy)]
struct Tiling {
    geometry: Geometry,
    /// Tiles down and across one output map.
    down: usize,
    across: usize,
}

impl Tiling {
    fn new(geometry: Geometry) -> Self {
        let [height, width, _] = geometry.output();
        Self { geometry, down: height.div_ceil(4), across: width.div_ceil(4) }
    }

    fn per_map(&self) -> usize {
        self.down * self.across
    }

    /// Where the 36 pixels under tile `tile` start in the inputs, or `outside` for those over the edge.
    #[inline(always)]
    fn inputs(&self, tile: usize, start: *const f32, outside: *const f32) -> [*const f32; 36] {
        let [height, width, channels] = self.geometry.input;
        let padding = self.geometry.window.padding;
        let (map, rest) = (tile / self.per_map(), tile % self.per_map());
        let top = (rest / self.across * 4) as isize - padding[0] as isize;
        let left = (rest % self.across * 4) as isize - padding[1] as isize;
        let mut pixels = [outside; 36];
        for r in 0..6 {
            for c in 0..6 {
                let (y, x) = (top + r as isize, left + c as isize);
                if (0..height as isize).contains(&y) && (0..width as isize).contains(&x) {
                    let pixel = (map * height + y as usize) * width + x as usize;
                    pixels[r * 6 + c] = start.wrapping_add(pixel * channels);
                }
            }
        }
        pixels
    }

    /// The same for the 16 pixels of the tile's output.
    #[inline(always)]
    fn outputs(&self, tile: usize, start: *const f32, outside: *const f32) -> [*const f32; 16] {
        let [height, width, channels] = self.geometry.output();
        let (map, rest) = (tile / self.per_map(), tile % self.per_map());
        let (top, left) = (rest / self.across * 4, rest % self.across * 4);
        let mut pixels = [outside; 16];
        for r in 0..4 {
            for c in 0..4 {
                let (y, x) = (top + r, left + c);
                if y < height && x < width {
                    pixels[r * 4 + c] =
                        start.wrapping_add(((map * height + y) * width + x) * channels);
                }
            }
        }
        pixels
    }
}

/// Transformed tiles or kernels: 36 matrices of so many rows, each in strips of [`STRIP`] columns, the last padded.
#[derive(Clone, Copy)]
struct Planes {
    start: *mut f32,
    rows: usize,
    columns: usize,
}

// SAFETY: planes that tasks share are only read.
unsafe impl Send for Planes {}
// SAFETY: as above.
unsafe impl Sync for Planes {}

impl Planes {
    fn len(rows: usize, columns: usize) -> usize {
        POSITIONS * Self::plane(rows, columns)
    }

    fn plane(rows: usize, columns: usize) -> usize {
        columns.div_ceil(STRIP) * Self::strip(rows) + GAP
    }

    /// Blocks of rows are computed whole: what is beyond the last one's rows is there, and means nothing.
    fn strip(rows: usize) -> usize {
        rows.next_multiple_of(ROWS) * STRIP + GAP
    }

    fn new(memory: &mut [f32], rows: usize, columns: usize) -> Self {
        assert!(memory.len() >= Self::len(rows, columns));
        Self { start: memory.as_mut_ptr(), rows, columns }
    }

    fn strips(&self) -> usize {
        self.columns.div_ceil(STRIP)
    }

    /// Where a row begins at one position, from this column on.
    #[inline(always)]
    fn at(&self, position: usize, row: usize, column: usize) -> *mut f32 {
        let plane = position * Self::plane(self.rows, self.columns);
        let strip = column / STRIP * Self::strip(self.rows);
        self.start.wrapping_add(plane + strip + row * STRIP + column % STRIP)
    }
}

/// The outputs of a batch.
pub(super) fn forward(geometry: Geometry, input: &[f32], kernel: &[f32], output: &mut [f32]) {
    let tiling = Tiling::new(geometry);
    let [inputs, outputs] = [geometry.input[2], geometry.channels];
    let tiles = input.len() / geometry.input.iter().product::<usize>() * tiling.per_map();
    let chunk = chunk_size(tiles);
    with_scratch(Planes::len(inputs, outputs), |memory| {
        let kernel = transform_kernel(kernel, inputs, outputs, false, memory);
        let output = Shared::new(output);
        (0..tiles.div_ceil(chunk)).into_par_iter().for_each(|index| {
            let range = index * chunk..((index + 1) * chunk).min(tiles);
            with_tile_memory(chunk, inputs, outputs, |v, m, outside| {
                pulp::Arch::new().dispatch(Forward {
                    tiling,
                    range,
                    input,
                    kernel,
                    output,
                    v,
                    m,
                    outside,
                });
            });
        });
    });
}

/// What a batch teaches: the correlation of inputs and signal, and the signal of the inputs, where wanted.
pub(super) fn learn(
    geometry: Geometry,
    input: &[f32],
    signal: &[f32],
    kernel: &[f32],
    correlation: Option<&mut [f32]>,
    below: Option<&mut [f32]>,
) {
    let tiling = Tiling::new(geometry);
    let [inputs, outputs] = [geometry.input[2], geometry.channels];
    let map = geometry.input.iter().product::<usize>();
    let batch = signal.len() / geometry.output().iter().product::<usize>();
    // Correlations are summed by part, so the sum depends on the number of threads, and on nothing else.
    let parts = rayon::current_num_threads().clamp(1, 16).min(batch);
    let chunk = chunk_size(batch.div_ceil(parts) * tiling.per_map());
    let correlated = if correlation.is_some() { Planes::len(inputs, outputs) } else { 0 };
    let transposed = if below.is_some() { Planes::len(outputs, inputs) } else { 0 };
    with_scratch(transposed + parts * correlated, |memory| {
        let (transposed, sums) = memory.split_at_mut(transposed);
        let kernel =
            below.is_some().then(|| transform_kernel(kernel, inputs, outputs, true, transposed));
        let sums: Vec<Planes> = match correlated {
            0 => Vec::new(),
            len => sums.chunks_mut(len).map(|part| Planes::new(part, inputs, outputs)).collect(),
        };
        let below = below.map(Shared::new);
        (0..parts).into_par_iter().for_each(|part| {
            let maps = part * batch / parts..(part + 1) * batch / parts;
            let tiles = maps.start * tiling.per_map()..maps.end * tiling.per_map();
            if let Some(below) = below {
                // SAFETY: every part has maps of its own.
                unsafe {
                    std::slice::from_raw_parts_mut(below.at(maps.start * map), maps.len() * map)
                }
                .fill(0.0);
            }
            with_tile_memory(chunk, inputs, outputs, |v, m, outside| {
                for from in tiles.clone().step_by(chunk) {
                    pulp::Arch::new().dispatch(Learn {
                        tiling,
                        range: from..(from + chunk).min(tiles.end),
                        first: from == tiles.start,
                        input,
                        signal,
                        kernel,
                        sum: sums.get(part).copied(),
                        below,
                        v,
                        m,
                        outside,
                    });
                }
            });
        });
        if let Some(correlation) = correlation {
            let correlation = Shared::new(correlation);
            (0..inputs).into_par_iter().for_each(|row| {
                pulp::Arch::new().dispatch(Correlation { sums: &sums, row, correlation });
            });
        }
    });
}

/// Tiles of a chunk: at most [`TILES`], the same number for every thread.
fn chunk_size(tiles: usize) -> usize {
    let threads = rayon::current_num_threads().max(1);
    let chunks = tiles.div_ceil(TILES).next_multiple_of(threads);
    tiles.div_ceil(chunks).clamp(1, TILES)
}

/// Memory for transformed inputs and outputs of so many tiles, and a row of zeros.
fn with_tile_memory(
    tiles: usize,
    inputs: usize,
    outputs: usize,
    task: impl FnOnce(Planes, Planes, &mut [f32]),
) {
    let (v, m) = (Planes::len(tiles, inputs), Planes::len(tiles, outputs));
    let row = inputs.max(outputs).next_multiple_of(LANES);
    with_scratch(v + m + row, |memory| {
        let (v_memory, rest) = memory.split_at_mut(v);
        let (m_memory, outside) = rest.split_at_mut(m);
        outside.fill(0.0);
        task(Planes::new(v_memory, tiles, inputs), Planes::new(m_memory, tiles, outputs), outside);
    });
}

struct Forward<'a> {
    tiling: Tiling,
    range: std::ops::Range<usize>,
    input: &'a [f32],
    kernel: Planes,
    output: Shared,
    v: Planes,
    m: Planes,
    outside: &'a mut [f32],
}

impl pulp::WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiling, range, input, kernel, output, v, m, outside } = self;
        let count = range.len();
        let mut pixels = [[std::ptr::null(); 36]; TILES];
        for (pixels, tile) in pixels.iter_mut().zip(range.clone()) {
            *pixels = tiling.inputs(tile, input.as_ptr(), outside.as_mut_ptr());
        }
        transform_tiles::<S, IntoInputs, 6, 36>(simd, &pixels[..count], v);
        for position in 0..POSITIONS {
            multiply(simd, count, v, kernel, m, position);
        }
        let mut pixels = [[std::ptr::null(); 16]; TILES];
        for (pixels, tile) in pixels.iter_mut().zip(range) {
            *pixels = tiling.outputs(tile, output.at(0), outside.as_mut_ptr());
        }
        restore_tiles::<S, FromOutputs, 4, 16, false>(simd, &pixels[..count], m);
    }
}

struct Learn<'a> {
    tiling: Tiling,
    range: std::ops::Range<usize>,
    /// Whether the sum starts here.
    first: bool,
    input: &'a [f32],
    signal: &'a [f32],
    kernel: Option<Planes>,
    sum: Option<Planes>,
    below: Option<Shared>,
    v: Planes,
    m: Planes,
    outside: &'a mut [f32],
}

impl pulp::WithSimd for Learn<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiling, range, first, input, signal, kernel, sum, below, v, m, outside } = self;
        let count = range.len();
        outside.fill(0.0);
        let mut pixels = [[std::ptr::null(); 16]; TILES];
        for (pixels, tile) in pixels.iter_mut().zip(range.clone()) {
            *pixels = tiling.outputs(tile, signal.as_ptr(), outside.as_mut_ptr());
        }
        transform_tiles::<S, IntoOutputs, 4, 16>(simd, &pixels[..count], m);
        let mut pixels = [[std::ptr::null(); 36]; TILES];
        if let Some(sum) = sum {
            for (pixels, tile) in pixels.iter_mut().zip(range.clone()) {
                *pixels = tiling.inputs(tile, input.as_ptr(), outside.as_mut_ptr());
            }
            transform_tiles::<S, IntoInputs, 6, 36>(simd, &pixels[..count], v);
            for position in 0..POSITIONS {
                correlate(simd, count, v, m, sum, position, !first);
            }
        }
        if let (Some(kernel), Some(below)) = (kernel, below) {
            for position in 0..POSITIONS {
                multiply(simd, count, m, kernel, v, position);
            }
            for (pixels, tile) in pixels.iter_mut().zip(range) {
                *pixels = tiling.inputs(tile, below.at(0), outside.as_mut_ptr());
            }
            restore_tiles::<S, FromInputs, 6, 36, true>(simd, &pixels[..count], v);
        }
    }
}

/// `to = left @ right` at one position, for the first `count` rows.
#[inline(always)]
fn multiply<S: Simd>(
    simd: S,
    count: usize,
    left: Planes,
    right: Planes,
    to: Planes,
    position: usize,
) {
    assert!(left.columns <= right.rows && count <= left.rows.min(to.rows));
    let vectors = to.strips() * STRIP / S::F32_LANES;
    for first in (0..vectors).step_by(widest::<S>()) {
        let column = first * S::F32_LANES;
        for row in (0..count).step_by(ROWS) {
            // SAFETY: all rows lie in the planes, whose strips hold whole blocks of rows.
            unsafe {
                match (vectors - first).min(widest::<S>()) {
                    1 => multiply_block::<S, 1>(simd, left, right, to, position, row, column),
                    2 => multiply_block::<S, 2>(simd, left, right, to, position, row, column),
                    3 => multiply_block::<S, 3>(simd, left, right, to, position, row, column),
                    _ => multiply_block::<S, 4>(simd, left, right, to, position, row, column),
                }
            }
        }
    }
}

/// Adds the products of a row of the right operand and what stands at one column of the left one's rows.
#[inline(always)]
unsafe fn multiply_add<S: Simd, const N: usize>(
    simd: S,
    right: [*const f32; N],
    rows: *const f32,
    sums: &mut [[S::f32s; N]; ROWS],
) {
    let mut vectors = [simd.splat_f32s(0.0); N];
    // SAFETY: the caller vouches for a row of both operands.
    unsafe {
        for n in 0..N {
            vectors[n] = load::<S>(right[n]);
        }
        for r in 0..ROWS {
            let value = simd.splat_f32s(*rows.add(r * STRIP));
            for n in 0..N {
                sums[r][n] = simd.mul_add_e_f32s(value, vectors[n], sums[r][n]);
            }
        }
    }
}

/// The block of [`multiply`] that begins at a row and a column and is `N` vectors wide.
#[inline(always)]
unsafe fn multiply_block<S: Simd, const N: usize>(
    simd: S,
    left: Planes,
    right: Planes,
    to: Planes,
    position: usize,
    row: usize,
    column: usize,
) {
    let mut rights = [right.start.cast_const(); N];
    for n in 0..N {
        rights[n] = right.at(position, 0, column + n * S::F32_LANES);
    }
    let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
    for done in (0..left.columns).step_by(STRIP) {
        let rows = left.at(position, row, done).cast_const();
        let depth = left.columns - done;
        // SAFETY: the caller vouches for the rows of both operands.
        unsafe {
            if depth >= STRIP {
                // As often as the compiler knows: it unrolls.
                for j in 0..STRIP {
                    multiply_add(
                        simd,
                        rights.map(|right| right.add((done + j) * STRIP)),
                        rows.add(j),
                        &mut sums,
                    );
                }
            } else {
                for j in 0..depth {
                    multiply_add(
                        simd,
                        rights.map(|right| right.add((done + j) * STRIP)),
                        rows.add(j),
                        &mut sums,
                    );
                }
            }
        }
    }
    for n in 0..N {
        let start = to.at(position, row, column + n * S::F32_LANES);
        for r in 0..ROWS {
            // SAFETY: as above.
            unsafe { store::<S>(start.add(r * STRIP), sums[r][n]) };
        }
    }
}

/// `to = left^T @ right` at one position, over the first `count` rows of both, or that added to what is there.
#[inline(always)]
fn correlate<S: Simd>(
    simd: S,
    count: usize,
    left: Planes,
    right: Planes,
    to: Planes,
    position: usize,
    add: bool,
) {
    assert!(left.columns <= to.rows && count <= left.rows.min(right.rows));
    let vectors = to.strips() * STRIP / S::F32_LANES;
    for first in (0..vectors).step_by(widest::<S>()) {
        let column = first * S::F32_LANES;
        for row in (0..left.columns).step_by(ROWS) {
            let mut lefts = [left.start.cast_const(); ROWS];
            for r in 0..ROWS {
                lefts[r] = left.at(position, 0, (row + r).min(left.columns - 1));
            }
            let block = Block { count, lefts, right, to, position, row, column, add };
            // SAFETY: all rows lie in the planes, whose strips hold whole blocks of rows.
            unsafe {
                match (vectors - first).min(widest::<S>()) {
                    1 => correlate_block::<S, 1>(simd, block),
                    2 => correlate_block::<S, 2>(simd, block),
                    3 => correlate_block::<S, 3>(simd, block),
                    _ => correlate_block::<S, 4>(simd, block),
                }
            }
        }
    }
}

/// A block of [`correlate`] that begins at a row and a column.
struct Block {
    count: usize,
    /// The left operand's columns.
    lefts: [*const f32; ROWS],
    right: Planes,
    to: Planes,
    position: usize,
    row: usize,
    column: usize,
    add: bool,
}

#[inline(always)]
unsafe fn correlate_block<S: Simd, const N: usize>(simd: S, block: Block) {
    let Block { count, lefts, right, to, position, row, column, add } = block;
    let mut rights = [right.start.cast_const(); N];
    for n in 0..N {
        rights[n] = right.at(position, 0, column + n * S::F32_LANES);
    }
    let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
    for j in 0..count {
        let mut vectors = [simd.splat_f32s(0.0); N];
        // SAFETY: the caller vouches for `count` rows of both operands.
        unsafe {
            for n in 0..N {
                vectors[n] = load::<S>(rights[n].add(j * STRIP));
            }
            for r in 0..ROWS {
                let value = simd.splat_f32s(*lefts[r].add(j * STRIP));
                for n in 0..N {
                    sums[r][n] = simd.mul_add_e_f32s(value, vectors[n], sums[r][n]);
                }
            }
        }
    }
    for n in 0..N {
        let start = to.at(position, row, column + n * S::F32_LANES);
        for r in 0..ROWS {
            // SAFETY: as above.
            unsafe {
                let at = start.add(r * STRIP);
                let sum = if add { simd.add_f32s(sums[r][n], load::<S>(at)) } else { sums[r][n] };
                store::<S>(at, sum);
            }
        }
    }
}

/// Loads squares of `N * N` pixels, transforms them to 6x6 and writes them to the planes; strip by strip, so that few pages are
/// written at a time.
#[inline(always)]
fn transform_tiles<S: Simd, T: Transform<N, 6>, const N: usize, const PIXELS: usize>(
    simd: S,
    tiles: &[[*const f32; PIXELS]],
    to: Planes,
) {
    let plane = Planes::plane(to.rows, to.columns);
    for channel in (0..to.columns).step_by(S::F32_LANES) {
        let left = to.columns - channel;
        for (row, pixels) in tiles.iter().enumerate() {
            let start = to.at(0, row, channel);
            let mut lines = [[simd.splat_f32s(0.0); 6]; N];
            for (r, line) in lines.iter_mut().enumerate() {
                let mut values = [simd.splat_f32s(0.0); N];
                for (c, value) in values.iter_mut().enumerate() {
                    let from = pixels[r * N + c].wrapping_add(channel);
                    // SAFETY: a pixel has `columns` channels, of which `left` are left.
                    *value = unsafe { load_some(simd, from, left) };
                }
                *line = T::apply(simd, values);
            }
            for c in 0..6 {
                let column = T::apply(simd, column(&lines, c));
                for (r, value) in column.into_iter().enumerate() {
                    // SAFETY: inside plane `r * 6 + c`.
                    unsafe { store::<S>(start.add((r * 6 + c) * plane), value) };
                }
            }
        }
    }
}

/// Reads 6x6 values from the planes and brings them back to squares of `N * N` pixels, added to what is there or not.
#[inline(always)]
fn restore_tiles<
    S: Simd,
    T: Transform<6, N>,
    const N: usize,
    const PIXELS: usize,
    const ADD: bool,
>(
    simd: S,
    tiles: &[[*const f32; PIXELS]],
    from: Planes,
) {
    let plane = Planes::plane(from.rows, from.columns);
    for channel in (0..from.columns).step_by(S::F32_LANES) {
        let left = from.columns - channel;
        for (row, pixels) in tiles.iter().enumerate() {
            let start = from.at(0, row, channel).cast_const();
            let mut lines = [[simd.splat_f32s(0.0); N]; 6];
            for (r, line) in lines.iter_mut().enumerate() {
                let mut values = [simd.splat_f32s(0.0); 6];
                for (c, value) in values.iter_mut().enumerate() {
                    // SAFETY: inside plane `r * 6 + c`.
                    *value = unsafe { load::<S>(start.add((r * 6 + c) * plane)) };
                }
                *line = T::apply(simd, values);
            }
            for c in 0..N {
                let column = T::apply(simd, column(&lines, c));
                for (r, value) in column.into_iter().enumerate() {
                    let to = pixels[r * N + c].wrapping_add(channel).cast_mut();
                    // SAFETY: a pixel has `columns` channels, of which `left` are left, and this task owns it.
                    unsafe {
                        if left >= S::F32_LANES {
                            let value =
                                if ADD { simd.add_f32s(load::<S>(to), value) } else { value };
                            store::<S>(to, value);
                        } else {
                            let to = std::slice::from_raw_parts_mut(to, left);
                            let value = if ADD {
                                simd.add_f32s(simd.partial_load_f32s(to), value)
                            } else {
                                value
                            };
                            simd.partial_store_f32s(to, value);
                        }
                    }
                }
            }
        }
    }
}

/// `G k G'` of every kernel, or of the transposed kernels.
fn transform_kernel(
    kernel: &[f32],
    inputs: usize,
    outputs: usize,
    transposed: bool,
    memory: &mut [f32],
) -> Planes {
    let (rows, columns) = if transposed { (outputs, inputs) } else { (inputs, outputs) };
    let planes = Planes::new(memory, rows, columns);
    (0..rows.div_ceil(KERNEL_ROWS)).into_par_iter().for_each(|block| {
        let rows = block * KERNEL_ROWS..((block + 1) * KERNEL_ROWS).min(rows);
        pulp::Arch::new().dispatch(Kernels { kernel, inputs, outputs, transposed, rows, planes });
    });
    planes
}

struct Kernels<'a> {
    kernel: &'a [f32],
    inputs: usize,
    outputs: usize,
    transposed: bool,
    rows: std::ops::Range<usize>,
    planes: Planes,
}

impl pulp::WithSimd for Kernels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kernel, inputs, outputs, transposed, rows, planes } = self;
        let plane = Planes::plane(planes.rows, planes.columns);
        let mut taps = [[[0f32; STRIP]; 9]; KERNEL_ROWS];
        for first in (0..planes.columns).step_by(STRIP) {
            let columns = (planes.columns - first).min(STRIP);
            for tap in 0..9 {
                if transposed {
                    for column in 0..columns {
                        let from = (tap * inputs + first + column) * outputs + rows.start;
                        for (row, value) in kernel[from..from + rows.len()].iter().enumerate() {
                            taps[row][tap][column] = *value;
                        }
                    }
                } else {
                    for (index, row) in rows.clone().enumerate() {
                        let from = (tap * inputs + row) * outputs + first;
                        taps[index][tap][..columns].copy_from_slice(&kernel[from..from + columns]);
                    }
                }
            }
            for (index, row) in rows.clone().enumerate() {
                for tap in &mut taps[index] {
                    tap[columns..].fill(0.0);
                }
                let start = planes.at(0, row, first);
                for lane in (0..STRIP).step_by(S::F32_LANES) {
                    let mut lines = [[simd.splat_f32s(0.0); 6]; 3];
                    for (r, line) in lines.iter_mut().enumerate() {
                        let mut values = [simd.splat_f32s(0.0); 3];
                        for (c, value) in values.iter_mut().enumerate() {
                            // SAFETY: a row of taps is a strip wide.
                            *value =
                                unsafe { load::<S>(taps[index][r * 3 + c].as_ptr().add(lane)) };
                        }
                        *line = IntoKernel::apply(simd, values);
                    }
                    for c in 0..6 {
                        let column = IntoKernel::apply(simd, column(&lines, c));
                        for (r, value) in column.into_iter().enumerate() {
                            // SAFETY: inside plane `r * 6 + c`, and this task owns the row.
                            unsafe { store::<S>(start.add((r * 6 + c) * plane + lane), value) };
                        }
                    }
                }
            }
        }
    }
}

/// `G' (sum of the parts) G` for one input channel.
struct Correlation<'a> {
    sums: &'a [Planes],
    row: usize,
    correlation: Shared,
}

impl pulp::WithSimd for Correlation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sums, row, correlation } = self;
        let Planes { rows: inputs, columns: outputs, .. } = sums[0];
        let plane = Planes::plane(inputs, outputs);
        let mut taps = [[0f32; STRIP]; 9];
        for first in (0..outputs).step_by(STRIP) {
            for lane in (0..STRIP).step_by(S::F32_LANES) {
                let mut lines = [[simd.splat_f32s(0.0); 3]; 6];
                for (r, line) in lines.iter_mut().enumerate() {
                    let mut values = [simd.splat_f32s(0.0); 6];
                    for part in sums {
                        let start = part.at(0, row, first).wrapping_add(lane);
                        for (c, value) in values.iter_mut().enumerate() {
                            // SAFETY: inside plane `r * 6 + c`.
                            let more = unsafe { load::<S>(start.add((r * 6 + c) * plane)) };
                            *value = simd.add_f32s(*value, more);
                        }
                    }
                    *line = FromKernel::apply(simd, values);
                }
                for c in 0..3 {
                    let column = FromKernel::apply(simd, column(&lines, c));
                    for (r, value) in column.into_iter().enumerate() {
                        // SAFETY: a row of taps is a strip wide.
                        unsafe { store::<S>(taps[r * 3 + c].as_mut_ptr().add(lane), value) };
                    }
                }
            }
            let columns = (outputs - first).min(STRIP);
            for (tap, values) in taps.iter().enumerate() {
                let to = correlation.at((tap * inputs + row) * outputs + first);
                // SAFETY: this task owns the rows of its input channel.
                unsafe { std::slice::from_raw_parts_mut(to, columns) }
                    .copy_from_slice(&values[..columns]);
            }
        }
    }
}

/// Element `c` of every line.
#[inline(always)]
fn column<V: Copy, const LINES: usize, const LEN: usize>(
    lines: &[[V; LEN]; LINES],
    c: usize,
) -> [V; LINES] {
    let mut column = [lines[0][0]; LINES];
    for (r, value) in column.iter_mut().enumerate() {
        *value = lines[r][c];
    }
    column
}

/// A small matrix times a vector of vectors. (A trait, since a function handed on would be compiled for the oldest processor.)
trait Transform<const FROM: usize, const TO: usize> {
    fn apply<S: Simd>(simd: S, x: [S::f32s; FROM]) -> [S::f32s; TO];
}

/// `k a`.
#[inline(always)]
fn scaled<S: Simd>(simd: S, k: f32, a: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(k), a)
}

/// `a + k b`.
#[inline(always)]
fn plus<S: Simd>(simd: S, a: S::f32s, k: f32, b: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(k), b, a)
}

/// `B' x`.
struct IntoInputs;

impl Transform<6, 6> for IntoInputs {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: [S::f32s; 6]) -> [S::f32s; 6] {
        let even = plus(simd, x[4], -4.0, x[2]);
        let odd = plus(simd, x[3], -4.0, x[1]);
        let even_2 = simd.sub_f32s(x[4], x[2]);
        let odd_2 = simd.sub_f32s(x[3], x[1]);
        [
            plus(simd, plus(simd, x[4], -5.0, x[2]), 4.0, x[0]),
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            plus(simd, even_2, 2.0, odd_2),
            plus(simd, even_2, -2.0, odd_2),
            plus(simd, plus(simd, x[5], -5.0, x[3]), 4.0, x[1]),
        ]
    }
}

/// `B m`, the adjoint of [`IntoInputs`].
struct FromInputs;

impl Transform<6, 6> for FromInputs {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 6] {
        let sum = simd.add_f32s(m[1], m[2]);
        let difference = simd.sub_f32s(m[1], m[2]);
        let sum_2 = simd.add_f32s(m[3], m[4]);
        let difference_2 = simd.sub_f32s(m[3], m[4]);
        let four = simd.splat_f32s(4.0);
        let inner = plus(simd, simd.mul_f32s(four, m[5]), -2.0, difference_2);
        let all = simd.add_f32s(sum, sum_2);
        [
            simd.mul_f32s(four, m[0]),
            plus(simd, inner, -4.0, difference),
            plus(
                simd,
                plus(simd, simd.sub_f32s(simd.splat_f32s(0.0), sum_2), -4.0, sum),
                -5.0,
                m[0],
            ),
            plus(simd, plus(simd, difference, 2.0, difference_2), -5.0, m[5]),
            simd.add_f32s(m[0], all),
            m[5],
        ]
    }
}

/// `A' m`.
struct FromOutputs;

impl Transform<6, 4> for FromOutputs {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
        let sum = simd.add_f32s(m[1], m[2]);
        let difference = simd.sub_f32s(m[1], m[2]);
        let sum_2 = simd.add_f32s(m[3], m[4]);
        let difference_2 = simd.sub_f32s(m[3], m[4]);
        [
            simd.add_f32s(m[0], simd.add_f32s(sum, sum_2)),
            plus(simd, difference, 2.0, difference_2),
            plus(simd, sum, 4.0, sum_2),
            plus(simd, simd.add_f32s(difference, m[5]), 8.0, difference_2),
        ]
    }
}

/// `A y`, the adjoint of [`FromOutputs`].
struct IntoOutputs;

impl Transform<4, 6> for IntoOutputs {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
        let even = simd.add_f32s(y[0], y[2]);
        let odd = simd.add_f32s(y[1], y[3]);
        let even_2 = plus(simd, y[0], 4.0, y[2]);
        let odd_2 = plus(simd, simd.add_f32s(y[1], y[1]), 8.0, y[3]);
        [
            y[0],
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            simd.add_f32s(even_2, odd_2),
            simd.sub_f32s(even_2, odd_2),
            y[3],
        ]
    }
}

/// `G k`.
struct IntoKernel;

impl Transform<3, 6> for IntoKernel {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, k: [S::f32s; 3]) -> [S::f32s; 6] {
        let ends = scaled(simd, -1.0 / 6.0, simd.add_f32s(k[0], k[2]));
        let far = plus(simd, scaled(simd, 1.0 / 6.0, k[2]), 1.0 / 24.0, k[0]);
        [
            scaled(simd, 0.25, k[0]),
            plus(simd, ends, -1.0 / 6.0, k[1]),
            plus(simd, ends, 1.0 / 6.0, k[1]),
            plus(simd, far, 1.0 / 12.0, k[1]),
            plus(simd, far, -1.0 / 12.0, k[1]),
            k[2],
        ]
    }
}

/// `G' u`, the adjoint of [`IntoKernel`].
struct FromKernel;

impl Transform<6, 3> for FromKernel {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, u: [S::f32s; 6]) -> [S::f32s; 3] {
        let near = scaled(simd, -1.0 / 6.0, simd.add_f32s(u[1], u[2]));
        let far = simd.add_f32s(u[3], u[4]);
        let middle = scaled(simd, 1.0 / 6.0, simd.sub_f32s(u[2], u[1]));
        [
            plus(simd, plus(simd, near, 1.0 / 24.0, far), 0.25, u[0]),
            plus(simd, middle, 1.0 / 12.0, simd.sub_f32s(u[3], u[4])),
            plus(simd, simd.add_f32s(near, u[5]), 1.0 / 6.0, far),
        ]
    }
}
