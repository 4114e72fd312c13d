#![doc = include_str!("../README.md")]

pub mod ops;
pub mod step;

mod activation;
mod backend;
mod build;
mod contract;
mod decoder;
mod error;
mod input;
mod layer;
mod layers;
mod memory;
mod network;
mod optimizer;
mod parameter;
mod rule;
mod sequences;
mod snapshot;
mod workspace;

pub use activation::{Activation, CustomActivation};
pub use backend::ZorBackend;
pub use build::{BuildContext, Initializer, WeightSource};
pub use burn;
pub use decoder::Decoder;
pub use error::{Error, ErrorKind, Result};
pub use input::Input;
pub use layer::operation::{CopyOperation, Operation, Pooling};
pub use layer::{CloneLayer, Layer, LayerConfig, LearnPass, Pass, Signal, Visitor, VisitorMut};
pub use layers::{
    BatchNorm, BatchNormConfig, Bias, BiasConfig, Branch, BranchConfig, Conv2d, Conv2dConfig,
    CopyingConfig, Dense, DenseConfig, Dropout, DropoutConfig, Embedding, EmbeddingConfig, Gate,
    GateConfig, GatePosition, GroupNorm, GroupNormConfig, Join, Pool2d, Pool2dConfig, Reshape,
    ReshapeConfig, RmsNorm, RmsNormConfig, Scale, ScaleConfig, Sequential, SequentialConfig,
    SpikeAttention, SpikeAttentionConfig, TiedEmbedding, TiedEmbeddingConfig, Upsample,
    UpsampleConfig,
};
pub use memory::{Memory, Mode};
pub use network::{Network, NetworkBuilder, Summary};
pub use optimizer::Optimizer;
pub use parameter::{OptimizerState, Parameter, StepNumber};
pub use rule::{Rule, SignalGate, SparsityControl};
pub use sequences::Sequences;
pub use snapshot::{CarriedState, Role};
pub use step::{ErrorMetrics, PendingMetrics, State, Target};
pub use workspace::Workspace;
pub use zor_random::Random;

#[cfg(any(test, feature = "verify"))]
pub use backend::cases;
