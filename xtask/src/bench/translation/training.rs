//! A training that survives an interruption: it goes on from its last checkpoint in the target
//! folder, and leaves its model there.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::Value;
use zor::prelude::Device;
use zor::task::{Data, Plan};
use zor::training::checkpoint::{self, Checkpoint, Provenance};
use zor::training::{Method, Training};

use crate::paths::{root, text};

/// Steps between checkpoints.
const EVERY: u64 = 250;

/// Trains to the last step.
pub(super) fn to_end(name: &str, plan: &Plan, data: &Data) -> Result<Training, String> {
    let folder = folder(name, plan.settings.seed)?;
    let provenance = Provenance::new(plan, data, None).map_err(text)?;
    let start = start(&folder, plan, data, &provenance)?;
    let mut failed = None;
    let mut printed = start.curve.len();
    let trained = start.run(plan, data, Method::LocalRule, &mut |training| {
        for point in training.curve.iter().skip(printed) {
            let figures = Value::from(point.evaluation.to_json());
            println!("  step {}, {:.0} s: {figures}", point.step, point.seconds);
        }
        printed = training.curve.len();
        if training.steps.is_multiple_of(EVERY) {
            let kept = checkpoint::save(training, &plan.settings, &provenance, &folder)
                .and_then(|_| checkpoint::prune(&folder, &provenance, 1, training));
            failed = kept.err();
        }
        if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let trained = trained.map_err(text)?;
    if let Some(error) = failed {
        return Err(text(error));
    }
    let path = folder.join("model.zor");
    zor::io::save(&trained.network, &provenance.notes(&trained), &path).map_err(text)?;
    println!("  {}", path.display());
    Ok(trained)
}

fn folder(name: &str, seed: u64) -> Result<PathBuf, String> {
    let name: String = name.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
    let folder = root().join(format!("target/translation/{name}-{seed}"));
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// The last checkpoint of the run in a folder, or a new training.
fn start(
    folder: &std::path::Path,
    plan: &Plan,
    data: &Data,
    provenance: &Provenance,
) -> Result<Training, String> {
    let device = Device::flex();
    if let Ok(path) = checkpoint::latest(folder) {
        let found = Checkpoint::load(&path, &device).map_err(text)?;
        let is_own = found.run.as_deref() == Some(provenance.run());
        if is_own && found.check(&plan.settings, provenance, false).is_ok() {
            println!("  from step {}", found.training.steps);
            return Ok(found.training);
        }
    }
    Training::start(plan, data, &device).map_err(text)
}
