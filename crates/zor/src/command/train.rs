//! `zor train`: trains a task's network and writes the model, metrics and pictures to a run folder.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zor_core::burn::tensor::Device;
use zor_data::table::Table;

use super::arguments::TrainArguments;
use super::out_of_memory::{Purpose, set_purpose};
use super::progress::{Progress, Shown};
use super::results::Results;
use super::{absolute, confusion_svg, image_grid, interrupt, learning_curve_svg, outputs};
use crate::report::{Picture, Report, Row};
use crate::settings::Options;
use crate::task::{Data, Outcome, Plan};
use crate::tasks::parts::comparison::{curve, headline};
use crate::training::checkpoint::{self, Checkpoint, Provenance};
use crate::training::memory;
use crate::training::run_folder::{
    self as run, CURVE, Destination, MODEL, RunFolder, RunRecord, RunState,
};
use crate::training::warnings::warnings;
use crate::training::{Method, Training};
use crate::{Error, ErrorKind, Result, shown};

/// Seconds to wait between attempts to save a trained network.
const PAUSES: [u64; 4] = [1, 4, 10, 15];

pub(super) fn run(arguments: &TrainArguments) -> Result<()> {
    interrupt::watch()?;
    let resumed = arguments.resume.as_deref().map(Resumed::find).transpose()?;
    let from = arguments.from.as_deref().map(Origin::find).transpose()?;
    let others = match (&resumed, &arguments.config) {
        (Some(resumed), _) => resumed.options.clone(),
        (None, Some(path)) => read_config(path)?,
        (None, None) => Options::default(),
    };
    let given = arguments.options()?.or(others);
    let given = match &from {
        Some(from) if from.is_of_task(&given) => given.or(from.options.clone()),
        _ => given,
    };
    let mut plan = Plan::resolve(&given)?;
    let destination = destination(arguments, &plan, resumed.as_ref())?;
    destination.check()?;
    let settings = &plan.settings;
    set_threads(settings.threads)?;
    settings.precision.set();
    let (device_name, device) = crate::named_device(&settings.device)?;
    crate::check_precision(&device_name, &device, settings.precision)?;
    set_purpose(Purpose::Data);
    let data = plan.task.load(settings, &mut |line| tell!("{line}"));
    let data = data.map_err(|error| match (&resumed, &settings.data) {
        (Some(_), Some(_)) => {
            error.with_advice("if the training data was moved, give its new path with --data")
        }
        _ => error,
    })?;
    plan.fit_to(&given, &data)?;
    let settings = &plan.settings;
    set_purpose(Purpose::Network);
    let digest = from.as_ref().map(Origin::digest).transpose()?;
    let mut provenance = Provenance::new(&plan, &data, digest.as_deref())?;
    let start = match (&resumed, &from) {
        (None, None) => Training::start(&plan, &data, &device)?,
        (None, Some(from)) => {
            let (network, _) = zor_io::load(&from.path, &device)?;
            Training::start_from(&network, &plan, &data)
                .map_err(|error| error.at(shown(&from.path)))?
        }
        (Some(resumed), _) => {
            let checkpoint = Checkpoint::load(&resumed.checkpoint, &device)?;
            checkpoint.check(settings, &provenance)?;
            if let (true, Some(run)) = (resumed.continues_in(&destination), &checkpoint.run) {
                provenance = provenance.continued(run);
            }
            checkpoint.training
        }
    };
    memory::check_batches(settings, &data, &start.network)?;
    set_purpose(Purpose::Training);
    for warning in warnings(&plan, &data, &start.network) {
        tell!("warning: {warning}");
    }
    if let Some(every) = arguments.checkpoint_every.filter(|every| *every > settings.steps) {
        tell!(
            "warning: no checkpoint will be saved: --checkpoint-every {every} is more than the {} steps of the training",
            settings.steps
        );
    }
    let mut work = Work {
        folder: destination.open()?,
        plan,
        data,
        provenance,
        device,
        every: arguments.checkpoint_every,
        keep: arguments.keep,
    };
    let record = RunRecord::start(
        work.provenance.run(),
        work.plan.task.name(),
        start.steps,
        work.plan.settings.steps,
    );
    let text = work.plan.settings.to_toml()?;
    work.folder.begin(record, &text, &start)?;
    note(work.folder.name_latest());
    interrupt::note_in(work.folder.path());
    interrupt::save_first();
    if let Some(resumed) = &resumed {
        tell!("resuming from {}", shown(&resumed.checkpoint));
    }
    let about = format!(
        "{} steps, training on {} ({}), evaluating on {}",
        work.plan.settings.steps,
        count(&work.data),
        work.data.source,
        work.data.evaluation_name,
    );
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
    work.report(trained, &device_name, arguments.json)
}

