//! A long training with checkpoints and evaluations, the same training interrupted a hundred times,
//! and a detector that adapts to a stream: memory, time of a step, and equal bits at the end.
//!
//! The three run side by side with one thread each, and the target spike rate moves. The time of a
//! step is that of the processor, which other work on the machine does not lengthen as much as it
//! does the time of the clock. `--only N` makes it N minutes instead of 120.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zor::prelude::Random;
use zor::training::checkpoint::{self, digest_of};

use super::process_memory::{processor_seconds, status_of};
use super::spread::Spread;
use super::suite::Suite;
use crate::paths::{root, text};
use crate::results;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite = Suite {
    name: "soak",
    data: None,
    peer: None,
    run: |filter, _| match filter.only.as_str() {
        "" => run(120.0),
        minutes => run(minutes.parse().map_err(text)?),
    },
    figures,
};

/// Steps that measure how many fit.
const TRIAL: u64 = 400;
/// Checkpoints of the training.
const CHECKPOINTS: u64 = 1000;
/// Interruptions.
const INTERRUPTIONS: usize = 100;
/// Time between two looks at the processes.
const EVERY: Duration = Duration::from_secs(2);
/// Share of the time after which memory must be flat.
const WARM: f64 = 0.1;
/// Maximum growth of memory.
const GROWTH: f64 = 1.01;
/// Rows of the stream in a second.
const ROWS: u64 = 2000;

fn run(minutes: f64) -> Result<Value, String> {
    let folder = root().join("target/soak");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(text)?;
    }
    fs::create_dir_all(&folder).map_err(text)?;
    let steps = steps(&folder, minutes)?;
    println!("{steps} steps, {minutes} minutes");
    let is_over = AtomicBool::new(false);
    let (whole, broken, adapted) = std::thread::scope(|scope| {
        let whole = scope.spawn(|| whole(&folder, steps));
        let broken = scope.spawn(|| interrupted(&folder, steps, minutes));
        let adapted = scope.spawn(|| adapted(&folder, &is_over));
        let done = (join(whole), join(broken));
        is_over.store(true, Ordering::Relaxed);
        (done.0, done.1, join(adapted))
    });
    let ([whole, broken], adapted) = ([whole?, broken?], adapted?);
    let has_equal_bits = whole["digest"] == broken["digest"];
    println!("equal bits: {has_equal_bits}");
    Ok(json!({
        "suite": "soak", "commit": results::commit(), "minutes": minutes, "steps": steps,
        "whole": whole, "interrupted": broken, "adapted": adapted,
        "has_equal_bits": has_equal_bits,
    }))
}

fn join(thread: std::thread::ScopedJoinHandle<'_, Result<Value, String>>) -> Result<Value, String> {
    thread.join().unwrap_or_else(|_| Err("a thread has ended with a panic".to_owned()))
}

/// The command `zor` in a process of its own, with one thread.
fn zor(arguments: &[&str]) -> Result<Command, String> {
    let mut command = Command::new(std::env::current_exe().map_err(text)?);
    command.arg("command").args(arguments).env("RAYON_NUM_THREADS", "1");
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    Ok(command)
}

fn train(folder: &Path, steps: u64, checkpoints: u64) -> Result<Command, String> {
    let (steps, every) = (steps.to_string(), (steps / checkpoints).max(1).to_string());
    zor(&[
        "train",
        "fashion-reconstruction",
        "--no-baseline",
        "--set",
        "rule_settings.target_spike_rate=0.2",
        "--set",
        "final_spike_rate=0.4",
        "--steps",
        &steps,
        "--checkpoint-every",
        &every,
        "--out",
        &folder.to_string_lossy(),
    ])
}

