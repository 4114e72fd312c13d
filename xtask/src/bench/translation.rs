//! Translation: BLEU and chrF on the test pairs of named corpora, in both directions, beside the
//! source itself, a dictionary and a Transformer in PyTorch that is trained for as long; and the
//! time of a training step and of translations beside the same network in PyTorch.
//!
//! Every run is kept with its commit. `--only TEXT` measures the rows whose names contain the text,
//! `--missing` the seeds that are not in the results file.

mod peer;
mod rule;
mod time;
mod training;

use std::fs;
use std::time::Instant;

use serde_json::{Map, Value, json};
use zor::data::text::{Corpus, Pair, Parallel, Translations, corpora};
use zor::prelude::*;
use zor::task::{Data, Plan};
use zor::training::Training;
use zor::translation::baselines::sides;
use zor::translation::score::{TranslationScore, paired_bootstrap, score};
use zor::translation::{Baselines, Search, Translator};

use self::peer::peer;
pub(super) use self::time::memory_of_training;
use super::common::{folder, threads};
use super::peers::reply;
use super::spread::{Spread, mean};
use super::suite::{Keep, Suite, SuiteFilter};
use crate::paths::text;
use crate::results;
use crate::table::Table;

/// Name of this suite.
pub(super) const NAME: &str = "translation";
/// This suite.
pub(crate) const SUITE: Suite = Suite { name: NAME, data: None, peer: Some("torch"), run, figures };

/// Tokens of a batch.
const TOKENS: usize = 2500;
/// Name of the part with times and memory.
const TIME: &str = "time";
/// Name of the part with variants of the rule.
const RULE: &str = "rule";
/// Key of the scores of the test pairs of the corpus.
const TEST: &str = "test";
/// Translations chosen by their own probability alone.
const ONE_WAY: Search = Search { beam: 4, n_best: 1, keeps: true, reranks: false };
/// Samples of a bootstrap.
const SAMPLES: usize = 1000;

/// A corpus with settings and promises.
struct Row {
    name: &'static str,
    corpus: &'static str,
    settings: &'static str,
    seeds: u64,
    /// Minimum of BLEU and chrF from the first language to the second, and of BLEU back, in
    /// hundredths.
    least: [f64; 3],
    /// Whether the Transformer is trained for as long, and three times as long.
    has_peer: bool,
}

impl Row {
    /// Further pairs to test on, from folders of `ZOR_DATA_DIR`.
    fn further_tests(&self) -> Result<Vec<(&'static str, Vec<Pair>)>, String> {
        if self.corpus != "en-swa-free" {
            return Ok(Vec::new());
        }
        let folder = folder("ntrex-en-swa", "the English and Swahili lines of NTREX-128")?;
        let [source, target] = ["newstest2019-src.eng.txt", "newstest2019.swa.txt"];
        let pairs = Parallel::read_lines(&folder.join(source), &folder.join(target));
        Ok(vec![("ntrex", pairs.map_err(text)?.pairs)])
    }
}

/// All rows, cheapest first.
fn rows() -> Vec<Row> {
    let row = |name, corpus, settings| Row {
        name,
        corpus,
        settings,
        seeds: 1,
        least: [0.0; 3],
        has_peer: false,
    };
    let pidgin = "steps = 5700";
    let larger = "steps = 3000";
    vec![
        row("fr-ewe", "fr-ewe", "steps = 3000"),
        row("fr-wol", "fr-wol", "steps = 4000"),
        Row { seeds: 3, least: [31.5, 62.5, 29.2], ..row("en-pcm", "en-pcm", pidgin) },
        Row {
            seeds: 3,
            least: [28.8, 0.0, 0.0],
            ..row("en-pcm, no lexicon", "en-pcm", "steps = 5700\ntranslation.lexicon = false")
        },
        Row { least: [10.1, 0.0, 10.6], has_peer: true, ..row("en-hau", "en-hau", larger) },
        Row { least: [13.5, 0.0, 15.4], has_peer: true, ..row("en-swa", "en-swa", larger) },
        row("en-swa-free", "en-swa-free", larger),
        row("fr-bam", "fr-bam", larger),
    ]
}

