//! Runs a program: `y = f(gate(scale * pool(W x) + bias))` for one layer after another, between two
//! buffers of the caller.

#![forbid(unsafe_code)]

use core::fmt;

use crate::activation::{Activation, softmax};
use crate::events::{FEW_EVENTS, ProductStrategy, Sums};
use crate::kernels::{Number, SCANNED};
use crate::program::{DType, Kind, Layer, LayerSpec, Program, ProgramError};

/// Maximum number of channels whose sums, and of events, that are on the stack at once.
const TILE: usize = if cfg!(target_os = "none") { 256 } else { 1024 };
const EVENTS: usize = if cfg!(target_os = "none") { 128 } else { 512 };
/// [`TILE`] for layers with few channels, for which clearing a larger buffer would take longer than
/// their products, and too much stack on devices.
const FEW: usize = 64;

/// A trained network that runs from its program in place.
///
/// ```
/// # use zor_edge::{DType, Geometry, LayerSpec, LayerSource, write};
/// use zor_edge::Network;
///
/// # let shape = LayerSpec { threshold: Some(0.0), ..LayerSpec::dense(2, 1) };
/// # let weights: Vec<u8> = [1.0f32, -2.0].iter().flat_map(|w| w.to_le_bytes()).collect();
/// # let source = LayerSource { shape, weights: &weights, scales: &[], biases: &[] };
/// # let mut bytes = Vec::new();
/// # write(DType::F32, [1, 1, 2], &[source], |piece| bytes.extend_from_slice(piece))?;
/// # let word = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap());
/// # let words: Vec<f32> = bytes.chunks(4).map(word).collect();
/// # let program: &[u8] = bytemuck::cast_slice(&words);
/// let network = Network::from_bytes(program)?; // include_program!("model.zore"), on a device
/// let (mut output, mut scratch) = ([0.0; 1], [0.0; 0]);
/// assert_eq!(network.scratch_len(), scratch.len());
/// network.run(&[3.0, 1.0], &mut output, &mut scratch).unwrap();
/// assert_eq!(output, [1.0]);
/// # Ok::<(), zor_edge::ProgramError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Network<'a> {
    program: Program<'a>,
    /// The first layer, read once: reading it takes a tenth of the time of a small network.
    first: Layer<'a>,
    /// Length of each buffer in words.
    buffers: [usize; 2],
    outputs: [usize; 3],
    /// Inverse quantization scale of an int8 input.
    per_step: f32,
    always: Option<ProductStrategy>,
}

/// The reason why a network did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// The input has the wrong number of values.
    Input,
    /// The output has the wrong number of values.
    Output,
    /// The scratch memory is shorter than [`Network::scratch_len`].
    Scratch,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "the input has the wrong number of values; see input_shape()",
            Self::Output => "the output has the wrong number of values; see output_shape()",
            Self::Scratch => "the scratch memory is too short; see scratch_len()",
        })
    }
}

impl core::error::Error for RunError {}

/// The activity of one layer in a run.
#[derive(Clone, Copy, Debug)]
pub struct Activity<'a> {
    /// Position of the layer.
    pub layer: usize,
    /// How its matrix product was computed; `None` without weights.
    pub path: Option<ProductStrategy>,
    /// Input of the layer.
    pub input: Values<'a>,
    /// Output of the layer.
    pub output: Values<'a>,
}

/// Values between layers.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// f32 values.
    F32(&'a [f32]),
    /// int8 values with their quantization scale.
    Int8(&'a [i8], f32),
}

impl Values<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Int8(values, _) => values.len(),
        }
    }

    /// True if there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of values that are not zero.
    pub fn active(&self) -> usize {
        match self {
            Self::F32(values) => f32::active(values),
            Self::Int8(values, _) => i8::active(values),
        }
    }

    /// The value at an index as f32.
    pub fn get(&self, index: usize) -> Option<f32> {
        match self {
            Self::F32(values) => values.get(index).copied(),
            Self::Int8(values, step) => values.get(index).map(|value| f32::from(*value) * step),
        }
    }
}

