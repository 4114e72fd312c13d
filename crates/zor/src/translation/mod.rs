//! Translation: networks that translate, translation word by word, and scores of translations.

pub mod dictionary;
pub mod score;
pub mod translator;

mod beam;

pub use dictionary::Dictionary;
pub use translator::{Search, Translation, Translator};
