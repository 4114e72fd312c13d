//! `zor train`: a task from settings to a run's folder with the model, its figures and pictures.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zor::alignment;
use zor::baseline::{self, Baseline, Output};
use zor::checkpoint::{self, Checkpoint, Provenance};
use zor::comparison;
use zor::images::{self, RunData};
use zor::memory;
use zor::options::{Options, Settings, TaskName, explained};
use zor::prelude::Device;
use zor::run::{self, Destination, MODEL, RunFolder, RunRecord, RunState};
use zor::train::{self, Next, Teacher, Training};
use zor::warnings::warnings;
use zor::{Error, ErrorKind, Result, io, shown};

use crate::arguments::TrainArguments;
use crate::finished::Run;
use crate::progress::Progress;
use crate::{confusion, curve, data, interrupt, outputs, pictures, report};

/// Pauses between attempts to save a network that was learned, in seconds.
const PAUSES: [u64; 4] = [1, 4, 10, 15];

pub(crate) fn run(arguments: &TrainArguments) -> Result<()> {
    interrupt::watch()?;
    let resumed = arguments.resume.as_deref().map(Resumed::find).transpose()?;
    let others = match (&resumed, &arguments.config) {
        (Some(resumed), _) => resumed.options.clone(),
        (None, Some(path)) => read_config(path)?,
        (None, None) => Options::default(),
    };
    let settings = Settings::resolve(&arguments.options()?.or(others))?;
    let destination = destination(arguments, &settings, resumed.as_ref())?;
    destination.check()?;
    set_threads(settings.threads)?;
    settings.precision.set();
    let (device_name, device) = zor::named_device(&settings.device)?;
    zor::check_precision(&device_name, &device, settings.precision)?;
    crate::memory::set_purpose(crate::memory::Purpose::Data);
    let set = data::load(&settings).map_err(|error| match (&resumed, &settings.images) {
        (Some(_), Some(_)) => {
            error.with_advice("--images PATH gives another place of the images learned from")
        }
        _ => error,
    })?;
    let data = images::choose(&set, &settings)?;
    crate::memory::set_purpose(crate::memory::Purpose::Network);
    let mut provenance = Provenance::new(&settings, &data);
    let start = match &resumed {
        None => Training::start(&settings, &data, &device)?,
        Some(resumed) => {
            let checkpoint = Checkpoint::load(&resumed.checkpoint, &device)?;
            checkpoint.check(&settings, &provenance)?;
            if let (true, Some(run)) = (resumed.continues_in(&destination), &checkpoint.run) {
                provenance = provenance.continued(run);
            }
            checkpoint.training
        }
    };
    memory::check_batches(&settings, &data, &start.network)?;
    crate::memory::set_purpose(crate::memory::Purpose::Training);
    for warning in warnings(&settings, &data, &start.network) {
        tell!("warning: {warning}");
    }
    if let Some(every) = arguments.checkpoint_every.filter(|every| *every > settings.steps) {
        tell!(
            "warning: no checkpoint will be kept: --checkpoint-every {every} is more than all {} steps",
            settings.steps
        );
    }
    let mut work = Work {
        folder: destination.open()?,
        settings,
        data,
        provenance,
        device,
        every: arguments.checkpoint_every,
        keep: arguments.keep,
    };
    let record = RunRecord::start(
        work.provenance.run(),
        work.settings.task.name(),
        start.steps,
        work.settings.steps,
    );
    let text = toml::to_string(&work.settings.to_options())
        .map_err(|error| Error::input(format!("the settings cannot be written: {error}")))?;
    work.folder.begin(record, &text, &start)?;
    note(work.folder.name_latest());
    interrupt::note_in(work.folder.path());
    interrupt::save_first();
    if let Some(resumed) = &resumed {
        tell!("continuing from {}", shown(&resumed.checkpoint));
    }
    let about = format!(
        "{} steps, learning from {} ({}), evaluated on {}",
        work.settings.steps,
        count(work.data.train.len()),
        set.source,
        work.data.evaluation_name,
    );
    drop(set);
    let trained = match work.train(start, &about) {
        Ok(trained) => trained,
        Err(error) => {
            let state = match error.kind() {
                ErrorKind::Interrupted => RunState::Stopped,
                _ => RunState::Failed,
            };
            note(work.folder.finish(state, None, Some(error.to_string())));
            return Err(error);
        }
    };
    note(work.folder.finish(RunState::Done, Some(&trained), None));
    work.report(trained, device_name, arguments.json)
}

/// The checkpoint that a training continues from.
struct Resumed {
    checkpoint: PathBuf,
    step: u64,
    run: Option<String>,
    options: Options,
}

