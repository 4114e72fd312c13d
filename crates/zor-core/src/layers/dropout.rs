//! Dropout (Srivastava et al. 2014). The mask is drawn from seed and pass, anew where it is needed.
//!
//! In training each value becomes zero with probability `p`, and the others are scaled by
//! `1 / (1 - p)`; the signal is masked and scaled in the same way. In predictions all values pass.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal};
use crate::memory::Mode;
use crate::ops::{self, DropSettings};

/// Settings of a [`Dropout`] layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropoutConfig {
    /// Probability that a value becomes zero, at least 0 and below 1.
    pub probability: f32,
    /// Seed of the masks; drawn with the network's weights if not given.
    #[serde(default)]
    pub seed: Option<u64>,
}

impl DropoutConfig {
    /// Dropout with this probability.
    pub fn new(probability: f32) -> Self {
        Self { probability, seed: None }
    }
}

/// Sets values to zero at random. Seed and training pass determine the mask.
#[derive(Clone, Debug)]
pub struct Dropout {
    probability: f32,
    seed: u64,
}

/// Mark of a training pass that has dropped values.
const HAS_DROPPED: &str = "has dropped";

impl Dropout {
    fn settings(&self, pass: u64) -> DropSettings {
        DropSettings { seed: self.seed, pass, probability: self.probability }
    }
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        if pass.mode == Mode::Evaluate || self.probability == 0.0 {
            return input;
        }
        let settings = self.settings(pass.memory.next_pass());
        pass.memory.set_number(HAS_DROPPED, 1.0);
        ops::drop_values(pass.workspace.make_unique(input), settings)
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        if pass.memory.take_number(HAS_DROPPED).is_none() {
            return signal;
        }
        let settings = self.settings(pass.memory.passes() - 1);
        let workspace = &mut *pass.workspace;
        signal.map(|values| ops::drop_values(workspace.make_unique(values), settings))
    }

    fn config(&self) -> Result<serde_json::Value> {
        let config = DropoutConfig { probability: self.probability, seed: Some(self.seed) };
        serde_json::to_value(config).map_err(|e| Error::setting(e.to_string()))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::Dropout { probability: self.probability })
    }
}

impl LayerConfig for DropoutConfig {
    fn build(&self, _: &[usize], context: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        if !(0.0..1.0).contains(&self.probability) {
            return Err(Error::setting(format!(
                "probability is {}; it must be at least 0 and below 1",
                self.probability
            )));
        }
        Ok(Box::new(Dropout {
            probability: self.probability,
            seed: self.seed.unwrap_or_else(|| context.random().below(1 << 48) as u64),
        }))
    }
}
