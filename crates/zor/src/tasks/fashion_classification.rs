//! Classification of Fashion-MNIST: 28x28 images of clothing in ten classes.

use super::classification::{self, Classification};
use super::parts::data_sets::FashionMnistSet;
use super::parts::images::Subject;

/// The task `fashion-classification`.
pub static FASHION_CLASSIFICATION: Classification = Classification {
    name: "fashion-classification",
    about: "Classify images of clothing in ten classes (Fashion-MNIST)",
    networks: &["conv", "dense"],
    subject: Subject { set: Some(&FashionMnistSet), ..Subject::OWN },
    preset: classification::preset,
    network: classification::network,
};
