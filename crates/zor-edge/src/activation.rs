//! Activation functions, as in training.

#![forbid(unsafe_code)]

/// An activation function, applied after the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x` above zero, `0.01 x` below.
    LeakyRelu,
    /// `x Phi(x)`, with the error function.
    Gelu,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `exp(x)`, divided by the sum over all outputs of the sample; for the last layer only.
    Softmax,
}

impl Activation {
    const ALL: [Self; 8] = [
        Self::None,
        Self::Relu,
        Self::LeakyRelu,
        Self::Gelu,
        Self::Silu,
        Self::Sigmoid,
        Self::Tanh,
        Self::Softmax,
    ];

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    pub(crate) fn code(self) -> u8 {
        Self::ALL.iter().position(|one| *one == self).unwrap_or(0) as u8
    }

    /// Applies the function to one value; softmax returns the value unchanged, see [`softmax`].
    #[inline]
    pub(crate) fn apply(self, x: f32) -> f32 {
        match self {
            Self::None | Self::Softmax => x,
            Self::Relu => x.max(0.0),
            Self::LeakyRelu => x.max(0.01 * x),
            Self::Gelu => 0.5 * x * (1.0 + libm::erff(x * core::f32::consts::FRAC_1_SQRT_2)),
            Self::Silu => x / (1.0 + libm::expf(-x)),
            Self::Sigmoid => 1.0 / (1.0 + libm::expf(-x)),
            Self::Tanh => libm::tanhf(x),
        }
    }
}

/// `exp(x - max) / sum`, over all values, in place.
pub(crate) fn softmax(values: &mut [f32]) {
    let largest = values.iter().fold(f32::NEG_INFINITY, |largest, value| largest.max(*value));
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = libm::expf(*value - largest);
        sum += *value;
    }
    values.iter_mut().for_each(|value| *value /= sum);
}
