//! Replays numeric traces of the classic rule through the public API and through the runtime for
//! small devices, and compares every number in them.
//!
//! A trace is a safetensors file. `config` in its metadata is JSON, `init.weight.K` are the initial
//! weights, step T has `step.T.input`, `.target`, `.error`, `.spike_rate.K`, `.charge.K`,
//! `.weight.K`, `.eval_input` and `.eval_output`, and `accuracy` has a value per step. Tensors that
//! a file lacks are not compared. K counts units from the input up.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde::Deserialize;
use zor::core::burn::tensor::{Device, Tensor, TensorData};
use zor::core::{Activation, Network, Rule};
use zor::optim::AdamW;
use zor_edge::Learner;

/// Maximum difference at any step.
const TOLERANCE: f32 = 1e-4;
/// Maximum difference in the first five steps.
const EARLY_TOLERANCE: f32 = 2e-5;
/// Maximum difference of accuracy in the first ten steps of traces without errors.
const EARLY_ACCURACY_TOLERANCE: f32 = 1e-5;
/// Maximum difference of accuracy and spike rate at their later steps: Adam amplifies rounding,
/// which depends on the vectors of the machine, so two correct implementations drift apart.
const LATE_TOLERANCE: f32 = 0.01;

#[derive(Debug, Deserialize)]
struct Config {
    sizes: Vec<usize>,
    steps: usize,
    activations: Vec<String>,
    stateless: bool,
    min_charge: f32,
    threshold: f32,
    max_weight: f32,
    learning_rate: f32,
    weight_decay: f32,
    betas: (f32, f32),
    epsilon: f32,
}

/// Maximum absolute differences in a trace, by compared quantity.
#[derive(Debug, Default)]
pub(crate) struct Report {
    largest: BTreeMap<&'static str, f32>,
    failure: Option<String>,
    long: bool,
}

impl Report {
    fn compare(&mut self, what: &'static str, step: usize, found: &[f32], expected: &[f32]) {
        if found.len() != expected.len() {
            self.failure = Some(format!("{what} at step {step} has another size"));
            return;
        }
        let difference = |(a, b): (&f32, &f32)| {
            if a.is_finite() { (a - b).abs() } else { f32::INFINITY }
        };
        let largest = found.iter().zip(expected).map(difference).fold(0.0, f32::max);
        let tolerance = match (what, self.long) {
            ("accuracy", true) if step < 10 => EARLY_ACCURACY_TOLERANCE,
            ("accuracy" | "spike rate", true) if step >= 10 => LATE_TOLERANCE,
            // After hundreds of steps Adam has driven single weights of a long trace apart.
            ("weight", true) => f32::INFINITY,
            _ if step < 5 => EARLY_TOLERANCE,
            _ => TOLERANCE,
        };
        if largest > tolerance && self.failure.is_none() {
            self.failure = Some(format!("{what} at step {step} differs by {largest:e}"));
        }
        let entry = self.largest.entry(what).or_insert(0.0);
        *entry = entry.max(largest);
    }

    /// Returns the first difference that exceeds its tolerance.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (what, largest) in &self.largest {
            write!(f, "{what} {largest:.1e}  ")?;
        }
        write!(f, "{}", self.failure().unwrap_or("ok"))
    }
}

/// Replays a trace.
pub(crate) fn replay(path: &Path) -> Result<Report, String> {
    of_file(path, |trace| trace.replay())
}

/// Replays a trace through the runtime for small devices; `None` if the runtime lacks its options.
pub(crate) fn replay_on_the_edge(path: &Path) -> Result<Option<Report>, String> {
    of_file(path, |trace| trace.replay_on_the_edge())
}

fn of_file<T>(
    path: &Path,
    replay: impl FnOnce(&Trace<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|e| at(&e))?;
    let trace = Trace::parse(&bytes).map_err(|e| at(&e))?;
    replay(&trace).map_err(|e| at(&e))
}

struct Trace<'a> {
    config: Config,
    tensors: SafeTensors<'a>,
}

