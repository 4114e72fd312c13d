//! Convolution and transposed convolution.
//!
//! Forward `y[p] = sum over e of x[p + e] W[e]`, for every element `e` of a window that slides over
//! the map. With the signal `s` at the output and its gated form `s'`, the kernel moves along
//! `sum over p of x[p + e]^T s'[p]`, with each input channel divided by its norm over batch and
//! positions if the rule normalises presynaptic activity. `sum over e of s[p - e] W[e]^T` passes
//! down, with `W` from before the step. Without the normalisation both are the gradient.
//!
//! The transposed convolution exchanges the two passes: its input goes through the second and its
//! signal through the first.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::pool::{WINNERS, route_to_winners};
use super::{by_channel, map_shape};
use crate::build::{BuildContext, Initializer};
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal, Visitor, VisitorMut};
use crate::ops::{self, Geometry, Window};
use crate::parameter::Parameter;

/// Settings of a [`Conv2d`] layer. Unset values come from the network's [`Rule`](crate::Rule).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2dConfig {
    /// Number of output channels.
    pub channels: usize,
    /// Size, stride, padding and dilation of the window.
    pub window: Window,
    /// Number of channel groups; a group's outputs depend on its inputs alone.
    pub groups: usize,
    /// True for the transposed convolution.
    #[serde(default)]
    pub transposed: bool,
    /// Overrides [`Rule::normalize_presynaptic`](crate::Rule::normalize_presynaptic).
    #[serde(default)]
    pub normalize_presynaptic: Option<bool>,
    /// Overrides [`Rule::weight_limit`](crate::Rule::weight_limit).
    #[serde(default)]
    pub weight_limit: Option<f32>,
    /// Overrides [`Rule::initial_scale`](crate::Rule::initial_scale).
    #[serde(default)]
    pub initial_scale: Option<f32>,
    /// True if the kernel of the first output channels is initialized to the identity: each copies
    /// an input channel at the middle of the window (Jordan 2024). Requires one group and no
    /// transposition.
    #[serde(default)]
    pub identity: bool,
    /// True if the kernel is not trained.
    #[serde(default)]
    pub frozen: bool,
    /// Side of the squares of outputs that are max-pooled, without overlap; in one pass with the
    /// convolution on devices that support it. Not for transposed convolutions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pool: Option<usize>,
}

impl Conv2dConfig {
    /// A convolution with this number of output channels and a square window of side `kernel`,
    /// stride 1 and no padding.
    pub fn new(channels: usize, kernel: usize) -> Self {
        Self {
            channels,
            window: Window::square(kernel),
            groups: 1,
            transposed: false,
            normalize_presynaptic: None,
            weight_limit: None,
            initial_scale: None,
            identity: false,
            frozen: false,
            max_pool: None,
        }
    }

    /// [`Conv2dConfig::new`] with the padding that keeps height and width for odd windows.
    pub fn same(channels: usize, kernel: usize) -> Self {
        Self::new(channels, kernel).with_padding(kernel.saturating_sub(1) / 2)
    }

    /// A transposed convolution that multiplies height and width by `stride`, with a window of that
    /// side.
    pub fn up(channels: usize, stride: usize) -> Self {
        Self { transposed: true, ..Self::new(channels, stride).with_stride(stride) }
    }

    /// Sets the stride of both axes.
    #[must_use]
    pub fn with_stride(mut self, stride: usize) -> Self {
        self.window.stride = [stride; 2];
        self
    }

    /// Sets the padding of all sides.
    #[must_use]
    pub fn with_padding(mut self, padding: usize) -> Self {
        self.window.padding = [padding; 2];
        self
    }

    /// Sets the dilation of both axes.
    #[must_use]
    pub fn with_dilation(mut self, dilation: usize) -> Self {
        self.window.dilation = [dilation; 2];
        self
    }

    /// Sets the number of groups.
    #[must_use]
    pub fn with_groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Initializes the kernel to the identity, for as many channels as input and output share.
    #[must_use]
    pub fn identity(mut self) -> Self {
        self.identity = true;
        self
    }

    /// Excludes the kernel from training.
    #[must_use]
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// Max-pools squares of outputs of this side.
    #[must_use]
    pub fn with_max_pool(mut self, side: usize) -> Self {
        self.max_pool = Some(side);
        self
    }

    /// The geometry of the convolution whose forward pass, or adjoint, the layer computes.
    fn geometry(&self, [height, width, channels]: [usize; 3]) -> Result<Geometry> {
        if !self.transposed {
            return Geometry::new(
                [height, width, channels],
                self.channels,
                self.window,
                self.groups,
            );
        }
        if self.window.kernel.contains(&0) {
            return Err(Error::setting("a kernel of size zero"));
        }
        let larger = |axis: usize, size: usize| {
            let window = &self.window;
            let extent = window.dilation[axis] * window.kernel[axis].saturating_sub(1) + 1;
            ((size - 1) * window.stride[axis] + extent).saturating_sub(2 * window.padding[axis])
        };
        let map = [larger(0, height), larger(1, width), self.channels];
        Geometry::new(map, channels, self.window, self.groups)
    }

