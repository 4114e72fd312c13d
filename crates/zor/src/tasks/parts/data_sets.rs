//! Named data sets of images: where they are, their download, and their images.

use std::fmt::Debug;
use std::ops::Range;
use std::path::PathBuf;

use zor_data::{Cifar10, FashionMnist, Locations};

use super::loaded_set::LoadedSet;
use crate::error::Result;
use crate::settings::{TrainingSize, unknown};

/// All named data sets.
pub static DATA_SETS: &[&dyn DataSet] = &[&FashionMnistSet, &Cifar10Set];

/// A named data set.
pub trait DataSet: Debug + Sync {
    /// The name, as in `zor data fetch NAME`.
    fn name(&self) -> &'static str;

    /// The size of the download, for people.
    fn download_size(&self) -> &'static str;

    /// The set from the first place that has it. Nothing is downloaded.
    ///
    /// # Errors
    /// When no place has it, a folder that the user named lacks a file, or a file is damaged.
    fn load(&self, locations: &Locations) -> Result<LoadedSet>;

    /// The folder or archive that has the set, if a place has it.
    ///
    /// # Errors
    /// When a folder that the user named lacks a file, or a fetched file is not the official one.
    fn find(&self, locations: &Locations) -> Result<Option<PathBuf>>;

    /// Downloads the set to the cache, or to a folder that the user names, and returns its place.
    ///
    /// # Errors
    /// When the download fails, or the file system refuses.
    #[cfg(feature = "download")]
    fn fetch(&self, locations: &Locations) -> Result<PathBuf>;

    /// Whether the sample inside Zor is enough for a number of training images.
    fn has_sample_for(&self, _size: TrainingSize) -> bool {
        false
    }

    /// Training images that are evaluated on, and not learned from, where few are learned from or
    /// the test set is not there.
    fn validation(&self) -> Option<Range<usize>> {
        None
    }
}

impl dyn DataSet {
    /// Downloads the set if this program can.
    ///
    /// # Errors
    /// Those of [`DataSet::fetch`], and without the feature `download`.
    pub fn fetch_if_possible(&self, locations: &Locations) -> Result<PathBuf> {
        #[cfg(feature = "download")]
        return self.fetch(locations);
        #[cfg(not(feature = "download"))]
        {
            let _ = locations;
            Err(crate::error::Error::input("this zor was built without the feature 'download'"))
        }
    }
}

/// The data set with a name.
///
/// # Errors
/// When there is none. The message names the nearest one, and all.
pub fn named(name: &str) -> Result<&'static dyn DataSet> {
    DATA_SETS.iter().copied().find(|set| set.name() == name).ok_or_else(|| {
        let names: Vec<&str> = DATA_SETS.iter().map(|set| set.name()).collect();
        unknown("data set", name, &names)
    })
}

/// Fashion-MNIST: 70,000 grey images of clothing, 28x28, in ten classes.
#[derive(Debug)]
pub struct FashionMnistSet;

impl DataSet for FashionMnistSet {
    fn name(&self) -> &'static str {
        "fashion-mnist"
    }

    fn download_size(&self) -> &'static str {
        "30 MB"
    }

    fn load(&self, locations: &Locations) -> Result<LoadedSet> {
        Ok(FashionMnist::load(locations)?.into())
    }

    fn find(&self, locations: &Locations) -> Result<Option<PathBuf>> {
        Ok(zor_data::fashion_mnist::find(locations)?)
    }

    #[cfg(feature = "download")]
    fn fetch(&self, locations: &Locations) -> Result<PathBuf> {
        Ok(FashionMnist::fetch(locations)?)
    }

    fn has_sample_for(&self, size: TrainingSize) -> bool {
        matches!(size, TrainingSize::PerClass(n) if n <= 100)
    }

    fn validation(&self) -> Option<Range<usize>> {
        Some(2000..3000)
    }
}

/// CIFAR-10: 60,000 colour photographs, 32x32, in ten classes.
#[derive(Debug)]
pub struct Cifar10Set;

impl DataSet for Cifar10Set {
    fn name(&self) -> &'static str {
        "cifar-10"
    }

    fn download_size(&self) -> &'static str {
        "170 MB"
    }

    fn load(&self, locations: &Locations) -> Result<LoadedSet> {
        Ok(Cifar10::load(locations)?.into())
    }

    fn find(&self, locations: &Locations) -> Result<Option<PathBuf>> {
        Ok(zor_data::cifar10::find(locations)?)
    }

    #[cfg(feature = "download")]
    fn fetch(&self, locations: &Locations) -> Result<PathBuf> {
        Ok(Cifar10::fetch(locations)?)
    }
}
