//! Files appear whole under their name or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file beside its final place, flushes it to the disk, and renames it.
///
/// # Errors
/// When the file system refuses; what was under the name before is still there then.
pub fn write(path: &Path, contents: &[u8]) -> Result<()> {
    let partial = sibling(path);
    let written = File::create(&partial)
        .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&partial, path));
    written.map_err(|error| {
        // The write failed already; a leftover that cannot be removed changes nothing about that.
        let _ = fs::remove_file(&partial);
        Error::file_system(path, "write it", &error)
    })
}

/// Whether files can be written in a folder, tried with one that is removed again.
///
/// # Errors
/// When the file system refuses.
pub fn check_writable(folder: &Path) -> Result<()> {
    let probe = sibling(&folder.join("probe"));
    File::create(&probe)
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|error| Error::file_system(folder, "write in it", &error))
}

fn sibling(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.zor");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn trying_a_folder_leaves_nothing_in_it() {
        let folder = tempfile::tempdir().unwrap();
        check_writable(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(check_writable(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = write(Path::new("/nowhere/at/all/model.zor"), b"x").unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/model.zor"));
        assert_eq!(error.kind(), crate::ErrorKind::FileSystem);
    }
}
