//! Memory of a measurement in its own process, so that nothing else counts.

use std::fs;
use std::process::Command;

use super::peers::reply;
use crate::paths::text;

/// Prefix of the name of a runtime: the process holds networks for the runtime instead of training.
pub(super) const HELD: &str = "held-";

/// Returns the megabytes of a network of these sizes in its own process, which trains it with an
/// optimizer or holds it for a runtime.
pub(super) fn of_network(kind: &str, sizes: &[usize]) -> Result<f64, String> {
    let mut own = Command::new(std::env::current_exe().map_err(text)?);
    own.args(["memory-of", kind]);
    megabytes(own.args(sizes.iter().map(usize::to_string)))
}

/// Returns the megabytes that a process prints as `bytes` of a JSON object.
pub(super) fn megabytes(command: &mut Command) -> Result<f64, String> {
    let answer = reply(command)?;
    let bytes = answer["bytes"].as_f64();
    Ok(1e-6 * bytes.ok_or_else(|| format!("the process printed {answer}, without bytes"))?)
}

/// Returns the peak memory in bytes of this process during some work, above what it has before.
pub(super) fn peak_of(work: impl FnOnce() -> Result<(), String>) -> Result<u64, String> {
    let before = status("VmRSS")?;
    // Resets the peak.
    fs::write("/proc/self/clear_refs", "5").map_err(|e| format!("/proc/self/clear_refs: {e}"))?;
    work()?;
    Ok(status("VmHWM")?.saturating_sub(before))
}

/// Returns the bytes of this process under a key of `/proc/self/status`.
pub(super) fn status(key: &str) -> Result<u64, String> {
    status_of("self", key)
}

/// Returns the seconds that a process has had a processor; `None` if it has ended, or outside of
/// Linux.
pub(super) fn processor_seconds(process: u32) -> Option<f64> {
    /// Ticks of a second in `/proc`.
    const TICKS: f64 = 100.0;
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program, in brackets, may contain spaces.
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

/// Returns the bytes of a process, by its number or `self`, under a key of its status.
pub(super) fn status_of(process: &str, key: &str) -> Result<u64, String> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path)
        .map_err(|e| format!("{path}: {e}; memory is measured on Linux"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map(|n| n * 1024).ok_or_else(|| format!("{path} has no {key}"))
}
