//! Prediction of a column of a table from its other columns.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use zor_core::Workspace;
use zor_core::burn::tensor::Device;
use zor_core::burn::tensor::activation::softmax;
use zor_core::{BiasConfig, DenseConfig, GateConfig, Network, NetworkBuilder, Random, Rule};

use zor_data::table::{Rows, Schema, Table, WithTarget};

use super::parts::comparison::{self, train_backprop};
use super::parts::presets::{idle_for_other_tasks, idle_for_tables, stateless};
use super::parts::selection;
use crate::error::{Error, Result, listed};
use crate::report::{Picture, Report, Watch};
use crate::settings::{OptimizerName, Options, ScheduleName, Settings};
use crate::task::evaluation::{EVALUATION_BATCH, largest};
use crate::task::model::note_of_classes;
use crate::task::{
    Data, DataLocation, Evaluation, EvaluationSet, Figure, Model, Outcome, Predict, Score, Task,
    Unit, evaluate_with, in_batches, matrix,
};
use crate::training::run_folder::CONFUSION;

/// The task `table`.
pub static TABLE: TablePrediction = TablePrediction;

/// Metadata key of the [`Schema`], a JSON object.
const SCHEMA: &str = "schema";
/// Random stream for the selection of rows, separate from other uses of the seed.
const SELECTION_STREAM: u64 = 0x7461_626c_6573;
/// Interval of evaluation rows: every fifth row of each class.
const EVALUATED: usize = 5;

/// Prediction of a table column: classification or regression.
#[derive(Debug)]
pub struct TablePrediction;

impl Task for TablePrediction {
    fn name(&self) -> &'static str {
        "table"
    }

    fn about(&self) -> &'static str {
        "Predict a column of your own table (--data FILE.csv --target COLUMN)"
    }

    fn networks(&self) -> &'static [&'static str] {
        &["dense"]
    }

    fn commands(&self) -> &'static [&'static str] {
        &["predict"]
    }

    fn preset(&self, given: &Options) -> Settings {
        Settings {
            rule_settings: Rule {
                normalize_signal: false,
                normalize_presynaptic: false,
                ..stateless(given.rule())
            },
            steps: 1000,
            batch: 64,
            optimizer: OptimizerName::AdamW,
            learning_rate: 3e-3,
            schedule: ScheduleName::Linear,
            weight_decay: 2.0,
            label_smoothing: 0.1,
            hidden: 256,
            ..Settings::default()
        }
    }

    fn without_effect(&self, _: &Settings) -> Vec<(&'static str, String)> {
        let mut idle = idle_for_tables();
        idle.extend(idle_for_other_tasks());
        idle.push(("output_activation", "the outputs of the network are linear".to_owned()));
        idle.push(("data_dir", "the task uses your own data; give it with --data".to_owned()));
        idle
    }

    fn load(&self, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Data> {
        let path = settings.data.as_deref().ok_or_else(|| {
            Error::input(
                "the task table needs your own data; give a .csv, .npy or .npz file with --data",
            )
        })?;
        let table = Table::read(path)?;
        let Some(target) = settings.target.as_deref() else {
            return Err(Error::in_file(
                path,
                format!(
                    "give the column to predict with --target; the columns are {}",
                    listed(table.columns())
                ),
            ));
        };
        // The split needs the classes of all rows; means and standard deviations come from the
        // training rows only.
        let all: Vec<usize> = (0..table.len()).collect();
        let fit = |rows: &[usize]| -> Result<Schema> {
            Ok(Schema::fit(&table, rows, target, settings.target_kind, &settings.ignore)?)
        };
        let labels = fit(&all)?.labels(&table)?;
        let (train, evaluation, name) =
            split(table.name(), table.len(), labels.as_deref(), settings)?;
        let schema = fit(&train)?;
        schema.notes().iter().for_each(|note| tell(&format!("note: {note}")));
        let rows = schema.encode(&table, WithTarget::Required)?;
        Ok(data(rows.select(&train)?, rows.select(&evaluation)?, name, path))
    }

    fn load_for(&self, model: &Model, place: &DataLocation) -> Result<(Data, Vec<String>)> {
        let rows = read_for(model, place, WithTarget::Required)?;
        let settings = place.settings(&model.plan.settings);
        let (train, evaluation, name) = split(rows.name(), rows.len(), rows.labels(), &settings)?;
        let path = place.data.as_deref().unwrap_or(Path::new(""));
        let data = data(rows.select(&train)?, rows.select(&evaluation)?, name, path);
        Ok((data, Vec::new()))
    }

    fn evaluation_sets(&self, model: &Model, place: &DataLocation) -> Result<Vec<EvaluationSet>> {
        let rows = read_for(model, place, WithTarget::Required)?;
        let (name, remarks) = (rows.name().to_owned(), Vec::new());
        Ok(vec![EvaluationSet {
            name,
            examples: Arc::new(rows),
            remarks,
            left_out: 0,
            unit: "rows",
        }])
    }

    fn network(
        &self,
        settings: &Settings,
        input: &[usize],
        outputs: usize,
    ) -> Result<NetworkBuilder> {
        let network = Network::builder(input)
            .layer(DenseConfig::new(settings.hidden))
            .layer(BiasConfig::default())
            .layer(GateConfig::default());
        Ok(network.layer(DenseConfig::new(outputs)).layer(BiasConfig::default()))
    }

    fn evaluate(&self, of: &Evaluation<'_>, predict: &mut Predict<'_>) -> Result<Score> {
        let mut score = evaluate_with(self, of, predict)?;
        let examples: &dyn std::any::Any = of.examples;
        let rows = examples.downcast_ref::<Rows>();
        if let Some(rows) = rows
            && let (Some(deviation), Some(numbers)) = (rows.schema().deviation(), rows.numbers())
        {
            score.figures = regression(&score, numbers, f64::from(deviation));
        }
        Ok(score)
    }

    fn notes(&self, data: &Data) -> BTreeMap<String, String> {
        let mut notes = BTreeMap::new();
        let examples: &dyn std::any::Any = &*data.train;
        if let Some(rows) = examples.downcast_ref::<Rows>()
            && let Ok(schema) = serde_json::to_string(rows.schema())
        {
            notes.insert(SCHEMA.to_owned(), schema);
        }
        if !data.class_names.is_empty() {
            notes.extend([note_of_classes(&data.class_names)]);
        }
        notes
    }

    fn report(&self, outcome: &Outcome<'_>, watch: &mut dyn Watch, report: &mut Report) {
        let data = outcome.data;
        if let Some(trained) = train_backprop(outcome, watch, report) {
            report.rows.push(comparison::row(&trained));
        }
        if let Some(confusion) = outcome.evaluation.confusion.clone() {
            let (file, names) = (CONFUSION, data.class_names.clone());
            report.pictures.push(Picture::Confusion { file, confusion, names });
        }
    }
}

