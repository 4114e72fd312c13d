//! Small data sets for configurations: examples that can be learned, with faults.

use std::sync::Arc;

use zor::data::text::{Pair, Translations, Vocabulary};
use zor::data::{InMemory, Values};
use zor::prelude::*;
use zor::task::Data;

use super::case::{Aim, Case, Fault, Kind};
use crate::paths::text;

/// Fewest examples.
const FEWEST: usize = 128;
/// Sentence pairs.
const PAIRS: usize = 96;
/// Different examples of duplicated inputs.
const DIFFERENT: usize = 4;

/// Training and evaluation examples. Evaluation is on training examples: the question is whether
/// anything is learned, not whether it generalises.
pub(super) fn of(case: &Case) -> Result<Data, String> {
    let mut random = Random::seeded(case.seed ^ 0x5eed);
    if case.kind == Kind::Sequences {
        return sequences(case, &mut random);
    }
    let n = FEWEST.max(case.batch);
    let size: usize = case.input.iter().product();
    let mut inputs: Vec<f32> = (0..n * size).map(|_| random.normal()).collect();
    let different = match case.fault {
        Fault::Constant => 1,
        Fault::Duplicated => DIFFERENT,
        _ => n,
    };
    for row in different..n {
        inputs.copy_within((row % different) * size..(row % different + 1) * size, row * size);
    }
    let targets = targets(case.aim, &inputs, size, &mut random);
    match case.fault {
        Fault::Outliers => {
            for value in &mut inputs {
                *value *= if random.chance(0.01) { 1e4 } else { 1.0 };
            }
        }
        Fault::DeadColumn => inputs.iter_mut().step_by(size).for_each(|value| *value = 0.0),
        _ => {}
    }
    inputs.iter_mut().for_each(|value| *value *= case.scale);
    let outputs = match case.aim {
        Aim::Classes(n) | Aim::Values(n) => n,
        Aim::Reconstruction => size,
    };
    let train = InMemory::new("random", &case.input, inputs, targets).map_err(text)?;
    let train: Arc<dyn zor::data::Examples> = Arc::new(train);
    let few = train.subset(&(0..FEWEST).collect::<Vec<_>>()).map_err(text)?;
    Ok(Data::new(train, few, outputs))
}

/// Targets that a random linear map of the inputs gives.
fn targets(aim: Aim, inputs: &[f32], size: usize, random: &mut Random) -> Values {
    let (Aim::Classes(n) | Aim::Values(n)) = aim else { return Values::default() };
    let map: Vec<f32> = (0..n * size).map(|_| random.normal() / (size as f32).sqrt()).collect();
    let mapped = |row: &[f32]| -> Vec<f32> {
        map.chunks_exact(size).map(|of| of.iter().zip(row).map(|(a, b)| a * b).sum()).collect()
    };
    let rows = inputs.chunks_exact(size).map(mapped);
    match aim {
        Aim::Classes(_) => {
            let largest = |values: Vec<f32>| {
                let best = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
                best.map_or(0, |(class, _)| class as u32)
            };
            Values::Integers(rows.map(largest).collect())
        }
        _ => Values::Numbers(rows.flatten().collect()),
    }
}

/// Sentences of made-up words, whose translation has them in reverse order.
fn sequences(case: &Case, random: &mut Random) -> Result<Data, String> {
    let words = ["ba", "ke", "do", "li", "mu", "sa"];
    let mut pairs = Vec::new();
    for _ in 0..PAIRS {
        let n = 1 + random.below(12);
        let mut sentence: Vec<&str> = (0..n).map(|_| words[random.below(words.len())]).collect();
        let source = sentence.join(" ");
        sentence.reverse();
        pairs.push(Pair { source, target: sentence.join(" ") });
    }
    let texts = pairs.iter().flat_map(|pair| [pair.source.as_str(), pair.target.as_str()]);
    let vocabulary = Vocabulary::train(texts, case.input[0], &["aa", "bb"]).map_err(text)?;
    let outputs = vocabulary.len();
    let train = Translations::new("random", pairs, ["aa", "bb"], Arc::new(vocabulary), None);
    let train: Arc<dyn zor::data::Examples> = Arc::new(train.map_err(text)?);
    Ok(Data::new(train.clone(), train, outputs))
}
