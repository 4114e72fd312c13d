//! Evaluation of translations: BLEU and chrF of both directions, and the probability of references.

use std::ops::ControlFlow;

use zor_core::{ErrorMetrics, ops, step};
use zor_data::text::Translations;

use crate::error::{Error, Result};
use crate::report::{Report, Row, Watch};
use crate::task::{Evaluation, Figure, Outcome, Predict, Score, Unit, in_batches, sequences};
use crate::translation::baselines::{Baselines, sides};
use crate::translation::beam::log_sum;
use crate::translation::score::{TranslationScore, score};
use crate::translation::{Search, Translator};

/// Sentences of a batch.
const BATCH: usize = 32;
/// Number of pairs that a glance during a training translates.
const GLANCE: usize = 25;
/// Number of examples whose references a glance reads.
const READ: usize = 100;

/// Translates the sources of pairs in both directions, and compares with the other side.
pub(super) fn evaluate(of: &Evaluation<'_>, predict: &mut Predict<'_>) -> Result<Score> {
    let examples: &dyn std::any::Any = of.examples;
    let pairs = examples
        .downcast_ref::<Translations>()
        .ok_or_else(|| Error::input("translation is evaluated on sentence pairs"))?;
    let (perplexity, deviation) = probability(of, predict)?;
    let mut figures = Vec::new();
    if let Some(network) = of.network {
        let lexicons = pairs.lexicons().map(|lexicons| &lexicons.all);
        let translator = Translator::new(network, pairs.vocabulary(), lexicons)?;
        let number = if of.is_glance { GLANCE } else { pairs.pairs().len() };
        let some = &pairs.pairs()[..number.min(pairs.pairs().len())];
        let beam = if of.is_glance { 1 } else { of.settings.translation.beam };
        for (direction, ending) in ["", "_back"].into_iter().enumerate() {
            let (sources, references) = sides(some, direction);
            let to = &pairs.vocabulary().languages()[1 - direction];
            let search = Search { beam, ..Search::default() };
            let found =
                translator.translate(&sources, to, search, &mut || ControlFlow::Continue(()))?;
            let hypotheses: Vec<&str> =
                found.iter().map(|best| best.first().map_or("", |best| &best.text)).collect();
            figures.extend(both(ending, &score(&hypotheses, &references)?));
        }
    }
    figures.push(
        Figure::new("perplexity", "perplexity", perplexity, Unit::Number).smaller_is_better(),
    );
    Ok(Score { figures, deviation, confusion: None, samples: of.examples.len() })
}

fn both(ending: &str, score: &TranslationScore) -> [Figure; 2] {
    let label = |name: &str| match ending {
        "" => name.to_owned(),
        _ => format!("{name} back"),
    };
    [("bleu", "BLEU", score.bleu), ("chrf", "chrF", score.chrf)].map(|(name, shown, value)| {
        let name = format!("{name}{ending}");
        Figure::new(&name, &label(shown), value, Unit::Hundredths)
    })
}

/// Perplexity of the references' tokens, each after those before it, and the errors of the
/// probabilities.
fn probability(of: &Evaluation<'_>, predict: &mut Predict<'_>) -> Result<(f64, ErrorMetrics)> {
    let number = if of.is_glance { READ.min(of.examples.len()) } else { of.examples.len() };
    let part = of.examples.subset(&(0..number).collect::<Vec<_>>())?;
    let (mut sum, mut tokens) = (0.0, 0);
    let mut deviation = ErrorMetrics::default();
    for batch in in_batches(&*part, BATCH) {
        let classes: Vec<usize> =
            batch.targets.integers().iter().map(|class| *class as usize).collect();
        let output = predict(sequences(&batch)?.into())?;
        let vocabulary = output.dims()[1];
        let logits = ops::read(output.clone())?;
        for (row, class) in logits.chunks_exact(vocabulary).zip(&classes) {
            sum += log_sum(row) - f64::from(row[*class]);
        }
        tokens += classes.len();
        deviation += step::top_signal(classes.into(), output)?.1;
    }
    Ok(((sum / f64::from(tokens.max(1) as u32)).exp(), deviation))
}

/// Adds copying and a dictionary as baselines.
pub(super) fn report(outcome: &Outcome<'_>, _: &mut dyn Watch, report: &mut Report) {
    let (train, evaluation): (&dyn std::any::Any, &dyn std::any::Any) =
        (&*outcome.data.train, &*outcome.data.evaluation);
    let (Some(train), Some(evaluation)) =
        (train.downcast_ref::<Translations>(), evaluation.downcast_ref::<Translations>())
    else {
        return;
    };
    let (mut copied, mut translated) = (Vec::new(), Vec::new());
    for (direction, ending) in ["", "_back"].into_iter().enumerate() {
        let found = Baselines::measure(train.pairs(), evaluation.pairs(), direction);
        let Ok(Baselines { copy, dictionary }) = found else { return };
        copied.extend(both(ending, &copy));
        translated.extend(both(ending, &dictionary));
    }
    let rows = [("the source itself", "copy", copied), ("word by word", "dictionary", translated)];
    for (name, key, figures) in rows {
        let (name, key) = (name.to_owned(), key.to_owned());
        report.rows.push(Row { name, key, figures, ..Row::default() });
    }
}