fn run(filter: &SuiteFilter, keep: Keep<'_>) -> Result<Value, String> {
    let mut found = Found::default();
    if TIME.contains(&filter.only) {
        found.add(&[TIME], time::measured(filter.peers)?, keep)?;
    }
    if RULE.contains(&filter.only) {
        found.add(&[RULE], rule::measured()?, keep)?;
    }
    for row in rows().into_iter().filter(|row| row.name.contains(&filter.only)) {
        let kept = results::read(NAME).unwrap_or_default();
        let known = kept["rows"][row.name]["runs"].as_array().filter(|_| filter.missing);
        let mut runs = known.cloned().unwrap_or_default();
        let corpus = corpus(row.corpus)?;
        let mut entry = json!({ "without": { TEST: without(&corpus.train, &corpus.test)? } });
        for (name, pairs) in row.further_tests()? {
            entry["without"][name] = without(&corpus.train, &pairs)?;
        }
        for seed in 0..row.seeds {
            if !runs.iter().any(|run| run["seed"] == seed) {
                runs.push(trained(&row, &corpus, seed, filter.peers)?);
            }
            entry["runs"] = json!(runs);
            found.add(&["rows", row.name], entry.clone(), keep)?;
        }
    }
    Ok(found.with_kept())
}

/// What this run has found. Other processes may add other rows to the results file meanwhile.
#[derive(Default)]
struct Found(Vec<(Vec<String>, Value)>);

impl Found {
    fn add(&mut self, key: &[&str], value: Value, keep: Keep<'_>) -> Result<(), String> {
        self.0.push((key.iter().map(|part| (*part).to_owned()).collect(), value));
        keep(&self.with_kept())
    }

    /// The results file with what is found in its places.
    fn with_kept(&self) -> Value {
        let kept = results::read(NAME).unwrap_or_default();
        let mut all =
            json!({ "suite": NAME, "rows": kept["rows"], TIME: kept[TIME], RULE: kept[RULE] });
        for (key, value) in &self.0 {
            let place = key.iter().fold(&mut all, |place, part| &mut place[part]);
            *place = value.clone();
        }
        all
    }
}

fn of(score: TranslationScore) -> Value {
    json!({ "bleu": score.bleu, "chrf": score.chrf })
}

/// Names of the directions: from the first language to the second, and back.
const DIRECTIONS: [&str; 2] = ["there", "back"];

/// Scores of the source itself and of a dictionary, in both directions.
fn without(train: &[Pair], test: &[Pair]) -> Result<Value, String> {
    let mut found = Map::new();
    for (direction, name) in DIRECTIONS.into_iter().enumerate() {
        let Baselines { copy, dictionary } =
            Baselines::measure(train, test, direction).map_err(text)?;
        found.insert(name.to_owned(), json!({ "copy": of(copy), "dictionary": of(dictionary) }));
    }
    Ok(found.into())
}

fn corpus(name: &str) -> Result<Corpus, String> {
    let locations = Locations::from_environment(None);
    corpora::load(name, &locations, &mut |line| println!("{line}")).map_err(text)
}

/// The sentence pairs that a training learns from.
fn pairs_of(data: &Data) -> Result<&Translations, String> {
    let examples: &dyn std::any::Any = &*data.train;
    examples.downcast_ref().ok_or_else(|| "the examples are no pairs".to_owned())
}

/// Plan of a training with the pairs of a corpus.
fn plan_of(corpus: &str, seed: u64, settings: &str) -> Result<Plan, String> {
    let settings =
        format!("task = 'translation'\nseed = {seed}\ntranslation.corpus = '{corpus}'\n{settings}");
    Plan::parse(&settings).map_err(text)
}

/// Loads the pairs of a plan. Pairs are evaluated on the development set; the test set is for the
/// figures.
fn load(plan: &mut Plan) -> Result<Data, String> {
    let data = plan.task.load(&plan.settings, &mut |line| println!("{line}")).map_err(text)?;
    plan.task.fit_settings(&data, &mut plan.settings);
    Ok(data)
}

/// Trains with a seed, and translates the test set.
fn trained(row: &Row, corpus: &Corpus, seed: u64, peers: bool) -> Result<Value, String> {
    println!("\n{}, seed {seed}:", row.name);
    // The tree may change while a long training runs.
    let commit = results::commit();
    let mut plan = plan_of(row.corpus, seed, row.settings)?;
    let data = load(&mut plan)?;
    let trained = training::to_end(row.name, &plan, &data)?;
    let mut found = json!({
        "seed": seed,
        "commit": commit,
        "threads": threads(),
        "steps": trained.steps,
        "train_seconds": trained.train_seconds,
        "parameters": trained.network.n_parameters(),
        "development": trained.evaluation().to_json(),
        "spike_rates": trained.network.spike_rates(),
    });
    let pairs = pairs_of(&data)?;
    let lexicons = pairs.lexicons().map(|lexicons| &lexicons.all);
    let translator =
        Translator::new(&trained.network, pairs.vocabulary(), lexicons).map_err(text)?;
    let (scores, hypotheses) = tested(&translator, &corpus.test, &corpus.languages)?;
    found[TEST] = scores;
    for (name, pairs) in row.further_tests()? {
        found[name] = tested(&translator, &pairs, &corpus.languages)?.0;
    }
    if peers && row.has_peer {
        found["peer"] = compared(row, corpus, &trained, &hypotheses)?;
    }
    Ok(found)
}

