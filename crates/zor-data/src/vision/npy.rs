//! NumPy arrays of images: `.npy` files of unsigned bytes.

use std::path::Path;

use crate::error::{Error, Result, shown};
use crate::file;
use crate::numpy::Array;
use crate::vision::images::{ImageShape, Images};

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
    let array = Array::parse(bytes)?;
    if !matches!(array.kind, "|u1" | "u1" | "<u1" | ">u1") {
        return Err(format!(
            "its values have the type '{}'; save them as bytes, for values in [0, 1] by (array * 255).round().astype('uint8')",
            array.kind
        ));
    }
    if array.is_fortran {
        return Err("it is in Fortran order; save numpy.ascontiguousarray(array)".to_owned());
    }
    let (count, shape) = match array.shape[..] {
        [count, height, width] => (count, ImageShape { height, width, channels: 1 }),
        [count, height, width, channels @ (1 | 3)] => {
            (count, ImageShape { height, width, channels })
        }
        _ => {
            return Err(format!(
                "its header is {:?}; its shape must be [images, height, width] or [images, height, width, 1 or 3]",
                array.header
            ));
        }
    };
    if shape.is_empty() {
        return Err(format!("its images have {}x{} pixels", shape.height, shape.width));
    }
    let values = array.values;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numpy::tests::{file, header};

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
        let second = [b"\x93NUMPY", &[2, 0][..], &length, text.as_bytes(), &values].concat();
        assert_eq!(parse(&second).unwrap().0, 2);
    }

    #[test]
    fn other_arrays_are_refused_with_the_remedy() {
        refused(&file(&header("<f4", "False", "(1, 1, 1)"), &[0; 4]), "astype('uint8')");
        refused(&file(&header("|u1", "True", "(1, 2, 2)"), &[0; 4]), "ascontiguousarray");
        refused(&file(&header("|u1", "False", "(4,)"), &[0; 4]), "height, width");
        refused(&file(&header("|u1", "False", "(1, 1, 2, 2)"), &[0; 4]), "1 or 3");
        refused(&file(&header("|u1", "False", "(1, 2, -2)"), &[0; 4]), "shape");
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
