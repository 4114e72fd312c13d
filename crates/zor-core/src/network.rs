//! A stack of layers that learns: build, train, predict, evaluate.

use std::fmt;

use burn::tensor::{Device, Tensor};

use crate::activation::Activation;
use crate::build::{BuildContext, Weights};
use crate::contract::{check_device, check_sizes, check_tensors};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{Layer, LayerConfig, Mode};
use crate::layers::gate::{CHARGE, SPIKES};
use crate::layers::{DenseConfig, GateConfig, Place};
use crate::ops;
use crate::parameter::{Optimizer, Parameter};
use crate::rule::Rule;
use crate::step::{self, Deviation, State, Target, Unread};
use crate::workspace::{Memory, Workspace};

/// Layers in a row, with their state and the history of their training.
///
/// ```
/// use zor_core::burn::tensor::{Device, Tensor};
/// use zor_core::Network;
///
/// let device = Device::flex();
/// let network = Network::dense(&[6, 3, 6]).build(&device)?;
/// let output = network.predict(Tensor::ones([2, 6], &device))?;
/// assert_eq!(output.dims(), [2, 6]);
/// # Ok::<(), zor_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Network {
    input_shape: Vec<usize>,
    rule: Rule,
    layers: Vec<Box<dyn Layer>>,
    state: State,
    history: Vec<f32>,
}

/// A network's drawing: the shape of its input, the rule, the layers.
#[derive(Debug)]
pub struct NetworkBuilder {
    input_shape: Vec<usize>,
    rule: Rule,
    layers: Vec<Box<dyn LayerConfig>>,
    seed: u64,
    limit: Option<u64>,
    error: Option<Error>,
}

impl NetworkBuilder {
    /// The rule that layers follow where their own settings say nothing else.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }

    /// Adds a layer on top.
    #[must_use]
    pub fn layer(mut self, config: impl LayerConfig + 'static) -> Self {
        self.layers.push(Box::new(config));
        self
    }

    /// The same for settings whose type is known only when the program runs.
    #[must_use]
    pub fn boxed_layer(mut self, config: Box<dyn LayerConfig>) -> Self {
        self.layers.push(config);
        self
    }

    /// The seed of the initial weights; 0 if never set.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The largest number of values that all weights together may have. A build that needs more ends with an error before it takes the memory.
    #[must_use]
    pub fn at_most(mut self, values: u64) -> Self {
        self.limit = Some(values);
        self
    }

    /// Builds the layers, from the input up, with weights drawn by the seed.
    ///
    /// # Errors
    /// Names the layer by position and what does not fit.
    pub fn build(self, device: &Device) -> Result<Network> {
        let mut context =
            BuildContext::drawn(self.rule.clone(), self.seed, device).with_limit(self.limit);
        self.build_in(&mut context)
    }

    /// Builds the layers with weights that exist already.
    ///
    /// # Errors
    /// The same, and when weights are missing or have another shape.
    pub fn build_from(self, weights: &mut dyn Weights, device: &Device) -> Result<Network> {
        let mut context = BuildContext::saved(self.rule.clone(), weights, device);
        self.build_in(&mut context)
    }

    fn build_in(self, context: &mut BuildContext<'_>) -> Result<Network> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.rule.check()?;
        if context.device().is_autodiff() {
            return Err(Error::setting(
                "the device records a graph for autodiff, which the local rule has no use for; \
                 give its plain form, device.inner()",
            ));
        }
        check_shape(&self.input_shape)?;
        let mut shape = self.input_shape.clone();
        let mut layers: Vec<Box<dyn Layer>> = Vec::with_capacity(self.layers.len());
        for (position, config) in self.layers.iter().enumerate() {
            let built = context.child(position, |context| config.build(&shape, context));
            let layer = built.and_then(|mut layer| {
                check_shape(layer.output_shape())?;
                check_tensors(layer.as_mut()).map(|()| layer)
            });
            let layer = layer.map_err(|error| {
                let name = config.name();
                error.at(format_args!("layer {position} ({name}, input {shape:?})"))
            })?;
            shape = layer.output_shape().to_vec();
            layers.push(layer);
        }
        Network::from_layers(self.input_shape, self.rule, layers, context.device())
    }
}

/// Refuses shapes without values, and those with more than any memory has.
pub(crate) fn check_shape(shape: &[usize]) -> Result<()> {
    let values = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    match values {
        Some(1..MOST_VALUES) if !shape.is_empty() => Ok(()),
        Some(0) => Err(Error::shape(format!("a shape of {shape:?} is empty"))),
        _ => Err(Error::shape(format!("a shape of {shape:?} is not one of a sample"))),
    }
}

