//! The IDX format of MNIST and similar data sets, gzipped or not.
//!
//! Big-endian: the magic number `0x00000803` (images) or `0x00000801` (labels), the count, for
//! images the numbers of rows and columns, then one byte per value. Source:
//! <http://yann.lecun.com/exdb/mnist/>.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result, memory, shown};
use crate::file;
use crate::vision::images::{ImageShape, Images};

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Highest compression ratio of deflate. Contents are at most this multiple of the file.
const MAX_RATIO: usize = 1032;
/// Contents above this number of bytes may be compressed by at most [`IMAGES_RATIO`].
const FREE: usize = 1 << 30;
/// Maximum compression ratio of large files; real images compress far less.
const IMAGES_RATIO: usize = 64;

/// Reads a file of images. Returns their number, their shape, and their values,
/// `[images, height, width]`.
///
/// # Errors
/// When the file is missing, damaged, or not a file of images. The message names it.
pub fn read_images(path: &Path) -> Result<(usize, ImageShape, Vec<u8>)> {
    images(&file::read(path)?).map_err(|message| Error::in_file(path, message))
}

/// Reads a file of labels.
///
/// # Errors
/// When the file is missing, damaged, or not a file of labels. The message names it.
pub fn read_labels(path: &Path) -> Result<Vec<u8>> {
    labels(&file::read(path)?).map_err(|message| Error::in_file(path, message))
}

/// Reads a file of images and one of labels as a data set of `n_classes` classes.
///
/// # Errors
/// When a file is missing or damaged, or the numbers of images and labels differ.
pub fn read_dataset(name: &str, images: &Path, labels: &Path, n_classes: usize) -> Result<Images> {
    let (count, shape, values) = read_images(images)?;
    let classes = read_labels(labels)?;
    if classes.len() != count {
        return Err(Error::input(format!(
            "{} has {count} images, {} has {} labels; the files do not match",
            shown(images),
            shown(labels),
            classes.len()
        )));
    }
    Images::new(name, shape, values, classes, n_classes)
        .map_err(|error| Error::in_file(labels, error))
}

/// Parses the contents of a file of images. Returns the same as [`read_images`].
///
/// # Errors
/// When they are not valid. The message is the reason and the position.
pub fn images(bytes: &[u8]) -> std::result::Result<(usize, ImageShape, Vec<u8>), String> {
    let (mut body, limit) = open(bytes);
    let header = header::<16>(&mut *body)?;
    check_magic(word(&header, 0), IMAGES, "images")?;
    let [count, height, width] = [4, 8, 12].map(|at| word(&header, at) as usize);
    let size = count.checked_mul(height).and_then(|size| size.checked_mul(width));
    let size = size.filter(|&size| size <= limit).ok_or_else(|| {
        format!(
            "its header declares {count} images of {height}x{width}, more than the file can contain"
        )
    })?;
    if count > 0 && height * width == 0 {
        return Err(format!("its header declares images of {height}x{width}"));
    }
    Ok((count, ImageShape { height, width, channels: 1 }, values(&mut *body, size, 16)?))
}

/// Parses the contents of a file of labels.
///
/// # Errors
/// When they are not valid. The message is the reason and the position.
pub fn labels(bytes: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let (mut body, limit) = open(bytes);
    let header = header::<8>(&mut *body)?;
    check_magic(word(&header, 0), LABELS, "labels")?;
    let count = word(&header, 4) as usize;
    if count > limit {
        return Err(format!("its header declares {count} labels, more than the file can contain"));
    }
    values(&mut *body, count, 8)
}

/// Opens the contents of a file, decompressed if it is gzipped. Returns the reader and the maximum
/// number of bytes.
pub(crate) fn open(bytes: &[u8]) -> (Box<dyn Read + '_>, usize) {
    if bytes.starts_with(&GZIP) {
        let least = bytes.len().saturating_mul(MAX_RATIO).min(FREE);
        let limit = bytes.len().saturating_mul(IMAGES_RATIO).max(least);
        (Box::new(MultiGzDecoder::new(bytes)), limit)
    } else {
        (Box::new(bytes), bytes.len())
    }
}

fn header<const N: usize>(body: &mut dyn Read) -> std::result::Result<[u8; N], String> {
    let mut header = [0; N];
    body.read_exact(&mut header).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => format!("it ends inside its header of {N} bytes"),
        _ => format!("its gzip data is damaged: {error}"),
    })?;
    Ok(header)
}