/// The checkpoint that a training is resumed from.
struct Resumed {
    checkpoint: PathBuf,
    step: u64,
    run: Option<String>,
    options: Options,
}

impl Resumed {
    /// Finds the checkpoint for a path: a checkpoint file, or the newest valid one in a run folder
    /// or in the last run of a task folder.
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
        let header = zor_io::info(&checkpoint)?;
        let step = header.progress.as_ref().map_or(0, |progress| progress.step);
        let options = checkpoint::options_of(&header, &checkpoint)?;
        Ok(Self { checkpoint, step, run: header.notes.get("run").cloned(), options })
    }

    /// Returns the folder of the checkpoint.
    fn folder(&self) -> PathBuf {
        let folder = self.checkpoint.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).to_path_buf()
    }

    fn continues_in(&self, destination: &Destination) -> bool {
        matches!(destination, Destination::Resumed { path, .. } if *path == self.folder())
    }
}

/// The model that the weights are initialized from.
struct Origin {
    path: PathBuf,
    /// Settings that it was trained with.
    options: Options,
}

impl Origin {
    /// Finds the model for a path: a model or checkpoint file, a run folder or a task folder.
    fn find(path: &Path) -> Result<Self> {
        let path = run::model_file(path)?;
        let header = zor_io::info(&path)?;
        let options = checkpoint::settings_of(&header.notes).ok_or_else(|| {
            Error::in_file(
                &path,
                "its metadata has no training settings; give a model saved by `zor train`",
            )
        });
        Ok(Self { options: options?, path })
    }

    /// Whether the model was trained on the task that is given, or no task is given.
    fn is_of_task(&self, given: &Options) -> bool {
        let task = |options: &Options| options.get::<String>("task");
        task(given).is_none_or(|name| task(&self.options) == Some(name))
    }

    /// Returns the SHA-256 digest of the file.
    fn digest(&self) -> Result<String> {
        let bytes = fs::read(&self.path)
            .map_err(|error| Error::file_system(&self.path, "read it", &error))?;
        Ok(checkpoint::digest_of(&bytes))
    }
}

/// Chooses the folder to write the run to. Refuses to overwrite files that the run reads or needs.
fn destination(
    arguments: &TrainArguments,
    plan: &Plan,
    resumed: Option<&Resumed>,
) -> Result<Destination> {
    if arguments.overwrite && arguments.out.is_none() && resumed.is_none() {
        return Err(Error::input(
            "--overwrite has no effect here: every run gets a new folder; give the one to replace with --out",
        ));
    }
    let inputs = [&arguments.config, &plan.settings.data, &arguments.from];
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
            None => Destination::New(Path::new("runs").join(plan.task.name())),
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
        tell!("warning: {error}; a new one is written");
        None
    });
    if let (Some(record), Some(run)) = (record, &resumed.run)
        && *run != record.run
    {
        return Err(Error::in_file(
            &resumed.checkpoint,
            "its folder belongs to another run; give another folder with --out",
        ));
    }
    let steps = plan.settings.steps;
    // With other settings, the run would overwrite the later checkpoints one by one.
    let is_repetition =
        Plan::resolve(&resumed.options).is_ok_and(|before| before.settings.steps == steps);
    let later = checkpoint::later(&folder, resumed.step)?.filter(|_| !is_repetition);
    if let Some(later) = later.filter(|_| !arguments.overwrite) {
        return Err(Error::in_file(
            &folder,
            format!(
                "it has a later checkpoint, of step {later}; resume from that one, give a new folder with --out, or remove later checkpoints with --overwrite"
            ),
        ));
    }
    let overwrite = arguments.overwrite;
    Ok(Destination::Resumed { path: folder, step: resumed.step, overwrite })
}

/// A training and its run folder.
struct Work {
    folder: RunFolder,
    plan: Plan,
    data: Data,
    provenance: Provenance,
    device: Device,
    /// Number of steps between checkpoints, if they are saved.
    every: Option<u64>,
    /// Number of most recent checkpoints to keep.
    keep: usize,
}

