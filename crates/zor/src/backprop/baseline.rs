//! Backpropagation baselines of reconstruction: a multilayer perceptron of the same size, trained
//! on the same batches with burn's autodiff and Adam.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::module::Module;
use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor, activation};
use zor_core::ErrorMetrics;
use zor_core::ops::ErrorSums;

use crate::error::Result;
use crate::settings::Settings;
use crate::task::evaluation::EVALUATION_BATCH;
use crate::task::{Data, Plan, in_batches, matrix};
use crate::training;

/// Number of evaluations during training; the best one is reported.
const EVALUATIONS: u64 = 100;
/// Minimum number of steps: on ten images, the best evaluation comes after 100 to 400 steps.
const MIN_STEPS: u64 = 500;
/// The common default learning rate of Adam.
const LEARNING_RATE: f64 = 1e-3;

/// Output activation of a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Sigmoid, with outputs in (0, 1).
    Sigmoid,
    /// No activation.
    Linear,
}

impl Output {
    /// Returns the name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "MLP, sigmoid",
            Self::Linear => "MLP, linear",
        }
    }
}

/// Returns the number of steps to train a baseline for, given the settings of the network it is
/// compared with.
pub fn steps(settings: &Settings) -> u64 {
    settings.steps.max(MIN_STEPS)
}

/// A trained baseline at its best evaluation.
#[derive(Debug)]
pub struct Baseline {
    /// Output activation.
    pub output: Output,
    /// Errors on the evaluation images at the best evaluation.
    pub best: ErrorMetrics,
    /// Step of the best evaluation.
    pub best_step: u64,
    /// Training time in seconds, without evaluations.
    pub train_seconds: f64,
    /// Learning curve: pairs of step and errors on the evaluation images.
    pub curve: Vec<(u64, ErrorMetrics)>,
    network: Mlp,
}

impl Baseline {
    /// Reconstructs images with the weights of the best evaluation.
    ///
    /// # Shapes
    /// `[batch, pixels]` -> `[batch, pixels]`.
    pub fn predict(&self, input: Tensor<2>) -> Tensor<2> {
        self.network.forward(input, self.output)
    }
}

#[derive(Module, Debug)]
struct Mlp {
    encoder: Linear,
    decoder: Linear,
}

impl Mlp {
    fn new(pixels: usize, hidden: usize, device: &Device) -> Self {
        Self {
            encoder: LinearConfig::new(pixels, hidden).init(device),
            decoder: LinearConfig::new(hidden, pixels).init(device),
        }
    }

    fn forward(&self, input: Tensor<2>, output: Output) -> Tensor<2> {
        let hidden = activation::relu(self.encoder.forward(input));
        let values = self.decoder.forward(hidden);
        match output {
            Output::Sigmoid => activation::sigmoid(values),
            Output::Linear => values,
        }
    }
}

/// Trains a network of the same size on the same batches for the same number of steps, but at least
/// 500, and keeps the weights of the best evaluation.
///
/// # Errors
/// When the settings do not give valid batches.
pub fn train(
    plan: &Plan,
    data: &Data,
    output: Output,
    device: &Device,
    on_step: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Baseline> {
    let training_device = device.clone().autodiff();
    let settings = &plan.settings;
    training_device.seed(settings.seed);
    let pixels = data.train.input_shape().iter().product();
    let mut network = Mlp::new(pixels, settings.hidden, &training_device);
    let mut optimizer = AdamConfig::new().with_epsilon(1e-8).init();
    let loss = MseLoss::new();
    let batches = training::batches(plan, data)?;
    let mut batch = zor_data::Batch::default();
    let evaluation = in_batches(&*data.evaluation, EVALUATION_BATCH)
        .map(|batch| matrix(batch.inputs.numbers(), batch.rows, device))
        .collect::<Result<Vec<_>>>()?;
    let steps = steps(settings);
    let every = (steps / EVALUATIONS).max(1);
    let mut best: Option<(ErrorMetrics, u64, Mlp)> = None;
    let (mut curve, mut train_seconds) = (Vec::new(), 0.0);
    for step in 1..=steps {
        let start = Instant::now();
        batches.fill(step - 1, &mut batch);
        let input = matrix(batch.inputs.numbers(), batch.rows, &training_device)?;
        let predicted = network.forward(input.clone(), output);
        let gradients = loss.forward(predicted, input, Reduction::Mean).backward();
        let gradients = GradientsParams::from_grads(gradients, &network);
        network = optimizer.step(LEARNING_RATE, network, gradients);
        train_seconds += start.elapsed().as_secs_f64();
        let stop = on_step(step).is_break();
        if step % every == 0 || step == steps || stop {
            let plain = network.clone().valid();
            let deviation = evaluate(&plain, output, &evaluation);
            curve.push((step, deviation));
            if best.as_ref().is_none_or(|(b, ..)| deviation.sums.squared < b.sums.squared) {
                best = Some((deviation, step, plain));
            }
        }
        if stop {
            break;
        }
    }
    let (best, best_step, network) =
        best.unwrap_or_else(|| (ErrorMetrics::default(), 0, network.valid()));
    Ok(Baseline { output, best, best_step, train_seconds, curve, network })
}

fn evaluate(network: &Mlp, output: Output, batches: &[Tensor<2>]) -> ErrorMetrics {
    let mut total = ErrorMetrics::default();
    for input in batches {
        let predicted = network.forward(input.clone(), output);
        let [rows, columns] = predicted.dims();
        let (_, sums): (_, ErrorSums) = zor_core::ops::error_signal(input.clone(), predicted);
        total += ErrorMetrics { sums, elements: rows * columns };
    }
    total
}
