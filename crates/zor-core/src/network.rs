//! A network: a stack of layers that is built, trained, evaluated and used for prediction.

use std::fmt;

use burn::tensor::{Device, Tensor, TensorData};

use crate::activation::Activation;
use crate::build::{BuildContext, WeightSource};
use crate::contract::{check_device, check_shape, check_visits};
use crate::error::{Error, ErrorKind, Result};
use crate::input::Input;
use crate::layer::{Layer, LayerConfig, Visitor, VisitorMut};
use crate::layers::attention::{SEEN, WEIGHTS};
use crate::layers::gate::{CHARGE, SPIKES};
use crate::layers::sequential::Chain;
use crate::layers::{DenseConfig, GateConfig, GatePosition, Sequential};
use crate::memory::{Memory, Mode};
use crate::ops;
use crate::optimizer::{Optimizer, Summing};
use crate::parameter::Parameter;
use crate::rule::Rule;
use crate::sequences::Sequences;
use crate::step::{self, ErrorMetrics, PendingMetrics, State, Target};
use crate::workspace::Workspace;

/// Number of errors that stay in a history that has become too long.
const HISTORY: usize = 1 << 16;

/// A stack of layers with their state and the history of their training.
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

/// Builder of a [`Network`]: the shape of its input, the rule, the layers.
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
    /// Sets the rule for all layers whose own settings do not override it.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }

    /// Appends a layer.
    #[must_use]
    pub fn layer(mut self, config: impl LayerConfig + 'static) -> Self {
        self.layers.push(Box::new(config));
        self
    }

    /// Appends a layer whose configuration type is known only at run time.
    #[must_use]
    pub fn boxed_layer(mut self, config: Box<dyn LayerConfig>) -> Self {
        self.layers.push(config);
        self
    }

    /// Sets the seed of the initial weights; default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the maximum number of values of all weights together. A build that needs more fails
    /// before it allocates them.
    #[must_use]
    pub fn at_most(mut self, values: u64) -> Self {
        self.limit = Some(values);
        self
    }

    /// Builds the layers, from the input up, with weights drawn from the seed.
    ///
    /// # Errors
    /// Names the position of the layer and what does not fit.
    pub fn build(self, device: &Device) -> Result<Network> {
        let mut context = BuildContext::with_random_weights(self.rule.clone(), self.seed, device)
            .with_limit(self.limit);
        self.build_in(&mut context)
    }

    /// Builds the layers with weights from a source.
    ///
    /// # Errors
    /// Those of [`NetworkBuilder::build`]; also if weights are missing or have another shape.
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
                "the device records a graph for autodiff, which the local rule does not use; \
                 pass its inner device, device.inner()",
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
    /// Starts a network for samples of this shape (channels last).
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

    /// Starts a network of dense layers of these sizes, input first, without biases. A gate follows
    /// the input and every layer; the rule decides whether the first and the last one have a
    /// threshold ([`Rule::gate_input`] and [`Rule::gate_output`]).
    pub fn dense(sizes: &[usize]) -> NetworkBuilder {
        Self::dense_with(sizes, &vec![Activation::None; sizes.len()])
    }

    /// [`Network::dense`] with an activation function for every size, the input's included.
    pub fn dense_with(sizes: &[usize], activations: &[Activation]) -> NetworkBuilder {
        let mut builder = Self::builder(&sizes[..sizes.len().min(1)]);
        if sizes.len() < 2 || sizes.len() != activations.len() {
            builder.error = Some(Error::setting(format!(
                "a dense network needs two sizes or more, with one activation each; got {} sizes and {} activations",
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

    /// Creates a network from existing layers, such as those of another network.
    ///
    /// # Errors
    /// If there is no layer, a layer does not take the output of the one below
    /// ([`Layer::output_shape`]), a layer is on another device, or its two visits differ
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

    /// Creates a network from layers that were checked.
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

    /// Trains on one batch. Returns the error of the outputs before the step.
    ///
    /// # Shapes
    /// `[batch, inputs]`, and a target `[batch, outputs]` or one class per row. For [`Sequences`]
    /// the rows are positions; those that the network leaves out, such as prefixes, have no target.
    ///
    /// # Errors
    /// If shapes do not fit or the input is not finite: the network is unchanged. If the error is
    /// not finite: no weight has changed, but charges and counts of layers have. The message
    /// states whether a weight was not finite already, as after a step with too high a learning
    /// rate, which is detected here.
    pub fn train_batch(
        &mut self,
        optimizer: &dyn Optimizer,
        input: impl Into<Input>,
        target: impl Into<Target>,
    ) -> Result<ErrorMetrics> {
        self.train_batch_observed(optimizer, input, target, |_| Ok(()))
    }

    /// [`Network::train_batch`], which shows the signal at the output to `observe` before any layer
    /// learns from it: the matrix `target - output`, `[batch, outputs]`, or for classes
    /// `target - softmax(output)`. No layer learns if `observe` fails.
    ///
    /// # Errors
    /// Those of [`Network::train_batch`], before which `observe` is not called, and that of
    /// `observe`.
    pub fn train_batch_observed(
        &mut self,
        optimizer: &dyn Optimizer,
        input: impl Into<Input>,
        target: impl Into<Target>,
        observe: impl FnOnce(&Tensor<2>) -> Result<()>,
    ) -> Result<ErrorMetrics> {
        optimizer.check()?;
        let (input, sequences) = self.checked_input(input.into())?;
        self.state.set_sequences(sequences);
        self.refresh()?;
        let Self { layers, input_shape: shape, state, .. } = self;
        let metrics =
            step::train_observed(layers, input, shape, target.into(), optimizer, state, observe)?;
        self.record(&metrics);
        Ok(metrics)
    }

    /// Takes one step of the optimizer along the sum of the correlations of several batches, as for
    /// a batch that is too large for the memory. Returns the errors of all outputs before the step.
    ///
    /// A rule that normalises over the batch does so in each of them ([`Rule::normalize_signal`]),
    /// and charges are kept from one to the next: only without both, the step is that of one batch
    /// with all rows.
    ///
    /// # Errors
    /// Those of [`Network::train_batch`], after which no weight has changed; also if there is no
    /// batch.
    pub fn train_batches(
        &mut self,
        optimizer: &dyn Optimizer,
        batches: impl IntoIterator<Item = (Input, Target)>,
    ) -> Result<ErrorMetrics> {
        optimizer.check()?;
        let mut metrics = ErrorMetrics::default();
        let mut done = Ok(());
        for (input, target) in batches {
            match self.train_batch(&Summing, input, target) {
                Ok(found) => metrics += found,
                Err(error) => done = Err(error),
            }
            if done.is_err() {
                break;
            }
        }
        if done.is_ok() && metrics.elements == 0 {
            done = Err(Error::shape("there is no batch to learn from"));
        }
        for layer in self.layers.layers_mut() {
            for parameter in layer.parameters_mut() {
                if let (Some(sum), Ok(())) = (parameter.take_sum(), &done) {
                    optimizer.step(parameter, sum, &mut self.state.workspace);
                }
            }
        }
        done.map(|()| metrics)
    }

    /// [`Network::train_batch`] without waiting for an asynchronous device. The error is read
    /// later, and then added to the history with [`Network::record`].
    ///
    /// On such a device values that are not finite are detected only when the error is read; see
    /// [`step::enqueue`].
    ///
    /// # Errors
    /// If shapes do not fit; on other devices those of [`Network::train_batch`].
    pub fn enqueue_batch(
        &mut self,
        optimizer: &dyn Optimizer,
        input: impl Into<Input>,
        target: impl Into<Target>,
    ) -> Result<PendingMetrics> {
        optimizer.check()?;
        let (input, sequences) = match input.into() {
            Input::Values(values) if ops::is_asynchronous(self.device()) => {
                self.check_shape(&values)?;
                self.check_values(&values)?;
                (values, None)
            }
            input => self.checked_input(input)?,
        };
        self.state.set_sequences(sequences);
        self.refresh()?;
        let Self { layers, input_shape, state, .. } = self;
        step::enqueue(layers, input, input_shape, target.into(), optimizer, state)
    }

    /// Adds the error of a training step to the history. A history of 131,072 errors first loses
    /// its older half, so that the memory of a training does not grow with its steps.
    pub fn record(&mut self, metrics: &ErrorMetrics) {
        if self.history.len() == 2 * HISTORY {
            self.history.drain(..HISTORY);
        }
        self.history.push(metrics.mae() as f32);
    }

    /// Returns the outputs for a batch, from zero charges. The state of training is unchanged.
    ///
    /// # Shapes
    /// `[batch, inputs]` -> `[batch, outputs]`. For [`Sequences`] the rows are positions, without
    /// those that the network leaves out.
    ///
    /// # Errors
    /// If the input does not fit.
    pub fn predict(&self, input: impl Into<Input>) -> Result<Tensor<2>> {
        self.predict_in(input, &mut Workspace::new(self.device()))
    }

    /// [`Network::predict`] with the buffers of a workspace, for many batches of one size.
    ///
    /// # Errors
    /// If the input does not fit.
    pub fn predict_in(
        &self,
        input: impl Into<Input>,
        workspace: &mut Workspace,
    ) -> Result<Tensor<2>> {
        let (input, sequences) = self.checked_input(input.into())?;
        let buffers = std::mem::replace(workspace, Workspace::new(self.device()));
        let mut state = State { workspace: buffers, memory: Memory::default(), sequences: None };
        state.set_sequences(sequences);
        let output =
            step::forward(&self.layers, input, &self.input_shape, &mut state, Mode::Evaluate);
        *workspace = state.workspace;
        Ok(output)
    }

    /// Returns the error of [`Network::predict`] against a target.
    ///
    /// # Errors
    /// If the input or the target does not fit.
    pub fn evaluate(
        &self,
        input: impl Into<Input>,
        target: impl Into<Target>,
    ) -> Result<ErrorMetrics> {
        let output = self.predict(input)?;
        let found = step::top_signal(target.into(), output).map(|(_, metrics)| metrics);
        found.map_err(|error| match step::broken_weight(self.layers.layers()) {
            Some(broken) if error.kind() == ErrorKind::NotFinite => Error::not_finite(format!(
                "{broken}; load an earlier checkpoint or build the network again"
            )),
            _ => error,
        })
    }

    /// Returns the outputs for a batch that continues the rows of previous batches: charges of
    /// hidden layers are updated as in training (or start at zero if the batch size has changed),
    /// while spikes and weights stay.
    ///
    /// # Errors
    /// If the input does not fit.
    pub fn predict_stateful(&mut self, input: Tensor<2>) -> Result<Tensor<2>> {
        self.check_input(&input)?;
        let Self { layers, input_shape, state, .. } = self;
        state.sequences = None;
        Ok(step::forward(layers, input, input_shape, state, Mode::Evaluate))
    }

    /// Returns the outputs that [`Network::train_batch`] would compare with its target, output gate
    /// and charges included, without changing the network.
    ///
    /// # Errors
    /// If the input does not fit.
    pub fn training_forward(&self, input: Tensor<2>) -> Result<Tensor<2>> {
        self.check_input(&input)?;
        let mut state = State::new(self.device());
        state.memory.clone_from(&self.state.memory);
        Ok(step::forward(&self.layers, input, &self.input_shape, &mut state, Mode::Train))
    }

    /// Mean absolute error of each training step, from before the step; of a long training the last
    /// steps, at least 65,536.
    pub fn history(&self) -> &[f32] {
        &self.history
    }

    /// Share of units that fired in the last training batch, for each layer that spikes: (position,
    /// rate). Nested layers are listed in order under the position of their outermost layer.
    pub fn spike_rates(&self) -> Vec<(usize, f32)> {
        fn visit(memory: &Memory, found: &mut Vec<f32>) {
            let fired = |kept: &Tensor<2>| {
                let fired = ops::step_mask(kept.clone().abs(), kept.zeros_like());
                fired.sum().into_data().iter::<f32>().next()
            };
            let units = |kept: &Tensor<2>| (kept.dims()[0] * kept.dims()[1]) as f32;
            let spikes = memory.get(SPIKES).map(|kept| (kept, units(kept)));
            // A pair of positions that see each other is a unit of attention.
            let pairs = memory.get(WEIGHTS).zip(memory.number(SEEN));
            for (kept, units) in spikes.into_iter().chain(pairs) {
                found.extend(fired(kept).map(|fired| fired / units));
            }
            memory.children().iter().for_each(|child| visit(child, found));
        }
        let mut all = Vec::new();
        for (position, memory) in self.state.memory.children().iter().enumerate() {
            let mut found = Vec::new();
            visit(memory, &mut found);
            all.extend(found.into_iter().map(|rate| (position, rate)));
        }
        all
    }

    /// Sets the target spike rate of all gates that have one, such as at each step of a schedule.
    ///
    /// # Errors
    /// When the rate is not above 0 and at most 1.
    pub fn set_target_spike_rate(&mut self, rate: f32) -> Result<()> {
        struct Gates(f32);
        impl<'a> VisitorMut<'a> for Gates {
            fn parameter(&mut self, _: &'a mut Parameter) {}
            fn buffer(&mut self, _: &'a mut Parameter) {}
            fn child(&mut self, layer: &'a mut dyn Layer) {
                layer.set_target_spike_rate(self.0);
                layer.visit_mut(self);
            }
        }
        Rule { target_spike_rate: Some(rate), ..Rule::default() }.check()?;
        self.layers.visit_mut(&mut Gates(rate));
        Ok(())
    }

    /// Charge after the last batch in each layer that keeps it: (position, `[batch, units]`).
    pub fn charges(&self) -> Vec<(usize, Tensor<2>)> {
        self.kept(CHARGE)
    }

    /// Tensors that layers keep under a name, nested layers included.
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

    /// Clears charges and spikes, as before the first batch.
    pub fn reset(&mut self) {
        self.state = State::new(&self.device().clone());
    }

    /// Clears the state of the optimizer, as before the first step; weights stay.
    pub fn reset_optimizer(&mut self) {
        for layer in self.layers.layers_mut() {
            layer.parameters_mut().into_iter().for_each(Parameter::clear_state);
        }
    }

    /// Begins a phase of training: the optimizer's schedule restarts at the next step, while
    /// weights and moments stay.
    ///
    /// An optimizer of another kind, or with another peak or decay, restarts its schedule without
    /// this call. A phase with the same peak and decay as the previous one needs the call: its
    /// schedule would otherwise continue where the last one ended.
    pub fn begin_phase(&mut self) {
        for layer in self.layers.layers_mut() {
            layer.parameters_mut().into_iter().for_each(Parameter::restart_schedule);
        }
    }

    /// Number of trainable values.
    pub fn n_parameters(&self) -> usize {
        count(&self.layers)
    }

    /// Shape of one input sample.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// Shape of one output sample.
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// The rule that the network was built with.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The layers, from the input up.
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        self.layers.layers()
    }

    /// The layers as one [`Sequential`].
    pub fn sequential(&self) -> &Sequential {
        &self.layers
    }

    /// The layers, for modification. A replacement must keep the sizes of its layer; otherwise the
    /// next batch is rejected.
    pub fn layers_mut(&mut self) -> &mut [Box<dyn Layer>] {
        // A replaced layer may have another output shape.
        self.layers.set_shapes(Vec::new());
        self.layers.layers_mut()
    }

    /// Shapes of a sample: at the input and after each layer.
    ///
    /// # Errors
    /// If a layer that was replaced does not take the output of the one below it.
    pub fn shapes(&self) -> Result<Vec<Vec<usize>>> {
        self.layers.shapes(&self.input_shape)
    }

    /// Shape of an output sample for input samples of a given shape.
    ///
    /// # Errors
    /// If a layer does not take the output of the one below it.
    pub fn output_shape_for(&self, input: &[usize]) -> Result<Vec<usize>> {
        check_shape(input)?;
        Ok(self.layers.shapes(input)?.pop().unwrap_or_default())
    }

    /// Sets the shape of input samples, such as smaller images for a convolutional network.
    ///
    /// # Errors
    /// If a layer does not take the output of the one below it; the network is unchanged then.
    pub fn set_input_shape(&mut self, shape: &[usize]) -> Result<()> {
        check_shape(shape)?;
        let shapes = self.layers.shapes(shape)?;
        self.output_shape = shapes.last().cloned().unwrap_or_default();
        self.input_shape = shape.to_vec();
        self.layers.set_shapes(shapes);
        Ok(())
    }

    /// Recomputes shapes after layers were changed.
    fn refresh(&mut self) -> Result<()> {
        if self.layers.has_shapes() {
            return Ok(());
        }
        let shape = self.input_shape.clone();
        self.set_input_shape(&shape)
    }

    /// The device of the network.
    pub fn device(&self) -> &Device {
        self.state.workspace.device()
    }

    /// Returns a printable table of layers with shapes, parameters and multiply-adds.
    pub fn summary(&self) -> Summary<'_> {
        Summary(self)
    }

    /// Sets the history of mean absolute errors, to resume a training.
    pub fn set_history(&mut self, history: Vec<f32>) {
        self.history = history;
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Checks an input. Returns its values, which are tokens for sequences, and its sequences.
    /// Reads values from the device.
    pub(crate) fn checked_input(&self, input: Input) -> Result<(Tensor<2>, Option<Sequences>)> {
        let sequences = match input {
            Input::Values(values) => {
                self.check_input(&values)?;
                return Ok((values, None));
            }
            Input::Sequences(sequences) => sequences,
        };
        fn check(layer: &dyn Layer, sequences: &Sequences) -> Result<()> {
            layer.check_sequences(sequences)?;
            layer.children().into_iter().try_for_each(|child| check(child, sequences))
        }
        check(&self.layers, &sequences)?;
        let tokens = sequences.tokens();
        let values: Vec<f32> = tokens.iter().map(|token| *token as f32).collect();
        let values = Tensor::from_data(TensorData::new(values, [tokens.len(), 1]), self.device());
        self.check_shape(&values)?;
        Ok((values, Some(sequences)))
    }

    /// Checks shape and values of an input. Reads from the device.
    fn check_input(&self, input: &Tensor<2>) -> Result<()> {
        self.check_shape(input)?;
        // A gate would hide NaN: it fires no unit, and the weights below would learn from it.
        if ops::all_finite(input) {
            return self.check_values(input);
        }
        Err(Error::not_finite(
            "the input has values that are NaN or infinite; nothing was computed, and the network is unchanged",
        ))
    }

    /// Checks that the layers take rows without sequences.
    fn check_values(&self, input: &Tensor<2>) -> Result<()> {
        let (rows, most) = (input.dims()[0], max_rows(&self.layers));
        if rows > most {
            return Err(Error::shape(format!(
                "all rows are one sequence, which has {rows} positions; the maximum is {most} \
                 (setting longest)"
            )));
        }
        self.layers.check_values(input)
    }

    fn check_shape(&self, input: &Tensor<2>) -> Result<()> {
        if input.device() != *self.device() {
            return Err(Error::setting(format!(
                "the input is on {:?}, the network on {:?}; move the input with to_device",
                input.device(),
                self.device()
            )));
        }
        // Layers may have been replaced since the last check.
        if !self.layers.has_shapes() {
            self.layers.shapes(&self.input_shape)?;
        }
        let expected: usize = self.input_shape.iter().product();
        match input.dims() {
            [0, _] => Err(Error::shape("the batch has no rows")),
            [_, columns] if columns == expected => Ok(()),
            found => Err(Error::shape(format!(
                "the input has shape {found:?}; this network expects [batch, {expected}]"
            ))),
        }
    }
}

fn count(layer: &dyn Layer) -> usize {
    layer.parameters().iter().map(|p| p.shape()[0] * p.shape()[1]).sum()
}

impl Clone for Network {
    /// Copies weights and history; the clone starts with empty state.
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

/// Maximum number of rows of a batch of values for a layer and those inside it.
fn max_rows(layer: &dyn Layer) -> usize {
    struct Least(usize);
    impl<'a> Visitor<'a> for Least {
        fn parameter(&mut self, _: &'a Parameter) {}
        fn buffer(&mut self, _: &'a Parameter) {}
        fn child(&mut self, layer: &'a dyn Layer) {
            self.0 = self.0.min(layer.max_rows());
            layer.visit(self);
        }
    }
    let mut least = Least(layer.max_rows());
    layer.visit(&mut least);
    least.0
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

/// Writes the rows of layers one after another, with the rows of nested layers indented below each.
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
