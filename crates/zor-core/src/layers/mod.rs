//! The layers that come with Zor.

mod dense;
pub(crate) mod gate;

pub use dense::{Dense, DenseConfig};
pub use gate::{Gate, GateConfig, Place};
