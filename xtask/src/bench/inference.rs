//! The answer to one sample: on one core beside burn and PyTorch, and, where weights do not fit a
//! core's cache, beside reading them once.
//!
//! 784-64-784 learned ten images, and is asked about others: inputs that are zero cost it nothing.
//! 3072-728-3072 is asked about noise.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::{Value, json};
use zor::core::burn::tensor::activation;
use zor::core::{Network, Workspace, ops};
use zor::prelude::*;
use zor::task::Plan;
use zor::tasks::parts::images;
use zor::training::{self, Method, Training};

use super::common::{noise, threads};
use super::peers::Peer;
use super::rounds::{self, Contender};
use super::spread::Spread;
use super::suite::Suite;
use crate::data::Loader;
use crate::paths::text;
use crate::table::Table;

/// The suite and its place among the others.
pub(crate) const SUITE: Suite = Suite {
    name: "inference",
    data: None,
    run: |choice, _| run(choice.torch),
    figures,
    remarks: include_str!("../../../docs/remarks/inference.md"),
};

const ROUNDS: usize = 9;
/// Samples that a small network is asked about in a round, one after the other, and a large one.
const SAMPLES: [usize; 2] = [2000, 40];
/// Microseconds for a sample of the small network, at most.
const PROMISED: f64 = 5.0;
/// Times that reading the large network's weights takes, at most.
const READS: f64 = 1.2;
const ZOR: &str = "Zor";
const READ: &str = "reading the weights once";

pub(crate) fn run(torch: bool) -> Result<Value, String> {
    let (network, images) = reconstruction()?;
    let small = measure(&network, &images, SAMPLES[0], torch, 1)?;
    let sizes = [3072, 728, 3072];
    let network = Network::dense(&sizes).build(&Device::flex()).map_err(text)?;
    let large = measure(&network, &[noise([1, sizes[0]])], SAMPLES[1], torch, threads())?;
    Ok(
        json!({ "suite": "inference", "threads": threads(), "784-64-784": small, "3072-728-3072": large }),
    )
}

/// The network of ten images, and images that it has not seen.
fn reconstruction() -> Result<(Network, Vec<Tensor<2>>), String> {
    let plan = Plan::parse("task = 'fashion-reconstruction'\naugment = false");
    let plan = plan.map_err(text)?;
    let (data, device) = (Loader::default().load(&plan)?, Device::flex());
    let continues = &mut |_: &mut Training| ControlFlow::Continue(());
    let trained = training::run(&plan, &data, &device, Method::LocalRule, continues);
    let evaluation = images::of(&*data.evaluation).map_err(text)?;
    let (pixels, samples) = (evaluation.shape().len(), evaluation.pixels());
    let samples = samples.chunks_exact(pixels).map(|image| matrix(image, 1, &device).map_err(text));
    Ok((trained.map_err(text)?.network, samples.collect::<Result<_, _>>()?))
}

/// Microseconds a sample of everybody.
fn measure(
    network: &Network,
    samples: &[Tensor<2>],
    n: usize,
    torch: bool,
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
            // The pass that reads most and does least.
            std::hint::black_box(weights.iter().all(ops::all_finite));
        }
        Ok(per_sample(start))
    };
    let peer = torch.then(|| Peer::start("inference.py", &[threads.to_string()])).transpose()?;
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

/// Promises, beside the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let time = Spread::read(&raw["784-64-784"][ZOR]["us"]);
    let promised = format!("at most {PROMISED:.1} us");
    let name = "one sample through 784-64-784, one core";
    table.add(name, promised, time.with_unit(" us"), time.median <= PROMISED);
    let read = Spread::read(&raw["3072-728-3072"][READ]["times_ours"]).median;
    let promised = format!("at most {READS:.1}");
    let name = "one sample through 3072-728-3072, by reading its weights";
    table.add(name, promised, format!("{:.2}", 1.0 / read), 1.0 / read <= READS);
}
