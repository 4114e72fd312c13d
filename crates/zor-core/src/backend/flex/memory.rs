//! Access to the memory of tensors: in place, copied if it is shared or not contiguous, or a reused
//! buffer.

use std::marker::PhantomData;

use burn::backend::{DType, Flex};
use burn::tensor::Shape;
use burn_flex::{FlexTensor, Layout};

pub(super) fn size(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1]]
}

pub(super) fn check_same(a: &FlexTensor, b: &FlexTensor) {
    assert_eq!(size(a), size(b), "tensors of one operation differ in shape");
}

/// Asserts that rows have the size of this map (channels last).
pub(super) fn check_maps(tensor: &FlexTensor, map: [usize; 3]) {
    assert_eq!(size(tensor)[1], map.iter().product::<usize>(), "rows are not maps of {map:?}");
}

/// True if the tensor is the beginning of its storage in row-major order. A buffer of a workspace
/// may have room for more.
pub(super) fn is_plain(tensor: &FlexTensor) -> bool {
    tensor.layout().contiguous_offsets().is_some_and(|(start, _)| start == 0)
}

/// Number of values that the storage of a tensor has room for.
pub(super) fn capacity(tensor: &FlexTensor) -> usize {
    tensor.bytes().len() / std::mem::size_of::<f32>()
}

/// A tensor of this shape at the beginning of the storage of another one.
pub(super) fn with_shape(tensor: FlexTensor, shape: [usize; 2]) -> FlexTensor {
    assert!(shape[0] * shape[1] <= capacity(&tensor), "the storage is too small");
    tensor.with_layout(Layout::contiguous(Shape::from(shape)))
}

/// The tensor as contiguous f32.
pub(super) fn readable(tensor: FlexTensor) -> FlexTensor {
    use burn::backend::ops::FloatTensorOps;
    let tensor = match tensor.dtype() {
        DType::F32 => tensor,
        _ => <Flex as FloatTensorOps<Flex>>::float_cast(tensor, burn::tensor::FloatDType::F32),
    };
    if is_plain(&tensor) { tensor } else { tensor.to_contiguous() }
}

/// A tensor of this shape with arbitrary contents: the given one if it fits and has no other owner.
pub(super) fn reuse(tensor: FlexTensor, shape: [usize; 2]) -> FlexTensor {
    let fits = tensor.is_unique() && tensor.dtype() == DType::F32 && is_plain(&tensor);
    if fits && size(&tensor) == shape {
        tensor
    } else {
        FlexTensor::filled_typed(Shape::from(shape), DType::F32, 0f32)
    }
}

pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    &tensor.storage()[..size(tensor).iter().product()]
}

/// Exclusive access; copies the storage first if it is shared.
pub(super) fn values_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    let len = size(tensor).iter().product();
    &mut tensor.storage_mut()[..len]
}

/// A matrix whose parts are written by several tasks at once. It borrows the memory for its
/// lifetime.
pub(super) struct Grid<'a> {
    start: *mut f32,
    len: usize,
    columns: usize,
    values: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is used through `row` alone, whose caller promises that no two tasks touch
// the same part.
unsafe impl Sync for Grid<'_> {}

impl<'a> Grid<'a> {
    pub(super) fn new(values: &'a mut [f32], columns: usize) -> Self {
        Self { start: values.as_mut_ptr(), len: values.len(), columns, values: PhantomData }
    }

    /// Returns `width` elements of row `r` from column `from`.
    ///
    /// # Safety
    /// No other slice of this part is alive.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "disjoint parts, promised by the caller")]
    pub(super) unsafe fn row(&self, r: usize, from: usize, width: usize) -> &mut [f32] {
        let offset = r * self.columns + from;
        debug_assert!(offset + width <= self.len);
        // SAFETY: inside the slice that the grid was made of; disjointness is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), width) }
    }
}
