//! The training loop.
//!
//! One loop serves all tasks and both training methods. It evaluates the network at intervals, more
//! often in the first steps, and calls a function after each step that can stop the training.
//! Everything that differs between tasks is behind [`crate::task::Task`].

pub mod checkpoint;
pub mod evaluate;
pub mod health;
pub mod memory;
pub mod run_folder;
pub mod warnings;

mod progressive_resizing;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use zor_core::burn::tensor::Device;
use zor_core::{ErrorMetrics, Input, Network, Optimizer, PendingMetrics, Target, ops};
use zor_data::{Batches, ClassWeighted, Examples, Order, Prefetch};

use self::evaluate::{deviation, evaluate_part};
use self::health::{Health, Symptom};
use self::progressive_resizing::SmallerImages;
use crate::backprop::autodiff;
use crate::error::{Error, Result};
use crate::settings::ClassBalance;
use crate::task::{Data, Plan, Score};

/// Number of evenly spaced evaluations during a training.
const EVALUATIONS: u64 = 10;
/// Maximum number of examples in an evaluation during training; a full evaluation would take as
/// long as the training.
const GLANCE: usize = 1000;
/// Number of prefetched batches.
pub(crate) const AHEAD: usize = 4;
/// Maximum number of steps in a device's queue.
const QUEUED: usize = 16;

/// A point of the learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Number of steps done.
    pub step: u64,
    /// Seconds of training so far, without evaluations.
    pub seconds: f64,
    /// Error of the last training batch.
    pub training: ErrorMetrics,
    /// Evaluation: on all examples after the last step, on the first 1,000 before.
    pub evaluation: Score,
}

/// State of a training.
#[derive(Debug)]
pub struct Training {
    /// The network.
    pub network: Network,
    /// Learning curve; after the last step, its last point is the full evaluation.
    pub curve: Vec<Point>,
    /// Number of steps done.
    pub steps: u64,
    /// Number of examples seen, with repetitions.
    pub samples_seen: u64,
    /// Seconds of training, without evaluations.
    pub train_seconds: f64,
    /// Whether it was stopped before its last step.
    pub stopped: bool,
    /// Errors of the last batches, which the device may still be computing.
    unread: VecDeque<PendingMetrics>,
    health: Health,
}

impl Training {
    /// Starts a training with a new network.
    ///
    /// # Errors
    /// When the settings do not describe a valid network.
    pub fn start(plan: &Plan, data: &Data, device: &Device) -> Result<Self> {
        let input = data.train.input_shape();
        let mut network = build_network(plan, &input, data.outputs, device)?;
        plan.task.prepare(&mut network, &plan.settings, data)?;
        Ok(Self::at(network, Vec::new(), 0, 0, 0.0))
    }

    /// Starts a training with the weights of `network`. The optimizer and the state of the layers
    /// are reset.
    ///
    /// # Errors
    /// When the network does not have the input and output shapes that the task and its data need.
    pub fn start_from(network: &Network, plan: &Plan, data: &Data) -> Result<Self> {
        let (device, input) = (network.device(), data.train.input_shape());
        let needed = build_network(plan, &input, data.outputs, device)?;
        let shapes =
            |network: &Network| (network.input_shape().to_vec(), network.output_shape().to_vec());
        let (found, needed) = (shapes(network), shapes(&needed));
        if found != needed {
            return Err(Error::input(format!(
                "its network maps {:?} to {:?}; {} with this data needs one that maps {:?} to {:?}",
                found.0,
                found.1,
                plan.task.name(),
                needed.0,
                needed.1
            )));
        }
        let mut network = network.clone();
        network.reset();
        network.set_history(Vec::new());
        network.reset_optimizer();
        Ok(Self::at(network, Vec::new(), 0, 0, 0.0))
    }

    /// Restores a training from its saved state.
    pub(crate) fn at(
        network: Network,
        curve: Vec<Point>,
        steps: u64,
        samples_seen: u64,
        train_seconds: f64,
    ) -> Self {
        let (stopped, unread, health) = (false, VecDeque::new(), Health::default());
        Self { network, curve, steps, samples_seen, train_seconds, stopped, unread, health }
    }

