//! Learns the normal course of a sensor with a gap, and finds its jump after it was stuck.

use std::f64::consts::TAU;
use std::fmt::Write as _;

use zor::core::burn::tensor::Device;
use zor::data::table::Table;
use zor::detection::{Detector, DetectorConfig};

/// A temperature every ten minutes with a daily cycle. The sensor was off during the `off` rows,
/// and shows one value during the `stuck` rows.
fn series(rows: u32, off: std::ops::Range<u32>, stuck: std::ops::Range<u32>) -> Table {
    let mut text = "seconds,temperature\n".to_owned();
    for row in (0..rows).filter(|row| !off.contains(row)) {
        let shown = if stuck.contains(&row) { stuck.start } else { row };
        let noise = f64::from(shown * 53 % 17) / 40.0;
        let temperature = 20.0 + 5.0 * (f64::from(shown) * TAU / 144.0).sin() + noise;
        let _ = writeln!(text, "{},{temperature:.2}", row * 600);
    }
    Table::parse("sensor.csv", text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn main() -> zor::Result<()> {
    let normal = series(900, 300..330, 0..0);
    // Two hours are read together. No window spans the gap.
    let config = DetectorConfig::new().window(12).time("seconds");
    let mut detector = Detector::fit(&config, &normal, &Device::flex())?;
    let threshold = detector.scoring().calibration.threshold(0.01)?;

    // The first window ends with row 11.
    let scores = detector.score(&series(300, 0..0, 150..170))?;
    for (row, found) in (11..).zip(&scores).filter(|(_, found)| found.score > threshold) {
        println!("row {row}: score {:.2}, p-value {:.3}", found.score, found.p_value);
    }
    Ok(())
}
