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
        let dictionary = dictionary(train, direction)?;
        let (sources, references) = sides(test, direction);
        let words: Vec<String> = sources.iter().map(|text| dictionary.translate(text)).collect();
        Ok(Self { copy: score(&sources, &references)?, dictionary: score(&words, &references)? })
    }
}

/// Least probabilities of a translation among which a dictionary chooses.
const THRESHOLDS: [f32; 6] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5];
/// Every n-th pair is left out to choose the threshold.
const LEFT_OUT: usize = 5;
/// Maximum number of pairs that are left out.
const MAX_LEFT_OUT: usize = 1000;

/// Learns a dictionary from pairs, from the first language to the second if `direction` is 0, and
/// back otherwise. Its threshold is the one that translates a part of the pairs best, by BLEU, with
/// a dictionary that is learned from the others.
///
/// # Errors
/// When there are no pairs.
pub fn dictionary(pairs: &[Pair], direction: usize) -> Result<Dictionary> {
    let (sources, targets) = sides(pairs, direction);
    let every = LEFT_OUT.max(pairs.len() / MAX_LEFT_OUT);
    let own = |(a, b): (&&str, &&str)| ((*a).to_owned(), (*b).to_owned());
    let all: Vec<(String, String)> = sources.iter().zip(&targets).map(own).collect();
    let whole = Dictionary::learn(&all)?;
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for (index, pair) in all.into_iter().enumerate() {
        if (index + 1) % every == 0 { left_out.push(pair) } else { kept.push(pair) }
    }
    let references: Vec<&str> = left_out.iter().map(|(_, target)| &**target).collect();
    let mut best = (f64::NEG_INFINITY, 0.0);
    if !references.is_empty() {
        let mut part = Dictionary::learn(&kept)?;
        for threshold in THRESHOLDS {
            part = part.with_threshold(threshold);
            let words = left_out.iter().map(|(source, _)| part.translate(source));
            let bleu = score(&words.collect::<Vec<_>>(), &references)?.bleu;
            if bleu > best.0 {
                best = (bleu, threshold);
            }
        }
    }
    Ok(whole.with_threshold(best.1))
}

/// Sources and references of pairs, from the first language to the second if `direction` is 0, and
/// back otherwise.
pub fn sides(pairs: &[Pair], direction: usize) -> (Vec<&str>, Vec<&str>) {
    let first = pairs.iter().map(|pair| &*pair.source).collect();
    let second = pairs.iter().map(|pair| &*pair.target).collect();
    if direction == 0 { (first, second) } else { (second, first) }
}