    /// Symptoms of a network that learns badly, in the order in which they were found.
    pub fn symptoms(&self) -> &[Symptom] {
        self.health.symptoms()
    }

    /// Waits for the device, so that the network's history includes every step.
    ///
    /// # Errors
    /// When the error of a batch is not finite, or the device is lost.
    pub fn synchronize(&mut self) -> Result<()> {
        self.synchronize_but(0).map(|_| ())
    }

    /// Waits until at most `queued` steps are pending. Returns the error of the last step that was
    /// read.
    fn synchronize_but(&mut self, queued: usize) -> Result<ErrorMetrics> {
        let mut last = ErrorMetrics::default();
        while self.unread.len() > queued
            && let Some(unread) = self.unread.pop_front()
        {
            last = unread.read()?;
            self.network.record(&last);
        }
        Ok(last)
    }

    /// Returns the last evaluation.
    pub fn evaluation(&self) -> Score {
        self.curve.last().map_or_else(Score::default, |point| point.evaluation.clone())
    }

    /// Trains to the last step, or until `on_step` breaks. An asynchronous device may not have
    /// finished a step when `on_step` is called for it.
    ///
    /// # Errors
    /// When shapes do not fit, values become infinite or NaN, or the device is lost.
    pub fn run(
        mut self,
        plan: &Plan,
        data: &Data,
        method: Method,
        on_step: &mut dyn FnMut(&mut Self) -> ControlFlow<()>,
    ) -> Result<Self> {
        let Plan { task, settings } = plan;
        let device = self.network.device().clone();
        let optimizer = settings.build_optimizer();
        let mut prefetch = Prefetch::spawn(batches(plan, data)?, self.steps, AHEAD);
        let every = (settings.steps / EVALUATIONS).max(1);
        let first: Vec<usize> = (0..GLANCE.min(data.evaluation.len())).collect();
        let glance = data.evaluation.subset(&first)?;
        let mut smaller = SmallerImages::new(settings, &data.train.input_shape(), &self.network);
        // A resumed training has no error before it.
        let before = (self.steps == 0)
            .then(|| deviation(&self.network, plan, &*glance, &device))
            .transpose()?;
        self.stopped = false;
        while self.steps < settings.steps && !self.stopped {
            let start = Instant::now();
            task.before_step(&mut self.network, settings, self.steps);
            if let Some(rate) = settings.spike_rate_at(self.steps) {
                self.network.set_target_spike_rate(rate)?;
            }
            let mut batch = prefetch.next();
            self.samples_seen += batch.rows as u64;
            if !SmallerImages::is_active_at(self.steps, settings.steps) {
                smaller = None;
            }
            if let Some(smaller) = &smaller {
                smaller.crop(&mut batch.inputs);
            }
            let (input, target) = task.pair(&batch, settings, &device)?;
            prefetch.recycle(batch);
            let (step, last) = (self.steps + 1, self.steps + 1 == settings.steps);
            // The network changes most in early steps, so steps 1, 2, 4, 8, ... are evaluated too.
            let evaluated = step.is_power_of_two() || step % every == 0 || last;
            let health = &mut self.health;
            let learn = |network: &mut Network| {
                let learn = |network: &mut Network, optimizer: &dyn Optimizer| {
                    method.enqueue_batch(network, optimizer, input, target)
                };
                // The rate of the last step may be zero.
                match evaluated && !last && method == Method::LocalRule {
                    true => health.examine(network, optimizer.as_ref(), learn),
                    false => learn(network, optimizer.as_ref()),
                }
            };
            let unread = match &smaller {
                Some(smaller) => {
                    let whole = self.network.input_shape().to_vec();
                    self.network.set_input_shape(&smaller.input_shape(&self.network))?;
                    let unread = learn(&mut self.network);
                    self.network.set_input_shape(&whole)?;
                    unread?
                }
                None => learn(&mut self.network)?,
            };
            self.unread.push_back(unread);
            self.steps = step;
            let queued = if evaluated || !ops::is_asynchronous(&device) { 0 } else { QUEUED };
            let training = self.synchronize_but(queued)?;
            self.train_seconds += start.elapsed().as_secs_f64();
            if evaluated {
                let set: &dyn Examples = if last { &*data.evaluation } else { &*glance };
                let evaluation = evaluate_part(&self.network, plan, set, &device, !last)?;
                self.curve.push(Point { step, seconds: self.train_seconds, training, evaluation });
            }
            self.stopped = on_step(&mut self).is_break() && !last;
        }
        self.synchronize()?;
        if let (Some(before), false) = (before, self.stopped) {
            let after = deviation(&self.network, plan, &*glance, &device)?;
            self.health.compare_errors(&before, &after, self.steps);
        }
        Ok(self)
    }
}

