//! Devices by name, and what is needed for those that are not available.

pub mod step_time;
#[cfg(feature = "flex")]
pub mod verify;
#[cfg(feature = "vulkan")]
mod vulkan;

use zor_core::burn::tensor::Device;
#[cfg(any(feature = "flex", feature = "ndarray", feature = "cube"))]
use zor_core::burn::tensor::DeviceType;

use zor_core::ops::Precision;

use crate::error::{Error, ErrorKind, Result};

/// A kind of device. Kinds are listed in order of preference.
struct Kind {
    /// Name of the kind and of its cargo feature.
    name: &'static str,
    /// Enumerates the devices; `None` if the feature is off.
    find: Option<fn() -> Vec<Device>>,
    /// Message for a machine without such a device.
    missing: &'static str,
}

macro_rules! kind {
    ($name:literal, $variant:ident, $missing:literal) => {{
        #[cfg(feature = $name)]
        #[allow(deprecated, reason = "burn keeps NdArray for users who need it, and so do we")]
        let find = Some((|| Device::enumerate(DeviceType::$variant).into_vec()) as fn() -> _);
        #[cfg(not(feature = $name))]
        let find = None;
        Kind { name: $name, find, missing: $missing }
    }};
}

fn kinds() -> [Kind; 7] {
    [
        kind!(
            "cuda",
            Cuda,
            "no NVIDIA GPU was found; if `nvidia-smi` does not list one either, install NVIDIA's driver and the CUDA libraries (nvrtc)"
        ),
        kind!(
            "rocm",
            Rocm,
            "no AMD GPU was found; if `rocminfo` does not list one either, install ROCm"
        ),
        kind!("metal", Metal, "no GPU with Metal was found; Metal is available on macOS only"),
        kind!(
            "vulkan",
            Vulkan,
            "no device with Vulkan was found; install the GPU's driver, or a software Vulkan driver (on Debian mesa-vulkan-drivers)"
        ),
        kind!(
            "wgpu",
            Wgpu,
            "no device was found; install the GPU's driver, or a software Vulkan driver (on Debian mesa-vulkan-drivers)"
        ),
        kind!("flex", Flex, "no CPU was found"),
        kind!("ndarray", NdArray, "no CPU was found"),
    ]
}

/// A device, or a kind of device that is not available.
#[derive(Clone, Debug)]
pub struct DeviceLine {
    /// Name that [`device`] accepts, such as `cuda:1`.
    pub name: String,
    /// The device, if it is available.
    pub device: Option<Device>,
    /// Description of the device, or what is needed to have one.
    pub what: String,
    /// Whether it is a GPU, as opposed to a CPU or a software implementation.
    pub is_card: bool,
}

impl DeviceLine {
    fn found(name: String, device: Device) -> Self {
        let (what, is_card) = describe(&device);
        Self { name, device: Some(device), what, is_card }
    }
}

/// Returns one device by name, as accepted by [`device`]. Opens no other device.
///
/// # Errors
/// When the name is unknown, Zor was built without such a device, or this machine has none.
pub fn device_line(name: &str) -> Result<DeviceLine> {
    named_device(name).map(|(name, device)| DeviceLine::found(name, device))
}

/// Returns all devices in order of preference, and one entry for each kind that is not available.
/// Opens every device.
pub fn devices() -> Vec<DeviceLine> {
    let mut lines = Vec::new();
    for kind in kinds() {
        let (found, refused) = usable(&kind);
        if found.is_empty() {
            let what = refused.unwrap_or_else(|| absent(&kind));
            lines.push(DeviceLine { name: kind.name.into(), device: None, what, is_card: false });
        }
        for (index, device) in found.into_iter().enumerate() {
            let name = if index == 0 { kind.name.into() } else { format!("{}:{index}", kind.name) };
            lines.push(DeviceLine::found(name, device));
        }
    }
    lines
}

/// Returns a device by name: `auto`, or a name that [`devices`] lists, such as `flex`, `wgpu`,
/// `cuda` or `cuda:1`.
///
/// `auto` selects the first GPU, or the CPU if there is none.
///
/// # Errors
/// When the name is unknown, Zor was built without such a device, or this machine has none.
pub fn device(name: &str) -> Result<Device> {
    named_device(name).map(|(_, device)| device)
}

