//! Compiles the kernels for NVIDIA cards as on a card, and assembles them with `ptxas`, without a
//! card.
//!
//! The command runs with `xtask/recorder` in place of the NVIDIA driver: it compiles and launches
//! kernels as usual, and the recorder logs them. The table has the kernels of the device checks, of
//! the timed matrix products and steps, and of every preset. The launches of a step are compared
//! with the counts of [`super::cost`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use zor::settings::Precision;

use super::tools::Tools;
use super::{FEATURES, build, cost};
use crate::paths::root;
use crate::results;

/// Compute capabilities of an A100 and an H200, and their names for `ptxas`.
const TARGETS: [(&str, &str); 2] = [("80", "sm_80"), ("90", "sm_90a")];

/// A run of the command, and a text that its complete output contains.
struct Part {
    name: String,
    arguments: String,
    shows: &'static str,
}

impl Part {
    fn new(name: &str, arguments: String, shows: &'static str) -> Self {
        Self { name: name.to_owned(), arguments, shows }
    }

    /// The device checks. They read only zeros and fail; the part is complete when all of them ran.
    fn suite() -> Self {
        let arguments = "devices --device cuda --verify".to_owned();
        Self::new("device suite", arguments, "checks in")
    }

    fn steps(precision: Precision) -> Self {
        let name = precision.name();
        let arguments = format!("devices --device cuda --time --precision {name}");
        Self::new(&format!("steps in {name}"), arguments, "8192-8192-8192")
    }

    fn preset(preset: &str) -> Self {
        let arguments = format!(
            "train {preset} --device cuda --steps 3 --no-baseline --json --overwrite --out run"
        );
        Self::new(preset, arguments, "\"train_seconds\"")
    }
}

/// Presets for which the images in the crate suffice, and presets that need the data sets.
const PRESETS: [&str; 2] =
    ["fashion-reconstruction", "fashion-reconstruction --rule classic --optimizer adamw"];
const PRESETS_WITH_DATA: [&str; 6] = [
    "fashion-classification",
    "cifar-reconstruction",
    "cifar-colorization",
    "cifar-classification --test-time-flip --test-time-shift",
    "cifar-classification --network airbench --test-time-flip --test-time-shift",
    "cifar-classification --network airbench --test-time-flip --precision bf16",
];

/// A recorded kernel.
struct Recorded {
    name: String,
    ptx: PathBuf,
    launches: usize,
    /// Maximum bytes of shared memory of a launch.
    shared: u64,
}

/// The launches of a part: its kernels, and the number of launches between reads of the host.
struct Recording {
    kernels: Vec<Recorded>,
    between_reads: Vec<usize>,
}

/// Resources of a kernel, from `ptxas`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Assembled {
    registers: u64,
    /// Bytes of spilled registers.
    spilled: u64,
    stack: u64,
    shared: u64,
}

impl Assembled {
    fn max(self, other: Self) -> Self {
        Self {
            registers: self.registers.max(other.registers),
            spilled: self.spilled.max(other.spilled),
            stack: self.stack.max(other.stack),
            shared: self.shared.max(other.shared),
        }
    }

    fn json(self) -> Value {
        let Self { registers, spilled, stack, shared } = self;
        json!({ "registers": registers, "spilled": spilled, "stack": stack, "shared": shared })
    }
}

/// All variants of a kernel.
#[derive(Default)]
struct Row {
    parts: BTreeSet<String>,
    variants: BTreeSet<String>,
    launches: usize,
    assembled: [Assembled; 2],
}

