//! Loading of images for a task, from a named data set or the user's own files, and their split
//! into training and evaluation images.

use std::sync::Arc;

use zor_core::Random;
use zor_data::{Augmented, ClassMatch, Examples, ImageShape, Images, Locations, Reading, Source};

use super::data_sets::DataSet;
use super::loaded_set::{LoadedSet, read};
use super::selection;
use crate::error::{Error, Result, listed};
use crate::settings::{Selection, Settings, TrainingSize};
use crate::task::{Data, DataLocation, EvaluationSet, Model, Plan, Score};

/// Random stream for the selection of images, separate from other uses of the seed.
const SELECTION_STREAM: u64 = 0x0063_686f_6963_6531;

/// Returns examples as [`Images`].
///
/// # Errors
/// When the examples are not images.
pub fn of(examples: &dyn Examples) -> Result<&Images> {
    let examples: &dyn std::any::Any = examples;
    examples.downcast_ref().ok_or_else(|| Error::input("the examples are not images"))
}

/// The images of a task: the parts that differ between data sets.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The data set; `None` if the task trains on the user's own images.
    pub set: Option<&'static dyn DataSet>,
    /// Number of test images to evaluate on; `None` for all.
    pub evaluated: Option<usize>,
    /// Returns a remedy if the network does not support the image shape.
    pub check: fn(&Settings, ImageShape) -> Option<&'static str>,
}

impl Subject {
    /// The user's own images, of any size.
    pub const OWN: Self = Self { set: None, evaluated: None, check: |_, _| None };

    /// Loads the images selected by the settings. A missing data set is downloaded first if
    /// possible, unless the built-in sample is large enough.
    ///
    /// # Errors
    /// When the images cannot be loaded.
    pub fn load_set(&self, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<LoadedSet> {
        if let Some(path) = &settings.data {
            return LoadedSet::own(path, &settings.reading());
        }
        let set = self.named_set(settings)?;
        if settings.reading() != Reading::default() {
            return Err(Error::input(format!(
                "resize, crop and skip_damaged have no effect here: they apply to your own images, and these are from {}",
                set.name()
            )));
        }
        let locations = Locations::from_environment(settings.data_dir.clone());
        let sample_is_enough = set.has_sample_for(settings.training_size());
        if !sample_is_enough && set.find(&locations)?.is_none() {
            tell(&format!("fetching {}, {} ...", set.name(), set.download_size()));
            if let Err(error) = set.fetch_if_possible(&locations) {
                tell(&error.to_string());
            }
        }
        let loaded = set.load(&locations)?;
        if loaded.source == Source::Sample && !sample_is_enough {
            tell(&format!("{} was not found: training on {}", set.name(), loaded.source));
        }
        Ok(loaded)
    }

    fn named_set(&self, settings: &Settings) -> Result<&'static dyn DataSet> {
        self.set.ok_or_else(|| {
            Error::input(format!(
                "{} needs your own images; give a folder of images or a .npy file with --data",
                settings.task
            ))
        })
    }

