//! Changed copies of images, so that a few teach as much as they can.
//!
//! Geometry is one inverse affine map with bilinear sampling; whole-pixel shifts and flips copy
//! rows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zor_random::Random;

use crate::error::{Error, Result};
use crate::examples::{Batch, Draw, Examples};
use crate::vision::images::{ImageShape, Images};

/// No image is moved further, in pixels.
const LARGEST_SHIFT: u32 = 1 << 12;

/// Which changes are made, and how strong they may be. All are off by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Whole pixels up, down, left or right, at most.
    pub shift: u32,
    /// What enters from outside.
    pub border: Border,
    /// Mirrored left to right, half of the time.
    pub flip: bool,
    /// Whether `flip` is every other epoch's instead of chance's, so that an image is not seen
    /// alike twice in a row (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU",
    /// section 3.6).
    pub alternate: bool,
    /// Mirrored top to bottom, half of the time.
    pub flip_vertical: bool,
    /// Degrees of rotation, at most, either way.
    pub rotate: f32,
    /// Width and height change by factors within `1 / (1 + stretch)` to `1 + stretch`, each its
    /// own.
    pub stretch: f32,
    /// Sideways lean per row and column, at most.
    pub shear: f32,
    /// Brightness is multiplied by a factor from this to 1.
    pub dim: f32,
    /// How often one side of a random straight cut is taken from another image, changed on its own.
    pub splice: f32,
    /// How often another image, changed on its own, is mixed in with a random share.
    pub blend: f32,
    /// How often light and dark change places inside what is not black.
    pub invert: f32,
    /// How often the image becomes symmetric: the brighter of each pixel and its mirror image's.
    pub fold: f32,
    /// The side of a square at a random place that takes the image's mean colour, in pixels
    /// (DeVries and Taylor 2017, "Improved Regularization of Convolutional Neural Networks with
    /// Cutout"). At edges less of it is inside.
    pub cutout: u32,
}

/// What lies beyond an image's edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// Zeros, as around pictures of things on black.
    #[default]
    Black,
    /// The image once more, mirrored at its edge, as suits photographs.
    Mirror,
}

impl Border {
    /// The place inside that stands for one on an axis of so many pixels; what is outside stays
    /// there if black.
    fn inside(self, place: f32, size: usize) -> f32 {
        let last = size as f32 - 1.0;
        match self {
            Self::Black => place,
            Self::Mirror if last == 0.0 => 0.0,
            Self::Mirror => {
                let around = place.rem_euclid(2.0 * last);
                if around > last { 2.0 * last - around } else { around }
            }
        }
    }
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
    /// Shifts of up to so many pixels, and left-right flips.
    pub fn shifts_and_flips(shift: u32) -> Self {
        Self { shift, flip: true, ..Self::default() }
    }

