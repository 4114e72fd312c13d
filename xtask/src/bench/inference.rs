//! Prediction of one sample, compared with burn, PyTorch and reading the weights once: a small
//! network on one core, and one whose weights exceed the cache of a core on all cores.
//!
//! 784-64-784 is trained on ten images and predicts others: zero inputs take no time there.
//! 3072-728-3072 predicts noise.

use std::cell::RefCell;
use std::time::Instant;

use serde_json::{Value, json};
use zor::core::burn::tensor::activation;
use zor::core::{Network, Workspace, ops};
use zor::prelude::*;
use zor::task::Plan;
use zor::tasks::parts::images;
use zor::training::Method;

use super::common::{noise, threads, train_to_end};
use super::peers::Peer;
use super::rounds::{self, Contender};
use super::spread::Spread;
use super::suite::Suite;
use crate::data::Loader;
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite = Suite {
    name: "inference",
    data: None,
    peer: Some("torch"),
    run: |filter, _| run(filter.peers),
    figures,
};

const ROUNDS: usize = 9;
/// Samples per round, one after the other, of the small network and of the large one.
const SAMPLES: [usize; 2] = [2000, 40];
/// Networks by name, and the maximum time of a sample as a multiple of the time of reading the
/// weights once.
const MAX_READS: [(&str, &str, f64); 2] =
    [("784-64-784", ", one core", 1.0), ("3072-728-3072", "", 1.2)];
const ZOR: &str = "Zor";
const READ: &str = "reading the weights once";

pub(crate) fn run(peers: bool) -> Result<Value, String> {
    let (network, images) = reconstruction()?;
    let small = measure(&network, &images, SAMPLES[0], peers, 1)?;
    let sizes = [3072, 728, 3072];
    let network = Network::dense(&sizes).build(&Device::flex()).map_err(text)?;
    let large = measure(&network, &[noise([1, sizes[0]])], SAMPLES[1], peers, threads())?;
    Ok(
        json!({ "suite": "inference", "threads": threads(), "784-64-784": small, "3072-728-3072": large }),
    )
}

/// Returns the network of ten images, and held-out images.
fn reconstruction() -> Result<(Network, Vec<Tensor<2>>), String> {
    let plan = Plan::parse("task = 'fashion-reconstruction'\naugment = false");
    let plan = plan.map_err(text)?;
    let (data, device) = (Loader::default().load(&plan)?, Device::flex());
    let trained = train_to_end(&plan, &data, Method::LocalRule)?;
    let evaluation = images::of(&*data.evaluation).map_err(text)?;
    let (pixels, samples) = (evaluation.shape().len(), evaluation.pixels());
    let samples = samples.chunks_exact(pixels).map(|image| matrix(image, 1, &device).map_err(text));
    Ok((trained.network, samples.collect::<Result<_, _>>()?))
}

/// Measures microseconds per sample of every contender.
fn measure(
    network: &Network,
    samples: &[Tensor<2>],
    n: usize,
    peers: bool,
    threads: usize,
) -> Result<Value, String> {
    let weights: Vec<Tensor<2>> =
        network.layers().iter().flat_map(|layer| layer.parameters()).map(|w| w.value()).collect();
    let sizes: Vec<usize> = weights
        .iter()
        .map(|weight| weight.dims()[0])
        .chain(weights.last().map(|weight| weight.dims()[1]))
        .collect();
    let mut workspace = Workspace::new(&Device::flex());
    let all = || samples.iter().cycle().take(n);
    let per_sample = |start: Instant| start.elapsed().as_secs_f64() * 1e6 / n as f64;
    let own = || {
        let start = Instant::now();
        for sample in all() {
            let output = network.predict_in(sample.clone(), &mut workspace).map_err(text)?;
            workspace.give(output);
        }
        Ok(per_sample(start))
    };
    let burn = || {
        let start = Instant::now();
        for sample in all() {
            let hidden = activation::relu(sample.clone().matmul(weights[0].clone()));
            std::hint::black_box(hidden.matmul(weights[1].clone()));
        }
        Ok(per_sample(start))
    };
    let read = || {
        let start = Instant::now();
        for _ in 0..n {
            // The pass with the least arithmetic per value read.
            std::hint::black_box(weights.iter().all(ops::all_finite));
        }
        Ok(per_sample(start))
    };
    let peer = peers.then(|| Peer::start("inference.py", &[threads.to_string()])).transpose()?;
    let peer = peer.map(RefCell::new);
    let question = json!({ "sizes": sizes, "samples": n }).to_string();
    let mut contenders: Vec<Contender<'_>> =
        vec![(ZOR, Box::new(own)), ("burn", Box::new(burn)), (READ, Box::new(read))];
    if let Some(peer) = &peer {
        contenders.push(("PyTorch", Box::new(|| peer.borrow_mut().number(&question))));
    }
    let times = rounds::run(ROUNDS, "us", contenders)?;
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    Ok(times.report(&format!("one sample through {}, {threads} threads", sizes.join("-"))))
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for (network, threads, max) in MAX_READS {
        let name = format!("one sample through {network}{threads}");
        let time = Spread::read(&raw[network][ZOR]["us"]);
        table.add(&name, "-".to_owned(), time.with_unit(" us"), true);
        let reads = Spread::read(&raw[network][READ]["times_ours"]).inverse();
        let promised = format!("at most {max:.1}");
        let name = format!("{name}, relative to reading its weights");
        table.add(&name, promised, reads.with_unit(""), reads.median <= max);
    }
}
