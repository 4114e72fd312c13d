//! Translation: networks that translate, translation word by word, and scores of translations.

pub mod baselines;
pub mod dictionary;
pub mod glossary;
pub mod score;
pub mod translator;

pub(crate) mod beam;
mod kept;

pub use baselines::Baselines;
pub use dictionary::Dictionary;
pub use glossary::Glossary;
pub use translator::{Search, Translation, Translator};
