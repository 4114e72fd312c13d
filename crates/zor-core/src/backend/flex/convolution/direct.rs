//! Convolutions of any window, stride, dilation and groups: matrix products of blocks of pixels,
//! accessed through pointers, with panels of the kernel.

use pulp::Simd;
use rayon::prelude::*;

use crate::backend::Geometry;
use crate::backend::flex::blocks::{
    Destination, LANES, PANEL, ROWS, Shared, Tap, columns_times_panel, panel_width,
    rows_times_panel,
};
use crate::backend::flex::scratch::with_scratch;

/// Number of pixels per task.
const PIXELS: usize = 192;

/// Computes the outputs of a batch.
pub(super) fn forward(geometry: Geometry, input: &[f32], kernel: &[f32], output: &mut [f32]) {
    let [height, width, _] = geometry.output();
    let pixels = input.len() / geometry.input.iter().product::<usize>() * height * width;
    let outside = &zeros(geometry.input[2]);
    with_packed(&geometry, kernel, false, |kernel| {
        let output = Shared::new(output);
        (0..pixels.div_ceil(PIXELS)).into_par_iter().for_each(|chunk| {
            let pixels = chunk * PIXELS..((chunk + 1) * PIXELS).min(pixels);
            pulp::Arch::new().dispatch(Forward {
                geometry,
                pixels,
                input,
                kernel,
                output,
                outside,
            });
        });
    });
}

/// Computes the signal at the inputs: the adjoint of [`forward`], which is also the transposed
/// convolution.
pub(super) fn adjoint(geometry: Geometry, signal: &[f32], kernel: &[f32], below: &mut [f32]) {
    let [height, width, channels] = geometry.input;
    let batch = below.len() / (height * width * channels);
    let [stride_y, stride_x] = geometry.window.stride;
    // Pixels whose distance is a multiple of the stride meet the same elements of the window.
    let classes: Vec<Class> =
        (0..stride_y * stride_x).map(|index| Class::new(&geometry, index)).collect();
    let outside = &zeros(geometry.channels);
    with_packed(&geometry, kernel, true, |kernel| {
        let below = Shared::new(below);
        let per_class = (height.div_ceil(stride_y) * width.div_ceil(stride_x)).div_ceil(PIXELS);
        let tasks = batch * classes.len() * per_class;
        (0..tasks).into_par_iter().for_each(|task| {
            let class = &classes[task / per_class % classes.len()];
            let first = task % per_class * PIXELS;
            let pixels = first..(first + PIXELS).min(class.rows * class.columns);
            let map = task / per_class / classes.len();
            pulp::Arch::new().dispatch(Adjoint {
                geometry,
                class,
                map,
                pixels,
                signal,
                kernel,
                below,
                outside,
            });
        });
    });
}

/// Computes the correlation of inputs and signal.
pub(super) fn correlate(
    geometry: Geometry,
    input: &[f32],
    signal: &[f32],
    correlation: &mut [f32],
) {
    let [height, width, channels] = geometry.output();
    let pixels = signal.len() / channels;
    let maps = pixels / (height * width);
    let len = correlation.len();
    let parts = correlation_parts(maps, pixels, len);
    let outside = &zeros(geometry.input[2]);
    with_scratch(parts * len, |sums| {
        sums.par_chunks_mut(len).enumerate().for_each(|(part, sum)| {
            let pixels =
                part * maps / parts * height * width..(part + 1) * maps / parts * height * width;
            with_scratch(PIXELS * (PANEL + ROWS), |memory| {
                sum.fill(0.0);
                pulp::Arch::new().dispatch(Correlate {
                    geometry,
                    pixels,
                    input,
                    signal,
                    sum,
                    memory,
                    outside,
                });
            });
        });
        let columns = geometry.channels;
        correlation.par_chunks_mut(columns).enumerate().for_each(|(row, correlation)| {
            correlation.copy_from_slice(&sums[row * columns..][..columns]);
            for part in 1..parts {
                let from = part * len + row * columns;
                correlation.iter_mut().zip(&sums[from..]).for_each(|(sum, x)| *sum += x);
            }
        });
    });
}