/// Number of steps of the minutes, for two trainings side by side.
fn steps(folder: &Path, minutes: f64) -> Result<u64, String> {
    // What a training does besides its steps is in both trials.
    let mut seconds = [0.0; 2];
    for (trial, seconds) in seconds.iter_mut().enumerate() {
        let start = Instant::now();
        let steps = (1 + 3 * trial as u64) * TRIAL;
        let folder = |side| folder.join(format!("trial{trial}{side}"));
        let trainings =
            ["a", "b"].map(|side| train(&folder(side), steps, 1)?.spawn().map_err(text));
        for training in trainings {
            ended(training?.wait().map_err(text)?)?;
        }
        *seconds = start.elapsed().as_secs_f64();
    }
    let trials = 60.0 * minutes / (seconds[1] - seconds[0]).max(0.1);
    Ok((3.0 * trials).max(1.0) as u64 * TRIAL)
}

fn ended(status: std::process::ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("the command ended with {status}")) }
}

/// Memory of a process in bytes; `None` if it has ended.
fn memory(child: &Child) -> Option<f64> {
    status_of(&child.id().to_string(), "VmRSS").ok().map(|bytes| bytes as f64)
}

/// Largest memory after the start, relative to that at its end.
fn growth(samples: &[f64]) -> f64 {
    let first = (samples.len() as f64 * WARM) as usize;
    let late = samples.get(first..).unwrap_or_default();
    let base = late.iter().take(10).copied().fold(0.0, f64::max);
    late.iter().copied().fold(0.0, f64::max) / base
}

fn model(folder: &Path) -> Result<String, String> {
    let path = folder.join("model.zor");
    Ok(digest_of(&fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?))
}

/// The training without interruptions.
fn whole(folder: &Path, steps: u64) -> Result<Value, String> {
    let folder = folder.join("whole");
    let mut child = train(&folder, steps, CHECKPOINTS)?.spawn().map_err(text)?;
    let (mut samples, mut progress) = (Vec::new(), Vec::<(u64, f64)>::new());
    let status = loop {
        if let Some(status) = child.try_wait().map_err(text)? {
            break status;
        }
        samples.extend(memory(&child));
        let seconds = processor_seconds(child.id());
        let step = checkpoint::latest(&folder).ok().and_then(|path| step_of(&path));
        if let Some(step) = step
            && progress.last().is_none_or(|(last, _)| step > *last)
        {
            progress.extend(seconds.map(|seconds| (step, seconds)));
        }
        std::thread::sleep(EVERY);
    };
    ended(status)?;
    // Report and pictures come after the training.
    samples.truncate(samples.len().saturating_sub(5));
    let times: Vec<f64> = progress
        .windows(2)
        .map(|pair| (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0) as f64)
        .collect();
    let quarter = times.len() / 4;
    let early = Spread::of(&times[..quarter.max(1).min(times.len())]);
    let late = Spread::of(&times[times.len() - quarter.max(1).min(times.len())..]);
    println!("memory grows to {:.4}", growth(&samples));
    println!("a step takes {} early, {} late", early.with_unit(" s"), late.with_unit(" s"));
    Ok(json!({
        "digest": model(&folder)?, "memory_growth": growth(&samples),
        "memory_mb": samples.last().map(|bytes| 1e-6 * bytes),
        "early_step_seconds": early.json(), "late_step_seconds": late.json(),
    }))
}

fn step_of(path: &Path) -> Option<u64> {
    let name = path.file_stem()?.to_str()?;
    name.rsplit('-').next()?.parse().ok()
}