/// Translates pairs in both directions. Returns the scores with the seconds, and the translations
/// into the second language.
fn tested(
    translator: &Translator<'_>,
    pairs: &[Pair],
    languages: &[String; 2],
) -> Result<(Value, Vec<String>), String> {
    let (mut all, mut there) = (Map::new(), None);
    for (direction, name) in DIRECTIONS.into_iter().enumerate() {
        let (sources, references) = sides(pairs, direction);
        let start = Instant::now();
        let to = &languages[1 - direction];
        let hypotheses = translate(translator, &sources, to, Search::default())?;
        let seconds = start.elapsed().as_secs_f64();
        let mut scores = of(score(&hypotheses, &references).map_err(text)?);
        scores["seconds"] = seconds.into();
        let one_way = translate(translator, &sources, to, ONE_WAY)?;
        scores["one_way"] = of(score(&one_way, &references).map_err(text)?);
        println!("  {name}: {scores}");
        all.insert(name.to_owned(), scores);
        there.get_or_insert(hypotheses);
    }
    Ok((all.into(), there.unwrap_or_default()))
}

fn translate(
    translator: &Translator<'_>,
    sources: &[&str],
    to: &str,
    search: Search,
) -> Result<Vec<String>, String> {
    let never = &mut || std::ops::ControlFlow::Continue(());
    let found = translator.translate(sources, to, search, never).map_err(text)?;
    let best = found.into_iter().map(|all| all.into_iter().next());
    Ok(best.map(|best| best.map_or_else(String::new, |best| best.text)).collect())
}

/// Trains the Transformer of the peer for the time that Zor took, and for three times as long.
fn compared(
    row: &Row,
    corpus: &Corpus,
    trained: &Training,
    hypotheses: &[String],
) -> Result<Value, String> {
    let (_, references) = sides(&corpus.test, 0);
    let mut all = Map::new();
    for times in [1.0, 3.0] {
        let output = peer::folder(row.corpus)?.join("hypotheses.txt");
        let mut command = peer(row.corpus, corpus, "transformer")?;
        command.args(["--parameters", &trained.network.n_parameters().to_string()]);
        command.args(["--seconds", &(times * trained.train_seconds).to_string()]);
        command.args(["--output", &output.to_string_lossy()]);
        let mut reply = reply(&mut command)?;
        let theirs = fs::read_to_string(&output).map_err(text)?;
        let theirs: Vec<&str> = theirs.lines().collect();
        let bootstrap = paired_bootstrap(hypotheses, &theirs, &references, SAMPLES, 0);
        let bootstrap = bootstrap.map_err(text)?;
        reply["ours_better"] = bootstrap.bleu.a_better.into();
        reply["p_value"] = bootstrap.bleu.p_value.into();
        println!("  Transformer, {times} times as long: {reply}");
        all.insert(format!("{times}"), reply);
    }
    Ok(all.into())
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
fn figures(raw: &Value, table: &mut Table) {
    if !raw[TIME].is_null() {
        time::figures(&raw[TIME], table);
    }
    rule::figures(&raw[RULE], table);
    for row in rows() {
        let entry = &raw["rows"][row.name];
        let runs = entry["runs"].as_array().cloned().unwrap_or_default();
        // A row that is not measured yet has no figures.
        if runs.is_empty() {
            continue;
        }
        let keys = [("there", "bleu"), ("there", "chrf"), ("back", "bleu"), ("back", "chrf")];
        for ((direction, metric), least) in keys.into_iter().zip(row.least.into_iter().chain([0.0]))
        {
            let hundredths = |scores: &Value| 100.0 * scores[metric].as_f64().unwrap_or(f64::NAN);
            let scores = || runs.iter().map(|run| &run[TEST][direction]);
            let found: Vec<f64> = scores().map(hundredths).collect();
            let one_way: Vec<f64> = scores().map(|all| hundredths(&all["one_way"])).collect();
            let one_way = mean(&one_way);
            let dictionary = hundredths(&entry["without"][TEST][direction]["dictionary"]);
            let promised = match least {
                0.0 => "-".to_owned(),
                least => format!("at least {least}"),
            };
            let name = format!("translation of {}: {metric}, {direction}", row.name);
            let Spread { lowest, highest, .. } = Spread::of(&found);
            let measured = format!(
                "{:.2} [{lowest:.2}, {highest:.2}] of {}; one way {one_way:.2}, word by word \
                 {dictionary:.2}",
                mean(&found),
                if found.len() == 1 {
                    "1 seed".to_owned()
                } else {
                    format!("{} seeds", found.len())
                },
            );
            table.add(&name, promised, measured, least == 0.0 || mean(&found) >= least);
        }
    }
}