    /// Refuses strengths that make no sense.
    ///
    /// # Errors
    /// Names the setting and what it must be.
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
            if pixels > LARGEST_SHIFT {
                return Err(Error::input(format!(
                    "augmentation.{name} is {pixels}; it must be at most {LARGEST_SHIFT}"
                )));
            }
        }
        Ok(())
    }

    /// Writes a changed copy of an image, values divided by 255. Whether it is mirrored left to
    /// right is chance's choice unless given. The canvas is memory that is used again.
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
            splice(set.shape(), random, out, &other);
            canvas.other = other;
        }
        if random_chance(self.blend, random) {
            let other = self.change_another(set, random, canvas);
            let share = random.uniform();
            for (out, other) in out.iter_mut().zip(&other) {
                *out += share * (other - *out);
            }
            canvas.other = other;
        }
        if random_chance(self.fold, random) {
            fold(set.shape(), out);
        }
        if self.cutout > 0 {
            cut_out(set.shape(), self.cutout as usize, random, out);
        }
    }

    /// A changed copy of a random image, in the canvas's second memory.
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
        let image = set.image(index);
        let shape = set.shape();
        let span = 2 * self.shift as usize + 1;
        let mut offset = || random.below(span) as i32 - self.shift as i32;
        let (down, right) = (offset(), offset());
        let aside = self.flip && mirrored.unwrap_or_else(|| random.chance(0.5));
        let mirror = (aside, self.flip_vertical && random.chance(0.5));
        let light = if self.dim < 1.0 { random.between(self.dim, 1.0) } else { 1.0 };
        if self.rotate == 0.0 && self.stretch == 0.0 && self.shear == 0.0 {
            match self.border {
                Border::Black => copy(image, shape, (down, right), mirror, light, out),
                Border::Mirror => copy_mirrored(image, shape, (down, right), mirror, light, out),
            }
        } else {
            let map = self.map(shape, (down, right), mirror, random);
            warp(image, shape, &map, (light, self.border), out, canvas);
        }
        if random_chance(self.invert, random) {
            invert(out);
        }
    }

    /// From places in the changed image to places in the original.
    fn map(
        &self,
        shape: ImageShape,
        (down, right): (i32, i32),
        mirror: (bool, bool),
        random: &mut Random,
    ) -> Affine {
        let (sin, cos) = random.between(-self.rotate, self.rotate).to_radians().sin_cos();
        let log = (1.0 + self.stretch).ln();
        let mut factor =
            |mirrored: bool| random.between(-log, log).exp() * if mirrored { -1.0 } else { 1.0 };
        let (width, height) = (factor(mirror.0), factor(mirror.1));
        let mut lean = || random.between(-self.shear, self.shear);
        let (lean_x, lean_y) = (lean(), lean());
        // Stretch, then lean, then turn, about the centre.
        let rows = [
            [cos * height + sin * lean_x * width, sin * width + cos * lean_y * height],
            [-sin * height + cos * lean_x * width, cos * width - sin * lean_y * height],
        ];
        let centre = [(shape.height as f32 - 1.0) / 2.0, (shape.width as f32 - 1.0) / 2.0];
        let from = [centre[0] + down as f32, centre[1] + right as f32];
        let start = |row: usize| centre[row] - rows[row][0] * from[0] - rows[row][1] * from[1];
        Affine { rows, start: [start(0), start(1)] }
    }
}

/// Memory that [`Augment::apply`] uses from image to image.
#[derive(Clone, Debug, Default)]
pub struct Canvas {
    padded: Vec<f32>,
    columns: Vec<(usize, f32)>,
    narrowed: Vec<f32>,
    other: Vec<f32>,
}

/// Images that are changed at random whenever they are drawn.
#[derive(Clone, Debug)]
pub struct Augmented {
    images: Arc<Images>,
    augment: Augment,
}

impl Augmented {
    /// Separates the side that an image is first shown from from other uses of a seed.
    const SIDE_STREAM: u64 = (1 << 63) | (1 << 62);

    /// Images with the changes to make.
    ///
    /// # Errors
    /// When a setting of the augmentation cannot be used.
    pub fn new(images: impl Into<Arc<Images>>, augment: Augment) -> Result<Self> {
        augment.check()?;
        Ok(Self { images: images.into(), augment })
    }

    /// Whether an image is mirrored in an epoch: by chance in the first, then in every other one.
    fn side(&self, seed: u64, index: usize, epoch: u64) -> bool {
        let first = Random::stream(seed, Self::SIDE_STREAM ^ index as u64).chance(0.5);
        first ^ (epoch % 2 == 1)
    }
}

