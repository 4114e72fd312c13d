//! Time of a training step, memory of training, and time of translations, beside an equal network
//! in PyTorch.
//!
//! Memory is the peak of a process during training, above what it has before the first step.
//! Translations are those of the test pairs on one thread, after a short training.

use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use zor::data::text::Corpus;
use zor::data::{Batches, Order};
use zor::prelude::*;
use zor::task::{Data, Plan};
use zor::training::{Method, Training};
use zor::translation::Translator;
use zor::translation::baselines::sides;

use super::super::common::train_to_end;
use super::super::peers::reply;
use super::super::process_memory::{megabytes, peak_of};
use super::super::spread::Spread;
use super::peer::peer;
use super::{NAME, ONE_WAY, TOKENS, corpus, load, pairs_of, plan_of, translate};
use crate::paths::text;
use crate::table::Table;

/// Rounds in which Zor and the peer take turns.
const ROUNDS: usize = 5;
/// Steps of a round.
const STEPS: u64 = 12;
/// Steps of the training before translations are timed.
const BEFORE: u64 = 300;
/// Maximum time of a training step, relative to PyTorch.
const MAX_TIME: f64 = 0.85;
/// Maximum memory of training, relative to PyTorch.
const MAX_MEMORY: f64 = 0.6;
/// Corpus of the measurements.
const CORPUS: &str = "en-pcm";
/// Sizes of the network for the peer, which are those of the preset.
const SIZES: [(&str, &str); 3] = [("--width", "192"), ("--layers", "4"), ("--heads", "4")];

fn plan() -> Result<Plan, String> {
    plan_of(CORPUS, 0, &format!("steps = {BEFORE}\ntranslation.lexicon = false"))
}

fn same_network(corpus: &Corpus) -> Result<Command, String> {
    let mut command = peer(CORPUS, corpus, "rectified")?;
    command.args(SIZES.into_iter().flat_map(|(flag, value)| [flag, value]));
    Ok(command)
}

/// All measurements.
pub(super) fn measured(peers: bool) -> Result<Value, String> {
    let corpus = corpus(CORPUS)?;
    let mut found = steps(&corpus, peers)?;
    found["translations"] = translations(&corpus, peers)?;
    Ok(found)
}

