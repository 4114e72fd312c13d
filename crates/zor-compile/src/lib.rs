#![doc = include_str!("../README.md")]

mod calibrate;
mod fold;
mod program;
mod quantize;
mod stage;
#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]
mod tests;

pub use program::Program;
use zor_core::Network;
#[doc(hidden)]
pub use zor_edge::reseal;
pub use zor_edge::{DType, Detector, LayerSpec, MAX_VALUES, ProductStrategy, Scoring, Values};
pub use zor_io::{Error, Result};

use stage::Stage;

/// Compiles a network.
///
/// Batch normalisation with its running means, offsets and factors are folded into the weights
/// before them; dropout and reshaping disappear. In int8 the weights of an output channel are
/// divided by their largest magnitude over 127, and the values between layers by the quantization
/// step with the least mean squared error on `calibration`: whole samples one after the other, like
/// those that the program will see. An f32 program needs none.
///
/// # Errors
/// Names the layer without a form in programs, or whose values are too large, or the fault of the
/// calibration samples.
pub fn compile(network: &Network, dtype: DType, calibration: &[f32]) -> Result<Program> {
    compiled(network, dtype, calibration, None)
}

/// Compiles the network of a detector as [`compile`] does, with its scoring.
///
/// # Errors
/// Those of [`compile`], and the fault of a scoring that does not fit the network.
pub fn compile_detector(
    network: &Network,
    dtype: DType,
    calibration: &[f32],
    scoring: &Scoring<'_>,
) -> Result<Program> {
    compiled(network, dtype, calibration, Some(scoring))
}

fn compiled(
    network: &Network,
    dtype: DType,
    calibration: &[f32],
    scoring: Option<&Scoring<'_>>,
) -> Result<Program> {
    let (input, mut stages) = fold::stages(network)?;
    stages.iter_mut().for_each(Stage::fold_scales);
    let program = stage::write(DType::F32, input, &stages, scoring)?;
    if dtype == DType::F32 {
        return Ok(program);
    }
    let inputs = calibrate::inputs(&program, &stages, calibration)?;
    stages.iter_mut().zip(inputs).for_each(|(stage, inputs)| stage.quantize(&inputs));
    stage::write(DType::I8, input, &stages, scoring)
}
