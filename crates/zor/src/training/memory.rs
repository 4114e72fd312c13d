//! Memory requirements of a training, checked before anything is allocated.

use std::fs;
use std::path::Path;

use zor_core::burn::tensor::Device;
use zor_core::{ErrorKind, Layer, Network, NetworkBuilder};

use crate::error::{Error, Result};
use crate::settings::{OptimizerName, Settings};
use crate::task::Data;
use crate::training::AHEAD;

/// Bytes per f32 value.
const VALUE: u64 = 4;

/// Returns the number of bytes that this process can still allocate; `None` if the system does not
/// report it.
///
/// Minimum of the free or reclaimable memory, the process limit (`ulimit -v`) and the limit of the
/// control group (cgroup v2).
pub fn available() -> Option<u64> {
    let [free, process, group] = [free(), of_process(), of_group()];
    [free, process, group].into_iter().flatten().min()
}

/// Returns the number after a key, such as `MemAvailable:  123 kB`, in bytes.
fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn free() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    Some(number(&text, "MemAvailable:")? + number(&text, "SwapFree:").unwrap_or(0))
}

fn of_process() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    let used = number(&fs::read_to_string("/proc/self/status").ok()?, "VmSize:")?;
    Some(limit.saturating_sub(used))
}

fn of_group() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = group.lines().find_map(|line| line.strip_prefix("0::"))?;
    let folder = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
    let read = |name: &str| -> Option<u64> {
        fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
    };
    Some(read("memory.max")?.saturating_sub(read("memory.current")?))
}

/// Formats bytes in MB or GB.
pub(crate) fn readable(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes => format!("{:.1} MB", bytes / 1e6),
    }
}

/// Returns the number of weights that fit in `bytes` together with the optimizer's state.
pub(crate) fn weights_within(bytes: u64, optimizer: OptimizerName) -> u64 {
    let kept = match optimizer {
        OptimizerName::AdamW | OptimizerName::Adam => 2,
        OptimizerName::Muon | OptimizerName::Sgd => 1,
    };
    bytes / (VALUE * (1 + kept))
}

/// Builds a network if its weights and the optimizer's state fit in `free` bytes.
pub(crate) fn build_within(
    free: u64,
    network: NetworkBuilder,
    settings: &Settings,
    device: &Device,
) -> Result<Network> {
    let weights = weights_within(free, settings.optimizer);
    network.at_most(weights).build(device).map_err(|error| {
        if error.kind() != ErrorKind::Memory {
            return error.into();
        }
        Error::input(format!(
            "the network does not fit into memory: {} are free, enough for {weights} weights trained with {}; {error}; use smaller images (--resize) or a smaller network (--hidden)",
            readable(free),
            settings.optimizer
        ))
    })
}

/// Checks that a batch fits in the free memory.
///
/// # Errors
/// When it does not. The message gives the memory that is needed, the memory that is free, and the
/// largest batch size that fits.
pub fn check_batches(settings: &Settings, data: &Data, network: &Network) -> Result<()> {
    match available() {
        Some(free) => check_batches_within(free, settings, data, network),
        None => Ok(()),
    }
}

fn check_batches_within(
    free: u64,
    settings: &Settings,
    data: &Data,
    network: &Network,
) -> Result<()> {
    let full = !settings.augment && data.train.len() <= settings.batch;
    let rows = if full { data.train.len() } else { settings.batch } as u64;
    // Inputs count once for each prefetched batch; training needs the output and the error signal
    // of every layer.
    let inputs = data.train.input_shape().iter().product::<usize>() as u64 * (AHEAD as u64 + 2);
    let layers: Vec<&dyn Layer> = network.layers().iter().map(|layer| layer.as_ref()).collect();
    let outputs = outputs(&layers, network.input_shape());
    let row = VALUE * (inputs + outputs);
    let needed = rows.saturating_mul(row);
    if needed <= free {
        return Ok(());
    }
    let remedy = match free / row.max(1) {
        0 => "use smaller inputs or a smaller network".to_owned(),
        fit => format!("use --batch {} or less", power_of_two_within(fit)),
    };
    Err(Error::input(format!(
        "a batch of {rows} {} needs at least {} of memory, but only {} are free; {remedy}",
        data.unit,
        readable(needed),
        readable(free)
    )))
}

/// Returns the largest power of two not above `n`.
fn power_of_two_within(n: u64) -> u64 {
    1 << n.max(1).ilog2()
}

/// Returns the number of output values per example, summed over all layers and the layers inside
/// them.
fn outputs(layers: &[&dyn Layer], input: &[usize]) -> u64 {
    let (mut shape, mut values) = (input.to_vec(), 0);
    for layer in layers {
        values += layer.paths().iter().map(|path| outputs(path, &shape)).sum::<u64>();
        shape = layer.output_shape(&shape).unwrap_or_default();
        values += shape.iter().product::<usize>() as u64;
    }
    values
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::task::Plan;
    use crate::training::Training;

    #[test]
    fn a_batch_beyond_memory_is_refused_with_one_that_fits() {
        let task = "task = 'fashion-reconstruction'";
        let plan = Plan::parse(task).unwrap();
        let data = plan.task.load(&plan.settings, &mut |_| {}).unwrap();
        let network = Training::start(&plan, &data, &Device::flex()).unwrap().network;
        let settings = |batch: usize| Settings { batch, ..plan.settings.clone() };
        let check = |batch| check_batches_within(1 << 30, &settings(batch), &data, &network);
        check(1024).unwrap();
        for batch in [1_000_000_000, usize::MAX] {
            let message = check(batch).unwrap_err().to_string();
            assert!(message.contains("1.1 GB are free"), "{message}");
            let fit: usize = message
                .split("--batch ")
                .nth(1)
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            check(fit).unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_how_much_memory_is_free() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}
