//! Pooling, and its reverse: windows that keep the largest or the mean of their values.
//!
//! Max pooling sends a signal to the value that won, a binary gate; average pooling shares it out. Upsampling repeats every value
//! and adds up the signals of its copies. All are linear given the winners, and their adjoints the gradient.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::map_shape;
use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::{Layer, LayerConfig, Learning, Mode, Signal};
use crate::ops::{self, Geometry, Window};
use crate::workspace::{Memory, Workspace};

/// What a window hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The largest value.
    Max,
    /// The mean, values over the edge left out.
    Average,
}

/// Settings of a [`Pool2d`] layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool2dConfig {
    /// What a window hands on.
    pub pooling: Pooling,
    /// The window; none for the whole map.
    pub window: Option<Window>,
}

impl Pool2dConfig {
    /// The largest of every square of this side, one beside the other.
    pub fn max(side: usize) -> Self {
        Self { pooling: Pooling::Max, window: Some(Window::tiling(side)) }
    }

    /// The mean of every square of this side, one beside the other.
    pub fn average(side: usize) -> Self {
        Self { pooling: Pooling::Average, ..Self::max(side) }
    }

    /// One value for the whole map, by channel.
    pub fn global(pooling: Pooling) -> Self {
        Self { pooling, window: None }
    }

    /// Another stride, both ways; without effect on the whole map.
    #[must_use]
    pub fn with_stride(mut self, stride: usize) -> Self {
        self.window = self.window.map(|window| Window { stride: [stride; 2], ..window });
        self
    }

    /// Another padding, on every side; without effect on the whole map.
    #[must_use]
    pub fn with_padding(mut self, padding: usize) -> Self {
        self.window = self.window.map(|window| Window { padding: [padding; 2], ..window });
        self
    }
}

/// Windows that keep one value each.
#[derive(Clone, Debug)]
pub struct Pool2d {
    geometry: Geometry,
    output_shape: [usize; 3],
    config: Pool2dConfig,
}

/// Which value of each window won.
pub(super) const WINNERS: &str = "winners";

/// Sends signals above a max pool to the values that won.
pub(super) fn route_to_winners(
    signal: Signal,
    pool: Geometry,
    winners: Tensor<2>,
    workspace: &mut Workspace,
) -> Signal {
    let signal = signal.map(|values| {
        let buffer = workspace.take([values.dims()[0], pool.input.iter().product()]);
        let below = ops::max_pool_route(values.clone(), winners.clone(), buffer, pool);
        workspace.give(values);
        below
    });
    workspace.give(winners);
    signal
}

impl Layer for Pool2d {
    fn kind(&self) -> &'static str {
        "pool2d"
    }

    fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.geometry.input.iter().product())
    }

    fn forward(
        &self,
        input: Tensor<2>,
        memory: &mut Memory,
        workspace: &mut Workspace,
        mode: Mode,
    ) -> Tensor<2> {
        let shape = [input.dims()[0], self.output_shape.iter().product()];
        let buffer = workspace.take(shape);
        let output = match self.config.pooling {
            Pooling::Average => ops::average_pool(input.clone(), buffer, self.geometry),
            Pooling::Max => {
                let buffers = (buffer, workspace.take(shape));
                let (output, winners) = ops::max_pool(input.clone(), buffers, self.geometry);
                memory.keep_to_learn(WINNERS, winners, mode, workspace);
                output
            }
        };
        workspace.give(input);
        output
    }

    fn learn(
        &mut self,
        signal: Signal,
        memory: &mut Memory,
        learning: &mut Learning<'_>,
    ) -> Signal {
        if let Some(winners) = memory.take(WINNERS) {
            return route_to_winners(signal, self.geometry, winners, learning.workspace);
        }
        signal.map(|values| {
            let shape = [values.dims()[0], self.geometry.input.iter().product()];
            let buffer = learning.workspace.take(shape);
            let below = ops::average_pool_adjoint(values.clone(), buffer, self.geometry);
            learning.workspace.give(values);
            below
        })
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(&self.config).map_err(|e| Error::setting(e.to_string()))
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl LayerConfig for Pool2dConfig {
    fn build(
        &self,
        input_shape: &[usize],
        _context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        let [height, width, channels] = map_shape("pool2d", input_shape)?;
        let whole = Window { kernel: [height, width], ..Window::square(1) };
        let window = self.window.unwrap_or(whole);
        if self.pooling == Pooling::Average && window.dilation != [1, 1] {
            return Err(Error::setting(format!(
                "average pooling has no dilation; here it is {:?}",
                window.dilation
            )));
        }
        let geometry = Geometry::new([height, width, channels], channels, window, 1)?;
        let output_shape = geometry.output();
        Ok(Box::new(Pool2d { geometry, output_shape, config: self.clone() }))
    }
}

/// Settings of an [`Upsample`] layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpsampleConfig {
    /// How many times larger height and width become.
    pub factor: usize,
}

impl UpsampleConfig {
    /// Every value becomes a square of this side.
    pub fn new(factor: usize) -> Self {
        Self { factor }
    }
}

/// Repeats every value of a map: nearest-neighbour upsampling.
#[derive(Clone, Debug)]
pub struct Upsample {
    /// Averages over the squares that values become.
    geometry: Geometry,
    factor: usize,
}

impl Upsample {
    /// Values of a square.
    fn copies(&self) -> f32 {
        (self.factor * self.factor) as f32
    }
}

impl Layer for Upsample {
    fn kind(&self) -> &'static str {
        "upsample"
    }

    fn output_shape(&self) -> &[usize] {
        &self.geometry.input
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.geometry.output().iter().product())
    }

    fn forward(
        &self,
        input: Tensor<2>,
        _memory: &mut Memory,
        workspace: &mut Workspace,
        _mode: Mode,
    ) -> Tensor<2> {
        let buffer = workspace.take([input.dims()[0], self.geometry.input.iter().product()]);
        // The adjoint shares a value out among its copies; each is to have all of it.
        let output = ops::average_pool_adjoint(input.clone(), buffer, self.geometry);
        workspace.give(input);
        output * self.copies()
    }

    fn learn(
        &mut self,
        signal: Signal,
        _memory: &mut Memory,
        learning: &mut Learning<'_>,
    ) -> Signal {
        signal.map(|values| {
            let shape = [values.dims()[0], self.geometry.output().iter().product()];
            let buffer = learning.workspace.take(shape);
            let below = ops::average_pool(values.clone(), buffer, self.geometry);
            learning.workspace.give(values);
            below * self.copies()
        })
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(UpsampleConfig { factor: self.factor })
            .map_err(|e| Error::setting(e.to_string()))
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl LayerConfig for UpsampleConfig {
    fn build(
        &self,
        input_shape: &[usize],
        _context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        let [height, width, channels] = map_shape("upsample", input_shape)?;
        if self.factor == 0 {
            return Err(Error::setting("the factor is zero; it must be at least 1"));
        }
        let times = |side: usize| {
            side.checked_mul(self.factor).ok_or_else(|| {
                Error::setting(format!(
                    "{side} pixels times a factor of {} are too many",
                    self.factor
                ))
            })
        };
        let large = [times(height)?, times(width)?, channels];
        let geometry = Geometry::new(large, channels, Window::tiling(self.factor), 1)?;
        Ok(Box::new(Upsample { geometry, factor: self.factor }))
    }
}