/// Records, assembles, prints the tables, and fails if a kernel of Zor spills or the launches of a
/// step differ from the count.
pub(crate) fn run(write: bool) -> Result<(), String> {
    let tools = Tools::set_up()?;
    let program = build(FEATURES, Some(&tools))?;
    let folder = crate::paths::target().join("gpu-kernels");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let driver = build_recorder(&folder)?;
    let recorder = Recorder { program, driver, cuda: tools.cuda(), folder };
    let mut rows = BTreeMap::new();
    let mut steps = Vec::new();
    let mut wrong = Vec::new();
    for part in parts() {
        println!("recording {}", part.name);
        for (target, (capability, assembler_name)) in TARGETS.iter().enumerate() {
            let (recording, shown) = recorder.run(&part, capability)?;
            for kernel in &recording.kernels {
                let (name, variant) = base_and_variant(&kernel.name);
                let row: &mut Row = rows.entry(name.to_owned()).or_default();
                let mut assembled = assemble(&tools.ptxas(), assembler_name, &kernel.ptx)?;
                assembled.shared += kernel.shared;
                row.assembled[target] = row.assembled[target].max(assembled);
                row.variants.insert(variant.to_owned());
                row.parts.insert(part.name.clone());
                // Both targets have the same launches; those of the second count.
                row.launches += if target == 1 { kernel.launches } else { 0 };
            }
            if target == 1 && part.name.starts_with("steps in") {
                steps.extend(launches(&part, &recording, &shown, &mut wrong)?);
            }
        }
    }
    let own = own_kernels()?;
    show(&rows, &own);
    let missing: Vec<&String> = own.iter().filter(|name| !rows.contains_key(*name)).collect();
    for name in &missing {
        println!("{name}: not compiled, because no part launches it");
    }
    for (name, row) in rows.iter().filter(|(name, _)| own.contains(*name)) {
        let spilled = row.assembled.iter().map(|one| one.spilled).max().unwrap_or_default();
        if spilled > 0 {
            wrong.push(format!("{name} spills {spilled} bytes"));
        }
    }
    if write {
        results::write("gpu", &json(&rows, &own, &steps, &version(&tools.ptxas())))?;
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

fn parts() -> Vec<Part> {
    let mut parts = vec![Part::suite()];
    parts.extend(Precision::ALL.map(Part::steps));
    parts.extend(PRESETS.map(Part::preset));
    match std::env::var_os("ZOR_DATA_DIR") {
        Some(_) => parts.extend(PRESETS_WITH_DATA.map(Part::preset)),
        None => println!("ZOR_DATA_DIR is not set: {} are left out", PRESETS_WITH_DATA.join(", ")),
    }
    parts
}

/// Builds the library that replaces the NVIDIA driver, and copies it to a separate folder under the
/// name of the driver.
fn build_recorder(folder: &Path) -> Result<PathBuf, String> {
    crate::cargo::run("recorder", &["build", "--release", "--package", "recorder"])?;
    let driver = folder.join("driver");
    let built = crate::paths::target().join("release/librecorder.so");
    super::copy(&built, &driver.join("libcuda.so"))?;
    Ok(driver)
}

struct Recorder {
    program: PathBuf,
    driver: PathBuf,
    cuda: PathBuf,
    folder: PathBuf,
}

impl Recorder {
    /// Runs a part and returns its launches and its output.
    fn run(&self, part: &Part, capability: &str) -> Result<(Recording, String), String> {
        let name: String = part.name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        let folder = self.folder.join(format!("{name}-{capability}"));
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let output = Command::new(&self.program)
            .args(part.arguments.split_whitespace())
            .current_dir(&folder)
            .env("LD_LIBRARY_PATH", &self.driver)
            .env("CUDA_PATH", &self.cuda)
            .env("RECORDER_FOLDER", &folder)
            .env("RECORDER_CAPABILITY", capability)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("{}: {e}", self.program.display()))?;
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        if !shown.contains(part.shows) {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: its output is incomplete: {}", part.name, error.trim()));
        }
        Ok((Recording::read(&folder)?, shown))
    }
}

impl Recording {
    fn read(folder: &Path) -> Result<Self, String> {
        let log = folder.join("log");
        let text = fs::read_to_string(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let mut recording = Self { kernels: Vec::new(), between_reads: vec![0] };
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["launch", kernel, .., shared] => {
                    let wrong = || format!("{}: {line}", log.display());
                    let number: usize = kernel.parse().map_err(|_| wrong())?;
                    recording.add(folder, number, shared.parse().map_err(|_| wrong())?)?;
                    *recording.between_reads.last_mut().ok_or_else(wrong)? += 1;
                }
                _ if recording.between_reads.last() != Some(&0) => recording.between_reads.push(0),
                _ => {}
            }
        }
        recording.kernels.retain(|kernel| kernel.launches > 0);
        Ok(recording)
    }

    /// Kernels are numbered from 1, and each is loaded before it is launched.
    fn add(&mut self, folder: &Path, number: usize, shared: u64) -> Result<(), String> {
        while self.kernels.len() < number {
            let ptx = folder.join(format!("{}.ptx", self.kernels.len() + 1));
            let text = fs::read_to_string(&ptx).map_err(|e| format!("{}: {e}", ptx.display()))?;
            let name = entry(&text).ok_or_else(|| format!("{}: no kernel in it", ptx.display()))?;
            self.kernels.push(Recorded { name: name.to_owned(), ptx, launches: 0, shared: 0 });
        }
        let kernel = &mut self.kernels[number - 1];
        kernel.launches += 1;
        kernel.shared = kernel.shared.max(shared);
        Ok(())
    }
}

