//! zor
pub use zor_core as core;
pub use zor_optim as optim;
