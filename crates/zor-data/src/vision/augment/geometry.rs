//! Moving, mirroring and warping an image.
//!
//! Whole-pixel shifts and flips copy pixels. Rotation, stretch and shear are one affine map from
//! the changed image to the original, sampled bilinearly.

use serde::{Deserialize, Serialize};

use crate::vision::images::ImageShape;

/// Fill of the pixels beyond an image's edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// Zeros, for objects on a black background.
    #[default]
    Black,
    /// The image mirrored at its edge, for photographs. The edge pixel is not repeated (PyTorch's
    /// `reflect` padding).
    Mirror,
}

impl Border {
    /// Maps a coordinate to the one that it is sampled at, on an axis of `size` pixels. A mirrored
    /// border folds it into the image; a black one leaves it outside.
    fn inside(self, at: f32, size: usize) -> f32 {
        let last = size as f32 - 1.0;
        match self {
            Self::Black => at,
            Self::Mirror if last == 0.0 => 0.0,
            Self::Mirror => {
                let around = at.rem_euclid(2.0 * last);
                if around > last { 2.0 * last - around } else { around }
            }
        }
    }
}

/// Shift and flips, in whole pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Motion {
    /// Pixels down; negative is up.
    pub(super) down: i32,
    /// Pixels to the right; negative is to the left.
    pub(super) right: i32,
    /// Mirrored left to right.
    pub(super) flip: bool,
    /// Mirrored top to bottom.
    pub(super) flip_vertical: bool,
}

/// Copies an image that only moves and flips. Values are divided by 255 and multiplied by
/// `brightness`.
pub(super) fn copy(
    image: &[u8],
    shape: ImageShape,
    motion: Motion,
    (brightness, border): (f32, Border),
    out: &mut [f32],
) {
    match border {
        Border::Black => copy_black(image, shape, motion, brightness, out),
        Border::Mirror => copy_mirrored(image, shape, motion, brightness, out),
    }
}

fn copy_black(image: &[u8], shape: ImageShape, motion: Motion, brightness: f32, out: &mut [f32]) {
    let ImageShape { height, width, channels } = shape;
    let Motion { down, right, flip, flip_vertical } = motion;
    // Columns of the result that have a source.
    let first = right.clamp(0, width as i32) as usize;
    let last = (width as i32 + right).clamp(0, width as i32) as usize;
    for (y, row) in out.chunks_exact_mut(width * channels).enumerate() {
        let source = y as i32 - down;
        if !(0..height as i32).contains(&source) || first >= last {
            row.fill(0.0);
            continue;
        }
        let source = if flip_vertical { height - 1 - source as usize } else { source as usize };
        let line = &image[source * width * channels..][..width * channels];
        row[..first * channels].fill(0.0);
        row[last * channels..].fill(0.0);
        let inside = &mut row[first * channels..last * channels];
        let from = (first as i32 - right) as usize;
        if flip {
            let pixels = line.chunks_exact(channels).rev().skip(from);
            for (out, pixel) in inside.chunks_exact_mut(channels).zip(pixels) {
                for (out, value) in out.iter_mut().zip(pixel) {
                    *out = f32::from(*value) / 255.0 * brightness;
                }
            }
        } else {
            for (out, value) in inside.iter_mut().zip(&line[from * channels..]) {
                *out = f32::from(*value) / 255.0 * brightness;
            }
        }
    }
}

fn copy_mirrored(
    image: &[u8],
    shape: ImageShape,
    motion: Motion,
    brightness: f32,
    out: &mut [f32],
) {
    let ImageShape { height, width, channels } = shape;
    let Motion { down, right, flip, flip_vertical } = motion;
    let source = |at: usize, moved: i32, size: usize, mirrored: bool| {
        let place = Border::Mirror.inside((at as i32 - moved) as f32, size) as usize;
        if mirrored { size - 1 - place } else { place }
    };
    for (y, row) in out.chunks_exact_mut(width * channels).enumerate() {
        let line = &image[source(y, down, height, flip_vertical) * width * channels..];
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let from = &line[source(x, right, width, flip) * channels..];
            for (out, value) in pixel.iter_mut().zip(from) {
                *out = f32::from(*value) / 255.0 * brightness;
            }
        }
    }
}

/// Map from pixels of the changed image to pixels of the original:
/// `original = rows @ (y, x) + start`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    rows: [[f32; 2]; 2],
    start: [f32; 2],
}

impl Affine {
    /// Stretch, then shear, then rotation about the centre, then a shift.
    ///
    /// `angle` is in radians; `stretch` and `shear` are those of height and width. A negative
    /// factor mirrors.
    pub(super) fn new(
        shape: ImageShape,
        (down, right): (i32, i32),
        angle: f32,
        [height, width]: [f32; 2],
        [shear_y, shear_x]: [f32; 2],
    ) -> Self {
        let (sin, cos) = angle.sin_cos();
        let rows = [
            [cos * height + sin * shear_x * width, sin * width + cos * shear_y * height],
            [-sin * height + cos * shear_x * width, cos * width - sin * shear_y * height],
        ];
        let centre = [(shape.height as f32 - 1.0) / 2.0, (shape.width as f32 - 1.0) / 2.0];
        let from = [centre[0] + down as f32, centre[1] + right as f32];
        let start = |row: usize| centre[row] - rows[row][0] * from[0] - rows[row][1] * from[1];
        Self { rows, start: [start(0), start(1)] }
    }
}

