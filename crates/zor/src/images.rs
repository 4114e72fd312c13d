//! The images of a run: what is learned from and what is evaluated on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zor_core::burn::tensor::Tensor;
use zor_core::{Network, Random};
use zor_data::{Cifar10, ClassMatch, Dataset, FashionMnist, ImageShape, Locations, Source, npy};

use crate::checkpoint;
use crate::color;
use crate::error::{Error, Result};
use crate::models;
use crate::options::{Choice, DataSetName, ModelName, Samples, Settings, TaskName};
use crate::warnings::list;

/// Training images of Fashion-MNIST that few-image runs are evaluated on, and that random choice leaves alone.
pub const VALIDATION: std::ops::Range<usize> = 2000..3000;
/// Test images of CIFAR-10 that reconstruction is evaluated on.
const RECONSTRUCTED: usize = 2000;

/// Separates the choice of images from the other uses of a seed.
const CHOICE_STREAM: u64 = 0x0063_686f_6963_6531;

/// Of a user's own images every so many is evaluated on.
const OWN_EVALUATED: usize = 10;

/// A whole data set.
#[derive(Clone, Debug)]
pub struct Images {
    /// Training images.
    pub train: Dataset,
    /// Test images, if they are here.
    pub test: Option<Dataset>,
    /// Where they came from.
    pub source: Source,
    /// Whether they are a user's own, and not those that the task is known by.
    pub own: bool,
}

impl From<FashionMnist> for Images {
    fn from(set: FashionMnist) -> Self {
        Self { train: set.train, test: set.test, source: set.source, own: false }
    }
}

impl From<Cifar10> for Images {
    fn from(set: Cifar10) -> Self {
        Self { train: set.train, test: Some(set.test), source: set.source, own: false }
    }
}

impl Images {
    /// A data set from the first place that has it. Nothing is downloaded.
    ///
    /// # Errors
    /// When no place has it, a folder that the user named lacks a file, or a file is damaged.
    pub fn load(name: DataSetName, locations: &Locations) -> Result<Self> {
        Ok(match name {
            DataSetName::FashionMnist => FashionMnist::load(locations)?.into(),
            DataSetName::Cifar10 => Cifar10::load(locations)?.into(),
        })
    }

    /// A user's own images, from a folder ([`zor_data::folder`]; with the feature `images`) or an array ([`zor_data::npy`]). Every tenth
    /// is not learned from.
    ///
    /// # Errors
    /// When they cannot be read, or are fewer than two.
    pub fn own(path: &Path) -> Result<Self> {
        let all = read_own(path)?;
        let evaluated = |i: usize| (i + 1).is_multiple_of(OWN_EVALUATED.min(all.len()));
        let (test, train): (Vec<_>, Vec<_>) = (0..all.len()).partition(|&i| evaluated(i));
        if test.is_empty() || train.is_empty() {
            return Err(Error::input(format!(
                "{}: it has {} image; one more is needed, because every tenth (of fewer, the last) is evaluated on and not learned from",
                path.display(),
                all.len()
            )));
        }
        let (train, test) = (all.select(&train)?, Some(all.select(&test)?));
        Ok(Self { train, test, source: Source::Folder(path.to_path_buf()), own: true })
    }
}

impl DataSetName {
    /// The folder or archive that has the set, if a place has it.
    ///
    /// # Errors
    /// When a folder that the user named lacks a file, or a fetched file is not the official one.
    pub fn find(self, locations: &Locations) -> Result<Option<PathBuf>> {
        Ok(match self {
            Self::FashionMnist => zor_data::fashion_mnist::find(locations)?,
            Self::Cifar10 => zor_data::cifar10::find(locations)?,
        })
    }

    /// Downloads the set to the cache, or to a folder that the user names, and returns its place.
    ///
    /// # Errors
    /// When the download fails, or the file system refuses.
    #[cfg(feature = "download")]
    pub fn fetch(self, locations: &Locations) -> Result<PathBuf> {
        Ok(match self {
            Self::FashionMnist => FashionMnist::fetch(locations)?,
            Self::Cifar10 => Cifar10::fetch(locations)?,
        })
    }

    /// The size of the download, for people.
    pub fn download_size(self) -> &'static str {
        match self {
            Self::FashionMnist => "30 MB",
            Self::Cifar10 => "170 MB",
        }
    }

    /// Whether the sample inside Zor stands for the set where few images are learned from.
    pub fn has_sample_for(self, samples: Samples) -> bool {
        match self {
            Self::FashionMnist => matches!(samples, Samples::PerClass(n) if n <= 100),
            Self::Cifar10 => false,
        }
    }
}

