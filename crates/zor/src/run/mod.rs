//! A training run: a training whose model, metrics and pictures are written to a folder of its own.
//!
//! `zor train` and the Python package call it; they differ in what their [`Observer`] shows.

pub(crate) mod image_grid;
pub(crate) mod outputs;
pub(crate) mod results;

mod confusion_svg;
mod learning_curve_svg;
mod origin;
mod saving;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use zor_core::burn::tensor::Device;

use self::origin::{Origin, Resumed, continued};
use self::saving::{keep_elsewhere, save_for_certain, with_checkpoint};
use crate::report::{Picture, Report, Row, Watch};
use crate::settings::{Options, Settings};
use crate::task::{Data, Outcome, Plan};
use crate::tasks::parts::comparison::{curve, headline};
use crate::training::checkpoint::{self, Checkpoint, Provenance};
use crate::training::memory;
use crate::training::run_folder::{
    self, CURVE, Destination, MODEL, RunFolder, RunRecord, RunState,
};
use crate::training::warnings::warnings;
use crate::training::{Method, Training};
use crate::{Error, ErrorKind, Result, shown};

/// What a run does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It reads data.
    Data,
    /// It builds the network.
    Network,
    /// It trains.
    Training,
}

/// Observer of a run. It shows the progress of the network and of the baselines, and can stop both.
pub trait Observer: Watch {
    /// Called with a line for the user, such as a warning.
    fn tell(&mut self, line: &str);

    /// Called when a phase begins.
    fn begin(&mut self, _phase: Phase) {}

    /// Called when the folder of the run exists. From then on a stop saves a checkpoint.
    fn open(&mut self, _folder: &Path) {}

    /// Called after each training step.
    fn trained(&mut self, _training: &Training) {}
}

/// What to train, from which start, and where to write it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Settings that are given.
    pub options: Options,
    /// Run folder; `None` for a new one in `runs/TASK`.
    pub out: Option<PathBuf>,
    /// Whether to replace the run in the folder.
    pub overwrite: bool,
    /// Checkpoint to resume from, or the folder of a run or task.
    pub resume: Option<PathBuf>,
    /// Model whose weights the training starts with, or the folder of a run or task.
    pub from: Option<PathBuf>,
    /// File with settings, which is read and never overwritten.
    pub config: Option<PathBuf>,
    /// Number of steps between checkpoints.
    pub checkpoint_every: Option<u64>,
    /// Number of most recent checkpoints to keep.
    pub keep: usize,
}

impl Request {
    /// A request to train with these settings in a new folder.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            out: None,
            overwrite: false,
            resume: None,
            from: None,
            config: None,
            checkpoint_every: None,
            keep: 3,
        }
    }

    /// Resolves the settings and checks the folder. Nothing is written.
    ///
    /// # Errors
    /// When a setting is not valid, there is no such checkpoint or model, or the run would
    /// overwrite files that it reads or another run.
    pub fn prepare(self, observer: &mut dyn Observer) -> Result<Prepared> {
        let resume = self.resume.as_deref();
        let resumed = resume.map(|path| Resumed::find(path, observer)).transpose()?;
        let from = self.from.as_deref().map(Origin::find).transpose()?;
        let given = match &resumed {
            Some(resumed) => self.options.clone().or(resumed.options.clone()),
            None => self.options.clone(),
        };
        let given = match &from {
            Some(from) if from.is_of_task(&given) => given.or(from.options.clone()),
            _ => given,
        };
        let plan = Plan::resolve(&given)?;
        let destination = destination(&self, &plan, resumed.as_ref(), observer)?;
        destination.check()?;
        Ok(Prepared { request: self, given, plan, destination, resumed, from })
    }
}

/// A run that can be started.
#[derive(Debug)]
pub struct Prepared {
    request: Request,
    given: Options,
    plan: Plan,
    destination: Destination,
    resumed: Option<Resumed>,
    from: Option<Origin>,
}

