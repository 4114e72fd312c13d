//! A data set in memory: a named one, or the user's own images.

use std::path::Path;

use zor_data::{Cifar10, FashionMnist, Images, Reading, Source, npy};

use crate::error::{Error, Result};

/// Interval of evaluation images among the user's own: every tenth image.
const OWN_EVALUATED: usize = 10;

/// A data set in memory.
#[derive(Clone, Debug)]
pub struct LoadedSet {
    /// Training images.
    pub train: Images,
    /// Test images, if there are any.
    pub test: Option<Images>,
    /// Source of the images.
    pub source: Source,
    /// Whether they are the user's own images.
    pub own: bool,
}

impl From<FashionMnist> for LoadedSet {
    fn from(set: FashionMnist) -> Self {
        Self { train: set.train, test: set.test, source: set.source, own: false }
    }
}

impl From<Cifar10> for LoadedSet {
    fn from(set: Cifar10) -> Self {
        Self { train: set.train, test: Some(set.test), source: set.source, own: false }
    }
}

impl LoadedSet {
    /// Loads the user's own images from a folder ([`zor_data::folder`], with the feature `images`)
    /// or an array ([`zor_data::npy`]). Every tenth image is held out for evaluation.
    ///
    /// # Errors
    /// When the images cannot be read, or there are fewer than two.
    pub fn own(path: &Path, reading: &Reading) -> Result<Self> {
        let all = read(path, reading)?;
        let evaluated = |i: usize| (i + 1).is_multiple_of(OWN_EVALUATED.min(all.len()));
        let (test, train): (Vec<_>, Vec<_>) = (0..all.len()).partition(|&i| evaluated(i));
        if test.is_empty() || train.is_empty() {
            return Err(Error::input(format!(
                "{}: number of images: {}; at least 2 are needed, because every tenth image (of fewer, the last) is held out for evaluation",
                path.display(),
                all.len()
            )));
        }
        let (train, test) = (all.select(&train)?, Some(all.select(&test)?));
        Ok(Self { train, test, source: Source::Folder(path.to_path_buf()), own: true })
    }
}

/// Loads all of the user's own images.
///
/// # Errors
/// When the images cannot be read.
pub fn read(path: &Path, reading: &Reading) -> Result<Images> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy")) {
        if *reading != Reading::default() {
            return Err(Error::in_file(
                path,
                "resize, crop and skip_damaged apply to folders of images; all images of an array have one size",
            ));
        }
        return Ok(npy::read(path)?);
    }
    if path.exists() && !path.is_dir() {
        return Err(Error::in_file(
            path,
            "it is neither a folder of images nor a .npy file; give the folder with the images",
        ));
    }
    #[cfg(feature = "images")]
    return Ok(zor_data::folder::read_with(path, reading)?);
    #[cfg(not(feature = "images"))]
    Err(Error::input(format!(
        "{}: it is not a .npy file, and folders of images need the feature 'images'",
        path.display()
    )))
}
