//! Text for translation: sentence pairs and named corpora of them, their cleaning, a vocabulary of
//! subwords, and batches of sentences of similar lengths.

mod cleaning;
pub mod corpora;
mod dictionary;
mod lengths;
mod lexicon;
mod lines;
mod merges;
mod normalisation;
mod parallel;
mod subwords;
mod translations;
mod words;

pub use cleaning::{Cleaning, Report};
pub use corpora::Corpus;
pub use dictionary::Dictionary;
pub use lengths::LengthBatches;
pub use lexicon::{Lexicon, MIN_PROBABILITY};
pub use normalisation::normalised;
pub use parallel::{Columns, Pair, Parallel};
pub use subwords::Vocabulary;
pub use translations::{Lexicons, Suggestions, Translations, Variation};
