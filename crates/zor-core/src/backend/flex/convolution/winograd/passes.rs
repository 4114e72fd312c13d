//! Transforms of tiles from maps to planes and back: along rows with one matrix, then along
//! columns.

use pulp::Simd;

use super::planes::Planes;
use super::points::{
    Family, Inputs, Line, POINTS, SIDE, for_each_point, for_outputs, from_points, to_points,
};
use super::tiles::Tile;
use crate::backend::flex::blocks::{Shared, load, load_some, store};

/// Memory of maps: a slice to read, or shared memory to write.
pub(super) trait Memory: Copy {
    /// Pointer to one value.
    type Pointer;

    /// Pointer to the value at an offset. Offsets may wrap; such a pointer is not used.
    fn at(self, offset: usize) -> Self::Pointer;
}

impl Memory for &[f32] {
    type Pointer = *const f32;

    #[inline(always)]
    fn at(self, offset: usize) -> *const f32 {
        self.as_ptr().wrapping_add(offset)
    }
}

impl Memory for Shared<'_> {
    type Pointer = *mut f32;

    #[inline(always)]
    fn at(self, offset: usize) -> *mut f32 {
        Shared::at(self, offset)
    }
}

/// All maps of a batch in memory.
#[derive(Clone, Copy)]
pub(super) struct Maps<M> {
    pub(super) memory: M,
    /// Height, width and channels.
    pub(super) size: [usize; 3],
    /// Offset of the first pixel of a tile before its first output, (down, across).
    pub(super) padding: [usize; 2],
}

/// Reads the pixels of a tile as vectors.
pub(super) trait Source: Copy {
    /// Returns one row of pixels, for these channels.
    ///
    /// # Safety
    /// The maps are valid for reads.
    unsafe fn row<S: Simd>(self, simd: S, tile: Tile, row: usize, channels: Channels) -> Line<S>;
}

/// Writes the pixels of a tile from vectors.
pub(super) trait Sink: Copy {
    /// Writes all pixels of the tile, given by row and column.
    ///
    /// # Safety
    /// The maps are valid for writes, and no other task accesses the pixels of the tile.
    unsafe fn take<S: Simd>(self, simd: S, tile: Tile, pixels: &Pixels<S>, channels: Channels);
}

/// The pixels of a tile, by row and column.
pub(super) type Pixels<S> = [[<S as Simd>::f32s; POINTS]; POINTS];

/// The first channel of a vector, and the number of channels left.
#[derive(Clone, Copy)]
pub(super) struct Channels {
    first: usize,
    left: usize,
}

/// Transforms the pixels of tiles into their rows of the planes; channel by channel, so that few
/// pages are written at a time.
#[inline(always)]
pub(super) fn enter<S: Simd, F: Family>(
    simd: S,
    tiles: &[Tile],
    from: impl Source,
    to: Planes<'_>,
) {
    let (plane, across) = (to.plane(), to.points[1]);
    let mut lines = [[simd.splat_f32s(0.0); POINTS]; POINTS];
    for first in (0..to.columns).step_by(S::F32_LANES) {
        let channels = Channels { first, left: to.columns - first };
        for (index, tile) in tiles.iter().enumerate() {
            let start = to.at(0, index, first);
            for_outputs!(tile.outputs[1], COLUMNS => {
                for r in 0..tile.outputs[0] + F::EXTRA {
                    // SAFETY: sources contain the pixels of all tiles.
                    let line = unsafe { from.row(simd, *tile, r, channels) };
                    lines[r] = to_points::<S, F::Of<COLUMNS>>(simd, line);
                }
            });
            for_outputs!(tile.outputs[0], ROWS => {
                for c in 0..tile.outputs[1] + 2 {
                    let column = to_points::<S, F::Of<ROWS>>(simd, column(&lines, c));
                    for_each_point!(r => if r < ROWS + 2 {
                        // SAFETY: a tile has no more points than planes have.
                        unsafe { store::<S>(start.add((r * across + c) * plane), column[r]) }
                    });
                }
            });
        }
    }
}

