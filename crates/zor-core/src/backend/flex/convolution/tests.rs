//! Comparisons of convolutions with sums in f64, for windows of every kind, and of the algorithms
//! with each other.

use super::{direct, forward_pooled, learn_pooled, winograd};
use crate::backend::flex::pooling;
use crate::backend::{Geometry, Window};

/// Tolerated relative error, root mean square: (outputs and signals, correlations).
const DIRECT: (f64, f64) = (1e-6, 2e-6);
const WINOGRAD: (f64, f64) = (8e-6, 2e-5);

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut random = crate::Random::seeded(seed);
    (0..len).map(|_| random.normal()).collect()
}

struct Exact {
    output: Vec<f64>,
    below: Vec<f64>,
    correlation: Vec<f64>,
}

/// Sums every product in f64.
fn exact(g: &Geometry, batch: usize, input: &[f32], kernel: &[f32], signal: &[f32]) -> Exact {
    let [height, width, channels] = g.input;
    let [output_height, output_width, outputs] = g.output();
    let (group_inputs, group_outputs) = (channels / g.groups, outputs / g.groups);
    let mut exact = Exact {
        output: vec![0.0; signal.len()],
        below: vec![0.0; input.len()],
        correlation: vec![0.0; kernel.len()],
    };
    for map in 0..batch {
        for (y, x) in (0..output_height).flat_map(|y| (0..output_width).map(move |x| (y, x))) {
            for element in 0..g.window.elements() {
                let (row, column) = (element / g.window.kernel[1], element % g.window.kernel[1]);
                let (Some(from_y), Some(from_x)) = (g.source(0, y, row), g.source(1, x, column))
                else {
                    continue;
                };
                for output in 0..outputs {
                    let to = ((map * output_height + y) * output_width + x) * outputs + output;
                    for i in 0..group_inputs {
                        let channel = output / group_outputs * group_inputs + i;
                        let from = ((map * height + from_y) * width + from_x) * channels + channel;
                        let weight = (element * group_inputs + i) * outputs + output;
                        exact.output[to] += f64::from(input[from]) * f64::from(kernel[weight]);
                        exact.below[from] += f64::from(signal[to]) * f64::from(kernel[weight]);
                        exact.correlation[weight] += f64::from(signal[to]) * f64::from(input[from]);
                    }
                }
            }
        }
    }
    exact
}

fn check(what: &str, found: &[f32], exact: &[f64], tolerated: f64) {
    let errors = found.iter().zip(exact).map(|(f, e)| (f64::from(*f) - e).powi(2)).sum::<f64>();
    let error = (errors / exact.iter().map(|e| e * e).sum::<f64>()).sqrt();
    assert!(error <= tolerated, "{what}: relative error {error:e}");
}

fn compare(geometry: Geometry, batch: usize) {
    let inputs = batch * geometry.input.iter().product::<usize>();
    let outputs = batch * geometry.output().iter().product::<usize>();
    let kernels = geometry.kernel_shape().iter().product();
    let (input, kernel, signal) = (random(inputs, 1), random(kernels, 2), random(outputs, 3));
    let exact = exact(&geometry, batch, &input, &kernel, &signal);
    // Buffers have arbitrary contents at first.
    let dirty = |len| vec![f32::NAN; len];
    let (mut output, mut below, mut correlation) = (dirty(outputs), dirty(inputs), dirty(kernels));
    let name = format!("{geometry:?}, batch {batch}");
    direct::forward(geometry, &input, &kernel, &mut output);
    direct::correlate(geometry, &input, &signal, &mut correlation);
    direct::adjoint(geometry, &signal, &kernel, &mut below);
    check(&format!("direct output of {name}"), &output, &exact.output, DIRECT.0);
    check(&format!("direct signal of {name}"), &below, &exact.below, DIRECT.0);
    check(&format!("direct correlation of {name}"), &correlation, &exact.correlation, DIRECT.1);
    if winograd::suits(&geometry) {
        let (mut output, mut below, mut correlation) =
            (dirty(outputs), dirty(inputs), dirty(kernels));
        winograd::forward(geometry, &input, &kernel, &mut output, None);
        let both = (Some(&mut correlation[..]), Some(&mut below[..]));
        winograd::learn(geometry, &input, (&signal, None), &kernel, both.0, both.1);
        check(&format!("output of {name}"), &output, &exact.output, WINOGRAD.0);
        check(&format!("signal of {name}"), &below, &exact.below, WINOGRAD.0);
        check(&format!("correlation of {name}"), &correlation, &exact.correlation, WINOGRAD.1);
    }
}

