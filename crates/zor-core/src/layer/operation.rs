//! A description of a layer's computation for other forms of it: autodiff, programs for small
//! devices, file formats.

use serde::{Deserialize, Serialize};

use super::Layer;
use crate::activation::Activation;
use crate::ops::{Turns, Window};
use crate::parameter::Parameter;

/// The computation of a layer, with references to its parameters and buffers.
///
/// It is cheap to create and reads nothing from the device. Operations on maps have samples
/// `[height, width, channels]`; channels are the last axis of a sample. Containers are composed by
/// [`Operation::Sequential`], [`Operation::Residual`] and [`Operation::Concatenate`], with
/// [`Operation::Layer`] for their inner layers and other operations for parameters of their own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// `y = x`.
    Identity,
    /// `y = x W` on the flattened sample.
    MatrixProduct {
        /// `[inputs, units]`.
        weight: &'a Parameter,
    },
    /// Two-dimensional convolution without a bias.
    Convolution {
        /// The kernel as a matrix, `[height * width * input channels of a group, output channels]`;
        /// of a transposed convolution,
        /// `[height * width * output channels of a group, input channels]`.
        kernel: &'a Parameter,
        /// Size, stride, padding and dilation.
        window: Window,
        /// Number of channel groups.
        groups: usize,
        /// True for the transposed convolution.
        transposed: bool,
        /// Side of the squares of outputs that are max-pooled, without overlap.
        max_pool: Option<usize>,
    },
    /// `y = scale x + shift`, channel by channel; a missing scale is 1, a missing shift 0.
    Affine {
        /// `[1, channels]`.
        scale: Option<&'a Parameter>,
        /// `[1, channels]`.
        shift: Option<&'a Parameter>,
    },
    /// `y = factor x`.
    Scale {
        /// The constant factor.
        factor: f32,
    },
    /// `y = f(v if v > threshold, else 0)` with `v = x - inhibition`, or `y = f(x)` without a
    /// threshold.
    Gate {
        /// Subtracted from the input.
        inhibition: f32,
        /// Values at or below it become zero; `None` if all values pass.
        threshold: Option<f32>,
        /// True if inhibition and threshold apply in training only, as at the output of a network.
        in_training_only: bool,
        /// The function `f`.
        activation: &'a Activation,
    },
    /// Pooling of every channel.
    Pool {
        /// Maximum or mean. A mean leaves the padding out.
        pooling: Pooling,
        /// The window; `None` for the whole map.
        window: Option<Window>,
    },
    /// Nearest-neighbour upsampling.
    Upsample {
        /// Factor of height and of width.
        factor: usize,
    },
    /// A change of shape that moves no value.
    Reshape {
        /// Shape of an output sample; empty to flatten.
        shape: &'a [usize],
    },
    /// Dropout in training, `y = x` in a prediction.
    Dropout {
        /// Probability that a value becomes zero.
        probability: f32,
    },
    /// Batch normalisation: `y = scale (x - mean) / sqrt(variance + epsilon) + shift`, in training
    /// with the statistics of the batch, in a prediction with their running means. All four
    /// parameters are `[1, channels]`.
    BatchNorm {
        /// Trained scale.
        scale: &'a Parameter,
        /// Trained shift.
        shift: &'a Parameter,
        /// Running mean, a buffer.
        mean: &'a Parameter,
        /// Running unbiased variance, a buffer.
        variance: &'a Parameter,
        /// Added to the variance.
        epsilon: f32,
        /// Weight of a batch in the running means.
        momentum: f32,
    },
    /// Normalisation of each sample over positions and the channels of a group.
    GroupNorm {
        /// Number of channel groups.
        groups: usize,
        /// Trained scale, `[1, channels]`.
        scale: &'a Parameter,
        /// Trained shift, `[1, channels]`.
        shift: &'a Parameter,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Division of each row by its root mean square: `y = scale x / sqrt(mean(x^2) + epsilon)`.
    RmsNorm {
        /// Trained scale, `[1, columns]`.
        scale: &'a Parameter,
        /// Added to the mean square.
        epsilon: f32,
    },
    /// Spike attention among the positions of sequences, `[q, k, v]` -> `weight v`; see
    /// [`crate::SpikeAttention`].
    SpikeAttention {
        /// Number of heads.
        heads: usize,
        /// A score passes when it is strictly above this.
        threshold: f32,
        /// Rotations of queries and keys by their places; `None` for none.
        turns: Option<&'a Turns>,
    },
    /// Embeddings of tokens: `y = sqrt(width) e_t`, with `e_t` the row of token `t`.
    Embedding {
        /// `[tokens, width]`.
        embedding: &'a Parameter,
    },
    /// Embeddings of tokens, inner operations, and the transposed embeddings as output; see
    /// [`crate::TiedEmbedding`].
    TiedEmbedding {
        /// `[tokens, width]`.
        embedding: &'a Parameter,
        /// Rows that are added in the prefix and behind it, `[2, width]`.
        parts: &'a Parameter,
        /// Whether outputs are those behind the prefix only.
        skips_prefix: bool,
        /// Queries and keys of copied tokens.
        copying: Option<CopyOperation<'a>>,
        /// The inner layers.
        layers: Vec<Operation<'a>>,
    },
    /// The computation of an inner layer.
    Layer(&'a dyn Layer),
    /// Operations one after another, from the input up.
    Sequential(Vec<Operation<'a>>),
    /// The sum of two paths from the same input.
    Residual {
        /// The branch.
        layers: Vec<Operation<'a>>,
        /// The shortcut; empty for the identity.
        shortcut: Vec<Operation<'a>>,
    },
    /// Two paths from the same input, concatenated along channels, the shortcut first.
    Concatenate {
        /// The branch.
        layers: Vec<Operation<'a>>,
        /// The shortcut; empty for the identity.
        shortcut: Vec<Operation<'a>>,
    },
}

/// Tokens of the prefix, and suggested tokens, that are added to the outputs behind it.
#[derive(Clone, Copy, Debug)]
pub struct CopyOperation<'a> {
    /// Queries and keys of all heads, `[width, 2 * heads * size]`.
    pub weight: &'a Parameter,
    /// Columns of a query.
    pub size: usize,
    /// Whether a second head copies suggestions.
    pub has_suggestions: bool,
    /// Rotations of queries and keys by their places; `None` for none.
    pub turns: Option<&'a Turns>,
}

/// The value that a window is reduced to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The maximum.
    Max,
    /// The mean, without the padding.
    Average,
}
