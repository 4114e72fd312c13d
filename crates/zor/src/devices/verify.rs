//! Whether a device computes what the CPU does: one suite for all of them, from single operations to a training.
//!
//! Each check runs the same work on the device and on the CPU's kernels. Its figure is the largest difference of two values, relative to
//! the larger of one and the CPU's value; in networks, whose gates turn a rounding into a step, the distance of all outputs relative to their norm.

use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_core::ops::{self, AdamStep, GateSettings, Geometry, Side, Transposed, Window};
use zor_core::{
    BatchNormConfig, BranchConfig, Conv2dConfig, DenseConfig, GateConfig, GroupNormConfig, Network,
    NetworkBuilder, Optimizer, Place, Pool2dConfig, Pooling, Random, ReshapeConfig, Rule,
    ScaleConfig, Target, Unread, Workspace,
};
use zor_data::FashionMnist;
use zor_optim::{AdamW, Muon, Sgd};

use crate::error::Result;
use crate::training::matrix;

/// One thing that was compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What ran.
    pub name: String,
    /// How far the device's results are from the CPU's.
    pub difference: f64,
    /// How far they may be.
    pub tolerated: f64,
}

impl Check {
    /// Whether the device agrees.
    pub fn holds(&self) -> bool {
        self.difference <= self.tolerated
    }
}

/// What single operations may differ by: sums of a few hundred terms in another order.
const OPERATION: f64 = 2e-5;
/// The same far from zero, where sums of squares lose what a deviation is made of.
const FAR: f64 = 2e-4;
/// What a network's outputs may differ by after three steps.
const NETWORK: f64 = 2e-3;
/// What a training's quality may differ by, in dB.
const TRAINING_DB: f64 = 0.1;
/// Sizes around the boundaries of kernels.
const SIZES: [[usize; 2]; 6] = [[1, 1], [3, 5], [10, 64], [7, 65], [33, 200], [2500, 33]];

/// Runs every check on a device and tells of each as it ends.
///
/// # Errors
/// When a network cannot be built or trained on the device at all.
pub fn verify(device: &Device, tell: &mut dyn FnMut(&Check)) -> Result<Vec<Check>> {
    let mut suite = Suite { cpu: Device::flex(), device: device.clone(), done: Vec::new(), tell };
    suite.elements();
    suite.columns();
    suite.products();
    suite.updates();
    suite.windows()?;
    suite.not_finite()?;
    suite.networks()?;
    suite.training()?;
    Ok(suite.done)
}

struct Suite<'a> {
    cpu: Device,
    device: Device,
    done: Vec<Check>,
    tell: &'a mut dyn FnMut(&Check),
}

