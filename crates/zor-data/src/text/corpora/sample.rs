//! The sample inside this crate: 500 sentence pairs of TICO-19 in English and Swahili.
//!
//! The sample is made from the 3,071 pairs of the archive `data/TM/all.en-sw.tmx.zip` at commit
//! d97615f9cffa28ec7de571e00fbd513e5a1c7fc7 of <https://github.com/tico-19/tico-19.github.io>:
//! pairs 1, 7, 13, ..., 2995 in their normal form, one file of lines per language, compressed by
//! gzip. All of them are also development or test pairs of the corpus `en-swa-free`.

use flate2::read::GzDecoder;

use crate::error::Result;
use crate::text::corpora::Corpus;
use crate::text::parallel::Parallel;

static ENGLISH: &[u8] = include_bytes!("../../../sample/tico-19.en.gz");
static SWAHILI: &[u8] = include_bytes!("../../../sample/tico-19.sw.gz");

/// Loads the sample inside this crate: 400 training pairs, 50 development pairs and 50 test pairs.
/// Of each ten pairs, the ninth is for development and the tenth for the test.
///
/// # Errors
/// Only if the crate was built from damaged files.
pub fn sample() -> Result<Corpus> {
    let sources = ("the English sample inside zor-data", GzDecoder::new(ENGLISH));
    let targets = ("the Swahili sample inside zor-data", GzDecoder::new(SWAHILI));
    let (mut train, mut dev, mut test) = (Vec::new(), Vec::new(), Vec::new());
    for (index, pair) in Parallel::parse_lines(sources, targets)?.pairs.into_iter().enumerate() {
        match index % 10 {
            8 => dev.push(pair),
            9 => test.push(pair),
            _ => train.push(pair),
        }
    }
    Ok(Corpus {
        train,
        dev,
        test,
        languages: ["en", "swa"].map(str::to_owned),
        name: "sample".to_owned(),
        source: "the sample of 500 sentence pairs that comes with Zor".to_owned(),
        licence: "CC0 1.0: no conditions.",
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::fetch::digest::digest_of;
    use crate::text::corpora::tests::at_hand;

    #[test]
    fn the_sample_is_the_one_that_was_made() {
        for (bytes, expected) in [
            (ENGLISH, "642c6083eb1dbb9ca53e19be7567cdf33754a59fab86d8e6475fbcda6914abee"),
            (SWAHILI, "c3ec1620e11d994a24b100a25e344d05e2bc66340b2a7c806fa5308fa7f4f6ed"),
        ] {
            assert_eq!(digest_of(bytes).unwrap(), expected);
        }
        assert!(ENGLISH.len() + SWAHILI.len() <= 70_000);
    }

    #[test]
    fn the_sample_has_400_50_and_50_different_pairs() {
        let sample = sample().unwrap();
        let sizes = [&sample.train, &sample.dev, &sample.test].map(Vec::len);
        assert_eq!(sizes, [400, 50, 50]);
        let all = [&sample.train[..], &sample.dev, &sample.test].concat();
        assert_eq!(all.iter().map(|pair| &pair.source).collect::<HashSet<_>>().len(), 500);
        assert!(all.iter().all(|pair| !pair.source.is_empty() && !pair.target.is_empty()));
        assert_eq!(sample.train[0].source, "about how long have these symptoms been going on?");
        assert!(sample.train[0].target.starts_with("je, dalili hizi zimekuwa zikiendelea"));
    }

    #[test]
    fn the_sample_is_every_sixth_pair_of_tico_19() {
        let Some(free) = at_hand("en-swa-free") else { return };
        let all = free.dev.into_iter().chain(free.test);
        let expected: Vec<_> = all.step_by(6).take(500).collect();
        let sample = sample().unwrap();
        for (index, pair) in expected.iter().enumerate() {
            let (tens, ones) = (index / 10, index % 10);
            let found = match ones {
                8 => &sample.dev[tens],
                9 => &sample.test[tens],
                _ => &sample.train[8 * tens + ones],
            };
            assert_eq!(found, pair);
        }
    }
}
