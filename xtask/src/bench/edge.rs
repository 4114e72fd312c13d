//! The runtime for small devices on one core of this machine: the time that silent inputs save,
//! comparisons with other runtimes, and training on ten images.
//!
//! Matrix-vector products are those of a single dense layer, on 32 inputs in turn with random
//! silent values. For weights out of cache, copies of the layer of 256 MB in all take turns.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Instant;

use serde_json::{Map, Value, json};
use zor::compile::Program;
use zor::core::Network;
use zor::core::burn::tensor::activation;
use zor::export::{self, DType, ProductStrategy};
use zor::prelude::*;
use zor::task::{Data, Figure, Model, Plan};
use zor::tasks::parts::data_sets::FashionMnistSet;
use zor::tasks::parts::images;
use zor::training::{Method, Training};
use zor_edge::{Learner, Optimizer, Rule, state_len, weights_len};

use super::common::{model, train_to_end};
use super::peers::{Numbers, Peer};
use super::process_memory;
use super::rounds::{self, Contender};
use super::spread::Spread;
use super::suite::Suite;
use crate::data::Loader;
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite = Suite {
    name: "edge",
    data: Some(&FashionMnistSet),
    peer: Some("onnx"),
    run: |filter, _| run(filter.peers),
    figures,
};

const ROUNDS: usize = 9;
/// Number of inputs that take turns.
const INPUTS: usize = 32;
/// Bytes of weights that exceed all caches.
const OUT_OF_CACHE: usize = 256 << 20;
const SIZES: [[usize; 2]; 5] = [NARROW, SHOWN, [728, 3072], [3072, 728], [3072, 3072]];
/// A layer with few outputs: the time to read its rows from memory, without arithmetic, is measured
/// too.
const NARROW: [usize; 2] = [784, 64];
/// Offset of the weights of the only layer in a program.
const WEIGHTS: usize = 128;
/// A layer with more outputs to finish than inputs to skip: silence has no promise there.
const SHOWN: [usize; 2] = [64, 784];
/// Percentage of silent inputs, and the minimum speed relative to the dense path.
const SILENT: [(usize, Option<f64>); 4] = [(0, None), (50, Some(1.5)), (75, None), (90, Some(5.0))];
/// Maximum time relative to the dense path where no input is silent.
const MAX_AT_FULL: f64 = 1.05;
const SEEDS: u64 = 5;
/// Maximum decibels by which the runtime trained on ten images is behind the classic preset.
const MAX_BEHIND: f64 = 0.1;

pub(crate) fn run(peer: bool) -> Result<Value, String> {
    let products = products()?;
    let latency = latency(peer)?;
    let learning = learning()?;
    Ok(json!({ "suite": "edge", "products": products, "latency": latency, "learning": learning }))
}

fn name([inputs, units]: [usize; 2], dtype: DType, cached: bool, silent: usize) -> String {
    let dtype = if dtype == DType::F32 { "f32" } else { "int8" };
    let cache = if cached { "in turn" } else { "out of cache" };
    format!("{inputs}x{units}, {dtype}, {cache}, {silent} % silent")
}

/// Measures the dense path and the path that the runtime chooses, for every size, type and share.
fn products() -> Result<Value, String> {
    let mut all = Map::new();
    println!("{:<46}{:>14}{:>14}{:>26}", "a layer, one core", "dense", "chosen", "dense by chosen");
    for [inputs, units] in SIZES {
        let network = Network::builder(&[inputs]).layer(zor::core::DenseConfig::new(units));
        let network = network.build(&Device::flex()).map_err(text)?;
        for dtype in [DType::F32, DType::I8] {
            let samples = samples(inputs, 0);
            let image = zor::compile::compile(&network, dtype, &samples.concat()).map_err(text)?;
            for cached in [true, false] {
                let copies = if cached { 1 } else { OUT_OF_CACHE / image.bytes().len() };
                let images: Vec<Program> = std::iter::repeat_n(&image, copies).cloned().collect();
                for (silent, _) in SILENT {
                    let reads = !cached && [inputs, units] == NARROW;
                    let inputs = self::samples(inputs, silent);
                    let times = timed(&images, &inputs, reads)?;
                    let (dense, chosen) = (times.of("dense"), times.of("chosen"));
                    let ratio = times.ratio("dense", "chosen");
                    let name = name([samples[0].len(), units], dtype, cached, silent);
                    println!(
                        "{name:<46}{:>11.2} us{:>11.2} us{:>26}",
                        dense.median,
                        chosen.median,
                        ratio.with_unit("")
                    );
                    let mut found = json!({ "dense_us": dense.json(), "chosen_us": chosen.json(), "dense_by_chosen": ratio.json() });
                    if reads {
                        let (alone, ratio) = (times.of(READING), times.ratio("dense", READING));
                        println!(
                            "{:<60}{:>11.2} us{:>26}",
                            READING,
                            alone.median,
                            ratio.with_unit("")
                        );
                        found["reading_us"] = alone.json();
                        found["dense_by_reading"] = ratio.json();
                    }
                    all.insert(name, found);
                }
            }
        }
    }
    Ok(all.into())
}

