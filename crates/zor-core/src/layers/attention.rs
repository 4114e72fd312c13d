//! Spike attention: a pair of positions of a sequence is a unit, whose score passes as an analog
//! weight where it is above a threshold. The scores are those of rectified linear attention (Zhang,
//! Titov and Sennrich 2021, arXiv 2104.07012), which has the threshold zero.
//!
//! The input has queries, keys and values of all heads, `[q, k, v]`, as a dense layer makes them.
//! Queries and keys are rotated by their place (Su et al. 2021). For each head and each pair of
//! positions that see each other ([`Sequences::visible`]):
//!
//! ```text
//! up:    score = q k^T / sqrt(size)    weight = score where score > threshold, else 0
//!        y = weight v
//! down:  g = (s v^T) / sqrt(size) where the score has passed, else 0
//!        at v: weight^T s    at q: g k    at k: g^T q
//! ```
//!
//! The signal down is the gradient: a weight is linear in its score where it passes. Nothing is
//! normalised here; a layer [`super::RmsNorm`] behind it keeps outputs of long and short sequences
//! at one size. A batch without sequences is one sequence.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal};
use crate::ops::{self, AttentionSettings, RotationSettings, Turns};
use crate::sequences::{Decoding, Sequences};

/// Settings of a [`SpikeAttention`] layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpikeAttentionConfig {
    /// Number of heads, which divides the width.
    pub heads: usize,
    /// A score passes when it is strictly above this.
    #[serde(default)]
    pub threshold: f32,
    /// Base of the rotations; `None` leaves queries and keys without places.
    #[serde(default = "rotation_base")]
    pub rotation_base: Option<f32>,
    /// Maximum length of a sequence.
    #[serde(default = "longest")]
    pub longest: usize,
}

/// Places of sentences differ by tens, not by thousands.
pub(super) fn rotation_base() -> Option<f32> {
    Some(1000.0)
}

pub(super) fn longest() -> usize {
    1024
}

/// Rotations for queries of this size, for places below `longest`.
///
/// # Errors
/// If the base is not above 1, the size is odd, or `longest` is out of range.
pub(super) fn rotations(base: Option<f32>, size: usize, longest: usize) -> Result<Option<Turns>> {
    if longest == 0 || longest > MAX_LONGEST {
        return Err(Error::setting(format!(
            "longest is {longest}; it must be from 1 to {MAX_LONGEST}"
        )));
    }
    match base {
        Some(base) if !(base > 1.0 && base.is_finite()) => {
            Err(Error::setting(format!("rotation_base is {base}; it must be above 1")))
        }
        Some(_) if !size.is_multiple_of(2) => {
            Err(Error::setting(format!("a head has {size} columns; rotations need an even number")))
        }
        base => Ok(base.map(|base| RotationSettings::turns(size, base, longest))),
    }
}

/// Rows that a layer keeps in decoding for later positions.
pub(super) struct Kept {
    /// Number of rows kept before.
    first: usize,
}

/// Kept rows, `[capacity, columns]`.
const KEPT: &str = "kept";

impl Kept {
    /// The rows to keep of a pass; `None` outside of decoding.
    pub(super) fn of(sequences: &Sequences) -> Option<Self> {
        match sequences.decoding() {
            Decoding::None => None,
            Decoding::Beginning => Some(Self { first: 0 }),
            Decoding::Step(step) => Some(Self { first: step.kept }),
        }
    }

    /// Keeps the columns of rows from column `from` on. Returns all kept rows.
    pub(super) fn keep(self, rows: Tensor<2>, from: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let ([n, columns], needed) = (rows.dims(), self.first + rows.dims()[0]);
        let kept = pass.memory.take(KEPT);
        let kept = match kept {
            Some(kept) if kept.dims()[0] >= needed => kept,
            kept => {
                let capacity = needed + needed / 2 + 4 * n;
                let larger = ops::zeros([capacity, columns - from], pass.workspace.device());
                match kept {
                    Some(kept) => ops::keep_rows(larger, kept, 0, 0),
                    None => larger,
                }
            }
        };
        let kept = ops::keep_rows(kept, rows, self.first, from);
        pass.memory.keep(KEPT, kept.clone());
        kept
    }
}

impl SpikeAttentionConfig {
    /// Attention of this number of heads with threshold zero.
    pub fn new(heads: usize) -> Self {
        Self { heads, threshold: 0.0, rotation_base: rotation_base(), longest: longest() }
    }
}

/// Attention whose weights are scores above a threshold.
#[derive(Clone, Debug)]
pub struct SpikeAttention {
    config: SpikeAttentionConfig,
    /// Values of a position in the output.
    width: usize,
    /// Cosine and sine of every place and pair of columns.
    turns: Option<Turns>,
}

/// Rotated queries and keys, and values.
const INPUT: &str = "input";
/// Weights of all pairs, `[1, heads * pairs]`.
pub(crate) const WEIGHTS: &str = "weights";
/// Number of weights of pairs that see each other.
pub(crate) const SEEN: &str = "seen";