/// Values in a sample; arithmetic on shapes below it does not overflow.
const MOST_VALUES: usize = 1 << 40;

impl Network {
    /// Starts a network for samples of this shape, channels last.
    pub fn builder(input_shape: &[usize]) -> NetworkBuilder {
        NetworkBuilder {
            input_shape: input_shape.to_vec(),
            rule: Rule::default(),
            layers: Vec::new(),
            seed: 0,
            limit: None,
            error: None,
        }
    }

    /// Starts a network of dense layers of these sizes, input first, with a gate at every size.
    pub fn dense(sizes: &[usize]) -> NetworkBuilder {
        Self::dense_with(sizes, &vec![Activation::None; sizes.len()])
    }

    /// The same with an activation function at every size, the input's included.
    pub fn dense_with(sizes: &[usize], activations: &[Activation]) -> NetworkBuilder {
        let mut builder = Self::builder(&sizes[..sizes.len().min(1)]);
        if sizes.len() < 2 || sizes.len() != activations.len() {
            builder.error = Some(Error::setting(format!(
                "a dense network needs two sizes or more, with one activation each; here are {} and {}",
                sizes.len(),
                activations.len()
            )));
            return builder;
        }
        for (index, activation) in activations.iter().enumerate() {
            let place = match index {
                0 => Place::Input,
                _ if index == sizes.len() - 1 => Place::Output,
                _ => Place::Hidden,
            };
            if index > 0 {
                builder = builder.layer(DenseConfig::new(sizes[index]));
            }
            builder = builder
                .layer(GateConfig { activation: activation.clone(), ..GateConfig::at(place) });
        }
        builder
    }

    /// A network of layers that exist already, such as those of another network.
    ///
    /// # Errors
    /// When there is no layer, a layer takes another number of values than the one below gives ([`Layer::input_size`]), is on another
    /// device, or does not show all its tensors in every way ([`Layer::parameters_mut`], [`Layer::children`]). Names the layer by
    /// position and kind.
    pub fn from_layers(
        input_shape: Vec<usize>,
        rule: Rule,
        mut layers: Vec<Box<dyn Layer>>,
        device: &Device,
    ) -> Result<Self> {
        rule.check()?;
        check_shape(&input_shape)?;
        if layers.is_empty() {
            return Err(Error::setting("a network needs at least one layer"));
        }
        for (position, layer) in layers.iter_mut().enumerate() {
            let checked = check_tensors(layer.as_mut())
                .and_then(|()| check_shape(layer.output_shape()))
                .and_then(|()| check_device(layer.as_ref(), device));
            checked
                .map_err(|error| error.at(format_args!("layer {position} ({})", layer.kind())))?;
        }
        check_sizes(&input_shape, &layers)?;
        Ok(Self::checked(input_shape, rule, layers, device))
    }

    /// Of layers that were checked.
    fn checked(
        input_shape: Vec<usize>,
        rule: Rule,
        layers: Vec<Box<dyn Layer>>,
        device: &Device,
    ) -> Self {
        let state = State::new(layers.len(), device);
        Self { input_shape, rule, layers, state, history: Vec::new() }
    }

    /// Learns from one batch. Returns how far the outputs were off before learning.
    ///
    /// # Shapes
    /// `[batch, inputs]`, and a target `[batch, outputs]` or one class per row.
    ///
    /// # Errors
    /// When shapes do not fit or the input is not finite: the network is as before then. When the error is not finite: no weight has
    /// changed then, while charges and counts of layers have moved. The message says whether weights were not finite already, as after
    /// a step with too high a learning rate, which is found here.
    pub fn train_batch(
        &mut self,
        optimizer: &dyn Optimizer,
        input: Tensor<2>,
        target: impl Into<Target>,
    ) -> Result<Deviation> {
        optimizer.check()?;
        self.check_input(&input)?;
        let deviation =
            step::train(&mut self.layers, input, target.into(), optimizer, &mut self.state)?;
        self.record(&deviation);
        Ok(deviation)
    }

    /// The same without waiting for a device that has a queue of work: how far the outputs were off is read when it is wanted, then
    /// counted in the history by [`Network::record`].
    ///
    /// On such a device values that are not finite come to light only there; see [`step::train_unread`].
    ///
    /// # Errors
    /// When shapes do not fit; on other devices those of [`Network::train_batch`].
    pub fn train_batch_unread(
        &mut self,
        optimizer: &dyn Optimizer,
        input: Tensor<2>,
        target: impl Into<Target>,
    ) -> Result<Unread> {
        optimizer.check()?;
        if ops::runs_ahead(self.device()) {
            self.check_shape(&input)?;
        } else {
            self.check_input(&input)?;
        }
        step::train_unread(&mut self.layers, input, target.into(), optimizer, &mut self.state)
    }

