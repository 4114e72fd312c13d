//! The `.zore` program: a trained network as bytes that are used in place, in flash for instance.
//!
//! All numbers are little-endian; offsets are from the start and multiples of four.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `ZORE` |
//! | 4..6, 6, 7 | version 1; type of the weights, 0 for f32 and 1 for int8; zero |
//! | 8..12 | length of the program |
//! | 12..16 | CRC-32 (IEEE 802.3) of all that follows |
//! | 16..18, 18..24 | number of layers; height, width and channels of the input |
//! | 24..28 | offset of the detector's section, which follows the layers; 0 without one |
//! | 28..32 | zero |
//! | 32.. | a record of 48 bytes for each layer, then weights, scales and biases |
//!
//! A record: kind, flags, activation, zero (a byte each); output channels, side of the pool (2
//! bytes each); height and width of the window, its stride, padding and dilation (2 bytes each,
//! eight numbers); threshold and step of the input (f32); offsets of weights, scales and biases,
//! and zero (4 bytes each). Weights are stored input-major: a row of output channels for every
//! input under the window.

#![forbid(unsafe_code)]

use core::fmt;

use crate::activation::Activation;
use crate::format::{HEADER, MAX_VALUES, f32_at, u16_at, u32_at};
use crate::geometry::{Geometry, Window};
use crate::scoring::Scoring;

pub(crate) const MAGIC: [u8; 4] = *b"ZORE";
pub(crate) const VERSION: u16 = 1;
pub(crate) const RECORD: usize = 48;
/// Offset of the step in a record.
const STEP: usize = 28;
/// Start of the bytes that the checksum covers.
pub(crate) const CHECKED: usize = 16;
/// Maximum number of layers in a program.
pub const MAX_LAYERS: usize = 255;

const SCALES: u8 = 1;
const BIASES: u8 = 2;
const SPIKES: u8 = 4;

/// Data type of the weights and values of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// Single precision.
    F32,
    /// Integers from -127 to 127, times a scale for each output channel; sums are 32-bit integers.
    I8,
}

impl DType {
    /// Size of a value in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::I8 => 1,
        }
    }
}

/// The operation of a layer on the values under its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Matrix product of all values of the input with the weights.
    Dense,
    /// Matrix product of the values under a sliding window with the weights.
    Convolution,
    /// Maximum per channel.
    Max,
    /// Mean per channel of the values inside the map.
    Average,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Dense, Self::Convolution, Self::Max, Self::Average];

    /// True if layers of this kind have weights.
    pub fn has_weights(self) -> bool {
        matches!(self, Self::Dense | Self::Convolution)
    }

    pub(crate) fn code(self) -> u8 {
        Self::ALL.iter().position(|kind| *kind == self).unwrap_or(0) as u8
    }
}

/// Description of a layer without its weights: `y = f(gate(scale * pool(kind(x)) + bias))`, where
/// the gate passes values above the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerSpec {
    /// Operation on the values under the window.
    pub kind: Kind,
    /// Input map, window and pooling.
    pub geometry: Geometry,
    /// Threshold above which a value passes the gate; `None` without a gate.
    pub threshold: Option<f32>,
    /// Activation function after the gate.
    pub activation: Activation,
    /// Quantization scale of the layer's input in an int8 program: the value of 1.
    pub step: f32,
    /// Whether the outputs of each channel are multiplied by a scale.
    pub has_scales: bool,
    /// Whether a bias is added to each channel.
    pub has_biases: bool,
}

impl LayerSpec {
    /// A dense layer without scale, bias, gate and activation function.
    pub const fn dense(inputs: usize, units: usize) -> Self {
        Self {
            kind: Kind::Dense,
            geometry: Geometry::dense(inputs, units),
            threshold: None,
            activation: Activation::None,
            step: 1.0,
            has_scales: false,
            has_biases: false,
        }
    }

    /// A gate without weights.
    pub const fn gate(inputs: usize, threshold: f32) -> Self {
        Self { kind: Kind::Max, threshold: Some(threshold), ..Self::dense(inputs, inputs) }
    }

