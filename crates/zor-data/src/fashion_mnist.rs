//! Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 70,000 photographs of clothing, 28x28, ten classes.
//!
//! It is looked for in a folder that the user names, in `ZOR_DATA_DIR`, in the user's cache, and where Debian's package puts it; it can be
//! fetched; and without all of these there is a sample inside this crate.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::dataset::Dataset;
use crate::digest::verify;
use crate::error::{Error, Result};
use crate::idx;

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

/// The official files, and the SHA-256 of what is in them once decompressed.
pub const FILES: [(&str, &str); 4] = [
    ("train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    ("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    ("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    ("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
];

/// Where the files are served, the official address first. The mirror has not been tried from where this was written.
#[cfg(feature = "download")]
const ADDRESSES: &[&str] = &[
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "http://fashion-mnist.s3.amazonaws.com",
];

/// The data set's own folder inside a data folder.
const FOLDER: &str = "fashion-mnist";
const DEBIAN: &str = "/usr/share/datasets/fashion-mnist";
const VARIABLE: &str = "ZOR_DATA_DIR";

static SAMPLE_IMAGES: &[u8] = include_bytes!("../sample/train-images-idx3-ubyte.gz");
static SAMPLE_LABELS: &[u8] = include_bytes!("../sample/train-labels-idx1-ubyte.gz");

/// Training and test images.
#[derive(Clone, Debug)]
pub struct FashionMnist {
    /// 60,000 images, or the first 3,000 of them.
    pub train: Dataset,
    /// 10,000 images; the sample has none.
    pub test: Option<Dataset>,
    /// Where they came from.
    pub source: Source,
}

/// Where a data set came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder.
    Folder(PathBuf),
    /// The sample inside this crate.
    Sample,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Sample => f.write_str("the sample of 3,000 images that comes with Zor"),
        }
    }
}

/// Where data sets are looked for.
#[derive(Clone, Debug, Default)]
pub struct Locations {
    /// A folder that the user names. When set, nothing else is looked at.
    pub data_dir: Option<PathBuf>,
    /// What `ZOR_DATA_DIR` says. When set, nothing after it is looked at.
    pub variable: Option<PathBuf>,
    /// The folder that downloads go to.
    pub cache: Option<PathBuf>,
}

impl Locations {
    /// The folder named, the environment's, and the user's cache.
    pub fn from_environment(data_dir: Option<PathBuf>) -> Self {
        use etcetera::BaseStrategy;
        let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        let cache = etcetera::choose_base_strategy().ok().map(|base| base.cache_dir().join("zor"));
        Self { data_dir, variable: variable.map(PathBuf::from), cache }
    }

    /// The folders that are looked at for a data set, in order, and what to call each.
    pub fn search(&self) -> Vec<(String, PathBuf)> {
        if let Some(folder) = &self.data_dir {
            return vec![("--data-dir".to_owned(), folder.clone())];
        }
        if let Some(folder) = &self.variable {
            return vec![(VARIABLE.to_owned(), folder.clone())];
        }
        let cache = self.cache.iter().map(|folder| ("the cache".to_owned(), folder.clone()));
        cache.chain([("the system".to_owned(), PathBuf::from(DEBIAN))]).collect()
    }
}

impl FashionMnist {
    /// The whole set from the first folder that has it, or the sample if none has. Nothing is downloaded.
    ///
    /// # Errors
    /// When a folder that the user named lacks a file, or a file is damaged.
    pub fn load(locations: &Locations) -> Result<Self> {
        match find(locations)? {
            Some(folder) => Self::from_folder(&folder),
            None => Self::sample(),
        }
    }

    /// The set from a folder with the four IDX files, gzipped or not.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let read = |name: &str, images: usize, labels: usize| {
            let path = |index: usize| {
                in_folder(folder, FILES[index].0).ok_or_else(|| missing(folder, FILES[index].0, ""))
            };
            idx::read_dataset(name, &path(images)?, &path(labels)?, CLASSES.len())
        };
        Ok(Self {
            train: read("Fashion-MNIST training images", 0, 1)?,
            test: Some(read("Fashion-MNIST test images", 2, 3)?),
            source: Source::Folder(folder.to_path_buf()),
        })
    }

    /// The first 3,000 training images, which are inside this crate.
    ///
    /// # Errors
    /// None unless the crate was built from damaged files.
    pub fn sample() -> Result<Self> {
        let damaged = |message| Error::input(format!("the sample inside zor-data: {message}"));
        let (_, shape, images) = idx::images(SAMPLE_IMAGES).map_err(damaged)?;
        let labels = idx::labels(SAMPLE_LABELS).map_err(damaged)?;
        let name = "the Fashion-MNIST sample";
        let train = Dataset::new(name, shape, images, labels, CLASSES.len())?;
        Ok(Self { train, test: None, source: Source::Sample })
    }

    /// Downloads what is missing to the cache, checks it, and returns the folder.
    ///
    /// # Errors
    /// When a download fails from every address, or the file system refuses.
    #[cfg(feature = "download")]
    pub fn fetch(locations: &Locations) -> Result<PathBuf> {
        let cache = locations.data_dir.as_ref().or(locations.cache.as_ref());
        let cache = cache
            .ok_or_else(|| Error::input("there is no cache folder; name one with --data-dir"))?;
        let folder = cache.join(FOLDER);
        for (name, digest) in FILES {
            let path = folder.join(format!("{name}.gz"));
            if !path.is_file() {
                crate::download::fetch(ADDRESSES, &path, digest)?;
            }
            verify(&path, digest)?;
        }
        Ok(folder)
    }
}

/// The folder that has the set, if one has.
///
/// # Errors
/// When a folder that the user named lacks a file, or a fetched file is not the official one.
pub fn find(locations: &Locations) -> Result<Option<PathBuf>> {
    let asked_for = locations.data_dir.is_some() || locations.variable.is_some();
    for (origin, base) in locations.search() {
        let inside = base.join(FOLDER);
        let folder = if inside.is_dir() { inside } else { base.clone() };
        let absent = FILES.iter().find(|(name, _)| in_folder(&folder, name).is_none());
        match absent {
            None => {
                // A user's own folder may hold a user's own images; what was fetched must be what was asked for.
                if locations.cache.as_ref() == Some(&base) {
                    for (name, digest) in FILES {
                        if let Some(path) = in_folder(&folder, name) {
                            verify(&path, digest)?;
                        }
                    }
                }
                return Ok(Some(folder));
            }
            Some((name, _)) if asked_for => {
                return Err(missing(&folder, name, &format!(" (named by {origin})")));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

fn in_folder(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(format!("{name}.gz")), folder.join(name)].into_iter().find(|path| path.is_file())
}

fn missing(folder: &Path, name: &str, origin: &str) -> Error {
    Error::in_file(
        folder,
        format!(
            "there is no {name} or {name}.gz{origin}; put the four Fashion-MNIST files there, or name another folder"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::digest_of;
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
        // Where Debian's package is installed, the set is found there instead.
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
        for inside in [FOLDER, ""] {
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
            // The same files in the cache are not the official ones.
            let cached =
                Locations { cache: Some(folder.path().to_path_buf()), ..Locations::default() };
            let message = FashionMnist::load(&cached).unwrap_err().to_string();
            assert!(message.contains("not the official ones"), "{message}");
        }
    }
}
