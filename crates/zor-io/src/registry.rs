//! Which kinds of layers can be read from a file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zor_core::{
    BatchNormConfig, BiasConfig, BranchConfig, Conv2dConfig, DenseConfig, DropoutConfig,
    GateConfig, GroupNormConfig, Join, LayerConfig, Pool2dConfig, ReshapeConfig, ScaleConfig,
    SequenceConfig, UpsampleConfig,
};

use crate::description::LayerRecord;

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

    fn read_all(&self, layers: Vec<LayerRecord>) -> Result<Vec<Box<dyn LayerConfig>>, String> {
        layers.into_iter().map(|layer| self.read(&layer.kind, layer.config)).collect()
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
    let layers = registry.read_all(record.layers)?;
    Ok(Box::new(layers.into_iter().fold(SequenceConfig::new(), SequenceConfig::boxed_layer)))
}

fn read_branch(
    registry: &Registry,
    config: Value,
    join: Join,
) -> Result<Box<dyn LayerConfig>, String> {
    let record: BranchRecord = serde_json::from_value(config).map_err(|error| error.to_string())?;
    let (layers, shortcut) =
        (registry.read_all(record.layers)?, registry.read_all(record.shortcut)?);
    let branch = layers.into_iter().fold(BranchConfig::new(join), BranchConfig::boxed_layer);
    Ok(Box::new(shortcut.into_iter().fold(branch, BranchConfig::boxed_shortcut)))
}

impl Default for Registry {
    fn default() -> Self {
        let mut registry = Self { kinds: BTreeMap::new() }
            .with::<BatchNormConfig>("batch_norm")
            .with::<BiasConfig>("bias")
            .with::<Conv2dConfig>("conv2d")
            .with::<DenseConfig>("dense")
            .with::<DropoutConfig>("dropout")
            .with::<ScaleConfig>("scale")
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
