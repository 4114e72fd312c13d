//! 3x3 convolutions with stride 1 by Winograd's minimal filtering (Lavin and Gray 2016, "Fast
//! Algorithms for Convolutional Neural Networks"), and the exact adjoint of the same algorithm for
//! learning.
//!
//! A tile of `n x n` outputs (`n` up to 6) is computed from `(n + 2) x (n + 2)` inputs `x` and the
//! kernel `g`: `y = A' [(G g G') * (B' x B)] A`, where `*` is a matrix product over channels for
//! each of the `(n + 2)^2` pairs of points: 64 multiply-adds instead of 324. With the signal `s` at
//! the outputs, `D = A s A'` serves both passes down: the correlation of the kernel is
//! `G' (V' D) G` with `V = B' x B`, and the signal at the inputs is `B (D U') B'` with
//! `U = G g G'`.
//!
//! If outputs are max-pooled by 2x2, tiles have even sides: the maximum of four outputs is found
//! before any of them is written.
//!
//! Relative error against f64: about 1e-5 for outputs and signals, 2e-5 for correlations (see the
//! tests).

mod passes;
mod planes;
mod points;
mod tiles;

use std::ops::Range;

use passes::{Added, Maps, Memory, Pooled, Seen, Written, column, enter, leave};
use planes::{Planes, STRIP, correlate, multiply};
use points::{Inputs, Kernel, Outputs, POINTS, for_each_point, from_points, to_points};
use pulp::Simd;
use rayon::prelude::*;
use tiles::{Chunk, Tiling};

use crate::backend::Geometry;
use crate::backend::flex::blocks::{LANES, Shared, load, store};
use crate::backend::flex::scratch::with_scratch;

/// Rows of a kernel that one task transforms.
const KERNEL_ROWS: usize = 16;

/// True if this algorithm computes a convolution, and faster than the direct one.
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

/// Computes the outputs of a batch: all of them, or, with a buffer for winners, the maximum of
/// every 2x2 outputs and its index.
pub(super) fn forward(
    geometry: Geometry,
    input: &[f32],
    kernel: &[f32],
    output: &mut [f32],
    winners: Option<&mut [f32]>,
) {
    let tiling = Tiling::new(geometry, winners.is_some());
    let [inputs, outputs] = [geometry.input[2], geometry.channels];
    let maps = 0..input.len() / geometry.input.iter().product::<usize>();
    let chunks = tiling.chunks(maps.len(), rayon::current_num_threads().max(1));
    let rows = tiling.most(maps.len(), chunks);
    let above = Above::new(geometry, Shared::new(output), winners.map(Shared::new));
    with_scratch(Planes::len(tiling.points(), inputs, outputs), |memory| {
        let planes = Planes::new(memory, tiling.points(), inputs, outputs);
        transform_kernel(kernel, planes, false);
        (0..chunks).into_par_iter().for_each(|index| {
            with_tile_memory(&tiling, rows, |memory| {
                pulp::Arch::new().dispatch(Forward {
                    tiling,
                    chunk: tiling.chunk(&maps, index, chunks),
                    input: memory.seen(geometry, input),
                    kernel: planes,
                    above,
                    memory,
                });
            });
        });
    });
}

