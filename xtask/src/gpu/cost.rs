//! Predicts the time of matrix products and training steps on an NVIDIA H200 kernel by kernel, by
//! the formulas of `docs/cost.md`.

use std::fmt::Write;

use zor::devices::step_time::{CASES, Case};
use zor::settings::Precision;

/// Bytes and dense floating-point operations per second of an H200, by its datasheet.
const MEMORY: f64 = 4.8e12;
const F32: f64 = 67e12;
const TF32: f64 = 495e12;
const BF16: f64 = 990e12;
/// Share of a rate that a good kernel reaches.
const REACHED: f64 = 0.8;
/// Seconds from the start of an empty kernel to the start of the next.
const LAUNCH: f64 = 2.5e-6;
/// Seconds of the host to launch a kernel: `--kernels` measures it with a driver that does nothing.
const HAND_OVER: f64 = 10e-6;

/// Rows that a launch of column sums adds up; see the kernels of `zor-core`.
const PART: usize = 1024;

/// All kernels of a kind in a step.
#[derive(Debug, PartialEq)]
pub(super) struct Kernels {
    pub(super) name: &'static str,
    pub(super) launches: usize,
    pub(super) operations: f64,
    /// Bytes read and written in all launches together.
    pub(super) bytes: f64,
}

impl Kernels {
    fn new(name: &'static str, launches: usize, values: usize) -> Self {
        Self { name, launches, operations: 0.0, bytes: 4.0 * values as f64 }
    }

    /// Returns the seconds on an H200: the maximum of launching, memory and arithmetic.
    fn seconds(&self, rate: f64) -> f64 {
        let launching = LAUNCH * self.launches as f64;
        let memory = self.bytes / (REACHED * MEMORY);
        launching.max(memory).max(self.operations / (REACHED * rate))
    }
}

/// Returns the kernels of a case in the order of their first launch.
pub(super) fn kernels(case: &Case, precision: Precision) -> Vec<Kernels> {
    match *case {
        Case::Product(side) => product("product", [side; 3], precision),
        Case::Step { sizes, batch } => step(sizes, batch, precision),
    }
}

fn step([inputs, hidden, outputs]: [usize; 3], batch: usize, precision: Precision) -> Vec<Kernels> {
    let (i, h, o) = (batch * inputs, batch * hidden, batch * outputs);
    let (lower, upper) = (inputs * hidden, hidden * outputs);
    // Sums of many rows are computed in parts, which one more launch adds up.
    let sums = if batch > PART { 2 } else { 1 };
    let product = |name, m, k, n| product(name, [m, k, n], precision);
    let mut all = Vec::new();
    all.extend(product("product up, lower", batch, inputs, hidden));
    all.push(Kernels::new("gate", 1, 4 * h));
    all.extend(product("product up, upper", batch, hidden, outputs));
    if has_gaps(outputs) {
        all.push(Kernels::new("target without gaps", 1, 2 * o));
    }
    all.push(Kernels::new("error and its sums", sums + 1, 3 * o));
    all.push(Kernels::new("norms of the signal", sums, o));
    all.push(Kernels::new("signal normalised", 1, 2 * o));
    all.push(Kernels::new("hidden activity copied", 1, 2 * h));
    all.push(Kernels::new("norms of the hidden activity", sums, h));
    all.push(Kernels::new("hidden activity normalised", 1, 2 * h));
    all.extend(product("product down", batch, outputs, hidden));
    all.extend(product("correlation, upper", hidden, batch, outputs));
    all.push(Kernels::new("AdamW, upper", 1, 7 * upper));
    all.push(Kernels::new("spikes of the hidden activity", 1, 2 * h));
    all.push(Kernels::new("signal times spikes", 1, 3 * h));
    all.push(Kernels::new("norms of the gated signal", sums, h));
    all.push(Kernels::new("gated signal normalised", 1, 2 * h));
    all.push(Kernels::new("input copied", 1, 2 * i));
    all.push(Kernels::new("norms of the input", sums, i));
    all.push(Kernels::new("input normalised", 1, 2 * i));
    all.extend(product("correlation, lower", inputs, batch, hidden));
    all.push(Kernels::new("AdamW, lower", 1, 7 * lower));
    all
}