/// Returns inputs from 0 to 1, with a percentage of silent values in each.
fn samples(inputs: usize, silent: usize) -> Vec<Vec<f32>> {
    let mut random = Random::seeded(silent as u64);
    let value = |random: &mut Random| 1.0 - random.uniform();
    (0..INPUTS)
        .map(|_| {
            let mut sample: Vec<f32> = (0..inputs).map(|_| value(&mut random)).collect();
            let mut order: Vec<usize> = (0..inputs).collect();
            // The first values of a shuffled order.
            for at in 0..inputs * silent / 100 {
                let other = at + random.below(inputs - at);
                order.swap(at, other);
                sample[order[at]] = 0.0;
            }
            sample
        })
        .collect()
}

const READING: &str = "reading their rows, and nothing else";

/// Reads a byte of every cache line of the weights of inputs that are not silent, after prefetching
/// all of them.
fn read_rows(image: &Program, rows: &[usize], length: usize) -> u8 {
    let bytes = |row: &usize| image.bytes()[WEIGHTS + row * length..][..length].iter().step_by(64);
    #[cfg(target_arch = "x86_64")]
    for byte in rows.iter().flat_map(bytes) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: every x86-64 processor has this prefetch, and the byte exists.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(byte).cast()) };
    }
    rows.iter().flat_map(bytes).fold(0, |all, byte| all ^ byte)
}

fn timed(images: &[Program], samples: &[Vec<f32>], reads: bool) -> Result<rounds::Times, String> {
    let own: Vec<_> =
        images.iter().map(|image| image.network().map_err(text)).collect::<Result<_, _>>()?;
    let dense: Vec<_> =
        own.iter().map(|network| network.with_strategy(ProductStrategy::Dense)).collect();
    let mut output = vec![0.0; own[0].output_shape().iter().product()];
    let mut scratch = vec![0.0; own[0].scratch_len()];
    // About ten milliseconds per round, and all copies at least once.
    let once = images[0].bytes().len() / 10_000 + 1;
    let n = (10_000 / once).clamp(8, 4000).max(images.len().min(2000));
    let mut answer = |networks: &[zor_edge::Network<'_>]| {
        let start = Instant::now();
        for (index, network) in networks.iter().cycle().take(n).enumerate() {
            let sample = &samples[index % samples.len()];
            network.run(sample, &mut output, &mut scratch).map_err(text)?;
            black_box(&output);
        }
        Ok(start.elapsed().as_secs_f64() * 1e6 / n as f64)
    };
    let answer = RefCell::new(&mut answer);
    let mut contenders: Vec<Contender<'_>> = vec![
        ("chosen", Box::new(|| (answer.borrow_mut())(&own))),
        ("dense", Box::new(|| (answer.borrow_mut())(&dense))),
    ];
    if reads {
        let active =
            |sample: &Vec<f32>| (0..sample.len()).filter(|at| sample[*at] != 0.0).collect();
        let rows: Vec<Vec<usize>> = samples.iter().map(active).collect();
        let length = own[0].output_shape().iter().product::<usize>() * own[0].dtype().size();
        contenders.push((
            READING,
            Box::new(move || {
                let start = Instant::now();
                for (index, image) in images.iter().cycle().take(n).enumerate() {
                    black_box(read_rows(image, &rows[index % rows.len()], length));
                }
                Ok(start.elapsed().as_secs_f64() * 1e6 / n as f64)
            }),
        ));
    }
    rounds::run(ROUNDS, "us", contenders)
}

const ZOR: [&str; 2] = ["zor-edge, f32", "zor-edge, int8"];
const SPARSE: [&str; 2] = ["zor-edge, f32, 10 % fire", "zor-edge, int8, 10 % fire"];
const BURN: &str = "burn on Flex, f32";
const ONNX: [&str; 3] =
    ["ONNX Runtime, f32", "ONNX Runtime, int8", "ONNX Runtime, an empty network"];

