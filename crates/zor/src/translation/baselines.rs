//! Translations without a network: the source itself, and a dictionary word by word.

use zor_data::text::Pair;

use super::Dictionary;
use super::score::{TranslationScore, score};
use crate::Result;

/// Scores that a network must beat in one direction.
#[derive(Clone, Debug)]
pub struct Baselines {
    /// The source as its own translation.
    pub copy: TranslationScore,
    /// The most probable translation of each word, see [`Dictionary`].
    pub dictionary: TranslationScore,
}

impl Baselines {
    /// Learns a dictionary from pairs and scores it on others, from the first language to the
    /// second if `direction` is 0, and back otherwise.
    ///
    /// # Errors
    /// When one of the two sets has no pairs.
    pub fn measure(train: &[Pair], test: &[Pair], direction: usize) -> Result<Self> {
        let (from, to) = sides(train, direction);
        let own = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
        let dictionary = Dictionary::learn(&from.into_iter().zip(to).map(own).collect::<Vec<_>>())?;
        let (sources, references) = sides(test, direction);
        let words: Vec<String> = sources.iter().map(|text| dictionary.translate(text)).collect();
        Ok(Self { copy: score(&sources, &references)?, dictionary: score(&words, &references)? })
    }
}

/// Sources and references of pairs, from the first language to the second if `direction` is 0, and
/// back otherwise.
pub fn sides(pairs: &[Pair], direction: usize) -> (Vec<&str>, Vec<&str>) {
    let first = pairs.iter().map(|pair| &*pair.source).collect();
    let second = pairs.iter().map(|pair| &*pair.target).collect();
    if direction == 0 { (first, second) } else { (second, first) }
}
