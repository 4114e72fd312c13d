//! `zor train`: trains a task's network and writes the model, metrics and pictures to a run folder.

use std::fs;
use std::path::{Path, PathBuf};

use zor_data::table::Table;

use super::arguments::TrainArguments;
use super::progress::Shown;
use super::{absolute, interrupt};
use crate::run::Request;
use crate::settings::Options;
use crate::{Error, ErrorKind, Result, shown};

pub(super) fn run(arguments: &TrainArguments) -> Result<()> {
    interrupt::watch()?;
    let others = match (&arguments.resume, &arguments.config) {
        (None, Some(path)) => read_config(path)?,
        _ => Options::default(),
    };
    let request = Request {
        options: arguments.options()?.or(others),
        out: arguments.out.clone(),
        overwrite: arguments.overwrite,
        resume: arguments.resume.clone(),
        from: arguments.from.clone(),
        config: arguments.config.clone(),
        checkpoint_every: arguments.checkpoint_every,
        keep: arguments.keep,
    };
    let mut shown = Shown::default();
    let prepared = request.prepare(&mut shown)?;
    set_threads(prepared.settings().threads)?;
    let finished = prepared.run(&mut shown)?;
    let table = finished.table();
    if arguments.json {
        tell!("{table}");
        say!("{}", finished.to_json());
    } else {
        say!("{table}");
    }
    finished.failure.map_or(Ok(()), Err)
}

/// Sets the number of threads of the process; `None` uses one per core.
pub(super) fn set_threads(threads: Option<usize>) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
    pool.build_global()
        .map_err(|error| Error::new(ErrorKind::Device, format!("cannot start threads: {error}")))
}

/// Reads a settings file. Relative paths in it are resolved against its folder.
fn read_config(path: &Path) -> Result<Options> {
    let text = match fs::metadata(path) {
        Ok(about) if about.is_file() => fs::read_to_string(path),
        Ok(_) => {
            return Err(Error::in_file(
                path,
                "it is not a regular file (a folder, a pipe or a device)",
            ));
        }
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::in_file(path, "there is no such file"),
        std::io::ErrorKind::InvalidData => Error::in_file(path, "it is not text in UTF-8"),
        _ => Error::file_system(path, "read it", &error),
    })?;
    let mut options =
        Options::parse(&text).map_err(|error| Error::input(format!("{}, {error}", shown(path))))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for key in ["data", "data_dir"] {
        let Some(place) = options.get::<PathBuf>(key) else { continue };
        if place.as_os_str().is_empty() {
            let message = format!("{key} is empty; give a path, or leave it out");
            return Err(Error::in_file(path, message));
        }
        let place = if Table::is_standard_input(&place) { place } else { folder.join(place) };
        options.set(key, absolute(&place)?.to_string_lossy().into_owned())?;
    }
    Ok(options)
}
