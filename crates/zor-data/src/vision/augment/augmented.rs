//! A data set whose images are augmented whenever they are drawn.

use std::sync::Arc;

use zor_random::Random;

use crate::error::Result;
use crate::examples::{Batch, Draw, Examples};
use crate::vision::augment::{Augment, Canvas};
use crate::vision::images::Images;

/// Images that are augmented at random whenever they are drawn.
#[derive(Clone, Debug)]
pub struct Augmented {
    images: Arc<Images>,
    augment: Augment,
}

impl Augmented {
    /// Stream of the random numbers that choose each image's side in the first epoch.
    const SIDE_STREAM: u64 = (1 << 63) | (1 << 62);

    /// Images with the settings of their augmentation.
    ///
    /// # Errors
    /// When a setting is out of its range ([`Augment::check`]).
    pub fn new(images: impl Into<Arc<Images>>, augment: Augment) -> Result<Self> {
        augment.check()?;
        Ok(Self { images: images.into(), augment })
    }

    /// True if an image is mirrored in an epoch: at random in the first, then in every other one.
    fn side(&self, seed: u64, index: usize, epoch: u64) -> bool {
        let first = Random::stream(seed, Self::SIDE_STREAM ^ index as u64).chance(0.5);
        first ^ (epoch % 2 == 1)
    }
}

impl Examples for Augmented {
    fn name(&self) -> &str {
        self.images.name()
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn input_shape(&self) -> Vec<usize> {
        self.images.input_shape()
    }

    fn fill(&self, draw: &Draw<'_>, batch: &mut Batch) {
        let (images, augment) = (&self.images, &self.augment);
        batch.rows = draw.indices.len();
        let inputs = batch.inputs.resize_numbers(batch.rows * images.shape().len());
        let mut canvas = Canvas::default();
        for (row, out) in inputs.chunks_exact_mut(images.shape().len()).enumerate() {
            let index = draw.indices[row];
            let mut random = draw.random(row);
            let epoch = draw.number(row) / images.len() as u64;
            let mirrored = augment.alternate.then(|| self.side(draw.seed, index, epoch));
            augment.apply(images, index, mirrored, &mut random, out, &mut canvas);
        }
        batch.targets.set_integers(draw.indices.iter().map(|&index| images.label(index).into()));
    }

    fn digest(&self) -> String {
        self.images.digest()
    }

    fn class_names(&self) -> &[String] {
        self.images.class_names()
    }

    fn labels(&self) -> Option<Vec<u32>> {
        Examples::labels(&*self.images)
    }

    fn notes(&self) -> &[String] {
        self.images.notes()
    }

    fn subset(&self, indices: &[usize]) -> Result<Arc<dyn Examples>> {
        let images = Arc::new(self.images.select(indices)?);
        Ok(Arc::new(Self { images, augment: self.augment.clone() }))
    }
}

impl From<Augmented> for Arc<dyn Examples> {
    fn from(images: Augmented) -> Self {
        Arc::new(images)
    }
}
