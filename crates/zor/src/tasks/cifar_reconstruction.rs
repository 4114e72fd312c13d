//! Reconstruction of CIFAR-10: an autoencoder with a code of 728 values for 32x32 colour
//! photographs.

use super::parts::data_sets::Cifar10Set;
use super::parts::images::Subject;
use super::reconstruction::{self, Compared, Reconstruction};

/// The task `cifar-reconstruction`.
pub static CIFAR_RECONSTRUCTION: Reconstruction = Reconstruction {
    name: "cifar-reconstruction",
    about: "Reconstruct small colour photographs (CIFAR-10)",
    networks: &["dense", "conv"],
    subject: Subject {
        set: Some(&Cifar10Set),
        evaluated: Some(2000),
        check: reconstruction::check_size,
    },
    preset: reconstruction::preset,
    compares_with: Compared::Backprop,
};
