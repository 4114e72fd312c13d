//! Labelled images in memory.

use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use zor_random::Random;

use crate::error::{Error, Result, memory, shown};
use crate::examples::{Batch, Draw, Examples};
use crate::hexadecimal::hexadecimal;

/// Shape of an image. Values are stored row by row, with the channels of a pixel together (HWC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Values per pixel: 1 for grey, 3 for RGB.
    pub channels: usize,
}

impl ImageShape {
    /// Number of values in an image; saturates at `usize::MAX`.
    pub fn len(&self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// True if an image has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Maximum number of classes: a label is a byte.
pub(crate) const MAX_CLASSES: usize = 256;
/// Maximum number of names that a message lists.
const MAX_NAMES: usize = 12;

/// A data set of images of one shape, 8 bits per value, with a label for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    name: String,
    shape: ImageShape,
    images: Vec<u8>,
    labels: Vec<u8>,
    n_classes: usize,
    class_names: Arc<[String]>,
    labelled: bool,
    notes: Arc<[String]>,
}

/// Differences between the classes of a data set and those of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassMatch {
    /// Classes of the model without images in the data set.
    pub missing: Vec<String>,
    /// Classes of the data set that the model does not have.
    pub unknown: Vec<String>,
    /// Number of images of these unknown classes, which are left out.
    pub left_out: usize,
}