/// Trains for some steps. Returns their times.
fn train(
    plan: &Plan,
    training: &mut Training,
    data: &Data,
    range: std::ops::Range<u64>,
) -> Result<Vec<f64>, String> {
    let device = Device::flex();
    let batches = Batches::new(data.train.clone(), TOKENS, Order::Shuffled, 0).map_err(text)?;
    let (optimizer, mut batch) = (plan.settings.build_optimizer(), Batch::default());
    let mut times = Vec::new();
    for step in range {
        batches.fill(step, &mut batch);
        let (input, target) = plan.task.pair(&batch, &plan.settings, &device).map_err(text)?;
        let start = Instant::now();
        training.network.train_batch(&*optimizer, input, target).map_err(text)?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// Times of a training step, in turns, and the memory of both.
fn steps(corpus: &Corpus, peers: bool) -> Result<Value, String> {
    let mut plan = plan()?;
    let data = load(&mut plan)?;
    let mut training = Training::start(&plan, &data, &Device::flex()).map_err(text)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut our_memory, mut their_memory) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS as u64 {
        let times = train(&plan, &mut training, &data, round * STEPS..(round + 1) * STEPS)?;
        if round == 0 {
            continue;
        }
        ours.push(Spread::of(&times).median);
        let mut own = Command::new(std::env::current_exe().map_err(text)?);
        our_memory.push(megabytes(own.args(["memory-of", NAME]))?);
        if peers {
            let reply = reply(same_network(corpus)?.args(["--time-steps", &STEPS.to_string()]))?;
            let number = |key: &str| reply[key].as_f64().unwrap_or(f64::NAN);
            theirs.push(number("seconds_per_step"));
            their_memory.push(number("peak_memory_mb") - number("start_memory_mb"));
        }
    }
    let (step, ratio) = (Spread::of(&ours), Spread::of_ratios(&ours, &theirs));
    println!("a step takes {}, {} times PyTorch's", step.with_unit(" s"), ratio.with_unit(""));
    let memory = Spread::of_ratios(&our_memory, &their_memory);
    println!("training takes {} of PyTorch's memory", memory.with_unit(""));
    Ok(json!({
        "step_seconds": step.json(),
        "torch_step_seconds": Spread::of(&theirs).json(),
        "times_torch": ratio.json(),
        "memory_mb": Spread::of(&our_memory).json(),
        "torch_memory_mb": Spread::of(&their_memory).json(),
        "times_torch_memory": memory.json(),
    }))
}

/// Returns the peak memory in bytes of this process during the steps of a round, above what it has
/// before.
pub(crate) fn memory_of_training() -> Result<u64, String> {
    let mut plan = plan()?;
    let data = load(&mut plan)?;
    let mut training = Training::start(&plan, &data, &Device::flex()).map_err(text)?;
    peak_of(|| train(&plan, &mut training, &data, 0..STEPS + 3).map(drop))
}

/// Seconds for a token of the translations of the test pairs, with beam 4 and one thread.
fn translations(corpus: &Corpus, peers: bool) -> Result<Value, String> {
    let mut plan = plan()?;
    let data = load(&mut plan)?;
    let trained = train_to_end(&plan, &data, Method::LocalRule)?;
    let vocabulary = pairs_of(&data)?.vocabulary();
    let translator = Translator::new(&trained.network, vocabulary, None).map_err(text)?;
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(text)?;
    let (sources, _) = sides(&corpus.test, 0);
    let start = Instant::now();
    let lines = one.install(|| translate(&translator, &sources, &corpus.languages[1], ONE_WAY))?;
    let seconds = start.elapsed().as_secs_f64();
    let tokens: usize = lines.iter().map(|line| vocabulary.encode(line).len()).sum();
    let mut found = json!({ "seconds": seconds, "tokens": tokens });
    println!("{seconds:.1} s for translations with {tokens} tokens on one thread");
    if peers {
        let mut command = same_network(corpus)?;
        command.args(["--steps", &BEFORE.to_string(), "--time-decode"]);
        let reply = reply(&mut command)?;
        let number = |key: &str| reply[key].as_f64().unwrap_or(f64::NAN);
        let (their_seconds, their_tokens) = (number("decode_seconds"), number("decode_tokens"));
        let ratio = (seconds / tokens as f64) / (their_seconds / their_tokens);
        println!("PyTorch: {their_seconds:.1} s for {their_tokens} tokens; ratio {ratio:.2}");
        found["torch_seconds"] = their_seconds.into();
        found["torch_tokens"] = their_tokens.into();
        found["times_torch"] = ratio.into();
    }
    Ok(found)
}

/// Adds the promised and the measured figures.
pub(super) fn figures(raw: &Value, table: &mut Table) {
    let ratio = |key: &str| Spread::read(&raw[key]);
    let (time, memory) = (ratio("times_torch"), ratio("times_torch_memory"));
    let per_token = raw["translations"]["times_torch"].as_f64().unwrap_or(f64::NAN);
    for (name, most, found, value) in [
        (
            "a training step",
            format!("at most {MAX_TIME}"),
            time.with_unit(""),
            time.median / MAX_TIME,
        ),
        (
            "memory of training",
            format!("at most {MAX_MEMORY}"),
            memory.with_unit(""),
            memory.median / MAX_MEMORY,
        ),
        ("a token of a translation", "-".to_owned(), format!("{per_token:.2}"), 0.0),
    ] {
        table.add(&format!("translation: {name}, relative to PyTorch"), most, found, value <= 1.0);
    }
}