/// Measures the prediction of an image by 784-64-784 on one thread, compared with other runtimes.
fn latency(peer: bool) -> Result<Value, String> {
    let mut loader = Loader::default();
    let (dense, data) = reconstruction("", &mut loader)?;
    let (sparse, _) = reconstruction("target_spike_rate = 0.1", &mut loader)?;
    let weights = weights(&dense.network);
    let evaluation = images::of(&*data.evaluation).map_err(text)?;
    let pixels = evaluation.first(100).map_err(text)?.pixels();
    let samples: Vec<&[f32]> = pixels.chunks_exact(784).collect();
    let tensors: Vec<Tensor<2>> = samples
        .iter()
        .map(|s| matrix(s, 1, &Device::flex()).map_err(text))
        .collect::<Result<_, _>>()?;
    let image =
        |model: &Model, dtype| export::export(model, &data, dtype, &Device::flex()).map_err(text);
    let images = [
        image(&dense, DType::F32)?,
        image(&dense, DType::I8)?,
        image(&sparse, DType::F32)?,
        image(&sparse, DType::I8)?,
    ];
    const N: usize = 1000;
    let own = |image: &Program| -> Result<f64, String> {
        let network = image.network().map_err(text)?;
        let (mut output, mut scratch) = (vec![0.0; 784], vec![0.0; network.scratch_len()]);
        let start = Instant::now();
        for sample in samples.iter().cycle().take(N) {
            network.run(sample, &mut output, &mut scratch).map_err(text)?;
            black_box(&output);
        }
        Ok(start.elapsed().as_secs_f64() * 1e6 / N as f64)
    };
    let parameters = dense.network.layers().iter().flat_map(|layer| layer.parameters());
    let tensor_weights: Vec<Tensor<2>> = parameters.map(|weight| weight.value()).collect();
    let burn = || {
        let start = Instant::now();
        for sample in tensors.iter().cycle().take(N) {
            let hidden = activation::relu(sample.clone().matmul(tensor_weights[0].clone()));
            black_box(hidden.matmul(tensor_weights[1].clone()));
        }
        Ok(start.elapsed().as_secs_f64() * 1e6 / N as f64)
    };
    let numbers = peer.then(|| Numbers::write("edge.f32", &[&weights, &pixels])).transpose()?;
    let onnx = match &numbers {
        Some(numbers) => {
            let arguments = [numbers.path(), "784".into(), "64".into(), "784".into()];
            Some(RefCell::new(Peer::start("onnx_dense.py", &arguments)?))
        }
        None => None,
    };
    let mut memory = Map::new();
    for runtime in HELD {
        let bytes = 1e6
            * process_memory::of_network(&format!("{}{runtime}", process_memory::HELD), &WIDTHS)?;
        println!("{runtime}: {bytes:.0} bytes");
        memory.insert(runtime.to_owned(), bytes.into());
    }
    if let Some(onnx) = &onnx {
        for dtype in ["f32", "int8"] {
            let bytes = onnx.borrow_mut().number(&format!("memory-{dtype}"))?;
            println!("ONNX Runtime, {dtype}: {bytes:.0} bytes");
            memory.insert(format!("onnx-{dtype}"), bytes.into());
        }
    }
    let mut contenders: Vec<Contender<'_>> = Vec::new();
    for (name, image) in ZOR.into_iter().chain(SPARSE).zip(&images) {
        contenders.push((name, Box::new(move || own(image))));
    }
    contenders.push((BURN, Box::new(burn)));
    if let Some(onnx) = &onnx {
        for (name, question) in ONNX.into_iter().zip(["f32", "int8", "empty"]) {
            contenders.push((
                name,
                Box::new(move || onnx.borrow_mut().number(&format!("{question} {N}"))),
            ));
        }
    }
    let times = rounds::run(ROUNDS, "us", contenders)?;
    let mut report = times.report("one image through 784-64-784, one thread");
    for (ours, theirs) in pairs() {
        report[format!("{theirs} by {ours}")] = times.ratio(theirs, ours).json();
    }
    report["memory"] = memory.into();
    Ok(report)
}

/// Pairs to compare: the dense and the sparse network with other runtimes.
fn pairs() -> Vec<(&'static str, &'static str)> {
    vec![
        (ZOR[0], BURN),
        (ZOR[0], ONNX[0]),
        (ZOR[1], ONNX[1]),
        (SPARSE[0], BURN),
        (SPARSE[0], ONNX[0]),
        (SPARSE[1], ONNX[1]),
    ]
}

