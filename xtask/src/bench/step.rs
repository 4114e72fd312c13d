//! A training step of dense networks on any devices, compared with PyTorch and burn, and the share
//! of matrix products in its time.

use std::cell::RefCell;
use std::time::Instant;

use gemm::Parallelism;
use serde_json::{Map, Value, json};
use zor::core::ops::{self, Transposed};
use zor::core::{Network, PendingMetrics, Rule};
use zor::prelude::*;
use zor::training::Method;

use super::common::{noise, pixels, threads};
use super::devices::Devices;
use super::peers::Peer;
use super::rounds::{self, Contender};
use super::spread::Spread;
use super::suite::{FLEX, Suite, SuiteFilter};
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite =
    Suite { name: "step", data: None, peer: Some("torch"), run: |filter, _| run(filter), figures };

/// Rounds in which the contenders take turns, after a warm-up round.
const ROUNDS: usize = 9;

/// A network and a batch size, and the minimum speed of a step of the classic rule, relative to
/// each peer.
struct Case {
    sizes: [usize; 3],
    batch: usize,
    /// Steps in a round.
    steps: usize,
    /// Minimum time of the same rule in PyTorch, of its perceptron and of burn's autodiff, divided
    /// by that of Zor.
    least: [f64; 3],
}

const CASES: [Case; 3] = [
    Case { sizes: [784, 64, 784], batch: 10, steps: 200, least: [8.0, 5.0, 1.0] },
    Case { sizes: [784, 64, 784], batch: 48, steps: 100, least: [8.0, 5.0, 1.0] },
    Case { sizes: [3072, 728, 3072], batch: 512, steps: 2, least: [1.8, 1.0, 1.0] },
];
/// Rows of Zor, which run on any device.
const OWN: [&str; 2] = ["Zor, classic rule", "Zor, default rule, AdamW"];
const PEERS: [&str; 3] = ["the same rule in PyTorch", "PyTorch's perceptron", "burn's autodiff"];
/// Minimum share of matrix products in the time of a step of the largest network.
const MIN_SHARE: f64 = 0.85;
/// Minimum rate of those matrix products, relative to the best rate of gemm on the same sizes.
const MIN_RATE: f64 = 0.9;

impl Case {
    fn name(&self) -> String {
        let [a, b, c] = self.sizes;
        format!("{a}-{b}-{c}, batch {}", self.batch)
    }
}

pub(crate) fn run(filter: &SuiteFilter) -> Result<Value, String> {
    let threads = threads();
    let names: Vec<&str> = filter.devices.iter().map(String::as_str).collect();
    let mut devices = Devices::find(&names);
    devices.check()?;
    let asks_peer = filter.peers && filter.is_on_flex();
    let peer = asks_peer.then(|| Peer::start("step.py", &[threads.to_string()])).transpose()?;
    let peer = peer.map(RefCell::new);
    let mut cases = Map::new();
    for case in &CASES {
        if let Some(measured) = measure(case, &mut devices, peer.as_ref())? {
            cases.insert(case.name(), measured);
        }
    }
    let mut raw = json!({ "suite": "step", "threads": threads });
    if filter.is_on_flex() {
        raw["cases"] = cases.into();
        raw["products"] = products()?;
    }
    if !filter.other_devices().is_empty() {
        devices.print(&format!("a training step, ms, {ROUNDS} rounds"));
        raw["devices"] = devices.json();
    }
    Ok(raw)
}

