//! Terms whose translation is given.

use std::path::Path;

use zor_data::text::{Columns, Parallel, normalised};

use crate::error::{Error, Result};

/// Terms, each with the translation that it must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glossary {
    /// Terms in lower case, and their translations.
    terms: Vec<(String, String)>,
}

impl Glossary {
    /// Terms with their translations. Upper and lower case of a term are one.
    ///
    /// # Errors
    /// When a term or a translation is empty.
    pub fn new(terms: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut all = Vec::new();
        for (number, (term, translation)) in terms.into_iter().enumerate() {
            let [term, translation] = [term, translation].map(|text| normalised(text.trim()));
            if term.is_empty() || translation.is_empty() {
                return Err(Error::input(format!(
                    "term {} of the glossary has an empty side; each needs a translation",
                    number + 1
                )));
            }
            all.push((term.to_lowercase(), translation));
        }
        Ok(Self { terms: all })
    }

    /// Reads a table with tabs: a term and its translation in each line.
    ///
    /// # Errors
    /// When the file cannot be read, or a line has not two columns.
    pub fn read(path: &Path) -> Result<Self> {
        let pairs = Parallel::read_tsv(path, Columns::Numbers(1, 2))?.pairs;
        let glossary = Self::new(pairs.into_iter().map(|pair| (pair.source, pair.target)));
        glossary.map_err(|error| error.at(crate::shown(path)))
    }

    /// Translations of the terms that occur in a text as whole words. Of terms that overlap, the
    /// longest one counts.
    pub fn translations_in(&self, text: &str) -> Vec<&str> {
        let text = text.to_lowercase();
        let mut found: Vec<(std::ops::Range<usize>, &str)> = Vec::new();
        let mut by_length: Vec<&(String, String)> = self.terms.iter().collect();
        by_length.sort_by_key(|(term, _)| std::cmp::Reverse(term.len()));
        for (term, translation) in by_length {
            for (start, _) in text.match_indices(term.as_str()) {
                let range = start..start + term.len();
                let overlaps = found
                    .iter()
                    .any(|(other, _)| other.start < range.end && range.start < other.end);
                if is_whole(&text, &range) && !overlaps {
                    found.push((range, translation));
                }
            }
        }
        found.sort_by_key(|(range, _)| range.start);
        let mut translations: Vec<&str> = Vec::new();
        for (_, translation) in found {
            if !translations.contains(&translation) {
                translations.push(translation);
            }
        }
        translations
    }
}

/// True if no letter or digit continues a range of a text.
fn is_whole(text: &str, range: &std::ops::Range<usize>) -> bool {
    let before = text[..range.start].chars().next_back();
    let after = text[range.end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glossary(terms: &[(&str, &str)]) -> Glossary {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        Glossary::new(terms.iter().map(own)).unwrap()
    }

    #[test]
    fn whole_words_are_found_and_the_longest_term_counts() {
        let glossary = glossary(&[("bank", "banki"), ("River Bank", "ukingo"), ("é", "e")]);
        assert_eq!(glossary.translations_in("The bank, banks."), ["banki"]);
        assert_eq!(glossary.translations_in("on the river bank"), ["ukingo"]);
        assert_eq!(glossary.translations_in("a BANK on a river bank"), ["banki", "ukingo"]);
        assert_eq!(glossary.translations_in("bank bank"), ["banki"]);
        assert!(glossary.translations_in("café").is_empty());
    }

    #[test]
    fn an_empty_side_is_refused() {
        let error = Glossary::new([("a".to_owned(), " ".to_owned())]).unwrap_err();
        assert!(error.to_string().contains("term 1"), "{error}");
    }
}
