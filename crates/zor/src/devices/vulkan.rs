//! Detection of Vulkan devices that can run the SPIR-V kernels compiled by cubecl.
//!
//! If a driver lacks [`EXTENSION`], cubecl-spirv 0.11 declares shared memory in a way that is not
//! valid SPIR-V, and drivers crash on it.

use std::ffi::CStr;
use std::sync::LazyLock;

use ash::{Entry, khr, vk};

/// Extension that a driver needs for kernels with shared memory.
pub(crate) const EXTENSION: &CStr = khr::workgroup_memory_explicit_layout::NAME;

/// Whether the driver of the device with this name lacks the extension.
pub(crate) fn lacks_extension(name: &str) -> bool {
    /// Computed once: drivers do not change while a process runs.
    static LACKING: LazyLock<Vec<String>> = LazyLock::new(without_extension);
    LACKING.iter().any(|lacking| lacking == name)
}

/// Returns the names of the devices without the extension; none if Vulkan is not installed.
fn without_extension() -> Vec<String> {
    // SAFETY: this loads the Vulkan loader, as burn does; its initialisation has no requirements.
    let Ok(entry) = (unsafe { Entry::load() }) else { return Vec::new() };
    let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_1);
    let wanted = vk::InstanceCreateInfo::default().application_info(&application);
    // SAFETY: the create info is valid, and the instance is destroyed below, before the loader is
    // unloaded.
    let Ok(instance) = (unsafe { entry.create_instance(&wanted, None) }) else { return Vec::new() };
    // SAFETY: the instance exists.
    let devices = unsafe { instance.enumerate_physical_devices() }.unwrap_or_default();
    let lacking = devices.into_iter().filter_map(|device| {
        // SAFETY: the device belongs to the instance.
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
    // SAFETY: nothing of the instance is used after this.
    unsafe { instance.destroy_instance(None) };
    lacking
}
