//! A pool of buffers that are reused from step to step.

use burn::tensor::{Device, Tensor};

use crate::ops;

/// A pool of buffers: a training loop of constant shapes allocates none after its first steps.
///
/// A buffer has arbitrary contents when it is taken, and may have had another shape with as many
/// elements. Giving a buffer back is optional: one that is not given back is freed. Of each size
/// the pool keeps at most as many buffers as it ever had to create, so that tensors from outside (a
/// batch) do not pile up.
#[derive(Debug)]
pub struct Workspace {
    device: Device,
    shelves: Vec<Shelf>,
    /// Buffers of any size, for batches whose sizes differ.
    varied: Option<Varied>,
}

#[derive(Debug, Default)]
struct Varied {
    /// Buffers with the number of values that each has room for, in rising order.
    free: Vec<(usize, Tensor<2>)>,
    made: usize,
}

impl Varied {
    /// Values of a buffer that may be left over: a buffer of twice the size does not serve.
    const SLACK: usize = 1 << 12;

    fn take(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        let elements = shape[0] * shape[1];
        let at = self.free.partition_point(|(capacity, _)| *capacity < elements);
        match self.free.get(at) {
            Some((capacity, _)) if *capacity <= 2 * elements + Self::SLACK => {
                ops::with_shape(self.free.remove(at).1, shape)
            }
            _ => {
                self.made += 1;
                // Room for somewhat larger batches.
                ops::with_shape(ops::zeros([1, elements + elements / 8], device), shape)
            }
        }
    }

    fn give(&mut self, buffer: Tensor<2>) {
        if let Ok(buffer) = ops::unshared(buffer) {
            let capacity = ops::capacity(&buffer);
            let at = self.free.partition_point(|(other, _)| *other < capacity);
            self.free.insert(at, (capacity, buffer));
            if self.free.len() > self.made {
                // Tensors from outside, such as batches, do not pile up.
                self.free.remove(0);
            }
        }
    }
}

#[derive(Debug)]
struct Shelf {
    elements: usize,
    made: usize,
    free: Vec<Tensor<2>>,
}

/// Maximum number of sizes in the pool; beyond it the oldest size is dropped.
const SHELVES: usize = 256;

impl Workspace {
    /// An empty workspace on a device.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), shelves: Vec::new(), varied: None }
    }

    /// The device of the buffers.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Serves batches of varying sizes, such as those of sequences, on a device whose tensors may
    /// take a part of their memory. Elsewhere it changes nothing.
    pub(crate) fn vary(&mut self) {
        if self.varied.is_none() && ops::takes_parts(&self.device) {
            self.varied = Some(Varied::default());
        }
    }

    /// Takes a buffer of shape `[rows, columns]` with arbitrary contents.
    pub fn take(&mut self, shape: [usize; 2]) -> Tensor<2> {
        if let Some(varied) = &mut self.varied {
            return varied.take(shape, &self.device);
        }
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
        // A buffer that already has the shape needs no reshape.
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

    /// Takes a buffer of shape `[rows, columns]` with zeros.
    pub fn take_zeros(&mut self, shape: [usize; 2]) -> Tensor<2> {
        match ops::takes_parts(&self.device) {
            // No value is above infinity.
            true => ops::zero_at_or_below(self.take(shape), f32::INFINITY),
            false => Tensor::zeros(shape, &self.device),
        }
    }

    /// Gives a buffer back; one whose memory another tensor shares is dropped.
    pub fn give(&mut self, buffer: Tensor<2>) {
        if let Some(varied) = &mut self.varied {
            return varied.give(buffer);
        }
        let [rows, columns] = buffer.dims();
        if let Some(shelf) = self.shelves.iter_mut().find(|shelf| shelf.elements == rows * columns)
            && shelf.free.len() < shelf.made
            && let Ok(buffer) = ops::unshared(buffer)
        {
            shelf.free.push(buffer);
        }
    }

    /// Returns a tensor whose memory is not shared: the tensor itself, or a copy in a buffer of the
    /// pool.
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
