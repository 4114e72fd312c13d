//! Text for translation: sentence pairs, their cleaning, a vocabulary of subwords, and batches of
//! sentences of similar lengths.

mod cleaning;
mod lengths;
mod lines;
mod merges;
mod normalisation;
mod parallel;
mod subwords;
mod words;

pub use cleaning::{Cleaning, Report};
pub use lengths::LengthBatches;
pub use normalisation::normalised;
pub use parallel::{Columns, Pair, Parallel};
pub use subwords::Vocabulary;

use crate::error::shown;

/// Maximum number of names that a message lists.
const MAX_NAMES: usize = 12;
/// Maximum number of characters of a name in a message.
const MAX_SHOWN: usize = 60;

/// Formats a name for a message: quoted, on one line, and shortened.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("'{}...'", shown(&text[..end])),
        None => format!("'{}'", shown(text)),
    }
}

/// Formats a list of names for a message, shortened if there are many.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names = names.map(quoted);
    let mut list: Vec<String> = names.by_ref().take(MAX_NAMES).collect();
    match names.count() {
        0 => {}
        more => list.push(format!("and {more} more")),
    }
    list.join(", ")
}