    /// Counts a training step in the history.
    pub fn record(&mut self, deviation: &Deviation) {
        self.history.push(deviation.mae() as f32);
    }

    /// The outputs for a batch, from zero charges; training state stays as it is.
    ///
    /// # Shapes
    /// `[batch, inputs]` -> `[batch, outputs]`.
    ///
    /// # Errors
    /// When the input does not fit.
    pub fn predict(&self, input: Tensor<2>) -> Result<Tensor<2>> {
        self.predict_with(input, &mut Workspace::new(self.device()))
    }

    /// The same with buffers that are used again, for many batches of one size.
    ///
    /// # Errors
    /// When the input does not fit.
    pub fn predict_with(&self, input: Tensor<2>, workspace: &mut Workspace) -> Result<Tensor<2>> {
        self.check_input(&input)?;
        let buffers = std::mem::replace(workspace, Workspace::new(self.device()));
        let mut state =
            State { workspace: buffers, ..State::new(self.layers.len(), self.device()) };
        let output = step::forward(&self.layers, input, &mut state, Mode::Evaluate);
        *workspace = state.workspace;
        Ok(output)
    }

    /// How far [`Network::predict`] is from a target.
    ///
    /// # Errors
    /// When input or target does not fit.
    pub fn evaluate(&self, input: Tensor<2>, target: impl Into<Target>) -> Result<Deviation> {
        let output = self.predict(input)?;
        let found = step::top_signal(target.into(), output).map(|(_, deviation)| deviation);
        found.map_err(|error| match step::broken_weight(&self.layers) {
            Some(broken) if error.kind() == ErrorKind::NotFinite => Error::not_finite(format!(
                "{broken}; load an earlier checkpoint or build the network again"
            )),
            _ => error,
        })
    }

    /// The outputs for a batch that continues the rows seen so far: the charges of hidden layers move as in training (or
    /// start at zero when the batch has another size), while spikes and weights stay.
    ///
    /// # Errors
    /// When the input does not fit.
    pub fn predict_stateful(&mut self, input: Tensor<2>) -> Result<Tensor<2>> {
        self.check_input(&input)?;
        Ok(step::forward(&self.layers, input, &mut self.state, Mode::Evaluate))
    }

    /// The outputs that [`Network::train_batch`] would compare with its target, output gate and charges included; nothing changes.
    ///
    /// # Errors
    /// When the input does not fit.
    pub fn preview(&self, input: Tensor<2>) -> Result<Tensor<2>> {
        self.check_input(&input)?;
        let mut state = State::new(self.layers.len(), self.device());
        state.memories.clone_from(&self.state.memories);
        Ok(step::forward(&self.layers, input, &mut state, Mode::Train))
    }

    /// The mean absolute error of every training step so far, each from before the step.
    pub fn history(&self) -> &[f32] {
        &self.history
    }

    /// Share of units that fired in the last training batch, for each layer that spikes: (position, rate). Layers inside
    /// another stand in order at its position.
    pub fn spike_rates(&self) -> Vec<(usize, f32)> {
        let rate = |kept: Tensor<2>| {
            let fired = ops::positive(kept.clone(), kept.zeros_like());
            fired.mean().into_data().iter::<f32>().next()
        };
        let found = self.kept(SPIKES).into_iter();
        found.filter_map(|(index, kept)| Some((index, rate(kept)?))).collect()
    }

    /// The charge left after the last batch in each layer that carries it over: (position, `[batch, units]`).
    pub fn charges(&self) -> Vec<(usize, Tensor<2>)> {
        self.kept(CHARGE)
    }

    /// What layers keep under a name, those inside others included.
    fn kept(&self, name: &str) -> Vec<(usize, Tensor<2>)> {
        fn visit(memory: &Memory, name: &str, found: &mut Vec<Tensor<2>>) {
            found.extend(memory.get(name).cloned());
            for index in 0.. {
                match memory.get_child(index) {
                    Some(child) => visit(child, name, found),
                    None => break,
                }
            }
        }
        let mut all = Vec::new();
        for (position, memory) in self.state.memories.iter().enumerate() {
            let mut found = Vec::new();
            visit(memory, name, &mut found);
            all.extend(found.into_iter().map(|tensor| (position, tensor)));
        }
        all
    }

