//! Tables from files of any kind.

use std::path::Path;

use crate::error::{Error, Result, shown};
use crate::file;
use crate::table::arrays;
use crate::table::csv::Table;

impl Table {
    /// Reads a table from a file: NumPy arrays of numbers if its name ends in `.npy` or `.npz`, CSV
    /// with a header otherwise. The delimiter of CSV (`,`, `;` or tab) is the most frequent one in
    /// the header.
    ///
    /// # Errors
    /// When the file is missing, empty or not UTF-8, has no rows below its header, a row is longer
    /// or shorter than the header, or two columns have the same name or one has none. The message
    /// names file and line. When an array does not have the shape `[rows, columns]` or `[rows]`.
    pub fn read(path: &Path) -> Result<Self> {
        let (name, bytes) = (shown(path), file::read(path)?);
        let table = match () {
            () if ends_in(path, "npy") => arrays::npy(&name, &bytes),
            () if ends_in(path, "npz") => arrays::npz(&name, &bytes),
            () => return Self::parse(&name, &bytes),
        };
        table.map_err(|message| Error::in_file(path, message))
    }

    /// True if [`Table::read`] reads this file as NumPy arrays.
    pub fn is_array(path: &Path) -> bool {
        ends_in(path, "npy") || ends_in(path, "npz")
    }
}

fn ends_in(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|other| other.eq_ignore_ascii_case(extension))
}
