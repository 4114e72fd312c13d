//! Calibration of a trained network by rows that it was not trained on.

use std::ops::ControlFlow;
use std::sync::Arc;

use zor_core::burn::tensor::Device;
use zor_core::{Network, Workspace};
use zor_data::Examples;

use super::calibration::Calibration;
use super::masks::Masks;
use super::restoration::Restored;
use super::rows::Rows;
use super::scheme::Scheme;
use super::scoring::Scoring;
use crate::error::{Error, ErrorKind, Result};
use crate::settings::Settings;
use crate::task::{Data, Plan};
use crate::training::{Method, Training};

/// Number of parts of the training rows. Each is restored by a network trained on the others.
const FOLDS: usize = 4;

/// Calibrates a network that was trained on the rows of `data`.
///
/// If the data has held-out normal rows, they give scales and scores. Otherwise the training
/// rows are divided into four parts, each restored by another network of the same kind that is
/// trained on the other parts (cross-conformal prediction; Vovk 2015, "Cross-conformal
/// predictors", Annals of Mathematics and Artificial Intelligence 74).
///
/// `on_step` is called after each step of these trainings, and stops the calibration if it breaks.
///
/// # Errors
/// When a training or a prediction fails, or `on_step` breaks ([`ErrorKind::Interrupted`]).
pub(super) fn calibrate(
    plan: &Plan,
    data: &Data,
    network: &Network,
    method: Method,
    device: &Device,
    on_step: &mut dyn FnMut(&mut Training) -> ControlFlow<()>,
) -> Result<Scoring> {
    let train = rows(&*data.train)?;
    let masks = masks(train.scheme(), &plan.settings);
    let restore = |network: &Network, rows: &Rows| {
        let mut workspace = Workspace::new(device);
        Restored::of(&rows.all(), rows.cells(), &masks, device, &mut |input| {
            plan.task.predict(network, &plan.settings, input, &mut workspace)
        })
    };
    let restored = if train.by_folds {
        let mut all: Option<Restored> = None;
        for fold in 0..trainings(data)? {
            let (others, own) = train.fold(fold, trainings(data)?);
            let part =
                Data { train: Arc::new(others), evaluation: Arc::new(own.clone()), ..data.clone() };
            let start = Training::start(plan, &part, device)?;
            let trained = start.run(plan, &part, method, on_step)?;
            if trained.stopped {
                return Err(Error::new(ErrorKind::Interrupted, "during the calibration"));
            }
            let restored = restore(&trained.network, &own)?;
            match &mut all {
                Some(all) => all.append(restored),
                None => all = Some(restored),
            }
        }
        all.ok_or_else(|| Error::input("there are no rows to learn from"))?
    } else {
        restore(network, &rows(&*data.evaluation)?.normal())?
    };
    let scales = restored.scales();
    let calibration = Calibration::new(restored.scores(&scales))?;
    Ok(Scoring { scheme: (**train.scheme()).clone(), masks, scales, calibration })
}

/// Returns the number of trainings of a calibration.
///
/// # Errors
/// When the examples are those of another task.
pub(super) fn trainings(data: &Data) -> Result<usize> {
    let train = rows(&*data.train)?;
    Ok(if train.by_folds { FOLDS.min(train.len()) } else { 0 })
}

/// Returns the masks for the rows of a scheme.
pub(super) fn masks(scheme: &Scheme, settings: &Settings) -> Masks {
    let settings = &settings.detection;
    Masks::new(scheme.cells().len(), settings.passes, settings.groups())
}

/// Returns examples as rows of a detector.
///
/// # Errors
/// When they are examples of another task.
pub(super) fn rows(examples: &dyn Examples) -> Result<&Rows> {
    let examples: &dyn std::any::Any = examples;
    examples.downcast_ref().ok_or_else(|| Error::input("the examples are not rows of a detector"))
}
