//! Translation between two languages, learned from sentence pairs.

mod evaluation;
mod network;
mod pairs;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use zor_core::{NetworkBuilder, Rule};
use zor_data::text::{Lexicon, Lexicons, Pair, Translations, Variation, Vocabulary};

use super::parts::presets::{idle_for_tables, idle_for_translation};
use crate::error::{Error, Result, shown};
use crate::report::{Report, Watch};
use crate::settings::{OptimizerName, Options, ScheduleName, Settings};
use crate::task::{
    Data, DataLocation, Evaluation, EvaluationSet, Model, Outcome, Predict, Score, Task,
};
use crate::translation::Translator;
use crate::translation::baselines::dictionary;

/// The task `translation`.
pub static TRANSLATION: TranslationTask = TranslationTask;

/// Metadata key of the vocabulary, a JSON object.
const VOCABULARY: &str = "vocabulary";
/// Metadata key of the lexicons, a JSON array of two objects.
const LEXICONS: &str = "lexicons";
/// Number of lexicons that are learned without a part of the pairs.
const PARTS: usize = 4;
/// Maximum number of words with a translation in the dictionaries of a model.
const WORDS: usize = 5000;

/// Translation of sentences.
#[derive(Debug)]
pub struct TranslationTask;

impl Task for TranslationTask {
    fn name(&self) -> &'static str {
        "translation"
    }

    fn about(&self) -> &'static str {
        "Translate between two languages, both ways (--data PAIRS.tsv --languages A,B)"
    }

    fn networks(&self) -> &'static [&'static str] {
        &["attention"]
    }

    fn commands(&self) -> &'static [&'static str] {
        &["translate"]
    }

    fn preset(&self, given: &Options) -> Settings {
        let rule = match given.rule() {
            crate::settings::RuleName::Classic => Rule { stateful: false, ..Rule::classic() },
            _ => Rule::backprop(),
        };
        Settings {
            rule_settings: rule,
            steps: 3000,
            // Tokens of a batch.
            batch: 2500,
            optimizer: OptimizerName::Muon,
            learning_rate: 0.02,
            momentum: Some(0.95),
            warm_up: 50,
            schedule: ScheduleName::Linear,
            weight_decay: 0.1,
            label_smoothing: 0.1,
            hidden: 192,
            ..Settings::default()
        }
    }

    fn without_effect(&self, _: &Settings) -> Vec<(&'static str, String)> {
        let mut idle = idle_for_tables();
        idle.extend(idle_for_translation());
        for key in ["target", "target_kind", "ignore", "class_balance", "output_activation"] {
            idle.push((key, "the examples are sentence pairs".to_owned()));
        }
        for key in ["train_samples", "samples_per_class", "samples", "hold_out", "baseline"] {
            idle.push((
                key,
                "all pairs are used; give the pairs to evaluate on with --dev".to_owned(),
            ));
        }
        idle
    }

    fn load(&self, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Data> {
        learned(pairs::load(settings, tell)?, settings)
    }

    fn load_continued(
        &self,
        settings: &Settings,
        notes: &BTreeMap<String, String>,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Data> {
        let pairs = pairs::load(settings, tell)?;
        let of_model =
            |message: String| Error::input(format!("the model to start from: {message}"));
        let vocabulary = read_vocabulary(notes).map_err(of_model)?;
        if vocabulary.languages() != pairs.languages {
            return Err(Error::input(format!(
                "the languages of the model are {}, those of the pairs {}; give the columns in the \
                 order of the model",
                vocabulary.languages().join(","),
                pairs.languages.join(",")
            )));
        }
        let lexicons = read_lexicons(notes).map_err(of_model)?;
        data(pairs, Arc::new(vocabulary), lexicons.map(Arc::new), settings)
    }

    fn load_for(&self, model: &Model, place: &DataLocation) -> Result<(Data, Vec<String>)> {
        let settings = place.settings(&model.plan.settings);
        let mut remarks = Vec::new();
        let pairs = pairs::load(&settings, &mut |line| remarks.push(line.to_owned()))?;
        let (vocabulary, lexicons) = (vocabulary(model)?, lexicons(model)?);
        let data = data(pairs, Arc::new(vocabulary), lexicons.map(Arc::new), &settings)?;
        Ok((data, remarks))
    }

    fn evaluation_sets(&self, model: &Model, place: &DataLocation) -> Result<Vec<EvaluationSet>> {
        let (name, examples) = match &place.data {
            Some(path) => {
                let vocabulary = vocabulary(model)?;
                let languages: [String; 2] =
                    vocabulary.languages().to_vec().try_into().map_err(|_| {
                        Error::in_file(&model.path, "its vocabulary has not two languages")
                    })?;
                let pairs = pairs::read(path, &languages)?;
                let lexicons = lexicons(model)?.map(Arc::new);
                let name = shown(path);
                let [a, b] = [&languages[0], &languages[1]];
                let all = Translations::new(&name, pairs, [a, b], Arc::new(vocabulary), lexicons)?;
                (name, Arc::new(all) as Arc<dyn zor_data::Examples>)
            }
            None => {
                let data = self.load_for(model, place)?.0;
                (data.evaluation_name, data.evaluation)
            }
        };
        let (remarks, unit) = (Vec::new(), "sentences");
        Ok(vec![EvaluationSet { name, examples, remarks, left_out: 0, unit }])
    }

    fn network(
        &self,
        settings: &Settings,
        _input: &[usize],
        outputs: usize,
    ) -> Result<NetworkBuilder> {
        network::network(settings, outputs)
    }

    fn evaluate(&self, of: &Evaluation<'_>, predict: &mut Predict<'_>) -> Result<Score> {
        evaluation::evaluate(of, predict)
    }

    fn notes(&self, data: &Data) -> BTreeMap<String, String> {
        let mut notes = BTreeMap::new();
        let examples: &dyn std::any::Any = &*data.train;
        let Some(pairs) = examples.downcast_ref::<Translations>() else { return notes };
        let mut add = |key: &str, text: serde_json::Result<String>| {
            notes.extend(text.ok().map(|text| (key.to_owned(), text)));
        };
        add(VOCABULARY, serde_json::to_string(&**pairs.vocabulary()));
        if let Some(lexicons) = pairs.lexicons() {
            add(LEXICONS, serde_json::to_string(&lexicons.all));
        }
        notes
    }

    fn report(&self, outcome: &Outcome<'_>, watch: &mut dyn Watch, report: &mut Report) {
        evaluation::report(outcome, watch, report);
    }
}

/// Returns pairs to train on and pairs to evaluate on as the data of a training, with a vocabulary
/// and lexicons that are learned from the former. [`zor_data::text::Cleaning`] removes pairs from
/// which nothing can be learned.
///
/// # Errors
/// When there are no pairs to train on or to evaluate on, or they have no text.
pub fn data_of(
    train: Vec<Pair>,
    evaluation: Vec<Pair>,
    languages: [&str; 2],
    settings: &Settings,
) -> Result<Data> {
    for (pairs, aim) in [(&train, "train"), (&evaluation, "evaluate")] {
        if pairs.is_empty() {
            return Err(Error::input(format!("there are no sentence pairs to {aim} on")));
        }
    }
    let (evaluation_name, source) = ("held-out pairs".to_owned(), "the program".to_owned());
    let languages = languages.map(str::to_owned);
    learned(pairs::Pairs { train, evaluation, evaluation_name, languages, source }, settings)
}

/// Makes examples of pairs, with a vocabulary and lexicons that are learned from them.
fn learned(pairs: pairs::Pairs, settings: &Settings) -> Result<Data> {
    let vocabulary = learn_vocabulary(&pairs.train, &pairs.languages, settings)?;
    let lexicons = match settings.translation.lexicon {
        true => {
            let words =
                |direction| Ok::<_, Error>(dictionary(&pairs.train, direction)?.pruned(WORDS));
            let lexicons = Lexicons::learn(&pairs.train, &vocabulary, PARTS)?;
            Some(Arc::new(lexicons.with_words([words(0)?, words(1)?])))
        }
        false => None,
    };
    data(pairs, Arc::new(vocabulary), lexicons, settings)
}

/// Learns the vocabulary of the pairs.
fn learn_vocabulary(
    pairs: &[Pair],
    languages: &[String; 2],
    settings: &Settings,
) -> Result<Vocabulary> {
    let size = match settings.translation.vocabulary {
        0 => usual_size(pairs.len()),
        size => size,
    };
    let sentences = pairs.iter().flat_map(|pair| [&pair.source, &pair.target]);
    Ok(Vocabulary::train(sentences, size, &[&languages[0], &languages[1]])?)
}

/// Number of tokens for a number of pairs: few pairs need tokens that each of them has seen often
/// (Sennrich and Zhang 2019, arXiv 1905.11901, table 2).
fn usual_size(pairs: usize) -> usize {
    (1000 + 30 * pairs.isqrt()).min(4000)
}

/// Makes examples of pairs.
fn data(
    pairs: pairs::Pairs,
    vocabulary: Arc<Vocabulary>,
    lexicons: Option<Arc<Lexicons>>,
    settings: &Settings,
) -> Result<Data> {
    let pairs::Pairs { train, evaluation, evaluation_name, languages, source } = pairs;
    let options = &settings.translation;
    let variation =
        Variation { subword_dropout: options.subword_dropout, restored: options.restored };
    let examples = |name: &str, pairs| {
        let languages = [&*languages[0], &*languages[1]];
        Translations::new(name, pairs, languages, vocabulary.clone(), lexicons.clone())
    };
    let train = examples(&source, train)?.varied(variation);
    let evaluation = examples(&evaluation_name, evaluation)?;
    let outputs = vocabulary.len();
    Ok(Data {
        evaluation_name,
        source,
        unit: "sentences",
        ..Data::new(
            Arc::new(train) as Arc<dyn zor_data::Examples>,
            Arc::new(evaluation) as Arc<dyn zor_data::Examples>,
            outputs,
        )
    })
}

fn read_vocabulary(notes: &BTreeMap<String, String>) -> std::result::Result<Vocabulary, String> {
    let text = notes
        .get(VOCABULARY)
        .ok_or("its metadata has no vocabulary; give a model of the task translation")?;
    serde_json::from_str(text).map_err(|error| format!("its vocabulary is damaged: {error}"))
}

fn read_lexicons(
    notes: &BTreeMap<String, String>,
) -> std::result::Result<Option<Lexicons>, String> {
    let Some(text) = notes.get(LEXICONS) else { return Ok(None) };
    let all: [Lexicon; 2] =
        serde_json::from_str(text).map_err(|error| format!("its lexicons are damaged: {error}"))?;
    Ok(Some(Lexicons::of(all)))
}

impl Translator<'_> {
    /// A translator that owns the network, the vocabulary and the lexicons of a model of the task
    /// `translation`.
    ///
    /// # Errors
    /// When the model has no vocabulary, or its vocabulary or its lexicons are damaged.
    pub fn of_model(model: Model) -> Result<Self> {
        let (vocabulary, lexicons) = (vocabulary(&model)?, lexicons(&model)?);
        let lexicons = lexicons.map(|lexicons| Cow::Owned(lexicons.all));
        Self::of(Cow::Owned(model.network), Cow::Owned(vocabulary), lexicons)
            .map_err(|error| error.at(shown(&model.path)))
    }
}