/// Returns a device as [`device`] does, with its name; for `auto`, this is the name of the selected
/// device.
///
/// # Errors
/// As [`device`].
pub fn named_device(name: &str) -> Result<(String, Device)> {
    if name == "auto" {
        return best();
    }
    let (base, number) = name.split_once(':').unwrap_or((name, "0"));
    let kinds = kinds();
    let Some(kind) = kinds.iter().find(|kind| kind.name == base) else {
        let names: Vec<&str> = kinds.iter().rev().map(|kind| kind.name).collect();
        return Err(Error::input(format!(
            "unknown device '{name}'; choose from auto, {}; a number selects one of several, as in cuda:1",
            names.join(", ")
        )));
    };
    let index: usize = number.parse().map_err(|_| {
        Error::input(format!("'{number}' in the device '{name}' is not a number; write {base}:0"))
    })?;
    let (mut found, refused) = usable(kind);
    if index < found.len() {
        return Ok((name.to_owned(), found.swap_remove(index)));
    }
    let message = match found.len() {
        0 => format!("device '{name}': {}", refused.unwrap_or_else(|| absent(kind))),
        n => format!("there is no device '{name}'; the last one is {base}:{}", n - 1),
    };
    Err(Error::new(ErrorKind::Device, message))
}

/// Checks that a GPU supports a precision of matrix multiplication. CPUs always use f32.
///
/// # Errors
/// When the device does not support the precision.
pub fn check_precision(name: &str, device: &Device, precision: Precision) -> Result<()> {
    #[cfg(feature = "cube")]
    if precision == Precision::Bf16
        && device.identity().is_some()
        && !device.supports_dtype(zor_core::burn::tensor::DType::BF16)
    {
        return Err(Error::new(
            ErrorKind::Device,
            format!("{name} does not support bf16; choose --precision f32 or tf32"),
        ));
    }
    let _ = (name, device, precision);
    Ok(())
}

/// Returns the first GPU, else the CPU, else a software implementation of a GPU.
fn best() -> Result<(String, Device)> {
    // Without a GPU backend, the CPU is the only choice.
    if !cfg!(feature = "cube")
        && let Ok(found) = named_device("flex")
    {
        return Ok(found);
    }
    let mut all = devices();
    let is_cpu = |line: &DeviceLine| ["flex", "ndarray"].contains(&line.name.as_str());
    let there = |line: &DeviceLine| line.device.is_some();
    let place = all
        .iter()
        .position(|line| there(line) && line.is_card)
        .or_else(|| all.iter().position(|line| there(line) && is_cpu(line)))
        .or_else(|| all.iter().position(there));
    let found = place.map(|place| all.swap_remove(place));
    found.and_then(|line| Some((line.name, line.device?))).ok_or_else(|| {
        Error::new(
            ErrorKind::Device,
            "Zor was built without any device; rebuild with `--features flex`",
        )
    })
}

/// Returns the devices of a kind, except those whose driver would crash, and the reason why the
/// last of those is excluded.
fn usable(kind: &Kind) -> (Vec<Device>, Option<String>) {
    let found = kind.find.map_or_else(Vec::new, |find| find());
    #[cfg(feature = "vulkan")]
    if ["vulkan", "wgpu"].contains(&kind.name) {
        let name_of = |device: &Device| device.identity().map(|identity| identity.name);
        // Kernels on software devices do not use shared memory.
        let crashes = |device: &Device| {
            describe(device).1 && name_of(device).is_some_and(|name| vulkan::lacks_extension(&name))
        };
        let (crashing, usable): (Vec<_>, Vec<_>) = found.into_iter().partition(crashes);
        let refused = crashing.last().and_then(name_of).map(|name| {
            format!(
                "the driver of {name} lacks {}, without which kernels compiled for Vulkan crash it; use a newer driver, or rebuild with the feature wgpu instead of vulkan",
                vulkan::EXTENSION.to_string_lossy()
            )
        });
        return (usable, refused);
    }
    (found, None)
}

fn absent(kind: &Kind) -> String {
    match kind.find {
        Some(_) => kind.missing.to_owned(),
        None => format!("not compiled in; rebuild with `--features {}`", kind.name),
    }
}

/// Returns a description of a device, and whether it is a GPU.
fn describe(device: &Device) -> (String, bool) {
    #[cfg(feature = "cube")]
    if let Some(identity) = device.identity() {
        let is_card = identity.physical.is_some();
        let kind = if is_card { "" } else { ", in software" };
        return (format!("{}{kind}", identity.name), is_card);
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let _ = device;
    (format!("CPU with {threads} threads"), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_can_be_named_and_the_rest_says_what_is_missing() {
        let lines = devices();
        for name in kinds().map(|kind| kind.name) {
            assert!(lines.iter().any(|line| line.name == name), "{name}");
        }
        for line in lines {
            assert!(!line.what.is_empty(), "{}", line.name);
            assert_eq!(device(&line.name).is_ok(), line.device.is_some(), "{}", line.name);
        }
        assert!(device("auto").is_ok());
    }

    #[test]
    fn wrong_names_are_refused_with_those_that_there_are() {
        let refused = |name: &str| device(name).expect_err(name).to_string();
        assert!(refused("gpu").contains("flex"));
        assert!(refused("flex:one").contains("flex:0"));
        assert!(refused("flex:7").contains("flex:0"));
    }
}
