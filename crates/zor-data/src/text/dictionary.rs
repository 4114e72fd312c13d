//! A dictionary that translates word for word: the baseline that a translation network must beat.
//!
//! It is learned from sentence pairs by IBM model 1, see [`Lexicon`]. Words keep their order.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::text::lexicon::Lexicon;

/// Number of rounds of IBM model 1.
const ROUNDS: usize = 5;
/// Blocks of Unicode with marks that combine with the letter before them.
const MARKS: [(char, char); 5] = [
    ('\u{300}', '\u{36f}'),
    ('\u{1ab0}', '\u{1aff}'),
    ('\u{1dc0}', '\u{1dff}'),
    ('\u{20d0}', '\u{20ff}'),
    ('\u{fe20}', '\u{fe2f}'),
];

/// The most probable translation of each word, learned from sentence pairs.
///
/// ```
/// use zor_data::text::Dictionary;
/// let pairs = [("a cat", "ein Kater"), ("a dog", "ein Hund"), ("the dog", "der Hund")];
/// let dictionary = Dictionary::learn(&pairs.map(|(a, b)| (a.to_owned(), b.to_owned())))?;
/// assert_eq!(dictionary.translate("A dog, 2 birds"), "Ein hund, 2 birds");
/// # Ok::<(), zor_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dictionary {
    /// For each source word in lower case: its translation, the probability, and how often the word
    /// is in the sentences.
    translations: BTreeMap<String, (String, f32, u32)>,
    threshold: f32,
}

impl Dictionary {
    /// Learns from pairs of source and target sentences, without regard to capitals.
    ///
    /// # Errors
    /// When there are no pairs.
    pub fn learn(pairs: &[(String, String)]) -> Result<Self> {
        if pairs.is_empty() {
            return Err(Error::input(
                "there are no sentence pairs to learn from; give at least one",
            ));
        }
        let (mut source, mut target) = (WordTable::default(), WordTable::default());
        let pairs: Vec<(Vec<u32>, Vec<u32>)> = pairs
            .iter()
            .map(|(sentence, translation)| (source.numbers(sentence), target.numbers(translation)))
            .collect();
        let lexicon = Lexicon::learn(&pairs, source.words.len(), target.words.len(), ROUNDS)?;
        let mut counts = vec![0u32; source.words.len()];
        for word in pairs.iter().flat_map(|(source, _)| source) {
            counts[*word as usize] += 1;
        }
        let mut translations = BTreeMap::new();
        for (number, word) in (0..).zip(source.words) {
            if let Some((best, probability)) = lexicon.translations(number).next() {
                let best = target.words[best as usize].clone();
                translations.insert(word, (best, probability, counts[number as usize]));
            }
        }
        Ok(Self { translations, threshold: 0.0 })
    }

    /// Copies words whose translation is less probable than this; at 0, the default, every known
    /// word is replaced. A high threshold suits languages that share many words.
    #[must_use]
    pub fn with_threshold(self, threshold: f32) -> Self {
        Self { threshold, ..self }
    }

    /// Keeps the words that are replaced at the threshold, at most this number of them, the most
    /// frequent ones. Probabilities are rounded to thousandths.
    #[must_use]
    pub fn pruned(mut self, most: usize) -> Self {
        let threshold = self.threshold;
        self.translations.retain(|word, (translation, probability, _)| {
            *probability >= threshold && word != translation
        });
        let mut counts: Vec<u32> = self.translations.values().map(|(.., count)| *count).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        // Words that are as rare as the first one without a place are left out too.
        let rarest = counts.get(most).map_or(0, |count| count + 1);
        self.translations.retain(|_, (.., count)| *count >= rarest);
        for (_, probability, _) in self.translations.values_mut() {
            *probability = (1000.0 * *probability).round() / 1000.0;
        }
        self
    }

    /// Returns the most probable translation of a word in lower case, with its probability.
    pub fn translation(&self, word: &str) -> Option<(&str, f32)> {
        let (translation, probability, _) = self.translations.get(&word.to_lowercase())?;
        Some((translation, *probability))
    }

    /// Translates a sentence word by word. Unknown words, numbers, punctuation and white space are
    /// copied, and capitals are carried over.
    pub fn translate(&self, sentence: &str) -> String {
        let mut translated = String::with_capacity(sentence.len());
        let mut end = 0;
        for range in words(sentence) {
            translated += &sentence[end..range.start];
            end = range.end;
            let word = &sentence[range];
            match self.translation(word) {
                Some((translation, probability))
                    if probability >= self.threshold && word.starts_with(char::is_alphabetic) =>
                {
                    translated += &with_capitals_of(word, translation);
                }
                _ => translated += word,
            }
        }
        translated + &sentence[end..]
    }
}

/// Words with their numbers, in the order of their first use.
#[derive(Default)]
struct WordTable {
    numbers: HashMap<String, u32>,
    words: Vec<String>,
}

