//! Compiles `zor-edge` for microcontrollers and the browser, and runs it in QEMU and in headless
//! Chromium.
//!
//! A part whose tool cannot be installed prints the command that failed, and is skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::paths::root;
use crate::{cargo, results};

const CORTEX_M: &str = "thumbv7em-none-eabihf";
const RISC_V: &str = "riscv32imac-unknown-none-elf";
const BROWSER: &str = "wasm32-unknown-unknown";
/// Maximum bytes of scratch memory and stack of the int8 network 784-64-784, without its program,
/// input and output.
const MAX_MEMORY: u64 = 4096;
/// The same for a score of the int8 detector of 32 values.
const MAX_SCORE_MEMORY: u64 = 2048;
/// Maximum bytes of that detector's program.
const MAX_DETECTOR: u64 = 14 << 10;
/// Maximum bytes of memory and stack of a detector that learns.
const MAX_LEARNING: u64 = 128 << 10;
/// Maximum number of alarms in 100 windows of a healthy machine, and minimum in those of a damaged
/// one.
const ALARMS: [u64; 2] = [15, 90];
const NAME: &str = "firmware";

/// Builds for all three targets, and runs the firmware and the page. `write` writes the results
/// file of the firmware.
pub(crate) fn run(write: bool) -> Result<(), String> {
    for target in [CORTEX_M, RISC_V, BROWSER] {
        if !cargo::has_target(target) {
            return Ok(());
        }
    }
    cargo::run(
        "zor-edge for RISC-V",
        &[
            "build",
            "--profile",
            "edge",
            "--package",
            "zor-edge",
            "--no-default-features",
            "--target",
            RISC_V,
        ],
    )?;
    println!("{RISC_V}: zor-edge builds without the standard library");
    // Its program `no_panic` does not link if anything in zor-edge can panic.
    cargo::run(
        "firmware",
        &["build", "--profile", "edge", "--package", "zor-firmware", "--target", CORTEX_M],
    )?;
    println!("{CORTEX_M}: the firmware builds, and nothing in zor-edge can panic");
    let mut measured = firmware()?;
    if let (Some(measured), Some(detector)) = (&mut measured, detector()?) {
        measured["detector"] = detector;
    }
    if let (true, Some(measured)) = (write, &measured) {
        results::write(NAME, measured)?;
    }
    let page = page()?;
    println!("{}: page with the module inlined", page.display());
    visit(&page)
}

fn built(target: &str, file: &str) -> PathBuf {
    crate::paths::target().join(target).join("edge").join(file)
}

/// Runs a program in QEMU, where an instruction takes a nanosecond, and parses the numbers that it
/// prints; `None` without QEMU.
fn numbers_of(program: &Path) -> Result<Option<Map<String, Value>>, String> {
    let machine = ["-M", "mps2-an386", "-cpu", "cortex-m4", "-icount", "shift=0", "-nographic"];
    let semihosting = ["-semihosting-config", "enable=on,target=native", "-kernel"];
    let ran = Command::new("qemu-system-arm").args(machine).args(semihosting).arg(program).output();
    let Ok(ran) = ran else {
        println!(
            "not available: `qemu-system-arm` could not be started (apt-get install qemu-system-arm)"
        );
        return Ok(None);
    };
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    print!("{printed}");
    if !ran.status.success() {
        return Err(format!(
            "the firmware failed in QEMU: {}",
            String::from_utf8_lossy(&ran.stderr)
        ));
    }
    let mut found = Map::new();
    for (what, number) in printed.lines().filter_map(|line| line.split_once(": ")) {
        if let Ok(number) = number.trim().parse::<u64>() {
            // Of a key that is printed twice, the last value follows some training steps.
            found.insert(what.to_owned(), number.into());
        }
    }
    Ok(Some(found))
}

/// Returns a number that a program printed.
fn number(found: &Map<String, Value>, what: &str) -> Result<u64, String> {
    let found = found.get(what).and_then(Value::as_u64);
    found.ok_or_else(|| format!("the firmware did not print '{what}'"))
}

/// Measures the detector of bearing faults: its scores, and how it learns what is normal.
fn detector() -> Result<Option<Value>, String> {
    let program = built(CORTEX_M, "detector");
    let Some(found) = numbers_of(&program)? else { return Ok(None) };
    let number = |what: &str| number(&found, what);
    let score =
        number("scratch memory of a score, bytes")? + number("a score, bytes of stack at most")?;
    let learning = number("memory of a detector that learns, bytes")?
        + number("learning, bytes of stack at most")?;
    let flash = flash(&program)?;
    println!("flash: {flash} bytes; memory of a score: {score}, of learning: {learning}");
    let sizes = [
        ("the program of the detector", number("program, bytes")?, MAX_DETECTOR),
        ("the memory of a score", score, MAX_SCORE_MEMORY),
        ("the memory of learning", learning, MAX_LEARNING),
    ];
    if let Some((what, bytes, most)) = sizes.iter().find(|(_, bytes, most)| bytes > most) {
        return Err(format!("{what} is {bytes} bytes, more than {most}"));
    }
    for when in ["", "after learning, "] {
        let healthy = number(&format!("{when}alarms in 100 windows of a healthy machine"))?;
        let damaged = number(&format!("{when}alarms in 100 windows of a damaged one"))?;
        if healthy > ALARMS[0] || damaged < ALARMS[1] {
            return Err(format!(
                "{when}the detector raises {healthy} alarms in 100 windows of a healthy machine \
                 and {damaged} of a damaged one; at most {} and at least {} were expected",
                ALARMS[0], ALARMS[1]
            ));
        }
    }
    let own = json!({
        "flash_bytes": flash, "score_bytes": score, "learning_bytes": learning, "said": found,
    });
    Ok(Some(own))
}

