//! `zor train`: a task from settings to a folder with the model, its figures and pictures.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use zor::alignment;
use zor::baseline::{self, Baseline, Output};
use zor::checkpoint::{self, Checkpoint, Provenance};
use zor::comparison;
use zor::images::{self, RunData};
use zor::options::{Options, Settings, TaskName};
use zor::prelude::Device;
use zor::train::{self, Next, Teacher, Training};
use zor::{Error, ErrorKind, Result, io};

use crate::arguments::TrainArguments;
use crate::finished::Run;
use crate::{confusion, curve, data, file_error, make_folder, pictures, report};

pub(crate) fn run(arguments: TrainArguments) -> Result<()> {
    let resumed = arguments.resume.as_deref().map(checkpoint_file).transpose()?;
    let others = match (&resumed, &arguments.config) {
        (Some(path), _) => checkpoint::options(path)?,
        (None, Some(path)) => read_config(path)?,
        (None, None) => Options::default(),
    };
    let settings = Settings::resolve(&arguments.options().or(others))?;
    let beside = resumed.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let out = arguments.out.clone().or(beside);
    let out = out.unwrap_or_else(|| PathBuf::from("runs").join(settings.task.name()));
    make_folder(&out)?;
    set_threads(settings.threads)?;
    let interrupted = watch_for_interrupts()?;
    settings.precision.set();
    let (device_name, device) = zor::named_device(&settings.device)?;
    let set = data::load(&settings)?;
    let run_data = images::choose(&set, &settings)?;
    let files = Files {
        provenance: Provenance::new(&settings, &run_data),
        out,
        every: arguments.checkpoint_every,
        keep: arguments.keep,
    };
    let start = match &resumed {
        None => Training::start(&settings, &run_data, &device)?,
        Some(path) => {
            let checkpoint = Checkpoint::load(path, &device)?;
            checkpoint.check(&settings, &files.provenance)?;
            eprintln!("going on from {}", path.display());
            checkpoint.training
        }
    };
    eprintln!(
        "learning from {} ({}), evaluated on {}",
        count(run_data.train.len()),
        set.source,
        run_data.evaluation_name,
    );
    let trained = train_network(start, &settings, &run_data, &files, &interrupted)?;
    let out = files.out;
    let (mut baselines, mut twin) = (Vec::new(), None);
    match settings.task {
        _ if !settings.baseline => {}
        TaskName::FashionReconstruction => {
            baselines = train_baselines(&settings, &run_data, &device, &interrupted)?;
        }
        _ => twin = Some(train_twin(&settings, &run_data, &device, &interrupted)?),
    }
    let colours = match settings.task {
        TaskName::CifarColorization => {
            let twin = twin.iter().map(|twin| (report::TWIN, &twin.network));
            let networks: Vec<_> = [("Zor", &trained.network)].into_iter().chain(twin).collect();
            comparison::compare(&run_data, &networks, &device)?
        }
        _ => Vec::new(),
    };
    let cosines = match settings.task.is_classification() {
        true => alignment::of_run(&trained.network, &settings, &run_data)?,
        false => Vec::new(),
    };
    let data = run_data;
    let run =
        Run { settings, data, trained, baselines, twin, colours, cosines, device, device_name };
    report::metrics_csv(&run, &out.join("metrics.csv"))?;
    curve::draw(&run, &out.join("curve.svg"))?;
    match &run.trained.evaluation().confusion {
        Some(found) => {
            confusion::draw(found, run.data.evaluation.class_names(), &out.join("confusion.svg"))?;
        }
        None => pictures::samples(&run, &out)?,
    }
    report::table(&run, &out, arguments.json);
    if arguments.json {
        report::json(&run)?;
    }
    Ok(())
}

/// What a run writes of its network, and where.
struct Files {
    provenance: Provenance,
    out: PathBuf,
    /// Steps from one checkpoint to the next, if there are to be any.
    every: Option<u64>,
    /// How many of them stay.
    keep: usize,
}

/// Trains and saves; what an interrupt leaves is saved as a checkpoint.
fn train_network(
    start: Training,
    settings: &Settings,
    data: &RunData,
    files: &Files,
    interrupted: &AtomicBool,
) -> Result<Training> {
    let out = &files.out;
    write_config(settings, out)?;
    let bar = progress_bar(settings.steps, "zor");
    let mut left = None;
    let trained = start.go_on(settings, data, Teacher::Rule, &mut |training| {
        show(&bar, training);
        let next = next(interrupted);
        let due = files.every.is_some_and(|every| training.steps.is_multiple_of(every));
        let mut save = || checkpoint::save(training, settings, &files.provenance, out);
        if next == Next::Stop {
            left = Some(save());
        } else if due {
            let kept = save().and_then(|_| checkpoint::prune(out, &files.provenance, files.keep));
            // What was learned so far is worth more than a checkpoint of it.
            if let Err(error) = kept {
                bar.suspend(|| eprintln!("warning: {error}; the training goes on"));
            }
        }
        next
    });
    let trained = trained.map_err(|error| with_checkpoint(error, out))?;
    bar.finish_and_clear();
    if trained.stopped {
        let place = left.transpose()?.unwrap_or_default();
        let message =
            format!("after step {}; zor train --resume {} goes on", trained.steps, place.display());
        return Err(Error::new(ErrorKind::Interrupted, message));
    }
    io::save(&trained.network, &files.provenance.notes(&trained), &out.join("model.zor"))?;
    Ok(trained)
}