fn check_magic(found: u32, expected: u32, what: &str) -> std::result::Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!(
            "its first bytes are {found:#010x}, but a file of {what} starts with {expected:#010x}"
        ))
    }
}

fn word(header: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

/// Reads exactly `size` values up to the end of the file.
fn values(body: &mut dyn Read, size: usize, offset: usize) -> std::result::Result<Vec<u8>, String> {
    let mut values = memory(size)?;
    let damaged = |error| format!("its gzip data is damaged or cut short: {error}");
    body.take(size as u64).read_to_end(&mut values).map_err(damaged)?;
    if values.len() < size {
        let found = offset + values.len();
        return Err(format!("it ends at byte {found} of {}; download it again", offset + size));
    }
    // One more read detects excess bytes and verifies the checksum of gzip.
    if body.read(&mut [0]).map_err(damaged)? > 0 {
        return Err(format!(
            "it has more bytes after byte {}, the end according to its header",
            offset + size
        ));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::fs;
    use std::io::Write;

    fn file(magic: u32, sizes: &[u32], values: usize) -> Vec<u8> {
        let mut bytes = magic.to_be_bytes().to_vec();
        bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend((0..values).map(|value| value as u8));
        bytes
    }

    fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_and_gzipped_files_read_the_same() {
        let plain = file(IMAGES, &[2, 2, 3], 12);
        let expected = (2, ImageShape { height: 2, width: 3, channels: 1 }, (0..12).collect());
        assert_eq!(images(&plain), Ok(expected.clone()));
        assert_eq!(images(&zipped(&plain)), Ok(expected));
        assert_eq!(labels(&file(LABELS, &[3], 3)), Ok(vec![0, 1, 2]));
    }

    fn refused(bytes: &[u8], words: &str) {
        let message = images(bytes).unwrap_err();
        assert!(message.contains(words), "{message}");
    }

    #[test]
    fn a_file_that_is_cut_short_says_where() {
        refused(&file(IMAGES, &[2, 2, 3], 11), "ends at byte 27 of 28");
        refused(&file(IMAGES, &[2, 2], 0), "inside its header");
        let zipped = zipped(&file(IMAGES, &[2, 2, 3], 12));
        for length in 2..zipped.len() {
            assert!(images(&zipped[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn wrong_magic_is_told_with_the_right_one() {
        refused(&file(LABELS, &[12, 0, 0], 12), "0x00000803");
        assert!(labels(&file(IMAGES, &[1], 1)).unwrap_err().contains("0x00000801"));
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        refused(&file(IMAGES, &[2, 2, 3], 13), "has more bytes after byte 28");
    }

    #[test]
    fn a_header_cannot_promise_more_than_the_file_can_hold() {
        refused(
            &file(IMAGES, &[u32::MAX, u32::MAX, u32::MAX], 4),
            "more than the file can contain",
        );
        refused(&zipped(&file(IMAGES, &[1 << 20, 1 << 6, 1], 4)), "more than the file can contain");
        assert!(labels(&file(LABELS, &[u32::MAX], 4)).is_err());
        // 2 MB of zeros that declare 2 GB of images.
        let bomb =
            [zipped(&file(IMAGES, &[2 << 10, 1 << 10, 1 << 10], 0)), vec![0; 2 << 20]].concat();
        refused(&bomb, "more than the file can contain");
    }

    #[test]
    fn a_changed_byte_of_gzip_data_is_noticed() {
        let sound = zipped(&file(IMAGES, &[4, 5, 5], 100));
        let middle = sound.len() / 2;
        let mut damaged = sound;
        damaged[middle] ^= 0x10;
        assert!(images(&damaged).is_err());
    }

    #[test]
    fn missing_files_and_pairs_that_do_not_match_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("images"), folder.path().join("labels"));
        let message = read_dataset("d", &a, &b, 10).unwrap_err().to_string();
        assert!(message.contains("images: there is no such file"), "{message}");
        fs::write(&a, file(IMAGES, &[2, 2, 3], 12)).unwrap();
        fs::write(&b, file(LABELS, &[3], 3)).unwrap();
        let message = read_dataset("d", &a, &b, 10).unwrap_err().to_string();
        assert!(message.contains("2 images") && message.contains("3 labels"), "{message}");
        fs::write(&b, [&LABELS.to_be_bytes()[..], &[0, 0, 0, 2, 1, 10]].concat()).unwrap();
        let message = read_dataset("d", &a, &b, 10).unwrap_err().to_string();
        assert!(message.contains("labels") && message.contains("label 10"), "{message}");
    }
}
