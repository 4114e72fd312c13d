//! Activation functions, applied to the gated charge: `y = f(charge * spike)`.
//!
//! The rule does not use their derivatives; only the gate determines where the signal goes.

use std::fmt;
use std::sync::Arc;

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

/// An activation function of a layer.
///
/// ```
/// use zor_core::Activation;
/// let halved = Activation::custom("halved", |x| x * 0.5);
/// assert_eq!(halved.name(), "halved");
/// ```
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
    /// `x`.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x` above zero, `0.01 x` below.
    LeakyRelu,
    /// `x Phi(x)`, exact (Hendrycks and Gimpel 2016).
    Gelu,
    /// `x sigmoid(x)`, also known as Swish.
    Silu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `exp(x) / sum(exp(x))` over each row.
    Softmax,
    /// A user-defined function. It cannot be saved with a model.
    #[serde(skip)]
    Custom(CustomActivation),
}

/// A named user-defined function; see [`Activation::custom`].
#[derive(Clone)]
pub struct CustomActivation {
    name: String,
    function: Arc<dyn Fn(Tensor<2>) -> Tensor<2> + Send + Sync>,
}

impl Activation {
    /// Creates a user-defined function on `[batch, units]`, which must keep the shape.
    pub fn custom(
        name: impl Into<String>,
        function: impl Fn(Tensor<2>) -> Tensor<2> + Send + Sync + 'static,
    ) -> Self {
        Self::Custom(CustomActivation { name: name.into(), function: Arc::new(function) })
    }

    /// Name in settings and summaries.
    pub fn name(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Relu => "relu",
            Self::LeakyRelu => "leaky_relu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softmax => "softmax",
            Self::Custom(custom) => &custom.name,
        }
    }

    /// Returns the built-in function of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::None,
            Self::Relu,
            Self::LeakyRelu,
            Self::Gelu,
            Self::Silu,
            Self::Sigmoid,
            Self::Tanh,
            Self::Softmax,
        ]
        .into_iter()
        .find(|activation| activation.name() == name)
    }

    /// Applies the function.
    ///
    /// # Shapes
    /// `[batch, units]` -> `[batch, units]`.
    pub fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::None => x,
            Self::Relu => activation::relu(x),
            Self::LeakyRelu => activation::leaky_relu(x, 0.01),
            Self::Gelu => activation::gelu(x),
            Self::Silu => activation::silu(x),
            Self::Sigmoid => activation::sigmoid(x),
            Self::Tanh => activation::tanh(x),
            Self::Softmax => activation::softmax(x, 1),
            Self::Custom(custom) => (custom.function)(x),
        }
    }
}

impl fmt::Debug for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for CustomActivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Activation {
    /// Functions are equal if their names are.
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn check(activation: Activation, expected: [f32; 3]) {
        let x = Tensor::<2>::from_floats([[-1.0, 0.0, 2.0]], &Device::flex());
        let y: Vec<f32> = activation.apply(x).into_data().iter::<f32>().collect();
        for (y, expected) in y.iter().zip(expected) {
            assert!((y - expected).abs() < 1e-6, "{activation:?}: {y}, expected {expected}");
        }
    }

    #[test]
    fn values_are_those_of_the_definitions() {
        check(Activation::None, [-1.0, 0.0, 2.0]);
        check(Activation::Relu, [0.0, 0.0, 2.0]);
        check(Activation::LeakyRelu, [-0.01, 0.0, 2.0]);
        check(Activation::Gelu, [-0.158_655_25, 0.0, 1.954_499_7]);
        check(Activation::Silu, [-0.268_941_43, 0.0, 1.761_594_2]);
        check(Activation::Sigmoid, [0.268_941_43, 0.5, 0.880_797_1]);
        check(Activation::Tanh, [-0.761_594_2, 0.0, 0.964_027_6]);
        check(Activation::Softmax, [0.042_010_065, 0.114_195_2, 0.843_794_7]);
        check(Activation::custom("square", |x| x.clone() * x), [1.0, 0.0, 4.0]);
    }

    #[test]
    fn names_lead_back_to_the_function() {
        for name in ["none", "relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh", "softmax"] {
            assert_eq!(
                Activation::from_name(name).map(|a| a.name().to_owned()).as_deref(),
                Some(name)
            );
        }
        assert_eq!(Activation::from_name("relu6"), None);
    }
}
