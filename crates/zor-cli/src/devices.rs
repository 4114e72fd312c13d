//! `zor devices`: what there is to run on, whether it computes what the CPU does, and how fast.

use zor::options::Precision;
use zor::{DeviceLine, Result, pace};

/// Lists the devices; with `verify` compares each with the CPU, with `time` times steps on each.
pub(crate) fn run(verify: bool, time: bool, precision: Precision) -> Result<()> {
    let lines = zor::devices();
    for line in &lines {
        let there = if line.device.is_some() { "yes" } else { "no" };
        say!("{:<10} {there:<4} {}", line.name, line.what);
    }
    if verify {
        compare(&lines)?;
    }
    if time {
        precision.set();
        measure(&lines)?;
    }
    Ok(())
}

fn measure(lines: &[DeviceLine]) -> Result<()> {
    say!("\n{:<10} {:>18} {:>7} {:>12} {:>10}", "step", "network", "batch", "ms", "TFLOP/s");
    for line in lines {
        let Some(device) = &line.device else { continue };
        for case in pace::CASES.iter().filter(|case| line.is_card || case.is_small()) {
            let pace = pace::measure(case, device)?;
            let sizes = case.sizes.map(|size| size.to_string()).join("-");
            let rate = pace.flops() / 1e12;
            say!(
                "{:<10} {sizes:>18} {:>7} {:>12.3} {rate:>10.3}",
                line.name,
                case.batch,
                pace.milliseconds
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
        say!("\n{:<56} {:>12} {:>10}", line.name, "difference", "at most");
        let start = std::time::Instant::now();
        let mut tell = |check: &zor::verify::Check| {
            let verdict = if check.holds() { "" } else { "  FAILS" };
            failed += usize::from(!check.holds());
            say!(
                "{:<56} {:>12.1e} {:>10.0e}{verdict}",
                check.name,
                check.difference,
                check.tolerated
            );
        };
        let checks = zor::verify::verify(device, &mut tell)?;
        say!("{} checks in {:.1} s", checks.len(), start.elapsed().as_secs_f64());
    }
    match failed {
        0 => Ok(()),
        n => Err(zor::Error::new(
            zor::ErrorKind::Device,
            format!("{n} checks fail: see the lines with FAILS above"),
        )),
    }
}

#[cfg(not(feature = "flex"))]
fn compare(_: &[DeviceLine]) -> Result<()> {
    Err(zor::Error::input(
        "--verify compares with the device flex, which this Zor was built without",
    ))
}
