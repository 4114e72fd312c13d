//! Reconstruction of Fashion-MNIST: a 784-64-784 autoencoder for 28x28 images of clothing.

use zor_core::{Activation, Rule};
use zor_data::Augment;

use super::parts::data_sets::FashionMnistSet;
use super::parts::images::Subject;
use super::reconstruction::{Compared, Reconstruction};
use crate::settings::{OptimizerName, Options, RuleName, ScheduleName, Settings, TrainingSize};

/// The task `fashion-reconstruction`.
pub static FASHION_RECONSTRUCTION: Reconstruction = Reconstruction {
    name: "fashion-reconstruction",
    about: "Reconstruct images of clothing after training on one per class (Fashion-MNIST)",
    networks: &["dense"],
    subject: Subject { set: Some(&FashionMnistSet), ..Subject::OWN },
    preset,
    compares_with: Compared::Perceptrons,
};

fn preset(given: &Options) -> Settings {
    let size = given.training_size().unwrap_or(TrainingSize::PerClass(1));
    let few = match size {
        TrainingSize::PerClass(n) => Some(n),
        TrainingSize::Total(_) | TrainingSize::All => None,
    };
    let augment = given.get("augment").unwrap_or(few.is_some());
    let settings = tuned(given.rule(), few, augment);
    let samples_per_class = given.training_size().is_none().then_some(1);
    Settings { samples_per_class, augment, baseline: true, ..settings }
}

/// Returns the preset for `few` images per class, or for many images if `None`.
fn tuned(rule: RuleName, few: Option<usize>, augment: bool) -> Settings {
    // A handful of images fits in one batch.
    let (steps, batch) = match few {
        Some(n) if !augment => (500, n.saturating_mul(10).min(256)),
        _ => (1000, 256),
    };
    let classic = Settings {
        rule_settings: Rule::classic(),
        steps,
        batch,
        optimizer: OptimizerName::AdamW,
        learning_rate: 1e-3,
        schedule: ScheduleName::Constant,
        weight_decay: 0.01,
        hidden: 64,
        augmentation: Augment::shifts_and_flips(4),
        ..Settings::default()
    };
    if rule == RuleName::Classic {
        return classic;
    }
    let muon = Settings {
        rule_settings: Rule::default(),
        optimizer: OptimizerName::Muon,
        learning_rate: 0.02,
        schedule: ScheduleName::Linear,
        momentum: Some(0.9),
        weight_decay: 0.0,
        output_activation: Activation::Relu,
        ..classic
    };
    match (few, augment) {
        // A handful of images, repeated: components outside their span must decay, and presynaptic
        // normalisation per pixel would leave the span.
        (Some(n), false) => {
            let basis = Settings {
                rule_settings: Rule {
                    threshold: -2.0,
                    normalize_presynaptic: false,
                    initial_scale: 0.02,
                    ..Rule::default()
                },
                weight_decay: 1.0,
                ..muon
            };
            if n > 3 {
                return basis;
            }
            // Each batch is the whole set: there is no gradient noise for momentum to average, and
            // steps without it are cheaper.
            Settings {
                steps: 100,
                learning_rate: 0.5,
                momentum: Some(0.0),
                weight_decay: 0.45,
                ..basis
            }
        }
        // Stretched and spliced images show more kinds of clothing than the few training images.
        (Some(_), true) => Settings {
            steps: 1200,
            batch: 128,
            augmentation: Augment {
                shift: 2,
                stretch: 0.5,
                splice: 0.8,
                dim: 0.5,
                fold: 0.35,
                invert: 0.25,
                ..Augment::default()
            },
            ..muon
        },
        (None, _) => Settings { steps: 5000, ..muon },
    }
}
