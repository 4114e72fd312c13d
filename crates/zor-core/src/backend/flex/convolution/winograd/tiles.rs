//! The division of output maps into tiles of at most [`SIDE`] rows and columns, without a
//! remainder.

use std::ops::Range;

use super::points::SIDE;
use crate::backend::Geometry;
use crate::backend::flex::blocks::ROWS;

/// Maximum number of tiles that are transformed and multiplied at once: blocks of rows of a
/// product, and the tiles that kinds may have beyond their share.
pub(super) const TILES: usize = MAX_ROWS + KINDS.len() - 1;
const MIN_ROWS: usize = 6 * ROWS;
const MAX_ROWS: usize = 21 * ROWS;

/// An axis divided into pieces: large ones first, then small ones, `step` shorter.
#[derive(Clone, Copy)]
struct Cuts {
    sizes: [usize; 2],
    counts: [usize; 2],
}

/// Indices of the pieces of [`Cuts`].
const LARGE: usize = 0;
const SMALL: usize = 1;

impl Cuts {
    /// As few pieces as possible, each a multiple of `step`: the number of products depends on the
    /// number of pieces, not on their sizes.
    fn new(outputs: usize, step: usize) -> Self {
        let steps = outputs / step;
        let pieces = steps.div_ceil(SIDE / step);
        let large = steps.div_ceil(pieces);
        let small = pieces * large - steps;
        Self { sizes: [large * step, (large - 1) * step], counts: [pieces - small, small] }
    }

    fn start(&self, piece: usize, index: usize) -> usize {
        index * self.sizes[piece]
            + if piece == SMALL { self.counts[LARGE] * self.sizes[LARGE] } else { 0 }
    }
}

/// A tile: its map, the position of its first output, and its number of outputs, (down, across).
#[derive(Clone, Copy, Default)]
pub(super) struct Tile {
    pub(super) map: usize,
    pub(super) start: [usize; 2],
    pub(super) outputs: [usize; 2],
}

/// Tiles of one chunk, ordered by kind.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    tiles: [Tile; TILES],
    /// End of each kind.
    ends: [usize; KINDS.len()],
}

/// Kinds of tiles by their pieces, (down, across), ordered such that kinds with large pieces, and
/// kinds with any piece, along either axis are neighbours.
const KINDS: [[usize; 2]; 4] = [[LARGE, SMALL], [LARGE, LARGE], [SMALL, LARGE], [SMALL, SMALL]];

/// The division of the maps of a batch into tiles.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    pub(super) geometry: Geometry,
    cuts: [Cuts; 2],
}

impl Tiling {
    /// Tiles with even sides if the outputs are pooled by 2x2; outputs that no pool covers belong
    /// to no tile.
    pub(super) fn new(geometry: Geometry, pooled: bool) -> Self {
        let [height, width, _] = geometry.output();
        let step = if pooled { 2 } else { 1 };
        Self { geometry, cuts: [Cuts::new(height, step), Cuts::new(width, step)] }
    }

    /// Number of points along both axes; their product is the number of matrices.
    pub(super) fn points(&self) -> [usize; 2] {
        self.cuts.map(|cuts| cuts.sizes[LARGE] + 2)
    }

    fn per_map(&self, kind: usize) -> usize {
        let [down, across] = KINDS[kind];
        self.cuts[0].counts[down] * self.cuts[1].counts[across]
    }

    /// Number of tiles of a number of maps.
    pub(super) fn tiles(&self, maps: usize) -> usize {
        (0..KINDS.len()).map(|kind| maps * self.per_map(kind)).sum()
    }

    /// Number of chunks for a number of maps, a multiple of `of`.
    ///
    /// Each chunk reads the whole kernel, and is itself stored and loaded again: neither should be
    /// much larger than the other.
    pub(super) fn chunks(&self, maps: usize, of: usize) -> usize {
        let tiles = self.tiles(maps);
        let (inputs, outputs) = (self.geometry.input[2], self.geometry.channels);
        let rows = (inputs * outputs / (inputs + outputs)).next_multiple_of(ROWS);
        tiles.div_ceil(rows.clamp(MIN_ROWS, MAX_ROWS)).next_multiple_of(of)
    }

    /// Maximum number of tiles of a chunk.
    pub(super) fn most(&self, maps: usize, chunks: usize) -> usize {
        (0..KINDS.len()).map(|kind| (maps * self.per_map(kind)).div_ceil(chunks)).sum()
    }

    /// The tiles of chunk `index` of `chunks`: its share of every kind.
    pub(super) fn chunk(&self, maps: &Range<usize>, index: usize, chunks: usize) -> Chunk {
        let mut chunk = Chunk { tiles: [Tile::default(); TILES], ends: [0; KINDS.len()] };
        let mut count = 0;
        for (kind, [down, across]) in KINDS.into_iter().enumerate() {
            let per_map = self.per_map(kind);
            let tiles = maps.len() * per_map;
            for tile in tiles * index / chunks..tiles * (index + 1) / chunks {
                let (map, rest) = (maps.start + tile / per_map, tile % per_map);
                let columns = self.cuts[1].counts[across];
                chunk.tiles[count] = Tile {
                    map,
                    start: [
                        self.cuts[0].start(down, rest / columns),
                        self.cuts[1].start(across, rest % columns),
                    ],
                    outputs: [self.cuts[0].sizes[down], self.cuts[1].sizes[across]],
                };
                count += 1;
            }
            chunk.ends[kind] = count;
        }
        chunk
    }

    /// Iterates over the planes (pairs of points), each with the contiguous rows of the tiles that
    /// have this point.
    pub(super) fn planes(&self, chunk: &Chunk) -> impl Iterator<Item = (usize, Range<usize>)> {
        let ([down, across], cuts, ends) = (self.points(), self.cuts, chunk.ends);
        (0..down * across).map(move |plane| {
            let has_small = |axis: usize, point| point < cuts[axis].sizes[SMALL] + 2;
            let [large_small, large, small_large, all] = ends;
            let rows = match (has_small(0, plane / across), has_small(1, plane % across)) {
                (true, true) => 0..all,
                (true, false) => large_small..small_large,
                (false, true) => 0..large,
                (false, false) => large_small..large,
            };
            (plane, rows)
        })
    }
}

impl Chunk {
    pub(super) fn tiles(&self) -> &[Tile] {
        &self.tiles[..self.ends[KINDS.len() - 1]]
    }
}
