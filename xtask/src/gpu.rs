//! A folder with all that is measured on a machine with a GPU: the command, the data, a script.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::root;

/// What goes into it beside the command and the data.
const FILES: [&str; 2] = ["xtask/gpu/run.sh", "benches/peers/gpu_mlp.py"];

/// Builds the command with these features, and fills `target/gpu`. Data sets are taken from `ZOR_DATA_DIR`.
pub(crate) fn run(features: &str) -> Result<(), String> {
    let build = ["build", "--release", "--package", "zor-cli", "--features", features];
    let built = Command::new(env!("CARGO")).args(build).current_dir(root()).status();
    if !built.map_err(|e| format!("cargo: {e}"))?.success() {
        return Err("the command could not be built".to_owned());
    }
    let target = crate::target();
    let folder = target.join("gpu");
    let program = format!("zor{}", std::env::consts::EXE_SUFFIX);
    copy(&target.join("release").join(&program), &folder.join(&program))?;
    for file in FILES {
        let from = root().join(file);
        let name = from.file_name().ok_or("a file without a name")?;
        copy(&from, &folder.join(name))?;
    }
    match std::env::var_os("ZOR_DATA_DIR") {
        Some(data) => copy_all(Path::new(&data), &folder.join("data"))?,
        None => println!(
            "ZOR_DATA_DIR is not set: put fashion-mnist and cifar-10 into {}/data",
            folder.display()
        ),
    }
    println!(
        "copy {} to a machine with a GPU and run ./run.sh there; results/ has what it found",
        folder.display()
    );
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    let entries = fs::read_dir(from).map_err(|e| format!("{}: {e}", from.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() { copy_all(&path, &to)? } else { copy(&path, &to)? }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let error = |e: std::io::Error| format!("{} to {}: {e}", from.display(), to.display());
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(error)?;
    }
    fs::copy(from, to).map(|_| ()).map_err(error)
}
