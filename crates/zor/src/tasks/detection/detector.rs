//! A detector of anomalies for programs: fit, score, explain, adapt, save and load.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use toml::Value;
use zor_core::burn::tensor::Device;
use zor_core::{Network, Workspace};
use zor_data::table::Table;
use zor_data::{Batch, Draw, Examples};
use zor_optim::Sgd;

use super::calibrate::calibrate;
use super::restoration::Restored;
use super::rows::Rows;
use super::scoring::Scoring;
use super::{DETECTION, data_of};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::Options;
use crate::task::{Model, Plan};
use crate::training::checkpoint::Provenance;
use crate::training::{Method, Training};

/// Number of rows without alarm from which a batch is drawn while adapting.
const RECENT: usize = 64;
/// Number of rows without alarm after which a detector takes a step.
const ADAPT_EVERY: usize = 16;
/// Learning rate of the steps while adapting.
const ADAPT_RATE: f32 = 1e-3;

/// Settings of a detector. The defaults are those of `zor train detection`.
///
/// ```
/// use zor::detection::DetectorConfig;
/// let config = DetectorConfig::new().seed(1).window(32).set("detection.noise", 0.2)?;
/// # Ok::<(), zor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DetectorConfig {
    options: Options,
    method: Method,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self { options: Options::default(), method: Method::LocalRule }
    }
}

impl DetectorConfig {
    /// The default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Settings as [`Options`], such as from a file.
    pub fn of(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Sets the random seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.with("seed", i64::try_from(seed).unwrap_or(i64::MAX))
    }

    /// Sets how the network is trained: the local rule if not set, or autodiff to compare it with.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sets the number of training steps.
    #[must_use]
    pub fn steps(self, steps: u32) -> Self {
        self.with("steps", i64::from(steps))
    }

    /// Sets the number of units in each hidden layer.
    #[must_use]
    pub fn hidden(self, units: u32) -> Self {
        self.with("hidden", i64::from(units))
    }

    /// Reads `rows` consecutive rows of a series together.
    #[must_use]
    pub fn window(self, rows: u32) -> Self {
        self.with("window", i64::from(rows))
    }

    /// Names the column with time stamps: numbers or dates. A window does not span a gap.
    #[must_use]
    pub fn time(self, column: &str) -> Self {
        self.with("time", column)
    }

    /// Names columns that are not read.
    #[must_use]
    pub fn ignore(self, columns: &[&str]) -> Self {
        let names: Vec<Value> = columns.iter().map(|&name| name.into()).collect();
        self.with("ignore", names)
    }

    /// Sets any other setting that `zor tasks detection` lists, such as `detection.noise`.
    ///
    /// # Errors
    /// When there is no such setting.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Result<Self> {
        let text = format!("{key} = {}", value.into());
        let table = text.parse().map_err(|_| Error::input(format!("'{key}' is not a key")))?;
        self.options = Options::from_table(table)?.or(self.options);
        Ok(self)
    }

    /// Sets a key that exists.
    fn with(self, key: &str, value: impl Into<Value>) -> Self {
        let before = self.clone();
        self.set(key, value).unwrap_or(before)
    }
}

/// Score of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Score. A larger one is stranger; those of normal rows are mostly below 1.
    pub score: f32,
    /// Conformal p-value, in (0, 1]: how rare such a score is among normal rows.
    pub p_value: f32,
    /// Part of each cell in the score, in the order of [`Scheme::cells`](super::Scheme::cells); NaN
    /// for missing cells.
    pub parts: Vec<f32>,
    /// Encoded values of the row.
    pub values: Vec<f32>,
    /// Values that were expected where they were hidden, encoded as the inputs are.
    pub expected: Vec<f32>,
}

/// A cell that makes a row strange.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// Name of the column; in a window, with the age of the row.
    pub column: String,
    /// Share of the row's score, in [0, 1].
    pub share: f32,
    /// Value of the cell in its unit.
    pub value: String,
    /// Value that was expected, given the other cells of the row.
    pub expected: String,
}

