//! Components shared by the tasks.

pub mod color;
pub mod colorization_baselines;
pub mod colorize;
pub mod comparison;
pub mod data_sets;
pub mod images;
pub mod loaded_set;
pub mod networks;
pub mod test_time_augmentation;

pub(crate) mod presets;
pub(crate) mod selection;
pub(crate) mod whitening;