/// Transforms rows of the planes back into the pixels of their tiles.
#[inline(always)]
pub(super) fn leave<S: Simd, F: Family>(simd: S, tiles: &[Tile], from: Planes<'_>, to: impl Sink) {
    let (plane, across) = (from.plane(), from.points[1]);
    let zero = simd.splat_f32s(0.0);
    let (mut lines, mut pixels) = ([[zero; POINTS]; POINTS], [[zero; POINTS]; POINTS]);
    for first in (0..from.columns).step_by(S::F32_LANES) {
        let channels = Channels { first, left: from.columns - first };
        for (index, tile) in tiles.iter().enumerate() {
            let start = from.at(0, index, first).cast_const();
            for_outputs!(tile.outputs[0], ROWS => {
                for c in 0..tile.outputs[1] + 2 {
                    let mut column = [zero; POINTS];
                    for_each_point!(r => if r < ROWS + 2 {
                        // SAFETY: a tile has no more points than planes have.
                        column[r] = unsafe { load::<S>(start.add((r * across + c) * plane)) };
                    });
                    let column = from_points::<S, F::Of<ROWS>>(simd, column);
                    for_each_point!(r => if r < ROWS + F::EXTRA { lines[r][c] = column[r] });
                }
            });
            for_outputs!(tile.outputs[1], COLUMNS => {
                for r in 0..tile.outputs[0] + F::EXTRA {
                    pixels[r] = from_points::<S, F::Of<COLUMNS>>(simd, lines[r]);
                }
            });
            // SAFETY: sinks contain the pixels of all tiles, and one task owns each tile.
            unsafe { to.take(simd, *tile, &pixels, channels) };
        }
    }
}

/// Element `c` of every line.
#[inline(always)]
pub(super) fn column<V: Copy>(lines: &[[V; POINTS]; POINTS], c: usize) -> [V; POINTS] {
    let mut column = [lines[0][0]; POINTS];
    for_each_point!(r => column[r] = lines[r][c]);
    column
}

impl<M: Memory> Maps<M> {
    /// Start of a row of pixels of a tile, and the columns of the row that are on the map.
    #[inline(always)]
    fn row(&self, tile: Tile, row: usize) -> Row<M> {
        let [height, width, channels] = self.size;
        // A position before the map wraps to one far beyond it.
        let y = (tile.start[0] + row).wrapping_sub(self.padding[0]);
        let x = tile.start[1].wrapping_sub(self.padding[1]);
        let pixel = (tile.map * height).wrapping_add(y).wrapping_mul(width).wrapping_add(x);
        let (memory, start) = (self.memory, pixel.wrapping_mul(channels));
        Row { memory, start, x, width: if y < height { width } else { 0 }, channels }
    }
}

/// A row of pixels of a tile.
#[derive(Clone, Copy)]
struct Row<M> {
    memory: M,
    start: usize,
    x: usize,
    width: usize,
    channels: usize,
}

impl<M: Memory> Row<M> {
    /// Pointer to the pixel in a column; `None` beyond the edge.
    #[inline(always)]
    fn at(self, column: usize) -> Option<M::Pointer> {
        let at = self.memory.at(self.start.wrapping_add(column * self.channels));
        (self.x.wrapping_add(column) < self.width).then_some(at)
    }
}

/// Unpooled pixels to read; a pixel of zeros stands for those beyond the edge.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) maps: Maps<&'a [f32]>,
    /// The pixel beyond the edge, with all channels.
    pub(super) outside: &'a [f32],
}

impl Source for Seen<'_> {
    #[inline(always)]
    unsafe fn row<S: Simd>(self, simd: S, tile: Tile, row: usize, channels: Channels) -> Line<S> {
        let row = self.maps.row(tile, row);
        let mut line = [simd.splat_f32s(0.0); POINTS];
        for_each_point!(c => {
            let from = row.at(c).unwrap_or(self.outside.as_ptr()).wrapping_add(channels.first);
            // SAFETY: a pixel has all channels.
            line[c] = unsafe { load_some(simd, from, channels.left) };
        });
        line
    }
}

/// Unpooled pixels to write.
#[derive(Clone, Copy)]
pub(super) struct Written<'a>(pub(super) Maps<Shared<'a>>);

impl Sink for Written<'_> {
    #[inline(always)]
    unsafe fn take<S: Simd>(self, simd: S, tile: Tile, pixels: &Pixels<S>, channels: Channels) {
        for r in 0..tile.outputs[0] {
            let row = self.0.row(tile, r);
            for c in 0..tile.outputs[1] {
                if let Some(to) = row.at(c) {
                    // SAFETY: a pixel has all channels.
                    unsafe { channels.store(simd, to, pixels[r][c]) };
                }
            }
        }
    }
}

