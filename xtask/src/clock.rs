//! Limits of the machine, measured in about a second. Promised times are multiples of a limit that
//! is measured in the same run, so that they hold on any machine.

use std::fmt;
use std::fs;
use std::sync::OnceLock;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zor::core::Layer;
use zor::core::ops::{self, Transposed};
use zor::prelude::*;
use zor::training::Training;

use crate::bench::{Spread, noise, threads};
use crate::table::Table;

/// Key of [`Machine::times_products`] in the raw numbers of a run.
pub(crate) const TIMES_PRODUCTS: &str = "times_products";

/// Side of the square matrices whose product is timed: three of them are 3 MB.
const SIDE: usize = 512;
/// Shape of the two arrays of the memory pass, 64 MB each: larger than caches.
const OUT_OF_CACHE: [usize; 2] = [4096, 4096];
/// Empty tasks handed to other threads in a round.
const HAND_OFFS: usize = 500;

/// A machine and its limits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Name of the processor, or "unknown".
    pub(crate) processor: String,
    /// Width in bits of the widest vectors that the processor has, where it is known.
    pub(crate) vector_bits: Option<u32>,
    pub(crate) threads: usize,
    /// Rate of f32 matrix products on all threads, in GFLOP/s.
    pub(crate) gflops: f64,
    /// Memory bandwidth on all threads, in GB/s.
    pub(crate) gb_per_s: f64,
    /// Time to hand an empty task to the thread pool and wait for it, in microseconds.
    pub(crate) hand_off_us: f64,
}

impl Machine {
    /// Returns the limits of this machine, which are measured once per process.
    pub(crate) fn measured() -> &'static Self {
        static MACHINE: OnceLock<Machine> = OnceLock::new();
        MACHINE.get_or_init(|| Self {
            processor: processor(),
            vector_bits: vector_bits(),
            threads: threads(),
            gflops: 1e-9 * product_rate(),
            gb_per_s: 1e-9 * memory_rate(),
            hand_off_us: 1e6 * hand_off(),
        })
    }

    /// Reads the machine of a results file, if the file has one.
    pub(crate) fn of(results: &Value) -> Option<Self> {
        Self::deserialize(&results["machine"]).ok()
    }

    pub(crate) fn json(&self) -> Value {
        json!(self)
    }

    /// Returns the time of a training divided by the time that its multiply-adds take at the rate
    /// of matrix products.
    ///
    /// A sample counts as three passes over the network (forward, signal, update) of two operations
    /// per multiply-add. Everything else is overhead: gates, normalization, reading batches, and
    /// the matrix products of Muon's Newton-Schulz iterations. Convolutions count as direct ones on
    /// whole images, so Winograd's algorithm and progressive resizing can bring the ratio below 1.
    pub(crate) fn times_products(&self, training: &Training) -> f64 {
        let network = &training.network;
        let multiply_adds = network.sequential().multiply_adds(network.input_shape());
        let operations = 3.0 * 2.0 * multiply_adds as f64 * training.samples_seen as f64;
        training.train_seconds * 1e9 * self.gflops / operations
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, ", self.processor)?;
        if let Some(bits) = self.vector_bits {
            write!(f, "vectors of {bits} bits, ")?;
        }
        write!(
            f,
            "{} threads; matrix products {:.0} GFLOP/s, memory {:.0} GB/s, hand-off between threads {:.1} us",
            self.threads, self.gflops, self.gb_per_s, self.hand_off_us
        )
    }
}

/// Adds the time of the slowest of several trainings to a table, promised as a multiple of the time
/// of its matrix products.
///
/// `runs` are `(seconds, multiple)`. A run that was kept without its multiple is reported in
/// seconds, with no promise. The maxima of today are former limits in seconds, converted at the 107
/// GFLOP/s of `docs/results/cost.json`, so that the slack is unchanged.
pub(crate) fn add_training_time(
    table: &mut Table,
    name: &str,
    runs: &[(f64, Option<f64>)],
    max: f64,
) {
    let seconds: Vec<f64> = runs.iter().map(|(seconds, _)| *seconds).collect();
    let multiples: Option<Vec<f64>> = runs.iter().map(|(_, multiple)| *multiple).collect();
    let (name, promised) =
        (format!("{name}: training time"), format!("at most {max:.2} x its matrix products"));
    if runs.is_empty() {
        return table.add(&name, promised, "not measured".to_owned(), false);
    }
    let seconds = Spread::of(&seconds).highest;
    let digits = if seconds < 20.0 { 2 } else { 0 };
    match multiples {
        None => table.add(&name, "-".to_owned(), format!("{seconds:.digits$} s"), true),
        Some(multiples) => {
            let found = Spread::of(&multiples).highest;
            let measured = format!("{found:.2} x ({seconds:.digits$} s)");
            table.add(&name, promised, measured, found <= max);
        }
    }
}

