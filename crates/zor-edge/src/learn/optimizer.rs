//! How a correlation changes a weight.

#![forbid(unsafe_code)]

const BETAS: [f32; 2] = [0.9, 0.999];
const ADAM_EPSILON: f32 = 1e-8;

/// How a correlation changes a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// `v = momentum v + correlation; w += rate v`. Keeps one value per weight.
    Sgd {
        /// Learning rate.
        rate: f32,
        /// Share of the previous direction that is kept, from 0 to 1.
        momentum: f32,
    },
    /// AdamW (Loshchilov and Hutter 2019) with betas 0.9 and 0.999 and epsilon 1e-8. Keeps two
    /// values per weight.
    AdamW {
        /// Learning rate.
        rate: f32,
        /// Decoupled weight decay.
        decay: f32,
    },
}

impl Optimizer {
    /// The optimizer of the classic preset.
    pub const CLASSIC: Self = Self::AdamW { rate: 1e-3, decay: 0.01 };

    /// Number of values of state per weight.
    pub const fn kept(&self) -> usize {
        match self {
            Self::Sgd { .. } => 1,
            Self::AdamW { .. } => 2,
        }
    }

    /// The optimizer with this share of its rate.
    pub(crate) fn with_share(self, share: f32) -> Self {
        match self {
            Self::Sgd { rate, momentum } => Self::Sgd { rate: rate * share, momentum },
            Self::AdamW { rate, decay } => Self::AdamW { rate: rate * share, decay },
        }
    }

    /// True if the learning rate and the other settings are finite and a momentum is from 0 to 1.
    pub(crate) fn is_valid(&self) -> bool {
        match *self {
            Self::Sgd { rate, momentum } => rate.is_finite() && (0.0..=1.0).contains(&momentum),
            Self::AdamW { rate, decay } => rate.is_finite() && decay.is_finite(),
        }
    }
}

/// The powers of both betas after one more step.
pub(crate) fn next_powers(powers: [f32; 2]) -> [f32; 2] {
    [powers[0] * BETAS[0], powers[1] * BETAS[1]]
}

/// One step of the optimizer.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) optimizer: Optimizer,
    /// Powers of Adam's betas: `beta^t` at step `t`.
    pub(crate) powers: [f32; 2],
    /// Weights stay within ± this.
    pub(crate) limit: f32,
}

impl Step {
    /// Changes one row of weights and its state by its correlations.
    pub(crate) fn apply(&self, weights: &mut [f32], state: &mut [f32], correlations: &[f32]) {
        let n = weights.len();
        let clamp = |weight: f32| weight.max(-self.limit).min(self.limit);
        let (first, second) = state.split_at_mut_checked(n).unwrap_or((&mut [], &mut []));
        match self.optimizer {
            Optimizer::Sgd { rate, momentum } => {
                for ((weight, v), correlation) in weights.iter_mut().zip(first).zip(correlations) {
                    *v = momentum * *v + correlation;
                    *weight = clamp(*weight + rate * *v);
                }
            }
            Optimizer::AdamW { rate, decay } => {
                let [unbias_1, unbias_2] = self.powers.map(|power| 1.0 / (1.0 - power));
                let moments = first.iter_mut().zip(second);
                for ((weight, (m, v)), c) in weights.iter_mut().zip(moments).zip(correlations) {
                    *m = BETAS[0] * *m + (1.0 - BETAS[0]) * c;
                    *v = BETAS[1] * *v + (1.0 - BETAS[1]) * c * c;
                    let step = *m * unbias_1 / (libm::sqrtf(*v * unbias_2) + ADAM_EPSILON);
                    *weight = clamp(*weight * (1.0 - rate * decay) + rate * step);
                }
            }
        }
    }
}
