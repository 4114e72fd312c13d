//! safetensors, for weights that go to Python and come from it.
//!
//! Tensors are named as in `Network::tensors` (`0.weight`, `4.1.kernel`), all of them f32 matrices: dense weights `[inputs, units]`, kernels
//! `[window and input channels, output channels]`, vectors of one row. What a model file says beside them is one metadata entry, `zor`, in
//! JSON, so that a file of ours becomes the same network again.
//!
//! The format has no digest. One can stand beside the file, as `sha256sum` writes it: `FILE.sha256`.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};

use ::safetensors::tensor::{Dtype, SafeTensors, TensorView};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zor_core::burn::tensor::{Bytes, Device, Tensor, TensorData};
use zor_core::{Network, Rule, Weights};

use crate::description::{Header, LayerRecord};
use crate::error::{Error, Result};
use crate::{Registry, atomic, file, model};

/// The metadata entry of what a model file says.
const ENTRY: &str = "zor";

/// What a file says beside its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    input_shape: Vec<usize>,
    rule: Rule,
    layers: Vec<LayerRecord>,
    notes: BTreeMap<String, String>,
}

/// Whether a digest is written beside a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sidecar {
    /// The file alone.
    None,
    /// `FILE.sha256` too.
    Sha256,
}

/// Writes a network's tensors and what a model file would say of it.
///
/// # Errors
/// When a layer cannot be saved, or the file system refuses.
pub fn save(
    network: &Network,
    notes: &BTreeMap<String, String>,
    sidecar: Sidecar,
    path: &Path,
) -> Result<()> {
    let bytes = encode(network, notes).map_err(|message| Error::input(path, message))?;
    // Beside new contents an old digest would call them damaged, so it goes first.
    let old = beside(path);
    match fs::remove_file(&old) {
        Err(error) if error.kind() != NotFound => {
            return Err(Error::file_system(&old, "remove it", &error));
        }
        _ => {}
    }
    atomic::write(path, &bytes)?;
    if sidecar == Sidecar::Sha256 {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let line = format!("{}  {name}\n", digest(&bytes));
        atomic::write(&beside(path), line.as_bytes())?;
    }
    Ok(())
}

/// Builds the network of a file that [`save`] wrote.
///
/// # Errors
/// When the file cannot be read, is damaged, its digest (if it has one) is another, or it says nothing of layers.
pub fn load(path: &Path, device: &Device, registry: &Registry) -> Result<(Network, Header)> {
    let bytes = read(path)?;
    decode(&bytes, device, registry).map_err(|message| Error::input(path, message))
}

/// Builds the network of the contents of a file that [`save`] wrote.
///
/// # Errors
/// When they are damaged, or say nothing of layers.
pub fn load_bytes(bytes: &[u8], device: &Device, registry: &Registry) -> Result<(Network, Header)> {
    let decoded = decode(bytes, device, registry);
    decoded.map_err(|message| Error::input(Path::new("these bytes"), message))
}

/// Replaces the tensors of a network by those of a file from anywhere, all of them or none: names and shapes have to be the same, f16 and bf16
/// become f32, a vector is a matrix of one row. Returns the file's metadata.
///
/// # Errors
/// When the file is damaged, or does not fit: every tensor that is missing, too many or of another shape is named. The
/// network is as before then.
pub fn load_into(network: &mut Network, path: &Path) -> Result<BTreeMap<String, String>> {
    let bytes = read(path)?;
    fill(network, &bytes).map_err(|message| Error::input(path, message))
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
    /// Its tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
}

/// One tensor in [`Contents`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The type of its values, such as `f32`.
    pub dtype: String,
    /// Its sizes.
    pub shape: Vec<usize>,
}

/// What a file holds, without its values.
///
/// # Errors
/// When the file is damaged.
pub fn info(path: &Path) -> Result<Contents> {
    let bytes = read(path)?;
    let Parsed { tensors, metadata } =
        parse(&bytes).map_err(|message| Error::input(path, message))?;
    let tensors = tensors.into_iter().map(|(name, view)| {
        let dtype = format!("{:?}", view.dtype()).to_lowercase();
        (name, TensorInfo { dtype, shape: view.shape().to_vec() })
    });
    Ok(Contents { metadata, tensors: tensors.collect() })
}

/// Whether a file is sound as far as can be told, and its values finite. Returns whether there was a digest.
///
/// # Errors
/// Says what is wrong.
pub fn verify(path: &Path) -> Result<bool> {
    let bytes = read(path)?;
    let check = || {
        for (name, view) in parse(&bytes)?.tensors {
            let values = matrix(&name, &view)?;
            model::check_finite(&name, &values.0)?;
        }
        Ok::<_, String>(())
    };
    check().map_err(|message| Error::input(path, message))?;
    Ok(beside(path).exists())
}

fn read(path: &Path) -> Result<Bytes> {
    let bytes = file::read(path)?;
    let sidecar = beside(path);
    let line = match fs::read_to_string(&sidecar) {
        Ok(line) => line,
        Err(error) if error.kind() == NotFound => return Ok(bytes),
        Err(error) => return Err(Error::file_system(&sidecar, "read it", &error)),
    };
    let expected = line.split_whitespace().next().unwrap_or_default();
    if expected.eq_ignore_ascii_case(&digest(&bytes)) {
        Ok(bytes)
    } else {
        Err(Error::input(
            path,
            format!("its digest is not that of {}: it is damaged", sidecar.display()),
        ))
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".sha256");
    path.with_file_name(name)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tensors of a file, and its metadata.
struct Parsed<'a> {
    tensors: BTreeMap<String, TensorView<'a>>,
    metadata: BTreeMap<String, String>,
}