/// Returns R², and the errors in the unit of the target.
fn regression(score: &Score, targets: &[f32], deviation: f64) -> Vec<Figure> {
    let n = targets.len().max(1) as f64;
    let mean = targets.iter().map(|value| f64::from(*value)).sum::<f64>() / n;
    let total: f64 = targets.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum();
    let squared = score.deviation.sums.squared;
    vec![
        Figure::new("r2", "R²", 1.0 - squared / total, Unit::Number),
        Figure::new("mae", "MAE", deviation * score.deviation.mae(), Unit::Number)
            .smaller_is_better(),
        Figure::new("rmse", "RMSE", deviation * (squared / n).sqrt(), Unit::Number)
            .smaller_is_better(),
    ]
}

/// Splits the rows into training rows and evaluation rows, with a description of the latter.
fn split(
    table: &str,
    len: usize,
    labels: Option<&[u32]>,
    settings: &Settings,
) -> Result<(Vec<usize>, Vec<usize>, String)> {
    let none = vec![0; len];
    let classes = labels.unwrap_or(&none);
    let (pool, evaluation, name) = match settings.hold_out {
        Some(n) => {
            let (pool, evaluation) = selection::hold_out(classes, n, "rows")?;
            (pool, evaluation, format!("{n} rows (held out)"))
        }
        None => {
            let (pool, evaluation) = selection::every(classes, EVALUATED);
            (pool, evaluation, "every fifth row (held out)".to_owned())
        }
    };
    if pool.is_empty() || evaluation.is_empty() {
        return Err(Error::input(format!(
            "{table}: it has {len} rows; at least {EVALUATED} are needed, one of them for evaluation"
        )));
    }
    let mut random = Random::stream(settings.seed, SELECTION_STREAM);
    let train = selection::learned_from(pool, labels, settings, &mut random, "rows")?;
    Ok((train, evaluation, name))
}

fn data(train: Rows, evaluation: Rows, evaluation_name: String, path: &Path) -> Data {
    Data {
        outputs: train.schema().outputs(),
        class_names: train.class_names().to_vec(),
        evaluation_name,
        source: crate::shown(path),
        unit: "rows",
        ..Data::new(train, evaluation, 0)
    }
}

/// Returns the schema of a model.
///
/// # Errors
/// When the model has no schema, or the schema is damaged.
pub(crate) fn schema(model: &Model) -> Result<Schema> {
    let text = model.notes.get(SCHEMA).ok_or_else(|| {
        Error::in_file(&model.path, "its metadata has no table schema; train the model again")
    })?;
    serde_json::from_str(text).map_err(|error| {
        Error::in_file(&model.path, format!("its table schema is damaged: {error}"))
    })
}

/// Reads and encodes the user's table for a model.
fn read_for(model: &Model, place: &DataLocation, target: WithTarget) -> Result<Rows> {
    let path = place.table_file()?;
    Ok(schema(model)?.encode(&Table::read(path)?, target)?)
}

/// Prediction for one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Prediction {
    /// A class with its predicted probability.
    Class {
        /// Class name.
        name: String,
        /// Probability, in [0, 1].
        probability: f32,
    },
    /// A number, in the unit of the target.
    Number(f32),
}

/// Predicts the target of each row of a table. The table must have the columns that the model
/// reads, in any order.
///
/// # Errors
/// When a column is missing, or a cell does not match the kind of its column. The message gives
/// file, line and column.
pub fn predict(model: &Model, table: &Table, device: &Device) -> Result<Vec<Prediction>> {
    let schema = schema(model)?;
    let rows = schema.encode(table, WithTarget::IfPresent)?;
    let mut workspace = Workspace::new(device);
    let mut predictions = Vec::with_capacity(rows.len());
    for batch in in_batches(&rows, EVALUATION_BATCH) {
        let input = matrix(batch.inputs.numbers(), batch.rows, device)?;
        let output = model.network.predict_in(input, &mut workspace)?;
        let n_outputs = output.dims()[1];
        let output = match schema.classes() {
            Some(_) => zor_core::ops::read(softmax(output, 1))?,
            None => zor_core::ops::read(output)?,
        };
        predictions.extend(output.chunks_exact(n_outputs).map(|row| match schema.classes() {
            Some(classes) => {
                let best = largest(row);
                Prediction::Class { name: classes[best].clone(), probability: row[best] }
            }
            None => Prediction::Number(schema.denormalize(row[0])),
        }));
    }
    Ok(predictions)
}
