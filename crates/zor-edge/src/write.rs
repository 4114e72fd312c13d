//! Writes a program piece by piece: to a file, flash or a buffer.

#![forbid(unsafe_code)]

use crate::format::HEADER;
use crate::program::{
    CHECKED, DType, LayerSpec, MAGIC, MAX_LAYERS, ProgramError, RECORD, VERSION, crc32, record,
};
use crate::scoring::Scoring;

/// A layer to write.
#[derive(Clone, Copy, Debug)]
pub struct LayerSource<'a> {
    /// Description of the layer.
    pub shape: LayerSpec,
    /// Weights in the layout of the program: little-endian, input-major, of the program's data
    /// type.
    pub weights: &'a [u8],
    /// Scale of each channel; empty if the layer has no scales.
    pub scales: &'a [f32],
    /// Bias of each channel; empty if the layer has no biases.
    pub biases: &'a [f32],
}

/// Calls `put` with the pieces of a program, in order, and returns its length in bytes.
///
/// # Errors
/// Names the layer that cannot be run, and the reason. `put` was not called then.
pub fn write(
    dtype: DType,
    input: [usize; 3],
    layers: &[LayerSource<'_>],
    put: impl FnMut(&[u8]),
) -> Result<usize, ProgramError> {
    write_with(dtype, input, layers, None, put)
}

/// Writes a program as [`write()`] does, with a detector.
///
/// # Errors
/// Those of [`write()`], and the fault of a detector that does not fit the network.
pub fn write_detector(
    dtype: DType,
    input: [usize; 3],
    layers: &[LayerSource<'_>],
    scoring: &Scoring<'_>,
    put: impl FnMut(&[u8]),
) -> Result<usize, ProgramError> {
    write_with(dtype, input, layers, Some(scoring), put)
}

fn write_with(
    dtype: DType,
    input: [usize; 3],
    layers: &[LayerSource<'_>],
    scoring: Option<&Scoring<'_>>,
    mut put: impl FnMut(&[u8]),
) -> Result<usize, ProgramError> {
    let output = check(dtype, input, layers)?;
    let values = |shape: [usize; 3]| shape.iter().product::<usize>();
    let fault = scoring.and_then(|scoring| scoring.fault(values(input), values(output)));
    if let Some(fault) = fault {
        return Err(ProgramError::Detector(fault));
    }
    let data = HEADER + layers.len() * RECORD;
    let end = layers.iter().fold(data, |at, layer| places(layer, at).1);
    let length = end + scoring.map_or(0, Scoring::len);
    let section = (if scoring.is_some() { end } else { 0 }, scoring);
    // The checksum precedes the bytes that it covers, so all of them are visited twice.
    let mut crc = 0;
    body(input, layers, (data, section), &mut |piece| crc = crc32(crc, piece));
    let head = [
        u32::from_le_bytes(MAGIC),
        u32::from(VERSION) | (u32::from(dtype == DType::I8) << 16),
        length as u32,
        crc,
    ];
    head.iter().for_each(|word| put(&word.to_le_bytes()));
    body(input, layers, (data, section), &mut put);
    Ok(length)
}

/// Writes everything after the checksum: the layers, whose weights start at `data`, and the
/// detector at its offset.
fn body(
    input: [usize; 3],
    layers: &[LayerSource<'_>],
    (data, (section, scoring)): (usize, (usize, Option<&Scoring<'_>>)),
    put: &mut dyn FnMut(&[u8]),
) {
    put(&(layers.len() as u16).to_le_bytes());
    input.iter().for_each(|size| put(&(*size as u16).to_le_bytes()));
    put(&(section as u32).to_le_bytes());
    put(&[0; HEADER - CHECKED - 12]);
    let mut at = data;
    for layer in layers {
        let (offsets, end) = places(layer, at);
        put(&record(&layer.shape, offsets));
        at = end;
    }
    let mut at = data;
    for layer in layers {
        let ([weights, ..], end) = places(layer, at);
        let before = (weights as usize).saturating_sub(at);
        let after = layer.weights.len().next_multiple_of(4) - layer.weights.len();
        put([0; LINE].get(..before).unwrap_or(&[]));
        put(layer.weights);
        put([0; LINE].get(..after).unwrap_or(&[]));
        at = end;
        for number in layer.scales.iter().chain(layer.biases) {
            put(&number.to_le_bytes());
        }
    }
    if let Some(scoring) = scoring {
        scoring.write(put);
    }
}

/// Size of a cache line in bytes, on most machines.
const LINE: usize = 64;

/// Offsets of weights, scales and biases from `at` on, and their end. Weights are aligned to cache
/// lines: a row of 64 bytes across two lines would need two loads.
fn places(layer: &LayerSource<'_>, at: usize) -> ([u32; 3], usize) {
    let mut at = at;
    let mut place = |size: usize, multiple: usize| {
        if size == 0 {
            return 0;
        }
        let here = at.next_multiple_of(multiple);
        at = here + size.next_multiple_of(4);
        here as u32
    };
    let places = [
        place(layer.weights.len(), LINE),
        place(4 * layer.scales.len(), 4),
        place(4 * layer.biases.len(), 4),
    ];
    (places, at)
}

/// Checks that the layers can be run. Returns the output map.
fn check(
    dtype: DType,
    input: [usize; 3],
    layers: &[LayerSource<'_>],
) -> Result<[usize; 3], ProgramError> {
    if layers.is_empty() || layers.len() > MAX_LAYERS {
        return Err(ProgramError::Layer { layer: 0, fault: "there are no layers, or too many" });
    }
    let mut map = input;
    for (index, layer) in layers.iter().enumerate() {
        let shape = layer.shape;
        let [rows, columns] = shape.weight_shape();
        let numbers = |wanted: bool| if wanted { columns } else { 0 };
        let window = shape.geometry.window;
        let pairs = [window.kernel, window.stride, window.padding, window.dilation];
        let sizes =
            [[shape.geometry.channels, shape.geometry.pool], [input[0], input[1]], [input[2], 0]];
        let mut all = pairs.as_flattened().iter().chain(sizes.as_flattened());
        let fits = if shape.geometry.input == map {
            true
        } else {
            shape.geometry.input == [1, 1, map[0] * map[1] * map[2]]
        };
        let fault = if let Some(fault) = shape.fault(index + 1 == layers.len()) {
            Some(fault)
        } else if !fits {
            Some("its input is not the output of the layer below")
        } else if all.any(|size| *size > usize::from(u16::MAX)) {
            Some("a size is beyond 65,535")
        } else if layer.weights.len() != rows * columns * dtype.size()
            || layer.scales.len() != numbers(shape.has_scales)
            || layer.biases.len() != numbers(shape.has_biases)
        {
            Some("its weights, scales or biases have the wrong length")
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(ProgramError::Layer { layer: index, fault });
        }
        map = shape.geometry.output();
    }
    Ok(map)
}

/// Corrects length and checksum of a damaged program, so that the damage reaches the rest of the
/// parser; for tests.
#[doc(hidden)]
pub fn reseal(program: &mut [u8]) {
    let length = program.len() as u32;
    if let Some(place) = program.get_mut(8..12) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    let crc = crc32(0, program.get(CHECKED..).unwrap_or(&[]));
    if let Some(place) = program.get_mut(12..16) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}
