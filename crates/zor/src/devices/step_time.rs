//! Benchmarks of matrix multiplication and training steps on a device.

use std::fmt;
use std::time::{Duration, Instant};

use zor_core::Network;
use zor_core::burn::tensor::{Device, Distribution, Tensor};
use zor_core::ops::{self, Transposed};
use zor_optim::AdamW;

use crate::error::{Error, ErrorKind, Result};

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// The product of two square matrices with this many rows.
    Product(usize),
    /// A training step of a dense network, with the default rule and AdamW.
    Step {
        /// Numbers of inputs, hidden units and outputs.
        sizes: [usize; 3],
        /// Batch size.
        batch: usize,
    },
}

/// The standard benchmarks: matrix products, and training steps from ten images to a batch that
/// saturates a GPU.
pub const CASES: [Case; 6] = [
    Case::Product(1024),
    Case::Product(8192),
    Case::Step { sizes: [784, 64, 784], batch: 10 },
    Case::Step { sizes: [3072, 728, 3072], batch: 512 },
    Case::Step { sizes: [3072, 728, 3072], batch: 4096 },
    Case::Step { sizes: [8192, 8192, 8192], batch: 8192 },
];

impl Case {
    /// Returns the floating-point operations of the matrix products; in a training step, those of
    /// the forward pass, the correlations, and the signals down to the first weights.
    pub fn operations(&self) -> f64 {
        match *self {
            Self::Product(side) => 2.0 * (side as f64).powi(3),
            Self::Step { sizes, batch } => {
                let [inputs, hidden, outputs] = sizes.map(|size| size as f64);
                2.0 * batch as f64 * hidden * (2.0 * inputs + 3.0 * outputs)
            }
        }
    }

    /// Whether a CPU runs it in about a second or less.
    pub fn is_small(&self) -> bool {
        self.operations() < 1e11
    }

    /// Returns the number of rows of the left matrix; in a training step, the batch size.
    pub fn rows(&self) -> usize {
        match *self {
            Self::Product(side) => side,
            Self::Step { batch, .. } => batch,
        }
    }
}

/// Formats as `product-1024`, or as layer sizes such as `784-64-784`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Product(side) => format!("product-{side}"),
            Self::Step { sizes, .. } => sizes.map(|size| size.to_string()).join("-"),
        };
        f.pad(&name)
    }
}

/// Result of a benchmark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    case: Case,
    /// Median time of one run over nine rounds.
    pub milliseconds: f64,
}

impl Pace {
    /// Returns the floating-point operations of the matrix products per second.
    pub fn flops(&self) -> f64 {
        self.case.operations() / self.milliseconds * 1e3
    }
}

/// Number of timed rounds, and the minimum duration of one.
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(100);

/// Runs a benchmark on random values. It waits for the device at the end of each round, not of each
/// run.
///
/// # Errors
/// When the device runs out of memory or is lost.
pub fn measure(case: &Case, device: &Device) -> Result<Pace> {
    let draw =
        |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Uniform(0.0, 1.0), device);
    let milliseconds = match *case {
        Case::Product(side) => {
            let (left, right) = (draw([side; 2]), draw([side; 2]));
            let mut result = Some(draw([side; 2]));
            median(|| {
                let (left, right) = (left.clone(), right.clone());
                result = result.take().map(|to| ops::matmul(left, right, to, Transposed::Neither));
                Ok(|| device.sync().map_err(|e| Error::new(ErrorKind::Device, e.to_string())))
            })?
        }
        Case::Step { sizes, batch } => {
            let mut network = Network::dense(&sizes).build(device)?;
            let (input, target) = (draw([batch, sizes[0]]), draw([batch, sizes[2]]));
            let optimizer = AdamW::default();
            median(|| {
                let error = network.enqueue_batch(&optimizer, input.clone(), target.clone())?;
                Ok(|| Ok(error.read().map(drop)?))
            })?
        }
    };
    Ok(Pace { case: *case, milliseconds })
}

/// Returns the median time of one run in milliseconds. `run` enqueues the work and returns a
/// function that waits for it.
fn median<Wait: FnOnce() -> Result<()>>(mut run: impl FnMut() -> Result<Wait>) -> Result<f64> {
    let mut round = |runs: u32| -> Result<Duration> {
        let start = Instant::now();
        let mut last = None;
        for _ in 0..runs {
            last = Some(run()?);
        }
        last.map_or(Ok(()), |wait| wait())?;
        Ok(start.elapsed())
    };
    // The first runs compile kernels, and autotuning chooses among them.
    round(3)?;
    let one = round(3)? / 3;
    let runs = (ROUND.as_secs_f64() / one.as_secs_f64()).ceil().clamp(1.0, 1000.0) as u32;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        times.push(round(runs)?.as_secs_f64() / f64::from(runs));
    }
    times.sort_by(f64::total_cmp);
    Ok(1e3 * times[ROUNDS / 2])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn products_and_steps_take_time() {
        let step = Case::Step { sizes: [8, 4, 8], batch: 2 };
        assert_eq!(step.operations(), 2.0 * 2.0 * (3.0 * 8.0 * 4.0 + 2.0 * 8.0 * 4.0));
        assert_eq!((step.to_string().as_str(), step.rows()), ("8-4-8", 2));
        let product = Case::Product(8);
        assert_eq!(product.operations(), 2.0 * 8.0 * 8.0 * 8.0);
        assert_eq!((product.to_string().as_str(), product.rows()), ("product-8", 8));
        for case in [step, product] {
            let pace = measure(&case, &Device::flex()).expect("a pace");
            assert!(pace.milliseconds > 0.0 && pace.flops() > 0.0);
        }
    }
}