impl Work {
    /// Trains and saves the model. If the user stops the training, saves a checkpoint.
    fn train(&mut self, start: Training, about: &str) -> Result<Training> {
        let mut progress = Progress::start("zor", self.plan.settings.steps, about);
        let (folder, plan, provenance) = (&mut self.folder, &self.plan, &self.provenance);
        let settings = &plan.settings;
        let path = folder.path().to_path_buf();
        let (every, keep) = (self.every, self.keep);
        let mut left = None;
        let mut log_failed = false;
        let trained = start.run(plan, &self.data, Method::LocalRule, &mut |training| {
            progress.show(training.steps, || headline(training));
            // An error here must not end the training: the next call writes the missing
            // evaluations.
            let failed = folder.log(training).err();
            if let Some(error) = failed.as_ref().filter(|_| !log_failed) {
                progress.remark(format_args!("warning: {error}; the training continues"));
            }
            log_failed = failed.is_some();
            let next = next();
            let due = every.is_some_and(|every| training.steps.is_multiple_of(every));
            let has_ended = training.steps == settings.steps;
            let mut save = || checkpoint::save(training, settings, provenance, &path);
            if next.is_break() && !has_ended {
                left = Some(save().or_else(|error| {
                    keep_elsewhere(error, |path| {
                        checkpoint::save(training, settings, provenance, path)
                    })
                }));
            } else if due {
                let kept =
                    save().and_then(|_| checkpoint::prune(&path, provenance, keep, training));
                if let Err(error) = kept {
                    progress.remark(format_args!("warning: {error}; the training continues"));
                }
            }
            next
        });
        let mut trained = trained.map_err(|error| with_checkpoint(error, &path))?;
        progress.finish(trained.steps, &headline(&trained));
        if trained.stopped {
            let place = left.transpose()?.unwrap_or_default();
            let message = format!(
                "after step {}; resume with `zor train --resume {}`",
                trained.steps,
                shown(&place)
            );
            return Err(Error::new(ErrorKind::Interrupted, message));
        }
        let mut notes = self.provenance.notes(&trained);
        let calibrated = self.plan.task.calibrate(&Outcome {
            plan: &self.plan,
            data: &self.data,
            network: &trained.network,
            evaluation: &trained.evaluation(),
            device: &self.device,
            folder: &path,
        })?;
        if let (Some(calibrated), Some(last)) = (calibrated, trained.curve.last_mut()) {
            notes.extend(calibrated.notes);
            last.evaluation = calibrated.evaluation;
        }
        save_for_certain(&path.join(MODEL), &|path| {
            Ok(zor_io::save(&trained.network, &notes, path)?)
        })?;
        note(self.folder.log(&trained));
        Ok(trained)
    }

