//! Mixing an image with another one.

use zor_random::Random;

use crate::vision::images::ImageShape;

/// Replaces the part behind a random row or column by that of the other image.
pub(super) fn splice(shape: ImageShape, random: &mut Random, out: &mut [f32], other: &[f32]) {
    let row = shape.width * shape.channels;
    if random.chance(0.5) {
        let from = random.below(shape.height) * row;
        out[from..].copy_from_slice(&other[from..]);
    } else {
        let from = random.below(shape.width) * shape.channels;
        for (out, other) in out.chunks_exact_mut(row).zip(other.chunks_exact(row)) {
            out[from..].copy_from_slice(&other[from..]);
        }
    }
}

/// Interpolates linearly to the other image, by a share that is uniform in [0, 1).
pub(super) fn blend(random: &mut Random, out: &mut [f32], other: &[f32]) {
    let share = random.uniform();
    for (out, other) in out.iter_mut().zip(other) {
        *out += share * (other - *out);
    }
}