    /// Loads the training and evaluation images.
    ///
    /// # Errors
    /// When there are fewer images than requested, or they do not fit the network.
    pub fn load(&self, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Data> {
        self.split(self.load_set(settings, tell)?, settings)
    }

    /// Splits a set into training and evaluation images.
    ///
    /// # Errors
    /// When there are fewer images than requested, or they do not fit the network.
    pub fn split(&self, data: LoadedSet, settings: &Settings) -> Result<Data> {
        let LoadedSet { train: whole, test, source, own } = data;
        let mut random = Random::stream(settings.seed, SELECTION_STREAM);
        let few = matches!(settings.training_size(), TrainingSize::PerClass(_));
        let validation = self.set.and_then(|set| set.validation());
        let test = test.filter(|_| own || !(few && validation.is_some()));
        let (pool, evaluation, evaluation_name) = match (settings.hold_out, test, validation) {
            (Some(n), ..) => {
                let labels: Vec<u32> = whole.labels().iter().map(|&label| label.into()).collect();
                let (rest, held_out) = selection::hold_out(&labels, n, "images")?;
                let name = format!("{n} training images (held out)");
                (whole.select(&rest)?, whole.select(&held_out)?, name)
            }
            (None, Some(test), _) if own => {
                (whole, test, "every tenth image (held out)".to_owned())
            }
            (None, Some(test), _) => {
                let (evaluation, name) = self.tested(test)?;
                (whole, evaluation, name)
            }
            (None, None, Some(validation)) => {
                let outside: Vec<usize> =
                    (0..whole.len()).filter(|i| !validation.contains(i)).collect();
                let name = format!("{} (held out)", in_words(&validation));
                (whole.select(&outside)?, whole.range(validation)?, name)
            }
            (None, None, None) => {
                return Err(Error::input(format!(
                    "{}: it has no test images; hold out training images with --hold-out",
                    whole.name()
                )));
            }
        };
        let train = match (settings.training_size(), settings.samples) {
            (TrainingSize::PerClass(n), Selection::First) => pool.first_per_class(n)?,
            (TrainingSize::PerClass(n), Selection::Random) => {
                pool.random_per_class(n, &mut random)?
            }
            (TrainingSize::Total(n), Selection::First) => pool.first(n)?,
            (TrainingSize::Total(n), Selection::Random) => pool.random(n, &mut random)?,
            (TrainingSize::All, _) => pool,
        };
        if train.is_empty() {
            return Err(Error::input("there are no training images"));
        }
        if let Some(remedy) = (self.check)(settings, train.shape()) {
            let ImageShape { height, width, .. } = train.shape();
            let (name, task) = (train.name(), &settings.task);
            return Err(Error::input(format!(
                "{name}: images of {width}x{height} for {task}: {remedy}"
            )));
        }
        Ok(Data {
            outputs: train.n_classes(),
            class_names: train.class_names().to_vec(),
            train: Arc::new(train),
            evaluation: Arc::new(evaluation),
            evaluation_name,
            source: source.to_string(),
            unit: "images",
        })
    }

    /// Returns the test images to evaluate on, with a description.
    fn tested(&self, test: Images) -> Result<(Images, String)> {
        Ok(match self.evaluated {
            Some(n) => (test.first(n.min(test.len()))?, format!("the first {n} test images")),
            None => (test, "the test set".to_owned()),
        })
    }

    /// Returns the sets to evaluate a saved model on: the user's own images, or the validation and
    /// test images of the task.
    ///
    /// # Errors
    /// When there are none, or they do not fit the model.
    pub fn evaluation_sets(
        &self,
        model: &Model,
        place: &DataLocation,
        channels: Option<usize>,
    ) -> Result<Vec<EvaluationSet>> {
        let mut sets = Vec::new();
        if let Some(path) = &place.data {
            sets.push(("your own images".to_owned(), read(path, &model.plan.settings.reading())?));
        } else {
            let set = self.named_set(&model.plan.settings)?;
            let loaded = set.load(&Locations::from_environment(place.data_dir.clone()))?;
            let few = matches!(
                Plan::of(model.plan.task).settings.training_size(),
                TrainingSize::PerClass(_)
            );
            if let Some(validation) = set.validation().filter(|_| few || loaded.test.is_none()) {
                sets.push((in_words(&validation), loaded.train.range(validation)?));
            }
            if let Some(test) = loaded.test {
                let (images, name) = self.tested(test)?;
                sets.push((name, images));
            }
        }
        let suited = |(name, images): (String, Images)| {
            let mut remarks = images.notes().to_vec();
            let (images, classes) = for_model(images, model, channels)?;
            remarks.extend(self::remarks(&classes));
            let examples = Arc::new(images);
            Ok(EvaluationSet {
                name,
                examples,
                remarks,
                left_out: classes.left_out,
                unit: "images",
            })
        };
        sets.into_iter().map(suited).collect()
    }

    /// Loads training and evaluation images for a saved model, with the model's class indices.
    ///
    /// # Errors
    /// When there are none, or they do not fit the model.
    pub fn load_for(
        &self,
        model: &Model,
        place: &DataLocation,
        channels: Option<usize>,
    ) -> Result<(Data, Vec<String>)> {
        let settings = place.settings(&model.plan.settings);
        let mut all = match &place.data {
            Some(path) => LoadedSet::own(path, &settings.reading())?,
            None => {
                let locations = Locations::from_environment(place.data_dir.clone());
                self.named_set(&settings)?.load(&locations)?
            }
        };
        let (train, mut found) = for_model(all.train, model, channels)?;
        all.train = train;
        if let Some(test) = all.test.take() {
            let (test, of_test) = for_model(test, model, channels)?;
            found.missing.retain(|class| of_test.missing.contains(class));
            found.left_out += of_test.left_out;
            all.test = Some(test);
        }
        Ok((self.split(all, &settings)?, remarks(&found)))
    }
}

/// Describes a range of training images.
fn in_words(range: &std::ops::Range<usize>) -> String {
    format!("training images {} to {}", range.start, range.end - 1)
}

/// Returns the training images, augmented if augmentation is on.
///
/// # Errors
/// When the augmentation options are not valid.
pub fn learned_from(data: &Data, settings: &Settings) -> Result<Arc<dyn Examples>> {
    Ok(match settings.augmentation() {
        Some(augment) => Arc::new(Augmented::new(of(&*data.train)?.clone(), augment.clone())?),
        None => data.train.clone(),
    })
}

/// Converts a score to the metrics of images with values in [0, 1].
pub(crate) fn scored(score: &Score) -> Score {
    Score::of_images(score.deviation, score.samples)
}

/// Matches a user's images to the classes of a model by name, in the order of its outputs. Images
/// of other classes are left out. `channels` is the number of image channels if it differs from the
/// network's input channels.
fn for_model(
    images: Images,
    model: &Model,
    channels: Option<usize>,
) -> Result<(Images, ClassMatch)> {
    if let &[height, width, inputs] = model.network.input_shape() {
        let taken = ImageShape { height, width, channels: channels.unwrap_or(inputs) };
        let found = images.shape();
        if taken != found {
            let readable = |shape: ImageShape| {
                let kind = if shape.channels == 1 { "grey" } else { "in colour" };
                format!("{}x{} and {kind}", shape.width, shape.height)
            };
            return Err(Error::input(format!(
                "{}: its images are {}, the model takes {}; resize or convert them",
                images.name(),
                readable(found),
                readable(taken)
            )));
        }
    }
    let Some(classes) = model.classes() else {
        return Ok((images, ClassMatch::default()));
    };
    if !images.has_labels() {
        return Err(Error::input(format!(
            "{}: its images have no classes to compare predictions with; put them into one folder per class, or classify them with `zor classify`",
            images.name()
        )));
    }
    Ok(images.with_classes_of(&classes)?)
}

/// Warns when a number of images per class is requested but the images have no classes.
pub(crate) fn few_without_classes(settings: &Settings, data: &Data) -> Vec<String> {
    let is_per_class = matches!(settings.training_size(), TrainingSize::PerClass(_));
    match of(&*data.train) {
        Ok(images) if is_per_class && !images.has_labels() => {
            vec!["the images have no classes: samples_per_class counts all of them".to_owned()]
        }
        _ => Vec::new(),
    }
}

/// Returns warnings about the classes of the training images, each with a remedy.
pub(crate) fn class_warnings(train: &Images) -> Vec<String> {
    let mut counts = vec![0usize; train.n_classes()];
    train.labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
    let of = |has: bool| -> Vec<&str> {
        let names = train.class_names().iter().zip(&counts);
        names.filter(|(_, n)| (**n > 0) == has).map(|(name, _)| name.as_str()).collect()
    };
    let (learned, never) = (of(true), of(false));
    if !train.has_labels() {
        return vec!["the images have no classes: put them into one folder per class".to_owned()];
    }
    let mut found = Vec::new();
    if learned.len() == 1 {
        found.push(format!(
            "all images are of one class, {}: there is nothing to classify",
            listed(&learned)
        ));
    }
    if !never.is_empty() {
        found.push(format!("there are no training images of these classes: {}", listed(&never)));
    }
    found
}

/// Returns sentences on differences between the classes of a set and of a model.
fn remarks(found: &ClassMatch) -> Vec<String> {
    let mut remarks = Vec::new();
    if !found.unknown.is_empty() {
        remarks.push(format!(
            "{} images of classes that the model does not have are left out: {}",
            found.left_out,
            listed(&found.unknown)
        ));
    }
    if !found.missing.is_empty() {
        remarks.push(format!("there are no images of these classes: {}", listed(&found.missing)));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::fashion_reconstruction::FASHION_RECONSTRUCTION;
    use zor_data::FashionMnist;

    /// Returns training images and evaluation images.
    fn split(set: LoadedSet, more: &str) -> Result<(Images, Images)> {
        let plan = Plan::parse(&format!("task = 'fashion-reconstruction'\n{more}"))?;
        let data = FASHION_RECONSTRUCTION.subject.split(set, &plan.settings)?;
        Ok((of(&*data.train)?.clone(), of(&*data.evaluation)?.clone()))
    }

    fn sample() -> LoadedSet {
        FashionMnist::sample().unwrap().into()
    }

    #[test]
    fn few_images_are_one_of_each_class_and_evaluated_on_others() {
        let (train, evaluation) = split(sample(), "").unwrap();
        assert_eq!(train.labels(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(evaluation.len(), 1000);
        let draw =
            |seed: u64| split(sample(), &format!("samples = 'random'\nseed = {seed}")).unwrap().0;
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        for seed in 0..50 {
            let train = draw(seed);
            let seen = |i: usize| (0..1000).any(|j| evaluation.image(j) == train.image(i));
            assert!((0..10).all(|i| !seen(i)), "seed {seed} learns from an evaluation image");
        }
    }

    #[test]
    fn every_tenth_of_a_users_own_images_is_evaluated_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.npy");
        let write = |n: u8| {
            let header =
                format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({n}, 1, 1)}}\n");
            let length = (header.len() as u16).to_le_bytes();
            let values: Vec<u8> = (0..n).collect();
            let parts = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &values];
            std::fs::write(&path, parts.concat()).unwrap();
        };
        write(25);
        let (train, evaluation) =
            split(LoadedSet::own(&path, &Reading::default()).unwrap(), "").unwrap();
        assert_eq!((train.len(), evaluation.len()), (1, 2));
        assert_eq!((evaluation.image(0), evaluation.image(1)), (&[9][..], &[19][..]));
        write(2);
        let few = LoadedSet::own(&path, &Reading::default()).unwrap();
        assert_eq!((few.train.len(), few.test.map(|test| test.len())), (1, Some(1)));
        write(1);
        assert!(
            LoadedSet::own(&path, &Reading::default())
                .unwrap_err()
                .to_string()
                .contains("at least 2 are needed")
        );
        write(0);
        assert!(LoadedSet::own(&path, &Reading::default()).is_err());
    }

