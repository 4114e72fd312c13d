//! Tables of numbers and categories, from CSV files and NumPy arrays.

mod arrays;
mod csv;
mod encode;
mod features;
mod read;
mod records;
mod rows;
mod schema;
pub mod series;

pub use csv::Table;
pub use encode::WithTarget;
pub use features::{CLIP, Coding, Features, RowEncoder};
pub use records::{Record, Records};
pub use rows::Rows;
pub use schema::{Schema, TargetKind};

use crate::error::shown;

/// Maximum number of names that a message lists.
const MAX_NAMES: usize = 12;
/// Maximum number of characters of a cell or name in a message.
const MAX_SHOWN: usize = 60;

/// Formats a cell or name for a message: quoted, on one line, and shortened.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("'{}...'", shown(&text[..end])),
        None => format!("'{}'", shown(text)),
    }
}

/// Formats a list of names for a message, shortened if there are many.
fn listed(names: &[String]) -> String {
    let mut list: Vec<String> = names.iter().take(MAX_NAMES).map(|name| quoted(name)).collect();
    if names.len() > MAX_NAMES {
        list.push(format!("and {} more", names.len() - MAX_NAMES));
    }
    list.join(", ")
}

/// The message about a row that is longer or shorter than the header.
fn ragged(n_cells: usize, n_columns: usize, delimiter: impl std::fmt::Display) -> String {
    format!(
        "it has {n_cells} cells and the header has {n_columns} columns; add or remove cells, and quote \
         those that contain '{delimiter}'"
    )
}
