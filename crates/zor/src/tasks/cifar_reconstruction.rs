//! Reconstruction of small colour photographs: an autoencoder with a code of 728 numbers for the
//! 32x32 images of CIFAR-10.

use zor_core::Rule;
use zor_data::{Augment, ImageShape};

use super::parts::data_sets::Cifar10Set;
use super::parts::images::Subject;
use super::parts::presets::{photographs, stateless};
use super::reconstruction::{Compared, Reconstruction};
use crate::settings::{OptimizerName, Options, RuleName, ScheduleName, Settings, TrainingSize};

/// The task `cifar-reconstruction`.
pub static CIFAR_RECONSTRUCTION: Reconstruction = Reconstruction {
    name: "cifar-reconstruction",
    about: "Learn to reproduce small colour photographs",
    networks: &["dense", "conv"],
    subject: Subject { set: Some(&Cifar10Set), evaluated: Some(2000), check: check_size },
    preset,
    compares_with: Compared::Backprop,
};

/// The remedy for images that the network cannot be made for.
pub(crate) fn check_size(settings: &Settings, shape: ImageShape) -> Option<&'static str> {
    let is_multiple = shape.height.is_multiple_of(4) && shape.width.is_multiple_of(4);
    (settings.network == "conv" && !is_multiple)
        .then_some("its network takes multiples of 4; resize or crop them")
}

pub(crate) fn preset(given: &Options) -> Settings {
    let size = given.training_size().unwrap_or(TrainingSize::All);
    let is_conv = given.network().as_deref() == Some("conv");
    let augment = given.get("augment").unwrap_or(is_conv || size != TrainingSize::All);
    Settings { augment, ..tuned(given.rule(), is_conv, size, augment) }
}

fn tuned(rule: RuleName, is_conv: bool, size: TrainingSize, augment: bool) -> Settings {
    let pool = match size {
        TrainingSize::PerClass(n) => n.saturating_mul(10),
        TrainingSize::Total(n) => n,
        TrainingSize::All => usize::MAX,
    };
    // Whole photographs, not things on black.
    let augmentation = match size {
        TrainingSize::All => Augment::shifts_and_flips(0),
        _ => photographs(),
    };
    let muon = Settings {
        // No code is sparse here: a linear one of this size is hard to beat, and gates that close
        // make it smaller.
        rule_settings: Rule { threshold: -2.0, ..stateless(rule) },
        steps: 500,
        batch: 512,
        optimizer: OptimizerName::Muon,
        learning_rate: 0.05,
        hidden: 728,
        schedule: ScheduleName::Linear,
        momentum: Some(0.9),
        augmentation,
        ..Settings::default()
    };
    if rule == RuleName::Classic {
        return Settings {
            optimizer: OptimizerName::AdamW,
            learning_rate: 1e-3,
            momentum: None,
            weight_decay: 0.01,
            ..muon
        };
    }
    if is_conv {
        // Early on normalisation helps here too; held out it costs 0.2 dB after 1,200 steps.
        return Settings {
            rule_settings: Rule {
                normalize_signal: false,
                normalize_presynaptic: false,
                ..stateless(rule)
            },
            steps: 1200,
            batch: 128,
            augmentation: Augment::shifts_and_flips(0),
            ..muon
        };
    }
    // So few images, over and over, are a basis: what is not in their span has to come out as zero.
    // A presynaptic normalisation by pixel would lead out of it, larger initial weights would
    // respond to inputs outside of it, and so would a gate that closes.
    if pool <= 1000 && !augment {
        return Settings {
            rule_settings: Rule {
                threshold: -100.0,
                normalize_presynaptic: false,
                initial_scale: 0.002,
                ..muon.rule_settings
            },
            // Directions in which they hardly differ are learned last.
            steps: if pool <= 100 { 100 } else { 500 },
            learning_rate: if pool <= 100 { 0.05 } else { 0.15 },
            batch: pool.min(500),
            ..muon
        };
    }
    muon
}
