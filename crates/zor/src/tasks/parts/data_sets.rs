//! Named image data sets: location, download and loading.

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
    /// Returns the name, as in `zor data fetch NAME`.
    fn name(&self) -> &'static str;

    /// Returns the download size for messages.
    fn download_size(&self) -> &'static str;

    /// Loads the set from the first location that has it. Downloads nothing.
    ///
    /// # Errors
    /// When no location has it, the folder given by the user lacks a file, or a file is damaged.
    fn load(&self, locations: &Locations) -> Result<LoadedSet>;

    /// Returns the folder or archive with the set, or `None` if no location has it.
    ///
    /// # Errors
    /// When the folder given by the user lacks a file, or a downloaded file is not the official
    /// one.
    fn find(&self, locations: &Locations) -> Result<Option<PathBuf>>;

    /// Downloads the set to the folder given by the user, or to the cache, and returns its path.
    ///
    /// # Errors
    /// When the download fails, or the files cannot be written.
    #[cfg(feature = "download")]
    fn fetch(&self, locations: &Locations) -> Result<PathBuf>;

    /// Whether the sample built into Zor is large enough for a number of training images.
    fn has_sample_for(&self, _size: TrainingSize) -> bool {
        false
    }

    /// Returns the validation set, as a range of training images. It is used instead of the test
    /// set when training on few images, or when there is no test set.
    fn validation(&self) -> Option<Range<usize>> {
        None
    }
}

impl dyn DataSet {
    /// Downloads the set, if this build supports downloads.
    ///
    /// # Errors
    /// As [`DataSet::fetch`], or when Zor was built without the feature `download`.
    pub fn fetch_if_possible(&self, locations: &Locations) -> Result<PathBuf> {
        #[cfg(feature = "download")]
        return self.fetch(locations);
        #[cfg(not(feature = "download"))]
        {
            let _ = locations;
            Err(crate::error::Error::input("Zor was built without the feature 'download'"))
        }
    }
}

/// Finds a data set by name.
///
/// # Errors
/// When the name is unknown. The message suggests the closest known name and lists all of them.
pub fn named(name: &str) -> Result<&'static dyn DataSet> {
    DATA_SETS.iter().copied().find(|set| set.name() == name).ok_or_else(|| {
        let names: Vec<&str> = DATA_SETS.iter().map(|set| set.name()).collect();
        unknown("data set", name, &names)
    })
}

/// Fashion-MNIST: 70,000 greyscale images of clothing, 28x28 pixels, ten classes.
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

/// CIFAR-10: 60,000 colour photographs, 32x32 pixels, ten classes.
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
