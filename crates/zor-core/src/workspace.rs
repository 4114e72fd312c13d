//! Buffers that are used again from step to step.

use burn::tensor::{Device, Tensor};

use crate::ops;

/// Buffers that are given back and taken again, so that a steady training loop allocates none.
///
/// A taken buffer holds whatever was last in it, and may have had another shape of as many
/// elements. Giving back is never required: what is not given back is freed. Of each size no more
/// are kept than were ever missing, so that buffers which come from outside (a batch) do not pile
/// up.
#[derive(Debug)]
pub struct Workspace {
    device: Device,
    shelves: Vec<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    elements: usize,
    made: usize,
    free: Vec<Tensor<2>>,
}

/// Sizes kept at once; a network that sees ever new batch sizes forgets the oldest.
const SHELVES: usize = 256;

impl Workspace {
    /// An empty workspace on a device.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), shelves: Vec::new() }
    }

    /// The device of its buffers.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A buffer of shape `[rows, columns]` with any contents.
    pub fn take(&mut self, shape: [usize; 2]) -> Tensor<2> {
        let elements = shape[0] * shape[1];
        let index = match self.shelves.iter().position(|shelf| shelf.elements == elements) {
            Some(index) => index,
            None => {
                if self.shelves.len() == SHELVES {
                    self.shelves.remove(0);
                }
                self.shelves.push(Shelf { elements, made: 0, free: Vec::new() });
                self.shelves.len() - 1
            }
        };
        let shelf = &mut self.shelves[index];
        // One that has the shape already costs nothing.
        let fits = shelf.free.iter().rposition(|buffer| buffer.dims() == shape);
        match fits.map(|index| shelf.free.swap_remove(index)).or_else(|| shelf.free.pop()) {
            Some(buffer) if buffer.dims() == shape => buffer,
            Some(buffer) => buffer.reshape(shape),
            None => {
                shelf.made += 1;
                ops::zeros(shape, &self.device)
            }
        }
    }

    /// Returns a buffer; if somebody else holds its memory too, it is theirs from now on.
    pub fn give(&mut self, buffer: Tensor<2>) {
        let [rows, columns] = buffer.dims();
        if let Some(shelf) = self.shelves.iter_mut().find(|shelf| shelf.elements == rows * columns)
            && shelf.free.len() < shelf.made
            && let Ok(buffer) = ops::unshared(buffer)
        {
            shelf.free.push(buffer);
        }
    }

    /// A tensor whose memory nobody else holds: the tensor itself, or a copy in a buffer.
    pub fn make_unique(&mut self, tensor: Tensor<2>) -> Tensor<2> {
        match ops::unshared(tensor) {
            Ok(tensor) => tensor,
            Err(tensor) => {
                let buffer = self.take(tensor.dims());
                ops::copy(tensor, buffer)
            }
        }
    }
}
