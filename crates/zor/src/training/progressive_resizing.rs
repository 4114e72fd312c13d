//! Early progressive resizing: the first 3/8 of the steps train on a centre crop of the images,
//! with the same weights as full-size images.
//!
//! Augmentation shifts images before the crop, so the crop shows a different part each time. The
//! remaining steps at full size undo the train-test resolution discrepancy (Touvron et al. 2019,
//! "Fixing the train-test resolution discrepancy").

use zor_core::Network;
use zor_data::Values;

use crate::settings::Settings;

/// Fraction of the steps that train on cropped images.
const SHARE: f64 = 3.0 / 8.0;

/// Image size in the first steps of a training.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SmallerImages {
    /// Height, width and channels of the full images.
    whole: [usize; 3],
    /// Height and width of the centre crop.
    middle: [usize; 2],
}

impl SmallerImages {
    /// Returns the crop for the given settings; `None` for full images, or if the shapes of the
    /// network's weights depend on the image size.
    pub(crate) fn new(settings: &Settings, input: &[usize], network: &Network) -> Option<Self> {
        let &[height, width, channels] = input else { return None };
        let share = f64::from(settings.early_crop);
        let side = |whole: usize| (share * whole as f64).round() as usize;
        let middle = [side(height), side(width)];
        // Smaller images would shift the thresholds of gates with a target spike rate.
        if middle == [height, width] || settings.rule_settings.target_spike_rate.is_some() {
            return None;
        }
        let smaller = Self { whole: [height, width, channels], middle };
        let outputs = network.output_shape_for(&smaller.input_shape(network)).ok()?;
        let whole = network.output_shape();
        let is_map = outputs.len() == whole.len() && whole.len() == 3;
        (outputs == whole || is_map).then_some(smaller)
    }

    /// Whether the step after `steps` of `of` steps trains on cropped images.
    pub(crate) fn is_active_at(steps: u64, of: u64) -> bool {
        (steps as f64) < SHARE * of as f64
    }

    /// Crops each image to its centre.
    pub(crate) fn crop(&self, images: &mut Values) {
        let [height, width, channels] = self.whole;
        let [rows, columns] = self.middle;
        let (top, left) = ((height - rows) / 2, (width - columns) / 2);
        let lines = images.numbers().chunks_exact(width * channels).enumerate();
        let lines = lines.filter(|(line, _)| (top..top + rows).contains(&(line % height)));
        let part = left * channels..(left + columns) * channels;
        let middle: Vec<f32> = lines.flat_map(|(_, line)| &line[part.clone()]).copied().collect();
        *images = Values::Numbers(middle);
    }

    /// Returns the network's input shape for cropped images.
    pub(crate) fn input_shape(&self, network: &Network) -> Vec<usize> {
        let channels = network.input_shape().last().copied();
        self.middle.into_iter().chain(channels).collect()
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::task::{Data, Plan};
    use crate::training::{Method, Training};
    use std::ops::ControlFlow;
    use zor_core::burn::tensor::Device;
    use zor_data::{ImageShape, Images};

    const TASK: &str = "task = 'cifar-classification'\nsteps = 4\nbatch = 2";

    fn plan(more: &str) -> Plan {
        Plan::parse(&format!("{TASK}\n{more}")).unwrap()
    }

    fn data(side: usize) -> Data {
        let shape = ImageShape { height: side, width: side, channels: 3 };
        let mut random = zor_core::Random::seeded(1);
        let pixels = (0..10 * shape.len()).map(|_| (255.0 * random.uniform()) as u8).collect();
        let set = Images::new("noise", shape, pixels, (0..10).collect(), 10).unwrap();
        let evaluation = set.first(2).unwrap();
        Data::new(set, evaluation, 10)
    }

    fn trained(plan: &Plan, data: &Data, cut: Option<u64>) -> Vec<f32> {
        let start = Training::start(plan, data, &Device::flex()).unwrap();
        let run = |training: Training, until: Option<u64>| {
            let mut on_step = |now: &mut Training| match until {
                Some(step) if now.steps == step => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            training.run(plan, data, Method::LocalRule, &mut on_step).unwrap()
        };
        let mut training = if cut.is_some() { run(start, cut) } else { start };
        // As after loading a checkpoint, which does not store the reduced input shape.
        training = run(training, None);
        assert_eq!((training.steps, training.network.history().len()), (4, 4));
        assert_eq!(training.network.input_shape(), [32, 32, 3]);
        let parameters = training.network.layers().iter().flat_map(|layer| layer.parameters());
        parameters
            .flat_map(|one| one.value().into_data().iter::<f32>().collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn weights_learn_from_the_middle_and_can_be_cut_anywhere() {
        let (plan, data) = (plan("early_crop = 0.875"), data(32));
        let through = trained(&plan, &data, None);
        for step in [1, 2, 3] {
            assert_eq!(through, trained(&plan, &data, Some(step)), "cut after step {step}");
        }
        let mut whole = plan;
        whole.settings.early_crop = 1.0;
        assert_ne!(through, trained(&whole, &data, None));
    }

    #[test]
    fn the_middle_is_the_middle() {
        let (plan, data) = (plan("early_crop = 0.9"), data(30));
        let training = Training::start(&plan, &data, &Device::flex()).unwrap();
        let early =
            SmallerImages::new(&plan.settings, &data.train.input_shape(), &training.network)
                .unwrap();
        assert_eq!((early.middle[0], early.middle[1]), (27, 27));
        let images: Vec<f32> = (0..2 * 30 * 30 * 3).map(|at| at as f32).collect();
        let mut middle = Values::Numbers(images);
        early.crop(&mut middle);
        let middle = middle.numbers();
        assert_eq!(middle.len(), 2 * 27 * 27 * 3);
        let first = |image: usize, row: usize| middle[(image * 27 + row) * 27 * 3];
        assert_eq!(first(0, 0), ((30 + 1) * 3) as f32);
        assert_eq!(first(1, 26), ((30 * 30 + 27 * 30 + 1) * 3) as f32);
    }

    #[test]
    fn whole_images_where_smaller_ones_need_other_weights() {
        for (side, share) in [(32, 1.0), (32, 0.5), (64, 0.7)] {
            let (plan, data) = (plan(&format!("early_crop = {share}")), data(side));
            let training = Training::start(&plan, &data, &Device::flex()).unwrap();
            let early =
                SmallerImages::new(&plan.settings, &data.train.input_shape(), &training.network);
            assert!(early.is_none(), "{share} of {side}");
        }
    }
}
