//! What layers are built with: the rule, the device, and where their weights come from.

use std::fmt;

use burn::tensor::{Device, Tensor, TensorData};
use zor_random::Random;

use crate::error::{Error, Result};
use crate::parameter::Parameter;
use crate::rule::Rule;

/// The values that a parameter starts with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// All the same.
    Constant(f32),
    /// Normally distributed around zero with this standard deviation.
    Normal(f32),
    /// The same, but for the first columns, which take on one row each as it is: column `i` of the
    /// first `size` has a one in row `first + i` and zeros beside it.
    Identity {
        /// Standard deviation of the other columns.
        deviation: f32,
        /// The row of the first column's one.
        first: usize,
        /// So many columns.
        size: usize,
    },
}

/// Values of parameters that exist already, such as those in a file.
pub trait WeightSource {
    /// The values of a parameter by its name in the network, such as `2.weight`, or `4.1.kernel`
    /// inside a layer made of others.
    ///
    /// # Errors
    /// When there are none of that name and shape.
    fn take(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>>;
}

/// What a layer may use while it is built.
pub struct BuildContext<'a> {
    rule: Rule,
    device: Device,
    random: Random,
    weights: Option<&'a mut dyn WeightSource>,
    /// Positions of the layer, from the network's down.
    path: Vec<usize>,
    /// Values that parameters may still have; `None` without a limit.
    left: Option<u64>,
}

impl BuildContext<'_> {
    /// For layers whose weights are drawn.
    pub fn with_random_weights(rule: Rule, seed: u64, device: &Device) -> Self {
        let random = Random::seeded(seed);
        Self { rule, device: device.clone(), random, weights: None, path: Vec::new(), left: None }
    }
}

impl<'a> BuildContext<'a> {
    /// For layers whose weights exist.
    pub fn with_stored_weights(
        rule: Rule,
        weights: &'a mut dyn WeightSource,
        device: &Device,
    ) -> Self {
        Self { weights: Some(weights), ..BuildContext::with_random_weights(rule, 0, device) }
    }

    /// Limits the values of all parameters together.
    #[must_use]
    pub fn with_limit(mut self, values: Option<u64>) -> Self {
        self.left = values;
        self
    }

    /// What layers follow where their own settings say nothing else.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Where the layer will run.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The generator of initial weights.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// A parameter of the layer.
    ///
    /// # Errors
    /// When weights exist already, and those of this name and shape do not, or when there are more
    /// values than the limit.
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
                    "its {name} {shape:?} has {values} values ({:.1} MB), and the network's limit leaves {left}",
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

    /// Builds a layer inside this one, its child number `index`.
    pub fn child<T>(&mut self, index: usize, build: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(index);
        let built = build(self);
        self.path.pop();
        built
    }

    /// Builds layers that follow another rule.
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

/// A parameter's name in the network: positions of its layer, and its own name.
pub(crate) fn parameter_name(path: &[usize], name: &str) -> String {
    let positions: String = path.iter().map(|position| format!("{position}.")).collect();
    positions + name
}
