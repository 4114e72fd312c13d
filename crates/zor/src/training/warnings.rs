//! Faults of settings and data that a training can be run with, but that make its figures mean
//! little.

use zor_core::{Layer, Network, Operation, ops};

use crate::settings::Precision;
use crate::task::{Data, Plan};

/// The faults, each as a sentence that names it and the remedy.
pub fn warnings(plan: &Plan, data: &Data, network: &Network) -> Vec<String> {
    let Plan { task, settings } = plan;
    let mut found: Vec<String> = data.train.notes().to_vec();
    found.extend(task.warnings(settings, data));
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

fn normalizes_batches(network: &Network) -> bool {
    fn operation(of: &Operation<'_>) -> bool {
        match of {
            Operation::BatchNorm { .. } => true,
            Operation::Layer(inner) => layer(*inner),
            Operation::Sequential(all) => all.iter().any(operation),
            Operation::Residual { layers, shortcut }
            | Operation::Concatenate { layers, shortcut } => {
                layers.iter().chain(shortcut).any(operation)
            }
            _ => false,
        }
    }
    fn layer(of: &dyn Layer) -> bool {
        match of.operation() {
            Ok(found) => operation(&found),
            Err(_) => of.children().into_iter().any(layer),
        }
    }
    network.layers().iter().any(|one| layer(one.as_ref()))
}
