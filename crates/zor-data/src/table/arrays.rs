//! Tables from NumPy arrays of numbers: `.npy` and `.npz` files.

use std::fmt::Write as _;
use std::io::{Cursor, Read};

use crate::numpy::Array;
use crate::table::csv::Table;

/// Maximum number of bytes of the unpacked arrays of a file.
const MAX_BYTES: u64 = 1 << 32;

/// Columns of numbers, all of one length.
type Columns = Vec<(String, Vec<f64>)>;

/// Reads a `.npy` file: an array `[rows, columns]` or `[rows]`. The columns are named 0, 1, ...
///
/// # Errors
/// When it is not an array of numbers with this shape. The message is the reason and the remedy.
pub(super) fn npy(name: &str, bytes: &[u8]) -> Result<Table, String> {
    table(name, columns(bytes, "")?)
}

/// Reads a `.npz` file, an archive of arrays with equal numbers of rows. An array `[rows]` is a
/// column of its name; the columns of an array `[rows, columns]` are named 0, 1, ..., after the
/// name of the array if there are several such arrays.
///
/// # Errors
/// When the file is damaged, or an array is not of numbers with such a shape. The message is the
/// reason and the remedy.
pub(super) fn npz(name: &str, bytes: &[u8]) -> Result<Table, String> {
    npz_within(MAX_BYTES, name, bytes)
}

fn npz_within(max_bytes: u64, name: &str, bytes: &[u8]) -> Result<Table, String> {
    let damaged = |error: &dyn std::fmt::Display| format!("it is not a valid .npz file: {error}");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
    let mut arrays = Vec::new();
    let mut left = max_bytes;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| damaged(&error))?;
        let array = entry.name().trim_end_matches(".npy").to_owned();
        let mut bytes = Vec::new();
        entry.take(left + 1).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            format!(
                "its arrays have over {max_bytes} bytes; save fewer rows, or each array as a .npy file"
            )
        })?;
        arrays.push((array, bytes));
    }
    let mut is_matrix = Vec::new();
    for (array, bytes) in &arrays {
        let parsed = Array::parse(bytes).map_err(|message| format!("array {array}: {message}"))?;
        is_matrix.push(parsed.shape.len() == 2);
    }
    let has_one_matrix = is_matrix.iter().filter(|is_matrix| **is_matrix).count() == 1;
    let mut all = Columns::new();
    for ((array, bytes), is_matrix) in arrays.iter().zip(is_matrix) {
        let prefix = if is_matrix && has_one_matrix { "" } else { array };
        all.extend(columns(bytes, prefix).map_err(|message| format!("array {array}: {message}"))?);
    }
    table(name, all)
}

/// Returns the columns of an array, named after the prefix.
fn columns(bytes: &[u8], prefix: &str) -> Result<Columns, String> {
    let array = Array::parse(bytes)?;
    let n_columns = match array.shape[..] {
        [_] => 1,
        [_, n_columns] => n_columns,
        _ => return Err(format!("its shape is {:?}; it must be [rows, columns]", array.shape)),
    };
    let numbers = array.numbers()?;
    let name = |column: usize| match (array.shape.len(), prefix) {
        (1, prefix) if !prefix.is_empty() => prefix.to_owned(),
        (_, prefix) => format!("{prefix}{column}"),
    };
    Ok((0..n_columns)
        .map(|column| {
            let values = numbers.iter().skip(column).step_by(n_columns.max(1)).copied();
            (name(column), values.collect())
        })
        .collect())
}

