//! A training step of the airbench network, compared with PyTorch, and the rate of each pass of its
//! convolutions.

use std::cell::RefCell;
use std::time::Instant;

use serde_json::{Value, json};
use zor::core::Network;
use zor::core::ops::{self, Geometry, Window};
use zor::prelude::*;
use zor::tasks::parts::networks;

use super::common::{noise, threads};
use super::peers::Peer;
use super::rounds::{self, Contender};
use super::spread::Spread;
use super::suite::Suite;
use crate::clock::Machine;
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite = Suite {
    name: "conv",
    data: None,
    peer: Some("torch"),
    run: |filter, _| run(filter.peers),
    figures,
};

const BATCH: usize = 128;
const ROUNDS: usize = 9;
const STEPS: usize = 3;
const ZOR: &str = "Zor";
/// Memory layouts of PyTorch.
const LAYOUTS: [&str; 2] = ["PyTorch, channels first", "PyTorch, channels last"];
/// Maximum time, relative to that of the faster layout of PyTorch.
const PROMISED: f64 = 0.7;

pub(crate) fn run(peers: bool) -> Result<Value, String> {
    let threads = threads();
    let peer = if peers {
        let arguments = [threads.to_string(), BATCH.to_string()];
        Some(RefCell::new(Peer::start("convolution.py", &arguments)?))
    } else {
        None
    };
    let mut step = Step::new()?;
    let mut contenders: Vec<Contender<'_>> = vec![(ZOR, Box::new(|| step.milliseconds()))];
    for layout in LAYOUTS {
        if let Some(peer) = &peer {
            let question = json!({ "layout": layout, "steps": STEPS }).to_string();
            contenders.push((layout, Box::new(move || peer.borrow_mut().number(&question))));
        }
    }
    let times = rounds::run(ROUNDS, "ms", contenders)?;
    let title = format!("a training step of the airbench network, batch {BATCH}");
    let mut raw = json!({ "suite": "conv", "threads": threads, "batch": BATCH, "times": times.report(&title) });
    if peers {
        let faster =
            LAYOUTS.into_iter().min_by(|a, b| times.of(a).median.total_cmp(&times.of(b).median));
        let ratio = times.ratio(ZOR, faster.unwrap_or(LAYOUTS[0]));
        println!("{:<40}{:>28}", "time relative to the faster layout", ratio.with_unit(""));
        raw["ratio"] = ratio.json();
    }
    raw["passes"] = passes()?;
    Ok(raw)
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let ratio = Spread::read(&raw["ratio"]);
    let promised = format!("at most {PROMISED:.2}");
    let name = "airbench step, time relative to PyTorch";
    table.add(name, promised, ratio.with_unit(""), ratio.median <= PROMISED);
}

/// Measures the rate of every pass of the 3x3 convolutions, relative to that of matrix products.
fn passes() -> Result<Value, String> {
    let peak = Machine::measured().gflops;
    println!(
        "\nmatrix products: {peak:.0} GFLOP/s; passes, by the multiply-adds of a direct convolution:"
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

/// A network that trains on noise.
struct Step {
    network: Network,
    input: Tensor<2>,
    classes: Vec<usize>,
}

impl Step {
    fn new() -> Result<Self, String> {
        let device = Device::flex();
        let mut random = Random::seeded(1);
        let input = noise([BATCH, 32 * 32 * 3]);
        let classes = (0..BATCH).map(|_| random.below(10)).collect();
        let network = networks::airbench(&[32, 32, 3], 10).build(&device).map_err(text)?;
        Ok(Self { network, input, classes })
    }

    /// Returns the mean time of a few steps.
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

/// Returns the median milliseconds of the forward pass, and of update and signal together.
fn pass_times(geometry: Geometry) -> [f64; 2] {
    let input = noise([BATCH, geometry.input.iter().product()]);
    let signal = noise([BATCH, geometry.output().iter().product()]);
    let kernel = noise(geometry.kernel_shape());
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

fn median_time(mut run: impl FnMut()) -> f64 {
    run();
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64() * 1e3
    };
    Spread::of(&(0..15).map(time).collect::<Vec<_>>()).median
}