impl Suite<'_> {
    fn add(&mut self, name: String, difference: f64, tolerated: f64) {
        let check = Check { name, difference, tolerated };
        (self.tell)(&check);
        self.done.push(check);
    }

    /// Runs an operation at every size on both devices.
    fn operation<const N: usize>(
        &mut self,
        name: &str,
        run: impl Fn([usize; 2], &Device) -> [Tensor<2>; N],
    ) {
        self.operation_within(name, OPERATION, run);
    }

    fn operation_within<const N: usize>(
        &mut self,
        name: &str,
        tolerated: f64,
        run: impl Fn([usize; 2], &Device) -> [Tensor<2>; N],
    ) {
        let mut largest = 0f64;
        for shape in SIZES {
            let found = run(shape, &self.device).map(values);
            let expected = run(shape, &self.cpu).map(values);
            for (found, expected) in found.iter().zip(&expected) {
                largest = largest.max(difference(found, expected));
            }
        }
        self.add(name.to_owned(), largest, tolerated);
    }

    fn elements(&mut self) {
        for (name, stateful) in [("gate", false), ("gate with charges", true)] {
            let settings = GateSettings { threshold: 0.3, min_charge: -0.7, stateful };
            self.operation(name, |shape, on| {
                let result = ops::spike_gate(
                    draw(shape, 1, on),
                    draw(shape, 2, on),
                    draw(shape, 3, on),
                    settings,
                );
                [result.0, result.1, result.2]
            });
        }
        self.operation("silence", |shape, on| [ops::silence(draw(shape, 1, on), 0.2)]);
        self.operation("positive", |shape, on| {
            [ops::positive(draw(shape, 1, on), draw(shape, 2, on))]
        });
        self.operation("multiply, shared memory kept", |shape, on| {
            let kept = draw(shape, 1, on);
            [ops::multiply(kept.clone(), draw(shape, 2, on)), kept]
        });
        self.operation("copy of shared memory", |shape, on| {
            let kept = draw(shape, 1, on);
            let own = ops::exclusive(kept.clone(), &mut Workspace::new(on));
            [ops::silence(own, 0.2), kept]
        });
        self.operation("error signal", |shape, on| {
            let (signal, sums) = ops::error_signal(draw(shape, 1, on), draw(shape, 2, on));
            let elements = (shape[0] * shape[1]) as f64;
            let means = [sums.absolute / elements, sums.squared / elements].map(|x| x as f32);
            [signal, Tensor::<1>::from_floats(means, on).reshape([1, 2])]
        });
    }

    fn columns(&mut self) {
        self.operation("unit normalisation", |shape, on| {
            [ops::unit_normalize(silent_column(shape, on), 0.1)]
        });
        self.operation("units of one norm", |shape, on| {
            [ops::equalize_units(silent_column(shape, on))]
        });
        self.operation("gated signal", |shape, on| {
            let spikes = ops::positive(silent_column(shape, on), draw(shape, 2, on));
            [ops::gate_signal(draw(shape, 1, on), spikes, draw(shape, 2, on))]
        });
        self.operation("presynaptic normalisation", |[rows, columns], on| {
            // Three elements of a window, two groups.
            let correlation = draw([3 * rows, 2 * columns], 1, on);
            [ops::normalize_presynaptic(correlation, draw([columns, 2 * rows], 2, on), 2)]
        });
        self.operation("scale and shift", |[rows, columns], on| {
            let row = |seed| draw([1, columns], seed, on);
            [ops::scale_shift(draw([rows, columns], 1, on), row(2), row(3))]
        });
        self.operation_within("batch normalisation", FAR, |[rows, columns], on| {
            let rows = rows.max(2);
            let input = draw([rows, columns], 1, on) + 30.0;
            let row = |seed| draw([1, columns], seed, on);
            let result =
                ops::batch_normalize(input, row(2), row(3), draw([rows, columns], 4, on), 0.1);
            [result.0, result.1]
        });
        self.operation("batch normalisation's signal", |[rows, columns], on| {
            let input = draw([rows, columns], 1, on) + 3.0;
            let row = |seed| draw([1, columns], seed, on);
            let buffer = draw([rows, columns], 4, on);
            let statistics = ops::batch_normalize(input.clone(), row(2), row(3), buffer, 0.1).1;
            let signal = draw([rows, columns], 5, on);
            let (below, correlations) =
                ops::batch_normalize_signal(signal, input, statistics, row(2));
            [below, correlations / rows as f32]
        });
    }

    fn products(&mut self) {
        for transposed in [Transposed::Neither, Transposed::Left, Transposed::Right] {
            self.operation(
                &format!("product, transposed: {transposed:?}"),
                |[rows, columns], on| {
                    let inner = 40;
                    let (left, right) = match transposed {
                        Transposed::Neither => ([rows, inner], [inner, columns]),
                        Transposed::Left => ([inner, rows], [inner, columns]),
                        Transposed::Right => ([rows, inner], [columns, inner]),
                    };
                    let buffer = draw([rows, columns], 3, on);
                    [ops::product(draw(left, 1, on), draw(right, 2, on), buffer, transposed) / 40.0]
                },
            );
        }
        self.operation("symmetric and square products", |[rows, columns], on| {
            let matrix = draw([rows.min(200), columns], 1, on);
            let [rows, columns] = matrix.dims();
            let buffer = draw([columns, columns], 2, on);
            let square =
                ops::symmetric_product(matrix.clone(), matrix.clone(), buffer, Transposed::Left);
            let square = ops::add_to_diagonal(square / rows as f32, 0.5);
            [ops::multiply_square(matrix, square.clone(), Side::Right) / columns as f32, square]
        });
    }

    fn updates(&mut self) {
        self.operation("weights moved and kept within a limit", |shape, on| {
            [ops::move_weight(draw(shape, 1, on), draw(shape, 2, on), 0.99, 0.5, 1.0)]
        });
        self.operation("Frobenius norm", |shape, on| {
            [ops::frobenius_normalize(draw(shape, 1, on))]
        });
        let step = AdamStep {
            rate: 0.01,
            beta_1: 0.9,
            beta_2: 0.999,
            correction_2: 20.0,
            epsilon: 1e-8,
            decay: 0.999,
            limit: f32::INFINITY,
        };
        self.operation("AdamW", |shape, on| {
            let squares = draw(shape, 4, on).powi_scalar(2);
            let result = ops::adam_step(
                draw(shape, 1, on),
                draw(shape, 2, on),
                draw(shape, 3, on),
                squares,
                step,
            );
            [result.0, result.1, result.2]
        });
        self.operation("AdamW of two factors", |[rows, columns], on| {
            let [presynaptic, signal] = [draw([9, rows], 2, on), draw([9, columns], 5, on)];
            let shape = [rows, columns];
            let squares = draw(shape, 4, on).powi_scalar(2);
            let result = ops::adam_step_in_factors(
                draw(shape, 1, on),
                presynaptic,
                signal,
                draw(shape, 3, on),
                squares,
                step,
            );
            [result.0, result.1, result.2]
        });
    }

    fn windows(&mut self) -> Result<()> {
        let window = |kernel, stride, padding| Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
        };
        let wide = Window { kernel: [3, 2], stride: [1, 2], padding: [2, 0], dilation: [2, 1] };
        let pools = [window(2, 2, 0), window(3, 2, 1), wide];
        for (pool, dilated) in pools.into_iter().zip([false, false, true]) {
            let geometry = Geometry::new([9, 8, 5], 5, pool, 1)?;
            let (inputs, outputs) = (9 * 8 * 5, geometry.output().iter().product());
            let name = format!("pooling by {:?}, stride {:?}", pool.kernel, pool.stride);
            let run = |on: &Device| {
                let buffers = || (draw([3, outputs], 2, on), draw([3, outputs], 3, on));
                let (largest, winners) =
                    ops::max_pool(draw([3, inputs], 1, on), buffers(), geometry);
                let signal = draw([3, outputs], 4, on);
                let routed = ops::max_pool_route(
                    signal.clone(),
                    winners,
                    draw([3, inputs], 5, on),
                    geometry,
                );
                if dilated {
                    return vec![largest, routed];
                }
                let mean = ops::average_pool(draw([3, inputs], 1, on), buffers().0, geometry);
                vec![
                    largest,
                    routed,
                    mean,
                    ops::average_pool_adjoint(signal, draw([3, inputs], 5, on), geometry),
                ]
            };
            self.compare(name, run, OPERATION);
        }
        for (kernel, groups) in [(window(3, 1, 1), 1), (window(2, 2, 0), 3), (window(1, 1, 0), 1)] {
            let geometry = Geometry::new([8, 6, 6], 12, kernel, groups)?;
            let (inputs, outputs) = (8 * 6 * 6, geometry.output().iter().product());
            let name = format!("convolution by {:?}, groups {groups}", kernel.kernel);
            let run = |on: &Device| {
                let weight = || draw(geometry.kernel_shape(), 2, on) / 10.0;
                let input = || draw([4, inputs], 1, on);
                let output = ops::convolve(input(), weight(), draw([4, outputs], 3, on), geometry);
                let buffers = (draw(geometry.kernel_shape(), 3, on), draw([4, inputs], 4, on));
                let signal = draw([4, outputs], 5, on);
                let (correlation, below) =
                    ops::convolve_learn(input(), signal, weight(), buffers, geometry);
                vec![output, correlation / 100.0, below]
            };
            self.compare(name, run, OPERATION);
        }
        let geometry = Geometry::new([8, 6, 6], 12, window(3, 1, 1), 1)?;
        let pool = Geometry::new([8, 6, 12], 12, window(2, 2, 0), 1)?;
        let (inputs, outputs) = (8 * 6 * 6, pool.output().iter().product());
        let run = |on: &Device| {
            let weight = || draw(geometry.kernel_shape(), 2, on) / 10.0;
            let buffers = (draw([4, outputs], 3, on), draw([4, outputs], 4, on));
            let both = (geometry, pool);
            let (output, winners) =
                ops::convolve_pooled(draw([4, inputs], 1, on), weight(), buffers, both);
            let signal = (draw([4, outputs], 5, on), winners);
            let buffers = (draw(geometry.kernel_shape(), 3, on), draw([4, inputs], 4, on));
            let (correlation, below) = ops::convolve_pooled_learn(
                draw([4, inputs], 1, on),
                signal,
                weight(),
                buffers,
                both,
            );
            vec![output, correlation / 100.0, below]
        };
        self.compare("convolution and pool at once".to_owned(), run, OPERATION);
        Ok(())
    }

    fn compare(&mut self, name: String, run: impl Fn(&Device) -> Vec<Tensor<2>>, tolerated: f64) {
        let (found, expected) = (run(&self.device), run(&self.cpu));
        let pairs = found.into_iter().zip(expected);
        let largest = pairs.map(|(a, b)| difference(&values(a), &values(b))).fold(0.0, f64::max);
        self.add(name, largest, tolerated);
    }

    /// Numbers that are none are found, and a batch with them leaves the weights as they were.
    fn not_finite(&mut self) -> Result<()> {
        let mut wrong = 0;
        for (value, finite) in [(f32::NAN, false), (f32::INFINITY, false), (f32::MAX, true)] {
            let mut data = vec![0.5; 300];
            data[217] = value;
            wrong += usize::from(ops::all_finite(&matrix(&data, 3, &self.device)?) != finite);
        }
        let mut network = small_dense().build(&self.device)?;
        let input = draw([5, 12], 1, &self.device);
        let before = values(network.predict(input.clone())?);
        let mut target = vec![0.1; 60];
        target[7] = f32::NAN;
        let target = matrix(&target, 5, &self.device)?;
        let optimizer = AdamW::default();
        wrong +=
            usize::from(network.train_batch(&optimizer, input.clone(), target.clone()).is_ok());
        wrong += usize::from(values(network.predict(input.clone())?) != before);
        // Without waiting it is told later, and weights stay finite.
        let told = network.train_batch_unread(&optimizer, input.clone(), target);
        wrong += usize::from(told.and_then(Unread::read).is_ok());
        wrong += usize::from(!ops::all_finite(&network.predict(input)?));
        self.add("what is not finite is refused".to_owned(), wrong as f64, 0.0);
        Ok(())
    }

    fn networks(&mut self) -> Result<()> {
        type Build = fn() -> NetworkBuilder;
        let networks: [(&str, Build); 3] =
            [("dense", small_dense), ("convolutional", small_conv), ("residual", residual)];
        let rules = [
            ("default", Rule::default()),
            ("classic", Rule::classic()),
            ("backprop", Rule::backprop()),
        ];
        let optimizers: [&dyn Optimizer; 3] =
            [&AdamW::new(1e-3), &Muon::new(1e-2), &Sgd::new(1e-3)];
        for (network, build) in networks {
            for (rule_name, rule) in &rules {
                for optimizer in optimizers {
                    let found = outputs(build().rule(rule.clone()), optimizer, &self.device)?;
                    let expected = outputs(build().rule(rule.clone()), optimizer, &self.cpu)?;
                    let name = format!("{network}, {rule_name}, {}", optimizer.name());
                    self.add(name, distance(&found, &expected), NETWORK);
                }
            }
        }
        Ok(())
    }

    /// Ten images, as in the first example: how well others are reconstructed.
    fn training(&mut self) -> Result<()> {
        let set = FashionMnist::sample()?.train;
        let (learnt, others) = (set.range(0..10)?.pixels(), set.range(1000..1200)?.pixels());
        let psnr = |on: &Device| -> Result<f64> {
            let mut network = Network::dense(&[784, 64, 784]).build(on)?;
            let images = matrix(&learnt, 10, on)?;
            for _ in 0..100 {
                network.train_batch(&AdamW::new(5e-3), images.clone(), images.clone())?;
            }
            let others = matrix(&others, 200, on)?;
            Ok(network.evaluate(others.clone(), others)?.psnr_db())
        };
        let apart = (psnr(&self.device)? - psnr(&self.cpu)?).abs();
        self.add("100 steps with ten images, in dB".to_owned(), apart, TRAINING_DB);
        Ok(())
    }
}

