//! A training step of the airbench network beside PyTorch's, and the rate that each pass of its convolutions reaches.

use std::time::Instant;

use serde_json::{Value, json};
use zor::core::ops::{self, Geometry, Transposed, Window};
use zor::core::{Network, Parameter};
use zor::models;
use zor::prelude::*;

use super::peers::Peer;
use super::{ranged, spread};
use crate::figures::Table;
use crate::text;

const BATCH: usize = 128;
const ROUNDS: usize = 9;
const STEPS: usize = 3;

pub(crate) fn run(torch: bool) -> Result<Value, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut step = Step::new()?;
    let mut peer = if torch {
        let arguments = [threads.to_string(), BATCH.to_string()];
        Some(Peer::start("convolution.py", &arguments)?)
    } else {
        None
    };
    // Rounds take turns, so that what slows the machine slows everybody.
    let (mut ours, mut theirs) = (Vec::new(), [Vec::new(), Vec::new()]);
    for round in 0..=ROUNDS {
        let own = step.milliseconds()?;
        let other = peer.as_mut().map(|peer| peer.ask(&STEPS.to_string())).transpose()?;
        if round == 0 {
            continue;
        }
        ours.push(own);
        for (times, name) in theirs.iter_mut().zip(["channels-first", "channels-last"]) {
            times.extend(other.as_ref().and_then(|o| o[name].as_f64()));
        }
    }
    println!(
        "a training step of the airbench network, batch {BATCH}, {threads} threads, {ROUNDS} rounds:"
    );
    println!("{:<28}{:>12}{:>12}{:>12}", "", "median ms", "fastest", "slowest");
    let show = |name: &str, times: &[f64]| {
        let (middle, low, high) = spread(times);
        println!("{name:<28}{middle:>12.1}{low:>12.1}{high:>12.1}");
        json!({ "median_ms": middle, "fastest_ms": low, "slowest_ms": high })
    };
    let mut raw =
        json!({ "suite": "conv", "threads": threads, "batch": BATCH, "zor": show("Zor", &ours) });
    if torch {
        let medians = theirs.each_ref().map(|times| spread(times).0);
        raw["torch_channels_first"] = show("PyTorch, channels first", &theirs[0]);
        raw["torch_channels_last"] = show("PyTorch, channels last", &theirs[1]);
        let best = if medians[0] <= medians[1] { &theirs[0] } else { &theirs[1] };
        let ratios: Vec<f64> = ours.iter().zip(best).map(|(own, other)| own / other).collect();
        let (middle, low, high) = spread(&ratios);
        println!("{:<28}{middle:>12.2}{low:>12.2}{high:>12.2}", "ratio to the faster, by round");
        raw["ratio"] = json!({ "median": middle, "lowest": low, "highest": high });
    }
    raw["passes"] = passes()?;
    Ok(raw)
}

/// What is promised of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let ratio = &raw["ratio"];
    let at = |name: &str| ratio[name].as_f64().unwrap_or(f64::NAN);
    table.add(
        "airbench step, time by PyTorch's",
        "at most 0.70".to_owned(),
        ranged((at("median"), at("lowest"), at("highest")), ""),
        at("median") <= 0.7,
    );
}

/// The rate of every pass of the 3x3 convolutions beside that of a large product.
fn passes() -> Result<Value, String> {
    let peak = product_rate();
    println!(
        "\na product of 1536x1536 matrices: {peak:.0} GFLOP/s; passes, by the multiply-adds of a direct computation:"
    );
    println!(
        "{:<20}{:>12}{:>10}{:>8}{:>12}{:>10}{:>8}",
        "", "forward ms", "GFLOP/s", "share", "learn ms", "GFLOP/s", "share"
    );
    let mut all = Vec::new();
    for (side, inputs, outputs) in
        [(31, 24, 64), (15, 64, 64), (15, 64, 256), (7, 256, 256), (3, 256, 256)]
    {
        let window = Window { padding: [1, 1], ..Window::square(3) };
        let geometry = Geometry::new([side, side, inputs], outputs, window, 1).map_err(text)?;
        let flops = 2e-6 * (BATCH as u64 * geometry.multiply_adds()) as f64;
        let [forward, learn] = pass_times(geometry);
        let name = format!("{side}x{side}, {inputs} -> {outputs}");
        let (up, down) = (flops / forward, 2.0 * flops / learn);
        println!(
            "{name:<20}{forward:>12.2}{up:>10.0}{:>8.2}{learn:>12.2}{down:>10.0}{:>8.2}",
            up / peak,
            down / peak
        );
        all.push(json!({ "name": name, "forward_ms": forward, "forward_gflops": up, "learn_ms": learn, "learn_gflops": down }));
    }
    Ok(json!({ "product_gflops": peak, "layers": all }))
}

/// A network that is trained on noise.
struct Step {
    network: Network,
    input: Tensor<2>,
    classes: Vec<usize>,
}

impl Step {
    fn new() -> Result<Self, String> {
        let device = Device::flex();
        let mut random = Random::seeded(1);
        let input = Parameter::normal("input", [BATCH, 32 * 32 * 3], 1.0, &mut random, &device);
        let classes = (0..BATCH).map(|_| random.below(10)).collect();
        let network = models::airbench(&[32, 32, 3], 10).build(&device).map_err(text)?;
        Ok(Self { network, input: input.value(), classes })
    }

    /// The mean time of a few steps.
    fn milliseconds(&mut self) -> Result<f64, String> {
        let start = Instant::now();
        for _ in 0..STEPS {
            let classes = self.classes.clone();
            self.network
                .train_batch(&AdamW::default(), self.input.clone(), classes)
                .map_err(text)?;
        }
        Ok(start.elapsed().as_secs_f64() * 1e3 / STEPS as f64)
    }
}

/// Median milliseconds of the forward pass, and of correlation and signal together.
fn pass_times(geometry: Geometry) -> [f64; 2] {
    let device = Device::flex();
    let mut random = Random::seeded(1);
    let mut tensor = |shape| Parameter::normal("tensor", shape, 1.0, &mut random, &device).value();
    let input = tensor([BATCH, geometry.input.iter().product()]);
    let signal = tensor([BATCH, geometry.output().iter().product()]);
    let kernel = tensor(geometry.kernel_shape());
    let mut output = Some(signal.zeros_like());
    let mut buffers = Some((kernel.zeros_like(), input.zeros_like()));
    let forward = median_time(|| {
        let convolve = |buffer| ops::convolve(input.clone(), kernel.clone(), buffer, geometry);
        output = output.take().map(convolve);
    });
    let learn = median_time(|| {
        let (input, signal, kernel) = (input.clone(), signal.clone(), kernel.clone());
        let learn = |buffers| ops::convolve_learn(input, signal, kernel, buffers, geometry);
        buffers = buffers.take().map(learn);
    });
    [forward, learn]
}

/// GFLOP/s of a large matrix product.
fn product_rate() -> f64 {
    const SIDE: usize = 1536;
    let mut random = Random::seeded(1);
    let matrix = Parameter::normal("matrix", [SIDE; 2], 1.0, &mut random, &Device::flex()).value();
    let mut buffer = Some(matrix.zeros_like());
    let time = median_time(|| {
        let (left, right) = (matrix.clone(), matrix.clone());
        buffer = buffer.take().map(|buffer| ops::product(left, right, buffer, Transposed::Neither));
    });
    2e-6 * (SIDE * SIDE * SIDE) as f64 / time
}

fn median_time(mut run: impl FnMut()) -> f64 {
    run();
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64() * 1e3
    };
    spread(&(0..15).map(time).collect::<Vec<_>>()).0
}
