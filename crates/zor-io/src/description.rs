//! The description of a network in a file: the part before the tensors, in bincode (configuration
//! `standard`).
//!
//! The rule and the settings of every layer are JSON inside it. Layers of other crates thereby read
//! and write their own settings, files stay readable when a setting is added, and `zor info` prints
//! settings of unknown layers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zor_core::{Network, Role, Rule};

use crate::container::{ALIGNMENT, LONGEST_DESCRIPTION};
use crate::dtype::DType;

/// The metadata of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Shape of one input sample.
    pub input_shape: Vec<usize>,
    /// The rule that the network was built with.
    pub rule: Rule,
    /// The layers, from the input up.
    pub layers: Vec<LayerRecord>,
    /// The tensors, in the order of the file.
    pub tensors: Vec<TensorRecord>,
    /// Free text by key: task, seed, digest of the data, version of Zor.
    pub notes: BTreeMap<String, String>,
    /// The progress of training, in a checkpoint.
    pub progress: Option<Progress>,
}

/// A layer in a [`Header`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRecord {
    /// The kind, from `Layer::kind`.
    pub kind: String,
    /// The settings, from `Layer::config`.
    pub config: Value,
}

/// A tensor in a [`Header`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRecord {
    /// The name, such as `0.weight`.
    pub name: String,
    /// The purpose.
    pub purpose: Purpose,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// The type of its values in the file.
    pub dtype: DType,
    /// Number of updates: optimizer steps, or batches in a running mean. Zero outside checkpoints.
    pub steps: u64,
}

/// The purpose of a tensor in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// A trained parameter.
    Trained,
    /// A buffer of a layer, such as a running mean.
    Buffer,
    /// Optimizer state of the parameter before it.
    Optimizer,
    /// State that a layer carries from step to step, such as a charge.
    Remembered,
    /// The mean absolute error of every training step so far.
    History,
}

/// The progress of a training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Number of completed steps; with the seed it determines the following batches.
    pub step: u64,
    /// The name of the optimizer.
    pub optimizer: String,
    /// Numbers of training passes of layers that draw random numbers, by position. Names that begin
    /// with `optimizer/` record the owner of each parameter's state and its first step.
    pub counts: Vec<(String, u64)>,
    /// State of the training program.
    pub state: String,
}

/// The serialized form of a [`Header`].
#[derive(Serialize, Deserialize)]
struct Written {
    input_shape: Vec<usize>,
    rule: String,
    layers: Vec<(String, String)>,
    tensors: Vec<TensorRecord>,
    notes: BTreeMap<String, String>,
    progress: Option<Progress>,
}

fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<LONGEST_DESCRIPTION>()
}

impl Header {
    /// The header of a network, without its tensors.
    pub(crate) fn of(network: &Network, notes: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut layers = Vec::new();
        for (position, layer) in network.layers().iter().enumerate() {
            let config = layer.config().map_err(|e| e.at(format_args!("layer {position}")));
            let config = config.map_err(|e| e.to_string())?;
            layers.push(LayerRecord { kind: layer.kind().to_owned(), config });
        }
        Ok(Self {
            input_shape: network.input_shape().to_vec(),
            rule: network.rule().clone(),
            layers,
            tensors: Vec::new(),
            notes: notes.clone(),
            progress: None,
        })
    }

    /// Returns the number of trainable values.
    pub fn n_parameters(&self) -> usize {
        let trained = self.tensors.iter().filter(|t| t.purpose == Purpose::Trained);
        trained.map(|t| t.shape[0].saturating_mul(t.shape[1])).sum()
    }

    /// Returns the bytes before the tensors, and an error if they cannot be read back.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        let text = |value: &dyn Fn() -> serde_json::Result<String>| {
            value().map_err(|error| error.to_string())
        };
        let layers = self
            .layers
            .iter()
            .map(|layer| Ok((layer.kind.clone(), text(&|| serde_json::to_string(&layer.config))?)));
        let written = Written {
            input_shape: self.input_shape.clone(),
            rule: text(&|| serde_json::to_string(&self.rule))?,
            layers: layers.collect::<Result<_, String>>()?,
            tensors: self.tensors.clone(),
            notes: self.notes.clone(),
            progress: self.progress.clone(),
        };
        let bytes = bincode::serde::encode_to_vec(&written, bincode::config::standard())
            .map_err(|error| error.to_string())?;
        let again = Self::parse(&bytes)
            .map_err(|error| format!("its description cannot be read back: {error}"))?;
        if again != *self {
            return Err("its description reads back differently".to_owned());
        }
        Ok(bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (written, length): (Written, usize) =
            bincode::serde::decode_from_slice(bytes, configuration())
                .map_err(|error| format!("its description: {error}"))?;
        if length != bytes.len() {
            return Err(format!("its description ends after {length} of {} bytes", bytes.len()));
        }
        let layers = written.layers.into_iter().enumerate().map(|(position, (kind, config))| {
            let config = serde_json::from_str(&config)
                .map_err(|error| format!("settings of layer {position} ({kind}): {error}"))?;
            Ok(LayerRecord { kind, config })
        });
        Ok(Self {
            input_shape: written.input_shape,
            rule: serde_json::from_str(&written.rule)
                .map_err(|error| format!("its rule: {error}"))?,
            layers: layers.collect::<Result<_, String>>()?,
            tensors: written.tensors,
            notes: written.notes,
            progress: written.progress,
        })
    }

    /// Reads the description of a file with a valid digest and this number of bytes of tensors.
    /// Checks that sizes add up to it, and that names are unique.
    pub(crate) fn decode(description: &[u8], tensors: usize) -> Result<Self, String> {
        let header = Self::parse(description)?;
        let mut names = BTreeSet::new();
        let mut expected = Some(0usize);
        for tensor in &header.tensors {
            if !names.insert(&tensor.name) {
                return Err(format!("two tensors are named {}", tensor.name));
            }
            let padded = tensor.size().and_then(|size| size.checked_next_multiple_of(ALIGNMENT));
            expected = expected.and_then(|sum| sum.checked_add(padded?));
        }
        if expected != Some(tensors) {
            return Err(format!(
                "its description promises {} bytes of tensors, it has {tensors}",
                expected.map_or("countless".to_owned(), |n| n.to_string()),
            ));
        }
        Ok(header)
    }
}

impl TensorRecord {
    /// Returns the size of the values in bytes, or `None` if it overflows.
    pub(crate) fn size(&self) -> Option<usize> {
        self.dtype.size(self.shape)
    }

    /// Returns true for a tensor of the network, false for state of its training.
    pub(crate) fn is_of_network(&self) -> bool {
        matches!(self.purpose, Purpose::Trained | Purpose::Buffer)
    }
}

impl From<Role> for Purpose {
    fn from(role: Role) -> Self {
        match role {
            Role::Trained => Self::Trained,
            Role::Buffer => Self::Buffer,
        }
    }
}
