//! Steps of training and prediction as functions of layers and explicit state.
//!
//! [`crate::Network`] is built on these functions and holds the state for its caller.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::layer::{Layer, LearnPass, Pass, Signal};
use crate::layers::Sequential;
use crate::memory::{Memory, Mode};
use crate::ops::{self, ClassTarget, ErrorSums};
use crate::optimizer::Optimizer;
use crate::sequences::Sequences;
use crate::workspace::Workspace;

/// The state of a network in addition to its weights: the memory of each layer, and buffers.
#[derive(Debug)]
pub struct State {
    /// Memory of the layers: child `i` belongs to layer `i`.
    pub memory: Memory,
    /// Buffers that all layers share.
    pub workspace: Workspace,
    /// The sequences of the batch, if its rows are positions of sequences.
    pub sequences: Option<Sequences>,
}

impl State {
    /// The state before the first batch.
    pub fn new(device: &Device) -> Self {
        Self { memory: Memory::default(), workspace: Workspace::new(device), sequences: None }
    }

    /// Sets the sequences of the next batch; `None` if its rows are samples.
    pub fn set_sequences(&mut self, sequences: Option<Sequences>) {
        if sequences.is_some() {
            self.workspace.vary();
        }
        self.sequences = sequences;
    }
}

/// The target of a batch, which defines the signal at the output.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a box would be an allocation a step")]
pub enum Target {
    /// Target values `[batch, outputs]`; the signal is `target - output`.
    Values(Tensor<2>),
    /// Target values of which some are missing; the signal is `known * (target - output)`.
    PartialValues {
        /// Target values `[batch, outputs]`; any finite number where they are missing.
        values: Tensor<2>,
        /// 1 where the target is known and 0 where it is missing, `[batch, outputs]`.
        known: Tensor<2>,
    },
    /// Class of each row; the signal is `onehot - softmax(output)`.
    Classes(Vec<usize>),
    /// Classes with label smoothing (Szegedy et al. 2016, section 7): the target of each row is
    /// `(1 - smoothing) onehot + smoothing / outputs`.
    SmoothedClasses {
        /// Class of each row.
        classes: Vec<usize>,
        /// Share of the target that is spread evenly over all classes, from 0 to 1.
        smoothing: f32,
    },
    /// Smoothed classes with a weight for each row; the signal is
    /// `weight * (target - softmax(output))`.
    WeightedClasses {
        /// Class of each row.
        classes: Vec<usize>,
        /// Share of the target that is spread evenly over all classes, from 0 to 1.
        smoothing: f32,
        /// Weight of each row, finite and at least 0. A row of weight 0 is ignored.
        weights: Vec<f32>,
    },
}

impl Target {
    /// Returns the values that an output of shape `dims` is compared with; for classes,
    /// probabilities times the weights of rows.
    ///
    /// # Errors
    /// If the target does not fit.
    pub fn into_values(self, dims: [usize; 2], device: &Device) -> Result<Tensor<2>> {
        self.check(dims, device)?;
        Ok(match self {
            Self::Values(values) => values,
            Self::PartialValues { values, known } => values * known,
            Self::Classes(classes) => probabilities(&classes, 0.0, dims, device),
            Self::SmoothedClasses { classes, smoothing } => {
                probabilities(&classes, smoothing, dims, device)
            }
            Self::WeightedClasses { classes, smoothing, weights } => {
                probabilities(&classes, smoothing, dims, device) * column(&weights, device)
            }
        })
    }

    /// Weight of each row, `[rows, 1]`, or of each value, `[rows, outputs]`; `None` if all are 1.
    pub fn weights(&self, device: &Device) -> Option<Tensor<2>> {
        match self {
            Self::WeightedClasses { weights, .. } => Some(column(weights, device)),
            Self::PartialValues { known, .. } => Some(known.clone()),
            _ => None,
        }
    }

    /// Class of each row; `None` for target values.
    pub fn classes(&self) -> Option<&[usize]> {
        match self {
            Self::Values(_) | Self::PartialValues { .. } => None,
            Self::Classes(classes)
            | Self::SmoothedClasses { classes, .. }
            | Self::WeightedClasses { classes, .. } => Some(classes),
        }
    }

    /// The target as an argument of operations; `None` for target values.
    fn class_target(&self) -> Option<ClassTarget> {
        let classes = self.classes()?.iter().map(|class| *class as u32).collect();
        let (smoothing, weights) = match self {
            Self::SmoothedClasses { smoothing, .. } => (*smoothing, None),
            Self::WeightedClasses { smoothing, weights, .. } => {
                (*smoothing, Some(weights.as_slice().into()))
            }
            _ => (0.0, None),
        };
        Some(ClassTarget { classes, smoothing, weights })
    }