/// What a lost device leaves: its weights cannot be read any more, but the last checkpoint can.
fn with_checkpoint(error: Error, out: &Path) -> Error {
    if error.kind() != ErrorKind::Device {
        return error;
    }
    let left = match checkpoint::latest(out) {
        Ok(path) => {
            format!("zor train --resume {} goes on from the last checkpoint", path.display())
        }
        Err(_) => "no checkpoint was kept; --checkpoint-every N keeps some".to_owned(),
    };
    Error::new(ErrorKind::Device, format!("{error}; {left}"))
}

/// A checkpoint, or the last one in a folder.
fn checkpoint_file(path: &Path) -> Result<PathBuf> {
    if path.is_dir() { checkpoint::latest(path) } else { Ok(path.to_path_buf()) }
}

fn train_baselines(
    settings: &Settings,
    data: &RunData,
    device: &Device,
    interrupted: &AtomicBool,
) -> Result<Vec<Baseline>> {
    let mut baselines = Vec::new();
    for output in [Output::Sigmoid, Output::Linear] {
        let bar = progress_bar(baseline::steps(settings), output.name());
        let baseline = baseline::train(settings, data, output, device, &mut |step| {
            bar.set_position(step);
            next(interrupted)
        })?;
        bar.finish_and_clear();
        if next(interrupted) == Next::Stop {
            let message = "while training what Zor is compared with; the model is saved";
            return Err(Error::new(ErrorKind::Interrupted, message));
        }
        baselines.push(baseline);
    }
    Ok(baselines)
}

/// The same network under burn's autodiff, with the same optimizer, batches and steps.
fn train_twin(
    settings: &Settings,
    data: &RunData,
    device: &Device,
    interrupted: &AtomicBool,
) -> Result<Training> {
    let bar = progress_bar(settings.steps, "backprop");
    let twin = train::run(settings, data, device, Teacher::Autodiff, &mut |progress| {
        show(&bar, progress);
        next(interrupted)
    })?;
    bar.finish_and_clear();
    if twin.stopped {
        let message = "while training what Zor is compared with; the model is saved";
        return Err(Error::new(ErrorKind::Interrupted, message));
    }
    Ok(twin)
}

fn show(bar: &ProgressBar, training: &Training) {
    bar.set_position(training.steps);
    if let Some(point) = training.curve.last() {
        let score = &point.evaluation;
        bar.set_message(format!("{:.2} {}", score.headline(), score.unit()));
    }
}

fn next(interrupted: &AtomicBool) -> Next {
    if interrupted.load(Ordering::Relaxed) { Next::Stop } else { Next::Continue }
}

/// Uses so many threads for the whole process; all cores if not said.
pub(crate) fn set_threads(threads: Option<usize>) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
    pool.build_global()
        .map_err(|error| Error::new(ErrorKind::Device, format!("cannot start threads: {error}")))
}

fn count(n: usize) -> String {
    format!("{n} image{}", if n == 1 { "" } else { "s" })
}

fn read_config(path: &Path) -> Result<Options> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::input(format!("{}: there is no such file", path.display()))
        }
        _ => file_error(path, "read it", &error),
    })?;
    // The parser's message spans lines; the first says where, the last what.
    toml::from_str(&text).map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        Error::input(format!("{}, line {line}: {message}", path.display()))
    })
}

fn write_config(settings: &Settings, out: &Path) -> Result<()> {
    let path = out.join("config.toml");
    let text = toml::to_string(&settings.to_options())
        .map_err(|error| file_error(&path, "write the settings", &error))?;
    Ok(io::atomic::write(&path, text.as_bytes())?)
}

/// Ctrl-C and termination set the flag; a second one ends the process at once.
fn watch_for_interrupts() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    ctrlc::set_handler(move || {
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
    })
    .map_err(|error| Error::new(ErrorKind::Device, format!("cannot watch for Ctrl-C: {error}")))?;
    Ok(flag)
}

fn progress_bar(steps: u64, name: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {pos}/{len} {eta:>4} {msg}");
    let bar = ProgressBar::new(steps).with_prefix(name);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