/// Returns the name of the kernel in a PTX file.
fn entry(ptx: &str) -> Option<&str> {
    let (_, rest) = ptx.split_once(".entry ")?;
    rest.split('(').next().map(str::trim)
}

/// Splits the name of a kernel into its base and the digits of its variant.
fn base_and_variant(name: &str) -> (&str, &str) {
    match name.rsplit_once('_') {
        Some((base, variant)) if variant.len() == 8 => (base, variant),
        _ => (name, ""),
    }
}

fn assemble(ptxas: &Path, target: &str, ptx: &Path) -> Result<Assembled, String> {
    let output = Command::new(ptxas)
        .args(["--verbose", "--gpu-name", target, "--output-file", "/dev/null"])
        .arg(ptx)
        .output()
        .map_err(|e| format!("{}: {e}", ptxas.display()))?;
    let report = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}: not assembled for {target}: {}", ptx.display(), report.trim()));
    }
    Ok(resources(&report))
}

/// Parses the resources in the output of `ptxas --verbose`, such as `Used 24 registers, used 1
/// barriers, 1024 bytes smem, 384 bytes cmem[0]`.
fn resources(report: &str) -> Assembled {
    let words: Vec<&str> = report.split([' ', ',', '\n']).filter(|word| !word.is_empty()).collect();
    let before = |name: &[&str]| {
        let place = words.windows(name.len()).position(|some| some == name)?;
        words.get(place.checked_sub(1)?)?.parse().ok()
    };
    Assembled {
        registers: before(&["registers"]).unwrap_or_default(),
        spilled: before(&["bytes", "spill", "stores"]).unwrap_or_default(),
        stack: before(&["bytes", "stack", "frame"]).unwrap_or_default(),
        shared: before(&["bytes", "smem"]).unwrap_or_default(),
    }
}

fn version(ptxas: &Path) -> String {
    let version = super::output(&ptxas.to_string_lossy(), &["--version"]).unwrap_or_default();
    let release = version.split_once("release ").map(|(_, rest)| rest);
    release.and_then(|rest| rest.split(',').next()).unwrap_or("unknown").to_owned()
}

/// Returns the names of the kernels that zor-core defines: functions under `#[cube(launch)]`.
fn own_kernels() -> Result<BTreeSet<String>, String> {
    let folder = root().join("crates/zor-core/src/backend/cube");
    let error = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder).map_err(error)? {
        let text = fs::read_to_string(entry.map_err(error)?.path()).map_err(error)?;
        for rest in text.split("#[cube(launch)]").skip(1) {
            let name = rest.split_once("fn ").and_then(|(_, rest)| rest.split('(').next());
            names.extend(name.map(str::to_owned));
        }
    }
    Ok(names)
}

