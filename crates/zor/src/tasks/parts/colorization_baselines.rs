//! Networks that colorize, compared with guesses from luminance alone.

use zor_core::burn::tensor::Device;
use zor_core::{ErrorMetrics, Network, Workspace};

use super::color::{Guess, luminance, mean_ciede2000};
use super::images;
use crate::error::Result;
use crate::task::{Data, matrix};

/// Images at once.
const BATCH: usize = 100;

/// Errors of colours that a network or a guess gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Colours {
    /// The name of the network or guess.
    pub name: &'static str,
    /// Errors of the values.
    pub deviation: ErrorMetrics,
    /// Mean CIEDE2000.
    pub difference: f64,
}

/// Colours of images from their luminance.
type Answer<'a> = Box<dyn FnMut(&[f32]) -> Result<Vec<f32>> + 'a>;

/// Networks under their names, and then all guesses, fitted to the training images, on the
/// evaluation images.
///
/// # Errors
/// When a network does not make colour of the luminance of these images.
pub fn compare(
    data: &Data,
    networks: &[(&'static str, &Network)],
    device: &Device,
) -> Result<Vec<Colours>> {
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
    for guess in Guess::fit(images::of(&*data.train)?) {
        let name = guess.name();
        let answer = move |grey: &[f32]| {
            Ok(grey.chunks_exact(pixels).flat_map(|grey| guess.predict(grey, shape)).collect())
        };
        contenders.push((name, Box::new(answer)));
    }
    let begin = |(name, _): &(&'static str, _)| Colours {
        name,
        deviation: ErrorMetrics::default(),
        difference: 0.0,
    };
    let mut all: Vec<Colours> = contenders.iter().map(begin).collect();
    for from in (0..set.len()).step_by(BATCH) {
        let part = set.range(from..(from + BATCH).min(set.len()))?;
        let truth = part.pixels();
        let images = matrix(&truth, part.len(), device)?;
        let grey = luminance(images);
        let grey: Vec<f32> = grey.into_data().iter::<f32>().collect();
        let share = part.len() as f64 / set.len() as f64;
        for (colours, (_, answer)) in all.iter_mut().zip(&mut contenders) {
            let found = answer(&grey)?;
            colours.deviation += ErrorMetrics::between(&truth, &found)?;
            colours.difference += share * mean_ciede2000(&truth, &found);
        }
    }
    Ok(all)
}
