//! Data augmentation: random changes of images, so that few of them teach more.

mod augmented;
mod geometry;
mod mix;
mod pixels;

use serde::{Deserialize, Serialize};
use zor_random::Random;

use crate::error::{Error, Result};
use crate::vision::images::{ImageShape, Images};
use geometry::{Affine, Buffers, Motion};

pub use augmented::Augmented;
pub use geometry::Border;

/// Maximum of `shift` and `cutout`, in pixels.
const MAX_PIXELS: u32 = 1 << 12;

/// Settings of data augmentation: which changes are made, and their maximum strength. All are off
/// by default.
///
/// Each image is shifted, flipped, warped (`rotate`, `stretch`, `shear`), dimmed and inverted, in
/// this order. `splice`, `blend`, `fold` and `cutout` follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Maximum shift along each axis, in whole pixels from 0 to 4,096.
    pub shift: u32,
    /// Fill of the pixels that a shift or warp brings in from outside the image.
    pub border: Border,
    /// Mirrors left to right with probability 0.5.
    pub flip: bool,
    /// Mirrors left to right in every other epoch instead of at random, so that no image is shown
    /// the same way round in two consecutive epochs (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds
    /// on a Single GPU", section 3.6). Needs `flip`.
    pub alternate: bool,
    /// Mirrors top to bottom with probability 0.5.
    pub flip_vertical: bool,
    /// Maximum rotation about the centre in either direction, in degrees from 0 to 180.
    pub rotate: f32,
    /// Maximum stretch, from 0 to 10: width and height are each scaled by a random factor from
    /// `1 / (1 + stretch)` to `1 + stretch`, uniform in its logarithm.
    pub stretch: f32,
    /// Maximum shear along each axis, from 0 to 10: the number of pixels by which a row is
    /// displaced per row of distance from the centre, and a column per column.
    pub shear: f32,
    /// Minimum brightness, from 0 to 1 (off): all values are multiplied by a random factor between
    /// `dim` and 1.
    pub dim: f32,
    /// Probability from 0 to 1 that the part behind a random row or column comes from another
    /// image, which is changed independently. The label stays.
    pub splice: f32,
    /// Probability from 0 to 1 that another image, which is changed independently, is mixed in with
    /// a random share from 0 to 1. The label stays.
    pub blend: f32,
    /// Probability from 0 to 1 that light and dark are exchanged and black stays black: values `x`
    /// become `min(6 x, 1) (1.1 - x)`.
    pub invert: f32,
    /// Probability from 0 to 1 that the image becomes symmetric: each pixel becomes the maximum of
    /// itself and its mirror image, left to right.
    pub fold: f32,
    /// Side of a square around a random pixel that is filled with the image's mean colour, in
    /// pixels from 0 to 4,096; 0 is off. At an edge a part of the square lies outside (DeVries and
    /// Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout").
    pub cutout: u32,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            shift: 0,
            border: Border::Black,
            flip: false,
            alternate: false,
            flip_vertical: false,
            rotate: 0.0,
            stretch: 0.0,
            shear: 0.0,
            dim: 1.0,
            splice: 0.0,
            blend: 0.0,
            invert: 0.0,
            fold: 0.0,
            cutout: 0,
        }
    }
}

