//! Named values of settings, as written in TOML files and flags.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Returns `did you mean 'NAME'? ` with the known name closest to a mistyped one, or an empty
/// string if none is close.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    zor_io::closest(name, known).map_or(String::new(), |known| format!("did you mean '{known}'? "))
}

/// An error for an unknown name. The message suggests the closest known name and lists all of them.
pub(crate) fn unknown(kind: &str, name: &str, known: &[&str]) -> Error {
    Error::input(format!(
        "unknown {kind} '{}'; {}choose from {}",
        crate::error::escaped(name),
        did_you_mean(name, known.iter().copied()),
        known.join(", ")
    ))
}

/// Implements names, parsing and (de)serialization for an enum.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal $(| $synonym:literal)*),+ $(,)? }) => {
        impl $type {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// All names, as written in TOML files and flags.
            pub const NAMES: &[&str] = &[$($name),+];

            /// Returns the name, as written in TOML files and flags.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                match name {
                    $($name $(| $synonym)* => Ok(Self::$variant),)+
                    _ => Err(Error::input(format!(
                        "unknown value '{name}'; {}choose from {}",
                        did_you_mean(name, Self::NAMES.iter().copied()),
                        Self::NAMES.join(", ")
                    ))),
                }
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Preset of the learning rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleName {
    /// [`zor_core::Rule::classic`].
    Classic,
    /// [`zor_core::Rule::default`] with the task's changes.
    Default,
    /// The default rule without normalisation, which makes it backpropagation.
    Backprop,
}
named!(RuleName { Classic = "classic", Default = "default", Backprop = "backprop" });

/// Name of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptimizerName {
    /// AdamW.
    AdamW,
    /// Adam without weight decay.
    Adam,
    /// Muon.
    Muon,
    /// Stochastic gradient descent with momentum.
    Sgd,
}
named!(OptimizerName { AdamW = "adamw", Adam = "adam", Muon = "muon", Sgd = "sgd" });

impl OptimizerName {
    /// Returns learning rate, weight decay and momentum (if the optimizer has one) for tasks that
    /// have no preset for this optimizer.
    pub(crate) fn usual(self) -> (f32, f32, Option<f32>) {
        match self {
            Self::AdamW => (1e-3, 0.01, None),
            Self::Adam => (1e-3, 0.0, None),
            Self::Muon => (0.02, 0.0, Some(0.9)),
            Self::Sgd => (1e-3, 0.0, Some(0.9)),
        }
    }
}

/// Name of a learning-rate schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleName {
    /// Constant.
    Constant,
    /// Half a cosine wave, down to zero.
    Cosine,
    /// Linear decay to zero.
    Linear,
}
named!(ScheduleName { Constant = "constant", Cosine = "cosine", Linear = "linear" });

/// Selection of training examples if not all are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The first ones of the set.
    First,
    /// Random ones, drawn with the seed.
    Random,
}
named!(Selection { First = "first", Random = "random" });

/// Class balancing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassBalance {
    /// None: every example counts equally.
    None,
    /// The error of each example is weighted; rare classes get large weights.
    Weights,
    /// Batches draw from the classes in turn, so each class is drawn equally often.
    Sampling,
}
named!(ClassBalance { None = "none", Weights = "weights", Sampling = "sampling" });

/// Number of training examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingSize {
    /// A number per class.
    PerClass(usize),
    /// A total number.
    Total(usize),
    /// All of them.
    All,
}

/// `all` or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// All of them.
    All,
    /// A number.
    Number(usize),
}

impl std::str::FromStr for Count {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" => Ok(Self::All),
            _ => text.parse().map(Self::Number).map_err(|_| {
                Error::input(format!("'{text}' is not a number of samples; give a number or 'all'"))
            }),
        }
    }
}

impl Serialize for Count {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::All => to.serialize_str("all"),
            Self::Number(n) => to.serialize_u64(*n as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(usize),
            Word(String),
        }
        match Either::deserialize(from)? {
            Either::Number(n) => Ok(Self::Number(n)),
            Either::Word(word) => word.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_suggested() {
        let known = ["cifar-classification", "fashion-classification", "fashion-reconstruction"];
        let suggested = |name| did_you_mean(name, known);
        assert_eq!(suggested("fashion-reconstrution"), "did you mean 'fashion-reconstruction'? ");
        assert_eq!(suggested("cifar-clasification"), "did you mean 'cifar-classification'? ");
        assert_eq!(suggested("knitting"), "");
        assert_eq!(did_you_mean("x", []), "");
    }
}