/// Reads `(seconds, multiple)` of the runs of a results file, for [`add_training_time`].
pub(crate) fn training_times<'a>(runs: impl Iterator<Item = &'a Value>) -> Vec<(f64, Option<f64>)> {
    runs.filter_map(|run| Some((run["train_seconds"].as_f64()?, run[TIMES_PRODUCTS].as_f64())))
        .collect()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim());
    name.unwrap_or("unknown").to_owned()
}

#[cfg(target_arch = "x86_64")]
fn vector_bits() -> Option<u32> {
    // Every x86-64 processor has SSE2.
    Some(match () {
        () if std::arch::is_x86_feature_detected!("avx512f") => 512,
        () if std::arch::is_x86_feature_detected!("avx2") => 256,
        () => 128,
    })
}

#[cfg(target_arch = "aarch64")]
fn vector_bits() -> Option<u32> {
    // Every 64-bit ARM processor has NEON.
    Some(128)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn vector_bits() -> Option<u32> {
    None
}

/// Operations per second of a matrix product, on the path that training takes.
fn product_rate() -> f64 {
    let matrix = noise([SIDE; 2]);
    let mut buffer = Some(matrix.zeros_like());
    let seconds = fastest(100, || {
        let (left, right) = (matrix.clone(), matrix.clone());
        buffer = buffer.take().map(|buffer| ops::matmul(left, right, buffer, Transposed::Neither));
    });
    2.0 * (SIDE * SIDE * SIDE) as f64 / seconds
}

/// Bytes per second of a pass that reads two arrays and writes one.
fn memory_rate() -> f64 {
    let ones = || Tensor::<2>::ones(OUT_OF_CACHE, &Device::flex());
    let (mut weight, direction) = (Some(ones()), ones());
    let seconds = fastest(20, || {
        let direction = direction.clone();
        weight = weight.take().map(|w| ops::scaled_sum(w, direction, 1.0, 1e-9, f32::INFINITY));
    });
    let [rows, columns] = OUT_OF_CACHE;
    (3 * 4 * rows * columns) as f64 / seconds
}

/// Seconds of an empty `rayon::join` that is called from outside the thread pool.
fn hand_off() -> f64 {
    let seconds = fastest(20, || {
        for _ in 0..HAND_OFFS {
            rayon::join(|| (), || ());
        }
    });
    seconds / HAND_OFFS as f64
}

/// Seconds of the fastest of several rounds.
fn fastest(rounds: usize, mut run: impl FnMut()) -> f64 {
    let times = (0..rounds).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_kept_and_read_back() {
        let machine = Machine {
            processor: "a processor".to_owned(),
            vector_bits: Some(256),
            threads: 2,
            gflops: 100.4,
            gb_per_s: 30.0,
            hand_off_us: 4.25,
        };
        let read = Machine::of(&json!({ "machine": machine.json() })).unwrap();
        assert_eq!(
            read.to_string(),
            "a processor, vectors of 256 bits, 2 threads; matrix products 100 GFLOP/s, \
             memory 30 GB/s, hand-off between threads 4.2 us"
        );
        assert!(Machine::of(&Value::Null).is_none());
    }

    #[test]
    fn a_time_without_its_multiple_is_reported_and_not_promised() {
        let mut table = Table::default();
        add_training_time(&mut table, "kept", &[(500.0, None), (1.0, Some(9.0))], 2.0);
        add_training_time(&mut table, "fast", &[(3.0, Some(1.5)), (4.0, Some(2.0))], 2.0);
        assert_eq!(table.short(), Vec::<&str>::new());
        let page = table.markdown();
        assert!(page.contains("| kept: training time | - | 500 s |"), "{page}");
        assert!(page.contains("| 2.00 x (4.00 s) |"), "{page}");
        add_training_time(&mut table, "slow", &[(3.0, Some(2.1))], 2.0);
        add_training_time(&mut table, "none", &[], 2.0);
        assert_eq!(table.short(), ["slow: training time", "none: training time"]);
    }

    #[test]
    fn limits_are_positive() {
        let rates = [product_rate(), memory_rate(), hand_off()];
        assert!(rates.iter().all(|rate| *rate > 0.0 && rate.is_finite()), "{rates:?}");
    }
}