impl Resumed {
    /// A checkpoint, or the newest sound one of a run's folder or of a task's last run.
    fn find(path: &Path) -> Result<Self> {
        let path = run::run_folder(path)?;
        let checkpoint = if path.is_dir() {
            let (checkpoint, damaged) = checkpoint::newest(&path)?;
            for error in damaged {
                tell!("warning: {error}; an older checkpoint is used");
            }
            checkpoint
        } else {
            path
        };
        let header = io::info(&checkpoint)?;
        let step = header.progress.as_ref().map_or(0, |progress| progress.step);
        let options = checkpoint::options_of(&header, &checkpoint)?;
        Ok(Self { checkpoint, step, run: header.notes.get("run").cloned(), options })
    }

    /// The folder of the checkpoint.
    fn folder(&self) -> PathBuf {
        let folder = self.checkpoint.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).to_path_buf()
    }

    fn continues_in(&self, destination: &Destination) -> bool {
        matches!(destination, Destination::Resumed { path, .. } if *path == self.folder())
    }
}

/// Where a run is going to be written, after a look at what would be lost there.
fn destination(
    arguments: &TrainArguments,
    settings: &Settings,
    resumed: Option<&Resumed>,
) -> Result<Destination> {
    if arguments.overwrite && arguments.out.is_none() && resumed.is_none() {
        return Err(Error::input(
            "--overwrite has no effect here: every run gets a new folder; give the one to replace with --out",
        ));
    }
    let inputs = [&arguments.config, &settings.images];
    let inputs = || inputs.iter().filter_map(|path| path.as_deref());
    if let Some(out) = &arguments.out {
        outputs::check(out, inputs())?;
        if arguments.overwrite {
            outputs::check(&out.join(run::SETTINGS), inputs())?;
        }
    }
    let Some(resumed) = resumed else {
        return Ok(match &arguments.out {
            Some(path) => {
                Destination::Folder { path: path.clone(), overwrite: arguments.overwrite }
            }
            None => Destination::New(Path::new("runs").join(settings.task.name())),
        });
    };
    let folder = resumed.folder();
    let is_other = |out: &PathBuf| {
        let whole = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        whole(out) != whole(&folder)
    };
    if let Some(path) = arguments.out.clone().filter(is_other) {
        return Ok(Destination::Folder { path, overwrite: arguments.overwrite });
    }
    let record = RunRecord::read(&folder).unwrap_or_else(|error| {
        tell!("warning: {error}; it is written anew");
        None
    });
    if let (Some(record), Some(run)) = (record, &resumed.run)
        && *run != record.run
    {
        return Err(Error::in_file(
            &resumed.checkpoint,
            "the folder that it lies in is another run's; give a folder for the run with --out",
        ));
    }
    // Steps that were learned after this checkpoint, with other settings, would be lost one by one.
    let is_repetition =
        Settings::resolve(&resumed.options).is_ok_and(|before| before.steps == settings.steps);
    let later = checkpoint::later(&folder, resumed.step)?.filter(|_| !is_repetition);
    if let Some(later) = later.filter(|_| !arguments.overwrite) {
        return Err(Error::in_file(
            &folder,
            format!(
                "it has a checkpoint of step {later}, after the one to continue from; continue from that one, give a new folder with --out, or remove later ones with --overwrite"
            ),
        ));
    }
    let overwrite = arguments.overwrite;
    Ok(Destination::Resumed { path: folder, step: resumed.step, overwrite })
}

/// A training and its folder.
struct Work {
    folder: RunFolder,
    settings: Settings,
    data: RunData,
    provenance: Provenance,
    device: Device,
    /// Steps from one checkpoint to the next, if there are to be any.
    every: Option<u64>,
    /// The number of last checkpoints that stay.
    keep: usize,
}

