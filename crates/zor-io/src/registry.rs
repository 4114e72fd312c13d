//! Which kinds of layers can be read from a file.

use std::any::TypeId;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zor_core::{
    BatchNormConfig, BiasConfig, BranchConfig, Conv2dConfig, DenseConfig, DropoutConfig,
    GateConfig, GroupNormConfig, Join, LayerConfig, Pool2dConfig, ReshapeConfig, ScaleConfig,
    SequentialConfig, UpsampleConfig,
};

use crate::description::LayerRecord;

type Read = fn(&Registry, Value) -> Result<Box<dyn LayerConfig>, String>;

/// Layer kinds by name. Zor's own are there from the start; other layers are added before loading.
#[derive(Clone, Debug)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Kind>,
    /// Why nothing can be read: the first name that two kinds share.
    fault: Option<String>,
}

/// A kind of layer.
#[derive(Clone, Copy, Debug)]
struct Kind {
    settings: TypeId,
    is_own: bool,
    read: Read,
}

impl Registry {
    /// Adds a kind under the name that its `Layer::kind` returns.
    ///
    /// Each kind has a name of its own. Loading fails with a registry that has two layers under one
    /// name, or another layer under the name of one of Zor's: the settings in a file would be read
    /// as those of the wrong layer.
    #[must_use]
    pub fn with<C: LayerConfig + DeserializeOwned + 'static>(mut self, kind: &'static str) -> Self {
        self.add::<C>(kind, false, |_, value| {
            let config = serde_json::from_value::<C>(value).map_err(|error| error.to_string())?;
            Ok(Box::new(config))
        });
        self
    }

    fn add<C: 'static>(&mut self, name: &'static str, is_own: bool, read: Read) {
        let settings = TypeId::of::<C>();
        match self.kinds.get(name) {
            Some(known) if known.settings == settings => {}
            Some(known) => {
                let fault = match known.is_own {
                    true => format!(
                        "the layer kind '{name}' is Zor's own; register yours, and return from its Layer::kind, another name"
                    ),
                    false => format!(
                        "two layers are registered as kind '{name}'; give one of them another name"
                    ),
                };
                self.fault.get_or_insert(fault);
            }
            None => {
                self.kinds.insert(name, Kind { settings, is_own, read });
            }
        }
    }

    /// One of Zor's own.
    fn own<C: LayerConfig + DeserializeOwned + 'static>(mut self, kind: &'static str) -> Self {
        self = self.with::<C>(kind);
        if let Some(kind) = self.kinds.get_mut(kind) {
            kind.is_own = true;
        }
        self
    }

    /// The names of all kinds, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().copied()
    }

    pub(crate) fn read(&self, kind: &str, config: Value) -> Result<Box<dyn LayerConfig>, String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        match self.kinds.get(kind) {
            Some(known) => {
                (known.read)(self, config).map_err(|error| format!("settings of '{kind}': {error}"))
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
    Ok(Box::new(layers.into_iter().fold(SequentialConfig::new(), SequentialConfig::boxed_layer)))
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
        let mut registry = Self { kinds: BTreeMap::new(), fault: None }
            .own::<BatchNormConfig>("batch_norm")
            .own::<BiasConfig>("bias")
            .own::<Conv2dConfig>("conv2d")
            .own::<DenseConfig>("dense")
            .own::<DropoutConfig>("dropout")
            .own::<ScaleConfig>("scale")
            .own::<GateConfig>("gate")
            .own::<GroupNormConfig>("group_norm")
            .own::<Pool2dConfig>("pool2d")
            .own::<ReshapeConfig>("reshape")
            .own::<UpsampleConfig>("upsample");
        registry.add::<SequentialConfig>("sequence", true, read_sequence);
        registry
            .add::<BranchConfig>("residual", true, |all, value| read_branch(all, value, Join::Add));
        registry.add::<BranchConfig>("concatenate", true, |all, value| {
            read_branch(all, value, Join::Concatenate)
        });
        registry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(registry: &Registry) -> Option<String> {
        let settings = serde_json::to_value(DenseConfig::new(2)).ok()?;
        registry.read("dense", settings).err()
    }

    #[test]
    fn a_name_that_two_kinds_share_is_said_when_a_file_is_read() {
        let own = Registry::default().with::<DenseConfig>("own");
        assert_eq!(fault(&own), None);
        // Twice alike is once.
        assert_eq!(fault(&own.clone().with::<DenseConfig>("own")), None);
        assert_eq!(fault(&own.clone().with::<DenseConfig>("dense")), None);
        let twice = fault(&own.clone().with::<BiasConfig>("own")).unwrap_or_default();
        assert!(twice.contains("two layers") && twice.contains("'own'"), "{twice}");
        for kind in ["dense", "residual", "sequence"] {
            let shadow = fault(&own.clone().with::<BiasConfig>(kind)).unwrap_or_default();
            assert!(shadow.contains(&format!("'{kind}' is Zor's own")), "{shadow}");
        }
        assert!(own.kinds().any(|kind| kind == "own"));
    }
}
