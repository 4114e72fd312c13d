//! Saving and loading of networks: models, and checkpoints of their training.
//!
//! A checkpoint is a model file with more tensors (optimizer state, charges, history) and a
//! [`Progress`]; it loads wherever a model does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use zor_core::burn::tensor::{self, Bytes, Device, Tensor, TensorData};
use zor_core::{CarriedState, Network, OptimizerState, Parameter, Role, WeightSource};

use crate::container::{self, ALIGNMENT, File};
use crate::description::{Header, Progress, Purpose, TensorRecord};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::{Registry, atomic, file};

/// Saves a network with notes about it, atomically.
///
/// # Errors
/// When a layer cannot be saved, or the file cannot be written; an old file is still there then.
pub fn save(network: &Network, notes: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    save_as(network, notes, DType::F32, path)
}

/// Saves a network with parameters of a smaller type. Buffers such as running means stay f32.
///
/// # Errors
/// Those of [`save`], and a value beyond the range of the type.
pub fn save_as(
    network: &Network,
    notes: &BTreeMap<String, String>,
    dtype: DType,
    path: &Path,
) -> Result<()> {
    let header = Header::of(network, notes);
    let file = header.and_then(|header| encode(network, header, dtype));
    atomic::write_parts(path, &file.map_err(|message| Error::input(path, message))?.parts())
}

/// Saves a checkpoint: a resumed training continues exactly as an uninterrupted one.
///
/// The counts of `progress` are filled in from the network.
///
/// # Errors
/// When a layer or the state of the optimizer cannot be saved, or the file cannot be written.
pub fn save_checkpoint(
    network: &Network,
    notes: &BTreeMap<String, String>,
    progress: Progress,
    path: &Path,
) -> Result<()> {
    let file = encode_checkpoint(network, notes, progress);
    atomic::write_parts(path, &file.map_err(|message| Error::input(path, message))?.parts())
}

/// Returns a network as the contents of a checkpoint file, which [`load_bytes`] reads: weights,
/// state of the optimizer, charges and history.
///
/// # Errors
/// When a layer or the state of the optimizer cannot be saved.
pub fn checkpoint_bytes(network: &Network, notes: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let steps = network.tensors().into_iter().map(|(.., parameter)| parameter.steps()).max();
    let progress = Progress {
        step: steps.unwrap_or(0),
        optimizer: String::new(),
        counts: Vec::new(),
        state: String::new(),
    };
    encode_checkpoint(network, notes, progress)
        .map(container::File::into_bytes)
        .map_err(|message| Error::input(Path::new("this network"), message))
}

/// Loads a network of Zor's own layers; [`load_with`] supports others.
///
/// From a checkpoint, optimizer state, charges and history are restored too.
///
/// # Errors
/// When the file cannot be read, or is not a valid model file.
pub fn load(path: &Path, device: &Device) -> Result<(Network, Header)> {
    load_with(path, device, &Registry::default())
}

/// Loads a network of layers whose kinds are in a registry.
///
/// # Errors
/// When the file cannot be read, is not a valid model file, or has a kind of layer that is not
/// registered.
pub fn load_with(path: &Path, device: &Device, registry: &Registry) -> Result<(Network, Header)> {
    decode(file::read(path)?, device, registry).map_err(|message| Error::input(path, message))
}

/// Loads a network from the contents of a file, such as an embedded one.
///
/// # Errors
/// When they are not a valid model file, or have a kind of layer that is not registered.
pub fn load_bytes(bytes: &[u8], device: &Device, registry: &Registry) -> Result<(Network, Header)> {
    let decoded = decode(file::aligned(bytes), device, registry);
    decoded.map_err(|message| Error::input(Path::new("these bytes"), message))
}

