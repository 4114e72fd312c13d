//! A training step of dense networks beside PyTorch's and burn's, and what of it are matrix products.

use std::time::Instant;

use gemm::Parallelism;
use serde_json::{Map, Value, json};
use zor::autodiff;
use zor::core::ops::{self, Transposed};
use zor::core::{Network, Parameter, Rule};
use zor::prelude::*;

use super::peers::Peer;
use super::{ranged, spread};
use crate::figures::Table;
use crate::text;

/// Rounds that take turns, so that what slows the machine slows everybody; one more warms up.
const ROUNDS: usize = 9;

/// A network and batch, and how many times faster than each peer a step of the classic rule has to be.
struct Case {
    sizes: [usize; 3],
    batch: usize,
    /// Steps in a round.
    steps: usize,
    /// Least ratio to the same rule in PyTorch, to its perceptron, and to burn's autodiff.
    least: [f64; 3],
}

const CASES: [Case; 3] = [
    Case { sizes: [784, 64, 784], batch: 10, steps: 200, least: [8.0, 5.0, 1.0] },
    Case { sizes: [784, 64, 784], batch: 48, steps: 100, least: [8.0, 5.0, 1.0] },
    Case { sizes: [3072, 728, 3072], batch: 512, steps: 2, least: [1.8, 1.0, 1.0] },
];
const PEERS: [&str; 3] = ["the same rule in PyTorch", "PyTorch's perceptron", "burn's autodiff"];
/// Of the time of a step of the largest network.
const PRODUCTS: f64 = 0.85;
/// Of the best rate that the product library reaches on the same sizes.
const RATE: f64 = 0.9;

impl Case {
    fn name(&self) -> String {
        let [a, b, c] = self.sizes;
        format!("{a}-{b}-{c}, batch {}", self.batch)
    }
}

pub(crate) fn run(torch: bool) -> Result<Value, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut peer = if torch { Some(Peer::start("step.py", &[threads.to_string()])?) } else { None };
    let mut cases = Map::new();
    for case in &CASES {
        cases.insert(case.name(), measure(case, peer.as_mut())?);
    }
    Ok(json!({ "suite": "step", "threads": threads, "cases": cases, "products": products()? }))
}

/// Milliseconds a step of every contender, round by round.
fn measure(case: &Case, mut peer: Option<&mut Peer>) -> Result<Value, String> {
    let mut classic = Contender::new(case, Rule::classic(), false)?;
    let mut own = Contender::new(case, Rule::default(), false)?;
    let mut autodiff = Contender::new(case, Rule::backprop(), true)?;
    let question = |kind| json!({ "kind": kind, "sizes": case.sizes, "batch": case.batch, "steps": case.steps });
    let mut times: [Vec<f64>; 5] = Default::default();
    for round in 0..=ROUNDS {
        let mut found = [f64::NAN; 5];
        for (index, kind) in ["classic", "mlp"].into_iter().enumerate() {
            if let Some(peer) = peer.as_mut() {
                let answer = peer.ask(&question(kind).to_string())?;
                found[1 + index] = answer["milliseconds"].as_f64().unwrap_or(f64::NAN);
            }
            // Ours beside each, and the mean of both: it stands in two pairs.
            found[0] = if index == 0 { 0.0 } else { found[0] } + 0.5 * classic.milliseconds()?;
        }
        found[3] = autodiff.milliseconds()?;
        found[4] = own.milliseconds()?;
        if round > 0 {
            times.iter_mut().zip(found).for_each(|(times, found)| times.push(found));
        }
    }
    println!("\na training step of {}, {ROUNDS} rounds of {} steps:", case.name(), case.steps);
    println!("{:<34}{:>12}{:>12}{:>12}{:>26}", "", "median ms", "fastest", "slowest", "times ours");
    let names = ["Zor, classic rule", PEERS[0], PEERS[1], PEERS[2], "Zor, default rule, AdamW"];
    let mut raw = Map::new();
    for (name, theirs) in names.into_iter().zip(&times) {
        if theirs.iter().any(|time| time.is_nan()) {
            continue;
        }
        let (middle, low, high) = spread(theirs);
        let ratios: Vec<f64> = theirs.iter().zip(&times[0]).map(|(a, b)| a / b).collect();
        let ratio = spread(&ratios);
        println!("{name:<34}{middle:>12.3}{low:>12.3}{high:>12.3}{:>26}", ranged(ratio, ""));
        let found = json!({ "median_ms": middle, "fastest_ms": low, "slowest_ms": high,
            "times_ours": { "median": ratio.0, "lowest": ratio.1, "highest": ratio.2 } });
        raw.insert(name.to_owned(), found);
    }
    Ok(raw.into())
}

/// A network that is trained on noise.
struct Contender {
    network: Network,
    input: Tensor<2>,
    steps: usize,
    autodiff: bool,
}

impl Contender {
    fn new(case: &Case, rule: Rule, autodiff: bool) -> Result<Self, String> {
        let network = Network::dense(&case.sizes).rule(rule);
        let network = network.build(&Device::flex()).map_err(text)?;
        let input = noise([case.batch, case.sizes[0]]);
        Ok(Self { network, input, steps: case.steps, autodiff })
    }

