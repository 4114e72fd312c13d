//! The first three eighths of a training on the middle of its images: fewer pixels, the same weights, less time.
//!
//! Augmentation shifts images first, so that the middle is another one every time. What networks lose by learning on smaller images than
//! they are asked about later, the rest makes up for (Touvron et al. 2019, "Fixing the train-test resolution discrepancy").

use std::mem::swap;

use zor_core::Network;
use zor_data::ImageShape;

use crate::options::Settings;
use crate::train::build_network;

/// Share of a training's steps that are early.
const SHARE: f64 = 3.0 / 8.0;

/// A network for the middle of images, which borrows its weights.
pub(crate) struct Early {
    network: Network,
    whole: ImageShape,
    middle: ImageShape,
}

impl Early {
    /// As the settings say; none where they say nothing, or where the same weights would not do for smaller images.
    pub(crate) fn new(settings: &Settings, whole: ImageShape, network: &Network) -> Option<Self> {
        let share = f64::from(settings.early_crop);
        let side = |whole: usize| (share * whole as f64).round() as usize;
        let middle = ImageShape { height: side(whole.height), width: side(whole.width), ..whole };
        // Gates that have a target would move in the small network.
        if middle == whole || settings.rule.target_spike_rate.is_some() {
            return None;
        }
        let classes = network.output_shape().iter().product();
        let early = build_network(settings, middle, classes, network.device()).ok()?;
        (shapes(&early) == shapes(network)).then_some(Self { network: early, whole, middle })
    }

    /// Whether the step after so many is an early one.
    pub(crate) fn lasts(steps: u64, of: u64) -> bool {
        (steps as f64) < SHARE * of as f64
    }

    /// The middle of every image: `[rows, pixels]` of fewer pixels.
    pub(crate) fn crop(&self, images: &[f32]) -> Vec<f32> {
        let (whole, middle) = (self.whole, self.middle);
        let (top, left) = ((whole.height - middle.height) / 2, (whole.width - middle.width) / 2);
        let rows = images.chunks_exact(whole.width * whole.channels).enumerate();
        let rows =
            rows.filter(|(row, _)| (top..top + middle.height).contains(&(row % whole.height)));
        let line = left * whole.channels..(left + middle.width) * middle.channels;
        rows.flat_map(|(_, row)| &row[line.clone()]).copied().collect()
    }

    /// Lets the small network have the weights for as long as something is done with it.
    pub(crate) fn lend<T>(
        &mut self,
        network: &mut Network,
        what: impl FnOnce(&mut Network) -> T,
    ) -> T {
        exchange(network, &mut self.network);
        let done = what(&mut self.network);
        exchange(network, &mut self.network);
        done
    }
}

/// The shapes of all that is saved of a network.
fn shapes(network: &Network) -> Vec<[usize; 2]> {
    let all = network.layers().iter();
    all.flat_map(|layer| [layer.parameters(), layer.buffers()])
        .flatten()
        .map(|parameter| parameter.shape())
        .collect()
}

/// Each gets the other's weights, what optimizers keep for them, running means and history.
fn exchange(a: &mut Network, b: &mut Network) {
    for (a, b) in a.layers_mut().iter_mut().zip(b.layers_mut()) {
        a.parameters_mut().into_iter().zip(b.parameters_mut()).for_each(|(a, b)| swap(a, b));
        a.buffers_mut().into_iter().zip(b.buffers_mut()).for_each(|(a, b)| swap(a, b));
    }
    let history = a.history().to_vec();
    a.set_history(b.history().to_vec());
    b.set_history(history);
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::images::RunData;
    use crate::options::Options;
    use crate::train::{Next, Teacher, Training};
    use zor_core::burn::tensor::Device;
    use zor_data::Dataset;

    const TASK: &str = "task = 'cifar-classification'\nsteps = 4\nbatch = 2";

    fn settings(more: &str) -> Settings {
        let options: Options = toml::from_str(&format!("{TASK}\n{more}")).unwrap();
        Settings::resolve(&options).unwrap()
    }

    fn data(side: usize) -> RunData {
        let shape = ImageShape { height: side, width: side, channels: 3 };
        let mut random = zor_core::Random::seeded(1);
        let pixels = (0..10 * shape.len()).map(|_| (255.0 * random.uniform()) as u8).collect();
        let set = Dataset::new("noise", shape, pixels, (0..10).collect(), 10).unwrap();
        let evaluation = set.first(2).unwrap();
        RunData { train: Arc::new(set), evaluation, evaluation_name: "some".to_owned() }
    }

    fn trained(settings: &Settings, data: &RunData, cut: Option<u64>) -> Vec<f32> {
        let start = Training::start(settings, data, &Device::flex()).unwrap();
        let go_on = |training: Training, until: Option<u64>| {
            let mut tell = |now: &mut Training| match until {
                Some(step) if now.steps == step => Next::Stop,
                _ => Next::Continue,
            };
            training.go_on(settings, data, Teacher::Rule, &mut tell).unwrap()
        };
        let mut training = if cut.is_some() { go_on(start, cut) } else { start };
        // As from a checkpoint, which has nothing of the small network.
        training = go_on(training, None);
        assert_eq!((training.steps, training.network.history().len()), (4, 4));
        assert_eq!(training.network.input_shape(), [32, 32, 3]);
        let parameters = training.network.layers().iter().flat_map(|layer| layer.parameters());
        parameters
            .flat_map(|one| one.value().into_data().iter::<f32>().collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn weights_learn_from_the_middle_and_can_be_cut_anywhere() {
        let (settings, data) = (settings("early_crop = 0.875"), data(32));
        let through = trained(&settings, &data, None);
        for step in [1, 2, 3] {
            assert_eq!(through, trained(&settings, &data, Some(step)), "cut after step {step}");
        }
        let whole = Settings { early_crop: 1.0, ..settings };
        assert_ne!(through, trained(&whole, &data, None));
    }

    #[test]
    fn the_middle_is_the_middle() {
        let (settings, data) = (settings("early_crop = 0.9"), data(30));
        let training = Training::start(&settings, &data, &Device::flex()).unwrap();
        let early = Early::new(&settings, data.train.shape(), &training.network).unwrap();
        assert_eq!((early.middle.height, early.middle.width), (27, 27));
        let images: Vec<f32> = (0..2 * 30 * 30 * 3).map(|at| at as f32).collect();
        let middle = early.crop(&images);
        assert_eq!(middle.len(), 2 * 27 * 27 * 3);
        let first = |image: usize, row: usize| middle[(image * 27 + row) * 27 * 3];
        assert_eq!(first(0, 0), ((30 + 1) * 3) as f32);
        assert_eq!(first(1, 26), ((30 * 30 + 27 * 30 + 1) * 3) as f32);
    }

    #[test]
    fn whole_images_where_smaller_ones_need_other_weights() {
        for (side, share) in [(32, 1.0), (32, 0.5), (64, 0.7)] {
            let (settings, data) = (settings(&format!("early_crop = {share}")), data(side));
            let training = Training::start(&settings, &data, &Device::flex()).unwrap();
            let early = Early::new(&settings, data.train.shape(), &training.network);
            assert!(early.is_none(), "{share} of {side}");
        }
    }
}
