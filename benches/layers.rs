//! Layers: the forward pass of a training step, and the learning pass after it.

mod quick;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use zor::core::{
    BuildContext, Layer, LayerConfig, LearnPass, Memory, Mode, Pass, Rule, Signal, Workspace,
};
use zor::prelude::*;
use zor::tasks::parts::networks;
use zor_benches::noise;

fn main() -> zor::Result<()> {
    let mut criterion = quick::criterion();
    let maps: &[usize] = &[14, 14, 64];
    let layers: [(&str, &dyn LayerConfig, &[usize], usize); 4] = [
        ("dense 784 to 64", &DenseConfig::new(64), &[784], 48),
        ("dense 3072 to 728", &DenseConfig::new(728), &[3072], 512),
        ("3x3 convolution, normalisation, gate", &networks::conv_block(64), maps, 32),
        ("batch normalisation", &BatchNormConfig::default(), maps, 32),
    ];
    for (name, config, shape, batch) in layers {
        let mut context = BuildContext::with_random_weights(Rule::default(), 1, &Device::flex());
        let layer = config.build(shape, &mut context)?;
        time(&mut criterion, name, Work::new(layer, shape, batch)?);
    }
    criterion.final_summary();
    Ok(())
}

/// A layer with an input and an error signal.
struct Work {
    layer: Box<dyn Layer>,
    shape: Vec<usize>,
    input: Tensor<2>,
    signal: Tensor<2>,
    memory: Memory,
    workspace: Workspace,
    optimizer: AdamW,
}

impl Work {
    fn new(layer: Box<dyn Layer>, shape: &[usize], batch: usize) -> zor::Result<Self> {
        let output = layer.output_shape(shape)?;
        Ok(Self {
            layer,
            shape: shape.to_vec(),
            input: noise([batch, shape.iter().product()]),
            signal: noise([batch, output.iter().product()]),
            memory: Memory::default(),
            workspace: Workspace::new(&Device::flex()),
            optimizer: AdamW::default(),
        })
    }

    fn forward(&mut self) {
        let Self { memory, workspace, shape, .. } = self;
        let mut pass = Pass::new(memory, workspace, Mode::Train, shape);
        let output = self.layer.forward(self.input.clone(), &mut pass);
        self.workspace.give(output);
    }

    /// Returns the time of the learning pass. The signal is copied first, so that it can be changed
    /// in place.
    fn learn(&mut self) -> Duration {
        let Self { memory, workspace, shape, optimizer, .. } = self;
        let signal = Signal::new(self.signal.clone().mul_scalar(1.0));
        let start = Instant::now();
        let mut pass = LearnPass::new(memory, workspace, optimizer, shape);
        let below = self.layer.learn(signal, &mut pass);
        let time = start.elapsed();
        self.workspace.give(below.values);
        time
    }
}

fn time(criterion: &mut Criterion, name: &str, mut work: Work) {
    let mut group = quick::group(criterion, name);
    group.throughput(Throughput::Elements(work.input.dims()[0] as u64));
    group.bench_function("forward", |bencher| bencher.iter(|| work.forward()));
    group.bench_function("learn", |bencher| {
        bencher.iter_custom(|iterations| {
            let learn = |_| {
                work.forward();
                work.learn()
            };
            (0..iterations).map(learn).sum()
        });
    });
    group.finish();
}
