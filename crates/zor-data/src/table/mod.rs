//! Tables of numbers and categories, from CSV files.

mod csv;
mod encode;
mod rows;
mod schema;

pub use csv::Table;
pub use encode::WithTarget;
pub use rows::Rows;
pub use schema::{Schema, TargetKind};

use crate::error::shown;

/// Largest number of names that a message lists.
const MAX_NAMES: usize = 12;
/// Largest number of characters of a cell or name that a message shows.
const MAX_SHOWN: usize = 60;

/// A cell or name in quotes for a message: on one line, and shortened.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("'{}...'", shown(&text[..end])),
        None => format!("'{}'", shown(text)),
    }
}

/// Names for a message, shortened when there are many.
fn listed(names: &[String]) -> String {
    let mut list: Vec<String> = names.iter().take(MAX_NAMES).map(|name| quoted(name)).collect();
    if names.len() > MAX_NAMES {
        list.push(format!("and {} more", names.len() - MAX_NAMES));
    }
    list.join(", ")
}