impl Work {
    /// Trains and saves. A stop by the user leaves a checkpoint.
    fn train(&mut self, start: Training, about: &str) -> Result<Training> {
        let mut progress = Progress::start("zor", self.settings.steps, about);
        let (folder, settings, provenance) = (&mut self.folder, &self.settings, &self.provenance);
        let path = folder.path().to_path_buf();
        let (every, keep) = (self.every, self.keep);
        let mut left = None;
        let mut log_failed = false;
        let trained = start.go_on(settings, &self.data, Teacher::Rule, &mut |training| {
            progress.show(training.steps, || figure(training));
            // The learning is worth more than its files: what cannot be written now is written later.
            let failed = folder.log(training).err();
            if let Some(error) = failed.as_ref().filter(|_| !log_failed) {
                progress.remark(format_args!("warning: {error}; the training continues"));
            }
            log_failed = failed.is_some();
            let next = next();
            let due = every.is_some_and(|every| training.steps.is_multiple_of(every));
            let has_ended = training.steps == settings.steps;
            let mut save = || checkpoint::save(training, settings, provenance, &path);
            if next == Next::Stop && !has_ended {
                left = Some(save().or_else(|error| {
                    keep_elsewhere(error, |path| {
                        checkpoint::save(training, settings, provenance, path)
                    })
                }));
            } else if due {
                let kept =
                    save().and_then(|_| checkpoint::prune(&path, provenance, keep, training.steps));
                if let Err(error) = kept {
                    progress.remark(format_args!("warning: {error}; the training continues"));
                }
            }
            next
        });
        let trained = trained.map_err(|error| with_checkpoint(error, &path))?;
        progress.finish(trained.steps, &figure(&trained));
        if trained.stopped {
            let place = left.transpose()?.unwrap_or_default();
            let message = format!(
                "after step {}; `zor train --resume {}` continues",
                trained.steps,
                shown(&place)
            );
            return Err(Error::new(ErrorKind::Interrupted, message));
        }
        let notes = self.provenance.notes(&trained);
        save_for_certain(&path.join(MODEL), &|path| Ok(io::save(&trained.network, &notes, path)?))?;
        note(self.folder.log(&trained));
        Ok(trained)
    }

    /// Compares, draws and prints. Each part is done even if one before it failed; the first failure is returned at the end.
    fn report(self, trained: Training, device_name: String, json: bool) -> Result<()> {
        let Self { folder, settings, data, provenance, device, .. } = self;
        let mut failed = None;
        let mut keep = |error: Error| {
            tell!("warning: {error}");
            failed.get_or_insert(error);
        };
        let (mut baselines, mut twin) = (Vec::new(), None);
        if settings.baseline && !interrupt::asked() {
            let compared = match settings.task {
                TaskName::FashionReconstruction => {
                    train_baselines(&settings, &data, &device).map(|found| baselines = found)
                }
                _ => train_twin(&settings, &data, &device).map(|found| twin = found),
            };
            compared.unwrap_or_else(&mut keep);
        }
        let mut colours = Vec::new();
        if settings.task == TaskName::CifarColorization && !interrupt::asked() {
            let twin = twin.iter().map(|twin: &Training| (report::TWIN, &twin.network));
            let networks: Vec<_> = [("Zor", &trained.network)].into_iter().chain(twin).collect();
            let found = comparison::compare(&data, &networks, &device);
            found.map(|found| colours = found).unwrap_or_else(&mut keep);
        }
        let mut cosines = Vec::new();
        if settings.task.is_classification() && !interrupt::asked() {
            let found = alignment::of_run(&trained.network, &settings, &data);
            found.map(|found| cosines = found).unwrap_or_else(&mut keep);
        }
        let run = Run {
            settings,
            data,
            trained,
            baselines,
            twin,
            colours,
            cosines,
            device,
            device_name,
            folder: folder.path().to_path_buf(),
            identity: provenance.run().to_owned(),
        };
        curve::draw(&run).unwrap_or_else(&mut keep);
        match &run.trained.evaluation().confusion {
            Some(found) => confusion::draw(&run, found).unwrap_or_else(&mut keep),
            None => pictures::samples(&run).unwrap_or_else(&mut keep),
        }
        report::table(&run, json);
        if json {
            report::json(&run)?;
        }
        match failed {
            None if interrupt::asked() => {
                let message = "after the training, whose files are complete; the comparison is not";
                Err(Error::new(ErrorKind::Interrupted, message))
            }
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}

/// Says an error that costs nothing that was learned.
fn note(result: Result<()>) {
    if let Err(error) = result {
        tell!("warning: {error}");
    }
}

/// Saves, again and again for half a minute if the disk refuses, then in the system's folder for temporary files.
fn save_for_certain(path: &Path, save: &dyn Fn(&Path) -> Result<()>) -> Result<()> {
    let mut result = save(path);
    for pause in PAUSES {
        match &result {
            Err(error) if error.kind() == ErrorKind::FileSystem && !interrupt::asked() => {
                tell!("warning: {error}; trying again in {pause} s, Ctrl-C ends the attempts");
            }
            _ => break,
        }
        let end = std::time::Instant::now() + Duration::from_secs(pause);
        while std::time::Instant::now() < end && !interrupt::asked() {
            std::thread::sleep(Duration::from_millis(50));
        }
        result = save(path);
    }
    let name = path.file_name().unwrap_or_default().to_owned();
    result.or_else(|error| {
        let saved =
            keep_elsewhere(error, |folder| save(&folder.join(&name)).map(|()| folder.join(&name)));
        let saved = saved?;
        let message =
            format!("the model could not be saved in its folder; it is {}", shown(&saved));
        Err(Error::new(ErrorKind::FileSystem, message))
    })
}

/// Saves in a new folder for temporary files, after an error elsewhere.
fn keep_elsewhere(error: Error, save: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("zor-{}", std::process::id()));
    let made =
        fs::create_dir_all(&folder).map_err(|e| Error::file_system(&folder, "make the folder", &e));
    match made.and_then(|()| save(&folder)) {
        Ok(path) => {
            tell!("warning: {error}; saved in {} instead", shown(&folder));
            Ok(path)
        }
        Err(second) => Err(error.with_advice(format_args!("and {second}"))),
    }
}

/// An error of a device with the way to continue: the weights cannot be read any more, but the last checkpoint can.
fn with_checkpoint(error: Error, folder: &Path) -> Error {
    if !matches!(error.kind(), ErrorKind::Device | ErrorKind::Diverged) {
        return error;
    }
    match checkpoint::latest(folder) {
        Ok(path) => error.with_advice(format_args!(
            "`zor train --resume {}` continues from the last checkpoint",
            shown(&path)
        )),
        Err(_) => error.with_advice("no checkpoint was kept; --checkpoint-every N keeps some"),
    }
}

/// The two MLPs; fewer if the user asks for an end.
fn train_baselines(settings: &Settings, data: &RunData, device: &Device) -> Result<Vec<Baseline>> {
    let mut baselines = Vec::new();
    for output in [Output::Sigmoid, Output::Linear] {
        let steps = baseline::steps(settings);
        let about = format!("{steps} steps of the same batches");
        let mut progress = Progress::start(output.name(), steps, about);
        let baseline = baseline::train(settings, data, output, device, &mut |step| {
            progress.show(step, String::new);
            next()
        })?;
        let figure = format!("best {:.2} dB", baseline.best.psnr_db());
        progress.finish(steps, &figure);
        if interrupt::asked() {
            break;
        }
        baselines.push(baseline);
    }
    Ok(baselines)
}

/// The same network under burn's autodiff, with the same optimizer, batches and steps; `None` if the user asks for an end.
fn train_twin(settings: &Settings, data: &RunData, device: &Device) -> Result<Option<Training>> {
    let about = format!("{} steps of the same network", settings.steps);
    let mut progress = Progress::start("backprop", settings.steps, about);
    let twin = train::run(settings, data, device, Teacher::Autodiff, &mut |training| {
        progress.show(training.steps, || figure(training));
        next()
    })?;
    progress.finish(twin.steps, &figure(&twin));
    Ok((!twin.stopped).then_some(twin))
}

/// The last figure of a training for people.
fn figure(training: &Training) -> String {
    training.curve.last().map_or_else(String::new, |point| {
        format!("{:.2} {}", point.evaluation.headline(), point.evaluation.unit())
    })
}

fn next() -> Next {
    if interrupt::asked() { Next::Stop } else { Next::Continue }
}

/// Sets the number of threads of the whole process; `None` is one for each core.
pub(crate) fn set_threads(threads: Option<usize>) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
    pool.build_global()
        .map_err(|error| Error::new(ErrorKind::Device, format!("cannot start threads: {error}")))
}