impl<'a> Network<'a> {
    /// Checks a program in constant memory. A valid program can always be run.
    ///
    /// # Errors
    /// Names the fault of the program.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ProgramError> {
        let program = Program::parse(bytes)?;
        let (mut buffers, mut outputs, mut per_step) = ([0; 2], program.input, 1.0);
        for (index, layer) in program.layers().enumerate() {
            // f32 input is read from the caller's slice.
            let copied = index > 0 || program.dtype == DType::I8;
            let values: usize = layer.shape.geometry.input.iter().product();
            if let (true, Some(buffer)) = (copied, buffers.get_mut(index % 2)) {
                *buffer = (values * program.dtype.size()).div_ceil(4).max(*buffer);
            }
            if index == 0 {
                per_step = 1.0 / layer.shape.step;
            }
            outputs = layer.output;
        }
        let first = program.read_layer(0, program.input);
        let first = first.map_err(|fault| ProgramError::Layer { layer: 0, fault })?;
        Ok(Self { program, first, buffers, outputs, per_step, always: None })
    }

    /// Computes all matrix products with one strategy, for comparisons.
    #[must_use]
    pub fn with_strategy(self, path: ProductStrategy) -> Self {
        Self { always: Some(path), ..self }
    }

    /// Data type of the weights.
    pub fn dtype(&self) -> DType {
        self.program.dtype
    }

    /// Height, width and channels of the input.
    pub fn input_shape(&self) -> [usize; 3] {
        self.program.input
    }

    /// Height, width and channels of the output.
    pub fn output_shape(&self) -> [usize; 3] {
        self.outputs
    }

    /// The layers, from the input up.
    pub fn layers(&self) -> impl Iterator<Item = LayerSpec> + use<'a> {
        self.program.layers().map(|layer| layer.shape)
    }

    /// Number of `f32` values of scratch memory that a run needs.
    pub fn scratch_len(&self) -> usize {
        self.buffers.iter().sum()
    }

    /// Computes the output for one input.
    ///
    /// # Errors
    /// If a slice has the wrong length; nothing was computed then.
    pub fn run(
        &self,
        input: &[f32],
        output: &mut [f32],
        scratch: &mut [f32],
    ) -> Result<(), RunError> {
        self.run_traced(input, output, scratch, |_| {})
    }

    /// [`Network::run`] that also passes the activity of every layer to `observe`.
    ///
    /// # Errors
    /// Those of [`Network::run`].
    pub fn run_traced(
        &self,
        input: &[f32],
        output: &mut [f32],
        scratch: &mut [f32],
        mut observe: impl FnMut(Activity<'_>),
    ) -> Result<(), RunError> {
        let length = |shape: [usize; 3]| shape.iter().product::<usize>();
        if input.len() != length(self.program.input) {
            return Err(RunError::Input);
        }
        if output.len() != length(self.outputs) {
            return Err(RunError::Output);
        }
        let [first, second] = self.buffers;
        let Some(scratch) = scratch.get_mut(..first + second) else {
            return Err(RunError::Scratch);
        };
        let Some((first, second)) = scratch.split_at_mut_checked(first) else {
            return Err(RunError::Scratch);
        };
        match self.program.dtype {
            DType::F32 => {
                let buffers = (first, second);
                self.run_layers(input, output, buffers, &mut observe, |all, _| Values::F32(all));
            }
            DType::I8 => {
                i8::from_f32s(input, self.per_step, numbers_mut(first));
                let buffers = (first, second);
                self.run_layers(&[], output, buffers, &mut observe, |all, step| {
                    Values::Int8(all, step)
                });
            }
        }
        Ok(())
    }

    /// Runs all layers. The input is read from `input`, or, if that is empty, from the first
    /// buffer.
    fn run_layers<T: Number>(
        &self,
        input: &[T],
        output: &mut [f32],
        (mut from, mut to): (&mut [f32], &mut [f32]),
        // A trait object, so that the code exists once for each type.
        observe: &mut dyn FnMut(Activity<'_>),
        values_of: fn(&[T], f32) -> Values<'_>,
    ) {
        let last = self.program.n_layers - 1;
        let mut map = self.program.input;
        for index in 0..=last {
            // `from_bytes` has read all layers without a fault.
            let above;
            let layer = if index == 0 {
                &self.first
            } else {
                let Ok(layer) = self.program.read_layer(index, map) else { return };
                above = layer;
                &above
            };
            map = layer.output;
            let values: usize = layer.shape.geometry.input.iter().product();
            let made: usize = map.iter().product();
            let read: &[T] = match index {
                0 if !input.is_empty() => input,
                _ => numbers(from).get(..values).unwrap_or(&[]),
            };
            let columns = layer.shape.geometry.channels;
            let scans = T::scans(columns);
            let chosen = match self.always {
                Some(path) => path,
                None if scans => ProductStrategy::Events,
                None => ProductStrategy::faster(read, columns),
            };
            let step = self.program.step(index + 1);
            let path = if index == last {
                let path = compute(layer, read, (chosen, scans), &mut |at, values| {
                    let places = output.get_mut(at..).unwrap_or(&mut []);
                    places.iter_mut().zip(values).for_each(|(place, value)| *place = *value);
                });
                if layer.shape.activation == Activation::Softmax {
                    softmax(output);
                }
                path
            } else {
                let (write, inverse) = (numbers_mut::<T>(to), 1.0 / step);
                compute(layer, read, (chosen, scans), &mut |at, values| {
                    T::from_f32s(values, inverse, write.get_mut(at..).unwrap_or(&mut []));
                })
            };
            let result = match index == last {
                true => Values::F32(output),
                false => values_of(numbers(to).get(..made).unwrap_or(&[]), step),
            };
            let input = values_of(read, layer.shape.step);
            observe(Activity { layer: index, path, input, output: result });
            core::mem::swap(&mut from, &mut to);
        }
    }
}

/// Scratch memory as values of another type.
fn numbers<T: Number>(words: &[f32]) -> &[T] {
    bytemuck::try_cast_slice(words).unwrap_or(&[])
}

fn numbers_mut<T: Number>(words: &mut [f32]) -> &mut [T] {
    bytemuck::try_cast_slice_mut(words).unwrap_or(&mut [])
}

/// Computes the output of a layer, a tile of channels at a time. Returns how products were
/// computed.
fn compute<T: Number>(
    layer: &Layer<'_>,
    input: &[T],
    (path, scans): (ProductStrategy, bool),
    put: &mut Put<'_>,
) -> Option<ProductStrategy> {
    let shape = &layer.shape;
    let columns = shape.geometry.channels;
    let tile = if scans { SCANNED } else { TILE };
    let mut first = 0;
    while first < columns {
        let width = (columns - first).min(tile);
        if !shape.kind.has_weights() {
            pool(layer, input, (first, width), put);
        } else if shape.geometry.pool == 1 && scans {
            products::<T, SCANNED, 0>(layer, input, (first, width), path, put);
        } else if shape.geometry.pool == 1 && columns <= FEW {
            products::<T, FEW, FEW_EVENTS>(layer, input, (first, width), path, put);
        } else if shape.geometry.pool == 1 {
            products::<T, TILE, EVENTS>(layer, input, (first, width), path, put);
        } else {
            pooled_products(layer, input, (first, width), path, put);
        }
        first += width;
    }
    shape.kind.has_weights().then_some(path)
}

/// Receives values of a layer's output, from an offset on.
type Put<'a> = dyn FnMut(usize, &[f32]) + 'a;

/// The steps after the sums of an output: scale, bias, gate, activation.
struct Finish<'a> {
    scales: &'a [f32],
    biases: &'a [f32],
    threshold: Option<f32>,
    activation: Activation,
}