impl Augment {
    /// Shifts of up to `shift` pixels, and left-right flips.
    pub fn shifts_and_flips(shift: u32) -> Self {
        Self { shift, flip: true, ..Self::default() }
    }

    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// When one is not; the message names the setting and its range.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("rotate", self.rotate, 0.0, 180.0),
            ("stretch", self.stretch, 0.0, 10.0),
            ("shear", self.shear, 0.0, 10.0),
            ("dim", self.dim, 0.0, 1.0),
            ("splice", self.splice, 0.0, 1.0),
            ("blend", self.blend, 0.0, 1.0),
            ("invert", self.invert, 0.0, 1.0),
            ("fold", self.fold, 0.0, 1.0),
        ];
        for (name, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(Error::input(format!(
                    "augmentation.{name} is {value}; it must be from {low} to {high}"
                )));
            }
        }
        if self.alternate && !self.flip {
            return Err(Error::input("augmentation.alternate needs augmentation.flip"));
        }
        for (name, pixels) in [("shift", self.shift), ("cutout", self.cutout)] {
            if pixels > MAX_PIXELS {
                return Err(Error::input(format!(
                    "augmentation.{name} is {pixels}; it must be at most {MAX_PIXELS}"
                )));
            }
        }
        Ok(())
    }

    /// Writes an augmented copy of an image, values divided by 255, to `out`, which has the length
    /// of an image. `mirrored` replaces the random choice of a left-right flip where it is given.
    /// The canvas is reused from image to image.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn apply(
        &self,
        set: &Images,
        index: usize,
        mirrored: Option<bool>,
        random: &mut Random,
        out: &mut [f32],
        canvas: &mut Canvas,
    ) {
        self.change(set, (index, mirrored), random, out, canvas);
        if random_chance(self.splice, random) {
            let other = self.change_another(set, random, canvas);
            mix::splice(set.shape(), random, out, &other);
            canvas.other = other;
        }
        if random_chance(self.blend, random) {
            let other = self.change_another(set, random, canvas);
            mix::blend(random, out, &other);
            canvas.other = other;
        }
        if random_chance(self.fold, random) {
            pixels::fold(set.shape(), out);
        }
        if self.cutout > 0 {
            pixels::cut_out(set.shape(), self.cutout as usize, random, out);
        }
    }

    /// A changed copy of a random image, in the canvas's second buffer.
    fn change_another(&self, set: &Images, random: &mut Random, canvas: &mut Canvas) -> Vec<f32> {
        let mut other = std::mem::take(&mut canvas.other);
        other.resize(set.shape().len(), 0.0);
        self.change(set, (random.below(set.len()), None), random, &mut other, canvas);
        other
    }

    /// Geometry and brightness of one image.
    fn change(
        &self,
        set: &Images,
        (index, mirrored): (usize, Option<bool>),
        random: &mut Random,
        out: &mut [f32],
        canvas: &mut Canvas,
    ) {
        let (image, shape) = (set.image(index), set.shape());
        let motion = self.motion(mirrored, random);
        let brightness = if self.dim < 1.0 { random.between(self.dim, 1.0) } else { 1.0 };
        let look = (brightness, self.border);
        if self.rotate == 0.0 && self.stretch == 0.0 && self.shear == 0.0 {
            geometry::copy(image, shape, motion, look, out);
        } else {
            let map = self.map(shape, motion, random);
            geometry::warp(image, shape, &map, look, out, &mut canvas.buffers);
        }
        if random_chance(self.invert, random) {
            pixels::invert(out);
        }
    }

    /// Draws shift and flips.
    fn motion(&self, mirrored: Option<bool>, random: &mut Random) -> Motion {
        let span = 2 * self.shift as usize + 1;
        let mut offset = || random.below(span) as i32 - self.shift as i32;
        let (down, right) = (offset(), offset());
        let flip = self.flip && mirrored.unwrap_or_else(|| random.chance(0.5));
        let flip_vertical = self.flip_vertical && random.chance(0.5);
        Motion { down, right, flip, flip_vertical }
    }

    /// Draws rotation, stretch and shear.
    fn map(&self, shape: ImageShape, motion: Motion, random: &mut Random) -> Affine {
        let angle = random.between(-self.rotate, self.rotate).to_radians();
        let log = (1.0 + self.stretch).ln();
        let mut factor =
            |mirrored: bool| random.between(-log, log).exp() * if mirrored { -1.0 } else { 1.0 };
        let (width, height) = (factor(motion.flip), factor(motion.flip_vertical));
        let mut shear = || random.between(-self.shear, self.shear);
        let (shear_x, shear_y) = (shear(), shear());
        let shift = (motion.down, motion.right);
        Affine::new(shape, shift, angle, [height, width], [shear_y, shear_x])
    }
}

/// Buffers that [`Augment::apply`] reuses from image to image.
#[derive(Clone, Debug, Default)]
pub struct Canvas {
    buffers: Buffers,
    other: Vec<f32>,
}

