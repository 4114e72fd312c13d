//! Benchmarks with criterion, run by `cargo bench -p zor-benches`.
//!
//! `cargo bench -p zor-benches -- WORDS` runs those whose names contain the words. Each run is
//! compared with the previous one. Comparisons with other libraries are in `cargo xtask bench`.

use zor::core::Parameter;
use zor::prelude::*;

/// Returns a tensor of standard normal values on the CPU, the same in every call.
pub fn noise(shape: [usize; 2]) -> Tensor<2> {
    Parameter::normal("noise", shape, 1.0, &mut Random::seeded(1), &Device::flex()).value()
}
