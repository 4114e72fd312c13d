//! A finished run: what reports and pictures are made of.

use zor::baseline::Baseline;
use zor::fashion::RunData;
use zor::options::Settings;
use zor::prelude::Device;
use zor::train::Trained;

/// A finished run and what it is compared with.
pub(crate) struct Run {
    pub(crate) settings: Settings,
    pub(crate) data: RunData,
    pub(crate) trained: Trained,
    pub(crate) baselines: Vec<Baseline>,
    /// The same network under autodiff, in classification.
    pub(crate) twin: Option<Trained>,
    pub(crate) device: Device,
    pub(crate) device_name: String,
}
