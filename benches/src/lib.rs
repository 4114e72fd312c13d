//! Timings by criterion, run with `cargo bench -p zor-benches`.
//!
//! `cargo bench -p zor-benches -- WORDS` runs those with these words in their names. Each run is
//! compared with the one before. `cargo xtask bench` measures beside others.

use zor::core::Parameter;
use zor::prelude::*;

/// Normally distributed values on the CPU.
pub fn noise(shape: [usize; 2]) -> Tensor<2> {
    Parameter::normal("noise", shape, 1.0, &mut Random::seeded(1), &Device::flex()).value()
}
