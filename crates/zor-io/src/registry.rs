//! Which kinds of layers can be read from a file.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use zor_core::{DenseConfig, GateConfig, LayerConfig};

type Read = fn(Value) -> serde_json::Result<Box<dyn LayerConfig>>;

/// Layer kinds by name. Zor's own are there from the start; a layer of one's own is added before loading.
#[derive(Clone, Debug)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Read>,
}

impl Registry {
    /// Adds a kind under the name that its `Layer::kind` returns.
    #[must_use]
    pub fn with<C: LayerConfig + DeserializeOwned + 'static>(mut self, kind: &'static str) -> Self {
        self.kinds.insert(kind, |value| Ok(Box::new(serde_json::from_value::<C>(value)?)));
        self
    }

    /// The names of all kinds, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().copied()
    }

    pub(crate) fn read(&self, kind: &str, config: Value) -> Result<Box<dyn LayerConfig>, String> {
        match self.kinds.get(kind) {
            Some(read) => read(config).map_err(|error| format!("settings of '{kind}': {error}")),
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

impl Default for Registry {
    fn default() -> Self {
        Self { kinds: BTreeMap::new() }.with::<DenseConfig>("dense").with::<GateConfig>("gate")
    }
}
