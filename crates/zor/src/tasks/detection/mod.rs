//! Detection of anomalies in tables and series, learned from normal rows.
//!
//! A network learns to restore rows in which cells are hidden and noisy. A row that it restores
//! badly is strange. The module `restoration` defines the score, and [`Calibration`] raises alarms
//! at a promised rate.

mod calibrate;
mod calibration;
mod detector;
mod device;
mod masks;
pub mod metrics;
mod online;
mod restoration;
mod rows;
mod scheme;
mod scoring;

use std::ops::ControlFlow;
use std::sync::Arc;

use zor_core::{
    BiasConfig, DenseConfig, ErrorMetrics, GateConfig, Network, NetworkBuilder, Random,
};
use zor_data::Examples;
use zor_data::table::Table;

use self::calibrate::calibrate;
pub use self::calibration::Calibration;
pub use self::detector::{Cause, Detection, Detector, DetectorConfig};
pub(crate) use self::device::compile;
pub use self::masks::Masks;
pub use self::online::{OnlineConfig, OnlineDetector, OnlineScore};
use self::restoration::Restored;
pub use self::rows::Rows;
pub use self::scheme::{Reader, Scheme};
pub use self::scoring::Scoring;
use super::parts::comparison::headline;
use super::parts::presets::{idle_for_tables, stateless};
use super::parts::selection;
use crate::error::{Error, Result};
use crate::report::{Report, Watch};
use crate::settings::{Options, ScheduleName, Settings};
use crate::task::{
    Calibrated, Data, DataLocation, Evaluation, EvaluationSet, Figure, Model, Outcome, Predict,
    Score, Task, Unit,
};
use crate::training::Method;
use crate::training::checkpoint::{check_metadata, metadata_len};

/// The task `detection`.
pub static DETECTION: AnomalyDetection = AnomalyDetection;

/// Minimum number of normal rows.
const LEAST_ROWS: usize = 8;
/// Number of normal rows from which some are held out. Of fewer, every row is trained on, and
/// scores are calibrated by parts of the rows.
const HOLD_OUT_FROM: usize = 1000;
/// Maximum number of held-out rows.
const MAX_HELD_OUT: usize = 2000;
/// Interval of held-out rows: every fifth row.
const HELD_OUT: usize = 5;
/// Maximum number of rows that are trained on; of more, a random selection is used.
const MAX_ROWS: usize = 100_000;
/// Number of bytes of a cell in a model file, at most: its scale, and its place in the masks.
const CELL_BYTES: usize = 60;
/// Random stream for the selection of rows, separate from other uses of the seed.
const SELECTION_STREAM: u64 = 0x6465_7465_6374;

/// Detection of anomalies.
#[derive(Debug)]
pub struct AnomalyDetection;

