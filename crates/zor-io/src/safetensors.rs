//! safetensors files, for the exchange of weights with Python.
//!
//! Tensors have the names of `Network::tensors` (`0.weight`, `4.1.kernel`). All are f32 matrices:
//! dense weights `[inputs, units]`, kernels `[window and input channels, output channels]`, vectors
//! as one row. The metadata of a model file is one entry, `zor`, in JSON; [`load`] builds the
//! network from it.
//!
//! The format has no digest. An optional file `FILE.sha256` has one, in the format of `sha256sum`.
//!
//! Files of other programs, with tensors of any shape and type, are listed by [`info`] and checked
//! by [`verify`]; matrices and vectors of f32, f16 and bf16 can be loaded into a network.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};

use ::safetensors::tensor::{Dtype, SafeTensors, TensorView};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zor_core::burn::tensor::{Bytes, Device, Tensor, TensorData};
use zor_core::{Network, Rule, WeightSource};

use crate::description::{Header, LayerRecord};
use crate::error::{Error, Result, shown};
use crate::{Registry, atomic, file, model};

/// The metadata entry for the description of the network.
const ENTRY: &str = "zor";

/// The description of a network, without its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    input_shape: Vec<usize>,
    rule: Rule,
    layers: Vec<LayerRecord>,
    notes: BTreeMap<String, String>,
}

/// The digest file written with a safetensors file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sidecar {
    /// No digest file.
    None,
    /// `FILE.sha256`.
    Sha256,
}

/// Writes the tensors and the description of a network.
///
/// # Errors
/// When a layer cannot be saved, or the file cannot be written.
pub fn save(
    network: &Network,
    notes: &BTreeMap<String, String>,
    sidecar: Sidecar,
    path: &Path,
) -> Result<()> {
    let bytes = encode(network, notes).map_err(|message| Error::input(path, message))?;
    // An old digest does not match the new contents, so it is removed first.
    let old = beside(path);
    match fs::remove_file(&old) {
        Err(error) if error.kind() != NotFound => {
            return Err(Error::file_system(&old, "remove it", &error));
        }
        _ => {}
    }
    atomic::write(path, &bytes)?;
    if sidecar == Sidecar::Sha256 {
        let name = path.file_name().unwrap_or_default();
        atomic::write(&beside(path), &line(&digest(&bytes), name.as_encoded_bytes()))?;
    }
    Ok(())
}

/// Builds the network of a file that [`save`] wrote.
///
/// # Errors
/// When the file cannot be read, is damaged, does not match its digest file (if there is one), or
/// has no description of layers.
pub fn load(path: &Path, device: &Device, registry: &Registry) -> Result<(Network, Header)> {
    let (bytes, _) = read(path)?;
    decode(&bytes, device, registry).map_err(|message| Error::input(path, message))
}

/// Builds the network from the contents of a file that [`save`] wrote.
///
/// # Errors
/// When they are damaged, or have no description of layers.
pub fn load_bytes(bytes: &[u8], device: &Device, registry: &Registry) -> Result<(Network, Header)> {
    let decoded = decode(bytes, device, registry);
    decoded.map_err(|message| Error::input(Path::new("these bytes"), message))
}

/// Replaces all tensors of a network by those of a file of any program, with the same names and
/// shapes. f16 and bf16 are converted to f32, a vector to a matrix of one row. Returns the metadata
/// of the file.
///
/// # Errors
/// When the file is damaged, has tensors of unsupported shapes or types, or does not fit: all
/// tensors that are missing, superfluous or of another shape are named. The network is unchanged
/// then.
pub fn load_into(network: &mut Network, path: &Path) -> Result<BTreeMap<String, String>> {
    let (bytes, _) = read(path)?;
    fill(network, &bytes).map_err(|message| Error::input(path, message))
}

/// The metadata and tensors of a file, without values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
}

/// A tensor in [`Contents`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The type of its values, such as `f32`.
    pub dtype: String,
    /// The size of each axis.
    pub shape: Vec<usize>,
}

