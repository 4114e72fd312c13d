//! The training loop: batches in, progress out, a trained network at the end.

use std::time::Instant;

use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_core::{DenseConfig, Deviation, GateConfig, Network, Place};
use zor_data::{Batches, Dataset, Order, Prefetch};

use crate::error::Result;
use crate::fashion::RunData;
use crate::options::Settings;

/// How often a run is evaluated on its way, at most.
const EVALUATIONS: u64 = 20;
/// Batches that are prepared ahead.
const AHEAD: usize = 4;
/// Images evaluated at once.
const EVALUATION_BATCH: usize = 1000;

/// One point of a run's curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Steps done.
    pub step: u64,
    /// Seconds of training until then, evaluations not counted.
    pub seconds: f64,
    /// How far the last training batch was off.
    pub training: Deviation,
    /// How far the evaluation images are off.
    pub evaluation: Deviation,
}

/// What is told while a run goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress<'a> {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The curve so far.
    pub curve: &'a [Point],
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// On to the next step.
    Continue,
    /// Stop after this step.
    Stop,
}

/// A run's result.
#[derive(Debug)]
pub struct Trained {
    /// The network.
    pub network: Network,
    /// Its curve; the last point is the end.
    pub curve: Vec<Point>,
    /// Steps done.
    pub steps: u64,
    /// Images seen, repetitions counted.
    pub samples_seen: u64,
    /// Seconds of training, evaluations not counted.
    pub train_seconds: f64,
    /// Whether it was stopped before its last step.
    pub stopped: bool,
}

impl Trained {
    /// How far the evaluation images are off at the end.
    pub fn evaluation(&self) -> Deviation {
        self.curve.last().map_or(Deviation::default(), |point| point.evaluation)
    }
}

/// Builds the network of an image reconstruction task.
///
/// # Errors
/// When the settings do not make a network.
pub fn build_network(settings: &Settings, data: &Dataset, device: &Device) -> Result<Network> {
    let shape = data.shape();
    let output = GateConfig {
        activation: settings.output_activation.clone(),
        ..GateConfig::at(Place::Output)
    };
    let network = Network::builder(&[shape.height, shape.width, shape.channels])
        .rule(settings.rule.clone())
        .layer(GateConfig::at(Place::Input))
        .layer(DenseConfig::new(settings.hidden))
        .layer(GateConfig::at(Place::Hidden))
        .layer(DenseConfig::new(shape.len()))
        .layer(output)
        .seed(settings.seed)
        .build(device)?;
    Ok(network)
}

/// The batches that the settings ask for, the same for everything that is trained on them.
///
/// # Errors
/// When the settings make no batches.
pub fn batches(settings: &Settings, data: &RunData) -> Result<Batches> {
    let whole = data.train.len() <= settings.batch && settings.augment.is_none();
    let order = if whole { Order::Full } else { Order::Shuffled };
    let augment = settings.augment.clone();
    Ok(Batches::new(data.train.clone(), settings.batch, order, augment, settings.seed)?)
}

/// Trains a network to reproduce its input.
///
/// # Errors
/// When shapes or values make training impossible.
pub fn reconstruction(
    settings: &Settings,
    data: &RunData,
    device: &Device,
    tell: &mut dyn FnMut(Progress<'_>) -> Next,
) -> Result<Trained> {
    let mut network = build_network(settings, &data.train, device)?;
    let optimizer = settings.build_optimizer();
    let mut prefetch = Prefetch::spawn(batches(settings, data)?, 0, AHEAD);
    let every = (settings.steps / EVALUATIONS).max(1);
    let (mut curve, mut samples_seen, mut seconds) = (Vec::new(), 0, 0.0);
    let mut stopped = false;
    let mut start = Instant::now();
    for step in 1..=settings.steps {
        let batch = prefetch.next();
        samples_seen += batch.rows as u64;
        let input = matrix(&batch.inputs, batch.rows, device);
        prefetch.recycle(batch);
        let training = network.train_batch(optimizer.as_ref(), input.clone(), input)?;
        let told = Progress { step, steps: settings.steps, curve: &curve };
        stopped = tell(told) == Next::Stop && step < settings.steps;
        // Early steps change most: they are looked at too, ever more rarely.
        if step.is_power_of_two() || step % every == 0 || step == settings.steps || stopped {
            seconds += start.elapsed().as_secs_f64();
            let evaluation = evaluate(&network, &data.evaluation, device)?;
            curve.push(Point { step, seconds, training, evaluation });
            start = Instant::now();
        }
        if stopped {
            break;
        }
    }
    let steps = curve.last().map_or(0, |point| point.step);
    Ok(Trained { network, curve, steps, samples_seen, train_seconds: seconds, stopped })
}

/// How far a network's reconstructions of a whole set are off.
///
/// # Errors
/// When the images do not fit the network.
pub fn evaluate(network: &Network, data: &Dataset, device: &Device) -> Result<Deviation> {
    let mut total = Deviation::default();
    for input in evaluation_batches(data, device)? {
        total += network.evaluate(input.clone(), input)?;
    }
    Ok(total)
}

/// A set's images in order, as batches `[at most 1000, pixels]`.
pub(crate) fn evaluation_batches(data: &Dataset, device: &Device) -> Result<Vec<Tensor<2>>> {
    (0..data.len())
        .step_by(EVALUATION_BATCH)
        .map(|from| {
            let part = data.range(from..(from + EVALUATION_BATCH).min(data.len()))?;
            Ok(matrix(&part.pixels(), part.len(), device))
        })
        .collect()
}

/// Values as a matrix of so many rows.
pub fn matrix(values: &[f32], rows: usize, device: &Device) -> Tensor<2> {
    let columns = values.len() / rows.max(1);
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, columns]), device)
}
