//! Layers of a program before they are written.

use zor_edge::{DType, Geometry, Kind, LayerSource, LayerSpec, ProgramError, Scoring};
use zor_io::{Error, Result};

use crate::program::Program;

/// A layer of a program under construction: linear operations after its weights are folded into it
/// until a nonlinear one closes it.
pub(crate) struct Stage {
    /// The first layer of the network in it, for messages.
    pub(crate) origin: String,
    pub(crate) shape: LayerSpec,
    /// `[rows, columns]`; integers in an int8 program.
    pub(crate) weights: Vec<f32>,
    pub(crate) int8: bool,
    /// Factors of the sums, by output channel.
    pub(crate) scales: Vec<f32>,
    /// Offsets behind the scales, by output channel.
    pub(crate) biases: Vec<f32>,
    /// True if nothing more can be folded into it.
    pub(crate) closed: bool,
}

impl Stage {
    pub(crate) fn new(origin: &str, kind: Kind, geometry: Geometry, weights: Vec<f32>) -> Self {
        let origin = origin.to_owned();
        let shape = LayerSpec { kind, geometry, ..LayerSpec::dense(1, 1) };
        let (scales, biases) = (vec![1.0; geometry.channels], vec![0.0; geometry.channels]);
        Self { origin, shape, weights, int8: false, scales, biases, closed: false }
    }

    /// Multiplies weights by scales. A max pool precedes the scale, so that negative scales behind
    /// one stay separate.
    pub(crate) fn fold_scales(&mut self) {
        let same = self.shape.geometry.pool == 1 || self.scales.iter().all(|scale| *scale > 0.0);
        if self.shape.kind.has_weights() && same {
            for row in self.weights.chunks_exact_mut(self.scales.len()) {
                row.iter_mut().zip(&self.scales).for_each(|(weight, scale)| *weight *= scale);
            }
            self.scales.fill(1.0);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self.int8 {
            true => self.weights.iter().map(|weight| *weight as i8 as u8).collect(),
            false => self.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect(),
        }
    }
}

/// Writes stages as a program, with the scoring of a detector if there is one.
pub(crate) fn write(
    dtype: DType,
    input: [usize; 3],
    stages: &[Stage],
    scoring: Option<&Scoring<'_>>,
) -> Result<Program> {
    let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
    let is_finite =
        |stage: &Stage| [&stage.weights, &stage.scales, &stage.biases].map(|all| finite(all));
    if let Some(stage) = stages.iter().find(|stage| is_finite(stage) != [true; 3]) {
        return Err(Error::unsupported(format!(
            "{}: its weights, with the factors and offsets folded into them, are not finite; train with a weight limit, or for fewer steps",
            stage.origin
        )));
    }
    let bytes: Vec<Vec<u8>> = stages.iter().map(Stage::bytes).collect();
    let sources: Vec<LayerSource<'_>> = stages
        .iter()
        .zip(&bytes)
        .map(|(stage, weights)| {
            let has_scales = stage.int8 || stage.scales.iter().any(|scale| *scale != 1.0);
            let has_biases = stage.biases.iter().any(|bias| *bias != 0.0);
            LayerSource {
                shape: LayerSpec { has_scales, has_biases, ..stage.shape },
                weights,
                scales: if has_scales { &stage.scales } else { &[] },
                biases: if has_biases { &stage.biases } else { &[] },
            }
        })
        .collect();
    let mut program = Vec::new();
    let put = |piece: &[u8]| program.extend_from_slice(piece);
    let written = match scoring {
        Some(scoring) => zor_edge::write_detector(dtype, input, &sources, scoring, put),
        None => zor_edge::write(dtype, input, &sources, put),
    };
    let program = written.and_then(|_| Program::from_bytes(&program));
    program.map_err(|error| {
        let origin = match error {
            ProgramError::Layer { layer, fault } => stages.get(layer).map(|stage| (stage, fault)),
            _ => None,
        };
        Error::unsupported(match origin {
            Some((stage, fault)) => format!("{}: {fault}", stage.origin),
            None => error.to_string(),
        })
    })
}