    /// Shape `[rows, columns]` of the weights.
    pub fn weight_shape(&self) -> [usize; 2] {
        let geometry = self.geometry;
        let [height, width] = geometry.window.kernel;
        let rows = height.saturating_mul(width).saturating_mul(geometry.input[2]);
        [if self.kind.has_weights() { rows } else { 0 }, geometry.channels]
    }

    /// The reason why the layer cannot be run, if there is one.
    pub(crate) fn fault(&self, last: bool) -> Option<&'static str> {
        let [height, width, channels] = self.geometry.output();
        let values = |shape: [usize; 3]| {
            let product = shape[0].checked_mul(shape[1])?.checked_mul(shape[2])?;
            (1..=MAX_VALUES).contains(&product).then_some(product)
        };
        let [rows, columns] = self.weight_shape();
        if self.geometry.window.stride.contains(&0)
            || self.geometry.window.dilation.contains(&0)
            || self.geometry.window.kernel.contains(&0)
            || self.geometry.pool == 0
        {
            Some("its window, stride, dilation or pool is zero")
        } else if values([height, width, channels]).is_none()
            || values(self.geometry.input).is_none()
        {
            Some("one of its maps is empty or too large")
        } else if self.geometry.window.padding[0]
            >= self.geometry.window.kernel[0].saturating_mul(self.geometry.window.dilation[0])
            || self.geometry.window.padding[1]
                >= self.geometry.window.kernel[1].saturating_mul(self.geometry.window.dilation[1])
        {
            Some("its padding is larger than its window")
        } else if !self.kind.has_weights()
            && (self.geometry.pool != 1 || self.geometry.channels != self.geometry.input[2])
        {
            Some("a pool has as many channels as its input and no pool of its own")
        } else if rows > MAX_VALUES || rows.checked_mul(columns).is_none() {
            Some("its window is too large")
        } else if self.threshold.is_some_and(|threshold| !threshold.is_finite())
            || !(self.step.is_finite() && self.step > 0.0)
        {
            Some("its threshold or step is not a finite number")
        } else if self.activation == Activation::Softmax && !last {
            Some("softmax is for the last layer")
        } else {
            None
        }
    }
}

/// A layer of a program, with its weights in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer<'a> {
    pub(crate) shape: LayerSpec,
    /// Height, width and channels of its output.
    pub(crate) output: [usize; 3],
    pub(crate) weights: &'a [u8],
    /// One per channel, or none.
    pub(crate) scales: &'a [u8],
    pub(crate) biases: &'a [u8],
}

impl Layer<'_> {
    /// The reason why the layer cannot be run, if there is one.
    fn fault(&self, dtype: DType, last: bool) -> Option<&'static str> {
        let (kind, geometry) = (self.shape.kind, self.shape.geometry);
        let finite = |bytes: &[u8]| bytes.chunks_exact(4).all(|four| f32_at(four, 0).is_finite());
        if let Some(fault) = self.shape.fault(last) {
            Some(fault)
        } else if kind == Kind::Dense && (geometry.window != Window::point() || geometry.pool != 1)
        {
            Some("a dense layer has no window")
        } else if dtype == DType::I8 && kind.has_weights() && !self.shape.has_scales {
            Some("int8 weights need scales")
        } else if !finite(self.scales) || !finite(self.biases) {
            Some("a scale or bias is not a finite number")
        } else {
            None
        }
    }
}

