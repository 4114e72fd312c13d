//! Reconstruction: a network learns to reproduce images through a layer that is narrower than they
//! are.

use std::ops::ControlFlow;
use std::sync::Arc;

use zor_core::{GateConfig, GatePosition, NetworkBuilder};
use zor_data::Examples;

use super::parts::comparison::{self, train_backprop};
use super::parts::images::{self, Subject};
use super::parts::networks;
use super::parts::presets::idle_for_images;
use super::{Data, DataLocation, EvaluationSet, Predict, Task, cifar_reconstruction, in_batches};
use crate::backprop::baseline::{self, Baseline, Output};
use crate::error::Result;
use crate::model::Model;
use crate::report::{Outcome, Picture, Report, Row, Watch};
use crate::settings::{Options, Settings};
use crate::training::evaluate::{Evaluation, Score};
use crate::training::matrix;
use crate::training::run_folder::RECONSTRUCTIONS;
use crate::training::score::Figure;

/// Images in a row of the picture, at most.
pub(crate) const SHOWN: usize = 16;

/// Reconstruction of a user's own images.
pub static RECONSTRUCTION: Reconstruction = Reconstruction {
    name: "reconstruction",
    about: "Learn to reproduce your own images",
    networks: &["dense", "conv"],
    subject: Subject { check: cifar_reconstruction::check_size, ..Subject::OWN },
    preset: cifar_reconstruction::preset,
    compares_with: Compared::Backprop,
};

/// A task of reconstruction, with the part that differs between data sets.
#[derive(Debug)]
pub struct Reconstruction {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) networks: &'static [&'static str],
    pub(crate) subject: Subject,
    pub(crate) preset: fn(&Options) -> Settings,
    pub(crate) compares_with: Compared,
}

/// The networks that a reconstruction is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Compared {
    /// Two multilayer perceptrons under burn's autodiff and Adam.
    Perceptrons,
    /// The same network under backpropagation.
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

    fn pair(
        &self,
        batch: &zor_data::Batch,
        _: &Settings,
        device: &zor_core::burn::tensor::Device,
    ) -> Result<(zor_core::burn::tensor::Tensor<2>, zor_core::Target)> {
        let images = matrix(batch.inputs.numbers(), batch.rows, device)?;
        Ok((images.clone(), zor_core::Target::Values(images)))
    }

    fn evaluate(&self, of: &Evaluation<'_>, predict: &mut Predict<'_>) -> Result<Score> {
        images::evaluate(self, of, predict)
    }

    fn warnings(&self, settings: &Settings, data: &Data) -> Vec<String> {
        images::few_without_classes(settings, data)
    }

    fn report(&self, outcome: &Outcome<'_>, watch: &mut dyn Watch, report: &mut Report) {
        report.axis = "PSNR of unseen images, dB".to_owned();
        let first = shown(outcome.data);
        let Some(first) = report.keep(first) else { return };
        let mut rows = vec![first.clone()];
        let predict = |network: &zor_core::Network| -> Result<Vec<f32>> {
            let input = matrix(&first, shown_rows(outcome.data), outcome.device)?;
            Ok(zor_core::ops::read(network.predict(input)?)?)
        };
        rows.extend(report.keep(predict(&outcome.trained.network)));
        match self.compares_with {
            Compared::Perceptrons if outcome.settings.baseline && !watch.is_stopped() => {
                let found = train_perceptrons(outcome, watch);
                for baseline in report.keep(found).unwrap_or_default() {
                    let input = matrix(&first, shown_rows(outcome.data), outcome.device);
                    let read = |input| Ok(zor_core::ops::read(baseline.predict(input))?);
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

/// Number of images in a row of the picture.
pub(crate) fn shown_rows(data: &Data) -> usize {
    SHOWN.min(data.evaluation.len())
}

/// Pixels of the first evaluation images.
pub(crate) fn shown(data: &Data) -> Result<Vec<f32>> {
    let rows = shown_rows(data);
    let first: Vec<usize> = (0..rows).collect();
    let first = data.evaluation.subset(&first)?;
    let batches = in_batches(&*first, rows);
    Ok(batches.flat_map(|batch| batch.inputs.numbers().to_vec()).collect())
}

/// The two multilayer perceptrons; fewer if the user stops them.
fn train_perceptrons(outcome: &Outcome<'_>, watch: &mut dyn Watch) -> Result<Vec<Baseline>> {
    let Outcome { settings, data, device, .. } = *outcome;
    let mut baselines = Vec::new();
    for output in [Output::Sigmoid, Output::Linear] {
        let steps = baseline::steps(settings);
        watch.start(output.name(), steps, &format!("{steps} steps of the same batches"));
        let baseline = baseline::train(settings, data, output, device, &mut |step| {
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
