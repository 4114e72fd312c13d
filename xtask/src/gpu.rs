//! Packs a folder to measure Zor on a machine with a GPU, without needing one: `cargo xtask gpu`.
//!
//! `target/gpu` receives the command with `cuda` and `vulkan`, the libraries that a bare machine
//! may lack, the expected time of each step, and a script that takes five minutes. `--kernels`
//! compiles and assembles the kernels; see [`kernels`].

mod cost;
mod kernels;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo;
use crate::paths::{self, root};
pub(crate) use kernels::{page, run as show_kernels};
use tools::Tools;

/// Files that are packed with the command and its libraries.
const FILES: [&str; 2] = ["xtask/gpu/run.sh", "benches/peers/gpu_mlp.py"];
/// Maximum bytes of program and libraries, for one upload to a machine that is lent for minutes.
const MAX_BYTES: u64 = 60 << 20;
/// Default features of the command.
const FEATURES: &str = "cuda,vulkan";

/// Packs the command with these features, by default `cuda,vulkan`.
pub(crate) fn pack(features: Option<&str>) -> Result<(), String> {
    let features = features.unwrap_or(FEATURES);
    let has = |feature: &str| features.split([',', ' ']).any(|one| one == feature);
    let tools = if has("cuda") { Some(Tools::set_up()?) } else { None };
    let program = build(features, tools.as_ref())?;
    let mut package = Package { folder: paths::target().join("gpu"), bytes: 0 };
    for file in FILES {
        let from = root().join(file);
        package.add(&from, Path::new(name(&from)))?;
    }
    let made = paths::target().join("gpu-expected.tsv");
    fs::write(&made, cost::expected()).map_err(|e| format!("{}: {e}", made.display()))?;
    package.add(&made, Path::new("expected.tsv"))?;
    let compressed = paths::target().join("gpu-zor.gz");
    compress(&program, &compressed)?;
    package.add(&compressed, Path::new("zor.gz"))?;
    for (place, library) in libraries(has("vulkan") || has("wgpu")) {
        package.add(&library, &Path::new("lib").join(place).join(name(&library)))?;
    }
    if let Some(tools) = tools {
        let place = Path::new("cuda").join(Tools::LIBDEVICE);
        package.add(&tools.cuda().join(Tools::LIBDEVICE), &place)?;
        for (name, path) in tools.licenses()? {
            package.add(&path, &Path::new("licenses").join(name))?;
        }
    }
    let Package { folder, bytes } = package;
    println!(
        "\nprogram {:.1} MB, compressed, with libraries {:.1} MB",
        mb(file_size(&program)?),
        mb(bytes)
    );
    if let Some(glibc) = newest_glibc(&program) {
        println!("it runs on Linux with glibc {glibc} or newer");
    }
    if bytes > MAX_BYTES {
        return Err(format!("{} has more than {:.0} MB", folder.display(), mb(MAX_BYTES)));
    }
    match std::env::var_os("ZOR_DATA_DIR") {
        Some(data) => copy_all(Path::new(&data), &folder.join("data"))?,
        None => println!(
            "ZOR_DATA_DIR is not set: set it on the machine, or put fashion-mnist and cifar-10-batches-bin into {}/data",
            folder.display()
        ),
    }
    println!(
        "copy {} to a machine with a GPU and run ./run.sh there; results/ receives the results",
        folder.display()
    );
    Ok(())
}

/// The packed folder. Other files in it, such as results, stay.
struct Package {
    folder: PathBuf,
    bytes: u64,
}

impl Package {
    fn add(&mut self, from: &Path, to: &Path) -> Result<(), String> {
        copy(from, &self.folder.join(to))?;
        self.bytes += file_size(from)?;
        Ok(())
    }
}

/// Builds the command in release and returns its path.
fn build(features: &str, tools: Option<&Tools>) -> Result<PathBuf, String> {
    let home = tools.map(|tools| tools.data_home().to_string_lossy().into_owned());
    let variables: Vec<(&str, &str)> =
        home.iter().map(|home| ("XDG_DATA_HOME", home.as_str())).collect();
    let build = ["build", "--release", "--package", "zor-cli", "--features", features];
    cargo::run_with(&format!("the command with {features}"), &build, &variables)
        .map_err(|e| format!("{e}; with `cuda` a C++ compiler is needed (on Debian g++)"))?;
    Ok(paths::program())
}

/// Compresses a file with gzip, which every Linux can decompress.
fn compress(from: &Path, to: &Path) -> Result<(), String> {
    let file = fs::File::create(to).map_err(|e| format!("{}: {e}", to.display()))?;
    let status = Command::new("gzip").args(["-9", "--stdout"]).arg(from).stdout(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("gzip could not compress {}", from.display())),
        Err(error) => Err(format!("gzip: {error}")),
    }
}

/// Returns libraries that the command needs and a bare machine may lack, each with the folder to
/// pack it in: those of C++, for LLVM, and the Vulkan loader.
fn libraries(vulkan: bool) -> Vec<(&'static str, PathBuf)> {
    let mut found = Vec::new();
    for name in ["libstdc++.so.6", "libgcc_s.so.1"] {
        let path = output("c++", &[&format!("-print-file-name={name}")]);
        let path = path.map(PathBuf::from).filter(|path| path.exists());
        found.extend(path.map(|path| ("c++", path)));
    }
    if vulkan {
        let cache = output("ldconfig", &["-p"]).or_else(|| output("/sbin/ldconfig", &["-p"]));
        let loader = cache.as_deref().unwrap_or_default().lines().find_map(|line| {
            line.trim().starts_with("libvulkan.so.1 ").then(|| line.split("=> ").nth(1)).flatten()
        });
        match loader {
            Some(loader) => found.push(("vulkan", PathBuf::from(loader))),
            None => println!(
                "no Vulkan loader is packed: install it here (on Debian libvulkan1), or on the machine with the GPU"
            ),
        }
    }
    found
}

/// Returns the newest version of glibc whose functions a program calls.
fn newest_glibc(program: &Path) -> Option<String> {
    let table = output("objdump", &["-T", &program.to_string_lossy()])?;
    let versions = table.split("GLIBC_").skip(1).filter_map(|rest| {
        let version: String =
            rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let numbers: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
        numbers.map(|numbers| (numbers, version))
    });
    versions.max().map(|(_, version)| version)
}

/// Returns the trimmed standard output of a program, if it succeeds and prints something.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text).filter(|text| !text.is_empty())
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn file_size(path: &Path) -> Result<u64, String> {
    fs::metadata(path).map(|file| file.len()).map_err(|e| format!("{}: {e}", path.display()))
}

fn name(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}

fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    let entries = fs::read_dir(from).map_err(|e| format!("{}: {e}", from.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let to = to.join(name(&path));
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
