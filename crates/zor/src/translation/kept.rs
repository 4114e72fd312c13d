//! Numbers and addresses, which a translation takes over as they are.

use std::collections::HashSet;

/// Smallest number of digits of a number that must be kept. A single digit is often a word in
/// another language.
const MIN_DIGITS: usize = 2;

/// Numbers and addresses of a text that are not in its translation. Separators inside a number may
/// differ, so 1,000 is in a translation that has 1.000.
pub(super) fn missing<'a>(text: &'a str, translation: &str) -> Vec<&'a str> {
    let mut there: HashSet<String> = kept_parts(translation).into_iter().map(essence).collect();
    kept_parts(text).into_iter().filter(|part| there.insert(essence(part))).collect()
}

/// Addresses, and the numbers of all other words, in their order.
fn kept_parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for word in text.split_whitespace() {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '@' | '/'));
        match is_address(word) {
            true => parts.push(word),
            false => parts.extend(numbers(word)),
        }
    }
    parts
}

/// True for addresses of pages and of mail, and for names such as `@zor`.
fn is_address(word: &str) -> bool {
    let at = word.find('@').is_some_and(|at| word[at + 1..].starts_with(char::is_alphanumeric));
    at || word.contains("://") || word.starts_with("www.")
}

/// Runs of digits with single separators inside, with enough digits.
fn numbers(word: &str) -> impl Iterator<Item = &str> {
    let is_digit = |c: char| c.is_ascii_digit();
    let mut rest = word;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(is_digit)?;
            let mut end = start;
            let mut characters = rest[start..].char_indices().peekable();
            while let Some((place, c)) = characters.next() {
                let next_is_digit = characters.peek().is_some_and(|(_, next)| is_digit(*next));
                let joins = matches!(c, '.' | ',' | ':' | '/') && next_is_digit;
                if !(is_digit(c) || joins) {
                    break;
                }
                end = start + place + c.len_utf8();
            }
            let number = &rest[start..end];
            rest = &rest[end..];
            if number.chars().filter(|c| is_digit(*c)).count() >= MIN_DIGITS {
                return Some(number);
            }
        }
    })
}

/// What must be equal: the digits of a number, or an address as it is.
fn essence(part: &str) -> String {
    match is_address(part) {
        true => part.to_owned(),
        false => part.chars().filter(char::is_ascii_digit).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_found() {
        let text = "On 12/05/2019, 1,000 (or 3.5%) of 7 wrote to a@b.org; see https://b.org/x!";
        let expected = ["12/05/2019", "1,000", "3.5", "a@b.org", "https://b.org/x"];
        assert_eq!(kept_parts(text), expected);
        assert_eq!(
            kept_parts("www.zor.org @zor COVID-19 10km 5 . , 1."),
            ["www.zor.org", "@zor", "19", "10"]
        );
        assert!(kept_parts("no @ number 1 ... ٣").is_empty());
    }

    #[test]
    fn what_a_translation_lacks_is_missing_once() {
        assert_eq!(missing("1,000 and 20 and 20", "1.000"), ["20"]);
        assert!(missing("20 und 1,000", "1 20 1000").is_empty());
        assert!(missing("", "20").is_empty());
    }
}
