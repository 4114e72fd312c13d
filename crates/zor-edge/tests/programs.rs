//! Tests of programs through the public interface: writing, damage, running.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

use zor_edge::{
    Activation, DType, Geometry, Kind, LayerSource, LayerSpec, Network, ProductStrategy,
    ProgramError, RunError, Values, Window, reseal, write,
};

/// Bytes aligned for a network.
struct Aligned(Vec<u32>);

impl Aligned {
    fn of(bytes: &[u8]) -> Self {
        assert_eq!(bytes.len() % 4, 0);
        Self(bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect())
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

fn program(dtype: DType, input: [usize; 3], layers: &[LayerSource<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = write(dtype, input, layers, |piece| bytes.extend_from_slice(piece)).unwrap();
    assert_eq!(length, bytes.len());
    bytes
}

fn le(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn run(bytes: &[u8], input: &[f32]) -> Vec<f32> {
    let program = Aligned::of(bytes);
    let network = Network::from_bytes(program.bytes()).unwrap();
    let mut output = vec![f32::NAN; network.output_shape().iter().product()];
    let mut scratch = vec![f32::NAN; network.scratch_len()];
    network.run(input, &mut output, &mut scratch).unwrap();
    // Skipping zero inputs changes no bit.
    for path in [ProductStrategy::Events, ProductStrategy::Dense] {
        let mut other = output.clone();
        network.with_strategy(path).run(input, &mut other, &mut scratch).unwrap();
        assert_eq!(output, other);
    }
    output
}

const TWO_LAYERS: [f32; 6] = [1.0, -1.0, 2.0, 0.5, 1.0, 1.0];

/// 2-2-1 with a gate, a scale and a bias between the layers.
fn small() -> Vec<u8> {
    let weights = le(&TWO_LAYERS);
    let below = LayerSpec {
        threshold: Some(0.5),
        has_scales: true,
        has_biases: true,
        ..LayerSpec::dense(2, 2)
    };
    let below = LayerSource {
        shape: below,
        weights: &weights[..16],
        scales: &[2.0, 1.0],
        biases: &[0.0, 1.0],
    };
    let above = LayerSource {
        shape: LayerSpec::dense(2, 1),
        weights: &weights[16..],
        scales: &[],
        biases: &[],
    };
    program(DType::F32, [1, 1, 2], &[below, above])
}

#[test]
fn layers_do_what_their_shape_says() {
    // Sums 1 * 1 + 2 * 2 = 5 and 1 * -1 + 2 * 0.5 = 0; times scale, plus bias: 10 and 1; both are
    // above the threshold.
    assert_eq!(run(&small(), &[1.0, 2.0]), [11.0]);
    // 2 and -1 + 1 = 0: the second unit is silent.
    assert_eq!(run(&small(), &[1.0, 0.0]), [2.0]);
    assert_eq!(run(&small(), &[0.0, 0.0]), [1.0]);
}

#[test]
fn what_layers_did_is_told() {
    let program = Aligned::of(&small());
    let network = Network::from_bytes(program.bytes()).unwrap();
    let (mut output, mut scratch, mut told) = ([0.0], vec![0.0; network.scratch_len()], Vec::new());
    network
        .run_traced(&[1.0, 0.0], &mut output, &mut scratch, |activity| {
            let Values::F32(values) = activity.output else {
                panic!("an f32 program has f32 values")
            };
            let input = activity.input;
            told.push((activity.layer, input.len(), input.active(), values.to_vec()));
        })
        .unwrap();
    assert_eq!(told, [(0, 2, 1, vec![2.0, 0.0]), (1, 2, 1, vec![2.0])]);
}

/// A reference convolution.
fn convolved(input: &[f32], weights: &[f32], geometry: Geometry) -> Vec<f32> {
    let [height, width, channels] = geometry.input;
    let Window { kernel, stride, padding, dilation } = geometry.window;
    let unpooled = Geometry { pool: 1, ..geometry }.output();
    let at = |y: usize, x: usize, channel: usize| {
        let mut sum = 0.0;
        for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
            let row = (y * stride[0] + ky * dilation[0]).checked_sub(padding[0]);
            let column = (x * stride[1] + kx * dilation[1]).checked_sub(padding[1]);
            let (Some(row), Some(column)) = (row, column) else { continue };
            for c in (0..channels).filter(|_| row < height && column < width) {
                let weight =
                    weights[((ky * kernel[1] + kx) * channels + c) * geometry.channels + channel];
                sum += input[(row * width + column) * channels + c] * weight;
            }
        }
        sum
    };
    let [rows, columns, outputs] = geometry.output();
    assert_eq!([rows, columns], [unpooled[0] / geometry.pool, unpooled[1] / geometry.pool]);
    let mut all = Vec::new();
    for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
        for channel in 0..outputs {
            let side = geometry.pool;
            let places = (0..side * side).map(|at| (y * side + at / side, x * side + at % side));
            all.push(places.map(|(y, x)| at(y, x, channel)).fold(f32::NEG_INFINITY, f32::max));
        }
    }
    all
}

#[test]
fn convolutions_are_convolutions_whatever_their_window() {
    let windows = [
        (Window { kernel: [3, 3], stride: [1, 1], padding: [1, 1], dilation: [1, 1] }, 1),
        (Window { kernel: [3, 3], stride: [1, 1], padding: [1, 1], dilation: [1, 1] }, 2),
        (Window { kernel: [2, 3], stride: [2, 1], padding: [0, 1], dilation: [1, 1] }, 1),
        (Window { kernel: [3, 2], stride: [1, 2], padding: [2, 1], dilation: [2, 3] }, 1),
        (Window::point(), 3),
    ];
    for (window, pool) in windows {
        for (channels_below, channels) in [(1, 5), (3, 70)] {
            let geometry = Geometry { input: [7, 8, channels_below], channels, window, pool };
            let n = window.kernel[0] * window.kernel[1] * channels_below * channels;
            // Small integers: sums are exact in any order.
            let weights: Vec<f32> = (0..n).map(|at| (at * 7 % 11) as f32 - 5.0).collect();
            let input: Vec<f32> = (0..56 * channels_below)
                .map(|at| (at * 5 % 7) as f32 - 4.0)
                .map(|x| x.max(0.0))
                .collect();
            let shape = LayerSpec { kind: Kind::Convolution, geometry, ..LayerSpec::dense(1, 1) };
            let weight_bytes = le(&weights);
            let source = LayerSource { shape, weights: &weight_bytes, scales: &[], biases: &[] };
            let bytes = program(DType::F32, geometry.input, &[source]);
            assert_eq!(run(&bytes, &input), convolved(&input, &weights, geometry), "{geometry:?}");
            // The same values in int8, with scale 1.
            let weights: Vec<u8> = weights.iter().map(|weight| *weight as i8 as u8).collect();
            let scales = vec![1.0; channels];
            let shape = LayerSpec { has_scales: true, ..shape };
            let source = LayerSource { shape, weights: &weights, scales: &scales, biases: &[] };
            let exact = run(&bytes, &input);
            assert_eq!(
                run(&program(DType::I8, geometry.input, &[source]), &input),
                exact,
                "{geometry:?}"
            );
        }
    }
}

#[test]
fn pools_keep_the_largest_or_the_mean_of_what_is_inside() {
    let pooled = |kind, padding| {
        let window =
            Window { kernel: [2, 2], stride: [2, 2], padding: [padding; 2], dilation: [1, 1] };
        let geometry = Geometry { input: [2, 2, 1], channels: 1, window, pool: 1 };
        let shape = LayerSpec { kind, geometry, ..LayerSpec::dense(1, 1) };
        let source = LayerSource { shape, weights: &[], scales: &[], biases: &[] };
        run(&program(DType::F32, [2, 2, 1], &[source]), &[1.0, -2.0, 3.0, -4.0])
    };
    assert_eq!(pooled(Kind::Max, 0), [3.0]);
    assert_eq!(pooled(Kind::Average, 0), [-0.5]);
    assert_eq!(pooled(Kind::Max, 1), [1.0, -2.0, 3.0, -4.0]);
    assert_eq!(pooled(Kind::Average, 1), [1.0, -2.0, 3.0, -4.0]);
}

#[test]
fn activations_are_those_of_training() {
    let activated = |activation, x: f32| {
        let shape = LayerSpec { activation, ..LayerSpec::dense(2, 2) };
        let weights = le(&[1.0, 0.0, 0.0, 1.0]);
        let source = LayerSource { shape, weights: &weights, scales: &[], biases: &[] };
        run(&program(DType::F32, [1, 1, 2], &[source]), &[x, 0.0])[0]
    };
    let cases = [
        (Activation::None, -1.0),
        (Activation::Relu, 0.0),
        (Activation::LeakyRelu, -0.01),
        (Activation::Gelu, -0.158_655_25),
        (Activation::Silu, -0.268_941_43),
        (Activation::Sigmoid, 0.268_941_43),
        (Activation::Tanh, -0.761_594_2),
        (Activation::Softmax, 0.268_941_43),
    ];
    for (activation, expected) in cases {
        let found = activated(activation, -1.0);
        assert!((found - expected).abs() < 1e-6, "{activation:?}: {found}");
    }
}

/// 2-2-1 in int8, with a gate between the layers.
fn small_int8() -> Vec<u8> {
    let dense = |n| LayerSpec { has_scales: true, step: 0.1, ..LayerSpec::dense(2, n) };
    let below = LayerSource {
        shape: LayerSpec { threshold: Some(0.5), ..dense(2) },
        weights: &[127, 0x81, 5, 0],
        scales: &[0.01, 0.02],
        biases: &[],
    };
    let above =
        LayerSource { shape: dense(1), weights: &[100, 0xf6], scales: &[0.01], biases: &[] };
    program(DType::I8, [1, 1, 2], &[below, above])
}

#[test]
fn inputs_that_are_not_finite_end_no_program_and_int8_answers_are_finite() {
    let hard = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -0.0, 1e-42];
    for (bytes, is_int8) in [(small(), false), (small_int8(), true)] {
        let program = Aligned::of(&bytes);
        let network = Network::from_bytes(program.bytes()).unwrap();
        let mut scratch = vec![f32::NAN; network.scratch_len()];
        for input in hard.iter().flat_map(|a| hard.map(|b| [*a, b])) {
            for path in [ProductStrategy::Events, ProductStrategy::Dense] {
                let mut output = [0.0];
                network.with_strategy(path).run(&input, &mut output, &mut scratch).unwrap();
                assert!(!is_int8 || output[0].is_finite(), "{input:?} becomes {output:?}");
            }
        }
        // Values left in scratch memory do not affect the next input.
        let (mut first, mut again) = ([0.0], [0.0]);
        network.run(&[1.0, 2.0], &mut again, &mut scratch).unwrap();
        scratch.fill(0.0);
        network.run(&[1.0, 2.0], &mut first, &mut scratch).unwrap();
        assert_eq!(first, again);
    }
}

#[test]
fn slices_that_do_not_fit_are_refused() {
    let program = Aligned::of(&small());
    let network = Network::from_bytes(program.bytes()).unwrap();
    let mut scratch = vec![0.0; network.scratch_len()];
    assert_eq!(network.run(&[1.0], &mut [0.0], &mut scratch), Err(RunError::Input));
    assert_eq!(network.run(&[1.0; 2], &mut [0.0; 2], &mut scratch), Err(RunError::Output));
    assert_eq!(network.run(&[1.0; 2], &mut [0.0], &mut scratch[1..]), Err(RunError::Scratch));
}

fn refused(change: impl FnOnce(&mut Vec<u8>), sealed: bool) -> ProgramError {
    let mut bytes = small();
    change(&mut bytes);
    if sealed {
        reseal(&mut bytes);
    }
    Network::from_bytes(Aligned::of(&bytes).bytes()).unwrap_err()
}

#[test]
fn every_error_names_what_is_wrong() {
    assert_eq!(Network::from_bytes(&[]).unwrap_err(), ProgramError::NotAProgram);
    assert_eq!(refused(|bytes| bytes[0] = b'X', false), ProgramError::NotAProgram);
    assert_eq!(refused(|bytes| bytes[4] = 9, false), ProgramError::Version(9));
    assert_eq!(refused(|bytes| bytes[6] = 2, true), ProgramError::NotAProgram);
    assert_eq!(refused(|bytes| bytes.truncate(bytes.len() - 4), false), ProgramError::Length);
    assert_eq!(refused(|bytes| bytes.extend([0; 4]), false), ProgramError::Length);
    let last = small().len() - 1;
    assert_eq!(refused(|bytes| bytes[last] ^= 1, false), ProgramError::Checksum);
    // One of four adjacent offsets is aligned; the others are not.
    let moved = [&[0; 4], &small()[..], &[0; 4]].concat();
    let aligned = moved.as_ptr().align_offset(4);
    let length = small().len();
    let mut moved = moved;
    moved[aligned + 1..aligned + 1 + length].copy_from_slice(&small());
    let wrong = &moved[aligned + 1..aligned + 1 + length];
    assert_eq!(Network::from_bytes(wrong).unwrap_err(), ProgramError::Alignment);
    let layer = |at: usize, value: u8| refused(|bytes| bytes[at] = value, true);
    let fault = |error: ProgramError| error.to_string();
    // The record of the first layer is at offset 32.
    assert!(fault(layer(16, 0)).contains("there are no layers"));
    assert!(fault(layer(32, 9)).contains("layer 0 of the program: its kind is unknown"));
    assert!(fault(layer(33, 0xff)).contains("unknown bits"));
    assert!(fault(layer(34, 99)).contains("activation"));
    assert!(fault(layer(34, 7)).contains("softmax"));
    assert!(fault(layer(36, 0)).contains("empty or too large"));
    assert!(fault(layer(40, 0)).contains("is zero"));
    // A threshold and a step that are not finite.
    for at in [56, 60] {
        let nan = |bytes: &mut Vec<u8>| bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(fault(refused(nan, true)).contains("finite"));
    }
    assert!(fault(layer(64, 1)).contains("offset of its weights"));
    assert!(fault(layer(66, 0xff)).contains("truncated"));
    // A layer with more outputs than its weights have.
    assert!(fault(layer(36, 200)).contains("truncated"));
}

#[test]
fn what_could_not_be_run_is_not_written() {
    let source = |shape| LayerSource { shape, weights: &[], scales: &[], biases: &[] };
    let failed = |layers: &[LayerSource<'_>]| {
        let mut put = 0;
        let error = write(DType::F32, [1, 1, 2], layers, |piece| put += piece.len()).unwrap_err();
        assert_eq!(put, 0);
        error.to_string()
    };
    assert!(failed(&[]).contains("there are no layers"));
    assert!(failed(&[source(LayerSpec::dense(2, 2))]).contains("wrong length"));
    assert!(
        failed(&[source(LayerSpec::gate(3, 0.0))]).contains("not the output of the layer below")
    );
    assert!(failed(&[source(LayerSpec::gate(2, f32::NAN))]).contains("finite"));
}
