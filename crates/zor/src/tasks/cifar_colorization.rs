//! Colorization of the 32x32 photographs of CIFAR-10.

use zor_data::ImageShape;

use super::colorization::Colorization;
use super::parts::data_sets::Cifar10Set;
use super::parts::images::Subject;
use super::parts::presets::{photographs, stateless};
use crate::settings::{OptimizerName, Options, ScheduleName, Settings};

/// The task `cifar-colorization`.
pub static CIFAR_COLORIZATION: Colorization = Colorization {
    name: "cifar-colorization",
    about: "Learn to give colour to small grey photographs",
    subject: Subject { set: Some(&Cifar10Set), evaluated: None, check: check_size },
    preset,
};

/// The remedy for images that the network cannot be made for.
pub(crate) fn check_size(_: &Settings, shape: ImageShape) -> Option<&'static str> {
    if shape.channels != 3 {
        return Some("they are grey; it learns from images in colour");
    }
    let is_multiple = shape.height.is_multiple_of(4) && shape.width.is_multiple_of(4);
    (!is_multiple).then_some("its network takes multiples of 4; resize or crop them")
}

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
