//! Suites: sets of measurements with promises.

use serde_json::Value;
use zor::tasks::parts::data_sets::DataSet;

use crate::results;
use crate::table::Table;

/// The device that every suite is measured on.
pub(super) const FLEX: &str = "flex";

/// A set of measurements with promises. Each lies in a file of its own as `SUITE`, and in
/// [`super::SUITES`].
pub(crate) struct Suite {
    /// The name for `--suite`, and that of its numbers under `docs/results/`.
    pub(crate) name: &'static str,
    /// The data set that it needs.
    pub(crate) data: Option<&'static dyn DataSet>,
    /// Measures and prints a table.
    pub(super) run: fn(&Choice, Keep<'_>) -> Result<Value, String>,
    /// Adds measured figures beside promised ones to a table.
    pub(crate) figures: fn(&Value, &mut Table),
    /// The meaning of the numbers in Markdown: where Zor loses, why, and a way to close the gap.
    pub(crate) remarks: &'static str,
}

impl Suite {
    /// Measures and prints a table. With `write` the numbers are kept under `docs/results/` as they
    /// come.
    pub(crate) fn run(&self, choice: &Choice, write: bool) -> Result<Value, String> {
        let keep = |raw: &Value| if write { results::write(self.name, raw) } else { Ok(()) };
        let raw = (self.run)(choice, &keep)?;
        keep(&raw)?;
        Ok(raw)
    }
}

/// Keeps numbers, whole or not yet whole.
pub(super) type Keep<'a> = &'a dyn Fn(&Value) -> Result<(), String>;

/// Which parts of a suite are measured, and where.
pub(crate) struct Choice {
    /// Names of devices.
    pub(crate) devices: Vec<String>,
    /// Whether the peers in Python are asked too.
    pub(crate) torch: bool,
    /// Words in the names of what is measured, where a suite has names.
    pub(crate) only: String,
    /// Whether seeds whose numbers are kept already are left out, where a suite has seeds: for one
    /// that was interrupted.
    pub(crate) missing: bool,
}

impl Default for Choice {
    fn default() -> Self {
        let devices = vec![FLEX.to_owned()];
        Self { devices, torch: false, only: String::new(), missing: false }
    }
}

impl Choice {
    /// Whether anything is measured on the device that the promises are about.
    pub(super) fn is_on_flex(&self) -> bool {
        self.devices.iter().any(|name| name == FLEX)
    }

    /// The other devices.
    pub(super) fn other_devices(&self) -> Vec<&str> {
        self.devices.iter().map(String::as_str).filter(|name| *name != FLEX).collect()
    }
}
