//! Depth: credit assignment through many layers, with and without residual paths, under options of
//! the rule.
//!
//! Networks of 2 to 128 hidden layers, dense and convolutional, classify Fashion-MNIST. Each has a
//! stem, equal hidden layers (batch normalization, gate, weights; with a residual path or without),
//! and a linear head. Measured are top-1 and, for one batch after training, the norm of the signal
//! at every hidden layer and the cosine between the update of the layer and the gradient of
//! backpropagation.
//!
//! A network with residual paths may ignore its hidden layers, so the deepest networks have a
//! control: the same network with hidden layers frozen at their initial weights.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use zor::backprop::alignment::{self, cosine, updates};
use zor::core::{LearnPass, Operation, Pass, Signal, SignalGate};
use zor::prelude::*;
use zor::task::Plan;
use zor::tasks;
use zor::tasks::parts::data_sets::FashionMnistSet;
use zor::training::evaluate::evaluate;

use super::common::classes;
use super::spread::Spread;
use super::suite::{Keep, Suite};
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite = Suite {
    name: "depth",
    data: Some(&FashionMnistSet),
    peer: None,
    run: |_, keep| run(keep),
    figures,
};

const DEPTHS: [usize; 5] = [2, 10, 32, 64, 128];
const SEEDS: Range<u64> = 0..3;

/// Kind of the hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 16 units per layer.
    Dense,
    /// 16 channels of 7x7 per layer.
    Convolutional,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Convolutional => "convolutional",
        }
    }

    /// Steps, batch size and maximum learning rate of AdamW.
    fn training(self) -> (u64, usize, f32) {
        match self {
            Self::Dense => (2000, 256, 8e-3),
            Self::Convolutional => (500, 128, 1e-2),
        }
    }

    fn stem(self, network: NetworkBuilder) -> NetworkBuilder {
        match self {
            // With a trained scale, the output of the stem would outgrow that of frozen layers, and
            // the control would be a network without hidden layers.
            Self::Dense => network
                .layer(DenseConfig::new(16))
                .layer(BatchNormConfig { trains_scale: false, ..BatchNormConfig::default() }),
            Self::Convolutional => network.layer(Conv2dConfig::new(16, 4).with_stride(4)),
        }
    }

    fn hidden(self, gate: GateConfig) -> SequentialConfig {
        let layers = SequentialConfig::new().layer(BatchNormConfig::default()).layer(gate);
        match self {
            Self::Dense => {
                layers.layer(DenseConfig { initial_scale: Some(2.0), ..DenseConfig::new(16) })
            }
            Self::Convolutional => {
                layers.layer(Conv2dConfig { initial_scale: Some(1.0), ..Conv2dConfig::same(16, 3) })
            }
        }
    }
}

/// A variant of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Default,
    /// Each gate in a residual block normalizes the signal of every unit to norm one.
    UnitNorm,
    SignalOnly,
    PresynapticOnly,
    Ungated,
    Backprop,
}

impl Variant {
    const OTHERS: [Self; 5] =
        [Self::UnitNorm, Self::SignalOnly, Self::PresynapticOnly, Self::Ungated, Self::Backprop];

    fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::UnitNorm => "units of norm one in blocks",
            Self::SignalOnly => "signal normalised alone",
            Self::PresynapticOnly => "presynaptic activity alone",
            Self::Ungated => "gated in the correlation",
            Self::Backprop => "backprop",
        }
    }

    fn rule(self) -> Rule {
        let default = Rule::default();
        match self {
            Self::Default | Self::UnitNorm => default,
            Self::SignalOnly => Rule { normalize_presynaptic: false, ..default },
            Self::PresynapticOnly => Rule { normalize_signal: false, ..default },
            Self::Ungated => Rule { signal_gate: SignalGate::InCorrelation, ..default },
            Self::Backprop => Rule::backprop(),
        }
    }
}

/// Configuration of a network.
#[derive(Clone, Copy, Debug)]
struct Design {
    kind: Kind,
    residual: bool,
    depth: usize,
    variant: Variant,
    frozen: bool,
    seed: u64,
}

