//! Colorization: a network beside guesses from luminance alone.

use zor::Result;
use zor::color::{Guess, mean_ciede2000};
use zor::core::ops::ErrorSums;
use zor::images::RunData;
use zor::options::TaskName;
use zor::prelude::{Deviation, Device, Network, matrix};
use zor::train::Trained;

use crate::pictures::values;
use crate::report::TWIN;

/// Images at once.
const BATCH: usize = 100;

/// How well colours are guessed.
pub(crate) struct Colours {
    pub(crate) name: &'static str,
    pub(crate) deviation: Deviation,
    /// Mean CIEDE2000.
    pub(crate) difference: f64,
}

/// The network, its twin, and the guesses.
pub(crate) fn compare(
    data: &RunData,
    trained: &Trained,
    twin: Option<&Trained>,
    device: &Device,
) -> Result<Vec<Colours>> {
    let networks = [("Zor", Some(trained)), (TWIN, twin)];
    let mut all = Vec::new();
    for (name, network) in networks {
        if let Some(Trained { network, .. }) = network {
            all.push(measure(data, name, device, &mut |grey, rows| {
                by_network(network, grey, rows, device)
            })?);
        }
    }
    let shape = data.evaluation.shape();
    for guess in Guess::fit(&data.train) {
        let pixels = shape.height * shape.width;
        let mut answer = |grey: &[f32], _: usize| {
            Ok(grey.chunks_exact(pixels).flat_map(|grey| guess.predict(grey, shape)).collect())
        };
        all.push(measure(data, guess.name(), device, &mut answer)?);
    }
    Ok(all)
}

fn by_network(network: &Network, grey: &[f32], rows: usize, device: &Device) -> Result<Vec<f32>> {
    Ok(values(network.predict(matrix(grey, rows, device))?))
}

type Answer<'a> = &'a mut dyn FnMut(&[f32], usize) -> Result<Vec<f32>>;

fn measure(
    data: &RunData,
    name: &'static str,
    device: &Device,
    answer: Answer<'_>,
) -> Result<Colours> {
    let set = &data.evaluation;
    let (mut sums, mut elements, mut difference) = (ErrorSums::default(), 0, 0.0);
    for from in (0..set.len()).step_by(BATCH) {
        let part = set.range(from..(from + BATCH).min(set.len()))?;
        let truth = part.pixels();
        let images = matrix(&truth, part.len(), device);
        let grey = values(TaskName::CifarColorization.question(images));
        let found = answer(&grey, part.len())?;
        for (a, b) in truth.iter().zip(&found) {
            let error = f64::from(a - b);
            sums.absolute += error.abs();
            sums.squared += error * error;
        }
        elements += truth.len();
        difference += mean_ciede2000(&truth, &found) * part.len() as f64;
    }
    let difference = difference / set.len() as f64;
    Ok(Colours { name, deviation: Deviation { sums, elements }, difference })
}
