//! A random configuration: inputs, network, rule, optimizer. Everything follows from a seed.

use serde_json::{Value, json};
use zor::core::{
    Activation, BatchNormConfig, BiasConfig, BranchConfig, Conv2dConfig, CopyingConfig,
    DenseConfig, DropoutConfig, GateConfig, GroupNormConfig, LayerConfig, Pool2dConfig, Pooling,
    ReshapeConfig, RmsNormConfig, Rule, ScaleConfig, SequentialConfig, SignalGate, SparsityControl,
    SpikeAttentionConfig, TiedEmbeddingConfig, UpsampleConfig,
};
use zor::prelude::*;
use zor::settings::OptimizerName;

/// Kinds of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Vectors.
    Dense,
    /// Maps.
    Convolutional,
    /// Token sequences.
    Sequences,
}

/// Faults of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// All examples are equal.
    Constant,
    /// There are four different examples.
    Duplicated,
    /// One value in a hundred is 10,000 times larger.
    Outliers,
    /// A column is zero.
    DeadColumn,
}

/// Targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// Classes.
    Classes(usize),
    /// Values.
    Values(usize),
    /// The input.
    Reconstruction,
}

/// A layer, or a branch of layers.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Dense(usize),
    Gate(Activation),
    Bias,
    Dropout(f32),
    Scale(f32),
    BatchNorm,
    GroupNorm(usize),
    RmsNorm,
    Residual(Vec<Part>),
    Concatenate(Vec<Part>),
    Convolution { channels: usize, kernel: usize, stride: usize, groups: usize, pool: usize },
    MaxPool,
    AveragePool,
    GlobalPool,
    Upsample,
    Flatten,
    Attention(usize),
}

/// A configuration.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) seed: u64,
    pub(super) kind: Kind,
    /// Shape of an example; vocabulary and width for sequences.
    pub(super) input: Vec<usize>,
    pub(super) layers: Vec<Part>,
    pub(super) aim: Aim,
    pub(super) rule: Rule,
    pub(super) optimizer: OptimizerName,
    pub(super) learning_rate: f32,
    pub(super) batch: usize,
    pub(super) scale: f32,
    pub(super) fault: Fault,
    pub(super) steps: u64,
}

/// Multiply-adds of a whole training that must not be exceeded.
const MOST: f64 = 2e9;
/// Tokens of sequences.
const VOCABULARY: usize = 300;
/// Steps of a training.
const STEPS: [u64; 2] = [24, 200];