/// Builds a task's network for an input shape.
///
/// # Errors
/// When the settings do not describe a valid network, or it does not fit in memory.
pub fn build_network(
    plan: &Plan,
    input: &[usize],
    outputs: usize,
    device: &Device,
) -> Result<Network> {
    let Plan { task, settings } = plan;
    let network = task.network(settings, input, outputs)?;
    let network = network.rule(settings.rule_settings.clone()).seed(settings.seed);
    let built = match memory::available() {
        Some(free) => memory::build_within(free, network, settings, device),
        None => Ok(network.build(device)?),
    };
    built.map_err(|error| {
        let inputs = match input {
            [height, width, _] => format!("images of {width}x{height}"),
            [columns] => format!("{columns} inputs"),
            shape => format!("inputs of {shape:?}"),
        };
        let network = &settings.network;
        error.at(format_args!("{inputs} for {}, network '{network}'", task.name()))
    })
}

/// Returns the training batches for a plan; the baselines use them too.
///
/// # Errors
/// When the settings do not give valid batches.
pub fn batches(plan: &Plan, data: &Data) -> Result<Batches> {
    let Plan { task, settings } = plan;
    let is_whole = data.train.len() <= settings.batch && !settings.augment;
    let order = if is_whole { Order::Full } else { Order::Shuffled };
    let set = task.learned_from(data, settings)?;
    let (set, order): (Arc<dyn Examples>, _) = match settings.class_balance {
        ClassBalance::None => (set, order),
        ClassBalance::Weights => (Arc::new(ClassWeighted::new(set)?), order),
        ClassBalance::Sampling => (set, Order::Balanced),
    };
    Ok(Batches::new(set, settings.batch, order, settings.seed)?)
}

/// Training method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The local correlation rule.
    LocalRule,
    /// Gradients from burn's autodiff.
    Autodiff,
}

impl Method {
    /// Runs one training step, waits for the device, and returns the error of the outputs before
    /// the step.
    ///
    /// # Errors
    /// When the batch does not fit the network, or its error is not finite.
    pub fn train_batch(
        self,
        network: &mut Network,
        optimizer: &dyn Optimizer,
        input: impl Into<Input>,
        target: impl Into<Target>,
    ) -> Result<ErrorMetrics> {
        match self {
            Self::LocalRule => Ok(network.train_batch(optimizer, input, target)?),
            Self::Autodiff => autodiff::train_batch(network, optimizer, input, target),
        }
    }

    /// Runs one training step without waiting for the device or recording the error in the history;
    /// see [`Network::enqueue_batch`].
    fn enqueue_batch(
        self,
        network: &mut Network,
        optimizer: &dyn Optimizer,
        input: Input,
        target: Target,
    ) -> Result<PendingMetrics> {
        match self {
            Self::LocalRule => Ok(network.enqueue_batch(optimizer, input, target)?),
            Self::Autodiff => Ok(autodiff::train_batch(network, optimizer, input, target)?.into()),
        }
    }
}

/// Trains a new network for a task.
///
/// # Errors
/// When the settings do not describe a valid network, shapes do not fit, values become infinite or
/// NaN, or the device is lost.
pub fn run(
    plan: &Plan,
    data: &Data,
    device: &Device,
    method: Method,
    on_step: &mut dyn FnMut(&mut Training) -> ControlFlow<()>,
) -> Result<Training> {
    Training::start(plan, data, device)?.run(plan, data, method, on_step)
}
