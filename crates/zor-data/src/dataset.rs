//! Labelled images in memory.

use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use zor_core::Random;

use crate::error::{Error, Result};

/// Size of an image; pixels lie row by row, the channels of a pixel together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per pixel.
    pub channels: usize,
}

impl ImageShape {
    /// Values in an image.
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether an image has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Images of one size, 8 bits a value, with a class for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    name: String,
    shape: ImageShape,
    images: Vec<u8>,
    labels: Vec<u8>,
    n_classes: usize,
    class_names: Arc<[String]>,
}

impl Dataset {
    /// A set of `labels.len()` images that lie one after another.
    ///
    /// # Errors
    /// When the sizes do not fit, or a label is not below `n_classes`.
    pub fn new(
        name: impl Into<String>,
        shape: ImageShape,
        images: Vec<u8>,
        labels: Vec<u8>,
        n_classes: usize,
    ) -> Result<Self> {
        let name = name.into();
        if shape.is_empty() {
            return Err(Error::input(format!("{name}: images of {shape:?} have no pixels")));
        }
        if images.len() != labels.len() * shape.len() {
            return Err(Error::input(format!(
                "{name}: {} bytes of images are not {} images of {} bytes",
                images.len(),
                labels.len(),
                shape.len()
            )));
        }
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= n_classes) {
            return Err(Error::input(format!(
                "{name}: image {index} has label {}; labels are 0 to {}",
                labels[index],
                n_classes.saturating_sub(1)
            )));
        }
        let class_names = (0..n_classes).map(|class| class.to_string()).collect();
        Ok(Self { name, shape, images, labels, n_classes, class_names })
    }

    /// With names for its classes, in their order; without them they are called by their numbers.
    #[must_use]
    pub fn with_class_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
        names.truncate(self.n_classes);
        names.extend((names.len()..self.n_classes).map(|class| class.to_string()));
        self.class_names = names.into();
        self
    }

    /// The set's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Size of its images.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// The names of its classes, as many as there are classes.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The values of an image. Panics when there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.images[index * self.shape.len()..][..self.shape.len()]
    }

    /// The class of an image. Panics when there is no such image.
    pub fn label(&self, index: usize) -> u8 {
        self.labels[index]
    }

    /// All classes in order.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// All values, divided by 255: `[len, pixels]`.
    pub fn pixels(&self) -> Vec<f32> {
        self.images.iter().map(|&value| f32::from(value) / 255.0).collect()
    }

    /// SHA-256 of shape, images and labels, in hexadecimal digits.
    pub fn digest(&self) -> String {
        let ImageShape { height, width, channels } = self.shape;
        let mut hasher = Sha256::new();
        for number in [height, width, channels, self.len(), self.n_classes] {
            hasher.update((number as u64).to_le_bytes());
        }
        hasher.update(&self.images);
        hasher.update(&self.labels);
        crate::digest::hexadecimal(&hasher.finalize())
    }

    /// Some images in the order of the indices.
    ///
    /// # Errors
    /// When an index is beyond the set.
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        if let Some(index) = indices.iter().find(|&&index| index >= self.len()) {
            return Err(Error::input(format!(
                "{}: there is no image {index}; it has {}",
                self.name,
                self.len()
            )));
        }
        let mut images = Vec::with_capacity(indices.len() * self.shape.len());
        for &index in indices {
            images.extend_from_slice(self.image(index));
        }
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Ok(Self { images, labels, ..self.without_images() })
    }

    /// A range of images.
    ///
    /// # Errors
    /// When the range goes beyond the set.
    pub fn range(&self, range: Range<usize>) -> Result<Self> {
        if range.start > range.end || range.end > self.len() {
            return Err(Error::input(format!(
                "{}: there are no images {} to {}; it has {}",
                self.name,
                range.start,
                range.end,
                self.len()
            )));
        }
        let bytes = range.start * self.shape.len()..range.end * self.shape.len();
        let (images, labels) = (self.images[bytes].to_vec(), self.labels[range].to_vec());
        Ok(Self { images, labels, ..self.without_images() })
    }

    /// The first `n` images.
    ///
    /// # Errors
    /// When there are fewer, or none are asked for.
    pub fn first(&self, n: usize) -> Result<Self> {
        self.check_count(n)?;
        self.range(0..n)
    }

    /// `n` different images drawn at random, in their order in the set.
    ///
    /// # Errors
    /// When there are fewer, or none are asked for.
    pub fn random(&self, n: usize, random: &mut Random) -> Result<Self> {
        self.check_count(n)?;
        let mut indices: Vec<usize> = (0..self.len()).collect();
        random.shuffle(&mut indices);
        indices.truncate(n);
        indices.sort_unstable();
        self.select(&indices)
    }

    /// The first `n` images of each class, ordered by class.
    ///
    /// # Errors
    /// When a class has fewer, or none are asked for.
    pub fn first_per_class(&self, n: usize) -> Result<Self> {
        self.per_class(n, |members| members.truncate(n))
    }

    /// `n` different images of each class drawn at random, ordered by class.
    ///
    /// # Errors
    /// When a class has fewer, or none are asked for.
    pub fn random_per_class(&self, n: usize, random: &mut Random) -> Result<Self> {
        self.per_class(n, |members| {
            random.shuffle(members);
            members.truncate(n);
        })
    }

    fn per_class(&self, n: usize, mut choose: impl FnMut(&mut Vec<usize>)) -> Result<Self> {
        if n == 0 {
            return Err(Error::input(
                "no samples are asked for; ask for at least one of each class",
            ));
        }
        let mut chosen = Vec::new();
        for class in 0..self.n_classes {
            let mut members: Vec<usize> =
                (0..self.len()).filter(|&i| usize::from(self.labels[i]) == class).collect();
            if members.len() < n {
                return Err(Error::input(format!(
                    "{}: class {class} has {} images, fewer than the {n} asked for",
                    self.name,
                    members.len()
                )));
            }
            choose(&mut members);
            chosen.extend(members);
        }
        self.select(&chosen)
    }

    fn check_count(&self, n: usize) -> Result<()> {
        match n {
            0 => Err(Error::input("no samples are asked for; ask for at least one")),
            n if n > self.len() => Err(Error::input(format!(
                "{}: {n} samples are asked for; it has {}",
                self.name,
                self.len()
            ))),
            _ => Ok(()),
        }
    }

    fn without_images(&self) -> Self {
        Self {
            name: self.name.clone(),
            shape: self.shape,
            images: Vec::new(),
            labels: Vec::new(),
            n_classes: self.n_classes,
            class_names: self.class_names.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Images of 2x3 whose values tell their index: 10 index + position.
    pub(crate) fn numbered(n: usize) -> Dataset {
        let shape = ImageShape { height: 2, width: 3, channels: 1 };
        let images = (0..n).flat_map(|i| (0..6).map(move |p| (10 * i + p) as u8)).collect();
        let labels = (0..n).map(|i| (i % 3) as u8).collect();
        Dataset::new("numbered", shape, images, labels, 3).unwrap()
    }

    fn firsts(set: &Dataset) -> Vec<u8> {
        (0..set.len()).map(|i| set.image(i)[0] / 10).collect()
    }

    #[test]
    fn parts_are_the_images_asked_for() {
        let set = numbered(9);
        assert_eq!(firsts(&set.range(2..4).unwrap()), [2, 3]);
        assert_eq!(firsts(&set.select(&[5, 1]).unwrap()), [5, 1]);
        assert_eq!(firsts(&set.first(2).unwrap()), [0, 1]);
        assert_eq!(firsts(&set.first_per_class(2).unwrap()), [0, 3, 1, 4, 2, 5]);
        assert_eq!(set.first_per_class(1).unwrap().labels(), [0, 1, 2]);
        assert_eq!(set.first(1).unwrap().pixels()[1], 1.0 / 255.0);
    }

    #[test]
    fn random_parts_follow_the_seed_and_do_not_repeat_an_image() {
        let set = numbered(9);
        let draw = |seed| firsts(&set.random(6, &mut Random::seeded(seed)).unwrap());
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut drawn = draw(1);
        drawn.dedup();
        assert_eq!(drawn.len(), 6);
        let per_class = set.random_per_class(2, &mut Random::seeded(1)).unwrap();
        assert_eq!(per_class.labels(), [0, 0, 1, 1, 2, 2]);
    }

    fn refused<T: std::fmt::Debug>(result: Result<T>, words: &str) {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let set = numbered(4);
        refused(set.range(3..5), "no images 3 to 5");
        refused(set.select(&[4]), "no image 4");
        refused(set.first(0), "no samples");
        refused(set.first(5), "5 samples are asked for");
        refused(set.first_per_class(0), "no samples");
        refused(set.first_per_class(2), "class 1 has 1 images");
        refused(set.random(9, &mut Random::seeded(0)), "9 samples");
    }

    #[test]
    fn sizes_and_labels_that_do_not_fit_are_refused() {
        let shape = ImageShape { height: 2, width: 2, channels: 1 };
        refused(Dataset::new("d", shape, vec![0; 7], vec![0; 2], 3), "7 bytes");
        refused(Dataset::new("d", shape, vec![0; 8], vec![0, 3], 3), "image 1 has label 3");
        let empty = ImageShape { height: 0, width: 2, channels: 1 };
        refused(Dataset::new("d", empty, vec![], vec![], 3), "no pixels");
    }
}