/// Loads a network whose weights stay in a memory-mapped file until they change. On the CPU they
/// are read on demand and shared between processes.
///
/// # Errors
/// Those of [`load_with`].
///
/// # Safety
/// The file must not be changed in place or truncated while the network exists. Replacing it by
/// renaming, as all functions of this crate do, is safe.
#[cfg(feature = "mmap")]
pub unsafe fn load_mapped(
    path: &Path,
    device: &Device,
    registry: &Registry,
) -> Result<(Network, Header)> {
    // SAFETY: the caller guarantees that the file does not change.
    let bytes = unsafe { file::map(path)? };
    decode(bytes, device, registry).map_err(|message| Error::input(path, message))
}

/// Reads the metadata of a file and checks its digest. Weights are hashed but not kept in memory.
///
/// # Errors
/// When the file cannot be read, or is not a valid model file.
pub fn info(path: &Path) -> Result<Header> {
    let head = file::read_head(path)?;
    head.and_then(|(head, tensors)| Header::decode(&head, tensors))
        .map_err(|message| Error::input(path, message))
}

/// Verifies a file: its digest, its structure, and that every value is finite.
///
/// # Errors
/// Names the first fault.
pub fn verify(path: &Path) -> Result<Header> {
    let bytes = file::read(path)?;
    let check = || {
        let (header, places) = look(&bytes)?;
        for record in &header.tensors {
            let (_, at) = places[&record.name];
            let size = record.size().ok_or("a tensor is too large")?;
            let values = record.dtype.read(&bytes[at..at + size], record.shape[1]);
            check_finite(&record.name, &values)?;
        }
        Ok(header)
    };
    check().map_err(|message: String| Error::input(path, message))
}

pub(crate) fn check_finite(name: &str, values: &[f32]) -> std::result::Result<(), String> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(format!("value {at} of {name} is {}, not a finite number", values[at])),
        None => Ok(()),
    }
}

/// Replaces all tensors of a network by those of a file with the same names and shapes. The network
/// may have layers of other crates.
///
/// # Errors
/// When the file is not valid, or does not fit: all tensors that are missing, superfluous or of
/// another shape are named. The network is unchanged then.
pub fn load_into(network: &mut Network, path: &Path) -> Result<Header> {
    let device = network.device().clone();
    let mut fill = |bytes: Bytes| {
        let (header, mut saved) = open(&bytes, &device)?;
        let records = header.tensors.iter().filter(|record| record.is_of_network());
        let found = records.map(|record| (record.name.clone(), record.shape)).collect();
        replace(network, &found, |name, shape| {
            saved.take(name, shape).map_err(|error| error.to_string())
        })?;
        Ok(header)
    };
    fill(file::read(path)?).map_err(|message: String| Error::input(path, message))
}

/// Replaces all tensors of a network, or none. `found` has the names and shapes of the available
/// tensors.
pub(crate) fn replace(
    network: &mut Network,
    found: &BTreeMap<String, [usize; 2]>,
    mut take: impl FnMut(&str, [usize; 2]) -> std::result::Result<Tensor<2>, String>,
) -> std::result::Result<(), String> {
    let wanted: Vec<_> =
        network.tensors().into_iter().map(|(name, _, tensor)| (name, tensor.shape())).collect();
    let mut complaints = Vec::new();
    for (name, shape) in &wanted {
        match found.get(name) {
            None => complaints.push(format!("{name} {shape:?} is missing")),
            Some(other) if other != shape => {
                complaints.push(format!("{name} is {other:?}, the network's is {shape:?}"));
            }
            Some(_) => {}
        }
    }
    let known: BTreeSet<&String> = wanted.iter().map(|(name, _)| name).collect();
    let extra = found.keys().filter(|name| !known.contains(name));
    complaints.extend(extra.map(|name| format!("the network has no {name}")));
    if !complaints.is_empty() {
        return Err(format!("it does not fit the network: {}", complaints.join("; ")));
    }
    let mut values = BTreeMap::new();
    for (name, shape) in wanted {
        let value = take(&name, shape)?;
        values.insert(name, value);
    }
    let mut failed = None;
    let visited = network.for_each_tensor(|name, parameter| {
        let value = values.remove(name).ok_or_else(|| format!("{name} has no value"));
        let set = value.and_then(|value| parameter.set_value(value).map_err(|e| e.to_string()));
        failed = failed.take().or(set.err());
    });
    visited.map_err(|error| error.to_string())?;
    match (failed, values.keys().next()) {
        (Some(error), _) => Err(error),
        (None, Some(left)) => Err(format!("no layer took {left}")),
        (None, None) => Ok(()),
    }
}