    /// The geometry of the pool after the convolution, if there is one.
    fn pool(&self, map: [usize; 3]) -> Result<Option<Geometry>> {
        let Some(side) = self.max_pool else {
            return Ok(None);
        };
        if side == 0 {
            return Err(Error::setting("max_pool is 0; it must be at least 1"));
        }
        if self.transposed {
            return Err(Error::setting("max_pool is not for transposed convolutions"));
        }
        Geometry::new(map, map[2], Window::tiling(side), 1).map(Some)
    }
}

/// A two-dimensional convolution.
#[derive(Clone, Debug)]
pub struct Conv2d {
    kernel: Parameter,
    config: Conv2dConfig,
    normalize_presynaptic: bool,
}

/// The input of the forward pass, kept for the correlation.
const PRESYNAPTIC: &str = "presynaptic";

impl Conv2d {
    /// Returns the kernel as a matrix: rows are window elements times input channels of a group,
    /// columns output channels; with input and output exchanged in a transposed convolution.
    pub fn kernel(&self) -> &Parameter {
        &self.kernel
    }

    /// Returns the geometry of the convolution on maps of this shape, and that of the pool after
    /// it; for a transposed convolution, the geometry of its adjoint.
    ///
    /// # Errors
    /// When the window does not fit the map, or the kernel has another number of channels.
    pub fn geometry(&self, input: &[usize]) -> Result<(Geometry, Option<Geometry>)> {
        let geometry = self.config.geometry(map_shape("conv2d", input)?)?;
        let (needed, found) = (geometry.kernel_shape(), self.kernel.shape());
        if needed != found {
            return Err(Error::shape(format!(
                "its kernel has shape {found:?}; an input of {input:?} needs {needed:?}"
            )));
        }
        Ok((geometry, self.config.pool(geometry.output())?))
    }
}

impl Layer for Conv2d {
    fn kind(&self) -> &'static str {
        "conv2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let (geometry, pool) = self.geometry(input)?;
        let output = match pool {
            Some(pool) => pool.output(),
            None if self.config.transposed => geometry.input,
            None => geometry.output(),
        };
        Ok(output.to_vec())
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let Ok((geometry, pool)) = self.geometry(pass.shape) else { return input };
        let output = match pool {
            Some(pool) => pool.output(),
            None if self.config.transposed => geometry.input,
            None => geometry.output(),
        };
        let shape = [input.dims()[0], output.iter().product()];
        let (buffer, kernel) = (pass.workspace.take(shape), self.kernel.value());
        let output = match pool {
            Some(pool) => {
                let buffers = (buffer, pass.workspace.take(shape));
                let geometries = (geometry, pool);
                let (output, winners) =
                    ops::convolve_pooled(input.clone(), kernel, buffers, geometries);
                pass.keep_to_learn(WINNERS, winners);
                output
            }
            None if self.config.transposed => {
                ops::convolve_adjoint(input.clone(), kernel, buffer, geometry)
            }
            None => ops::convolve(input.clone(), kernel, buffer, geometry),
        };
        pass.keep_to_learn(PRESYNAPTIC, input);
        output
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let (Some(presynaptic), Ok((geometry, pool))) =
            (pass.memory.take(PRESYNAPTIC), self.geometry(pass.shape))
        else {
            return signal;
        };
        let mut pooled = pool.zip(pass.memory.take(WINNERS));
        // Both passes down are fused, or the pool's runs first and then the convolution's.
        let fuses = !self.kernel.is_frozen() && signal.gated.is_none() && pass.signal_is_wanted;
        let signal = match pooled.take_if(|_| !fuses) {
            Some((pool, winners)) => route_to_winners(signal, pool, winners, pass.workspace),
            None => signal,
        };
        let Signal { values, gated } = signal;
        let kernel = self.kernel.value();
        let back = if self.config.transposed { ops::convolve } else { ops::convolve_adjoint };
        if self.kernel.is_frozen() {
            gated.into_iter().for_each(|gated| pass.workspace.give(gated));
            if !pass.signal_is_wanted {
                pass.workspace.give(presynaptic);
                return Signal::new(values);
            }
            let below = back(values.clone(), kernel, presynaptic, geometry);
            pass.workspace.give(values);
            return Signal::new(below);
        }
        let buffer = pass.workspace.take(self.kernel.shape());
        let below = pass.signal_is_wanted.then(|| pass.workspace.take(presynaptic.dims()));
        let (mut correlation, below) = match (below, &gated) {
            (Some(below), None) if !self.config.transposed => {
                let (input, buffers) = (presynaptic.clone(), (buffer, below));
                let (correlation, below) = match pooled {
                    Some((pool, winners)) => {
                        let above = (values.clone(), winners.clone());
                        let geometries = (geometry, pool);
                        let learned =
                            ops::convolve_pooled_learn(input, above, kernel, buffers, geometries);
                        pass.workspace.give(winners);
                        learned
                    }
                    None => ops::convolve_learn(input, values.clone(), kernel, buffers, geometry),
                };
                (correlation, Some(below))
            }
            (below, gated) => {
                let above = gated.as_ref().unwrap_or(&values).clone();
                let (low, high) = if self.config.transposed {
                    (above, presynaptic.clone())
                } else {
                    (presynaptic.clone(), above)
                };
                let below = below.map(|buffer| back(values.clone(), kernel, buffer, geometry));
                (ops::convolve_correlate(low, high, buffer, geometry), below)
            }
        };
        if self.normalize_presynaptic {
            correlation = self.normalize(correlation, presynaptic.clone(), geometry);
        }
        pass.workspace.give(presynaptic);
        if let Some(gated) = gated {
            pass.workspace.give(gated);
        }
        let below = match below {
            Some(below) => {
                pass.workspace.give(values);
                below
            }
            None => values,
        };
        pass.optimizer.step(&mut self.kernel, correlation, pass.workspace);
        Signal::new(below)
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.kernel);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.kernel);
    }

    fn multiply_adds(&self, input: &[usize]) -> u64 {
        self.geometry(input).map_or(0, |(geometry, _)| geometry.multiply_adds())
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(&self.config).map_err(|e| Error::setting(e.to_string()))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::Convolution {
            kernel: &self.kernel,
            window: self.config.window,
            groups: self.config.groups,
            transposed: self.config.transposed,
            max_pool: self.config.max_pool,
        })
    }
}

