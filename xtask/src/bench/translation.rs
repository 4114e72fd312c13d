//! Translation: BLEU and chrF on the test pairs of named corpora, in both directions, beside the
//! source itself, a dictionary and a Transformer in PyTorch that is trained for as long; and the
//! time of a training step and of translations beside the same network in PyTorch.
//!
//! Every run is kept with its commit. `--only TEXT` measures the rows whose names contain the text,
//! `--missing` the seeds that are not in the results file.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, Value, json};
use zor::data::text::{Corpus, Translations, corpora};
use zor::data::{Batches, Order};
use zor::prelude::*;
use zor::task::{Data, Plan};
use zor::training::{Method, Training};
use zor::translation::score::{TranslationScore, paired_bootstrap, score};
use zor::translation::{Dictionary, Search, Translator};

use super::common::{threads, train_to_end};
use super::peers;
use super::spread::{Spread, mean};
use super::suite::{Keep, Suite, SuiteFilter};
use crate::paths::{root, text};
use crate::results;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite =
    Suite { name: "translation", data: None, peer: Some("torch"), run, figures };

const SCRIPT: &str = "translation.py";
/// Rounds in which Zor and the peer take turns.
const ROUNDS: usize = 5;
/// Steps of a round.
const STEPS: u64 = 12;
/// Tokens of a batch.
const TOKENS: usize = 2500;
/// Maximum time of a training step, relative to PyTorch.
const MAX_TIME: f64 = 0.85;
/// Name of the row with the times.
const TIME: &str = "time";
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
    let larger = "steps = 12000";
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
    let kept = results::read("translation").unwrap_or_default();
    let mut all = kept["rows"].as_object().cloned().unwrap_or_default();
    let mut time = kept[TIME].clone();
    let object = |rows: &Map<String, Value>, time: &Value| json!({ "suite": "translation", "rows": rows, TIME: time });
    if TIME.contains(&filter.only) {
        time = times(filter.peers)?;
        keep(&object(&all, &time))?;
    }
    for row in rows().into_iter().filter(|row| row.name.contains(&filter.only)) {
        let known = kept["rows"][row.name]["runs"].as_array().filter(|_| filter.missing);
        let mut runs = known.cloned().unwrap_or_default();
        let locations = Locations::from_environment(None);
        let corpus = corpora::load(row.corpus, &locations, &mut |line| println!("{line}"));
        let corpus = corpus.map_err(text)?;
        let mut entry = json!({ "without": without(&corpus)? });
        for seed in 0..row.seeds {
            if !runs.iter().any(|run| run["seed"] == seed) {
                runs.push(trained(&row, &corpus, seed, filter.peers)?);
            }
            entry["runs"] = json!(runs);
            all.insert(row.name.to_owned(), entry.clone());
            keep(&object(&all, &time))?;
        }
    }
    Ok(object(&all, &time))
}

/// Sources and references of a direction.
fn sides(corpus: &Corpus, direction: usize) -> (Vec<&str>, Vec<&str>) {
    let first = corpus.test.iter().map(|pair| &*pair.source).collect();
    let second = corpus.test.iter().map(|pair| &*pair.target).collect();
    if direction == 0 { (first, second) } else { (second, first) }
}

fn of(score: TranslationScore) -> Value {
    json!({ "bleu": score.bleu, "chrf": score.chrf })
}

/// Scores of the source itself and of a dictionary, in both directions.
fn without(corpus: &Corpus) -> Result<Value, String> {
    let mut found = Map::new();
    for (direction, name) in ["there", "back"].into_iter().enumerate() {
        let (sources, references) = sides(corpus, direction);
        let pairs: Vec<(String, String)> = corpus
            .train
            .iter()
            .map(|pair| match direction {
                0 => (pair.source.clone(), pair.target.clone()),
                _ => (pair.target.clone(), pair.source.clone()),
            })
            .collect();
        let dictionary = Dictionary::learn(&pairs).map_err(text)?;
        let words: Vec<String> = sources.iter().map(|line| dictionary.translate(line)).collect();
        let copied = of(score(&sources, &references).map_err(text)?);
        let translated = of(score(&words, &references).map_err(text)?);
        found.insert(name.to_owned(), json!({ "copy": copied, "dictionary": translated }));
    }
    Ok(found.into())
}

/// Plan of a row.
fn plan(row: &Row, seed: u64) -> Result<Plan, String> {
    let Row { corpus, settings, .. } = row;
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
    let mut plan = plan(row, seed)?;
    let data = load(&mut plan)?;
    let trained = train_to_end(&plan, &data, Method::LocalRule)?;
    let mut found = json!({
        "seed": seed,
        "commit": results::commit(),
        "steps": trained.steps,
        "train_seconds": trained.train_seconds,
        "parameters": trained.network.n_parameters(),
        "development": trained.evaluation().to_json(),
        "spike_rates": trained.network.spike_rates(),
    });
    let examples: &dyn std::any::Any = &*data.train;
    let pairs = examples.downcast_ref::<Translations>().ok_or("the examples are no pairs")?;
    let lexicons = pairs.lexicons().map(|lexicons| &lexicons.all);
    let translator =
        Translator::new(&trained.network, pairs.vocabulary(), lexicons).map_err(text)?;
    for (direction, name) in ["there", "back"].into_iter().enumerate() {
        let (sources, references) = sides(corpus, direction);
        let start = Instant::now();
        let hypotheses = translate(&translator, &sources, &corpus.languages[1 - direction])?;
        let seconds = start.elapsed().as_secs_f64();
        let mut scores = of(score(&hypotheses, &references).map_err(text)?);
        scores["seconds"] = seconds.into();
        println!("  {name}: {scores}");
        if direction == 0 && peers && row.has_peer {
            found["peer"] = compared(row, corpus, &trained, &hypotheses)?;
        }
        found[name] = scores;
    }
    Ok(found)
}

