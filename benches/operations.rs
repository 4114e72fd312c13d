//! Tensor operations: gate, matrix products, convolution, normalisation.

mod quick;

use criterion::{Bencher, Criterion, Throughput};
use zor::core::ops::{self, GateSettings, Geometry, NORM_EPSILON, Transposed, Window};
use zor_benches::noise;

/// Batch size of the convolutions.
const BATCH: usize = 32;

fn main() -> zor::Result<()> {
    let mut criterion = quick::criterion();
    gate(&mut criterion);
    products(&mut criterion);
    convolution(&mut criterion)?;
    normalisation(&mut criterion);
    criterion.final_summary();
    Ok(())
}

/// Times an operation that updates a state in place.
fn in_place<State>(
    bencher: &mut Bencher<'_>,
    start: State,
    mut operation: impl FnMut(State) -> State,
) {
    let mut state = Some(start);
    bencher.iter(|| state = state.take().map(&mut operation));
}

fn gate(criterion: &mut Criterion) {
    let mut group = quick::group(criterion, "gate");
    let settings = GateSettings { threshold: 0.0, min_charge: 0.0, stateful: false };
    for shape in [[48, 64], [512, 728]] {
        group.throughput(Throughput::Elements((shape[0] * shape[1]) as u64));
        group.bench_function(format!("{}x{}", shape[0], shape[1]), |bencher| {
            let start = (noise(shape), noise(shape), noise(shape));
            in_place(bencher, start, |(input, charge, buffer)| {
                let (output, spikes, charge) = ops::spike_gate(input, charge, buffer, settings);
                (output, charge, spikes)
            });
        });
    }
    group.finish();
}

/// Matrix products of a layer's forward pass, and the symmetric ones of Muon, of which half is
/// computed.
fn products(criterion: &mut Criterion) {
    let mut group = quick::group(criterion, "product");
    for [rows, inner, columns] in [[48, 784, 64], [512, 3072, 728], [1024, 1024, 1024]] {
        group.throughput(Throughput::Elements((rows * inner * columns) as u64));
        group.bench_function(format!("{rows}x{inner}x{columns}"), |bencher| {
            let (left, right) = (noise([rows, inner]), noise([inner, columns]));
            in_place(bencher, noise([rows, columns]), |buffer| {
                ops::matmul(left.clone(), right.clone(), buffer, Transposed::Neither)
            });
        });
    }
    group.finish();
    let mut group = quick::group(criterion, "symmetric product");
    for [rows, columns] in [[784, 64], [3072, 728]] {
        group.throughput(Throughput::Elements((rows * columns * columns) as u64));
        group.bench_function(format!("Gram matrix of {rows}x{columns}"), |bencher| {
            let matrix = noise([rows, columns]);
            in_place(bencher, noise([columns; 2]), |buffer| {
                ops::symmetric_matmul(matrix.clone(), matrix.clone(), buffer, Transposed::Left)
            });
        });
    }
    group.throughput(Throughput::Elements(728 * 728 * 728));
    group.bench_function("square of 728x728", |bencher| {
        let factor = noise([728, 64]);
        let (left, right) = (factor.clone(), factor);
        let matrix = ops::symmetric_matmul(left, right, noise([728; 2]), Transposed::Right);
        in_place(bencher, noise([728; 2]), |buffer| {
            ops::symmetric_matmul(matrix.clone(), matrix.clone(), buffer, Transposed::Neither)
        });
    });
    group.finish();
}

/// Convolutions of 3x3 with padding 1.
fn convolution(criterion: &mut Criterion) -> zor::Result<()> {
    let mut group = quick::group(criterion, "convolution");
    let window = Window { padding: [1, 1], ..Window::square(3) };
    for (side, inputs, outputs) in [(28, 1, 32), (15, 64, 64), (7, 128, 256)] {
        let geometry = Geometry::new([side, side, inputs], outputs, window, 1)?;
        let input = noise([BATCH, geometry.input.iter().product()]);
        let signal = noise([BATCH, geometry.output().iter().product()]);
        let kernel = noise(geometry.kernel_shape());
        let name = format!("{side}x{side}, {inputs} to {outputs}");
        group.throughput(Throughput::Elements(BATCH as u64 * geometry.multiply_adds()));
        group.bench_function(format!("forward {name}"), |bencher| {
            in_place(bencher, signal.zeros_like(), |buffer| {
                ops::convolve(input.clone(), kernel.clone(), buffer, geometry)
            });
        });
        group.throughput(Throughput::Elements(2 * BATCH as u64 * geometry.multiply_adds()));
        group.bench_function(format!("correlation and signal {name}"), |bencher| {
            in_place(bencher, (kernel.zeros_like(), input.zeros_like()), |buffers| {
                let (input, signal, kernel) = (input.clone(), signal.clone(), kernel.clone());
                ops::convolve_learn(input, signal, kernel, buffers, geometry)
            });
        });
    }
    group.finish();
    Ok(())
}

fn normalisation(criterion: &mut Criterion) {
    const SHAPE: [usize; 2] = [512, 728];
    let mut group = quick::group(criterion, "normalisation");
    group.throughput(Throughput::Elements((SHAPE[0] * SHAPE[1]) as u64));
    group.bench_function("of a signal's units", |bencher| {
        in_place(bencher, noise(SHAPE), |signal| ops::unit_normalize(signal, NORM_EPSILON));
    });
    group.bench_function("of a correlation by presynaptic activity", |bencher| {
        let presynaptic = noise([512, 784]);
        in_place(bencher, noise([784, 64]), |correlation| {
            ops::normalize_presynaptic(correlation, presynaptic.clone(), 1)
        });
    });
    // Feature maps of 14x14 with 64 channels: many rows, few columns.
    let shape = [BATCH * 14 * 14, 64];
    group.throughput(Throughput::Elements((shape[0] * shape[1]) as u64));
    group.bench_function("of a batch", |bencher| {
        let (input, scale, shift) = (noise(shape), noise([1, 64]), noise([1, 64]));
        in_place(bencher, noise(shape), |buffer| {
            let (scale, shift) = (scale.clone(), shift.clone());
            ops::batch_normalize(input.clone(), scale, shift, buffer, 1e-5).0
        });
    });
    group.finish();
}