impl Images {
    /// Data set from the values of `labels.len()` images, `[len, height, width, channels]`.
    ///
    /// # Errors
    /// When the sizes do not fit or overflow, a label is not less than `n_classes`, or `n_classes`
    /// is not from 1 to 256.
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
        // An allocation is at most `isize::MAX` bytes; this also rejects a saturated product.
        if isize::try_from(shape.len()).is_err() {
            return Err(Error::input(format!(
                "{name}: images of {}x{}x{} values are too large for any memory",
                shape.height, shape.width, shape.channels
            )));
        }
        if n_classes == 0 || n_classes > MAX_CLASSES {
            return Err(Error::input(format!(
                "{name}: the number of classes is {n_classes}; it must be from 1 to {MAX_CLASSES}"
            )));
        }
        if Some(images.len()) != labels.len().checked_mul(shape.len()) {
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
                n_classes - 1
            )));
        }
        let class_names = (0..n_classes).map(|class| class.to_string()).collect();
        let (labelled, notes) = (n_classes > 1, Arc::default());
        Ok(Self { name, shape, images, labels, n_classes, class_names, labelled, notes })
    }

    /// Sets the names of the classes, in the order of the labels. A class without a name is named
    /// by its label. Names beyond the last class are dropped. A repeated name gets its label
    /// appended, so that all names differ.
    #[must_use]
    pub fn with_class_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.labelled |= !names.is_empty();
        names.truncate(self.n_classes);
        names.extend((names.len()..self.n_classes).map(|class| class.to_string()));
        for class in 1..names.len() {
            while names[..class].contains(&names[class]) {
                names[class] += &format!(" ({class})");
            }
        }
        self.class_names = names.into();
        self
    }

    /// Sets the notes for the user, one line of plain text each, such as skipped files.
    #[must_use]
    pub fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes = notes.into();
        self
    }

    /// Name of the data set, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shape of the images.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Names of the classes, one for each class.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// True if the images are labelled: there are several classes, or they have names. A flat
    /// folder or an array of images has one class without a name.
    pub fn has_labels(&self) -> bool {
        self.labelled
    }

    /// Notes for the user, one line of plain text each: files and folders that were skipped.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Selects the images whose class names are in `names` (the classes of a model), and relabels
    /// them to the order of `names`. Images of other classes are left out; the second value lists
    /// the differences.
    ///
    /// # Errors
    /// When the images have no labels, none of them is of one of the classes, or `names` has more
    /// than 256 entries.
    pub fn with_classes_of(&self, names: &[String]) -> Result<(Self, ClassMatch)> {
        if !self.labelled {
            return Err(Error::input(format!(
                "{}: its images have no labels; put them into folders, one for each class, with the names of the classes ({})",
                self.name,
                listed(names)
            )));
        }
        if names.len() > MAX_CLASSES {
            return Err(Error::input(format!(
                "{} classes are too many; the maximum is {MAX_CLASSES}",
                names.len()
            )));
        }
        let place = |name: &String| names.iter().position(|other| other == name);
        let places: Vec<Option<usize>> = self.class_names.iter().map(place).collect();
        let known = |&index: &usize| places[usize::from(self.labels[index])].is_some();
        let kept: Vec<usize> = (0..self.len()).filter(known).collect();
        if kept.is_empty() {
            return Err(Error::input(format!(
                "{}: it has no image of the classes {}; its classes are {}: give its folders the names of the model's classes",
                self.name,
                listed(names),
                listed(&self.class_names)
            )));
        }
        let mut set = self.select(&kept)?;
        let mut seen = vec![false; names.len()];
        for label in &mut set.labels {
            let class = places[usize::from(*label)].unwrap_or_default();
            seen[class] = true;
            // At most 256 names were accepted above.
            *label = class as u8;
        }
        set.n_classes = names.len();
        set.class_names = names.into();
        let absent = names.iter().zip(&seen).filter(|(_, seen)| !**seen);
        let unknown = self.class_names.iter().zip(&places).filter(|(_, place)| place.is_none());
        let classes = ClassMatch {
            missing: absent.map(|(name, _)| name.clone()).collect(),
            unknown: unknown.map(|(name, _)| name.clone()).collect(),
            left_out: self.len() - kept.len(),
        };
        Ok((set, classes))
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True if there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Values of an image, `[height, width, channels]`.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        assert!(index < self.len(), "there is no image {index}; there are {}", self.len());
        &self.images[index * self.shape.len()..][..self.shape.len()]
    }

    /// Label of an image.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn label(&self, index: usize) -> u8 {
        self.labels[index]
    }

    /// Labels of all images.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// All values divided by 255, `[len, height, width, channels]`.
    pub fn pixels(&self) -> Vec<f32> {
        self.images.iter().map(|&value| f32::from(value) / 255.0).collect()
    }

    /// SHA-256 of shape, images and labels, in hexadecimal digits. Names and notes do not count.
    pub fn digest(&self) -> String {
        let ImageShape { height, width, channels } = self.shape;
        let mut hasher = Sha256::new();
        for number in [height, width, channels, self.len(), self.n_classes] {
            hasher.update((number as u64).to_le_bytes());
        }
        hasher.update(&self.images);
        hasher.update(&self.labels);
        hexadecimal(&hasher.finalize())
    }

    /// Returns the images with these indices, in the order of the indices.
    ///
    /// # Errors
    /// When an index is out of range, or the allocation fails.
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        if let Some(index) = indices.iter().find(|&&index| index >= self.len()) {
            return Err(Error::input(format!(
                "{}: there is no image {index}; it has {}",
                self.name,
                self.len()
            )));
        }
        let size = indices.len().saturating_mul(self.shape.len());
        let mut images = memory(size)
            .map_err(|error| Error::input(format!("{}: {error}; take fewer images", self.name)))?;
        for &index in indices {
            images.extend_from_slice(self.image(index));
        }
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Ok(Self { images, labels, ..self.without_images() })
    }

    /// Returns a range of images.
    ///
    /// # Errors
    /// When the range is not within the data set.
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

    /// Returns the first `n` images.
    ///
    /// # Errors
    /// When there are fewer, or `n` is 0.
    pub fn first(&self, n: usize) -> Result<Self> {
        self.check_count(n)?;
        self.range(0..n)
    }

    /// Draws `n` images at random without replacement. They stay in the order of the data set.
    ///
    /// # Errors
    /// When there are fewer, or `n` is 0.
    pub fn random(&self, n: usize, random: &mut Random) -> Result<Self> {
        self.check_count(n)?;
        let mut indices: Vec<usize> = (0..self.len()).collect();
        random.shuffle(&mut indices);
        indices.truncate(n);
        indices.sort_unstable();
        self.select(&indices)
    }

    /// Returns the first `n` images of each class, ordered by class.
    ///
    /// # Errors
    /// When a class has fewer, or `n` is 0.
    pub fn first_per_class(&self, n: usize) -> Result<Self> {
        self.per_class(n, |members| members.truncate(n))
    }

    /// Draws `n` images of each class at random without replacement, ordered by class.
    ///
    /// # Errors
    /// When a class has fewer, or `n` is 0.
    pub fn random_per_class(&self, n: usize, random: &mut Random) -> Result<Self> {
        self.per_class(n, |members| {
            random.shuffle(members);
            members.truncate(n);
        })
    }

    fn per_class(&self, n: usize, mut choose: impl FnMut(&mut Vec<usize>)) -> Result<Self> {
        if n == 0 {
            return Err(Error::input("0 samples per class are requested; request at least 1"));
        }
        let mut chosen = Vec::new();
        for class in 0..self.n_classes {
            let mut members: Vec<usize> =
                (0..self.len()).filter(|&i| usize::from(self.labels[i]) == class).collect();
            if members.len() < n {
                return Err(Error::input(format!(
                    "{}: class {class} has {} images, fewer than the {n} requested",
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
            0 => Err(Error::input("0 samples are requested; request at least 1")),
            n if n > self.len() => Err(Error::input(format!(
                "{}: {n} samples are requested; it has {}",
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
            labelled: self.labelled,
            notes: self.notes.clone(),
        }
    }
}

impl Examples for Images {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn input_shape(&self) -> Vec<usize> {
        vec![self.shape.height, self.shape.width, self.shape.channels]
    }

    fn fill(&self, draw: &Draw<'_>, batch: &mut Batch) {
        batch.rows = draw.indices.len();
        let inputs = batch.inputs.resize_numbers(batch.rows * self.shape.len());
        for (&index, out) in draw.indices.iter().zip(inputs.chunks_exact_mut(self.shape.len())) {
            for (out, value) in out.iter_mut().zip(self.image(index)) {
                *out = f32::from(*value) / 255.0;
            }
        }
        batch.targets.set_integers(draw.indices.iter().map(|&index| self.label(index).into()));
    }

    fn digest(&self) -> String {
        self.digest()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn labels(&self) -> Option<Vec<u32>> {
        self.labelled.then(|| self.labels.iter().map(|&label| label.into()).collect())
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn subset(&self, indices: &[usize]) -> Result<Arc<dyn Examples>> {
        Ok(Arc::new(self.select(indices)?))
    }
}

impl From<Images> for Arc<dyn Examples> {
    fn from(images: Images) -> Self {
        Arc::new(images)
    }
}

/// Formats a list of names for a message, shortened if there are many.
fn listed(names: &[String]) -> String {
    let mut list: Vec<String> =
        names.iter().take(MAX_NAMES).map(|name| format!("'{}'", shown(name))).collect();
    if names.len() > MAX_NAMES {
        list.push(format!("and {} more", names.len() - MAX_NAMES));
    }
    list.join(", ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Images of 2x3 with the values `10 index + position`.
    pub(crate) fn numbered(n: usize) -> Images {
        let shape = ImageShape { height: 2, width: 3, channels: 1 };
        let images = (0..n).flat_map(|i| (0..6).map(move |p| (10 * i + p) as u8)).collect();
        let labels = (0..n).map(|i| (i % 3) as u8).collect();
        Images::new("numbered", shape, images, labels, 3).unwrap()
    }

    fn firsts(set: &Images) -> Vec<u8> {
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
        refused(set.first(0), "0 samples");
        refused(set.first(5), "5 samples are requested");
        refused(set.first_per_class(0), "0 samples");
        refused(set.first_per_class(2), "class 1 has 1 images");
        refused(set.random(9, &mut Random::seeded(0)), "9 samples");
    }

    #[test]
    fn sizes_and_labels_that_do_not_fit_are_refused() {
        let shape = ImageShape { height: 2, width: 2, channels: 1 };
        refused(Images::new("d", shape, vec![0; 7], vec![0; 2], 3), "7 bytes");
        refused(Images::new("d", shape, vec![0; 8], vec![0, 3], 3), "image 1 has label 3");
        let empty = ImageShape { height: 0, width: 2, channels: 1 };
        refused(Images::new("d", empty, vec![], vec![], 3), "no pixels");
    }

    #[test]
    fn sizes_and_classes_beyond_all_bounds_are_refused() {
        let sizes = [(usize::MAX, 2), (1 << 63, 2), (1 << 32, 1 << 32), (1 << 62, 2)];
        for (height, width) in sizes {
            let shape = ImageShape { height, width, channels: 1 };
            assert!(shape.len() > isize::MAX as usize && !shape.is_empty());
            refused(Images::new("d", shape, vec![], vec![], 1), "too large for any memory");
            refused(Images::new("d", shape, vec![0; 4], vec![0; 2], 1), "too large for any memory");
        }
        let shape = ImageShape { height: 1 << 61, width: 1, channels: 1 };
        refused(Images::new("d", shape, vec![], vec![0; 8], 1), "0 bytes of images");
        let shape = ImageShape { height: 1, width: 1, channels: 1 };
        for classes in [0, 257, usize::MAX] {
            refused(Images::new("d", shape, vec![], vec![], classes), "1 to 256");
        }
    }

    #[test]
    fn no_two_classes_have_one_name() {
        let names =
            |names: &[&str]| numbered(3).with_class_names(names.to_vec()).class_names().to_vec();
        assert_eq!(names(&["a", "a", "a"]), ["a", "a (1)", "a (2)"]);
        assert_eq!(names(&["2", "a (1)"]), ["2", "a (1)", "2 (2)"]);
        assert_eq!(names(&["c", "b", "a", "more"]), ["c", "b", "a"]);
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn classes_are_matched_by_name() {
        // The classes of images 0 to 5 are ape, bee, cat, ape, bee, cat.
        let set =
            numbered(6).with_class_names(["ape", "bee", "cat"]).with_notes(strings(&["note"]));
        let (matched, classes) = set.with_classes_of(&strings(&["cat", "dog", "ape"])).unwrap();
        assert_eq!(matched.labels(), [2, 0, 2, 0]);
        assert_eq!(firsts(&matched), [0, 2, 3, 5]);
        assert_eq!(matched.class_names(), ["cat", "dog", "ape"]);
        assert_eq!((matched.n_classes(), matched.notes()), (3, &strings(&["note"])[..]));
        let expected =
            ClassMatch { missing: strings(&["dog"]), unknown: strings(&["bee"]), left_out: 2 };
        assert_eq!(classes, expected);
        let (same, classes) = set.with_classes_of(set.class_names()).unwrap();
        assert_eq!((same.digest(), classes), (set.digest(), ClassMatch::default()));
    }

    #[test]
    fn sets_without_a_class_of_the_model_are_refused_with_both_lists() {
        let set = numbered(6).with_class_names(["ape", "bee", "cat"]);
        refused(set.with_classes_of(&strings(&["x\ny"])), "no image of the classes 'x\\ny'");
        refused(set.with_classes_of(&strings(&["dog"])), "'ape', 'bee', 'cat'");
        let many: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        refused(set.with_classes_of(&many), "'11', and 188 more");
        refused(set.with_classes_of(&[]), "no image");
        // A class without images is no match.
        let apes = set.select(&[0, 3]).unwrap();
        refused(apes.with_classes_of(&strings(&["bee"])), "no image");
    }

    #[test]
    fn sets_have_labels_when_their_classes_mean_something() {
        assert!(numbered(3).has_labels());
        let shape = ImageShape { height: 1, width: 1, channels: 1 };
        let one = Images::new("d", shape, vec![7], vec![0], 1).unwrap();
        let no_names: [&str; 0] = [];
        assert!(!one.clone().with_class_names(no_names).has_labels());
        refused(one.with_classes_of(&strings(&["0"])), "no labels");
        let named = one.with_class_names(["cat"]);
        assert!(named.has_labels() && named.range(0..0).unwrap().has_labels());
    }

    /// Checkpoints store digests, so they must not change.
    #[test]
    fn a_digest_is_of_shape_images_and_labels_alone() {
        let digest = "ad01f1c61e2a9364ae9e996a978b4862be8bdb7633e5eef594c5e8a32f296a14";
        assert_eq!(numbered(3).digest(), digest);
        assert_eq!(
            numbered(3).with_class_names(["a"]).with_notes(strings(&["b"])).digest(),
            digest
        );
    }
}
