//! The fuzzed parsers, and their memory limits.

use std::path::Path;

use zor::compile::{self, LayerSpec, MAX_VALUES, Program};
use zor::data::table::{Features, Records, RowEncoder, Table};
use zor::data::{cifar10, idx, npy};
use zor::io::{self, Registry};
use zor::prelude::Device;
use zor::settings::Options;
use zor::task::Plan;

/// A parser of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name, the prefix of its files in the corpus.
    pub name: &'static str,
    /// Parses an input. Returns true if it was accepted; an error is as good.
    pub parse: fn(&[u8]) -> bool,
    /// Maximum number of bytes that may be allocated for an input of a length.
    pub limit: fn(usize) -> usize,
}

/// Limit for a file of a network: its length, its values as `f32` if they are stored narrower, and
/// its description (at most 1 MiB) as text, as JSON and as settings.
fn network_limit(length: usize) -> usize {
    6 * length + (64 << 20)
}

/// Limit for a data set: twice its length, as bytes and as values.
fn data_limit(length: usize) -> usize {
    2 * length + (1 << 20)
}

/// All targets.
pub const TARGETS: [Target; 11] = [
    Target { name: "model", parse: model, limit: network_limit },
    Target { name: "checkpoint", parse: model, limit: network_limit },
    Target { name: "safetensors", parse: safetensors, limit: network_limit },
    // gzip expands a file at most 1,032-fold.
    Target { name: "idx", parse: images, limit: |length| 1032 * length + (1 << 20) },
    Target { name: "cifar", parse: cifar, limit: data_limit },
    Target { name: "npy", parse: array, limit: data_limit },
    // A cell of one byte takes its place in the row, in the record and in the columns.
    Target { name: "csv", parse: csv, limit: |length| 64 * length + (4 << 20) },
    Target { name: "table-npy", parse: table_npy, limit: |length| 100 * length + (1 << 20) },
    // Deflate expands at most 1,032-fold, and a byte becomes a number, a cell and a row.
    Target { name: "table-npz", parse: table_npz, limit: |length| 100_000 * length + (1 << 20) },
    // Running a program takes scratch memory and an output of limited length, and an aligned copy
    // of the file.
    Target { name: "edge", parse: edge, limit: |length| 4 * length + 16 * MAX_VALUES },
    Target { name: "toml", parse: settings, limit: |length| 1000 * length + (1 << 20) },
];

fn model(input: &[u8]) -> bool {
    let device = Device::flex();
    let registry = Registry::default();
    if io::load_bytes(input, &device, &registry).is_ok() {
        return true;
    }
    // With a corrected digest, mutations reach the code after its check.
    let mut sealed = input.to_vec();
    io::reseal(&mut sealed);
    io::load_bytes(&sealed, &device, &registry).is_ok()
}

fn safetensors(input: &[u8]) -> bool {
    io::safetensors::load_bytes(input, &Device::flex(), &Registry::default()).is_ok()
}

/// Maximum number of multiply-adds per layer of a program that is run. Larger ones only take
/// longer.
const MAX_MULTIPLY_ADDS: u64 = 1 << 16;

/// Maximum number of passes of a detector that is run.
const MAX_PASSES: usize = 64;

fn edge(input: &[u8]) -> bool {
    // With corrected length and checksum, mutations reach the code after their checks.
    let mut sealed = input.to_vec();
    compile::reseal(&mut sealed);
    [input, &sealed].into_iter().any(runs)
}

/// Returns true for a valid program, which must run.
fn runs(bytes: &[u8]) -> bool {
    let Ok(image) = Program::from_bytes(bytes) else { return false };
    let Ok(network) = image.network() else { return false };
    let work = |layer: LayerSpec| layer.geometry.multiply_adds();
    if network.layers().all(|layer| work(layer) < MAX_MULTIPLY_ADDS) {
        let values = |shape: [usize; 3]| vec![0.5; shape.iter().product()];
        let (input, mut output) = (values(network.input_shape()), values(network.output_shape()));
        let mut scratch = vec![0.0; network.scratch_len()];
        let done = network.run(&input, &mut output, &mut scratch);
        assert!(done.is_ok(), "a sound image does not run");
        if let Ok(detector) = image.detector()
            && detector.scoring().passes() < MAX_PASSES
        {
            let (row, mut scratch) =
                (vec![0.0; detector.row_len()], vec![0.0; detector.scratch_len()]);
            assert!(detector.score(&row, &mut scratch).is_ok(), "a sound detector does not score");
        }
    }
    true
}

fn images(input: &[u8]) -> bool {
    let (images, labels) = (idx::images(input), idx::labels(input));
    images.is_ok() || labels.is_ok()
}

fn cifar(input: &[u8]) -> bool {
    cifar10::parse(input).is_ok()
}

fn array(input: &[u8]) -> bool {
    npy::parse(input).is_ok()
}

/// Reads a table, fits the encoding of its columns to its rows, and encodes them again, record by
/// record.
fn csv(input: &[u8]) -> bool {
    let Ok(table) = Table::parse("-", input) else { return stream(None, input) };
    let rows: Vec<usize> = (0..table.len()).collect();
    let features = Features::fit(&table, &rows, &[]).ok().map(|(features, _)| features);
    stream(features.as_ref(), input)
}

/// Reads the records of a table. Returns true if all of them were encoded.
fn stream(features: Option<&Features>, input: &[u8]) -> bool {
    let Ok(mut records) = Records::new("-", input) else { return false };
    let Ok((header, _)) = records.header() else { return false };
    let encoder = features.and_then(|features| features.encoder("-", &header).ok());
    let mut values = vec![0.0; features.map_or(0, Features::width)];
    let mut sound = encoder.is_some();
    loop {
        match records.read() {
            Ok(None) => return sound,
            Ok(Some(record)) => {
                let encoded = |encoder: &RowEncoder<'_>| encoder.encode(&record, &mut values);
                sound &= encoder.as_ref().map(encoded).is_some_and(|encoded| encoded.is_ok());
            }
            Err(_) => sound = false,
        }
    }
}

fn table_npy(input: &[u8]) -> bool {
    Table::from_arrays(Path::new("a.npy"), input).is_ok()
}

fn table_npz(input: &[u8]) -> bool {
    Table::from_arrays(Path::new("a.npz"), input).is_ok()
}

fn settings(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    Options::parse(text).and_then(|options| Plan::resolve(&options)).is_ok()
}