fn translate(
    translator: &Translator<'_>,
    sources: &[&str],
    to: &str,
) -> Result<Vec<String>, String> {
    let never = &mut || std::ops::ControlFlow::Continue(());
    let found = translator.translate(sources, to, Search::default(), never).map_err(text)?;
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
    let (_, references) = sides(corpus, 0);
    let mut all = Map::new();
    for times in [1.0, 3.0] {
        let output = folder(row.corpus)?.join("hypotheses.txt");
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

/// Folder of the lines that the peer reads.
fn folder(corpus: &str) -> Result<PathBuf, String> {
    let folder = root().join("target/peers-lines").join(corpus);
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// The peer with the pairs of a corpus.
fn peer(name: &str, corpus: &Corpus, network: &str) -> Result<std::process::Command, String> {
    let folder = folder(name)?;
    let mut command = peers::command(SCRIPT)?;
    command.args(["--network", network, "--both-directions"]);
    command.args(["--threads", &threads().to_string(), "--tokens", &TOKENS.to_string()]);
    for (set, pairs) in [("train", &corpus.train), ("dev", &corpus.dev), ("test", &corpus.test)] {
        command.arg(format!("--{set}"));
        for (side, language) in corpus.languages.iter().enumerate() {
            let path = folder.join(format!("{set}.{language}"));
            let lines = pairs.iter().map(|pair| [&pair.source, &pair.target][side].as_str());
            let lines = lines.collect::<Vec<_>>().join("\n") + "\n";
            fs::write(&path, lines).map_err(|e| format!("{}: {e}", path.display()))?;
            command.arg(path);
        }
    }
    Ok(command)
}

/// The JSON object in the last line of a process.
fn reply(command: &mut std::process::Command) -> Result<Value, String> {
    let output = command.output().map_err(text)?;
    let out = String::from_utf8_lossy(&output.stdout);
    match (output.status.success(), out.lines().last()) {
        (true, Some(line)) => serde_json::from_str(line).map_err(|e| format!("{line}: {e}")),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Times of a training step of the same network, in turns, and the memory of both.
fn times(peers: bool) -> Result<Value, String> {
    let locations = Locations::from_environment(None);
    let corpus = corpora::load("en-pcm", &locations, &mut |line| println!("{line}"));
    let corpus = corpus.map_err(text)?;
    let row = rows().into_iter().find(|row| row.name == "en-pcm, no lexicon");
    let mut plan = plan(&row.ok_or("there is no such row")?, 0)?;
    let data = load(&mut plan)?;
    let device = Device::flex();
    let mut training = Training::start(&plan, &data, &device).map_err(text)?;
    let batches = Batches::new(data.train.clone(), TOKENS, Order::Shuffled, 0).map_err(text)?;
    let optimizer = plan.settings.build_optimizer();
    let (mut step, mut batch) = (0, Batch::default());
    let (mut ours, mut theirs, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let mut times = Vec::new();
        for _ in 0..STEPS {
            batches.fill(step, &mut batch);
            step += 1;
            let (input, target) = plan.task.pair(&batch, &plan.settings, &device).map_err(text)?;
            let start = Instant::now();
            training.network.train_batch(&*optimizer, input, target).map_err(text)?;
            times.push(start.elapsed().as_secs_f64());
        }
        if round > 0 {
            ours.push(Spread::of(&times).median);
        }
        if peers && round > 0 {
            let mut command = peer("en-pcm", &corpus, "rectified")?;
            let settings = [("--width", "192"), ("--layers", "4"), ("--heads", "4")];
            command.args(settings.into_iter().flat_map(|(flag, value)| [flag, value]));
            let reply = reply(command.args(["--time-steps", &STEPS.to_string()]))?;
            theirs.push(reply["seconds_per_step"].as_f64().unwrap_or(f64::NAN));
            let number = |key: &str| reply[key].as_f64().unwrap_or(f64::NAN);
            memory.push(number("peak_memory_mb") - number("start_memory_mb"));
        }
    }
    let (own, ratio) = (Spread::of(&ours), Spread::of_ratios(&ours, &theirs));
    println!("a step takes {}, {} times PyTorch's", own.with_unit(" s"), ratio.with_unit(""));
    Ok(json!({
        "step_seconds": own.json(),
        "torch_step_seconds": Spread::of(&theirs).json(),
        "times_torch": ratio.json(),
        "torch_memory_mb": Spread::of(&memory).json(),
    }))
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
fn figures(raw: &Value, table: &mut Table) {
    let ratio = Spread::read(&raw[TIME]["times_torch"]);
    table.add(
        "translation: a training step, relative to PyTorch",
        format!("at most {MAX_TIME}"),
        ratio.with_unit(""),
        ratio.median <= MAX_TIME,
    );
    for row in rows() {
        let runs = raw["rows"][row.name]["runs"].as_array().cloned().unwrap_or_default();
        let keys = [("there", "bleu"), ("there", "chrf"), ("back", "bleu")];
        for ((direction, metric), least) in keys.into_iter().zip(row.least) {
            let values: Vec<f64> = runs
                .iter()
                .filter_map(|run| Some(100.0 * run[direction][metric].as_f64()?))
                .collect();
            let spread = Spread::of(&values);
            let found = mean(&values);
            let promised = match least {
                0.0 => "-".to_owned(),
                least => format!("at least {least}"),
            };
            let name = format!("translation of {}: {metric}, {direction}", row.name);
            let kept = least == 0.0 || found >= least;
            table.add(&name, promised, format!("{found:.2} {}", spread.with_unit("")), kept);
        }
    }
}
