//! Reading of files: whole and aligned in memory, or as a stream whose tensors are not kept.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use zor_core::burn::tensor::Bytes;

use crate::container::Passing;
use crate::error::{Error, Result, shown};

/// Bytes per read of a stream.
const CHUNK: usize = 1 << 16;

/// Reads a whole file, aligned for numbers of up to 8 bytes.
///
/// # Errors
/// When the path is not a regular file, the file cannot be read, or it does not fit into memory.
pub fn read(path: &Path) -> Result<Bytes> {
    let (file, length) = open(path)?;
    read_from(file, length, path)
}

/// Reads a number of bytes of a file.
fn read_from(mut file: impl Read, length: usize, path: &Path) -> Result<Bytes> {
    // A buffer of words is aligned.
    let mut words = Vec::new();
    let n = length.div_ceil(8);
    words.try_reserve_exact(n).map_err(|_| {
        Error::input(path, format!("it has {length} bytes, more than the free memory"))
    })?;
    words.resize(n, 0u64);
    file.read_exact(&mut bytemuck::cast_slice_mut(&mut words)[..length]).map_err(|error| {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::input(
                path,
                format!("it became shorter than {length} bytes while it was read; try again once nothing writes to it"),
            ),
            _ => Error::file_system(path, "read it", &error),
        }
    })?;
    Ok(shared(words, length))
}

/// Reads the first `most` bytes of a text file, or `None` if it does not exist.
pub(crate) fn read_note(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    if let Err(error) = fs::symlink_metadata(path)
        && error.kind() == io::ErrorKind::NotFound
    {
        return Ok(None);
    }
    let (file, _) = open(path)?;
    let mut text = Vec::new();
    file.take(most)
        .read_to_end(&mut text)
        .map_err(|error| Error::file_system(path, "read it", &error))?;
    Ok(Some(text))
}

/// Returns an aligned copy of bytes.
pub(crate) fn aligned(bytes: &[u8]) -> Bytes {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    shared(words, bytes.len())
}

/// Returns words as bytes whose views share memory.
fn shared(words: Vec<u64>, length: usize) -> Bytes {
    let bytes = Bytes::from_elems(words).shared();
    bytes.view(0, length).expect("shared bytes have views")
}

/// Maps a file into memory.
///
/// # Safety
/// The file must not change in place while the bytes exist.
#[cfg(feature = "mmap")]
pub(crate) unsafe fn map(path: &Path) -> Result<Bytes> {
    use zor_core::burn::tensor::AllocationProperty;
    let (file, _) = open(path)?;
    // SAFETY: the caller guarantees that the file does not change.
    let map = unsafe { memmap2::Mmap::map(&file) }
        .map_err(|error| Error::file_system(path, "map it into memory", &error))?;
    Ok(Bytes::from_shared(bytes::Bytes::from_owner(map), AllocationProperty::File).shared())
}

/// Reads the description of a file and the length of its tensors, and checks its digest. Tensors
/// are hashed but not kept.
pub(crate) fn read_head(path: &Path) -> Result<std::result::Result<(Vec<u8>, usize), String>> {
    let (mut file, length) = open(path)?;
    let failed = |error| Error::file_system(path, "read it", &error);
    let mut header = Vec::with_capacity(64);
    file.by_ref().take(64).read_to_end(&mut header).map_err(failed)?;
    let mut passing = match Passing::new(&header, length) {
        Ok(passing) => passing,
        Err(message) => return Ok(Err(message)),
    };
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = file.read(&mut chunk).map_err(failed)?;
        if n == 0 {
            break;
        }
        passing.add(&chunk[..n]);
    }
    Ok(passing.finish())
}

/// Error text for a path that is not a regular file.
pub(crate) const NOT_REGULAR: &str = "it is not a regular file (a pipe, a folder or a device)";

/// Opens a file; returns it with its length.
fn open(path: &Path) -> Result<(File, usize)> {
    // Opening a pipe blocks until it has a writer, so the file type is checked before opening, and
    // again afterwards.
    regular(path, fs::metadata(path))?;
    let file = File::open(path).map_err(|error| failed(path, &error))?;
    let about = regular(path, file.metadata())?;
    let length = usize::try_from(about.len())
        .map_err(|_| Error::input(path, "it is larger than this machine's memory"))?;
    Ok((file, length))
}

fn regular(path: &Path, about: io::Result<Metadata>) -> Result<Metadata> {
    let about = about.map_err(|error| failed(path, &error))?;
    if about.is_file() { Ok(about) } else { Err(Error::input(path, NOT_REGULAR)) }
}

/// Returns the error for a file that could not be opened.
fn failed(path: &Path, error: &io::Error) -> Error {
    let missing = error.kind() == io::ErrorKind::NotFound;
    match fs::read_link(path) {
        Ok(target) if missing => Error::input(
            path,
            format!("it is a link to {}, and there is no such file", shown(&target)),
        ),
        Ok(target) if error.kind() != io::ErrorKind::PermissionDenied => Error::input(
            path,
            format!("it is a link to {} that cannot be followed: {error}", shown(&target)),
        ),
        _ if missing => Error::input(path, "there is no such file"),
        _ => Error::file_system(path, "read it", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_named() {
        let error = read_from(&b"12345"[..], 6, Path::new("a.zor")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        let error = error.to_string();
        assert!(error.contains("a.zor") && error.contains("shorter than 6 bytes"), "{error}");
    }

    #[test]
    fn a_file_that_memory_has_no_room_for_is_an_error() {
        let error = read_from(&b""[..], usize::MAX, Path::new("a.zor")).unwrap_err().to_string();
        assert!(error.contains("a.zor") && error.contains("memory"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_nowhere_or_to_themselves_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("loop.zor", at("loop.zor")).unwrap();
        std::os::unix::fs::symlink("none.zor", at("dangling.zor")).unwrap();
        let error = read(&at("loop.zor")).unwrap_err().to_string();
        assert!(error.contains("link to loop.zor that cannot be followed"), "{error}");
        let error = read(&at("dangling.zor")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        let error = error.to_string();
        assert!(error.contains("link to none.zor, and there is no such file"), "{error}");
    }
}
