//! Max pooling, average pooling and nearest-neighbour upsampling.
//!
//! Max pooling routes a signal to the largest value of its window, a binary gate; average pooling
//! distributes it evenly. Upsampling repeats each value and sums the signals of the copies. Given
//! the positions of the largest values all three are linear, and their adjoints are the gradient.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::map_shape;
use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::operation::{Operation, Pooling};
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal};
use crate::ops::{self, Geometry, Window};
use crate::workspace::Workspace;

/// Settings of a [`Pool2d`] layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool2dConfig {
    /// The value that a window is reduced to.
    pub pooling: Pooling,
    /// The window; `None` for the whole map.
    pub window: Option<Window>,
}

impl Pool2dConfig {
    /// The maximum of squares of this side, without overlap.
    pub fn max(side: usize) -> Self {
        Self { pooling: Pooling::Max, window: Some(Window::tiling(side)) }
    }

    /// The mean of squares of this side, without overlap.
    pub fn average(side: usize) -> Self {
        Self { pooling: Pooling::Average, ..Self::max(side) }
    }

    /// Global pooling: one value per channel.
    pub fn global(pooling: Pooling) -> Self {
        Self { pooling, window: None }
    }

    /// Sets the stride of both axes; no effect on global pooling.
    #[must_use]
    pub fn with_stride(mut self, stride: usize) -> Self {
        self.window = self.window.map(|window| Window { stride: [stride; 2], ..window });
        self
    }

    /// Sets the padding of all sides; no effect on global pooling.
    #[must_use]
    pub fn with_padding(mut self, padding: usize) -> Self {
        self.window = self.window.map(|window| Window { padding: [padding; 2], ..window });
        self
    }
}

/// A two-dimensional pooling layer.
#[derive(Clone, Debug)]
pub struct Pool2d {
    config: Pool2dConfig,
}

impl Pool2d {
    /// Returns the geometry of the windows on maps of this shape.
    fn geometry(&self, shape: &[usize]) -> Result<Geometry> {
        let [height, width, channels] = map_shape("pool2d", shape)?;
        let whole = Window { kernel: [height, width], ..Window::square(1) };
        let window = self.config.window.unwrap_or(whole);
        Geometry::new([height, width, channels], channels, window, 1)
    }
}

/// Positions of the largest values in their windows.
pub(super) const WINNERS: &str = "winners";

/// Routes the signal above a max pool to the largest value of each window.
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

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::Pool { pooling: self.config.pooling, window: self.config.window })
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
    /// Factor of height and of width, at least 1.
    pub factor: usize,
}

impl UpsampleConfig {
    /// Turns each value into a square of this side.
    pub fn new(factor: usize) -> Self {
        Self { factor }
    }
}

/// Nearest-neighbour upsampling.
#[derive(Clone, Debug)]
pub struct Upsample {
    factor: usize,
}

impl Upsample {
    /// Returns the geometry of the average pool whose adjoint, times [`Upsample::copies`], the
    /// layer computes.
    fn geometry(&self, shape: &[usize]) -> Result<Geometry> {
        let [height, width, channels] = map_shape("upsample", shape)?;
        let times = |side: usize| {
            side.checked_mul(self.factor).ok_or_else(|| {
                Error::setting(format!("{side} pixels times a factor of {} overflow", self.factor))
            })
        };
        let large = [times(height)?, times(width)?, channels];
        Geometry::new(large, channels, Window::tiling(self.factor), 1)
    }

    /// Number of copies of each value.
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
        // The adjoint divides a value by the number of copies.
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

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::Upsample { factor: self.factor })
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