/// Measures milliseconds per step: the rows of Zor on every device, and on flex also the peers.
/// Returns the times on flex.
fn measure(
    case: &Case,
    devices: &mut Devices,
    peer: Option<&RefCell<Peer>>,
) -> Result<Option<Value>, String> {
    let mut networks = Vec::new();
    for column in devices.columns() {
        let mut rows = vec![(OWN[0], Rule::classic(), Method::LocalRule)];
        rows.push((OWN[1], Rule::default(), Method::LocalRule));
        if column.name == FLEX {
            rows.push((PEERS[2], Rule::backprop(), Method::Autodiff));
        }
        let built = rows.into_iter().map(|(row, rule, method)| {
            let network = Own::new(case, rule, method, &column.device);
            network.map(|network| (row, network)).map_err(|e| format!("{}: {e}", column.name))
        });
        networks.push(built.collect::<Result<Vec<_>, String>>()?);
    }
    let (mut contenders, mut firsts): (Vec<Contender<'_>>, _) = (Vec::new(), Vec::new());
    for (column, networks) in devices.columns().iter().zip(&mut networks) {
        firsts.push(contenders.len());
        for (row, network) in networks {
            contenders.push((row, Box::new(|| network.milliseconds())));
        }
        let Some(peer) = peer.filter(|_| column.name == FLEX) else { continue };
        for (name, kind) in PEERS.into_iter().zip(["classic", "mlp"]) {
            let question = json!({ "kind": kind, "sizes": case.sizes, "batch": case.batch, "steps": case.steps });
            let question = question.to_string();
            contenders.push((name, Box::new(move || peer.borrow_mut().number(&question))));
        }
    }
    let mut times = rounds::run(ROUNDS, "ms", contenders)?;
    let (mut rows, mut on_flex) = (Vec::new(), None);
    for (column, first) in devices.columns().iter().zip(firsts).rev() {
        let times = times.split_off(first);
        rows.push(OWN.map(|row| (row, times.of(row))).into());
        if column.name == FLEX {
            on_flex = Some(times.report(&format!("a training step of {}", case.name())));
        }
    }
    rows.reverse();
    devices.add(&case.name(), rows);
    Ok(on_flex)
}

/// A network that trains on random values.
struct Own {
    network: Network,
    input: Tensor<2>,
    steps: usize,
    method: Method,
    is_asynchronous: bool,
}

impl Own {
    fn new(case: &Case, rule: Rule, method: Method, device: &Device) -> Result<Self, String> {
        let network = Network::dense(&case.sizes).rule(rule);
        let network = network.build(device).map_err(text)?;
        let input = pixels(device, [case.batch, case.sizes[0]])?;
        let is_asynchronous = ops::is_asynchronous(device);
        Ok(Self { network, input, steps: case.steps, method, is_asynchronous })
    }

    /// Returns the mean time of a step in a round. An asynchronous device is synchronized at the
    /// end of the round, as in a training.
    fn milliseconds(&mut self) -> Result<f64, String> {
        let optimizer = AdamW::default();
        let mut unread: Option<PendingMetrics> = None;
        let start = Instant::now();
        for _ in 0..self.steps {
            let (input, target) = (self.input.clone(), self.input.clone());
            if self.is_asynchronous {
                let last = self.network.enqueue_batch(&optimizer, input, target);
                unread = Some(last.map_err(text)?);
                continue;
            }
            self.method.train_batch(&mut self.network, &optimizer, input, target).map_err(text)?;
        }
        unread.map_or(Ok(()), |last| last.read().map(drop)).map_err(text)?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / self.steps as f64)
    }
}

/// Measures the five matrix products of a step of the largest network, into existing buffers as in
/// the step: their share in the time of the step, and their rate relative to that of gemm on the
/// same sizes without a transposed operand.
fn products() -> Result<Value, String> {
    let case = &CASES[2];
    let ([inputs, hidden, outputs], batch) = (case.sizes, case.batch);
    // (rows, inner, columns), and the transposed operand.
    let shapes = [
        (batch, inputs, hidden, Transposed::Neither),
        (batch, hidden, outputs, Transposed::Neither),
        (hidden, batch, outputs, Transposed::Left),
        (batch, outputs, hidden, Transposed::Right),
        (inputs, batch, hidden, Transposed::Left),
    ];
    let mut all: Vec<Product> = shapes.map(|(m, k, n, how)| Product::new([m, k, n], how)).into();
    let mut step = Own::new(case, Rule::classic(), Method::LocalRule, &Device::flex())?;
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
    let (share, rate) = (Spread::of(&shares), Spread::of(&rates));
    println!("\nshare of the five matrix products in the time of a step: {}", share.with_unit(""));
    println!("their rate, relative to the best of gemm on the same sizes: {}", rate.with_unit(""));
    Ok(json!({ "share_of_step": share.json(), "of_best_rate": rate.json() }))
}

/// A matrix product with its operands and result.
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

    /// Returns the time on the path of a layer.
    fn milliseconds(&mut self) -> f64 {
        let start = Instant::now();
        let (left, right, how) = (self.left.clone(), self.right.clone(), self.how);
        self.result = self.result.take().map(|result| ops::matmul(left, right, result, how));
        start.elapsed().as_secs_f64() * 1e3
    }

    /// Returns the better time of gemm on one thread and on all, with no transposed operand.
    fn best_milliseconds(&mut self) -> f64 {
        let [m, k, n] = self.sizes;
        let [a, b, c] = &mut self.plain;
        let mut time = |parallelism| {
            let start = Instant::now();
            // SAFETY: rows have k, n and n values; the vectors have m, k and m rows.
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

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for case in &CASES {
        for (peer, least) in PEERS.into_iter().zip(case.least) {
            let ratio = Spread::read(&raw["cases"][&case.name()][peer]["times_ours"]);
            let name = format!("step of {}: {peer}", case.name());
            let promised = format!("at least {least:.1} times");
            table.add(&name, promised, ratio.with_unit(""), ratio.median >= least);
        }
    }
    for (name, key, least) in [
        ("matrix products, share of the step of 3072-728-3072", "share_of_step", MIN_SHARE),
        ("matrix products, relative to the best rate of gemm", "of_best_rate", MIN_RATE),
    ] {
        let found = Spread::read(&raw["products"][key]);
        let promised = format!("at least {least:.2}");
        table.add(name, promised, found.with_unit(""), found.median >= least);
    }
}
