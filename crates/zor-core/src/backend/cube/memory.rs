//! Access to the memory of tensors on a GPU: contiguous, unshared, or a reused buffer.

use burn::backend::{DType, TensorMetadata};
use burn::tensor::{FloatDType, Shape};
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, kernel};

/// Maximum number of units of a plane on a software device.
const SOFTWARE_PLANE: u32 = 8;

/// True for a software device, a CPU in place of a GPU: kernels with shared memory, or with tiles
/// in registers, are slow there or do not compile.
pub(super) fn is_software(client: &Client) -> bool {
    client.properties().hardware.plane_size_max <= SOFTWARE_PLANE
}

pub(super) fn size(tensor: &CubeTensor) -> [usize; 2] {
    let shape = tensor.shape();
    [shape[0], shape[1]]
}

pub(super) fn check_same(a: &CubeTensor, b: &CubeTensor) {
    assert_eq!(size(a), size(b), "tensors of one operation differ in shape");
}

/// Asserts that rows have the size of this map.
pub(super) fn check_maps(tensor: &CubeTensor, map: [usize; 3]) {
    assert_eq!(size(tensor)[1], map.iter().product::<usize>(), "rows are not maps of {map:?}");
}

/// The tensor as contiguous f32.
pub(super) fn readable(tensor: CubeTensor) -> CubeTensor {
    use burn::backend::ops::FloatTensorOps;
    let tensor = match tensor.dtype {
        DType::F32 => tensor,
        _ => <CubeBackend as FloatTensorOps<CubeBackend>>::float_cast(tensor, FloatDType::F32),
    };
    // A tensor from the host may have gaps between its rows.
    kernel::into_contiguous(tensor)
}

/// [`readable`], copied if another tensor shares its memory.
pub(super) fn writable(tensor: CubeTensor) -> CubeTensor {
    let tensor = readable(tensor);
    if tensor.can_mut() { tensor } else { readable(tensor.copy()) }
}

/// A tensor of this shape with arbitrary contents: the given one if it has that shape and no other
/// owner.
pub(super) fn reuse(tensor: CubeTensor, shape: [usize; 2]) -> CubeTensor {
    let fits = tensor.dtype == DType::F32 && tensor.can_mut() && tensor.is_contiguous();
    if fits && size(&tensor) == shape { tensor } else { empty_like(&tensor, shape) }
}

/// A new tensor of this shape on the device of another.
pub(super) fn empty_like(like: &CubeTensor, shape: [usize; 2]) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, Shape::from(shape), DType::F32)
}

/// Launch dimensions of a kernel with one unit per element.
pub(super) fn units(client: &Client, elements: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(client, elements);
    (calculate_cube_count_elemwise(client, elements, dim), dim)
}

/// The argument of a kernel that reads or writes the tensor.
pub(super) fn buffer(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}