/// Buffers of [`warp`].
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers {
    padded: Vec<f32>,
    columns: Vec<(usize, f32)>,
    narrowed: Vec<f32>,
}

/// Samples an image through an affine map. Values are divided by 255 and multiplied by
/// `brightness`.
pub(super) fn warp(
    image: &[u8],
    shape: ImageShape,
    map: &Affine,
    (brightness, border): (f32, Border),
    out: &mut [f32],
    buffers: &mut Buffers,
) {
    let ImageShape { height, width, channels } = shape;
    let stride = (width + 3) * channels;
    pad(image, shape, brightness, &mut buffers.padded);
    let [[y_by_row, y_by_column], [x_by_row, x_by_column]] = map.rows;
    if y_by_column == 0.0 && x_by_row == 0.0 {
        return warp_axes(shape, map, border, out, buffers);
    }
    let padded = &buffers.padded;
    for (row, values) in out.chunks_exact_mut(width * channels).enumerate() {
        let y_start = y_by_row * row as f32 + map.start[0];
        let x_start = x_by_row * row as f32 + map.start[1];
        for (column, pixel) in values.chunks_exact_mut(channels).enumerate() {
            let y = border.inside(y_start + y_by_column * column as f32, height);
            let x = border.inside(x_start + x_by_column * column as f32, width);
            let (top, y_weight) = neighbour(y, height);
            let (left, x_weight) = neighbour(x, width);
            let upper = &padded[top * stride + left * channels..][..2 * channels];
            let lower = &padded[(top + 1) * stride + left * channels..][..2 * channels];
            for (c, out) in pixel.iter_mut().enumerate() {
                let above = upper[c] + (upper[c + channels] - upper[c]) * x_weight;
                let below = lower[c] + (lower[c + channels] - lower[c]) * x_weight;
                *out = above + (below - above) * y_weight;
            }
        }
    }
}

/// A warp that only stretches, shifts and flips: rows stay rows, so columns are resampled in one
/// pass and rows in a second.
fn warp_axes(
    shape: ImageShape,
    map: &Affine,
    border: Border,
    out: &mut [f32],
    buffers: &mut Buffers,
) {
    let ImageShape { height, width, channels } = shape;
    let (stride, row_length) = ((width + 3) * channels, width * channels);
    let Buffers { padded, columns, narrowed } = buffers;
    columns.clear();
    let source = |axis: usize, at: usize, size| {
        let place = map.rows[axis][axis] * at as f32 + map.start[axis];
        neighbour(border.inside(place, size), size)
    };
    columns.extend((0..width).map(|column| source(1, column, width)));
    narrowed.resize((height + 3) * row_length, 0.0);
    let rows = padded.chunks_exact(stride).zip(narrowed.chunks_exact_mut(row_length));
    for (from, to) in rows {
        for (to, &(left, weight)) in to.chunks_exact_mut(channels).zip(columns.iter()) {
            let pair = &from[left * channels..][..2 * channels];
            for (c, to) in to.iter_mut().enumerate() {
                *to = pair[c] + (pair[c + channels] - pair[c]) * weight;
            }
        }
    }
    for (row, out) in out.chunks_exact_mut(row_length).enumerate() {
        let (top, weight) = source(0, row, height);
        let (upper, lower) = narrowed[top * row_length..][..2 * row_length].split_at(row_length);
        for (out, (upper, lower)) in out.iter_mut().zip(upper.iter().zip(lower)) {
            *out = upper + (lower - upper) * weight;
        }
    }
}

/// Pads an image with zeros, one pixel before and two behind, so that every sample has four
/// neighbours.
fn pad(image: &[u8], shape: ImageShape, brightness: f32, padded: &mut Vec<f32>) {
    let ImageShape { height, width, channels } = shape;
    let stride = (width + 3) * channels;
    padded.clear();
    padded.resize((height + 3) * stride, 0.0);
    for (row, values) in image.chunks_exact(width * channels).enumerate() {
        let to = &mut padded[(row + 1) * stride + channels..][..width * channels];
        for (to, value) in to.iter_mut().zip(values) {
            *to = f32::from(*value) / 255.0 * brightness;
        }
    }
}

/// Index in the padded image of the pixel at or before a coordinate, and the weight of the next
/// pixel.
fn neighbour(place: f32, size: usize) -> (usize, f32) {
    // The padding of one pixel keeps the sum positive, so the cast rounds down.
    let place = place.clamp(-1.0, size as f32) + 1.0;
    let before = place as i32;
    (before as usize, place - before as f32)
}
