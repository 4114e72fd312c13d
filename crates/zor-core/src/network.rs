//! A stack of layers that learns: build, train, predict, evaluate.

use std::fmt;

use burn::tensor::{Device, Tensor};

use crate::activation::Activation;
use crate::build::{BuildContext, WeightSource};
use crate::contract::{check_device, check_shape, check_visits};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{Layer, LayerConfig};
use crate::layers::gate::{CHARGE, SPIKES};
use crate::layers::sequential::Chain;
use crate::layers::{DenseConfig, GateConfig, GatePosition, Sequential};
use crate::memory::{Memory, Mode};
use crate::ops;
use crate::optimizer::Optimizer;
use crate::parameter::Parameter;
use crate::rule::Rule;
use crate::step::{self, ErrorMetrics, PendingMetrics, State, Target};
use crate::workspace::Workspace;

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
    output_shape: Vec<usize>,
    rule: Rule,
    layers: Sequential,
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

    /// The largest number of values that all weights together may have. A build that needs more
    /// ends with an error before it takes the memory.
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
        let mut context = BuildContext::with_random_weights(self.rule.clone(), self.seed, device)
            .with_limit(self.limit);
        self.build_in(&mut context)
    }

    /// Builds the layers with weights that exist already.
    ///
    /// # Errors
    /// The same, and when weights are missing or have another shape.
    pub fn build_from(self, weights: &mut dyn WeightSource, device: &Device) -> Result<Network> {
        let mut context = BuildContext::with_stored_weights(self.rule.clone(), weights, device);
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
        if self.layers.is_empty() {
            return Err(Error::setting(NO_LAYER));
        }
        let chain = Chain::build(&self.layers, "", 0, &self.input_shape, context)?;
        for (position, layer) in chain.layers.iter().enumerate() {
            check_device(layer.as_ref(), context.device())
                .map_err(|error| error.at(format_args!("layer {position} ({})", layer.kind())))?;
        }
        let output_shape = chain.output_shape(&self.input_shape)?;
        let layers = Sequential::new(chain);
        Ok(Network::checked(self.input_shape, output_shape, self.rule, layers, context.device()))
    }
}

