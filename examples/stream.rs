//! Watches a stream without training data, and prints alarms as rows come.
//!
//! ```text
//! cargo run --release --example stream
//! tail -f sensor.csv | cargo run --release --example stream -- -
//! ```
//!
//! The stream is CSV with a header: numbers, and if there is a column `timestamp`, times.

use std::io;

use zor::core::Random;
use zor::core::burn::tensor::Device;
use zor::data::table::Records;
use zor::data::table::series::time;
use zor::detection::{OnlineConfig, OnlineDetector};

fn main() -> zor::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("-") => watch(io::stdin().lock()),
        _ => watch(generated().as_bytes()),
    }
}

/// Scores rows as they come.
fn watch(source: impl io::Read) -> zor::Result<()> {
    let mut records = Records::new("stream", source)?;
    let (columns, _) = records.header()?;
    let stamp = columns.iter().position(|name| name == "timestamp");
    let channels: Vec<usize> = (0..columns.len()).filter(|&c| Some(c) != stamp).collect();
    let config = OnlineConfig::default();
    let mut detector = OnlineDetector::new(&config, channels.len(), &Device::flex())?;
    let mut row = 0;
    while let Some(record) = records.read()? {
        let time = stamp.and_then(|place| time(&record, place).ok()).flatten();
        let cell = |&place: &usize| record.cell(place).and_then(|cell| cell.trim().parse().ok());
        let values: Vec<f64> =
            channels.iter().map(|place| cell(place).unwrap_or(f64::NAN)).collect();
        let found = detector.push(&values, time)?;
        if found.is_alarm {
            let when = stamp.map_or(String::new(), |place| format!(" ({})", record.text(place)));
            println!("row {row}{when}: ALARM, score {:.2}", found.score);
            for (place, (value, expected)) in
                channels.iter().zip(values.iter().zip(&found.expected))
            {
                println!("    {} is {value:.2}, expected {expected:.2}", columns[*place]);
            }
        }
        row += 1;
    }
    println!("{row} rows");
    Ok(())
}

/// The load of a server, every five minutes for two weeks: it follows the time of the day. On the
/// tenth day it does not fall at night, and on the twelfth it fails at noon.
fn generated() -> String {
    let mut random = Random::seeded(1);
    let mut text = "timestamp,load\n".to_owned();
    for row in 0..14 * 288 {
        let seconds = 300 * row;
        let hour = f64::from(seconds) / 3600.0 % 24.0;
        let usual = 50.0 - 30.0 * (std::f64::consts::TAU * hour / 24.0).cos();
        let load = match row / 288 {
            9 if hour < 5.0 => 75.0,
            11 if (12.0..14.0).contains(&hour) => 5.0,
            _ => usual,
        };
        text += &format!("{seconds},{:.2}\n", load + 2.0 * f64::from(random.normal()));
    }
    text
}
