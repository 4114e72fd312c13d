//! How long a training step takes on a device.

use std::time::{Duration, Instant};

use zor_core::Network;
use zor_core::burn::tensor::{Device, Distribution, Tensor};
use zor_optim::AdamW;

use crate::error::Result;

/// A dense network and the batches it learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Inputs, hidden units, outputs.
    pub sizes: [usize; 3],
    /// Rows of a batch.
    pub batch: usize,
}

/// From what ten images need to what fills a card.
pub const CASES: [Case; 4] = [
    Case { sizes: [784, 64, 784], batch: 10 },
    Case { sizes: [3072, 728, 3072], batch: 512 },
    Case { sizes: [3072, 728, 3072], batch: 4096 },
    Case { sizes: [8192, 8192, 8192], batch: 8192 },
];

impl Case {
    /// Floating-point operations of a step's products: up, correlation, and the signal down to the first weights.
    pub fn operations(&self) -> f64 {
        let [inputs, hidden, outputs] = self.sizes.map(|size| size as f64);
        2.0 * self.batch as f64 * hidden * (2.0 * inputs + 3.0 * outputs)
    }

    /// Whether a CPU does a step in a second or so.
    pub fn is_small(&self) -> bool {
        self.operations() < 1e11
    }
}

/// What a step took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    case: Case,
    /// The median of nine rounds.
    pub milliseconds: f64,
}

impl Pace {
    /// Operations of products in a second.
    pub fn flops(&self) -> f64 {
        self.case.operations() / self.milliseconds * 1e3
    }
}

/// Rounds that are timed, and for how long each lasts at least.
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(100);

/// Times steps with AdamW on random values. The device is waited for at the end of a round, not of a step.
///
/// # Errors
/// When the device runs out of memory or is lost.
pub fn measure(case: &Case, device: &Device) -> Result<Pace> {
    let mut network = Network::dense(&case.sizes).build(device)?;
    let draw =
        |columns| Tensor::random([case.batch, columns], Distribution::Uniform(0.0, 1.0), device);
    let (input, target) = (draw(case.sizes[0]), draw(case.sizes[2]));
    let optimizer = AdamW::default();
    let mut round = |steps: u32| -> Result<Duration> {
        let start = Instant::now();
        let mut last = None;
        for _ in 0..steps {
            last = Some(network.train_batch_unread(&optimizer, input.clone(), target.clone())?);
        }
        last.map(|last| last.read()).transpose()?;
        Ok(start.elapsed())
    };
    // Kernels are compiled, and with autotuning chosen, in the first steps.
    round(3)?;
    let one = round(3)? / 3;
    let steps = (ROUND.as_secs_f64() / one.as_secs_f64()).ceil().clamp(1.0, 1000.0) as u32;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        times.push(round(steps)?.as_secs_f64() / f64::from(steps));
    }
    times.sort_by(f64::total_cmp);
    Ok(Pace { case: *case, milliseconds: 1e3 * times[ROUNDS / 2] })
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_time() {
        let case = Case { sizes: [8, 4, 8], batch: 2 };
        assert_eq!(case.operations(), 2.0 * 2.0 * (3.0 * 8.0 * 4.0 + 2.0 * 8.0 * 4.0));
        let pace = measure(&case, &Device::flex()).expect("a step");
        assert!(pace.milliseconds > 0.0 && pace.flops() > 0.0);
    }
}
