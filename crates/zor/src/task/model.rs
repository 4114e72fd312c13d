//! A saved model with the settings it was trained with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use zor_core::Network;

use super::Plan;

/// Metadata key of the class names, a JSON array.
const CLASSES: &str = "classes";

/// A model saved by `zor train`.
#[derive(Debug)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// The task and the settings of the training run.
    pub plan: Plan,
    /// Metadata of the file.
    pub notes: BTreeMap<String, String>,
    /// Path of the file.
    pub path: PathBuf,
}

impl Model {
    /// Returns the class names in the order of the outputs, or `None` if the model is not a
    /// classifier.
    pub fn classes(&self) -> Option<Vec<String>> {
        serde_json::from_str(self.notes.get(CLASSES)?).ok()
    }
}

/// Returns the metadata entry with the class names.
pub(crate) fn note_of_classes(names: &[String]) -> (String, String) {
    (CLASSES.to_owned(), serde_json::json!(names).to_string())
}
