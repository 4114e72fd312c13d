//! NumPy arrays of images: `.npy` files of unsigned bytes.
//!
//! Format: `\x93NUMPY`, the version, the length of the header, the header (a Python dictionary in
//! ASCII), the values. Source: NumPy, "The NPY format" (`numpy.lib.format`).

use std::path::Path;

use crate::error::{Error, Result, shown};
use crate::file;
use crate::vision::images::{ImageShape, Images};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads an array of `uint8` with the shape `[images, height, width]` or
/// `[images, height, width, channels]`, 1 or 3 channels, as a data set without labels.
///
/// # Errors
/// When the file is missing, damaged, or another kind of array. The message names it.
pub fn read(path: &Path) -> Result<Images> {
    let bytes = file::read(path)?;
    let (count, shape, values) = parse(&bytes).map_err(|message| Error::in_file(path, message))?;
    Images::new(shown(path), shape, values.to_vec(), vec![0; count], 1)
}

/// Parses the contents of a file. Returns the number of images, their shape, and their values,
/// `[images, height, width, channels]`.
///
/// # Errors
/// When they are not an array of images. The message is the reason and the remedy.
pub fn parse(bytes: &[u8]) -> std::result::Result<(usize, ImageShape, &[u8]), String> {
    let short = || "it ends inside its header".to_owned();
    if !bytes.starts_with(MAGIC) {
        return Err("it is not a .npy file: it does not start with \\x93NUMPY".to_owned());
    }
    let version = *bytes.get(MAGIC.len()).ok_or_else(short)?;
    // The length has two bytes in version 1, four in later versions.
    let width = if version == 1 { 2 } else { 4 };
    let start = MAGIC.len() + 2 + width;
    let length = bytes.get(MAGIC.len() + 2..start).ok_or_else(short)?;
    let length = length.iter().rev().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
    let end = start.checked_add(length).ok_or_else(short)?;
    let header = bytes.get(start..end).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is not text".to_owned())?;
    let kind = after(header, "descr")?.trim_start_matches(['\'', '"']);
    let kind = kind.split(['\'', '"']).next().unwrap_or_default();
    if !matches!(kind, "|u1" | "u1" | "<u1" | ">u1") {
        return Err(format!(
            "its values have the type '{kind}'; save them as bytes, for values in [0, 1] by (array * 255).round().astype('uint8')"
        ));
    }
    if !after(header, "fortran_order")?.starts_with("False") {
        return Err("it is in Fortran order; save numpy.ascontiguousarray(array)".to_owned());
    }
    let sizes = after(header, "shape")?.trim_start_matches('(');
    let sizes = sizes.split(')').next().unwrap_or_default();
    let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
    let sizes: std::result::Result<Vec<usize>, _> = sizes.map(str::parse).collect();
    let (count, shape) = match sizes.as_deref() {
        Ok(&[count, height, width]) => (count, ImageShape { height, width, channels: 1 }),
        Ok(&[count, height, width, channels @ (1 | 3)]) => {
            (count, ImageShape { height, width, channels })
        }
        _ => {
            return Err(format!(
                "its header is {:?}; its shape must be [images, height, width] or [images, height, width, 1 or 3]",
                header.trim_end()
            ));
        }
    };
    if shape.is_empty() {
        return Err(format!("its images have {}x{} pixels", shape.height, shape.width));
    }
    let values = &bytes[end..];
    let size = [count, shape.height, shape.width, shape.channels];
    let size = size.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    if size != Some(values.len()) {
        return Err(format!(
            "it has {} values, but its header declares {count} images of {}x{}x{}",
            values.len(),
            shape.height,
            shape.width,
            shape.channels
        ));
    }
    Ok((count, shape, values))
}

/// Returns the header from the value of a key on.
fn after<'a>(header: &'a str, key: &str) -> std::result::Result<&'a str, String> {
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let at = quoted.iter().find_map(|key| header.find(key).map(|at| at + key.len()));
    let value = at.and_then(|at| header[at..].trim_start().strip_prefix(':'));
    value.map(str::trim_start).ok_or_else(|| format!("its header has no {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that NumPy 2 writes for an array with this header.
    fn file(header: &str, values: &[u8]) -> Vec<u8> {
        let mut header = header.to_owned();
        header += &" ".repeat(63 - (header.len() + 10) % 64);
        header.push('\n');
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), values].concat()
    }

    fn header(kind: &str, order: &str, shape: &str) -> String {
        format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}")
    }

    fn refused(bytes: &[u8], words: &str) {
        let message = parse(bytes).unwrap_err();
        assert!(message.contains(words), "{message}");
    }

    #[test]
    fn arrays_of_images_are_read() {
        let values: Vec<u8> = (0..24).collect();
        let grey = file(&header("|u1", "False", "(2, 3, 4)"), &values);
        let expected = ImageShape { height: 3, width: 4, channels: 1 };
        assert_eq!(parse(&grey).unwrap(), (2, expected, &values[..]));
        let colour = file(&header("|u1", "False", "(2, 2, 2, 3)"), &values);
        let expected = ImageShape { height: 2, width: 2, channels: 3 };
        assert_eq!(parse(&colour).unwrap(), (2, expected, &values[..]));
        // In version 2 the length has four bytes.
        let text = header("|u1", "False", "(2, 3, 4)");
        let length = (text.len() as u32).to_le_bytes();
        let second = [MAGIC, &[2, 0], &length, text.as_bytes(), &values].concat();
        assert_eq!(parse(&second).unwrap().0, 2);
    }

    #[test]
    fn other_arrays_are_refused_with_the_remedy() {
        refused(&file(&header("<f4", "False", "(1, 1, 1)"), &[0; 4]), "astype('uint8')");
        refused(&file(&header("|u1", "True", "(1, 2, 2)"), &[0; 4]), "ascontiguousarray");
        refused(&file(&header("|u1", "False", "(4,)"), &[0; 4]), "height, width");
        refused(&file(&header("|u1", "False", "(1, 1, 2, 2)"), &[0; 4]), "1 or 3");
        refused(&file(&header("|u1", "False", "(1, 2, -2)"), &[0; 4]), "height, width");
        refused(&file(&header("|u1", "False", "(2, 2, 2)"), &[0; 4]), "declares 2 images");
        let huge = format!("({0}, {0}, {0})", usize::MAX);
        refused(&file(&header("|u1", "False", &huge), &[0; 4]), "declares");
        // No values, and more images than memory has bytes.
        for empty in [format!("({}, 0, 1)", usize::MAX), format!("({}, 1, 0, 3)", usize::MAX >> 1)]
        {
            refused(&file(&header("|u1", "False", &empty), &[]), "pixels");
        }
        refused(&file("{}", &[]), "descr");
        refused(b"\x93NUM", "not a .npy");
        let whole = file(&header("|u1", "False", "(1, 2, 2)"), &[0; 4]);
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length}");
        }
    }
}