impl WordTable {
    /// Numbers of the words and symbols of a sentence. New ones are added.
    fn numbers(&mut self, sentence: &str) -> Vec<u32> {
        let sentence = sentence.to_lowercase();
        let mut numbers = Vec::new();
        let mut end = 0;
        for range in words(&sentence) {
            self.add_symbols(&sentence[end..range.start], &mut numbers);
            end = range.end;
            numbers.push(self.number(&sentence[range]));
        }
        self.add_symbols(&sentence[end..], &mut numbers);
        numbers
    }

    fn add_symbols(&mut self, text: &str, numbers: &mut Vec<u32>) {
        let mut bytes = [0; 4];
        for symbol in text.chars().filter(|symbol| !symbol.is_whitespace()) {
            numbers.push(self.number(symbol.encode_utf8(&mut bytes)));
        }
    }

    fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = self.words.len() as u32;
        self.numbers.insert(word.to_owned(), number);
        self.words.push(word.to_owned());
        number
    }
}

/// Places of the words of a sentence: runs of letters, digits and their marks, with single hyphens
/// and apostrophes inside.
fn words(sentence: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + sentence[at..].find(is_of_word)?;
        let mut characters = sentence[start..].char_indices().peekable();
        at = sentence.len();
        while let Some((place, character)) = characters.next() {
            let joins = matches!(character, '-' | '\'' | '’')
                && characters.peek().is_some_and(|(_, next)| is_of_word(*next));
            if !is_of_word(character) && !joins {
                at = start + place;
                break;
            }
        }
        Some(start..at)
    })
}

fn is_of_word(character: char) -> bool {
    let is_mark = |(first, last): &(char, char)| (*first..=*last).contains(&character);
    character.is_alphanumeric() || character == '_' || MARKS.iter().any(is_mark)
}

/// Returns a word with the capitals of another: all of them, the first, or none.
fn with_capitals_of(source: &str, word: &str) -> String {
    let is_long = source.chars().nth(1).is_some();
    if is_long && source.chars().all(|character| !character.is_lowercase()) {
        let has_case = source.chars().any(char::is_uppercase);
        return if has_case { word.to_uppercase() } else { word.to_owned() };
    }
    let mut rest = word.chars();
    match rest.next() {
        Some(first) if source.starts_with(char::is_uppercase) => {
            first.to_uppercase().chain(rest).collect()
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary() -> Dictionary {
        let pairs = [
            ("the house is small", "das haus ist klein"),
            ("the house is big", "das haus ist groß"),
            ("the book is small", "das buch ist klein"),
            ("the big book", "das groß buch"),
            ("it is small", "es ist klein"),
            ("a book", "ein buch"),
            ("a house", "ein haus"),
            ("a small book", "ein klein buch"),
            ("the year 2019 is big", "das jahr 2020 ist groß"),
        ];
        Dictionary::learn(&pairs.map(|(a, b)| (a.to_owned(), b.to_owned()))).unwrap()
    }

    fn words_of(sentence: &str) -> Vec<&str> {
        words(sentence).map(|range| &sentence[range]).collect()
    }

    #[test]
    fn words_are_replaced_in_place_and_keep_their_capitals() {
        let dictionary = dictionary();
        assert_eq!(dictionary.translate("The house is BIG."), "Das haus ist GROSS.");
        assert_eq!(dictionary.translate("  (a  Book,\tsmall)"), "  (ein  Buch,\tklein)");
        assert_eq!(dictionary.translate(""), "");
    }

    #[test]
    fn unknown_words_numbers_and_punctuation_are_copied() {
        let translated = dictionary().translate("A Boat-House is 2019 … 🚢!");
        assert_eq!(translated, "Ein Boat-House ist 2019 … 🚢!");
    }

    #[test]
    fn improbable_translations_are_copied() {
        let dictionary = dictionary();
        let (translation, probability) = dictionary.translation("House").unwrap();
        assert!(translation == "haus" && probability > 0.4, "{translation} {probability}");
        let copies = dictionary.clone().with_threshold(1.1);
        assert_eq!(copies.translate("the House"), "the House");
        let strict = dictionary.with_threshold(probability);
        assert_eq!(strict.translate("house"), "haus");
    }

    #[test]
    fn a_pruned_dictionary_translates_alike_with_fewer_words() {
        let dictionary = dictionary().with_threshold(0.3);
        let sentence = "The year 2019: a house is small, it is big.";
        let pruned = dictionary.clone().pruned(100);
        assert_eq!(pruned.translate(sentence), dictionary.translate(sentence));
        // "the" and "is" are the most frequent words.
        let two = dictionary.pruned(2);
        assert_eq!(two.translate("the book is"), "das book ist");
        assert_eq!(two.pruned(1).translate("the book"), "the book", "as rare as another");
    }

    #[test]
    fn hyphens_apostrophes_and_marks_inside_a_word_belong_to_it() {
        let sentence = "It's a 'well-known' e\u{301}ko\u{301}, no. 5-star -- l’eau's-";
        let expected = ["It's", "a", "well-known", "e\u{301}ko\u{301}", "no", "5-star", "l’eau's"];
        assert_eq!(words_of(sentence), expected);
        assert!(words_of("¡— !").is_empty());
    }

    #[test]
    fn nothing_is_learned_from_no_pairs() {
        assert!(Dictionary::learn(&[]).unwrap_err().to_string().contains("no sentence pairs"));
    }
}