/// The reason why bytes are not a valid program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgramError {
    /// The bytes do not begin with the header of a program.
    NotAProgram,
    /// Another version of the format.
    Version(u16),
    /// The number of bytes differs from the length in the header.
    Length,
    /// The bytes are not aligned to four, which f32 needs;
    /// [`include_program!`](crate::include_program) aligns them.
    Alignment,
    /// The checksum does not match.
    Checksum,
    /// A layer cannot be run.
    Layer {
        /// Position of the layer.
        layer: usize,
        /// The fault.
        fault: &'static str,
    },
    /// The detector cannot score the rows that the network restores.
    Detector(&'static str),
    /// The program has no detector.
    NoDetector,
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAProgram => f.write_str("not a .zore program; `zor export` writes them"),
            Self::Version(version) => {
                write!(f, "a program of version {version}; this runtime reads version {VERSION}")
            }
            Self::Length => f.write_str("the program is truncated, or followed by other bytes"),
            Self::Alignment => {
                f.write_str("the program is not aligned to four bytes; include_program! aligns it")
            }
            Self::Checksum => f.write_str("the program is damaged: its checksum is wrong"),
            Self::Layer { layer, fault } => write!(f, "layer {layer} of the program: {fault}"),
            Self::Detector(fault) => write!(f, "the detector of the program: {fault}"),
            Self::NoDetector => {
                f.write_str("the program has no detector; export a model of the task detection")
            }
        }
    }
}

impl core::error::Error for ProgramError {}

/// A program whose bytes were checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program<'a> {
    bytes: &'a [u8],
    pub(crate) dtype: DType,
    pub(crate) n_layers: usize,
    pub(crate) input: [usize; 3],
}

impl<'a> Program<'a> {
    /// Reads and checks everything except the values of weights.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ProgramError> {
        let header = bytes.get(..HEADER).ok_or(ProgramError::NotAProgram)?;
        if header.get(..4) != Some(&MAGIC) {
            return Err(ProgramError::NotAProgram);
        }
        let version = u16_at(header, 4);
        if version != VERSION {
            return Err(ProgramError::Version(version));
        }
        if u32_at(header, 8) as usize != bytes.len() {
            return Err(ProgramError::Length);
        }
        if bytes.as_ptr().align_offset(4) != 0 {
            return Err(ProgramError::Alignment);
        }
        if u32_at(header, 12) != crc32(0, bytes.get(CHECKED..).unwrap_or(&[])) {
            return Err(ProgramError::Checksum);
        }
        let dtype = match header.get(6..8) {
            Some([0, 0]) => DType::F32,
            Some([1, 0]) => DType::I8,
            _ => return Err(ProgramError::NotAProgram),
        };
        let input = [18, 20, 22].map(|at| usize::from(u16_at(header, at)));
        let program = Self { bytes, dtype, n_layers: usize::from(u16_at(header, 16)), input };
        if program.n_layers == 0 || program.n_layers > MAX_LAYERS {
            return Err(ProgramError::Layer {
                layer: 0,
                fault: "there are no layers, or too many",
            });
        }
        let mut map = input;
        for index in 0..program.n_layers {
            let layer = program.read_layer(index, map).and_then(|layer| {
                let last = index + 1 == program.n_layers;
                layer.fault(program.dtype, last).map_or(Ok(layer), Err)
            });
            map = layer.map_err(|fault| ProgramError::Layer { layer: index, fault })?.output;
        }
        let values = |shape: [usize; 3]| shape.iter().product::<usize>();
        Scoring::parse(bytes, values(input), values(map)).map_err(ProgramError::Detector)?;
        Ok(program)
    }

    /// The layers, from the input up.
    pub(crate) fn layers(&self) -> impl Iterator<Item = Layer<'a>> + use<'a> {
        let program = *self;
        let mut map = program.input;
        // `parse` has read all layers without a fault.
        (0..program.n_layers).map_while(move |index| {
            let layer = program.read_layer(index, map).ok()?;
            map = layer.output;
            Some(layer)
        })
    }

    /// Quantization scale of the input of a layer; 1 after the last layer.
    pub(crate) fn step(&self, index: usize) -> f32 {
        let record = self.bytes.get(HEADER + index * RECORD..).filter(|_| index < self.n_layers);
        record.map_or(1.0, |record| f32_at(record, STEP))
    }

    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub(crate) fn read_layer(
        &self,
        index: usize,
        input: [usize; 3],
    ) -> Result<Layer<'a>, &'static str> {
        let start = HEADER + index * RECORD;
        let record = self.bytes.get(start..start + RECORD).ok_or("its record is truncated")?;
        let byte = |at: usize| record.get(at).copied().unwrap_or(0);
        let number = |at: usize| usize::from(u16_at(record, at));
        let pair = |at: usize| [number(at), number(at + 2)];
        let kind = *Kind::ALL.get(usize::from(byte(0))).ok_or("its kind is unknown")?;
        let flags = byte(1);
        if flags > SCALES | BIASES | SPIKES || byte(3) != 0 || u32_at(record, 44) != 0 {
            return Err("its record has unknown bits set");
        }
        let window =
            Window { kernel: pair(8), stride: pair(12), padding: pair(16), dilation: pair(20) };
        let input = match kind {
            Kind::Dense => [1, 1, input.iter().fold(1usize, |n, size| n.saturating_mul(*size))],
            _ => input,
        };
        let shape = LayerSpec {
            kind,
            geometry: Geometry { input, channels: number(4), window, pool: number(6) },
            threshold: (flags & SPIKES != 0).then_some(f32_at(record, 24)),
            activation: Activation::from_code(byte(2)).ok_or("its activation is unknown")?,
            step: f32_at(record, STEP),
            has_scales: flags & SCALES != 0,
            has_biases: flags & BIASES != 0,
        };
        let [rows, columns] = shape.weight_shape();
        let part = |at: usize,
                    wanted: bool,
                    values: usize,
                    size: usize|
         -> Result<&'a [u8], &'static str> {
            let from = u32_at(record, at) as usize;
            if !wanted {
                return if from == 0 {
                    Ok(&[])
                } else {
                    Err("it has weights, scales or biases that it does not use")
                };
            }
            let data = HEADER + self.n_layers * RECORD;
            let length = values.checked_mul(size);
            let end = length.and_then(|length| from.checked_add(length));
            match end {
                Some(end) if from.is_multiple_of(4) && from >= data => {
                    self.bytes.get(from..end).ok_or("its weights, scales or biases are truncated")
                }
                _ => Err("the offset of its weights, scales or biases is invalid"),
            }
        };
        let layer = Layer {
            shape,
            output: shape.geometry.output(),
            weights: part(32, kind.has_weights(), rows.saturating_mul(columns), self.dtype.size())?,
            scales: part(36, shape.has_scales, columns, 4)?,
            biases: part(40, shape.has_biases, columns, 4)?,
        };
        Ok(layer)
    }
}

