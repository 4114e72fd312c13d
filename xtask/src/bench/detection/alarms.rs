//! Share of fresh normal rows that raise an alarm, beside the rate that was asked for.

use std::path::PathBuf;

use rayon::ThreadPool;
use serde_json::{Map, Value, json};
use zor::core::Random;
use zor::data::table::Table as Cells;
use zor::detection::{Detector, DetectorConfig};
use zor::prelude::Device;

use super::super::spread::mean;
use super::{LABELS, name};
use crate::paths::text;
use crate::table::Table;

/// Numbers of normal rows to learn from, and the rates asked for.
const ASKED: [(usize, &[f32]); 2] = [(64, &[0.05, 0.1, 0.2]), (1000, &[0.01])];
/// Numbers of random choices of the rows, each with another seed.
const DRAWS: u64 = 20;
/// Maximum number of fresh rows.
const MAX_FRESH: usize = 2000;

/// Measures every table that has the rows, in a pool of threads. `keep` receives the numbers after
/// each.
pub(super) fn run(
    tables: &[PathBuf],
    pool: &ThreadPool,
    keep: &mut dyn FnMut(&Value) -> Result<(), String>,
) -> Result<(), String> {
    let mut all = Map::new();
    for (rows, rates) in ASKED {
        let mut of_size = Map::new();
        for path in tables {
            let (name, table) = (name(path), Cells::read(path).map_err(text)?);
            let normal = normal_rows(&table)?;
            // As many rows are fresh as are learned from, or more.
            if normal.len() < 2 * rows {
                continue;
            }
            let mut shares = vec![Vec::new(); rates.len()];
            for draw in 0..DRAWS {
                let found = pool.install(|| p_values(&table, &normal, rows, draw))?;
                for (shares, rate) in shares.iter_mut().zip(rates) {
                    let alarms = found.iter().filter(|p_value| *p_value <= rate).count();
                    shares.push(alarms as f64 / found.len() as f64);
                }
            }
            let means: Vec<String> =
                rates.iter().zip(&shares).map(|(r, s)| format!("{r}: {:.4}", mean(s))).collect();
            println!("false alarms from {rows} rows, {name}: {}", means.join(", "));
            let by_rate = rates.iter().map(|rate| rate.to_string()).zip(shares);
            let by_rate: Map<_, _> = by_rate.map(|(rate, shares)| (rate, json!(shares))).collect();
            of_size.insert(name, by_rate.into());
            all.insert(rows.to_string(), of_size.clone().into());
            keep(&all.clone().into())?;
        }
    }
    Ok(())
}

/// Rows of a table that are no anomalies.
fn normal_rows(table: &Cells) -> Result<Vec<usize>, String> {
    let labels = table.find(LABELS).map_err(text)?;
    Ok((0..table.len()).filter(|&row| table.number(row, labels) == Some(0.0)).collect())
}

/// P-values of fresh normal rows under a detector that learned from others.
fn p_values(table: &Cells, normal: &[usize], rows: usize, draw: u64) -> Result<Vec<f32>, String> {
    let mut order = normal.to_vec();
    Random::seeded(draw).shuffle(&mut order);
    let (train, fresh) = order.split_at(rows);
    let fresh = &fresh[..fresh.len().min(MAX_FRESH)];
    let config = DetectorConfig::new().seed(draw).ignore(&[LABELS]);
    let train = table.select(train).map_err(text)?;
    let mut detector = Detector::fit(&config, &train, &Device::flex()).map_err(text)?;
    let found = detector.score(&table.select(fresh).map_err(text)?).map_err(text)?;
    Ok(found.iter().map(|found| found.p_value).collect())
}

/// Adds the promised and the measured shares of the numbers that [`run`] keeps.
pub(super) fn figures(raw: &Value, table: &mut Table) {
    for (rows, rates) in ASKED {
        let Some(tables) = raw[rows.to_string()].as_object() else { continue };
        for rate in rates {
            let of_table = |table: &Value| -> Option<f64> {
                let shares = table[rate.to_string()].as_array()?;
                Some(mean(&shares.iter().filter_map(Value::as_f64).collect::<Vec<_>>()))
            };
            let means: Vec<f64> = tables.values().filter_map(of_table).collect();
            let (found, n) = (mean(&means), means.len() as f64);
            let squares: Vec<f64> = means.iter().map(|mean| (mean - found).powi(2)).collect();
            let error = (squares.iter().sum::<f64>() / (n - 1.0) / n).sqrt();
            table.add(
                &format!(
                    "false alarms at {rate} from {rows} normal rows, {n} tables, {DRAWS} draws"
                ),
                format!("at most {rate} and 2 standard errors"),
                format!("{found:.4}, standard error {error:.4}"),
                found <= f64::from(*rate) + 2.0 * error,
            );
        }
    }
}