impl Examples for Augmented {
    fn name(&self) -> &str {
        self.images.name()
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn input_shape(&self) -> Vec<usize> {
        self.images.input_shape()
    }

    fn fill(&self, draw: &Draw<'_>, batch: &mut Batch) {
        let (images, augment) = (&self.images, &self.augment);
        batch.rows = draw.indices.len();
        let inputs = batch.inputs.resize_numbers(batch.rows * images.shape().len());
        let mut canvas = Canvas::default();
        for (row, out) in inputs.chunks_exact_mut(images.shape().len()).enumerate() {
            let index = draw.indices[row];
            let mut random = draw.random(row);
            let epoch = draw.number(row) / images.len() as u64;
            let mirrored = augment.alternate.then(|| self.side(draw.seed, index, epoch));
            augment.apply(images, index, mirrored, &mut random, out, &mut canvas);
        }
        batch.targets.set_integers(draw.indices.iter().map(|&index| images.label(index).into()));
    }

    fn digest(&self) -> String {
        self.images.digest()
    }

    fn class_names(&self) -> &[String] {
        self.images.class_names()
    }

    fn labels(&self) -> Option<Vec<u32>> {
        Examples::labels(&*self.images)
    }

    fn notes(&self) -> &[String] {
        self.images.notes()
    }

    fn subset(&self, indices: &[usize]) -> Result<Arc<dyn Examples>> {
        let images = Arc::new(self.images.select(indices)?);
        Ok(Arc::new(Self { images, augment: self.augment.clone() }))
    }
}

impl From<Augmented> for Arc<dyn Examples> {
    fn from(images: Augmented) -> Self {
        Arc::new(images)
    }
}

/// `original = rows @ (y, x) + start`.
struct Affine {
    rows: [[f32; 2]; 2],
    start: [f32; 2],
}

/// No random number is drawn for what is off, so that turning one thing on changes nothing else.
fn random_chance(probability: f32, random: &mut Random) -> bool {
    probability > 0.0 && random.chance(probability)
}

fn copy(
    image: &[u8],
    shape: ImageShape,
    (down, right): (i32, i32),
    mirror: (bool, bool),
    light: f32,
    out: &mut [f32],
) {
    let ImageShape { height, width, channels } = shape;
    // Columns of the result that have a source.
    let first = right.clamp(0, width as i32) as usize;
    let last = (width as i32 + right).clamp(0, width as i32) as usize;
    for (y, row) in out.chunks_exact_mut(width * channels).enumerate() {
        let source = y as i32 - down;
        if !(0..height as i32).contains(&source) || first >= last {
            row.fill(0.0);
            continue;
        }
        let source = if mirror.1 { height - 1 - source as usize } else { source as usize };
        let line = &image[source * width * channels..][..width * channels];
        row[..first * channels].fill(0.0);
        row[last * channels..].fill(0.0);
        let inside = &mut row[first * channels..last * channels];
        let from = (first as i32 - right) as usize;
        if mirror.0 {
            let pixels = line.chunks_exact(channels).rev().skip(from);
            for (out, pixel) in inside.chunks_exact_mut(channels).zip(pixels) {
                for (out, value) in out.iter_mut().zip(pixel) {
                    *out = f32::from(*value) / 255.0 * light;
                }
            }
        } else {
            for (out, value) in inside.iter_mut().zip(&line[from * channels..]) {
                *out = f32::from(*value) / 255.0 * light;
            }
        }
    }
}

/// [`copy`] with a mirrored border.
fn copy_mirrored(
    image: &[u8],
    shape: ImageShape,
    (down, right): (i32, i32),
    mirror: (bool, bool),
    light: f32,
    out: &mut [f32],
) {
    let ImageShape { height, width, channels } = shape;
    let source = |at: usize, moved: i32, size: usize, mirrored: bool| {
        let place = Border::Mirror.inside((at as i32 - moved) as f32, size) as usize;
        if mirrored { size - 1 - place } else { place }
    };
    for (y, row) in out.chunks_exact_mut(width * channels).enumerate() {
        let line = &image[source(y, down, height, mirror.1) * width * channels..];
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let from = &line[source(x, right, width, mirror.0) * channels..];
            for (out, value) in pixel.iter_mut().zip(from) {
                *out = f32::from(*value) / 255.0 * light;
            }
        }
    }
}

fn warp(
    image: &[u8],
    shape: ImageShape,
    map: &Affine,
    (light, border): (f32, Border),
    out: &mut [f32],
    canvas: &mut Canvas,
) {
    let ImageShape { height, width, channels } = shape;
    let line = (width + 3) * channels;
    frame(image, shape, light, &mut canvas.padded);
    let [[y_by_row, y_by_column], [x_by_row, x_by_column]] = map.rows;
    if y_by_column == 0.0 && x_by_row == 0.0 {
        return stretch(shape, map, border, out, canvas);
    }
    let padded = &canvas.padded;
    for (row, values) in out.chunks_exact_mut(width * channels).enumerate() {
        let y_start = y_by_row * row as f32 + map.start[0];
        let x_start = x_by_row * row as f32 + map.start[1];
        for (column, pixel) in values.chunks_exact_mut(channels).enumerate() {
            let y = border.inside(y_start + y_by_column * column as f32, height);
            let x = border.inside(x_start + x_by_column * column as f32, width);
            let (top, below) = sample(y, height);
            let (left, beside) = sample(x, width);
            let upper = &padded[top * line + left * channels..][..2 * channels];
            let lower = &padded[(top + 1) * line + left * channels..][..2 * channels];
            for (c, out) in pixel.iter_mut().enumerate() {
                let above = upper[c] + (upper[c + channels] - upper[c]) * beside;
                let under = lower[c] + (lower[c + channels] - lower[c]) * beside;
                *out = above + (under - above) * below;
            }
        }
    }
}