const NO_LAYER: &str = "a network needs at least one layer";

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
                0 => GatePosition::Input,
                _ if index == sizes.len() - 1 => GatePosition::Output,
                _ => GatePosition::Hidden,
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
    /// When there is no layer, a layer does not take the output of the one below
    /// ([`Layer::output_shape`]), is on another device, or its two visits differ
    /// ([`Layer::visit_mut`]). Names the layer by position and kind.
    pub fn from_layers(
        input_shape: Vec<usize>,
        rule: Rule,
        mut layers: Vec<Box<dyn Layer>>,
        device: &Device,
    ) -> Result<Self> {
        rule.check()?;
        check_shape(&input_shape)?;
        if layers.is_empty() {
            return Err(Error::setting(NO_LAYER));
        }
        for (position, layer) in layers.iter_mut().enumerate() {
            let checked =
                check_visits(layer.as_mut()).and_then(|()| check_device(&**layer, device));
            checked
                .map_err(|error| error.at(format_args!("layer {position} ({})", layer.kind())))?;
        }
        let chain = Chain::of(layers, &input_shape)?;
        let output_shape = chain.output_shape(&input_shape)?;
        Ok(Self::checked(input_shape, output_shape, rule, Sequential::new(chain), device))
    }

    /// A network of layers that were checked.
    fn checked(
        input_shape: Vec<usize>,
        output_shape: Vec<usize>,
        rule: Rule,
        layers: Sequential,
        device: &Device,
    ) -> Self {
        let state = State::new(device);
        Self { input_shape, output_shape, rule, layers, state, history: Vec::new() }
    }

    /// Learns from one batch. Returns how far the outputs were off before learning.
    ///
    /// # Shapes
    /// `[batch, inputs]`, and a target `[batch, outputs]` or one class per row.
    ///
    /// # Errors
    /// When shapes do not fit or the input is not finite: the network is as before then. When the
    /// error is not finite: no weight has changed then, while charges and counts of layers have
    /// moved. The message says whether weights were not finite already, as after a step with too
    /// high a learning rate, which is found here.
    pub fn train_batch(
        &mut self,
        optimizer: &dyn Optimizer,
        input: Tensor<2>,
        target: impl Into<Target>,
    ) -> Result<ErrorMetrics> {
        optimizer.check()?;
        self.check_input(&input)?;
        self.refresh()?;
        let Self { layers, input_shape, state, .. } = self;
        let deviation = step::train(layers, input, input_shape, target.into(), optimizer, state)?;
        self.record(&deviation);
        Ok(deviation)
    }

    /// The same without waiting for a device that has a queue of work: how far the outputs were off
    /// is read when it is wanted, then counted in the history by [`Network::record`].
    ///
    /// On such a device values that are not finite come to light only there; see [`step::enqueue`].
    ///
    /// # Errors
    /// When shapes do not fit; on other devices those of [`Network::train_batch`].
    pub fn enqueue_batch(
        &mut self,
        optimizer: &dyn Optimizer,
        input: Tensor<2>,
        target: impl Into<Target>,
    ) -> Result<PendingMetrics> {
        optimizer.check()?;
        if ops::is_asynchronous(self.device()) {
            self.check_shape(&input)?;
        } else {
            self.check_input(&input)?;
        }
        self.refresh()?;
        let Self { layers, input_shape, state, .. } = self;
        step::enqueue(layers, input, input_shape, target.into(), optimizer, state)
    }

    /// Counts a training step in the history.
    pub fn record(&mut self, deviation: &ErrorMetrics) {
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
        self.predict_in(input, &mut Workspace::new(self.device()))
    }

    /// The same with buffers that are used again, for many batches of one size.
    ///
    /// # Errors
    /// When the input does not fit.
    pub fn predict_in(&self, input: Tensor<2>, workspace: &mut Workspace) -> Result<Tensor<2>> {
        self.check_input(&input)?;
        let buffers = std::mem::replace(workspace, Workspace::new(self.device()));
        let mut state = State { workspace: buffers, memory: Memory::default() };
        let output =
            step::forward(&self.layers, input, &self.input_shape, &mut state, Mode::Evaluate);
        *workspace = state.workspace;
        Ok(output)
    }

    /// How far [`Network::predict`] is from a target.
    ///
    /// # Errors
    /// When input or target does not fit.
    pub fn evaluate(&self, input: Tensor<2>, target: impl Into<Target>) -> Result<ErrorMetrics> {
        let output = self.predict(input)?;
        let found = step::top_signal(target.into(), output).map(|(_, deviation)| deviation);
        found.map_err(|error| match step::broken_weight(self.layers.layers()) {
            Some(broken) if error.kind() == ErrorKind::NotFinite => Error::not_finite(format!(
                "{broken}; load an earlier checkpoint or build the network again"
            )),
            _ => error,
        })
    }

    /// The outputs for a batch that continues the rows seen so far: the charges of hidden layers
    /// move as in training (or start at zero when the batch has another size), while spikes and
    /// weights stay.
    ///
    /// # Errors
    /// When the input does not fit.
    pub fn predict_stateful(&mut self, input: Tensor<2>) -> Result<Tensor<2>> {
        self.check_input(&input)?;
        let Self { layers, input_shape, state, .. } = self;
        Ok(step::forward(layers, input, input_shape, state, Mode::Evaluate))
    }

    /// The outputs that [`Network::train_batch`] would compare with its target, output gate and
    /// charges included; nothing changes.
    ///
    /// # Errors
    /// When the input does not fit.
    pub fn training_forward(&self, input: Tensor<2>) -> Result<Tensor<2>> {
        self.check_input(&input)?;
        let mut state = State::new(self.device());
        state.memory.clone_from(&self.state.memory);
        Ok(step::forward(&self.layers, input, &self.input_shape, &mut state, Mode::Train))
    }

    /// The mean absolute error of every training step so far, each from before the step.
    pub fn history(&self) -> &[f32] {
        &self.history
    }

    /// Share of units that fired in the last training batch, for each layer that spikes: (position,
    /// rate). Layers inside another stand in order at its position.
    pub fn spike_rates(&self) -> Vec<(usize, f32)> {
        let rate = |kept: Tensor<2>| {
            let fired = ops::step_mask(kept.clone(), kept.zeros_like());
            fired.mean().into_data().iter::<f32>().next()
        };
        let found = self.kept(SPIKES).into_iter();
        found.filter_map(|(index, kept)| Some((index, rate(kept)?))).collect()
    }

    /// The charge left after the last batch in each layer that carries it over: (position,
    /// `[batch, units]`).
    pub fn charges(&self) -> Vec<(usize, Tensor<2>)> {
        self.kept(CHARGE)
    }

    /// What layers keep under a name, those inside others included.
    fn kept(&self, name: &str) -> Vec<(usize, Tensor<2>)> {
        fn visit(memory: &Memory, name: &str, found: &mut Vec<Tensor<2>>) {
            found.extend(memory.get(name).cloned());
            memory.children().iter().for_each(|child| visit(child, name, found));
        }
        let mut all = Vec::new();
        for (position, memory) in self.state.memory.children().iter().enumerate() {
            let mut found = Vec::new();
            visit(memory, name, &mut found);
            all.extend(found.into_iter().map(|tensor| (position, tensor)));
        }
        all
    }

    /// Forgets charges and spikes, as before the first batch.
    pub fn reset(&mut self) {
        self.state = State::new(&self.device().clone());
    }

    /// Forgets the state of the optimizer, as before the first step; weights stay.
    pub fn reset_optimizer(&mut self) {
        for layer in self.layers.layers_mut() {
            layer.parameters_mut().into_iter().for_each(Parameter::clear_state);
        }
    }

    /// Begins a phase of training: the schedule of the optimizer starts again at the next step,
    /// while weights and moments stay.
    ///
    /// An optimizer of another kind, or with another peak or decay, starts its schedule without
    /// this call. A phase with the same peak and decay as the one before needs it: its schedule
    /// would otherwise continue where the last one ended.
    pub fn begin_phase(&mut self) {
        for layer in self.layers.layers_mut() {
            layer.parameters_mut().into_iter().for_each(Parameter::restart_schedule);
        }
    }

    /// Number of trainable values.
    pub fn n_parameters(&self) -> usize {
        count(&self.layers)
    }

    /// The shape of one input sample.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// The shape of one output sample.
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// The rule it was built with.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Its layers, from the input up.
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        self.layers.layers()
    }

    /// Its layers as one.
    pub fn sequential(&self) -> &Sequential {
        &self.layers
    }

    /// Its layers, to be changed. A layer that is replaced must keep its sizes, or the next batch
    /// is refused.
    pub fn layers_mut(&mut self) -> &mut [Box<dyn Layer>] {
        // Other layers may give other shapes.
        self.layers.set_shapes(Vec::new());
        self.layers.layers_mut()
    }

    /// The shape of a sample at the input, and behind each layer.
    ///
    /// # Errors
    /// When a layer that was put in later does not take the output of the one below it.
    pub fn shapes(&self) -> Result<Vec<Vec<usize>>> {
        self.layers.shapes(&self.input_shape)
    }

    /// The shape of an output sample for inputs of a shape.
    ///
    /// # Errors
    /// When a layer does not take the output of the one below it.
    pub fn output_shape_for(&self, input: &[usize]) -> Result<Vec<usize>> {
        check_shape(input)?;
        Ok(self.layers.shapes(input)?.pop().unwrap_or_default())
    }

    /// Takes inputs of another shape from now on, such as smaller images for a convolutional
    /// network.
    ///
    /// # Errors
    /// When a layer does not take the output of the one below it; the network is as before then.
    pub fn set_input_shape(&mut self, shape: &[usize]) -> Result<()> {
        check_shape(shape)?;
        let shapes = self.layers.shapes(shape)?;
        self.output_shape = shapes.last().cloned().unwrap_or_default();
        self.input_shape = shape.to_vec();
        self.layers.set_shapes(shapes);
        Ok(())
    }

    /// Finds the shapes of layers that were changed.
    fn refresh(&mut self) -> Result<()> {
        if self.layers.has_shapes() {
            return Ok(());
        }
        let shape = self.input_shape.clone();
        self.set_input_shape(&shape)
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
        if !self.layers.has_shapes() {
            self.layers.shapes(&self.input_shape)?;
        }
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
        Self {
            input_shape: self.input_shape.clone(),
            output_shape: self.output_shape.clone(),
            rule: self.rule.clone(),
            layers: self.layers.clone(),
            state: State::new(self.device()),
            history: self.history.clone(),
        }
    }
}

/// A printable table of shapes, parameters and multiply-adds of one sample; see
/// [`Network::summary`].
#[derive(Debug)]
pub struct Summary<'a>(&'a Network);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.0;
        let shape = network.input_shape();
        row(f, "input", shape, 0, 0)?;
        layers_rows(f, &(&network.layers as &dyn Layer).children(), shape, 0)?;
        let adds = network.layers.multiply_adds(shape);
        row(f, "total", network.output_shape(), network.n_parameters(), adds)
    }
}

/// The rows of layers one after another, and below each, further in, those of the layers it is made
/// of.
fn layers_rows(
    f: &mut fmt::Formatter<'_>,
    layers: &[&dyn Layer],
    input: &[usize],
    depth: usize,
) -> fmt::Result {
    let mut input = input.to_vec();
    for layer in layers {
        let name = format!("{:width$}{}", "", layer.kind(), width = 2 * depth);
        let output = layer.output_shape(&input).unwrap_or_default();
        row(f, &name, &output, count(*layer), layer.multiply_adds(&input))?;
        for path in layer.paths() {
            layers_rows(f, &path, &input, depth + 1)?;
        }
        input = output;
    }
    Ok(())
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