    /// Checks that the target fits an output of shape `dims`, without computing anything. Values
    /// may still be NaN.
    ///
    /// # Errors
    /// If the target does not fit.
    pub fn check(&self, dims: [usize; 2], device: &Device) -> Result<()> {
        let (classes, smoothing) = match self {
            Self::Values(values) => return check_values(values, dims, device),
            Self::PartialValues { values, known } => {
                check_values(values, dims, device)?;
                return check_values(known, dims, device);
            }
            Self::Classes(classes) => (classes, 0.0),
            Self::SmoothedClasses { classes, smoothing } => (classes, *smoothing),
            Self::WeightedClasses { classes, smoothing, weights } => {
                if weights.len() != classes.len() {
                    return Err(Error::shape(format!(
                        "the target has {} weights for {} classes; pass one weight per class",
                        weights.len(),
                        classes.len()
                    )));
                }
                let is_weight = |weight: &f32| weight.is_finite() && *weight >= 0.0;
                if let Some(row) = weights.iter().position(|weight| !is_weight(weight)) {
                    return Err(Error::setting(format!(
                        "row {row} has the weight {}; it must be finite and at least 0",
                        weights[row]
                    )));
                }
                (classes, *smoothing)
            }
        };
        let [rows, columns] = dims;
        if classes.len() != rows {
            return Err(Error::shape(format!(
                "the target has {} classes for a batch of {rows} rows",
                classes.len()
            )));
        }
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::setting(format!(
                "label smoothing is {smoothing}; it must be from 0 to 1"
            )));
        }
        match classes.iter().position(|class| *class >= columns) {
            None => Ok(()),
            Some(row) => Err(Error::setting(format!(
                "row {row} has class {}; the network has outputs for classes 0 to {}",
                classes[row],
                columns.saturating_sub(1)
            ))),
        }
    }

    /// True for classes: the outputs are logits then.
    pub fn is_classes(&self) -> bool {
        self.classes().is_some()
    }
}

/// Checks shape and device of target values.
fn check_values(values: &Tensor<2>, dims: [usize; 2], device: &Device) -> Result<()> {
    if values.dims() != dims {
        return Err(Error::shape(format!(
            "the target has shape {:?}, the output {dims:?}",
            values.dims()
        )));
    }
    match values.device() == *device {
        true => Ok(()),
        false => Err(Error::setting(format!(
            "the target is on {:?}, the network on {device:?}; move the target with to_device",
            values.device()
        ))),
    }
}

impl From<Tensor<2>> for Target {
    fn from(values: Tensor<2>) -> Self {
        Self::Values(values)
    }
}

impl From<Vec<usize>> for Target {
    fn from(classes: Vec<usize>) -> Self {
        Self::Classes(classes)
    }
}

/// Error metrics of the outputs of a batch, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorMetrics {
    /// Sums over all elements of `target - output`.
    pub sums: ErrorSums,
    /// Number of elements.
    pub elements: usize,
}

impl ErrorMetrics {
    /// Metrics of outputs against targets.
    ///
    /// # Errors
    /// If the lengths differ, or there are no values: their mean is not defined.
    pub fn between(targets: &[f32], outputs: &[f32]) -> Result<Self> {
        if targets.len() != outputs.len() || targets.is_empty() {
            return Err(Error::shape(format!(
                "{} targets cannot be compared with {} outputs; pass one target per output, at least one",
                targets.len(),
                outputs.len()
            )));
        }
        let mut sums = ErrorSums::default();
        for (target, output) in targets.iter().zip(outputs) {
            let error = f64::from(target - output);
            sums.absolute += error.abs();
            sums.squared += error * error;
        }
        Ok(Self { sums, elements: targets.len() })
    }

    /// Mean absolute error; NaN if no element was added.
    pub fn mae(&self) -> f64 {
        self.sums.absolute / self.elements as f64
    }

    /// Mean squared error; NaN if no element was added.
    pub fn mean_squared(&self) -> f64 {
        self.sums.squared / self.elements as f64
    }

    /// Peak signal-to-noise ratio in dB for values in [0, 1], outputs not clamped:
    /// `-10 log10(mean squared error)`.
    pub fn psnr_db(&self) -> f64 {
        -10.0 * self.mean_squared().log10()
    }
}

impl std::ops::AddAssign for ErrorMetrics {
    fn add_assign(&mut self, other: Self) {
        self.sums.absolute += other.sums.absolute;
        self.sums.squared += other.sums.squared;
        self.elements += other.elements;
    }
}