/// Number of networks that a process holds at once, so that memory that is free before counts
/// little.
const COPIES: usize = 64;
const HELD: [&str; 3] = ["f32", "int8", "burn"];

/// Returns the mean bytes by which this process grows for a dense network that has run once, with
/// its input and output.
pub(super) fn held(runtime: &str, sizes: &[usize]) -> Result<u64, String> {
    let network = Network::dense(sizes).build(&Device::flex()).map_err(text)?;
    let samples = samples(sizes[0], 0);
    if runtime == HELD[2] {
        let weights = weights(&network);
        return grown(|| {
            let (input, mut at) = (matrix(&samples[0], 1, &Device::flex()).map_err(text)?, 0);
            let mut held = vec![input.clone()];
            let mut values = input;
            for (layer, pair) in sizes.windows(2).enumerate() {
                let of_layer = &weights[at..at + pair[0] * pair[1]];
                let tensor = matrix(of_layer, pair[0], &Device::flex()).map_err(text)?;
                values = values.matmul(tensor.clone());
                if layer + 2 < sizes.len() {
                    values = activation::relu(values);
                }
                held.push(tensor);
                at += of_layer.len();
            }
            held.push(values);
            Ok(held)
        });
    }
    let dtype = if runtime == HELD[0] { DType::F32 } else { DType::I8 };
    let image = zor::compile::compile(&network, dtype, &samples.concat()).map_err(text)?;
    grown(|| {
        let (image, input) = (image.clone(), samples[0].clone());
        let network = image.network().map_err(text)?;
        let mut output = vec![0.0; network.output_shape().iter().product()];
        let mut scratch = vec![0.0; network.scratch_len()];
        network.run(&input, &mut output, &mut scratch).map_err(text)?;
        Ok((image, input, output, scratch))
    })
}

fn grown<T>(make: impl Fn() -> Result<T, String>) -> Result<u64, String> {
    let _first = make()?;
    let before = process_memory::status("VmRSS")?;
    let held: Vec<T> = (0..COPIES).map(|_| make()).collect::<Result<_, _>>()?;
    let bytes = process_memory::status("VmRSS")?.saturating_sub(before) / held.len() as u64;
    Ok(bytes)
}

fn weights(network: &Network) -> Vec<f32> {
    let all = network.layers().iter().flat_map(|layer| layer.parameters());
    all.flat_map(|weight| weight.value().into_data().iter::<f32>().collect::<Vec<_>>()).collect()
}

/// Returns the network trained on all images, with more settings in TOML.
fn reconstruction(more: &str, loader: &mut Loader) -> Result<(Model, Data), String> {
    let plan = plan(&format!("train_samples = 'all'\n{more}"))?;
    let (trained, data) = trained(&plan, loader)?;
    Ok((model(trained.network, &plan), data))
}

/// Returns settings of reconstruction, with some given in TOML.
fn plan(given: &str) -> Result<Plan, String> {
    Plan::parse(&format!("task = 'fashion-reconstruction'\n{given}")).map_err(text)
}

fn trained(plan: &Plan, loader: &mut Loader) -> Result<(Training, Data), String> {
    let data = loader.load(plan)?;
    let trained = train_to_end(plan, &data, Method::LocalRule)?;
    Ok((trained, data))
}

const WIDTHS: [usize; 3] = [784, 64, 784];

