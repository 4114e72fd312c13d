//! Suites: sets of measurements with promises.

use std::path::PathBuf;

use serde_json::Value;
use zor::tasks::parts::data_sets::DataSet;

use crate::results;
use crate::table::Table;

/// The device that every suite runs on.
pub(super) const FLEX: &str = "flex";

/// A set of measurements with promises. Each is the constant `SUITE` of its own file, and an
/// element of [`super::SUITES`].
pub(crate) struct Suite {
    /// Name for `--suite`, and of the results file in `docs/results/`.
    pub(crate) name: &'static str,
    /// Data set that the suite needs.
    pub(crate) data: Option<&'static dyn DataSet>,
    /// Name for `--peer` of the program that Zor is compared with.
    pub(crate) peer: Option<&'static str>,
    /// Measures and prints a table.
    pub(super) run: fn(&SuiteFilter, Keep<'_>) -> Result<Value, String>,
    /// Adds the promised and the measured figures to a table.
    pub(crate) figures: fn(&Value, &mut Table),
}

impl Suite {
    /// Measures and prints a table. With `write`, the results file is rewritten after each part.
    pub(crate) fn run(&self, filter: &SuiteFilter, write: bool) -> Result<Value, String> {
        let keep = |raw: &Value| if write { results::write(self.name, raw) } else { Ok(()) };
        let raw = (self.run)(filter, &keep)?;
        keep(&raw)?;
        Ok(raw)
    }
}

/// Writes raw numbers, which may be incomplete, to the results file.
pub(super) type Keep<'a> = &'a dyn Fn(&Value) -> Result<(), String>;

/// Selects the parts of a suite to run, and the devices.
pub(crate) struct SuiteFilter {
    /// Names of devices.
    pub(crate) devices: Vec<String>,
    /// Whether the programs that Zor is compared with run too.
    pub(crate) peers: bool,
    /// Text that the names of rows must contain, in suites with named rows.
    pub(crate) only: String,
    /// Whether seeds in the results file are skipped, in suites with seeds: continues a suite that
    /// was interrupted.
    pub(crate) missing: bool,
    /// Folder of published results, in suites that check their scorer with them.
    pub(crate) published: Option<PathBuf>,
}

impl Default for SuiteFilter {
    fn default() -> Self {
        let devices = vec![FLEX.to_owned()];
        Self { devices, peers: false, only: String::new(), missing: false, published: None }
    }
}

impl SuiteFilter {
    /// Whether flex, the device of the promises, is selected.
    pub(super) fn is_on_flex(&self) -> bool {
        self.devices.iter().any(|name| name == FLEX)
    }

    /// The selected devices other than flex.
    pub(super) fn other_devices(&self) -> Vec<&str> {
        self.devices.iter().map(String::as_str).filter(|name| *name != FLEX).collect()
    }
}