pub(crate) fn encode(
    network: &Network,
    mut header: Header,
    dtype: DType,
) -> std::result::Result<File, String> {
    let mut tensors = Vec::new();
    for (name, role, parameter) in network.tensors() {
        let purpose = Purpose::from(role);
        let dtype = if purpose == Purpose::Trained { dtype } else { DType::F32 };
        push(&mut header, &mut tensors, (name, purpose, dtype), &parameter.value())?;
    }
    container::encode(&header.encode()?, tensors)
}

/// Name of the tensor with the mean absolute error of each step.
const ERRORS: &str = "mae";
/// Name of the tensor with one minus that error, in older files.
const ERRORS_FROM_ONE: &str = "history";

pub(crate) fn encode_checkpoint(
    network: &Network,
    notes: &BTreeMap<String, String>,
    progress: Progress,
) -> std::result::Result<File, String> {
    let mut header = Header::of(network, notes)?;
    let (mut tensors, mut owners) = (Vec::new(), Vec::new());
    let full = DType::F32;
    for (name, role, parameter) in network.tensors() {
        let state = parameter.state();
        if state.foreign.is_some() {
            return Err(format!(
                "the state of the optimizer '{}' for {name} has a type that cannot be saved; that of AdamW, Muon and SGD can",
                progress.optimizer
            ));
        }
        push(&mut header, &mut tensors, (name.clone(), role.into(), full), &parameter.value())?;
        if let Some(record) = header.tensors.last_mut() {
            record.steps = parameter.steps();
        }
        if role == Role::Trained && parameter.steps() > 0 {
            owners.extend(Ownership::of(&name, state));
        }
        for (index, kept) in state.tensors.iter().enumerate() {
            let name = format!("optimizer/{name}/{index}");
            push(&mut header, &mut tensors, (name, Purpose::Optimizer, full), kept)?;
        }
    }
    let CarriedState { tensors: kept, mut counts } = network.carried_state();
    counts.extend(owners);
    for (name, tensor) in kept {
        push(&mut header, &mut tensors, (name, Purpose::Remembered, full), &tensor)?;
    }
    if !network.history().is_empty() {
        let history = TensorData::new(network.history().to_vec(), [1, network.history().len()]);
        let history = Tensor::from_data(history, network.device());
        push(&mut header, &mut tensors, (ERRORS.to_owned(), Purpose::History, full), &history)?;
    }
    header.progress = Some(Progress { counts, ..progress });
    container::encode(&header.encode()?, tensors)
}

fn push(
    header: &mut Header,
    tensors: &mut Vec<u8>,
    (name, purpose, dtype): (String, Purpose, DType),
    value: &Tensor<2>,
) -> std::result::Result<(), String> {
    let shape = value.dims();
    let data = value.clone().try_into_data();
    let data = data.map_err(|error| format!("{name}: cannot be read from the device: {error}"))?;
    let values = data.as_slice::<f32>().map_err(|error| format!("{name}: {error:?}"))?;
    dtype.write(values, shape[1], tensors).map_err(|error| format!("{name}: {error}"))?;
    container::align(tensors);
    header.tensors.push(TensorRecord { name, purpose, shape, dtype, steps: 0 });
    Ok(())
}

/// Owner and first step of each optimizer state, among the counts of a [`Progress`].
///
/// `optimizer/NAME/owner/OWNER` is the number of steps of the parameter before the owner's first
/// step, `optimizer/NAME/schedule/HEXADECIMAL` the number before the first step of its schedule.
struct Ownership;

