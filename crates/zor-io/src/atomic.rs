//! Files appear whole under their name or not at all.
//!
//! A file is written beside its place under a name of its own, flushed to the disk, renamed, and the folder flushed: whenever the process or the
//! machine stops, the name has the old contents or the new ones. What a process that ended left beside the place goes with the next
//! write to it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file.
///
/// # Errors
/// When the file system refuses; what was under the name before is still there then, unless the message says otherwise.
pub fn write(path: &Path, contents: &[u8]) -> Result<()> {
    write_parts(path, &[contents])
}

/// Writes a file whose contents come in parts.
pub(crate) fn write_parts(path: &Path, parts: &[&[u8]]) -> Result<()> {
    write_on(&mut Disk, path, parts)
}

/// Whether files can be written in a folder, tried with one that is removed again.
///
/// # Errors
/// When the file system refuses.
pub fn check_writable(folder: &Path) -> Result<()> {
    let probe = partial(&folder.join("probe"));
    File::create(&probe)
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|error| Error::file_system(folder, "write in it", &error))
}

/// What is asked of a file system; tests have one that fails.
trait FileSystem {
    type File;
    fn create(&mut self, path: &Path) -> io::Result<Self::File>;
    fn write(&mut self, file: &mut Self::File, part: &[u8]) -> io::Result<()>;
    fn sync(&mut self, file: &mut Self::File) -> io::Result<()>;
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;
    fn remove(&mut self, path: &Path) -> io::Result<()>;
}

/// The operating system's.
struct Disk;

impl FileSystem for Disk {
    type File = File;

    fn create(&mut self, path: &Path) -> io::Result<File> {
        File::create(path)
    }

    fn write(&mut self, file: &mut File, part: &[u8]) -> io::Result<()> {
        file.write_all(part)
    }

    fn sync(&mut self, file: &mut File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        // Elsewhere a folder cannot be opened, and a rename lasts without it.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

fn write_on<F: FileSystem>(disk: &mut F, path: &Path, parts: &[&[u8]]) -> Result<()> {
    if path.file_name().is_none() {
        return Err(Error::input(path, "this is no name for a file"));
    }
    remove_leftovers(path);
    let partial = partial(path);
    let mut write = || {
        let mut file = disk.create(&partial)?;
        parts.iter().try_for_each(|part| disk.write(&mut file, part))?;
        disk.sync(&mut file)?;
        drop(file);
        disk.rename(&partial, path)
    };
    if let Err(error) = write() {
        // The write failed already; a leftover that cannot be removed changes nothing about that, and goes with the next one.
        let _ = disk.remove(&partial);
        return Err(Error::file_system(path, "write it", &error));
    }
    disk.sync_folder(folder(path)).map_err(|error| {
        let doing = "make sure that the new file there outlasts a loss of power";
        Error::file_system(path, doing, &error)
    })
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Names of partial files: the final one, the process that writes, and this.
const PARTIAL: &str = ".part";

fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}{PARTIAL}", std::process::id()));
    path.with_file_name(name)
}

/// Removes partial files of this name whose writers have ended.
fn remove_leftovers(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned() + ".";
    for entry in fs::read_dir(folder(path)).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let process = found.to_str().and_then(|found| {
            found.strip_prefix(&name)?.strip_suffix(PARTIAL)?.parse::<u32>().ok()
        });
        if process.is_some_and(|process| !is_alive(process)) {
            // One that cannot be removed harms nobody.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a process runs, as far as can be known; one that may is left alone.
fn is_alive(process: u32) -> bool {
    if process == std::process::id() {
        return true;
    }
    let known = Path::new("/proc/self").exists();
    !known || Path::new("/proc").join(process.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

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
        assert_eq!(error.kind(), ErrorKind::FileSystem);
        assert_eq!(write(Path::new("/"), b"x").unwrap_err().kind(), ErrorKind::Input);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_ended_writers_left_goes_with_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // No process has a number this large.
        let (dead, other) = (at("model.zor.4294967295.part"), at("other.zor.4294967295.part"));
        let living = at(&format!("model.zor.{}.part", std::os::unix::process::parent_id()));
        for leftover in [&dead, &other, &living] {
            fs::write(leftover, b"half").unwrap();
        }
        write(&at("model.zor"), b"new").unwrap();
        assert!(!dead.exists() && other.exists() && living.exists());
    }

    /// Fails at one call.
    struct Faulty {
        calls: usize,
        fails_at: usize,
        /// Whether the failing write fills part of the file first, as a full disk does.
        half: bool,
    }

    impl Faulty {
        fn call<T>(&mut self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            self.calls += 1;
            if self.calls == self.fails_at + 1 {
                return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"));
            }
            work()
        }
    }

    impl FileSystem for Faulty {
        type File = File;

        fn create(&mut self, path: &Path) -> io::Result<File> {
            self.call(|| Disk.create(path))
        }

        fn write(&mut self, file: &mut File, part: &[u8]) -> io::Result<()> {
            if self.half {
                Disk.write(file, &part[..part.len() / 2])?;
            }
            self.call(|| Disk.write(file, part))
        }

        fn sync(&mut self, file: &mut File) -> io::Result<()> {
            self.call(|| Disk.sync(file))
        }

        fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
            self.call(|| Disk.rename(from, to))
        }

        fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
            self.call(|| Disk.sync_folder(folder))
        }

        fn remove(&mut self, path: &Path) -> io::Result<()> {
            self.call(|| Disk.remove(path))
        }
    }

    #[test]
    fn whatever_call_fails_the_old_file_is_untouched_and_the_path_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.zor");
        let parts: [&[u8]; 3] = [b"new", b" contents", b" of the file"];
        write(&path, b"old").unwrap();
        // Create, three writes, sync, rename; what fails after the rename has replaced the file, and says so.
        for half in [false, true] {
            for fails_at in 0..6 {
                let mut disk = Faulty { calls: 0, fails_at, half };
                let error = write_on(&mut disk, &path, &parts).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::FileSystem);
                let message = error.to_string();
                assert!(message.contains("model.zor") && message.contains("no space"), "{message}");
                assert_eq!(fs::read(&path).unwrap(), b"old", "call {fails_at} failed");
                assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "call {fails_at}");
            }
        }
        let mut disk = Faulty { calls: 0, fails_at: 6, half: false };
        let error = write_on(&mut disk, &path, &parts).unwrap_err().to_string();
        assert!(error.contains("the new file there"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"new contents of the file");
        let mut disk = Faulty { calls: 0, fails_at: 7, half: false };
        write_on(&mut disk, &path, &parts).unwrap();
        assert_eq!(disk.calls, 7, "no call is left out above");
    }

    /// Where the device is there, its driver says that the disk is full.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error() {
        let Ok(mut file) = File::options().write(true).open("/dev/full") else {
            return;
        };
        let error = Disk.write(&mut file, b"anything").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