    #[test]
    fn the_sample_has_no_test_set_and_keeps_its_validation_images_apart() {
        let (train, evaluation) = split(sample(), "train_samples = 'all'").unwrap();
        assert_eq!((train.len(), evaluation.len()), (2000, 1000));
        let error = split(sample(), "train_samples = 2001").unwrap_err();
        assert!(error.to_string().contains("2001 samples"));
    }

    /// A named set of eight grey images of one pixel, in two classes.
    #[derive(Debug)]
    struct Eight;

    impl DataSet for Eight {
        fn name(&self) -> &'static str {
            "eight"
        }

        fn download_size(&self) -> &'static str {
            "0 MB"
        }

        fn load(&self, _: &Locations) -> Result<LoadedSet> {
            let shape = ImageShape { height: 1, width: 1, channels: 1 };
            let labels = vec![0, 1, 0, 1, 0, 1, 0, 1];
            let train = Images::new("eight", shape, (0..8).collect(), labels, 2)?;
            let test = Some(train.first(2)?);
            Ok(LoadedSet { train, test, source: Source::Sample, own: false })
        }

        fn find(&self, _: &Locations) -> Result<Option<std::path::PathBuf>> {
            Ok(Some("eight".into()))
        }

        #[cfg(feature = "download")]
        fn fetch(&self, _: &Locations) -> Result<std::path::PathBuf> {
            Ok("eight".into())
        }
    }

    #[test]
    fn a_data_set_is_one_implementation() {
        let subject = Subject { set: Some(&Eight), ..Subject::OWN };
        let settings =
            Settings { samples_per_class: Some(3), hold_out: Some(2), ..Settings::default() };
        let data = subject.load(&settings, &mut |_| {}).unwrap();
        assert_eq!((data.train.len(), data.evaluation.len(), data.outputs), (6, 2, 2));
    }
}
