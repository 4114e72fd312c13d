//! Translation: scores of translations, and word dictionaries learned from sentence pairs.

pub mod dictionary;
pub mod lexicon;
pub mod score;

pub use dictionary::Dictionary;
pub use lexicon::Lexicon;
