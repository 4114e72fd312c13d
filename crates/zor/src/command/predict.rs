//! `zor predict`: predictions of a saved model for each row of a table.

use serde_json::json;
use zor_data::table::Table;

use super::arguments::PredictArguments;
use crate::run::outputs;
use crate::task::Model;
use crate::tasks::table::{self, Prediction};
use crate::{Error, Result, shown};

/// `zor predict`.
pub(super) fn run(arguments: &PredictArguments) -> Result<()> {
    let device = crate::device(&arguments.device)?;
    let model = Model::load(&arguments.model, &device)?;
    model.check_command("predict")?;
    if let Some(out) = &arguments.out {
        outputs::check(out, [&arguments.table, &model.path].map(|path| path.as_path()))?;
    }
    let table = Table::read(&arguments.table)?;
    let predictions = table::predict(&model, &table, &device)?;
    if arguments.json {
        let predictions: Vec<_> = predictions
            .iter()
            .map(|prediction| match prediction {
                Prediction::Class { name, probability } => {
                    json!({ "class": name, "probability": probability })
                }
                Prediction::Number(value) => json!({ "value": value }),
            })
            .collect();
        say!("{}", json!({ "model": model.path.to_string_lossy(), "predictions": predictions }));
        return Ok(());
    }
    let target = table::schema(&model)?.target().to_owned();
    let text = csv(&table, &target, &predictions)
        .map_err(|error| Error::input(format!("the predictions cannot be written: {error}")))?;
    match &arguments.out {
        Some(out) => {
            zor_io::atomic::write(out, &text)?;
            say!("written to {}", shown(out));
        }
        None => say!("{}", String::from_utf8_lossy(&text).trim_end()),
    }
    Ok(())
}

/// Formats the table with its predictions as CSV.
fn csv(table: &Table, target: &str, predictions: &[Prediction]) -> std::io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let has_classes = matches!(predictions.first(), Some(Prediction::Class { .. }));
    let mut added = vec![format!("predicted {target}")];
    if has_classes {
        added.push("probability".to_owned());
    }
    let write = |writer: &mut csv::Writer<Vec<u8>>, cells: Vec<String>| {
        writer.write_record(cells).map_err(std::io::Error::other)
    };
    write(&mut writer, table.columns().iter().cloned().chain(added).collect())?;
    for (row, prediction) in predictions.iter().enumerate() {
        let cells = (0..table.columns().len())
            .map(|column| table.cell(row, column).unwrap_or_default().to_owned());
        let added = match prediction {
            Prediction::Class { name, probability } => {
                vec![name.clone(), format!("{probability:.4}")]
            }
            Prediction::Number(value) => vec![value.to_string()],
        };
        write(&mut writer, cells.chain(added).collect())?;
    }
    writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))
}
