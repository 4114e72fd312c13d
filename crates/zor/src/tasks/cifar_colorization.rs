//! Colorization of CIFAR-10: 32x32 photographs.

use super::colorization::{self, Colorization};
use super::parts::data_sets::Cifar10Set;
use super::parts::images::Subject;

/// The task `cifar-colorization`.
pub static CIFAR_COLORIZATION: Colorization = Colorization {
    name: "cifar-colorization",
    about: "Colorize small grey photographs (CIFAR-10)",
    subject: Subject { set: Some(&Cifar10Set), evaluated: None, check: colorization::check_size },
    preset: colorization::preset,
};