/// Signals at the inputs, which are sums over all tiles that contain the input.
#[derive(Clone, Copy)]
pub(super) struct Added<'a>(pub(super) Maps<Shared<'a>>);

impl Sink for Added<'_> {
    #[inline(always)]
    unsafe fn take<S: Simd>(self, simd: S, tile: Tile, pixels: &Pixels<S>, channels: Channels) {
        for r in 0..tile.outputs[0] + Inputs::EXTRA {
            let row = self.0.row(tile, r);
            for c in 0..tile.outputs[1] + Inputs::EXTRA {
                if let Some(to) = row.at(c) {
                    // SAFETY: a pixel has all channels.
                    unsafe {
                        let from = to.wrapping_add(channels.first);
                        let sum = simd.add_f32s(load_some(simd, from, channels.left), pixels[r][c]);
                        channels.store(simd, to, sum);
                    }
                }
            }
        }
    }
}

/// The maximum of every 2x2 pixels, and its index by rows.
#[derive(Clone, Copy)]
pub(super) struct Pooled<M> {
    pub(super) values: Maps<M>,
    pub(super) winners: M,
}

impl<M: Memory> Pooled<M> {
    /// Pointers to the maximum and the index of a square of the tile.
    #[inline(always)]
    fn at(&self, tile: Tile, row: usize, column: usize) -> (M::Pointer, M::Pointer) {
        let [height, width, channels] = self.values.size;
        let [y, x] = [tile.start[0] / 2 + row, tile.start[1] / 2 + column];
        let offset = ((tile.map * height + y) * width + x) * channels;
        (self.values.memory.at(offset), self.winners.at(offset))
    }
}

impl Source for Pooled<&[f32]> {
    #[inline(always)]
    unsafe fn row<S: Simd>(self, simd: S, tile: Tile, row: usize, channels: Channels) -> Line<S> {
        let zero = simd.splat_f32s(0.0);
        let mut line = [zero; POINTS];
        for_each_point!(c => if c < SIDE && c.is_multiple_of(2) {
            // Values beyond the last column of the tile are not used.
            let square = (c / 2).min(tile.outputs[1] / 2 - 1);
            let (value, winner) = self.at(tile, row / 2, square);
            // SAFETY: a pixel has all channels.
            let (value, winner) = unsafe {
                (
                    load_some(simd, value.wrapping_add(channels.first), channels.left),
                    load_some(simd, winner.wrapping_add(channels.first), channels.left),
                )
            };
            for right in 0..2 {
                let own = simd.splat_f32s((row % 2 * 2 + right) as f32);
                line[c + right] = simd.select_f32s(simd.equal_f32s(winner, own), value, zero);
            }
        });
        line
    }
}

impl Sink for Pooled<Shared<'_>> {
    #[inline(always)]
    unsafe fn take<S: Simd>(self, simd: S, tile: Tile, pixels: &Pixels<S>, channels: Channels) {
        for r in 0..tile.outputs[0] / 2 {
            for c in 0..tile.outputs[1] / 2 {
                let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
                let mut winner = simd.splat_f32s(0.0);
                for element in 0..4 {
                    let x = pixels[r * 2 + element / 2][c * 2 + element % 2];
                    let wins = simd.greater_than_f32s(x, largest);
                    largest = simd.select_f32s(wins, x, largest);
                    winner = simd.select_f32s(wins, simd.splat_f32s(element as f32), winner);
                }
                let (value, at) = self.at(tile, r, c);
                // SAFETY: a pixel has all channels.
                unsafe {
                    channels.store(simd, value, largest);
                    channels.store(simd, at, winner);
                }
            }
        }
    }
}

impl Channels {
    /// Writes a vector of channels to a pixel.
    ///
    /// # Safety
    /// The pixel has these channels.
    #[inline(always)]
    unsafe fn store<S: Simd>(self, simd: S, pixel: *mut f32, value: S::f32s) {
        let to = pixel.wrapping_add(self.first);
        // SAFETY: the caller's promise.
        unsafe {
            if self.left >= S::F32_LANES {
                store::<S>(to, value);
            } else {
                simd.partial_store_f32s(std::slice::from_raw_parts_mut(to, self.left), value);
            }
        }
    }
}