impl Design {
    fn build(&self, device: &Device, norms: &Norms) -> Result<Network, String> {
        let keep_signal_norm = (self.variant == Variant::UnitNorm).then_some(false);
        let gate = GateConfig { keep_signal_norm, ..GateConfig::default() };
        let network = Network::builder(&[28, 28, 1]).rule(self.variant.rule()).seed(self.seed);
        let mut network = self.kind.stem(network);
        for _ in 0..self.depth {
            let hidden = self.kind.hidden(gate.clone());
            network = match self.residual {
                true => network.layer(BranchConfig::residual().layer(hidden)),
                false => network.layer(hidden),
            };
            network = network.layer(ProbeConfig(norms.clone()));
        }
        network = network.layer(BatchNormConfig::default()).layer(GateConfig::default());
        if self.kind == Kind::Convolutional {
            network = network.layer(Pool2dConfig::global(Pooling::Average));
        }
        let mut network = network.layer(DenseConfig::new(10)).build(device).map_err(text)?;
        if self.frozen {
            for layer in network.layers_mut() {
                if matches!(layer.operation(), Ok(Operation::Residual { .. })) {
                    layer.parameters_mut().into_iter().for_each(|p| p.set_frozen(true));
                }
            }
        }
        Ok(network)
    }
}

/// Results of a network.
struct Outcome {
    design: Design,
    top1: f64,
    seconds: f64,
    /// Cosines of the updates of the hidden layers with the gradient of backpropagation, from the
    /// top down.
    cosines: Vec<f64>,
    /// Root mean square of the signal at the hidden layers, from the top down.
    norms: Vec<f64>,
}

impl Outcome {
    fn cosine(&self) -> f64 {
        alignment::mean(&self.cosines)
    }

    fn json(&self) -> Value {
        let Design { kind, residual, depth, variant, frozen, seed } = self.design;
        json!({
            "kind": kind.name(), "residual": residual, "depth": depth, "rule": variant.name(),
            "frozen": frozen, "seed": seed, "top1": self.top1, "train_seconds": self.seconds,
            "cosines": rounded(&self.cosines), "signal_norms": rounded(&self.norms),
        })
    }
}

/// Rounds values to four digits, which keeps files small.
fn rounded(values: &[f64]) -> Vec<f64> {
    values.iter().map(|x| format!("{x:.3e}").parse().unwrap_or(f64::NAN)).collect()
}

/// Trains all networks and prints a table.
pub(crate) fn run(keep: Keep<'_>) -> Result<Value, String> {
    let data = FashionMnist::load(&Locations::from_environment(None)).map_err(text)?;
    let test = data.test.ok_or("the depth suite needs the full Fashion-MNIST (ZOR_DATA_DIR)")?;
    let plan = Plan::of(tasks::named("fashion-classification").map_err(text)?);
    let device = Device::flex();
    let experiment = Experiment { train: data.train.into(), test, plan, device };
    println!(
        "{:<14}{:<10}{:>6} {:<30}{:>22}{:>8}{:>24}{:>8}",
        "hidden",
        "paths",
        "depth",
        "rule",
        "top-1 % [range]",
        "cosine",
        "signal, top to bottom",
        "s"
    );
    let mut raw: Vec<Value> = Vec::new();
    for kind in [Kind::Dense, Kind::Convolutional] {
        let residual = Design {
            kind,
            residual: true,
            depth: 0,
            variant: Variant::Default,
            frozen: false,
            seed: 0,
        };
        for depth in DEPTHS {
            raw.extend(experiment.measure(Design { depth, ..residual }, SEEDS)?);
            if depth >= 64 {
                let control = Design { depth, frozen: true, ..residual };
                raw.extend(experiment.measure(control, SEEDS)?);
            }
        }
        for depth in DEPTHS {
            // Plain networks deeper than ten layers are measured with one seed.
            let seeds = if depth <= 10 { SEEDS } else { 0..1 };
            let design = Design { depth, residual: false, ..residual };
            raw.extend(experiment.measure(design, seeds)?);
        }
        for depth in [10, 64] {
            for variant in Variant::OTHERS {
                raw.extend(experiment.measure(Design { depth, variant, ..residual }, 0..1)?);
            }
        }
        keep(&json!({ "suite": "depth", "runs": raw }))?;
    }
    Ok(json!({ "suite": "depth", "runs": raw }))
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let runs: Vec<&Value> = raw["runs"].as_array().into_iter().flatten().collect();
    for kind in [Kind::Dense, Kind::Convolutional] {
        // Mean and spread of the top-1 of the default rule in percent.
        let top1 = |residual: bool, depth: usize, frozen: bool| {
            let is = |run: &Value| {
                run["kind"] == kind.name()
                    && run["residual"] == residual
                    && run["depth"] == depth
                    && run["frozen"] == frozen
                    && run["rule"] == Variant::Default.name()
            };
            let shares = runs.iter().filter(|run| is(run)).filter_map(|run| run["top1"].as_f64());
            let all: Vec<f64> = shares.map(|share| 100.0 * share).collect();
            (all.iter().sum::<f64>() / all.len() as f64, Spread::of(&all))
        };
        let best = DEPTHS.map(|depth| top1(true, depth, false).0).into_iter().fold(0.0, f64::max);
        for depth in [64, 128] {
            let (mean, spread) = top1(true, depth, false);
            let name = format!("{} residual, {depth} layers", kind.name());
            let measured = ranged(mean, spread, " %");
            let (least, enough) = (best - 1.0, mean >= best - 1.0);
            table.add(&name, format!("at least {least:.2} %"), measured, enough);
            let gain = mean - top1(true, depth, true).0;
            let name = format!("{name}: points over frozen");
            table.add(&name, "at least 3".to_owned(), format!("{gain:.2}"), gain >= 3.0);
        }
        let (two, ten) = (top1(false, 2, false).0, top1(false, 10, false));
        let name = format!("{} plain, 10 layers", kind.name());
        let measured = ranged(ten.0, ten.1, " %");
        table.add(&name, format!("at least {:.2} %", two - 1.0), measured, ten.0 >= two - 1.0);
    }
}

