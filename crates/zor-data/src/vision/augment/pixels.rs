//! Changes of an image's values in place.

use zor_random::Random;

use crate::vision::images::ImageShape;

/// Inverts the brightness of the object and keeps the background black: the values `x` become
/// `min(6 x, 1) (1.1 - x)`.
pub(super) fn invert(values: &mut [f32]) {
    for value in values {
        *value = (6.0 * *value).min(1.0) * (1.1 - *value);
    }
}

/// Replaces each pixel by the maximum of itself and its mirror image, left to right.
pub(super) fn fold(shape: ImageShape, out: &mut [f32]) {
    let ImageShape { width, channels, .. } = shape;
    for row in out.chunks_exact_mut(width * channels) {
        for column in 0..width / 2 {
            for c in 0..channels {
                let (left, right) = (column * channels + c, (width - 1 - column) * channels + c);
                let brighter = row[left].max(row[right]);
                (row[left], row[right]) = (brighter, brighter);
            }
        }
    }
}

/// Fills a square around a random pixel with the mean of each channel. The part of the square
/// beyond the edge is cut off.
pub(super) fn cut_out(shape: ImageShape, side: usize, random: &mut Random, out: &mut [f32]) {
    let ImageShape { height, width, channels } = shape;
    let mut span = |size: usize| {
        let middle = random.below(size);
        middle.saturating_sub(side / 2)..(middle + side.div_ceil(2)).min(size)
    };
    let (rows, columns) = (span(height), span(width));
    for channel in 0..channels {
        let sum: f32 = out.iter().skip(channel).step_by(channels).sum();
        let mean = sum / (height * width) as f32;
        for row in rows.clone() {
            for column in columns.clone() {
                out[(row * width + column) * channels + channel] = mean;
            }
        }
    }
}
