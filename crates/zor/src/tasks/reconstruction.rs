//! Image reconstruction: an autoencoder learns to reproduce images through a bottleneck.

use std::ops::ControlFlow;
use std::sync::Arc;

use zor_core::burn::tensor::Device;
use zor_core::{GateConfig, GatePosition, Input, Network, NetworkBuilder, Rule, Target, ops};
use zor_data::{Augment, Batch, Examples, ImageShape};

use super::parts::comparison::{self, train_backprop};
use super::parts::images::{self, Subject};
use super::parts::networks;
use super::parts::presets::{idle_for_images, photographs, stateless};
use crate::backprop::baseline::{self, Baseline, Output};
use crate::error::Result;
use crate::report::{Picture, Report, Row, Watch};
use crate::settings::{OptimizerName, Options, RuleName, ScheduleName, Settings, TrainingSize};
use crate::task::{
    Data, DataLocation, Evaluation, EvaluationSet, Figure, Model, Outcome, Predict, Score, Task,
    evaluate_with, in_batches, matrix,
};
use crate::training::run_folder::RECONSTRUCTIONS;

/// Maximum number of images in a row of the picture.
pub(crate) const SHOWN: usize = 16;

/// Reconstruction of the user's own images.
pub static RECONSTRUCTION: Reconstruction = Reconstruction {
    name: "reconstruction",
    about: "Reconstruct your own images",
    networks: &["dense", "conv"],
    subject: Subject { check: check_size, ..Subject::OWN },
    preset,
    compares_with: Compared::Backprop,
};

/// A reconstruction task: the parts that differ between data sets.
#[derive(Debug)]
pub struct Reconstruction {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) networks: &'static [&'static str],
    pub(crate) subject: Subject,
    pub(crate) preset: fn(&Options) -> Settings,
    pub(crate) compares_with: Compared,
}

/// Baselines of a reconstruction task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Compared {
    /// Two multilayer perceptrons, trained with burn's autodiff and Adam.
    Perceptrons,
    /// The same network, trained with backpropagation.
    Backprop,
}

impl Task for Reconstruction {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn networks(&self) -> &'static [&'static str] {
        self.networks
    }

    fn commands(&self) -> &'static [&'static str] {
        &["reconstruct"]
    }

    fn preset(&self, given: &Options) -> Settings {
        (self.preset)(given)
    }

    fn without_effect(&self, settings: &Settings) -> Vec<(&'static str, String)> {
        idle_for_images(settings, false, settings.network == "dense", true, false)
    }

    fn load(&self, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Data> {
        self.subject.load(settings, tell)
    }

    fn load_for(&self, model: &Model, place: &DataLocation) -> Result<(Data, Vec<String>)> {
        self.subject.load_for(model, place, None)
    }

    fn evaluation_sets(&self, model: &Model, place: &DataLocation) -> Result<Vec<EvaluationSet>> {
        self.subject.evaluation_sets(model, place, None)
    }

    fn network(&self, settings: &Settings, input: &[usize], _: usize) -> Result<NetworkBuilder> {
        if settings.network == "conv" {
            return Ok(networks::conv_autoencoder(input, settings.hidden));
        }
        let activation = settings.output_activation.clone();
        let output = GateConfig { activation, ..GateConfig::at(GatePosition::Output) };
        let values = input.iter().product();
        Ok(networks::dense(input, &[settings.hidden], values).layer(output))
    }

    fn learned_from(&self, data: &Data, settings: &Settings) -> Result<Arc<dyn Examples>> {
        images::learned_from(data, settings)
    }

    fn pair(&self, batch: &Batch, _: &Settings, device: &Device) -> Result<(Input, Target)> {
        let images = matrix(batch.inputs.numbers(), batch.rows, device)?;
        Ok((images.clone().into(), Target::Values(images)))
    }

    fn evaluate(&self, of: &Evaluation<'_>, predict: &mut Predict<'_>) -> Result<Score> {
        Ok(images::scored(&evaluate_with(self, of, predict)?))
    }

    fn warnings(&self, settings: &Settings, data: &Data) -> Vec<String> {
        images::few_without_classes(settings, data)
    }

    fn report(&self, outcome: &Outcome<'_>, watch: &mut dyn Watch, report: &mut Report) {
        report.axis = "PSNR of held-out images, dB".to_owned();
        let first = shown(outcome.data);
        let Some(first) = report.keep(first) else { return };
        let mut rows = vec![first.clone()];
        let predict = |network: &Network| -> Result<Vec<f32>> {
            let input = matrix(&first, shown_rows(outcome.data), outcome.device)?;
            Ok(ops::read(network.predict(input)?)?)
        };
        rows.extend(report.keep(predict(outcome.network)));
        match self.compares_with {
            Compared::Perceptrons if outcome.plan.settings.baseline && !watch.is_stopped() => {
                let found = train_perceptrons(outcome, watch);
                for baseline in report.keep(found).unwrap_or_default() {
                    let input = matrix(&first, shown_rows(outcome.data), outcome.device);
                    let read = |input| Ok(ops::read(baseline.predict(input))?);
                    rows.extend(report.keep(input.and_then(read)));
                    report.rows.push(perceptron_row(&baseline));
                }
            }
            Compared::Perceptrons => {}
            Compared::Backprop => {
                if let Some(trained) = train_backprop(outcome, watch, report) {
                    report.rows.push(comparison::row(&trained));
                    rows.extend(report.keep(predict(&trained.network)));
                }
            }
        }
        if let Some(images) = report.keep(images::of(&*outcome.data.evaluation)) {
            let (file, shape) = (RECONSTRUCTIONS, images.shape());
            report.pictures.push(Picture::Grid { file, rows, shape });
        }
    }
}

