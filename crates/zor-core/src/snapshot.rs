//! The parts of a network that are saved: its tensors by name, and the state that layers carry from
//! step to step.
//!
//! A name consists of the positions of a layer, outermost first, and the name of the tensor in it:
//! `0.weight`, or `4.1.kernel` for the second layer inside the fifth.

use burn::tensor::Tensor;

use crate::build::parameter_name;
use crate::contract::check_visits;
use crate::error::{Error, Result};
use crate::layer::{Layer, Visitor, VisitorMut};
use crate::memory::Memory;
use crate::network::Network;
use crate::parameter::Parameter;

/// State that layers carry from step to step: charges, and the number of training passes of layers
/// that draw random numbers.
#[derive(Clone, Debug, Default)]
pub struct CarriedState {
    /// Tensors by name, such as `1.charge`, `[batch, units]`.
    pub tensors: Vec<(String, Tensor<2>)>,
    /// Number of training passes of each layer that counts them, by its positions, such as `4.1`.
    pub counts: Vec<(String, u64)>,
}

/// The role of a tensor in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A trained parameter.
    Trained,
    /// A buffer that is not trained, such as a running mean.
    Buffer,
}

impl Network {
    /// Returns all parameters and buffers by name, in a fixed order: layer by layer, parameters
    /// first.
    pub fn tensors(&self) -> Vec<(String, Role, &Parameter)> {
        let mut all = Vec::new();
        for (position, layer) in self.layers().iter().enumerate() {
            let mut names = Names { path: vec![(position, 0)], trained: vec![], buffers: vec![] };
            layer.visit(&mut names);
            let named = |role| move |(name, tensor)| (name, role, tensor);
            all.extend(names.trained.into_iter().map(named(Role::Trained)));
            all.extend(names.buffers.into_iter().map(named(Role::Buffer)));
        }
        all
    }

    /// Calls `change` for all parameters and buffers, in the order of [`Network::tensors`].
    ///
    /// # Errors
    /// If the two visits of a layer that was replaced differ ([`Layer::visit_mut`]); nothing has
    /// changed then.
    pub fn for_each_tensor(&mut self, mut change: impl FnMut(&str, &mut Parameter)) -> Result<()> {
        for (position, layer) in self.layers_mut().iter_mut().enumerate() {
            let checked = check_visits(layer.as_mut());
            checked.map_err(|e| e.at(format_args!("layer {position} ({})", layer.kind())))?;
        }
        for (position, layer) in self.layers_mut().iter_mut().enumerate() {
            let mut names =
                NamesMut { path: vec![(position, 0)], trained: vec![], buffers: vec![] };
            layer.visit_mut(&mut names);
            for (name, tensor) in names.trained.into_iter().chain(names.buffers) {
                change(&name, tensor);
            }
        }
        Ok(())
    }

    /// Returns the state that layers carry from step to step.
    pub fn carried_state(&self) -> CarriedState {
        let mut found = CarriedState::default();
        for (position, layer) in self.layers().iter().enumerate() {
            if let Some(memory) = self.state().memory.get_child(position) {
                collect(layer.as_ref(), memory, &mut vec![position], &mut found);
            }
        }
        found
    }

    /// Restores state from a network of the same layers.
    ///
    /// # Errors
    /// If no layer of this network carries state of one of the names; the network is unchanged
    /// then.
    pub fn set_carried_state(&mut self, carried: CarriedState) -> Result<()> {
        let mut memory = Memory::default();
        let (mut tensors, mut counts) = (carried.tensors, carried.counts);
        for (position, layer) in self.layers().iter().enumerate() {
            let (layer, path) = (layer.as_ref(), &mut vec![position]);
            restore(layer, memory.child(position), path, &mut tensors, &mut counts);
        }
        let unknown = tensors.into_iter().map(|(name, _)| name);
        let unknown: Vec<_> = unknown.chain(counts.into_iter().map(|(name, _)| name)).collect();
        if !unknown.is_empty() {
            return Err(Error::setting(format!(
                "no layer of this network carries {}",
                unknown.join(", ")
            )));
        }
        self.state_mut().memory = memory;
        Ok(())
    }
}