/// Returns the vocabulary of a model.
///
/// # Errors
/// When the model has none, or it is damaged.
pub fn vocabulary(model: &Model) -> Result<Vocabulary> {
    read_vocabulary(&model.notes).map_err(|message| Error::in_file(&model.path, message))
}

/// Returns the lexicons of a model; `None` if it was trained without.
///
/// # Errors
/// When they are damaged.
pub fn lexicons(model: &Model) -> Result<Option<Lexicons>> {
    read_lexicons(&model.notes).map_err(|message| Error::in_file(&model.path, message))
}

#[cfg(test)]
mod tests {
    use zor_core::Network;
    use zor_core::burn::tensor::Device;

    use super::*;
    use crate::task::Plan;

    fn model(notes: &[(&str, String)]) -> Model {
        let notes = notes.iter().map(|(key, text)| ((*key).to_owned(), text.clone())).collect();
        let network = Network::dense(&[2, 3]).build(&Device::flex()).unwrap();
        Model { network, plan: Plan::of(&TRANSLATION), notes, path: "some.zor".into() }
    }

    #[test]
    fn a_translator_is_made_only_of_a_model_with_its_vocabulary() {
        let vocabulary = Vocabulary::train(["a b", "c d"], 300, &["en", "xx"]).unwrap();
        let vocabulary = serde_json::to_string(&vocabulary).unwrap();
        let cases = [
            (model(&[]), "no vocabulary"),
            (model(&[(VOCABULARY, "{".to_owned())]), "vocabulary is damaged"),
            (model(&[(VOCABULARY, vocabulary.clone()), (LEXICONS, "[]".to_owned())]), "lexicons"),
            (model(&[(VOCABULARY, vocabulary)]), "3 outputs"),
        ];
        for (model, words) in cases {
            let message = Translator::of_model(model).unwrap_err().to_string();
            assert!(message.contains("some.zor") && message.contains(words), "{message}");
        }
    }

    #[test]
    fn there_are_pairs_to_train_on_and_to_evaluate_on() {
        let pairs = vec![Pair { source: "a b".to_owned(), target: "c d".to_owned() }; 2];
        let settings = Plan::of(&TRANSLATION).settings;
        let data = |train, evaluation| data_of(train, evaluation, ["en", "xx"], &settings);
        let refused = |found: Result<Data>| found.unwrap_err().to_string();
        assert!(refused(data(Vec::new(), pairs.clone())).contains("to train on"));
        assert!(refused(data(pairs.clone(), Vec::new())).contains("to evaluate on"));
        assert_eq!(data(pairs.clone(), pairs).unwrap().train.len(), 4);
    }
}