fn geometry(input: [usize; 3], channels: usize, window: Window, groups: usize) -> Geometry {
    Geometry::new(input, channels, window, groups).unwrap()
}

/// [`compare`] for convolutions followed by max pooling.
fn compare_pooled(geometry: Geometry, batch: usize) {
    let pool = Geometry::new(geometry.output(), geometry.channels, Window::tiling(2), 1).unwrap();
    let inputs = batch * geometry.input.iter().product::<usize>();
    let outputs = batch * geometry.output().iter().product::<usize>();
    let pooled = batch * pool.output().iter().product::<usize>();
    let kernels = geometry.kernel_shape().iter().product();
    let (input, kernel, signal) = (random(inputs, 1), random(kernels, 2), random(pooled, 3));
    let dirty = |len| vec![f32::NAN; len];
    let (mut output, mut winners) = (dirty(pooled), dirty(pooled));
    forward_pooled((geometry, pool), &input, &kernel, &mut output, &mut winners);
    let (mut below, mut correlation) = (dirty(inputs), dirty(kernels));
    let above = (&signal[..], &winners[..]);
    learn_pooled((geometry, pool), &input, above, &kernel, &mut correlation, &mut below);
    let mut routed = dirty(outputs);
    pooling::max_route(pool, &signal, &winners, &mut routed);
    let exact = exact(&geometry, batch, &input, &kernel, &routed);
    // A maximum that exceeds the others by more than rounding errors is chosen.
    let all: Vec<f32> = exact.output.iter().map(|x| *x as f32).collect();
    let (mut largest, mut expected) = (dirty(pooled), dirty(pooled));
    pooling::max(pool, &all, &mut largest, &mut expected);
    let differing = winners.iter().zip(&expected).filter(|(w, e)| w != e).count();
    let name = format!("{geometry:?}, batch {batch}");
    assert!(differing <= pooled / 1000, "{differing} of {pooled} winners of {name}");
    let largest: Vec<f64> = largest.iter().map(|x| f64::from(*x)).collect();
    check(&format!("pooled output of {name}"), &output, &largest, WINOGRAD.0);
    check(&format!("signal under the pool of {name}"), &below, &exact.below, WINOGRAD.0);
    let what = format!("correlation under the pool of {name}");
    check(&what, &correlation, &exact.correlation, WINOGRAD.1);
}

#[test]
fn windows_of_every_kind_agree_with_f64() {
    let window = |kernel, stride, padding, dilation| Window { kernel, stride, padding, dilation };
    let cases = [
        geometry([5, 7, 3], 4, Window::square(1), 1),
        geometry([6, 5, 3], 24, Window::square(2), 1),
        geometry([9, 8, 5], 7, window([3, 2], [2, 1], [1, 1], [1, 1]), 1),
        geometry([9, 9, 4], 6, window([3, 3], [2, 3], [1, 2], [2, 1]), 2),
        geometry([8, 8, 6], 6, window([3, 3], [1, 1], [1, 1], [1, 1]), 6),
        geometry([4, 4, 130], 70, window([4, 4], [4, 4], [0, 0], [1, 1]), 1),
        geometry([7, 3, 2], 200, window([5, 3], [1, 2], [2, 0], [1, 1]), 2),
        geometry([2, 2, 1], 1, window([2, 2], [2, 2], [0, 0], [1, 1]), 1),
    ];
    for case in cases {
        for batch in [1, 5] {
            compare(case, batch);
        }
    }
}

#[test]
fn three_by_three_agrees_with_f64_at_every_size_and_padding() {
    let sizes = [(3, 3), (4, 5), (7, 7), (9, 6), (10, 8), (15, 15), (17, 11)];
    for (height, width) in sizes {
        for (inputs, outputs) in [(8, 8), (24, 64), (33, 17), (64, 80)] {
            for padding in [0, 1, 2] {
                if height.min(width) + 2 * padding < 5 {
                    continue;
                }
                let window = Window { padding: [padding; 2], ..Window::square(3) };
                let geometry = geometry([height, width, inputs], outputs, window, 1);
                compare(geometry, 3);
                compare_pooled(geometry, 3);
            }
        }
    }
}

#[test]
fn many_maps_are_cut_into_chunks_without_a_seam() {
    let window = Window { padding: [1; 2], ..Window::square(3) };
    let geometry = geometry([14, 14, 16], 16, window, 1);
    compare(geometry, 40);
    compare_pooled(geometry, 40);
}
