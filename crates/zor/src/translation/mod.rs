//! Translation: networks that translate, translation word by word, and scores of translations.

pub mod baselines;
pub mod glossary;
pub mod score;
pub mod translator;

pub(crate) mod beam;
mod kept;
mod reranking;

pub use baselines::Baselines;
pub use glossary::Glossary;
pub use translator::{Search, Translation, Translator};
pub use zor_data::text::Dictionary;
