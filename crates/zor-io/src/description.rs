//! What a file says about its network: the part before the tensors, in bincode (configuration
//! `standard`).
//!
//! The rule and every layer's settings are JSON inside it: a layer of anyone's reads and writes its
//! own, files stay readable when a setting is added, and `zor info` shows what it does not know.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zor_core::{Network, Role, Rule};

use crate::container::{ALIGNMENT, LONGEST_DESCRIPTION};
use crate::dtype::DType;

/// What a file says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Shape of one input sample.
    pub input_shape: Vec<usize>,
    /// The rule that the network was built with.
    pub rule: Rule,
    /// Its layers, from the input up.
    pub layers: Vec<LayerRecord>,
    /// Its tensors, in the order in which they lie in the file.
    pub tensors: Vec<TensorRecord>,
    /// Free text by key: task, seed, digest of the data, version of Zor.
    pub notes: BTreeMap<String, String>,
    /// Where training stood, in a checkpoint.
    pub progress: Option<Progress>,
}

/// One layer in a [`Header`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRecord {
    /// Its kind, as in `Layer::kind`.
    pub kind: String,
    /// Its settings.
    pub config: Value,
}

/// One tensor in a [`Header`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRecord {
    /// Its name, such as `0.weight`.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// The type of its values in the file.
    pub dtype: DType,
    /// How often it was changed: optimizer steps, or batches of a running mean. Zero but in a
    /// checkpoint.
    pub steps: u64,
}

/// What a tensor in a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// A parameter that is trained.
    Trained,
    /// What a layer keeps beside its parameters, such as a running mean.
    Buffer,
    /// What the optimizer keeps for the parameter before it.
    Optimizer,
    /// What a layer remembers from step to step, such as a charge.
    Remembered,
    /// The mean absolute error of every step of training so far.
    History,
}

/// Where a training stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done: with the seed, all that is needed to make the batches that follow.
    pub step: u64,
    /// What the optimizer calls itself.
    pub optimizer: String,
    /// Training passes of layers that draw random numbers, by their positions. Under names that
    /// begin with `optimizer/`, whose each parameter's state is and since which step.
    pub counts: Vec<(String, u64)>,
    /// What the training program keeps for itself.
    pub state: String,
}

/// A [`Header`] as it is written.
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
    /// Of a network, without its tensors.
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

    /// Number of trainable values.
    pub fn n_parameters(&self) -> usize {
        let trained = self.tensors.iter().filter(|t| t.purpose == Purpose::Trained);
        trained.map(|t| t.shape[0].saturating_mul(t.shape[1])).sum()
    }

    /// The bytes before the tensors. What cannot be read again is refused.
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
            .map_err(|error| format!("what it says could not be read again: {error}"))?;
        if again != *self {
            return Err("what it says would be read as something else".to_owned());
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

    /// Of a file whose digest was right, with so many bytes of tensors. Sizes are those of the
    /// file, and no two tensors have one name.
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
    /// Bytes of its values; none if there are more than can be counted.
    pub(crate) fn size(&self) -> Option<usize> {
        self.dtype.size(self.shape)
    }

    /// Whether it belongs to the network, not to its training.
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