/// The image with a frame of zeros, so that every place that is sampled has its four neighbours.
fn frame(image: &[u8], shape: ImageShape, light: f32, padded: &mut Vec<f32>) {
    let ImageShape { height, width, channels } = shape;
    let line = (width + 3) * channels;
    padded.clear();
    padded.resize((height + 3) * line, 0.0);
    for (row, values) in image.chunks_exact(width * channels).enumerate() {
        let to = &mut padded[(row + 1) * line + channels..][..width * channels];
        for (to, value) in to.iter_mut().zip(values) {
            *to = f32::from(*value) / 255.0 * light;
        }
    }
}

/// The neighbour before a place on an axis of the framed image, and how far beyond it the place is.
fn sample(place: f32, size: usize) -> (usize, f32) {
    // The frame begins one before zero, so that rounding down is a cast.
    let place = place.clamp(-1.0, size as f32) + 1.0;
    let before = place as i32;
    (before as usize, place - before as f32)
}

/// A warp whose rows stay rows: columns first, then rows, each one pass.
fn stretch(shape: ImageShape, map: &Affine, border: Border, out: &mut [f32], canvas: &mut Canvas) {
    let ImageShape { height, width, channels } = shape;
    let (line, row_length) = ((width + 3) * channels, width * channels);
    let Canvas { padded, columns, narrowed, .. } = canvas;
    columns.clear();
    let place = |axis: usize, at: usize, size| {
        let place = map.rows[axis][axis] * at as f32 + map.start[axis];
        sample(border.inside(place, size), size)
    };
    columns.extend((0..width).map(|column| place(1, column, width)));
    narrowed.resize((height + 3) * row_length, 0.0);
    let rows = padded.chunks_exact(line).zip(narrowed.chunks_exact_mut(row_length));
    for (from, to) in rows {
        for (to, &(left, beside)) in to.chunks_exact_mut(channels).zip(columns.iter()) {
            let pair = &from[left * channels..][..2 * channels];
            for (c, to) in to.iter_mut().enumerate() {
                *to = pair[c] + (pair[c + channels] - pair[c]) * beside;
            }
        }
    }
    for (row, out) in out.chunks_exact_mut(row_length).enumerate() {
        let (top, below) = place(0, row, height);
        let (upper, lower) = narrowed[top * row_length..][..2 * row_length].split_at(row_length);
        for (out, (upper, lower)) in out.iter_mut().zip(upper.iter().zip(lower)) {
            *out = upper + (lower - upper) * below;
        }
    }
}

/// Black stays black; from about a fifth of full brightness on, brighter becomes darker.
fn invert(values: &mut [f32]) {
    for value in values {
        *value = (6.0 * *value).min(1.0) * (1.1 - *value);
    }
}

fn fold(shape: ImageShape, out: &mut [f32]) {
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

fn cut_out(shape: ImageShape, side: usize, random: &mut Random, out: &mut [f32]) {
    let ImageShape { height, width, channels } = shape;
    let mut place = |size: usize| {
        let middle = random.below(size);
        middle.saturating_sub(side / 2)..(middle + side.div_ceil(2)).min(size)
    };
    let (rows, columns) = (place(height), place(width));
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

/// Takes what lies beyond a random row or column from the other image.
fn splice(shape: ImageShape, random: &mut Random, out: &mut [f32], other: &[f32]) {
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
        // So small a stretch or rotation changes no value.
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
        // So small a rotation changes no value, but takes the general path.
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
    fn splicing_and_blending_take_from_another_image() {
        let shape = ImageShape { height: 4, width: 4, channels: 1 };
        let mut images = vec![0; 16];
        images.extend([255; 16]);
        let set = Images::new("two", shape, images, vec![0, 0], 1).unwrap();
        let mixed = |augment: &Augment| {
            (0..50).filter(|&seed| applied(augment, &set, seed).iter().any(|v| *v > 0.0)).count()
        };
        assert!(mixed(&Augment { splice: 1.0, ..Augment::default() }) > 10);
        assert!(mixed(&Augment { blend: 1.0, ..Augment::default() }) > 10);
        assert_eq!(mixed(&Augment::default()), 0);
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
            (Augment { dim: 1.5, ..Augment::default() }, "dim"),
            (Augment { blend: -0.1, ..Augment::default() }, "blend"),
            (Augment { alternate: true, ..Augment::default() }, "alternate"),
        ] {
            assert!(augment.check().unwrap_err().to_string().contains(name));
        }
        assert!(Augment::shifts_and_flips(4).check().is_ok());
    }
}