impl Task for AnomalyDetection {
    fn name(&self) -> &'static str {
        "detection"
    }

    fn about(&self) -> &'static str {
        "Detect anomalies, learned from normal rows of your own table or series (--data FILE.csv)"
    }

    fn networks(&self) -> &'static [&'static str] {
        &["dense"]
    }

    fn commands(&self) -> &'static [&'static str] {
        &["detect"]
    }

    fn preset(&self, given: &Options) -> Settings {
        Settings {
            rule_settings: stateless(given.rule()),
            steps: 200,
            batch: 128,
            learning_rate: 0.02,
            schedule: ScheduleName::Linear,
            hidden: 64,
            ..Settings::default()
        }
    }

    fn without_effect(&self, settings: &Settings) -> Vec<(&'static str, String)> {
        let mut idle = idle_for_tables();
        idle.extend([
            ("target", "a detector has no target; it reads all columns".to_owned()),
            ("target_kind", "a detector has no target".to_owned()),
            ("label_smoothing", "a detector has no classes".to_owned()),
            ("class_balance", "a detector has no classes".to_owned()),
            ("output_activation", "the outputs of the network are linear".to_owned()),
            ("data_dir", "the task uses your own data; give it with --data".to_owned()),
            ("samples_per_class", "a detector has no classes; give train_samples".to_owned()),
            ("baseline", "detectors have no baseline".to_owned()),
        ]);
        if settings.window == 1 {
            idle.push(("stride", "the window is one row; give --window for a series".to_owned()));
        }
        idle
    }

    fn load(&self, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Data> {
        let path = settings.data.as_deref().ok_or_else(|| {
            Error::input(
                "the task detection needs your own data: normal rows; give a .csv, .npy or .npz \
                 file with --data",
            )
        })?;
        let (data, notes) = data_of(&Table::read(path)?, settings)?;
        notes.iter().for_each(|note| tell(&format!("note: {note}")));
        Ok(Data { source: crate::shown(path), ..data })
    }

    /// Rows as the model encodes them. The normal ones are those to train on.
    fn load_for(&self, model: &Model, place: &DataLocation) -> Result<(Data, Vec<String>)> {
        let path = place.table_file()?;
        let table = Table::read(path)?;
        let scoring = Scoring::of(model)?;
        let label = place.label.as_deref().or(model.plan.settings.label.as_deref());
        let label = label.filter(|label| table.columns().iter().any(|name| name == label));
        let rows = Rows::scored(scoring, &table, label)?;
        let (name, width) = (rows.name().to_owned(), rows.width());
        let train = Arc::new(rows.normal()) as Arc<dyn Examples>;
        let data = Data::new(train, Arc::new(rows) as Arc<dyn Examples>, width);
        Ok((Data { evaluation_name: name, unit: "rows", ..data }, Vec::new()))
    }

    fn fit_settings(&self, data: &Data, settings: &mut Settings) {
        let n = data.train.len();
        // More rows are worth more steps.
        settings.steps = if n < HOLD_OUT_FROM { 200 } else { 2000 };
    }

    fn evaluation_sets(&self, model: &Model, place: &DataLocation) -> Result<Vec<EvaluationSet>> {
        let path = place.table_file()?;
        let scoring = Scoring::of(model)?;
        let rows = Rows::scored(scoring, &Table::read(path)?, place.label.as_deref())?;
        Ok(vec![EvaluationSet {
            name: rows.name().to_owned(),
            examples: Arc::new(rows),
            remarks: Vec::new(),
            left_out: 0,
            unit: "rows",
        }])
    }

    fn network(&self, settings: &Settings, input: &[usize], _: usize) -> Result<NetworkBuilder> {
        let outputs = input.iter().product::<usize>() / 2;
        let mut network = Network::builder(input);
        for _ in 0..2 {
            network = network
                .layer(DenseConfig::new(settings.hidden))
                .layer(BiasConfig::default())
                .layer(GateConfig::default());
        }
        Ok(network.layer(DenseConfig::new(outputs)).layer(BiasConfig::default()))
    }

    fn learned_from(&self, data: &Data, settings: &Settings) -> Result<Arc<dyn Examples>> {
        Ok(Arc::new(calibrate::rows(&*data.train)?.clone().corrupted(settings)))
    }

    fn evaluate(&self, of: &Evaluation<'_>, predict: &mut Predict<'_>) -> Result<Score> {
        let rows = calibrate::rows(of.examples)?;
        let masks = match &rows.scoring {
            Some(scoring) => scoring.masks.clone(),
            None => calibrate::masks(rows.scheme(), of.settings),
        };
        let all = rows.all();
        let restored = Restored::of(&all, rows.cells(), &masks, of.device, predict)?;
        let pairs = all.iter().copied().flatten().zip(&restored.expected);
        let (targets, expected): (Vec<f32>, Vec<f32>) =
            pairs.filter(|(target, _)| !target.is_nan()).unzip();
        let mut score = Score { samples: rows.len(), ..Score::default() };
        score.deviation = ErrorMetrics::between(&targets, &expected)?;
        // Before the calibration, the rows that are not known to be anomalies give the scales.
        let scales = match &rows.scoring {
            Some(scoring) => scoring.scales.clone(),
            None => restored.scales_of(|row| rows.anomalies().is_none_or(|is| !is[row])),
        };
        let scores = restored.scores(&scales);
        if let Some(is_anomaly) = rows.anomalies() {
            let auroc = metrics::auroc(&scores, is_anomaly);
            let precision = metrics::average_precision(&scores, is_anomaly);
            let named = [("auroc", "AUROC", auroc), ("average_precision", "AP", precision)];
            score.figures.extend(named.into_iter().filter_map(|(name, label, value)| {
                Some(Figure::new(name, label, value?, Unit::Number))
            }));
        }
        score.figures.push(Figure::mae(&score.deviation));
        Ok(score)
    }

    fn calibrate(
        &self,
        outcome: &Outcome<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Option<Calibrated>> {
        let Outcome { plan, data, network, device, .. } = *outcome;
        let trainings = calibrate::trainings(data)? as u64;
        if trainings > 0 {
            let about = format!("{trainings} networks, each for the rows that it does not learn");
            watch.start("calibration", trainings * plan.settings.steps, &about);
        }
        let mut steps = 0;
        let scoring = calibrate(plan, data, network, Method::LocalRule, device, &mut |training| {
            steps += 1;
            watch.step(steps, &mut || headline(training));
            if watch.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if trainings > 0 {
            watch.finish(steps, "calibrated");
        }
        let notes = scoring.note()?;
        let mut rows = calibrate::rows(&*data.evaluation)?.clone();
        rows.scoring = Some(Arc::new(scoring));
        let settings = &plan.settings;
        let mut workspace = zor_core::Workspace::new(device);
        let of = Evaluation {
            settings,
            examples: &rows,
            device,
            network: Some(network),
            is_glance: false,
        };
        let evaluation = self
            .evaluate(&of, &mut |input| self.predict(network, settings, input, &mut workspace))?;
        Ok(Some(Calibrated { notes, evaluation }))
    }

    fn report(&self, outcome: &Outcome<'_>, _: &mut dyn Watch, report: &mut Report) {
        report.axis = match outcome.evaluation.headline() {
            Some(figure) if figure.name == "auroc" => "AUROC of held-out rows".to_owned(),
            _ => "MAE of hidden cells, standardised".to_owned(),
        };
    }
}

/// Returns the examples of a table: its normal rows to train on, and rows to evaluate on. Also
/// returns notes for the user.
pub(crate) fn data_of(table: &Table, settings: &Settings) -> Result<(Data, Vec<String>)> {
    let label = settings.label.as_deref();
    let is_anomaly = label.map(|name| scheme::labels(table, name)).transpose()?;
    let normal: Vec<usize> =
        (0..table.len()).filter(|&row| is_anomaly.as_ref().is_none_or(|is| !is[row])).collect();
    if normal.len() < LEAST_ROWS {
        return Err(Error::input(format!(
            "{}: it has {} normal rows; at least {LEAST_ROWS} are needed",
            table.name(),
            normal.len()
        )));
    }
    let (scheme, mut notes) = Scheme::fit(table, &normal, settings)?;
    let description = serde_json::to_string(&scheme).map_err(|e| Error::input(e.to_string()))?;
    let bytes = metadata_len(&description) + CELL_BYTES * scheme.cells().len();
    check_metadata(table.name(), bytes)?;
    let scheme = Arc::new(scheme);
    let rows = Rows::read(&scheme, table, label)?;
    let mut normal: Vec<usize> =
        (0..rows.len()).filter(|&row| rows.anomalies().is_none_or(|is| !is[row])).collect();
    let anomalies: Vec<usize> =
        (0..rows.len()).filter(|&row| rows.anomalies().is_some_and(|is| is[row])).collect();
    if normal.len() < LEAST_ROWS {
        return Err(Error::input(format!(
            "{}: it has {} normal windows of {} rows; at least {LEAST_ROWS} are needed",
            table.name(),
            normal.len(),
            scheme.windowing.window
        )));
    }
    if normal.len() > MAX_ROWS {
        Random::stream(settings.seed, SELECTION_STREAM).shuffle(&mut normal);
        normal.truncate(MAX_ROWS);
        normal.sort_unstable();
        notes.push(format!("{MAX_ROWS} of the {} rows are used, chosen at random", rows.len()));
    }
    let held_out = match settings.hold_out {
        Some(n) if n + LEAST_ROWS > normal.len() => {
            return Err(Error::input(format!(
                "hold_out is {n}, but there are only {} normal rows in all; at least {LEAST_ROWS} \
                 must be left",
                normal.len()
            )));
        }
        Some(n) => n,
        None if normal.len() < HOLD_OUT_FROM && !anomalies.is_empty() => normal.len() / HELD_OUT,
        None if normal.len() < HOLD_OUT_FROM => 0,
        None => (normal.len() / HELD_OUT).min(MAX_HELD_OUT),
    };
    let is_held_out = |place: usize| {
        // Evenly spaced in a table; the last ones of a series.
        let n = normal.len();
        match scheme.windowing.window {
            1 => (place + 1) * held_out / n > place * held_out / n,
            _ => place >= n - held_out,
        }
    };
    let train: Vec<usize> =
        (0..normal.len()).filter(|&place| !is_held_out(place)).map(|place| normal[place]).collect();
    let mut evaluated: Vec<usize> =
        (0..normal.len()).filter(|&place| is_held_out(place)).map(|place| normal[place]).collect();
    let mut random = Random::stream(settings.seed, SELECTION_STREAM);
    let mut train =
        rows.select(&selection::learned_from(train, None, settings, &mut random, "rows")?);
    train.by_folds = normal.len() < HOLD_OUT_FROM && settings.hold_out.is_none();
    let name = match (held_out, anomalies.len()) {
        (0, 0) => "the training rows".to_owned(),
        (n, 0) => format!("{n} normal rows (held out)"),
        (n, anomalies) => format!("{n} normal rows (held out) and {anomalies} anomalies"),
    };
    evaluated.extend(anomalies);
    let evaluation = if evaluated.is_empty() { train.clone() } else { rows.select(&evaluated) };
    let outputs = scheme.width();
    let [train, evaluation] = [train, evaluation].map(|rows| Arc::new(rows) as Arc<dyn Examples>);
    let data =
        Data { evaluation_name: name, unit: "rows", ..Data::new(train, evaluation, outputs) };
    Ok((data, notes))
}
