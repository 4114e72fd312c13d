//! The registry of layer kinds: settings in a file by the kind of their layer.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zor_core::{
    BatchNormConfig, BiasConfig, BranchConfig, Conv2dConfig, CopyingConfig, DenseConfig,
    DropoutConfig, EmbeddingConfig, GateConfig, GroupNormConfig, Join, LayerConfig, Pool2dConfig,
    ReshapeConfig, RmsNormConfig, ScaleConfig, SequentialConfig, SpikeAttentionConfig,
    TiedEmbeddingConfig, UpsampleConfig,
};

use crate::description::LayerRecord;
use crate::error::closest;

type Read = Arc<dyn Fn(&Registry, Value) -> Result<Box<dyn LayerConfig>, String> + Send + Sync>;

/// Layer kinds by name: those of Zor, and those of other crates, which are added before loading.
///
/// A layer of layers reads its inner layers through the registry:
///
/// ```
/// use serde_json::Value;
/// use zor_core::SequentialConfig;
/// use zor_io::Registry;
///
/// let read = |registry: &Registry, mut settings: Value| {
///     let layers = registry.read_layers(settings["layers"].take())?;
///     Ok(layers.into_iter().fold(SequentialConfig::new(), SequentialConfig::boxed_layer))
/// };
/// let registry = Registry::default().with_container("block", read);
/// assert!(registry.kinds().any(|kind| kind == "block"));
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Kind>,
    /// The first name that two kinds share: nothing can be read then.
    fault: Option<String>,
}

/// A kind of layer.
#[derive(Clone)]
struct Kind {
    settings: TypeId,
    is_own: bool,
    read: Read,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("is_own", &self.is_own).finish_non_exhaustive()
    }
}

impl Registry {
    /// Adds a kind under the name that its `Layer::kind` returns.
    ///
    /// Names are unique. Loading fails with a registry in which two types of settings share a name,
    /// one of Zor's included: the settings in a file would be read as those of the wrong layer.
    #[must_use]
    pub fn with<C: LayerConfig + DeserializeOwned + 'static>(self, kind: &'static str) -> Self {
        self.with_container(kind, |_, settings| parse::<C>(settings))
    }

    /// Adds a kind of layer that has inner layers, under the name that its `Layer::kind` returns.
    ///
    /// `read` turns what `Layer::config` returned into settings again; inner layers, saved as
    /// `<dyn Layer>::record`, are read by [`Registry::read_layers`]. Names are unique, as in
    /// [`Registry::with`].
    #[must_use]
    pub fn with_container<C: LayerConfig + 'static>(
        mut self,
        kind: &'static str,
        read: impl Fn(&Self, Value) -> Result<C, String> + Send + Sync + 'static,
    ) -> Self {
        let settings = TypeId::of::<C>();
        let read = move |registry: &Self, value| {
            read(registry, value).map(|config| Box::new(config) as Box<dyn LayerConfig>)
        };
        match self.kinds.get(kind) {
            Some(known) if known.settings == settings => {}
            Some(known) => {
                let fault = match known.is_own {
                    true => format!(
                        "the layer kind '{kind}' is Zor's own; register yours, and return from its Layer::kind, another name"
                    ),
                    false => format!(
                        "two layers are registered as kind '{kind}'; give one of them another name"
                    ),
                };
                self.fault.get_or_insert(fault);
            }
            None => {
                self.kinds.insert(kind, Kind { settings, is_own: false, read: Arc::new(read) });
            }
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
                let hint = closest(kind, self.kinds())
                    .map_or(String::new(), |known| format!("; did you mean '{known}'?"));
                let known: Vec<_> = self.kinds().collect();
                Err(format!(
                    "layers of kind '{kind}' are unknown{hint}; known are {}; register yours first",
                    known.join(", ")
                ))
            }
        }
    }

    /// Reads the settings of inner layers, from the input up: a JSON array of records
    /// `{ "kind": ..., "config": ... }` as `<dyn Layer>::record` returns them.
    ///
    /// # Errors
    /// When it is no such array, a kind is not registered, or settings are not those of their kind.
    pub fn read_layers(&self, layers: Value) -> Result<Vec<Box<dyn LayerConfig>>, String> {
        let layers: Vec<LayerRecord> = parse(layers)?;
        layers.into_iter().map(|layer| self.read(&layer.kind, layer.config)).collect()
    }
}

