//! Devices by name.

use zor_core::burn::tensor::Device;

use crate::error::{Error, ErrorKind, Result};

/// The device of a name: `auto`, `flex`, `ndarray`, `wgpu` or `cuda`.
///
/// # Errors
/// When the name is unknown, or Zor was built without that device.
pub fn device(name: &str) -> Result<Device> {
    let absent = || {
        Error::new(
            ErrorKind::Device,
            format!(
                "this Zor was built without the device '{name}'; build it with --features {name}"
            ),
        )
    };
    match name {
        "auto" | "flex" => flex().ok_or_else(absent),
        "ndarray" => ndarray().ok_or_else(absent),
        "wgpu" => wgpu().ok_or_else(absent),
        "cuda" => cuda().ok_or_else(absent),
        _ => Err(Error::input(format!(
            "there is no device '{name}'; choose from auto, flex, ndarray, wgpu, cuda"
        ))),
    }
}

/// A function per device that is there with its feature and answers none without.
macro_rules! optional_device {
    ($name:ident, $feature:literal, $make:expr) => {
        #[cfg(feature = $feature)]
        #[allow(deprecated, reason = "burn keeps NdArray for users who need it, and so do we")]
        fn $name() -> Option<Device> {
            Some($make)
        }

        #[cfg(not(feature = $feature))]
        fn $name() -> Option<Device> {
            None
        }
    };
}
optional_device!(flex, "flex", Device::flex());
optional_device!(ndarray, "ndarray", Device::ndarray());
optional_device!(wgpu, "wgpu", Device::wgpu(Default::default()));
optional_device!(cuda, "cuda", Device::cuda(0));
