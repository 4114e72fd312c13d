//! Training steps of whole networks.

mod quick;

use criterion::{Criterion, Throughput};
use zor::core::Rule;
use zor::prelude::*;
use zor::tasks::parts::networks;
use zor_benches::noise;

fn main() -> zor::Result<()> {
    let mut criterion = quick::criterion();
    dense(&mut criterion)?;
    convolutional(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// Dense networks that learn to reconstruct noise.
fn dense(criterion: &mut Criterion) -> zor::Result<()> {
    let settings: [(&str, Rule, &dyn Optimizer); 3] = [
        ("classic rule, AdamW", Rule::classic(), &AdamW::default()),
        ("default rule, AdamW", Rule::default(), &AdamW::default()),
        ("default rule, Muon", Rule::default(), &Muon::new(0.02)),
    ];
    for (sizes, batch) in [
        ([784, 64, 784], 10),
        ([784, 64, 784], 48),
        ([784, 64, 784], 512),
        ([3072, 728, 3072], 512),
    ] {
        let name = sizes.map(|size| size.to_string()).join("-");
        let mut group = quick::group(criterion, &format!("step of {name}, batch {batch}"));
        group.throughput(Throughput::Elements(batch as u64));
        for (name, rule, optimizer) in &settings {
            let network = Network::dense(&sizes).rule(rule.clone());
            let mut network = network.build(&Device::flex())?;
            let input = noise([batch, sizes[0]]);
            let mut step = || network.train_batch(*optimizer, input.clone(), input.clone());
            step()?;
            group.bench_function(*name, |bencher| bencher.iter(&mut step));
        }
        group.finish();
    }
    Ok(())
}

/// A small convolutional network that learns to classify noise into ten classes.
fn convolutional(criterion: &mut Criterion) -> zor::Result<()> {
    const BATCH: usize = 128;
    let mut network = networks::small_conv(&[28, 28, 1], 10).build(&Device::flex())?;
    let (input, optimizer) = (noise([BATCH, 28 * 28]), AdamW::default());
    let classes: Vec<usize> = (0..BATCH).map(|row| row % 10).collect();
    let mut step = || network.train_batch(&optimizer, input.clone(), classes.clone());
    step()?;
    let mut group = quick::group(criterion, "step of four convolutions, batch 128");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("default rule, AdamW", |bencher| bencher.iter(&mut step));
    group.finish();
    Ok(())
}
