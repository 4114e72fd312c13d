//! The time of making one augmented image on one thread: median, fastest and slowest of many
//! batches.

use std::sync::Arc;
use std::time::Instant;

use zor::prelude::*;

const ROWS: usize = 256;
const BATCHES: u64 = 100;

fn main() -> zor::Result<()> {
    let images = Arc::new(FashionMnist::sample()?.train.first_per_class(1)?);
    let warps = Augment { stretch: 0.5, ..Augment::shifts_and_flips(2) };
    let parts = Augment { splice: 0.8, dim: 0.5, fold: 0.35, invert: 0.25, ..warps.clone() };
    let rows = [
        ("as they are", None),
        ("shifts and flips", Some(Augment::shifts_and_flips(4))),
        ("and stretched", Some(warps)),
        ("and spliced, folded, inverted", Some(parts)),
    ];
    println!("{:<32}{:>12}{:>12}{:>12}", "microseconds an image", "median", "fastest", "slowest");
    for (name, augment) in rows {
        let set: Arc<dyn Examples> = match augment {
            Some(augment) => Arc::new(Augmented::new(images.clone(), augment)?),
            None => images.clone(),
        };
        let batches = Batches::new(set, ROWS, Order::Random, 1)?;
        let mut batch = Batch::default();
        let mut times: Vec<f64> = (0..BATCHES)
            .map(|step| {
                let start = Instant::now();
                batches.fill(step, &mut batch);
                start.elapsed().as_secs_f64() * 1e6 / ROWS as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let slowest = times[times.len() - 1];
        println!("{name:<32}{:>12.2}{:>12.2}{slowest:>12.2}", times[times.len() / 2], times[0]);
    }
    Ok(())
}