/// Returns the launches of each step, their time on the host, and the predictions.
///
/// The command reads two numbers after three warm-up steps, after three more, and after each of
/// nine rounds.
fn launches(
    part: &Part,
    recording: &Recording,
    shown: &str,
    wrong: &mut Vec<String>,
) -> Result<Vec<Value>, String> {
    const READS: usize = 11;
    const STEPS: usize = 3;
    let rounds: Vec<&[usize]> = recording.between_reads.chunks(READS).collect();
    let precision = part.name.rsplit(' ').next().unwrap_or_default();
    let costs = cost::costs().into_iter().filter(|cost| cost.precision.name() == precision);
    let mut steps = costs.clone().filter(|cost| cost.is_step()).zip(rounds);
    let mut all = Vec::new();
    for cost in costs {
        let mut found = None;
        if cost.is_step() {
            let (_, rounds) =
                steps.next().ok_or_else(|| format!("{}: too few reads", part.name))?;
            let three = rounds.get(1).copied().unwrap_or_default();
            found = Some(three / STEPS);
            if three != STEPS * cost.launches {
                wrong.push(format!(
                    "three steps of {}, batch {}, in {precision} launch {three} kernels, not 3 x {}",
                    cost.case,
                    cost.case.rows(),
                    cost.launches
                ));
            }
        }
        let host = milliseconds(shown, &cost).map(|ms| 1e3 * ms);
        all.push(json!({
            "precision": precision, "case": cost.case.to_string(), "batch": cost.case.rows(),
            "launches": found.unwrap_or(cost.launches), "gflop": cost.gflop, "mb": cost.megabytes,
            "device_us": cost.device_us, "expected_us": cost.expected_us(), "host_us_without_a_card": host,
        }));
    }
    Ok(all)
}

/// Returns the milliseconds of a case in the output of `zor devices --time`.
fn milliseconds(shown: &str, cost: &cost::Cost) -> Option<f64> {
    let (case, rows) = (cost.case.to_string(), cost.case.rows().to_string());
    shown.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, name, batch, ms, _] if name == case && batch == rows => ms.parse().ok(),
            _ => None,
        }
    })
}

fn show(rows: &BTreeMap<String, Row>, own: &BTreeSet<String>) {
    println!(
        "\n{:<60}{:>9}{:>10}{:>16}{:>14}{:>16}",
        "kernel (sm_80 / sm_90a)", "variants", "launches", "registers", "spilled", "shared bytes"
    );
    for (title, is_own) in [("zor-core", true), ("burn and cubek", false)] {
        println!("{title}");
        for (name, row) in rows.iter().filter(|(name, _)| own.contains(*name) == is_own) {
            let both = |of: fn(&Assembled) -> u64| {
                format!("{} / {}", of(&row.assembled[0]), of(&row.assembled[1]))
            };
            println!(
                "  {name:<58}{:>9}{:>10}{:>16}{:>14}{:>16}",
                row.variants.len(),
                row.launches,
                both(|one| one.registers),
                both(|one| one.spilled),
                both(|one| one.shared)
            );
        }
    }
}

fn json(
    rows: &BTreeMap<String, Row>,
    own: &BTreeSet<String>,
    steps: &[Value],
    ptxas: &str,
) -> Value {
    let kernels: Vec<Value> = rows
        .iter()
        .map(|(name, row)| {
            json!({
                "name": name, "own": own.contains(name), "variants": row.variants.len(),
                "launches": row.launches, "parts": row.parts,
                "sm_80": row.assembled[0].json(), "sm_90a": row.assembled[1].json(),
            })
        })
        .collect();
    let missing: Vec<&String> = own.iter().filter(|name| !rows.contains_key(*name)).collect();
    json!({
        "command": "cargo xtask gpu --kernels --write", "ptxas": ptxas, "steps": steps,
        "kernels": kernels, "not_launched": missing,
    })
}

