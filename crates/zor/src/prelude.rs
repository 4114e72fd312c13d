//! What most programs need: `use zor::prelude::*`.

pub use zor_core::burn::tensor::{Device, Tensor};
pub use zor_core::{
    Activation, DenseConfig, Deviation, GateConfig, Layer, LayerConfig, Network, Optimizer, Place,
    Random, Rule, Target,
};
pub use zor_data::{Augment, Batch, Batches, Dataset, FashionMnist, Locations, Order, Prefetch};
pub use zor_optim::{AdamW, Muon, Schedule, Sgd};

pub use crate::train::matrix;
