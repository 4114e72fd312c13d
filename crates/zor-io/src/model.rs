//! The `.zor` model file, version 1.
//!
//! | bytes | contents |
//! |---|---|
//! | 8 | `ZORMODEL` |
//! | 4 | format version, little-endian like all numbers |
//! | 4 | length of the header |
//! | header | JSON: input shape, rule, layers (kind and settings), tensors (layer, name, shape), notes |
//! | tensors | f32, in the header's order |
//! | 32 | SHA-256 of everything before |

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_core::{Network, Rule};

use crate::error::{Error, Result};
use crate::{Registry, atomic};

const MAGIC: &[u8; 8] = b"ZORMODEL";
const VERSION: u32 = 1;
/// Magic, version and length of the header.
const PREFIX: usize = 16;
const DIGEST: usize = 32;

/// What a model file says about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Shape of one input sample.
    pub input_shape: Vec<usize>,
    /// The rule that the network was built with.
    pub rule: Rule,
    /// Its layers, from the input up.
    pub layers: Vec<LayerRecord>,
    /// Its tensors, in the order in which they lie in the file.
    pub tensors: Vec<TensorRecord>,
    /// Free text by key: task, seed, version of Zor.
    pub notes: BTreeMap<String, String>,
}

/// One layer in a [`Header`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Its kind, as in `Layer::kind`.
    pub kind: String,
    /// Its settings.
    pub config: Value,
}

/// One tensor in a [`Header`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRecord {
    /// Position of its layer.
    pub layer: usize,
    /// Its name in the layer.
    pub name: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Whether it is kept beside what is trained, such as a running mean.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub buffer: bool,
}

impl Header {
    /// Number of trainable values.
    pub fn n_parameters(&self) -> usize {
        let trained = self.tensors.iter().filter(|t| !t.buffer);
        trained.map(|t| t.shape[0].saturating_mul(t.shape[1])).sum()
    }
}

/// Saves a network with notes about it.
///
/// # Errors
/// When a layer cannot be saved, or the file system refuses.
pub fn save(network: &Network, notes: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    let bytes = encode(network, notes).map_err(|message| Error::input(path, message))?;
    atomic::write(path, &bytes)
}

/// Loads a network of Zor's own layers; [`load_with`] takes others too.
///
/// # Errors
/// When the file cannot be read, or is not a sound model file.
pub fn load(path: &Path, device: &Device) -> Result<(Network, Header)> {
    load_with(path, device, &Registry::default())
}

/// Loads a network whose layers are in a registry.
///
/// # Errors
/// When the file cannot be read, is not a sound model file, or has layers that are not in the registry.
pub fn load_with(path: &Path, device: &Device, registry: &Registry) -> Result<(Network, Header)> {
    let bytes = read(path)?;
    let (header, tensors) = decode(&bytes).map_err(|message| Error::input(path, message))?;
    let network = rebuild(&header, tensors, device, registry)
        .map_err(|message| Error::input(path, message))?;
    Ok((network, header))
}

/// What a file says about itself, its digest checked.
///
/// # Errors
/// When the file cannot be read, or is not a sound model file.
pub fn info(path: &Path) -> Result<Header> {
    let bytes = read(path)?;
    decode(&bytes).map(|(header, _)| header).map_err(|message| Error::input(path, message))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::input(path, "there is no such file"),
        _ => Error::file_system(path, "read it", &error),
    })
}

fn encode(
    network: &Network,
    notes: &BTreeMap<String, String>,
) -> std::result::Result<Vec<u8>, String> {
    let mut layers = Vec::new();
    let mut tensors = Vec::new();
    let mut values = Vec::new();
    for (position, layer) in network.layers().iter().enumerate() {
        let config =
            layer.config().map_err(|e| e.at(format_args!("layer {position}")).to_string())?;
        layers.push(LayerRecord { kind: layer.kind().to_owned(), config });
        let trained = layer.parameters().into_iter().map(|parameter| (parameter, false));
        let kept = layer.buffers().into_iter().map(|buffer| (buffer, true));
        for (parameter, buffer) in trained.chain(kept) {
            tensors.push(TensorRecord {
                layer: position,
                name: parameter.name().to_owned(),
                shape: parameter.shape(),
                buffer,
            });
            values.extend(parameter.value().into_data().iter::<f32>().flat_map(f32::to_le_bytes));
        }
    }
    let header = Header {
        input_shape: network.input_shape().to_vec(),
        rule: network.rule().clone(),
        layers,
        tensors,
        notes: notes.clone(),
    };
    let header = serde_json::to_vec(&header).map_err(|e| e.to_string())?;
    let length = u32::try_from(header.len()).map_err(|_| "the header is too long".to_owned())?;
    let mut bytes = Vec::with_capacity(PREFIX + header.len() + values.len() + DIGEST);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(header);
    bytes.extend(values);
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    Ok(bytes)
}

