//! Text in one form: composed characters, single spaces, no control characters.
//!
//! The composition is form NFC of Unicode Standard Annex 15. Without it, a letter with marks has
//! several spellings, and a vocabulary counts them as different letters.

use unicode_normalization::UnicodeNormalization;

/// Byte order mark. Files that were joined have it inside the text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Returns a text in its normal form.
///
/// - Runs of white space become one space. White space at the start and the end is removed.
/// - Other control characters and byte order marks are removed.
/// - Characters are composed (NFC): a letter and its marks become one character where there is one.
///
/// The normal form of a normal form is itself.
///
/// ```
/// use zor_data::text::normalised;
/// assert_eq!(normalised("\u{feff} o\u{301}  ni\u{7}\t"), "\u{f3} ni");
/// ```
pub fn normalised(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut follows_space = false;
    for character in text.chars() {
        if character.is_whitespace() {
            follows_space = true;
        } else if !character.is_control() && character != BYTE_ORDER_MARK {
            if follows_space && !plain.is_empty() {
                plain.push(' ');
            }
            follows_space = false;
            plain.push(character);
        }
    }
    // Composition comes last: a control character may have stood between a letter and its mark.
    plain.nfc().collect()
}

/// True if a text has a control character other than a tab.
pub(super) fn has_controls(text: &str) -> bool {
    text.chars().any(|character| character.is_control() && character != '\t')
}

#[cfg(test)]
pub(super) mod tests {
    use zor_random::Random;

    use super::*;

    /// Draws a text with characters of all kinds: letters of several scripts, marks, digits, white
    /// space, controls, emoji, and any other character.
    pub(crate) fn text(random: &mut Random, max_length: usize) -> String {
        const KINDS: [&str; 6] = [
            "abcdefghijklmnop",
            "  \t\u{a0}\u{3000}\u{2028}",
            "\u{301}\u{323}\u{308}\u{64b}\u{94d}\u{200d}\u{fe0f}",
            "0123456789٣५",
            ".,'’<>/&\"-…\u{7}\u{0}\u{9d}\u{feff}",
            "ẹọ́éɖŋשלוםمرحباनमस्ते你好👩👧🏽🇳🇬한",
        ];
        (0..random.below(max_length + 1))
            .map(|_| match random.below(8) {
                kind if kind < KINDS.len() => {
                    let characters: Vec<char> = KINDS[kind].chars().collect();
                    characters[random.below(characters.len())]
                }
                6 => 'a',
                _ => char::from_u32(random.below(0x11_0000) as u32).unwrap_or('x'),
            })
            .collect()
    }

    #[test]
    fn white_space_becomes_single_spaces_and_controls_vanish() {
        assert_eq!(normalised(" a\t\u{a0}b\u{3000}\r\nc\u{85}"), "a b c");
        assert_eq!(normalised("a\u{0}b\u{9d} \u{1b} c"), "ab c");
        assert_eq!(normalised("\u{feff}a\u{feff}b"), "ab");
        assert_eq!(normalised(" \u{7} "), "");
    }

    #[test]
    fn letters_and_marks_are_composed() {
        assert_eq!(normalised("e\u{323}\u{301}"), "\u{1eb9}\u{301}");
        assert_eq!(normalised("e\u{301}\u{323}"), "\u{1eb9}\u{301}");
        assert_eq!(normalised("\u{1112}\u{1161}\u{11ab}"), "한");
        assert_eq!(normalised("e\u{7}\u{301}"), "é");
    }

    #[test]
    fn a_normal_form_stays_as_it_is() {
        let mut random = Random::seeded(3);
        for _ in 0..2_000 {
            let text = normalised(&text(&mut random, 40));
            assert_eq!(normalised(&text), text);
            assert!(!text.contains("  ") && !has_controls(&text) && text.trim() == text);
        }
    }

    #[test]
    fn tabs_and_spaces_are_no_controls() {
        assert!(!has_controls("a\tb \u{a0}\u{2028}"));
        assert!(has_controls("a\u{9d}") && has_controls("a\rb") && has_controls("\u{0}"));
    }
}