/// True with a probability. Draws no random number when the probability is 0, so that turning one
/// change on does not change the others.
fn random_chance(probability: f32, random: &mut Random) -> bool {
    probability > 0.0 && random.chance(probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(values: &[u8], width: usize) -> Images {
        let shape = ImageShape { height: values.len() / width, width, channels: 1 };
        Images::new("one", shape, values.to_vec(), vec![0], 1).unwrap()
    }

    fn applied(augment: &Augment, set: &Images, seed: u64) -> Vec<f32> {
        let mut out = vec![f32::NAN; set.shape().len()];
        augment.apply(set, 0, None, &mut Random::seeded(seed), &mut out, &mut Canvas::default());
        out
    }

    #[test]
    fn nothing_is_changed_by_default() {
        let set = one(&[0, 51, 102, 255], 2);
        assert_eq!(applied(&Augment::default(), &set, 1), [0.0, 0.2, 0.4, 1.0]);
    }

    #[test]
    fn shifts_and_flips_make_each_of_their_images_and_no_other() {
        let mut values = [0; 25];
        (values[6], values[18]) = (255, 51);
        let set = one(&values, 5);
        let mut found = std::collections::BTreeSet::new();
        for seed in 0..2000 {
            let image = applied(&Augment::shifts_and_flips(1), &set, seed);
            let lit = |value: f32| image.iter().position(|v| *v == value);
            found.insert((lit(1.0).unwrap(), lit(0.2).unwrap()));
            assert_eq!(image.iter().filter(|v| **v == 0.0).count(), 23, "{image:?}");
        }
        assert_eq!(found.len(), 18, "nine shifts of two mirrored images");
        assert!(found.contains(&(8, 16)), "mirrored in place");
        assert!(found.contains(&(11, 23)), "one down");
    }

    #[test]
    fn shifts_beyond_the_image_leave_it_black() {
        let set = one(&[255; 6], 3);
        let far = Augment { shift: 50, flip: true, ..Augment::default() };
        let black = |seed| applied(&far, &set, seed).iter().all(|v| *v == 0.0);
        assert!((0..200).filter(|&seed| black(seed)).count() > 150);
        assert!(Augment { shift: u32::MAX, ..far }.check().is_err());
    }

    #[test]
    fn what_enters_from_a_mirrored_border_is_the_image_itself() {
        let set = one(&[10, 20, 30, 40], 4);
        let moved = Augment { shift: 3, border: Border::Mirror, ..Augment::default() };
        let expected: Vec<[u8; 4]> = vec![
            [10, 20, 30, 40], // not moved
            [20, 10, 20, 30], // to the right
            [30, 20, 10, 20],
            [40, 30, 20, 10],
            [20, 30, 40, 30], // to the left
            [30, 40, 30, 20],
            [40, 30, 20, 10],
        ];
        for seed in 0..200 {
            let found = applied(&moved, &set, seed);
            let found: Vec<u8> = found.iter().map(|value| (value * 255.0).round() as u8).collect();
            assert!(expected.iter().any(|line| line[..] == found[..]), "{found:?}");
        }
    }

    #[test]
    fn a_mirrored_border_is_the_same_for_shifts_and_for_both_kinds_of_warp() {
        let values: Vec<u8> = (0..63).map(|v| v * 4).collect();
        let set = one(&values, 7);
        let moved = Augment { shift: 5, flip: true, border: Border::Mirror, ..Augment::default() };
        // A stretch or rotation of this size changes no value.
        let stretched = Augment { stretch: 1e-7, ..moved.clone() };
        let turned = Augment { rotate: 1e-6, ..moved.clone() };
        for seed in 0..100 {
            let plain = applied(&moved, &set, seed);
            for other in [&stretched, &turned] {
                let other = applied(other, &set, seed);
                assert!(plain.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-3), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_warp_without_strength_is_a_copy() {
        let values: Vec<u8> = (0..30).map(|v| v * 8).collect();
        let set = one(&values, 5);
        let barely = Augment { rotate: 1e-6, ..Augment::default() };
        let still = Augment { stretch: 1e-7, ..Augment::default() };
        for augment in [barely, still] {
            for (a, b) in applied(&augment, &set, 1).iter().zip(set.pixels()) {
                assert!((a - b).abs() < 1e-4, "{a} and {b}");
            }
        }
    }

    #[test]
    fn a_stretch_is_the_warp_that_does_not_turn() {
        let values: Vec<u8> = (0..63).map(|v| v * 4).collect();
        let set = one(&values, 7);
        let upright = Augment { stretch: 0.5, shift: 2, flip: true, ..Augment::default() };
        // A rotation of this size changes no value, but takes the general path.
        let turned = Augment { rotate: 1e-5, ..upright.clone() };
        for seed in 0..100 {
            let (a, b) = (applied(&upright, &set, seed), applied(&turned, &set, seed));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3), "seed {seed}");
        }
    }

    #[test]
    fn warps_keep_the_middle_and_the_range() {
        let mut values = vec![100; 81];
        values[40] = 200;
        let set = one(&values, 9);
        let augment =
            Augment { rotate: 30.0, stretch: 0.2, shear: 0.1, flip: true, ..Augment::default() };
        for seed in 0..50 {
            let image = applied(&augment, &set, seed);
            assert!((image[40] - 200.0 / 255.0).abs() < 1e-3, "{}", image[40]);
            assert!(image.iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }

    #[test]
    fn a_vertical_flip_exchanges_top_and_bottom_half_of_the_time() {
        let set = one(&[10, 20, 30, 40, 50, 60], 2);
        let augment = Augment { flip_vertical: true, ..Augment::default() };
        let flipped = (0..200).filter(|&seed| {
            let found = applied(&augment, &set, seed);
            let found: Vec<u8> = found.iter().map(|v| (v * 255.0).round() as u8).collect();
            assert!(found == [10, 20, 30, 40, 50, 60] || found == [50, 60, 30, 40, 10, 20]);
            found[0] == 50
        });
        assert!((70..130).contains(&flipped.count()));
    }

    /// Mean position of an image's brightness relative to its centre: right and down.
    fn centre_of_light(image: &[f32], width: usize) -> (f32, f32) {
        let height = image.len() / width;
        let middle = |size: usize| (size as f32 - 1.0) / 2.0;
        let total: f32 = image.iter().sum();
        let mean = |place: &dyn Fn(usize) -> f32| {
            image.iter().enumerate().map(|(at, v)| place(at) * v).sum::<f32>() / total
        };
        (
            mean(&|at| (at % width) as f32 - middle(width)),
            mean(&|at| (at / width) as f32 - middle(height)),
        )
    }

    /// Image of 13x13 with white pixels at offsets `(right, down)` from its centre.
    fn light_at(lights: &[(i32, i32)]) -> Images {
        let mut values = [0; 169];
        lights
            .iter()
            .for_each(|(right, down)| values[(13 * (6 + down) + 6 + right) as usize] = 255);
        one(&values, 13)
    }

    #[test]
    fn a_rotation_turns_by_at_most_its_degrees_in_either_direction() {
        let set = light_at(&[(4, 0)]);
        let augment = Augment { rotate: 40.0, ..Augment::default() };
        let angles: Vec<f32> = (0..200)
            .map(|seed| {
                let (right, down) = centre_of_light(&applied(&augment, &set, seed), 13);
                assert!((right.hypot(down) - 4.0).abs() < 0.2, "{right}, {down}");
                down.atan2(right).to_degrees()
            })
            .collect();
        assert!(angles.iter().all(|angle| angle.abs() < 43.0), "{angles:?}");
        assert!(angles.iter().any(|angle| *angle > 30.0));
        assert!(angles.iter().any(|angle| *angle < -30.0));
    }

    #[test]
    fn a_stretch_scales_width_and_height_by_factors_of_their_own() {
        let augment = Augment { stretch: 0.5, ..Augment::default() };
        let (wide, high) = (light_at(&[(3, 0)]), light_at(&[(0, 3)]));
        let factors: Vec<(f32, f32)> = (0..200)
            .map(|seed| {
                let right = centre_of_light(&applied(&augment, &wide, seed), 13).0;
                let down = centre_of_light(&applied(&augment, &high, seed), 13).1;
                (right / 3.0, down / 3.0)
            })
            .collect();
        let range = 0.6..1.6;
        assert!(factors.iter().all(|(x, y)| range.contains(x) && range.contains(y)));
        assert!(factors.iter().any(|(x, y)| *x > 1.3 && *y < 0.8));
        assert!(factors.iter().any(|(x, y)| *x < 0.8 && *y > 1.3));
    }

    #[test]
    fn a_shear_displaces_rows_in_proportion_to_their_distance_from_the_centre() {
        let set = light_at(&(-6..=6).map(|down| (0, down)).collect::<Vec<_>>());
        let augment = Augment { shear: 0.5, ..Augment::default() };
        let leans: Vec<f32> = (0..200)
            .map(|seed| {
                let image = applied(&augment, &set, seed);
                let row = |down: usize| centre_of_light(&image[13 * (6 + down - 3)..][..13], 13).0;
                let (above, middle, below) = (row(0), row(3), row(6));
                assert!((above + below).abs() < 1e-3 && middle.abs() < 1e-3, "{above}, {below}");
                below / 3.0
            })
            .collect();
        assert!(leans.iter().all(|lean| lean.abs() <= 0.5), "{leans:?}");
        assert!(leans.iter().any(|lean| *lean > 0.4) && leans.iter().any(|lean| *lean < -0.4));
    }

    #[test]
    fn dimming_multiplies_all_values_by_one_factor() {
        let set = one(&[255, 255, 51, 0], 2);
        let augment = Augment { dim: 0.25, ..Augment::default() };
        let factors: Vec<f32> = (0..200)
            .map(|seed| {
                let image = applied(&augment, &set, seed);
                assert_eq!((image[1], image[3]), (image[0], 0.0));
                assert!((image[2] - 0.2 * image[0]).abs() < 1e-6);
                image[0]
            })
            .collect();
        assert!(factors.iter().all(|factor| (0.25..=1.0).contains(factor)));
        assert!(factors.iter().any(|f| *f < 0.4) && factors.iter().any(|f| *f > 0.9));
    }

    /// A black image and a white one.
    fn black_and_white() -> Images {
        let shape = ImageShape { height: 4, width: 4, channels: 1 };
        let images = [[0; 16], [255; 16]].concat();
        Images::new("two", shape, images, vec![0, 0], 1).unwrap()
    }

    #[test]
    fn a_spliced_image_is_another_one_from_a_row_or_column_on() {
        let (set, mut cuts) = (black_and_white(), std::collections::BTreeSet::new());
        for seed in 0..500 {
            let image = applied(&Augment { splice: 1.0, ..Augment::default() }, &set, seed);
            let lit = image.iter().filter(|v| **v == 1.0).count();
            let rows = (0..16).all(|at| image[at] == f32::from(at / 4 >= 4 - lit / 4));
            let columns = (0..16).all(|at| image[at] == f32::from(at % 4 >= 4 - lit / 4));
            assert!(rows || columns, "{image:?}");
            cuts.insert((lit, rows));
        }
        // No or all pixels, and three cuts along each axis.
        assert_eq!(cuts.len(), 8);
        assert!(applied(&Augment::default(), &set, 1).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn a_blended_image_has_a_share_of_another_one() {
        let set = black_and_white();
        let shares: Vec<f32> = (0..400)
            .map(|seed| {
                let image = applied(&Augment { blend: 0.5, ..Augment::default() }, &set, seed);
                assert!(image.iter().all(|v| *v == image[0] && (0.0..1.0).contains(v)));
                image[0]
            })
            .collect();
        // Half of the images are blended, and half of these with the white one.
        let blended = shares.iter().filter(|share| **share > 0.0);
        assert!((70..130).contains(&blended.clone().count()));
        assert!(blended.clone().any(|share| *share < 0.2) && shares.iter().any(|s| *s > 0.8));
    }

    #[test]
    fn a_folded_image_is_symmetric_and_an_inverted_one_stays_black_where_it_was() {
        let set = one(&[0, 51, 255, 102, 0, 255], 3);
        let folded = applied(&Augment { fold: 1.0, ..Augment::default() }, &set, 1);
        assert_eq!(folded, [1.0, 0.2, 1.0, 1.0, 0.0, 1.0]);
        let inverted = applied(&Augment { invert: 1.0, ..Augment::default() }, &set, 1);
        for (found, expected) in inverted.iter().zip([0.0, 0.9, 0.1, 0.7, 0.0, 0.1]) {
            assert!((found - expected).abs() < 1e-6, "{inverted:?}");
        }
    }

    #[test]
    fn a_square_of_the_mean_is_cut_out() {
        let values: Vec<u8> = (0..48).map(|i| if i % 2 == 0 { 0 } else { 200 }).collect();
        let set = one(&values, 8);
        let augment = Augment { cutout: 3, ..Augment::default() };
        let sizes = (0..200).map(|seed| {
            let mean = 100.0 / 255.0;
            applied(&augment, &set, seed).iter().filter(|v| (**v - mean).abs() < 1e-4).count()
        });
        let sizes: std::collections::BTreeSet<usize> = sizes.collect();
        assert_eq!(sizes, [4, 6, 9].into(), "at a corner, at an edge, inside");
    }

    #[test]
    fn strengths_out_of_range_are_refused_by_name() {
        for (augment, name) in [
            (Augment { rotate: f32::NAN, ..Augment::default() }, "rotate"),
            (Augment { stretch: 11.0, ..Augment::default() }, "stretch"),
            (Augment { shear: -0.1, ..Augment::default() }, "shear"),
            (Augment { dim: 1.5, ..Augment::default() }, "dim"),
            (Augment { cutout: 4097, ..Augment::default() }, "cutout"),
            (Augment { blend: -0.1, ..Augment::default() }, "blend"),
            (Augment { alternate: true, ..Augment::default() }, "alternate"),
        ] {
            assert!(augment.check().unwrap_err().to_string().contains(name));
        }
        assert!(Augment::shifts_and_flips(4).check().is_ok());
    }
}