impl<'a> Finish<'a> {
    /// The steps for channels from `first` on.
    fn of(layer: &Layer<'a>, first: usize) -> Self {
        let part = |bytes: &'a [u8]| -> &'a [f32] {
            bytemuck::try_cast_slice(bytes)
                .ok()
                .and_then(|all: &[f32]| all.get(first..))
                .unwrap_or(&[])
        };
        Self {
            scales: part(layer.scales),
            biases: part(layer.biases),
            threshold: layer.shape.threshold,
            activation: layer.shape.activation,
        }
    }

    /// Applies all steps to sums.
    #[inline]
    fn sums<'s, T: Number>(&self, sums: &'s mut [T::Sum]) -> &'s mut [f32] {
        let values = T::scaled(sums, self.scales);
        self.apply(values);
        values
    }

    /// Applies the steps after the scale.
    fn apply(&self, values: &mut [f32]) {
        values.iter_mut().zip(self.biases).for_each(|(value, bias)| *value += bias);
        if let Some(threshold) = self.threshold {
            // NaN fires no unit.
            let gated = |value: f32| if value > threshold { value } else { 0.0 };
            values.iter_mut().for_each(|value| *value = gated(*value));
        }
        if !matches!(self.activation, Activation::None | Activation::Softmax) {
            values.iter_mut().for_each(|value| *value = self.activation.apply(*value));
        }
    }
}

