//! Progress of a training: a bar if stderr is a terminal, else a line at the start, every 30
//! seconds and at the end.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::interrupt;
use super::out_of_memory::{Purpose, set_purpose};
use crate::report::Watch;
use crate::run::{Observer, Phase};

/// Time between two lines.
const BETWEEN: Duration = Duration::from_secs(30);

/// Progress of one training.
pub(super) struct Progress {
    name: &'static str,
    steps: u64,
    bar: Option<ProgressBar>,
    start: Instant,
    last: Instant,
    /// Number of steps done before the start, by a resumed training.
    before: Option<u64>,
}

impl Progress {
    /// Starts to show the progress of a training of `steps` steps; `about` describes it.
    pub(super) fn start(name: &'static str, steps: u64, about: impl Display) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(name, steps));
        tell!("{name}: {about}");
        let now = Instant::now();
        Self { name, steps, bar, start: now, last: now, before: None }
    }

    /// Shows the number of steps done and the last metric.
    pub(super) fn show(&mut self, step: u64, figure: impl FnOnce() -> String) {
        let before = *self.before.get_or_insert(step.saturating_sub(1));
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            bar.set_message(figure());
        } else if self.last.elapsed() >= BETWEEN {
            self.last = Instant::now();
            let rate = self.start.elapsed().as_secs_f64() / (step - before).max(1) as f64;
            let left = rate * self.steps.saturating_sub(step) as f64;
            let (name, steps, figure) = (self.name, self.steps, figure());
            tell!("{name}: step {step} of {steps}, {figure}, about {left:.0} s left");
        }
    }

    /// Prints a line without breaking the bar.
    pub(super) fn remark(&self, remark: impl Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell!("{remark}")),
            None => tell!("{remark}"),
        }
    }

    /// Prints a final line, or removes the bar.
    pub(super) fn finish(self, step: u64, figure: &str) {
        match self.bar {
            Some(bar) => bar.finish_and_clear(),
            None => {
                let seconds = self.start.elapsed().as_secs_f64();
                tell!("{}: ended after step {step}, {figure}, {seconds:.1} s", self.name);
            }
        }
    }
}

fn bar(name: &'static str, steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {pos}/{len} {eta:>4} {msg}");
    let bar = ProgressBar::new(steps).with_prefix(name);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Progress of a run: of its network, then of its baselines.
#[derive(Default)]
pub(super) struct Shown(Option<Progress>);

impl Watch for Shown {
    fn start(&mut self, name: &'static str, steps: u64, about: &str) {
        self.0 = Some(Progress::start(name, steps, about));
    }

    fn step(&mut self, step: u64, figure: &mut dyn FnMut() -> String) {
        if let Some(progress) = &mut self.0 {
            progress.show(step, figure);
        }
    }

    fn finish(&mut self, step: u64, figure: &str) {
        if let Some(progress) = self.0.take() {
            progress.finish(step, figure);
        }
    }

    fn is_stopped(&self) -> bool {
        interrupt::asked()
    }
}

impl Observer for Shown {
    fn tell(&mut self, line: &str) {
        match &self.0 {
            Some(progress) => progress.remark(line),
            None => tell!("{line}"),
        }
    }

    fn begin(&mut self, phase: Phase) {
        set_purpose(match phase {
            Phase::Data => Purpose::Data,
            Phase::Network => Purpose::Network,
            Phase::Training => Purpose::Training,
        });
    }

    fn open(&mut self, folder: &Path) {
        interrupt::note_in(folder);
        interrupt::save_first();
    }
}
