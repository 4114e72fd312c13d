//! Order of candidates by both directions: the probability of a translation given its source, and
//! that of the source given the translation (Yee, Dauphin and Auli 2019, arXiv 1908.05731).
//!
//! The candidates are the hypotheses of the beam search and the sentence word by word. Omissions
//! and repetitions are probable translations, from which the source cannot be restored.

use zor_data::Batch;
use zor_data::text::{Lexicon, Vocabulary};

use super::beam::{Hypothesis, contains, log_sum};
use super::translator::{Part, Translator};
use crate::error::Result;
use crate::task::sequences;

/// Weight of the source given the translation, relative to the translation given the source; both
/// are the mean logarithm of the probability of a token.
const OF_SOURCE: f64 = 0.6;
/// Number of tokens that are scored together.
const TOGETHER: usize = 2048;

impl Translator<'_> {
    /// Adds the parts word by word to their hypotheses, and orders these by both directions.
    pub(super) fn rerank(
        &self,
        parts: &[&Part],
        found: &mut [Vec<Hypothesis>],
        tag: u32,
    ) -> Result<()> {
        let words = self.lexicon(tag).and_then(Lexicon::words);
        let (mut owners, mut added) = (Vec::new(), Vec::new());
        for (index, part) in parts.iter().enumerate() {
            let Some(words) = words else { break };
            let tokens = self.vocabulary().encode(&words.translate(&part.text));
            // The later parts of a word that is divided have no words.
            let is_new = !tokens.is_empty()
                && found[index].iter().all(|hypothesis| hypothesis.tokens != tokens);
            if is_new && part.terms.iter().all(|term| contains(&tokens, term)) {
                owners.push(index);
                added.push((part.tokens.clone(), tokens));
            }
        }
        let scores = self.log_probabilities(&added, tag)?;
        for ((index, (_, tokens)), log_probability) in owners.into_iter().zip(added).zip(scores) {
            found[index].push(Hypothesis { tokens, log_probability, is_complete: true });
        }
        let mut turned = Vec::new();
        for (part, hypotheses) in parts.iter().zip(&*found) {
            for hypothesis in hypotheses {
                let text = self.vocabulary().decode(&hypothesis.tokens);
                turned.push((self.vocabulary().encode(&text), part.tokens.clone()));
            }
        }
        let mut of_sources = self.log_probabilities(&turned, self.other(tag))?.into_iter();
        for (part, hypotheses) in parts.iter().zip(found) {
            let length = (part.tokens.len() + 1) as f64;
            let score = |hypothesis: Hypothesis| {
                let of_source = of_sources.next().unwrap_or(f64::NEG_INFINITY) / length;
                (hypothesis.score() + OF_SOURCE * of_source, hypothesis)
            };
            let mut scored: Vec<_> = std::mem::take(hypotheses).into_iter().map(score).collect();
            // Hypotheses of equal scores stay in the order of the search.
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            *hypotheses = scored.into_iter().map(|(_, hypothesis)| hypothesis).collect();
        }
        Ok(())
    }

    /// Logarithm of the probability of each translation, its end included, from pairs of the tokens
    /// of a source and of its translation into the language of a tag.
    fn log_probabilities(&self, pairs: &[(Vec<u32>, Vec<u32>)], tag: u32) -> Result<Vec<f64>> {
        let lexicon = self.lexicon(tag);
        let mut found = Vec::with_capacity(pairs.len());
        let mut rest = pairs;
        while !rest.is_empty() {
            let mut tokens = 0;
            let fits = |(source, target): &&(Vec<u32>, Vec<u32>)| {
                tokens += source.len() + target.len();
                tokens <= TOGETHER
            };
            let (some, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            rest = later;
            let mut batch = Batch::default();
            batch.clear_sequences();
            for (source, target) in some {
                batch.push_sequence(tag, source, target, lexicon);
            }
            let outputs = self.network().predict(sequences(&batch)?)?;
            let vocabulary = outputs.dims()[1];
            let logits = zor_core::ops::read(outputs)?;
            let mut rows = logits.chunks_exact(vocabulary);
            for (_, target) in some {
                let tokens = target.iter().copied().chain([Vocabulary::END]);
                let sum = tokens
                    .zip(rows.by_ref())
                    .map(|(token, row)| f64::from(row[token as usize]) - log_sum(row));
                found.push(sum.sum());
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use zor_core::burn::tensor::Device;
    use zor_data::text::{Lexicons, Pair};

    use super::*;
    use crate::task::{Plan, Task};
    use crate::tasks::translation::TRANSLATION;
    use crate::translation::baselines::dictionary;

    #[test]
    fn candidates_are_ordered_by_both_directions_with_the_words_among_them() {
        let pair = |n: usize| Pair {
            source: ["the house is small", "the dog is big", "a house", "the dog"][n % 4]
                .to_owned(),
            target: ["das haus ist klein", "das tier ist groß", "ein haus", "das tier"][n % 4]
                .to_owned(),
        };
        let pairs: Vec<Pair> = (0..12).map(pair).collect();
        let texts = pairs.iter().flat_map(|pair| [&pair.source, &pair.target]);
        let vocabulary = Vocabulary::train(texts, 300, &["en", "de"]).unwrap();
        let words = [0, 1].map(|direction| dictionary(&pairs, direction).unwrap());
        let lexicons = Lexicons::learn(&pairs, &vocabulary, 2).unwrap().with_words(words).all;
        let settings = Plan::of(&TRANSLATION).settings;
        let network = TRANSLATION.network(&settings, &[1], vocabulary.len()).unwrap();
        let network = network.rule(settings.rule_settings).build(&Device::flex()).unwrap();
        let translator = Translator::new(&network, &vocabulary, Some(&lexicons)).unwrap();
        let [source, tag] = [1, 2];
        let part = |text: &str| Part::of(text, vocabulary.encode(text));
        let parts = [part("the house is big"), part("a dog")];
        let all = ["ein", "das tier", "groß klein"].map(|text| vocabulary.encode(text));
        let pairs = all.clone().map(|tokens| (parts[0].tokens.clone(), tokens));
        let scores = translator.log_probabilities(&pairs, tag).unwrap();
        let hypothesis =
            |(tokens, log_probability)| Hypothesis { tokens, log_probability, is_complete: true };
        let mut found = [all.into_iter().zip(scores).map(hypothesis).collect(), Vec::new()];
        translator.rerank(&parts.each_ref(), &mut found, tag).unwrap();
        let words = ["das haus ist groß", "ein tier"].map(|text| vocabulary.encode(text));
        assert_eq!(found.each_ref().map(Vec::len), [4, 1]);
        assert_eq!(found[1][0].tokens, words[1]);
        assert!(found[0].iter().any(|hypothesis| hypothesis.tokens == words[0]));
        let one = |a: &[u32], b: &[u32], tag| {
            let pair = [(a.to_vec(), b.to_vec())];
            translator.log_probabilities(&pair, tag).unwrap()[0] / (b.len() + 1) as f64
        };
        let sums = found[0].iter().map(|hypothesis| {
            let own = one(&parts[0].tokens, &hypothesis.tokens, tag);
            assert!((own - hypothesis.score()).abs() < 1e-5);
            own + OF_SOURCE * one(&hypothesis.tokens, &parts[0].tokens, source)
        });
        assert!(sums.is_sorted_by(|a, b| *a > b - 1e-5));
    }
}
