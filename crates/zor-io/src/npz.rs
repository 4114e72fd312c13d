//! `.npz` files for `numpy.load`: a zip archive with one `.npy` array per tensor.
//!
//! Source: numpy, "The NPY format" (`numpy.lib.format`), version 1.0.

use std::fmt;
use std::io::{Cursor, Write};
use std::path::Path;

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};
use zor_core::Network;

use crate::atomic;
use crate::error::{Error, Result};

/// Writes the tensors of a network as f32 arrays `[rows, columns]`, under the names of
/// `Network::tensors`.
///
/// # Errors
/// When the name of a tensor is not a valid zip entry, or the file cannot be written.
pub fn save(network: &Network, path: &Path) -> Result<()> {
    let bytes = encode(network).map_err(|message| Error::input(path, message))?;
    atomic::write(path, &bytes)
}

fn encode(network: &Network) -> std::result::Result<Vec<u8>, String> {
    let mut tensors = Vec::new();
    for (name, _, parameter) in network.tensors() {
        let values = parameter.value().try_into_data();
        let values =
            values.map_err(|error| format!("{name}: cannot be read from the device: {error}"))?;
        let bytes = values.iter::<f32>().flat_map(f32::to_le_bytes).collect();
        tensors.push((name, parameter.shape(), bytes));
    }
    pack(&tensors)
}

/// Returns a zip archive of arrays with these names, shapes and values.
fn pack(tensors: &[(String, [usize; 2], Vec<u8>)]) -> std::result::Result<Vec<u8>, String> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    // A fixed time makes the bytes reproducible.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    for (name, shape, bytes) in tensors {
        // Unpacking programs would read such names as folders or as several lines.
        if name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | ':')) {
            return Err(format!(
                "the tensor '{name}' cannot be an entry of a zip; give the parameter a name without slashes, colons and control characters, or save .safetensors"
            ));
        }
        let failed = |error: &dyn fmt::Display| format!("{name}: {error}");
        let header = header(*shape);
        let is_large = header.len() + bytes.len() >= u32::MAX as usize;
        archive
            .start_file(format!("{name}.npy"), options.large_file(is_large))
            .map_err(|error| failed(&error))?;
        archive.write_all(&header).map_err(|error| failed(&error))?;
        archive.write_all(bytes).map_err(|error| failed(&error))?;
    }
    Ok(archive.finish().map_err(|error| error.to_string())?.into_inner())
}

/// Returns the header of an array, padded to a multiple of 64 bytes.
fn header([rows, columns]: [usize; 2]) -> Vec<u8> {
    let mut text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let before = 10;
    let padded = (before + text.len() + 1).next_multiple_of(64);
    text += &" ".repeat(padded - before - text.len() - 1);
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    // A dictionary with two numbers is far below 65,536 characters.
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_aligned_and_say_the_shape() {
        for shape in [[1, 1], [784, 64], [0, 5], [123_456, 7_890_123]] {
            let header = header(shape);
            assert_eq!(header.len() % 64, 0);
            let [rows, columns] = shape;
            let text = String::from_utf8_lossy(&header[10..]).into_owned();
            assert!(text.contains(&format!("({rows}, {columns})")) && text.ends_with('\n'));
            assert_eq!(usize::from(header[8]) + 256 * usize::from(header[9]), header.len() - 10);
        }
    }

    #[test]
    fn tensors_without_values_are_arrays_without_values() {
        let bytes = pack(&[("0.a".to_owned(), [0, 5], Vec::new())]).unwrap();
        let count = |part: &[u8]| bytes.windows(part.len()).filter(|at| *at == part).count();
        assert_eq!(count(b"'shape': (0, 5)"), 1);
        assert_eq!(count(b"0.a.npy"), 2, "before the array and in the index");
    }

    #[test]
    fn names_that_would_become_folders_or_lines_are_refused() {
        for name in ["0.../../x", "0.a/b", "0.a\\b", "0.a\nb", "0.a\u{1b}[2J"] {
            let error = pack(&[(name.to_owned(), [1, 1], vec![0; 4])]).unwrap_err();
            assert!(error.contains(name) && error.contains("safetensors"), "{error}");
        }
        let twice = ("0.a".to_owned(), [1, 1], vec![0; 4]);
        assert!(pack(&[twice.clone(), twice]).unwrap_err().contains("0.a"));
    }
}
