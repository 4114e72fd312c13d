//! Words of a text: the units inside which a vocabulary joins characters.

use std::ops::RangeInclusive;

use unicode_normalization::char::canonical_combining_class;

/// Characters without a combining class that belong to the character before them: joiners, marks
/// around symbols, selectors of a variant, skin tones, and tags of flags.
const MODIFIERS: [RangeInclusive<char>; 5] = [
    '\u{200c}'..='\u{200d}',
    '\u{20d0}'..='\u{20f0}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{1f3fb}'..='\u{1f3ff}',
    '\u{e0020}'..='\u{e007f}',
];
/// Apostrophes, which are part of a word between two letters.
const APOSTROPHES: [char; 2] = ['\'', '\u{2019}'];

/// Iterator over the words of a text. Together they are the text.
///
/// - A space is part of the word after it.
/// - Letters make a word, also with an apostrophe between two of them.
/// - A digit is a word. A space before a digit is a word too, so that each digit has one spelling.
/// - Other characters in a row make a word.
/// - Marks and modifiers belong to the character before them.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    rest: &'a str,
}

/// Kind of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Space,
    Digit,
    Letter,
    Other,
}

/// Returns the words of a text.
pub(super) fn words(text: &str) -> Words<'_> {
    Words { rest: text }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let mut characters = self.rest.char_indices().peekable();
        let mut before = Kind::of(characters.next()?.1);
        let mut end = self.rest.len();
        while let Some((place, character)) = characters.next() {
            if is_modifier(character) {
                continue;
            }
            let next = characters.peek().map(|(_, next)| *next);
            let is_inner = before == Kind::Letter
                && APOSTROPHES.contains(&character)
                && next.is_some_and(|next| Kind::of(next) == Kind::Letter);
            let kind = if is_inner { Kind::Letter } else { Kind::of(character) };
            if separates(before, kind) {
                end = place;
                break;
            }
            before = kind;
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(word)
    }
}

impl Kind {
    fn of(character: char) -> Self {
        match character {
            ' ' => Self::Space,
            _ if character.is_numeric() => Self::Digit,
            _ if character.is_alphabetic() => Self::Letter,
            _ => Self::Other,
        }
    }
}

/// True if a word ends between characters of these kinds.
fn separates(before: Kind, after: Kind) -> bool {
    match (before, after) {
        (_, Kind::Space | Kind::Digit) | (Kind::Digit, _) => true,
        (Kind::Space, _) => false,
        _ => before != after,
    }
}

/// True if a character belongs to the one before it.
fn is_modifier(character: char) -> bool {
    let is_mark = || canonical_combining_class(character) != 0;
    !character.is_ascii() && (MODIFIERS.iter().any(|range| range.contains(&character)) || is_mark())
}

#[cfg(test)]
mod tests {
    use zor_random::Random;

    use super::*;
    use crate::text::normalisation::tests::text;

    fn split(text: &str) -> Vec<&str> {
        words(text).collect()
    }

    #[test]
    fn spaces_belong_to_the_word_after_them() {
        assert_eq!(split(" they go"), [" they", " go"]);
        assert_eq!(split(" a,b (c)."), [" a", ",", "b", " (", "c", ")."]);
        assert_eq!(split(" <b>a</b>"), [" <", "b", ">", "a", "</", "b", ">"]);
        assert!(split("").is_empty());
    }

    #[test]
    fn every_digit_is_a_word() {
        assert_eq!(split(" N210,0"), [" N", "2", "1", "0", ",", "0"]);
        assert_eq!(split(" 2½ ٣५"), [" ", "2", "½", " ", "٣", "५"]);
    }

    #[test]
    fn an_apostrophe_between_letters_is_part_of_the_word() {
        assert_eq!(
            split(" don't ng’ombe 'yan boys' 5's"),
            [" don't", " ng’ombe", " '", "yan", " boys", "'", " ", "5", "'", "s"]
        );
    }

    #[test]
    fn marks_and_modifiers_stay_with_their_character() {
        assert_eq!(split(" ọ\u{301}rọ\u{300} !"), [" ọ\u{301}rọ\u{300}", " !"]);
        assert_eq!(split(" नमस्ते"), [" नमस्ते"]);
        assert_eq!(
            split(" 👩🏽\u{200d}👧a1\u{fe0f}\u{20e3}"),
            [" 👩🏽\u{200d}👧", "a", "1\u{fe0f}\u{20e3}"]
        );
        assert_eq!(split(" \u{301}a"), [" \u{301}a"]);
        assert_eq!(split("مَرْحَبًا، عالم"), ["مَرْحَبًا", "،", " عالم"]);
    }

    #[test]
    fn words_together_are_the_text() {
        let mut random = Random::seeded(6);
        for _ in 0..1_000 {
            let text = text(&mut random, 40);
            assert_eq!(split(&text).concat(), text);
            assert!(split(&text).iter().all(|word| !word.is_empty()));
        }
    }
}
