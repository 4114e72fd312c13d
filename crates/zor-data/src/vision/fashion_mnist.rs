//! Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 70,000 grey photographs of clothing, 28x28, ten
//! classes.
//!
//! The data set is read from a folder that the user names, `ZOR_DATA_DIR`, the user's cache, or the
//! folder of Debian's package. It can be downloaded; otherwise the sample inside this crate is
//! used.

use std::path::{Path, PathBuf};

use super::idx;
use crate::error::{Error, Result};
#[cfg(feature = "download")]
use crate::fetch::digest::verify;
use crate::fetch::locations::{Locations, Official, Source};
use crate::vision::images::Images;

/// Names of the classes, by label.
pub const CLASSES: [&str; 10] = [
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
];

/// Names of the official files, and the SHA-256 of their decompressed contents.
pub const FILES: [(&str, &str); 4] = [
    ("train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    ("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    ("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    ("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
];

/// Addresses of the files, the official one first. The second, a mirror, is untested.
#[cfg(feature = "download")]
const ADDRESSES: &[&str] = &[
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "http://fashion-mnist.s3.amazonaws.com",
];

/// Folder of Debian's package `dataset-fashion-mnist`.
const DEBIAN: &str = "/usr/share/datasets/fashion-mnist";

const OFFICIAL: Official = Official {
    set: "Fashion-MNIST",
    folder: "fashion-mnist",
    files: &FILES,
    gzipped: true,
    system: Some(DEBIAN),
};

static SAMPLE_IMAGES: &[u8] = include_bytes!("../../sample/train-images-idx3-ubyte.gz");
static SAMPLE_LABELS: &[u8] = include_bytes!("../../sample/train-labels-idx1-ubyte.gz");

/// Training and test images of Fashion-MNIST.
#[derive(Clone, Debug)]
pub struct FashionMnist {
    /// Training images: 60,000, or the first 3,000 of them in the sample.
    pub train: Images,
    /// Test images: 10,000; `None` in the sample.
    pub test: Option<Images>,
    /// Origin of the images.
    pub source: Source,
}

impl FashionMnist {
    /// Loads the whole data set from the first folder that has it, or else the sample. Nothing is
    /// downloaded.
    ///
    /// # Errors
    /// When a folder that the user named lacks a file, or a file is damaged.
    pub fn load(locations: &Locations) -> Result<Self> {
        match find(locations)? {
            Some(folder) => Self::from_folder(&folder),
            None => Self::sample(),
        }
    }

    /// Loads the data set from a folder with the four IDX files, gzipped or not.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let read = |name: &str, images: usize, labels: usize| {
            let path = |index: usize| OFFICIAL.path(folder, FILES[index].0);
            let set = idx::read_dataset(name, &path(images)?, &path(labels)?, CLASSES.len())?;
            Ok::<_, Error>(set.with_class_names(CLASSES))
        };
        Ok(Self {
            train: read("Fashion-MNIST training images", 0, 1)?,
            test: Some(read("Fashion-MNIST test images", 2, 3)?),
            source: Source::Folder(folder.to_path_buf()),
        })
    }

    /// Loads the sample inside this crate: the first 3,000 training images.
    ///
    /// # Errors
    /// Only if the crate was built from damaged files.
    pub fn sample() -> Result<Self> {
        let damaged = |message| Error::input(format!("the sample inside zor-data: {message}"));
        let (_, shape, images) = idx::images(SAMPLE_IMAGES).map_err(damaged)?;
        let labels = idx::labels(SAMPLE_LABELS).map_err(damaged)?;
        let name = "the Fashion-MNIST sample";
        let train = Images::new(name, shape, images, labels, CLASSES.len())?;
        Ok(Self { train: train.with_class_names(CLASSES), test: None, source: Source::Sample })
    }

    /// Downloads the missing files, verifies all of them, and returns their folder.
    ///
    /// # Errors
    /// When a download fails from every address, or a file cannot be written.
    #[cfg(feature = "download")]
    pub fn fetch(locations: &Locations) -> Result<PathBuf> {
        let folder = locations.to_fetch_to()?.join(OFFICIAL.folder);
        let _lock = crate::fetch::download::lock(&folder);
        for (name, digest) in FILES {
            let path = folder.join(format!("{name}.gz"));
            let check = |path: &Path| verify(path, digest);
            if !path.is_file() {
                crate::fetch::download::fetch(ADDRESSES, &path, &check)?;
            }
            check(&path)?;
        }
        Ok(folder)
    }
}

/// Returns the folder that has the data set, if there is one.
///
/// # Errors
/// When a folder that the user named lacks a file, or a downloaded file is not the official one.
pub fn find(locations: &Locations) -> Result<Option<PathBuf>> {
    locations.find(&OFFICIAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::digest::digest_of;
    use std::fs;

    #[test]
    fn the_sample_is_the_one_that_was_made() {
        let digests = [(SAMPLE_IMAGES, IMAGES_DIGEST), (SAMPLE_LABELS, LABELS_DIGEST)];
        for (bytes, expected) in digests {
            assert_eq!(digest_of(bytes).unwrap(), expected);
        }
        let sample = FashionMnist::sample().unwrap();
        assert_eq!(sample.train.len(), 3000);
        assert!(sample.train.range(0..2000).unwrap().first_per_class(100).is_ok());
        assert_eq!(sample.test, None);
    }

    const IMAGES_DIGEST: &str = "85a0ed91fc149c8f56cbcd4faffd965abbddf9bb83d5e7308ec20af22a3a8c87";
    const LABELS_DIGEST: &str = "d91bcde777777d8b779ccfade8da8df64050ef1cde830c67b3036ee13e26ec28";

    fn nowhere() -> Locations {
        Locations { cache: Some(PathBuf::from("/nowhere")), ..Locations::default() }
    }

    #[test]
    fn without_any_folder_the_sample_is_loaded() {
        // If Debian's package is installed, the data set is found there instead.
        if !Path::new(DEBIAN).is_dir() {
            assert_eq!(FashionMnist::load(&nowhere()).unwrap().source, Source::Sample);
        }
    }

    #[test]
    fn a_named_folder_without_the_files_is_an_error_that_names_both() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = Some(folder.path().to_path_buf());
        for locations in [
            Locations { data_dir: data_dir.clone(), ..nowhere() },
            Locations { variable: data_dir, ..nowhere() },
        ] {
            let message = FashionMnist::load(&locations).unwrap_err().to_string();
            assert!(message.contains("train-images-idx3-ubyte"), "{message}");
            assert!(message.contains(&*folder.path().to_string_lossy()), "{message}");
        }
    }

    #[test]
    fn a_folder_is_searched_with_and_without_the_sets_name() {
        for inside in [OFFICIAL.folder, ""] {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join(inside);
            fs::create_dir_all(&place).unwrap();
            for (index, (name, _)) in FILES.into_iter().enumerate() {
                let bytes = if index % 2 == 0 { SAMPLE_IMAGES } else { SAMPLE_LABELS };
                fs::write(place.join(format!("{name}.gz")), bytes).unwrap();
            }
            let locations =
                Locations { data_dir: Some(folder.path().to_path_buf()), ..Locations::default() };
            let loaded = FashionMnist::load(&locations).unwrap();
            assert_eq!(loaded.test.map(|test| test.len()), Some(3000));
            // In the cache, files must be the official ones.
            let cached =
                Locations { cache: Some(folder.path().to_path_buf()), ..Locations::default() };
            let message = FashionMnist::load(&cached).unwrap_err().to_string();
            assert!(message.contains("not the official ones"), "{message}");
        }
    }
}
