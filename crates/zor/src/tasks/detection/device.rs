//! Detectors as programs for small devices: the scoring in single precision, beside the network.

use zor_compile::{DType, Program, compile_detector};
use zor_core::Network;
use zor_data::Examples;
use zor_data::table::Coding;

use super::calibrate;
use super::restoration::inputs_of;
use super::scoring::Scoring;
use crate::error::{Error, Result};

/// Maximum number of inputs that the steps of 8 bits are chosen by.
const CALIBRATION: usize = 4000;
/// Maximum error of a center in single precision, in units of the scale.
const MAX_ERROR: f64 = 1.0 / 64.0;

/// Compiles a detector, with its threshold for a false-alarm rate. In int8, `rows` are rows like
/// those that the program will score.
///
/// # Errors
/// When the rate cannot be promised, a column has no form in single precision, or the network has
/// none in a program.
pub(crate) fn compile(
    network: &Network,
    scoring: &Scoring,
    dtype: DType,
    false_alarm_rate: f32,
    rows: &dyn Examples,
) -> Result<Program> {
    let rows = calibrate::rows(rows)?;
    let Scoring { scheme, masks, scales: errors, calibration } = scoring;
    let threshold = calibration.threshold(false_alarm_rate)?;
    let (mut centers, mut scales, mut categories) = (Vec::new(), Vec::new(), Vec::new());
    for column in 0..scheme.features.len() {
        let (center, scale, n) = match scheme.features.coding(column) {
            Coding::Number { center, scale } => (*center, *scale, 0),
            Coding::Categories(names) => (0.0, 1.0, names.len() as u32),
        };
        // Numbers between two neighbours in single precision become one of them.
        let rounding = center.abs() * f64::from(f32::EPSILON);
        if !(scale as f32).is_normal()
            || !(center as f32).is_finite()
            || rounding > MAX_ERROR * scale
        {
            return Err(Error::input(format!(
                "column '{}': its numbers are around {center:e} and differ by about {scale:e}, \
                 which a device cannot tell apart in single precision; subtract a constant from \
                 the column and train again, or leave it out with --ignore",
                scheme.features.name(column)
            )));
        }
        centers.push(center as f32);
        scales.push(scale as f32);
        categories.push(n);
    }
    let n_cells = scheme.cells().len();
    let mut bits = Vec::new();
    for hidden in &masks.hidden {
        let mut words = vec![0u32; n_cells.div_ceil(32)];
        hidden.iter().for_each(|cell| words[cell / 32] |= 1 << (cell % 32));
        bits.extend(words);
    }
    let samples = match dtype {
        DType::F32 => Vec::new(),
        DType::I8 => {
            let all = rows.all();
            let n = (CALIBRATION / masks.passes().max(1)).clamp(1, all.len().max(1));
            // Evenly spaced.
            let some: Vec<&[f32]> =
                (0..n).filter_map(|at| all.get(at * all.len() / n)).copied().collect();
            inputs_of(&some, rows.cells(), masks)
        }
    };
    let scoring = zor_compile::Scoring {
        window: scheme.windowing.window,
        centers: &centers,
        scales: &scales,
        categories: &categories,
        errors,
        masks: &bits,
        threshold,
    };
    Ok(compile_detector(network, dtype, &samples, &scoring)?)
}

#[cfg(test)]
mod tests {
    use zor_core::Random;
    use zor_core::burn::tensor::Device;
    use zor_data::table::Table;

    use super::super::metrics::auroc;
    use super::super::{Detector, DetectorConfig};
    use super::*;