/// Number of parts of the batch over which a correlation is summed separately; the parts are then
/// added in order. It depends on size alone, so that the sum does not depend on the number of
/// threads. There are enough parts for many threads, and each has enough work that adding its
/// correlation costs little.
fn correlation_parts(maps: usize, pixels: usize, kernel: usize) -> usize {
    const PARTS: usize = 16;
    /// Minimum number of pixels of a part.
    const MIN_PIXELS: usize = 256;
    /// Maximum number of values of all sums.
    const MEMORY: usize = 1 << 23;
    let most = (MEMORY / kernel.max(1)).clamp(2, PARTS);
    let parts = (pixels / MIN_PIXELS).clamp(2, most).min(maps.max(1));
    // A power of two divides evenly among two, four or more threads.
    1 << parts.ilog2()
}

/// A pixel of zeros, in place of pixels beyond the edge.
fn zeros(channels: usize) -> Vec<f32> {
    vec![0.0; channels.next_multiple_of(LANES)]
}

/// The kernels of a group in panels: for every element of the window, rows of `depth` values and
/// panels of columns.
#[derive(Clone, Copy)]
struct Packed<'a> {
    values: &'a [f32],
    elements: usize,
    depth: usize,
    columns: usize,
}

impl Packed<'_> {
    fn group_len(elements: usize, depth: usize, columns: usize) -> usize {
        elements * depth * columns.next_multiple_of(LANES)
    }

    fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    #[inline(always)]
    fn at(&self, group: usize, panel: usize, element: usize) -> *const f32 {
        let width = panel_width(self.columns, panel);
        let group = group * Self::group_len(self.elements, self.depth, self.columns);
        let panel = panel * PANEL * self.elements * self.depth;
        self.values[group + panel + element * self.depth * width..].as_ptr()
    }
}

/// Packs a kernel, or its transpose.
fn with_packed<R>(
    geometry: &Geometry,
    kernel: &[f32],
    transposed: bool,
    task: impl FnOnce(Packed) -> R,
) -> R {
    let groups = geometry.groups;
    let (inputs, outputs) = (geometry.input[2] / groups, geometry.channels / groups);
    let elements = geometry.window.elements();
    let (depth, columns) = if transposed { (outputs, inputs) } else { (inputs, outputs) };
    let len = Packed::group_len(elements, depth, columns);
    with_scratch(groups * len, |memory| {
        memory.par_chunks_mut(len).enumerate().for_each(|(group, memory)| {
            memory.fill(0.0);
            for element in 0..elements {
                for input in 0..inputs {
                    let from = (element * inputs + input) * geometry.channels + group * outputs;
                    for (output, value) in kernel[from..from + outputs].iter().enumerate() {
                        let (row, column) =
                            if transposed { (output, input) } else { (input, output) };
                        let (panel, rest) = (column / PANEL, column % PANEL);
                        let width = panel_width(columns, panel);
                        let start = panel * PANEL * elements * depth;
                        memory[start + (element * depth + row) * width + rest] = *value;
                    }
                }
            }
        });
        task(Packed { values: memory, elements, depth, columns })
    })
}

struct Forward<'a> {
    geometry: Geometry,
    pixels: std::ops::Range<usize>,
    input: &'a [f32],
    kernel: Packed<'a>,
    output: Shared<'a>,
    outside: &'a [f32],
}

impl pulp::WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, pixels, input, kernel, output, outside } = self;
        let columns = geometry.window.kernel[1];
        for first in pixels.clone().step_by(ROWS) {
            let rows = (pixels.end - first).min(ROWS);
            let mut places = [OutputPixel::of(&geometry, first); ROWS];
            for (r, place) in places.iter_mut().enumerate().take(rows) {
                *place = OutputPixel::of(&geometry, first + r);
            }
            for group in 0..geometry.groups {
                let channel = group * kernel.depth;
                for panel in 0..kernel.panels() {
                    let tap = |element: usize| {
                        let mut rows = [outside.as_ptr(); ROWS];
                        for (row, place) in rows.iter_mut().zip(&places) {
                            let element = (element / columns, element % columns);
                            if let Some(at) = place.input(&geometry, element.0, element.1) {
                                *row = input[at + channel..].as_ptr();
                            }
                        }
                        Tap { rows, depth: kernel.depth, right: kernel.at(group, panel, element) }
                    };
                    let column = group * kernel.columns + panel * PANEL;
                    let to = Destination {
                        start: output.at(first * geometry.channels + column),
                        stride: geometry.channels,
                        rows,
                        columns: (kernel.columns - panel * PANEL).min(PANEL),
                        add: false,
                    };
                    let width = panel_width(kernel.columns, panel);
                    // SAFETY: rows start in the input or in the zeros, both as deep as a group;
                    // this task owns its outputs.
                    unsafe { rows_times_panel(simd, kernel.elements, tap, width, to) };
                }
            }
        }
    }
}

