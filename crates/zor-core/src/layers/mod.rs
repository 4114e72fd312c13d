//! Zor's own layers, one per file.
//!
//! [`Bias`] is the shortest example of a layer with a parameter; [`Layer`](crate::Layer) lists the
//! methods that a new layer needs for training, saving, export and comparison.

pub(crate) mod attention;
mod batch_norm;
mod bias;
mod branch;
mod convolution;
mod copying;
mod dense;
mod dropout;
mod embedding;
pub(crate) mod gate;
mod group_norm;
mod pool;
mod reshape;
mod rms_norm;
mod scale;
pub(crate) mod sequential;
#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]
mod tests;
mod tied_embedding;
mod tokens;

pub use attention::{SpikeAttention, SpikeAttentionConfig};
pub use batch_norm::{BatchNorm, BatchNormConfig};
pub use bias::{Bias, BiasConfig};
pub use branch::{Branch, BranchConfig, Join};
pub use convolution::{Conv2d, Conv2dConfig};
pub use copying::CopyingConfig;
pub use dense::{Dense, DenseConfig};
pub use dropout::{Dropout, DropoutConfig};
pub use embedding::{Embedding, EmbeddingConfig};
pub use gate::{Gate, GateConfig, GatePosition};
pub use group_norm::{GroupNorm, GroupNormConfig};
pub use pool::{Pool2d, Pool2dConfig, Upsample, UpsampleConfig};
pub use reshape::{Reshape, ReshapeConfig};
pub use rms_norm::{RmsNorm, RmsNormConfig};
pub use scale::{Scale, ScaleConfig};
pub use sequential::{Sequential, SequentialConfig};
pub use tied_embedding::{TiedEmbedding, TiedEmbeddingConfig};

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::parameter::Parameter;

/// Returns the shape of a map, `[height, width, channels]`.
fn map_shape(kind: &str, shape: &[usize]) -> Result<[usize; 3]> {
    shape.try_into().map_err(|_| {
        Error::shape(format!("{kind} needs maps [height, width, channels]; its input is {shape:?}"))
    })
}

/// Returns the channels of a shape: its last axis. The values of a vector are channels of one
/// position.
fn channels(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}

/// Returns the shape of an input that has as many channels as the parameter has columns.
fn same_channels(input: &[usize], parameter: &Parameter) -> Result<Vec<usize>> {
    match (channels(input), parameter.shape()[1]) {
        (given, taken) if given == taken => Ok(input.to_vec()),
        (given, taken) => {
            Err(Error::shape(format!("it takes {taken} channels; {input:?} has {given}")))
        }
    }
}

/// Views a batch by channel: `[batch, positions * channels]` -> `[batch * positions, channels]`.
fn by_channel(tensor: Tensor<2>, channels: usize) -> Tensor<2> {
    let [rows, values] = tensor.dims();
    if values == channels { tensor } else { tensor.reshape([rows * values / channels, channels]) }
}

/// The inverse of [`by_channel`].
fn by_sample(tensor: Tensor<2>, rows: usize) -> Tensor<2> {
    let [all, channels] = tensor.dims();
    if all == rows { tensor } else { tensor.reshape([rows, all / rows * channels]) }
}
