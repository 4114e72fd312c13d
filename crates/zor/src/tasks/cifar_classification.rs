//! Classification of CIFAR-10: 32x32 colour photographs in ten classes.

use zor_core::{NetworkBuilder, Rule};
use zor_data::{Augment, Border, ImageShape};

use super::classification::Classification;
use super::parts::data_sets::Cifar10Set;
use super::parts::images::Subject;
use super::parts::networks::{self, AIRBENCH_MIN_SIDE};
use super::parts::presets::{inhibited, stateless};
use crate::settings::{OptimizerName, Options, RuleName, ScheduleName, Settings};

/// The task `cifar-classification`.
pub static CIFAR_CLASSIFICATION: Classification = Classification {
    name: "cifar-classification",
    about: "Classify small colour photographs in ten classes (CIFAR-10)",
    networks: &["conv", "dense", "airbench"],
    subject: Subject { set: Some(&Cifar10Set), evaluated: None, check: check_size },
    preset,
    network,
};

/// Returns the remedy if the images are too small for the network.
fn check_size(settings: &Settings, shape: ImageShape) -> Option<&'static str> {
    let is_small = shape.height.min(shape.width) < AIRBENCH_MIN_SIDE;
    (settings.network != "dense" && is_small)
        .then_some("the network needs at least 25x25 pixels; use larger images or --network mlp")
}

fn network(settings: &Settings, input: &[usize], classes: usize) -> NetworkBuilder {
    match &settings.network[..] {
        "dense" => networks::dense_classifier(input, &[settings.hidden; 2], classes),
        "airbench" => networks::airbench(input, classes),
        _ => networks::airbench_of(input, [32, 128, 128], classes),
    }
}

fn preset(given: &Options) -> Settings {
    let convolutions = Settings {
        // With normalisation the accuracy is lower here (docs/classification.md).
        rule_settings: match given.rule() {
            RuleName::Classic => stateless(RuleName::Classic),
            _ => inhibited(Rule::default()),
        },
        steps: 1000,
        batch: 500,
        optimizer: OptimizerName::Muon,
        learning_rate: 0.05,
        schedule: ScheduleName::Linear,
        // Weight decay keeps the weights about as large as the steps that change them.
        momentum: Some(0.6),
        weight_decay: 0.15,
        label_smoothing: 0.2,
        hidden: 1024,
        augment: given.get("augment").unwrap_or(true),
        augmentation: Augment {
            border: Border::Mirror,
            alternate: true,
            ..Augment::shifts_and_flips(2)
        },
        ..Settings::default()
    };
    match given.network().as_deref() {
        // Eight epochs.
        Some("airbench") => {
            Settings { steps: 800, label_smoothing: 0.1, early_crop: 0.875, ..convolutions }
        }
        Some("dense") => {
            Settings { steps: 1000, batch: 1000, label_smoothing: 0.1, ..convolutions }
        }
        _ => convolutions,
    }
}