impl Conv2d {
    /// Divides the correlation of each input channel by the norm of the channel.
    fn normalize(
        &self,
        correlation: Tensor<2>,
        presynaptic: Tensor<2>,
        geometry: Geometry,
    ) -> Tensor<2> {
        let channels = match self.config.transposed {
            false => geometry.input[2],
            true => geometry.channels,
        };
        let presynaptic = by_channel(presynaptic, channels);
        if !self.config.transposed {
            return ops::normalize_presynaptic(correlation, presynaptic, geometry.groups);
        }
        // Inputs of a transposed convolution are the columns of its kernel.
        let norms = presynaptic.powf_scalar(2.0).sum_dim(0).sqrt() + ops::NORM_EPSILON;
        correlation / norms
    }
}

impl LayerConfig for Conv2dConfig {
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        let map = map_shape("conv2d", input_shape)?;
        let geometry = self.geometry(map)?;
        let limit = self.weight_limit.or(context.rule().weight_limit).unwrap_or(f32::INFINITY);
        if limit.is_nan() || limit <= 0.0 {
            return Err(Error::setting(format!("weight_limit is {limit}; it must be above zero")));
        }
        let scale = self.initial_scale.unwrap_or(context.rule().initial_scale);
        let shape = geometry.kernel_shape();
        // As for dense weights, with the values under a window as inputs and channels as outputs.
        let (inputs, outputs) = match self.transposed {
            false => (shape[0], shape[1]),
            true => (geometry.channels / self.groups, self.channels),
        };
        let deviation = scale * (2.0 / (inputs + outputs) as f32).sqrt();
        let normalize_presynaptic =
            self.normalize_presynaptic.unwrap_or(context.rule().normalize_presynaptic);
        if self.identity && (self.transposed || self.groups != 1) {
            return Err(Error::setting(
                "identity is for convolutions of one group that are not transposed",
            ));
        }
        let [height, width] = self.window.kernel;
        let fill = match self.identity {
            true => Initializer::Identity {
                deviation,
                first: (height / 2 * width + width / 2) * map[2],
                size: map[2].min(self.channels),
            },
            false => Initializer::Normal(deviation),
        };
        self.pool(geometry.output())?;
        let kernel = context.parameter("kernel", shape, fill)?;
        let mut kernel = kernel.with_limit(limit);
        kernel.set_frozen(self.frozen);
        Ok(Box::new(Conv2d {
            kernel,
            // JSON has no infinity; the largest f32 is no limit either.
            config: Self {
                normalize_presynaptic: Some(normalize_presynaptic),
                weight_limit: Some(limit.min(f32::MAX)),
                initial_scale: Some(scale),
                ..self.clone()
            },
            normalize_presynaptic,
        }))
    }
}
