//! Faults of settings and data that a training can be run with, but that make its figures mean
//! little.

use zor_core::{Layer, Network, ops};

use crate::error::escaped;
use crate::settings::{Precision, Settings};
use crate::tasks::Data;

/// Names in a message, at most.
const NAMED: usize = 10;

/// The faults, each as a sentence that names it and the remedy.
pub fn warnings(settings: &Settings, data: &Data, network: &Network) -> Vec<String> {
    let mut found: Vec<String> = data.train.notes().to_vec();
    found.extend(settings.task.warnings(settings, data));
    if settings.precision != Precision::default() && !ops::is_asynchronous(network.device()) {
        found.push(format!(
            "precision {} has no effect on the CPU, which computes in f32",
            settings.precision.name()
        ));
    }
    let batch = if !settings.augment { data.train.len() } else { usize::MAX };
    if settings.batch.min(batch) == 1 && normalizes_batches(network) {
        found.push(
            "batches of one image under batch normalisation: every feature of a batch is its own mean; give a larger --batch"
                .to_owned(),
        );
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
