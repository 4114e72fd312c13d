//! Devices by name.

use zor_core::burn::tensor::Device;

use crate::error::{Error, ErrorKind, Result};

/// The device of a name: `auto`, `flex`, `ndarray`, `wgpu` or `cuda`.
///
/// # Errors
/// When the name is unknown, or Zor was built without that device.
pub fn device(name: &str) -> Result<Device> {
    match name {
        #[cfg(feature = "flex")]
        "auto" | "flex" => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated, reason = "burn keeps NdArray for users who need it, and so do we")]
        "ndarray" => Ok(Device::ndarray()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(zor_core::burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0)),
        "auto" | "flex" | "ndarray" | "wgpu" | "cuda" => Err(Error::new(
            ErrorKind::Device,
            format!("this Zor was built without the device '{name}'; build it with --features {name}"),
        )),
        _ => Err(Error::input(format!(
            "there is no device '{name}'; choose from auto, flex, ndarray, wgpu, cuda"
        ))),
    }
}
