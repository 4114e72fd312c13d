//! Memory that a training needs, counted before it is taken.

use std::fs;
use std::path::Path;

use zor_core::burn::tensor::Device;
use zor_core::{ErrorKind, Layer, Network, NetworkBuilder};

use crate::error::{Error, Result};
use crate::settings::{OptimizerName, Settings};
use crate::task::Data;
use crate::training::AHEAD;

/// Bytes of a value.
const VALUE: u64 = 4;

/// Bytes that this process can still take, as far as the system says; `None` where it does not.
///
/// The least of the memory that is free or can be freed, the limit of the process (`ulimit -v`) and
/// that of its control group (cgroup v2).
pub fn available() -> Option<u64> {
    let [free, process, group] = [free(), of_process(), of_group()];
    [free, process, group].into_iter().flatten().min()
}

/// The number behind a key, such as `MemAvailable:  123 kB`, in bytes.
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

/// Bytes in a unit that people read.
pub(crate) fn readable(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes => format!("{:.1} MB", bytes / 1e6),
    }
}

/// Values that a network's weights may have in this much memory: the optimizer keeps more of each.
pub(crate) fn weights_within(bytes: u64, optimizer: OptimizerName) -> u64 {
    let kept = match optimizer {
        OptimizerName::AdamW | OptimizerName::Adam => 2,
        OptimizerName::Muon | OptimizerName::Sgd => 1,
    };
    bytes / (VALUE * (1 + kept))
}

/// Builds a network if its weights, and the memory that the optimizer keeps for them, fit into this
/// many bytes.
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
            "the network does not fit into memory: {} are free, enough for {weights} weights trained with {}; {error}; use smaller images (`mogrify -resize 64x64! *.png` makes some), or a smaller network (hidden in a file of settings)",
            readable(free),
            settings.optimizer
        ))
    })
}

/// Refuses batches that need more memory than there is.
///
/// # Errors
/// Names the memory that a batch needs, the memory that is free, and the largest batch for it.
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
    // Batches are prepared ahead; learning needs the output of every layer, and the signal at it.
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
        "a batch of {rows} {} needs at least {} of memory, and {} are free; {remedy}",
        data.unit,
        readable(needed),
        readable(free)
    )))
}

/// The largest power of two up to a number.
fn power_of_two_within(n: u64) -> u64 {
    1 << n.max(1).ilog2()
}

/// Values at the outputs of layers one after another, and of the layers inside them, for one sample
/// of a shape.
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