/// Measures the firmware with a network in flash.
fn firmware() -> Result<Option<Value>, String> {
    let program = built(CORTEX_M, "zor-firmware");
    let Some(found) = numbers_of(&program)? else { return Ok(None) };
    let number = |what: &str| number(&found, what);
    let memory = number("scratch memory, bytes")? + number("an image, bytes of stack at most")?;
    let flash = flash(&program)?;
    let data = number("image of bytes")?
        + fs::metadata(root().join("examples/firmware/samples.bin")).map_or(0, |file| file.len());
    println!(
        "flash: {flash} bytes, {} of them code; memory of a run without input and output: {memory}",
        flash - data
    );
    if memory > MAX_MEMORY {
        return Err(format!("a run takes {memory} bytes of memory, more than {MAX_MEMORY}"));
    }
    let own = json!({ "suite": NAME, "flash_bytes": flash, "code_bytes": flash - data, "memory_bytes": memory });
    let mut own = own.as_object().cloned().unwrap_or_default();
    own.insert("said".to_owned(), found.into());
    Ok(Some(own.into()))
}

/// Returns the loaded bytes of a 32-bit ELF file: the sum of the file sizes of its program headers.
fn flash(program: &Path) -> Result<u64, String> {
    let bytes = fs::read(program).map_err(|e| format!("{}: {e}", program.display()))?;
    let u32_at = |at: usize| {
        let four = bytes.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
        four.map_or(0, u32::from_le_bytes)
    };
    let (first, each) = (u32_at(28) as usize, (u32_at(42) & 0xffff) as usize);
    let n = (u32_at(44) & 0xffff) as usize;
    let headers = (0..n).map(|index| first + index * each).filter(|header| u32_at(*header) == 1);
    Ok(headers.map(|header| u64::from(u32_at(header + 16))).sum())
}

/// Builds the WebAssembly module and inlines it into its page.
fn page() -> Result<PathBuf, String> {
    // 128-bit SIMD is in every browser since 2023.
    let flags = format!("target.{BROWSER}.rustflags=['-Ctarget-feature=+simd128']");
    let build = ["build", "--profile", "edge", "--package", "zor-browser", "--lib"];
    let module = ["--target", BROWSER, "--config", &flags];
    cargo::run("WebAssembly module", &[&build[..], &module].concat())?;
    let module = built(BROWSER, "zor_browser.wasm");
    let bytes = fs::read(&module).map_err(|e| format!("{}: {e}", module.display()))?;
    let path = root().join("examples/browser/index.html");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mark = "<script type=\"module\">";
    let inlined = format!(
        "<script id=\"module\" type=\"application/wasm;base64\">\n{}\n</script>\n{mark}",
        base64(&bytes)
    );
    let page = built(BROWSER, "index.html");
    fs::write(&page, text.replacen(mark, &inlined, 1))
        .map_err(|e| format!("{}: {e}", page.display()))?;
    println!("{BROWSER}: a module of {} bytes", bytes.len());
    Ok(page)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
        let word = word << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() { letter as char } else { '=' });
        }
    }
    text
}

/// Opens the page, lets it train, checks its text, and takes a screenshot.
fn visit(page: &Path) -> Result<(), String> {
    let address = format!("file://{}#learn", page.display());
    let picture = page.with_extension("png");
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1000,1000",
        "--virtual-time-budget=60000",
    ];
    let chromium =
        |more: &[&str]| Command::new("chromium").args(flags).args(more).arg(&address).output();
    let Ok(seen) = chromium(&["--dump-dom"]) else {
        println!("not available: `chromium` could not be started (apt-get install chromium)");
        return Ok(());
    };
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    let after = |mark: &str| {
        seen.split_once(mark)
            .and_then(|(_, rest)| rest.split_once(['"', '<']))
            .map(|(found, _)| found)
    };
    let ready = after("data-ready=\"").ok_or("the page did not become ready in Chromium")?;
    let learned = after("id=\"said-learn\">").unwrap_or("");
    println!("{learned} {ready}");
    let decibels =
        ready.split_once("Reconstruction: ").and_then(|(_, rest)| rest.split_once(" dB"));
    let decibels: f64 = decibels.and_then(|(number, _)| number.parse().ok()).unwrap_or(0.0);
    // PSNR of an image from its training set; an untrained network is far below.
    if decibels < 25.0 || !learned.starts_with("Step 500") {
        return Err(format!("the page reached {decibels} dB; at least 25 were expected"));
    }
    let motion = after("data-motion=\"").ok_or("the page did not score the motion")?;
    println!("share of strange motion, while learning, as learned and shaking: {motion}");
    let shares: Vec<f64> = motion.split(' ').filter_map(|share| share.parse().ok()).collect();
    if !matches!(shares[..], [_, usual, shaking] if usual < 0.2 && shaking > 0.8) {
        return Err(format!(
            "{motion} of the motion is strange; at most 0.2 of the usual one and at least 0.8 of \
             the other were expected"
        ));
    }
    let shot = format!("--screenshot={}", picture.display());
    chromium(&[&shot]).map_err(|e| format!("chromium: {e}"))?;
    println!("screenshot: {}", picture.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn letters_are_those_of_rfc_4648() {
        for (bytes, letters) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(super::base64(bytes.as_bytes()), letters);
        }
    }
}
