//! The memory of a detector that learns, divided into its parts.

use super::settings::DetectorSettings;
use crate::scoring::mask_words;

/// The memory of a detector, divided into its parts.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// `[rows, cells]`: rows to learn from, then errors of later rows.
    pub(super) rows: &'a mut [f32],
    pub(super) centers: &'a mut [f32],
    pub(super) scales: &'a mut [f32],
    pub(super) errors: &'a mut [f32],
    /// Zeros: no cell has categories.
    pub(super) categories: &'a mut [u32],
    pub(super) masks: &'a mut [u32],
    /// Layer by layer: weights `[inputs, outputs]`, then biases.
    pub(super) weights: &'a mut [f32],
    pub(super) optimizer: &'a mut [f32],
    pub(super) sample: Sample<'a>,
    /// Parts of a score, and the input and the output of the network.
    pub(super) scratch: &'a mut [f32],
    pub(super) hidden: &'a mut [f32],
    /// Numbers in order, or cells in disorder.
    pub(super) sorted: &'a mut [f32],
    pub(super) correlations: &'a mut [f32],
}

/// The samples of a training step.
#[derive(Debug)]
pub(super) struct Sample<'a> {
    /// Indices of the rows.
    pub(super) rows: &'a mut [u32],
    pub(super) inputs: &'a mut [f32],
    /// Outputs of the hidden layers.
    pub(super) hidden: [&'a mut [f32]; 2],
    /// Outputs of the network, then their errors.
    pub(super) outputs: &'a mut [f32],
    /// Signals of the hidden layers.
    pub(super) signals: [&'a mut [f32]; 2],
}

impl<'a> Parts<'a> {
    pub(super) fn divide(memory: &'a mut [f32], settings: &DetectorSettings) -> Option<Self> {
        let DetectorSettings { cells, hidden, rows, batch, passes, .. } = *settings;
        let mut rest = memory;
        let mut part = |n: usize| -> Option<&'a mut [f32]> {
            let (part, after) = core::mem::take(&mut rest).split_at_mut_checked(n)?;
            rest = after;
            Some(part)
        };
        let words = |part: &'a mut [f32]| bytemuck::try_cast_slice_mut::<f32, u32>(part).ok();
        Some(Self {
            rows: part(rows * cells)?,
            centers: part(cells)?,
            scales: part(cells)?,
            errors: part(cells)?,
            categories: words(part(cells)?)?,
            masks: words(part(passes * mask_words(cells))?)?,
            weights: part(settings.weights())?,
            optimizer: part(settings.optimizer.kept() * settings.weights())?,
            sample: Sample {
                rows: words(part(batch)?)?,
                inputs: part(batch * 2 * cells)?,
                hidden: [part(batch * hidden)?, part(batch * hidden)?],
                outputs: part(batch * cells)?,
                signals: [part(batch * hidden)?, part(batch * hidden)?],
            },
            scratch: part(4 * cells)?,
            hidden: part(2 * hidden)?,
            sorted: part(settings.sorted())?,
            correlations: part(settings.widest())?,
        })
    }
}
