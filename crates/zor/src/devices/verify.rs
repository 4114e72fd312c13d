//! Tests of a device against the CPU, from single operations to a training.
//!
//! Each check runs the same work on the device and with the CPU's kernels. Operations come from the
//! table in `zor_core::cases`; their difference is the largest one of two values, relative to the
//! larger of the case's unit and the CPU's value. In networks, where a gate can turn a rounding
//! error into a jump, the difference is the norm of the difference of all outputs, relative to
//! their norm.

use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_core::cases::{self, Case};
use zor_core::{
    BatchNormConfig, BranchConfig, Conv2dConfig, DenseConfig, GateConfig, GatePosition,
    GroupNormConfig, Network, NetworkBuilder, Optimizer, PendingMetrics, Pool2dConfig, Pooling,
    Random, ReshapeConfig, Rule, ScaleConfig, Target, ops,
};
use zor_data::FashionMnist;
use zor_optim::{AdamW, Muon, Sgd};

use crate::error::Result;
use crate::task::matrix;

/// Result of a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Name of the operation, network or training.
    pub name: String,
    /// Difference between the results of the device and the CPU.
    pub difference: f64,
    /// Largest allowed difference.
    pub tolerated: f64,
}

impl Check {
    /// Whether the difference is within the tolerance.
    pub fn holds(&self) -> bool {
        self.difference <= self.tolerated
    }
}

/// Tolerance for a network's outputs after three steps.
const NETWORK: f64 = 2e-3;
/// Tolerance for the quality of a trained network, in dB.
const TRAINING_DB: f64 = 0.1;
/// Runs every check on a device and passes each result to `tell`.
///
/// # Errors
/// When a network cannot be built or trained on the device.
pub fn verify(device: &Device, tell: &mut dyn FnMut(&Check)) -> Result<Vec<Check>> {
    let mut suite = Suite { cpu: Device::flex(), device: device.clone(), done: Vec::new(), tell };
    suite.operations(&cases::cases())?;
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

    /// Runs every operation at its sizes on both devices.
    fn operations(&mut self, cases: &[Case]) -> Result<()> {
        for case in cases {
            let largest = case.difference(&self.device, &self.cpu)?;
            self.add(case.name.clone(), largest, case.tolerance);
        }
        Ok(())
    }

    /// Checks that infinite and NaN values are detected, and that a batch with such values leaves
    /// the weights unchanged.
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
        // An enqueued step reports the error when it is read, and the weights stay finite.
        let told = network.enqueue_batch(&optimizer, input.clone(), target);
        wrong += usize::from(told.and_then(PendingMetrics::read).is_ok());
        wrong += usize::from(!ops::all_finite(&network.predict(input)?));
        self.add("infinite and NaN values are rejected".to_owned(), wrong as f64, 0.0);
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

    /// Trains on ten images, as in the quickstart, and compares the reconstruction of other images.
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
        .layer(GateConfig::at(GatePosition::Input))
        .layer(
            BranchConfig::residual()
                .layer(DenseConfig::new(20))
                .layer(BatchNormConfig::default())
                .layer(GateConfig::default()),
        )
        .layer(DenseConfig::new(20))
}

/// Returns the outputs of a network after three training steps.
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

