//! Pooling, and its reverse: windows that keep the largest or the mean of their values.
//!
//! Max pooling sends a signal to the value that won, a binary gate; average pooling shares it out.
//! Upsampling repeats every value and adds up the signals of its copies. All are linear given the
//! winners, and their adjoints the gradient.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::map_shape;
use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal};
use crate::ops::{self, Geometry, Window};
use crate::workspace::Workspace;

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
    config: Pool2dConfig,
}

impl Pool2d {
    /// The windows over a map of a shape.
    fn geometry(&self, shape: &[usize]) -> Result<Geometry> {
        let [height, width, channels] = map_shape("pool2d", shape)?;
        let whole = Window { kernel: [height, width], ..Window::square(1) };
        let window = self.config.window.unwrap_or(whole);
        Geometry::new([height, width, channels], channels, window, 1)
    }
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

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(self.geometry(input)?.output().to_vec())
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let Ok(geometry) = self.geometry(pass.shape) else { return input };
        let shape = [input.dims()[0], geometry.output().iter().product()];
        let buffer = pass.workspace.take(shape);
        let output = match self.config.pooling {
            Pooling::Average => ops::average_pool(input.clone(), buffer, geometry),
            Pooling::Max => {
                let buffers = (buffer, pass.workspace.take(shape));
                let (output, winners) = ops::max_pool(input.clone(), buffers, geometry);
                pass.keep_to_learn(WINNERS, winners);
                output
            }
        };
        pass.workspace.give(input);
        output
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let Ok(geometry) = self.geometry(pass.shape) else { return signal };
        if let Some(winners) = pass.memory.take(WINNERS) {
            return route_to_winners(signal, geometry, winners, pass.workspace);
        }
        signal.map(|values| {
            let shape = [values.dims()[0], geometry.input.iter().product()];
            let buffer = pass.workspace.take(shape);
            let below = ops::average_pool_adjoint(values.clone(), buffer, geometry);
            pass.workspace.give(values);
            below
        })
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(&self.config).map_err(|e| Error::setting(e.to_string()))
    }
}

impl LayerConfig for Pool2dConfig {
    fn build(&self, input_shape: &[usize], _: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        let window = self.window.unwrap_or(Window::square(1));
        if self.pooling == Pooling::Average && window.dilation != [1, 1] {
            return Err(Error::setting(format!(
                "average pooling has no dilation; here it is {:?}",
                window.dilation
            )));
        }
        let pool = Pool2d { config: self.clone() };
        pool.geometry(input_shape)?;
        Ok(Box::new(pool))
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
    factor: usize,
}

impl Upsample {
    /// Averages over the squares that values become.
    fn geometry(&self, shape: &[usize]) -> Result<Geometry> {
        let [height, width, channels] = map_shape("upsample", shape)?;
        let times = |side: usize| {
            side.checked_mul(self.factor).ok_or_else(|| {
                Error::setting(format!(
                    "{side} pixels times a factor of {} are too many",
                    self.factor
                ))
            })
        };
        let large = [times(height)?, times(width)?, channels];
        Geometry::new(large, channels, Window::tiling(self.factor), 1)
    }

    /// Values of a square.
    fn copies(&self) -> f32 {
        (self.factor * self.factor) as f32
    }
}

impl Layer for Upsample {
    fn kind(&self) -> &'static str {
        "upsample"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(self.geometry(input)?.input.to_vec())
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let Ok(geometry) = self.geometry(pass.shape) else { return input };
        let buffer = pass.workspace.take([input.dims()[0], geometry.input.iter().product()]);
        // The adjoint shares a value out among its copies; each is to have all of it.
        let output = ops::average_pool_adjoint(input.clone(), buffer, geometry);
        pass.workspace.give(input);
        output * self.copies()
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let Ok(geometry) = self.geometry(pass.shape) else { return signal };
        signal.map(|values| {
            let shape = [values.dims()[0], geometry.output().iter().product()];
            let buffer = pass.workspace.take(shape);
            let below = ops::average_pool(values.clone(), buffer, geometry);
            pass.workspace.give(values);
            below * self.copies()
        })
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(UpsampleConfig { factor: self.factor })
            .map_err(|e| Error::setting(e.to_string()))
    }
}

impl LayerConfig for UpsampleConfig {
    fn build(&self, input_shape: &[usize], _: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        if self.factor == 0 {
            return Err(Error::setting("the factor is zero; it must be at least 1"));
        }
        let upsample = Upsample { factor: self.factor };
        upsample.geometry(input_shape)?;
        Ok(Box::new(upsample))
    }
}