/// Lists the metadata and tensors of a file.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn info(path: &Path) -> Result<Contents> {
    let (bytes, _) = read(path)?;
    let Parsed { tensors, metadata } =
        parse(&bytes).map_err(|message| Error::input(path, message))?;
    let tensors = tensors.into_iter().map(|(name, view)| {
        let info = TensorInfo { dtype: name_of(view.dtype()), shape: view.shape().to_vec() };
        (name, info)
    });
    Ok(Contents { metadata, tensors: tensors.collect() })
}

/// The findings of [`verify`] about a valid file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// True if there is a digest file. Without one, damage to values is not detected.
    pub has_digest: bool,
    /// Names of tensors of narrow types such as `f8_e4m3`, whose values were not checked for NaN
    /// and infinity.
    pub unchecked: Vec<String>,
}

/// Verifies a file of any program: its structure, its digest (if there is one), and that values of
/// the types f64, f32, f16, bf16 and c64 are finite.
///
/// # Errors
/// Names the first fault.
pub fn verify(path: &Path) -> Result<Verified> {
    let (bytes, has_digest) = read(path)?;
    let unchecked = check_values(&bytes).map_err(|message| Error::input(path, message))?;
    Ok(Verified { has_digest, unchecked })
}

/// Checks that values are finite. Returns the names of the tensors that were not checked.
fn check_values(bytes: &[u8]) -> std::result::Result<Vec<String>, String> {
    let mut unchecked = Vec::new();
    for (name, view) in parse(bytes)?.tensors {
        if view.dtype() == Dtype::F64 {
            let eights = view.data().as_chunks::<8>().0.iter();
            let mut values = eights.map(|bytes| f64::from_le_bytes(*bytes)).enumerate();
            if let Some((at, value)) = values.find(|(_, value)| !value.is_finite()) {
                return Err(format!("value {at} of {name} is {value}, not a finite number"));
            }
        } else if let Some(values) = values(&view) {
            model::check_finite(&name, &values)?;
        } else if !is_whole(view.dtype()) {
            unchecked.push(name);
        }
    }
    Ok(unchecked)
}

/// Returns true for integer and boolean types.
fn is_whole(dtype: Dtype) -> bool {
    use Dtype::{BOOL, I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(dtype, BOOL | U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64)
}

/// Reads a file and checks its digest, if there is one. Returns the bytes, and true if there is.
fn read(path: &Path) -> Result<(Bytes, bool)> {
    let bytes = file::read(path)?;
    let sidecar = beside(path);
    let Some(line) = file::read_note(&sidecar, LONGEST_LINE)? else { return Ok((bytes, false)) };
    let expected = digest_in(&line).ok_or_else(|| {
        Error::input(
            &sidecar,
            "it does not begin with a SHA-256 digest of 64 hexadecimal digits; write it anew with sha256sum, or remove it",
        )
    })?;
    if expected.eq_ignore_ascii_case(digest(&bytes).as_bytes()) {
        Ok((bytes, true))
    } else {
        let message = format!("its digest is not that of {}: it is damaged", shown(&sidecar));
        Err(Error::input(path, message))
    }
}

/// Maximum number of bytes read from a digest file.
const LONGEST_LINE: u64 = 4096;

/// Returns a line in the format of `sha256sum`: it starts with a backslash if the name is escaped.
fn line(digest: &str, name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            other => escaped.push(*other),
        }
    }
    let mark: &[u8] = if escaped.len() == name.len() { b"" } else { b"\\" };
    [mark, digest.as_bytes(), b"  ", &escaped, b"\n"].concat()
}

/// Returns the digest at the start of a line of `sha256sum`.
fn digest_in(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii_start();
    let line = line.strip_prefix(b"\\").unwrap_or(line);
    let (digest, rest) = line.split_at_checked(64)?;
    let ends = rest.first().is_none_or(u8::is_ascii_whitespace);
    (ends && digest.iter().all(u8::is_ascii_hexdigit)).then_some(digest)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".sha256");
    path.with_file_name(name)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A parsed file.
struct Parsed<'a> {
    tensors: BTreeMap<String, TensorView<'a>>,
    metadata: BTreeMap<String, String>,
}