/// The header, and the bytes of all tensors.
fn decode(bytes: &[u8]) -> std::result::Result<(Header, &[u8]), String> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(format!("{} bytes are too few for a model file", bytes.len()));
    };
    let number = |at: usize| {
        u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]])
    };
    if &prefix[..8] != MAGIC {
        return Err("this is not a Zor model file: it does not begin with ZORMODEL".to_owned());
    }
    if number(8) != VERSION {
        return Err(format!(
            "it has format version {}, this Zor reads version {VERSION}; use the Zor that wrote it or a newer one",
            number(8)
        ));
    }
    let Some(content) = rest.len().checked_sub(DIGEST) else {
        return Err(format!("it ends after {} bytes, inside the header", bytes.len()));
    };
    let (content, digest) = rest.split_at(content);
    let mut hasher = Sha256::new();
    hasher.update(prefix);
    hasher.update(content);
    if hasher.finalize()[..] != *digest {
        return Err(
            "its digest does not match: it is damaged or cut short; use another copy".to_owned()
        );
    }
    let length = number(12) as usize;
    let (header, tensors) = content
        .split_at_checked(length)
        .ok_or_else(|| format!("its header of {length} bytes is longer than the file"))?;
    let header: Header = serde_json::from_slice(header).map_err(|e| format!("its header: {e}"))?;
    let size = |t: &TensorRecord| t.shape[0].checked_mul(t.shape[1])?.checked_mul(4);
    let expected =
        header.tensors.iter().try_fold(0usize, |sum, tensor| sum.checked_add(size(tensor)?));
    if expected != Some(tensors.len()) {
        return Err(format!(
            "its header promises {expected:?} bytes of tensors, it has {}",
            tensors.len()
        ));
    }
    Ok((header, tensors))
}

