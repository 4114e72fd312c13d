//! The data of Fashion-MNIST tasks: what is learned from and what is evaluated on.

use std::sync::Arc;

use zor_core::Random;
use zor_data::{Dataset, FashionMnist};

use crate::error::{Error, Result};
use crate::options::{Choice, Samples, Settings};

/// Training images that few-image runs are evaluated on, and that random choice leaves alone.
pub const VALIDATION: std::ops::Range<usize> = 2000..3000;

/// Separates the choice of images from the other uses of a seed.
const CHOICE_STREAM: u64 = 0x0063_686f_6963_6531;

/// The images of one run.
#[derive(Clone, Debug)]
pub struct RunData {
    /// What is learned from.
    pub train: Arc<Dataset>,
    /// What is evaluated on.
    pub evaluation: Dataset,
    /// What the evaluation images are, in words.
    pub evaluation_name: &'static str,
}

/// Chooses the images that the settings ask for.
///
/// # Errors
/// When there are fewer images than asked for.
pub fn choose(data: &FashionMnist, settings: &Settings) -> Result<RunData> {
    let mut random = Random::stream(settings.seed, CHOICE_STREAM);
    let whole = &data.train;
    let validation = whole.range(VALIDATION)?;
    let outside: Vec<usize> = (0..whole.len())
        .filter(|i| !VALIDATION.contains(i))
        .collect();
    let few = matches!(settings.samples, Samples::PerClass(_));
    let (evaluation, evaluation_name) = match &data.test {
        Some(test) if !few => (test.clone(), "the test set"),
        _ => (
            validation,
            "training images 2000 to 2999, which are not learned from",
        ),
    };
    let learned_on_validation = std::ptr::eq(evaluation_name, "the test set");
    let pool = if learned_on_validation {
        whole.clone()
    } else {
        whole.select(&outside)?
    };
    let train = match (settings.samples, settings.choice) {
        (Samples::PerClass(n), Choice::First) => pool.first_per_class(n)?,
        (Samples::PerClass(n), Choice::Random) => pool.random_per_class(n, &mut random)?,
        (Samples::Total(n), Choice::First) => pool.first(n)?,
        (Samples::Total(n), Choice::Random) => pool.random(n, &mut random)?,
        (Samples::All, _) => pool,
    };
    if train.is_empty() {
        return Err(Error::input("there are no images to learn from"));
    }
    Ok(RunData {
        train: Arc::new(train),
        evaluation,
        evaluation_name,
    })
}
