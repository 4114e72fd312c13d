//! Tasks: training runs, and the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use serde_json::{Value, json};
use zor::report::Watch;
use zor::run::{Observer, Request};
use zor::task::Figure;
use zor::training::Training;
use zor::{ErrorKind, tasks};

use crate::detector::options;
use crate::error::exception;
use crate::exit;
use crate::interrupt::{Signals, compute_heard};

/// Shows a run to Python functions.
struct Told<'a> {
    /// Called with the name of a training, its number of steps, and what it is.
    on_start: Py<PyAny>,
    /// Called with the number of steps and the most important metric.
    on_step: Py<PyAny>,
    /// Called with the JSON of each evaluation; its exception stops the run.
    on_evaluation: Py<PyAny>,
    /// Called with lines for the user.
    on_line: Py<PyAny>,
    signals: Signals<'a>,
    /// Number of evaluations that were shown.
    evaluations: usize,
    /// The exception that stopped the run.
    raised: Option<PyErr>,
}

impl Told<'_> {
    fn note(&mut self, result: PyResult<()>) {
        if let Err(error) = result {
            self.raised.get_or_insert(error);
        }
    }
}

impl Watch for Told<'_> {
    fn start(&mut self, name: &'static str, steps: u64, about: &str) {
        let told = exit::attach(|py| self.on_start.call1(py, (name, steps, about)).map(drop));
        self.note(told);
    }

    fn step(&mut self, step: u64, figure: &mut dyn FnMut() -> String) {
        let on_step = &self.on_step;
        let told = self.signals.check(|py| on_step.call1(py, (step, figure())).map(drop));
        self.note(told);
    }

    fn finish(&mut self, step: u64, figure: &str) {
        let told = exit::attach(|py| self.on_step.call1(py, (step, figure)).map(drop));
        self.note(told);
    }

    fn is_stopped(&self) -> bool {
        self.raised.is_some()
    }
}

impl Observer for Told<'_> {
    fn tell(&mut self, line: &str) {
        let told = exit::attach(|py| self.on_line.call1(py, (line,)).map(drop));
        self.note(told);
    }

    fn trained(&mut self, training: &Training) {
        while let Some(point) = training.curve.get(self.evaluations) {
            self.evaluations += 1;
            let mut metrics = json!({
                "step": point.step,
                "train_seconds": point.seconds,
                "training_mae": point.training.mae(),
            });
            for Figure { name, value, .. } in &point.evaluation.figures {
                metrics[name] = json!(value);
            }
            let text = metrics.to_string();
            let told = exit::attach(|py| self.on_evaluation.call1(py, (text,)).map(drop));
            self.note(told);
        }
    }
}

/// Trains a task in a run folder. Returns the results as JSON.
#[pyfunction]
#[pyo3(signature = (settings, out, overwrite, resume, from_model, checkpoint_every, keep, told))]
#[allow(clippy::too_many_arguments, reason = "called by one function in Python")]
pub(crate) fn train(
    py: Python<'_>,
    settings: &str,
    out: Option<PathBuf>,
    overwrite: bool,
    resume: Option<PathBuf>,
    from_model: Option<PathBuf>,
    checkpoint_every: Option<u64>,
    keep: usize,
    told: (Py<PyAny>, Py<PyAny>, Py<PyAny>, Py<PyAny>),
) -> PyResult<String> {
    let request = Request {
        out,
        overwrite,
        resume,
        from: from_model,
        checkpoint_every,
        keep,
        ..Request::new(options(settings)?)
    };
    let (on_start, on_step, on_evaluation, on_line) = told;
    compute_heard(py, |signals| {
        let mut told = Told {
            on_start,
            on_step,
            on_evaluation,
            on_line,
            signals,
            evaluations: 0,
            raised: None,
        };
        let run = request.prepare(&mut told).and_then(|prepared| prepared.run(&mut told));
        let failure = match run {
            Ok(finished) => match finished.failure {
                None => {
                    let mut results = finished.to_json();
                    results["table"] = Value::String(finished.table());
                    return Ok(results.to_string());
                }
                Some(error) => error,
            },
            Err(error) => error,
        };
        match told.raised.take() {
            // The message says where the checkpoint is.
            Some(raised) if failure.kind() == ErrorKind::Interrupted => {
                let note = format!("stopped {failure}");
                Err(exit::attach(|py| with_note(py, raised, note)))
            }
            Some(raised) => Err(raised),
            None => Err(exception(failure)),
        }
    })
}

/// Adds a note to an exception: as its message where Ctrl-C has none.
fn with_note(py: Python<'_>, error: PyErr, note: String) -> PyErr {
    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        return PyKeyboardInterrupt::new_err(note);
    }
    // Python 3.10 has no notes.
    let _ = error.value(py).call_method1("add_note", (note,));
    error
}

/// Returns the names and descriptions of all tasks.
#[pyfunction]
pub(crate) fn task_names() -> Vec<(&'static str, &'static str)> {
    tasks::all().into_iter().map(|task| (task.name(), task.about())).collect()
}

/// Runs the command line with the arguments after the program's name. Returns its exit code.
#[pyfunction]
pub(crate) fn command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| zor::command::command_with(arguments.into_iter(), &[]))
}
