//! Short trainings of random configurations: nothing may break, and a network that learns nothing
//! must say so.
//!
//! `--only SEED` trains one configuration and prints it, `--only FIRST..END` several.

mod case;
mod data;
mod outcome;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::{Map, Value, json};
use zor::training::Method;

use self::case::Case;
use self::outcome::{Kind, Outcome};
use super::common::threads;
use super::peers::Peer;
use super::suite::Suite;
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite = Suite {
    name: "stability",
    data: None,
    peer: Some("torch"),
    run: |filter, _| run(&filter.only, filter.peers),
    figures,
};

/// Number of configurations.
const CASES: u64 = 1000;
/// Number of configurations in the quick check.
const FEW: u64 = 50;
/// Configurations that are printed of each outcome that must not be.
const SHOWN: usize = 10;
/// Row of networks of all kinds.
const ANY: &str = "all kinds";
/// Row of plain stacks of dense layers.
const DENSE: &str = "dense";
/// Most minutes with Zor.
const MINUTES: f64 = 20.0;

/// Trains with the configurations that `only` selects.
fn run(only: &str, peers: bool) -> Result<Value, String> {
    if let Ok(seed) = only.parse() {
        for case in [Case::of(seed), Case::plain(seed)] {
            println!("{case:#?}\n{:#?}", outcome::of(&case, Method::LocalRule));
        }
        return Ok(Value::Null);
    }
    let seeds = match only.split_once("..") {
        Some((first, end)) => first.parse().map_err(text)?..end.parse().map_err(text)?,
        None if only.is_empty() => 0..CASES,
        None => return Err("--only takes the seed of a configuration, or FIRST..END".to_owned()),
    };
    let start = Instant::now();
    let mut rows = Map::new();
    let mut add = |name: &str, found: &[(Case, Outcome)]| {
        print(name, found);
        rows.insert(name.to_owned(), counts(found));
    };
    add(ANY, &all(seeds.clone(), Case::of, Method::LocalRule)?);
    add(DENSE, &all(seeds.clone(), Case::plain, Method::LocalRule)?);
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    println!("{minutes:.1} minutes");
    add("dense, autodiff of burn", &all(seeds.clone(), Case::plain, Method::Autodiff)?);
    if peers {
        rows.insert("dense, the rule in PyTorch".to_owned(), of_peer(seeds)?);
    }
    Ok(json!({ "suite": "stability", "minutes": minutes, "rows": rows }))
}

/// Outcomes of the program in PyTorch, which prints no warnings.
fn of_peer(seeds: Range<u64>) -> Result<Value, String> {
    let mut peer = Peer::start("stability.py", &[])?;
    let mut counts = BTreeMap::new();
    for seed in seeds {
        let reply = peer.ask(&Case::plain(seed).json().to_string())?;
        let kind = match reply["outcome"].as_str() {
            Some("learned") => Kind::Learned,
            Some("learned nothing") => Kind::Silent,
            Some("not finite") => Kind::NotFinite,
            _ => Kind::Failed,
        };
        *counts.entry(kind).or_insert(0u64) += 1;
    }
    println!("\nthe rule in PyTorch:");
    let count = |kind: Kind| {
        let count = counts.get(&kind).copied().unwrap_or(0);
        println!("{count:>6}  {}", kind.name());
        (kind.name().to_owned(), count.into())
    };
    Ok(Map::from_iter(Kind::ALL.map(count)).into())
}

/// Fails if one of the first configurations has an outcome that must not be.
pub(crate) fn check() -> Result<(), String> {
    let found = all(0..FEW, Case::of, Method::LocalRule)?;
    let bad = found.iter().find(|(_, outcome)| outcome.kind.is_bad());
    match bad {
        Some((case, outcome)) => Err(format!(
            "configuration {}: {}: {}; see `cargo xtask bench --suite stability --only {}`",
            case.seed,
            outcome.kind.name(),
            outcome.words,
            case.seed
        )),
        None => Ok(()),
    }
}

/// Trains with configurations, one for each thread at a time.
fn all(
    seeds: Range<u64>,
    case: fn(u64) -> Case,
    method: Method,
) -> Result<Vec<(Case, Outcome)>, String> {
    // Panics are outcomes.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let (next, found) = (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()));
    let work = || -> Result<(), String> {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(text)?;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(());
            }
            let case = case(seed);
            let outcome = one.install(|| outcome::of(&case, method));
            found.lock().map_err(text)?.insert(seed, (case, outcome));
        }
    };
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads()).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err("a worker has ended with a panic".to_owned()))
        })
    });
    std::panic::set_hook(hook);
    done?;
    Ok(found.into_inner().map_err(text)?.into_values().collect())
}

/// Number of outcomes of each kind.
fn counts(found: &[(Case, Outcome)]) -> Value {
    let count = |kind: Kind| found.iter().filter(|(_, outcome)| outcome.kind == kind).count();
    let counts = Kind::ALL.map(|kind| (kind.name().to_owned(), count(kind).into()));
    Map::from_iter(counts).into()
}

fn print(name: &str, found: &[(Case, Outcome)]) {
    let slowest = found.iter().map(|(_, outcome)| outcome.seconds).fold(0.0, f64::max);
    println!("\n{name}: at most {slowest:.1} s for a training");
    for kind in Kind::ALL {
        let of: Vec<&(Case, Outcome)> = found.iter().filter(|(_, all)| all.kind == kind).collect();
        println!("{:>6}  {}", of.len(), kind.name());
        let shown = if kind.is_bad() { SHOWN } else { 0 };
        for (case, outcome) in of.into_iter().take(shown) {
            println!("        {}: {} {:?}", case.seed, outcome.words, outcome.errors);
        }
    }
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
fn figures(raw: &Value, table: &mut Table) {
    for row in [ANY, DENSE] {
        for kind in Kind::ALL {
            let count = raw["rows"][row][kind.name()].as_f64().unwrap_or(f64::NAN);
            let promised = if kind.is_bad() { "0" } else { "-" };
            let kept = !kind.is_bad() || count == 0.0;
            let name = format!("random configurations, {row}: {}", kind.name());
            table.add(&name, promised.to_owned(), count.to_string(), kept);
        }
    }
    let minutes = raw["minutes"].as_f64().unwrap_or(f64::NAN);
    let promised = format!("at most {MINUTES} min");
    let measured = format!("{minutes:.1} min");
    table.add("random configurations: time", promised, measured, minutes <= MINUTES);
}
