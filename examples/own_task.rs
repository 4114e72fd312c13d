//! A custom task with the whole command: training, checkpoints, resume, reports and pictures.
//!
//! ```text
//! cargo run --release -p zor-examples --example own_task -- train spirals
//! ```
use std::process::ExitCode;

use zor::core::ops;
use zor::data::{ImageShape, InMemory, Values};
use zor::prelude::*;
use zor::report::{Picture, Report, Watch};
use zor::settings::{OptimizerName, Options, Settings};
use zor::task::{Data, Outcome, Task};

/// Side of the picture in pixels.
const SIDE: usize = 96;

/// Classification of points in the plane that belong to one of two spirals.
#[derive(Debug)]
struct Spirals;

impl Task for Spirals {
    fn name(&self) -> &'static str {
        "spirals"
    }

    fn about(&self) -> &'static str {
        "Learn to classify the points of two spirals"
    }

    fn preset(&self, _: &Options) -> Settings {
        Settings {
            steps: 2000,
            batch: 100,
            hidden: 64,
            optimizer: OptimizerName::AdamW,
            learning_rate: 5e-3,
            ..Settings::default()
        }
    }

    fn load(&self, settings: &Settings, _: &mut dyn FnMut(&str)) -> zor::Result<Data> {
        let (train, evaluation) = (points(1000, settings.seed)?, points(500, settings.seed + 1)?);
        Ok(Data { unit: "points", ..Data::new(train, evaluation, 2) })
    }

    fn network(
        &self,
        settings: &Settings,
        input: &[usize],
        classes: usize,
    ) -> zor::Result<NetworkBuilder> {
        let mut network = Network::builder(input);
        for _ in 0..2 {
            let dense = network.layer(DenseConfig::new(settings.hidden));
            network = dense.layer(BiasConfig::default()).layer(GateConfig::default());
        }
        Ok(network.layer(DenseConfig::new(classes)))
    }

    fn report(&self, outcome: &Outcome<'_>, _: &mut dyn Watch, report: &mut Report) {
        let picture = regions(outcome.network, outcome.device);
        if let Some(pixels) = report.keep(picture) {
            let shape = ImageShape { height: SIDE, width: SIDE, channels: 1 };
            report.pictures.push(Picture::Grid { file: "regions.png", rows: vec![pixels], shape });
        }
    }
}

/// Generates points of both spirals in turn, with some noise.
fn points(n: usize, seed: u64) -> zor::Result<InMemory> {
    let mut random = Random::seeded(seed);
    let (mut inputs, mut classes) = (Vec::new(), Vec::new());
    for index in 0..n {
        let class = index % 2;
        let along = random.uniform().sqrt();
        let angle = 3.0 * std::f32::consts::PI * along + std::f32::consts::PI * class as f32;
        for value in [angle.cos(), angle.sin()] {
            inputs.push(along * value + 0.02 * random.normal());
        }
        classes.push(class as u32);
    }
    Ok(InMemory::new("spirals", &[2], inputs, Values::Integers(classes))?)
}

/// Renders the probability of the second class over the plane from -1 to 1.
fn regions(network: &Network, device: &Device) -> zor::Result<Vec<f32>> {
    let place = |at: usize| 2.0 * at as f32 / (SIDE - 1) as f32 - 1.0;
    let plane = (0..SIDE * SIDE).flat_map(|at| [place(at % SIDE), place(at / SIDE)]);
    let plane: Vec<f32> = plane.collect();
    let scores = ops::read(network.predict(matrix(&plane, SIDE * SIDE, device)?)?)?;
    let lighter = |scores: &[f32]| 1.0 / (1.0 + (scores[0] - scores[1]).exp());
    Ok(scores.chunks_exact(2).map(lighter).collect())
}

fn main() -> ExitCode {
    zor::command(&[&Spirals])
}