impl Ownership {
    fn of(name: &str, state: &OptimizerState) -> [(String, u64); 2] {
        [
            (format!("optimizer/{name}/owner/{}", state.owner), state.began),
            (format!("optimizer/{name}/schedule/{:x}", state.schedule), state.schedule_began),
        ]
    }

    fn is(count: &(String, u64)) -> bool {
        count.0.starts_with("optimizer/")
    }

    /// Restores the owner of a parameter's state. Files from before owners were recorded name only
    /// the optimizer of the whole training.
    fn restore(
        name: &str,
        progress: Option<&Progress>,
        state: &mut OptimizerState,
    ) -> std::result::Result<(), String> {
        let Some(progress) = progress else { return Ok(()) };
        let find = |what: &str| {
            let start = format!("optimizer/{name}/{what}/");
            let counts = progress.counts.iter();
            counts.filter_map(|(key, n)| Some((key.strip_prefix(&start)?.to_owned(), *n))).next()
        };
        match find("owner") {
            Some((owner, began)) => (state.owner, state.began) = (owner, began),
            None if !progress.counts.iter().any(Self::is) => {
                state.owner = match progress.optimizer.as_str() {
                    "adam" | "adamw" => "adamw".to_owned(),
                    known @ ("muon" | "sgd") => known.to_owned(),
                    _ => String::new(),
                };
            }
            None => {}
        }
        if let Some((schedule, began)) = find("schedule") {
            state.schedule = u64::from_str_radix(&schedule, 16).map_err(|_| {
                format!("the schedule of {name} is '{schedule}', not a hexadecimal number")
            })?;
            state.schedule_began = began;
        }
        Ok(())
    }
}

/// Offsets of the tensors of a file, by name.
type Places = BTreeMap<String, (TensorRecord, usize)>;

/// The tensors of a file, in its bytes.
pub(crate) struct Saved<'a> {
    bytes: Bytes,
    device: &'a Device,
    places: Places,
}

/// Opens the tensors of a file for a device.
pub(crate) fn open<'a>(
    bytes: &Bytes,
    device: &'a Device,
) -> std::result::Result<(Header, Saved<'a>), String> {
    let (header, places) = look(bytes)?;
    Ok((header, Saved { bytes: bytes.clone(), device, places }))
}

/// Checks the digest, reads the description, and finds the tensors.
fn look(bytes: &Bytes) -> std::result::Result<(Header, Places), String> {
    let container = container::decode(bytes)?;
    let header = Header::decode(container.description, container.tensors)?;
    let mut at = container.tensors_at;
    let mut places = BTreeMap::new();
    for record in &header.tensors {
        places.insert(record.name.clone(), (record.clone(), at));
        // `Header::decode` has checked the sum of the sizes.
        at += record.size().unwrap_or(0).next_multiple_of(ALIGNMENT);
    }
    Ok((header, places))
}

impl Saved<'_> {
    fn tensor(&self, record: &TensorRecord, at: usize) -> std::result::Result<Tensor<2>, String> {
        let size = record.size().ok_or("a tensor is too large")?;
        let view = self.bytes.view(at, at + size).map_err(|error| format!("{error:?}"))?;
        let as_it_lies = record.dtype == DType::F32 && cfg!(target_endian = "little");
        let data = if as_it_lies {
            TensorData::try_from_bytes(view, record.shape, tensor::DType::F32)
                .map_err(|error| format!("{}: {error:?}", record.name))?
        } else {
            TensorData::new(record.dtype.read(&view, record.shape[1]), record.shape)
        };
        Ok(Tensor::from_data(data, self.device))
    }
}

