//! The time of one training step of dense networks: median, fastest and slowest of many, after a warm-up.

use std::time::Instant;

use zor::core::Parameter;
use zor::prelude::*;

const WARM_UP: usize = 20;
const STEPS: usize = 200;

fn main() -> zor::Result<()> {
    println!(
        "{:<20}{:>8}{:>10}{:>10}{:>12}{:>12}{:>12}",
        "sizes", "batch", "rule", "optimizer", "median us", "fastest", "slowest"
    );
    for (sizes, batch) in [([784, 64, 784], 10), ([784, 64, 784], 48), ([784, 64, 784], 256)] {
        let optimizers: [&dyn Optimizer; 2] = [&AdamW::default(), &Muon::new(0.02)];
        for (name, rule) in [("classic", Rule::classic()), ("default", Rule::default())] {
            for optimizer in optimizers {
                let times = step_times(&sizes, batch, rule.clone(), optimizer)?;
                println!(
                    "{:<20}{batch:>8}{name:>10}{:>10}{:>12.1}{:>12.1}{:>12.1}",
                    format!("{sizes:?}"),
                    optimizer.name(),
                    times[STEPS / 2],
                    times[0],
                    times[STEPS - 1]
                );
            }
        }
    }
    Ok(())
}

/// Microseconds of each step, in order of size.
fn step_times(
    sizes: &[usize],
    batch: usize,
    rule: Rule,
    optimizer: &dyn Optimizer,
) -> zor::Result<Vec<f64>> {
    let device = Device::flex();
    let mut network = Network::dense(sizes).rule(rule).build(&device)?;
    let mut random = Random::seeded(1);
    let input = Parameter::normal("input", [batch, sizes[0]], 1.0, &mut random, &device).value();
    let mut times = Vec::with_capacity(STEPS);
    for step in 0..WARM_UP + STEPS {
        let start = Instant::now();
        network.train_batch(optimizer, input.clone(), input.clone())?;
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