    /// Forgets charges and spikes, as before the first batch.
    pub fn reset(&mut self) {
        self.state = State::new(self.layers.len(), &self.device().clone());
    }

    /// Begins a phase of training: the schedule of the optimizer starts again at the next step, while weights and moments stay.
    ///
    /// An optimizer of another kind, or with another peak or decay, starts its schedule without this call. A phase with the same peak
    /// and decay as the one before needs it: its schedule would otherwise continue where the last one ended.
    pub fn begin_phase(&mut self) {
        for layer in &mut self.layers {
            layer.parameters_mut().into_iter().for_each(Parameter::restart_schedule);
        }
    }

    /// Number of trainable values.
    pub fn n_parameters(&self) -> usize {
        self.layers.iter().map(|layer| count(layer.as_ref())).sum()
    }

    /// The shape of one input sample.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// The shape of one output sample.
    pub fn output_shape(&self) -> &[usize] {
        self.layers.last().map_or(&self.input_shape, |layer| layer.output_shape())
    }

    /// The rule it was built with.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Its layers, from the input up.
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        &self.layers
    }

    /// The same, to be changed. A layer that is replaced must keep its sizes, or the next batch is refused.
    pub fn layers_mut(&mut self) -> &mut [Box<dyn Layer>] {
        &mut self.layers
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        self.state.workspace.device()
    }

    /// A table of layers with shapes, parameters and multiply-adds, to be printed.
    pub fn summary(&self) -> Summary<'_> {
        Summary(self)
    }

    /// The mean absolute errors of a training that is continued here.
    pub fn set_history(&mut self, history: Vec<f32>) {
        self.history = history;
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Shape and values. Reads the device.
    fn check_input(&self, input: &Tensor<2>) -> Result<()> {
        self.check_shape(input)?;
        // A gate would hide them: NaN fires no unit, and the weights below would learn from it.
        if ops::all_finite(input) {
            return Ok(());
        }
        Err(Error::not_finite(
            "the input has values that are NaN or infinite; nothing was computed, and the network is as before",
        ))
    }

    fn check_shape(&self, input: &Tensor<2>) -> Result<()> {
        if input.device() != *self.device() {
            return Err(Error::setting(format!(
                "the input is on {:?}, the network on {:?}; move the input with to_device",
                input.device(),
                self.device()
            )));
        }
        // Layers may have been replaced since they were checked.
        check_sizes(&self.input_shape, &self.layers)?;
        let expected: usize = self.input_shape.iter().product();
        match input.dims() {
            [0, _] => Err(Error::shape("the batch has no rows")),
            [_, columns] if columns == expected => Ok(()),
            found => Err(Error::shape(format!(
                "the input has shape {found:?}; this network takes [batch, {expected}]"
            ))),
        }
    }
}

fn count(layer: &dyn Layer) -> usize {
    layer.parameters().iter().map(|p| p.shape()[0] * p.shape()[1]).sum()
}

impl Clone for Network {
    /// The same weights and history, with a state of its own.
    fn clone(&self) -> Self {
        let layers = self.layers.iter().map(|layer| layer.boxed_clone()).collect();
        let mut clone =
            Self::checked(self.input_shape.clone(), self.rule.clone(), layers, self.device());
        clone.history = self.history.clone();
        clone
    }
}

/// A printable table of shapes, parameters and multiply-adds of one sample; see [`Network::summary`].
#[derive(Debug)]
pub struct Summary<'a>(&'a Network);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.0;
        row(f, "input", &network.input_shape, 0, 0)?;
        for layer in &network.layers {
            layer_rows(f, layer.as_ref(), 0)?;
        }
        let adds = network.layers.iter().map(|layer| layer.multiply_adds()).sum();
        row(f, "total", network.output_shape(), network.n_parameters(), adds)
    }
}

/// A layer's row, and below it, further in, those of the layers it is made of.
fn layer_rows(f: &mut fmt::Formatter<'_>, layer: &dyn Layer, depth: usize) -> fmt::Result {
    let name = format!("{:width$}{}", "", layer.kind(), width = 2 * depth);
    row(f, &name, layer.output_shape(), count(layer), layer.multiply_adds())?;
    layer.children().into_iter().try_for_each(|child| layer_rows(f, child, depth + 1))
}

fn row(
    f: &mut fmt::Formatter<'_>,
    layer: &str,
    shape: &[usize],
    parameters: usize,
    adds: u64,
) -> fmt::Result {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    writeln!(f, "{layer:<18}{:>14}{parameters:>14}{adds:>16}", shape.join("x"))
}
