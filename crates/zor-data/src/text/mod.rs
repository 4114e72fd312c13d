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