/// The record of a layer with its weights, scales and biases at these offsets.
pub(crate) fn record(shape: &LayerSpec, [weights, scales, biases]: [u32; 3]) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let geometry = shape.geometry;
    let window = geometry.window;
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let flags = flag(shape.has_scales, SCALES)
        | flag(shape.has_biases, BIASES)
        | flag(shape.threshold.is_some(), SPIKES);
    let head = [shape.kind.code(), flags, shape.activation.code(), 0];
    let numbers = [
        [geometry.channels, geometry.pool],
        window.kernel,
        window.stride,
        window.padding,
        window.dilation,
    ];
    let numbers = numbers.as_flattened().iter().flat_map(|number| (*number as u16).to_le_bytes());
    let floats = [shape.threshold.unwrap_or(0.0), shape.step];
    let floats = floats.into_iter().flat_map(f32::to_le_bytes);
    let offsets = [weights, scales, biases].into_iter().flat_map(u32::to_le_bytes);
    let all = head.into_iter().chain(numbers).chain(floats).chain(offsets);
    record.iter_mut().zip(all).for_each(|(place, byte)| *place = byte);
    record
}

/// Continues a CRC-32 (IEEE 802.3, reflected), half a byte at a time: a table of 64 bytes fits on
/// small devices.
pub(crate) fn crc32(crc: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0u32; 16];
        let mut at = 0;
        while at < 16 {
            let mut value = at as u32;
            let mut bit = 0;
            while bit < 4 {
                value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    let mut crc = !crc;
    for byte in bytes {
        crc ^= u32::from(*byte);
        crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
        crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(super::crc32(0, b"123456789"), 0xcbf4_3926);
        let part = super::crc32(0, b"1234");
        assert_eq!(super::crc32(part, b"56789"), 0xcbf4_3926);
    }
}