fn small_dense() -> NetworkBuilder {
    Network::dense(&[12, 40, 12])
}

fn small_conv() -> NetworkBuilder {
    Network::builder(&[8, 8, 3])
        .layer(Conv2dConfig::same(6, 3).with_max_pool(2))
        .layer(BatchNormConfig::default())
        .layer(GateConfig::default())
        .layer(Conv2dConfig::same(8, 3))
        .layer(GroupNormConfig::new(2))
        .layer(GateConfig::default())
        .layer(Pool2dConfig::global(Pooling::Average))
        .layer(ReshapeConfig::flatten())
        .layer(DenseConfig::new(4))
        .layer(ScaleConfig::new(0.5))
}

fn residual() -> NetworkBuilder {
    Network::builder(&[20])
        .layer(GateConfig::at(Place::Input))
        .layer(
            BranchConfig::residual()
                .layer(DenseConfig::new(20))
                .layer(BatchNormConfig::default())
                .layer(GateConfig::default()),
        )
        .layer(DenseConfig::new(20))
}

/// What a network answers after three steps.
fn outputs(builder: NetworkBuilder, optimizer: &dyn Optimizer, on: &Device) -> Result<Vec<f32>> {
    let mut network = builder.seed(3).build(on)?;
    let inputs: usize = network.input_shape().iter().product();
    let answers: usize = network.output_shape().iter().product();
    for seed in 0..3 {
        let input = draw([16, inputs], seed, on);
        let target = match answers {
            4 => Target::Classes((0..16).map(|row| row % 4).collect()),
            _ => Target::Values(draw([16, answers], 10 + seed, on)),
        };
        network.train_batch(optimizer, input, target)?;
    }
    Ok(values(network.predict(draw([16, inputs], 20, on))?))
}