/// Position of an output pixel.
#[derive(Clone, Copy)]
struct OutputPixel {
    map: usize,
    y: usize,
    x: usize,
}

impl OutputPixel {
    #[inline(always)]
    fn of(geometry: &Geometry, pixel: usize) -> Self {
        let [height, width, _] = geometry.output();
        Self { map: pixel / (height * width), y: pixel / width % height, x: pixel % width }
    }

    /// Offset in the inputs of the pixel under an element of the window; `None` beyond the edge.
    #[inline(always)]
    fn input(&self, geometry: &Geometry, row: usize, column: usize) -> Option<usize> {
        let [height, width, channels] = geometry.input;
        let y = geometry.source(0, self.y, row)?;
        let x = geometry.source(1, self.x, column)?;
        Some(((self.map * height + y) * width + x) * channels)
    }
}

/// Input pixels that meet the same elements of the window.
struct Class {
    /// The first of these pixels.
    origin: [usize; 2],
    rows: usize,
    columns: usize,
    /// The elements of the window, (vertical, horizontal).
    elements: Vec<[usize; 2]>,
}

impl Class {
    fn new(geometry: &Geometry, index: usize) -> Self {
        let window = geometry.window;
        let origin = [index / window.stride[1], index % window.stride[1]];
        let meets = |axis: usize, element: usize| {
            (origin[axis]
                + window.padding[axis]
                + window.stride[axis] * element * window.dilation[axis]
                - element * window.dilation[axis])
                .is_multiple_of(window.stride[axis])
        };
        let elements = (0..window.elements())
            .map(|element| [element / window.kernel[1], element % window.kernel[1]])
            .filter(|[row, column]| meets(0, *row) && meets(1, *column))
            .collect();
        let count = |axis: usize| {
            (geometry.input[axis].saturating_sub(origin[axis])).div_ceil(window.stride[axis])
        };
        Self { origin, rows: count(0), columns: count(1), elements }
    }
}

struct Adjoint<'a> {
    geometry: Geometry,
    class: &'a Class,
    map: usize,
    pixels: std::ops::Range<usize>,
    signal: &'a [f32],
    kernel: Packed<'a>,
    below: Shared<'a>,
    outside: &'a [f32],
}

impl pulp::WithSimd for Adjoint<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, class, map, pixels, signal, kernel, below, outside } = self;
        let [height, width, channels] = geometry.input;
        let [output_height, output_width, _] = geometry.output();
        let window = geometry.window;
        let place = |pixel: usize| {
            let y = class.origin[0] + pixel / class.columns * window.stride[0];
            let x = class.origin[1] + pixel % class.columns * window.stride[1];
            [y, x]
        };
        for first in pixels.clone().step_by(ROWS) {
            let rows = (pixels.end - first).min(ROWS);
            let mut places = [place(first); ROWS];
            for (r, position) in places.iter_mut().enumerate().take(rows) {
                *position = place(first + r);
            }
            let source = |r: usize, element: [usize; 2]| {
                let along = |axis: usize, limit: usize| {
                    let padded = places[r][axis] + window.padding[axis];
                    let distance = padded.checked_sub(element[axis] * window.dilation[axis])?;
                    let position = distance / window.stride[axis];
                    (position < limit).then_some(position)
                };
                let (y, x) = (along(0, output_height)?, along(1, output_width)?);
                Some(((map * output_height + y) * output_width + x) * geometry.channels)
            };
            for group in 0..geometry.groups {
                let channel = group * kernel.depth;
                for panel in 0..kernel.panels() {
                    let tap = |index: usize| {
                        let element = class.elements[index];
                        let mut rows = [outside.as_ptr(); ROWS];
                        for (r, row) in rows.iter_mut().enumerate() {
                            if let Some(at) = source(r, element) {
                                *row = signal[at + channel..].as_ptr();
                            }
                        }
                        let element = element[0] * window.kernel[1] + element[1];
                        Tap { rows, depth: kernel.depth, right: kernel.at(group, panel, element) }
                    };
                    // Rows of a block need not be adjacent: each is copied from a line of its own.
                    let mut lines = [0f32; ROWS * PANEL];
                    let columns = (kernel.columns - panel * PANEL).min(PANEL);
                    let to = Destination {
                        start: lines.as_mut_ptr(),
                        stride: PANEL,
                        rows: ROWS,
                        columns: columns.next_multiple_of(LANES),
                        add: false,
                    };
                    let panel_columns = panel_width(kernel.columns, panel);
                    // SAFETY: rows start in the signal or in the zeros, both as deep as a group.
                    unsafe { rows_times_panel(simd, class.elements.len(), tap, panel_columns, to) };
                    for (r, [y, x]) in places.iter().enumerate().take(rows) {
                        let pixel = (map * height + y) * width + x;
                        let at =
                            below.at(pixel * channels + group * kernel.columns + panel * PANEL);
                        // SAFETY: every input pixel belongs to one block of one task.
                        unsafe { std::slice::from_raw_parts_mut(at, columns) }
                            .copy_from_slice(&lines[r * PANEL..r * PANEL + columns]);
                    }
                }
            }
        }
    }
}

