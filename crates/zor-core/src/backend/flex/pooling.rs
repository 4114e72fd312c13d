//! Pooling on the CPU, channels last: one task per map, all channels of a pixel at once.

use rayon::prelude::*;

use super::passes::simd;
use crate::backend::Geometry;

/// Maximum under every window, and the index of its element in the window.
pub(super) fn max(geometry: Geometry, input: &[f32], output: &mut [f32], winners: &mut [f32]) {
    let (input_map, output_map) = lengths(&geometry);
    let maps = output.par_chunks_mut(output_map).zip(winners.par_chunks_mut(output_map));
    maps.zip(input.par_chunks(input_map)).for_each(|((output, winners), input)| {
        simd(
            #[inline(always)]
            || {
                for_each_window(&geometry, |to, sources| {
                    let (output, winners) = (&mut output[to.clone()], &mut winners[to]);
                    output.fill(f32::NEG_INFINITY);
                    winners.fill(0.0);
                    for (element, from) in sources {
                        let values = output.iter_mut().zip(winners.iter_mut());
                        for ((output, winner), x) in values.zip(&input[from]) {
                            let wins = *x > *output;
                            *output = if wins { *x } else { *output };
                            *winner = if wins { element as f32 } else { *winner };
                        }
                    }
                });
            },
        );
    });
}

/// Routes every signal to the pixel of its maximum.
pub(super) fn max_route(geometry: Geometry, signal: &[f32], winners: &[f32], below: &mut [f32]) {
    let (input_map, output_map) = lengths(&geometry);
    let maps = signal.par_chunks(output_map).zip(winners.par_chunks(output_map));
    below.par_chunks_mut(input_map).zip(maps).for_each(|(below, (signal, winners))| {
        below.fill(0.0);
        simd(
            #[inline(always)]
            || {
                for_each_window(&geometry, |to, sources| {
                    let (signal, winners) = (&signal[to.clone()], &winners[to]);
                    for (element, from) in sources {
                        let values = signal.iter().zip(winners);
                        for (below, (s, winner)) in below[from].iter_mut().zip(values) {
                            *below += if *winner == element as f32 { *s } else { 0.0 };
                        }
                    }
                });
            },
        );
    });
}

/// Mean of the pixels under every window, without those beyond the edge.
pub(super) fn average(geometry: Geometry, input: &[f32], output: &mut [f32]) {
    let (input_map, output_map) = lengths(&geometry);
    let maps = output.par_chunks_mut(output_map).zip(input.par_chunks(input_map));
    maps.for_each(|(output, input)| {
        simd(
            #[inline(always)]
            || {
                for_each_window(&geometry, |to, sources| {
                    let output = &mut output[to];
                    output.fill(0.0);
                    let mut count = 0;
                    for (_, from) in sources {
                        count += 1;
                        output.iter_mut().zip(&input[from]).for_each(|(y, x)| *y += x);
                    }
                    let share = 1.0 / count as f32;
                    output.iter_mut().for_each(|y| *y *= share);
                });
            },
        );
    });
}

/// Spreads every signal evenly over the pixels under its window.
pub(super) fn average_adjoint(geometry: Geometry, signal: &[f32], below: &mut [f32]) {
    let (input_map, output_map) = lengths(&geometry);
    let maps = below.par_chunks_mut(input_map).zip(signal.par_chunks(output_map));
    maps.for_each(|(below, signal)| {
        below.fill(0.0);
        simd(
            #[inline(always)]
            || {
                for_each_window(&geometry, |to, sources| {
                    let signal = &signal[to];
                    let share = 1.0 / sources.clone().count() as f32;
                    for (_, from) in sources {
                        below[from].iter_mut().zip(signal).for_each(|(x, s)| *x += share * s);
                    }
                });
            },
        );
    });
}

/// Numbers of values of an input map and of an output map.
fn lengths(geometry: &Geometry) -> (usize, usize) {
    (geometry.input.iter().product(), geometry.output().iter().product())
}

type Range = std::ops::Range<usize>;

/// Calls `task` for every window of a map, with the range of its output and an iterator over its
/// elements.
#[inline(always)]
fn for_each_window<'a>(geometry: &'a Geometry, mut task: impl FnMut(Range, Sources<'a>)) {
    let [height, width, channels] = geometry.output();
    for y in 0..height {
        for x in 0..width {
            let to = (y * width + x) * channels;
            task(to..to + channels, Sources { geometry, y, x, element: 0 });
        }
    }
}

/// Iterator over the elements of a window that lie on the map, each with the range of its pixel.
#[derive(Clone)]
struct Sources<'a> {
    geometry: &'a Geometry,
    y: usize,
    x: usize,
    element: usize,
}

impl Iterator for Sources<'_> {
    type Item = (usize, Range);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let [_, width, channels] = self.geometry.input;
        let columns = self.geometry.window.kernel[1];
        while self.element < self.geometry.window.elements() {
            let element = self.element;
            self.element += 1;
            let y = self.geometry.source(0, self.y, element / columns);
            let x = self.geometry.source(1, self.x, element % columns);
            if let (Some(y), Some(x)) = (y, x) {
                let from = (y * width + x) * channels;
                return Some((element, from..from + channels));
            }
        }
        None
    }
}