/// Collects tensors with their names.
struct Names<'a> {
    /// Positions of the visited layer, each with the number of its children visited so far.
    path: Vec<(usize, usize)>,
    trained: Vec<(String, &'a Parameter)>,
    buffers: Vec<(String, &'a Parameter)>,
}

/// [`Names`] for mutable tensors.
struct NamesMut<'a> {
    path: Vec<(usize, usize)>,
    trained: Vec<(String, &'a mut Parameter)>,
    buffers: Vec<(String, &'a mut Parameter)>,
}

/// The name of a tensor in the layer at the end of a path.
fn name(path: &[(usize, usize)], tensor: &Parameter) -> String {
    let path: Vec<usize> = path.iter().map(|(position, _)| *position).collect();
    parameter_name(&path, tensor.name())
}

/// Enters the next child of the last layer of a path.
fn enter(path: &mut Vec<(usize, usize)>) {
    let index = path.last_mut().map_or(0, |(_, visited)| {
        *visited += 1;
        *visited - 1
    });
    path.push((index, 0));
}

impl<'a> Visitor<'a> for Names<'a> {
    fn parameter(&mut self, parameter: &'a Parameter) {
        self.trained.push((name(&self.path, parameter), parameter));
    }

    fn buffer(&mut self, buffer: &'a Parameter) {
        self.buffers.push((name(&self.path, buffer), buffer));
    }

    fn child(&mut self, layer: &'a dyn Layer) {
        enter(&mut self.path);
        layer.visit(self);
        self.path.pop();
    }
}

impl<'a> VisitorMut<'a> for NamesMut<'a> {
    fn parameter(&mut self, parameter: &'a mut Parameter) {
        self.trained.push((name(&self.path, parameter), parameter));
    }

    fn buffer(&mut self, buffer: &'a mut Parameter) {
        self.buffers.push((name(&self.path, buffer), buffer));
    }

    fn child(&mut self, layer: &'a mut dyn Layer) {
        enter(&mut self.path);
        layer.visit_mut(self);
        self.path.pop();
    }
}

fn positions(path: &[usize]) -> String {
    path.iter().map(usize::to_string).collect::<Vec<_>>().join(".")
}

fn collect(layer: &dyn Layer, memory: &Memory, path: &mut Vec<usize>, found: &mut CarriedState) {
    for slot in layer.carried() {
        if let Some(tensor) = memory.get(slot) {
            found.tensors.push((parameter_name(path, slot), tensor.clone()));
        }
    }
    if memory.passes() > 0 {
        found.counts.push((positions(path), memory.passes()));
    }
    for (index, child) in layer.children().into_iter().enumerate() {
        if let Some(memory) = memory.get_child(index) {
            path.push(index);
            collect(child, memory, path, found);
            path.pop();
        }
    }
}

