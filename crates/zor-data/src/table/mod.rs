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

/// The message about a row that is longer or shorter than the header.
fn ragged(n_cells: usize, n_columns: usize, delimiter: impl std::fmt::Display) -> String {
    format!(
        "it has {n_cells} cells and the header has {n_columns} columns; add or remove cells, and quote \
         those that contain '{delimiter}'"
    )
}