fn count(n: usize) -> String {
    format!("{n} image{}", if n == 1 { "" } else { "s" })
}

/// Reads a file of settings. Relative paths in it start at its folder.
fn read_config(path: &Path) -> Result<Options> {
    let text = match fs::metadata(path) {
        Ok(about) if about.is_file() => fs::read_to_string(path),
        Ok(_) => {
            return Err(Error::in_file(
                path,
                "it is not a regular file (a folder, a pipe or a device)",
            ));
        }
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::in_file(path, "there is no such file"),
        std::io::ErrorKind::InvalidData => Error::in_file(path, "it is not text in UTF-8"),
        _ => Error::file_system(path, "read it", &error),
    })?;
    // The parser's message spans lines; the first gives the place, the last the reason.
    let mut options: Options = toml::from_str(&text).map_err(|error| {
        let message = explained(error.message());
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        Error::input(format!("{}, line {line}: {message}", shown(path)))
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let places = [("images", &mut options.images), ("data_dir", &mut options.data_dir)];
    for (key, place) in places {
        if let Some(place) = place {
            if place.as_os_str().is_empty() {
                return Err(Error::in_file(
                    path,
                    format!("{key} is empty; give a path, or leave it out"),
                ));
            }
            *place = absolute(&folder.join(&*place))?;
        }
    }
    Ok(options)
}

/// A path from the root, so that the settings of a run hold wherever they are read.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::file_system(path, "find its folder", &error))
}