/// The training with interruptions at random times, by Ctrl-C and by killing the process in turns.
fn interrupted(folder: &Path, steps: u64, minutes: f64) -> Result<Value, String> {
    let folder = folder.join("interrupted");
    let mut random = Random::seeded(1);
    let mean = 60.0 * minutes / (INTERRUPTIONS + 1) as f64;
    let mut done = 0;
    let resume = ["train", "--resume", &folder.to_string_lossy()].map(str::to_owned);
    loop {
        let can_resume = checkpoint::latest(&folder).is_ok();
        let mut command = match can_resume {
            true => zor(&resume.each_ref().map(String::as_str))?,
            false => {
                if folder.exists() {
                    fs::remove_dir_all(&folder).map_err(text)?;
                }
                train(&folder, steps, CHECKPOINTS)?
            }
        };
        let mut child = command.spawn().map_err(text)?;
        if done == INTERRUPTIONS {
            ended(child.wait().map_err(text)?)?;
            break;
        }
        let seconds = f64::from(random.between(0.0, 2.0)) * mean;
        std::thread::sleep(Duration::from_secs_f64(seconds));
        if let Some(status) = child.try_wait().map_err(text)? {
            ended(status)?;
            break;
        }
        match done % 2 {
            0 => {
                let id = child.id().to_string();
                Command::new("kill").args(["-INT", &id]).status().map_err(text)?;
            }
            _ => child.kill().map_err(text)?,
        }
        child.wait().map_err(text)?;
        done += 1;
    }
    println!("{done} interruptions");
    Ok(json!({ "interruptions": done, "digest": model(&folder)? }))
}

/// A detector that adapts to a stream until the others are over.
fn adapted(folder: &Path, is_over: &AtomicBool) -> Result<Value, String> {
    let table = folder.join("normal.csv");
    let mut random = Random::seeded(2);
    let mut row = |at: u64| {
        let wave = (at as f32 * 0.1).sin();
        format!("{},{},{}\n", wave + 0.1 * random.normal(), -wave, 0.3 * random.normal())
    };
    let lines: String = (0..2000).map(&mut row).collect();
    fs::write(&table, "a,b,c\n".to_owned() + &lines).map_err(text)?;
    let (runs, saved) = (folder.join("detection"), folder.join("adapted.zor"));
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    let (table, runs, saved) = (path(&table), path(&runs), path(&saved));
    ended(
        zor(&["train", "detection", "--data", &table, "--steps", "200", "--out", &runs])?
            .status()
            .map_err(text)?,
    )?;
    let mut child = zor(&["detect", "--model", &runs, "-", "--adapt", "--save", &saved])?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(text)?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("the detector has no standard input or output".to_owned());
    };
    let answers = std::thread::spawn(move || BufReader::new(output).lines().count());
    input.write_all(b"a,b,c\n").map_err(text)?;
    let (mut samples, mut at) = (Vec::new(), 0);
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..ROWS * EVERY.as_secs() {
            input.write_all(row(at).as_bytes()).map_err(text)?;
            at += 1;
        }
        samples.extend(memory(&child));
        std::thread::sleep(EVERY);
    }
    drop(input);
    ended(child.wait().map_err(text)?)?;
    let lines = answers.join().map_err(|_| "the reader has ended with a panic")?;
    println!("{at} rows, {lines} lines; memory grows to {:.4}", growth(&samples));
    Ok(json!({ "rows": at, "lines": lines, "memory_growth": growth(&samples) }))
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
fn figures(raw: &Value, table: &mut Table) {
    for (name, part) in [("a training", "whole"), ("a detector that adapts", "adapted")] {
        let growth = raw[part]["memory_growth"].as_f64().unwrap_or(f64::NAN);
        let name = format!("hours of {name}: memory, relative to that after a tenth");
        let promised = format!("at most {GROWTH}");
        table.add(&name, promised, format!("{growth:.4}"), growth <= GROWTH);
    }
    let times =
        ["early_step_seconds", "late_step_seconds"].map(|key| Spread::read(&raw["whole"][key]));
    let ratio = times[1].median / times[0].median;
    let noise = times[0].highest / times[0].median;
    table.add(
        "hours of training: time of a step, last quarter relative to the first",
        format!("at most {noise:.2} (spread of the first)"),
        format!("{ratio:.2}"),
        ratio <= noise,
    );
    let interruptions = raw["interrupted"]["interruptions"].as_u64().unwrap_or(0);
    table.add(
        "hours of training: equal bits with interruptions",
        format!("{INTERRUPTIONS} interruptions"),
        format!("{interruptions}, equal: {}", raw["has_equal_bits"]),
        raw["has_equal_bits"] == true && interruptions >= INTERRUPTIONS as u64,
    );
}
