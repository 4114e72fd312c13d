//! What several suites measure with.

use zor::core::Parameter;
use zor::prelude::*;

/// Cores that the suites use: all of them.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Normally distributed values.
pub(crate) fn noise(shape: [usize; 2]) -> Tensor<2> {
    let mut random = Random::seeded(1);
    Parameter::normal("noise", shape, 1.0, &mut random, &Device::flex()).value()
}