impl SpikeAttention {
    fn size(&self) -> usize {
        self.width / self.config.heads
    }

    fn settings(&self, sequences: &Sequences) -> AttentionSettings {
        let SpikeAttentionConfig { heads, threshold, .. } = self.config;
        AttentionSettings { sequences: sequences.clone(), heads, threshold }
    }

    /// Rotates queries and keys by their places, or back.
    fn rotate(&self, tensor: Tensor<2>, sequences: &Sequences, is_inverse: bool) -> Tensor<2> {
        let Some(turns) = self.turns.clone() else { return tensor };
        let (sequences, columns) = (sequences.clone(), 2 * self.width);
        let settings =
            RotationSettings { sequences, columns, size: self.size(), turns, is_inverse };
        ops::rotate(tensor, settings)
    }
}

/// The sequences of a pass; without any, all rows are one.
fn sequences_of(sequences: Option<&Sequences>, rows: usize) -> Sequences {
    sequences.cloned().unwrap_or_else(|| Sequences::single(rows))
}

impl Layer for SpikeAttention {
    fn kind(&self) -> &'static str {
        "spike_attention"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        match input.iter().product::<usize>() {
            given if given == 3 * self.width => Ok(vec![self.width]),
            given => Err(Error::shape(format!(
                "it takes queries, keys and values, {} values of a position; {input:?} has {given}",
                3 * self.width
            ))),
        }
    }

    fn check_sequences(&self, sequences: &Sequences) -> Result<()> {
        let (found, most) = (sequences.longest(), self.config.longest);
        match found <= most {
            true => Ok(()),
            false => Err(Error::shape(format!(
                "a sequence has {found} positions; the maximum is {most} (setting longest)"
            ))),
        }
    }

    /// All rows without sequences are one sequence.
    fn max_rows(&self) -> usize {
        self.config.longest
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let [rows, _] = input.dims();
        let sequences = sequences_of(pass.sequences, rows);
        let settings = self.settings(&sequences);
        let input = self.rotate(pass.workspace.make_unique(input), &sequences, false);
        let buffer = pass.workspace.take([rows, self.width]);
        let kept = Kept::of(&sequences).map(|kept| kept.keep(input.clone(), self.width, pass));
        if let (Some(kept), Some(_)) = (kept, sequences.step()) {
            let output = ops::attend_kept(input.clone(), kept, buffer, settings);
            pass.workspace.give(input);
            return output;
        }
        let weights = pass.workspace.take([1, settings.weights()]);
        let (output, weights) = ops::attend(input.clone(), buffer, weights, settings);
        pass.keep_to_learn(INPUT, input);
        pass.keep_to_learn(WEIGHTS, weights);
        output
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let kept = (pass.memory.take(INPUT), pass.memory.take(WEIGHTS));
        let (Some(input), Some(weights)) = kept else {
            return signal;
        };
        let sequences = sequences_of(pass.sequences, input.dims()[0]);
        let workspace = &mut *pass.workspace;
        let below = signal.map(|values| {
            let buffer = workspace.take(input.dims());
            let settings = self.settings(&sequences);
            let (input, weights) = (input.clone(), weights.clone());
            let below = ops::attend_signal(values.clone(), input, weights, buffer, settings);
            workspace.give(values);
            self.rotate(below, &sequences, true)
        });
        workspace.give(input);
        // The weights stay until the next pass, for the spike rate.
        pass.memory.keep(WEIGHTS, weights);
        pass.memory.set_number(SEEN, (self.config.heads * sequences.seen()) as f32);
        below
    }

    fn multiply_adds(&self, _: &[usize]) -> u64 {
        // Those of a position that sees one other position.
        2 * self.width as u64
    }

    fn operation(&self) -> Result<Operation<'_>> {
        let SpikeAttentionConfig { heads, threshold, .. } = self.config;
        Ok(Operation::SpikeAttention { heads, threshold, turns: self.turns.as_ref() })
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self.config).map_err(|e| Error::setting(e.to_string()))
    }
}

impl LayerConfig for SpikeAttentionConfig {
    fn build(&self, input_shape: &[usize], _: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        let inputs: usize = input_shape.iter().product();
        let width = inputs / 3;
        if self.heads == 0 || width == 0 || !inputs.is_multiple_of(3 * self.heads) {
            return Err(Error::setting(format!(
                "{inputs} inputs cannot be divided into queries, keys and values of {} heads",
                self.heads
            )));
        }
        if !self.threshold.is_finite() {
            return Err(Error::setting(format!(
                "threshold is {}; it must be a finite number",
                self.threshold
            )));
        }
        let size = width / self.heads;
        let turns = rotations(self.rotation_base, size, self.longest)?;
        Ok(Box::new(SpikeAttention { config: *self, width, turns }))
    }
}

/// Longest sequence whose weights fit into memory with room to spare.
const MAX_LONGEST: usize = 1 << 14;