fn rebuild(
    header: &Header,
    mut tensors: &[u8],
    device: &Device,
    registry: &Registry,
) -> std::result::Result<Network, String> {
    let mut builder = Network::builder(&header.input_shape).rule(header.rule.clone());
    for record in &header.layers {
        builder = builder.boxed_layer(registry.read(&record.kind, record.config.clone())?);
    }
    let mut network = builder.build(device).map_err(|e| e.to_string())?;
    let mut records = header.tensors.iter();
    for (position, layer) in network.layers_mut().iter_mut().enumerate() {
        for buffer in [false, true] {
            let parameters = if buffer { layer.buffers_mut() } else { layer.parameters_mut() };
            for parameter in parameters {
                let place = format!("layer {position}, {}", parameter.name());
                let record = records.next().ok_or_else(|| format!("{place} is missing"))?;
                let expected = TensorRecord {
                    layer: position,
                    name: parameter.name().to_owned(),
                    shape: parameter.shape(),
                    buffer,
                };
                if *record != expected {
                    return Err(format!("{place}: expected {expected:?}, found {record:?}"));
                }
                let (bytes, rest) = tensors.split_at(record.shape[0] * record.shape[1] * 4);
                tensors = rest;
                let values: Vec<f32> =
                    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                let value = Tensor::from_data(TensorData::new(values, record.shape), device);
                parameter.set_value(value).map_err(|e| format!("{place}: {e}"))?;
            }
        }
    }
    match records.next() {
        Some(extra) => Err(format!("there is a tensor that no layer has: {extra:?}")),
        None => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use zor_core::{
        BatchNormConfig, BiasConfig, BranchConfig, Conv2dConfig, DenseConfig, DropoutConfig,
        GateConfig, GroupNormConfig, Pool2dConfig, ReshapeConfig, SequenceConfig, UpsampleConfig,
    };

    fn network() -> Network {
        Network::dense(&[6, 4, 6]).rule(Rule::classic()).seed(3).build(&Device::flex()).unwrap()
    }

    fn saved() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.zor");
        let notes = BTreeMap::from([("task".to_owned(), "test".to_owned())]);
        save(&network(), &notes, &path).unwrap();
        (folder, path)
    }

    #[test]
    fn a_loaded_network_answers_as_the_saved_one() {
        let device = Device::flex();
        let (_folder, path) = saved();
        let (loaded, header) = load(&path, &device).unwrap();
        let input = Tensor::<2>::ones([3, 6], &device);
        let numbers = |n: &Network| n.predict(input.clone()).unwrap().into_data();
        assert_eq!(numbers(&loaded), numbers(&network()));
        assert_eq!(loaded.rule(), &Rule::classic());
        assert_eq!(header.notes["task"], "test");
        assert_eq!(header.n_parameters(), 48);
        assert_eq!(encode(&loaded, &header.notes).unwrap(), fs::read(&path).unwrap());
    }

    #[test]
    fn convolutions_branches_sequences_and_running_means_are_kept() {
        let device = Device::flex();
        let sequence =
            SequenceConfig::new().layer(Conv2dConfig::same(3, 3)).layer(BatchNormConfig::default());
        let block = BranchConfig::residual().layer(sequence).layer(GateConfig::default());
        let skip = BranchConfig::concatenate()
            .layer(Pool2dConfig::max(2))
            .layer(DropoutConfig::new(0.2))
            .layer(UpsampleConfig::new(2))
            .shortcut(BiasConfig::default());
        let builder = Network::builder(&[4, 4, 3]).layer(block).layer(skip);
        let builder = builder.layer(GroupNormConfig::layer()).layer(ReshapeConfig::flatten());
        let mut network = builder.layer(DenseConfig::new(2)).build(&device).unwrap();
        let input = Tensor::<2>::ones([5, 48], &device);
        network.train_batch(&Still, input.clone(), vec![0; 5]).unwrap();
        let notes = BTreeMap::new();
        let bytes = encode(&network, &notes).unwrap();
        let (header, tensors) = decode(&bytes).unwrap();
        assert_eq!(header.tensors.iter().filter(|tensor| tensor.buffer).count(), 2);
        assert_eq!(header.n_parameters(), network.n_parameters());
        let loaded = rebuild(&header, tensors, &device, &Registry::default()).unwrap();
        let answer = |network: &Network| network.predict(input.clone()).unwrap().into_data();
        assert_eq!(answer(&loaded), answer(&network));
        assert_eq!(encode(&loaded, &notes).unwrap(), bytes);
    }

    /// Changes no weight; running means move all the same.
    #[derive(Debug)]
    struct Still;

    impl zor_core::Optimizer for Still {
        fn name(&self) -> &str {
            "still"
        }

        fn check(&self) -> zor_core::Result<()> {
            Ok(())
        }

        fn step(
            &self,
            _: &mut zor_core::Parameter,
            _: zor_core::burn::tensor::Tensor<2>,
            _: &mut zor_core::Workspace,
        ) {
        }
    }

    #[test]
    fn every_flipped_bit_and_every_shorter_file_is_refused() {
        let (_folder, path) = saved();
        let sound = fs::read(&path).unwrap();
        for byte in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[byte] ^= 1 << (byte % 8);
            assert!(decode(&damaged).is_err(), "byte {byte} changed");
            assert!(decode(&sound[..byte]).is_err(), "cut to {byte} bytes");
        }
        assert!(decode(&sound).is_ok());
    }

    #[test]
    fn errors_name_the_file_and_the_remedy() {
        let device = Device::flex();
        let (folder, path) = saved();
        let missing = folder.path().join("other.zor");
        let error = load(&missing, &device).unwrap_err();
        assert!(error.to_string().contains("other.zor: there is no such file"));
        assert_eq!(error.kind(), ErrorKind::Input);

        let mut newer = fs::read(&path).unwrap();
        newer[8] = 9;
        fs::write(&path, newer).unwrap();
        let error = load(&path, &device).unwrap_err().to_string();
        assert!(error.contains("format version 9"), "{error}");
    }

    #[test]
    fn an_unknown_layer_is_listed_with_those_that_are_known() {
        let error = Registry::default().read("conv9d", Value::Null).unwrap_err();
        assert!(error.contains("conv9d") && error.contains("dense, dropout, gate"));
    }
}
