//! The tokenizer `13a` of BLEU, named after version 13a of the script `mteval` by NIST.
//!
//! It separates punctuation of ASCII from words. It keeps apostrophes, hyphens between letters, and
//! the points and commas inside numbers. Other scripts are split at white space only.

use super::is_space;

/// Escapes of markup, replaced in this order.
const ENTITIES: [(&str, &str); 4] =
    [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")];

/// Splits a sentence into its tokens, joined by single spaces.
pub fn tokenize_13a(sentence: &str) -> String {
    let mut text = sentence.trim_end_matches(is_space).replace("<skipped>", "");
    text = text.replace("-\n", "").replace('\n', " ");
    if text.contains('&') {
        for (entity, character) in ENTITIES {
            text = text.replace(entity, character);
        }
    }
    let spaced = isolate_symbols(&text);
    let spaced = separate(&spaced, Side::Before);
    let spaced = separate(&spaced, Side::After);
    let spaced = separate_dashes(&spaced);
    let spaced: String = spaced.into_iter().collect();
    let tokens: Vec<&str> = spaced.split(is_space).filter(|token| !token.is_empty()).collect();
    tokens.join(" ")
}

/// Side of a point or comma on which a digit keeps it in a number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// Puts spaces around symbols of ASCII except `'`, `,`, `-` and `.`, and around the sentence.
fn isolate_symbols(text: &str) -> Vec<char> {
    let mut spaced = vec![' '];
    for character in text.chars() {
        let kept = matches!(character, '\'' | ',' | '-' | '.');
        if character == ' ' || character.is_ascii_punctuation() && !kept {
            spaced.extend([' ', character, ' ']);
        } else {
            spaced.push(character);
        }
    }
    spaced.push(' ');
    spaced
}

/// Puts spaces around points and commas that have no digit on one side. Pairs of characters are
/// taken from left to right and do not overlap.
fn separate(text: &[char], side: Side) -> Vec<char> {
    let is_mark = |character: char| matches!(character, '.' | ',');
    let mut spaced = Vec::with_capacity(text.len() + text.len() / 4);
    let mut rest = text;
    while let [first, more @ ..] = rest {
        rest = more;
        let [second, after @ ..] = more else {
            spaced.push(*first);
            break;
        };
        match side {
            Side::Before if !first.is_ascii_digit() && is_mark(*second) => {
                spaced.extend([*first, ' ', *second, ' ']);
                rest = after;
            }
            Side::After if is_mark(*first) && !second.is_ascii_digit() => {
                spaced.extend([' ', *first, ' ', *second]);
                rest = after;
            }
            _ => spaced.push(*first),
        }
    }
    spaced
}

/// Puts spaces around dashes that follow a digit.
fn separate_dashes(text: &[char]) -> Vec<char> {
    let mut spaced = Vec::with_capacity(text.len());
    let mut follows_digit = false;
    for &character in text {
        match character {
            '-' if follows_digit => spaced.extend([' ', '-', ' ']),
            _ => spaced.push(character),
        }
        follows_digit = character.is_ascii_digit();
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected tokens are those of sacreBLEU 2.6.0:
    /// `sacrebleu.metrics.BLEU().tokenizer(sentence.rstrip())`.
    #[test]
    fn tokens_equal_those_of_sacrebleu() {
        let cases = [
            ("Hello, world.", "Hello , world ."),
            ("It's 3.14, or 1,000.50-ish...", "It's 3.14 , or 1,000.50 - ish . . ."),
            ("well-known 5-star no.7 7.no", "well-known 5 - star no . 7 7 . no"),
            ("&quot;a&quot; &amp;lt; &lt;b&gt; &apos;", "\" a \" < < b > & apos ;"),
            ("a<skipped>b x-\ny z\n", "ab xy z"),
            (
                "[x] {y} ~z` ^_| a/b\\c @d $5 50% #1 *",
                "[ x ] { y } ~ z ` ^ _ | a / b \\ c @ d $ 5 50 % # 1 *",
            ),
            ("«Ẹ́ kú», 中文。٣.٥ ५,५", "«Ẹ́ kú» , 中文。٣ . ٥ ५ , ५"),
            ("a\u{a0}b\u{1f}c\u{200b}d\u{85}e", "a b c\u{200b}d e"),
            (".,.,", ". , . ,"),
            ("1.", "1 ."),
            ("", ""),
            ("   ", ""),
        ];
        for (sentence, tokens) in cases {
            assert_eq!(tokenize_13a(sentence), tokens, "{sentence:?}");
        }
    }
}
