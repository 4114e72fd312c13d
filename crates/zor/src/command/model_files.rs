//! `zor info`, `zor verify` and `zor convert` for model files.

use std::path::Path;

use crate::export::DType;
use crate::prelude::{Device, Network};
use crate::training::run_folder::{self as run, RunRecord, RunState};
use crate::{Error, ErrorKind, Result, compile, io, shown};

use super::arguments::ConvertArguments;
use crate::run::outputs;

/// File format, from the file extension.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Zor,
    Safetensors,
    Npz,
    Zore,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "zor" => Some(Self::Zor),
            "safetensors" => Some(Self::Safetensors),
            "npz" => Some(Self::Npz),
            "zore" => Some(Self::Zore),
            _ => None,
        }
    }
}

/// `zor info`.
pub(super) fn info(file: &Path) -> Result<()> {
    if file.is_dir()
        && let folder = run::run_folder(file)?
        && let Some(record) = RunRecord::read(&folder)?
    {
        let state = match record.state {
            RunState::Running if !run::is_under_way(&folder) => "ended unexpectedly".to_owned(),
            state => format!("{state:?}").to_lowercase(),
        };
        let reason = record.message.map_or(String::new(), |message| format!(": {message}"));
        let (step, steps) = (record.step, record.steps);
        say!("{}: run {}, {state}{reason}, step {step} of {steps}", shown(&folder), record.run);
    }
    let file = &run::model_file(file)?;
    if Format::of(file) == Some(Format::Zore) {
        return program_info(file);
    }
    if Format::of(file) == Some(Format::Safetensors) {
        let contents = io::safetensors::info(file)?;
        say!("{}: safetensors, {} tensors", shown(file), contents.tensors.len());
        for (name, tensor) in contents.tensors {
            say!("tensor {name}: {:?} {}", tensor.shape, tensor.dtype);
        }
        contents.metadata.iter().for_each(|(key, value)| say!("{key}: {value}"));
        return Ok(());
    }
    let header = io::info(file)?;
    let kind = if header.progress.is_some() { "checkpoint" } else { "model" };
    say!("{}: Zor {kind}, {} parameters, digest valid", shown(file), header.n_parameters());
    say!("input {:?}", header.input_shape);
    for (position, layer) in header.layers.iter().enumerate() {
        say!("layer {position}: {} {}", layer.kind, layer.config);
    }
    for tensor in &header.tensors {
        let [rows, columns] = tensor.shape;
        say!("tensor {}: {rows}x{columns} {}", tensor.name, tensor.dtype.name());
    }
    let rule = serde_json::to_string(&header.rule)
        .map_err(|error| Error::new(ErrorKind::Input, error.to_string()))?;
    say!("rule: {rule}");
    header.notes.iter().for_each(|(key, value)| say!("{key}: {value}"));
    if let Some(progress) = &header.progress {
        say!("training: after step {} with {}", progress.step, progress.optimizer);
    }
    Ok(())
}

/// Prints the header and layers of a .zore program.
fn program_info(file: &Path) -> Result<()> {
    let program = compile::Program::load(file)?;
    let network = program.network()?;
    let dtype = if network.dtype() == DType::I8 { "int8" } else { "f32" };
    let shape = |shape: [usize; 3]| shape.map(|size| size.to_string()).join("x");
    say!(
        "{}: program for zor-edge, {dtype}, {} bytes, checksum valid",
        shown(file),
        program.bytes().len()
    );
    say!("input {}", shape(network.input_shape()));
    for (position, layer) in network.layers().enumerate() {
        let gate =
            layer.threshold.map_or(String::new(), |threshold| format!(", gate > {threshold}"));
        let output = shape(layer.geometry.output());
        say!("layer {position}: {:?} -> {output}{gate}, then {:?}", layer.kind, layer.activation);
    }
    say!("scratch memory: {} numbers", network.scratch_len());
    if let Ok(detector) = program.detector() {
        let scoring = detector.scoring();
        say!(
            "detector: {} numbers in, {} passes, alarm above {:.4}, scratch memory: {} numbers",
            detector.row_len(),
            scoring.passes(),
            scoring.threshold,
            detector.scratch_len()
        );
    }
    Ok(())
}

