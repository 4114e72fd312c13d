//! The memory of a layer: from the forward pass to learning, and from step to step.

use burn::tensor::{Int, Tensor};

/// The purpose of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Training: the layer keeps in its memory what learning needs.
    Train,
    /// Evaluation: only state that lasts from step to step is kept.
    Evaluate,
}

/// The memory of a layer: state that lasts from step to step (charges), and the trace of the last
/// forward pass that learning needs. A layer made of layers has one child memory per layer.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    tensors: Vec<(&'static str, Tensor<2>)>,
    integers: Vec<(&'static str, Tensor<2, Int>)>,
    numbers: Vec<(&'static str, f32)>,
    children: Vec<Memory>,
    passes: u64,
}

impl Memory {
    /// Removes and returns a tensor.
    pub fn take(&mut self, name: &'static str) -> Option<Tensor<2>> {
        take(&mut self.tensors, name)
    }

    /// Stores a tensor under a name and returns the previous one.
    pub fn keep(&mut self, name: &'static str, tensor: Tensor<2>) -> Option<Tensor<2>> {
        let before = self.take(name);
        self.tensors.push((name, tensor));
        before
    }

    /// A tensor by name, left in place.
    pub fn get(&self, name: &str) -> Option<&Tensor<2>> {
        self.tensors.iter().find(|(slot, _)| *slot == name).map(|(_, tensor)| tensor)
    }

    /// Removes and returns a tensor of integers.
    pub fn take_integers(&mut self, name: &'static str) -> Option<Tensor<2, Int>> {
        take(&mut self.integers, name)
    }

    /// Stores a tensor of integers under a name, in place of the previous one.
    pub fn keep_integers(&mut self, name: &'static str, tensor: Tensor<2, Int>) {
        self.take_integers(name);
        self.integers.push((name, tensor));
    }

    /// Removes and returns a number.
    pub fn take_number(&mut self, name: &'static str) -> Option<f32> {
        take(&mut self.numbers, name)
    }

    /// A number by name, left in place.
    pub fn number(&self, name: &str) -> Option<f32> {
        self.numbers.iter().find(|(slot, _)| *slot == name).map(|(_, number)| *number)
    }

    /// Stores a number under a name, in place of the previous one.
    pub fn set_number(&mut self, name: &'static str, number: f32) {
        self.take_number(name);
        self.numbers.push((name, number));
    }

    /// The memory of child `index`, created on first use.
    pub fn child(&mut self, index: usize) -> &mut Memory {
        if self.children.len() <= index {
            self.children.resize_with(index + 1, Memory::default);
        }
        &mut self.children[index]
    }

    /// The memory of child `index`; `None` if it was never used.
    pub fn get_child(&self, index: usize) -> Option<&Memory> {
        self.children.get(index)
    }

    /// The memories of the children.
    pub fn children(&self) -> &[Memory] {
        &self.children
    }

    /// Number of training passes that [`Memory::next_pass`] has counted.
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// Sets the number of training passes.
    pub fn set_passes(&mut self, passes: u64) {
        self.passes = passes;
    }

    /// Returns the number of training passes so far and counts this one. Layers that draw random
    /// numbers use it as their stream.
    pub fn next_pass(&mut self) -> u64 {
        self.passes += 1;
        self.passes - 1
    }
}

fn take<T>(slots: &mut Vec<(&'static str, T)>, name: &'static str) -> Option<T> {
    let index = slots.iter().position(|(slot, _)| *slot == name)?;
    Some(slots.swap_remove(index).1)
}
