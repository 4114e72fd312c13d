//! Colorization: a network beside guesses from luminance alone.

use zor::Result;
use zor::color::{Guess, mean_ciede2000};
use zor::core::Workspace;
use zor::images::RunData;
use zor::options::TaskName;
use zor::prelude::{Deviation, Device, matrix};
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

/// Colours of images from their luminance.
type Answer<'a> = Box<dyn FnMut(&[f32]) -> Result<Vec<f32>> + 'a>;

/// The network, its twin, and the guesses.
pub(crate) fn compare(
    data: &RunData,
    trained: &Trained,
    twin: Option<&Trained>,
    device: &Device,
) -> Result<Vec<Colours>> {
    let (set, shape) = (&data.evaluation, data.evaluation.shape());
    let pixels = shape.height * shape.width;
    let mut contenders: Vec<(&'static str, Answer<'_>)> = Vec::new();
    for (name, Trained { network, .. }) in
        [("Zor", trained)].into_iter().chain(twin.map(|twin| (TWIN, twin)))
    {
        let mut workspace = Workspace::new(device);
        let answer = move |grey: &[f32]| {
            let grey = matrix(grey, grey.len() / pixels, device);
            Ok(values(network.predict_with(grey, &mut workspace)?))
        };
        contenders.push((name, Box::new(answer)));
    }
    for guess in Guess::fit(&data.train) {
        let name = guess.name();
        let answer = move |grey: &[f32]| {
            Ok(grey.chunks_exact(pixels).flat_map(|grey| guess.predict(grey, shape)).collect())
        };
        contenders.push((name, Box::new(answer)));
    }
    let begin = |(name, _): &(&'static str, _)| Colours {
        name,
        deviation: Deviation::default(),
        difference: 0.0,
    };
    let mut all: Vec<Colours> = contenders.iter().map(begin).collect();
    for from in (0..set.len()).step_by(BATCH) {
        let part = set.range(from..(from + BATCH).min(set.len()))?;
        let truth = part.pixels();
        let images = matrix(&truth, part.len(), device);
        let grey = values(TaskName::CifarColorization.question(images));
        let share = part.len() as f64 / set.len() as f64;
        for (colours, (_, answer)) in all.iter_mut().zip(&mut contenders) {
            let found = answer(&grey)?;
            colours.deviation += Deviation::between(&truth, &found);
            colours.difference += share * mean_ciede2000(&truth, &found);
        }
    }
    Ok(all)
}