/// Returns whether rows that do not come from a kernel of Zor are padded: each begins at a multiple
/// of 512 bytes.
fn has_gaps(columns: usize) -> bool {
    !(4 * columns).is_multiple_of(512)
}

/// Returns the kernels of a matrix product `[m, k] @ [k, n]`; in bf16 with those that round its
/// operands.
fn product(name: &'static str, [m, k, n]: [usize; 3], precision: Precision) -> Vec<Kernels> {
    let operands = m * k + k * n;
    let operations = 2.0 * (m * k * n) as f64;
    match precision {
        Precision::Bf16 => {
            let mut rounding = Kernels::new("operands rounded", 2, operands);
            rounding.bytes *= 1.5;
            let bytes = 2.0 * operands as f64 + 4.0 * (m * n) as f64;
            vec![rounding, Kernels { name, launches: 1, operations, bytes }]
        }
        _ => vec![Kernels { operations, ..Kernels::new(name, 1, operands + m * n) }],
    }
}

fn rate(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => F32,
        Precision::Tf32 => TF32,
        Precision::Bf16 => BF16,
    }
}

/// Cost and predicted time of a case.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    pub(super) precision: Precision,
    pub(super) case: Case,
    pub(super) launches: usize,
    pub(super) gflop: f64,
    pub(super) megabytes: f64,
    /// Time of the kernels, one after another.
    pub(super) device_us: f64,
}

impl Cost {
    /// Returns the microseconds of a run among many: the maximum of host and device.
    pub(super) fn expected_us(&self) -> f64 {
        self.device_us.max(1e6 * HAND_OVER * self.launches as f64)
    }

    pub(super) fn is_step(&self) -> bool {
        matches!(self.case, Case::Step { .. })
    }
}

/// Returns all cases in all precisions.
pub(super) fn costs() -> Vec<Cost> {
    let of = |precision| CASES.into_iter().map(move |case| (precision, case));
    let pairs = Precision::ALL.into_iter().flat_map(of);
    pairs
        .map(|(precision, case)| {
            let kernels = kernels(&case, precision);
            let sum = |of: &dyn Fn(&Kernels) -> f64| kernels.iter().map(of).sum::<f64>();
            Cost {
                precision,
                case,
                launches: kernels.iter().map(|kernels| kernels.launches).sum(),
                gflop: 1e-9 * sum(&|kernels| kernels.operations),
                megabytes: 1e-6 * sum(&|kernels| kernels.bytes),
                device_us: 1e6 * sum(&|kernels| kernels.seconds(rate(precision))),
            }
        })
        .collect()
}

/// Returns the table of predictions for the script: precision, case, rows, launches, GFLOP, MB and
/// microseconds, separated by tabs.
pub(super) fn expected() -> String {
    let mut table = String::new();
    for cost in costs() {
        let Cost { precision, case, launches, gflop, megabytes, .. } = cost;
        let _ = writeln!(
            table,
            "{}\t{case}\t{}\t{launches}\t{gflop:.1}\t{megabytes:.1}\t{:.0}",
            precision.name(),
            case.rows(),
            cost.expected_us()
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_counted_as_the_page_counts_it() {
        let step = Case::Step { sizes: [3072, 728, 3072], batch: 512 };
        let exact = kernels(&step, Precision::F32);
        assert_eq!(exact.iter().map(|kernels| kernels.launches).sum::<usize>(), 22);
        let operations: f64 = exact.iter().map(|kernels| kernels.operations).sum();
        assert_eq!(operations, step.operations());
        let megabytes = 1e-6 * exact.iter().map(|kernels| kernels.bytes).sum::<f64>();
        assert!((megabytes - 303.4).abs() < 0.1, "{megabytes}");
        // Every operand of five products is rounded first.
        let rounded = kernels(&step, Precision::Bf16);
        assert_eq!(rounded.iter().map(|kernels| kernels.launches).sum::<usize>(), 32);
    }

    #[test]
    fn a_product_takes_what_its_slowest_part_takes() {
        let large = &kernels(&Case::Product(8192), Precision::F32)[0];
        assert!((large.seconds(F32) - 2.0 * 8192f64.powi(3) / (REACHED * F32)).abs() < 1e-9);
        let small = &kernels(&Case::Product(8), Precision::F32)[0];
        assert_eq!(small.seconds(F32), LAUNCH);
        assert_eq!(expected().lines().count(), 3 * CASES.len());
    }
}
