//! Faults of settings and data that a training can be run with, but that make its figures mean little.

use zor_core::{Layer, Network, ops};
use zor_data::Dataset;

use crate::error::escaped;
use crate::images::RunData;
use crate::options::{Precision, Samples, Settings};

/// Names in a message, at most.
const NAMED: usize = 10;

/// The faults, each as a sentence that names it and the remedy.
pub fn warnings(settings: &Settings, data: &RunData, network: &Network) -> Vec<String> {
    let mut found: Vec<String> = data.train.notes().to_vec();
    if settings.task.is_classification() {
        found.extend(classes(&data.train));
    } else if matches!(settings.samples, Samples::PerClass(_)) && !data.train.has_labels() {
        found.push("the images have no classes: samples_per_class counts all of them".to_owned());
    }
    if settings.precision != Precision::default() && !ops::runs_ahead(network.device()) {
        found.push(format!(
            "precision {} has no effect on the CPU, which computes in f32",
            settings.precision.name()
        ));
    }
    let batch = if settings.augment.is_none() { data.train.len() } else { usize::MAX };
    if settings.batch.min(batch) == 1 && normalizes_batches(network) {
        found.push(
            "batches of one image under batch normalisation: every feature of a batch is its own mean; give a larger --batch"
                .to_owned(),
        );
    }
    found
}

/// The faults of the classes of a set to learn from.
fn classes(train: &Dataset) -> Vec<String> {
    let mut counts = vec![0usize; train.n_classes()];
    train.labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
    let of = |has: bool| -> Vec<&str> {
        let names = train.class_names().iter().zip(&counts);
        names.filter(|(_, n)| (**n > 0) == has).map(|(name, _)| name.as_str()).collect()
    };
    let (learned, never) = (of(true), of(false));
    if !train.has_labels() {
        return vec![
            "the images have no classes: put them into a folder for each class".to_owned(),
        ];
    }
    let mut found = Vec::new();
    if learned.len() == 1 {
        found.push(format!(
            "all images are of one class, {}: there is nothing to tell apart",
            list(&learned)
        ));
    }
    if !never.is_empty() {
        found.push(format!("no image of these classes is learned from: {}", list(&never)));
    }
    found
}

/// The first names, and how many more there are.
pub(crate) fn list(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| escaped(name.as_ref())).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

fn normalizes_batches(network: &Network) -> bool {
    fn visit(layer: &dyn Layer) -> bool {
        layer.kind() == "batch_norm" || layer.children().into_iter().any(visit)
    }
    network.layers().iter().any(|layer| visit(layer.as_ref()))
}