fn parse(bytes: &[u8]) -> std::result::Result<Parsed<'_>, String> {
    let failed = |error| format!("this is not a valid safetensors file: {error}");
    let tensors = SafeTensors::deserialize(bytes).map_err(failed)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(failed)?;
    let metadata = metadata.metadata().iter().flatten();
    Ok(Parsed {
        metadata: metadata.map(|(key, value)| (key.clone(), value.clone())).collect(),
        tensors: tensors.tensors().into_iter().collect(),
    })
}

/// Returns the name of a type, such as `f32`.
fn name_of(dtype: Dtype) -> String {
    format!("{dtype:?}").to_lowercase()
}

/// Returns rows and columns; a vector is one row.
fn shape(name: &str, view: &TensorView<'_>) -> std::result::Result<[usize; 2], String> {
    match *view.shape() {
        [columns] => Ok([1, columns]),
        [rows, columns] => Ok([rows, columns]),
        ref other => Err(format!("{name} is {other:?}")),
    }
}

/// Advice for tensors that a network cannot have.
const ADVICE: &str = "Zor's tensors are matrices or vectors of f32, f16 or bf16: reshape them (a kernel to [height * width * input channels, output channels]), change their type, or leave them out";

/// Returns the values of a tensor as f32, with the parts of complex ones; `None` for other types.
fn values(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let fours = || view.data().as_chunks::<4>().0.iter();
    let twos = || view.data().as_chunks::<2>().0.iter();
    Some(match view.dtype() {
        Dtype::F32 | Dtype::C64 => fours().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => twos().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => twos().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        _ => return None,
    })
}

/// Returns the reason why a network cannot have a tensor, or `None` if it can.
fn fault(name: &str, view: &TensorView<'_>) -> Option<String> {
    match view.dtype() {
        Dtype::F32 | Dtype::F16 | Dtype::BF16 => shape(name, view).err(),
        other => Some(format!("{name} is of type {}", name_of(other))),
    }
}

/// Returns the values of a tensor as a matrix.
fn matrix(
    name: &str,
    view: &TensorView<'_>,
) -> std::result::Result<(Vec<f32>, [usize; 2]), String> {
    match fault(name, view) {
        Some(fault) => Err(format!("{fault}; {ADVICE}")),
        None => Ok((values(view).unwrap_or_default(), shape(name, view)?)),
    }
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
            let values = parameter.value().try_into_data();
            let values = values
                .map_err(|error| format!("{name}: cannot be read from the device: {error}"))?;
            let bytes = values.iter::<f32>().flat_map(f32::to_le_bytes).collect();
            Ok((name, parameter.shape(), bytes))
        })
        .collect::<std::result::Result<_, String>>()?;
    let views = values.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
        view.map(|view| (name.clone(), view)).map_err(|error| error.to_string())
    });
    let views = views.collect::<std::result::Result<Vec<_>, String>>()?;
    // A single entry: the order of several would differ between processes.
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
        "it has no description of layers; load its tensors into an existing network (zor convert --like MODEL)",
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
    let faults: Vec<String> = tensors.iter().filter_map(|(name, view)| fault(name, view)).collect();
    if !faults.is_empty() {
        let more = match faults.len().saturating_sub(MOST_FAULTS) {
            0 => String::new(),
            more => format!(", and {more} more like these"),
        };
        let first = faults.get(..MOST_FAULTS).unwrap_or(&faults).join(", ");
        return Err(format!("it does not fit the network: {first}{more}; {ADVICE}"));
    }
    let shapes = tensors.iter().map(|(name, view)| Ok((name.clone(), shape(name, view)?)));
    let found = shapes.collect::<std::result::Result<_, String>>()?;
    let device = network.device().clone();
    let mut views = Views { tensors, device: &device };
    model::replace(network, &found, |name, shape| {
        views.take(name, shape).map_err(|error| error.to_string())
    })?;
    Ok(metadata)
}

/// Maximum number of unsupported tensors in a message; a file of another program may have hundreds.
const MOST_FAULTS: usize = 8;

/// Tensors in the bytes of their file.
struct Views<'a> {
    tensors: BTreeMap<String, TensorView<'a>>,
    device: &'a Device,
}

impl WeightSource for Views<'_> {
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
