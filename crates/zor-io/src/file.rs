//! Files into memory, whole and aligned, or passing by.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zor_core::burn::tensor::Bytes;

use crate::container::Passing;
use crate::error::{Error, Result};

/// Bytes read at once of what is not kept.
const CHUNK: usize = 1 << 16;

/// A whole file, aligned for any number in it.
pub(crate) fn read(path: &Path) -> Result<Bytes> {
    let (mut file, length) = open(path)?;
    // Words, so that the first byte is aligned.
    let mut words = vec![0u64; length.div_ceil(8)];
    file.read_exact(&mut bytemuck::cast_slice_mut(&mut words)[..length])
        .map_err(|error| Error::file_system(path, "read it", &error))?;
    Ok(shared(words, length))
}

/// A copy of bytes, aligned.
pub(crate) fn aligned(bytes: &[u8]) -> Bytes {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    shared(words, bytes.len())
}

/// Words as bytes of which views are no copies.
fn shared(words: Vec<u64>, length: usize) -> Bytes {
    let bytes = Bytes::from_elems(words).shared();
    bytes.view(0, length).expect("shared bytes have views")
}

/// A file mapped into memory.
///
/// # Safety
/// The file must not change in place while the bytes exist.
#[cfg(feature = "mmap")]
pub(crate) unsafe fn map(path: &Path) -> Result<Bytes> {
    use zor_core::burn::tensor::AllocationProperty;
    let (file, _) = open(path)?;
    // SAFETY: the caller promises that the file stays as it is.
    let map = unsafe { memmap2::Mmap::map(&file) }
        .map_err(|error| Error::file_system(path, "map it into memory", &error))?;
    Ok(Bytes::from_shared(bytes::Bytes::from_owner(map), AllocationProperty::File).shared())
}

/// The description of a file whose digest was right, and the length of its tensors, which are not kept.
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

fn open(path: &Path) -> Result<(File, usize)> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::input(path, "there is no such file"),
        _ => Error::file_system(path, "read it", &error),
    };
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(Error::input(path, "this is not a file"));
    }
    let length = usize::try_from(about.len())
        .map_err(|_| Error::input(path, "it is larger than this machine's memory"))?;
    Ok((file, length))
}