fn ranged(mean: f64, spread: Spread, unit: &str) -> String {
    format!("{mean:.2}{unit} [{:.2}, {:.2}]", spread.lowest, spread.highest)
}

struct Experiment {
    train: Arc<dyn Examples>,
    test: Images,
    /// Settings of an evaluation.
    plan: Plan,
    device: Device,
}

impl Experiment {
    /// Trains a design with these seeds, prints a row, and returns the raw numbers.
    fn measure(&self, design: Design, seeds: Range<u64>) -> Result<Vec<Value>, String> {
        let mut outcomes = Vec::new();
        for seed in seeds {
            outcomes.push(self.train(Design { seed, ..design })?);
        }
        let n = outcomes.len() as f64;
        let mean = |value: fn(&Outcome) -> f64| outcomes.iter().map(value).sum::<f64>() / n;
        let all: Vec<f64> = outcomes.iter().map(|outcome| 100.0 * outcome.top1).collect();
        let edge = |norm: Option<&f64>| norm.copied().unwrap_or(f64::NAN);
        let norms = &outcomes[0].norms;
        println!(
            "{:<14}{:<10}{:>6} {:<30}{:>22}{:>8.2}{:>24}{:>8.1}",
            design.kind.name(),
            if design.residual { "residual" } else { "plain" },
            design.depth,
            if design.frozen { "hidden layers frozen" } else { design.variant.name() },
            ranged(100.0 * mean(|outcome| outcome.top1), Spread::of(&all), ""),
            mean(Outcome::cosine),
            format!("{:.1e} to {:.1e}", edge(norms.first()), edge(norms.last())),
            mean(|outcome| outcome.seconds),
        );
        Ok(outcomes.iter().map(Outcome::json).collect())
    }

