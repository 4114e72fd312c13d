//! `.npz`: a network's tensors for `numpy.load`, a zip of one `.npy` array a tensor.
//!
//! Source: numpy, "The NPY format" (`numpy.lib.format`), version 1.0.

use std::io::{Cursor, Write};
use std::path::Path;

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};
use zor_core::Network;

use crate::atomic;
use crate::error::{Error, Result};

/// Writes the tensors of a network as f32 arrays `[rows, columns]`, under the names of `Network::tensors`.
///
/// # Errors
/// When the file system refuses.
pub fn save(network: &Network, path: &Path) -> Result<()> {
    let bytes = encode(network).map_err(|error| Error::input(path, error))?;
    atomic::write(path, &bytes)
}

fn encode(network: &Network) -> zip::result::ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    // The same bytes whenever they are written.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    for (name, _, parameter) in network.tensors() {
        archive.start_file(format!("{name}.npy"), options)?;
        archive.write_all(&header(parameter.shape()))?;
        let values = parameter.value().into_data();
        let bytes: Vec<u8> = values.iter::<f32>().flat_map(f32::to_le_bytes).collect();
        archive.write_all(&bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}

/// What comes before the values, padded so that they are aligned to 64 bytes.
fn header([rows, columns]: [usize; 2]) -> Vec<u8> {
    let mut text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let before = 10;
    let padded = (before + text.len() + 1).next_multiple_of(64);
    text += &" ".repeat(padded - before - text.len() - 1);
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    // A dictionary of two numbers is far below 65,536 characters.
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_aligned_and_say_the_shape() {
        for shape in [[1, 1], [784, 64], [123_456, 7_890_123]] {
            let header = header(shape);
            assert_eq!(header.len() % 64, 0);
            let [rows, columns] = shape;
            let text = String::from_utf8_lossy(&header[10..]).into_owned();
            assert!(text.contains(&format!("({rows}, {columns})")) && text.ends_with('\n'));
            assert_eq!(usize::from(header[8]) + 256 * usize::from(header[9]), header.len() - 10);
        }
    }
}