fn parse<T: DeserializeOwned>(settings: Value) -> Result<T, String> {
    serde_json::from_value(settings).map_err(|error| error.to_string())
}

/// Settings of a sequence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SequenceRecord {
    layers: Value,
}

/// Settings of tied embeddings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TiedEmbeddingRecord {
    vocabulary: usize,
    width: usize,
    skip_prefix: bool,
    #[serde(default)]
    copies: Option<CopyingConfig>,
    layers: Value,
}

/// Settings of a branch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BranchRecord {
    layers: Value,
    shortcut: Value,
}

fn read_sequence(registry: &Registry, settings: Value) -> Result<SequentialConfig, String> {
    let record: SequenceRecord = parse(settings)?;
    let layers = registry.read_layers(record.layers)?;
    Ok(layers.into_iter().fold(SequentialConfig::new(), SequentialConfig::boxed_layer))
}

fn read_tied_embedding(
    registry: &Registry,
    settings: Value,
) -> Result<TiedEmbeddingConfig, String> {
    let record: TiedEmbeddingRecord = parse(settings)?;
    let config = TiedEmbeddingConfig::new(record.vocabulary, record.width);
    let config = if record.skip_prefix { config.skip_prefix() } else { config };
    let config = match record.copies {
        Some(copies) => config.copies(copies),
        None => config,
    };
    let layers = registry.read_layers(record.layers)?;
    Ok(layers.into_iter().fold(config, TiedEmbeddingConfig::boxed_layer))
}

fn read_branch(registry: &Registry, settings: Value, join: Join) -> Result<BranchConfig, String> {
    let record: BranchRecord = parse(settings)?;
    let layers = registry.read_layers(record.layers)?;
    let shortcut = registry.read_layers(record.shortcut)?;
    let branch = layers.into_iter().fold(BranchConfig::new(join), BranchConfig::boxed_layer);
    Ok(shortcut.into_iter().fold(branch, BranchConfig::boxed_shortcut))
}

impl Default for Registry {
    fn default() -> Self {
        let mut registry = Self { kinds: BTreeMap::new(), fault: None }
            .with::<BatchNormConfig>("batch_norm")
            .with::<BiasConfig>("bias")
            .with::<Conv2dConfig>("conv2d")
            .with::<DenseConfig>("dense")
            .with::<DropoutConfig>("dropout")
            .with::<EmbeddingConfig>("embedding")
            .with::<ScaleConfig>("scale")
            .with::<GateConfig>("gate")
            .with::<GroupNormConfig>("group_norm")
            .with::<RmsNormConfig>("rms_norm")
            .with::<SpikeAttentionConfig>("spike_attention")
            .with::<Pool2dConfig>("pool2d")
            .with::<ReshapeConfig>("reshape")
            .with::<UpsampleConfig>("upsample")
            .with_container("sequence", read_sequence)
            .with_container("tied_embedding", read_tied_embedding)
            .with_container("residual", |all, value| read_branch(all, value, Join::Add))
            .with_container("concatenate", |all, value| read_branch(all, value, Join::Concatenate));
        registry.kinds.values_mut().for_each(|kind| kind.is_own = true);
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

    #[test]
    fn an_unknown_kind_is_named_with_the_nearest_known_one() {
        let unknown = |kind| Registry::default().read(kind, Value::Null).err().unwrap_or_default();
        let error = unknown("dens");
        assert!(error.contains("'dens' are unknown; did you mean 'dense'?"), "{error}");
        let error = unknown("attention");
        assert!(error.contains("register yours") && !error.contains("did you mean"), "{error}");
    }
}
