//! Pooling, channels last: one unit per value of the result. Kernels are compiled for each shape,
//! whose sizes are constants in them.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use crate::backend::Geometry;

/// Maximum under every window, and the index of its element in the window.
#[cube(launch)]
pub(super) fn max(
    input: &[f32],
    output: &mut [f32],
    winners: &mut [f32],
    #[comptime] geometry: Geometry,
) {
    let at = ABSOLUTE_POS;
    if at < output.len() {
        let place = Position::of(at, comptime!(geometry.output()));
        let mut largest = f32::min_value();
        let mut winner = 0.0f32;
        for element in 0..comptime!(geometry.window.elements()) {
            let (there, from) = source(&place, element, geometry);
            if there {
                let x = input[from];
                if x > largest {
                    largest = x;
                    winner = f32::cast_from(element);
                }
            }
        }
        output[at] = largest;
        winners[at] = winner;
    }
}

/// Sums for every pixel the signals of the windows of which it is the maximum.
#[cube(launch)]
pub(super) fn max_route(
    signal: &[f32],
    winners: &[f32],
    below: &mut [f32],
    #[comptime] geometry: Geometry,
) {
    let at = ABSOLUTE_POS;
    if at < below.len() {
        let place = Position::of(at, comptime!(geometry.input));
        let mut sum = 0.0f32;
        for element in 0..comptime!(geometry.window.elements()) {
            let (there, from) = window(&place, element, geometry);
            if there && winners[from] == f32::cast_from(element) {
                sum += signal[from];
            }
        }
        below[at] = sum;
    }
}

/// Mean of the pixels under every window, without those beyond the edge.
#[cube(launch)]
pub(super) fn average(input: &[f32], output: &mut [f32], #[comptime] geometry: Geometry) {
    let at = ABSOLUTE_POS;
    if at < output.len() {
        let place = Position::of(at, comptime!(geometry.output()));
        let mut sum = 0.0f32;
        let mut count = 0.0f32;
        for element in 0..comptime!(geometry.window.elements()) {
            let (there, from) = source(&place, element, geometry);
            if there {
                sum += input[from];
                count += 1.0;
            }
        }
        output[at] = sum / count;
    }
}

/// Sums for every pixel its share of the signals of the windows over it.
#[cube(launch)]
pub(super) fn average_adjoint(signal: &[f32], below: &mut [f32], #[comptime] geometry: Geometry) {
    let at = ABSOLUTE_POS;
    if at < below.len() {
        let place = Position::of(at, comptime!(geometry.input));
        let mut sum = 0.0f32;
        for element in 0..comptime!(geometry.window.elements()) {
            let (there, from) = window(&place, element, geometry);
            if there {
                // Number of pixels under that window.
                let over = Position::of(from, comptime!(geometry.output()));
                let mut count = 0.0f32;
                for other in 0..comptime!(geometry.window.elements()) {
                    let (inside, _) = source(&over, other, geometry);
                    count += select(inside, 1.0f32, 0.0f32);
                }
                sum += signal[from] / count;
            }
        }
        below[at] = sum;
    }
}

/// Position of a value in a batch of maps.
#[derive(CubeType)]
struct Position {
    sample: usize,
    y: usize,
    x: usize,
    channel: usize,
}

#[cube]
impl Position {
    fn of(at: usize, #[comptime] map: [usize; 3]) -> Position {
        let [height, width, channels] = comptime!(map);
        let pixel = at / channels;
        Position {
            sample: pixel / (height * width),
            y: pixel / width % height,
            x: pixel % width,
            channel: at % channels,
        }
    }
}

/// Returns whether an element of a window lies on the input map, and its offset there.
#[cube]
fn source(place: &Position, element: usize, #[comptime] geometry: Geometry) -> (bool, usize) {
    let [height, width, channels] = comptime!(geometry.input);
    let window = comptime!(geometry.window);
    let kernel_width = comptime!(window.kernel[1]);
    let [step_y, step_x] = comptime!(window.stride);
    let [apart_y, apart_x] = comptime!(window.dilation);
    let [pad_y, pad_x] = comptime!(window.padding);
    let y = place.y * step_y + element / kernel_width * apart_y;
    let x = place.x * step_x + element % kernel_width * apart_x;
    let there = y >= pad_y && y < height + pad_y && x >= pad_x && x < width + pad_x;
    let row = (place.sample * height + y - pad_y) * width;
    (there, (row + x - pad_x) * channels + place.channel)
}

/// Returns whether there is a window whose given element lies on this pixel of the input map, and
/// the offset of its output.
#[cube]
fn window(place: &Position, element: usize, #[comptime] geometry: Geometry) -> (bool, usize) {
    let [height, width, channels] = comptime!(geometry.output());
    let window = comptime!(geometry.window);
    let kernel_width = comptime!(window.kernel[1]);
    let [step_y, step_x] = comptime!(window.stride);
    let [apart_y, apart_x] = comptime!(window.dilation);
    let [pad_y, pad_x] = comptime!(window.padding);
    let (back_y, back_x) = (element / kernel_width * apart_y, element % kernel_width * apart_x);
    let (y, x) = (place.y + pad_y, place.x + pad_x);
    let (from_y, from_x) = (y - back_y, x - back_x);
    let there = y >= back_y
        && x >= back_x
        && from_y % step_y == 0
        && from_x % step_x == 0
        && from_y / step_y < height
        && from_x / step_x < width;
    let row = (place.sample * height + from_y / step_y) * width;
    (there, (row + from_x / step_x) * channels + place.channel)
}