    /// A table of three numbers, two of which follow the first, and a category that follows its
    /// sign; some cells are missing. Every tenth row breaks that if `has_anomalies`. Also returns
    /// the numbers that a device is given.
    fn table(rows: usize, seed: u64, has_anomalies: bool) -> (Table, Vec<f32>) {
        let mut random = Random::seeded(seed);
        let (mut text, mut raw) = ("a,b,c,d\n".to_owned(), Vec::new());
        for row in 0..rows {
            let x = random.normal();
            let other = if has_anomalies && row % 10 == 5 { random.normal() } else { x };
            let numbers = [50.0 + x, 3e3 * other, other - x + 0.1 * random.normal()];
            let missing = random.below(20);
            for (column, number) in numbers.into_iter().enumerate() {
                let is_missing = column == missing;
                text += &if is_missing { ",".to_owned() } else { format!("{number},") };
                raw.push(if is_missing { f32::NAN } else { number });
            }
            text += if other > 0.0 { "high\n" } else { "low\n" };
            raw.push(f32::from(u8::from(other <= 0.0)));
        }
        (Table::parse("t.csv", text.as_bytes()).unwrap(), raw)
    }

    /// Scores of the host and of a program, with the labels of the rows.
    fn scores(window: u32, dtype: DType) -> (Vec<f32>, Vec<f32>, Vec<bool>) {
        let config = DetectorConfig::new().window(window);
        let (normal, _) = table(128, 1, false);
        let mut detector = Detector::fit(&config, &normal, &Device::flex()).unwrap();
        let program = detector.compile(dtype, 0.05, &normal).unwrap();
        let small = program.detector().unwrap();
        let (new, raw) = table(600, 2, true);
        let host = detector.score(&new).unwrap();
        let mut scratch = vec![0.0; small.scratch_len()];
        let device = raw.windows(small.row_len()).step_by(4);
        let device = device.map(|row| small.score(row, &mut scratch).unwrap()).collect();
        let threshold = detector.scoring().calibration.threshold(0.05).unwrap();
        assert_eq!(small.scoring().threshold, threshold);
        let is_anomaly = |row: &usize| row % 10 == 5;
        let rows: Vec<usize> = (0..600).collect();
        let is_strange = rows.windows(window as usize).map(|rows| rows.iter().any(is_anomaly));
        let is_strange = is_strange.collect();
        (host.iter().map(|found| found.score).collect(), device, is_strange)
    }

    #[test]
    fn a_program_in_f32_scores_as_the_host_does() {
        for window in [1, 3] {
            let (host, device, _) = scores(window, DType::F32);
            assert_eq!(host.len(), device.len());
            for (row, (a, b)) in host.iter().zip(&device).enumerate() {
                assert!((a - b).abs() < 2e-3 * a.max(1.0), "window {window}, row {row}: {a}, {b}");
            }
        }
    }

    #[test]
    fn eight_bits_rank_rows_as_the_host_does() {
        for window in [1, 3] {
            let (host, device, is_strange) = scores(window, DType::I8);
            let [own, other] = [&host, &device].map(|all| auroc(all, &is_strange).unwrap());
            assert!((own - other).abs() < 0.005, "window {window}: {own} and {other}");
            // Pairs of rows that both order alike.
            let pairs = (0..host.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
            let alike =
                pairs.clone().filter(|&(a, b)| (host[a] > host[b]) == (device[a] > device[b]));
            let share = alike.count() as f64 / pairs.count() as f64;
            assert!(share > 0.97, "window {window}: {share}");
        }
    }

    #[test]
    fn a_column_that_single_precision_cannot_tell_apart_is_refused_with_the_remedy() {
        let rows: String =
            (0..32).map(|row| format!("{},{row}\n", 1_760_000_000 + row % 7)).collect();
        let table = Table::parse("t.csv", format!("stamp,b\n{rows}").as_bytes()).unwrap();
        let detector =
            Detector::fit(&DetectorConfig::new().steps(5), &table, &Device::flex()).unwrap();
        let error = detector.compile(DType::F32, 0.1, &table).unwrap_err().to_string();
        assert!(error.contains("column 'stamp'") && error.contains("--ignore"), "{error}");
        let error = detector.compile(DType::F32, 0.001, &table).unwrap_err().to_string();
        assert!(error.contains("the smallest is"), "{error}");
    }
}
