//! Learns what is normal from 64 rows of a table, and explains a strange row.

use zor::core::burn::tensor::Device;
use zor::data::table::Table;
use zor::detection::{Detector, DetectorConfig};

fn main() -> zor::Result<()> {
    // A pump: the flow follows the speed, and the temperature does not depend on either.
    let mut text = "speed,flow,temperature\n".to_owned();
    for row in 0..64 {
        let (speed, noise) = (1000 + row * 37 % 500, row * 53 % 7);
        text += &format!("{speed},{:.1},{}\n", f64::from(speed + noise) / 20.0, 40 + row * 29 % 11);
    }
    let normal = Table::parse("pump.csv", text.as_bytes())?;
    let mut detector = Detector::fit(&DetectorConfig::new(), &normal, &Device::flex())?;
    let threshold = detector.scoring().calibration.threshold(0.05)?;

    // The second row has a flow that does not fit its speed; the third has a missing cell.
    let rows = "speed,flow,temperature\n1200,60.1,45\n1200,71.5,45\n1400,,44\n";
    let rows = Table::parse("now.csv", rows.as_bytes())?;
    for found in detector.score(&rows)? {
        let state = if found.score > threshold { "ALARM" } else { "normal" };
        println!("{state}: score {:.2}, p-value {:.3}", found.score, found.p_value);
        for cause in detector.explain(&found, 2) {
            let (share, expected) = (100.0 * cause.share, cause.expected);
            println!("    {share:.0} %: {} is {}, expected {expected}", cause.column, cause.value);
        }
    }
    Ok(())
}