fn restore(
    layer: &dyn Layer,
    memory: &mut Memory,
    path: &mut Vec<usize>,
    tensors: &mut Vec<(String, Tensor<2>)>,
    counts: &mut Vec<(String, u64)>,
) {
    for slot in layer.carried() {
        let name = parameter_name(path, slot);
        if let Some(at) = tensors.iter().position(|(known, _)| *known == name) {
            memory.keep(slot, tensors.swap_remove(at).1);
        }
    }
    let place = positions(path);
    if let Some(at) = counts.iter().position(|(known, _)| *known == place) {
        memory.set_passes(counts.swap_remove(at).1);
    }
    for (index, child) in layer.children().into_iter().enumerate() {
        path.push(index);
        restore(child, memory.child(index), path, tensors, counts);
        path.pop();
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::step::Target;
    use crate::{
        BatchNormConfig, BranchConfig, Conv2dConfig, DenseConfig, DropoutConfig, GateConfig,
        Optimizer, Random, Rule, SequentialConfig, Workspace,
    };
    use burn::tensor::Device;

    #[derive(Debug)]
    struct Descend;

    impl Optimizer for Descend {
        fn name(&self) -> &str {
            "descend"
        }

        fn check(&self) -> Result<()> {
            Ok(())
        }

        fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, _: &mut Workspace) {
            parameter.update(|weight, _, _| weight + correlation * 0.1);
        }
    }

    fn network() -> Network {
        let inner = SequentialConfig::new().layer(Conv2dConfig::same(2, 3));
        let inner = inner.layer(BatchNormConfig::default()).layer(DropoutConfig::new(0.5));
        let block = BranchConfig::residual().layer(inner).layer(GateConfig::default());
        Network::builder(&[3, 3, 2])
            .rule(Rule::classic())
            .layer(block.shortcut(Conv2dConfig::new(2, 1)))
            .layer(GateConfig::default())
            .layer(DenseConfig::new(4))
            .build(&Device::flex())
            .unwrap()
    }

    #[test]
    fn names_are_positions_and_what_the_layer_calls_it() {
        let network = network();
        let names: Vec<String> = network.tensors().into_iter().map(|(name, ..)| name).collect();
        let expected = [
            "0.0.0.kernel",
            "0.0.1.scale",
            "0.0.1.shift",
            "0.2.kernel",
            "0.0.1.mean",
            "0.0.1.variance",
            "2.weight",
        ];
        assert_eq!(names, expected);
        let mut again = Vec::new();
        let mut clone = network.clone();
        clone
            .for_each_tensor(|name, tensor| again.push((name.to_owned(), tensor.shape())))
            .unwrap();
        let shapes = network.tensors().into_iter().map(|(name, _, tensor)| (name, tensor.shape()));
        assert_eq!(again, shapes.collect::<Vec<_>>());
    }

    #[test]
    fn weights_are_asked_for_by_the_names_that_tensors_have() {
        struct Asked(Vec<(String, [usize; 2])>);
        impl crate::WeightSource for Asked {
            fn take(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>> {
                self.0.push((name.to_owned(), shape));
                Ok(Tensor::zeros(shape, &Device::flex()))
            }
        }
        let inner = SequentialConfig::new().layer(Conv2dConfig::same(2, 3));
        let inner = inner.layer(BatchNormConfig::default());
        let block = BranchConfig::residual().layer(inner).shortcut(Conv2dConfig::new(2, 1));
        let builder = Network::builder(&[3, 3, 2]).layer(block).layer(DenseConfig::new(4));
        let mut asked = Asked(Vec::new());
        let network = builder.build_from(&mut asked, &Device::flex()).unwrap();
        let mut named: Vec<_> =
            network.tensors().into_iter().map(|(name, _, t)| (name, t.shape())).collect();
        named.sort();
        asked.0.sort();
        assert_eq!(asked.0, named);
    }

    #[test]
    fn training_goes_on_from_what_was_carried_state() {
        let mut random = Random::seeded(1);
        let mut input = || Parameter::normal("x", [5, 18], 1.0, &mut random, &Device::flex());
        let batches = [input().value(), input().value()];
        let mut first = network();
        let train = |network: &mut Network, input: &Tensor<2>| {
            network
                .train_batch(&Descend, input.clone(), Target::Classes(vec![0, 1, 2, 3, 0]))
                .unwrap()
        };
        train(&mut first, &batches[0]);
        let (mut second, mut forgetful) = (first.clone(), first.clone());
        second.set_carried_state(first.carried_state()).unwrap();
        let expected = train(&mut first, &batches[1]);
        assert_eq!(train(&mut second, &batches[1]), expected);
        assert_ne!(train(&mut forgetful, &batches[1]), expected, "charges and dropout matter");
        let remembered = first.carried_state();
        let names: Vec<&str> = remembered.tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["0.1.charge", "1.charge"]);
        assert_eq!(remembered.counts, [("0.0.2".to_owned(), 2)]);
    }

    #[test]
    fn state_that_no_layer_carries_is_named() {
        let mut network = network();
        let before = network.carried_state().counts;
        let counts = vec![("7.1".to_owned(), 3)];
        let error =
            network.set_carried_state(CarriedState { tensors: Vec::new(), counts }).unwrap_err();
        assert!(error.to_string().contains("7.1"), "{error}");
        assert_eq!(network.carried_state().counts, before);
    }
}
