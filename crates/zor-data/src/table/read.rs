//! Tables from files of any kind.

use std::path::Path;

use crate::error::{Error, Result, shown};
use crate::file;
use crate::table::arrays;
use crate::table::csv::Table;
use crate::table::records::Records;

/// Path of the standard input.
const STANDARD_INPUT: &str = "-";

impl Table {
    /// Reads a table from a file: NumPy arrays of numbers if its name ends in `.npy` or `.npz`, CSV
    /// with a header otherwise. The delimiter of CSV (`,`, `;` or tab) is the most frequent one in
    /// the header. The path `-` is the standard input, in CSV.
    ///
    /// # Errors
    /// When the file is missing, empty or not UTF-8, has no rows below its header, a row is longer
    /// or shorter than the header, or two columns have the same name or one has none. The message
    /// names file and line. When an array does not have the shape `[rows, columns]` or `[rows]`.
    pub fn read(path: &Path) -> Result<Self> {
        if Self::is_standard_input(path) {
            return Self::collect(Records::standard_input()?);
        }
        if !Self::is_array(path) {
            return Self::collect(Records::new(&shown(path), file::open(path)?)?);
        }
        Self::from_arrays(path, &file::read(path)?)
    }

    /// Parses the contents of a `.npy` or `.npz` file. The path is for messages.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn from_arrays(path: &Path, bytes: &[u8]) -> Result<Self> {
        let read = if ends_in(path, "npy") { arrays::npy } else { arrays::npz };
        read(&shown(path), bytes).map_err(|message| Error::in_file(path, message))
    }

    /// Parses the contents of a `.npy` file. The name is for messages.
    ///
    /// # Errors
    /// When it is not an array of numbers of the shape `[rows, columns]` or `[rows]`.
    pub fn from_npy(name: &str, bytes: &[u8]) -> Result<Self> {
        let name = shown(Path::new(name));
        arrays::npy(&name, bytes).map_err(|message| Error::input(format!("{name}: {message}")))
    }

    /// True if the path is `-`, the standard input.
    pub fn is_standard_input(path: &Path) -> bool {
        path.as_os_str() == STANDARD_INPUT
    }

    /// True if [`Table::read`] reads this file as NumPy arrays.
    pub fn is_array(path: &Path) -> bool {
        ends_in(path, "npy") || ends_in(path, "npz")
    }
}

fn ends_in(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|other| other.eq_ignore_ascii_case(extension))
}
