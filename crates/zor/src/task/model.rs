//! A saved model with the plan of its training.

use std::collections::BTreeMap;
use std::path::PathBuf;

use zor_core::Network;

use super::Plan;

/// The key of the note with the names of classes, a JSON array.
const CLASSES: &str = "classes";

/// A saved model of `zor train`.
#[derive(Debug)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// The task and the settings of its training.
    pub plan: Plan,
    /// The notes of its file.
    pub notes: BTreeMap<String, String>,
    /// The file.
    pub path: PathBuf,
}

impl Model {
    /// The names of the model's classes, in the order of its outputs; `None` if it is not a
    /// classifier.
    pub fn classes(&self) -> Option<Vec<String>> {
        serde_json::from_str(self.notes.get(CLASSES)?).ok()
    }
}

/// The note of a model with the names of its classes.
pub(crate) fn note_of_classes(names: &[String]) -> (String, String) {
    (CLASSES.to_owned(), serde_json::json!(names).to_string())
}
