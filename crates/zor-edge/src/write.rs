//! Writes a program, a piece at a time, to wherever it goes: a file, flash, a buffer.

#![forbid(unsafe_code)]

use crate::program::{
    CHECKED, DType, HEADER, LayerSpec, MAGIC, MOST_LAYERS, ProgramError, RECORD, VERSION, crc32,
    record,
};

/// A layer to be written.
#[derive(Clone, Copy, Debug)]
pub struct LayerSource<'a> {
    /// What it does.
    pub shape: LayerSpec,
    /// Its weights as they lie in the program: little-endian, input-major, of the program's type.
    pub weights: &'a [u8],
    /// A number for each channel, or none, as the shape says.
    pub scales: &'a [f32],
    /// The same.
    pub biases: &'a [f32],
}

/// Calls `put` with the pieces of a program, in order, and returns its length in bytes.
///
/// # Errors
/// Names the layer that no program could run, and why; nothing was put then.
pub fn write(
    dtype: DType,
    input: [usize; 3],
    layers: &[LayerSource<'_>],
    mut put: impl FnMut(&[u8]),
) -> Result<usize, ProgramError> {
    check(dtype, input, layers)?;
    let data = HEADER + layers.len() * RECORD;
    let length = layers.iter().fold(data, |at, layer| places(layer, at).1);
    // The checksum stands before what it covers: all is gone through twice.
    let mut crc = 0;
    body(input, layers, data, &mut |piece| crc = crc32(crc, piece));
    let head = [
        u32::from_le_bytes(MAGIC),
        u32::from(VERSION) | (u32::from(dtype == DType::I8) << 16),
        length as u32,
        crc,
    ];
    head.iter().for_each(|word| put(&word.to_le_bytes()));
    body(input, layers, data, &mut put);
    Ok(length)
}

/// Everything behind the checksum.
fn body(input: [usize; 3], layers: &[LayerSource<'_>], data: usize, put: &mut dyn FnMut(&[u8])) {
    put(&(layers.len() as u16).to_le_bytes());
    input.iter().for_each(|size| put(&(*size as u16).to_le_bytes()));
    put(&[0; HEADER - CHECKED - 8]);
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
}

/// Bytes of a line of a cache, on most machines.
const LINE: usize = 64;

/// Where weights, scales and biases lie if the first may lie at a place, and where they end.
/// Weights lie at lines of caches: a row of 64 bytes that lies across two would be fetched as two.
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

fn check(dtype: DType, input: [usize; 3], layers: &[LayerSource<'_>]) -> Result<(), ProgramError> {
    if layers.is_empty() || layers.len() > MOST_LAYERS {
        return Err(ProgramError::Layer { layer: 0, fault: "there are none, or too many" });
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
            Some("its weights, scales or biases are too few or too many")
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(ProgramError::Layer { layer: index, fault });
        }
        map = shape.geometry.output();
    }
    Ok(())
}

/// Makes length and checksum of a damaged program right again, so that damage reaches what comes
/// after them; for tests of the parser.
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
