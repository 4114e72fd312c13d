#![doc = include_str!("../README.md")]

pub mod ops;
pub mod step;

mod activation;
mod backend;
mod build;
mod contract;
mod error;
mod layer;
mod layers;
mod network;
mod parameter;
mod rule;
mod snapshot;
mod workspace;

pub use activation::{Activation, CustomActivation};
pub use backend::ZorBackend;
pub use build::{BuildContext, Fill, Weights};
pub use burn;
pub use error::{Error, ErrorKind, Result};
pub use layer::{Layer, LayerConfig, Learning, Mode, Signal};
pub use layers::{
    BatchNorm, BatchNormConfig, Bias, BiasConfig, Branch, BranchConfig, Conv2d, Conv2dConfig,
    Dense, DenseConfig, Dropout, DropoutConfig, Gate, GateConfig, GroupNorm, GroupNormConfig, Join,
    Place, Pool2d, Pool2dConfig, Pooling, Reshape, ReshapeConfig, Scale, ScaleConfig, Sequence,
    SequenceConfig, Upsample, UpsampleConfig,
};
pub use network::{Network, NetworkBuilder, Summary};
pub use parameter::{Optimizer, OptimizerState, Parameter, StepNumber};
pub use rule::{Rule, SignalGate, Sparsity};
pub use snapshot::{Remembered, Role};
pub use step::{Deviation, State, Target, Unread};
pub use workspace::{Memory, Workspace};
pub use zor_random::Random;
