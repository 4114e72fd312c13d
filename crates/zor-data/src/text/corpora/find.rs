//! Search for the folders of a corpus, and downloads of missing files.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::fetch::Locations;
use crate::text::corpora::known::{ARCHIVE, Known, Part};

/// Server of files at a fixed commit, `HOST/OWNER/REPOSITORY/COMMIT/PATH`.
pub(super) const HOST: &str = "https://raw.githubusercontent.com";

/// Finds the folders of a corpus, or downloads their files.
pub(super) struct Finder<'a> {
    pub(super) known: &'a Known,
    pub(super) locations: &'a Locations,
    /// Server of the downloads.
    pub(super) host: &'a str,
    /// Receives lines for the user.
    pub(super) tell: &'a mut dyn FnMut(&str),
    /// Folders and archives that were found.
    pub(super) found: Vec<PathBuf>,
    /// True once the user knows the licence.
    pub(super) told_licence: bool,
}

impl Finder<'_> {
    /// Returns the folder that has the files of a part. Downloads them if no folder has them.
    pub(super) fn folder(&mut self, part: &Part) -> Result<PathBuf> {
        let folder = match self.locations.find(&part.official)? {
            Some(folder) => folder,
            None => self.download(part)?,
        };
        self.found.push(folder.clone());
        Ok(folder)
    }

    /// Returns the folder that has the lines of TICO-19, or else the path of its archive. Downloads
    /// the archive if no folder has one of them.
    pub(super) fn lines_or_archive(&mut self, lines: &Part, archive: &Part) -> Result<PathBuf> {
        let path =
            match (self.locations.find(&lines.official), self.locations.find(&archive.official)) {
                (Ok(Some(folder)), _) => folder,
                (_, Ok(Some(folder))) => folder.join(ARCHIVE),
                (Err(error), _) => {
                    let home = archive.home();
                    return Err(Error::input(format!("{error}; {ARCHIVE} of {home} is enough")));
                }
                (_, Err(error)) => return Err(error),
                (Ok(None), Ok(None)) => self.download(archive)?.join(ARCHIVE),
            };
        self.found.push(path.clone());
        Ok(path)
    }

    /// Downloads the missing files of a part, verifies all of them, and returns their folder.
    #[cfg(feature = "download")]
    fn download(&mut self, part: &Part) -> Result<PathBuf> {
        use crate::error::shown;
        use crate::fetch::{digest::verify, download};
        let folder = self.locations.to_fetch_to()?.join(part.official.folder);
        let known = self.known;
        if !self.told_licence {
            (self.tell)(&format!("licence of {}: {}", known.name, known.licence));
            self.told_licence = true;
        }
        (self.tell)(&format!(
            "download of {} ({}) from {} to {}",
            part.official.set,
            part.size,
            part.home(),
            shown(&folder)
        ));
        let _lock = download::lock(&folder);
        for (name, path, digest) in part.files() {
            let to = folder.join(name);
            if !to.is_file() {
                let (host, repository, commit) = (self.host, part.repository, part.commit);
                let address = format!("{host}/{repository}/{commit}/{path}");
                download::fetch_from(&address, &to, &|path| verify(path, digest))?;
            }
            verify(&to, digest)?;
        }
        Ok(folder)
    }

    /// Returns an error that names the files and their places.
    #[cfg(not(feature = "download"))]
    fn download(&mut self, part: &Part) -> Result<PathBuf> {
        // Only downloads use these.
        let _ = (self.host, &self.tell, self.told_licence);
        let files = part.files().map(|(name, path, _)| match path.ends_with(name) {
            true => path,
            false => format!("{path} as {name}"),
        });
        let files: Vec<String> = files.collect();
        Err(Error::input(format!(
            "{} was not found and Zor was built without the feature 'download'; put these files \
             ({}) of {}, commit {}, into the subfolder {} of a folder that --data-dir or \
             ZOR_DATA_DIR names: {}",
            self.known.name,
            part.size,
            part.home(),
            part.commit,
            part.official.folder,
            files.join(", ")
        )))
    }
}