/// Returns the tables of `docs/cost.md`: predictions of steps, and the kernels of Zor.
pub(crate) fn page(kept: &Value) -> String {
    let number = |value: &Value, digits: usize| match value.as_f64() {
        Some(number) => format!("{number:.digits$}"),
        None => "-".to_owned(),
    };
    let rows = |name: &str| kept[name].as_array().cloned().unwrap_or_default();
    let mut page = "| precision | product or step | batch | kernels | GFLOP | MB | expected us |\n|---|---|---|---|---|---|---|\n".to_owned();
    for step in rows("steps") {
        page += &format!(
            "| {} | {} | {} | {} | {} | {} | {} |\n",
            step["precision"].as_str().unwrap_or_default(),
            step["case"].as_str().unwrap_or_default(),
            step["batch"],
            step["launches"],
            number(&step["gflop"], 1),
            number(&step["mb"], 1),
            number(&step["expected_us"], 0),
        );
    }
    page += "\n| kernel | variants | registers, sm_80 / sm_90a | spilled bytes | shared bytes |\n|---|---|---|---|---|\n";
    for kernel in rows("kernels").iter().filter(|kernel| kernel["own"] == true) {
        let both = |what: &str| format!("{} / {}", kernel["sm_80"][what], kernel["sm_90a"][what]);
        page += &format!(
            "| `{}` | {} | {} | {} | {} |\n",
            kernel["name"].as_str().unwrap_or_default(),
            kernel["variants"],
            both("registers"),
            both("spilled"),
            both("shared"),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_assembler_says_is_read() {
        let said = "ptxas info    : Compiling entry function 'gate' for 'sm_90a'\n\
                    ptxas info    : Function properties for gate\n    \
                    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads\n\
                    ptxas info    : Used 24 registers, used 1 barriers, 1024 bytes smem, 384 bytes cmem[0]\n";
        let expected = Assembled { registers: 24, spilled: 8, stack: 16, shared: 1024 };
        assert_eq!(resources(said), expected);
        assert_eq!(resources(""), Assembled::default());
    }

    #[test]
    fn kernels_are_named_and_their_variants_told_apart() {
        assert_eq!(entry(".version 8.8\n.visible .entry gate_7155a503(\n"), Some("gate_7155a503"));
        assert_eq!(entry("nothing"), None);
        assert_eq!(base_and_variant("gate_7155a503"), ("gate", "7155a503"));
        assert_eq!(base_and_variant("max_route"), ("max_route", ""));
        let own = own_kernels().unwrap();
        assert!(own.contains("gate") && own.contains("sum_row"), "{own:?}");
    }

    #[test]
    fn a_recording_is_read_back() {
        let folder = crate::paths::target().join("tmp/recording");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("1.ptx"), ".visible .entry gate_7155a503(\n").unwrap();
        fs::write(folder.join("2.ptx"), ".visible .entry adam_7155a503(\n").unwrap();
        let log = "launch 1 1 1 1 32 1 1 0\nread\nread\nlaunch 2 1 1 1 32 1 1 64\nlaunch 1 1 1 1 32 1 1 0\n";
        fs::write(folder.join("log"), log).unwrap();
        let recording = Recording::read(&folder).unwrap();
        assert_eq!(recording.between_reads, [1, 2]);
        let found: Vec<_> = recording.kernels.iter().map(|k| (k.launches, k.shared)).collect();
        assert_eq!(found, [(2, 0), (1, 64)]);
        fs::write(folder.join("log"), "launch 3 1 1 1 32 1 1 0\n").unwrap();
        assert!(Recording::read(&folder).is_err_and(|e| e.contains("3.ptx")));
    }
}