/// Error metrics of a batch that may not have been read from the device yet.
#[derive(Debug)]
#[must_use = "errors of this batch are reported when it is read"]
pub struct PendingMetrics {
    sums: Sums,
    elements: usize,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a box would be an allocation a step")]
enum Sums {
    Read(ErrorSums),
    OnDevice(Tensor<2>),
}

impl From<ErrorMetrics> for PendingMetrics {
    fn from(metrics: ErrorMetrics) -> Self {
        Self { sums: Sums::Read(metrics.sums), elements: metrics.elements }
    }
}

impl ErrorSums {
    /// Reads two sums from the device.
    fn read(sums: Tensor<2>) -> Result<Self> {
        let values = ops::read(sums)?;
        Ok(Self { absolute: f64::from(values[0]), squared: f64::from(values[1]) })
    }
}

impl PendingMetrics {
    /// Waits for the device and returns the metrics.
    ///
    /// # Errors
    /// If the error is not finite, or the device is lost.
    pub fn read(self) -> Result<ErrorMetrics> {
        let sums = match self.sums {
            Sums::Read(sums) => sums,
            Sums::OnDevice(sums) => ErrorSums::read(sums)?,
        };
        if sums.squared.is_finite() {
            return Ok(ErrorMetrics { sums, elements: self.elements });
        }
        Err(Error::not_finite(format!(
            "{NOT_FINITE}; weights whose update was not finite are unchanged, others may have moved by their momentum"
        )))
    }
}

const NOT_FINITE: &str = "the error of this batch is not a finite number: look for NaN or infinity in the input, the target and \
     the weights, or lower the learning rate";

/// The cause of an error of training that is not finite, found before any weight was changed.
fn not_finite(layers: &[Box<dyn Layer>]) -> Error {
    match broken_weight(layers) {
        Some(broken) => Error::not_finite(format!(
            "{broken}, since an earlier step or from the start: load an earlier checkpoint or build the network again, and lower \
             the learning rate"
        )),
        None => Error::not_finite(
            "the error of this batch is not a finite number, so no weight was changed (charges and counts of layers may have moved): \
             look for NaN or infinity in the input and the target; where weights have grown too large, load an earlier checkpoint and \
             lower the learning rate",
        ),
    }
}

/// Names the first weight or buffer that contains NaN or infinity.
pub(crate) fn broken_weight(layers: &[Box<dyn Layer>]) -> Option<String> {
    layers.iter().enumerate().find_map(|(position, layer)| {
        let mut all = layer.parameters().into_iter().chain(layer.buffers());
        let broken = all.find(|parameter| !ops::all_finite(&parameter.value()))?;
        let (kind, name) = (layer.kind(), broken.name());
        Some(format!("the {name} of layer {position} ({kind}) contains NaN or infinity"))
    })
}

/// Computes the outputs for a batch of samples of a given shape.
///
/// # Shapes
/// `[batch, inputs]` -> `[batch, outputs]`.
pub fn forward(
    layers: &Sequential,
    input: Tensor<2>,
    shape: &[usize],
    state: &mut State,
    mode: Mode,
) -> Tensor<2> {
    let mut pass = Pass::new(&mut state.memory, &mut state.workspace, mode, shape);
    pass.sequences = state.sequences.as_ref();
    layers.forward(input, &mut pass)
}

/// Passes a signal down from the output; every layer learns as it passes.
///
/// Call [`forward`] in [`Mode::Train`] first, with the same state and shape. The signal ends at the
/// lowest layer that learns: layers below it are unchanged, running means included.
pub fn learn(
    layers: &mut Sequential,
    signal: Tensor<2>,
    shape: &[usize],
    optimizer: &dyn Optimizer,
    state: &mut State,
) {
    let mut pass = LearnPass::new(&mut state.memory, &mut state.workspace, optimizer, shape);
    pass.signal_is_wanted = false;
    pass.sequences = state.sequences.as_ref();
    let signal = layers.learn(Signal::new(signal), &mut pass);
    state.workspace.give(signal.values);
}

/// One step of training: forward pass, signal, learning. Returns the error of the outputs before
/// the step.
///
/// # Errors
/// If the target does not fit the output: layers and state are unchanged. If the error is not
/// finite: no weight has changed, but charges and counts in the state have.
pub fn train(
    layers: &mut Sequential,
    input: Tensor<2>,
    shape: &[usize],
    target: Target,
    optimizer: &dyn Optimizer,
    state: &mut State,
) -> Result<ErrorMetrics> {
    train_observed(layers, input, shape, target, optimizer, state, |_| Ok(()))
}

/// [`train`], which shows the signal at the output, such as `target - output`, to `observe` before
/// any layer learns from it. No layer does if `observe` fails.
///
/// # Errors
/// Those of [`train`], before which `observe` is not called, and that of `observe`.
pub fn train_observed(
    layers: &mut Sequential,
    input: Tensor<2>,
    shape: &[usize],
    target: Target,
    optimizer: &dyn Optimizer,
    state: &mut State,
    observe: impl FnOnce(&Tensor<2>) -> Result<()>,
) -> Result<ErrorMetrics> {
    check_target(layers, &input, shape, &target, state)?;
    let output = forward(layers, input, shape, state, Mode::Train);
    let (signal, metrics) = top_signal(target, output).map_err(|error| match error.kind() {
        ErrorKind::NotFinite => not_finite(layers.layers()),
        _ => error,
    })?;
    observe(&signal)?;
    learn(layers, signal, shape, optimizer, state);
    Ok(metrics)
}

/// [`train`] without waiting for an asynchronous device ([`ops::is_asynchronous`]).
///
/// On such a device a non-finite error is reported when the result is read. Weights whose update is
/// not finite keep their value; the others may still move by momentum.
///
/// # Errors
/// If the target does not fit the output; on other devices those of [`train`].
pub fn enqueue(
    layers: &mut Sequential,
    input: Tensor<2>,
    shape: &[usize],
    target: Target,
    optimizer: &dyn Optimizer,
    state: &mut State,
) -> Result<PendingMetrics> {
    if !ops::is_asynchronous(state.workspace.device()) {
        return train(layers, input, shape, target, optimizer, state).map(PendingMetrics::from);
    }
    check_target(layers, &input, shape, &target, state)?;
    let output = forward(layers, input, shape, state, Mode::Train);
    let elements = output.dims().iter().product();
    let (signal, sums) = signal_unread(target, output)?;
    learn(layers, signal, shape, optimizer, state);
    Ok(PendingMetrics { sums: Sums::OnDevice(sums), elements })
}

/// Checks that a target fits the output of layers for a batch.
fn check_target(
    layers: &Sequential,
    input: &Tensor<2>,
    shape: &[usize],
    target: &Target,
    state: &State,
) -> Result<()> {
    let outputs = layers.output_shape(shape)?.iter().product();
    let rows = layers.output_rows(input.dims()[0], state.sequences.as_ref());
    target.check([rows, outputs], state.workspace.device())
}

/// Returns the signal at the output of a network, in place of the output, and the error metrics.
///
/// # Errors
/// If the target does not fit the output, or the error is not finite.
pub fn top_signal(target: Target, output: Tensor<2>) -> Result<(Tensor<2>, ErrorMetrics)> {
    let device = output.device();
    target.check(output.dims(), &device)?;
    let elements = output.dims().iter().product();
    let (signal, sums) = if ops::is_asynchronous(&device) {
        let (signal, sums) = signal_unread(target, output)?;
        (signal, ErrorSums::read(sums)?)
    } else if let Some(classes) = target.class_target() {
        ops::class_signal(output, classes)
    } else {
        let (target, output) = compared(target, output)?;
        ops::error_signal(target, output)
    };
    if sums.squared.is_finite() {
        return Ok((signal, ErrorMetrics { sums, elements }));
    }
    Err(Error::not_finite(NOT_FINITE))
}

/// The signal at the output, in place of the output, and the sums of its errors on the device.
fn signal_unread(target: Target, output: Tensor<2>) -> Result<(Tensor<2>, Tensor<2>)> {
    if let Some(classes) = target.class_target() {
        return Ok(ops::class_signal_unread(output, classes));
    }
    let (target, output) = compared(target, output)?;
    Ok(ops::error_signal_unread(target, output))
}

/// Target values and the outputs that they are compared with.
fn compared(target: Target, output: Tensor<2>) -> Result<(Tensor<2>, Tensor<2>)> {
    let device = output.device();
    let weights = target.weights(&device);
    let target = target.into_values(output.dims(), &device)?;
    let output = match weights {
        Some(weights) => output * weights,
        None => output,
    };
    Ok((target, output))
}

/// Values as a column `[n, 1]`.
fn column(values: &[f32], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len(), 1]), device)
}

/// Target probabilities of classes that were checked.
fn probabilities(
    classes: &[usize],
    smoothing: f32,
    [rows, columns]: [usize; 2],
    device: &Device,
) -> Tensor<2> {
    let even = smoothing / columns as f32;
    let mut values = vec![even; rows * columns];
    for (row, &class) in values.chunks_exact_mut(columns).zip(classes) {
        row[class] = 1.0 - smoothing + even;
    }
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}