impl Case {
    /// The configuration of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let random = &mut random;
        let kind = match random.below(10) {
            0..=6 => Kind::Dense,
            7 | 8 => Kind::Convolutional,
            _ => Kind::Sequences,
        };
        let aim = match (kind, random.below(3)) {
            (Kind::Sequences, _) | (_, 0) => Aim::Classes(2 + random.below(9)),
            (Kind::Convolutional, _) | (_, 1) => Aim::Values(log_uniform(random, 1, 32)),
            _ => Aim::Reconstruction,
        };
        let (input, layers) = match kind {
            Kind::Dense => dense(random, aim),
            Kind::Convolutional => convolutional(random, aim),
            Kind::Sequences => sequences(random),
        };
        let (optimizer, usual) = pick(
            random,
            [
                (OptimizerName::AdamW, 1e-3),
                (OptimizerName::Adam, 1e-3),
                (OptimizerName::Muon, 0.02),
                (OptimizerName::Sgd, 0.05),
            ],
        );
        // Half of the rates are usual ones.
        let larger = if random.chance(0.5) { 0.0 } else { random.between(0.0, 3.0) };
        let learning_rate = usual * 10f32.powf(larger);
        let scale = if random.chance(0.5) { 1.0 } else { 10f32.powf(random.between(-6.0, 6.0)) };
        let fault = match random.below(10) {
            0 => Fault::Constant,
            1 => Fault::Duplicated,
            2 => Fault::Outliers,
            3 => Fault::DeadColumn,
            _ => Fault::None,
        };
        let rule = rule(random);
        let batch = log_uniform(random, 1, 4096);
        let mut case = Self {
            seed,
            kind,
            input,
            layers,
            aim,
            rule,
            optimizer,
            learning_rate,
            batch,
            scale,
            fault,
            steps: STEPS[1],
        };
        case.fit();
        case
    }

    /// Chooses the number of steps, and a smaller batch if need be, such that a training takes a
    /// second or less.
    fn fit(&mut self) {
        let sample = match self.network().build(&Device::flex()) {
            Ok(network) => network.sequential().multiply_adds(&self.shape()) as f64,
            Err(_) => return,
        };
        let steps = (MOST / (3.0 * sample * self.batch as f64)) as u64;
        self.steps = steps.clamp(STEPS[0], STEPS[1]);
        let most = MOST / (3.0 * sample * self.steps as f64);
        self.batch = self.batch.min(most as usize).max(1);
    }

    /// Shape of an example of the network.
    fn shape(&self) -> Vec<usize> {
        if self.kind == Kind::Sequences { vec![1] } else { self.input.clone() }
    }

    /// The configuration of a seed with dense layers, each but the last one with a gate without a
    /// state, which other libraries can build too.
    pub(super) fn plain(seed: u64) -> Self {
        let mut case = Self::of(seed);
        let mut random = Random::stream(seed, 1);
        let random = &mut random;
        case.kind = Kind::Dense;
        case.aim = match random.below(3) {
            0 => Aim::Classes(2 + random.below(9)),
            1 => Aim::Values(log_uniform(random, 1, 32)),
            _ => Aim::Reconstruction,
        };
        case.rule = Rule { stateful: false, target_spike_rate: None, ..case.rule };
        let inputs = log_uniform(random, 1, 512);
        case.input = vec![inputs];
        case.layers.clear();
        for _ in 1..log_uniform(random, 1, 24) {
            case.layers.push(Part::Dense(log_uniform(random, 1, 512)));
            case.layers.push(Part::Gate(Activation::None));
        }
        case.layers.push(Part::Dense(outputs(case.aim, inputs)));
        case.batch = log_uniform(random, 1, 4096);
        case.fit();
        case
    }

    /// A plain configuration for a program in another language.
    pub(super) fn json(&self) -> Value {
        let units = self.layers.iter().filter_map(|part| match part {
            Part::Dense(units) => Some(*units),
            _ => None,
        });
        let sizes: Vec<usize> = self.input.iter().copied().chain(units).collect();
        let aim = match self.aim {
            Aim::Classes(_) => "classes",
            Aim::Values(_) => "values",
            Aim::Reconstruction => "reconstruction",
        };
        json!({
            "seed": self.seed, "sizes": sizes, "aim": aim, "rule": self.rule,
            "optimizer": self.optimizer, "learning_rate": self.learning_rate,
            "batch": self.batch, "scale": self.scale, "fault": format!("{:?}", self.fault),
            "steps": self.steps,
        })
    }

    /// The network.
    pub(super) fn network(&self) -> NetworkBuilder {
        let builder = match self.kind {
            Kind::Sequences => {
                let copies = CopyingConfig::new(8);
                let mut tied =
                    TiedEmbeddingConfig::new(self.input[0], self.input[1]).copies(copies);
                for part in &self.layers {
                    tied = tied.boxed_layer(part.config());
                }
                Network::builder(&[1]).layer(tied)
            }
            _ => self.layers.iter().fold(Network::builder(&self.input), |network, part| {
                network.boxed_layer(part.config())
            }),
        };
        builder.rule(self.rule.clone()).seed(self.seed)
    }
}