/// Returns the number of images in a row of the picture.
pub(crate) fn shown_rows(data: &Data) -> usize {
    SHOWN.min(data.evaluation.len())
}

/// Returns the pixels of the first evaluation images.
pub(crate) fn shown(data: &Data) -> Result<Vec<f32>> {
    let rows = shown_rows(data);
    let first: Vec<usize> = (0..rows).collect();
    let first = data.evaluation.subset(&first)?;
    let batches = in_batches(&*first, rows);
    Ok(batches.flat_map(|batch| batch.inputs.numbers().to_vec()).collect())
}

/// Trains the two multilayer perceptrons. Returns fewer if the user stops the training.
fn train_perceptrons(outcome: &Outcome<'_>, watch: &mut dyn Watch) -> Result<Vec<Baseline>> {
    let Outcome { plan, data, device, .. } = *outcome;
    let mut baselines = Vec::new();
    for output in [Output::Sigmoid, Output::Linear] {
        let steps = baseline::steps(&plan.settings);
        watch.start(output.name(), steps, &format!("{steps} steps on the same batches"));
        let baseline = baseline::train(plan, data, output, device, &mut |step| {
            watch.step(step, &mut String::new);
            if watch.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        watch.finish(steps, &format!("best {}", Figure::psnr(&baseline.best)));
        if watch.is_stopped() {
            break;
        }
        baselines.push(baseline);
    }
    Ok(baselines)
}

fn perceptron_row(baseline: &Baseline) -> Row {
    Row {
        name: baseline.output.name().to_owned(),
        key: baseline.output.name().to_owned(),
        figures: vec![Figure::psnr(&baseline.best), Figure::mae(&baseline.best)],
        seconds: Some(baseline.train_seconds),
        best_step: Some(baseline.best_step),
        curve: baseline.curve.iter().map(|(step, d)| (*step as f64, d.psnr_db())).collect(),
    }
}

/// Returns the remedy if the images do not fit the network.
pub(crate) fn check_size(settings: &Settings, shape: ImageShape) -> Option<&'static str> {
    let is_multiple = shape.height.is_multiple_of(4) && shape.width.is_multiple_of(4);
    (settings.network == "conv" && !is_multiple).then_some(
        "the network needs a height and width that are multiples of 4; resize or crop the images",
    )
}

/// Returns the preset, tuned on photographs.
pub(crate) fn preset(given: &Options) -> Settings {
    let size = given.training_size().unwrap_or(TrainingSize::All);
    let is_conv = given.network().as_deref() == Some("conv");
    let augment = given.get("augment").unwrap_or(is_conv || size != TrainingSize::All);
    Settings { augment, ..tuned(given.rule(), is_conv, size, augment) }
}

fn tuned(rule: RuleName, is_conv: bool, size: TrainingSize, augment: bool) -> Settings {
    let pool = match size {
        TrainingSize::PerClass(n) => n.saturating_mul(10),
        TrainingSize::Total(n) => n,
        TrainingSize::All => usize::MAX,
    };
    // Photographs fill the whole image, unlike clothing on a black background.
    let augmentation = match size {
        TrainingSize::All => Augment::shifts_and_flips(0),
        _ => photographs(),
    };
    let muon = Settings {
        // A sparse code has no advantage here: a linear code of this size is hard to beat, and
        // closed gates reduce the code's capacity.
        rule_settings: Rule { threshold: -2.0, ..stateless(rule) },
        steps: 500,
        batch: 512,
        optimizer: OptimizerName::Muon,
        learning_rate: 0.05,
        hidden: 728,
        schedule: ScheduleName::Linear,
        momentum: Some(0.9),
        augmentation,
        ..Settings::default()
    };
    if rule == RuleName::Classic {
        return Settings {
            optimizer: OptimizerName::AdamW,
            learning_rate: 1e-3,
            momentum: None,
            weight_decay: 0.01,
            ..muon
        };
    }
    if is_conv {
        // Early in training normalisation helps here too; after 1,200 steps it costs 0.2 dB on
        // held-out images.
        return Settings {
            rule_settings: Rule {
                normalize_signal: false,
                normalize_presynaptic: false,
                ..stateless(rule)
            },
            steps: 1200,
            batch: 128,
            augmentation: Augment::shifts_and_flips(0),
            ..muon
        };
    }
    // So few images, repeated, act as a basis: components outside their span must come out as zero.
    // Presynaptic normalisation per pixel would leave the span, larger initial weights would
    // respond to inputs outside it, and so would gates that close.
    if pool <= 1000 && !augment {
        return Settings {
            rule_settings: Rule {
                threshold: -100.0,
                normalize_presynaptic: false,
                initial_scale: 0.002,
                ..muon.rule_settings
            },
            // Directions in which the images hardly differ are learned last.
            steps: if pool <= 100 { 100 } else { 500 },
            learning_rate: if pool <= 100 { 0.05 } else { 0.15 },
            batch: pool.min(500),
            ..muon
        };
    }
    muon
}