/// Trains on ten images without augmentation, 500 steps of the classic rule, with Zor and with the
/// runtime for small devices.
fn learning() -> Result<Value, String> {
    let (mut preset, mut runtime, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    let mut loader = Loader::default();
    for seed in 0..SEEDS {
        let plan = plan(&format!("rule = 'classic'\naugment = false\nseed = {seed}"))?;
        let (trained, data) = trained(&plan, &mut loader)?;
        let train = images::of(&*data.train).map_err(text)?;
        let evaluation = images::of(&*data.evaluation).map_err(text)?.pixels();
        preset.push(trained.evaluation().headline().map_or(f64::NAN, Figure::shown_value));
        let (samples, rows) = (train.pixels(), train.len());
        let mut weights = vec![0.0; weights_len(&WIDTHS)];
        let mut state = vec![0.0; state_len(&WIDTHS, rows, &Optimizer::CLASSIC)];
        let learner = Learner::new(
            &WIDTHS,
            rows,
            Rule::CLASSIC,
            Optimizer::CLASSIC,
            &mut weights,
            &mut state,
        );
        let mut learner = learner.map_err(text)?;
        learner.draw_weights(seed);
        let start = Instant::now();
        for _ in 0..trained.steps {
            learner.learn(&samples, zor_edge::Target::Values(&samples)).map_err(text)?;
        }
        seconds.push(start.elapsed().as_secs_f64());
        let (mut scratch, mut outputs) = (vec![0.0; 2 * 784], Vec::new());
        for sample in evaluation.chunks_exact(784) {
            let mut output = [0.0; 784];
            learner.predict(sample, &mut output, &mut scratch).map_err(text)?;
            outputs.extend(output);
        }
        runtime.push(ErrorMetrics::between(&evaluation, &outputs).map_err(text)?.psnr_db());
    }
    let (preset, runtime, seconds) =
        (Spread::of(&preset), Spread::of(&runtime), Spread::of(&seconds));
    println!(
        "ten images, classic rule, {SEEDS} seeds: preset {}, runtime {} in {}",
        preset.with_unit(" dB"),
        runtime.with_unit(" dB"),
        seconds.with_unit(" s")
    );
    let state = 4 * (weights_len(&WIDTHS) + state_len(&WIDTHS, 10, &Optimizer::CLASSIC));
    Ok(json!({
        "preset_db": preset.json(), "runtime_db": runtime.json(), "runtime_seconds": seconds.json(),
        "bytes_adam": state,
    }))
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for size in SIZES {
        for dtype in [DType::F32, DType::I8] {
            for cached in [true, false] {
                for (silent, times) in SILENT {
                    let name = name(size, dtype, cached, silent);
                    let ratio = Spread::read(&raw["products"][&name]["dense_by_chosen"]);
                    if silent == 0 {
                        let inverse = ratio.inverse();
                        let promised = format!("at most {MAX_AT_FULL:.2} times dense");
                        let kept = inverse.median <= MAX_AT_FULL;
                        table.add(&name, promised, inverse.with_unit(""), kept);
                    } else {
                        let times = times.filter(|_| size != SHOWN);
                        let promised = times.map_or("-".to_owned(), |times| {
                            format!("at least {times:.1} times as fast as dense")
                        });
                        let kept = times.is_none_or(|times| ratio.median >= times);
                        table.add(&name, promised, ratio.with_unit(""), kept);
                        if let Some(alone) = raw["products"][&name].get("dense_by_reading") {
                            let name = format!("{name}: dense, relative to {READING}");
                            table.add(
                                &name,
                                "-".to_owned(),
                                Spread::read(alone).with_unit(""),
                                true,
                            );
                        }
                    }
                }
            }
        }
    }
    for (ours, theirs) in pairs() {
        let ratio = Spread::read(&raw["latency"][format!("{theirs} by {ours}")]);
        let name = format!("784-64-784: time of {theirs}, relative to {ours}");
        table.add(&name, "at least 1".to_owned(), ratio.with_unit(""), ratio.median >= 1.0);
    }
    for (own, others) in [("f32", ["burn", "onnx-f32"]), ("int8", ["burn", "onnx-int8"])] {
        let bytes = |name: &str| raw["latency"]["memory"][name].as_f64().unwrap_or(f64::NAN);
        let least = others.into_iter().map(bytes).fold(f64::INFINITY, f64::min);
        let [burn, onnx] = others.map(|other| bytes(other) / 1e3);
        table.add(
            &format!("784-64-784: memory of zor-edge, {own}"),
            format!("at most that of burn ({burn:.0} KB) and ONNX Runtime ({onnx:.0} KB)"),
            format!("{:.0} KB", bytes(own) / 1e3),
            bytes(own) <= least,
        );
    }
    let empty = Spread::read(&raw["latency"][ONNX[2]]["us"]);
    table.add(
        "cost of a call of ONNX Runtime from Python",
        "-".to_owned(),
        empty.with_unit(" us"),
        true,
    );
    let learning = &raw["learning"];
    let [preset, runtime] = ["preset_db", "runtime_db"].map(|name| Spread::read(&learning[name]));
    let promised = format!("at least {:.2} dB", preset.median - MAX_BEHIND);
    let name = "runtime trained on ten images, 5 seeds";
    table.add(
        name,
        promised,
        runtime.with_unit(" dB"),
        runtime.median >= preset.median - MAX_BEHIND,
    );
}
