//! Matrix products on GPUs, by cubek's kernels.

use burn::backend::DType;
use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::FloatDType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul as burn_matmul};
use burn_cubecl::tensor::CubeTensor;
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems, MatmulSetupError};
use cubek::matmul::launch::launch_ref;
use cubek::matmul::multi_level;
use cubek::matmul::multi_level::routines::TileSizeSelection;
use cubek::matmul::multi_level::routines::batch::double_unit::DoubleUnitSelectionArgs;
use cubek::matmul::routine::BlueprintStrategy;
use cubek::std::InputBinding;

use super::memory::{is_software, reuse, size};
use crate::backend::{Precision, Transposed};

type B = CubeBackend;

/// Matrix product into a buffer; either operand may be a view.
pub(super) fn matmul(
    left: CubeTensor,
    right: CubeTensor,
    buffer: CubeTensor,
    transposed: Transposed,
) -> CubeTensor {
    let (left, right) = match transposed {
        Transposed::Neither => (left, right),
        Transposed::Left => (B::float_transpose(left), right),
        Transposed::Right => (left, B::float_transpose(right)),
    };
    let result = reuse(buffer, [size(&left)[0], size(&right)[1]]);
    let done = match Precision::current() {
        Precision::F32 => exact(left, right, &result, transposed),
        Precision::Tf32 if is_software(&result.client) => exact(left, right, &result, transposed),
        Precision::Tf32 => fastest(left, right, &result),
        Precision::Bf16 => {
            let half = |tensor| B::float_cast(tensor, FloatDType::BF16);
            fastest(half(left), half(right), &result)
        }
    };
    if let Err(error) = done {
        panic!("this device does not support the matrix product: {}", error.to_string().trim());
    }
    result
}

/// Rows and columns of the result that a cube computes with large tiles.
const BLOCK: [usize; 2] = [128, 64];

/// The tile size with which a matrix product neither spills registers nor leaves most of a card
/// idle; `cargo xtask gpu --kernels` shows both.
///
/// With a transposed left operand, small tiles along the inner dimension keep the block the same.
/// Otherwise they make blocks smaller, so that a small result has enough of them.
fn tiles(result: &CubeTensor, transposed: Transposed) -> TileSizeSelection {
    let blocks: usize = size(result).iter().zip(BLOCK).map(|(n, side)| n.div_ceil(side)).product();
    let processors = result.client.properties().hardware.num_streaming_multiprocessors;
    let is_small = blocks < 2 * processors.unwrap_or(1) as usize;
    if is_small || transposed == Transposed::Left {
        TileSizeSelection::MinTileSize
    } else {
        TileSizeSelection::MaxTileSize
    }
}

/// Computes a product in f32, without the units of a card that round their operands.
fn exact(
    left: CubeTensor,
    right: CubeTensor,
    result: &CubeTensor,
    transposed: Transposed,
) -> Result<(), MatmulSetupError> {
    let float = dtype_to_storage_type(DType::F32);
    let strategy = if is_software(&result.client) {
        multi_level::Strategy::Naive
    } else {
        let tiles = DoubleUnitSelectionArgs { tile_size: tiles(result, transposed) };
        multi_level::Strategy::DoubleUnit(BlueprintStrategy::Inferred(tiles))
    };
    let mut elements =
        MatmulElems::from_globals(&MatmulGlobalElems { lhs: float, rhs: float, out: float });
    launch_ref(
        &strategy.into(),
        &result.client,
        InputBinding::new(left.binding(), float),
        InputBinding::new(right.binding(), float),
        result.clone().binding(),
        &mut elements,
    )
}

/// Computes a product on tensor cores if there are any; with the feature `autotune`, the fastest of
/// several kernels.
fn fastest(
    left: CubeTensor,
    right: CubeTensor,
    result: &CubeTensor,
) -> Result<(), MatmulSetupError> {
    burn_matmul(left, right, Some(result.clone()), MatmulStrategy::default(), DType::F32).map(drop)
}