/// Computes the correlation of inputs and signal, and the signal at the inputs, each if requested.
/// With winners, the signal is that of the maxima.
pub(super) fn learn(
    geometry: Geometry,
    input: &[f32],
    (signal, winners): (&[f32], Option<&[f32]>),
    kernel: &[f32],
    correlation: Option<&mut [f32]>,
    below: Option<&mut [f32]>,
) {
    let tiling = Tiling::new(geometry, winners.is_some());
    let points = tiling.points();
    let [inputs, outputs] = [geometry.input[2], geometry.channels];
    let map = geometry.input.iter().product::<usize>();
    let above = Above::new(geometry, signal, winners);
    let batch = signal.len() / above.map();
    if batch == 0 {
        // The signal at the inputs is empty too.
        return correlation.into_iter().for_each(|correlation| correlation.fill(0.0));
    }
    let parts = learning_parts(batch, tiling.tiles(batch), Planes::len(points, inputs, outputs));
    let most_maps = batch.div_ceil(parts);
    let chunks = tiling.chunks(most_maps, 1);
    let rows = tiling.most(most_maps, chunks);
    let correlated = if correlation.is_some() { Planes::len(points, inputs, outputs) } else { 0 };
    let transposed = if below.is_some() { Planes::len(points, outputs, inputs) } else { 0 };
    with_scratch(transposed + parts * correlated, |memory| {
        let (transposed, sums) = memory.split_at_mut(transposed);
        let kernel = below.is_some().then(|| {
            let planes = Planes::new(transposed, points, outputs, inputs);
            transform_kernel(kernel, planes, true);
            planes
        });
        let sums: Vec<Planes<'_>> = match correlated {
            0 => Vec::new(),
            len => {
                let parts = sums.chunks_mut(len);
                parts.map(|part| Planes::new(part, points, inputs, outputs)).collect()
            }
        };
        let below = below.map(Shared::new);
        (0..parts).into_par_iter().for_each(|part| {
            let maps = part * batch / parts..(part + 1) * batch / parts;
            if let Some(below) = below {
                // SAFETY: every part has its own maps.
                unsafe {
                    std::slice::from_raw_parts_mut(below.at(maps.start * map), maps.len() * map)
                }
                .fill(0.0);
            }
            with_tile_memory(&tiling, rows, |memory| {
                for index in 0..chunks {
                    pulp::Arch::new().dispatch(Learn {
                        tiling,
                        chunk: tiling.chunk(&maps, index, chunks),
                        first: index == 0,
                        input: memory.seen(geometry, input),
                        signal: signal.get(..outputs).unwrap_or_default(),
                        above,
                        kernel,
                        sum: sums.get(part).copied(),
                        below: below.map(|below| below_maps(geometry, below)),
                        memory,
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

/// Number of parts of a batch, each with its own correlation; these are added in order. It depends
/// on size alone, so that the sum does not depend on the number of threads. There are enough parts
/// for many threads, each with enough tiles that adding its correlation costs little, and the
/// memory of all is bounded.
fn learning_parts(batch: usize, tiles: usize, correlation: usize) -> usize {
    const MAX_PARTS: usize = 16;
    /// Two for each of two threads, since one may be delayed.
    const MIN_PARTS: usize = 4;
    /// Minimum number of tiles of a part.
    const MIN_TILES: usize = 256;
    /// Maximum number of values of all correlations.
    const MEMORY: usize = 1 << 26;
    let most = (MEMORY / correlation.max(1)).clamp(MIN_PARTS, MAX_PARTS);
    let parts = (tiles / MIN_TILES).clamp(MIN_PARTS, most).min(batch);
    // A power of two divides evenly among two, four or more threads.
    1 << parts.ilog2()
}

/// The signals at the inputs in memory.
fn below_maps(geometry: Geometry, memory: Shared<'_>) -> Maps<Shared<'_>> {
    Maps { memory, size: geometry.input, padding: geometry.window.padding }
}

/// Outputs to write, or their signals to read.
#[derive(Clone, Copy)]
enum Above<M> {
    All(Maps<M>),
    Pooled(Pooled<M>),
}

impl<M: Memory> Above<M> {
    fn new(geometry: Geometry, memory: M, winners: Option<M>) -> Self {
        let [height, width, channels] = geometry.output();
        let maps = |size| Maps { memory, size, padding: [0; 2] };
        match winners {
            None => Self::All(maps([height, width, channels])),
            Some(winners) => {
                let values = maps([height / 2, width / 2, channels]);
                Self::Pooled(Pooled { values, winners })
            }
        }
    }

    /// Number of values of one map.
    fn map(&self) -> usize {
        match self {
            Self::All(maps) | Self::Pooled(Pooled { values: maps, .. }) => {
                maps.size.iter().product()
            }
        }
    }
}

/// Memory of a task for one chunk of tiles.
#[derive(Clone, Copy)]
struct TileMemory<'a> {
    inputs: Planes<'a>,
    outputs: Planes<'a>,
    /// A pixel of zeros.
    outside: &'a [f32],
}

impl<'a> TileMemory<'a> {
    /// Access to the pixels of the inputs.
    fn seen(&self, geometry: Geometry, memory: &'a [f32]) -> Seen<'a> {
        let maps = Maps { memory, size: geometry.input, padding: geometry.window.padding };
        Seen { maps, outside: self.outside }
    }
}

/// Calls the task with memory for a number of tiles (`rows`).
fn with_tile_memory(tiling: &Tiling, rows: usize, task: impl FnOnce(TileMemory<'_>)) {
    let points = tiling.points();
    let [inputs, outputs] = [tiling.geometry.input[2], tiling.geometry.channels];
    let (v, m) = (Planes::len(points, rows, inputs), Planes::len(points, rows, outputs));
    let pixel = inputs.next_multiple_of(LANES);
    with_scratch(v + m + pixel, |memory| {
        let (v, rest) = memory.split_at_mut(v);
        let (m, outside) = rest.split_at_mut(m);
        outside.fill(0.0);
        task(TileMemory {
            inputs: Planes::new(v, points, rows, inputs),
            outputs: Planes::new(m, points, rows, outputs),
            outside,
        });
    });
}

struct Forward<'a> {
    tiling: Tiling,
    chunk: Chunk,
    input: Seen<'a>,
    kernel: Planes<'a>,
    above: Above<Shared<'a>>,
    memory: TileMemory<'a>,
}

impl pulp::WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiling, chunk, input, kernel, above, memory } = self;
        let TileMemory { inputs, outputs, .. } = memory;
        enter::<S, Inputs>(simd, chunk.tiles(), input, inputs);
        for (plane, rows) in tiling.planes(&chunk) {
            multiply(simd, rows, inputs, kernel, outputs, plane);
        }
        match above {
            Above::All(maps) => leave::<S, Outputs>(simd, chunk.tiles(), outputs, Written(maps)),
            Above::Pooled(maps) => leave::<S, Outputs>(simd, chunk.tiles(), outputs, maps),
        }
    }
}

struct Learn<'a> {
    tiling: Tiling,
    chunk: Chunk,
    /// Whether this is the first chunk of the sum.
    first: bool,
    input: Seen<'a>,
    /// A pixel of the signal, in place of pixels that belong to no tile.
    signal: &'a [f32],
    above: Above<&'a [f32]>,
    kernel: Option<Planes<'a>>,
    sum: Option<Planes<'a>>,
    below: Option<Maps<Shared<'a>>>,
    memory: TileMemory<'a>,
}

impl pulp::WithSimd for Learn<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiling, chunk, first, input, signal, above, kernel, sum, below, memory } = self;
        let TileMemory { inputs, outputs, .. } = memory;
        match above {
            Above::All(maps) => {
                let maps = Seen { maps, outside: signal };
                enter::<S, Outputs>(simd, chunk.tiles(), maps, outputs);
            }
            Above::Pooled(maps) => enter::<S, Outputs>(simd, chunk.tiles(), maps, outputs),
        }
        if let Some(sum) = sum {
            enter::<S, Inputs>(simd, chunk.tiles(), input, inputs);
            for (plane, rows) in tiling.planes(&chunk) {
                correlate(simd, rows, inputs, outputs, sum, plane, !first);
            }
        }
        if let (Some(kernel), Some(below)) = (kernel, below) {
            for (plane, rows) in tiling.planes(&chunk) {
                multiply(simd, rows, outputs, kernel, inputs, plane);
            }
            leave::<S, Inputs>(simd, chunk.tiles(), inputs, Added(below));
        }
    }
}

/// Computes `G g G'` for every kernel, or for the transposed kernels.
fn transform_kernel(kernel: &[f32], planes: Planes<'_>, transposed: bool) {
    (0..planes.rows.div_ceil(KERNEL_ROWS)).into_par_iter().for_each(|block| {
        let rows = block * KERNEL_ROWS..((block + 1) * KERNEL_ROWS).min(planes.rows);
        pulp::Arch::new().dispatch(Kernels { kernel, transposed, rows, planes });
    });
}

struct Kernels<'a> {
    kernel: &'a [f32],
    transposed: bool,
    rows: Range<usize>,
    planes: Planes<'a>,
}

impl pulp::WithSimd for Kernels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kernel, transposed, rows, planes } = self;
        let (plane, [down, across]) = (planes.plane(), planes.points);
        let mut taps = [[[0f32; STRIP]; 9]; KERNEL_ROWS];
        let mut lines = [[simd.splat_f32s(0.0); POINTS]; POINTS];
        for first in (0..planes.columns).step_by(STRIP) {
            let columns = (planes.columns - first).min(STRIP);
            for tap in 0..9 {
                if transposed {
                    let (inputs, outputs) = (planes.columns, planes.rows);
                    for column in 0..columns {
                        let from = (tap * inputs + first + column) * outputs + rows.start;
                        for (row, value) in kernel[from..from + rows.len()].iter().enumerate() {
                            taps[row][tap][column] = *value;
                        }
                    }
                } else {
                    let (inputs, outputs) = (planes.rows, planes.columns);
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
                    for r in 0..3 {
                        for c in 0..3 {
                            // SAFETY: a row of taps is a strip wide.
                            lines[r][c] =
                                unsafe { load::<S>(taps[index][r * 3 + c].as_ptr().add(lane)) };
                        }
                        lines[r] = to_points::<S, Kernel>(simd, lines[r]);
                    }
                    for c in 0..across {
                        let column = to_points::<S, Kernel>(simd, column(&lines, c));
                        for_each_point!(r => if r < down {
                            // SAFETY: inside the planes, and this task owns the row.
                            unsafe { store::<S>(start.add((r * across + c) * plane + lane), column[r]) };
                        });
                    }
                }
            }
        }
    }
}

