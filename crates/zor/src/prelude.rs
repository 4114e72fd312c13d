//! The names that most programs need: `use zor::prelude::*`.

pub use zor_core::burn::tensor::{Device, Tensor};
pub use zor_core::{
    Activation, BatchNormConfig, BiasConfig, BranchConfig, BuildContext, Conv2dConfig, DenseConfig,
    DropoutConfig, EmbeddingConfig, ErrorMetrics, GateConfig, GatePosition, GroupNormConfig, Layer,
    LayerConfig, Network, NetworkBuilder, Optimizer, Pool2dConfig, Pooling, Random, ReshapeConfig,
    RmsNormConfig, Rule, ScaleConfig, Sequences, SequentialConfig, SpikeAttentionConfig, Target,
    UpsampleConfig,
};
pub use zor_data::{
    Augment, Augmented, Batch, Batches, Border, Cifar10, Examples, FashionMnist, Images, Locations,
    Order, Prefetch,
};
pub use zor_optim::{AdamW, Muon, Schedule, Sgd};

pub use crate::task::matrix;
pub use crate::tasks::parts::test_time_augmentation::Views;