fn parse(bytes: &[u8]) -> std::result::Result<Parsed<'_>, String> {
    let failed = |error| format!("this is no sound safetensors file: {error}");
    let tensors = SafeTensors::deserialize(bytes).map_err(failed)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(failed)?;
    let metadata = metadata.metadata().iter().flatten();
    Ok(Parsed {
        metadata: metadata.map(|(key, value)| (key.clone(), value.clone())).collect(),
        tensors: tensors.tensors().into_iter().collect(),
    })
}

/// Rows and columns; of a vector, one row.
fn shape(name: &str, view: &TensorView<'_>) -> std::result::Result<[usize; 2], String> {
    match *view.shape() {
        [columns] => Ok([1, columns]),
        [rows, columns] => Ok([rows, columns]),
        ref other => Err(format!("{name} is {other:?}; Zor's tensors are matrices")),
    }
}

/// Values of a tensor as a matrix.
fn matrix(
    name: &str,
    view: &TensorView<'_>,
) -> std::result::Result<(Vec<f32>, [usize; 2]), String> {
    let shape = shape(name, view)?;
    let fours = || view.data().as_chunks::<4>().0.iter();
    let twos = || view.data().as_chunks::<2>().0.iter();
    let values = match view.dtype() {
        Dtype::F32 => fours().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => twos().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => twos().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        other => return Err(format!("{name} is of type {other:?}; save it as F32, F16 or BF16")),
    };
    Ok((values, shape))
}

pub(crate) fn encode(
    network: &Network,
    notes: &BTreeMap<String, String>,
) -> std::result::Result<Vec<u8>, String> {
    let Header { input_shape, rule, layers, notes, .. } = Header::of(network, notes)?;
    let entry = Entry { input_shape, rule, layers, notes };
    let entry = serde_json::to_string(&entry).map_err(|error| error.to_string())?;
    let values: Vec<(String, [usize; 2], Vec<u8>)> = network
        .tensors()
        .into_iter()
        .map(|(name, _, parameter)| {
            let values = parameter.value().into_data();
            let bytes = values.iter::<f32>().flat_map(f32::to_le_bytes).collect();
            (name, parameter.shape(), bytes)
        })
        .collect();
    let views = values.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
        view.map(|view| (name.clone(), view)).map_err(|error| error.to_string())
    });
    let views = views.collect::<std::result::Result<Vec<_>, String>>()?;
    // One entry: the order of several would be another in every process.
    let metadata = std::iter::once((ENTRY.to_owned(), entry)).collect();
    ::safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

pub(crate) fn decode(
    bytes: &[u8],
    device: &Device,
    registry: &Registry,
) -> std::result::Result<(Network, Header), String> {
    let Parsed { tensors, metadata } = parse(bytes)?;
    let entry = metadata.get(ENTRY).ok_or(
        "it says nothing of layers; put its tensors into a network that exists already (zor convert --like MODEL)",
    )?;
    let entry: Entry =
        serde_json::from_str(entry).map_err(|error| format!("its entry '{ENTRY}': {error}"))?;
    let Entry { input_shape, rule, layers, notes } = entry;
    let mut builder = Network::builder(&input_shape).rule(rule.clone());
    for layer in &layers {
        builder = builder.boxed_layer(registry.read(&layer.kind, layer.config.clone())?);
    }
    let mut views = Views { tensors, device };
    let network = builder.build_from(&mut views, device).map_err(|error| error.to_string())?;
    if !views.tensors.is_empty() {
        let extra: Vec<&str> = views.tensors.keys().map(String::as_str).collect();
        return Err(format!("it has tensors that no layer has: {}", extra.join(", ")));
    }
    let header = Header { input_shape, rule, layers, notes, tensors: Vec::new(), progress: None };
    Ok((network, header))
}

pub(crate) fn fill(
    network: &mut Network,
    bytes: &[u8],
) -> std::result::Result<BTreeMap<String, String>, String> {
    let Parsed { tensors, metadata } = parse(bytes)?;
    let shapes = tensors.iter().map(|(name, view)| Ok((name.clone(), shape(name, view)?)));
    let found = shapes.collect::<std::result::Result<_, String>>()?;
    let device = network.device().clone();
    let mut views = Views { tensors, device: &device };
    model::replace(network, &found, |name, shape| {
        views.take(name, shape).map_err(|error| error.to_string())
    })?;
    Ok(metadata)
}

/// Tensors that are still in their file.
struct Views<'a> {
    tensors: BTreeMap<String, TensorView<'a>>,
    device: &'a Device,
}

impl Weights for Views<'_> {
    fn take(&mut self, name: &str, shape: [usize; 2]) -> zor_core::Result<Tensor<2>> {
        let Some(view) = self.tensors.remove(name) else {
            return Err(zor_core::Error::setting(format!("the file has no tensor {name}")));
        };
        let (values, found) = matrix(name, &view).map_err(zor_core::Error::setting)?;
        if found != shape {
            return Err(zor_core::Error::shape(format!(
                "{name} is {found:?} in the file; the layer needs {shape:?}"
            )));
        }
        Ok(Tensor::from_data(TensorData::new(values, shape), self.device))
    }
}