/// A user's own images, all of them.
///
/// # Errors
/// When they cannot be read.
pub fn read_own(path: &Path) -> Result<Dataset> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy")) {
        return Ok(npy::read(path)?);
    }
    if path.exists() && !path.is_dir() {
        return Err(Error::in_file(
            path,
            "it is neither a folder of images nor a .npy file; give the folder that has the images",
        ));
    }
    #[cfg(feature = "images")]
    return Ok(zor_data::folder::read(path)?);
    #[cfg(not(feature = "images"))]
    Err(Error::input(format!(
        "{}: it is no .npy file, and folders of images need the feature 'images'",
        path.display()
    )))
}

/// The images of a user as a model knows their classes: numbered in the order of the model's outputs, by name. Images of classes that the
/// model does not have are left out.
///
/// # Errors
/// When the images have another size than the model takes, or a classifier is to be evaluated on images without classes, or on images of
/// other classes alone.
pub fn for_model(
    images: Dataset,
    task: TaskName,
    network: &Network,
    notes: &BTreeMap<String, String>,
) -> Result<(Dataset, ClassMatch)> {
    if let &[height, width, channels] = network.input_shape() {
        let channels = if task == TaskName::CifarColorization { 3 } else { channels };
        let (taken, found) = (ImageShape { height, width, channels }, images.shape());
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
    if !task.is_classification() {
        return Ok((images, ClassMatch::default()));
    }
    if !images.has_labels() {
        return Err(Error::input(format!(
            "{}: its images have no classes, so that there is nothing to compare with; put them into a folder for each class, or name them with `zor classify`",
            images.name()
        )));
    }
    match checkpoint::classes_of(notes) {
        Some(classes) => Ok(images.with_classes_of(&classes)?),
        None => Ok((images, ClassMatch::default())),
    }
}

/// The differences between the classes of a set and a model's, as sentences.
pub fn remarks(found: &ClassMatch) -> Vec<String> {
    let mut remarks = Vec::new();
    if !found.unknown.is_empty() {
        remarks.push(format!(
            "{} images are left out, of classes that the model does not have: {}",
            found.left_out,
            list(&found.unknown)
        ));
    }
    if !found.missing.is_empty() {
        remarks.push(format!("there are no images of these classes: {}", list(&found.missing)));
    }
    remarks
}

impl TaskName {
    /// What a network is shown of images: all of them, or their luminance.
    ///
    /// # Shapes
    /// `[batch, values]` -> the same, or `[batch, values / 3]`.
    pub fn question(self, images: Tensor<2>) -> Tensor<2> {
        match self {
            Self::CifarColorization => color::luminance(images),
            _ => images,
        }
    }
}

/// The images of one run.
#[derive(Clone, Debug)]
pub struct RunData {
    /// What is learned from.
    pub train: Arc<Dataset>,
    /// What is evaluated on.
    pub evaluation: Dataset,
    /// What the evaluation images are, in words.
    pub evaluation_name: String,
}

/// Chooses the images that the settings ask for.
///
/// # Errors
/// When there are fewer images than asked for.
pub fn choose(data: &Images, settings: &Settings) -> Result<RunData> {
    let mut random = Random::stream(settings.seed, CHOICE_STREAM);
    let (whole, task) = (&data.train, settings.task);
    let few = matches!(settings.samples, Samples::PerClass(_));
    let is_fashion = task.data_set() == DataSetName::FashionMnist;
    let test = data.test.as_ref().filter(|_| data.own || !(is_fashion && few));
    let (pool, evaluation, evaluation_name) = match (settings.hold_out, test) {
        (Some(n), _) => {
            let Some(rest) = whole.len().checked_sub(n).filter(|rest| *rest > 0) else {
                return Err(Error::input(format!(
                    "hold_out is {n}, and there are {} images to learn from",
                    whole.len()
                )));
            };
            let name = format!("the last {n} training images, which are not learned from");
            (whole.first(rest)?, whole.range(rest..whole.len())?, name)
        }
        (None, Some(test)) if data.own => {
            let name = "every tenth of them, which are not learned from".to_owned();
            (whole.clone(), test.clone(), name)
        }
        (None, Some(test)) => {
            let (evaluation, name) = tested(task, test)?;
            (whole.clone(), evaluation, name.to_owned())
        }
        (None, None) => {
            let outside: Vec<usize> =
                (0..whole.len()).filter(|i| !VALIDATION.contains(i)).collect();
            let name = "training images 2000 to 2999, which are not learned from".to_owned();
            (whole.select(&outside)?, whole.range(VALIDATION)?, name)
        }
    };
    let train = match (settings.samples, settings.choice) {
        (Samples::PerClass(n), Choice::First) => pool.first_per_class(n)?,
        (Samples::PerClass(n), Choice::Random) => pool.random_per_class(n, &mut random)?,
        (Samples::Total(n), Choice::First) => pool.first(n)?,
        (Samples::Total(n), Choice::Random) => pool.random(n, &mut random)?,
        (Samples::All, _) => pool,
    };
    if train.is_empty() {
        return Err(Error::input("there are no images to learn from"));
    }
    check_size(settings, &train)?;
    Ok(RunData { train: Arc::new(train), evaluation, evaluation_name })
}

/// Refuses images that a task's network cannot be made for.
fn check_size(settings: &Settings, images: &Dataset) -> Result<()> {
    let ImageShape { height, width, channels } = images.shape();
    let coarse = settings.task == TaskName::CifarColorization
        || (settings.task == TaskName::CifarReconstruction && settings.model == ModelName::Conv);
    let pooled =
        settings.task == TaskName::CifarClassification && settings.model != ModelName::Dense;
    let remedy = if settings.task == TaskName::CifarColorization && channels != 3 {
        "they are grey; it learns from images in colour"
    } else if coarse && !(height.is_multiple_of(4) && width.is_multiple_of(4)) {
        "its network takes multiples of 4; resize or crop them"
    } else if pooled && height.min(width) < models::AIRBENCH_LEAST {
        "its network pools 25x25 pixels to one; take larger ones or --model mlp"
    } else {
        return Ok(());
    };
    let (name, task) = (images.name(), settings.task);
    Err(Error::input(format!("{name}: images of {width}x{height} for {task}: {remedy}")))
}

/// The test images that a task is evaluated on, and what they are in words.
///
/// # Errors
/// When there are none.
pub fn tested(task: TaskName, test: &Dataset) -> Result<(Dataset, &'static str)> {
    Ok(match task {
        TaskName::CifarReconstruction => {
            (test.first(RECONSTRUCTED.min(test.len()))?, "the first 2,000 test images")
        }
        _ => (test.clone(), "the test set"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Count, Options};

    fn chosen(set: &Images, options: Options) -> Result<RunData> {
        let task = Some(TaskName::FashionReconstruction);
        let settings = Settings::resolve(&Options { task, ..options })?;
        choose(set, &settings)
    }

    #[test]
    fn few_images_are_one_of_each_class_and_evaluated_on_others() {
        let set = FashionMnist::sample().unwrap().into();
        let data = chosen(&set, Options::default()).unwrap();
        assert_eq!(data.train.labels(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(data.evaluation.len(), 1000);
        let random = Options { samples: Some(Choice::Random), ..Options::default() };
        let draw =
            |seed| chosen(&set, Options { seed: Some(seed), ..random.clone() }).unwrap().train;
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        for seed in 0..50 {
            let (train, held_out) = (draw(seed), &data.evaluation);
            let seen = |i: usize| (0..1000).any(|j| held_out.image(j) == train.image(i));
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
        let data = chosen(&Images::own(&path).unwrap(), Options::default()).unwrap();
        assert_eq!((data.train.len(), data.evaluation.len()), (1, 2));
        assert_eq!((data.evaluation.image(0), data.evaluation.image(1)), (&[9][..], &[19][..]));
        write(2);
        let few = Images::own(&path).unwrap();
        assert_eq!((few.train.len(), few.test.map(|test| test.len())), (1, Some(1)));
        write(1);
        assert!(Images::own(&path).unwrap_err().to_string().contains("one more is needed"));
        write(0);
        assert!(Images::own(&path).is_err());
    }

    #[test]
    fn the_sample_has_no_test_set_and_keeps_its_validation_images_apart() {
        let set = FashionMnist::sample().unwrap().into();
        let all = Options { train_samples: Some(Count::All), ..Options::default() };
        let data = chosen(&set, all).unwrap();
        assert_eq!((data.train.len(), data.evaluation.len()), (2000, 1000));
        let many = Options { train_samples: Some(Count::Number(2001)), ..Options::default() };
        assert!(chosen(&set, many).unwrap_err().to_string().contains("2001 samples"));
    }
}
