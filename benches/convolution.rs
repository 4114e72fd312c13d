//! The passes of the airbench network's 3x3 convolutions (Jordan 2024) at a batch of 128: time, and the rate of
//! multiply-adds that a direct computation would need.

use std::time::Instant;

use zor::core::Parameter;
use zor::core::ops::{self, Geometry, Window};
use zor::prelude::*;

const BATCH: usize = 128;
const RUNS: usize = 15;

fn main() -> zor::Result<()> {
    println!("{:<28}{:>14}{:>14}{:>14}{:>14}", "", "forward ms", "GFLOP/s", "learn ms", "GFLOP/s");
    let mut sums = [0.0; 2];
    // (side, inputs, outputs, padding, how many such layers the network has)
    let layers =
        [(31, 24, 64, 1), (15, 64, 64, 1), (15, 64, 256, 1), (7, 256, 256, 2), (3, 256, 256, 1)];
    for (side, inputs, outputs, count) in layers {
        let window = Window { padding: [1, 1], ..Window::square(3) };
        let geometry = Geometry::new([side, side, inputs], outputs, window, 1)?;
        let flops = 2.0 * (BATCH as u64 * geometry.multiply_adds()) as f64;
        let times = passes(geometry);
        let name = format!("{side}x{side}, {inputs} -> {outputs}");
        println!(
            "{name:<28}{:>14.2}{:>14.0}{:>14.2}{:>14.0}",
            times[0],
            flops / times[0] / 1e6,
            times[1],
            2.0 * flops / times[1] / 1e6
        );
        sums[0] += f64::from(count) * times[0];
        sums[1] += f64::from(count) * times[1];
    }
    println!("{:<28}{:>14.2}{:>14}{:>14.2}", "all six layers", sums[0], "", sums[1]);
    Ok(())
}

/// Median milliseconds of the forward pass, and of correlation and signal together.
fn passes(geometry: Geometry) -> [f64; 2] {
    let device = Device::flex();
    let mut random = Random::seeded(1);
    let mut tensor =
        |shape| Parameter::normal("tensor", shape, 1.0, &mut random, &device).value();
    let input = tensor([BATCH, geometry.input.iter().product()]);
    let signal = tensor([BATCH, geometry.output().iter().product()]);
    let kernel = tensor(geometry.kernel_shape());
    let mut output = Some(signal.zeros_like());
    let mut buffers = Some((kernel.zeros_like(), input.zeros_like()));
    let forward = median(|| {
        output = output
            .take()
            .map(|buffer| ops::convolve(input.clone(), kernel.clone(), buffer, geometry));
    });
    let learn = median(|| {
        buffers = buffers.take().map(|buffers| {
            ops::convolve_learn(input.clone(), signal.clone(), kernel.clone(), buffers, geometry)
        });
    });
    [forward, learn]
}

fn median(mut run: impl FnMut()) -> f64 {
    run();
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}
