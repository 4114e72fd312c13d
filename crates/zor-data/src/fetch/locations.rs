//! Search for the files of a data set: in a folder that the user names, in `ZOR_DATA_DIR`, in the
//! user's cache, and in the folder of a system package.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, shown};
use crate::fetch::digest::verify;

const VARIABLE: &str = "ZOR_DATA_DIR";

/// Origin of a loaded data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder or an archive.
    Folder(PathBuf),
    /// The sample of Fashion-MNIST inside this crate.
    Sample,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => f.write_str(&shown(path)),
            Self::Sample => f.write_str("the sample of 3,000 images that comes with Zor"),
        }
    }
}

/// Folders that are searched for data sets.
#[derive(Clone, Debug, Default)]
pub struct Locations {
    /// A folder that the user names. If set, it is the only one searched.
    pub data_dir: Option<PathBuf>,
    /// Value of `ZOR_DATA_DIR`. If set, no later folder is searched.
    pub variable: Option<PathBuf>,
    /// Folder for downloads.
    pub cache: Option<PathBuf>,
}

impl Locations {
    /// The given folder, `ZOR_DATA_DIR`, and `zor` in the user's cache folder.
    pub fn from_environment(data_dir: Option<PathBuf>) -> Self {
        use etcetera::BaseStrategy;
        let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        let cache = etcetera::choose_base_strategy().ok().map(|base| base.cache_dir().join("zor"));
        Self { data_dir, variable: variable.map(PathBuf::from), cache }
    }

    /// Folders to search in order, each with its origin for messages.
    fn search(&self, system: Option<&str>) -> Vec<(String, PathBuf)> {
        if let Some(folder) = &self.data_dir {
            return vec![("--data-dir".to_owned(), folder.clone())];
        }
        if let Some(folder) = &self.variable {
            return vec![(VARIABLE.to_owned(), folder.clone())];
        }
        let cache = self.cache.iter().map(|folder| ("the cache".to_owned(), folder.clone()));
        cache.chain(system.map(|folder| ("the system".to_owned(), folder.into()))).collect()
    }

    /// Returns the first folder that has all files of a data set.
    pub(crate) fn find(&self, official: &Official) -> Result<Option<PathBuf>> {
        let asked_for = self.data_dir.is_some() || self.variable.is_some();
        for (origin, base) in self.search(official.system) {
            let inside = base.join(official.folder);
            let folder = if inside.is_dir() { inside } else { base.clone() };
            let missing =
                official.files.iter().find(|(name, _)| official.file(&folder, name).is_none());
            match missing {
                None => {
                    // A folder that the user names may hold other images of this format. A
                    // downloaded data set must be the official one.
                    if self.cache.as_ref() == Some(&base) {
                        for (name, digest) in official.files {
                            verify(&official.path(&folder, name)?, digest)?;
                        }
                    }
                    return Ok(Some(folder));
                }
                Some((name, _)) if asked_for => {
                    return Err(official.missing(&folder, name, &format!(" (named by {origin})")));
                }
                Some(_) => {}
            }
        }
        Ok(None)
    }

    /// Returns the folder for downloads.
    #[cfg(feature = "download")]
    pub(crate) fn to_fetch_to(&self) -> Result<&Path> {
        let folder = self.data_dir.as_deref().or(self.cache.as_deref());
        folder.ok_or_else(|| Error::input("there is no cache folder; name one with --data-dir"))
    }
}

/// The official files of a data set.
pub(crate) struct Official {
    /// Name of the data set, for messages.
    pub(crate) set: &'static str,
    /// Name of its folder inside a data folder.
    pub(crate) folder: &'static str,
    /// Names of the files, and the SHA-256 of their decompressed contents.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// True if the files may be gzipped.
    pub(crate) gzipped: bool,
    /// Folder of a system package, if there is one.
    pub(crate) system: Option<&'static str>,
}

impl Official {
    fn file(&self, folder: &Path, name: &str) -> Option<PathBuf> {
        let gzipped = self.gzipped.then(|| folder.join(format!("{name}.gz")));
        gzipped.into_iter().chain([folder.join(name)]).find(|path| path.is_file())
    }

    /// Returns the path of a file.
    pub(crate) fn path(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        self.file(folder, name).ok_or_else(|| self.missing(folder, name, ""))
    }

    fn missing(&self, folder: &Path, name: &str, origin: &str) -> Error {
        let name = if self.gzipped { format!("{name} or {name}.gz") } else { name.to_owned() };
        let (count, set) = (self.files.len(), self.set);
        Error::in_file(
            folder,
            format!(
                "there is no {name}{origin}; put the {count} {set} files there, or name another folder"
            ),
        )
    }
}