fn table(name: &str, columns: Columns) -> Result<Table, String> {
    let Some(n_rows) = columns.first().map(|(_, values)| values.len()).filter(|n| *n > 0) else {
        return Err("it has no rows".to_owned());
    };
    if let Some((other, values)) = columns.iter().find(|(_, values)| values.len() != n_rows) {
        return Err(format!(
            "column {other} has {} rows and column {} has {n_rows}; save arrays of equal length",
            values.len(),
            columns[0].0
        ));
    }
    let names = columns.iter().map(|(name, _)| name.clone()).collect();
    let mut table = Table::empty(name, names)?;
    let mut text = String::new();
    for row in 0..n_rows {
        table.push(
            columns.iter().map(|(_, values)| &values[row]),
            row as u64 + 1,
            |number, cells| {
                text.clear();
                // The shortest text that gives the number again. NaN is a missing value.
                let written = match *number as f32 {
                    _ if number.is_nan() => Ok(()),
                    short if f64::from(short) == *number => write!(text, "{short}"),
                    _ => write!(text, "{number}"),
                };
                debug_assert!(written.is_ok(), "text can be extended");
                cells.push_str(&text);
            },
        );
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;
    use crate::numpy::tests::{file, header};

    fn matrix(kind: &str, shape: &str, values: &[f32]) -> Vec<u8> {
        let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        file(&header(kind, "False", shape), &values)
    }

    fn archive(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (index, (name, bytes)) in entries.iter().enumerate() {
            let method = match index % 2 {
                0 => zip::CompressionMethod::Stored,
                _ => zip::CompressionMethod::Deflated,
            };
            let options = SimpleFileOptions::default().compression_method(method);
            archive.start_file(*name, options).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn arrays_become_columns() {
        let found = npy("a.npy", &matrix("<f4", "(2, 2)", &[0.1, 2.0, f32::NAN, 1e20])).unwrap();
        assert_eq!(found.columns(), ["0", "1"]);
        assert_eq!((found.number(0, 0), found.number(1, 1)), (Some(0.1), Some(1e20)));
        assert_eq!((found.cell(1, 0), found.line(1)), (None, 2));
        let x = ("X.npy", matrix("<f4", "(2, 2)", &[1.0, 2.0, 3.0, 4.0]));
        let y = ("y.npy", file(&header("|u1", "False", "(2,)"), &[0, 1]));
        let found = npz("a.npz", &archive(&[x.clone(), y.clone()])).unwrap();
        assert_eq!(
            (found.columns(), found.cell(1, 2)),
            (&["0", "1", "y"].map(str::to_owned)[..], Some("1"))
        );
        let z = ("z.npy", matrix("<f4", "(2, 1)", &[1.0, 2.0]));
        let found = npz("a.npz", &archive(&[x, y, z])).unwrap();
        assert_eq!(found.columns(), ["X0", "X1", "y", "z0"]);
    }

    #[test]
    fn other_files_are_refused_with_the_reason() {
        let refused = |found: Result<Table, String>, words: &str| {
            let message = found.unwrap_err();
            assert!(message.contains(words), "{message}");
        };
        refused(npy("a", b"1,2"), "it is not a .npy file");
        refused(npy("a", &matrix("<f4", "(1, 1, 1)", &[0.0])), "it must be [rows, columns]");
        refused(npy("a", &matrix("<f4", "(0, 2)", &[])), "no rows");
        refused(npy("a", &matrix("<f4", "(2, 0)", &[])), "no rows");
        refused(npz("a", b"PK"), "it is not a valid .npz file");
        refused(npz("a", &archive(&[])), "no rows");
        let zeros = matrix("<f4", "(1000,)", &[0.0; 1000]);
        let zeros = archive(&[("a.npy", zeros.clone()), ("b.npy", zeros)]);
        assert!(npz_within(10_000, "a", &zeros).is_ok());
        refused(npz_within(8_000, "a", &zeros), "over 8000 bytes");
        refused(npz("a", &archive(&[("x.txt", b"hello".to_vec())])), "array x.txt: it is not");
        let (one, two) = (matrix("<f4", "(1,)", &[0.0]), matrix("<f4", "(2,)", &[0.0; 2]));
        refused(
            npz("a", &archive(&[("a.npy", one), ("b.npy", two)])),
            "save arrays of equal length",
        );
    }
}