/// `zor verify`.
pub(super) fn verify(file: &Path) -> Result<()> {
    let file = &run::model_file(file)?;
    let place = shown(file);
    if Format::of(file) == Some(Format::Zore) {
        compile::Program::load(file)?;
        say!("{place}: checksum valid, every layer is supported");
        return Ok(());
    }
    if Format::of(file) == Some(Format::Safetensors) {
        let verified = io::safetensors::verify(file)?;
        let digest = match verified.has_digest {
            true => "digest valid",
            false => "no digest file, so damage to its values cannot be detected",
        };
        let values = match verified.unchecked.as_slice() {
            [] => "values finite".to_owned(),
            names => {
                format!("values finite except in {}, which were not checked", names.join(", "))
            }
        };
        say!("{place}: structure valid, {values}, {digest}");
        return Ok(());
    }
    io::verify(file)?;
    say!("{place}: digest valid, values finite");
    Ok(())
}

/// `zor convert`.
pub(super) fn convert(arguments: &ConvertArguments) -> Result<()> {
    let (from, to) = (&run::model_file(&arguments.from)?, &arguments.to);
    let like = arguments.like.as_deref().map(run::model_file).transpose()?;
    outputs::check(to, [from.as_path()].into_iter().chain(like.as_deref()))?;
    let unknown = |path: &Path| {
        Error::input(format!(
            "{}: unknown file format; use .zor, .safetensors or, for output only, .npz",
            shown(path)
        ))
    };
    let target = Format::of(to).ok_or_else(|| unknown(to))?;
    for path in [from, to] {
        if Format::of(path) == Some(Format::Zore) {
            let message = ".zore programs are written by `zor export` and not read back";
            return Err(Error::input(format!("{}: {message}", shown(path))));
        }
    }
    let device = crate::device("auto")?;
    let (network, notes) = match Format::of(from) {
        Some(Format::Zor) if like.is_some() => {
            return Err(Error::in_file(
                from,
                "--like has no effect here: a .zor file contains its architecture; --like is for .safetensors files",
            ));
        }
        Some(Format::Zor) => {
            let (network, header) = io::load(from, &device)?;
            (network, header.notes)
        }
        Some(Format::Safetensors) => read_safetensors(from, like.as_deref(), &device)?,
        Some(Format::Npz) => {
            let message = "Zor writes .npz and does not read it; save .safetensors from Python";
            return Err(Error::input(format!("{}: {message}", shown(from))));
        }
        Some(Format::Zore) | None => return Err(unknown(from)),
    };
    if target != Format::Zor && arguments.dtype != io::DType::F32 {
        return Err(Error::input(format!(
            "--dtype {} is for .zor files; others are written as f32",
            arguments.dtype.name()
        )));
    }
    match target {
        Format::Zor => io::save_as(&network, &notes, arguments.dtype, to)?,
        Format::Safetensors => {
            io::safetensors::save(&network, &notes, io::safetensors::Sidecar::Sha256, to)?;
        }
        Format::Npz => io::npz::save(&network, to)?,
        Format::Zore => return Err(unknown(to)),
    }
    say!("written to {}", shown(to));
    Ok(())
}

type Notes = std::collections::BTreeMap<String, String>;

fn read_safetensors(path: &Path, like: Option<&Path>, device: &Device) -> Result<(Network, Notes)> {
    let Some(like) = like else {
        let (network, header) = io::safetensors::load(path, device, &io::Registry::default())?;
        return Ok((network, header.notes));
    };
    let (mut network, header) = io::load(like, device)?;
    io::safetensors::load_into(&mut network, path)?;
    Ok((network, header.notes))
}