    fn train(&self, design: Design) -> Result<Outcome, String> {
        let (steps, rows, rate) = design.kind.training();
        let norms = Norms::default();
        let mut network = design.build(&self.device, &norms)?;
        let optimizer = AdamW::new(Schedule::linear(rate, steps).with_warm_up(steps / 20));
        let batches = Batches::new(self.train.clone(), rows, Order::Shuffled, design.seed);
        let mut prefetch = Prefetch::spawn(batches.map_err(text)?, 0, 4);
        let start = Instant::now();
        for _ in 0..steps {
            let batch = prefetch.next();
            let (input, classes) = (
                matrix(batch.inputs.numbers(), batch.rows, &self.device).map_err(text)?,
                classes(&batch),
            );
            prefetch.recycle(batch);
            network.train_batch(&optimizer, input, classes).map_err(text)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let score = evaluate(&network, &self.plan, &self.test, &self.device).map_err(text)?;
        let (cosines, norms) = self.compare(&network, design, &norms)?;
        let top1 = score.figure("top1").unwrap_or(0.0);
        Ok(Outcome { design, top1, seconds, cosines, norms })
    }

    /// Returns cosines and norms on one batch of the test set.
    fn compare(
        &self,
        network: &Network,
        design: Design,
        norms: &Norms,
    ) -> Result<(Vec<f64>, Vec<f64>), String> {
        let mut batch = Batch::default();
        let set = self.test.first(256).map_err(text)?;
        Batches::new(set, 256, Order::Full, 0).map_err(text)?.fill(0, &mut batch);
        let input = matrix(batch.inputs.numbers(), batch.rows, &self.device).map_err(text)?;
        let mut network = network.clone();
        // Updates of frozen layers are compared too.
        let parameters = network.layers_mut().iter_mut().flat_map(|layer| layer.parameters_mut());
        parameters.for_each(|parameter| parameter.set_frozen(false));
        norms.record(true);
        let ours = updates(&network, input.clone(), classes(&batch)).map_err(text)?;
        let found = norms.record(false);
        // The same network with the rule that is backpropagation: autodiff does not support probes.
        let mut backprop = Design { variant: Variant::Backprop, frozen: false, ..design }
            .build(&self.device, norms)?;
        let from = network.layers().iter().flat_map(|layer| layer.parameters());
        let to = backprop.layers_mut().iter_mut().flat_map(|layer| layer.parameters_mut());
        for (from, to) in from.zip(to) {
            to.set_value(from.value()).map_err(text)?;
        }
        let theirs = updates(&backprop, input, classes(&batch)).map_err(text)?;
        let weights = network.layers().iter().flat_map(|layer| layer.parameters());
        let pairs = weights.zip(ours.iter().zip(&theirs));
        let pairs = pairs.filter(|(parameter, _)| !["scale", "shift"].contains(&parameter.name()));
        let mut all: Vec<f64> = pairs
            .map(|(_, (a, b))| a.as_ref().zip(b.as_ref()).map_or(f64::NAN, |(a, b)| cosine(a, b)))
            .collect();
        // From the top down, in the order of the signal.
        all.reverse();
        // Head and stem are left out.
        Ok((all[1..=design.depth].to_vec(), found))
    }
}

/// Norms of the signal that enabled probes record.
#[derive(Clone, Debug, Default)]
struct Norms(Arc<Mutex<(bool, Vec<f64>)>>);

impl Norms {
    /// Enables or disables recording; returns the norms recorded before.
    fn record(&self, on: bool) -> Vec<f64> {
        let before =
            self.0.lock().map(|mut inner| std::mem::replace(&mut *inner, (on, Vec::new())));
        before.map(|(_, norms)| norms).unwrap_or_default()
    }
}

/// An identity layer that records the norm of the signal.
#[derive(Clone, Debug)]
struct Probe {
    norms: Norms,
}

#[derive(Debug)]
struct ProbeConfig(Norms);

impl LayerConfig for ProbeConfig {
    fn build(&self, _: &[usize], _: &mut BuildContext<'_>) -> zor::core::Result<Box<dyn Layer>> {
        Ok(Box::new(Probe { norms: self.0.clone() }))
    }
}

impl Layer for Probe {
    fn kind(&self) -> &'static str {
        "probe"
    }

    fn output_shape(&self, input: &[usize]) -> zor::core::Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn forward(&self, input: Tensor<2>, _: &mut Pass<'_>) -> Tensor<2> {
        input
    }

    fn learn(&mut self, signal: Signal, _: &mut LearnPass<'_>) -> Signal {
        if let Ok(mut norms) = self.norms.0.lock()
            && norms.0
        {
            let squares = signal.values.clone() * signal.values.clone();
            let mean = squares.mean().into_data().iter::<f64>().next().unwrap_or(f64::NAN);
            norms.1.push(mean.sqrt());
        }
        signal
    }
}
