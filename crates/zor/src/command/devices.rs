//! `zor devices`: lists, verifies and benchmarks devices.

use crate::devices::step_time as pace;
#[cfg(feature = "flex")]
use crate::devices::verify;
use crate::{DeviceLine, Result};

use super::arguments::DevicesArguments;

/// Lists all devices or a single one, and verifies and benchmarks them on request.
pub(super) fn run(arguments: &DevicesArguments) -> Result<()> {
    let lines = match &arguments.device {
        Some(name) => vec![crate::device_line(name)?],
        None => crate::devices(),
    };
    for line in &lines {
        let there = if line.device.is_some() { "yes" } else { "no" };
        say!("{:<10} {there:<4} {}", line.name, line.what);
    }
    if arguments.verify {
        compare(&lines)?;
    }
    if arguments.time {
        arguments.precision.set();
        measure(&lines, arguments)?;
    }
    Ok(())
}

fn measure(lines: &[DeviceLine], arguments: &DevicesArguments) -> Result<()> {
    let own = arguments
        .network
        .zip(arguments.batch)
        .map(|(network, batch)| [pace::Case::Step { sizes: network.0, batch: batch as usize }]);
    let cases = own.as_ref().map_or(&pace::CASES[..], |own| own);
    say!("\n{:<10} {:>18} {:>7} {:>12} {:>10}", "device", "benchmark", "batch", "ms", "TFLOP/s");
    for line in lines {
        let Some(device) = &line.device else { continue };
        crate::check_precision(&line.name, device, arguments.precision)?;
        let takes = |case: &&pace::Case| own.is_some() || line.is_card || case.is_small();
        for case in cases.iter().filter(takes) {
            let pace = pace::measure(case, device)?;
            say!(
                "{:<10} {case:>18} {:>7} {:>12.3} {:>10.3}",
                line.name,
                case.rows(),
                pace.milliseconds,
                pace.flops() / 1e12
            );
        }
    }
    Ok(())
}

#[cfg(feature = "flex")]
fn compare(lines: &[DeviceLine]) -> Result<()> {
    let mut failed = 0;
    for line in lines {
        let Some(device) = &line.device else { continue };
        say!("\n{:<56} {:>12} {:>10}", line.name, "difference", "tolerance");
        let start = std::time::Instant::now();
        let mut tell = |check: &verify::Check| {
            let verdict = if check.holds() { "" } else { "  FAILS" };
            failed += usize::from(!check.holds());
            say!(
                "{:<56} {:>12.1e} {:>10.0e}{verdict}",
                check.name,
                check.difference,
                check.tolerated
            );
        };
        let checks = verify::verify(device, &mut tell)?;
        say!("{} checks in {:.1} s", checks.len(), start.elapsed().as_secs_f64());
    }
    match failed {
        0 => Ok(()),
        n => Err(crate::Error::new(
            crate::ErrorKind::Device,
            format!("{n} checks failed; see the lines marked FAILS above"),
        )),
    }
}

#[cfg(not(feature = "flex"))]
fn compare(_: &[DeviceLine]) -> Result<()> {
    Err(crate::Error::input(
        "--verify compares with the device flex, which is not compiled in; rebuild with `--features flex`",
    ))
}