/// Chooses the folder to write the run to. Refuses to overwrite files that the run reads or needs.
fn destination(
    request: &Request,
    plan: &Plan,
    resumed: Option<&Resumed>,
    observer: &mut dyn Observer,
) -> Result<Destination> {
    if request.overwrite && request.out.is_none() && resumed.is_none() {
        return Err(Error::input(
            "--overwrite has no effect here: every run gets a new folder; give the one to replace with --out",
        ));
    }
    let inputs = [&request.config, &plan.settings.data, &request.from];
    let inputs = || inputs.iter().filter_map(|path| path.as_deref());
    if let Some(out) = &request.out {
        outputs::check(out, inputs())?;
        if request.overwrite {
            outputs::check(&out.join(run_folder::SETTINGS), inputs())?;
        }
    }
    let Some(resumed) = resumed else {
        return Ok(match &request.out {
            Some(path) => Destination::Folder { path: path.clone(), overwrite: request.overwrite },
            None => Destination::New(Path::new("runs").join(plan.task.name())),
        });
    };
    let folder = resumed.folder();
    let is_other = |out: &PathBuf| {
        let whole = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        whole(out) != whole(&folder)
    };
    if let Some(path) = request.out.clone().filter(is_other) {
        return Ok(Destination::Folder { path, overwrite: request.overwrite });
    }
    let record = RunRecord::read(&folder).unwrap_or_else(|error| {
        observer.tell(&format!("warning: {error}; a new one is written"));
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
    if let Some(later) = later.filter(|_| !request.overwrite) {
        return Err(Error::in_file(
            &folder,
            format!(
                "it has a later checkpoint, of step {later}; resume from that one, give a new folder with --out, or remove later checkpoints with --overwrite"
            ),
        ));
    }
    let overwrite = request.overwrite;
    Ok(Destination::Resumed { path: folder, step: resumed.step, overwrite })
}

impl Prepared {
    /// The settings of the run, before they are adapted to the data.
    pub fn settings(&self) -> &Settings {
        &self.plan.settings
    }

    /// Trains, saves the model, compares it with baselines and draws pictures.
    ///
    /// # Errors
    /// When the data cannot be read or does not fit, the training fails or is stopped
    /// ([`ErrorKind::Interrupted`], after saving a checkpoint), or the model cannot be saved. A
    /// baseline or a picture that fails is in [`Finished::failure`].
    pub fn run(self, observer: &mut dyn Observer) -> Result<Finished> {
        let Self { request, given, mut plan, destination, resumed, from } = self;
        let settings = &plan.settings;
        settings.precision.set();
        let (device_name, device) = crate::named_device(&settings.device)?;
        crate::check_precision(&device_name, &device, settings.precision)?;
        observer.begin(Phase::Data);
        let mut tell = |line: &str| observer.tell(line);
        let origin = continued(resumed.as_ref(), from.as_ref())?;
        let data = match &origin {
            Some((_, notes)) => plan.task.load_continued(settings, notes, &mut tell),
            None => plan.task.load(settings, &mut tell),
        };
        let data = data.map_err(|error| match (&resumed, &settings.data) {
            (Some(_), Some(_)) => error.with_advice(match settings.translation.dev {
                None => "if the training data was moved, give its new path with --data",
                Some(_) => "if the data was moved, give its new paths with --data and --dev",
            }),
            _ => error,
        })?;
        plan.fit_to(&given, &data)?;
        let settings = &plan.settings;
        observer.begin(Phase::Network);
        let digest = origin.as_ref().map(|(digest, _)| &**digest);
        let mut provenance = Provenance::new(&plan, &data, digest)?;
        let start = match (&resumed, &from) {
            (None, None) => Training::start(&plan, &data, &device)?,
            (None, Some(from)) => {
                let (network, _) = zor_io::load(&from.path, &device)?;
                Training::start_from(&network, &plan, &data)
                    .map_err(|error| error.at(shown(&from.path)))?
            }
            (Some(resumed), _) => {
                let checkpoint = Checkpoint::load(&resumed.checkpoint, &device)?;
                checkpoint.check(settings, &provenance, resumed.was_stopped())?;
                if let (true, Some(run)) = (resumed.continues_in(&destination), &checkpoint.run) {
                    provenance = provenance.continued(run);
                }
                checkpoint.training
            }
        };
        memory::check_batches(settings, &data, &start.network)?;
        observer.begin(Phase::Training);
        for warning in warnings(&plan, &data, &start.network) {
            observer.tell(&format!("warning: {warning}"));
        }
        if let Some(every) = request.checkpoint_every.filter(|every| *every > settings.steps) {
            observer.tell(&format!(
                "warning: no checkpoint will be saved: --checkpoint-every {every} is more than the {} steps of the training",
                settings.steps
            ));
        }
        let mut work = Work {
            folder: destination.open()?,
            plan,
            data,
            provenance,
            device,
            every: request.checkpoint_every,
            keep: request.keep,
        };
        let record = RunRecord::start(
            work.provenance.run(),
            work.plan.task.name(),
            start.steps,
            work.plan.settings.steps,
        );
        let text = work.plan.settings.to_toml()?;
        work.folder.begin(record, &text, &start)?;
        note(work.folder.name_latest(), observer);
        observer.open(work.folder.path());
        if let Some(resumed) = &resumed {
            observer.tell(&format!("resuming from {}", shown(&resumed.checkpoint)));
        }
        let about = format!(
            "{} steps, training on {} ({}), evaluating on {}",
            work.plan.settings.steps,
            count(&work.data),
            work.data.source,
            work.data.evaluation_name,
        );
        let trained = match work.train(start, &about, observer) {
            Ok(trained) => trained,
            Err(error) => {
                let state = match error.kind() {
                    ErrorKind::Interrupted => RunState::Stopped,
                    _ => RunState::Failed,
                };
                note(work.folder.finish(state, None, Some(error.to_string())), observer);
                return Err(error);
            }
        };
        note(work.folder.finish(RunState::Done, Some(&trained), None), observer);
        Ok(work.report(trained, device_name, observer))
    }
}

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    /// The task and its settings.
    pub plan: Plan,
    /// The data.
    pub data: Data,
    /// The training, with the network.
    pub trained: Training,
    /// Table, further metrics and lines for the user.
    pub report: Report,
    /// Name of the device.
    pub device: String,
    /// Run folder.
    pub folder: PathBuf,
    /// Identity of the run.
    pub identity: String,
    /// The first baseline or picture that failed, or the stop during them.
    pub failure: Option<Error>,
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
    /// Trains and saves the model. If the observer stops the training, saves a checkpoint.
    fn train(
        &mut self,
        start: Training,
        about: &str,
        observer: &mut dyn Observer,
    ) -> Result<Training> {
        observer.start("zor", self.plan.settings.steps, about);
        let (folder, plan, provenance) = (&mut self.folder, &self.plan, &self.provenance);
        let settings = &plan.settings;
        let path = folder.path().to_path_buf();
        let (every, keep) = (self.every, self.keep);
        let mut left = None;
        let mut log_failed = false;
        let mut told = start.symptoms().len();
        let trained = start.run(plan, &self.data, Method::LocalRule, &mut |training| {
            observer.step(training.steps, &mut || headline(training));
            observer.trained(training);
            for symptom in training.symptoms().iter().skip(told) {
                observer.tell(&format!("warning: {symptom}"));
            }
            told = training.symptoms().len();
            // An error here must not end the training: the next call writes the missing
            // evaluations.
            let failed = folder.log(training).err();
            if let Some(error) = failed.as_ref().filter(|_| !log_failed) {
                observer.tell(&format!("warning: {error}; the training continues"));
            }
            log_failed = failed.is_some();
            let is_stopped = observer.is_stopped();
            let due = every.is_some_and(|every| training.steps.is_multiple_of(every));
            let has_ended = training.steps == settings.steps;
            if is_stopped && !has_ended {
                let saved = checkpoint::save(training, settings, provenance, &path);
                left = Some(saved.or_else(|error| {
                    let save = |path: &Path| checkpoint::save(training, settings, provenance, path);
                    keep_elsewhere(error, save, observer)
                }));
            } else if due {
                let kept = checkpoint::save(training, settings, provenance, &path)
                    .and_then(|_| checkpoint::prune(&path, provenance, keep, training));
                if let Err(error) = kept {
                    observer.tell(&format!("warning: {error}; the training continues"));
                }
            }
            if is_stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let mut trained = trained.map_err(|error| with_checkpoint(error, &path))?;
        observer.finish(trained.steps, &headline(&trained));
        for symptom in trained.symptoms().iter().skip(told) {
            observer.tell(&format!("warning: {symptom}"));
        }
        if trained.stopped {
            let place = left.transpose()?.unwrap_or_default();
            return Err(stopped(&format!("after step {}", trained.steps), &place));
        }
        let mut notes = provenance.notes(&trained);
        let outcome = Outcome {
            plan,
            data: &self.data,
            network: &trained.network,
            evaluation: &trained.evaluation(),
            device: &self.device,
            folder: &path,
        };
        let calibrated = match plan.task.calibrate(&outcome, observer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                let place = checkpoint::save(&mut trained, settings, provenance, &path)?;
                return Err(stopped(&error.to_string(), &place));
            }
            calibrated => calibrated?,
        };
        if let (Some(calibrated), Some(last)) = (calibrated, trained.curve.last_mut()) {
            notes.extend(calibrated.notes);
            last.evaluation = calibrated.evaluation;
        }
        save_for_certain(
            &path.join(MODEL),
            &|path| Ok(zor_io::save(&trained.network, &notes, path)?),
            observer,
        )?;
        note(self.folder.log(&trained), observer);
        Ok(trained)
    }

    /// Compares with baselines and writes pictures. A failing part does not stop the others.
    fn report(
        self,
        trained: Training,
        device_name: String,
        observer: &mut dyn Observer,
    ) -> Finished {
        let Self { folder: mut run_folder, plan, data, provenance, device, .. } = self;
        let (folder, identity) = (run_folder.path().to_path_buf(), provenance.run());
        let outcome = Outcome {
            plan: &plan,
            data: &data,
            network: &trained.network,
            evaluation: &trained.evaluation(),
            device: &device,
            folder: &folder,
        };
        let own = Row {
            name: "Zor".to_owned(),
            figures: trained.evaluation().figures,
            seconds: Some(trained.train_seconds),
            curve: curve(&trained),
            ..Row::default()
        };
        let mut report = Report { rows: vec![own], axis: axis(&trained), ..Report::default() };
        plan.task.report(&outcome, observer, &mut report);
        let drawn = learning_curve_svg::draw(&report, &folder.join(CURVE), identity);
        report.keep(drawn);
        let pictures = std::mem::take(&mut report.pictures);
        let names = pictures.iter().map(|one| one.file().to_owned()).collect();
        note(run_folder.record_pictures(names), observer);
        for picture in pictures {
            let drawn = draw(&picture, &folder, identity);
            report.keep(drawn);
        }
        for error in &report.failures {
            observer.tell(&format!("warning: {error}"));
        }
        let failure = match report.failures.is_empty() {
            false => Some(report.failures.remove(0)),
            true => observer.is_stopped().then(|| {
                let message = "after the training; its files are complete, the baselines are not";
                Error::new(ErrorKind::Interrupted, message)
            }),
        };
        let identity = identity.to_owned();
        Finished { plan, data, trained, report, device: device_name, folder, identity, failure }
    }
}

/// The error of a training that was stopped, with the checkpoint that resumes it.
fn stopped(when: &str, checkpoint: &Path) -> Error {
    let message = format!("{when}; resume with `zor train --resume {}`", shown(checkpoint));
    Error::new(ErrorKind::Interrupted, message)
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

/// Shows an error as a warning. The trained model is not affected.
fn note(result: Result<()>, observer: &mut dyn Observer) {
    if let Err(error) = result {
        observer.tell(&format!("warning: {error}"));
    }
}

/// Formats the number of training examples.
fn count(data: &Data) -> String {
    let n = data.train.len();
    let unit = if n == 1 { data.unit.strip_suffix('s').unwrap_or(data.unit) } else { data.unit };
    format!("{n} {unit}")
}
