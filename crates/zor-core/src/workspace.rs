//! What a step keeps outside the weights: buffers that are used again, and what each layer remembers.

use burn::tensor::{Device, Tensor};

use crate::layer::Mode;
use crate::ops;

/// Buffers that are given back and taken again, so that a steady training loop allocates none.
///
/// A taken buffer holds whatever was last in it, and may have had another shape of as many elements. Giving back is never required:
/// what is not given back is freed. Of each size no more are kept than were ever missing, so that buffers which come from
/// outside (a batch) do not pile up.
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
}

/// What one layer remembers: state that lasts from step to step (charges), and the trace of the last forward pass
/// that its learning needs. Layers made of layers keep one child for each.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    slots: Vec<(&'static str, Tensor<2>)>,
    children: Vec<Memory>,
    counted: u64,
}

impl Memory {
    /// Takes a tensor out, leaving its place empty.
    pub fn take(&mut self, name: &'static str) -> Option<Tensor<2>> {
        let index = self.slots.iter().position(|(slot, _)| *slot == name)?;
        Some(self.slots.swap_remove(index).1)
    }

    /// Keeps a tensor under a name and returns the one that was there.
    pub fn keep(&mut self, name: &'static str, tensor: Tensor<2>) -> Option<Tensor<2>> {
        let before = self.take(name);
        self.slots.push((name, tensor));
        before
    }

    /// Keeps a tensor under a name if learning follows; what is not kept, or was there before, goes to the workspace.
    pub fn keep_to_learn(
        &mut self,
        name: &'static str,
        tensor: Tensor<2>,
        mode: Mode,
        workspace: &mut Workspace,
    ) {
        let unused = match mode {
            Mode::Train => self.keep(name, tensor),
            Mode::Evaluate => Some(tensor),
        };
        unused.into_iter().for_each(|unused| workspace.give(unused));
    }

    /// A look at a tensor.
    pub fn get(&self, name: &str) -> Option<&Tensor<2>> {
        self.slots.iter().find(|(slot, _)| *slot == name).map(|(_, tensor)| tensor)
    }

    /// The memory of a layer inside this one, made when first asked for.
    pub fn child(&mut self, index: usize) -> &mut Memory {
        if self.children.len() <= index {
            self.children.resize_with(index + 1, Memory::default);
        }
        &mut self.children[index]
    }

    /// The same, only to be looked at; none if that layer never asked for it.
    pub fn get_child(&self, index: usize) -> Option<&Memory> {
        self.children.get(index)
    }

    /// How often [`Memory::count`] was asked.
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// As if it had been asked so often.
    pub fn set_counted(&mut self, counted: u64) {
        self.counted = counted;
    }

    /// How often this was asked before: the number of a training pass, for layers that draw random numbers.
    pub fn count(&mut self) -> u64 {
        self.counted += 1;
        self.counted - 1
    }
}
