//! Which Vulkan devices can run kernels that cubecl compiles to SPIR-V.
//!
//! Where a driver lacks [`EXTENSION`], cubecl-spirv 0.11 declares shared memory in a way that is no
//! valid SPIR-V, and drivers crash on it.

use std::ffi::CStr;
use std::sync::LazyLock;

use ash::{Entry, khr, vk};

/// What kernels with shared memory need of a driver.
pub(crate) const EXTENSION: &CStr = khr::workgroup_memory_explicit_layout::NAME;

/// Whether the driver of the device with this name lacks the extension.
pub(crate) fn lacks_extension(name: &str) -> bool {
    /// Asked once: no driver changes while a process runs.
    static LACKING: LazyLock<Vec<String>> = LazyLock::new(without_extension);
    LACKING.iter().any(|lacking| lacking == name)
}

/// The names of the devices without the extension. Empty where there is no Vulkan at all.
fn without_extension() -> Vec<String> {
    // SAFETY: this loads the Vulkan loader, as burn does; its initialisation has no requirements.
    let Ok(entry) = (unsafe { Entry::load() }) else { return Vec::new() };
    let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_1);
    let wanted = vk::InstanceCreateInfo::default().application_info(&application);
    // SAFETY: the description is valid, and the instance is destroyed below, before the loader is
    // unloaded.
    let Ok(instance) = (unsafe { entry.create_instance(&wanted, None) }) else { return Vec::new() };
    // SAFETY: the instance exists.
    let devices = unsafe { instance.enumerate_physical_devices() }.unwrap_or_default();
    let lacking = devices.into_iter().filter_map(|device| {
        // SAFETY: the device is one of the instance's.
        let extensions = unsafe { instance.enumerate_device_extension_properties(device) };
        let has = |one: &vk::ExtensionProperties| one.extension_name_as_c_str() == Ok(EXTENSION);
        if extensions.unwrap_or_default().iter().any(has) {
            return None;
        }
        // SAFETY: as above.
        let properties = unsafe { instance.get_physical_device_properties(device) };
        let name = properties.device_name_as_c_str().ok()?;
        Some(name.to_string_lossy().into_owned())
    });
    let lacking = lacking.collect();
    // SAFETY: nothing of the instance is used any more.
    unsafe { instance.destroy_instance(None) };
    lacking
}
