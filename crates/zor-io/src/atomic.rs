//! Atomic file writes: a file appears whole under its name or not at all.
//!
//! A file is written under a temporary name in the same folder, flushed to the disk and renamed;
//! then the folder is flushed. If the process or the machine stops at any point, the name has the
//! old contents or the new ones. The next write to the name removes temporary files of processes
//! that have ended.
//!
//! A symbolic link is kept: its target is replaced. On Unix a replaced file keeps its permissions.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::file::NOT_REGULAR;

/// Writes a file atomically.
///
/// # Errors
/// When the path is a folder, a pipe or a device, or the write fails. The old file is still there
/// then, unless the message reports that only the flush of the folder failed.
pub fn write(path: &Path, contents: &[u8]) -> Result<()> {
    write_parts(path, &[contents])
}

/// Writes a file from consecutive parts.
pub(crate) fn write_parts(path: &Path, parts: &[&[u8]]) -> Result<()> {
    write_on(&mut Disk, path, parts)
}

/// Checks that files can be written in a folder by creating one and removing it.
///
/// # Errors
/// When it cannot be created or removed.
pub fn check_writable(folder: &Path) -> Result<()> {
    let number = Number::take();
    let probe = number.partial(&folder.join("probe"));
    File::create(&probe)
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|error| Error::file_system(folder, "write in it", &error))
}

/// Calls of the file system; tests use one whose calls fail.
trait FileSystem {
    type File;
    fn create(&mut self, path: &Path, permissions: Option<Permissions>) -> io::Result<Self::File>;
    fn write(&mut self, file: &mut Self::File, part: &[u8]) -> io::Result<()>;
    fn sync(&mut self, file: &mut Self::File) -> io::Result<()>;
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;
    fn remove(&mut self, path: &Path) -> io::Result<()>;
}

/// The file system of the operating system.
struct Disk;

impl FileSystem for Disk {
    type File = File;

    fn create(&mut self, path: &Path, permissions: Option<Permissions>) -> io::Result<File> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        if let Some(permissions) = permissions {
            use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
            // Permissions are set before the first byte is written. The process's umask clears bits
            // of the mode at creation; the second call sets them.
            let mode = permissions.mode() & 0o777;
            let file = options.mode(mode).open(path)?;
            // File systems without permissions may fail here; the file is then no more accessible
            // than the mode allows.
            let _ = file.set_permissions(Permissions::from_mode(mode));
            return Ok(file);
        }
        let _ = permissions;
        options.open(path)
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
        // Other systems cannot open a folder, and their renames are durable without it.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

fn write_on<F: FileSystem>(disk: &mut F, path: &Path, parts: &[&[u8]]) -> Result<()> {
    if path.file_name().is_none() {
        return Err(Error::input(path, "this is not a file name"));
    }
    let place = followed(path)?;
    let permissions = match fs::metadata(&place) {
        Ok(about) if about.is_dir() => {
            return Err(Error::input(path, "it is a folder; give the name of a file in it"));
        }
        Ok(about) if !about.is_file() => return Err(Error::input(path, NOT_REGULAR)),
        Ok(about) => Some(about.permissions()),
        // The file does not exist yet, or a later call reports the error.
        Err(_) => None,
    };
    remove_leftovers(&place);
    let number = Number::take();
    let partial = number.partial(&place);
    let mut write = || {
        let mut file = disk.create(&partial, permissions.clone())?;
        parts.iter().try_for_each(|part| disk.write(&mut file, part))?;
        disk.sync(&mut file)?;
        drop(file);
        disk.rename(&partial, &place)
    };
    if let Err(error) = write() {
        // The write has failed already. A temporary file that cannot be removed is removed by the
        // next write.
        let _ = disk.remove(&partial);
        return Err(Error::file_system(path, "write it", &error));
    }
    disk.sync_folder(folder(&place)).map_err(|error| {
        let doing = "flush its folder, so that the new file there is safe against a loss of power";
        Error::file_system(path, doing, &error)
    })
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Maximum length of a chain of links, as in Linux.
const MOST_LINKS: usize = 40;

/// Returns the target of a chain of links, whether it exists or not; a path that is not a link is
/// returned unchanged.
fn followed(path: &Path) -> Result<PathBuf> {
    let mut place = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&place) {
            Ok(target) => place = folder(&place).join(target),
            Err(_) => return Ok(place),
        }
    }
    Err(Error::input(path, "it is a link that leads back to itself; remove it"))
}

/// Suffix of temporary files, `NAME.PROCESS-NUMBER.part`: the final name, the identifier of the
/// writing process, and the number of its write.
const PARTIAL: &str = ".part";
/// Maximum length of a name, in bytes, with room for the rest of a temporary name in the 255 bytes
/// of file systems.
const LONGEST_NAME: usize = 255 - ".4294967295-18446744073709551615.part".len();

/// The next number of a write, and the numbers of the writes of this process in progress: two
/// threads may write to one path.
static UNDER_WAY: Mutex<(u64, BTreeSet<u64>)> = Mutex::new((0, BTreeSet::new()));

/// The number of a write, in use until it is dropped.
struct Number(u64);

impl Number {
    fn take() -> Self {
        let mut under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, numbers) = &mut *under_way;
        let number = *next;
        *next += 1;
        numbers.insert(number);
        Self(number)
    }

    fn is_under_way(number: u64) -> bool {
        UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).1.contains(&number)
    }

    fn partial(&self, path: &Path) -> PathBuf {
        let mut name = stem(path.file_name().unwrap_or_default());
        name.push(format!(".{}-{}{PARTIAL}", std::process::id(), self.0));
        path.with_file_name(name)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.0);
    }
}

