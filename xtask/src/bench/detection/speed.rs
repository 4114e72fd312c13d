//! Time to score one row, beside the network's passes alone, and speed of reading CSV.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use serde_json::{Value, json};
use zor::core::burn::tensor::{Tensor, TensorData};
use zor::core::{Random, Workspace, ops};
use zor::data::table::{Features, Records, Table as Cells};
use zor::detection::{Detector, DetectorConfig};
use zor::prelude::Device;

use super::super::process_memory::status;
use super::super::spread::Spread;
use crate::paths::{root, text};
use crate::table::Table;

/// Number of columns of the row and of the file.
const COLUMNS: usize = 32;
const ROUNDS: usize = 15;
const ROWS_PER_ROUND: usize = 200;
/// Number of rows of the file: about 250 MB.
const FILE_ROWS: usize = 1_000_000;

/// Peak of the memory of a process, in Linux.
const PEAK: &str = "VmHWM";

/// Measures both on one thread.
pub(super) fn run() -> Result<Value, String> {
    let (row, passes) = row()?;
    let (read, encoded, bytes, grown) = csv()?;
    Ok(json!({
        "row_seconds": row, "passes_seconds": passes, "csv_mb_per_s": read,
        "csv_encoded_mb_per_s": encoded, "csv_bytes": bytes, "csv_grown_bytes": grown,
    }))
}

/// Seconds of each round to score a row, and those of its passes alone, measured in turns.
fn row() -> Result<(Vec<f64>, Vec<f64>), String> {
    let mut random = Random::seeded(0);
    let text_of = csv_text(&mut random, 64);
    let normal = Cells::parse("normal.csv", text_of.as_bytes()).map_err(text)?;
    let device = Device::flex();
    let mut detector = Detector::fit(&DetectorConfig::new(), &normal, &device).map_err(text)?;
    let values: Vec<f32> = (0..COLUMNS).map(|_| random.normal()).collect();
    let passes = detector.scoring().masks.passes();
    let inputs: Vec<f32> = (0..passes * 2 * COLUMNS).map(|_| random.normal()).collect();
    let mut workspace = Workspace::new(&device);
    let (mut rows, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..ROWS_PER_ROUND {
            black_box(detector.score_encoded(&[&values]).map_err(text)?);
        }
        rows.push(start.elapsed().as_secs_f64() / ROWS_PER_ROUND as f64);
        let start = Instant::now();
        for _ in 0..ROWS_PER_ROUND {
            let data = TensorData::new(inputs.clone(), [passes, 2 * COLUMNS]);
            let input = Tensor::<2>::from_data(data, &device);
            let output = detector.network().predict_in(input, &mut workspace).map_err(text)?;
            black_box(ops::read(output).map_err(text)?);
        }
        alone.push(start.elapsed().as_secs_f64() / ROWS_PER_ROUND as f64);
    }
    Ok((rows, alone))
}

/// Megabytes of CSV per second, read as text and as encoded rows; the size of the file, and by how
/// much the memory grew.
fn csv() -> Result<(Vec<f64>, Vec<f64>, u64, u64), String> {
    let folder = root().join("target/detection");
    fs::create_dir_all(&folder).map_err(text)?;
    let path = folder.join("speed.csv");
    let block = csv_text(&mut Random::seeded(1), FILE_ROWS / 100);
    let (header, rows) = block.split_once('\n').ok_or("no header")?;
    let mut file = File::create(&path).map_err(text)?;
    writeln!(file, "{header}").map_err(text)?;
    for _ in 0..100 {
        file.write_all(rows.as_bytes()).map_err(text)?;
    }
    let bytes = fs::metadata(&path).map_err(text)?.len();
    let table = Cells::parse("speed.csv", block.as_bytes()).map_err(text)?;
    let all: Vec<usize> = (0..table.len()).collect();
    let (features, _) = Features::fit(&table, &all, &[]).map_err(text)?;
    drop(table);
    let (mut read, mut encoded) = (Vec::new(), Vec::new());
    let before = status(PEAK)?;
    for round in 0..6 {
        let start = Instant::now();
        let mut records =
            Records::new("speed.csv", File::open(&path).map_err(text)?).map_err(text)?;
        let (header, _) = records.header().map_err(text)?;
        let encoder = features.encoder("speed.csv", &header).map_err(text)?;
        let mut values = vec![0.0; features.width()];
        let mut count = 0;
        while let Some(record) = records.read().map_err(text)? {
            if round % 2 == 1 {
                encoder.encode(&record, &mut values).map_err(text)?;
            }
            count += black_box(record.len());
        }
        if count != FILE_ROWS * COLUMNS {
            return Err(format!("{count} cells were read"));
        }
        let speed = bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
        if round % 2 == 1 { encoded.push(speed) } else { read.push(speed) }
    }
    let grown = status(PEAK)?.saturating_sub(before);
    fs::remove_file(&path).map_err(text)?;
    Ok((read, encoded, bytes, grown))
}

/// A table of normal numbers.
fn csv_text(random: &mut Random, rows: usize) -> String {
    let names: Vec<String> = (0..COLUMNS).map(|column| format!("c{column}")).collect();
    let mut all = names.join(",");
    for _ in 0..rows {
        for column in 0..COLUMNS {
            let separator = if column == 0 { '\n' } else { ',' };
            let _ = write!(all, "{separator}{:.4}", random.normal());
        }
    }
    all.push('\n');
    all
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(super) fn figures(raw: &Value, table: &mut Table) {
    let list = |key: &str| -> Vec<f64> {
        raw[key].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
    };
    if raw["row_seconds"].is_null() {
        return;
    }
    let ratio = Spread::of_ratios(&list("row_seconds"), &list("passes_seconds"));
    let row = Spread::of(&list("row_seconds")).times(1e6);
    table.add(
        &format!("time to score a row of {COLUMNS} values / its passes alone"),
        "at most 1.3".to_owned(),
        format!("{}; {}", ratio.with_unit(""), row.with_unit(" us")),
        ratio.median <= 1.3,
    );
    let read = Spread::of(&list("csv_mb_per_s"));
    let encoded = Spread::of(&list("csv_encoded_mb_per_s"));
    let grown = raw["csv_grown_bytes"].as_f64().unwrap_or(f64::NAN);
    table.add(
        "reading CSV, MB/s",
        "at least 100".to_owned(),
        format!("{}; with encoding {}", read.with_unit(""), encoded.with_unit("")),
        read.median >= 100.0,
    );
    let size = raw["csv_bytes"].as_f64().unwrap_or(f64::NAN);
    table.add(
        &format!("memory that grows while {:.0} MB of CSV are read", size / 1e6),
        "at most 4 MiB".to_owned(),
        format!("{:.1} MiB", grown / f64::from(1 << 20)),
        grown <= f64::from(4 << 20),
    );
}