/// A detector of anomalies, learned from normal rows.
///
/// ```
/// use zor::core::burn::tensor::Device;
/// use zor::data::table::Table;
/// use zor::detection::{Detector, DetectorConfig};
///
/// let normal: String = (0..32).map(|x| format!("{x},{}\n", 2 * x)).collect();
/// let normal = Table::parse("normal.csv", format!("a,b\n{normal}").as_bytes())?;
/// let config = DetectorConfig::new().steps(200);
/// let mut detector = Detector::fit(&config, &normal, &Device::flex())?;
///
/// let rows = Table::parse("rows.csv", b"a,b\n10,20\n10,60\n")?;
/// let found = detector.score(&rows)?;
/// assert!(found[1].score > found[0].score);
/// let cause = &detector.explain(&found[1], 1)[0];
/// assert!(cause.column == "a" || cause.column == "b");
/// # Ok::<(), zor::Error>(())
/// ```
#[derive(Debug)]
pub struct Detector {
    network: Network,
    plan: Plan,
    scoring: Scoring,
    /// Ranges of the values of each cell.
    cells: Arc<[Range<usize>]>,
    workspace: Workspace,
    /// Metadata of the model file.
    notes: BTreeMap<String, String>,
    /// Last rows without alarm, for adapting, and the number of rows since the last step.
    recent: VecDeque<Vec<f32>>,
    since: usize,
    /// Number of steps taken while adapting.
    steps: u64,
}

impl Detector {
    /// Learns what is normal from the rows of a table.
    ///
    /// # Errors
    /// When a setting is not valid, there are fewer than 8 rows, a cell cannot be read, or the
    /// training fails.
    pub fn fit(config: &DetectorConfig, normal: &Table, device: &Device) -> Result<Self> {
        Self::fit_observed(config, normal, device, &mut |_| ControlFlow::Continue(()))
    }

    /// [`Detector::fit`], which calls `on_step` after each step, of the network and of those for
    /// its calibration, until it breaks.
    ///
    /// # Errors
    /// Those of [`Detector::fit`], and [`ErrorKind::Interrupted`] if `on_step` breaks.
    pub fn fit_observed(
        config: &DetectorConfig,
        normal: &Table,
        device: &Device,
        on_step: &mut dyn FnMut(&mut Training) -> ControlFlow<()>,
    ) -> Result<Self> {
        let mut plan = Plan::new(&DETECTION, &config.options)?;
        let (data, _) = data_of(normal, &plan.settings)?;
        plan.fit_to(&config.options, &data)?;
        let start = Training::start(&plan, &data, device)?;
        let trained = start.run(&plan, &data, config.method, on_step)?;
        if trained.stopped {
            let message = format!("after step {} of the detector's training", trained.steps);
            return Err(Error::new(ErrorKind::Interrupted, message));
        }
        let scoring = calibrate(&plan, &data, &trained.network, config.method, device, on_step)?;
        let mut notes = Provenance::new(&plan, &data, None)?.notes(&trained);
        notes.extend(scoring.note()?);
        Ok(Self::with(trained.network, plan, scoring, notes))
    }