/// Returns the start of temporary names: the name of the file, or for a long name its beginning and
/// a digest of it.
fn stem(name: &OsStr) -> OsString {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let text = name.to_string_lossy();
    let mut stem = String::new();
    for c in text.chars() {
        if stem.len() + c.len_utf8() + 17 > LONGEST_NAME {
            break;
        }
        stem.push(c);
    }
    stem.push('-');
    for byte in &Sha256::digest(name.as_encoded_bytes())[..8] {
        stem += &format!("{byte:02x}");
    }
    stem.into()
}

/// Removes temporary files of this name whose writers have ended.
fn remove_leftovers(path: &Path) {
    let stem = stem(path.file_name().unwrap_or_default());
    for entry in fs::read_dir(folder(path)).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let between = found
            .as_encoded_bytes()
            .strip_prefix(stem.as_encoded_bytes())
            .and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(PARTIAL.as_bytes()));
        if between.and_then(writer).is_some_and(|(process, number)| !is_alive(process, number)) {
            // A leftover that cannot be removed does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Parses process and number of a write, `1234-5`; earlier versions of Zor omitted the number.
fn writer(between: &[u8]) -> Option<(u32, Option<u64>)> {
    let between = std::str::from_utf8(between).ok()?;
    match between.split_once('-') {
        Some((process, number)) => Some((process.parse().ok()?, Some(number.parse().ok()?))),
        None => Some((between.parse().ok()?, None)),
    }
}

/// Returns true if a write is or may be in progress.
fn is_alive(process: u32, number: Option<u64>) -> bool {
    if process == std::process::id() {
        // An earlier process may have had the identifier of this one.
        return number.is_none_or(Number::is_under_way);
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
        let numbered = at("model.zor.4294967295-3.part");
        // Left by an earlier process with the identifier of this one, whose writes have no such
        // number.
        let reused = at(&format!("model.zor.{}-{}.part", std::process::id(), u64::MAX));
        let parent = std::os::unix::process::parent_id();
        let living = at(&format!("model.zor.{parent}.part"));
        let writing = at(&format!("model.zor.{parent}-0.part"));
        let mine = at("model.zor.mine.part");
        for leftover in [&dead, &other, &numbered, &reused, &living, &writing, &mine] {
            fs::write(leftover, b"half").unwrap();
        }
        write(&at("model.zor"), b"new").unwrap();
        assert!(!dead.exists() && !numbered.exists() && !reused.exists());
        assert!(other.exists() && living.exists() && writing.exists() && mine.exists());
    }

    #[test]
    fn threads_that_write_one_path_leave_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.zor");
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        write(path, &vec![thread; 10_000]).unwrap();
                    }
                });
            }
        });
        let found = fs::read(&path).unwrap();
        assert!(found.len() == 10_000 && found.iter().all(|byte| *byte == found[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn names_as_long_as_file_systems_have_are_written() {
        let folder = tempfile::tempdir().unwrap();
        // The first is the longest that leaves room for the rest of a temporary name.
        for name in ["a".repeat(LONGEST_NAME), "b".repeat(255), "é".repeat(127)] {
            let path = folder.path().join(name);
            write(&path, b"old").unwrap();
            write(&path, b"new").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        let path = folder.path().join("b".repeat(255));
        let partial = Number(7).partial(&path);
        assert_eq!(partial.file_name(), Number(7).partial(&path).file_name());
        let beside = "b".repeat(254) + "c";
        assert_ne!(partial, Number(7).partial(&folder.path().join(beside)));
        let path = folder.path().join("d".repeat(256));
        assert_eq!(write(&path, b"x").unwrap_err().kind(), ErrorKind::FileSystem);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.zor");
        fs::create_dir(&path).unwrap();
        let error = write(&path, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains("model.zor: it is a folder"), "{error}");
        assert!(path.is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_its_target_is_replaced() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("below")).unwrap();
        fs::write(at("below/model.zor"), b"old").unwrap();
        symlink("below/model.zor", at("first.zor")).unwrap();
        symlink(at("first.zor"), at("second.zor")).unwrap();
        symlink("below/none.zor", at("dangling.zor")).unwrap();
        write(&at("second.zor"), b"new").unwrap();
        write(&at("dangling.zor"), b"there now").unwrap();
        assert_eq!(fs::read(at("below/model.zor")).unwrap(), b"new");
        assert_eq!(fs::read(at("below/none.zor")).unwrap(), b"there now");
        for link in ["first.zor", "second.zor", "dangling.zor"] {
            assert!(at(link).is_symlink(), "{link}");
        }
        assert_eq!(fs::read_dir(at("below")).unwrap().count(), 2);
        symlink("loop.zor", at("loop.zor")).unwrap();
        let error = write(&at("loop.zor"), b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains("leads back to itself"), "{error}");
        symlink("below", at("folder.zor")).unwrap();
        assert!(write(&at("folder.zor"), b"x").unwrap_err().to_string().contains("a folder"));
    }

    #[cfg(unix)]
    #[test]
    fn permissions_of_a_replaced_file_are_kept() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.zor");
        write(&path, b"old").unwrap();
        for mode in [0o600, 0o666, 0o440] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            write(&path, b"new").unwrap();
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{found:o} is not {mode:o}");
        }
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

        fn create(&mut self, path: &Path, like: Option<Permissions>) -> io::Result<File> {
            self.call(|| Disk.create(path, like))
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
        // Create, three writes, sync, rename. A failure after the rename reports that the file is
        // replaced.
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

    /// Writes to the device `/dev/full` fail as on a full disk; skipped where it does not exist.
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