/// Returns normally distributed values, the same on every device.
fn draw(shape: [usize; 2], seed: u64, device: &Device) -> Tensor<2> {
    let mut random = Random::seeded(seed);
    let values = (0..shape[0] * shape[1]).map(|_| random.normal()).collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Returns the norm of the difference, relative to the norm of the expected values.
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

    /// Checks every device of this machine. `ZOR_EXPECT_DEVICES` lists devices that must be
    /// available.
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

    /// Also where the quantile of a batch is read every eighth step only.
    #[test]
    fn gates_reach_their_target_spike_rate_on_every_device() {
        for line in crate::devices() {
            let Some(device) = line.device else { continue };
            let rule = Rule { target_spike_rate: Some(0.2), ..Rule::default() };
            let network = Network::dense(&[20, 40, 20]).rule(rule).seed(1);
            let mut network = network.build(&device).unwrap();
            let mut random = Random::seeded(2);
            let optimizer = zor_optim::Sgd::new(0.01);
            for _ in 0..200 {
                let values: Vec<f32> = (0..64 * 20).map(|_| random.normal()).collect();
                let input = matrix(&values, 64, &device).unwrap();
                network.train_batch(&optimizer, input.clone(), input).unwrap();
            }
            let rate = network.spike_rates()[0].1;
            assert!((0.15..0.25).contains(&rate), "{}: {rate}", line.name);
        }
    }

    /// Returns the results of all runs of a case on the CPU: `[run][result]`.
    fn results(case: &Case) -> Vec<Vec<Vec<f32>>> {
        let read = |(tensor, _): (Tensor<2>, f32)| ops::read(tensor).unwrap();
        case.runs.iter().map(|run| run(&Device::flex()).into_iter().map(read).collect()).collect()
    }

    #[test]
    fn every_case_is_finite_varies_and_can_be_repeated() {
        for case in cases::cases() {
            let found = results(&case);
            let bits = |all: &[Vec<Vec<f32>>]| -> Vec<u32> {
                all.iter().flatten().flatten().map(|x| x.to_bits()).collect()
            };
            assert_eq!(bits(&found), bits(&results(&case)), "{}: not repeated", case.name);
            for result in 0..found[0].len() {
                let all = || found.iter().flat_map(|run| run[result].iter());
                assert!(all().all(|x| x.is_finite()), "{}, result {result}", case.name);
                let first = all().next().unwrap();
                assert!(all().any(|x| x != first), "{}, result {result}: constant", case.name);
            }
        }
    }

    /// Changes one value of one result by `factor` times the tolerance, in the first call only,
    /// which is the one on the device.
    fn disturbed(mut case: Case, run: usize, result: usize, factor: f32) -> Case {
        let sound = case.runs.swap_remove(run);
        let (tolerance, asked) = (case.tolerance as f32, std::cell::Cell::new(0));
        let run: cases::Run = Box::new(move |on: &Device| {
            let mut results = sound(on);
            if asked.replace(asked.get() + 1) == 0 {
                let (tensor, unit) = results[result].clone();
                let shape = tensor.dims();
                let mut values = values(tensor);
                let middle = values.len() / 2;
                values[middle] += factor * tolerance * values[middle].abs().max(unit);
                results[result].0 = Tensor::from_data(TensorData::new(values, shape), on);
            }
            results
        });
        case.runs = vec![run];
        case
    }

    #[test]
    fn one_wrong_value_of_any_result_of_any_case_is_reported() {
        let verdicts = |factor| {
            let mut tell = |_: &Check| ();
            let [cpu, device] = [Device::flex(), Device::flex()];
            let mut suite = Suite { cpu, device, done: Vec::new(), tell: &mut tell };
            for (number, case) in cases::cases().iter().enumerate() {
                for result in 0..case.runs[0](&Device::flex()).len() {
                    let case = cases::cases().swap_remove(number);
                    suite.operations(&[disturbed(case, 0, result, factor)]).unwrap();
                }
            }
            suite.done
        };
        for check in verdicts(2.0) {
            assert!(!check.holds(), "{} hides a wrong value: {}", check.name, check.difference);
        }
        for check in verdicts(0.5) {
            assert!(check.holds(), "{}: {}", check.name, check.difference);
        }
        assert!(verdicts(f32::NAN).iter().all(|check| check.difference == f64::INFINITY));
    }

    #[test]
    fn every_case_has_a_name_of_its_own_and_none_is_lost() {
        let names: Vec<String> = cases::cases().into_iter().map(|case| case.name).collect();
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        assert!(names.len() >= 40 && distinct.len() == names.len(), "{names:#?}");
    }

    #[test]
    fn what_differs_does_not_hold() {
        assert_eq!(cases::difference(&[1.0, 2.0], &[1.0, 2.0], 1.0), 0.0);
        assert_eq!(cases::difference(&[1.0, 2.5], &[1.0, 2.0], 1.0), 0.25);
        assert_eq!(cases::difference(&[1.0, 2.5], &[1.0, 2.0], 10.0), f64::from(0.05f32));
        assert_eq!(cases::difference(&[1.0], &[1.0, 2.0], 1.0), f64::INFINITY);
        assert_eq!(cases::difference(&[f32::NAN], &[1.0], 1.0), f64::INFINITY);
        assert_eq!(distance(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert!(!Check { name: String::new(), difference: 0.2, tolerated: 0.1 }.holds());
    }
}