    /// Loads a detector from a model file, a run folder or a task folder.
    ///
    /// # Errors
    /// When there is no model, the file is damaged, or it is a model of another task.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        Self::of(Model::load(path, device)?)
    }

    /// Loads a detector from the contents of a model file.
    ///
    /// # Errors
    /// Those of [`Detector::load`].
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self> {
        Self::of(Model::from_bytes(bytes, device)?)
    }

    /// Returns the detector of a model.
    ///
    /// # Errors
    /// When it is a model of another task, or has no calibrated scores.
    pub fn of(model: Model) -> Result<Self> {
        model.check_command("detect")?;
        let scoring = Scoring::of(&model)?;
        Ok(Self::with(model.network, model.plan, scoring, model.notes))
    }

    fn with(
        network: Network,
        plan: Plan,
        scoring: Scoring,
        notes: BTreeMap<String, String>,
    ) -> Self {
        let workspace = Workspace::new(network.device());
        Self {
            network,
            plan,
            cells: scoring.scheme.cells(),
            scoring,
            workspace,
            notes,
            recent: VecDeque::new(),
            since: 0,
            steps: 0,
        }
    }

    /// Saves the detector as a model file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut notes = self.notes.clone();
        notes.extend(self.scoring.note()?);
        Ok(zor_io::save(&self.network, &notes, path)?)
    }

    /// Returns the contents of the model file that [`Detector::save`] writes.
    ///
    /// # Errors
    /// When the notes of the file become too large.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut notes = self.notes.clone();
        notes.extend(self.scoring.note()?);
        Ok(zor_io::checkpoint_bytes(&self.network, &notes)?)
    }

    /// The network that restores rows.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Compiles the detector for small devices, with its threshold for a false-alarm rate. In
    /// int8, `normal` has rows like those that the program will score.
    ///
    /// # Errors
    /// When the rate cannot be promised, a column is missing, or a column has no form in single
    /// precision.
    pub fn compile(
        &self,
        dtype: zor_compile::DType,
        false_alarm_rate: f32,
        normal: &Table,
    ) -> Result<zor_compile::Program> {
        let rows = Rows::read(&Arc::new(self.scoring.scheme.clone()), normal, None)?;
        super::device::compile(&self.network, &self.scoring, dtype, false_alarm_rate, &rows)
    }

    /// What the detector reads, and how it scores.
    pub fn scoring(&self) -> &Scoring {
        &self.scoring
    }

    /// Scores the rows of a table, or the windows of a series in the order of their last rows.
    ///
    /// # Errors
    /// When a column is missing, a cell does not match the kind of its column, or the prediction
    /// fails.
    pub fn score(&mut self, table: &Table) -> Result<Vec<Detection>> {
        let scheme = Arc::new(self.scoring.scheme.clone());
        let rows = Rows::read(&scheme, table, None)?;
        self.score_encoded(&rows.all())
    }

    /// Scores rows that were encoded by a [`Reader`](super::Reader) of the detector's scheme.
    ///
    /// # Errors
    /// When the prediction fails.
    pub fn score_encoded(&mut self, rows: &[&[f32]]) -> Result<Vec<Detection>> {
        let Self { network, plan, scoring, cells, workspace, .. } = self;
        let device = network.device().clone();
        let restored = Restored::of(rows, cells, &scoring.masks, &device, &mut |input| {
            plan.task.predict(network, &plan.settings, input, workspace)
        })?;
        let scores = restored.scores(&scoring.scales);
        let width = scoring.scheme.width();
        let detection = |(row, score): (usize, f32)| Detection {
            score,
            p_value: scoring.calibration.p_value(score),
            parts: restored.parts_of(row, &scoring.scales),
            values: rows[row].to_vec(),
            expected: restored.expected[row * width..][..width].to_vec(),
        };
        Ok(scores.into_iter().enumerate().map(detection).collect())
    }

    /// Returns the cells that make a row strange, the strangest first, at most `most`.
    pub fn explain(&self, detection: &Detection, most: usize) -> Vec<Cause> {
        let cells = &self.cells;
        let parts = &detection.parts;
        let total: f32 = parts.iter().filter(|part| !part.is_nan()).sum();
        let mut order: Vec<usize> = (0..parts.len()).filter(|&c| !parts[c].is_nan()).collect();
        order.sort_by(|a, b| parts[*b].total_cmp(&parts[*a]));
        let cause = |cell: usize| Cause {
            column: self.scoring.scheme.name(cell),
            share: parts[cell] / total.max(f32::MIN_POSITIVE),
            value: self.scoring.scheme.decoded(cell, &detection.values[cells[cell].clone()]),
            expected: self.scoring.scheme.decoded(cell, &detection.expected[cells[cell].clone()]),
        };
        order.into_iter().take(most).map(cause).collect()
    }

    /// Learns from an encoded row that raised no alarm: every 16 rows, a step of SGD on a batch of
    /// the last 64. The promise of the false-alarm rate ends with the first step, since the network
    /// is no longer the one that was calibrated.
    ///
    /// # Errors
    /// When the step fails.
    pub fn adapt(&mut self, row: &[f32]) -> Result<()> {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(row.to_vec());
        self.since += 1;
        if self.since < ADAPT_EVERY {
            return Ok(());
        }
        self.since = 0;
        let values: Vec<f32> = self.recent.iter().flatten().copied().collect();
        let scheme = Arc::new(self.scoring.scheme.clone());
        let rows = Rows::of_values(&scheme, values).corrupted(&self.plan.settings);
        let indices: Vec<usize> = (0..rows.len()).collect();
        let (first, seed) = (self.steps * RECENT as u64, self.plan.settings.seed);
        let mut batch = Batch::default();
        rows.fill(&Draw { indices: &indices, first, seed }, &mut batch);
        self.steps += 1;
        let device = self.network.device().clone();
        let (input, target) = self.plan.task.pair(&batch, &self.plan.settings, &device)?;
        self.network.train_batch(&Sgd::new(ADAPT_RATE), input, target)?;
        // A stream has no end, and its errors have no reader.
        self.network.set_history(Vec::new());
        Ok(())
    }
}