    /// Compares with baselines, writes pictures and prints results. A failing part does not stop
    /// the others; the first error is returned.
    fn report(self, trained: Training, device_name: &str, json: bool) -> Result<()> {
        let Self { folder: mut run_folder, plan, data, provenance, device, .. } = self;
        let (folder, identity) = (run_folder.path().to_path_buf(), provenance.run());
        let folder = &folder;
        let outcome = Outcome {
            plan: &plan,
            data: &data,
            network: &trained.network,
            evaluation: &trained.evaluation(),
            device: &device,
            folder,
        };
        let own = Row {
            name: "Zor".to_owned(),
            figures: trained.evaluation().figures,
            seconds: Some(trained.train_seconds),
            curve: curve(&trained),
            ..Row::default()
        };
        let mut report = Report { rows: vec![own], axis: axis(&trained), ..Report::default() };
        plan.task.report(&outcome, &mut Shown::default(), &mut report);
        let drawn = learning_curve_svg::draw(&report, &folder.join(CURVE), identity);
        report.keep(drawn);
        let pictures = std::mem::take(&mut report.pictures);
        note(
            run_folder.record_pictures(pictures.iter().map(|one| one.file().to_owned()).collect()),
        );
        for picture in pictures {
            let drawn = draw(&picture, folder, identity);
            report.keep(drawn);
        }
        report.failures.iter().for_each(|error| tell!("warning: {error}"));
        let results = Results {
            settings: &plan.settings,
            data: &data,
            trained: &trained,
            report: &report,
            device: device_name,
            folder,
            identity,
        };
        results.print_table(json);
        if json {
            results.print_json();
        }
        match report.failures.into_iter().next() {
            None if interrupt::asked() => {
                let message = "after the training; its files are complete, the baselines are not";
                Err(Error::new(ErrorKind::Interrupted, message))
            }
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}

/// The default label of the learning curve's vertical axis.
fn axis(trained: &Training) -> String {
    let evaluation = trained.evaluation();
    evaluation.headline().map_or_else(String::new, |figure| {
        let (label, symbol) = (&figure.label, figure.symbol());
        let unit = if symbol.is_empty() { String::new() } else { format!(", {symbol}") };
        format!("{label} of unseen examples{unit}")
    })
}

/// Writes a picture of the report to the run folder.
fn draw(picture: &Picture, folder: &Path, identity: &str) -> Result<()> {
    match picture {
        Picture::Grid { file, rows, shape } => {
            image_grid::first_of(rows, *shape, &folder.join(file), &[("run", identity)])
        }
        Picture::Confusion { file, confusion, names } => {
            confusion_svg::draw(confusion, names, &folder.join(file), identity)
        }
        Picture::File { file, bytes } => Ok(zor_io::atomic::write(&folder.join(file), bytes)?),
    }
}

/// Prints an error as a warning. The trained model is not affected.
fn note(result: Result<()>) {
    if let Err(error) = result {
        tell!("warning: {error}");
    }
}

/// Saves a file; on file system errors, retries for half a minute and then saves in the system's
/// folder for temporary files.
fn save_for_certain(path: &Path, save: &dyn Fn(&Path) -> Result<()>) -> Result<()> {
    let mut result = save(path);
    for pause in PAUSES {
        match &result {
            Err(error) if error.kind() == ErrorKind::FileSystem && !interrupt::asked() => {
                tell!("warning: {error}; retrying in {pause} s; press Ctrl-C to stop retrying");
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
        let message = format!(
            "the model could not be saved in its folder; it was saved as {}",
            shown(&saved)
        );
        Err(Error::new(ErrorKind::FileSystem, message))
    })
}

/// Saves in a new folder for temporary files, after saving in the run folder has failed.
fn keep_elsewhere(error: Error, save: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("zor-{}", std::process::id()));
    let made = fs::create_dir_all(&folder)
        .map_err(|e| Error::file_system(&folder, "create the folder", &e));
    match made.and_then(|()| save(&folder)) {
        Ok(path) => {
            tell!("warning: {error}; saved in {} instead", shown(&folder));
            Ok(path)
        }
        Err(second) => Err(error.with_advice(format_args!("and {second}"))),
    }
}

/// Adds a remedy to a device error: the weights cannot be read any more, but the training can be
/// resumed from the last checkpoint.
fn with_checkpoint(error: Error, folder: &Path) -> Error {
    if !matches!(error.kind(), ErrorKind::Device | ErrorKind::Diverged) {
        return error;
    }
    match checkpoint::latest(folder) {
        Ok(path) => error.with_advice(format_args!(
            "`zor train --resume {}` resumes from the last checkpoint",
            shown(&path)
        )),
        Err(_) => error.with_advice("no checkpoint was saved; --checkpoint-every N saves some"),
    }
}

/// Returns `Break` if the user asked to stop.
fn next() -> ControlFlow<()> {
    if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Sets the number of threads of the process; `None` uses one per core.
pub(super) fn set_threads(threads: Option<usize>) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
    pool.build_global()
        .map_err(|error| Error::new(ErrorKind::Device, format!("cannot start threads: {error}")))
}

/// Formats the number of training examples.
fn count(data: &Data) -> String {
    let n = data.train.len();
    let unit = if n == 1 { data.unit.strip_suffix('s').unwrap_or(data.unit) } else { data.unit };
    format!("{n} {unit}")
}

/// Reads a settings file. Relative paths in it are resolved against its folder.
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
    let mut options =
        Options::parse(&text).map_err(|error| Error::input(format!("{}, {error}", shown(path))))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for key in ["data", "data_dir"] {
        let Some(place) = options.get::<PathBuf>(key) else { continue };
        if place.as_os_str().is_empty() {
            let message = format!("{key} is empty; give a path, or leave it out");
            return Err(Error::in_file(path, message));
        }
        let place = if Table::is_standard_input(&place) { place } else { folder.join(place) };
        options.set(key, absolute(&place)?.to_string_lossy().into_owned())?;
    }
    Ok(options)
}