/// `G' (sum of the parts) G` for one input channel.
struct Correlation<'a> {
    sums: &'a [Planes<'a>],
    row: usize,
    correlation: Shared<'a>,
}

impl pulp::WithSimd for Correlation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sums, row, correlation } = self;
        let Planes { rows: inputs, columns: outputs, points: [down, across], .. } = sums[0];
        let plane = sums[0].plane();
        let zero = simd.splat_f32s(0.0);
        let mut taps = [[0f32; STRIP]; 9];
        // Points that no tile uses stay zero.
        let mut lines = [[zero; POINTS]; POINTS];
        for first in (0..outputs).step_by(STRIP) {
            for lane in (0..STRIP).step_by(S::F32_LANES) {
                for r in 0..down {
                    let mut values = [zero; POINTS];
                    for part in sums {
                        let start = part.at(0, row, first).wrapping_add(lane);
                        for_each_point!(c => if c < across {
                            // SAFETY: inside the planes.
                            let more = unsafe { load::<S>(start.add((r * across + c) * plane)) };
                            values[c] = simd.add_f32s(values[c], more);
                        });
                    }
                    lines[r] = from_points::<S, Kernel>(simd, values);
                }
                for c in 0..3 {
                    let column = from_points::<S, Kernel>(simd, column(&lines, c));
                    for r in 0..3 {
                        // SAFETY: a row of taps is a strip wide.
                        unsafe { store::<S>(taps[r * 3 + c].as_mut_ptr().add(lane), column[r]) };
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