impl Part {
    fn config(&self) -> Box<dyn LayerConfig> {
        let branch = |mut branch: BranchConfig, parts: &[Self]| {
            for part in parts {
                branch = branch.boxed_layer(part.config());
            }
            branch
        };
        match self {
            Self::Dense(units) => Box::new(DenseConfig::new(*units)),
            Self::Gate(activation) => {
                Box::new(GateConfig { activation: activation.clone(), ..GateConfig::default() })
            }
            Self::Bias => Box::new(BiasConfig::default()),
            Self::Dropout(probability) => Box::new(DropoutConfig::new(*probability)),
            Self::Scale(factor) => Box::new(ScaleConfig::new(*factor)),
            Self::BatchNorm => Box::new(BatchNormConfig::default()),
            Self::GroupNorm(groups) => Box::new(GroupNormConfig::new(*groups)),
            Self::RmsNorm => Box::new(RmsNormConfig::default()),
            Self::Residual(parts) => Box::new(branch(BranchConfig::residual(), parts)),
            Self::Concatenate(parts) => Box::new(branch(BranchConfig::concatenate(), parts)),
            Self::Convolution { channels, kernel, stride, groups, pool } => {
                let config = Conv2dConfig::same(*channels, *kernel).with_groups(*groups);
                let config = config.with_stride(*stride);
                Box::new(if *pool > 1 { config.with_max_pool(*pool) } else { config })
            }
            Self::MaxPool => Box::new(Pool2dConfig::max(2)),
            Self::AveragePool => Box::new(Pool2dConfig::average(2)),
            Self::GlobalPool => Box::new(Pool2dConfig::global(Pooling::Average)),
            Self::Upsample => Box::new(UpsampleConfig::new(2)),
            Self::Flatten => Box::new(ReshapeConfig::flatten()),
            Self::Attention(heads) => Box::new(
                SequentialConfig::new()
                    .layer(SpikeAttentionConfig::new(*heads))
                    .layer(RmsNormConfig::default()),
            ),
        }
    }
}

/// One of some values.
fn pick<T: Copy, const N: usize>(random: &mut Random, of: [T; N]) -> T {
    of[random.below(N)]
}

/// A number whose logarithm is uniform.
fn log_uniform(random: &mut Random, low: usize, high: usize) -> usize {
    let log = random.between((low as f32).ln(), (high as f32 + 0.5).ln());
    (log.exp() as usize).clamp(low, high)
}

fn activation(random: &mut Random) -> Activation {
    match random.below(12) {
        0 => Activation::Relu,
        1 => Activation::Gelu,
        2 => Activation::Tanh,
        3 => Activation::Sigmoid,
        4 => Activation::Silu,
        _ => Activation::None,
    }
}

/// What may follow weights with this number of features.
fn behind(random: &mut Random, features: usize) -> Vec<Part> {
    let mut parts = Vec::new();
    match random.below(8) {
        0 => parts.push(Part::BatchNorm),
        1 => parts.push(Part::GroupNorm(1)),
        2 if features.is_multiple_of(2) => parts.push(Part::GroupNorm(2)),
        3 => parts.push(Part::RmsNorm),
        4 => parts.push(Part::Bias),
        _ => {}
    }
    if !random.chance(0.1) {
        parts.push(Part::Gate(activation(random)));
    }
    match random.below(12) {
        0 => parts.push(Part::Dropout(random.between(0.0, 0.9))),
        1 => parts.push(Part::Scale(10f32.powf(random.between(-3.0, 3.0)))),
        _ => {}
    }
    parts
}

fn dense(random: &mut Random, aim: Aim) -> (Vec<usize>, Vec<Part>) {
    let inputs = log_uniform(random, 1, 512);
    let mut layers = Vec::new();
    if random.chance(0.2) {
        layers.push(Part::Gate(Activation::None));
    }
    let mut features = inputs;
    for _ in 0..log_uniform(random, 1, 24) {
        let units = log_uniform(random, 1, 512);
        match random.below(6) {
            0 => {
                let mut inside = vec![Part::Dense(units)];
                inside.extend(behind(random, units));
                inside.push(Part::Dense(features));
                layers.push(Part::Residual(inside));
            }
            1 if features < 512 => {
                layers.push(Part::Concatenate(vec![Part::Dense(8), Part::Gate(Activation::None)]));
                features += 8;
            }
            _ => {
                layers.push(Part::Dense(units));
                layers.extend(behind(random, units));
                features = units;
            }
        }
    }
    layers.push(Part::Dense(outputs(aim, inputs)));
    (vec![inputs], layers)
}

