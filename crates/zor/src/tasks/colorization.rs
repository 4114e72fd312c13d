//! Image colorization: a network predicts the colours of images from their luminance.

use std::sync::Arc;

use zor_core::burn::tensor::Device;
use zor_core::{Input, NetworkBuilder, Target};
use zor_data::{Batch, Examples, ImageShape};

use super::parts::color::luminance;
use super::parts::colorization_baselines;
use super::parts::comparison::{self, BACKPROP, train_backprop};
use super::parts::images::{self, Subject};
use super::parts::networks;
use super::parts::presets::{idle_for_images, photographs, stateless};
use super::reconstruction::{shown, shown_rows};
use crate::error::Result;
use crate::report::{Picture, Report, Row, Watch};
use crate::settings::{OptimizerName, Options, ScheduleName, Settings};
use crate::task::{
    Data, DataLocation, Evaluation, EvaluationSet, Figure, Model, Outcome, Predict, Score, Task,
    Unit, evaluate_with, matrix,
};
use crate::training::run_folder::COLORIZATION as PICTURE;

/// Colorization of the user's own images.
pub static COLORIZATION: Colorization = Colorization {
    name: "colorization",
    about: "Colorize your own photographs",
    subject: Subject { check: check_size, ..Subject::OWN },
    preset,
};

/// A colorization task: the parts that differ between data sets.
#[derive(Debug)]
pub struct Colorization {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) subject: Subject,
    pub(crate) preset: fn(&Options) -> Settings,
}

impl Task for Colorization {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn networks(&self) -> &'static [&'static str] {
        &["conv"]
    }

    fn commands(&self) -> &'static [&'static str] {
        &["colorize"]
    }

    fn preset(&self, given: &Options) -> Settings {
        (self.preset)(given)
    }

    fn without_effect(&self, settings: &Settings) -> Vec<(&'static str, String)> {
        let has_target = settings.rule_settings.target_spike_rate.is_some();
        idle_for_images(settings, false, false, false, !has_target)
    }

    fn load(&self, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Data> {
        self.subject.load(settings, tell)
    }

    fn load_for(&self, model: &Model, place: &DataLocation) -> Result<(Data, Vec<String>)> {
        self.subject.load_for(model, place, Some(3))
    }

    fn evaluation_sets(&self, model: &Model, place: &DataLocation) -> Result<Vec<EvaluationSet>> {
        self.subject.evaluation_sets(model, place, Some(3))
    }

    fn network(&self, _: &Settings, input: &[usize], _: usize) -> Result<NetworkBuilder> {
        Ok(networks::colorizer(input[0], input[1]))
    }

    fn learned_from(&self, data: &Data, settings: &Settings) -> Result<Arc<dyn Examples>> {
        images::learned_from(data, settings)
    }

    fn pair(&self, batch: &Batch, _: &Settings, device: &Device) -> Result<(Input, Target)> {
        let images = matrix(batch.inputs.numbers(), batch.rows, device)?;
        let target = Target::Values(images.clone());
        Ok((luminance(images).into(), target))
    }

    fn evaluate(&self, of: &Evaluation<'_>, predict: &mut Predict<'_>) -> Result<Score> {
        Ok(images::scored(&evaluate_with(self, of, predict)?))
    }

    fn warnings(&self, settings: &Settings, data: &Data) -> Vec<String> {
        images::few_without_classes(settings, data)
    }

    fn report(&self, outcome: &Outcome<'_>, watch: &mut dyn Watch, report: &mut Report) {
        report.axis = "PSNR of held-out images, dB".to_owned();
        let Outcome { data, network, device, .. } = *outcome;
        let mut networks = vec![("Zor", network)];
        let backprop = train_backprop(outcome, watch, report);
        networks.extend(backprop.iter().map(|trained| (BACKPROP, &trained.network)));
        if !watch.is_stopped() {
            let found = colorization_baselines::compare(data, &networks, device);
            for errors in report.keep(found).unwrap_or_default() {
                let difference =
                    Figure::new("ciede2000", "CIEDE2000", errors.difference, Unit::Number);
                let difference = difference.smaller_is_better();
                let (psnr, mae) = (Figure::psnr(&errors.deviation), Figure::mae(&errors.deviation));
                match (errors.name, &backprop) {
                    ("Zor", _) => {
                        report.rows.iter_mut().take(1).for_each(|row| {
                            row.figures.push(difference.clone());
                        });
                    }
                    (BACKPROP, Some(trained)) => {
                        let mut row = comparison::row(trained);
                        row.figures = vec![psnr, mae, difference];
                        report.rows.push(row);
                    }
                    (name, _) => report.rows.push(Row {
                        name: name.to_owned(),
                        key: name.to_owned(),
                        figures: vec![psnr, mae, difference],
                        ..Row::default()
                    }),
                }
            }
        }
        let picture = picture(outcome, &networks);
        report.keep(picture).into_iter().for_each(|picture| report.pictures.push(picture));
    }
}

/// Returns a picture with a row of luminance, a row for the colours that each network predicts, and
/// a row of the true colours.
fn picture(
    outcome: &Outcome<'_>,
    networks: &[(&'static str, &zor_core::Network)],
) -> Result<Picture> {
    let data = outcome.data;
    let truth = shown(data)?;
    let grey = luminance(matrix(&truth, shown_rows(data), outcome.device)?);
    let values = zor_core::ops::read(grey.clone())?;
    let mut rows = vec![values.into_iter().flat_map(|value| [value; 3]).collect()];
    for (_, network) in networks {
        rows.push(zor_core::ops::read(network.predict(grey.clone())?)?);
    }
    rows.push(truth);
    let shape = images::of(&*data.evaluation)?.shape();
    Ok(Picture::Grid { file: PICTURE, rows, shape })
}

/// Returns the remedy if the images do not fit the network.
pub(crate) fn check_size(_: &Settings, shape: ImageShape) -> Option<&'static str> {
    if shape.channels != 3 {
        return Some("the images are grey; colorization needs colour images to train on");
    }
    let is_multiple = shape.height.is_multiple_of(4) && shape.width.is_multiple_of(4);
    (!is_multiple).then_some(
        "the network needs a height and width that are multiples of 4; resize or crop the images",
    )
}

/// Returns the preset, tuned on photographs.
pub(crate) fn preset(given: &Options) -> Settings {
    Settings {
        rule_settings: stateless(given.rule()),
        steps: 600,
        batch: 128,
        optimizer: OptimizerName::Muon,
        learning_rate: 0.02,
        schedule: ScheduleName::Linear,
        momentum: Some(0.9),
        hidden: 1,
        augment: given.get("augment").unwrap_or(true),
        augmentation: photographs(),
        ..Settings::default()
    }
}