    fn milliseconds(&mut self) -> Result<f64, String> {
        let optimizer = AdamW::default();
        let start = Instant::now();
        for _ in 0..self.steps {
            let (input, target) = (self.input.clone(), self.input.clone());
            if self.autodiff {
                autodiff::train_batch(&mut self.network, &optimizer, input, target)
                    .map_err(text)?;
            } else {
                self.network.train_batch(&optimizer, input, target).map_err(text)?;
            }
        }
        Ok(start.elapsed().as_secs_f64() * 1e3 / self.steps as f64)
    }
}

fn noise(shape: [usize; 2]) -> Tensor<2> {
    let mut random = Random::seeded(1);
    Parameter::normal("noise", shape, 1.0, &mut random, &Device::flex()).value()
}

/// The five products of the largest network's step: into memory that is there, as the step makes them, beside the same sizes
/// without a transposed operand, and beside the step.
fn products() -> Result<Value, String> {
    let case = &CASES[2];
    let ([inputs, hidden, outputs], batch) = (case.sizes, case.batch);
    // (rows, inner, columns), and what is transposed.
    let shapes = [
        (batch, inputs, hidden, Transposed::Neither),
        (batch, hidden, outputs, Transposed::Neither),
        (hidden, batch, outputs, Transposed::Left),
        (batch, outputs, hidden, Transposed::Right),
        (inputs, batch, hidden, Transposed::Left),
    ];
    let mut all: Vec<Product> = shapes.map(|(m, k, n, how)| Product::new([m, k, n], how)).into();
    let mut step = Contender::new(case, Rule::classic(), false)?;
    let (mut shares, mut rates) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let ours: f64 = all.iter_mut().map(Product::milliseconds).sum();
        let best: f64 = all.iter_mut().map(Product::best_milliseconds).sum();
        let step = step.milliseconds()?;
        if round > 0 {
            shares.push(ours / step);
            rates.push(best / ours);
        }
    }
    let (share, rate) = (spread(&shares), spread(&rates));
    println!("\nthe five products, of a step's time: {}", ranged(share, ""));
    println!("their rate, of gemm's best on the same sizes: {}", ranged(rate, ""));
    let object = |(middle, low, high)| json!({ "median": middle, "lowest": low, "highest": high });
    Ok(json!({ "share_of_step": object(share), "of_best_rate": object(rate) }))
}

/// A product with its operands and result.
struct Product {
    sizes: [usize; 3],
    how: Transposed,
    left: Tensor<2>,
    right: Tensor<2>,
    result: Option<Tensor<2>>,
    plain: [Vec<f32>; 3],
}

impl Product {
    fn new([m, k, n]: [usize; 3], how: Transposed) -> Self {
        let (left, right) = match how {
            Transposed::Neither => ([m, k], [k, n]),
            Transposed::Left => ([k, m], [k, n]),
            Transposed::Right => ([m, k], [n, k]),
        };
        let plain = [m * k, k * n, m * n].map(|len| vec![0.5; len]);
        let result = Some(noise([m, n]));
        Self { sizes: [m, k, n], how, left: noise(left), right: noise(right), result, plain }
    }

    /// As a layer makes it.
    fn milliseconds(&mut self) -> f64 {
        let start = Instant::now();
        let (left, right, how) = (self.left.clone(), self.right.clone(), self.how);
        self.result = self.result.take().map(|result| ops::product(left, right, result, how));
        start.elapsed().as_secs_f64() * 1e3
    }

    /// The better of one thread and all, operands as they lie.
    fn best_milliseconds(&mut self) -> f64 {
        let [m, k, n] = self.sizes;
        let [a, b, c] = &mut self.plain;
        let mut time = |parallelism| {
            let start = Instant::now();
            // SAFETY: rows of k, n and n values; the vectors have m, k and m of them.
            unsafe {
                gemm::gemm(
                    m,
                    n,
                    k,
                    c.as_mut_ptr(),
                    1,
                    n as isize,
                    false,
                    a.as_ptr(),
                    1,
                    k as isize,
                    b.as_ptr(),
                    1,
                    n as isize,
                    0f32,
                    1f32,
                    false,
                    false,
                    false,
                    parallelism,
                );
            }
            start.elapsed().as_secs_f64() * 1e3
        };
        time(Parallelism::Rayon(0)).min(time(Parallelism::None))
    }
}

/// What is promised of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let at = |value: &Value| {
        let number = |name: &str| value[name].as_f64().unwrap_or(f64::NAN);
        (number("median"), number("lowest"), number("highest"))
    };
    for case in &CASES {
        for (peer, least) in PEERS.into_iter().zip(case.least) {
            let ratio = at(&raw["cases"][&case.name()][peer]["times_ours"]);
            let name = format!("step of {}: {peer}", case.name());
            let promised = format!("at least {least:.1} times");
            table.add(&name, promised, ranged(ratio, ""), ratio.0 >= least);
        }
    }
    let products = &raw["products"];
    for (name, key, least) in [
        ("products, of the step of 3072-728-3072", "share_of_step", PRODUCTS),
        ("products, of gemm's best rate", "of_best_rate", RATE),
    ] {
        let found = at(&products[key]);
        table.add(name, format!("at least {least:.2}"), ranged(found, ""), found.0 >= least);
    }
}
