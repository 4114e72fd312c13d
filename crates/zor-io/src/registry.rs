//! Which kinds of layers can be read from a file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zor_core::{
    BatchNormConfig, BiasConfig, BranchConfig, Conv2dConfig, DenseConfig, DropoutConfig,
    GateConfig, GroupNormConfig, Join, LayerConfig, Pool2dConfig, ReshapeConfig, SequenceConfig,
    UpsampleConfig,
};

use crate::model::LayerRecord;

type Read = fn(&Registry, Value) -> Result<Box<dyn LayerConfig>, String>;

/// Layer kinds by name. Zor's own are there from the start; a layer of one's own is added before loading.
#[derive(Clone, Debug)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Read>,
}

impl Registry {
    /// Adds a kind under the name that its `Layer::kind` returns.
    #[must_use]
    pub fn with<C: LayerConfig + DeserializeOwned + 'static>(mut self, kind: &'static str) -> Self {
        self.kinds.insert(kind, |_, value| {
            let config = serde_json::from_value::<C>(value).map_err(|error| error.to_string())?;
            Ok(Box::new(config))
        });
        self
    }

    /// The names of all kinds, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().copied()
    }

    pub(crate) fn read(&self, kind: &str, config: Value) -> Result<Box<dyn LayerConfig>, String> {
        match self.kinds.get(kind) {
            Some(read) => {
                read(self, config).map_err(|error| format!("settings of '{kind}': {error}"))
            }
            None => {
                let known: Vec<_> = self.kinds().collect();
                Err(format!(
                    "layers of kind '{kind}' are unknown; known are {}; register yours first",
                    known.join(", ")
                ))
            }
        }
    }
}

/// The settings of a sequence: its layers, each with its kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SequenceRecord {
    layers: Vec<LayerRecord>,
}

/// The settings of a branch: the same, and those of its shortcut.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BranchRecord {
    layers: Vec<LayerRecord>,
    shortcut: Vec<LayerRecord>,
}

fn read_sequence(registry: &Registry, config: Value) -> Result<Box<dyn LayerConfig>, String> {
    let record: SequenceRecord =
        serde_json::from_value(config).map_err(|error| error.to_string())?;
    let mut sequence = SequenceConfig::new();
    for layer in record.layers {
        sequence = sequence.boxed_layer(registry.read(&layer.kind, layer.config)?);
    }
    Ok(Box::new(sequence))
}

fn read_branch(
    registry: &Registry,
    config: Value,
    join: Join,
) -> Result<Box<dyn LayerConfig>, String> {
    let record: BranchRecord = serde_json::from_value(config).map_err(|error| error.to_string())?;
    let mut branch = BranchConfig::new(join);
    for layer in record.layers {
        branch = branch.boxed_layer(registry.read(&layer.kind, layer.config)?);
    }
    for layer in record.shortcut {
        branch = branch.boxed_shortcut(registry.read(&layer.kind, layer.config)?);
    }
    Ok(Box::new(branch))
}

impl Default for Registry {
    fn default() -> Self {
        let mut registry = Self { kinds: BTreeMap::new() }
            .with::<BatchNormConfig>("batch_norm")
            .with::<BiasConfig>("bias")
            .with::<Conv2dConfig>("conv2d")
            .with::<DenseConfig>("dense")
            .with::<DropoutConfig>("dropout")
            .with::<GateConfig>("gate")
            .with::<GroupNormConfig>("group_norm")
            .with::<Pool2dConfig>("pool2d")
            .with::<ReshapeConfig>("reshape")
            .with::<UpsampleConfig>("upsample");
        registry.kinds.insert("sequence", read_sequence);
        registry.kinds.insert("residual", |all, value| read_branch(all, value, Join::Add));
        registry
            .kinds
            .insert("concatenate", |all, value| read_branch(all, value, Join::Concatenate));
        registry
    }
}
