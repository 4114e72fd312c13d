//! The training loop: batches in, a trained network at the end.
//!
//! One loop serves all tasks and both ways to learn. It evaluates on the way, more often at the
//! start; a caller hears of every step and can stop it. Everything that differs between tasks is
//! behind [`crate::task::Task`].

pub mod checkpoint;
pub mod evaluate;
pub mod memory;
pub mod run_folder;
pub mod warnings;

mod progressive_resizing;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use zor_core::burn::tensor::{Device, Tensor};
use zor_core::{ErrorMetrics, Network, Optimizer, PendingMetrics, Target, ops};
use zor_data::{Batches, ClassWeighted, Examples, Order, Prefetch};

use self::evaluate::evaluate;
use self::progressive_resizing::SmallerImages;
use crate::backprop::autodiff;
use crate::error::{Error, Result};
use crate::settings::ClassBalance;
use crate::task::{Data, Plan, Score};

/// Number of evaluations on the way of a training, at most.
const EVALUATIONS: u64 = 10;
/// Examples of an evaluation on the way, at most; the full set would take as long as the training.
const GLANCE: usize = 1000;
/// Batches that are prepared ahead.
pub(crate) const AHEAD: usize = 4;
/// Steps that a device may have in its queue.
const QUEUED: usize = 16;

/// One point of a learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps done.
    pub step: u64,
    /// Seconds of training until then, without evaluations.
    pub seconds: f64,
    /// Error of the last training batch.
    pub training: ErrorMetrics,
    /// The evaluation: of all examples at the end of a training, of the first 1,000 before.
    pub evaluation: Score,
}

/// The state of a training.
#[derive(Debug)]
pub struct Training {
    /// The network.
    pub network: Network,
    /// The learning curve; at the end of a training its last point is the end.
    pub curve: Vec<Point>,
    /// Steps done.
    pub steps: u64,
    /// Examples seen, repetitions counted.
    pub samples_seen: u64,
    /// Seconds of training, without evaluations.
    pub train_seconds: f64,
    /// Whether it was stopped before its last step.
    pub stopped: bool,
    /// Errors of the last batches that the device has not finished yet.
    unread: VecDeque<PendingMetrics>,
}

impl Training {
    /// A training before its first step.
    ///
    /// # Errors
    /// When the settings do not make a network.
    pub fn start(plan: &Plan, data: &Data, device: &Device) -> Result<Self> {
        let input = data.train.input_shape();
        let mut network = build_network(plan, &input, data.outputs, device)?;
        plan.task.prepare(&mut network, &plan.settings, data)?;
        Ok(Self::at(network, Vec::new(), 0, 0, 0.0))
    }

    /// A training before its first step that starts with the weights of a network. Moments of an
    /// optimizer and states of layers start anew.
    ///
    /// # Errors
    /// When the network does not have the inputs and outputs that the task and its data need.
    pub fn start_from(network: &Network, plan: &Plan, data: &Data) -> Result<Self> {
        let (device, input) = (network.device(), data.train.input_shape());
        let needed = build_network(plan, &input, data.outputs, device)?;
        let shapes =
            |network: &Network| (network.input_shape().to_vec(), network.output_shape().to_vec());
        let (found, needed) = (shapes(network), shapes(&needed));
        if found != needed {
            return Err(Error::input(format!(
                "its network takes {:?} and gives {:?}; {} with these data needs one that takes {:?} and gives {:?}",
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

    /// A training as it was saved.
    pub(crate) fn at(
        network: Network,
        curve: Vec<Point>,
        steps: u64,
        samples_seen: u64,
        train_seconds: f64,
    ) -> Self {
        let (stopped, unread) = (false, VecDeque::new());
        Self { network, curve, steps, samples_seen, train_seconds, stopped, unread }
    }

    /// Waits for the device: afterwards the network's history has every step.
    ///
    /// # Errors
    /// When a batch's error was not finite, or the device is lost.
    pub fn synchronize(&mut self) -> Result<()> {
        self.synchronize_but(0).map(|_| ())
    }

    /// Waits for all but the last `queued` steps. Returns the error of the last one that is done.
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

    /// The last evaluation.
    pub fn evaluation(&self) -> Score {
        self.curve.last().map_or_else(Score::default, |point| point.evaluation.clone())
    }

    /// Trains to the last step, or until `on_step` breaks. A device with a queue may still work on
    /// the step that `on_step` is called after.
    ///
    /// # Errors
    /// When shapes or values make training impossible, or the device is lost.
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
        self.stopped = false;
        while self.steps < settings.steps && !self.stopped {
            let start = Instant::now();
            task.before_step(&mut self.network, settings, self.steps);
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
            let learn = |network: &mut Network| {
                method.enqueue_batch(network, optimizer.as_ref(), input, target)
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
            self.steps += 1;
            let (step, last) = (self.steps, self.steps == settings.steps);
            // Early steps change most: they are evaluated too, ever more rarely.
            let evaluated = step.is_power_of_two() || step % every == 0 || last;
            let queued = if evaluated || !ops::is_asynchronous(&device) { 0 } else { QUEUED };
            let training = self.synchronize_but(queued)?;
            self.train_seconds += start.elapsed().as_secs_f64();
            if evaluated {
                let set: &dyn Examples = if last { &*data.evaluation } else { &*glance };
                let evaluation = evaluate(&self.network, plan, set, &device)?;
                self.curve.push(Point { step, seconds: self.train_seconds, training, evaluation });
            }
            self.stopped = on_step(&mut self).is_break() && !last;
        }
        self.synchronize()?;
        Ok(self)
    }
}

/// Builds the network of a task for inputs of a shape.
///
/// # Errors
/// When the settings do not make a network, or it does not fit into memory.
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

/// The batches that the settings ask for, for everything that is trained on them.
///
/// # Errors
/// When the settings make no batches.
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

/// The way that a network learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The local rule.
    LocalRule,
    /// Gradients of burn's autodiff.
    Autodiff,
}

impl Method {
    /// One training step; returns the error of the outputs before it. Waits for the device.
    ///
    /// # Errors
    /// When the batch does not fit the network, or its error is not finite.
    pub fn train_batch(
        self,
        network: &mut Network,
        optimizer: &dyn Optimizer,
        input: Tensor<2>,
        target: impl Into<Target>,
    ) -> Result<ErrorMetrics> {
        match self {
            Self::LocalRule => Ok(network.train_batch(optimizer, input, target)?),
            Self::Autodiff => autodiff::train_batch(network, optimizer, input, target),
        }
    }

    /// One training step without waiting for the device, and without an entry in the history; see
    /// [`Network::enqueue_batch`].
    fn enqueue_batch(
        self,
        network: &mut Network,
        optimizer: &dyn Optimizer,
        input: Tensor<2>,
        target: Target,
    ) -> Result<PendingMetrics> {
        match self {
            Self::LocalRule => Ok(network.enqueue_batch(optimizer, input, target)?),
            Self::Autodiff => Ok(autodiff::train_batch(network, optimizer, input, target)?.into()),
        }
    }
}

/// Trains a task's network from the start.
///
/// # Errors
/// When the settings do not make a network, or shapes or values make training impossible.
pub fn run(
    plan: &Plan,
    data: &Data,
    device: &Device,
    method: Method,
    on_step: &mut dyn FnMut(&mut Training) -> ControlFlow<()>,
) -> Result<Training> {
    Training::start(plan, data, device)?.run(plan, data, method, on_step)
}