impl<'a> Trace<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let config = header.metadata().as_ref().and_then(|metadata| metadata.get("config"));
        let config = config.ok_or("its metadata has no 'config'")?;
        let config = serde_json::from_str(config).map_err(|e| format!("config: {e}"))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        Ok(Self { config, tensors })
    }

    /// Returns shape and values of a tensor, if the trace has it.
    fn get(&self, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        let view = self.tensors.tensor(name).ok()?;
        let (values, _) = view.data().as_chunks::<4>();
        let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Some((view.shape().to_vec(), values))
    }

    fn matrix(&self, name: &str, device: &Device) -> Option<Tensor<2>> {
        let (shape, values) = self.get(name)?;
        let [rows, columns] = shape[..] else {
            return None;
        };
        Some(Tensor::from_data(TensorData::new(values, [rows, columns]), device))
    }

    fn replay(&self) -> Result<Report, String> {
        let config = &self.config;
        let device = Device::flex();
        let mut network = self.network(&device)?;
        let optimizer = AdamW {
            betas: config.betas,
            epsilon: config.epsilon,
            ..AdamW::new(config.learning_rate).with_weight_decay(config.weight_decay)
        };
        let accuracy = self.get("accuracy").map(|(_, values)| values);
        let once = self.matrix("input", &device);
        let mut report = Report { long: once.is_some(), ..Report::default() };
        for step in 0..config.steps {
            let name = |what: &str| format!("step.{step}.{what}");
            let input = once.clone().or_else(|| self.matrix(&name("input"), &device));
            let input = input.ok_or_else(|| format!("no {}", name("input")))?;
            let target = self.matrix(&name("target"), &device).unwrap_or_else(|| input.clone());
            if let Some((_, error)) = self.get(&name("error")) {
                let found = self.error(&network, &input, &target)?;
                report.compare("error", step, &found, &error);
            }
            let deviation =
                network.train_batch(&optimizer, input, target).map_err(|e| e.to_string())?;
            if let Some(accuracy) = &accuracy {
                let found = [(1.0 - deviation.mae()) as f32];
                report.compare("accuracy", step, &found, &accuracy[step..=step]);
            }
            self.compare_state(&network, step, &mut report);
            if let Some(input) = self.matrix(&name("eval_input"), &device) {
                let output = network.predict_stateful(input).map_err(|e| e.to_string())?;
                let (_, expected) = self.get(&name("eval_output")).unwrap_or_default();
                report.compare("evaluation", step, &numbers(output), &expected);
            }
        }
        Ok(report)
    }

    /// Replays the trace through the runtime for small devices, which has no activation functions,
    /// and compares accuracy and weights.
    fn replay_on_the_edge(&self) -> Result<Option<Report>, String> {
        let config = &self.config;
        let plain = config.activations.iter().all(|name| name == "none");
        let adam = config.betas == (0.9, 0.999) && config.epsilon == 1e-8;
        // An evaluation between steps changes charges in the trace, but not in the runtime.
        let mut steps = 0..config.steps;
        let evaluates = steps.any(|step| self.get(&format!("step.{step}.eval_input")).is_some());
        if !plain || !adam || evaluates {
            return Ok(None);
        }
        let rule = zor_edge::Rule {
            threshold: config.threshold,
            min_charge: config.min_charge,
            stateful: !config.stateless,
            weight_limit: config.max_weight,
        };
        let optimizer =
            zor_edge::Optimizer::AdamW { rate: config.learning_rate, decay: config.weight_decay };
        let once = self.get("input");
        let input = |step: usize| once.clone().or_else(|| self.get(&format!("step.{step}.input")));
        let rows = |step: usize| input(step).map_or(0, |(shape, _)| shape[0]);
        let batch = (0..config.steps).map(rows).max().unwrap_or(0);
        let layers = config.sizes.len() - 1;
        let initial = (0..layers).filter_map(|k| self.get(&format!("init.weight.{k}")));
        let mut weights: Vec<f32> = initial.flat_map(|(_, values)| values).collect();
        let mut state = vec![0.0; zor_edge::state_len(&config.sizes, batch, &optimizer)];
        let learner = Learner::new(&config.sizes, batch, rule, optimizer, &mut weights, &mut state);
        let mut learner = learner.map_err(|e| e.to_string())?;
        let accuracy = self.get("accuracy").map(|(_, values)| values).unwrap_or_default();
        let mut report = Report { long: once.is_some(), ..Report::default() };
        for step in 0..config.steps {
            let (_, values) = input(step).ok_or_else(|| format!("no input of step {step}"))?;
            let target = self.get(&format!("step.{step}.target"));
            let target = target.map_or_else(|| values.clone(), |(_, target)| target);
            let learned = learner.learn(&values, zor_edge::Target::Values(&target));
            let error = learned.map_err(|e| e.to_string())?;
            report.compare("accuracy", step, &[1.0 - error], &accuracy[step..=step]);
            let mut at = 0;
            for (k, pair) in config.sizes.windows(2).enumerate() {
                let own = at..at + pair[0] * pair[1];
                at = own.end;
                if let Some((_, expected)) = self.get(&format!("step.{step}.weight.{k}")) {
                    report.compare("weight", step, &learner.weights()[own], &expected);
                }
            }
        }
        Ok(Some(report))
    }

    fn network(&self, device: &Device) -> Result<Network, String> {
        let config = &self.config;
        let activation = |name: &String| {
            Activation::from_name(name).ok_or_else(|| format!("unknown activation '{name}'"))
        };
        let activations: Vec<_> =
            config.activations.iter().map(activation).collect::<Result<_, _>>()?;
        let rule = Rule {
            threshold: config.threshold,
            min_charge: config.min_charge,
            stateful: !config.stateless,
            weight_limit: Some(config.max_weight),
            ..Rule::classic()
        };
        let mut network = Network::dense_with(&config.sizes, &activations)
            .rule(rule)
            .build(device)
            .map_err(|e| e.to_string())?;
        let weights = network.layers_mut().iter_mut().flat_map(|layer| layer.parameters_mut());
        for (index, weight) in weights.enumerate() {
            let name = format!("init.weight.{index}");
            let value = self.matrix(&name, device).ok_or_else(|| format!("no {name}"))?;
            weight.set_value(value).map_err(|e| e.to_string())?;
        }
        Ok(network)
    }

    /// Returns `target - output` of a training pass that does not change the charges.
    fn error(
        &self,
        network: &Network,
        input: &Tensor<2>,
        target: &Tensor<2>,
    ) -> Result<Vec<f32>, String> {
        let output = network.training_forward(input.clone()).map_err(|e| e.to_string())?;
        Ok(numbers(target.clone() - output))
    }

    fn compare_state(&self, network: &Network, step: usize, report: &mut Report) {
        for (unit, (_, rate)) in network.spike_rates().into_iter().enumerate() {
            if let Some((_, expected)) = self.get(&format!("step.{step}.spike_rate.{unit}")) {
                report.compare("spike rate", step, &[rate], &expected);
            }
        }
        for (unit, (_, charge)) in network.charges().into_iter().enumerate() {
            if let Some((_, expected)) = self.get(&format!("step.{step}.charge.{unit}")) {
                report.compare("charge", step, &numbers(charge), &expected);
            }
        }
        let weights = network.layers().iter().flat_map(|layer| layer.parameters());
        for (index, weight) in weights.enumerate() {
            if let Some((_, expected)) = self.get(&format!("step.{step}.weight.{index}")) {
                report.compare("weight", step, &numbers(weight.value()), &expected);
            }
        }
    }
}

fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> Vec<std::path::PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn every_golden_trace_is_followed() {
        let files = golden();
        assert!(files.len() >= 12, "golden traces are missing");
        for file in files {
            let report = replay(&file).unwrap();
            assert_eq!(report.failure(), None, "{}: {report}", file.display());
            assert!(report.largest.contains_key("accuracy"));
        }
    }

    #[test]
    fn the_runtime_for_small_devices_follows_those_it_has_the_options_for() {
        let mut followed = 0;
        for file in golden() {
            if let Some(report) = replay_on_the_edge(&file).unwrap() {
                assert_eq!(report.failure(), None, "{}: {report}", file.display());
                assert!(report.largest.contains_key("weight") || report.long);
                followed += 1;
            }
        }
        assert!(followed >= 5, "only {followed} traces were followed");
    }

    #[test]
    fn a_changed_number_is_noticed() {
        let file = golden().into_iter().find(|f| f.ends_with("dense_basic.safetensors")).unwrap();
        let mut bytes = std::fs::read(file).unwrap();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&1f32.to_le_bytes());
        let report = Trace::parse(&bytes).unwrap().replay().unwrap();
        assert!(report.failure().is_some());
    }
}
