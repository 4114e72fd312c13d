//! Data augmentation on one thread.

mod quick;

use std::sync::Arc;

use criterion::Throughput;
use zor::prelude::*;

const ROWS: usize = 256;

fn main() -> zor::Result<()> {
    let images = Arc::new(FashionMnist::sample()?.train.first_per_class(1)?);
    let warps = Augment { stretch: 0.5, ..Augment::shifts_and_flips(2) };
    let parts = Augment { splice: 0.8, dim: 0.5, fold: 0.35, invert: 0.25, ..warps.clone() };
    let mut criterion = quick::criterion();
    let mut group = quick::group(&mut criterion, "256 images");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, augment) in [
        ("as they are", None),
        ("shifted and flipped", Some(Augment::shifts_and_flips(4))),
        ("and stretched", Some(warps)),
        ("and spliced, folded, inverted", Some(parts)),
    ] {
        let set: Arc<dyn Examples> = match augment {
            Some(augment) => Arc::new(Augmented::new(images.clone(), augment)?),
            None => images.clone(),
        };
        let batches = Batches::new(set, ROWS, Order::Random, 1)?;
        let (mut batch, mut step) = (Batch::default(), 0);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                batches.fill(step, &mut batch);
                step += 1;
            });
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