/// Positions of a map, row by row, with their indices.
fn positions([height, width, _]: [usize; 3]) -> impl Iterator<Item = (usize, [usize; 2])> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (y * width + x, [y, x])))
}

#[inline(never)]
fn products<T: Number, const TILE: usize, const EVENTS: usize>(
    layer: &Layer<'_>,
    input: &[T],
    (first, width): (usize, usize),
    path: ProductStrategy,
    put: &mut Put<'_>,
) {
    let geometry = &layer.shape.geometry;
    with_sums::<T, TILE, EVENTS>(layer, (first, width), path, |mut sums, finish| {
        for (at, position) in positions(layer.output) {
            sums.clear();
            add_window(&mut sums, layer, input, position);
            put(at * geometry.channels + first, finish.sums::<T>(sums.finished()));
        }
    });
}

#[inline(never)]
fn pooled_products<T: Number>(
    layer: &Layer<'_>,
    input: &[T],
    (first, width): (usize, usize),
    path: ProductStrategy,
    put: &mut Put<'_>,
) {
    let geometry = &layer.shape.geometry;
    let mut largest = [T::Sum::default(); TILE];
    let Some(largest) = largest.get_mut(..width) else { return };
    let side = geometry.pool;
    with_sums::<T, TILE, EVENTS>(layer, (first, width), path, |mut sums, finish| {
        for (at, [y, x]) in positions(layer.output) {
            for (part, [below, beside]) in positions([side, side, 1]) {
                sums.clear();
                add_window(&mut sums, layer, input, [y * side + below, x * side + beside]);
                for (largest, sum) in largest.iter_mut().zip(&*sums.finished()) {
                    if part == 0 || *sum > *largest {
                        *largest = *sum;
                    }
                }
            }
            put(at * geometry.channels + first, finish.sums::<T>(largest));
        }
    });
}

/// Calls `with` with sums for a range of columns of a layer's weights, with room for events on the
/// stack.
#[inline(always)]
fn with_sums<T: Number, const TILE: usize, const EVENTS: usize>(
    layer: &Layer<'_>,
    (first, width): (usize, usize),
    path: ProductStrategy,
    with: impl FnOnce(Sums<'_, T>, Finish<'_>),
) {
    let (mut buffer, mut rows) = ([T::Sum::default(); TILE], [0; EVENTS]);
    let mut values = [T::default(); EVENTS];
    let Some(buffer) = buffer.get_mut(..width) else { return };
    let sums = Sums {
        sums: buffer,
        weights: bytemuck::try_cast_slice(layer.weights).unwrap_or(&[]),
        columns: layer.shape.geometry.channels,
        first,
        path,
        rows: &mut rows,
        values: &mut values,
        n: 0,
    };
    with(sums, Finish::of(layer, first));
}

#[inline]
fn add_window<T: Number>(
    sums: &mut Sums<'_, T>,
    layer: &Layer<'_>,
    input: &[T],
    position: [usize; 2],
) {
    if layer.shape.kind == Kind::Dense {
        return sums.add(input, 0);
    }
    layer.shape.geometry.runs(position, |place, n, row| {
        if let Some(run) = input.get(place..place + n) {
            sums.add(run, row);
        }
    });
}

#[inline(never)]
fn pool<T: Number>(
    layer: &Layer<'_>,
    input: &[T],
    (first, width): (usize, usize),
    put: &mut Put<'_>,
) {
    let geometry = &layer.shape.geometry;
    let finish = Finish::of(layer, first);
    let largest = layer.shape.kind == Kind::Max;
    let mut buffer = [0.0; TILE];
    let Some(found) = buffer.get_mut(..width) else { return };
    for (at, position) in positions(layer.output) {
        found.fill(if largest { f32::NEG_INFINITY } else { 0.0 });
        let mut inside = 0;
        geometry.runs(position, |place, n, _| {
            let run = input.get(place..place + n).unwrap_or(&[]);
            for values in run.chunks_exact(geometry.channels.max(1)) {
                inside += 1;
                for (found, value) in found.iter_mut().zip(values.iter().skip(first)) {
                    let value = value.to_f32(layer.shape.step);
                    *found = if largest { found.max(value) } else { *found + value };
                }
            }
        });
        let share = if largest { 1.0 } else { 1.0 / inside.max(1) as f32 };
        // A window without values inside the map gives zero.
        found.iter_mut().for_each(|value| *value = if inside == 0 { 0.0 } else { *value * share });
        put(at * geometry.channels + first, finish.sums::<f32>(found));
    }
}
