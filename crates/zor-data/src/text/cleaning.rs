//! Removal of sentence pairs from which a translation cannot be learned.

use std::collections::HashSet;
use std::fmt;

use crate::text::parallel::Pair;

/// Settings for [`Cleaning::clean`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cleaning {
    /// Drops pairs whose sides are equal.
    pub drops_identical: bool,
    /// Drops a pair after the first one with the same sides.
    pub drops_repeated: bool,
    /// Maximum number of words of a side. Words are separated by white space.
    pub max_words: usize,
    /// Maximum ratio of the longer side to the shorter one, in characters.
    pub max_ratio: f64,
}

impl Default for Cleaning {
    /// Drops identical and repeated pairs, sides of over 200 words, and ratios over 6.
    fn default() -> Self {
        Self { drops_identical: true, drops_repeated: true, max_words: 200, max_ratio: 6.0 }
    }
}

/// Numbers of pairs that were kept and dropped. A dropped pair counts for its first reason, in the
/// order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Pairs that were kept.
    pub kept: usize,
    /// Pairs with an empty side.
    pub empty: usize,
    /// Pairs whose sides are equal.
    pub identical: usize,
    /// Pairs with too many words on a side.
    pub too_long: usize,
    /// Pairs with a side that is much longer than the other.
    pub uneven: usize,
    /// Pairs that repeat an earlier pair.
    pub repeated: usize,
}

impl Cleaning {
    /// Returns the pairs to train on, in their order, and the numbers of kept and dropped pairs.
    pub fn clean(&self, mut pairs: Vec<Pair>) -> (Vec<Pair>, Report) {
        let mut report = Report::default();
        let mut seen = HashSet::new();
        let mut keeps = Vec::with_capacity(pairs.len());
        for pair in &pairs {
            let before = report.kept;
            *self.count(pair, &mut seen, &mut report) += 1;
            keeps.push(report.kept > before);
        }
        drop(seen);
        let mut keeps = keeps.into_iter();
        pairs.retain(|_| keeps.next().unwrap_or(true));
        (pairs, report)
    }

    /// Returns the count of the report that a pair belongs to.
    fn count<'a, 'b>(
        &self,
        pair: &'a Pair,
        seen: &mut HashSet<&'a Pair>,
        report: &'b mut Report,
    ) -> &'b mut usize {
        let sides = [pair.source.trim(), pair.target.trim()];
        let words = |side: &str| side.split_whitespace().count();
        if sides.contains(&"") {
            &mut report.empty
        } else if self.drops_identical && sides[0] == sides[1] {
            &mut report.identical
        } else if sides.into_iter().any(|side| words(side) > self.max_words) {
            &mut report.too_long
        } else if ratio(sides) > self.max_ratio {
            &mut report.uneven
        } else if self.drops_repeated && !seen.insert(pair) {
            &mut report.repeated
        } else {
            &mut report.kept
        }
    }
}

impl Report {
    /// Number of pairs before the cleaning.
    pub fn total(&self) -> usize {
        self.kept + self.empty + self.identical + self.too_long + self.uneven + self.repeated
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pairs, {} kept", self.total(), self.kept)?;
        let dropped = [
            (self.empty, "with an empty side"),
            (self.identical, "with equal sides"),
            (self.too_long, "with too many words"),
            (self.uneven, "with sides of too different lengths"),
            (self.repeated, "repeated"),
        ];
        let mut separator = "; dropped: ";
        for (count, reason) in dropped.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {reason}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// Ratio of the longer side to the shorter one, in characters. No side is empty.
fn ratio(sides: [&str; 2]) -> f64 {
    let [source, target] = sides.map(|side| side.chars().count());
    source.max(target) as f64 / source.min(target) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(source: &str, target: &str) -> Pair {
        Pair { source: source.to_owned(), target: target.to_owned() }
    }

    fn mixed() -> Vec<Pair> {
        vec![
            pair("they go", "dem dey go"),
            pair("", "dem"),
            pair("they", " "),
            pair("radio", "radio"),
            pair("one two three four", "wan tu tri fo"),
            pair("a", "a very long one"),
            pair("they go", "dem dey go"),
            pair("they go", "dem go"),
        ]
    }

    #[test]
    fn each_reason_drops_its_pairs_and_counts_them() {
        let settings = Cleaning { max_words: 3, ..Default::default() };
        let (kept, report) = settings.clean(mixed());
        assert_eq!(kept, [pair("they go", "dem dey go"), pair("they go", "dem go")]);
        let expected =
            Report { kept: 2, empty: 2, identical: 1, too_long: 2, uneven: 0, repeated: 1 };
        assert_eq!((report, report.total()), (expected, 8));
        assert_eq!(
            report.to_string(),
            "8 pairs, 2 kept; dropped: 2 with an empty side, 1 with equal sides, 2 with too many \
             words, 1 repeated"
        );
    }

    #[test]
    fn settings_keep_what_they_allow() {
        let settings = Cleaning {
            drops_identical: false,
            drops_repeated: false,
            max_words: usize::MAX,
            max_ratio: f64::INFINITY,
        };
        let (kept, report) = settings.clean(mixed());
        assert_eq!(kept.len(), 6);
        assert_eq!(report.to_string(), "8 pairs, 6 kept; dropped: 2 with an empty side");
        let (_, report) = Cleaning { max_ratio: 14.9, ..settings }.clean(mixed());
        assert_eq!(report.uneven, 1);
        let (_, report) = Cleaning { max_ratio: 15.0, ..settings }.clean(mixed());
        assert_eq!(report.uneven, 0);
    }

    #[test]
    fn a_second_cleaning_changes_nothing() {
        let (kept, _) = Cleaning::default().clean(mixed());
        let (again, report) = Cleaning::default().clean(kept.clone());
        assert_eq!((&again, report.kept, report.total()), (&kept, kept.len(), kept.len()));
        assert_eq!(Cleaning::default().clean(Vec::new()).1.to_string(), "0 pairs, 0 kept");
    }
}
