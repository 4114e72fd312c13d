//! The memory of a layer between the forward pass and learning, and from step to step.

use burn::tensor::{Int, Tensor};

/// The purpose of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The layer keeps in its memory what learning needs.
    Train,
    /// Nothing is kept but what lasts from step to step.
    Evaluate,
}

/// The memory of a layer: state that lasts from step to step (charges), and the trace of the last
/// forward pass that learning needs. A layer made of layers has a child for each.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    tensors: Vec<(&'static str, Tensor<2>)>,
    integers: Vec<(&'static str, Tensor<2, Int>)>,
    numbers: Vec<(&'static str, f32)>,
    children: Vec<Memory>,
    passes: u64,
}

impl Memory {
    /// Takes a tensor out, leaving its place empty.
    pub fn take(&mut self, name: &'static str) -> Option<Tensor<2>> {
        take(&mut self.tensors, name)
    }

    /// Keeps a tensor under a name and returns the one that was there.
    pub fn keep(&mut self, name: &'static str, tensor: Tensor<2>) -> Option<Tensor<2>> {
        let before = self.take(name);
        self.tensors.push((name, tensor));
        before
    }

    /// A tensor that stays.
    pub fn get(&self, name: &str) -> Option<&Tensor<2>> {
        self.tensors.iter().find(|(slot, _)| *slot == name).map(|(_, tensor)| tensor)
    }

    /// Takes a tensor of integers out, leaving its place empty.
    pub fn take_integers(&mut self, name: &'static str) -> Option<Tensor<2, Int>> {
        take(&mut self.integers, name)
    }

    /// Keeps a tensor of integers under a name, in place of the one that was there.
    pub fn keep_integers(&mut self, name: &'static str, tensor: Tensor<2, Int>) {
        self.take_integers(name);
        self.integers.push((name, tensor));
    }

    /// Takes a number out, leaving its place empty.
    pub fn take_number(&mut self, name: &'static str) -> Option<f32> {
        take(&mut self.numbers, name)
    }

    /// Keeps a number under a name, in place of the one that was there.
    pub fn set_number(&mut self, name: &'static str, number: f32) {
        self.take_number(name);
        self.numbers.push((name, number));
    }

    /// The memory of a layer inside this one, made when first asked for.
    pub fn child(&mut self, index: usize) -> &mut Memory {
        if self.children.len() <= index {
            self.children.resize_with(index + 1, Memory::default);
        }
        &mut self.children[index]
    }

    /// The memory of a layer inside this one; none if it was never asked for.
    pub fn get_child(&self, index: usize) -> Option<&Memory> {
        self.children.get(index)
    }

    /// The memories of the layers inside this one.
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