impl WeightSource for Saved<'_> {
    fn take(&mut self, name: &str, shape: [usize; 2]) -> zor_core::Result<Tensor<2>> {
        let Some((record, at)) = self.places.get(name).filter(|place| place.0.is_of_network())
        else {
            return Err(zor_core::Error::setting(format!("the file has no tensor {name}")));
        };
        if record.shape != shape {
            return Err(zor_core::Error::shape(format!(
                "{name} is {:?} in the file; the layer needs {shape:?}",
                record.shape
            )));
        }
        let tensor = self.tensor(record, *at).map_err(zor_core::Error::setting)?;
        self.places.remove(name);
        Ok(tensor)
    }
}

pub(crate) fn decode(
    bytes: Bytes,
    device: &Device,
    registry: &Registry,
) -> std::result::Result<(Network, Header), String> {
    let (header, mut saved) = open(&bytes, device)?;
    let mut builder = Network::builder(&header.input_shape).rule(header.rule.clone());
    for record in &header.layers {
        builder = builder.boxed_layer(registry.read(&record.kind, record.config.clone())?);
    }
    let mut network = builder.build_from(&mut saved, device).map_err(|e| e.to_string())?;
    continue_training(&mut network, &header, &mut saved)?;
    let extra: Vec<&str> = saved.places.keys().map(String::as_str).collect();
    if !extra.is_empty() {
        return Err(format!("it has tensors that no layer has: {}", extra.join(", ")));
    }
    Ok((network, header))
}

/// Restores the state of the optimizer and of the layers.
fn continue_training(
    network: &mut Network,
    header: &Header,
    saved: &mut Saved<'_>,
) -> std::result::Result<(), String> {
    let steps: BTreeMap<&str, u64> =
        header.tensors.iter().map(|record| (record.name.as_str(), record.steps)).collect();
    let mut take = |name: &str, purpose: Purpose| {
        let place = saved.places.get(name).filter(|place| place.0.purpose == purpose).cloned();
        let Some((record, at)) = place else { return Ok(None) };
        saved.places.remove(name);
        saved.tensor(&record, at).map(Some)
    };
    let mut failed = None;
    let progress = header.progress.as_ref();
    let trained: BTreeSet<&str> = {
        let records = header.tensors.iter().filter(|t| t.purpose == Purpose::Trained);
        records.map(|record| record.name.as_str()).collect()
    };
    let visited = network.for_each_tensor(|name, parameter| {
        let mut restore = |parameter: &mut Parameter| {
            let mut state = OptimizerState::default();
            if trained.contains(name) {
                Ownership::restore(name, progress, &mut state)?;
            }
            for index in 0.. {
                match take(&format!("optimizer/{name}/{index}"), Purpose::Optimizer)? {
                    Some(tensor) => state.tensors.push(tensor),
                    None => break,
                }
            }
            let steps = steps.get(name).copied().unwrap_or(0);
            parameter.set_state(state, steps).map_err(|error| format!("{name}: {error}"))
        };
        if let Err(error) = restore(parameter) {
            failed.get_or_insert(error);
        }
    });
    visited.map_err(|error| error.to_string())?;
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(errors) = take(ERRORS, Purpose::History)? {
        network.set_history(errors.into_data().iter::<f32>().collect());
    } else if let Some(rest) = take(ERRORS_FROM_ONE, Purpose::History)? {
        network.set_history(rest.into_data().iter::<f32>().map(|rest| 1.0 - rest).collect());
    }
    let remembered = header.tensors.iter().filter(|t| t.purpose == Purpose::Remembered);
    let mut tensors = Vec::new();
    for record in remembered {
        let tensor = take(&record.name, Purpose::Remembered)?;
        tensors.extend(tensor.map(|tensor| (record.name.clone(), tensor)));
    }
    let counts = progress.map(|progress| progress.counts.iter());
    let counts = counts.into_iter().flatten().filter(|count| !Ownership::is(count)).cloned();
    let counts = counts.collect();
    network.set_carried_state(CarriedState { tensors, counts }).map_err(|error| error.to_string())
}
