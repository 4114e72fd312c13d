//! Opens and reads files that a user names: regular files only, never pipes or devices.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};

/// Reads a whole regular file.
///
/// # Errors
/// When the file does not exist, is a folder, a pipe or a device, or cannot be read. The message
/// names it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    check(path)?;
    fs::read(path).map_err(|error| Error::file_system(path, "read it", &error))
}

/// Opens a regular file.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn open(path: &Path) -> Result<File> {
    check(path)?;
    File::open(path).map_err(|error| Error::file_system(path, "read it", &error))
}

/// Checks that a path is a regular file: opening a pipe without a writer blocks, and a device may
/// be endless.
fn check(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) if metadata.is_dir() => {
            Err(Error::in_file(path, "it is a folder, not a file"))
        }
        Ok(_) => Err(Error::in_file(path, "it is not a regular file (a pipe or a device)")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let message = match path.is_symlink() {
                true => "it is a link to a file that is not there",
                false => "there is no such file",
            };
            Err(Error::in_file(path, message))
        }
        Err(error) => Err(Error::file_system(path, "read it", &error)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Creates a named pipe without a writer.
    #[cfg(unix)]
    pub(crate) fn pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }

    fn refused(path: &Path, words: &str) {
        for error in [read(path).unwrap_err(), open(path).map(|_| ()).unwrap_err()] {
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.to_string().contains(&crate::error::shown(path)), "{error}");
        }
    }

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "abc").unwrap();
        assert_eq!(read(&path).unwrap(), b"abc");
        refused(&folder.path().join("b"), "there is no such file");
        refused(folder.path(), "it is a folder");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_devices_and_broken_links_are_refused_at_once() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        pipe(&folder.path().join("pipe"));
        refused(&folder.path().join("pipe"), "not a regular file (a pipe or a device)");
        refused(Path::new("/dev/zero"), "not a regular file (a pipe or a device)");
        symlink("nowhere", folder.path().join("dangling")).unwrap();
        refused(&folder.path().join("dangling"), "a link to a file that is not there");
        symlink("loop", folder.path().join("loop")).unwrap();
        refused(&folder.path().join("loop"), "cannot read it");
    }
}
