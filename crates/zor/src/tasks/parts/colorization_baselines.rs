//! Comparison of colorization networks with predictors that use luminance only.

use zor_core::burn::tensor::Device;
use zor_core::{ErrorMetrics, Network, Workspace};

use super::color::{ColorPrior, luminance, mean_ciede2000};
use super::images;
use crate::error::Result;
use crate::task::{Data, matrix};

/// Batch size.
const BATCH: usize = 100;

/// Errors of the predicted colours.
#[derive(Clone, Debug, PartialEq)]
pub struct ColorErrors {
    /// Name of the network or predictor.
    pub name: &'static str,
    /// Errors of the RGB values.
    pub deviation: ErrorMetrics,
    /// Mean CIEDE2000 colour difference.
    pub difference: f64,
}

/// A function that predicts colour images from their luminance.
type Answer<'a> = Box<dyn FnMut(&[f32]) -> Result<Vec<f32>> + 'a>;

/// Evaluates the given networks, and then every [`ColorPrior`] fitted to the training images, on
/// the evaluation images.
///
/// # Errors
/// When a network does not map the luminance of these images to colours.
pub fn compare(
    data: &Data,
    networks: &[(&'static str, &Network)],
    device: &Device,
) -> Result<Vec<ColorErrors>> {
    let set = images::of(&*data.evaluation)?;
    let shape = set.shape();
    let pixels = shape.height * shape.width;
    let mut contenders: Vec<(&'static str, Answer<'_>)> = Vec::new();
    for &(name, network) in networks {
        let mut workspace = Workspace::new(device);
        let answer = move |grey: &[f32]| {
            let grey = matrix(grey, grey.len() / pixels, device)?;
            let found = network.predict_in(grey, &mut workspace)?;
            Ok(found.into_data().iter::<f32>().collect())
        };
        contenders.push((name, Box::new(answer)));
    }
    for guess in ColorPrior::fit(images::of(&*data.train)?) {
        let name = guess.name();
        let answer = move |grey: &[f32]| {
            Ok(grey.chunks_exact(pixels).flat_map(|grey| guess.predict(grey, shape)).collect())
        };
        contenders.push((name, Box::new(answer)));
    }
    let begin = |(name, _): &(&'static str, _)| ColorErrors {
        name,
        deviation: ErrorMetrics::default(),
        difference: 0.0,
    };
    let mut all: Vec<ColorErrors> = contenders.iter().map(begin).collect();
    for from in (0..set.len()).step_by(BATCH) {
        let part = set.range(from..(from + BATCH).min(set.len()))?;
        let truth = part.pixels();
        let images = matrix(&truth, part.len(), device)?;
        let grey = luminance(images);
        let grey: Vec<f32> = grey.into_data().iter::<f32>().collect();
        let share = part.len() as f64 / set.len() as f64;
        for (errors, (_, answer)) in all.iter_mut().zip(&mut contenders) {
            let found = answer(&grey)?;
            errors.deviation += ErrorMetrics::between(&truth, &found)?;
            errors.difference += share * mean_ciede2000(&truth, &found);
        }
    }
    Ok(all)
}