/// Values around zero, the same on every device.
fn draw(shape: [usize; 2], seed: u64, device: &Device) -> Tensor<2> {
    let mut random = Random::seeded(seed);
    let values = (0..shape[0] * shape[1]).map(|_| random.normal()).collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The same with a first column of zeros.
fn silent_column([rows, columns]: [usize; 2], device: &Device) -> Tensor<2> {
    let mut random = Random::seeded(7);
    let value = |at: usize, x: f32| if at.is_multiple_of(columns) { 0.0 } else { x };
    let values = (0..rows * columns).map(|at| value(at, random.normal())).collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The largest difference of two values; infinite where one is not finite or lengths differ.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let apart = |(a, b): (&f32, &f32)| f64::from((a - b).abs() / b.abs().max(1.0));
    let finite = |x: f64| if x.is_finite() { x } else { f64::INFINITY };
    found.iter().zip(expected).map(apart).map(finite).fold(0.0, f64::max)
}

/// The distance of all values relative to their norm.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let apart: f64 = found.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    let norm: f64 = expected.iter().map(|b| square(*b)).sum();
    let distance = (apart / norm.max(1e-30)).sqrt();
    if distance.is_finite() && found.len() == expected.len() { distance } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every device of this machine; `ZOR_EXPECT_DEVICES` names those that have to be among them.
    #[test]
    fn devices_agree_with_the_cpu() {
        let mut checked = Vec::new();
        for line in crate::devices() {
            let Some(device) = line.device else {
                eprintln!("{}: not checked: {}", line.name, line.what);
                continue;
            };
            let checks = verify(&device, &mut |_| ()).expect("the suite runs");
            let wrong: Vec<&Check> = checks.iter().filter(|check| !check.holds()).collect();
            assert!(wrong.is_empty(), "{}: {wrong:#?}", line.name);
            eprintln!("{} ({}): {} checks hold", line.name, line.what, checks.len());
            checked.push(line.name);
        }
        let expected = std::env::var("ZOR_EXPECT_DEVICES").unwrap_or_default();
        for name in expected.split_whitespace() {
            assert!(checked.iter().any(|one| one == name), "there is no {name} here");
        }
    }

    #[test]
    fn what_differs_does_not_hold() {
        assert_eq!(difference(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert_eq!(difference(&[1.0], &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(difference(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(distance(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert!(!Check { name: String::new(), difference: 0.2, tolerated: 0.1 }.holds());
    }
}
