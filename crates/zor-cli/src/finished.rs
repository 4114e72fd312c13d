//! A finished run: what reports and pictures are made of.

use std::path::PathBuf;

use zor::baseline::Baseline;
use zor::comparison::Colours;
use zor::images::RunData;
use zor::options::Settings;
use zor::prelude::Device;
use zor::train::Training;

/// A finished run and what it is compared with.
pub(crate) struct Run {
    pub(crate) settings: Settings,
    pub(crate) data: RunData,
    pub(crate) trained: Training,
    pub(crate) baselines: Vec<Baseline>,
    /// The same network under autodiff.
    pub(crate) twin: Option<Training>,
    /// In colorization: every way to guess colours, the network last or beside its twin.
    pub(crate) colours: Vec<Colours>,
    /// In classification: cosines of what each layer learns with backpropagation's gradient.
    pub(crate) cosines: Vec<f64>,
    pub(crate) device: Device,
    /// The run's folder.
    pub(crate) folder: PathBuf,
    /// The run's identity, which every file carries.
    pub(crate) identity: String,
    pub(crate) device_name: String,
}