fn outputs(aim: Aim, inputs: usize) -> usize {
    match aim {
        Aim::Classes(n) | Aim::Values(n) => n,
        Aim::Reconstruction => inputs,
    }
}

fn convolutional(random: &mut Random, aim: Aim) -> (Vec<usize>, Vec<Part>) {
    let side = 4 + random.below(13);
    let input = vec![side, 4 + random.below(13), pick(random, [1, 3])];
    let mut layers = Vec::new();
    let mut channels = input[2];
    for _ in 0..1 + random.below(6) {
        match random.below(8) {
            0 => layers.push(Part::MaxPool),
            1 => layers.push(Part::AveragePool),
            2 => layers.push(Part::Upsample),
            3 => {
                let inside =
                    Part::Convolution { channels, kernel: 3, stride: 1, groups: 1, pool: 1 };
                layers.push(Part::Residual(vec![inside, Part::Gate(Activation::None)]));
            }
            _ => {
                let before = channels;
                channels = pick(random, [2, 4, 8, 16]);
                let groups = if random.chance(0.2) && before == channels { channels } else { 1 };
                layers.push(Part::Convolution {
                    channels,
                    kernel: pick(random, [1, 3, 5]),
                    stride: pick(random, [1, 1, 2]),
                    groups,
                    pool: pick(random, [1, 1, 2]),
                });
                layers.extend(behind(random, channels));
            }
        }
    }
    layers.push(if random.chance(0.5) { Part::GlobalPool } else { Part::Flatten });
    layers.push(Part::Flatten);
    layers.push(Part::Dense(outputs(aim, 1)));
    (input, layers)
}

/// Blocks of attention and dense layers.
fn sequences(random: &mut Random) -> (Vec<usize>, Vec<Part>) {
    let heads = 1 + random.below(4);
    let width = 2 * heads * (1 + random.below(12));
    let mut layers = Vec::new();
    for _ in 0..1 + random.below(4) {
        let attended = vec![
            Part::RmsNorm,
            Part::Dense(3 * width),
            Part::Attention(heads),
            Part::Dense(width),
            Part::Dropout(random.between(0.0, 0.5)),
        ];
        let mut fed_forward = vec![Part::Dense(2 * width)];
        fed_forward.extend(behind(random, 2 * width));
        fed_forward.push(Part::Dense(width));
        for part in [attended, fed_forward] {
            match random.chance(0.8) {
                true => layers.push(Part::Residual(part)),
                false => layers.extend(part),
            }
        }
    }
    (vec![VOCABULARY, width], layers)
}

fn rule(random: &mut Random) -> Rule {
    let rule = match random.below(4) {
        0 => Rule::classic(),
        1 => Rule::backprop(),
        _ => Rule::default(),
    };
    if random.chance(0.5) {
        return rule;
    }
    Rule {
        threshold: pick(random, [-2.0, -0.5, 0.0, 0.1, 1.0]),
        target_spike_rate: random.chance(0.2).then(|| random.between(0.02, 1.0)),
        sparsity: pick(random, [SparsityControl::Threshold, SparsityControl::Inhibition]),
        signal_gate: pick(random, [SignalGate::OnTheWayDown, SignalGate::InCorrelation]),
        normalize_signal: random.chance(0.5),
        normalize_presynaptic: random.chance(0.5),
        weight_limit: random.chance(0.3).then(|| 10f32.powf(random.between(-2.0, 1.0))),
        initial_scale: 10f32.powf(random.between(-2.0, 1.0)),
        stateful: random.chance(0.1),
        ..rule
    }
}
