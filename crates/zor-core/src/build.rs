//! The context in which layers are built: the rule, the device, and the source of their weights.

use std::fmt;

use burn::tensor::{Device, Tensor, TensorData};
use zor_random::Random;

use crate::error::{Error, Result};
use crate::parameter::Parameter;
use crate::rule::Rule;

/// Initial values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// Every value is this number.
    Constant(f32),
    /// Normal distribution with mean zero and this standard deviation.
    Normal(f32),
    /// [`Initializer::Normal`] in the left half of the columns, which the right half repeats.
    NormalTwice(f32),
    /// [`Initializer::Normal`], except for the first `size` columns, which pass one input each
    /// through unchanged: column `i` has a one in row `first + i` and zeros elsewhere.
    Identity {
        /// Standard deviation of the other columns.
        deviation: f32,
        /// Row that the first column passes through.
        first: usize,
        /// Number of columns that pass a row through.
        size: usize,
    },
}

/// A source of existing parameter values, such as a file.
pub trait WeightSource {
    /// Returns the values of a parameter by its name in the network, such as `2.weight`, or
    /// `4.1.kernel` inside a layer made of others.
    ///
    /// # Errors
    /// If there are no values of that name and shape.
    fn take(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>>;
}

/// The context in which a layer is built.
pub struct BuildContext<'a> {
    rule: Rule,
    device: Device,
    random: Random,
    weights: Option<&'a mut dyn WeightSource>,
    /// Positions of the layer, outermost first.
    path: Vec<usize>,
    /// Number of values that further parameters may have; `None` without a limit.
    left: Option<u64>,
}

impl BuildContext<'_> {
    /// A context that draws weights with a random generator of this seed.
    pub fn with_random_weights(rule: Rule, seed: u64, device: &Device) -> Self {
        let random = Random::seeded(seed);
        Self { rule, device: device.clone(), random, weights: None, path: Vec::new(), left: None }
    }
}

impl<'a> BuildContext<'a> {
    /// A context that takes weights from a source.
    pub fn with_stored_weights(
        rule: Rule,
        weights: &'a mut dyn WeightSource,
        device: &Device,
    ) -> Self {
        Self { weights: Some(weights), ..BuildContext::with_random_weights(rule, 0, device) }
    }

    /// Limits the number of values of all parameters together.
    #[must_use]
    pub fn with_limit(mut self, values: Option<u64>) -> Self {
        self.left = values;
        self
    }

    /// The rule for layers whose own settings do not override it.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The device on which the layer will run.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The generator of initial weights.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Creates a parameter of the layer: from the source of weights if there is one, else by
    /// `fill`.
    ///
    /// # Errors
    /// If the source of weights has none of this name and shape, or the limit of values is
    /// exceeded.
    pub fn parameter(
        &mut self,
        name: &'static str,
        shape: [usize; 2],
        fill: Initializer,
    ) -> Result<Parameter> {
        let values = (shape[0] as u64).saturating_mul(shape[1] as u64);
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(values).ok_or_else(|| {
                Error::memory(format!(
                    "its {name} {shape:?} has {values} values ({:.1} MB), but the network's limit leaves {left}",
                    4e-6 * values as f64
                ))
            })?;
        }
        Ok(match (self.weights.as_mut(), fill) {
            (Some(weights), _) => {
                Parameter::new(name, weights.take(&parameter_name(&self.path, name), shape)?)
            }
            (None, Initializer::Constant(value)) => {
                Parameter::new(name, Tensor::full(shape, value, &self.device))
            }
            (None, Initializer::Normal(deviation)) => {
                Parameter::normal(name, shape, deviation, &mut self.random, &self.device)
            }
            (None, Initializer::NormalTwice(deviation)) => {
                let (random, half) = (&mut self.random, [shape[0], shape[1] / 2]);
                let left = Parameter::normal(name, half, deviation, random, &self.device).value();
                Parameter::new(name, Tensor::cat(vec![left.clone(), left], 1))
            }
            (None, Initializer::Identity { deviation, first, size }) => {
                let random = &mut self.random;
                let normal = Parameter::normal(name, shape, deviation, random, &self.device);
                let mut values: Vec<f32> = normal.value().into_data().iter().collect();
                for (row, values) in values.chunks_exact_mut(shape[1]).enumerate() {
                    for (column, value) in values.iter_mut().take(size).enumerate() {
                        *value = if row == first + column { 1.0 } else { 0.0 };
                    }
                }
                Parameter::new(
                    name,
                    Tensor::from_data(TensorData::new(values, shape), &self.device),
                )
            }
        })
    }

    /// Builds child number `index` of this layer.
    pub fn child<T>(&mut self, index: usize, build: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(index);
        let built = build(self);
        self.path.pop();
        built
    }

    /// Builds layers with another rule.
    pub fn with_rule<T>(&mut self, rule: Rule, build: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.rule, rule);
        let built = build(self);
        self.rule = before;
        built
    }
}

impl fmt::Debug for BuildContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildContext")
            .field("rule", &self.rule)
            .field("device", &self.device)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The name of a parameter in the network: the positions of its layer and its own name.
pub(crate) fn parameter_name(path: &[usize], name: &str) -> String {
    let positions: String = path.iter().map(|position| format!("{position}.")).collect();
    positions + name
}
