//! Building blocks for presets.
//!
//! Presets were tuned on held-out training images (10,000 to 20,000, for classification 50,000 to
//! 60,000), never on images that a reported metric is measured on.

use zor_core::{Rule, SparsityControl};
use zor_data::{Augment, Border};

use crate::settings::{RuleName, Settings};

/// Returns a rule without state, for shuffled images: charges belong to batch rows and would mix
/// images.
pub(crate) fn stateless(rule: RuleName) -> Rule {
    match rule {
        RuleName::Default | RuleName::Backprop => Rule::default(),
        RuleName::Classic => Rule { stateful: false, ..Rule::classic() },
    }
}

/// Returns the rule for classifiers with a target spike rate: inhibition, without normalisation.
pub(crate) fn inhibited(rule: Rule) -> Rule {
    Rule {
        sparsity: SparsityControl::Inhibition,
        normalize_signal: false,
        normalize_presynaptic: false,
        ..rule
    }
}

/// Augmentation for networks trained on few photographs: shifts, stretches and flips, with mirrored
/// borders.
pub(crate) fn photographs() -> Augment {
    Augment { border: Border::Mirror, stretch: 0.3, ..Augment::shifts_and_flips(4) }
}

/// Returns the settings that have an effect on images only, each with the reason.
pub(crate) fn idle_for_tables() -> Vec<(&'static str, String)> {
    let images = [
        "augment",
        "early_crop",
        "test_time_flip",
        "test_time_shift",
        "resize",
        "crop",
        "skip_damaged",
    ];
    images.map(|key| (key, "it is for images, but the data is a table".to_owned())).into()
}

/// Returns the settings that have an effect on detectors or translation only, each with the reason.
pub(crate) fn idle_for_other_tasks() -> Vec<(&'static str, String)> {
    let mut idle = idle_for_translation();
    idle.push(("translation", "it is for the task translation".to_owned()));
    idle
}

/// Returns the settings that have an effect on detectors only, each with the reason.
pub(crate) fn idle_for_translation() -> Vec<(&'static str, String)> {
    let detection = ["label", "time", "window", "stride", "detection"];
    detection.map(|key| (key, "it is for the task detection".to_owned())).into()
}

/// Returns the settings of image tasks that have no effect given the others, each with the reason.
pub(crate) fn idle_for_images(
    settings: &Settings,
    has_labels: bool,
    has_output_gate: bool,
    has_hidden: bool,
    has_early_crop: bool,
) -> Vec<(&'static str, String)> {
    let (task, network) = (&settings.task, &settings.network);
    let mut idle = vec![
        ("target", "it is a table column; give a table as data".to_owned()),
        ("target_kind", "it is for table columns".to_owned()),
        ("ignore", "it is for table columns".to_owned()),
    ];
    idle.extend(idle_for_other_tasks());
    if !has_labels {
        for key in ["label_smoothing", "class_balance"] {
            idle.push((key, format!("the task is {task}, which has no labels")));
        }
        for key in ["test_time_flip", "test_time_shift"] {
            idle.push((key, format!("it is for classification; the task is {task}")));
        }
    }
    if !has_hidden {
        idle.push((
            "hidden",
            format!("the layer sizes of the network '{network}' of {task} are fixed"),
        ));
    }
    if !has_output_gate {
        idle.push((
            "output_activation",
            format!(
                "the network '{network}' of {task} has no output gate; the dense networks of reconstruction tasks have one"
            ),
        ));
    }
    if !has_early_crop {
        idle.push((
            "early_crop",
            "it is for convolutional networks of classification and colorization without target_spike_rate"
                .to_owned(),
        ));
    }
    idle
}