struct Correlate<'a> {
    geometry: Geometry,
    pixels: std::ops::Range<usize>,
    input: &'a [f32],
    signal: &'a [f32],
    sum: &'a mut [f32],
    memory: &'a mut [f32],
    outside: &'a [f32],
}

impl pulp::WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, pixels, input, signal, sum, memory, outside } = self;
        let groups = geometry.groups;
        let (inputs, outputs) = (geometry.input[2] / groups, geometry.channels / groups);
        let (panel_memory, edge_memory) = memory.split_at_mut(PIXELS * PANEL);
        let window_columns = geometry.window.kernel[1];
        for first in pixels.clone().step_by(PIXELS) {
            let count = (pixels.end - first).min(PIXELS);
            for group in 0..groups {
                for panel in 0..outputs.div_ceil(PANEL) {
                    let width = panel_width(outputs, panel);
                    let columns = (outputs - panel * PANEL).min(PANEL);
                    let column = group * outputs + panel * PANEL;
                    for j in 0..count {
                        let from = (first + j) * geometry.channels + column;
                        let line = &mut panel_memory[j * width..(j + 1) * width];
                        line[..columns].copy_from_slice(&signal[from..from + columns]);
                        line[columns..].fill(0.0);
                    }
                    for element in 0..geometry.window.elements() {
                        let mut starts = [outside.as_ptr(); PIXELS];
                        for (j, start) in starts.iter_mut().enumerate().take(count) {
                            let place = OutputPixel::of(&geometry, first + j);
                            let (row, column) =
                                (element / window_columns, element % window_columns);
                            if let Some(at) = place.input(&geometry, row, column) {
                                *start = input[at + group * inputs..].as_ptr();
                            }
                        }
                        for channel in (0..inputs).step_by(ROWS) {
                            let rows = (inputs - channel).min(ROWS);
                            let at = (element * inputs + channel) * geometry.channels + column;
                            let to = Destination {
                                start: sum[at..].as_mut_ptr(),
                                stride: geometry.channels,
                                rows,
                                columns,
                                add: true,
                            };
                            let right = panel_memory.as_ptr();
                            // SAFETY: rows start in the input or in the zeros; a block that would
                            // reach beyond the channels of a pixel is gathered first.
                            unsafe {
                                if rows == ROWS {
                                    let left = |j: usize| starts[j].add(channel);
                                    columns_times_panel(simd, count, left, right, width, to);
                                } else {
                                    for (j, start) in starts.iter().enumerate().take(count) {
                                        for r in 0..rows {
                                            edge_memory[j * ROWS + r] = *start.add(channel + r);
                                        }
                                    }
                                    let edge = edge_memory.as_ptr();
                                    let left = |j: usize| edge.add(j * ROWS);
                                    columns_times_panel(simd, count, left, right, width, to);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
